"""One node: its parts, put together, started and stopped in order."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import Final, Protocol
from urllib.parse import urlsplit

from c2c.auth import Authenticator
from c2c.codec import Codec, CommandModels, JsonCodec, MsgpackCodec
from c2c.errors import CloseCode, ServiceUnavailable
from c2c.hub import Hub
from c2c.keys import Keys
from c2c.leases import TICK_S, Leases
from c2c.limits import BucketPerCaller
from c2c.metrics import Metrics
from c2c.monitoring.deliverer import Deliverer
from c2c.monitoring.guard import AddressGuard
from c2c.monitoring.own_servers import Server, listening
from c2c.monitoring.probe import Probe
from c2c.monitoring.registry import Registry
from c2c.monitoring.rules import Rules
from c2c.monitoring.scheduler import Scheduler
from c2c.monitoring.self_watch import Report
from c2c.outbox import Encoding, Framing
from c2c.pipeline import Pipeline
from c2c.relay import Relay
from c2c.rooms import default_kinds
from c2c.settings import Settings
from c2c.signed_in import SignedIn
from c2c.store import Store

log = logging.getLogger("c2c.node")

_DRAIN_BATCH: Final = 100


class OpenConnection(Protocol):
    """What the node may do to a connection."""

    def close(self, code: CloseCode, reason: str) -> None: ...


class Node:
    """The parts of one node. `start` before the first request, `aclose` after the last."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.metrics = Metrics()
        self.kinds = default_kinds()
        commands = CommandModels(self.kinds.command_models(), settings.max_nesting)
        self.codecs: tuple[Codec, ...] = (JsonCodec(commands), MsgpackCodec(commands))
        self.commands = commands
        self.encodings = {
            (codec.name, framing): Encoding(codec, framing) for codec in self.codecs for framing in Framing
        }
        self.authenticator = Authenticator(settings)
        self.rest_limits = BucketPerCaller(settings.command_rate_per_s, settings.command_burst)
        self.keys = Keys(settings.redis_cluster_keys)
        self.pipeline = Pipeline(settings, self.metrics)
        self.store = Store(self.pipeline, self.keys, settings)
        self.relay = Relay(settings, self.keys, self.store, self.metrics)
        self.hub = Hub(settings, self.store, self.relay, self.kinds, self.codecs, self.metrics)
        self.signed_in = SignedIn(settings, self.store, TICK_S)
        self.leases = Leases(settings, self.store, self.hub, self.kinds, self.signed_in)
        self.guard = AddressGuard(settings.check_allow_cidrs, own_addresses(settings))
        self.probe = Probe(self.guard)
        rules = Rules(self.store.notices)
        self.registry = Registry(self.store, rules, self.guard)
        self.scheduler = Scheduler(
            settings, self.store, rules, self.probe, self.metrics, self._report, self.guard.deny_nodes
        )
        self.deliverer = Deliverer(settings, self.store.notices, self.probe, self.metrics)
        self.connections: set[OpenConnection] = set()
        self._all_gone = asyncio.Event()
        self.draining = False

    @property
    def ready(self) -> bool:
        """Whether a load balancer should send people here."""
        return self.store.up and self.relay.healthy and not self.draining

    def refusal(self) -> ServiceUnavailable | None:
        """Why no further connection is taken, or None."""
        if self.draining:
            return ServiceUnavailable(reason="draining", retryAfterMs=1000)
        if len(self.connections) >= self.settings.max_connections:
            return ServiceUnavailable(reason="full", retryAfterMs=1000)
        return None

    def enter(self, connection: OpenConnection) -> None:
        """A connection was accepted."""
        self.connections.add(connection)
        self.metrics.connections.inc()
        self._all_gone.clear()

    def exit(self, connection: OpenConnection) -> None:
        """A connection has ended and said its goodbyes."""
        self.connections.discard(connection)
        self.metrics.connections.dec()
        if not self.connections:
            self._all_gone.set()

    async def start(self) -> None:
        """Connect to Redis; starts all the same when it is away, and is not ready then."""
        await self.pipeline.start()
        await self.signed_in.start()
        self.relay.start(self.hub)
        self.leases.start()
        await self.scheduler.start()
        if self.settings.monitor:
            self.deliverer.start()
        log.info("node %s started", self.settings.node_id)

    async def drain(self) -> None:
        """Send everybody elsewhere: not ready first, then close in batches, within `drain_s` seconds.

        A batch at a time, so that the other nodes meet a stream of newcomers and not a wave.
        """
        self.draining = True
        connections = list(self.connections)
        if not connections:
            return
        log.info("draining %d connections", len(connections))
        batches = [connections[start : start + _DRAIN_BATCH] for start in range(0, len(connections), _DRAIN_BATCH)]
        pause_s = self.settings.drain_s / 2 / max(1, len(batches))
        for batch in batches:
            for connection in batch:
                connection.close(CloseCode.SERVICE_RESTART, "this node stops")
            await asyncio.sleep(pause_s)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self.settings.drain_s / 2):
                await self._all_gone.wait()

    def _report(self) -> Report:
        """How this node does, for those who watch c2c itself."""
        return Report(
            lag_ms=self.relay.lag_ms if self.relay.healthy else None,
            queues={
                "Redis calls": self.pipeline.load,
                "checks that are due": self.scheduler.backlog,
            },
            listening=listening(self.settings.host, self.settings.port),
            suspect=self.scheduler.suspect,
        )

    async def aclose(self) -> None:
        await self.scheduler.aclose()
        await self.deliverer.aclose()
        await self.probe.aclose()
        await self.leases.aclose()
        await self.signed_in.aclose()
        await self.hub.aclose()
        await self.relay.aclose()
        await self.pipeline.aclose()
        log.info("node %s stopped", self.settings.node_id)


def own_addresses(settings: Settings) -> list[Server]:
    """What no check may ever reach: this node's own port, and its Redis."""
    own: list[Server] = [(None, settings.port)]
    if settings.redis_url is not None:
        redis = urlsplit(settings.redis_url)
        own.append((redis.hostname or "localhost", redis.port or 6379))
    return own
