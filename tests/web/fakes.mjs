// A world without network and time: what the SDK is given in unit tests.

/** Time that passes only when a test says so. */
export class FakeClock {
  time = 1_700_000_000_000;
  timers = new Map();
  count = 0;

  now = () => this.time;

  setTimeout = (work, ms) => {
    this.timers.set(++this.count, { at: this.time + ms, work });
    return this.count;
  };

  clearTimeout = (timer) => void this.timers.delete(timer);

  /** Let time pass, timer by timer; between two of them all promises go on as far as they can. */
  async advance(ms) {
    const end = this.time + ms;
    await settled();
    for (;;) {
      const due = [...this.timers].filter(([, { at }]) => at <= end).sort(([a, x], [b, y]) => x.at - y.at || a - b)[0];
      if (!due) break;
      const [timer, { at, work }] = due;
      this.timers.delete(timer);
      this.time = Math.max(this.time, at);
      work();
      await settled();
    }
    this.time = end;
  }

  /** The machine sleeps: time passes and no timer runs. */
  sleep(ms) {
    this.time += ms;
  }
}

/** All promises that can go on have gone on; also those of streams, which take a few turns of the loop. */
export async function settled() {
  for (let turn = 0; turn < 5; turn++) await new Promise((resolve) => setImmediate(resolve));
}

/** The storage of a browser; several clients with one of it are tabs, or a page before and after a reload. */
export class FakeStorage {
  map = new Map();
  get length() {
    return this.map.size;
  }
  key = (index) => [...this.map.keys()][index] ?? null;
  getItem = (key) => this.map.get(key) ?? null;
  setItem = (key, value) => void this.map.set(key, String(value));
  removeItem = (key) => void this.map.delete(key);
}

/** The texts of the commands in a storage that no page has seen answered. */
export function waiting(storage) {
  const kept = [...storage.map.values()].map((value) => JSON.parse(value));
  return kept.filter(({ answered }) => !answered).map(({ command }) => command.text);
}

/** A page that can be hidden and a network that comes back. */
export class FakePage extends EventTarget {
  document = Object.assign(new EventTarget(), { hidden: false });
  coarse = false;
  location = { href: 'https://c2c.example/chat/r' };
  matchMedia = () => ({ matches: this.coarse });
  onpageswap = null;

  /** The page goes: to another page of ours (`activation`), to elsewhere (`null`), or its tab is closed. */
  go(activation) {
    if (activation !== undefined) this.dispatchEvent(Object.assign(new Event('pageswap'), { activation }));
    this.dispatchEvent(new Event('pagehide'));
  }

  hide(hidden) {
    this.document.hidden = hidden;
    this.document.dispatchEvent(new Event('visibilitychange'));
  }
}

/**
 * Servers as the SDK meets them: every WebSocket that is opened lands in `sockets`. `answer(frame, socket)` decides what
 * comes back; without it a good server does.
 */
export class FakeServer {
  sockets = [];
  log = [];
  rooms = new Map();
  done = new Map();
  /** What happens to a new socket: `open`, `refuse` or `hang`. */
  mode = 'open';
  answer = (frame) => this.good(frame);

  constructor(me = 'kim') {
    this.me = me;
    const server = this;
    this.WebSocket = class {
      constructor(url) {
        Object.assign(this, { url, sent: [], closed: undefined });
        server.sockets.push(this);
        if (server.mode === 'throw') throw new Error('blocked');
        queueMicrotask(() => server.mode === 'open' && this.onopen?.({}));
        queueMicrotask(() => server.mode === 'refuse' && this.drop(1006));
      }

      send(text) {
        const frame = JSON.parse(text);
        this.sent.push(frame);
        queueMicrotask(() => {
          for (const answer of [server.answer(frame, this) ?? []].flat()) this.receive(answer);
        });
      }

      /** What the server sends. */
      receive(frame) {
        if (this.closed === undefined) this.onmessage?.({ data: JSON.stringify(frame) });
      }

      /** The server, or the network, ends it. */
      drop(code, reason = '') {
        this.closed = code;
        this.onclose?.({ code, reason });
      }

      close(code) {
        this.closed = code;
      }
    };
  }

  get socket() {
    return this.sockets.at(-1);
  }

  room(roomId) {
    if (!this.rooms.has(roomId)) this.rooms.set(roomId, { epoch: 'e1', log: [] });
    return this.rooms.get(roomId);
  }

  /** Appends to a room's log; a command's id is carried out once. */
  append(roomId, event) {
    const room = this.room(roomId);
    const logged = { seq: room.log.length + 1, epoch: room.epoch, roomId, timestamp: 'now', ...event };
    room.log.push(logged);
    return logged;
  }

  /** Appends and sends. */
  publish(roomId, event, socket = this.socket) {
    socket.receive(this.append(roomId, event));
  }

  good({ t, id, roomId, since, text, token }) {
    this.log.push({ t, id, roomId, text, since, token });
    if (t === 'hello') return { t: 'welcome', id, me: this.me, heartbeatMs: 10_000 };
    if (t === 'ping') return { t: 'pong' };
    if (t === 'join') return this.joined(roomId, since, id);
    if (t === 'leave') return { t: 'left', id, roomId };
    if (t === 'msg') return this.msg(roomId, id, text);
    return { t: 'ack', id };
  }

  joined(roomId, since, id) {
    const { epoch, log } = this.room(roomId);
    const recovered = since?.epoch === epoch;
    const missed = recovered ? log.slice(since.seq) : [];
    const reason = since && !recovered ? { reason: 'epoch' } : {};
    const state = recovered ? {} : { state: { messages: log.slice(-50) } };
    const joined = { t: 'joined', id, roomId, kind: 'chat', me: this.me, members: [this.me], presence: {}, epoch };
    return [{ ...joined, seq: log.length, recovered, ...reason, ...state }, ...missed];
  }

  msg(roomId, id, text) {
    const ack = (event) => ({ t: 'ack', id, epoch: event.epoch, seq: event.seq });
    if (this.done.has(id)) return ack(this.done.get(id));
    const event = this.append(roomId, { t: 'msg', from: this.me, text, by: id });
    this.done.set(id, event);
    return [event, ack(event)];
  }

  /** Redis comes back with an older copy: all behind `seq` is gone, and the memory of it too. */
  goBack(seq, epoch, roomId = 'r') {
    const room = this.room(roomId);
    room.log.length = seq;
    room.epoch = epoch;
    for (const [id, event] of this.done) if (event.seq > seq) this.done.delete(id);
  }

  texts(roomId = 'r') {
    return this.room(roomId).log.map(({ text }) => text);
  }
}

/** What a client is made with, all of it fake. */
export function world(overrides = {}) {
  const clock = new FakeClock();
  const server = new FakeServer();
  const page = new FakePage();
  const storage = new FakeStorage();
  const tokens = [];
  const options = {
    url: '/ws',
    token: async () => (tokens.push(`token${tokens.length + 1}`), tokens.at(-1)),
    WebSocket: server.WebSocket,
    fetch: async () => {
      throw new TypeError('no network');
    },
    random: () => 0.5,
    clock,
    page,
    storage,
    ...overrides,
  };
  return { clock, server, page, storage, tokens, options };
}

/** The bodies of server-sent events that a test writes by hand. */
export class FakeStreams {
  open = [];
  posts = [];
  gets = [];
  /** Status of the next answers to `GET /api/stream`. */
  status = 200;

  constructor(server) {
    this.server = server;
    this.respond = (command) => [server.good(command)].flat().at(-1);
  }

  fetch = async (href, init = {}) => {
    const url = new URL(href);
    if (url.pathname === '/api/stream') return this.#stream(url, init);
    if (init.method === 'POST') return this.#post(url, init);
    this.gets.push(url);
    return this.onGet?.(url) ?? new Response('{}');
  };

  #stream(url, init) {
    if (this.status !== 200) return new Response('{}', { status: this.status });
    const rooms = JSON.parse(url.searchParams.get('rooms'));
    const stream = { url, rooms, headers: init.headers, aborted: false };
    const body = new ReadableStream({
      start: (controller) => {
        stream.write = (text) => stream.aborted || controller.enqueue(new TextEncoder().encode(text));
        stream.send = (frame) => stream.write(`data: ${JSON.stringify(frame)}\r\n\r\n`);
        stream.end = () => controller.close();
        init.signal.addEventListener('abort', () => {
          stream.aborted = true;
          controller.error(new DOMException('aborted', 'AbortError'));
        });
      },
    });
    this.open.push(stream);
    for (const { roomId, since } of rooms) for (const frame of this.server.joined(roomId, since)) stream.send(frame);
    return new Response(body, { headers: { 'Content-Type': 'text/event-stream; charset=utf-8' } });
  }

  async #post(url, init) {
    const command = JSON.parse(init.body);
    this.posts.push({ path: decodeURIComponent(url.pathname), headers: init.headers, command });
    const answer = await this.respond(command, init);
    if (answer instanceof Response) return answer;
    return Response.json({ success: true, data: answer, message: '', error: null });
  }

  get stream() {
    return this.open.at(-1);
  }
}

/** An answer of REST that is an error. */
export function refusal(status, code, details = {}) {
  return Response.json({ success: false, data: null, error: { code, message: code, details } }, { status });
}
