"""Redis as typed methods: one method, one script, one round trip. `Store.users` has those about users, `Store.lineups`
those about line-ups.

Nothing here knows what a kind does with its events, and nothing above here knows a key or a script.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from c2c.calls import DEDUPE_MS, ScriptClock, lease_of, read_nothing, require_room
from c2c.errors import NotAMember, RoomExists, RoomNotFound
from c2c.events import EventText, Position, event_text
from c2c.histories import Histories
from c2c.keys import Keys
from c2c.lineups import Lineups
from c2c.monitors import Monitors
from c2c.notices import Notices
from c2c.pipeline import Pipeline, Reply
from c2c.scripts import Argument, load_scripts
from c2c.settings import Settings
from c2c.users import Profile, Users

PLACEHOLDER_CONNECTION: Final = "creator"


@dataclass(frozen=True, slots=True)
class Retention:
    """How long a kind keeps what its rooms hold.

    `log_events`: entries of the log, about; `room_ttl_s`: life of a room without anybody, None = for ever.
    """

    log_events: int
    room_ttl_s: int | None

    @property
    def room_ttl_ms(self) -> int:
        return 0 if self.room_ttl_s is None else self.room_ttl_s * 1000


@dataclass(frozen=True, slots=True)
class Joined:
    """What a room is at the moment of a join; the joiner is among the members."""

    position: Position
    kind: str
    creator: str
    title: str
    members: list[str]


@dataclass(frozen=True, slots=True)
class RoomInfo:
    """What a room is, for people who look at it from outside."""

    room_id: str
    kind: str
    creator: str
    title: str
    created_at_ms: int
    position: Position
    members: list[str]


@dataclass(frozen=True, slots=True)
class Renewed:
    """What a renewal found.

    `next_end_ms`: until the first lease of anybody ends, None = there is none. `expiry_lifted`: the room's long expiry
    was set anew. `gone`: own leases that had been swept.
    """

    position: Position
    next_end_ms: int | None
    expiry_lifted: bool
    gone: list[str]


@dataclass(frozen=True, slots=True)
class LogPage:
    """A page of events, oldest first, and where the room stood when they were read."""

    position: Position
    events: list[bytes]


@dataclass(frozen=True, slots=True)
class HistoryPage:
    """A page of messages, newest first; `more`: there are older ones."""

    position: Position
    events: list[bytes]
    more: bool


def _left_text(room_id: str, reason: str) -> EventText:
    """The leave event round the user id, which only the script knows."""
    text = event_text(room_id, "user_left", {})
    return EventText(text.head, b'","reason":"' + reason.encode() + b'"}')


class Store:
    """All that a node asks of Redis.

    Calling a method sends the call; awaiting what it returns gives the answer, or raises: ServiceUnavailable while
    Redis is away, and what the method names.
    """

    def __init__(self, pipeline: Pipeline, keys: Keys, settings: Settings, clock_ms: int | None = None) -> None:
        self._pipeline = pipeline
        self._keys = keys
        self._settings = settings
        self._scripts = load_scripts()
        self._clock = ScriptClock()
        self.set_clock(clock_ms)
        self.users = Users(pipeline, keys, settings, self._clock)
        self.lineups = Lineups(pipeline, keys, self._clock)
        self.histories = Histories(pipeline, keys, self._clock)
        self.monitors = Monitors(pipeline, keys, self._clock)
        self.notices = Notices(pipeline, keys, self._clock)
        self._lease_ms = round(settings.lease_s * 1000)
        self._grace_ms = round(settings.grace_s * 1000)
        self._creator_lease_ms = round(settings.creator_lease_s * 1000)
        self._member_ttl_ms = 2 * max(self._lease_ms, self._creator_lease_ms)

    @property
    def up(self) -> bool:
        """Whether Redis answered last time."""
        return self._pipeline.up

    def set_clock(self, clock_ms: int | None) -> None:
        """For tests: the time that scripts see instead of Redis TIME."""
        self._clock.now = "" if clock_ms is None else clock_ms

    @property
    def merciful(self) -> bool:
        """Whether leases that have ended get the grace period instead of being swept (`c2c.leases` decides)."""
        return self._clock.merciful

    @merciful.setter
    def merciful(self, merciful: bool) -> None:
        self._clock.merciful = merciful

    # Rooms

    async def open_room(
        self,
        room_id: str,
        kind: str,
        creator: str,
        retention: Retention,
        *,
        title: str = "",
        creator_joins: bool = True,
    ) -> Position:
        """Open a room with a new epoch. Raises RoomExists. 2 round trips, O(log rooms)."""
        opened = await self._pipeline.script(
            self._scripts["room_open"],
            {**self._room_keys(room_id), "messages": self._keys.messages(room_id)},
            {
                "clock": self._clock.now,
                "epoch": secrets.token_hex(6),
                "kind": kind,
                "creator": creator,
                "title": title,
                "retention": retention.log_events,
                "room_ttl": retention.room_ttl_ms,
                "member_ttl": self._member_ttl_ms,
                "creator_lease": lease_of(creator, PLACEHOLDER_CONNECTION) if creator_joins else "",
                "lease_ms": self._creator_lease_ms,
            },
            _read_opened,
        )
        await self.index_rooms([room_id], retention)
        return opened

    def read_room(self, room_id: str) -> Reply[RoomInfo]:
        """What the room is and who is in it, swept. Raises RoomNotFound. 1 round trip, O(members)."""

        def read(reply: Any) -> RoomInfo:
            require_room(reply)
            kind, creator, title, created_at_ms, epoch, seq, members = reply[1:]
            return RoomInfo(
                room_id, kind.decode(), creator.decode(), title.decode(), created_at_ms,
                Position(epoch.decode(), seq), _names(members),
            )  # fmt: skip

        return self._pipeline.script(self._scripts["room_read"], self._room_keys(room_id), self._common(room_id), read)

    def kind_of(self, room_id: str) -> Reply[str]:
        """The kind of a room. Raises RoomNotFound. 1 round trip, O(1)."""

        def read(kind: bytes | None) -> str:
            if kind is None:
                raise RoomNotFound()
            return kind.decode()

        return self._pipeline.command("HGET", self._keys.room(room_id), "kind", read=read)

    def renew_epoch(self, room_id: str, old_epoch: str) -> Reply[str]:
        """Replace an epoch whose log went back in time; returns the one in force. Raises RoomNotFound. 1 round trip."""

        def read(reply: Any) -> str:
            require_room(reply)
            return str(reply[1], "utf-8")

        return self._pipeline.script(
            self._scripts["epoch_renew"],
            {"room": self._keys.room(room_id)},
            {"old_epoch": old_epoch, "new_epoch": secrets.token_hex(6)},
            read,
        )

    def index_rooms(self, room_ids: Sequence[str], retention: Retention) -> Reply[None]:
        """Note until when rooms live, for `list_rooms`. 1 round trip, O(log rooms)."""
        return self._pipeline.script(
            self._scripts["rooms_index"],
            {"rooms": self._keys.rooms()},
            {"clock": self._clock.now, "room_ttl": retention.room_ttl_ms},
            read_nothing,
            room_ids,
        )

    def unindex_room(self, room_id: str) -> Reply[None]:
        """A room was deleted: forget that it was there. 1 round trip, O(log rooms)."""
        return self._pipeline.command("ZREM", self._keys.rooms(), room_id, read=read_nothing)

    async def delete_room(self, room_id: str) -> bool:
        """Delete a room unless somebody is in it. Returns whether it is gone. 2 round trips, O(log rooms)."""
        gone = await self._pipeline.script(
            self._scripts["room_delete"],
            {**self._room_keys(room_id), "messages": self._keys.messages(room_id)},
            {},
            lambda reply: bool(reply[0] == b"OK"),
        )
        if gone:
            await self.unindex_room(room_id)
        return gone

    def list_rooms(self, offset: int, limit: int) -> Reply[list[str]]:
        """Ids of rooms, soonest to expire first. 1 round trip, O(log rooms + limit)."""
        return self._pipeline.command(
            "ZRANGE", self._keys.rooms(), offset, offset + limit - 1, read=lambda ids: [id_.decode() for id_ in ids]
        )

    # Events

    def append(
        self,
        room_id: str,
        text: EventText,
        *,
        member: str | None,
        sender: str,
        command_id: str | None,
        history: bool = False,
    ) -> Reply[Position]:
        """Append an event and publish it. 1 round trip, O(1).

        Arguments: `member` must be in the room (None: nobody must); `sender` and `command_id` are what a repeated
        command is known by, for 10 minutes; `history` events are found by `read_history`.
        Returns the event's position; a repeated command gets that of the first time. Raises RoomNotFound, NotAMember.
        """
        return self._pipeline.script(
            self._scripts["room_append"],
            {
                "room": self._keys.room(room_id),
                "members": self._keys.members(room_id),
                "log": self._keys.log(room_id),
                "messages": self._keys.messages(room_id),
                "dedupe": self._keys.dedupe(room_id, sender, command_id or ""),
            },
            {
                "clock": self._clock.now,
                "channel": self._keys.channel(room_id),
                "member": member or "",
                "dedupe_ms": DEDUPE_MS if command_id else 0,
                "history": int(history),
                "head": text.head,
                "tail": text.tail,
            },
            _read_appended,
        )

    def publish(self, channel: str, payload: bytes) -> Reply[None]:
        """Publish on a channel. 1 round trip."""
        return self._pipeline.command("PUBLISH", channel, payload, read=read_nothing)

    def publish_to(self, room_id: str, payload: bytes) -> Reply[None]:
        """Publish to a room without a log entry. 1 round trip."""
        return self.publish(self._keys.channel(room_id), payload)

    def read_log(self, room_id: str, after: int, limit: int) -> Reply[LogPage]:
        """Events behind a seq, oldest first. Raises RoomNotFound. 1 round trip, O(log n + limit)."""

        def read(reply: Any) -> LogPage:
            require_room(reply)
            return LogPage(Position(reply[1].decode(), reply[2]), reply[3])

        return self._pipeline.script(
            self._scripts["log_read"],
            {"room": self._keys.room(room_id), "log": self._keys.log(room_id)},
            {"after": after, "limit": limit},
            read,
        )

    def read_history(self, room_id: str, before: int, limit: int) -> Reply[HistoryPage]:
        """Messages in front of a seq, newest first. Raises RoomNotFound. 1 round trip, O(limit · log n)."""

        def read(reply: Any) -> HistoryPage:
            require_room(reply)
            return HistoryPage(Position(reply[1].decode(), reply[2]), reply[4], bool(reply[3]))

        return self._pipeline.script(
            self._scripts["history_read"],
            {
                "room": self._keys.room(room_id),
                "log": self._keys.log(room_id),
                "messages": self._keys.messages(room_id),
            },
            {"before": before, "limit": limit},
            read,
        )

    # Members

    def join(self, room_id: str, profile: Profile, connection_id: str) -> Reply[Joined]:
        """Bring a connection into a room. Raises RoomNotFound. 1 round trip, O(log n + members)."""

        def read(reply: Any) -> Joined:
            require_room(reply)
            epoch, seq, kind, creator, title, members = reply[1:]
            return Joined(
                Position(epoch.decode(), seq), kind.decode(), creator.decode(), title.decode(), _names(members)
            )

        joined = event_text(room_id, "user_joined", {"userId": profile.user_id, "username": profile.username})
        return self._pipeline.script(
            self._scripts["member_join"],
            self._room_keys(room_id),
            {
                **self._common(room_id),
                "user": profile.user_id,
                "lease": lease_of(profile.user_id, connection_id),
                "placeholder": lease_of(profile.user_id, PLACEHOLDER_CONNECTION),
                "lease_ms": self._lease_ms,
                "member_ttl": self._member_ttl_ms,
                "joined_head": joined.head,
                "joined_tail": joined.tail,
            },
            read,
        )

    def leave(self, room_id: str, user_id: str, connection_id: str) -> Reply[None]:
        """Take a connection out of a room at once. 1 round trip, O(log n)."""
        left = _left_text(room_id, "left")
        return self._pipeline.script(
            self._scripts["member_leave"],
            self._room_keys(room_id),
            {
                "clock": self._clock.now,
                "channel": self._keys.channel(room_id),
                "lease": lease_of(user_id, connection_id),
                "left_head": left.head,
                "left_tail": left.tail,
            },
            read_nothing,
        )

    def shorten_lease(self, room_id: str, user_id: str, connection_id: str) -> Reply[None]:
        """Give a dropped connection the grace period to come back. 1 round trip, O(log n)."""
        return self._pipeline.script(
            self._scripts["lease_shorten"],
            {"leases": self._keys.leases(room_id)},
            {"clock": self._clock.now, "lease": lease_of(user_id, connection_id), "grace": self._grace_ms},
            read_nothing,
        )

    def renew(self, room_id: str, leases: Iterable[str]) -> Reply[Renewed]:
        """Extend this node's leases in a room and sweep those of others that have ended; with no leases, only sweep.

        Raises RoomNotFound. 1 round trip, O(leases · log n).
        """

        def read(reply: Any) -> Renewed:
            require_room(reply)
            epoch, seq, next_end_ms, lifted, gone = reply[1:]
            next_end = None if next_end_ms < 0 else next_end_ms
            return Renewed(Position(epoch.decode(), seq), next_end, bool(lifted), [lease.decode() for lease in gone])

        return self._pipeline.script(
            self._scripts["member_renew"],
            {**self._room_keys(room_id), "messages": self._keys.messages(room_id)},
            {**self._common(room_id), "lease_ms": self._lease_ms, "member_ttl": self._member_ttl_ms},
            read,
            leases,
        )

    def _room_keys(self, room_id: str) -> dict[str, str]:
        keys = self._keys
        return {
            "room": keys.room(room_id),
            "members": keys.members(room_id),
            "leases": keys.leases(room_id),
            "connections": keys.connections(room_id),
            "log": keys.log(room_id),
        }

    def _common(self, room_id: str) -> dict[str, Argument]:
        """What all scripts that may sweep take."""
        lost = _left_text(room_id, "lost")
        return {
            "clock": self._clock.now,
            "channel": self._keys.channel(room_id),
            "mercy": self._grace_ms if self.merciful else 0,
            "left_head": lost.head,
            "left_tail": lost.tail,
        }


def _read_opened(reply: list[Any]) -> Position:
    if reply[0] != b"OK":
        raise RoomExists()
    return Position(reply[1].decode(), reply[2])


def _read_appended(reply: list[Any]) -> Position:
    if reply[0] == b"NOT_A_MEMBER":
        raise NotAMember()
    require_room(reply)
    return Position(reply[1].decode(), reply[2])


def _names(members: Iterable[bytes]) -> list[str]:
    return sorted([member.decode() for member in members])
