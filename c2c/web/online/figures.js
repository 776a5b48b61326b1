/**
 * How many there were in the last day.
 * @module
 */

import { hourTime, number, onLanguage, t } from '../i18n/index.js';
import { h, svg } from '../shell/dom.js';
import { ask } from '../shell/presence.js';

/** @typedef {{at: number, peak?: number, average?: number}} Hour `at`: when it began, in ms since 1970 */

const REFRESH_MS = 60_000;
const HOURS = 24;
const HOUR_MS = 3_600_000;
const CHART = { top: 8, height: 112 };

/** The last 24 hours as bars, and as a table for screen readers. */
export class Figures {
  /** @type {Hour[]} */
  hours = lastHours([]);

  constructor() {
    this.summary = h('dl', { class: 'figures' });
    this.chart = svg('svg', { class: 'chart', role: 'img', height: CHART.top + CHART.height + 18 });
    this.table = h('table', { class: 'unseen' });
    const [peak, average] = [h('span', { class: 'peak', t: 'chart.peak' }), h('span', { class: 'average', t: 'chart.average' })];
    const head = h('summary', {}, h('h2', { t: 'chart.title' }));
    const open = matchMedia('(min-width: 40rem)').matches;
    const key = h('p', { class: 'hint key' }, peak, average);
    this.card = h('details', { class: 'card', open }, head, this.summary, this.chart, key, this.table);
    const load = () => document.hidden || void this.load();
    onLanguage(() => this.draw());
    document.addEventListener('visibilitychange', load);
    setInterval(load, REFRESH_MS);
    load();
  }

  async load() {
    const found = await ask(`/api/online-status/stats/summary?hours=${HOURS}&days=1`).catch(() => undefined);
    if (!Array.isArray(found?.hours)) return;
    this.hours = lastHours(found.hours);
    this.draw();
  }

  draw() {
    const measured = this.hours.filter(({ peak }) => peak !== undefined);
    const [highest] = [...measured].sort((a, b) => Number(b.peak) - Number(a.peak));
    const mean = measured.reduce((sum, { average = 0 }) => sum + average, 0) / (measured.length || 1);
    this.summary.replaceChildren(
      figure('chart.peak', number(highest?.peak ?? 0), highest ? hourTime(highest.at) : ''),
      figure('chart.average', number(mean, mean < 10 ? 1 : 0), ''),
    );
    this.chart.replaceChildren(svg('title', {}, t('chart.title')), ...bars(this.hours));
    const rows = measured.map(({ at, peak = 0, average = 0 }) => [hourTime(at), number(peak), number(average, 1)]);
    const heads = [t('chart.hour'), t('chart.peak'), t('chart.average')];
    this.table.replaceChildren(
      h('caption', {}, t('chart.title')),
      h('tr', {}, ...heads.map((text) => h('th', { scope: 'col' }, text))),
      ...rows.map(([hour, ...values]) => h('tr', {}, h('th', { scope: 'row' }, hour), ...values.map((text) => h('td', {}, text)))),
    );
  }
}

/** Every hour, also those without a measurement. @param {any[]} found @returns {Hour[]} */
function lastHours(found) {
  const known = new Map(found.map(({ from, peak, average }) => [Date.parse(from), { peak, average }]));
  const latest = Math.max(Math.floor(Date.now() / HOUR_MS) * HOUR_MS, ...known.keys());
  return Array.from({ length: HOURS }, (_, index) => {
    const at = latest - (HOURS - 1 - index) * HOUR_MS;
    return { at, ...known.get(at) };
  });
}

/** @param {Hour[]} hours */
function bars(hours) {
  const most = Math.max(2, ...hours.map(({ peak = 0 }) => peak));
  const ten = 10 ** Math.floor(Math.log10(most));
  const top = [1, 2, 4, 6, 8, 10].map((step) => step * ten).find((step) => step >= most) ?? most;
  const y = (/** @type {number} */ value) => CHART.top + CHART.height * (1 - value / top);
  const x = (/** @type {number} */ hour) => `${(hour / HOURS) * 90}%`; // the rest is for the numbers
  const lines = [0, top / 2, top].flatMap((value) => [
    svg('line', { x1: 0, x2: x(HOURS), y1: y(value), y2: y(value) }),
    svg('text', { x: '100%', y: y(value) + 4, 'text-anchor': 'end' }, number(value)),
  ]);
  const columns = hours.flatMap(({ at, peak, average = 0 }, hour) => {
    const marks = hour % 6 === 2 ? [svg('text', { x: x(hour + 0.5), y: y(0) + 15, 'text-anchor': 'middle' }, hourTime(at))] : [];
    if (peak === undefined) return marks;
    const words = t('chart.bar', { name: hourTime(at), a: number(peak), b: number(average, 1) });
    const place = { x: x(hour + 0.14), width: x(0.72), rx: 2 };
    const parts = Object.entries({ column: top, peak, average }).map(([name, value]) =>
      svg('rect', { ...place, class: name, y: y(value), height: y(0) - y(value) }),
    );
    return [svg('g', {}, svg('title', {}, words), ...parts), ...marks];
  });
  return [...lines, ...columns];
}

/** @param {import('../shell/dom.js').Key} name @param {string} value @param {string} when */
function figure(name, value, when) {
  return h('div', {}, h('dt', { t: name }), h('dd', {}, value, when && h('span', { class: 'hint' }, when)));
}
