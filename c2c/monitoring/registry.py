"""Adding, changing and deleting endpoints, and taking incidents on: what people do, each as one commit."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any, Final

from pydantic import ValidationError
from pydantic_core import to_json

from c2c.errors import BadValue, Conflict, Forbidden
from c2c.monitoring.commits import Events, edit_commit
from c2c.monitoring.endpoints import (
    MASK,
    Definition,
    EndpointFields,
    Incident,
    NewEndpoint,
    State,
    incident_json,
    load_incident,
    load_state,
    summary,
)
from c2c.monitoring.guard import AddressGuard
from c2c.monitoring.incident_rooms import delete_incident_rooms
from c2c.monitoring.judge import resolve, resolved
from c2c.monitoring.rules import Rules
from c2c.monitors import StoredEndpoint, StoredIncident, endpoint_room
from c2c.rooms.monitor import Monitor
from c2c.store import Store
from c2c.users import Profile

_ATTEMPTS: Final = 8
_ID: Final = "abcdefghijklmnopqrstuvwxyz0123456789"
_ID_LENGTH: Final = 8
_TIMEOUT_S: Final = 10.0
_DEGRADED_SHARE: Final = 0.5
_TIMEOUT_SHARE: Final = 0.8
_HTTP_ONLY: Final = frozenset({"method", "expectedStatus", "keyword", "headers"})
# What endpoints of a kind do not have.
_FOREIGN: Final = {
    "http": frozenset({"grace"}),
    "tcp": _HTTP_ONLY | {"grace"},
    "push": _HTTP_ONLY | {"url", "timeout", "degradedMs", "retryInterval"},
}


class Registry:
    """What people may do to endpoints. `admin` of a method: the caller's role."""

    def __init__(self, store: Store, rules: Rules, guard: AddressGuard) -> None:
        self._store = store
        self._monitors = store.monitors
        self._rules = rules
        self._guard = guard

    # Endpoints

    def draft(self, wanted: NewEndpoint, *, admin: bool, creator: str, now_ms: int) -> Definition:
        """An endpoint as it would be, with all defaults. Raises BadValue, Forbidden."""
        given = wanted.model_dump(exclude_none=True)
        _refuse_foreign(wanted.kind, given)
        if wanted.kind == "push":
            given = {"failAfter": 1, "pushToken": secrets.token_urlsafe(24), **given}
        else:
            interval = given.get("interval", 60.0)
            given.setdefault("timeout", min(_TIMEOUT_S, interval * _TIMEOUT_SHARE))
            given.setdefault("degradedMs", round(given["timeout"] * 1000 * _DEGRADED_SHARE))
        given.setdefault("name", _name_of(given.get("url")))
        identity = {"endpointId": _made_up_id(), "createdAt": now_ms, "createdBy": creator}
        return self._checked({**given, **identity}, admin=admin)

    async def create(self, wanted: NewEndpoint, *, admin: bool, creator: Profile) -> StoredEndpoint:
        """Add an endpoint; its first check is due at once. Raises BadValue, Forbidden. 4 round trips."""
        now_ms = await self._rules.read()
        definition = self.draft(wanted, admin=admin, creator=creator.user_id, now_ms=now_ms)
        state = State(since=now_ms, maintenance=self._rules.in_maintenance(definition.endpointId, now_ms))
        due_ms = now_ms + definition.interval_ms + definition.grace_ms
        told = {
            "endpointId": definition.endpointId,
            "name": definition.name,
            "url": definition.url,
            "method": definition.method,
            "endpoint": summary(definition, state),
        }
        due_ms = due_ms if definition.kind == "push" else now_ms
        await self._monitors.commit(edit_commit(definition, None, state, due_ms, [("endpoint:created", told)]))
        await self._store.index_rooms([endpoint_room(definition.endpointId)], Monitor.retention)
        return await self._monitors.read(definition.endpointId)

    async def change(self, endpoint_id: str, wanted: EndpointFields, *, admin: bool) -> StoredEndpoint:
        """Change what is said, leave the rest. A changed endpoint is checked at once; a paused one is UNKNOWN, and its
        incident is over. Raises EndpointNotFound, BadValue, Forbidden. 4 round trips."""
        changes = wanted.model_dump(exclude_none=True)
        for _ in range(_ATTEMPTS):
            stored = await self._monitors.read(endpoint_id)
            former = Definition.model_validate_json(stored.definition)
            definition = self._changed(former, dict(changes), admin=admin)
            if definition == former:
                return stored
            try:
                await self._commit_change(stored, former, definition)
            except Conflict:
                continue
            return await self._monitors.read(endpoint_id)
        raise Conflict(endpointId=endpoint_id)

    def _changed(self, former: Definition, changes: dict[str, Any], *, admin: bool) -> Definition:
        if former.kind == "builtin" and changes.keys() - {"paused"}:
            raise Forbidden(reason="built-in endpoints can be paused, no more")
        _refuse_foreign(former.kind, changes)
        moved = _origin(changes.get("url", former.url)) != _origin(former.url)
        if "headers" in changes and not moved:
            kept = {name.lower(): value for name, value in former.headers.items()}
            changes["headers"] = {
                name: kept.get(name.lower(), value) if value == MASK else value
                for name, value in changes["headers"].items()
            }
        elif moved and former.headers and "headers" not in changes:
            # Otherwise whoever may edit could have a secret sent to a server of their own.
            raise BadValue(field="headers", reason="have to be said anew for another address")
        merged = {**former.model_dump(), **changes}
        if merged == former.model_dump():
            return former
        return self._checked({**merged, "version": former.version + 1}, admin=admin)

    async def _commit_change(self, stored: StoredEndpoint, former: Definition, definition: Definition) -> None:
        state, now_ms = load_state(stored.state), stored.now_ms
        shown, before = definition.shown(), former.shown()
        changes = {name: value for name, value in shown.items() if value != before[name] and name != "version"}
        if definition.headers != former.headers:
            changes["headers"] = shown["headers"]
        events: list[tuple[str, Mapping[str, Any]]] = []
        incident = None
        if definition.paused and not former.paused:
            if state.open_incident is not None:
                incident = resolve(state, now_ms)
                events.append(resolved(incident))
            state = State(since=now_ms, incident=incident or state.incident)
        elif definition.url != former.url:  # what was learnt of another address says nothing of this one
            state = replace(state, certificate_expires_at=None, warned_days=None, slow=(), swift=0)
        await self._rules.read()
        state = replace(state, maintenance=self._rules.in_maintenance(definition.endpointId, now_ms))
        told = {
            "endpointId": definition.endpointId,
            "name": definition.name,
            "changes": changes,
            "endpoint": summary(definition, state),
        }
        events.append(("endpoint:updated", told))
        due_ms: int | None = now_ms
        if definition.kind == "push":
            unmoved = all(
                getattr(definition, field) == getattr(former, field) for field in ("interval", "grace", "paused")
            )
            wait_ms = definition.interval_ms + definition.grace_ms
            due_ms = stored.due_ms if unmoved else now_ms + wait_ms
        commit = edit_commit(
            definition, stored.fence, state, due_ms, events, self._rules.deliveries(events, now_ms), incident
        )
        await delete_incident_rooms(self._store, await self._monitors.commit(commit))

    async def delete(self, endpoint_id: str) -> None:
        """Delete an endpoint, its room and its history, after telling. Raises EndpointNotFound. 3 round trips."""
        for _ in range(_ATTEMPTS):
            stored = await self._monitors.read(endpoint_id)
            definition, state = Definition.model_validate_json(stored.definition), load_state(stored.state)
            if definition.kind == "builtin":
                raise Forbidden(reason="built-in endpoints can be paused, no more")
            events: list[tuple[str, Mapping[str, Any]]] = []
            incident = None if state.open_incident is None else resolve(state, stored.now_ms)
            if incident is not None:
                events.append(resolved(incident))
            events.append(("endpoint:deleted", {"endpointId": endpoint_id, "name": definition.name}))
            await self._rules.read()
            deliveries = self._rules.deliveries(events, stored.now_ms)
            try:
                forgotten = await self._monitors.delete(
                    edit_commit(definition, stored.fence, state, None, events, deliveries, incident)
                )
            except Conflict:
                continue
            await self._store.unindex_room(endpoint_room(endpoint_id))
            await delete_incident_rooms(self._store, forgotten)
            return
        raise Conflict(endpointId=endpoint_id)

    def _checked(self, fields: Mapping[str, Any], *, admin: bool) -> Definition:
        """Raises BadValue with the field that is wrong, Forbidden for what only admins may have checked."""
        try:
            definition = Definition.model_validate(fields)
        except ValidationError as wrong:
            first = wrong.errors(include_url=False, include_context=False, include_input=False)[0]
            field = ".".join(str(part) for part in first["loc"]) or str(first["type"])
            raise BadValue(field=field, reason=first["msg"]) from None
        if MASK in definition.headers.values():
            raise BadValue(field="headers", reason="hold a mask in place of a value")
        if definition.method == "POST" and not admin:
            raise Forbidden(reason="method POST needs role admin")
        if definition.kind in ("http", "tcp"):
            assert definition.url is not None
            self._guard.check_url(definition.url, "tcp" if definition.kind == "tcp" else "http")
        return definition

    # Incidents

    async def acknowledge(self, incident_id: str, who: Profile, note: str) -> dict[str, Any]:
        """Take an open incident on; who was first stays. Raises IncidentNotFound, BadValue. 3 round trips."""
        stored = await self._monitors.incident(incident_id)
        incident = load_incident(stored.text)
        person = {"userId": who.user_id, "username": who.username, "note": note}
        told = {
            "incidentId": incident_id,
            "endpointId": incident.endpoint_id,
            "endpointName": incident.endpoint_name,
            **person,
        }
        events: Events = [("incident:acknowledged", told)]
        told_ms = await self._rules.read()
        now_ms, acknowledged = await self._monitors.acknowledge(
            incident_id,
            incident.endpoint_id,
            to_json(person)[:-1] + b',"at":',
            told,
            self._rules.deliveries(events, told_ms),
        )
        return incident_json(load_incident(acknowledged.text), acknowledged.acknowledged, now_ms)

    async def incident(self, incident_id: str) -> dict[str, Any]:
        """One incident. Raises IncidentNotFound. 1 round trip."""
        incident, acknowledged = self._monitors.incident(incident_id), self._monitors.acknowledgement(incident_id)
        found = await incident
        return incident_json(load_incident(found.text), await acknowledged, 0)


def _refuse_foreign(kind: str, given: Mapping[str, Any]) -> None:
    """Raises BadValue for fields that endpoints of a kind do not have."""
    for field in sorted(_FOREIGN.get(kind, frozenset()) & given.keys()):
        raise BadValue(field=field, reason=f"endpoints of kind {kind} have none")


def _origin(url: str | None) -> str | None:
    """Scheme, host and port of an address, as it is written."""
    return None if url is None else "/".join(url.split("/", 3)[:3]).lower()


def _name_of(url: str | None) -> str:
    """A name for what has none: without a query, which may hold a secret."""
    if url is None:
        return "push"
    return url.partition("://")[2].partition("?")[0].partition("#")[0].rstrip("/")[:100] or url[:100]


def _made_up_id() -> str:
    return "".join(secrets.choice(_ID) for _ in range(_ID_LENGTH))


def figures(incidents: list[StoredIncident], since_ms: int, now_ms: int) -> dict[str, Any]:
    """Of the incidents that began since: how many there were, how many are open, and in seconds the mean time until
    somebody took one on (MTTA) and until it was over (MTTR); None where there were none."""
    shown = [incident_json(load_incident(each.text), each.acknowledged, now_ms) for each in incidents]
    times = [(load_incident(each.text), view) for each, view in zip(incidents, shown, strict=True)]
    recent = [(incident, view) for incident, view in times if incident.started_at >= since_ms]
    durations = [view["duration"] for _, view in recent if view["duration"] is not None]
    waits = [_taken_on_after_s(incident, view) for incident, view in recent if view["acknowledged"]]
    return {
        "count": len(recent),
        "open": sum(view["resolvedAt"] is None for _, view in recent),
        "mtta": sum(waits) / len(waits) if waits else None,
        "mttr": sum(durations) / len(durations) if durations else None,
    }


def _taken_on_after_s(incident: Incident, view: Mapping[str, Any]) -> float:
    """From when it was there to be taken on: an incident that was reopened waits for somebody anew."""
    waits_since_ms = incident.started_at if incident.reopened_at is None else incident.reopened_at
    at_ms = datetime.fromisoformat(view["acknowledged"]["at"]).timestamp() * 1000
    return max(0.0, (at_ms - waits_since_ms) / 1000)
