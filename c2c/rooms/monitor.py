"""The monitor kind: the room of all endpoints, and one of each. Members only listen."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, ClassVar, Final

from pydantic_core import to_json

from c2c.errors import EndpointNotFound, RoomNotFound
from c2c.events import Position
from c2c.keys import ENDPOINT_PREFIX, MONITOR
from c2c.monitoring.endpoints import (
    Definition,
    count_by_status,
    incident_json,
    load_incident,
    load_state,
    whole,
    worst_first,
)
from c2c.monitoring.self_watch import suspects
from c2c.monitoring.windows import Windows, all_shown
from c2c.monitors import RESULTS_SHOWN, Overview, StoredEndpoint, StoredIncident, StoredResult
from c2c.rooms.base import Kind, Snapshot, decode_events
from c2c.store import Retention, Store
from c2c.times import iso8601

_LOG_EVENTS: Final = 5_000
# The first screen of a thousand endpoints comes over slow networks too: 200 KB for all of it, 20 of them for what else
# `joined` says, its members above all. Windows are bounded where they are written (64 KiB), incidents here, and
# endpoints take what remains.
_STATE_BYTES_MAX: Final = 180_000
_INCIDENTS_BYTES_MAX: Final = 60_000
_INCIDENTS_MAX: Final = 100
_ID_BYTES_MAX: Final = 64


class Monitor(Kind):
    """`all-endpoints` and `endpoint:<id>`. Nobody opens them by hand, and they do not expire."""

    name: ClassVar[str] = "monitor"
    retention: ClassVar[Retention] = Retention(log_events=_LOG_EVENTS, room_ttl_s=None)
    by_hand: ClassVar[bool] = False

    def __init__(self) -> None:
        self.commands = {}

    def reopens(self, room_id: str) -> bool:
        """An endpoint's room is gone when the endpoint is."""
        return room_id == MONITOR

    async def snapshot(self, store: Store, room_id: str, position: Position) -> Snapshot:
        """All endpoints, the worst first, as many as fit; or one, with its newest results."""
        if room_id == MONITOR:
            overview = await store.monitors.overview()
            return Snapshot(overview.position, overview_json(overview))
        endpoint_id = room_id.removeprefix(ENDPOINT_PREFIX)
        posted = store.notices.read()
        try:
            stored = await store.monitors.read(endpoint_id, results=RESULTS_SHOWN)
            acknowledged = await acknowledgement_of(store, stored)
        except EndpointNotFound:
            raise RoomNotFound() from None
        windows = Windows((await posted).windows)
        return Snapshot(stored.position, endpoint_state(stored, acknowledged, windows))


async def acknowledgement_of(store: Store, stored: StoredEndpoint) -> bytes | None:
    """Who took the endpoint's open incident on, as JSON."""
    incident = load_state(stored.state).open_incident
    return None if incident is None else await store.monitors.acknowledgement(incident.incident_id)


def overview_json(overview: Overview) -> dict[str, Any]:
    """The state of `all-endpoints`, as JSON 180 KB at most. What did not fit is had by REST, and `more` and
    `moreIncidents` say that there is something."""
    endpoints = summaries_json(overview)
    incidents = incidents_json(overview.incidents, overview.now_ms)
    newest = _as_many_as_fit(incidents[:_INCIDENTS_MAX], _INCIDENTS_BYTES_MAX)
    state: dict[str, Any] = {
        "endpoints": [],
        "more": False,
        "next": "",
        "stats": count_by_status(endpoints),
        "incidents": newest,
        "moreIncidents": len(newest) < len(incidents),
        "windows": all_shown(decode_events(overview.windows), overview.now_ms),
        "suspects": suspects(overview.nodes, overview.now_ms),
    }
    shown = _as_many_as_fit(endpoints, _STATE_BYTES_MAX - len(to_json(state)) - _ID_BYTES_MAX)
    state |= {"endpoints": shown, "more": len(shown) < len(endpoints)}
    if state["more"] and shown:
        state["next"] = shown[-1]["endpointId"]
    else:
        del state["next"]
    return state


def summaries_json(overview: Overview) -> list[dict[str, Any]]:
    """All endpoints as lists show them, the worst first. Whether one is in maintenance is asked now: what is stored of
    that is as old as its last result."""
    windows = Windows(decode_events(overview.windows))
    shown: list[dict[str, Any]] = sorted(decode_events(overview.summaries), key=worst_first)
    for each in shown:
        if windows.active_for(each["endpointId"], overview.now_ms):
            each["maintenance"] = True
        else:
            each.pop("maintenance", None)
    return shown


def _as_many_as_fit(items: Iterable[Mapping[str, Any]], bytes_max: int) -> list[Mapping[str, Any]]:
    """The first of some objects, as many as fit into a list of that many bytes of JSON. O(what is shown)."""
    shown, size = [], 0
    for item in items:
        size += len(to_json(item)) + 1
        if size > bytes_max:
            break
        shown.append(item)
    return shown


def incidents_json(incidents: list[StoredIncident], now_ms: int) -> list[dict[str, Any]]:
    """Incidents as clients see them, newest first."""
    shown = [incident_json(load_incident(each.text), each.acknowledged, now_ms) for each in incidents]
    return sorted(shown, key=lambda incident: str(incident["startedAt"]), reverse=True)


def endpoint_state(stored: StoredEndpoint, acknowledged: bytes | None, windows: Windows) -> dict[str, Any]:
    """The state of `endpoint:<id>`."""
    state = load_state(stored.state)
    incident = state.open_incident
    return {
        "endpoints": [endpoint_json(stored, windows)],
        "incidents": [] if incident is None else [incident_json(incident, acknowledged, stored.now_ms)],
        "checks": [result_json(each) for each in stored.results],
    }


def endpoint_json(stored: StoredEndpoint, windows: Windows) -> dict[str, Any]:
    """One endpoint, whole; whether it is in maintenance as in `summaries_json`."""
    definition = Definition.model_validate_json(stored.definition)
    shown = whole(definition, load_state(stored.state), stored.due_ms)
    return {**shown, "maintenance": windows.active_for(definition.endpointId, stored.now_ms)}


def result_json(result: StoredResult) -> dict[str, Any]:
    """A result as clients see it."""
    return {
        "at": iso8601(result.slot_ms),
        "status": result.status,
        "responseTime": result.response_ms,
        "statusCode": result.status_code,
        "errorMessage": result.error,
        "reason": result.reason,
    }
