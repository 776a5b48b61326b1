/**
 * The table as the server has told it: rows by id, how many each group has. No DOM.
 *
 * A row's `version` grows with each event that writes it, so of two accounts of a row the newer is known whatever way
 * and in whatever order they came: as an event, as an answer, by REST, or as a new state.
 * @module
 */

/** @typedef {{memoId: string, memo: string, color: string, by: string, at: string}} Memo */
/**
 * @typedef {{lineupId: number, gbsNumber: number | null, memos: Memo[], version: number, updatedBy: string | null}
 *   & {[field: string]: unknown}} Row
 */

/** What every row has; the rest are the fields of the import. */
const OWN = ['lineupId', 'name', 'gbsNumber', 'memos', 'version', 'updatedBy'];

export class Table {
  /** @type {Map<number, Row>} */
  rows = new Map();
  /** @type {readonly number[]} in the list's order */
  ids = [];
  /** @type {readonly string[]} the import's fields, in its order */
  fields = [];
  /** @type {Map<number, number>} group → rows of it */
  counts = new Map();
  /** Whether all rows are here. Until then the counts are the server's. */
  whole = true;
  /** Grows when rows come or an import writes their fields. */
  generation = 0;

  /**
   * A new state: nothing of the former holds.
   * @param {{rows?: unknown, groups?: unknown, more?: unknown}} state
   */
  replace({ rows, groups, more }) {
    this.rows.clear();
    this.ids = [];
    this.fields = [];
    this.whole = more !== true;
    this.take(rows);
    this.counts.clear();
    for (const group of Array.isArray(groups) ? groups : []) this.counts.set(group.gbsNumber, group.count);
  }

  /**
   * Rows as they are now, or were a moment ago; the order of the list follows.
   * @param {unknown} rows
   * @param {boolean} [last] there are no others
   * @returns {number[]} which were news
   */
  take(rows, last = false) {
    const news = [];
    for (const row of Array.isArray(rows) ? rows : []) if (this.put(row)) news.push(row.lineupId);
    if (this.ids.length !== this.rows.size) this.ids = [...this.rows.keys()].sort((a, b) => a - b);
    if (last) {
      this.whole = true;
      this.counts.clear();
      for (const { gbsNumber } of this.rows.values()) this.#count(gbsNumber, 1);
    }
    return news;
  }

  /**
   * @param {unknown} given
   * @returns {boolean} whether it was news
   */
  put(given) {
    if (!isRow(given)) return false;
    const former = this.rows.get(given.lineupId);
    if (former && former.version >= given.version) return false;
    this.rows.set(given.lineupId, given);
    if (former) {
      this.#count(former.gbsNumber, -1);
      this.#count(given.gbsNumber, 1);
    } else if (this.whole) {
      this.#count(given.gbsNumber, 1);
    }
    this.#noteFields(given, former);
    return true;
  }

  /** @param {Row} row @param {Row | undefined} former */
  #noteFields(row, former) {
    const added = Object.keys(row).filter((name) => !OWN.includes(name) && !this.fields.includes(name));
    if (added.length) this.fields = [...this.fields, ...added];
    const same = former && former.name === row.name && this.fields.every((name) => former[name] === row[name]);
    if (!same) this.generation++;
  }

  /** @param {number | null} group @param {number} by */
  #count(group, by) {
    if (group === null) return;
    const count = (this.counts.get(group) ?? 0) + by;
    if (count > 0) this.counts.set(group, count);
    else this.counts.delete(group);
  }

  /** @param {string} memoId @returns {Row | undefined} whose memo it is, by the id that pages make, else by looking */
  rowOf(memoId) {
    const named = this.rows.get(Number(/^(\d+)-/.exec(memoId)?.[1] ?? NaN));
    return named ?? [...this.rows.values()].find(({ memos }) => memos.some((memo) => memo.memoId === memoId));
  }
}

/** @param {Row | undefined} row */
export function nameOf(row) {
  return text(row?.name) || (row ? `#${row.lineupId}` : '');
}

/** @param {unknown} value a cell of the import */
export function text(value) {
  return value === null || value === undefined ? '' : String(value);
}

/** An id for a memo that nobody else makes; it names the row, so that what is lost can be put back. @param {number} lineupId */
export function newMemoId(lineupId) {
  const bytes = crypto.getRandomValues(new Uint8Array(12));
  return `${lineupId}-${Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('')}`;
}

/**
 * Anybody with redis-cli can publish what only looks like a row.
 * @param {any} value
 * @returns {value is Row}
 */
function isRow(value) {
  const number = value?.gbsNumber;
  const numbered = number === null || (Number.isInteger(number) && number >= 0);
  return Number.isInteger(value?.lineupId) && Number.isInteger(value.version) && numbered && Array.isArray(value.memos);
}
