"""The scripts of maintenance windows, webhooks and deliveries: atomic with their events, leased, bounded."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from typing import Any

import pytest

from c2c.errors import BadValue, RoomNotFound, WebhookNotFound
from c2c.keys import MONITOR
from c2c.monitoring.webhooks import DEFAULT_EVENTS, Webhook, deliveries_for
from c2c.notices import WEBHOOKS_MAX, WINDOWS_MAX, ClaimedDelivery, Notices, Outcome
from c2c.rooms.monitor import Monitor
from c2c.times import iso8601
from tests.redis.world import NOW_MS, World

ALL = "room:all-endpoints"
LEASE_MS = 13_000
HOUR_MS, DAY_MS = 3_600_000, 86_400_000
OK, FAILED = Outcome(204), Outcome(503, "answered 503")


def window(window_id: str, from_ms: int = NOW_MS, **fields: Any) -> dict[str, Any]:
    times = {"start": iso8601(from_ms), "end": iso8601(from_ms + HOUR_MS)}
    return {"windowId": window_id, "title": "", "endpointIds": [], **times, **fields}


def hook(webhook_id: str, *events: str) -> Webhook:
    url = f"https://{webhook_id}.example/hook"
    return Webhook(webhook_id, url, "s" * 64, events or DEFAULT_EVENTS, "2026-01-01T00:00:00.000Z", "kim")


class Desk:
    """A node's view of windows and webhooks."""

    def __init__(self, world: World) -> None:
        self.world = world

    @property
    def notices(self) -> Notices:
        return self.world.store.notices

    async def put(self, *windows: dict[str, Any]) -> None:
        for each in windows:
            assert await self.notices.write_window(await self.notices.read(), each["windowId"], each)

    async def windows(self) -> set[str]:
        return {each["windowId"] for each in (await self.notices.read()).windows}

    async def add(self, *webhooks: Webhook) -> None:
        for each in webhooks:
            await self.notices.add_webhook(each)

    async def tell(self, number: int = 1, *webhooks: Webhook, at_ms: int | None = None) -> list[str]:
        """Tell of an incident; the ids of the deliveries that it causes."""
        told = {"incidentId": f"i{number}", "endpointId": "e1"}
        event = {"t": "incident:started", **told}
        now_ms = self.world.now_ms if at_ms is None else at_ms
        deliveries = deliveries_for(webhooks or (await self.notices.read()).webhooks, event, now_ms)
        await self.notices.tell("incident:started", told, deliveries)
        return [id_ for id_, _ in deliveries]

    async def claim(self, limit: int = 8, per_webhook: int = 2, busy: tuple[str, ...] = ()) -> list[ClaimedDelivery]:
        return (await self.notices.claim(LEASE_MS, limit, per_webhook, busy)).deliveries

    async def pending(self) -> dict[str, int]:
        _, reports = await self.notices.webhooks()
        return {report.webhook.webhook_id: report.pending for report in reports}

    def events(self, t: str) -> list[dict[str, Any]]:
        log = [json.loads(fields["e"]) for _, fields in self.world.redis.xrange(f"{ALL}:log")]
        return [event for event in log if event["t"] == t]

    def revision(self) -> int:
        return int(self.world.redis.hget(ALL, "revision") or 0)


@pytest.fixture
async def desk(world: World) -> Desk:
    await world.store.open_room(MONITOR, "monitor", "c2c", Monitor.retention, creator_joins=False)
    return Desk(world)


# Windows


async def test_a_window_is_written_and_told_in_one_step_and_the_revision_counts_it(desk: Desk) -> None:
    await desk.put(window("w1", title='점검 "밤"'))
    posted = await desk.notices.read()
    assert posted.windows == [window("w1", title='점검 "밤"')]
    assert (posted.now_ms, posted.revision) == (NOW_MS, 1)
    (event,) = desk.events("maintenance:changed")
    times = {"active": True, "nextStart": None, "nextEnd": iso8601(NOW_MS + HOUR_MS)}
    assert event["windows"] == [{**window("w1", title='점검 "밤"'), **times}]
    await desk.put(window("w2"))
    assert await desk.notices.write_window(await desk.notices.read(), "w1", None)
    assert await desk.windows() == {"w2"}
    assert desk.revision() == 3
    told = [{each["windowId"] for each in event["windows"]} for event in desk.events("maintenance:changed")]
    assert told == [{"w1"}, {"w1", "w2"}, {"w2"}]


async def test_who_decided_on_what_has_changed_since_writes_nothing(desk: Desk) -> None:
    stale = await desk.notices.read()
    await desk.put(window("w1"))
    before = desk.world.dump()
    assert not await desk.notices.write_window(stale, "w2", window("w2"))
    assert not await desk.notices.write_window(stale, "w1", None)
    assert desk.world.dump() == before


async def test_of_many_who_write_at_once_each_is_in_the_last_event(desk: Desk, other: World) -> None:
    async def write(notices: Notices, number: int) -> None:
        while not await notices.write_window(await notices.read(), f"w{number}", window(f"w{number}")):
            pass

    nodes = (desk.notices, other.store.notices)
    await asyncio.gather(*[write(nodes[number % 2], number) for number in range(20)])
    wanted = {f"w{number}" for number in range(20)}
    assert await desk.windows() == wanted
    told = [{each["windowId"] for each in event["windows"]} for event in desk.events("maintenance:changed")]
    assert [len(each) for each in told] == list(range(1, 21))
    assert told[-1] == wanted


async def test_a_one_off_window_is_forgotten_a_week_after_its_end_at_the_next_write(desk: Desk) -> None:
    weekly = {"days": ["mon"], "time": "01:00", "durationMinutes": 5, "zone": "Asia/Seoul"}
    always = {"windowId": "weekly", "title": '"end":"2001-01-01T00:00:00.000Z"', "endpointIds": [], **weekly}
    await desk.put(window("old"), window("later", NOW_MS + 1), always)
    desk.world.later(HOUR_MS + 7 * DAY_MS + 1)
    assert "old" in await desk.windows()
    await desk.put(window("new", desk.world.now_ms))
    assert await desk.windows() == {"later", "weekly", "new"}
    assert {each["windowId"] for each in desk.events("maintenance:changed")[-1]["windows"]} == await desk.windows()
    desk.world.later(1)
    assert await desk.notices.write_window(await desk.notices.read(), "new", None)
    assert await desk.windows() == {"weekly"}


async def test_a_window_that_would_be_forgotten_can_be_written_anew(desk: Desk) -> None:
    await desk.put(window("w1"))
    desk.world.later(9 * DAY_MS)
    await desk.put(window("w1", desk.world.now_ms))
    assert (await desk.notices.read()).windows == [window("w1", desk.world.now_ms)]


async def test_windows_are_bounded_in_number_and_in_bytes(desk: Desk) -> None:
    posted = await desk.notices.read()
    full = replace(posted, windows=[window(f"w{number}") for number in range(WINDOWS_MAX)])
    with pytest.raises(BadValue):
        await desk.notices.write_window(full, "one-more", window("one-more"))
    assert await desk.notices.write_window(full, "w0", window("w0", title="instead of itself"))
    big = [window(f"w{number}", endpointIds=[f"{number:064}"] * 100) for number in range(10)]
    await desk.put(*big[:9])
    with pytest.raises(BadValue):
        await desk.put(big[9])
    assert await desk.windows() == {f"w{number}" for number in range(9)}


async def test_without_the_room_nothing_is_written(world: World) -> None:
    notices = world.store.notices
    posted = await notices.read()
    assert (posted.revision, posted.windows, posted.webhooks) == (0, [], [])
    with pytest.raises(RoomNotFound):
        await notices.write_window(posted, "w1", window("w1"))
    with pytest.raises(RoomNotFound):
        await notices.add_webhook(hook("a"))
    with pytest.raises(RoomNotFound):
        await notices.delete_webhook("a")
    with pytest.raises(RoomNotFound):
        await notices.disable_webhook(hook("a"))
    with pytest.raises(RoomNotFound):
        await notices.tell("checker:suspect", {}, deliveries_for([hook("a")], {"t": "incident:started"}, NOW_MS))
    assert world.dump() == {}


# Webhooks


async def test_a_webhook_is_added_read_and_deleted_with_all_that_is_its(desk: Desk) -> None:
    await desk.add(hook("b"), hook("a"))
    assert {each.webhook_id for each in (await desk.notices.read()).webhooks} == {"a", "b"}
    assert await desk.notices.webhook("a") == hook("a")
    assert desk.revision() == 2
    await desk.tell()
    for each in await desk.claim():
        await desk.notices.settle(each, FAILED, 1_000)
    assert await desk.pending() == {"a": 1, "b": 1}
    await desk.notices.delete_webhook("a")
    assert await desk.pending() == {"b": 1}
    assert desk.revision() == 3
    assert list(desk.world.redis.hkeys(f"{ALL}:webhook-outcomes")) == ["b"]
    with pytest.raises(WebhookNotFound):
        await desk.notices.webhook("a")
    with pytest.raises(WebhookNotFound):
        await desk.notices.delete_webhook("a")
    assert desk.revision() == 3


async def test_webhooks_are_bounded(desk: Desk) -> None:
    await desk.add(*[hook(f"h{number}") for number in range(WEBHOOKS_MAX)])
    with pytest.raises(BadValue):
        await desk.add(hook("one-more"))
    assert len((await desk.notices.read()).webhooks) == WEBHOOKS_MAX


async def test_a_disabled_webhook_is_sent_nothing_more(desk: Desk) -> None:
    await desk.add(hook("a"), hook("b"))
    await desk.tell(1)
    await desk.notices.disable_webhook(hook("a"))
    assert await desk.pending() == {"a": 0, "b": 1}
    assert (await desk.notices.webhook("a")).disabled
    # A node that does not know yet makes one more; whoever claims it, forgets it.
    await desk.tell(2, hook("a"), hook("b"))
    assert {each.webhook.webhook_id for each in await desk.claim()} == {"b"}
    assert await desk.pending() == {"a": 0, "b": 2}


async def test_a_webhook_that_is_another_one_by_now_is_not_disabled(desk: Desk) -> None:
    await desk.add(hook("a"))
    await desk.notices.disable_webhook(replace(hook("a"), url="https://elsewhere.example/"))
    assert not (await desk.notices.webhook("a")).disabled
    assert desk.revision() == 1


# Deliveries


async def test_a_delivery_is_stored_with_its_event(desk: Desk) -> None:
    await desk.add(hook("a"), hook("b"), hook("c", "checker:suspect"))
    ids = await desk.tell()
    assert len(ids) == 2
    assert len(desk.events("incident:started")) == 1
    claimed = await desk.claim()
    assert [each.delivery_id for each in claimed] == sorted(ids)
    for each in claimed:
        assert each.attempt == 1
        assert each.webhook == hook(each.webhook.webhook_id)
        assert json.loads(each.body)["deliveryId"] == each.delivery_id
        assert json.loads(each.body)["data"] == {"incidentId": "i1", "endpointId": "e1"}


async def test_of_two_who_claim_at_once_one_gets_a_delivery(desk: Desk, other: World) -> None:
    await desk.add(*[hook(f"h{number}") for number in range(8)])
    ids = await desk.tell()
    mine, theirs = await asyncio.gather(desk.claim(limit=5), Desk(other).claim(limit=5))
    assert sorted(each.delivery_id for each in (*mine, *theirs)) == sorted(ids)
    assert await desk.claim() == []


async def test_what_a_dead_node_claimed_is_claimed_again_when_its_lease_ends_and_not_before(desk: Desk) -> None:
    await desk.add(hook("a"))
    await desk.tell()
    (first,) = await desk.claim()
    desk.world.later(LEASE_MS - 1)
    claims = await desk.notices.claim(LEASE_MS, 8, 2, ())
    assert (claims.deliveries, claims.wait_ms) == ([], 1)
    desk.world.later(1)
    (second,) = await desk.claim()
    assert (second.delivery_id, second.attempt) == (first.delivery_id, 2)
    assert second.body == first.body


async def test_only_the_last_attempt_counts(desk: Desk) -> None:
    await desk.add(hook("a"))
    await desk.tell()
    (first,) = await desk.claim()
    desk.world.later(LEASE_MS)
    (second,) = await desk.claim()
    before = desk.world.dump()
    assert not await desk.notices.settle(first, OK, None)
    assert not await desk.notices.settle(first, FAILED, 1)
    assert desk.world.dump() == before
    assert await desk.notices.settle(second, OK, None)
    assert not await desk.notices.settle(second, FAILED, 1)
    assert await desk.pending() == {"a": 0}


async def test_a_failed_delivery_is_due_again_after_its_wait(desk: Desk) -> None:
    await desk.add(hook("a"))
    (id_,) = await desk.tell()
    (first,) = await desk.claim()
    assert await desk.notices.settle(first, FAILED, 10_000)
    claims = await desk.notices.claim(LEASE_MS, 8, 2, ())
    assert (claims.deliveries, claims.wait_ms) == ([], 10_000)
    desk.world.later(10_000)
    (second,) = await desk.claim()
    assert (second.delivery_id, second.attempt) == (id_, 2)


async def test_the_last_outcome_stands_with_the_webhook(desk: Desk) -> None:
    await desk.add(hook("a"))
    assert [report.outcome for report in (await desk.notices.webhooks())[1]] == [None]
    await desk.tell()
    (first,) = await desk.claim()
    await desk.notices.settle(first, Outcome(None, 'no "answer"'), 1_000)
    (report,) = (await desk.notices.webhooks())[1]
    expected: dict[str, Any] = {"lastAttemptAt": iso8601(NOW_MS), "lastStatus": None, "lastError": 'no "answer"'}
    assert (report.outcome, report.pending) == (expected, 1)
    desk.world.later(1_000)
    (second,) = await desk.claim()
    await desk.notices.settle(second, OK, None)
    (report,) = (await desk.notices.webhooks())[1]
    expected = {"lastAttemptAt": iso8601(NOW_MS + 1_000), "lastStatus": 204, "lastError": ""}
    assert (report.outcome, report.pending) == (expected, 0)


async def test_what_comes_of_an_attempt_at_a_deleted_webhook_is_written_nowhere(desk: Desk) -> None:
    await desk.add(hook("a"))
    await desk.tell()
    (claimed,) = await desk.claim()
    await desk.notices.delete_webhook("a")
    before = desk.world.dump()
    assert not await desk.notices.settle(claimed, OK, None)
    assert desk.world.dump() == before


async def test_a_webhook_gets_no_more_at_a_time_than_it_may(desk: Desk) -> None:
    await desk.add(hook("a"), hook("b"))
    for number in range(4):
        await desk.tell(number)
        desk.world.later(1)
    claimed = await desk.claim()
    assert sorted(each.webhook.webhook_id for each in claimed) == ["a", "a", "b", "b"]
    assert [json.loads(each.body)["data"]["incidentId"] for each in claimed] == ["i0", "i0", "i1", "i1"]
    assert [each.webhook.webhook_id for each in await desk.claim(busy=("a", "a", "b"))] == ["b"]
    assert [each.webhook.webhook_id for each in await desk.claim(limit=1, busy=("b",))] in (["a"], ["b"])


async def test_a_slow_receiver_s_thousands_do_not_hide_another_s_one(desk: Desk) -> None:
    await desk.add(hook("slow"), hook("swift"))
    for number in range(1_050):
        await desk.tell(number, hook("slow"))
    desk.world.later(1)
    (wanted,) = await desk.tell(1, hook("swift"))
    assert [each.delivery_id for each in await desk.claim(busy=("slow", "slow"))] == [wanted]


async def test_what_is_for_a_webhook_that_is_gone_is_forgotten_when_it_is_due(desk: Desk) -> None:
    await desk.add(hook("a"))
    await desk.tell(1, hook("a"), hook("gone"))
    assert [each.webhook.webhook_id for each in await desk.claim()] == ["a"]
    assert desk.world.redis.zcard(f"{ALL}:deliveries") == 1
    assert desk.world.redis.hlen(f"{ALL}:delivery-bodies") == 1


async def test_the_same_delivery_is_added_once(desk: Desk) -> None:
    await desk.add(hook("a"))
    await desk.tell()
    (first,) = await desk.claim()
    assert await desk.tell() == [first.delivery_id]
    assert await desk.pending() == {"a": 1}
    desk.world.later(LEASE_MS)
    (second,) = await desk.claim()
    assert second.attempt == 2


async def test_when_there_are_too_many_the_oldest_make_room_and_are_counted(desk: Desk) -> None:
    await desk.add(hook("a"))
    redis = desk.world.redis
    ids = [f"{NOW_MS - 20_000 + number:013}-{number:016x}-a" for number in range(10_000)]
    # The oldest are due last: what has failed for long waits for long.
    redis.zadd(f"{ALL}:deliveries", {id_: NOW_MS + 50_000 - number for number, id_ in enumerate(ids)})
    redis.hset(f"{ALL}:delivery-bodies", mapping=dict.fromkeys(ids, "3 {}"))
    (new,) = await desk.tell()
    kept = set(redis.zrange(f"{ALL}:deliveries", 0, -1))
    assert kept == {*ids[100:], new}
    assert set(redis.hkeys(f"{ALL}:delivery-bodies")) == {*kept, "dropped"}
    assert (await desk.notices.webhooks())[0] == 100
    assert await desk.pending() == {"a": 9_901}
    for number in range(2, 101):
        await desk.tell(number)
    assert redis.zcard(f"{ALL}:deliveries") == 10_000
    await desk.tell(101)
    assert redis.zcard(f"{ALL}:deliveries") == 9_901
    assert (await desk.notices.webhooks())[0] == 200
