/**
 * The memos about one person, in a box: read, add, edit, delete. What others do to them meanwhile shows at once, except
 * in a field where one is writing: that text is never touched.
 * @module
 */

import { t, timeAgo } from '../i18n/index.js';
import { find, h, icon } from '../shell/dom.js';
import { memoForm } from './memoform.js';
import { paint } from './row.js';
import { nameOf } from './table.js';

/** @typedef {import('./drafts.js').Drafts} Drafts */
/** @typedef {import('./edits.js').Edits} Edits */
/** @typedef {import('./marks.js').Marks} Marks */
/** @typedef {import('./memoform.js').MemoForm} MemoForm */
/** @typedef {import('./overlay.js').Lost} Lost */
/** @typedef {import('./overlay.js').ShownMemo} ShownMemo */
/** @typedef {import('./table.js').Table} Table */

const LABEL = 60;

/** @typedef {'shown' | 'edited' | 'asked'} State `asked`: whether it is to be deleted */

/** One memo in the box. */
class Item {
  /** @type {State} */
  state = 'shown';
  /** @type {MemoForm | undefined} */
  form;
  seen = 0;
  key = '';
  element = h('li', { class: 'memo' });

  /** @param {ShownMemo} memo */
  constructor(memo) {
    this.memo = memo;
    this.before = memo;
  }
}

export class Memos {
  /** @type {number | undefined} whose memos are shown */
  lineupId;
  /** @type {Map<string, Item>} */
  #items = new Map();
  /** @type {Map<string, HTMLElement>} texts that were not taken, by command */
  #lost = new Map();

  /**
   * @param {Table} table
   * @param {Edits} edits
   * @param {Marks} marks
   * @param {Drafts} drafts
   * @param {{readOnly: () => boolean, closed: (lineupId: number) => void}} hooks
   */
  constructor(table, edits, marks, drafts, hooks) {
    this.table = table;
    this.edits = edits;
    this.marks = marks;
    this.drafts = drafts;
    this.hooks = hooks;
    this.title = h('h2', { id: 'memos-title' });
    this.none = h('p', { class: 'hint', t: 'lineup.noMemos' });
    this.list = h('ul', { class: 'memo-list' });
    this.foot = h('div', { class: 'memo-new' });
    const close = h('button', { type: 'button', class: 'quiet close', tLabel: 'close', onclick: () => this.close() }, icon('cross'));
    this.dialog = h('dialog', { class: 'memos', 'aria-labelledby': 'memos-title' }, close, this.title, this.none, this.list, this.foot);
    this.dialog.addEventListener('close', () => this.#closed());
    find(document, 'body', HTMLElement).append(this.dialog);
  }

  /**
   * @param {number} lineupId
   * @param {import('./drafts.js').MemoDraft} [draft] what was being written before a reload
   */
  open(lineupId, draft) {
    this.lineupId = lineupId;
    this.#items.clear();
    this.#lost.clear();
    this.list.replaceChildren();
    this.foot.replaceChildren();
    if (!this.hooks.readOnly()) this.#offerNew(draft);
    this.update();
    this.dialog.showModal();
    if (draft?.before) this.#resume(draft, draft.before);
    else this.foot.querySelector('textarea')?.focus();
  }

  close() {
    this.dialog.close();
  }

  #closed() {
    const { lineupId } = this;
    if (lineupId === undefined) return;
    this.lineupId = undefined;
    this.marks.end();
    this.drafts.forget();
    this.hooks.closed(lineupId);
  }

  /** @param {import('./drafts.js').MemoDraft} [draft] */
  #offerNew(draft) {
    const { lineupId = 0 } = this;
    const form = memoForm('lineup.newMemo', 'lineup.addMemo', draft && !draft.before ? draft : {}, {
      save: (memo, color) => {
        this.edits.createMemo(lineupId, memo, color);
        this.#quiet();
        this.#offerNew();
        this.foot.querySelector('textarea')?.focus();
      },
      typed: (memo, color) => this.#write({ lineupId, memo, color }),
    });
    this.foot.replaceChildren(form.element);
  }

  /** An edit that a reload interrupted goes on, also of a memo that is gone. @param {import('./drafts.js').MemoDraft} draft @param {ShownMemo} before */
  #resume(draft, before) {
    const item = this.#items.get(before.memoId) ?? new Item(before);
    if (!this.#items.has(before.memoId)) {
      this.#items.set(before.memoId, item);
      this.list.append(item.element);
    }
    this.#edit(item, draft);
    this.update();
  }

  /** What is written is kept for a reload, and others see that one writes. @param {import('./drafts.js').MemoDraft} draft */
  #write(draft) {
    if (draft.memo) this.marks.begin(draft.lineupId, 'memo');
    else this.marks.end();
    this.drafts.keep(draft);
  }

  #quiet() {
    this.marks.end();
    this.drafts.forget();
  }

  /** Shows what there is now. */
  update() {
    const row = this.lineupId === undefined ? undefined : this.table.rows.get(this.lineupId);
    if (!row) return;
    const { memos, lost } = this.edits.overlays.look(row.lineupId);
    this.title.textContent = t('lineup.memosOf', { name: nameOf(row) });
    this.none.hidden = memos.length + lost.length + this.#items.size > 0;
    this.#showLost(row.lineupId, lost);
    const there = new Map(memos.map((memo) => [memo.memoId, memo]));
    for (const [memoId, item] of this.#items) {
      if (there.has(memoId)) continue;
      if (item.form) item.form.warn('lineup.memoGone', 'lineup.restore');
      else this.#drop(memoId, item);
    }
    for (const memo of memos) {
      const item = this.#items.get(memo.memoId) ?? new Item(memo);
      if (!this.#items.has(memo.memoId)) this.list.append(item.element);
      this.#items.set(memo.memoId, item);
      item.memo = memo;
      this.#show(item);
    }
    this.none.hidden = this.#items.size + lost.length > 0;
  }

  /** @param {string} memoId @param {Item} item */
  #drop(memoId, item) {
    const hadFocus = item.element.contains(document.activeElement);
    item.element.remove();
    this.#items.delete(memoId);
    if (hadFocus) find(this.dialog, '.close', HTMLElement).focus();
  }

  /** @param {Item} item */
  #show(item) {
    const { memo, state } = item;
    if (state === 'edited') {
      if (memo.memo !== item.before.memo) item.form?.warn('lineup.memoChanged', 'lineup.saveMemo', memo.memo);
      return;
    }
    const key = JSON.stringify([memo, state, document.documentElement.lang]);
    if (key === item.key) return;
    item.key = key;
    const had = item.element.contains(document.activeElement);
    const at = Date.parse(memo.at);
    const words = h('p', { class: 'memo-text' }, memo.memo);
    const meta = h('p', { class: 'hint' }, [memo.by, at ? timeAgo(at) : '', memo.pending ? t('lineup.sending') : ''].filter(Boolean).join(' · '));
    const strip = h('span', { class: 'strip', 'aria-hidden': 'true' });
    paint(strip, memo.color);
    item.element.classList.toggle('pending', memo.pending === true);
    item.element.replaceChildren(strip, h('div', { class: 'memo-body' }, words, meta), this.#buttons(item));
    if (had || state === 'asked') item.element.querySelector('button')?.focus();
  }

  /** @param {Item} item */
  #buttons(item) {
    if (this.hooks.readOnly()) return h('div', {});
    const { memo } = item;
    const text = memo.memo.slice(0, LABEL);
    if (item.state === 'asked') {
      const no = h('button', { type: 'button', class: 'small', t: 'cancel', onclick: () => this.#turn(item, 'shown') });
      const yes = h('button', { type: 'button', class: 'small danger', t: 'lineup.delete', onclick: () => this.#delete(item) });
      return h('div', { class: 'memo-buttons', role: 'group', tLabel: 'lineup.deleteSure' }, h('strong', { t: 'lineup.deleteSure' }), no, yes);
    }
    const edit = { type: 'button', class: 'small', 'aria-label': t('lineup.editMemo', { text }), onclick: () => this.#edit(item) };
    const ask = { type: 'button', class: 'small', 'aria-label': t('lineup.deleteMemo', { text }), onclick: () => this.#turn(item, 'asked') };
    return h('div', { class: 'memo-buttons' }, h('button', edit, t('lineup.edit')), h('button', ask, t('lineup.delete')));
  }

  /** @param {Item} item @param {State} state */
  #turn(item, state) {
    item.state = state;
    item.form = undefined;
    item.key = '';
    this.update();
    item.element.querySelector('button')?.focus();
  }

  /** @param {Item} item */
  #delete(item) {
    this.edits.deleteMemo(this.lineupId ?? 0, item.memo);
    this.update();
    if (this.#items.get(item.memo.memoId) === item) this.#turn(item, 'shown');
    find(this.dialog, '.close', HTMLElement).focus();
  }

  /** @param {Item} item @param {import('./drafts.js').MemoDraft} [draft] */
  #edit(item, draft) {
    const { lineupId = 0 } = this;
    item.state = 'edited';
    item.before = draft?.before ?? item.memo;
    item.seen = draft?.seen ?? this.table.rows.get(lineupId)?.version ?? 0;
    const { before, seen } = item;
    item.form = memoForm('lineup.memo', 'lineup.saveMemo', draft ?? item.memo, {
      save: (memo, color) => this.#save(item, memo, color),
      typed: (memo, color) => this.#write({ lineupId, memo, color, before, seen }),
      cancel: () => {
        this.#quiet();
        this.#turn(item, 'shown');
      },
    });
    item.element.replaceChildren(item.form.element);
    item.form.focus();
    this.marks.begin(lineupId, 'memo');
  }

  /** @param {Item} item @param {string} memo @param {string} color */
  #save(item, memo, color) {
    const { lineupId = 0 } = this;
    const there = this.edits.overlays.look(lineupId).memos.some(({ memoId }) => memoId === item.before.memoId);
    this.#quiet();
    if (!there) this.edits.createMemo(lineupId, memo, color);
    else if (memo !== item.before.memo || color !== item.before.color) this.edits.updateMemo(lineupId, item.before, memo, color, item.seen);
    this.#turn(item, 'shown');
  }

  /** What the server did not take, and what is to become of it. @param {number} lineupId @param {Lost[]} losts */
  #showLost(lineupId, losts) {
    for (const [id, element] of this.#lost) {
      if (losts.some((lost) => lost.id === id)) continue;
      element.remove();
      this.#lost.delete(id);
    }
    for (const lost of losts) {
      if (this.#lost.has(lost.id)) continue;
      const element = this.#lostItem(lineupId, lost);
      this.#lost.set(lost.id, element);
      this.list.prepend(element);
    }
  }

  /** @param {number} lineupId @param {Lost} lost */
  #lostItem(lineupId, lost) {
    const restore = () => this.edits.restoreMemo(lineupId, lost);
    const drop = () => this.edits.room.discard(lost.id);
    const yes = h('button', { type: 'button', class: 'small primary', t: lost.gone ? 'lineup.restore' : 'lineup.keepText', onclick: restore });
    const no = h('button', { type: 'button', class: 'small', t: lost.gone ? 'chat.discard' : 'lineup.takeText', onclick: drop });
    const why = h('p', { class: 'why' }, icon('alert'), h('span', { t: lost.gone ? 'lineup.memoGone' : 'lineup.memoChanged' }));
    return h('li', { class: 'memo lost' }, why, h('p', { class: 'memo-text' }, lost.memo), h('div', { class: 'memo-buttons' }, yes, no));
  }
}
