"""`/status`, `/api/status` and badges: how everything does, for strangers. Only where the operator wants it.

Strangers come in any number, so what they are shown is worked out once for all of them.
"""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Final, Generic, Literal, TypeVar

from pydantic import Field, TypeAdapter
from pydantic_core import from_json
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from c2c.errors import EndpointNotFound
from c2c.http import pages
from c2c.http.envelope import check_value, success
from c2c.monitoring.badge import draw_badge, status_words, uptime_words
from c2c.monitoring.endpoints import Incident, load_incident
from c2c.monitoring.history import uptime_names
from c2c.monitoring.public import Figures, figures, is_public, public_status
from c2c.monitoring.windows import shown as shown_window
from c2c.monitors import StoredIncident
from c2c.node import Node
from c2c.rooms.base import decode_events
from c2c.rooms.presence import being_opened
from c2c.store import Store

T = TypeVar("T")

_KEPT_S: Final = 3.0
_KEPT_MAX_S: Final = 30.0
_REST: Final = 20
_CHUNK: Final = 20
_INCIDENTS: Final = 2_000  # all that are kept
_LABEL: Final[TypeAdapter[str]] = TypeAdapter(Annotated[str, Field(max_length=64)])
_WINDOW: Final[TypeAdapter[str]] = TypeAdapter(Literal["day", "week", "month"])
_BADGE_CACHE: Final = "public, max-age=30"
_STATUS_CACHE: Final = "public, max-age=5"


class Shared(Generic[T]):
    """What many ask for, worked out once for all who ask meanwhile, and kept: 3 s, or twenty times as long as it took,
    so that strangers take a twentieth of a node at most; but not for longer than half a minute."""

    def __init__(self, work_out: Callable[[], Awaitable[T]], clock: Callable[[], float] = time.monotonic) -> None:
        self._work_out = work_out
        self._clock = clock
        self._lock = asyncio.Lock()
        self._kept: tuple[T, float] | None = None

    async def get(self) -> T:
        """Raises what working it out raises; nothing is kept then."""
        async with self._lock:
            began = self._clock()
            if self._kept is not None and began < self._kept[1]:
                return self._kept[0]
            found = await self._work_out()
            took = self._clock() - began
            self._kept = found, began + took + min(max(_KEPT_S, _REST * took), _KEPT_MAX_S)
            return found


@dataclass(frozen=True, slots=True)
class Published:
    """The answer, ready to be sent, and what badges are made of."""

    body: bytes
    zipped: bytes
    etag: str
    endpoints: Mapping[str, Mapping[str, Any]]


class StatusPage:
    """The routes of one node."""

    def __init__(self, node: Node) -> None:
        self._store = node.store
        self._published = Shared(self._publish)
        self.routes = [
            Route("/status", pages.status, methods=["GET"]),
            Route("/api/status", self.get_status, methods=["GET"]),
            Route("/api/status/badge/{endpoint_id}.svg", self.get_badge, methods=["GET"]),
        ]

    async def get_status(self, request: Request) -> Response:
        """`GET /api/status`: the worst status, all endpoints but built-in ones, incidents and maintenance windows."""
        published = await self._published.get()
        headers = {"Cache-Control": _STATUS_CACHE, "ETag": published.etag, "Vary": "Accept-Encoding"}
        if request.headers.get("if-none-match") == published.etag:
            return Response(status_code=304, headers=headers)
        body = published.body
        if "gzip" in request.headers.get("accept-encoding", ""):
            body = published.zipped
            headers["Content-Encoding"] = "gzip"
        return Response(body, headers=headers, media_type="application/json")

    async def get_badge(self, request: Request) -> Response:
        """`GET /api/status/badge/{endpointId}.svg?label=&range=day|week|month`: its status, or its uptime."""
        query = request.query_params
        label = check_value(_LABEL, query["label"], "label") if "label" in query else None
        window = check_value(_WINDOW, query["range"], "range") if "range" in query else None
        endpoint = (await self._published.get()).endpoints.get(request.path_params["endpoint_id"])
        if endpoint is None:
            raise EndpointNotFound()
        if window is None:
            value, colour = status_words(endpoint["status"], maintenance=endpoint["maintenance"])
        else:
            value, colour = uptime_words(endpoint["uptime"][window])
        image = draw_badge(endpoint["name"] if label is None else label, value, colour).encode()
        headers = {
            "Cache-Control": _BADGE_CACHE,
            "ETag": _etag(image),
            "Content-Security-Policy": "default-src 'none'",
            "X-Content-Type-Options": "nosniff",
        }
        if request.headers.get("if-none-match") == headers["ETag"]:
            return Response(status_code=304, headers=headers)
        return Response(image, headers=headers, media_type="image/svg+xml")

    async def _publish(self) -> Published:
        """4 round trips and one for each twenty endpoints, O(endpoints)."""
        with being_opened():
            overview = await self._store.monitors.overview()
        _, past = await self._store.monitors.incidents(None, None, _INCIDENTS)
        summaries = decode_events(overview.summaries)
        ids = [each["endpointId"] for each in summaries if is_public(each)]
        known = await _read_figures(self._store, ids, overview.now_ms)
        windows = [shown_window(from_json(text), overview.now_ms) for text in overview.windows]
        shown = public_status(summaries, _incidents(past, overview.incidents), windows, known, overview.now_ms)
        return await asyncio.to_thread(_ready, shown)


def _incidents(past: list[StoredIncident], still_open: list[StoredIncident]) -> list[tuple[Incident, bool]]:
    """Those of both lists, once, and whether somebody took them on. Some are open for so long that newer ones fill the
    list of the past."""
    loaded = [(load_incident(each.text), each.acknowledged is not None) for each in [*still_open, *past]]
    return list({incident.incident_id: (incident, is_taken) for incident, is_taken in loaded}.values())


async def _read_figures(store: Store, ids: list[str], now_ms: int) -> dict[str, Figures]:
    """A few endpoints at a time: others must not wait long for their turn."""
    names, known = uptime_names(now_ms), {}
    for start in range(0, len(ids), _CHUNK):
        asked = [
            (id_, store.histories.buckets(id_, "hours", names.hours), store.histories.buckets(id_, "days", names.days))
            for id_ in ids[start : start + _CHUNK]
        ]
        for id_, hours, days in asked:
            known[id_] = figures(now_ms, await hours, await days)
    return known


def _ready(shown: dict[str, Any]) -> Published:
    body = bytes(success(shown).body)
    endpoints = {each["endpointId"]: each for each in shown["endpoints"]}
    return Published(body, gzip.compress(body, 6, mtime=0), _etag(body), endpoints)


def _etag(body: bytes) -> str:
    return f'W/"{hashlib.sha256(body).hexdigest()[:16]}"'


def routes(node: Node) -> list[Route]:
    """Those of the status page, if the operator wants it; else there are none."""
    return StatusPage(node).routes if node.settings.status_page else []
