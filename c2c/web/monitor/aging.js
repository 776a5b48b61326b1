/**
 * Times, durations and shares in words, and the one timer by which they age.
 * @module
 */

import { amount, onLanguage, t, timeAgo } from '../i18n/index.js';
import { write } from '../shell/dom.js';
import { serverNow } from './api.js';

const TICK_MS = 1_000;
const SOON_S = 60;

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
  return seconds < SOON_S ? t('monitor.secondsAgo', { n: seconds }) : timeAgo(at - now + Date.now());
}

/** In how long. @param {number} at ms since 1970 */
export function until(at) {
  return duration(Math.max(0, (at - serverNow()) / 1000));
}

/** The two largest units of a time: "2 hr 5 min". @param {number} seconds */
export function duration(seconds) {
  const whole = Math.max(0, Math.round(seconds));
  const parts = /** @type {[number, string][]} */ ([
    [Math.floor(whole / 86_400), 'day'],
    [Math.floor(whole / 3_600) % 24, 'hour'],
    [Math.floor(whole / 60) % 60, 'minute'],
    [whole % 60, 'second'],
  ]);
  const first = parts.findIndex(([n]) => n > 0);
  if (first < 0) return amount(0, 'second');
  return parts.slice(first, first + 2).filter(([n]) => n > 0).map(([n, unit]) => amount(n, unit)).join(' ');
}

/** @param {number | null | undefined} ms */
export function took(ms) {
  if (ms === null || ms === undefined) return '–';
  return ms < 10_000 ? amount(ms, 'millisecond', ms < 10 ? 1 : 0) : amount(ms / 1000, 'second', 1);
}

/** Rounded down: what has failed once is not 100 %. @param {number | null | undefined} ratio 0 to 1; null: no data */
export function share(ratio) {
  if (ratio === null || ratio === undefined) return t('monitor.noData');
  return amount(Math.floor(ratio * 10_000 + 1e-6) / 100, 'percent', 2);
}

/** @param {HTMLTimeElement} element @param {number} at ms since 1970 @param {string} words */
export function writeTime(element, at, words) {
  write(element, words);
  const iso = at ? new Date(at).toISOString() : '';
  if (element.dateTime !== iso) element.dateTime = iso;
}
