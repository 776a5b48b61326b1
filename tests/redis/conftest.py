"""Real Redis and the fakeredis that `c2c serve` falls back to, empty for each test."""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator, Iterator

import pytest
import redis as redis_sync
from fakeredis import TcpFakeServer

from tests.redis.world import World
from tests.support import RedisServer, free_port


@pytest.fixture(scope="module")
def real_redis() -> Iterator[RedisServer]:
    with RedisServer() as server:
        yield server


@pytest.fixture(scope="module")
def fake_port() -> Iterator[int]:
    port = free_port()
    server = TcpFakeServer(("127.0.0.1", port))
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    yield port
    server.shutdown()
    server.server_close()


@pytest.fixture(params=["real", "fakeredis"])
def port(request: pytest.FixtureRequest) -> int:
    """Where an empty server listens, real or fake."""
    server: RedisServer | int = request.getfixturevalue("real_redis" if request.param == "real" else "fake_port")
    port = server.port if isinstance(server, RedisServer) else server
    with redis_sync.Redis(port=port) as client:
        client.flushall()
    return port


@pytest.fixture
async def world(port: int) -> AsyncIterator[World]:
    world = World(port)
    await world.pipeline.start()
    yield world
    await world.pipeline.aclose()
    world._ears.close()
    world.redis.close()


@pytest.fixture
async def other(port: int, world: World) -> AsyncIterator[World]:
    """Another node on the same Redis."""
    other = World(port)
    await other.pipeline.start()
    yield other
    await other.pipeline.aclose()
    other._ears.close()
    other.redis.close()
