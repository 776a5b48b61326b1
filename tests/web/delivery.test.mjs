// The promises of delivery against real nodes, a real Redis, and a network that fails: none lost, none doubled, in order.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';

import { WebSocket } from 'ws';

import { C2C } from '../../c2c/web/c2c.js';
import { FakeStorage, waiting } from './fakes.mjs';
import { cannotRun, eventually, Node, Proxy, Redis } from './servers.mjs';

const TRANSPORTS = ['websocket', 'sse'];
const options = { skip: cannotRun, timeout: 120_000 };

let redis;
let nodes;
let rooms = 0;
const clients = new Set();
const proxies = new Set();
const programs = new Set();

before(async () => {
  if (cannotRun) return;
  redis = await new Redis().start();
  nodes = [await new Node(redis).start(), await new Node(redis).start()];
});

after(async () => {
  for (const client of clients) client.close();
  for (const proxy of proxies) await proxy.stop();
  for (const program of [...programs, ...(nodes ?? []), redis]) await program?.stop();
});

class Blocked {
  constructor() {
    throw new Error('WebSockets are blocked here');
  }
}

/** A client in a room, and what it hears there. */
async function enter(url, user, roomId, { transport = 'websocket', storage = null } = {}) {
  const socket = transport === 'websocket' ? WebSocket : Blocked;
  const c2c = new C2C({ url, token: () => user, WebSocket: socket, storage });
  clients.add(c2c);
  const room = await c2c.join(roomId);
  const heard = [];
  room.on('msg', (event) => heard.push(event.text));
  assert.equal(c2c.connection.transport, transport);
  return { c2c, room, heard };
}

/** A Redis and a node of one's own, for what would harm the other tests. */
async function ownServers() {
  const own = new Redis();
  const node = new Node(own);
  for (const program of [node, own]) programs.add(program);
  await own.start();
  await node.start();
  return { own, node };
}

async function proxyTo(node) {
  const proxy = await new Proxy(node).start();
  proxies.add(proxy);
  return proxy;
}

const numbered = (count, prefix = 'm') => Array.from({ length: count }, (_, index) => `${prefix}${index}`);
const texts = (events) => events.filter(({ t }) => t === 'msg').map(({ text }) => text);
const newRoom = () => nodes[1].openRoom(`room-${process.pid}-${++rooms}`);

/** Sends one after the other as a person would, without waiting for answers; something happens on the way. */
async function sendWhile(room, all, happening) {
  const sent = [];
  const trouble = happening();
  for (const text of all) {
    sent.push(room.send({ t: 'msg', text }));
    await sleep(15);
  }
  await trouble;
  return Promise.all(sent);
}

for (const transport of TRANSPORTS) {
  test(`${transport}: two people on two nodes`, options, async () => {
    const roomId = await newRoom();
    const kim = await enter(nodes[0].url, '김', roomId, { transport });
    const lee = await enter(nodes[1].url, 'lee', roomId);
    await kim.room.send({ t: 'msg', text: '안녕하세요' });
    await lee.room.send({ t: 'msg', text: 'hi' });
    await eventually(() => kim.heard.length === 2 && lee.heard.length === 2, 'both have heard both');
    assert.deepEqual([kim.heard, lee.heard], [['안녕하세요', 'hi'], ['안녕하세요', 'hi']]);
    assert.deepEqual([...lee.room.members].sort(), ['creator', kim.c2c.me, 'lee'].sort());
    await lee.room.send({ t: 'typing', typing: true });
    await lee.room.leave();
    await eventually(() => !kim.room.members.has('lee'), 'the leave is seen');
    kim.c2c.close();
    lee.c2c.close();
  });

  test(`${transport}: Redis killed and started again while sending`, options, async () => {
    const roomId = await newRoom();
    const kim = await enter(nodes[0].url, 'kim', roomId, { transport });
    const lee = await enter(nodes[1].url, 'lee', roomId);
    const all = numbered(100);
    await sendWhile(kim.room, all, async () => {
      await sleep(400);
      await redis.kill();
      await sleep(1_000);
      await redis.start();
    });
    await eventually(() => lee.heard.length >= all.length && kim.heard.length >= all.length, 'all is heard');
    assert.deepEqual(texts(await nodes[0].log(roomId)), all);
    assert.deepEqual([kim.heard, lee.heard, kim.room.pending], [all, all, []]);
    kim.c2c.close();
    lee.c2c.close();
  });

  test(`${transport}: the node killed and started again while sending`, options, async () => {
    const roomId = await newRoom();
    const kim = await enter(nodes[0].url, 'kim', roomId, { transport });
    const lee = await enter(nodes[1].url, 'lee', roomId);
    const all = numbered(100);
    const statuses = [];
    kim.c2c.on('status', ({ status }) => statuses.push(status));
    await sendWhile(kim.room, all, async () => {
      await sleep(400);
      await nodes[0].kill('SIGKILL');
      await sleep(500);
      await nodes[0].start();
      await sleep(700);
      await nodes[0].kill('SIGTERM');
      await nodes[0].start();
    });
    await eventually(() => lee.heard.length >= all.length, 'all is heard');
    assert.deepEqual(texts(await nodes[0].log(roomId)), all);
    await eventually(() => kim.heard.length >= all.length, 'kim has resumed');
    assert.deepEqual([kim.heard, lee.heard, kim.room.pending], [all, all, []]);
    assert.ok(statuses.includes('connecting') && kim.c2c.status === 'connected');
    kim.c2c.close();
    lee.c2c.close();
  });

  test(`${transport}: a network that cuts every connection again and again`, options, async () => {
    const roomId = await newRoom();
    const proxy = await proxyTo(nodes[0]);
    const kim = await enter(proxy.url, 'kim', roomId, { transport });
    const lee = await enter(proxy.url, 'lee', roomId, { transport });
    const all = numbered(60);
    let cutting = true;
    const cuts = (async () => {
      while (cutting) {
        await sleep(20 + Math.random() * 400);
        proxy.cut();
      }
    })();
    const sent = sendWhile(kim.room, all, async () => {
      await sleep(8_000);
      cutting = false;
    });
    await sent;
    await cuts;
    await eventually(() => lee.heard.length >= all.length && kim.heard.length >= all.length, 'all is heard');
    assert.deepEqual(texts(await nodes[0].log(roomId)), all);
    assert.deepEqual([kim.heard, lee.heard], [all, all]);
    assert.ok(proxy.accepted >= 8); // each of them four times at least
    kim.c2c.close();
    lee.c2c.close();
  });

  test(`${transport}: reloads while sending`, options, async () => {
    const roomId = await newRoom();
    const proxy = await proxyTo(nodes[0]);
    const storage = new FakeStorage();
    const lee = await enter(nodes[1].url, 'lee', roomId);
    const all = numbered(60);
    for (const start of [0, 20, 40]) {
      const page = await enter(proxy.url, 'kim', roomId, { transport, storage });
      for (const text of all.slice(start, start + 20)) page.room.send({ t: 'msg', text });
      if (start < 40) await sleep(Math.random() * 60); // the last page goes before anything is answered
      // The page goes without a goodbye, in the middle of it.
      proxy.mode = 'refuse';
      proxy.cut();
      await sleep(20);
      page.c2c.close();
      proxy.mode = 'pass';
    }
    assert.ok(waiting(storage).length > 0);
    const page = await enter(proxy.url, 'kim', roomId, { transport, storage });
    await eventually(() => waiting(storage).length === 0, 'everything is sent');
    await eventually(() => lee.heard.length >= all.length, 'all is heard');
    assert.deepEqual(texts(await nodes[0].log(roomId)), all);
    assert.deepEqual(lee.heard, all);
    page.c2c.close();
    lee.c2c.close();
  });

  test(`${transport}: a dead network is noticed within 15 s, and what was sent into it arrives`, options, async () => {
    const roomId = await newRoom();
    const proxy = await proxyTo(nodes[0]);
    const kim = await enter(proxy.url, 'kim', roomId, { transport });
    const idle = await enter(proxy.url, 'idle', roomId, { transport });
    proxy.mode = 'swallow';
    const died = Date.now();
    const sending = kim.room.send({ t: 'msg', text: 'into the void' });
    await eventually(() => kim.c2c.status !== 'connected', 'the sender notices', 6_000);
    await eventually(() => idle.c2c.status !== 'connected', 'the listener notices', 16_000);
    assert.ok(Date.now() - died <= 15_200, `${Date.now() - died} ms`);
    proxy.cut();
    proxy.mode = 'pass';
    await sending;
    await eventually(() => idle.heard.length === 1, 'it is heard');
    assert.deepEqual(texts(await nodes[0].log(roomId)), ['into the void']);
    kim.c2c.close();
    idle.c2c.close();
  });
}

test('sse: a user id in another script signs in (auth dev)', options, async () => {
  const headers = { Authorization: `Bearer ${encodeURIComponent('김')}` };
  const answer = await fetch(`${nodes[0].url}/api/rooms/${await newRoom()}`, { headers });
  assert.equal(answer.status, 200);
});

for (const transport of TRANSPORTS) {
  test(`${transport}: what was acknowledged and lost by a Redis that went back is written again, once`, options, async () => {
    const { own, node } = await ownServers();
    const roomId = await node.openRoom('went-back');
    const kim = await enter(node.url, 'kim', roomId, { transport });
    const lee = await enter(node.url, 'lee', roomId);
    const replaced = new Promise((resolve) => kim.room.on('replaced', resolve));
    const all = numbered(15);
    const say = (texts) => Promise.all(texts.map((text) => kim.room.send({ t: 'msg', text })));
    await say(all.slice(0, 5));
    const copy = own.copy();
    await say(all.slice(5, 10));
    await own.killAndGoBack(copy);
    const meanwhile = say(all.slice(10));
    await own.start();
    assert.match((await replaced).reason, /^(epoch|ahead)$/);
    await meanwhile;
    await eventually(() => kim.room.pending.length === 0, 'all is acknowledged again');
    const log = texts(await node.log(roomId));
    assert.deepEqual([...log].sort(), [...all].sort());
    assert.deepEqual(log.filter((text) => all.indexOf(text) < 10), all.slice(0, 10));
    await eventually(() => lee.heard.at(-1) === log.at(-1), 'all is heard');
    for (const { c2c } of [kim, lee]) c2c.close();
  });
}

test('a room that Redis has lost is opened again; the state is replaced and nothing that was sent is lost', options, async () => {
  const { own, node } = await ownServers();
  const roomId = await node.openRoom('lost');
  const kim = await enter(node.url, 'kim', roomId);
  await kim.room.send({ t: 'msg', text: 'before' });
  const replaced = new Promise((resolve) => kim.room.on('replaced', resolve));
  await own.killAndForget();
  const sent = numbered(5).map((text) => kim.room.send({ t: 'msg', text }));
  await own.start();
  assert.equal((await replaced).reason, 'epoch');
  await Promise.all(sent);
  await eventually(() => kim.room.pending.length === 0, 'all is acknowledged');
  const events = await node.log(roomId);
  const log = texts(events);
  assert.deepEqual(log.filter((text) => text !== 'before'), numbered(5));
  assert.equal(log.length, 6);
  await eventually(() => kim.room.position.seq >= events.at(-1).seq, 'all is heard');
  // What was written again before the state was read stands in it, the rest is heard.
  const shown = kim.room.state.messages.map(({ text }) => text);
  assert.deepEqual([...shown, ...kim.heard.slice(kim.heard.length - (6 - shown.length))], log);
  kim.c2c.close();
});

test('behind a stream, WebSockets are taken again when they work', options, async () => {
  const roomId = await newRoom();
  let blocked = true;
  // As a proxy does that knows no upgrades.
  const socket = function (url) {
    return new WebSocket(blocked ? url.replace('/ws', '/healthz') : url);
  };
  const fast = (ms) => (ms === 60_000 ? 1_000 : ms);
  const clock = {
    now: () => Date.now(),
    setTimeout: (work, ms) => setTimeout(work, fast(ms)),
    clearTimeout: (timer) => clearTimeout(timer),
  };
  const c2c = new C2C({ url: nodes[0].url, token: () => 'kim', WebSocket: socket, storage: null, clock });
  clients.add(c2c);
  const room = await c2c.join(roomId);
  assert.equal(c2c.connection.transport, 'sse');
  const heard = [];
  room.on('msg', ({ text }) => heard.push(text));
  const all = numbered(40);
  await sendWhile(room, all, async () => {
    await sleep(300);
    blocked = false;
  });
  await eventually(() => c2c.connection.transport === 'websocket', 'the WebSocket is taken');
  await room.send({ t: 'msg', text: 'last' });
  await eventually(() => heard.includes('last'), 'all is heard');
  assert.deepEqual(texts(await nodes[0].log(roomId)), [...all, 'last']);
  assert.deepEqual(heard, [...all, 'last']);
  c2c.close();
});
