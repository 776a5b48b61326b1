/** What a client knows of one room, and which event is the next. No I/O. @module */

/** @import { Frame, JoinedFrame, Position, RoomEvent } from '../c2c.js' */

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
  #note({ t, seq, userId, status }) {
    if (typeof userId !== 'string') return;
    if (t === 'user:status' && typeof status === 'string') this.presence.set(userId, status);
    if (seq === undefined) return; // published by hand, or not logged: nobody comes or goes by that
    if (t === 'user_joined') {
      this.members.add(userId);
      if (!this.presence.has(userId)) this.presence.set(userId, 'online');
    }
    if (t === 'user_left') {
      this.members.delete(userId);
      this.presence.delete(userId);
    }
  }
}
