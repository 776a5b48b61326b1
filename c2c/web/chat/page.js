/**
 * The chat page: enters the room that its address names, and keeps what one sees in step with it.
 * @module
 */

import { C2CError } from '../c2c.js';
import { errorWords, t } from '../i18n/index.js';
import { find, h, icon, showNotice } from '../shell/dom.js';
import { Header } from '../shell/header.js';
import { authorization, beforeSignOut, signIn } from '../shell/identity.js';
import { copyLink, roomIdFrom } from '../shell/links.js';
import { draftOf, forgetRoom, keepDraft, rememberRoom } from '../shell/storage.js';
import { toast, toastError } from '../shell/toasts.js';
import { composerIn } from './composer.js';
import { loadOlder, MessageList } from './list.js';
import { People, Typists } from './people.js';
import { Timeline } from './timeline.js';

/** @typedef {import('../c2c.js').C2C} C2C */
/** @typedef {import('../c2c.js').Room} Room */
/** @typedef {import('../shell/identity.js').Identity} Identity */
/** @typedef {import('../shell/dom.js').Key} Key */

const DELAY_MS = 4_000;

const main = find(document, 'main', HTMLElement);
const header = find(document, 'c2c-header', Header);
const roomId = roomIdFrom(location.pathname) ?? '';

// What the page shows instead of a conversation

function showEntering() {
  main.className = 'centred';
  main.replaceChildren(h('p', { class: 'entering', role: 'status', t: 'chat.entering' }));
}

/** @param {string | undefined} code */
function showNoRoom(code) {
  const back = h('a', { class: 'button primary', href: '/', t: 'gone.back' });
  const gone = code === 'ROOM_NOT_FOUND' || code === 'BAD_VALUE';
  if (gone) forgetRoom(roomId);
  showNotice('room', gone ? 'gone.title' : 'refused.title', gone ? h('span', { t: 'gone.hint' }) : errorWords(code), back);
}

/** @param {Key} reason */
function showSignInNeeded(reason) {
  const again = h('button', { type: 'button', class: 'primary', t: 'signIn.open', onclick: () => void start() });
  showNotice('room', 'signIn.open', h('span', { t: reason }), again);
}

// The conversation

/** A room and its place on the page. */
class Conversation {
  /**
   * @param {C2C} client
   * @param {Room} room
   * @param {Identity} me
   */
  constructor(client, room, me) {
    this.client = client;
    this.room = room;
    this.me = me;
    this.title = room.roomId;
    this.delayTimer = 0;
    this.timeline = new Timeline(me);
    this.view = roomView();
    main.className = 'room';
    main.replaceChildren(...this.view.parts);
    this.list = new MessageList(this.view.log, this.timeline, {
      retry: (id) => void room.retry(id).catch(sayFailure),
      discard: (id) => this.discard(id),
      loadOlder: () => void loadOlder(room, this.timeline, this.list),
      unread: (count) => this.showTitle(count),
    });
    this.people = new People(this.view.panel, me.userId, this.view.showCount);
    this.people.nameIs(me.userId, me.name);
    this.typists = new Typists(this.view.typing, (userId) => this.people.nameOf(userId));
    this.composer = composerIn(main, {
      send: (text) => this.send(text),
      typing: (typing) => this.sendTyping(typing),
      draft: (text) => keepDraft(me.userId, room.roomId, text),
    });
    this.composer.text = draftOf(me.userId, room.roomId);
    if (matchMedia('(hover: hover)').matches) this.composer.focus();
    this.listen();
    this.replaceState();
    rememberRoom(room.roomId);
    void this.readTitle();
  }

  listen() {
    const { room } = this;
    room.on('msg', (event) => this.arrived(event));
    room.on('pending', () => this.showPending());
    room.on('joined', () => this.showMembers());
    room.on('replaced', () => {
      // Some may be on their way for the second time: what the server had taken is gone there.
      for (const { id } of room.pending) this.timeline.sentHere.add(id);
      this.replaceState();
      toast('info', 'chat.replaced');
    });
    room.on('closed', ({ error }) => showNoRoom(error.code));
    this.about('user_joined', (userId, { username }) => {
      this.people.nameIs(userId, username);
      this.people.joined(userId);
    });
    this.about('user_left', (userId) => {
      this.people.left(userId);
      this.typists.typing(userId, false);
    });
    this.about('user:status', (userId, { status }) => this.people.statusIs(userId, status));
    this.about('typing', (userId, { typing }) => {
      if (userId !== this.me.userId) this.typists.typing(userId, typing === true);
    });
  }

  /**
   * Events about a person. Anybody with redis-cli can publish some that name none.
   * @param {string} type
   * @param {(userId: string, event: import('../c2c.js').RoomEvent) => void} listener
   */
  about(type, listener) {
    this.room.on(type, (event) => {
      if (typeof event.userId === 'string') listener(event.userId, event);
    });
  }

  // What comes

  /** @param {import('./timeline.js').Event} event */
  arrived(event) {
    const message = this.timeline.append(event);
    if (!message) return;
    this.people.nameIs(message.from, message.name);
    this.typists.typing(message.from, false);
    this.list.arrived(message);
    this.showEmpty();
    const others = message.from !== this.me.userId;
    if (others) this.view.announcer.textContent = t('chat.said', { name: message.name, text: message.text });
  }

  /** Everything anew: after entering, and when what was missed could not be had. */
  replaceState() {
    const { messages, more } = this.room.state;
    this.timeline.replace(messages, more);
    for (const { from, name } of this.timeline.logged) this.people.nameIs(from, name);
    this.showMembers();
    this.list.replaced();
    this.showPending();
  }

  showMembers() {
    this.people.replace(this.room.members, this.room.presence);
  }

  showPending() {
    this.timeline.setPending(this.room.pending);
    this.list.update();
    this.showEmpty();
    this.showDelay();
  }

  /** A connection on which nothing gets through is not shown as a good one. */
  showDelay() {
    clearTimeout(this.delayTimer);
    const oldest = this.room.pending.find(({ state }) => state === 'sending');
    const leftMs = oldest ? oldest.at + DELAY_MS - Date.now() : Infinity;
    header.light.delayed = leftMs <= 0;
    if (leftMs > 0 && oldest) this.delayTimer = window.setTimeout(() => this.showDelay(), leftMs);
  }

  showEmpty() {
    this.view.empty.hidden = this.timeline.end > this.timeline.start;
  }

  /** A title, where the room has one; the page works without. */
  async readTitle() {
    try {
      const headers = authorization(this.me);
      const answer = await fetch(`/api/rooms/${encodeURIComponent(this.room.roomId)}`, { headers });
      const { data } = await answer.json();
      if (!data?.title) return;
      this.title = String(data.title);
    } catch {
      return; // The id stands there instead.
    }
    rememberRoom(this.room.roomId, this.title);
    this.view.heading.textContent = this.title;
    this.showTitle(this.list.unread.count);
  }

  // What goes

  /** @param {string} text */
  send(text) {
    this.list.sent();
    const sent = this.room.send({ t: 'msg', text });
    this.timeline.sentHere.add(sent.id);
    sent.catch(sayFailure);
  }

  /** @param {boolean} typing */
  sendTyping(typing) {
    if (this.client.status === 'connected') this.room.send({ t: 'typing', typing }).catch(() => {});
  }

  /** @param {string} id */
  discard(id) {
    this.room.discard(id);
    this.timeline.discard(id);
    this.showPending();
    this.composer.focus();
  }

  /** @param {number} count */
  showTitle(count) {
    const title = `${count ? `(${count}) ` : ''}${this.title} · c2c`;
    if (document.title !== title) document.title = title;
  }
}

/**
 * Says why a command was not even kept. One that is kept shows in its own row how it fares.
 * @param {unknown} error
 */
function sayFailure(error) {
  if (!(error instanceof C2CError) || error.code === 'QUEUE_FULL') toastError(error);
}

/** The page's elements around a conversation. */
function roomView() {
  const heading = h('h1', {}, roomId);
  const words = h('span', {});
  const panel = h('aside', { id: 'people', class: 'panel', tLabel: 'people.title' }, h('h2', { t: 'people.title' }));
  const copy = () => void copyLink(roomId);
  const toggle = h('button', { type: 'button', 'aria-controls': 'people', onclick: () => show(panel.hidden === true) });
  const share = h('button', { type: 'button', tTitle: 'copyLink', onclick: copy }, icon('copy'), h('span', { t: 'copyLink' }));
  const back = h('a', { class: 'button quiet', href: '/', tLabel: 'gone.back', tTitle: 'gone.back' }, icon('back'));
  /** @param {boolean} shown */
  function show(shown) {
    toggle.ariaExpanded = String(shown);
    panel.hidden = !shown;
  }
  /** @param {number} n */
  function showCount(n) {
    words.textContent = t('people.count', { n });
    toggle.dataset.n = String(n);
  }
  toggle.append(icon('people'), words);
  panel.addEventListener('keydown', ({ key }) => {
    if (key !== 'Escape') return;
    show(false);
    toggle.focus();
  });
  const wide = matchMedia('(min-width: 60rem)');
  show(wide.matches);
  const log = h('div', { class: 'log', role: 'log', 'aria-live': 'off', tabindex: 0, tLabel: 'chat.messages' });
  const invite = h('button', { type: 'button', onclick: copy }, icon('copy'), h('span', { t: 'copyLink' }));
  const empty = h('div', { class: 'empty' }, h('h2', { t: 'chat.empty' }), h('p', { t: 'chat.emptyHint' }), invite);
  const typing = h('p', { class: 'typing' });
  const announcer = h('p', { class: 'unseen', role: 'status' });
  const bar = h('div', { class: 'room-bar' }, back, heading, share, toggle);
  const form = h('form', { class: 'composer' });
  const conversation = h('section', { class: 'conversation' }, h('div', { class: 'log-box' }, log, empty), typing, form, announcer);
  conversation.addEventListener('click', () => {
    if (!wide.matches) show(false);
  });
  return { parts: [bar, conversation, panel], heading, showCount, panel, log, empty, typing, announcer };
}

// The beginning

async function start() {
  const me = await signIn();
  if (!me) return showSignInNeeded('signIn.needed');
  showEntering();
  const client = header.connect(me, () => showSignInNeeded('signIn.ended'));
  try {
    const room = await client.join(roomId);
    performance.mark('c2c:joined');
    new Conversation(client, room, me);
    beforeSignOut(() => room.leave());
  } catch (error) {
    if (!(error instanceof C2CError)) throw error;
    if (error.code !== 'CLOSED') showNoRoom(error.code);
  }
}

void start();
