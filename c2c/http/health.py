"""`/healthz`, `/readyz` and `/metrics`: for load balancers, supervisors and Prometheus; no sign-in."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from c2c.errors import ServiceUnavailable
from c2c.http.envelope import node_of, success
from c2c.metrics import CONTENT_TYPE


async def healthz(request: Request) -> Response:
    """The process is alive. Says nothing about Redis: restarting a node would not bring that back."""
    return success({"status": "alive", "nodeId": node_of(request).settings.node_id})


async def readyz(request: Request) -> Response:
    """Redis and the relay work and the node is not draining; else 503."""
    node = node_of(request)
    parts = {"redis": node.store.up, "relay": node.relay.healthy, "draining": node.draining}
    if not node.ready:
        raise ServiceUnavailable(retryAfterMs=1000, **parts)
    return success({"status": "ready", **parts})


async def metrics(request: Request) -> Response:
    return Response(node_of(request).metrics.render(), headers={"Content-Type": CONTENT_TYPE})


routes = [
    Route("/healthz", healthz, methods=["GET"]),
    Route("/readyz", readyz, methods=["GET"]),
    Route("/metrics", metrics, methods=["GET"]),
]
