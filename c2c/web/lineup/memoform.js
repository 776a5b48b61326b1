/**
 * A form for one memo: its text and its colour.
 * @module
 */

import { t } from '../i18n/index.js';
import { h, icon } from '../shell/dom.js';
import { COLOR } from './overlay.js';

/** @typedef {import('../i18n/index.js').Key} Key */
/**
 * @typedef {object} FormActions
 * @property {(memo: string, color: string) => void} save
 * @property {(memo: string, color: string) => void} typed
 * @property {() => void} [cancel]
 */
/**
 * @typedef {object} MemoForm
 * @property {HTMLElement} element
 * @property {() => void} focus
 * @property {(why: Key, save: Key, theirs?: string) => void} warn says what became of the memo meanwhile
 */

const LENGTH_MAX = 2_000;
const LEFT_SHOWN = 200;
/** @type {[string, Key][]} */
const COLORS = [
  [COLOR, 'lineup.yellow'],
  ['#ffc9c4', 'lineup.red'],
  ['#c8ecd2', 'lineup.green'],
  ['#c9defc', 'lineup.blue'],
  ['#e0d1f7', 'lineup.violet'],
  ['#dfe3e8', 'lineup.grey'],
];

let count = 0;

/**
 * @param {Key} label
 * @param {Key} save
 * @param {{memo?: string, color?: string}} given
 * @param {FormActions} actions
 * @returns {MemoForm}
 */
export function memoForm(label, save, { memo = '', color = COLOR }, actions) {
  const id = `memo-${++count}`;
  const field = h('textarea', { id, rows: 3 });
  field.value = memo;
  const left = h('p', { class: 'hint left', 'aria-live': 'polite' });
  const submit = h('button', { type: 'submit', class: 'small primary', t: save });
  const cancel = actions.cancel && h('button', { type: 'button', class: 'small', t: 'cancel', onclick: actions.cancel });
  const warning = h('div', { class: 'why', role: 'status' });
  const colors = h('fieldset', { class: 'colors' }, h('legend', { class: 'unseen', t: 'lineup.color' }), ...swatches(id, color));
  const form = h('form', { class: 'memo-form' }, warning, h('label', { for: id, t: label }), field, left);
  form.append(h('div', { class: 'memo-tools' }, colors, cancel ?? '', submit));
  const chosen = () => form.querySelector('input:checked')?.getAttribute('value') ?? COLOR;
  function show() {
    const over = [...field.value.trim()].length - LENGTH_MAX;
    submit.disabled = over > 0 || field.value.trim() === '';
    field.setAttribute('aria-invalid', String(over > 0));
    left.textContent = -over < LEFT_SHOWN ? t('lineup.memoLeft', { n: -over }) : '';
  }
  form.addEventListener('input', () => {
    show();
    actions.typed(field.value, chosen());
  });
  form.addEventListener('keydown', (event) => {
    if (event.key === 'Enter' && (event.ctrlKey || event.metaKey) && !event.isComposing) form.requestSubmit();
    if (event.key !== 'Escape' || !actions.cancel) return;
    event.preventDefault(); // of the field, not of the box
    event.stopPropagation();
    actions.cancel();
  });
  form.addEventListener('submit', (event) => {
    event.preventDefault();
    if (!submit.disabled) actions.save(field.value.trim(), chosen());
  });
  show();
  return { element: form, focus: () => field.focus(), warn };

  /** @type {MemoForm['warn']} */
  function warn(why, saves, theirs) {
    const said = h('p', {}, icon('alert'), h('span', { t: why }));
    if (warning.dataset.why === why + (theirs ?? '')) return;
    warning.dataset.why = why + (theirs ?? '');
    warning.replaceChildren(said, theirs === undefined ? '' : h('p', { class: 'memo-text' }, theirs));
    submit.replaceChildren(t(saves));
    submit.dataset.t = saves;
  }
}

/** @param {string} name @param {string} chosen */
function swatches(name, chosen) {
  /** @type {[string, Key | undefined][]} */
  const all = COLORS.some(([color]) => color === chosen) ? COLORS : [...COLORS, [chosen, undefined]];
  return all.map(([color, words]) => {
    const radio = h('input', { type: 'radio', name: `${name}-color`, value: color, checked: color === chosen });
    radio.setAttribute('aria-label', words ? t(words) : color);
    if (words) radio.dataset.tLabel = words;
    radio.style.backgroundColor = color;
    return radio;
  });
}
