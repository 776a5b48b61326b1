"""`/api/endpoints/results` and `/api/endpoints/{endpointId}/history`: how endpoints did."""

from __future__ import annotations

from typing import Annotated, Final, Literal

from pydantic import Field, TypeAdapter
from starlette.requests import Request
from starlette.responses import Response

from c2c.events import UserId
from c2c.http.endpoints import endpoint_id_of, watcher
from c2c.http.envelope import check_value, node_of, resource, success
from c2c.monitoring.endpoints import Definition
from c2c.monitoring.history import (
    DAY_MS,
    RANGES,
    Point,
    bucket_points,
    day_points,
    newest_names,
    rounded,
    uptime_names,
    uptimes,
)
from c2c.monitors import endpoint_room
from c2c.rooms.monitor import result_json
from c2c.store import Store

_IDS: Final[TypeAdapter[list[str]]] = TypeAdapter(Annotated[list[UserId], Field(max_length=50)])
_RANGE: Final[TypeAdapter[str]] = TypeAdapter(Literal["day", "week", "month", "quarter", "years"])
_RESULTS: Final = 30


async def list_results(request: Request) -> Response:
    """`GET /api/endpoints/results?ids=`: the newest results of up to 50 endpoints and their uptime of 24 hours; of one
    that does not exist nothing is known. 1 round trip."""
    await watcher(request)
    ids = check_value(_IDS, request.query_params.get("ids", "").split(","), "ids")
    histories = node_of(request).store.histories
    asked = {endpoint_id: histories.newest(endpoint_id, _RESULTS) for endpoint_id in ids}
    found = {endpoint_id: await newest for endpoint_id, newest in asked.items()}
    return success(
        {
            "results": {id_: [result_json(each) for each in newest.results] for id_, newest in found.items()},
            "uptime": {id_: {"day": rounded(newest.day.uptime)} for id_, newest in found.items()},
        }
    )


async def get_history(request: Request) -> Response:
    """`GET /api/endpoints/{endpointId}/history?range=day|week|month|quarter|years`: points of a chart, and the uptime
    of 24 hours, 7 days and 30 days. 2 round trips; of a day one more for each thousand results."""
    endpoint_id = endpoint_id_of(request)
    await watcher(request, endpoint_room(endpoint_id))
    wanted = check_value(_RANGE, request.query_params.get("range", "day"), "range")
    store = node_of(request).store
    stored = await store.monitors.read(endpoint_id)
    interval_ms = Definition.model_validate_json(stored.definition).interval_ms
    names = uptime_names(stored.now_ms)
    hours = store.histories.buckets(endpoint_id, "hours", names.hours)
    days = store.histories.buckets(endpoint_id, "days", names.days)
    points = await _points(store, endpoint_id, wanted, stored.now_ms, interval_ms)
    uptime = uptimes(stored.now_ms, await hours, await days)
    return success({"range": wanted, "points": points, "uptime": uptime})


async def _points(store: Store, endpoint_id: str, wanted: str, now_ms: int, interval_ms: int) -> list[Point]:
    if wanted == "day":
        return day_points(await store.histories.since(endpoint_id, now_ms - DAY_MS), interval_ms)
    span = RANGES[wanted]
    names = newest_names(span.column, now_ms, span.count)
    found = await store.histories.buckets(endpoint_id, span.column, [name for _, name in names])
    return bucket_points(span, [(at_ms, found[name]) for at_ms, name in names if name in found], interval_ms)


routes = [
    resource("/api/endpoints/results", GET=list_results),
    resource("/api/endpoints/{endpoint_id}/history", GET=get_history),
]
