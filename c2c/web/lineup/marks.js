/**
 * Who is editing which cell: advice for others, worth nothing a few seconds later. No DOM.
 * @module
 */

/** @typedef {{userId: string, name: string, lineupId: number, field: string}} Mark */
/** @typedef {{lineupId: number, field: string, editing: boolean}} Told */

/** As the server: a mark that is not sent again is forgotten. */
const FORGET_MS = 15_000;
const RENEW_MS = 5_000;

export class Marks {
  /** @type {Map<string, Mark & {timer: number | ReturnType<typeof setTimeout>}>} by user: one is in one cell at a time */
  #others = new Map();
  /** @type {Told | undefined} */
  #own;
  /** @type {ReturnType<typeof setInterval> | undefined} */
  #renewing;

  /**
   * @param {string} me
   * @param {(mark: Told) => void} tell
   * @param {(ids: number[]) => void} changed
   */
  constructor(me, tell, changed) {
    this.me = me;
    this.tell = tell;
    this.changed = changed;
  }

  /** @param {number} lineupId @returns {Mark[]} */
  of(lineupId) {
    return [...this.#others.values()].filter((mark) => mark.lineupId === lineupId);
  }

  /** @param {unknown} editing the marks of a new state */
  replace(editing) {
    for (const userId of [...this.#others.keys()]) this.#forget(userId);
    for (const mark of Array.isArray(editing) ? editing : []) this.heard({ ...mark, editing: true });
  }

  /** @param {Record<string, unknown>} event */
  heard({ userId, userName, lineupId, field, editing }) {
    if (typeof userId !== 'string' || userId === this.me || typeof lineupId !== 'number') return;
    const former = this.#others.get(userId);
    if (editing === true) {
      this.#forget(userId);
      const timer = setTimeout(() => this.#forget(userId), FORGET_MS);
      this.#others.set(userId, { userId, name: String(userName ?? userId), lineupId, field: String(field ?? ''), timer });
      this.changed([lineupId]);
    } else if (former?.lineupId === lineupId) {
      this.#forget(userId);
    }
  }

  /** @param {string} userId */
  #forget(userId) {
    const mark = this.#others.get(userId);
    if (!mark) return;
    clearTimeout(mark.timer);
    this.#others.delete(userId);
    this.changed([mark.lineupId]);
  }

  /** One begins to edit a cell. @param {number} lineupId @param {string} field */
  begin(lineupId, field) {
    if (this.#own?.lineupId === lineupId && this.#own.field === field) return;
    clearInterval(this.#renewing);
    const own = { lineupId, field, editing: true };
    this.#own = own;
    this.tell(own);
    this.#renewing = setInterval(() => this.tell(own), RENEW_MS);
  }

  /** One edits nothing any more. */
  end() {
    if (!this.#own) return;
    clearInterval(this.#renewing);
    this.tell({ ...this.#own, editing: false });
    this.#own = undefined;
  }
}
