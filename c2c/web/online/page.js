/**
 * The page of everybody: who is there and how, one's own status, and how many there were in the last day.
 * @module
 */

import { C2CError } from '../c2c.js';
import { errorWords, fullTime, hourTime, language, number, onLanguage, t, timeAgo } from '../i18n/index.js';
import { avatar, find, h, icon, showNotice, svg, write } from '../shell/dom.js';
import { Header } from '../shell/header.js';
import { beforeSignOut, signIn } from '../shell/identity.js';
import { roomAddress } from '../shell/links.js';
import { ask, EVERYBODY, follow, loadStarred, noticesWanted, onStarred, own, presence } from '../shell/presence.js';
import { star, starred, statusOf, statusSign, StatusSwitch, wantNotices } from '../shell/presence.js';
import { Roster, soughtIn } from './roster.js';

/** @typedef {import('../shell/dom.js').Key} Key */
/** @typedef {import('./roster.js').Person} Person */
/** @typedef {'all' | 'starred' | import('../shell/presence.js').Status} Filter */
/** @typedef {{at: number, peak?: number, average?: number}} Hour `at`: when it began, in ms since 1970 */

const PAGE = 500;
const RETRY_MS = 3_000;
const FIGURES_MS = 60_000;
const HOURS = 24;
const HOUR_MS = 3_600_000;
const SPARE = 6;
const TOUCH_MS = 3_000;
const CLOCK_MS = 10_000;
/** @type {Key[]} */
const COLUMNS = ['online.starred', 'online.person', 'online.status', 'online.room', 'online.devices', 'online.seen'];
const CHART = { top: 8, height: 112 };
/** @type {[Filter, Key, Key][]} each with its name, and what stands there instead of nobody */
const FILTERS = [
  ['all', 'online.all', 'online.alone'],
  ['online', 'status.online', 'online.nobody'],
  ['away', 'status.away', 'online.nobody'],
  ['busy', 'status.busy', 'online.nobody'],
  ['offline', 'status.offline', 'online.nobodyLeft'],
  ['starred', 'online.starred', 'online.nobodyStarred'],
];

const main = find(document, 'main', HTMLElement);
const header = find(document, 'c2c-header', Header);

/** @param {Key} reason */
function showSignInNeeded(reason) {
  const again = h('button', { type: 'button', class: 'primary', t: 'signIn.open', onclick: () => void start() });
  showNotice('people', 'signIn.open', h('span', { t: reason }), again);
}

/** @param {string | undefined} code */
function showRefused(code) {
  showNotice('people', 'refused.title', errorWords(code), h('a', { class: 'button primary', href: '/', t: 'gone.back' }));
}

/** The room of everybody and its place on the page. */
class Everybody {
  /**
   * @param {import('../c2c.js').C2C} client
   * @param {import('../c2c.js').Room} room
   * @param {string} me user id
   */
  constructor(client, room, me) {
    this.client = client;
    this.room = room;
    /** Counts snapshots: pages of an older one are of no use. */
    this.turn = 0;
    this.roster = new Roster();
    this.list = new PeopleList(this.roster, me, () => this.drawn());
    this.tools = tools(this.list);
    this.total = h('p', { class: 'total', role: 'status' });
    this.empty = h('p', { class: 'empty' });
    const side = h('aside', { tLabel: 'own.title' }, ownCard(), new Figures().card);
    const list = h('section', { class: 'everybody', tLabel: 'online.title' }, this.tools.bar, this.list.table, this.empty);
    main.className = 'online';
    main.replaceChildren(h('div', { class: 'title' }, h('h1', { t: 'online.title' }), this.total), side, list);
    this.listen();
    this.replace();
    this.list.draw();
  }

  listen() {
    const { room, roster, list } = this;
    room.on('user:status', ({ users }) => {
      roster.heard(users);
      list.update();
    });
    room.on('replaced', () => this.replace());
    room.on('joined', ({ recovered }) => recovered && void this.loadPages());
    room.on('closed', ({ error }) => showRefused(error.code));
    onStarred(() => {
      list.update();
      void this.lookForStarred();
    });
    onLanguage(() => list.update());
    follow(list.me, ({ status }) => own.heard(status));
    void loadStarred();
  }

  replace() {
    this.roster.replace(this.room.state);
    this.list.update();
    void this.loadPages(this.room.state.next);
  }

  /** What is missing yet. @param {unknown} [after] user id; after a broken connection from the beginning */
  async loadPages(after) {
    const turn = ++this.turn;
    while (!this.roster.complete && turn === this.turn) {
      try {
        const page = await this.client.send({ t: 'online:list', limit: PAGE, ...(after ? { after } : {}) });
        if (turn !== this.turn) return;
        this.roster.page(page.users, page.more === true);
        this.list.update();
        after = page.next;
      } catch {
        await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
      }
    }
    void this.lookForStarred();
  }

  /** Those who are not there are in no page: each is asked for. */
  async lookForStarred() {
    for (const userId of starred()) {
      if (!this.roster.complete || this.roster.people.has(userId)) continue;
      const answer = await this.client.send({ t: 'status:query', targetUserId: userId }).catch(() => undefined);
      this.roster.looked(answer);
      this.list.update();
    }
  }

  drawn() {
    const { present, people, counts, complete } = this.roster;
    const { ids, words, filter } = this.list;
    const stars = [...starred()].filter((userId) => people.has(userId)).length;
    this.tools.show({ ...counts, ...present, all: present.total + counts.offline, starred: stars });
    write(this.total, t('online.total', { n: present.total, text: number(present.total) }));
    const alone = ids.length === 1 && filter === 'all' && !words;
    this.empty.hidden = !complete || (ids.length > 0 && !alone);
    const [, name, nobody] = FILTERS.find(([each]) => each === filter) ?? FILTERS[0];
    write(this.empty, words ? t('online.noMatch', { text: words }) : t(nobody, { a: t(name) }));
  }
}

/** @param {PeopleList} list */
function tools(list) {
  const words = /** @type {const} */ ({ tLabel: 'online.search', tPlaceholder: 'online.search' });
  const search = h('input', { type: 'search', autocomplete: 'off', autocapitalize: 'none', spellcheck: 'false', ...words });
  const counts = FILTERS.map(() => h('span', { class: 'count' }));
  const buttons = FILTERS.map(([filter, name], index) => {
    const sign = filter === 'starred' ? icon('star') : filter !== 'all' && statusSign(statusOf(filter));
    const button = h('button', { type: 'button', class: 'small' }, sign, h('span', { t: name }), counts[index]);
    button.addEventListener('click', () => choose(filter));
    return button;
  });
  const choose = (/** @type {Filter} */ filter) => {
    list.filter = filter;
    list.update();
    buttons.forEach((button, index) => button.setAttribute('aria-pressed', String(FILTERS[index][0] === filter)));
  };
  search.addEventListener('input', () => {
    list.words = search.value;
    list.update();
  });
  choose(list.filter);
  const filters = h('div', { class: 'filters', role: 'group', tLabel: 'online.status' }, ...buttons);
  return {
    bar: h('div', { class: 'toolbar' }, h('div', { class: 'search' }, icon('search'), search), filters),
    /** @param {Record<Filter, number>} numbers */
    show: (numbers) => FILTERS.forEach(([filter], index) => write(counts[index], number(numbers[filter]))),
  };
}

function ownCard() {
  const box = h('input', { type: 'checkbox', role: 'switch', 'aria-describedby': 'notices-hint' });
  box.checked = noticesWanted();
  box.addEventListener('change', () => wantNotices(box.checked));
  const notices = h('label', { class: 'switch' }, h('span', { t: 'notice.want' }), box);
  const hint = h('p', { id: 'notices-hint', class: 'hint', t: 'notice.hint' });
  return h('div', { class: 'card' }, new StatusSwitch(), notices, hint);
}

/**
 * The list as a table, of which only the rows in sight exist; all are equally high. Whoever points at a row or has the
 * focus in it must not find another there: meanwhile newcomers come at the end and nobody else moves.
 */
class PeopleList {
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

/** The last 24 hours as bars, and as a table for screen readers. */
class Figures {
  /** @type {Hour[]} */
  hours = lastHours([]);

  constructor() {
    this.summary = h('dl', { class: 'figures' });
    this.chart = svg('svg', { class: 'chart', role: 'img', height: CHART.top + CHART.height + 18 });
    this.table = h('table', { class: 'unseen' });
    const [peak, average] = [h('span', { class: 'peak', t: 'chart.peak' }), h('span', { class: 'average', t: 'chart.average' })];
    const head = h('summary', {}, h('h2', { t: 'chart.title' }));
    const open = matchMedia('(min-width: 40rem)').matches;
    const key = h('p', { class: 'hint key' }, peak, average);
    this.card = h('details', { class: 'card', open }, head, this.summary, this.chart, key, this.table);
    const load = () => document.hidden || void this.load();
    onLanguage(() => this.draw());
    document.addEventListener('visibilitychange', load);
    setInterval(load, FIGURES_MS);
    load();
  }

  async load() {
    const found = await ask(`/api/online-status/stats/summary?hours=${HOURS}&days=1`).catch(() => undefined);
    if (!Array.isArray(found?.hours)) return;
    this.hours = lastHours(found.hours);
    this.draw();
  }

  draw() {
    const measured = this.hours.filter(({ peak }) => peak !== undefined);
    const [highest] = [...measured].sort((a, b) => Number(b.peak) - Number(a.peak));
    const mean = measured.reduce((sum, { average = 0 }) => sum + average, 0) / (measured.length || 1);
    this.summary.replaceChildren(
      figure('chart.peak', number(highest?.peak ?? 0), highest ? hourTime(highest.at) : ''),
      figure('chart.average', number(mean, mean < 10 ? 1 : 0), ''),
    );
    this.chart.replaceChildren(svg('title', {}, t('chart.title')), ...bars(this.hours));
    const rows = measured.map(({ at, peak = 0, average = 0 }) => [hourTime(at), number(peak), number(average, 1)]);
    const heads = [t('chart.hour'), t('chart.peak'), t('chart.average')];
    this.table.replaceChildren(
      h('caption', {}, t('chart.title')),
      h('tr', {}, ...heads.map((text) => h('th', { scope: 'col' }, text))),
      ...rows.map(([hour, ...values]) => h('tr', {}, h('th', { scope: 'row' }, hour), ...values.map((text) => h('td', {}, text)))),
    );
  }
}

/** Every hour, also those without a measurement. @param {any[]} found @returns {Hour[]} */
function lastHours(found) {
  const known = new Map(found.map(({ from, peak, average }) => [Date.parse(from), { peak, average }]));
  const latest = Math.max(Math.floor(Date.now() / HOUR_MS) * HOUR_MS, ...known.keys());
  return Array.from({ length: HOURS }, (_, index) => {
    const at = latest - (HOURS - 1 - index) * HOUR_MS;
    return { at, ...known.get(at) };
  });
}

/** @param {Hour[]} hours */
function bars(hours) {
  const most = Math.max(2, ...hours.map(({ peak = 0 }) => peak));
  const ten = 10 ** Math.floor(Math.log10(most));
  const top = [1, 2, 4, 6, 8, 10].map((step) => step * ten).find((step) => step >= most) ?? most;
  const y = (/** @type {number} */ value) => CHART.top + CHART.height * (1 - value / top);
  const x = (/** @type {number} */ hour) => `${(hour / HOURS) * 90}%`; // the rest is for the numbers
  const lines = [0, top / 2, top].flatMap((value) => [
    svg('line', { x1: 0, x2: x(HOURS), y1: y(value), y2: y(value) }),
    svg('text', { x: '100%', y: y(value) + 4, 'text-anchor': 'end' }, number(value)),
  ]);
  const columns = hours.flatMap(({ at, peak, average = 0 }, hour) => {
    const marks = hour % 6 === 2 ? [svg('text', { x: x(hour + 0.5), y: y(0) + 15, 'text-anchor': 'middle' }, hourTime(at))] : [];
    if (peak === undefined) return marks;
    const words = t('chart.bar', { name: hourTime(at), a: number(peak), b: number(average, 1) });
    const place = { x: x(hour + 0.14), width: x(0.72), rx: 2 };
    const parts = Object.entries({ column: top, peak, average }).map(([name, value]) =>
      svg('rect', { ...place, class: name, y: y(value), height: y(0) - y(value) }),
    );
    return [svg('g', {}, svg('title', {}, words), ...parts), ...marks];
  });
  return [...lines, ...columns];
}

/** @param {Key} name @param {string} value @param {string} when */
function figure(name, value, when) {
  return h('div', {}, h('dt', { t: name }), h('dd', {}, value, when && h('span', { class: 'hint' }, when)));
}

function showTitle() {
  document.title = `${t('online.title')} · c2c`;
}

async function start() {
  const me = await signIn();
  if (!me) return showSignInNeeded('online.signIn');
  main.className = 'centred';
  main.replaceChildren(h('p', { class: 'entering', role: 'status', t: 'online.entering' }));
  const client = header.connect(me, () => showSignInNeeded('signIn.ended'));
  beforeSignOut(() => client.close());
  try {
    const room = await client.join(EVERYBODY);
    performance.mark('c2c:joined');
    new Everybody(client, room, me.userId);
  } catch (error) {
    if (!(error instanceof C2CError)) throw error;
    if (error.code !== 'CLOSED') showRefused(error.code);
  }
}

showTitle();
onLanguage(showTitle);
void start();
