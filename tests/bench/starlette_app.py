"""The baseline: rooms as one writes them first, `send_text` to each member in a loop. No Redis, no log.

Run by plain `uvicorn`, all its defaults. It understands as much of c2c's frames as the load generator says, and its
events have the fields and the size of c2c's.
"""

from __future__ import annotations

import asyncio
import json
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime

from starlette.applications import Starlette
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

_QUEUE = 10_000


@dataclass
class Room:
    """A room's members and its last seq."""

    members: dict[WebSocket, str] = field(default_factory=dict)
    seq: int = 0


rooms: dict[str, Room] = defaultdict(Room)
events: asyncio.Queue[tuple[Room, str]] = asyncio.Queue(_QUEUE)


async def broadcast() -> None:
    """One event after the other, so that everybody sees the same order."""
    while True:
        room, text = await events.get()
        for member in list(room.members):
            try:
                await member.send_text(text)
            except (WebSocketDisconnect, RuntimeError):
                room.members.pop(member, None)


async def endpoint(websocket: WebSocket) -> None:
    await websocket.accept()
    room, room_id, user = Room(), "", ""
    try:
        while True:
            command = json.loads(await websocket.receive_text())
            if command["t"] == "join":
                room_id, user = command["roomId"], command["token"]
                room = rooms[room_id]
                room.members[websocket] = user
                await websocket.send_text(json.dumps({"t": "joined", "id": command["id"], "seq": room.seq}))
            else:
                room.seq += 1
                event = {
                    "seq": room.seq,
                    "epoch": "5f3b9a7c21d0",
                    "roomId": room_id,
                    "t": "msg",
                    "timestamp": datetime.now(UTC).isoformat(timespec="milliseconds"),
                    "by": command["id"],
                    "from": user,
                    "username": user,
                    "text": command["text"],
                }
                await events.put((room, json.dumps(event, separators=(",", ":"))))
                await websocket.send_text(json.dumps({"t": "ack", "id": command["id"], "seq": room.seq}))
    except WebSocketDisconnect:
        room.members.pop(websocket, None)


@asynccontextmanager
async def lifespan(app: Starlette) -> AsyncIterator[None]:
    broadcasting = asyncio.create_task(broadcast())
    yield
    broadcasting.cancel()


app = Starlette(routes=[WebSocketRoute("/ws", endpoint)], lifespan=lifespan)
