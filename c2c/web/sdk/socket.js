/** One WebSocket from its first frame to its end: signs in, asks, is answered, notices when nobody is there. @module */

import { isObject, noAnswer, Pacer } from './policy.js';

/** @import { Answer, Frame, Position, WebSocketLike } from '../c2c.js' */
/** @import { Environment, Hooks, Link, Numbered } from './types.js' */

export const OPEN_MS = 8_000;
export const ANSWER_MS = 5_000;
/** A timer this late says that the page slept: then silence says nothing about the server. */
export const SLEPT_MS = 1_000;
export const NO_CODE = 0;
export const TOKEN_REFUSED = 4401;
const BEAT_MS = 10_000;
const PATIENCE_MS = 4_500;
const SHORT_PATIENCE_MS = 2_400;
const TOO_BIG = 1009;
/** Any code but 1000 makes the server keep our places for a while. */
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
  /** @type {number | undefined} when something must have been heard; undefined: nothing is in doubt */
  #due;

  /**
   * @param {Environment} env
   * @param {new (url: string) => WebSocketLike} WebSocket
   * @param {string} url
   * @param {string} token
   * @param {Hooks} hooks
   */
  constructor(env, WebSocket, url, token, hooks) {
    this.#env = env;
    this.#hooks = hooks;
    this.#socket = new WebSocket(url);
    this.#socket.onopen = () => void this.#signIn(token);
    this.#socket.onmessage = ({ data }) => this.#take(data);
    this.#socket.onclose = ({ code, reason }) => this.#end(code, reason);
    this.#socket.onerror = () => {}; // a close follows; without a handler `ws` throws
    this.#beating = env.clock.setTimeout(() => this.#end(NO_CODE, 'no answer'), OPEN_MS);
  }

  /** @param {Numbered} command @returns {Promise<Answer | undefined>} */
  ask(command) {
    const { clock } = this.#env;
    return new Promise((resolve) => {
      if (this.#ended) return resolve(undefined);
      // Halfway a ping: if nothing comes back the connection is dead, and that is not the command's fault.
      const doubt = clock.setTimeout(() => this.#listen(SHORT_PATIENCE_MS), ANSWER_MS / 2);
      const judge = () => {
        if (this.#due === undefined) settle(noAnswer('TIMEOUT', 'no answer within 5 s'));
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
  }

  /** @param {string} roomId @param {Position} [since] */
  join(roomId, since) {
    return this.ask({ t: 'join', id: this.#ownId(), roomId, since });
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

  /** @param {unknown} data */
  #take(data) {
    if (this.#ended) return;
    this.#env.clock.clearTimeout(this.#listening);
    this.#due = undefined;
    const frame = parsed(String(data));
    if (!isObject(frame) || frame.t === 'pong') return;
    if (frame.t === 'welcome') this.#begin(frame);
    // First what a `joined` says, then who waits for it: what comes right behind it finds the room joined.
    const asked = this.#asked.get(frame.id);
    if (!asked || frame.t === 'joined') this.#hooks.frame(this, frame);
    asked?.settle(frame);
  }

  /** @param {Frame} welcome */
  #begin({ me, heartbeatMs }) {
    const { clock } = this.#env;
    const beatMs = Math.min(BEAT_MS, Math.max(1_000, Number(heartbeatMs) || BEAT_MS));
    clock.clearTimeout(this.#beating);
    const next = () => {
      this.#beating = clock.setTimeout(() => {
        next();
        this.#listen(PATIENCE_MS);
      }, beatMs);
    };
    next();
    this.#hooks.welcome(this, /** @type {string} */ (me));
  }

  check() {
    this.#listen(SHORT_PATIENCE_MS);
  }

  /** Pings, and ends the connection when nothing at all is heard. @param {number} patienceMs */
  #listen(patienceMs) {
    const { clock } = this.#env;
    const due = clock.now() + patienceMs;
    if (this.#ended || (this.#due !== undefined && this.#due <= due)) return;
    clock.clearTimeout(this.#listening);
    this.#due = due;
    this.#listening = clock.setTimeout(() => {
      this.#due = undefined;
      if (clock.now() > due + SLEPT_MS) return this.#listen(patienceMs);
      this.silent = true;
      this.#end(NO_CODE, 'the connection is dead');
    }, patienceMs);
    this.#socket.send('{"t":"ping"}');
  }

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

  /** @param {number} code @param {string} reason */
  #end(code, reason) {
    if (this.#ended) return;
    if (code === TOO_BIG) this.#blameLargest();
    this.close(GIVEN_UP);
    this.#hooks.end(this, code, reason);
  }

  /** 1009 is some command's fault, and would be again: the largest one's it must be. */
  #blameLargest() {
    const [largest] = [...this.#asked.values()].sort((a, b) => b.size - a.size);
    largest?.settle(noAnswer('TOO_LARGE', 'the frame is too large'));
  }
}

/** @param {string} text @returns {any} undefined when it is not JSON */
export function parsed(text) {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
