"""Delivers to webhooks: claims what is due, sends it, writes down what came of it. Every node has one, none leads.

A claim is a lease of the timeout and 3 s. Who dies loses it and another node sends again: a receiver gets everything
at least once, and knows what it has had by `deliveryId`.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
from collections import Counter
from typing import Final

from c2c import __version__
from c2c.errors import C2CError
from c2c.metrics import Metrics
from c2c.monitoring.probe import Probe
from c2c.monitoring.results import Target
from c2c.monitoring.webhooks import Webhook, created_ms, retry_s, signed_headers, trial
from c2c.notices import ClaimedDelivery, Notices, Outcome
from c2c.settings import Settings
from c2c.tasks import end_tasks
from c2c.times import now_ms

log = logging.getLogger("c2c.monitoring.deliverer")

DELIVERIES_MAX: Final = 8
PER_WEBHOOK_MAX: Final = 2
TIMEOUT_S: Final = 10.0
LEASE_MS: Final = round((TIMEOUT_S + 3) * 1000)
_POLL_S: Final = 1.0
_GOODBYE_S: Final = 1.0
_GONE: Final = 410
_HEADERS: Final = {"Content-Type": "application/json", "User-Agent": f"c2c/{__version__} (+webhook)"}


class Deliverer:
    """This node's share of all deliveries. `start` it, and end it with `aclose`."""

    def __init__(self, settings: Settings, notices: Notices, probe: Probe, metrics: Metrics) -> None:
        self._retry_s = settings.webhook_retry_s
        self._notices = notices
        self._probe = probe
        self._metrics = metrics
        self._busy: Counter[str] = Counter()
        self._sending: set[asyncio.Task[None]] = set()
        self._freed = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = asyncio.create_task(self._run(), name="c2c-deliverer")

    async def aclose(self) -> None:
        """Give what is being sent a second to end; the rest another node sends again when its leases end."""
        if self._task is not None:
            await end_tasks([self._task])
        if self._sending:
            log.info("%d deliveries are being sent", len(self._sending))
            await asyncio.wait(self._sending, timeout=_GOODBYE_S)
        await end_tasks(self._sending)

    async def test(self, webhook: Webhook) -> Outcome:
        """Send a delivery that tells of nothing, once and at once. Takes 10 s at most."""
        _, body = trial(webhook, now_ms())
        return await self._send(webhook, body)

    async def _run(self) -> None:
        while True:
            pause_s = _POLL_S
            try:
                pause_s = await self._claim()
            except C2CError:
                pass
            except Exception:  # what one round trips over must not end all of them
                log.exception("deliveries could not be claimed")
            # What is due and waits for its webhook goes on as soon as that is free.
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause_s):
                    await self._freed.wait()
            self._freed.clear()

    async def _claim(self) -> float:
        """Begin what is due. Returns until when, in s, nothing else will be, unless it is new."""
        free = DELIVERIES_MAX - len(self._sending)
        if free <= 0:
            return _POLL_S
        claimed = await self._notices.claim(LEASE_MS, free, PER_WEBHOOK_MAX, self._busy.elements())
        for each in claimed.deliveries:
            self._begin(each, claimed.now_ms)
        return _POLL_S if claimed.wait_ms is None else min(_POLL_S, claimed.wait_ms / 1000)

    def _begin(self, claimed: ClaimedDelivery, claimed_ms: int) -> None:
        webhook_id = claimed.webhook.webhook_id
        self._busy[webhook_id] += 1
        task = asyncio.create_task(self._deliver(claimed, claimed_ms), name=f"c2c-delivery-{claimed.delivery_id}")
        self._sending.add(task)
        task.add_done_callback(lambda done: self._ended(done, webhook_id))

    def _ended(self, task: asyncio.Task[None], webhook_id: str) -> None:
        self._sending.discard(task)
        self._busy -= Counter([webhook_id])
        self._freed.set()
        if not task.cancelled() and task.exception() is not None:
            log.error("a delivery failed", exc_info=task.exception())

    async def _deliver(self, claimed: ClaimedDelivery, claimed_ms: int) -> None:
        outcome = await self._send(claimed.webhook, claimed.body)
        wait_s = None
        if not outcome.ok and outcome.status != _GONE:
            age_s = (claimed_ms - created_ms(claimed.delivery_id)) / 1000
            wait_s = retry_s(claimed.attempt, age_s, self._retry_s, random.random())
        try:
            await self._notices.settle(claimed, outcome, None if wait_s is None else round(wait_s * 1000))
            if outcome.status == _GONE:
                await self._notices.disable_webhook(claimed.webhook)
        except C2CError as error:
            log.warning("what came of a delivery could not be written (%s): it is sent again", error.code)
        self._note(claimed, outcome, wait_s)

    def _note(self, claimed: ClaimedDelivery, outcome: Outcome, wait_s: float | None) -> None:
        """Count and log it. Not the URL: it may hold a secret."""
        name = "delivered" if outcome.ok else "failed" if wait_s is not None else "abandoned"
        self._metrics.webhook_deliveries.labels(name).inc()
        if outcome.ok:
            return
        ends = "no further attempt" if wait_s is None else f"again in {wait_s:.0f} s"
        words = (claimed.webhook.webhook_id, claimed.delivery_id, claimed.attempt, outcome.error, ends)
        log.warning("webhook %s: delivery %s, attempt %d: %s; %s", *words)

    async def _send(self, webhook: Webhook, body: bytes) -> Outcome:
        """One POST. It goes where checks may go; a redirect is a refusal."""
        headers = {**_HEADERS, **signed_headers(webhook, body, now_ms() // 1000)}
        result = await self._probe.run(
            Target(
                kind="http",
                url=webhook.url,
                method="POST",
                timeout_s=TIMEOUT_S,
                headers=tuple(headers.items()),
                content=body,
                redirects=0,
            )
        )
        return Outcome(result.status_code, result.error)
