/**
 * The way into a page of monitoring: sign in, join the room that has what the page shows, and say why it can't be had.
 * @module
 */

import { C2CError } from '../c2c.js';
import { addWords, errorWords } from '../i18n/index.js';
import en from '../i18n/monitor.en.js';
import ko from '../i18n/monitor.ko.js';
import { find, h, showNotice } from '../shell/dom.js';
import { Header } from '../shell/header.js';
import { beforeSignOut, signIn } from '../shell/identity.js';
import { apiOf } from './api.js';

/** @typedef {import('../shell/dom.js').Key} Key */
/** @typedef {{main: HTMLElement, client: import('../c2c.js').C2C, room: import('../c2c.js').Room, api: import('./api.js').Api, me: import('../shell/identity.js').Identity}} Entered */

addWords({ en, ko });

const main = find(document, 'main', HTMLElement);
const header = find(document, 'c2c-header', Header);

/**
 * @param {string} roomId
 * @param {(entered: Entered) => void} show
 * @param {(code: string) => boolean} refused whether the page has said itself why there is nothing to show
 */
export async function enter(roomId, show, refused = () => false) {
  const sayRefused = (/** @type {string} */ code) => refused(code) || showRefused(code);
  const askAgain = (/** @type {Key} */ reason) => showSignInNeeded(reason, () => void enter(roomId, show, refused));
  const me = await signIn();
  if (!me) return askAgain('monitor.signIn');
  main.className = 'centred';
  main.replaceChildren(h('p', { class: 'entering', role: 'status', t: 'monitor.entering' }));
  const client = header.connect(me, () => askAgain('signIn.ended'));
  beforeSignOut(() => client.close());
  try {
    const room = await client.join(roomId);
    performance.mark('c2c:joined');
    // Who only looks need not be waited for, as somebody who talks is.
    addEventListener('pagehide', ({ persisted }) => void (persisted || room.leave()));
    room.on('closed', ({ error }) => void sayRefused(error.code));
    show({ main, client, room, api: apiOf(me), me });
  } catch (error) {
    if (!(error instanceof C2CError)) throw error;
    if (error.code !== 'CLOSED') sayRefused(error.code);
  }
}

/** @param {Key} reason @param {() => void} again */
function showSignInNeeded(reason, again) {
  const button = h('button', { type: 'button', class: 'primary', t: 'signIn.open', onclick: again });
  showNotice('pulse', 'signIn.open', h('span', { t: reason }), button);
}

/** @param {string} code */
function showRefused(code) {
  showNotice('pulse', 'monitor.refused', errorWords(code), h('a', { class: 'button primary', href: '/', t: 'gone.back' }));
}
