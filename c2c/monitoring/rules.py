"""What a node must know to judge a check: maintenance windows and webhooks. Read anew when Redis says they changed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from c2c.monitoring.webhooks import Webhook, deliveries_for
from c2c.monitoring.windows import Windows
from c2c.notices import Notices


class Rules:
    """A node's copy. `refresh` before a check is judged."""

    def __init__(self, notices: Notices) -> None:
        self._notices = notices
        self._revision: int | None = None
        self._windows = Windows()
        self._webhooks: Sequence[Webhook] = ()

    async def refresh(self, revision: int) -> None:
        """Read both again unless this is the revision that is known. 1 round trip."""
        if revision != self._revision:
            await self.read()

    async def read(self) -> int:
        """Read both again, as who claims no checks must before an edit. Returns the Redis clock in ms. 1 round trip."""
        posted = await self._notices.read()
        self._windows, self._webhooks = Windows(posted.windows), posted.webhooks
        self._revision = posted.revision
        return posted.now_ms

    def in_maintenance(self, endpoint_id: str, now_ms: int) -> bool:
        """Whether incidents of the endpoint are held back. `now_ms`: of the Redis clock."""
        return self._windows.active_for(endpoint_id, now_ms)

    def deliveries(self, events: Sequence[tuple[str, Mapping[str, Any]]], now_ms: int) -> list[tuple[str, bytes]]:
        """What webhooks are to be sent of these events: ids and bodies."""
        if not self._webhooks:
            return []
        return [
            delivery for t, fields in events for delivery in deliveries_for(self._webhooks, {"t": t, **fields}, now_ms)
        ]
