"""Maintenance windows on real nodes: who may write them, what is told, and that no incident opens in one."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from c2c.auth import mint_token
from tests.conftest import StartNode
from tests.support import NodeProcess, RedisServer, eventually, talk
from tests.targets import Target

PATH = "/api/maintenance"
SECRET = "a secret of at least thirty-two bytes"
WEEKLY = {"days": ["sun", "mon"], "time": "23:00", "durationMinutes": 90, "zone": "Asia/Seoul"}


@pytest.fixture
def target() -> Iterator[Target]:
    with Target() as target:
        yield target


def span(from_minutes: float = -1, to_minutes: float = 60) -> dict[str, str]:
    now = datetime.now(UTC)
    start, end = (now + timedelta(minutes=minutes) for minutes in (from_minutes, to_minutes))
    return {"start": start.isoformat(), "end": end.isoformat()}


def create(node: NodeProcess, **fields: Any) -> dict[str, Any]:
    status, answer = node.request("POST", PATH, fields)
    assert status == 201, answer
    window: dict[str, Any] = answer["data"]
    return window


def patch(node: NodeProcess, window_id: str, **fields: Any) -> tuple[int, dict[str, Any]]:
    return node.request("PATCH", f"{PATH}/{window_id}", fields)


def windows_of(node: NodeProcess) -> list[dict[str, Any]]:
    status, answer = node.get(PATH)
    assert status == 200, answer
    windows: list[dict[str, Any]] = answer["data"]["windows"]
    return windows


def token(role: str = "", rooms: list[str] | None = None) -> dict[str, str]:
    minted = mint_token(
        SECRET, "kim", name=None, ttl_s=600, rooms=rooms, admin=role == "admin", viewer=role == "viewer"
    )
    return {"Authorization": f"Bearer {minted}"}


async def test_a_window_is_written_changed_and_deleted_and_everybody_is_told(start_node: StartNode) -> None:
    first, second = start_node(monitor=False), start_node(monitor=False)
    async with talk(second.ws_url) as kim:
        assert (await kim.join("all-endpoints", "kim"))["state"]["windows"] == []
        seoul = create(first, title="점검", endpointIds=["e1", "e2"], **WEEKLY)
        assert (seoul["title"], seoul["endpointIds"], seoul["durationMinutes"]) == ("점검", ["e1", "e2"], 90)
        assert seoul["days"] == ["mon", "sun"]
        assert datetime.fromisoformat(seoul["nextStart"]).strftime("%H:%M") == "14:00"
        assert windows_of(second) == [seoul]
        now = create(second, **span())
        assert (now["title"], now["endpointIds"], now["active"], now["nextEnd"]) == ("", [], True, now["end"])
        both = [seoul, now] if seoul["active"] else [now, seoul]
        assert windows_of(first) == both

        status, answer = patch(first, seoul["windowId"], title="Patches", days=["wed"])
        changed = answer["data"]
        assert (status, changed["title"], changed["days"], changed["time"]) == (200, "Patches", ["wed"], "23:00")
        status, answer = patch(second, seoul["windowId"], **span(5, 10))
        assert status == 200
        assert "zone" not in answer["data"], "a weekly window that became a one-off one"
        assert answer["data"]["title"] == "Patches"
        status, answer = patch(second, seoul["windowId"], **WEEKLY)
        assert (status, "start" in answer["data"], answer["data"]["zone"]) == (200, False, "Asia/Seoul")

        status, answer = first.request("DELETE", f"{PATH}/{now['windowId']}")
        assert (status, answer["data"]) == (200, {"windowId": now["windowId"]})
        await kim.wait_for("maintenance:changed", 6)
        told = [event["windows"] for event in kim.events("maintenance:changed")]
        assert [len(windows) for windows in told] == [1, 2, 2, 2, 2, 1]
        assert told[0] == [seoul]
        assert told[1] == both
        assert told[-1] == windows_of(first)
        async with talk(first.ws_url) as lee:
            assert (await lee.join("all-endpoints", "lee"))["state"]["windows"] == windows_of(first)


async def test_what_is_no_window_is_refused_and_nothing_is_told(start_node: StartNode) -> None:
    node = start_node(monitor=False)
    window_id = create(node, **WEEKLY)["windowId"]
    before = windows_of(node)
    for fields, wrong in (
        ({}, "start"),
        ({**span(), "end": "2000-01-01T00:00:00Z"}, "end"),
        ({**span(), "start": "tomorrow"}, "start"),
        ({**WEEKLY, "zone": "Mars/Olympus"}, "zone"),
        ({**WEEKLY, **span()}, "start"),
        ({**WEEKLY, "windowId": "mine"}, "windowId"),
    ):
        status, answer = node.request("POST", PATH, fields)
        assert (status, answer["error"]["code"]) == (422, "BAD_VALUE"), fields
        assert answer["error"]["details"]["field"] == wrong
    for change, wrong in (
        ({"time": "25:00"}, "time"),
        ({"start": span()["start"]}, "end"),
        ({"durationMinutes": None}, "durationMinutes"),
        ({"windowId": "other"}, "windowId"),
        ({"active": True}, "active"),
    ):
        status, answer = patch(node, window_id, **change)
        assert (status, answer["error"]["code"]) == (422, "BAD_VALUE"), change
        assert answer["error"]["details"]["field"] == wrong
    for method in ("PATCH", "DELETE"):
        status, answer = node.request(method, f"{PATH}/unknown", {"title": "x"} if method == "PATCH" else None)
        assert (status, answer["error"]["code"]) == (404, "WINDOW_NOT_FOUND")
    assert node.request("POST", PATH, b"[]")[0] == 400
    assert node.request("PUT", PATH, {})[0] == 405
    assert [{**each, "nextStart": 0, "nextEnd": 0} for each in windows_of(node)] == [
        {**each, "nextStart": 0, "nextEnd": 0} for each in before
    ]
    assert node.get("/api/rooms/all-endpoints")[1]["data"]["seq"] == 1


def test_a_viewer_looks_and_who_may_not_enter_sees_nothing(start_node: StartNode) -> None:
    node = start_node(monitor=False, auth="jwt", jwt_secret=SECRET)

    def ask(method: str, path: str, headers: dict[str, str], body: object = None) -> tuple[int, str | None]:
        status, answer = node.request(method, path, body, headers)
        return status, answer["error"] and answer["error"]["code"]

    assert ask("POST", PATH, {}, WEEKLY) == (401, "UNAUTHORIZED")
    assert ask("POST", PATH, token("viewer"), WEEKLY) == (403, "FORBIDDEN")
    status, answer = node.request("POST", PATH, WEEKLY, token())
    assert status == 201
    one = f"{PATH}/{answer['data']['windowId']}"
    assert ask("PATCH", one, token("viewer"), {"title": "x"}) == (403, "FORBIDDEN")
    assert ask("DELETE", one, token("viewer")) == (403, "FORBIDDEN")
    assert ask("GET", PATH, token("viewer")) == (200, None)
    elsewhere = token("admin", rooms=["tea", "endpoint:*"])
    for method, path, body in (("GET", PATH, None), ("POST", PATH, WEEKLY), ("PATCH", one, {}), ("DELETE", one, None)):
        assert ask(method, path, elsewhere, body) == (404, "ROOM_NOT_FOUND")
    assert ask("DELETE", one, token(rooms=["all-endpoints"])) == (200, None)


async def test_edits_of_different_fields_at_the_same_time_are_all_kept(start_node: StartNode) -> None:
    nodes = [start_node(monitor=False), start_node(monitor=False)]
    window_id = create(nodes[0], **WEEKLY)["windowId"]
    edits: list[dict[str, Any]] = [
        {"title": "Patches"}, {"days": ["fri"]}, {"time": "01:30"}, {"durationMinutes": 15}, {"zone": "Europe/Berlin"},
        {"endpointIds": ["e1"]},
    ]  # fmt: skip
    for turn in range(3):
        with ThreadPoolExecutor(len(edits)) as pool:
            answers = list(pool.map(lambda n: patch(nodes[n % 2], window_id, **edits[n]), range(len(edits))))
        assert {status for status, _ in answers} == {200}
        (window,) = windows_of(nodes[0])
        for edit in edits:
            assert edit.items() <= window.items(), f"turn {turn}"
        back = {**WEEKLY, "title": "", "endpointIds": []}
        assert patch(nodes[1], window_id, **back)[0] == 200


async def test_in_a_window_checks_run_and_no_incident_opens_until_it_ends(
    start_node: StartNode, target: Target
) -> None:
    """Windows are written on one node; either may run the checks."""
    nodes = [start_node(check_allow_cidrs="127.0.0.0/8") for _ in range(2)]
    window_id = create(nodes[0], endpointIds=["nobody"], **span())["windowId"]
    target.status = 503
    quick = {"interval": 5, "timeout": 1, "retryInterval": 2, "failAfter": 2}
    status, answer = nodes[0].request("POST", "/api/endpoints", {"name": "Shop", "url": target.url(), **quick})
    endpoint_id = answer["data"]["endpointId"]
    assert status == 201
    assert patch(nodes[1], window_id, endpointIds=[endpoint_id])[0] == 200

    def state() -> dict[str, Any]:
        found: dict[str, Any] = nodes[0].get(f"/api/endpoints/{endpoint_id}")[1]["data"]
        return found

    async with talk(nodes[1].ws_url) as kim:
        await kim.join(f"endpoint:{endpoint_id}", "kim")
        asked = target.asked["/"]
        await eventually(lambda: target.asked["/"] >= asked + 4, 30, "checks in a window")
        in_window = await eventually(lambda: state()["status"] == "DOWN" and state(), 20, "is down")
        assert in_window["maintenance"] is True
        assert in_window["incidentId"] is None
        assert kim.events("incident:started") == []
        assert nodes[1].request("DELETE", f"{PATH}/{window_id}")[0] == 200
        started = await kim.wait_for("incident:started", within_s=20)
        assert started["endpointId"] == endpoint_id
        after = await eventually(lambda: state()["incidentId"] == started["incidentId"] and state(), 20, "incident")
        assert after["maintenance"] is False


async def test_an_endpoint_is_in_maintenance_as_soon_as_a_window_is_and_not_a_check_later(
    start_node: StartNode, target: Target
) -> None:
    """Its next check is in an hour; a node that runs none must know as well."""
    node, onlooker = start_node(check_allow_cidrs="127.0.0.0/8"), start_node(monitor="false")
    fields = {"name": "Shop", "url": target.url(), "interval": 3600}
    endpoint_id = node.request("POST", "/api/endpoints", fields)[1]["data"]["endpointId"]
    path = f"/api/endpoints/{endpoint_id}"
    await eventually(lambda: node.get(path)[1]["data"]["status"] == "UP", 20)

    async def seen() -> list[bool]:
        """As it is told by REST and by what a join shows, by both nodes."""
        told = []
        for each in (node, onlooker):
            listed = each.get("/api/endpoints")[1]["data"]["endpoints"]
            async with talk(each.ws_url) as kim:
                board = await kim.join("all-endpoints", "kim")
                own = await kim.ask("join", roomId=f"endpoint:{endpoint_id}")
            states = [each.get(path)[1]["data"], own["state"]["endpoints"][0]]
            states += [e for e in [*listed, *board["state"]["endpoints"]] if e["endpointId"] == endpoint_id]
            told += [state.get("maintenance", False) for state in states]
        return told

    assert await seen() == [False] * 8
    window_id = create(node, endpointIds=[endpoint_id], **span())["windowId"]
    assert await seen() == [True] * 8
    async with talk(node.ws_url) as kim:
        await kim.join("all-endpoints", "kim")
        assert node.request("PATCH", path, {"name": "Store"})[1]["data"]["maintenance"] is True
        assert (await kim.wait_for("endpoint:updated"))["endpoint"]["maintenance"] is True
    assert node.request("DELETE", f"{PATH}/{window_id}")[0] == 200
    assert await seen() == [False] * 8


async def test_while_redis_is_away_windows_are_unavailable(start_node: StartNode, redis_server: RedisServer) -> None:
    node = start_node()
    redis_server.kill()
    await eventually(lambda: node.get(PATH)[0] == 503, 20)
    status, answer = await asyncio.to_thread(node.request, "POST", PATH, WEEKLY)
    assert (status, answer["error"]["code"]) == (503, "SERVICE_UNAVAILABLE")
    redis_server.start()
    # All is lost; the node opens the room again by itself.
    await eventually(lambda: node.request("POST", PATH, WEEKLY)[0] == 201, 20)
