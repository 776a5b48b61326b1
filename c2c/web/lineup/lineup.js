/**
 * A line-up on the page: the table, what is beside it, and what keeps both in step with the room.
 * @module
 */

import { errorWords, language, onLanguage, t } from '../i18n/index.js';
import { h } from '../shell/dom.js';
import { authorization } from '../shell/identity.js';
import { toast } from '../shell/toasts.js';
import { Drafts } from './drafts.js';
import { Edits } from './edits.js';
import { lineupsOf } from './files.js';
import { Grid } from './grid.js';
import { Groups } from './groups.js';
import { History } from './history.js';
import { Marks } from './marks.js';
import { Memos } from './memos.js';
import { HEAD } from './navigation.js';
import { askAboutPaste, Numbers } from './numbers.js';
import { nameOf, Table } from './table.js';
import { toolbar } from './toolbar.js';
import { View } from './view.js';

/** @typedef {import('../c2c.js').C2C} C2C */
/** @typedef {import('../c2c.js').Room} Room */
/** @typedef {import('../c2c.js').RoomEvent} RoomEvent */
/** @typedef {import('../shell/identity.js').Identity} Identity */
/** @typedef {{me: Identity, role: string, slug: string, light: {delayed: boolean}}} Surroundings */

const RETRY_MS = 3_000;
const DELAY_MS = 4_000;

export class LineupTable {
  table = new Table();
  /** @type {Map<string, string>} names of whom we have heard, by user id */
  names = new Map();
  #reading = 0;
  #delayTimer = 0;

  /**
   * @param {HTMLElement} main
   * @param {C2C} client
   * @param {Room} room
   * @param {Surroundings} surroundings
   */
  constructor(main, client, room, { me, role, slug, light }) {
    this.client = client;
    this.room = room;
    this.me = me;
    this.light = light;
    this.isViewer = role === 'viewer';
    this.table.replace(room.state);
    this.marks = new Marks(me.userId, (mark) => this.#tell(mark), (ids) => this.grid?.dirty(ids));
    this.edits = new Edits(room, this.table, this.#hooks());
    this.view = new View(this.table, (id) => this.edits.overlays.numberOf(id));
    this.drafts = new Drafts(me.userId, room.roomId);
    this.memos = new Memos(this.table, this.edits, this.marks, this.drafts, {
      readOnly: () => this.isViewer,
      closed: (row) => this.grid?.navigation.focus({ row, column: this.grid.navigation.active.column }),
    });
    this.history = new History(room.roomId, me, () => room.position?.seq ?? 0);
    /** @type {Grid | undefined} */
    this.grid = new Grid(this.table, this.view, this.edits, this.marks, {
      editNumber: (id, typed) => this.numbers.edit(id, typed),
      clearNumber: (id) => this.numbers.clear(id),
      openMemos: (id) => this.memos.open(id),
      drawn: () => this.#drawn(),
    });
    this.grid.navigation.readOnly = this.isViewer;
    this.numbers = new Numbers(this.table, this.view, this.edits, this.marks, this.drafts, this.grid);
    this.groups = new Groups((group) => this.#look({ group }));
    this.announcer = h('p', { class: 'unseen', role: 'status' });
    this.empty = h('p', { class: 'grid-empty' });
    this.bar = toolbar(room.roomId, me, slug, role, {
      search: (words) => this.#look({ words }),
      undo: () => this.edits.undo(),
      history: () => this.history.open(this.table.rows.get(this.grid?.navigation.active.row ?? HEAD)),
    });
    const box = h('div', { class: 'grid-box' }, this.grid.element, this.empty);
    main.className = 'lineup';
    main.replaceChildren(this.bar.element, this.groups.element, box, this.announcer);
    this.#listen();
    this.#entered();
    this.#resume();
    if (this.isViewer) toast('info', 'lineup.viewer');
  }

  /** @returns {import('./edits.js').Hooks} */
  #hooks() {
    return {
      changed: (ids) => this.#changed(ids),
      saved: (ids) => this.#saved(ids),
      say: (key, values) => {
        const isGood = key === 'lineup.undone' || key === 'lineup.pasted';
        toast(isGood ? 'success' : key === 'lineup.memoLost' ? 'error' : 'warning', key, values);
      },
      failed: (error, name) => {
        const code = error instanceof Error && 'code' in error ? String(error.code) : undefined;
        toast('error', 'lineup.notSaved', { name, why: errorWords(code) });
      },
      conflict: (id, lost) => {
        toast('warning', lost ? 'lineup.memoConflict' : 'lineup.conflict', { name: nameOf(this.table.rows.get(id)) });
      },
      refusedPaste: async (id, stale, all) => {
        if (await askAboutPaste(stale, all.length)) this.edits.pasteAnyway(id);
        else this.room.discard(id);
      },
    };
  }

  #listen() {
    const { room } = this;
    room.on('lineup-updated', (event) => {
      if (this.table.put(event.row)) this.#changed([/** @type {any} */ (event.row).lineupId]);
    });
    room.on('user-editing', (event) => this.marks.heard(event));
    room.on('lineup-imported', (event) => this.#imported(event));
    room.on('pending', () => this.#showDelay());
    room.on('replaced', () => {
      this.table.replace(room.state);
      this.edits.update();
      this.grid?.dirty();
      this.#entered();
      toast('info', 'lineup.replaced');
    });
    onLanguage(() => {
      this.grid?.translate();
      this.memos.update();
    });
    document.addEventListener('keydown', (event) => this.#key(event));
    document.addEventListener('paste', (event) => this.numbers.paste(event));
    document.addEventListener('copy', (event) => this.numbers.copy(event));
    addEventListener('pagehide', () => this.marks.end());
  }

  #entered() {
    this.marks.replace(this.room.state.editing);
    if (!this.table.whole) void this.#read(Number(this.room.state.next));
  }

  /** @param {RoomEvent} event */
  #imported({ userId, added, changed }) {
    if (userId !== this.me.userId) {
      toast('info', 'lineup.importedBy', { name: String(userId), added: Number(added), changed: Number(changed) });
    }
    void this.#read(-1);
  }

  /**
   * Reads the rows behind one, until they are here. A later reading takes the place of an earlier one.
   * @param {number} after
   */
  async #read(after) {
    const turn = ++this.#reading;
    const address = `${lineupsOf(this.room.roomId)}?after=${after}`;
    while (turn === this.#reading) {
      try {
        const answer = await fetch(address, { headers: authorization(this.me) });
        const { data } = await answer.json();
        if (turn !== this.#reading) return;
        if (answer.ok && data.epoch !== this.room.position?.epoch) return; // a new state is on its way
        if (answer.ok) return this.#changed(this.table.take(data.rows, true));
      } catch {
        // The server is away; the table stays and is completed when it is back.
      }
      await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
    }
  }

  /** An edit that a reload interrupted goes on. */
  #resume() {
    const { left } = this.drafts;
    if (!left || this.isViewer || !this.table.rows.has(left.lineupId)) return;
    this.grid?.draw();
    if ('text' in left) this.numbers.resume(left);
    else this.memos.open(left.lineupId, left);
  }

  // What is shown

  /** @param {Iterable<number>} ids */
  #changed(ids) {
    this.grid?.dirty(ids);
    this.memos?.update();
  }

  /** @param {number[]} ids */
  #saved(ids) {
    for (const id of ids) this.grid?.rows.get(id)?.flash();
    const name = nameOf(this.table.rows.get(ids[0]));
    this.announcer.textContent = ids.length === 1 ? t('lineup.saved', { name }) : '';
  }

  #drawn() {
    const { table, view, edits } = this;
    const { counts } = edits.overlays;
    const assigned = [...counts.values()].reduce((sum, count) => sum + count, 0);
    const total = table.ids.length;
    this.groups.show(counts, total, table.whole ? total - assigned : Math.max(0, total - assigned));
    const all = total.toLocaleString(language());
    const shown = view.ids.length === total ? t('lineup.people', { n: total, text: all }) : t('lineup.of', { a: view.ids.length, b: all });
    this.bar.showCount(table.whole ? shown : t('lineup.loading'));
    this.empty.hidden = view.ids.length > 0;
    const words = total ? t('lineup.noMatch') : t('lineup.empty');
    if (this.empty.textContent !== words) this.empty.textContent = words;
  }

  /** A connection on which nothing gets through is not shown as a good one. */
  #showDelay() {
    clearTimeout(this.#delayTimer);
    const oldest = this.room.pending.find(({ state }) => state === 'sending');
    const leftMs = oldest ? oldest.at + DELAY_MS - Date.now() : Infinity;
    this.light.delayed = leftMs <= 0;
    if (leftMs > 0 && oldest) this.#delayTimer = window.setTimeout(() => this.#showDelay(), leftMs);
  }

  // What a person does

  /** @param {{words?: string, group?: import('./view.js').Group}} choice */
  #look(choice) {
    Object.assign(this.view, choice);
    this.grid?.rearrange();
  }

  /** @param {import('./marks.js').Told} mark */
  #tell(mark) {
    if (this.client.status === 'connected') this.room.send({ t: 'user-editing', ...mark }).catch(() => {});
  }

  /** @param {KeyboardEvent} event */
  #key(event) {
    const isUndo = (event.ctrlKey || event.metaKey) && !event.shiftKey && event.key.toLowerCase() === 'z';
    const isField = event.target instanceof HTMLInputElement || event.target instanceof HTMLTextAreaElement;
    if (!isUndo || isField || this.isViewer || document.querySelector('dialog[open]')) return;
    event.preventDefault();
    this.edits.undo();
  }
}
