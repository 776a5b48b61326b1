"""Ways out: frames as others read them, and bounds."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable

import msgpack
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from websockets.frames import Frame, Opcode
from websockets.protocol import Protocol, Side

from c2c.codec import CommandModels, JsonCodec, MsgpackCodec
from c2c.errors import CloseCode
from c2c.events import CONNECTION_COMMANDS
from c2c.outbox import Encoding, Framing, QueueOutbox, server_sent_event, websocket_frame
from c2c.wire import WireOutbox

_MODELS = CommandModels(CONNECTION_COMMANDS, 32)
JSON, MSGPACK = JsonCodec(_MODELS), MsgpackCodec(_MODELS)
BARE = Encoding(JSON, Framing.BARE)
WIRE = Encoding(JSON, Framing.WIRE)
STREAM = Encoding(JSON, Framing.STREAM)


def read_frames(data: bytes) -> list[Frame]:
    """Frames as a client reads them that is not ours; nothing may be wrong with them and nothing left over."""
    client = Protocol(Side.CLIENT, max_size=None)
    client.receive_data(data)
    frames = client.events_received()
    assert client.parser_exc is None
    assert not client.reader.buffer
    return [frame for frame in frames if isinstance(frame, Frame)]


# Frames


@pytest.mark.parametrize(
    ("length", "header_length"), [(0, 2), (1, 2), (125, 2), (126, 4), (127, 4), (65535, 4), (65536, 10), (200_000, 10)]
)
@pytest.mark.parametrize("binary", [False, True])
def test_a_frame_is_read_by_others_as_it_was_meant(length: int, header_length: int, binary: bool) -> None:
    payload = b"x" * length
    data = websocket_frame(payload, binary=binary)
    (frame,) = read_frames(data)
    assert frame == Frame(Opcode.BINARY if binary else Opcode.TEXT, payload)
    # The shortest form of the length is the only right one (RFC 6455, section 5.2).
    assert len(data) == header_length + length


@settings(deadline=None)
@given(st.lists(st.binary(max_size=300), max_size=6), st.booleans())
def test_frames_back_to_back_are_the_same_frames(payloads: list[bytes], binary: bool) -> None:
    frames = [websocket_frame(payload, binary=binary) for payload in payloads]
    joined = b"".join(WIRE.join(frames))
    assert [bytes(frame.data) for frame in read_frames(joined)] == payloads


def test_an_encoding_frames_for_its_way_out() -> None:
    event = '{"t":"x","text":"가"}'.encode()
    assert BARE.encode(event) == event
    assert bytes(read_frames(WIRE.encode(event))[0].data) == event
    assert STREAM.encode(event) == b"data: " + event + b"\n\n"
    packed = read_frames(Encoding(MSGPACK, Framing.WIRE).encode(event))[0]
    assert packed.opcode is Opcode.BINARY
    assert msgpack.unpackb(packed.data) == json.loads(event)
    assert json.loads(BARE.encode_message({"t": "ack", "seq": 1})) == {"t": "ack", "seq": 1}


def test_frames_are_joined_where_they_may_stand_back_to_back_only() -> None:
    frames = [b"a", b"b"]
    assert BARE.join(frames) == [b"a", b"b"]
    assert WIRE.join(frames) == STREAM.join(frames) == [b"ab"]
    for encoding in (BARE, WIRE, STREAM):
        assert encoding.join([]) == []
        assert encoding.join([b"a"]) == [b"a"]


@settings(deadline=None)
@given(
    st.dictionaries(
        st.text(st.characters(codec="utf-8"), max_size=9), st.text(st.characters(codec="utf-8")), max_size=3
    )
)
def test_a_server_sent_event_is_one_event_of_one_line(message: dict[str, str]) -> None:
    payload = json.dumps(message, ensure_ascii=False, indent=1).replace("\n", "\r\n").encode()
    event = server_sent_event(payload)
    assert event.endswith(b"\n\n")
    assert b"\n" not in event[:-2]
    assert b"\r" not in event
    assert json.loads(event.removeprefix(b"data: ")) == message


# QueueOutbox


class Overflow:
    """Counts how often an outbox says that it is full."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(self) -> None:
        self.count += 1


async def drain(outbox: QueueOutbox) -> list[bytes]:
    return [frame async for frame in outbox.frames()]


async def test_a_queue_gives_out_all_frames_in_order_and_ends_when_it_is_closed() -> None:
    outbox = QueueOutbox(BARE, 100, Overflow())
    outbox.offer([b"1", b"2"])
    draining = asyncio.create_task(drain(outbox))
    await asyncio.sleep(0)
    outbox.offer(iter([b"3"]))
    outbox.close(CloseCode.KICKED, "out")
    outbox.offer([b"too late"])
    outbox.close(CloseCode.FLOOD, "again")
    assert await draining == [b"1", b"2", b"3"]
    assert outbox.closed
    assert outbox.closing == (CloseCode.KICKED, "out")


async def test_a_queue_says_when_more_than_its_limit_waits() -> None:
    overflow = Overflow()
    outbox = QueueOutbox(BARE, 10, overflow)
    outbox.offer([b"x" * 10])
    assert overflow.count == 0
    outbox.offer([b"x"])
    assert overflow.count == 1


async def test_a_queue_that_is_emptied_has_room_again() -> None:
    overflow = Overflow()
    outbox = QueueOutbox(BARE, 10, overflow)
    frames = outbox.frames()
    for _ in range(50):
        outbox.offer([b"x" * 5, b"y" * 5])
        assert [await anext(frames), await anext(frames)] == [b"x" * 5, b"y" * 5]
    assert overflow.count == 0


async def test_a_queue_closed_for_being_full_takes_nothing_more() -> None:
    def too_slow() -> None:
        outbox.close(CloseCode.SLOW_CONSUMER, "too much unread")

    outbox = QueueOutbox(BARE, 10, too_slow)
    for _ in range(100):
        outbox.offer([b"x" * 9])
    outbox.offer([b"no more"])
    assert await drain(outbox) == [b"x" * 9] * 2
    assert outbox.closing == (CloseCode.SLOW_CONSUMER, "too much unread")


async def test_a_queue_waits_for_frames_without_being_asked_again() -> None:
    outbox = QueueOutbox(BARE, 10, Overflow())
    frames = outbox.frames()
    for n in range(5):
        waiting = asyncio.create_task(_next(frames.__anext__))
        await asyncio.sleep(0)
        assert not waiting.done()
        outbox.offer([b"%d" % n])
        assert await waiting == b"%d" % n


async def _next(step: Callable[[], object]) -> object:
    return await step()  # type: ignore[misc]


# WireOutbox


class FakeWire:
    """A transport that notes what it is told, and breaks when it is told to."""

    def __init__(self) -> None:
        self.written: list[bytes] = []
        self.closed: list[tuple[int, str]] = []
        self.broken = False
        self.limit_bytes = 0
        self.on_overflow: Callable[[], None] | None = None

    def write(self, data: bytes) -> None:
        if self.broken:
            raise RuntimeError("unable to perform operation on a closed transport")
        self.written.append(data)

    def watch(self, limit_bytes: int, on_overflow: Callable[[], None]) -> None:
        self.limit_bytes, self.on_overflow = limit_bytes, on_overflow

    def close(self, code: int, reason: str) -> None:
        self.closed.append((code, reason))


def test_a_wire_is_watched_with_the_limit_and_written_at_once() -> None:
    wire, overflow = FakeWire(), Overflow()
    outbox = WireOutbox(wire, WIRE, 1000, overflow)
    assert (wire.limit_bytes, wire.on_overflow) == (1000, overflow)
    outbox.offer([b"1", b"2"])
    assert wire.written == [b"1", b"2"]


def test_a_wire_is_closed_once_and_takes_nothing_more() -> None:
    wire = FakeWire()
    outbox = WireOutbox(wire, WIRE, 1000, Overflow())
    outbox.close(CloseCode.KICKED, "out")
    outbox.close(CloseCode.FLOOD, "again")
    outbox.offer([b"too late"])
    assert (wire.closed, wire.written, outbox.closed) == ([(4403, "out")], [], True)


def test_a_wire_that_is_gone_closes_the_outbox_and_nobody_is_told_by_an_exception() -> None:
    wire = FakeWire()
    outbox = WireOutbox(wire, WIRE, 1000, Overflow())
    wire.broken = True
    outbox.offer([b"1"])
    assert outbox.closed
    outbox.offer([b"2"])
