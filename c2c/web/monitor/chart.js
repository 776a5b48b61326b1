/**
 * How long answers took and how many failed, over a day to years: a drawing, read by pointer, touch or keyboard.
 * @module
 */

import { clockTime, dayName, number, t } from '../i18n/index.js';
import { h, svg, write } from '../shell/dom.js';
import { share, took } from './aging.js';
import { serverNow } from './api.js';
import { chartLine, downShare, frameOf, xOf, yOf } from './plot.js';
import { written } from './signs.js';

/** @typedef {import('./plot.js').Point} Point */
/** @typedef {import('./plot.js').Frame} Frame */
/** @typedef {import('../shell/dom.js').Key} Key */
/** @typedef {'day' | 'week' | 'month' | 'quarter' | 'years'} Range */

const DAY_MS = 86_400_000;
/** @type {[Range, Key, number][]} */
const RANGES = [
  ['day', 'monitor.day', DAY_MS],
  ['week', 'monitor.week', 7 * DAY_MS],
  ['month', 'monitor.month', 30 * DAY_MS],
  ['quarter', 'monitor.quarter', 90 * DAY_MS],
  ['years', 'monitor.years', Infinity],
];
/** @type {[('max' | 'p95' | 'p50'), Key][]} */
const LINES = [
  ['max', 'monitor.max'],
  ['p95', 'monitor.p95'],
  ['p50', 'monitor.p50'],
];
const SIZE = { height: 180, band: 12, gap: 8, foot: 20, left: 4, right: 60 };
const WIDTH = 720;

export class Chart {
  /** @type {readonly Point[]} */
  points = [];
  /** @type {Range} */
  range = 'day';
  /** @type {Frame} */
  frame = frameOf([], DAY_MS, Date.now(), WIDTH, SIZE.height);
  drawing = svg('svg', { class: 'chart', 'aria-hidden': 'true' });
  cursor = svg('line', { class: 'cursor', y1: 0, y2: SIZE.height + SIZE.gap + SIZE.band });
  slider = h('input', { type: 'range', class: 'reader', min: 0, tLabel: 'monitor.chartReader' });
  readout = h('p', { class: 'readout' });
  none = h('p', { class: 'hint', t: 'monitor.noHistory' });

  /** @param {(range: Range) => void} chosen */
  constructor(chosen) {
    const buttons = RANGES.map(([range, words]) => h('button', { type: 'button', class: 'small', t: words, onclick: () => choose(range) }));
    const press = () => buttons.forEach((each, index) => each.setAttribute('aria-pressed', String(RANGES[index][0] === this.range)));
    const choose = (/** @type {Range} */ range) => {
      this.range = range;
      press();
      chosen(range);
    };
    press();
    const key = h('p', { class: 'hint key' }, ...LINES.map(([name, words]) => h('span', { class: name, t: words })), h('span', { class: 'failed', t: 'monitor.failedChecks' }));
    this.figure = h('div', { class: 'figure' }, this.drawing, this.slider);
    const head = h('div', { class: 'chart-head' }, h('h2', { t: 'monitor.responseTime' }), h('div', { class: 'ranges', role: 'group', tLabel: 'monitor.range' }, ...buttons));
    this.element = h('section', { class: 'card chart-card' }, head, this.figure, this.none, this.readout, key);
    this.slider.addEventListener('input', () => this.#read(Number(this.slider.value)));
    this.slider.addEventListener('focus', () => this.#read(Number(this.slider.value)));
    this.slider.addEventListener('blur', () => this.#read(-1));
    this.figure.addEventListener('pointermove', ({ clientX }) => this.#pointed(clientX));
    this.figure.addEventListener('pointerleave', () => this.#read(document.activeElement === this.slider ? Number(this.slider.value) : -1));
    new ResizeObserver(() => this.#draw()).observe(this.figure);
    written(this.element, () => this.#draw());
  }

  /** @param {readonly Point[]} points oldest first */
  show(points) {
    this.points = points;
    this.slider.max = String(Math.max(0, points.length - 1));
    this.slider.value = this.slider.max;
    this.#draw();
  }

  #draw() {
    const { points } = this;
    const [, , spanMs] = RANGES.find(([range]) => range === this.range) ?? RANGES[0];
    const whole = this.figure.clientWidth || WIDTH;
    const width = whole - SIZE.left - SIZE.right;
    this.frame = frameOf(points, spanMs, serverNow(), width, SIZE.height);
    const height = SIZE.height + SIZE.gap + SIZE.band + SIZE.foot;
    this.drawing.setAttribute('viewBox', `${-SIZE.left} -8 ${whole} ${height + 8}`);
    this.drawing.style.height = `${height + 8}px`;
    const lines = LINES.map(([name]) => svg('path', { class: name, d: chartLine(points, this.frame, name) }));
    this.drawing.replaceChildren(...this.#grid(), ...this.#days(), ...lines, ...this.#failures(), this.cursor);
    this.none.hidden = points.some(({ p50 }) => p50 !== null);
    this.slider.disabled = points.length === 0;
    this.#read(-1);
  }

  #grid() {
    const { width, top } = this.frame;
    return [0, top / 2, top].flatMap((value) => [
      svg('line', { class: 'grid', x1: 0, x2: width, y1: yOf(value, this.frame), y2: yOf(value, this.frame) }),
      svg('text', { x: width + SIZE.right - 4, y: yOf(value, this.frame) + 4, 'text-anchor': 'end' }, took(value)),
    ]);
  }

  /** Times below, as many as have room. */
  #days() {
    const { width, from, to } = this.frame;
    const marks = Math.max(2, Math.min(6, Math.floor(width / 110)));
    const y = SIZE.height + SIZE.gap + SIZE.band + 14;
    return Array.from({ length: marks + 1 }, (_, index) => {
      const at = from + ((to - from) * index) / marks;
      const anchor = index === 0 ? 'start' : index === marks ? 'end' : 'middle';
      return svg('text', { x: (width * index) / marks, y, 'text-anchor': anchor }, this.#mark(at));
    });
  }

  /** @param {number} at */
  #mark(at) {
    return this.range === 'day' ? clockTime(at) : new Date(at).toLocaleDateString(document.documentElement.lang, { month: 'short', day: 'numeric' });
  }

  /** The share of failed checks as a band: no check at all leaves a hole. What failed lies above a retry's success. */
  #failures() {
    const { width, from, to, step } = this.frame;
    const wide = Math.max(1, (step / (to - from)) * width - 1);
    const y = SIZE.height + SIZE.gap;
    const bands = this.points.flatMap((point) => {
      const down = downShare(point);
      return down === null ? [] : [{ x: Math.max(0, xOf(point, this.frame) - wide / 2), failed: down > 0 ? Math.max(3, down * SIZE.band) : 0 }];
    });
    const fine = bands.map(({ x }) => svg('rect', { class: 'fine', x, y, width: wide, height: SIZE.band }));
    const failed = bands.filter(({ failed }) => failed).map(({ x, failed }) => svg('rect', { class: 'failed', x, y: y + SIZE.band - failed, width: wide, height: failed }));
    return [...fine, ...failed];
  }

  /** @param {number} clientX */
  #pointed(clientX) {
    const x = clientX - this.figure.getBoundingClientRect().left - SIZE.left;
    const distances = this.points.map((point) => Math.abs(xOf(point, this.frame) - x));
    this.#read(distances.indexOf(Math.min(...distances)));
  }

  /** @param {number} index of the point to be read, -1: none */
  #read(index) {
    const point = this.points[index];
    this.cursor.classList.toggle('off', !point);
    const words = point ? this.#words(point) : '';
    write(this.readout, words || (this.none.hidden ? t('monitor.readHint') : ''));
    this.slider.setAttribute('aria-valuetext', words || t('monitor.noData'));
    if (!point) return;
    const x = String(xOf(point, this.frame));
    this.cursor.setAttribute('x1', x);
    this.cursor.setAttribute('x2', x);
  }

  /** @param {Point} point */
  #words(point) {
    const { at, up, degraded, down, p50, p95, max } = point;
    const when = this.range === 'day' ? clockTime(at) : `${dayName(at)}${this.frame.step < DAY_MS ? `, ${clockTime(at)}` : ''}`;
    const checks = up + degraded + down;
    const times = p50 === null ? t('monitor.noData') : t('monitor.times', { a: took(p50), b: took(p95), s: took(max) });
    const failed = down ? t('monitor.failedOf', { n: down, s: number(checks), a: share(down / checks) }) : t('monitor.checks', { n: checks });
    return `${when}: ${times} · ${failed}`;
  }
}

/** @param {unknown} told @returns {Point[]} */
export function pointsOf(told) {
  if (!Array.isArray(told)) return [];
  const count = (/** @type {unknown} */ value) => Number(value) || 0;
  const time = (/** @type {unknown} */ value) => (typeof value === 'number' ? value : null);
  return told.flatMap(({ at, up, degraded, down, unknown, average, max, p50, p95 }) => {
    const ms = Date.parse(at);
    if (Number.isNaN(ms)) return [];
    const counts = { up: count(up), degraded: count(degraded), down: count(down), unknown: count(unknown) };
    return [{ at: ms, ...counts, average: time(average), max: time(max), p50: time(p50), p95: time(p95) }];
  });
}
