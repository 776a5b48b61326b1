/**
 * The statuses that there are, and one's own: by choice, or `away` after five minutes without input in any tab.
 * @module
 */

import { translate } from '../i18n/index.js';
import { h, icon } from './dom.js';
import { kept } from './storage.js';
import { toastError } from './toasts.js';

/** @typedef {import('../c2c.js').C2C} C2C */
/** @typedef {(typeof STATUSES)[number]} Status */

const STATUSES = /** @type {const} */ (['online', 'away', 'busy', 'offline']);
/** @type {Record<Status, import('./dom.js').Icon>} */
const SIGNS = { online: 'check', away: 'hands', busy: 'minus', offline: 'cross' };
const IDLE_MS = 5 * 60_000;
/** Input so soon after the last says nothing new. */
const NOTE_MS = 2_000;
const RETRY_MS = 10_000;
const INPUTS = ['pointermove', 'pointerdown', 'keydown', 'wheel', 'touchstart', 'focus'];

/** @param {unknown} value @returns {Status} */
export function statusOf(value) {
  return STATUSES.find((status) => status === value) ?? 'offline';
}

/** @param {Status} status */
export function statusSign(status) {
  return h('span', { class: `status ${status}`, 'aria-hidden': 'true' }, icon(SIGNS[status]));
}

// Oneself

class OwnStatus {
  /** @type {Status | undefined} as others see it */
  status;
  /** @type {Status | undefined} on its way to the server */
  wanted;
  userId = '';
  activeAt = 0;
  timer = 0;
  /** @type {boolean | undefined} what the server was told of this connection: whether nobody is at it */
  told;
  /** Counts choices: an outdated answer says nothing. */
  turn = 0;
  /** @type {C2C | undefined} */
  client;
  /** @type {Set<() => void>} */
  listeners = new Set();

  get shown() {
    return this.wanted ?? this.status;
  }

  /** @param {() => void} listener */
  onChange(listener) {
    this.listeners.add(listener);
  }

  /** @param {C2C} client @param {string} userId */
  watch(client, userId) {
    this.client = client;
    this.userId = userId;
    this.listen();
    client.on('status', () => this.connected());
    this.connected();
  }

  listen() {
    if (this.activeAt) return;
    this.activeAt = lastActive();
    if (!document.hidden) this.active();
    for (const type of INPUTS) addEventListener(type, () => this.active(), { capture: true, passive: true });
    document.addEventListener('visibilitychange', () => document.hidden || this.active());
  }

  /** With each connection: the server knows nothing of it, and the status may have changed. */
  connected() {
    this.told = undefined;
    this.judge();
  }

  async ask() {
    const turn = this.turn;
    const query = { t: 'status:query', targetUserId: this.userId };
    const answer = await this.client?.send(query).catch(() => undefined);
    if (answer && turn === this.turn) this.heard(answer.status);
  }

  /** @param {unknown} status as the server says; what is on its way has its own answer */
  heard(status) {
    if (!this.wanted) this.keep(statusOf(status));
  }

  /** For all tabs. @param {Status} status */
  keep(status) {
    this.status = status;
    kept.set('own', { userId: this.userId, status });
    this.changed();
  }

  readKept() {
    const own = /** @type {any} */ (kept.get('own'));
    if (!this.status || own?.userId !== this.userId) return;
    this.status = statusOf(own.status);
    this.changed();
  }

  changed() {
    for (const listener of this.listeners) listener();
  }

  /** By hand: it stays. @param {Status} status */
  choose(status) {
    this.update(status).catch(toastError);
  }

  /** Shown at once; what the server answers holds. @param {Status} status */
  async update(status) {
    const turn = ++this.turn;
    this.wanted = status;
    this.changed();
    try {
      const answer = await this.client?.send({ t: 'status:update', status });
      if (turn === this.turn) this.keep(statusOf(answer?.status));
    } finally {
      if (turn === this.turn) this.wanted = undefined;
      this.changed();
    }
  }

  /** There was input. */
  active() {
    const now = Date.now();
    const restedMs = now - this.activeAt;
    if (restedMs >= 0 && restedMs < NOTE_MS) return;
    this.activeAt = now;
    kept.set('active', now);
    if (this.told) this.judge();
  }

  /** Tells the server when this browser falls idle, and when it no longer is. */
  judge() {
    clearTimeout(this.timer);
    if (this.client?.status !== 'connected') return;
    const leftMs = Math.max(this.activeAt, lastActive()) + IDLE_MS - Date.now();
    if (leftMs > 0) this.timer = window.setTimeout(() => this.judge(), leftMs);
    if (this.told !== leftMs <= 0) void this.tell(leftMs <= 0);
  }

  /** @param {boolean} idle */
  async tell(idle) {
    this.told = idle;
    try {
      await this.client?.send({ t: 'status:idle', idle });
      await this.ask();
    } catch {
      if (this.told !== idle) return;
      this.told = undefined;
      clearTimeout(this.timer);
      this.timer = window.setTimeout(() => this.judge(), RETRY_MS);
    }
  }
}

/** When there was input in any tab of this browser, in ms since 1970. @returns {number} */
function lastActive() {
  const at = Number(kept.get('active'));
  return at <= Date.now() ? at : 0;
}

export const own = new OwnStatus();

let switches = 0;

/** The statuses as one choice, with what it means. */
export class StatusSwitch extends HTMLElement {
  name = `status-${++switches}`;
  hint = h('p', { class: 'hint' });
  radios = STATUSES.map((value) => h('input', { type: 'radio', class: 'unseen', name: this.name, value }));

  connectedCallback() {
    const labels = STATUSES.map((status, index) => {
      this.radios[index].addEventListener('change', () => own.choose(status));
      const words = h('span', { t: status === 'offline' ? 'own.hidden' : `status.${status}` });
      return h('label', {}, this.radios[index], statusSign(status), words);
    });
    const legend = h('legend', { t: 'own.title' });
    this.append(h('fieldset', {}, legend, h('div', { class: 'options' }, ...labels)), this.hint);
    own.onChange(() => this.show());
    this.show();
  }

  show() {
    const { shown, told } = own;
    for (const radio of this.radios) radio.checked = radio.value === shown;
    this.hidden = !shown;
    if (!shown) return;
    this.hint.dataset.t = told && shown === 'away' ? 'own.idleHint' : `status.hint.${shown}`;
    translate(this.hint);
  }
}

customElements.define('c2c-status-switch', StatusSwitch);

// Another tab
addEventListener('storage', ({ key }) => {
  if (key === 'c2c.own') own.readKept();
  if (key === 'c2c.active' && own.told) own.judge();
});
