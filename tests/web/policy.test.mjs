import assert from 'node:assert/strict';
import { test } from 'node:test';

import { afterClose, Backoff, Pacer } from '../../c2c/web/sdk/policy.js';

test('waits grow from 1 s to 30 s and begin anew after a reset', () => {
  const backoff = new Backoff(() => 1);
  const waits = Array.from({ length: 7 }, () => backoff.delayMs(0));
  assert.deepEqual(waits, [1000, 2000, 4000, 8000, 16_000, 30_000, 30_000]);
  assert.equal(backoff.attempt, 7);
  backoff.reset();
  assert.equal(backoff.delayMs(0), 1000);
});

test('a restart is answered within the first second, wherever in it', () => {
  for (const share of [0, 0.3, 0.999]) assert.equal(new Backoff(() => share).delayMs(1012), share * 1000);
});

test('who flooded the server waits a second at least', () => {
  assert.equal(new Backoff(() => 0).delayMs(4429), 1000);
});

test('close codes say stop, new token or again', () => {
  assert.deepEqual([4400, 4403, 4401].map(afterClose), ['stop', 'stop', 'token']);
  assert.deepEqual([0, 1000, 1001, 1006, 1012, 4408, 4420, 4429, 4999].map(afterClose), Array(9).fill('again'));
});

test('commands are spaced once the server has refused one, and no longer when it is calm', () => {
  const pacer = new Pacer();
  assert.deepEqual([pacer.reserveMs(0), pacer.reserveMs(0)], [0, 0]);
  pacer.refused(0, 50);
  assert.deepEqual([pacer.reserveMs(0), pacer.reserveMs(0), pacer.reserveMs(0)], [50, 100, 150]);
  assert.deepEqual([pacer.reserveMs(20_000), pacer.reserveMs(20_000)], [0, 0]);
});

/** The seconds in which 500 clients come back when a server is away for `awayS`: the worst one over the mean. */
function worstSecond(awayS, startS, random) {
  const seconds = new Map();
  for (let client = 0; client < 500; client++) {
    const backoff = new Backoff(random);
    let at = 0;
    do at += backoff.delayMs(1012) / 1000;
    while (at < awayS);
    const second = Math.floor(startS + at);
    seconds.set(second, (seconds.get(second) ?? 0) + 1);
  }
  const span = Math.max(...seconds.keys()) - Math.min(...seconds.keys()) + 1;
  return Math.max(...seconds.values()) / (500 / span);
}

/** Numbers that look random and are the same each time (mulberry32). */
function seeded(seed) {
  return () => {
    seed = (seed + 0x6d2b79f5) | 0;
    let mixed = Math.imul(seed ^ (seed >>> 15), 1 | seed);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

test('500 clients come back without a second above 3 times the mean, however long the server was away', () => {
  const random = seeded(7);
  for (const awayS of [0, 0.5, 1, 1.5, 1.75, 2, 3, 4, 5, 5.5, 7, 10, 15, 20, 30, 40, 60, 120]) {
    for (let run = 0; run < 100; run++) {
      const worst = worstSecond(awayS, random(), random);
      assert.ok(worst <= 3, `away for ${awayS} s: ${worst.toFixed(2)}`);
    }
  }
});
