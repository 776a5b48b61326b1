/**
 * The choice of a language, one button each.
 * @module
 */

import { LANGUAGES, language, onLanguage, setLanguage } from '../i18n/index.js';
import { h } from './dom.js';

export function languageSwitch() {
  const buttons = LANGUAGES.map((name) => {
    const [short, long] = name === 'ko' ? ['한', '한국어'] : ['EN', 'EN (English)'];
    return h('button', { type: 'button', lang: name, 'aria-label': long, onclick: () => setLanguage(name) }, short);
  });
  const press = () => {
    for (const button of buttons) button.setAttribute('aria-pressed', String(button.lang === language()));
  };
  onLanguage(press);
  press();
  return h('div', { class: 'languages', role: 'group', tLabel: 'language' }, ...buttons);
}
