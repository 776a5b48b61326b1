/**
 * The way where WebSockets are blocked: one stream of server-sent events for all rooms, and a POST for each command.
 * Read by `fetch`, because `EventSource` sends no token. Another set of rooms is another stream, which resumes where the
 * former was; any node can answer any of it.
 * @module
 */

import { isObject, noAnswer, Pacer } from './policy.js';
import { ANSWER_MS, NO_CODE, OPEN_MS, parsed, SLEPT_MS, TOKEN_REFUSED } from './socket.js';

/** @import { Answer } from '../c2c.js' */
/** @import { Environment, Hooks, Link, Numbered } from './types.js' */

/** The server's heartbeats are comments, one every 10 s. */
const BEAT_MS = 10_000;
const SILENCE_MS = 14_000;
/** Rooms that are joined together share a new stream. */
const GATHER_MS = 20;
const GOING_AWAY = 1001;
const FLOOD = 4429;
/** Commands that name no room are those of the room that everybody is in. */
const EVERYBODY = 'online';

/** @implements {Link} */
export class Stream {
  /** @type {'sse'} */
  transport = 'sse';
  pacer = new Pacer();
  silent = false;
  #clock;
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
  constructor({ clock }, http, hooks) {
    this.#clock = clock;
    this.#http = http;
    this.#hooks = hooks;
    this.#gather(0);
  }

  /** @param {Numbered} command @returns {Promise<Answer | undefined>} */
  async ask(command) {
    if (this.#ended) return undefined;
    const answer = await this.#http.post(`/api/rooms/${roomPart(command.roomId ?? EVERYBODY)}/events`, command);
    if (answer?.code === 'UNAUTHORIZED') this.#end(TOKEN_REFUSED, String(answer.message));
    else if (answer && answer.code !== 'TIMEOUT') return answer;
    // Whether the stream still lives is not known: a new one tells.
    this.silent = answer?.code === 'TIMEOUT';
    this.#end(NO_CODE, 'no answer to a command');
    return undefined;
  }

  /** @param {string} roomId @returns {Promise<Answer | undefined>} */
  join(roomId) {
    return new Promise((resolve) => {
      if (this.#ended) return resolve(undefined);
      const settle = (/** @type {Answer | undefined} */ answer) => {
        this.#clock.clearTimeout(late);
        this.#joining.delete(roomId);
        resolve(answer);
      };
      const late = this.#clock.setTimeout(() => settle(noAnswer('TIMEOUT', 'no answer')), OPEN_MS + ANSWER_MS);
      this.#joining.set(roomId, settle);
      if (!this.#open.has(roomId)) this.#gather(GATHER_MS);
    });
  }

  async leave() {
    this.#gather(GATHER_MS);
  }

  check() {
    if (this.#clock.now() - this.#heard > BEAT_MS + SLEPT_MS) this.#gather(0);
  }

  /** @param {number} ms until the stream is opened anew, with the rooms of then */
  #gather(ms) {
    if (this.#ended) return;
    this.#clock.clearTimeout(this.#gathering);
    this.#gathering = this.#clock.setTimeout(() => void this.#run(), ms);
  }

  async #run() {
    this.#abort.abort();
    const abort = (this.#abort = new AbortController());
    const current = () => this.#abort === abort && !this.#ended;
    const rooms = this.#hooks.rooms();
    this.#open = new Set(rooms.map(({ roomId }) => roomId));
    this.#hear(OPEN_MS);
    try {
      // Without a room there is nothing to hear: that the server is there must do.
      const path = rooms.length ? `/api/stream?rooms=${encodeURIComponent(JSON.stringify(rooms))}` : '/healthz';
      const response = await this.#http.request(path, { signal: abort.signal });
      if (!current()) return;
      if (!isExpected(response, rooms.length ? 'text/event-stream' : '')) {
        return this.#end({ 401: TOKEN_REFUSED, 429: FLOOD }[response.status] ?? NO_CODE, `HTTP ${response.status}`);
      }
      this.#hear(SILENCE_MS);
      if (!this.#welcomed) this.#hooks.welcome(this);
      this.#welcomed = true;
      if (!rooms.length) return this.#clock.clearTimeout(this.#silence);
      await this.#read(/** @type {ReadableStream<Uint8Array>} */ (response.body), current);
      if (current()) this.#end(GOING_AWAY, 'the stream has ended');
    } catch (error) {
      if (current()) this.#end(NO_CODE, String(error));
    }
  }

  /** @param {ReadableStream<Uint8Array>} body @param {() => boolean} current */
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
    const frame = parsed(lines.map((line) => line.slice(5)).join('\n'));
    if (!isObject(frame)) return;
    const { t, roomId } = frame;
    if (t === 'closing') return this.#end(Number(frame.code), String(frame.reason));
    const joining = t === 'joined' || t === 'error' ? this.#joining.get(roomId) : undefined;
    this.#open.delete(roomId);
    if (t !== 'error' || !joining) this.#hooks.frame(this, frame);
    joining?.(frame);
  }

  /** Something was heard. @param {number} ms how long it may be silent now */
  #hear(ms) {
    this.#heard = this.#clock.now();
    this.#clock.clearTimeout(this.#silence);
    const due = this.#heard + ms;
    this.#silence = this.#clock.setTimeout(() => {
      if (this.#clock.now() > due + SLEPT_MS) return this.#gather(0);
      this.silent = true;
      this.#end(NO_CODE, 'the stream is silent');
    }, ms);
  }

  close() {
    if (this.#ended) return;
    this.#ended = true;
    this.#clock.clearTimeout(this.#silence);
    this.#clock.clearTimeout(this.#gathering);
    this.#abort.abort();
    for (const settle of [...this.#joining.values()]) settle();
  }

  /** @param {number} code @param {string} reason */
  #end(code, reason) {
    if (this.#ended) return;
    this.close();
    this.#hooks.end(this, code, reason);
  }
}

/** A proxy's own page may be a 200 too. @param {Response} response @param {string} type */
function isExpected(response, type) {
  return response.ok && response.headers.get('Content-Type')?.startsWith(type) === true;
}

/** @param {unknown} roomId */
export function roomPart(roomId) {
  return encodeURIComponent(String(roomId));
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

  /** @param {string} path @param {RequestInit} init @returns {Promise<Response>} */
  request(path, init) {
    const url = new URL(this.#base + path);
    if (this.#lang) url.searchParams.set('lang', this.#lang);
    // A header holds no Hangul; a token of auth `dev` may. A JWT has nothing to encode.
    const token = this.#token.replace(/[^\x21-\x7e]+/g, encodeURIComponent);
    const headers = { Authorization: `Bearer ${token}`, ...init.headers };
    return this.#env.fetch(url.href, { ...init, headers, cache: 'no-store' });
  }

  /** @param {string} path @returns {Promise<any>} the envelope's `data`; undefined when there was no good answer */
  async get(path) {
    return (await this.#answered(path, {}))?.body?.data ?? undefined;
  }

  /** @param {string} path @param {Numbered} command @returns {Promise<Answer | undefined>} undefined: not sent */
  async post(path, command) {
    const headers = { 'Content-Type': 'application/json' };
    const answer = await this.#answered(path, { method: 'POST', headers, body: JSON.stringify(command) });
    if (!answer) return undefined;
    const { status, body } = answer;
    if (!status) return noAnswer('TIMEOUT', 'no answer within 5 s');
    if (body?.success) return body.data;
    // A proxy's page has no envelope.
    const { code, message, details } = body?.error ?? { code: 'SERVICE_UNAVAILABLE', message: `HTTP ${status}` };
    const retryable = status === 429 || status < 400 || status >= 500;
    return { t: 'error', id: command.id, code, message, retryable, ...details };
  }

  /** @param {string} path @param {RequestInit} init */
  async #answered(path, init) {
    const { clock } = this.#env;
    const abort = new AbortController();
    const late = clock.setTimeout(() => abort.abort(), ANSWER_MS);
    try {
      const response = await this.request(path, { ...init, signal: abort.signal });
      const text = await response.text(); // which fails when the connection breaks in it
      return { status: response.status, body: parsed(text) };
    } catch {
      return abort.signal.aborted ? { status: 0 } : undefined; // nobody answered; nobody could be asked
    } finally {
      clock.clearTimeout(late);
    }
  }
}
