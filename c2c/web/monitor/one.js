/**
 * `/monitor/{endpointId}`: the endpoint that the address names, or that there is none.
 * @module
 */

import en from '../i18n/endpoint.en.js';
import { addWords, t } from '../i18n/index.js';
import ko from '../i18n/endpoint.ko.js';
import { h, showNotice } from '../shell/dom.js';
import { Detail } from './detail.js';
import { enter } from './enter.js';

/** @typedef {import('../shell/dom.js').Key} Key */

addWords({ en, ko });

const GONE = ['ROOM_NOT_FOUND', 'BAD_VALUE', 'ENDPOINT_NOT_FOUND'];
let isDeleted = false;

/** @param {string} path */
function endpointFrom(path) {
  try {
    return decodeURIComponent(/\/monitor\/([^/]+)/.exec(path)?.[1] ?? '').normalize('NFC');
  } catch {
    return '';
  }
}

/** @param {Key} title @param {HTMLElement} hint */
function showGone(title, hint) {
  showNotice('pulse', title, hint, h('a', { class: 'button primary', href: '/monitor', t: 'monitor.back' }));
}

/** @param {string} code */
function refused(code) {
  if (!isDeleted && !GONE.includes(code)) return false;
  if (!isDeleted) showGone('monitor.unknownEndpoint', h('span', { t: 'monitor.unknownEndpointHint' }));
  return true;
}

/** @param {string} name */
function deleted(name) {
  isDeleted = true;
  showGone('monitor.deletedEndpoint', h('span', {}, t('monitor.deletedEndpointHint', { name })));
}

document.title = `${t('monitor.title')} – c2c`;
void enter(`endpoint:${endpointFrom(location.pathname)}`, (entered) => void new Detail(entered, deleted), refused);
