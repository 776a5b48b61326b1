"""Hangul is composed: Enter ends a syllable and sends, and neither happens twice nor too early."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.async_api import CDPSession, expect

from tests.browser.conftest import Visit
from tests.browser.person import Person
from tests.conftest import StartNode
from tests.support import NodeProcess, Talker, talk

# As a Korean keyboard makes 안녕하세요: each syllable is composed by itself and committed when the next begins.
_SYLLABLES = (("ㅇ", "아", "안"), ("ㄴ", "녀", "녕"), ("ㅎ", "하"), ("ㅅ", "세"), ("ㅇ", "요"))
_IME = 229
_ENTER = 13


async def _person(start_node: StartNode, visit: Visit) -> tuple[NodeProcess, Person, CDPSession]:
    node = start_node()
    room = node.open_room("abc12345", "kim")
    kim = await visit(node, f"/chat/{room}", "kim")
    await kim.is_in()
    await kim.field.focus()
    return node, kim, await kim.context.new_cdp_session(kim.page)


async def _compose(keyboard: CDPSession, *, commit_last: bool) -> None:
    for number, steps in enumerate(_SYLLABLES):
        for step in steps:
            await keyboard.send(
                "Input.imeSetComposition", {"text": step, "selectionStart": len(step), "selectionEnd": len(step)}
            )
        if commit_last or number < len(_SYLLABLES) - 1:
            await keyboard.send("Input.insertText", {"text": steps[-1]})


async def _key(keyboard: CDPSession, code: int, **fields: Any) -> None:
    """Enter as the browser reports it: with code 229 while an input method has the key."""
    key = {"key": "Enter", "code": "Enter", "windowsVirtualKeyCode": code, **fields}
    await keyboard.send("Input.dispatchKeyEvent", {"type": "rawKeyDown", **key})
    if "text" in fields:
        await keyboard.send("Input.dispatchKeyEvent", {"type": "char", **key})
    await keyboard.send("Input.dispatchKeyEvent", {"type": "keyUp", **key})


async def _only(kim: Person, lee: Talker, text: str) -> None:
    """Exactly this one message has come, and nothing is left in the field."""
    await kim.sees(text)
    await expect(kim.field).to_have_value("")
    await lee.ask("msg", roomId="abc12345", text="last")
    await lee.wait_for("msg", 2)
    assert [event["text"] for event in lee.of("msg")] == [text, "last"]


async def test_committed_syllables_and_enter_give_one_message(start_node: StartNode, visit: Visit) -> None:
    node, kim, keyboard = await _person(start_node, visit)
    async with talk(node.ws_url) as lee:
        await lee.join("abc12345", "lee")
        await _compose(keyboard, commit_last=True)
        await kim.page.keyboard.press("Enter")
        await _only(kim, lee, "안녕하세요")


async def test_enter_while_composing_commits_and_the_clean_one_behind_it_sends(
    start_node: StartNode, visit: Visit
) -> None:
    """Chrome on macOS: a keydown of the input method, the end of the composition, then a keydown of its own."""
    node, kim, keyboard = await _person(start_node, visit)
    async with talk(node.ws_url) as lee:
        await lee.join("abc12345", "lee")
        await _compose(keyboard, commit_last=False)
        await _key(keyboard, _IME)
        assert await kim.texts() == [], "the last syllable is not there yet"
        await keyboard.send("Input.insertText", {"text": "요"})
        await _key(keyboard, _ENTER, text="\r")
        await _only(kim, lee, "안녕하세요")


async def test_a_line_break_without_a_clean_keydown_sends_too(start_node: StartNode, visit: Visit) -> None:
    """The input method had the keydown, and the browser breaks the line behind it; phones do so always."""
    node, kim, keyboard = await _person(start_node, visit)
    async with talk(node.ws_url) as lee:
        await lee.join("abc12345", "lee")
        await _compose(keyboard, commit_last=False)
        await keyboard.send("Input.insertText", {"text": "요"})
        await _key(keyboard, _IME, text="\r")
        await _only(kim, lee, "안녕하세요")


@pytest.mark.parametrize("end_first", [True, False])
async def test_the_orders_of_chrome_and_safari_send_once(start_node: StartNode, visit: Visit, end_first: bool) -> None:
    """Safari ends the composition before the keydown, Chrome after it. Both may break the line before it has ended."""
    node, kim, _ = await _person(start_node, visit)
    async with talk(node.ws_url) as lee:
        await lee.join("abc12345", "lee")
        await kim.field.evaluate(_ENTER_OF_AN_INPUT_METHOD, end_first)
        await _only(kim, lee, "안녕하세요")


_ENTER_OF_AN_INPUT_METHOD = """(field, endFirst) => {
  const end = () => {
    field.value = '안녕하세요';
    field.dispatchEvent(new InputEvent('input', { inputType: 'insertCompositionText', bubbles: true }));
    field.dispatchEvent(new CompositionEvent('compositionend', { data: '요', bubbles: true }));
  };
  const keydown = () => field.dispatchEvent(new KeyboardEvent('keydown',
    { key: 'Enter', keyCode: 229, isComposing: !endFirst, bubbles: true, cancelable: true }));
  field.dispatchEvent(new CompositionEvent('compositionstart', { bubbles: true }));
  field.value = '안녕하세ㅇ';
  if (endFirst) end();
  const kept = keydown();
  if (!kept) throw new Error('the input method was robbed of its key');
  field.dispatchEvent(new InputEvent('beforeinput',
    { inputType: 'insertLineBreak', isComposing: !endFirst, bubbles: true, cancelable: true }));
  if (!endFirst) end();
}"""


async def test_enter_that_an_input_method_keeps_sends_nothing_until_a_clean_one_comes(
    start_node: StartNode, visit: Visit
) -> None:
    """Japanese: Enter chooses the candidate and goes no further."""
    node, kim, keyboard = await _person(start_node, visit)
    async with talk(node.ws_url) as lee:
        await lee.join("abc12345", "lee")
        await keyboard.send("Input.imeSetComposition", {"text": "にほん", "selectionStart": 3, "selectionEnd": 3})
        await _key(keyboard, _IME)
        await keyboard.send("Input.insertText", {"text": "日本"})
        await expect(kim.field).to_have_value("日本")
        assert await kim.texts() == []
        await kim.page.keyboard.press("Enter")
        await _only(kim, lee, "日本")


async def test_shift_enter_while_composing_breaks_the_line(start_node: StartNode, visit: Visit) -> None:
    node, kim, keyboard = await _person(start_node, visit)
    async with talk(node.ws_url) as lee:
        await lee.join("abc12345", "lee")
        await _compose(keyboard, commit_last=True)
        await kim.page.keyboard.press("Shift+Enter")
        await _compose(keyboard, commit_last=True)
        await kim.page.keyboard.press("Enter")
        await _only(kim, lee, "안녕하세요\n안녕하세요")


async def test_the_button_sends_the_syllable_that_is_still_composed(start_node: StartNode, visit: Visit) -> None:
    node, kim, keyboard = await _person(start_node, visit)
    async with talk(node.ws_url) as lee:
        await lee.join("abc12345", "lee")
        await _compose(keyboard, commit_last=False)
        await kim.page.get_by_role("button", name="Send").click()
        await _only(kim, lee, "안녕하세요")
