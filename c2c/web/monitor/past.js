/**
 * An incident in the history of an endpoint.
 * @module
 */

import { clockTime, dayName, t } from '../i18n/index.js';
import { h, icon } from '../shell/dom.js';
import { roomAddress } from '../shell/links.js';
import { duration } from './aging.js';
import { acknowledgement, chatOf, lasted } from './incidents.js';
import { sign, why } from './signs.js';

/** @typedef {import('./model.js').Incident} Incident */

/** One of the past, or of now, in the history of an endpoint. @param {Incident} incident */
export function pastIncident(incident) {
  const { incidentId, startedAt, resolvedAt, acknowledged, reopened } = incident;
  const at = Date.parse(startedAt) || 0;
  const isOpen = resolvedAt === null;
  const length = isOpen ? t('monitor.stillOpen') : t('monitor.lasted', { a: duration(lasted(incident)) });
  const time = h('time', { datetime: startedAt }, `${dayName(at)}, ${clockTime(at)}`);
  const words = [why(incident), reopened ? t('monitor.reopened') : ''].filter(Boolean).join(' · ');
  const taken = acknowledged && h('div', { class: 'acknowledged' }, acknowledgement(acknowledged));
  const chat = h('a', { href: roomAddress(chatOf(incidentId)) }, icon('room'), h('span', {}, t('monitor.chat')));
  return h(
    'li',
    { class: isOpen ? 'past open' : 'past' },
    sign(isOpen ? 'DOWN' : 'UP'),
    h('div', {}, h('p', { class: 'past-head' }, time, h('strong', {}, length)), h('p', { class: 'hint' }, words), taken),
    chat,
  );
}
