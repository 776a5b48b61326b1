/**
 * How everything does, for anybody: read every half minute while somebody looks, over plain HTTP and without sign-in.
 * @module
 */

import { addWords, onLanguage, t, timeAgo } from '../i18n/index.js';
import en from '../i18n/status.en.js';
import ko from '../i18n/status.ko.js';
import { find, h, icon, logo, write } from '../shell/dom.js';
import { languageSwitch } from '../shell/languages.js';
import { Events } from './events.js';
import { Services } from './services.js';

/**
 * @typedef {'UP' | 'DEGRADED' | 'DOWN' | 'UNKNOWN'} Status
 * @typedef {{date: string, uptime: number | null, incidents: number}} Day
 * @typedef {{endpointId: string, name: string, status: Status, since: string | null, maintenance: boolean,
 *   uptime: {day: number | null, week: number | null, month: number | null}, days: Day[]}} Service
 * @typedef {{endpointId: string, endpointName: string, startedAt: string, resolvedAt: string | null,
 *   duration: number | null, acknowledged: boolean}} Incident
 * @typedef {{title: string, endpointIds: string[], active: boolean, nextStart: string | null, nextEnd: string | null}} Maintenance
 * @typedef {{status: Status, endpoints: Service[], incidents: Incident[], windows: Maintenance[]}} Report
 * @typedef {import('../shell/dom.js').Icon} Icon
 */

addWords({ en, ko });

const REFRESH_MS = 30_000;
const CLOCK_MS = 10_000;
/** @type {Record<Status, Icon>} */
const PICTURES = { UP: 'check', DEGRADED: 'slow', DOWN: 'alert', UNKNOWN: 'ask' };

class Page {
  /** @type {Report | undefined} */
  report;
  /** When it was read, in ms since 1970. */
  readAt = 0;
  askedAt = 0;
  failed = false;
  loading = false;

  constructor() {
    this.picture = h('span', { class: 'verdict-icon' });
    this.verdict = h('h1');
    this.time = h('p', { class: 'hint' });
    this.problem = h('p', { class: 'problem', role: 'status' });
    const words = h('div', {}, h('div', { role: 'status' }, this.verdict), this.time, this.problem);
    this.banner = h('section', { class: 'verdict' }, this.picture, words);
    this.services = new Services();
    this.events = new Events();
    this.main = find(document, 'main', HTMLElement);
    this.main.className = 'centred';
    this.main.replaceChildren(h('p', { class: 'entering', role: 'status', t: 'status.page.loading' }));
    onLanguage(() => this.draw());
    document.addEventListener('visibilitychange', () => this.tick());
    setInterval(() => this.tick(), CLOCK_MS);
    void this.load();
  }

  /** Nobody is told anything while nobody looks; who comes back sees what is new at once. */
  tick() {
    if (document.hidden) return;
    if (Date.now() - this.askedAt >= REFRESH_MS) void this.load();
    else this.draw();
  }

  async load() {
    if (this.loading) return;
    this.loading = true;
    this.askedAt = Date.now();
    try {
      const answer = await fetch('/api/status', { cache: 'no-cache' });
      const { data, success } = await answer.json();
      if (!success) throw new Error('refused');
      this.report = data;
      this.readAt = Date.now();
      this.failed = false;
    } catch {
      this.failed = true;
    }
    this.loading = false;
    this.draw();
  }

  draw() {
    const { report, main } = this;
    if (!report && !this.failed) return;
    if (!this.banner.isConnected) {
      main.className = 'report';
      main.replaceChildren(this.banner, this.events.now, this.services.section, this.events.later, this.events.past);
    }
    const status = report?.status ?? 'UNKNOWN';
    if (this.banner.dataset.status !== status) {
      this.banner.dataset.status = status;
      this.picture.replaceChildren(icon(PICTURES[status]));
    }
    write(this.verdict, verdictWords(report));
    write(this.time, this.readAt ? t('status.page.updated', { a: timeAgo(this.readAt) }) : '');
    write(this.problem, this.failed ? t(report ? 'status.page.stale' : 'status.page.failed') : '');
    document.title = `${verdictWords(report)} · c2c`;
    this.services.show(report?.endpoints ?? []);
    this.events.show(report);
  }
}

/** @param {Report | undefined} report */
function verdictWords(report) {
  if (!report) return t('status.page.title');
  if (!report.endpoints.length) return t('status.page.nothing');
  if (report.status === 'UP') return t('status.page.allUp');
  if (report.status === 'UNKNOWN') return t('status.page.notKnown');
  const n = report.endpoints.filter(({ status, maintenance }) => status === report.status && !maintenance).length;
  return t(report.status === 'DOWN' ? 'status.page.someDown' : 'status.page.someSlow', { n });
}

find(document, '.bar', HTMLElement).append(h('span', { class: 'brand' }, logo(), h('span', {}, 'c2c')), languageSwitch());
new Page();
