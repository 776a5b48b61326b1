"""The servers that are measured, as context managers: c2c, plain Starlette, Socket.IO; and the Redis behind them."""

from __future__ import annotations

import contextlib
import http.client
import json
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.bench.processes import BenchError, Cores, running
from tests.support import free_port, redis_binary

_HTTP_TIMEOUT_S: Final = 10.0
_NPM_TIMEOUT_S: Final = 180.0
_SOCKETIO: Final = Path(__file__).parent / "socketio"


@dataclass(frozen=True, slots=True)
class Server:
    """A process that is ready."""

    pid: int
    port: int


@dataclass(frozen=True, slots=True)
class Place:
    """Where servers run: on which cores, and in which temporary folder they may write."""

    cores: Cores
    folder: Path


class Missing(Exception):
    """What a baseline needs is not on this machine; the baseline is skipped."""


@contextlib.contextmanager
def redis(place: Place) -> Iterator[Server]:
    """An empty Redis that stores nothing on disk, on the core of the load."""
    port = free_port()
    argv = [redis_binary(), "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
    argv += ["--dir", str(place.folder)]
    with running("redis", argv, place.cores.rest, lambda: _listens(port), folder=place.folder) as pid:
        yield Server(pid, port)


@contextlib.contextmanager
def c2c(place: Place, behind: Server) -> Iterator[Server]:
    """One node, auth `dev`, with a rate limit that no bench reaches."""
    port = free_port()
    argv = [sys.executable, "-m", "c2c", "serve", "--host", "127.0.0.1", "--port", str(port), "--auth", "dev"]
    argv += ["--redis-url", f"redis://127.0.0.1:{behind.port}"]
    limits = {"C2C_COMMAND_RATE_PER_S": "1000000", "C2C_COMMAND_BURST": "1000000", "C2C_LOG_LEVEL": "warning"}
    with running(
        "c2c",
        argv,
        place.cores.server,
        lambda: _status(port, "/readyz") == 200,
        folder=place.folder,
        environment=limits,
    ) as pid:
        yield Server(pid, port)


@contextlib.contextmanager
def starlette(place: Place) -> Iterator[Server]:
    """`starlette_app` under uvicorn as it comes."""
    port = free_port()
    argv = [
        sys.executable,
        "-m",
        "uvicorn",
        "tests.bench.starlette_app:app",
        "--host",
        "127.0.0.1",
        "--port",
        str(port),
    ]
    with running("starlette", argv, place.cores.server, lambda: _listens(port), folder=place.folder) as pid:
        yield Server(pid, port)


@contextlib.contextmanager
def socketio(place: Place, behind: Server) -> Iterator[Server]:
    """`socketio/server.js`, installed by npm into the temporary folder. Raises Missing without node, npm or network."""
    home = _install_socketio(place)
    port = free_port()
    argv = ["node", "server.js", str(port), f"redis://127.0.0.1:{behind.port}"]
    with running("socketio", argv, place.cores.server, lambda: _listens(port), folder=place.folder, cwd=home) as pid:
        yield Server(pid, port)


def _install_socketio(place: Place) -> Path:
    for program in ("node", "npm"):
        if shutil.which(program) is None:
            raise Missing(f"{program} is not on the PATH")
    home = place.folder / "socketio"
    if not home.exists():
        shutil.copytree(_SOCKETIO, home, ignore=shutil.ignore_patterns("node_modules"))
        try:
            subprocess.run(
                ["npm", "install", "--omit=dev", "--no-audit", "--no-fund", "--no-package-lock", "--loglevel=error"],
                cwd=home, timeout=_NPM_TIMEOUT_S, check=True, capture_output=True, text=True,
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            raise Missing(f"npm install was not done within {_NPM_TIMEOUT_S:.0f} s") from None
        except subprocess.CalledProcessError as failed:
            raise Missing(f"npm install failed: {failed.stderr.strip()[-500:]}") from None
    return home


def open_rooms(server: Server, rooms: Iterable[tuple[str, str]]) -> None:
    """Open rooms on c2c, each by a member who will come: a creator who never comes would leave in the middle."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=_HTTP_TIMEOUT_S)
    try:
        for room, creator in rooms:
            body = json.dumps({"roomId": room, "creatorName": creator})
            connection.request("POST", "/api/rooms", body, {"Content-Type": "application/json"})
            answer = connection.getresponse()
            text = answer.read()
            if answer.status != 201:
                raise BenchError(f"room {room} was not opened: {answer.status} {text!r}")
    finally:
        connection.close()


def _listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 1.0).close()
    except OSError:
        return False
    return True


def _status(port: int, path: str) -> int:
    """The status of a GET; 0 while nobody answers."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=1.0)
    try:
        connection.request("GET", path)
        return connection.getresponse().status
    except (OSError, http.client.HTTPException):
        return 0
    finally:
        connection.close()
