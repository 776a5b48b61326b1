/**
 * How others are: an element that follows them, and notices when those who are starred come online. And oneself: by
 * choice, or `away` after five minutes without input in any tab.
 * @module
 */

import { translate } from '../i18n/index.js';
import { h, icon } from './dom.js';
import { authorization, identity } from './identity.js';
import { kept } from './storage.js';
import { toast, toastError } from './toasts.js';

/** @typedef {import('../c2c.js').C2C} C2C */
/** @typedef {(typeof STATUSES)[number]} Status */
/** @typedef {{userId: string, username: string, status: Status}} Known */
/** @typedef {(person: Known, former: Known | undefined) => void} Follower `former`: undefined when it was not known */

export const STATUSES = /** @type {const} */ (['online', 'away', 'busy', 'offline']);
/** The room that everybody is in. */
export const EVERYBODY = 'online';
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

// Following some people

/** @type {C2C | undefined} */
let client;
/** @type {import('../c2c.js').Room | undefined} joined for the first who is followed */
let room;
/** @type {Map<string, Set<Follower>>} by user id */
const followers = new Map();
/** @type {Map<string, Known>} those of them that are known */
const known = new Map();

/** @param {C2C} connection the one that tells of others from now on */
export function watchPresence(connection) {
  client = connection;
  room = undefined;
  known.clear();
  if (followers.size) void enter(connection);
}

/** @param {C2C} connection */
async function enter(connection) {
  const isNew = !connection.rooms.has(EVERYBODY); // else its state is old
  const joined = await connection.join(EVERYBODY).catch(() => undefined);
  if (!joined || connection !== client || room) return;
  room = joined;
  room.on('user:status', ({ users }) => Array.isArray(users) && users.forEach(tell));
  room.on('replaced', () => {
    known.clear();
    readState();
  });
  room.on('joined', lookForUnknown);
  if (isNew) readState();
  else lookForUnknown();
}

function readState() {
  const { users } = room?.state ?? {};
  if (Array.isArray(users)) users.forEach(tell);
  lookForUnknown();
}

/** Whoever is not in the snapshot is offline, or on a later page of it. */
function lookForUnknown() {
  for (const userId of followers.keys()) void look(userId);
}

/** @param {string} userId */
async function look(userId) {
  if (known.has(userId)) return;
  const answer = await query(userId);
  if (!known.has(userId)) tell(answer); // else an event was quicker, and it is newer
}

/** @param {string} userId @returns {Promise<any>} undefined without a connection; the next one asks again */
function query(userId) {
  return Promise.resolve(client?.send({ t: 'status:query', targetUserId: userId })).catch(() => undefined);
}

/** @param {any} person as the server tells */
function tell(person) {
  const { userId, username, status } = person ?? {};
  const listeners = followers.get(userId);
  if (!listeners) return;
  const former = known.get(userId);
  const now = { userId, username: String(username || userId), status: statusOf(status) };
  known.set(userId, now);
  for (const listener of [...listeners]) listener(now, former);
}

/** Tells how somebody is, until the returned is called. @param {string} userId @param {Follower} listener */
export function follow(userId, listener) {
  const listeners = followers.get(userId) ?? new Set();
  followers.set(userId, listeners.add(listener));
  const now = known.get(userId);
  if (now) listener(now, undefined);
  else if (room) void look(userId);
  else if (client) void enter(client);
  return () => {
    listeners.delete(listener);
    if (listeners.size || followers.get(userId) !== listeners) return;
    followers.delete(userId);
    known.delete(userId);
  };
}

/** `<c2c-presence user="kim">`, once a client is watched; `compact`: a sign only; `status="…"`: that, for pages that know. */
class Presence extends HTMLElement {
  static observedAttributes = ['user', 'status'];
  word = h('span', { class: 'status-word' });
  /** @type {(() => void) | undefined} */
  stop;

  connectedCallback() {
    this.find();
  }

  disconnectedCallback() {
    this.stop?.();
  }

  attributeChangedCallback() {
    if (this.isConnected) this.find();
  }

  find() {
    const [user, status] = [this.getAttribute('user'), this.getAttribute('status')];
    this.stop?.();
    this.stop = undefined;
    this.replaceChildren();
    if (status !== null) this.show(statusOf(status));
    else if (user) this.stop = follow(user, (person) => this.show(person.status));
  }

  /** @param {Status} status */
  show(status) {
    this.word.dataset.t = `status.${status}`;
    translate(this.word);
    this.replaceChildren(statusSign(status), this.word);
  }
}

customElements.define('c2c-presence', Presence);

/** @param {string} user @param {Status} status kept up to date by the page @param {boolean} [compact] */
export function presence(user, status, compact = false) {
  const element = new Presence();
  element.setAttribute('user', user);
  element.setAttribute('status', status);
  element.toggleAttribute('compact', compact);
  return element;
}

// Starred people

/** @type {Set<() => void>} */
const starListeners = new Set();
/** @type {ReadonlySet<string>} user ids of those whom one has starred, as far as they were read */
let stars = new Set();
/** @type {Map<string, () => void>} by user id: what ends the following */
const noticed = new Map();

export const starred = () => stars;

/** @param {() => void} listener */
export function onStarred(listener) {
  starListeners.add(listener);
}

/** @param {Iterable<string>} userIds */
function starredAre(userIds) {
  stars = new Set(userIds);
  for (const listener of starListeners) listener();
  followStarred();
}

/** Asks as the one who has signed in. @param {string} path @param {string} [method] @returns {Promise<any>} `data` */
export async function ask(path, method = 'GET') {
  const me = await identity();
  // Nobody there: so it is said to people.
  const answer = await fetch(path, { method, headers: me ? authorization(me) : {} }).catch(() => undefined);
  const { data, error } = (await answer?.json()) ?? { error: { code: 'SERVICE_UNAVAILABLE' } };
  if (error) throw Object.assign(new Error(error.message), { code: error.code });
  return data;
}

export async function loadStarred() {
  const found = await ask('/api/starred').catch(() => undefined); // else they stay as they were
  if (found) starredAre(found.users);
}

/** Shown at once; taken back when the server refuses. @param {string} userId @param {boolean} wanted */
export async function star(userId, wanted) {
  const change = (/** @type {boolean} */ to) => {
    const others = [...stars].filter((other) => other !== userId);
    starredAre(to ? [...others, userId] : others);
  };
  change(wanted);
  try {
    await ask(`/api/starred/${encodeURIComponent(userId)}`, wanted ? 'PUT' : 'DELETE');
    kept.set('starred', Date.now());
  } catch (error) {
    change(!wanted);
    toastError(error);
  }
}

/** Whether one wants to be told when somebody starred comes online. */
export const noticesWanted = () => kept.get('notices') === true;

/** @param {boolean} wanted */
export function wantNotices(wanted) {
  kept.set('notices', wanted || undefined);
  followStarred();
}

function followStarred() {
  const wanted = noticesWanted() ? stars : new Set();
  for (const [userId, stop] of noticed) {
    if (wanted.has(userId)) continue;
    stop();
    noticed.delete(userId);
  }
  for (const userId of stars) if (wanted.has(userId) && !noticed.has(userId)) noticed.set(userId, follow(userId, notice));
}

/** @type {Follower} */
function notice({ status, username }, former) {
  const came = former?.status === 'offline' && status !== 'offline';
  if (came && !document.hidden) toast('info', 'notice.came', { name: username });
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
    const answer = await query(this.userId);
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

// What every page does

/** @param {C2C} connection @param {string} userId */
export function startPresence(connection, userId) {
  watchPresence(connection);
  own.watch(connection, userId);
  if (noticesWanted()) void loadStarred();
}

// Another tab
addEventListener('storage', ({ key }) => {
  if (key === 'c2c.own') own.readKept();
  if (key === 'c2c.active' && own.told) own.judge();
  if (key === 'c2c.notices' || key === 'c2c.starred') void loadStarred();
});
