/**
 * The page's language: words from one catalogue per language, times and numbers by `Intl`.
 *
 * An element says by `data-t`, `data-t-label`, `data-t-title` or `data-t-placeholder` which words it shows, so a
 * switch of the language finds it. What depends on values is written anew by whoever listens to `onLanguage`.
 * @module
 */

import { kept } from '../shell/storage.js';
import en from './en.js';
import ko from './ko.js';

/** @typedef {'en' | 'ko'} Language */
/** @typedef {typeof import('./monitor.en.js').default & typeof import('./endpoint.en.js').default & typeof import('./forms.en.js').default & typeof import('./status.en.js').default} More */
/** @typedef {keyof typeof en | keyof More} Key */
/** @typedef {Record<string, string | number>} Values */

/** @typedef {Record<string, string | ((values: any) => string)>} Catalogue */

/** @type {Record<Language, Catalogue>} */
const catalogues = { en: { ...en }, ko: { ...ko } };

/** @type {readonly Language[]} */
export const LANGUAGES = ['ko', 'en'];

const ATTRIBUTES = /** @type {const} */ ({
  'data-t-label': 'aria-label',
  'data-t-title': 'title',
  'data-t-placeholder': 'placeholder',
});

/** @type {Set<() => void>} */
const listeners = new Set();
/** @type {Language} */
let current = choose();

document.documentElement.lang = current;

/** @returns {Language} the one chosen before, else the first of the browser's that there is */
function choose() {
  const wanted = [kept.get('language'), ...navigator.languages];
  for (const tag of wanted) {
    const found = LANGUAGES.find((name) => String(tag).toLowerCase().split('-')[0] === name);
    if (found) return found;
  }
  return 'en';
}

export function language() {
  return current;
}

/**
 * Words that only some pages need and only they load.
 * @param {Record<Language, Catalogue>} words
 */
export function addWords(words) {
  for (const name of LANGUAGES) Object.assign(catalogues[name], words[name]);
}

/** @param {Language} wanted */
export function setLanguage(wanted) {
  if (wanted === current) return;
  current = wanted;
  kept.set('language', wanted);
  document.documentElement.lang = wanted;
  translateAll(document);
  for (const listener of listeners) listener();
}

/**
 * @param {() => void} listener called after each switch
 * @returns {() => void} ends it
 */
export function onLanguage(listener) {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

/**
 * @param {string} key
 * @returns {key is Key}
 */
export function isKey(key) {
  return Object.hasOwn(catalogues.en, key);
}

/**
 * The words for a key, with `{name}` replaced by values.
 * @param {Key} key
 * @param {Values} [values]
 */
export function t(key, values = {}) {
  const words = catalogues[current][key];
  if (typeof words === 'function') return words(values);
  return words.replace(/\{(\w+)\}/g, (whole, name) => String(values[name] ?? whole));
}

/**
 * What an error's code means to a person.
 * @param {string | undefined} code
 */
export function errorWords(code) {
  const key = `error.${code}`;
  return t(isKey(key) ? key : 'error.INTERNAL');
}

/** @param {Element | Document} root */
function translateAll(root) {
  for (const element of root.querySelectorAll('[data-t], [data-t-label], [data-t-title], [data-t-placeholder]')) {
    translate(element);
  }
}

/**
 * Writes an element's words in the current language.
 * @param {Element} element
 */
export function translate(element) {
  const key = element.getAttribute('data-t');
  if (key && isKey(key)) element.textContent = t(key);
  for (const [source, target] of Object.entries(ATTRIBUTES)) {
    const name = element.getAttribute(source);
    if (name && isKey(name)) element.setAttribute(target, t(name));
  }
}

// Making a formatter costs more than using one a thousand times.
/** @type {Map<string, any>} */
const formatters = new Map();

/**
 * @template T
 * @param {string} name
 * @param {() => T} make
 * @returns {T} the current language's formatter of that name
 */
function formatter(name, make) {
  const key = `${current} ${name}`;
  if (!formatters.has(key)) formatters.set(key, make());
  return formatters.get(key);
}

/**
 * @param {string} name
 * @param {Intl.DateTimeFormatOptions} options
 * @param {number} at
 */
function formatted(name, options, at) {
  return formatter(name, () => new Intl.DateTimeFormat(current, options)).format(at);
}

/**
 * @param {number} value
 * @param {number} [digits] behind the point, at most
 */
export function number(value, digits = 0) {
  return formatter(`number ${digits}`, () => new Intl.NumberFormat(current, { maximumFractionDigits: digits })).format(value);
}

/**
 * A number with its unit, short: "12 ms", "5 min", "99.98%".
 * @param {number} value
 * @param {string} unit as `Intl.NumberFormat` knows it; a `percent` is of 100
 * @param {number} [digits] behind the point, at most
 */
export function amount(value, unit, digits = 0) {
  const options = /** @type {const} */ ({ style: 'unit', unit, unitDisplay: 'short', maximumFractionDigits: digits });
  return formatter(`amount ${unit} ${digits}`, () => new Intl.NumberFormat(current, options)).format(value);
}

/** Rounded down: what has failed once is not 100 %. @param {number} ratio 0 to 1 */
export const percent = (ratio) => amount(Math.floor(ratio * 10_000 + 1e-6) / 100, 'percent', 2);

/** The two largest units of a time: "2 hr 5 min". @param {number} seconds */
export function duration(seconds) {
  const whole = Math.max(0, Math.round(seconds));
  const parts = /** @type {[number, string][]} */ ([
    [Math.floor(whole / 86_400), 'day'],
    [Math.floor(whole / 3_600) % 24, 'hour'],
    [Math.floor(whole / 60) % 60, 'minute'],
    [whole % 60, 'second'],
  ]);
  const first = parts.findIndex(([n]) => n > 0);
  if (first < 0) return amount(0, 'second');
  return parts.slice(first, first + 2).filter(([n]) => n > 0).map(([n, unit]) => amount(n, unit)).join(' ');
}

/** @param {number} at ms since 1970 */
export const clockTime = (at) => formatted('time', { hour: 'numeric', minute: '2-digit' }, at);

/** @param {number} at ms since 1970 */
export const hourTime = (at) => formatted('hour', { hour: 'numeric' }, at);

/** @param {number} at ms since 1970 */
export const fullTime = (at) => formatted('full', { dateStyle: 'full', timeStyle: 'short' }, at);

/**
 * A day in words; the year only when it is another one.
 * @param {number} at ms since 1970
 */
export function dayName(at) {
  const sameYear = new Date(at).getFullYear() === new Date().getFullYear();
  const day = /** @type {const} */ ({ weekday: 'long', month: 'long', day: 'numeric' });
  return formatted(sameYear ? 'day' : 'day of year', sameYear ? day : { ...day, year: 'numeric' }, at);
}

/** A day by the calendar of UTC: "Jan 2". @param {number} at ms since 1970 */
export const utcDay = (at) => formatted('utc day', { month: 'short', day: 'numeric', timeZone: 'UTC' }, at);

/**
 * From when to when: "Jan 2, 11:00 PM – Jan 3, 1:00 AM".
 * @param {number} from ms since 1970
 * @param {number} to ms since 1970
 */
export function timeSpan(from, to) {
  const options = /** @type {const} */ ({ month: 'short', day: 'numeric', hour: 'numeric', minute: '2-digit' });
  return formatter('span', () => new Intl.DateTimeFormat(current, options)).formatRange(from, to);
}

/**
 * How long ago, roughly: "5 minutes ago".
 * @param {number} at ms since 1970
 */
export function timeAgo(at) {
  const seconds = (at - Date.now()) / 1000;
  const steps = /** @type {const} */ ([
    ['day', 86_400],
    ['hour', 3_600],
    ['minute', 60],
  ]);
  const relative = formatter('ago', () => new Intl.RelativeTimeFormat(current, { numeric: 'auto' }));
  const [unit, size] = steps.find(([, length]) => -seconds >= length) ?? ['second', Infinity];
  return relative.format(Math.round(seconds / size) + 0, unit);
}
