/**
 * What is going on, what will, and what was: incidents and maintenance.
 * @module
 */

import { duration, fullTime, t, timeAgo, timeSpan } from '../i18n/index.js';
import { h, icon } from '../shell/dom.js';

/** @typedef {import('./page.js').Report} Report */
/** @typedef {import('./page.js').Incident} Incident */
/** @typedef {import('./page.js').Maintenance} Maintenance */

const AHEAD_MS = 14 * 86_400_000;

export class Events {
  look = '';
  now = h('ul', { class: 'now', tLabel: 'status.page.now' });
  laterList = h('ul', { class: 'notes' });
  later = h('section', {}, h('h2', { t: 'status.page.later' }), this.laterList);
  pastList = h('ul', { class: 'notes' });
  none = h('p', { class: 'hint', t: 'status.page.noIncidents' });
  past = h('section', {}, h('h2', { t: 'status.page.past' }), this.pastList, this.none);

  /** @param {Report | undefined} report */
  show(report) {
    const { incidents = [], windows = [], endpoints = [] } = report ?? {};
    const names = new Map(endpoints.map(({ endpointId, name }) => [endpointId, name]));
    const open = incidents.filter(({ resolvedAt }) => resolvedAt === null);
    const over = incidents.filter(({ resolvedAt }) => resolvedAt !== null);
    const active = windows.filter((window) => window.active);
    const ahead = windows.filter(({ active, nextStart }) => !active && nextStart && Date.parse(nextStart) - Date.now() < AHEAD_MS);
    fill(this.now, [...open.map(openIncident), ...active.map((window) => activeWindow(window, names))]);
    fill(this.laterList, ahead.map((window) => plannedWindow(window, names)));
    fill(this.pastList, over.map(pastIncident));
    this.now.hidden = !open.length && !active.length;
    this.later.hidden = !ahead.length;
    this.pastList.hidden = !over.length;
    this.none.hidden = over.length > 0;
    this.past.hidden = !report;
  }
}

/** Only if it says anything else than before: a selection stays, and screen readers keep quiet. @param {HTMLElement} list @param {HTMLElement[]} items */
function fill(list, items) {
  if (list.childElementCount === items.length && items.every((item, index) => item.isEqualNode(list.children[index]))) return;
  list.replaceChildren(...items);
}

/** @param {Incident} incident */
function openIncident({ endpointName, startedAt, acknowledged }) {
  const at = Date.parse(startedAt);
  const since = h('time', { datetime: startedAt, title: fullTime(at) }, t('status.page.since', { a: timeAgo(Math.min(at, Date.now())) }));
  const taken = acknowledged && h('span', { class: 'taken', t: 'status.page.taken' });
  return h('li', { class: 'note incident' }, icon('alert'), h('strong', {}, t('status.page.isDown', { name: endpointName })), since, taken);
}

/** @param {Incident} incident */
function pastIncident({ endpointName, startedAt, duration: seconds }) {
  const at = Date.parse(startedAt);
  const when = h('time', { datetime: startedAt }, fullTime(at));
  return h('li', {}, h('strong', {}, endpointName), when, h('span', { class: 'hint' }, t('status.page.lasted', { a: duration(seconds ?? 0) })));
}

/** @param {Maintenance} window @param {Map<string, string>} names */
function activeWindow(window, names) {
  const { title, nextEnd } = window;
  const until = nextEnd && h('time', { datetime: nextEnd }, t('status.page.until', { a: fullTime(Date.parse(nextEnd)) }));
  return h('li', { class: 'note window' }, icon('tool'), h('strong', {}, title || t('status.page.window')), until, concerned(window, names));
}

/** @param {Maintenance} window @param {Map<string, string>} names */
function plannedWindow(window, names) {
  const { title, nextStart, nextEnd } = window;
  const from = Date.parse(nextStart ?? '');
  const when = h('time', { datetime: nextStart }, nextEnd ? timeSpan(from, Date.parse(nextEnd)) : fullTime(from));
  return h('li', {}, h('strong', {}, title || t('status.page.window')), when, concerned(window, names));
}

/** @param {Maintenance} window @param {Map<string, string>} names */
function concerned({ endpointIds }, names) {
  const words = endpointIds.map((endpointId) => names.get(endpointId) ?? '').filter(Boolean).join(', ');
  return h('span', { class: 'hint' }, words || t('status.page.everything'));
}
