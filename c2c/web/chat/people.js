/**
 * Who is in the room, how they are, and who is writing.
 * @module
 */

import { onLanguage, t } from '../i18n/index.js';
import { avatar, h } from '../shell/dom.js';
import { presence } from '../shell/presence.js';
import { own, statusOf } from '../shell/status.js';

/** @typedef {import('../shell/status.js').Status} Status */

const ORDER = /** @type {const} */ (['online', 'busy', 'away', 'offline']);
const SHOWN = 200;
const TYPING_MS = 6_000;

/** The list of members: oneself, then by status and name. */
export class People {
  /**
   * @param {HTMLElement} panel
   * @param {string} me user id
   * @param {(count: number) => void} counted
   */
  constructor(panel, me, counted) {
    this.me = me;
    this.counted = counted;
    /** @type {Map<string, Status>} */
    this.members = new Map();
    /** @type {Map<string, string>} names that events told */
    this.names = new Map();
    this.frame = 0;
    this.list = h('ul', { class: 'people' });
    this.rest = h('p', { class: 'hint' });
    panel.append(this.list, this.rest);
    onLanguage(() => this.update());
  }

  /**
   * Everybody, as the server says.
   * @param {Iterable<string>} members
   * @param {ReadonlyMap<string, string>} presence
   */
  replace(members, presence) {
    this.members = new Map([...members].map((userId) => [userId, statusOf(presence.get(userId))]));
    this.update();
  }

  /**
   * @param {string} userId
   * @param {unknown} name
   */
  nameIs(userId, name) {
    if (typeof name !== 'string' || !name || this.names.get(userId) === name) return;
    this.names.set(userId, name);
    this.update();
  }

  /** @param {string} userId */
  nameOf(userId) {
    return this.names.get(userId) ?? userId;
  }

  /** @param {string} userId */
  joined(userId) {
    if (!this.members.has(userId)) this.members.set(userId, 'online');
    this.update();
  }

  /** @param {string} userId */
  left(userId) {
    this.members.delete(userId);
    this.update();
  }

  /**
   * @param {string} userId
   * @param {unknown} status
   */
  statusIs(userId, status) {
    if (this.members.has(userId)) this.members.set(userId, statusOf(status));
    if (userId === this.me) own.heard(status);
    this.update();
  }

  update() {
    this.frame ||= requestAnimationFrame(() => {
      this.frame = 0;
      this.draw();
    });
  }

  draw() {
    const sorted = [...this.members].sort(([a, x], [b, y]) => this.rank(a, x) - this.rank(b, y) || this.compare(a, b));
    const shown = sorted.slice(0, SHOWN);
    this.list.replaceChildren(...shown.map(([userId, status]) => this.person(userId, status)));
    this.rest.textContent = sorted.length > SHOWN ? t('people.rest', { n: sorted.length - SHOWN }) : '';
    this.counted(sorted.length);
  }

  /**
   * @param {string} userId
   * @param {Status} status
   */
  rank(userId, status) {
    return userId === this.me ? -1 : ORDER.indexOf(status);
  }

  /**
   * @param {string} a
   * @param {string} b
   */
  compare(a, b) {
    return this.nameOf(a).localeCompare(this.nameOf(b));
  }

  /**
   * @param {string} userId
   * @param {Status} status
   */
  person(userId, status) {
    const [name, words] = [this.nameOf(userId), t(`status.${status}`)];
    const self = userId === this.me && h('span', { class: 'hint' }, t('people.you'));
    const sign = presence(userId, status, true);
    return h('li', { title: `${name}, ${words}` }, avatar(userId, name), h('span', { class: 'name' }, name), self, sign);
  }
}

/** The line that says who is writing. Whoever says nothing more for 6 s has stopped. */
export class Typists {
  /**
   * @param {HTMLElement} line
   * @param {(userId: string) => string} nameOf
   */
  constructor(line, nameOf) {
    this.line = line;
    this.nameOf = nameOf;
    /** @type {Map<string, number>} user id → its timer */
    this.timers = new Map();
    onLanguage(() => this.draw());
  }

  /**
   * @param {string} userId
   * @param {boolean} typing
   */
  typing(userId, typing) {
    const known = this.timers.has(userId);
    if (!typing && !known) return;
    clearTimeout(this.timers.get(userId));
    if (typing) this.timers.set(userId, window.setTimeout(() => this.typing(userId, false), TYPING_MS));
    else this.timers.delete(userId);
    if (typing !== known) this.draw();
  }

  draw() {
    const [a, b, ...more] = [...this.timers.keys()].map((userId) => this.nameOf(userId));
    if (a === undefined) this.line.textContent = '';
    else if (b === undefined) this.line.textContent = t('typing.one', { a });
    else this.line.textContent = more.length ? t('typing.several') : t('typing.two', { a, b });
  }
}
