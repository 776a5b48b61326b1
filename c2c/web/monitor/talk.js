/**
 * The chat of an incident, shown where the incident is shown: the chat page's messages and its composer in a card.
 * @module
 */

import { C2CError } from '../c2c.js';
import { t } from '../i18n/index.js';
import { composerIn } from '../chat/composer.js';
import { loadOlder, MessageList } from '../chat/list.js';
import { Typists } from '../chat/people.js';
import { Timeline } from '../chat/timeline.js';
import { h } from '../shell/dom.js';
import { draftOf, keepDraft } from '../shell/storage.js';
import { toastError } from '../shell/toasts.js';
import { loadStyle } from './styles.js';

/** @typedef {import('../c2c.js').Room} Room */
/** @typedef {import('../shell/identity.js').Identity} Identity */

/** @type {Room | undefined} */
let shown;
/** Rooms are entered and left one after the other: two at once would leave the same former one, and never each other. */
let turn = Promise.resolve();

/** @param {() => Promise<void>} work */
function inTurn(work) {
  turn = turn.catch(() => {}).then(work);
  return turn;
}

/**
 * Enters the chat and shows it in a card, in place of the former; where it can't be entered the card stays as it is.
 * @param {import('../c2c.js').C2C} client
 * @param {string} roomId
 * @param {Identity} me
 * @param {HTMLElement} card
 */
export function openTalk(client, roomId, me, card) {
  return inTurn(async () => {
    if (!card.isConnected) return; // the endpoint was deleted meanwhile
    try {
      const [room] = await Promise.all([client.join(roomId), loadStyle('chat.css')]);
      const place = h('div', {});
      card.replaceChildren(h('h2', { t: 'monitor.talk' }), place);
      card.hidden = false;
      new Talk(room, me, place);
      const former = shown;
      shown = room;
      if (former !== room) await former?.leave();
    } catch (error) {
      if (!(error instanceof C2CError)) throw error;
    }
  });
}

/** Leaves the chat that is shown, or is about to be. */
export function closeTalk() {
  return inTurn(async () => {
    await shown?.leave();
    shown = undefined;
  });
}

class Talk {
  /** @type {Map<string, string>} names by user id */
  #names = new Map();

  /** @param {Room} room @param {Identity} me @param {HTMLElement} place where it stands */
  constructor(room, me, place) {
    this.room = room;
    this.timeline = new Timeline(me);
    this.log = h('div', { class: 'log', role: 'log', 'aria-live': 'off', tabindex: 0, tLabel: 'chat.messages' });
    this.empty = h('div', { class: 'empty' }, h('p', { t: 'monitor.talkEmpty' }));
    const typing = h('p', { class: 'typing' });
    this.announcer = h('p', { class: 'unseen', role: 'status' });
    const form = h('form', { class: 'composer' });
    place.replaceChildren(h('div', { class: 'conversation' }, h('div', { class: 'log-box' }, this.log, this.empty), typing, form, this.announcer));
    this.list = new MessageList(this.log, this.timeline, {
      retry: (id) => void room.retry(id).catch(sayFailure),
      discard: (id) => this.#discard(id),
      loadOlder: () => void loadOlder(room, this.timeline, this.list),
      unread: () => {},
    });
    this.typists = new Typists(typing, (userId) => this.#names.get(userId) ?? userId);
    this.composer = composerIn(place, {
      send: (text) => this.#send(text),
      typing: (typing) => void room.send({ t: 'typing', typing }).catch(() => {}),
      draft: (text) => keepDraft(me.userId, room.roomId, text),
    });
    this.composer.text = draftOf(me.userId, room.roomId);
    this.#listen(me);
    this.#replace();
  }

  /** @param {Identity} me */
  #listen(me) {
    const { room } = this;
    room.on('msg', (event) => this.#arrived(event, me));
    room.on('pending', () => this.#showPending());
    room.on('replaced', () => {
      for (const { id } of room.pending) this.timeline.sentHere.add(id);
      this.#replace();
    });
    room.on('typing', ({ userId, typing }) => {
      if (typeof userId === 'string' && userId !== me.userId) this.typists.typing(userId, typing === true);
    });
    room.on('user_left', ({ userId }) => typeof userId === 'string' && this.typists.typing(userId, false));
  }

  /** @param {import('../chat/timeline.js').Event} event @param {Identity} me */
  #arrived(event, me) {
    const message = this.timeline.append(event);
    if (!message) return;
    const { from, name, text } = message;
    this.#names.set(from, name);
    this.typists.typing(from, false);
    this.list.arrived(message);
    this.#showEmpty();
    if (from !== me.userId) this.announcer.textContent = t('chat.said', { name, text });
  }

  #replace() {
    const { messages, more } = this.room.state;
    this.timeline.replace(messages, more);
    for (const { from, name } of this.timeline.logged) this.#names.set(from, name);
    this.list.replaced();
    this.#showPending();
  }

  #showPending() {
    this.timeline.setPending(this.room.pending);
    this.list.update();
    this.#showEmpty();
  }

  #showEmpty() {
    this.empty.hidden = this.timeline.end > this.timeline.start;
  }

  /** @param {string} text */
  #send(text) {
    this.list.sent();
    const sent = this.room.send({ t: 'msg', text });
    this.timeline.sentHere.add(sent.id);
    sent.catch(sayFailure);
  }

  /** @param {string} id */
  #discard(id) {
    this.room.discard(id);
    this.timeline.discard(id);
    this.#showPending();
    this.composer.focus();
  }
}

/** One that is kept shows in its own row how it fares. @param {unknown} error */
function sayFailure(error) {
  if (!(error instanceof C2CError) || error.code === 'QUEUE_FULL') toastError(error);
}
