// The list of everybody: pages and events that cross each other, and an order that stands still.
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { Roster } from '../../c2c/web/online/roster.js';

const user = (userId, status = 'online', more = {}) => ({
  userId, username: userId, avatar: '', status, lastSeen: '2026-11-21T12:00:00.000Z', roomId: null, connections: 1, ...more,
});
const state = (users, more, counts) => ({
  users, more, next: more ? users.at(-1).userId : undefined, stats: { total: 0, byStatus: counts ?? { online: 0, away: 0, busy: 0 } },
});
const ids = (roster, starred = []) => [...roster.sorted('me', new Set(starred), 'en')];
const statusOf = (roster, userId) => roster.people.get(userId)?.status;

test('an event that comes before a later page wins over it', () => {
  const roster = new Roster();
  roster.replace(state([user('ann')], true));
  roster.heard([user('lee', 'busy'), user('kim', 'offline')]);
  roster.page([user('kim'), user('lee'), user('park')], false);
  assert.equal(statusOf(roster, 'lee'), 'busy');
  assert.equal(statusOf(roster, 'kim'), 'offline');
  assert.equal(statusOf(roster, 'park'), 'online');
});

test('an event about somebody on the first page is not undone by the last', () => {
  const roster = new Roster();
  roster.replace(state([user('ann')], true));
  roster.heard([user('ann', 'away')]);
  roster.page([user('bob')], true);
  roster.page([user('ann'), user('cho')], false);
  assert.equal(statusOf(roster, 'ann'), 'away');
});

test('a new snapshot forgets what events of before have said', () => {
  const roster = new Roster();
  roster.replace(state([user('ann')], true));
  roster.heard([user('lee', 'busy')]);
  roster.replace(state([user('ann')], true));
  roster.page([user('lee')], false);
  assert.equal(statusOf(roster, 'lee'), 'online');
});

test('counts are the server\'s until all pages are there, and our own from then on', () => {
  const roster = new Roster();
  roster.replace(state([user('ann')], true, { online: 1500, away: 400, busy: 100 }));
  assert.deepEqual(roster.present, { online: 1500, away: 400, busy: 100, total: 2000 });
  roster.page([user('bob', 'away'), user('cho', 'busy')], false);
  assert.deepEqual(roster.present, { online: 1, away: 1, busy: 1, total: 3 });
  roster.heard([user('bob', 'offline'), user('dan')]);
  assert.deepEqual(roster.present, { online: 2, away: 0, busy: 1, total: 3 });
});

test('the order is oneself, starred, present, gone, by name in each', () => {
  const roster = new Roster();
  const users = [user('zoe'), user('me', 'busy'), user('bob', 'away'), user('Ann'), user('cho', 'offline'), user('dan', 'offline')];
  roster.replace(state(users, false));
  assert.deepEqual(ids(roster, ['zoe', 'dan']), ['me', 'zoe', 'Ann', 'bob', 'dan', 'cho']);
});

test('a status that changes moves nobody; coming and going does', () => {
  const roster = new Roster();
  roster.replace(state([user('me'), user('ann'), user('bob')], false));
  const { order } = roster;
  roster.heard([user('ann', 'busy'), user('bob', 'away')]);
  assert.equal(roster.order, order);
  assert.deepEqual(ids(roster), ['me', 'ann', 'bob']);
  roster.heard([user('ann', 'offline')]);
  assert.notEqual(roster.order, order);
  assert.deepEqual(ids(roster), ['me', 'bob', 'ann']);
});

test('of those who have gone the last 200 stay', () => {
  const roster = new Roster();
  roster.replace(state([user('me')], false));
  for (let number = 0; number < 1000; number++) roster.heard([user(`u${number}`, 'offline')]);
  assert.equal(roster.people.size, 201);
  assert.equal(roster.counts.offline, 200);
  assert.ok(roster.people.has('u999'));
  roster.heard([user('u999')]);
  assert.equal(roster.counts.offline, 199);
});

test('what is no person is left out, and what a person lacks is empty', () => {
  const roster = new Roster();
  roster.replace({ users: 'none', more: false });
  roster.heard([null, 7, {}, { userId: 3 }, { userId: 'kim', status: 'dancing', lastSeen: 'never', roomId: 5 }]);
  roster.heard(undefined);
  assert.deepEqual([...roster.people.values()], [
    { userId: 'kim', username: 'kim', status: 'offline', seenAt: 0, roomId: '', connections: 0, sought: 'kim kim' },
  ]);
});

test('ten thousand people are put together and sorted in a moment', () => {
  const roster = new Roster();
  const users = Array.from({ length: 10_000 }, (_, number) => user(`user${String(number).padStart(5, '0')}`));
  const started = process.cpuUsage();
  roster.replace(state(users.slice(0, 500), true));
  for (let at = 500; at < users.length; at += 500) roster.page(users.slice(at, at + 500), at + 500 < users.length);
  assert.equal(ids(roster).length, 10_000);
  const ms = process.cpuUsage(started).user / 1000;
  assert.ok(ms < 1_000, `${ms.toFixed()} ms`);
});
