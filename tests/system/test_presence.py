"""Online status as protocol.md promises it, section "presence": several tabs and nodes, crashes, crowds, and who may
change what. Real nodes on a real Redis; where a promise names seconds, with the default settings."""

from __future__ import annotations

import asyncio
import json
import random
import signal
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import datetime
from itertools import pairwise
from typing import Any
from urllib.parse import quote

import httpx
import jwt
import pytest
from websockets.asyncio.client import ClientConnection, connect

from c2c.client import Client, StateReplaced
from tests.conftest import StartNode
from tests.support import NodeProcess, RedisServer, Talker, contiguous, eventually, nodes, talk

SECRET = "correct horse battery staple, 32 bytes and more"
USER_FIELDS = ["userId", "username", "avatar", "status", "lastSeen", "roomId", "connections"]
EVENT_FIELDS = ["seq", "epoch", "roomId", "t", "timestamp"]


@pytest.fixture(scope="module")
def redis_of_module() -> Iterator[RedisServer]:
    with RedisServer() as server:
        yield server


@pytest.fixture(scope="module")
def running_pair(redis_of_module: RedisServer) -> Iterator[list[NodeProcess]]:
    with nodes(redis_of_module.url, 2, grace_s=2) as started:
        yield started
        for node in started:
            assert "Traceback" not in node.log, node.log


@pytest.fixture
async def pair(running_pair: list[NodeProcess], redis_of_module: RedisServer) -> list[NodeProcess]:
    """Two nodes with a short grace period and nobody on them, on a Redis that remembers nobody."""
    server = redis_of_module.client
    server.flushall()
    await eventually(lambda: server.exists("room:online"), what="the room is there again")
    assert server.exists("room:online:signed-in") == 0
    return running_pair


@pytest.fixture
def node(pair: list[NodeProcess]) -> NodeProcess:
    return pair[0]


@pytest.fixture
def strict_node(redis_server: RedisServer) -> Iterator[NodeProcess]:
    """A node in auth mode `jwt`."""
    with NodeProcess(redis_server.url, auth="jwt", jwt_secret=SECRET, monitor="false") as node:
        yield node
        assert "Traceback" not in node.log, node.log


# ---- looking -------------------------------------------------------------------------------------------------------


def told(client: Talker, user_id: str) -> list[tuple[str, int]]:
    """What a client of `online` was told of a user, in order: status and number of connections."""
    return [
        (user["status"], user["connections"])
        for event in client.events("user:status")
        for user in event["users"]
        if user["userId"] == user_id
    ]


def statuses(client: Talker, user_id: str) -> list[str]:
    """The statuses that a client was told of a user, in order, without repetitions."""
    found = [status for status, _ in told(client, user_id)]
    return found[:1] + [after for before, after in pairwise(found) if before != after]


def as_seen(client: Talker) -> dict[str, str]:
    """User id → status after all that a client was shown: its last snapshot and the events behind it."""
    seen: dict[str, str] = {}
    for frame in client.frames:
        if frame["t"] == "joined" and frame["roomId"] == "online" and "state" in frame:
            seen = {user["userId"]: user["status"] for user in frame["state"]["users"]}
        if frame["t"] == "user:status" and frame["roomId"] == "online":
            seen |= {user["userId"]: user["status"] for user in frame["users"]}
    return {user_id: status for user_id, status in seen.items() if status != "offline"}


async def look(node: NodeProcess, path: str, user: str = "looker", **options: Any) -> Any:
    """The data of a GET, without holding up the clients of this process."""
    status, answer = await asyncio.to_thread(node.request, "GET", path, None, _bearer(user), **options)
    assert status == 200, answer
    return answer["data"]


async def ask(node: NodeProcess, method: str, path: str, body: object = None, user: str = "looker") -> tuple[int, Any]:
    """One request: its status, and its data or error."""
    status, answer = await asyncio.to_thread(node.request, method, path, body, _bearer(user))
    assert answer["success"] is (status < 300), answer
    return status, answer["data"] if answer["success"] else answer["error"]


def _bearer(user: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {quote(user)}"} if user else {}


async def everybody(node: NodeProcess, limit: int = 500, **query: str) -> list[dict[str, Any]]:
    """All users by REST, page by page."""
    found: list[dict[str, Any]] = []
    after = ""
    while True:
        rest = "".join(f"&{name}={quote(value)}" for name, value in query.items())
        page = await look(node, f"/api/online-status?limit={limit}{rest}{'&after=' + quote(after) if after else ''}")
        found += page["users"]
        if not page["more"]:
            assert "next" not in page
            return found
        after = page["next"]
        assert after == page["users"][-1]["userId"]


async def sign_in(client: Talker, user: str) -> None:
    assert (await client.ask("hello", token=user))["t"] == "welcome"


async def watch(client: Talker, user: str, **fields: Any) -> dict[str, Any]:
    """Follow the room `online`."""
    joined = await client.join("online", user, **fields)
    assert joined["t"] == "joined", joined
    return joined


@asynccontextmanager
async def crowd(doors: Sequence[NodeProcess], users: Sequence[str]) -> AsyncIterator[dict[str, ClientConnection]]:
    """Many users, each signed in on one of the nodes in turn, and gone in the end."""
    gate = asyncio.Semaphore(40)
    sockets: dict[str, ClientConnection] = {}

    async def enter(user: str, door: NodeProcess) -> None:
        async with gate:
            socket = await connect(door.ws_url, compression=None, ping_interval=None, open_timeout=60, close_timeout=5)
            sockets[user] = socket
            await socket.send(json.dumps({"t": "hello", "token": user}))
            assert json.loads(await socket.recv())["me"] == user

    try:
        async with asyncio.TaskGroup() as group:
            for number, user in enumerate(users):
                group.create_task(enter(user, doors[number % len(doors)]))
        yield sockets
    finally:
        await asyncio.gather(*[socket.close() for socket in sockets.values()])


def log_of(server: RedisServer) -> list[dict[str, Any]]:
    """All events that stand in the log of `online`."""
    return [json.loads(entry["e"]) for _, entry in server.client.xrange("room:online:log")]


def moment(timestamp: str) -> float:
    return datetime.fromisoformat(timestamp.replace("Z", "+00:00")).timestamp()


# ---- several connections, coming and going -------------------------------------------------------------------------


async def test_two_of_three_connections_on_two_nodes_change_nothing_and_the_third_shows_offline_within_a_second_once(
    pair: list[NodeProcess],
) -> None:
    first, second = pair
    async with talk(second.ws_url) as watcher, talk(first.ws_url) as other_watcher:
        await watch(watcher, "watcher")
        await watch(other_watcher, "watcher2")
        async with talk(first.ws_url) as one, talk(second.ws_url) as two, talk(first.ws_url) as three:
            for client in (one, two, three):
                await sign_in(client, "kim")
            await eventually(lambda: ("online", 3) in told(watcher, "kim"))
            for left, client in ((2, one), (1, two)):
                await client.close()
                await eventually(lambda left=left: told(watcher, "kim")[-1] == ("online", left))
            assert statuses(watcher, "kim") == ["online"]
            closed_at_s = time.monotonic()
            await three.close()
            await eventually(lambda: statuses(watcher, "kim") == ["online", "offline"], 1)
            assert time.monotonic() - closed_at_s <= 1
        marker = await look(first, "/api/online-status/kim")
        assert (marker["status"], marker["connections"]) == ("offline", 0)
        # Whoever comes later is told later: what comes before that is all there was.
        async with talk(first.ws_url) as later:
            await sign_in(later, "later")
            for client in (watcher, other_watcher):
                await eventually(lambda client=client: told(client, "later"))
                assert told(client, "kim").count(("offline", 0)) == 1
                assert contiguous(client.seqs)


async def test_twenty_reloads_in_a_row_show_no_offline_and_no_second_online(pair: list[NodeProcess]) -> None:
    async with talk(pair[1].ws_url) as watcher:
        await watch(watcher, "watcher")
        for number in range(20):
            async with talk(pair[number % 2].ws_url) as page:
                await sign_in(page, "reloader")
                await eventually(lambda: told(watcher, "reloader"))
                if number % 2:
                    await page.socket.close(1001)
                else:
                    page.socket.transport.abort()
        async with talk(pair[0].ws_url) as page:
            await sign_in(page, "reloader")
            # All that is left behind has ended, and still there was neither an offline nor a second coming.
            await eventually(lambda: told(watcher, "reloader")[-1] == ("online", 1))
            assert statuses(watcher, "reloader") == ["online"]
            async with talk(pair[1].ws_url) as newcomer:
                joined = await watch(newcomer, "newcomer")
                assert joined["presence"]["reloader"] == "online"


async def test_who_drops_and_comes_back_before_the_grace_ends_was_never_gone_for_a_lone_tab_either(
    start_node: StartNode,
) -> None:
    node = start_node()
    async with talk(node.ws_url) as watcher:
        await watch(watcher, "watcher")
        async with talk(node.ws_url) as page:
            await sign_in(page, "kim")
            await watcher.wait_for("user:status")
            page.socket.transport.abort()
        await asyncio.sleep(1.2)  # longer than a clean leave may take
        assert statuses(watcher, "kim") == ["online"]
        assert (await look(node, "/api/online-status/kim"))["online"] is True
        async with talk(node.ws_url) as page:
            await sign_in(page, "kim")
            await eventually(lambda: told(watcher, "kim")[-1] == ("online", 1), 15)
            assert statuses(watcher, "kim") == ["online"]


async def test_who_was_dropped_and_does_not_come_back_is_offline_after_the_grace_once(pair: list[NodeProcess]) -> None:
    async with talk(pair[1].ws_url) as watcher, talk(pair[0].ws_url) as other:
        await watch(watcher, "watcher")
        await watch(other, "other")
        async with talk(pair[0].ws_url) as page:
            await sign_in(page, "kim")
            await eventually(lambda: told(watcher, "kim"))
            dropped_at_s = time.monotonic()
            page.socket.transport.abort()
        await eventually(lambda: statuses(watcher, "kim") == ["online", "offline"], 4)
        assert time.monotonic() - dropped_at_s >= 2 - 0.1
        await eventually(lambda: statuses(other, "kim") == ["online", "offline"])
        assert told(watcher, "kim") == [("online", 1), ("offline", 0)]


async def test_the_room_somebody_entered_last_is_told_and_who_is_offline_is_in_none(pair: list[NodeProcess]) -> None:
    node = pair[0]
    node.open_room("tea")
    node.open_room("cake")
    async with talk(pair[1].ws_url) as watcher, talk(node.ws_url) as kim:
        await watch(watcher, "watcher")
        await kim.join("tea", "kim")
        await kim.join("cake", "kim")
        await eventually(lambda: _places(watcher, "kim")[-1:] == ["cake"])
        await kim.ask("leave", roomId="cake")
        await eventually(lambda: _places(watcher, "kim")[-1:] == ["tea"])
        assert (await look(node, "/api/online-status/kim"))["roomId"] == "tea"
        await watch(kim, "kim")
        assert (await look(node, "/api/online-status/kim"))["roomId"] == "tea"
        await kim.close()
        await eventually(lambda: statuses(watcher, "kim")[-1:] == ["offline"])
        assert _places(watcher, "kim")[-1] is None


def _places(client: Talker, user_id: str) -> list[Any]:
    users = [user for event in client.events("user:status") for user in event["users"]]
    return [user["roomId"] for user in users if user["userId"] == user_id]


# ---- crashes -------------------------------------------------------------------------------------------------------


async def test_a_killed_node_with_1000_users_is_told_once_within_35_s_and_a_node_stopped_for_29_s_loses_nobody(
    redis_server: RedisServer,
) -> None:
    with nodes(redis_server.url, 4) as (doomed, stalled, *survivors):
        ghosts = [f"ghost{n:04}" for n in range(1000)]
        sleepers = [f"sleeper{n:02}" for n in range(40)]
        async with AsyncExitStack() as stack:
            watchers = [await stack.enter_async_context(talk(node.ws_url)) for node in survivors]
            for number, watcher in enumerate(watchers):
                await watch(watcher, f"watcher{number}")
            await stack.enter_async_context(crowd([doomed], ghosts))
            await stack.enter_async_context(crowd([stalled], sleepers))
            assert doomed.metric("c2c_connections") == len(ghosts)
            await eventually(lambda: all(as_seen(watcher).keys() >= {*ghosts, *sleepers} for watcher in watchers), 30)
            assert (await look(survivors[0], "/api/online-status?limit=1"))["count"] == 1042

            # The stalled node is back, and its leniency over, before the first of the killed one's leases ends.
            stalled.signal(signal.SIGSTOP)
            stopped_at_s = time.monotonic()
            await eventually(lambda: time.monotonic() - stopped_at_s >= 14, 15)
            doomed.kill()
            killed_at_s = time.monotonic()
            while not all(_gone(watcher) >= set(ghosts) for watcher in watchers):
                assert time.monotonic() - killed_at_s <= 35, [len(_gone(watcher)) for watcher in watchers]
                if time.monotonic() - stopped_at_s >= 29:
                    stalled.signal(signal.SIGCONT)
                await asyncio.sleep(0.02)
            took_s = time.monotonic() - killed_at_s
            print(f"the last of 1,000 was told {took_s:.1f} s after the kill")
            assert time.monotonic() - stopped_at_s >= 29 + 8, "the stalled node has had time for mistakes"

            for watcher in watchers:
                offline = Counter(
                    user["userId"]
                    for event in watcher.events("user:status")
                    for user in event["users"]
                    if user["status"] == "offline"
                )
                assert offline == Counter(ghosts)
                assert contiguous(watcher.seqs)
            there = sorted([*sleepers, "watcher0", "watcher1"])
            for node in (stalled, *survivors):
                page = await look(node, "/api/online-status")
                assert [user["userId"] for user in page["users"]] == there
                assert (page["count"], page["more"]) == (42, False)
                assert (await look(node, "/api/online-status/ghost0500"))["status"] == "offline"
                summary = await look(node, "/api/online-status/stats/summary")
                assert summary["stats"] == {"total": 42, "byStatus": {"online": 42, "away": 0, "busy": 0}}
                assert (await look(node, "/api/rooms/online"))["members"] == there
            listed = await watchers[0].ask("online:list")
            assert [user["userId"] for user in listed["users"]] == there
            assert sorted(as_seen(watchers[1])) == there
            assert redis_server.client.zcard("room:online:signed-in") == 42


def _gone(client: Talker) -> set[str]:
    return {
        user["userId"]
        for event in client.events("user:status")
        for user in event["users"]
        if user["status"] == "offline"
    }


async def test_everybody_is_back_within_seconds_when_redis_has_forgotten_everything(
    redis_server: RedisServer,
) -> None:
    users = [f"user{n:03}" for n in range(60)]
    with nodes(redis_server.url, 2) as pair:
        async with crowd(pair, users), talk(pair[0].ws_url) as first, talk(pair[1].ws_url) as second:
            await watch(first, "first")
            epoch = (await watch(second, "second"))["epoch"]
            there = sorted([*users, "first", "second"])
            await sign_in(first, "first")
            await first.ask("status:update", status="busy")
            for forget in (redis_server.client.flushall, lambda: _restart(redis_server)):
                before = [len(client.of("joined")) for client in (first, second)]
                forget()
                await eventually(lambda: _listed(pair[1], there), 12, "everybody is listed again")
                for client, count in zip((first, second), before, strict=True):
                    await eventually(lambda client=client, count=count: len(client.of("joined")) > count, 12)
                    state = client.of("joined")[-1]
                    assert (state["recovered"], state["reason"]) == (False, "epoch")
                    assert state["epoch"] != epoch
                    await eventually(lambda client=client: sorted(as_seen(client)) == there, 12)


async def _listed(node: NodeProcess, user_ids: list[str]) -> bool:
    status, answer = await asyncio.to_thread(node.get, "/api/online-status?limit=500")
    return status == 200 and [user["userId"] for user in answer["data"]["users"]] == user_ids


def _restart(server: RedisServer) -> None:
    server.kill()
    server.start()


# ---- statuses that people choose -----------------------------------------------------------------------------------


async def test_a_chosen_status_holds_for_all_connections_and_a_reconnect(pair: list[NodeProcess]) -> None:
    first, second = pair
    async with talk(second.ws_url) as watcher:
        await watch(watcher, "watcher")
        async with talk(first.ws_url) as one, talk(second.ws_url) as two:
            await sign_in(one, "kim")
            await sign_in(two, "kim")
            assert await one.ask("status:update", id="u1", status="busy") == {
                "t": "status:updated", "id": "u1", "status": "busy",
            }  # fmt: skip
            await eventually(lambda: told(watcher, "kim")[-1:] == [("busy", 2)])
            async with talk(first.ws_url) as three:
                await sign_in(three, "kim")
                await eventually(lambda: told(watcher, "kim")[-1] == ("busy", 3))
            await one.close()
            await eventually(lambda: told(watcher, "kim")[-1] == ("busy", 1))
            await two.close()
        await eventually(lambda: statuses(watcher, "kim") == ["online", "busy", "offline"])
        async with talk(second.ws_url) as back:
            await sign_in(back, "kim")
            await eventually(lambda: statuses(watcher, "kim") == ["online", "busy", "offline", "busy"])
            answer = await back.ask("status:query", targetUserId="kim")
            assert (answer["status"], answer["online"]) == ("busy", True)
            assert (await look(first, "/api/online-status?status=busy"))["count"] == 1
            assert [user["userId"] for user in await everybody(first, status="busy")] == ["kim"]
            await back.ask("status:update", status="away")
            await eventually(lambda: statuses(watcher, "kim")[-1] == "away")
            assert (await look(first, "/api/online-status?status=busy"))["count"] == 0
            away_since = (await look(first, "/api/online-status/kim"))["lastSeen"]
            assert (await look(second, "/api/online-status/kim"))["lastSeen"] == away_since


async def test_somebody_hidden_leaks_nowhere(pair: list[NodeProcess]) -> None:
    first, second = pair
    first.open_room("cellar")
    async with talk(second.ws_url) as watcher, talk(first.ws_url) as kim, talk(second.ws_url) as mate:
        await watch(watcher, "watcher")
        await mate.join("cellar", "mate")
        await kim.join("cellar", "kim")
        await eventually(lambda: statuses(watcher, "kim") == ["online"])
        await eventually(lambda: _places(watcher, "kim")[-1] == "cellar")
        await kim.ask("status:update", status="offline")
        await eventually(lambda: statuses(watcher, "kim") == ["online", "offline"])
        assert told(watcher, "kim")[-1] == ("offline", 0)
        assert _places(watcher, "kim")[-1] is None
        await eventually(lambda: [e["status"] for e in mate.of("user:status")][-1:] == ["offline"])
        events = len(told(watcher, "kim"))

        # Whatever a hidden user does, their room of who is signed in tells nobody.
        async with talk(second.ws_url) as phone:
            await sign_in(phone, "kim")
            await watch(phone, "kim")
            await kim.ask("leave", roomId="cellar")
            await kim.join("cellar", "kim")
            await kim.ask("heartbeat")
            assert (await ask(first, "POST", "/api/online-status/heartbeat", user="kim"))[0] == 200
            for node in pair:
                shown = await look(node, "/api/online-status/kim")
                assert (shown["online"], shown["status"], shown["roomId"], shown["connections"]) == (
                    False, "offline", None, 0,
                )  # fmt: skip
                assert "kim" not in {user["userId"] for user in await everybody(node)}
                room = await look(node, "/api/rooms/online")
                assert "kim" not in room["members"]
                assert "kim" not in room["presence"]
                assert room["memberCount"] == len(room["members"])
                summary = await look(node, "/api/online-status/stats/summary")
                assert summary["stats"]["total"] == len(room["members"])
                assert (await look(node, "/api/rooms/cellar"))["presence"]["kim"] == "offline"
            queried = await watcher.ask("status:query", targetUserId="kim")
            assert (queried["online"], queried["status"], queried["connections"]) == (False, "offline", 0)
            assert "kim" not in {user["userId"] for user in (await watcher.ask("online:list"))["users"]}
            async with talk(second.ws_url) as newcomer:
                joined = await watch(newcomer, "newcomer")
                assert "kim" not in {*joined["members"], *joined["presence"], *as_seen(newcomer)}
                assert (await newcomer.join("cellar", "newcomer"))["presence"]["kim"] == "offline"
        await kim.close()
        async with talk(first.ws_url) as back:
            await sign_in(back, "kim")
            async with talk(first.ws_url) as marker:
                await sign_in(marker, "marker")
                await eventually(lambda: told(watcher, "marker"))
                assert len(told(watcher, "kim")) == events
            await back.ask("status:update", status="online")
            await eventually(lambda: statuses(watcher, "kim") == ["online", "offline", "online"])


async def test_somebody_who_comes_into_a_room_hidden_is_not_taken_for_online_there(pair: list[NodeProcess]) -> None:
    first, second = pair
    first.open_room("attic")
    async with talk(first.ws_url) as early:
        await sign_in(early, "shy")
        await early.ask("status:update", status="offline")
        await early.close()
    async with Client(second.ws_url, token="mate") as mate:
        room = await mate.join("attic")
        async with talk(first.ws_url) as shy:
            await shy.join("attic", "shy")
            await eventually(lambda: room.presence.get("shy") == "offline")
            await shy.ask("status:update", status="busy")
            await eventually(lambda: room.presence.get("shy") == "busy")


async def test_typing_and_a_chosen_status_are_told_to_the_other_rooms(pair: list[NodeProcess]) -> None:
    first, second = pair
    first.open_room("den")
    first.open_room("hall")
    async with talk(second.ws_url) as mate, talk(first.ws_url) as kim, talk(second.ws_url) as stranger:
        await mate.join("den", "mate")
        await stranger.join("hall", "stranger")
        await kim.join("den", "kim")
        assert (await kim.ask("typing", roomId="den", typing=True))["t"] == "ack"
        assert await mate.wait_for("typing") == {"t": "typing", "roomId": "den", "userId": "kim", "typing": True}
        await kim.ask("status:update", status="busy")
        event = await mate.wait_for("user:status")
        assert event.keys() == {"t", "roomId", "userId", "username", "status", "lastSeen"}
        assert (event["roomId"], event["userId"], event["status"]) == ("den", "kim", "busy")
        assert abs(moment(event["lastSeen"]) - time.time()) < 60
        # By REST, on another node than the user's.
        assert await ask(second, "PUT", "/api/online-status/kim", {"status": "away"}, "kim") == (
            200,
            {"status": "away"},
        )
        await eventually(lambda: mate.of("user:status")[-1]["status"] == "away", 15)
        assert stranger.of("user:status") == stranger.of("typing") == []
        assert (await kim.ask("typing", roomId="online", typing=True))["code"] == "NOT_A_MEMBER"
        await watch(kim, "kim")
        assert (await kim.ask("typing", roomId="online", typing=True))["code"] == "UNKNOWN_COMMAND"


# ---- one's own only ------------------------------------------------------------------------------------------------


async def test_nobody_changes_anybody_elses_status_by_any_command_or_route(pair: list[NodeProcess]) -> None:
    first, second = pair
    async with talk(second.ws_url) as watcher, talk(first.ws_url) as victim, talk(first.ws_url) as mallory:
        await watch(watcher, "watcher")
        await sign_in(victim, "victim")
        await watch(mallory, "mallory")
        await eventually(lambda: told(watcher, "victim"))
        for field in ("userId", "targetUserId", "user"):
            forged: dict[str, Any] = {field: "victim"}
            assert (await mallory.ask("status:update", status="busy", **forged))["code"] == "BAD_FRAME"
        for t in ("user:status", "user:choose", "presence", "status:set"):
            assert (await mallory.ask(t, userId="victim", status="busy"))["code"] == "UNKNOWN_COMMAND"
        assert (await mallory.ask("hello", token="victim"))["code"] == "FORBIDDEN"
        assert (await mallory.ask("join", roomId="online", token="victim"))["code"] == "FORBIDDEN"
        body = {"status": "busy"}
        for node in pair:
            status, error = await ask(node, "PUT", "/api/online-status/victim", body, "mallory")
            assert (status, error["code"]) == (403, "FORBIDDEN")
            status, error = await ask(node, "PUT", "/api/online-status/victim", {**body, "userId": "victim"}, "mallory")
            assert (status, error["code"]) == (422, "BAD_VALUE")
        for method in ("POST", "PATCH", "DELETE"):
            assert (await asyncio.to_thread(_status, first, method, "/api/online-status/victim", body)) == 405
        assert (await mallory.ask("status:update", status="busy", roomId="victim"))["code"] == "BAD_VALUE"
        for t, fields in (
            ("status:update", {"status": "busy", "userId": "victim"}),
            ("user:status", {"userId": "victim", "status": "busy"}),
            ("msg", {"text": "x"}),
        ):
            status, error = await ask(first, "POST", "/api/rooms/online/events", {"t": t, **fields}, "mallory")
            assert (status, error["code"]) in ((400, "BAD_FRAME"), (404, "UNKNOWN_COMMAND")), t
        assert (await ask(first, "POST", "/api/rooms", {"roomId": "online"}, "mallory"))[0] == 409
        assert (await ask(first, "POST", "/api/rooms", {"roomId": "pub", "kind": "presence"}, "mallory"))[0] == 422
        assert (await mallory.ask("msg", roomId="online", text="x"))["code"] == "UNKNOWN_COMMAND"
        assert (await ask(first, "POST", "/api/online-status/heartbeat", {"userId": "nobody"}, "mallory"))[0] == 200
        assert (await look(first, "/api/online-status/nobody"))["online"] is False
        # One's own works by each way, and nobody has heard of another change.
        assert (await mallory.ask("status:update", status="busy"))["t"] == "status:updated"
        await eventually(lambda: statuses(watcher, "mallory")[-1:] == ["busy"])
        event = {"t": "status:update", "status": "away"}
        assert (await ask(second, "POST", "/api/rooms/online/events", event, "mallory"))[0] == 200
        await eventually(lambda: statuses(watcher, "mallory")[-1:] == ["away"])
        assert statuses(watcher, "victim") == ["online"]
        assert (await look(second, "/api/online-status/victim"))["status"] == "online"


def _status(node: NodeProcess, method: str, path: str, body: object) -> int:
    return node.request(method, path, body, _bearer("mallory"))[0]


ROUTES = [
    ("GET", "/api/online-status"),
    ("GET", "/api/online-status/kim"),
    ("PUT", "/api/online-status/kim"),
    ("POST", "/api/online-status/heartbeat"),
    ("GET", "/api/online-status/stats/summary"),
    ("GET", "/api/starred"),
    ("PUT", "/api/starred/lee"),
    ("DELETE", "/api/starred/lee"),
    ("GET", "/api/rooms/online"),
    ("GET", "/api/rooms/online/events"),
]


def _token(user: str, **more: Any) -> str:
    return jwt.encode({"sub": user, "exp": int(time.time()) + 600, **more}, SECRET, algorithm="HS256")


async def test_without_a_token_everything_is_unauthorized_and_nothing_changes(
    strict_node: NodeProcess, redis_server: RedisServer
) -> None:
    stranger = jwt.encode({"sub": "kim", "exp": int(time.time()) + 600}, "x" * 40, algorithm="HS256")
    late = jwt.encode({"sub": "kim", "exp": int(time.time()) - 600}, SECRET, algorithm="HS256")
    redis_server.count_calls()
    before = redis_server.calls()
    for method, path in ROUTES:
        body = {"status": "busy"} if method == "PUT" else None
        for token in ("", stranger, late, "kim"):
            status, error = await ask(strict_node, method, path, body, token)
            assert (status, error["code"]) == (401, "UNAUTHORIZED"), (method, path)
    commands: dict[str, dict[str, Any]] = {
        "status:update": {"status": "busy"},
        "online:list": {},
        "status:query": {"targetUserId": "kim"},
        "heartbeat": {},
        "join": {"roomId": "online"},
    }
    for t, fields in commands.items():
        async with talk(strict_node.ws_url) as client:
            assert (await client.ask(t, **fields))["code"] == "UNAUTHORIZED"
            assert await client.wait_closed() == 4401
    assert redis_server.calls() == before
    for method, path in ROUTES:
        body = {"status": "busy"} if method == "PUT" else None
        assert (await ask(strict_node, method, path, body, _token("kim")))[0] == 200, (method, path)


async def test_a_token_for_some_rooms_only_opens_online_only_if_it_names_it(strict_node: NodeProcess) -> None:
    async with talk(strict_node.ws_url) as client:
        assert (await client.join("online", _token("kim", rooms=["tea"])))["code"] == "ROOM_NOT_FOUND"
    async with talk(strict_node.ws_url) as client:
        assert (await client.join("online", _token("kim", rooms=["online"])))["t"] == "joined"


async def test_name_and_avatar_are_those_of_the_token_and_a_new_token_changes_them_for_all(
    strict_node: NodeProcess,
) -> None:
    names = {"name": '김 "Kim" \\ <b>\u2028\n😀', "picture": "https://example.org/kim.png?a=1&b=2"}
    async with talk(strict_node.ws_url) as watcher, talk(strict_node.ws_url) as kim:
        await watch(watcher, _token("watcher"))
        await sign_in(kim, _token("kim", **names))
        user = (await watcher.wait_for("user:status", 1))["users"][0]
        shown = await look(strict_node, "/api/online-status/kim", _token("looker"))
        assert (user["username"], user["avatar"]) == (shown["username"], shown["avatar"])
        assert (shown["username"], shown["avatar"]) == (names["name"], names["picture"])
        await sign_in(kim, _token("kim", name="Kim Lee"))
        user = (await watcher.wait_for("user:status", 2))["users"][0]
        assert (user["userId"], user["username"], user["avatar"]) == ("kim", "Kim Lee", "")
        await kim.close()
        await eventually(lambda: statuses(watcher, "kim") == ["online", "offline"])
        # Somebody who has just gone still has a name.
        shown = await look(strict_node, "/api/online-status/kim", _token("looker"))
        assert (shown["username"], shown["status"]) == ("Kim Lee", "offline")


async def test_the_name_of_somebody_hidden_is_forgotten_as_that_of_somebody_gone(redis_server: RedisServer) -> None:
    settings = {"auth": "jwt", "jwt_secret": SECRET, "session_ttl_s": 4, "presence_ttl_s": 1}
    with NodeProcess(redis_server.url, **settings) as node:
        async with talk(node.ws_url) as hidden:
            async with talk(node.ws_url) as gone:
                await sign_in(gone, _token("gone", name="G", picture="https://example.org/g.png"))
                await sign_in(hidden, _token("hidden", name="H", picture="https://example.org/h.png"))
                await eventually(lambda: redis_server.client.scard("room:online:members") == 2)
                await hidden.ask("status:update", status="offline")

            async def names(expected: list[tuple[str, str]]) -> bool:
                shown = [await look(node, f"/api/online-status/{user}", _token("x")) for user in ("gone", "hidden")]
                assert {user["status"] for user in shown} == {"offline"}
                return [(user["username"], user["avatar"][-5:]) for user in shown] == expected

            await eventually(lambda: names([("G", "g.png"), ("H", "h.png")]))
            await eventually(lambda: names([("gone", ""), ("hidden", "")]))


# ---- shapes and limits ---------------------------------------------------------------------------------------------


async def test_every_answer_has_its_documented_shape(node: NodeProcess) -> None:
    async with talk(node.ws_url) as watcher, talk(node.ws_url) as kim:
        joined = await watch(watcher, "watcher")
        assert joined.keys() == {
            "t", "id", "roomId", "kind", "me", "members", "presence", "epoch", "seq", "recovered", "state",
        }  # fmt: skip
        assert (joined["kind"], joined["recovered"]) == ("presence", False)
        assert joined["state"].keys() == {"users", "more", "stats"}
        assert joined["state"]["stats"] == {"total": 1, "byStatus": {"online": 1, "away": 0, "busy": 0}}
        assert (joined["members"], joined["presence"]) == (["watcher"], {"watcher": "online"})

        await sign_in(kim, "kim")
        event = await watcher.wait_for("user:status")
        assert list(event) == [*EVENT_FIELDS, "userId", "username", "status", "lastSeen", "users"]
        assert list(event["users"][0]) == USER_FIELDS
        assert event["users"][0] == {
            "userId": "kim", "username": "kim", "avatar": "", "status": "online", "lastSeen": event["timestamp"],
            "roomId": None, "connections": 1,
        }  # fmt: skip
        assert (event["roomId"], event["userId"], event["status"]) == ("online", "kim", "online")

        listed = await watcher.ask("online:list", id="l")
        assert listed.keys() == {"t", "id", "users", "more"}
        assert (listed["t"], listed["id"], listed["more"]) == ("online:users", "l", False)
        assert [list(user) for user in listed["users"]] == [USER_FIELDS, USER_FIELDS]
        paged = await watcher.ask("online:list", limit=1)
        assert paged.keys() == {"t", "id", "users", "more", "next"}
        assert (paged["more"], paged["next"]) == (True, "kim")
        rest = await watcher.ask("online:list", limit=1, after="kim", status="online")
        assert [user["userId"] for user in rest["users"]] == ["watcher"]
        queried = await watcher.ask("status:query", targetUserId="kim")
        assert queried.keys() == {"t", "id", "online", *USER_FIELDS}
        assert queried["t"] == "status:result"
        beaten = await watcher.ask("heartbeat")
        assert beaten.keys() == {"t", "id", "serverTime"}
        assert beaten["t"] == "heartbeat:ack"
        assert abs(beaten["serverTime"] / 1000 - time.time()) < 60

        page = await look(node, "/api/online-status")
        assert page.keys() == {"count", "users", "more"}
        assert (page["count"], [list(user) for user in page["users"]]) == (2, [USER_FIELDS] * 2)
        page = await look(node, "/api/online-status?limit=1")
        assert page.keys() == {"count", "users", "more", "next"}
        assert (page["count"], page["more"], page["next"]) == (2, True, "kim")
        shown = await look(node, "/api/online-status/kim")
        assert shown.keys() == {"online", *USER_FIELDS}
        assert {**shown, "lastSeen": ""} == {
            "online": True, "userId": "kim", "username": "kim", "avatar": "", "status": "online", "lastSeen": "",
            "roomId": None, "connections": 1,
        }  # fmt: skip
        assert await look(node, "/api/online-status/nobody.at.all") == {
            "online": False, "userId": "nobody.at.all", "username": "nobody.at.all", "avatar": "", "status": "offline",
            "lastSeen": None, "roomId": None, "connections": 0,
        }  # fmt: skip
        assert await ask(node, "PUT", "/api/online-status/kim", {"status": "away"}, "kim") == (200, {"status": "away"})
        _, beat = await ask(node, "POST", "/api/online-status/heartbeat", user="kim")
        assert beat.keys() == {"serverTime"}
        summary = await look(node, "/api/online-status/stats/summary?hours=1&days=1")
        assert summary.keys() == {"stats", "hours", "days"}
        assert summary["stats"] == {"total": 2, "byStatus": {"online": 1, "away": 1, "busy": 0}}
        for name, pattern in (("hours", "%Y-%m-%dT%H:00:00.000Z"), ("days", "%Y-%m-%dT00:00:00.000Z")):
            (figures,) = summary[name]
            assert figures.keys() == {"from", "peak", "average"}
            assert abs(moment(figures["from"]) - time.time()) <= 86400
            assert datetime.fromisoformat(figures["from"]).strftime(pattern) == figures["from"]
        assert await ask(node, "PUT", "/api/starred/lee", user="kim") == (200, {"userId": "lee", "starred": True})
        assert await look(node, "/api/starred", "kim") == {"users": ["lee"]}
        assert await look(node, "/api/starred", "watcher") == {"users": []}
        assert await ask(node, "DELETE", "/api/starred/lee", user="kim") == (200, {"userId": "lee", "starred": False})
        assert await look(node, "/api/starred", "kim") == {"users": []}
        room = await look(node, "/api/rooms/online")
        assert room.keys() == {
            "roomId", "kind", "title", "status", "memberCount", "members", "presence", "epoch", "seq", "createdAt",
        }  # fmt: skip
        assert (room["kind"], room["members"]) == ("presence", ["kim", "watcher"])
        assert room["presence"] == {"kim": "away", "watcher": "online"}
        await ask(node, "PUT", "/api/online-status/kim", {"status": "online"}, "kim")


BAD_IDS = ["x" * 65, "a b", "a/b", "a*", "😀", "a:b", "a\u202eb", "", "a\nb"]


async def test_bad_ids_statuses_and_limits_are_bad_values_and_redis_is_not_asked(redis_server: RedisServer) -> None:
    # Nobody's presence is renewed meanwhile: that would be a call.
    with NodeProcess(redis_server.url, monitor="false", presence_ttl_s=3600) as node:
        async with talk(node.ws_url) as client:
            await sign_in(client, "kim")
            await client.ask("online:list")
            redis_server.count_calls()
            before = redis_server.calls()
            for bad in BAD_IDS:
                for t, field in (("status:query", "targetUserId"), ("online:list", "after")):
                    fields: dict[str, Any] = {field: bad}
                    answer = await client.ask(t, **fields)
                    assert (answer["code"], answer["field"]) == ("BAD_VALUE", field), (t, bad)
                if bad not in ("", "a/b"):
                    for method, path, field in (
                        ("GET", "/api/online-status/{}", "userId"),
                        ("PUT", "/api/online-status/{}", "userId"),
                        ("PUT", "/api/starred/{}", "userId"),
                        ("DELETE", "/api/starred/{}", "userId"),
                        ("GET", "/api/online-status?after={}", "after"),
                    ):
                        body = {"status": "busy"} if method == "PUT" else None
                        status, error = await ask(node, method, path.format(quote(bad, safe="")), body, "kim")
                        assert (status, error["code"], error["details"]["field"]) == (422, "BAD_VALUE", field), path
            for status_ in ("", "ONLINE", "gone", 1, None, True, ["online"]):
                assert (await client.ask("status:update", status=status_))["code"] == "BAD_VALUE", status_
                code, error = await ask(node, "PUT", "/api/online-status/kim", {"status": status_}, "kim")
                assert (code, error["code"], error["details"]["field"]) == (422, "BAD_VALUE", "status"), status_
            assert (await client.ask("status:update"))["code"] in ("BAD_VALUE", "BAD_FRAME")
            assert (await ask(node, "PUT", "/api/online-status/kim", {}, "kim"))[0] == 422
            assert (await client.ask("online:list", status="offline"))["code"] == "BAD_VALUE"
            for limit in (0, 501, -1, "5", 1.5):
                assert (await client.ask("online:list", limit=limit))["code"] == "BAD_VALUE", limit
            for query in ("limit=0", "limit=501", "limit=x", "limit=", "status=offline", "status=", "after="):
                status, error = await ask(node, "GET", f"/api/online-status?{query}")
                assert (status, error["details"]["field"]) == (422, query.split("=")[0]), query
            for query in ("hours=0", "hours=721", "days=0", "days=31", "hours=x"):
                status, error = await ask(node, "GET", f"/api/online-status/stats/summary?{query}")
                assert (status, error["details"]["field"]) == (422, query.split("=")[0]), query
            assert redis_server.calls() == before
            assert len((await client.ask("online:list", limit=500))["users"]) == 1
            assert redis_server.calls() > before


async def test_a_user_has_at_most_200_stars_and_keeps_them(node: NodeProcess) -> None:
    async with httpx.AsyncClient(base_url=node.url, headers=_bearer("fan"), timeout=20) as http:
        answers = await asyncio.gather(*[http.put(f"/api/starred/star{n:03}") for n in range(203)])
        assert sorted(Counter(answer.status_code for answer in answers).items()) == [(200, 200), (422, 3)]
        refused = next(answer for answer in answers if answer.status_code == 422).json()["error"]
        assert (refused["code"], refused["details"]["limit"]) == ("BAD_VALUE", 200)
        starred = (await http.get("/api/starred")).json()["data"]["users"]
        assert len(starred) == 200
        assert starred == sorted(starred)
        assert (await http.put(f"/api/starred/{starred[7]}")).status_code == 200  # again is no more
        assert (await http.delete(f"/api/starred/{starred[7]}")).status_code == 200
        assert (await http.put("/api/starred/new")).status_code == 200
        assert (await http.put("/api/starred/newer")).status_code == 422


# ---- crowds --------------------------------------------------------------------------------------------------------


async def test_pages_of_1200_users_hold_everybody_who_was_there_all_the_time_once_in_order_while_others_come_and_go(
    redis_server: RedisServer,
) -> None:
    users = [f"user{n:04}" for n in range(1190)] + ["가나", "あ", "ｱ", "𐐀x", "Z", "a.b", "é", "ß", "0", "_"]
    with nodes(redis_server.url, 2) as pair:
        async with crowd(pair, users), talk(pair[0].ws_url) as client:
            await sign_in(client, "user0000")
            stop = asyncio.Event()
            comings = asyncio.create_task(_come_and_go(pair, stop))
            await eventually(lambda: redis_server.client.scard("room:online:members") > len(users))
            try:
                for limit in (100, 500):
                    for found in (await _list_all(client, limit), await everybody(pair[1], limit)):
                        names = [user["userId"] for user in found]
                        assert names == sorted(set(names))
                        assert set(users) <= set(names)
                joined = await watch(client, "user0000")
                page = [user["userId"] for user in joined["state"]["users"]]
                assert len(page) == len(joined["members"]) == 500
                assert page == sorted(page)
                assert joined["members"] == sorted(joined["members"]) == sorted(joined["presence"])
                assert (joined["state"]["more"], joined["state"]["next"]) == (True, page[-1])
                assert joined["state"]["stats"]["total"] >= len(users)
            finally:
                stop.set()
                await comings
            await eventually(lambda: redis_server.client.scard("room:online:members") == len(users))
            # What a page shows first and what it is told later is everybody again.
            rest = await _list_all(client, 500, joined["state"]["next"])
            seen = [*page, *[user["userId"] for user in rest]]
            assert sorted({*seen} & {*users}) == sorted(users)


async def _list_all(client: Talker, limit: int, after: str | None = None) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    while True:
        position: dict[str, Any] = {} if after is None else {"after": after}
        page = await client.ask("online:list", limit=limit, **position)
        found += page["users"]
        if not page["more"]:
            return found
        assert len(page["users"]) == limit
        after = page["next"]


async def _come_and_go(pair: Sequence[NodeProcess], stop: asyncio.Event) -> None:
    """Passers-by on both nodes, with ids between all the others, until `stop`."""
    dice = random.Random(4)
    while not stop.is_set():
        visitors = [f"user{dice.randrange(1190):04}.{n}" for n in range(20)]
        async with crowd(pair, visitors):
            await asyncio.sleep(0)


async def test_above_200_users_there_is_one_event_a_second_at_most_and_all_are_told_the_same_in_the_end(
    redis_server: RedisServer,
) -> None:
    with nodes(redis_server.url, 2) as pair:
        users = [f"user{n:03}" for n in range(300)]
        async with talk(pair[0].ws_url) as first, talk(pair[1].ws_url) as second, talk(pair[0].ws_url) as resumer:
            await watch(first, "first")
            await watch(second, "second")
            joined = await watch(resumer, "resumer")
            async with crowd(pair, users):
                await resumer.close()
                dice = random.Random(7)
                async with crowd(pair, users) as again:
                    chosen: dict[str, str] = {}
                    while sum(len(event["users"]) > 1 for event in first.events("user:status")) < 5:
                        for user in dice.sample(users, 100):
                            chosen[user] = dice.choice(["online", "away", "busy", "offline"])
                            await again[user].send(json.dumps({"t": "status:update", "status": chosen[user]}))
                        await asyncio.sleep(0.1)
                wanted = {user: chosen.get(user, "online") for user in users}
                wanted |= {"first": "online", "second": "online"}
                visible = {user: status for user, status in wanted.items() if status != "offline"}
                for client in (first, second):
                    await eventually(
                        lambda client=client: {u: s for u, s in as_seen(client).items() if u != "resumer"} == visible,
                        30,
                    )
                # Somebody who was away meanwhile is told the events that were missed, or a new state.
                async with talk(pair[1].ws_url) as back:
                    since = {"epoch": joined["epoch"], "seq": joined["seq"]}
                    rejoined = await watch(back, "resumer", since=since)
                    assert rejoined["recovered"] is True, rejoined
                    seen = {user["userId"]: user["status"] for user in joined["state"]["users"]}
                    await eventually(lambda: _after(seen, back, "resumer") == {**visible, "resumer": "online"}, 10)
                    assert back.seqs[0] == joined["seq"] + 1
                    assert contiguous(back.seqs)
            await eventually(lambda: sorted(as_seen(first)) == ["first", "second"], 30)
            await eventually(lambda: sorted(as_seen(second)) == ["first", "second"], 30)
        events = log_of(redis_server)
        batches = [event for event in events if len(event["users"]) > 1]
        assert len(batches) >= 3
        # While there are more than 200, no two events are closer than a second.
        big = _told_in_a_crowd(events)
        gaps_s = [moment(b["timestamp"]) - moment(a["timestamp"]) for a, b in pairwise(big)]
        print(f"{len(events)} events, {len(batches)} batches, shortest gap {min(gaps_s):.3f} s")
        assert min(gaps_s) >= 1
        assert max(len(event["users"]) for event in events) <= 500


def _after(seen: Mapping[str, str], client: Talker, me: str) -> dict[str, str]:
    found = dict(seen)
    for event in client.events("user:status"):
        found |= {user["userId"]: user["status"] for user in event["users"]}
    return {user: status for user, status in found.items() if status != "offline" or user == me}


def _told_in_a_crowd(events: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The events from the first batch that makes more than 200 on to the last one before there are fewer."""
    there: set[str] = set()
    found = []
    for event in events:
        before = len(there)
        for user in event["users"]:
            (there.discard if user["status"] == "offline" else there.add)(user["userId"])
        if before > 200 and len(there) > 200:
            found.append(event)
    return found


# ---- figures -------------------------------------------------------------------------------------------------------


async def test_peak_and_average_are_those_of_what_happened(redis_server: RedisServer) -> None:
    with NodeProcess(redis_server.url) as node:
        await eventually(lambda: time.time() % 86_400 < 86_400 - 60, 70, "one day for all of it")
        began_s = time.monotonic()
        async with crowd([node], ["a", "b", "c", "d"]) as sockets:
            await eventually(lambda: redis_server.client.scard("room:online:members") == 4)
            came_s = time.monotonic() - began_s
            await asyncio.sleep(4)
            hidden = sockets["d"]
            await hidden.send(json.dumps({"t": "status:update", "status": "offline"}))
            await eventually(lambda: redis_server.client.scard("room:online:members") == 3)
        await eventually(lambda: redis_server.client.scard("room:online:members") == 0)
        left_s = time.monotonic() - began_s
        await asyncio.sleep(4)
        summary = await look(node, "/api/online-status/stats/summary")
        whole_s = time.monotonic() - began_s
        assert summary["stats"]["total"] == 0
        for name in ("hours", "days"):
            assert max(figures["peak"] for figures in summary[name]) == 4
        least, most = 4 * (left_s - came_s - 1.5) / (whole_s + 1.5), 4 * (left_s + 1.5) / (whole_s - 1.5)
        (day,) = summary["days"]
        assert least <= day["average"] <= most, (least, summary, most)


# ---- the Python client and the command line ------------------------------------------------------------------------


async def test_the_python_client_follows_who_is_online(pair: list[NodeProcess]) -> None:
    async with Client(pair[0].ws_url, token="watcher") as client:
        room = await client.join("online")
        assert (room.kind, set(room.members), room.presence) == ("presence", {"watcher"}, {"watcher": "online"})
        assert [user["userId"] for user in room.state["users"]] == ["watcher"]
        async with talk(pair[1].ws_url) as kim:
            await sign_in(kim, "kim")
            await eventually(lambda: room.presence == {"watcher": "online", "kim": "online"})
            await kim.ask("status:update", status="busy")
            await eventually(lambda: room.presence["kim"] == "busy")
            answer = await client.send("status:update", status="away")
            assert answer["status"] == "away"
            await eventually(lambda: room.presence == {"watcher": "away", "kim": "busy"})
            listed = await client.send("online:list", status="busy")
            assert [user["userId"] for user in listed["users"]] == ["kim"]
            await kim.ask("status:update", status="online")
        await eventually(lambda: (set(room.members), room.presence) == ({"watcher"}, {"watcher": "away"}))
        await client.send("status:update", status="online")
        async with crowd(pair, [f"user{n:03}" for n in range(230)]):
            await eventually(lambda: len(room.presence) == 231, 15)
        await eventually(lambda: room.presence == {"watcher": "online"}, 15)
        async with asyncio.timeout(10):
            async for event in room.events():
                assert not isinstance(event, StateReplaced)
                if isinstance(event, dict) and event["t"] == "user:status" and len(event["users"]) > 1:
                    break
