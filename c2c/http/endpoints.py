"""`/api/endpoints`: what is monitored; and `/api/push`, where jobs say that they have run."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter
from starlette.requests import Request
from starlette.responses import Response

from c2c.auth import Principal
from c2c.errors import EndpointNotFound, Forbidden, RoomNotFound
from c2c.events import UserId
from c2c.http.envelope import caller, check, check_value, node_of, read_object, resource, success, take_turn
from c2c.keys import MONITOR
from c2c.monitoring.endpoints import Definition, EndpointFields, NewEndpoint, count_by_status, outcome_json
from c2c.monitoring.results import Result, Status
from c2c.monitoring.windows import Windows
from c2c.monitors import StoredEndpoint, endpoint_room
from c2c.rooms.monitor import endpoint_json, summaries_json
from c2c.times import iso8601, now_ms

_ENDPOINT_ID: Final[TypeAdapter[str]] = TypeAdapter(UserId)  # the same letters, digits and signs
_LIMIT: Final[TypeAdapter[int]] = TypeAdapter(Annotated[int, Field(ge=1, le=500)])
_STATUS: Final[TypeAdapter[Status]] = TypeAdapter(Status)
_TOKEN_MAX: Final = 100


async def watcher(request: Request, room_id: str = MONITOR) -> Principal:
    """Who looks at what is monitored. Raises RoomNotFound for who may not enter the room."""
    principal = await caller(request)
    if not principal.may_enter(MONITOR) and not principal.may_enter(room_id):
        raise RoomNotFound()
    return principal


async def editor(request: Request, room_id: str = MONITOR) -> Principal:
    """Who changes what is monitored. Raises Forbidden for role viewer."""
    principal = await watcher(request, room_id)
    if principal.viewer:
        raise Forbidden(reason="role viewer only looks")
    return principal


def endpoint_id_of(request: Request) -> str:
    """The endpoint of the path."""
    return check_value(_ENDPOINT_ID, request.path_params["endpoint_id"], "endpointId")


async def list_endpoints(request: Request) -> Response:
    """`GET /api/endpoints?after=&limit=&status=`: a page, the worst first."""
    await watcher(request)
    limit = check_value(_LIMIT, request.query_params.get("limit", "200"), "limit")
    wanted = request.query_params.get("status")
    if wanted is not None:
        check_value(_STATUS, wanted, "status")
    overview = await node_of(request).store.monitors.overview()
    everything = summaries_json(overview)
    endpoints = [each for each in everything if wanted is None or each["status"] == wanted]
    after = request.query_params.get("after")
    first = next((at + 1 for at, each in enumerate(endpoints) if each["endpointId"] == after), 0)
    shown = endpoints[first : first + limit]
    more = first + limit < len(endpoints)
    answer = {"endpoints": shown, "more": more, "stats": count_by_status(everything)}
    if more:
        answer["next"] = shown[-1]["endpointId"]
    return success(answer)


async def create_endpoint(request: Request) -> Response:
    """`POST /api/endpoints`: 201 and the endpoint."""
    principal = await editor(request)
    wanted = check(NewEndpoint, await read_object(request))
    created = await node_of(request).registry.create(wanted, admin=principal.admin, creator=principal.profile)
    return success(await _shown(request, created, principal), "endpoint created", status=201)


async def test_endpoint(request: Request) -> Response:
    """`POST /api/endpoints/test`: checks what an endpoint would check, once, and keeps nothing of it."""
    node, principal = node_of(request), await editor(request)
    wanted = check(NewEndpoint, await read_object(request))
    definition = node.registry.draft(wanted, admin=principal.admin, creator=principal.profile.user_id, now_ms=now_ms())
    if definition.kind == "push":
        raise Forbidden(reason="endpoints of kind push are not checked, they are told")
    return success(_outcome(await node.scheduler.try_out(definition), definition))


async def get_endpoint(request: Request) -> Response:
    """`GET /api/endpoints/{endpointId}`."""
    endpoint_id = endpoint_id_of(request)
    principal = await watcher(request, endpoint_room(endpoint_id))
    stored = await node_of(request).store.monitors.read(endpoint_id)
    return success(await _shown(request, stored, principal))


async def change_endpoint(request: Request) -> Response:
    """`PATCH /api/endpoints/{endpointId}`: what is said is changed."""
    endpoint_id = endpoint_id_of(request)
    principal = await editor(request, endpoint_room(endpoint_id))
    wanted = check(EndpointFields, await read_object(request))
    changed = await node_of(request).registry.change(endpoint_id, wanted, admin=principal.admin)
    return success(await _shown(request, changed, principal))


async def delete_endpoint(request: Request) -> Response:
    """`DELETE /api/endpoints/{endpointId}`."""
    endpoint_id = endpoint_id_of(request)
    await editor(request, endpoint_room(endpoint_id))
    await node_of(request).registry.delete(endpoint_id)
    return success({"endpointId": endpoint_id}, "endpoint deleted")


async def check_endpoint(request: Request) -> Response:
    """`POST /api/endpoints/{endpointId}/check`: checks it now and records what comes of it."""
    endpoint_id = endpoint_id_of(request)
    principal, node = await editor(request, endpoint_room(endpoint_id)), node_of(request)
    stored = await node.store.monitors.read(endpoint_id)
    definition = Definition.model_validate_json(stored.definition)
    if definition.kind == "push":
        raise Forbidden(reason="endpoints of kind push are not checked, they are told")
    if definition.method == "POST" and not principal.admin:
        raise Forbidden(reason="method POST needs role admin")
    result, judged = await node.scheduler.check_now(endpoint_id)
    outcome = _outcome(result, definition)
    return success(outcome if judged is None else {**outcome, "status": judged.outcome})


class Push(BaseModel):
    """What a job may say of itself, in the query."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    status: Literal["up", "down"] = "up"
    message: Annotated[str, Field(max_length=200)] = ""
    responseTime: Annotated[float, Field(ge=0, le=86_400_000, allow_inf_nan=False)] | None = None


async def push(request: Request) -> Response:
    """`POST /api/push/{token}?status=&message=&responseTime=`: a job says that it has run. The token is the sign-in."""
    token, node = request.path_params["token"], node_of(request)
    if len(token) > _TOKEN_MAX:
        raise EndpointNotFound()
    said = check_value(TypeAdapter(Push), dict(request.query_params), "status")
    endpoint_id = await node.store.monitors.endpoint_of_token(token)
    take_turn(node, endpoint_room(endpoint_id))
    result = (
        Result(ok=True, response_ms=said.responseTime)
        if said.status == "up"
        else Result(ok=False, response_ms=said.responseTime, reason="reported", error=said.message or "reported down")
    )
    judged = await node.scheduler.record(endpoint_id, result)
    return success({"status": "UNKNOWN" if judged is None else judged.state.status})


def _outcome(result: Result, definition: Definition) -> dict[str, Any]:
    slow = result.response_ms is not None and result.response_ms > definition.degradedMs
    status: Status = "DOWN" if not result.ok else "DEGRADED" if slow else "UP"
    expires = result.certificate_expires_at_ms
    return {
        "ok": result.ok,
        **outcome_json(result, status),
        "certificateExpiresAt": None if expires is None else iso8601(expires),
    }


async def _shown(request: Request, stored: StoredEndpoint, principal: Principal) -> dict[str, Any]:
    """An endpoint; with the address to push to for who may edit. 1 round trip."""
    posted = await node_of(request).store.notices.read()
    shown = endpoint_json(stored, Windows(posted.windows))
    token = Definition.model_validate_json(stored.definition).pushToken
    if token is not None and not principal.viewer:
        shown["pushPath"] = f"/api/push/{token}"
    return shown


routes = [
    resource("/api/endpoints", GET=list_endpoints, POST=create_endpoint),
    resource("/api/endpoints/test", POST=test_endpoint),
    resource("/api/endpoints/{endpoint_id}", GET=get_endpoint, PATCH=change_endpoint, DELETE=delete_endpoint),
    resource("/api/endpoints/{endpoint_id}/check", POST=check_endpoint),
    resource("/api/push/{token}", POST=push),
]
