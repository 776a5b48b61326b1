/**
 * Where the marks of strips, sparklines and charts stand, as numbers and as paths. No DOM.
 * @module
 */

/** @typedef {import('./endpoints.js').Status} Status */
/** `at`: ms since 1970. @typedef {{at: number, status: Status, responseTime: number | null, statusCode: number | null, reason: string}} Result */
/** `at`: when it began, ms since 1970; the counts, and ms or null. @typedef {{at: number, up: number, degraded: number, down: number, unknown: number, average: number | null, max: number | null, p50: number | null, p95: number | null}} Point */

export const BARS = 30;
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
 * @returns {Record<Status, string>}
 */
export function strip(results) {
  /** @type {Record<Status, string>} */
  const paths = { DOWN: '', DEGRADED: '', UNKNOWN: '', UP: '' };
  const shown = results.slice(-BARS);
  const missing = BARS - shown.length;
  for (let index = 0; index < BARS; index++) {
    const status = shown[index - missing]?.status ?? 'UNKNOWN';
    const height = round(HEIGHTS[status] * STRIP_HEIGHT);
    paths[status] += `M${index * PITCH + PITCH / 2} ${STRIP_HEIGHT}v-${height}`;
  }
  return paths;
}

/**
 * @param {readonly Result[]} results oldest first
 * @param {number} place from the left, 0 to 1
 * @returns {Result | undefined} the one whose bar stands there
 */
export function barAt(results, place) {
  const shown = results.slice(-BARS);
  return shown[Math.min(BARS - 1, Math.floor(place * BARS)) - (BARS - shown.length)];
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
  const top = Math.max(1, ...shown.map(({ responseTime }) => responseTime ?? 0));
  const values = shown.map((result, index) => ({
    x: ((index + BARS - shown.length) / (BARS - 1)) * width,
    y: timeOf(result) === null ? null : height - (Number(timeOf(result)) / top) * height,
    gap: index > 0 && result.at - shown[index - 1].at > GAP * interval * 1000,
  }));
  return line(values);
}

/** How long an answer took; of what failed it says nothing. @param {Result} result */
function timeOf({ status, responseTime }) {
  return status === 'DOWN' || status === 'UNKNOWN' ? null : responseTime;
}

/** A lone point is a line of no length, which round ends make a dot. @param {{x: number, y: number | null, gap: boolean}[]} values */
function line(values) {
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

/** @typedef {{width: number, height: number, from: number, to: number, step: number, top: number}} Frame `from`, `to`, `step` in ms, `top` in ms of response time */

/**
 * @param {readonly Point[]} points oldest first
 * @param {number} spanMs what the chart shows, up to now
 * @param {number} now ms since 1970
 * @param {number} width
 * @param {number} height
 * @returns {Frame}
 */
export function frameOf(points, spanMs, now, width, height) {
  const steps = points.slice(1).map(({ at }, index) => at - points[index].at).filter((ms) => ms > 0);
  const step = steps.length ? Math.min(...steps) : spanMs / 24;
  const oldest = points.length ? points[0].at : now;
  const from = spanMs === Infinity ? Math.min(oldest, now - step) : now - spanMs;
  const top = niceTop(Math.max(1, ...points.map(({ max, p95 }) => max ?? p95 ?? 0)));
  return { width, height, from, to: now, step, top };
}

/** The middle of a point's time. @param {Point} point @param {Frame} frame */
export function xOf({ at }, { width, from, to, step }) {
  const x = ((at + step / 2 - from) / (to - from)) * width;
  return Math.max(0, Math.min(width, x));
}

/** @param {number} value ms @param {Frame} frame */
export function yOf(value, { height, top }) {
  return height - (Math.min(value, top) / top) * height;
}

/**
 * One of the chart's lines, broken where data is missing.
 * @param {readonly Point[]} points @param {Frame} frame @param {'p50' | 'p95' | 'max'} name
 */
export function chartLine(points, frame, name) {
  const values = points.map((point, index) => {
    const value = point[name];
    const gap = index > 0 && point.at - points[index - 1].at > 1.5 * frame.step;
    return { x: xOf(point, frame), y: value === null ? null : yOf(value, frame), gap };
  });
  return line(values);
}

/** The share of a point's checks that failed, null without checks. @param {Point} point */
export function downShare({ up, degraded, down }) {
  const checks = up + degraded + down;
  return checks ? down / checks : null;
}

/** The next number that is good to read. @param {number} value */
export function niceTop(value) {
  const ten = 10 ** Math.floor(Math.log10(value));
  return [1, 2, 2.5, 5, 10].map((step) => step * ten).find((step) => step >= value) ?? value;
}

/** @param {number} value */
function round(value) {
  return Math.round(value * 10) / 10;
}
