"""`/api/maintenance`: maintenance windows, in which checks run and incidents don't."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response

from c2c.errors import Conflict, Forbidden, RoomNotFound, WindowNotFound
from c2c.http.envelope import caller, check, node_of, read_object, resource, success
from c2c.keys import MONITOR
from c2c.monitoring.windows import (
    ONCE_FIELDS,
    WEEKLY_FIELDS,
    Definition,
    WeeklyDefinition,
    all_shown,
    definition_model,
    shown,
)
from c2c.rooms.presence import being_opened

_ATTEMPTS: Final = 8


async def list_windows(request: Request) -> Response:
    """`GET /api/maintenance`: `{windows}`, those that are active first, then by when they begin."""
    await _enter(request, writes=False)
    posted = await node_of(request).store.notices.read()
    return success({"windows": all_shown(posted.windows, posted.now_ms)})


async def post_window(request: Request) -> Response:
    """`POST /api/maintenance {title?, endpointIds?, start, end}` or `{…, days, time, durationMinutes, zone}`: 201."""
    await _enter(request, writes=True)
    body = await read_object(request)
    definition = check(definition_model(body), body)
    window = {"windowId": secrets.token_hex(5), **definition.model_dump()}
    now_ms = await _write(request, window["windowId"], lambda windows: window)
    return success(shown(window, now_ms), "maintenance window created", 201)


async def patch_window(request: Request) -> Response:
    """`PATCH /api/maintenance/{windowId}`: any of the fields; a one-off window becomes a weekly one by all of a weekly
    one's, and the other way round."""
    await _enter(request, writes=True)
    body = await read_object(request)
    window_id = request.path_params["window_id"]
    window: dict[str, Any] = {}

    def change(windows: Sequence[dict[str, Any]]) -> dict[str, Any]:
        nonlocal window
        window = _patched(_found(windows, window_id), body)
        return window

    now_ms = await _write(request, window_id, change)
    return success(shown(window, now_ms))


async def delete_window(request: Request) -> Response:
    """`DELETE /api/maintenance/{windowId}`: `{windowId}`."""
    await _enter(request, writes=True)
    window_id = request.path_params["window_id"]

    def change(windows: Sequence[dict[str, Any]]) -> None:
        _found(windows, window_id)

    await _write(request, window_id, change)
    return success({"windowId": window_id})


async def _write(
    request: Request, window_id: str, change: Callable[[Sequence[dict[str, Any]]], dict[str, Any] | None]
) -> int:
    """Write what `change` makes of the windows that there are, again if somebody else was faster. Returns the Redis
    clock in ms. Raises Conflict when that goes on."""
    notices = node_of(request).store.notices
    for _ in range(_ATTEMPTS):
        posted = await notices.read()
        with being_opened():
            if await notices.write_window(posted, window_id, change(posted.windows)):
                return posted.now_ms
    raise Conflict(windowId=window_id)


def _found(windows: Sequence[dict[str, Any]], window_id: str) -> dict[str, Any]:
    window = next((each for each in windows if each["windowId"] == window_id), None)
    if window is None:
        raise WindowNotFound(windowId=window_id)
    return window


def _patched(former: Mapping[str, Any], body: Mapping[str, Any]) -> dict[str, Any]:
    """A window with other words in it. Raises BadValue."""
    own, other = ONCE_FIELDS, WEEKLY_FIELDS
    if definition_model(former) is WeeklyDefinition:
        own, other = other, own
    kept = frozenset(Definition.model_fields) | (own if other.isdisjoint(body) else frozenset())
    fields = {**{name: value for name, value in former.items() if name in kept}, **body}
    return {"windowId": former["windowId"], **check(definition_model(fields), fields).model_dump()}


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
