/**
 * One room's commands on their way: kept until they are answered, and sent one after the other, so that one that is
 * refused for now is not overtaken by the next. Each stands in the storage before it is sent and goes out with the same
 * `id` each time. The server knows an id for 10 minutes; of one it may have forgotten, the room's log tells.
 *
 * An answer is not the end: a Redis that crashes may come back without its last seconds. So commands are remembered for
 * a minute more, and sent again when the room's log turns out not to have them. Its memory of ids went with the log:
 * what is in there after all is only answered again.
 * @module
 */

import { C2CError, errorOf } from './policy.js';

/** @import { Answer, JoinedFrame, Pending, Position, RoomEvent } from '../c2c.js' */
/** @import { Entry, Environment, Host, Kept, Link } from './types.js' */

const KEEP_MS = 24 * 3_600_000;
/** The server's 10 minutes, less what clocks and queues may take. */
const REMEMBERED_MS = 9 * 60_000;
/** By then Redis has written it to its disk and to its replicas. */
const SAFE_MS = 60_000;
const SAFE_LIMIT = 100;
const LIMIT = 500;
const SILENCES = 3;
const TRIES = 5;
const RETRY_MS = 1_000;
const RETRY_MAX_MS = 5_000;
const PREFIX = 'c2c/';
/** Errors that pass by themselves, however long it takes. */
const PATIENT = ['RATE_LIMITED', 'SERVICE_UNAVAILABLE'];
/** Errors that may pass: a room that Redis lost is opened again, a place in it taken again. */
const MENDING = ['ROOM_NOT_FOUND', 'NOT_A_MEMBER'];

const nobody = () => {};

/** An id that nobody else makes. `crypto.randomUUID` is missing on pages without TLS. */
export function newId() {
  return Array.from(crypto.getRandomValues(new Uint8Array(12)), (byte) => byte.toString(16).padStart(2, '0')).join('');
}

export class Outbox {
  #host;
  /** @type {Entry[]} in the order they were sent */
  #entries = [];
  #owner = '';
  #last = 0;
  #running = false;

  /** @param {Host} host */
  constructor(host) {
    this.#host = host;
  }

  /** @returns {Pending[]} */
  get pending() {
    return this.#waiting.map(({ command, at, state, code, message }) => ({
      id: command.id,
      command,
      at,
      state: state === 'failed' ? state : 'sending',
      ...(code && { code, message }),
    }));
  }

  get #waiting() {
    return this.#entries.filter(({ state }) => state !== 'answered');
  }

  // What pages do

  /** @param {Kept['command']} command @returns {Promise<Answer>} */
  add(command) {
    const former = this.#find(command.id);
    if (former) return this.#send(former);
    if (this.#waiting.length >= LIMIT) {
      const failed = this.#entries.find(({ state }) => state === 'failed');
      if (!failed) return refused('QUEUE_FULL', command.id);
      this.#remove(failed);
    }
    this.#last = Math.max(this.#host.env.clock.now(), this.#last + 1);
    const entry = this.#enter({ command, at: this.#last }, false);
    this.#keep(entry);
    return this.#send(entry);
  }

  /** @param {string} id @returns {Promise<Answer>} */
  retry(id) {
    const entry = this.#find(id);
    return entry ? this.#send(entry) : refused('DISCARDED', id);
  }

  /** @param {string} id */
  discard(id) {
    const entry = this.#find(id);
    if (!entry) return;
    this.#remove(entry);
    entry.reject(new C2CError('DISCARDED', undefined, {}, id));
    this.#host.changed();
  }

  /** @param {Entry} entry @returns {Promise<Answer>} */
  #send(entry) {
    if (entry.state === 'failed' || entry.state === 'answered') this.#queue(entry);
    const { resolve, reject } = entry;
    const answered = new Promise((answer, refuse) => {
      // Whoever has asked before hears the same.
      entry.resolve = (value) => (resolve(value), answer(value));
      entry.reject = (error) => (reject(error), refuse(error));
    });
    void this.flush();
    this.#host.changed();
    return answered;
  }

  /** @param {Entry} entry failed or answered: it goes out again */
  #queue(entry) {
    const anew = { state: 'queued', tries: 0, silences: 0, code: undefined, message: undefined, answered: undefined };
    this.#keep(Object.assign(entry, anew));
  }

  // What the room does

  /** Takes up what was left in the storage. @param {string} owner whose commands these are */
  open(owner) {
    if (this.#owner) return;
    this.#owner = owner;
    for (const entry of this.#entries) this.#keep(entry);
    const stored = this.#load().filter(({ command }) => !this.#find(command.id));
    if (!stored.length) return;
    for (const kept of stored) this.#enter(kept, true);
    this.#entries.sort((a, b) => a.at - b.at);
    this.#last = Math.max(this.#last, ...stored.map(({ at }) => at));
    this.#host.changed();
  }

  /** Nothing goes out any more; the commands stay. @param {C2CError} error what promises hear */
  release(error) {
    for (const entry of this.#entries) {
      entry.reject(error);
      entry.resolve = entry.reject = nobody;
    }
  }

  /** The room is over: nobody comes back to see what its log lost. @param {C2CError} error */
  end(error) {
    this.release(error);
    for (const entry of this.#entries.filter(({ answered }) => answered)) this.#remove(entry);
  }

  /**
   * An event, or an answer that comes too late, settles what it is about. A command that is on its way waits for its own
   * answer, which says more.
   * @param {string | undefined} id
   * @param {RoomEvent} frame
   */
  seen(id, frame) {
    const entry = this.#find(id);
    const open = entry?.state === 'queued' || entry?.state === 'failed';
    if (open && frame.t !== 'error') this.#settle(entry, frame);
    if (frame.t !== 'error') this.#forgetSafe(frame);
  }

  /** The room was joined. What was answered and is not in its log goes out again. @param {JoinedFrame} joined */
  entered({ epoch, seq, recovered, reason }) {
    /** @param {Position} at */
    const isThere = (at) => recovered || (reason !== 'ahead' && at.epoch === epoch && at.seq <= seq);
    const lost = this.#entries.filter(({ answered }) => answered && !isThere(answered));
    for (const entry of lost) this.#queue(entry);
    this.#forgetSafe({ epoch, seq });
    if (lost.length) this.#host.changed();
  }

  /**
   * The log goes on: what stood in it long before is safe. Time alone tells nothing, Redis may have been away.
   * @param {Partial<Position>} here
   */
  #forgetSafe({ epoch, seq = 0 }) {
    const now = this.#host.env.clock.now();
    /** @param {NonNullable<Kept['answered']>} at */
    const isSafe = (at) => at.epoch === epoch && at.seq < seq && now - at.at > SAFE_MS;
    const answered = this.#entries.filter((entry) => entry.answered);
    for (const entry of answered.slice(0, -SAFE_LIMIT)) this.#remove(entry);
    for (const entry of answered) if (entry.answered && isSafe(entry.answered)) this.#remove(entry);
  }

  /** Sends what is waiting, until there is nothing or nowhere to send it to. */
  async flush() {
    if (this.#running) return;
    this.#running = true;
    try {
      for (;;) {
        const entry = this.#entries.find(({ state }) => state === 'queued');
        const { link } = this.#host;
        if (!entry || !link) return;
        await this.#deliver(entry, link);
      }
    } finally {
      this.#running = false;
    }
  }

  /** @param {Entry} entry @param {Link} link */
  async #deliver(entry, link) {
    const now = this.#host.env.clock.now();
    if (entry.adopted) {
      // Another tab has discarded it, or has had the answer.
      const kept = this.#stored(entry);
      if (kept === null) return this.discard(entry.command.id);
      const { epoch, seq } = kept?.answered ?? {};
      if (epoch !== undefined) return this.#settle(entry, { t: 'ack', id: entry.command.id, epoch, seq });
    }
    if (now - entry.at > KEEP_MS) return this.#fail(entry, new C2CError('TIMEOUT', 'kept for a day'));
    if (entry.first !== undefined && now - entry.first > REMEMBERED_MS) return this.#lookUp(entry);
    entry.state = 'sending';
    if (entry.first === undefined) {
      Object.assign(entry, { first: now, from: this.#host.position });
      this.#keep(entry);
    }
    const answer = await this.#host.ask(link, entry.command);
    if (entry.state !== 'sending' || !this.#entries.includes(entry)) return;
    if (answer?.t === 'error') await this.#refused(entry, answer);
    else if (answer) this.#settle(entry, answer);
    else this.#lost(entry, link);
  }

  /**
   * The connection ended first: the command goes out again on the next one. But what silences three in a row is not the
   * network's fault.
   * @param {Entry} entry
   * @param {Link} link
   */
  #lost(entry, link) {
    entry.state = 'queued';
    if (link.silent && ++entry.silences >= SILENCES) this.#fail(entry, new C2CError('TIMEOUT', 'no answer'));
  }

  /** @param {Entry} entry @param {Answer} answer */
  async #refused(entry, answer) {
    const code = String(answer.code);
    const again = answer.retryable === true || MENDING.includes(code);
    if (!again || (!PATIENT.includes(code) && entry.tries >= TRIES)) return this.#fail(entry, errorOf(answer));
    entry.state = 'queued';
    if (code === 'NOT_A_MEMBER') this.#host.rejoin();
    // The pacer has the waiting for a refused rate.
    if (code !== 'RATE_LIMITED') await this.#pause(entry, Number(answer.retryAfterMs) || RETRY_MS);
  }

  /** @param {Entry} entry @param {number} ms at least */
  #pause(entry, ms) {
    const { clock, random } = this.#host.env;
    const longer = Math.min(RETRY_MAX_MS, ms * 1.5 ** entry.tries++);
    return new Promise((resolve) => clock.setTimeout(() => resolve(undefined), longer * (1 + random() / 4)));
  }

  /** Was a command carried out that the server may have forgotten? @param {Entry} entry */
  async #lookUp(entry) {
    const asked = this.#host.env.clock.now();
    let after = entry.from?.seq ?? 0;
    for (;;) {
      const page = await this.#host.readLog(after);
      if (entry.state !== 'queued' || !this.#entries.includes(entry)) return;
      if (!page) return void (await this.#pause(entry, RETRY_MS));
      const { events, epoch, seq } = page;
      const found = events.find(({ by }) => by === entry.command.id);
      if (found) return this.#settle(entry, found);
      if (epoch !== entry.from?.epoch || (seq > after && events[0]?.seq !== after + 1)) {
        return this.#fail(entry, new C2CError('TIMEOUT', 'whether it was carried out is not known any more'));
      }
      after += events.length;
      if (after >= seq) break;
    }
    Object.assign(entry, { first: asked, from: { epoch: entry.from.epoch, seq: after } });
    this.#keep(entry);
  }

  /** @param {Entry} entry @param {RoomEvent} frame its answer; or its event, which says the same */
  #settle(entry, { by, ...answer }) {
    const { epoch, seq } = answer;
    entry.resolve(by === undefined ? answer : { ...answer, t: 'ack', id: by });
    if (epoch === undefined || seq === undefined) {
      this.#remove(entry);
    } else {
      const answered = { epoch, seq, at: this.#host.env.clock.now() };
      this.#keep(Object.assign(entry, { state: 'answered', answered, resolve: nobody, reject: nobody }));
      this.#forgetSafe(answered);
    }
    this.#host.changed();
  }

  /** @param {Entry} entry @param {C2CError} error */
  #fail(entry, { code, message, details }) {
    Object.assign(entry, { state: 'failed', code, message });
    this.#keep(entry);
    entry.reject(new C2CError(code, message, details, entry.command.id));
    this.#host.changed();
  }

  // Entries and the storage

  /** @param {string | undefined} id */
  #find(id) {
    return this.#entries.find(({ command }) => command.id === id);
  }

  /** @param {Kept} kept @param {boolean} adopted */
  #enter(kept, adopted) {
    /** @type {Entry} */
    const entry = {
      ...kept,
      state: kept.answered ? 'answered' : kept.code ? 'failed' : 'queued',
      adopted,
      tries: 0,
      silences: 0,
      resolve: nobody,
      reject: nobody,
    };
    this.#entries.push(entry);
    return entry;
  }

  /** @param {Entry} entry */
  #remove(entry) {
    this.#entries = this.#entries.filter((other) => other !== entry);
    this.#try((storage) => storage.removeItem(this.#key(entry.command.id)));
  }

  /** @param {string} id */
  #key(id) {
    return `${PREFIX}${this.#owner}/${this.#host.roomId}/${id}`;
  }

  /** @param {Entry} entry */
  #keep({ command, at, first, from, code, message, answered }) {
    const text = JSON.stringify({ command, at, first, from, code, message, answered });
    if (this.#owner) this.#try((storage) => storage.setItem(this.#key(command.id), text));
  }

  /** @param {Entry} entry @returns {Kept | null | undefined} null: it is not there; undefined: nobody knows */
  #stored({ command }) {
    return this.#try((storage) => readKept(storage.getItem(this.#key(command.id))) ?? null);
  }

  /** What is stored for this user and room. What is too old, whosever it is, is thrown away. */
  #load() {
    const now = this.#host.env.clock.now();
    /** @param {Kept} kept An answer of long ago says nothing about today's log. */
    const isOld = ({ at, answered }) => now - at > KEEP_MS || (answered && now - answered.at > REMEMBERED_MS);
    /** @type {Kept[]} */
    const found = [];
    this.#try((storage) => {
      const keys = Array.from({ length: storage.length }, (_, index) => storage.key(index) ?? '');
      for (const key of keys.filter((key) => key.startsWith(PREFIX))) {
        const kept = readKept(storage.getItem(key));
        if (!kept || isOld(kept)) storage.removeItem(key);
        else if (key === this.#key(kept.command.id)) found.push(kept);
      }
    });
    return found;
  }

  /**
   * @template T
   * @param {(storage: NonNullable<Environment['storage']>) => T} work
   */
  #try(work) {
    const { storage } = this.#host.env;
    try {
      return storage && work(storage);
    } catch {
      return undefined; // full or refused: the commands live as long as the page
    }
  }
}

/** @param {string} code @param {string} id */
function refused(code, id) {
  return Promise.reject(new C2CError(code, undefined, {}, id));
}

/** @param {string | null} text @returns {Kept | undefined} */
function readKept(text) {
  try {
    const kept = JSON.parse(text ?? '');
    return typeof kept.at === 'number' && typeof kept.command.id === 'string' ? kept : undefined;
  } catch {
    return undefined;
  }
}
