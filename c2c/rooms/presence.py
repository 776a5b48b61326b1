"""The presence kind: who is signed in, and what they want others to see."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Iterator
from datetime import datetime
from typing import Annotated, Any, ClassVar, Final, Literal

from pydantic import Field

from c2c.errors import RoomNotFound, ServiceUnavailable
from c2c.events import Command, KindCommand, UserId
from c2c.rooms.base import Answer, Call, Entrance, Kind, Snapshot, decode_events
from c2c.store import Joined, Retention, Store
from c2c.times import now_ms
from c2c.users import Change, Profile, Status, UsersPage

HOME: Final = "online"
SNAPSHOT_USERS: Final = 500
LIST_USERS: Final = 200
# Of rooms with more users an event may hold 500 of them, about 64 KB.
_LOG_EVENTS: Final = 500
_OPENING_MS: Final = 500


class StatusUpdate(KindCommand):
    t: Literal["status:update"]
    status: Status


class OnlineList(KindCommand):
    t: Literal["online:list"]
    status: Literal["online", "away", "busy"] | None = None
    after: UserId | None = None
    limit: Annotated[int, Field(ge=1, le=500)] = LIST_USERS


class StatusQuery(KindCommand):
    t: Literal["status:query"]
    targetUserId: UserId


class Heartbeat(KindCommand):
    t: Literal["heartbeat"]


class StatusIdle(KindCommand):
    t: Literal["status:idle"]
    idle: bool


class Presence(Kind):
    """The one room of all who are signed in. Signing in makes one a member (`c2c.signed_in`), joining subscribes."""

    name: ClassVar[str] = "presence"
    retention: ClassVar[Retention] = Retention(log_events=_LOG_EVENTS, room_ttl_s=None)
    home: ClassVar[str | None] = HOME
    by_hand: ClassVar[bool] = False

    def __init__(self) -> None:
        self.commands = {
            StatusUpdate: self._update,
            OnlineList: self._list,
            StatusQuery: self._query,
            Heartbeat: self._heartbeat,
            StatusIdle: self._idle,
        }

    async def look_in(self, store: Store) -> Entrance:
        """The first 500 users, also in place of all members, and how many there are."""
        page = await store.users.page(HOME, "", "", SNAPSHOT_USERS)
        shown = page_json(page)
        stats = {"total": sum(page.counts.values()), "byStatus": page.counts}
        statuses = {user["userId"]: user["status"] for user in shown["users"]}
        return Entrance(
            Joined(page.position, self.name, "", "", list(statuses)),
            statuses,
            Snapshot(page.position, {**shown, "stats": stats}),
        )

    async def handle(self, call: Call, command: Command) -> Answer:
        with being_opened():
            return await super().handle(call, command)

    async def _update(self, call: Call, command: StatusUpdate) -> Answer:
        await update_status(call.store, call.sender.user_id, command.status)
        return {"t": "status:updated", "status": command.status}

    async def _list(self, call: Call, command: OnlineList) -> Answer:
        page = await call.store.users.page(HOME, command.status or "", command.after or "", command.limit)
        return {"t": "online:users", **page_json(page)}

    async def _query(self, call: Call, command: StatusQuery) -> Answer:
        return {"t": "status:result", **await read_user(call.store, command.targetUserId)}

    async def _idle(self, call: Call, command: StatusIdle) -> Answer:
        await call.store.users.idle(HOME, call.sender.user_id, call.connection_id, command.idle)
        return {"t": "ack"}

    async def _heartbeat(self, call: Call, command: Heartbeat) -> Answer:
        # The connection itself is watched; that its user asks changes nothing.
        return {"t": "heartbeat:ack", "serverTime": now_ms()}


@contextlib.contextmanager
def being_opened() -> Iterator[None]:
    """The room exists always: where Redis has lost it, a node opens it again in a moment. Raises ServiceUnavailable."""
    try:
        yield
    except RoomNotFound:
        raise ServiceUnavailable(retryAfterMs=_OPENING_MS) from None


def page_json(page: UsersPage) -> dict[str, Any]:
    """A page of users as clients see it."""
    users = decode_events(page.users)
    shown: dict[str, Any] = {"users": users, "more": page.more}
    if page.more:
        shown["next"] = users[-1]["userId"]
    return shown


async def update_status(store: Store, user_id: str, status: Status) -> None:
    """A user chooses a status. 1 round trip, shared by both calls.

    In this order: should only one of them come about, others see what was chosen, until the user comes back.
    """
    changed = store.users.change(HOME, [Change("status", user_id, "", status)])
    chosen = store.users.choose(user_id, status)
    await changed
    await chosen


async def read_user(store: Store, user_id: str) -> dict[str, Any]:
    """What others see of a user; somebody unknown is offline. 1 round trip."""
    looking, remembered = store.users.look(HOME, [user_id]), store.users.session(user_id)
    user: dict[str, Any] = decode_events(await looking)[0]
    profile: Profile | None = await remembered
    if user["status"] == "offline":
        # Both of somebody hidden are kept while they are here: they must be forgotten as those of somebody gone are.
        if profile is None or _seconds_since(user["lastSeen"]) > store.users.session_ttl_s:
            profile = Profile(user_id, user_id, "")
        user |= {"username": profile.username, "avatar": profile.avatar}
    return {"userId": user_id, "online": user["status"] != "offline", **user}


def _seconds_since(timestamp: str | None) -> float:
    return math.inf if timestamp is None else time.time() - datetime.fromisoformat(timestamp).timestamp()
