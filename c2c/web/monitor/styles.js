/**
 * Rules that only a part of a page needs, loaded with that part.
 * @module
 */

import { h } from '../shell/dom.js';

/** @type {Map<string, Promise<unknown>>} */
const loaded = new Map();

/** @param {string} name of a file in `style/` */
export function loadStyle(name) {
  const known = loaded.get(name);
  if (known) return known;
  const href = new URL(`../style/${name}`, import.meta.url).href;
  const loading = new Promise((resolve) => document.head.append(h('link', { rel: 'stylesheet', href, onload: resolve, onerror: resolve })));
  loaded.set(name, loading);
  return loading;
}
