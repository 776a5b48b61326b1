/**
 * One WebSocket from its first frame to its end: signs in, asks and is answered, and notices when nobody is there.
 * @module
 */

import { isObject } from './position.js';
import { noAnswer, Pacer } from './policy.js';

/** @import { Answer, Clock, Command, Frame, Position, StorageLike, WebSocketLike } from '../c2c.js' */

/**
 * @typedef {object} Environment what the SDK needs of the world
 * @property {(new (url: string) => WebSocketLike) | undefined} WebSocket
 * @property {typeof fetch} fetch
 * @property {StorageLike | undefined} storage
 * @property {() => number} random
 * @property {Clock} clock
 * @property {any} page
 */
/**
 * @typedef {object} Hooks what a link tells; nothing after `end`
 * @property {(link: Link, welcome: Partial<Frame> & {me?: string}) => void} welcome signed in
 * @property {(link: Link, frame: Frame) => void} frame what is no answer to a command
 * @property {(link: Link, code: number, reason: string) => void} end not after `close`
 * @property {() => {roomId: string, since?: Position}[]} rooms what is joined or to be joined
 */
/**
 * @typedef {object} Link a connection, whatever carries it. Answers are undefined when it ended before they came.
 * @property {'websocket' | 'sse'} transport
 * @property {Pacer} pacer
 * @property {boolean} silent it ended because nothing was heard
 * @property {(command: Command & {id: string}) => Promise<Answer | undefined>} ask
 * @property {(roomId: string, since?: Position) => Promise<Answer | undefined>} join
 * @property {(roomId: string) => Promise<unknown>} leave
 * @property {() => void} check make sure that it is alive
 * @property {(code: number) => void} close
 */

export const OPEN_MS = 8_000;
export const ANSWER_MS = 5_000;
export const NO_CODE = 0;
const BEAT_MAX_MS = 10_000;
const PATIENCE_MS = 4_500;
const SHORT_PATIENCE_MS = 2_400;
/** A timer this late says that the page slept: then silence says nothing about the server. */
export const SLEPT_MS = 1_000;
const TOO_BIG = 1009;
const TOKEN_REFUSED = 4401;
/** A page may close with 1000 or 3000–4999 only; any code but 1000 makes the server keep our places for a while. */
const GIVEN_UP = 4000;

/** @implements {Link} */
export class Socket {
  /** @type {'websocket'} */
  transport = 'websocket';
  pacer = new Pacer();
  silent = false;
  #env;
  #hooks;
  #socket;
  #ended = false;
  #count = 0;
  /** @type {Map<string, {settle: (answer?: Answer) => void, size: number}>} */
  #asked = new Map();
  /** @type {unknown} */
  #beating;
  /** @type {unknown} */
  #listening;
  /** When something must have been heard, after a ping; undefined: nothing is in doubt. @type {number | undefined} */
  #due;

  /**
   * @param {Environment & {WebSocket: new (url: string) => WebSocketLike}} env
   * @param {string} url
   * @param {string} token
   * @param {Hooks} hooks
   */
  constructor(env, url, token, hooks) {
    this.#env = env;
    this.#hooks = hooks;
    this.#socket = new env.WebSocket(url);
    this.#beating = env.clock.setTimeout(() => this.#end(NO_CODE, 'no answer'), OPEN_MS);
    this.#socket.onopen = () => void this.#signIn(token);
    this.#socket.onmessage = ({ data }) => this.#take(data);
    this.#socket.onclose = ({ code, reason }) => this.#end(code, reason);
    this.#socket.onerror = () => {}; // a close follows; without a handler `ws` throws
  }

  // Asking

  ask(/** @type {Command & {id: string}} */ command) {
    const { clock } = this.#env;
    /** @type {Promise<Answer | undefined>} */
    const answered = new Promise((resolve) => {
      if (this.#ended) return resolve(undefined);
      // Halfway a ping: if nothing comes back the connection is dead, and that is not the command's fault.
      const doubt = clock.setTimeout(() => this.#listen(SHORT_PATIENCE_MS), ANSWER_MS / 2);
      const judge = () => {
        if (this.#due === undefined) settle(noAnswer('TIMEOUT', `no answer within ${ANSWER_MS / 1000} s`));
        else late = clock.setTimeout(judge, ANSWER_MS / 10);
      };
      let late = clock.setTimeout(judge, ANSWER_MS);
      const settle = (/** @type {Answer | undefined} */ answer) => {
        clock.clearTimeout(doubt);
        clock.clearTimeout(late);
        this.#asked.delete(command.id);
        resolve(answer);
      };
      const text = JSON.stringify(command);
      this.#asked.set(command.id, { settle, size: text.length });
      this.#socket.send(text);
    });
    return answered;
  }

  /**
   * @param {string} roomId
   * @param {Position} [since]
   */
  join(roomId, since) {
    return this.ask({ t: 'join', id: this.#ownId(), roomId, ...(since && { since }) });
  }

  /** @param {string} roomId */
  leave(roomId) {
    return this.ask({ t: 'leave', id: this.#ownId(), roomId });
  }

  #ownId() {
    return `~${++this.#count}`;
  }

  /** @param {string} token */
  async #signIn(token) {
    const answer = await this.ask({ t: 'hello', id: this.#ownId(), token });
    if (!answer || answer.t === 'welcome') return;
    this.#end(answer.code === 'UNAUTHORIZED' ? TOKEN_REFUSED : NO_CODE, String(answer.message));
  }

  // Hearing

  /** @param {unknown} data */
  #take(data) {
    if (this.#ended) return;
    this.#env.clock.clearTimeout(this.#listening);
    this.#due = undefined;
    let frame;
    try {
      frame = JSON.parse(String(data));
    } catch {
      return; // not JSON: nothing this protocol knows
    }
    if (!isObject(frame) || frame.t === 'pong') return;
    if (frame.t === 'welcome') this.#begin(frame);
    // First what a `joined` says, then who waits for it: what comes right behind it finds the room joined.
    const asked = this.#asked.get(frame.id);
    if (!asked || frame.t === 'joined') this.#hooks.frame(this, frame);
    asked?.settle(frame);
  }

  /** @param {Frame} welcome */
  #begin(welcome) {
    const { clock } = this.#env;
    const wanted = Number(welcome.heartbeatMs) || BEAT_MAX_MS;
    const beatMs = Math.min(BEAT_MAX_MS, Math.max(wanted, 1_000));
    const beat = () => {
      this.#beating = clock.setTimeout(beat, beatMs);
      this.#listen(PATIENCE_MS);
    };
    clock.clearTimeout(this.#beating);
    this.#beating = clock.setTimeout(beat, beatMs);
    this.#hooks.welcome(this, welcome);
  }

  check() {
    this.#listen(SHORT_PATIENCE_MS);
  }

  /** @param {number} patienceMs ping, and end the connection when nothing at all is heard that long */
  #listen(patienceMs) {
    const { clock } = this.#env;
    const due = clock.now() + patienceMs;
    if (this.#ended || (this.#due !== undefined && this.#due <= due)) return;
    const overdue = () => {
      this.#due = undefined;
      if (clock.now() > due + SLEPT_MS) return this.#listen(patienceMs);
      this.silent = true;
      this.#end(NO_CODE, 'the connection is dead');
    };
    clock.clearTimeout(this.#listening);
    this.#due = due;
    this.#listening = clock.setTimeout(overdue, patienceMs);
    this.#socket.send('{"t":"ping"}');
  }

  // Ending

  /** @param {number} code */
  close(code) {
    if (this.#ended) return;
    this.#ended = true;
    this.#env.clock.clearTimeout(this.#beating);
    this.#env.clock.clearTimeout(this.#listening);
    this.#socket.onopen = this.#socket.onmessage = this.#socket.onclose = null;
    this.#socket.close(code);
    for (const { settle } of [...this.#asked.values()]) settle();
  }

  /**
   * @param {number} code
   * @param {string} reason
   */
  #end(code, reason) {
    if (this.#ended) return;
    if (code === TOO_BIG) this.#blameLargest();
    this.close(GIVEN_UP);
    this.#hooks.end(this, code, reason);
  }

  /** 1009 is some command's fault, and it would be again: the largest one's it must be. */
  #blameLargest() {
    const [largest] = [...this.#asked.values()].sort((a, b) => b.size - a.size);
    largest?.settle(noAnswer('TOO_LARGE', 'the frame is too large'));
  }
}
