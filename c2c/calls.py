"""What the typed methods of `c2c.store`, `c2c.users` and `c2c.lineups` share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from c2c.errors import RoomNotFound
from c2c.scripts import Argument

DEDUPE_MS: Final = 600_000


@dataclass(slots=True)
class ScriptClock:
    """What scripts are told about time.

    `now`: '' = they ask Redis; tests set it. `merciful`: leases that have ended get the grace period instead of being
    swept (`c2c.leases` sets it).
    """

    now: Argument = ""
    merciful: bool = False


def lease_of(user_id: str, connection_id: str) -> str:
    """The name of a connection's lease in a room. Neither id holds a slash."""
    return f"{user_id}/{connection_id}"


def require_room(reply: list[Any]) -> None:
    """Raises RoomNotFound if that is what a script says."""
    if reply[0] == b"ROOM_NOT_FOUND":
        raise RoomNotFound()


def read_nothing(reply: object) -> None:
    """For calls whose answer says nothing but that they were carried out."""
