"""`/api/incidents`: what went wrong, who took it on, and how long it took."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any, Final

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, TypeAdapter
from starlette.requests import Request
from starlette.responses import Response

from c2c.events import UserId
from c2c.http.endpoints import editor, watcher
from c2c.http.envelope import check, check_value, node_of, read_object, resource, success
from c2c.keys import MONITOR
from c2c.monitoring.registry import figures
from c2c.monitors import StoredIncident, endpoint_room
from c2c.rooms.monitor import incidents_json
from c2c.times import iso8601

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_ID: Final[TypeAdapter[str]] = TypeAdapter(UserId)
_LIMIT: Final[TypeAdapter[int]] = TypeAdapter(Annotated[int, Field(ge=1, le=200)])
_BEFORE: Final[TypeAdapter[datetime]] = TypeAdapter(Annotated[AwareDatetime, Field(ge=_EPOCH)])
_OPEN: Final[TypeAdapter[bool]] = TypeAdapter(bool)
_FIGURES_MS: Final = 30 * 86_400_000
_LOOKED_AT: Final = 500


class Acknowledgement(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    note: Annotated[str, Field(max_length=500)] = ""


async def list_incidents(request: Request) -> Response:
    """`GET /api/incidents?endpointId=&open=&before=&limit=`: newest first; the first page with the figures of
    the last 30 days, of the newest 500."""
    query, monitors = request.query_params, node_of(request).store.monitors
    endpoint_id = query.get("endpointId")
    if endpoint_id is not None:
        endpoint_id = check_value(_ID, endpoint_id, "endpointId")
    await watcher(request, MONITOR if endpoint_id is None else endpoint_room(endpoint_id))
    limit = check_value(_LIMIT, query.get("limit", "50"), "limit")
    wants_open = check_value(_OPEN, query["open"], "open") if "open" in query else None
    before_ms = None
    if "before" in query:
        before_ms = round(check_value(_BEFORE, query["before"], "before").timestamp() * 1000)
    asked_open = monitors.open_incidents() if wants_open else None
    now_ms, kept = await monitors.incidents(endpoint_id, before_ms, _LOOKED_AT)
    shown, is_all = incidents_json(kept, now_ms), len(kept) < _LOOKED_AT
    if asked_open is not None:
        shown, is_all = _open_among((await asked_open)[1], endpoint_id, before_ms, now_ms), True
    elif wants_open is not None:
        shown = [each for each in shown if each["resolvedAt"] is not None]
    page = _page(shown, limit)
    answer = {"incidents": page, "more": len(shown) > len(page) or not is_all}
    if before_ms is None:
        answer["stats"] = figures(kept, now_ms - _FIGURES_MS, now_ms)
    return success(answer)


def _open_among(
    incidents: list[StoredIncident], endpoint_id: str | None, before_ms: int | None, now_ms: int
) -> list[dict[str, Any]]:
    """Open incidents of an endpoint or of all, newest first: also those that 500 newer ones have come after."""
    before = "~" if before_ms is None else iso8601(before_ms)
    shown = incidents_json(incidents, now_ms)
    return [each for each in shown if endpoint_id in (None, each["endpointId"]) and each["startedAt"] < before]


def _page(shown: list[dict[str, Any]], limit: int) -> list[dict[str, Any]]:
    """The first ones; together with those that began in the same ms as the last one, which `before` would pass over."""
    page = shown[:limit]
    return page + [each for each in shown[limit:] if each["startedAt"] == page[-1]["startedAt"]]


async def get_incident(request: Request) -> Response:
    """`GET /api/incidents/{incidentId}`."""
    incident_id = check_value(_ID, request.path_params["incident_id"], "incidentId")
    await watcher(request)
    return success(await node_of(request).registry.incident(incident_id))


async def acknowledge(request: Request) -> Response:
    """`POST /api/incidents/{incidentId}/acknowledge {note?}`: somebody takes it on; the first one counts."""
    incident_id = check_value(_ID, request.path_params["incident_id"], "incidentId")
    principal = await editor(request)
    wanted = check(Acknowledgement, await read_object(request))
    return success(await node_of(request).registry.acknowledge(incident_id, principal.profile, wanted.note))


routes = [
    resource("/api/incidents", GET=list_incidents),
    resource("/api/incidents/{incident_id}", GET=get_incident),
    resource("/api/incidents/{incident_id}/acknowledge", POST=acknowledge),
]
