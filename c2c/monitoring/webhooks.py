"""Webhooks: who is told what, in which words, signed how, and how often it is tried. Pure; `c2c.monitoring.deliverer`
does it."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from pydantic_core import from_json, to_json

from c2c.times import iso8601

MASK: Final = "•••"
TEST_EVENT: Final = "webhook:test"
RETRY_MAX_S: Final = 3600.0
GIVE_UP_S: Final = 24 * 3600.0
_JITTER: Final = 0.2

WebhookEvent = Literal[
    "incident:started", "incident:acknowledged", "incident:resolved",
    "endpoint:status-changed", "endpoint:certificate-expiring", "checker:suspect",
]  # fmt: skip
DEFAULT_EVENTS: Final[tuple[WebhookEvent, ...]] = (
    "incident:started",
    "incident:acknowledged",
    "incident:resolved",
    "checker:suspect",
)


def _each_once(events: list[WebhookEvent]) -> list[WebhookEvent]:
    return list(dict.fromkeys(events))


class NewWebhook(BaseModel):
    """What an admin says of a webhook; untrusted."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    url: Annotated[str, Field(min_length=1, max_length=2048)]
    events: Annotated[list[WebhookEvent], Field(min_length=1, max_length=20), AfterValidator(_each_once)] = Field(
        default_factory=lambda: list(DEFAULT_EVENTS)
    )


@dataclass(frozen=True, slots=True)
class Webhook:
    """A webhook as it is kept. `secret`: the key of its signatures, in clear. `created_at`: ISO 8601."""

    webhook_id: str
    url: str
    secret: str
    events: tuple[str, ...]
    created_at: str
    created_by: str
    disabled: bool = False


def dump_webhook(webhook: Webhook) -> bytes:
    return to_json({**_public(webhook), "secret": webhook.secret})


def load_webhook(text: bytes) -> Webhook:
    stored = from_json(text)
    return Webhook(
        stored["webhookId"], stored["url"], stored["secret"], tuple(stored["events"]),
        stored["createdAt"], stored["createdBy"], stored["disabled"],
    )  # fmt: skip


def webhook_json(webhook: Webhook) -> dict[str, Any]:
    """As admins see it: the secret masked."""
    return {**_public(webhook), "secret": MASK}


def _public(webhook: Webhook) -> dict[str, Any]:
    return {
        "webhookId": webhook.webhook_id,
        "url": webhook.url,
        "events": webhook.events,
        "createdAt": webhook.created_at,
        "createdBy": webhook.created_by,
        "disabled": webhook.disabled,
    }


def deliveries_for(webhooks: Iterable[Webhook], event: Mapping[str, Any], now_ms: int) -> list[tuple[str, bytes]]:
    """What has to be delivered because of an event: delivery ids and bodies, as the script that commits the event takes
    them (`lua/include/delivery.lua`).

    Arguments: `event` is `{"t": type, **fields}`; `now_ms` is the Redis clock. The same arguments give the same ids, so
    that what is committed twice is delivered once.
    """
    data = {name: value for name, value in event.items() if name != "t"}
    return [
        _delivery(webhook, event["t"], data, now_ms)
        for webhook in webhooks
        if event["t"] in webhook.events and not webhook.disabled
    ]


def trial(webhook: Webhook, now_ms: int) -> tuple[str, bytes]:
    """A delivery that tells of nothing."""
    return _delivery(webhook, TEST_EVENT, {}, now_ms)


def _delivery(webhook: Webhook, t: str, data: Mapping[str, Any], now_ms: int) -> tuple[str, bytes]:
    told = {"webhookId": webhook.webhook_id, "event": t, "timestamp": iso8601(now_ms), "data": data}
    delivery_id = f"{now_ms:013}-{hashlib.sha256(to_json(told)).hexdigest()[:16]}-{webhook.webhook_id}"
    return delivery_id, to_json({"deliveryId": delivery_id, **told})


def created_ms(delivery_id: str) -> int:
    """When a delivery was made, in ms of the Redis clock."""
    return int(delivery_id.partition("-")[0])


def webhook_of(delivery_id: str) -> str:
    """The webhook that a delivery is for."""
    return delivery_id.rpartition("-")[2]


def signed_headers(webhook: Webhook, body: bytes, timestamp_s: int) -> dict[str, str]:
    """The headers by which a receiver knows who sends, when, and that nobody has changed a word."""
    return {
        "C2C-Webhook-Id": webhook.webhook_id,
        "C2C-Webhook-Timestamp": str(timestamp_s),
        "C2C-Webhook-Signature": signature(webhook.secret, timestamp_s, body),
    }


def signature(secret: str, timestamp_s: int, body: bytes) -> str:
    """`v1=` and the HMAC-SHA256 (RFC 2104) of `<timestamp>.<body>` in hex; the key is the secret's text as it was
    shown."""
    return "v1=" + hmac.new(secret.encode(), b"%d." % timestamp_s + body, hashlib.sha256).hexdigest()


def retry_s(attempt: int, age_s: float, first_s: float, chance: float) -> float | None:
    """How long to wait after a failed attempt, None: it was the last one.

    Arguments: `attempt` counts from 1; `age_s` since the delivery was made; `first_s` the first wait, which doubles
    each time, an hour at most; `chance` in [0, 1), by which it is up to a fifth shorter or longer, so that what failed
    together does not come together again.
    """
    wait_s = min(first_s * 2.0 ** min(attempt - 1, 40), RETRY_MAX_S) * (1 - _JITTER + 2 * _JITTER * chance)
    return wait_s if age_s + wait_s <= GIVE_UP_S else None
