/**
 * The incidents that an endpoint has had, the newest first.
 * @module
 */

import { clockTime, dayName, language, t } from '../i18n/index.js';
import { h, icon, write } from '../shell/dom.js';
import { roomAddress } from '../shell/links.js';
import { duration } from './aging.js';
import { acknowledgement, chatOf, lasted } from './incidents.js';
import { sign, why } from './signs.js';

/** @typedef {import('./model.js').Incident} Incident */

/** @typedef {{count?: number, mtta?: number | null, mttr?: number | null}} Stats of the last 30 days; s */

export class Past {
  #key = '';
  /** @type {Incident[]} as the server last told of them */
  #told = [];
  /** @type {Stats} */
  #stats = {};
  list = h('ol', { class: 'pasts' });
  none = h('p', { class: 'hint', t: 'monitor.noIncidents' });
  figures = h('p', { class: 'hint' });
  element = h('section', { class: 'card' }, h('h2', { t: 'monitor.incidents' }), this.figures, this.list, this.none);
  /** @type {ReadonlyMap<string, Incident>} */
  #open = new Map();

  /** @param {Incident[]} incidents @param {Stats} stats */
  told(incidents, stats) {
    this.#told = incidents;
    this.#stats = stats ?? {};
    this.show(this.#open);
  }

  /** @param {ReadonlyMap<string, Incident>} open what events tell of the open ones */
  show(open) {
    this.#open = open;
    const all = new Map([...this.#told.map((each) => /** @type {const} */ ([each.incidentId, each])), ...open]);
    const newest = [...all.values()].sort((a, b) => (a.startedAt < b.startedAt ? 1 : -1));
    const key = JSON.stringify([newest, this.#stats, language()]);
    if (key === this.#key) return;
    this.#key = key;
    this.list.replaceChildren(...newest.map(item));
    this.none.hidden = newest.length > 0;
    write(this.figures, figureWords(this.#stats));
  }
}

/** How quickly people and things were. @param {Stats} stats */
function figureWords({ count, mtta, mttr }) {
  if (!count) return '';
  const taken = typeof mtta === 'number' ? t('monitor.mtta', { a: duration(mtta) }) : '';
  const solved = typeof mttr === 'number' ? t('monitor.mttr', { a: duration(mttr) }) : '';
  return [t('monitor.inThirtyDays', { n: count }), taken, solved].filter(Boolean).join(' · ');
}

/** @param {Incident} incident */
function item(incident) {
  const { incidentId, startedAt, resolvedAt, acknowledged, reopened } = incident;
  const at = Date.parse(startedAt) || 0;
  const isOpen = resolvedAt === null;
  const length = isOpen ? t('monitor.stillOpen') : t('monitor.lasted', { a: duration(lasted(incident)) });
  const words = [why(incident), reopened ? t('monitor.reopened') : ''].filter(Boolean).join(' · ');
  const head = h('p', { class: 'past-head' }, h('time', { datetime: startedAt }, `${dayName(at)}, ${clockTime(at)}`), h('strong', {}, length));
  const taken = acknowledged && h('div', { class: 'acknowledged' }, acknowledgement(acknowledged));
  const chat = h('a', { href: roomAddress(chatOf(incidentId)) }, icon('room'), h('span', {}, t('monitor.chat')));
  const look = isOpen ? 'past open' : 'past';
  return h('li', { class: look }, sign(isOpen ? 'DOWN' : 'UP'), h('div', {}, head, h('p', { class: 'hint' }, words), taken), chat);
}
