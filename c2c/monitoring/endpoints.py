"""What is monitored and how it does: definitions as they come in and are kept, states, and what clients see of both."""

from __future__ import annotations

import dataclasses
import re
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Final, Literal, Self, TypeAlias

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    TypeAdapter,
    model_validator,
)
from pydantic_core import PydanticCustomError, from_json, to_json

from c2c.monitoring.results import STATUSES, Phases, Reason, Result, Status, Target
from c2c.times import iso8601

EndpointKind: TypeAlias = Literal["http", "tcp", "push", "builtin"]
MASK: Final = "•••"
_STATUS_CODE: Final = re.compile(r"([1-5][0-9][0-9])(?:-([1-5][0-9][0-9]))?")
_HEADER_NAME: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,100}")  # RFC 9110, section 5.6.2
# What would make one request another, or say who asks in a way that the checker has to decide.
_HEADERS_REFUSED: Final = frozenset(
    {"host", "connection", "content-length", "transfer-encoding", "upgrade", "te", "trailer", "expect", "keep-alive"}
    | {"proxy-authorization", "proxy-connection", "accept-encoding"}
)
_HEADERS_MAX: Final = 20
_FAIL_AFTER: Final = 3


def _read_expected(value: object) -> object:
    """A number, a range `200-299`, a list of both, or what such a list is written as: `200-299,404`."""
    items = value if isinstance(value, list) else [value]
    ranges = []
    for item in [part for each in items for part in str(each).split(",")]:
        match = _STATUS_CODE.fullmatch(item.strip())
        if match is None or (match[2] and match[2] < match[1]):
            raise PydanticCustomError("expected_status", "is a status code, a range like 200-299, or a list of them")
        ranges.append(item.strip())
    if not 1 <= len(ranges) <= 20:
        raise PydanticCustomError("expected_status", "has 1 to 20 status codes or ranges")
    return ",".join(ranges)


def _check_name(name: str) -> str:
    if not name.isprintable():
        raise PydanticCustomError("name", "holds characters that can't be seen")
    return name


def _check_headers(headers: dict[str, str]) -> dict[str, str]:
    if len(headers) > _HEADERS_MAX:
        raise PydanticCustomError("headers", f"are {_HEADERS_MAX} at most")
    for name, value in headers.items():
        if not _HEADER_NAME.fullmatch(name) or name.lower() in _HEADERS_REFUSED:
            raise PydanticCustomError("headers", "hold a name that is not allowed")
        if value != MASK and (len(value) > 2000 or not value.isprintable() or not value.isascii()):
            raise PydanticCustomError("headers", "hold a value that is not allowed")
    return headers


Name = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=1, max_length=100), AfterValidator(_check_name)
]
Url = Annotated[str, Field(min_length=1, max_length=2048)]
Interval = Annotated[float, Field(ge=5, le=86_400)]
Timeout = Annotated[float, Field(ge=0.5, le=120)]
Milliseconds = Annotated[int, Field(ge=1, le=120_000)]
Count = Annotated[int, Field(ge=1, le=20)]
RetryInterval = Annotated[float, Field(ge=1, le=86_400)]
Grace = Annotated[float, Field(ge=0, le=86_400)]
Keyword = Annotated[str, Field(max_length=500)]
ExpectedStatus = Annotated[str, BeforeValidator(_read_expected)]
Headers = Annotated[dict[str, str], AfterValidator(_check_headers)]
Method = Literal["GET", "HEAD", "POST"]


class EndpointFields(BaseModel):
    """What one may say of an endpoint; None: not said. Durations in seconds unless the name says `Ms`."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    name: Name | None = None
    url: Url | None = None
    method: Method | None = None
    interval: Interval | None = None
    timeout: Timeout | None = None
    expectedStatus: ExpectedStatus | None = None
    keyword: Keyword | None = None
    degradedMs: Milliseconds | None = None
    failAfter: Count | None = None
    recoverAfter: Count | None = None
    retryInterval: RetryInterval | None = None
    grace: Grace | None = None
    headers: Headers | None = None
    paused: bool | None = None


class NewEndpoint(EndpointFields):
    kind: Literal["http", "tcp", "push"] = "http"


class Definition(BaseModel):
    """An endpoint as it is kept. `grace`, `pushToken`: of kind `push`; `url`, `headers` …: of those that are checked.

    `createdAt` in ms. `version` counts edits.
    """

    model_config = ConfigDict(frozen=True)

    endpointId: str
    kind: EndpointKind
    name: Name
    url: str | None = None
    method: Method = "GET"
    interval: Interval = 60.0
    timeout: Timeout = 10.0
    expectedStatus: str = "200-299"
    keyword: str = ""
    degradedMs: Milliseconds = 5_000
    failAfter: Count = _FAIL_AFTER
    recoverAfter: Count = 1
    retryInterval: RetryInterval = 10.0
    grace: Grace = 30.0
    headers: dict[str, str] = Field(default_factory=dict)
    paused: bool = False
    pushToken: str | None = None
    createdAt: int
    createdBy: str
    version: int = 1

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.kind in ("http", "tcp"):
            if self.url is None:
                raise PydanticCustomError("url", "url is needed")
            if self.timeout >= self.interval:
                raise PydanticCustomError("timeout", "timeout must be shorter than interval")
            if self.degradedMs >= self.timeout * 1000:
                raise PydanticCustomError("degradedMs", "degradedMs must be below timeout")
        if self.keyword and self.method == "HEAD":
            raise PydanticCustomError("keyword", "keyword needs a method that answers with a body")
        return self

    @property
    def interval_ms(self) -> int:
        return round(self.interval * 1000)

    @property
    def grace_ms(self) -> int:
        return round(self.grace * 1000)

    @property
    def span_ms(self) -> int:
        """The longest time between two results while all is well: what one of them can stand for."""
        return self.interval_ms + (self.grace_ms if self.kind == "push" else round(self.timeout * 1000))

    @property
    def slot_phase_ms(self) -> int:
        """Where in the interval its slots lie: spread by a hash, so that not everything is due at once."""
        return zlib.crc32(self.endpointId.encode()) % self.interval_ms

    def slot_after(self, slot_ms: int, now_ms: int) -> int:
        """The next slot on the grid. One that has passed meanwhile is made up for, older ones are left out."""
        latest = now_ms - (now_ms - self.slot_phase_ms) % self.interval_ms
        return latest if latest > slot_ms else latest + self.interval_ms

    @property
    def target(self) -> Target:
        """What the checker needs; only of kinds `http` and `tcp`."""
        assert self.url is not None
        assert self.kind in ("http", "tcp")
        return Target(
            kind="tcp" if self.kind == "tcp" else "http",
            url=self.url,
            method=self.method,
            timeout_s=self.timeout,
            expected=tuple(_bounds(part) for part in self.expectedStatus.split(",")),
            keyword=self.keyword,
            headers=tuple(self.headers.items()),
        )

    def shown(self) -> dict[str, Any]:
        """As clients see it: secrets masked."""
        shown = self.model_dump(exclude={"pushToken"})
        shown["headers"] = dict.fromkeys(self.headers, MASK)
        shown["createdAt"] = iso8601(self.createdAt)
        return shown


def _bounds(text: str) -> tuple[int, int]:
    first, _, last = text.partition("-")
    return int(first), int(last or first)


@dataclass(frozen=True, slots=True)
class Incident:
    """One outage. Times in ms of the Redis clock. Who acknowledged it is kept beside it."""

    incident_id: str
    endpoint_id: str
    endpoint_name: str
    started_at: int
    failure_count: int
    error: str = ""
    reason: Reason | None = None
    resolved_at: int | None = None
    reopened: int = 0
    reopened_at: int | None = None


@dataclass(frozen=True, slots=True)
class State:
    """How an endpoint does. Times in ms of the Redis clock.

    `failures`, `successes`: in a row, the latter since it was down. `slow`: the last three answers, whether they took
    too long; `swift`: how many in a row were well below that. `warned_days`: of the certificate's end. `incident`: the
    one that is open, or the last one.
    """

    status: Status = "UNKNOWN"
    since: int = 0
    checked_at: int | None = None
    response_ms: int | None = None
    status_code: int | None = None
    error: str = ""
    reason: Reason | None = None
    failures: int = 0
    failing_since: int | None = None
    successes: int = 0
    slow: tuple[bool, ...] = ()
    swift: int = 0
    certificate_expires_at: int | None = None
    warned_days: int | None = None
    maintenance: bool = False
    phases: dict[str, float | None] = field(default_factory=dict)
    incident: Incident | None = None

    @property
    def open_incident(self) -> Incident | None:
        return self.incident if self.incident is not None and self.incident.resolved_at is None else None


_STATE: Final[TypeAdapter[State]] = TypeAdapter(State)
_INCIDENT: Final[TypeAdapter[Incident]] = TypeAdapter(Incident)


def dump_state(state: State) -> bytes:
    return to_json(dataclasses.asdict(state))


def load_state(text: bytes) -> State:
    return _STATE.validate_json(text)


def dump_incident(incident: Incident) -> bytes:
    return to_json(dataclasses.asdict(incident))


def load_incident(text: bytes) -> Incident:
    return _INCIDENT.validate_json(text)


def _or_none(at_ms: int | None) -> str | None:
    return None if at_ms is None else iso8601(at_ms)


def summary(definition: Definition, state: State) -> dict[str, Any]:
    """What lists show of an endpoint. What is not there is left out: a thousand of them have to be little."""
    shown: dict[str, Any] = {
        "endpointId": definition.endpointId,
        "name": definition.name,
        "kind": definition.kind,
        "url": definition.url,
        "status": state.status,
        "since": _or_none(state.since or None),
        "checkedAt": _or_none(state.checked_at),
        "responseTime": state.response_ms,
        "interval": definition.interval,
    }
    incident = state.open_incident
    more = {
        "failAfter": None if definition.failAfter == _FAIL_AFTER else definition.failAfter,
        "paused": definition.paused,
        "failureCount": state.failures,
        "errorMessage": state.error,
        "reason": state.reason,
        "incidentId": incident.incident_id if incident is not None else None,
        "maintenance": state.maintenance,
    }
    return {**shown, **{name: value for name, value in more.items() if value}}


def whole(definition: Definition, state: State, next_check_ms: int | None) -> dict[str, Any]:
    """All that clients see of an endpoint."""
    incident = state.open_incident
    return {
        **definition.shown(),
        "status": state.status,
        "since": _or_none(state.since or None),
        "checkedAt": _or_none(state.checked_at),
        "nextCheckAt": _or_none(next_check_ms),
        "responseTime": state.response_ms,
        "statusCode": state.status_code,
        "errorMessage": state.error,
        "reason": state.reason,
        "phases": state.phases,
        "failureCount": state.failures,
        "certificateExpiresAt": _or_none(state.certificate_expires_at),
        "incidentId": incident.incident_id if incident is not None else None,
        "maintenance": state.maintenance,
    }


_WORST_FIRST: Final = {"DOWN": 0, "DEGRADED": 1, "UNKNOWN": 2, "UP": 3}


def worst_first(shown: Mapping[str, Any]) -> tuple[int, str, str]:
    """The order of lists: what is down comes first, what is paused last; then by name."""
    rank = 4 if shown.get("paused") else _WORST_FIRST[shown["status"]]
    return rank, shown["name"].casefold(), shown["endpointId"]


def count_by_status(endpoints: list[dict[str, Any]]) -> dict[str, int]:
    """How many there are of each status; paused ones apart."""
    names: tuple[str, ...] = ("total", "paused", *STATUSES)
    counts = {**dict.fromkeys(names, 0), "total": len(endpoints)}
    for endpoint in endpoints:
        counts["paused" if endpoint.get("paused") else endpoint["status"]] += 1
    return counts


def incident_json(incident: Incident, acknowledged: bytes | None, now_ms: int) -> dict[str, Any]:
    """An incident as clients see it."""
    end_ms = incident.resolved_at
    return {
        "incidentId": incident.incident_id,
        "endpointId": incident.endpoint_id,
        "endpointName": incident.endpoint_name,
        "startedAt": iso8601(incident.started_at),
        "resolvedAt": _or_none(end_ms),
        "duration": None if end_ms is None else seconds_between(incident.started_at, end_ms),
        "failureCount": incident.failure_count,
        "errorMessage": incident.error,
        "reason": incident.reason,
        "reopened": incident.reopened,
        "acknowledged": None if acknowledged is None else from_json(acknowledged),
        "roomId": incident_room(incident.incident_id),
    }


def incident_room(incident_id: str) -> str:
    """The chat room in which an incident is talked about."""
    return f"incident:{incident_id}"


def seconds_between(start_ms: int, end_ms: int) -> float:
    return max(0, end_ms - start_ms) / 1000


def outcome_json(result: Result, status: Status) -> dict[str, Any]:
    """What a check came to, as clients see it."""
    return {
        "status": status,
        "responseTime": whole_ms(result.response_ms),
        "statusCode": result.status_code,
        "reason": result.reason,
        "errorMessage": result.error,
        "phases": phases_json(result.phases),
    }


def phases_json(phases: Phases) -> dict[str, float | None]:
    """How long each part of a check took, in ms, as clients see it."""
    return {
        "dns": phases.dns_ms,
        "connect": phases.connect_ms,
        "tls": phases.tls_ms,
        "firstByte": phases.first_byte_ms,
    }


def whole_ms(response_ms: float | None) -> int | None:
    return None if response_ms is None else round(response_ms)
