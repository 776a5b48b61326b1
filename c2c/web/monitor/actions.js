/**
 * What can be done with an endpoint: check it now, edit, pause, delete; on its page as buttons, in the list as a menu.
 * @module
 */

import { t } from '../i18n/index.js';
import { h, icon } from '../shell/dom.js';
import { toast, toastError } from '../shell/toasts.js';
import { took } from './aging.js';
import { BUILTIN } from './model.js';
import { why, WORDS } from './signs.js';

/** @typedef {import('./api.js').Api} Api */
/** @typedef {{endpointId: string, name: string, paused: boolean, kind: string}} Target */
/** @typedef {{picture: import('../shell/dom.js').Icon, words: import('../shell/dom.js').Key, run: () => unknown}} Action */

/** @param {string} endpointId */
export function pathOf(endpointId) {
  return `endpoints/${encodeURIComponent(endpointId)}`;
}

export class Actions {
  /** @param {Api} api @param {boolean} isAdmin */
  constructor(api, isAdmin) {
    this.api = api;
    this.isAdmin = isAdmin;
  }

  /** @param {Target} target @returns {Action[]} */
  of(target) {
    const { paused, kind } = target;
    const isChecked = kind === 'http' || kind === 'tcp';
    const isOurs = kind !== BUILTIN;
    /** @type {(Action | false)[]} */
    const found = [
      isChecked && !paused && { picture: 'cycle', words: 'monitor.checkNow', run: () => this.check(target) },
      isOurs && { picture: 'edit', words: 'monitor.edit', run: () => this.edit(target.endpointId) },
      { picture: paused ? 'play' : 'pause', words: paused ? 'monitor.resume' : 'monitor.pause', run: () => this.pause(target) },
      isOurs && { picture: 'bin', words: 'monitor.delete', run: () => this.remove(target) },
    ];
    return found.filter((each) => each !== false);
  }

  /** The form is loaded when it is wanted. */
  async add() {
    await this.#try(async () => {
      const { openForm } = await import('./form.js');
      await openForm(this.api, this.isAdmin);
    });
  }

  /** @param {string} endpointId */
  async edit(endpointId) {
    await this.#try(async () => {
      const [{ openForm }, endpoint] = await Promise.all([import('./form.js'), this.api('GET', pathOf(endpointId))]);
      await openForm(this.api, this.isAdmin, endpoint);
    });
  }

  /** @param {Target} target */
  async check({ endpointId, name }) {
    await this.#try(async () => {
      const { ok, status, responseTime, reason, errorMessage } = await this.api('POST', `${pathOf(endpointId)}/check`);
      const look = /** @type {import('./signs.js').Look} */ (status);
      const how = ok ? took(responseTime) : why({ reason: String(reason), errorMessage: String(errorMessage) });
      toast(ok ? 'success' : 'warning', 'monitor.checkedNow', { name, a: t(WORDS[look] ?? 'monitor.unknown'), b: how });
    });
  }

  /** @param {Target} target */
  async pause({ endpointId, paused }) {
    await this.#try(() => this.api('PATCH', pathOf(endpointId), { paused: !paused }));
  }

  /** @param {Target} target */
  async remove({ endpointId, name }) {
    await this.#try(async () => {
      const { deletionConfirmed } = await import('./box.js');
      if (await deletionConfirmed(name, t('monitor.deleteHint'))) await this.api('DELETE', pathOf(endpointId));
    });
  }

  /** @param {() => Promise<unknown>} work */
  async #try(work) {
    try {
      await work();
    } catch (error) {
      toastError(error);
    }
  }
}

/** A menu beside a button of the list; there is one for all rows. */
export class Menu {
  element = h('div', { class: 'menu actions', role: 'menu', popover: 'auto' });

  /** @param {(endpointId: string) => Action[]} actionsOf */
  constructor(actionsOf) {
    this.actionsOf = actionsOf;
    this.element.addEventListener('keydown', (event) => this.#key(event));
  }

  /** @param {HTMLElement} button @param {string} endpointId */
  open(button, endpointId) {
    const items = this.actionsOf(endpointId).map(({ picture, words, run }) => {
      const onclick = () => {
        this.element.hidePopover();
        button.focus({ preventScroll: true });
        run();
      };
      return h('button', { type: 'button', role: 'menuitem', onclick }, icon(picture), h('span', { t: words }));
    });
    this.element.replaceChildren(...items);
    this.element.showPopover();
    const { right, bottom, top } = button.getBoundingClientRect();
    const { offsetHeight, offsetWidth } = this.element;
    const isLow = bottom + offsetHeight > innerHeight;
    this.element.style.top = `${Math.max(0, isLow ? top - offsetHeight : bottom)}px`;
    this.element.style.left = `${Math.max(0, right - offsetWidth)}px`;
    items[0].focus({ preventScroll: true });
  }

  /** @param {KeyboardEvent} event */
  #key(event) {
    const items = [...this.element.querySelectorAll('button')];
    const at = items.findIndex((item) => item === document.activeElement);
    const to = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: -1 }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    items.at(to % items.length)?.focus();
  }
}
