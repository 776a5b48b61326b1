"""The scripts of monitoring: claims with leases and fences, one commit for two rooms, and what is kept of incidents."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from typing import Any

import pytest

from c2c.errors import BadValue, Conflict, EndpointNotFound, IncidentNotFound, RoomNotFound, ServiceUnavailable
from c2c.keys import MONITOR
from c2c.metrics import Metrics
from c2c.monitoring.commits import edit_commit, result_commit
from c2c.monitoring.endpoints import Definition, State, dump_incident, load_incident, load_state
from c2c.monitoring.guard import AddressGuard
from c2c.monitoring.incident_rooms import delete_incident_rooms, open_incident_room
from c2c.monitoring.judge import Circumstances, judge, resolve
from c2c.monitoring.own_servers import Listening
from c2c.monitoring.probe import Probe
from c2c.monitoring.results import Result
from c2c.monitoring.rules import Rules
from c2c.monitoring.scheduler import Scheduler
from c2c.monitoring.self_watch import Report
from c2c.monitors import ENDPOINTS_MAX, LEASE_MARGIN_MS, Claim, Commit, IncidentWrite, Monitors, digest_of
from c2c.rooms.monitor import Monitor
from c2c.settings import Settings
from tests.redis.world import KIM, NOW_MS, World
from tests.support import RedisServer

UP, DOWN = (
    Result(ok=True, response_ms=20, status_code=200),
    Result(ok=False, reason="status", status_code=503, error="503"),
)
ALL = "room:all-endpoints"


def define(endpoint_id: str = "e1", **fields: Any) -> Definition:
    known = {
        "endpointId": endpoint_id,
        "kind": "http",
        "name": endpoint_id.upper(),
        "url": f"http://{endpoint_id}.example/",
        "interval": 10,
        "timeout": 2,
        "degradedMs": 1000,
        "failAfter": 1,
        "createdAt": NOW_MS,
        "createdBy": "kim",
    }
    return Definition.model_validate({**known, **fields})


class Board:
    """A node's view of monitoring, and the log of either room."""

    def __init__(self, world: World, node_id: str) -> None:
        self.world = world
        self.node_id = node_id

    @property
    def monitors(self) -> Monitors:
        return self.world.store.monitors

    async def add(self, *definitions: Definition, due_ms: int = 0) -> None:
        for each in definitions:
            told = {"endpointId": each.endpointId, "name": each.name}
            commit = edit_commit(each, None, State(), self.world.now_ms + due_ms, [("endpoint:created", told)])
            await self.monitors.commit(commit)

    async def claim(self, limit: int = 32, per_host: int = 2, hosts: tuple[str, ...] = ()) -> list[Claim]:
        return (await self.monitors.claim(self.node_id, limit, per_host, hosts)).checks

    async def record(self, claim: Claim, result: Result = UP) -> None:
        definition, now_ms = Definition.model_validate_json(claim.definition), self.world.now_ms
        incident_id = f"i{claim.fence.partition('-')[0]}" + claim.endpoint_id.removeprefix("e1")
        seen = Circumstances(claim.slot_ms, now_ms, self.node_id, incident_id)
        judged = judge(definition, load_state(claim.state), result, seen)
        await self.monitors.commit(result_commit(definition, claim.fence, judged, claim.slot_ms, ()))

    def log(self, room_id: str = MONITOR) -> list[dict[str, Any]]:
        return [json.loads(fields["e"]) for _, fields in self.world.redis.xrange(f"room:{room_id}:log")]

    def results(self, endpoint_id: str) -> list[tuple[int, str]]:
        entries = self.world.redis.xrange(f"room:endpoint:{endpoint_id}:results")
        return [(int(id_.partition("-")[0]), fields["status"]) for id_, fields in entries]


@pytest.fixture
async def board(world: World) -> Board:
    await world.store.open_room(MONITOR, "monitor", "c2c", Monitor.retention, creator_joins=False)
    return Board(world, "n1")


@pytest.fixture
def rival(board: Board, other: World) -> Board:
    """Another node. Its clock is the same."""
    return Board(other, "n2")


def at(board: Board, rival: Board, ms: int) -> None:
    board.world.later(ms)
    rival.world.later(ms)


async def test_what_is_due_is_claimed_once_with_its_slot_and_not_before(board: Board, rival: Board) -> None:
    await board.add(define("e1"), define("e2", url="http://x.example"), due_ms=500)
    assert await board.claim() == []
    waiting = await board.monitors.claim("n1", 32, 2, ())
    assert waiting.wait_ms == 500
    at(board, rival, 600)
    claims = await board.claim()
    assert {claim.endpoint_id for claim in claims} == {"e1", "e2"}
    assert {claim.slot_ms for claim in claims} == {NOW_MS + 500}
    assert await rival.claim() == []
    assert board.world.redis.hget(f"{ALL}:claims", "e1") == f"{NOW_MS + 500} n1"


async def test_many_nodes_that_claim_at_the_same_moment_share_the_checks(board: Board, rival: Board) -> None:
    await board.add(*[define(f"e{number}") for number in range(60)])
    claimed = await asyncio.gather(*[each.claim(limit=7) for each in [board, rival] * 5])
    ids = [claim.endpoint_id for claims in claimed for claim in claims]
    assert len(ids) == len(set(ids)) == 60


async def test_a_dead_nodes_check_is_claimed_again_under_its_slot_when_its_lease_ends(
    board: Board, rival: Board
) -> None:
    await board.add(define())
    (lost,) = await board.claim()
    at(board, rival, 2_000 + LEASE_MARGIN_MS - 1)
    assert await rival.claim() == []
    at(board, rival, 1)
    (found,) = await rival.claim()
    assert found.slot_ms == lost.slot_ms
    assert found.fence != lost.fence


async def test_the_late_result_of_a_fenced_node_is_refused_and_leaves_nothing(board: Board, rival: Board) -> None:
    await board.add(define())
    (late,) = await board.claim()
    at(board, rival, 10_000)
    (claim,) = await rival.claim()
    await rival.record(claim, UP)
    before = board.world.dump()
    with pytest.raises(Conflict):
        await board.record(late, DOWN)
    assert board.world.dump() == before
    assert board.results("e1") == [(late.slot_ms, "UP")]


async def test_a_result_can_be_recorded_once(board: Board) -> None:
    await board.add(define())
    (claim,) = await board.claim()
    await board.record(claim)
    with pytest.raises(Conflict):
        await board.record(claim)
    assert len(board.results("e1")) == 1


async def test_an_edit_makes_a_running_check_stale(board: Board) -> None:
    await board.add(define())
    (claim,) = await board.claim()
    stored = await board.monitors.read("e1")
    changed = define(url="http://new.example", version=2)
    await board.monitors.commit(edit_commit(changed, stored.fence, State(), board.world.now_ms, ()))
    with pytest.raises(Conflict):
        await board.record(claim)
    (claim,) = await board.claim()
    assert json.loads(claim.definition)["url"] == "http://new.example"


async def test_two_edits_of_the_same_version_one_wins(board: Board) -> None:
    await board.add(define())
    stored = await board.monitors.read("e1")
    commits = [edit_commit(define(name=name), stored.fence, State(), NOW_MS, ()) for name in ("A", "B")]
    first, second = await asyncio.gather(*map(board.monitors.commit, commits), return_exceptions=True)
    assert not isinstance(first, BaseException)
    assert isinstance(second, Conflict)
    assert json.loads((await board.monitors.read("e1")).definition)["name"] == "A"


async def test_a_host_has_two_checks_at_a_time_and_the_rest_go_on(board: Board) -> None:
    same = [define(f"s{number}", url=f"http://same.example/{number}") for number in range(5)]
    await board.add(*same, define("z", url="http://other.example"))
    claims = await board.claim()
    assert {claim.endpoint_id for claim in claims} >= {"z"}
    assert len(claims) == 3
    assert await board.claim(hosts=("same.example", "same.example")) == []
    assert len(await board.claim(hosts=("same.example",))) == 1


async def test_every_event_stands_in_both_rooms_in_the_same_order(board: Board) -> None:
    await board.add(define("e1"), define("e2", url="http://b.example"))
    for result in (UP, DOWN, UP):
        for claim in await board.claim():
            await board.record(claim, result)
        board.world.later(10_000)

    def told(room_id: str) -> list[dict[str, Any]]:
        own = ("seq", "epoch", "roomId")
        of_e1 = [event for event in board.log(room_id) if event["endpointId"] == "e1"]
        return [{name: value for name, value in event.items() if name not in own} for event in of_e1]

    assert told(MONITOR) == told("endpoint:e1")
    names = [event["t"] for event in told("endpoint:e1")]
    changed, check = "endpoint:status-changed", "check:completed"
    assert names == [
        *("endpoint:created", check, changed, check, changed, "incident:started"),
        *(check, changed, "incident:resolved"),
    ]
    for room_id in (MONITOR, "endpoint:e1"):
        seqs = [event["seq"] for event in board.log(room_id)]
        assert seqs == list(range(1, len(seqs) + 1))


async def test_a_lost_room_is_said_and_nothing_is_written(board: Board) -> None:
    await board.add(define())
    (claim,) = await board.claim()
    board.world.redis.delete(ALL)
    before = board.world.dump()
    for call in (board.claim(), board.record(claim), board.monitors.overview()):
        with pytest.raises(RoomNotFound):
            await call
    assert board.world.dump() == before


async def test_a_paused_endpoint_is_not_claimed(board: Board) -> None:
    await board.add(define())
    stored = await board.monitors.read("e1")
    await board.monitors.commit(edit_commit(define(paused=True), stored.fence, State(), NOW_MS, ()))
    assert await board.claim() == []
    assert (await board.monitors.read("e1")).due_ms is None


async def test_deleting_tells_both_rooms_and_leaves_only_the_incident(board: Board) -> None:
    await board.add(define(kind="push", url=None, pushToken="secret"))
    (claim,) = await board.claim()
    await board.record(claim, DOWN)
    assert await board.monitors.endpoint_of_token("secret") == "e1"
    stored = await board.monitors.read("e1")
    definition, state = Definition.model_validate_json(stored.definition), load_state(stored.state)
    told = [("endpoint:deleted", {"endpointId": "e1", "name": "E1"})]
    resolved = resolve(state, board.world.now_ms + 1)
    await board.monitors.delete(edit_commit(definition, stored.fence, state, None, told, (), resolved))
    assert board.log()[-1]["t"] == "endpoint:deleted"
    assert board.world.redis.keys("*e1*") == []
    for column in ("due", "claims", "fences", "targets", "endpoints", "states", "summaries", "push-tokens", "open"):
        assert not board.world.redis.exists(f"{ALL}:{column}"), column
    _, kept = await board.monitors.incidents(None, None, 10)
    assert [load_incident(each.text).resolved_at for each in kept] == [board.world.now_ms + 1]
    for call in (board.record(claim), board.monitors.read("e1"), board.monitors.endpoint_of_token("secret")):
        with pytest.raises(EndpointNotFound):
            await call


async def test_push_tokens_stand_in_redis_as_digests_only(board: Board) -> None:
    await board.add(define(kind="push", url=None, pushToken="secret-token"))
    assert board.world.redis.hgetall(f"{ALL}:push-tokens") == {digest_of("secret-token"): "e1"}


async def test_an_incident_is_taken_on_once_and_only_while_it_is_open(board: Board) -> None:
    await board.add(define())
    (claim,) = await board.claim()
    await board.record(claim, DOWN)

    async def take_on(user: str, incident: str = "i2") -> Any:
        told = {"incidentId": incident, "endpointId": "e1", "userId": user}
        text = json.dumps({"userId": user})[:-1].encode() + b',"at":'
        return (await board.monitors.acknowledge(incident, "e1", text, told, ()))[1].acknowledged

    first = json.loads(await take_on("kim"))
    assert first == {"userId": "kim", "at": "2026-01-02T03:04:05.678Z"}
    board.world.later(5_000)
    assert json.loads(await take_on("lee")) == first
    events = [event for event in board.log() if event["t"] == "incident:acknowledged"]
    assert [(event["userId"], event["acknowledgedAt"]) for event in events] == [("kim", first["at"])]
    assert [event["t"] for event in board.log("endpoint:e1")][-1] == "incident:acknowledged"
    with pytest.raises(IncidentNotFound):
        await take_on("kim", "unknown")
    board.world.later(10_000)
    (claim,) = await board.claim()
    await board.record(claim, UP)
    board.world.redis.delete(f"{ALL}:acknowledged")
    with pytest.raises(BadValue):
        await take_on("kim")


async def test_incidents_are_forgotten_oldest_first_and_open_ones_never(board: Board) -> None:
    await board.add(define())
    (claim,) = await board.claim()
    await board.record(claim, DOWN)
    oldest = load_incident((await board.monitors.incident("i2")).text)
    definition = define()
    forgotten: list[str] = []
    for number in range(2_050):
        started = NOW_MS + 1 + number
        closed = replace(oldest, incident_id=f"x{number}", started_at=started, resolved_at=started + 1)
        write = IncidentWrite(closed.incident_id, started, False, dump_incident(closed))
        fence = board.world.redis.hget(f"{ALL}:fences", "e1")
        base: Commit = edit_commit(definition, fence, State(), None, ())
        forgotten += await board.monitors.commit(replace(base, incident=write))
    assert forgotten == [f"x{number}" for number in range(51)], "each is said once: its room goes as well"
    assert board.world.redis.hlen(f"{ALL}:incidents") == board.world.redis.zcard(f"{ALL}:incident-times") == 2_000
    assert (await board.monitors.incident("i2")).text
    with pytest.raises(IncidentNotFound):
        await board.monitors.incident("x50")
    assert (await board.monitors.incident("x51")).text
    assert board.world.redis.zcard("room:endpoint:e1:own-incidents") == 200
    overview = await board.monitors.overview()
    assert [load_incident(each.text).incident_id for each in overview.incidents] == ["i2"]


async def test_incidents_come_in_pages_newest_first_of_all_and_of_one_endpoint(board: Board) -> None:
    await board.add(define("e1"), define("e2", url="http://b.example"))
    for _ in range(3):
        for result in (DOWN, UP):
            for claim in await board.claim():
                await board.record(claim, result)
            board.world.later(400_000)
    _, every = await board.monitors.incidents(None, None, 100)
    started = [load_incident(each.text).started_at for each in every]
    assert len(started) == 6
    assert started == sorted(started, reverse=True)
    _, page = await board.monitors.incidents("e2", started[1], 1)
    assert [load_incident(each.text).endpoint_id for each in page] == ["e2"]
    assert load_incident(page[0].text).started_at < started[1]


async def test_there_are_only_so_many_endpoints(board: Board) -> None:
    board.world.redis.hset(f"{ALL}:endpoints", mapping={f"x{number}": "{}" for number in range(ENDPOINTS_MAX)})
    with pytest.raises(BadValue):
        await board.add(define())
    assert not board.world.redis.exists("room:endpoint:e1")


async def test_a_silent_node_is_remembered_for_ten_minutes_and_one_that_stops_is_forgotten_at_once(
    board: Board,
) -> None:
    await board.monitors.report("gone", b'{"a":1}')
    board.world.later(600_000)
    now_ms, reports = await board.monitors.report("n1", b"{}")
    assert reports == {"gone": f'{NOW_MS} {{"a":1}}'.encode(), "n1": f"{now_ms} {{}}".encode()}
    board.world.later(1)
    await board.monitors.report("n1", b"")
    assert board.world.redis.exists(f"{ALL}:nodes") == 0


async def test_the_next_slot_of_a_claimed_check_is_the_one_it_was_claimed_for(board: Board) -> None:
    await board.add(define(), due_ms=100)
    board.world.later(100)
    assert len(await board.claim()) == 1
    assert (await board.monitors.read("e1")).due_ms == NOW_MS + 100


async def test_a_fence_that_an_older_copy_of_redis_gives_out_again_is_another_one(board: Board, rival: Board) -> None:
    await board.add(define())
    (late,) = await board.claim()
    for column, value in (("fences", "1-0"), ("claims", "")):  # as it stood before the claim
        board.world.redis.hset(f"{ALL}:{column}", "e1", value) if value else board.world.redis.delete(f"{ALL}:{column}")
    board.world.redis.zadd(f"{ALL}:due", {"e1": NOW_MS})
    (claim,) = await rival.claim()
    assert claim.fence.partition("-")[0] == late.fence.partition("-")[0]
    with pytest.raises(Conflict):
        await board.record(late, DOWN)
    await rival.record(claim, UP)


async def test_when_the_clock_goes_back_what_is_due_goes_with_it(board: Board, rival: Board) -> None:
    hours_ms = 3 * 3_600_000
    await board.add(define("e1"), define("e2", url="http://b.example"), due_ms=4_000)
    await board.claim()
    at(board, rival, hours_ms)
    for claim in await board.claim():
        await board.record(claim)
    at(board, rival, -hours_ms)
    claimed = await rival.claim()
    at(board, rival, 10_000)
    claimed += await rival.claim()
    assert {claim.endpoint_id for claim in claimed} == {"e1", "e2"}


async def test_what_waits_for_a_busy_host_makes_nobody_ask_again_at_once(board: Board) -> None:
    await board.add(*[define(f"s{number}", url="http://same.example/") for number in range(50)])
    await board.add(define("z", url="http://other.example/"), due_ms=700)
    claims = await board.monitors.claim("n1", 32, 2, ("same.example", "same.example"))
    assert (claims.checks, claims.wait_ms) == ([], 700)
    full = await board.monitors.claim("n1", 0, 2, ())
    assert (full.checks, full.wait_ms) == ([], 700)


async def test_what_needs_no_host_is_claimed_by_a_node_that_is_full(board: Board) -> None:
    await board.add(define("job", kind="push", url=None), define("e1"))
    assert [claim.endpoint_id for claim in await board.claim(limit=0)] == ["job"]


async def test_an_entry_without_an_endpoint_holds_up_nobody(board: Board) -> None:
    await board.add(define())
    board.world.redis.zadd(f"{ALL}:due", {"ghost": 1})
    assert [claim.endpoint_id for claim in await board.claim()] == ["e1"]
    assert board.world.redis.zscore(f"{ALL}:due", "ghost") is None


async def test_an_incident_that_opens_again_is_taken_on_anew(board: Board) -> None:
    await board.add(define())
    board.world.redis.hset(f"{ALL}:acknowledged", "i2", "{}")
    for result in (DOWN, UP, DOWN):
        (claim,) = await board.claim()
        board.world.redis.hsetnx(f"{ALL}:acknowledged", "i2", "{}")
        await board.record(claim, result)
        board.world.later(10_000)
    (incident,) = (await board.monitors.overview()).incidents
    assert load_incident(incident.text).reopened == 1
    assert incident.acknowledged is None


async def test_a_full_redis_refuses_claims_commits_and_new_endpoints_whole(real_redis: RedisServer) -> None:
    world = World(real_redis.port)
    world.redis.flushall()
    await world.pipeline.start()
    await world.store.open_room(MONITOR, "monitor", "c2c", Monitor.retention, creator_joins=False)
    board = Board(world, "n1")
    await board.add(define())
    (claim,) = await board.claim()
    before = world.dump()
    world.redis.config_set("maxmemory", "1mb")
    try:
        for call in (board.add(define("e2")), board.record(claim), board.claim()):
            with pytest.raises(ServiceUnavailable):
                await call
    finally:
        world.redis.config_set("maxmemory", "0")
    assert world.dump() == before
    await world.pipeline.aclose()
    world.redis.close()


# Rooms of incidents


def scheduler_of(board: Board) -> Scheduler:
    settings = Settings(redis_url="redis://127.0.0.1:1", node_id="n1")
    store = board.world.store
    here = Listening("m1", (), 8080)
    return Scheduler(
        settings, store, Rules(store.notices), Probe(AddressGuard()), Metrics(),
        lambda: Report(0.0, {}, here), lambda servers: None,
    )  # fmt: skip


async def test_a_refused_commit_leaves_no_room_behind_and_an_accepted_one_the_incidents_own(board: Board) -> None:
    await board.add(define())
    (claim,) = await board.claim()
    scheduler, definition, state = scheduler_of(board), define(), load_state(claim.state)
    with pytest.raises(Conflict):
        await scheduler._commit(definition, state, "7-fenced", claim.slot_ms, DOWN)
    assert board.world.redis.keys("room:incident:*") == []
    assert await board.world.store.list_rooms(0, 10) == [MONITOR]
    judged = await scheduler._commit(definition, state, claim.fence, claim.slot_ms, DOWN)
    assert judged.incident is not None
    room_id = f"incident:{judged.incident.incident_id}"
    assert board.world.redis.keys("room:incident:*") == [f"room:{room_id}"]
    # As long as its incident may be listed.
    assert board.world.redis.ttl(f"room:{room_id}") > 700 * 86_400


async def test_the_room_of_a_forgotten_incident_goes_unless_people_are_in_it(board: Board) -> None:
    store = board.world.store
    for incident_id in ("a", "b"):
        assert await open_incident_room(store, incident_id, "Shop")
        assert not await open_incident_room(store, incident_id, "Shop"), "it is there"
    await store.join("incident:b", KIM, "c1")
    await delete_incident_rooms(store, ["a", "b", "nobody"])
    assert set(board.world.redis.keys("room:incident:*")) >= {"room:incident:b", "room:incident:b:members"}
    assert not [key for key in board.world.redis.keys("room:incident:*") if key.startswith("room:incident:a")]
    assert (await store.read_room("incident:b")).members == ["kim"]
    assert "incident:a" not in await store.list_rooms(0, 10)
