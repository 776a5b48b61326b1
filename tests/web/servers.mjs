// Real Redis servers, real nodes, and a network that fails, for the tests that need them.

import { spawn, spawnSync } from 'node:child_process';
import { cpSync, existsSync, mkdtempSync, openSync, rmSync } from 'node:fs';
import net from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

const REPOSITORY = fileURLToPath(new URL('../../', import.meta.url));
const VENV = path.join(REPOSITORY, '.venv/bin/python');
const PYTHON = process.env.C2C_PYTHON ?? (existsSync(VENV) ? VENV : 'python3');

/** Why the tests can't be run here; `false`: they can. With `CI=true` they have to. */
export const cannotRun =
  process.env.CI !== 'true' &&
  (spawnSync('redis-server', ['--version']).error || spawnSync(PYTHON, ['-c', 'import c2c']).status !== 0) &&
  'needs redis-server and c2c in .venv';

/** A port that nobody listens on, below those that connections are given. */
export async function freePort() {
  for (;;) {
    const port = 20_000 + Math.floor(Math.random() * 12_000);
    const server = net.createServer().listen(port);
    const free = await new Promise((resolve) => {
      server.once('listening', () => resolve(true)).once('error', () => resolve(false));
    });
    if (!free) continue;
    await new Promise((resolve) => server.close(resolve));
    return port;
  }
}

/** Waits for a condition, never for a time. */
export async function eventually(condition, what, withinMs = 30_000) {
  const end = Date.now() + withinMs;
  for (;;) {
    const value = await condition();
    if (value) return value;
    if (Date.now() > end) throw new Error(`not within ${withinMs / 1000} s: ${what}`);
    await sleep(20);
  }
}

/** A program that can be killed and started again. */
class Program {
  child;

  async kill(signal = 'SIGKILL') {
    const child = this.child;
    if (!child || child.exitCode !== null || child.signalCode !== null) return;
    const exited = new Promise((resolve) => child.once('exit', resolve));
    child.kill(signal);
    await exited;
  }
}

export class Redis extends Program {
  directory = mkdtempSync(path.join(tmpdir(), 'c2c-web-redis-'));

  async start() {
    this.port ??= await freePort();
    const options = ['--port', this.port, '--bind', '127.0.0.1', '--save', '', '--appendonly', 'yes', '--dir', this.directory];
    this.child = spawn('redis-server', options.map(String), { stdio: 'ignore' });
    await eventually(() => this.#answers(), 'Redis answers');
    return this;
  }

  #answers() {
    return new Promise((resolve) => {
      const socket = net.connect(this.port, '127.0.0.1', () => socket.write('PING\r\n'));
      socket.once('data', (data) => (socket.destroy(), resolve(String(data).startsWith('+PONG'))));
      socket.once('error', () => resolve(false));
    });
  }

  /** Everything in it is lost, as on a server without persistence. */
  async killAndForget() {
    await this.kill();
    rmSync(this.directory, { recursive: true });
    this.directory = mkdtempSync(path.join(tmpdir(), 'c2c-web-redis-'));
  }

  /** A copy of what stands in it, as a backup or a replica that lags has it. */
  copy() {
    const copy = `${this.directory}-copy`;
    cpSync(this.directory, copy, { recursive: true });
    return copy;
  }

  /** A crash, after which it knows what the copy knows. */
  async killAndGoBack(copy) {
    await this.kill();
    rmSync(this.directory, { recursive: true });
    this.directory = copy;
  }

  async stop() {
    await this.kill();
    rmSync(this.directory, { recursive: true, force: true });
  }
}

export class Node extends Program {
  constructor(redis, environment = {}) {
    super();
    this.redis = redis;
    this.environment = environment;
    this.directory = mkdtempSync(path.join(tmpdir(), 'c2c-web-node-'));
  }

  get url() {
    return `http://127.0.0.1:${this.port}`;
  }

  async start() {
    this.port ??= await freePort();
    const log = openSync(path.join(this.directory, 'log'), 'a');
    const options = ['-m', 'c2c', 'serve', '--port', this.port, '--redis-url', `redis://127.0.0.1:${this.redis.port}`];
    const env = { ...process.env, ...this.environment };
    this.child = spawn(PYTHON, options.map(String), { cwd: REPOSITORY, env, stdio: ['ignore', log, log] });
    await eventually(async () => (await fetch(`${this.url}/readyz`).catch(() => undefined))?.ok, `${this.url} is ready`);
    return this;
  }

  async stop() {
    await this.kill();
    rmSync(this.directory, { recursive: true, force: true });
  }

  async openRoom(roomId) {
    const headers = { 'Content-Type': 'application/json' };
    const body = JSON.stringify({ roomId, creatorName: 'creator' });
    const answer = await fetch(`${this.url}/api/rooms`, { method: 'POST', headers, body });
    if (!answer.ok) throw new Error(`HTTP ${answer.status}`);
    return roomId;
  }

  /** The whole log of a room, as REST tells it. */
  async log(roomId) {
    const events = [];
    for (;;) {
      const answer = await fetch(`${this.url}/api/rooms/${roomId}/events?after=${events.at(-1)?.seq ?? 0}&limit=500`);
      const { data } = await answer.json();
      events.push(...data.events);
      if (!data.more) return events;
    }
  }
}

/** A network between a client and a node: it can cut what is open, refuse, or swallow everything. */
export class Proxy {
  #open = new Set();
  mode = 'pass';
  accepted = 0;

  constructor(target) {
    this.target = target;
    this.server = net.createServer((client) => this.#serve(client));
  }

  async start() {
    await new Promise((resolve) => this.server.listen(0, '127.0.0.1', resolve));
    this.url = `http://127.0.0.1:${this.server.address().port}`;
    return this;
  }

  #serve(client) {
    this.accepted++;
    if (this.mode === 'refuse') return client.destroy();
    const upstream = net.connect(this.target.port, '127.0.0.1');
    const ends = [client, upstream];
    for (const [from, to] of [ends, [...ends].reverse()]) {
      this.#open.add(from);
      from.on('data', (data) => this.mode === 'swallow' || to.write(data));
      from.on('error', () => {});
      from.on('close', () => {
        this.#open.delete(from);
        if (this.mode !== 'swallow') to.destroy();
      });
    }
    return undefined;
  }

  cut() {
    for (const socket of this.#open) socket.destroy();
  }

  async stop() {
    this.mode = 'pass';
    this.cut();
    await new Promise((resolve) => this.server.close(resolve));
  }
}
