"""`/api/maintenance`: maintenance windows, in which checks run and incidents don't."""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Mapping
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response

from c2c.errors import Conflict, Forbidden, RoomNotFound, WindowNotFound
from c2c.http.envelope import caller, check, node_of, read_object, resource, success
from c2c.keys import MONITOR
from c2c.monitoring.windows import ONCE_FIELDS, WEEKLY_FIELDS, Definition, WeeklyDefinition, definition_model, shown
from c2c.rooms.presence import being_opened

_ATTEMPTS: Final = 8


async def list_windows(request: Request) -> Response:
    """`GET /api/maintenance`: `{windows}`, those that are active first, then by when they begin."""
    await _enter(request, writes=False)
    posted = await node_of(request).store.notices.read()
    windows = [shown(window, posted.now_ms) for window in posted.windows]
    return success({"windows": sorted(windows, key=_soonest_first)})


def _soonest_first(window: Mapping[str, Any]) -> tuple[bool, bool, str, str]:
    starts = window["nextStart"]
    return not window["active"], starts is None, starts or "", window["windowId"]


async def post_window(request: Request) -> Response:
    """`POST /api/maintenance {title?, endpointIds?, start, end}` or `{…, days, time, durationMinutes, zone}`: 201."""
    await _enter(request, writes=True)
    body = await read_object(request)
    definition = check(definition_model(body), body)
    window = {"windowId": secrets.token_hex(5), **definition.model_dump()}
    with being_opened():
        now_ms = await node_of(request).store.notices.set_window(window)
    return success(shown(window, now_ms), "maintenance window created", 201)


async def patch_window(request: Request) -> Response:
    """`PATCH /api/maintenance/{windowId}`: any of the fields; a one-off window becomes a weekly one by all of a weekly
    one's, and the other way round."""
    await _enter(request, writes=True)
    body = await read_object(request)
    window_id = request.path_params["window_id"]
    notices = node_of(request).store.notices
    for _ in range(_ATTEMPTS):
        posted = await notices.read()
        former = next((each for each in posted.windows if each["windowId"] == window_id), None)
        if former is None:
            raise WindowNotFound(windowId=window_id)
        window = _patched(former, body)
        if window == former:
            return success(shown(window, posted.now_ms))
        with contextlib.suppress(Conflict), being_opened():
            return success(shown(window, await notices.set_window(window, former)))
    raise Conflict(windowId=window_id)


def _patched(former: Mapping[str, Any], body: Mapping[str, Any]) -> dict[str, Any]:
    """A window with other words in it. Raises BadValue."""
    own, other = ONCE_FIELDS, WEEKLY_FIELDS
    if definition_model(former) is WeeklyDefinition:
        own, other = other, own
    kept = frozenset(Definition.model_fields) | (own if other.isdisjoint(body) else frozenset())
    fields = {name: value for name, value in former.items() if name in kept} | body
    return {"windowId": former["windowId"], **check(definition_model(fields), fields).model_dump()}


async def delete_window(request: Request) -> Response:
    """`DELETE /api/maintenance/{windowId}`: `{windowId}`."""
    await _enter(request, writes=True)
    window_id = request.path_params["window_id"]
    with being_opened():
        await node_of(request).store.notices.delete_window(window_id)
    return success({"windowId": window_id})


async def _enter(request: Request, *, writes: bool) -> None:
    """Raises what `caller` does, RoomNotFound for who may not see the monitor, Forbidden for who may only look."""
    principal = await caller(request)
    if not principal.may_enter(MONITOR):
        raise RoomNotFound()
    if writes and principal.viewer:
        raise Forbidden(reason="role viewer may only look")


routes = [
    resource("/api/maintenance", GET=list_windows, POST=post_window),
    resource("/api/maintenance/{window_id}", PATCH=patch_window, DELETE=delete_window),
]
