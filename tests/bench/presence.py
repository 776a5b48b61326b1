"""What it costs that thousands are signed in, on two nodes: renewals, memory, and reading the list of them."""

from __future__ import annotations

import json
import statistics
import time
import urllib.request
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Final

import redis as redis_client

from c2c.leases import TICK_S
from tests.bench.dialects import C2C, Joined
from tests.bench.fleet import Fleet, Seat
from tests.bench.processes import BenchError, cpu_s
from tests.bench.servers import Place, Server, c2c, redis

_IDLE_S: Final = 12.0  # a whole number of rounds through everybody, of 3 and of 9 s, and a bit
_OPEN_WITHIN_S: Final = 120.0
_CLOSE_WITHIN_S: Final = 30.0
_SETTLE_WITHIN_S: Final = 60.0
_CALLS: Final = 30
_PAGE: Final = 500


class Greeting(C2C):
    """Signs in, joins nothing."""

    def greet(self, member: str, room: str) -> bytes | None:
        return b'{"t":"hello","id":"hello","token":"%b"}' % member.encode()

    def enter(self, payload: bytes, member: str, room: str) -> Joined | bytes | None:
        return Joined(0) if json.loads(payload)["t"] == "welcome" else super().enter(payload, member, room)


@dataclass(frozen=True, slots=True)
class PresenceCost:
    """For a number of users: CPU in ms per tick of a quarter second, bytes of Redis, ms per call."""

    users: int
    node_ms: float
    redis_ms: float
    user_bytes: float
    page_ms: float
    summary_ms: float


def measure(place: Place, users: int) -> PresenceCost:
    """Sign users in on two nodes, half of them on each, and see what they cost. Raises BenchError."""
    with ExitStack() as stack:
        behind = stack.enter_context(redis(place))
        nodes = [stack.enter_context(c2c(place, behind)) for _ in range(2)]
        inside = stack.enter_context(redis_client.Redis(port=behind.port))
        empty = inside.info("memory")["used_memory"]
        fleets = [Fleet(node.port, Greeting(), watch_every=users) for node in nodes]
        for index, fleet in enumerate(fleets):
            seats = [Seat(f"user{number:05}", "") for number in range(index, users, 2)]
            fleet.open(seats, in_flight=64, within_s=_OPEN_WITHIN_S)

        def rest(seconds: float) -> None:
            ends_s = time.monotonic() + seconds
            while time.monotonic() < ends_s:
                for fleet in fleets:
                    fleet.read(0.01)

        _until_told(nodes[0], users, rest)
        full = inside.info("memory")["used_memory"]
        processes = [behind, *nodes]
        before = [cpu_s(process.pid) for process in processes]
        rest(_IDLE_S)
        used = [cpu_s(process.pid) - earlier for process, earlier in zip(processes, before, strict=True)]
        page_ms = _call_ms(nodes[0], f"/api/online-status?limit={_PAGE}", rest)
        summary_ms = _call_ms(nodes[0], "/api/online-status/stats/summary", rest)
        for fleet in fleets:
            fleet.close(_CLOSE_WITHIN_S)
            if fleet.closed - len(fleet.seats) or fleet.problems:
                raise BenchError(f"connections were lost: {fleet.problems}")
    ticks = _IDLE_S / TICK_S
    node_ms = 1000 * sum(used[1:]) / len(nodes) / ticks
    return PresenceCost(users, node_ms, 1000 * used[0] / ticks, (full - empty) / users, page_ms, summary_ms)


def _until_told(node: Server, users: int, rest: Callable[[float], None]) -> None:
    """Wait until all are in the list, and everybody has been told of them."""
    ends_s = time.monotonic() + _SETTLE_WITHIN_S
    while _get(node, "/api/online-status/stats/summary")["stats"]["total"] != users:
        if time.monotonic() > ends_s:
            raise BenchError(f"not all of {users:,} users are online")
        rest(0.5)
    rest(users / _PAGE + 1)


def _call_ms(node: Server, path: str, rest: Callable[[float], None]) -> float:
    """The median of some calls, one connection each."""
    taken = []
    for _ in range(_CALLS):
        started_s = time.perf_counter()
        _get(node, path)
        taken.append(time.perf_counter() - started_s)
        rest(0.06)  # a caller may ask 20 times a second
    return 1000 * statistics.median(taken)


def _get(node: Server, path: str) -> dict[str, dict[str, int]]:
    with urllib.request.urlopen(f"http://127.0.0.1:{node.port}{path}", timeout=30) as answer:
        data: dict[str, dict[str, int]] = json.load(answer)["data"]
        return data
