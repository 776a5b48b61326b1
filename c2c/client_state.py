"""What the client remembers, decides and says: positions, members, delays, errors. No I/O and no clock.

The client (`c2c.client`) asks here and does the waiting; so every decision can be tested without a server.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any, Final, TypeAlias

from c2c.errors import CloseCode
from c2c.events import Position

_ATTEMPTS_COUNTED: Final = 16
_SPACING_GROWTH: Final = 1.1
_PRESENCE: Final = "presence"


class ClientError(Exception):
    """What the client raises.

    ClientError
    ├── NotConnected      the first connection did not come about in time
    ├── Stopped           the server wants no more of this client, or its token is worth nothing
    ├── CommandFailed     the server refused a command or a join
    ├── NotAcknowledged   no answer by the deadline: whether the command was carried out is unknown
    ├── EventsOverflowed  a stream was not read for too long
    └── Closed            the client was closed, or the room was left
    """


class EventsOverflowed(ClientError):
    """More than `limit` events waited for a reader. Those were delivered first; what came after them is lost here.

    To go on: leave the room and join it again, for a new state; or ask for a new `client.events()`.
    """

    def __init__(self, limit: int) -> None:
        super().__init__(f"more than {limit} events were waiting to be read")
        self.limit = limit


class Closed(ClientError):
    """The client was closed, or the room was left."""


class NotConnected(ClientError):
    """The first connection did not come about in time; the text says what was in the way."""


class Stopped(ClientError):
    """The client has given up: trying again would not help.

    `code`: the close code (4400, 4401, 4403), or the HTTP status of the refused handshake, or None.
    """

    def __init__(self, code: int | None, reason: str) -> None:
        super().__init__(f"{reason or 'the server closed the connection'} ({code})" if code else reason)
        self.code = code
        self.reason = reason


class CommandFailed(ClientError):
    """The server refused a command.

    `code`: one of the protocol's, such as `ROOM_NOT_FOUND`. `message`: for people. `details`: the other fields of the
    error, for `CONFLICT` for instance `current`.
    """

    def __init__(self, code: str, message: str, details: Mapping[str, Any]) -> None:
        super().__init__(f"{message} ({code})")
        self.code = code
        self.message = message
        self.details = details


class NotAcknowledged(ClientError):
    """No answer by the deadline. Whether the command was carried out is unknown.

    Sending it again with the same `command_id` within 10 minutes is safe: it is carried out once.
    """

    def __init__(self, command_id: str, deadline_s: float, why: str) -> None:
        super().__init__(f"no answer within {deadline_s:g} s: {why}")
        self.command_id = command_id


class AfterClose(Enum):
    """What the end of a connection asks of the client (`docs/protocol.md`, "Closing")."""

    AT_ONCE = auto()
    BACK_OFF = auto()
    FLOOD = auto()
    NEW_TOKEN = auto()
    STOP = auto()


_AFTER_CLOSE: Final[Mapping[int, AfterClose]] = {
    CloseCode.GOING_AWAY: AfterClose.AT_ONCE,
    CloseCode.SERVICE_RESTART: AfterClose.AT_ONCE,
    CloseCode.BAD_FRAMES: AfterClose.STOP,
    CloseCode.KICKED: AfterClose.STOP,
    CloseCode.UNAUTHORIZED: AfterClose.NEW_TOKEN,
    CloseCode.FLOOD: AfterClose.FLOOD,
}


def after_close(code: int | None) -> AfterClose:
    """What a close code asks for; `None`: the connection was cut without one. Unknown codes ask to come back."""
    return AfterClose.BACK_OFF if code is None else _AFTER_CLOSE.get(code, AfterClose.BACK_OFF)


class Backoff:
    """How long to wait before the next connection: exponential with full jitter.

    The n-th attempt in a row waits `random(0, min(cap, base · 2ⁿ))` (M. Brooker, "Exponential Backoff And Jitter",
    AWS Architecture Blog, 2015: of the ways compared there it makes the fewest calls). A connection that was signed in
    for `stable_s` seconds begins the row anew.
    """

    def __init__(
        self,
        base_s: float = 1.0,
        cap_s: float = 30.0,
        stable_s: float = 10.0,
        uniform: Callable[[float, float], float] = random.uniform,
    ) -> None:
        self._base_s = base_s
        self._cap_s = cap_s
        self._stable_s = stable_s
        self._uniform = uniform
        self._attempt = 0

    def delay_s(self, after: AfterClose, lived_s: float) -> float:
        """Seconds to wait. `lived_s`: how long the connection that ended was signed in, 0 if it never was.

        AT_ONCE is jittered over the first second only, so that the clients of a node that stops do not come as one
        wave. FLOOD waits the base time at least: full jitter alone could send it back at once.
        """
        if lived_s >= self._stable_s:
            self._attempt = 0
        if after is AfterClose.AT_ONCE:
            return self._uniform(0, self._base_s)
        ceiling_s = min(self._cap_s, self._base_s * 2**self._attempt)
        self._attempt = min(self._attempt + 1, _ATTEMPTS_COUNTED)
        if after is AfterClose.FLOOD:
            return self._base_s + self._uniform(0, ceiling_s)
        return self._uniform(0, ceiling_s)


class Pacer:
    """Spaces commands once the server has refused one for its rate.

    Without it, a hundred commands sent together would be refused, wait the same time, be refused together again, and
    the connection would be closed for flooding. `RATE_LIMITED` says when the next command would be taken: from the last
    one that was taken until then is the time between two that the server wants. Commands keep that distance until none
    was refused for `calm_s`.
    """

    def __init__(self, calm_s: float = 10.0, spacing_max_s: float = 1.0) -> None:
        self._calm_s = calm_s
        self._spacing_max_s = spacing_max_s
        self._spacing_s = 0.0
        self._next_s = 0.0
        self._taken_s = 0.0
        self._refused_s = 0.0

    def reserve(self, now_s: float) -> float:
        """Take the next place in the row; how many seconds until its turn."""
        if self._spacing_s and now_s - self._refused_s > self._calm_s:
            self._spacing_s = 0.0
        turn_s = max(now_s, self._next_s)
        self._next_s = turn_s + self._spacing_s
        return turn_s - now_s

    def taken(self, now_s: float) -> None:
        """The server took a command."""
        self._taken_s = now_s

    def refused(self, now_s: float, retry_after_s: float) -> None:
        """The server refused a command for its rate and takes the next one in `retry_after_s`."""
        next_s = now_s + retry_after_s
        wanted_s = max(self._spacing_s, next_s - self._taken_s)
        if now_s - self._refused_s > self._spacing_s > 0:  # kept the distance, and still it was too short
            wanted_s = max(wanted_s, self._spacing_s * _SPACING_GROWTH)
        self._spacing_s = min(wanted_s, self._spacing_max_s)
        self._refused_s = now_s
        self._next_s = max(self._next_s, next_s)


@dataclass(frozen=True, slots=True)
class StateReplaced:
    """A marker among the events: what was missed can't be had, so throw your state away and take this one.

    `reason`: `epoch`, `trimmed` or `ahead` as in the protocol, or `rejoined` when a join had to be made twice.
    `state`: the kind's snapshot. `position`: where it stands; the events behind it follow.
    """

    room_id: str
    reason: str
    state: Mapping[str, Any]
    position: Position


@dataclass(frozen=True, slots=True)
class RoomClosed:
    """A marker in `Client.events()`: a room could not be joined again and is followed no more (`error` says why)."""

    room_id: str
    error: ClientError


Event: TypeAlias = dict[str, Any] | StateReplaced | RoomClosed


class Verdict(Enum):
    """What an event is to a client that follows a room."""

    PASS = auto()
    OLD = auto()
    GAP = auto()


class RoomTrack:
    """What a client knows of one room, and which event is the next.

    `position` is that of the last event passed on, None before the first `joined`; to resume, give it at the start.
    """

    def __init__(self, room_id: str, position: Position | None = None) -> None:
        self.room_id = room_id
        self.position = position
        self.kind = ""
        self.members: set[str] = set()
        self.presence: dict[str, str] = {}
        self.state: Mapping[str, Any] = {}
        self._members_seq = 0

    def enter(self, joined: Mapping[str, Any]) -> StateReplaced | None:
        """Take a `joined` frame, asked for or not. Returns the marker that the application must see, if any.

        When the room was recovered, the position stays: the missed events follow. They do not change the members,
        which the frame lists as they are after them.
        """
        former, position = self.position, Position(joined["epoch"], joined["seq"])
        self.kind = joined["kind"]
        self.members = set(joined["members"])
        self.presence = dict(joined["presence"])
        self._members_seq = position.seq
        if joined["recovered"] and former is not None:
            return None
        self.position = position
        self.state = joined.get("state", {})
        if former is None or former == position:
            return None
        return StateReplaced(self.room_id, joined.get("reason", "rejoined"), self.state, position)

    def take(self, event: Mapping[str, Any]) -> Verdict:
        """Look at an event and go to its position if it is the next. Events without a `seq` are always passed on."""
        if self.position is None:
            return Verdict.OLD
        seq = event.get("seq")
        if not isinstance(seq, int):
            self._note_status(event)
            return Verdict.PASS
        if event.get("epoch") != self.position.epoch or seq > self.position.seq + 1:
            return Verdict.GAP
        if seq <= self.position.seq:
            return Verdict.OLD
        self.position = Position(self.position.epoch, seq)
        if seq > self._members_seq:
            self._note_member(event)
            self._note_status(event)
        return Verdict.PASS

    def _note_member(self, event: Mapping[str, Any]) -> None:
        user_id = event.get("userId")
        if event.get("t") == "user_joined" and isinstance(user_id, str):
            self.members.add(user_id)
            self.presence.setdefault(user_id, "online")
        elif event.get("t") == "user_left" and isinstance(user_id, str):
            self.members.discard(user_id)
            self.presence.pop(user_id, None)

    def _note_status(self, event: Mapping[str, Any]) -> None:
        """Follow `user:status`: a list of users in the room of who is signed in, one member in any other."""
        if event.get("t") != "user:status":
            return
        users = event.get("users", [event])
        for user in users if isinstance(users, list) else ():
            if isinstance(user, dict):
                self._note_user(user.get("userId"), user.get("status"))

    def _note_user(self, user_id: object, status: object) -> None:
        if not isinstance(user_id, str) or not isinstance(status, str):
            return
        if self.kind == _PRESENCE:
            (self.members.discard if status == "offline" else self.members.add)(user_id)
        if user_id in self.members:
            self.presence[user_id] = status
        else:
            self.presence.pop(user_id, None)


def is_joined(frame: Mapping[str, Any]) -> bool:
    """Whether a frame is a whole `joined`. Anybody with redis-cli can publish something that only looks like one."""
    return (
        frame.get("t") == "joined"
        and isinstance(frame.get("epoch"), str)
        and isinstance(frame.get("seq"), int)
        and isinstance(frame.get("kind"), str)
        and isinstance(frame.get("members"), list)
        and isinstance(frame.get("presence"), dict)
        and isinstance(frame.get("recovered"), bool)
    )
