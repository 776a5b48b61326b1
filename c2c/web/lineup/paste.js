/**
 * What a spreadsheet puts on the clipboard, read as a column of numbers; and what to do when others have changed some of
 * its rows.
 * @module
 */

import { t } from '../i18n/index.js';
import { find, h } from '../shell/dom.js';
import { numberWords } from './row.js';
import { nameOf } from './table.js';

/** @typedef {import('./table.js').Row} Row */
/** @typedef {import('../i18n/index.js').Key} Key */
/** @typedef {import('./edits.js').NumberOfRow} NumberOfRow */
/** @typedef {{key: Key, values: Record<string, string | number>}} Refusal */

/** What one command may hold. */
const NUMBERS_MAX = 500;
const TEXT_SHOWN = 40;
const ROWS_SHOWN = 8;

/**
 * All or nothing: one cell that is no number, and nothing of it is taken.
 * @param {string} text
 * @param {readonly number[]} ids the rows from where it is pasted on
 * @returns {NumberOfRow[] | Refusal}
 */
export function readColumn(text, ids) {
  const cells = text.replace(/\r\n?/g, '\n').replace(/\n$/, '').split('\n');
  if (cells.some((cell) => cell.includes('\t'))) return { key: 'lineup.pasteColumns', values: {} };
  const bad = cells.findIndex((cell) => !/^\d{0,3}$/.test(cell.trim()));
  if (bad >= 0) return { key: 'lineup.pasteBad', values: { line: bad + 1, text: cells[bad].trim().slice(0, TEXT_SHOWN) } };
  if (cells.length > NUMBERS_MAX) return { key: 'lineup.pasteMany', values: { n: NUMBERS_MAX } };
  if (cells.length > ids.length) return { key: 'lineup.pasteLong', values: { n: cells.length, m: ids.length } };
  return cells.map((cell, index) => ({ lineupId: ids[index], gbsNumber: readNumber(cell) }));
}

/** @param {string} text digits @returns {number | null} null: empty */
export function readNumber(text) {
  return text.trim() === '' ? null : Number(text);
}

/**
 * @param {Row[]} stale as they are now; empty: which ones is not known any more
 * @param {number} count rows of the paste
 * @returns {Promise<boolean>} whether to paste all the same
 */
export function askAboutPaste(stale, count) {
  const lines = stale.slice(0, ROWS_SHOWN).map((row) => {
    const values = { name: nameOf(row), n: numberWords(row.gbsNumber), by: row.updatedBy ?? '' };
    return h('li', {}, t('lineup.pasteWas', values));
  });
  const rest = stale.length > ROWS_SHOWN && h('li', {}, t('people.rest', { n: stale.length - ROWS_SHOWN }));
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
