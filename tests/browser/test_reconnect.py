"""What is written arrives once and in order, whatever is taken away meanwhile, and nobody has to do anything for it."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.async_api import expect

from tests.browser.conftest import Visit
from tests.browser.person import Person
from tests.support import NodeProcess, RedisServer, Talker, eventually, talk

# A browser or a proxy that lets no WebSocket through.
_BLOCKED = {
    "open": "",
    "refused": "window.WebSocket = class { constructor() { throw new DOMException('blocked', 'SecurityError'); } };",
    "broken": """
        window.WebSocket = class extends EventTarget {
          constructor() { super(); setTimeout(() => this.onclose?.({ code: 1006, reason: '' })); }
          send() {}
          close() {}
        };
    """,
}


@pytest.fixture
def lasting_redis() -> Iterator[RedisServer]:
    """A Redis that remembers across restarts."""
    with RedisServer(append_only=True) as server:
        yield server


@pytest.fixture
def node(lasting_redis: RedisServer) -> Iterator[NodeProcess]:
    with NodeProcess(lasting_redis.url) as node:
        yield node


async def _in_room(visit: Visit, node: NodeProcess, way: str = "open") -> Person:
    room = node.open_room("abc12345", "kim")
    kim = await visit(node, f"/chat/{room}", "kim", init=_BLOCKED[way])
    await kim.is_in()
    await kim.light_is("connected")
    return kim


@pytest.mark.parametrize("way", _BLOCKED)
async def test_what_is_written_while_redis_and_the_node_restart_arrives_once_and_in_order(
    visit: Visit, node: NodeProcess, lasting_redis: RedisServer, way: str
) -> None:
    kim = await _in_room(visit, node, way)
    texts = [f"message {number}" for number in range(30)]
    await kim.write_many(texts[:5])
    lasting_redis.kill()
    await kim.write_many(texts[5:10])
    await kim.light_is("connecting")
    lasting_redis.start()
    await kim.write_many(texts[10:15])
    await kim.sees(*texts[:15], within_s=30)
    await kim.light_is("connected")
    node.kill()
    await kim.light_is("connecting")
    await kim.write_many(texts[15:25])
    node.start()
    await kim.write_many(texts[25:])
    await kim.light_is("connected", within_s=40)
    await kim.sees(*texts, within_s=40)
    assert await _log(node) == texts


async def test_both_gone_at_once_is_no_different(visit: Visit, node: NodeProcess, lasting_redis: RedisServer) -> None:
    kim = await _in_room(visit, node)
    await kim.write("before")
    await kim.sees("before")
    lasting_redis.kill()
    node.kill()
    await kim.light_is("connecting")
    await kim.write("meanwhile")
    lasting_redis.start()
    node.start()
    await kim.light_is("connected", within_s=40)
    await kim.sees("before", "meanwhile", within_s=40)


@pytest.mark.parametrize("way", ["open", "refused"])
async def test_fifty_messages_written_offline_arrive_once_each(
    visit: Visit, node: NodeProcess, lasting_redis: RedisServer, way: str
) -> None:
    kim = await _in_room(visit, node, way)
    node.kill()
    await kim.light_is("connecting")
    texts = [f"offline {number}" for number in range(50)]
    await kim.write_many(texts)
    await expect(kim.page.locator(".row .text")).to_have_text(texts)
    assert await kim.settled_texts() == []
    node.start()
    await kim.sees(*texts, within_s=60)
    assert await _log(node) == texts


@pytest.mark.parametrize("way", ["open", "refused"])
async def test_fifty_messages_survive_a_reload_before_they_can_be_delivered(
    visit: Visit, node: NodeProcess, lasting_redis: RedisServer, way: str
) -> None:
    kim = await _in_room(visit, node, way)
    texts = [f"offline {number}" for number in range(50)]
    lasting_redis.kill()
    await kim.write_many(texts)
    await expect(kim.page.locator(".row .text")).to_have_text(texts)
    # The node still serves the page but can't take anybody into the room.
    await kim.page.reload()
    lasting_redis.start()
    await kim.sees(*texts, within_s=60)
    await kim.page.reload()
    await kim.is_in()
    await kim.sees(*texts)
    assert await _log(node) == texts


async def test_a_reload_while_messages_are_delivered_loses_and_doubles_none(
    visit: Visit, node: NodeProcess, lasting_redis: RedisServer
) -> None:
    kim = await _in_room(visit, node)
    node.kill()
    texts = [f"offline {number}" for number in range(50)]
    await kim.write_many(texts)
    node.start()
    log = await eventually(lambda: _log(node), 60, "some arrive")
    await kim.page.reload()
    await kim.sees(*texts, within_s=60)
    assert await _log(node) == texts
    assert len(log) <= 50


async def test_fifty_messages_written_offline_keep_to_the_rate_of_a_real_server(
    visit: Visit, lasting_redis: RedisServer
) -> None:
    with NodeProcess(lasting_redis.url, command_rate_per_s=20, command_burst=40) as node:
        kim = await _in_room(visit, node)
        node.kill()
        texts = [f"offline {number}" for number in range(50)]
        await kim.write_many(texts)
        node.start()
        await kim.sees(*texts, within_s=60)
        assert await _log(node) == texts


async def test_a_room_that_redis_forgot_is_opened_again_with_a_word_about_it(visit: Visit) -> None:
    with RedisServer() as forgetful, NodeProcess(forgetful.url) as node:
        kim = await _in_room(visit, node)
        await kim.write("before")
        await kim.sees("before")
        forgetful.kill()
        await kim.write("meanwhile")
        await kim.field.fill("a draft")
        forgetful.start()
        await kim.page.locator(".toast.info", has_text="loaded anew").wait_for(timeout=30_000)
        assert await kim.field.input_value() == "a draft"
        await expect(kim.page.locator(".row:not(.sending) .text")).to_have_count(2, timeout=30_000)
        assert sorted(await kim.texts()) == ["before", "meanwhile"]
        await kim.write("after")
        await expect(kim.page.locator(".row:not(.sending) .text")).to_have_count(3)
        assert sorted(await _log(node)) == ["after", "before", "meanwhile"]


@pytest.mark.parametrize("way", ["open", "refused"])
async def test_what_redis_lost_after_it_was_acknowledged_is_shown_on_its_way_and_written_again(
    visit: Visit, node: NodeProcess, lasting_redis: RedisServer, tmp_path: Path, way: str
) -> None:
    kim = await _in_room(visit, node, way)
    await kim.write("kept")
    await kim.sees("kept")
    shutil.copytree(lasting_redis.folder, tmp_path / "copy")
    await kim.write("lost")
    await kim.sees("kept", "lost")
    await kim.page.evaluate("""
        window.seen = [];
        // Draws at once: between two frames there is time to write it again, and then there was nothing to show.
        window.requestAnimationFrame = (draw) => { queueMicrotask(() => draw(performance.now())); return 0; };
        new MutationObserver(() => window.seen.push(
          ...[...document.querySelectorAll('.row')].map((row) => [row.textContent, row.matches('.sending')])
        )).observe(document.querySelector('.log'), { attributes: true, childList: true, subtree: true });
    """)
    lasting_redis.kill()
    shutil.rmtree(lasting_redis.folder)
    shutil.copytree(tmp_path / "copy", lasting_redis.folder)
    lasting_redis.start()
    await kim.page.locator(".toast.info", has_text="loaded anew").wait_for(timeout=30_000)
    await kim.sees("kept", "lost", within_s=30)
    assert await _log(node) == ["kept", "lost"]
    assert any("lost" in text and sending for text, sending in await kim.page.evaluate("window.seen"))
    await kim.page.reload()
    await kim.is_in()
    await kim.sees("kept", "lost")


async def test_over_the_fallback_two_people_talk_and_see_each_other(visit: Visit, node: NodeProcess) -> None:
    room = node.open_room("abc12345", "kim")
    kim = await visit(node, f"/chat/{room}", "kim", init=_BLOCKED["refused"])
    minji = await visit(node, f"/chat/{room}", "김민지", init=_BLOCKED["broken"])
    for person in (kim, minji):
        await person.is_in()
        await person.light_is("connected")
    await kim.write("hello")
    await minji.sees("hello")
    await minji.write("안녕하세요")
    await kim.sees("hello", "안녕하세요")
    assert await kim.light.get_attribute("title") == "Over plain HTTP, because WebSockets are blocked here"


async def test_retry_now_ends_the_waiting(visit: Visit, node: NodeProcess) -> None:
    kim = await _in_room(visit, node)
    node.kill()
    await kim.light_is("connecting")
    retry = kim.page.get_by_role("button", name="Retry now")
    await eventually(lambda: _waits(kim, 8), 60, "a long countdown")
    node.start()
    before = asyncio.get_running_loop().time()
    await retry.click()
    await kim.light_is("connected", within_s=2.5)
    assert asyncio.get_running_loop().time() - before < 2.5


async def _waits(kim: Person, seconds: int) -> bool:
    text = await kim.page.locator(".light-countdown").text_content()
    return int("".join(filter(str.isdigit, text or "")) or 0) >= seconds


async def _log(node: NodeProcess) -> list[str]:
    """The texts in the room's log."""
    _, answer = await asyncio.to_thread(node.get, "/api/rooms/abc12345/events?limit=500")
    return [event["text"] for event in answer["data"]["events"] if event["t"] == "msg"]


async def test_messages_of_others_that_came_while_away_are_there_afterwards(visit: Visit, node: NodeProcess) -> None:
    kim = await _in_room(visit, node)
    await kim.context.set_offline(True)
    await kim.page.evaluate("dispatchEvent(new Event('offline'))")
    async with talk(node.ws_url) as lee:
        await lee.join("abc12345", "lee")
        await _say(lee, [f"missed {number}" for number in range(20)])
        await kim.context.set_offline(False)
        await kim.sees(*[f"missed {number}" for number in range(20)], within_s=40)


async def _say(talker: Talker, texts: list[str]) -> None:
    for text in texts:
        await talker.ask("msg", roomId="abc12345", text=text)
