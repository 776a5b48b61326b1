/**
 * Who changed what when, from the room's log, the newest first: of one row or of all.
 * @module
 */

import { clockTime, dayName, t } from '../i18n/index.js';
import { find, h, icon } from '../shell/dom.js';
import { authorization } from '../shell/identity.js';
import { toast } from '../shell/toasts.js';
import { numberWords } from './row.js';
import { nameOf } from './table.js';

/** @typedef {import('../c2c.js').RoomEvent} RoomEvent */
/** @typedef {import('./table.js').Row} Row */
/** @typedef {{row: Row, userId: string, change: {field: string, before: any, after: any}}} Updated */

const PAGE = 500;
/** So many are looked for before somebody has to ask for more. */
const WANTED = 50;
const SHOWN = 120;

export class History {
  /** The log is read from its end; this much is still unread. */
  #before = 0;
  #isReading = false;
  /** @type {Row | undefined} */
  #row;
  #turn = 0;
  #day = '';

  /**
   * @param {string} roomId
   * @param {import('../shell/identity.js').Identity} me
   * @param {() => number} lastSeq
   */
  constructor(roomId, me, lastSeq) {
    this.address = `/api/rooms/${encodeURIComponent(roomId)}/events`;
    this.me = me;
    this.lastSeq = lastSeq;
    this.list = h('ol', { class: 'changes' });
    this.none = h('p', { class: 'hint', t: 'lineup.historyEmpty' });
    this.more = h('button', { type: 'button', t: 'lineup.historyEarlier', onclick: () => void this.#read() });
    this.scope = h('div', { class: 'scope', role: 'group', tLabel: 'lineup.historyTitle' });
    const close = h('button', { type: 'button', class: 'quiet close', tLabel: 'close', onclick: () => this.close() }, icon('cross'));
    const title = h('h2', { id: 'history-title', t: 'lineup.historyTitle' });
    const box = h('div', { class: 'changes-box', tabindex: 0, role: 'region', 'aria-labelledby': 'history-title' }, this.list, this.none, this.more);
    this.dialog = h('dialog', { class: 'history', 'aria-labelledby': 'history-title' }, close, title, this.scope, box);
    find(document, 'body', HTMLElement).append(this.dialog);
  }

  close() {
    this.dialog.close();
  }

  /** @param {Row | undefined} row the one that is looked at */
  open(row) {
    const all = h('button', { type: 'button', class: 'small', onclick: () => this.#choose(undefined, 0) }, t('lineup.historyAll'));
    const one = row && h('button', { type: 'button', class: 'small', onclick: () => this.#choose(row, 1) }, nameOf(row));
    this.scope.replaceChildren(all, one ?? '');
    this.dialog.showModal();
    this.#choose(row, row ? 1 : 0);
  }

  /** @param {Row | undefined} row @param {number} pressed which button stands for it */
  #choose(row, pressed) {
    [...this.scope.children].forEach((each, index) => each.setAttribute('aria-pressed', String(index === pressed)));
    this.#row = row;
    this.#turn++;
    this.#isReading = false;
    this.#before = this.lastSeq() + 1;
    this.#day = '';
    this.list.replaceChildren();
    void this.#read();
  }

  async #read() {
    if (this.#isReading) return;
    const turn = this.#turn;
    this.#isReading = true;
    this.none.hidden = true;
    this.more.disabled = true;
    try {
      for (let found = 0; found < WANTED && this.#before > 1; ) {
        const page = await this.#page(Math.max(0, this.#before - 1 - PAGE));
        if (turn !== this.#turn) return;
        found += this.#show(page);
      }
    } catch {
      toast('error', 'lineup.historyFailed');
    }
    if (turn !== this.#turn) return;
    this.#isReading = false;
    this.more.disabled = false;
    this.more.hidden = this.#before <= 1;
    this.none.hidden = this.list.childElementCount > 0 || !this.more.hidden;
  }

  /** @param {number} after @returns {Promise<RoomEvent[]>} the events between that and what is read already */
  async #page(after) {
    const answer = await fetch(`${this.address}?limit=${PAGE}&after=${after}`, { headers: authorization(this.me) });
    if (!answer.ok) throw new Error(`status ${answer.status}`);
    const { data } = await answer.json();
    const events = data.events.filter((/** @type {RoomEvent} */ { seq = 0 }) => seq < this.#before);
    // What is not there any more was trimmed.
    this.#before = events.length && events[0].seq === after + 1 ? after + 1 : 0;
    return events;
  }

  /** @param {RoomEvent[]} events @returns {number} how many were shown */
  #show(events) {
    let shown = 0;
    for (const event of events.reverse()) {
      const words = this.#words(event);
      if (!words) continue;
      this.list.append(...this.#line(event, words));
      shown++;
    }
    return shown;
  }

  /** @param {RoomEvent} event @param {string} words */
  #line({ timestamp = '', userId }, words) {
    const at = Date.parse(timestamp);
    const day = dayName(at);
    const head = day === this.#day ? [] : [h('li', { class: 'day' }, day)];
    this.#day = day;
    const time = h('time', { datetime: timestamp }, clockTime(at));
    return [...head, h('li', { class: 'change' }, time, h('strong', {}, String(userId ?? '')), h('span', {}, words))];
  }

  /** @param {RoomEvent} event @returns {string} empty: it is about something else */
  #words(event) {
    if (event.t === 'lineup-imported') {
      return t('lineup.didImport', { added: Number(event.added), changed: Number(event.changed) });
    }
    if (event.t !== 'lineup-updated') return '';
    const { row, change } = /** @type {Updated} */ (/** @type {unknown} */ (event));
    if (this.#row && row.lineupId !== this.#row.lineupId) return '';
    const { field, before, after } = change;
    const name = nameOf(row);
    if (field === 'gbsNumber') return t('lineup.didNumber', { name, before: numberWords(before), after: numberWords(after) });
    const [was, is] = [before, after].map((memo) => String(memo?.memo ?? '').slice(0, SHOWN));
    if (before && after) return t('lineup.didUpdate', { name, before: was, after: is });
    return before ? t('lineup.didDelete', { name, before: was }) : t('lineup.didCreate', { name, after: is });
  }
}
