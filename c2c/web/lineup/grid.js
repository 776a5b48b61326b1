/**
 * The table on the screen. All rows are equally high, so where each stands is known without measuring, and only those in
 * sight exist. However many events come, there is one drawing a frame.
 *
 * While the focus is in a row the order stands still, so that an edited row does not jump away under the hand.
 * @module
 */

import { language, t } from '../i18n/index.js';
import { h, icon } from '../shell/dom.js';
import { HEAD, Navigation } from './navigation.js';
import { FIELDS, GridRow, NAME } from './row.js';

/** @typedef {import('./edits.js').Edits} Edits */
/** @typedef {import('./marks.js').Marks} Marks */
/** @typedef {import('./table.js').Table} Table */
/** @typedef {import('./view.js').View} View */
/** @typedef {import('./navigation.js').Place} Place */
/**
 * @typedef {object} GridActions
 * @property {(id: number, typed: string | undefined) => void} editNumber
 * @property {(id: number) => void} openMemos
 * @property {(id: number) => void} clearNumber
 * @property {() => void} drawn
 */

/** With the head and the row that has the focus, 60 at most. */
const ROWS = 58;
const SPARE = 5;
const ROW_PX = 44;

export class Grid {
  /** @type {Map<number, GridRow>} those that exist */
  rows = new Map();
  /** @type {HTMLElement[]} */
  heads = [];
  rowHeight = 0;
  /** @type {Set<number>} rows that may look different */
  #dirty = new Set();
  #allDirty = true;
  #frame = 0;
  #generation = -1;
  /** Whether the order may be another by now. */
  isStale = true;

  /**
   * @param {Table} table
   * @param {View} view
   * @param {Edits} edits
   * @param {Marks} marks
   * @param {GridActions} actions
   */
  constructor(table, view, edits, marks, actions) {
    this.table = table;
    this.view = view;
    this.edits = edits;
    this.marks = marks;
    this.actions = actions;
    this.head = h('div', { role: 'row', class: 'grid-row grid-head', 'aria-rowindex': 1 });
    this.body = h('div', { role: 'rowgroup', class: 'grid-body' });
    const top = h('div', { role: 'rowgroup', class: 'grid-top' }, this.head);
    this.element = h('div', { role: 'grid', class: 'grid', tLabel: 'lineup.grid' }, top, this.body);
    this.navigation = new Navigation(this);
    this.element.addEventListener('scroll', () => this.update(), { passive: true });
    new ResizeObserver(() => {
      this.rowHeight = 0;
      this.update();
    }).observe(this.element);
  }

  /** @param {Iterable<number>} [ids] rows that look different; none given: all do */
  dirty(ids) {
    if (ids) for (const id of ids) this.#dirty.add(id);
    else this.#allDirty = true;
    if (this.view.depends) this.isStale = true;
    this.update();
  }

  /** Somebody has chosen what to see: now, wherever the focus is. */
  rearrange() {
    this.arrange();
    this.#allDirty = true;
    this.element.scrollTop = 0;
    this.update();
  }

  /** The words of the head in another language. */
  translate() {
    this.heads = [];
    this.isStale = this.#allDirty = true;
    this.update();
  }

  update() {
    this.#frame ||= requestAnimationFrame(() => {
      this.#frame = 0;
      this.draw();
    });
  }

  draw() {
    const { table, view } = this;
    if (table.generation !== this.#generation) {
      this.#generation = table.generation;
      this.isStale = this.#allDirty = true;
    }
    const isNew = view.ids.length === 0 && table.ids.length > 0;
    if (this.isStale && (isNew || !this.navigation.isInside)) this.arrange();
    if (this.heads.length !== FIELDS + table.fields.length) this.#makeHead();
    this.rowHeight ||= this.head.offsetHeight || ROW_PX;
    const { scrollTop, clientHeight } = this.element;
    const from = Math.max(0, Math.floor(scrollTop / this.rowHeight) - SPARE);
    const to = Math.min(view.ids.length, Math.ceil((scrollTop + clientHeight) / this.rowHeight) + SPARE, from + ROWS);
    this.#place(from, to);
    this.#dirty.clear();
    this.#allDirty = false;
    this.actions.drawn();
  }

  /** Brings the order up to date. The row with the focus stays where the eye is. */
  arrange() {
    const { view, element, rowHeight, navigation } = this;
    const { row } = navigation.active;
    const before = view.indexOf(row);
    this.isStale = false;
    if (!view.arrange(language())) return;
    const after = view.indexOf(row);
    this.body.style.height = `calc(${view.ids.length} * var(--row))`;
    element.setAttribute('aria-rowcount', String(view.ids.length + 1));
    if (before >= 0 && after >= 0 && navigation.isInside) element.scrollTop += (after - before) * rowHeight;
    if (row === HEAD || after >= 0) return;
    const next = view.ids[Math.min(Math.max(before, 0), view.ids.length - 1)] ?? HEAD;
    navigation.activate({ row: next, column: navigation.active.column });
  }

  #makeHead() {
    const { fields } = this.table;
    const words = [t('lineup.name'), t('lineup.number'), t('lineup.memos'), ...fields];
    this.heads = words.map((word, column) => {
      const name = column === NAME ? 'head cell-name' : 'head';
      const attributes = { role: 'columnheader', class: name, tabindex: -1, 'aria-colindex': column + 1, title: word };
      return h('div', attributes, h('span', {}, word));
    });
    this.head.replaceChildren(...this.heads);
    const widths = ['var(--name)', 'var(--number)', 'minmax(var(--memos), 2fr)', ...fields.map(() => 'minmax(var(--field), 1fr)')];
    this.element.style.setProperty('--columns', widths.join(' '));
    this.element.style.setProperty('--fields', String(fields.length));
    this.element.setAttribute('aria-colcount', String(words.length));
    for (const row of this.rows.values()) row.element.remove();
    this.rows.clear();
    this.showSort();
    this.navigation.activate(this.navigation.active);
  }

  /** @param {number} column */
  columnName(column) {
    return ['name', 'gbsNumber', 'memos'][column] ?? this.table.fields[column - FIELDS];
  }

  /** Sorts up, down, and in the list's own order again. @param {string} column */
  sortBy(column) {
    const { sort } = this.view;
    if (sort.column !== column) this.view.sort = { column, down: false };
    else if (!sort.down) this.view.sort = { column, down: true };
    else this.view.sort = { column: '', down: false };
    this.showSort();
    this.rearrange();
  }

  showSort() {
    const { column, down } = this.view.sort;
    this.heads.forEach((head, index) => {
      const isSorted = column !== '' && column === this.columnName(index);
      head.querySelector('.icon')?.remove();
      if (isSorted) head.setAttribute('aria-sort', down ? 'descending' : 'ascending');
      else head.removeAttribute('aria-sort');
      head.classList.toggle('up', isSorted && !down);
      if (isSorted) head.append(icon('down'));
    });
  }

  /**
   * Makes the rows of this part, in order, and takes the others away, but for the one with the focus.
   * @param {number} from
   * @param {number} to
   */
  #place(from, to) {
    const { navigation, view, rows } = this;
    const wanted = new Map(view.ids.slice(from, to).map((id, index) => [id, from + index]));
    const kept = view.indexOf(navigation.active.row);
    if (kept >= 0) wanted.set(navigation.active.row, kept);
    for (const [id, row] of rows) {
      if (wanted.has(id)) continue;
      row.element.remove();
      rows.delete(id);
    }
    let next = this.body.firstElementChild;
    for (const [id, index] of [...wanted].sort(([, a], [, b]) => a - b)) {
      const known = rows.get(id);
      const row = known ?? new GridRow(id, this.heads.length, (lineupId, mine) => this.#resolve(lineupId, mine));
      if (row.element === next) next = next.nextElementSibling;
      else this.body.insertBefore(row.element, next);
      row.place(index, this.rowHeight);
      if (!known || this.#allDirty || this.#dirty.has(id)) this.#fill(row);
      if (known) continue;
      rows.set(id, row);
      if (id === navigation.active.row) navigation.activate(navigation.active);
    }
  }

  /** @param {GridRow} row */
  #fill(row) {
    const known = this.table.rows.get(row.id);
    if (known) row.fill(known, this.edits.overlays.look(row.id), this.marks.of(row.id), this.table.fields);
  }

  /** @param {number} id @param {boolean} mine */
  #resolve(id, mine) {
    if (mine) this.edits.keepMine(id);
    else this.edits.takeTheirs(id);
  }
}
