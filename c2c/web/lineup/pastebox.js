/**
 * What to do with a paste that was refused because others have changed some of its rows.
 * @module
 */

import { t } from '../i18n/index.js';
import { find, h } from '../shell/dom.js';
import { numberWords } from './row.js';
import { nameOf } from './table.js';

/** @typedef {import('./table.js').Row} Row */

const SHOWN = 8;

/**
 * @param {Row[]} stale as they are now; empty: which ones is not known any more
 * @param {number} count rows of the paste
 * @returns {Promise<boolean>} whether to paste all the same
 */
export function askAboutPaste(stale, count) {
  const lines = stale.slice(0, SHOWN).map((row) => {
    const values = { name: nameOf(row), n: numberWords(row.gbsNumber), by: row.updatedBy ?? '' };
    return h('li', {}, t('lineup.pasteWas', values));
  });
  const rest = stale.length > SHOWN && h('li', {}, t('people.rest', { n: stale.length - SHOWN }));
  const why = stale.length ? t('lineup.pasteStale') : t('lineup.pasteUnknown', { n: count });
  const leave = h('button', { type: 'button', t: 'lineup.pasteLeave', onclick: () => close('') });
  const paste = h('button', { type: 'button', class: 'primary', t: 'lineup.pasteAnyway', onclick: () => close('paste') });
  const title = h('h2', { id: 'paste-title', t: 'lineup.pasteRefused' });
  const content = h('div', { class: 'paste' }, title, h('p', {}, why), h('ul', {}, ...lines, rest), h('div', { class: 'buttons' }, leave, paste));
  const dialog = h('dialog', { 'aria-labelledby': 'paste-title' }, content);
  find(document, 'body', HTMLElement).append(dialog);
  /** @param {string} answer */
  function close(answer) {
    dialog.close(answer);
  }
  return new Promise((resolve) => {
    dialog.addEventListener('close', () => {
      dialog.remove();
      resolve(dialog.returnValue === 'paste');
    });
    dialog.showModal();
  });
}
