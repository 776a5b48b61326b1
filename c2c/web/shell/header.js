/**
 * The header of every page: where one is, how the connection does, the language, and who and how one is.
 * @module
 */

import { C2C } from '../c2c.js';
import { language, onLanguage, t } from '../i18n/index.js';
import { avatar, h, icon, logo } from './dom.js';
import { forgetToken, identity, onIdentity, signIn, signOut } from './identity.js';
import { languageSwitch } from './languages.js';
import { presence, startPresence } from './presence.js';
import { own, StatusSwitch } from './status.js';

/** @typedef {import('./dom.js').Key} Key */

/** @type {Record<import('../c2c.js').Status, import('./dom.js').Icon>} */
const STATUS_ICON = { connected: 'check', connecting: 'cycle', disconnected: 'alert' };

/** @type {[string, import('./dom.js').Icon, Key][]} */
const PAGES = [
  ['/', 'room', 'page.rooms'],
  ['/online', 'people', 'online.title'],
  ['/monitor', 'pulse', 'monitor.title'],
];

/** Green, yellow or red, each with a picture and a word; while a reconnect is waited for, how long and a way out. */
class ConnectionLight extends HTMLElement {
  picture = h('span', { class: 'light-icon' });
  word = h('span', { class: 'light-word', role: 'status' });
  countdown = h('span', { class: 'light-countdown' });
  retry = h('button', { type: 'button', class: 'small', t: 'light.retry', onclick: () => this.client?.retryNow() });
  timer = 0;
  /** @type {C2C | undefined} */
  client;
  wasConnected = false;
  isDelayed = false;
  /** @type {(() => void) | undefined} */
  stop;

  connectedCallback() {
    this.className = 'light';
    this.hidden = true;
    this.append(h('span', { class: 'light-dot' }), this.picture, this.word, this.countdown, this.retry);
    onLanguage(() => this.show());
  }

  /** @param {C2C} client */
  watch(client) {
    this.stop?.();
    this.client = client;
    this.wasConnected = false;
    this.stop = client.on('status', () => this.show());
    this.hidden = false;
    this.show();
  }

  /** @param {boolean} delayed whether commands stay unanswered although there is a connection */
  set delayed(delayed) {
    if (delayed === this.isDelayed) return;
    this.isDelayed = delayed;
    this.show();
  }

  show() {
    if (!this.client) return;
    const { status, transport } = this.client.connection;
    const shown = status === 'connected' && this.isDelayed ? 'connecting' : status;
    this.dataset.status = shown;
    this.picture.replaceChildren(icon(STATUS_ICON[shown]));
    this.word.textContent = t(this.wordFor(status));
    this.wasConnected ||= status === 'connected';
    this.title = transport === 'sse' ? t('light.fallback') : '';
    this.retry.hidden = status === 'connected';
    this.count();
  }

  /**
   * @param {import('../c2c.js').Status} status
   * @returns {Key}
   */
  wordFor(status) {
    if (status === 'connected' && this.isDelayed) return 'light.delayed';
    if (status === 'connecting' && this.wasConnected) return 'light.reconnecting';
    return `light.${status}`;
  }

  /** The countdown is not part of the live region: one announcement per change is enough. */
  count() {
    clearTimeout(this.timer);
    const leftMs = (this.client?.connection.retryAt ?? 0) - Date.now();
    this.countdown.textContent = leftMs > 0 ? t('light.countdown', { s: Math.ceil(leftMs / 1000) }) : '';
    if (leftMs > 0) this.timer = window.setTimeout(() => this.count(), leftMs % 1000 || 1000);
  }
}

/** The whole bar. */
class Header extends HTMLElement {
  light = new ConnectionLight();
  account = h('div', { class: 'account' });

  connectedCallback() {
    const home = h('a', { class: 'brand', href: '/', tLabel: 'home' }, logo(), h('span', {}, 'c2c'));
    this.append(h('header', { class: 'bar' }, home, pages(), this.light, languageSwitch(), this.account));
    onIdentity(() => this.showAccount());
    void this.showAccount();
  }

  /**
   * The page's connection, with its light, and with presence wherever one is signed in.
   * @param {import('./identity.js').Identity} me
   * @param {() => void} ended the server does not take the token, or not any more
   */
  connect(me, ended) {
    let asked = false;
    const client = new C2C({
      url: '/ws',
      lang: language(),
      token() {
        if (asked) {
          forgetToken();
          client.close();
          ended();
        }
        asked = true;
        return me.token;
      },
    });
    onLanguage(() => (client.lang = language()));
    this.light.watch(client);
    startPresence(client, me.userId);
    return client;
  }

  async showAccount() {
    const me = await identity();
    if (me) this.account.replaceChildren(...accountMenu(me));
    else this.account.replaceChildren(h('button', { type: 'button', t: 'signIn.open', onclick: () => void signIn() }));
  }
}

function pages() {
  const links = PAGES.map(([href, picture, words]) => {
    const isBelow = href !== '/' && location.pathname.startsWith(`${href}/`);
    const here = (location.pathname === href && 'page') || (isBelow && 'true');
    return h('a', { href, tTitle: words, 'aria-current': here }, icon(picture), h('span', { t: words }));
  });
  return h('nav', { class: 'pages', tLabel: 'pages' }, ...links);
}

/** @param {import('./identity.js').Identity} me */
function accountMenu(me) {
  const button = h('button', { type: 'button', class: 'quiet', popovertarget: 'account-menu', tLabel: 'account' });
  button.append(h('span', { class: 'face' }, avatar(me.userId, me.name), ownSign(me.userId)));
  const name = h('p', {}, h('strong', {}, me.name), me.name === me.userId ? null : h('span', { class: 'hint' }, me.userId));
  const leave = h('button', { type: 'button', onclick: signOut }, icon('leave'), h('span', { t: 'signOut' }));
  return [button, h('div', { id: 'account-menu', class: 'menu', popover: 'auto' }, name, new StatusSwitch(), leave)];
}

/** @param {string} userId */
function ownSign(userId) {
  const sign = presence(userId, 'offline', true);
  const show = () => {
    sign.hidden = !own.shown;
    if (own.shown) sign.setAttribute('status', own.shown);
  };
  own.onChange(show);
  show();
  return sign;
}

customElements.define('c2c-light', ConnectionLight);
customElements.define('c2c-header', Header);

export { Header };
