"""What is measured, against what, and the limits. Each group has servers of its own, fresh ones."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import asdict
from typing import Any, Final

from tests.bench import lineup
from tests.bench.load import Measured, Report, seats_of
from tests.bench.presence import measure
from tests.bench.processes import BenchError, output_of
from tests.bench.report import Results, Row
from tests.bench.servers import Missing, Place, Server, c2c, open_rooms, redis, socketio, starlette

_LOAD_TIMEOUT_S: Final = 300.0
_NOISE: Final = 0.1
_BURSTS: Final = 3
_SENDERS: Final = 100
_SIGNED_IN: Final = (5_000, 10_000)


class Bench:
    """One run of the bench: where, and what came of it."""

    def __init__(self, place: Place, results: Results) -> None:
        self._place = place
        self._results = results

    def load(
        self,
        name: str,
        server: Server,
        members: int,
        windows: list[str],
        *,
        dialect: str = "c2c",
        rooms: int = 1,
        senders: int | None = None,
        behind: Server | None = None,
    ) -> Report:
        """Run the load generator once; its report. Its problems become the bench's. Raises BenchError."""
        argv = [sys.executable, "-m", "tests.bench.load", "--dialect", dialect, "--port", str(server.port)]
        argv += ["--prefix", name, "--rooms", str(rooms), "--members", str(members), "--pid", f"server={server.pid}"]
        argv += ["--senders", str(senders or members)]
        if behind is not None:
            argv += ["--pid", f"redis={behind.pid}"]
        for wanted in windows:
            argv += ["--window", wanted]
        _say(f"{name}: {members:,} members in {rooms} room(s), {', '.join(windows) or 'only joining'}")
        report = Report.from_json(output_of(argv, self._place.cores.rest, _LOAD_TIMEOUT_S))
        self._results.runs[name] = asdict(report)
        self._results.problems += [f"{name}: {problem}" for problem in report.problems]
        for window in report.windows:
            if window.frames != window.expected and window.messages:
                self._results.problems.append(
                    f"{name}: {window.frames:,} frames instead of {window.expected:,} at {_rate(window)}"
                )
            if window.messages:
                self._results.notes.append(f"{name} at {_rate(window)}: {_told(window)}")
            if (others := window.others_cpu_s / window.seconds) > _NOISE:
                self._results.notes.append(f"NOISY: other processes used {others:.0%} of a core at {name}")
        return report

    def c2c_load(
        self, name: str, server: Server, members: int, windows: list[str], rooms: int, **options: Any
    ) -> Report:
        """The same on c2c, whose rooms must be opened first."""
        seats = seats_of(name, rooms, members)
        open_rooms(server, [(seat.room, seat.member) for seat in seats[:rooms]])
        return self.load(name, server, members, windows, rooms=rooms, **options)

    # The groups

    def fan_out(self, wanted: set[str]) -> None:
        """One room of 1,000, 100 of whom take turns in sending: 60 msg/s, 600 msg/s, bursts; against plain Starlette.

        Starlette does not keep up with more than about 60 msg/s, so what a delivery costs it there is what counts.
        """
        with starlette(self._place) as server:
            plain = self.load("starlette", server, 1_000, ["paced:60:600"], senders=_SENDERS)
        plain_us = _us_per_delivery(plain.windows)
        windows = {
            "fanout-60": ["paced:60:600"],
            "fanout-600": ["paced:600:6000"],
            "burst": ["burst:3000"] * _BURSTS,
        }
        names = [name for name in windows if name in wanted]
        with ExitStack() as stack:
            behind = stack.enter_context(redis(self._place))
            server = stack.enter_context(c2c(self._place, behind))
            shared = self.c2c_load(
                "c2c-fan-out", server, 1_000, [window for name in names for window in windows[name]],
                rooms=1, senders=_SENDERS, behind=behind,
            )  # fmt: skip
        measured = iter(shared.windows)
        for name in names:
            ours_us = _us_per_delivery([next(measured) for _ in windows[name]])
            what, limit = {
                "fanout-60": ("1,000 members, 60 msg/s, vs plain Starlette", 0.45),
                "fanout-600": ("1,000 members, 600 msg/s, vs plain Starlette", 0.15),
                "burst": (f"1,000 members, {_BURSTS} bursts of 3,000 msg, vs plain Starlette", 0.03),
            }[name]
            detail = f"{ours_us:.3f} µs of server CPU per delivery, plain Starlette at 60 msg/s {plain_us:.2f} µs"
            self._results.rows.append(Row(name, what, ours_us / plain_us, "x", limit, detail))

    def rooms(self, wanted: set[str]) -> None:
        """1,000 connections in rooms of 10, 2,000 msg/s with acks, against Socket.IO with its Redis adapter."""
        windows = ["paced:2000:20000"]
        with ExitStack() as stack:
            behind = stack.enter_context(redis(self._place))
            server = stack.enter_context(c2c(self._place, behind))
            ours = self.c2c_load("c2c-rooms", server, 1_000, windows, rooms=100, behind=behind)
        ours_us = _us_per_message(ours.windows)
        what = "100 rooms of 10, 2,000 msg/s with acks, vs Socket.IO 4"
        try:
            with ExitStack() as stack:
                behind = stack.enter_context(redis(self._place))
                server = stack.enter_context(socketio(self._place, behind))
                theirs = self.load("socketio", server, 1_000, windows, dialect="socketio", rooms=100, behind=behind)
        except Missing as missing:
            detail = f"Socket.IO skipped: {missing}; c2c {ours_us:.0f} µs per message"
            self._results.rows.append(Row("rooms", what, None, "x", 1.2, detail, skipped=True))
            return
        theirs_us = _us_per_message(theirs.windows)
        detail = (
            f"server CPU per message, delivered to 10 and acked: c2c with its log {ours_us:.0f} µs, "
            f"Socket.IO without one {theirs_us:.0f} µs; "
            f"Redis {_us_per_message(ours.windows, 'redis'):.0f} and "
            f"{_us_per_message(theirs.windows, 'redis'):.0f} µs"
        )
        self._results.rows.append(Row("rooms", what, ours_us / theirs_us, "x", 1.2, detail))

    def members(self, wanted: set[str]) -> None:
        """5,000 members in 500 rooms: how fast they come in, and what they cost when nobody says a word."""
        windows = ["idle:24"] if "idle" in wanted else []
        with ExitStack() as stack:
            behind = stack.enter_context(redis(self._place))
            server = stack.enter_context(c2c(self._place, behind))
            self.c2c_load("warm-up", server, 100, [], rooms=10)
            run = self.c2c_load("c2c-members", server, 5_000, windows, rooms=500, behind=behind)
        if "idle" in wanted:
            self._idle_rows(run)
        if "join" in wanted:
            cpu = run.open_cpu_s
            detail = (
                f"{run.connections:,} in {run.open_s:.2f} s, 64 at a time: TCP, upgrade, `join` with token, `joined`; "
                f"CPU: node {cpu['server']:.2f} s, Redis {cpu['redis']:.2f} s, load {cpu['load']:.2f} s"
            )
            per_s = run.connections / run.open_s
            self._results.rows.append(
                Row("join", "connect + sign-in + join, one node", per_s, "/s", 1_000, detail, at_least=True)
            )

    def _idle_rows(self, run: Report) -> None:
        (window,) = run.windows
        share = {name: 100 * seconds / window.seconds for name, seconds in window.cpu_s.items()}
        grown = window.resident_bytes["server"] - run.resident_before_bytes["server"]
        detail = (
            f"over {window.seconds:.0f} s; the node's WebSocket pings are answered, no `ping` of the protocol is sent, "
            f"and {window.frames:,} data frames came"
        )
        what = "5,000 idle members in 500 rooms:"
        self._results.rows += [
            Row("idle", f"{what} node", share["server"], "% of a core", 8, detail),
            Row("idle", f"{what} Redis", share["redis"], "% of a core", 4, ""),
            Row("idle", f"{what} memory", grown / run.connections / 1024, "KB per connection", 24, ""),
        ]

    def presence(self, wanted: set[str]) -> None:
        """10,000 signed in on two nodes, and half as many: what they cost, and that it grows no faster than they do."""
        few, many = (measure(self._place, users) for users in _SIGNED_IN)
        self._results.notes += [
            f"{cost.users:,} signed in on two nodes, CPU per tick of 250 ms: each node {cost.node_ms:.2f} ms (with the "
            f"pings of its connections), Redis {cost.redis_ms:.2f} ms; {cost.user_bytes:,.0f} bytes of Redis each; "
            f"first page of 500 {cost.page_ms:.1f} ms, summary {cost.summary_ms:.1f} ms"
            for cost in (few, many)
        ]
        what = f"{many.users:,} signed in on two nodes:"
        self._results.rows += [
            Row("presence", f"{what} CPU of a node per tick", many.node_ms, "ms", 25, ""),
            Row("presence", f"{what} CPU of Redis per tick", many.redis_ms, "ms", 10, ""),
            Row("presence", f"{what} a node, vs half of them", many.node_ms / few.node_ms, "x", 2.5, ""),
            Row("presence", f"{what} Redis, vs half of them", many.redis_ms / few.redis_ms, "x", 2.5, ""),
            Row("presence", f"{what} Redis memory", many.user_bytes, "bytes per user", 1_200, ""),
            Row("presence", f"{what} page of 500, vs half of them", many.page_ms / few.page_ms, "x", 1.5, ""),
            Row("presence", f"{what} summary, vs half of them", many.summary_ms / few.summary_ms, "x", 1.5, ""),
        ]

    def lineup(self, wanted: set[str]) -> None:
        """20 editors on two nodes, 100 edits/s in a table of 2,000 rows; and an hour of editing for who looks on."""
        _say(f"lineup: {lineup.EDITORS} editors on two nodes, {lineup.EDITS_PER_S} edits/s")
        cost = lineup.measure(self._place)
        detail = f"p50 {cost.p50_ms:.1f} ms; CPU of an edit: nodes {cost.node_us:.0f} µs, Redis {cost.redis_us:.0f} µs"
        self._results.rows.append(
            Row("lineup", "edit to every client, two nodes, 100 edits/s, p99", cost.p99_ms, "ms", 50, detail)
        )
        if cost.others > _NOISE:
            self._results.notes.append(f"NOISY: other processes used {cost.others:.0%} of a core at lineup")
        share = 100 * cost.pushed_bytes / cost.polled_bytes
        detail = (
            f"{cost.pushed_bytes / 1024:,.0f} KB for the join, {lineup.HOUR_EDITS} edits and heartbeats; polling the "
            f"same table every 2 s {cost.polled_bytes / 1024:,.0f} KB"
        )
        self._results.rows.append(Row("lineup", "bytes of an hour, vs polling", share, "%", 1, detail))


Group = Callable[[Bench, set[str]], None]

GROUPS: Final[dict[Group, tuple[str, ...]]] = {
    Bench.fan_out: ("fanout-60", "fanout-600", "burst"),
    Bench.rooms: ("rooms",),
    Bench.members: ("idle", "join"),
    Bench.presence: ("presence",),
    Bench.lineup: ("lineup",),
}
NAMES: Final = tuple(name for names in GROUPS.values() for name in names)


def run_all(place: Place, results: Results, wanted: set[str]) -> None:
    """Every group that a wanted case belongs to. One that cannot be measured fails, and the next goes on."""
    bench = Bench(place, results)
    for group, names in GROUPS.items():
        if chosen := wanted.intersection(names):
            try:
                group(bench, chosen)
            except (BenchError, OSError) as error:
                results.problems.append(f"{', '.join(sorted(chosen))}: {error}")


def _us_per_delivery(windows: list[Measured]) -> float:
    """Server CPU per event that reached a member. Acks are not counted: they are the server's own affair."""
    deliveries = sum(window.frames - window.messages for window in windows)
    if deliveries <= 0:
        raise BenchError("nothing was delivered")
    cpu_s = sum(window.cpu_s["server"] for window in windows)
    return 1e6 * cpu_s / deliveries


def _us_per_message(windows: list[Measured], process: str = "server") -> float:
    """CPU per message, in windows that have delivered and acked all of them."""
    cpu_s = sum(window.cpu_s[process] for window in windows)
    messages = sum(window.messages for window in windows)
    return 1e6 * cpu_s / messages


def _rate(window: Measured) -> str:
    return f"{window.rate_per_s:.0f} msg/s" if window.rate_per_s else f"a burst of {window.messages:,}"


def _told(window: Measured) -> str:
    """What a window says beside its CPU: latency, duration, and what the load generator itself cost."""
    frames = max(1, window.frames)
    cpu = window.cpu_s
    told = f"{window.seconds:.1f} s, {frames / window.seconds:,.0f} frames/s, server {cpu['server']:.2f} s CPU"
    if window.latency_p50_ms is not None:
        told += f", latency p50 {window.latency_p50_ms:.1f} ms, p99 {window.latency_p99_ms:.1f} ms"
    if window.late_p99_ms is not None:
        told += f" (sends late by p99 {window.late_p99_ms:.1f} ms)"
    return f"{told}; load {1e6 * cpu['load'] / frames:.2f} µs CPU per frame"


def _say(text: str) -> None:
    print(f"bench: {text}", file=sys.stderr, flush=True)
