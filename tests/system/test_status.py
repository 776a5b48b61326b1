"""How endpoints did, by REST; and the status page for strangers: what they learn, what not, and what it costs."""

from __future__ import annotations

import asyncio
import json
import time
import xml.etree.ElementTree as ET
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote

import httpx
import jwt
import pytest

from c2c.monitoring.history import DAY_MS, HOUR_MS, SIZES_MS, Column, bucket_name, format_bucket, parse_bucket
from c2c.scripts import load_scripts
from tests.conftest import StartNode
from tests.support import NodeProcess, RedisServer, eventually

SECRET = "correct horse battery staple, 32 bytes and more"
PUBLIC = {"status_page": "true"}
POINT = {"at", "up", "degraded", "down", "unknown", "average", "max", "p50", "p95"}
PUSH: dict[str, Any] = {"kind": "push", "interval": 3600, "failAfter": 1}


@pytest.fixture
def node(start_node: StartNode) -> NodeProcess:
    return start_node(**PUBLIC)


@pytest.fixture
async def http(node: NodeProcess) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=node.url, timeout=30) as http:
        yield http


def data(answer: httpx.Response, status: int = 200) -> Any:
    assert answer.status_code == status, answer.text
    return answer.json()["data"]


def code(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["error"]["code"]


async def create(http: httpx.AsyncClient, name: str = "Shop", **fields: Any) -> dict[str, Any]:
    created: dict[str, Any] = data(await http.post("/api/endpoints", json={**PUSH, "name": name, **fields}), 201)
    return created


async def push(http: httpx.AsyncClient, endpoint: dict[str, Any], status: str = "up", **said: Any) -> None:
    data(await http.post(endpoint["pushPath"], params={"status": status, **said}))


async def seen(http: httpx.AsyncClient, condition: Any = lambda status: True) -> dict[str, Any]:
    """The status, once the condition holds: the page is behind by some seconds."""

    async def look() -> dict[str, Any] | None:
        status: dict[str, Any] = data(await http.get("/api/status"))
        return status if condition(status) else None

    found: dict[str, Any] = await eventually(look, 40, "the status page says so")
    return found


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def keep(redis: Any, endpoint_id: str, column: Column, buckets: dict[int, str]) -> None:
    """Write hours or days, by how many of them ago they began, on top of what is there."""
    key = f"room:endpoint:{endpoint_id}:{column}"
    for ago, text in buckets.items():
        name = bucket_name(column, now_ms() - ago * SIZES_MS[column])
        redis.hset(key, name, format_bucket(parse_bucket(text) + parse_bucket(redis.hget(key, name) or "")))


def keep_hours(redis: Any, endpoint_id: str, hours: dict[int, str]) -> None:
    """Write hours, and the days that they are part of."""
    keep(redis, endpoint_id, "hours", hours)
    now = now_ms()
    for ago, text in hours.items():
        keep(redis, endpoint_id, "days", {now // DAY_MS - (now - ago * HOUR_MS) // DAY_MS: text})


# How endpoints did


async def test_results_of_several_endpoints_come_in_one_answer(http: httpx.AsyncClient) -> None:
    shop, mail = await create(http), await create(http, "Mail")
    for n in range(3):
        await push(http, shop, responseTime=n + 1)
    await push(http, shop, "down", message="disk full")
    ids = [shop["endpointId"], mail["endpointId"], "nobody"]
    found = data(await http.get("/api/endpoints/results", params={"ids": ",".join(ids)}))
    results = found["results"]
    assert list(results) == ids
    assert [(each["status"], each["responseTime"]) for each in results[ids[0]]] == [
        ("UP", 1), ("UP", 2), ("UP", 3), ("DOWN", None),
    ]  # fmt: skip
    last = results[ids[0]][-1]
    assert last.keys() == {"at", "status", "responseTime", "statusCode", "errorMessage", "reason"}
    assert (last["errorMessage"], last["reason"]) == ("disk full", "reported")
    assert 0 < found["uptime"].pop(ids[0])["day"] < 1
    assert found["uptime"] == {ids[1]: {"day": None}, "nobody": {"day": None}}
    assert results[ids[1]] == results["nobody"] == []


async def test_ids_that_are_none_or_too_many_are_refused(http: httpx.AsyncClient) -> None:
    for query in ("", "?ids=", "?ids=a,,b", "?ids=a%20b", "?ids=" + ",".join(f"e{n}" for n in range(51))):
        assert code(await http.get(f"/api/endpoints/results{query}")) == (422, "BAD_VALUE"), query


async def test_a_page_of_fifty_endpoints_is_one_round_trip_of_fifty_calls(
    http: httpx.AsyncClient, redis_server: RedisServer
) -> None:
    ids = ",".join(f"e{n}" for n in range(50))
    redis_server.count_calls()
    assert len(data(await http.get("/api/endpoints/results", params={"ids": ids}))["results"]) == 50
    assert calls_of(redis_server, "results_read") == 50


def calls_of(redis_server: RedisServer, script: str) -> int:
    """How often a script was called since `count_calls`."""
    sha = load_scripts()[script].sha
    return sum(sha in entry["command"].split()[:2] for entry in redis_server.client.slowlog_get(100_000))


async def test_the_history_of_each_range_comes_from_results_hours_and_days(
    http: httpx.AsyncClient, redis_server: RedisServer
) -> None:
    endpoint_id = (shop := await create(http))["endpointId"]
    await push(http, shop, responseTime=40)
    await push(http, shop, "down")
    up, down = "10 0 0 0 1500 200 600000 0 0 0 0 5 5", "5 0 5 0 0 0 300000 300000"
    keep_hours(redis_server.client, endpoint_id, {3: up, 4: down, 30: up, 24 * 20: up})
    keep(redis_server.client, endpoint_id, "days", {95: down, 500: up})

    async def history(wanted: str) -> dict[str, Any]:
        found: dict[str, Any] = data(await http.get(f"/api/endpoints/{endpoint_id}/history", params={"range": wanted}))
        assert found["range"] == wanted
        assert all(set(point) == POINT for point in found["points"])
        return found

    day = await history("day")
    assert [(point["up"], point["down"], point["p95"]) for point in day["points"]] == [(1, 0, 40), (0, 1, None)]
    # In minutes; what was pushed stands for a second.
    assert day["uptime"] == pytest.approx({"day": 15 / 20, "week": 25 / 30, "month": 35 / 40}, abs=0.01)
    week = await history("week")
    measured = [point for point in week["points"] if point["up"] + point["down"]]
    assert [(point["up"], point["down"]) for point in measured] == [(10, 0), (5, 5), (10, 0), (1, 1)]
    assert measured[0] == {
        "at": measured[0]["at"], "up": 10, "degraded": 0, "down": 0, "unknown": 0, "average": 150.0, "max": 200,
        "p50": 100.0, "p95": 190.0,
    }  # fmt: skip
    assert any(point["average"] is None and not point["down"] for point in week["points"]), "gaps are empty points"
    assert sum(point["up"] for point in (await history("month"))["points"]) == 36
    assert sum(point["up"] for point in (await history("quarter"))["points"]) == 36
    years = (await history("years"))["points"]
    assert [(point["up"], point["down"]) for point in years if point["up"] + point["down"]][:3] == [
        (10, 0),
        (5, 5),
        (10, 0),
    ]
    assert sum(point["up"] for point in years) == 51


async def test_a_history_of_nobody_and_of_no_range_is_refused(http: httpx.AsyncClient) -> None:
    endpoint_id = (await create(http))["endpointId"]
    assert code(await http.get("/api/endpoints/nobody/history")) == (404, "ENDPOINT_NOT_FOUND")
    assert code(await http.get(f"/api/endpoints/{endpoint_id}/history?range=century")) == (422, "BAD_VALUE")
    found = data(await http.get(f"/api/endpoints/{endpoint_id}/history"))
    assert found == {"range": "day", "points": [], "uptime": {"day": None, "week": None, "month": None}}


async def test_histories_are_for_who_may_enter_the_rooms(start_node: StartNode) -> None:
    node = start_node(auth="jwt", jwt_secret=SECRET)

    def token(**claims: Any) -> dict[str, str]:
        claims = {"sub": "kim", "exp": datetime.now(UTC) + timedelta(hours=1), **claims}
        return {"Authorization": f"Bearer {jwt.encode(claims, SECRET, 'HS256')}"}

    async with httpx.AsyncClient(base_url=node.url) as http:
        shop = data(await http.post("/api/endpoints", json={**PUSH, "name": "Shop"}, headers=token(role="admin")), 201)
        results, history = "/api/endpoints/results?ids=e1", f"/api/endpoints/{shop['endpointId']}/history"
        for path in (results, history):
            assert code(await http.get(path)) == (401, "UNAUTHORIZED")
            assert code(await http.get(path, headers=token(rooms=["tea"]))) == (404, "ROOM_NOT_FOUND")
            data(await http.get(path, headers=token(role="viewer")))


# The status page


async def test_unless_the_operator_wants_it_there_is_no_status_page(start_node: StartNode) -> None:
    async with httpx.AsyncClient(base_url=start_node().url) as http:
        endpoint_id = (await create(http))["endpointId"]
        for method in ("GET", "POST"):
            nothing = await http.request(method, "/api/nothing-of-the-kind")
            for path in ("/status", "/api/status", f"/api/status/badge/{endpoint_id}.svg"):
                answer = await http.request(method, path)
                assert answer.status_code == nothing.status_code == 404
                assert answer.json() | {"timestamp": ""} == nothing.json() | {"timestamp": ""}
                assert {*answer.headers} == {*nothing.headers}


async def test_strangers_see_how_everything_does(http: httpx.AsyncClient, redis_server: RedisServer) -> None:
    shop, mail = await create(http), await create(http, "mail")
    await push(http, shop, responseTime=40)
    await push(http, mail, responseTime=40)
    ago = {3: "9 0 1 0 0 0 9000 1000", 29: "1 0 0 0 0 0 1000", 30: "7 0 0 0 0 0 7000"}
    keep(redis_server.client, shop["endpointId"], "days", ago)
    status = await seen(http, lambda status: status["status"] == "UP")
    assert status.keys() == {"status", "endpoints", "incidents", "windows"}
    assert (status["incidents"], status["windows"]) == ([], [])
    first, second = status["endpoints"]
    assert (first["name"], second["name"]) == ("mail", "Shop"), "by name, whatever their case"
    assert second["uptime"] == {"day": 1.0, "week": round(10 / 11, 6), "month": round(11 / 12, 6)}
    days = second["days"]
    assert len(days) == 30
    assert [day["date"] for day in days] == [bucket_name("days", now_ms() - n * DAY_MS) for n in range(29, -1, -1)]
    assert {29 - n: day["uptime"] for n, day in enumerate(days) if day["uptime"] is not None} == {
        29: 1.0,
        3: 0.9,
        0: 1.0,
    }
    await push(http, mail, "down")
    status = await seen(http, lambda status: status["status"] == "DOWN")
    assert [each["status"] for each in status["endpoints"]] == ["DOWN", "UP"]
    (incident,) = status["incidents"]
    assert (incident["endpointName"], incident["resolvedAt"], incident["duration"]) == ("mail", None, None)
    assert status["endpoints"][0]["days"][-1]["incidents"] == 1
    assert 0 < status["endpoints"][0]["uptime"]["day"] < 1
    await push(http, mail)
    status = await seen(http, lambda status: status["status"] == "UP")
    (incident,) = status["incidents"]
    assert incident["duration"] >= 0
    assert incident["resolvedAt"] >= incident["startedAt"]


async def test_strangers_learn_nothing_that_is_private(start_node: StartNode) -> None:
    """Nor does anything about c2c itself stand there. Names of endpoints and titles of windows are what they see."""
    node = start_node(auth="jwt", jwt_secret=SECRET, **PUBLIC)
    claims = {
        "sub": "hong-gildong",
        "name": "Private Person",
        "exp": datetime.now(UTC) + timedelta(hours=1),
        "role": "admin",
    }
    headers = {"Authorization": f"Bearer {jwt.encode(claims, SECRET, 'HS256')}"}
    stranger = httpx.AsyncClient(base_url=node.url)
    async with stranger, httpx.AsyncClient(base_url=node.url, headers=headers) as http:
        shop = await create(http)
        await create(
            http, "Site", kind="http", url="http://hidden.example/private-path", headers={"X-Key": "private-key"},
            keyword="private-word", interval=60, paused=True,
        )  # fmt: skip
        await push(http, shop, "down", message="private-text")
        (incident,) = data(await http.get("/api/incidents"))["incidents"]
        note = {"note": "private-note"}
        data(await http.post(f"/api/incidents/{incident['incidentId']}/acknowledge", json=note))
        built_in = await eventually(lambda: built_in_endpoints(http), 20, "c2c watches itself")
        status = await seen(stranger, lambda status: status["incidents"] and status["incidents"][0]["acknowledged"])
        text = json.dumps(status)
        secrets = ["hidden.example", "private", "hong-gildong", "Private Person", "reported", incident["incidentId"]]
        secrets += [shop["pushPath"].rpartition("/")[2], *[name for each in built_in for name in each.values()]]
        assert [secret for secret in secrets if secret in text] == []
        assert {each["name"] for each in status["endpoints"]} == {"Shop", "Site"}
        for each in status["endpoints"]:
            assert each.keys() == {"endpointId", "name", "status", "since", "maintenance", "uptime", "days"}
        (told,) = status["incidents"]
        assert told.keys() == {"endpointId", "endpointName", "startedAt", "resolvedAt", "duration", "acknowledged"}
        for each in built_in:
            answer = await stranger.get(f"/api/status/badge/{quote(each['endpointId'])}.svg")
            assert code(answer) == (404, "ENDPOINT_NOT_FOUND")
        assert (await stranger.get("/status")).status_code == 200
        assert code(await stranger.get("/api/endpoints")) == (401, "UNAUTHORIZED")


async def built_in_endpoints(http: httpx.AsyncClient) -> list[dict[str, str]]:
    endpoints = data(await http.get("/api/endpoints"))["endpoints"]
    return [{name: each[name] for name in ("endpointId", "name")} for each in endpoints if each["kind"] == "builtin"]


async def test_maintenance_is_told_and_spoils_no_verdict(http: httpx.AsyncClient) -> None:
    shop, mail = await create(http), await create(http, "Mail")
    await push(http, mail)
    await push(http, shop, "down")
    await seen(http, lambda status: status["status"] == "DOWN")
    now = datetime.now(UTC)
    hour = timedelta(hours=1)
    for title, ids, start in (
        ("now", [shop["endpointId"]], now - hour),
        ("later", [], now + hour),
        ("gone", ["gone"], now),
    ):
        window = {"title": title, "endpointIds": ids, "start": start.isoformat(), "end": (start + 2 * hour).isoformat()}
        data(await http.post("/api/maintenance", json=window), 201)
    status = await seen(http, lambda status: len(status["windows"]) == 2)
    assert status["status"] == "UP"
    assert {each["name"]: each["maintenance"] for each in status["endpoints"]} == {"Shop": True, "Mail": False}
    first, second = status["windows"]
    assert first.keys() == {"title", "endpointIds", "active", "nextStart", "nextEnd"}
    assert (first["title"], first["active"], first["endpointIds"]) == ("now", True, [shop["endpointId"]])
    assert (second["title"], second["active"], second["endpointIds"]) == ("later", False, [])


async def test_while_nothing_is_known_nothing_is_said_to_be_up(http: httpx.AsyncClient) -> None:
    assert (await seen(http))["status"] == "UNKNOWN"
    await create(http)
    status = await seen(http, lambda status: status["endpoints"])
    assert status["status"] == "UNKNOWN"
    assert status["endpoints"][0]["uptime"] == {"day": None, "week": None, "month": None}
    assert {day["uptime"] for day in status["endpoints"][0]["days"]} == {None}


async def test_a_thousand_visitors_cost_redis_a_few_reads(
    node: NodeProcess, http: httpx.AsyncClient, redis_server: RedisServer
) -> None:
    shop = await create(http)
    await push(http, shop)
    path = f"/api/status/badge/{shop['endpointId']}.svg"
    await seen(http, lambda status: status["endpoints"])
    redis_server.count_calls()
    began = time.monotonic()
    for _ in range(10):
        answers = await asyncio.gather(*[http.get("/api/status" if n % 2 else path) for n in range(100)])
        assert {answer.status_code for answer in answers} == {200}
    took_s = time.monotonic() - began
    assert calls_of(redis_server, "incidents_read") <= 2 + took_s / 3


async def test_answers_can_be_kept_asked_for_again_and_packed(http: httpx.AsyncClient) -> None:
    await create(http)
    await seen(http, lambda status: status["endpoints"])
    answer = await http.get("/api/status")
    assert answer.headers["content-encoding"] == "gzip"
    assert answer.headers["cache-control"] == "public, max-age=5"
    plain = await http.get("/api/status", headers={"Accept-Encoding": "identity"})
    assert "content-encoding" not in plain.headers
    assert plain.json()["data"] == answer.json()["data"]
    while (
        again := await http.get("/api/status", headers={"If-None-Match": answer.headers["etag"]})
    ).status_code == 200:
        answer = again
    assert (again.status_code, again.content) == (304, b"")


async def test_while_redis_is_away_the_status_says_so_and_comes_back(
    http: httpx.AsyncClient, redis_server: RedisServer
) -> None:
    await seen(http)
    redis_server.kill()

    async def answers(status: int) -> bool:
        return (await http.get("/api/status")).status_code == status

    await eventually(lambda: answers(503), 40)
    assert code(await http.get("/api/status")) == (503, "SERVICE_UNAVAILABLE")
    redis_server.start()
    await eventually(lambda: answers(200), 40)


# Badges


async def test_a_badge_says_the_status_or_the_uptime(http: httpx.AsyncClient, redis_server: RedisServer) -> None:
    shop = await create(http, "Shop & <Söhne>")
    path = f"/api/status/badge/{shop['endpointId']}.svg"
    assert await badge_words(http, path) == ["Shop & <Söhne>", "unknown"]
    assert await badge_words(http, f"{path}?range=day") == ["Shop & <Söhne>", "n/a"]
    await push(http, shop)
    keep(redis_server.client, shop["endpointId"], "days", {2: "99999 0 1 0 0 0 99999000 1000"})
    await eventually(lambda: says(http, path, "up"), 40)
    assert await badge_words(http, f"{path}?range=day&label=가동률") == ["가동률", "100%"]
    assert await badge_words(http, f"{path}?range=week&label=") == ["99.99%"]
    keep(redis_server.client, shop["endpointId"], "days", {0: "0 0 1 0 0 0 0 9000"})
    await push(http, shop, "down")
    await eventually(lambda: says(http, path, "down"), 40)
    (label, share) = await badge_words(http, f"{path}?range=day")
    assert label == "Shop & <Söhne>"
    assert 0 < float(share.removesuffix("%")) < 100


async def badge_words(http: httpx.AsyncClient, path: str) -> list[str]:
    answer = await http.get(path)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"].startswith("image/svg+xml")
    assert answer.headers["cache-control"] == "public, max-age=30"
    root = ET.fromstring(answer.content)
    words = [element.text or "" for element in root.iter("{http://www.w3.org/2000/svg}text")]
    assert root.get("aria-label") == ": ".join(words)
    return words


async def says(http: httpx.AsyncClient, path: str, value: str) -> bool:
    return (await badge_words(http, path))[-1] == value


async def test_no_label_breaks_out_of_a_badge(http: httpx.AsyncClient) -> None:
    endpoint_id = (await create(http))["endpointId"]
    await seen(http, lambda status: status["endpoints"])
    for label in (
        "<script>alert(1)</script>", '"><svg onload="x', "&amp;", "a\x00b\x1bc", "]]>", "\ufffe", "<!--", "🙂 한국어",
    ):  # fmt: skip
        path = f"/api/status/badge/{endpoint_id}.svg?label={quote(label)}"
        printable = "".join(character if character.isprintable() else " " for character in label)
        assert (await badge_words(http, path))[0] == printable
        root = ET.fromstring((await http.get(path)).content)
        names = {element.tag.rpartition("}")[2] for element in root.iter()}
        assert names == {"svg", "title", "clipPath", "rect", "g", "text"}
        assert not any(name.startswith("on") for element in root.iter() for name in element.attrib)


async def test_a_badge_of_nobody_of_no_range_or_with_an_endless_label_is_refused(http: httpx.AsyncClient) -> None:
    endpoint_id = (await create(http))["endpointId"]
    await seen(http, lambda status: status["endpoints"])
    path = f"/api/status/badge/{endpoint_id}.svg"
    assert code(await http.get("/api/status/badge/nobody.svg")) == (404, "ENDPOINT_NOT_FOUND")
    assert code(await http.get(f"{path}?range=century")) == (422, "BAD_VALUE")
    assert code(await http.get(f"{path}?label={'x' * 65}")) == (422, "BAD_VALUE")
    etag = (await http.get(path)).headers["etag"]
    assert (await http.get(path, headers={"If-None-Match": etag})).status_code == 304
