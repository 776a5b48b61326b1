/**
 * What is on its way or was refused, laid over the server's rows. Made anew from `room.pending` each time. No DOM.
 * @module
 */

import { isNumber, numbersOf } from './sights.js';

/** @typedef {import('../c2c.js').Command} Command */
/** @typedef {import('../c2c.js').Pending} Pending */
/** @typedef {import('./table.js').Memo} Memo */
/** @typedef {import('./table.js').Row} Row */
/** @typedef {import('./table.js').Table} Table */
/** @typedef {import('./sights.js').NumberOfRow} NumberOfRow */
/** @typedef {Memo & {pending?: boolean}} ShownMemo */
/** @typedef {{id: string, memoId: string, memo: string, color?: string, gone: boolean}} Lost a memo's text that was not taken: the memo is gone, or was changed */
/**
 * What is laid over a row. `number` undefined: nothing.
 * @typedef {{number?: number | null, conflict?: {id: string, mine: number | null}, lost: Lost[],
 *   memos: Map<string, Partial<Memo> | null>}} Overlay
 */
/** @typedef {{number: number | null, pending: boolean, conflict?: Overlay['conflict'], memos: ShownMemo[], lost: Lost[]}} Look */

/** A memo's colour unless its author chooses another. */
export const COLOR = '#fff2a8';

export class Overlays {
  /** @type {Map<number, Overlay>} */
  #overlays = new Map();

  /**
   * @param {Table} table
   * @param {(command: Command) => Row | undefined} rowOf whose memo a command is about
   */
  constructor(table, rowOf) {
    this.table = table;
    this.rowOf = rowOf;
  }

  /** @param {readonly Pending[]} pendings @returns {Set<number>} rows that may look different now */
  lay(pendings) {
    const former = this.#overlays;
    this.#overlays = new Map();
    for (const pending of pendings) this.#lay(pending);
    return new Set([...former.keys(), ...this.#overlays.keys()]);
  }

  /** @param {number} id */
  conflictOf(id) {
    return this.#overlays.get(id)?.conflict;
  }

  /** @param {number} id @returns {number | null} */
  numberOf(id) {
    const laid = this.#overlays.get(id)?.number;
    return laid === undefined ? (this.table.rows.get(id)?.gbsNumber ?? null) : laid;
  }

  /** @param {number} id @returns {Look} */
  look(id) {
    const row = this.table.rows.get(id);
    const overlay = this.#overlays.get(id);
    const number = this.numberOf(id);
    if (!overlay) return { number, pending: false, memos: row?.memos ?? [], lost: [] };
    /** @type {ShownMemo[]} */
    const memos = (row?.memos ?? []).flatMap((memo) => {
      const laid = overlay.memos.get(memo.memoId);
      return laid === null ? [] : laid ? [{ ...memo, ...laid, pending: true }] : [memo];
    });
    for (const [memoId, laid] of overlay.memos) {
      const known = row?.memos.some((memo) => memo.memoId === memoId);
      if (laid?.by !== undefined && !known) memos.push({ ...newMemo(memoId), ...laid, pending: true });
    }
    const { conflict, lost } = overlay;
    return { number, pending: overlay.number !== undefined, conflict, memos, lost };
  }

  /** @returns {Map<number, number>} rows of each group, with what is on its way */
  get counts() {
    const counts = new Map(this.table.counts);
    for (const [id, { number }] of this.#overlays) {
      const former = this.table.rows.get(id)?.gbsNumber ?? null;
      if (number === undefined || number === former) continue;
      if (former !== null) counts.set(former, (counts.get(former) ?? 1) - 1);
      if (number !== null) counts.set(number, (counts.get(number) ?? 0) + 1);
    }
    return counts;
  }

  /** @param {Pending} pending */
  #lay({ id, command, state, code }) {
    const failed = state === 'failed';
    if (command.t === 'update-gbs-number' && failed) {
      if (code === 'CONFLICT') this.#over(Number(command.lineupId)).conflict = { id, mine: /** @type {any} */ (command.gbsNumber) };
    } else if (command.t === 'update-gbs-number' || command.t === 'update-gbs-numbers') {
      const numbers = /** @type {NumberOfRow[]} */ (failed ? [] : (command.numbers ?? [command]));
      for (const { lineupId, gbsNumber } of numbers) this.#over(lineupId).number = gbsNumber;
    } else if (command.memoId !== undefined) {
      this.#layMemo(id, command, failed, code);
    }
  }

  /** @param {string} id @param {Command} command @param {boolean} failed @param {string | undefined} code */
  #layMemo(id, command, failed, code) {
    const row = this.rowOf({ ...command, id });
    if (!row) return;
    const { memoId, memo, color } = /** @type {{memoId: string, memo: string, color?: string}} */ (/** @type {unknown} */ (command));
    const overlay = this.#over(row.lineupId);
    if (failed) {
      const kept = command.t === 'update-lineup-memo' && (code === 'CONFLICT' || code === 'MEMO_NOT_FOUND');
      if (kept) overlay.lost.push({ id, memoId, memo, color, gone: !row.memos.some((each) => each.memoId === memoId) });
    } else if (command.t === 'delete-lineup-memo') {
      overlay.memos.set(memoId, null);
    } else {
      const created = command.t === 'create-lineup-memo' ? { by: '' } : {};
      overlay.memos.set(memoId, { ...overlay.memos.get(memoId), memo, ...(color && { color }), ...created });
    }
  }

  /** @param {number} id */
  #over(id) {
    let overlay = this.#overlays.get(id);
    if (!overlay) this.#overlays.set(id, (overlay = { lost: [], memos: new Map() }));
    return overlay;
  }
}

/** @param {string} memoId @returns {Memo} */
function newMemo(memoId) {
  return { memoId, memo: '', color: COLOR, by: '', at: '' };
}
