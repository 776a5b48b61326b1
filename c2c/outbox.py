"""One connection's bounded way out.

There are two. `WireOutbox` writes finished WebSocket frames to the transport, so that one frame, built once, serves
every member of a room (`c2c.wire`). `SendOutbox` goes through ASGI `send` and works on every server. The hub does not
care which: it groups members by `Encoding`, builds each encoding's bytes once and offers them.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any, Final, Protocol

from c2c.codec import Codec
from c2c.errors import CloseCode

Send = Callable[[Mapping[str, Any]], Awaitable[None]]

_OPCODE_TEXT: Final = 0x81
_OPCODE_BINARY: Final = 0x82


def websocket_frame(payload: bytes, *, binary: bool) -> bytes:
    """A whole unmasked server frame (RFC 6455, section 5.2)."""
    opcode = _OPCODE_BINARY if binary else _OPCODE_TEXT
    length = len(payload)
    if length < 126:
        return bytes((opcode, length)) + payload
    if length < 65536:
        return bytes((opcode, 126)) + length.to_bytes(2) + payload
    return bytes((opcode, 127)) + length.to_bytes(8) + payload


class Encoding:
    """How a group of members wants its events: by which codec, and framed for the wire or bare for ASGI `send`."""

    __slots__ = ("codec", "framed")

    def __init__(self, codec: Codec, *, framed: bool) -> None:
        self.codec = codec
        self.framed = framed

    def encode(self, event: bytes) -> bytes:
        """One event (its JSON) as one frame or payload."""
        return self._frame(self.codec.encode_event(event))

    def encode_message(self, message: Mapping[str, Any]) -> bytes:
        """An answer as one frame or payload."""
        return self._frame(self.codec.encode(message))

    def _frame(self, payload: bytes) -> bytes:
        return websocket_frame(payload, binary=self.codec.binary) if self.framed else payload

    def join(self, frames: list[bytes]) -> list[bytes]:
        """Several frames as few: frames on the wire stand back to back in one write; payloads stay as they are."""
        return [b"".join(frames)] if self.framed and len(frames) > 1 else frames


class Outbox(Protocol):
    """Where a connection's frames go. Nothing here waits; a reader that is too slow is closed with 4420."""

    encoding: Encoding

    def offer(self, frames: Iterable[bytes]) -> None:
        """Queue frames for sending. Ignored once closed."""

    def close(self, code: CloseCode, reason: str = "") -> None:
        """Close the connection; what was offered before goes first, as far as the client reads."""

    @property
    def closed(self) -> bool: ...


class SendOutbox:
    """The way through ASGI `send`: a queue bounded in bytes and a task that empties it."""

    def __init__(self, send: Send, encoding: Encoding, limit_bytes: int, on_overflow: Callable[[], None]) -> None:
        self.encoding = encoding
        self._send = send
        self._limit_bytes = limit_bytes
        self._on_overflow = on_overflow
        self._queue: deque[bytes] = deque()
        self._queued_bytes = 0
        self._ready = asyncio.Event()
        self._close: tuple[CloseCode, str] | None = None

    @property
    def closed(self) -> bool:
        return self._close is not None

    def offer(self, frames: Iterable[bytes]) -> None:
        if self._close is not None:
            return
        for frame in frames:
            self._queue.append(frame)
            self._queued_bytes += len(frame)
        self._ready.set()
        if self._queued_bytes > self._limit_bytes:
            self._on_overflow()

    def close(self, code: CloseCode, reason: str = "") -> None:
        if self._close is None:
            self._close = (code, reason)
            self._ready.set()

    async def run(self) -> None:
        """Send until closed. The session owns this task."""
        key = "bytes" if self.encoding.codec.binary else "text"
        while True:
            await self._ready.wait()
            while self._queue:
                frame = self._queue.popleft()
                await self._send({"type": "websocket.send", key: frame if key == "bytes" else frame.decode()})
                self._queued_bytes -= len(frame)
            if self._close is not None:
                code, reason = self._close
                await self._send({"type": "websocket.close", "code": int(code), "reason": reason})
                return
            self._ready.clear()
