/**
 * One's own edits: shown at once, sent through the room's outbox, and taken back when the server says no. No DOM.
 *
 * What is on its way is read from `room.pending` and laid over the server's rows, so after a reload it is shown as
 * before, and nothing is counted twice. An edit names the version of the row that its author saw. The version is of the
 * row and not of the cell: if the server refuses although the cell is as the author saw it, the edit goes out again with
 * the new version, and nobody is asked. Only a cell that somebody else has changed is a conflict that a person decides.
 * @module
 */

import { COLOR, Overlays } from './overlay.js';
import { isNumber, numbersOf, Sights } from './sights.js';
import { nameOf, newMemoId } from './table.js';

/** @typedef {import('../c2c.js').C2CError} C2CError */
/** @typedef {import('../c2c.js').Command} Command */
/** @typedef {import('../c2c.js').Pending} Pending */
/** @typedef {import('./table.js').Memo} Memo */
/** @typedef {import('./table.js').Row} Row */
/** @typedef {import('./table.js').Table} Table */
/** @typedef {import('../c2c.js').Room} Room */
/** @typedef {Pick<Room, 'send' | 'retry' | 'discard' | 'pending' | 'on'>} Sender what is needed of a room */
/** @typedef {import('./sights.js').NumberOfRow} NumberOfRow */
/** @typedef {import('./overlay.js').Overlay} Overlay */
/** @typedef {import('./overlay.js').Lost} Lost */
/**
 * @typedef {object} Hooks
 * @property {(ids: Iterable<number>) => void} changed these rows look different now
 * @property {(ids: number[]) => void} saved the server has taken an edit of these
 * @property {(key: import('../i18n/index.js').Key, values: Record<string, string | number>) => void} say words for a person
 * @property {(error: unknown, name: string) => void} failed an edit was taken back
 * @property {(id: string, stale: Row[], all: NumberOfRow[]) => void} refusedPaste some rows were changed meanwhile
 * @property {(id: number, lost: boolean) => void} conflict somebody has changed the same cell; `lost`: a memo
 */
/** @typedef {import('./sights.js').Sight} Sight */

export class Edits {

  /**
   * @param {Sender} room
   * @param {Table} table
   * @param {Hooks} hooks
   */
  constructor(room, table, hooks) {
    this.room = room;
    this.table = table;
    this.hooks = hooks;
    this.sights = new Sights(room);
    this.overlays = new Overlays(table, (command) => this.#rowOf(command));
    room.on('pending', () => this.update());
    this.update();
  }

  // What a person does

  /**
   * @param {number} lineupId
   * @param {number | null} gbsNumber
   * @param {number | null} base what stood there when the editing began
   * @param {number} seen the row's version then
   */
  setNumber(lineupId, gbsNumber, base, seen) {
    const conflict = this.overlays.conflictOf(lineupId);
    const row = this.table.rows.get(lineupId);
    if (!row || (!conflict && gbsNumber === this.overlays.numberOf(lineupId))) return;
    if (conflict) this.room.discard(conflict.id);
    const ifVersion = row.gbsNumber === base ? row.version : seen;
    const numbers = new Map([[lineupId, this.sights.numbers(lineupId, base)]]);
    this.#send({ t: 'update-gbs-number', lineupId, gbsNumber, ifVersion }, { numbers });
  }

  /** @param {NumberOfRow[]} numbers */
  setNumbers(numbers) {
    const changed = numbers.filter(({ lineupId, gbsNumber }) => this.overlays.numberOf(lineupId) !== gbsNumber);
    if (!changed.length) return;
    for (const { lineupId } of changed) this.takeTheirs(lineupId); // what was in question is written over
    const seen = new Map(changed.map(({ lineupId }) => [lineupId, this.sights.numbers(lineupId, this.overlays.numberOf(lineupId))]));
    this.#send({ t: 'update-gbs-numbers', numbers: this.#asSeen(changed) }, { numbers: seen });
  }

  /** @param {number} lineupId @param {string} memo @param {string} color @param {string} [memoId] */
  createMemo(lineupId, memo, color, memoId = newMemoId(lineupId)) {
    this.#send({ t: 'create-lineup-memo', lineupId, memoId, memo, color }, { lineupId });
  }

  /**
   * @param {number} lineupId
   * @param {Memo} before as it was when the editing began
   * @param {string} memo
   * @param {string} color
   * @param {number} seen the row's version then
   */
  updateMemo(lineupId, before, memo, color, seen) {
    const row = this.table.rows.get(lineupId);
    const now = row?.memos.find(({ memoId }) => memoId === before.memoId);
    const ifVersion = row && now?.memo === before.memo ? row.version : seen;
    this.#send({ t: 'update-lineup-memo', memoId: before.memoId, memo, color, ifVersion }, { lineupId, memos: this.sights.texts(before.memoId, before.memo) });
  }

  /** @param {number} lineupId @param {Memo} memo as the person saw it who said yes */
  deleteMemo(lineupId, memo) {
    const ifVersion = this.table.rows.get(lineupId)?.version;
    this.#send({ t: 'delete-lineup-memo', memoId: memo.memoId, ifVersion }, { lineupId, memos: this.sights.texts(memo.memoId, memo.memo) });
  }

  undo() {
    this.#send({ t: 'undo-lineup' }, {});
  }

  /** @param {number} lineupId */
  keepMine(lineupId) {
    const conflict = this.overlays.conflictOf(lineupId);
    const row = this.table.rows.get(lineupId);
    if (conflict && row) this.setNumber(lineupId, conflict.mine, row.gbsNumber, row.version);
  }

  /** @param {number} lineupId */
  takeTheirs(lineupId) {
    const conflict = this.overlays.conflictOf(lineupId);
    if (conflict) this.room.discard(conflict.id);
  }

  /** Writes a lost text all the same: over what is there now, or as a memo anew. @param {number} lineupId @param {Lost} lost */
  restoreMemo(lineupId, lost) {
    const row = this.table.rows.get(lineupId);
    const now = row?.memos.find(({ memoId }) => memoId === lost.memoId);
    this.room.discard(lost.id);
    if (row && now) this.updateMemo(lineupId, now, lost.memo, lost.color ?? now.color, row.version);
    else this.createMemo(lineupId, lost.memo, lost.color ?? COLOR);
  }

  /** A paste that was refused, over whatever others have written. @param {string} id */
  pasteAnyway(id) {
    const command = this.room.pending.find((pending) => pending.id === id)?.command;
    this.room.discard(id);
    if (command) this.setNumbers(numbersOf(command).map(({ lineupId, gbsNumber }) => ({ lineupId, gbsNumber })));
  }

  // What comes of it

  /** @param {NumberOfRow[]} numbers */
  #asSeen(numbers) {
    return numbers.map(({ lineupId, gbsNumber }) => ({
      lineupId,
      gbsNumber,
      ifVersion: this.table.rows.get(lineupId)?.version ?? 0,
    }));
  }

  /** @param {Command} command @param {Sight} sight */
  #send(command, sight) {
    // Nobody can have been told its id yet: the SDK makes it while it sends.
    const id = newMemoId(0).slice(2);
    this.sights.set(id, sight);
    this.#follow(this.room.send({ ...command, id }), { ...command, id });
  }

  /** @param {Promise<import('../c2c.js').Answer>} sent @param {Command & {id: string}} command */
  #follow(sent, command) {
    sent.then(
      (answer) => this.#taken(command, answer),
      (error) => this.#refused(command, error),
    );
  }

  /** @param {Command & {id: string}} command @param {import('../c2c.js').Answer} answer */
  #taken(command, { row, rows }) {
    this.sights.delete(command.id);
    const given = Array.isArray(rows) ? rows : [row];
    const ids = given.map((each) => Number(each?.lineupId)).filter((id) => this.table.rows.has(id));
    this.table.take(given);
    this.hooks.changed(ids);
    this.hooks.saved(ids);
    const values = { name: nameOf(this.table.rows.get(ids[0])), n: ids.length };
    if (command.t === 'undo-lineup') this.hooks.say('lineup.undone', values);
    if (command.t === 'update-gbs-numbers') this.hooks.say('lineup.pasted', values);
  }

  /** @param {Command & {id: string}} command @param {C2CError} error */
  #refused(command, error) {
    const { code, details = {} } = error;
    if (code === 'CLOSED' || code === 'DISCARDED') return;
    const rows = /** @type {Row[]} */ (details.rows ?? []);
    this.hooks.changed(this.table.take(rows));
    if (code === 'CONFLICT' && this.#conflict(command, rows)) return;
    if (code === 'MEMO_NOT_FOUND' && command.t === 'update-lineup-memo') return this.#lost(command);
    this.sights.delete(command.id);
    this.room.discard(command.id);
    if (code === 'MEMO_NOT_FOUND') return; // to be deleted, and gone already
    if (command.t === 'undo-lineup') return this.#notUndone(error, rows);
    this.hooks.failed(error, nameOf(this.#rowOf(command)));
  }

  /** @param {Command & {id: string}} command @param {Row[]} rows @returns {boolean} whether it is being dealt with */
  #conflict(command, rows) {
    const sight = this.sights.of(command.id);
    if (isNumber(command)) this.#numberConflict(command, sight, rows);
    else if (command.t === 'update-lineup-memo' || command.t === 'delete-lineup-memo') this.#memoConflict(command, sight, rows);
    else return false;
    return true;
  }

  /** @param {Command & {id: string}} command @param {Sight} sight @param {Row[]} rows */
  #numberConflict(command, sight, rows) {
    const wanted = numbersOf(command).filter(({ lineupId }) => !this.sights.isOvertaken(command.id, lineupId));
    const mine = new Map(wanted.map(({ lineupId, gbsNumber }) => [lineupId, gbsNumber]));
    const stale = rows.filter(({ lineupId, gbsNumber }) => {
      return mine.has(lineupId) && gbsNumber !== mine.get(lineupId) && !sight.numbers?.get(lineupId)?.has(gbsNumber);
    });
    if (!stale.length && rows.length) return this.#again(command, sight, [...mine.keys()]);
    if (command.t === 'update-gbs-number') this.hooks.conflict(wanted[0].lineupId, false);
    else this.hooks.refusedPaste(command.id, stale, wanted);
  }

  /** @param {Command & {id: string}} command @param {Sight} sight @param {Row[]} rows */
  #memoConflict(command, sight, rows) {
    const memo = rows[0]?.memos.find(({ memoId }) => memoId === command.memoId);
    const later = this.sights.after(command.id).some((each) => each.memoId === command.memoId);
    if (memo && sight.memos?.has(memo.memo)) return this.#again(command, sight, later ? [] : [rows[0].lineupId]);
    if (command.t === 'update-lineup-memo') return this.#lost(command);
    this.room.discard(command.id);
    this.hooks.say('lineup.notDeleted', { name: nameOf(rows[0]), by: rows[0]?.updatedBy ?? '' });
  }

  /**
   * Somebody has changed another cell of the row: the same, with the version as it is now.
   * @param {Command & {id: string}} command
   * @param {Sight} sight
   * @param {number[]} ids the rows in which no later edit of one's own writes the same cell
   */
  #again({ id, ...command }, sight, ids) {
    this.room.discard(id);
    this.sights.delete(id);
    if (!ids.length) return;
    const numbers = numbersOf(command).filter(({ lineupId }) => ids.includes(lineupId));
    if (command.t === 'update-gbs-numbers') this.#send({ ...command, numbers: this.#asSeen(numbers) }, sight);
    else this.#send({ ...command, ifVersion: this.table.rows.get(ids[0])?.version }, sight);
  }

  /** @param {Command & {id: string}} command */
  #lost(command) {
    const row = this.#rowOf(command);
    this.update();
    if (row) return this.hooks.conflict(row.lineupId, true);
    this.room.discard(command.id);
    this.hooks.say('lineup.memoLost', { text: String(command.memo) });
  }

  /** @param {C2CError} error @param {Row[]} rows */
  #notUndone(error, rows) {
    const [row] = rows;
    if (error.code === 'CONFLICT' && row) this.hooks.say('lineup.undoConflict', { name: nameOf(row), by: row.updatedBy ?? '' });
    else if (error.code === 'BAD_VALUE') this.hooks.say('lineup.undoNothing', {});
    else this.hooks.failed(error, '');
  }

  /** @param {Command} command @returns {Row | undefined} */
  #rowOf({ id, lineupId, memoId }) {
    const known = this.sights.of(id ?? '').lineupId ?? lineupId;
    return typeof known === 'number' ? this.table.rows.get(known) : this.table.rowOf(String(memoId));
  }

  /** Lays anew over the rows what is on its way. */
  update() {
    for (const pending of this.room.pending) this.#adopt(pending);
    this.hooks.changed(this.overlays.lay(this.room.pending));
  }

  /** What an earlier page has left is followed from now on. @param {Pending} pending */
  #adopt({ id, command, state, code }) {
    if (!this.sights.adopt(id, command)) return;
    // Of one that is on its way, this only asks to be told.
    if (state === 'sending') this.#follow(this.room.retry(id), command);
    else if (code !== 'CONFLICT' && code !== 'MEMO_NOT_FOUND') queueMicrotask(() => this.room.discard(id));
    else if (command.t === 'update-gbs-numbers') queueMicrotask(() => this.hooks.refusedPaste(id, [], numbersOf(command)));
  }
}
