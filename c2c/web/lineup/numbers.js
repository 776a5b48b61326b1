/**
 * Numbers as people write them: one in its cell, a column from the clipboard.
 * @module
 */

import { t } from '../i18n/index.js';
import { find, h } from '../shell/dom.js';
import { toast } from '../shell/toasts.js';
import { isTyping } from './keys.js';
import { NumberEditor } from './number.js';
import { readColumn } from './paste.js';
import { NUMBER, numberWords } from './row.js';
import { nameOf } from './table.js';

/** @typedef {import('./drafts.js').NumberDraft} NumberDraft */
/** @typedef {import('./table.js').Row} Row */

/** Of a paste that was refused, so many rows are named. */
const STALE_SHOWN = 8;

export class Numbers {
  /**
   * @param {import('./table.js').Table} table
   * @param {import('./view.js').View} view
   * @param {import('./edits.js').Edits} edits
   * @param {import('./marks.js').Marks} marks
   * @param {import('./drafts.js').Drafts} drafts
   * @param {import('./grid.js').Grid} grid
   */
  constructor(table, view, edits, marks, drafts, grid) {
    this.table = table;
    this.view = view;
    this.edits = edits;
    this.marks = marks;
    this.drafts = drafts;
    this.grid = grid;
  }

  /** @param {NumberDraft} draft what was being written before a reload */
  resume(draft) {
    this.grid.navigation.focus({ row: draft.lineupId, column: NUMBER });
    this.edit(draft.lineupId, draft.text, draft);
  }

  /**
   * @param {number} lineupId
   * @param {string} [typed] what was typed to begin with
   * @param {NumberDraft} [draft]
   */
  edit(lineupId, typed, draft) {
    const { grid, marks, drafts, edits } = this;
    const known = this.table.rows.get(lineupId);
    const row = grid.rows.get(lineupId);
    if (!known || !row) return;
    const cell = row.cells[NUMBER];
    const base = draft ? draft.base : edits.overlays.numberOf(lineupId);
    const seen = draft?.seen ?? known.version;
    const keep = (/** @type {string} */ text) => drafts.keep({ lineupId, text, base, seen });
    const done = () => {
      if (cell.contains(document.activeElement)) cell.focus({ preventScroll: true });
      row.restore();
      marks.end();
      drafts.forget();
      grid.dirty([lineupId]);
    };
    row.isEdited = true;
    marks.begin(lineupId, 'gbsNumber');
    if (typed !== undefined) keep(typed);
    const label = t('lineup.numberOf', { name: nameOf(known) });
    new NumberEditor(cell, label, typed ?? String(base ?? ''), typed === undefined, {
      draft: keep,
      cancel: done,
      commit: (number, then) => {
        done();
        if (number !== base) edits.setNumber(lineupId, number, base, seen);
        if (then !== 'nowhere') grid.navigation.move(then);
      },
    });
  }

  /** @param {number} lineupId */
  clear(lineupId) {
    const version = this.table.rows.get(lineupId)?.version ?? 0;
    this.edits.setNumber(lineupId, null, this.edits.overlays.numberOf(lineupId), version);
  }

  get #row() {
    const { navigation } = this.grid;
    const isHere = navigation.isInside && !isTyping(document.activeElement);
    return isHere ? this.view.indexOf(navigation.active.row) : -1;
  }

  /** @param {ClipboardEvent} event */
  paste(event) {
    const index = this.#row;
    const text = event.clipboardData?.getData('text/plain');
    if (index < 0 || !text || this.grid.navigation.readOnly) return;
    event.preventDefault();
    if (this.grid.navigation.active.column !== NUMBER) return toast('info', 'lineup.pasteWhere');
    const read = readColumn(text, this.view.ids.slice(index));
    if (Array.isArray(read)) this.edits.setNumbers(read);
    else toast('warning', read.key, read.values);
  }

  /** @param {ClipboardEvent} event */
  copy(event) {
    if (this.#row < 0 || !event.clipboardData || getSelection()?.isCollapsed === false) return;
    const { active } = this.grid.navigation;
    const number = this.edits.overlays.numberOf(active.row);
    const words = this.grid.navigation.cellAt(active)?.textContent ?? '';
    event.clipboardData.setData('text/plain', active.column === NUMBER ? String(number ?? '') : words);
    event.preventDefault();
  }
}

/**
 * What to do with a paste that was refused because others have changed some of its rows.
 * @param {Row[]} stale as they are now; empty: which ones is not known any more
 * @param {number} count rows of the paste
 * @returns {Promise<boolean>} whether to paste all the same
 */
export function askAboutPaste(stale, count) {
  const lines = stale.slice(0, STALE_SHOWN).map((row) => {
    const values = { name: nameOf(row), n: numberWords(row.gbsNumber), by: row.updatedBy ?? '' };
    return h('li', {}, t('lineup.pasteWas', values));
  });
  const rest = stale.length > STALE_SHOWN && h('li', {}, t('people.rest', { n: stale.length - STALE_SHOWN }));
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
