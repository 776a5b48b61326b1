"""What all of REST shares: the envelope of answers, errors in it, reading bodies, and who is calling."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final, TypeVar
from urllib.parse import unquote

from pydantic import BaseModel, TypeAdapter, ValidationError
from pydantic_core import from_json, to_json
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from c2c.auth import Principal, dev_principal, origin_allowed
from c2c.errors import (
    BadFrame,
    BadValue,
    C2CError,
    Forbidden,
    Internal,
    MethodNotAllowed,
    RateLimited,
    RoomNotFound,
    TooLarge,
    Unauthorized,
    UnknownCommand,
    UnsupportedMedia,
)
from c2c.events import RoomId
from c2c.messages import Language, choose_language, error_message
from c2c.node import Node
from c2c.times import iso8601, now_ms

log = logging.getLogger("c2c.http")

Model = TypeVar("Model", bound=BaseModel)
T = TypeVar("T")
Endpoint = Callable[[Request], Awaitable[Response]]

_GUEST = "guest"
_LINGER_S: Final = 1.0
_LINGER_BYTES: Final = 2 * 1024 * 1024
_ROOM_ID: Final[TypeAdapter[str]] = TypeAdapter(RoomId)


def resource(path: str, **endpoints: Endpoint) -> Route:
    """One path with an endpoint for each method; as one route it knows what it allows (RFC 9110, section 15.5.6)."""

    async def endpoint(request: Request) -> Response:
        return await endpoints["GET" if request.method == "HEAD" else request.method](request)

    return Route(path, endpoint, methods=list(endpoints))


def node_of(request: Request) -> Node:
    """The node that answers."""
    node: Node = request.app.state.node
    return node


def language_of(request: Request) -> Language:
    """The caller's language, by `?lang=` or `Accept-Language`."""
    return choose_language(request.query_params.get("lang"), request.headers.get("accept-language"))


class _Refusal(Response):
    """An answer to who may still be sending. What comes is read for a while, and only then may the connection end:
    else it is reset, and who sends does not see the answer (RFC 9112, section 9.6), nginx for instance."""

    def __init__(self, request: Request, content: bytes, status: int, headers: Mapping[str, str]) -> None:
        super().__init__(content, status, headers, media_type="application/json")
        self._request = request

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        await send({"type": "http.response.body", "body": self.body, "more_body": True})
        # RuntimeError: the body has been read.
        with contextlib.suppress(RuntimeError, ClientDisconnect, TimeoutError):
            async with asyncio.timeout(_LINGER_S):
                await self._read_on()
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _read_on(self) -> None:
        left = _LINGER_BYTES
        async for chunk in self._request.stream():
            left -= len(chunk)
            if left < 0:
                return


def _content(body: Mapping[str, Any]) -> bytes:
    return to_json({**body, "timestamp": iso8601(now_ms())})


def success(data: Any, message: str = "", status: int = 200) -> Response:
    """An answer that carries data."""
    body = {"success": True, "data": data, "message": message, "error": None}
    return Response(_content(body), status, media_type="application/json")


def failure(request: Request, error: C2CError, headers: Mapping[str, str] | None = None) -> Response:
    """An answer that carries an error, its message in the caller's language."""
    node_of(request).metrics.errors.labels(error.code).inc()
    message = error_message(error.code, language_of(request))
    headers = dict(headers or {})
    if error.retry_after_ms is not None:
        headers["Retry-After"] = str(-(-error.retry_after_ms // 1000))
    if isinstance(error, Unauthorized):
        headers["WWW-Authenticate"] = "Bearer"
    body = {"code": error.code, "message": message, "details": error.details}
    content = _content({"success": False, "data": None, "message": message, "error": body})
    return _Refusal(request, content, error.http_status, headers)


async def on_error(request: Request, error: Exception) -> Response:
    """Starlette's exception handler for everything: the envelope also for what no route foresaw."""
    if isinstance(error, C2CError):
        return failure(request, error)
    if isinstance(error, HTTPException):
        if error.status_code == 405:
            return failure(request, MethodNotAllowed(), error.headers)
        return failure(request, UnknownCommand() if error.status_code == 404 else BadFrame(status=error.status_code))
    log.error("a request failed: %s %s", request.method, request.url.path, exc_info=error)
    return failure(request, Internal())


async def read_body(
    request: Request, limit_bytes: int, media_types: Sequence[str] = ("application/json",)
) -> tuple[str, bytes]:
    """The request's media type and body. Raises TooLarge as soon as it is clear, UnsupportedMedia for another type."""
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type not in media_types:
        raise UnsupportedMedia(reason=f"Content-Type must be {' or '.join(media_types)}")
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > limit_bytes:
            raise TooLarge(limitBytes=limit_bytes)
    return media_type, bytes(body)


async def read_object(request: Request) -> dict[str, Any]:
    """The request's JSON object. Raises BadFrame, TooLarge, UnsupportedMedia."""
    _, body = await read_body(request, node_of(request).settings.max_frame_bytes)
    try:
        value = from_json(body, allow_inf_nan=False)
    except ValueError:
        raise BadFrame(reason="not JSON") from None
    if not isinstance(value, dict):
        raise BadFrame(reason="not an object")
    return value


def check(model: type[Model], value: Mapping[str, Any]) -> Model:
    """Check an object against a model. Raises BadValue with the first field that is wrong."""
    try:
        return model.model_validate(value, strict=True)
    except ValidationError as wrong:
        raise bad_value(wrong) from None


def check_value(adapter: TypeAdapter[T], value: object, field: str) -> T:
    """Check one value, of a path or a query. Raises BadValue."""
    try:
        return adapter.validate_python(value)
    except ValidationError as wrong:
        raise bad_value(wrong, field) from None


def bad_value(wrong: ValidationError, field: str | None = None) -> BadValue:
    first = wrong.errors(include_url=False, include_context=False, include_input=False)[0]
    return BadValue(field=field or ".".join(str(part) for part in first["loc"]), reason=first["msg"])


def _header_text(value: str) -> str:
    """A header that may name a user in any script, in auth mode `dev`: programs send UTF-8, which arrives as Latin-1
    (RFC 9110, section 5.5), and pages, which may send Latin-1 only, percent-encode it. In a JWT neither occurs."""
    return unquote(value.encode("latin-1").decode("utf-8", "replace"))


async def caller(request: Request, dev_name: str | None = None) -> Principal:
    """Who is calling, by `Authorization: Bearer`; their rate is limited as that of a connection.

    In auth mode `dev` the header may be missing: then it is `dev_name`, else a guest. Raises Unauthorized, Forbidden
    (a page of a foreign origin), RateLimited.
    """
    node = node_of(request)
    headers = request.headers
    if not origin_allowed(headers.get("origin"), headers.get("host"), node.settings.allowed_origins):
        raise Forbidden(reason="origin")
    scheme, _, token = _header_text(headers.get("authorization", "")).partition(" ")
    if scheme.lower() == "bearer" and token:
        principal = await node.authenticator.authenticate(token.strip())
    elif node.settings.auth == "dev" and not scheme:
        principal = dev_principal(dev_name or _GUEST)
    else:
        raise Unauthorized(reason="token missing")
    take_turn(node, principal.profile.user_id)
    return principal


def take_turn(node: Node, who: str) -> None:
    """Count a request of somebody. Raises RateLimited."""
    wait_s = node.rest_limits.take(who, asyncio.get_running_loop().time())
    if wait_s > 0:
        raise RateLimited(retryAfterMs=int(wait_s * 1000) + 1)


async def enterable_room(request: Request) -> tuple[str, Principal]:
    """The room of the path and who is calling. Raises RoomNotFound also for a room that the caller may not enter."""
    room_id = check_value(_ROOM_ID, request.path_params["room_id"], "roomId")
    principal = await caller(request)
    if not principal.may_enter(room_id):
        raise RoomNotFound()
    return room_id, principal
