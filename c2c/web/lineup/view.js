/**
 * Which rows are shown, in which order: search, one group, sorting. Local to this page. No DOM.
 * @module
 */

import { nameOf, text } from './table.js';

/** @typedef {import('./table.js').Row} Row */
/** @typedef {import('./table.js').Table} Table */
/** @typedef {number | 'all' | 'none'} Group `none`: those who are in no group yet */
/** @typedef {{column: string, down: boolean}} Sort `column`: `` for the list's own order, `name`, `gbsNumber`, `memos` or a field */

/** @type {WeakMap<Row, string>} */
const sought = new WeakMap();

export class View {
  /** @type {readonly number[]} row ids */
  ids = [];
  words = '';
  /** @type {Group} */
  group = 'all';
  /** @type {Sort} */
  sort = { column: '', down: false };
  #indexes = new Map();

  /**
   * @param {Table} table
   * @param {(id: number) => number | null} numberOf as it is shown: with what is on its way
   */
  constructor(table, numberOf) {
    this.table = table;
    this.numberOf = numberOf;
  }

  /** Whether an edit can change what is shown where. */
  get depends() {
    return this.words !== '' || this.group !== 'all' || this.sort.column !== '';
  }

  /**
   * Chooses and sorts anew.
   * @param {string} locale
   * @returns {boolean} whether anything has moved
   */
  arrange(locale) {
    const words = plain(this.words).split(/\s+/).filter(Boolean);
    const fresh = this.table.ids.filter((id) => this.#isIn(id) && this.#matches(id, words));
    if (this.sort.column) this.#order(fresh, locale);
    if (fresh.length === this.ids.length && fresh.every((id, index) => id === this.ids[index])) return false;
    this.ids = fresh;
    this.#indexes = new Map(fresh.map((id, index) => [id, index]));
    return true;
  }

  /** @param {number} id @returns {number} -1: it is not shown */
  indexOf(id) {
    return this.#indexes.get(id) ?? -1;
  }

  /** @param {number} id */
  #isIn(id) {
    if (this.group === 'all') return true;
    return this.numberOf(id) === (this.group === 'none' ? null : this.group);
  }

  /** @param {number} id @param {string[]} words */
  #matches(id, words) {
    const row = this.table.rows.get(id);
    return words.every((word) => row && soughtIn(row).includes(word));
  }

  /** What is empty comes last, whichever way one sorts. @param {number[]} ids @param {string} locale */
  #order(ids, locale) {
    const { column, down } = this.sort;
    const collator = new Intl.Collator(locale, { numeric: true });
    const keys = new Map(ids.map((id) => [id, this.#key(id, column)]));
    const sign = down ? -1 : 1;
    ids.sort((a, b) => {
      const [x, y] = [keys.get(a) ?? '', keys.get(b) ?? ''];
      if (x === y) return a - b;
      if (x === '' || y === '') return x === '' ? 1 : -1;
      const order = typeof x === 'number' && typeof y === 'number' ? x - y : collator.compare(String(x), String(y));
      return sign * order || a - b;
    });
  }

  /** @param {number} id @param {string} column @returns {string | number} */
  #key(id, column) {
    const row = this.table.rows.get(id);
    if (column === 'gbsNumber') return this.numberOf(id) ?? '';
    if (column === 'memos') return row?.memos.length || '';
    if (column === 'name') return nameOf(row);
    const value = row?.[column];
    return typeof value === 'number' ? value : text(value);
  }
}

/** @param {Row} row */
function soughtIn(row) {
  let found = sought.get(row);
  if (found === undefined) {
    const { memos, version, updatedBy, gbsNumber, ...fields } = row;
    const cells = [...Object.values(fields).map(text), ...memos.map(({ memo }) => memo)];
    sought.set(row, (found = plain(cells.join('\n'))));
  }
  return found;
}

/** @param {string} words */
function plain(words) {
  return words.normalize('NFC').toLowerCase();
}
