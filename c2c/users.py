"""Users in Redis as typed methods: who is signed in and what others see of them, and each one's own few keys.

What others see stands in the keys of one room, the home of the presence kind, so that lists, counts and events are
atomic. The rest is `c2c.store`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias

from pydantic_core import to_json

from c2c.calls import ScriptClock, read_nothing, require_room
from c2c.events import Position, event_text
from c2c.keys import Keys
from c2c.pipeline import Pipeline, Reply
from c2c.scripts import Argument, load_scripts
from c2c.settings import Settings

Status: TypeAlias = Literal["online", "away", "busy", "offline"]

VISIBLE: Final = ("online", "away", "busy")
_BATCH: Final = 500
_LOOK_MAX: Final = 500


@dataclass(frozen=True, slots=True)
class Profile:
    """A user as others see them."""

    user_id: str
    username: str
    avatar: str


@dataclass(frozen=True, slots=True)
class Change:
    """Something that a node knows of a user; `lua/presence_change.lua` says what the values mean."""

    what: Literal["arrive", "leave", "drop", "status", "idle", "place"]
    user_id: str
    connection_id: str = ""
    first: str = ""
    second: str | bytes = ""

    @classmethod
    def arrive(cls, profile: Profile, connection_id: str, status: str) -> Change:
        text = to_json({"username": profile.username, "avatar": profile.avatar})
        return cls("arrive", profile.user_id, connection_id, status, text)


@dataclass(frozen=True, slots=True)
class Told:
    """What a call about signed-in users found.

    `tell_in_ms`: until more can be told of what has changed, None = all has been told. `statuses`: of users whose
    status has changed. `went`: users whose last connection ended. `gone`: own leases that had been swept.
    """

    position: Position
    tell_in_ms: int | None
    statuses: dict[str, str]
    went: list[str]
    gone: list[str]


@dataclass(frozen=True, slots=True)
class UsersPage:
    """Visible users by id, each as JSON, and how many there are of each status."""

    position: Position
    counts: dict[str, int]
    more: bool
    users: list[bytes]


class Users:
    """What a node asks of Redis about users. Calling sends, awaiting reads, as `c2c.store.Store`.

    `on_told` hears of everything that was found by a change or a renewal, `on_chosen` of users who chose a status,
    `on_idle` of connections that nobody is at, or somebody again.
    """

    def __init__(self, pipeline: Pipeline, keys: Keys, settings: Settings, clock: ScriptClock) -> None:
        self._pipeline = pipeline
        self._keys = keys
        self._settings = settings
        self._clock = clock
        self.on_told: Callable[[Told], None] = lambda told: None
        self.on_chosen: Callable[[str, str], None] = lambda user_id, status: None
        self.on_idle: Callable[[str, str, bool], None] = lambda user_id, connection_id, idle: None
        self._scripts = load_scripts()
        self._lease_ms = round(settings.presence_lease_s * 1000)
        self._grace_ms = round(settings.grace_s * 1000)
        self._ttl_ms = round(settings.presence_ttl_s * 1000)
        self._session_ttl_ms = round(settings.session_ttl_s * 1000)
        self.session_ttl_s = settings.session_ttl_s

    # Everybody who is signed in

    def change(self, room_id: str, changes: Iterable[Change]) -> Reply[Told]:
        """Carry out changes, and tell of them. Raises RoomNotFound. 1 round trip, O(changes · log users)."""
        rest = [
            word
            for each in changes
            for word in (each.what, each.user_id, each.connection_id, each.first, each.second)
        ]  # fmt: skip
        return self._pipeline.script(
            self._scripts["presence_change"],
            self._room_keys(room_id),
            {**self._common(room_id), "lease_ms": self._lease_ms, "grace": self._grace_ms},
            self._read_told,
            rest,
        )

    def idle(self, room_id: str, user_id: str, connection_id: str, idle: bool) -> Reply[Told]:
        """Say whether somebody is at a connection. Raises RoomNotFound. 1 round trip, O(log users)."""
        self.on_idle(user_id, connection_id, idle)
        return self.change(room_id, [Change("idle", user_id, connection_id, "1" if idle else "")])

    def renew(self, room_id: str, leases: Sequence[str]) -> Reply[Told]:
        """Extend this node's leases and sweep those that have ended; with no leases, only sweep and tell.

        Raises RoomNotFound. 1 round trip, O(leases · log users).
        """
        return self._pipeline.script(
            self._scripts["presence_renew"],
            self._room_keys(room_id),
            {**self._common(room_id), "lease_ms": self._lease_ms},
            self._read_told,
            leases,
        )

    def page(self, room_id: str, status: str, after: str, limit: int) -> Reply[UsersPage]:
        """Visible users behind `after`, of one status or ('') of any. Raises RoomNotFound. 1 round trip,
        O(log users + limit)."""

        def read(reply: Any) -> UsersPage:
            require_room(reply)
            epoch, seq, counts, more, users = reply[1:]
            return UsersPage(Position(epoch.decode(), seq), dict(zip(VISIBLE, counts, strict=True)), bool(more), users)

        return self._pipeline.script(
            self._scripts["presence_page"],
            self._room_keys(room_id),
            {**self._common(room_id), "status": status, "after": after, "limit": limit},
            read,
        )

    def look(self, room_id: str, user_ids: Sequence[str]) -> Reply[list[bytes]]:
        """What others see of up to 500 users, each as JSON. Raises RoomNotFound. 1 round trip, O(users · log users)."""
        if len(user_ids) > _LOOK_MAX:
            raise ValueError(f"at most {_LOOK_MAX} users")

        def read(reply: Any) -> list[bytes]:
            require_room(reply)
            users: list[bytes] = reply[1]
            return users

        return self._pipeline.script(
            self._scripts["presence_look"], self._room_keys(room_id), self._common(room_id), read, user_ids
        )

    def statuses(self, room_id: str, user_ids: Sequence[str]) -> Reply[dict[str, str]]:
        """User id → status, offline for who is not seen. 1 round trip, O(users · log users)."""

        def read(reply: Any) -> dict[str, str]:
            return {user_id: status.decode() for user_id, status in zip(user_ids, reply[1], strict=True)}

        keys = {status: self._keys.with_status(room_id, status) for status in VISIBLE}
        return self._pipeline.script(self._scripts["presence_of"], keys, {}, read, user_ids)

    def figures(self, room_id: str, span: Literal["hours", "days"]) -> Reply[dict[str, tuple[int, float]]]:
        """Start of each hour or day that was measured → peak and average number of visible users, unsorted. 1 round
        trip, O(720) at most."""

        def read(reply: list[bytes]) -> dict[str, tuple[int, float]]:
            found = {}
            for name, kept in zip(reply[::2], reply[1::2], strict=True):
                peak, measured_ms, total = map(int, kept.split())
                found[name.decode()] = (peak, total / measured_ms if measured_ms else float(peak))
            return found

        key = self._keys.hours(room_id) if span == "hours" else self._keys.days(room_id)
        return self._pipeline.command("HGETALL", key, read=read)

    # Each user's own keys

    def touch(
        self, arrivals: Sequence[tuple[Profile, str]], known: Mapping[str, str] | None = None
    ) -> list[Reply[list[str]]]:
        """Say that users are here; with each, the room that they just entered, or ''.

        `known`: user id → the status they had, for a Redis that has forgotten it. Replies have the statuses that they
        chose, in the same order. 1 round trip, O(users); in a Cluster each user is a call of their own.
        """
        size = 1 if self._keys.cluster else _BATCH
        return [self._touch(arrivals[start : start + size], known or {}) for start in range(0, len(arrivals), size)]

    def _touch(self, arrivals: Sequence[tuple[Profile, str]], known: Mapping[str, str]) -> Reply[list[str]]:
        return self._pipeline.script(
            self._scripts["users_touch"],
            {},
            {
                "clock": self._clock.now,
                "presence_ttl": self._ttl_ms,
                "session_ttl": self._session_ttl_ms,
                "node": self._settings.node_id,
            },
            lambda reply: [status.decode() for status in reply[1]],
            [
                word
                for profile, room_id in arrivals
                for word in (profile.username, profile.avatar, room_id, known.get(profile.user_id, ""))
            ],
            [key for profile, _ in arrivals for key in self._user_keys(profile.user_id).values()],
        )

    def leave(self, user_ids: Sequence[str]) -> list[Reply[None]]:
        """Say that users have gone, with their last connection. 1 round trip, O(users)."""
        size = 1 if self._keys.cluster else _BATCH
        return [
            self._pipeline.script(
                self._scripts["users_leave"],
                {},
                {"clock": self._clock.now},
                read_nothing,
                (),
                [key for user_id in user_ids[start : start + size] for key in self._user_keys(user_id).values()],
            )
            for start in range(0, len(user_ids), size)
        ]

    def choose(self, user_id: str, status: str) -> Reply[None]:
        """Remember the status that a user chose, as long as their session. 1 round trip, O(1)."""
        return self._pipeline.script(
            self._scripts["user_choose"],
            self._user_keys(user_id),
            {"status": status, "presence_ttl": self._ttl_ms, "session_ttl": self._session_ttl_ms},
            lambda reply: self.on_chosen(user_id, status),
        )

    def session(self, user_id: str) -> Reply[Profile | None]:
        """The profile of somebody who is here, or was a few minutes ago. 1 round trip, O(1)."""

        def read(found: list[bytes | None]) -> Profile | None:
            username, avatar = found
            return None if username is None else Profile(user_id, username.decode(), (avatar or b"").decode())

        return self._pipeline.command("HMGET", self._keys.session(user_id), "username", "avatar", read=read)

    def starred(self, user_id: str) -> Reply[list[str]]:
        """Ids of those whom a user has starred, sorted. 1 round trip, O(starred)."""
        return self._pipeline.command(
            "SMEMBERS", self._keys.starred(user_id), read=lambda ids: sorted(id_.decode() for id_ in ids)
        )

    def star(self, user_id: str, other_id: str, limit: int) -> Reply[bool]:
        """Star somebody; false when there are `limit` already. 1 round trip, O(1)."""
        return self._pipeline.script(
            self._scripts["user_star"],
            {"starred": self._keys.starred(user_id)},
            {"user": other_id, "limit": limit},
            lambda reply: bool(reply[0] == b"OK"),
        )

    def unstar(self, user_id: str, other_id: str) -> Reply[None]:
        """Take a star away. 1 round trip, O(1)."""
        return self._pipeline.command("SREM", self._keys.starred(user_id), other_id, read=read_nothing)

    def _read_told(self, reply: Any) -> Told:
        require_room(reply)
        epoch, seq, tell_in_ms, statuses, went, *gone = reply[1:]
        words = [word.decode() for word in statuses]
        told = Told(
            Position(epoch.decode(), seq),
            None if tell_in_ms < 0 else tell_in_ms,
            dict(zip(words[::2], words[1::2], strict=True)),
            [user.decode() for user in went],
            [lease.decode() for lease in gone[0]] if gone else [],
        )
        self.on_told(told)
        return told

    def _user_keys(self, user_id: str) -> dict[str, str]:
        return {"presence": self._keys.presence(user_id), "session": self._keys.session(user_id)}

    def _room_keys(self, room_id: str) -> dict[str, str]:
        keys = self._keys
        return {
            "room": keys.room(room_id),
            "signed_in": keys.signed_in(room_id),
            "connections": keys.connections(room_id),
            "members": keys.members(room_id),
            "log": keys.log(room_id),
            "profiles": keys.profiles(room_id),
            "places": keys.places(room_id),
            "seen": keys.seen(room_id),
            **{status: keys.with_status(room_id, status) for status in VISIBLE},
            "changed": keys.changed(room_id),
            "hours": keys.hours(room_id),
            "days": keys.days(room_id),
            "chosen": keys.chosen(room_id),
            "idle": keys.idle(room_id),
            "idlers": keys.idlers(room_id),
        }

    def _common(self, room_id: str) -> Mapping[str, Argument]:
        """What all scripts about signed-in users take."""
        settings = self._settings
        return {
            "clock": self._clock.now,
            "channel": self._keys.channel(room_id),
            "mercy": self._grace_ms if self._clock.merciful else 0,
            "head": event_text(room_id, "user:status", {}).head,
            "quiet": settings.presence_quiet_users,
            "pace": round(settings.presence_pace_s * 1000),
            "batch": _BATCH,
        }
