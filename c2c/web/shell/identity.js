/**
 * Who is at this page, and the box that asks.
 *
 * Auth `dev`: the name given is the user id and the token; the browser remembers it. Auth `jwt`: the token comes once
 * as `#token=…`, is kept for this tab only and taken out of the address, so that it is not copied with the link.
 * @module
 */

import { translate } from '../i18n/index.js';
import { find, h, logo } from './dom.js';
import { kept, keptInTab } from './storage.js';

/** `role`: to show only what one may do. What one may, the server decides. */
/** @typedef {{userId: string, name: string, token: string, role: string}} Identity */

const USER_ID = /^[\p{L}\p{M}\p{N}._@-]{1,64}$/u;
const CONFIG_RETRY_MS = 2_000;

/** @type {Promise<{auth: 'dev' | 'jwt'}> | undefined} */
let config;
/** @type {Identity | null} */
let known = null;
/** @type {Set<() => void | Promise<unknown>>} */
const goodbyes = new Set();
/** @type {Set<() => void>} */
const listeners = new Set();

/** What a page must know before anybody has signed in; asked for until the server answers. */
export function loadConfig() {
  config ??= (async () => {
    for (;;) {
      try {
        const answer = await fetch('/api/config');
        if (answer.ok) return (await answer.json()).data;
      } catch {
        // The server is away; the page stays and tries again.
      }
      await new Promise((resolve) => setTimeout(resolve, CONFIG_RETRY_MS));
    }
  })();
  return config;
}

/** @returns {Promise<Identity | null>} who has signed in already */
export async function identity() {
  const { auth } = await loadConfig();
  if (known) return known;
  const found = auth === 'dev' ? fromName(kept.get('name')) : fromToken(tokenOfTab());
  if (found) announce(found);
  return found;
}

/** @param {() => void} listener called when somebody has signed in */
export function onIdentity(listener) {
  listeners.add(listener);
}

/**
 * Who is here; asks when nobody has said so yet.
 * @returns {Promise<Identity | null>} null when the box was closed without an answer
 */
export async function signIn() {
  const found = await identity();
  if (found) return found;
  const { auth } = await loadConfig();
  if (auth === 'jwt') return askForLink();
  const name = await askForName();
  if (name) {
    kept.set('name', name);
    announce(fromName(name));
  }
  return known;
}

/**
 * The header that signs a request. It can carry no name in another script, which is a token in auth `dev`, as it is.
 * @param {Identity} me
 */
export function authorization({ token }) {
  return { Authorization: `Bearer ${token.replace(/[^\x21-\x7e]+/g, encodeURIComponent)}` };
}

/** The server does not take the token, or not any more: forget it, so that the next sign-in asks. */
export function forgetToken() {
  known = null;
  kept.set('name', undefined);
  keptInTab.set('token', undefined);
}

/** @param {() => void | Promise<unknown>} goodbye what is still to be done before the page is left */
export function beforeSignOut(goodbye) {
  goodbyes.add(goodbye);
}

export async function signOut() {
  const patience = new Promise((resolve) => setTimeout(resolve, 1_000));
  await Promise.race([Promise.allSettled([...goodbyes].map((goodbye) => goodbye())), patience]);
  forgetToken();
  location.assign('/');
}

/** @param {Identity | null} found */
function announce(found) {
  known = found;
  for (const listener of listeners) listener();
}

/**
 * @param {unknown} name
 * @returns {Identity | null}
 */
function fromName(name) {
  return typeof name === 'string' && USER_ID.test(name) ? { userId: name, name, token: name, role: 'admin' } : null;
}

/** @returns {unknown} */
function tokenOfTab() {
  const token = new URLSearchParams(location.hash.slice(1)).get('token');
  if (token) {
    keptInTab.set('token', token);
    history.replaceState(history.state, '', location.pathname + location.search);
  }
  return keptInTab.get('token');
}

/**
 * Reads what to show from a token. Whether it is good, only the server can say.
 * @param {unknown} token
 * @returns {Identity | null}
 */
function fromToken(token) {
  if (typeof token !== 'string') return null;
  try {
    const payload = token.split('.')[1].replace(/-/g, '+').replace(/_/g, '/');
    const bytes = Uint8Array.from(atob(payload), (character) => character.charCodeAt(0));
    const claims = JSON.parse(new TextDecoder().decode(bytes));
    return { userId: String(claims.sub), name: String(claims.name || claims.sub), token, role: String(claims.role ?? '') };
  } catch {
    return null;
  }
}

/** @returns {Promise<null>} */
async function askForLink() {
  await ask([h('p', { t: 'signIn.link' })], [h('button', { type: 'submit', class: 'primary', t: 'close' })], () => null);
  return null;
}

/** @returns {Promise<string | null>} */
function askForName() {
  const input = h('input', {
    id: 'sign-in-name',
    name: 'name',
    maxlength: 64,
    autocomplete: 'username',
    autocapitalize: 'none',
    spellcheck: 'false',
    required: true,
    'aria-describedby': 'sign-in-hint',
  });
  const hint = h('p', { id: 'sign-in-hint', class: 'hint', t: 'signIn.hint' });
  const field = h('div', { class: 'field' }, h('label', { for: 'sign-in-name', t: 'signIn.name' }), input, hint);
  const cancel = h('button', { type: 'button', value: 'cancel', t: 'cancel' });
  const submit = h('button', { type: 'submit', class: 'primary', t: 'signIn.submit' });
  return ask([h('p', { t: 'signIn.intro' }), field], [cancel, submit], () => {
    const name = input.value.trim().normalize('NFC');
    const good = USER_ID.test(name);
    input.setAttribute('aria-invalid', String(!good));
    hint.classList.toggle('wrong', !good);
    hint.setAttribute('role', 'alert');
    hint.dataset.t = good ? 'signIn.hint' : 'signIn.wrong';
    translate(hint);
    return good ? name : undefined;
  });
}

/**
 * A box in front of the page. Escape and every button that does not submit close it without an answer.
 * @template T
 * @param {HTMLElement[]} content
 * @param {HTMLElement[]} buttons
 * @param {() => T | undefined} read the answer, or undefined when it is not good yet
 * @returns {Promise<T | null>}
 */
function ask(content, buttons, read) {
  const title = h('h2', { id: 'sign-in-title', t: 'signIn.title' });
  const form = h('form', { method: 'dialog', novalidate: true }, title, ...content, h('div', { class: 'buttons' }, ...buttons));
  const dialog = h('dialog', { class: 'sign-in', 'aria-labelledby': 'sign-in-title' }, logo(), form);
  find(document, 'body', HTMLElement).append(dialog);
  return new Promise((resolve) => {
    /** @type {T | null} */
    let answer = null;
    form.addEventListener('submit', (event) => {
      event.preventDefault();
      const given = read();
      if (given === undefined) return form.querySelector('input')?.focus();
      answer = given;
      dialog.close();
    });
    form.querySelector('[value=cancel]')?.addEventListener('click', () => dialog.close());
    dialog.addEventListener('close', () => {
      dialog.remove();
      resolve(answer);
    });
    dialog.showModal();
  });
}
