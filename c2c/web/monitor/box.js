/**
 * Boxes in front of the page, and the question before something is deleted.
 * @module
 */

import { t } from '../i18n/index.js';
import { find, h, icon } from '../shell/dom.js';

/** @typedef {import('../shell/dom.js').Child} Child */

/**
 * A box with a title and a way to close it; it goes when it is closed.
 * @param {string} title
 * @param {...Child} content
 */
export function openBox(title, ...content) {
  const heading = h('h2', { id: 'box-title' }, title);
  const close = h('button', { type: 'button', class: 'quiet close', tLabel: 'close', onclick: () => dialog.close() }, icon('cross'));
  const dialog = h('dialog', { class: 'box', 'aria-labelledby': 'box-title' }, heading, close, ...content);
  find(document, 'body', HTMLElement).append(dialog);
  dialog.addEventListener('close', () => dialog.remove());
  dialog.showModal();
  return dialog;
}

/**
 * @param {string} question
 * @param {string} hint
 * @param {import('../shell/dom.js').Key} yes
 * @returns {Promise<boolean>}
 */
export function confirmed(question, hint, yes) {
  return new Promise((resolve) => {
    const cancel = h('button', { type: 'button', t: 'cancel', autofocus: true, onclick: () => dialog.close() });
    const go = h('button', { type: 'button', class: 'danger', t: yes, onclick: () => dialog.close('yes') });
    const dialog = openBox(question, h('p', { class: 'hint' }, hint), h('div', { class: 'buttons' }, cancel, go));
    dialog.addEventListener('close', () => resolve(dialog.returnValue === 'yes'));
  });
}

/** @param {string} name of what is to be deleted @param {string} hint */
export function deletionConfirmed(name, hint) {
  return confirmed(t('monitor.deleteSure', { name }), hint, 'monitor.delete');
}
