/**
 * The services, each with how it is, its uptime, and a bar for each of the last 30 days.
 * @module
 */

import { fullTime, language, percent, t, timeAgo, utcDay } from '../i18n/index.js';
import { h, icon, svg, write } from '../shell/dom.js';

/** @typedef {import('./page.js').Service} Service */
/** @typedef {import('./page.js').Day} Day */
/** @typedef {import('../shell/dom.js').Icon} Icon */
/** @typedef {import('../shell/dom.js').Key} Key */

/** @type {Record<import('./page.js').Status | 'MAINTENANCE', [Icon, Key]>} */
const SIGNS = {
  UP: ['check', 'status.page.up'],
  DEGRADED: ['slow', 'status.page.slow'],
  DOWN: ['cross', 'status.page.down'],
  UNKNOWN: ['ask', 'status.page.unknown'],
  MAINTENANCE: ['tool', 'status.page.maintenance'],
};
/** @type {['day' | 'week' | 'month', Key][]} */
const WINDOWS = [
  ['day', 'status.page.day'],
  ['week', 'status.page.week'],
  ['month', 'status.page.month'],
];
const BAR = { width: 7, gap: 3, height: 32, stub: 8, least: 8, notch: 2 };

export class Services {
  /** @type {Map<string, Row>} by endpoint id */
  rows = new Map();
  list = h('ul', { class: 'services' });
  section = h('section', {}, h('h2', { t: 'status.page.services' }), this.list);

  /** @param {readonly Service[]} services in their order */
  show(services) {
    this.section.hidden = !services.length;
    const wanted = new Set(services.map(({ endpointId }) => endpointId));
    for (const [endpointId, row] of this.rows) {
      if (wanted.has(endpointId)) continue;
      row.element.remove();
      this.rows.delete(endpointId);
    }
    let next = this.list.firstElementChild;
    for (const service of services) {
      const row = this.rows.get(service.endpointId) ?? new Row();
      this.rows.set(service.endpointId, row);
      if (row.element === next) next = next.nextElementSibling;
      else this.list.insertBefore(row.element, next);
      row.show(service);
    }
  }
}

/** One service. What has not changed is not touched. */
class Row {
  look = '';
  /** @type {readonly Day[]} */
  days = [];
  name = h('h3');
  sign = h('span', { class: 'sign' });
  since = h('time');
  figures = h('dl', { class: 'uptimes' });
  bars = svg('svg', { class: 'days', role: 'img', preserveAspectRatio: 'none' });
  table = h('table');

  constructor() {
    this.details = h('details', {}, h('summary', { t: 'status.page.daily' }), this.table);
    this.details.addEventListener('toggle', () => this.showTable());
    const state = h('p', { class: 'state' }, this.sign, this.since);
    const ends = h('p', { class: 'ends hint', 'aria-hidden': 'true' }, h('span', { t: 'status.page.daysAgo' }), h('span', { t: 'status.page.today' }));
    this.element = h('li', { class: 'card' }, h('div', { class: 'head' }, this.name, state), this.bars, ends, this.figures, this.details);
  }

  /** @param {Service} service */
  show(service) {
    const { since, status } = service;
    const at = since !== null && (status === 'DOWN' || status === 'DEGRADED') ? Date.parse(since) : NaN;
    write(this.since, at ? timeAgo(Math.min(at, Date.now())) : '');
    const look = `${language()} ${JSON.stringify(service)}`;
    if (look === this.look) return;
    this.look = look;
    this.days = service.days;
    write(this.name, service.name);
    this.since.dateTime = at ? new Date(at).toISOString() : '';
    this.since.title = at ? fullTime(at) : '';
    const shown = service.maintenance ? 'MAINTENANCE' : status;
    const [picture, words] = SIGNS[shown] ?? SIGNS.UNKNOWN;
    this.sign.dataset.status = shown;
    this.sign.replaceChildren(icon(picture), h('span', { t: words }));
    this.figures.replaceChildren(
      ...WINDOWS.map(([window, key]) => h('div', {}, h('dt', { t: key }), h('dd', {}, uptimeWords(service.uptime[window])))),
    );
    this.drawBars();
    this.showTable();
  }

  drawBars() {
    const { days, bars } = this;
    const step = BAR.width + BAR.gap;
    bars.setAttribute('viewBox', `0 0 ${Math.max(1, days.length * step - BAR.gap)} ${BAR.height}`);
    bars.setAttribute('aria-label', summary(days));
    bars.replaceChildren(
      ...days.map((day, index) => {
        const target = svg('rect', { class: 'target', x: index * step, y: 0, width: step, height: BAR.height });
        return svg('g', {}, svg('title', {}, dayWords(day)), target, ...parts(day, index * step));
      }),
    );
  }

  /** The same as words, for whoever asks. */
  showTable() {
    if (!this.details.open) return;
    const heads = /** @type {Key[]} */ (['status.page.date', 'status.page.uptime', 'status.page.incidents']);
    const rows = [...this.days].reverse().map(({ date, uptime, incidents }) =>
      h('tr', {}, h('th', { scope: 'row' }, utcDay(Date.parse(date))), h('td', {}, uptimeWords(uptime)), h('td', {}, String(incidents))),
    );
    this.table.replaceChildren(
      h('thead', {}, h('tr', {}, ...heads.map((words) => h('th', { scope: 'col', t: words })))),
      h('tbody', {}, ...rows),
    );
  }
}

/**
 * A day: whole where it is well, a stub where nothing is known; what failed stands on top, with a notch between, so that
 * it is seen without its colour too.
 * @param {Day} day
 * @param {number} x
 */
function parts({ uptime, incidents }, x) {
  const place = { x, width: BAR.width, rx: 1.5 };
  if (uptime === null) return [svg('rect', { ...place, class: 'none', y: BAR.height - BAR.stub, height: BAR.stub })];
  if (uptime === 1 && !incidents) return [svg('rect', { ...place, class: 'good', y: 0, height: BAR.height })];
  const lost = Math.min(BAR.height, Math.max(BAR.least, Math.round((1 - uptime) * BAR.height)));
  const left = BAR.height - lost - BAR.notch;
  const bad = svg('rect', { ...place, class: uptime < 0.99 || incidents ? 'bad' : 'some', y: 0, height: lost });
  return left > 0 ? [bad, svg('rect', { ...place, class: 'good', y: lost + BAR.notch, height: left })] : [bad];
}

/** @param {Day} day */
function dayWords({ date, uptime, incidents }) {
  const name = utcDay(Date.parse(date));
  if (uptime === null) return t('status.page.dayNone', { name });
  return t(incidents ? 'status.page.dayIncidents' : 'status.page.dayUptime', { name, a: percent(uptime), n: incidents });
}

/** @param {readonly Day[]} days */
function summary(days) {
  const well = days.filter(({ uptime, incidents }) => uptime === 1 && !incidents).length;
  const none = days.filter(({ uptime, incidents }) => uptime === null && !incidents).length;
  return t('status.page.summary', { n: days.length, a: well, b: days.length - well - none, s: none });
}

/** @param {number | null} uptime 0 to 1, null: no data */
function uptimeWords(uptime) {
  return uptime === null ? t('status.page.noData') : percent(uptime);
}
