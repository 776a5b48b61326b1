/**
 * What the time of one answer was spent on: the name, the connection, its encryption, the wait for the first byte.
 * @module
 */

import { t } from '../i18n/index.js';
import { h } from '../shell/dom.js';
import { took } from './aging.js';

/** In ms, null: there was none. @typedef {{dns?: number | null, connect?: number | null, tls?: number | null, firstByte?: number | null}} Phases */
/** @typedef {import('../i18n/index.js').Key} Key */

/** @type {[keyof Phases, Key][]} */
const PARTS = [
  ['dns', 'monitor.phase.dns'],
  ['connect', 'monitor.phase.connect'],
  ['tls', 'monitor.phase.tls'],
  ['firstByte', 'monitor.phase.firstByte'],
];

/** A bar of parts, each with its name and time below. @param {Phases | null | undefined} phases */
export function phasesBar(phases) {
  const parts = PARTS.flatMap(([name, words]) => {
    const ms = phases?.[name];
    return typeof ms === 'number' ? [{ name, words, ms }] : [];
  });
  if (!parts.length) return h('p', { class: 'hint' }, t('monitor.noPhases'));
  const bar = h('div', { class: 'phases-bar', 'aria-hidden': 'true' });
  for (const { name, ms } of parts) {
    const part = h('span', { class: name });
    part.style.flexGrow = String(Math.max(ms, 1));
    bar.append(part);
  }
  const list = parts.map(({ name, words, ms }) => h('div', { class: name }, h('dt', {}, t(words)), h('dd', {}, took(ms))));
  return h('div', { class: 'phases' }, bar, h('dl', {}, ...list));
}
