/**
 * How many endpoints are how, as tiles that choose which of them are listed, and the search.
 * @module
 */

import { number } from '../i18n/index.js';
import { h, icon, write } from '../shell/dom.js';
import { FILTERS } from './endpoints.js';
import { sign } from './signs.js';

/** @typedef {import('./endpoints.js').Filter} Filter */
/** @typedef {import('../shell/dom.js').Key} Key */

/** @type {Record<Filter, Key>} */
const NAMES = {
  all: 'monitor.all',
  DOWN: 'monitor.down',
  DEGRADED: 'monitor.slow',
  rest: 'monitor.rest',
  UP: 'monitor.up',
};

/** @param {(filter: Filter) => void} chosen */
export function tiles(chosen) {
  const counts = FILTERS.map(() => h('span', { class: 'tile-count' }, '–'));
  const buttons = FILTERS.map((filter, index) => {
    const picture = filter === 'all' ? icon('pulse') : sign(filter === 'rest' ? 'UNKNOWN' : filter);
    const words = h('span', { class: 'tile-name' }, picture, h('span', { t: NAMES[filter] }));
    return h('button', { type: 'button', class: `tile ${filter}`, onclick: () => choose(filter) }, counts[index], words);
  });
  const choose = (/** @type {Filter} */ filter) => {
    buttons.forEach((button, index) => button.setAttribute('aria-pressed', String(FILTERS[index] === filter)));
    chosen(filter);
  };
  buttons.forEach((button, index) => button.setAttribute('aria-pressed', String(index === 0)));
  return {
    element: h('div', { class: 'tiles', role: 'group', tLabel: 'monitor.status' }, ...buttons),
    /** @param {Record<Filter, number>} numbers */
    show(numbers) {
      FILTERS.forEach((filter, index) => {
        write(counts[index], number(numbers[filter]));
        buttons[index].classList.toggle('none', numbers[filter] === 0);
      });
    },
  };
}

/** @param {(words: string) => void} sought */
export function searchBox(sought) {
  const words = /** @type {const} */ ({ tLabel: 'monitor.search', tPlaceholder: 'monitor.search' });
  const input = h('input', { type: 'search', autocomplete: 'off', autocapitalize: 'none', spellcheck: 'false', ...words });
  input.addEventListener('input', () => sought(input.value));
  return h('div', { class: 'search' }, icon('search'), input);
}
