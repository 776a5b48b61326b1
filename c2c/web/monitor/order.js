/**
 * The order that is shown. While somebody points at the list or has the focus in it, nothing moves under them: what is
 * new comes at the end, and the rest waits. No DOM.
 * @module
 */

export class Order {
  /** @type {readonly string[]} */
  ids = [];
  /** Whether there is another order than the one shown. */
  waits = false;

  /**
   * @param {readonly string[]} fresh ids as they belong
   * @param {(id: string) => boolean} exists whether an id that is shown is still there at all
   * @param {boolean} held
   * @returns {boolean} whether what is shown has changed
   */
  arrange(fresh, exists, held) {
    const ids = held ? this.#kept(fresh, exists) : fresh;
    this.waits = held && !same(ids, fresh);
    if (same(ids, this.ids)) return false;
    this.ids = ids;
    return true;
  }

  /** @param {readonly string[]} fresh @param {(id: string) => boolean} exists */
  #kept(fresh, exists) {
    const shown = new Set(this.ids);
    return [...this.ids.filter(exists), ...fresh.filter((id) => !shown.has(id))];
  }
}

/** @param {readonly string[]} a @param {readonly string[]} b */
function same(a, b) {
  return a === b || (a.length === b.length && a.every((id, index) => id === b[index]));
}
