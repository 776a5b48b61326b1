"""Ids, positions and the bytes of events."""

from __future__ import annotations

import json
import time
import unicodedata
from collections.abc import Callable
from functools import partial

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError
from pydantic_core import to_json

from c2c.events import RESERVED_ROOM_PARTS, EventText, Position, RoomId, Since, UserId, event_text, position_of
from c2c.keys import Keys
from c2c.lineups import COLUMNS

_ROOM: TypeAdapter[str] = TypeAdapter(RoomId)
_USER: TypeAdapter[str] = TypeAdapter(UserId)


def accepted(adapter: TypeAdapter[str], value: object) -> str | None:
    """The id as it will be used, or None when it is refused."""
    try:
        return adapter.validate_python(value, strict=True)
    except ValidationError:
        return None


@pytest.mark.parametrize(
    "value", ["a", "x" * 64, "가" * 64, "a.b_c-d@e", "홍길동", "ห้อง", "कक्ष", "غرفة", "½Ⅷ٣", "é", "한글123"]
)
def test_ids_of_any_script_are_ids(value: str) -> None:
    assert accepted(_ROOM, value) == accepted(_USER, value) == value


NO_CHARACTERS = " /\\{}*?#%+,;&=<>()[]|^~`!$\"'\0\n\t\x7f\u00a0😀\u202e\u200d\u200b\ufeff\ue000\uffff\ud800\u2028\u20ac"


@pytest.mark.parametrize("value", [*(f"a{sign}b" for sign in NO_CHARACTERS), *NO_CHARACTERS], ids=repr)
def test_signs_that_are_neither_letters_nor_digits_are_refused(value: str) -> None:
    assert accepted(_ROOM, value) is None
    assert accepted(_USER, value) is None


@pytest.mark.parametrize("value", ["", "x" * 65, 7, None, True, b"a", ["a"], {}], ids=repr)
def test_what_is_no_id_is_refused(value: object) -> None:
    assert accepted(_ROOM, value) is None
    assert accepted(_USER, value) is None


def test_a_colon_is_for_rooms_only() -> None:
    assert accepted(_ROOM, "endpoint:7") == "endpoint:7"
    assert accepted(_USER, "endpoint:7") is None


def test_ids_are_normalised_before_they_are_measured() -> None:
    assert accepted(_ROOM, "e\u0301") == "é"
    assert accepted(_ROOM, "e\u0301" * 64) == "é" * 64
    assert accepted(_ROOM, "e\u0301" * 65) is None
    # Hangul from three jamo each, as macOS writes it.
    assert accepted(_ROOM, unicodedata.normalize("NFD", "값" * 64)) == "값" * 64


@settings(max_examples=300, deadline=None)
@given(st.text(max_size=80))
def test_an_id_is_settled_by_one_normalisation_and_needs_no_escaping(value: str) -> None:
    """`lua/include/lease_remove.lua` writes user ids into JSON as they are, and `lease_of` divides by a slash."""
    for adapter in (_ROOM, _USER):
        id_ = accepted(adapter, value)
        if id_ is not None:
            assert 1 <= len(id_) <= 64
            assert unicodedata.is_normalized("NFC", id_)
            assert accepted(adapter, id_) == id_
            assert to_json(id_) == f'"{id_}"'.encode()
            assert not set(id_) & set("/{}\n\0 ")


@pytest.mark.parametrize("part", sorted(RESERVED_ROOM_PARTS))
def test_reserved_parts_are_no_room_ids_wherever_they_stand_behind_a_colon(part: str) -> None:
    for room_id in (f"a:{part}", f"a:{part}:b", f"a:b:{part}", f":{part}"):
        assert accepted(_ROOM, room_id) is None
    for room_id in (part, f"a:{part}s", f"a-{part}", f"a:{part.upper()}"):
        assert accepted(_ROOM, room_id) == room_id


_ROOM_KEYS: list[Callable[[Keys, str], str]] = [
    Keys.room, Keys.members, Keys.leases, Keys.connections, Keys.log, Keys.messages,
    lambda keys, room_id: keys.dedupe(room_id, "kim", "m:1"), lambda keys, room_id: keys.undo(room_id, "kim"),
    *[partial(Keys.lineup, column=column) for column in (*COLUMNS, "editing")],
]  # fmt: skip


@settings(max_examples=300, deadline=None)
@given(*[st.lists(st.sampled_from(["a", "b", *sorted(RESERVED_ROOM_PARTS)]), max_size=4).map(":".join)] * 2)
def test_no_two_rooms_share_a_key(first: str, second: str) -> None:
    ids = [id_ for id_ in (accepted(_ROOM, first), accepted(_ROOM, second)) if id_ is not None]
    if len(set(ids)) == 2:
        for cluster in (False, True):
            keys = [{make(Keys(cluster), id_) for make in _ROOM_KEYS} for id_ in ids]
            assert not keys[0] & keys[1]


def test_a_long_id_costs_no_more_than_its_length() -> None:
    """Sorting combining marks is quadratic: 64 KiB of them took the loop two seconds."""

    def cost_s(value: str) -> float:
        started_s = time.process_time()
        for _ in range(3):
            assert accepted(_ROOM, value) is None
        return time.process_time() - started_s

    marks = "\u0300" * 10_000 + "\u0316" * 10_000
    assert cost_s(marks) < 20 * cost_s("x" * len(marks)) + 0.05


# Positions


def assemble(text: EventText, seq: int, epoch: str) -> bytes:
    """As `lua/include/event_append.lua` does."""
    return b'{"seq":%d,"epoch":"%b"%b2026-01-02T03:04:05.678Z"%b' % (seq, epoch.encode(), text.head, text.tail)


def test_an_event_is_json_with_the_five_fields_first() -> None:
    event = assemble(event_text("방", "msg", {"text": '"\n😀'}, by="i:d"), 7, "abc")
    assert list(json.loads(event).items()) == [
        ("seq", 7), ("epoch", "abc"), ("roomId", "방"), ("t", "msg"), ("timestamp", "2026-01-02T03:04:05.678Z"),
        ("by", "i:d"), ("text", '"\n😀'),
    ]  # fmt: skip


def test_an_event_without_fields_is_json_too() -> None:
    assert "by" not in json.loads(assemble(event_text("r", "x", {}), 1, "e"))


@settings(deadline=None)
@given(
    st.text(max_size=30), st.integers(1, 2**53), st.dictionaries(st.text(max_size=5), st.text(max_size=9), max_size=4)
)
def test_a_position_is_read_off_every_event(by: str, seq: int, fields: dict[str, str]) -> None:
    fields = {name: value for name, value in fields.items() if name not in ("seq", "epoch", "by")}
    try:
        text = event_text("r", "msg", fields, by)
    except ValueError:  # lone surrogates never get this far
        return
    assert position_of(assemble(text, seq, "0123456789ab")) == Position("0123456789ab", seq)


@pytest.mark.parametrize(
    "payload",
    [
        b"", b"{", b"{}", b"null", b'{"t":"test"}', b'{"t":"x","seq":1,"epoch":"e"}', b' {"seq":1,"epoch":"e"}',
        b'{"seq":1}', b'{"seq":1,', b'{"seq":1,"epoch":', b'{"seq":1,"epoch":"', b'{"seq":1,"epoch":"e',
        b'{"seq":1,"epoch":7}', b'{"seq":1,"epoch":null}', b'{"seq":1, "epoch":"e"}', b'{"seq": 1,"epoch":"e"}',
        b'{"seq":-1,"epoch":"e"}', b'{"seq":1.5,"epoch":"e"}', b'{"seq":1e5,"epoch":"e"}', b'{"seq":"1","epoch":"e"}',
        b'{"seq":,"epoch":"e"}', b'{"seq":null,"epoch":"e"}', b'{"seq":\xd9\xa3,"epoch":"e"}',
        b'{"seq":+1,"epoch":"e"}',
        b'{"seq":1_0,"epoch":"e"}', b'{"seq":' + b"9" * 5000 + b',"epoch":"e"}',
        b'{"seq":1,"epoch":"' + b"e" * 66 + b'"}', b'{"seq":1,"epoc":"e"}', b'{"epoch":"e","seq":1}',
    ],
    ids=repr,
)  # fmt: skip
def test_what_is_no_logged_event_has_no_position(payload: bytes) -> None:
    assert position_of(payload) is None


@settings(max_examples=500, deadline=None)
@given(
    st.binary(max_size=120)
    | st.binary(max_size=60).map(lambda tail: b'{"seq":' + tail)
    | st.binary(max_size=60).map(lambda tail: b'{"seq":1,"epoch":"' + tail)
    | st.builds(lambda digits, tail: b'{"seq":%d,"epoch"' % digits + tail, st.integers(0), st.binary(max_size=40))
)
@example(b'{"seq":1,"epoch":"\xff\xfe"')
def test_no_bytes_make_reading_a_position_fail(payload: bytes) -> None:
    found = position_of(payload)
    assert found is None or (found.seq >= 0 and len(found.epoch) <= 64)


@pytest.mark.parametrize(
    "value",
    [
        *[{"epoch": epoch, "seq": 1} for epoch in ("", "x" * 65, 1, None)],
        *[{"epoch": "e", "seq": seq} for seq in (-1, 2**53 + 1, 1.0, "1", True, None)],
        {"epoch": "e"},
        {"seq": 1},
        {"epoch": "e", "seq": 1, "surplus": 1},
        [],
    ],
    ids=str,
)
def test_what_is_no_position_to_resume_from_is_refused(value: object) -> None:
    with pytest.raises(ValidationError):
        Since.model_validate(value)
