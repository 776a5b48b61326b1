"""A line-up page, in the words of the table: rows by number, cells by what is in them."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any
from urllib.parse import quote

from playwright.async_api import Locator, expect

from tests.browser.person import OnPage
from tests.support import NodeProcess

SLUG = "summer"
ROOM = f"retreat-{SLUG}"
PATH = f"/lineup/{SLUG}"
NAME, NUMBER, MEMOS, FIRST_FIELD = 1, 2, 3, 4

_AXE = Path(__file__).parent.parent.parent / "node_modules" / "axe-core" / "axe.min.js"
_FAMILY = "김이박최정강조윤장임한오서신권황안송전홍"
_GIVEN = "민준 서연 도윤 서준 하은 지호 지우 하윤 예준 수아 지민 서현 건우 유나 현우 채원 은우 다은 우진".split()


def participants(count: int, **more: Any) -> list[dict[str, Any]]:
    """Rows as an import takes them; names repeat, as they do."""
    return [
        {
            "lineupId": number,
            "name": f"{_FAMILY[number * 7 % len(_FAMILY)]}{_GIVEN[number * 5 % len(_GIVEN)]}",
            "학교": f"{number % 9}대학교",
            "학년": number % 4 + 1,
            **more,
        }
        for number in range(1, count + 1)
    ]


def import_rows(node: NodeProcess, rows: Iterable[dict[str, Any]], room: str = ROOM) -> None:
    status, answer = node.request("PUT", f"/api/rooms/{quote(room)}/lineups", {"rows": list(rows)})
    assert status == 200, answer


def numbers_in(node: NodeProcess, room: str = ROOM) -> dict[int, int | None]:
    """What the server holds."""
    status, answer = node.get(f"/api/rooms/{quote(room)}/lineups")
    assert status == 200, answer
    return {row["lineupId"]: row["gbsNumber"] for row in answer["data"]["rows"]}


def memos_in(node: NodeProcess, row: int) -> list[str]:
    _, answer = node.get(f"/api/rooms/{ROOM}/lineups")
    return [memo["memo"] for each in answer["data"]["rows"] if each["lineupId"] == row for memo in each["memos"]]


def updates_in(node: NodeProcess) -> list[dict[str, Any]]:
    """Every edit in the room's log."""
    _, answer = node.get(f"/api/rooms/{ROOM}/events?limit=500")
    return [event for event in answer["data"]["events"] if event["t"] == "lineup-updated"]


class Sheet(OnPage):
    """Somebody's line-up page."""

    @property
    def grid(self) -> Locator:
        return self.page.get_by_role("grid")

    @property
    def rows(self) -> Locator:
        return self.page.locator(".grid-body .grid-row")

    def row(self, number: int) -> Locator:
        return self.rows.filter(has=self.page.locator(f".id:text-is('#{number}')"))

    def cell(self, number: int, column: int = NUMBER) -> Locator:
        return self.row(number).locator(f"[aria-colindex='{column}']")

    def group(self, name: str) -> Locator:
        return self.page.get_by_role("option", name=name)

    async def is_open(self) -> None:
        await expect(self.rows.first).to_be_visible()

    async def shows(self, row: int, number: str, within_s: float = 10) -> None:
        """This number, and settled: neither on its way nor in question."""
        settled = self.row(row).locator(".cell-number:not(.pending, .conflict) .number")
        await expect(settled).to_have_text(number, timeout=within_s * 1000)

    async def ids(self) -> list[int]:
        """The rows in the DOM, in order."""
        return [int(text[1:]) for text in await self.page.locator(".grid-body .id").all_text_contents()]

    async def go_to(self, row: int, column: int = NUMBER) -> None:
        cell = self.cell(row, column)
        # A click on the cell that has the focus already would edit it.
        if not await cell.evaluate("cell => cell === document.activeElement"):
            await cell.click()
        await expect(cell).to_be_focused()

    async def write(self, row: int, number: str) -> None:
        """Go to the number cell, type, Enter."""
        await self.go_to(row)
        await self.keyboard.type(number)
        await self.keyboard.press("Enter")

    async def open_memos(self, row: int) -> None:
        await self.go_to(row, MEMOS)
        await self.keyboard.press("Enter")
        await expect(self.box).to_be_visible()

    async def add_memo(self, text: str) -> None:
        await self.box.get_by_label("New memo").fill(text)
        await self.box.get_by_role("button", name="Add").click()

    async def paste(self, text: str) -> None:
        """Put a text on the clipboard and press the keys."""
        await self.page.evaluate("text => navigator.clipboard.writeText(text)", text)
        await self.keyboard.press("Control+v")

    async def says(self, text: str, within_s: float = 10) -> None:
        await expect(self.toasts.filter(has_text=text)).to_be_visible(timeout=within_s * 1000)

    async def is_accessible(self, what: str) -> None:
        """No violation that axe-core knows, and nothing to scroll sideways but the table."""
        if not await self.page.evaluate("'axe' in window"):
            await self.page.evaluate(_AXE.read_text(encoding="utf-8"))
        await self.page.evaluate("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
        result = await self.page.evaluate("axe.run(document, { resultTypes: ['violations'] })")
        found = [
            f"{what}: {violation['id']}: {node['html'][:150]} {node['failureSummary'][:200]}"
            for violation in result["violations"]
            for node in violation["nodes"]
        ]
        assert found == [], "\n".join(found)
        wider = await self.page.evaluate("document.documentElement.scrollWidth - innerWidth")
        assert wider <= 0, f"{what}: scrolls sideways by {wider} px"
