"""The chat rooms of incidents: each lives as long as its incident is listed.

They lie in other slots than the incidents, so no script does both. A room is opened before its incident is committed
and deleted behind it; what a crash leaves between the two expires.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from typing import Final

from c2c.errors import C2CError, RoomExists
from c2c.monitoring.endpoints import incident_room
from c2c.rooms.chat import Chat
from c2c.store import Retention, Store

# As long as the longest history: a room that is listed must not expire before its incident is forgotten.
_RETENTION: Final = Retention(log_events=1_000, room_ttl_s=730 * 86_400)


async def open_incident_room(store: Store, incident_id: str, title: str) -> bool:
    """Open the room of an incident. Returns whether it is new: one that is reopened has it. 2 round trips."""
    try:
        await store.open_room(
            incident_room(incident_id), Chat.name, "c2c", _RETENTION, title=title, creator_joins=False
        )
    except RoomExists:
        return False
    return True


async def delete_incident_rooms(store: Store, incident_ids: Iterable[str]) -> None:
    """Delete the rooms of incidents that are forgotten or never came about. One that people are in expires when they
    have left; so does one that Redis could not be asked to delete. 2 round trips each."""
    for incident_id in incident_ids:
        with contextlib.suppress(C2CError):
            await store.delete_room(incident_room(incident_id))
