/** What failures ask of the client: errors, close codes, when to connect again, how fast to send. No I/O. @module */

/** @import { Answer, Frame } from '../c2c.js' */

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
