"""Redis as typed methods: one method, one script, one round trip.

Nothing here knows what a kind does with its events, and nothing above here knows a key or a script.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from c2c.errors import NotAMember, RoomExists, RoomNotFound
from c2c.events import EventText, Position, event_text
from c2c.keys import Keys
from c2c.pipeline import Pipeline
from c2c.scripts import Argument, load_scripts
from c2c.settings import Settings

DEDUPE_MS: Final = 600_000
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


@dataclass(frozen=True, slots=True)
class Profile:
    """A user as others see them."""

    user_id: str
    username: str
    avatar: str


def lease_of(user_id: str, connection_id: str) -> str:
    """The name of a connection's lease in a room. Neither id holds a slash."""
    return f"{user_id}/{connection_id}"


def _left_text(room_id: str, reason: str) -> EventText:
    """The leave event round the user id, which only the script knows."""
    text = event_text(room_id, "user_left", {})
    return EventText(text.head, b'","reason":"' + reason.encode() + b'"}')


class Store:
    """All that a node asks of Redis. Methods raise ServiceUnavailable while it is away."""

    def __init__(self, pipeline: Pipeline, keys: Keys, settings: Settings, clock_ms: int | None = None) -> None:
        self._pipeline = pipeline
        self._keys = keys
        self._settings = settings
        self._scripts = load_scripts()
        self._clock: Argument = "" if clock_ms is None else clock_ms
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
        self._clock = "" if clock_ms is None else clock_ms

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
        """Open a room with a new epoch. Raises RoomExists. 2 round trips, O(1)."""
        status, epoch, seq = await self._pipeline.script(
            self._scripts["room_open"],
            {**self._room_keys(room_id), "messages": self._keys.messages(room_id)},
            {
                "clock": self._clock,
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
        )
        if status != b"OK":
            raise RoomExists()
        await self.index_rooms([room_id], retention)
        return Position(epoch.decode(), seq)

    async def read_room(self, room_id: str) -> RoomInfo:
        """What the room is and who is in it, swept. Raises RoomNotFound. 1 round trip, O(members)."""
        reply = await self._pipeline.script(self._scripts["room_read"], self._room_keys(room_id), self._common(room_id))
        _require_room(reply)
        kind, creator, title, created_at_ms, epoch, seq, members = reply[1:]
        return RoomInfo(
            room_id=room_id,
            kind=kind.decode(),
            creator=creator.decode(),
            title=title.decode(),
            created_at_ms=created_at_ms,
            position=Position(epoch.decode(), seq),
            members=sorted(member.decode() for member in members),
        )

    async def kind_of(self, room_id: str) -> str:
        """The kind of a room. Raises RoomNotFound. 1 round trip, O(1)."""
        kind = await self._pipeline.command("HGET", self._keys.room(room_id), "kind")
        if kind is None:
            raise RoomNotFound()
        return str(kind, "utf-8")

    async def renew_epoch(self, room_id: str, old_epoch: str) -> str:
        """Replace an epoch whose log went back in time. Raises RoomNotFound. 1 round trip, O(1)."""
        reply = await self._pipeline.script(
            self._scripts["epoch_renew"],
            {"room": self._keys.room(room_id)},
            {"old_epoch": old_epoch, "new_epoch": secrets.token_hex(6)},
        )
        _require_room(reply)
        return str(reply[1], "utf-8")

    async def index_rooms(self, room_ids: Sequence[str], retention: Retention) -> None:
        """Note until when rooms live, for `list_rooms`. 1 round trip, O(log rooms)."""
        await self._pipeline.script(
            self._scripts["rooms_index"],
            {"rooms": self._keys.rooms()},
            {"clock": self._clock, "room_ttl": retention.room_ttl_ms},
            room_ids,
        )

    async def list_rooms(self, offset: int, limit: int) -> list[str]:
        """Ids of rooms, soonest to expire first. 1 round trip, O(log rooms + limit)."""
        ids = await self._pipeline.command("ZRANGE", self._keys.rooms(), offset, offset + limit - 1)
        return [room_id.decode() for room_id in ids]

    # Events

    async def append(
        self,
        room_id: str,
        text: EventText,
        *,
        member: str | None,
        sender: str,
        command_id: str | None,
        history: bool = False,
    ) -> Position:
        """Append an event and publish it. 1 round trip, O(1).

        Arguments: `member` must be in the room (None: nobody must); `sender` and `command_id` are what a repeated
        command is known by, for 10 minutes; `history` events are found by `read_history`.
        Returns the event's position; a repeated command gets that of the first time. Raises RoomNotFound, NotAMember.
        """
        status, *place = await self._pipeline.script(
            self._scripts["room_append"],
            {
                "room": self._keys.room(room_id),
                "members": self._keys.members(room_id),
                "log": self._keys.log(room_id),
                "messages": self._keys.messages(room_id),
                "dedupe": self._keys.dedupe(room_id, sender, command_id or ""),
            },
            {
                "clock": self._clock,
                "channel": self._keys.channel(room_id),
                "member": member or "",
                "dedupe_ms": DEDUPE_MS if command_id else 0,
                "history": int(history),
                "head": text.head,
                "tail": text.tail,
            },
        )
        if status == b"ROOM_NOT_FOUND":
            raise RoomNotFound()
        if status == b"NOT_A_MEMBER":
            raise NotAMember()
        return Position(place[0].decode(), place[1])

    async def publish(self, channel: str, payload: bytes) -> None:
        """Publish without a log entry. 1 round trip."""
        await self._pipeline.command("PUBLISH", channel, payload)

    async def read_log(self, room_id: str, after: int, limit: int) -> LogPage:
        """Events behind a seq, oldest first. Raises RoomNotFound. 1 round trip, O(log n + limit)."""
        reply = await self._pipeline.script(
            self._scripts["log_read"],
            {"room": self._keys.room(room_id), "log": self._keys.log(room_id)},
            {"after": after, "limit": limit},
        )
        _require_room(reply)
        return LogPage(Position(reply[1].decode(), reply[2]), reply[3])

    async def read_history(self, room_id: str, before: int, limit: int) -> HistoryPage:
        """Messages in front of a seq, newest first. Raises RoomNotFound. 1 round trip, O(limit · log n)."""
        reply = await self._pipeline.script(
            self._scripts["history_read"],
            {
                "room": self._keys.room(room_id),
                "log": self._keys.log(room_id),
                "messages": self._keys.messages(room_id),
            },
            {"before": before, "limit": limit},
        )
        _require_room(reply)
        return HistoryPage(Position(reply[1].decode(), reply[2]), reply[4], bool(reply[3]))

    # Members

    async def join(self, room_id: str, profile: Profile, connection_id: str) -> Joined:
        """Bring a connection into a room. Raises RoomNotFound. 1 round trip, O(log n + members)."""
        joined = event_text(room_id, "user_joined", {"userId": profile.user_id, "username": profile.username})
        reply = await self._pipeline.script(
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
        )
        _require_room(reply)
        epoch, seq, kind, creator, members = reply[1:]
        names = sorted(member.decode() for member in members)
        return Joined(Position(epoch.decode(), seq), kind.decode(), creator.decode(), names)

    async def leave(self, room_id: str, user_id: str, connection_id: str) -> None:
        """Take a connection out of a room at once. 1 round trip, O(log n)."""
        left = _left_text(room_id, "left")
        await self._pipeline.script(
            self._scripts["member_leave"],
            self._room_keys(room_id),
            {
                **self._common(room_id),
                "lease": lease_of(user_id, connection_id),
                "left_head": left.head,
                "left_tail": left.tail,
            },
        )

    async def shorten_lease(self, room_id: str, user_id: str, connection_id: str) -> None:
        """Give a dropped connection the grace period to come back. 1 round trip, O(log n)."""
        await self._pipeline.script(
            self._scripts["lease_shorten"],
            {"leases": self._keys.leases(room_id)},
            {"clock": self._clock, "lease": lease_of(user_id, connection_id), "grace": self._grace_ms},
        )

    async def renew(self, room_id: str, leases: Iterable[str]) -> Renewed:
        """Extend this node's leases in a room and sweep those of others that have ended; with no leases, only sweep.

        Raises RoomNotFound. 1 round trip, O(leases · log n).
        """
        reply = await self._pipeline.script(
            self._scripts["member_renew"],
            {**self._room_keys(room_id), "messages": self._keys.messages(room_id)},
            {
                **self._common(room_id),
                "lease_ms": self._lease_ms,
                "member_ttl": self._member_ttl_ms,
            },
            leases,
        )
        _require_room(reply)
        epoch, seq, next_end_ms, lifted, gone = reply[1:]
        return Renewed(
            Position(epoch.decode(), seq),
            None if next_end_ms < 0 else next_end_ms,
            bool(lifted),
            [lease.decode() for lease in gone],
        )

    # Users

    async def touch_user(self, profile: Profile, connection_ids: Iterable[str], room_id: str = "") -> str:
        """Say that a user is here by these connections; `room_id`: they just entered it.

        Returns the user's status. 1 round trip, O(connections · log n).
        """
        reply = await self._pipeline.script(
            self._scripts["user_touch"],
            self._user_keys(profile.user_id),
            {
                "clock": self._clock,
                "lease_ms": self._lease_ms,
                "presence_ttl": round(self._settings.presence_ttl_s * 1000),
                "session_ttl": round(self._settings.session_ttl_s * 1000),
                "username": profile.username,
                "avatar": profile.avatar,
                "node": self._settings.node_id,
                "room": room_id,
            },
            connection_ids,
        )
        return str(reply[1], "utf-8")

    async def end_user_connection(self, user_id: str, connection_id: str, *, dropped: bool) -> None:
        """End one connection of a user; a dropped one after the grace period. 1 round trip, O(log n)."""
        await self._pipeline.script(
            self._scripts["user_leave"],
            self._user_keys(user_id),
            {"clock": self._clock, "connection": connection_id, "grace": self._grace_ms if dropped else 0},
        )

    async def presence_of(self, user_ids: Sequence[str]) -> dict[str, str]:
        """User id → status, offline for who has none. 1 round trip, O(users)."""
        if not user_ids:
            return {}
        if self._keys.cluster:
            calls = [self._pipeline.command("GET", self._keys.presence(user_id)) for user_id in user_ids]
            found = [await call for call in calls]
        else:
            found = await self._pipeline.command("MGET", *[self._keys.presence(user_id) for user_id in user_ids])
        return {
            user_id: "offline" if status is None else status.decode()
            for user_id, status in zip(user_ids, found, strict=True)
        }

    def _room_keys(self, room_id: str) -> dict[str, str]:
        keys = self._keys
        return {
            "room": keys.room(room_id),
            "members": keys.members(room_id),
            "leases": keys.leases(room_id),
            "connections": keys.connections(room_id),
            "log": keys.log(room_id),
        }

    def _user_keys(self, user_id: str) -> dict[str, str]:
        keys = self._keys
        return {
            "presence": keys.presence(user_id),
            "session": keys.session(user_id),
            "leases": keys.user_leases(user_id),
        }

    def _common(self, room_id: str) -> dict[str, Argument]:
        """What all scripts that may sweep take."""
        lost = _left_text(room_id, "lost")
        return {
            "clock": self._clock,
            "channel": self._keys.channel(room_id),
            "left_head": lost.head,
            "left_tail": lost.tail,
        }


def _require_room(reply: list[Any]) -> None:
    if reply[0] == b"ROOM_NOT_FOUND":
        raise RoomNotFound()
