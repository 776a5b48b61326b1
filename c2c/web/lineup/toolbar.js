/**
 * The bar above the table: what it is, the search, and what can be done with the whole.
 * @module
 */

import { onLanguage, t } from '../i18n/index.js';
import { h, icon } from '../shell/dom.js';
import { download, importButton } from './files.js';

/** @typedef {import('../shell/identity.js').Identity} Identity */

const SEARCH_MS = 120;

/**
 * @param {string} roomId
 * @param {Identity} me
 * @param {string} slug
 * @param {string} role
 * @param {{search: (words: string) => void, undo: () => void, history: () => void}} actions
 */
export function toolbar(roomId, me, slug, role, actions) {
  const heading = h('h1', {}, t('lineup.title', { slug }));
  const count = h('p', { class: 'hint count' });
  const search = h('input', { type: 'search', tLabel: 'lineup.search', tPlaceholder: 'lineup.find', tTitle: 'lineup.search', autocomplete: 'off' });
  let timer = 0;
  search.addEventListener('input', () => {
    clearTimeout(timer);
    timer = window.setTimeout(() => actions.search(search.value), SEARCH_MS);
  });
  onLanguage(() => (heading.textContent = t('lineup.title', { slug })));
  const undo = role !== 'viewer' && tool('undo', 'lineup.undo', actions.undo);
  const buttons = h('div', { class: 'tools' }, undo, tool('clock', 'lineup.history', actions.history));
  buttons.append(tool('save', 'lineup.download', () => void download(roomId, me)));
  if (role === 'admin') buttons.append(importButton(roomId, me, () => {}));
  const element = h('div', { class: 'lineup-bar' }, h('div', { class: 'lineup-title' }, heading, count), search, buttons);
  return { element, showCount };

  /** @param {string} words */
  function showCount(words) {
    if (count.textContent !== words) count.textContent = words;
  }
}

/**
 * @param {import('../shell/dom.js').Icon} picture
 * @param {import('../shell/dom.js').Key} words
 * @param {() => void} onclick
 */
function tool(picture, words, onclick) {
  return h('button', { type: 'button', tTitle: words, tLabel: words, onclick }, icon(picture), h('span', { t: words }));
}
