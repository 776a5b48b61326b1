/**
 * What a spreadsheet puts on the clipboard, read as a column of numbers. No DOM.
 * @module
 */

/** @typedef {import('../i18n/index.js').Key} Key */
/** @typedef {import('./edits.js').NumberOfRow} NumberOfRow */
/** @typedef {{key: Key, values: Record<string, string | number>}} Refusal */

/** What one command may hold. */
const NUMBERS_MAX = 500;
const SHOWN = 40;

/**
 * All or nothing: one cell that is no number, and nothing of it is taken.
 * @param {string} text
 * @param {readonly number[]} ids the rows from where it is pasted on
 * @returns {NumberOfRow[] | Refusal}
 */
export function readColumn(text, ids) {
  const cells = text.replace(/\r\n?/g, '\n').replace(/\n$/, '').split('\n');
  if (cells.some((cell) => cell.includes('\t'))) return { key: 'lineup.pasteColumns', values: {} };
  const bad = cells.findIndex((cell) => !/^\d{0,3}$/.test(cell.trim()));
  if (bad >= 0) return { key: 'lineup.pasteBad', values: { line: bad + 1, text: cells[bad].trim().slice(0, SHOWN) } };
  if (cells.length > NUMBERS_MAX) return { key: 'lineup.pasteMany', values: { n: NUMBERS_MAX } };
  if (cells.length > ids.length) return { key: 'lineup.pasteLong', values: { n: cells.length, m: ids.length } };
  return cells.map((cell, index) => ({ lineupId: ids[index], gbsNumber: readNumber(cell) }));
}

/** @param {string} text digits @returns {number | null} null: empty */
export function readNumber(text) {
  return text.trim() === '' ? null : Number(text);
}
