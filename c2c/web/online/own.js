/**
 * The card about oneself: one's status, and whether to be told of others.
 * @module
 */

import { h } from '../shell/dom.js';
import { noticesWanted, wantNotices } from '../shell/presence.js';
import { StatusSwitch } from '../shell/status.js';

export function ownCard() {
  const box = h('input', { type: 'checkbox', role: 'switch', 'aria-describedby': 'notices-hint' });
  box.checked = noticesWanted();
  box.addEventListener('change', () => wantNotices(box.checked));
  const notices = h('label', { class: 'switch' }, h('span', { t: 'notice.want' }), box);
  const hint = h('p', { id: 'notices-hint', class: 'hint', t: 'notice.hint' });
  return h('div', { class: 'card' }, new StatusSwitch(), notices, hint);
}
