/**
 * What somebody was typing when the page was reloaded. Kept for this tab.
 * @module
 */

import { keptInTab } from '../shell/storage.js';

/** @typedef {import('./table.js').Memo} Memo */
/** @typedef {{lineupId: number, text: string, base: number | null, seen: number}} NumberDraft */
/** @typedef {{lineupId: number, memo: string, color: string, before?: Memo, seen?: number}} MemoDraft without `before` a new memo */
/** @typedef {NumberDraft | MemoDraft} Draft */

export class Drafts {
  /** @param {string} userId @param {string} roomId */
  constructor(userId, roomId) {
    this.key = `lineup ${userId} ${roomId}`;
  }

  /** @param {Draft} draft */
  keep(draft) {
    keptInTab.set(this.key, draft);
  }

  forget() {
    keptInTab.set(this.key, undefined);
  }

  /** @returns {Draft | undefined} */
  get left() {
    const found = /** @type {any} */ (keptInTab.get(this.key));
    const isText = typeof found?.text === 'string' || (typeof found?.memo === 'string' && found.memo !== '');
    return typeof found?.lineupId === 'number' && isText ? found : undefined;
  }
}
