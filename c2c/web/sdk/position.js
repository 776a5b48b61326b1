/**
 * What a client knows of one room, and which event is the next. No I/O.
 * @module
 */

/** @import { Frame, JoinedFrame, Position, RoomEvent } from '../c2c.js' */

/**
 * Whether a frame is a whole `joined`: anybody with redis-cli can publish what only looks like one.
 * @param {Frame} frame
 * @returns {frame is JoinedFrame}
 */
export function isJoined(frame) {
  return (
    frame.t === 'joined' &&
    typeof frame.roomId === 'string' &&
    typeof frame.epoch === 'string' &&
    typeof frame.seq === 'number' &&
    typeof frame.recovered === 'boolean' &&
    Array.isArray(frame.members) &&
    isObject(frame.presence)
  );
}

/** @param {unknown} value */
export function isObject(value) {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
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
   * Takes a `joined`, asked for or not. When the room was recovered the position stays: the missed events follow. They
   * do not change the members, which are listed as they are after them.
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
   * Looks at an event and goes to its position if it is the next. One without a `seq` is always passed on.
   * @param {RoomEvent} event
   * @returns {'pass' | 'old' | 'gap'}
   */
  take(event) {
    const { seq } = event;
    if (!this.position) return 'old';
    if (typeof seq !== 'number') {
      this.#noteStatus(event);
      return 'pass';
    }
    if (event.epoch !== this.position.epoch || seq > this.position.seq + 1) return 'gap';
    if (seq <= this.position.seq) return 'old';
    this.position = { epoch: this.position.epoch, seq };
    if (seq > this.#membersSeq) {
      this.#noteMember(event);
      this.#noteStatus(event);
    }
    return 'pass';
  }

  /** @param {RoomEvent} event */
  #noteMember({ t, userId }) {
    if (typeof userId !== 'string') return;
    if (t === 'user_joined') {
      this.members.add(userId);
      if (!this.presence.has(userId)) this.presence.set(userId, 'online');
    } else if (t === 'user_left') {
      this.members.delete(userId);
      this.presence.delete(userId);
    }
  }

  /** @param {RoomEvent} event */
  #noteStatus({ t, userId, status }) {
    if (t === 'user:status' && typeof userId === 'string' && typeof status === 'string') {
      this.presence.set(userId, status);
    }
  }
}
