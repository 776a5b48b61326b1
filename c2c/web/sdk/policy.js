/**
 * What the client decides, without I/O: what failures ask of it, when to connect again, how fast to send, which event is
 * the next.
 * @module
 */

/** @import { Answer, Frame, JoinedFrame, Position, RoomEvent } from '../c2c.js' */

const BASE_MS = 1_000;
const CAP_MS = 30_000;
const CALM_MS = 10_000;
const SHARE_MIN = 0.4;
const FLOOD = 4429;

export class C2CError extends Error {
  /**
   * @param {string} code
   * @param {string} [message]
   * @param {Record<string, unknown>} [details]
   * @param {string} [id]
   */
  constructor(code, message = code, details = {}, id) {
    super(message);
    this.name = 'C2CError';
    this.code = code;
    this.details = details;
    this.id = id;
  }
}

/** @param {Frame} frame of type `error` @param {string} [commandId] */
export function errorOf({ t, id, code, message, retryable, ...details }, commandId = id) {
  return new C2CError(String(code), String(message), details, commandId);
}

/**
 * An answer that the server did not give.
 * @param {string} code
 * @param {string} message
 * @returns {Answer}
 */
export function noAnswer(code, message) {
  return { t: 'error', code, message, retryable: false };
}

/** @param {number} code how a connection ended @returns {'again' | 'token' | 'stop'} */
export function afterClose(code) {
  if (code === 4400 || code === 4403) return 'stop';
  return code === 4401 ? 'token' : 'again';
}

/**
 * How long to wait before the next connection: 1 s → 30 s with jitter.
 *
 * After a stable connection a client draws once, where in the first second it comes and which share of 2 s, 4 s, 8 s … it
 * waits then: so all come back within as long as the server was away, evenly spread. Jitter drawn anew each time brings
 * most of them in the first second and the rest over half a minute (`docs/sdk.md` has the numbers).
 */
export class Backoff {
  #random;
  #draw = 0;
  /** How many waits there were since the last stable connection. */
  attempt = 0;

  /** @param {() => number} random */
  constructor(random) {
    this.#random = random;
  }

  reset() {
    this.attempt = 0;
  }

  /** @param {number} code the close code, 0 for none */
  delayMs(code) {
    const attempt = this.attempt++;
    if (!attempt) this.#draw = this.#random();
    const share = attempt ? SHARE_MIN + (1 - SHARE_MIN) * this.#draw : this.#draw;
    // Who has flooded the server waits a second at least; the others may draw a zero.
    return (code === FLOOD ? BASE_MS : 0) + share * Math.min(CAP_MS, BASE_MS * 2 ** attempt);
  }
}

/** Spaces commands once one was refused for its rate, else every other one would be, and the flood closed at last. */
export class Pacer {
  #spacingMs = 0;
  #next = 0;
  #refused = 0;

  /** Takes the next place in the row. @param {number} now @returns {number} ms until its turn */
  reserveMs(now) {
    if (now - this.#refused > CALM_MS) this.#spacingMs = 0;
    const turn = Math.max(now, this.#next);
    this.#next = turn + this.#spacingMs;
    return turn - now;
  }

  /** @param {number} now @param {number} retryAfterMs at most the time between two */
  refused(now, retryAfterMs) {
    this.#refused = now;
    this.#spacingMs = Math.max(this.#spacingMs, retryAfterMs);
    this.#next = Math.max(this.#next, now + retryAfterMs);
  }
}

/** @param {unknown} value */
export function isObject(value) {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/**
 * Whether a frame is a whole `joined`: anybody with redis-cli can publish what only looks like one.
 * @param {Frame} frame
 * @returns {frame is JoinedFrame}
 */
export function isJoined(frame) {
  const { t, roomId, epoch, seq, recovered, members, presence } = frame;
  const position = typeof epoch === 'string' && typeof seq === 'number';
  const room = typeof roomId === 'string' && Array.isArray(members) && isObject(presence);
  return t === 'joined' && position && room && typeof recovered === 'boolean';
}

/** What a client knows of one room. */
export class Track {
  /** @type {Position | undefined} of the last event passed on */
  position;
  kind = '';
  /** @type {Set<string>} */
  members = new Set();
  /** @type {Map<string, string>} */
  presence = new Map();
  /** @type {Record<string, unknown>} */
  state = {};
  #membersSeq = 0;

  /**
   * Takes a `joined`. A recovered one leaves the position: the missed events follow. The members are as after them.
   * @param {JoinedFrame} joined
   * @returns {string | undefined} why a state that was there was replaced, if it was
   */
  enter({ kind, members, presence, epoch, seq, recovered, state, reason }) {
    const former = this.position;
    this.kind = kind;
    this.members = new Set(members);
    this.presence = new Map(Object.entries(presence));
    this.#membersSeq = seq;
    if (recovered && former) return undefined;
    this.position = { epoch, seq };
    this.state = state ?? {};
    return former && (reason ?? 'rejoined');
  }

  /**
   * Goes to an event's position if it is the next. One without a `seq` is always passed on.
   * @param {RoomEvent} event
   * @returns {'pass' | 'old' | 'gap'}
   */
  take(event) {
    const { seq, epoch } = event;
    const here = this.position;
    if (!here) return 'old';
    if (typeof seq === 'number') {
      if (epoch !== here.epoch || seq > here.seq + 1) return 'gap';
      if (seq <= here.seq) return 'old';
      this.position = { epoch, seq };
      if (seq <= this.#membersSeq) return 'pass';
    }
    this.#note(event);
    return 'pass';
  }

  /** @param {RoomEvent} event */
  #note({ t, seq, userId, status, users }) {
    if (seq !== undefined && t === 'user:status' && this.kind === 'presence') return this.#noteUsers(users);
    if (typeof userId !== 'string') return;
    if (t === 'user:status' && typeof status === 'string' && this.members.has(userId)) this.presence.set(userId, status);
    if (seq === undefined) return; // published by hand, or not logged: nobody comes or goes by that
    if (t === 'user_joined') {
      this.members.add(userId);
      if (!this.presence.has(userId)) this.presence.set(userId, 'online');
    }
    if (t === 'user_left') this.#gone(userId);
  }

  /** In the room of who is signed in, everybody comes and goes by their status. @param {unknown} users */
  #noteUsers(users) {
    for (const { userId, status } of Array.isArray(users) ? users.filter(isObject) : []) {
      if (typeof userId !== 'string' || typeof status !== 'string') continue;
      if (status === 'offline') this.#gone(userId);
      else {
        this.members.add(userId);
        this.presence.set(userId, status);
      }
    }
  }

  /** @param {string} userId */
  #gone(userId) {
    this.members.delete(userId);
    this.presence.delete(userId);
  }
}
