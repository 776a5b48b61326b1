"""Fixtures of all tests."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from tests.support import NodeProcess, RedisServer

StartNode = Callable[..., NodeProcess]

# Keys that are meant to stay: the index of rooms, which forgets expired rooms by itself.
_LASTING = {"rooms"}


@pytest.fixture
def redis_server() -> Iterator[RedisServer]:
    """A real, empty Redis. Afterwards every key must have an expiry: what a crash leaves behind goes by itself."""
    with RedisServer() as server:
        yield server
        if server.client.connection_pool is not None:
            leaked = [key for key in server.client.scan_iter() if server.client.ttl(key) == -1 and key not in _LASTING]
            assert leaked == [], f"keys that never expire: {leaked}"


@pytest.fixture
def start_node(redis_server: RedisServer) -> Iterator[StartNode]:
    """Starts nodes on the test's Redis (or another, by `redis_url`); all are gone afterwards."""
    with ExitStack() as stack:

        def start(redis_url: str | None = None, **environment: object) -> NodeProcess:
            return stack.enter_context(NodeProcess(redis_url or redis_server.url, **environment))

        yield start
