"""The status page in a real browser: what strangers see, in both languages, and that it costs no more than it must."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.async_api import Locator, Page, Request, expect

from tests.browser.conftest import Visit
from tests.conftest import StartNode
from tests.support import NodeProcess, RedisServer
from tests.system.test_status import PUBLIC, SECRET, create, data, keep, push, seen

_AXE = Path(__file__).parent.parent.parent / "node_modules" / "axe-core" / "axe.min.js"
_WORDS: dict[str, dict[str, str]] = {
    "en-US": {
        "down": "1 service is down",
        "all up": "Everything is up",
        "not known": "Nothing is known yet",
        "nothing": "Nothing is watched yet",
        "DOWN": "down",
        "UP": "up",
        "UNKNOWN": "unknown",
        "MAINTENANCE": "maintenance",
        "bars": "Last 30 days: 1 without failures, 1 with failures, 28 without data",
        "incident": "Mail is down",
        "taken": "Somebody is looking into it.",
        "window": "Maintenance",
        "everything": "All services",
        "past": "There was none that is over.",
        "lasted": "lasted",
        "stale": "What is new could not be read. This is how it was.",
        "daily": "Day by day",
        "no data": "n/a",
        "other": "한국어",
    },
    "ko-KR": {
        "down": "서비스 1개가 중단되었습니다",
        "all up": "모두 정상입니다",
        "not known": "아직 확인된 것이 없습니다",
        "nothing": "아직 감시하는 서비스가 없습니다",
        "DOWN": "중단",
        "UP": "정상",
        "UNKNOWN": "알 수 없음",
        "MAINTENANCE": "점검 중",
        "bars": "지난 30일: 장애 없음 1일, 장애 있음 1일, 자료 없음 28일",
        "incident": "Mail 서비스가 중단되었습니다",
        "taken": "담당자가 확인하고 있습니다.",
        "window": "점검",
        "everything": "모든 서비스",
        "past": "끝난 장애가 없습니다.",
        "lasted": "동안",
        "stale": "새 상태를 읽지 못했습니다. 마지막으로 확인한 내용입니다.",
        "daily": "날짜별로 보기",
        "no data": "자료 없음",
        "other": "EN (English)",
    },
}
_SIGNS = {"Mail": "DOWN", "Shop": "UP", "Wiki": "UNKNOWN", "보관": "MAINTENANCE"}
_LOCALES = pytest.mark.parametrize("locale", _WORDS)
# What a tab in the background says of itself.
_HIDING = """
    Object.defineProperty(document, 'hidden', { get: () => window.away === true });
    window.leave = (away) => { window.away = away; document.dispatchEvent(new Event('visibilitychange')); };
"""


@pytest.fixture
def node(start_node: StartNode) -> NodeProcess:
    return start_node(**PUBLIC)


@pytest.fixture
async def http(node: NodeProcess) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=node.url, timeout=30) as http:
        yield http


async def window(http: httpx.AsyncClient, title: str, endpoints: list[str], in_hours: float) -> None:
    start = datetime.now(UTC) + timedelta(hours=in_hours)
    times = {"start": start.isoformat(), "end": (start + timedelta(hours=2)).isoformat()}
    data(await http.post("/api/maintenance", json={"title": title, "endpointIds": endpoints, **times}), 201)


async def some_of_everything(http: httpx.AsyncClient, redis: Any) -> None:
    """A service in each state, an incident that somebody took on, and maintenance now and tomorrow."""
    mail, shop, archive = [await create(http, name) for name in ("Mail", "Shop", "보관")]
    await create(http, "Wiki")
    keep(redis, shop["endpointId"], "days", {3: "9 0 1 0 0 0 9000 1000"})
    await push(http, shop)
    await push(http, archive)
    await push(http, mail, "down")
    (incident,) = data(await http.get("/api/incidents"))["incidents"]
    data(await http.post(f"/api/incidents/{incident['incidentId']}/acknowledge", json={}))
    await window(http, "Disks", [archive["endpointId"]], -1)
    await window(http, "", [], 24)
    await seen(http, lambda status: len(status["windows"]) == 2 and status["incidents"][0]["acknowledged"])


async def signs(page: Page) -> list[str]:
    rows = await page.locator(".services li").all()
    return [f"{await each.locator('h3').text_content()}: {await each.locator('.sign').text_content()}" for each in rows]


def row(page: Page, name: str) -> Locator:
    return page.locator(".services li", has=page.locator("h3", has_text=name))


async def goes_on(page: Page) -> None:
    """Half a minute later."""
    async with page.expect_response("**/api/status"):
        await page.clock.fast_forward("00:31")


@_LOCALES
async def test_strangers_see_how_everything_does(
    http: httpx.AsyncClient, node: NodeProcess, redis_server: RedisServer, visit: Visit, locale: str
) -> None:
    words = _WORDS[locale]
    await some_of_everything(http, redis_server.client)
    page = (await visit(node, "/status", locale=locale)).page
    await expect(page.get_by_role("heading", level=1)).to_have_text(words["down"])
    await expect(page).to_have_title(f"{words['down']} · c2c")
    assert await signs(page) == [f"{name}: {words[sign]}" for name, sign in _SIGNS.items()]
    shop = row(page, "Shop")
    await expect(shop.locator(".uptimes dd")).to_have_text(["100%", "90.9%", "90.9%"])
    await expect(row(page, "Wiki").locator(".uptimes dd")).to_have_text([words["no data"]] * 3)
    await expect(shop.get_by_role("img")).to_have_attribute("aria-label", words["bars"])
    now = page.locator(".now .note")
    await expect(now.locator("strong")).to_have_text([words["incident"], "Disks"])
    await expect(now.first).to_contain_text(words["taken"])
    await expect(now.last).to_contain_text("보관")
    planned = page.locator(".notes li").first
    await expect(planned.locator("strong")).to_have_text(words["window"])
    await expect(planned).to_contain_text(words["everything"])
    await expect(page.get_by_text(words["past"])).to_be_visible()
    await page.get_by_role("button", name=words["other"]).click()
    other = _WORDS["ko-KR" if locale == "en-US" else "en-US"]
    await expect(page.get_by_role("heading", level=1)).to_have_text(other["down"])
    assert await signs(page) == [f"{name}: {other[sign]}" for name, sign in _SIGNS.items()]
    await expect(shop.get_by_role("img")).to_have_attribute("aria-label", other["bars"])


@_LOCALES
async def test_each_day_can_be_read_as_words(
    http: httpx.AsyncClient, node: NodeProcess, redis_server: RedisServer, visit: Visit, locale: str
) -> None:
    words = _WORDS[locale]
    shop = await create(http)
    ago = {0: "1 0 0 0 0 0 1000", 2: "9999 0 1 0 0 0 9999000 1000", 5: "1 0 1 0 0 0 1000 1000"}
    keep(redis_server.client, shop["endpointId"], "days", ago)
    await push(http, shop, "down")
    await seen(http, lambda status: status["status"] == "DOWN")
    page = (await visit(node, "/status", locale=locale, timezone_id="America/Los_Angeles")).page
    await expect(page.locator(".days rect.bad, .days rect.some")).to_have_count(3)
    await expect(page.locator(".days rect.none")).to_have_count(27)
    await page.get_by_text(words["daily"]).click()
    cells = page.locator("tbody tr")
    await expect(cells).to_have_count(30)
    rows = [await each.locator("td").all_text_contents() for each in await cells.all()]
    assert rows[:6] == [
        ["50%", "1"], [words["no data"], "0"], ["99.99%", "0"], [words["no data"], "0"], [words["no data"], "0"], ["50%", "0"],
    ]  # fmt: skip
    # The day is that of UTC, wherever one is.
    today = datetime.now(UTC)
    first = await cells.first.locator("th").text_content()
    assert first == (f"{today:%b} {today.day}" if locale == "en-US" else f"{today.month}월 {today.day}일")


@_LOCALES
async def test_what_is_over_stays_for_a_week(
    http: httpx.AsyncClient, node: NodeProcess, visit: Visit, locale: str
) -> None:
    words = _WORDS[locale]
    shop = await create(http)
    await push(http, shop, "down")
    await push(http, shop)
    await seen(http, lambda status: status["incidents"])
    page = (await visit(node, "/status", locale=locale)).page
    await expect(page.get_by_role("heading", level=1)).to_have_text(words["all up"])
    await expect(page.locator(".notes li strong")).to_have_text(["Shop"])
    await expect(page.locator(".notes li")).to_contain_text(words["lasted"])
    await expect(page.locator(".now")).to_be_hidden()


@_LOCALES
async def test_while_there_is_nothing_the_page_says_so(
    http: httpx.AsyncClient, node: NodeProcess, visit: Visit, locale: str
) -> None:
    words = _WORDS[locale]
    page = (await visit(node, "/status", locale=locale)).page
    verdict = page.get_by_role("heading", level=1)
    await expect(verdict).to_have_text(words["nothing"])
    await create(http)
    await seen(http, lambda status: status["endpoints"])
    await page.reload()
    await expect(verdict).to_have_text(words["not known"])


async def test_nobody_signs_in_and_nothing_stays_open(start_node: StartNode, visit: Visit) -> None:
    node = start_node(auth="jwt", jwt_secret=SECRET, **PUBLIC)
    person = await visit(node, "/online")
    asked: list[str] = []
    sockets: list[object] = []
    person.page.on("request", lambda request: asked.append(request.url.removeprefix(node.url)))
    person.page.on("websocket", lambda socket: sockets.append(socket))
    await person.page.goto("/status")
    await expect(person.page.get_by_role("heading", level=1)).to_be_visible()
    assert [path for path in asked if path.startswith("/api")] == ["/api/status"]
    assert not any("sdk" in path or "c2c.js" in path for path in asked), "the page needs none of the SDK"
    assert sockets == []
    assert await person.page.get_by_role("textbox").count() == 0


async def test_the_page_is_read_again_each_half_minute_while_somebody_looks(
    http: httpx.AsyncClient, node: NodeProcess, visit: Visit
) -> None:
    shop = await create(http)
    await push(http, shop)
    await seen(http, lambda status: status["status"] == "UP")
    person = await visit(node, "/online", init=_HIDING)
    page = person.page
    asked: list[Request] = []
    page.on("request", lambda request: asked.append(request) if request.url.endswith("/api/status") else None)
    await page.clock.install()
    await page.goto("/status")
    verdict = page.get_by_role("heading", level=1)
    await expect(verdict).to_have_text("Everything is up")
    await page.get_by_text("Day by day").click()
    await push(http, shop, "down")
    await seen(http, lambda status: status["status"] == "DOWN")
    assert len(asked) == 1
    await goes_on(page)
    await expect(verdict).to_have_text("1 service is down")
    await expect(page.locator("details")).to_have_attribute("open", "")
    await expect(page.locator("tbody tr").first.locator("td")).to_have_text([re.compile(r"^\d\d?(\.\d+)?%$"), "1"])
    assert len(asked) == 2
    await page.evaluate("window.leave(true)")
    await page.clock.fast_forward("10:00")
    assert len(asked) == 2, "in the background nothing is asked"
    async with page.expect_response("**/api/status"):
        await page.evaluate("window.leave(false)")
    assert len(asked) == 3


@_LOCALES
async def test_a_page_that_cannot_be_read_again_keeps_what_it_knows_and_says_so(
    http: httpx.AsyncClient, node: NodeProcess, visit: Visit, locale: str
) -> None:
    words = _WORDS[locale]
    await push(http, await create(http))
    await seen(http, lambda status: status["status"] == "UP")
    person = await visit(node, "/online", locale=locale)
    await person.page.clock.install()
    await person.page.goto("/status")
    verdict, problem = person.page.get_by_role("heading", level=1), person.page.locator(".problem")
    await expect(verdict).to_have_text(words["all up"])
    await expect(problem).to_be_hidden()
    node.kill()
    await person.page.clock.fast_forward("00:31")
    await expect(problem).to_have_text(words["stale"])
    await expect(verdict).to_have_text(words["all up"])
    node.start()
    await goes_on(person.page)
    await expect(problem).to_be_hidden()


async def test_names_and_titles_stay_text(http: httpx.AsyncClient, node: NodeProcess, visit: Visit) -> None:
    evil = "<img src=x onerror=\"window.hurt='yes'\">"
    shop = await create(http, evil)
    await push(http, shop, "down")
    await window(http, evil, [], -1)
    await window(http, evil, [shop["endpointId"]], 5)
    await seen(http, lambda status: len(status["windows"]) == 2 and status["incidents"])
    page = (await visit(node, "/status")).page
    await expect(page.locator("h3")).to_have_text(evil)
    await expect(page.locator(".now .note strong")).to_have_text([f"{evil} is down", evil])
    assert await page.locator("main img").count() == 0
    assert await page.evaluate("window.hurt") is None


@pytest.mark.usefixtures("node_modules")
@pytest.mark.parametrize("scheme", ["light", "dark"])
@_LOCALES
async def test_axe_finds_nothing_at_any_width(
    http: httpx.AsyncClient, node: NodeProcess, redis_server: RedisServer, visit: Visit, scheme: str, locale: str
) -> None:
    await some_of_everything(http, redis_server.client)
    options: dict[str, Any] = {"color_scheme": scheme, "locale": locale, "bypass_csp": True, "reduced_motion": "reduce"}
    page = (await visit(node, "/status", **options)).page
    await page.locator("summary").first.click()
    await expect(page.locator("tbody tr")).to_have_count(30)
    await page.evaluate(_AXE.read_text(encoding="utf-8"))
    for width in (320, 768, 1280):
        await page.set_viewport_size({"width": width, "height": 800})
        result = await page.evaluate("axe.run(document, { resultTypes: ['violations'] })")
        found = [f"{each['id']}: {each['nodes'][0]['html'][:150]}" for each in result["violations"]]
        assert found == [], width
        assert await page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0, width


async def test_everything_on_the_page_is_reached_by_keyboard(
    http: httpx.AsyncClient, node: NodeProcess, visit: Visit
) -> None:
    await create(http)
    await seen(http, lambda status: status["endpoints"])
    page = (await visit(node, "/status")).page
    await expect(page.locator("summary")).to_be_visible()
    for name in ("한", "EN", "Day by day"):
        await page.keyboard.press("Tab")
        focused = page.locator(":focus")
        await expect(focused).to_have_text(name)
        assert await focused.evaluate("element => getComputedStyle(element).outlineStyle") != "none"
    await page.keyboard.press("Enter")
    await expect(page.locator("tbody tr")).to_have_count(30)


async def test_without_the_setting_there_is_no_page(start_node: StartNode, visit: Visit) -> None:
    page = (await visit(start_node(), "/status")).page
    assert json.loads(await page.locator("body").inner_text())["error"]["code"] == "UNKNOWN_COMMAND"
