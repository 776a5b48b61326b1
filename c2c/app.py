"""The composition root: a node, its routes, and the server that runs them."""

from __future__ import annotations

import gc
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import lru_cache
from typing import Final

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocket

from c2c.errors import C2CError, Forbidden
from c2c.http import (
    endpoints,
    health,
    histories,
    incidents,
    lineups,
    maintenance,
    online,
    pages,
    rooms,
    status,
    stream,
    webhooks,
)
from c2c.http.envelope import failure, on_error
from c2c.keepalive import Keepalive
from c2c.node import Node
from c2c.session import websocket_endpoint
from c2c.settings import Settings, is_loopback
from c2c.wire import HttpProtocol, ServerState, WireProtocol

_PING_S: Final = 10.0
_SHUTDOWN_S: Final = 3
_GC_THRESHOLDS: Final = (50_000, 50, 100)


class Application(Starlette):
    """Starlette for REST. The WebSocket has one path and no use for routing and middleware, which cost each connection
    as much as its sign-in."""

    _dev_mode = False

    def serve_this_machine_only(self, only: bool) -> None:
        """In auth mode `dev` everybody is who they say: no page from elsewhere may be among them."""
        self._dev_mode = only

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "lifespan" and self._dev_mode and not _for_this_machine(scope):
            scope["app"] = self
            await _refuse_host(scope)(scope, receive, send)
        elif scope["type"] == "websocket" and scope["path"] == "/ws":
            scope["app"] = self
            await websocket_endpoint(WebSocket(scope, receive, send))
        else:
            await super().__call__(scope, receive, send)


def _for_this_machine(scope: Scope) -> bool:
    """Whether the Host is a loopback name. A page may point its own name to this machine (DNS rebinding), and then its
    requests come from here, but not with our name."""
    return _names_this_machine(next((value for name, value in scope["headers"] if name == b"host"), b""))


@lru_cache(maxsize=64)
def _names_this_machine(host_header: bytes) -> bool:
    host = host_header.decode("latin-1")
    name = host.rpartition(":")[0] if host.rpartition(":")[2].isdigit() else host
    return is_loopback(name.strip("[]"))


def _refuse_host(scope: Scope) -> Response:
    error = Forbidden(reason="host: auth mode dev serves this machine only")
    if scope["type"] == "http":
        return failure(Request(scope), error)
    return JSONResponse({"code": error.code, **error.details}, error.http_status)


def create_app(settings: Settings) -> Application:
    """The ASGI application of one node. Runs on any ASGI server; shared frames need `create_server`."""
    node = Node(settings)

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        await node.start()
        yield
        await node.aclose()

    app = Application(
        routes=[
            *rooms.routes,
            *online.routes,
            *lineups.routes,
            *histories.routes,
            *endpoints.routes,
            *incidents.routes,
            *maintenance.routes,
            *webhooks.routes,
            *stream.routes,
            *health.routes,
            *pages.routes,
            *status.routes(node),
        ],
        exception_handlers={C2CError: on_error, 404: on_error, 405: on_error, 400: on_error, Exception: on_error},
        lifespan=lifespan,
    )
    app.state.node = node
    app.serve_this_machine_only(settings.auth == "dev")
    return app


class NodeServer(uvicorn.Server):
    """uvicorn's server, which drains the node before it closes: the listener stays open meanwhile, so that `/readyz`
    can say 503 and newcomers are sent elsewhere."""

    def __init__(self, config: uvicorn.Config, node: Node) -> None:
        super().__init__(config)
        self._node = node
        self._keepalive = Keepalive(config.ws_ping_interval or _PING_S)
        self.server_state = ServerState(self._keepalive)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        self._keepalive.start()
        await super().startup(sockets)
        # Connections are many and live long: the default thresholds walk all of them again and again for nothing.
        gc.collect()
        gc.freeze()
        gc.set_threshold(*_GC_THRESHOLDS)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        await self._node.drain()
        await super().shutdown(sockets)
        self._keepalive.stop()


def create_server(settings: Settings) -> NodeServer:
    """The server of one node."""
    app = create_app(settings)
    config = uvicorn.Config(
        app,
        host=settings.host,
        port=settings.port,
        http=HttpProtocol,
        ws=WireProtocol,
        ws_max_size=settings.max_frame_bytes,
        ws_ping_interval=_PING_S,
        backlog=4096,
        access_log=False,
        log_config=None,
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=_SHUTDOWN_S,
    )
    return NodeServer(config, app.state.node)
