/** A room that was joined: its state, its events, its commands. What begins with `_` is the client's. @module */

import { newId, Outbox } from './outbox.js';
import { C2CError, errorOf, isJoined, Track } from './policy.js';
import { roomPart } from './sse.js';

/** @import { Answer, Command, JoinedFrame, RoomEvent, SendOptions, Sent } from '../c2c.js' */
/** @import { Link, Owner } from './types.js' */

const FRAME_BYTES_MAX = 65_536;
/** Commands that the server carries out once per id, and that mean the same when they come late. */
const KEPT = [
  'msg',
  'update-gbs-number',
  'update-gbs-numbers',
  'create-lineup-memo',
  'update-lineup-memo',
  'delete-lineup-memo',
  'undo-lineup',
];
/** What the SDK says itself; an event of that name, published by hand, is heard under `*` only. */
const OWN = ['*', 'joined', 'replaced', 'closed', 'pending'];

/** Listeners by type. One that throws harms nobody else: its error goes where uncaught errors go. */
export class Listeners {
  /** @type {Map<string, Set<(detail: any) => void>>} */
  #byType = new Map();

  /** @param {string} type @param {(detail: any) => void} listener */
  on(type, listener) {
    const listeners = this.#byType.get(type) ?? new Set();
    this.#byType.set(type, listeners.add(listener));
    return () => void listeners.delete(listener);
  }

  /** @param {string} type @param {unknown} detail */
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

/** @param {Promise<Answer>} answered @param {string} id @returns {Sent} */
export function sent(answered, id) {
  answered.catch(() => {}); // who does not wait for an answer is not told of an "unhandled rejection"
  return Object.assign(answered, { id });
}

/**
 * Asks once, for what is not kept.
 * @param {Command & {id: string}} command
 * @param {Link | undefined} link
 * @param {Owner} owner
 */
export async function askOnce(command, link, owner) {
  checkSize(command);
  const answer = link && (await owner.ask(link, command));
  if (!answer) throw new C2CError('DISCONNECTED', undefined, {}, command.id);
  if (answer.t === 'error') throw errorOf(answer, command.id);
  return answer;
}

/** @param {Command} command */
function checkSize(command) {
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

  /** @param {string} roomId @param {Owner} owner */
  constructor(roomId, owner) {
    const room = this;
    const log = `/api/rooms/${roomPart(roomId)}/events?limit=500&after=`;
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
      readLog: (after) => owner.http().get(log + after),
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

  /** @param {string} type @param {(event: any) => void} listener */
  on(type, listener) {
    return this.#listeners.on(type, listener);
  }

  /** @param {Command} command @param {SendOptions} [options] */
  send(command, { keep = KEPT.includes(command.t) } = {}) {
    const whole = { ...command, roomId: this.roomId, id: command.id ?? newId() };
    return sent(this.#send(whole, keep), whole.id);
  }

  /** @param {Command & {id: string, roomId: string}} command @param {boolean} keep */
  async #send(command, keep) {
    if (this.#over) throw this.#over;
    if (!keep) return askOnce(command, this._link, this.#owner);
    checkSize(command);
    return this.#outbox.add(command);
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
    return this.position !== undefined;
  }

  /** @param {string} me */
  _signedIn(me) {
    this.#outbox.open(me);
  }

  /** A `joined`, asked for or not. @param {Link} link @param {JoinedFrame} joined */
  _enter(link, joined) {
    this._link = link;
    this.#outbox.entered(joined);
    if (this._wasIn) {
      this._take(joined);
    } else {
      this.#track.enter(joined);
      // Who awaits `join` runs after this; what may be in the same packet is held until then.
      this.#held = [];
      this.#owner.env.clock.setTimeout(() => this.#release(), 0);
      this.#arrived();
    }
    void this.#outbox.flush();
  }

  #release() {
    const held = this.#held ?? [];
    this.#held = undefined;
    for (const frame of held) this._take(frame);
  }

  /** An event, or a `joined` that is not the first. @param {RoomEvent} frame */
  _take(frame) {
    if (this.#over) return;
    if (this.#held) this.#held.push(frame);
    else if (isJoined(frame)) this.#reenter(frame);
    else this.#event(frame);
  }

  /** @param {JoinedFrame} joined */
  #reenter(joined) {
    const reason = this.#track.enter(joined);
    const { roomId, state, position } = this;
    if (reason) this.#tell('replaced', { t: 'replaced', roomId, reason, state, ...position });
    this.#tell('joined', joined);
  }

  /** @param {RoomEvent} event */
  #event(event) {
    const verdict = this.#track.take(event);
    if (verdict === 'gap') this.#owner.rejoin(this);
    if (verdict !== 'pass') return;
    if (event.seq !== undefined) this.#outbox.seen(event.by, event);
    if (!OWN.includes(event.t)) this.#listeners.emit(event.t, event);
    this.#listeners.emit('*', event);
  }

  /** An answer that nobody waits for any more. @param {Answer} answer */
  _late(answer) {
    this.#outbox.seen(answer.id, answer);
  }

  /** @param {string} type @param {unknown} detail */
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
    this.#outbox.end(error);
    this.#arrived(error);
    if (error.code !== 'CLOSED') this.#tell('closed', { t: 'closed', roomId: this.roomId, error });
  }
}
