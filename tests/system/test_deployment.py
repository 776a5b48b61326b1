"""The topology of docker-compose.yml without containers: Redis, two nodes, and a real nginx with deploy/nginx.conf."""

from __future__ import annotations

import asyncio
import http.client
import json
import os
import pwd
import re
import shutil
import signal
import subprocess
import tempfile
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pytest
import yaml
from websockets.exceptions import InvalidStatus

from c2c.app import create_server
from c2c.auth import mint_token
from c2c.client import Client, StateReplaced
from c2c.settings import Settings
from tests.support import ROOT, NodeProcess, Proxy, RedisServer, Talker, contiguous, eventually, free_port, nodes, talk

SECRET = "a secret of the tests, with more than 32 bytes"
DEPLOY = ROOT / "deploy"
COMPOSE = ROOT / "docker-compose.yml"


def token_of(user: str, *, admin: bool = False) -> str:
    return mint_token(SECRET, user, name=None, ttl_s=600, rooms=None, admin=admin)


def bearer(user: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token_of(user)}"}


class Nginx:
    """nginx with the configuration that is shipped; only the nodes' addresses and the port are the test's."""

    def __init__(self, upstreams: Sequence[NodeProcess]) -> None:
        self.port = free_port()
        self.folder = Path(tempfile.mkdtemp(prefix="c2c-nginx-"))
        self._process: subprocess.Popen[bytes] | None = None
        shutil.copy(DEPLOY / "nginx.conf", self.folder)
        (self.folder / "upstream.conf").write_text(self._upstream_conf(upstreams))
        listen, count = re.subn(r"\b8080\b", f"127.0.0.1:{self.port}", (DEPLOY / "listen.conf").read_text())
        assert count == 1
        (self.folder / "listen.conf").write_text(listen)

    @staticmethod
    def _upstream_conf(upstreams: Sequence[NodeProcess]) -> str:
        """The shipped file, with addresses instead of names and without the DNS of Docker."""
        text = re.sub(r"^ *resolver .*;$", "", (DEPLOY / "upstream.conf").read_text(), flags=re.MULTILINE)
        for number, node in enumerate(upstreams, start=1):
            name = f"server node{number}:8080 resolve "
            assert text.count(name) == 1
            text = text.replace(name, f"server 127.0.0.1:{node.port} ")
        return text

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def ws_url(self) -> str:
        return f"ws://127.0.0.1:{self.port}/ws"

    @property
    def log(self) -> str:
        return (self.folder / "log").read_text(encoding="utf-8", errors="replace")

    def request(
        self, method: str, path: str, body: object = None, headers: Mapping[str, str] | None = None
    ) -> tuple[int, Any, Mapping[str, str]]:
        """Status, decoded body and headers of one request."""
        data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        request = urllib.request.Request(
            self.url + path, data, {"Content-Type": "application/json", **(headers or {})}, method=method
        )
        try:
            with urllib.request.urlopen(request, timeout=15) as answer:
                return answer.status, json.loads(answer.read()), dict(answer.headers)
        except urllib.error.HTTPError as answer:
            with answer:
                return answer.code, json.loads(answer.read()), dict(answer.headers)

    def __enter__(self) -> Self:
        # As the current user: root's workers would change to another one, who may not enter the temporary folder.
        user = f"user {pwd.getpwuid(os.getuid()).pw_name};" if os.getuid() == 0 else ""
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [
                    nginx_program(), "-p", str(self.folder), "-c", str(self.folder / "nginx.conf"), "-e", "stderr",
                    "-g", f"daemon off; {user}",
                ],
                stdout=log,
                stderr=log,
                start_new_session=True,
            )  # fmt: skip
        deadline_s = time.monotonic() + 10
        while time.monotonic() < deadline_s and self._process.poll() is None:
            with suppress(OSError):
                if self.request("GET", "/healthz")[0] == 200:
                    return self
            time.sleep(0.02)
        self._stop()
        raise AssertionError(f"nginx did not start:\n{self.log}")

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._stop()
        if kind is not None:
            print(f"--- log of nginx\n{self.log}")
        shutil.rmtree(self.folder, ignore_errors=True)

    def _stop(self) -> None:
        assert self._process is not None
        self._process.terminate()
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            os.killpg(self._process.pid, signal.SIGKILL)  # the session of its own that it was started in
            self._process.wait()


def nginx_program() -> str:
    """nginx from the PATH or where Debian has it. Skips the test when there is none; on CI there must be one."""
    found = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin")
    if found is not None:
        return found
    missing = "nginx is not installed (apt-get install nginx)"
    if os.environ.get("CI") == "true":
        pytest.fail(missing)
    pytest.skip(missing)


@contextmanager
def deployment(redis: RedisServer) -> Iterator[tuple[list[NodeProcess], Nginx]]:
    """Two nodes as docker-compose.yml sets them up, and nginx in front."""
    nginx_program()
    with nodes(redis.url, 2, auth="jwt", jwt_secret=SECRET) as both, Nginx(both) as nginx:
        yield both, nginx


async def sign_in(talker: Talker, user: str) -> str:
    """Sign in; the id of the node where the connection has landed."""
    welcome = await talker.ask("hello", token=token_of(user))
    return str(welcome["nodeId"])


def node_id(node: NodeProcess) -> str:
    return str(node.get("/healthz")[1]["data"]["nodeId"])


# ---- two nodes -----------------------------------------------------------------------------------------------------


async def test_clients_behind_nginx_land_on_both_nodes_and_see_the_same_seqs(redis_server: RedisServer) -> None:
    with deployment(redis_server) as (both, nginx):
        status, answer, _ = nginx.request("POST", "/api/rooms", {"roomId": "r"}, bearer("kim"))
        assert status == 201, answer
        async with AsyncExitStack() as stack:
            clients = [await stack.enter_async_context(talk(nginx.ws_url)) for _ in range(6)]
            landed = [await sign_in(client, f"user{number}") for number, client in enumerate(clients)]
            assert set(landed) == {node_id(node) for node in both}
            for client in clients:
                await client.ask("join", roomId="r")
            acks = await asyncio.gather(
                *[client.ask("msg", roomId="r", text=f"{n}") for client in clients for n in range(50)]
            )
            last = max(ack["seq"] for ack in acks)
            await eventually(lambda: all(client.seqs[-1] == last for client in clients))
            orders = [[(event["seq"], event["from"], event["text"]) for event in c.events("msg")] for c in clients]
            assert all(order == orders[0] for order in orders)
            assert all(contiguous(client.seqs) for client in clients)
        status, answer, _ = nginx.request("GET", "/api/rooms/r/events?limit=500", headers=bearer("kim"))
        assert [event["seq"] for event in answer["data"]["events"]][:3] == [1, 2, 3]


# ---- a node that stops ---------------------------------------------------------------------------------------------


async def test_sigterm_is_unready_first_then_1012_and_everybody_resumes_elsewhere(redis_server: RedisServer) -> None:
    with deployment(redis_server) as (both, nginx):
        stopping, staying = both
        nginx.request("POST", "/api/rooms", {"roomId": "r"}, bearer("sender"))
        async with AsyncExitStack() as stack:
            sender = await stack.enter_async_context(talk(staying.ws_url))
            await sign_in(sender, "sender")
            await sender.ask("join", roomId="r")
            clients = {f"user{n}": await stack.enter_async_context(talk(nginx.ws_url)) for n in range(6)}
            landed = {user: await sign_in(client, user) for user, client in clients.items()}
            for client in clients.values():
                await client.ask("join", roomId="r")
            moving = [user for user in clients if landed[user] == node_id(stopping)]
            assert 0 < len(moving) < len(clients)

            stopping.signal(signal.SIGTERM)
            for user in moving:
                assert await clients[user].wait_closed(5) == 1012
            assert stopping.get("/readyz")[0] == 503  # and so before the first of them was closed
            assert nginx.request("GET", "/readyz")[0] == 200
            for n in range(20):  # what the others miss meanwhile
                await sender.ask("msg", roomId="r", text=f"missed {n}")

            elsewhere = {user: await stack.enter_async_context(talk(nginx.ws_url)) for user in moving}
            for user, client in elsewhere.items():
                assert await sign_in(client, user) == node_id(staying)
                last = clients[user].events()[-1]
                again = await client.ask("join", roomId="r", since={"epoch": last["epoch"], "seq": last["seq"]})
                assert again["recovered"] is True
            await sender.ask("msg", roomId="r", text="live")
            for user, client in elsewhere.items():
                await eventually(lambda c=client: c.events("msg")[-1:] and c.events("msg")[-1]["text"] == "live")
                assert contiguous(clients[user].seqs + client.seqs)

            assert await asyncio.to_thread(stopping.wait, 10) == 0
            for n in range(4):
                latecomer = await stack.enter_async_context(talk(nginx.ws_url))
                assert await sign_in(latecomer, f"late{n}") == node_id(staying)
            assert not any(client.closed for user, client in clients.items() if user not in moving)


async def test_the_python_client_sees_nothing_of_a_rolling_restart(redis_server: RedisServer) -> None:
    with deployment(redis_server) as (both, nginx):
        nginx.request("POST", "/api/rooms", {"roomId": "r"}, bearer("kim"))
        async with AsyncExitStack() as stack:
            clients = [
                await stack.enter_async_context(Client(nginx.ws_url, token=token_of(f"user{n}"))) for n in range(4)
            ]
            rooms, starts = [], []
            for client in clients:
                rooms.append(await client.join("r"))
                starts.append(rooms[-1].position.seq)
            for number, node in enumerate(both):
                node.signal(signal.SIGTERM)
                for room in rooms:
                    await room.send("msg", text=f"while node {number} stops")
                assert await asyncio.to_thread(node.wait, 10) == 0
                for room in rooms:
                    await room.send("msg", text=f"without node {number}")
                node.start()
            last = await rooms[0].send("msg", text="last")
            for room, start in zip(rooms, starts, strict=True):
                seqs = []
                async for event in room.events():
                    assert not isinstance(event, StateReplaced), event
                    assert isinstance(event, dict)
                    seqs.append(event["seq"])
                    if event["seq"] == last["seq"]:
                        break
                assert seqs == list(range(start + 1, last["seq"] + 1))


# ---- a node that is dead, or no use --------------------------------------------------------------------------------


class Asker:
    """Asks by REST without a pause, in a thread of its own, and keeps every answer that is no success.

    `cut`: answers that broke off in the middle. That of the very request that a killed node was writing may: its
    beginning has gone to the client already, so nginx can't ask another node.
    """

    def __init__(self, nginx: Nginx, path: str) -> None:
        self.asked = 0
        self.cut = 0
        self.failed: list[object] = []
        self._nginx = nginx
        self._path = path
        self._headers = bearer("asker")
        self._enough = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        while not self._enough.is_set():
            try:
                status, answer, _ = self._nginx.request("GET", self._path, headers=self._headers)
                if status != 200:
                    self.failed.append((status, answer))
            except http.client.IncompleteRead:
                self.cut += 1
            except OSError as failure:
                self.failed.append(failure)
            self.asked += 1

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._enough.set()
        self._thread.join(30)


async def test_rest_goes_on_when_a_node_is_killed(redis_server: RedisServer) -> None:
    with deployment(redis_server) as (both, nginx):
        nginx.request("POST", "/api/rooms", {"roomId": "r"}, bearer("kim"))
        with Asker(nginx, "/api/rooms/r") as asker:
            await eventually(lambda: asker.asked > 50)
            both[0].kill()
            before = asker.asked
            for n in range(50):
                status, answer, _ = nginx.request(
                    "POST", "/api/rooms/r/events", {"t": "msg", "text": f"{n}"}, bearer("kim")
                )
                assert (status, answer["data"]["t"]) == (200, "ack"), answer
            await eventually(lambda: asker.asked > before + 50)
            both[0].start()
            before = asker.asked
            await eventually(lambda: asker.asked > before + 50)
        assert asker.failed == []
        assert asker.cut <= 1
        page = nginx.request("GET", "/api/rooms/r/events", headers=bearer("kim"))[1]["data"]
        assert [event["text"] for event in page["events"] if event["t"] == "msg"] == [f"{n}" for n in range(50)]


async def test_a_node_without_redis_is_passed_over(redis_server: RedisServer) -> None:
    nginx_program()
    environment = {"auth": "jwt", "jwt_secret": SECRET}
    with (
        Proxy(redis_server.port) as proxy,
        NodeProcess(proxy.url, **environment) as cut_off,
        NodeProcess(redis_server.url, **environment) as fine,
        Nginx([cut_off, fine]) as nginx,
    ):
        nginx.request("POST", "/api/rooms", {"roomId": "r"}, bearer("kim"))
        proxy.refusing = True
        proxy.cut()
        await eventually(lambda: cut_off.get("/readyz")[0] == 503)
        answers = [nginx.request("GET", "/api/rooms/r", headers=bearer("kim"))[0] for _ in range(40)]
        assert set(answers) == {200}


async def test_without_any_node_the_answer_is_503_in_the_envelope_until_there_is_one(redis_server: RedisServer) -> None:
    with deployment(redis_server) as (both, nginx):
        for node in both:
            node.kill()
        status, answer, headers = nginx.request("GET", "/api/rooms/r", headers=bearer("kim"))
        assert (status, answer["success"], answer["error"]["code"]) == (503, False, "SERVICE_UNAVAILABLE")
        assert headers["Retry-After"] == "1"
        both[1].start()
        await eventually(lambda: nginx.request("GET", "/readyz")[0] == 200, 5)


# ---- what nginx passes on, and what it keeps -----------------------------------------------------------------------


async def test_origin_is_checked_against_the_host_that_the_page_sees(redis_server: RedisServer) -> None:
    with deployment(redis_server) as (_, nginx):
        async with talk(nginx.ws_url, origin=nginx.url) as page:
            assert (await page.ask("hello", token=token_of("kim")))["t"] == "welcome"
        with pytest.raises(InvalidStatus) as refused:
            async with talk(nginx.ws_url, origin="https://elsewhere.example"):
                pass
        assert refused.value.response.status_code == 403


async def test_a_stream_through_nginx_brings_each_event_as_it_comes(redis_server: RedisServer) -> None:
    with deployment(redis_server) as (_, nginx):
        nginx.request("POST", "/api/rooms", {"roomId": "r"}, bearer("kim"))
        query = urllib.parse.urlencode({"rooms": json.dumps([{"roomId": "r"}])})
        request = urllib.request.Request(f"{nginx.url}/api/stream?{query}", headers=bearer("kim"))
        with urllib.request.urlopen(request, timeout=5) as answer:
            assert await asyncio.to_thread(next_frame, answer, "joined")
            for n in range(3):
                nginx.request("POST", "/api/rooms/r/events", {"t": "msg", "text": f"{n}"}, bearer("lee"))
                assert (await asyncio.to_thread(next_frame, answer, "msg"))["text"] == f"{n}"


def next_frame(answer: http.client.HTTPResponse, t: str) -> dict[str, Any]:
    """The next frame of a type in an event stream; a silence of 5 s is a time-out."""
    for line in answer:
        if line.startswith(b"data:"):
            frame: dict[str, Any] = json.loads(line[5:])
            if frame["t"] == t:
                return frame
    raise AssertionError(f"the stream ended without {t}")


async def test_nginx_hides_metrics_and_versions_and_refuses_large_bodies(redis_server: RedisServer) -> None:
    with deployment(redis_server) as (_, nginx):
        status, answer, headers = nginx.request("GET", "/metrics")
        assert (status, answer["error"]["code"]) == (404, "UNKNOWN_COMMAND")
        assert headers["Server"] == "nginx"
        status, answer, headers = nginx.request("POST", "/api/rooms", b" " * 1_100_000, bearer("kim"))
        assert (status, answer["error"]["code"]) == (413, "TOO_LARGE")
        status, answer, headers = nginx.request("POST", "/api/rooms", b" " * 100_000, bearer("kim"))
        assert (status, answer["error"]["details"]) == (413, {"limitBytes": 65_536})
        assert headers["Server"] == "nginx"


def test_nginx_waits_for_the_nodes_pings_twice() -> None:
    ping_s = create_server(Settings(redis_url="redis://127.0.0.1")).config.ws_ping_interval
    assert ping_s is not None
    waits_s = re.findall(
        r"proxy_(?:read|send)_timeout (\d+)s;", (DEPLOY / "nginx.conf").read_text().split("location = /ws")[1]
    )
    assert len(waits_s) == 3
    assert all(float(wait_s) > 2 * ping_s for wait_s in waits_s)


# ---- docker-compose.yml and Dockerfile -----------------------------------------------------------------------------


def _compose() -> list[str]:
    """Docker's plugin, or the program of its own that it was before and Debian still has. Neither asks an engine."""
    ways = [["docker", "compose"], ["docker-compose"]]
    for way in ways:
        if shutil.which(way[0]) and not subprocess.run([*way, "version"], capture_output=True, check=False).returncode:
            return way
    missing = "there is no compose (apt-get install docker-compose)"
    if os.environ.get("CI") == "true":
        pytest.fail(missing)
    pytest.skip(missing)


def test_compose_accepts_the_file() -> None:
    command = [*_compose(), "-f", str(COMPOSE), "config", "--quiet"]
    environment = {name: value for name, value in os.environ.items() if name != "C2C_JWT_SECRET"}
    refused = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert refused.returncode != 0
    assert "C2C_JWT_SECRET" in refused.stderr
    accepted = subprocess.run(
        command, env={**environment, "C2C_JWT_SECRET": SECRET}, capture_output=True, text=True, check=False
    )
    assert accepted.returncode == 0, accepted.stderr


def test_compose_has_the_topology_that_is_tested_here() -> None:
    services = yaml.safe_load(COMPOSE.read_text(encoding="utf-8"))["services"]
    assert set(services) == {"redis", "node1", "node2", "nginx"}
    assert all("healthcheck" in service for service in services.values())
    for name in ("node1", "node2"):
        assert services[name]["environment"]["C2C_AUTH"] == "jwt"
        assert services[name]["environment"]["C2C_JWT_SECRET"].startswith("${C2C_JWT_SECRET:?")
        assert f"server {name}:8080 " in (DEPLOY / "upstream.conf").read_text(encoding="utf-8")
        grace_s = float(services[name]["stop_grace_period"].removesuffix("s"))
        assert grace_s > 10 > Settings().drain_s


@pytest.mark.parametrize("file", ["docker-compose.yml", "Dockerfile"])
def test_every_setting_that_is_set_exists(file: str) -> None:
    named = set(re.findall(r"\bC2C_([A-Z0-9_]+)\b", (ROOT / file).read_text(encoding="utf-8")))
    assert named
    assert {name.lower() for name in named} <= set(Settings.model_fields)


def test_the_image_is_built_of_files_that_are_there_and_not_ignored() -> None:
    lines = (ROOT / "Dockerfile").read_text(encoding="utf-8").splitlines()
    copied = [word for line in lines if line.startswith("COPY ") for word in line.split()[1:-1]]
    admitted = [
        line[1:] for line in (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines() if line[:1] == "!"
    ]
    assert sorted(copied) == sorted(admitted)
    assert all((ROOT / name).exists() for name in copied)
    assert 'CMD ["c2c", "serve", "--host", "0.0.0.0"]' in lines
