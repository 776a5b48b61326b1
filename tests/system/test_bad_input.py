"""Whatever somebody sends: its exact answer, the connection lives where it should, and nothing is left behind.

Every test also claims that the node logged no traceback, by the fixture `node`.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
import struct
import unicodedata
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any, NamedTuple

import msgpack
import pytest
from websockets.asyncio.client import connect
from websockets.frames import Close
from websockets.typing import Subprotocol

from tests.support import NodeProcess, RedisServer, Talker, eventually, talk
from tests.system.test_protocol import MSGPACK, speak_to

KIB = 1024


@pytest.fixture(scope="module")
def redis_of_module() -> Iterator[RedisServer]:
    with RedisServer() as server:
        yield server


@pytest.fixture(scope="module")
def running_node(redis_of_module: RedisServer) -> Iterator[NodeProcess]:
    with NodeProcess(redis_of_module.url, grace_s=1) as node:
        node.open_room("r")
        yield node


@pytest.fixture
def node(running_node: NodeProcess) -> Iterator[NodeProcess]:
    """The module's node, which serves others after each test as before, and logged no traceback."""
    before = running_node.log.count("Traceback")
    yield running_node
    with contextlib.closing(socket.create_connection(("127.0.0.1", running_node.port))) as plain:
        plain.sendall(b"GET /healthz HTTP/1.1\r\nHost: [::1]\r\nConnection: close\r\n\r\n")
        assert plain.recv(KIB).startswith(b"HTTP/1.1 200 ")
    tracebacks = running_node.log.split("Traceback")[before + 1 :]
    assert tracebacks == [], tracebacks[0][-2000:]


class Bad(NamedTuple):
    """A frame and its answer: `code`, whether the frame's id `x` comes back, and the field that was wrong."""

    frame: str | bytes
    code: str = "BAD_FRAME"
    echoes_id: bool = False
    field: str | None = None


def _is_answer_to(answer: dict[str, Any], bad: Bad) -> bool:
    assert (answer["t"], answer["code"], answer["retryable"]) == ("error", bad.code, False)
    assert isinstance(answer["message"], str)
    assert answer.keys() <= {"t", "id", "code", "message", "retryable", "field", "reason"}
    assert answer.get("field") == bad.field
    assert answer.get("id") == ("x" if bad.echoes_id else None)
    return True


def _nested_json(depth: int) -> str:
    """A frame in which `depth` containers stand in each other, the object itself included."""
    return '{"t":"ping","id":"x","deep":' + "[" * (depth - 1) + "]" * (depth - 1) + "}"


JSON_FRAMES = {
    "empty": Bad(""),
    "blank": Bad("  \n"),
    "no JSON": Bad("hello"),
    "half": Bad('{"t":"ping"'),
    "two values": Bad('{"t":"ping"}{"t":"ping"}'),
    "NUL": Bad("\0"),
    "byte order mark": Bad('\ufeff{"t":"ping"}'),
    "comment": Bad('{"t":"ping"} // hello'),
    "single quotes": Bad("{'t':'ping'}"),
    "an array": Bad('[{"t":"ping"}]'),
    "a string": Bad('"ping"'),
    "a number": Bad("1"),
    "null": Bad("null"),
    "no t": Bad('{"id":"x"}', echoes_id=True),
    "t is null": Bad('{"t":null,"id":"x"}', echoes_id=True),
    "t is a number": Bad('{"t":1,"id":"x"}', echoes_id=True),
    "t is an array": Bad('{"t":["ping"],"id":"x"}', echoes_id=True),
    "t is an object": Bad('{"t":{"t":"ping"},"id":"x"}', echoes_id=True),
    "unknown t": Bad('{"t":"nope","id":"x"}', "UNKNOWN_COMMAND", echoes_id=True),
    "t is empty": Bad('{"t":"","id":"x"}', "UNKNOWN_COMMAND", echoes_id=True),
    "t in capitals": Bad('{"t":"PING","id":"x"}', "UNKNOWN_COMMAND", echoes_id=True),
    "t is an attribute": Bad('{"t":"__class__","id":"x"}', "UNKNOWN_COMMAND", echoes_id=True),
    "unknown field": Bad('{"t":"ping","id":"x","a":1}', echoes_id=True, field="a"),
    "unknown inner field": Bad(
        '{"t":"join","id":"x","roomId":"r","since":{"epoch":"e","seq":1,"a":1}}', echoes_id=True, field="since.a"
    ),
    "missing field": Bad('{"t":"join","id":"x","token":"kim"}', echoes_id=True, field="roomId"),
    "missing inner field": Bad(
        '{"t":"join","id":"x","roomId":"r","since":{"epoch":"e"}}', echoes_id=True, field="since.seq"
    ),
    "number for a string": Bad('{"t":"join","id":"x","roomId":1}', "BAD_VALUE", True, "roomId"),
    "null for a string": Bad('{"t":"join","id":"x","roomId":null}', "BAD_VALUE", True, "roomId"),
    "string for a boolean": Bad('{"t":"typing","id":"x","roomId":"r","typing":"true"}', "BAD_VALUE", True, "typing"),
    "number for a boolean": Bad('{"t":"typing","id":"x","roomId":"r","typing":1}', "BAD_VALUE", True, "typing"),
    "string for a number": Bad('{"t":"history","id":"x","roomId":"r","before":"1"}', "BAD_VALUE", True, "before"),
    "fraction": Bad('{"t":"history","id":"x","roomId":"r","before":1.5}', "BAD_VALUE", True, "before"),
    "boolean for a number": Bad('{"t":"history","id":"x","roomId":"r","before":true}', "BAD_VALUE", True, "before"),
    "array for an object": Bad('{"t":"join","id":"x","roomId":"r","since":[]}', "BAD_VALUE", True, "since"),
    "negative seq": Bad(
        '{"t":"join","id":"x","roomId":"r","since":{"epoch":"e","seq":-1}}', "BAD_VALUE", True, "since.seq"
    ),
    "30 digits": Bad('{"t":"history","id":"x","roomId":"r","before":' + "9" * 30 + "}", "BAD_VALUE", True, "before"),
    "5000 digits": Bad('{"t":"history","id":"x","roomId":"r","before":' + "9" * 5000 + "}"),
    "1e999": Bad('{"t":"history","id":"x","roomId":"r","before":1e999}', echoes_id=True),
    "NaN": Bad('{"t":"history","roomId":"r","before":NaN}'),
    "NaN in an unknown field": Bad('{"t":"ping","a":NaN}'),
    "Infinity": Bad('{"t":"history","roomId":"r","before":Infinity}'),
    "-Infinity": Bad('{"t":"history","roomId":"r","before":-Infinity}'),
    "lone surrogate as an id": Bad(r'{"t":"ping","id":"\ud800"}'),
    "lone surrogate in a text": Bad(r'{"t":"msg","roomId":"r","text":"\udfff"}'),
    "lone surrogate as a key": Bad(r'{"t":"ping","\ud800":1}'),
    "surrogates the wrong way round": Bad(r'{"t":"ping","id":"\ude00\ud83d"}'),
    "nesting 32": Bad(_nested_json(32), echoes_id=True, field="deep"),
    "nesting 33": Bad(_nested_json(33), echoes_id=True),
    "nesting 100": Bad(_nested_json(100), echoes_id=True),
    "nesting 30000": Bad(_nested_json(30_000)),
    "id is empty": Bad('{"t":"ping","id":""}', "BAD_VALUE", field="id"),
    "id of 65": Bad('{"t":"ping","id":"' + "x" * 65 + '"}', "BAD_VALUE", field="id"),
    "id is a number": Bad('{"t":"ping","id":1}', "BAD_VALUE", field="id"),
    "id is an object": Bad('{"t":"ping","id":{}}', "BAD_VALUE", field="id"),
    "a binary frame": Bad(b'{"t":"ping"}'),
    "an empty binary frame": Bad(b""),
}


@pytest.mark.parametrize("bad", JSON_FRAMES.values(), ids=JSON_FRAMES.keys())
async def test_a_bad_json_frame_has_its_answer_and_the_connection_lives(node: NodeProcess, bad: Bad) -> None:
    async with talk(node.ws_url) as client:
        await client.join("r", "kim")
        await client.send(bad.frame)
        answer = await client.wait_for("error")
        assert _is_answer_to(answer, bad)
        assert (await client.ask("msg", roomId="r", text="still here"))["t"] == "ack"
        assert len(client.of("error")) == 1


def _packed(**fields: Any) -> bytes:
    packed: bytes = msgpack.packb(fields)
    return packed


def _nested_msgpack(depth: int) -> bytes:
    return b"\x83" + _packed(t="ping", id="x")[1:] + b"\xa4deep" + b"\x91" * (depth - 2) + b"\x90"


MSGPACK_FRAMES = {
    "empty": Bad(b""),
    "never used byte": Bad(b"\xc1"),
    "half": Bad(_packed(t="ping")[:-1]),
    "trailing byte": Bad(_packed(t="ping") + b"\0"),
    "two values": Bad(_packed(t="ping") * 2),
    "JSON in a binary frame": Bad(b'{"t":"ping"}'),
    "a text frame": Bad('{"t":"ping"}'),
    "an empty text frame": Bad(""),
    "an array": Bad(msgpack.packb([1])),
    "nil": Bad(b"\xc0"),
    "a string": Bad(msgpack.packb("ping")),
    "no t": Bad(_packed(id="x"), echoes_id=True),
    "t is a number": Bad(_packed(t=1, id="x"), echoes_id=True),
    "t is bin": Bad(_packed(t=b"ping", id="x"), echoes_id=True),
    "unknown t": Bad(_packed(t="nope", id="x"), "UNKNOWN_COMMAND", echoes_id=True),
    "unknown field": Bad(_packed(t="ping", id="x", a=1), echoes_id=True, field="a"),
    "missing field": Bad(_packed(t="join", id="x"), echoes_id=True, field="roomId"),
    "bin for a string": Bad(_packed(t="join", id="x", roomId=b"r"), echoes_id=True),
    "bin for an id": Bad(_packed(t="ping", id=b"x")),
    "wrong type": Bad(_packed(t="typing", id="x", roomId="r", typing=1), "BAD_VALUE", True, "typing"),
    "number of 64 bits": Bad(_packed(t="history", id="x", roomId="r", before=2**64 - 1), "BAD_VALUE", True, "before"),
    "NaN": Bad(_packed(t="history", id="x", roomId="r", before=float("nan")), echoes_id=True),
    "Infinity": Bad(_packed(t="history", id="x", roomId="r", before=float("inf")), echoes_id=True),
    "NaN in an unknown field": Bad(_packed(t="ping", id="x", a=float("nan")), echoes_id=True),
    "extension type": Bad(_packed(t="ping", id=msgpack.ExtType(5, b"x"))),
    "timestamp": Bad(_packed(t="ping", id=msgpack.Timestamp(1, 2))),
    "timestamp in an unknown field": Bad(_packed(t="ping", id="x", a=msgpack.Timestamp(1, 2)), echoes_id=True),
    "extension type as t": Bad(_packed(t=msgpack.ExtType(5, b"x"))),
    "extension type of 2^32-1 bytes": Bad(b"\x81\xa1t\xc9\xff\xff\xff\xff\x05"),
    "broken UTF-8": Bad(b"\x82\xa1t\xa4ping\xa2id\xa2\xff\xfe"),
    "a surrogate in UTF-8": Bad(b"\x82\xa1t\xa4ping\xa2id\xa3\xed\xa0\x80"),
    "an overlong NUL": Bad(b"\x82\xa1t\xa4ping\xa2id\xa2\xc0\x80"),
    "number keys": Bad(msgpack.packb({1: "ping"})),
    "bin keys": Bad(msgpack.packb({b"t": "ping"})),
    "bin key beside": Bad(msgpack.packb({"t": "ping", "id": "x", b"a": 1}), echoes_id=True),
    "bin key inside": Bad(msgpack.packb({"t": "ping", "id": "x", "a": {b"a": 1}}), echoes_id=True),
    "nil key": Bad(b"\x82\xa1t\xa4ping\xc0\xc0"),
    "map as a key": Bad(b"\x81\x80\xc0"),
    "array of 2^32-1": Bad(b"\xdd\xff\xff\xff\xff"),
    "map of 2^32-1": Bad(b"\xdf\xff\xff\xff\xff"),
    "string of 2^32-1": Bad(b"\xdb\xff\xff\xff\xff"),
    "array of 2^32-1 inside": Bad(b"\x81\xa1t\xdd\xff\xff\xff\xff"),
    "nesting 32": Bad(_nested_msgpack(32), echoes_id=True, field="deep"),
    "nesting 33": Bad(_nested_msgpack(33), echoes_id=True),
    "nesting 100": Bad(_nested_msgpack(100), echoes_id=True),
    "nesting 60000": Bad(_nested_msgpack(60_000)),
    "id of 65": Bad(_packed(t="ping", id="x" * 65), "BAD_VALUE", field="id"),
}


@pytest.mark.parametrize("bad", MSGPACK_FRAMES.values(), ids=MSGPACK_FRAMES.keys())
async def test_a_bad_msgpack_frame_has_its_answer_and_the_connection_lives(node: NodeProcess, bad: Bad) -> None:
    async with speak_to(node.ws_url, MSGPACK) as client:
        await client.join("r", "kim")
        await client.send(bad.frame)
        answer = await client.wait_for("error")
        # What is wrong in a key that is no text can't be named: the reason is free there.
        assert _is_answer_to({**answer, "field": bad.field}, bad)
        assert (await client.ask("msg", roomId="r", text="still here"))["t"] == "ack"
        assert len(client.of("error")) == 1


async def test_of_a_key_that_comes_twice_the_last_counts_also_in_errors(node: NodeProcess) -> None:
    async with talk(node.ws_url) as client:
        await client.send('{"t":"nope","id":"first","t":"ping","id":"last"}')
        assert (await client.answer("last"))["t"] == "pong"
        await client.send('{"t":"ping","id":"one","id":"two","a":1}')
        assert (await client.answer("two"))["code"] == "BAD_FRAME"
        await client.ask("ping")
        assert len(client.frames) == 3


async def test_an_id_of_64_characters_of_any_script_and_sign_comes_back_as_it_was(node: NodeProcess) -> None:
    async with talk(node.ws_url) as client:
        for command_id in ("x" * 64, "가" * 64, "😀" * 64, "{}:\n\0\u202e/", "e\u0301", " "):
            assert (await client.ask("ping", id=command_id))["id"] == command_id
        await client.join("r", "kim")
        ack = await client.ask("msg", roomId="r", text="x", id="{}:\n\0*😀")
        event = await client.wait_for("msg")
        assert (event["by"], event["seq"]) == ("{}:\n\0*😀", ack["seq"])


# Five bad frames


async def test_four_bad_frames_are_borne_and_the_fifth_closes_with_4400(node: NodeProcess) -> None:
    async with talk(node.ws_url) as other, talk(node.ws_url) as client:
        await client.ask("hello", token="kim")
        for n in range(4):
            await client.send("bad")
            await client.wait_for("error", n + 1)
        assert (await client.ask("ping"))["t"] == "pong"
        await client.send("bad")
        assert await client.wait_closed() == 4400
        assert (await other.ask("ping"))["t"] == "pong"
    assert len(client.of("error")) == 5


async def test_unknown_commands_and_bad_values_are_no_bad_frames(node: NodeProcess) -> None:
    async with talk(node.ws_url) as client:
        for _ in range(10):
            assert (await client.ask("nope"))["code"] == "UNKNOWN_COMMAND"
            assert (await client.ask("leave", roomId=""))["code"] == "BAD_VALUE"


# Ids of rooms and users

BAD_IDS = {
    "empty": "",
    "65": "x" * 65,
    "space": "a b",
    "braces": "{a}",
    "open brace": "{",
    "newline": "a\nb",
    "NUL": "a\0b",
    "slash": "a/b",
    "star": "a*",
    "emoji": "😀",
    "RTL override": "a\u202eb",
    "zero width joiner": "a\u200db",
    "zero width space": "a\u200bb",
    "BOM": "\ufeffa",
    "private use": "\ue000",
    "no character": "\uffff",
    "line separator": "a\u2028b",
    "quote": 'a"b',
    "backslash": "a\\b",
    "percent": "a%b",
    "65 in NFC": "e\u0301" * 65,
}


@pytest.fixture(scope="module")
def quiet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[NodeProcess, RedisServer]]:
    """A node on a Redis of its own, where nothing happens but canaries and sweeps."""
    with RedisServer() as server, NodeProcess(server.url, monitor="false") as node:
        server.count_calls()
        yield node, server
        assert "Traceback" not in node.log


@pytest.mark.parametrize("bad_id", BAD_IDS.values(), ids=BAD_IDS.keys())
async def test_a_bad_id_is_a_bad_value_and_redis_never_hears_of_it(
    quiet: tuple[NodeProcess, RedisServer], bad_id: str
) -> None:
    node, server = quiet
    before = server.calls()
    async with talk(node.ws_url) as client:
        for t, fields in (
            ("join", {"token": "kim"}),
            ("leave", {}),
            ("typing", {"typing": True}),
            ("msg", {"text": "x"}),
            ("history", {"before": 1}),
        ):
            answer = await client.ask(t, roomId=bad_id, **fields)
            assert (answer["code"], answer["field"]) == ("BAD_VALUE", "roomId")
        assert (await client.ask("hello", token=bad_id))["code"] == "UNAUTHORIZED"
    for field in ("roomId", "creatorName"):
        status, answer = node.request("POST", "/api/rooms", {field: bad_id})
        assert (status, answer["error"]["code"], answer["error"]["details"]["field"]) == (422, "BAD_VALUE", field)
    assert server.calls() == before


@pytest.mark.parametrize("bad_id", ["a%20b", "%7Ba%7D", "%00", "a%0Ab", "x" * 65, "%F0%9F%98%80", "%FF", "%E2%80%AE"])
def test_a_bad_id_in_a_path_is_a_bad_value_and_redis_never_hears_of_it(
    quiet: tuple[NodeProcess, RedisServer], bad_id: str
) -> None:
    node, server = quiet
    before = server.calls()
    for method, path, body in (
        ("GET", f"/api/rooms/{bad_id}", None),
        ("GET", f"/api/rooms/{bad_id}/events", None),
        ("POST", f"/api/rooms/{bad_id}/events", {"t": "msg", "text": "x"}),
    ):
        status, answer = node.request(method, path, body)
        assert (status, answer["error"]["code"]) == (422, "BAD_VALUE")
    assert server.calls() == before


async def test_counting_redis_calls_would_notice_one(quiet: tuple[NodeProcess, RedisServer]) -> None:
    node, server = quiet
    before = server.calls()
    assert node.get("/api/rooms/nowhere")[0] == 404
    assert server.calls() > before


@pytest.mark.parametrize(
    "room_id", ["방-1", "x" * 64, "가" * 64, "endpoint:7", "a.b_c-d@e", "ห้อง", "कक्ष", "غرفة", "½Ⅷ٣"]
)
async def test_ids_of_any_script_are_welcome(node: NodeProcess, room_id: str) -> None:
    node.open_room(room_id)
    async with talk(node.ws_url) as client:
        joined = await client.join(room_id, "홍길동")
        assert (joined["roomId"], joined["me"]) == (room_id, "홍길동")


async def test_ids_are_normalised_to_nfc(node: NodeProcess, redis_of_module: RedisServer) -> None:
    composed, decomposed = "방é", unicodedata.normalize("NFD", "방é")
    assert composed != decomposed
    status, answer = node.request("POST", "/api/rooms", {"roomId": decomposed, "creatorName": "lee"})
    assert (status, answer["data"]["roomId"]) == (201, composed)
    async with talk(node.ws_url) as first, talk(node.ws_url) as second:
        assert (await first.join(decomposed, decomposed))["me"] == composed
        assert (await second.join(composed, composed))["members"] == ["lee", composed]
        ack = await first.ask("msg", roomId=decomposed, text=decomposed)
        event = await second.wait_for("msg")
        # Ids are normalised, what people write is not.
        assert (event["seq"], event["roomId"], event["from"], event["text"]) == (
            ack["seq"],
            composed,
            composed,
            decomposed,
        )
    assert redis_of_module.client.exists(f"room:{composed}") == 1
    assert redis_of_module.client.exists(f"room:{decomposed}") == 0


RESERVED = ("members", "leases", "connections", "log", "messages", "dedupe:kim:m1")


@pytest.mark.parametrize("part", RESERVED)
@pytest.mark.parametrize("first", ["room", "shadow"])
async def test_no_room_can_take_the_keys_of_another(node: NodeProcess, part: str, first: str) -> None:
    """`room:a:members` would be the key of a room `a:members` and of the members of `a`."""
    room_id = f"{first}-{part.split(':')[0]}"
    if first == "shadow":
        node.request("POST", "/api/rooms", {"roomId": f"{room_id}:{part}", "creatorName": "shadow"})
    assert node.request("POST", "/api/rooms", {"roomId": room_id, "creatorName": "lee"})[0] == 201
    async with talk(node.ws_url) as client:
        await client.join(room_id, "kim")
        if first == "room":
            status, answer = node.request("POST", "/api/rooms", {"roomId": f"{room_id}:{part}"})
            assert status in (201, 422), answer
        shadow = await client.ask("join", roomId=f"{room_id}:{part}")
        assert shadow.get("code", "joined") in ("joined", "BAD_VALUE", "ROOM_NOT_FOUND")
        ack = await client.ask("msg", roomId=room_id, text="unharmed", id="m1")
        assert ack["t"] == "ack"
        assert (await client.wait_for("msg"))["seq"] == ack["seq"]
        status, answer = node.get(f"/api/rooms/{room_id}")
        assert (status, answer["data"]["members"]) == (200, ["kim", "lee"])


# Sizes


async def test_a_frame_of_64_kib_is_taken_and_one_byte_more_closes_with_1009(node: NodeProcess) -> None:
    async with talk(node.ws_url) as other, talk(node.ws_url) as client:
        frame = '{"t":"ping","id":"big"}'
        await client.send(frame + " " * (64 * KIB - len(frame)))
        assert (await client.answer("big"))["t"] == "pong"
        await client.send(frame + " " * (64 * KIB - len(frame) + 1))
        assert await client.wait_closed() == 1009
        assert (await other.ask("ping"))["t"] == "pong"


async def test_a_frame_of_65_kib_in_fragments_closes_with_1009(node: NodeProcess) -> None:
    async with talk(node.ws_url) as client:
        await client.socket.send(["x" * KIB for _ in range(65)])
        assert await client.wait_closed() == 1009


async def test_a_frame_of_65_kib_of_msgpack_closes_with_1009(node: NodeProcess) -> None:
    async with speak_to(node.ws_url, MSGPACK) as client:
        await client.send(_packed(t="hello", token="x" * 65 * KIB))
        assert await client.wait_closed() == 1009


async def test_a_command_in_fragments_is_one_command(node: NodeProcess) -> None:
    async with talk(node.ws_url) as client:
        await client.socket.send(['{"t":"pi', "", 'ng","id":"', 'x"}'])
        assert (await client.answer("x"))["t"] == "pong"
        assert len(client.frames) == 1


# Frames that no WebSocket library sends

TEXT, BINARY, CONTINUATION, CLOSE, PING, PONG = 0x1, 0x2, 0x0, 0x8, 0x9, 0xA


class RawClient:
    """A WebSocket by hand, for frames that are wrong."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    def send(self, data: bytes) -> None:
        self._writer.write(data)

    async def read_frame(self) -> tuple[int, bytes]:
        """Opcode and payload of the next frame, unmasked as servers send them."""
        first, second = await self._reader.readexactly(2)
        length = second & 0x7F
        if length == 126:
            length = int.from_bytes(await self._reader.readexactly(2))
        assert length < 127 or second & 0x7F == 126
        return first & 0x0F, await self._reader.readexactly(length)

    async def read_close(self) -> int | None:
        """The code of the close frame, past all other frames; then, at our echo at the latest, the connection ends."""
        while True:
            opcode, payload = await self.read_frame()
            if opcode == CLOSE:
                self.send(frame(CLOSE, payload))
                with contextlib.suppress(ConnectionResetError):
                    assert await self._reader.read() == b""
                return Close.parse(payload).code if payload else None


@contextlib.asynccontextmanager
async def raw(node: NodeProcess) -> AsyncIterator[RawClient]:
    reader, writer = await asyncio.open_connection("127.0.0.1", node.port)
    writer.write(handshake(node))
    assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 101 ")
    try:
        async with asyncio.timeout(10):
            yield RawClient(reader, writer)
    finally:
        writer.transport.abort()


def handshake(
    node: NodeProcess, *headers: bytes, drop: bytes | None = None, start: bytes = b"GET /ws HTTP/1.1"
) -> bytes:
    lines = [
        start, b"Host: 127.0.0.1:%d" % node.port, b"Upgrade: websocket", b"Connection: Upgrade",
        b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==", b"Sec-WebSocket-Version: 13", *headers,
    ]  # fmt: skip
    return b"\r\n".join(line for line in lines if drop is None or not line.startswith(drop)) + b"\r\n\r\n"


def frame(opcode: int, payload: bytes = b"", *, fin: bool = True, reserved: int = 0, masked: bool = True) -> bytes:
    """A client's frame; the mask is zero, so the payload stands as it is."""
    length = len(payload)
    head = bytes(((0x80 if fin else 0) | reserved << 4 | opcode,))
    mask_bit = 0x80 if masked else 0
    if length < 126:
        head += bytes((mask_bit | length,))
    elif length < 1 << 16:
        head += bytes((mask_bit | 126,)) + length.to_bytes(2)
    else:
        head += bytes((mask_bit | 127,)) + length.to_bytes(8)
    return head + (bytes(4) if masked else b"") + payload


_PING_COMMAND = b'{"t":"ping","id":"x"}'

BROKEN_FRAMES = {
    "invalid UTF-8": (frame(TEXT, b'{"t":"ping","id":"\xff"}'), 1007),
    "UTF-8 that ends early": (frame(TEXT, b"\xe2\x82"), 1007),
    "a surrogate in UTF-8": (frame(TEXT, b'"\xed\xa0\x80"'), 1007),
    "invalid UTF-8 in the second fragment": (frame(TEXT, b'"', fin=False) + frame(CONTINUATION, b'\xff"'), 1007),
    "not masked": (frame(TEXT, _PING_COMMAND, masked=False), 1002),
    "reserved bit 1": (frame(TEXT, _PING_COMMAND, reserved=4), 1002),
    "reserved bit 3": (frame(TEXT, _PING_COMMAND, reserved=1), 1002),
    "reserved opcode": (frame(0x3, b"x"), 1002),
    "reserved control opcode": (frame(0xB, b"x"), 1002),
    "continuation of nothing": (frame(CONTINUATION, b"x"), 1002),
    "a new message within a message": (frame(TEXT, b"{", fin=False) + frame(TEXT, b"}"), 1002),
    "a ping in fragments": (frame(PING, b"x", fin=False), 1002),
    "a ping of 126 bytes": (frame(PING, b"x" * 126), 1002),
    "a close of 1 byte": (frame(CLOSE, b"\x03"), 1002),
    "a close of 126 bytes": (frame(CLOSE, b"\x03\xe8" + b"x" * 124), 1002),
    "a close with a code nobody may send": (frame(CLOSE, struct.pack("!H", 1005)), 1002),
    "a close with a code of no range": (frame(CLOSE, struct.pack("!H", 999)), 1002),
    "a close with a broken reason": (frame(CLOSE, b"\x03\xe8\xff"), 1007),
    "a length of 2^63": (bytes((0x81, 0xFF)) + b"\xff" * 8 + bytes(4), 1009),
    "a length of 1 GiB": (bytes((0x81, 0xFF)) + (1 << 30).to_bytes(8) + bytes(4), 1009),
}


@pytest.mark.parametrize(("data", "code"), BROKEN_FRAMES.values(), ids=BROKEN_FRAMES.keys())
async def test_a_broken_frame_closes_the_connection_with_its_code(node: NodeProcess, data: bytes, code: int) -> None:
    async with talk(node.ws_url) as other, raw(node) as client:
        client.send(data)
        assert await client.read_close() == code
        assert (await other.ask("ping"))["t"] == "pong"


async def test_what_comes_behind_a_broken_frame_is_not_carried_out(node: NodeProcess) -> None:
    async with raw(node) as client:
        client.send(frame(TEXT, b"\xff") + frame(TEXT, _PING_COMMAND) * 3)
        assert (await client.read_frame())[0] == CLOSE


async def test_control_frames_within_a_message_are_answered_and_do_not_harm_it(node: NodeProcess) -> None:
    async with raw(node) as client:
        client.send(frame(TEXT, _PING_COMMAND[:5], fin=False) + frame(PING, b"hello"))
        assert await client.read_frame() == (PONG, b"hello")
        client.send(
            frame(PONG, b"nobody asked") + frame(CONTINUATION, fin=False) + frame(CONTINUATION, _PING_COMMAND[5:])
        )
        opcode, payload = await client.read_frame()
        assert opcode == TEXT
        assert json.loads(payload)["t"] == "pong"


async def test_a_code_point_split_between_fragments_is_whole_again(node: NodeProcess) -> None:
    async with raw(node) as client:
        command = '{"t":"ping","id":"가"}'.encode()
        cut = command.index("가".encode()) + 1
        client.send(frame(TEXT, command[:cut], fin=False) + frame(CONTINUATION, command[cut:]))
        assert json.loads((await client.read_frame())[1])["id"] == "가"


@pytest.mark.parametrize("length", [1, 2, 5, 8, 20])
async def test_a_frame_that_ends_in_the_middle_with_the_connection_harms_nobody(node: NodeProcess, length: int) -> None:
    async with raw(node) as client:
        client.send(frame(TEXT, _PING_COMMAND)[:length])
    await eventually(lambda: node.metric("c2c_connections") == 0)


# Payloads that somebody publishes by hand


async def test_what_is_published_with_the_head_of_an_event_and_no_json_is_dropped(
    node: NodeProcess, redis_of_module: RedisServer
) -> None:
    """It begins like the event that comes next; nobody may be sent it, and the real event must not lose its turn."""
    for room_id in ("forged", "beside"):
        node.open_room(room_id)
    dropped = node.metric("c2c_dropped_payloads_total")
    async with talk(node.ws_url) as text, speak_to(node.ws_url, MSGPACK) as packed:
        for client in (text, packed):
            await client.join("forged", "kim")
            await client.join("beside", "kim")
        place = await text.ask("msg", roomId="forged", text="before")
        for tail in (" garbage", "", ",", '"t":"x"}', ',"t":"x"', ',"t":NaN}', ',"t":"\\ud800"}', '}"', "}{}"):
            forged = f'{{"seq":{place["seq"] + 1},"epoch":"{place["epoch"]}"{tail}'
            redis_of_module.client.publish("chan:forged", forged)
            redis_of_module.client.publish("chan:beside", '{"t":"unharmed"}')
        for n in range(3):
            await text.ask("msg", roomId="forged", text=str(n))
        for client in (text, packed):
            await client.wait_for("msg", 4)
            await client.wait_for("unharmed", 9)
            assert [event["text"] for event in client.of("msg")] == ["before", "0", "1", "2"]
    assert node.metric("c2c_dropped_payloads_total") == dropped + 9


async def test_an_event_forged_under_the_next_seq_does_not_hide_the_real_one(
    node: NodeProcess, redis_of_module: RedisServer
) -> None:
    """The forgery is passed on, for it is well made; the real event gives it away and everybody begins anew."""
    node.open_room("well-forged")
    async with talk(node.ws_url) as text, speak_to(node.ws_url, MSGPACK) as packed:
        await text.join("well-forged", "kim")
        await packed.join("well-forged", "lee")
        place = await text.ask("msg", roomId="well-forged", text="before")
        forged = {
            "seq": place["seq"] + 1,
            "epoch": place["epoch"],
            "roomId": "well-forged",
            "t": "msg",
            "text": "forged",
        }
        redis_of_module.client.publish("chan:well-forged", json.dumps(forged, separators=(",", ":")))
        assert (await text.ask("msg", roomId="well-forged", text="real"))["t"] == "ack"
        for client in (text, packed):
            anew = await client.wait_for("joined", 2)
            assert (anew["recovered"], anew["epoch"] != place["epoch"]) == (False, True)
            assert [message["text"] for message in anew["state"]["messages"]] == ["before", "real"]
        await packed.ask("msg", roomId="well-forged", text="after")
        for client in (text, packed):
            await eventually(lambda client=client: client.of("msg")[-1].get("text") == "after")


# Handshakes


@pytest.mark.parametrize(
    ("request_", "statuses"),
    [
        (lambda n: b"GET /ws HTTP/1.1\r\nHost: [::1]\r\nConnection: close\r\n\r\n", (404, 426)),
        (lambda n: b"POST /ws HTTP/1.1\r\nHost: [::1]\r\nConnection: close\r\nContent-Length: 2\r\n\r\nhi", (404, 405)),
        (lambda n: handshake(n, start=b"POST /ws HTTP/1.1"), (400, 404, 405)),
        (lambda n: handshake(n, start=b"GET /nope HTTP/1.1"), (403, 404)),
        (lambda n: handshake(n, drop=b"Sec-WebSocket-Key"), (400,)),
        (lambda n: handshake(n, b"Sec-WebSocket-Key: xx", drop=b"Sec-WebSocket-Key: A"), (400,)),
        (lambda n: handshake(n, drop=b"Sec-WebSocket-Version"), (400, 426)),
        (lambda n: handshake(n, b"Sec-WebSocket-Version: 8", drop=b"Sec-WebSocket-Version: 1"), (400, 426)),
        (lambda n: handshake(n, b"Origin: http://["), (403,)),
        (lambda n: handshake(n, b"Origin: \xff\xfe"), (403,)),
        (lambda n: handshake(n, b"Origin: https://evil.example", b"Origin: http://127.0.0.1:%d" % n.port), (400, 403)),
        (lambda n: handshake(n, *[b"X-%d: y" % i for i in range(300)]), (400, 431)),
        (lambda n: handshake(n, b"X: " + b"y" * 20_000), (400, 431)),
        (lambda n: handshake(n, b"X: " + b"y" * 200_000), (400, 431)),
        (lambda n: handshake(n, b"no colon here"), (400,)),
        (lambda n: handshake(n, start=b"GET /ws?lang=\xff HTTP/1.1"), (400,)),
        (lambda n: handshake(n, start=b"GET /ws HTTP/9.9"), (400, 505)),
        (lambda n: b"\0\1\2\3garbage\r\n\r\n", (400,)),
        (lambda n: b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + os.urandom(64) + b"\r\n\r\n", (400,)),
        (lambda n: frame(TEXT, _PING_COMMAND) + b"\r\n\r\n", (400,)),
    ],
    ids=[
        "no upgrade", "POST", "upgrade by POST", "other path", "no key", "bad key", "no version", "old version",
        "malformed Origin", "binary Origin", "two Origins", "300 headers", "header of 20 kB", "header of 200 kB",
        "no colon", "binary query", "HTTP/9.9", "garbage", "TLS", "a frame without a handshake",
    ],
)  # fmt: skip
async def test_garbage_for_a_handshake_is_answered_and_the_connection_ends(
    node: NodeProcess, request_: Callable[[NodeProcess], bytes], statuses: tuple[int, ...]
) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", node.port)
    try:
        writer.write(request_(node))
        async with asyncio.timeout(5):
            answer = await reader.read()
    finally:
        writer.transport.abort()
    assert int(answer.split(b" ", 2)[1]) in statuses, answer[:200]


async def test_half_a_handshake_and_a_handshake_that_nobody_waits_for_leave_nothing_behind(node: NodeProcess) -> None:
    whole = handshake(node)
    for data in (whole[:30], whole[:-2], whole, whole + frame(TEXT, _PING_COMMAND), whole + b"\x81"):
        for _ in range(20):
            with contextlib.closing(socket.create_connection(("127.0.0.1", node.port))) as impatient:
                # RST instead of FIN: the node meets the end while it answers.
                impatient.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                impatient.sendall(data)
    async with talk(node.ws_url) as client:
        assert (await client.ask("ping"))["t"] == "pong"
    await eventually(lambda: node.metric("c2c_connections") == 0)


async def test_connections_that_are_cut_in_the_middle_of_commands_leave_no_member_and_no_task(
    node: NodeProcess, redis_of_module: RedisServer
) -> None:
    node.open_room("cut")
    async with talk(node.ws_url) as watcher:
        await watcher.join("cut", "watcher")
        rooms_before = node.metric("c2c_local_rooms")
        for n in range(30):
            async with connect(node.ws_url, compression=None, subprotocols=[Subprotocol("c2c.json")]) as client:
                await client.send(json.dumps({"t": "join", "roomId": "cut", "token": f"user{n}", "id": "j"}))
                for m in range(n % 5):
                    await client.send(json.dumps({"t": "msg", "roomId": "cut", "text": str(m), "id": str(m)}))
                client.transport.abort()
        assert (await watcher.ask("msg", roomId="cut", text="unharmed"))["t"] == "ack"
        await eventually(lambda: node.metric("c2c_connections") == 1)
        # The dropped ones have the grace period; then all of them are gone, once each, and none is left over.
        await eventually(lambda: redis_of_module.client.smembers("room:cut:members") <= {"watcher", "creator"}, 20)
        await _told_once_each(watcher)
        assert node.metric("c2c_local_rooms") == rooms_before


async def _told_once_each(watcher: Talker) -> None:
    """Everybody who came was told to come once and to go once."""

    def same() -> bool:
        came = [event["userId"] for event in watcher.events("user_joined")]
        went = [event["userId"] for event in watcher.events("user_left") if event["userId"] != "creator"]
        assert len(came) == len(set(came))
        assert len(went) == len(set(went))
        return sorted(came) == sorted(went)

    await eventually(same)


async def test_after_all_this_nothing_is_left_and_the_node_stops_cleanly(running_node: NodeProcess) -> None:
    for name in ("c2c_connections", "c2c_room_connections", "c2c_local_rooms", "c2c_store_queue"):
        await eventually(lambda name=name: running_node.metric(name) == 0, what=name)
    running_node.signal(signal.SIGTERM)
    assert running_node.wait() in (0, -signal.SIGTERM)
    for trace in ("Traceback", "Task was destroyed", "never retrieved", "Unclosed", "redis refused"):
        assert trace not in running_node.log, running_node.log[-3000:]
    running_node.start()  # more tests of this module may come to this process
