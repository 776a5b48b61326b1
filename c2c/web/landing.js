/**
 * The start page: create a room and copy its link, join one, and come back to those one was in.
 * @module
 */

import { onLanguage, t, timeAgo } from './i18n/index.js';
import { find, h, icon } from './shell/dom.js';
import { Header } from './shell/header.js';
import { authorization, identity, onIdentity, signIn } from './shell/identity.js';
import { copyLink, roomAddress, roomIdFrom } from './shell/links.js';
import { forgetRoom, recentRooms, rememberRoom } from './shell/storage.js';
import { toastError } from './shell/toasts.js';

const main = find(document, 'main', HTMLElement);
const header = find(document, 'c2c-header', Header);

// Creating

function createCard() {
  const title = h('input', { id: 'title', maxlength: 100, autocomplete: 'off', tPlaceholder: 'landing.titleExample' });
  const submit = h('button', { type: 'submit', class: 'primary', t: 'landing.createSubmit' });
  const form = h('form', {}, field(title, h('label', { for: 'title', t: 'landing.roomTitle' })), submit);
  const card = h('section', { class: 'card', 'aria-labelledby': 'create' });
  const first = [h('h2', { id: 'create', t: 'landing.create' }), h('p', { class: 'hint', t: 'landing.createHint' }), form];
  card.append(...first);
  form.addEventListener('submit', async (event) => {
    event.preventDefault();
    submit.disabled = true;
    const roomId = await createRoom(title.value.trim());
    submit.disabled = false;
    if (!roomId) return;
    const another = () => {
      title.value = '';
      card.replaceChildren(...first);
      title.focus();
    };
    card.replaceChildren(...readyCard(roomId, another));
    find(card, 'button', HTMLButtonElement).focus();
    showRecent();
  });
  return card;
}

/**
 * @param {string} title
 * @returns {Promise<string | undefined>} the new room's id
 */
async function createRoom(title) {
  const me = await signIn();
  if (!me) return undefined;
  try {
    const answer = await fetch('/api/rooms', {
      method: 'POST',
      headers: { 'Content-Type': 'application/json', ...authorization(me) },
      body: JSON.stringify({ creatorName: me.userId, title }),
    });
    const { data, error } = await answer.json();
    if (!answer.ok) throw Object.assign(new Error(error?.message), { code: error?.code });
    rememberRoom(data.roomId, title);
    return data.roomId;
  } catch (error) {
    toastError(error instanceof TypeError ? Object.assign(error, { code: 'SERVICE_UNAVAILABLE' }) : error);
    return undefined;
  }
}

/**
 * @param {string} roomId
 * @param {() => void} another
 */
function readyCard(roomId, another) {
  const link = h('input', { id: 'link', readonly: true, value: roomAddress(roomId) });
  link.addEventListener('focus', () => link.select());
  const copy = h('button', { type: 'button', onclick: () => void copyLink(roomId) }, icon('copy'), h('span', { t: 'copyLink' }));
  const open = h('a', { class: 'button primary', href: roomAddress(roomId), t: 'landing.open' });
  const again = h('button', { type: 'button', class: 'quiet', t: 'landing.another', onclick: another });
  return [
    h('h2', { id: 'create', t: 'landing.ready' }),
    h('p', { class: 'hint', t: 'landing.readyHint' }),
    h('div', { class: 'field' }, h('label', { for: 'link', t: 'landing.link' }), h('div', { class: 'joined' }, link, copy)),
    h('div', { class: 'buttons' }, open, again),
  ];
}

// Joining

function joinCard() {
  const input = h('input', {
    id: 'room',
    autocomplete: 'off',
    autocapitalize: 'none',
    spellcheck: 'false',
    'aria-describedby': 'room-wrong',
    tPlaceholder: 'landing.joinExample',
  });
  const wrong = h('p', { id: 'room-wrong', class: 'hint wrong', role: 'alert' });
  const submit = h('button', { type: 'submit', t: 'landing.joinSubmit' });
  const form = h('form', {}, field(input, h('label', { for: 'room', t: 'landing.joinField' }), wrong), submit);
  form.addEventListener('submit', (event) => {
    event.preventDefault();
    const roomId = roomIdFrom(input.value);
    input.setAttribute('aria-invalid', String(!roomId));
    wrong.replaceChildren(roomId ? '' : h('span', { t: 'landing.joinWrong' }));
    if (roomId) location.assign(roomAddress(roomId));
    else input.focus();
  });
  const heading = h('h2', { id: 'join', t: 'landing.join' });
  return h('section', { class: 'card', 'aria-labelledby': 'join' }, heading, h('p', { class: 'hint', t: 'landing.joinHint' }), form);
}

/**
 * @param {HTMLElement} input
 * @param {HTMLElement} label
 * @param {...HTMLElement} more
 */
function field(input, label, ...more) {
  return h('div', { class: 'field' }, label, input, ...more);
}

// Recent rooms

const recent = h('div', { class: 'recent' });

function showRecent() {
  const rooms = recentRooms();
  const list = h('ul', {}, ...rooms.map(recentRoom));
  recent.replaceChildren(rooms.length ? list : h('p', { class: 'hint', t: 'landing.noRecent' }));
}

/** @param {import('./shell/storage.js').RecentRoom} room */
function recentRoom({ id, title, at }) {
  const name = h('span', { class: 'name' }, title || id);
  const when = h('span', { class: 'hint' }, title ? `${id} · ${timeAgo(at)}` : timeAgo(at));
  const link = h('a', { href: roomAddress(id) }, icon('room'), h('span', { class: 'words' }, name, when));
  const copy = iconButton('copy', `${t('copyLink')}: ${title || id}`);
  const forget = iconButton('cross', `${t('landing.forget')}: ${title || id}`);
  copy.addEventListener('click', () => void copyLink(id));
  forget.addEventListener('click', () => {
    forgetRoom(id);
    showRecent();
    recent.querySelector('a')?.focus();
  });
  return h('li', {}, link, copy, forget);
}

/**
 * @param {import('./shell/dom.js').Icon} picture
 * @param {string} words
 */
function iconButton(picture, words) {
  return h('button', { type: 'button', class: 'quiet', 'aria-label': words, title: words }, icon(picture));
}

// The beginning

/** A connection of its own, for the light and for being online; there is nobody to connect before the sign-in. */
async function connect() {
  const me = await identity();
  await (me && header.connect(me, () => void header.showAccount()).connect().catch(() => {}));
}

function start() {
  const welcome = h('div', { class: 'welcome' }, h('h1', { t: 'landing.title' }), h('p', { t: 'landing.intro' }));
  const recents = h('section', { 'aria-labelledby': 'recent' }, h('h2', { id: 'recent', t: 'landing.recent' }), recent);
  main.append(welcome, h('div', { class: 'cards' }, createCard(), joinCard()), recents);
  showRecent();
  onLanguage(showRecent);
  onIdentity(() => void connect());
  void identity();
}

start();
