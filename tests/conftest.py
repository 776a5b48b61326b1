"""Fixtures of all tests."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.support import ROOT, NodeProcess, RedisServer

StartNode = Callable[..., NodeProcess]


@pytest.fixture(scope="session")
def node_modules() -> Path:
    """What package-lock.json names, installed. Skips on a laptop without npm, fails in CI."""
    npm = shutil.which("npm")
    if npm is None:
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)("there is no npm")
    folder, lock = ROOT / "node_modules", ROOT / "package-lock.json"
    installed = folder / ".package-lock.json"
    with lock.open() as held:
        fcntl.flock(held, fcntl.LOCK_EX)  # tests run in several processes
        if not installed.exists() or installed.stat().st_mtime < lock.stat().st_mtime:
            subprocess.run([npm, "ci", "--no-audit", "--no-fund"], cwd=ROOT, check=True, timeout=300)
    return folder


@pytest.fixture
def redis_server() -> Iterator[RedisServer]:
    """A real, empty Redis. Afterwards every key must have an expiry: what a crash leaves behind goes by itself."""
    with RedisServer() as server:
        yield server
        if server.client.connection_pool is not None:
            assert server.leaked_keys() == [], "keys that never expire"


@pytest.fixture
def start_node(redis_server: RedisServer) -> Iterator[StartNode]:
    """Starts nodes on the test's Redis (or another, by `redis_url`); all are gone afterwards."""
    with ExitStack() as stack:

        def start(redis_url: str | None = None, **environment: object) -> NodeProcess:
            return stack.enter_context(NodeProcess(redis_url or redis_server.url, **environment))

        yield start
