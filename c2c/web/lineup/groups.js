/**
 * The groups and how many each has: a list to choose from, and the summary of the whole.
 * @module
 */

import { language, t } from '../i18n/index.js';
import { h } from '../shell/dom.js';

/** @typedef {import('./view.js').Group} Group */

export class Groups {
  /** @type {Map<Group, {element: HTMLElement, words: HTMLElement, count: HTMLElement}>} */
  #options = new Map();
  /** @type {Group} */
  #chosen = 'all';

  /** @param {(group: Group) => void} choose */
  constructor(choose) {
    this.choose = choose;
    this.element = h('div', { class: 'groups', role: 'listbox', tLabel: 'lineup.groups' });
    this.element.addEventListener('keydown', (event) => this.#key(event));
  }

  /**
   * @param {ReadonlyMap<number, number>} counts
   * @param {number} total
   * @param {number} unassigned
   */
  show(counts, total, unassigned) {
    /** @type {[Group, number][]} */
    const groups = [...counts].filter(([group, n]) => n > 0 || group === this.#chosen).sort(([a], [b]) => a - b);
    /** @type {Map<Group, number>} */
    const wanted = new Map([['all', total], ['none', unassigned], ...groups]);
    if (typeof this.#chosen === 'number' && !wanted.has(this.#chosen)) wanted.set(this.#chosen, 0);
    for (const [group, { element }] of this.#options) {
      if (wanted.has(group)) continue;
      element.remove();
      this.#options.delete(group);
    }
    let next = this.element.firstElementChild;
    for (const [group, n] of wanted) {
      const option = this.#options.get(group) ?? this.#make(group);
      if (option.element === next) next = next.nextElementSibling;
      else this.element.insertBefore(option.element, next);
      const text = n.toLocaleString(language());
      if (option.count.textContent !== text) option.count.textContent = text;
      const words = group === 'all' ? t('lineup.all') : group === 'none' ? t('lineup.none') : t('lineup.group', { n: group });
      if (option.words.textContent !== words) option.words.textContent = words;
    }
  }

  /** @param {Group} group */
  #make(group) {
    const words = h('span', {});
    const count = h('span', { class: 'count' });
    const chosen = group === this.#chosen;
    const attributes = { role: 'option', tabindex: chosen ? 0 : -1, 'aria-selected': String(chosen), onclick: () => this.#take(group) };
    const element = h('div', attributes, words, h('span', { class: 'unseen' }, ', '), count);
    element.classList.toggle('none', group === 'none');
    const option = { element, words, count };
    this.#options.set(group, option);
    return option;
  }

  /** @param {Group} group */
  #take(group) {
    this.#mark(this.#chosen, false);
    this.#chosen = group;
    this.#mark(group, true);
    this.choose(group);
  }

  /** @param {Group} group @param {boolean} chosen */
  #mark(group, chosen) {
    const element = this.#options.get(group)?.element;
    element?.setAttribute('aria-selected', String(chosen));
    element?.setAttribute('tabindex', chosen ? '0' : '-1');
    if (chosen) element?.focus();
  }

  /** @param {KeyboardEvent} event */
  #key(event) {
    const groups = [...this.element.children].map((child) => [...this.#options].find(([, { element }]) => element === child)?.[0]);
    const at = groups.indexOf(this.#chosen);
    const { key } = event;
    const to =
      key === 'Home' ? 0
      : key === 'End' ? groups.length - 1
      : key === 'ArrowDown' || key === 'ArrowRight' ? Math.min(at + 1, groups.length - 1)
      : key === 'ArrowUp' || key === 'ArrowLeft' ? Math.max(at - 1, 0)
      : -1;
    const group = groups[to];
    if (group === undefined) return;
    event.preventDefault();
    this.#take(group);
  }
}
