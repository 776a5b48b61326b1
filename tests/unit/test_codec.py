"""The codecs: what they refuse and why, that both say the same, and that no bytes make them fail in another way."""

from __future__ import annotations

import json
from typing import Any, Literal

import msgpack
import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from pydantic_core import to_json

from c2c.codec import Codec, CommandModels, JsonCodec, MsgpackCodec, RejectedFrame
from c2c.errors import BadFrame, BadValue, UnknownCommand
from c2c.events import CONNECTION_COMMANDS, Command, Join, Leave, Ping
from c2c.rooms import default_kinds

MAX_NESTING = 32
_MODELS = CommandModels(default_kinds().command_models(), MAX_NESTING)
JSON, MSGPACK = JsonCodec(_MODELS), MsgpackCodec(_MODELS)

VALID: list[dict[str, Any]] = [
    {"t": "hello", "id": "1", "token": "홍길동"},
    {"t": "join", "id": "2", "roomId": "방:1", "token": "kim", "since": {"epoch": "abc", "seq": 7}},
    {"t": "leave", "id": "3", "roomId": "r"},
    {"t": "ping"},
    {"t": "typing", "id": "5", "roomId": "r", "typing": True},
    {"t": "msg", "id": "6", "roomId": "r", "text": 'a"\\\n😀'},
    {"t": "history", "id": "7", "roomId": "r", "before": 2**53, "limit": 100},
]


def rejection(codec: Codec, frame: str | bytes) -> RejectedFrame:
    with pytest.raises(RejectedFrame) as rejected:
        codec.decode(frame)
    return rejected.value


def verdict(codec: Codec, frame: str | bytes) -> object:
    """What becomes of a frame, in a form that can be compared."""
    try:
        return codec.decode(frame)
    except RejectedFrame as rejected:
        return type(rejected.error), rejected.error.details.get("field"), rejected.command_id


@pytest.mark.parametrize("message", VALID, ids=lambda message: message["t"])
def test_both_codecs_make_the_same_command_of_the_same_object(message: dict[str, Any]) -> None:
    from_json = JSON.decode(json.dumps(message))
    assert from_json == JSON.decode(json.dumps(message).encode()) == MSGPACK.decode(msgpack.packb(message))
    assert from_json.model_dump(exclude_unset=True) == message


def test_a_command_knows_its_model() -> None:
    assert isinstance(JSON.decode('{"t":"ping"}'), Ping)
    assert isinstance(JSON.decode('{"t":"leave","roomId":"r"}'), Leave)
    assert isinstance(JSON.decode('{"t":"join","roomId":"r"}'), Join)


def test_commands_can_not_be_changed() -> None:
    command = JSON.decode('{"t":"ping","id":"x"}')
    with pytest.raises(ValueError, match="frozen"):
        command.id = "y"  # type: ignore[misc]


def test_two_commands_of_one_name_are_a_mistake_of_the_programmer() -> None:
    class Again(Command):
        t: Literal["ping"]

    with pytest.raises(ValueError, match="two commands are called 'ping'"):
        CommandModels([*CONNECTION_COMMANDS, Again], MAX_NESTING)


@pytest.mark.parametrize(
    ("message", "error", "field"),
    [
        ({"id": "x"}, BadFrame, None),
        ({"id": "x", "t": "nope"}, UnknownCommand, None),
        ({"id": "x", "t": "ping", "a": 1}, BadFrame, "a"),
        ({"id": "x", "t": "msg", "roomId": "r"}, BadFrame, "text"),
        ({"id": "x", "t": "msg", "roomId": "r", "text": 1}, BadValue, "text"),
        ({"id": "x", "t": "msg", "roomId": "{}", "text": "x"}, BadValue, "roomId"),
        ({"id": "x", "t": "join", "roomId": "r", "since": {"epoch": "e"}}, BadFrame, "since.seq"),
    ],
)
def test_a_rejection_names_the_reason_and_keeps_the_id(
    message: dict[str, Any], error: type[Exception], field: str | None
) -> None:
    for codec, frame in ((JSON, json.dumps(message)), (MSGPACK, msgpack.packb(message))):
        rejected = rejection(codec, frame)
        assert type(rejected.error) is error
        assert rejected.error.details.get("field") == field
        assert rejected.command_id == "x"


@pytest.mark.parametrize("depth", [2, 31, 32])
def test_nesting_up_to_the_limit_is_looked_into(depth: int) -> None:
    deep: Any = []
    for _ in range(depth - 2):
        deep = [deep]
    message = {"t": "ping", "id": "x", "deep": deep}
    for codec, frame in ((JSON, json.dumps(message)), (MSGPACK, msgpack.packb(message))):
        assert rejection(codec, frame).error.details == {"field": "deep", "reason": "Extra inputs are not permitted"}


@pytest.mark.parametrize("wrap", [lambda inner: [inner], lambda inner: {"x": inner}], ids=["lists", "objects"])
@pytest.mark.parametrize("depth", [33, 100, 400])
def test_nesting_beyond_the_limit_is_refused_as_such(wrap: Any, depth: int) -> None:
    deep: Any = wrap(1)
    for _ in range(depth - 2):
        deep = wrap(deep)
    message = {"t": "ping", "id": "x", "deep": deep}
    for codec, frame in ((JSON, json.dumps(message)), (MSGPACK, msgpack.packb(message))):
        rejected = rejection(codec, frame)
        assert (rejected.error.details, rejected.command_id) == ({"reason": "nesting"}, "x")


def test_an_answer_is_the_same_object_in_both_codecs() -> None:
    answer = {"t": "ack", "id": "홍", "seq": 2**53, "list": [1, None, True, 1.5], "text": "a\0b\u2028😀"}
    assert json.loads(JSON.encode(answer)) == answer
    assert msgpack.unpackb(MSGPACK.encode(answer)) == answer


def test_an_event_goes_out_in_json_as_it_is_and_in_msgpack_as_the_same_object() -> None:
    event = b'{"seq": 1,  "epoch":"e", "text":"\\ud83d\\ude00"}'
    assert JSON.encode_event(event) is event
    assert msgpack.unpackb(MSGPACK.encode_event(event)) == json.loads(event)


# Anything at all

_text = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
_numbers = st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False, allow_infinity=False)
_scalars = st.none() | st.booleans() | _numbers | _text
_anything = st.recursive(
    _scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_text, inner, max_size=4), max_leaves=12
)
_field_names = st.sampled_from(
    ["t", "id", "roomId", "token", "since", "text", "before", "limit", "typing", "epoch", "seq"]
)
_names = st.sampled_from([message["t"] for message in VALID])


@st.composite
def _nearly_commands(draw: st.DrawFn) -> dict[str, Any]:
    """A command with some of its fields replaced, taken away or added."""
    message = dict(draw(st.sampled_from(VALID)))
    for name in draw(st.lists(_field_names, max_size=3)):
        if draw(st.booleans()):
            message[name] = draw(_anything | _names)
        else:
            message.pop(name, None)
    return message


@settings(max_examples=250, deadline=None)
@given(_nearly_commands() | _anything)
def test_both_codecs_judge_every_object_alike(message: object) -> None:
    """A client may change its codec and nothing else changes. Numbers keep their kind: 1.0 is no 1 in both."""
    assert verdict(JSON, json.dumps(message)) == verdict(MSGPACK, msgpack.packb(message))


@settings(max_examples=250, deadline=None)
@given(st.binary(max_size=200))
@example(b"\xdd\xff\xff\xff\xff")
@example(b"\x91" * 60_000)
@example(b"\x81" * 60_000)
@example(b"\xc7\x0c\xff" + bytes(12))
@example(b"\x81\xa1t\xd6\xff" + bytes(4))
def test_no_bytes_make_the_msgpack_codec_fail_but_by_rejection(frame: bytes) -> None:
    verdict(MSGPACK, frame)


@settings(max_examples=250, deadline=None)
@given(st.binary(max_size=200) | st.text(max_size=200))
@example(b"\xff\xfe")
@example("[" * 60_000)
@example('{"a":' * 10_000)
@example('{"t":"ping","id":"\\ud800"}')
@example('{"t":"ping","id":1e400}')
@example('{"t":"ping","id":' + "9" * 60_000 + "}")
@example('{"t":"ping","id":-' + "0" * 60_000 + "}")
def test_no_bytes_make_the_json_codec_fail_but_by_rejection(frame: str | bytes) -> None:
    if isinstance(frame, str):
        assume(frame.isprintable() or frame.encode("utf-8", "ignore").decode() == frame)
    verdict(JSON, frame)


@st.composite
def _mutated(draw: st.DrawFn, frames: list[bytes]) -> bytes:
    """A frame with some bytes changed, taken out, put in or doubled."""
    frame = bytearray(draw(st.sampled_from(frames)))
    for _ in range(draw(st.integers(1, 6))):
        at = draw(st.integers(0, max(0, len(frame) - 1)))
        length = draw(st.integers(0, 4))
        match draw(st.sampled_from(["change", "remove", "insert", "repeat", "cut"])):
            case "change":
                frame[at : at + length] = draw(st.binary(min_size=length, max_size=length))
            case "remove":
                del frame[at : at + length]
            case "insert":
                frame[at:at] = draw(st.binary(max_size=5))
            case "repeat":
                frame[at:at] = frame[at : at + 20]
            case _:
                del frame[at:]
    return bytes(frame)


@settings(max_examples=300, deadline=None)
@given(_mutated([msgpack.packb(message) for message in VALID]))
def test_no_mutation_of_a_msgpack_frame_makes_it_fail_but_by_rejection(frame: bytes) -> None:
    verdict(MSGPACK, frame)


@settings(max_examples=300, deadline=None)
@given(_mutated([to_json(message) for message in VALID]))
def test_no_mutation_of_a_json_frame_makes_it_fail_but_by_rejection(frame: bytes) -> None:
    # Text frames come as str: what is no UTF-8 never gets here (RFC 6455, section 8.1).
    verdict(JSON, frame.decode("utf-8", "replace"))


@settings(max_examples=200, deadline=None)
@given(st.dictionaries(_text, _anything, max_size=5))
def test_every_object_is_carried_by_both_codecs(message: dict[str, Any]) -> None:
    text = JSON.encode(message)
    assert msgpack.unpackb(MSGPACK.encode(message)) == json.loads(text) == msgpack.unpackb(MSGPACK.encode_event(text))
