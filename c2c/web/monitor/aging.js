/**
 * Times, durations and shares in words, and the one timer by which they age.
 * @module
 */

import { amount, duration, onLanguage, percent, t, timeAgo } from '../i18n/index.js';
import { write } from '../shell/dom.js';
import { serverNow } from './api.js';

const TICK_MS = 1_000;
const SOON_S = 60;

export { duration };

/** @type {Set<() => void>} */
const watchers = new Set();
let timer = 0;

/**
 * Calls back each second while somebody looks, and at once when the language changes or the page is seen again.
 * @param {() => void} work
 * @returns {() => void} ends it
 */
export function everySecond(work) {
  if (!watchers.size) start();
  watchers.add(work);
  return () => watchers.delete(work);
}

/**
 * Calls back each second, too, until an element has gone from the page for good; then says so once.
 * @param {Element} element
 * @param {() => void} work
 * @param {() => void} gone
 */
export function whileShown(element, work, gone) {
  const stop = everySecond(() => {
    if (element.isConnected) return work();
    stop();
    gone();
  });
}

function start() {
  if (timer) return;
  const tick = () => {
    if (!document.hidden) for (const work of watchers) work();
  };
  timer = window.setInterval(tick, TICK_MS);
  document.addEventListener('visibilitychange', tick);
  onLanguage(tick);
}

/** How long ago, to the second at first. @param {number} at ms since 1970, 0: never */
export function ago(at) {
  if (!at) return t('monitor.never');
  const now = serverNow();
  const seconds = Math.max(0, Math.floor((now - at) / 1000));
  const isSoon = seconds > 0 && seconds < SOON_S;
  return isSoon ? t('monitor.secondsAgo', { n: seconds }) : timeAgo(Math.min(0, at - now) + Date.now());
}

/** @param {number | null | undefined} ms */
export function took(ms) {
  if (ms === null || ms === undefined) return '–';
  if (ms < 1_000) return t('monitor.ms', { n: ms < 10 ? Math.round(ms * 10) / 10 : Math.round(ms) });
  return amount(ms / 1000, 'second', ms < 10_000 ? 2 : 0);
}

/** @param {number | null | undefined} ratio 0 to 1; null: no data */
export function share(ratio) {
  if (ratio === null || ratio === undefined) return t('monitor.noData');
  return percent(ratio);
}

/** @param {HTMLTimeElement} element @param {number} at ms since 1970 @param {string} words */
export function writeTime(element, at, words) {
  write(element, words);
  const iso = at ? new Date(at).toISOString() : '';
  if (element.dateTime !== iso) element.dateTime = iso;
}
