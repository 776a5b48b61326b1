"""What was found of endpoints over time, in Redis, as typed methods: results, hours and days. The rest is `c2c.store`.

What it means is `c2c.monitoring.history`; `lua/include/history.lua` writes it, with each commit of `c2c.monitors`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, cast

from c2c.calls import ScriptClock
from c2c.keys import Keys
from c2c.monitoring.history import WINDOWS, Bucket, Column, Measured, merge, parse_bucket
from c2c.monitoring.results import Status
from c2c.monitors import StoredResult, stored_result
from c2c.pipeline import Pipeline, Reply
from c2c.scripts import load_scripts

_PAGE: Final = 1_000


@dataclass(frozen=True, slots=True)
class Newest:
    """The newest results, newest last, and what the last 24 hours come to."""

    results: list[StoredResult]
    day: Bucket


class Histories:
    """What a node asks of Redis about the past. Calling sends, awaiting reads, as `c2c.store.Store`."""

    def __init__(self, pipeline: Pipeline, keys: Keys, clock: ScriptClock) -> None:
        self._pipeline = pipeline
        self._keys = keys
        self._clock = clock
        self._scripts = load_scripts()

    def newest(self, endpoint_id: str, limit: int) -> Reply[Newest]:
        """The newest results of an endpoint; none of one that does not exist. 1 round trip, O(limit)."""

        def read(reply: Any) -> Newest:
            _, entries, hours = reply
            day = merge(parse_bucket(hour) for hour in hours if hour is not None)
            return Newest([stored_result(entry) for entry in reversed(entries)], day)

        return self._pipeline.script(
            self._scripts["results_read"],
            {column: self._keys.endpoint(endpoint_id, column) for column in ("results", "hours")},
            {"clock": self._clock.now, "limit": limit, "count": WINDOWS["day"]},
            read,
        )

    def buckets(self, endpoint_id: str, column: Column, names: Sequence[str]) -> Reply[dict[str, Bucket]]:
        """Hours or days by name, those that there are. 1 round trip, O(names)."""

        def read(reply: list[bytes | None]) -> dict[str, Bucket]:
            found = zip(names, reply, strict=True)
            return {name: parse_bucket(text) for name, text in found if text is not None}

        # HMGET wants a name.
        key = self._keys.endpoint(endpoint_id, column)
        return self._pipeline.command("HMGET", key, *(names or ("",)), read=lambda reply: read(reply[: len(names)]))

    async def since(self, endpoint_id: str, from_ms: int) -> list[Measured]:
        """All results since a moment, oldest first. A round trip for each thousand, O(results)."""
        key = self._keys.endpoint(endpoint_id, "results")
        found: list[Measured] = []
        start = str(from_ms)
        while True:
            page = await self._pipeline.command("XRANGE", key, start, "+", "COUNT", _PAGE, read=_read_page)
            found += [measured for _, measured in page]
            if len(page) < _PAGE:
                return found
            start = f"({page[-1][0]}"


def _read_page(entries: list[tuple[bytes, list[bytes]]]) -> list[tuple[str, Measured]]:
    page = []
    for id_, (_, status, _, ms, *_) in entries:
        at_ms = int(id_.partition(b"-")[0])
        page.append((id_.decode(), Measured(at_ms, cast(Status, status.decode()), int(ms) if ms else None)))
    return page
