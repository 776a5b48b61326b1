"""The load generator, a process of its own: `python -m tests.bench.load`; prints one JSON report.

It opens the members, then runs windows one after the other. Before each it waits until nothing moves and warms up with
the same kind of load; around each it reads the CPU time of the processes it was told to watch. Sending follows a
timetable (open loop): a slow server gets no easier load, and who is late catches up.
"""

from __future__ import annotations

import argparse
import gc
import json
import math
import os
import sys
import time
from dataclasses import asdict, dataclass, field
from typing import Final, Self

from tests.bench.dialects import DIALECTS, Refused
from tests.bench.fleet import BATCH_S, Fleet, Seat, Seen
from tests.bench.processes import BenchError, busy_s, cpu_s, raise_open_files, resident_bytes

_QUIET_S: Final = 0.3
_QUIET_WITHIN_S: Final = 30.0
_LATE_S: Final = 30.0
_OPEN_WITHIN_S: Final = 90.0
_CLOSE_WITHIN_S: Final = 10.0
_WARM_UP_S: Final = 2.0
_SETTLE_S: Final = 6.0
_SENDS_AT_ONCE: Final = 64
_TEXT_CHARS: Final = 64


@dataclass(frozen=True, slots=True)
class Window:
    """One thing to measure: `messages` at a rate, as fast as possible (rate 0), or nothing for some seconds."""

    rate_per_s: float
    messages: int
    idle_s: float = 0.0

    @classmethod
    def parse(cls, text: str) -> Self:
        """`paced:RATE:MESSAGES`, `burst:MESSAGES` or `idle:SECONDS`."""
        match text.split(":"):
            case ["paced", rate, messages]:
                return cls(float(rate), int(messages))
            case ["burst", messages]:
                return cls(0.0, int(messages))
            case ["idle", seconds]:
                return cls(0.0, 0, float(seconds))
        raise argparse.ArgumentTypeError(f"not a window: {text}")

    @property
    def warm_up(self) -> Window:
        """The same for a short while."""
        if self.idle_s:
            return Window(0.0, 0, _SETTLE_S)
        return Window(self.rate_per_s, math.ceil(self.rate_per_s * _WARM_UP_S) or self.messages // 3)


@dataclass(slots=True)
class Measured:
    """What a window gave. `frames` are events and acks; `expected` is what they must be when nothing is lost.

    `others_cpu_s`: what processes that are none of ours used meanwhile, on all cores.
    """

    rate_per_s: float
    messages: int
    seconds: float
    frames: int
    expected: int
    cpu_s: dict[str, float]
    others_cpu_s: float
    resident_bytes: dict[str, int]
    watched_events: int
    latency_p50_ms: float | None
    latency_p99_ms: float | None
    late_p99_ms: float | None


@dataclass(slots=True)
class Report:
    """All of a run."""

    connections: int
    open_s: float
    open_cpu_s: dict[str, float]
    resident_before_bytes: dict[str, int]
    windows: list[Measured] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    @classmethod
    def from_json(cls, text: str) -> Self:
        """What `main` printed."""
        fields = json.loads(text)
        return cls(**{**fields, "windows": [Measured(**window) for window in fields["windows"]]})


class Load:
    """A fleet and its timetable."""

    def __init__(self, fleet: Fleet, seats: list[Seat], senders: int, pids: dict[str, int]) -> None:
        self._fleet = fleet
        self._seats = seats
        self._senders = senders
        self._pids = pids
        self._sent = 0
        self._lateness_ns: list[int] = []

    def run(self, windows: list[Window], in_flight: int) -> Report:
        """Everything, in order. Raises BenchError or Refused when nothing useful can be said."""
        before = {name: resident_bytes(pid) for name, pid in self._pids.items()}
        cpu_before = self._cpu_s()
        seconds = self._fleet.open(self._seats, in_flight, _OPEN_WITHIN_S)
        report = Report(len(self._seats), seconds, self._cpu_since(cpu_before), before)
        for window in windows:
            self._run(window.warm_up)
            report.windows.append(self._run(window))
        if self._fleet.closed:
            self._fleet.problems.append(f"{self._fleet.closed} connections lost")
        report.problems = list(self._fleet.problems)
        self._fleet.close(_CLOSE_WITHIN_S)
        return report

    def _run(self, window: Window) -> Measured:
        self._quiet()
        fleet = self._fleet
        fleet.seen = Seen()
        self._lateness_ns.clear()
        frames_before, cpu_before, busy_before_s, started_s = fleet.frames, self._cpu_s(), busy_s(), time.monotonic()
        if window.idle_s:
            expected = 0
            while time.monotonic() < started_s + window.idle_s:
                fleet.read(BATCH_S)
        else:
            expected = window.messages * (self._members_per_room + 1)
            self._send_all(window, started_s, frames_before + expected)
        seconds, cpu = time.monotonic() - started_s, self._cpu_since(cpu_before)
        latencies = sorted(fleet.seen.latencies_ns)
        return Measured(
            rate_per_s=window.rate_per_s,
            messages=window.messages,
            seconds=seconds,
            frames=fleet.frames - frames_before,
            expected=expected,
            cpu_s=cpu,
            others_cpu_s=max(0.0, busy_s() - busy_before_s - sum(cpu.values())),
            resident_bytes={name: resident_bytes(pid) for name, pid in self._pids.items()},
            watched_events=fleet.seen.events,
            latency_p50_ms=_percentile_ms(latencies, 0.50),
            latency_p99_ms=_percentile_ms(latencies, 0.99),
            late_p99_ms=_percentile_ms(sorted(self._lateness_ns), 0.99),
        )

    @property
    def _members_per_room(self) -> int:
        return len(self._seats) // len({seat.room for seat in self._seats})

    def _send_all(self, window: Window, started_s: float, goal: int) -> None:
        """Send by the timetable and read until everything is here, or for so long that it never will be."""
        fleet = self._fleet
        step_ns = int(1e9 / window.rate_per_s) if window.rate_per_s else 0
        started_ns = time.monotonic_ns()
        deadline_s = started_s + step_ns * window.messages / 1e9 * 3 + _LATE_S
        sent = 0
        while fleet.frames < goal or sent < window.messages:
            now_ns = time.monotonic_ns()
            for _ in range(_SENDS_AT_ONCE):
                if sent == window.messages or (due_ns := started_ns + sent * step_ns) > now_ns:
                    break
                self._say(now_ns)
                if step_ns:
                    self._lateness_ns.append(now_ns - due_ns)
                now_ns = time.monotonic_ns()
                sent += 1
            wait_s = BATCH_S
            if sent < window.messages:
                wait_s = max(0.0, min(wait_s, (started_ns + sent * step_ns - now_ns) / 1e9))
            fleet.read(wait_s)
            if fleet.closed == len(self._seats):
                raise BenchError("the server hung up on everybody")
            if time.monotonic() > deadline_s:
                return

    def _say(self, now_ns: int) -> None:
        self._sent += 1
        text = f"{now_ns} {self._sent} ".ljust(_TEXT_CHARS, "x")
        self._fleet.say(self._sent % self._senders, self._sent, text)

    def _quiet(self) -> None:
        """Wait until no frame has come for a while."""
        fleet = self._fleet
        deadline_s = time.monotonic() + _QUIET_WITHIN_S
        frames, since_s = fleet.frames, time.monotonic()
        while (now_s := time.monotonic()) < since_s + _QUIET_S:
            fleet.read(BATCH_S)
            if fleet.frames != frames:
                frames, since_s = fleet.frames, time.monotonic()
            if now_s > deadline_s:
                raise BenchError(f"the server does not come to rest within {_QUIET_WITHIN_S:.0f} s")

    def _cpu_s(self) -> dict[str, float]:
        return {"load": time.process_time(), **{name: cpu_s(pid) for name, pid in self._pids.items()}}

    def _cpu_since(self, before: dict[str, float]) -> dict[str, float]:
        return {name: seconds - before[name] for name, seconds in self._cpu_s().items()}


def _percentile_ms(ordered_ns: list[int], share: float) -> float | None:
    return ordered_ns[min(len(ordered_ns) - 1, int(len(ordered_ns) * share))] / 1e6 if ordered_ns else None


def seats_of(prefix: str, rooms: int, members: int) -> list[Seat]:
    """Members spread evenly over rooms, going round: the first member of each room comes first."""
    return [Seat(f"{prefix}-m{index}", f"{prefix}-{index % rooms}") for index in range(members)]


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.load", description=__doc__)
    parser.add_argument("--dialect", choices=sorted(DIALECTS), default="c2c")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--prefix", default="bench", help="rooms are PREFIX-0 …, members PREFIX-m0 …")
    parser.add_argument("--rooms", type=int, default=1)
    parser.add_argument("--members", type=int, default=10, help="in all rooms together")
    parser.add_argument("--senders", type=int, help="members that take turns in sending (default: all)")
    parser.add_argument("--in-flight", type=int, default=64, help="members on the way in at a time")
    parser.add_argument("--watch-every", type=int, default=100, help="one in so many is read in full")
    parser.add_argument("--window", type=Window.parse, action="append", default=[], help=Window.parse.__doc__)
    parser.add_argument("--pid", action="append", default=[], metavar="NAME=PID", help="a process to account for")
    return parser.parse_args()


def main() -> int:
    """Run, and print the report."""
    arguments = _arguments()
    raise_open_files()
    # A collection in the middle of a window would be seen as latency of the server.
    gc.disable()
    pids = {name: int(pid) for name, _, pid in (item.partition("=") for item in arguments.pid)}
    seats = seats_of(arguments.prefix, arguments.rooms, arguments.members)
    fleet = Fleet(arguments.port, DIALECTS[arguments.dialect](), arguments.watch_every)
    load = Load(fleet, seats, arguments.senders or len(seats), pids)
    try:
        report = load.run(arguments.window, arguments.in_flight)
    except (BenchError, Refused, OSError) as error:
        print(f"load: {error}", file=sys.stderr)
        return 1
    json.dump(asdict(report), sys.stdout)
    print()
    return 0


if __name__ == "__main__":
    # Not `sys.exit`: closing thousands of sockets one by one is nobody's gain.
    code = main()
    sys.stdout.flush()
    os._exit(code)
