/**
 * The last results of what is in sight, and of nothing else: asked for in batches once the scrolling pauses, given up
 * when it is out of sight before the answer is there, and continued by events. No DOM.
 * @module
 */

import { merged, resultOf } from './model.js';

/** @typedef {import('./model.js').Result} Result */
/** `uptime`: of a day, 0 to 1, null: no data. @typedef {{results: Result[], uptime: number | null}} Known */
/** @typedef {(ids: string[], signal: AbortSignal) => Promise<{results: any, uptime: any}>} Load */

const BATCH = 50;
const PAUSE_MS = 120;
const RETRY_MS = 3_000;
/** Uptimes are asked for again after this; results are kept by events. */
const FRESH_MS = 60_000;

export class Results {
  /** @type {Map<string, Known>} */
  #known = new Map();
  /** When it was asked for, by id. @type {Map<string, number>} */
  #askedAt = new Map();
  /** What events told of ids whose answer is on its way. @type {Map<string, Result[]>} */
  #heard = new Map();
  /** @type {Set<{ids: string[], abort: AbortController}>} */
  #batches = new Set();
  /** @type {readonly string[]} */
  #inSight = [];
  /** @type {unknown} */
  #timer;

  /**
   * @param {Load} load
   * @param {(ids: string[]) => void} changed
   * @param {Pick<import('../c2c.js').Clock, 'now' | 'setTimeout' | 'clearTimeout'>} [clock]
   */
  constructor(load, changed, clock = CLOCK) {
    this.load = load;
    this.changed = changed;
    this.clock = clock;
  }

  /** @param {string} id */
  of(id) {
    return this.#known.get(id);
  }

  /** @param {readonly string[]} ids what can be seen now */
  show(ids) {
    const first = !this.#inSight.length;
    this.#inSight = ids;
    const seen = new Set(ids);
    for (const batch of this.#batches) if (!batch.ids.some((id) => seen.has(id))) this.#giveUp(batch);
    if (this.#missing().length) this.#later(first ? 0 : PAUSE_MS);
  }

  /** A `check:completed`. @param {any} event */
  heard({ endpointId, slot, ...event }) {
    const result = resultOf({ ...event, at: slot });
    if (!result) return;
    this.#heard.get(endpointId)?.push(result);
    const known = this.#known.get(endpointId);
    if (!known) return;
    known.results = merged(known.results, [result]);
    if (known.uptime === null && result.status !== 'UNKNOWN') this.#askAgain(endpointId);
    this.changed([endpointId]);
  }

  /** Forgets what events can't have continued. */
  reset() {
    for (const batch of [...this.#batches]) this.#giveUp(batch);
    this.#known.clear();
    this.#askedAt.clear();
    if (this.#inSight.length) this.#later(0);
  }

  /** Whether a check has ended while it was asked about. @param {string} id */
  #heardAnswer(id) {
    return this.#heard.get(id)?.some(({ status }) => status !== 'UNKNOWN');
  }

  /** Of what had no data there is some now. @param {string} id */
  #askAgain(id) {
    if (this.#heard.has(id)) return;
    this.#askedAt.delete(id);
    this.#later(PAUSE_MS);
  }

  #missing() {
    const oldest = this.clock.now() - FRESH_MS;
    return this.#inSight.filter((id) => (this.#askedAt.get(id) ?? -Infinity) <= oldest);
  }

  /** @param {number} ms */
  #later(ms) {
    this.clock.clearTimeout(this.#timer);
    this.#timer = this.clock.setTimeout(() => this.#ask(), ms);
  }

  #ask() {
    const missing = this.#missing();
    for (let at = 0; at < missing.length; at += BATCH) void this.#askFor(missing.slice(at, at + BATCH));
  }

  /** @param {string[]} ids */
  async #askFor(ids) {
    const batch = { ids, abort: new AbortController() };
    this.#batches.add(batch);
    for (const id of ids) {
      this.#askedAt.set(id, this.clock.now());
      this.#heard.set(id, []);
    }
    try {
      const { results, uptime } = await this.load(ids, batch.abort.signal);
      if (!this.#batches.has(batch)) return;
      for (const id of ids) this.#take(id, results?.[id], uptime?.[id]?.day);
      const outdated = ids.filter((id) => this.#known.get(id)?.uptime === null && this.#heardAnswer(id));
      this.#end(batch);
      for (const id of outdated) this.#askAgain(id);
      this.changed(ids);
    } catch {
      if (!this.#batches.has(batch)) return;
      this.#giveUp(batch);
      this.#later(RETRY_MS);
    }
  }

  /** @param {string} id @param {unknown} results @param {unknown} day */
  #take(id, results, day) {
    const told = Array.isArray(results) ? results.flatMap((each) => resultOf(each) ?? []) : [];
    const uptime = typeof day === 'number' ? day : null;
    this.#known.set(id, { results: merged(told, this.#heard.get(id) ?? []), uptime });
  }

  /** @param {{ids: string[], abort: AbortController}} batch */
  #giveUp(batch) {
    this.#end(batch);
    batch.abort.abort();
    for (const id of batch.ids) this.#askedAt.delete(id);
  }

  /** @param {{ids: string[], abort: AbortController}} batch */
  #end(batch) {
    this.#batches.delete(batch);
    for (const id of batch.ids) this.#heard.delete(id);
  }
}

/** @type {Pick<import('../c2c.js').Clock, 'now' | 'setTimeout' | 'clearTimeout'>} */
const CLOCK = { now: () => Date.now(), setTimeout: (work, ms) => setTimeout(work, ms), clearTimeout: (timer) => clearTimeout(timer) };
