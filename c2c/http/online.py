"""`/api/online-status` and `/api/starred`: who is there, and whom one wants to hear of."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter
from starlette.requests import Request
from starlette.responses import Response

from c2c.errors import BadValue, Forbidden
from c2c.events import UserId
from c2c.http.envelope import caller, check, check_value, node_of, read_object, resource, success
from c2c.rooms.presence import HOME, LIST_USERS, being_opened, page_json, read_user, update_status
from c2c.times import now_ms
from c2c.users import Status

_USER_ID: Final[TypeAdapter[str]] = TypeAdapter(UserId)
_STATUS: Final[TypeAdapter[str]] = TypeAdapter(Literal["online", "away", "busy"])
_LIMIT: Final[TypeAdapter[int]] = TypeAdapter(Annotated[int, Field(ge=1, le=500)])
_HOURS: Final[TypeAdapter[int]] = TypeAdapter(Annotated[int, Field(ge=1, le=720)])
_DAYS: Final[TypeAdapter[int]] = TypeAdapter(Annotated[int, Field(ge=1, le=30)])
_STARRED_MAX: Final = 200


class NewStatus(BaseModel):
    model_config = ConfigDict(extra="forbid")

    status: Status


async def list_users(request: Request) -> Response:
    """`GET /api/online-status?status=&after=&limit=`: a page of who is online, by id."""
    await caller(request)
    query = request.query_params
    status = check_value(_STATUS, query["status"], "status") if "status" in query else ""
    after = check_value(_USER_ID, query["after"], "after") if "after" in query else ""
    limit = check_value(_LIMIT, query.get("limit", str(LIST_USERS)), "limit")
    with being_opened():
        page = await node_of(request).store.users.page(HOME, status, after, limit)
    count = page.counts[status] if status else sum(page.counts.values())
    return success({"count": count, **page_json(page)})


async def get_user(request: Request) -> Response:
    """`GET /api/online-status/{userId}`: what others see of a user; somebody unknown is offline."""
    await caller(request)
    with being_opened():
        return success(await read_user(node_of(request).store, _user_of(request)))


async def put_status(request: Request) -> Response:
    """`PUT /api/online-status/{userId} {status}`: one's own status, as `status:update`."""
    principal = await caller(request)
    user_id = _user_of(request)
    wanted = check(NewStatus, await read_object(request))
    if user_id != principal.profile.user_id:
        raise Forbidden(reason="everybody chooses their own status only")
    with being_opened():
        await update_status(node_of(request).store, user_id, wanted.status)
    return success({"status": wanted.status})


async def heartbeat(request: Request) -> Response:
    """`POST /api/online-status/heartbeat`: the caller is here, for programs without a connection."""
    principal = await caller(request)
    await node_of(request).signed_in.beat(principal.profile)
    return success({"serverTime": now_ms()})


async def get_summary(request: Request) -> Response:
    """`GET /api/online-status/stats/summary?hours=&days=`: how many there are, and were."""
    await caller(request)
    hours = check_value(_HOURS, request.query_params.get("hours", "24"), "hours")
    days = check_value(_DAYS, request.query_params.get("days", "30"), "days")
    users = node_of(request).store.users
    with being_opened():
        page, by_hour, by_day = await asyncio.gather(
            users.page(HOME, "", "", 1), users.figures(HOME, "hours"), users.figures(HOME, "days")
        )
    stats = {"total": sum(page.counts.values()), "byStatus": page.counts}
    return success(
        {
            "stats": stats,
            "hours": _figures_json(by_hour, hours, ":00:00.000Z"),
            "days": _figures_json(by_day, days, "T00:00:00.000Z"),
        }
    )


def _figures_json(found: dict[str, tuple[int, float]], last: int, rest: str) -> list[dict[str, Any]]:
    return [
        {"from": name + rest, "peak": peak, "average": round(average, 2)}
        for name, (peak, average) in sorted(found.items())[-last:]
    ]


async def list_starred(request: Request) -> Response:
    """`GET /api/starred`: ids of those whom the caller has starred."""
    principal = await caller(request)
    return success({"users": await node_of(request).store.users.starred(principal.profile.user_id)})


async def put_star(request: Request) -> Response:
    """`PUT /api/starred/{userId}`: 200 stars a user at most."""
    principal = await caller(request)
    user_id = _user_of(request)
    if not await node_of(request).store.users.star(principal.profile.user_id, user_id, _STARRED_MAX):
        raise BadValue(field="userId", reason=f"there are {_STARRED_MAX} already", limit=_STARRED_MAX)
    return success({"userId": user_id, "starred": True})


async def delete_star(request: Request) -> Response:
    """`DELETE /api/starred/{userId}`"""
    principal = await caller(request)
    user_id = _user_of(request)
    await node_of(request).store.users.unstar(principal.profile.user_id, user_id)
    return success({"userId": user_id, "starred": False})


def _user_of(request: Request) -> str:
    return check_value(_USER_ID, request.path_params["user_id"], "userId")


routes = [
    resource("/api/online-status", GET=list_users),
    resource("/api/online-status/stats/summary", GET=get_summary),
    resource("/api/online-status/heartbeat", POST=heartbeat),
    resource("/api/online-status/{user_id}", GET=get_user, PUT=put_status),
    resource("/api/starred", GET=list_starred),
    resource("/api/starred/{user_id}", PUT=put_star, DELETE=delete_star),
]
