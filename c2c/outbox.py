"""One connection's bounded way out.

There are two. `WireOutbox` writes finished WebSocket frames to the transport, so that one frame, built once, serves
every member of a room (`c2c.wire`). `QueueOutbox` keeps frames until somebody sends them, by ASGI `send` or as
server-sent events. The hub does not care which: it groups members by `Encoding`, builds each encoding's bytes once and
offers them.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from enum import Enum, auto
from typing import Any, Final, Protocol

from c2c.codec import Codec
from c2c.errors import CloseCode

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


def server_sent_event(payload: bytes) -> bytes:
    """One event of a text/event-stream (WHATWG HTML, section 9.2.5). Line ends in JSON are mere white space, but here
    they would end the event's line."""
    return b"data: " + payload.replace(b"\r", b" ").replace(b"\n", b" ") + b"\n\n"


class Framing(Enum):
    """What a payload is packed into on its way out."""

    WIRE = auto()  # a WebSocket frame for the transport
    BARE = auto()  # nothing: the ASGI server frames it
    STREAM = auto()  # a server-sent event


class Encoding:
    """How a group of members wants its events: by which codec and in which framing."""

    __slots__ = ("_framing", "codec")

    def __init__(self, codec: Codec, framing: Framing) -> None:
        self.codec = codec
        self._framing = framing

    def encode(self, event: bytes) -> bytes:
        """One event (its JSON) as one frame."""
        return self._frame(self.codec.encode_event(event))

    def encode_message(self, message: Mapping[str, Any]) -> bytes:
        """An answer as one frame."""
        return self._frame(self.codec.encode(message))

    def _frame(self, payload: bytes) -> bytes:
        if self._framing is Framing.WIRE:
            return websocket_frame(payload, binary=self.codec.binary)
        return server_sent_event(payload) if self._framing is Framing.STREAM else payload

    def join(self, frames: list[bytes]) -> list[bytes]:
        """Several frames as few: where frames may stand back to back, one write does for all of them."""
        return frames if self._framing is Framing.BARE or len(frames) < 2 else [b"".join(frames)]


class Outbox(Protocol):
    """Where a connection's frames go. Nothing here waits; a reader that is too slow is closed with 4420."""

    encoding: Encoding

    def offer(self, frames: Iterable[bytes]) -> None:
        """Queue frames for sending. Ignored once closed."""

    def close(self, code: CloseCode, reason: str = "") -> None:
        """Close the connection; what was offered before goes first, as far as the client reads."""

    @property
    def closed(self) -> bool: ...


class QueueOutbox:
    """A queue of frames, bounded in bytes, that somebody else empties by iterating over `frames`."""

    def __init__(self, encoding: Encoding, limit_bytes: int, on_overflow: Callable[[], None]) -> None:
        self.encoding = encoding
        self.closing: tuple[CloseCode, str] | None = None
        self._limit_bytes = limit_bytes
        self._on_overflow = on_overflow
        self._queue: deque[bytes] = deque()
        self._queued_bytes = 0
        self._ready = asyncio.Event()

    @property
    def closed(self) -> bool:
        return self.closing is not None

    def offer(self, frames: Iterable[bytes]) -> None:
        if self.closing is not None:
            return
        for frame in frames:
            self._queue.append(frame)
            self._queued_bytes += len(frame)
        self._ready.set()
        if self._queued_bytes > self._limit_bytes:
            self._on_overflow()

    def close(self, code: CloseCode, reason: str = "") -> None:
        if self.closing is None:
            self.closing = (code, reason)
            self._ready.set()

    async def frames(self) -> AsyncIterator[bytes]:
        """What was offered, as it comes; ends when the outbox is closed and empty."""
        while True:
            while self._queue:
                frame = self._queue.popleft()
                self._queued_bytes -= len(frame)
                yield frame
            if self.closing is not None:
                return
            self._ready.clear()
            await self._ready.wait()
