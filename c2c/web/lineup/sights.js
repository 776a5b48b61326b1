/**
 * What the author of an edit saw when they made it, by which a conflict is told from a coincidence. No DOM.
 * @module
 */

/** @typedef {import('../c2c.js').Command} Command */
/** @typedef {{lineupId: number, gbsNumber: number | null}} NumberOfRow */
/**
 * What the author of an edit saw: in each row's number cell, or as the memo's text. Several values, since one's own
 * earlier edits may or may not have been carried out yet.
 * @typedef {{numbers?: Map<number, Set<number | null>>, memos?: Set<string>, lineupId?: number}} Sight
 */

export class Sights {
  /** @type {Map<string, Sight>} by command id */
  #sights = new Map();

  /** @param {Pick<import('../c2c.js').Room, 'pending'>} room */
  constructor(room) {
    this.room = room;
  }

  /** @param {string} id @param {Sight} sight */
  set(id, sight) {
    this.#sights.set(id, sight);
  }

  /** @param {string} id @returns {Sight} */
  of(id) {
    return this.#sights.get(id) ?? {};
  }

  /** @param {string} id */
  delete(id) {
    this.#sights.delete(id);
  }

  /**
   * Of an edit that an earlier page made, one's own edits in front of it are known.
   * @param {string} id
   * @param {Command} command
   * @returns {boolean} whether it is news
   */
  adopt(id, command) {
    if (this.#sights.has(id)) return false;
    const memos = typeof command.memoId === 'string' ? this.texts(command.memoId) : undefined;
    this.#sights.set(id, { numbers: new Map(numbersOf(command).map(({ lineupId }) => [lineupId, this.numbers(lineupId)])), memos });
    return true;
  }

  /** @param {number} lineupId @param {number | null} [base] what stands there @returns {Set<number | null>} */
  numbers(lineupId, base) {
    const seen = new Set(base === undefined ? [] : [base]);
    for (const { id, command } of this.#unanswered) {
      const own = numbersOf(command).find((each) => each.lineupId === lineupId);
      if (!own) continue;
      for (const number of this.of(id).numbers?.get(lineupId) ?? []) seen.add(number);
      seen.add(own.gbsNumber);
    }
    return seen;
  }

  /** @param {string} memoId @param {string} [base] its text @returns {Set<string>} */
  texts(memoId, base) {
    const seen = new Set(base === undefined ? [] : [base]);
    for (const { id, command } of this.#unanswered) {
      if (command.memoId !== memoId) continue;
      for (const text of this.of(id).memos ?? []) seen.add(text);
      if (typeof command.memo === 'string') seen.add(command.memo);
    }
    return seen;
  }

  get #unanswered() {
    return this.room.pending.filter(({ state }) => state !== 'failed');
  }

  /** @param {string} id @returns {Command[]} what was sent behind a command and is not answered yet */
  after(id) {
    const { pending } = this.room;
    const behind = pending.slice(pending.findIndex((each) => each.id === id) + 1);
    return behind.filter(({ state }) => state !== 'failed').map(({ command }) => command);
  }

  /** Whether a later edit of one's own will write the same cell. @param {string} id @param {number} lineupId */
  isOvertaken(id, lineupId) {
    return this.after(id).some((command) => numbersOf(command).some((each) => each.lineupId === lineupId));
  }
}

/** @param {Command} command */
export function isNumber({ t }) {
  return t === 'update-gbs-number' || t === 'update-gbs-numbers';
}

/** @param {Command} command @returns {NumberOfRow[]} what it writes, if it writes numbers */
export function numbersOf(command) {
  return isNumber(command) ? /** @type {any} */ (command.numbers ?? [command]) : [];
}
