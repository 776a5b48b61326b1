/**
 * The list of endpoints, of which only the rows in sight exist; all are equally high.
 * @module
 */

import { language, onLanguage } from '../i18n/index.js';
import { h } from '../shell/dom.js';
import { whileShown } from './aging.js';
import { serverNow } from './api.js';
import { Order } from './order.js';
import { Row } from './row.js';
import { soughtIn } from './model.js';

/** @typedef {import('./endpoints.js').Endpoints} Endpoints */
/** @typedef {import('./endpoints.js').Filter} Filter */
/** @typedef {import('./results.js').Results} Results */
/** @typedef {import('../shell/dom.js').Key} Key */

const SPARE = 5;
const TOUCH_MS = 3_000;
const ROW_PX = 64;
/** @type {[Key, string][]} */
const COLUMNS = [
  ['monitor.status', 'how'],
  ['monitor.endpoint', 'what'],
  ['monitor.lastChecks', 'bars'],
  ['monitor.responseTime', 'speed'],
  ['monitor.uptime24', 'uptime'],
  ['monitor.checked', 'checked'],
  ['monitor.more', 'do'],
];

export class EndpointList {
  /** @type {Filter} */
  filter = 'all';
  words = '';
  order = new Order();
  /** @type {Map<string, Row>} those that exist, by id */
  rows = new Map();
  #rowHeight = 0;
  #frame = 0;
  #selection = '';
  #pointed = false;
  #touchedAt = -Infinity;

  /**
   * @param {Endpoints} endpoints
   * @param {Results} results
   * @param {((button: HTMLElement, endpointId: string) => void) | null} openMenu
   * @param {() => void} drawn called after each drawing
   */
  constructor(endpoints, results, openMenu, drawn) {
    this.endpoints = endpoints;
    this.results = results;
    this.openMenu = openMenu;
    this.drawn = drawn;
    this.body = h('div', { class: 'endpoints', role: 'rowgroup' });
    const heads = COLUMNS.map(([name, column]) => h('span', { class: column, role: 'columnheader' }, h('span', { t: name })));
    const head = h('div', { role: 'rowgroup' }, h('div', { class: 'columns', role: 'row' }, ...heads));
    this.table = h('div', { class: 'table', role: 'table', tLabel: 'monitor.endpoints' }, head, this.body);
    const gone = new AbortController();
    this.#watchReader(gone.signal);
    gone.signal.addEventListener('abort', onLanguage(() => this.update()));
    whileShown(this.table, () => this.#tick(), () => {
      gone.abort();
      this.results.show([]);
    });
  }

  /** @param {AbortSignal} signal ends what would outlast the list */
  #watchReader(signal) {
    const { body } = this;
    const update = () => this.update();
    body.addEventListener('pointerenter', ({ pointerType }) => (this.#pointed = pointerType === 'mouse'));
    body.addEventListener('pointerleave', () => {
      this.#pointed = false;
      update();
    });
    body.addEventListener('focusout', update);
    body.addEventListener('touchstart', () => {
      this.#touchedAt = Date.now();
      setTimeout(update, TOUCH_MS);
    }, { passive: true });
    addEventListener('scroll', update, { passive: true, signal });
    addEventListener('resize', () => {
      this.#rowHeight = 0;
      update();
    }, { signal });
  }

  /** Whether somebody is about to choose a row: it must not move away. */
  get held() {
    return this.#pointed || this.body.contains(document.activeElement) || Date.now() - this.#touchedAt < TOUCH_MS;
  }

  /** Where it stands, in pixels below the window's edge. */
  get top() {
    return this.table.getBoundingClientRect().top;
  }

  /** Draws with the next frame. */
  update() {
    this.#frame ||= requestAnimationFrame(() => {
      this.#frame = 0;
      this.draw();
    });
  }

  draw() {
    if (!this.table.isConnected) return; // something else is shown in its place
    this.#arrange();
    const { ids } = this.order;
    const [from, to] = this.#measured(() => this.#inSight());
    this.body.style.height = `${ids.length * this.#rowHeight}px`;
    this.#place(Math.max(0, from - SPARE), Math.min(to + SPARE, ids.length));
    this.results.show(ids.slice(from, to));
    this.table.setAttribute('aria-rowcount', String(ids.length + 1));
    this.drawn();
  }

  /** @returns {[number, number]} the first row that can be seen, and the one after the last */
  #inSight() {
    const { top } = this.body.getBoundingClientRect();
    const at = (/** @type {number} */ y) => Math.max(0, (y - top) / this.#rowHeight);
    return [Math.floor(at(0)), Math.ceil(at(innerHeight))];
  }

  /**
   * With a row's height known. What tells it stays until the work is done, so that the page is laid out once for both.
   * @template T
   * @param {() => T} work
   */
  #measured(work) {
    if (this.#rowHeight) return work();
    const probe = h('div', { class: 'endpoint', 'aria-hidden': 'true' });
    this.body.append(probe);
    this.#rowHeight = probe.offsetHeight || ROW_PX;
    const done = work();
    probe.remove();
    return done;
  }

  #arrange() {
    const { endpoints, filter } = this;
    const sought = soughtIn(this.words);
    const selection = `${filter} ${sought}`;
    const held = selection === this.#selection && this.held;
    this.#selection = selection;
    const fresh = endpoints.sorted(language()).filter((id) => endpoints.matches(id, filter, sought));
    this.order.arrange(fresh, (id) => endpoints.all.has(id), held);
  }

  /** Makes the rows of this part, in order, and takes the others away. @param {number} from @param {number} to */
  #place(from, to) {
    const { rows, body, order } = this;
    const wanted = new Map(order.ids.slice(from, to).map((id, index) => [id, from + index]));
    for (const [id, { element }] of rows) {
      if (wanted.has(id)) continue;
      const index = element.contains(document.activeElement) ? order.ids.indexOf(id) : -1;
      if (index >= 0) {
        wanted.set(id, index); // else the focus would be lost
      } else {
        element.remove();
        rows.delete(id);
      }
    }
    let next = body.firstElementChild;
    for (const [id, index] of [...wanted].sort(([, a], [, b]) => a - b)) {
      const row = rows.get(id) ?? new Row(id, this.openMenu);
      rows.set(id, row);
      if (row.element === next) next = next.nextElementSibling;
      else body.insertBefore(row.element, next);
      row.place(index, this.#rowHeight);
      this.#show(id, row);
    }
  }

  /** @param {string} id @param {Row} row */
  #show(id, row) {
    const endpoint = this.endpoints.all.get(id);
    if (endpoint) row.show(endpoint, this.endpoints.inMaintenance(id, serverNow()), this.results.of(id));
  }

  /** What concerns these rows only, and moves none of them. @param {Iterable<string>} ids */
  refresh(ids) {
    for (const id of ids) {
      const row = this.rows.get(id);
      if (row) this.#show(id, row);
    }
  }

  /** Time passes: words change in their places, and uptimes grow old. */
  #tick() {
    for (const row of this.rows.values()) row.showTime();
    if (this.#rowHeight) this.results.show(this.order.ids.slice(...this.#inSight()));
  }
}
