/**
 * Boxes in front of the page, and the question before something is deleted.
 * @module
 */

import { t } from '../i18n/index.js';
import { find, h, icon } from '../shell/dom.js';
import { loadStyle } from './styles.js';

/** @typedef {import('../shell/dom.js').Child} Child */

/**
 * A box with a title and a way to close it; it goes when it is closed.
 * @param {string} title
 * @param {...Child} content
 */
export function openBox(title, ...content) {
  const heading = h('h2', { id: 'box-title' }, title);
  const dialog = h('dialog', { class: 'box', 'aria-labelledby': 'box-title' });
  const close = h('button', { type: 'button', class: 'quiet close', tLabel: 'close', onclick: () => dialog.close() }, icon('cross'));
  dialog.append(heading, close, ...content.filter((each) => each instanceof Node));
  find(document, 'body', HTMLElement).append(dialog);
  dialog.addEventListener('close', () => dialog.remove());
  dialog.showModal();
  return dialog;
}

/**
 * @param {string} name of what is to be deleted
 * @param {string} hint what follows from it
 * @returns {Promise<boolean>}
 */
export async function deletionConfirmed(name, hint) {
  await loadStyle('forms.css');
  return new Promise((resolve) => {
    const cancel = h('button', { type: 'button', t: 'cancel', autofocus: true, onclick: () => dialog.close() });
    const go = h('button', { type: 'button', class: 'danger', t: 'monitor.delete', onclick: () => dialog.close('yes') });
    const buttons = h('div', { class: 'buttons' }, cancel, go);
    const dialog = openBox(t('monitor.deleteSure', { name }), h('p', { class: 'hint' }, hint), buttons);
    dialog.addEventListener('close', () => resolve(dialog.returnValue === 'yes'));
  });
}
