/**
 * The form of a time of maintenance: once, or each week by the clocks of a zone.
 * @module
 */

import './formwords.js';
import { errorWords, language, t } from '../i18n/index.js';
import { h } from '../shell/dom.js';
import { toastError } from '../shell/toasts.js';
import { Refused } from './api.js';
import { openBox } from './box.js';
import { loadStyle } from './styles.js';
import { dayNames } from './windows.js';

/** @typedef {import('./api.js').Api} Api */
/** @typedef {import('../shell/dom.js').Key} Key */

const HOUR_MS = 3_600_000;

/** @param {Api} api @param {{endpointId: string, name: string}[]} endpoints */
export async function openWindowForm(api, endpoints) {
  await loadStyle('forms.css');
  new WindowForm(api, endpoints);
}

class WindowForm {
  /** @param {Api} api @param {{endpointId: string, name: string}[]} endpoints */
  constructor(api, endpoints) {
    const soon = Math.ceil(Date.now() / HOUR_MS) * HOUR_MS;
    this.api = api;
    this.title = field('title', 'monitor.windowTitle', h('input', { maxlength: 200, autocomplete: 'off' }));
    this.weekly = h('input', { type: 'checkbox', role: 'switch', onchange: () => this.#show() });
    const repeat = h('label', { class: 'switch' }, h('span', { t: 'monitor.everyWeek' }), this.weekly);
    this.start = field('start', 'monitor.start', h('input', { type: 'datetime-local', value: localTime(soon) }));
    this.end = field('end', 'monitor.end', h('input', { type: 'datetime-local', value: localTime(soon + HOUR_MS) }));
    this.once = h('div', { class: 'fields' }, this.start, this.end);
    this.days = h('fieldset', { class: 'days' }, h('legend', { t: 'monitor.days.week' }), ...[...dayNames()].map(dayBox));
    this.time = field('time', 'monitor.start', h('input', { type: 'time', value: '23:00' }));
    this.minutes = field('durationMinutes', 'monitor.minutes', h('input', { type: 'number', min: 1, max: 10_080, value: 60 }));
    this.zone = field('zone', 'monitor.zone', h('input', { list: 'zones', value: ownZone(), autocomplete: 'off' }));
    this.each = h('div', { class: 'fields' }, this.days, this.time, this.minutes, this.zone, zones());
    const sorted = [...endpoints].sort((a, b) => a.name.localeCompare(b.name, language()));
    this.chosen = h('select', { multiple: true, size: 6 }, ...sorted.map(({ endpointId, name }) => h('option', { value: endpointId }, name)));
    const whom = field('endpointIds', 'monitor.forWhom', this.chosen, 'monitor.forWhomHint');
    this.wrong = h('p', { class: 'wrong', role: 'alert' });
    this.save = h('button', { type: 'submit', class: 'primary', t: 'monitor.addWindow' });
    const cancel = h('button', { type: 'button', t: 'cancel', onclick: () => this.box.close() });
    const form = h('form', { novalidate: true }, this.title, repeat, this.once, this.each, whom, this.wrong, h('div', { class: 'buttons' }, cancel, this.save));
    form.addEventListener('submit', (event) => {
      event.preventDefault();
      void this.#submit();
    });
    this.box = openBox(t('monitor.addWindow'), form);
    this.box.classList.add('wide');
    this.#show();
    this.title.querySelector('input')?.focus();
  }

  #show() {
    this.once.hidden = this.weekly.checked;
    this.each.hidden = !this.weekly.checked;
  }

  #body() {
    const common = { title: valueIn(this.title).trim(), endpointIds: [...this.chosen.selectedOptions].map(({ value }) => value) };
    if (!this.weekly.checked) return { ...common, start: instant(valueIn(this.start)), end: instant(valueIn(this.end)) };
    const days = [...this.days.querySelectorAll('input')].filter(({ checked }) => checked).map(({ value }) => value);
    return { ...common, days, time: valueIn(this.time), durationMinutes: Number(valueIn(this.minutes)), zone: valueIn(this.zone) };
  }

  #fault() {
    if (this.weekly.checked) return this.days.querySelector(':checked') ? '' : t('monitor.noDay');
    const [start, end] = [this.start, this.end].map((each) => Date.parse(valueIn(each)));
    return start < end ? '' : t('monitor.badSpan');
  }

  async #submit() {
    this.wrong.textContent = this.#fault();
    if (this.wrong.textContent) return;
    this.save.disabled = true;
    try {
      await this.api('POST', 'maintenance', this.#body());
      this.box.close();
    } catch (error) {
      if (error instanceof Refused) this.wrong.textContent = wordsOf(error);
      else toastError(error);
    }
    this.save.disabled = false;
  }
}

/** @param {Refused} error */
function wordsOf({ code, details }) {
  return code === 'BAD_VALUE' && details.reason ? `${details.field}: ${details.reason}` : errorWords(code);
}

/** @param {string} name @param {Key} label @param {HTMLElement} input @param {Key} [hint] */
function field(name, label, input, hint) {
  input.id = `window-${name}`;
  if (hint) input.setAttribute('aria-describedby', `window-${name}-hint`);
  return h('div', { class: 'field' }, h('label', { for: input.id, t: label }), input, hint ? h('p', { class: 'hint', id: `window-${name}-hint`, t: hint }) : null);
}

/** @param {[string, string]} day */
function dayBox([day, name]) {
  return h('label', {}, h('input', { type: 'checkbox', value: day }), h('span', {}, name));
}

function zones() {
  const names = Intl.supportedValuesOf?.('timeZone') ?? [];
  return h('datalist', { id: 'zones' }, ...names.map((value) => h('option', { value })));
}

function ownZone() {
  return Intl.DateTimeFormat().resolvedOptions().timeZone || 'UTC';
}

/** @param {HTMLElement} element */
function valueIn(element) {
  return element.querySelector('input')?.value ?? '';
}

/** As a field of local time writes it. @param {number} at ms since 1970 */
function localTime(at) {
  const shifted = new Date(at - new Date(at).getTimezoneOffset() * 60_000);
  return shifted.toISOString().slice(0, 16);
}

/** @param {string} local */
function instant(local) {
  const at = Date.parse(local);
  return Number.isNaN(at) ? '' : new Date(at).toISOString();
}
