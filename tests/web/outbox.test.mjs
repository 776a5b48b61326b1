import assert from 'node:assert/strict';
import { test } from 'node:test';

import { C2C } from '../../c2c/web/c2c.js';
import { FakeStorage, waiting, world } from './fakes.mjs';

const HOUR_MS = 3_600_000;

/** A client in room `r`; with the storage and the server of another one it is a reload of its page. */
async function inRoom(overrides = {}, server) {
  const the = world({ ...overrides, ...(server && { WebSocket: server.WebSocket }) });
  if (server) the.server = server;
  const c2c = new C2C(the.options);
  const joining = c2c.join('r');
  await the.clock.advance(1);
  const room = await joining;
  await the.clock.advance(1);
  return { ...the, c2c, room };
}

/** A page that goes away without a goodbye: nothing of it runs any more. */
function vanish({ clock, c2c, server }) {
  clock.timers.clear();
  server.socket.onmessage = server.socket.onclose = null;
  return c2c;
}

const msg = (text) => ({ t: 'msg', text });
const texts = (...numbers) => numbers.map((number) => `m${number}`);
const outcome = (promise) =>
  promise.then(
    ({ t, seq }) => `${t} ${seq}`,
    ({ code }) => code,
  );

test('an ack resolves; the id is known at once', async () => {
  const { room, clock, server, storage } = await inRoom();
  const sending = room.send(msg('hi'));
  assert.deepEqual(room.pending.map(({ id, state }) => [id, state]), [[sending.id, 'sending']]);
  await clock.advance(0);
  assert.deepEqual(await sending, { t: 'ack', id: sending.id, epoch: 'e1', seq: 1 });
  assert.deepEqual([server.texts(), room.pending, waiting(storage)], [['hi'], [], []]);
});

test('a command stands in the storage before it is sent', async () => {
  const { room, server, storage, clock } = await inRoom();
  const send = server.WebSocket.prototype.send;
  let before;
  server.WebSocket.prototype.send = function (text) {
    before ??= waiting(storage);
    send.call(this, text);
  };
  room.send(msg('hi'));
  assert.deepEqual(before, ['hi']);
  await clock.advance(0);
});

test('one after the other: the next is sent when the one before is answered', async () => {
  const { room, server, clock } = await inRoom();
  server.answer = () => undefined;
  for (const text of texts(1, 2, 3)) room.send(msg(text));
  await clock.advance(100);
  assert.deepEqual(server.socket.sent.filter(({ t }) => t === 'msg').map(({ text }) => text), ['m1']);
});

test('what is refused for now is not overtaken, and goes out with the same id', async () => {
  const { room, server, clock } = await inRoom();
  const refusals = ['RATE_LIMITED', 'SERVICE_UNAVAILABLE', 'INTERNAL'];
  const ids = [];
  server.answer = (frame) => {
    if (frame.t === 'msg') ids.push(frame.id);
    const code = frame.t === 'msg' && refusals.shift();
    if (!code) return server.good(frame);
    return { t: 'error', id: frame.id, code, message: 'm', retryable: true, retryAfterMs: 100 };
  };
  const sent = texts(1, 2, 3).map((text) => room.send(msg(text)));
  await clock.advance(10_000);
  await Promise.all(sent);
  assert.deepEqual(server.texts(), texts(1, 2, 3));
  assert.deepEqual(ids, [sent[0].id, sent[0].id, sent[0].id, sent[0].id, sent[1].id, sent[2].id]);
});

test('an outage of minutes costs nothing but time', async () => {
  const { room, server, clock } = await inRoom();
  let away = true;
  server.answer = (frame) =>
    away && frame.t === 'msg'
      ? { t: 'error', id: frame.id, code: 'SERVICE_UNAVAILABLE', message: 'm', retryable: true, retryAfterMs: 1000 }
      : server.good(frame);
  const sent = texts(1, 2, 3).map((text) => room.send(msg(text)));
  await clock.advance(300_000);
  away = false;
  await clock.advance(7_000);
  await Promise.all(sent);
  assert.deepEqual(server.texts(), texts(1, 2, 3));
});

test('a defect of the server is not asked for ever', async () => {
  const { room, server, clock } = await inRoom();
  let asked = 0;
  server.answer = (frame) =>
    frame.t === 'msg'
      ? (asked++, { t: 'error', id: frame.id, code: 'INTERNAL', message: 'm', retryable: true })
      : server.good(frame);
  const sending = outcome(room.send(msg('x')));
  await clock.advance(60_000);
  assert.equal(await sending, 'INTERNAL');
  assert.equal(asked, 6);
});

test('a refusal rejects with its code and details, and stays as failed until it is discarded', async () => {
  const { room, server, clock, storage } = await inRoom();
  server.answer = (frame) => ({ t: 'error', id: frame.id, code: 'CONFLICT', message: 'no', retryable: false, current: 7 });
  const sending = room.send(msg('x'));
  await clock.advance(0);
  await assert.rejects(sending, { code: 'CONFLICT', message: 'no', details: { current: 7 }, id: sending.id });
  assert.deepEqual(room.pending.map(({ state, code }) => [state, code]), [['failed', 'CONFLICT']]);
  room.discard(sending.id);
  assert.deepEqual([room.pending, storage.length], [[], 0]);
});

test('50 messages sent while the connection is away arrive once each, in order', async () => {
  const { room, server, clock } = await inRoom();
  server.mode = 'refuse';
  server.socket.drop(1006);
  const all = Array.from({ length: 50 }, (_, index) => `m${index}`);
  const sent = all.map((text) => room.send(msg(text)));
  await clock.advance(20_000);
  assert.equal(room.pending.length, 50);
  server.mode = 'open';
  await clock.advance(60_000);
  await Promise.all(sent);
  assert.deepEqual(server.texts(), all);
});

test('what was carried out and whose ack was lost is not doubled', async () => {
  const { room, server, clock } = await inRoom();
  let cuts = 3;
  server.answer = (frame, socket) => {
    const answers = server.good(frame);
    if (frame.t !== 'msg' || cuts-- <= 0) return answers;
    socket.drop(1006);
    return undefined;
  };
  const sent = texts(1, 2).map((text) => room.send(msg(text)));
  await clock.advance(20_000);
  assert.deepEqual(await Promise.all(sent.map(outcome)), ['ack 1', 'ack 2']);
  assert.deepEqual(server.texts(), texts(1, 2));
});

test('no answer for 5 s on a live connection is TIMEOUT: not sent again unless retried, then with the same id', async () => {
  const { room, server, clock, storage } = await inRoom();
  let deaf = true;
  server.answer = (frame) => (deaf && frame.text === 'm1' ? undefined : server.good(frame));
  const sending = room.send(msg('m1'));
  const next = room.send(msg('m2'));
  await clock.advance(4_900);
  assert.equal(room.pending[0].state, 'sending');
  await clock.advance(100);
  await assert.rejects(sending, { code: 'TIMEOUT', id: sending.id });
  assert.equal(await outcome(next), 'ack 1');
  assert.deepEqual(room.pending.map(({ command, state, code }) => [command.text, state, code]), [['m1', 'failed', 'TIMEOUT']]);
  server.socket.drop(1006);
  await clock.advance(60_000);
  assert.deepEqual([server.texts(), waiting(storage)], [['m2'], ['m1']]);
  deaf = false;
  const again = room.retry(sending.id);
  await clock.advance(0);
  assert.equal(await outcome(again), 'ack 2');
  assert.deepEqual([server.texts(), waiting(storage)], [['m2', 'm1'], []]);
});

test('an answer that comes too late settles what has failed', async () => {
  const { room, server, clock, storage } = await inRoom();
  server.answer = (frame) => (frame.t === 'msg' ? undefined : server.good(frame));
  const first = outcome(room.send(msg('m1')));
  await clock.advance(5_000);
  const second = outcome(room.send(msg('m2')));
  await clock.advance(5_000);
  assert.deepEqual(await Promise.all([first, second]), ['TIMEOUT', 'TIMEOUT']);
  const [one, two] = room.pending;
  server.socket.receive({ t: 'ack', id: one.id, epoch: 'e1', seq: 1 });
  assert.equal(room.pending.length, 1);
  server.publish('r', { t: 'msg', text: 'm2', by: two.id });
  assert.deepEqual([room.pending, waiting(storage)], [[], []]);
});

test('silence is the connection’s fault: the command goes out again on the next one, and the promise waits', async () => {
  const { room, server, clock } = await inRoom();
  server.answer = () => undefined;
  const sending = room.send(msg('m1'));
  await clock.advance(4_950);
  assert.equal(server.sockets[0].closed, 4000);
  server.answer = (frame) => server.good(frame);
  await clock.advance(1_000);
  assert.equal(await outcome(sending), 'ack 1');
});

test('but what silences three connections in a row is TIMEOUT', async () => {
  const { room, server, clock } = await inRoom();
  const stuck = new Set();
  server.answer = (frame, socket) => {
    if (frame.t === 'msg') stuck.add(socket);
    return stuck.has(socket) ? undefined : server.good(frame);
  };
  const sending = outcome(room.send(msg('m1')));
  await clock.advance(60_000);
  assert.equal(await sending, 'TIMEOUT');
  assert.equal(stuck.size, 3);
});

test('`typing` and questions are never kept', async () => {
  const { room, server, clock, storage } = await inRoom();
  const typing = room.send({ t: 'typing', typing: true });
  assert.equal(storage.length, 0);
  await clock.advance(0);
  assert.equal((await typing).t, 'ack');
  server.answer = () => undefined;
  const asked = room.send({ t: 'history', before: 9 });
  server.socket.drop(1006);
  assert.equal(await outcome(asked), 'DISCONNECTED');
  assert.equal(await outcome(room.send({ t: 'typing', typing: false })), 'DISCONNECTED');
  assert.deepEqual(room.pending, []);
});

test('a question without an answer is TIMEOUT', async () => {
  const { room, server, clock } = await inRoom();
  server.answer = (frame) => (frame.t === 'history' ? undefined : server.good(frame));
  const asked = outcome(room.send({ t: 'history', before: 9 }));
  await clock.advance(5_000);
  assert.equal(await asked, 'TIMEOUT');
});

test('a page says what else is kept', async () => {
  const { room, storage, server } = await inRoom();
  server.socket.drop(1006);
  room.send({ t: 'vote', choice: 1 }, { keep: true });
  room.send(msg('x'), { keep: false });
  assert.deepEqual(room.pending.map(({ command }) => command.t), ['vote']);
  assert.equal(storage.length, 1);
});

test('too large a command is refused at once and not kept', async () => {
  const { room, storage } = await inRoom();
  await assert.rejects(room.send(msg('가'.repeat(30_000))), { code: 'TOO_LARGE' });
  assert.equal(storage.length, 0);
});

test('1009 fails the command that caused it, and no other', async () => {
  const { room, server, clock } = await inRoom();
  server.answer = (frame, socket) => (frame.text === 'big' ? socket.drop(1009) : server.good(frame));
  const sent = ['big', 'm2'].map((text) => outcome(room.send(msg(text))));
  await clock.advance(2_000);
  assert.deepEqual(await Promise.all(sent), ['TOO_LARGE', 'ack 1']);
});

test('500 commands are kept, not more; failed ones give way first', async () => {
  const { room, server } = await inRoom();
  server.socket.drop(1006);
  for (let index = 0; index < 500; index++) room.send(msg(`m${index}`));
  assert.equal(await outcome(room.send(msg('one too many'))), 'QUEUE_FULL');
  assert.equal(room.pending.length, 500);
});

test('what is discarded on its way leaves nothing behind, whatever the answer', async () => {
  const { room, server, clock, storage } = await inRoom();
  server.answer = () => undefined;
  const sending = room.send(msg('m1'));
  room.discard(sending.id);
  assert.equal(await outcome(sending), 'DISCARDED');
  server.socket.receive({ t: 'error', id: sending.id, code: 'FORBIDDEN', message: 'no', retryable: false });
  await clock.advance(0);
  assert.deepEqual([room.pending, storage.length], [[], 0]);
});

test('what could not be sent for a day fails', async () => {
  const { room, server, clock } = await inRoom();
  server.mode = 'refuse';
  server.socket.drop(1006);
  const sending = outcome(room.send(msg('m1')));
  clock.sleep(25 * HOUR_MS);
  server.mode = 'open';
  await clock.advance(60_000);
  assert.equal(await sending, 'TIMEOUT');
  assert.deepEqual(server.texts(), []);
});

test('the same id twice is one command', async () => {
  const { room, server, clock } = await inRoom();
  const sent = [1, 2].map(() => room.send({ ...msg('x'), id: 'mine' }));
  await clock.advance(0);
  assert.deepEqual(await Promise.all(sent.map(outcome)), ['ack 1', 'ack 1']);
  assert.deepEqual(server.texts(), ['x']);
});

test('`pending` is told whenever it changes', async () => {
  const { room, clock } = await inRoom();
  const lengths = [];
  room.on('pending', () => lengths.push(room.pending.length));
  room.send(msg('x'));
  await clock.advance(0);
  assert.deepEqual([lengths[0], lengths.at(-1)], [1, 0]);
});

// Reloads

test('what a page left behind is sent by the next one, in order, and shown until then', async () => {
  const before = await inRoom();
  const { server, storage } = before;
  server.socket.drop(1006);
  for (const text of texts(1, 2, 3)) before.room.send(msg(text));
  vanish(before);
  // Browsers promise no order of keys.
  storage.key = (index) => [...storage.map.keys()].reverse()[index] ?? null;
  server.answer = (frame) => (frame.t === 'msg' ? undefined : server.good(frame));
  const between = await inRoom({ storage }, server);
  between.room.send(msg('m4'));
  vanish(between);
  const after = await inRoom({ storage }, server);
  assert.deepEqual(after.room.pending.map(({ command, state }) => [command.text, state]), texts(1, 2, 3, 4).map((text) => [text, 'sending']));
  server.answer = (frame) => server.good(frame);
  server.socket.drop(1006);
  await after.clock.advance(2_000);
  assert.deepEqual([server.texts(), after.room.pending, waiting(storage)], [texts(1, 2, 3, 4), [], []]);
});

test('what was carried out just before a reload is not doubled', async () => {
  const before = await inRoom();
  const { server, storage } = before;
  server.answer = (frame) => (server.good(frame), undefined);
  before.room.send(msg('m1'));
  before.room.send(msg('m2'));
  await before.clock.advance(0);
  vanish(before);
  server.answer = (frame) => server.good(frame);
  const after = await inRoom({ storage }, server);
  await after.clock.advance(100);
  assert.deepEqual([server.texts(), after.room.pending, waiting(storage)], [texts(1, 2), [], []]);
});

test('a failed command is still failed after a reload', async () => {
  const before = await inRoom();
  const { server, storage } = before;
  server.answer = (frame) =>
    frame.t === 'msg' ? { t: 'error', id: frame.id, code: 'FORBIDDEN', message: 'no', retryable: false } : server.good(frame);
  before.room.send(msg('m1'));
  await before.clock.advance(0);
  vanish(before);
  const after = await inRoom({ storage }, server);
  assert.deepEqual(after.room.pending.map(({ state, code }) => [state, code]), [['failed', 'FORBIDDEN']]);
  server.answer = (frame) => server.good(frame);
  after.room.retry(after.room.pending[0].id);
  await after.clock.advance(0);
  assert.deepEqual([server.texts(), waiting(storage)], [['m1'], []]);
});

test('after a day nothing is sent any more, whosever it was', async () => {
  const before = await inRoom();
  const { server, storage } = before;
  server.socket.drop(1006);
  before.room.send(msg('m1'));
  storage.setItem('c2c/lee/q/1', JSON.stringify({ command: { id: '1' }, at: before.clock.now() }));
  storage.setItem('c2c/lee/q/2', 'rubbish');
  storage.setItem('other', 'mine');
  vanish(before);
  const after = world({ storage, WebSocket: server.WebSocket });
  after.clock.time = before.clock.time + 25 * HOUR_MS;
  const c2c = new C2C(after.options);
  void c2c.join('r');
  await after.clock.advance(100);
  assert.deepEqual([server.texts(), [...storage.map.keys()]], [[], ['other']]);
});

test('commands belong to one user and one room', async () => {
  const before = await inRoom();
  const { server, storage } = before;
  server.socket.drop(1006);
  before.room.send(msg('m1'));
  vanish(before);
  server.me = 'lee';
  const other = await inRoom({ storage }, server);
  assert.deepEqual([other.room.pending, server.texts(), storage.length], [[], [], 1]);
});

test('a second tab that took up a command drops it when the first one has had the answer', async () => {
  const first = await inRoom();
  const { server, storage } = first;
  server.answer = (frame) => (frame.t === 'msg' ? undefined : server.good(frame));
  first.room.send(msg('m1'));
  const second = await inRoom({ storage }, server);
  assert.deepEqual(second.room.pending.map(({ command }) => command.text), ['m1']);
  server.socket.drop(1006);
  storage.map.clear();
  server.answer = (frame) => server.good(frame);
  await second.clock.advance(20_000);
  assert.deepEqual([second.room.pending, server.texts()], [[], []]);
});

test('storage that is full or refused costs the reload only', async () => {
  const storage = new FakeStorage();
  storage.setItem = storage.getItem = storage.removeItem = () => {
    throw new DOMException('full', 'QuotaExceededError');
  };
  for (const kind of [storage, null]) {
    const { room, clock, server } = await inRoom({ storage: kind });
    const sending = room.send(msg('m1'));
    await clock.advance(0);
    assert.equal(await outcome(sending), 'ack 1');
    assert.deepEqual(server.texts(), ['m1']);
  }
});

// Older than the server's memory of ids

/** A command was sent and perhaps carried out; the page comes back after the server has forgotten its id. */
async function comesBackLate({ carriedOut, log }) {
  const requests = [];
  const before = await inRoom();
  const { server, storage } = before;
  server.append('r', { t: 'msg', text: 'earlier' });
  server.answer = (frame) => {
    if (carriedOut && frame.t === 'msg') server.good(frame);
    return undefined;
  };
  const { id } = before.room.send(msg('m1'));
  await before.clock.advance(0);
  vanish(before);
  server.done.clear();
  server.answer = (frame) => server.good(frame);
  const the = world({
    storage,
    WebSocket: server.WebSocket,
    fetch: async (href) => {
      requests.push(new URL(href));
      return Response.json({ success: true, data: log(server, Number(requests.at(-1).searchParams.get('after'))) });
    },
  });
  the.clock.time = before.clock.time + 2 * HOUR_MS;
  const c2c = new C2C(the.options);
  const joining = c2c.join('r');
  await the.clock.advance(1);
  const room = await joining;
  await the.clock.advance(20_000);
  return { room, server, storage, requests, id };
}

/** What `GET /api/rooms/r/events` answers, two events a page. */
const page = (server, after) => {
  const { epoch, log } = server.room('r');
  return { events: log.slice(after, after + 2), epoch, seq: log.length };
};

test('a command that the server has forgotten and the log knows is not sent again', async () => {
  const { room, server, requests } = await comesBackLate({
    carriedOut: true,
    log: (server, after) => page(server, after),
  });
  assert.deepEqual([server.texts(), room.pending], [['earlier', 'm1'], []]);
  assert.equal(requests[0].href, 'https://c2c.example/api/rooms/r/events?limit=500&after=0');
});

test('one that the log does not know is sent', async () => {
  const log = (server, after) => {
    while (server.room('r').log.length < 5) server.append('r', { t: 'msg', text: 'others' });
    return page(server, after);
  };
  const { room, server, requests } = await comesBackLate({ carriedOut: false, log });
  assert.deepEqual([server.texts().at(-1), room.pending], ['m1', []]);
  assert.equal(requests.length, 3);
});

test('where nobody knows any more, a person decides', async () => {
  const trimmed = (server) => ({ events: [{ seq: 9 }], epoch: server.room('r').epoch, seq: 9 });
  const otherEpoch = () => ({ events: [], epoch: 'e9', seq: 0 });
  for (const log of [trimmed, otherEpoch]) {
    const { room, server } = await comesBackLate({ carriedOut: true, log });
    assert.deepEqual(server.texts(), ['earlier', 'm1']);
    assert.deepEqual(room.pending.map(({ state, code }) => [state, code]), [['failed', 'TIMEOUT']]);
  }
});
