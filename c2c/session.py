"""One WebSocket's life: sign-in, commands, and a clean end however it ends."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Mapping
from typing import Any, Final, cast

from starlette.responses import JSONResponse
from starlette.websockets import WebSocket, WebSocketDisconnect

from c2c.auth import origin_allowed
from c2c.codec import SUBPROTOCOL_JSON, RejectedFrame
from c2c.connection import Connection
from c2c.errors import (
    BadFrame,
    BadValue,
    C2CError,
    CloseCode,
    Forbidden,
    Internal,
    NotAMember,
    RateLimited,
    RoomNotFound,
    ServiceUnavailable,
    Unauthorized,
    UnknownCommand,
)
from c2c.events import Command, Hello, Join, KindCommand, Leave, Ping
from c2c.limits import SlidingCount, TokenBucket
from c2c.messages import choose_language, error_answer
from c2c.node import Node
from c2c.outbox import Framing, Outbox, QueueOutbox
from c2c.rooms.base import Answer
from c2c.tasks import end_tasks
from c2c.times import now_ms
from c2c.wire import EXTENSION, Wire, WireOutbox

log = logging.getLogger("c2c.session")

_BAD_FRAMES: Final = 5
_FLOOD_REFUSALS: Final = 200
_WINDOW_S: Final = 10.0
_CLOSE_TIMEOUT_S: Final = 10.0
_NO_STATUS: Final = 1005
_LOST_LEASE_RETRY_MS: Final = 500


class Session:
    """A connection carried by a WebSocket. Its commands are carried out one after the other, in the order they came."""

    def __init__(self, node: Node, websocket: WebSocket) -> None:
        self._node = node
        self._settings = node.settings
        self._websocket = websocket
        self._loop = asyncio.get_running_loop()
        query = websocket.query_params.get("lang") if websocket.scope["query_string"] else None
        self._language = choose_language(query, websocket.headers.get("accept-language"))
        self._bucket = TokenBucket(self._settings.command_rate_per_s, self._settings.command_burst, self._loop.time())
        self._bad_frames = SlidingCount(_BAD_FRAMES, _WINDOW_S)
        self._refusals = SlidingCount(_FLOOD_REFUSALS, _WINDOW_S)
        self._sending: asyncio.Task[None] | None = None
        offered = websocket.scope["subprotocols"]
        self._subprotocol = next((name for name in offered if (name, Framing.WIRE) in node.encodings), None)
        self._wire = cast(Wire | None, (websocket.scope.get("extensions") or {}).get(EXTENSION))
        self._connection = Connection(node)
        self._connection.outbox = self._make_outbox(self._subprotocol or SUBPROTOCOL_JSON)

    def _make_outbox(self, codec_name: str) -> Outbox:
        limit_bytes, too_slow = self._settings.outbox_bytes, self._connection.too_slow
        if self._wire is not None:
            return WireOutbox(self._wire, self._node.encodings[codec_name, Framing.WIRE], limit_bytes, too_slow)
        outbox = QueueOutbox(self._node.encodings[codec_name, Framing.BARE], limit_bytes, too_slow)
        self._sending = asyncio.create_task(self._send(outbox), name="c2c-outbox")
        return outbox

    # Life

    async def run(self) -> None:
        """From the accepted handshake to the last goodbye. Raises nothing that the connection's end may cause."""
        connection = self._connection
        if self._wire is not None:
            self._wire.accept(self._subprotocol)
        else:
            await self._websocket.accept(subprotocol=self._subprotocol)
        self._node.enter(connection)
        connection.set_deadline(self._settings.sign_in_timeout_s, CloseCode.SIGN_IN_TIMEOUT, "no sign-in")
        try:
            await self._serve()
        finally:
            try:
                await connection.end()
                await self._finish_sending()
            finally:
                self._node.exit(connection)

    async def _serve(self) -> None:
        while not self._connection.outbox.closed:
            message = await self._receive()
            if message is None:
                return
            if message["type"] == "websocket.disconnect":
                self._connection.close_code = message.get("code") or _NO_STATUS
                return
            if message["type"] == "websocket.receive":
                await self._take(message)

    async def _receive(self) -> Mapping[str, Any] | None:
        """The next message; None when the outbox ended first (only where there is no wire that says so itself)."""
        if self._wire is not None:
            message: Mapping[str, Any] = await self._wire.receive()
            return message
        assert self._sending is not None
        receiving = asyncio.ensure_future(self._websocket.receive())
        try:
            await asyncio.wait({receiving, self._sending}, return_when=asyncio.FIRST_COMPLETED)
            return await receiving if receiving.done() else None
        finally:
            receiving.cancel()

    async def _send(self, outbox: QueueOutbox) -> None:
        """Empty the outbox by ASGI `send`, where there is no wire."""
        binary = outbox.encoding.codec.binary
        with contextlib.suppress(WebSocketDisconnect, RuntimeError):
            async for frame in outbox.frames():
                if binary:
                    await self._websocket.send_bytes(frame)
                else:
                    await self._websocket.send_text(frame.decode())
            if outbox.closing is not None:
                code, reason = outbox.closing
                await self._websocket.close(int(code), reason)

    async def _finish_sending(self) -> None:
        if self._sending is not None:
            await asyncio.wait({self._sending}, timeout=_CLOSE_TIMEOUT_S if self._connection.outbox.closed else 0)
            await end_tasks([self._sending])

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
        codec = self._connection.outbox.encoding.codec
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
                self._connection.close(CloseCode.FLOOD, "flood")
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
                await self._connection.join(command.roomId, command.since, command.id)
                return None
            case Ping():
                return {"t": "pong", "serverTime": now_ms()}
            case Leave():
                await self._connection.leave(command.roomId)
                return {"t": "left", "roomId": command.roomId}
            case KindCommand():
                return await self._of_kind(command)
        raise UnknownCommand()

    async def _sign_in(self, token: str) -> None:
        """Check a token, the first or a fresh one for the same user."""
        self._connection.sign_in(await self._node.authenticator.authenticate(token))

    def _welcome(self) -> Answer:
        profile = self._connection.profile
        return {
            "t": "welcome",
            "me": profile.user_id,
            "username": profile.username,
            "connectionId": self._connection.connection_id,
            "nodeId": self._settings.node_id,
            "heartbeatMs": round(self._settings.heartbeat_s * 1000),
            "serverTime": now_ms(),
        }

    async def _of_kind(self, command: KindCommand) -> Answer:
        """A command that need not say to which room: to the only one of its kind, in which is whoever has signed in, or
        to the one that we are in."""
        kind = self._node.kinds.of_command(type(command))
        if kind is None or kind.home is None:
            name = "" if kind is None else kind.name
            return await self._in_room(command, command.roomId or self._connection.room_of(name))
        if command.roomId not in (None, kind.home):
            raise BadValue(field="roomId", reason=f"there is only {kind.home}")
        call = self._connection.call(kind.home, None)
        await self._connection.be_signed_in()
        return await kind.handle(call, command)

    async def _in_room(self, command: KindCommand, room_id: str) -> Answer:
        """A command of the room's kind. If the room or our place in it was lost, that is mended first."""
        member = self._connection.member(room_id)
        call = self._connection.call(room_id, member)
        kind = self._node.kinds[member.kind]
        try:
            return await kind.handle(call, command)
        except RoomNotFound:
            self._node.hub.lost(room_id)
            raise ServiceUnavailable(retryAfterMs=_LOST_LEASE_RETRY_MS) from None
        except NotAMember:
            await self._node.hub.rejoin(room_id, [member.lease])
            return await kind.handle(call, command)

    # Answers

    def _answer(self, message: Mapping[str, Any]) -> None:
        self._connection.outbox.offer([self._connection.outbox.encoding.encode_message(message)])

    def _answer_error(self, error: C2CError, command_id: str | None) -> None:
        self._node.metrics.errors.labels(error.code).inc()
        answer = error_answer(error, self._language)
        if command_id is not None:
            answer["id"] = command_id
        self._answer(answer)
        if isinstance(error, Unauthorized):
            self._connection.close(CloseCode.UNAUTHORIZED, str(error.details.get("reason", "")))
        elif isinstance(error, BadFrame) and self._bad_frames.add(self._loop.time()):
            self._connection.close(CloseCode.BAD_FRAMES, "too many bad frames")


async def websocket_endpoint(websocket: WebSocket) -> None:
    """`GET /ws`: refusals that need no sign-in come before the upgrade."""
    node: Node = websocket.app.state.node
    headers = websocket.headers
    if not origin_allowed(headers.get("origin"), headers.get("host"), node.settings.allowed_origins):
        await websocket.send_denial_response(JSONResponse({"code": Forbidden.code, "reason": "origin"}, 403))
    elif refusal := node.refusal():
        answer = JSONResponse({"code": refusal.code, **refusal.details}, 503, headers={"Retry-After": "1"})
        await websocket.send_denial_response(answer)
    else:
        await Session(node, websocket).run()
