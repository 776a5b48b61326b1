/**
 * The last results of an endpoint as a strip of bars, and its response times as a line.
 * @module
 */

import { fullTime, number, t } from '../i18n/index.js';
import { svg } from '../shell/dom.js';
import { took } from './aging.js';
import { barAt, PITCH, sparkline, strip, STRIP_HEIGHT } from './geometry.js';
import { BARS } from './model.js';
import { why, WORDS } from './signs.js';

/** @typedef {import('./model.js').Result} Result */

const LINE = { width: 90, height: 20, margin: 2 };

/** Says of the bar under the pointer what it stands for. */
export class Strip {
  /** @type {readonly Result[]} */
  results = [];
  element = svg('svg', { class: 'strip', role: 'img', preserveAspectRatio: 'none' });
  title = svg('title');
  paths = (/** @type {const} */ (['UNKNOWN', 'UP', 'DEGRADED', 'DOWN'])).map((status) => svg('path', { class: status }));

  /** @param {number} [bars] */
  constructor(bars = BARS) {
    this.bars = bars;
    this.element.setAttribute('viewBox', `0 0 ${bars * PITCH} ${STRIP_HEIGHT}`);
    this.element.append(this.title, ...this.paths);
    this.element.addEventListener('pointermove', ({ clientX }) => this.#point(clientX));
    this.element.addEventListener('pointerleave', () => this.#say());
  }

  /** @param {readonly Result[]} results oldest first */
  show(results) {
    this.results = results;
    const shapes = strip(results, this.bars);
    for (const path of this.paths) path.setAttribute('d', shapes[/** @type {keyof typeof shapes} */ (path.classList.value)]);
    this.#say();
  }

  #say() {
    const count = (/** @type {string} */ wanted) => this.results.filter(({ status }) => status === wanted).length;
    const counts = { n: this.results.length, a: count('UP'), b: count('DEGRADED'), s: count('DOWN') };
    this.#write(this.results.length ? t('monitor.strip', counts) : t('monitor.noResults'));
  }

  /** @param {number} clientX */
  #point(clientX) {
    const { left, width } = this.element.getBoundingClientRect();
    const result = barAt(this.results, (clientX - left) / width, this.bars);
    if (result) this.#write(resultWords(result));
    else this.#say();
  }

  /** @param {string} words */
  #write(words) {
    if (this.title.textContent !== words) this.title.textContent = words;
  }
}

/** @param {Result} result */
function resultWords({ at, status, responseTime, statusCode, reason }) {
  const failed = status === 'DOWN' && why({ reason, errorMessage: statusCode === null ? '' : number(statusCode) });
  return [fullTime(at), t(WORDS[status]), failed || (responseTime === null ? '' : took(responseTime))].filter(Boolean).join(' · ');
}

/** The time of a result to the second is not needed: the line shows how it goes. */
export class Sparkline {
  path = svg('path');
  element = svg(
    'svg',
    { class: 'sparkline', viewBox: `0 ${-LINE.margin} ${LINE.width} ${LINE.height + 2 * LINE.margin}`, 'aria-hidden': 'true' },
    this.path,
  );

  /** @param {readonly Result[]} results oldest first @param {number} interval s */
  show(results, interval) {
    this.path.setAttribute('d', sparkline(results, interval, LINE.width, LINE.height));
  }
}
