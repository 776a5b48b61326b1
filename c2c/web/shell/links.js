/**
 * Addresses of rooms: making, reading and copying them.
 * @module
 */

import { find, h } from './dom.js';
import { toast } from './toasts.js';

const ROOM_ID = /^[\p{L}\p{M}\p{N}._@:-]{1,64}$/u;

/** @param {string} roomId */
export function roomAddress(roomId) {
  return `${location.origin}/chat/${encodeURIComponent(roomId)}`;
}

/**
 * The room that somebody means by an id or by a link. Of a link only the path counts, so one from another node, or
 * from before the server moved, leads to the room here and never to another site.
 * @param {string} text
 * @returns {string | undefined}
 */
export function roomIdFrom(text) {
  const [, fromLink] = /\/chat\/([^/?#\s]+)/.exec(text) ?? [];
  try {
    const id = decodeURIComponent(fromLink ?? text.trim()).normalize('NFC');
    return ROOM_ID.test(id) ? id : undefined;
  } catch {
    return undefined;
  }
}

/** @param {string} roomId */
export async function copyLink(roomId) {
  await copyText(roomAddress(roomId));
}

/** @param {string} address */
export async function copyText(address) {
  try {
    await navigator.clipboard.writeText(address);
    toast('success', 'copied');
  } catch {
    // Not a secure page, or not allowed: the old way, and if that is refused too, by hand.
    copyBySelection(address);
  }
}

/** @param {string} text */
function copyBySelection(text) {
  const focused = document.activeElement;
  const field = h('textarea', { class: 'unseen', readonly: true, 'aria-hidden': 'true', tabindex: -1 }, text);
  find(document, 'body', HTMLElement).append(field);
  field.select();
  const copied = document.execCommand('copy');
  field.remove();
  if (focused instanceof HTMLElement) focused.focus();
  if (copied) toast('success', 'copied');
  else prompt('', text);
}
