// The pages of monitoring without a browser: what is known, in which order, in which shapes, and in which words.
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { Endpoints, isActive } from '../../c2c/web/monitor/endpoints.js';
import { bodyOf, faultsOf, SECRET, valuesOf } from '../../c2c/web/monitor/fields.js';
import { barAt, sparkline, strip } from '../../c2c/web/monitor/geometry.js';
import { merged } from '../../c2c/web/monitor/model.js';
import { Order } from '../../c2c/web/monitor/order.js';
import { chartLine, downShare, frameOf, niceTop, xOf } from '../../c2c/web/monitor/plot.js';
import { Results } from '../../c2c/web/monitor/results.js';
import { FakeClock, settled } from './fakes.mjs';

const START = Date.parse('2026-11-21T12:00:00.000Z');
const iso = (ms) => new Date(ms).toISOString();
const summary = (endpointId, status = 'UP', more = {}) => ({
  endpointId, name: endpointId, kind: 'http', url: `https://${endpointId}.example/`, status, since: iso(START),
  checkedAt: iso(START), responseTime: 20, interval: 60, ...more,
});
const state = (endpoints, more = {}) => ({ endpoints, more: false, stats: {}, incidents: [], windows: [], suspects: [], ...more });
const incident = (incidentId, endpointId, more = {}) => ({
  incidentId, endpointId, endpointName: endpointId, startedAt: iso(START), resolvedAt: null, duration: null, failureCount: 3,
  errorMessage: 'status 503', reason: 'status', reopened: 0, acknowledged: null, ...more,
});
const known = (...given) => {
  const endpoints = new Endpoints();
  endpoints.replace(state(...given));
  return endpoints;
};

// What is known

test('an event that comes before a later page wins over it, and what it deleted stays deleted', () => {
  const endpoints = known([summary('a', 'DOWN')], { more: true, stats: { total: 4 } });
  endpoints.heard({ t: 'endpoint:status-changed', endpointId: 'b', endpoint: summary('b', 'DOWN') });
  endpoints.heard({ t: 'endpoint:deleted', endpointId: 'c' });
  endpoints.page([summary('b'), summary('c'), summary('d')], false);
  assert.equal(endpoints.all.get('b').status, 'DOWN');
  assert.deepEqual(endpoints.sorted('en'), ['a', 'b', 'd']);
});

test('a new snapshot forgets what events of before have said', () => {
  const endpoints = known([summary('a')], { more: true });
  endpoints.heard({ t: 'endpoint:deleted', endpointId: 'b' });
  endpoints.replace(state([summary('a')], { more: true }));
  endpoints.page([summary('b')], false);
  assert.ok(endpoints.all.has('b'));
});

test('a page that should be the last and is not is noticed', () => {
  const endpoints = known([summary('a'), summary('b')], { more: true });
  assert.equal(endpoints.lacks([summary('b'), summary('c')], 4), true);
  assert.equal(endpoints.lacks([summary('b'), summary('c')], 3), false);
  assert.equal(endpoints.lacks([], NaN), false);
});

test('counts are the server’s until all pages are there, then our own; built-in ones are not among them', () => {
  const builtin = summary('c2c-redis', 'DOWN', { kind: 'builtin' });
  const stats = { total: 1001, UP: 900, DOWN: 51, DEGRADED: 20, UNKNOWN: 10, paused: 20 };
  const endpoints = known([builtin], { more: true, stats });
  assert.deepEqual(endpoints.counts, { all: 1000, DOWN: 50, DEGRADED: 20, rest: 30, UP: 900 });
  assert.equal(endpoints.down, 51);
  endpoints.page([summary('a', 'UNKNOWN'), summary('b', 'UP', { paused: true }), summary('c', 'DOWN')], false);
  assert.deepEqual(endpoints.counts, { all: 3, DOWN: 1, DEGRADED: 0, rest: 2, UP: 0 });
  assert.equal(endpoints.down, 2);
  assert.deepEqual(endpoints.builtin.map(({ endpointId }) => endpointId), ['c2c-redis']);
});

test('the worst come first and what is paused last; in each by name, as the language sorts', () => {
  const given = [
    ['1', 'UP', 'web 10'], ['2', 'UP', 'web 9'], ['3', 'UNKNOWN', 'x'], ['4', 'DEGRADED', 'x'], ['5', 'DOWN', 'Ä'],
    ['6', 'DOWN', 'Z'], ['7', 'DOWN', '가'], ['8', 'UP', 'a', { paused: true }],
  ];
  const endpoints = known(given.map(([id, status, name, more]) => summary(id, status, { name, ...more })));
  assert.deepEqual(endpoints.sorted('en'), ['5', '6', '7', '4', '3', '2', '1', '8']);
  assert.deepEqual(endpoints.sorted('ko'), ['7', '5', '6', '4', '3', '2', '1', '8']);
});

test('a check is no change of status: it is counted until it is one too many, and moves nobody', () => {
  const endpoints = known([summary('a'), summary('b')]);
  const { order } = endpoints;
  const failed = { t: 'check:completed', endpointId: 'a', status: 'DOWN', responseTime: null, reason: 'timeout', errorMessage: 'no answer', checkedAt: iso(START + 9) };
  endpoints.heard(failed);
  endpoints.heard(failed);
  const { status, failureCount, reason, checkedAt, responseTime } = endpoints.all.get('a');
  assert.deepEqual([status, failureCount, reason, checkedAt, responseTime], ['UP', 2, 'timeout', START + 9, null]);
  endpoints.heard({ ...failed, status: 'UNKNOWN', reason: 'suspect' });
  assert.equal(endpoints.all.get('a').failureCount, 2, 'a checker in doubt does not count');
  endpoints.heard({ ...failed, status: 'DEGRADED', responseTime: 900, reason: null, errorMessage: '' });
  assert.equal(endpoints.all.get('a').failureCount, 0);
  assert.equal(endpoints.all.get('a').reason, '');
  assert.equal(endpoints.order, order);
  endpoints.heard({ t: 'endpoint:status-changed', endpointId: 'b', endpoint: summary('b', 'DOWN') });
  assert.notEqual(endpoints.order, order);
});

test('whether a check was in maintenance is known where it is told', () => {
  const endpoints = known([summary('a')]);
  const checked = { t: 'check:completed', endpointId: 'a', status: 'UP', checkedAt: iso(START) };
  const told = [{ maintenance: true }, {}, { maintenance: false }].map((more) => {
    endpoints.heard({ ...checked, ...more });
    return endpoints.all.get('a').maintenance;
  });
  assert.deepEqual(told, [true, true, false]);
});

test('incidents open, are acknowledged, resolved, and go with their endpoint', () => {
  const endpoints = known([summary('a', 'DOWN', { reason: 'dns' }), summary('b')], { incidents: [incident('i0', 'b')] });
  endpoints.heard({ t: 'incident:started', ...incident('i1', 'a', { reason: undefined }) });
  assert.equal(endpoints.all.get('a').incidentId, 'i1');
  assert.equal(endpoints.incidents.get('i1').reason, 'dns');
  endpoints.heard({ t: 'incident:acknowledged', incidentId: 'i1', endpointId: 'a', userId: 'lee', username: 'Lee', note: 'on it', acknowledgedAt: iso(START) });
  assert.deepEqual(endpoints.incidents.get('i1').acknowledged, { userId: 'lee', username: 'Lee', note: 'on it', at: iso(START) });
  endpoints.heard({ t: 'incident:resolved', incidentId: 'i1', endpointId: 'a' });
  assert.equal(endpoints.all.get('a').incidentId, '');
  assert.deepEqual([...endpoints.incidents.keys()], ['i0']);
  endpoints.heard({ t: 'endpoint:deleted', endpointId: 'b' });
  assert.equal(endpoints.incidents.size, 0);
});

test('maintenance covers whom it names, or everybody, while it goes on', () => {
  const later = { windowId: 'w', endpointIds: ['a'], active: false, nextStart: iso(START + 1000), nextEnd: iso(START + 2000) };
  const endpoints = known([summary('a'), summary('b')], { windows: [later] });
  assert.deepEqual([0, 1000, 1999, 2000].map((ms) => endpoints.inMaintenance('a', START + ms)), [false, true, true, false]);
  assert.equal(endpoints.inMaintenance('b', START + 1500), false);
  const now = { windowId: 'v', endpointIds: [], active: true, nextStart: iso(START + 9000), nextEnd: iso(START + 10) };
  endpoints.heard({ t: 'maintenance:changed', windows: [now] });
  assert.equal(endpoints.inMaintenance('b', START), true);
  assert.equal(endpoints.inMaintenance('a', START + 10), false);
  assert.equal(isActive({ active: true, nextStart: null, nextEnd: null }, START), true, 'without an end in sight');
});

test('what anybody publishes by hand breaks nothing and invents nothing', () => {
  const endpoints = known([summary('a')]);
  const rubbish = [
    { endpointId: 'a' }, { t: 'endpoint:created' }, { t: 'endpoint:created', endpointId: 7, endpoint: {} }, { t: 'check:completed', endpointId: 'zz' },
    { t: 'endpoint:updated', endpointId: 'a', endpoint: { endpointId: 'b' } }, { t: 'incident:started', endpointId: 'a' },
    { t: 'maintenance:changed', windows: 'none' }, { t: 'checker:suspect' }, { t: 'incident:resolved', endpointId: 'a', incidentId: {} },
    { t: 'endpoint:updated', endpointId: 'a', endpoint: { endpointId: 'a', status: 'DANCING', name: 5, url: [], since: 'never' } },
  ];
  for (const event of rubbish) endpoints.heard(event);
  assert.deepEqual([...endpoints.all.keys()], ['a']);
  const { status, name, url, since } = endpoints.all.get('a');
  assert.deepEqual([status, name, url, since], ['UNKNOWN', 'a', '', 0]);
  assert.equal(endpoints.incidents.size, 0);
  endpoints.replace({ endpoints: [null, 3, {}, summary('x')] });
  assert.deepEqual(endpoints.sorted('en'), ['x']);
});

test('search looks into names and addresses, filters into groups', () => {
  const endpoints = known([summary('a', 'DOWN', { name: '결제 API' }), summary('b', 'UP', { paused: true })]);
  const found = (filter, words) => [...endpoints.all.keys()].filter((id) => endpoints.matches(id, filter, words));
  assert.deepEqual(found('all', 'example'), ['a', 'b']);
  assert.deepEqual(found('all', '결제'), ['a']);
  assert.deepEqual(found('rest', ''), ['b']);
  assert.deepEqual(found('UP', ''), []);
  assert.deepEqual(found('DOWN', 'b.example'), []);
});

test('ten thousand endpoints are put together and sorted in a moment', () => {
  const given = Array.from({ length: 10_000 }, (_, n) => summary(`e${n}`, ['UP', 'DOWN'][n % 2]));
  const started = process.cpuUsage();
  assert.equal(known(given).sorted('ko').length, 10_000);
  const ms = process.cpuUsage(started).user / 1000;
  assert.ok(ms < 1_000, `${ms.toFixed()} ms`);
});

// In which order

test('while the order is held nothing moves: what is new comes at the end, what is gone goes, and the rest waits', () => {
  const order = new Order();
  const exists = (id) => id !== 'c';
  order.arrange(['a', 'b', 'c'], exists, false);
  assert.equal(order.arrange(['d', 'b', 'a'], exists, true), true);
  assert.deepEqual(order.ids, ['a', 'b', 'd']);
  assert.equal(order.waits, true);
  assert.equal(order.arrange(['d', 'b', 'a'], exists, true), false);
  order.arrange(['d', 'b', 'a'], exists, false);
  assert.deepEqual(order.ids, ['d', 'b', 'a']);
  assert.equal(order.waits, false);
});

test('what a filter no longer wants stays under the pointer until it leaves', () => {
  const order = new Order();
  order.arrange(['a', 'b'], () => true, false);
  order.arrange(['b'], () => true, true);
  assert.deepEqual(order.ids, ['a', 'b']);
  order.arrange(['b'], () => true, false);
  assert.deepEqual(order.ids, ['b']);
});

// In which shapes

const result = (n, status = 'UP', responseTime = 50) => ({ at: START + n * 60_000, status, responseTime, statusCode: 200, reason: '' });
const bars = (path) => [...path.matchAll(/M([\d.]+) 24v-([\d.]+)/g)].map(([, x, height]) => [Number(x), Number(height)]);

test('the newest bar is on the right, trouble is a dip, and what is missing is a mere line', () => {
  const paths = strip([result(0, 'DOWN'), result(1, 'DEGRADED'), result(2)]);
  assert.deepEqual(bars(paths.UP), [[147.5, 24]]);
  const [[slowX, slow]] = bars(paths.DEGRADED);
  const [[downX, down]] = bars(paths.DOWN);
  assert.deepEqual([downX, slowX], [137.5, 142.5]);
  assert.ok(24 > slow && slow > down && down > bars(paths.UNKNOWN)[0][1]);
  assert.equal(bars(paths.UNKNOWN).length, 27);
  const many = strip(Array.from({ length: 40 }, (_, n) => result(n)));
  assert.equal(bars(many.UP).length, 30);
});

test('the bar under a pointer is the one that stands there', () => {
  const results = [result(0), result(1), result(2)];
  assert.equal(barAt(results, 0.99), results[2]);
  assert.equal(barAt(results, 1), results[2]);
  assert.equal(barAt(results, 27.5 / 30), results[0]);
  assert.equal(barAt(results, 0.5), undefined);
});

test('a line of response times breaks where a check failed and where data is missing', () => {
  const line = (...results) => sparkline(results, 60, 90, 20);
  const breaks = (path) => path.split('M').length - 1;
  assert.equal(breaks(line(result(0), result(1), result(2))), 1);
  assert.equal(breaks(line(result(0), result(1), result(2, 'DOWN', 9), result(3), result(4))), 2);
  assert.equal(breaks(line(result(0), result(1), result(5), result(6))), 2);
  assert.equal(breaks(line(result(0), result(1), result(3), result(4))), 1, 'one slot that is late is no hole');
  const slower = [0, 10, 20, 30, 40].map((n) => result(n));
  assert.equal(breaks(sparkline(slower, 60, 90, 20)), 1, 'an interval that was another one before is no hole');
  assert.match(line(result(0, 'DOWN'), result(1), result(2, 'DOWN')), /^M[\d.]+ [\d.]+h0$/, 'a lone answer is a dot');
  assert.equal(line(), '');
  assert.equal(line(result(0, 'UP', null)), '');
});

const point = (hour, p50, more = {}) => ({
  at: START - hour * 3_600_000, up: 60, degraded: 0, down: 0, unknown: 0, average: p50, max: p50 && p50 * 3, p50, p95: p50 && p50 * 2, ...more,
});

test('the chart’s lines break at points without data, and its scale is one that is good to read', () => {
  const points = [point(5, 100), point(4, 120), point(3, null), point(2, 90), point(1, null), point(0, 110)];
  const frame = frameOf(points, 86_400_000, START, 720, 180);
  assert.equal(frame.step, 3_600_000);
  assert.equal(frame.top, 500);
  assert.equal(chartLine(points, frame, 'p50').split('M').length - 1, 3);
  assert.ok(xOf(points[0], frame) > 0 && xOf(points[5], frame) <= 720);
  assert.deepEqual([7, 10, 11, 249, 251, 1001].map(niceTop), [10, 10, 20, 250, 500, 2000]);
  assert.equal(frameOf([], Infinity, START, 720, 180).top, 10);
  const years = frameOf([point(48, 5), point(24, 5)], Infinity, START, 720, 180);
  assert.equal(years.from, points.at(-1).at - 48 * 3_600_000, 'as far back as there is data');
  const lone = frameOf([point(0, 5)], Infinity, START, 720, 180);
  assert.match(chartLine([point(0, 5)], lone, 'p50'), /^M[\d.]+ [\d.]+h0$/);
});

test('a check out of turn neither tears the chart’s lines nor narrows its bands', () => {
  const points = [point(5, 100), point(4.99, 120), point(4, 90), point(3, 110), point(2, 100), point(1, 100), point(0, 90)];
  const frame = frameOf(points, 86_400_000, START, 720, 180);
  assert.equal(frame.step, 3_600_000);
  assert.equal(chartLine(points, frame, 'p50').split('M').length - 1, 1);
});

test('without checks there is no share of failures, which is not none', () => {
  assert.equal(downShare(point(0, 5, { up: 0 })), null);
  assert.equal(downShare(point(0, 5)), 0);
  assert.equal(downShare(point(0, 5, { up: 30, degraded: 15, down: 15 })), 0.25);
});

// Results of what is in sight

function loader() {
  const asked = [];
  const load = (ids, signal) =>
    new Promise((resolve, reject) => {
      const answer = (more = {}, day = 0.5) => resolve({
        results: Object.fromEntries(ids.map((id) => [id, more[id] ?? [{ at: iso(START), status: 'UP', responseTime: 5 }]])),
        uptime: Object.fromEntries(ids.map((id) => [id, { day }])),
      });
      signal.addEventListener('abort', () => reject(new Error('aborted')));
      asked.push({ ids, signal, answer, fail: () => reject(new Error('away')) });
    });
  return { asked, load };
}
const range = (from, to) => Array.from({ length: to - from }, (_, n) => `e${from + n}`);

test('only what is in sight is asked for, once, in batches of fifty at most', async () => {
  const { asked, load } = loader();
  const clock = new FakeClock();
  const results = new Results(load, () => {}, clock);
  results.show(range(0, 120));
  await clock.advance(0);
  assert.deepEqual(asked.map(({ ids }) => ids.length), [50, 50, 20]);
  for (const { answer } of asked) answer();
  await settled();
  results.show(range(100, 130));
  await clock.advance(500);
  assert.deepEqual(asked.slice(3).map(({ ids }) => ids), [range(120, 130)]);
});

test('nothing is asked for while the list is scrolled, and what has left before the answer is given up', async () => {
  const { asked, load } = loader();
  const clock = new FakeClock();
  const results = new Results(load, () => {}, clock);
  results.show(range(0, 10));
  await clock.advance(0);
  for (let first = 10; first < 500; first += 10) {
    results.show(range(first, first + 10));
    await clock.advance(50);
  }
  assert.equal(asked.length, 1);
  assert.equal(asked[0].signal.aborted, true);
  await clock.advance(200);
  assert.deepEqual(asked.slice(1).map(({ ids }) => ids), [range(490, 500)]);
  results.show(range(0, 10));
  await clock.advance(200);
  assert.deepEqual(asked.at(-1).ids, range(0, 10), 'what was given up is asked for when it is back');
});

test('events go on where the answer ends, also those that overtook it', async () => {
  const { asked, load } = loader();
  const clock = new FakeClock();
  const changed = [];
  const results = new Results(load, (ids) => changed.push(...ids), clock);
  const event = (n, status = 'DOWN') => ({ endpointId: 'e0', slot: iso(START + n * 1000), status, responseTime: null });
  results.heard(event(0));
  assert.equal(results.of('e0'), undefined, 'what is not in sight is not kept');
  results.show(['e0']);
  await clock.advance(0);
  results.heard(event(1));
  results.heard(event(0, 'UP'));
  asked[0].answer({ e0: [{ at: iso(START - 1000), status: 'UP', responseTime: 5 }, { at: iso(START), status: 'UP' }] });
  await settled();
  results.heard(event(2));
  assert.deepEqual(results.of('e0').results.map(({ at, status }) => [(at - START) / 1000, status]), [[-1, 'UP'], [0, 'UP'], [1, 'DOWN'], [2, 'DOWN']]);
  assert.equal(results.of('e0').uptime, 0.5);
  assert.deepEqual(changed, ['e0', 'e0']);
});

test('a failed request is made again, a new snapshot begins anew, uptimes are renewed each minute', async () => {
  const { asked, load } = loader();
  const clock = new FakeClock();
  const results = new Results(load, () => {}, clock);
  results.show(['e0']);
  await clock.advance(0);
  asked[0].fail();
  await clock.advance(2_900);
  assert.equal(asked.length, 1);
  await clock.advance(200);
  asked[1].answer();
  await settled();
  results.show(['e0']);
  await clock.advance(30_000);
  assert.equal(asked.length, 2);
  results.reset();
  assert.equal(results.of('e0'), undefined);
  await clock.advance(0);
  asked[2].answer();
  await clock.advance(60_000);
  results.show(['e0']);
  await clock.advance(200);
  assert.equal(asked.length, 4);
  assert.ok(results.of('e0'), 'meanwhile the old ones are shown');
});

test('the uptime of what had no data is asked for with its first result', async () => {
  const { asked, load } = loader();
  const clock = new FakeClock();
  const results = new Results(load, () => {}, clock);
  results.show(['e0']);
  await clock.advance(0);
  asked[0].answer();
  await settled();
  results.of('e0').uptime = null;
  results.heard({ endpointId: 'e0', slot: iso(START + 1000), status: 'UNKNOWN' });
  await clock.advance(1_000);
  assert.equal(asked.length, 1);
  results.heard({ endpointId: 'e0', slot: iso(START + 2000), status: 'DOWN' });
  await clock.advance(1_000);
  assert.equal(asked.length, 2);
});

test('a first result that comes while it is asked about asks for the uptime again', async () => {
  const { asked, load } = loader();
  const clock = new FakeClock();
  const results = new Results(load, () => {}, clock);
  results.show(['e0', 'e1']);
  await clock.advance(0);
  results.heard({ endpointId: 'e0', slot: iso(START), status: 'UP', responseTime: 5 });
  asked[0].answer({ e0: [], e1: [] }, null);
  await settled();
  await clock.advance(1_000);
  assert.deepEqual(asked.slice(1).map(({ ids }) => ids), [['e0']]);
});

test('each slot stands once, in order, the newest thirty', () => {
  const many = Array.from({ length: 40 }, (_, n) => result(n));
  assert.deepEqual(merged(many, []).length, 30);
  assert.deepEqual(merged([result(1), result(3)], [result(2), result(3, 'DOWN')]).map(({ at, status }) => [(at - START) / 60_000, status]), [[1, 'UP'], [2, 'UP'], [3, 'DOWN']]);
});

// The form

test('a new endpoint says what was said and leaves the rest to the server', () => {
  const values = { ...valuesOf(), name: ' web ', url: 'https://a.example/' };
  assert.deepEqual(faultsOf(values), {});
  assert.deepEqual(bodyOf(values), { kind: 'http', name: 'web', url: 'https://a.example/', interval: 60 });
  const more = { ...values, timeout: '2.5', failAfter: '5', headers: [['X-Key', 's3'], ['', '']], keyword: 'ok', method: 'HEAD' };
  assert.deepEqual(bodyOf(more), {
    kind: 'http', name: 'web', url: 'https://a.example/', interval: 60, method: 'HEAD', keyword: 'ok', timeout: 2.5, failAfter: 5,
    headers: { 'X-Key': 's3' },
  });
  assert.deepEqual(bodyOf({ ...more, kind: 'push', grace: '5' }), { kind: 'push', name: 'web', interval: 60, grace: 5, failAfter: 5 });
});

test('an edit says what has changed; a secret that was not touched is kept', () => {
  const endpoint = {
    endpointId: 'a', kind: 'http', name: 'web', url: 'https://a.example/', method: 'GET', interval: 60, timeout: 10, expectedStatus: '200-299',
    keyword: 'ok', degradedMs: 5000, failAfter: 3, recoverAfter: 1, retryInterval: 10, grace: 30, headers: { 'X-Key': SECRET }, paused: false,
  };
  const values = valuesOf(endpoint);
  assert.deepEqual(bodyOf(values, endpoint), {});
  assert.deepEqual(bodyOf({ ...values, interval: '30', keyword: '' }, endpoint), { interval: 30, keyword: '' });
  assert.deepEqual(bodyOf({ ...values, headers: [['X-Key', SECRET], ['X-More', '1']] }, endpoint), { headers: { 'X-Key': SECRET, 'X-More': '1' } });
  assert.deepEqual(bodyOf({ ...values, headers: [] }, endpoint), { headers: {} });
});

test('a field that has been emptied means what the server takes where nothing is said', () => {
  const endpoint = {
    endpointId: 'a', kind: 'http', name: 'web', url: 'https://a.example/', method: 'GET', interval: 8, timeout: 2, expectedStatus: '204',
    keyword: '', degradedMs: 700, failAfter: 7, recoverAfter: 2, retryInterval: 5, grace: 30, headers: {}, paused: false,
  };
  const emptied = { timeout: '', degradedMs: ' ', failAfter: '', recoverAfter: '', retryInterval: '', expectedStatus: '' };
  const usual = { timeout: 6.4, degradedMs: 3200, failAfter: 3, recoverAfter: 1, retryInterval: 10, expectedStatus: '200-299' };
  const values = { ...valuesOf(endpoint), ...emptied };
  assert.deepEqual(faultsOf(values), {});
  assert.deepEqual(bodyOf(values, endpoint), usual);
  assert.deepEqual(bodyOf({ ...values, interval: '60' }, endpoint), { ...usual, interval: 60, timeout: 10, degradedMs: 5000 });
  assert.deepEqual(bodyOf(values, { ...endpoint, ...usual }), {}, 'it was so before');
  const job = { endpointId: 'b', kind: 'push', name: 'job', url: null, interval: 60, grace: 5, failAfter: 4, recoverAfter: 1, headers: {} };
  assert.deepEqual(bodyOf({ ...valuesOf(job), grace: '', failAfter: '' }, job), { grace: 30, failAfter: 1 });
  assert.deepEqual(faultsOf({ ...valuesOf(endpoint), interval: '' }), { interval: 'monitor.missing' }, 'how often is always said');
  assert.deepEqual(faultsOf({ ...valuesOf(endpoint), timeout: '', degradedMs: '7000' }), { degradedMs: 'monitor.badDegraded' });
});

test('what can be seen to be wrong is said beside its field', () => {
  const wrong = (more) => faultsOf({ ...valuesOf(), name: 'web', url: 'https://a.example/', ...more });
  assert.deepEqual(wrong({ name: ' ', url: '' }), { name: 'monitor.missing', url: 'monitor.missing' });
  assert.deepEqual(wrong({ url: 'ftp://a' }), { url: 'monitor.badUrl' });
  assert.deepEqual(wrong({ kind: 'tcp', url: 'https://a.example/' }), { url: 'monitor.badTcp' });
  assert.deepEqual(wrong({ kind: 'tcp', url: 'tcp://a.example:22' }), {});
  assert.deepEqual(wrong({ interval: '4' }), { interval: 'monitor.outOfRange' });
  assert.deepEqual(wrong({ interval: '10', timeout: '10' }), { timeout: 'monitor.badTimeout' });
  assert.deepEqual(wrong({ degradedMs: '10000' }), { degradedMs: 'monitor.badDegraded' });
  assert.deepEqual(wrong({ headers: [['', 'x']] }), { headers: 'monitor.badHeader' });
  assert.deepEqual(wrong({ kind: 'push', url: '', timeout: '999' }), {});
});

// In words

/** What words are made of, in a page that is nothing but a language. */
async function words() {
  globalThis.document ??= { documentElement: {}, querySelectorAll: () => [] };
  globalThis.navigator ??= { languages: [] };
  globalThis.HTMLElement ??= class {};
  const [i18n, aging, signs, en, ko] = await Promise.all([
    import('../../c2c/web/i18n/index.js'), import('../../c2c/web/monitor/aging.js'), import('../../c2c/web/monitor/signs.js'),
    import('../../c2c/web/i18n/monitor.en.js'), import('../../c2c/web/i18n/monitor.ko.js'),
  ]);
  i18n.addWords({ en: en.default, ko: ko.default });
  return { ...i18n, ...aging, ...signs };
}

for (const [language, expected] of Object.entries({
  en: { ago: ['now', '12 s ago', '3 minutes ago', '2 hours ago', 'never'], lasted: ['0 sec', '59 sec', '2 hr 5 min', '3 days'], none: 'n/a', why: 'Unexpected status 503' },
  ko: { ago: ['지금', '12초 전', '3분 전', '2시간 전', '없음'], lasted: ['0초', '59초', '2시간 5분', '3일'], none: '데이터 없음', why: '예상하지 않은 상태 코드 503' },
})) {
  test(`times, durations, shares and reasons in words: ${language}`, async () => {
    const { setLanguage, ago, duration, share, took, why } = await words();
    setLanguage(language);
    const now = Date.now();
    assert.deepEqual([0, 12_400, 185_000, 7_300_000].map((ms) => ago(now - ms)).concat(ago(0)), expected.ago);
    assert.equal(ago(now + 5_000), expected.ago[0], 'a clock that is a little behind does not tell the future');
    assert.deepEqual([0, 59, 7_525, 259_200].map(duration), expected.lasted);
    assert.deepEqual([1, 0.99999, 0.98765, 0].map(share), ['100%', '99.99%', '98.76%', '0%']);
    assert.equal(share(null), expected.none);
    assert.deepEqual([took(null), took(3.25)], ['–', language === 'ko' ? '3.3ms' : '3.3 ms']);
    assert.equal(took(1_254), language === 'ko' ? '1.25초' : '1.25 sec');
    assert.equal(why({ reason: 'status', errorMessage: 'status 503, expected 200-299' }), expected.why);
    assert.equal(why({ reason: 'odd', errorMessage: 'plain words' }), 'plain words');
  });
}
