"""What a node says of its users, and when, with the Redis that hears it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import pytest

from c2c.errors import RoomNotFound, ServiceUnavailable
from c2c.keys import Keys
from c2c.leases import TICK_S
from c2c.metrics import Metrics
from c2c.pipeline import Pipeline, Reply
from c2c.rooms.presence import HOME, update_status
from c2c.scripts import Script
from c2c.settings import Settings
from c2c.signed_in import SignedIn
from c2c.store import Store
from c2c.users import Change, Profile, Told
from tests.redis.world import KIM, LEE, NOW_MS, connect
from tests.support import eventually

ROOMS = ("tea", "coffee", "milk")

real_only = pytest.mark.parametrize("port", ["real"], indirect=True)


class Recorder(Pipeline):
    """A pipeline that notes the scripts that are sent, and the values behind their named arguments."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings, Metrics())
        self.sent: list[tuple[str, list[Any]]] = []

    def script(
        self, script: Script, keys: Any, arguments: Any, read: Any, rest: Any = (), more_keys: Any = ()
    ) -> Reply[Any]:
        rest = list(rest)
        self.sent.append((script.name, rest))
        return super().script(script, keys, arguments, read, rest, more_keys)

    def changes(self) -> list[list[tuple[str, str, str]]]:
        """What, user and connection of the changes in each call that was sent."""
        calls = [rest for name, rest in self.sent if name == "presence_change"]
        return [list(zip(rest[::5], rest[1::5], rest[2::5], strict=True)) for rest in calls]


class Node:
    """A node's part that is about users, its clock set by the test; `ticks` renews as the node would."""

    def __init__(self, port: int, node_id: str) -> None:
        self.redis = connect(port)
        self._ears = self.redis.pubsub(ignore_subscribe_messages=True)
        self._ears.subscribe(f"chan:{HOME}", *[f"chan:{room_id}" for room_id in ROOMS])
        for _ in range(1 + len(ROOMS)):
            self._ears.get_message(timeout=5)
        self.settings = Settings(redis_url=f"redis://127.0.0.1:{port}", node_id=node_id, redis_timeout_s=30)
        self.pipeline = Recorder(self.settings)
        self.store = Store(self.pipeline, Keys(), self.settings, NOW_MS)
        self.signed_in = SignedIn(self.settings, self.store, TICK_S)
        self.now_ms = NOW_MS
        self._tick = 0

    def later(self, ms: int) -> None:
        self.now_ms += ms
        self.store.set_clock(self.now_ms)

    async def ticks(self, count: int = 1) -> Told | None:
        told: Told | None = None
        for _ in range(count):
            self._tick += 1
            told = await self.signed_in.renew(self._tick)
        return told

    async def under_way(self) -> None:
        """A call has been sent and not been answered yet."""
        while not self.pipeline.sent:
            await asyncio.sleep(0)

    async def settled(self) -> None:
        """Everything that was waiting has been carried out, and nothing is under way."""
        await eventually(lambda: self.signed_in._flushing is None and not self.signed_in._tasks)

    def heard(self) -> list[dict[str, Any]]:
        """The events published since the last time."""
        fence = f"fence of {self.settings.node_id}"
        self.redis.publish(f"chan:{HOME}", fence)
        found: list[dict[str, Any]] = []
        while True:
            message = self._ears.get_message(timeout=5)
            assert message is not None
            if message["data"] == fence:
                return found
            if not message["data"].startswith("fence"):
                found.append(json.loads(message["data"]))

    def told_of(self) -> list[tuple[str, str, int]]:
        """User, status and number of connections in the events of the home, in order."""
        return [
            (user["userId"], user["status"], user["connections"])
            for event in self.heard()
            if event["roomId"] == HOME
            for user in event["users"]
        ]

    def told_rooms(self) -> list[tuple[str, str, str]]:
        """Room, user and status in the events of the other rooms, sorted."""
        events = [event for event in self.heard() if event["roomId"] != HOME]
        return sorted((event["roomId"], event["userId"], event["status"]) for event in events)

    async def seen(self, user_id: str) -> tuple[str, str | None, int]:
        """Status, room and number of connections of a user."""
        user = json.loads((await self.store.users.look(HOME, [user_id]))[0])
        return user["status"], user["roomId"], user["connections"]

    def leases(self) -> dict[str, float]:
        return dict(self.redis.zrange(f"room:{HOME}:signed-in", 0, -1, withscores=True))


@asynccontextmanager
async def running(port: int, node_id: str) -> AsyncIterator[Node]:
    node = Node(port, node_id)
    await node.pipeline.start()
    await node.signed_in.start()
    await node.ticks()
    node.pipeline.sent.clear()
    node.heard()
    try:
        yield node
    finally:
        await node.signed_in.aclose()
        await node.pipeline.aclose()
        node._ears.close()
        node.redis.close()


@pytest.fixture
async def node(port: int) -> AsyncIterator[Node]:
    async with running(port, "n1") as node:
        yield node


@pytest.fixture
async def other(port: int, node: Node) -> AsyncIterator[Node]:
    """Another node on the same Redis."""
    async with running(port, "n2") as other:
        yield other


@pytest.fixture
async def full(node: Node) -> AsyncIterator[Callable[[bool], None]]:
    """Fills Redis up, and makes room again."""

    def switch(full: bool) -> None:
        node.redis.config_set("maxmemory", "1" if full else "0")

    yield switch
    switch(False)


# Together, and in order


async def test_the_room_is_there_from_the_start_and_once(node: Node, other: Node) -> None:
    room = node.redis.hgetall(f"room:{HOME}")
    assert (room["kind"], room["creator"], room["ttl"]) == ("presence", "c2c", "0")
    await other.signed_in.start()
    assert node.redis.hget(f"room:{HOME}", "epoch") == room["epoch"]


async def test_when_an_arrival_is_done_redis_knows(node: Node) -> None:
    arrived = node.signed_in.arrive(KIM, "c1")
    assert not arrived.done()
    await arrived
    assert await node.seen("kim") == ("online", None, 1)
    assert node.redis.hget("user:kim:session", "username") == "Kim"
    assert node.redis.get("user:kim:presence") == "online"


async def test_a_wave_travels_in_one_call(node: Node) -> None:
    people = [Profile(f"u{n}", f"u{n}", "") for n in range(100)]
    await asyncio.gather(*[node.signed_in.arrive(profile, "c1") for profile in people])
    assert [name for name, _ in node.pipeline.sent] == ["users_touch", "presence_change"]
    assert node.pipeline.changes() == [[("arrive", profile.user_id, "c1") for profile in people]]


async def test_what_comes_while_a_call_is_under_way_waits_and_keeps_its_order(node: Node) -> None:
    first = node.signed_in.arrive(KIM, "c1")
    await node.under_way()
    second = node.signed_in.arrive(LEE, "c2")
    node.signed_in.entered("kim", "c1", "tea")
    gone = node.signed_in.depart("홍", "c2", dropped=False)
    again = node.signed_in.arrive(LEE, "c3")
    assert not first.done()
    await asyncio.gather(first, second, gone, again)
    assert node.pipeline.changes() == [
        [("arrive", "kim", "c1")],
        [("arrive", "홍", "c2"), ("place", "kim", ""), ("leave", "홍", "c2"), ("arrive", "홍", "c3")],
    ]
    assert (await node.seen("kim"), await node.seen("홍")) == (("online", "tea", 1), ("online", None, 1))
    await node.settled()
    assert node.redis.get("user:홍:presence") == "online"


async def test_at_most_five_hundred_changes_are_in_a_call(node: Node) -> None:
    people = [Profile(f"u{n:04}", "x", "") for n in range(1100)]
    await asyncio.gather(*[node.signed_in.arrive(profile, "c1") for profile in people])
    assert [len(call) for call in node.pipeline.changes()] == [500, 500, 100]
    names = [user_id for call in node.pipeline.changes() for _, user_id, _ in call]
    assert names == [profile.user_id for profile in people]


async def test_who_chose_a_status_before_arrives_with_it(node: Node) -> None:
    await node.store.users.choose("kim", "busy")
    await asyncio.gather(node.signed_in.arrive(LEE, "c1"), node.signed_in.arrive(KIM, "c1"))
    assert node.told_of() == [("kim", "busy", 1), ("홍", "online", 1)]


async def test_a_status_chosen_in_the_same_breath_as_signing_in_is_seen(node: Node) -> None:
    """It is carried out before the user is there to be seen with it, and after their last choice was looked up."""
    arrived = node.signed_in.arrive(KIM, "c1")
    await node.under_way()
    await update_status(node.store, "kim", "busy")
    await arrived
    await node.settled()
    assert (await node.seen("kim"))[0] == "busy"
    assert node.redis.get("user:kim:presence") == "busy"


async def test_closing_fails_who_still_waits(port: int) -> None:
    async with running(port, "n1") as node:
        under_way = node.signed_in.arrive(KIM, "c1")
        await node.under_way()
        waiting = node.signed_in.arrive(LEE, "c1")
        await node.signed_in.aclose()
    for arrived in (under_way, waiting):
        with pytest.raises(ServiceUnavailable):
            await arrived


# Going


async def test_a_clean_end_is_told_at_once_and_a_drop_after_the_grace_period(node: Node) -> None:
    for connection, dropped in (("c1", False), ("c2", True)):
        await node.signed_in.arrive(KIM, connection)
        node.heard()
        await node.signed_in.depart("kim", connection, dropped=dropped)
        if dropped:
            node.later(9999)
            await node.ticks(40)
            assert node.heard() == []
            node.later(1)
            await node.ticks()
        assert node.told_of() == [("kim", "offline", 0)]
        await node.ticks(100)
        await node.settled()
        assert node.redis.exists("user:kim:presence") == 0, "nor does a renewal bring it back"


async def test_three_tabs_on_two_nodes_are_one_person(node: Node, other: Node) -> None:
    await node.signed_in.arrive(KIM, "c1")
    await node.signed_in.arrive(KIM, "c2")
    await other.signed_in.arrive(KIM, "c3")
    for signed_in, connection in ((node.signed_in, "c1"), (other.signed_in, "c3")):
        await signed_in.depart("kim", connection, dropped=False)
    assert [status for _, status, _ in node.told_of()] == ["online"] * 5
    await node.signed_in.depart("kim", "c2", dropped=False)
    assert node.told_of() == [("kim", "offline", 0)]


async def test_departing_twice_or_never_having_come_changes_nothing(node: Node) -> None:
    await node.signed_in.arrive(KIM, "c1")
    node.heard()
    await node.signed_in.depart("kim", "c9", dropped=False)
    await node.signed_in.depart("홍", "c1", dropped=True)
    assert node.heard() == []
    assert await node.seen("kim") == ("online", None, 1)


async def test_who_beats_without_a_connection_is_there_for_a_lease(node: Node) -> None:
    for _ in range(3):
        await node.signed_in.beat(KIM)
        assert await node.seen("kim") == ("online", None, 1)
        node.later(32_999)
        assert (await node.ticks()) is not None
    assert node.told_of() == [("kim", "online", 1)]
    node.later(1)
    await node.ticks()
    assert node.told_of() == [("kim", "offline", 0)]


# Renewing


async def test_every_lease_is_renewed_in_each_round_and_every_user_touched_in_time(node: Node) -> None:
    people = [Profile(f"u{n}", "x", "") for n in range(300)]
    await asyncio.gather(*[node.signed_in.arrive(profile, f"c{n % 2}") for n, profile in enumerate(people)])
    node.later(1000)
    node.pipeline.sent.clear()
    round_ticks = round(node.settings.presence_renew_interval_s / TICK_S)
    await node.ticks(round_ticks)
    assert set(node.leases().values()) == {node.now_ms + 33_000}
    renewals = [rest for name, rest in node.pipeline.sent if name == "presence_renew"]
    assert len(renewals) == round_ticks
    assert sorted(lease for rest in renewals for lease in rest) == sorted(
        f"u{n}/c{n % 2}" for n in range(300)
    ), "each once"  # fmt: skip
    assert max(len(rest) for rest in renewals) < 60, "a little all the time"
    ttl_ticks = round(node.settings.presence_ttl_s / 3 / TICK_S)
    await node.ticks(ttl_ticks - round_ticks)
    seen = {node.redis.hget(f"user:{profile.user_id}:session", "lastSeen") for profile in people}
    assert seen == {str(node.now_ms)}


async def test_a_fresh_profile_is_the_one_that_is_renewed(node: Node) -> None:
    """A refreshed token may carry another name: renewals write the profile anew and must not bring the old one back."""
    await node.signed_in.arrive(Profile("kim", "Old", ""), "c1")
    fresh = Profile("kim", "New", "x")
    await node.signed_in.arrive(fresh, "c1")
    await node.ticks(100)
    assert await node.store.users.session("kim") == fresh
    node.redis.delete(f"room:{HOME}:signed-in")
    await node.ticks(100)
    await node.settled()
    assert [event["username"] for event in node.heard()] == ["Old", "New", "New"]


async def test_who_was_swept_and_is_here_is_back_with_their_room(node: Node, other: Node) -> None:
    """A node that was stopped, and a survivor that swept its users."""
    await asyncio.gather(node.signed_in.arrive(KIM, "c1"), node.signed_in.arrive(KIM, "c2"))
    node.signed_in.entered("kim", "c1", "tea")
    await node.settled()
    node.heard()
    for each in (node, other):
        each.later(33_000)
    await other.ticks()
    assert node.told_of() == [("kim", "offline", 0)]
    await other.settled()
    assert node.redis.exists("user:kim:presence") == 0
    await node.ticks(100)
    await node.settled()
    assert await node.seen("kim") == ("online", "tea", 2)
    assert node.redis.get("user:kim:presence") == "online"
    await node.signed_in.depart("kim", "c1", dropped=False)
    await node.signed_in.depart("kim", "c2", dropped=False)
    assert (await node.seen("kim"))[0] == "offline"


async def test_who_has_gone_meanwhile_is_not_brought_back(node: Node, other: Node) -> None:
    await asyncio.gather(node.signed_in.arrive(KIM, "c1"), node.signed_in.arrive(KIM, "c2"))
    for each in (node, other):
        each.later(33_000)
    await other.ticks()
    slots = len(node.signed_in._slots)
    renewing = [asyncio.ensure_future(node.signed_in.renew(tick)) for tick in range(slots)]
    while len(node.pipeline.sent) < slots:
        await asyncio.sleep(0)
    await node.signed_in.depart("kim", "c1", dropped=False)
    await asyncio.gather(*renewing)
    await node.settled()
    assert list(node.leases()) == ["kim/c2"]


async def test_above_two_hundred_the_rest_is_told_in_the_next_second_without_anybody_asking(node: Node) -> None:
    people = [Profile(f"u{n:03}", "x", "") for n in range(201)]
    await asyncio.gather(*[node.signed_in.arrive(profile, "c1") for profile in people])
    assert len(node.told_of()) == 201
    await update_status(node.store, "u000", "busy")
    assert node.told_of() == []
    node.later(1000)
    told: list[tuple[str, str, int]] = []

    def heard() -> bool:
        told.extend(node.told_of())
        return bool(told)

    await eventually(heard, 5)
    assert told == [("u000", "busy", 1)]
    told.clear()
    await update_status(node.store, "u001", "away")
    await update_status(node.store, "u002", "away")
    node.later(1000)
    await eventually(heard, 5)
    assert told == [("u001", "away", 1), ("u002", "away", 1)]


# What Redis lost or refused


@real_only
async def test_arrivals_that_redis_refuses_fail_and_everybody_is_announced_anew(
    node: Node, full: Callable[[bool], None]
) -> None:
    await node.signed_in.arrive(KIM, "c1")
    node.signed_in.entered("kim", "c1", "tea")
    await node.settled()
    full(True)
    arrived = node.signed_in.arrive(LEE, "c1")
    with pytest.raises(ServiceUnavailable) as refused:
        await arrived
    assert refused.value.retry_after_ms is not None
    await node.signed_in.depart("kim", "nobody's", dropped=False)
    with pytest.raises(ServiceUnavailable):
        await node.ticks(100)
    full(False)
    node.redis.delete(f"room:{HOME}:signed-in", f"room:{HOME}:connections", f"room:{HOME}:places")
    node.pipeline.sent.clear()
    await node.ticks()
    await node.settled()
    assert await node.seen("kim") == ("online", "tea", 1)
    assert await node.seen("홍") == ("online", None, 1)
    announced = [change for call in node.pipeline.changes() for change in call]
    await node.ticks(100)
    await node.settled()
    assert [change for call in node.pipeline.changes() for change in call] == announced, "once"


@real_only
async def test_a_failure_holds_up_nothing_that_came_meanwhile(node: Node) -> None:
    node.redis.set("user:kim:session", "no hash")
    kim = node.signed_in.arrive(KIM, "c1")
    await node.under_way()
    lee = node.signed_in.arrive(LEE, "c1")
    with pytest.raises(ServiceUnavailable):
        await kim
    await lee
    assert (await node.seen("홍"))[0] == "online"
    node.redis.delete("user:kim:session")
    await node.ticks()
    await node.settled()
    assert (await node.seen("kim"))[0] == "online"


async def lose_home(node: Node) -> None:
    keys = [key for key in node.redis.scan_iter() if key.startswith(f"room:{HOME}")]
    node.redis.delete(*keys)
    with pytest.raises(RoomNotFound):
        await node.seen("kim")


async def test_a_lost_room_is_opened_again_by_who_comes_and_everybody_is_there_again(node: Node) -> None:
    await asyncio.gather(node.signed_in.arrive(KIM, "c1"), node.signed_in.arrive(KIM, "c2"))
    node.signed_in.entered("kim", "c1", "tea")
    await node.settled()
    await update_status(node.store, "kim", "away")
    await lose_home(node)
    beating = asyncio.ensure_future(node.signed_in.beat(Profile("bot", "Bot", "")))
    await asyncio.sleep(0)
    await asyncio.gather(beating, node.signed_in.arrive(LEE, "c1"))
    assert [(await node.seen(name))[0] for name in ("홍", "bot")] == ["online", "online"], "done is done"
    await node.settled()
    assert await node.seen("kim") == ("away", "tea", 2)
    assert sorted(node.leases()) == ["bot/heartbeat", "kim/c1", "kim/c2", "홍/c1"]


async def test_a_lost_room_is_opened_again_by_a_renewal_and_everybody_is_there_again(node: Node, other: Node) -> None:
    await node.signed_in.arrive(KIM, "c1")
    node.signed_in.entered("kim", "c1", "tea")
    await node.settled()
    await other.signed_in.arrive(LEE, "c1")
    former = node.redis.hget(f"room:{HOME}", "epoch")
    await lose_home(node)
    assert await node.ticks() is None
    await node.settled()
    assert await node.seen("kim") == ("online", "tea", 1)
    assert node.redis.hget(f"room:{HOME}", "epoch") != former
    told = await other.ticks(100)
    await other.settled()
    assert told is not None
    assert await node.seen("홍") == ("online", None, 1)


async def test_who_comes_and_goes_while_a_call_is_under_way_can_come_again(node: Node) -> None:
    arriving = node.signed_in.arrive(KIM, "c1")
    while "presence_change" not in {name for name, _ in node.pipeline.sent}:
        await asyncio.sleep(0)
    leaving = node.signed_in.depart("kim", "c1", dropped=True)
    again = node.signed_in.arrive(KIM, "c2")
    await asyncio.gather(arriving, leaving, again)
    await node.settled()
    await node.signed_in.arrive(KIM, "c3")
    assert await node.seen("kim") == ("online", None, 2)


async def test_a_redis_that_lost_everything_is_told_who_is_idle(node: Node) -> None:
    await node.signed_in.arrive(KIM, "c1")
    await node.store.users.idle(HOME, "kim", "c1", True)
    assert await node.seen("kim") == ("away", None, 1)
    node.redis.flushall()
    assert await node.ticks() is None
    await node.settled()
    assert await node.seen("kim") == ("away", None, 1)


async def test_rooms_are_told_of_who_is_idle_also_by_another_node(node: Node, other: Node) -> None:
    await asyncio.gather(node.signed_in.arrive(KIM, "c1"), other.signed_in.arrive(KIM, "c2"))
    other.signed_in.entered("kim", "c2", "tea")
    await other.settled()
    ears = node.redis.pubsub(ignore_subscribe_messages=True)
    ears.subscribe("chan:tea")
    assert ears.get_message(timeout=5) is None
    await node.store.users.idle(HOME, "kim", "c1", True)
    await other.store.users.idle(HOME, "kim", "c2", True)
    await other.settled()
    await node.store.users.idle(HOME, "kim", "c1", False)
    await other.ticks(100)
    await other.settled()
    told = [json.loads(message["data"])["status"] for message in iter(lambda: ears.get_message(timeout=0.5), None)]
    assert told == ["away", "online"]
    ears.close()


async def test_a_redis_that_lost_everything_does_not_show_who_was_hidden(node: Node) -> None:
    await asyncio.gather(node.signed_in.arrive(KIM, "c1"), node.signed_in.arrive(LEE, "c1"))
    await node.store.users.change(HOME, [Change("status", "kim", "", "offline")])
    await node.store.users.choose("kim", "offline")
    node.redis.flushall()
    node.heard()
    assert await node.ticks() is None
    await node.settled()
    assert await node.seen("홍") == ("online", None, 1)
    assert await node.seen("kim") == ("offline", None, 0)
    assert "kim" not in {event["userId"] for event in node.heard()}


async def test_a_node_that_started_without_redis_announces_everybody(port: int) -> None:
    async with AsyncExitStack() as stack:
        node = Node(port, "n1")
        stack.callback(node.redis.close)
        stack.callback(node._ears.close)
        await node.signed_in.start()
        with pytest.raises(ServiceUnavailable):
            await node.signed_in.arrive(KIM, "c1")
        await node.pipeline.start()
        stack.push_async_callback(node.pipeline.aclose)
        stack.push_async_callback(node.signed_in.aclose)
        assert await node.ticks() is None
        await node.settled()
        assert await node.seen("kim") == ("online", None, 1)


# Places


async def test_the_room_entered_last_and_still_open_in_any_connection_is_the_place(node: Node) -> None:
    signed_in = node.signed_in
    await asyncio.gather(*[signed_in.arrive(KIM, connection) for connection in ("c1", "c2")])

    async def place() -> str | None:
        await node.settled()
        return (await node.seen("kim"))[1]

    signed_in.entered("kim", "c1", "tea")
    signed_in.entered("kim", "c2", "coffee")
    assert await place() == "coffee"
    signed_in.entered("kim", "c1", "tea")
    assert await place() == "tea"
    signed_in.entered("kim", "c2", "tea")
    signed_in.left("kim", "c2", "tea")
    assert await place() == "tea", "the other connection is still in it"
    signed_in.left("kim", "c1", "tea")
    assert await place() == "coffee"
    signed_in.left("kim", "c1", "coffee")
    assert await place() == "coffee", "that connection was not in it"
    signed_in.left("kim", "c2", "coffee")
    assert await place() is None


async def test_the_home_is_no_place_and_who_is_not_here_has_none(node: Node) -> None:
    await node.signed_in.arrive(KIM, "c1")
    node.signed_in.entered("kim", "c1", HOME)
    node.signed_in.left("kim", "c1", HOME)
    node.signed_in.entered("홍", "c1", "tea")
    await node.settled()
    assert len(node.pipeline.changes()) == 1
    assert await node.seen("kim") == ("online", None, 1)


async def test_the_place_of_a_connection_that_ends_is_another_ones_or_nobodys(node: Node) -> None:
    signed_in = node.signed_in
    await asyncio.gather(*[signed_in.arrive(KIM, connection) for connection in ("c1", "c2", "c3")])
    for connection, room_id in (("c2", "tea"), ("c1", "coffee"), ("c1", "milk")):
        signed_in.entered("kim", connection, room_id)
    await signed_in.depart("kim", "c1", dropped=False)
    await node.settled()
    assert await node.seen("kim") == ("online", "tea", 2)
    await signed_in.depart("kim", "c2", dropped=False)
    await node.settled()
    assert await node.seen("kim") == ("online", None, 1)


async def test_the_place_of_a_connection_that_ends_is_left_on_other_nodes_too(node: Node, other: Node) -> None:
    await node.signed_in.arrive(KIM, "c1")
    await other.signed_in.arrive(KIM, "c2")
    node.signed_in.entered("kim", "c1", "tea")
    await node.settled()
    await node.signed_in.depart("kim", "c1", dropped=False)
    await node.settled()
    assert await node.seen("kim") == ("online", None, 1)


async def test_a_reload_shows_no_change_of_place(node: Node, other: Node) -> None:
    await asyncio.gather(node.signed_in.arrive(KIM, "c1"), node.signed_in.arrive(KIM, "c2"))
    node.signed_in.entered("kim", "c1", "tea")
    await node.settled()
    node.heard()
    await node.signed_in.depart("kim", "c1", dropped=True)
    await other.signed_in.arrive(KIM, "c3")
    other.signed_in.entered("kim", "c3", "tea")
    await other.settled()
    for each in (node, other):
        each.later(10_000)
        await each.ticks(20)
    assert node.heard() == []


async def test_the_room_entered_stands_in_the_session(node: Node) -> None:
    await node.signed_in.arrive(KIM, "c1")
    node.signed_in.entered("kim", "c1", "tea")
    await node.settled()
    assert node.redis.hget("user:kim:session", "roomId") == "tea"


# Statuses in the other rooms


async def test_the_rooms_of_a_user_are_told_of_a_status_once_and_only_of_another_one(node: Node) -> None:
    for connection in ("c1", "c2"):
        node.signed_in.arrive(KIM, connection)
    node.signed_in.arrive(LEE, "c1")
    for connection, room_id in (("c1", "tea"), ("c2", "tea"), ("c2", "coffee"), ("c1", HOME)):
        node.signed_in.entered("kim", connection, room_id)
    node.signed_in.entered("홍", "c1", "milk")
    await node.settled()
    assert node.told_rooms() == [], "who comes has changed no status"
    for _ in range(2):
        await update_status(node.store, "kim", "busy")
    await node.settled()
    assert node.told_rooms() == [("coffee", "kim", "busy"), ("tea", "kim", "busy")]
    await node.ticks(100)
    await node.signed_in.arrive(KIM, "c3")
    await node.settled()
    assert node.told_rooms() == []
    node.signed_in.left("kim", "c2", "coffee")
    await update_status(node.store, "kim", "online")
    await node.settled()
    assert node.told_rooms() == [("tea", "kim", "online")]


async def test_who_enters_a_room_away_or_busy_is_told_to_that_room_as_such(node: Node) -> None:
    await node.store.users.choose("kim", "busy")
    await node.signed_in.arrive(KIM, "c1")
    node.signed_in.entered("kim", "c1", "tea")
    node.signed_in.entered("kim", "c1", "coffee")
    await node.settled()
    assert node.told_rooms() == [("coffee", "kim", "busy"), ("tea", "kim", "busy")]


async def test_what_the_rooms_are_told_has_the_documented_fields_and_no_seq(node: Node) -> None:
    await node.signed_in.arrive(KIM, "c1")
    node.signed_in.entered("kim", "c1", "tea")
    await node.settled()
    node.heard()
    await update_status(node.store, "kim", "away")
    await node.settled()
    (event,) = [event for event in node.heard() if event["roomId"] == "tea"]
    assert list(event) == ["roomId", "t", "userId", "username", "status", "lastSeen"]
    assert [event[field] for field in ("t", "userId", "username", "status")] == ["user:status", "kim", "Kim", "away"]
    assert node.redis.exists("room:tea:log") == 0


async def test_a_status_chosen_on_another_node_is_told_to_the_rooms_here_with_the_next_renewal(
    node: Node, other: Node
) -> None:
    await node.signed_in.arrive(KIM, "c1")
    node.signed_in.entered("kim", "c1", "tea")
    await other.signed_in.arrive(KIM, "c2")
    other.signed_in.entered("kim", "c2", "coffee")
    await asyncio.gather(node.settled(), other.settled())
    await update_status(other.store, "kim", "busy")
    await other.settled()
    assert node.told_rooms() == [("coffee", "kim", "busy")]
    await node.ticks(len(node.signed_in._slots))
    await node.settled()
    assert node.told_rooms() == [("tea", "kim", "busy")]
