// `docs/sdk.md` says all that `c2c.d.ts` promises, and its example for Node runs.

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

import { cannotRun, Node, Redis } from './servers.mjs';

const REPOSITORY = new URL('../../', import.meta.url);
const text = (path) => readFileSync(new URL(path, REPOSITORY), 'utf8');
const page = text('docs/sdk.md');
const types = text('c2c/web/c2c.d.ts');

/** The names that a class or an interface has. */
function members(name) {
  const [, body] = types.match(new RegExp(`^export (?:class|interface) ${name}\\b[^{]*\\{\\n(.*?)^\\}`, 'ms'));
  const names = [...body.matchAll(/^ {2}(?:readonly )?'?([\w:*]+)'?\??[(<:]/gm)].map(([, member]) => member);
  return names.filter((member) => !['constructor', 't'].includes(member));
}

test('every public name is told', () => {
  const code = [...page.replaceAll(/```.*?```/gs, '').matchAll(/`[^`]+`/g)].join(' ');
  const told = new Set([...code.matchAll(/[\w:*]+/g)].map(([word]) => word));
  let count = 0;
  for (const name of ['Options', 'C2C', 'Connection', 'Room', 'SendOptions', 'Pending', 'C2CError', 'Replaced']) {
    const untold = members(name).filter((member) => !told.has(member));
    assert.deepEqual(untold, [], name);
    count += members(name).length;
  }
  assert.ok(count > 40, `${count}`);
});

test('every error of the SDK’s own has a row', () => {
  const [errors] = page.match(/## Errors\n.*?\n## /s);
  const codes = ['outbox', 'room', 'client', 'socket', 'sse'].flatMap((name) =>
    [...text(`c2c/web/sdk/${name}.js`).matchAll(/(?:C2CError|noAnswer|refused)\('([A-Z_]+)'/g)].map(([, code]) => code),
  );
  assert.ok(codes.includes('TIMEOUT') && codes.includes('CLOSED'));
  for (const code of new Set(codes)) assert.ok(errors.includes(`\`${code}\``), code);
});

test('the example for Node runs', { skip: cannotRun, timeout: 60_000 }, async () => {
  const redis = await new Redis().start();
  const node = await new Node(redis).start();
  try {
    await node.openRoom('abc12345');
    const [, code] = page.match(/## In Node\n\n```js\n(.*?)```/s);
    const script = code.replace('http://127.0.0.1:8080', node.url);
    assert.notEqual(script, code);
    const options = ['--input-type=module', '-e', script];
    const { stdout } = await promisify(execFile)(process.execPath, options, { cwd: fileURLToPath(REPOSITORY) });
    assert.equal(stdout, 'it is event 2 of abc12345; here are creator, kim\n');
  } finally {
    await node.stop();
    await redis.stop();
  }
});
