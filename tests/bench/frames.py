"""WebSocket frames (RFC 6455) as a load generator needs them: made with a mask, counted by headers, or read in full.

Pure: bytes in, bytes and numbers out.
"""

from __future__ import annotations

import os
from functools import lru_cache
from typing import Final

CONTINUATION: Final = 0x0
TEXT: Final = 0x1
CLOSE: Final = 0x8
PING: Final = 0x9
PONG: Final = 0xA

_FIN: Final = 0x80
_CONTROL: Final = 0x08
_MASKED: Final = 0x80
_WHOLE_TEXT: Final = _FIN | TEXT
_LENGTH_16: Final = 126
_LENGTH_64: Final = 127

# One key for the whole process: the server has to do the work of unmasking, nobody has to be kept from guessing.
_MASK: Final = os.urandom(4)

Frame = tuple[int, bytes]
"""Opcode and payload."""


@lru_cache(maxsize=256)
def _mask_of(size: int) -> int:
    return int.from_bytes((_MASK * (size // 4 + 1))[:size], "little")


@lru_cache(maxsize=256)
def _client_header(opcode: int, size: int) -> bytes:
    first = _FIN | opcode
    if size < _LENGTH_16:
        return bytes((first, _MASKED | size)) + _MASK
    if size < 1 << 16:
        return bytes((first, _MASKED | _LENGTH_16)) + size.to_bytes(2, "big") + _MASK
    return bytes((first, _MASKED | _LENGTH_64)) + size.to_bytes(8, "big") + _MASK


def client_frame(payload: bytes, opcode: int = TEXT) -> bytes:
    """A whole, masked frame as a client sends it."""
    size = len(payload)
    masked = int.from_bytes(payload, "little") ^ _mask_of(size)
    return _client_header(opcode, size) + masked.to_bytes(size, "little")


class FrameCounter:
    """Counts the data frames of one connection by their headers alone; payloads are skipped, never copied.

    What wants an answer is put into `asides` and not counted: control frames, and text frames of one byte, which is how
    Engine.IO pings. A fragmented message counts once, at its last frame. A frame counts when its last byte is here.
    """

    __slots__ = ("_counts", "_left", "_partial", "asides")

    def __init__(self, partial: bytes = b"") -> None:
        self.asides: list[Frame] = []
        self._partial = partial  # the beginning of a header, or of a frame that must be seen whole
        self._left = 0  # payload bytes still to come of the frame under way
        self._counts = 0  # what that frame adds to the count when it ends

    @property
    def at_boundary(self) -> bool:
        """Whether everything fed so far was whole frames."""
        return not self._left and not self._partial

    def feed(self, data: bytes) -> int:
        """Number of data frames that end within `data`. O(frames)."""
        if self._partial:
            data = self._partial + data
            self._partial = b""
        size = len(data)
        at = self._left
        if at > size:
            self._left = at - size
            return 0
        count = self._counts if at else 0
        self._left = 0
        while at + 2 <= size:
            first = data[at]
            length = data[at + 1]
            start = at + 2
            if length > 125:
                if length == _LENGTH_16:
                    start = at + 4
                    if start > size:
                        break
                    length = data[at + 2] << 8 | data[at + 3]
                elif length == _LENGTH_64:
                    start = at + 10
                    if start > size:
                        break
                    length = int.from_bytes(data[at + 2 : start], "big")
                else:
                    raise ValueError("a server's frames are not masked")
            elif length < 2 or first & _CONTROL:
                if start + length > size:
                    break
                if first & _CONTROL or (length == 1 and first == _WHOLE_TEXT):
                    self.asides.append((first & 0x0F, data[start : start + length]))
                else:
                    count += first >> 7
                at = start + length
                continue
            at = start + length
            if at > size:
                self._left = at - size
                self._counts = first >> 7
                return count
            count += first >> 7
        if at < size:
            self._partial = data[at:]
        return count


class FrameReader:
    """Reads the frames of one connection in full; the fragments of a message are joined."""

    __slots__ = ("_fragments", "_opcode", "rest")

    def __init__(self) -> None:
        self.rest = b""
        self._opcode = TEXT
        self._fragments: list[bytes] = []

    def feed(self, data: bytes) -> list[Frame]:
        """The messages and control frames that end within `data`, in order."""
        data = self.rest + data
        frames: list[Frame] = []
        at = 0
        while (header := _server_header(data, at)) is not None:
            first, start, length = header
            if start + length > len(data):
                break
            payload = data[start : start + length]
            at = start + length
            opcode = first & 0x0F
            if opcode & _CONTROL:
                frames.append((opcode, payload))
                continue
            if opcode != CONTINUATION:
                self._opcode = opcode
            self._fragments.append(payload)
            if first & _FIN:
                frames.append((self._opcode, b"".join(self._fragments)))
                self._fragments.clear()
        self.rest = data[at:]
        return frames


def _server_header(data: bytes, at: int) -> tuple[int, int, int] | None:
    """First byte, start of the payload and its length; None while the header is not whole."""
    if at + 2 > len(data):
        return None
    first, length = data[at], data[at + 1]
    if length & _MASKED:
        raise ValueError("a server's frames are not masked")
    extended = {_LENGTH_16: 2, _LENGTH_64: 8}.get(length, 0)
    start = at + 2 + extended
    if start > len(data):
        return None
    return first, start, int.from_bytes(data[at + 2 : start], "big") if extended else length
