"""One connection of one user, whatever carries it: who it is, the rooms it is in, and its goodbyes.

A WebSocket (`c2c.session`) and an event stream (`c2c.http.stream`) are both a connection.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
import time
from collections.abc import Awaitable
from typing import Final

from c2c.auth import Principal
from c2c.errors import C2CError, CloseCode, Forbidden, NotAMember, RoomLimit, RoomNotFound, Unauthorized
from c2c.events import Since
from c2c.fanout import Member
from c2c.node import Node
from c2c.outbox import Outbox
from c2c.rooms.base import Call
from c2c.users import Profile

log = logging.getLogger("c2c.connection")

_CLEAN_CLOSE: Final = 1000


class Connection:
    """A connection's state on its node. The carrier sets `outbox` before anything is sent."""

    outbox: Outbox

    def __init__(self, node: Node) -> None:
        self._node = node
        self._loop = asyncio.get_running_loop()
        self._opened_s = self._loop.time()
        self._principal: Principal | None = None
        self._members: dict[str, Member] = {}
        self._arrived: asyncio.Future[None] | None = None
        self._deadline: asyncio.TimerHandle | None = None
        self.connection_id = secrets.token_hex(6)
        self.close_code = int(CloseCode.GOING_AWAY)

    @property
    def profile(self) -> Profile:
        """Raises Unauthorized before sign-in."""
        if self._principal is None:
            raise Unauthorized(reason="token missing")
        return self._principal.profile

    # Signing in

    def sign_in(self, principal: Principal) -> None:
        """Say whose connection it is; again, with a fresh token of the same user. Raises Forbidden for another's."""
        if self._principal is not None and principal.profile.user_id != self._principal.profile.user_id:
            raise Forbidden(reason="this connection is somebody else's")
        if self._principal is None or self._principal.profile != principal.profile:
            self._arrived = self._node.signed_in.arrive(principal.profile, self.connection_id)
        self._principal = principal
        self._clear_deadline()
        if principal.expires_at_s is not None:
            left_s = principal.expires_at_s - time.time()
            self.set_deadline(left_s, CloseCode.UNAUTHORIZED, "the token has expired")

    async def be_signed_in(self) -> None:
        """Wait until Redis knows. Raises ServiceUnavailable."""
        if self._arrived is None:
            return
        if self._arrived.done() and self._arrived.exception() is not None:
            self._arrived = self._node.signed_in.arrive(self.profile, self.connection_id)
        await asyncio.shield(self._arrived)
        self._arrived = None

    def set_deadline(self, delay_s: float, code: CloseCode, reason: str) -> None:
        """Close after a time, unless something else is said before."""
        self._clear_deadline()
        self._deadline = self._loop.call_later(delay_s, self.close, code, reason)

    def _clear_deadline(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    # Rooms

    async def join(self, room_id: str, since: Since | None, command_id: str | None) -> None:
        """Enter a room, or enter it anew; `joined` and what belongs behind it are sent.

        Raises Unauthorized, RoomNotFound (also for a room that the token does not open), RoomLimit.
        """
        if self._principal is None:
            raise Unauthorized(reason="token missing")
        if not self._principal.may_enter(room_id):
            raise RoomNotFound()
        await self.be_signed_in()  # nobody sees a member come who is offline
        former = self._members.pop(room_id, None)
        limit = self._node.settings.max_rooms_per_connection
        if former is not None:
            self._node.hub.detach(former, room_id)
        elif len(self._members) >= limit:
            raise RoomLimit(limit=limit)
        member = self._members[room_id] = await self._node.hub.join(self, room_id, since, command_id)
        self._node.signed_in.entered(self.profile.user_id, self.connection_id, room_id)
        if self._node.kinds[member.kind].one_at_a_time:
            for other_id in [id_ for id_, other in self._members.items() if other.kind == member.kind]:
                if other_id != room_id:
                    with contextlib.suppress(C2CError):  # a lease that cannot be given back ends by itself
                        await self.leave(other_id)
                    self.outbox.offer([self.outbox.encoding.encode_message({"t": "left", "roomId": other_id})])

    def call(self, room_id: str, member: Member | None) -> Call:
        """A command of ours, on its way to a kind. Raises Unauthorized."""
        profile = self.profile
        assert self._principal is not None
        user_id = None if member is None else member.user_id
        return Call(self._node.store, room_id, profile, user_id, self._principal.viewer, self.connection_id)

    def room_of(self, kind: str) -> str:
        """The room of a kind that we entered last. Raises NotAMember, Unauthorized."""
        for room_id, member in reversed(self._members.items()):
            if member.kind == kind:
                return room_id
        raise NotAMember() if self._principal is not None else Unauthorized(reason="token missing")

    def member(self, room_id: str) -> Member:
        """Our place in a room. Raises NotAMember, Unauthorized."""
        member = self._members.get(room_id)
        if member is None:
            raise NotAMember() if self._principal is not None else Unauthorized(reason="token missing")
        return member

    async def leave(self, room_id: str) -> None:
        """Leave a room at once. Raises NotAMember."""
        member = self.member(room_id)
        del self._members[room_id]
        self._node.signed_in.left(member.user_id, self.connection_id, room_id)
        await self._node.hub.leave(member, room_id)

    # The end

    def close(self, code: CloseCode, reason: str) -> None:
        """Close from our side: nothing more is sent. The goodbyes follow when the carrier notices."""
        if not self.outbox.closed:
            self.close_code = int(code)
            self._node.metrics.closes.labels(str(int(code))).inc()
            self.outbox.close(code, reason)
            for room_id, member in self._members.items():
                self._node.hub.detach(member, room_id)

    def too_slow(self) -> None:
        """The client does not read what it is sent."""
        if not self.outbox.closed:
            self._node.metrics.slow_consumers.inc()
            self.close(CloseCode.SLOW_CONSUMER, "too much unread")

    async def end(self) -> None:
        """Leave all rooms: at once when the client said goodbye, else after the grace period in which it may be back.

        While Redis is away nothing can be said; leases end by themselves.
        """
        self._clear_deadline()
        dropped = self.close_code != _CLEAN_CLOSE
        goodbyes: list[Awaitable[None]] = [
            self._drop(room_id, member) if dropped else self._node.hub.leave(member, room_id)
            for room_id, member in self._members.items()
        ]
        if self._principal is not None:
            user_id = self._principal.profile.user_id
            goodbyes.append(self._node.signed_in.depart(user_id, self.connection_id, dropped=dropped))
        for result in await asyncio.gather(*goodbyes, return_exceptions=True):
            if isinstance(result, Exception) and not isinstance(result, C2CError):
                log.error("leaving failed", exc_info=result)
        who = self._principal.profile.user_id if self._principal else "nobody"
        lasted_s = self._loop.time() - self._opened_s
        log.info("connection %s of %s closed: %d after %.1f s", self.connection_id, who, self.close_code, lasted_s)

    async def _drop(self, room_id: str, member: Member) -> None:
        self._node.leases.sweep_after_grace(room_id)
        await self._node.hub.drop(member, room_id)
