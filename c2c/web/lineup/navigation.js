/**
 * Where one is in the grid, and how one gets elsewhere. Keys as in the ARIA practices for a data grid: one tab stop,
 * arrows move, Enter or F2 does with a cell what it is for, Escape leaves.
 * @module
 */

import { directionOf, isTyping } from './keys.js';
import { MEMOS, NAME, NUMBER } from './row.js';

/** @typedef {import('./grid.js').Grid} Grid */
/** @typedef {{row: number, column: number}} Place `row`: a row's id, or HEAD */

export const HEAD = -1;

export class Navigation {
  /** @type {Place} the cell that is the tab stop */
  active = { row: HEAD, column: NAME };
  readOnly = false;
  #wasActive = false;
  /** The row that had the focus last. */
  #focused = HEAD;

  /** @param {Grid} grid */
  constructor(grid) {
    this.grid = grid;
    const { element } = grid;
    element.addEventListener('keydown', (event) => this.#key(event));
    element.addEventListener('focusin', (event) => this.#focusedAt(event.target));
    element.addEventListener('focusout', ({ relatedTarget }) => {
      if (!(relatedTarget instanceof Node) || !element.contains(relatedTarget)) this.#left();
    });
    element.addEventListener('pointerdown', ({ target }) => {
      const place = this.placeOf(target);
      this.#wasActive = element.contains(document.activeElement) && isSame(place, this.active);
    });
    element.addEventListener('click', (event) => this.#click(event));
    element.addEventListener('dblclick', ({ target }) => isTyping(target) || this.open(this.placeOf(target)));
  }

  /** Whether the focus is in a row. */
  get isInside() {
    return this.grid.body.contains(document.activeElement);
  }

  /** @param {Place | undefined} place @returns {HTMLElement | undefined} undefined: it is not in the DOM */
  cellAt(place) {
    if (!place) return undefined;
    const cells = place.row === HEAD ? this.grid.heads : this.grid.rows.get(place.row)?.cells;
    return cells?.[place.column];
  }

  /** @param {EventTarget | null} target @returns {Place | undefined} */
  placeOf(target) {
    const cell = target instanceof Element ? target.closest('[aria-colindex]') : null;
    if (!(cell instanceof HTMLElement)) return undefined;
    const column = Number(cell.getAttribute('aria-colindex')) - 1;
    if (this.grid.heads[column] === cell) return { row: HEAD, column };
    const row = [...this.grid.rows.values()].find(({ cells }) => cells[column] === cell);
    return row && { row: row.id, column };
  }

  /** @param {Place} place */
  activate(place) {
    this.cellAt(this.active)?.setAttribute('tabindex', '-1');
    this.active = place;
    this.cellAt(place)?.setAttribute('tabindex', '0');
  }

  /** Goes to a cell, wherever it is. @param {Place} place */
  focus(place) {
    const { grid } = this;
    this.activate(place);
    const index = grid.view.indexOf(place.row);
    if (index >= 0 && grid.rowHeight) this.#scrollTo(index);
    grid.draw();
    const cell = this.cellAt(place);
    cell?.focus({ preventScroll: true });
    cell?.scrollIntoView({ block: 'nearest', inline: 'nearest', behavior: 'instant' });
  }

  /** @param {number} index */
  #scrollTo(index) {
    const { element, rowHeight } = this.grid;
    const top = index * rowHeight;
    const room = element.clientHeight - 2 * rowHeight;
    if (top < element.scrollTop) element.scrollTop = top;
    else if (top > element.scrollTop + room) element.scrollTop = top - room;
  }

  /** @param {EventTarget | null} target */
  #focusedAt(target) {
    const place = this.placeOf(target);
    if (!place) return;
    if (!isSame(place, this.active)) this.activate(place);
    if (place.row === this.#focused) return;
    this.#focused = place.row;
    // The row that was left may go to where it belongs now; this one stays where it is.
    if (!this.grid.isStale) return;
    this.grid.arrange();
    this.grid.update();
  }

  #left() {
    this.#focused = HEAD;
    this.grid.update();
  }

  /** A click goes to a cell; another one, or a finger, does with it what it is for. @param {MouseEvent} event */
  #click(event) {
    const { target } = event;
    const place = this.placeOf(target);
    if (!place || isTyping(target) || (target instanceof Element && target.closest('button'))) return;
    const isTouch = event instanceof PointerEvent && event.pointerType === 'touch';
    if (place.row === HEAD || this.#wasActive || isTouch) this.open(place);
  }

  /** @param {KeyboardEvent} event */
  #key(event) {
    const { key, target } = event;
    if (isTyping(target) || event.defaultPrevented || event.altKey) return;
    if (target instanceof HTMLButtonElement) return this.#keyInChoice(event, target);
    const to = directionOf(event);
    const { row, column } = this.active;
    const isNumber = column === NUMBER && row !== HEAD && !event.ctrlKey && !event.metaKey;
    if (to) this.focus(this.#from(to));
    else if (key === 'Enter' || key === 'F2' || (key === ' ' && row === HEAD)) this.open(this.active);
    else if (isNumber && /^\d$/.test(key)) this.open(this.active, key);
    else if (isNumber && !this.readOnly && (key === 'Delete' || key === 'Backspace')) this.grid.actions.clearNumber(row);
    else return;
    event.preventDefault();
  }

  /** Between the two answers of a conflict. @param {KeyboardEvent} event @param {HTMLButtonElement} button */
  #keyInChoice(event, button) {
    const other = [button.nextElementSibling, button.previousElementSibling].find((each) => each instanceof HTMLButtonElement);
    if (event.key === 'Escape') this.cellAt(this.active)?.focus();
    else if (/^Arrow(Left|Right)$/.test(event.key) && other instanceof HTMLElement) other.focus();
    else return;
    event.preventDefault();
  }

  /** @param {import('./keys.js').Direction} direction @returns {Place} */
  #from({ rows, columns, pages }) {
    const { view, element, heads, rowHeight } = this.grid;
    const [lastRow, lastColumn] = [view.ids.length - 1, heads.length - 1];
    const here = this.active.row === HEAD ? -1 : view.indexOf(this.active.row);
    const step = pages ? Math.max(1, Math.floor(element.clientHeight / rowHeight) - 2) : 1;
    // Only an arrow goes up into the head.
    const first = rows < 0 && Number.isFinite(rows) && !pages ? -1 : Math.min(here, 0);
    const row = clamp(here + rows * step, rows === -Infinity ? 0 : first, lastRow);
    return { row: view.ids[row] ?? HEAD, column: clamp(this.active.column + columns, 0, lastColumn) };
  }

  /** @param {'down' | 'up' | 'right' | 'left'} where */
  move(where) {
    const rows = where === 'down' ? 1 : where === 'up' ? -1 : 0;
    const columns = where === 'right' ? 1 : where === 'left' ? -1 : 0;
    this.focus(this.#from({ rows, columns, pages: false }));
  }

  /**
   * Does with a cell what it is for.
   * @param {Place | undefined} place
   * @param {string} [typed] what was typed to begin with
   */
  open(place, typed) {
    if (!place) return;
    const { grid } = this;
    if (place.row === HEAD) return grid.sortBy(grid.columnName(place.column));
    if (place.column === MEMOS) return grid.actions.openMemos(place.row);
    if (place.column !== NUMBER || this.readOnly) return;
    const choice = this.cellAt(place)?.querySelector('button');
    if (choice) choice.focus();
    else grid.actions.editNumber(place.row, typed);
  }
}

/** @param {number} value @param {number} least @param {number} most */
function clamp(value, least, most) {
  return Math.min(Math.max(value, least), most);
}

/** @param {Place | undefined} a @param {Place} b */
function isSame(a, b) {
  return a?.row === b.row && a.column === b.column;
}
