"""The bench's own eyes: if these are wrong, every number is."""

from __future__ import annotations

import random

import pytest

from tests.bench.frames import CLOSE, PING, PONG, TEXT, FrameCounter, FrameReader, client_frame


def _server_frame(payload: bytes, opcode: int = TEXT, *, fin: bool = True) -> bytes:
    size = len(payload)
    first = bytes(((0x80 if fin else 0) | opcode,))
    if size < 126:
        return first + bytes((size,)) + payload
    if size < 1 << 16:
        return first + b"\x7e" + size.to_bytes(2, "big") + payload
    return first + b"\x7f" + size.to_bytes(8, "big") + payload


def _stream(rng: random.Random) -> tuple[bytes, int, list[tuple[int, bytes]]]:
    """Bytes of a server, the number of data messages in them, and what must be put aside."""
    pieces, count, asides = [], 0, []
    for _ in range(rng.randrange(1, 30)):
        match rng.randrange(8):
            case 0:
                control = (rng.choice((PING, PONG, CLOSE)), rng.randbytes(rng.randrange(0, 126)))
                pieces.append(_server_frame(control[1], control[0]))
                asides.append(control)
            case 1:
                pieces.append(_server_frame(b"2"))
                asides.append((TEXT, b"2"))
            case 2:
                pieces.append(_server_frame(rng.randbytes(40), fin=False))
                pieces.append(_server_frame(rng.randbytes(300), 0, fin=False))
                pieces.append(_server_frame(rng.randbytes(rng.choice((0, 1, 7))), 0))
                count += 1
            case 3:
                pieces.append(_server_frame(rng.randbytes(rng.choice((65_535, 65_536, 70_000)))))
                count += 1
            case _:
                pieces.append(_server_frame(rng.randbytes(rng.choice((0, 2, 124, 125, 126, 127, 200, 1_000)))))
                count += 1
    return b"".join(pieces), count, asides


def _chunks(data: bytes, rng: random.Random) -> list[bytes]:
    chunks, at = [], 0
    while at < len(data):
        step = rng.choice((1, 2, 3, 9, 100, 1_000, 65_536))
        chunks.append(data[at : at + step])
        at += step
    return chunks


@pytest.mark.parametrize("seed", range(60))
def test_counter_and_reader_agree_with_what_was_sent_however_it_is_cut(seed: int) -> None:
    rng = random.Random(seed)
    data, count, asides = _stream(rng)
    counter, reader = FrameCounter(), FrameReader()
    counted = 0
    read: list[tuple[int, bytes]] = []
    for chunk in _chunks(data, rng):
        counted += counter.feed(chunk)
        read += reader.feed(chunk)
    assert counted == count
    assert counter.asides == asides
    assert counter.at_boundary
    assert [frame for frame in read if frame[0] & 8 or frame[1] == b"2"] == asides
    assert len(read) - len(asides) == count
    assert reader.rest == b""


def test_a_frame_counts_only_when_its_last_byte_is_here() -> None:
    frame = _server_frame(b"x" * 200)
    for cut in range(1, len(frame)):
        counter = FrameCounter()
        assert counter.feed(frame[:cut]) == 0
        assert not counter.at_boundary
        assert counter.feed(frame[cut:]) == 1
        assert counter.at_boundary


@pytest.mark.parametrize("size", [0, 1, 3, 125, 126, 65_535, 65_536])
def test_client_frame_is_masked_and_unmasks_to_its_payload(size: int) -> None:
    payload = random.Random(size).randbytes(size)
    frame = client_frame(payload)
    extended = 0 if size < 126 else 2 if size < 1 << 16 else 8
    header = 2 + extended
    assert frame[0] == 0x81
    assert frame[1] == 0x80 | (size if not extended else 126 if extended == 2 else 127)
    assert not extended or int.from_bytes(frame[2:header], "big") == size
    mask = frame[header : header + 4]
    assert bytes(byte ^ mask[at % 4] for at, byte in enumerate(frame[header + 4 :])) == payload
