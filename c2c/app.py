"""The composition root: a node, its routes, and the server that runs them."""

from __future__ import annotations

import gc
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import uvicorn
from starlette.applications import Starlette
from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocket

from c2c.errors import C2CError
from c2c.http import health, pages, rooms, stream
from c2c.http.envelope import on_error
from c2c.node import Node
from c2c.session import websocket_endpoint
from c2c.settings import Settings
from c2c.wire import WireProtocol

_PING_S: Final = 10.0
_SHUTDOWN_S: Final = 3
_GC_THRESHOLDS: Final = (50_000, 50, 100)


class Application(Starlette):
    """Starlette for REST. The WebSocket has one path and no use for routing and middleware, which cost each connection
    as much as its sign-in."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket" and scope["path"] == "/ws":
            scope["app"] = self
            await websocket_endpoint(WebSocket(scope, receive, send))
        else:
            await super().__call__(scope, receive, send)


def create_app(settings: Settings) -> Application:
    """The ASGI application of one node. Runs on any ASGI server; shared frames need `create_server`."""
    node = Node(settings)

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        await node.start()
        yield
        await node.aclose()

    app = Application(
        routes=[*rooms.routes, *stream.routes, *health.routes, *pages.routes],
        exception_handlers={C2CError: on_error, 404: on_error, 405: on_error, 400: on_error, Exception: on_error},
        lifespan=lifespan,
    )
    app.state.node = node
    return app


class NodeServer(uvicorn.Server):
    """uvicorn's server, which drains the node before it closes: the listener stays open meanwhile, so that `/readyz`
    can say 503 and newcomers are sent elsewhere."""

    def __init__(self, config: uvicorn.Config, node: Node) -> None:
        super().__init__(config)
        self._node = node

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        # Connections are many and live long: the default thresholds walk all of them again and again for nothing.
        gc.collect()
        gc.freeze()
        gc.set_threshold(*_GC_THRESHOLDS)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        await self._node.drain()
        await super().shutdown(sockets)


def create_server(settings: Settings) -> NodeServer:
    """The server of one node."""
    app = create_app(settings)
    config = uvicorn.Config(
        app,
        host=settings.host,
        port=settings.port,
        ws=WireProtocol,
        ws_max_size=settings.max_frame_bytes,
        ws_ping_interval=_PING_S,
        ws_ping_timeout=_PING_S,
        ws_per_message_deflate=False,
        backlog=4096,
        access_log=False,
        log_config=None,
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=_SHUTDOWN_S,
    )
    return NodeServer(config, app.state.node)
