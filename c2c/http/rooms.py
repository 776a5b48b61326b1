"""`/api/rooms`: open, look at and publish to rooms."""

from __future__ import annotations

import asyncio
import secrets
from typing import Annotated, Any, Final

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter
from starlette.requests import Request
from starlette.responses import Response

from c2c.codec import RejectedFrame
from c2c.errors import BadValue, Forbidden, RoomExists, RoomNotFound, UnknownCommand
from c2c.events import KindCommand, RoomId, UserId
from c2c.http.envelope import caller, check, check_value, enterable_room, node_of, read_object, resource, success
from c2c.rooms.base import Call, decode_events
from c2c.rooms.presence import HOME
from c2c.store import RoomInfo
from c2c.times import iso8601

_SEQ: Final[TypeAdapter[int]] = TypeAdapter(Annotated[int, Field(ge=0, le=2**53)])
_LIMIT: Final[TypeAdapter[int]] = TypeAdapter(Annotated[int, Field(ge=1, le=500)])
_MADE_UP: Final = "abcdefghijklmnopqrstuvwxyz0123456789"
_MADE_UP_LENGTH: Final = 8
_ATTEMPTS: Final = 5


class NewRoom(BaseModel):
    model_config = ConfigDict(extra="forbid")

    creatorName: UserId | None = None
    kind: Annotated[str, Field(max_length=32)] = "chat"
    roomId: RoomId | None = None
    title: Annotated[str, Field(max_length=200)] = ""


async def create_room(request: Request) -> Response:
    """`POST /api/rooms`: 201 `{roomId, kind}`; the creator is a member for a minute, until a connection takes over."""
    node = node_of(request)
    wanted = check(NewRoom, await read_object(request))
    principal = await caller(request, wanted.creatorName)
    kind = node.kinds[wanted.kind]
    if not kind.by_hand:
        raise BadValue(field="kind", reason="rooms of this kind are not opened by hand")
    if wanted.roomId is not None and not principal.may_enter(wanted.roomId):
        raise Forbidden(reason="the token does not let its bearer into this room")
    for _ in range(_ATTEMPTS):
        room_id = wanted.roomId or _made_up_id()
        try:
            await node.store.open_room(
                room_id, kind.name, principal.profile.user_id, kind.retention, title=wanted.title
            )
        except RoomExists:
            if wanted.roomId is not None:
                raise
            continue
        return success({"roomId": room_id, "kind": kind.name}, "room created", status=201)
    raise RoomExists()


def _made_up_id() -> str:
    return "".join(secrets.choice(_MADE_UP) for _ in range(_MADE_UP_LENGTH))


async def list_rooms(request: Request) -> Response:
    """`GET /api/rooms?offset=&limit=`: rooms without their members, for role `admin`."""
    node = node_of(request)
    if not (await caller(request)).admin:
        raise Forbidden(reason="role admin is needed")
    offset = check_value(_SEQ, request.query_params.get("offset", "0"), "offset")
    limit = check_value(_LIMIT, request.query_params.get("limit", "100"), "limit")
    ids = await node.store.list_rooms(offset, limit)
    infos = await asyncio.gather(*[node.store.read_room(room_id) for room_id in ids], return_exceptions=True)
    rooms = []
    for info in infos:
        if isinstance(info, RoomInfo):
            shown = _room_json(info)
            del shown["members"]
            rooms.append(shown)
        elif not isinstance(info, RoomNotFound):  # a room may have expired since it was listed
            raise info
    return success({"rooms": rooms, "more": len(ids) == limit})


async def get_room(request: Request) -> Response:
    """`GET /api/rooms/{roomId}`: what the room is and who is in it."""
    room_id, _ = await enterable_room(request)
    store = node_of(request).store
    info = await store.read_room(room_id)
    return success({**_room_json(info), "presence": await store.users.statuses(HOME, info.members)})


async def get_events(request: Request) -> Response:
    """`GET /api/rooms/{roomId}/events?after=seq&limit=`: a page of the log, oldest first."""
    room_id, _ = await enterable_room(request)
    after = check_value(_SEQ, request.query_params.get("after", "0"), "after")
    limit = check_value(_LIMIT, request.query_params.get("limit", "100"), "limit")
    page = await node_of(request).store.read_log(room_id, after, limit)
    events = decode_events(page.events)
    last = events[-1]["seq"] if events else after
    return success(
        {"events": events, "epoch": page.position.epoch, "seq": page.position.seq, "more": last < page.position.seq}
    )


async def post_event(request: Request) -> Response:
    """`POST /api/rooms/{roomId}/events {t, …}`: carries out a command of the room's kind, for programs that keep no
    connection. They need not be members; the token decides whether they may enter."""
    node = node_of(request)
    room_id, principal = await enterable_room(request)
    body = await read_object(request)
    if not node.commands.takes_room(body.get("t")):
        raise UnknownCommand()
    if body.setdefault("roomId", room_id) != room_id:
        raise BadValue(field="roomId", reason="is not the room of the path")
    try:
        command = node.commands.from_object(body)
    except RejectedFrame as rejected:
        raise rejected.error from None
    if not isinstance(command, KindCommand):
        raise UnknownCommand()
    kind = node.kinds[await node.store.kind_of(room_id)]
    node.metrics.commands.labels(command.t).inc()
    answer = await kind.handle(Call(node.store, room_id, principal.profile, None, principal.viewer), command)
    if command.id is not None:
        answer["id"] = command.id
    return success(answer)


def _room_json(info: RoomInfo) -> dict[str, Any]:
    return {
        "roomId": info.room_id,
        "kind": info.kind,
        "title": info.title,
        "status": "active",
        "memberCount": len(info.members),
        "members": info.members,
        "epoch": info.position.epoch,
        "seq": info.position.seq,
        "createdAt": iso8601(info.created_at_ms),
    }


routes = [
    resource("/api/rooms", GET=list_rooms, POST=create_room),
    resource("/api/rooms/{room_id}", GET=get_room),
    resource("/api/rooms/{room_id}/events", GET=get_events, POST=post_event),
]
