"""Who is signed in, what others see of them and when they are told: every script about users, and every answer."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any

import pytest

from c2c.errors import RoomNotFound
from c2c.events import Position
from c2c.store import Retention
from c2c.users import Change, Profile, Status, Told, UsersPage
from tests.redis.world import GRACE_MS, KIM, LEE, NOW_MS, World

LEASE_MS, PACE_MS, QUIET, BATCH = 33_000, 1000, 200, 500
NOW = "2026-01-02T03:04:05.678Z"
DAY_MS, HOUR_MS = 86_400_000, 3_600_000
PRESENCE = Retention(log_events=500, room_ttl_s=None)
VISIBLE: tuple[Status, ...] = ("online", "away", "busy")


def arrive(profile: Profile, connection: str = "c1", status: str = "online") -> Change:
    return Change.arrive(profile, connection, status)


def leave(profile: Profile, connection: str = "c1") -> Change:
    return Change("leave", profile.user_id, connection)


def drop(profile: Profile, connection: str = "c1") -> Change:
    return Change("drop", profile.user_id, connection)


def choose(profile: Profile, status: Status) -> Change:
    return Change("status", profile.user_id, "", status)


def idle(profile: Profile, connection: str = "c1", at_rest: bool = True) -> Change:
    return Change("idle", profile.user_id, connection, "1" if at_rest else "")


def place(profile: Profile, entered: str, left: str = "") -> Change:
    return Change("place", profile.user_id, "", entered, left)


def crowd(count: int, prefix: str = "u") -> list[Profile]:
    return [Profile(f"{prefix}{n:05}", f"User {n}", "") for n in range(count)]


class Home:
    """The room of who is signed in, as one node sees it."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.users = world.store.users

    async def open(self) -> Position:
        return await self.world.store.open_room("r", "presence", "c2c", PRESENCE, creator_joins=False)

    async def change(self, *changes: Change) -> Told:
        return await self.users.change("r", changes)

    async def renew(self, *leases: str) -> Told:
        return await self.users.renew("r", leases)

    def next_end_ms(self) -> int | None:
        """Until the next connection's deadline."""
        first = self.world.redis.zrange("room:r:signed-in", 0, 0, withscores=True)
        return int(first[0][1]) - self.world.now_ms if first else None

    async def fill(self, profiles: Sequence[Profile], status: str = "online") -> None:
        """Bring many in, and wait until all of them have been told of."""
        for start in range(0, len(profiles), 500):
            await self.change(*[arrive(profile, status=status) for profile in profiles[start : start + 500]])
        while (await self.renew()).tell_in_ms is not None:
            self.world.later(PACE_MS)
        self.world.later(PACE_MS)
        self.world.heard()

    async def page(self, status: str = "", after: str = "", limit: int = 200) -> UsersPage:
        return await self.users.page("r", status, after, limit)

    async def ids(self, status: str = "", after: str = "", limit: int = 200) -> tuple[list[str], bool]:
        page = await self.page(status, after, limit)
        return [json.loads(user)["userId"] for user in page.users], page.more

    async def look(self, *profiles: Profile) -> list[dict[str, Any]]:
        return [json.loads(user) for user in await self.users.look("r", [profile.user_id for profile in profiles])]

    def told(self) -> list[dict[str, Any]]:
        """The events published since the last time."""
        return [json.loads(payload) for payload in self.world.heard()]

    def told_of(self) -> list[tuple[str, str, int]]:
        """User, status and number of connections in those, in order."""
        return [
            (user["userId"], user["status"], user["connections"]) for event in self.told() for user in event["users"]
        ]

    def counts(self) -> dict[str, int]:
        return {status: self.world.redis.zcard(f"room:r:presence:{status}") for status in VISIBLE}

    def keys(self) -> set[str]:
        """The room's keys, but for those of its life: its log, its figures, and who was seen when."""
        lasting = {"room:r", "room:r:log", "room:r:hours", "room:r:days", "room:r:seen", "rooms"}
        return set(self.world.redis.scan_iter()) - lasting


@pytest.fixture
async def home(world: World) -> Home:
    home = Home(world)
    await home.open()
    return home


@pytest.fixture
async def second(other: World, home: Home) -> Home:
    """The same room, as another node sees it."""
    return Home(other)


# presence_change: coming


async def test_who_is_new_is_seen_and_told_in_documented_fields_and_order(home: Home) -> None:
    told = await home.change(arrive(KIM))
    epoch = told.position.epoch
    assert told == Told(Position(epoch, 1), None, {"kim": "online"}, [], [])
    (payload,) = home.world.heard()
    fields = f'"userId":"kim","username":"Kim","status":"online","lastSeen":"{NOW}"'
    user = (
        '{"userId":"kim","username":"Kim","avatar":"https://example.org/kim.png","status":"online",'
        f'"lastSeen":"{NOW}","roomId":null,"connections":1}}'
    )
    assert payload == (
        f'{{"seq":1,"epoch":"{epoch}","roomId":"r","t":"user:status","timestamp":"{NOW}",{fields},"users":[{user}]}}'
    )
    assert home.world.redis.xrange("room:r:log") == [("1-0", {"e": payload})]
    assert await home.users.look("r", ["kim"]) == [user.encode()]
    assert home.world.redis.zrange("room:r:signed-in", 0, -1, withscores=True) == [("kim/c1", NOW_MS + LEASE_MS)]
    assert home.world.redis.hgetall("room:r:connections") == {"kim": "1"}
    assert home.world.redis.smembers("room:r:members") == {"kim"}


@pytest.mark.parametrize("name", ['a"b\\', ',"roomId":"x"', ',"avatar":"","status":"busy"', "','", "%d %1", "홍\n길동"])
async def test_no_name_and_no_avatar_changes_the_shape_of_an_event(home: Home, name: str) -> None:
    await home.change(arrive(Profile("kim", name, name)), place(Profile("kim", name, name), "tea"))
    (event,) = home.told()
    assert list(event) == [
        "seq", "epoch", "roomId", "t", "timestamp", "userId", "username", "status", "lastSeen", "users",
    ]  # fmt: skip
    assert (event["roomId"], event["username"], event["status"], event["lastSeen"]) == ("r", name, "online", NOW)
    assert event["users"] == [
        {
            "userId": "kim", "username": name, "avatar": name, "status": "online", "lastSeen": NOW, "roomId": "tea",
            "connections": 1,
        },
    ]  # fmt: skip


@pytest.mark.parametrize("status", VISIBLE)
async def test_who_comes_is_seen_with_the_status_that_they_chose_before(home: Home, status: Status) -> None:
    await home.change(arrive(KIM, status=status))
    assert home.told_of() == [("kim", status, 1)]
    assert home.counts() == {"online": 0, "away": 0, "busy": 0} | {status: 1}


async def test_a_second_connection_is_the_same_person_and_only_their_number_changes(home: Home) -> None:
    await home.change(arrive(KIM, status="busy"))
    await home.change(arrive(KIM, "c2", status="away"))
    assert home.told_of() == [("kim", "busy", 1), ("kim", "busy", 2)]
    assert home.counts() == {"online": 0, "away": 0, "busy": 1}


async def test_a_connection_that_is_known_is_renewed_and_told_of_to_nobody(home: Home) -> None:
    await home.change(arrive(KIM))
    home.told()
    home.world.later(5000)
    told = await home.change(arrive(KIM))
    assert (told.position.seq, home.next_end_ms()) == (1, LEASE_MS)
    assert home.told() == []
    assert home.world.redis.hgetall("room:r:connections") == {"kim": "1"}


async def test_a_new_name_is_told_once(home: Home) -> None:
    await home.change(arrive(KIM))
    renamed = Profile("kim", "Kim II", "")
    for _ in range(2):
        await home.change(arrive(renamed))
    assert [event["username"] for event in home.told()] == ["Kim", "Kim II"]
    assert (await home.look(KIM))[0]["avatar"] == ""


async def test_who_lost_only_their_number_of_connections_is_counted_anew(home: Home) -> None:
    await home.change(arrive(KIM))
    home.world.redis.delete("room:r:connections")
    await home.change(arrive(KIM))
    assert home.world.redis.hgetall("room:r:connections") == {"kim": "1"}
    await home.change(leave(KIM))
    assert home.keys() == set()


# presence_change: going


async def test_one_of_several_connections_to_leave_changes_the_number_only(home: Home) -> None:
    await home.change(arrive(KIM), arrive(KIM, "c2"))
    told = await home.change(leave(KIM))
    assert told.went == []
    assert home.told_of() == [("kim", "online", 2), ("kim", "online", 1)]


async def test_with_the_last_connection_the_user_goes_and_nothing_but_when_stays(home: Home) -> None:
    await home.change(arrive(KIM, status="busy"), place(KIM, "tea"))
    home.told()
    home.world.later(2000)
    told = await home.change(leave(KIM))
    assert told.went == ["kim"]
    (event,) = home.told()
    last_seen = "2026-01-02T03:04:07.678Z"
    assert event["users"] == [
        {
            "userId": "kim", "username": "Kim", "avatar": KIM.avatar, "status": "offline", "lastSeen": last_seen,
            "roomId": None, "connections": 0,
        },
    ]  # fmt: skip
    assert (event["username"], event["status"], event["lastSeen"]) == ("Kim", "offline", last_seen)
    assert home.keys() == set()
    home.world.later(5000)
    assert await home.look(KIM) == [
        {
            "userId": "kim", "username": "kim", "avatar": "", "status": "offline", "lastSeen": last_seen,
            "roomId": None, "connections": 0,
        },
    ]  # fmt: skip


async def test_leaving_twice_or_never_having_come_changes_nothing(home: Home) -> None:
    await home.change(arrive(KIM), leave(KIM))
    home.world.later(PACE_MS)
    await home.renew()
    before, _ = home.world.dump(), home.told()
    told = await home.change(leave(KIM), leave(LEE), drop(KIM), drop(LEE, "c9"))
    assert (told.went, home.next_end_ms()) == ([], None)
    assert home.told() == []
    assert home.world.dump() == before


async def test_a_dropped_user_goes_with_the_grace_period_once(home: Home) -> None:
    await home.change(arrive(KIM))
    home.told()
    await home.change(drop(KIM))
    assert home.next_end_ms() == GRACE_MS
    home.world.later(GRACE_MS - 1)
    assert (await home.renew()).went == []
    assert home.told() == []
    home.world.later(1)
    assert (await home.renew()).went == ["kim"]
    assert (await home.renew()).went == []
    assert home.told_of() == [("kim", "offline", 0)]
    assert home.keys() == set()


async def test_who_is_back_within_the_grace_period_is_told_of_to_nobody(home: Home, second: Home) -> None:
    """Twenty reloads in a row, on one node and the other."""
    nodes = (home, second)
    await home.change(arrive(KIM, "c0"), place(KIM, "tea"))
    home.told()
    for n in range(20):
        await nodes[n % 2].change(drop(KIM, f"c{n}"))
        for node in nodes:
            node.world.later(GRACE_MS - 1)
        await nodes[(n + n // 2) % 2].change(arrive(KIM, f"c{n + 1}"), place(KIM, "tea"))
        for node in nodes:
            node.world.later(1)
        await home.renew(f"kim/c{n + 1}")
    assert home.told() == []
    assert (await home.look(KIM))[0]["connections"] == 1
    assert home.world.redis.zrange("room:r:signed-in", 0, -1) == ["kim/c20"]
    await home.change(leave(KIM, "c20"))
    assert home.told_of() == [("kim", "offline", 0)]


async def test_a_reload_of_one_of_two_tabs_is_told_to_nobody(home: Home) -> None:
    await home.change(arrive(KIM), arrive(KIM, "c2"))
    home.told()
    await home.change(drop(KIM, "c2"))
    await home.change(arrive(KIM, "c3"))
    home.world.later(GRACE_MS)
    await home.renew("kim/c1", "kim/c3")
    assert home.told() == []
    assert home.world.redis.hgetall("room:r:connections") == {"kim": "2"}


async def test_of_two_dropped_connections_one_may_come_back_unseen_and_the_user_stays(home: Home) -> None:
    await home.change(arrive(KIM), arrive(KIM, "c2"))
    await home.change(drop(KIM))
    home.world.later(4000)
    home.told()
    await home.change(drop(KIM, "c2"))
    assert home.told_of() == [("kim", "online", 1)]
    home.world.later(GRACE_MS - 1)
    assert (await home.renew()).went == [], "the grace period begins with the last drop"
    await home.change(arrive(KIM, "c3"))
    assert home.told() == []
    assert home.world.redis.zrange("room:r:signed-in", 0, -1) == ["kim/c3"]


async def test_a_lease_that_ends_soon_shortens_nobody_elses_grace_period(home: Home) -> None:
    await home.change(arrive(KIM))
    home.world.later(LEASE_MS - 5000)
    await home.change(arrive(KIM, "c2"))
    await home.change(drop(KIM, "c2"))
    await home.change(drop(KIM))
    assert home.next_end_ms() == GRACE_MS


async def test_dropping_never_prolongs_a_lease(home: Home) -> None:
    await home.change(arrive(KIM))
    home.world.later(LEASE_MS - 5)
    await home.change(drop(KIM))
    assert home.next_end_ms() == 5


async def test_who_goes_and_comes_in_one_call_has_not_gone(home: Home) -> None:
    """What is said of who went would else be said of somebody who is here."""
    await home.change(arrive(KIM))
    told = await home.change(leave(KIM), arrive(KIM, "c2"), arrive(LEE), leave(LEE))
    assert told.went == ["홍"]
    assert (await home.look(KIM))[0]["status"] == "online"


# presence_change: statuses


async def test_a_chosen_status_is_seen_and_told_once_and_moves_the_counts(home: Home) -> None:
    await home.change(arrive(KIM), arrive(KIM, "c2"))
    home.told()
    for status in ("away", "away", "busy", "online"):
        home.world.later(PACE_MS)
        await home.change(choose(KIM, status))
        assert home.counts() == {"online": 0, "away": 0, "busy": 0} | {status: 1}
    assert home.told_of() == [("kim", "away", 2), ("kim", "busy", 2), ("kim", "online", 2)]


async def test_who_is_away_was_seen_when_they_went_and_who_is_busy_is_seen_now(home: Home) -> None:
    await home.change(arrive(KIM), arrive(LEE))
    home.world.later(1000)
    await home.change(choose(KIM, "away"), choose(LEE, "busy"))
    home.world.later(5000)
    assert [user["lastSeen"] for user in await home.look(KIM, LEE)] == [
        "2026-01-02T03:04:06.678Z", "2026-01-02T03:04:11.678Z",
    ]  # fmt: skip


async def test_the_status_of_somebody_who_is_not_there_is_nothing(home: Home) -> None:
    before = home.world.dump()
    await home.change(choose(KIM, "busy"), place(KIM, "tea"))
    assert home.told() == []
    assert {key: home.world.dump()[key] for key in before if key != "room:r"} == {
        key: before[key] for key in before if key != "room:r"
    }
    assert home.keys() == set()


async def test_nothing_tells_somebody_hidden_from_somebody_gone(home: Home) -> None:
    """Both were here, one hides and one goes; then the hidden one moves, opens and closes tabs, changes name, goes."""
    mia = Profile("mia", "Mia", "m.png")
    await home.change(arrive(KIM), arrive(mia), place(KIM, "tea"), place(mia, "tea"))
    home.told()
    told = await home.change(choose(KIM, "offline"), leave(mia))
    assert told.went == ["mia"]

    def but_for_the_name(seen: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
        names = ("userId", "username", "avatar")
        return [{field: value for field, value in user.items() if field not in names} for user in seen]

    hidden, gone = home.told()
    assert (hidden["username"], gone["username"]) == ("Kim", "Mia")
    assert but_for_the_name(hidden["users"]) == but_for_the_name(gone["users"])
    home.world.later(5000)
    await home.change(
        place(KIM, "coffee"),
        arrive(KIM, "c2"),
        arrive(Profile("kim", "Kim II", "x")),
        leave(KIM),
        choose(KIM, "offline"),
    )
    await home.renew("kim/c2")
    assert home.told() == []
    seen = await home.look(KIM, mia)
    assert seen[0] == seen[1] | {"userId": "kim", "username": "kim"}
    assert await home.users.statuses("r", ["kim"]) == {"kim": "offline"}
    assert await home.ids() == ([], False)
    assert home.counts() == {"online": 0, "away": 0, "busy": 0}
    assert home.world.members() == set()
    assert home.world.redis.hget("room:r", "measured") == "0"
    assert (await home.change(drop(KIM, "c2"))).tell_in_ms is None
    home.world.later(GRACE_MS)
    assert (await home.renew()).went == ["kim"]
    assert home.told() == []
    seen = await home.look(KIM, mia)
    assert seen[0] == seen[1] | {"userId": "kim", "username": "kim"}
    assert home.keys() == set()


async def test_who_comes_hidden_was_never_here(home: Home) -> None:
    await home.change(arrive(KIM, status="offline"), place(KIM, "tea"))
    assert home.told() == []
    assert await home.look(KIM, LEE) == [
        {
            "userId": name, "username": name, "avatar": "", "status": "offline", "lastSeen": None, "roomId": None,
            "connections": 0,
        }
        for name in ("kim", "홍")
    ]  # fmt: skip
    await home.change(leave(KIM))
    assert home.told() == []
    assert home.keys() == set()
    assert home.world.redis.exists("room:r:seen") == 0


@pytest.mark.parametrize("before", VISIBLE)
async def test_who_shows_themselves_again_is_seen_as_they_are_now(home: Home, before: Status) -> None:
    await home.change(arrive(KIM, status=before), arrive(KIM, "c2"))
    await home.change(choose(KIM, "offline"))
    await home.change(place(KIM, "tea"))
    await home.change(choose(KIM, "away"))
    assert home.told_of() == [("kim", before, 2), ("kim", "offline", 0), ("kim", "away", 2)]
    (seen,) = await home.look(KIM)
    assert (seen["username"], seen["avatar"], seen["roomId"]) == ("Kim", KIM.avatar, "tea")


async def test_who_hides_and_goes_before_it_was_told_is_told_by_name(home: Home) -> None:
    await home.fill(crowd(QUIET + 1))
    await home.change(arrive(KIM))
    home.world.later(PACE_MS)
    await home.change(choose(LEE, "away"), arrive(LEE))
    home.told()
    await home.change(choose(KIM, "offline"), leave(KIM))
    home.world.later(PACE_MS)
    await home.renew()
    assert [user["username"] for event in home.told() for user in event["users"]] == ["Kim"]
    assert home.world.redis.hexists("room:r:profiles", "kim") == 0


# presence_change: idleness


async def test_who_is_idle_at_all_connections_is_away_until_one_is_in_use(home: Home) -> None:
    await home.change(arrive(KIM), arrive(KIM, "c2"))
    home.told()
    assert (await home.change(idle(KIM))).statuses == {}
    assert (await home.change(idle(KIM))).statuses == {}
    assert (await home.change(idle(KIM, "c2"))).statuses == {"kim": "away"}
    assert (await home.change(idle(KIM, "c2"))).statuses == {}
    assert (await home.change(idle(KIM, at_rest=False))).statuses == {"kim": "online"}
    assert home.told_of() == [("kim", "away", 2), ("kim", "online", 2)]


async def test_a_connection_in_use_that_leaves_leaves_the_idle_ones_away(home: Home) -> None:
    await home.change(arrive(KIM), arrive(KIM, "c2"), idle(KIM))
    home.told()
    await home.change(leave(KIM, "c2"))
    assert home.told_of() == [("kim", "away", 1)]
    await home.change(leave(KIM))
    assert home.told_of() == [("kim", "offline", 0)]
    assert home.keys() == set()


async def test_a_new_device_is_in_use_and_an_idle_one_that_comes_back_is_not(home: Home) -> None:
    await home.change(arrive(KIM), idle(KIM))
    home.told()
    await home.change(drop(KIM))
    await home.change(arrive(KIM, "c2"))
    assert home.told_of() == []
    await home.change(arrive(KIM, "c3"))
    assert home.told_of() == [("kim", "online", 2)]
    await home.change(drop(KIM, "c3"))
    home.world.later(GRACE_MS)
    await home.renew("kim/c2")
    assert home.told_of() == [("kim", "away", 1)]


@pytest.mark.parametrize("status", ["busy", "away", "offline"])
async def test_idleness_changes_nothing_that_somebody_chose(home: Home, status: Status) -> None:
    await home.change(arrive(KIM), choose(KIM, status))
    home.told()
    assert (await home.change(idle(KIM))).statuses == {}
    assert (await home.change(idle(KIM, at_rest=False))).statuses == {}
    await home.change(idle(KIM))
    assert home.told() == []
    assert (await home.change(choose(KIM, "online"))).statuses == ({} if status == "away" else {"kim": "away"})


async def test_who_is_not_there_is_not_idle(home: Home) -> None:
    await home.change(arrive(KIM))
    before = home.world.dump()
    await home.change(idle(LEE), idle(KIM, "c9"), idle(LEE, at_rest=False))
    assert home.world.dump() == before


# presence_change: places


async def test_the_room_entered_last_is_shown(home: Home) -> None:
    await home.change(arrive(KIM))
    for room in ("tea", "coffee:2", "coffee:2"):
        await home.change(place(KIM, room))
    assert [event["users"][0]["roomId"] for event in home.told()] == [None, "tea", "coffee:2"]
    await home.change(place(KIM, "tea", "coffee:2"))
    assert (await home.look(KIM))[0]["roomId"] == "tea"
    await home.change(place(KIM, "", "tea"))
    assert (await home.look(KIM))[0]["roomId"] is None
    assert home.world.redis.exists("room:r:places") == 0
    home.told()
    await home.change(place(KIM, "", "tea"))
    assert home.told() == []


async def test_leaving_a_room_that_is_not_the_last_entered_changes_nothing(home: Home, second: Home) -> None:
    """On another node, the user has gone on meanwhile."""
    await home.change(arrive(KIM), place(KIM, "tea"))
    await second.change(arrive(KIM, "c2"), place(KIM, "coffee"))
    home.told()
    await home.change(place(KIM, "", "tea"))
    await home.change(place(KIM, "milk", "tea"))
    assert home.told() == []
    assert (await home.look(KIM))[0]["roomId"] == "coffee"


# Several changes, and no room


async def test_several_changes_in_one_call_are_carried_out_in_order_and_told_as_they_ended(home: Home) -> None:
    told = await home.change(
        arrive(KIM), place(KIM, "tea"), choose(KIM, "away"), arrive(LEE), arrive(KIM, "c2"), choose(KIM, "busy"),
        leave(KIM),
    )  # fmt: skip
    assert told.position.seq == 2
    assert home.told_of() == [("kim", "busy", 1), ("홍", "online", 1)]
    await home.change(leave(KIM, "c2"), leave(LEE))
    assert home.keys() == set()


@pytest.mark.parametrize("call", ["change", "renew", "sweep", "page", "look"])
async def test_without_the_room_nothing_is_written_and_nobody_is_told(world: World, call: str) -> None:
    home = Home(world)
    calls: dict[str, Callable[[], Awaitable[object]]] = {
        "change": lambda: home.change(arrive(KIM), place(KIM, "tea"), choose(KIM, "busy")),
        "renew": lambda: home.renew("kim/c1"),
        "sweep": home.renew,
        "page": home.page,
        "look": lambda: home.look(KIM),
    }
    with pytest.raises(RoomNotFound):
        await calls[call]()
    assert world.dump() == {}
    assert world.heard() == []
    assert await home.users.statuses("r", ["kim"]) == {"kim": "offline"}
    assert await home.users.figures("r", "hours") == {}


# Sweeping


@pytest.mark.parametrize("touch", ["change", "renew", "page", "look"])
async def test_whoever_touches_the_room_sweeps_it(home: Home, touch: str) -> None:
    await home.change(arrive(KIM))
    home.world.later(LEASE_MS - 1)
    await home.renew()
    assert home.next_end_ms() == 1
    home.told()
    home.world.later(1)
    touches: dict[str, Callable[[], Awaitable[object]]] = {
        "change": lambda: home.change(arrive(LEE)),
        "renew": home.renew,
        "page": home.page,
        "look": lambda: home.look(LEE),
    }
    await touches[touch]()
    assert ("kim", "offline", 0) in home.told_of()
    assert await home.users.statuses("r", ["kim"]) == {"kim": "offline"}


async def test_two_nodes_that_sweep_at_once_tell_each_user_once(home: Home, second: Home) -> None:
    """Two survivors of a node with a thousand users."""
    people = crowd(1000)
    await home.fill(people)
    for node in (home, second):
        node.world.later(2 * LEASE_MS)
    went: list[str] = []
    while home.world.redis.exists("room:r:signed-in", "room:r:changed"):
        for told in await asyncio.gather(*[node.renew() for _ in range(5) for node in (home, second)]):
            went += told.went
        for node in (home, second):
            node.world.later(PACE_MS)
    names = sorted(profile.user_id for profile in people)
    assert sorted(went) == names
    assert sorted(home.told_of()) == [(name, "offline", 0) for name in names]
    assert home.keys() == set()


async def test_at_most_a_thousand_leases_are_swept_at_once(home: Home) -> None:
    await home.fill(crowd(1100))
    home.world.later(LEASE_MS)
    assert len((await home.renew()).went) == 1000
    assert len((await home.renew()).went) == 100


async def test_who_has_another_connection_that_lives_is_not_swept(home: Home) -> None:
    await home.change(arrive(KIM))
    home.world.later(LEASE_MS - 1)
    await home.change(arrive(KIM, "c2"))
    home.told()
    home.world.later(1)
    assert (await home.renew()).went == []
    assert home.told_of() == [("kim", "online", 1)]


@pytest.mark.parametrize("touch", ["change", "renew", "page", "look"])
async def test_in_mercy_ended_leases_get_the_grace_period_instead(home: Home, touch: str) -> None:
    await home.change(arrive(KIM), arrive(LEE))
    home.told()
    home.world.later(LEASE_MS + 60_000)
    home.world.store.merciful = True
    touches: dict[str, Callable[[], Awaitable[object]]] = {
        "change": lambda: home.change(arrive(LEE)),
        "renew": home.renew,
        "page": home.page,
        "look": lambda: home.look(KIM),
    }
    await touches[touch]()
    assert home.told() == []
    assert home.world.redis.zscore("room:r:signed-in", "kim/c1") == home.world.now_ms + GRACE_MS
    assert (await home.renew("홍/c1")).gone == []
    home.world.store.merciful = False
    home.world.later(GRACE_MS)
    assert (await home.renew("홍/c1")).went == ["kim"]
    assert home.told_of() == [("kim", "offline", 0)]


# presence_renew


async def test_a_renewal_extends_its_leases_only_and_tells_nobody(home: Home) -> None:
    await home.change(arrive(KIM), arrive(LEE))
    home.told()
    home.world.later(5000)
    told = await home.renew("kim/c1")
    assert told == Told(Position(told.position.epoch, 2), None, {}, [], [])
    assert home.told() == []
    assert home.world.redis.zrange("room:r:signed-in", 0, -1, withscores=True) == [
        ("홍/c1", NOW_MS + LEASE_MS),
        ("kim/c1", NOW_MS + 5000 + LEASE_MS),
    ]


async def test_a_late_renewal_is_told_that_the_lease_is_gone_and_brings_nobody_back(home: Home) -> None:
    await home.change(arrive(KIM))
    home.world.later(LEASE_MS)
    told = await home.renew("kim/c1")
    assert (told.went, told.gone) == (["kim"], ["kim/c1"])
    assert (await home.renew("kim/c1")).gone == ["kim/c1"]
    assert home.keys() == set()


async def test_thousands_of_leases_are_renewed_in_one_call(home: Home) -> None:
    people = crowd(2500)
    await home.fill(people)
    gone = [people[n] for n in (0, 999, 1000, 2499)]
    await home.change(*[leave(profile) for profile in gone])
    home.world.later(1000)
    told = await home.renew(*[f"{profile.user_id}/c1" for profile in people])
    assert told.gone == [f"{profile.user_id}/c1" for profile in gone]
    assert home.next_end_ms() == LEASE_MS


# presence_tell


async def test_up_to_two_hundred_users_each_change_is_an_event_at_once(home: Home) -> None:
    people = crowd(QUIET)
    assert (await home.change(*[arrive(profile) for profile in people])).tell_in_ms is None
    events = home.told()
    assert [event["userId"] for event in events] == [profile.user_id for profile in people]
    assert all([user["userId"] for user in event["users"]] == [event["userId"]] for event in events)
    await home.change(choose(people[0], "away"))
    await home.change(choose(people[0], "busy"))
    assert home.told_of() == [(people[0].user_id, "away", 1), (people[0].user_id, "busy", 1)]


async def test_above_that_there_is_one_event_in_a_second_with_all_that_changed(home: Home) -> None:
    people = crowd(QUIET + 1)
    assert (await home.change(*[arrive(profile) for profile in people])).tell_in_ms is None
    (event,) = home.told()
    assert list(event) == ["seq", "epoch", "roomId", "t", "timestamp", "users"]
    assert [user["userId"] for user in event["users"]] == [profile.user_id for profile in people]
    home.world.later(1)
    told = await home.change(choose(people[3], "away"), choose(people[1], "busy"))
    assert (told.tell_in_ms, told.position.seq) == (PACE_MS - 1, 1)
    home.world.later(PACE_MS - 2)
    assert (await home.change(choose(people[3], "busy"))).tell_in_ms == 1
    assert home.told() == []
    home.world.later(1)
    assert (await home.renew()).tell_in_ms is None
    assert home.told_of() == [(people[1].user_id, "busy", 1), (people[3].user_id, "busy", 1)]
    home.world.later(10_000)
    assert (await home.renew()).tell_in_ms is None
    assert home.told() == []


async def test_the_number_of_the_visible_decides(home: Home) -> None:
    await home.fill(crowd(QUIET + 1))
    await home.fill([Profile(f"hidden{n}", "x", "") for n in range(50)], "offline")
    people = crowd(QUIET + 1)
    await home.change(leave(people[0]))
    await home.change(choose(people[1], "away"))
    assert home.told_of() == [(people[0].user_id, "offline", 0), (people[1].user_id, "away", 1)]


async def test_a_crowd_that_goes_is_told_as_one_to_the_last(home: Home) -> None:
    people = crowd(650)
    await home.fill(people)
    assert (await home.change(*[leave(profile) for profile in people[:640]])).tell_in_ms == PACE_MS
    home.world.later(PACE_MS)
    assert (await home.renew()).tell_in_ms is None
    assert [len(event["users"]) for event in home.told()] == [500, 140]
    await home.change(leave(people[640]), leave(people[641]))
    assert [len(event["users"]) for event in home.told()] == [1, 1], "what is left is no crowd"


async def test_alone_in_its_second_a_change_has_the_fields_of_the_user_too(home: Home) -> None:
    people = crowd(QUIET + 1)
    await home.fill(people)
    await home.change(choose(people[7], "away"))
    (event,) = home.told()
    assert (event["userId"], event["status"], len(event["users"])) == (people[7].user_id, "away", 1)


async def test_one_event_has_five_hundred_users_and_the_rest_come_later_oldest_first(home: Home) -> None:
    people = crowd(1200)
    await home.fill(people)
    for start, wait_ms in ((600, PACE_MS), (0, PACE_MS - 1)):
        told = await home.change(*[choose(profile, "away") for profile in people[start : start + 600]])
        assert told.tell_in_ms == wait_ms
        home.world.later(1)
    found = [len(event["users"]) for event in home.told()]
    await home.change(*[choose(profile, "busy") for profile in people[1100:]])
    order = []
    for _ in range(2):
        home.world.later(PACE_MS)
        told = await home.renew()
        events = home.told()
        found += [len(event["users"]) for event in events]
        order += [user["userId"] for event in events for user in event["users"]]
    assert found == [500, 500, 200]
    assert told.tell_in_ms is None
    assert order[:100] == [profile.user_id for profile in people[1100:]]
    assert sorted(order[100:]) == [profile.user_id for profile in people[:600]]


async def test_who_comes_and_goes_within_a_second_is_told_as_it_ended(home: Home) -> None:
    people = crowd(QUIET + 10)
    await home.fill(people)
    await home.change(choose(people[0], "away"))
    home.told()
    await home.change(arrive(KIM))
    await home.change(leave(people[1]))
    await home.change(leave(KIM))
    await home.change(arrive(people[1], "c9"))
    home.world.later(PACE_MS)
    await home.renew()
    (event,) = home.told()
    told = {user["userId"]: (user["username"], user["status"]) for user in event["users"]}
    assert told == {"kim": ("Kim", "offline"), people[1].user_id: (people[1].username, "online")}
    assert home.world.redis.hexists("room:r:profiles", "kim") == 0
    assert home.world.redis.hexists("room:r:profiles", people[1].user_id) == 1


async def test_a_clock_that_went_back_holds_nothing_up_and_breaks_no_figure(home: Home) -> None:
    """After a failover the clock is another machine's."""
    people = crowd(QUIET + 5)
    await home.fill(people)
    await home.change(choose(people[0], "away"))
    home.told()
    home.world.later(-HOUR_MS)
    for n, profile in enumerate(people[1:4]):
        told = await home.change(choose(profile, "away"), arrive(Profile(f"new{n}", "x", "")))
        home.world.later(PACE_MS)
        assert told.tell_in_ms is None
    assert len(home.told_of()) == 6
    await home.change(*[leave(profile) for profile in people[4:]])
    assert home.world.redis.hmget("room:r", "measuredAt", "measured") == [str(home.world.now_ms), "7"]
    home.world.later(HOUR_MS)
    await home.change(arrive(LEE))
    for span in ("hours", "days"):
        for kept in home.world.redis.hvals(f"room:r:{span}"):
            assert all(number.isdigit() for number in kept.split()), kept


async def test_figures_go_on_from_a_clock_that_went_back(home: Home) -> None:
    await home.change(arrive(KIM))
    for back_ms in (1, HOUR_MS):
        home.world.later(-back_ms)
        await home.renew()
        assert home.world.redis.hget("room:r", "measuredAt") == str(home.world.now_ms)


# presence_page


async def test_pages_are_by_bytes_whatever_the_status(home: Home) -> None:
    names = ["Zoe", "a", "a-", "a.b", "ab", "b", "kim", "é", "가", "각", "나비", "홍", "𐐷", "z"]
    for n, name in enumerate(names):
        await home.change(arrive(Profile(name, name, ""), status=VISIBLE[n % 3]))
    ordered = sorted(names, key=lambda name: name.encode())
    assert ordered == sorted(names), "that is by code points"
    assert await home.ids() == (ordered, False)
    assert await home.ids(limit=len(names)) == (ordered, False)
    assert await home.ids(limit=len(names) - 1) == (ordered[:-1], True)
    for limit in (1, 2, 5):
        found: list[str] = []
        more = True
        while more:
            ids, more = await home.ids(after=found[-1] if found else "", limit=limit)
            assert len(ids) == limit or not more
            assert not set(ids) & set(found)
            found += ids
        assert found == ordered
    for n, status in enumerate(VISIBLE):
        of_status = sorted(names[n::3], key=lambda name: name.encode())
        assert await home.ids(status) == (of_status, False)
        assert await home.ids(status, limit=2) == (of_status[:2], True)
        assert await home.ids(status, after=of_status[1], limit=len(of_status) - 2) == (of_status[2:], False)
    assert await home.ids(after="a") == (ordered[ordered.index("a") + 1 :], False)
    assert await home.ids(after="aa") == (ordered[ordered.index("ab") :], False)
    assert await home.ids(after="𐐷") == ([], False)


async def test_a_page_says_how_many_there_are_and_where_the_room_stands(home: Home) -> None:
    await home.change(arrive(KIM, status="away"), arrive(LEE), arrive(Profile("x", "x", ""), status="offline"))
    for page in (await home.page(limit=1), await home.page("busy"), await home.page(after="홍")):
        assert page.counts == {"online": 1, "away": 1, "busy": 0}
        assert page.position == Position(home.world.redis.hget("room:r", "epoch"), 2)
    assert [json.loads(user) for user in (await home.page()).users] == await home.look(KIM, LEE)


# presence_look, presence_of


async def test_users_are_read_in_the_order_asked_also_who_is_unknown(home: Home) -> None:
    await home.change(arrive(KIM), arrive(LEE, status="busy"), place(LEE, "차:1"))
    x = Profile("x", "", "")
    assert [(user["userId"], user["status"], user["roomId"]) for user in await home.look(LEE, x, KIM, LEE)] == [
        ("홍", "busy", "차:1"), ("x", "offline", None), ("kim", "online", None), ("홍", "busy", "차:1"),
    ]  # fmt: skip
    assert await home.look() == []
    assert len(await home.look(*crowd(500))) == 500
    with pytest.raises(ValueError, match="500"):
        await home.look(*crowd(501))


async def test_statuses_of_thousands_are_read_in_one_call(home: Home) -> None:
    people = crowd(3000)
    for n, status in enumerate((*VISIBLE, "offline")):
        await home.fill(people[n:2800:4], status)
    found = await home.users.statuses("r", [profile.user_id for profile in people])
    expected = ["online", "away", "busy", "offline"] * 700 + ["offline"] * 200
    assert list(found.items()) == [(profile.user_id, status) for profile, status in zip(people, expected, strict=True)]
    assert await home.users.statuses("r", []) == {}


# Figures


async def figures(home: Home) -> tuple[dict[str, tuple[int, float]], dict[str, tuple[int, float]]]:
    return await home.users.figures("r", "hours"), await home.users.figures("r", "days")


async def test_peak_and_average_are_over_time(home: Home) -> None:
    people = crowd(10)
    await home.renew()
    home.world.later(10_000)
    await home.change(*[arrive(profile) for profile in people])
    home.world.later(30_000)
    await home.change(*[leave(profile) for profile in people[2:]])
    home.world.later(20_000)
    await home.renew()
    expected = (10, (0 * 10 + 10 * 30 + 2 * 20) / 60)
    assert await figures(home) == ({"2026-01-02T03": expected}, {"2026-01-02": expected})
    assert home.world.redis.hgetall("room:r:hours") == {"2026-01-02T03": "10 60000 340000"}


async def test_a_rise_is_measured_at_once_and_a_fall_within_a_second(home: Home) -> None:
    await home.change(arrive(KIM))
    home.world.later(10)
    await home.change(arrive(LEE))
    home.world.later(10)
    await home.change(leave(LEE))
    assert home.world.redis.hmget("room:r", "measuredAt", "measured") == [str(NOW_MS + 10), "2"]
    home.world.later(989)
    await home.renew()
    assert home.world.redis.hget("room:r", "measured") == "2"
    home.world.later(1)
    await home.renew()
    assert home.world.redis.hget("room:r", "measured") == "1"
    assert (await figures(home))[0] == {"2026-01-02T03": (2, (10 * 1 + 1000 * 2) / 1010)}


async def test_the_hidden_are_not_in_the_figures(home: Home) -> None:
    await home.change(arrive(KIM, status="offline"), arrive(LEE, status="away"))
    assert (await figures(home))[0] == {"2026-01-02T03": (1, 1.0)}


@pytest.mark.parametrize("late_ms", [0, 1, 2000])
async def test_over_an_hours_end_each_hour_and_day_gets_its_share(home: Home, late_ms: int) -> None:
    midnight = NOW_MS - NOW_MS % DAY_MS + DAY_MS
    home.world.later(midnight - 30_000 - NOW_MS)
    await home.change(arrive(KIM), arrive(LEE))
    home.world.later(30_000 + late_ms)
    await home.change(leave(LEE))
    kept = "2 30000 60000", f"2 {late_ms} {2 * late_ms}"
    assert home.world.redis.hgetall("room:r:hours") == {"2026-01-02T23": kept[0], "2026-01-03T00": kept[1]}
    assert home.world.redis.hgetall("room:r:days") == {"2026-01-02": kept[0], "2026-01-03": kept[1]}
    home.world.later(10_000)
    await home.renew()
    hours, days = await figures(home)
    share = (2 * late_ms + 10_000) / (late_ms + 10_000)
    assert hours == {"2026-01-02T23": (2, 2.0), "2026-01-03T00": (2, share)}
    assert days == {"2026-01-02": hours["2026-01-02T23"], "2026-01-03": hours["2026-01-03T00"]}


async def test_a_time_in_which_nobody_measured_counts_for_nothing(home: Home) -> None:
    await home.change(arrive(KIM))
    home.world.later(20_000)
    await home.renew("kim/c1")
    home.world.store.merciful = True
    home.world.later(60_001)
    await home.renew("kim/c1")
    home.world.later(10_000)
    await home.renew("kim/c1")
    assert home.world.redis.hget("room:r:hours", "2026-01-02T03") == "1 30000 30000"
    home.world.later(60_000)
    await home.renew("kim/c1")
    assert home.world.redis.hget("room:r:hours", "2026-01-02T03") == "1 90000 90000"


async def test_hours_and_days_are_kept_for_thirty_days(home: Home) -> None:
    for _ in range(32 * 24):
        await home.renew()
        home.world.later(HOUR_MS)
    await home.renew()
    hours, days = home.world.redis.hkeys("room:r:hours"), home.world.redis.hkeys("room:r:days")
    assert (len(hours), min(hours), max(hours)) == (721, "2026-01-04T03", "2026-02-03T03")
    assert (len(days), min(days), max(days)) == (31, "2026-01-04", "2026-02-03")
    # The oldest go with the first measurement of the next.
    home.world.later(DAY_MS)
    await home.renew()
    assert min(home.world.redis.hkeys("room:r:hours")) == "2026-01-05T03"
    assert min(home.world.redis.hkeys("room:r:days")) == "2026-01-05"


# Bounds


async def test_when_somebody_was_seen_is_forgotten_after_thirty_days(home: Home) -> None:
    await home.change(arrive(KIM), leave(KIM))
    home.world.later(30 * DAY_MS - 1)
    await home.change(arrive(LEE))
    assert (await home.look(KIM))[0]["lastSeen"] == NOW
    home.world.later(2)
    await home.change(arrive(Profile("x", "x", "")))
    assert (await home.look(KIM))[0]["lastSeen"] is None
    assert home.world.redis.zrange("room:r:seen", 0, -1) == ["홍", "x"]


async def test_when_somebody_was_seen_is_kept_of_a_hundred_thousand(home: Home) -> None:
    seen = {f"old{n}": NOW_MS - 1000 - n for n in range(100_000)}
    home.world.redis.zadd("room:r:seen", seen)
    await home.change(arrive(KIM), arrive(LEE))
    assert home.world.redis.zcard("room:r:seen") == 100_000
    assert home.world.redis.zmscore("room:r:seen", ["old99999", "old99998"]) == [None, None]
    assert None not in home.world.redis.zmscore("room:r:seen", ["old99997", "kim", "홍"])


async def test_every_key_of_the_room_is_bounded_by_who_is_there(home: Home) -> None:
    """Names and times of who was there stay for 30 days, the log by its retention; of everything else nothing."""
    for generation in range(6):
        people = crowd(300, f"g{generation}-")
        await home.fill(people)
        await home.change(*[place(profile, "tea") for profile in people])
        for n, status in enumerate((*VISIBLE, "offline")):
            await home.change(*[choose(profile, status) for profile in people[n::4]])
        await home.change(*[leave(profile) for profile in people[::2]], *[drop(profile) for profile in people[1::2]])
        home.world.later(GRACE_MS)
        while (await home.renew()).tell_in_ms is not None:
            home.world.later(PACE_MS)
    assert home.keys() == set()
    assert home.world.redis.zcard("room:r:seen") == 1800
    assert home.world.redis.xlen("room:r:log") < 700
    assert home.world.redis.hlen("room:r:hours") == home.world.redis.hlen("room:r:days") == 1


# users_touch, users_leave


async def touch(world: World, *arrivals: tuple[Profile, str]) -> list[str]:
    return [status for reply in world.store.users.touch(arrivals) for status in await reply]


async def test_a_user_who_comes_is_online_with_a_session(world: World) -> None:
    assert await touch(world, (KIM, "")) == ["online"]
    assert world.dump() == {
        "user:kim:presence": "online",
        "user:kim:session": {
            "username": "Kim", "avatar": "https://example.org/kim.png", "node": "n1", "lastSeen": str(NOW_MS),
        },
    }  # fmt: skip
    assert await world.store.users.session("kim") == KIM
    assert await world.store.users.session("lee") is None


async def test_entering_a_room_is_noted_and_a_renewal_does_not_change_it(world: World) -> None:
    await touch(world, (KIM, "r"))
    world.later(5000)
    await touch(world, (KIM, ""))
    session = world.redis.hgetall("user:kim:session")
    assert (session["roomId"], session["joinedAt"], session["lastSeen"]) == ("r", str(NOW_MS), str(NOW_MS + 5000))


async def test_what_a_node_knows_of_a_status_counts_only_where_redis_has_forgotten_it(world: World) -> None:
    known = {"kim": "offline", "홍": "busy"}
    (reply,) = world.store.users.touch([(KIM, ""), (LEE, "")], known)
    assert await reply == ["offline", "busy"]
    assert world.redis.get("user:kim:presence") == "offline"
    await world.store.users.choose("kim", "online")
    (reply,) = world.store.users.touch([(KIM, "")], known)
    assert await reply == ["online"]


async def test_many_users_are_touched_in_calls_of_five_hundred_and_each_gets_their_own(world: World) -> None:
    people = crowd(1001)
    await world.store.users.choose(people[500].user_id, "busy")
    await world.store.users.choose(people[1000].user_id, "away")
    replies = world.store.users.touch([(profile, f"room-{profile.user_id}") for profile in people])
    statuses = [await reply for reply in replies]
    assert [len(each) for each in statuses] == [500, 500, 1]
    assert (statuses[0], statuses[1][0], statuses[2]) == (["online"] * 500, "busy", ["away"])
    for n in (0, 499, 500, 999, 1000):
        session = world.redis.hgetall(f"user:{people[n].user_id}:session")
        assert (session["username"], session["roomId"]) == (f"User {n}", f"room-{people[n].user_id}")
        assert world.redis.exists(f"user:{people[n].user_id}:presence") == 1
    replies_of_leave = world.store.users.leave([profile.user_id for profile in people])
    assert len(replies_of_leave) == 3
    await asyncio.gather(*replies_of_leave)
    assert [key for key in world.redis.scan_iter() if key.endswith(":presence")] == []
    assert world.store.users.touch([]) == []
    assert world.store.users.leave([]) == []


@pytest.mark.parametrize("status", ["away", "busy", "offline"])
async def test_a_chosen_status_holds_for_all_connections_and_survives_a_reconnect(world: World, status: str) -> None:
    await touch(world, (KIM, ""))
    await world.store.users.choose("kim", status)
    assert world.redis.get("user:kim:presence") == status
    assert await touch(world, (LEE, ""), (KIM, "")) == ["online", status]
    await world.store.users.leave(["kim"])[0]
    assert world.redis.exists("user:kim:presence") == 0
    assert await touch(world, (KIM, "")) == [status]
    assert 25_000 < world.redis.pttl("user:kim:presence") <= 30_000
    assert 595_000 < world.redis.pttl("user:kim:session") <= 600_000


async def test_what_is_chosen_without_a_connection_is_remembered_and_makes_nobody_present(world: World) -> None:
    await world.store.users.choose("kim", "busy")
    assert world.dump() == {"user:kim:session": {"status": "busy"}}
    assert 595_000 < world.redis.pttl("user:kim:session") <= 600_000
    assert await world.store.users.session("kim") is None


async def test_choosing_is_heard_of_when_redis_has_it(world: World) -> None:
    heard: list[tuple[str, str]] = []
    world.store.users.on_chosen = lambda user_id, status: heard.append((user_id, status))
    reply = world.store.users.choose("kim", "busy")
    assert heard == []
    await reply
    assert heard == [("kim", "busy")]


async def test_whoever_changes_or_renews_hears_what_was_found(home: Home) -> None:
    heard: list[Told] = []
    home.users.on_told = heard.append
    told = [await home.change(arrive(KIM)), await home.renew("kim/c1")]
    assert heard == told


async def test_who_goes_has_no_room_and_was_seen_then(world: World) -> None:
    await touch(world, (KIM, "r"), (LEE, "r"))
    world.later(1000)
    await world.store.users.leave(["kim"])[0]
    session = world.redis.hgetall("user:kim:session")
    assert session == {"username": "Kim", "avatar": KIM.avatar, "node": "n1", "lastSeen": str(NOW_MS + 1000)}
    assert 595_000 < world.redis.pttl("user:kim:session") <= 600_000
    assert world.redis.hget("user:홍:session", "roomId") == "r"
    assert world.redis.exists("user:홍:presence") == 1


async def test_the_going_of_nobody_leaves_no_key(world: World) -> None:
    await world.store.users.leave(["kim"])[0]
    assert world.dump() == {}


async def test_a_user_whose_keys_were_lost_is_there_again_after_one_renewal(world: World) -> None:
    await touch(world, (KIM, "r"))
    world.redis.flushall()
    await touch(world, (KIM, ""))
    assert world.dump().keys() == {"user:kim:presence", "user:kim:session"}


# user_star


async def test_people_are_starred_up_to_a_limit_and_again_without_one(world: World) -> None:
    users = world.store.users
    assert await users.starred("kim") == []
    assert [await users.star("kim", name, 3) for name in ("홍", "a", "b")] == [True, True, True]
    assert await users.star("kim", "c", 3) is False
    assert await users.star("kim", "a", 3) is True, "who is starred stays so"
    assert await users.starred("kim") == ["a", "b", "홍"]
    assert await users.star("lee", "kim", 3) is True
    await users.unstar("kim", "a")
    await users.unstar("kim", "nobody")
    assert await users.star("kim", "c", 3) is True
    assert await users.starred("kim") == ["b", "c", "홍"]
    for name in ("b", "c", "홍"):
        await users.unstar("kim", name)
    assert world.redis.exists("user:kim:starred") == 0
