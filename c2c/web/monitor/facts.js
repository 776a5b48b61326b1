/**
 * The figures of one endpoint.
 * @module
 */

import { fullTime, t } from '../i18n/index.js';
import { h, write } from '../shell/dom.js';
import { ago, share, took } from './aging.js';
import { serverNow } from './api.js';
import { endpointOf } from './model.js';

/** @typedef {import('../shell/dom.js').Key} Key */

const SOON_DAYS = 21;
const DAY_MS = 86_400_000;

/**
 * @param {HTMLElement} list
 * @param {any} whole the endpoint as the server tells of it
 * @param {{day?: number | null, week?: number | null, month?: number | null}} uptime
 */
export function showFacts(list, whole, uptime) {
  const { status, paused, kind, responseTime, checkedAt, interval } = endpointOf(whole);
  /** @type {[Key, string, string?][]} */
  const facts = [
    ['monitor.uptime24', share(uptime.day)],
    ['monitor.uptime7', share(uptime.week)],
    ['monitor.uptime30', share(uptime.month)],
    ['monitor.responseTime', status === 'DOWN' ? '–' : took(responseTime)],
    ['monitor.checked', ago(checkedAt), paused || kind === 'push' ? '' : t('monitor.every', { s: interval })],
  ];
  if (whole.certificateExpiresAt) facts.push(['monitor.certificate', ...certificate(Date.parse(whole.certificateExpiresAt))]);
  facts.forEach((each, index) => fact(list, index, each));
  while (list.children.length > facts.length) list.lastElementChild?.remove();
}

/** @param {number} at @returns {[string, string]} */
function certificate(at) {
  const days = Math.floor((at - serverNow()) / DAY_MS);
  const words = days < 0 ? t('monitor.expired') : t('monitor.days', { n: days });
  return [days < SOON_DAYS ? `⚠ ${words}` : words, fullTime(at)];
}

/** @param {HTMLElement} list @param {number} index @param {[Key, string, string?]} fact */
function fact(list, index, [name, value, more = '']) {
  const known = list.children[index];
  const item = known ?? h('div', { class: 'card fact' }, h('dt', {}), h('dd', { class: 'value' }), h('dd', { class: 'hint' }));
  if (!known) list.append(item);
  [t(name), value, more].forEach((words, at) => write(/** @type {HTMLElement} */ (item.children[at]), words));
}
