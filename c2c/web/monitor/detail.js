/**
 * The page of one endpoint: how it is and was, its incidents and what people say about them.
 * @module
 */

import { onLanguage, t } from '../i18n/index.js';
import { h, icon, write } from '../shell/dom.js';
import { toastError } from '../shell/toasts.js';
import { Actions, pathOf } from './actions.js';
import { duration, whileShown } from './aging.js';
import { serverNow } from './api.js';
import { Chart, pointsOf } from './chart.js';
import { showFacts } from './facts.js';
import { chatOf, OpenIncidents } from './incidents.js';
import { endpointOf, incidentOf, listOf, merged, resultOf } from './model.js';
import { tellNews } from './news.js';
import { Past } from './past.js';
import { phasesBar } from './phases.js';
import { badge, button, lookOf, tags, why } from './signs.js';
import { Strip } from './strip.js';

/** @typedef {import('./model.js').Incident} Incident */

/** What the SDK says itself. */
const OWN = ['joined', 'replaced', 'closed'];
const KEPT = 60;
const INCIDENTS = 50;
const FRESH_MS = 60_000;

export class Detail {
  /** As the server told of it, with what events have changed since. @type {any} */
  whole = {};
  /** @type {import('./model.js').Result[]} */
  checks = [];
  /** @type {Map<string, Incident>} */
  incidents = new Map();
  /** @type {any} */
  uptime = {};
  /** Counts requests for the history: answers of older ones are of no use. */
  #turn = 0;
  #readAt = 0;
  #talkOf = '';

  /** @param {import('./enter.js').Entered} entered @param {(name: string) => void} gone */
  constructor({ main, client, room, api, me }, gone) {
    this.client = client;
    this.room = room;
    this.api = api;
    this.me = me;
    this.gone = gone;
    this.mayWrite = me.role !== 'viewer';
    this.actions = new Actions(api, me.role === 'admin');
    this.head = h('div', { class: 'detail-head' });
    this.name = h('h1', {});
    this.state = h('div', { class: 'state' });
    this.since = h('span', { class: 'hint' });
    this.buttons = h('div', { class: 'buttons' });
    this.figures = h('dl', { class: 'facts' });
    this.strip = new Strip(KEPT);
    this.phases = h('div', {});
    this.open = new OpenIncidents({ api, mayWrite: this.mayWrite, linked: false });
    this.talk = h('section', { class: 'card talk', tLabel: 'monitor.talk', hidden: true });
    this.chart = new Chart(() => void this.#readHistory());
    this.past = new Past();
    this.error = h('p', { class: 'why-down', hidden: true });
    this.#build(main);
    this.#listen();
    this.#replace();
  }

  /** @param {HTMLElement} main */
  #build(main) {
    const back = h('a', { class: 'button quiet back', href: '/monitor', tLabel: 'monitor.back', tTitle: 'monitor.back' }, icon('back'));
    const words = h('div', { class: 'detail-words' }, this.name, this.state);
    this.head.append(back, words, this.buttons);
    const checks = h('section', { class: 'card checks' }, h('h2', { t: 'monitor.lastChecks' }), this.strip.element, h('h3', { t: 'monitor.phases' }), this.phases);
    main.className = 'monitor detail';
    const cards = h('div', { class: 'detail-cards' }, checks, this.chart.element, this.past.element);
    main.replaceChildren(this.head, this.error, this.open.element, this.figures, h('div', { class: 'detail-body' }, this.talk, cards));
  }

  #listen() {
    const { room } = this;
    room.on('*', (event) => this.#heard(event));
    room.on('replaced', () => this.#replace());
    room.on('closed', () => void this.#leaveTalk());
    const stop = onLanguage(() => this.#show());
    whileShown(this.head, () => this.#tick(), stop);
  }

  #replace() {
    const { endpoints, incidents, checks } = /** @type {any} */ (this.room.state);
    this.whole = endpoints?.[0] ?? { endpointId: this.room.roomId.replace(/^endpoint:/, '') };
    this.incidents = new Map(listOf(incidents, 'incidentId').map((each) => [each.incidentId, incidentOf(each)]));
    this.checks = Array.isArray(checks) ? checks.flatMap((each) => resultOf(each) ?? []) : [];
    this.#show();
    void this.#readHistory();
  }

  /** @param {any} event */
  #heard(event) {
    const { t: type, endpoint, changes } = event;
    if (OWN.includes(type) || typeof type !== 'string' || !this.head.isConnected) return;
    if (type === 'endpoint:deleted') return this.#deleted(event);
    if (type === 'check:completed') this.#checked(event);
    else tellNews(event);
    if (endpoint) this.#changed(endpoint, changes);
    if (type.startsWith('incident:')) this.#incident(event);
    this.#show();
  }

  /** What a summary leaves out is empty. @param {any} endpoint @param {any} changes */
  #changed(endpoint, changes) {
    const empty = { paused: false, failureCount: 0, errorMessage: '', reason: null, incidentId: null, maintenance: false };
    this.whole = { ...this.whole, ...empty, ...changes, ...endpoint };
    if (changes) void this.#readWhole();
  }

  /** @param {any} event */
  #checked(event) {
    const { status, responseTime, statusCode, errorMessage, reason, checkedAt, phases, slot } = event;
    const { maintenance = this.whole.maintenance, certificateExpiresAt = this.whole.certificateExpiresAt } = event;
    const isGood = status === 'UP' || status === 'DEGRADED';
    const failureCount = isGood ? 0 : (this.whole.failureCount ?? 0) + Number(status === 'DOWN');
    this.whole = { ...this.whole, responseTime, statusCode, errorMessage: isGood ? '' : errorMessage, reason, checkedAt, phases, failureCount, maintenance, certificateExpiresAt };
    const result = resultOf({ ...event, at: slot });
    if (result) this.checks = merged(this.checks, [result], KEPT);
  }

  /** @param {any} event */
  #incident({ t: type, incidentId, ...event }) {
    const known = this.incidents.get(incidentId);
    if (type === 'incident:started') this.incidents.set(incidentId, incidentOf({ incidentId, ...event, reopened: Number(event.reopened) }));
    if (type === 'incident:acknowledged' && known) {
      this.incidents.set(incidentId, incidentOf({ ...known, acknowledged: event }));
    }
    if (type === 'incident:resolved') this.incidents.delete(incidentId);
    void this.#readHistory();
  }

  /** @param {any} event */
  #deleted({ name }) {
    void this.room.leave();
    void this.#leaveTalk();
    this.gone(String(name ?? this.whole.name ?? ''));
  }

  /** What no event of this room tells: whether maintenance goes on, when the next check is due, and what is masked. */
  async #readWhole() {
    const before = this.whole;
    const found = await this.api('GET', pathOf(before.endpointId)).catch(() => undefined);
    if (!found || this.whole !== before) return; // what was heard meanwhile may be newer
    this.whole = { ...this.whole, ...found };
    this.#show();
  }

  async #readHistory() {
    const turn = ++this.#turn;
    this.#readAt = Date.now();
    try {
      const { endpointId } = this.whole;
      const [{ points, uptime }, { incidents, stats }] = await Promise.all([
        this.api('GET', `${pathOf(endpointId)}/history?range=${this.chart.range}`),
        this.api('GET', `incidents?endpointId=${encodeURIComponent(endpointId)}&limit=${INCIDENTS}`),
      ]);
      if (turn !== this.#turn) return;
      this.uptime = uptime ?? {};
      this.chart.show(pointsOf(points));
      this.past.told(listOf(incidents, 'incidentId').map(incidentOf), stats);
      this.#showFacts();
    } catch (error) {
      if (turn === this.#turn && this.head.isConnected) toastError(error);
    }
  }

  #show() {
    if (!this.head.isConnected) return;
    const endpoint = endpointOf(this.whole);
    const { name, url, status, paused, kind } = endpoint;
    const look = lookOf(endpoint);
    write(this.name, name);
    const address = url || t(kind === 'push' ? 'monitor.push' : 'monitor.builtinPart');
    this.state.replaceChildren(badge(look), ...tags(endpoint, endpoint.maintenance), this.since, h('span', { class: 'hint address' }, address));
    const actions = this.mayWrite ? this.actions.of(endpoint) : [];
    const key = actions.map(({ words }) => words).join();
    if (this.buttons.dataset.key !== key) {
      this.buttons.dataset.key = key;
      this.buttons.replaceChildren(...actions.map(({ picture, words }, index) => button(picture, words, () => this.#act(index))));
    }
    const failed = status === 'DOWN' || endpoint.failureCount > 0;
    this.error.hidden = !failed || this.incidents.size > 0;
    write(this.error, [why(endpoint), endpoint.errorMessage].filter(Boolean).join(' · '));
    this.strip.show(this.checks);
    this.phases.replaceChildren(phasesBar(this.whole.phases));
    this.open.show(this.incidents);
    this.past.show(this.incidents);
    this.#showFacts();
    this.#showTitle(name, status === 'DOWN' && !paused);
    void this.#showTalk();
  }

  /** @param {number} index */
  #act(index) {
    this.actions.of(endpointOf(this.whole))[index]?.run();
  }

  /** @param {string} name @param {boolean} isDown */
  #showTitle(name, isDown) {
    const title = `${isDown ? '(1) ' : ''}${name} – c2c`;
    if (document.title !== title) document.title = title;
  }

  #showFacts() {
    showFacts(this.figures, this.whole, this.uptime);
    const { since } = endpointOf(this.whole);
    write(this.since, since ? t('monitor.since', { a: duration((serverNow() - since) / 1000) }) : '');
  }

  #tick() {
    this.open.tick();
    this.#showFacts();
    if (Date.now() - this.#readAt <= FRESH_MS) return;
    void this.#readHistory();
    void this.#readWhole();
  }

  /** The chat of the newest open incident stays when that is over: the last words are often said then. */
  async #showTalk() {
    const [newest] = [...this.incidents.keys()].slice(-1);
    if (!newest || newest === this.#talkOf) return;
    this.#talkOf = newest;
    const { openTalk } = await import('./talk.js');
    await openTalk(this.client, chatOf(newest), this.me, this.talk);
  }
  /** Without the endpoint's page there is no place for what is said about it. */
  async #leaveTalk() {
    if (!this.#talkOf) return;
    const { closeTalk } = await import('./talk.js');
    await closeTalk();
  }
}
