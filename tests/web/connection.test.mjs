import assert from 'node:assert/strict';
import { getEventListeners } from 'node:events';
import { test } from 'node:test';

import { C2C } from '../../c2c/web/c2c.js';
import { settled, world } from './fakes.mjs';

/** A client in room `r`, with everything that the room and the connection say. */
async function inRoom(overrides) {
  const the = world(overrides);
  const c2c = new C2C(the.options);
  const statuses = [];
  c2c.on('status', (connection) => statuses.push(connection));
  const joining = c2c.join('r');
  await the.clock.advance(1);
  const room = await joining;
  const events = [];
  room.on('*', (event) => events.push(event));
  await the.clock.advance(1);
  return { ...the, c2c, room, statuses, events };
}

const hello = (server) => server.log.filter(({ t }) => t === 'hello');
const joins = (server) => server.log.filter(({ t }) => t === 'join');

test('signs in first, then joins', async () => {
  const { server, c2c, room, statuses } = await inRoom({ lang: 'ko' });
  assert.equal(server.socket.url, 'wss://c2c.example/ws?lang=ko');
  assert.deepEqual(server.socket.sent.map(({ t }) => t), ['hello', 'join']);
  assert.equal(server.socket.sent[0].token, 'token1');
  assert.deepEqual(statuses.map(({ status }) => status), ['connecting', 'connected']);
  assert.equal(c2c.connection.transport, 'websocket');
  assert.deepEqual([c2c.me, room.kind, [...room.members]], ['kim', 'chat', ['kim']]);
});

test('urls: relative, http, ws, with a path', async () => {
  const cases = {
    '/ws': 'wss://c2c.example/ws',
    'http://h:1': 'ws://h:1/ws',
    'ws://h:1/ws': 'ws://h:1/ws',
    'https://h/a/b/': 'wss://h/a/b/ws',
    'wss://h/a/ws': 'wss://h/a/ws',
  };
  for (const [url, expected] of Object.entries(cases)) {
    const { options, server } = world({ url, token: () => 'kim' });
    const c2c = new C2C(options);
    void c2c.connect();
    await settled();
    assert.equal(server.socket.url, expected);
    c2c.close();
  }
});

test('events that come in the same packet as `joined` are heard by who listens right after the join', async () => {
  const the = world();
  the.server.answer = (frame) => {
    const answers = [the.server.good(frame)].flat();
    if (frame.t === 'join') answers.push(the.server.append('r', { t: 'msg', text: 'early' }));
    return answers;
  };
  const c2c = new C2C(the.options);
  const wrapped = async () => c2c.join('r');
  const seen = [];
  const joining = wrapped().then((room) => room.on('msg', ({ text }) => seen.push(text)));
  await the.clock.advance(1);
  await joining;
  assert.deepEqual(seen, ['early']);
});

test('what is lost is resumed from the position, and nothing is heard twice', async () => {
  const { server, clock, room, events } = await inRoom();
  server.publish('r', { t: 'msg', text: 'a' });
  server.socket.drop(1006);
  server.append('r', { t: 'msg', text: 'b' });
  await clock.advance(1000);
  assert.deepEqual(joins(server).at(-1).since, { epoch: 'e1', seq: 1 });
  server.socket.receive(server.room('r').log[1]);
  server.publish('r', { t: 'msg', text: 'c' });
  assert.deepEqual(events.filter(({ t }) => t === 'msg').map(({ text }) => text), ['a', 'b', 'c']);
  assert.deepEqual(room.position, { epoch: 'e1', seq: 3 });
});

test('a hole makes the client join again with since', async () => {
  const { server, clock, events } = await inRoom();
  server.append('r', { t: 'msg', text: 'lost' });
  server.publish('r', { t: 'msg', text: 'seen' });
  await clock.advance(10);
  assert.deepEqual(joins(server).at(-1).since, { epoch: 'e1', seq: 0 });
  assert.deepEqual(events.filter(({ t }) => t === 'msg').map(({ text }) => text), ['lost', 'seen']);
  assert.equal(server.sockets.length, 1);
});

test('a lost epoch is told as `replaced`, with the new state', async () => {
  const { server, clock, room, events } = await inRoom();
  server.publish('r', { t: 'msg', text: 'a' });
  server.rooms.set('r', { epoch: 'e2', log: [] });
  server.append('r', { t: 'msg', text: 'new' });
  server.socket.drop(1006);
  await clock.advance(1000);
  const replaced = events.find(({ t }) => t === 'replaced');
  assert.deepEqual([replaced.reason, replaced.epoch, replaced.seq], ['epoch', 'e2', 1]);
  assert.equal(room.state.messages[0].text, 'new');
});

test('a `joined` that nobody asked for replaces the state too', async () => {
  const { server, room, events } = await inRoom();
  server.rooms.set('r', { epoch: 'e2', log: [] });
  server.socket.receive({ ...server.joined('r')[0], id: undefined, reason: 'epoch' });
  assert.equal(events.find(({ t }) => t === 'replaced').reason, 'epoch');
  server.publish('r', { t: 'msg', text: 'live' });
  assert.deepEqual(room.position, { epoch: 'e2', seq: 1 });
});

test('what is published by hand is passed on; it passes for nothing else', async () => {
  const { server, room, events } = await inRoom();
  const replaced = [];
  room.on('replaced', (event) => replaced.push(event));
  server.socket.receive({ t: 'test', text: 'hi' });
  server.socket.receive({ t: 'replaced', roomId: 'r', state: 'bad' });
  server.socket.receive({ t: 'joined', roomId: 'r' });
  server.socket.receive([1]);
  server.socket.onmessage({ data: 'not json' });
  assert.deepEqual(events.map(({ t }) => t), ['test', 'replaced', 'joined']);
  assert.deepEqual(replaced, []);
});

test('a listener that throws harms nobody else', async (t) => {
  const { server, room, events } = await inRoom();
  const reported = [];
  globalThis.reportError = (error) => reported.push(error.message);
  t.after(() => delete globalThis.reportError);
  room.on('msg', () => {
    throw new Error('mine');
  });
  server.publish('r', { t: 'msg', text: 'a' });
  assert.deepEqual(reported, ['mine']);
  assert.equal(events.length, 1);
});

test('4401 asks for a new token; 1006 does not', async () => {
  const { server, clock, tokens } = await inRoom();
  server.socket.drop(1006);
  await clock.advance(1000);
  assert.equal(tokens.length, 1);
  server.socket.drop(4401, 'expired');
  await clock.advance(2000);
  assert.deepEqual(hello(server).map(({ token }) => token), ['token1', 'token1', 'token2']);
});

test('a refused sign-in asks for a new token and backs off', async () => {
  const the = world();
  const c2c = new C2C(the.options);
  the.server.answer = ({ id }) => ({ t: 'error', id, code: 'UNAUTHORIZED', message: 'no', retryable: false });
  void c2c.connect();
  await the.clock.advance(60_000);
  assert.ok(the.tokens.length >= 5 && the.tokens.length <= 8, String(the.tokens.length));
  assert.equal(c2c.status, 'connecting');
  c2c.close();
});

test('a token that can not be had is asked for again, with backoff', async () => {
  let asked = 0;
  const the = world({
    token: async () => {
      if (++asked < 3) throw new Error('the sign-in is away');
      return 'kim';
    },
  });
  const c2c = new C2C(the.options);
  const connected = c2c.connect();
  await the.clock.advance(500);
  assert.match(c2c.connection.reason, /the sign-in is away/);
  await the.clock.advance(3000);
  await connected;
  assert.equal(asked, 3);
});

for (const code of [4400, 4403]) {
  test(`${code} stops`, async () => {
    const { server, clock, c2c, statuses } = await inRoom();
    server.socket.drop(code, 'enough');
    await clock.advance(600_000);
    assert.equal(server.sockets.length, 1);
    assert.deepEqual(statuses.at(-1), { status: 'disconnected', code, reason: 'enough' });
    assert.equal(clock.timers.size, 0);
    await assert.rejects(c2c.rooms.get('r').send({ t: 'typing', typing: true }), { code: 'DISCONNECTED' });
  });
}

test('waits double while the server is away, are told, and begin anew after 10 s of stability', async () => {
  const { server, clock, statuses } = await inRoom();
  server.mode = 'refuse';
  server.socket.drop(1006);
  await clock.advance(20_000);
  // random is 0.5: half of the first second, then 0.4 + 0.6 · 0.5 of 2, 4, 8 s.
  const waits = statuses.filter(({ retryAt }) => retryAt);
  assert.deepEqual(waits.map(({ attempt }) => attempt), [1, 2, 3, 4, 5]);
  assert.equal(server.sockets.length, 5);
  server.mode = 'open';
  await clock.advance(30_000);
  assert.equal(statuses.at(-1).status, 'connected');
  server.socket.drop(1006);
  assert.deepEqual([statuses.at(-1).attempt, statuses.at(-1).retryAt - clock.now()], [1, 500]);
  await clock.advance(1000);
  server.socket.drop(1006);
  assert.equal(statuses.at(-1).attempt, 2);
});

test('`retryNow` does not wait', async () => {
  const { server, clock, c2c } = await inRoom();
  server.socket.drop(1006);
  c2c.retryNow();
  await clock.advance(0);
  assert.equal(c2c.status, 'connected');
  c2c.retryNow();
  assert.equal(server.sockets.length, 2);
});

test('a dead connection is noticed within 15 s', async () => {
  const { server, clock, c2c } = await inRoom();
  await clock.advance(35_000);
  assert.equal(server.sockets.length, 1);
  assert.equal(server.log.filter(({ t }) => t === 'ping').length, 3);
  server.answer = () => undefined;
  const died = clock.now();
  while (c2c.status === 'connected') await clock.advance(100);
  assert.ok(clock.now() - died <= 15_000, `${clock.now() - died} ms`);
  assert.equal(server.sockets[0].closed, 4000);
});

test('any frame is a sign of life', async () => {
  const { server, clock } = await inRoom();
  server.answer = () => undefined;
  for (let second = 0; second < 60; second++) {
    await clock.advance(1000);
    server.publish('r', { t: 'msg', text: `${second}` });
  }
  assert.equal(server.sockets.length, 1);
});

test('a machine that slept asks first before it takes silence for death', async () => {
  const { server, clock, c2c } = await inRoom();
  clock.sleep(3_600_000);
  await clock.advance(10_000);
  assert.equal(server.sockets.length, 1);
  assert.equal(c2c.status, 'connected');
});

test('a machine that slept while a pong was on its way asks once more', async () => {
  const { server, clock, c2c } = await inRoom();
  server.answer = () => undefined;
  await clock.advance(12_000);
  clock.sleep(60_000);
  server.answer = (frame) => server.good(frame);
  await clock.advance(60_000);
  assert.deepEqual([server.sockets.length, c2c.status], [1, 'connected']);
});

test('a socket that never opens, or never answers, is given up after 8 s', async () => {
  const the = world();
  the.server.mode = 'hang';
  const c2c = new C2C(the.options);
  void c2c.connect();
  await the.clock.advance(8_000);
  assert.equal(c2c.connection.reason, 'no answer');
  the.server.mode = 'open';
  the.server.answer = () => undefined;
  await the.clock.advance(1_000);
  assert.equal(c2c.status, 'connecting');
  await the.clock.advance(8_000);
  assert.equal(the.server.sockets[1].closed, 4000);
  c2c.close();
});

test('connects at once when the network is back or the page is seen again', async () => {
  for (const wake of [(page) => page.dispatchEvent(new Event('online')), (page) => page.hide(false)]) {
    const { server, clock, page, c2c } = await inRoom();
    server.mode = 'refuse';
    server.socket.drop(1006);
    await clock.advance(25_000);
    server.mode = 'open';
    wake(page);
    await clock.advance(250);
    assert.equal(c2c.status, 'connected');
  }
});

test('a connection that died while the machine slept is noticed at once when the page is seen', async () => {
  const { server, clock, page } = await inRoom();
  server.answer = () => undefined;
  page.hide(true);
  clock.sleep(60_000);
  page.hide(false);
  await clock.advance(2_500);
  assert.equal(server.sockets[0].closed, 4000);
});

test('a hidden phone disconnects after 60 s and comes back by itself', async () => {
  const { server, clock, page, c2c, statuses } = await inRoom();
  page.coarse = true;
  page.hide(true);
  await clock.advance(59_000);
  page.hide(false);
  page.hide(true);
  page.document.hidden = false; // a page that was frozen: its timers may come before the event
  await clock.advance(60_000);
  assert.equal(c2c.status, 'connected');
  page.hide(true);
  await clock.advance(59_000);
  assert.equal(c2c.status, 'connected');
  await clock.advance(1_000);
  assert.deepEqual(statuses.at(-1), { status: 'disconnected', reason: 'hidden' });
  assert.equal(server.socket.closed, 4000);
  page.dispatchEvent(new Event('online'));
  await clock.advance(600_000);
  assert.equal(server.sockets.length, 1);
  server.append('r', { t: 'msg', text: 'meanwhile' });
  page.hide(false);
  await clock.advance(10);
  assert.equal(c2c.status, 'connected');
  assert.deepEqual(joins(server).at(-1).since, { epoch: 'e1', seq: 0 });
});

test('a hidden page of a desk stays connected', async () => {
  const { server, clock, page, c2c } = await inRoom();
  page.hide(true);
  await clock.advance(600_000);
  assert.equal(c2c.status, 'connected');
  assert.equal(server.sockets.length, 1);
});

test('close says goodbye, ends everything, and connect begins anew', async () => {
  const { server, clock, c2c, room, page } = await inRoom();
  c2c.close();
  assert.equal(server.socket.closed, 1000);
  await clock.advance(0);
  assert.equal(clock.timers.size, 0);
  const heard = ['online', 'pageshow', 'pagehide', 'pageswap'].map((type) => [page, type]);
  heard.push([page.document, 'visibilitychange']);
  assert.deepEqual(heard.flatMap(([target, type]) => getEventListeners(target, type)), []);
  page.dispatchEvent(new Event('online'));
  await clock.advance(60_000);
  assert.equal(server.sockets.length, 1);
  const connected = c2c.connect();
  await clock.advance(0);
  await connected;
  assert.deepEqual(joins(server).at(-1).since, { epoch: 'e1', seq: 0 });
  assert.equal(c2c.rooms.get('r'), room);
});

test('a page that goes for good says goodbye; one that is loaded again, or followed by another of ours, does not', async () => {
  const cases = [[undefined, 1000], [null, 1000], [{ navigationType: 'reload' }, undefined], [{ navigationType: 'push' }, undefined]];
  for (const [activation, code] of cases) {
    const { server, page } = await inRoom();
    page.go(activation);
    assert.equal(server.socket.closed, code);
  }
});

test('where nobody knows where a page goes, it says nothing', async () => {
  const page = Object.assign(new EventTarget(), { location: { href: 'https://c2c.example/' } });
  const { server } = await inRoom({ page });
  page.dispatchEvent(new Event('pagehide'));
  assert.equal(server.socket.closed, undefined);
});

test('a page that comes back out of the browser’s cache connects again, resumes, and may say goodbye again', async () => {
  const { server, page, clock, c2c, statuses } = await inRoom();
  for (const sockets of [2, 3]) {
    page.go(null);
    assert.deepEqual(statuses.at(-1), { status: 'disconnected', reason: 'hidden' });
    await clock.advance(60_000);
    page.dispatchEvent(new Event('pageshow'));
    await clock.advance(1);
    assert.deepEqual([c2c.status, server.sockets.length], ['connected', sockets]);
    assert.deepEqual(joins(server).at(-1).since, { epoch: 'e1', seq: 0 });
  }
  page.go({ navigationType: 'push' });
  page.dispatchEvent(new Event('pageshow'));
  await clock.advance(1);
  page.go();
  assert.equal(server.socket.closed, 1000);
});

test('what was on its way when the page went is sent when it is back', async () => {
  const { server, page, clock, room } = await inRoom();
  server.answer = (frame) => (frame.t === 'msg' ? undefined : server.good(frame));
  const sending = room.send({ t: 'msg', text: 'm1' });
  page.go(null);
  server.answer = (frame) => server.good(frame);
  page.dispatchEvent(new Event('pageshow'));
  await clock.advance(1);
  assert.equal((await sending).t, 'ack');
});

test('a room that the server moved this connection out of is over', async () => {
  const { server, c2c, room } = await inRoom();
  server.socket.receive({ t: 'left', roomId: 'r' });
  assert.deepEqual([...c2c.rooms.keys()], []);
  await assert.rejects(room.send({ t: 'msg', text: 'm1' }), { code: 'CLOSED' });
});

test('joining what is not there is rejected; what is away for now is waited for', async () => {
  const the = world();
  const c2c = new C2C(the.options);
  let refusals = 3;
  the.server.answer = (frame) => {
    const error = (code, retryable) => ({ t: 'error', id: frame.id, code, message: 'm', retryable, retryAfterMs: 1000 });
    if (frame.t !== 'join') return the.server.good(frame);
    if (frame.roomId === 'none') return error('ROOM_NOT_FOUND', false);
    return refusals-- > 0 ? error('SERVICE_UNAVAILABLE', true) : the.server.good(frame);
  };
  const rejected = assert.rejects(c2c.join('none'), { code: 'ROOM_NOT_FOUND', name: 'C2CError' });
  const joined = c2c.join('r');
  await the.clock.advance(10_000);
  await rejected;
  await joined;
  assert.deepEqual([...c2c.rooms.keys()], ['r']);
});

test('what is no room id is refused without asking; what is equal in NFC is one room', async () => {
  const { c2c, server } = await inRoom();
  for (const id of ['', 'a b', 'a/b', 'x'.repeat(65)]) await assert.rejects(c2c.join(id), { code: 'BAD_VALUE' });
  assert.equal(joins(server).length, 1);
  const decomposed = '방'.normalize('NFD');
  void c2c.join(decomposed);
  void c2c.join('방');
  assert.deepEqual([...c2c.rooms.keys()], ['r', '방']);
});

test('a room that is lost for good is closed, after the nodes had the time to open it again', async () => {
  const { server, clock, c2c, room } = await inRoom();
  const closed = [];
  room.on('closed', ({ error }) => closed.push(error.code));
  let asked = 0;
  server.answer = (frame) => {
    if (frame.t !== 'join') return server.good(frame);
    asked++;
    return { t: 'error', id: frame.id, code: 'ROOM_NOT_FOUND', message: 'm', retryable: false };
  };
  server.socket.drop(1006);
  await clock.advance(6_000);
  assert.ok(asked >= 3 && closed.length === 0);
  await clock.advance(60_000);
  assert.deepEqual(closed, ['ROOM_NOT_FOUND']);
  await assert.rejects(room.send({ t: 'msg', text: 'x' }), { code: 'ROOM_NOT_FOUND' });
  assert.equal(c2c.status, 'connected');
});

test('leaving tells the server and ends the room', async () => {
  const { server, clock, c2c, room, events } = await inRoom();
  const left = room.leave();
  await clock.advance(0);
  await left;
  server.publish('r', { t: 'msg', text: 'x' });
  assert.deepEqual(events, []);
  await assert.rejects(room.send({ t: 'msg', text: 'x' }), { code: 'CLOSED' });
  server.socket.drop(1006);
  await clock.advance(1000);
  assert.equal(joins(server).length, 1);
  assert.equal(c2c.rooms.size, 0);
});

test('fifty rooms are joined again in the pace that the server allows', async () => {
  const the = world();
  const c2c = new C2C(the.options);
  let tokens = 40;
  let refilled = the.clock.now();
  let refused = 0;
  the.server.answer = (frame) => {
    tokens = Math.min(40, tokens + (the.clock.now() - refilled) / 50);
    refilled = the.clock.now();
    if (tokens >= 1) {
      tokens--;
      return the.server.good(frame);
    }
    refused++;
    const retryAfterMs = Math.ceil((1 - tokens) * 50);
    return { t: 'error', id: frame.id, code: 'RATE_LIMITED', message: 'm', retryable: true, retryAfterMs };
  };
  const joined = Promise.all(Array.from({ length: 50 }, (_, index) => c2c.join(`r${index}`)));
  await the.clock.advance(10_000);
  await joined;
  assert.ok(refused < 50, String(refused));
});

test('a client that signs in as somebody else stops', async () => {
  const { server, clock, c2c, statuses } = await inRoom();
  server.me = 'lee';
  server.socket.drop(4401);
  await clock.advance(2000);
  assert.equal(c2c.status, 'disconnected');
  assert.equal(statuses.at(-1).reason, 'signed in as somebody else');
});

test('… also before it is in a room', async () => {
  const the = world();
  const c2c = new C2C(the.options);
  void c2c.connect();
  await the.clock.advance(1);
  the.server.me = 'lee';
  the.server.socket.drop(1006);
  await the.clock.advance(2000);
  assert.deepEqual([c2c.status, c2c.me], ['disconnected', 'kim']);
});

test('listeners of the status may close and retry from within', async () => {
  const the = world();
  const c2c = new C2C(the.options);
  c2c.on('status', ({ status }) => status === 'connecting' && c2c.close());
  await assert.rejects(c2c.connect(), { code: 'CLOSED' });
  await the.clock.advance(60_000);
  assert.equal(the.server.sockets.length, 0);
  assert.equal(the.clock.timers.size, 0);
});

test('commands that belong to no room', async () => {
  const { server, clock, c2c } = await inRoom();
  const answer = c2c.send({ t: 'online:list' });
  await clock.advance(0);
  assert.equal((await answer).id, answer.id);
  assert.deepEqual(Object.keys(server.socket.sent.at(-1)), ['t', 'id']);
  server.answer = () => undefined;
  const lost = c2c.send({ t: 'online:list' });
  server.socket.drop(1006);
  await assert.rejects(lost, { code: 'DISCONNECTED', id: lost.id });
});
