/**
 * One room's commands on their way: kept until they are answered, sent one after the other, in order.
 *
 * One at a time, because a command that is refused for the moment must not be overtaken by the next. Each stands in the
 * storage before it is sent, so that it survives the page; and goes out with the same `id` each time, so that the server
 * carries it out once. The server remembers ids for 10 minutes: of a command that was sent longer ago and never answered,
 * the room's log says whether it was carried out.
 * @module
 */

import { C2CError, errorOf } from './policy.js';

/** @import { Answer, Command, Pending, Position, RoomEvent } from '../c2c.js' */
/** @import { Environment, Link } from './socket.js' */

/** @typedef {Command & {id: string, roomId: string}} RoomCommand */
/**
 * @typedef {object} Kept what stands in the storage
 * @property {RoomCommand} command
 * @property {number} at when the page sent it, in ms since 1970; no two of a room are alike
 * @property {number} [first] when it went out first, as far as the server may remember it
 * @property {Position} [from] where the room stood then: its event can only be behind that
 * @property {string} [code] why it failed
 * @property {string} [message]
 */
/**
 * @typedef {object} Waiting what only this page knows of it
 * @property {'queued' | 'sending' | 'failed'} state
 * @property {boolean} adopted an earlier page, or another tab, has put it into the storage
 * @property {number} tries how often the server asked to try again
 * @property {number} silences how many connections fell silent on it
 * @property {(answer: Answer) => void} resolve
 * @property {(error: C2CError) => void} reject
 */
/** @typedef {Kept & Waiting} Entry */
/**
 * @typedef {object} Host the room of the outbox, and what is round it
 * @property {string} roomId
 * @property {Environment} env
 * @property {Position | undefined} position
 * @property {Link | undefined} link where commands can go at the moment
 * @property {(link: Link, command: RoomCommand) => Promise<Answer | undefined>} ask
 * @property {() => void} rejoin
 * @property {(after: number) => Promise<{events: RoomEvent[], epoch: string, seq: number} | undefined>} readLog
 * @property {() => void} changed
 */

const KEEP_MS = 24 * 3_600_000;
/** The server's 10 minutes, less what clocks and queues may take. */
const REMEMBERED_MS = 9 * 60_000;
const LIMIT = 500;
const SILENCES = 3;
const TRIES = 5;
const RETRY_MS = 1_000;
const RETRY_MAX_MS = 5_000;
const PREFIX = 'c2c/';
/** Errors that pass by themselves, however long it takes. */
const PATIENT = new Set(['RATE_LIMITED', 'SERVICE_UNAVAILABLE']);
/** Errors that may pass: a room that Redis lost is opened again, a place in it taken again. */
const MENDING = new Set(['ROOM_NOT_FOUND', 'NOT_A_MEMBER']);

/** @returns {string} an id that nobody else makes; `crypto.randomUUID` is missing on pages without TLS */
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
    return this.#entries.map(({ command, at, state, code, message }) => ({
      id: command.id,
      command,
      at,
      state: state === 'failed' ? state : 'sending',
      ...(code && { code, message }),
    }));
  }

  // What pages do

  /**
   * Takes a command and sends it as soon as its turn comes.
   * @param {RoomCommand} command
   * @returns {Promise<Answer>}
   */
  add(command) {
    const former = this.#find(command.id);
    if (former) return this.#again(former);
    if (this.#entries.length >= LIMIT) {
      const failed = this.#entries.find(({ state }) => state === 'failed');
      if (!failed) return Promise.reject(new C2CError('QUEUE_FULL', undefined, {}, command.id));
      this.#drop(failed);
    }
    this.#last = Math.max(this.#host.env.clock.now(), this.#last + 1);
    const entry = this.#enter({ command, at: this.#last }, false);
    this.#keep(entry);
    return this.#send(entry);
  }

  /**
   * @param {string} id
   * @returns {Promise<Answer>}
   */
  retry(id) {
    const entry = this.#find(id);
    return entry ? this.#again(entry) : Promise.reject(new C2CError('DISCARDED', undefined, {}, id));
  }

  /** @param {string} id */
  discard(id) {
    const entry = this.#find(id);
    if (!entry) return;
    this.#drop(entry);
    entry.reject(new C2CError('DISCARDED', undefined, {}, id));
    this.#host.changed();
  }

  /** @param {Entry} entry */
  #again(entry) {
    if (entry.state === 'failed') {
      Object.assign(entry, { state: 'queued', tries: 0, silences: 0, code: undefined, message: undefined });
      this.#keep(entry);
    }
    return this.#send(entry);
  }

  /**
   * @param {Entry} entry
   * @returns {Promise<Answer>}
   */
  #send(entry) {
    const { resolve, reject } = entry;
    /** @type {Promise<Answer>} */
    const answered = new Promise((answer, refuse) => {
      // Whoever has asked before hears the same.
      entry.resolve = (value) => (resolve(value), answer(value));
      entry.reject = (error) => (reject(error), refuse(error));
    });
    void this.flush();
    this.#host.changed();
    return answered;
  }

  // What the room does

  /** @param {string} owner whose commands these are: those that were left in the storage are taken up */
  open(owner) {
    if (this.#owner === owner) return;
    this.#owner = owner;
    for (const entry of this.#entries) this.#keep(entry);
    const stored = this.#load().filter(({ command }) => !this.#find(command.id));
    if (!stored.length) return;
    for (const kept of stored) this.#enter(kept, true);
    this.#entries.sort((a, b) => a.at - b.at);
    this.#last = Math.max(this.#last, ...stored.map(({ at }) => at));
    this.#host.changed();
  }

  /** @param {C2CError} error what promises hear when nothing goes out any more; the commands stay */
  release(error) {
    for (const entry of this.#entries) {
      if (entry.state !== 'failed') entry.reject(error);
      entry.resolve = entry.reject = () => {};
    }
  }

  /**
   * An event of the room, or an answer that came too late: nobody waits for it, but it settles what it is about. A
   * command that is on its way waits for its own answer, which says more.
   * @param {string | undefined} id
   * @param {RoomEvent} frame
   */
  seen(id, frame) {
    const entry = id === undefined ? undefined : this.#find(id);
    if (entry && entry.state !== 'sending' && frame.t !== 'error') this.#settle(entry, answerOf(entry, frame));
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

  /**
   * @param {Entry} entry
   * @param {Link} link
   */
  async #deliver(entry, link) {
    const now = this.#host.env.clock.now();
    if (entry.adopted && !this.#isKept(entry)) return this.#gone(entry);
    if (now - entry.at > KEEP_MS) return this.#fail(entry, new C2CError('TIMEOUT', 'kept for a day'));
    if (entry.first !== undefined && now - entry.first > REMEMBERED_MS) return this.#lookUp(entry);
    entry.state = 'sending';
    if (entry.first === undefined) {
      Object.assign(entry, { first: now, from: this.#host.position });
      this.#keep(entry);
    }
    const answer = await this.#host.ask(link, entry.command);
    if (entry.state !== 'sending' || !this.#entries.includes(entry)) return;
    if (!answer) this.#lost(entry, link);
    else if (answer.t === 'error') await this.#refused(entry, answer);
    else this.#settle(entry, answer);
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

  /**
   * @param {Entry} entry
   * @param {Answer} answer
   */
  async #refused(entry, answer) {
    const code = String(answer.code);
    const again = answer.retryable === true || MENDING.has(code);
    if (!again || (!PATIENT.has(code) && entry.tries >= TRIES)) return this.#fail(entry, errorOf(answer));
    entry.state = 'queued';
    if (code === 'NOT_A_MEMBER') this.#host.rejoin();
    // The pacer has the waiting for a refused rate.
    if (code !== 'RATE_LIMITED') await this.#pause(entry, Number(answer.retryAfterMs) || RETRY_MS);
  }

  /**
   * @param {Entry} entry
   * @param {number} ms at least
   */
  #pause(entry, ms) {
    const { clock, random } = this.#host.env;
    const longer = Math.min(RETRY_MAX_MS, ms * 1.5 ** entry.tries++);
    return new Promise((resolve) => clock.setTimeout(() => resolve(undefined), longer * (1 + random() / 4)));
  }

  /**
   * Finds out whether a command was carried out that the server may have forgotten.
   * @param {Entry} entry
   */
  async #lookUp(entry) {
    const { env } = this.#host;
    const asked = env.clock.now();
    let after = entry.from?.seq ?? 0;
    for (;;) {
      const page = await this.#host.readLog(after);
      if (entry.state !== 'queued' || !this.#entries.includes(entry)) return;
      if (!page) return void (await this.#pause(entry, RETRY_MS));
      const { events, epoch, seq } = page;
      const found = events.find(({ by }) => by === entry.command.id);
      if (found) return this.#settle(entry, answerOf(entry, found));
      if (epoch !== entry.from?.epoch || (seq > after && events[0]?.seq !== after + 1)) {
        return this.#fail(entry, new C2CError('TIMEOUT', 'whether it was carried out is not known any more'));
      }
      after += events.length;
      if (after >= seq) break;
    }
    Object.assign(entry, { first: asked, from: { epoch: entry.from.epoch, seq: after } });
    this.#keep(entry);
  }

  // Ends

  /**
   * @param {Entry} entry
   * @param {Answer} answer
   */
  #settle(entry, answer) {
    this.#drop(entry);
    entry.resolve(answer);
    this.#host.changed();
  }

  /**
   * @param {Entry} entry
   * @param {C2CError} error
   */
  #fail(entry, { code, message, details }) {
    Object.assign(entry, { state: 'failed', code, message });
    this.#keep(entry);
    entry.reject(new C2CError(code, message, details, entry.command.id));
    this.#host.changed();
  }

  /** Another tab has had the answer, or has discarded it. @param {Entry} entry */
  #gone(entry) {
    this.#drop(entry);
    entry.reject(new C2CError('DISCARDED', undefined, {}, entry.command.id));
    this.#host.changed();
  }

  // Entries and the storage

  /** @param {string} id */
  #find(id) {
    return this.#entries.find(({ command }) => command.id === id);
  }

  /**
   * @param {Kept} kept
   * @param {boolean} adopted
   * @returns {Entry}
   */
  #enter(kept, adopted) {
    const nobody = () => {};
    /** @type {Waiting} */
    const waiting = {
      state: kept.code ? 'failed' : 'queued',
      adopted,
      tries: 0,
      silences: 0,
      resolve: nobody,
      reject: nobody,
    };
    const entry = { ...kept, ...waiting };
    this.#entries.push(entry);
    return entry;
  }

  /** @param {Entry} entry */
  #drop(entry) {
    this.#entries = this.#entries.filter((other) => other !== entry);
    this.#try((storage) => storage.removeItem(this.#key(entry)));
  }

  /** @param {Kept} entry */
  #key({ command }) {
    return `${PREFIX}${this.#owner}/${this.#host.roomId}/${command.id}`;
  }

  /** @param {Entry} entry */
  #keep(entry) {
    const { command, at, first, from, code, message } = entry;
    if (!this.#owner) return;
    const text = JSON.stringify({ command, at, first, from, code, message });
    this.#try((storage) => storage.setItem(this.#key(entry), text));
  }

  /** @param {Entry} entry */
  #isKept(entry) {
    return this.#try((storage) => storage.getItem(this.#key(entry))) !== null;
  }

  /** @returns {Kept[]} what is stored for this user and room; what is too old, whosever it is, is thrown away */
  #load() {
    const mine = `${PREFIX}${this.#owner}/${this.#host.roomId}/`;
    const oldest = this.#host.env.clock.now() - KEEP_MS;
    /** @type {Kept[]} */
    const found = [];
    this.#try((storage) => {
      const keys = Array.from({ length: storage.length }, (_, index) => storage.key(index) ?? '');
      for (const key of keys.filter((key) => key.startsWith(PREFIX))) {
        const kept = readKept(storage.getItem(key));
        if (!kept || kept.at < oldest) storage.removeItem(key);
        else if (key === mine + kept.command.id) found.push(kept);
      }
    });
    return found;
  }

  /**
   * @template T
   * @param {(storage: NonNullable<Environment['storage']>) => T} work
   * @returns {T | undefined}
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

/**
 * @param {string | null} text
 * @returns {Kept | undefined}
 */
function readKept(text) {
  try {
    const kept = JSON.parse(text ?? '');
    return typeof kept.at === 'number' && typeof kept.command.id === 'string' ? kept : undefined;
  } catch {
    return undefined;
  }
}

/**
 * What a command's event says about it, as an answer.
 * @param {Entry} entry
 * @param {RoomEvent} event
 * @returns {Answer}
 */
function answerOf({ command }, { by, ...fields }) {
  return by === undefined ? fields : { ...fields, t: 'ack', id: command.id };
}
