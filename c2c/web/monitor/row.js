/**
 * One endpoint's line in the list. What has not changed is not touched.
 * @module
 */

import { language, t } from '../i18n/index.js';
import { h, icon, write } from '../shell/dom.js';
import { ago, share, took, writeTime } from './aging.js';
import { lookOf, sign, tags, why, WORDS } from './signs.js';
import { Sparkline, Strip } from './strip.js';

/** @typedef {import('./model.js').Endpoint} Endpoint */
/** @typedef {import('./results.js').Known} Known */

export class Row {
  /** @type {Endpoint | undefined} */
  endpoint;
  top = -1;
  #look = '';
  #known = /** @type {unknown} */ (null);
  strip = new Strip();
  sparkline = new Sparkline();

  /** @param {string} endpointId @param {((button: HTMLElement, endpointId: string) => void) | null} openMenu null: nothing can be done */
  constructor(endpointId, openMenu) {
    const cell = (/** @type {string} */ name, /** @type {import('../shell/dom.js').Child[]} */ ...children) =>
      h('span', { class: name, role: 'cell' }, ...children);
    this.link = h('a', { class: 'name', href: `/monitor/${encodeURIComponent(endpointId)}` });
    this.tags = h('span', { class: 'tags' });
    this.below = h('span', { class: 'below' });
    this.sign = h('span', { class: 'sign' });
    this.word = h('span', { class: 'word' });
    this.time = h('time', {});
    this.took = h('span', { class: 'took' });
    this.uptime = cell('uptime');
    this.menu = h('button', { type: 'button', class: 'quiet', 'aria-haspopup': 'menu' }, icon('more'));
    this.menu.addEventListener('click', () => openMenu?.(this.menu, endpointId));
    this.element = h(
      'div',
      { class: 'endpoint', role: 'row' },
      cell('how', this.sign, this.word),
      cell('what', h('span', { class: 'line' }, this.link, this.tags), this.below),
      cell('bars', this.strip.element),
      cell('speed', this.sparkline.element, this.took),
      this.uptime,
      cell('checked', this.time),
      cell('do', openMenu && this.menu),
    );
  }

  /** @param {Endpoint} endpoint @param {boolean} maintenance @param {Known | undefined} known */
  show(endpoint, maintenance, known) {
    const look = `${maintenance} ${language()}`;
    if (endpoint !== this.endpoint || look !== this.#look) this.#fill(endpoint, maintenance);
    if (known !== this.#known || look !== this.#look || this.strip.results !== known?.results) this.#fillResults(known, endpoint.interval);
    this.endpoint = endpoint;
    this.#look = look;
    this.#known = known;
    this.showTime();
  }

  /** @param {number} index @param {number} height */
  place(index, height) {
    if (index * height === this.top) return;
    this.top = index * height;
    this.element.style.transform = `translateY(${this.top}px)`;
    this.element.setAttribute('aria-rowindex', String(index + 2));
  }

  /** @param {Endpoint} endpoint @param {boolean} maintenance */
  #fill(endpoint, maintenance) {
    const { name, url, kind, responseTime, interval } = endpoint;
    const look = lookOf(endpoint);
    if (this.element.dataset.look !== look) {
      this.element.dataset.look = look;
      this.sign.replaceChildren(sign(look));
    }
    write(this.word, t(WORDS[look]));
    write(this.link, name);
    if (this.link.title !== name) this.link.title = name;
    const failed = endpoint.failureCount > 0 || look === 'DOWN';
    const words = (failed && why(endpoint)) || url || (kind === 'push' ? t('monitor.push') : '');
    write(this.below, words);
    this.below.title = failed && endpoint.errorMessage ? endpoint.errorMessage : url;
    this.below.classList.toggle('wrong', failed);
    this.tags.replaceChildren(...tags(endpoint, maintenance));
    write(this.took, look === 'DOWN' || look === 'PAUSED' ? '–' : took(responseTime));
    this.time.title = t('monitor.every', { s: interval });
    const label = t('monitor.actions', { name });
    if (this.menu.title !== label) this.menu.title = label;
    this.menu.setAttribute('aria-label', label);
  }

  /** @param {Known | undefined} known undefined: not asked for yet @param {number} interval s */
  #fillResults(known, interval) {
    this.strip.show(known?.results ?? []);
    this.sparkline.show(known?.results ?? [], interval);
    write(this.uptime, known ? share(known.uptime) : '');
    this.element.classList.toggle('unread', !known);
  }

  showTime() {
    const { checkedAt = 0 } = this.endpoint ?? {};
    writeTime(this.time, checkedAt, ago(checkedAt));
  }
}
