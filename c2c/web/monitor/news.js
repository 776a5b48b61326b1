/**
 * What happens to endpoints, as toasts: one colour for each kind of news. What the page has missed for longer is seen
 * on it, and not told as new.
 * @module
 */

import { t } from '../i18n/index.js';
import { toast } from '../shell/toasts.js';
import { duration } from './aging.js';
import { serverNow } from './api.js';
import { WORDS } from './signs.js';

/** @typedef {import('../i18n/index.js').Key} Key */
/** @typedef {import('../i18n/index.js').Values} Values */
/** @typedef {import('../shell/toasts.js').ToastKind} ToastKind */

const STAYS_MS = 3_000;
const OLD_MS = 60_000;
/** @type {Record<string, ToastKind>} */
const BY_STATUS = { UP: 'success', DEGRADED: 'warning', DOWN: 'error' };

/** @type {Record<string, (event: any) => [ToastKind, Key, Values]>} */
const NEWS = {
  'endpoint:status-changed': ({ endpointName, currentStatus }) => {
    const status = t(WORDS[/** @type {import('./signs.js').Look} */ (currentStatus)] ?? 'monitor.unknown');
    return [BY_STATUS[currentStatus] ?? 'info', 'monitor.news.status', { name: endpointName, a: status }];
  },
  'incident:started': ({ endpointName, failureCount }) => ['error', 'monitor.news.started', { name: endpointName, n: Number(failureCount) || 1 }],
  'incident:acknowledged': ({ endpointName, username, userId }) => [
    'info',
    'monitor.news.acknowledged',
    { name: endpointName, a: String(username || userId) },
  ],
  'incident:resolved': ({ endpointName, duration: seconds }) => [
    'success',
    'monitor.news.resolved',
    { name: endpointName, a: duration(Number(seconds) || 0) },
  ],
  'endpoint:created': ({ name }) => ['info', 'monitor.news.created', { name }],
  'endpoint:deleted': ({ name }) => ['info', 'monitor.news.deleted', { name }],
  'endpoint:certificate-expiring': ({ endpointName, daysLeft }) => [
    'warning',
    'monitor.news.certificate',
    { name: endpointName, n: Number(daysLeft) || 0 },
  ],
  'checker:suspect': ({ nodeId, suspect }) => (suspect
    ? ['warning', 'monitor.news.suspect', { name: String(nodeId) }]
    : ['success', 'monitor.news.trusted', { name: String(nodeId) }]),
};

/** @param {import('../c2c.js').RoomEvent} event */
export function tellNews(event) {
  const news = Object.hasOwn(NEWS, event.t) && NEWS[event.t](event);
  const age = serverNow() - Date.parse(event.timestamp ?? '');
  if (news && !(age > OLD_MS)) toast(...news, STAYS_MS);
}
