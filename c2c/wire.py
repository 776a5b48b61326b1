"""A WebSocket on uvicorn, opened up so that one finished frame can be written to many connections.

`HttpProtocol` is uvicorn's; it hands a request for a WebSocket over to `WireProtocol` as it has parsed it. That checks
the handshake (`c2c.handshake`), lets websockets parse the frames, and runs the application with itself, as a `Wire`, in
`scope["extensions"]["c2c.wire"]`. Server frames are unmasked (RFC 6455, section 5.1), so the same bytes are right for
everybody; writing them costs one call of the transport and no copy.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Iterable
from http import HTTPStatus
from typing import Any, Final, Protocol, cast

import uvicorn.server
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from websockets.frames import Frame, Opcode
from websockets.protocol import Protocol as FrameProtocol
from websockets.protocol import Side

from c2c.errors import CloseCode
from c2c.handshake import BadHandshake, Headers, accept_key, refusal, switching_protocols, websocket_scope
from c2c.keepalive import PING, Keepalive
from c2c.outbox import Encoding

log = logging.getLogger("c2c.wire")
_quiet = logging.getLogger("c2c.wire.frames")
_quiet.setLevel(logging.WARNING)  # websockets logs whole frames at DEBUG, and frames hold tokens

EXTENSION: Final = "c2c.wire"
_CLOSE_TIMEOUT_S: Final = 10.0
_NO_STATUS: Final = 1005
_ABNORMAL: Final = 1006
_INVALID_DATA: Final = 1007
_NO_PONG: Final = 1011
_FRAGMENTS_MAX: Final = 1000


class Writer(Protocol):
    """The way out of a connection, for an outbox."""

    def write(self, data: bytes) -> None:
        """Hand bytes to the transport, at once."""

    def watch(self, limit_bytes: int, on_overflow: Callable[[], None]) -> None:
        """Call back when more than the limit is unread."""

    def close(self, code: int, reason: str) -> None:
        """Send a close frame behind what was written, and cut the connection if that is not read in time."""


class Wire(Writer, Protocol):
    """A connection without ASGI in between, for a session."""

    def accept(self, subprotocol: str | None) -> None:
        """Complete the handshake."""

    async def receive(self) -> Any:
        """The next ASGI message."""


class ServerState(uvicorn.server.ServerState):
    """What all connections of a server share."""

    def __init__(self, keepalive: Keepalive) -> None:
        super().__init__()
        self.keepalive = keepalive


class HttpProtocol(HttpToolsProtocol):
    """The protocol class for `uvicorn.Config(http=…)`. The server's state must be a `ServerState`."""

    def handle_websocket_upgrade(self) -> None:
        self.connections.discard(self)
        state = cast(ServerState, self.server_state)
        wire = WireProtocol(self.app, state, self.transport, self.loop, self.config.ws_max_size)
        self.transport.set_protocol(wire)
        wire.open(cast(dict[str, Any], self.scope), self.url)


class WireProtocol(asyncio.Protocol):
    """One WebSocket, from its request to its end; `open` is called once."""

    __slots__ = (
        "_accept_key", "_accepted", "_alive", "_app", "_closed", "_cutting", "_denial", "_fragments", "_frames",
        "_loop", "_messages", "_on_overflow", "_paused", "_server", "_slot", "_text", "_transport", "_waiting", "write",
    )  # fmt: skip

    def __init__(
        self,
        app: Any,
        server: ServerState,
        transport: asyncio.Transport,
        loop: asyncio.AbstractEventLoop,
        max_size: int,
    ) -> None:
        self._app = app
        self._server = server
        self._transport = transport
        self._loop = loop
        self.write = transport.write
        self._on_overflow: Callable[[], None] | None = None
        self._frames = FrameProtocol(Side.SERVER, max_size=max_size, logger=_quiet)
        self._fragments: list[bytes] = []
        self._text = False
        self._messages: deque[dict[str, Any]] = deque()
        self._waiting: asyncio.Future[None] | None = None
        self._paused = False
        self._accept_key = b""
        self._denial: tuple[int, Headers] | None = None
        self._accepted = False
        self._closed = False  # by a close frame of either side, by a refusal, or by the network
        self._cutting: asyncio.TimerHandle | None = None
        self._slot: int | None = None
        self._alive = True

    # Opening

    def open(self, scope: dict[str, Any], url: bytes) -> None:
        """Check the request and run the application on it."""
        self._server.connections.add(self)  # type: ignore[arg-type]  # it is asked for `shutdown` only
        try:
            self._accept_key = accept_key(scope["method"], scope["http_version"], scope["headers"])
            scope = websocket_scope(scope, url)
        except BadHandshake as bad:
            self._refuse(bad.status, bad.headers)
            return
        scope["extensions"] = {"websocket.http.response": {}, EXTENSION: self}
        task = self._loop.create_task(self._run(scope))
        self._server.tasks.add(task)
        task.add_done_callback(self._server.tasks.discard)

    async def _run(self, scope: dict[str, Any]) -> None:
        try:
            await self._app(scope, self.receive, self.send)
        except Exception:
            log.exception("a WebSocket failed")
        finally:
            if not self._accepted:
                self._refuse(HTTPStatus.INTERNAL_SERVER_ERROR)
            if self._cutting is None:
                self._hang_up()

    def accept(self, subprotocol: str | None) -> None:
        if self._transport.is_closing():
            return
        self._accepted = True
        self.write(switching_protocols(self._accept_key, subprotocol, self._server.default_headers))
        self._slot = self._server.keepalive.add(self)

    async def send(self, message: Any) -> None:
        """ASGI, for answers that refuse the WebSocket. What goes out of an open one goes past ASGI."""
        match message["type"]:
            case "websocket.close":
                self._refuse(HTTPStatus.FORBIDDEN)
            case "websocket.http.response.start":
                self._denial = message["status"], message.get("headers", ())
            case "websocket.http.response.body" if self._denial is not None and not message.get("more_body"):
                self._refuse(*self._denial, message["body"])
            case unknown:
                raise RuntimeError(f"{unknown} is not for a wire")

    def _refuse(self, status: int, headers: Headers = (), body: bytes = b"") -> None:
        if not (self._accepted or self._closed):
            self._closed = True
            self.write(refusal(status, [*self._server.default_headers, *headers], body))
            self._hang_up()

    # Reading

    def data_received(self, data: bytes) -> None:
        if not self._accepted:  # a client waits for our answer (RFC 6455, section 4.1)
            self._hang_up()
            return
        self._frames.receive_data(data)
        if self._frames.parser_exc is not None:
            self._broken()
            return
        for frame in self._frames.events_received():
            self._take(cast(Frame, frame))

    def _take(self, frame: Frame) -> None:
        opcode = frame.opcode
        if opcode is Opcode.PONG:
            self._alive = True
        elif opcode is Opcode.PING:
            self._write_frames()
        elif opcode is Opcode.CLOSE:
            self._closed_by_client()
        elif not self._closed:
            if opcode is not Opcode.CONT:
                self._text = opcode is Opcode.TEXT
            self._fragments.append(cast(bytes, frame.data))
            if len(self._fragments) > _FRAGMENTS_MAX:  # empty fragments add nothing to the size that is limited
                self.close(CloseCode.TOO_BIG, "too many fragments")
            elif frame.fin:
                self._take_message(b"".join(self._fragments))
                self._fragments.clear()

    def _take_message(self, data: bytes) -> None:
        if not self._text:
            self._put({"type": "websocket.receive", "bytes": data})
            return
        try:
            text = data.decode()
        except UnicodeDecodeError:
            self.close(_INVALID_DATA, "text is UTF-8")
        else:
            self._put({"type": "websocket.receive", "text": text})

    def _put(self, message: dict[str, Any]) -> None:
        """A message for whoever waits; while nobody does, nothing more is read."""
        self._messages.append(message)
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(None)
        elif not (self._paused or self._closed):
            self._paused = True
            self._transport.pause_reading()

    async def receive(self) -> dict[str, Any]:
        while not self._messages:
            self._waiting = self._loop.create_future()
            await self._waiting
        message = self._messages.popleft()
        if not self._messages:
            self._resume_reading()
        return message

    def _resume_reading(self) -> None:
        if self._paused:
            self._paused = False
            self._transport.resume_reading()

    # Writing

    def watch(self, limit_bytes: int, on_overflow: Callable[[], None]) -> None:
        # The transport calls pause_writing when it holds more than `high`: the bound costs nothing per write.
        self._transport.set_write_buffer_limits(high=limit_bytes)
        self._on_overflow = on_overflow

    def pause_writing(self) -> None:
        if self._on_overflow is not None:
            self._on_overflow()

    def _write_frames(self) -> None:
        """What websockets has to say: pongs and close frames."""
        self.write(b"".join(self._frames.data_to_send()))

    def keep_alive(self) -> None:
        if self._transport.is_closing():
            return
        if not (self._alive or self._paused):  # while we do not read, a pong may be waiting
            self.close(_NO_PONG, "no pong")
            return
        self._alive = False
        self.write(PING)

    # The end

    def close(self, code: int, reason: str) -> None:
        if self._closed or self._transport.is_closing():
            return
        self._frames.send_close(code, reason)
        self._write_frames()
        self._ended(code, reason)
        self._resume_reading()  # the client's close frame is still to come
        # `transport.close` would wait for ever for a client that reads nothing.
        self._cutting = self._loop.call_later(_CLOSE_TIMEOUT_S, self._transport.abort)

    def _closed_by_client(self) -> None:
        if not self._closed:
            received = self._frames.close_rcvd
            assert received is not None
            self._write_frames()
            self._ended(received.code, received.reason)
        self._hang_up()

    def _broken(self) -> None:
        """Bytes that are no WebSocket: websockets has said so, and nothing more is read."""
        sent = self._frames.close_sent
        assert sent is not None
        self._write_frames()
        self._ended(sent.code, sent.reason)
        self._hang_up()

    def _ended(self, code: int, reason: str = "") -> None:
        """The application hears of it once; pings end."""
        if not self._closed:
            self._closed = True
            self._put({"type": "websocket.disconnect", "code": code, "reason": reason})
        if self._slot is not None:
            self._server.keepalive.remove(self, self._slot)
            self._slot = None

    def _hang_up(self) -> None:
        """Close when everything is written; cut when that is not read in time."""
        self._transport.close()
        if self._cutting is None:
            self._cutting = self._loop.call_later(_CLOSE_TIMEOUT_S, self._transport.abort)

    def connection_lost(self, exc: Exception | None) -> None:
        self._server.connections.discard(self)
        self._ended(_NO_STATUS if self._accepted else _ABNORMAL)
        if self._cutting is not None:
            self._cutting.cancel()

    def shutdown(self) -> None:
        """The server stops."""
        self._refuse(HTTPStatus.SERVICE_UNAVAILABLE)
        self.close(CloseCode.SERVICE_RESTART, "this node stops")
        self._transport.close()


class WireOutbox:
    """An outbox on a `Writer`: bounded by the transport's own buffer."""

    def __init__(self, wire: Writer, encoding: Encoding, limit_bytes: int, on_overflow: Callable[[], None]) -> None:
        self.encoding = encoding
        self.closed = False
        self._wire = wire
        self._write = wire.write
        wire.watch(limit_bytes, on_overflow)

    def offer(self, frames: Iterable[bytes]) -> None:
        if self.closed:
            return
        try:
            for frame in frames:
                self._write(frame)
        except RuntimeError:  # the transport is gone and the session is about to hear of it
            self.closed = True

    def close(self, code: CloseCode, reason: str = "") -> None:
        if not self.closed:
            self.closed = True
            self._wire.close(int(code), reason)
