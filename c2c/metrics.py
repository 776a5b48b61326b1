"""What a node counts about itself, for Prometheus (`GET /metrics`)."""

from __future__ import annotations

import os

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest, multiprocess

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class Metrics:
    """One node's metrics, in a registry of their own so that several nodes can live in one process (tests)."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._add_connections()
        self._add_commands()
        self._add_events()
        self._add_redis()
        self._add_monitoring()

    def _add_connections(self) -> None:
        registry = self.registry
        self.connections = Gauge("c2c_connections", "Open WebSockets", registry=registry, multiprocess_mode="livesum")
        self.room_connections = Gauge(
            "c2c_room_connections",
            "Connections that are in a room, by kind of the room",
            ["kind"],
            registry=registry,
            multiprocess_mode="livesum",
        )
        self.local_rooms = Gauge(
            "c2c_local_rooms", "Rooms with a member on this node", registry=registry, multiprocess_mode="livesum"
        )
        self.closes = Counter("c2c_closes", "Connections that the node closed", ["code"], registry=registry)
        self.slow_consumers = Counter(
            "c2c_slow_consumers", "Connections closed because they did not read", registry=registry
        )
        self.leases_lost = Counter(
            "c2c_leases_lost", "Open connections whose lease had been swept, joined again", registry=registry
        )

    def _add_commands(self) -> None:
        registry = self.registry
        self.commands = Counter("c2c_commands", "Commands received", ["command"], registry=registry)
        self.errors = Counter("c2c_errors", "Errors answered", ["code"], registry=registry)
        self.resumes = Counter("c2c_resumes", "Joins with a position", ["outcome"], registry=registry)
        self.command_latency = Histogram(
            "c2c_command_seconds",
            "From a command's arrival to its answer",
            registry=registry,
            buckets=(0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5),
        )

    def _add_events(self) -> None:
        registry = self.registry
        self.events = Counter("c2c_events", "Events received from Redis and passed on", registry=registry)
        self.deliveries = Counter("c2c_deliveries", "Events written to a connection", registry=registry)
        self.gaps_repaired = Counter(
            "c2c_gaps_repaired", "Times that missed events were read from a room's log", registry=registry
        )
        self.snapshots = Counter(
            "c2c_room_resets", "Times that all members of a room had to take a new state", ["reason"], registry=registry
        )
        self.dropped = Counter(
            "c2c_dropped_payloads", "Payloads from a room's channel that were no event", ["reason"], registry=registry
        )

    def _add_redis(self) -> None:
        registry = self.registry
        self.relay_lag = Gauge(
            "c2c_relay_lag_seconds",
            "How long the last canary took through Redis",
            registry=registry,
            multiprocess_mode="livemax",
        )
        self.relay_reconnects = Counter(
            "c2c_relay_reconnects", "Times the relay lost its connection or could not get one", registry=registry
        )
        self.redis_up = Gauge("c2c_redis_up", "1 while Redis answers", registry=registry, multiprocess_mode="livemin")
        self.store_queue = Gauge(
            "c2c_store_queue", "Redis calls waiting for a pipeline", registry=registry, multiprocess_mode="livesum"
        )

    def _add_monitoring(self) -> None:
        registry = self.registry
        self.checks = Counter("c2c_checks", "Results recorded, by status", ["status"], registry=registry)
        self.checks_refused = Counter(
            "c2c_checks_refused", "Results that came too late: another node was faster", registry=registry
        )
        self.checks_running = Gauge(
            "c2c_checks_running", "Checks under way", registry=registry, multiprocess_mode="livesum"
        )
        self.check_delay = Histogram(
            "c2c_check_delay_seconds",
            "From when a check was due to when it began",
            registry=registry,
            buckets=(0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 15, 30, 60),
        )
        self.webhook_deliveries = Counter(
            "c2c_webhook_deliveries", "Attempts at deliveries to webhooks", ["outcome"], registry=registry
        )

    def render(self) -> bytes:
        """The text exposition; with several workers, of all of them together."""
        if "PROMETHEUS_MULTIPROC_DIR" not in os.environ:
            return generate_latest(self.registry)
        together = CollectorRegistry()
        multiprocess.MultiProcessCollector(together)  # type: ignore[no-untyped-call]
        return generate_latest(together)
