"""Thousands of members in one process, cheap enough that the server is the bottleneck.

Most members are only counted: their sockets are read in batches, some 33 ms apart, and their frames counted by the
headers. About one in a hundred is watched: read as soon as something is there, decoded in full, its seqs checked and
its latencies kept. Raw sockets and epoll; nothing here is asynchronous, nothing has a queue that grows.
"""

from __future__ import annotations

import base64
import hashlib
import os
import select
import socket
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Final

from tests.bench.dialects import Dialect, Joined
from tests.bench.frames import CLOSE, PING, PONG, TEXT, Frame, FrameCounter, FrameReader, client_frame
from tests.bench.processes import BenchError

# Between one message at 60 msg/s and the 40 ms after which the kernel acknowledges by itself, on the server's account.
BATCH_S: Final = 0.033
_READ_BYTES: Final = 65_536
_HANDFUL: Final = 64
_CONNECT_S: Final = 5.0
_PROBLEMS: Final = 20
_ACCEPT_GUID: Final = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_NORMAL_CLOSURE: Final = (1000).to_bytes(2, "big")


@dataclass(frozen=True, slots=True)
class Seat:
    """A member to be: a name and a room."""

    member: str
    room: str


class _Guest:
    """A member on the way in: TCP, upgrade, then whatever the dialect wants before one is in the room."""

    def __init__(self, seat: Seat, port: int, dialect: Dialect) -> None:
        self.seat = seat
        self.reader = FrameReader()
        self._dialect = dialect
        self._upgraded = False
        self._answer = b""
        self._key = base64.b64encode(os.urandom(16))
        self.socket = socket.create_connection(("127.0.0.1", port), _CONNECT_S)
        self.socket.setblocking(False)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.send(
            b"GET %b HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Key: %b\r\nSec-WebSocket-Version: 13\r\n\r\n" % (dialect.path.encode(), port, self._key)
        )

    def read(self) -> tuple[Joined | None, list[Frame]]:
        """Go on with what has come. The frames behind the one that let us in are nobody's business but the caller's."""
        data = self.socket.recv(_READ_BYTES)
        if not data:
            raise BenchError(f"{self.seat}: connection closed on the way in")
        if not self._upgraded:
            self._answer += data
            head, found, data = self._answer.partition(b"\r\n\r\n")
            if not found:
                return None, []
            self._check_upgrade(head)
            self._upgraded = True
            self._say(self._dialect.greet(self.seat.member, self.seat.room))
        frames = self.reader.feed(data)
        for at, (opcode, payload) in enumerate(frames):
            if opcode == CLOSE:
                raise BenchError(f"{self.seat}: closed on the way in: {payload!r}")
            if opcode == PING:
                self.socket.send(client_frame(payload, PONG))
            elif opcode == TEXT:
                step = self._dialect.enter(payload, self.seat.member, self.seat.room)
                if isinstance(step, Joined):
                    return step, frames[at + 1 :]
                self._say(step)
        return None, []

    def _check_upgrade(self, head: bytes) -> None:
        accept = base64.b64encode(hashlib.sha1(self._key + _ACCEPT_GUID, usedforsecurity=False).digest())
        if not head.startswith(b"HTTP/1.1 101 ") or accept not in head:
            raise BenchError(f"{self.seat}: no upgrade: {head[:200]!r}")

    def _say(self, payload: bytes | None) -> None:
        if payload is not None:
            self.socket.send(client_frame(payload))


@dataclass(slots=True, eq=False)
class _Watched:
    """A member whose frames are read in full."""

    seat: Seat
    socket: socket.socket
    reader: FrameReader
    seq: int


@dataclass
class Seen:
    """What the watched members saw since it was last cleared."""

    latencies_ns: list[int] = field(default_factory=list)
    events: int = 0


class Fleet:
    """All members. `frames` counts the data frames that everybody received since they were let in."""

    def __init__(self, port: int, dialect: Dialect, watch_every: int) -> None:
        self.frames = 0
        self.closed = 0
        self.seen = Seen()
        self.problems: list[str] = []
        self.seats: list[Seat] = []
        self._port = port
        self._dialect = dialect
        self._watch_every = watch_every
        self._prompt = select.epoll()
        self._batch = select.epoll()
        self._round = 0  # handfuls left in this round through the counted
        self._round_due_s = 0.0
        self._sockets: list[socket.socket] = []
        self._counted: dict[int, tuple[Callable[[int], bytes], FrameCounter, socket.socket]] = {}
        self._watched: dict[int, _Watched] = {}
        self._blocked: dict[int, bytes] = {}
        self._memo = b""
        self._memo_count = 0

    # Coming and going

    def open(self, seats: Sequence[Seat], in_flight: int, within_s: float) -> float:
        """Let everybody in, `in_flight` at a time; the seconds it took. Raises BenchError."""
        started_s = time.monotonic()
        arriving = select.epoll()
        guests: dict[int, _Guest] = {}
        queue = iter(seats)
        while True:
            for seat in islice(queue, in_flight - len(guests)):
                guest = _Guest(seat, self._port, self._dialect)
                guests[guest.socket.fileno()] = guest
                arriving.register(guest.socket, select.EPOLLIN)
            if not guests:
                break
            if time.monotonic() - started_s > within_s:
                raise BenchError(f"{len(self.seats)} of {len(seats)} members within {within_s:.0f} s")
            for descriptor, _ in arriving.poll(BATCH_S):
                guest = guests[descriptor]
                joined, frames = guest.read()
                if joined is not None:
                    arriving.unregister(descriptor)
                    del guests[descriptor]
                    self._admit(guest, joined, frames)
            self.read(0.0)
        arriving.close()
        return time.monotonic() - started_s

    def _admit(self, guest: _Guest, joined: Joined, frames: list[Frame]) -> None:
        index = len(self.seats)
        descriptor = guest.socket.fileno()
        self.seats.append(guest.seat)
        self._sockets.append(guest.socket)
        # Seats go round the rooms; a step more each time, lest all who are watched sit in the same room.
        if index % self._watch_every == index // self._watch_every % self._watch_every:
            watched = _Watched(guest.seat, guest.socket, guest.reader, joined.seq)
            self._watched[descriptor] = watched
            self._prompt.register(descriptor, select.EPOLLIN)
            self._look_at(watched, frames)
        else:
            counter = FrameCounter(guest.reader.rest)
            self._counted[descriptor] = (guest.socket.recv, counter, guest.socket)
            self._batch.register(descriptor, select.EPOLLIN)
            for opcode, payload in frames:
                if opcode & CLOSE:
                    self._answer(guest.socket, (opcode, payload))
                else:
                    self.frames += 1

    def close(self, within_s: float) -> None:
        """Say goodbye to the server and wait, within bounds, until it has said so too."""
        goodbye = client_frame(_NORMAL_CLOSURE, CLOSE)
        for member in self._sockets:
            try:
                member.send(goodbye)
            except OSError:
                continue
        deadline_s = time.monotonic() + within_s
        while self._counted or self._watched:
            if time.monotonic() > deadline_s:
                break
            self.read(BATCH_S)
        for member in self._sockets:
            member.close()

    # Reading

    def read(self, wait_s: float) -> None:
        """Read what the watched have, waiting for it at most so long; and, of those whose turn it is, a handful.

        Returns soon whatever comes, so that a timetable can be kept: a round through all the counted, one each
        `BATCH_S`, takes many calls.
        """
        self._read_watched(0.0 if self._round else wait_s)
        now_s = time.monotonic()
        if not self._round and now_s >= self._round_due_s:
            self._round = len(self._counted) // _HANDFUL + 1
            self._round_due_s = now_s + BATCH_S
        if self._round:
            descriptors = self._batch.poll(0, _HANDFUL)
            self._round = self._round - 1 if descriptors else 0
            self._read_counted(descriptors)
        if self._blocked:
            self._unblock()

    def _read_counted(self, descriptors: Iterable[tuple[int, int]]) -> None:
        counted = self._counted
        for descriptor, _ in descriptors:
            receive, counter, member = counted[descriptor]
            try:
                data = receive(_READ_BYTES)
            except BlockingIOError:
                continue
            except OSError:
                data = b""
            if not data:
                self._gone(descriptor)
                continue
            fresh = counter.at_boundary
            if fresh and data == self._memo:
                # The same bytes as somebody else had: members of a room get the same, and comparing is nearly free.
                self.frames += self._memo_count
                continue
            count = counter.feed(data)
            self.frames += count
            if counter.asides:
                for aside in counter.asides:
                    self._answer(member, aside)
                counter.asides.clear()
            elif fresh and counter.at_boundary:
                self._memo, self._memo_count = data, count

    def _read_watched(self, wait_s: float) -> None:
        for descriptor, _ in self._prompt.poll(wait_s):
            watched = self._watched[descriptor]
            try:
                data = watched.socket.recv(_READ_BYTES)
            except BlockingIOError:
                continue
            except OSError:
                data = b""
            if data:
                self._look_at(watched, watched.reader.feed(data))
            else:
                self._gone(descriptor)

    def _look_at(self, watched: _Watched, frames: list[Frame]) -> None:
        now_ns = time.monotonic_ns()
        for opcode, payload in frames:
            if opcode & CLOSE or payload == self._dialect.ping:
                self._answer(watched.socket, (opcode, payload))
                continue
            self.frames += 1
            event = self._dialect.event(payload)
            if event is None:
                continue
            if event.seq != watched.seq + 1:
                self._complain(f"{watched.seat}: seq {event.seq} after {watched.seq}")
            watched.seq = event.seq
            self.seen.events += 1
            if event.text is not None:
                self.seen.latencies_ns.append(now_ns - int(event.text.split(" ", 1)[0]))

    def _answer(self, member: socket.socket, aside: Frame) -> None:
        opcode, payload = aside
        if opcode == PING:
            self._send(member, client_frame(payload, PONG))
        elif opcode == TEXT and payload == self._dialect.ping:
            self._send(member, client_frame(self._dialect.pong))
        elif opcode == CLOSE and payload[:2] != _NORMAL_CLOSURE:
            self._complain(f"closed by the server: {int.from_bytes(payload[:2], 'big')} {payload[2:]!r}")

    def _gone(self, descriptor: int) -> None:
        self.closed += 1
        if self._counted.pop(descriptor, None) is not None:
            self._batch.unregister(descriptor)
        if self._watched.pop(descriptor, None) is not None:
            self._prompt.unregister(descriptor)

    def _complain(self, problem: str) -> None:
        if len(self.problems) < _PROBLEMS:
            self.problems.append(problem)

    # Sending

    def say(self, index: int, number: int, text: str) -> None:
        """A message from the member of this index to its room."""
        self._send(self._sockets[index], client_frame(self._dialect.message(self.seats[index].room, number, text)))

    def _send(self, member: socket.socket, frame: bytes) -> None:
        descriptor = member.fileno()
        if descriptor in self._blocked:
            self._blocked[descriptor] += frame
            return
        try:
            sent = member.send(frame)
        except BlockingIOError:
            sent = 0
        except OSError:
            return  # gone, and the next read notices
        if sent < len(frame):
            self._blocked[descriptor] = frame[sent:]

    def _unblock(self) -> None:
        """Try again what a socket did not take. Bounded by the timetable: it sends a known number of messages."""
        blocked, self._blocked = self._blocked, {}
        for member in self._sockets:
            if rest := blocked.get(member.fileno()):
                self._send(member, rest)
