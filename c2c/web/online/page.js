/**
 * The page of everybody: who is there and how, one's own status, and how many there were in the last day.
 * @module
 */

import { C2CError } from '../c2c.js';
import { errorWords, number, onLanguage, t } from '../i18n/index.js';
import { find, h, icon, showNotice, write } from '../shell/dom.js';
import { Header } from '../shell/header.js';
import { beforeSignOut, signIn } from '../shell/identity.js';
import { EVERYBODY, follow, loadStarred, onStarred, starred } from '../shell/presence.js';
import { own, statusOf, statusSign } from '../shell/status.js';
import { Figures } from './figures.js';
import { PeopleList } from './list.js';
import { ownCard } from './own.js';
import { Roster } from './roster.js';

/** @typedef {import('../shell/dom.js').Key} Key */
/** @typedef {import('./list.js').Filter} Filter */

const PAGE = 500;
const RETRY_MS = 3_000;
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
