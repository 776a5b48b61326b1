"""`/api/rooms/{roomId}/lineups`: a whole table, out and in."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Annotated, Final
from urllib.parse import quote

from pydantic import Field, TypeAdapter
from starlette.requests import Request
from starlette.responses import Response

from c2c.errors import Forbidden, RoomExists, RoomNotFound, UnknownCommand
from c2c.http.envelope import check_value, enterable_room, node_of, read_body, resource, success
from c2c.lineup_file import BYTES_MAX, read_csv, read_json, write_csv
from c2c.rooms.base import decode_events
from c2c.rooms.lineup import Lineup, state_json

_LINEUP_ID: Final[TypeAdapter[int]] = TypeAdapter(Annotated[int, Field(ge=-1, le=2**53)])
_CSV: Final = "text/csv"
_JSON: Final = "application/json"


async def get_lineups(request: Request) -> Response:
    """`GET /api/rooms/{roomId}/lineups?after=`: `{rows, groups, editing, epoch, seq}`; `Accept: text/csv`: a file."""
    room_id, _ = await enterable_room(request)
    await _check_kind(request, room_id)
    after = check_value(_LINEUP_ID, request.query_params.get("after", "-1"), "after")
    table = await node_of(request).store.lineups.read(room_id)
    if _CSV in request.headers.get("accept", ""):
        name = quote(f"{room_id}.csv")
        headers = {"Content-Disposition": f"attachment; filename*=UTF-8''{name}", "Cache-Control": "no-store"}
        file = await asyncio.to_thread(lambda: write_csv(decode_events(table.rows)))
        return Response(file, headers=headers, media_type=_CSV)
    shown = state_json(table)
    shown["rows"] = [row for row in shown["rows"] if row["lineupId"] > after]
    return success({**shown, "epoch": table.position.epoch, "seq": table.position.seq})


async def put_lineups(request: Request) -> Response:
    """`PUT /api/rooms/{roomId}/lineups`, CSV or JSON `{rows}`: `{added, changed, rows}`. Opens the room if there is
    none."""
    room_id, principal = await enterable_room(request)
    if not principal.admin:
        raise Forbidden(reason="role admin is needed")
    media_type, body = await read_body(request, BYTES_MAX, (_CSV, _JSON))
    # A megabyte takes long enough for others to notice.
    rows = await asyncio.to_thread(read_csv if media_type == _CSV else read_json, body)
    node = node_of(request)
    try:
        await _check_kind(request, room_id)
    except RoomNotFound:
        with contextlib.suppress(RoomExists):
            await node.store.open_room(
                room_id, Lineup.name, principal.profile.user_id, Lineup.retention, creator_joins=False
            )
        await _check_kind(request, room_id)
    imported = await node.store.lineups.import_rows(
        room_id, principal.profile.user_id, [(row.lineup_id, row.fields, row.number) for row in rows]
    )
    return success({"added": imported.added, "changed": imported.changed, "rows": len(rows)})


async def _check_kind(request: Request, room_id: str) -> None:
    kind = await node_of(request).store.kind_of(room_id)
    if kind != Lineup.name:
        raise UnknownCommand(kind=kind)


routes = [resource("/api/rooms/{room_id}/lineups", GET=get_lineups, PUT=put_lineups)]
