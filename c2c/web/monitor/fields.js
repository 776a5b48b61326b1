/**
 * What the form asks about an endpoint, what is wrong with it, and what of it goes to the server. No DOM.
 * @module
 */

/** @typedef {'http' | 'tcp' | 'push'} Kind */
/** What stands in the form, as text; a push has no url. @typedef {{kind: Kind, paused: boolean, headers: [string, string][], [name: string]: any}} Values */
/** @typedef {import('../i18n/index.js').Key} Key */
/** `usual`: what the server takes where nothing is said. @typedef {{name: string, label: Key, hint?: Key, kinds: readonly Kind[], unit?: 's' | 'ms', value: string, usual?: string | ((values: Values) => string), min?: number, max?: number, options?: readonly string[], advanced?: boolean}} Field */

export const SECRET = '•••';
/** @type {readonly Kind[]} */
export const KINDS = ['http', 'tcp', 'push'];
const CHECKED = /** @type {const} */ (['http', 'tcp']);
const HTTP = /** @type {const} */ (['http']);

/** @type {readonly Field[]} */
export const FIELDS = [
  { name: 'name', label: 'monitor.name', kinds: KINDS, value: '' },
  { name: 'url', label: 'monitor.url', kinds: CHECKED, value: '' },
  { name: 'interval', label: 'monitor.interval', kinds: KINDS, unit: 's', value: '60', min: 5, max: 86_400 },
  { name: 'grace', label: 'monitor.grace', hint: 'monitor.graceHint', kinds: ['push'], unit: 's', value: '30', usual: '30', min: 0, max: 86_400 },
  { name: 'method', label: 'monitor.method', kinds: HTTP, value: 'GET', options: ['GET', 'HEAD', 'POST'], advanced: true },
  { name: 'expectedStatus', label: 'monitor.expected', hint: 'monitor.expectedHint', kinds: HTTP, value: '200-299', usual: '200-299', advanced: true },
  { name: 'keyword', label: 'monitor.keyword', hint: 'monitor.keywordHint', kinds: HTTP, value: '', advanced: true },
  { name: 'timeout', label: 'monitor.timeout', kinds: CHECKED, unit: 's', value: '', usual: usualTimeout, min: 0.5, max: 120, advanced: true },
  { name: 'degradedMs', label: 'monitor.degraded', hint: 'monitor.degradedHint', kinds: CHECKED, unit: 'ms', value: '', usual: usualDegraded, min: 1, max: 120_000, advanced: true },
  { name: 'failAfter', label: 'monitor.failAfter', kinds: KINDS, value: '', usual: ({ kind }) => (kind === 'push' ? '1' : '3'), min: 1, max: 20, advanced: true },
  { name: 'recoverAfter', label: 'monitor.recoverAfter', kinds: KINDS, value: '', usual: '1', min: 1, max: 20, advanced: true },
  { name: 'retryInterval', label: 'monitor.retry', hint: 'monitor.retryHint', kinds: CHECKED, unit: 's', value: '', usual: '10', min: 1, max: 86_400, advanced: true },
];

/** @param {Values} values */
function usualTimeout({ interval }) {
  return String(Math.min(10, ((Number(interval) || 60) * 4) / 5));
}

/** @param {Values} values */
function usualDegraded(values) {
  return String(Math.round(500 * Number(values.timeout || usualTimeout(values))));
}

/** What an empty field means, as text; '': nothing. @param {Field} field @param {Values} values */
export function usualOf({ usual = '' }, values) {
  return typeof usual === 'function' ? usual(values) : usual;
}

/** With what the server would take for what is empty. @param {Values} values @returns {Values} */
function withUsual(values) {
  const filled = fieldsOf(values.kind).map((field) => [field.name, values[field.name].trim() ? values[field.name] : usualOf(field, values)]);
  return { ...values, ...Object.fromEntries(filled) };
}

/** @param {any} [endpoint] as the server tells of it; none: a new one @returns {Values} */
export function valuesOf(endpoint) {
  const kind = KINDS.includes(endpoint?.kind) ? endpoint.kind : 'http';
  /** @type {Values} */
  const values = { kind, paused: endpoint?.paused === true, headers: Object.entries(endpoint?.headers ?? {}) };
  for (const { name, value } of FIELDS) values[name] = String(endpoint?.[name] ?? (endpoint ? '' : value));
  return values;
}

/** @param {Kind} kind */
export function fieldsOf(kind) {
  return FIELDS.filter(({ kinds }) => kinds.includes(kind));
}

/**
 * What can be seen to be wrong without asking the server: a key for each field.
 * @param {Values} values
 * @returns {Record<string, Key>}
 */
export function faultsOf(values) {
  /** @type {Record<string, Key>} */
  const faults = {};
  const { timeout } = withUsual(values);
  for (const { name, unit, min, max } of fieldsOf(values.kind)) {
    const text = values[name].trim();
    if (!text && (name === 'name' || name === 'url' || name === 'interval')) faults[name] = 'monitor.missing';
    const isNumber = unit || min !== undefined;
    if (text && isNumber && !(Number(text) >= (min ?? 0) && Number(text) <= (max ?? Infinity))) faults[name] = 'monitor.outOfRange';
    if (text && name === 'url' && !isAddress(text, values.kind)) faults.url = values.kind === 'tcp' ? 'monitor.badTcp' : 'monitor.badUrl';
    if (name === 'timeout' && text && Number(text) >= (Number(values.interval) || Infinity)) faults.timeout ??= 'monitor.badTimeout';
    if (name === 'degradedMs' && text && Number(text) >= 1000 * Number(timeout)) faults.degradedMs ??= 'monitor.badDegraded';
  }
  if (values.kind === 'http' && values.headers.some(([name, value]) => !name.trim() && value.trim())) faults.headers = 'monitor.badHeader';
  return faults;
}

/** @param {string} text @param {Kind} kind */
function isAddress(text, kind) {
  if (kind === 'tcp') return /^tcp:\/\/[^\s/]+:\d{1,5}$/.test(text);
  return /^https?:\/\/[^\s/]+/i.test(text);
}

/**
 * The body of a request: of a new endpoint what is not empty, of a known one what has been changed. The server keeps what
 * it is not told of a known one: what has been emptied is told as what that means.
 * @param {Values} values
 * @param {any} [endpoint] as it was
 * @returns {Record<string, unknown>}
 */
export function bodyOf(values, endpoint) {
  const before = endpoint && valuesOf(endpoint);
  const meant = before ? withUsual(values) : values;
  /** @type {Record<string, unknown>} */
  const body = endpoint ? {} : { kind: values.kind };
  for (const { name, unit, min, value } of fieldsOf(values.kind)) {
    const text = name === 'keyword' ? meant[name] : meant[name].trim();
    if (before ? [text, values[name]].includes(before[name]) : !text || (text === value && min === undefined)) continue;
    body[name] = unit || min !== undefined ? Number(text) : text;
  }
  const headers = Object.fromEntries(values.headers.flatMap(([name, value]) => (name.trim() ? [[name.trim(), value]] : [])));
  const changed = JSON.stringify(headers) !== JSON.stringify(endpoint?.headers ?? {});
  if (values.kind === 'http' && changed) body.headers = headers;
  if (values.paused !== (before?.paused ?? false)) body.paused = values.paused;
  return body;
}
