"""The node's pub/sub connection: subscribed to the channels of the rooms that are here, supervised, self-healing.

Pub/sub promises nothing: what is published while a connection is down, or stuck, is gone. So the relay never mends a
connection quietly. It uses no retries; it publishes a canary to its own channel each second and takes three seconds
of silence for a dead connection; and after each reconnect it tells the hub, which replays every room from the log.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import time
from typing import Any, Final, Protocol

from redis import exceptions
from redis.asyncio.connection import AbstractConnection

from c2c.errors import C2CError, ServiceUnavailable
from c2c.keys import CHANNEL_PREFIX, Keys, room_of_channel
from c2c.metrics import Metrics
from c2c.pipeline import make_connection
from c2c.settings import Settings
from c2c.store import Store
from c2c.tasks import end_tasks

log = logging.getLogger("c2c.relay")

_RETRY_FIRST_S: Final = 0.05
_RETRY_MAX_S: Final = 1.0
_AWAY: Final = (exceptions.RedisError, OSError, TimeoutError)
_PREFIX: Final = CHANNEL_PREFIX.encode()


class Receiver(Protocol):
    """Who hears what the relay hears: the hub."""

    def deliver(self, room_id: str, payload: bytes) -> None:
        """A payload from a room's channel. Must not wait."""

    def replay(self) -> None:
        """Subscriptions were interrupted: anything may have been missed. Must not wait."""


class Relay:
    """One connection, many channels. Start it with the receiver."""

    def __init__(self, settings: Settings, keys: Keys, store: Store, metrics: Metrics) -> None:
        self._settings = settings
        self._keys = keys
        self._store = store
        self._metrics = metrics
        self._own_channel = keys.node_channel(settings.node_id)
        self._wanted: set[str] = set()
        self._confirmed: set[str] = set()
        self._waiters: dict[str, list[asyncio.Future[None]]] = {}
        self._unsent: dict[str, bool] = {}
        self._changed = asyncio.Event()
        self._connection: AbstractConnection | None = None
        self._last_heard_s = 0.0
        self._lag_s = 0.0
        self._tasks: list[asyncio.Task[None]] = []
        self._receiver: Receiver | None = None

    @property
    def healthy(self) -> bool:
        """Whether the connection is subscribed and heard its own canary lately."""
        silent_s = asyncio.get_running_loop().time() - self._last_heard_s
        return self._own_channel in self._confirmed and silent_s < self._settings.canary_timeout_s

    @property
    def lag_ms(self) -> float:
        """How long the last canary took through Redis."""
        return self._lag_s * 1000

    def start(self, receiver: Receiver) -> None:
        self._receiver = receiver
        self._tasks = [
            asyncio.create_task(self._supervise(), name="c2c-relay"),
            asyncio.create_task(self._canary(), name="c2c-canary"),
        ]

    async def aclose(self) -> None:
        await end_tasks(self._tasks)
        await self._disconnect()

    async def subscribe(self, room_id: str) -> None:
        """Subscribe to a room's channel and wait until Redis has confirmed it.

        Subscriptions of one tick travel together. Raises ServiceUnavailable when no confirmation comes in time.
        """
        channel = self._keys.channel(room_id)
        self._wanted.add(channel)
        if channel in self._confirmed and channel not in self._unsent:
            return
        confirmed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiters.setdefault(channel, []).append(confirmed)
        self._request(channel, wanted=True)
        try:
            async with asyncio.timeout(self._settings.redis_timeout_s):
                await confirmed
        except TimeoutError:
            raise ServiceUnavailable(retryAfterMs=1000) from None

    def unsubscribe(self, room_id: str) -> None:
        """Hear no more of a room."""
        channel = self._keys.channel(room_id)
        self._wanted.discard(channel)
        self._confirmed.discard(channel)
        self._request(channel, wanted=False)

    def _request(self, channel: str, *, wanted: bool) -> None:
        self._unsent[channel] = wanted
        self._changed.set()

    async def _supervise(self) -> None:
        delay_s = _RETRY_FIRST_S
        interrupted = False
        while True:
            started_s = time.monotonic()
            try:
                connection = await self._connect()
                if interrupted and self._receiver is not None:
                    log.info("relay is back: replaying local rooms")
                    self._receiver.replay()
                await self._listen(connection)
            except _AWAY as failure:
                log.warning("relay lost its connection: %s", failure or type(failure).__name__)
                self._metrics.relay_reconnects.inc()
            await self._disconnect()
            interrupted = True
            if time.monotonic() - started_s > _RETRY_MAX_S:
                delay_s = _RETRY_FIRST_S
            await asyncio.sleep(delay_s)
            delay_s = min(delay_s * 2, _RETRY_MAX_S)

    async def _connect(self) -> AbstractConnection:
        """Connect and subscribe to everything wanted; returns when all of it is confirmed."""
        connection = self._connection = make_connection(self._settings, f"c2c-{self._settings.node_id}-relay")
        async with asyncio.timeout(self._settings.redis_timeout_s):
            await connection.connect()  # type: ignore[no-untyped-call]
            channels = [self._own_channel, *self._wanted]
            self._unsent.clear()
            await connection.send_command("SUBSCRIBE", *channels, check_health=False)
            while not self._confirmed.issuperset(channels):
                self._take(await connection.read_response(timeout=math.inf, push_request=True))
        self._last_heard_s = asyncio.get_running_loop().time()
        return connection

    async def _listen(self, connection: AbstractConnection) -> None:
        """Read until the connection fails or falls silent.

        Replies that are in the buffer already are returned without a wait, so a burst is delivered in one step.
        """
        workers = {asyncio.create_task(self._read(connection)), asyncio.create_task(self._write(connection))}
        try:
            while True:
                done, _ = await asyncio.wait(
                    workers, timeout=self._settings.canary_interval_s / 4, return_when=asyncio.FIRST_COMPLETED
                )
                for failed in done:
                    failed.result()
                silent_s = asyncio.get_running_loop().time() - self._last_heard_s
                if silent_s > self._settings.canary_timeout_s:
                    raise exceptions.ConnectionError(f"silent for {silent_s:.1f} s")
        finally:
            await end_tasks(workers)

    async def _read(self, connection: AbstractConnection) -> None:
        while True:
            self._take(await connection.read_response(timeout=math.inf, push_request=True))

    async def _write(self, connection: AbstractConnection) -> None:
        """Tell Redis what has changed since the last time, all of it together."""
        while True:
            await self._changed.wait()
            self._changed.clear()
            unsent, self._unsent = self._unsent, {}
            for command, wanted in (("SUBSCRIBE", True), ("UNSUBSCRIBE", False)):
                channels = [channel for channel, change in unsent.items() if change is wanted]
                if channels:
                    await connection.send_command(command, *channels, check_health=False)

    def _take(self, reply: Any) -> None:
        what, channel, data = reply
        if what == b"message":
            if channel.startswith(_PREFIX):
                if self._receiver is not None:
                    self._receiver.deliver(room_of_channel(channel), data)
            elif channel == self._own_channel.encode():
                self._heard_canary(data)
        elif what == b"subscribe":
            name = channel.decode()
            self._confirmed.add(name)
            for waiter in self._waiters.pop(name, ()):
                if not waiter.done():
                    waiter.set_result(None)
        elif what == b"unsubscribe" and channel.decode() not in self._wanted:
            self._confirmed.discard(channel.decode())

    def _heard_canary(self, sent: bytes) -> None:
        self._last_heard_s = asyncio.get_running_loop().time()
        with contextlib.suppress(ValueError):
            self._lag_s = max(0.0, self._last_heard_s - float(sent))
            self._metrics.relay_lag.set(self._lag_s)

    async def _canary(self) -> None:
        while True:
            with contextlib.suppress(C2CError):
                await self._store.publish(self._own_channel, repr(asyncio.get_running_loop().time()).encode())
            await asyncio.sleep(self._settings.canary_interval_s)

    async def _disconnect(self) -> None:
        self._confirmed.clear()
        connection, self._connection = self._connection, None
        if connection is not None:
            with contextlib.suppress(*_AWAY):
                await connection.disconnect(nowait=True)
