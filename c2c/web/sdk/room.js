/**
 * A room that was joined: its state, its events, its commands. What begins with `_` is the client's business.
 * @module
 */

import { newId, Outbox } from './outbox.js';
import { C2CError, errorOf } from './policy.js';
import { Track } from './position.js';

/** @import { Answer, Command, JoinedFrame, RoomEvent, SendOptions, Sent } from '../c2c.js' */
/** @import { Environment, Link } from './socket.js' */

/**
 * @typedef {object} Owner what a room needs of its client
 * @property {Environment} env
 * @property {(link: Link, command: Command & {id: string}) => Promise<Answer | undefined>} ask
 * @property {(room: Room) => void} rejoin
 * @property {(room: Room) => Promise<void>} leave
 * @property {(path: string) => Promise<any>} read
 */

const FRAME_BYTES_MAX = 65_536;
const LOG_PAGE = 500;
/** Commands that the server carries out once per id, and that mean the same when they come late. */
const KEPT = new Set([
  'msg',
  'update-gbs-number',
  'create-lineup-memo',
  'update-lineup-memo',
  'delete-lineup-memo',
]);
/** What the SDK says itself; an event of that name, published by hand, is heard under `*` only. */
const OWN = new Set(['*', 'joined', 'replaced', 'closed', 'pending']);

/** Listeners by type. One that throws harms nobody else: its error goes where uncaught errors go. */
export class Listeners {
  /** @type {Map<string, Set<(detail: any) => void>>} */
  #byType = new Map();

  /**
   * @param {string} type
   * @param {(detail: any) => void} listener
   */
  on(type, listener) {
    const listeners = this.#byType.get(type) ?? new Set();
    this.#byType.set(type, listeners.add(listener));
    return () => void listeners.delete(listener);
  }

  /**
   * @param {string} type
   * @param {unknown} detail
   */
  emit(type, detail) {
    for (const listener of [...(this.#byType.get(type) ?? [])]) {
      try {
        listener(detail);
      } catch (error) {
        (globalThis.reportError ?? console.error)(error);
      }
    }
  }
}

/**
 * @param {Promise<Answer>} answered
 * @param {string} id
 * @returns {Sent}
 */
export function sent(answered, id) {
  // Whoever does not wait for an answer is not to be told of an "unhandled rejection".
  answered.catch(() => {});
  return Object.assign(answered, { id });
}

/**
 * Asks once; for commands that are not kept.
 * @param {Promise<Answer | undefined>} asked
 * @param {string} id
 */
export async function once(asked, id) {
  const answer = await asked;
  if (!answer) throw new C2CError('DISCONNECTED', undefined, {}, id);
  if (answer.t === 'error') throw errorOf(answer, id);
  return answer;
}

/** @param {unknown} command */
export function checkSize(command) {
  if (new TextEncoder().encode(JSON.stringify(command)).length > FRAME_BYTES_MAX) throw new C2CError('TOO_LARGE');
}

export class Room {
  #owner;
  #track = new Track();
  #listeners = new Listeners();
  #outbox;
  /** @type {RoomEvent[] | undefined} what came before whoever waits for the join had a chance to listen */
  #held;
  /** @type {C2CError | undefined} why the room is over */
  #over;
  /** @type {Link | undefined} the connection on which it is joined */
  _link;
  /** @type {Link | undefined} the connection on which it is being joined */
  _entering;
  /** @type {(error?: C2CError) => void} */
  #arrived = () => {};
  /** @type {Promise<void>} */
  _entered = new Promise((resolve, reject) => {
    this.#arrived = (error) => (error ? reject(error) : resolve());
  });

  /**
   * @param {string} roomId
   * @param {Owner} owner
   */
  constructor(roomId, owner) {
    const room = this;
    this.roomId = roomId;
    this.#owner = owner;
    this._entered.catch(() => {});
    this.#outbox = new Outbox({
      roomId,
      env: owner.env,
      get position() {
        return room.position;
      },
      get link() {
        return room._link;
      },
      ask: owner.ask,
      rejoin: () => owner.rejoin(room),
      readLog: (after) =>
        owner.read(`/api/rooms/${encodeURIComponent(roomId)}/events?after=${after}&limit=${LOG_PAGE}`),
      changed: () => room.#listeners.emit('pending', { t: 'pending', roomId }),
    });
  }

  get kind() {
    return this.#track.kind;
  }

  get state() {
    return this.#track.state;
  }

  /** @returns {ReadonlySet<string>} */
  get members() {
    return this.#track.members;
  }

  /** @returns {ReadonlyMap<string, string>} */
  get presence() {
    return this.#track.presence;
  }

  get position() {
    return this.#track.position;
  }

  get pending() {
    return this.#outbox.pending;
  }

  /**
   * @param {string} type
   * @param {(event: any) => void} listener
   */
  on(type, listener) {
    return this.#listeners.on(type, listener);
  }

  // Commands

  /**
   * @param {Command} command
   * @param {SendOptions} [options]
   * @returns {Sent}
   */
  send(command, { keep = KEPT.has(command.t) } = {}) {
    const whole = { ...command, roomId: this.roomId, id: command.id ?? newId() };
    return sent(this.#send(whole, keep), whole.id);
  }

  /**
   * @param {Command & {id: string, roomId: string}} command
   * @param {boolean} keep
   */
  async #send(command, keep) {
    checkSize(command);
    if (this.#over) throw this.#over;
    if (keep) return this.#outbox.add(command);
    if (!this._link) throw new C2CError('DISCONNECTED', undefined, {}, command.id);
    return once(this.#owner.ask(this._link, command), command.id);
  }

  /** @param {string} id */
  retry(id) {
    return sent(this.#over ? Promise.reject(this.#over) : this.#outbox.retry(id), id);
  }

  /** @param {string} id */
  discard(id) {
    this.#outbox.discard(id);
  }

  async leave() {
    if (this.#over) return;
    this._end(new C2CError('CLOSED', 'the room was left'));
    await this.#owner.leave(this);
  }

  // What the client tells

  get _wasIn() {
    return this.#track.position !== undefined;
  }

  /** @param {string} me */
  _signedIn(me) {
    this.#outbox.open(me);
  }

  /**
   * A `joined`, asked for or not.
   * @param {Link} link
   * @param {JoinedFrame} joined
   */
  _enter(link, joined) {
    this._link = link;
    const first = !this._wasIn;
    if (first) {
      // Who awaits `join` runs after this; hold what may be in the same packet until then.
      this.#held = [];
      this.#owner.env.clock.setTimeout(() => this.#release(), 0);
      this.#track.enter(joined);
      this.#arrived();
    } else if (this.#held) {
      this.#held.push(joined);
    } else {
      this.#reenter(joined);
    }
    void this.#outbox.flush();
  }

  /** @param {JoinedFrame} joined */
  #reenter(joined) {
    const reason = this.#track.enter(joined);
    const { roomId, state, position } = this;
    if (reason) this.#tell('replaced', { t: 'replaced', roomId, reason, state, ...position });
    this.#tell('joined', joined);
  }

  #release() {
    const held = this.#held ?? [];
    this.#held = undefined;
    for (const event of held) {
      if (event.t === 'joined') this.#reenter(/** @type {JoinedFrame} */ (event));
      else this._take(event);
    }
  }

  /** @param {RoomEvent} event */
  _take(event) {
    if (this.#over) return;
    if (this.#held) {
      this.#held.push(event);
      return;
    }
    const verdict = this.#track.take(event);
    if (verdict === 'gap') this.#owner.rejoin(this);
    if (verdict !== 'pass') return;
    if (typeof event.seq === 'number') this.#outbox.seen(event.by, event);
    if (!OWN.has(event.t)) this.#listeners.emit(event.t, event);
    this.#listeners.emit('*', event);
  }

  /** An answer that nobody waits for any more. @param {Answer} answer */
  _late(answer) {
    this.#outbox.seen(answer.id, answer);
  }

  /**
   * @param {string} type
   * @param {unknown} detail
   */
  #tell(type, detail) {
    this.#listeners.emit(type, detail);
    this.#listeners.emit('*', detail);
  }

  /** The client was closed or stopped. The room stays, for when it connects again. @param {C2CError} error */
  _pause(error) {
    this.#outbox.release(error);
  }

  /** @param {C2CError} error why the room is over, for good */
  _end(error) {
    this.#over = error;
    this._link = undefined;
    this.#outbox.release(error);
    this.#arrived(error);
    if (error.code !== 'CLOSED') this.#tell('closed', { t: 'closed', roomId: this.roomId, error });
  }
}
