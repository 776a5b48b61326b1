"""c2c watches itself: its nodes, its Redis, its relays and its queues are endpoints like any other.

Each node says every few seconds how it does, and whoever claims the check of a built-in endpoint reads what all of them
have said. So a node that dies is told of by the others.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from pydantic_core import from_json, to_json

from c2c.monitoring.endpoints import Definition
from c2c.monitoring.own_servers import Listening, Server, servers_of
from c2c.monitoring.results import Result
from c2c.monitors import DELIVERIES_MAX, Monitors

REPORT_S: Final = 4.0
_SILENT_MS: Final = 12_000
_INTERVAL_S: Final = 10.0
_LAG_MS: Final = 1_000.0
_FULL: Final = 0.5

NAMES: Final[Mapping[str, str]] = {
    "c2c-nodes": "c2c: nodes",
    "c2c-redis": "c2c: Redis",
    "c2c-relay": "c2c: relay lag",
    "c2c-queues": "c2c: queues",
}
_DEGRADED_MS: Final[Mapping[str, int]] = {"c2c-redis": 100, "c2c-relay": 250}


def built_in(now_ms: int) -> list[Definition]:
    """The definitions of the built-in endpoints."""
    return [
        Definition(
            endpointId=id_,
            kind="builtin",
            name=name,
            interval=_INTERVAL_S,
            retryInterval=_INTERVAL_S,
            timeout=5.0,
            degradedMs=_DEGRADED_MS.get(id_, 5_000),
            failAfter=2,
            createdAt=now_ms,
            createdBy="c2c",
        )
        for id_, name in NAMES.items()
    ]


@dataclass(frozen=True, slots=True)
class Report:
    """How a node does. `queues`: name → how full, 0 to 1. `lag_ms`: of its relay, None: it does not hear itself.

    `listening`: where it is itself.
    """

    lag_ms: float | None
    queues: Mapping[str, float]
    listening: Listening
    suspect: bool = False

    def dump(self) -> bytes:
        shown = {"lagMs": self.lag_ms, "queues": self.queues, "suspect": self.suspect}
        return to_json({**shown, "listening": self.listening.dump()})


class SelfWatch:
    """A node's part in it. `look`: how it does; `heed`: is given where all nodes listen."""

    def __init__(
        self,
        node_id: str,
        monitors: Monitors,
        look: Callable[[], Report],
        heed: Callable[[Iterable[Server]], None],
    ) -> None:
        self._node_id = node_id
        self._monitors = monitors
        self._look = look
        self._heed = heed

    async def report(self) -> None:
        """Say how this node does, and hear where all others listen. 1 round trip."""
        report = self._look()
        now_ms, reports = await self._monitors.report(self._node_id, report.dump())
        self._heed(servers_of([_read(text, now_ms)[1] for text in reports.values()], report.listening.machine))

    async def leave(self) -> None:
        """This node stops: it is not to be missed. 1 round trip."""
        await self._monitors.report(self._node_id, b"")

    async def check(self, endpoint_id: str) -> Result:
        """Check one of the built-in endpoints. 2 round trips at most."""
        started_s = time.perf_counter()
        now_ms, reports = await self._monitors.report("", b"")
        took_ms = (time.perf_counter() - started_s) * 1000
        nodes = {name: _read(text, now_ms) for name, text in reports.items()}
        alive = {name: report for name, (silent_ms, report) in nodes.items() if silent_ms <= _SILENT_MS}
        if endpoint_id == "c2c-redis":
            return Result(ok=True, response_ms=took_ms)
        if endpoint_id == "c2c-nodes":
            silent = {name: silent_ms for name, (silent_ms, _) in nodes.items() if silent_ms > _SILENT_MS}
            return _nodes(silent)
        if endpoint_id == "c2c-relay":
            return _relay({name: report["lagMs"] for name, report in alive.items()})
        full = {(name, queue): share for name, each in alive.items() for queue, share in each["queues"].items()}
        full["", "webhook deliveries"] = await self._monitors.pending_deliveries() / DELIVERIES_MAX
        return _queues(full)


def suspects(reports: Mapping[str, bytes], now_ms: int) -> list[str]:
    """Nodes that do not trust what they see."""
    nodes = {name: _read(text, now_ms) for name, text in reports.items()}
    return sorted(name for name, (silent_ms, report) in nodes.items() if silent_ms <= _SILENT_MS and report["suspect"])


def _read(text: bytes, now_ms: int) -> tuple[int, Any]:
    """For how long a node has been silent, ms, and its last report."""
    at_ms, _, report = text.partition(b" ")
    return max(0, now_ms - int(at_ms)), from_json(report)


def _nodes(silent: Mapping[str, int]) -> Result:
    if not silent:
        return Result(ok=True)
    longest = max(silent.values()) // 1000
    names = ", ".join(sorted(silent)[:5])
    return Result(ok=False, reason="missed", error=f"{len(silent)} silent for up to {longest} s: {names}"[:200])


def _relay(lags: Mapping[str, float | None]) -> Result:
    deaf = sorted(name for name, lag_ms in lags.items() if lag_ms is None)
    worst_ms = max((lag_ms for lag_ms in lags.values() if lag_ms is not None), default=0.0)
    if deaf:
        return Result(ok=False, reason="reported", error=f"hears nothing from Redis: {', '.join(deaf[:5])}"[:200])
    if worst_ms > _LAG_MS:
        return Result(
            ok=False, response_ms=worst_ms, reason="reported", error=f"events take {worst_ms:.0f} ms to arrive"
        )
    return Result(ok=True, response_ms=worst_ms)


def _queues(queues: Mapping[tuple[str, str], float]) -> Result:
    (name, queue), full = max(queues.items(), key=lambda entry: entry[1])
    if full > _FULL:
        where = f" of node {name}" if name else ""
        return Result(ok=False, reason="reported", error=f"{queue}{where}: {full:.0%} of what there may be"[:200])
    return Result(ok=True)
