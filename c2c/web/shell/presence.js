/**
 * How others are: an element that follows them, and notices when those who are starred come online.
 * @module
 */

import { translate } from '../i18n/index.js';
import { h } from './dom.js';
import { authorization, identity } from './identity.js';
import { own, statusOf, statusSign } from './status.js';
import { kept } from './storage.js';
import { toast, toastError } from './toasts.js';

/** @typedef {import('../c2c.js').C2C} C2C */
/** @typedef {import('./status.js').Status} Status */
/** @typedef {{userId: string, username: string, status: Status}} Known */
/** @typedef {(person: Known, former: Known | undefined) => void} Follower `former`: undefined when it was not known */

/** The room that everybody is in. */
export const EVERYBODY = 'online';

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

// What every page does

/** @param {C2C} connection @param {string} userId */
export function startPresence(connection, userId) {
  watchPresence(connection);
  own.watch(connection, userId);
  if (noticesWanted()) void loadStarred();
}

// Another tab
addEventListener('storage', ({ key }) => {
  if (key === 'c2c.notices' || key === 'c2c.starred') void loadStarred();
});
