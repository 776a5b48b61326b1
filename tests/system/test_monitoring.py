"""Monitoring with real nodes and a real target: what is seen of an outage, what people may do, and who watches c2c."""

from __future__ import annotations

import asyncio
import json
import signal
import socket
import time
from collections.abc import Iterator
from typing import Any

import jwt
import pytest

from tests.conftest import StartNode
from tests.support import NodeProcess, RedisServer, eventually, free_port, talk
from tests.targets import Target

LOCAL = {"check_allow_cidrs": "127.0.0.0/8"}
QUICK = {"interval": 5, "timeout": 1, "retryInterval": 1}


@pytest.fixture
def target() -> Iterator[Target]:
    with Target() as target:
        yield target


def create(node: NodeProcess, **fields: Any) -> dict[str, Any]:
    status, answer = node.request("POST", "/api/endpoints", fields)
    assert status == 201, answer
    created: dict[str, Any] = answer["data"]
    return created


def endpoint_of(node: NodeProcess, endpoint_id: str) -> dict[str, Any]:
    status, answer = node.get(f"/api/endpoints/{endpoint_id}")
    assert status == 200, answer
    found: dict[str, Any] = answer["data"]
    return found


async def until_status(node: NodeProcess, endpoint_id: str, status: str, within_s: float = 20) -> dict[str, Any]:
    def reached() -> dict[str, Any] | None:
        found = endpoint_of(node, endpoint_id)
        return found if found["status"] == status else None

    found: dict[str, Any] = await eventually(reached, within_s, f"{endpoint_id} is {status}")
    return found


def refused(node: NodeProcess, method: str, path: str, body: object = None) -> tuple[int, str, dict[str, Any]]:
    status, answer = node.request(method, path, body)
    assert answer["success"] is False, answer
    return status, answer["error"]["code"], answer["error"]["details"]


async def test_an_outage_is_told_in_order_in_both_rooms_and_resolved_with_its_duration(
    start_node: StartNode, target: Target
) -> None:
    """UP → 503 three times → incident → back. One client in either room, on another node than the one written to."""
    first, second = start_node(**LOCAL), start_node(**LOCAL)
    endpoint_id = create(first, name="Shop", url=target.url(), **QUICK)["endpointId"]
    await until_status(first, endpoint_id, "UP")
    async with talk(second.ws_url) as everything, talk(second.ws_url) as one:
        state = (await everything.join("all-endpoints", "kim"))["state"]
        assert {each["name"]: each["status"] for each in state["endpoints"]}["Shop"] == "UP"
        joined = await one.join(f"endpoint:{endpoint_id}", "lee")
        assert joined["kind"] == "monitor"
        assert [each["endpointId"] for each in joined["state"]["endpoints"]] == [endpoint_id]
        assert joined["state"]["checks"][-1]["status"] == "UP"
        target.status = 503
        await one.wait_for("incident:started", within_s=20)
        target.status = 200
        await one.wait_for("incident:resolved", within_s=20)
        await everything.wait_for("incident:resolved")

        def until_resolved(events: list[dict[str, Any]]) -> list[dict[str, Any]]:
            return events[: [event["t"] for event in events].index("incident:resolved") + 1]

        own = until_resolved([event for event in one.events() if event["t"] != "user_joined"])
        every = until_resolved([each for each in everything.events() if each.get("endpointId") == endpoint_id])
        names = [event["t"] for event in own]
        position = names.index("incident:started")
        failed = [e for e in own[:position] if e["t"] == "check:completed" and e["status"] == "DOWN"]
        assert [event["statusCode"] for event in failed] == [503] * 3
        assert names[position - 2 : position + 1] == ["check:completed", "endpoint:status-changed", "incident:started"]
        assert names[-3:] == ["check:completed", "endpoint:status-changed", "incident:resolved"]
        changes = [(e["previousStatus"], e["currentStatus"]) for e in own if e["t"] == "endpoint:status-changed"]
        assert changes == [("UP", "DOWN"), ("DOWN", "UP")]
        started, resolved = own[position], own[-1]
        assert started["failureCount"] == 3
        assert started["errorMessage"] == "answered 503, expected 200–299"
        assert resolved["incidentId"] == started["incidentId"]
        assert 2.0 <= resolved["duration"] <= 20.0

        def told(events: list[dict[str, Any]]) -> list[str]:
            own_fields = ("seq", "epoch", "roomId")
            return [json.dumps({k: v for k, v in e.items() if k not in own_fields}) for e in events]

        assert told(own) == told(every)[-len(own) :], "the same events in the same order in both rooms"
    status, answer = second.get(f"/api/incidents?endpointId={endpoint_id}")
    assert status == 200
    (incident,) = answer["data"]["incidents"]
    assert incident["duration"] == resolved["duration"]
    assert answer["data"]["stats"] == {"count": 1, "open": 0, "mtta": None, "mttr": resolved["duration"]}


async def test_an_incident_is_taken_on_and_talked_about_where_it_is_shown(
    start_node: StartNode, target: Target
) -> None:
    node = start_node(**LOCAL)
    target.status = 500
    endpoint_id = create(node, name="Shop", url=target.url(), **QUICK, failAfter=1)["endpointId"]
    incident_id = (await until_status(node, endpoint_id, "DOWN"))["incidentId"]
    async with talk(node.ws_url) as kim:
        await kim.join("all-endpoints", "kim")
        path = f"/api/incidents/{incident_id}/acknowledge"
        status, answer = node.request("POST", path, {"note": "on it"}, {"Authorization": "Bearer lee"})
        assert status == 200, answer
        told = await kim.wait_for("incident:acknowledged")
        assert (told["userId"], told["note"], told["incidentId"]) == ("lee", "on it", incident_id)
        assert answer["data"]["acknowledged"]["userId"] == "lee"
        status, again = node.request("POST", path, {}, {"Authorization": "Bearer kim"})
        assert again["data"]["acknowledged"] == answer["data"]["acknowledged"], "who was first stays"
        room = await kim.ask("join", roomId=answer["data"]["roomId"])
        assert room["kind"] == "chat"
        assert (await kim.ask("msg", roomId=room["roomId"], text="looking"))["t"] == "ack"
        (shown,) = (await kim.ask("join", roomId=f"endpoint:{endpoint_id}"))["state"]["incidents"]
        assert shown["acknowledged"]["userId"] == "lee"
    target.status = 200
    await until_status(node, endpoint_id, "UP")
    assert refused(node, "POST", "/api/incidents/unknown/acknowledge", {})[:2] == (404, "INCIDENT_NOT_FOUND")
    status, answer = node.get("/api/incidents")
    assert answer["data"]["stats"]["mtta"] >= 0


async def test_a_deleted_endpoint_tells_ends_its_room_and_leaves_nothing(
    start_node: StartNode, redis_server: RedisServer, target: Target
) -> None:
    node = start_node(**LOCAL)
    endpoint_id = create(node, name="Shop", url=target.url(), **QUICK)["endpointId"]
    async with talk(node.ws_url) as kim, talk(node.ws_url) as lee:
        await kim.join(f"endpoint:{endpoint_id}", "kim")
        await lee.join("all-endpoints", "lee")
        assert node.request("DELETE", f"/api/endpoints/{endpoint_id}")[0] == 200
        assert (await kim.wait_for("endpoint:deleted"))["name"] == "Shop"
        assert (await lee.wait_for("endpoint:deleted"))["endpointId"] == endpoint_id
        assert (await kim.wait_for("left"))["roomId"] == f"endpoint:{endpoint_id}"
        assert (await kim.ask("join", roomId=f"endpoint:{endpoint_id}"))["code"] == "ROOM_NOT_FOUND"
        await eventually(lambda: redis_server.client.keys(f"*{endpoint_id}*") == [], 5, "no key is left")
        assert redis_server.client.zscore("rooms", f"endpoint:{endpoint_id}") is None
        asked = target.asked["/"]
        await until_checked_again(node)
        assert target.asked["/"] == asked, "nobody checks it any more"
    for method in ("GET", "DELETE"):
        assert refused(node, method, f"/api/endpoints/{endpoint_id}")[:2] == (404, "ENDPOINT_NOT_FOUND")


async def until_checked_again(node: NodeProcess) -> None:
    """A whole round of an endpoint that is checked every 10 s."""
    before = endpoint_of(node, "c2c-redis")["checkedAt"]
    await eventually(lambda: endpoint_of(node, "c2c-redis")["checkedAt"] != before, 15, "another check")


async def test_an_edit_is_told_with_what_changed_and_checked_at_once(start_node: StartNode, target: Target) -> None:
    node = start_node(**LOCAL)
    target.statuses["/new"] = 404
    endpoint_id = create(node, name="Shop", url=target.url(), interval=3600, failAfter=1)["endpointId"]
    await until_status(node, endpoint_id, "UP")
    async with talk(node.ws_url) as kim:
        await kim.join("all-endpoints", "kim")
        path = f"/api/endpoints/{endpoint_id}"
        status, answer = node.request("PATCH", path, {"url": target.url("/new"), "keyword": "x"})
        assert status == 200, answer
        told = await kim.wait_for("endpoint:updated")
        assert told["changes"] == {"url": target.url("/new"), "keyword": "x"}
        assert told["endpoint"]["url"] == target.url("/new")
        await until_status(node, endpoint_id, "DOWN")
        node.request("PATCH", path, {"paused": True})
        await kim.wait_for("incident:resolved")
        paused = endpoint_of(node, endpoint_id)
        assert (paused["status"], paused["paused"], paused["nextCheckAt"]) == ("UNKNOWN", True, None)
        await kim.wait_for("endpoint:updated", 2)
        assert node.request("PATCH", path, {"paused": True})[0] == 200
        node.request("PATCH", path, {"paused": False, "expectedStatus": [404], "keyword": ""})
        await until_status(node, endpoint_id, "UP")
        await kim.wait_for("endpoint:updated", 3)
        assert len(kim.of("endpoint:updated")) == 3, "what changes nothing is told to nobody"


async def test_a_job_pushes_within_its_period_or_is_missed(start_node: StartNode) -> None:
    node = start_node()
    created = create(node, name="Backup", kind="push", interval=5, grace=1)
    path = created["pushPath"]
    assert node.request("POST", path + "?responseTime=1200")[0] == 200
    found = endpoint_of(node, created["endpointId"])
    assert (found["status"], found["responseTime"]) == ("UP", 1200)
    assert node.request("POST", path + "?status=down&message=disk+full")[1]["data"] == {"status": "DOWN"}
    assert endpoint_of(node, created["endpointId"])["errorMessage"] == "disk full"
    assert node.request("POST", path)[1]["data"] == {"status": "UP"}
    missed = await until_status(node, created["endpointId"], "DOWN", within_s=15)
    assert missed["reason"] == "missed"
    assert refused(node, "POST", "/api/push/" + "x" * 32)[:2] == (404, "ENDPOINT_NOT_FOUND")
    assert refused(node, "POST", path + "?status=sideways")[:2] == (422, "BAD_VALUE")
    assert "pushToken" not in found


async def test_a_job_is_not_blamed_for_the_time_in_which_nobody_listened(
    start_node: StartNode, redis_server: RedisServer
) -> None:
    node = start_node(node_id="n1")
    created = create(node, name="Backup", kind="push", interval=5, grace=1)
    endpoint_id, path = created["endpointId"], created["pushPath"]
    assert node.request("POST", path)[1]["data"] == {"status": "UP"}
    node.kill()
    redis_server.client.zadd("room:all-endpoints:due", {endpoint_id: time.time() * 1000 - 16_000})
    node.start()

    def waits_anew() -> bool:
        due_ms: float = redis_server.client.zscore("room:all-endpoints:due", endpoint_id)
        return due_ms > time.time() * 1000 and not redis_server.client.hexists("room:all-endpoints:claims", endpoint_id)

    await eventually(waits_anew, what="it waits anew")
    assert endpoint_of(node, endpoint_id)["status"] == "UP"
    assert node.get("/api/incidents")[1]["data"]["incidents"] == []
    missed = await until_status(node, endpoint_id, "DOWN", within_s=15)
    assert missed["reason"] == "missed", "but if it does not come then either"


async def test_an_open_incident_is_found_behind_any_number_of_newer_ones(
    start_node: StartNode, redis_server: RedisServer
) -> None:
    node, redis = start_node(), redis_server.client
    job = create(node, name="Backup", kind="push", interval=3600)
    node.request("POST", job["pushPath"] + "?status=down")
    (old,) = node.get("/api/incidents?open=true")[1]["data"]["incidents"]
    text = json.loads(redis.hget("room:all-endpoints:incidents", old["incidentId"]))
    began_ms = text["started_at"] + 1_000
    for n in range(600):
        closed = {**text, "incident_id": f"i{n}", "started_at": began_ms + n // 3, "resolved_at": began_ms + 1_000}
        redis.hset("room:all-endpoints:incidents", f"i{n}", json.dumps(closed))
        redis.zadd("room:all-endpoints:incident-times", {f"i{n}": began_ms + n // 3})
    found = node.get("/api/incidents?open=true")[1]["data"]
    assert ([each["incidentId"] for each in found["incidents"]], found["more"]) == ([old["incidentId"]], False)
    assert node.get("/api/incidents?open=true&endpointId=another")[1]["data"]["incidents"] == []
    # Page by page, each once, although three begin at a time.
    seen: list[str] = []
    page = node.get("/api/incidents?limit=50")[1]["data"]
    while page["incidents"]:
        seen += [each["incidentId"] for each in page["incidents"]]
        before = page["incidents"][-1]["startedAt"]
        page = node.get(f"/api/incidents?limit=50&before={before}")[1]["data"]
    assert sorted(seen) == sorted([old["incidentId"], *[f"i{n}" for n in range(600)]])


async def test_tcp_endpoints_are_up_while_somebody_listens(start_node: StartNode) -> None:
    node = start_node(**LOCAL)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"tcp://127.0.0.1:{listener.getsockname()[1]}"
        endpoint_id = create(node, name="Port", kind="tcp", url=url, **QUICK, failAfter=1)["endpointId"]
        await until_status(node, endpoint_id, "UP")
    down = await until_status(node, endpoint_id, "DOWN")
    assert (down["reason"], down["errorMessage"]) == ("refused", "connection refused")


async def test_header_secrets_are_sent_and_shown_to_nobody(
    start_node: StartNode, redis_server: RedisServer, target: Target
) -> None:
    node = start_node(**LOCAL)
    created = create(node, name="Shop", url=target.url(), headers={"X-Key": "s3cret-1"}, **QUICK)
    endpoint_id, path = created["endpointId"], f"/api/endpoints/{created['endpointId']}"
    assert created["headers"] == {"X-Key": "•••"}
    await until_status(node, endpoint_id, "UP")
    assert target.seen_headers[-1]["X-Key"] == "s3cret-1"
    node.request("PATCH", path, {"headers": {"X-Key": "•••", "X-More": "s3cret-2"}})
    await eventually(lambda: target.seen_headers[-1].get("X-More") == "s3cret-2", 10, "both are sent")
    assert target.seen_headers[-1]["X-Key"] == "s3cret-1", "the mask keeps what is there"
    with Target() as thief:
        code = refused(node, "PATCH", path, {"url": thief.url()})[1]
        masked = refused(node, "PATCH", path, {"url": thief.url(), "headers": {"X-Key": "•••"}})[2]
        assert (code, masked["field"]) == ("BAD_VALUE", "headers"), "or they could be sent to anybody"
        assert thief.asked.total() == 0
    async with talk(node.ws_url) as kim:
        shown = [await kim.join("all-endpoints", "kim"), await kim.ask("join", roomId=f"endpoint:{endpoint_id}")]
    answers = [node.get(each)[1] for each in ("/api/endpoints", path, "/api/rooms/all-endpoints/events?limit=500")]
    assert "s3cret" not in json.dumps([*shown, *answers])
    assert "s3cret" not in node.log


@pytest.mark.parametrize(
    "fields",
    [
        {"url": "http://2130706433/"},
        {"url": "http://[::ffff:7f00:1]/"},
        {"url": "http://[64:ff9b::7f00:1]/"},
        {"url": "http://kim:secret@example.org/"},
        {"url": "file:///etc/passwd"},
        {"url": "http://169.254.169.254/latest/meta-data/"},
        {"url": "http://example.org:0/"},
        {"url": ""},
        {"url": None},
        {"url": "http://example.org/", "interval": 4},
        {"url": "http://example.org/", "interval": 10, "timeout": 10},
        {"url": "http://example.org/", "degradedMs": 20_000},
        {"url": "http://example.org/", "expectedStatus": "299-200"},
        {"url": "http://example.org/", "expectedStatus": "999"},
        {"url": "http://example.org/", "method": "DELETE"},
        {"url": "http://example.org/", "method": "HEAD", "keyword": "x"},
        {"url": "http://example.org/", "headers": {"Host": "a"}},
        {"url": "http://example.org/", "headers": {"X-A": "b\r\nX-C: d"}},
        {"url": "http://example.org/", "kind": "builtin"},
        {"url": "http://example.org/", "kind": "push"},
        {"url": "http://example.org/", "unknown": 1},
        {"url": "http://example.org/", "name": ""},
        {"url": "http://example.org/", "interval": "60"},
    ],
)
async def test_endpoints_that_must_not_be_are_refused_and_leave_nothing(
    start_node: StartNode, redis_server: RedisServer, fields: dict[str, Any]
) -> None:
    node = start_node()
    await eventually(lambda: redis_server.client.hlen("room:all-endpoints:endpoints") == 4, 5, "the built-in ones")
    for path in ("/api/endpoints", "/api/endpoints/test"):
        assert refused(node, "POST", path, {"name": "x", **fields})[:2] == (422, "BAD_VALUE")
    assert redis_server.client.hlen("room:all-endpoints:endpoints") == 4
    assert len({key.split(":")[2] for key in redis_server.client.keys("room:endpoint:*")}) == 4


async def test_c2cs_own_port_and_redis_are_never_checked_even_where_the_lan_is_allowed(
    start_node: StartNode, redis_server: RedisServer, target: Target
) -> None:
    node = start_node(**LOCAL)
    for port in (node.port, redis_server.port):
        for host in ("127.0.0.1", "127.1.2.3", "2130706433"):
            assert (
                refused(node, "POST", "/api/endpoints", {"name": "x", "url": f"http://{host}:{port}/"})[1]
                == "BAD_VALUE"
            )
    target.statuses["/to"] = 302
    before = redis_server.client.info("stats")["rejected_connections"]
    status, answer = node.request("POST", "/api/endpoints/test", {"url": f"http://localhost:{redis_server.port}/"})
    assert (status, answer["data"]["ok"], answer["data"]["reason"]) == (200, False, "guard"), answer
    assert redis_server.client.info("stats")["rejected_connections"] == before


async def test_the_port_of_another_node_is_never_checked_either(
    start_node: StartNode, redis_server: RedisServer
) -> None:
    """Not by its address, and not by a name or a redirect that leads there."""
    first, second = start_node(**LOCAL, node_id="n1"), start_node(node_id="n2")
    url = f"127.0.0.1:{second.port}/metrics"
    body = {"name": "x", "url": f"http://{url}", "keyword": "c2c_connections"}
    await eventually(lambda: refused_or_made(first, body) == (422, "BAD_VALUE"), 20, "n1 has heard of n2")
    tried = first.request("POST", "/api/endpoints/test", {"url": f"http://localhost:{second.port}/metrics"})[1]["data"]
    assert (tried["ok"], tried["reason"]) == (False, "guard")


def refused_or_made(node: NodeProcess, body: dict[str, Any]) -> tuple[int, str]:
    status, answer = node.request("POST", "/api/endpoints", body)
    if status == 201:
        node.request("DELETE", f"/api/endpoints/{answer['data']['endpointId']}")
        return status, ""
    return status, answer["error"]["code"]


async def test_this_url_can_be_tested_and_nothing_is_kept(
    start_node: StartNode, redis_server: RedisServer, target: Target
) -> None:
    node = start_node(**LOCAL)
    status, answer = node.request("POST", "/api/endpoints/test", {"url": target.url(), "keyword": "hello"})
    outcome = answer["data"]
    assert (status, outcome["ok"], outcome["status"], outcome["statusCode"]) == (200, True, "UP", 200)
    assert outcome["phases"]["connect"] is not None
    assert outcome["phases"]["tls"] is None
    failed = node.request("POST", "/api/endpoints/test", {"url": target.url(), "keyword": "bye"})[1]["data"]
    assert (failed["ok"], failed["reason"]) == (False, "keyword")
    assert len(node.get("/api/endpoints")[1]["data"]["endpoints"]) == 4


async def test_a_node_checks_32_at_a_time_and_two_of_one_host(start_node: StartNode, target: Target) -> None:
    node = start_node(**LOCAL)
    target.delay_s = 3.0
    slow = {"interval": 3600, "timeout": 30}
    for number in range(50):
        create(node, url=target.url(f"/{number}").replace("127.0.0.1", f"127.0.0.{number + 10}"), **slow)
    for number in range(5):
        create(node, url=target.url(f"/same/{number}").replace("127.0.0.1", "127.0.0.9"), **slow)
    await eventually(lambda: len(target.asked) == 55, 30, "all were asked")
    assert target.most_at_a_time[""] == 32
    assert target.most_at_a_time[f"127.0.0.9:{target.port}"] == 2
    assert node.metric("c2c_checks_running") <= 36, "with those of c2c itself, which wait for nothing"


async def test_metrics_count_checks(start_node: StartNode, target: Target) -> None:
    node = start_node(**LOCAL)
    target.delay_s = 0.5
    create(node, name="Shop", url=target.url(), interval=3600, failAfter=1)
    await eventually(lambda: node.metric("c2c_checks_running") >= 1, 10, "it is being checked")
    await eventually(lambda: node.metric("c2c_checks_total") >= 5, 10, "it and the built-in ones were checked")
    assert node.metric("c2c_check_delay_seconds_count") >= 5
    assert node.metric("c2c_checks_refused_total") == 0


async def test_rooms_of_monitoring_are_listened_to_only_and_opened_by_nobody(start_node: StartNode) -> None:
    node = start_node()
    assert refused(node, "POST", "/api/rooms", {"kind": "monitor", "roomId": "x"})[1] == "BAD_VALUE"
    assert refused(node, "POST", "/api/rooms/all-endpoints/events", {"t": "msg", "text": "x"})[1] == "UNKNOWN_COMMAND"
    async with talk(node.ws_url) as kim:
        await kim.join("all-endpoints", "kim")
        for t, fields in (("msg", {"text": "x"}), ("typing", {"typing": True})):
            assert (await kim.ask(t, roomId="all-endpoints", **fields))["code"] == "UNKNOWN_COMMAND"


async def test_the_worst_come_first_and_pages_follow_each_other(start_node: StartNode, target: Target) -> None:
    node = start_node(**LOCAL)
    target.statuses["/down"] = 500
    ids = [create(node, name=f"{name}", url=target.url(path), interval=3600, failAfter=1)["endpointId"]
           for name, path in (("b up", "/"), ("a up", "/"), ("z down", "/down"))]  # fmt: skip
    await until_status(node, ids[2], "DOWN")
    await until_status(node, ids[0], "UP")
    await until_status(node, ids[1], "UP")
    node.request("PATCH", f"/api/endpoints/{ids[1]}", {"paused": True})
    await eventually(
        lambda: node.get("/api/endpoints?status=UP")[1]["data"]["stats"]["UP"] == 5, 15, "all were checked"
    )
    names, after = [], ""
    while True:
        page = node.get(f"/api/endpoints?limit=2{after}")[1]["data"]
        names += [each["name"] for each in page["endpoints"]]
        if not page["more"]:
            break
        after = f"&after={page['next']}"
    assert names == [
        "z down",
        "b up",
        "c2c: nodes",
        "c2c: queues",
        "c2c: redis",
        "c2c: relay lag",
        "a up",
    ] or names == [*("z down", "b up", "c2c: nodes", "c2c: queues", "c2c: Redis", "c2c: relay lag", "a up")]
    assert page["stats"] == {"total": 7, "UP": 5, "DOWN": 1, "DEGRADED": 0, "UNKNOWN": 0, "paused": 1}


async def test_a_node_that_dies_is_told_of_by_the_others_and_one_that_stops_is_not(start_node: StartNode) -> None:
    first, second, third = start_node(node_id="n1"), start_node(node_id="n2"), start_node(node_id="n3")
    await until_status(first, "c2c-nodes", "UP")
    third.signal(signal.SIGTERM)
    third.wait()
    second.kill()
    down = await until_status(first, "c2c-nodes", "DOWN", within_s=60)
    assert "n2" in down["errorMessage"]
    assert "n3" not in down["errorMessage"]
    others = {endpoint_of(first, each)["status"] for each in ("c2c-redis", "c2c-relay", "c2c-queues")}
    assert others <= {"UP", "DEGRADED"}
    second.start()
    await until_status(first, "c2c-nodes", "UP", within_s=40)


async def test_a_cut_off_checker_suspects_itself_and_opens_no_incidents(start_node: StartNode) -> None:
    """Ten hosts stop answering at once, as they do for a node that has lost its network."""
    node = start_node(**LOCAL, node_id="n1")
    targets = [socket.create_server((f"127.0.0.{number}", 0)) for number in range(1, 11)]
    # All fail once before the first one fails three times.
    unhurried = {**QUICK, "retryInterval": 5}
    try:
        ids = [
            create(node, name=f"t{number}", kind="tcp", url="tcp://{}:{}".format(*each.getsockname()), **unhurried)[
                "endpointId"
            ]
            for number, each in enumerate(targets)
        ]
        for endpoint_id in ids:
            await until_status(node, endpoint_id, "UP")
        async with talk(node.ws_url) as kim:
            await kim.join("all-endpoints", "kim")
            for each in targets:
                each.close()
            told = await kim.wait_for("checker:suspect", within_s=20)
            assert (told["nodeId"], told["suspect"]) == ("n1", True)
            await eventually(
                lambda: sum(e["reason"] == "suspect" for e in kim.of("check:completed")) >= 30, 60, "3 rounds"
            )
            assert kim.of("incident:started") == []
            state = (await kim.ask("join", roomId="all-endpoints"))["state"]
            assert state["suspects"] == ["n1"]
            assert state["stats"]["DOWN"] == 0
    finally:
        for each in targets:
            each.close()


async def test_monitoring_goes_on_after_redis_was_emptied(start_node: StartNode, redis_server: RedisServer) -> None:
    node = start_node()
    await until_status(node, "c2c-redis", "UP")
    redis_server.client.flushall()
    await eventually(lambda: node.get("/api/endpoints/c2c-redis")[0] == 200, 10, "the room is there again")
    await until_status(node, "c2c-redis", "UP")


@pytest.mark.timeout(200)
async def test_at_the_defaults_an_outage_becomes_an_incident_within_the_computed_time(start_node: StartNode) -> None:
    """The worst case: it goes silent right behind a check, so that every further check takes its whole timeout.

    60 s until the next check, 10 s of its timeout, and twice 10 s of waiting and 10 s of timeout: 110 s.
    """
    node = start_node(**LOCAL)
    listener = socket.create_server(("127.0.0.1", free_port()), backlog=16)
    answering = asyncio.Event()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readline()
        if not answering.is_set():
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
            await writer.drain()
            writer.close()
        else:
            await reader.read()
            writer.close()

    async with await asyncio.start_server(answer, sock=listener):
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/"
        endpoint_id = (await asyncio.to_thread(create, node, name="Shop", url=url))["endpointId"]
        async with talk(node.ws_url) as kim:
            seen = len((await kim.join(f"endpoint:{endpoint_id}", "kim"))["state"]["checks"])
            # The first check is off the grid; the worst case begins behind one that is on it.
            await kim.wait_for("check:completed", count=2 - seen, within_s=90)
            answering.set()
            silent_at = time.monotonic()
            await kim.wait_for("incident:started", within_s=150)
            took_s = time.monotonic() - silent_at
    assert 105 <= took_s <= 110 + 3
    print(f"worst time from failure to incident at the defaults: {took_s:.1f} s, computed 110 s")


async def test_a_definition_that_cannot_be_read_holds_up_nobody(
    start_node: StartNode, redis_server: RedisServer, target: Target
) -> None:
    node = start_node(**LOCAL)
    broken = create(node, name="old", url=target.url("/old"), **QUICK)["endpointId"]
    await until_status(node, broken, "UP")
    redis, column = redis_server.client, "room:all-endpoints:endpoints"
    redis.hset(column, broken, redis.hget(column, broken).replace('"timeout":1', '"timeout":1000'))
    redis.zadd("room:all-endpoints:due", {broken: 1})
    await eventually(lambda: "can't be read" in node.log, 10, "it is said")
    fine = create(node, name="new", url=target.url("/new"), **QUICK)["endpointId"]
    await until_status(node, fine, "UP")


async def test_a_paused_endpoint_records_nothing_however_it_is_asked(start_node: StartNode, target: Target) -> None:
    node = start_node(**LOCAL)
    job = create(node, name="job", kind="push", interval=60)
    page = create(node, name="page", url=target.url(), **QUICK)
    for each in (job, page):
        node.request("PATCH", f"/api/endpoints/{each['endpointId']}", {"paused": True})
    assert node.request("POST", job["pushPath"] + "?status=down")[1]["data"] == {"status": "UNKNOWN"}
    status, answer = node.request("POST", f"/api/endpoints/{page['endpointId']}/check", {})
    assert (status, answer["data"]["status"]) == (200, "UP"), "whoever asks is told"
    for each in (job, page):
        assert endpoint_of(node, each["endpointId"])["status"] == "UNKNOWN"
    assert node.get("/api/incidents")[1]["data"]["incidents"] == []


async def test_built_in_endpoints_come_back_whoever_opened_the_room_again(
    start_node: StartNode, redis_server: RedisServer
) -> None:
    node = start_node()
    await until_status(node, "c2c-redis", "UP")
    async with talk(node.ws_url) as kim:
        await kim.join("all-endpoints", "kim")
        redis_server.client.delete(
            *redis_server.client.keys("room:all-endpoints*"), *redis_server.client.keys("room:endpoint*")
        )
        redis_server.client.hset(
            "room:all-endpoints", mapping={"kind": "monitor", "epoch": "e", "seq": 0, "retention": 100, "ttl": 0}
        )
        await until_there(node, "c2c-redis")


async def until_there(node: NodeProcess, endpoint_id: str) -> None:
    await eventually(lambda: node.get(f"/api/endpoints/{endpoint_id}")[0] == 200, 15, f"{endpoint_id} is there")


async def test_renaming_a_late_job_gives_it_no_more_time(start_node: StartNode) -> None:
    node = start_node()
    job = create(node, name="job", kind="push", interval=3600)
    path = f"/api/endpoints/{job['endpointId']}"
    assert node.request("PATCH", path, {"name": "nightly"})[1]["data"]["nextCheckAt"] == job["nextCheckAt"]
    assert node.request("PATCH", path, {"interval": 60})[1]["data"]["nextCheckAt"] < job["nextCheckAt"]


async def test_another_address_forgets_the_certificate_of_the_last(
    start_node: StartNode, redis_server: RedisServer, target: Target
) -> None:
    node = start_node(**LOCAL)
    endpoint_id = create(node, name="page", url=target.url(), interval=3600)["endpointId"]
    await until_status(node, endpoint_id, "UP")
    redis, column = redis_server.client, "room:all-endpoints:states"
    state = json.loads(redis.hget(column, endpoint_id))
    redis.hset(column, endpoint_id, json.dumps({**state, "certificate_expires_at": 1_800_000_000_000}))
    assert endpoint_of(node, endpoint_id)["certificateExpiresAt"] is not None
    node.request("PATCH", f"/api/endpoints/{endpoint_id}", {"url": target.url("/other")})
    assert endpoint_of(node, endpoint_id)["certificateExpiresAt"] is None


@pytest.mark.parametrize("before", ["0001-01-01T00:00:00", "0001-01-01T00:00:00Z", "2026-01-01T00:00:00", "x"])
async def test_moments_without_a_zone_or_of_another_age_are_bad_values(start_node: StartNode, before: str) -> None:
    assert refused(start_node(), "GET", f"/api/incidents?before={before}")[:2] == (422, "BAD_VALUE")


async def test_a_name_that_was_not_given_holds_no_query(start_node: StartNode, target: Target) -> None:
    node = start_node(**LOCAL)
    created = create(node, url=target.url("/health?token=s3cret"))
    assert created["name"] == f"127.0.0.1:{target.port}/health"
    for name in ("a\u0000b", "a\nb", "a\u2028b", "\u202egpj"):
        assert refused(node, "POST", "/api/endpoints", {"name": name, "url": target.url()})[2]["field"] == "name"


SECRET = "s" * 40


async def test_who_may_what(start_node: StartNode, target: Target) -> None:
    node = start_node(**LOCAL, auth="jwt", jwt_secret=SECRET)

    def bearer(user: str, **claims: Any) -> dict[str, str]:
        token = jwt.encode({"sub": user, "exp": int(time.time()) + 600, **claims}, SECRET, algorithm="HS256")
        return {"Authorization": f"Bearer {token}"}

    admin, kim, viewer = bearer("root", role="admin"), bearer("kim"), bearer("eve", role="viewer")
    limited, stranger = bearer("lee", rooms=["all-endpoints"]), bearer("max", rooms=["tea"])
    post = {"name": "x", "url": target.url(), "method": "POST", **QUICK}
    assert node.request("POST", "/api/endpoints", post)[0] == 401
    assert node.request("POST", "/api/endpoints", post, kim)[0] == 403
    status, answer = node.request("POST", "/api/endpoints", post, admin)
    assert status == 201
    path = f"/api/endpoints/{answer['data']['endpointId']}"
    assert node.request("POST", path + "/check", {}, kim)[0] == 403
    assert node.request("POST", path + "/check", {}, admin)[0] == 200
    assert node.request("PATCH", path, {"name": "y"}, kim)[0] == 403
    for method, body in (("PATCH", {"name": "y"}), ("DELETE", None)):
        assert node.request(method, path, body, viewer)[0] == 403
        assert node.request(method, path, body, stranger)[0] == 404
    assert node.request("GET", path, None, viewer)[0] == 200
    assert node.request("GET", path, None, limited)[0] == 200
    assert node.request("GET", "/api/endpoints", None, stranger)[0] == 404
    assert node.request("GET", "/api/incidents", None, stranger)[0] == 404
    job = node.request("POST", "/api/endpoints", {"name": "job", "kind": "push"}, kim)[1]["data"]
    assert "pushPath" in job
    assert "pushPath" not in node.request("GET", f"/api/endpoints/{job['endpointId']}", None, viewer)[1]["data"]
    assert node.request("PATCH", "/api/endpoints/c2c-redis", {"name": "mine"}, admin)[0] == 403
    assert node.request("DELETE", "/api/endpoints/c2c-redis", None, admin)[0] == 403
    assert node.request("PATCH", "/api/endpoints/c2c-redis", {"paused": True}, admin)[0] == 200
