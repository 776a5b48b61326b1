/**
 * One row on the screen: where it stands and what is in its cells. What has not changed is not touched.
 * @module
 */

import { language, t } from '../i18n/index.js';
import { avatar, h, icon } from '../shell/dom.js';
import { COLOR } from './overlay.js';
import { nameOf, text } from './table.js';

/** @typedef {import('./edits.js').Edits} Edits */
/** @typedef {import('./marks.js').Mark} Mark */
/** @typedef {import('./overlay.js').Look} Look */
/** @typedef {import('./table.js').Row} Row */

export const NAME = 0;
export const NUMBER = 1;
export const MEMOS = 2;
/** Where the import's fields begin. */
export const FIELDS = 3;

const CHIPS = 3;

/** @param {number | null | undefined} number */
export function numberWords(number) {
  return number === null || number === undefined ? t('lineup.noNumber') : String(number);
}

export class GridRow {
  top = -1;
  index = -1;
  /** A field stands in the number cell: it is not to be written over. */
  isEdited = false;
  #numberKey = '';
  #memosKey = '';
  /** @type {Row | undefined} */
  #row;
  #fields = '';

  /**
   * @param {number} id
   * @param {number} columns
   * @param {(id: number, mine: boolean) => void} resolve
   */
  constructor(id, columns, resolve) {
    this.id = id;
    this.resolve = resolve;
    this.cells = Array.from({ length: columns }, (_, column) => {
      const role = column === NAME ? 'rowheader' : 'gridcell';
      const editable = column === NUMBER || column === MEMOS;
      return h('div', { role, tabindex: -1, 'aria-colindex': column + 1, 'aria-readonly': editable ? null : 'true' });
    });
    this.cells[NAME].className = 'cell-name';
    this.cells[NUMBER].className = 'cell-number';
    this.cells[MEMOS].className = 'cell-memos';
    this.name = h('span', { class: 'name' });
    this.cells[NAME].append(this.name, h('span', { class: 'id' }, `#${id}`));
    this.element = h('div', { role: 'row', class: 'grid-row' }, ...this.cells);
  }

  /** @param {number} index @param {number} height in px */
  place(index, height) {
    if (this.index !== index) this.element.setAttribute('aria-rowindex', String(index + 2));
    if (this.index % 2 !== index % 2) this.element.classList.toggle('odd', index % 2 === 1);
    this.index = index;
    if (this.top === index * height) return;
    this.top = index * height;
    this.element.style.transform = `translateY(${this.top}px)`;
  }

  /**
   * @param {Row} row
   * @param {Look} look
   * @param {Mark[]} marks
   * @param {readonly string[]} fields
   */
  fill(row, look, marks, fields) {
    if (row !== this.#row || this.#fields !== fields.join()) this.#fillFields(row, fields);
    const { number, pending, conflict, memos, lost } = look;
    const inNumber = marks.filter(({ field }) => field !== 'memo');
    const inMemos = marks.filter(({ field }) => field === 'memo');
    const theirs = conflict && row.gbsNumber;
    const key = JSON.stringify([number, pending, conflict, theirs, inNumber.map(({ userId, name }) => [userId, name]), language()]);
    if (key !== this.#numberKey && !this.isEdited) {
      this.#numberKey = key;
      this.#fillNumber(look, row, inNumber);
    }
    const memosKey = JSON.stringify([memos, lost.length, inMemos.map(({ userId, name }) => [userId, name]), language()]);
    if (memosKey === this.#memosKey) return;
    this.#memosKey = memosKey;
    this.#fillMemos(look, inMemos);
  }

  /** The number cell gets its own content back. */
  restore() {
    this.isEdited = false;
    this.#numberKey = '';
  }

  /** Says for a moment that the server has it. */
  flash() {
    const { classList } = this.element;
    this.element.addEventListener('animationend', () => classList.remove('saved'), { once: true });
    classList.add('saved');
  }

  /** @param {Row} row @param {readonly string[]} fields */
  #fillFields(row, fields) {
    this.#row = row;
    this.#fields = fields.join();
    write(this.name, nameOf(row));
    fields.forEach((field, index) => {
      const cell = this.cells[FIELDS + index];
      if (cell) write(cell, text(row[field]));
    });
  }

  /** @param {Look} look @param {Row} row @param {Mark[]} marks */
  #fillNumber({ number, pending, conflict }, row, marks) {
    const cell = this.cells[NUMBER];
    const hadFocus = cell.contains(document.activeElement) && document.activeElement !== cell;
    cell.classList.toggle('pending', pending);
    cell.classList.toggle('conflict', conflict !== undefined);
    if (conflict) cell.replaceChildren(this.#choice(true, conflict.mine), this.#choice(false, row.gbsNumber));
    else cell.replaceChildren(h('span', { class: 'number' }, number === null ? '' : String(number)));
    if (pending) cell.append(h('span', { class: 'unseen' }, t('lineup.sending')));
    mark(cell, marks);
    // The button that had the focus is gone with its question.
    if (hadFocus) cell.focus({ preventScroll: true });
  }

  /** @param {boolean} mine @param {number | null} number */
  #choice(mine, number) {
    const n = numberWords(number);
    const label = t(mine ? 'lineup.keepMine' : 'lineup.takeTheirs', { n });
    const onclick = () => this.resolve(this.id, mine);
    const attributes = { type: 'button', class: 'choice', tabindex: -1, 'aria-label': label, title: label, onclick };
    return h('button', attributes, t(mine ? 'lineup.mine' : 'lineup.theirs', { n }));
  }

  /** @param {Look} look @param {Mark[]} marks */
  #fillMemos({ memos, lost }, marks) {
    const cell = this.cells[MEMOS];
    cell.classList.toggle('conflict', lost.length > 0);
    const chips = memos.slice(0, CHIPS).map(({ memo, color, pending }) => {
      const chip = h('span', { class: pending ? 'chip pending' : 'chip', title: memo }, memo);
      paint(chip, color);
      return chip;
    });
    const rest = memos.length > CHIPS ? h('span', { class: 'rest' }, `+${memos.length - CHIPS}`) : null;
    const warning = lost.length > 0 && icon('alert');
    cell.replaceChildren(...[warning, ...chips, rest].filter((child) => child instanceof Element));
    mark(cell, marks);
  }
}

/**
 * A memo's colour, with text that can be read on it.
 * @param {HTMLElement} element
 * @param {string} color
 */
export function paint(element, color) {
  const good = /^#[0-9a-f]{6}$/i.test(color) ? color : COLOR;
  element.style.backgroundColor = good;
  element.style.color = luminance(good) > 0.179 ? '#000' : '#fff';
}

/** Relative luminance as in WCAG 2; above 0.179 black has the greater contrast. @param {string} color */
function luminance(color) {
  const [red, green, blue] = [1, 3, 5].map((at) => {
    const part = parseInt(color.slice(at, at + 2), 16) / 255;
    return part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
  });
  return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
}

/** Shows who else is in a cell: a border in their colour, and their initials. @param {HTMLElement} cell @param {Mark[]} marks */
function mark(cell, marks) {
  for (const name of [...cell.classList]) if (name.startsWith('hue-')) cell.classList.remove(name);
  cell.classList.toggle('marked', marks.length > 0);
  if (!marks.length) return;
  const faces = marks.map(({ userId, name }) => avatar(userId, name));
  const hue = [...faces[0].classList].find((name) => name.startsWith('hue-'));
  if (hue) cell.classList.add(hue);
  const words = marks.map(({ name }) => t('lineup.editing', { name })).join(', ');
  cell.append(h('span', { class: 'marks', title: words }, ...faces, h('span', { class: 'unseen' }, words)));
}

/** @param {HTMLElement} element @param {string} words */
function write(element, words) {
  if (element.textContent === words) return;
  element.textContent = words;
  element.title = words;
}
