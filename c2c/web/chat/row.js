/**
 * One message as a list item.
 * @module
 */

import { clockTime, dayName, errorWords, fullTime, language, t } from '../i18n/index.js';
import { avatar, h, icon } from '../shell/dom.js';
import { continues, startsDay } from './timeline.js';

/** @typedef {import('./timeline.js').Message} Message */
/**
 * @typedef {object} Place how a row depends on what is around it
 * @property {Message | undefined} previous
 * @property {boolean} firstUnread
 */
/** @typedef {{retry: (id: string) => void, discard: (id: string) => void}} RowActions */

/**
 * Everything a row's look depends on but the text, which never changes.
 * @param {Message} message
 * @param {Place} place
 */
export function lookOf(message, { previous, firstUnread }) {
  const day = startsDay(previous, message);
  return `${message.state} ${message.code} ${day} ${firstUnread} ${continues(previous, message)} ${language()}`;
}

/**
 * @param {HTMLElement} row filled anew
 * @param {Message} message
 * @param {Place} place
 * @param {RowActions} actions
 */
export function fillRow(row, message, { previous, firstUnread }, actions) {
  const head = firstUnread || !continues(previous, message);
  row.className = `row${head ? ' head' : ''}${message.state ? ` ${message.state}` : ''}`;
  row.replaceChildren(
    ...(startsDay(previous, message) ? [line('day', dayName(message.at))] : []),
    ...(firstUnread ? [line('unread', t('chat.unread'))] : []),
    h(
      'div',
      { class: 'message' },
      head ? avatar(message.from, message.name) : h('span', { class: 'unseen' }, message.name),
      head ? h('div', { class: 'author' }, h('strong', {}, message.name), time(message)) : time(message),
      h('div', { class: 'text' }, message.text),
      message.state && delivery(message, actions),
    ),
  );
}

/**
 * @param {string} name
 * @param {string} text
 */
function line(name, text) {
  return h('div', { class: `line ${name}` }, h('span', {}, text));
}

/** @param {Message} message */
function time({ at }) {
  return h('time', { datetime: new Date(at).toISOString(), title: fullTime(at) }, clockTime(at));
}

/**
 * @param {Message} message
 * @param {RowActions} actions
 */
function delivery({ id = '', state, code }, { retry, discard }) {
  if (state === 'sending') return h('div', { class: 'delivery' }, icon('clock'), t('chat.sending'));
  return h(
    'div',
    { class: 'delivery' },
    icon('alert'),
    h('span', {}, `${t('chat.failed')} ${errorWords(code)}`),
    h('button', { type: 'button', class: 'small', onclick: () => retry(id) }, t('chat.retry')),
    h('button', { type: 'button', class: 'small', onclick: () => discard(id) }, t('chat.discard')),
  );
}
