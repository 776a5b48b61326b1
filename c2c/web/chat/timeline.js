/**
 * The messages a page holds, in order: those of the log, then one's own that are still on their way. No DOM here.
 * @module
 */

/**
 * @typedef {object} Message
 * @property {string} key the same for as long as the message is shown
 * @property {string} from user id
 * @property {string} name
 * @property {string} text
 * @property {number} at ms since 1970
 * @property {string} day on which it was here
 * @property {number} [seq] its place in the log; missing on its way there, and when it was published by hand
 * @property {string} [id] the command's id, while on its way
 * @property {'sending' | 'failed'} [state]
 * @property {string} [code] why it failed
 */
/** @typedef {{[name: string]: unknown}} Event an event as it came, not to be trusted to have what it should */
/**
 * @typedef {object} Pending
 * @property {string} id
 * @property {{[name: string]: unknown}} command
 * @property {'sending' | 'failed'} state
 * @property {string} [code]
 */

const GROUP_MS = 5 * 60_000;
const HELD = 12_000;

/**
 * Positions are counted from the first message that was ever held, so they stay when older ones are put in front
 * (those have negative positions) or let go.
 */
export class Timeline {
  /** @param {{userId: string, name: string}} me */
  constructor(me) {
    this.me = me;
    /** @type {Message[]} */
    this.logged = [];
    /** @type {Message[]} */
    this.pending = [];
    this.start = 0;
    this.more = false;
    this.byHand = 0;
    /** @type {Set<string>} the ids of my commands whose events are here */
    this.settled = new Set();
    /** @type {Set<string>} the ids of commands that this page has sent itself */
    this.sentHere = new Set();
  }

  get end() {
    return this.start + this.logged.length + this.pending.length;
  }

  /** @returns {number | undefined} where history goes on */
  get oldestSeq() {
    return this.logged.find((message) => message.seq !== undefined)?.seq;
  }

  /**
   * @param {number} position
   * @returns {Message} undefined outside
   */
  at(position) {
    const index = position - this.start;
    return index < this.logged.length ? this.logged[index] : this.pending[index - this.logged.length];
  }

  /** @param {string | undefined} key */
  positionOf(key) {
    const index = this.logged.findIndex((message) => message.key === key);
    return index < 0 ? undefined : this.start + index;
  }

  /**
   * Begins anew with what a room shows a newcomer.
   * @param {unknown} events
   * @param {unknown} more whether there are older ones
   */
  replace(events, more) {
    this.settled.clear();
    this.logged = this.read(events);
    this.start = 0;
    this.more = more === true;
    this.pending = [];
  }

  /**
   * Puts a page of history in front.
   * @param {unknown} events
   * @param {unknown} more
   */
  prepend(events, more) {
    const oldest = this.oldestSeq ?? Infinity;
    const older = this.read(events).filter((message) => (message.seq ?? Infinity) < oldest);
    this.logged.unshift(...older);
    this.start -= older.length;
    this.more = more === true && older.length > 0;
  }

  /**
   * Adds what has just happened.
   * @param {Event} event
   * @returns {Message | undefined} undefined when it is no message, or one that is here already
   */
  append(event) {
    const message = this.messageOf(event);
    if (!message || this.isKnown(message)) return undefined;
    this.logged.push(message);
    this.hideSettled();
    return message;
  }

  /** @param {Message} message */
  isKnown({ seq = Infinity }) {
    let last = this.logged.length - 1;
    while (last >= 0 && this.logged[last].seq === undefined) last -= 1;
    return seq <= (this.logged[last]?.seq ?? 0);
  }

  /**
   * Lets the oldest go when there are too many, but none behind a position; history brings them back.
   * @param {number} position
   */
  trim(position) {
    const excess = Math.min(this.logged.length - HELD, position - this.start);
    if (excess <= 0) return;
    this.logged.splice(0, excess);
    this.start += excess;
    this.more = true;
  }

  /**
   * My commands that are kept until the server has answered. One that I see answered stays until its event comes.
   * @param {Iterable<Pending>} kept
   */
  setPending(kept) {
    const commands = [...kept].filter(({ command }) => command.t === 'msg');
    const ids = new Set(commands.map(({ id }) => id));
    const answered = this.pending.filter(({ id = '' }) => !ids.has(id) && this.sentHere.has(id));
    this.pending = [...answered, ...commands.map((command) => this.onItsWay(command))];
    this.hideSettled();
    for (const id of [...this.settled]) if (!ids.has(id)) this.settled.delete(id);
  }

  /** @param {string} id */
  discard(id) {
    this.sentHere.delete(id);
    this.pending = this.pending.filter((message) => message.id !== id);
  }

  hideSettled() {
    for (const id of this.settled) this.sentHere.delete(id);
    this.pending = this.pending.filter(({ id = '' }) => !this.settled.has(id));
  }

  /**
   * @param {Pending} pending
   * @returns {Message}
   */
  onItsWay({ id, command, state, code }) {
    const at = this.pending.find((message) => message.id === id)?.at ?? Math.max(Date.now(), this.logged.at(-1)?.at ?? 0);
    const { userId, name } = this.me;
    return { key: id, id, from: userId, name, text: String(command.text), at, day: dayOf(at), state, code };
  }

  /**
   * @param {unknown} events
   * @returns {Message[]}
   */
  read(events) {
    if (!Array.isArray(events)) return [];
    return events.flatMap((event) => this.messageOf(event) ?? []);
  }

  /**
   * @param {Event} event
   * @returns {Message | undefined}
   */
  messageOf({ t, seq, epoch, from, username, text, timestamp, by }) {
    if (t !== 'msg' || typeof text !== 'string') return undefined;
    const parsed = Date.parse(String(timestamp));
    const at = Number.isNaN(parsed) ? Date.now() : parsed;
    const author = typeof from === 'string' ? from : '?';
    if (author === this.me.userId && typeof by === 'string') this.settled.add(by);
    return {
      key: typeof seq === 'number' ? `${epoch} ${seq}` : `by hand ${++this.byHand}`,
      seq: typeof seq === 'number' ? seq : undefined,
      id: typeof by === 'string' ? by : undefined,
      from: author,
      name: typeof username === 'string' && username ? username : author,
      text,
      at,
      day: dayOf(at),
    };
  }
}

/**
 * Whether a message goes on where the one before it ended, so that its author need not be named again.
 * @param {Message | undefined} previous
 * @param {Message} message
 */
export function continues(previous, message) {
  if (!previous || previous.from !== message.from || previous.name !== message.name) return false;
  return Math.abs(message.at - previous.at) < GROUP_MS && !startsDay(previous, message);
}

/**
 * @param {Message | undefined} previous
 * @param {Message} message
 */
export function startsDay(previous, message) {
  return previous?.day !== message.day;
}

/** @param {number} at */
function dayOf(at) {
  return new Date(at).toDateString();
}

/** What came while nobody was looking: how much, and where it begins. */
export class Unread {
  constructor() {
    this.count = 0;
    /** @type {string | undefined} the first unread message's key; the line stays after it was read */
    this.firstKey = undefined;
  }

  /**
   * @param {Message} message
   * @param {boolean} seen whether it is being looked at
   */
  arrive(message, seen) {
    if (seen) return;
    if (this.count === 0) this.firstKey = message.key;
    this.count += 1;
  }

  read() {
    this.count = 0;
  }

  clear() {
    this.count = 0;
    this.firstKey = undefined;
  }
}
