"""What a result means: the new state of an endpoint, the events that tell of it, and its incident. Pure.

A failure says nothing yet; `failAfter` of them in a row are DOWN, and open an incident unless maintenance goes on.
`recoverAfter` answers in a row end it. Slow in two of the last three answers is DEGRADED, which ends after two in a row
below four fifths of the threshold, so that an endpoint at the threshold does not flicker.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, Final, TypeAlias

from c2c.monitoring.endpoints import (
    Definition,
    Incident,
    State,
    outcome_json,
    phases_json,
    seconds_between,
    summary,
    whole_ms,
)
from c2c.monitoring.results import CUT_OFF, Result, Status
from c2c.times import iso8601

SLOW_OF: Final = 3
SLOW_ENOUGH: Final = 2
SWIFT_FACTOR: Final = 0.8
SWIFT_ENOUGH: Final = 2
REOPEN_MS: Final = 300_000
WARN_DAYS: Final = (21, 14, 7)
_ERROR_MAX: Final = 200
_DAY_MS: Final = 86_400_000

Fields: TypeAlias = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Circumstances:
    """Of one check. `slot_ms`: when it was due; `done_ms`: when its result was there; both of the Redis clock.

    `suspect`: most of what this node checks fails, so its failures say more about the node. `incident_id`: for an
    incident should one open.
    """

    slot_ms: int
    done_ms: int
    node_id: str
    incident_id: str
    maintenance: bool = False
    suspect: bool = False


@dataclass(frozen=True, slots=True)
class Judgement:
    """What follows from a result. `outcome`: the status of the result itself. `events`: `t` and fields, in order.

    `incident`: what is to be written, None = nothing has changed. `due_ms`: when the next check is due.
    """

    state: State
    outcome: Status
    due_ms: int
    events: list[tuple[str, Fields]] = field(default_factory=list)
    incident: Incident | None = None


def judge(definition: Definition, state: State, result: Result, seen: Circumstances) -> Judgement:
    """Judge one result."""
    ignored = seen.suspect and not result.ok and result.reason in CUT_OFF
    if ignored:
        result = replace(result, reason="suspect", error=f"the checker may be cut off: {result.error}"[:_ERROR_MAX])
    outcome = _outcome(definition, result, ignored)
    after = replace(
        state,
        checked_at=seen.done_ms,
        response_ms=whole_ms(result.response_ms),
        status_code=result.status_code,
        error=result.error,
        reason=result.reason,
        maintenance=seen.maintenance,
        # What failed during maintenance was planned: an incident begins behind it.
        failing_since=None if state.maintenance else state.failing_since,
        phases=phases_json(result.phases),
        certificate_expires_at=result.certificate_expires_at_ms or state.certificate_expires_at,
    )
    if ignored:
        pass
    elif result.ok:
        after = _answered(definition, after, result)
    else:
        after = _failed(definition, after, seen)
    if after.status != state.status:
        after = replace(after, since=seen.done_ms)
    after, incident = _incident(definition, after, seen, failed=not result.ok and not ignored)
    after, warning = _certificate(definition, after, seen)
    events = [("check:completed", _completed(definition, result, outcome, after, seen))]
    if after.status != state.status:
        events.append(("endpoint:status-changed", _changed(definition, state, after)))
    if incident is not None:
        events.append(_told(incident))
    return Judgement(after, outcome, next_due(definition, after, seen), [*events, *warning], incident)


def _outcome(definition: Definition, result: Result, ignored: bool) -> Status:
    if ignored:
        return "UNKNOWN"
    if not result.ok:
        return "DOWN"
    return "DEGRADED" if _is_slow(definition, result) else "UP"


def _is_slow(definition: Definition, result: Result) -> bool:
    """How long a job says that it took is no latency."""
    return definition.kind != "push" and result.response_ms is not None and result.response_ms > definition.degradedMs


def _answered(definition: Definition, state: State, result: Result) -> State:
    if state.status == "DOWN" and state.successes + 1 < definition.recoverAfter:
        return replace(state, successes=state.successes + 1)
    recovered = state.status in ("DOWN", "UNKNOWN")
    former = () if recovered else state.slow
    slow = (*former, _is_slow(definition, result))[-SLOW_OF:]
    is_swift = result.response_ms is None or result.response_ms < SWIFT_FACTOR * definition.degradedMs
    swift = state.swift + 1 if is_swift and not recovered else int(is_swift)
    status: Status = "UP" if recovered else state.status
    if status == "DEGRADED" and swift >= SWIFT_ENOUGH:
        status, slow = "UP", ()
    elif sum(slow) >= SLOW_ENOUGH:
        status = "DEGRADED"
    return replace(
        state, status=status, slow=slow, swift=swift, failures=0, failing_since=None, successes=0, error="", reason=None
    )


def _failed(definition: Definition, state: State, seen: Circumstances) -> State:
    failures = state.failures + 1
    return replace(
        state,
        status="DOWN" if failures >= definition.failAfter else state.status,
        failures=failures,
        failing_since=seen.done_ms if state.failing_since is None else state.failing_since,
        successes=0,
        slow=(),
        swift=0,
    )


def _incident(
    definition: Definition, state: State, seen: Circumstances, *, failed: bool
) -> tuple[State, Incident | None]:
    """Opens, reopens or resolves. An incident begins with the first of the failures that confirmed it."""
    last, is_open = state.incident, state.open_incident is not None
    if failed and state.status == "DOWN" and not is_open and not seen.maintenance:
        started_at = state.failing_since or seen.done_ms
        if last is None or last.resolved_at is None or not 0 <= started_at - last.resolved_at <= REOPEN_MS:
            last = Incident(seen.incident_id, definition.endpointId, definition.name, started_at, 0, reopened=-1)
        incident = replace(
            last,
            failure_count=state.failures,
            error=state.error,
            reason=state.reason,
            resolved_at=None,
            reopened=last.reopened + 1,
            reopened_at=None if last.resolved_at is None else seen.done_ms,
        )
    elif is_open and state.status != "DOWN":
        incident = resolve(state, seen.done_ms)
    else:
        return state, None
    return replace(state, incident=incident), incident


def resolve(state: State, now_ms: int) -> Incident:
    """The open incident, resolved."""
    assert state.open_incident is not None
    return replace(state.open_incident, resolved_at=now_ms)


def _told(incident: Incident) -> tuple[str, Fields]:
    return started(incident) if incident.resolved_at is None else resolved(incident)


def started(incident: Incident) -> tuple[str, Fields]:
    """The event of an incident that opens."""
    return "incident:started", {
        **_names(incident),
        "startedAt": iso8601(incident.started_at),
        "failureCount": incident.failure_count,
        "errorMessage": incident.error,
        "reason": incident.reason,
        "reopened": incident.reopened > 0,
    }


def resolved(incident: Incident) -> tuple[str, Fields]:
    """The event of an incident that ends."""
    assert incident.resolved_at is not None
    return "incident:resolved", {
        **_names(incident),
        "resolvedAt": iso8601(incident.resolved_at),
        "duration": seconds_between(incident.started_at, incident.resolved_at),
    }


def _names(incident: Incident) -> Fields:
    return {
        "incidentId": incident.incident_id,
        "endpointId": incident.endpoint_id,
        "endpointName": incident.endpoint_name,
    }


def _certificate(definition: Definition, state: State, seen: Circumstances) -> tuple[State, list[tuple[str, Fields]]]:
    """Tells once each when 21, 14 and 7 days are left; a renewed certificate begins anew."""
    expires_at = state.certificate_expires_at
    if expires_at is None:
        return state, []
    days_left = max(0, expires_at - seen.done_ms) / _DAY_MS
    due = min((days for days in WARN_DAYS if days_left <= days), default=None)
    if due is None or (state.warned_days is not None and state.warned_days <= due):
        return replace(state, warned_days=state.warned_days if due is not None else None), []
    fields = {
        "endpointId": definition.endpointId,
        "endpointName": definition.name,
        "daysLeft": due,
        "expiresAt": iso8601(expires_at),
    }
    return replace(state, warned_days=due), [("endpoint:certificate-expiring", fields)]


def _completed(definition: Definition, result: Result, outcome: Status, after: State, seen: Circumstances) -> Fields:
    return {
        "endpointId": definition.endpointId,
        **outcome_json(result, outcome),
        "slot": iso8601(seen.slot_ms),
        "checkedAt": iso8601(seen.done_ms),
        "nodeId": seen.node_id,
        "maintenance": after.maintenance,
        "certificateExpiresAt": None if after.certificate_expires_at is None else iso8601(after.certificate_expires_at),
    }


def _changed(definition: Definition, before: State, after: State) -> Fields:
    return {
        "endpointId": definition.endpointId,
        "endpointName": definition.name,
        "previousStatus": before.status,
        "currentStatus": after.status,
        "responseTime": after.response_ms,
        "errorMessage": after.error,
        "reason": after.reason,
        "endpoint": summary(definition, after),
    }


def next_due(definition: Definition, state: State, seen: Circumstances) -> int:
    """When the next check is due: on the grid; sooner while the endpoint fails and until it has recovered for good."""
    if definition.kind == "push":
        return seen.done_ms + definition.interval_ms + (definition.grace_ms if state.reason != "missed" else 0)
    if state.failures or state.status == "DOWN":
        return seen.done_ms + round(min(definition.retryInterval, definition.interval) * 1000)
    return definition.slot_after(seen.slot_ms, seen.done_ms)


def worst_incident_delay_s(definition: Definition) -> float:
    """The longest that a dead endpoint stays without an incident: it dies right behind a check, and every check takes
    its whole timeout. What a busy scheduler adds is not in it."""
    if definition.kind == "push":
        return definition.interval + definition.grace + (definition.failAfter - 1) * definition.interval
    again = min(definition.retryInterval, definition.interval) + definition.timeout
    return definition.interval + definition.timeout + (definition.failAfter - 1) * again
