"""Everybody can use the pages: no violation that axe-core knows, and nothing needs a mouse."""

from __future__ import annotations

from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import expect

from tests.browser.conftest import Visit
from tests.browser.person import Person
from tests.conftest import StartNode
from tests.support import NodeProcess, talk

_AXE = Path(__file__).parent.parent.parent / "node_modules" / "axe-core" / "axe.min.js"
_WIDTHS = (320, 768, 1280)


@pytest.mark.usefixtures("node_modules")
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("locale", ["en-US", "ko-KR"])
async def test_axe_finds_nothing_on_any_page(start_node: StartNode, visit: Visit, scheme: str, locale: str) -> None:
    node = start_node()
    node.open_room("abc12345", "lee", title="Team lunch")
    options: dict[str, Any] = {"color_scheme": scheme, "locale": locale, "bypass_csp": True, "reduced_motion": "reduce"}
    stranger = await visit(node, "/", **options)
    await _check(stranger, "landing, nobody signed in")
    await stranger.page.locator(".account > button").click()
    await _check(stranger, "sign-in box")

    kim = await visit(node, "/chat/nosuchroom", "kim", **options)
    await expect(kim.page.get_by_role("heading", level=1)).to_be_visible()
    await _check(kim, "no such room")
    async with talk(node.ws_url) as lee:
        await lee.join("abc12345", "lee")
        await kim.page.goto("/chat/abc12345")
        await expect(kim.page.locator(".empty")).to_be_visible()
        await _check(kim, "empty room")
        await _fill_room(kim, lee)
        for width in _WIDTHS:
            await kim.page.set_viewport_size({"width": width, "height": 800})
            await _check(kim, f"chat, {width} px")
        await kim.page.locator("[aria-controls=people]").click()
        await kim.page.locator(".account > button").click()
        await _check(kim, "chat with its menu open")
        await _show_toasts(kim)
        await _check(kim, "chat with toasts")
        await _check_online(kim, node)
        await kim.page.goto("/chat/abc12345")
        await expect(kim.page.locator("textarea")).to_be_visible()
    node.kill()
    await kim.light_is("connecting")
    await kim.page.locator("textarea").fill("x" * 4001)
    await kim.page.locator("textarea").fill("meanwhile")
    await kim.page.locator("textarea").press("Enter")
    await _check(kim, "chat without a connection")
    node.start()
    await kim.page.goto("/")
    await expect(kim.page.locator(".recent li")).to_have_count(1)
    await kim.page.locator(".card").first.get_by_role("button").click()
    await expect(kim.page.locator("#link")).to_be_visible()
    await _check(kim, "landing with a new room")


async def _check_online(kim: Person, node: NodeProcess) -> None:
    """Everybody in each status, at every width; nobody; and the menu."""
    await kim.page.set_viewport_size({"width": 1280, "height": 800})
    async with AsyncExitStack() as stack:
        for status in ("online", "away", "busy", "offline"):
            talker = await stack.enter_async_context(talk(node.ws_url))
            await talker.ask("hello", token=f"{status}.person")
            await talker.ask("status:update", status=status)
            await talker.ask("join", roomId="abc12345")
        await kim.page.goto("/online")
        await kim.page.locator(".person", has_text="busy.person").get_by_role("button").click()
        for width in _WIDTHS:
            await kim.page.set_viewport_size({"width": width, "height": 800})
            await expect(kim.page.locator(".table")).to_have_attribute("aria-rowcount", "6")
            await _check(kim, f"everybody, {width} px")
        await kim.page.locator(".account > button").click()
        await _check(kim, "everybody with the menu open")
        await kim.page.keyboard.press("Escape")
        await kim.page.get_by_role("searchbox").fill("nobody of that name")
        await expect(kim.page.locator(".empty")).to_be_visible()
        await _check(kim, "nobody found")


async def _fill_room(kim: Person, lee: Any) -> None:
    await lee.ask("msg", roomId="abc12345", text="점심 뭐 먹을까요?")
    await lee.ask("msg", roomId="abc12345", text="Bibimbap?")
    await kim.page.locator("textarea").fill("Yes")
    await kim.page.locator("textarea").press("Enter")
    await kim.sees("점심 뭐 먹을까요?", "Bibimbap?", "Yes")
    await lee.ask("typing", roomId="abc12345", typing=True)


async def _show_toasts(kim: Person) -> None:
    await kim.page.evaluate("""async () => {
      const { toast } = await import(document.querySelector('script[type=module]').src.replace('chat/page', 'shell/toasts'));
      for (const kind of ['success', 'info', 'warning', 'error']) toast(kind, 'copied');
    }""")


async def _check(person: Person, what: str) -> None:
    if not await person.page.evaluate("'axe' in window"):
        await person.page.evaluate(_AXE.read_text(encoding="utf-8"))
    await person.page.wait_for_timeout(50)
    result = await person.page.evaluate("axe.run(document, { resultTypes: ['violations'] })")
    found = [
        f"{what}: {violation['id']}: {node['html'][:150]} {node['failureSummary'][:200]}"
        for violation in result["violations"]
        for node in violation["nodes"]
    ]
    assert found == []
    wider = await person.page.evaluate("document.documentElement.scrollWidth - innerWidth")
    assert wider <= 0, f"{what}: scrolls sideways by {wider} px"


async def test_the_keyboard_alone_creates_a_room_and_talks_in_it(start_node: StartNode, visit: Visit) -> None:
    node: NodeProcess = start_node()
    kim = await visit(node, permissions=["clipboard-read", "clipboard-write"])
    keyboard = kim.page.keyboard
    await _tab_to(kim, "Title (optional)")
    await keyboard.type("Team lunch")
    await keyboard.press("Enter")
    await keyboard.type("kim")
    await keyboard.press("Enter")
    await expect(kim.page.get_by_role("button", name="Copy link", exact=True)).to_be_focused()
    await keyboard.press("Enter")
    await expect(kim.page.locator(".toast.success")).to_be_visible()
    await _tab_to(kim, "Enter room")
    await keyboard.press("Enter")
    await kim.is_in()
    await expect(kim.field).to_be_focused()
    await keyboard.type("hello")
    await keyboard.press("Enter")
    await kim.sees("hello")
    await expect(kim.field).to_be_focused()

    await _tab_to(kim, "1 person", backwards=True)
    await keyboard.press("Space")
    await expect(kim.page.locator("#people")).to_be_hidden()
    await _tab_to(kim, "Account", backwards=True)
    await keyboard.press("Enter")
    await _tab_to(kim, "Sign out")
    await keyboard.press("Escape")
    await expect(kim.page.locator("#account-menu")).to_be_hidden()
    await _tab_to(kim, "EN (English)", backwards=True)
    await keyboard.press("Shift+Tab")
    await keyboard.press("Enter")
    await expect(kim.page.locator("html")).to_have_attribute("lang", "ko")


async def test_the_log_is_scrolled_and_messages_are_retried_by_keyboard(start_node: StartNode, visit: Visit) -> None:
    node = start_node()
    node.open_room("abc12345", "lee")
    kim = await visit(node, "/chat/abc12345", "kim", init=_REFUSING)
    await kim.is_in()
    for number in range(80):
        await kim.write(f"message {number}")
    await kim.page.evaluate("window.refusing = true")
    await kim.write("refused")
    await expect(kim.page.locator(".row.failed")).to_have_count(1)
    await kim.page.evaluate("window.refusing = false")
    await _tab_to(kim, "Retry", backwards=True)
    await kim.page.keyboard.press("Enter")
    await expect(kim.page.locator(".row.failed")).to_have_count(0)
    await _tab_to(kim, "Messages", backwards=True)
    await kim.page.keyboard.press("Home")
    await expect(kim.page.locator(".row").first).to_be_in_viewport()
    await _tab_to(kim, "Latest")
    await kim.page.keyboard.press("Enter")
    await expect(kim.page.locator(".row").last).to_be_in_viewport()


_REFUSING = """
    const send = WebSocket.prototype.send;
    WebSocket.prototype.send = function (data) {
      const { t, id } = JSON.parse(data);
      if (t !== 'msg' || !window.refusing) return send.call(this, data);
      const answer = { t: 'error', id, code: 'FORBIDDEN', message: '', retryable: false };
      setTimeout(() => this.dispatchEvent(new MessageEvent('message', { data: JSON.stringify(answer) })));
    };
"""


async def _tab_to(person: Person, name: str, *, backwards: bool = False) -> None:
    """Press Tab until the focus is on the control of that name, and see that each stop shows it has the focus."""
    for _ in range(30):
        await person.page.keyboard.press("Shift+Tab" if backwards else "Tab")
        found, outline = await person.page.evaluate("""() => {
          const element = document.activeElement;
          const label = element.getAttribute('aria-label') ?? element.labels?.[0]?.textContent ?? element.textContent;
          return [label.trim(), getComputedStyle(element).outlineStyle];
        }""")
        if found == name:
            assert outline != "none", f"the focus on {name} can't be seen"
            return
    raise AssertionError(f"{name} can't be reached")
