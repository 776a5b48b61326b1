/**
 * The page of all endpoints: what is open on top, then how many are how, the list, and what c2c watches of itself.
 * @module
 */

import { language, onLanguage, t } from '../i18n/index.js';
import { h, icon, write } from '../shell/dom.js';
import { toastError } from '../shell/toasts.js';
import { Actions, Menu } from './actions.js';
import { ago, whileShown } from './aging.js';
import { Endpoints } from './endpoints.js';
import { OpenIncidents } from './incidents.js';
import { EndpointList } from './list.js';
import { tellNews } from './news.js';
import { Results } from './results.js';
import { badge, button, lookOf, why } from './signs.js';
import { searchBox, tiles } from './tiles.js';

/** @typedef {import('./model.js').Endpoint} Endpoint */

export const ALL = 'all-endpoints';
const PAGE = 200;
const RETRY_MS = 3_000;
const WINDOWS_MS = 60_000;

export class Board {
  endpoints = new Endpoints();
  /** Counts snapshots: pages of an older one are of no use. */
  #turn = 0;
  #windowsAt = Date.now();
  #isOpened = false;
  /** px of empty space that stands for what has gone from above the list. */
  #above = 0;
  #emptyKey = '';
  windowCount = h('span', { class: 'count' });
  /** @type {import('./windows.js').Windows | undefined} */
  windows;

  /**
   * @param {import('./enter.js').Entered} entered
   */
  constructor({ main, room, api, me: { role } }) {
    const { endpoints } = this;
    const mayWrite = role !== 'viewer';
    this.main = main;
    this.room = room;
    this.api = api;
    this.mayWrite = mayWrite;
    this.results = new Results((ids, signal) => api('GET', `endpoints/results?ids=${ids.map(encodeURIComponent).join(',')}`, undefined, signal), (ids) => this.list.refresh(ids));
    this.actions = new Actions(api, role === 'admin');
    const menu = new Menu((id) => this.#actionsOf(id));
    this.list = new EndpointList(endpoints, this.results, mayWrite ? (opener, id) => menu.open(opener, id) : null, () => this.#drawn());
    this.incidents = new OpenIncidents({ api, mayWrite, linked: true });
    this.tiles = tiles((filter) => {
      this.list.filter = filter;
      this.list.update();
    });
    const search = searchBox((words) => {
      this.list.words = words;
      this.list.update();
    });
    this.maintenance = this.#maintenance();
    this.suspects = h('p', { class: 'banner', role: 'status', hidden: true });
    this.waits = h('p', { class: 'waits', hidden: true }, icon('cycle'), h('span', { t: 'monitor.orderWaits' }));
    this.empty = h('div', { class: 'nothing', hidden: true });
    this.builtin = h('details', { class: 'card builtin', hidden: true });
    const add = mayWrite && button('plus', 'monitor.add', () => void this.actions.add(), 'primary');
    const title = h('div', { class: 'title' }, h('h1', { t: 'monitor.title' }), add);
    const bar = h('div', { class: 'toolbar' }, search, this.waits);
    main.className = 'monitor';
    main.replaceChildren(title, this.suspects, this.incidents.element, this.tiles.element, h('section', { class: 'board', tLabel: 'monitor.endpoints' }, bar, this.list.table, this.empty), this.builtin, this.maintenance, menu.element);
    this.#listen();
    this.#replace();
    this.list.draw();
  }

  #listen() {
    const { room } = this;
    room.on('*', (event) => {
      if (event.t === 'joined' || event.t === 'replaced' || event.t === 'closed') return;
      this.endpoints.heard(event);
      if (event.t === 'check:completed') this.results.heard(event);
      else tellNews(event);
      this.list.update();
    });
    room.on('replaced', () => {
      this.results.reset();
      this.#replace();
    });
    const stop = onLanguage(() => this.#drawn());
    whileShown(this.list.table, () => this.#tick(), stop);
  }

  #replace() {
    this.endpoints.replace(this.room.state);
    this.list.update();
    void this.#loadPages(this.room.state.next);
  }

  /** What did not fit into the snapshot. @param {unknown} after */
  async #loadPages(after) {
    const turn = ++this.#turn;
    while (!this.endpoints.complete && turn === this.#turn && this.list.table.isConnected) {
      try {
        const page = await this.api('GET', `endpoints?limit=${PAGE}&after=${encodeURIComponent(String(after ?? ''))}`);
        if (turn !== this.#turn) return;
        // A page goes on behind an endpoint, and that one may have moved meanwhile.
        const lacks = page.more !== true && this.endpoints.lacks(page.endpoints, Number(page.stats?.total));
        this.endpoints.page(page.endpoints, page.more === true || lacks);
        this.list.update();
        after = lacks ? '' : page.next;
        if (lacks) await later();
      } catch {
        await later();
      }
    }
  }

  /** What is planned is loaded when somebody wants to see it. */
  #maintenance() {
    const head = h('summary', {}, h('h2', {}, h('span', { t: 'monitor.windows' }), this.windowCount));
    const card = h('details', { class: 'card' }, head);
    card.addEventListener('toggle', async () => {
      if (this.windows) return;
      const { Windows } = await import('./windows.js');
      this.windows = new Windows(this.api, this.mayWrite, () => [...this.endpoints.all.values()]);
      card.append(this.windows.element);
      this.windows.show(this.endpoints.windows);
    });
    return card;
  }

  /** @param {string} id */
  #actionsOf(id) {
    const endpoint = this.endpoints.all.get(id);
    return endpoint ? this.actions.of(endpoint) : [];
  }

  #drawn() {
    const { list } = this;
    if (!list.table.isConnected) return; // the page's title is no longer ours
    const top = list.held ? list.top : undefined;
    this.#show();
    if (top !== undefined) this.#keepPlace(list.top - top);
    else this.#setSpace((this.#above = 0), 0);
  }

  /**
   * What appears or goes above the list must not move it under a pointer: the page is scrolled as far and, where that is
   * not far enough, gets space at its ends until the pointer leaves.
   * @param {number} px
   */
  #keepPlace(px) {
    if (!px) return;
    const free = px > 0 ? Math.min(this.#above, px) : Math.max(-scrollY, px) - px;
    this.#above += px > 0 ? -free : free;
    const top = scrollY + px + (px > 0 ? -free : free);
    this.#setSpace(this.#above, top + innerHeight);
    scrollTo({ top, behavior: 'instant' });
  }

  /** @param {number} above @param {number} height of the whole page, at least; px */
  #setSpace(above, height) {
    const { style, offsetTop } = this.main;
    style.paddingTop = above ? `calc(var(--s6) + ${above}px)` : '';
    style.minHeight = height ? `${height - offsetTop}px` : '';
  }

  #show() {
    const { endpoints, list } = this;
    const { counts, down } = endpoints;
    this.tiles.show(counts);
    this.incidents.show(endpoints.incidents);
    write(this.windowCount, endpoints.windows.length ? String(endpoints.windows.length) : '');
    this.windows?.show(endpoints.windows);
    this.waits.hidden = !list.order.waits;
    this.suspects.hidden = endpoints.suspects.size === 0;
    write(this.suspects, t('monitor.suspects', { name: [...endpoints.suspects].join(', ') }));
    const title = `${down ? `(${down}) ` : ''}${t('monitor.title')} – c2c`;
    if (document.title !== title) document.title = title;
    this.#showEmpty(counts.all);
    this.#showBuiltin();
  }

  /** @param {number} total */
  #showEmpty(total) {
    const { list } = this;
    const isEmpty = list.order.ids.length === 0 && this.endpoints.complete;
    this.empty.hidden = !isEmpty;
    list.table.hidden = isEmpty;
    const key = `${isEmpty} ${total > 0} ${list.words} ${language()}`;
    if (key === this.#emptyKey) return;
    this.#emptyKey = key;
    if (total > 0) {
      this.empty.replaceChildren(h('p', {}, list.words ? t('monitor.noMatch', { text: list.words }) : t('monitor.noneSuch')));
    } else {
      const add = this.mayWrite && button('plus', 'monitor.addFirst', () => void this.actions.add(), 'primary');
      this.empty.replaceChildren(icon('pulse'), h('h2', { t: 'monitor.empty' }), h('p', { t: 'monitor.emptyHint' }), ...(add ? [add] : []));
    }
  }

  /** What c2c watches of itself: folded while all is well. */
  #showBuiltin() {
    const found = this.endpoints.builtin.sort((a, b) => a.name.localeCompare(b.name));
    const troubled = found.filter(({ status }) => status === 'DOWN' || status === 'DEGRADED');
    const look = lookOf(troubled.find(({ status }) => status === 'DOWN') ?? troubled[0] ?? { status: 'UP', paused: false });
    const key = JSON.stringify([found.map(({ name, status, errorMessage }) => [name, status, errorMessage]), language()]);
    this.builtin.hidden = !found.length;
    if (troubled.length > 0 !== this.#isOpened) this.builtin.open = this.#isOpened = troubled.length > 0;
    if (this.builtin.dataset.key !== key) {
      this.builtin.dataset.key = key;
      const head = h('summary', {}, h('h2', {}, h('span', { t: 'monitor.builtin' })), badge(look));
      this.builtin.replaceChildren(head, h('ul', { class: 'parts' }, ...found.map(part)));
    }
    this.#showTimes(found);
  }

  /** @param {Endpoint[]} found */
  #showTimes(found) {
    const times = this.builtin.querySelectorAll('time');
    found.forEach(({ checkedAt }, index) => times[index] && write(times[index], ago(checkedAt)));
  }

  #tick() {
    this.incidents.tick();
    this.#showBuiltin();
    if (Date.now() - this.#windowsAt > WINDOWS_MS) void this.#readWindows();
  }

  /** Which are active, and when the next begin, changes with time alone. */
  async #readWindows() {
    this.#windowsAt = Date.now();
    if (!this.endpoints.windows.length) return;
    try {
      const { windows } = await this.api('GET', 'maintenance');
      this.endpoints.heard({ t: 'maintenance:changed', windows });
      this.list.update();
    } catch (error) {
      if (!(error instanceof Error && 'code' in error)) toastError(error);
    }
  }
}

function later() {
  return new Promise((resolve) => setTimeout(resolve, RETRY_MS));
}

/** @param {Endpoint} endpoint */
function part(endpoint) {
  const { endpointId, name } = endpoint;
  const link = h('a', { class: 'name', href: `/monitor/${encodeURIComponent(endpointId)}` }, name);
  const words = endpoint.status === 'UP' ? '' : why(endpoint) || endpoint.errorMessage;
  return h('li', {}, badge(lookOf(endpoint)), link, h('span', { class: 'hint' }, words), h('time', { class: 'hint' }));
}
