/**
 * Times of maintenance, in which checks run and incidents don't: a list, with a way to add and to remove.
 * @module
 */

import './formwords.js';
import { clockTime, dayName, language, t } from '../i18n/index.js';
import { h, icon } from '../shell/dom.js';
import { toastError } from '../shell/toasts.js';
import { duration } from './aging.js';
import { serverNow } from './api.js';
import { deletionConfirmed } from './box.js';
import { isActive } from './endpoints.js';
import { button } from './signs.js';

/** @typedef {import('./api.js').Api} Api */
/** @typedef {{endpointId: string, name: string}} Named */

const DAYS = ['mon', 'tue', 'wed', 'thu', 'fri', 'sat', 'sun'];
/** A Monday. */
const MONDAY_MS = Date.UTC(2024, 0, 1);
const DAY_MS = 86_400_000;

/** The days of the week in the page's language, by the server's names, from Monday on. */
export function dayNames() {
  const { format } = new Intl.DateTimeFormat(language(), { weekday: 'short', timeZone: 'UTC' });
  return new Map(DAYS.map((day, index) => [day, format(MONDAY_MS + index * DAY_MS)]));
}

export class Windows {
  #key = '';
  list = h('ul', { class: 'windows' });
  none = h('p', { class: 'hint', t: 'monitor.noWindows' });

  /**
   * @param {Api} api
   * @param {boolean} mayWrite
   * @param {() => Named[]} endpoints to choose from
   */
  constructor(api, mayWrite, endpoints) {
    this.api = api;
    this.mayWrite = mayWrite;
    this.endpoints = endpoints;
    const add = mayWrite && button('plus', 'monitor.addWindow', () => void this.#add(), 'small');
    this.element = h('div', { class: 'windows-card' }, h('p', { class: 'hint', t: 'monitor.windowsHint' }), this.list, this.none, add);
  }

  async #add() {
    const { openWindowForm } = await import('./windowform.js');
    await openWindowForm(this.api, this.endpoints());
  }

  /** @param {any[]} windows */
  show(windows) {
    const now = serverNow();
    const key = JSON.stringify([windows, windows.map((each) => isActive(each, now)), language()]);
    if (key === this.#key) return;
    this.#key = key;
    this.list.replaceChildren(...windows.map((each) => this.#item(each, isActive(each, now))));
    this.none.hidden = windows.length > 0;
  }

  /** @param {any} window @param {boolean} active */
  #item(window, active) {
    const title = String(window.title || t('monitor.maintenance'));
    const ids = Array.isArray(window.endpointIds) ? window.endpointIds : [];
    const names = new Map(this.endpoints().map(({ endpointId, name }) => [endpointId, name]));
    const whom = ids.length ? ids.map((/** @type {string} */ id) => names.get(id) ?? id).join(', ') : t('monitor.everything');
    const label = t('monitor.deleteWindow', { name: title });
    const remove = h('button', { type: 'button', class: 'quiet', 'aria-label': label, title: label, onclick: () => void this.#remove(window, title) });
    remove.append(icon('bin'));
    return h(
      'li',
      { class: active ? 'window active' : 'window' },
      icon('tool'),
      h('div', {}, h('p', {}, h('strong', {}, title), active && h('span', { class: 'tag maintenance', t: 'monitor.activeNow' })), h('p', { class: 'hint' }, `${when(window)} · ${whom}`)),
      this.mayWrite && remove,
    );
  }

  /** @param {any} window @param {string} title */
  async #remove({ windowId }, title) {
    if (!(await deletionConfirmed(title, t('monitor.deleteWindowHint')))) return;
    await this.api('DELETE', `maintenance/${encodeURIComponent(windowId)}`).catch(toastError);
  }
}

/** @param {any} window */
function when({ start, end, days, time, durationMinutes, zone }) {
  if (!Array.isArray(days)) return `${moment(start)} – ${moment(end)}`;
  const names = dayNames();
  const on = days.map((/** @type {string} */ day) => names.get(day) ?? day).join(', ');
  return t('monitor.weekly', { a: on, b: String(time), name: duration(Number(durationMinutes) * 60), text: String(zone) });
}

/** @param {string} iso */
function moment(iso) {
  const at = Date.parse(iso) || 0;
  return `${dayName(at)}, ${clockTime(at)}`;
}
