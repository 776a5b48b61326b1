/**
 * The form of an endpoint, in a box: what is asked always, what is asked on demand, and a try before it is saved.
 * @module
 */

import './formwords.js';
import { errorWords, t } from '../i18n/index.js';
import { h, icon } from '../shell/dom.js';
import { copyText } from '../shell/links.js';
import { toast, toastError } from '../shell/toasts.js';
import { pathOf } from './actions.js';
import { took } from './aging.js';
import { Refused } from './api.js';
import { openBox } from './box.js';
import { bodyOf, faultsOf, FIELDS, fieldsOf, KINDS, SECRET, usualOf, valuesOf } from './fields.js';
import { phasesBar } from './phases.js';
import { badge, button, why } from './signs.js';
import { loadStyle } from './styles.js';

/** @typedef {import('./api.js').Api} Api */
/** @typedef {import('./fields.js').Field} Field */
/** @typedef {import('./fields.js').Kind} Kind */
/** @typedef {import('../shell/dom.js').Key} Key */

/** @type {Record<Kind, [Key, Key]>} */
const KIND_WORDS = {
  http: ['monitor.http', 'monitor.httpHint'],
  tcp: ['monitor.tcp', 'monitor.tcpHint'],
  push: ['monitor.push', 'monitor.pushHint'],
};

/** @param {Api} api @param {boolean} isAdmin @param {any} [endpoint] the one to be edited */
export async function openForm(api, isAdmin, endpoint) {
  await loadStyle('forms.css');
  new Form(api, isAdmin, endpoint);
}

class Form {
  /** @type {Map<string, {row: HTMLElement, wrong: HTMLElement, read: () => string, input: HTMLElement | null}>} */
  #asked = new Map();

  /** @param {Api} api @param {boolean} isAdmin @param {any} endpoint */
  constructor(api, isAdmin, endpoint) {
    this.api = api;
    this.endpoint = endpoint;
    this.values = valuesOf(endpoint);
    const plain = h('div', { class: 'fields' });
    const extra = h('div', { class: 'fields' });
    for (const field of FIELDS) (field.advanced ? extra : plain).append(this.#field(field, isAdmin));
    this.headers = new HeaderRows(this.values.headers);
    const headersWrong = h('p', { class: 'hint wrong', role: 'alert' });
    this.headersBox = h('fieldset', {}, h('legend', { t: 'monitor.headers' }), h('p', { class: 'hint', t: 'monitor.headersHint' }), this.headers.element, headersWrong);
    this.#asked.set('headers', { row: this.headersBox, wrong: headersWrong, read: () => '', input: null });
    this.advanced = h('details', { class: 'advanced' }, h('summary', { t: 'monitor.advanced' }), extra, this.headersBox);
    this.general = h('p', { class: 'wrong', role: 'alert' });
    this.outcome = h('div', { class: 'outcome', role: 'status' });
    this.tryIt = button('play', 'monitor.try', () => void this.#try());
    this.save = h('button', { type: 'submit', class: 'primary', t: endpoint ? 'monitor.save' : 'monitor.create' });
    const cancel = h('button', { type: 'button', t: 'cancel', onclick: () => this.box.close() });
    this.form = h('form', { novalidate: true, class: 'endpoint-form' }, this.#kinds(), plain, this.advanced, this.outcome, this.general, h('div', { class: 'buttons' }, this.tryIt, h('span', { class: 'spring' }), cancel, this.save));
    this.form.addEventListener('submit', (event) => {
      event.preventDefault();
      void this.#submit();
    });
    this.form.addEventListener('input', () => this.#showUsual());
    const pushPath = endpoint?.pushPath && pushCard(endpoint.pushPath);
    this.box = openBox(t(endpoint ? 'monitor.editTitle' : 'monitor.add'), pushPath, this.form);
    this.box.classList.add('wide');
    this.#showKind();
    this.#asked.get('name')?.input?.focus();
  }

  #kinds() {
    const options = KINDS.map((kind) => {
      const input = h('input', { type: 'radio', name: 'kind', value: kind, disabled: Boolean(this.endpoint) && kind !== this.values.kind });
      input.checked = kind === this.values.kind;
      input.addEventListener('change', () => {
        this.values.kind = kind;
        this.#showKind();
      });
      const [name, hint] = KIND_WORDS[kind];
      return h('label', {}, input, h('span', {}, h('strong', { t: name }), h('span', { class: 'hint', t: hint })));
    });
    return h('fieldset', { class: 'kinds' }, h('legend', { t: 'monitor.kind' }), ...options);
  }

  /** @param {Field} field @param {boolean} isAdmin */
  #field({ name, label, hint, unit, min, max, options }, isAdmin) {
    const id = `endpoint-${name}`;
    const wrong = h('p', { class: 'hint wrong', id: `${id}-wrong`, role: 'alert' });
    const described = `${hint ? `${id}-hint ` : ''}${id}-wrong`;
    const attributes = { id, name, 'aria-describedby': described, autocomplete: 'off', spellcheck: 'false' };
    const isNumber = unit !== undefined || min !== undefined;
    const input = options
      ? h('select', attributes, ...options.map((value) => h('option', { value, disabled: value === 'POST' && !isAdmin }, value)))
      : h('input', { ...attributes, type: isNumber ? 'number' : 'text', min, max, step: isNumber ? 'any' : null, inputmode: isNumber ? 'decimal' : null });
    input.value = this.values[name];
    const sized = unit ? h('div', { class: 'united' }, input, h('span', { class: 'hint' }, unit === 's' ? t('monitor.seconds') : 'ms')) : input;
    const row = h('div', { class: `field ${name}` }, h('label', { for: id, t: label }), sized, hint ? h('p', { class: 'hint', id: `${id}-hint`, t: hint }) : null, wrong);
    this.#asked.set(name, { row, wrong, read: () => readIn(input), input });
    return row;
  }

  #showKind() {
    const { kind } = this.values;
    const shown = new Set(fieldsOf(kind).map(({ name }) => name));
    for (const [name, { row }] of this.#asked) row.hidden = name === 'headers' ? kind !== 'http' : !shown.has(name);
    const url = this.#asked.get('url')?.input;
    if (url) url.setAttribute('placeholder', kind === 'tcp' ? 'tcp://db.example.org:5432' : 'https://example.org/health');
    this.tryIt.hidden = kind === 'push';
    this.outcome.replaceChildren();
    this.#showUsual();
  }

  /** What an empty field means depends on others. */
  #showUsual() {
    this.#readValues();
    for (const field of FIELDS) if (field.usual) this.#asked.get(field.name)?.input?.setAttribute('placeholder', usualOf(field, this.values));
  }

  #readValues() {
    for (const [name, { read }] of this.#asked) if (name !== 'headers') this.values[name] = read();
    this.values.headers = this.headers.read();
  }

  /** @returns {Record<string, unknown> | undefined} undefined: something is wrong, and it is said where */
  #read(whole = false) {
    this.#readValues();
    const faults = faultsOf(this.values);
    for (const [name, key] of Object.entries(faults)) this.#mark(name, t(key));
    if (Object.keys(faults).length) return void this.#toFirst();
    return whole ? bodyOf(this.values) : bodyOf(this.values, this.endpoint);
  }

  /** @param {string} name @param {string} words */
  #mark(name, words) {
    const asked = this.#asked.get(name);
    if (!asked || asked.row.hidden) return void (this.general.textContent = words);
    asked.wrong.textContent = words;
    asked.input?.setAttribute('aria-invalid', 'true');
    if (this.advanced.contains(asked.row)) this.advanced.open = true;
  }

  #toFirst() {
    const [first] = [...this.#asked.values()].filter(({ wrong }) => wrong.textContent);
    (first?.input ?? first?.row)?.focus();
  }

  #clear() {
    this.general.textContent = '';
    for (const { wrong, input } of this.#asked.values()) {
      wrong.textContent = '';
      input?.removeAttribute('aria-invalid');
    }
  }

  /** @param {unknown} error */
  #refused(error) {
    if (!(error instanceof Refused)) return toastError(error);
    const { field, reason } = error.details;
    const [name] = String(field ?? '').split('.');
    if (error.code === 'BAD_VALUE') this.#mark(name, String(reason ?? errorWords(error.code)));
    else this.general.textContent = errorWords(error.code);
    this.#toFirst();
  }

  async #try() {
    this.#clear();
    const body = this.#read(true);
    if (!body) return;
    this.tryIt.disabled = true;
    this.outcome.replaceChildren(h('p', { class: 'hint', t: 'monitor.trying' }));
    try {
      const { shown, lacks } = withoutSecrets(body);
      const found = await this.api('POST', 'endpoints/test', shown);
      this.outcome.replaceChildren(...outcomeOf(found), lacks ? h('p', { class: 'hint', t: 'monitor.triedWithout' }) : '');
    } catch (error) {
      this.outcome.replaceChildren();
      this.#refused(error);
    }
    this.tryIt.disabled = false;
    this.outcome.scrollIntoView({ block: 'nearest' });
  }

  async #submit() {
    this.#clear();
    const body = this.#read();
    if (!body) return;
    this.save.disabled = true;
    try {
      if (!this.endpoint) this.#created(await this.api('POST', 'endpoints', body));
      else if (Object.keys(body).length) await this.api('PATCH', pathOf(this.endpoint.endpointId), body);
      if (this.endpoint) this.box.close();
    } catch (error) {
      this.#refused(error);
    }
    this.save.disabled = false;
  }

  /** A job has to be told its address. @param {any} created */
  #created({ name, pushPath }) {
    this.box.close();
    if (!pushPath) return;
    const done = h('button', { type: 'button', class: 'primary', t: 'monitor.done', onclick: () => box.close() });
    const box = openBox(t('monitor.pushReady', { name }), pushCard(pushPath), h('div', { class: 'buttons' }, done));
    box.classList.add('wide');
  }
}

/** What is no number reads as empty there, but was not meant to be. @param {HTMLInputElement | HTMLSelectElement} input */
function readIn(input) {
  return input.validity.badInput ? '?' : input.value;
}

/** A secret that is shown as dots only the server knows, and it does not use it for a try. @param {any} body */
function withoutSecrets({ headers = {}, ...body }) {
  const known = Object.entries(headers).filter(([, value]) => value !== SECRET);
  const shown = known.length ? { ...body, headers: Object.fromEntries(known) } : body;
  return { shown, lacks: known.length < Object.keys(headers).length };
}

/** Where a job says that it has run. @param {string} path */
function pushCard(path) {
  const address = new URL(path, location.origin).href;
  const input = h('input', { readonly: true, value: address, tLabel: 'monitor.pushAddress' });
  input.addEventListener('focus', () => input.select());
  const copy = button('copy', 'monitor.copy', () => void copyText(address).then(() => toast('success', 'monitor.copiedAddress')));
  const hint = h('p', { class: 'hint', t: 'monitor.pushAddressHint' });
  return h('div', { class: 'push-address' }, hint, h('div', { class: 'joined' }, input, copy), h('code', {}, `curl -X POST '${address}?status=up'`));
}

/** @param {any} found what a try came to */
function outcomeOf({ status, responseTime, statusCode, reason, errorMessage, phases, certificateExpiresAt }) {
  const failed = status === 'DOWN' ? why({ reason: String(reason), errorMessage: String(errorMessage) }) : '';
  const words = [failed, statusCode ? `HTTP ${statusCode}` : '', responseTime === null ? '' : took(responseTime)].filter(Boolean).join(' · ');
  const head = h('p', {}, badge(status === 'DOWN' || status === 'DEGRADED' ? status : 'UP'), h('span', {}, words));
  const plain = failed && errorMessage ? h('p', { class: 'hint' }, String(errorMessage)) : null;
  const days = certificateExpiresAt && Math.floor((Date.parse(certificateExpiresAt) - Date.now()) / 86_400_000);
  const certificate = typeof days === 'number' ? h('p', { class: 'hint' }, t('monitor.certificateDays', { n: days })) : null;
  return [head, plain, phasesBar(phases), certificate].filter((each) => each !== null);
}

/** Names and values; a value that is a secret is shown as dots, and kept unless somebody writes over it. */
class HeaderRows {
  list = h('div', { class: 'header-rows' });

  /** @param {[string, string][]} headers */
  constructor(headers) {
    const add = button('plus', 'monitor.addHeader', () => this.#add('', '').focus(), 'small');
    this.element = h('div', {}, this.list, add);
    for (const [name, value] of headers) this.#add(name, value);
  }

  /** @param {string} name @param {string} value */
  #add(name, value) {
    const named = h('input', { tLabel: 'monitor.headerName', tPlaceholder: 'monitor.headerName', value: name, autocomplete: 'off', spellcheck: 'false' });
    const valued = h('input', { tLabel: 'monitor.headerValue', tPlaceholder: 'monitor.headerValue', value, autocomplete: 'off', spellcheck: 'false' });
    valued.addEventListener('focus', () => valued.value === SECRET && valued.select());
    const row = h('div', { class: 'header-row' }, named, valued);
    const words = /** @type {const} */ ({ tLabel: 'monitor.removeHeader', tTitle: 'monitor.removeHeader' });
    row.append(h('button', { type: 'button', class: 'quiet', ...words, onclick: () => row.remove() }, icon('cross')));
    this.list.append(row);
    return named;
  }

  /** @returns {[string, string][]} */
  read() {
    return [...this.list.children].map((row) => {
      const [name, value] = row.querySelectorAll('input');
      return [name.value, value.value];
    });
  }
}
