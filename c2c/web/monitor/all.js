/**
 * `/monitor`: all endpoints.
 * @module
 */

import { onLanguage, t } from '../i18n/index.js';
import { ALL, Board } from './board.js';
import { enter } from './enter.js';

function showTitle() {
  document.title = `${t('monitor.title')} – c2c`;
}

showTitle();
onLanguage(showTitle);
void enter(ALL, (entered) => void new Board(entered));
