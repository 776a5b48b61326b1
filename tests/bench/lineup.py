"""A line-up on two nodes: how long an edit takes to reach all editors, and what one of them receives in an hour."""

from __future__ import annotations

import http.client
import json
import time
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Final

from websockets.sync.client import ClientConnection, connect

from tests.bench.dialects import C2C, Event, Refused
from tests.bench.fleet import Fleet, Seat
from tests.bench.processes import BenchError, busy_s, cpu_s
from tests.bench.servers import Place, Server, c2c, redis

ROOM: Final = "retreat-bench"
ROWS: Final = 2_000
EDITORS: Final = 20
EDITS_PER_S: Final = 100
HOUR_EDITS: Final = 300
_HOUR_S: Final = 3_600
_POLL_S: Final = 2
_HEARTBEAT_S: Final = 10
_WARM_UP_S: Final = 3.0
_MEASURE_S: Final = 20.0
_ARRIVE_WITHIN_S: Final = 10.0
_OPEN_WITHIN_S: Final = 60.0
_CLOSE_WITHIN_S: Final = 10.0
_HTTP_TIMEOUT_S: Final = 30.0
_LONG_FRAME: Final = 65_536
_SHORT_FRAME: Final = 126


class Editing(C2C):
    """Joins a line-up and writes numbers. When a command was sent stands in its id, which its event carries as `by`."""

    def message(self, room: str, number: int, text: str) -> bytes:
        row, group = number % ROWS + 1, number % 999
        return b'{"t":"update-gbs-number","id":"%b","lineupId":%d,"gbsNumber":%d}' % (text.encode(), row, group)

    def event(self, payload: bytes) -> Event | None:
        frame = json.loads(payload)
        if frame["t"] == "ack":
            return None
        if frame["t"] not in ("lineup-updated", "user_joined", "user_left"):
            raise Refused(payload.decode())
        return Event(frame["seq"], frame.get("by"))


@dataclass(frozen=True, slots=True)
class LineupCost:
    """Push latency client to client in ms, CPU of an edit in µs, and bytes that one client receives in an hour.

    `others`: cores that processes which are none of ours used meanwhile.
    """

    p50_ms: float
    p99_ms: float
    node_us: float
    redis_us: float
    pushed_bytes: int
    polled_bytes: int
    others: float


def measure(place: Place) -> LineupCost:
    """Edit on two nodes for a while. Raises BenchError."""
    with ExitStack() as stack:
        behind = stack.enter_context(redis(place))
        nodes = [stack.enter_context(c2c(place, behind)) for _ in range(2)]
        _import(nodes[0])
        pushed, polled = _hour(nodes)
        fleets = [Fleet(node.port, Editing(), watch_every=1) for node in nodes]
        for index, fleet in enumerate(fleets):
            seats = [Seat(f"editor{number:02}", ROOM) for number in range(index, EDITORS, 2)]
            fleet.open(seats, in_flight=4, within_s=_OPEN_WITHIN_S)
        _edit(fleets, _WARM_UP_S, first=1)
        for fleet in fleets:
            fleet.seen.latencies_ns.clear()
        processes = [behind, *nodes]
        before = [cpu_s(process.pid) for process in processes]
        busy_before_s, own_before_s = busy_s(), time.process_time()
        edits = _edit(fleets, _MEASURE_S, first=ROWS)
        others_s = busy_s() - busy_before_s - (time.process_time() - own_before_s)
        redis_s, *nodes_s = [cpu_s(process.pid) - earlier for process, earlier in zip(processes, before, strict=True)]
        latencies = sorted(latency for fleet in fleets for latency in fleet.seen.latencies_ns)
        for fleet in fleets:
            fleet.close(_CLOSE_WITHIN_S)
            if fleet.problems:
                raise BenchError(f"not all went well: {fleet.problems}")
    if len(latencies) != edits * EDITORS:
        raise BenchError(f"{len(latencies):,} events instead of {edits * EDITORS:,}")
    p50_ms, p99_ms = (latencies[int(len(latencies) * share)] / 1e6 for share in (0.50, 0.99))
    others = max(0.0, others_s - sum(nodes_s) - redis_s) / _MEASURE_S
    return LineupCost(p50_ms, p99_ms, 1e6 * sum(nodes_s) / edits, 1e6 * redis_s / edits, pushed, polled, others)


def _import(node: Server) -> None:
    rows = [
        {
            "lineupId": number,
            "name": f"participant {number}",
            "church": f"campus {number % 60}",
            "year": str(number % 4),
        }
        for number in range(1, ROWS + 1)
    ]
    _call(node, "PUT", f"/api/rooms/{ROOM}/lineups", json.dumps({"rows": rows}))


def _call(node: Server, method: str, path: str, body: str | None = None) -> bytes:
    connection = http.client.HTTPConnection("127.0.0.1", node.port, timeout=_HTTP_TIMEOUT_S)
    try:
        connection.request(method, path, body, {"Content-Type": "application/json"})
        answer = connection.getresponse()
        found = answer.read()
    finally:
        connection.close()
    if answer.status != 200:
        raise BenchError(f"{method} {path}: {answer.status} {found[:200]!r}")
    return found


def _edit(fleets: list[Fleet], seconds: float, first: int) -> int:
    """Editors of both nodes in turns, by the timetable, until everybody has got everything; how many edits."""
    edits = int(seconds * EDITS_PER_S)
    goal = sum(len(fleet.seen.latencies_ns) for fleet in fleets) + edits * EDITORS
    started_ns = time.monotonic_ns()
    deadline_s = time.monotonic() + seconds + _ARRIVE_WITHIN_S
    sent = 0
    while sum(len(fleet.seen.latencies_ns) for fleet in fleets) < goal:
        now_ns = time.monotonic_ns()
        if sent < edits and started_ns + sent * 1_000_000_000 // EDITS_PER_S <= now_ns:
            number = first + sent
            fleets[number % 2].say(number // 2 % (EDITORS // 2), number, f"{now_ns} {number}")
            sent += 1
        for fleet in fleets:
            fleet.read(0.0005)
        if time.monotonic() > deadline_s:
            raise BenchError("the last edits do not arrive")
    return edits


def _hour(nodes: list[Server]) -> tuple[int, int]:
    """Bytes that one client receives in an hour of editing by others: pushed (its join, the edits and its heartbeats
    included), and polled."""
    polled = len(_call(nodes[0], "GET", f"/api/rooms/{ROOM}/lineups")) * _HOUR_S // _POLL_S
    with connect(f"ws://127.0.0.1:{nodes[1].port}/ws", max_size=None, compression=None) as client:
        client.send(json.dumps({"t": "join", "roomId": ROOM, "token": "looker"}))
        pushed = _until(client, "joined")
        client.send('{"t":"ping"}')
        pushed += _until(client, "pong") * (_HOUR_S // _HEARTBEAT_S)
        for number in range(HOUR_EDITS):
            command = {"t": "update-gbs-number", "lineupId": number * 7 % ROWS + 1, "gbsNumber": number % 30}
            _call(nodes[0], "POST", f"/api/rooms/{ROOM}/events", json.dumps(command))
            pushed += _until(client, "lineup-updated")
    return pushed, polled


def _until(client: ClientConnection, t: str) -> int:
    """Bytes of the frames up to one of this type, headers included."""
    received = 0
    while True:
        frame = client.recv(_ARRIVE_WITHIN_S, decode=False)
        received += len(frame) + (2 if len(frame) < _SHORT_FRAME else 4 if len(frame) < _LONG_FRAME else 10)
        if json.loads(frame)["t"] == t:
            return received
