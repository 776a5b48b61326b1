/**
 * All endpoints as the page knows them: put together from a snapshot, its further pages, and events. No DOM.
 *
 * Whether an event is older than the page that comes after it, nobody knows. But every change behind the snapshot has
 * an event: whatever one has named is right without the page.
 * @module
 */

import { acknowledgedOf, BUILTIN, endpointOf, incidentOf, listOf, numberOrNull, STATUSES } from './model.js';

/** @typedef {import('./model.js').Endpoint} Endpoint */
/** @typedef {import('./model.js').Incident} Incident */
/** @typedef {'all' | 'DOWN' | 'DEGRADED' | 'rest' | 'UP'} Filter `rest`: unknown or paused */
/** @typedef {{[name: string]: any}} Event */

/** @type {readonly Filter[]} */
export const FILTERS = ['all', 'DOWN', 'DEGRADED', 'rest', 'UP'];

export class Endpoints {
  /** @type {Map<string, Endpoint>} */
  all = new Map();
  /** @type {Map<string, Incident>} those that are open */
  incidents = new Map();
  /** @type {any[]} maintenance windows */
  windows = [];
  /** @type {Set<string>} nodes that see nearly everything fail */
  suspects = new Set();
  /** Whether all pages are there. */
  complete = false;
  /** Changes when something appears, goes, is named anew or has another status, which may move others. */
  order = 0;
  /** @type {Set<string>} what events have named, while pages are still to come */
  #named = new Set();
  #sorted = { key: '', ids: /** @type {string[]} */ ([]) };
  /** What the server counted, until we can do it ourselves. @type {Record<string, number> | undefined} */
  #counted;

  /** Begins anew. @param {any} state of a `joined` */
  replace({ endpoints, more, stats, incidents, windows, suspects }) {
    this.all.clear();
    this.#named.clear();
    this.#counted = stats;
    this.incidents = new Map(listOf(incidents, 'incidentId').map((each) => [each.incidentId, incidentOf(each)]));
    this.windows = listOf(windows, 'windowId');
    this.suspects = new Set(Array.isArray(suspects) ? suspects.map(String) : []);
    this.order++;
    this.page(endpoints, more === true);
  }

  /** @param {unknown} endpoints a page of the list @param {boolean} more whether there is another */
  page(endpoints, more) {
    for (const each of listOf(endpoints, 'endpointId')) if (!this.#named.has(each.endpointId)) this.#put(endpointOf(each));
    this.complete = !more;
    if (more) return;
    this.#named.clear();
    this.#counted = undefined;
  }

  /** Whether there are more than we shall have with a page that should be the last. @param {any} page @param {number} total */
  lacks(page, total) {
    const more = listOf(page, 'endpointId').filter(({ endpointId }) => !this.all.has(endpointId));
    return this.all.size + more.length < total;
  }

  /** @param {Event} event */
  heard(event) {
    const { t, endpointId, endpoint } = event;
    if (t === 'maintenance:changed') this.windows = listOf(event.windows, 'windowId');
    if (t === 'checker:suspect') this.#suspect(String(event.nodeId), event.suspect === true);
    if (typeof t !== 'string' || typeof endpointId !== 'string' || !endpointId) return;
    if (!this.complete && (endpoint || t === 'endpoint:deleted')) this.#named.add(endpointId);
    if (t === 'endpoint:deleted') this.#delete(endpointId);
    else if (endpoint?.endpointId === endpointId) this.#put(endpointOf(endpoint));
    else if (t === 'check:completed') this.#checked(endpointId, event);
    if (t.startsWith('incident:') && typeof event.incidentId === 'string') this.#incident(t, event);
  }

  /** @param {Endpoint} endpoint */
  #put(endpoint) {
    const { endpointId, name, status, paused } = endpoint;
    const former = this.all.get(endpointId);
    if (former?.name !== name || former.status !== status || former.paused !== paused) this.order++;
    this.all.set(endpointId, endpoint);
  }

  /** @param {string} endpointId */
  #delete(endpointId) {
    if (this.all.delete(endpointId)) this.order++;
    for (const [id, incident] of this.incidents) if (incident.endpointId === endpointId) this.incidents.delete(id);
  }

  /** A single failure does not change the status: it is counted until it is one too many. @param {string} endpointId @param {Event} event */
  #checked(endpointId, { status, responseTime, errorMessage, reason, checkedAt, maintenance }) {
    const endpoint = this.all.get(endpointId);
    if (!endpoint) return;
    const isGood = status === 'UP' || status === 'DEGRADED';
    this.all.set(endpointId, {
      ...endpoint,
      checkedAt: Date.parse(checkedAt) || endpoint.checkedAt,
      responseTime: numberOrNull(responseTime),
      failureCount: isGood ? 0 : endpoint.failureCount + Number(status === 'DOWN'),
      errorMessage: isGood ? '' : String(errorMessage ?? ''),
      reason: isGood ? '' : String(reason ?? ''),
      maintenance: maintenance === undefined ? endpoint.maintenance : maintenance === true,
    });
  }

  /** @param {string} t @param {Event} event */
  #incident(t, event) {
    const { incidentId, endpointId } = event;
    const endpoint = this.all.get(endpointId);
    if (t === 'incident:started') {
      this.incidents.set(incidentId, incidentOf({ ...event, reopened: event.reopened ? 1 : 0, reason: event.reason ?? endpoint?.reason }));
    }
    const known = this.incidents.get(incidentId);
    if (t === 'incident:acknowledged' && known) this.incidents.set(incidentId, { ...known, acknowledged: acknowledgedOf(event) });
    if (t === 'incident:resolved') this.incidents.delete(incidentId);
    const open = t === 'incident:resolved' ? '' : incidentId;
    if (endpoint && endpoint.incidentId !== open) this.all.set(endpointId, { ...endpoint, incidentId: open });
  }

  /** @param {string} nodeId @param {boolean} suspect */
  #suspect(nodeId, suspect) {
    if (suspect) this.suspects.add(nodeId);
    else this.suspects.delete(nodeId);
  }

  /** How many there are, without the built-in ones. @returns {Record<Filter, number>} */
  get counts() {
    const counts = { all: 0, DOWN: 0, DEGRADED: 0, rest: 0, UP: 0 };
    for (const endpoint of this.all.values()) {
      if (endpoint.kind === BUILTIN) continue;
      counts.all++;
      counts[groupOf(endpoint)]++;
    }
    if (!this.#counted) return counts;
    const { total = 0, UP = 0, DOWN = 0, DEGRADED = 0 } = this.#counted;
    const told = { all: total, DOWN, DEGRADED, rest: total - UP - DOWN - DEGRADED, UP };
    for (const endpoint of this.builtin) {
      told.all--;
      told[groupOf(endpoint)]--;
    }
    return told;
  }

  /** How many are down, built-in ones too. */
  get down() {
    if (this.#counted) return this.#counted.DOWN ?? 0;
    return [...this.all.values()].filter((endpoint) => groupOf(endpoint) === 'DOWN').length;
  }

  get builtin() {
    return [...this.all.values()].filter(({ kind }) => kind === BUILTIN);
  }

  /** Ids in the order of the list: the worst first, paused last, by name in each; without the built-in ones. @param {string} language */
  sorted(language) {
    const key = `${this.order} ${language}`;
    if (key === this.#sorted.key) return this.#sorted.ids;
    const { compare } = new Intl.Collator(language, { numeric: true });
    const listed = [...this.all.values()].filter(({ kind }) => kind !== BUILTIN);
    listed.sort((a, b) => rank(a) - rank(b) || compare(a.name, b.name) || (a.endpointId < b.endpointId ? -1 : 1));
    this.#sorted = { key, ids: listed.map(({ endpointId }) => endpointId) };
    return this.#sorted.ids;
  }

  /** @param {string} endpointId @param {Filter} filter @param {string} sought */
  matches(endpointId, filter, sought) {
    const endpoint = this.all.get(endpointId);
    if (!endpoint?.sought.includes(sought)) return false;
    return filter === 'all' || groupOf(endpoint) === filter;
  }

  /** @param {string} endpointId @param {number} now ms since 1970 */
  inMaintenance(endpointId, now) {
    return this.windows.some((each) => covers(each, endpointId) && isActive(each, now));
  }
}

/** @param {Pick<Endpoint, 'status' | 'paused'>} endpoint @returns {Exclude<Filter, 'all'>} */
export function groupOf({ status, paused }) {
  return paused || status === 'UNKNOWN' ? 'rest' : status;
}

/** @param {Endpoint} endpoint */
function rank({ status, paused }) {
  return paused ? STATUSES.length : STATUSES.indexOf(status);
}

/** @param {any} window @param {string} endpointId */
export function covers({ endpointIds }, endpointId) {
  return !Array.isArray(endpointIds) || !endpointIds.length || endpointIds.includes(endpointId);
}

/**
 * While a window was active when it was told of, `nextEnd` is its end, and `nextStart` is behind that.
 * @param {any} window @param {number} now ms since 1970
 */
export function isActive({ active, nextStart, nextEnd }, now) {
  const hasBegun = active === true || Date.parse(nextStart) <= now;
  return hasBegun && (typeof nextEnd !== 'string' || now < Date.parse(nextEnd));
}
