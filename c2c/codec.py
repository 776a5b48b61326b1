"""Bytes ↔ commands and events, for the two subprotocols `c2c.json` and `c2c.msgpack`."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Final, NoReturn, Protocol

import msgpack
from pydantic import Field, TypeAdapter, ValidationError
from pydantic_core import from_json, to_json

from c2c.errors import BadFrame, BadValue, C2CError, UnknownCommand
from c2c.events import Command, KindCommand

SUBPROTOCOL_JSON: Final = "c2c.json"
SUBPROTOCOL_MSGPACK: Final = "c2c.msgpack"


class RejectedFrame(Exception):
    """A frame that became no command. `command_id` is the frame's `id`, if it had a usable one."""

    def __init__(self, error: C2CError, command_id: str | None = None) -> None:
        super().__init__(error)
        self.error = error
        self.command_id = command_id


class Codec(Protocol):
    """One subprotocol. Frames are UTF-8 text in JSON and bytes in msgpack."""

    name: str
    binary: bool

    def encode(self, message: Mapping[str, Any]) -> bytes:
        """The payload of a frame for an answer."""

    def encode_event(self, event: bytes) -> bytes:
        """The payload of a frame for an event, given as the JSON that stands in the log."""

    def decode(self, frame: str | bytes) -> Command:
        """The command in a frame. Raises `RejectedFrame`."""


class CommandModels:
    """All commands that exist, as one discriminated union that decodes and checks in one pass."""

    def __init__(self, models: Iterable[type[Command]], max_nesting: int) -> None:
        union: Any = None
        names: set[str] = set()
        room_names: set[str] = set()
        for model in models:
            (name,) = model.model_fields["t"].annotation.__args__  # type: ignore[union-attr]
            if name in names:
                raise ValueError(f"two commands are called {name!r}")
            names.add(name)
            if issubclass(model, KindCommand):
                room_names.add(name)
            union = model if union is None else union | model
        self._names = frozenset(names)
        self._room_names = frozenset(room_names)
        self._adapter: TypeAdapter[Command] = TypeAdapter(Annotated[union, Field(discriminator="t")])
        self._max_nesting = max_nesting

    def takes_room(self, t: object) -> bool:
        """Whether this is the name of a command to a room; also true for what is no name at all, so that decoding can
        say what is wrong."""
        return t not in self._names - self._room_names if isinstance(t, str) else True

    def from_json(self, frame: str | bytes) -> Command:
        """Raises `RejectedFrame`; the reason is worked out only then."""
        try:
            return self._adapter.validate_json(frame, strict=True)
        except ValidationError as failure:
            self._explain(_parse_json(frame), failure)

    def from_object(self, message: object) -> Command:
        """The same for an object that is decoded already."""
        try:
            return self._adapter.validate_python(message, strict=True)
        except (ValidationError, RecursionError) as failure:
            self._explain(message, failure if isinstance(failure, ValidationError) else None)

    def _explain(self, message: object, failure: ValidationError | None) -> NoReturn:
        command_id = _usable_id(message)
        if _too_deep(message, self._max_nesting):
            raise RejectedFrame(BadFrame(reason="nesting"), command_id)
        if not isinstance(message, dict):
            raise RejectedFrame(BadFrame(reason="not an object"))
        if not _encodable(message):
            raise RejectedFrame(BadFrame(reason="not text, numbers, lists and objects of Unicode"), command_id)
        if failure is None or not isinstance(message.get("t"), str):
            raise RejectedFrame(BadFrame(reason="no t"), command_id)
        if message["t"] not in self._names:
            raise RejectedFrame(UnknownCommand(), command_id)
        raise RejectedFrame(_field_error(failure), command_id)


def _usable_id(message: object) -> str | None:
    """The id to answer with, if the message has one."""
    id_ = message.get("id") if isinstance(message, dict) else None
    return id_ if isinstance(id_, str) and 1 <= len(id_) <= 64 and _encodable(id_) else None


def _parse_json(frame: str | bytes) -> object:
    try:
        return json.loads(frame, parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        raise RejectedFrame(BadFrame(reason="not JSON")) from None


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _too_deep(message: object, limit: int) -> bool:
    """Whether containers stand in each other more than `limit` deep; breadth first, so no recursion."""
    level: list[object] = [message]
    for _ in range(limit):
        level = [child for node in level for child in _children(node)]
        if not level:
            return False
    return any(isinstance(node, dict | list) for node in level)


def _children(node: object) -> Iterable[object]:
    if isinstance(node, dict):
        return node.values()
    return node if isinstance(node, list) else ()


def _encodable(message: object) -> bool:
    """Whether JSON could carry it. Lone surrogates are no Unicode text, though JSON can spell them (RFC 8259, section
    8.2); msgpack knows byte strings, also as keys, timestamps, and numbers that are none."""
    try:
        json.dumps(message, ensure_ascii=False, allow_nan=False).encode()
    except (ValueError, TypeError):
        return False
    return True


def _field_error(failure: ValidationError) -> C2CError:
    """A missing or unknown field is a bad frame; a field with a wrong value is a bad value."""
    first = failure.errors(include_url=False, include_context=False, include_input=False)[0]
    field = ".".join(str(part) for part in first["loc"][1:])
    kind = BadFrame if first["type"] in ("missing", "extra_forbidden") else BadValue
    return kind(field=field, reason=first["msg"])


class JsonCodec:
    """Subprotocol `c2c.json`: one JSON object per text frame."""

    name = SUBPROTOCOL_JSON
    binary = False

    def __init__(self, commands: CommandModels) -> None:
        self._commands = commands

    def encode(self, message: Mapping[str, Any]) -> bytes:
        return to_json(message)

    def encode_event(self, event: bytes) -> bytes:
        return event

    def decode(self, frame: str | bytes) -> Command:
        return self._commands.from_json(frame)


class MsgpackCodec:
    """Subprotocol `c2c.msgpack`: the same objects as maps in binary frames; no extension types."""

    name = SUBPROTOCOL_MSGPACK
    binary = True

    def __init__(self, commands: CommandModels) -> None:
        self._commands = commands

    def encode(self, message: Mapping[str, Any]) -> bytes:
        # Answers may hold what only the JSON encoder knows (dates, models): one road for both codecs.
        return self.encode_event(to_json(message))

    def encode_event(self, event: bytes) -> bytes:
        packed: bytes = msgpack.packb(from_json(event))
        return packed

    def decode(self, frame: str | bytes) -> Command:
        if isinstance(frame, str):
            raise RejectedFrame(BadFrame(reason="not msgpack"))
        try:
            message = msgpack.unpackb(frame, ext_hook=_refuse_extension, strict_map_key=True)
        except (ValueError, msgpack.UnpackException, RecursionError):
            # Extension types, trailing bytes, broken UTF-8, too deep: all of them are ValueErrors of msgpack.
            raise RejectedFrame(BadFrame(reason="not msgpack")) from None
        return self._commands.from_object(message)


def _refuse_extension(code: int, data: bytes) -> NoReturn:
    raise ValueError(f"extension type {code}")
