import assert from 'node:assert/strict';
import { test } from 'node:test';

import { isJoined, Track } from '../../c2c/web/sdk/position.js';

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
