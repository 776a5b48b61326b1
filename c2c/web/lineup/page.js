/**
 * The line-up page: enters the retreat's room that its address names, or says why it can't.
 * @module
 */

import { C2CError } from '../c2c.js';
import { errorWords, onLanguage, t } from '../i18n/index.js';
import { find, h, icon } from '../shell/dom.js';
import { Header } from '../shell/header.js';
import { beforeSignOut, signIn } from '../shell/identity.js';
import { importButton } from './files.js';
import { LineupTable } from './lineup.js';

/** @typedef {import('../shell/identity.js').Identity} Identity */
/** @typedef {import('../shell/dom.js').Key} Key */

const main = find(document, 'main', HTMLElement);
const header = find(document, 'c2c-header', Header);
const slug = slugFrom(location.pathname);
const roomId = `retreat-${slug}`;

/** @param {string} path */
function slugFrom(path) {
  try {
    return decodeURIComponent(/\/lineup\/([^/]+)/.exec(path)?.[1] ?? '').normalize('NFC');
  } catch {
    return '';
  }
}

// What the page shows instead of a table

/**
 * @param {string | HTMLElement} title
 * @param {string | HTMLElement} hint
 * @param {HTMLElement} action
 */
function showNotice(title, hint, action) {
  const heading = h('h1', {}, title);
  main.className = 'centred';
  main.replaceChildren(h('div', { class: 'notice' }, icon('people'), heading, h('p', {}, hint), action));
}

function showEntering() {
  main.className = 'centred';
  main.replaceChildren(h('p', { class: 'entering', role: 'status', t: 'lineup.entering' }));
}

/** @param {string | undefined} code @param {Identity} me @param {string} role */
function showNoRoom(code, me, role) {
  const back = h('a', { class: 'button', href: '/', t: 'gone.back' });
  if (code !== 'ROOM_NOT_FOUND') return showNotice(t('refused.title'), errorWords(code), back);
  const mayImport = role === 'admin';
  const show = () => {
    const action = mayImport ? importButton(roomId, me, () => location.reload()) : back;
    showNotice(t('lineup.missing'), t(mayImport ? 'lineup.missingAdmin' : 'lineup.missingHint', { slug }), action);
  };
  show();
  onLanguage(show);
}

/** @param {Key} reason */
function showSignInNeeded(reason) {
  const again = h('button', { type: 'button', class: 'primary', t: 'signIn.open', onclick: () => void start() });
  showNotice(h('span', { t: 'signIn.open' }), h('span', { t: reason }), again);
}

// The beginning

async function start() {
  const me = await signIn();
  if (!me) return showSignInNeeded('lineup.signIn');
  showEntering();
  const { role } = me;
  const client = header.connect(me, () => showSignInNeeded('signIn.ended'));
  try {
    const room = await client.join(roomId);
    performance.mark('c2c:joined');
    beforeSignOut(() => room.leave());
    if (room.kind !== 'lineup') {
      return showNotice(t('lineup.other'), roomId, h('a', { class: 'button', href: '/', t: 'gone.back' }));
    }
    room.on('closed', ({ error }) => showNoRoom(error.code, me, role));
    new LineupTable(main, client, room, { me, role, slug, light: header.light });
  } catch (error) {
    if (!(error instanceof C2CError)) throw error;
    if (error.code !== 'CLOSED') showNoRoom(error.code, me, role);
  }
}

document.title = `${t('lineup.title', { slug })} · c2c`;
onLanguage(() => (document.title = `${t('lineup.title', { slug })} · c2c`));
void start();
