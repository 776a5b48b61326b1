"""Maintenance windows, webhooks and deliveries in Redis as typed methods. The rest of monitoring is `c2c.monitors`.

All of it stands in keys of the room `all-endpoints`. What a window means, `c2c.monitoring.windows` knows; what a
webhook is sent, `c2c.monitoring.webhooks`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from pydantic_core import from_json, to_json

from c2c.calls import ScriptClock, require_room
from c2c.errors import BadValue, WebhookNotFound
from c2c.events import event_text
from c2c.keys import MONITOR, Keys
from c2c.monitoring.webhooks import Webhook, dump_webhook, load_webhook
from c2c.monitoring.windows import all_shown, is_forgotten
from c2c.pipeline import Pipeline, Reply
from c2c.scripts import load_scripts

WINDOWS_MAX: Final = 200
# All of them stand in each `maintenance:changed`.
WINDOWS_BYTES_MAX: Final = 65_536
WEBHOOKS_MAX: Final = 20


@dataclass(frozen=True, slots=True)
class Posted:
    """What is in force. `now_ms`: the Redis clock; `revision`: changes whenever one of the others does."""

    now_ms: int
    revision: int
    windows: list[dict[str, Any]]
    webhooks: list[Webhook]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What an attempt came to. `status`: of the answer, None: none came. `error`: in plain words, '' = all is well."""

    status: int | None
    error: str = ""

    @property
    def ok(self) -> bool:
        return not self.error


@dataclass(frozen=True, slots=True)
class WebhookReport:
    """A webhook, what its last attempt came to (`lastAttemptAt`, `lastStatus`, `lastError`; None: there was none yet)
    and how many deliveries are on their way to it."""

    webhook: Webhook
    outcome: Mapping[str, Any] | None
    pending: int


@dataclass(frozen=True, slots=True)
class ClaimedDelivery:
    """A delivery to be attempted. `attempt` counts from 1; settling names it."""

    delivery_id: str
    attempt: int
    body: bytes
    webhook: Webhook


@dataclass(frozen=True, slots=True)
class ClaimedDeliveries:
    """What was claimed. `now_ms`: the Redis clock. `wait_ms`: until something is due that was not due yet, None: there
    is nothing."""

    now_ms: int
    wait_ms: int | None
    deliveries: list[ClaimedDelivery]


class Notices:
    """What a node asks of Redis about windows and webhooks. Calling sends, awaiting reads, as `c2c.store.Store`."""

    def __init__(self, pipeline: Pipeline, keys: Keys, clock: ScriptClock) -> None:
        self._pipeline = pipeline
        self._keys = keys
        self._clock = clock
        self._scripts = load_scripts()

    def read(self) -> Reply[Posted]:
        """All windows, as they are stored, and webhooks. 1 round trip, O(windows)."""

        def read(reply: Any) -> Posted:
            _, now_ms, revision, windows, webhooks = reply
            return Posted(now_ms, revision, [from_json(text) for text in windows], [load_webhook(w) for w in webhooks])

        return self._pipeline.script(
            self._scripts["notices_read"],
            {"room": self._keys.room(MONITOR), **self._columns("windows", "webhooks")},
            {"clock": self._clock.now},
            read,
        )

    # Windows

    def write_window(self, posted: Posted, window_id: str, window: Mapping[str, Any] | None) -> Reply[bool]:
        """Write a window, None: delete it, and tell the room; one-off windows that ended a week ago are forgotten.

        Arguments: `posted` is what it was decided on. Returns False when that has changed since, and nothing was
        written: read and decide again. Raises BadValue (too many), RoomNotFound. 1 round trip, O(windows).
        """
        others = {each["windowId"]: each for each in posted.windows if each["windowId"] != window_id}
        forgotten = [id_ for id_, each in others.items() if is_forgotten(each, posted.now_ms)]
        told = [each for id_, each in others.items() if id_ not in forgotten] + ([] if window is None else [window])
        if len(told) > WINDOWS_MAX or len(to_json(told)) > WINDOWS_BYTES_MAX:
            reason = f"there are {WINDOWS_MAX} at most, and {WINDOWS_BYTES_MAX // 1024} KiB of them"
            raise BadValue(field="windows", reason=reason, limit=WINDOWS_MAX)
        text = event_text(MONITOR, "maintenance:changed", {"windows": all_shown(told, posted.now_ms)})

        def read(reply: Any) -> bool:
            require_room(reply)
            return bool(reply[0] == b"OK")

        return self._pipeline.script(
            self._scripts["window_write"],
            {"room": self._keys.room(MONITOR), "log": self._keys.log(MONITOR), **self._columns("windows")},
            {
                "clock": self._clock.now,
                "channel": self._keys.channel(MONITOR),
                "revision": posted.revision,
                "head": text.head,
                "tail": text.tail,
                "window_id": window_id,
                "window": b"" if window is None else to_json(window),
            },
            read,
            forgotten,
        )

    # Webhooks

    def webhooks(self) -> Reply[tuple[int, list[WebhookReport]]]:
        """How many deliveries were dropped because there were too many, and all webhooks, oldest first. 1 round trip,
        O(deliveries)."""

        def read(reply: Any) -> tuple[int, list[WebhookReport]]:
            told = zip(reply[2][::3], reply[2][1::3], reply[2][2::3], strict=True)
            reports = [
                WebhookReport(load_webhook(webhook), None if outcome is None else from_json(outcome), pending)
                for webhook, outcome, pending in told
            ]
            return reply[1], sorted(reports, key=lambda report: (report.webhook.created_at, report.webhook.webhook_id))

        return self._pipeline.script(
            self._scripts["webhooks_read"],
            self._columns("webhooks", "webhook-outcomes", "deliveries", "delivery-bodies"),
            {},
            read,
        )

    def webhook(self, webhook_id: str) -> Reply[Webhook]:
        """One webhook. Raises WebhookNotFound. 1 round trip, O(1)."""

        def read(reply: bytes | None) -> Webhook:
            if reply is None:
                raise WebhookNotFound(webhookId=webhook_id)
            return load_webhook(reply)

        return self._pipeline.command("HGET", self._keys.monitor("webhooks"), webhook_id, read=read)

    def add_webhook(self, webhook: Webhook) -> Reply[None]:
        """Add a webhook. Raises BadValue (too many), RoomNotFound. 1 round trip, O(1)."""

        def read(reply: Any) -> None:
            require_room(reply)
            if reply[0] == b"FULL":
                raise BadValue(field="webhooks", reason=f"there are {WEBHOOKS_MAX} at most", limit=WEBHOOKS_MAX)

        return self._pipeline.script(
            self._scripts["webhook_add"],
            {"room": self._keys.room(MONITOR), **self._columns("webhooks")},
            {"webhook_id": webhook.webhook_id, "webhook": dump_webhook(webhook), "webhooks_max": WEBHOOKS_MAX},
            read,
        )

    def delete_webhook(self, webhook_id: str) -> Reply[None]:
        """Delete a webhook and what is on its way to it. Raises WebhookNotFound, RoomNotFound. 1 round trip,
        O(deliveries)."""

        def read(reply: Any) -> None:
            require_room(reply)
            if reply[0] == b"WEBHOOK_NOT_FOUND":
                raise WebhookNotFound(webhookId=webhook_id)

        return self._pipeline.script(
            self._scripts["webhook_delete"],
            {
                "room": self._keys.room(MONITOR),
                **self._columns("webhooks", "webhook-outcomes", "deliveries", "delivery-bodies"),
            },
            {"webhook_id": webhook_id},
            read,
        )

    def disable_webhook(self, webhook: Webhook) -> Reply[None]:
        """Send nothing more to a webhook and forget what is on its way, unless it is another one by now. Raises
        RoomNotFound. 1 round trip, O(deliveries)."""
        return self._pipeline.script(
            self._scripts["webhook_disable"],
            {"room": self._keys.room(MONITOR), **self._columns("webhooks", "deliveries", "delivery-bodies")},
            {
                "webhook_id": webhook.webhook_id,
                "former": dump_webhook(webhook),
                "webhook": dump_webhook(replace(webhook, disabled=True)),
            },
            require_room,
        )

    # Deliveries

    def tell(self, t: str, fields: Mapping[str, Any], deliveries: Sequence[tuple[str, bytes]]) -> Reply[None]:
        """Append an event that is about no endpoint, with the deliveries that it causes. Raises RoomNotFound. 1 round
        trip, O(log deliveries)."""
        keys = self._keys
        text = event_text(MONITOR, t, fields)
        return self._pipeline.script(
            self._scripts["notice_append"],
            {
                "room": keys.room(MONITOR),
                "log": keys.log(MONITOR),
                **self._columns("deliveries", "delivery-bodies"),
            },
            {
                "clock": self._clock.now,
                "channel": keys.channel(MONITOR),
                "head": text.head,
                "tail": text.tail,
            },
            require_room,
            [word for delivery in deliveries for word in delivery],
        )

    def claim(self, lease_ms: int, limit: int, per_webhook: int, busy: Iterable[str]) -> Reply[ClaimedDeliveries]:
        """Claim deliveries that are due, for `lease_ms`. `busy`: webhooks that this node is delivering to, each as
        often as it does. 1 round trip, O(limit · log deliveries), or O(deliveries) while what is due is for busy
        webhooks."""

        def read(reply: Any) -> ClaimedDeliveries:
            _, now_ms, wait_ms, *claimed = reply
            return ClaimedDeliveries(
                now_ms,
                None if wait_ms < 0 else wait_ms,
                [ClaimedDelivery(id_.decode(), count, body, load_webhook(hook)) for id_, count, body, hook in claimed],
            )

        return self._pipeline.script(
            self._scripts["deliveries_claim"],
            self._columns("deliveries", "delivery-bodies", "webhooks"),
            {"clock": self._clock.now, "lease_ms": lease_ms, "limit": limit, "per_webhook": per_webhook},
            read,
            busy,
        )

    def settle(self, claimed: ClaimedDelivery, outcome: Outcome, retry_ms: int | None) -> Reply[bool]:
        """Write down what an attempt came to. `retry_ms`: until the next one, None: there is none. Returns whether this
        was still the last attempt; if not, nothing is written. 1 round trip, O(log deliveries)."""

        def read(reply: Any) -> bool:
            return bool(reply[0] == b"OK")

        return self._pipeline.script(
            self._scripts["delivery_settle"],
            self._columns("deliveries", "delivery-bodies", "webhooks", "webhook-outcomes"),
            {
                "clock": self._clock.now,
                "delivery_id": claimed.delivery_id,
                "attempt": claimed.attempt,
                "retry_ms": "" if retry_ms is None else retry_ms,
                "outcome": b"," + to_json({"lastStatus": outcome.status, "lastError": outcome.error})[1:],
            },
            read,
        )

    def _columns(self, *columns: str) -> dict[str, str]:
        names = {column: column.removeprefix("webhook-").replace("-", "_") for column in columns}
        return {names[column]: self._keys.monitor(column) for column in columns}
