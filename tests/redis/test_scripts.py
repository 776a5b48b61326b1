"""Every script's every answer, on a real Redis and on the fakeredis that `c2c serve` falls back to.

Scripts are called as nodes call them, through the store, with a clock that the test sets.
"""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from datetime import datetime, timedelta
from typing import Any

import pytest
import redis as redis_sync
from redis.crc import key_slot

from c2c.errors import C2CError, Internal, NotAMember, RoomExists, RoomNotFound, ServiceUnavailable
from c2c.events import Position, event_text
from c2c.keys import MONITOR, Keys
from c2c.lineups import Edit, NumberEdit
from c2c.metrics import Metrics
from c2c.monitoring.commits import edit_commit, result_commit
from c2c.monitoring.endpoints import Definition, State, load_state
from c2c.monitoring.judge import Circumstances, judge, resolve
from c2c.monitoring.results import Result
from c2c.monitoring.webhooks import Webhook, deliveries_for
from c2c.notices import Outcome
from c2c.pipeline import Pipeline, Reply
from c2c.scripts import Argument, Script, load_scripts, lua_folder
from c2c.settings import Settings
from c2c.store import Joined, Renewed, Retention, Store
from c2c.users import Change, Profile
from tests.redis.world import (
    CHAT,
    CREATOR_LEASE_MS,
    GRACE_MS,
    KIM,
    LEASE_MS,
    LEE,
    MEMBER_TTL_MS,
    NOW_MS,
    World,
    connect,
)
from tests.support import RedisServer, eventually, free_port, redis_binary

real_only = pytest.mark.parametrize("port", ["real"], indirect=True)


# room_open and rooms_index


async def test_opening_a_room_mints_an_epoch_and_makes_the_creator_a_member(world: World) -> None:
    position = await world.open(title="제목")
    assert re.fullmatch(r"[0-9a-f]{12}", position.epoch)
    assert position.seq == 0
    assert world.dump() == {
        "room:r": {
            "kind": "chat", "creator": "kim", "createdAt": str(NOW_MS), "epoch": position.epoch, "seq": "0",
            "retention": "10000", "ttl": "86400000", "title": "제목",
        },
        "room:r:members": {"kim"},
        "room:r:leases": [("kim/creator", NOW_MS + CREATOR_LEASE_MS)],
        "room:r:connections": {"kim": "1"},
        "rooms": [("r", NOW_MS + 86_400_000)],
    }  # fmt: skip
    assert world.heard() == []


async def test_a_room_can_be_opened_without_anybody_in_it(world: World) -> None:
    await world.open_empty()
    assert world.dump().keys() == {"room:r", "rooms"}


async def test_opening_a_room_that_is_there_changes_nothing(world: World) -> None:
    await world.open()
    await world.say()
    before = world.dump()
    with pytest.raises(RoomExists):
        await world.open("thief")
    assert world.dump() == before


async def test_of_many_who_open_a_room_at_once_one_does(world: World, other: World) -> None:
    results = await asyncio.gather(*[w.open() for w in (world, other) for _ in range(10)], return_exceptions=True)
    opened = [result for result in results if isinstance(result, Position)]
    assert len(opened) == 1
    assert sum(isinstance(result, RoomExists) for result in results) == 19
    assert world.redis.hget("room:r", "epoch") == opened[0].epoch


async def test_what_a_former_room_left_behind_is_gone(world: World) -> None:
    former = await world.open()
    await world.join()
    await world.say()
    world.redis.unlink("room:r")
    new = await world.open_empty()
    assert new.epoch != former.epoch
    assert world.dump().keys() == {"room:r", "rooms"}


async def test_a_room_that_lasts_has_no_expiry(world: World) -> None:
    await world.store.open_room("r", "chat", "kim", Retention(100, None), creator_joins=False)
    await world.say()
    await world.join()
    for key in ("room:r", "room:r:log", "room:r:messages"):
        assert world.redis.pttl(key) == -1
    assert world.redis.zscore("rooms", "r") == float("inf")


async def test_the_index_forgets_rooms_whose_time_is_over(world: World) -> None:
    for room_id, ttl_s in (("short", 1), ("long", 100), ("lasting", None)):
        await world.store.index_rooms([room_id], Retention(1, ttl_s))
    assert await world.store.list_rooms(0, 10) == ["short", "long", "lasting"]
    assert await world.store.list_rooms(1, 1) == ["long"]
    world.later(2000)
    await world.store.index_rooms(["new"], Retention(1, 1))
    assert await world.store.list_rooms(0, 10) == ["new", "long", "lasting"]


# room_append


async def test_an_event_is_counted_logged_and_published_with_the_same_bytes(world: World) -> None:
    epoch = (await world.open_empty()).epoch
    positions = [await world.say(text) for text in ("eins", "zwei", '가 "\\\n')]
    assert positions == [Position(epoch, 1), Position(epoch, 2), Position(epoch, 3)]
    entries = world.redis.xrange("room:r:log")
    assert [entry for entry, _ in entries] == ["1-0", "2-0", "3-0"]
    assert world.heard() == [fields["e"] for _, fields in entries]
    assert list(json.loads(entries[2][1]["e"]).items()) == [
        ("seq", 3), ("epoch", epoch), ("roomId", "r"), ("t", "msg"), ("timestamp", "2026-01-02T03:04:05.678Z"),
        ("text", '가 "\\\n'),
    ]  # fmt: skip
    assert world.redis.hget("room:r", "seq") == "3"


async def test_appending_to_no_room_writes_nothing(world: World) -> None:
    with pytest.raises(RoomNotFound):
        await world.say(command_id="x")
    assert world.dump() == {}
    assert world.heard() == []


async def test_who_is_no_member_appends_nothing(world: World) -> None:
    await world.open("kim")
    before = world.dump()
    with pytest.raises(NotAMember):
        await world.say(member="lee", command_id="x")
    assert world.dump() == before
    assert world.heard() == []
    assert (await world.say(member="kim")).seq == 1


async def test_a_repeated_command_gets_the_first_answer_and_makes_no_event(world: World) -> None:
    await world.open()
    first = await world.say("once", command_id="m:1")
    await world.say("between")
    before, _ = world.dump(), world.heard()
    assert await world.say("once", command_id="m:1") == first
    assert world.dump() == before
    assert world.heard() == []
    assert 590_000 < world.redis.pttl("room:r:dedupe:kim:m:1") <= 600_000


async def test_commands_are_the_same_by_user_room_and_id_only(world: World) -> None:
    await world.open()
    await world.store.open_room("r2", "chat", "kim", CHAT)
    assert (await world.say(command_id="a")).seq == 1
    assert (await world.say(command_id="b")).seq == 2
    assert (await world.say(command_id="a", sender="lee")).seq == 3
    elsewhere = world.store.append(
        "r2", event_text("r2", "msg", {}), member=None, sender="kim", command_id="a", history=True
    )
    assert (await elsewhere).seq == 1
    for hostile in ("{}", "*", "a\0b", "a\nb", "a:b", "😀" * 64, "%d", "-1"):
        first = await world.say(command_id=hostile)
        assert await world.say(command_id=hostile) == first


async def test_a_repeated_command_gets_the_first_answer_also_in_a_new_epoch(world: World) -> None:
    old = await world.open()
    first = await world.say(command_id="a")
    await world.store.renew_epoch("r", old.epoch)
    assert await world.say(command_id="a") == first


async def test_an_answer_does_not_outlive_the_event_that_it_is_about(world: World) -> None:
    await world.open()
    lost = await world.say("a", command_id="a")
    world.redis.delete("room:r", "room:r:log", "room:r:messages")
    anew = await world.open()
    await world.say("another with the same seq")
    written = await world.say("a", command_id="a")
    assert written == Position(anew.epoch, 2) != lost
    assert await world.say("a", command_id="a") == written
    assert [event["text"] for event in world.log()] == ["another with the same seq", "a"]


async def test_when_a_command_is_forgotten_it_is_a_new_one(world: World) -> None:
    await world.open()
    await world.say(command_id="a")
    world.redis.delete("room:r:dedupe:kim:a")
    assert (await world.say(command_id="a")).seq == 2


async def test_many_who_append_at_once_get_each_seq_once(world: World, other: World) -> None:
    await world.open()
    positions = await asyncio.gather(*[w.say(str(n)) for n in range(100) for w in (world, other)])
    assert sorted(position.seq for position in positions) == list(range(1, 201))
    assert [json.loads(payload)["seq"] for payload in world.heard()] == list(range(1, 201))


async def test_an_event_that_is_no_message_is_in_the_log_and_not_in_the_history(world: World) -> None:
    await world.open_empty()
    await world.say("a")
    await world.say("aside", history=False)
    await world.say("b")
    assert [event["text"] for event in world.log()] == ["a", "aside", "b"]
    assert [json.loads(event)["text"] for event in (await world.history()).events] == ["b", "a"]


# member_join


async def test_who_is_new_is_a_member_and_is_announced(world: World) -> None:
    epoch = (await world.open_empty()).epoch
    joined = await world.join(LEE)
    assert joined == Joined(Position(epoch, 1), "chat", "kim", "", ["홍"])
    (event,) = world.log()
    assert world.heard() == [world.redis.xrange("room:r:log")[0][1]["e"]]
    assert event == {
        "seq": 1, "epoch": epoch, "roomId": "r", "t": "user_joined", "timestamp": "2026-01-02T03:04:05.678Z",
        "userId": "홍", "username": "홍길동",
    }  # fmt: skip
    assert world.redis.zrange("room:r:leases", 0, -1, withscores=True) == [("홍/c1", NOW_MS + LEASE_MS)]
    assert world.redis.hgetall("room:r:connections") == {"홍": "1"}


async def test_joining_no_room_writes_nothing(world: World) -> None:
    with pytest.raises(RoomNotFound):
        await world.join()
    assert world.dump() == {}


async def test_a_second_connection_announces_nobody_and_keeps_the_user(world: World) -> None:
    await world.open_empty()
    first = await world.join(KIM, "c1")
    assert await world.join(KIM, "c2") == first
    assert world.redis.hget("room:r:connections", "kim") == "2"
    await world.store.leave("r", "kim", "c1")
    assert world.members() == {"kim"}
    await world.store.leave("r", "kim", "c2")
    assert world.members() == set()
    assert world.happened() == [("user_joined", "kim"), ("user_left", "kim")]


async def test_joining_again_with_the_same_connection_renews_only(world: World) -> None:
    await world.open_empty()
    await world.join()
    world.later(5000)
    assert (await world.join()).position.seq == 1
    assert world.redis.hget("room:r:connections", "kim") == "1"
    assert world.redis.zscore("room:r:leases", "kim/c1") == world.now_ms + LEASE_MS
    await world.store.leave("r", "kim", "c1")
    assert world.members() == set()


async def test_the_creators_connection_takes_over_from_the_placeholder(world: World) -> None:
    await world.open("kim")
    assert (await world.join(KIM)).position.seq == 0
    assert world.redis.zrange("room:r:leases", 0, -1) == ["kim/c1"]
    assert world.redis.hget("room:r:connections", "kim") == "1"
    world.later(CREATOR_LEASE_MS + 1)
    await world.renew("kim/c1")
    assert world.happened() == [("user_left", "kim")]


async def test_a_creator_who_comes_too_late_has_left_and_comes_anew(world: World) -> None:
    await world.open("kim")
    world.later(CREATOR_LEASE_MS)
    assert (await world.join(KIM)).members == ["kim"]
    assert world.happened() == [("user_left", "kim"), ("user_joined", "kim")]
    assert world.log()[0]["reason"] == "lost"
    assert world.redis.hget("room:r:connections", "kim") == "1"


# member_leave


async def test_the_last_connection_to_leave_takes_the_user_out_and_tells(world: World) -> None:
    epoch = (await world.open_empty()).epoch
    await world.join(LEE)
    world.heard()
    await world.store.leave("r", "홍", "c1")
    assert world.log()[1] == {
        "seq": 2, "epoch": epoch, "roomId": "r", "t": "user_left", "timestamp": "2026-01-02T03:04:05.678Z",
        "userId": "홍", "reason": "left",
    }  # fmt: skip
    assert world.heard() == [world.redis.xrange("room:r:log")[1][1]["e"]]
    assert world.redis.exists("room:r:members", "room:r:leases", "room:r:connections") == 0


async def test_leaving_twice_or_never_having_come_changes_nothing(world: World) -> None:
    await world.open_empty()
    await world.join()
    await world.store.leave("r", "kim", "c1")
    before = world.dump()
    await world.store.leave("r", "kim", "c1")
    await world.store.leave("r", "lee", "c9")
    await world.store.leave("nowhere", "lee", "c9")
    assert world.dump() == before


async def test_leaving_a_room_that_was_lost_writes_no_log(world: World) -> None:
    await world.open_empty()
    await world.join()
    world.redis.delete("room:r", "room:r:log")
    await world.store.leave("r", "kim", "c1")
    assert world.dump().keys() <= {"rooms"}


# Sweeping


async def test_a_lease_that_has_ended_is_swept_and_one_that_has_not_is_not(world: World) -> None:
    await world.open_empty()
    await world.join()
    world.later(LEASE_MS - 1)
    assert (await world.renew()).next_end_ms == 1
    assert world.members() == {"kim"}
    world.later(1)
    renewed = await world.renew()
    assert (renewed.position.seq, renewed.next_end_ms) == (2, None)
    assert world.members() == set()
    assert (world.log()[1]["t"], world.log()[1]["userId"], world.log()[1]["reason"]) == ("user_left", "kim", "lost")


@pytest.mark.parametrize("touch", ["renew", "join", "read_room"])
async def test_whoever_touches_a_room_sweeps_it(world: World, touch: str) -> None:
    await world.open_empty()
    await world.join()
    world.later(LEASE_MS)
    world.heard()
    touches: dict[str, Callable[[], Awaitable[Any]]] = {
        "renew": world.renew,
        "join": lambda: world.join(LEE),
        "read_room": lambda: world.store.read_room("r"),
    }
    await touches[touch]()
    assert "kim" not in world.members()
    assert world.happened()[1] == ("user_left", "kim")
    assert json.loads(world.heard()[0])["reason"] == "lost"


async def test_two_nodes_that_sweep_at_once_tell_once(world: World, other: World) -> None:
    await world.open_empty()
    for n in range(20):
        await world.join(Profile(f"u{n}", f"u{n}", ""))
    for w in (world, other):
        w.later(LEASE_MS)
    await asyncio.gather(*[w.renew() for _ in range(5) for w in (world, other)])
    left = [user for t, user in world.happened() if t == "user_left"]
    assert sorted(left) == sorted(f"u{n}" for n in range(20))
    assert [event["seq"] for event in world.log()] == list(range(1, 41))


async def test_a_user_whose_other_connection_lives_is_not_swept(world: World) -> None:
    await world.open_empty()
    await world.join(KIM, "c1")
    world.later(LEASE_MS - 1)
    await world.join(KIM, "c2")
    world.later(1)
    renewed = await world.renew("kim/c2")
    assert (renewed.gone, world.members()) == ([], {"kim"})
    assert world.redis.hgetall("room:r:connections") == {"kim": "1"}
    assert world.happened() == [("user_joined", "kim")]


async def test_a_user_all_of_whose_connections_ended_leaves_once(world: World) -> None:
    await world.open_empty()
    for n in range(5):
        await world.join(KIM, f"c{n}")
    world.later(LEASE_MS)
    await world.renew()
    assert world.happened() == [("user_joined", "kim"), ("user_left", "kim")]
    assert world.redis.exists("room:r:members", "room:r:leases", "room:r:connections") == 0


async def test_a_thousand_ghosts_are_swept_in_pieces_by_whoever_comes(world: World) -> None:
    await world.open_empty()
    await asyncio.gather(*[world.join(Profile(f"u{n}", f"u{n}", "")) for n in range(450)])
    world.later(LEASE_MS)
    left = []
    for _ in range(3):
        renewed = await world.renew()
        left.append(450 - world.redis.zcard("room:r:leases"))
        assert renewed.next_end_ms == (None if left[-1] == 450 else 0)
    assert left == [200, 400, 450]
    assert len({user for t, user in world.happened() if t == "user_left"}) == 450


async def test_sweeping_a_room_that_was_lost_tells_nobody(world: World) -> None:
    await world.open_empty()
    await world.join()
    world.redis.delete("room:r", "room:r:log")
    world.later(LEASE_MS)
    with pytest.raises(RoomNotFound):
        await world.renew()
    with pytest.raises(RoomNotFound):
        await world.store.read_room("r")
    assert not world.redis.exists("room:r", "room:r:log")


@pytest.mark.parametrize("touch", ["renew", "join", "read_room"])
async def test_in_mercy_ended_leases_get_the_grace_period_instead(world: World, touch: str) -> None:
    """After a time in which nobody could renew, an ended lease says nothing about its connection."""
    await world.open_empty()
    await world.join(KIM)
    await world.join(LEE)
    world.later(LEASE_MS + 60_000)
    world.store.merciful = True
    touches: dict[str, Callable[[], Awaitable[Any]]] = {
        "renew": lambda: world.renew("홍/c1"),
        "join": lambda: world.join(LEE),
        "read_room": lambda: world.store.read_room("r"),
    }
    await touches[touch]()
    assert world.members() == {"kim", "홍"}
    assert world.redis.zscore("room:r:leases", "kim/c1") == world.now_ms + GRACE_MS
    # Who is there renews in time; who is not goes with the grace period, once.
    assert (await world.renew("홍/c1")).gone == []
    world.store.merciful = False
    world.later(GRACE_MS)
    assert (await world.renew("홍/c1")).gone == []
    assert world.happened() == [("user_joined", "kim"), ("user_joined", "홍"), ("user_left", "kim")]


# lease_shorten


async def test_a_dropped_connection_has_the_grace_period(world: World) -> None:
    await world.open_empty()
    await world.join()
    await world.store.shorten_lease("r", "kim", "c1")
    assert (await world.renew()).next_end_ms == GRACE_MS
    world.later(GRACE_MS - 1)
    await world.renew()
    assert world.members() == {"kim"}
    world.later(1)
    await world.renew()
    assert world.happened() == [("user_joined", "kim"), ("user_left", "kim")]


async def test_who_is_back_within_the_grace_period_never_left(world: World) -> None:
    await world.open_empty()
    await world.join(KIM, "c1")
    await world.store.shorten_lease("r", "kim", "c1")
    world.later(GRACE_MS - 1)
    await world.join(KIM, "c2")
    world.later(1)
    await world.renew("kim/c2")
    assert world.redis.zrange("room:r:leases", 0, -1) == ["kim/c2"]
    assert world.happened() == [("user_joined", "kim")]


async def test_shortening_never_prolongs_and_never_begins_a_lease(world: World) -> None:
    await world.open_empty()
    await world.join()
    world.later(LEASE_MS - 5)
    await world.store.shorten_lease("r", "kim", "c1")
    await world.store.shorten_lease("r", "lee", "c9")
    assert world.redis.zrange("room:r:leases", 0, -1, withscores=True) == [("kim/c1", NOW_MS + LEASE_MS)]


# member_renew


async def test_a_renewal_extends_its_leases_only(world: World) -> None:
    position = await world.open_empty()
    await world.join(KIM)
    await world.join(LEE)
    world.later(5000)
    renewed = await world.renew("kim/c1")
    assert renewed == Renewed(Position(position.epoch, 2), LEASE_MS - 5000, False, [])
    assert world.redis.zrange("room:r:leases", 0, -1, withscores=True) == [
        ("홍/c1", NOW_MS + LEASE_MS),
        ("kim/c1", NOW_MS + 5000 + LEASE_MS),
    ]


async def test_a_late_renewal_is_told_that_the_lease_is_gone_and_brings_nobody_back(world: World, other: World) -> None:
    await world.open_empty()
    await world.join(KIM)
    world.later(LEASE_MS)
    other.later(LEASE_MS)
    await other.renew()
    before = world.dump()
    assert (await world.renew("kim/c1")).gone == ["kim/c1"]
    assert world.dump() == before
    # The same when the late renewal is itself what sweeps.
    await world.join(KIM)
    world.later(LEASE_MS)
    assert (await world.renew("kim/c1")).gone == ["kim/c1"]
    assert world.members() == set()


async def test_a_late_renewal_harms_no_user_who_has_moved(world: World) -> None:
    await world.open_empty()
    await world.join(KIM, "old")
    world.later(LEASE_MS - 1000)
    await world.join(KIM, "new")
    world.later(2000)
    assert (await world.renew("kim/old")).gone == ["kim/old"]
    assert world.members() == {"kim"}
    assert world.redis.hgetall("room:r:connections") == {"kim": "1"}
    await world.store.leave("r", "kim", "new")
    assert world.happened() == [("user_joined", "kim"), ("user_left", "kim")]


async def test_thousands_of_leases_are_renewed_in_one_call(world: World) -> None:
    await world.open_empty()
    leases = [f"u{n}/c1" for n in range(2500)]
    gone = ["u0/c1", "u999/c1", "u1000/c1", "u2499/c1"]
    world.redis.zadd("room:r:leases", {lease: NOW_MS + LEASE_MS for lease in leases if lease not in gone})
    world.later(1000)
    renewed = await world.renew(*leases)
    assert renewed.gone == gone
    assert renewed.next_end_ms == LEASE_MS
    assert world.redis.zcard("room:r:leases") == 2496


async def test_a_renewal_lifts_the_rooms_expiry_when_half_of_it_is_gone(world: World) -> None:
    await world.open_empty()
    await world.join()
    await world.say()
    keys = ("room:r", "room:r:log", "room:r:messages")
    assert (await world.renew("kim/c1")).expiry_lifted is False
    world.redis.pexpire("room:r", 86_400_000 // 2 - 1)
    for key in keys[1:]:
        world.redis.pexpire(key, 1_000_000)
    assert (await world.renew()).expiry_lifted is False, "a sweep keeps no room alive"
    assert (await world.renew("kim/c1")).expiry_lifted is True
    for key in keys:
        assert 86_390_000 < world.redis.pttl(key) <= 86_400_000


async def test_renewing_in_a_room_that_was_lost_says_so(world: World) -> None:
    with pytest.raises(RoomNotFound):
        await world.renew("kim/c1")
    assert world.dump() == {}


# Expiries


async def test_every_key_expires(world: World) -> None:
    """What a crash of everything leaves behind goes by itself; only the index stays, and that forgets by itself."""
    await world.open("lee")
    await world.join(KIM)
    await world.say(command_id="a")
    await world.store.users.touch([(KIM, "r")])[0]
    await world.store.users.choose("홍", "busy")
    limits_ms = {
        "room:r": 86_400_000, "room:r:log": 86_400_000, "room:r:messages": 86_400_000,
        "room:r:members": MEMBER_TTL_MS, "room:r:leases": MEMBER_TTL_MS, "room:r:connections": MEMBER_TTL_MS,
        "room:r:dedupe:kim:a": 600_000, "user:kim:presence": 30_000, "user:kim:session": 600_000,
        "user:홍:session": 600_000,
    }  # fmt: skip
    assert {*world.redis.scan_iter()} == {*limits_ms, "rooms"}
    for key, limit_ms in limits_ms.items():
        assert limit_ms - 5000 < world.redis.pttl(key) <= limit_ms, key


async def test_a_log_that_begins_late_ends_with_its_room(world: World) -> None:
    await world.open_empty()
    world.redis.pexpire("room:r", 50_000)
    await world.say()
    for key in ("room:r:log", "room:r:messages"):
        assert 40_000 < world.redis.pttl(key) <= 50_000


async def test_membership_outlives_every_lease_and_is_kept_by_renewals(world: World) -> None:
    await world.open("kim")
    assert world.redis.pttl("room:r:members") > CREATOR_LEASE_MS
    await world.join(KIM)
    for key in ("room:r:members", "room:r:leases", "room:r:connections"):
        world.redis.pexpire(key, 1000)
    await world.renew("kim/c1")
    for key in ("room:r:members", "room:r:leases", "room:r:connections"):
        assert LEASE_MS < world.redis.pttl(key) <= MEMBER_TTL_MS


# room_read, log_read, history_read


async def test_reading_a_room_shows_what_it_is(world: World) -> None:
    position = await world.open("kim", title="제목")
    await world.join(LEE)
    info = await world.store.read_room("r")
    assert (info.room_id, info.kind, info.creator, info.title) == ("r", "chat", "kim", "제목")
    assert (info.created_at_ms, info.members) == (NOW_MS, ["kim", "홍"])
    assert info.position == Position(position.epoch, 1)
    assert await world.store.kind_of("r") == "chat"


@pytest.mark.parametrize("read", ["read_room", "kind_of", "read_log", "read_history"])
async def test_reading_what_is_not_there_says_so_and_makes_nothing(world: World, read: str) -> None:
    method = getattr(world.store, read)
    with pytest.raises(RoomNotFound):
        await method("r", *((0, 10) if read in ("read_log", "read_history") else ()))
    assert world.dump() == {}


async def test_the_log_is_read_behind_a_seq_in_pages(world: World) -> None:
    epoch = (await world.open_empty()).epoch
    for n in range(10):
        await world.say(str(n))
    page = await world.read_log(3, 4)
    assert page.position == Position(epoch, 10)
    assert [json.loads(event)["seq"] for event in page.events] == [4, 5, 6, 7]
    assert (await world.read_log(10)).events == []
    assert (await world.read_log(2**53)).events == []
    assert len((await world.read_log(0)).events) == 10


async def test_the_history_is_read_backwards_and_says_if_there_is_more(world: World) -> None:
    await world.open_empty()
    for n in range(5):
        await world.say(str(n))
        await world.say("aside", history=False)

    async def page(before: int, limit: int) -> tuple[list[int], bool]:
        found = await world.history(before, limit)
        return [json.loads(event)["seq"] for event in found.events], found.more

    assert await page(2**53, 2) == ([9, 7], True)
    assert await page(7, 2) == ([5, 3], True)
    assert await page(5, 2) == ([3, 1], False)
    assert await page(6, 3) == ([5, 3, 1], False)
    assert await page(1, 2) == ([], False)


async def test_history_ends_where_the_log_was_trimmed(world: World) -> None:
    await world.open_empty()
    for n in range(10):
        await world.say(str(n))
    world.redis.xtrim("room:r:log", maxlen=4, approximate=False)
    whole = await world.history()
    assert [json.loads(event)["seq"] for event in whole.events] == [10, 9, 8, 7]
    assert whole.more is False
    assert (await world.history(limit=4)).more is False
    assert (await world.history(limit=3)).more is True
    assert (await world.history(before=7)).events == []


async def test_log_and_history_are_trimmed_to_about_the_retention(world: World) -> None:
    await world.store.open_room("r", "chat", "kim", Retention(100, 1000), creator_joins=False)
    await asyncio.gather(*[world.say(str(n)) for n in range(1000)])
    for key in ("room:r:log", "room:r:messages"):
        assert 100 <= world.redis.xlen(key) < 300
    page = await world.read_log(0)
    assert page.position.seq == 1000
    assert [json.loads(event)["seq"] for event in page.events][-100:] == list(range(901, 1001))
    history = await world.history(limit=1000)
    assert {*history.events} <= {*page.events}
    assert len(history.events) >= 100


# epoch_renew


async def test_an_epoch_is_replaced_once_however_many_find_it_wrong(world: World, other: World) -> None:
    old = await world.open()
    await world.say()
    epochs = await asyncio.gather(*[w.store.renew_epoch("r", old.epoch) for _ in range(5) for w in (world, other)])
    assert len({*epochs}) == 1
    assert epochs[0] != old.epoch
    assert world.redis.hget("room:r", "epoch") == epochs[0]
    assert await world.say() == Position(epochs[0], 2)
    assert len((await world.read_log()).events) == 2


async def test_the_epoch_of_no_room_is_not_replaced(world: World) -> None:
    with pytest.raises(RoomNotFound):
        await world.store.renew_epoch("r", "old")
    assert world.dump() == {}


# The calendar


def _edge_times_ms() -> Iterable[int]:
    """Year and month ends, leap days, 2038, centuries that are leap years and that are not."""
    for year in (1970, 1972, 1999, 2000, 2001, 2023, 2024, 2026, 2027, 2028, 2038, 2099, 2100, 2101, 2199, 2400, 9999):
        for month in range(1, 13):
            first = datetime(year, month, 1)
            for edge in (first, first + timedelta(days=27), first + timedelta(days=28, hours=12, milliseconds=1)):
                for moment in (edge - timedelta(milliseconds=1), edge):
                    if moment >= datetime(1970, 1, 1):
                        yield (moment - datetime(1970, 1, 1)) // timedelta(milliseconds=1)
    yield from (2**31 * 1000 - 1, 2**31 * 1000, 2**32 * 1000, 253_402_300_799_999)


async def test_timestamps_are_those_of_the_calendar(world: World) -> None:
    await world.store.open_room("r", "chat", "kim", Retention(10_000, 1000), creator_joins=False)
    times_ms = list(_edge_times_ms())
    appends = []
    for time_ms in times_ms:
        world.store.set_clock(time_ms)
        appends.append(world.store.append("r", event_text("r", "x", {}), member=None, sender="", command_id=None))
    for append in appends:
        await append
    expected = [
        (datetime(1970, 1, 1) + timedelta(milliseconds=time_ms)).isoformat(timespec="milliseconds") + "Z"
        for time_ms in times_ms
    ]
    assert [event["timestamp"] for event in world.log()] == expected


async def test_without_a_given_clock_it_is_the_time_of_redis(world: World) -> None:
    world.store.set_clock(None)
    await world.open("kim")
    seconds, _ = world.redis.time()
    assert abs(int(world.redis.hget("room:r", "createdAt")) / 1000 - seconds) < 10
    assert abs(world.redis.zscore("room:r:leases", "kim/creator") / 1000 - seconds - 60) < 10
    assert abs(time.time() - seconds) < 10


# A full Redis


@pytest.fixture
async def full(world: World) -> AsyncIterator[Callable[[bool], None]]:
    """Fills Redis up, and makes room again."""

    def switch(full: bool) -> None:
        world.redis.config_set("maxmemory", "1" if full else "0")

    yield switch
    switch(False)


@real_only
@pytest.mark.parametrize("action", ["append", "history", "join", "second", "again", "sweep", "read", "leave"])
async def test_a_full_redis_refuses_and_changes_nothing_and_tells_nothing(
    world: World, full: Callable[[bool], None], action: str
) -> None:
    """XADD comes first: what can't be stored is not half done, and nobody hears of it."""
    await world.open("kim")
    await world.join(LEE, "c1")
    if action in ("sweep", "read"):
        world.later(LEASE_MS)
    actions: dict[str, Callable[[], Awaitable[Any]]] = {
        "append": lambda: world.say(command_id="x", history=False),
        "history": lambda: world.say(command_id="x"),
        "join": lambda: world.join(Profile("new", "new", "")),
        "second": lambda: world.join(LEE, "c2"),
        "again": lambda: world.join(LEE, "c1"),
        "sweep": world.renew,
        "read": lambda: world.store.read_room("r"),
        "leave": lambda: world.store.leave("r", "홍", "c1"),
    }
    before, _ = world.dump(), world.heard()
    full(True)
    with pytest.raises(ServiceUnavailable) as refused:
        await actions[action]()
    assert refused.value.retry_after_ms == 5000
    assert world.dump() == before
    assert world.heard() == []
    full(False)
    await actions[action]()
    assert [event["seq"] for event in world.log()] == list(range(1, len(world.log()) + 1))


# Scripts that Redis forgot


@real_only
async def test_scripts_forgotten_in_the_middle_of_a_batch_cost_no_call_and_no_order(world: World) -> None:
    await world.open("kim")
    calls: list[Awaitable[Any]] = []
    for n in range(30):
        calls.append(world.store.append("r", event_text("r", "x", {"n": n}), member=None, sender="", command_id=None))
        if n % 10 == 5:
            calls.append(world.pipeline.command("SCRIPT", "FLUSH", read=lambda reply: reply))
    answers = [await call for call in calls]
    assert [answer.seq for answer in answers if isinstance(answer, Position)] == list(range(1, 31))
    assert [event["n"] for event in world.log()] == list(range(30))
    assert [json.loads(payload)["seq"] for payload in world.heard()] == list(range(1, 31))


async def test_a_restarted_redis_knows_no_script_and_nobody_notices() -> None:
    with RedisServer() as server:
        world = World(server.port)
        await world.pipeline.start()
        await world.open()
        server.kill()
        with pytest.raises(ServiceUnavailable):
            await world.say()
        server.start()

        async def opened() -> bool:
            try:
                await world.open()
            except ServiceUnavailable:
                return False
            return True

        await eventually(opened)
        assert (await world.say()).seq == 1
        await world.pipeline.aclose()


@real_only
async def test_a_key_of_a_wrong_type_is_our_defect_and_harms_no_other_call(world: World) -> None:
    await world.open()
    world.redis.set("room:bad", "not a hash")
    bad = world.store.append("bad", event_text("bad", "x", {}), member=None, sender="", command_id=None)
    good = world.store.append("r", event_text("r", "x", {}), member=None, sender="", command_id=None)
    with pytest.raises(Internal):
        await bad
    assert (await good).seq == 1


@real_only
async def test_words_that_can_not_be_sent_fail_their_caller_and_nobody_else(world: World) -> None:
    await world.open()

    async def hostile() -> None:
        await world.store.users.touch([(Profile("kim", "\ud800", ""), "")])[0]

    results = await asyncio.gather(world.say(), hostile(), world.say(), return_exceptions=True)
    assert [isinstance(result, Position) for result in results] == [True, False, True]
    assert isinstance(results[1], C2CError | ValueError)
    assert (await world.say()).seq == 3


# Headers

SCRIPTS = sorted(load_scripts().values(), key=lambda script: script.name)


def _source(script: Script) -> str:
    return (lua_folder() / f"{script.name}.lua").read_text(encoding="utf-8")


def _bound_names(source: str, what: str) -> dict[int, str]:
    """Index → name of the local that `KEYS[index]` or `ARGV[index]` is bound to."""
    names: dict[int, str] = {}
    for statement in re.finditer(r"^local ((?:\w+, )*\w+) = ((?:.*(?:,\n))*.*)$", source, re.MULTILINE):
        locals_ = statement[1].split(", ")
        values = re.split(r",\s*", statement[2])
        for local, value in zip(locals_, values, strict=False):
            if index := re.fullmatch(rf"(?:tonumber\()?{what}\[(\d+)\]\)?", value.strip()):
                names[int(index[1])] = local
    return names


def _keys_together(source: str) -> dict[int, str]:
    """The same of the keys that all scripts about signed-in users, or about line-ups, bind together."""
    for family in re.findall(r"^local k = (\w+)_keys\(\)$", source, re.MULTILINE):
        include = (lua_folder() / "include" / f"{family}.lua").read_text(encoding="utf-8")
        (names,) = re.findall(r"local names = \{([^}]+)\}", include)
        return dict(enumerate(re.findall(r"'(\w+)'", names), 1))
    return {}


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.name)
def test_a_header_names_the_keys_and_arguments_that_the_script_binds(script: Script) -> None:
    """Callers give names and the header says in which order: a header that is wrong swaps values silently."""
    source = _source(script)
    assert _keys_together(source) | _bound_names(source, "KEYS") == dict(enumerate(script.keys, 1))
    assert _bound_names(source, "ARGV") == dict(enumerate(script.arguments, 1))
    rest = re.findall(r"(?:^local |, )FIRST_\w+(?:, \w+)* = (\d+)", source, re.MULTILINE)
    assert rest == ([str(len(script.arguments) + 1)] if script.takes_rest else [])


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.name)
def test_a_header_names_every_answer(script: Script) -> None:
    header, _, body = _source(script).partition("\nlocal ")
    answers = set(re.findall(r"return \{'(\w+)'", body))
    assert answers
    assert answers == set(re.findall(r"\{'(\w+)'", header))


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.name)
def test_a_script_makes_no_key_names_and_returns_no_error_replies(script: Script) -> None:
    code = "\n".join(line.partition("--")[0] for line in script.source.decode().splitlines())
    for forbidden in ("error_reply", "cjson", "cmsgpack", "'room:", '"room:', "'user:", "'chan:", "pcall"):
        assert forbidden not in code
    for call in re.findall(r"redis\.call\('(\w+)', ([^,)]+)", code):
        assert call[0] in ("TIME", "PUBLISH") or re.fullmatch(r"\w+|k\.\w+|k\[\w+\]", call[1]), call


def test_names_that_are_missing_or_unknown_are_an_error_at_the_call() -> None:
    script = load_scripts()["log_read"]
    keys, arguments = {"room": "a", "log": "b"}, {"after": 1, "limit": 2}
    assert script.pack(keys, arguments) == (2, "a", "b", 1, 2)
    wrong: list[tuple[dict[str, str], dict[str, Argument], tuple[Argument, ...]]] = [
        ({"room": "a"}, {**arguments}, ()),
        ({**keys, "leases": "c"}, {**arguments}, ()),
        (keys, {"after": 1}, ()),
        (keys, {**arguments, "surplus": 1}, ()),
        (keys, {**arguments}, (1,)),
    ]
    for wrong_keys, wrong_arguments, rest in wrong:
        with pytest.raises(TypeError, match="log_read"):
            script.pack(wrong_keys, wrong_arguments, rest)
    with pytest.raises(TypeError, match="log_read"):
        script.pack(keys, arguments, (), ["c"])


def test_a_script_may_take_any_number_of_keys_and_they_are_counted() -> None:
    script = load_scripts()["users_leave"]
    assert (script.keys, script.takes_more_keys) == ((), True)
    assert script.pack({}, {"clock": 7}) == (0, 7)
    assert script.pack({}, {"clock": 7}, (), ["a", "b"]) == (2, "a", "b", 7)
    with pytest.raises(TypeError, match="users_leave"):
        script.pack({"presence": "a"}, {"clock": 7}, (), ["b"])
    touch = load_scripts()["users_touch"]
    arguments: dict[str, Argument] = {"clock": 7, "presence_ttl": 1, "session_ttl": 2, "node": "n"}
    assert touch.pack({}, arguments, ["Kim"], ["a", "b"]) == (2, "a", "b", 7, 1, 2, "n", "Kim")


def test_named_keys_come_in_front_of_any_number_of_further_ones() -> None:
    script = Script("mixed", b"", b"", ("room", "log"), ("clock",), takes_rest=False, takes_more_keys=True)
    assert script.pack({"log": "b", "room": "a"}, {"clock": 7}, (), ["c", "d"]) == (4, "a", "b", "c", "d", 7)


def test_only_scripts_that_say_so_take_further_keys() -> None:
    assert {script.name for script in SCRIPTS if script.takes_more_keys} == {
        "endpoint_delete",
        "users_leave",
        "users_touch",
    }


# Redis Cluster


class Recorder(Pipeline):
    """A pipeline that notes the keys of each script."""

    calls: list[tuple[str, list[str]]]

    def script(
        self, script: Script, keys: Any, arguments: Any, read: Any, rest: Any = (), more_keys: Any = ()
    ) -> Reply[Any]:
        self.calls.append((script.name, [*keys.values(), *more_keys]))
        return super().script(script, keys, arguments, read, rest, more_keys)


@pytest.fixture
def cluster_port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """A Redis in Cluster mode that holds all slots: it refuses scripts whose keys are of two slots."""
    port = free_port()
    folder = tmp_path_factory.mktemp("cluster")
    process = subprocess.Popen(
        [redis_binary(), "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(folder),
         "--cluster-enabled", "yes", "--cluster-port", str(free_port())],
        stdout=subprocess.DEVNULL,
    )  # fmt: skip
    client = connect(port)
    try:
        deadline_s = time.monotonic() + 10
        while not _is_whole(client):
            assert time.monotonic() < deadline_s
            time.sleep(0.02)
        yield port
    finally:
        client.close()
        process.kill()
        process.wait()


def _is_whole(client: Any) -> bool:
    """Whether the cluster works; gives it its slots once it answers."""
    try:
        info = client.execute_command("CLUSTER INFO")
        if info["cluster_slots_assigned"] == "0":
            client.execute_command("CLUSTER", "ADDSLOTSRANGE", 0, 16383)
    except redis_sync.RedisError:
        return False
    return bool(info["cluster_state"] == "ok")


async def watch_in_a_cluster(store: Store) -> None:
    """Calls every script of monitoring."""
    await store.open_room(MONITOR, "monitor", "c2c", CHAT, creator_joins=False)
    for endpoint_id in ("e1", "끝"):
        fields = {"endpointId": endpoint_id, "kind": "push", "name": "x", "createdAt": NOW_MS, "createdBy": "kim"}
        definition = Definition.model_validate({**fields, "failAfter": 1})
        await store.monitors.commit(edit_commit(definition, None, State(), NOW_MS, ()))
        (claim,) = (await store.monitors.claim("n1", 32, 2, ())).checks
        seen = Circumstances(NOW_MS, NOW_MS, "n1", f"i-{endpoint_id}")
        judged = judge(definition, State(), Result(ok=False), seen)
        told = {"endpointId": endpoint_id}
        await store.monitors.commit(result_commit(definition, claim.fence, judged, NOW_MS, ()))
        await store.monitors.acknowledge(f"i-{endpoint_id}", endpoint_id, b'{"at":', told, ())
        assert len((await store.monitors.overview()).incidents) == 1
        assert len((await store.monitors.incidents(endpoint_id, None, 10))[1]) == 1
        assert len((await store.monitors.open_incidents())[1]) == 1
        assert (await store.monitors.report("n1", b"{}"))[1]
        stored = await store.monitors.read(endpoint_id, results=10)
        assert len(stored.results) == 1
        assert (await store.histories.newest(endpoint_id, 10)).results == stored.results
        incident = resolve(load_state(stored.state), NOW_MS)
        await store.monitors.delete(edit_commit(definition, stored.fence, State(), None, (), (), incident))


async def notice_in_a_cluster(store: Store) -> None:
    """Calls every script of maintenance windows and webhooks."""
    notices = store.notices
    times = {"start": "2026-01-02T00:00:00.000Z", "end": "2026-01-03T00:00:00.000Z"}
    window = {"windowId": "w1", "title": "", "endpointIds": [], **times}
    assert await notices.write_window(await notices.read(), "w1", window)
    hook = Webhook("h1", "https://example.org/", "s", ("checker:suspect",), "2026-01-01T00:00:00.000Z", "kim")
    await notices.add_webhook(hook)
    await notices.tell("checker:suspect", {}, deliveries_for([hook], {"t": "checker:suspect"}, NOW_MS))
    (claimed,) = (await notices.claim(1_000, 8, 2, ())).deliveries
    assert await notices.settle(claimed, Outcome(503, "answered 503"), 1_000)
    assert [report.pending for report in (await notices.webhooks())[1]] == [1]
    await notices.disable_webhook(hook)
    await notices.delete_webhook("h1")


async def test_in_a_cluster_the_keys_of_each_script_share_a_slot(cluster_port: int) -> None:
    settings = Settings(redis_url=f"redis://127.0.0.1:{cluster_port}", redis_cluster_keys=True)
    pipeline = Recorder(settings, Metrics())
    pipeline.calls = []
    await pipeline.start()
    store = Store(pipeline, Keys(cluster=True), settings, NOW_MS)
    for room_id, user in (("r", KIM), ("방:1", LEE)):
        position = await store.open_room(room_id, "chat", user.user_id, CHAT)
        await store.join(room_id, user, "c1")
        append = store.append(
            room_id, event_text(room_id, "x", {}), member=user.user_id, sender=user.user_id, command_id="{x}",
            history=True,
        )  # fmt: skip
        assert (await append).seq == 1
        await store.read_log(room_id, 0, 10)
        await store.read_history(room_id, 10, 10)
        await store.read_room(room_id)
        await store.renew(room_id, [f"{user.user_id}/c1"])
        await store.renew_epoch(room_id, position.epoch)
        await store.shorten_lease(room_id, user.user_id, "c1")
        await store.leave(room_id, user.user_id, "c1")
        users = store.users
        arrival = Change.arrive(user, "c1", "busy")
        await users.change(room_id, [arrival, Change("place", user.user_id, "", room_id)])
        await users.renew(room_id, [f"{user.user_id}/c1"])
        assert (await users.page(room_id, "", "", 10)).counts["busy"] == 1
        assert len(await users.look(room_id, [user.user_id])) == 1
        assert await users.statuses(room_id, ["x", user.user_id]) == {"x": "offline", user.user_id: "busy"}
        assert len(await users.figures(room_id, "hours")) == len(await users.figures(room_id, "days")) == 1
        await users.choose(user.user_id, "away")
        assert (await users.session(user.user_id)) is None
        assert await users.star(user.user_id, "x", 1) is True
        assert await users.starred(user.user_id) == ["x"]
        await users.unstar(user.user_id, "x")
        lineups, edit = store.lineups, Edit(room_id, user.user_id, None, "{x}")
        assert (await lineups.import_rows(room_id, user.user_id, [(1, b"{}", None)])).added == 1
        assert len((await lineups.set_numbers(edit, [NumberEdit(1, 7, None)])).rows) == 1
        assert await lineups.mark(edit, "c1", 1, b"{}", b"{}") == b""
        assert (await lineups.read(room_id)).editing == [b"{}"]
    assert await store.delete_room("nobody") is True
    await watch_in_a_cluster(store)
    await notice_in_a_cluster(store)
    touched = store.users.touch([(KIM, "r"), (LEE, "방:1")])
    assert [await reply for reply in touched] == [["away"], ["away"]], "users share no slot, nor then a call"
    assert await store.users.session("홍") == LEE
    await asyncio.gather(*store.users.leave(["kim", "홍"]))
    await pipeline.aclose()
    assert {name for name, _ in pipeline.calls} == load_scripts().keys()
    for name, keys in pipeline.calls:
        assert len({key_slot(key.encode()) for key in keys}) == 1, (name, keys)
