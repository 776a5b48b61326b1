/**
 * Incidents that are open, as cards, with a way to say that one is on it.
 * @module
 */

import { clockTime, t } from '../i18n/index.js';
import { h, icon, write } from '../shell/dom.js';
import { roomAddress } from '../shell/links.js';
import { toastError } from '../shell/toasts.js';
import { duration } from './aging.js';
import { serverNow } from './api.js';
import { button, sign, why, written } from './signs.js';

/** @typedef {import('./api.js').Api} Api */
/** @typedef {import('./model.js').Incident} Incident */
/** `linked`: the name leads to the endpoint's page. @typedef {{api: Api, mayWrite: boolean, linked: boolean}} Surroundings */

const NOTE_LENGTH = 500;
const SHOWN = 50;

/** @param {string} incidentId */
export function chatOf(incidentId) {
  return `incident:${incidentId}`;
}

/** @param {Incident} incident @returns {number} how long it has lasted, in s */
export function lasted({ startedAt, resolvedAt, duration: seconds }) {
  if (resolvedAt !== null && seconds !== null) return seconds;
  return (serverNow() - Date.parse(startedAt)) / 1000;
}

/** One that is open. While a note is being written, nothing takes it away but the end of the incident. */
class Card {
  key = '';

  /** @param {Incident} incident @param {Surroundings} surroundings */
  constructor(incident, { api, mayWrite, linked }) {
    this.incident = incident;
    this.api = api;
    this.mayWrite = mayWrite;
    const { endpointId, endpointName, incidentId } = incident;
    const href = `/monitor/${encodeURIComponent(endpointId)}`;
    this.name = linked ? h('a', { class: 'name', href }, endpointName) : h('strong', { class: 'name' }, endpointName);
    this.since = h('span', { class: 'since' });
    this.why = h('p', { class: 'why' });
    this.acknowledged = h('div', { class: 'acknowledged' });
    const chat = h('a', { class: 'button small', href: roomAddress(chatOf(incidentId)) }, icon('room'), h('span', { t: 'monitor.chat' }));
    this.open = button('check', 'monitor.acknowledge', () => this.#ask(true), 'small');
    this.buttons = h('div', { class: 'buttons' }, mayWrite && this.open, chat);
    this.form = this.#form();
    const head = h('div', { class: 'incident-head' }, sign('DOWN'), this.name, this.since);
    this.element = h('li', { class: 'incident' }, head, this.why, this.acknowledged, this.buttons, this.form);
    written(this.element, () => this.show(this.incident, true));
  }

  #form() {
    const label = { tLabel: 'monitor.note', tPlaceholder: 'monitor.note' };
    const note = h('input', { type: 'text', maxlength: NOTE_LENGTH, autocomplete: 'off', .../** @type {any} */ (label) });
    const send = h('button', { type: 'submit', class: 'primary', t: 'monitor.acknowledge' });
    const cancel = h('button', { type: 'button', t: 'cancel', onclick: () => this.#ask(false) });
    const form = h('form', { class: 'note', hidden: true }, note, send, cancel);
    form.addEventListener('submit', async (event) => {
      event.preventDefault();
      send.disabled = true;
      if (await this.#acknowledge(note.value.trim())) form.hidden = true;
      send.disabled = false;
    });
    form.addEventListener('keydown', ({ key }) => key === 'Escape' && this.#ask(false));
    return form;
  }

  /** @param {boolean} asked */
  #ask(asked) {
    this.form.hidden = !asked;
    if (asked) this.form.querySelector('input')?.focus();
    else this.open.focus();
  }

  /** What comes of it, the event tells. @param {string} note */
  async #acknowledge(note) {
    const { incidentId } = this.incident;
    try {
      await this.api('POST', `incidents/${encodeURIComponent(incidentId)}/acknowledge`, note ? { note } : {});
      return true;
    } catch (error) {
      toastError(error);
      return false;
    }
  }

  /** @param {Incident} incident @param {boolean} [anew] */
  show(incident, anew = false) {
    const told = incident !== this.incident || anew;
    this.incident = incident;
    this.showTime();
    if (!told) return;
    const { acknowledged, reopened, failureCount } = incident;
    const words = [why(incident), t('monitor.failures', { n: failureCount }), reopened ? t('monitor.reopened') : ''];
    write(this.why, words.filter(Boolean).join(' · '));
    this.why.title = incident.errorMessage;
    this.element.classList.toggle('is-acknowledged', acknowledged !== null);
    this.acknowledged.replaceChildren(...(acknowledged ? [acknowledgement(acknowledged)] : []));
    this.open.hidden = acknowledged !== null; // and it is asked again when the incident is reopened
  }

  showTime() {
    const { startedAt } = this.incident;
    write(this.since, t('monitor.downFor', { a: duration(lasted(this.incident)), b: clockTime(Date.parse(startedAt) || 0) }));
  }
}

/** @param {import('./model.js').Acknowledged} acknowledged */
export function acknowledgement({ username, note, at }) {
  const words = t('monitor.acknowledgedBy', { name: username, a: clockTime(Date.parse(at) || 0) });
  return h('p', {}, icon('check'), h('span', {}, words, note && h('q', {}, note)));
}

/** Those that are open, the newest first. */
export class OpenIncidents {
  /** @type {Map<string, Card>} */
  #cards = new Map();
  list = h('ul', { class: 'incident-list' });
  count = h('span', { class: 'count' });
  element = h('section', { class: 'incidents', tLabel: 'monitor.openIncidents', hidden: true });
  more = h('p', { class: 'hint' });

  /** @param {Surroundings} surroundings */
  constructor(surroundings) {
    this.surroundings = surroundings;
    this.element.append(h('h2', {}, h('span', { t: 'monitor.openIncidents' }), this.count), this.list, this.more);
  }

  /** @param {Map<string, Incident>} incidents by id */
  show(incidents) {
    for (const [id, card] of this.#cards) {
      if (incidents.has(id)) continue;
      card.element.remove();
      this.#cards.delete(id);
    }
    const newest = [...incidents.values()].sort((a, b) => (a.startedAt < b.startedAt ? 1 : -1)).slice(0, SHOWN);
    for (const incident of newest.reverse()) {
      const { incidentId } = incident;
      const card = this.#cards.get(incidentId) ?? new Card(incident, this.surroundings);
      if (!this.#cards.has(incidentId)) this.list.prepend(card.element);
      this.#cards.set(incidentId, card);
      card.show(incident);
    }
    this.element.hidden = incidents.size === 0;
    write(this.count, String(incidents.size));
    write(this.more, incidents.size > SHOWN ? t('monitor.moreIncidents', { n: incidents.size - SHOWN }) : '');
  }

  tick() {
    for (const card of this.#cards.values()) card.showTime();
  }
}
