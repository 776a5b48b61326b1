/**
 * What this browser remembers. A page works without storage (private windows may refuse it): then it forgets.
 * @module
 */

const RECENT_ROOMS = 10;
const DRAFTS = 30;

/** @typedef {{id: string, title: string, at: number}} RecentRoom `at`: ms since 1970 */
/** @typedef {{key: string, text: string}} Draft */

/** Values as JSON in one of the browser's two storages. */
class Shelf {
  /** @param {() => Storage} open */
  constructor(open) {
    this.open = open;
  }

  /**
   * @param {string} key
   * @returns {unknown} undefined when there is nothing, or nothing legible
   */
  get(key) {
    try {
      return JSON.parse(this.open().getItem(`c2c.${key}`) ?? '') ?? undefined;
    } catch {
      return undefined;
    }
  }

  /**
   * @param {string} key
   * @param {unknown} value undefined removes it
   */
  set(key, value) {
    try {
      if (value === undefined) this.open().removeItem(`c2c.${key}`);
      else this.open().setItem(`c2c.${key}`, JSON.stringify(value));
    } catch {
      // Full or refused: what is kept here is a convenience.
    }
  }
}

/** Kept per browser. */
export const kept = new Shelf(() => localStorage);
/** Kept per tab. */
export const keptInTab = new Shelf(() => sessionStorage);

/** @returns {RecentRoom[]} the last visited first */
export function recentRooms() {
  const rooms = kept.get('rooms');
  return Array.isArray(rooms) ? rooms.filter((room) => typeof room?.id === 'string') : [];
}

/**
 * @param {string} id
 * @param {string} [title] known already when missing
 */
export function rememberRoom(id, title) {
  const others = recentRooms();
  const former = others.find((room) => room.id === id);
  const room = { id, title: title ?? former?.title ?? '', at: Date.now() };
  kept.set('rooms', [room, ...others.filter((other) => other !== former)].slice(0, RECENT_ROOMS));
}

/** @param {string} id */
export function forgetRoom(id) {
  kept.set('rooms', recentRooms().filter((room) => room.id !== id));
}

/** @returns {Draft[]} */
function drafts() {
  const found = kept.get('drafts');
  return Array.isArray(found) ? found.filter((draft) => typeof draft?.text === 'string') : [];
}

/**
 * @param {string} userId
 * @param {string} roomId
 */
export function draftOf(userId, roomId) {
  return drafts().find((draft) => draft.key === `${userId} ${roomId}`)?.text ?? '';
}

/**
 * Keeps what somebody has begun to write in a room; empty text forgets it.
 * @param {string} userId
 * @param {string} roomId
 * @param {string} text
 */
export function keepDraft(userId, roomId, text) {
  const key = `${userId} ${roomId}`;
  const others = drafts().filter((draft) => draft.key !== key);
  kept.set('drafts', text ? [{ key, text }, ...others].slice(0, DRAFTS) : others);
}
