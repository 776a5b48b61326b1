/**
 * Short messages in a corner. Both live regions stand in the page's HTML from the start, because a screen reader
 * announces only what is added to a region that it knows already.
 * @module
 */

import { errorWords, t } from '../i18n/index.js';
import { find, h, icon } from './dom.js';

/** @typedef {import('../i18n/index.js').Key} Key */
/** @typedef {import('../i18n/index.js').Values} Values */
/** @typedef {'success' | 'info' | 'warning' | 'error'} ToastKind */

const TOASTS = 5;
/** @type {Record<ToastKind, number>} how long each stays, in ms */
const STAYS_MS = { success: 3_000, info: 3_000, warning: 10_000, error: Infinity };
/** @type {Record<ToastKind, import('./dom.js').Icon>} */
const ICON = { success: 'check', info: 'info', warning: 'alert', error: 'alert' };

let count = 0;

/** One message. The time of all stands still while one is pointed at or has the focus, so that none moves away. */
class Toast extends HTMLElement {
  /** Its place in time, across both regions. */
  number = ++count;
  leftMs = Infinity;
  startedAt = 0;
  timer = 0;

  /**
   * @param {ToastKind} kind
   * @param {string} text
   * @param {number} [staysMs]
   */
  fill(kind, text, staysMs = STAYS_MS[kind]) {
    this.className = `toast ${kind}`;
    this.leftMs = staysMs;
    const close = h('button', { class: 'quiet', type: 'button', tLabel: 'close', onclick: () => this.remove() });
    close.append(icon('cross'));
    this.append(icon(ICON[kind]), h('p', {}, text), close);
    for (const type of ['pointerenter', 'focusin']) this.addEventListener(type, pauseAll);
    for (const type of ['pointerleave', 'focusout']) this.addEventListener(type, runAll);
    this.addEventListener('keydown', (event) => event.key === 'Escape' && this.remove());
    return this;
  }

  connectedCallback() {
    this.run();
  }

  /** With the one that had the attention gone, the others go on. */
  disconnectedCallback() {
    this.pause();
    runAll();
  }

  run() {
    if (this.timer || this.leftMs === Infinity || this.closest('.toasts:is(:hover, :focus-within)')) return;
    this.startedAt = performance.now();
    this.timer = window.setTimeout(() => this.remove(), this.leftMs);
  }

  pause() {
    if (!this.timer) return;
    clearTimeout(this.timer);
    this.timer = 0;
    this.leftMs -= performance.now() - this.startedAt;
  }
}

customElements.define('c2c-toast', Toast);

/**
 * @param {ToastKind} kind
 * @param {string} text
 * @param {number} [staysMs]
 */
function show(kind, text, staysMs) {
  const region = find(document, `.toasts [role=${kind === 'error' ? 'alert' : 'status'}]`, HTMLElement);
  region.append(new Toast().fill(kind, text, staysMs));
  const toasts = all().sort((a, b) => a.number - b.number);
  for (const oldest of toasts.slice(0, -TOASTS)) oldest.remove();
}

function all() {
  return [...document.querySelectorAll('c2c-toast')].filter((toast) => toast instanceof Toast);
}

function pauseAll() {
  for (const toast of all()) toast.pause();
}

function runAll() {
  for (const toast of all()) toast.run();
}

/**
 * @param {ToastKind} kind
 * @param {Key} key
 * @param {Values} [values]
 * @param {number} [staysMs] how long it stays, where that is not as usual
 */
export function toast(kind, key, values, staysMs) {
  show(kind, t(key, values), staysMs);
}

/**
 * Says what went wrong, by the error's code.
 * @param {unknown} error
 */
export function toastError(error) {
  const code = error instanceof Error && 'code' in error ? String(error.code) : undefined;
  if (code === undefined) console.error(error);
  show('error', errorWords(code));
}
