"""The command line as people use it: processes, their output, their exit codes, and what they leave behind."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import pty
import re
import signal
import socket
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Self
from urllib.parse import quote

import jwt
import pytest
import redis as redis_sync

from c2c.client import Client, Stopped
from c2c.embedded import find_running
from c2c.inspection import redis_cli, without_password
from c2c.lineups import COLUMNS
from c2c.serving import worker_environment
from c2c.settings import Settings
from c2c.terminal import line_of, rest_url
from c2c.workers import restart_delay_s
from tests.conftest import StartNode
from tests.support import ROOT, NodeProcess, RedisServer, eventually, free_port

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")

SECRET = "a secret of at least thirty-two bytes"
COMMAND = [sys.executable, "-m", "c2c"]


# ---- helpers -------------------------------------------------------------------------------------------------------


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """An environment in which no settings are made and data goes to the test's folder."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("C2C_")}
    return {**clean, "XDG_STATE_HOME": str(tmp_path / "state"), "PYTHONPATH": str(ROOT), "COLUMNS": "200"}


def run(environment: Mapping[str, str], *words: str, **options: Any) -> subprocess.CompletedProcess[str]:
    """Run a command to its end."""
    return subprocess.run(
        [*COMMAND, *words], env=environment, capture_output=True, text=True, timeout=30, check=False, **options
    )


def _heed_interrupts() -> None:
    """A shell's background jobs, and so tests started there, ignore SIGINT, and children inherit that."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


class Process:
    """A c2c command that runs, with what it has said so far."""

    def __init__(self, environment: Mapping[str, str], folder: Path, *words: str) -> None:
        self._out = (folder / f"out-{time.monotonic_ns()}").open("w+", encoding="utf-8")
        self._process = subprocess.Popen(
            [*COMMAND, *words],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=self._out,
            stderr=subprocess.STDOUT,
            preexec_fn=_heed_interrupts,
        )
        self.pid = self._process.pid

    @property
    def out(self) -> str:
        return Path(self._out.name).read_text(encoding="utf-8")

    @property
    def running(self) -> bool:
        return self._process.poll() is None

    def type(self, text: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(text.encode())
        self._process.stdin.flush()

    def send(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    def wait(self, within_s: float = 15.0) -> int:
        return self._process.wait(within_s)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        if self.running:
            end({self.pid, *descendants(self.pid)})
        self._process.wait()
        if self._process.stdin is not None:
            with contextlib.suppress(BrokenPipeError):
                self._process.stdin.close()
        self._out.close()
        if kind is not None:
            print(f"--- output of {self.pid}\n{self.out}")


class Server(Process):
    """`c2c serve` on a free port, ready."""

    def __init__(self, environment: Mapping[str, str], folder: Path, *words: str) -> None:
        self.port = free_port()
        super().__init__(environment, folder, "serve", "--port", str(self.port), *words)

    @property
    def ws_url(self) -> str:
        return f"ws://127.0.0.1:{self.port}/ws"

    def get(self, path: str) -> tuple[int, str]:
        """One request over a connection of its own, so that any worker may take it."""
        with socket.create_connection(("127.0.0.1", self.port), 5) as connection:
            connection.sendall(f"GET {path} HTTP/1.1\r\nHost: [::1]\r\nConnection: close\r\n\r\n".encode())
            answer = b"".join(iter(lambda: connection.recv(1 << 16), b"")).decode()
        return int(answer.split(" ", 2)[1]), answer.partition("\r\n\r\n")[2]

    def open_room(self, room_id: str, creator: str) -> None:
        body = json.dumps({"roomId": room_id, "creatorName": creator}).encode()
        with socket.create_connection(("127.0.0.1", self.port), 5) as connection:
            connection.sendall(
                b"POST /api/rooms HTTP/1.1\r\nHost: [::1]\r\nConnection: close\r\nContent-Type: application/json\r\n"
                + f"Content-Length: {len(body)}\r\n\r\n".encode()
                + body
            )
            assert b" 201 " in connection.recv(1 << 16)

    def __enter__(self) -> Self:
        deadline_s = time.monotonic() + 20
        while self.running and time.monotonic() < deadline_s:
            with contextlib.suppress(OSError):
                if self.get("/readyz")[0] == 200:
                    return self
            time.sleep(0.02)
        self.__exit__(AssertionError, None, None)
        raise AssertionError("the server is not ready")

    @property
    def redis_port(self) -> int:
        found = re.search(r"^Look into it: redis-cli -p (\d+)$", self.out, re.MULTILINE)
        assert found, self.out
        return int(found[1])


def parent_and_command(pid: int) -> tuple[int, str]:
    """Parent and command line of a process; `(0, "")` when it is gone or a zombie."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        command = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
    except (FileNotFoundError, ProcessLookupError):
        return 0, ""
    return (0, "") if fields[0] in "ZX" else (int(fields[1]), command)


def descendants(pid: int) -> set[int]:
    everybody = {int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()}
    children = {other for other in everybody if parent_and_command(other)[0] == pid}
    return children.union(*[descendants(child) for child in children]) if children else set()


def workers_of(server: Server) -> set[int]:
    return {pid for pid in descendants(server.pid) if "serve-worker" in parent_and_command(pid)[1]}


def end(pids: set[int]) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def gone(pids: set[int]) -> Callable[[], bool]:
    return lambda: not any(parent_and_command(pid)[1] for pid in pids)


def said(text: str) -> list[str]:
    """What a command says to people when it refuses: one line for each thing, and no traceback."""
    lines = text.splitlines()
    assert lines
    assert all(line.startswith("c2c: ") for line in lines), text
    return lines


# ---- serve with its own Redis --------------------------------------------------------------------------------------


def test_serve_without_a_redis_url_starts_one_says_how_to_look_into_it_and_keeps_the_data(
    environment: dict[str, str], tmp_path: Path
) -> None:
    data_dir = tmp_path / "data"
    with Server(environment, tmp_path, "--data-dir", str(data_dir)) as server:
        assert f"http://127.0.0.1:{server.port} (WebSocket {server.ws_url})" in server.out
        assert f"data in {data_dir}, kept across restarts" in server.out
        assert "EVERYBODY IS WHO THEY SAY THEY ARE" in server.out
        server.open_room("abc12345", "홍길동")
        with redis_sync.Redis(port=server.redis_port, decode_responses=True) as client:
            assert client.smembers("room:abc12345:members") == {"홍길동"}
            redis_pid = client.info("server")["process_id"]
        server.send(signal.SIGTERM)
        assert server.wait(10) == 0
        assert gone({redis_pid})()
        assert "Traceback" not in server.out
    with Server(environment, tmp_path, "--data-dir", str(data_dir)) as again:
        assert json.loads(again.get("/api/rooms/abc12345")[1])["data"]["members"] == ["홍길동"]


def test_ctrl_c_drains_the_node_before_its_redis_stops(environment: dict[str, str], tmp_path: Path) -> None:
    async def follow(server: Server) -> None:
        async with Client(server.ws_url, token="kim") as kim:
            await kim.join("r")
            kim._backoff._uniform = lambda least, most: most  # it is seen gone before it tries again
            server.send(signal.SIGINT)
            await eventually(lambda: "1012" in kim._trouble)

    with Server(environment, tmp_path) as server:
        server.open_room("r", "kim")
        asyncio.run(follow(server))
        assert server.wait(10) == 0
        assert "redis is away" not in server.out
        assert "Traceback" not in server.out


def test_a_folder_that_another_c2c_uses_is_said_in_a_line(environment: dict[str, str], tmp_path: Path) -> None:
    with Server(environment, tmp_path):
        refused = run(environment, "serve", "--port", "0")
    assert refused.returncode == 1
    assert "is in use by another c2c" in said(refused.stderr)[0]


def test_a_port_in_use_is_said_in_a_line_before_anything_is_started(
    environment: dict[str, str], tmp_path: Path
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        refused = run(environment, "serve", "--port", str(port))
    assert refused.returncode == 1
    assert said(refused.stderr) == [f"c2c: port {port} of 127.0.0.1 is in use: choose another with --port"]
    assert not (tmp_path / "state").exists()


@pytest.mark.parametrize(
    ("variables", "words", "expected"),
    [
        ({}, ["--port", "70000"], ["C2C_PORT: "]),
        ({"C2C_LEASE_S": "-1", "C2C_DRAIN_S": "soon"}, [], ["C2C_LEASE_S: ", "C2C_DRAIN_S: "]),
        ({}, ["--host", "0.0.0.0"], ["auth 'dev' trusts everybody"]),
        ({}, ["--auth", "jwt"], ["C2C_JWT_SECRET of at least 32 bytes"]),
        ({}, ["--auth", "magic"], ["C2C_AUTH: "]),
        ({}, ["--redis-url", "localhost:6379"], ["Redis URL must specify"]),
        (
            {"C2C_JWT_ALGORITHM": "RS256", "C2C_JWT_JWKS": "/no/such/file"},
            ["--auth", "jwt", "--redis-url", "redis://x"],
            ["/no/such/file"],
        ),
    ],
)
def test_wrong_settings_are_said_a_line_each(
    environment: dict[str, str], variables: dict[str, str], words: list[str], expected: list[str]
) -> None:
    refused = run({**environment, **variables}, "serve", *(["--port", "0"] if "--port" not in words else []), *words)
    assert refused.returncode == 2
    lines = said(refused.stderr)
    assert len(lines) == len(expected)
    assert all(part in line for part, line in zip(expected, lines, strict=True))


# ---- workers -------------------------------------------------------------------------------------------------------


@pytest.fixture
def two_workers(
    environment: dict[str, str], tmp_path: Path, redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Server]:
    (tmp_path / "tmp").mkdir()
    environment["TMPDIR"] = str(tmp_path / "tmp")
    with Server(environment, tmp_path, "--workers", "2", "--redis-url", redis_server.url) as server:
        yield server


async def nodes_seen(server: Server) -> set[str]:
    """Which nodes take connections, seen by a handful of them."""

    async def look(number: int) -> str:
        async with Client(server.ws_url, token=f"user{number}") as client:
            return client.node_id

    return set(await asyncio.gather(*[look(number) for number in range(8)]))


async def test_both_workers_serve_the_same_rooms_on_the_same_port(two_workers: Server) -> None:
    two_workers.open_room("r", "kim")
    seen: set[str] = set()
    await eventually(lambda: _collect(two_workers, seen, 2))
    clients: dict[str, Client] = {}
    while len(clients) < 2:
        client = await Client(two_workers.ws_url, token=f"user{len(clients)}").__aenter__()
        if clients.setdefault(client.node_id, client) is not client:
            await client.close()
    first, second = clients.values()
    try:
        room, other = await first.join("r"), await second.join("r")
        ack = await room.send("msg", text="across")
        async for event in other.events():
            if isinstance(event, dict) and event["t"] == "msg":
                assert (event["text"], event["seq"]) == ("across", ack["seq"])
                break
        # Whichever worker answers, the metrics are those of both.
        assert "\nc2c_connections 2.0\n" in two_workers.get("/metrics")[1]
    finally:
        await first.close()
        await second.close()


async def _collect(server: Server, seen: set[str], count: int) -> bool:
    seen |= await nodes_seen(server)
    return len(seen) >= count


async def test_a_killed_worker_comes_back_and_its_connections_leave_the_metrics(two_workers: Server) -> None:
    before = workers_of(two_workers)
    assert len(before) == 2
    async with Client(two_workers.ws_url, token="kim") as kim:
        kim._backoff._uniform = lambda least, most: most  # it is seen gone before it is back
        victim_node = kim.node_id
        victim = next(pid for pid in before if f"C2C_NODE_ID={victim_node}" in environment_of(pid))
        os.kill(victim, signal.SIGKILL)
        await eventually(lambda: not kim.connected)
        await eventually(lambda: len(workers_of(two_workers)) == 2)
        assert workers_of(two_workers) - before
        await eventually(lambda: kim.connected, 20)
        assert "\nc2c_connections 1.0\n" in two_workers.get("/metrics")[1]
    seen: set[str] = set()
    await eventually(lambda: _collect(two_workers, seen, 2))
    assert victim_node in seen


def environment_of(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/environ").read_text().split("\0")


async def test_sigterm_ends_all_workers_within_ten_seconds_and_leaves_nothing_behind(
    two_workers: Server, tmp_path: Path
) -> None:
    pids = workers_of(two_workers)
    async with Client(two_workers.ws_url, token="kim") as kim:
        assert list((tmp_path / "tmp").glob("c2c-metrics-*"))
        two_workers.send(signal.SIGTERM)
        assert await asyncio.to_thread(two_workers.wait, 10) == 0
        await eventually(lambda: not kim.connected)
    assert gone(pids)()
    assert list((tmp_path / "tmp").iterdir()) == []
    assert "Traceback" not in two_workers.out


def test_a_worker_that_does_not_stop_is_killed_within_ten_seconds(two_workers: Server) -> None:
    pids = workers_of(two_workers)
    os.kill(min(pids), signal.SIGSTOP)
    two_workers.send(signal.SIGTERM)
    assert two_workers.wait(10) == 0
    assert gone(pids)()
    assert "1 workers did not stop" in two_workers.out


async def test_workers_do_not_outlive_a_parent_that_was_killed(two_workers: Server) -> None:
    pids = workers_of(two_workers)
    two_workers.send(signal.SIGKILL)
    try:
        await eventually(gone(pids), 10)
    finally:
        end(pids)


def test_workers_with_a_private_redis_stop_it_last(environment: dict[str, str], tmp_path: Path) -> None:
    with Server(environment, tmp_path, "--workers", "2") as server:
        pids = descendants(server.pid)
        assert len(pids) == 3
        server.send(signal.SIGTERM)
        assert server.wait(10) == 0
        assert gone(pids)()
        assert "redis is away" not in server.out


def test_each_worker_has_a_node_id_of_its_own_within_64_characters() -> None:
    settings = Settings(node_id="n" * 64, redis_url="redis://x")
    ids = [worker_environment(settings, index)["C2C_NODE_ID"] for index in range(12)]
    assert len(set(ids)) == 12
    assert {len(node_id) for node_id in ids} == {64}


def test_restarts_of_workers_slow_down_to_five_seconds() -> None:
    delays_s = [restart_delay_s(failures) for failures in range(100)]
    assert delays_s[:4] == [0.0, 0.1, 0.2, 0.4]
    assert max(delays_s) == delays_s[-1] == 5.0


# ---- tokens --------------------------------------------------------------------------------------------------------


async def test_a_minted_token_opens_the_rooms_it_names_on_a_node_in_jwt_mode(
    environment: dict[str, str], start_node: StartNode
) -> None:
    node = start_node(auth="jwt", jwt_secret=SECRET)
    environment["C2C_JWT_SECRET"] = SECRET

    def mint(*words: str) -> str:
        minted = run(environment, "token", *words)
        assert (minted.returncode, minted.stderr) == (0, "")
        return minted.stdout.strip()

    admin = {"Authorization": f"Bearer {mint('boss', '--admin')}"}
    for room_id in ("abc", "team-1", "other"):
        assert node.request("POST", "/api/rooms", {"roomId": room_id}, admin)[0] == 201
    assert node.request("GET", "/api/rooms", headers=admin)[0] == 200
    token = mint("kim", "--name", "Kim Minji", "--room", "abc", "--room", "team-*", "--ttl", "60")
    async with Client(node.ws_url, token=token) as kim:
        assert (kim.me, kim._welcome["username"]) == ("kim", "Kim Minji")
        await kim.join("abc")
        await kim.join("team-1")
        with pytest.raises(Exception, match="ROOM_NOT_FOUND"):
            await kim.join("other")
    environment["C2C_JWT_SECRET"] = "another secret of thirty-two bytes"
    with pytest.raises(Stopped):
        await Client(node.ws_url, token=mint("kim")).__aenter__()


@pytest.mark.parametrize(
    ("variables", "user", "expected"),
    [
        ({}, "kim", "C2C_JWT_SECRET of at least 32 bytes"),
        ({"C2C_JWT_SECRET": "short"}, "kim", "C2C_JWT_SECRET of at least 32 bytes"),
        ({"C2C_JWT_SECRET": SECRET}, "not an id", "'not an id' is no user id"),
        ({"C2C_JWT_ALGORITHM": "ES256", "C2C_JWT_JWKS": "/x"}, "kim", "not here"),
    ],
)
def test_a_token_that_can_not_be_minted_is_said_in_a_line(
    environment: dict[str, str], variables: dict[str, str], user: str, expected: str
) -> None:
    refused = run({**environment, **variables}, "token", user)
    assert (refused.returncode, refused.stdout) == (2, "")
    assert expected in said(refused.stderr)[0]


def test_a_token_has_one_role(environment: dict[str, str]) -> None:
    environment["C2C_JWT_SECRET"] = SECRET

    def role(*words: str) -> object:
        minted = run(environment, "token", "kim", *words)
        assert minted.returncode == 0
        return jwt.decode(minted.stdout.strip(), SECRET, algorithms=["HS256"]).get("role")

    assert (role(), role("--viewer"), role("--admin")) == (None, "viewer", "admin")
    refused = run(environment, "token", "kim", "--viewer", "--admin")
    assert (refused.returncode, refused.stdout) == (2, "")
    assert said(refused.stderr) == ["c2c: a token has one role: --admin or --viewer"]


# ---- looking into Redis --------------------------------------------------------------------------------------------


async def test_rooms_and_inspect_show_what_redis_holds_and_how_to_see_it(
    environment: dict[str, str], start_node: StartNode, redis_server: RedisServer
) -> None:
    node = start_node()
    node.open_room("abc12345", "홍길동", title="[bold]점심\x1b[31m")
    node.open_room("empty", "lee")
    async with Client(node.ws_url, token="kim") as kim:
        room = await kim.join("abc12345")
        for n in range(12):
            await room.send("msg", text=f"message {n}")
        environment["C2C_REDIS_URL"] = redis_server.url
        listed = await asyncio.to_thread(run, environment, "rooms")
        shown = await asyncio.to_thread(run, environment, "inspect", "abc12345")
    assert listed.returncode == shown.returncode == 0
    rows = {line.split("\t")[0]: line.split("\t") for line in listed.stdout.splitlines() if "\t" in line}
    assert rows["abc12345"][1:5] == ["chat", "2", str(room.position.seq), "홍길동"]
    assert rows["empty"][1:3] == ["chat", "1"]

    text = shown.stdout
    assert f"epoch\t{room.position.epoch}" in text
    assert "title\t[bold]점심 [31m" in text
    assert re.search(r"^kim\tonline\t1$", text, re.MULTILINE)
    assert re.search(rf"^kim\t{kim._welcome['connectionId']}\t[\d.]+ s$", text, re.MULTILINE)
    assert re.findall(r"text=message (\d+)", text) == [str(n) for n in range(2, 12)]
    assert re.search(r"^room:abc12345:log\t[\d.]+ s$", text, re.MULTILINE)
    for command in ("SMEMBERS room:abc12345:members", "ZRANGE room:abc12345:leases 0 -1 WITHSCORES"):
        assert f"$ redis-cli -p {redis_server.port} {command}" in text


async def test_inspect_shows_who_is_signed_in_and_the_keys_of_their_room(
    environment: dict[str, str], start_node: StartNode, redis_server: RedisServer
) -> None:
    node = start_node()
    environment["C2C_REDIS_URL"] = redis_server.url
    async with Client(node.ws_url, token="kim") as kim, Client(node.ws_url, token="lee") as lee:
        await kim.send("status:update", status="busy")
        await lee.send("status:update", status="offline")
        listed = await asyncio.to_thread(run, environment, "rooms")
        shown = await asyncio.to_thread(run, environment, "inspect", "online")
    assert listed.returncode == shown.returncode == 0
    assert re.search(r"^online\tpresence\t1\t\d+\tc2c\t.*\tnever$", listed.stdout, re.MULTILINE)
    text = shown.stdout
    assert "kind\tpresence" in text
    assert re.search(r"^kim\tbusy\t1$", text, re.MULTILINE)
    for client in (kim, lee):  # hidden or not, a connection is one
        assert re.search(rf"^{client.me}\t{client._welcome['connectionId']}\t[\d.]+ s$", text, re.MULTILINE)
    assert f"$ redis-cli -p {redis_server.port} ZRANGE room:online:signed-in 0 -1 WITHSCORES" in text
    listed_keys = re.findall(r"^(room:online\S*)\tnever$", text, re.MULTILINE)
    assert set(redis_server.client.scan_iter("room:online*")) - set(listed_keys) <= {"room:online:changed"}
    assert "room:online:leases" not in text


async def test_inspect_shows_all_keys_of_monitoring(
    environment: dict[str, str], start_node: StartNode, redis_server: RedisServer
) -> None:
    node = start_node()
    environment["C2C_REDIS_URL"] = redis_server.url
    await eventually(lambda: redis_server.client.exists("room:endpoint:c2c-redis:results"), 15, "it was checked")
    for room_id in ("all-endpoints", "endpoint:c2c-redis"):
        shown = await asyncio.to_thread(run, environment, "inspect", room_id)
        assert shown.returncode == 0, shown.stderr
        for key in redis_server.client.scan_iter(f"room:{room_id}*"):
            assert key in shown.stdout.split(), key
    assert "Traceback" not in node.log


async def test_inspect_shows_all_keys_of_a_line_up(
    environment: dict[str, str], start_node: StartNode, redis_server: RedisServer
) -> None:
    node = start_node()
    environment["C2C_REDIS_URL"] = redis_server.url
    status, answer = node.request("PUT", "/api/rooms/retreat-spring/lineups", {"rows": [{"lineupId": 1, "name": "a"}]})
    assert status == 200, answer
    async with Client(node.ws_url, token="kim") as kim:
        room = await kim.join("retreat-spring")
        await room.send("update-gbs-number", lineupId=1, gbsNumber=7)
        await room.send("create-lineup-memo", lineupId=1, memo="vegetarian")
        await room.send("user-editing", lineupId=1, field="gbsNumber", editing=True)
        shown = await asyncio.to_thread(run, environment, "inspect", "retreat-spring")
        there = set(redis_server.client.scan_iter("room:retreat-spring*"))
    assert shown.returncode == 0
    assert "kind\tlineup" in shown.stdout
    expiries = dict(re.findall(r"^(room:retreat-spring\S*)\t(never|[\d.]+ s)$", shown.stdout, re.MULTILINE))
    of_commands = {key for key in there if key.split(":")[2:3] in (["dedupe"], ["undo"])}
    assert expiries.keys() == there - of_commands
    assert {f"room:retreat-spring:{column}" for column in COLUMNS} <= expiries.keys()
    assert expiries["room:retreat-spring:numbers"] == "never"


def test_the_redis_of_a_running_c2c_is_found_by_its_folder(environment: dict[str, str], tmp_path: Path) -> None:
    assert said(run(environment, "rooms").stderr) == [
        "c2c: no c2c with a private Redis runs here: say which Redis with --redis-url"
    ]
    with Server(environment, tmp_path) as server:
        server.open_room("r", "kim")
        assert "\nr\tchat\t1\t" in run(environment, "rooms").stdout
        missing = run(environment, "inspect", "nowhere")
        assert (missing.returncode, said(missing.stderr)) == (1, ["c2c: Redis holds no room nowhere"])
        assert find_running(tmp_path / "state" / "c2c") == f"redis://127.0.0.1:{server.redis_port}"
        server.send(signal.SIGTERM)
        server.wait(10)
    assert find_running(tmp_path / "state" / "c2c") is None


def test_a_redis_that_does_not_answer_is_said_without_its_password(environment: dict[str, str]) -> None:
    refused = run(environment, "rooms", "--redis-url", f"redis://:hush@127.0.0.1:{free_port()}")
    assert refused.returncode == 1
    assert "no Redis answers at redis://:***@" in said(refused.stderr)[-1]
    assert "hush" not in refused.stderr


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("redis://127.0.0.1:41234", "redis-cli -p 41234 PING"),
        ("redis://localhost", "redis-cli -p 6379 PING"),
        ("redis://cache.example:7000/3", "redis-cli -h cache.example -p 7000 -n 3 PING"),
        ("rediss://ops:hush@cache.example:7000", "redis-cli -h cache.example -p 7000 --tls --user ops --askpass PING"),
        ("unix:///run/redis.sock", "redis-cli -s /run/redis.sock PING"),
    ],
)
def test_the_redis_cli_line_fits_the_url_and_hides_the_password(url: str, expected: str) -> None:
    assert redis_cli(url, "PING") == expected
    assert "hush" not in without_password(url)


def test_the_redis_cli_line_can_be_pasted_into_a_shell() -> None:
    assert redis_cli("redis://localhost", "GET", "user:{it's}:presence").endswith("""GET 'user:{it'"'"'s}:presence'""")


# ---- tail and chat -------------------------------------------------------------------------------------------------


async def test_tail_prints_an_event_a_line_and_leaves_cleanly(
    environment: dict[str, str], tmp_path: Path, start_node: StartNode, redis_server: RedisServer
) -> None:
    node = start_node()
    node.open_room("r", "kim")
    async with Client(node.ws_url, token="kim") as kim:
        room = await kim.join("r")
        with Process(environment, tmp_path, "tail", "r", "--url", node.ws_url, "--token", "watcher") as tail:
            await eventually(lambda: "watcher" in room.members)
            await room.send("msg", text="안녕\n\x1b[31m")
            redis_server.client.publish("chan:r", '{"t":"test","n":1}')
            await eventually(lambda: "test" in tail.out)
            events = [json.loads(line) for line in tail.out.splitlines()]
            assert [(event["t"], event.get("text")) for event in events] == [("msg", "안녕\n\x1b[31m"), ("test", None)]
            redis_server.client.flushall()
            await eventually(lambda: "c2c:state-replaced" in tail.out)
            await eventually(lambda: "watcher" in room.members)
            tail.send(signal.SIGINT)
            assert await asyncio.to_thread(tail.wait) == 0
            assert "Traceback" not in tail.out
        await eventually(lambda: "watcher" not in room.members, 1)


@pytest.mark.parametrize("command", ["tail", "chat"])
def test_what_the_client_can_not_do_is_said_in_a_line(
    environment: dict[str, str], start_node: StartNode, command: str
) -> None:
    node = start_node()
    missing = run(environment, command, "nowhere", "--url", node.ws_url, "--token", "kim", stdin=subprocess.DEVNULL)
    assert (missing.returncode, said(missing.stderr)) == (1, ["c2c: This room does not exist. (ROOM_NOT_FOUND)"])
    refused = run(environment, command, "r", "--url", node.ws_url, "--token", "no id", stdin=subprocess.DEVNULL)
    assert refused.returncode == 1
    assert "4401" in said(refused.stderr)[0]


async def test_chat_creates_the_room_shows_the_history_and_sends_what_is_piped_into_it(
    environment: dict[str, str], start_node: StartNode
) -> None:
    node = start_node()
    words = ["chat", "r", "--url", node.ws_url, "--name", "kim"]
    first = await asyncio.to_thread(run, environment, *words, "--create", input="hello\n\n  안녕  \n")
    assert (first.returncode, first.stderr) == (0, "")
    # The end of the input ends the chat, but not before everything is acknowledged.
    again = await asyncio.to_thread(run, environment, *words, "--create", input="/quit\nnever sent\n")
    assert re.findall(r"\d\d:\d\d kim: (.*)", again.stdout) == ["hello", "안녕"]
    async with Client(node.ws_url, token="lee") as lee:
        room = await lee.join("r")
        assert [message["text"] for message in room.state["messages"]] == ["hello", "안녕"]


class Terminal:
    """A chat in a terminal of its own: what is on it, and a keyboard."""

    def __init__(self, environment: Mapping[str, str], *words: str) -> None:
        self._keyboard, terminal = pty.openpty()
        self._process = subprocess.Popen(
            [*COMMAND, *words],
            env=environment,
            stdin=terminal,
            stdout=terminal,
            stderr=terminal,
            start_new_session=True,
            preexec_fn=_heed_interrupts,
        )
        os.close(terminal)
        os.set_blocking(self._keyboard, False)
        self._seen = b""

    def seen(self) -> str:
        with contextlib.suppress(BlockingIOError, OSError):  # EIO: nobody has the other side open any more
            while chunk := os.read(self._keyboard, 1 << 16):
                self._seen += chunk
        return self._seen.decode(errors="replace")

    def type(self, text: str) -> None:
        os.write(self._keyboard, text.encode())

    def interrupt(self) -> None:
        self._process.send_signal(signal.SIGINT)

    @property
    def modes(self) -> list[Any]:
        return termios.tcgetattr(self._keyboard)

    @property
    def code(self) -> int | None:
        self.seen()
        return self._process.poll()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()
        os.close(self._keyboard)


@pytest.mark.parametrize("ending", ["/quit\n", "\x04"])
async def test_chat_shows_what_others_write_above_the_line_that_is_being_typed(
    environment: dict[str, str], start_node: StartNode, ending: str
) -> None:
    node = start_node()
    node.open_room("r", "lee")
    async with Client(node.ws_url, token="lee") as lee:
        room = await lee.join("r")
        await room.send("msg", text="history")
        with Terminal({**environment, "TERM": "xterm"}, "chat", "r", "--url", node.ws_url, "--name", "kim") as terminal:
            await eventually(lambda: "lee: history" in terminal.seen() and "> " in terminal.seen())
            terminal.type("half a li")
            await eventually(lambda: "half a li" in terminal.seen())
            await room.send("msg", text="\x1b[2Jmeanwhile")
            # The line is cleared, the message printed without its escape sequence, the prompt and what was typed again.
            shown = r"\r\x1b\[K\d\d:\d\d lee:  \[2Jmeanwhile\r\n> half a li$"
            await eventually(lambda: re.search(shown, terminal.seen()), what="the message above the line")
            terminal.type("ne\n")
            async for event in room.events():
                if isinstance(event, dict) and event.get("from") == "kim":
                    assert event["text"] == "half a line"
                    break
            assert "kim: half a line" not in terminal.seen()
            terminal.type(ending)
            await eventually(lambda: terminal.code == 0)
        await eventually(lambda: room.members == {"lee"}, 1)


async def test_an_interrupted_chat_leaves_the_room_and_gives_the_terminal_back(
    environment: dict[str, str], start_node: StartNode
) -> None:
    node = start_node()
    node.open_room("r", "lee")
    async with Client(node.ws_url, token="lee") as lee:
        room = await lee.join("r")
        with Terminal({**environment, "TERM": "xterm"}, "chat", "r", "--url", node.ws_url, "--name", "kim") as terminal:
            before = terminal.modes
            await eventually(lambda: terminal.modes != before, what="the line editor at work")
            terminal.interrupt()
            await eventually(lambda: terminal.code == 0)
            assert terminal.modes == before
            assert "Traceback" not in terminal.seen()
        await eventually(lambda: room.members == {"lee"}, 1)


async def test_an_interrupted_chat_that_reads_a_pipe_ends_quietly(
    environment: dict[str, str], tmp_path: Path, start_node: StartNode
) -> None:
    node = start_node()
    node.open_room("r", "kim")
    with Process(environment, tmp_path, "chat", "r", "--url", node.ws_url, "--name", "kim") as chat:
        chat.type("hello\n")
        await eventually(lambda: "kim: hello" in chat.out)
        chat.send(signal.SIGTERM)
        assert await asyncio.to_thread(chat.wait) == 0
        assert chat.out.splitlines()[-1].endswith("kim: hello")


# ---- import-lineup -------------------------------------------------------------------------------------------------


def lineup_of(node: NodeProcess, room_id: str) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = node.get(f"/api/rooms/{room_id}/lineups")[1]["data"]["rows"]
    return rows


@pytest.mark.parametrize(("encoding", "note"), [("cp949", "서울, 강남\r\n둘째 줄"), ("utf-8", "👩‍👩‍👧,\n🙏")])
@pytest.mark.parametrize("retreat", ["봄", "retreat-봄"])
def test_import_lineup_takes_a_file_over_and_says_how_much(
    environment: dict[str, str], start_node: StartNode, tmp_path: Path, encoding: str, note: str, retreat: str
) -> None:
    node = start_node()
    file = tmp_path / "명단 1.csv"
    lines = [f'{number},홍길동{number},{number % 10},"{note}"\r\n' for number in range(1, 2001)]
    file.write_bytes("".join(["번호,이름,조,비고\r\n", *lines]).encode(encoding))
    words = ["import-lineup", retreat, str(file), "--url", node.ws_url, "--token", "kim"]
    first = run(environment, *words)
    told = "retreat-봄: 2,000 rows read, 2,000 added, 0 changed\n"
    assert (first.returncode, first.stdout, first.stderr) == (0, told, "")
    rows = lineup_of(node, quote("retreat-봄"))
    assert (len(rows), rows[0]["비고"], rows[0]["gbsNumber"], rows[0]["updatedBy"]) == (2000, note, 1, "kim")
    file.write_bytes("번호,이름\n1,새 이름\n".encode(encoding))
    again = run({**environment, "C2C_URL": node.ws_url, "C2C_TOKEN": "kim"}, "import-lineup", retreat, str(file))
    assert (again.returncode, again.stdout) == (0, "retreat-봄: 1 rows read, 0 added, 1 changed\n")


def test_import_lineup_takes_json_too(environment: dict[str, str], start_node: StartNode, tmp_path: Path) -> None:
    node = start_node()
    file = tmp_path / "rows.JSON"
    file.write_text('{"rows":[{"lineupId":1,"age":20}]}')
    assert run(environment, "import-lineup", "r", str(file), "--url", node.ws_url).returncode == 0
    assert lineup_of(node, "retreat-r")[0]["age"] == 20


def test_what_is_wrong_with_a_file_is_said_in_a_line(
    environment: dict[str, str], start_node: StartNode, tmp_path: Path
) -> None:
    node = start_node(auth="jwt", jwt_secret=SECRET)
    file = tmp_path / "f.csv"
    admin = run({**environment, "C2C_JWT_SECRET": SECRET}, "token", "root", "--admin").stdout.strip()
    kim = run({**environment, "C2C_JWT_SECRET": SECRET}, "token", "kim").stdout.strip()
    stranger = run({**environment, "C2C_JWT_SECRET": SECRET}, "token", "root", "--admin", "--room", "x").stdout.strip()

    def refusal(data: bytes, token: str = admin, url: str = node.ws_url) -> str:
        file.write_bytes(data)
        result = run(environment, "import-lineup", "r", str(file), "--url", url, "--token", token)
        assert (result.returncode, result.stdout) == (1, "")
        (line,) = said(result.stderr)
        return line.removeprefix("c2c: ")

    number = "gbsNumber is a whole number from 0 to 999 (BAD_VALUE)"
    assert refusal(b'id,name,gbs\n1,"a\nb",3\n2,c,1000\n') == f"{file}: line 4: {number}"
    assert refusal(b"") == f"{file}: line 1: the file is empty (BAD_VALUE)"
    assert refusal(b"\xff") == f"{file}: file: neither UTF-8 nor CP949 (BAD_VALUE)"
    assert refusal(b"id\n1\n" + b" " * 1_000_000, kim) == "role admin is needed (FORBIDDEN)"
    assert refusal(b"id\n1\n", stranger) == "This room does not exist. (ROOM_NOT_FOUND)"
    assert refusal(b"id\n1\n", "no token").endswith("(UNAUTHORIZED)")
    too_large = f"{file} has 1,048,577 bytes; a line-up's file has 1,048,576 at most (TOO_LARGE)"
    assert refusal(b"x" * 1_048_577) == too_large
    nobody = refusal(b"id\n1\n", url=f"ws://127.0.0.1:{free_port()}/ws")
    assert nobody.startswith("the server can't be reached: ")
    assert refusal(b"id\n1\n", url=f"{node.ws_url[:-2]}nowhere/ws").endswith("(UNKNOWN_COMMAND)")
    file.unlink()
    missing = run(environment, "import-lineup", "r", str(file), "--url", node.ws_url)
    assert (missing.returncode, said(missing.stderr)) == (1, [f"c2c: {file} can't be read: No such file or directory"])
    assert node.request("GET", "/api/rooms/retreat-r", None, {"Authorization": f"Bearer {admin}"})[0] == 404
    assert run(environment, "import-lineup", "r").returncode == 2


async def test_import_lineup_shows_a_bar_to_who_looks_on(
    environment: dict[str, str], start_node: StartNode, tmp_path: Path
) -> None:
    node = start_node()
    file = tmp_path / "f.csv"
    file.write_bytes(b"id,name\n" + b"".join(b"%d,%b\n" % (number, b"x" * 150) for number in range(5000)))
    words = ["import-lineup", "r", str(file), "--url", node.ws_url, "--token", "kim"]
    with Terminal({**environment, "TERM": "xterm"}, *words) as terminal:
        await eventually(lambda: terminal.code is not None, 20)
        shown = terminal.seen()
        assert terminal.code == 0
    assert re.search(r"sending .*━.*100%", shown), shown
    assert "retreat-r: 5,000 rows read, 5,000 added, 0 changed" in shown


@pytest.mark.parametrize(
    ("ws_url", "expected"),
    [
        ("ws://127.0.0.1:8080/ws", "http://127.0.0.1:8080/api/rooms"),
        ("wss://example.org/c2c/ws?lang=ko", "https://example.org/c2c/api/rooms"),
    ],
)
def test_the_rest_address_belongs_to_the_websocket_address(ws_url: str, expected: str) -> None:
    assert rest_url(ws_url, "/api/rooms") == expected


def test_events_become_lines_that_can_not_steer_the_terminal() -> None:
    assert line_of({"t": "msg", "username": "Lee", "text": "a\r\x1b[2J\u202eb"}) == "Lee: a  [2J b"
    assert line_of({"t": "user_joined", "userId": "lee", "username": "Lee"}) == "* Lee came"
    assert line_of({"t": "user_left", "userId": "lee", "reason": "lost"}) == "* lee is gone"
    assert line_of({"t": "test", "n": 1}) == '* {"t": "test", "n": 1}'
