/**
 * What failures ask of the client: errors, what a close code means, when to connect again, how fast to send. No I/O.
 * @module
 */

/** @import { Answer, Frame } from '../c2c.js' */

const BASE_MS = 1_000;
const CAP_MS = 30_000;
const CALM_MS = 10_000;
const SHARE_MIN = 0.4;
const STOP = new Set([4400, 4403]);
const NEW_TOKEN = 4401;
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

/**
 * @param {Frame} frame of type `error`
 * @param {string} [commandId]
 */
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

/**
 * What the end of a connection asks for. Codes that are not named in the protocol ask to come back.
 * @param {number} code
 * @returns {'again' | 'token' | 'stop'}
 */
export function afterClose(code) {
  if (STOP.has(code)) return 'stop';
  return code === NEW_TOKEN ? 'token' : 'again';
}

/**
 * How long to wait before the next connection: 1 s → 30 s with jitter.
 *
 * The first wait after a stable connection is drawn from the whole second. After that a client draws once which share
 * of 2 s, 4 s, 8 s … it waits, and keeps it: then at any moment every client comes back within the time that has
 * passed already, spread evenly. Full jitter drawn anew for each attempt lets most of a restarted server's clients come
 * in its first second and the rest over half a minute: 5 to 9 times the mean in the worst second, against 2 to 3 this
 * way (500 clients, the server away for 0.5 to 40 s; `tests/web/policy.test.mjs` simulates it).
 */
export class Backoff {
  #random;
  #share = 0;
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
    if (attempt === 0) this.#share = SHARE_MIN + (1 - SHARE_MIN) * this.#random();
    const share = attempt === 0 ? this.#random() : this.#share;
    // Who has flooded the server waits a second at least; the others may draw a zero.
    return (code === FLOOD ? BASE_MS : 0) + share * Math.min(CAP_MS, BASE_MS * 2 ** attempt);
  }
}

/**
 * Spaces the commands of one connection once the server has refused one for its rate. Without it, who sends much would
 * be refused for every other command and at last be closed for flooding.
 */
export class Pacer {
  #spacingMs = 0;
  #next = 0;
  #refused = 0;

  /**
   * Takes the next place in the row.
   * @param {number} now
   * @returns {number} ms until its turn
   */
  reserveMs(now) {
    if (now - this.#refused > CALM_MS) this.#spacingMs = 0;
    const turn = Math.max(now, this.#next);
    this.#next = turn + this.#spacingMs;
    return turn - now;
  }

  /**
   * @param {number} now
   * @param {number} retryAfterMs when the server takes the next command: at most the time between two
   */
  refused(now, retryAfterMs) {
    this.#refused = now;
    this.#spacingMs = Math.max(this.#spacingMs, retryAfterMs);
    this.#next = Math.max(this.#next, now + retryAfterMs);
  }
}
