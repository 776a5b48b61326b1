"""Monitoring in a real browser: what breaks is seen, taken on and talked about; with a real target and real checks."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Awaitable, Callable, Iterator
from datetime import UTC, datetime, timedelta
from math import sin, tau
from pathlib import Path
from typing import Any, TypeAlias
from urllib.parse import parse_qs, urlsplit

import pytest
from playwright.async_api import FloatRect, Request, Route, expect

from c2c.monitoring.history import BOUNDS_MS, Bucket, bucket_name, format_bucket
from tests.browser.board import LOCAL, QUICK, Board, add, add_many, endpoint_of, open_incident, until_status
from tests.browser.conftest import Visit
from tests.conftest import StartNode
from tests.support import NodeProcess, RedisServer, eventually
from tests.targets import Target

_IMAGES = Path(__file__).parent.parent.parent / "docs" / "images"

OpenBoard: TypeAlias = Callable[..., Awaitable[Board]]

_WORDS: dict[str, dict[str, Any]] = {
    "en-US": {
        "empty": "Nothing is monitored yet",
        "first": "Add the first endpoint",
        "name": "Name",
        "address": "Address",
        "bad address": "An address begins with http:// or https://.",
        "try": "Test this URL",
        "add": "Add",
        "created": "Shop is monitored now.",
        "up": "Up",
        "down": "Down",
        "title": "Monitoring – c2c",
        "failing": re.compile(r"^failing [12]/3$"),
        "is down": "Shop: Down",
        "started": "Incident at Shop after 3 failures",
        "why": "Unexpected status 503",
        "acknowledge": "Acknowledge",
        "note": "Note (optional)",
        "acknowledged": "kim is on it since",
        "took it on": "kim is on it: Shop",
        "is up": "Shop: Up",
        "resolved": "Incident at Shop resolved after",
    },
    "ko-KR": {
        "empty": "아직 모니터링하는 대상이 없습니다",
        "first": "첫 엔드포인트 추가",
        "name": "이름",
        "address": "주소",
        "bad address": "주소는 http:// 또는 https://로 시작해야 합니다.",
        "try": "URL 시험하기",
        "add": "추가",
        "created": "Shop 모니터링을 시작했습니다.",
        "up": "정상",
        "down": "장애",
        "title": "모니터링 – c2c",
        "failing": re.compile(r"^실패 [12]/3$"),
        "is down": "Shop: 장애",
        "started": "Shop 장애 발생 (연속 실패 3회)",
        "why": "예상하지 않은 상태 코드 503",
        "acknowledge": "확인",
        "note": "메모 (선택)",
        "acknowledged": "kim님이",
        "took it on": "kim님이 Shop 장애를 확인했습니다.",
        "is up": "Shop: 정상",
        "resolved": "Shop 장애가",
    },
}
_LOCALES = pytest.mark.parametrize("locale", _WORDS)


@pytest.fixture
def target() -> Iterator[Target]:
    with Target() as target:
        yield target


@pytest.fixture
def open_board(visit: Visit) -> OpenBoard:
    async def open_board(node: NodeProcess, name: str = "kim", path: str = "/monitor", **options: Any) -> Board:
        board = Board(await visit(node, path, name, **options))
        await board.is_open()
        return board

    return open_board


# From the first endpoint to the end of an incident


@_LOCALES
async def test_the_first_endpoint_is_tried_added_and_seen_by_others(
    start_node: StartNode, open_board: OpenBoard, target: Target, locale: str
) -> None:
    words = _WORDS[locale]
    first, second = start_node(**LOCAL), start_node(**LOCAL)
    kim, lee = await open_board(first, locale=locale), await open_board(second, "lee", locale=locale)
    await expect(kim.page.get_by_role("heading", name=words["empty"])).to_be_visible()
    await kim.button(words["first"]).click()
    await expect(kim.box.get_by_label(words["name"], exact=True)).to_be_focused()
    await kim.keyboard.type("Shop")
    await kim.box.get_by_label(words["address"], exact=True).fill("shop.example")
    await kim.button(words["try"]).click()
    await expect(kim.box.locator(".field.url .wrong")).to_have_text(words["bad address"])
    await expect(kim.box.get_by_label(words["address"], exact=True)).to_be_focused()

    # What only the server can know stands beside the field, too.
    await kim.keyboard.press("Control+a")
    await kim.keyboard.type("http://10.1.2.3/")
    await kim.button(words["add"]).click()
    await expect(kim.box.locator(".field.url .wrong")).not_to_be_empty()
    await expect(kim.box.locator(".field.url input")).to_have_attribute("aria-invalid", "true")

    target.status = 404
    await kim.box.locator(".field.url input").fill(target.url("/health"))
    await kim.button(words["try"]).click()
    await expect(kim.box.locator(".outcome .badge")).to_have_text(words["down"])
    await expect(kim.box.locator(".outcome")).to_contain_text("HTTP 404")
    target.status = 200
    await kim.button(words["try"]).click()
    await expect(kim.box.locator(".outcome .badge")).to_have_text(words["up"])
    await expect(kim.box.locator(".outcome")).to_contain_text("HTTP 200")
    await expect(kim.box.locator(".phases dt")).to_have_count(2)
    await expect(kim.rows).to_have_count(0)

    await kim.button(words["add"]).click()
    await expect(kim.box).to_have_count(0)
    for board in (kim, lee):
        await board.says(words["created"])
        await board.shows("Shop", "UP")
        await expect(board.row("Shop").locator(".word")).to_have_text(words["up"])
        await expect(board.row("Shop").locator(".below")).to_have_text(target.url("/health"))
        await expect(board.row("Shop").locator(".uptime")).to_have_text("100%")
        await expect(board.counts).to_have_text(["1", "0", "0", "0", "1"])


@_LOCALES
async def test_an_outage_is_seen_by_all_taken_on_by_one_and_over(
    start_node: StartNode, open_board: OpenBoard, target: Target, locale: str
) -> None:
    words = _WORDS[locale]
    first, second = start_node(**LOCAL), start_node(**LOCAL)
    # Slow enough for a person, and for a busy machine, to see each failure.
    endpoint_id = add(first, "Shop", target.url(), **{**QUICK, "retryInterval": 3})
    add(first, "Blog", target.url("/blog"), **QUICK)
    kim, lee = await open_board(first, locale=locale), await open_board(second, "lee", locale=locale)
    await kim.shows("Shop", "UP")
    await kim.has_rows("Blog", "Shop")
    await expect(kim.page).to_have_title(words["title"])

    target.statuses["/"] = 503
    await expect(kim.row("Shop").locator(".failing")).to_have_text(words["failing"], timeout=15_000)
    assert await kim.row("Shop").get_attribute("data-look") == "UP", "one failure says nothing yet"
    await kim.says(words["is down"])
    await kim.says(words["started"])
    for board in (kim, lee):
        await board.shows("Shop", "DOWN")
        await expect(board.page).to_have_title(f"(1) {words['title']}")
        await board.has_rows("Shop", "Blog")
        await expect(board.incidents.locator(".name")).to_have_text("Shop")
        await expect(board.incidents).to_contain_text(words["why"])
        await expect(board.row("Shop").locator(".below")).to_have_text(words["why"])
        # The bars go on by themselves, one for each check.
        await expect(board.row("Shop").locator(".strip .DOWN")).to_have_attribute("d", re.compile(r"^(M[^M]+){3,}$"))
        await expect(board.counts).to_have_text(["2", "1", "0", "0", "1"])
    incident = open_incident(first)
    chat = kim.incidents.get_by_role("link").last
    await expect(chat).to_have_attribute("href", f"{first.url}/chat/incident%3A{incident['incidentId']}")

    await kim.incidents.get_by_role("button", name=words["acknowledge"]).click()
    await expect(kim.incidents.get_by_label(words["note"])).to_be_focused()
    await kim.keyboard.type("the disk is full")
    await kim.keyboard.press("Enter")
    for board in (kim, lee):  # a toast goes after three seconds
        await board.says(words["took it on"])
    for board in (kim, lee):
        await expect(board.incidents.locator(".acknowledged")).to_contain_text(words["acknowledged"])
        await expect(board.incidents.locator(".acknowledged q")).to_have_text("the disk is full")
    await expect(lee.incidents.get_by_role("button", name=words["acknowledge"])).to_have_count(0)
    acknowledged = open_incident(second)["acknowledged"]
    assert (acknowledged["userId"], acknowledged["note"]) == ("kim", "the disk is full")

    target.statuses.clear()
    await kim.says(words["is up"])
    await kim.says(words["resolved"])
    for board in (kim, lee):
        await board.shows("Shop", "UP")
        await expect(board.incidents).to_have_count(0)
        await expect(board.page).to_have_title(words["title"])
        await board.has_rows("Blog", "Shop")
    assert endpoint_of(first, endpoint_id)["incidentId"] is None


async def test_each_toast_is_of_its_colour_and_goes_after_three_seconds_and_checks_tell_nothing(
    start_node: StartNode, open_board: OpenBoard, target: Target, redis_server: RedisServer
) -> None:
    node = start_node(**LOCAL)
    kim = await open_board(node)
    about = {"roomId": "all-endpoints", "endpointId": "e1", "endpointName": "Shop", "incidentId": "i1"}
    told: list[tuple[str, str, dict[str, Any]]] = [
        (
            "warning",
            "The certificate of Shop expires in 7 days.",
            {"t": "endpoint:certificate-expiring", "daysLeft": 7},
        ),
        (
            "warning",
            "Nearly everything fails as seen from n1.",
            {"t": "checker:suspect", "nodeId": "n1", "suspect": True},
        ),
        ("success", "n1 sees endpoints again.", {"t": "checker:suspect", "nodeId": "n1", "suspect": False}),
        ("info", "Shop was deleted.", {"t": "endpoint:deleted", "name": "Shop"}),
        ("error", "Incident at Shop after 3 failures", {"t": "incident:started", "failureCount": 3}),
    ]
    for kind, words, event in told:
        redis_server.client.publish("chan:all-endpoints", json.dumps({**about, **event}))
        await expect(kim.page.locator(f".toast.{kind}", has_text=words)).to_be_visible()
        if event.get("suspect"):
            await expect(kim.page.locator(".banner")).to_contain_text("n1")
    await expect(kim.page.locator(".banner")).to_be_hidden()
    await kim.toasts.last.hover()
    redis_server.client.publish(
        "chan:all-endpoints", json.dumps({**about, "t": "incident:resolved", "duration": 725.4})
    )
    await kim.says("Incident at Shop resolved after 12 min 5 sec")
    await expect(kim.toasts).to_have_count(5)
    add(node, "Blog", target.url(), **QUICK)
    await kim.shows("Blog", "UP")
    assert target.asked["/"] > 0
    assert await kim.toasts.filter(has_text="Blog").count() == 2, "that it is there, and that it is up"
    await kim.page.mouse.move(5, 5)
    await expect(kim.toasts).to_have_count(0, timeout=6_000)


async def test_an_incident_that_is_reopened_is_to_be_taken_on_again_and_nobody_is_asked_who_did(
    start_node: StartNode, open_board: OpenBoard, redis_server: RedisServer
) -> None:
    kim = await open_board(start_node(**LOCAL))
    about = {"roomId": "all-endpoints", "incidentId": "i1", "endpointId": "e1", "endpointName": "Shop"}
    asked: list[str] = []
    kim.page.on("request", lambda request: asked.append(urlsplit(request.url).path))

    def publish(**event: Any) -> None:
        redis_server.client.publish("chan:all-endpoints", json.dumps({**about, **event}))

    acknowledge = kim.incidents.get_by_role("button", name="Acknowledge")
    publish(t="incident:started", reopened=False)
    await expect(acknowledge).to_be_visible()
    publish(t="incident:acknowledged", userId="lee", username="Lee")
    await expect(kim.incidents.locator(".acknowledged")).to_contain_text("Lee is on it")
    await expect(acknowledge).to_have_count(0)
    publish(t="incident:started", reopened=True)
    await expect(kim.incidents).to_contain_text("reopened")
    await expect(acknowledge).to_be_visible()
    await expect(kim.incidents.locator(".acknowledged")).to_be_empty()
    assert "/api/incidents/i1" not in asked


# The list


async def test_nothing_moves_under_the_pointer_or_the_focus(
    start_node: StartNode, open_board: OpenBoard, target: Target
) -> None:
    node = start_node(**LOCAL)
    for name in ("alpha", "beta", "gamma"):
        add(node, name, target.url(f"/{name}"), **QUICK)
    kim = await open_board(node)
    for name in ("alpha", "beta", "gamma"):
        await kim.shows(name, "UP")
    waits = kim.page.locator(".waits")
    await kim.row("beta").hover()
    place = await kim.row("beta").bounding_box()
    target.statuses["/gamma"] = 500
    await kim.shows("gamma", "DOWN")
    add(node, "a newcomer", target.url(), **QUICK)
    await kim.shows("a newcomer", "UP")
    await expect(kim.incidents).to_have_count(1)
    await expect(waits).to_be_visible()
    assert await kim.order() == ["alpha", "beta", "gamma", "a newcomer"]
    assert await _moved(kim, "beta", place) < 1, "also when an incident appears above the list"
    await expect(kim.incidents).to_be_in_viewport()
    await kim.leave_the_list()
    await kim.has_rows("gamma", "a newcomer", "alpha", "beta")
    await expect(waits).to_be_hidden()

    await kim.row("beta").get_by_role("link").focus()
    place = await kim.row("beta").bounding_box()
    target.statuses.clear()
    await kim.shows("gamma", "UP")
    await expect(waits).to_be_visible()
    assert await kim.order() == ["gamma", "a newcomer", "alpha", "beta"]
    await expect(kim.incidents).to_have_count(0)
    assert await _moved(kim, "beta", place) < 1, "nor when it goes"
    await kim.leave_the_list()
    await kim.has_rows("a newcomer", "alpha", "beta", "gamma")


async def _moved(board: Board, name: str, place: FloatRect | None) -> float:
    """How far a row is from where it was, in pixels."""
    now = await board.row(name).bounding_box()
    assert now is not None
    assert place is not None
    return abs(now["y"] - place["y"])


async def test_tiles_filter_and_the_search_finds_names_and_addresses(
    start_node: StartNode, open_board: OpenBoard, target: Target
) -> None:
    node = start_node(**LOCAL)
    target.statuses["/pay"] = 500
    add(node, "결제 API", target.url("/pay"), **QUICK)
    add(node, "Shop", target.url("/shop"), **QUICK)
    add(node, "Staging", target.url("/staging"), paused=True, **QUICK)
    add(node, "Nightly", kind="push", interval=60)
    kim = await open_board(node)
    await kim.shows("결제 API", "DOWN")
    await kim.shows("Shop", "UP")
    await expect(kim.counts).to_have_text(["4", "1", "0", "2", "1"])
    await kim.has_rows("결제 API", "Nightly", "Shop", "Staging")
    for tile, names in (
        ("Down", ["결제 API"]),
        ("Unknown, paused", ["Nightly", "Staging"]),
        ("Up", ["Shop"]),
        ("All", ["결제 API", "Nightly", "Shop", "Staging"]),
    ):
        await kim.tile(tile).click()
        await expect(kim.page.locator(".tile[aria-pressed=true]")).to_have_text(re.compile(f"{tile}$"))
        await kim.has_rows(*names)
    await kim.tile("Degraded").click()
    await expect(kim.page.locator(".nothing")).to_have_text("There is none of these at the moment.")
    await kim.tile("All").click()
    search = kim.page.get_by_role("searchbox")
    await search.fill("결제")
    await kim.has_rows("결제 API")
    await search.fill("/STAGING")
    await kim.has_rows("Staging")
    await search.fill("xyz")
    await expect(kim.page.locator(".nothing")).to_have_text("Nothing matches “xyz”.")


async def test_how_long_ago_goes_on_by_itself_and_a_wrong_clock_does_not_matter(
    start_node: StartNode, open_board: OpenBoard, target: Target, visit: Visit
) -> None:
    node = start_node(**LOCAL)
    endpoint_id = add(node, "Shop", target.url(), interval=3600)
    kim = await open_board(node, init="const now = Date.now; Date.now = () => now() - 600_000;")
    await kim.shows("Shop", "UP")
    assert node.request("POST", f"/api/endpoints/{endpoint_id}/check")[0] == 200
    checked = kim.row("Shop").locator("time")
    await expect(checked).to_have_text(re.compile(r"^[2-4] s ago$"), timeout=15_000)
    await expect(checked).to_have_text(re.compile(r"^[5-7] s ago$"), timeout=15_000)
    await expect(checked).to_have_attribute("datetime", re.compile(r"^\d{4}-\d\d-\d\dT"))


_FIRST_ROWS = """
    new MutationObserver((_, observer) => {
      if (document.querySelectorAll('.endpoint .name').length < 5) return;
      observer.disconnect();
      requestAnimationFrame(() => setTimeout(() => { window.paintedAt = performance.now(); }));
    }).observe(document, { childList: true, subtree: true });
"""


async def test_a_thousand_endpoints_are_there_at_once_and_only_what_is_seen_is_asked_for(
    start_node: StartNode, open_board: OpenBoard, target: Target
) -> None:
    node = start_node(**LOCAL)
    names = [f"service {number:04} of the department" for number in range(1000)]
    add_many(node, names, target, interval=86_400)
    await eventually(lambda: _stats(node)["UNKNOWN"] == 0, 60, "all are checked once")
    # The best: what the page can do, and not what else this machine was doing.
    paints = []
    kim = await open_board(node, init=_FIRST_ROWS)
    paints.append(await _painted_at(kim))
    while paints[-1] >= 1_000 and len(paints) < 12:
        await kim.page.close()
        kim = await open_board(node, init=_FIRST_ROWS)
        paints.append(await _painted_at(kim))
    print(f"first screen after {[round(ms) for ms in paints]} ms")
    assert min(paints) < 1_000
    await expect(kim.row(names[0]).locator(".uptime")).to_have_text("100%")

    frames: list[str] = []
    kim.page.on("websocket", lambda socket: socket.on("framereceived", lambda data: frames.append(str(data))))
    asked: list[list[str]] = []
    kim.page.on("request", lambda request: asked.extend(_ids_asked(request)))
    await kim.page.reload()
    await expect(kim.page.locator(".table")).to_have_attribute("aria-rowcount", "1001")
    (joined,) = [frame for frame in frames if '"t":"joined"' in frame[:200] and "all-endpoints" in frame[:200]]
    print(f"first payload {len(joined.encode())} bytes")
    assert len(joined.encode()) <= 200_000
    assert json.loads(joined)["state"]["more"] is True
    await expect(kim.counts).to_have_text(["1,000", "0", "0", "0", "1,000"])
    await expect(kim.row(names[0]).locator(".uptime")).to_have_text("100%")
    assert await kim.rows.count() <= 40
    seen = await _ids_in_sight(kim)
    assert sorted(id_ for ids in asked for id_ in ids) == sorted(seen), "what is in sight, once"

    asked.clear()
    for _ in range(40):
        await kim.page.mouse.wheel(0, 700)
        await kim.page.evaluate("new Promise(requestAnimationFrame)")
    await eventually(lambda: bool(asked))
    await eventually(lambda: _only_unseen_are_unread(kim))
    assert await kim.rows.count() <= 40
    count = sum(map(len, asked))
    print(f"{count} asked for in {len(asked)} requests while 437 rows went by")
    assert max(map(len, asked)) <= 50
    assert count <= 150, "what only went by is not asked for"
    await kim.page.get_by_role("searchbox").fill(names[-1])
    await kim.has_rows(names[-1])


async def _painted_at(board: Board) -> float:
    at: float = await eventually(lambda: board.page.evaluate("window.paintedAt"))
    return at


def _stats(node: NodeProcess) -> dict[str, int]:
    stats: dict[str, int] = node.get("/api/endpoints?limit=1")[1]["data"]["stats"]
    return stats


def _ids_asked(request: Request) -> list[list[str]]:
    address = urlsplit(request.url)
    return [parse_qs(address.query)["ids"][0].split(",")] if address.path == "/api/endpoints/results" else []


_IN_SIGHT = """() => [...document.querySelectorAll('.endpoint')]
  .filter((row) => row.getBoundingClientRect().bottom > 0 && row.getBoundingClientRect().top < innerHeight)
  .map((row) => row.querySelector('.name').pathname.split('/').at(-1))"""


async def _ids_in_sight(board: Board) -> list[str]:
    found: list[str] = await board.page.evaluate(_IN_SIGHT)
    return found


async def _only_unseen_are_unread(board: Board) -> bool:
    """Whether the rows that nothing is known of are those above and below what can be seen."""
    unread = await board.page.locator(".endpoint.unread").count()
    return unread == await board.rows.count() - len(await _ids_in_sight(board))


# Subscriptions


async def test_a_page_hears_of_what_it_shows_and_of_nothing_after_it_is_left(
    start_node: StartNode, open_board: OpenBoard, target: Target, redis_server: RedisServer
) -> None:
    node = start_node(**LOCAL)
    endpoint_id = add(node, "Shop", target.url(), **QUICK)
    redis = redis_server.client
    every, one = "all-endpoints", f"endpoint:{endpoint_id}"

    def members() -> tuple[set[str], set[str]]:
        return redis.smembers(f"room:{every}:members"), redis.smembers(f"room:{one}:members")

    def subscribed() -> list[int]:
        return [count for _, count in redis.pubsub_numsub(f"chan:{every}", f"chan:{one}")]

    assert members() == (set(), set())
    idle = subscribed()
    kim = await open_board(node)
    await kim.shows("Shop", "UP")
    assert members() == ({"kim"}, set())
    await kim.row("Shop").get_by_role("link").click()
    await expect(kim.page.get_by_role("heading", level=1)).to_have_text("Shop")
    await eventually(lambda: members() == (set(), {"kim"}), 3, "only the one endpoint")
    assert subscribed()[1] == 1
    await kim.page.locator(".pages a[href='/online']").click()
    await expect(kim.page.locator(".person")).to_have_count(1)
    await eventually(lambda: members() == (set(), set()), 3, "neither of them")
    await eventually(lambda: subscribed() == idle, 15, "no channel of theirs")
    await kim.page.go_back()
    await expect(kim.page.get_by_role("heading", level=1)).to_have_text("Shop")
    await eventually(lambda: members() == (set(), {"kim"}), 10, "back again")
    await kim.page.close()
    await eventually(lambda: members() == (set(), set()), 3, "gone with the tab")


async def test_what_was_missed_for_too_long_is_read_anew(
    start_node: StartNode, open_board: OpenBoard, target: Target, redis_server: RedisServer
) -> None:
    first, second = start_node(**LOCAL), start_node(**LOCAL)
    gone = add(first, "Gone", target.url(), **QUICK)
    add(first, "Shop", target.url(), **QUICK)
    kim = await open_board(first)
    await kim.shows("Gone", "UP")
    await expect(kim.row("Shop").locator(".uptime")).to_have_text("100%")
    first.kill()
    await kim.person.light_is("connecting")
    second.request("DELETE", f"/api/endpoints/{gone}")
    add(second, "New", target.url(), **QUICK)
    redis_server.client.xtrim("room:all-endpoints:log", maxlen=0)
    first.start()
    await kim.person.light_is("connected", 40)
    await kim.has_rows("New", "Shop")
    await kim.shows("New", "UP")
    await expect(kim.row("New").locator(".uptime")).to_have_text("100%")
    await expect(kim.row("Shop").locator(".uptime")).to_have_text("100%")


# What people do


async def test_an_edit_keeps_the_secrets_it_does_not_touch(
    start_node: StartNode, open_board: OpenBoard, target: Target
) -> None:
    node = start_node(**LOCAL)
    endpoint_id = add(node, "Shop", target.url(), headers={"X-Key": "s3cret"}, **QUICK)
    kim = await open_board(node)
    await kim.shows("Shop", "UP")
    await kim.choose("Shop", "Edit")
    await kim.box.get_by_label("Name", exact=True).fill("Store")
    await kim.box.locator(".advanced > summary").click()
    await expect(kim.box.get_by_label("Value")).to_have_value("•••")
    await kim.button("Add header").click()
    await kim.keyboard.type("X-More")
    await kim.box.get_by_label("Value").last.fill("open")
    await kim.box.get_by_label("Timeout").fill("7")
    await kim.button("Save").click()
    await expect(kim.box.locator(".field.timeout .wrong")).to_have_text(
        "The timeout has to be shorter than the interval."
    )
    await kim.box.get_by_label("Timeout").fill("2")
    await kim.button("Test this URL").click()
    await expect(kim.box.locator(".outcome")).to_contain_text("Secret headers are left out of this test.")
    await kim.button("Save").click()
    await expect(kim.box).to_have_count(0)
    await expect(kim.row("Store")).to_be_visible()
    sent = {"X-Key": "s3cret", "X-More": "open"}
    await eventually(lambda: sent.items() <= target.seen_headers[-1].items(), 15, "both are sent")
    found = endpoint_of(node, endpoint_id)
    assert (found["name"], found["timeout"], found["interval"]) == ("Store", 2, 5)


async def test_an_empty_number_says_what_it_means_and_is_saved_as_that(
    start_node: StartNode, open_board: OpenBoard, target: Target
) -> None:
    node = start_node(**LOCAL)
    fields = {"interval": 60, "timeout": 2, "degradedMs": 300, "failAfter": 7}
    endpoint_id = add(node, "Shop", target.url(), **fields)
    kim = await open_board(node)
    await kim.shows("Shop", "UP")
    await kim.button("Add endpoint").click()
    await kim.box.locator(".advanced > summary").click()
    failures = kim.box.get_by_label("Failures until it is down")
    await expect(failures).to_have_attribute("placeholder", "3")
    await kim.box.get_by_text("A job reports in time").click()
    await expect(failures).to_have_attribute("placeholder", "1")
    await kim.keyboard.press("Escape")

    await kim.choose("Shop", "Edit")
    await kim.box.locator(".advanced > summary").click()
    timeout, degraded = kim.box.get_by_label("Timeout"), kim.box.get_by_label("Degraded above")
    await timeout.fill("")
    await expect(timeout).to_have_attribute("placeholder", "10")
    await degraded.fill("")
    await expect(degraded).to_have_attribute("placeholder", "5000")
    await failures.press_sequentially("-")
    await kim.button("Save").click()
    await expect(kim.box.locator(".field.failAfter .wrong")).to_have_text("This number is not allowed.")
    await failures.fill("")
    await kim.button("Save").click()
    await expect(kim.box).to_have_count(0)
    found = endpoint_of(node, endpoint_id)
    assert [found[name] for name in fields] == [60, 10, 5000, 3]


async def test_pausing_checking_now_and_deleting_after_a_question_that_names_it(
    start_node: StartNode, open_board: OpenBoard, target: Target
) -> None:
    node = start_node(**LOCAL)
    endpoint_id = add(node, "Shop", target.url("/shop"), interval=3600)
    add(node, "Blog", target.url("/blog"), interval=3600)
    kim, lee = await open_board(node), await open_board(node, "lee")
    await kim.shows("Shop", "UP")
    before = target.asked["/shop"]
    await kim.choose("Shop", "Check now")
    await kim.says("Shop: Up")
    await eventually(lambda: target.asked["/shop"] == before + 1)
    await kim.choose("Shop", "Pause")
    await lee.shows("Shop", "PAUSED")
    await kim.leave_the_list()
    await kim.has_rows("Blog", "Shop")
    await kim.choose("Shop", "Resume")
    await lee.shows("Shop", "UP")
    await kim.choose("Shop", "Delete")
    await expect(kim.box.get_by_role("heading")).to_have_text("Delete “Shop”?")
    await expect(kim.box.get_by_role("button", name="Cancel")).to_be_focused()
    await kim.keyboard.press("Enter")
    await expect(kim.box).to_have_count(0)
    assert endpoint_of(node, endpoint_id)["name"] == "Shop"
    await kim.choose("Shop", "Delete")
    await kim.box.get_by_role("button", name="Delete").click()
    for board in (kim, lee):
        await board.has_rows("Blog")
        await board.says("Shop was deleted.")
    assert node.get(f"/api/endpoints/{endpoint_id}")[0] == 404


async def test_a_job_is_given_an_address_and_reports_to_it(start_node: StartNode, open_board: OpenBoard) -> None:
    node = start_node(**LOCAL)
    kim = await open_board(node, permissions=["clipboard-read", "clipboard-write"])
    await kim.button("Add endpoint").click()
    await kim.box.get_by_text("A job reports in time").click()
    await expect(kim.box.get_by_label("Address", exact=True)).to_be_hidden()
    await expect(kim.button("Test this URL")).to_be_hidden()
    await kim.box.get_by_label("Name", exact=True).fill("Nightly")
    await kim.button("Add").click()
    await expect(kim.box.get_by_role("heading")).to_have_text("“Nightly” waits for reports")
    await kim.button("Copy").click()
    await kim.says("Address copied.")
    address: str = await kim.page.evaluate("navigator.clipboard.readText()")
    assert address == await kim.box.get_by_label("Address for reports").input_value()
    assert address.startswith(f"{node.url}/api/push/")
    await kim.button("Done").click()
    await kim.shows("Nightly", "UNKNOWN")
    assert node.request("POST", f"{urlsplit(address).path}?status=up")[0] == 200
    await kim.shows("Nightly", "UP")
    node.request("POST", f"{urlsplit(address).path}?status=down")
    await kim.shows("Nightly", "DOWN")
    await expect(kim.row("Nightly").locator(".below")).to_have_text("The job reported a failure")
    await kim.choose("Nightly", "Edit")
    await expect(kim.box.get_by_label("Address for reports")).to_have_value(address)


async def test_maintenance_is_planned_once_and_weekly_seen_and_removed(
    start_node: StartNode, open_board: OpenBoard, target: Target
) -> None:
    node = start_node(**LOCAL)
    target.status = 500
    endpoint_id = add(node, "Shop", target.url(), paused=True, **QUICK)
    add(node, "Blog", target.url(), paused=True, **QUICK)
    kim = await open_board(node, timezone_id="Asia/Seoul")
    await kim.page.locator("summary", has_text="Maintenance").click()
    await expect(kim.page.get_by_text("None is planned.")).to_be_visible()
    await kim.button("Plan maintenance").click()
    await kim.box.get_by_label("Title (optional)").fill("Move")
    start = datetime.now(UTC) + timedelta(hours=9) - timedelta(minutes=1)
    await kim.box.get_by_label("Start").first.fill(start.strftime("%Y-%m-%dT%H:%M"))
    await kim.box.get_by_label("End", exact=True).fill((start - timedelta(minutes=5)).strftime("%Y-%m-%dT%H:%M"))
    submit = kim.box.get_by_role("button", name="Plan maintenance")
    await submit.click()
    await expect(kim.box.get_by_role("alert")).to_have_text("The end has to come after the start.")
    await kim.box.get_by_label("End", exact=True).fill((start + timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M"))
    await kim.box.get_by_label("Endpoints", exact=True).select_option("Shop")
    await submit.click()
    window = kim.page.locator(".window")
    await expect(window).to_have_count(1)
    await expect(window).to_contain_text("Move")
    await expect(window.locator(".tag")).to_have_text("now")
    await expect(kim.row("Shop").locator(".tag.maintenance")).to_be_visible()
    await expect(kim.row("Blog").locator(".tag.maintenance")).to_have_count(0)

    # It is no mere sign: what fails now opens no incident.
    node.request("PATCH", f"/api/endpoints/{endpoint_id}", {"paused": False})
    await kim.shows("Shop", "DOWN")
    await expect(kim.incidents).to_have_count(0)

    await kim.button("Plan maintenance").click()
    await kim.box.get_by_role("switch").check()
    await expect(kim.box.get_by_label("Time zone")).to_have_value("Asia/Seoul")
    await submit.click()
    await expect(kim.box.get_by_role("alert")).to_have_text("Choose a day.")
    await kim.box.get_by_label("Sun").check()
    await submit.click()
    await expect(window).to_have_count(2)
    await expect(window.filter(has_text="Asia/Seoul")).to_contain_text(
        "Sun at 23:00, 1 hr (Asia/Seoul) · all endpoints"
    )
    for name in ("Delete maintenance: Move", "Delete maintenance: Maintenance"):
        await kim.button(name).click()
        await kim.box.get_by_role("button", name="Delete").click()
    await expect(window).to_have_count(0)
    assert node.get("/api/maintenance")[1]["data"]["windows"] == []


async def test_who_may_only_look_is_offered_nothing_else(start_node: StartNode, visit: Visit, target: Target) -> None:
    jwt = pytest.importorskip("jwt")
    secret = "a secret of at least thirty-two bytes"
    node = start_node(auth="jwt", jwt_secret=secret, **LOCAL)

    def token(role: str) -> str:
        return str(jwt.encode({"sub": "kim", "exp": 4_000_000_000, "role": role}, secret, "HS256"))

    headers = {"Authorization": f"Bearer {token('')}"}
    body = {"name": "Shop", "url": target.url(), **QUICK}
    target.status = 500
    _, created = node.request("POST", "/api/endpoints", body, headers)
    kim = Board(await visit(node, f"/monitor#token={token('viewer')}"))
    await kim.shows("Shop", "DOWN")
    await expect(kim.incidents).to_have_count(1)
    for page in ("/monitor", f"/monitor/{created['data']['endpointId']}"):
        await kim.page.goto(page)
        await expect(kim.incidents).to_have_count(1)
        await expect(kim.incidents.get_by_role("link", name="Chat")).to_be_visible()
        for name in ("Acknowledge", "Add endpoint", "Edit", "Pause", "Delete", "Check now"):
            await expect(kim.button(name)).to_have_count(0)
        await expect(kim.rows.get_by_role("button")).to_have_count(0)


# Time can be moved on, and what is asked of the server is known at once.
_MOVABLE = """
    let ms = 0;
    const [now, ask] = [Date.now, fetch];
    Object.assign(window, { asked: [], later() {
      ms += 61_000;
      document.dispatchEvent(new Event('visibilitychange'));
    } });
    Date.now = () => now() + ms;
    window.fetch = (address, options) => {
      asked.push(String(address));
      return ask(address, options);
    };
"""
_ALL_SIGNALS = """async () => {
  document.title = 'Something else';
  asked.length = 0;
  for (const name of ['scroll', 'resize']) dispatchEvent(new Event(name));
  later();
  await new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)));
  return [document.title, asked.filter((address) => address.startsWith('/api/maintenance'))];
}"""


async def test_a_board_that_was_replaced_asks_for_nothing_and_leaves_the_title_alone(
    start_node: StartNode, visit: Visit
) -> None:
    jwt = pytest.importorskip("jwt")
    secret = "a secret of at least thirty-two bytes"
    node = start_node(auth="jwt", jwt_secret=secret, **LOCAL)
    token = str(jwt.encode({"sub": "kim", "exp": time.time() + 8}, secret, "HS256"))
    start = datetime.now(UTC)
    window = {"start": start.isoformat(), "end": (start + timedelta(hours=1)).isoformat()}
    status, answer = node.request("POST", "/api/maintenance", window, {"Authorization": f"Bearer {token}"})
    assert status == 201, answer
    kim = Board(await visit(node, f"/monitor#token={token}", init=_MOVABLE))
    await kim.is_open()
    await kim.page.evaluate("later()")
    assert "/api/maintenance" in await kim.page.evaluate("asked")
    await expect(kim.page.locator(".notice")).to_be_visible(timeout=15_000)
    assert await kim.page.evaluate(_ALL_SIGNALS) == ["Something else", []]


async def test_whoever_comes_is_asked_for_a_name_first(start_node: StartNode, visit: Visit) -> None:
    kim = Board(await visit(start_node(**LOCAL), "/monitor"))
    await kim.page.get_by_label("Name", exact=True).fill("kim")
    await kim.keyboard.press("Enter")
    await kim.is_open()
    await kim.page.locator(".account > button").click()
    await kim.button("Sign out").click()
    await expect(kim.page).to_have_url(re.compile(r"/$"))


# c2c itself


async def test_what_c2c_watches_of_itself_is_folded_while_all_is_well_and_opens_when_it_is_not(
    start_node: StartNode, open_board: OpenBoard
) -> None:
    first, second = start_node(**LOCAL), start_node(**LOCAL)
    kim = await open_board(first)
    own = kim.page.locator(".builtin")
    await expect(own.locator("summary .badge")).to_have_text("Up")
    await expect(own).not_to_have_attribute("open", "")
    await expect(kim.rows).to_have_count(0)
    await own.locator("summary").click()
    await expect(own.locator("li")).to_have_count(4)
    await expect(own.locator("li .badge")).to_have_text(["Up"] * 4)
    await own.locator("summary").click()
    second.kill()
    await expect(own).to_have_attribute("open", "", timeout=60_000)
    await expect(own.locator("li", has_text="c2c: nodes").locator(".badge")).to_have_text("Down")
    await expect(kim.page).to_have_title("(1) Monitoring – c2c")
    await expect(kim.counts).to_have_text(["0", "0", "0", "0", "0"])


# One endpoint


@_LOCALES
async def test_the_page_of_one_endpoint_goes_with_what_happens(
    start_node: StartNode, open_board: OpenBoard, target: Target, locale: str
) -> None:
    words = _WORDS[locale]
    first, second = start_node(**LOCAL), start_node(**LOCAL)
    endpoint_id = add(first, "Shop", target.url(), **QUICK)
    add(first, "Blog", target.url("/blog"), **QUICK)
    await until_status(first, endpoint_id, "UP")
    path = f"/monitor/{endpoint_id}"
    kim = await open_board(first, path=path, locale=locale)
    lee = await open_board(second, "lee", path=path, locale=locale)
    await expect(kim.page.get_by_role("heading", level=1)).to_have_text("Shop")
    await expect(kim.page.locator(".state > .badge")).to_have_text(words["up"])
    await expect(kim.page.locator(".fact .value").first).to_have_text("100%")
    await expect(kim.page.locator(".phases dt")).to_have_count(2)
    await expect(kim.page).to_have_title("Shop – c2c")

    target.statuses["/"] = 503
    for board in (kim, lee):
        await expect(board.page.locator(".state > .badge")).to_have_text(words["down"], timeout=20_000)
        await expect(board.page).to_have_title("(1) Shop – c2c")
        await expect(board.incidents).to_contain_text(words["why"])
        await expect(board.page.locator(".past.open")).to_have_count(1)
    await kim.page.locator(".talk textarea").fill("디스크가 가득 찼어요")
    await kim.keyboard.press("Enter")
    await expect(lee.page.locator(".talk .row .text")).to_have_text("디스크가 가득 찼어요")
    await lee.page.locator(".talk textarea").fill("I make room")
    await lee.keyboard.press("Enter")
    await expect(kim.page.locator(".talk .row .text")).to_have_text(["디스크가 가득 찼어요", "I make room"])
    await kim.incidents.get_by_role("button", name=words["acknowledge"]).click()
    await kim.keyboard.press("Enter")
    await expect(lee.incidents.locator(".acknowledged")).to_contain_text(words["acknowledged"])

    target.statuses.clear()
    for board in (kim, lee):
        await expect(board.page.locator(".state > .badge")).to_have_text(words["up"], timeout=20_000)
        await expect(board.incidents).to_have_count(0)
        await expect(board.page.locator(".past:not(.open)")).to_have_count(1)
        await expect(board.page.locator(".past .acknowledged")).to_contain_text(words["acknowledged"])
        await expect(board.page.locator(".talk .row")).to_have_count(2)
    assert not any("blog" in text for text in await kim.toasts.all_text_contents())


async def test_the_chart_is_read_by_pointer_and_keyboard_and_has_holes_where_nothing_is_known(
    start_node: StartNode, open_board: OpenBoard, target: Target, redis_server: RedisServer
) -> None:
    node = start_node(**LOCAL)
    endpoint_id = add(node, "Shop", target.url(), interval=3600)
    await until_status(node, endpoint_id, "UP")
    remember_hours(redis_server, endpoint_id, [None if 60 <= ago < 90 else 100 + ago % 7 * 10 for ago in range(1, 168)])
    kim = await open_board(node, path=f"/monitor/{endpoint_id}")
    await kim.button("Week").click()
    await expect(kim.button("Week")).to_have_attribute("aria-pressed", "true")
    median = kim.page.locator(".chart path.p50")
    await eventually(lambda: _lines(kim), what="the line has a hole")
    assert (await median.get_attribute("d") or "").count("M") >= 2
    reader = kim.page.get_by_role("slider", name="Point in time")
    readout = kim.page.locator(".readout")
    await reader.focus()
    newest = await readout.text_content()
    await kim.keyboard.press("ArrowLeft")
    await expect(readout).not_to_have_text(newest or "")
    await expect(readout).to_contain_text("median")
    assert await reader.get_attribute("aria-valuetext") == await readout.text_content()
    await kim.keyboard.press("Home")
    first = await readout.text_content()
    box = await kim.page.locator(".figure").bounding_box()
    assert box is not None
    await kim.page.mouse.move(box["x"] + box["width"] / 2, box["y"] + 40)
    await expect(readout).not_to_have_text(first or "")
    for name in ("Month", "90 days", "2 years", "Day"):
        await kim.button(name).click()
        await expect(kim.page.locator(".chart .fine").first).to_be_visible()


async def _lines(board: Board) -> bool:
    path = await board.page.locator(".chart path.p50").get_attribute("d")
    return (path or "").count("M") >= 2


def remember_hours(redis_server: RedisServer, endpoint_id: str, medians: list[int | None]) -> None:
    """Sixty checks an hour, so many hours ago, as the server would have counted them."""
    now = datetime.now(UTC)
    hours: dict[str, str] = {}
    days: dict[str, Bucket] = {}
    for ago, ms in enumerate(medians, 1):
        if ms is None:
            continue
        name = bucket_name("hours", int((now - timedelta(hours=ago)).timestamp() * 1000))
        down = ago % 37 // 36
        spread = [0] * len(BOUNDS_MS)
        for place, count in ((1, 40), (2, 15), (3, 5 - down)):
            spread[sum(ms * place > bound for bound in BOUNDS_MS)] += count
        bucket = Bucket(60 - down, 0, down, 0, ms * 70, ms * 3, (60 - down) * 60_000, down * 60_000, tuple(spread))
        hours[name] = format_bucket(bucket)
        days[name[:10]] = days.get(name[:10], Bucket()) + bucket
    key = f"room:endpoint:{endpoint_id}"
    redis_server.client.hset(f"{key}:hours", mapping=hours)
    redis_server.client.hset(f"{key}:days", mapping={name: format_bucket(bucket) for name, bucket in days.items()})


async def test_maintenance_and_the_certificate_go_on_with_the_page_of_one_endpoint(
    start_node: StartNode, open_board: OpenBoard, target: Target, redis_server: RedisServer
) -> None:
    node = start_node(**LOCAL)
    endpoint_id = add(node, "Shop", target.url(), paused=True, **QUICK)
    kim = await open_board(node, path=f"/monitor/{endpoint_id}", init=_MOVABLE)
    certificate = kim.page.locator(".fact", has_text="Certificate")
    maintenance = kim.page.locator(".state .tag.maintenance")

    def publish(**more: Any) -> None:
        event = {"t": "check:completed", "roomId": f"endpoint:{endpoint_id}", "endpointId": endpoint_id, **more}
        redis_server.client.publish(f"chan:endpoint:{endpoint_id}", json.dumps(event))

    expires = datetime.now(UTC) + timedelta(days=40, hours=1)
    publish(status="UP", responseTime=11, maintenance=True, certificateExpiresAt=expires.isoformat())
    await expect(maintenance).to_be_visible()
    await expect(certificate).to_contain_text("40 days left")
    publish(status="UP", responseTime=12)
    await expect(kim.page.locator(".fact", has_text="12 ms")).to_be_visible()
    await expect(maintenance).to_be_visible()
    await expect(certificate).to_contain_text("40 days left")
    publish(status="UP", responseTime=13, maintenance=False, certificateExpiresAt=None)
    await expect(maintenance).to_have_count(0)
    await expect(certificate).to_have_count(0)

    # No event tells the room of a window: the page asks each minute.
    async def in_maintenance(route: Route) -> None:
        answer = await (await route.fetch()).json()
        await route.fulfill(json={**answer, "data": {**answer["data"], "maintenance": True}})

    await kim.page.route(f"**/api/endpoints/{endpoint_id}", in_maintenance)
    await kim.page.evaluate("later()")
    await expect(maintenance).to_be_visible()


async def test_an_endpoint_that_is_not_there_or_goes_is_said_so(
    start_node: StartNode, visit: Visit, open_board: OpenBoard, target: Target
) -> None:
    node = start_node(**LOCAL)
    lost = await visit(node, "/monitor/nosuchid", "kim")
    await expect(lost.page.get_by_role("heading", level=1)).to_have_text("This endpoint does not exist")
    await expect(lost.page.get_by_role("link", name="All endpoints")).to_have_attribute("href", "/monitor")
    endpoint_id = add(node, "Shop", target.url(), **QUICK)
    await until_status(node, endpoint_id, "UP")
    kim = await open_board(node, path=f"/monitor/{endpoint_id}")
    lee = await open_board(node, "lee", path=f"/monitor/{endpoint_id}")
    await kim.button("Delete").click()
    await kim.box.get_by_role("button", name="Delete").click()
    for board in (kim, lee):
        await expect(board.page.get_by_role("heading", level=1)).to_have_text("This endpoint was deleted")
        await expect(board.page.locator("main")).to_contain_text("“Shop” is not monitored any more.")
    await lee.page.get_by_role("link", name="All endpoints").click()
    await expect(lee.page.get_by_role("heading", name="Nothing is monitored yet")).to_be_visible()


async def test_the_chat_of_an_incident_is_left_with_the_page_of_the_endpoint(
    start_node: StartNode, open_board: OpenBoard, target: Target, redis_server: RedisServer
) -> None:
    node = start_node(**LOCAL)
    target.status = 503
    endpoint_id = add(node, "Shop", target.url(), failAfter=1, **QUICK)
    await until_status(node, endpoint_id, "DOWN")
    chat = f"incident:{open_incident(node)['incidentId']}"

    def members() -> set[str]:
        found: set[str] = redis_server.client.smembers(f"room:{chat}:members")
        return found

    kim = await open_board(node, path=f"/monitor/{endpoint_id}")
    await expect(kim.page.locator(".talk textarea")).to_be_visible()
    assert members() == {"kim"}
    node.request("DELETE", f"/api/endpoints/{endpoint_id}")
    await expect(kim.page.get_by_role("heading", level=1)).to_have_text("This endpoint was deleted")
    await eventually(lambda: members() == set(), 5, "the chat is left")


# Rooms that are entered the more slowly, the earlier they are asked for.
_TALKS = """async ([address, closes]) => {
  const { openTalk, closeTalk } = await import(address);
  const inside = new Set();
  const room = (roomId) => ({
    roomId, on() {}, pending: [], state: { messages: [], more: false },
    async leave() { inside.delete(roomId); },
  });
  let ms = 300;
  const client = { async join(roomId) {
    await new Promise((done) => setTimeout(done, ms -= 100));
    inside.add(roomId);
    return room(roomId);
  } };
  const card = document.querySelector('.talk');
  const opened = ['incident:a', 'incident:b', 'incident:c'].map((roomId) => openTalk(client, roomId, { userId: 'kim' }, card));
  await Promise.all(closes ? [...opened, closeTalk()] : opened);
  return [...inside];
}"""


@pytest.mark.parametrize(("closes", "inside"), [(False, ["incident:c"]), (True, [])])
async def test_of_incidents_in_quick_succession_only_the_chat_of_the_last_is_entered(
    start_node: StartNode, open_board: OpenBoard, closes: bool, inside: list[str]
) -> None:
    kim = await open_board(start_node(**LOCAL), path="/monitor/c2c-redis")
    module: str = await kim.page.locator("script[type=module]").last.evaluate("each => each.src")
    address = re.sub(r"/[^/]+$", "/talk.js", module)
    assert await kim.page.evaluate(_TALKS, [address, closes]) == inside


# Everybody


async def test_nothing_that_is_published_by_hand_becomes_markup_or_breaks_the_page(
    start_node: StartNode, open_board: OpenBoard, redis_server: RedisServer
) -> None:
    kim = await open_board(start_node(**LOCAL))
    evil = "<img src=x onerror=\"window.hurt='yes'\">"
    summary = {"endpointId": "e1", "name": evil, "kind": "http", "url": evil, "status": "DOWN", "errorMessage": evil}
    made_up: list[dict[str, Any]] = [
        {"endpointId": "e1"},
        {"t": "endpoint:created"},
        {"t": "check:completed", "endpointId": 7, "slot": {}},
        {"t": "incident:started", "incidentId": [], "endpointId": "e1"},
        {"t": "maintenance:changed", "windows": [{"windowId": "w", "title": evil, "days": 3}]},
        {"t": "checker:suspect", "nodeId": evil, "suspect": True},
        {"t": "endpoint:created", "endpointId": "e1", "name": evil, "endpoint": summary},
        {"t": "incident:started", "incidentId": "i1", "endpointId": "e1", "endpointName": evil, "errorMessage": evil},
    ]
    for event in made_up:
        redis_server.client.publish("chan:all-endpoints", json.dumps({"roomId": "all-endpoints", **event}))
    await expect(kim.names).to_have_text([evil])
    await expect(kim.incidents.locator(".name")).to_have_text(evil)
    await expect(kim.page.locator(".banner")).to_contain_text(evil)
    await kim.page.locator("summary", has_text="Maintenance").click()
    await expect(kim.page.locator(".window strong")).to_have_text(evil)
    assert await kim.page.locator("main img, .toasts img").count() == 0
    assert await kim.page.evaluate("window.hurt") is None


@pytest.mark.usefixtures("node_modules")
@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_axe_finds_nothing_on_the_pages_of_monitoring(
    start_node: StartNode, open_board: OpenBoard, target: Target, scheme: str
) -> None:
    node = start_node(**LOCAL)
    options: dict[str, Any] = {"color_scheme": scheme, "bypass_csp": True, "reduced_motion": "reduce"}
    kim = await open_board(node, **options)
    await kim.is_accessible("nothing monitored")
    target.statuses["/pay"] = 500
    endpoint_id = add(node, "결제 API", target.url("/pay"), **QUICK)
    add(node, "Shop", target.url(), **QUICK)
    add(node, "Staging", target.url(), paused=True, **QUICK)
    await kim.shows("결제 API", "DOWN")
    await expect(kim.incidents).to_have_count(1)
    await kim.page.locator(".builtin summary").click()
    await kim.page.locator("summary", has_text="Maintenance").click()
    await kim.page.locator("summary", has_text="Maintenance").click()
    for width in (320, 360, 768, 1280):
        await kim.page.set_viewport_size({"width": width, "height": 900})
        await kim.is_accessible(f"board, {width} px")
    await kim.row("Shop").get_by_role("button").click()
    await kim.is_accessible("menu")
    await kim.keyboard.press("Escape")
    await kim.incidents.get_by_role("button", name="Acknowledge").click()
    await kim.is_accessible("acknowledging")
    await kim.button("Add endpoint").click()
    await kim.box.locator(".advanced > summary").click()
    await kim.button("Add header").click()
    await kim.button("Add").click()
    for width in (360, 1280):
        await kim.page.set_viewport_size({"width": width, "height": 900})
        await kim.is_accessible(f"form, {width} px")
    await kim.page.goto(f"/monitor/{endpoint_id}")
    await expect(kim.page.locator(".talk textarea")).to_be_visible()
    await expect(kim.page.locator(".past")).to_have_count(1)
    for width in (320, 360, 768, 1280):
        await kim.page.set_viewport_size({"width": width, "height": 900})
        await kim.is_accessible(f"one endpoint, {width} px")


async def test_the_keyboard_alone_adds_chooses_and_acts(
    start_node: StartNode, open_board: OpenBoard, target: Target
) -> None:
    node = start_node(**LOCAL)
    add(node, "Blog", target.url("/blog"), interval=3600)
    kim = await open_board(node)
    await kim.shows("Blog", "UP")
    await _tab_to(kim, ".title button")
    await kim.keyboard.press("Enter")
    await expect(kim.box).to_be_visible()
    await kim.keyboard.type("Shop")
    await kim.keyboard.press("Tab")
    await kim.keyboard.type(target.url("/shop"))
    await kim.keyboard.press("Enter")
    await expect(kim.box).to_have_count(0)
    await expect(kim.page.locator(".title button")).to_be_focused()
    await kim.shows("Shop", "UP")
    await _tab_to(kim, ".tile.UP")
    await kim.keyboard.press("Space")
    await expect(kim.page.locator(".tile.UP")).to_have_attribute("aria-pressed", "true")
    await _tab_to(kim, "[type=search]")
    await kim.keyboard.type("shop")
    await kim.has_rows("Shop")
    await _tab_to(kim, ".endpoint .do button")
    await kim.keyboard.press("Enter")
    await expect(kim.page.get_by_role("menuitem", name="Check now")).to_be_focused()
    await kim.keyboard.press("ArrowUp")
    await expect(kim.page.get_by_role("menuitem", name="Delete")).to_be_focused()
    await kim.keyboard.press("ArrowUp")
    await expect(kim.page.get_by_role("menuitem", name="Pause")).to_be_focused()
    await kim.keyboard.press("Escape")
    await expect(kim.row("Shop").get_by_role("button")).to_be_focused()


async def _tab_to(board: Board, selector: str) -> None:
    for _ in range(40):
        await board.keyboard.press("Tab")
        if await board.page.evaluate("selector => document.activeElement.matches(selector)", selector):
            return
    raise AssertionError(f"{selector} can't be reached")


# In pictures

_CAST = [
    ("Shop API", "/shop", 84),
    ("결제 게이트웨이", "/pay", 120),
    ("Login", "/login", 46),
    ("Search", "/search", 210),
    ("사용자 서비스", "/users", 65),
    ("Image CDN", "/images", 22),
    ("Documentation", "/docs", 38),
]


async def test_the_pages_as_the_documentation_shows_them(
    start_node: StartNode, open_board: OpenBoard, target: Target, redis_server: RedisServer
) -> None:
    node = start_node(**LOCAL)
    ids = {}
    for name, path, ms in _CAST:
        # Paused while it is given a past: results are written in the order of time.
        ids[name] = add(node, name, target.url(path), paused=True, interval=60, retryInterval=1)
        remember_results(redis_server, ids[name], ms)
        remember_hours(redis_server, ids[name], [round(ms * (1.6 + sin(ago / 24 * tau))) for ago in range(1, 24 * 30)])
    add(node, "Nightly backup", kind="push", interval=86_400)
    for name in ids:
        node.request("PATCH", f"/api/endpoints/{ids[name]}", {"paused": False})
    for name in ids:
        await until_status(node, ids[name], "UP")
    target.statuses["/pay"] = 503
    node.request("POST", f"/api/endpoints/{ids['결제 게이트웨이']}/check")
    options: dict[str, Any] = {"color_scheme": "light", "viewport": {"width": 1280, "height": 960}}
    yuna = await open_board(node, "yuna", **options)
    await yuna.shows("결제 게이트웨이", "DOWN")
    await expect(yuna.incidents).to_have_count(1)
    await expect(yuna.page.locator(".endpoint.unread")).to_have_count(0)
    await expect(yuna.toasts).to_have_count(0, timeout=10_000)
    await yuna.page.screenshot(path=_IMAGES / "monitor.png")
    await yuna.page.goto(f"/monitor/{ids['결제 게이트웨이']}")
    await yuna.button("Week").click()
    await yuna.page.locator(".talk textarea").fill("The certificate of the bank was replaced this morning.")
    await yuna.keyboard.press("Enter")
    await expect(yuna.page.locator(".talk .row .text")).to_have_count(1)
    await expect(yuna.page.locator(".chart .fine").nth(100)).to_be_visible()
    await expect(yuna.toasts).to_have_count(0, timeout=10_000)
    await yuna.leave_the_list()
    await yuna.page.evaluate("scrollTo(0, 0)")
    await yuna.page.screenshot(path=_IMAGES / "endpoint.png")


def remember_results(redis_server: RedisServer, endpoint_id: str, ms: int) -> None:
    """The last half hour, as checks each minute would have left it."""
    now = int(time.time() * 1000)
    for ago in range(30, 0, -1):
        status = "DOWN" if (ago * ms) % 97 == 5 else "DEGRADED" if (ago + ms) % 29 == 3 else "UP"
        took = ms + (ago * 13 + ms) % 17 * ms // 20 + (900 if status == "DEGRADED" else 0)
        fields = {"status": status, "ms": took, "code": 200, "error": "", "reason": ""}
        redis_server.client.xadd(f"room:endpoint:{endpoint_id}:results", fields, f"{now - ago * 60_000}-1")
