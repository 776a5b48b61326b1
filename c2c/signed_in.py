"""The users who are signed in on this node, and how Redis hears of them.

What happens in the same moment travels together: all that is waiting goes out in one call, and what happens meanwhile
waits for the next. So a wave of newcomers costs each of them next to nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import zlib
from collections.abc import Awaitable, Coroutine, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from pydantic_core import to_json

from c2c.calls import lease_of
from c2c.errors import C2CError, RoomExists, RoomNotFound, ServiceUnavailable
from c2c.rooms.presence import HOME, Presence
from c2c.settings import Settings
from c2c.store import Store
from c2c.tasks import end_tasks
from c2c.times import iso8601, now_ms
from c2c.users import Change, Profile, Told

log = logging.getLogger("c2c.signed_in")

_CHANGES_MAX: Final = 500
_LEASES_MAX: Final = 1000
_BEATS: Final = "heartbeat"
_RENEWALS_PER_TTL: Final = 3


@dataclass(slots=True)
class _LocalUser:
    """A user with a connection here.

    `status`: what they chose; `shown`: what others see, '' while that is not known. `idle`: connections at which nobody
    is. `rooms`: connection and room, the one entered last at the end.
    """

    profile: Profile
    status: str = ""
    shown: str = ""
    connections: set[str] = field(default_factory=set)
    idle: set[str] = field(default_factory=set)
    rooms: list[tuple[str, str]] = field(default_factory=list)

    @property
    def place(self) -> str:
        return self.rooms[-1][1] if self.rooms else ""


@dataclass(frozen=True, slots=True)
class _Arrival:
    profile: Profile
    connection_id: str


class SignedIn:
    """Keeps the presence room true for this node's users. `renew` is called at every tick of `c2c.leases`."""

    def __init__(self, settings: Settings, store: Store, tick_s: float) -> None:
        self._store = store
        self._users = store.users
        self._users.on_told = self._told
        self._users.on_chosen = self._know
        self._users.on_idle = self._note_idle
        self._waiting: list[_Arrival | Change] = []
        self._carried_out: asyncio.Future[None] | None = None
        self._flushing: asyncio.Task[None] | None = None
        self._telling: asyncio.TimerHandle | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        # Leases are renewed in one of these many ticks, and users at every so manieth of those.
        self._lease_slots = max(1, int(settings.presence_renew_interval_s / tick_s))
        rounds = max(1, int(settings.presence_ttl_s / _RENEWALS_PER_TTL / tick_s / self._lease_slots))
        self._slots: list[dict[str, _LocalUser]] = [{} for _ in range(self._lease_slots * rounds)]
        self._all_anew = False

    async def start(self) -> None:
        """See that the room is there. While Redis is away, `renew` does it later."""
        with contextlib.suppress(C2CError):
            await self._open_room()

    async def aclose(self) -> None:
        if self._telling is not None:
            self._telling.cancel()
        await end_tasks([*self._tasks, *([self._flushing] if self._flushing else [])])
        if self._carried_out is not None and not self._carried_out.done():
            self._carried_out.set_exception(ServiceUnavailable())

    # What connections say

    def arrive(self, profile: Profile, connection_id: str) -> asyncio.Future[None]:
        """A connection has signed in. The future is done when Redis knows, and fails with ServiceUnavailable."""
        user = self._slot(profile.user_id).setdefault(profile.user_id, _LocalUser(profile))
        user.profile = profile
        user.connections.add(connection_id)
        return self._soon(_Arrival(profile, connection_id))

    def depart(self, user_id: str, connection_id: str, *, dropped: bool) -> asyncio.Future[None]:
        """A connection has ended: its user has gone with it if it was the last one, at once or, when it was dropped,
        after the grace period."""
        user = self._get(user_id)
        former = place = ""
        if user is not None:
            former = user.place
            user.connections.discard(connection_id)
            user.idle.discard(connection_id)
            user.rooms = [entry for entry in user.rooms if entry[0] != connection_id]
            place = user.place
            if not user.connections:
                del self._slot(user_id)[user_id]
        done = self._soon(Change("drop" if dropped else "leave", user_id, connection_id))
        if place != former and not dropped:  # with other connections, they are where those are
            self._soon(Change("place", user_id, "", place, former))
        return done

    def entered(self, user_id: str, connection_id: str, room_id: str) -> None:
        """A connection has entered a room."""
        user = self._get(user_id)
        if user is not None and room_id != HOME:
            with contextlib.suppress(ValueError):
                user.rooms.remove((connection_id, room_id))
            user.rooms.append((connection_id, room_id))
            self._soon(Change("place", user_id, "", room_id))
            if user.shown not in ("", "online"):  # who has just heard of a newcomer takes them for online
                self._tell_rooms(user, {room_id})

    def left(self, user_id: str, connection_id: str, room_id: str) -> None:
        """A connection has left a room."""
        user = self._get(user_id)
        if user is not None and (connection_id, room_id) in user.rooms:
            user.rooms.remove((connection_id, room_id))
            self._soon(Change("place", user_id, "", user.place, room_id))

    async def beat(self, profile: Profile) -> None:
        """A user without a connection says that they are here, for as long as a lease. Raises ServiceUnavailable."""
        await self._soon(_Arrival(profile, _BEATS))

    # Sending

    def _soon(self, item: _Arrival | Change) -> asyncio.Future[None]:
        self._waiting.append(item)
        if self._carried_out is None:
            self._carried_out = asyncio.get_running_loop().create_future()
            # Seen: not everybody waits to be told.
            self._carried_out.add_done_callback(lambda done: done.cancelled() or done.exception())
        if self._flushing is None:
            self._flushing = asyncio.create_task(self._flush(), name="c2c-signed-in")
        return self._carried_out

    async def _flush(self) -> None:
        """Carry out what is waiting, and what comes to wait meanwhile."""
        try:
            while self._waiting:
                waiting, self._waiting = self._waiting, []
                done, self._carried_out = self._carried_out, None
                try:
                    await self._carry_out(waiting)
                except BaseException as failure:
                    self._all_anew = True
                    if not isinstance(failure, C2CError | asyncio.CancelledError):
                        log.exception("changes of users failed")
                    if done is not None and not done.done():
                        done.set_exception(ServiceUnavailable(retryAfterMs=1000))
                    if not isinstance(failure, Exception):
                        raise
                else:
                    if done is not None and not done.done():
                        done.set_result(None)
        finally:
            self._flushing = None

    async def _carry_out(self, waiting: Sequence[_Arrival | Change]) -> None:
        arrivals = [item.profile for item in waiting if isinstance(item, _Arrival)]
        places = [(item.user_id, item.first) for item in waiting if isinstance(item, Change) and item.what == "place"]
        touched = self._users.touch([(profile, "") for profile in arrivals], self._known(arrivals))
        statuses = iter([status for reply in touched for status in await reply])
        announced = {}
        changes = []
        for item in waiting:
            if isinstance(item, _Arrival):
                announced[item.profile.user_id] = status = next(statuses)
                self._know(item.profile.user_id, status)
                item = Change.arrive(item.profile, item.connection_id, status)
            changes.append(item)
        entered = [(user.profile, room) for user_id, room in places if room and (user := self._get(user_id))]
        replies_of_sessions = self._users.touch(entered)
        try:
            await self._change(changes)
        except RoomNotFound:
            await self._open_room()
            self._everybody_anew()
            await self._change(changes)
        for session in replies_of_sessions:
            await session
        for user_id, status in announced.items():
            user = self._get(user_id)
            if user is not None:
                user.shown = user.shown or status
                if user.status not in ("", status):  # who chose another one before they were there to be seen with it
                    self._soon(Change("status", user_id, "", user.status))

    async def _change(self, changes: Sequence[Change]) -> None:
        starts = range(0, len(changes), _CHANGES_MAX)
        replies = [self._users.change(HOME, changes[start : start + _CHANGES_MAX]) for start in starts]
        for reply in replies:
            await reply

    async def _open_room(self) -> None:
        with contextlib.suppress(RoomExists):
            await self._store.open_room(HOME, Presence.name, "c2c", Presence.retention, creator_joins=False)
            log.info("opened the room %s", HOME)

    def _everybody_anew(self) -> None:
        """Redis may have forgotten any of us."""
        self._all_anew = False
        for slot in self._slots:
            for user in slot.values():
                for connection_id in user.connections:
                    self._back(user, connection_id)

    def _told(self, told: Told) -> None:
        """After every change and renewal, whoever asked for it."""
        for user_id, status in told.statuses.items():
            self._see(user_id, status)
        if told.went:
            for reply in self._users.leave(told.went):
                self._spawn(_ignore_errors(reply))
        if told.tell_in_ms is not None and self._telling is None:
            loop = asyncio.get_running_loop()
            self._telling = loop.call_later(told.tell_in_ms / 1000, self._tell)

    def _tell(self) -> None:
        self._telling = None
        self._spawn(_ignore_errors(self._users.renew(HOME, ())))

    # Renewing

    async def renew(self, tick: int) -> Told | None:
        """Renew what is due in this tick, and sweep. None: the room was not there. Raises ServiceUnavailable."""
        try:
            told = await self._renew_leases(tick)
        except RoomNotFound:
            await self._open_room()
            self._everybody_anew()
            return None
        if self._all_anew:
            self._everybody_anew()
        due = list(self._slots[tick % len(self._slots)].values())
        touched = self._users.touch(
            [(user.profile, "") for user in due], {user.profile.user_id: user.status for user in due}
        )
        seen = self._users.statuses(HOME, [user.profile.user_id for user in due]) if due else None
        statuses = [status for reply in touched for status in await reply]
        for user, status in zip(due, statuses, strict=True):
            self._know(user.profile.user_id, status)
        if seen is not None:  # another node may have changed what others see
            for user_id, status in (await seen).items():
                self._see(user_id, status)
        return told

    async def _renew_leases(self, tick: int) -> Told:
        leases = [
            lease_of(user_id, connection_id)
            for slot in self._slots[tick % self._lease_slots :: self._lease_slots]
            for user_id, user in slot.items()
            for connection_id in user.connections
        ]
        starts = range(0, len(leases), _LEASES_MAX) or [0]
        replies = [self._users.renew(HOME, leases[start : start + _LEASES_MAX]) for start in starts]
        found = [await reply for reply in replies]
        for told in found:
            for user_id, connection_id in [lease.rsplit("/", 1) for lease in told.gone]:
                user = self._get(user_id)
                if user is not None and connection_id in user.connections:
                    self._back(user, connection_id)
        return found[-1]

    def _back(self, user: _LocalUser, connection_id: str) -> None:
        """Redis does not know a connection that is here."""
        user_id = user.profile.user_id
        self._soon(_Arrival(user.profile, connection_id))
        if connection_id in user.idle:
            self._soon(Change("idle", user_id, connection_id, "1"))
        if user.place:
            self._soon(Change("place", user_id, "", user.place))

    # What is known of users

    def _know(self, user_id: str, status: str) -> None:
        """The status that a user chose, as Redis has it."""
        user = self._get(user_id)
        if user is not None:
            user.status = status

    def _note_idle(self, user_id: str, connection_id: str, idle: bool) -> None:
        user = self._get(user_id)
        if user is not None and connection_id in user.connections:
            (user.idle.add if idle else user.idle.discard)(connection_id)

    def _see(self, user_id: str, status: str) -> None:
        """What others see of a user. Their rooms here are told if it is something else than before."""
        user = self._get(user_id)
        if user is None or user.shown == status:
            return
        former, user.shown = user.shown, status
        if former:
            self._tell_rooms(user, {room_id for _, room_id in user.rooms})

    def _tell_rooms(self, user: _LocalUser, room_ids: Iterable[str]) -> None:
        """Tell rooms of a user of their status. Not logged: it is worth nothing a moment later."""
        who = {"userId": user.profile.user_id, "username": user.profile.username}
        shown = {**who, "status": user.shown, "lastSeen": iso8601(now_ms())}
        for room_id in room_ids:
            event = to_json({"roomId": room_id, "t": "user:status", **shown})
            self._spawn(_ignore_errors(self._store.publish_to(room_id, event)))

    def _known(self, profiles: Iterable[Profile]) -> dict[str, str]:
        """The statuses of users who were here already."""
        users = [self._get(profile.user_id) for profile in profiles]
        return {user.profile.user_id: user.status for user in users if user is not None}

    def _slot(self, user_id: str) -> dict[str, _LocalUser]:
        return self._slots[zlib.crc32(user_id.encode()) % len(self._slots)]

    def _get(self, user_id: str) -> _LocalUser | None:
        return self._slot(user_id).get(user_id)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


async def _ignore_errors(reply: Awaitable[object]) -> None:
    """Await what is put right by a renewal, should it fail."""
    with contextlib.suppress(C2CError):
        await reply
