"""The words of the protocol: ids, positions, commands and the bytes of an event.

Commands are pydantic models because untrusted bytes become them; everything inside is frozen and slotted.
The commands here are those of every room; a kind brings its own (`c2c.rooms`).
"""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from pydantic_core import PydanticCustomError, to_json

_USER_ID_EXTRA = frozenset("._-@")
_ROOM_ID_EXTRA = _USER_ID_EXTRA | {":"}
_ID_MAX = 64
_ID_RAW_MAX = 4 * _ID_MAX

# What stands behind a room's id in a key (`c2c.keys`). A room called `a:log` would share a key with room `a`.
RESERVED_ROOM_PARTS = frozenset(
    {
        *("members", "leases", "connections", "log", "messages", "dedupe"),
        *("signed-in", "profiles", "places", "seen", "presence", "changed", "chosen", "idle", "idlers"),
        *("hours", "days"),
        *("order", "rows", "numbers", "versions", "editors", "memos", "memo-rows", "row-memos", "groups"),
        *("log-days", "editing", "undo"),
        *("due", "claims", "fences", "targets", "endpoints", "states", "summaries", "incidents", "incident-times"),
        *("open", "acknowledged", "windows", "webhooks", "deliveries", "delivery-bodies", "push-tokens"),
        *("results", "own-incidents", "nodes", "webhook-outcomes"),
    }
)


def _check_id(value: str, extra: frozenset[str]) -> str:
    """NFC, 1–64 characters, letters (with their marks) and digits of any script and a few signs."""
    if len(value) > _ID_RAW_MAX:  # normalising is quadratic in the worst case
        raise PydanticCustomError("id_length", "an id has 1 to 64 characters")
    value = unicodedata.normalize("NFC", value)
    if not 1 <= len(value) <= _ID_MAX:
        raise PydanticCustomError("id_length", "an id has 1 to 64 characters")
    for character in value:
        if character not in extra and unicodedata.category(character)[0] not in "LMN":
            raise PydanticCustomError("id_character", "an id has letters, digits and . _ - @ only")
    return value


def _check_user_id(value: str) -> str:
    return _check_id(value, _USER_ID_EXTRA)


def _check_room_id(value: str) -> str:
    value = _check_id(value, _ROOM_ID_EXTRA)
    if not RESERVED_ROOM_PARTS.isdisjoint(value.split(":")[1:]):
        raise PydanticCustomError("id_reserved", "a part of the id is reserved")
    return value


UserId = Annotated[str, AfterValidator(_check_user_id)]
RoomId = Annotated[str, AfterValidator(_check_room_id)]
CommandId = Annotated[str, Field(min_length=1, max_length=64)]


@dataclass(frozen=True, slots=True)
class Position:
    """A place in a room's log. `epoch` names one life of the log and `seq` counts in it.

    Why both: after the log was lost and begun anew, seq 7 is another event than the seq 7 somebody remembers.
    """

    epoch: str
    seq: int


class Since(BaseModel):
    """The position a client asks to resume from."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    epoch: Annotated[str, Field(min_length=1, max_length=64)]
    seq: Annotated[int, Field(ge=0, le=2**53)]


class Command(BaseModel):
    """What every command may carry. Unknown fields are refused; nothing is coerced."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    t: str
    id: CommandId | None = None


class KindCommand(Command):
    """A command of a kind of room. It need not say to which room where the kind has but one, or members are in one of
    them at a time."""

    roomId: RoomId | None = None


class RoomCommand(KindCommand):
    """A command that has to say to which room."""

    roomId: RoomId


Token = Annotated[str, Field(max_length=16_384)]


class Hello(Command):
    t: Literal["hello"]
    token: Token


class Join(RoomCommand):
    t: Literal["join"]
    token: Token | None = None
    since: Since | None = None


class Leave(RoomCommand):
    t: Literal["leave"]


class Ping(Command):
    t: Literal["ping"]


class Typing(RoomCommand):
    t: Literal["typing"]
    typing: bool


CONNECTION_COMMANDS: tuple[type[Command], ...] = (Hello, Join, Leave, Ping, Typing)


@dataclass(frozen=True, slots=True)
class EventText:
    """An event's JSON in two pieces; the script that appends it writes seq and epoch before and the time between."""

    head: bytes
    tail: bytes


def event_text(room_id: str, t: str, fields: Mapping[str, Any], by: str | None = None) -> EventText:
    """Write all of an event but what only Redis knows.

    The whole is `{"seq":…,"epoch":"…","roomId":…,"t":…,"timestamp":"…"[,"by":…],<fields>}`.
    """
    body = {"by": by, **fields} if by is not None else fields
    head = b',"roomId":' + to_json(room_id) + b',"t":' + to_json(t) + b',"timestamp":"'
    encoded = to_json(body)
    return EventText(head, b"}" if encoded == b"{}" else b"," + encoded[1:])


def position_of(event: bytes) -> Position | None:
    """Read seq and epoch off the front of a logged event, without decoding it; None when they are not there.

    O(1): called for every event that a node receives.
    """
    if not event.startswith(b'{"seq":'):
        return None
    comma = event.find(b",", 7, 27)
    if comma < 0 or not event[7:comma].isdigit() or not event.startswith(b'"epoch":"', comma + 1):
        return None
    start = comma + 10
    end = event.find(b'"', start, start + 65)
    if end < 0:
        return None
    return Position(event[start:end].decode("ascii", "replace"), int(event[7:comma]))
