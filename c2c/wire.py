"""uvicorn's WebSocket protocol, opened up so that one finished frame can be written to many connections.

`WireProtocol` puts itself, as a `Wire`, into `scope["extensions"]["c2c.wire"]`. Server frames are unmasked (RFC 6455,
section 5.1), so the same bytes are right for everybody; writing them costs one call of the transport and no copy.
"""

from __future__ import annotations

from asyncio.transports import BaseTransport
from collections.abc import Callable, Iterable
from typing import Any, Final, Protocol, cast

from uvicorn._types import ASGISendEvent
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.frames import Frame
from websockets.http11 import Request

from c2c.errors import CloseCode
from c2c.outbox import Encoding

EXTENSION: Final = "c2c.wire"
_CLOSE_TIMEOUT_S: Final = 10.0
_INVALID_DATA: Final = 1007
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


class WireProtocol(WebSocketsSansIOProtocol):
    """The protocol class for `uvicorn.Config(ws=…)`."""

    def connection_made(self, transport: BaseTransport) -> None:
        super().connection_made(transport)
        self.write = self.transport.write
        self._on_overflow: Callable[[], None] | None = None

    def handle_connect(self, event: Request) -> None:
        super().handle_connect(event)
        scope = getattr(self, "scope", None)
        if scope is not None:
            cast(dict[str, Any], scope["extensions"])[EXTENSION] = self

    def accept(self, subprotocol: str | None) -> None:
        if self.transport.is_closing():
            return
        headers = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in self.default_headers]
        if subprotocol is not None:
            headers.append(("Sec-WebSocket-Protocol", subprotocol))
        del self.response.headers["Date"]
        self.response.headers.update(headers)
        self.handshake_complete = True
        self.conn.send_response(self.response)
        self.transport.write(b"".join(self.conn.data_to_send()))
        self.start_keepalive()

    async def send(self, message: ASGISendEvent) -> None:
        await super().send(message)
        if message["type"] == "websocket.http.response.body" and not message.get("more_body", False):
            self.handshake_complete = True  # by a refusal: the base class would log an error behind it

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if not self.handshake_initiated and self.conn.handshake_exc is not None:
            # A handshake that can't be parsed (too many headers, too long a line) would stay open for ever.
            self.transport.write(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
            self.transport.close()

    def handle_cont(self, event: Frame) -> None:
        if len(self.frames) >= _FRAGMENTS_MAX:  # empty fragments add nothing to the size that is limited
            self.frames = []
            self.close(CloseCode.TOO_BIG, "too many fragments")
            return
        super().handle_cont(event)

    def send_receive_event_to_app(self) -> None:
        """As the base class, but text that is not UTF-8 ends the connection without a traceback in the log."""
        if self.curr_msg_data_type == "text" and not self.close_sent:
            try:
                b"".join(self.frames).decode()
            except UnicodeDecodeError:
                self.frames = []
                self.close(_INVALID_DATA, "text is UTF-8")
                return
        super().send_receive_event_to_app()

    def watch(self, limit_bytes: int, on_overflow: Callable[[], None]) -> None:
        # The transport calls pause_writing when it holds more than `high`: the bound costs nothing per write.
        self.transport.set_write_buffer_limits(high=limit_bytes)
        self._on_overflow = on_overflow

    def pause_writing(self) -> None:
        super().pause_writing()
        if self._on_overflow is not None:
            self._on_overflow()

    def close(self, code: int, reason: str) -> None:
        if self.close_sent or self.disconnected or self.transport.is_closing():
            return
        self.stop_keepalive()
        self.conn.send_close(code, reason)
        self.transport.write(b"".join(self.conn.data_to_send()))
        self.close_sent = True
        self.queue.put_nowait({"type": "websocket.disconnect", "code": code, "reason": reason})
        if self.read_paused:
            self.read_paused = False
            self.transport.resume_reading()
        # `transport.close` would wait for ever for a client that reads nothing.
        self.close_timer = self.loop.call_later(_CLOSE_TIMEOUT_S, self.transport.abort)


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
