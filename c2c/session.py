"""One WebSocket's life: sign-in, commands, and a clean end however it ends."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
import time
from collections.abc import Mapping
from typing import Any, Final, cast

from starlette.responses import JSONResponse
from starlette.websockets import WebSocket, WebSocketDisconnect

from c2c.auth import Principal, origin_allowed
from c2c.codec import SUBPROTOCOL_JSON, RejectedFrame
from c2c.errors import (
    BadFrame,
    C2CError,
    CloseCode,
    Forbidden,
    Internal,
    NotAMember,
    RateLimited,
    RoomLimit,
    RoomNotFound,
    ServiceUnavailable,
    Unauthorized,
    UnknownCommand,
)
from c2c.events import Command, Hello, Join, Leave, Ping, RoomCommand
from c2c.fanout import Member
from c2c.limits import SlidingCount, TokenBucket
from c2c.messages import choose_language, error_message
from c2c.node import Node
from c2c.outbox import Outbox, SendOutbox
from c2c.rooms.base import Answer, Call
from c2c.store import Profile
from c2c.wire import EXTENSION, Wire, WireOutbox

log = logging.getLogger("c2c.session")

_BAD_FRAMES: Final = 5
_FLOOD_REFUSALS: Final = 200
_WINDOW_S: Final = 10.0
_CLOSE_TIMEOUT_S: Final = 10.0
_CLEAN_CLOSE: Final = 1000
_LOST_LEASE_RETRY_MS: Final = 500


class Session:
    """One connection of one user. Commands are carried out one after the other, in the order they came."""

    def __init__(self, node: Node, websocket: WebSocket) -> None:
        self._node = node
        self._settings = node.settings
        self._websocket = websocket
        self._loop = asyncio.get_running_loop()
        self.connection_id = secrets.token_hex(6)
        self._principal: Principal | None = None
        self._language = choose_language(websocket.query_params.get("lang"), websocket.headers.get("accept-language"))
        self._members: dict[str, Member] = {}
        self._bucket = TokenBucket(self._settings.command_rate_per_s, self._settings.command_burst, self._loop.time())
        self._bad_frames = SlidingCount(_BAD_FRAMES, _WINDOW_S)
        self._refusals = SlidingCount(_FLOOD_REFUSALS, _WINDOW_S)
        self._deadline: asyncio.TimerHandle | None = None
        self._sending: asyncio.Task[None] | None = None
        self._close_code = int(CloseCode.GOING_AWAY)
        offered = next((name for name in websocket.scope["subprotocols"] if (name, True) in node.encodings), None)
        self._subprotocol = offered
        self.outbox = self._make_outbox(offered or SUBPROTOCOL_JSON)

    def _make_outbox(self, codec_name: str) -> Outbox:
        wire = (self._websocket.scope.get("extensions") or {}).get(EXTENSION)
        limit_bytes = self._settings.outbox_bytes
        if wire is not None:
            return WireOutbox(cast(Wire, wire), self._node.encodings[codec_name, True], limit_bytes, self._too_slow)
        encoding = self._node.encodings[codec_name, False]
        outbox = SendOutbox(self._send, encoding, limit_bytes, self._too_slow)
        self._sending = asyncio.create_task(outbox.run(), name="c2c-outbox")
        return outbox

    @property
    def profile(self) -> Profile:
        """Raises Unauthorized before sign-in."""
        if self._principal is None:
            raise Unauthorized(reason="token missing")
        return self._principal.profile

    # Life

    async def run(self) -> None:
        """From the accepted handshake to the last goodbye. Raises nothing that the connection's end may cause."""
        await self._websocket.accept(subprotocol=self._subprotocol)
        self._node.enter(self)
        self._set_deadline(self._settings.sign_in_timeout_s, CloseCode.SIGN_IN_TIMEOUT, "no sign-in")
        opened_s = self._loop.time()
        try:
            await self._serve()
        finally:
            if self._deadline is not None:
                self._deadline.cancel()
            try:
                await self._end()
            finally:
                self._node.exit(self)
            user_id = self._principal.profile.user_id if self._principal else "nobody"
            log.info(
                "connection %s of %s closed: %d after %.1f s",
                self.connection_id, user_id, self._close_code, self._loop.time() - opened_s,
            )  # fmt: skip

    async def _serve(self) -> None:
        while not self.outbox.closed:
            message = await self._receive()
            if message is None:
                return
            if message["type"] == "websocket.disconnect":
                self._close_code = message.get("code") or 1005
                return
            await self._take(message)

    async def _receive(self) -> Mapping[str, Any] | None:
        """The next message; None when the outbox ended first (only where there is no wire that says so itself)."""
        if self._sending is None:
            return await self._websocket.receive()
        receiving = asyncio.ensure_future(self._websocket.receive())
        try:
            await asyncio.wait({receiving, self._sending}, return_when=asyncio.FIRST_COMPLETED)
            return await receiving if receiving.done() else None
        finally:
            receiving.cancel()

    async def _send(self, message: Mapping[str, Any]) -> None:
        with contextlib.suppress(WebSocketDisconnect, RuntimeError):
            await self._websocket.send(dict(message))

    def close(self, code: CloseCode, reason: str) -> None:
        """Close from our side. What is left to do happens when the connection's task notices."""
        if not self.outbox.closed:
            self._close_code = int(code)
            self._node.metrics.closes.labels(str(int(code))).inc()
            self.outbox.close(code, reason)
            for room_id, member in self._members.items():
                self._node.hub.detach(member, room_id)

    def _too_slow(self) -> None:
        if not self.outbox.closed:
            self._node.metrics.slow_consumers.inc()
            self.close(CloseCode.SLOW_CONSUMER, "too much unread")

    def _set_deadline(self, delay_s: float, code: CloseCode, reason: str) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
        self._deadline = self._loop.call_later(delay_s, self.close, code, reason)

    async def _end(self) -> None:
        """Leave all rooms: at once when the client said goodbye, else after the grace period in which it may be back.

        While Redis is away nothing can be said; leases end by themselves.
        """
        dropped = self._close_code != _CLEAN_CLOSE
        for room_id, member in self._members.items():
            if dropped:
                self._node.leases.sweep_after_grace(room_id)
                self._node.hub.detach(member, room_id)
        goodbyes = [
            self._node.store.shorten_lease(room_id, member.user_id, member.connection_id)
            if dropped
            else self._node.hub.leave(member, room_id)
            for room_id, member in self._members.items()
        ]
        if self._principal is not None:
            user_id = self._principal.profile.user_id
            self._node.leases.users.remove(user_id, self.connection_id)
            goodbyes.append(self._node.store.end_user_connection(user_id, self.connection_id, dropped=dropped))
        for result in await asyncio.gather(*goodbyes, return_exceptions=True):
            if isinstance(result, Exception) and not isinstance(result, C2CError):
                log.error("leaving failed", exc_info=result)
        if self._sending is not None:
            await asyncio.wait({self._sending}, timeout=_CLOSE_TIMEOUT_S if self.outbox.closed else 0)
            self._sending.cancel()
            await asyncio.gather(self._sending, return_exceptions=True)

    # Commands

    async def _take(self, message: Mapping[str, Any]) -> None:
        """One frame: decode, check the rate, carry out, answer."""
        started_s = time.perf_counter()
        command_id: str | None = None
        wait_s = self._bucket.take(self._loop.time())  # every frame counts, also a bad one
        try:
            command = self._decode(message)
            command_id = command.id
            self._node.metrics.commands.labels(command.t).inc()
            self._check_rate(wait_s)
            answer = await self._carry_out(command)
        except RejectedFrame as rejected:
            self._refuse(rejected, wait_s)
        except C2CError as error:
            self._answer_error(error, command_id)
        except Exception:
            log.exception("a command failed")
            self._answer_error(Internal(), command_id)
        else:
            # A bare `ack` tells nothing to a client that gave its command no id.
            if answer is not None and command_id is not None:
                self._answer({**answer, "id": command_id})
            elif answer is not None and answer["t"] != "ack":
                self._answer(answer)
        self._node.metrics.command_latency.observe(time.perf_counter() - started_s)

    def _decode(self, message: Mapping[str, Any]) -> Command:
        codec = self.outbox.encoding.codec
        frame = message.get("bytes") if codec.binary else message.get("text")
        if frame is None:
            raise RejectedFrame(BadFrame(reason="text frames are for JSON, binary frames for msgpack"))
        return codec.decode(frame)

    def _refuse(self, rejected: RejectedFrame, wait_s: float) -> None:
        """Answer a frame that became no command; one too many is told that instead."""
        try:
            self._check_rate(wait_s)
        except RateLimited as error:
            self._answer_error(error, rejected.command_id)
        else:
            self._answer_error(rejected.error, rejected.command_id)

    def _check_rate(self, wait_s: float) -> None:
        """Raises RateLimited when the bucket says to wait; closes who does not listen to that."""
        if wait_s > 0:
            error = RateLimited(retryAfterMs=int(wait_s * 1000) + 1)
            if self._refusals.add(self._loop.time()):
                self.close(CloseCode.FLOOD, "flood")
            raise error

    async def _carry_out(self, command: Command) -> Answer | None:
        """The answer to a command; None when it was sent already."""
        match command:
            case Hello():
                await self._sign_in(command.token)
                return self._welcome()
            case Join():
                if command.token is not None:
                    await self._sign_in(command.token)
                await self._join(command)
                return None
            case Ping():
                return {"t": "pong", "serverTime": _now_ms()}
            case Leave():
                member = self._member(command.roomId)
                del self._members[command.roomId]
                await self._node.hub.leave(member, command.roomId)
                return {"t": "left", "roomId": command.roomId}
            case RoomCommand():
                return await self._in_room(command)
        raise UnknownCommand()

    async def _sign_in(self, token: str) -> None:
        """Check a token, the first or a fresh one for the same user."""
        principal = await self._node.authenticator.authenticate(token)
        if self._principal is not None and principal.profile.user_id != self._principal.profile.user_id:
            raise Forbidden(reason="this connection is somebody else's")
        self._principal = principal
        self._node.leases.users.add(principal.profile, self.connection_id)
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
        if principal.expires_at_s is not None:
            self._set_deadline(principal.expires_at_s - time.time(), CloseCode.UNAUTHORIZED, "the token has expired")

    def _welcome(self) -> Answer:
        # Not waited for: a sign-in needs no Redis, and the next renewal writes the same.
        self._node.store.touch_user(self.profile, [self.connection_id])
        return {
            "t": "welcome",
            "me": self.profile.user_id,
            "username": self.profile.username,
            "connectionId": self.connection_id,
            "nodeId": self._settings.node_id,
            "heartbeatMs": round(self._settings.heartbeat_s * 1000),
            "serverTime": _now_ms(),
        }

    async def _join(self, command: Join) -> None:
        room_id = command.roomId
        if self._principal is None:
            raise Unauthorized(reason="token missing")
        if not self._principal.may_enter(room_id):
            raise RoomNotFound()
        former = self._members.pop(room_id, None)
        if former is not None:
            self._node.hub.detach(former, room_id)
        elif len(self._members) >= self._settings.max_rooms_per_connection:
            raise RoomLimit(limit=self._settings.max_rooms_per_connection)
        self._members[room_id] = await self._node.hub.join(self, room_id, command.since, command.id)

    def _member(self, room_id: str) -> Member:
        member = self._members.get(room_id)
        if member is None:
            _ = self.profile
            raise NotAMember()
        return member

    async def _in_room(self, command: RoomCommand) -> Answer:
        """A command of the room's kind. If the room or our place in it was lost, that is mended first."""
        member = self._member(command.roomId)
        call = Call(self._node.store, self._node.keys, command.roomId, self.profile, member.user_id)
        kind = self._node.kinds[member.kind]
        try:
            return await kind.handle(call, command)
        except RoomNotFound:
            self._node.hub.lost(command.roomId)
            raise ServiceUnavailable(retryAfterMs=_LOST_LEASE_RETRY_MS) from None
        except NotAMember:
            await self._node.hub.rejoin(command.roomId, [member.lease])
            return await kind.handle(call, command)

    # Answers

    def _answer(self, message: Mapping[str, Any]) -> None:
        self.outbox.offer([self.outbox.encoding.encode_message(message)])

    def _answer_error(self, error: C2CError, command_id: str | None) -> None:
        self._node.metrics.errors.labels(error.code).inc()
        answer: dict[str, Any] = {"t": "error"}
        if command_id is not None:
            answer["id"] = command_id
        answer |= {
            "code": error.code,
            "message": error_message(error.code, self._language),
            "retryable": error.retryable,
            **error.details,
        }
        self._answer(answer)
        if isinstance(error, Unauthorized):
            self.close(CloseCode.UNAUTHORIZED, str(error.details.get("reason", "")))
        elif isinstance(error, BadFrame) and self._bad_frames.add(self._loop.time()):
            self.close(CloseCode.BAD_FRAMES, "too many bad frames")


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


async def websocket_endpoint(websocket: WebSocket) -> None:
    """`GET /ws`: refusals that need no sign-in come before the upgrade."""
    node: Node = websocket.app.state.node
    headers = websocket.headers
    if not origin_allowed(headers.get("origin"), headers.get("host"), node.settings.allowed_origins):
        await websocket.send_denial_response(JSONResponse({"code": Forbidden.code, "reason": "origin"}, 403))
    elif node.draining or node.full:
        reason = "draining" if node.draining else "full"
        await websocket.send_denial_response(
            JSONResponse({"code": ServiceUnavailable.code, "reason": reason}, 503, headers={"Retry-After": "1"})
        )
    else:
        await Session(node, websocket).run()
