/**
 * Where one writes. Enter sends, Shift+Enter breaks the line, and an input method may compose in peace.
 *
 * While Hangul is composed, Enter first ends the syllable, and browsers tell it differently: Chrome sends a keydown with
 * `isComposing`, Safari ends the composition first and sends one with keyCode 229; either may follow it by a clean
 * keydown, by a line break, or by nothing. So a keydown that belongs to an input method is left alone, a clean one
 * sends, and a line break that arrives without one (also from a phone's keyboard) sends instead of breaking the line,
 * after the composition has ended and its last syllable stands in the field.
 * @module
 */

import { onLanguage, t } from '../i18n/index.js';
import { find, h, icon } from '../shell/dom.js';

export const TEXT_LIMIT = 4_000;
const COUNTED_FROM = 3_600;
const TYPING_EVERY_MS = 3_000;
const IME_KEY = 229;
/** An input method that had its Enter and still composes then is made to end it. */
const PATIENCE_MS = 300;

/**
 * @typedef {object} ComposerActions
 * @property {(text: string) => void} send
 * @property {(typing: boolean) => void} typing
 * @property {(text: string) => void} draft
 */

export class Composer {
  /**
   * @param {HTMLFormElement} form
   * @param {ComposerActions} actions
   */
  constructor(form, actions) {
    this.form = form;
    this.actions = actions;
    this.composing = false;
    this.sendsAfterComposing = false;
    this.shift = false;
    this.typingSaidAt = -Infinity;
    this.field = h('textarea', { id: 'text', rows: 1, tLabel: 'chat.write', tPlaceholder: 'chat.write', enterkeyhint: 'send' });
    this.field.setAttribute('aria-describedby', 'text-left');
    this.grow = h('div', { class: 'grow' }, this.field);
    this.left = h('span', { id: 'text-left', class: 'left', role: 'status' });
    this.button = h('button', { type: 'submit', class: 'primary round', tLabel: 'chat.send', tTitle: 'chat.send' }, icon('send'));
    form.append(this.grow, this.left, this.button);
    this.listen();
    this.changed();
    onLanguage(() => this.changed());
  }

  listen() {
    const { field } = this;
    field.addEventListener('keydown', (event) => this.keydown(event));
    field.addEventListener('beforeinput', (event) => this.beforeInput(event));
    field.addEventListener('compositionstart', () => (this.composing = true));
    field.addEventListener('compositionend', () => this.composed());
    field.addEventListener('input', () => this.edited());
    this.form.addEventListener('submit', (event) => {
      event.preventDefault();
      this.send();
    });
  }

  get text() {
    return this.field.value;
  }

  /** @param {string} text */
  set text(text) {
    this.field.value = text;
    this.changed();
  }

  focus() {
    this.field.focus();
  }

  // Keys

  /** @param {KeyboardEvent} event */
  keydown(event) {
    this.shift = event.shiftKey;
    if (event.key !== 'Enter' || event.shiftKey) return;
    if (event.isComposing || event.keyCode === IME_KEY) return;
    event.preventDefault();
    this.send();
  }

  /** @param {InputEvent} event */
  beforeInput(event) {
    const breaksLine = event.inputType === 'insertLineBreak' || event.inputType === 'insertParagraph';
    if (!breaksLine || this.shift) return;
    event.preventDefault();
    this.send();
  }

  composed() {
    this.composing = false;
    if (!this.sendsAfterComposing) return;
    this.sendsAfterComposing = false;
    // Some browsers write the last syllable right after this event.
    setTimeout(() => this.send());
  }

  sendLater() {
    this.sendsAfterComposing = true;
    setTimeout(() => {
      if (!this.sendsAfterComposing) return;
      this.field.blur();
      this.focus();
    }, PATIENCE_MS);
  }

  // Text

  edited() {
    this.changed();
    this.actions.draft(this.text);
    const now = performance.now();
    if (!this.text.trim()) this.stopTyping();
    else if (now - this.typingSaidAt >= TYPING_EVERY_MS) {
      this.typingSaidAt = now;
      this.actions.typing(true);
    }
  }

  stopTyping() {
    if (this.typingSaidAt === -Infinity) return;
    this.typingSaidAt = -Infinity;
    this.actions.typing(false);
  }

  changed() {
    // The field's twin in the stylesheet has the same text and gives both their height.
    this.grow.dataset.text = `${this.text}\n`;
    const length = [...this.text].length;
    const left = TEXT_LIMIT - length;
    this.left.textContent = length < COUNTED_FROM ? '' : t('chat.left', { n: left });
    this.left.classList.toggle('wrong', left < 0);
    this.button.disabled = left < 0 || !this.text.trim();
  }

  send() {
    if (this.composing) return this.sendLater();
    if (this.button.disabled) return;
    const text = this.text.replace(/^\s*\n/, '').trimEnd();
    this.text = '';
    this.actions.draft('');
    this.stopTyping();
    this.actions.send(text);
    this.focus();
  }
}

/**
 * @param {ParentNode} root
 * @param {ComposerActions} actions
 */
export function composerIn(root, actions) {
  return new Composer(find(root, 'form.composer', HTMLFormElement), actions);
}
