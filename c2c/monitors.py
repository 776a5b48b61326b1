"""Monitoring in Redis as typed methods: endpoints, their checks and their incidents. The rest is `c2c.store`.

All of it stands in the keys of the room `all-endpoints` and, by endpoint, of the room `endpoint:<id>`; each event
stands in both. Nothing here knows what a result means (`c2c.monitoring.judge` does).
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from c2c.calls import ScriptClock, require_room
from c2c.errors import BadValue, Conflict, EndpointNotFound, IncidentNotFound
from c2c.events import Position, event_text
from c2c.keys import ENDPOINT_PREFIX, MONITOR, Keys
from c2c.pipeline import Pipeline, Reply
from c2c.scripts import Argument, load_scripts

ENDPOINTS_MAX: Final = 2_000
RESULTS_SHOWN: Final = 60
OWN_LOG_EVENTS: Final = 200
_NODE_KEPT_MS: Final = 600_000
DELIVERIES_MAX: Final = 10_000  # as in lua/include/delivery.lua
# Of a lease: what a check may take beyond its own timeout before another node runs it.
LEASE_MARGIN_MS: Final = 3_000

_COLUMNS: Final = (
    *("due", "claims", "fences", "targets", "endpoints", "states", "summaries", "push-tokens", "incidents"),
    *("incident-times", "open", "acknowledged", "deliveries", "delivery-bodies"),
)


@dataclass(frozen=True, slots=True)
class Claim:
    """A check to be run. `fence`: what its commit must name; `slot_ms`: when it was due; JSON as it was written."""

    endpoint_id: str
    fence: str
    slot_ms: int
    definition: bytes
    state: bytes


@dataclass(frozen=True, slots=True)
class Claims:
    """What was claimed. `now_ms`: the Redis clock. `revision`: changes when windows or webhooks do. `wait_ms`: until
    more is due, None: nothing ever is. `waiting`: checks that are due and nobody has claimed."""

    now_ms: int
    revision: int
    wait_ms: int | None
    waiting: int
    checks: list[Claim]


@dataclass(frozen=True, slots=True)
class StoredIncident:
    """An incident as JSON, and who took it on, as JSON."""

    text: bytes
    acknowledged: bytes | None


@dataclass(frozen=True, slots=True)
class StoredResult:
    """A result as it is kept, with its slot in ms."""

    slot_ms: int
    status: str
    response_ms: int | None
    status_code: int | None
    error: str
    reason: str | None


@dataclass(frozen=True, slots=True)
class StoredEndpoint:
    """One endpoint. `position`: of its own room. `due_ms`: the next slot, None: there is none. Newest result last."""

    position: Position
    now_ms: int
    fence: str
    definition: bytes
    state: bytes
    due_ms: int | None
    acknowledged: bytes | None
    results: list[StoredResult]


@dataclass(frozen=True, slots=True)
class Overview:
    """What lists show: everything as JSON. `nodes`: node id → `<ms of the Redis clock> <report>`."""

    position: Position
    now_ms: int
    summaries: list[bytes]
    incidents: list[StoredIncident]
    windows: list[bytes]
    nodes: dict[str, bytes]


@dataclass(frozen=True, slots=True)
class IncidentWrite:
    """An incident to be written."""

    incident_id: str
    started_ms: int
    is_open: bool
    text: bytes


@dataclass(frozen=True, slots=True)
class Commit:
    """What is new about an endpoint. `fence`: None = it is new. `definition`: None = as it was. `due_ms`: None = never.

    `span_ms`: the longest time that the result can stand for. `deliveries`: id and body of what goes to webhooks.
    """

    endpoint_id: str
    fence: str | None
    due_ms: int | None
    timeout_ms: int
    host: str
    state: bytes
    summary: bytes
    definition: bytes | None = None
    push_token: str | None = None
    incident: IncidentWrite | None = None
    result: StoredResult | None = None
    span_ms: int = 0
    events: Sequence[tuple[str, Mapping[str, Any]]] = ()
    deliveries: Sequence[tuple[str, bytes]] = field(default_factory=tuple)


def endpoint_room(endpoint_id: str) -> str:
    """The room of one endpoint."""
    return ENDPOINT_PREFIX + endpoint_id


def digest_of(token: str) -> str:
    """By what a push token is found; the token itself stands in the definition only."""
    return hashlib.sha256(token.encode()).hexdigest()


class Monitors:
    """What a node asks of Redis about monitoring. Calling sends, awaiting reads, as `c2c.store.Store`."""

    def __init__(self, pipeline: Pipeline, keys: Keys, clock: ScriptClock) -> None:
        self._pipeline = pipeline
        self._keys = keys
        self._clock = clock
        self._scripts = load_scripts()

    # Checks

    def claim(self, node_id: str, limit: int, per_host: int, hosts: Sequence[str]) -> Reply[Claims]:
        """Claim checks that are due. `hosts`: those that this node is checking. Raises RoomNotFound. 1 round trip,
        O(limit · log endpoints)."""

        def read(reply: Any) -> Claims:
            require_room(reply)
            now_ms, revision, wait_ms, waiting, *checks = reply[1:]
            claims = [
                Claim(id_.decode(), fence.decode(), slot, text, state) for id_, fence, slot, text, state in checks
            ]
            return Claims(now_ms, revision, None if wait_ms < 0 else wait_ms, waiting, claims)

        columns = ("due", "claims", "fences", "targets", "endpoints", "states")
        return self._pipeline.script(
            self._scripts["checks_claim"],
            {"room": self._keys.room(MONITOR), **self._of_all(columns)},
            {
                "clock": self._clock.now,
                "node": node_id,
                "word": secrets.token_hex(6),
                "limit": limit,
                "per_host": per_host,
            },
            read,
            hosts,
        )

    def commit(self, commit: Commit) -> Reply[list[str]]:
        """Write what is new about an endpoint and tell both rooms. Returns ids of old incidents that were forgotten.

        Raises EndpointNotFound, RoomNotFound, BadValue (too many), Conflict (somebody was faster). 1 round trip.
        """
        incident, result = commit.incident, commit.result
        own = endpoint_room(commit.endpoint_id)
        return self._pipeline.script(
            self._scripts["endpoint_commit"],
            {**self._written_keys(own), **self._history_keys(commit.endpoint_id)},
            {
                "clock": self._clock.now,
                "channel": self._keys.channel(MONITOR),
                "own_channel": self._keys.channel(own),
                "id": commit.endpoint_id,
                "fence": "" if commit.fence is None else commit.fence,
                "limit": ENDPOINTS_MAX,
                "epoch": secrets.token_hex(6),
                "retention": OWN_LOG_EVENTS,
                "due_ms": "" if commit.due_ms is None else commit.due_ms,
                "target": f"{commit.timeout_ms + LEASE_MARGIN_MS} {commit.host}",
                "definition": commit.definition or "",
                "state": commit.state,
                "summary": commit.summary,
                "push_token": digest_of(commit.push_token) if commit.push_token else "",
                **_incident_arguments(incident),
                "incident_open": int(incident is not None and incident.is_open),
                **_result_arguments(result, commit.span_ms),
                "events": len(commit.events),
            },
            _read_committed,
            [*self._told(own, commit.events), *_flat(commit.deliveries)],
        )

    def delete(self, commit: Commit) -> Reply[list[str]]:
        """Delete an endpoint and its room after telling both rooms. Returns and raises as `commit`. 1 round trip."""
        own = endpoint_room(commit.endpoint_id)
        arguments = _incident_arguments(commit.incident)
        return self._pipeline.script(
            self._scripts["endpoint_delete"],
            self._written_keys(own),
            {
                "clock": self._clock.now,
                "channel": self._keys.channel(MONITOR),
                "own_channel": self._keys.channel(own),
                "id": commit.endpoint_id,
                "fence": "" if commit.fence is None else commit.fence,
                "push_token": digest_of(commit.push_token) if commit.push_token else "",
                **arguments,
                "events": len(commit.events),
            },
            _read_committed,
            [*self._told(own, commit.events), *_flat(commit.deliveries)],
            [
                *self._history_keys(commit.endpoint_id).values(),
                *(self._keys.members(own), self._keys.leases(own), self._keys.connections(own)),
                self._keys.messages(own),
            ],
        )

    # Looking

    def overview(self) -> Reply[Overview]:
        """Everything that lists show. Raises RoomNotFound. 1 round trip, O(endpoints)."""

        def read(reply: Any) -> Overview:
            require_room(reply)
            epoch, seq, now_ms, summaries, incidents, windows, nodes = reply[1:]
            return Overview(
                Position(epoch.decode(), seq), now_ms, summaries, _incidents(incidents), windows, _by_name(nodes)
            )

        return self._pipeline.script(
            self._scripts["monitor_read"],
            {
                "room": self._keys.room(MONITOR),
                **self._of_all(("summaries", "open", "incidents", "acknowledged", "windows", "nodes")),
            },
            {"clock": self._clock.now},
            read,
        )

    def read(self, endpoint_id: str, incident_id: str = "", results: int = 0) -> Reply[StoredEndpoint]:
        """One endpoint, with its newest results. Raises EndpointNotFound. 1 round trip, O(results)."""

        def read(reply: Any) -> StoredEndpoint:
            if reply[0] != b"OK":
                raise EndpointNotFound(endpointId=endpoint_id)
            epoch, seq, now_ms, fence, definition, state, due_ms, acknowledged, newest = reply[1:]
            return StoredEndpoint(
                Position(epoch.decode(), seq), now_ms, fence.decode(), definition, state,
                None if due_ms is None else int(float(due_ms)), acknowledged,
                [stored_result(each) for each in newest[::-1]],
            )  # fmt: skip

        return self._pipeline.script(
            self._scripts["endpoint_read"],
            {
                "room": self._keys.room(endpoint_room(endpoint_id)),
                **self._of_all(("endpoints", "states", "fences", "due", "claims", "acknowledged")),
                "results": self._keys.endpoint(endpoint_id, "results"),
            },
            {"clock": self._clock.now, "id": endpoint_id, "incident": incident_id, "limit": results},
            read,
        )

    def endpoint_of_token(self, token: str) -> Reply[str]:
        """The endpoint that a push token is for. Raises EndpointNotFound. 1 round trip, O(1)."""

        def read(reply: bytes | None) -> str:
            if reply is None:
                raise EndpointNotFound()
            return reply.decode()

        return self._pipeline.command("HGET", self._keys.monitor("push-tokens"), digest_of(token), read=read)

    # Incidents

    def incidents(
        self, endpoint_id: str | None, before_ms: int | None, limit: int
    ) -> Reply[tuple[int, list[StoredIncident]]]:
        """A page of incidents, newest first, of one endpoint or of all; and the Redis clock. 1 round trip, O(limit)."""
        keys = self._keys
        times = keys.monitor("incident-times") if endpoint_id is None else keys.endpoint(endpoint_id, "own-incidents")

        def read(reply: Any) -> tuple[int, list[StoredIncident]]:
            return reply[1], _incidents(reply[2])

        return self._pipeline.script(
            self._scripts["incidents_read"],
            {"incident_times": times, **self._of_all(("incidents", "acknowledged"))},
            {"clock": self._clock.now, "before": "" if before_ms is None else before_ms, "limit": limit},
            read,
        )

    def open_incidents(self) -> Reply[tuple[int, list[StoredIncident]]]:
        """Those that are open, in no order; and the Redis clock. 1 round trip, O(open incidents)."""

        def read(reply: Any) -> tuple[int, list[StoredIncident]]:
            return reply[1], _incidents(reply[2])

        return self._pipeline.script(
            self._scripts["incidents_open"],
            self._of_all(("open", "incidents", "acknowledged")),
            {"clock": self._clock.now},
            read,
        )

    def incident(self, incident_id: str) -> Reply[StoredIncident]:
        """One incident; its acknowledgement is not read. Raises IncidentNotFound. 1 round trip, O(1)."""

        def read(reply: bytes | None) -> StoredIncident:
            if reply is None:
                raise IncidentNotFound(incidentId=incident_id)
            return StoredIncident(reply, None)

        return self._pipeline.command("HGET", self._keys.monitor("incidents"), incident_id, read=read)

    def acknowledgement(self, incident_id: str) -> Reply[bytes | None]:
        """Who took an incident on, as JSON. 1 round trip, O(1)."""

        def read(reply: bytes | None) -> bytes | None:
            return reply

        return self._pipeline.command("HGET", self._keys.monitor("acknowledged"), incident_id, read=read)

    def acknowledge(
        self,
        incident_id: str,
        endpoint_id: str,
        text: bytes,
        fields: Mapping[str, Any],
        deliveries: Sequence[tuple[str, bytes]],
    ) -> Reply[tuple[int, StoredIncident]]:
        """Note who takes an open incident on; the first one counts. `text`: JSON up to the time. Raises
        IncidentNotFound, and BadValue for one that is over. 1 round trip."""

        def read(reply: Any) -> tuple[int, StoredIncident]:
            if reply[0] == b"INCIDENT_NOT_FOUND":
                raise IncidentNotFound(incidentId=incident_id)
            if reply[0] == b"CLOSED":
                raise BadValue(field="incidentId", reason="the incident is over")
            return reply[1], StoredIncident(reply[2], reply[3])

        own = endpoint_room(endpoint_id)
        head = event_text(MONITOR, "incident:acknowledged", fields)
        own_head = event_text(own, "incident:acknowledged", fields).head
        return self._pipeline.script(
            self._scripts["incident_acknowledge"],
            {
                "room": self._keys.room(MONITOR),
                "log": self._keys.log(MONITOR),
                **self._of_all(("open", "incidents", "acknowledged", "deliveries", "delivery-bodies")),
                "own": self._keys.room(own),
                "own_log": self._keys.log(own),
            },
            {
                "clock": self._clock.now,
                "channel": self._keys.channel(MONITOR),
                "own_channel": self._keys.channel(own),
                "incident": incident_id,
                "text": text,
                "head": head.head,
                "own_head": own_head,
                "tail": head.tail[:-1] + b',"acknowledgedAt":',
            },
            read,
            _flat(deliveries),
        )

    # Nodes

    def report(self, node_id: str, report: bytes) -> Reply[tuple[int, dict[str, bytes]]]:
        """Note how a node does, b'' = it stops; without `node_id` only look. Returns the Redis clock and what all of
        them said. 1 round trip."""

        def read(reply: Any) -> tuple[int, dict[str, bytes]]:
            return reply[1], _by_name(reply[2])

        return self._pipeline.script(
            self._scripts["node_report"],
            {"nodes": self._keys.monitor("nodes")},
            {"clock": self._clock.now, "node": node_id, "report": report, "kept_ms": _NODE_KEPT_MS},
            read,
        )

    def pending_deliveries(self) -> Reply[int]:
        """How many deliveries are on their way to webhooks. 1 round trip, O(1)."""

        def read(reply: int) -> int:
            return reply

        return self._pipeline.command("ZCARD", self._keys.monitor("deliveries"), read=read)

    def _of_all(self, columns: Sequence[str]) -> dict[str, str]:
        return {column.replace("-", "_"): self._keys.monitor(column) for column in columns}

    def _written_keys(self, own: str) -> dict[str, str]:
        keys = self._keys
        return {
            "room": keys.room(MONITOR),
            "log": keys.log(MONITOR),
            **self._of_all(_COLUMNS),
            "own": keys.room(own),
            "own_log": keys.log(own),
            "own_incidents": keys.endpoint(own.removeprefix(ENDPOINT_PREFIX), "own-incidents"),
        }

    def _history_keys(self, endpoint_id: str) -> dict[str, str]:
        return {column: self._keys.endpoint(endpoint_id, column) for column in ("results", "hours", "days")}

    def _told(self, own: str, events: Sequence[tuple[str, Mapping[str, Any]]]) -> list[Argument]:
        """Each event as the scripts want it: its head in either room, and its tail."""
        words: list[Argument] = []
        for t, fields in events:
            text = event_text(MONITOR, t, fields)
            words += [text.head, event_text(own, t, {}).head, text.tail]
        return words


def _incident_arguments(incident: IncidentWrite | None) -> dict[str, Argument]:
    if incident is None:
        return {"incident": "", "incident_ms": "", "incident_text": ""}
    return {"incident": incident.incident_id, "incident_ms": incident.started_ms, "incident_text": incident.text}


def _result_arguments(result: StoredResult | None, span_ms: int) -> dict[str, Argument]:
    if result is None:
        return dict.fromkeys(("result_ms", "span_ms", "status", "response_ms", "code", "error", "reason"), "")
    return {
        "result_ms": result.slot_ms,
        "span_ms": span_ms,
        "status": result.status,
        "response_ms": "" if result.response_ms is None else result.response_ms,
        "code": "" if result.status_code is None else result.status_code,
        "error": result.error,
        "reason": result.reason or "",
    }


def _flat(pairs: Sequence[tuple[str, bytes]]) -> list[Argument]:
    return [word for pair in pairs for word in pair]


def _read_committed(reply: list[Any]) -> list[str]:
    require_room(reply)
    match reply[0]:
        case b"STALE":
            raise Conflict(reason="somebody was faster")
        case b"ENDPOINT_NOT_FOUND":
            raise EndpointNotFound()
        case b"FULL":
            raise BadValue(
                field="endpointId", reason=f"there are {ENDPOINTS_MAX} endpoints at most", limit=ENDPOINTS_MAX
            )
    return [incident_id.decode() for incident_id in reply[3]]


def _incidents(words: list[bytes | None]) -> list[StoredIncident]:
    return [
        StoredIncident(text, known) for text, known in zip(words[::2], words[1::2], strict=True) if text is not None
    ]


def _by_name(words: list[bytes]) -> dict[str, bytes]:
    return {name.decode(): value for name, value in zip(words[::2], words[1::2], strict=True)}


def stored_result(entry: tuple[bytes, list[bytes]]) -> StoredResult:
    id_, words = entry
    fields = {
        name.decode(): value.decode("utf-8", "replace") for name, value in zip(words[::2], words[1::2], strict=True)
    }
    return StoredResult(
        slot_ms=int(id_.partition(b"-")[0]),
        status=fields["status"],
        response_ms=int(fields["ms"]) if fields.get("ms") else None,
        status_code=int(fields["code"]) if fields.get("code") else None,
        error=fields.get("error", ""),
        reason=fields.get("reason") or None,
    )
