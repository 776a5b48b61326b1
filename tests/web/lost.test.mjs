// What was acknowledged and then lost: Redis came back without its last seconds. The page sends it again.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { C2C } from '../../c2c/web/c2c.js';
import { waiting, world } from './fakes.mjs';

const MINUTE_MS = 60_000;
const msg = (text) => ({ t: 'msg', text });

/** A client in room `r`; with the storage and the server of another one it is a reload of its page. */
async function inRoom({ server, at, ...overrides } = {}) {
  const the = world({ ...overrides, ...(server && { WebSocket: server.WebSocket }) });
  the.clock.time = at ?? the.clock.time;
  const c2c = new C2C(the.options);
  const joining = c2c.join('r');
  await the.clock.advance(1);
  const room = await joining;
  await the.clock.advance(1);
  const say = async (...texts) => {
    const sent = texts.map((text) => room.send(msg(text)));
    await the.clock.advance(1);
    return Promise.all(sent);
  };
  return { ...the, server: server ?? the.server, c2c, room, say };
}

/** What a server says unasked when it finds that the log went back, or was begun anew. */
const tell = (server, reason = 'epoch') => server.socket.receive({ ...server.joined('r')[0], reason });

const onTheirWay = (room) => room.pending.map(({ command, state }) => [command.text, state]);
const sent = (server) => server.log.filter(({ t }) => t === 'msg');

test('what the log lost is sent again with its id, in order, before what waits; what it kept is not doubled', async () => {
  const { room, server, clock, say } = await inRoom();
  await say('m1', 'm2', 'm3');
  const ids = sent(server).map(({ id }) => id);
  server.goBack(1, 'e2');
  server.answer = ({ t, id }) =>
    t === 'msg' ? { t: 'error', id, code: 'SERVICE_UNAVAILABLE', message: 'm', retryable: true } : { t: 'pong' };
  const waits = room.send(msg('m4'));
  await clock.advance(1);
  assert.deepEqual(onTheirWay(room), [['m4', 'sending']]);
  server.answer = (frame) => server.good(frame);
  tell(server);
  assert.deepEqual(onTheirWay(room), ['m1', 'm2', 'm3', 'm4'].map((text) => [text, 'sending']));
  await clock.advance(5_000);
  assert.deepEqual(server.texts(), ['m1', 'm2', 'm3', 'm4']);
  assert.deepEqual(server.room('r').log.map(({ by }) => by), [...ids, waits.id]);
  assert.deepEqual(room.pending, []);
});

test('so it is when the client comes back and is ahead of the log', async () => {
  const { room, server, clock, say } = await inRoom();
  await say('m1', 'm2');
  server.socket.drop(1006);
  server.goBack(1, 'e1');
  const good = server.answer;
  server.answer = (frame) => {
    const [joined, ...events] = [good(frame)].flat();
    return joined.t === 'joined' ? [{ ...joined, recovered: false, reason: 'ahead', state: {} }] : [joined, ...events];
  };
  await clock.advance(2_000);
  assert.deepEqual([server.texts(), room.pending], [['m1', 'm2'], []]);
});

test('others may have taken its place in a log that went back', async () => {
  const { server, clock, say } = await inRoom();
  await say('m1', 'm2', 'm3');
  server.goBack(1, 'e1');
  server.append('r', { t: 'msg', text: 'another' });
  tell(server, 'ahead');
  await clock.advance(100);
  assert.deepEqual(server.texts(), ['m1', 'another', 'm2', 'm3']);
});

test('the page is told before the new state that it is on its way again', async () => {
  const { room, server, say } = await inRoom();
  await say('m1');
  server.goBack(0, 'e2');
  const seen = [];
  room.on('replaced', () => seen.push(onTheirWay(room)));
  tell(server);
  assert.deepEqual(seen, [[['m1', 'sending']]]);
});

test('a trimmed log has lost nothing', async () => {
  const { server, clock, say } = await inRoom();
  await say('m1');
  tell(server, 'trimmed');
  await clock.advance(100);
  assert.equal(sent(server).length, 1);
});

test('a loss in the middle of an outage of hours is made good, as far as the log tells', async () => {
  const { room, server, clock, say } = await inRoom({
    fetch: async () => Response.json({ success: true, data: { events: [], epoch: 'e2', seq: 0 } }),
  });
  await say('m1');
  clock.time += 120 * MINUTE_MS;
  server.goBack(0, 'e2');
  tell(server);
  await clock.advance(100);
  // By now the server may have forgotten the id: a person decides.
  assert.deepEqual(room.pending.map(({ command, state, code }) => [command.text, state, code]), [['m1', 'failed', 'TIMEOUT']]);
  assert.equal(sent(server).length, 1);
});

test('what stood in the log for a minute is safe, if the log goes on', async () => {
  const { server, clock, storage, say } = await inRoom();
  await say('m1');
  await clock.advance(MINUTE_MS + 1);
  assert.equal(storage.length, 1);
  server.publish('r', { t: 'msg', from: 'lee', text: 'm2' });
  assert.equal(storage.length, 0);
  server.goBack(0, 'e2');
  tell(server);
  await clock.advance(100);
  assert.deepEqual(server.texts(), []);
});

test('an answer of the new log is no sign of the old one', async () => {
  for (const epoch of ['e1', 'e2']) {
    const { server, clock, say } = await inRoom();
    await say('m1');
    await clock.advance(2 * MINUTE_MS);
    server.goBack(0, epoch);
    // The answer is here before the event, and before anybody has noticed.
    server.answer = (frame) => (frame.t === 'msg' ? server.good(frame).at(-1) : server.good(frame));
    await say('m2');
    server.answer = (frame) => server.good(frame);
    tell(server, epoch === 'e1' ? 'ahead' : 'epoch');
    await clock.advance(100);
    assert.deepEqual(server.texts(), ['m2', 'm1']);
  }
});

test('a hundred are remembered, not more', async () => {
  const { room, server, clock, storage, say } = await inRoom();
  for (let round = 0; round < 3; round++) await say(...Array.from({ length: 50 }, (_, index) => `m${round * 50 + index}`));
  assert.equal(storage.length, 100);
  server.goBack(0, 'e2');
  tell(server);
  await clock.advance(100);
  assert.deepEqual([server.texts()[0], server.texts().length, room.pending], ['m50', 100, []]);
});

test('after a reload too; but what was answered long ago says nothing about the log of today', async () => {
  for (const [away, expected] of [[MINUTE_MS, ['m1']], [10 * MINUTE_MS, []]]) {
    const before = await inRoom();
    const { server, storage } = before;
    await before.say('m1');
    before.clock.timers.clear();
    server.goBack(0, 'e2');
    const after = await inRoom({ server, storage, at: before.clock.time + away });
    await after.clock.advance(100);
    assert.deepEqual([server.texts(), after.room.pending, waiting(storage)], [expected, [], []]);
  }
});

test('two tabs send it once', async () => {
  const first = await inRoom();
  const { server, storage } = first;
  await first.say('m1');
  const socket = server.socket;
  const second = await inRoom({ server, storage });
  server.goBack(0, 'e2');
  tell(server);
  socket.receive({ ...server.joined('r')[0], reason: 'epoch' });
  for (const { clock } of [first, second]) await clock.advance(100);
  assert.deepEqual([server.texts(), first.room.pending, second.room.pending], [['m1'], [], []]);
});

test('a tab that took up a command does not send it when another has had the answer', async () => {
  const first = await inRoom();
  const { server, storage } = first;
  server.answer = (frame) => (frame.t === 'msg' ? undefined : server.good(frame));
  const { id } = first.room.send(msg('m1'));
  const second = await inRoom({ server, storage });
  server.answer = (frame) => server.good(frame);
  server.sockets[0].receive({ t: 'ack', id, epoch: 'e1', seq: 1 });
  await first.clock.advance(0);
  server.socket.drop(1006);
  await second.clock.advance(2_000);
  assert.deepEqual([second.room.pending, server.texts()], [[], []]);
});

test('a room that was left leaves nothing behind', async () => {
  const { room, storage, clock, say } = await inRoom();
  await say('m1');
  const left = room.leave();
  await clock.advance(1);
  await left;
  assert.equal(storage.length, 0);
});
