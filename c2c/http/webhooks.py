"""`/api/webhooks`: who else is told of incidents. For admins only."""

from __future__ import annotations

import secrets
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from c2c.auth import Principal
from c2c.errors import Forbidden, RoomNotFound
from c2c.http.envelope import caller, check, node_of, read_object, resource, success
from c2c.keys import MONITOR
from c2c.monitoring.webhooks import NewWebhook, Webhook, webhook_json
from c2c.notices import WebhookReport
from c2c.rooms.presence import being_opened
from c2c.times import iso8601, now_ms


async def list_webhooks(request: Request) -> Response:
    """`GET /api/webhooks`: `{webhooks, dropped}`, oldest first, secrets masked."""
    await _admin(request)
    dropped, reports = await node_of(request).store.notices.webhooks()
    return success({"webhooks": [_report_json(report) for report in reports], "dropped": dropped})


def _report_json(report: WebhookReport) -> dict[str, Any]:
    outcome = report.outcome or {"lastAttemptAt": None, "lastStatus": None, "lastError": ""}
    return {**webhook_json(report.webhook), **outcome, "pending": report.pending}


async def post_webhook(request: Request) -> Response:
    """`POST /api/webhooks {url, events?}`: 201 the webhook, with its secret this one time."""
    principal = await _admin(request)
    wanted = check(NewWebhook, await read_object(request))
    node = node_of(request)
    node.guard.check_url(wanted.url, "http")
    webhook = Webhook(
        webhook_id=secrets.token_hex(5),
        url=wanted.url,
        secret=secrets.token_hex(32),
        events=tuple(wanted.events),
        created_at=iso8601(now_ms()),
        created_by=principal.profile.user_id,
    )
    with being_opened():
        await node.store.notices.add_webhook(webhook)
    return success({**webhook_json(webhook), "secret": webhook.secret}, "webhook created", 201)


async def delete_webhook(request: Request) -> Response:
    """`DELETE /api/webhooks/{webhookId}`: `{webhookId}`; what is on its way to it is forgotten."""
    await _admin(request)
    webhook_id = request.path_params["webhook_id"]
    with being_opened():
        await node_of(request).store.notices.delete_webhook(webhook_id)
    return success({"webhookId": webhook_id})


async def test_webhook(request: Request) -> Response:
    """`POST /api/webhooks/{webhookId}/test`: `{ok, status, error}` of one delivery, sent at once."""
    await _admin(request)
    node = node_of(request)
    webhook = await node.store.notices.webhook(request.path_params["webhook_id"])
    outcome = await node.deliverer.test(webhook)
    return success({"ok": outcome.ok, "status": outcome.status, "error": outcome.error})


async def _admin(request: Request) -> Principal:
    """Raises what `caller` does, RoomNotFound for who may not see the monitor, Forbidden for who is no admin."""
    principal = await caller(request)
    if not principal.may_enter(MONITOR):
        raise RoomNotFound()
    if not principal.admin:
        raise Forbidden(reason="role admin is needed")
    return principal


routes = [
    resource("/api/webhooks", GET=list_webhooks, POST=post_webhook),
    resource("/api/webhooks/{webhook_id}", DELETE=delete_webhook),
    resource("/api/webhooks/{webhook_id}/test", POST=test_webhook),
]
