/** One user's connection: one link at a time, opened again whenever it breaks, and the rooms on it. @module */

import { newId } from './outbox.js';
import { afterClose, Backoff, C2CError, errorOf, isJoined } from './policy.js';
import { askOnce, Listeners, Room, sent } from './room.js';
import { NO_CODE, Socket } from './socket.js';
import { Http, Stream } from './sse.js';

/** @import { Answer, Command, Connection, Frame, JoinedFrame, Options, Status } from '../c2c.js' */
/** @import { Environment, Hooks, Link, Owner } from './types.js' */

/** @typedef {'idle' | 'asleep' | 'waiting' | 'opening' | 'open'} Phase */

/** @type {Record<Phase, Status>} */
const STATUS = {
  idle: 'disconnected',
  asleep: 'disconnected',
  waiting: 'connecting',
  opening: 'connecting',
  open: 'connected',
};
const STABLE_MS = 10_000;
const HIDDEN_MS = 60_000;
const WAKE_JITTER_MS = 250;
/** After so many failures in a row WebSockets may be blocked: fewer where one has never been open. */
const BLOCKED_AFTER = 2;
const BLOCKED_AFTER_OPEN = 5;
const UPGRADE_MS = 60_000;
const UPGRADE_SOON_MS = 5_000;
const REJOIN_MS = 1_000;
const REJOIN_MAX_MS = 5_000;
/** A room that Redis lost is opened again by the nodes that have members of it: so often we ask. */
const REOPENING_TRIES = 8;
const ROOM_ID = /^[\p{L}\p{M}\p{N}._@:-]{1,64}$/u;
const GOODBYE = 1000;
const BACK_SOON = 4000;

export class C2C {
  /** @type {Map<string, Room>} */
  rooms = new Map();
  me = '';
  /** @type {Connection} */
  connection = { status: 'disconnected' };
  /** @type {Phase} */
  #phase = 'idle';
  #listeners = new Listeners();
  #options;
  #env;
  #backoff;
  #base;
  /** @type {string | undefined} */
  #token;
  /** @type {Link | undefined} opening or open */
  #link;
  /** @type {Link | undefined} a WebSocket tried behind a stream that works */
  #upgrade;
  /** Counts attempts, so that an outdated one recognises itself. */
  #turn = 0;
  #failures = 0;
  #wasOpen = false;
  /** @type {Record<string, unknown>} */
  #timers = {};
  /** @type {(() => void) | undefined} */
  #unwatch;
  /** @type {Hooks} */
  #hooks = {
    welcome: (link, me) => this.#welcome(link, me),
    frame: (link, frame) => this.#take(link, frame),
    end: (link, code, reason) => this.#ended(link, code, reason),
    rooms: () => [...this.rooms.values()].map(({ roomId, position }) => ({ roomId, since: position })),
  };
  /** @type {Owner} */
  #owner;

  /** @param {Options} options */
  constructor(options) {
    this.#options = options;
    this.#env = environment(options);
    this.#backoff = new Backoff(this.#env.random);
    this.lang = options.lang;
    const { protocol, host, pathname } = new URL(options.url ?? '/', this.#env.page.location?.href);
    const secure = protocol === 'https:' || protocol === 'wss:' ? 's' : '';
    this.#base = `${secure}://${host}${pathname.replace(/\/(ws\/?)?$/, '')}`;
    this.#owner = {
      env: this.#env,
      ask: (link, command) => this.#ask(link, () => link.ask(command)),
      rejoin: (room) => this.#rejoin(room),
      leave: (room) => this.#leave(room),
      http: () => new Http(this.#env, `http${this.#base}`, this.#token ?? '', this.lang),
    };
  }

  get status() {
    return STATUS[this.#phase];
  }

  /** @param {'status'} type @param {(connection: Connection) => void} listener */
  on(type, listener) {
    return this.#listeners.on(type, listener);
  }

  // What pages do

  /** @returns {Promise<void>} */
  connect() {
    const connected = new Promise((/** @type {(nothing: void) => void} */ resolve, reject) => {
      if (this.#phase === 'open') return resolve();
      const off = this.on('status', ({ reason, code }) => {
        if (this.#phase === 'open') resolve();
        else if (this.#phase === 'idle') reject(new C2CError('CLOSED', reason, { closeCode: code }));
        else return;
        off();
      });
    });
    connected.catch(() => {});
    if (this.status === 'disconnected') this.#begin();
    return connected;
  }

  close() {
    if (this.#phase !== 'idle') this.#stop(NO_CODE, 'closed');
  }

  retryNow() {
    if (this.#phase !== 'open' && this.#phase !== 'opening') this.#begin();
  }

  /** @param {string} roomId */
  async join(roomId) {
    const id = roomId.normalize('NFC');
    // On a stream one bad id would refuse all rooms.
    if (!ROOM_ID.test(id)) throw new C2CError('BAD_VALUE', undefined, { field: 'roomId' });
    let room = this.rooms.get(id);
    if (!room) {
      room = new Room(id, this.#owner);
      this.rooms.set(id, room);
      if (this.me) room._signedIn(this.me);
      if (this.#phase === 'open') void this.#enter(room);
    }
    void this.connect();
    await room._entered;
    return room;
  }

  /** @param {Command} command */
  send(command) {
    const whole = { ...command, id: command.id ?? newId() };
    return sent(askOnce(whole, this.#phase === 'open' ? this.#link : undefined, this.#owner), whole.id);
  }

  // Connecting

  #begin() {
    this.#watchPage();
    void this.#open();
  }

  async #open() {
    const turn = ++this.#turn;
    this.#to('opening', { attempt: this.#backoff.attempt });
    try {
      if (turn === this.#turn) this.#token ??= await this.#options.token();
    } catch (error) {
      if (turn === this.#turn) this.#later(NO_CODE, `no token: ${error}`);
      return;
    }
    if (turn === this.#turn) this.#link = this.#makeLink();
  }

  /** @returns {Link} */
  #makeLink() {
    const limit = this.#wasOpen ? BLOCKED_AFTER_OPEN : BLOCKED_AFTER;
    const socket = this.#failures < limit && this.#makeSocket();
    if (socket) return socket;
    this.#failures = limit - 1; // if this fails too, the next attempt is a WebSocket again
    return new Stream(this.#env, this.#owner.http(), this.#hooks);
  }

  #makeSocket() {
    const { WebSocket } = this.#env;
    const url = `ws${this.#base}/ws${this.lang ? `?lang=${encodeURIComponent(this.lang)}` : ''}`;
    try {
      return WebSocket && new Socket(this.#env, WebSocket, url, this.#token ?? '', this.#hooks);
    } catch {
      return undefined; // refused by a policy of the browser
    }
  }

  /** @param {Link} link @param {string} [me] */
  #welcome(link, me) {
    if (link === this.#upgrade) this.#replaceLink(link);
    if (link !== this.#link || !this.#isMe(me)) return;
    if (link.transport === 'websocket') {
      this.#wasOpen = true;
      this.#failures = 0;
    } else {
      this.#upgradeIn(this.#wasOpen ? UPGRADE_SOON_MS : UPGRADE_MS);
      this.#failures = BLOCKED_AFTER_OPEN; // should it break, the next is a stream again
    }
    this.#set('stable', STABLE_MS, () => this.#backoff.reset());
    for (const room of this.rooms.values()) void this.#enter(room);
    this.#to('open', { transport: link.transport });
  }

  /** Commands of one user never go out as another's. @param {string} [me] undefined: not known yet */
  #isMe(me = this.me) {
    if (me === this.me) return true;
    if (this.me) {
      this.#stop(NO_CODE, 'signed in as somebody else');
      return false;
    }
    this.me = me;
    for (const room of this.rooms.values()) room._signedIn(me);
    return true;
  }

  /** @param {Link} link @param {number} code @param {string} reason */
  #ended(link, code, reason) {
    if (link === this.#upgrade) {
      this.#upgrade = undefined;
      this.#upgradeIn(UPGRADE_MS);
    }
    if (link !== this.#link) return;
    // A close code of the application's own says that frames do get through.
    if (this.#phase === 'opening' && link.transport === 'websocket' && code < 4000) this.#failures++;
    this.#drop();
    const after = afterClose(code);
    if (after === 'token') this.#token = undefined;
    if (after === 'stop') this.#stop(code, reason);
    else this.#later(code, reason);
  }

  /** Forgets the link and all that depends on it. @returns {Link | undefined} the link */
  #drop() {
    const link = this.#link;
    this.#upgrade?.close(BACK_SOON);
    this.#link = this.#upgrade = undefined;
    for (const name of ['retry', 'stable', 'upgrade']) this.#set(name);
    for (const room of this.rooms.values()) room._link = room._entering = undefined;
    return link;
  }

  /** @param {number} code @param {string} reason */
  #later(code, reason) {
    this.#wait(this.#backoff.delayMs(code), { code, reason });
  }

  /** @param {number} ms @param {Partial<Connection>} detail */
  #wait(ms, detail) {
    this.#set('retry', ms, () => void this.#open());
    this.#to('waiting', { ...detail, retryAt: this.#env.clock.now() + ms, attempt: this.#backoff.attempt });
  }

  /** @param {number} code @param {string} reason */
  #stop(code, reason) {
    const error = new C2CError('CLOSED', reason, { closeCode: code });
    this.#turn++;
    this.#drop()?.close(GOODBYE);
    this.#set('hidden');
    this.#unwatch?.();
    this.#unwatch = undefined;
    for (const room of [...this.rooms.values()]) {
      if (room._wasIn) room._pause(error);
      else this.#forget(room, error);
    }
    this.#to('idle', { code, reason });
  }

  // From the stream back to a WebSocket

  /** @param {number} ms */
  #upgradeIn(ms) {
    this.#set('upgrade', ms, () => {
      this.#upgrade = this.#makeSocket();
      if (!this.#upgrade) this.#upgradeIn(UPGRADE_MS);
    });
  }

  /** @param {Link} link signed in: the rooms move to it, each from its position */
  #replaceLink(link) {
    this.#upgrade = undefined;
    this.#drop()?.close(BACK_SOON);
    this.#link = link;
  }

  // The page

  #watchPage() {
    const { page } = this.#env;
    if (this.#unwatch || !page.addEventListener) return;
    // Browsers that say where a page goes say so right before it is hidden. The others get no goodbye from us: others in
    // the room must not see us leave because we reload.
    let isGoing = 'onpageswap' in page;
    const online = () => this.#wake();
    const swap = (/** @type {any} */ { activation }) => (isGoing &&= !activation);
    const hide = () => isGoing && this.#sleep(GOODBYE);
    const show = () => {
      isGoing = 'onpageswap' in page;
      turn();
    };
    const turn = () => {
      this.#set('hidden');
      if (page.document?.hidden) this.#fallAsleepLater();
      else if (this.#phase === 'asleep') void this.#open();
      else this.#wake();
    };
    const listeners = { online, pageswap: swap, pagehide: hide, pageshow: show };
    for (const [type, listener] of Object.entries(listeners)) page.addEventListener(type, listener);
    page.document?.addEventListener('visibilitychange', turn);
    this.#unwatch = () => {
      for (const [type, listener] of Object.entries(listeners)) page.removeEventListener(type, listener);
      page.document?.removeEventListener('visibilitychange', turn);
    };
  }

  /** The network or the reader is back: connect at once, and don't trust a connection that looks alive. */
  #wake() {
    if (this.#phase === 'open') this.#link?.check();
    if (this.#phase !== 'waiting') return;
    if (this.#wasOpen) this.#failures = 0;
    this.#wait(this.#env.random() * WAKE_JITTER_MS, {});
  }

  /** A phone has better uses for its battery than a page that nobody sees. */
  #fallAsleepLater() {
    const { page } = this.#env;
    if (!page.matchMedia?.('(pointer: coarse)').matches) return;
    this.#set('hidden', HIDDEN_MS, () => page.document.hidden && this.#sleep(BACK_SOON));
  }

  /** Until the page is seen again. @param {number} code */
  #sleep(code) {
    this.#turn++;
    this.#drop()?.close(code);
    this.#to('asleep', { reason: 'hidden' });
  }

  // Rooms

  /** Joins a room on the present link, as often as it takes. `#take` does the rest, in order. @param {Room} room */
  async #enter(room) {
    const link = this.#link;
    if (!link || room._entering === link) return;
    room._entering = link;
    const wanted = () => room._entering === link && this.rooms.get(room.roomId) === room;
    for (let tries = 0; wanted() && room._link !== link; tries++) {
      const answer = await this.#ask(link, () => link.join(room.roomId, room.position));
      if (!wanted() || !answer) return;
      if (room._link === link) break;
      const reopening = room._wasIn && answer.code === 'ROOM_NOT_FOUND' && tries < REOPENING_TRIES;
      const passing = answer.retryable === true || answer.code === 'TIMEOUT' || reopening;
      if (answer.t === 'error' && !passing) return this.#forget(room, errorOf(answer));
      const longer = Math.min(REJOIN_MAX_MS, (Number(answer.retryAfterMs) || REJOIN_MS) * (1 + tries / 2));
      await this.#pause(longer * (1 + this.#env.random() / 4));
    }
    if (room._entering === link) room._entering = undefined;
  }

  /** @param {Room} room */
  #rejoin(room) {
    room._link = undefined;
    if (this.#phase === 'open') void this.#enter(room);
  }

  /** @param {Room} room @param {C2CError} error */
  #forget(room, error) {
    this.rooms.delete(room.roomId);
    room._end(error);
  }

  /** @param {Room} room */
  async #leave(room) {
    const link = this.#link;
    this.rooms.delete(room.roomId);
    if (link && this.#phase === 'open') await this.#ask(link, () => link.leave(room.roomId));
  }

  // Frames

  /**
   * Asks in the pace that the server allows.
   * @template T
   * @param {Link} link
   * @param {() => Promise<T>} asked
   */
  async #ask(link, asked) {
    const { clock } = this.#env;
    const ms = link.pacer.reserveMs(clock.now());
    if (ms > 0) await this.#pause(ms);
    const answer = await asked();
    const { code, retryAfterMs } = /** @type {Partial<Answer>} */ (answer ?? {});
    if (code === 'RATE_LIMITED') link.pacer.refused(clock.now(), Number(retryAfterMs) || REJOIN_MS);
    return answer;
  }

  /** @param {Link} link @param {Frame} frame */
  #take(link, frame) {
    if (link !== this.#link) return;
    if (isJoined(frame)) return this.#joined(link, frame);
    const room = this.#roomOf(frame);
    if (frame.t === 'error') {
      // On a stream: a room that was in it can't be in the next.
      if (room && frame.roomId !== undefined) this.#rejoin(room);
    } else if (frame.id !== undefined && frame.timestamp === undefined) {
      for (const each of this.rooms.values()) each._late(frame);
    } else if (frame.t === 'left' && frame.seq === undefined) {
      if (room) this.#moved(room);
    } else if (room?._link === link) {
      room._take(frame);
    }
  }

  /** Of some kinds one is in one room at a time: another was joined. @param {Room} room */
  #moved(room) {
    this.rooms.delete(room.roomId);
    room._end(new C2CError('CLOSED', 'another room of its kind was joined'));
  }

  /** @param {Link} link @param {JoinedFrame} joined */
  #joined(link, joined) {
    if (this.#isMe(joined.me)) this.rooms.get(joined.roomId)?._enter(link, joined);
  }

  /** What was published by hand may name no room: it can only be from the one there is. @param {Frame} frame */
  #roomOf({ roomId }) {
    return roomId === undefined && this.rooms.size === 1 ? [...this.rooms.values()][0] : this.rooms.get(String(roomId));
  }

  // Small things

  /** @param {Phase} phase @param {Partial<Connection>} detail */
  #to(phase, detail) {
    if (phase !== 'waiting') this.#set('retry');
    this.#phase = phase;
    this.connection = { ...detail, status: STATUS[phase] };
    this.#listeners.emit('status', this.connection);
  }

  /** Sets a timer in place of the former, or none. @param {string} name @param {number} [ms] @param {() => void} [work] */
  #set(name, ms = 0, work) {
    const { clock } = this.#env;
    clock.clearTimeout(this.#timers[name]);
    this.#timers[name] = work && clock.setTimeout(work, ms);
  }

  /** @param {number} ms */
  #pause(ms) {
    return new Promise((resolve) => this.#env.clock.setTimeout(() => resolve(undefined), ms));
  }
}

/** @param {Options} options @returns {Environment} */
function environment(options) {
  const page = options.page ?? globalThis;
  return {
    WebSocket: options.WebSocket ?? page.WebSocket,
    fetch: options.fetch ?? ((input, init) => fetch(input, init)),
    storage: options.storage === undefined ? localStorageOf(page) : (options.storage ?? undefined),
    random: options.random ?? Math.random,
    clock: options.clock ?? {
      now: () => Date.now(),
      setTimeout: (work, ms) => setTimeout(work, ms),
      clearTimeout: (timer) => clearTimeout(timer),
    },
    page,
  };
}

/** @param {any} page */
function localStorageOf(page) {
  try {
    return page.localStorage;
  } catch {
    return undefined; // refused by the browser's settings
  }
}
