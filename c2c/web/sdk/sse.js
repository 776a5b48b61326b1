/**
 * The way where WebSockets are blocked: one stream of server-sent events for all rooms, and a POST for each command.
 *
 * Read by `fetch`, because `EventSource` sends no token. Another set of rooms is another stream, which resumes where the
 * former was; any node can answer any of it.
 * @module
 */

import { isObject } from './position.js';
import { noAnswer, Pacer } from './policy.js';
import { ANSWER_MS, NO_CODE, OPEN_MS, SLEPT_MS } from './socket.js';

/** @import { Answer, Command, Frame, Position } from '../c2c.js' */
/** @import { Environment, Hooks, Link } from './socket.js' */

/** The server's heartbeats are comments, one every 10 s. */
const SILENCE_MS = 14_000;
const BEAT_MS = 10_000;
/** Rooms that are joined together share a new stream. */
const GATHER_MS = 20;
const GOING_AWAY = 1001;
const TOKEN_REFUSED = 4401;
const FLOOD = 4429;
/** Commands that name no room are those of the room that everybody is in. */
const EVERYBODY = 'online';

/** @implements {Link} */
export class Stream {
  /** @type {'sse'} */
  transport = 'sse';
  pacer = new Pacer();
  silent = false;
  #env;
  #http;
  #hooks;
  #ended = false;
  #welcomed = false;
  #heard = 0;
  #abort = new AbortController();
  /** @type {Set<string>} rooms of the present stream that the server has said nothing about yet */
  #open = new Set();
  /** @type {Map<string, (answer?: Answer) => void>} */
  #joining = new Map();
  /** @type {unknown} */
  #gathering;
  /** @type {unknown} */
  #silence;

  /**
   * @param {Environment} env
   * @param {Http} http
   * @param {Hooks} hooks
   */
  constructor(env, http, hooks) {
    this.#env = env;
    this.#http = http;
    this.#hooks = hooks;
    this.#gather(0);
  }

  // Asking

  /**
   * @param {Command & {id: string}} command
   * @returns {Promise<Answer | undefined>}
   */
  async ask(command) {
    if (this.#ended) return undefined;
    const path = `/api/rooms/${encodeURIComponent(String(command.roomId ?? EVERYBODY))}/events`;
    const answer = await this.#http.post(path, command);
    if (answer?.code === 'UNAUTHORIZED') this.#end(TOKEN_REFUSED, String(answer.message));
    else if (answer && answer.code !== 'TIMEOUT') return answer;
    // Whether the stream still lives is not known: a new one tells.
    this.silent = answer?.code === 'TIMEOUT';
    this.#end(NO_CODE, 'no answer to a command');
    return undefined;
  }

  /**
   * @param {string} roomId
   * @returns {Promise<Answer | undefined>}
   */
  join(roomId) {
    const { clock } = this.#env;
    return new Promise((resolve) => {
      if (this.#ended) return resolve(undefined);
      const settle = (/** @type {Answer | undefined} */ answer) => {
        clock.clearTimeout(late);
        this.#joining.delete(roomId);
        resolve(answer);
      };
      const late = clock.setTimeout(() => settle(noAnswer('TIMEOUT', 'no answer to a join')), OPEN_MS + ANSWER_MS);
      this.#joining.set(roomId, settle);
      if (!this.#open.has(roomId)) this.#gather(GATHER_MS);
    });
  }

  async leave() {
    this.#gather(GATHER_MS);
  }

  check() {
    if (this.#env.clock.now() - this.#heard > BEAT_MS + SLEPT_MS) this.#gather(0);
  }

  // Hearing

  /** @param {number} ms until the stream is opened anew, with the rooms of then */
  #gather(ms) {
    if (this.#ended) return;
    this.#env.clock.clearTimeout(this.#gathering);
    this.#gathering = this.#env.clock.setTimeout(() => void this.#run(), ms);
  }

  async #run() {
    this.#abort.abort();
    const abort = (this.#abort = new AbortController());
    const rooms = this.#hooks.rooms();
    this.#open = new Set(rooms.map(({ roomId }) => roomId));
    this.#hear(OPEN_MS);
    let code = GOING_AWAY;
    let reason = 'the stream has ended';
    try {
      const path = rooms.length ? `/api/stream?rooms=${encodeURIComponent(JSON.stringify(rooms))}` : '/healthz';
      const response = await this.#http.request(path, { signal: abort.signal });
      if (this.#abort !== abort || this.#ended) return;
      const expected = rooms.length ? 'text/event-stream' : '';
      if (!response.ok || !response.headers.get('Content-Type')?.startsWith(expected)) {
        this.#end({ 401: TOKEN_REFUSED, 429: FLOOD }[response.status] ?? NO_CODE, `HTTP ${response.status}`);
        return;
      }
      this.#hear(SILENCE_MS);
      if (!this.#welcomed) this.#hooks.welcome(this, {});
      this.#welcomed = true;
      // Without a room there is nothing to hear: that the server is there must do.
      if (!rooms.length) return this.#env.clock.clearTimeout(this.#silence);
      if (response.body) await this.#read(response.body, () => this.#abort === abort);
    } catch (error) {
      [code, reason] = [NO_CODE, String(error)];
    }
    if (this.#abort === abort) this.#end(code, reason);
  }

  /**
   * @param {ReadableStream<Uint8Array>} body
   * @param {() => boolean} current
   */
  async #read(body, current) {
    const reader = body.getReader();
    const decoder = new TextDecoder();
    let text = '';
    for (;;) {
      const { done, value } = await reader.read();
      if (done || !current()) return;
      this.#hear(SILENCE_MS);
      const blocks = (text + decoder.decode(value, { stream: true })).split(/\r?\n\r?\n/);
      text = blocks.pop() ?? '';
      for (const block of blocks) if (current()) this.#take(block);
    }
  }

  /** @param {string} block the lines of one event, or comments */
  #take(block) {
    const lines = block.split(/\r?\n/).filter((line) => line.startsWith('data:'));
    const data = lines.map((line) => line.slice(line[5] === ' ' ? 6 : 5)).join('\n');
    const frame = parsed(data);
    if (!isObject(frame)) return; // a comment, or nothing this protocol knows
    const { t, roomId } = frame;
    if (t === 'closing') return this.#end(Number(frame.code), String(frame.reason));
    const joining = t === 'joined' || t === 'error' ? this.#joining.get(roomId) : undefined;
    this.#open.delete(roomId);
    if (t !== 'error' || !joining) this.#hooks.frame(this, frame);
    joining?.(frame);
  }

  /** @param {number} ms heard something; end when there is nothing more that long */
  #hear(ms) {
    const { clock } = this.#env;
    this.#heard = clock.now();
    clock.clearTimeout(this.#silence);
    const due = this.#heard + ms;
    this.#silence = clock.setTimeout(() => {
      if (clock.now() > due + SLEPT_MS) return this.#gather(0);
      this.silent = true;
      this.#end(NO_CODE, 'the stream is silent');
    }, ms);
  }

  // Ending

  close() {
    if (this.#ended) return;
    this.#ended = true;
    this.#env.clock.clearTimeout(this.#silence);
    this.#env.clock.clearTimeout(this.#gathering);
    this.#abort.abort();
    for (const settle of [...this.#joining.values()]) settle();
  }

  /**
   * @param {number} code
   * @param {string} reason
   */
  #end(code, reason) {
    if (this.#ended) return;
    this.close();
    this.#hooks.end(this, code, reason);
  }
}

/**
 * @param {string} text
 * @returns {any} undefined when it is not JSON
 */
function parsed(text) {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** The server's REST, as one user. */
export class Http {
  #env;
  #base;
  #token;
  #lang;

  /**
   * @param {Environment} env
   * @param {string} base the server's origin, and a path in front of `/api` if it has one
   * @param {string} token
   * @param {string} [lang]
   */
  constructor(env, base, token, lang) {
    this.#env = env;
    this.#base = base;
    this.#token = token;
    this.#lang = lang;
  }

  /**
   * @param {string} path
   * @param {RequestInit} init
   * @returns {Promise<Response>}
   */
  request(path, init) {
    const url = new URL(this.#base + path);
    if (this.#lang) url.searchParams.set('lang', this.#lang);
    // A header holds no Hangul; a token of auth `dev` may. The server decodes it, and a JWT has nothing to encode.
    const token = this.#token.replace(/[^\x21-\x7e]+/g, encodeURIComponent);
    const headers = { Authorization: `Bearer ${token}`, ...init.headers };
    return this.#env.fetch(url.href, { ...init, headers, cache: 'no-store', credentials: 'same-origin' });
  }

  /**
   * @param {string} path
   * @returns {Promise<any>} the envelope's `data`; undefined when there was no good answer
   */
  async get(path) {
    const answer = await this.#answered(path, {});
    return answer?.body?.success ? answer.body.data : undefined;
  }

  /**
   * @param {string} path
   * @param {Command & {id: string}} command
   * @returns {Promise<Answer | undefined>} undefined when it could not be sent
   */
  async post(path, command) {
    const headers = { 'Content-Type': 'application/json' };
    const answer = await this.#answered(path, { method: 'POST', headers, body: JSON.stringify(command) });
    if (!answer) return undefined;
    const { status, body } = answer;
    if (!status) return noAnswer('TIMEOUT', 'no answer to a command');
    if (body?.success) return body.data;
    // A proxy's page has no envelope.
    const { code, message, details } = body?.error ?? { code: 'SERVICE_UNAVAILABLE', message: `HTTP ${status}` };
    const retryable = status === 429 || status < 400 || status >= 500;
    return { t: 'error', id: command.id, code, message, retryable, ...details };
  }

  /**
   * @param {string} path
   * @param {RequestInit} init
   */
  async #answered(path, init) {
    const abort = new AbortController();
    const late = this.#env.clock.setTimeout(() => abort.abort(), ANSWER_MS);
    try {
      const response = await this.request(path, { ...init, signal: abort.signal });
      const text = await response.text(); // which fails when the connection breaks in it
      return { status: response.status, body: parsed(text) };
    } catch {
      return abort.signal.aborted ? { status: 0 } : undefined; // nobody answered; nobody could be asked
    } finally {
      this.#env.clock.clearTimeout(late);
    }
  }
}
