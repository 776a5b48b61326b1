/**
 * A table as a file, out and in. The server reads what spreadsheets write; here are only bytes.
 * @module
 */

import { errorWords, t } from '../i18n/index.js';
import { h, icon } from '../shell/dom.js';
import { authorization } from '../shell/identity.js';
import { toast, toastError } from '../shell/toasts.js';

/** @typedef {import('../shell/identity.js').Identity} Identity */

const RELEASE_MS = 60_000;

/** @param {string} roomId */
export function lineupsOf(roomId) {
  return `/api/rooms/${encodeURIComponent(roomId)}/lineups`;
}

/** @param {string} roomId @param {Identity} me */
export async function download(roomId, me) {
  try {
    const headers = { ...authorization(me), Accept: 'text/csv' };
    const answer = await fetch(lineupsOf(roomId), { headers });
    if (!answer.ok) return void toast('error', 'lineup.badFile', { reason: errorWords((await answer.json()).error?.code) });
    const href = URL.createObjectURL(await answer.blob());
    h('a', { href, download: `${roomId}.csv` }).click();
    setTimeout(() => URL.revokeObjectURL(href), RELEASE_MS);
  } catch (error) {
    toastError(Object.assign(new Error('offline'), { code: 'SERVICE_UNAVAILABLE', cause: error }));
  }
}

/**
 * A button that takes a file over.
 * @param {string} roomId
 * @param {Identity} me
 * @param {() => void} done
 */
export function importButton(roomId, me, done) {
  const input = h('input', { type: 'file', accept: '.csv,.json,text/csv,application/json', hidden: true, tLabel: 'lineup.import' });
  const words = h('span', { t: 'lineup.import' });
  const button = h('button', { type: 'button', tTitle: 'lineup.import', onclick: () => input.click() }, icon('up'), words);
  input.addEventListener('change', async () => {
    const [file] = input.files ?? [];
    if (!file) return;
    button.disabled = true;
    words.textContent = t('lineup.importing', { name: file.name });
    if (await upload(roomId, me, file)) done();
    button.disabled = false;
    words.textContent = t('lineup.import');
    input.value = '';
  });
  return h('span', { class: 'import' }, button, input);
}

/** @param {string} roomId @param {Identity} me @param {File} file @returns {Promise<boolean>} whether it was taken */
async function upload(roomId, me, file) {
  const type = /\.json$/i.test(file.name) ? 'application/json' : 'text/csv';
  try {
    const headers = { ...authorization(me), 'Content-Type': type };
    const answer = await fetch(lineupsOf(roomId), { method: 'PUT', headers, body: file });
    const { data, error } = await answer.json();
    if (answer.ok) toast('success', 'lineup.imported', { added: data.added, changed: data.changed });
    else sayBad(error);
    return answer.ok;
  } catch {
    toastError(Object.assign(new Error('offline'), { code: 'SERVICE_UNAVAILABLE' }));
    return false;
  }
}

/** @param {{code: string, details?: {line?: number, reason?: string}}} error */
function sayBad({ code, details: { line, reason = errorWords(code) } = {} }) {
  const bare = reason.replace(/\.$/, '');
  if (line !== undefined) toast('error', 'lineup.badLine', { line, reason: bare });
  else toast('error', 'lineup.badFile', { reason: bare });
}
