/**
 * Where the marks of strips and sparklines stand, as paths. No DOM.
 * @module
 */

import { BARS } from './model.js';

/** @typedef {import('./model.js').Status} Status */
/** @typedef {import('./model.js').Result} Result */

/** A bar's pitch and width, on a strip of 24 high. */
export const PITCH = 5;
export const STRIP_HEIGHT = 24;
/** How high a bar is: seen without colours, trouble is a dip. @type {Record<Status, number>} */
const HEIGHTS = { UP: 1, DEGRADED: 0.66, DOWN: 0.36, UNKNOWN: 0.12 };
/** A longer time than so many intervals without a result is a gap. */
const GAP = 2.5;

/**
 * The bars of a strip, the newest on the right, as one path a status.
 * @param {readonly Result[]} results oldest first
 * @param {number} [bars]
 * @returns {Record<Status, string>}
 */
export function strip(results, bars = BARS) {
  /** @type {Record<Status, string>} */
  const paths = { DOWN: '', DEGRADED: '', UNKNOWN: '', UP: '' };
  const shown = results.slice(-bars);
  const missing = bars - shown.length;
  for (let index = 0; index < bars; index++) {
    const status = shown[index - missing]?.status ?? 'UNKNOWN';
    const height = round(HEIGHTS[status] * STRIP_HEIGHT);
    paths[status] += `M${index * PITCH + PITCH / 2} ${STRIP_HEIGHT}v-${height}`;
  }
  return paths;
}

/**
 * @param {readonly Result[]} results oldest first
 * @param {number} place from the left, 0 to 1
 * @param {number} [bars]
 * @returns {Result | undefined} the one whose bar stands there
 */
export function barAt(results, place, bars = BARS) {
  const shown = results.slice(-bars);
  return shown[Math.min(bars - 1, Math.floor(place * bars)) - (bars - shown.length)];
}

/**
 * Response times as a line that breaks where a check failed or data is missing.
 * @param {readonly Result[]} results oldest first
 * @param {number} interval s
 * @param {number} width
 * @param {number} height
 */
export function sparkline(results, interval, width, height) {
  const shown = results.slice(-BARS);
  const gapMs = GAP * Math.max(interval * 1000, usualMs(shown));
  const top = Math.max(1, ...shown.map(({ responseTime }) => responseTime ?? 0));
  const values = shown.map((result, index) => ({
    x: ((index + BARS - shown.length) / (BARS - 1)) * width,
    y: timeOf(result) === null ? null : height - (Number(timeOf(result)) / top) * height,
    gap: index > 0 && result.at - shown[index - 1].at > gapMs,
  }));
  return line(values);
}

/** What mostly lies between two of them, 0: there are no two. Neither a check out of turn nor a hole counts. @param {readonly {at: number}[]} results */
export function usualMs(results) {
  const between = results.slice(1).map(({ at }, index) => at - results[index].at);
  return between.sort((a, b) => a - b)[Math.floor(between.length / 2)] ?? 0;
}

/** How long an answer took; of what failed it says nothing. @param {Result} result */
function timeOf({ status, responseTime }) {
  return status === 'DOWN' || status === 'UNKNOWN' ? null : responseTime;
}

/** A lone point is a line of no length, which round ends make a dot. @param {{x: number, y: number | null, gap?: boolean}[]} values */
export function line(values) {
  let path = '';
  let drawn = 0;
  const end = () => {
    if (drawn === 1) path += 'h0';
    drawn = 0;
  };
  for (const { x, y, gap } of values) {
    if (gap || y === null) end();
    if (y === null) continue;
    path += `${drawn ? 'L' : 'M'}${round(x)} ${round(y)}`;
    drawn++;
  }
  end();
  return path;
}

/** @param {number} value */
function round(value) {
  return Math.round(value * 10) / 10;
}
