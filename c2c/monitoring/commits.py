"""From a judgement or an edit to what is written of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, TypeAlias
from urllib.parse import urlsplit

from pydantic_core import to_json

from c2c.monitoring.endpoints import Definition, Incident, State, dump_incident, dump_state, summary
from c2c.monitoring.judge import Judgement
from c2c.monitors import Commit, IncidentWrite, StoredResult

Events: TypeAlias = Sequence[tuple[str, Mapping[str, Any]]]

# Of kinds that have no timeout: what noting a miss may take.
_NO_TIMEOUT_S: Final = 2.0


def host_of(definition: Definition) -> str:
    """The host that is checked, as two checks at a time may go to one; '' = none."""
    return (urlsplit(definition.url).hostname or "").rstrip(".") if definition.url is not None else ""


def result_commit(
    definition: Definition, fence: str, judged: Judgement, slot_ms: int, deliveries: Sequence[tuple[str, bytes]]
) -> Commit:
    """What is written of a check."""
    state = judged.state
    result = StoredResult(slot_ms, judged.outcome, state.response_ms, state.status_code, state.error, state.reason)
    return _commit(definition, fence, state, judged.due_ms, judged.incident, judged.events, deliveries, result=result)


def edit_commit(
    definition: Definition,
    fence: str | None,
    state: State,
    due_ms: int | None,
    events: Events,
    deliveries: Sequence[tuple[str, bytes]] = (),
    incident: Incident | None = None,
) -> Commit:
    """What is written of an edit; `fence` None: of a new endpoint."""
    return _commit(definition, fence, state, due_ms, incident, events, deliveries, is_edit=True)


def _commit(
    definition: Definition,
    fence: str | None,
    state: State,
    due_ms: int | None,
    incident: Incident | None,
    events: Events,
    deliveries: Sequence[tuple[str, bytes]],
    result: StoredResult | None = None,
    is_edit: bool = False,
) -> Commit:
    timeout_s = definition.timeout if definition.kind in ("http", "tcp") else _NO_TIMEOUT_S
    return Commit(
        endpoint_id=definition.endpointId,
        fence=fence,
        due_ms=None if definition.paused else due_ms,
        timeout_ms=round(timeout_s * 1000),
        host=host_of(definition),
        state=dump_state(state),
        summary=to_json(summary(definition, state)),
        definition=to_json(definition.model_dump()) if is_edit else None,
        push_token=definition.pushToken if is_edit else None,
        incident=None if incident is None else incident_write(incident),
        result=result,
        span_ms=definition.span_ms,
        events=events,
        deliveries=deliveries,
    )


def incident_write(incident: Incident) -> IncidentWrite:
    return IncidentWrite(
        incident.incident_id, incident.started_at, incident.resolved_at is None, dump_incident(incident)
    )
