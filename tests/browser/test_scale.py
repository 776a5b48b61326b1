"""A long room stays quick, a reader's place stays still, and all of it is small."""

from __future__ import annotations

import asyncio
import gzip
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from playwright.async_api import expect

from tests.browser.conftest import Visit
from tests.browser.frames import (
    Frames,
    best_of_five,
    first_paint_ms,
    noting_first_paint,
    watch_frames,
    watched_frames,
)
from tests.browser.person import Person
from tests.conftest import StartNode
from tests.support import NodeProcess, Talker, eventually, talk

_WEB = Path(__file__).parent.parent.parent / "c2c" / "web"
_ROOM = "abc12345"
_WORDS = "the quick brown fox jumps over a lazy dog 다람쥐 헌 쳇바퀴에 타고파 ".split()


@asynccontextmanager
async def _talker(node: NodeProcess, name: str = "lee") -> AsyncIterator[Talker]:
    async with talk(node.ws_url) as talker:
        await talker.join(_ROOM, name)
        yield talker


async def _fill(talker: Talker, count: int, in_flight: int = 500) -> None:
    """So many messages of different lengths, by one author."""
    for start in range(0, count, in_flight):
        numbers = range(start, min(start + in_flight, count))
        for number in numbers:
            text = f"{number}: {' '.join(_WORDS[: number % len(_WORDS)] * (number % 4))}"
            await talker.send({"t": "msg", "roomId": _ROOM, "id": f"m{number}", "text": text})
        await talker.answer(f"m{numbers[-1]}", 30)


@asynccontextmanager
async def _at_the_end(start_node: StartNode, visit: Visit, count: int) -> AsyncIterator[tuple[Person, Talker]]:
    """Kim at the end of so many messages by lee, who is there too."""
    node = start_node()
    node.open_room(_ROOM, "lee")
    async with _talker(node) as lee:
        await _fill(lee, count)
        kim = await visit(node, f"/chat/{_ROOM}", "kim")
        await kim.is_in()
        await expect(kim.rows.last).to_contain_text(f"{count - 1}:")
        await expect(kim.rows.last).to_be_in_viewport()
        yield kim, lee


async def _scroll(person: Person, distance: int) -> Frames:
    """Scroll as a wheel or a finger does; how the frames were meanwhile."""
    box = await person.page.locator(".log").bounding_box()
    assert box is not None
    browser = await person.context.new_cdp_session(person.page)
    await watch_frames(person.page, ".row")
    await browser.send(
        "Input.synthesizeScrollGesture",
        {
            "x": box["x"] + box["width"] / 2,
            "y": box["y"] + box["height"] / 2,
            "yDistance": distance,
            "speed": 3_000,
            "gestureSourceType": "mouse",
        },
    )
    return await watched_frames(person.page)


@pytest.mark.timeout(240)
async def test_ten_thousand_messages_paint_at_once_and_scroll_smoothly(start_node: StartNode, visit: Visit) -> None:
    node = start_node()
    node.open_room(_ROOM, "lee")
    async with _talker(node) as lee:
        await _fill(lee, 10_000)
        kim = await visit(node, f"/chat/{_ROOM}", "kim", init=noting_first_paint(".row"))
        assert await first_paint_ms(kim.page, 300) < 300

        up = await _best_scroll(kim, 30_000)
        oldest = await kim.page.locator(".row .text").first.text_content()
        assert int((oldest or "").split(":")[0]) < 9_000, "it has come far"
        down = await _best_scroll(kim, -8_000)
        for frames in (up, down):
            assert frames.rate >= 55
            assert frames.elements <= 400


async def _best_scroll(person: Person, distance: int) -> Frames:
    return await best_of_five(lambda _: _scroll(person, distance), by=lambda frames: frames.rate, enough=58)


async def test_a_burst_of_events_is_one_frame_each_and_the_newest_is_seen(start_node: StartNode, visit: Visit) -> None:
    node = start_node()
    node.open_room(_ROOM, "lee")
    async with _talker(node) as lee:
        kim = await visit(node, f"/chat/{_ROOM}", "kim")
        await kim.is_in()
        await watch_frames(kim.page, ".row")
        await _fill(lee, 2_000)
        await expect(kim.rows.last).to_contain_text("1999:")
        await expect(kim.rows.last).to_be_in_viewport()
        assert (await watched_frames(kim.page)).elements <= 400


async def test_the_whole_history_can_be_read_and_the_end_found_again(start_node: StartNode, visit: Visit) -> None:
    async with _at_the_end(start_node, visit, 700) as (kim, _):

        async def at_the_beginning() -> bool:
            await kim.page.locator(".log").evaluate("log => { log.scrollTop = 0; }")
            return await kim.page.get_by_text("This is the beginning of the room.").is_visible()

        await eventually(at_the_beginning, 20)
        texts = await kim.texts()
        assert texts[0].startswith("0:")
        assert len(texts) <= 400
        assert [int(text.split(":")[0]) for text in texts] == list(range(len(texts)))
        await kim.page.get_by_role("button", name="Latest").click()
        await expect(kim.rows.last).to_contain_text("699:")
        await expect(kim.rows.last).to_be_in_viewport()
        texts = await kim.texts()
        assert [int(text.split(":")[0]) for text in texts] == list(range(700 - len(texts), 700))


async def test_a_reader_s_place_moves_by_a_pixel_at_most_when_history_comes(
    start_node: StartNode, visit: Visit
) -> None:
    async with _at_the_end(start_node, visit, 1_000) as (kim, _):
        for _ in range(8):
            before = await kim.page.evaluate("""() => {
              const log = document.querySelector('.log');
              log.scrollTop = 40;
              const text = [...log.querySelectorAll('.text')].find((text) => text.getBoundingClientRect().top > 200);
              window.mark = { text, oldest: log.querySelector('.text').textContent, row: text.closest('.row') };
              return text.getBoundingClientRect().top;
            }""")
            await eventually(
                lambda: kim.page.evaluate("document.querySelector('.text').textContent !== window.mark.oldest")
            )
            tops = await kim.page.evaluate("""async () => {
              const tops = [];
              for (let frame = 0; frame < 10; frame++) {
                await new Promise(requestAnimationFrame);
                tops.push(window.mark.row.querySelector('.text').getBoundingClientRect().top);
              }
              return tops;
            }""")
            assert max(abs(top - before) for top in tops) <= 1


async def test_new_messages_pull_only_who_is_at_the_end(start_node: StartNode, visit: Visit) -> None:
    async with _at_the_end(start_node, visit, 60) as (kim, lee):
        await kim.scroll_by(-70)
        await _settled(kim)
        await lee.ask("msg", roomId=_ROOM, text="near")
        await expect(kim.rows.last.locator(".text")).to_have_text("near")
        await eventually(lambda: _distance(kim), 5) if await _distance(kim) > 2 else None
        assert await _distance(kim) <= 2

        await kim.scroll_by(-300)
        await _settled(kim)
        place = await kim.page.locator(".log").evaluate("log => log.scrollTop")
        for number in range(3):
            await lee.ask("msg", roomId=_ROOM, text=f"far {number}")
        pill = kim.page.get_by_role("button", name="3 new")
        await expect(pill).to_be_visible()
        await expect(kim.page).to_have_title(f"(3) {_ROOM} · c2c")
        assert await kim.page.locator(".log").evaluate("log => log.scrollTop") == place
        await pill.click()
        await expect(kim.rows.last).to_be_in_viewport()
        await expect(pill).to_be_hidden()
        await expect(kim.page.locator(".row:has(.unread) .text")).to_have_text("far 0")
        await expect(kim.page).to_have_title(f"{_ROOM} · c2c")
        await kim.write("mine")
        await expect(kim.page.locator(".unread")).to_have_count(0)


async def _settled(person: Person) -> None:
    """Until a scroll has come to its end."""
    await person.page.evaluate("""async () => {
      const log = document.querySelector('.log');
      for (let still = 0, last = -1; still < 8; last = log.scrollTop) {
        await new Promise(requestAnimationFrame);
        still = log.scrollTop === last ? still + 1 : 0;
      }
    }""")


async def _distance(person: Person) -> float:
    """From the end, in pixels."""
    distance: float = await person.page.locator(".log").evaluate(
        "log => log.scrollHeight - log.scrollTop - log.clientHeight"
    )
    return distance


async def test_a_page_that_was_hidden_shows_where_the_new_messages_begin(start_node: StartNode, visit: Visit) -> None:
    async with _at_the_end(start_node, visit, 60) as (kim, lee):
        await kim.page.evaluate("""() => {
          window.hide = (hidden) => {
            Object.defineProperty(document, 'hidden', { value: hidden, configurable: true });
            document.dispatchEvent(new Event('visibilitychange'));
          };
          window.hide(true);
        }""")
        for number in range(80):
            await lee.ask("msg", roomId=_ROOM, text=f"unseen {number}")
        await expect(kim.page).to_have_title(f"(80) {_ROOM} · c2c")
        await kim.page.evaluate("window.hide(false)")
        await expect(kim.page.get_by_text("New messages")).to_be_in_viewport()
        await expect(kim.page.get_by_role("button", name="80 new")).to_be_visible()
        await expect(kim.page.locator(".row:has(.unread) .text")).to_have_text("unseen 0")


async def test_a_user_who_scrolls_up_slowly_is_not_pulled_back(start_node: StartNode, visit: Visit) -> None:
    async with _at_the_end(start_node, visit, 60) as (kim, _):
        for _ in range(20):
            await kim.scroll_by(-10)
            await asyncio.sleep(0.02)
        await _settled(kim)
        assert 150 <= await _distance(kim) <= 250


_PAGES = sorted(_WEB.glob("*.html"))
_BYTES, _MODULES = 80_000, 25
# A spreadsheet, opened for an evening; a board, opened for all day, and the page of one of its endpoints.
_BUDGETS = {"lineup": (110_000, 40), "monitor": (90_000, 40), "endpoint": (90_000, 40)}
_LATER_BYTES, _LATER_MODULES = 125_000, 60


def _loaded_by(page: Path, later: bool = False) -> set[Path]:
    """The page and all files that it loads, by itself or by way of others; `later`: also when it is asked for more."""
    found = {page}
    text = page.read_text(encoding="utf-8")
    waiting = [_WEB / name for name in re.findall(r'(?:src|href)="/static/([^"]+)"', text)]
    while waiting:
        path = waiting.pop()
        if path not in found:
            found.add(path)
            if path.suffix == ".js":
                code = re.sub(r"/\*.*?\*/", "", path.read_text(encoding="utf-8"), flags=re.DOTALL)
                imported = re.findall(r"(?:\bfrom|^import) '(\.[^']+)'", code, re.MULTILINE)
                if later:
                    imported += re.findall(r"\bimport\('(\.[^']+)'\)", code)
                    waiting += [_WEB / "style" / name for name in re.findall(r"\bloadStyle\('([^']+)'\)", code)]
                waiting += [(path.parent / name).resolve() for name in imported]
    return found


def _check_budget(files: set[Path], bytes_max: int = _BYTES, modules_max: int = _MODULES) -> None:
    modules = [path for path in files if path.suffix == ".js"]
    size = sum(len(gzip.compress(path.read_bytes(), mtime=0)) for path in files)
    print(f"{size} bytes gzip, {len(modules)} modules")
    assert len(modules) > 5, "imports are found"
    assert size <= bytes_max
    assert len(modules) <= modules_max


@pytest.mark.parametrize("page", _PAGES, ids=lambda page: str(page.stem))
def test_a_page_is_within_80_kb_and_25_modules_or_a_budget_of_its_own(page: Path) -> None:
    _check_budget(_loaded_by(page), *_BUDGETS.get(page.stem, (_BYTES, _MODULES)))


def test_the_sdk_the_landing_page_and_the_chat_are_within_80_kb_and_25_modules_together() -> None:
    _check_budget(_loaded_by(_WEB / "index.html") | _loaded_by(_WEB / "chat.html"))


@pytest.mark.parametrize("page", _PAGES, ids=lambda page: str(page.stem))
def test_a_page_with_all_that_it_may_load_later_stays_small(page: Path) -> None:
    _check_budget(_loaded_by(page, later=True), _LATER_BYTES, _LATER_MODULES)


@pytest.mark.parametrize(("path", "page"), [("/monitor", "monitor"), ("/monitor/e1", "endpoint"), ("/", "index")])
def test_a_page_names_all_its_modules_so_that_none_waits_for_another(
    start_node: StartNode, path: str, page: str
) -> None:
    _, body = start_node().get(path)
    named = re.findall(
        r'<(?:script type="module" src|link rel="modulepreload" href)="/static/[^/]+/([^"]+)"', body.decode()
    )
    modules = [str(file.relative_to(_WEB)) for file in _loaded_by(_WEB / f"{page}.html") if file.suffix == ".js"]
    assert sorted(named) == sorted(modules)


def test_every_file_is_loaded_by_a_page() -> None:
    loaded = set[Path]().union(*(_loaded_by(page, later=True) for page in _PAGES))
    there = {path for path in _WEB.rglob("*") if path.suffix in (".js", ".css", ".html", ".svg")}
    assert there - loaded == set()
