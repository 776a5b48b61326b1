/**
 * How an endpoint is, in a sign and words; never by colour alone.
 * @module
 */

import { isKey, onLanguage, t } from '../i18n/index.js';
import { h, icon } from '../shell/dom.js';

/** @typedef {import('./model.js').Endpoint} Endpoint */
/** @typedef {import('./model.js').Status} Status */
/** @typedef {import('../i18n/index.js').Key} Key */
/** @typedef {Status | 'PAUSED'} Look */

/** @type {Record<Look, import('../shell/dom.js').Icon>} */
const ICONS = { UP: 'check', DOWN: 'cross', DEGRADED: 'slow', UNKNOWN: 'ask', PAUSED: 'pause' };
/** @type {Record<Look, Key>} */
export const WORDS = {
  UP: 'monitor.up',
  DOWN: 'monitor.down',
  DEGRADED: 'monitor.slow',
  UNKNOWN: 'monitor.unknown',
  PAUSED: 'monitor.paused',
};

const STATUS_CODE = /\b[1-5]\d\d\b/;

/** @param {Pick<Endpoint, 'status' | 'paused'>} endpoint @returns {Look} */
export function lookOf({ status, paused }) {
  return paused ? 'PAUSED' : status;
}

/** A round sign beside words. @param {Look} look */
export function sign(look) {
  return h('span', { class: `status ${look}`, 'aria-hidden': 'true' }, icon(ICONS[look]));
}

/** @param {Look} look */
export function badge(look) {
  return h('span', { class: `badge ${look}` }, sign(look), h('span', { t: WORDS[look] }));
}

/**
 * What else is to be said about an endpoint: that it has begun to fail, that it is under maintenance.
 * @param {Endpoint} endpoint
 * @param {boolean} maintenance
 */
export function tags({ status, paused, failureCount, failAfter }, maintenance) {
  const failing = status !== 'DOWN' && !paused && failureCount > 0;
  return [
    failing && h('span', { class: 'tag failing' }, t('monitor.failing', { n: failureCount, s: failAfter })),
    maintenance && h('span', { class: 'tag maintenance' }, icon('tool'), h('span', { t: 'monitor.maintenance' })),
  ].filter((each) => each instanceof HTMLElement);
}

/**
 * Why a check failed: in the page's language where the server named a reason, else in its own words.
 * @param {{reason: string, errorMessage: string}} failed
 */
export function why({ reason, errorMessage }) {
  const key = `monitor.reason.${reason}`;
  if (!isKey(key)) return errorMessage;
  const [code = ''] = (reason === 'status' && STATUS_CODE.exec(errorMessage)) || [];
  return `${t(key)} ${code}`.trim();
}

/**
 * Calls the work now and after each switch of the language, until its element has gone.
 * @param {Element} element
 * @param {() => void} work
 */
export function written(element, work) {
  work();
  const stop = onLanguage(() => (element.isConnected ? work() : stop()));
}

/** @param {import('../shell/dom.js').Icon} picture @param {Key} words @param {() => unknown} onclick @param {string} [look] a class */
export function button(picture, words, onclick, look = '') {
  return h('button', { type: 'button', class: look, onclick }, icon(picture), h('span', { t: words }));
}
