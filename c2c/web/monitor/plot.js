/**
 * Where the marks of the chart stand, as numbers and as paths. No DOM.
 * @module
 */

import { line, usualMs } from './geometry.js';

/** `at`: when it began, ms since 1970; the counts, and ms or null. @typedef {{at: number, up: number, degraded: number, down: number, unknown: number, average: number | null, max: number | null, p50: number | null, p95: number | null}} Point */
const DAY_MS = 86_400_000;

/** @typedef {{width: number, height: number, from: number, to: number, step: number, top: number}} Frame `from`, `to`, `step` in ms, `top` in ms of response time; `step`: from one point to the next, as it mostly is */

/**
 * @param {readonly Point[]} points oldest first
 * @param {number} spanMs what the chart shows, up to now
 * @param {number} now ms since 1970
 * @param {number} width
 * @param {number} height
 * @returns {Frame}
 */
export function frameOf(points, spanMs, now, width, height) {
  const step = usualMs(points) || Math.min(spanMs, DAY_MS) / 24;
  const oldest = points.length ? points[0].at : now;
  const from = spanMs === Infinity ? Math.min(oldest, now - step) : now - spanMs;
  const top = niceTop(Math.max(10, ...points.map(({ max, p95 }) => max ?? p95 ?? 0)));
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
 * One of the chart's lines. It breaks at points without data: the server puts one wherever some is missing.
 * @param {readonly Point[]} points @param {Frame} frame @param {'p50' | 'p95' | 'max'} name
 */
export function chartLine(points, frame, name) {
  const values = points.map((point) => {
    const value = point[name];
    return { x: xOf(point, frame), y: value === null ? null : yOf(value, frame) };
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
