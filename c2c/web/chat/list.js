/**
 * The messages on the screen: a window of at most 300 rows over those held, moved as one scrolls.
 *
 * However many events come, there is one update per frame, and it reads the layout before it writes: where is the
 * anchor → change rows → put the anchor back. Nobody's text moves while older messages are put above it.
 * @module
 */

import { clockTime, dayName, errorWords, fullTime, language, onLanguage, t } from '../i18n/index.js';
import { avatar, h, icon } from '../shell/dom.js';
import { continues, startsDay, Unread } from './timeline.js';

const HISTORY_PAGE = 100;
const HISTORY_RETRY_MS = 3_000;

/** @typedef {import('./timeline.js').Message} Message */
/** @typedef {import('./timeline.js').Timeline} Timeline */
/**
 * @typedef {object} Place how a row depends on what is around it
 * @property {Message | undefined} previous
 * @property {boolean} firstUnread
 */
/** @typedef {{retry: (id: string) => void, discard: (id: string) => void}} RowActions */

/** @typedef {RowActions & {loadOlder: () => void, unread: (count: number) => void}} ListActions */

/** The fewer, the less there is to lay out; enough for a screen of 4,000 px with the shortest messages. */
const ROWS = 300;
const FIRST = 50;
const STEP = 20;
const STICKY_PX = 80;
/** Rows are added, and history is fetched, before one comes to where they end. */
const SOON_PX = 1_500;
const FETCH_PX = 3_000;
const UNREAD_MARGIN_PX = 16;

export class MessageList {
  /**
   * @param {HTMLElement} scroller
   * @param {Timeline} timeline
   * @param {ListActions} actions
   */
  constructor(scroller, timeline, actions) {
    this.scroller = scroller;
    this.timeline = timeline;
    this.actions = actions;
    this.unread = new Unread();
    this.from = timeline.start;
    this.to = timeline.end;
    this.pinned = true;
    this.drawnToEnd = true;
    this.jumps = true;
    this.size = '';
    this.loading = false;
    this.frame = 0;
    /** @type {Map<string, {element: HTMLElement, look: string}>} */
    this.rows = new Map();
    this.edge = h('div', { class: 'log-edge' });
    this.list = h('ol', { class: 'rows' });
    this.pill = h('button', { type: 'button', class: 'pill', hidden: true });
    scroller.replaceChildren(this.edge, this.list);
    scroller.after(this.pill);
    this.pill.addEventListener('click', () => {
      this.toEnd();
      scroller.focus({ preventScroll: true });
    });
    scroller.addEventListener('scroll', () => this.scrolled(), { passive: true });
    document.addEventListener('visibilitychange', () => this.update());
    new ResizeObserver(() => this.update()).observe(scroller);
    onLanguage(() => this.update());
  }

  /** Whether somebody looks at the newest message. */
  get watched() {
    return this.pinned && !document.hidden;
  }

  // What happens to it

  /** @param {Message} message somebody else's, or mine from another tab */
  arrived(message) {
    if (message.from !== this.timeline.me.userId) this.unread.arrive(message, this.watched);
    this.moved(message);
    this.actions.unread(this.unread.count);
    this.update();
  }

  /**
   * My message on its way is now one of the log: the same row goes on showing it.
   * @param {Message} message
   */
  moved(message) {
    const row = message.id && this.rows.get(message.id);
    if (!row) return;
    this.rows.delete(message.id ?? '');
    this.rows.set(message.key, row);
  }

  /** The messages held are others now. */
  replaced() {
    this.from = this.to = this.timeline.end;
    this.sent();
  }

  sent() {
    this.unread.clear();
    this.toEnd();
  }

  toEnd() {
    this.jumps = true;
    this.unread.read();
    this.update();
  }

  scrolled() {
    const room = this.look();
    if (this.wantsToMove(room)) this.update();
  }

  /** Draws in the next frame what has changed until then. A hidden page draws nothing. */
  update() {
    this.frame ||= requestAnimationFrame(() => {
      this.frame = 0;
      this.draw();
    });
  }

  // Drawing

  draw() {
    if (this.jumps) this.pinned = true;
    const anchor = this.pinned ? undefined : this.anchor();
    this.moveWindow(this.room());
    this.timeline.trim(this.from);
    this.drawEdge();
    this.drawRows();
    this.drawnToEnd = this.to >= this.timeline.end;
    this.place(anchor);
    if (this.wantsToMove(this.look())) this.update();
  }

  /**
   * Keeps the place after the rows have changed. Written only if need be: any write ends a smooth scroll.
   * @param {{row: Element, top: number} | undefined} anchor
   */
  place(anchor) {
    const { scroller } = this;
    const moved = anchor ? textTop(anchor.row) - anchor.top : 0;
    if (Math.abs(moved) >= 0.5) scroller.scrollTop += moved;
    const size = `${scroller.scrollHeight} ${scroller.clientHeight}`;
    if (this.jumps || (this.pinned && size !== this.size)) scroller.scrollTop = this.endTop();
    this.jumps = false;
    this.size = size;
  }

  /** Where is one now, and what follows from it. */
  look() {
    const room = this.room();
    this.pinned = this.drawnToEnd && room.below <= STICKY_PX;
    if (this.watched) this.unread.read();
    this.drawPill(room.below > 1.5 * room.screen);
    this.actions.unread(this.unread.count);
    const atOldest = this.from <= this.timeline.start;
    if (atOldest && room.above < FETCH_PX && this.timeline.more && !this.loading) this.actions.loadOlder();
    return room;
  }

  /** The first row whose text begins in view, and where it stands. */
  anchor() {
    const top = this.scroller.getBoundingClientRect().top;
    const rows = this.list.children;
    let [low, high] = [0, rows.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (textTop(rows[middle]) < top) low = middle + 1;
      else high = middle;
    }
    const row = rows[low] ?? rows[low - 1];
    return row && { row, top: textTop(row) };
  }

  /** How much of the list lies above and below what is in view, in px. */
  room() {
    const { scrollTop, clientHeight, scrollHeight } = this.scroller;
    return { above: scrollTop, below: scrollHeight - scrollTop - clientHeight, screen: clientHeight };
  }

  /**
   * Whether there are messages beyond the rows on a side where the rows soon end.
   * @param {{above: number, below: number}} room
   */
  wantsToMove({ above, below }) {
    return (above < SOON_PX && this.from > this.timeline.start) || (below < SOON_PX && this.to < this.timeline.end);
  }

  /**
   * Chooses which of the messages held are drawn.
   * @param {{above: number, below: number}} room
   */
  moveWindow({ above, below }) {
    const { start, end } = this.timeline;
    if (this.pinned) this.moveToEnd();
    if (above < SOON_PX && this.from > start) {
      this.from = Math.max(start, this.from - STEP);
      if (!this.pinned) this.to = Math.min(this.to, this.from + ROWS);
    } else if (below < SOON_PX && this.to < end) {
      this.to = Math.min(end, this.to + STEP);
      this.from = Math.max(this.from, this.to - ROWS);
    }
    this.to = Math.min(this.to, end);
  }

  /** To the newest; when a hidden page was sent many, to the first of them. */
  moveToEnd() {
    const { start, end } = this.timeline;
    const near = this.to >= end - FIRST;
    const first = this.unread.count ? this.timeline.positionOf(this.unread.firstKey) : undefined;
    this.to = end;
    this.from = Math.max(start, near ? end - ROWS + STEP : end - FIRST, Math.min(this.from, end - FIRST));
    if (first === undefined || first >= this.from) return;
    this.from = Math.max(start, first - FIRST);
    this.to = Math.min(end, this.from + ROWS);
  }

  drawRows() {
    const { timeline, unread } = this;
    /** @type {Message[]} */
    const messages = [];
    for (let position = this.from; position < this.to; position += 1) messages.push(timeline.at(position));
    this.dropRows(new Set(messages.map(({ key }) => key)));
    let cursor = this.list.firstElementChild;
    let previous = timeline.at(this.from - 1);
    for (const message of messages) {
      const element = this.drawRow(message, { previous, firstUnread: message.key === unread.firstKey });
      if (element === cursor) cursor = cursor.nextElementSibling;
      else this.list.insertBefore(element, cursor);
      previous = message;
    }
  }

  /**
   * First of all, so that the rows that stay need not be moved round those that go.
   * @param {Set<string>} kept
   */
  dropRows(kept) {
    for (const [key, { element }] of this.rows) {
      if (kept.has(key)) continue;
      element.remove();
      this.rows.delete(key);
    }
  }

  /**
   * @param {Message} message
   * @param {Place} place
   * @returns {HTMLElement}
   */
  drawRow(message, place) {
    let row = this.rows.get(message.key);
    if (!row) this.rows.set(message.key, (row = { element: h('li'), look: '' }));
    const look = lookOf(message, place);
    if (look !== row.look) fillRow(row.element, message, place, this.actions);
    row.look = look;
    return row.element;
  }

  /** The same height whatever it says, so that saying something else moves nothing. */
  drawEdge() {
    const { timeline } = this;
    const begins = !timeline.more && this.from <= timeline.start && timeline.end > timeline.start;
    const words = this.loading ? t('chat.loading') : begins ? t('chat.beginning') : '';
    if (this.edge.textContent !== words) this.edge.textContent = words;
    this.edge.classList.toggle('busy', this.loading);
  }

  /** The end; for a page that was hidden, no further than what it has not seen. */
  endTop() {
    const { scrollTop, scrollHeight } = this.scroller;
    const row = this.unread.count && this.unread.firstKey ? this.rows.get(this.unread.firstKey) : undefined;
    if (!row) return scrollHeight;
    const distance = row.element.getBoundingClientRect().top - this.scroller.getBoundingClientRect().top;
    return Math.min(scrollHeight, scrollTop + distance - UNREAD_MARGIN_PX);
  }

  /** @param {boolean} far whether the end is out of sight */
  drawPill(far) {
    const { count } = this.unread;
    this.pill.hidden = this.pinned || !(count || far || this.to < this.timeline.end);
    const words = count ? t('chat.new', { n: count }) : t('chat.latest');
    if (this.pill.textContent !== words) this.pill.replaceChildren(icon('down'), words);
  }
}

/** @param {Element} row */
function textTop(row) {
  const text = row.getElementsByClassName('text')[0] ?? row;
  return text.getBoundingClientRect().top;
}

// One message

/**
 * Everything a row's look depends on but the text, which never changes.
 * @param {Message} message
 * @param {Place} place
 */
function lookOf(message, { previous, firstUnread }) {
  const day = startsDay(previous, message);
  return `${message.state} ${message.code} ${day} ${firstUnread} ${continues(previous, message)} ${language()}`;
}

/**
 * @param {HTMLElement} row filled anew
 * @param {Message} message
 * @param {Place} place
 * @param {RowActions} actions
 */
function fillRow(row, message, { previous, firstUnread }, actions) {
  const head = firstUnread || !continues(previous, message);
  row.className = `row${head ? ' head' : ''}${message.state ? ` ${message.state}` : ''}`;
  row.replaceChildren(
    ...(startsDay(previous, message) ? [line('day', dayName(message.at))] : []),
    ...(firstUnread ? [line('unread', t('chat.unread'))] : []),
    h(
      'div',
      { class: 'message' },
      head ? avatar(message.from, message.name) : h('span', { class: 'unseen' }, message.name),
      head ? h('div', { class: 'author' }, h('strong', {}, message.name), time(message)) : time(message),
      h('div', { class: 'text' }, message.text),
      message.state && delivery(message, actions),
    ),
  );
}

/**
 * @param {string} name
 * @param {string} text
 */
function line(name, text) {
  return h('div', { class: `line ${name}` }, h('span', {}, text));
}

/** @param {Message} message */
function time({ at }) {
  return h('time', { datetime: new Date(at).toISOString(), title: fullTime(at) }, clockTime(at));
}

/**
 * @param {Message} message
 * @param {RowActions} actions
 */
function delivery({ id = '', state, code }, { retry, discard }) {
  if (state === 'sending') return h('div', { class: 'delivery' }, icon('clock'), t('chat.sending'));
  return h(
    'div',
    { class: 'delivery' },
    icon('alert'),
    h('span', {}, `${t('chat.failed')} ${errorWords(code)}`),
    h('button', { type: 'button', class: 'small', onclick: () => retry(id) }, t('chat.retry')),
    h('button', { type: 'button', class: 'small', onclick: () => discard(id) }, t('chat.discard')),
  );
}

/**
 * Puts a page of older messages in front of what is shown.
 * @param {import('../c2c.js').Room} room
 * @param {import('./timeline.js').Timeline} timeline
 * @param {MessageList} list
 */
export async function loadOlder(room, timeline, list) {
  const before = timeline.oldestSeq;
  if (before === undefined) return;
  list.loading = true;
  list.update();
  try {
    const page = await room.send({ t: 'history', before, limit: HISTORY_PAGE });
    if (before === timeline.oldestSeq) timeline.prepend(page.messages, page.more);
  } catch {
    await new Promise((resolve) => setTimeout(resolve, HISTORY_RETRY_MS));
  }
  list.loading = false;
  list.update();
}
