"""Text is text: what people write and are called never becomes markup, and the policy has nothing to report."""

from __future__ import annotations

import json

from playwright.async_api import expect

from tests.browser.conftest import Visit
from tests.conftest import StartNode
from tests.support import RedisServer, eventually

_EVIL = "<img src=x onerror=\"window.hurt='yes'\">"
_ALSO_EVIL = "<script>window.hurt='yes'</script><svg onload=\"window.hurt='yes'\">{{7*7}}${7*7}javascript:alert(1)"


async def test_markup_as_text_and_as_a_name_is_shown_and_never_run(
    start_node: StartNode, visit: Visit, redis_server: RedisServer
) -> None:
    node = start_node()
    node.open_room("abc12345", "kim", title=_EVIL)
    kim = await visit(node, "/chat/abc12345", "kim")
    lee = await visit(node, "/chat/abc12345", "lee")
    for person in (kim, lee):
        await person.is_in()
    await kim.write(_EVIL)
    await kim.write(_ALSO_EVIL)
    event = {"t": "msg", "roomId": "abc12345", "from": _EVIL, "username": _EVIL, "text": _ALSO_EVIL}
    joined = {"t": "user_joined", "roomId": "abc12345", "userId": "mallory", "username": _EVIL}
    typing = {"t": "typing", "roomId": "abc12345", "userId": "mallory", "typing": True}
    await lee.sees(_EVIL, _ALSO_EVIL)
    for payload in (event, joined, typing):
        redis_server.client.publish("chan:abc12345", json.dumps(payload))
    for person in (kim, lee):
        await person.sees(_EVIL, _ALSO_EVIL, _ALSO_EVIL)
        await expect(person.page.locator(".row .author strong").last).to_have_text(_EVIL)
        await expect(person.page.locator(".typing")).to_have_text(f"{_EVIL} is writing…")
        await expect(person.page.get_by_role("heading", level=1)).to_have_text(_EVIL)
        assert await person.page.locator("main img, main script, main svg[onload]").count() == 0
    await kim.page.goto("/")
    await expect(kim.page.locator(".recent .name")).to_have_text(_EVIL)
    for person in (kim, lee):
        assert await person.page.evaluate("window.hurt") is None
        assert await person.faults() == []


async def test_events_that_make_no_sense_break_nothing(
    start_node: StartNode, visit: Visit, redis_server: RedisServer
) -> None:
    node = start_node()
    node.open_room("abc12345", "kim")
    kim = await visit(node, "/chat/abc12345", "kim")
    await kim.is_in()
    for payload in (
        {"t": "msg"},
        {"t": "msg", "text": 7},
        {"t": "msg", "text": "no author", "timestamp": "never"},
        {"t": "msg", "text": "odd author", "from": {}, "username": []},
        {"t": "user_joined"},
        {"t": "user_left", "userId": None},
        {"t": "user:status", "userId": 1, "status": "dancing"},
        {"t": "typing", "userId": [], "typing": "yes"},
        {"t": "joined", "roomId": "abc12345"},
        {"t": "history", "messages": 1},
        {},
    ):
        redis_server.client.publish("chan:abc12345", json.dumps({"roomId": "abc12345", **payload}))
    await kim.write("still here")
    await kim.sees("no author", "odd author", "still here")


async def test_the_policy_would_report_and_stop_inline_code(start_node: StartNode, visit: Visit) -> None:
    """Or else the tests above prove nothing."""
    kim = await visit(start_node(), "/", "kim")
    refused = await kim.page.evaluate("""() => {
      try { document.body.innerHTML = '<b>x</b>'; return 'allowed'; } catch (error) { return error.name; }
    }""")
    assert refused == "TypeError"
    await kim.page.evaluate("""() => {
      const image = document.createElement('img');
      image.src = 'https://example.org/pixel.png';
      document.body.append(image);
    }""")
    await eventually(lambda: kim.page.evaluate("window.violations.length >= 2"))
    await kim.page.evaluate("window.violations.length = 0")
    kim.errors.clear()
