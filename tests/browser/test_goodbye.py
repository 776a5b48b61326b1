"""Who closes a tab has left at once; who loads a page again, or goes on to another of ours, was never away."""

from __future__ import annotations

from typing import Any

from playwright.async_api import expect

from tests.browser.conftest import Visit
from tests.browser.person import Person
from tests.conftest import StartNode
from tests.support import NodeProcess, Talker, eventually, talk

_ROOM = "abc12345"
# Far below the 10 s that the server waits for somebody who has not said goodbye.
_AT_ONCE_S = 3.0


async def _in_room(visit: Visit, node: NodeProcess) -> Person:
    kim = await visit(node, f"/chat/{_ROOM}", "kim")
    await kim.is_in()
    await kim.light_is("connected")
    return kim


def _comings_and_goings(lee: Talker) -> list[dict[str, Any]]:
    return [event for event in lee.events() if event["t"] in ("user_joined", "user_left") and event["userId"] == "kim"]


async def test_who_closes_the_tab_has_left_at_once(start_node: StartNode, visit: Visit) -> None:
    node = start_node()
    node.open_room(_ROOM, "lee")
    async with talk(node.ws_url) as lee:
        await lee.join(_ROOM, "lee")
        for _ in range(5):
            kim = await _in_room(visit, node)
            await lee.wait_for("user_joined", len(lee.of("user_left")) + 1)
            gone = len(lee.of("user_left")) + 1
            await kim.page.close()
            left = await lee.wait_for("user_left", gone, _AT_ONCE_S)
            assert (left["userId"], left["reason"]) == ("kim", "left")


async def test_who_goes_to_another_site_has_left_at_once(start_node: StartNode, visit: Visit) -> None:
    node, elsewhere = start_node(), start_node()
    node.open_room(_ROOM, "lee")
    async with talk(node.ws_url) as lee:
        await lee.join(_ROOM, "lee")
        kim = await _in_room(visit, node)
        await kim.page.goto(elsewhere.url)
        assert (await lee.wait_for("user_left", 1, _AT_ONCE_S))["reason"] == "left"
        await kim.page.go_back()
        await kim.is_in()
        await kim.light_is("connected")
        await kim.write("back again")
        await kim.sees("back again")


async def test_of_twenty_reloads_nobody_hears_anything(start_node: StartNode, visit: Visit) -> None:
    node = start_node()
    node.open_room(_ROOM, "lee")
    async with talk(node.ws_url) as lee:
        await lee.join(_ROOM, "lee")
        minji = await visit(node, f"/chat/{_ROOM}", "minji")
        await expect(minji.page.locator(".people li")).to_have_count(2)
        await minji.page.evaluate("""
            window.counts = [];
            new MutationObserver(() => window.counts.push(document.querySelectorAll('.people li').length))
              .observe(document.querySelector('.people'), { childList: true, subtree: true });
        """)
        kim = await _in_room(visit, node)
        await expect(minji.page.locator(".people li")).to_have_count(3)
        for number in range(20):
            # As the browser's button does it, and as scripts do.
            await (kim.page.reload() if number % 2 else kim.page.evaluate("location.reload()"))
            await kim.is_in()
        await kim.write("still here")
        await eventually(lambda: lee.of("msg"), what="the message")
        assert [event["t"] for event in _comings_and_goings(lee)] == ["user_joined"]
        await minji.sees("still here")
        assert set(await minji.page.evaluate("window.counts")) == {3}


async def test_of_a_look_at_another_page_of_ours_nobody_hears_anything(start_node: StartNode, visit: Visit) -> None:
    node = start_node()
    node.open_room(_ROOM, "lee")
    async with talk(node.ws_url) as lee:
        await lee.join(_ROOM, "lee")
        kim = await _in_room(visit, node)
        await kim.page.get_by_role("link", name="Back to the start page").click()
        await kim.page.wait_for_url(f"{node.url}/")
        await kim.page.get_by_role("link", name=_ROOM).click()
        await kim.is_in()
        await kim.page.go_back()
        await kim.page.wait_for_url(f"{node.url}/")
        await kim.page.goto(f"/chat/{_ROOM}")
        await kim.is_in()
        await kim.write("still here")
        await eventually(lambda: lee.of("msg"), what="the message")
        assert [event["t"] for event in _comings_and_goings(lee)] == ["user_joined"]
