/**
 * Building elements. Whatever text a page is given becomes a text node and nothing else, so it can't become markup.
 * @module
 */

import { translate } from '../i18n/index.js';

/** @typedef {import('../i18n/index.js').Key} Key */
/** @typedef {Node | string | null | undefined | false} Child */
/**
 * Attributes by their names; functions are listeners (`onclick`), `t…` keys of the catalogue for the element's text,
 * label, title and placeholder.
 * @typedef {{[name: string]: string | number | boolean | null | undefined | ((event: any) => unknown)}
 *   & {t?: Key, tLabel?: Key, tTitle?: Key, tPlaceholder?: Key}} Attributes
 */

/** @type {Record<string, string>} */
const WORDS = {
  t: 'data-t',
  tLabel: 'data-t-label',
  tTitle: 'data-t-title',
  tPlaceholder: 'data-t-placeholder',
};

/**
 * An element with attributes and children.
 * @template {keyof HTMLElementTagNameMap} Tag
 * @param {Tag} tag
 * @param {Attributes} [attributes]
 * @param {...Child} children
 * @returns {HTMLElementTagNameMap[Tag]}
 */
export function h(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  let speaks = false;
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === 'function') element.addEventListener(name.slice(2), value);
    else setAttribute(element, WORDS[name] ?? name, value);
    speaks ||= name in WORDS;
  }
  if (speaks) translate(element);
  for (const child of children) if (child) element.append(child);
  return element;
}

/**
 * @param {Element} element
 * @param {string} name
 * @param {string | number | boolean | null | undefined} value false, null and undefined: none
 */
function setAttribute(element, name, value) {
  if (value === true) element.setAttribute(name, '');
  else if (value !== false && value != null) element.setAttribute(name, String(value));
}

/**
 * Writes only what is new: every write is work for browsers, and for screen readers something to say.
 * @param {HTMLElement} element
 * @param {string} text
 */
export function write(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/** Drawn on a grid of 24 with round strokes. */
const ICONS = {
  check: 'm5 12.5 4.5 4.5L19 7.5',
  cycle: 'M20 6v5h-5M4 18v-5h5M5.6 9.5a7 7 0 0 1 12-2.6L20 11M4 13l2.4 4.1a7 7 0 0 0 12-2.6',
  cross: 'm6.5 6.5 11 11m0-11-11 11',
  alert: 'M12 4 2.8 19.5h18.4L12 4Zm0 6v4.5m0 2.6v.1',
  info: 'M12 3.5a8.5 8.5 0 1 0 0 17 8.5 8.5 0 0 0 0-17Zm0 7.5v5m0-8.1v.1',
  copy: 'M9 9h10v11H9zM5 15V4h10v1.5',
  people: 'M9 11a3.5 3.5 0 1 0 0-7 3.5 3.5 0 0 0 0 7Zm-6.5 9a6.5 6.5 0 0 1 13 0M16 4.3a3.5 3.5 0 0 1 0 6.4M21.5 20a6.5 6.5 0 0 0-4-6',
  send: 'M12 19.5v-15m-6.5 6.5L12 4.5l6.5 6.5',
  up: 'M12 15.5v-11m-5 5L12 4.5l5 5M4.5 19.5h15',
  save: 'M12 4.5v11m-5-5 5 5 5-5M4.5 19.5h15',
  undo: 'M8.5 5 4 9.5 8.5 14M4.5 9.5H14a5.5 5.5 0 0 1 0 11H9',
  down: 'M12 4.5v15m6.5-6.5L12 19.5 5.5 13',
  back: 'M19.5 12h-15m6.5 6.5L4.5 12 11 5.5',
  clock: 'M12 3.5a8.5 8.5 0 1 0 0 17 8.5 8.5 0 0 0 0-17Zm0 4v4.8l3 2',
  room: 'M4 5h16v11.5H10L5.5 20v-3.5H4z',
  minus: 'M6 12h12',
  hands: 'M11 5v8.5l5.5 3',
  star: 'm12 3.8 2.5 5.2 5.7.8-4.1 4 1 5.7-5.1-2.7-5.1 2.7 1-5.7-4.1-4 5.7-.8Z',
  device: 'M4 5h16v11H4zM9 19.5h6',
  search: 'M10.5 4a6.5 6.5 0 1 0 0 13 6.5 6.5 0 0 0 0-13Zm4.8 11.3L20 20',
  pulse: 'M3 12h4l2.5-7 5 14 2.5-7h4',
  plus: 'M12 5v14M5 12h14',
  pause: 'M9 6v12m6-12v12',
  play: 'M8 5.5v13l10.5-6.5Z',
  more: 'M5.5 12h.1m6.4 0h.1m6.4 0h.1',
  edit: 'm4.5 19.5 1-4L15.5 5.5l3 3-10 10Z',
  bin: 'M5 7h14M9.5 7V4.5h5V7M7 7l1 12.5h8L17 7',
  tool: 'M14.6 6.2a4.3 4.3 0 0 1 5.2 5.6 4.3 4.3 0 0 1-5.2 1.4L8.5 19.4a2 2 0 0 1-3-3l6.2-6.1a4.3 4.3 0 0 1 1.4-5.2Z',
  slow: 'M4.2 17a8.5 8.5 0 1 1 15.6 0M12 14.5 15.5 9',
  ask: 'M9.2 9a3 3 0 1 1 4.5 2.6c-1.1.7-1.7 1.3-1.7 2.6m0 3.2v.1',
  leave: 'M14 4.5H5.5v15H14M10.5 12h10m-4-4 4 4-4 4',
};

/** @typedef {keyof typeof ICONS} Icon */

/**
 * An element of a drawing.
 * @template {keyof SVGElementTagNameMap} Tag
 * @param {Tag} tag
 * @param {{[name: string]: string | number}} [attributes]
 * @param {...(Node | string)} children
 * @returns {SVGElementTagNameMap[Tag]}
 */
export function svg(tag, attributes = {}, ...children) {
  const element = document.createElementNS('http://www.w3.org/2000/svg', tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, String(value));
  element.append(...children);
  return element;
}

/**
 * A picture that stands beside words, so a screen reader passes it over.
 * @param {Icon} name
 */
export function icon(name) {
  return svg('svg', { class: 'icon', viewBox: '0 0 24 24', 'aria-hidden': 'true' }, svg('path', { d: ICONS[name] }));
}

export function logo() {
  return h('img', { class: 'logo', src: new URL('../style/icon.svg', import.meta.url).href, alt: '' });
}

/**
 * A round picture of a person: the first character of the name on one of twelve colours.
 * @param {string} userId
 * @param {string} name
 */
export function avatar(userId, name) {
  let hash = 0;
  for (const character of userId) hash = (hash * 31 + (character.codePointAt(0) ?? 0)) >>> 0;
  const [first = '?'] = name.replace(/^[^\p{L}\p{N}]+/u, '') || name;
  return h('span', { class: `avatar hue-${hash % 12}`, 'aria-hidden': 'true' }, first.toUpperCase());
}

/**
 * Says something in place of all that a page shows.
 * @param {Icon} picture
 * @param {Key} title
 * @param {string | HTMLElement} hint
 * @param {HTMLElement} action
 */
export function showNotice(picture, title, hint, action) {
  const main = find(document, 'main', HTMLElement);
  main.className = 'centred';
  main.replaceChildren(h('div', { class: 'notice' }, icon(picture), h('h1', { t: title }), h('p', {}, hint), action));
}

/**
 * @template {Element} T
 * @param {ParentNode} root
 * @param {string} selector
 * @param {new () => T} kind
 * @returns {T} raises when the page lacks it, which is a defect of the page
 */
export function find(root, selector, kind) {
  const element = root.querySelector(selector);
  if (!(element instanceof kind)) throw new Error(`the page has no ${selector}`);
  return element;
}
