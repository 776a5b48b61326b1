"""What the tests of scripts are made of: a store with a clock that the test sets."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import redis as redis_sync

from c2c.events import Position, event_text
from c2c.keys import Keys
from c2c.metrics import Metrics
from c2c.pipeline import Pipeline
from c2c.settings import Settings
from c2c.store import HistoryPage, Joined, LogPage, Renewed, Retention, Store
from c2c.users import Profile

NOW_MS = 1_767_323_045_678  # 2026-01-02T03:04:05.678Z
LEASE_MS, GRACE_MS, CREATOR_LEASE_MS = 34_000, 10_000, 60_000
MEMBER_TTL_MS = 2 * CREATOR_LEASE_MS
CHAT = Retention(log_events=10_000, room_ttl_s=86_400)
KIM, LEE = Profile("kim", "Kim", "https://example.org/kim.png"), Profile("홍", "홍길동", "")


def connect(port: int) -> Any:
    """A client whose answers are text. Its types do not know that, hence Any."""
    return redis_sync.Redis(port=port, decode_responses=True)


class World:
    """A store with a clock of its own, and what Redis holds and publishes meanwhile."""

    def __init__(self, port: int, keys: Keys | None = None) -> None:
        self.port = port
        self.redis = connect(port)
        self._ears = self.redis.pubsub(ignore_subscribe_messages=True)
        self._ears.subscribe("chan:r")
        self._ears.get_message(timeout=5)
        settings = Settings(redis_url=f"redis://127.0.0.1:{port}", node_id="n1", redis_timeout_s=30)
        self.pipeline = Pipeline(settings, Metrics())
        self.store = Store(self.pipeline, keys or Keys(), settings, NOW_MS)
        self.now_ms = NOW_MS

    def later(self, ms: int) -> None:
        self.now_ms += ms
        self.store.set_clock(self.now_ms)

    def heard(self) -> list[str]:
        """What was published to the room since the last time."""
        self.redis.publish("chan:r", "fence")
        payloads: list[str] = []
        while True:
            message = self._ears.get_message(timeout=5)
            if message is None or message["data"] == "fence":
                assert message is not None
                return payloads
            payloads.append(message["data"])

    def log(self) -> list[dict[str, Any]]:
        """The events in the room's log."""
        return [json.loads(fields["e"]) for _, fields in self.redis.xrange("room:r:log")]

    def happened(self) -> list[tuple[str, str]]:
        """Type and user of the events in the log."""
        return [(event["t"], event.get("userId", "")) for event in self.log()]

    def members(self) -> set[str]:
        found: set[str] = self.redis.smembers("room:r:members")
        return found

    def dump(self) -> dict[str, Any]:
        """All that Redis holds, but for times to live."""
        read: dict[str, Callable[[str], Any]] = {
            "hash": self.redis.hgetall,
            "set": self.redis.smembers,
            "zset": lambda key: self.redis.zrange(key, 0, -1, withscores=True),
            "stream": self.redis.xrange,
            "string": self.redis.get,
            "list": lambda key: self.redis.lrange(key, 0, -1),
        }
        return {key: read[self.redis.type(key)](key) for key in self.redis.scan_iter()}

    async def open(self, creator: str = "kim", **options: Any) -> Position:
        return await self.store.open_room("r", "chat", creator, CHAT, **options)

    async def open_empty(self) -> Position:
        return await self.open(creator_joins=False)

    async def join(self, profile: Profile = KIM, connection: str = "c1") -> Joined:
        return await self.store.join("r", profile, connection)

    async def say(self, text: str = "hi", **options: Any) -> Position:
        whole = {"member": None, "sender": "kim", "command_id": None, "history": True} | options
        return await self.store.append("r", event_text("r", "msg", {"text": text}), **whole)

    async def renew(self, *leases: str) -> Renewed:
        return await self.store.renew("r", leases)

    async def read_log(self, after: int = 0, limit: int = 1000) -> LogPage:
        return await self.store.read_log("r", after, limit)

    async def history(self, before: int = 2**53, limit: int = 50) -> HistoryPage:
        return await self.store.read_history("r", before, limit)
