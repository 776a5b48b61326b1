/**
 * The list of everybody as a table.
 * @module
 */

import { fullTime, language, number, t, timeAgo } from '../i18n/index.js';
import { avatar, h, icon, write } from '../shell/dom.js';
import { roomAddress } from '../shell/links.js';
import { EVERYBODY, presence, star, starred } from '../shell/presence.js';
import { soughtIn } from './roster.js';

/** @typedef {import('./roster.js').Person} Person */
/** @typedef {import('./roster.js').Roster} Roster */
/** @typedef {'all' | 'starred' | import('../shell/status.js').Status} Filter */

const SPARE = 6;
const TOUCH_MS = 3_000;
const CLOCK_MS = 10_000;
/** @type {import('../shell/dom.js').Key[]} */
const COLUMNS = ['online.starred', 'online.person', 'online.status', 'online.room', 'online.devices', 'online.seen'];

/**
 * The list as a table, of which only the rows in sight exist; all are equally high. Whoever points at a row or has the
 * focus in it must not find another there: meanwhile newcomers come at the end and nobody else moves.
 */
export class PeopleList {
  /** @type {Filter} */
  filter = 'all';
  words = '';
  /** @type {readonly string[]} user ids in the order shown */
  ids = [];
  /** @type {Map<string, Row>} those that exist, by user id */
  rows = new Map();
  rowHeight = 0;
  frame = 0;
  /** What the order was made of; empty: it is to be made anew when nobody looks so closely any more. */
  key = '';
  selection = '';
  pointed = false;
  touchedAt = -Infinity;

  /**
   * @param {Roster} roster
   * @param {string} me user id
   * @param {() => void} drawn called after each drawing
   */
  constructor(roster, me, drawn) {
    this.roster = roster;
    this.me = me;
    this.drawn = drawn;
    this.body = h('div', { class: 'rows', role: 'rowgroup' });
    const heads = COLUMNS.map((name) => h('span', { role: 'columnheader', t: name }));
    const head = h('div', { role: 'rowgroup' }, h('div', { class: 'columns', role: 'row' }, ...heads));
    this.table = h('div', { class: 'table', role: 'table', tLabel: 'online.title' }, head, this.body);
    this.watchReader();
    setInterval(() => this.tick(), CLOCK_MS);
  }

  watchReader() {
    const { body } = this;
    const update = () => this.update();
    body.addEventListener('pointerenter', ({ pointerType }) => (this.pointed = pointerType === 'mouse'));
    body.addEventListener('pointerleave', () => {
      this.pointed = false;
      update();
    });
    body.addEventListener('focusout', update);
    body.addEventListener('touchstart', () => {
      this.touchedAt = Date.now();
      setTimeout(update, TOUCH_MS);
    });
    addEventListener('scroll', update);
    addEventListener('resize', () => {
      this.rowHeight = 0;
      update();
    });
  }

  get held() {
    return this.pointed || this.body.contains(document.activeElement) || Date.now() - this.touchedAt < TOUCH_MS;
  }

  /** Draws with the next frame. */
  update() {
    this.frame ||= requestAnimationFrame(() => {
      this.frame = 0;
      this.draw();
    });
  }

  draw() {
    const { top } = this.body.getBoundingClientRect();
    this.measure();
    const moved = this.arrange(top);
    const from = Math.max(0, Math.floor((moved - top) / this.rowHeight) - SPARE);
    const to = Math.ceil((moved - top + innerHeight) / this.rowHeight) + SPARE;
    this.body.style.height = `${this.ids.length * this.rowHeight}px`;
    this.place(from, Math.min(to, this.ids.length));
    if (moved) scrollBy({ top: moved, behavior: 'instant' });
    this.table.setAttribute('aria-rowcount', String(this.ids.length + 1));
    this.drawn();
  }

  measure() {
    if (this.rowHeight) return;
    const probe = h('div', { class: 'person', 'aria-hidden': 'true' });
    this.body.append(probe);
    this.rowHeight = probe.offsetHeight || 56;
    probe.remove();
  }

  /**
   * Brings the order up to date.
   * @param {number} top where the list begins, in pixels below the window's edge
   * @returns {number} how far to scroll so that what was at the window's edge stays there
   */
  arrange(top) {
    const { roster, ids } = this;
    const { people } = roster;
    const selection = `${this.filter} ${this.words}`;
    const key = `${this.filter === 'all' ? roster.order : roster.version} ${[...starred()].join(' ')} ${language()}`;
    const chosen = selection !== this.selection;
    if (key === this.key && !chosen) return 0;
    const sought = soughtIn(this.words);
    const fresh = roster.sorted(this.me, starred(), language()).filter((userId) => this.matches(userId, sought));
    const held = !chosen && this.held;
    this.selection = selection;
    this.key = held ? '' : key;
    if (held) {
      const shown = new Set(ids);
      this.ids = [...ids.filter((userId) => people.has(userId)), ...fresh.filter((userId) => !shown.has(userId))];
      return 0;
    }
    this.ids = fresh;
    const first = Math.floor(-top / this.rowHeight);
    if (chosen || first < 1) return 0;
    const anchor = ids.findIndex((userId, index) => index >= first && people.has(userId));
    const after = fresh.indexOf(ids[anchor]);
    return after < 0 ? 0 : (after - anchor) * this.rowHeight;
  }

  /** @param {string} userId @param {string} sought */
  matches(userId, sought) {
    const person = this.roster.people.get(userId);
    if (!person?.sought.includes(sought)) return false;
    return this.filter === 'all' || person.status === this.filter || (this.filter === 'starred' && starred().has(userId));
  }

  /** Makes the rows of this part, in order, and takes the others away. @param {number} from @param {number} to */
  place(from, to) {
    const { rows, body, ids } = this;
    const wanted = new Map(ids.slice(from, to).map((userId, index) => [userId, from + index]));
    for (const [userId, { element }] of rows) {
      if (wanted.has(userId)) continue;
      const index = element.contains(document.activeElement) ? ids.indexOf(userId) : -1;
      if (index >= 0) {
        wanted.set(userId, index); // else the focus would be lost
      } else {
        element.remove();
        rows.delete(userId);
      }
    }
    let next = body.firstElementChild;
    for (const [userId, index] of [...wanted].sort(([, a], [, b]) => a - b)) {
      const row = rows.get(userId) ?? new Row(userId, userId === this.me);
      rows.set(userId, row);
      if (row.element === next) next = next.nextElementSibling;
      else body.insertBefore(row.element, next);
      row.show(/** @type {Person} */ (this.roster.people.get(userId)), index, this.rowHeight);
    }
  }

  /** Time passes: only its words change, each in its place. */
  tick() {
    if (document.hidden) return;
    for (const row of this.rows.values()) row.showTime();
    if (!this.key) this.update();
  }
}

/** One person's line. What has not changed is not touched. */
class Row {
  /** @type {Person | undefined} */
  person;
  look = '';
  top = -1;

  /** @param {string} userId @param {boolean} self */
  constructor(userId, self) {
    const cell = (/** @type {string} */ name, /** @type {import('../shell/dom.js').Child[]} */ ...children) =>
      h('span', { class: name, role: 'cell' }, ...children);
    this.star = h('button', { type: 'button', class: 'quiet', onclick: () => void star(userId, !starred().has(userId)) });
    this.star.append(icon('star'));
    this.name = h('span', { class: 'name' });
    this.id = h('span', { class: 'hint id' });
    this.face = h('span', { class: 'face' });
    this.sign = presence(userId, 'offline');
    this.room = cell('room');
    this.devices = cell('devices');
    this.time = h('time', {});
    const you = self && h('span', { class: 'you', t: 'people.you' });
    const who = h('span', { class: 'who' }, h('span', { class: 'line' }, this.name, you), this.id);
    const cells = [cell('star', !self && this.star), cell('whole', this.face, who), cell('status-cell', this.sign)];
    this.element = h('div', { class: 'person', role: 'row' }, ...cells, this.room, this.devices, cell('seen', this.time));
  }

  /** @param {Person} person @param {number} index @param {number} height */
  show(person, index, height) {
    if (index * height !== this.top) {
      this.top = index * height;
      this.element.style.transform = `translateY(${this.top}px)`;
      this.element.setAttribute('aria-rowindex', String(index + 2));
    }
    const look = `${starred().has(person.userId)} ${language()}`;
    if (person === this.person && look === this.look) return;
    const former = look === this.look ? this.person : undefined;
    this.person = person;
    this.look = look;
    this.fill(person, former);
  }

  /** @param {Person} person @param {Person | undefined} former undefined: everything anew */
  fill({ userId, username, status, roomId, connections }, former) {
    if (username !== former?.username) {
      const words = t('online.starWhom', { name: username });
      this.star.title = words;
      this.star.setAttribute('aria-label', words);
      this.face.replaceChildren(avatar(userId, username));
      write(this.name, username);
      write(this.id, username === userId ? '' : userId);
    }
    if (status !== former?.status) {
      this.sign.setAttribute('status', status);
      this.element.classList.toggle('gone', status === 'offline');
    }
    this.star.setAttribute('aria-pressed', String(starred().has(userId)));
    if (roomId !== former?.roomId) this.room.replaceChildren(...roomLink(roomId));
    if (connections !== former?.connections) this.devices.replaceChildren(...deviceCount(connections));
    this.showTime();
  }

  showTime() {
    const { seenAt = 0, status } = this.person ?? {};
    const now = Date.now();
    const at = status === 'online' || status === 'busy' ? now : Math.min(seenAt, now);
    write(this.time, at ? timeAgo(at) : '');
    if (at && at !== now) {
      this.time.dateTime = new Date(at).toISOString();
      this.time.title = fullTime(at);
    } else {
      for (const name of ['datetime', 'title']) this.time.removeAttribute(name);
    }
  }
}

/** @param {string} roomId */
function roomLink(roomId) {
  if (!roomId || roomId === EVERYBODY) return [];
  return [h('a', { href: roomAddress(roomId), title: roomId }, icon('room'), h('span', {}, roomId))];
}

/** In words, and as a number for where there is little room; a single one needs no mention there. @param {number} n */
function deviceCount(n) {
  const long = h('span', { class: 'long' }, t('online.deviceCount', { n }));
  const short = h('span', { class: 'short', 'aria-hidden': 'true' }, icon('device'), number(n));
  return n > 1 ? [long, short] : n ? [long] : [];
}
