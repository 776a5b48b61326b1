"""What people do at the pages, in a real browser against real nodes."""

from __future__ import annotations

from pathlib import Path

from playwright.async_api import expect

from tests.browser.conftest import Visit
from tests.conftest import StartNode
from tests.support import NodeProcess, RedisServer, eventually, talk

_IMAGES = Path(__file__).parent.parent.parent / "docs" / "images"


async def test_a_room_is_created_its_link_copied_joined_on_another_node_and_chatted_in(
    start_node: StartNode, visit: Visit
) -> None:
    first, second = start_node(), start_node()
    minji = await visit(first, permissions=["clipboard-read", "clipboard-write"], color_scheme="light")
    await minji.page.screenshot(path=_image("landing.png"))
    await minji.page.get_by_label("Title").fill("Team lunch")
    await minji.page.get_by_role("button", name="Create room").click()
    await minji.page.get_by_role("dialog").get_by_label("Name").fill("김민지")
    await minji.page.get_by_role("dialog").get_by_role("button", name="Continue").click()
    await minji.page.get_by_role("button", name="Copy link", exact=True).click()
    await expect(minji.page.locator(".toast.success")).to_have_text("Link copied.")
    link = await minji.page.evaluate("navigator.clipboard.readText()")
    await minji.page.get_by_role("link", name="Enter room").click()
    await minji.is_in()

    john = await visit(second, name="john", color_scheme="light")
    await john.page.get_by_label("Link or room id").fill(link)
    await john.page.get_by_role("button", name="Join").click()
    await john.is_in()
    assert john.page.url.startswith(second.url)
    await minji.write("점심 뭐 먹을까요?")
    await john.sees("점심 뭐 먹을까요?")
    await john.write("Bibimbap! There is a new place near the station.")
    await minji.sees("점심 뭐 먹을까요?", "Bibimbap! There is a new place near the station.")

    for person, others in ((minji, "john"), (john, "김민지")):
        await expect(person.page.get_by_role("heading", level=1)).to_have_text("Team lunch")
        await expect(person.page.get_by_role("button", name="2 people")).to_be_visible()
        await expect(person.page.locator(".people")).to_contain_text(others)
        await expect(person.page.locator(".row .author strong")).to_have_text(["김민지", "john"])
        await expect(person.page.locator(".people .status.online")).to_have_count(2)
    await minji.write("Half past twelve, then.")
    await john.field.press_sequentially("See you")
    await expect(minji.page.locator(".typing")).to_have_text("john is writing…")
    await minji.page.screenshot(path=_image("chat.png"))


def _image(name: str) -> Path:
    _IMAGES.mkdir(parents=True, exist_ok=True)
    return _IMAGES / name


async def test_coming_and_going_shows_in_the_members(start_node: StartNode, visit: Visit) -> None:
    node = start_node()
    room = node.open_room("abc12345", "kim")
    kim = await visit(node, f"/chat/{room}", "kim")
    await kim.is_in()
    async with talk(node.ws_url) as lee:
        await lee.join(room, "lee")
        await expect(kim.page.locator(".people li")).to_have_text(["Kkimyouonline", "Lleeonline"])
        await lee.ask("leave", roomId=room)
        await expect(kim.page.locator(".people li")).to_have_count(1)


async def test_a_status_published_by_hand_changes_the_dot(
    start_node: StartNode, visit: Visit, redis_server: RedisServer
) -> None:
    node = start_node()
    room = node.open_room("abc12345", "kim")
    kim = await visit(node, f"/chat/{room}", "kim")
    await kim.is_in()
    redis_server.client.publish(
        f"chan:{room}", f'{{"t":"user:status","roomId":"{room}","userId":"kim","status":"away"}}'
    )
    await expect(kim.page.locator(".people .status.away")).to_have_count(1)
    redis_server.client.publish(f"chan:{room}", f'{{"t":"msg","roomId":"{room}","from":"ops","text":"by hand"}}')
    await kim.sees("by hand")


async def test_messages_are_grouped_by_author_and_parted_by_days(
    start_node: StartNode, visit: Visit, redis_server: RedisServer
) -> None:
    node = start_node()
    room = node.open_room("abc12345", "kim")
    kim = await visit(node, f"/chat/{room}", "kim", timezone_id="Asia/Seoul")
    await kim.is_in()
    # In Seoul the day begins at 15:00 UTC.
    for minute, author in (("14:50", "lee"), ("14:54", "lee"), ("14:54", "park"), ("14:59", "park"), ("15:01", "park")):
        redis_server.client.publish(
            f"chan:{room}",
            f'{{"t":"msg","roomId":"{room}","from":"{author}","text":"{minute}","timestamp":"2024-05-05T{minute}:00.000Z"}}',
        )
    await kim.sees("14:50", "14:54", "14:54", "14:59", "15:01")
    heads = await kim.page.locator(".row").evaluate_all("rows => rows.map(row => row.classList.contains('head'))")
    assert heads == [True, False, True, True, True], "14:59 is five minutes after 14:54, 15:01 is another day"
    await expect(kim.page.locator(".line.day")).to_have_text(["Sunday, May 5, 2024", "Monday, May 6, 2024"])


async def test_the_typing_line_names_two_counts_more_and_forgets(start_node: StartNode, visit: Visit) -> None:
    node = start_node()
    room = node.open_room("abc12345", "kim")
    kim = await visit(node, f"/chat/{room}", "kim")
    await kim.is_in()
    line = kim.page.locator(".typing")
    async with talk(node.ws_url) as a, talk(node.ws_url) as b, talk(node.ws_url) as c:
        for talker, name in ((a, "Ann"), (b, "Bob"), (c, "Cho")):
            await talker.join(room, name)
        await a.ask("typing", roomId=room, typing=True)
        await expect(line).to_have_text("Ann is writing…")
        await b.ask("typing", roomId=room, typing=True)
        await expect(line).to_have_text("Ann and Bob are writing…")
        await c.ask("typing", roomId=room, typing=True)
        await expect(line).to_have_text("Several people are writing…")
        await a.ask("typing", roomId=room, typing=False)
        await b.ask("msg", roomId=room, text="done")
        await expect(line).to_have_text("Cho is writing…")
        await expect(line).to_have_text("", timeout=8_000)


async def test_typing_is_said_at_most_every_three_seconds_and_ends_with_the_message(
    start_node: StartNode, visit: Visit
) -> None:
    node = start_node()
    room = node.open_room("abc12345", "kim")
    async with talk(node.ws_url) as lee:
        await lee.join(room, "lee")
        kim = await visit(node, f"/chat/{room}", "kim")
        await kim.is_in()
        await kim.field.press_sequentially("hello world, this is quick")
        await kim.field.press("Enter")
        await lee.wait_for("msg")
        await eventually(lambda: len(lee.of("typing")) == 2)
        assert [event["typing"] for event in lee.of("typing")] == [True, False]


async def test_shift_enter_breaks_the_line_and_a_draft_survives_a_reload(start_node: StartNode, visit: Visit) -> None:
    node = start_node()
    room = node.open_room("abc12345", "kim")
    kim = await visit(node, f"/chat/{room}", "kim")
    await kim.is_in()
    await kim.field.press_sequentially("one")
    await kim.field.press("Shift+Enter")
    await kim.field.press_sequentially("two")
    await kim.page.reload()
    await kim.is_in()
    await expect(kim.field).to_have_value("one\ntwo")
    await kim.field.press("Enter")
    await kim.sees("one\ntwo")
    await expect(kim.field).to_have_value("")
    await kim.page.reload()
    await kim.sees("one\ntwo")
    await expect(kim.field).to_have_value("")


async def test_a_message_has_4000_characters_at_most(start_node: StartNode, visit: Visit) -> None:
    node = start_node()
    room = node.open_room("abc12345", "kim")
    kim = await visit(node, f"/chat/{room}", "kim")
    await kim.is_in()
    left = kim.page.locator("form .left")
    await kim.field.fill("가" * 3000)
    await expect(left).to_be_empty()
    await kim.field.fill("👍" * 4001)
    await expect(left).to_have_text("1 characters too many")
    await expect(kim.page.get_by_role("button", name="Send")).to_be_disabled()
    await kim.field.press("Enter")
    assert await kim.texts() == []
    await kim.field.fill("👍" * 4000)
    await expect(left).to_have_text("0 characters left")
    await kim.field.press("Enter")
    await kim.sees("👍" * 4000)


async def test_a_refused_message_can_be_sent_again_or_discarded(start_node: StartNode, visit: Visit) -> None:
    node = start_node()
    room = node.open_room("abc12345", "kim")
    kim = await visit(node, f"/chat/{room}", "kim", init=_REFUSING)
    await kim.is_in()
    await kim.page.evaluate("window.refusing = true")
    for text in ("first", "second"):
        await kim.write(text)
        await expect(kim.rows.filter(has_text=text)).to_have_class(
            "row failed" if text == "second" else "row head failed"
        )
    await expect(kim.rows.first).to_contain_text("Not sent. You are not allowed to do this.")
    await kim.page.evaluate("window.refusing = false")
    await kim.rows.filter(has_text="second").get_by_role("button", name="Discard").click()
    await expect(kim.rows).to_have_count(1)
    await kim.rows.first.get_by_role("button", name="Retry").click()
    await kim.sees("first")
    assert await kim.page.evaluate("new Set(window.ids).size") == 2, "sent again with the same id"
    assert await kim.page.evaluate("window.ids.length") == 3


# Answers messages in the server's place while `refusing`.
_REFUSING = """
    window.ids = [];
    const send = WebSocket.prototype.send;
    WebSocket.prototype.send = function (data) {
      const { t, id } = JSON.parse(data);
      if (t === 'msg') window.ids.push(id);
      if (t !== 'msg' || !window.refusing) return send.call(this, data);
      const answer = { t: 'error', id, code: 'FORBIDDEN', message: '', retryable: false };
      setTimeout(() => this.dispatchEvent(new MessageEvent('message', { data: JSON.stringify(answer) })));
    };
"""


async def test_a_room_that_does_not_exist_says_so_and_leads_back(start_node: StartNode, visit: Visit) -> None:
    node = start_node()
    kim = await visit(node, "/chat/nosuchroom", "kim")
    await expect(kim.page.get_by_role("heading", level=1)).to_have_text("This room does not exist")
    await kim.page.get_by_role("link", name="Back to the start page").click()
    await expect(kim.page.get_by_role("heading", level=1)).to_have_text("A room, a link, a conversation.")


async def test_recent_rooms_are_listed_and_can_be_removed(start_node: StartNode, visit: Visit) -> None:
    node = start_node()
    for number in range(12):
        node.open_room(f"room{number}", "kim", title=f"Title {number}" if number % 2 else "")
    kim = await visit(node, "/", "kim")
    for number in range(12):
        await kim.page.goto(f"/chat/room{number}")
        await kim.is_in()
        await expect(kim.page.get_by_role("heading", level=1)).to_have_text(
            f"Title {number}" if number % 2 else f"room{number}"
        )
    await kim.page.goto("/")
    names = kim.page.locator(".recent .name")
    expected = [f"Title {number}" if number % 2 else f"room{number}" for number in range(11, 1, -1)]
    await expect(names).to_have_text(expected)
    await kim.page.locator(".recent li", has_text="Title 11").get_by_role("button", name="Remove from the list").click()
    await expect(names).to_have_text(expected[1:])
    await kim.page.reload()
    await expect(names).to_have_text(expected[1:])
    await kim.page.get_by_role("link", name="room10").click()
    await kim.is_in()


async def test_what_is_no_room_is_not_joined(start_node: StartNode, visit: Visit) -> None:
    kim = await visit(start_node(), "/", "kim")
    join = kim.page.get_by_label("Link or room id")
    for nonsense in ("", "two words", "https://example.org/", "https://example.org/chat/", "/chat/%E0%A4%A"):
        await join.fill(nonsense)
        await join.press("Enter")
        await expect(kim.page.locator("#room-wrong")).to_have_text("This is neither a room id nor a link to a room.")
    assert kim.page.url.endswith("/")


async def test_the_language_is_switched_at_once_and_remembered(start_node: StartNode, visit: Visit) -> None:
    node = start_node()
    room = node.open_room("abc12345", "kim")
    kim = await visit(node, f"/chat/{room}", "kim", timezone_id="Asia/Seoul")
    await kim.is_in()
    await kim.write("hello")
    await kim.sees("hello")
    await kim.page.get_by_role("button", name="한국어").click()
    await expect(kim.page.locator("html")).to_have_attribute("lang", "ko")
    await expect(kim.page.get_by_role("textbox")).to_have_attribute("placeholder", "메시지 입력")
    await expect(kim.light).to_contain_text("연결됨")
    await expect(kim.page.locator(".line.day")).to_contain_text("요일")
    await expect(kim.page.locator(".row time")).to_contain_text("오")
    await kim.page.goto("/")
    await expect(kim.page.get_by_role("heading", level=1)).to_have_text("방 하나, 링크 하나, 그리고 대화.")


async def test_signing_out_leaves_the_room_and_forgets_the_name(start_node: StartNode, visit: Visit) -> None:
    node = start_node()
    room = node.open_room("abc12345", "kim")
    async with talk(node.ws_url) as lee:
        await lee.join(room, "lee")
        kim = await visit(node, "/")
        await kim.page.get_by_role("button", name="Sign in").click()
        await kim.page.get_by_role("dialog").get_by_label("Name").fill("kim lee")
        await kim.page.keyboard.press("Enter")
        await expect(kim.page.get_by_role("alert").filter(has_text="no spaces")).to_be_visible()
        await kim.page.get_by_role("dialog").get_by_label("Name").fill("kim")
        await kim.page.keyboard.press("Enter")
        await kim.page.goto(f"/chat/{room}")
        await kim.is_in()
        await kim.page.get_by_role("button", name="Account").click()
        await kim.page.get_by_role("button", name="Sign out").click()
        assert (await lee.wait_for("user_left"))["userId"] == "kim"
        await expect(kim.page.get_by_role("button", name="Sign in")).to_be_visible()


async def test_a_token_in_the_address_is_taken_once_and_hidden(start_node: StartNode, visit: Visit) -> None:
    secret = "0123456789abcdef0123456789abcdef"
    node = start_node(auth="jwt", jwt_secret=secret)
    token = _token(secret, "kim", "Kim <b>Minji</b>")
    status, answer = node.request("POST", "/api/rooms", {}, {"Authorization": f"Bearer {token}"})
    assert status == 201, answer
    room = answer["data"]["roomId"]

    stranger = await visit(node, f"/chat/{room}")
    await expect(stranger.page.get_by_role("dialog")).to_contain_text("You need a personal link")
    kim = await visit(node, f"/chat/{room}#token={token}")
    await kim.is_in()
    assert kim.page.url == f"{node.url}/chat/{room}"
    await kim.write("hello")
    await expect(kim.page.locator(".row .author strong")).to_have_text("Kim <b>Minji</b>")
    await kim.page.reload()
    await kim.is_in()

    late = await visit(node, f"/chat/{room}#token={_token(secret, 'lee', 'Lee', ttl_s=-10)}")
    await expect(late.page.get_by_role("main")).to_contain_text("You were signed out")


def _token(secret: str, user: str, name: str, ttl_s: int = 60) -> str:
    from c2c.auth import mint_token

    return mint_token(secret, user, name=name, ttl_s=ttl_s, rooms=None, admin=False)


async def test_toasts_leave_by_themselves_stay_while_looked_at_and_are_five_at_most(
    start_node: StartNode, visit: Visit
) -> None:
    node: NodeProcess = start_node()
    kim = await visit(node)
    await kim.page.clock.install()
    regions = await kim.page.evaluate("fetch('/').then(answer => answer.text())")
    assert '<div role="status"' in regions, "the regions stand in the page from the start"
    assert '<div role="alert"' in regions
    await kim.page.evaluate("""async () => {
      const { toast } = await import(document.querySelector('script[type=module]').src.replace('landing.js', 'shell/toasts.js'));
      window.toast = toast;
      for (const kind of ['error', 'success', 'info', 'warning', 'error', 'info']) toast(kind, 'copied');
    }""")
    toasts = kim.page.locator("c2c-toast")
    await expect(toasts).to_have_count(5)
    await kim.page.clock.pause_at(await kim.page.evaluate("new Date(Date.now() + 1000).toISOString()"))
    await kim.page.locator("c2c-toast.success").hover()
    await kim.page.clock.run_for(60_000)
    await expect(toasts).to_have_count(5)
    await kim.page.mouse.move(0, 0)
    await kim.page.clock.run_for(3_000)
    await expect(kim.page.locator("c2c-toast:is(.success, .info)")).to_have_count(0)
    await expect(kim.page.locator("c2c-toast.warning")).to_have_count(1)
    await kim.page.clock.run_for(7_000)
    await expect(toasts).to_have_count(1)
    await expect(kim.page.get_by_role("alert").locator("c2c-toast.error")).to_have_count(1)
    await kim.page.locator("c2c-toast.error").get_by_role("button", name="Close").click()
    await expect(toasts).to_have_count(0)


async def test_the_link_is_copied_also_where_the_page_may_not_use_the_clipboard(
    start_node: StartNode, visit: Visit
) -> None:
    node = start_node()
    room = node.open_room("abc12345", "kim")
    refused = "Object.defineProperty(navigator, 'clipboard', { value: undefined });"
    kim = await visit(node, f"/chat/{room}", "kim", init=refused)
    await kim.is_in()
    await kim.page.get_by_role("button", name="Copy link").first.click()
    await expect(kim.page.locator(".toast.success")).to_have_text("Link copied.")
    await kim.field.press("Control+v")
    await expect(kim.field).to_have_value(f"{node.url}/chat/{room}")


async def test_what_i_write_in_one_tab_is_mine_in_the_other(start_node: StartNode, visit: Visit) -> None:
    node = start_node()
    room = node.open_room("abc12345", "kim")
    first = await visit(node, f"/chat/{room}", "kim")
    await first.is_in()
    second = await visit(node, f"/chat/{room}", "kim")
    await second.is_in()
    await first.write("hello")
    await second.sees("hello")
    await second.write("and hello")
    for tab in (first, second):
        await tab.sees("hello", "and hello")
        await expect(tab.page.locator(".people li")).to_have_count(1)
        await expect(tab.page.locator(".row.head")).to_have_count(1)
