/**
 * What the server tells of endpoints, incidents and results, as the pages use it. Anybody with redis-cli can publish, so
 * what lacks is empty and what is wrong is left out. No DOM.
 * @module
 */

/** @typedef {'DOWN' | 'DEGRADED' | 'UNKNOWN' | 'UP'} Status */
/**
 * Times in ms since 1970, 0: never; `interval` in s; `sought`: what a search looks into.
 * @typedef {{endpointId: string, name: string, kind: string, url: string, status: Status, since: number,
 *   checkedAt: number, responseTime: number | null, interval: number, paused: boolean, failureCount: number,
 *   failAfter: number, errorMessage: string, reason: string, incidentId: string, maintenance: boolean,
 *   sought: string}} Endpoint
 */
/** @typedef {{userId: string, username: string, note: string, at: string}} Acknowledged */
/**
 * @typedef {{incidentId: string, endpointId: string, endpointName: string, startedAt: string, resolvedAt: string | null,
 *   duration: number | null, failureCount: number, errorMessage: string, reason: string, reopened: number,
 *   acknowledged: Acknowledged | null}} Incident
 */
/** `at`: ms since 1970. @typedef {{at: number, status: Status, responseTime: number | null, statusCode: number | null, reason: string}} Result */

/** The worst first. @type {readonly Status[]} */
export const STATUSES = ['DOWN', 'DEGRADED', 'UNKNOWN', 'UP'];
/** The kind of what c2c watches of itself. */
export const BUILTIN = 'builtin';
/** Told of an endpoint only where it is another number. */
const FAIL_AFTER = 3;
/** So many results a row shows, and the server tells. */
export const BARS = 30;

/** @param {string} words */
export function soughtIn(words) {
  return words.normalize('NFC').toLowerCase().trim();
}

/** What has no id is left out. @param {unknown} list @param {string} id @returns {any[]} */
export function listOf(list, id) {
  return Array.isArray(list) ? list.filter((each) => typeof each?.[id] === 'string' && each[id]) : [];
}

/** @param {any} summary @returns {Endpoint} */
export function endpointOf(summary) {
  const { endpointId, name, kind, url, status, paused, incidentId } = summary;
  const shown = typeof name === 'string' && name ? name : endpointId;
  const address = typeof url === 'string' ? url : '';
  return {
    endpointId,
    name: shown,
    kind: String(kind ?? 'http'),
    url: address,
    status: STATUSES.includes(status) ? status : 'UNKNOWN',
    since: Date.parse(summary.since) || 0,
    checkedAt: Date.parse(summary.checkedAt) || 0,
    responseTime: numberOrNull(summary.responseTime),
    interval: Number(summary.interval) || 60,
    paused: paused === true,
    failureCount: Number(summary.failureCount) || 0,
    failAfter: Number(summary.failAfter) || FAIL_AFTER,
    errorMessage: String(summary.errorMessage ?? ''),
    reason: String(summary.reason ?? ''),
    incidentId: typeof incidentId === 'string' ? incidentId : '',
    maintenance: summary.maintenance === true,
    sought: soughtIn(`${shown} ${address}`),
  };
}

/** @param {any} incident as an event or an answer tells of it @returns {Incident} */
export function incidentOf({ incidentId, endpointId, endpointName, startedAt, resolvedAt, duration, ...more }) {
  return {
    incidentId,
    endpointId: String(endpointId ?? ''),
    endpointName: String(endpointName ?? endpointId ?? ''),
    startedAt: String(startedAt ?? ''),
    resolvedAt: typeof resolvedAt === 'string' ? resolvedAt : null,
    duration: numberOrNull(duration),
    failureCount: Number(more.failureCount) || 0,
    errorMessage: String(more.errorMessage ?? ''),
    reason: String(more.reason ?? ''),
    reopened: Number(more.reopened) || 0,
    acknowledged: more.acknowledged ? acknowledgedOf(more.acknowledged) : null,
  };
}

/** @param {any} told @returns {Acknowledged} */
export function acknowledgedOf({ userId, username, note, at, acknowledgedAt }) {
  const who = String(userId ?? '?');
  return { userId: who, username: String(username || who), note: String(note ?? ''), at: String(at ?? acknowledgedAt ?? '') };
}

/** @param {unknown} value */
export function numberOrNull(value) {
  return typeof value === 'number' && Number.isFinite(value) ? value : null;
}

/** @param {any} told @returns {Result | undefined} */
export function resultOf({ at, status, responseTime, statusCode, reason }) {
  const time = Date.parse(at);
  if (Number.isNaN(time)) return undefined;
  return {
    at: time,
    status: ['UP', 'DOWN', 'DEGRADED'].includes(status) ? status : 'UNKNOWN',
    responseTime: typeof responseTime === 'number' ? responseTime : null,
    statusCode: typeof statusCode === 'number' ? statusCode : null,
    reason: typeof reason === 'string' ? reason : '',
  };
}

/** Each slot once, the later word about it, oldest first. @param {Result[]} results @param {Result[]} later @param {number} [most] */
export function merged(results, later, most = BARS) {
  const last = results.at(-1)?.at ?? -Infinity;
  if (later.every(({ at }) => at > last) && later.length < 2) return [...results, ...later].slice(-most);
  const bySlot = new Map([...results, ...later].map((result) => [result.at, result]));
  return [...bySlot.values()].sort((a, b) => a.at - b.at).slice(-most);
}
