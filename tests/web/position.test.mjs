import assert from 'node:assert/strict';
import { test } from 'node:test';

import { isJoined, Track } from '../../c2c/web/sdk/policy.js';

const joined = (fields = {}) => ({
  t: 'joined', roomId: 'r', kind: 'chat', me: 'kim', members: ['kim'], presence: { kim: 'online' },
  epoch: 'e1', seq: 5, recovered: false, state: { messages: [] }, ...fields,
}); // prettier-ignore
const event = (seq, fields = {}) => ({ t: 'msg', epoch: 'e1', seq, ...fields });

test('events pass once, in order; an old one is dropped, a hole is a gap', () => {
  const track = new Track();
  assert.equal(track.take(event(1)), 'old');
  assert.equal(track.enter(joined()), undefined);
  assert.equal(track.take(event(5)), 'old');
  assert.equal(track.take(event(6)), 'pass');
  assert.equal(track.take(event(6)), 'old');
  assert.equal(track.take(event(8)), 'gap');
  assert.equal(track.take(event(7, { epoch: 'e2' })), 'gap');
  assert.deepEqual(track.position, { epoch: 'e1', seq: 6 });
});

test('a recovered join keeps the position, so that what was missed passes', () => {
  const track = new Track();
  track.enter(joined());
  assert.equal(track.enter(joined({ seq: 7, recovered: true, state: undefined })), undefined);
  assert.deepEqual([track.take(event(6)), track.take(event(7)), track.take(event(8))], ['pass', 'pass', 'pass']);
  assert.deepEqual(track.state, { messages: [] });
});

test('an unrecovered join replaces the state and says why', () => {
  const track = new Track();
  track.enter(joined());
  assert.equal(track.enter(joined({ epoch: 'e2', seq: 1, reason: 'epoch', state: { messages: [1] } })), 'epoch');
  assert.deepEqual(track.position, { epoch: 'e2', seq: 1 });
  assert.deepEqual(track.state, { messages: [1] });
});

test('missed comings and goings do not undo the list that came after them', () => {
  const track = new Track();
  track.enter(joined());
  track.enter(joined({ seq: 8, recovered: true, members: ['kim', 'lee'], presence: { kim: 'online', lee: 'busy' } }));
  track.take(event(6, { t: 'user_joined', userId: 'lee' }));
  track.take(event(7, { t: 'user_left', userId: 'lee' }));
  track.take(event(8, { t: 'user_joined', userId: 'lee' }));
  assert.deepEqual([...track.members], ['kim', 'lee']);
  assert.equal(track.presence.get('lee'), 'busy');
  track.take(event(9, { t: 'user_left', userId: 'lee' }));
  track.take({ t: 'user:status', userId: 'kim', status: 'away' });
  assert.deepEqual([...track.presence], [['kim', 'away']]);
});

test('in the room of who is signed in, everybody comes and goes by their status', () => {
  const track = new Track();
  track.enter(joined({ kind: 'presence', members: ['kim', 'lee'], presence: { kim: 'online', lee: 'busy' } }));
  const users = [['kim', 'away'], ['lee', 'offline'], ['min', 'online']].map(([userId, status]) => ({ userId, status }));
  track.take(event(6, { t: 'user:status', users }));
  assert.deepEqual([[...track.members], [...track.presence]], [['kim', 'min'], [['kim', 'away'], ['min', 'online']]]);
  const one = { userId: 'kim', status: 'offline' };
  track.take(event(7, { t: 'user:status', ...one, users: [one] }));
  assert.deepEqual([[...track.members], [...track.presence]], [['min'], [['min', 'online']]]);
});

test('what a status was before a join does not undo what the join has said', () => {
  const track = new Track();
  track.enter(joined({ kind: 'presence' }));
  track.enter(joined({ kind: 'presence', seq: 7, recovered: true, members: ['min'], presence: { min: 'busy' } }));
  track.take(event(6, { t: 'user:status', users: [{ userId: 'lee', status: 'online' }] }));
  track.take(event(7, { t: 'user:status', users: [{ userId: 'lee', status: 'offline' }, { userId: 'min', status: 'away' }] }));
  assert.deepEqual([[...track.members], [...track.presence]], [['min'], [['min', 'busy']]]);
});

test('a status that is broken, published by hand, or of somebody who has gone changes nobody', () => {
  const track = new Track();
  track.enter(joined({ kind: 'presence' }));
  const lee = { userId: 'lee', status: 'online' };
  for (const users of [undefined, 'x', [null, 1, { userId: 1, status: 'online' }, { userId: 'lee' }]]) {
    track.take(event(track.position.seq + 1, { t: 'user:status', users, ...lee }));
  }
  track.take({ t: 'user:status', ...lee, users: [lee] });
  assert.deepEqual([[...track.members], [...track.presence]], [['kim'], [['kim', 'online']]]);
  track.enter(joined({ kind: 'chat' }));
  track.take({ t: 'user:status', ...lee });
  assert.deepEqual([[...track.members], [...track.presence]], [['kim'], [['kim', 'online']]]);
});

test('a user called __proto__ is a user', () => {
  const track = new Track();
  track.enter(joined({ members: ['__proto__'], presence: JSON.parse('{"__proto__":"busy"}') }));
  assert.equal(track.presence.get('__proto__'), 'busy');
});

test('what only looks like a join is none', () => {
  assert.ok(isJoined(joined()));
  for (const broken of [{ epoch: 1 }, { seq: '1' }, { members: {} }, { presence: [] }, { presence: null }]) {
    assert.ok(!isJoined(joined(broken)));
  }
});
