import assert from 'node:assert/strict';
import { test } from 'node:test';

import { C2C } from '../../c2c/web/c2c.js';
import { FakeStreams, refusal, world } from './fakes.mjs';

/** A client in room `r` where WebSockets are blocked. */
async function inRoom({ mode = 'refuse', ...overrides } = {}) {
  const the = world(overrides);
  the.server.mode = mode;
  the.streams = new FakeStreams(the.server);
  the.options.fetch = the.streams.fetch;
  const c2c = new C2C(the.options);
  const statuses = [];
  let connectedAt;
  c2c.on('status', (connection) => {
    statuses.push(connection);
    if (connection.status === 'connected') connectedAt ??= the.clock.now();
  });
  const joining = c2c.join('r');
  await the.clock.advance(5_000);
  const room = await joining;
  const events = [];
  room.on('*', (event) => events.push(event));
  return { ...the, c2c, room, events, statuses, connectedAt };
}

const send = ({ server, streams }, event) => streams.stream.send(server.append('r', event));

test('after two failed WebSockets the stream is tried, with the token in a header', async () => {
  const { server, streams, c2c, room } = await inRoom({ lang: 'ko' });
  assert.equal(server.sockets.length, 2);
  assert.deepEqual([c2c.status, c2c.connection.transport, c2c.me], ['connected', 'sse', 'kim']);
  assert.equal(streams.stream.headers.Authorization, 'Bearer token1');
  assert.equal(streams.stream.url.origin + streams.stream.url.pathname, 'https://c2c.example/api/stream');
  assert.equal(streams.stream.url.searchParams.get('lang'), 'ko');
  assert.deepEqual([...room.members], ['kim']);
});

test('where the browser refuses the constructor, or has none, the stream is tried at once', async () => {
  const refused = await inRoom({ mode: 'throw' });
  assert.equal(refused.server.sockets.length, 1);
  assert.equal(refused.c2c.connection.transport, 'sse');
  await refused.clock.advance(8_000);
  const missing = await inRoom({ WebSocket: undefined });
  assert.equal(missing.c2c.connection.transport, 'sse');
});

test('a token that no header can hold is percent-encoded', async () => {
  const { streams } = await inRoom({ token: () => '홍길동@c2c' });
  assert.equal(streams.stream.headers.Authorization, `Bearer ${encodeURIComponent('홍길동')}@c2c`);
});

test('events come in any pieces, between comments', async () => {
  const the = await inRoom();
  const { streams, server, clock, events } = the;
  const text = `: ping\r\n\r\nevent: x\r\ndata: ${JSON.stringify(server.append('r', { t: 'msg', text: '안녕하세요' }))}\r\n\r\n`;
  for (const byte of new TextEncoder().encode(text)) {
    streams.stream.write(''); // an empty chunk is one too
    streams.stream.write(String.fromCharCode(byte < 128 ? byte : 63));
  }
  streams.stream.write(`data: ${JSON.stringify(server.append('r', { t: 'msg', text: '둘' }))}\n\n: ping\n\n`);
  streams.stream.write('data: rubbish\n\n');
  await clock.advance(0);
  assert.deepEqual(events.map(({ seq, t }) => [seq, t]), [[1, 'msg'], [2, 'msg']]);
  assert.equal(events[1].text, '둘');
});

test('a character cut in two by a packet is one character', async () => {
  const the = await inRoom();
  const bytes = new TextEncoder().encode(`data: ${JSON.stringify(the.server.append('r', { t: 'msg', text: '값' }))}\n\n`);
  const cut = bytes.findIndex((byte) => byte > 127) + 1;
  const { stream } = the.streams;
  const encode = TextEncoder.prototype.encode;
  TextEncoder.prototype.encode = (piece) => piece;
  stream.write(bytes.slice(0, cut));
  stream.write(bytes.slice(cut));
  TextEncoder.prototype.encode = encode;
  await the.clock.advance(0);
  assert.deepEqual(the.events.map(({ text }) => text), ['값']);
});

test('commands go by POST, one after the other, with their id', async () => {
  const { streams, clock, room, server } = await inRoom();
  const sent = ['m1', 'm2'].map((text) => room.send({ t: 'msg', text }));
  await clock.advance(0);
  assert.deepEqual((await Promise.all(sent)).map(({ seq, id }) => [seq, id]), [[1, sent[0].id], [2, sent[1].id]]);
  assert.deepEqual(server.texts(), ['m1', 'm2']);
  const [{ path, command, headers }] = streams.posts;
  assert.deepEqual([path, command], ['/api/rooms/r/events', { t: 'msg', text: 'm1', roomId: 'r', id: sent[0].id }]);
  assert.equal(headers['Content-Type'], 'application/json');
});

test('errors of REST are the errors of the protocol', async () => {
  const { streams, clock, room } = await inRoom();
  streams.respond = () => refusal(409, 'CONFLICT', { current: 7 });
  const refused = assert.rejects(room.send({ t: 'msg', text: 'x' }), { code: 'CONFLICT', details: { current: 7 } });
  await clock.advance(0);
  await refused;
});

test('refused for now, and error pages of proxies, are tried again with the same id', async () => {
  const { streams, clock, room, server } = await inRoom();
  const answers = [
    refusal(503, 'SERVICE_UNAVAILABLE', { retryAfterMs: 100 }),
    refusal(429, 'RATE_LIMITED', { retryAfterMs: 100 }),
    new Response('<html>', { status: 502 }),
    new Response('<html>sign in to the hotel</html>'),
  ];
  const good = streams.respond;
  streams.respond = (command) => answers.shift() ?? good(command);
  const sent = ['m1', 'm2'].map((text) => room.send({ t: 'msg', text }));
  await clock.advance(10_000);
  await Promise.all(sent);
  assert.deepEqual(server.texts(), ['m1', 'm2']);
  assert.equal(new Set(streams.posts.slice(0, 5).map(({ command }) => command.id)).size, 1);
});

test('a POST that fails is sent again after a new stream, and nothing is doubled', async () => {
  const { streams, clock, room, server, c2c } = await inRoom();
  const good = streams.respond;
  let failures = 4;
  streams.respond = (command) => {
    const answer = good(command);
    if (failures-- > 0) throw new TypeError('fetch failed');
    return answer;
  };
  const sending = room.send({ t: 'msg', text: 'm1' });
  await clock.advance(60_000);
  assert.equal((await sending).seq, 1);
  assert.deepEqual([server.texts(), c2c.status], [['m1'], 'connected']);
});

test('an answer that breaks off is no answer', async () => {
  const { streams, clock, room, server } = await inRoom();
  const good = streams.respond;
  let broken = true;
  streams.respond = (command) => {
    const answer = good(command);
    if (!broken) return answer;
    broken = false;
    return new Response(new ReadableStream({ start: (controller) => controller.error(new TypeError('terminated')) }));
  };
  const sending = room.send({ t: 'msg', text: 'm1' });
  await clock.advance(10_000);
  assert.equal((await sending).seq, 1);
  assert.deepEqual(server.texts(), ['m1']);
});

test('a POST without an answer is TIMEOUT after three streams', async () => {
  const { streams, clock, room } = await inRoom();
  streams.respond = (command, init) =>
    new Promise((_, reject) => init.signal.addEventListener('abort', () => reject(init.signal.reason)));
  const sending = assert.rejects(room.send({ t: 'msg', text: 'm1' }), { code: 'TIMEOUT' });
  await clock.advance(40_000);
  await sending;
  assert.equal(streams.posts.length, 3);
});

test('joining and leaving open the stream anew, resumed, once for all rooms of the moment', async () => {
  const the = await inRoom();
  const { streams, clock, c2c, events } = the;
  send(the, { t: 'msg', text: 'a' });
  await clock.advance(0);
  const joining = Promise.all(['s', 't'].map((roomId) => c2c.join(roomId)));
  the.server.append('r', { t: 'msg', text: 'between' });
  await clock.advance(100);
  const [s] = await joining;
  assert.equal(streams.open.length, 2);
  assert.deepEqual(streams.stream.rooms.map(({ roomId, since }) => [roomId, since?.seq]), [['r', 1], ['s', undefined], ['t', undefined]]);
  assert.ok(streams.open[0].aborted);
  assert.deepEqual(events.filter(({ t }) => t === 'msg').map(({ text }) => text), ['a', 'between']);
  void s.leave();
  await clock.advance(100);
  assert.deepEqual(streams.stream.rooms.map(({ roomId }) => roomId), ['r', 't']);
});

test('a room that can not be joined is refused, the others are in', async () => {
  const the = await inRoom();
  const joined = the.server.joined.bind(the.server);
  the.server.joined = (roomId, since) =>
    roomId === 'none' ? [{ t: 'error', roomId, code: 'ROOM_NOT_FOUND', message: 'm', retryable: false }] : joined(roomId, since);
  const refused = assert.rejects(the.c2c.join('none'), { code: 'ROOM_NOT_FOUND' });
  await the.clock.advance(100);
  await refused;
  send(the, { t: 'msg', text: 'x' });
  await the.clock.advance(100);
  assert.equal(the.events.at(-1).text, 'x');
});

test('a room that is gone when the stream is opened anew is tried for a while, then closed', async () => {
  const the = await inRoom();
  const closed = [];
  the.room.on('closed', ({ error }) => closed.push(error.code));
  const joined = the.server.joined.bind(the.server);
  the.server.joined = (roomId, since) =>
    roomId === 'r' ? [{ t: 'error', roomId, code: 'ROOM_NOT_FOUND', message: 'm', retryable: false }] : joined(roomId, since);
  await Promise.all([the.c2c.join('s'), the.clock.advance(5_000)]);
  assert.deepEqual(closed, []);
  for (let beat = 0; beat < 4; beat++) {
    the.streams.stream.write(': ping\n\n');
    await the.clock.advance(10_000);
  }
  assert.deepEqual([closed, the.c2c.status], [['ROOM_NOT_FOUND'], 'connected']);
  assert.ok(!the.statuses.some(({ reason }) => reason?.includes('silent')));
});

test('a stream that ends is opened again, at the position', async () => {
  const the = await inRoom();
  send(the, { t: 'msg', text: 'a' });
  await the.clock.advance(0);
  the.streams.stream.end();
  await the.clock.advance(0);
  assert.equal(the.c2c.status, 'connecting');
  the.server.append('r', { t: 'msg', text: 'b' });
  await the.clock.advance(5_000);
  assert.deepEqual(the.events.filter(({ t }) => t === 'msg').map(({ text }) => text), ['a', 'b']);
});

test('`closing` has the codes of the WebSocket', async () => {
  const the = await inRoom();
  the.streams.stream.send({ t: 'closing', code: 4401, reason: 'expired' });
  await the.clock.advance(5_000);
  assert.equal(the.tokens.length, 2);
  the.streams.stream.send({ t: 'closing', code: 4403, reason: 'kicked' });
  await the.clock.advance(60_000);
  assert.deepEqual(the.statuses.at(-1), { status: 'disconnected', code: 4403, reason: 'kicked' });
  assert.equal(the.clock.timers.size, 0);
});

test('401 asks for a new token, for the stream and for a command', async () => {
  const the = await inRoom();
  const { streams, clock, room, tokens } = the;
  streams.respond = () => refusal(401, 'UNAUTHORIZED');
  const sending = room.send({ t: 'msg', text: 'x' });
  await clock.advance(10);
  streams.respond = (command) => [the.server.good(command)].flat().at(-1);
  await clock.advance(5_000);
  assert.equal((await sending).seq, 1);
  assert.equal(tokens.length, 2);
  streams.status = 401;
  streams.stream.end();
  await clock.advance(60_000);
  assert.ok(tokens.length > 2);
  the.c2c.close();
});

test('a silent stream is noticed within 15 s; comments are signs of life', async () => {
  const the = await inRoom();
  for (let beat = 0; beat < 5; beat++) {
    await the.clock.advance(10_000);
    the.streams.stream.write(': ping\n\n');
  }
  assert.equal(the.streams.open.length, 1);
  await the.clock.advance(15_000);
  assert.ok(the.streams.open[0].aborted);
  assert.ok(the.statuses.some(({ reason }) => reason === 'the stream is silent'));
});

test('a machine that slept opens the stream anew, without a wait', async () => {
  const the = await inRoom();
  the.clock.sleep(3_600_000);
  the.server.append('r', { t: 'msg', text: 'meanwhile' });
  await the.clock.advance(100);
  assert.equal(the.streams.open.length, 2);
  assert.deepEqual(the.events.filter(({ t }) => t === 'msg').map(({ text }) => text), ['meanwhile']);
  assert.ok(!the.statuses.some(({ reason }) => reason?.includes('silent')));
});

test('a WebSocket is tried every 60 s behind the stream, and taken when it works', async () => {
  const the = await inRoom();
  const { server, clock, c2c, streams } = the;
  const beat = async (ms) => {
    for (let passed = 0; passed < ms; passed += 10_000) {
      await clock.advance(10_000);
      streams.stream.write(': ping\n\n');
    }
  };
  await beat(70_000);
  assert.equal(server.sockets.length, 3);
  send(the, { t: 'msg', text: 'a' });
  server.mode = 'open';
  await beat(60_000);
  assert.equal(c2c.connection.transport, 'websocket');
  assert.ok(streams.stream.aborted);
  server.publish('r', { t: 'msg', text: 'b' });
  assert.deepEqual(the.events.filter(({ t }) => t === 'msg').map(({ text }) => text), ['a', 'b']);
  assert.equal(the.statuses.filter(({ status }) => status === 'connecting' ).at(-1).transport, undefined);
  server.mode = 'refuse';
  server.socket.drop(1006);
  await clock.advance(3_000);
  assert.equal(streams.open.length, 1, 'where a WebSocket has been open, one failure is no reason for the stream');
});

test('what is on its way during the change is neither lost, doubled nor overtaken', async () => {
  const { server, clock, room, streams, c2c, connectedAt } = await inRoom();
  while (clock.now() < connectedAt + 58_000) {
    streams.stream.write(': ping\n\n');
    await clock.advance(Math.min(10_000, connectedAt + 58_000 - clock.now()));
  }
  const good = streams.respond;
  let answer;
  streams.respond = (command) => new Promise((resolve) => (answer = () => resolve(good(command))));
  const sent = ['m1', 'm2'].map((text) => room.send({ t: 'msg', text }));
  server.mode = 'open';
  await clock.advance(3_000);
  assert.equal(c2c.connection.transport, 'websocket');
  assert.deepEqual([streams.posts.length, room.pending.length], [1, 2]);
  assert.ok(!server.socket.sent.some(({ t }) => t === 'msg'), 'm2 waits until m1 is answered');
  answer();
  await clock.advance(10);
  assert.deepEqual((await Promise.all(sent)).map(({ seq }) => seq), [1, 2]);
  assert.deepEqual([server.texts(), room.pending], [['m1', 'm2'], []]);
});

test('without rooms the server is asked whether it is there', async () => {
  const the = world();
  the.server.mode = 'refuse';
  the.streams = new FakeStreams(the.server);
  the.options.fetch = the.streams.fetch;
  const c2c = new C2C(the.options);
  const connected = c2c.connect();
  await the.clock.advance(5_000);
  await connected;
  assert.equal(the.streams.gets[0].pathname, '/healthz');
  const joining = c2c.join('r');
  await the.clock.advance(100);
  assert.equal((await joining).roomId, 'r');
  c2c.close();
});

test('where both are away they are tried in turn, with growing waits', async () => {
  const the = world();
  the.server.mode = 'refuse';
  the.streams = new FakeStreams(the.server);
  the.streams.status = 503;
  the.options.fetch = (href, init) => (asked++, the.streams.fetch(href, init));
  let asked = 0;
  const c2c = new C2C(the.options);
  const joining = assert.rejects(c2c.join('r'), { code: 'CLOSED' });
  await the.clock.advance(300_000);
  assert.ok(asked >= 3 && the.server.sockets.length >= 3 && asked + the.server.sockets.length < 25);
  c2c.close();
  await joining;
  assert.equal(the.clock.timers.size, 0);
});
