// 500 clients in one process, and a server that is started again: they come back as a stream and not as a wave.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';

import { WebSocket } from 'ws';

import { C2C } from '../../c2c/web/c2c.js';
import { cannotRun, eventually, Node, Redis } from './servers.mjs';

const CLIENTS = 500;
const options = { skip: cannotRun, timeout: 180_000 };

let redis;
let node;
const clients = [];
const heard = new Array(CLIENTS).fill(0);
const reconnects = [];

before(async () => {
  if (cannotRun) return;
  redis = await new Redis().start();
  node = await new Node(redis).start();
  await node.openRoom('fleet');
  for (let index = 0; index < CLIENTS; index++) {
    // Chance is evenly spread over the fleet: this asks what the waits do, and not how 500 dice may fall.
    const random = () => (index + Math.random()) / CLIENTS;
    const c2c = new C2C({ url: node.url, token: () => `user${index}`, WebSocket, storage: null, random });
    clients.push(c2c);
    // Counted when the attempt that succeeded was begun: that is when the server meets it, however busy it is.
    let begun = 0;
    c2c.on('status', ({ status, retryAt }) => {
      if (status === 'connecting' && retryAt === undefined) begun = Date.now();
      if (status === 'connected') reconnects.push(begun);
    });
  }
  const rooms = await Promise.all(clients.map((client) => client.join('fleet')));
  rooms.forEach((room, index) => room.on('msg', () => heard[index]++));
});

after(async () => {
  for (const client of clients) client.close();
  await node?.stop();
  await redis?.stop();
});

/** The second with the most reconnects, over the mean of all seconds from the first to the last. */
function worstSecond(times) {
  const seconds = new Map();
  for (const time of times) seconds.set(Math.floor(time / 1000), (seconds.get(Math.floor(time / 1000)) ?? 0) + 1);
  const span = Math.max(...seconds.keys()) - Math.min(...seconds.keys()) + 1;
  const worst = Math.max(...seconds.values()) / (times.length / span);
  return { worst, seconds: [...seconds].sort(([a], [b]) => a - b).map(([, count]) => count) };
}

for (const [signal, awayMs] of [['SIGTERM', 0], ['SIGKILL', 0], ['SIGKILL', 4_000]]) {
  test(`${signal}, away for ${awayMs} ms and the time it takes to start`, options, async (t) => {
    await sleep(11_000); // a stable connection begins a new row of waits
    const said = heard[0];
    reconnects.length = 0;
    await node.kill(signal);
    await sleep(awayMs);
    await node.start();
    await eventually(() => clients.every(({ status }) => status === 'connected'), 'all are back', 90_000);
    const { worst, seconds } = worstSecond(reconnects);
    t.diagnostic(`reconnects by second: ${seconds.join(' ')}; worst ${worst.toFixed(2)} times the mean`);
    assert.ok(worst <= 3, `${worst.toFixed(2)}: ${seconds.join(' ')}`);
    const [{ rooms }] = clients;
    await rooms.get('fleet').send({ t: 'msg', text: 'everybody here?' });
    await eventually(() => heard.every((count) => count === said + 1), 'everybody hears it once');
  });
}
