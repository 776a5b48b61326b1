/**
 * The editor of a number cell: a field in the cell, as in a spreadsheet.
 * @module
 */

import { h } from '../shell/dom.js';
import { readNumber } from './paste.js';

/** @typedef {'down' | 'up' | 'right' | 'left' | 'nowhere'} Then where the focus goes; `nowhere`: it has gone already */
/**
 * @typedef {object} NumberActions
 * @property {(number: number | null, then: Then) => void} commit
 * @property {() => void} cancel
 * @property {(text: string) => void} draft
 */

const DIGITS = 3;

export class NumberEditor {
  #done = false;

  /**
   * @param {HTMLElement} cell
   * @param {string} label
   * @param {string} text what stands there first
   * @param {boolean} select whether typing replaces it
   * @param {NumberActions} actions
   */
  constructor(cell, label, text, select, actions) {
    this.actions = actions;
    this.input = h('input', { class: 'number-input', inputmode: 'numeric', autocomplete: 'off', 'aria-label': label });
    this.input.value = text;
    cell.replaceChildren(this.input);
    this.input.addEventListener('beforeinput', (event) => this.#check(event));
    this.input.addEventListener('input', () => this.#typed());
    this.input.addEventListener('keydown', (event) => this.#key(event));
    this.input.addEventListener('blur', () => this.commit('nowhere'));
    this.input.focus({ preventScroll: true });
    if (select) this.input.select();
  }

  /** Only digits get in. What an input method composes can't be refused, it is cleaned. @param {InputEvent} event */
  #check(event) {
    if (event.isComposing || !event.data || /^\d+$/.test(event.data)) return;
    event.preventDefault();
  }

  #typed() {
    const digits = this.input.value.normalize('NFKC').replace(/\D/g, '').slice(0, DIGITS);
    if (digits !== this.input.value) this.input.value = digits;
    this.actions.draft(digits);
  }

  /** @param {KeyboardEvent} event */
  #key(event) {
    const then = thenOf(event);
    if (event.isComposing || (!then && event.key !== 'Escape')) return;
    event.preventDefault();
    if (then) this.commit(then);
    else this.cancel();
  }

  /** @param {Then} then */
  commit(then) {
    if (this.#done) return;
    this.#done = true;
    this.actions.commit(readNumber(this.input.value), then);
  }

  cancel() {
    if (this.#done) return;
    this.#done = true;
    this.actions.cancel();
  }
}

/** @param {KeyboardEvent} event @returns {Then | undefined} */
function thenOf({ key, shiftKey }) {
  if (key === 'Enter') return shiftKey ? 'up' : 'down';
  if (key === 'Tab') return shiftKey ? 'left' : 'right';
  if (key === 'ArrowDown') return 'down';
  if (key === 'ArrowUp') return 'up';
  return undefined;
}
