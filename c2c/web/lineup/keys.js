/**
 * What keys mean in a grid.
 * @module
 */

/**
 * How far to go. Infinity: to the end; `pages`: rows are pages.
 * @typedef {{rows: number, columns: number, pages: boolean}} Direction
 */

/** @type {Record<string, [number, number, boolean?]>} rows, columns, pages */
const MOVES = {
  ArrowUp: [-1, 0],
  ArrowDown: [1, 0],
  ArrowLeft: [0, -1],
  ArrowRight: [0, 1],
  Home: [0, -Infinity],
  End: [0, Infinity],
  PageUp: [-1, 0, true],
  PageDown: [1, 0, true],
};

/** @param {KeyboardEvent} event @returns {Direction | undefined} */
export function directionOf({ key, ctrlKey, metaKey, shiftKey }) {
  if (shiftKey || !Object.hasOwn(MOVES, key)) return undefined;
  const [rows, columns, pages = false] = MOVES[key];
  if (!ctrlKey && !metaKey) return { rows, columns, pages };
  if (key === 'Home' || key === 'End') return { rows: columns, columns, pages };
  return undefined;
}

/** Whether keys belong to a field. @param {EventTarget | null} target */
export function isTyping(target) {
  return target instanceof HTMLInputElement || target instanceof HTMLTextAreaElement;
}
