"""The pages of monitoring, in their own words: rows by name, incidents, toasts, the form."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from playwright.async_api import Locator, expect

from tests.browser.person import OnPage
from tests.support import NodeProcess, eventually
from tests.targets import Target

# The targets of tests are on this machine, which nobody may check unasked.
LOCAL = {"check_allow_cidrs": "127.0.0.0/8"}
QUICK = {"interval": 5, "timeout": 1, "retryInterval": 1}

_AXE = Path(__file__).parent.parent.parent / "node_modules" / "axe-core" / "axe.min.js"


def add(node: NodeProcess, name: str, url: str | None = None, **fields: Any) -> str:
    """Another endpoint; its id."""
    body = {"name": name, **({} if url is None else {"url": url}), **fields}
    status, answer = node.request("POST", "/api/endpoints", body)
    assert status == 201, answer
    endpoint_id: str = answer["data"]["endpointId"]
    return endpoint_id


def add_many(node: NodeProcess, names: list[str], target: Target, **fields: Any) -> list[str]:
    """On many hosts: of one only two endpoints are checked at a time."""
    urls = [f"http://127.0.0.{number % 200 + 1}:{target.port}/" for number in range(len(names))]
    with ThreadPoolExecutor(8) as threads:
        return list(threads.map(lambda name, url: add(node, name, url, **fields), names, urls))


def endpoint_of(node: NodeProcess, endpoint_id: str) -> dict[str, Any]:
    status, answer = node.get(f"/api/endpoints/{endpoint_id}")
    assert status == 200, answer
    found: dict[str, Any] = answer["data"]
    return found


async def until_status(node: NodeProcess, endpoint_id: str, status: str) -> None:
    await eventually(lambda: endpoint_of(node, endpoint_id)["status"] == status, 20, f"{endpoint_id} is {status}")


def open_incident(node: NodeProcess) -> dict[str, Any]:
    """The one that is open."""
    _, answer = node.get("/api/incidents?open=true")
    (incident,) = answer["data"]["incidents"]
    found: dict[str, Any] = incident
    return found


class Board(OnPage):
    """Somebody's `/monitor` or `/monitor/{endpointId}`."""

    @property
    def rows(self) -> Locator:
        return self.page.locator(".endpoint")

    @property
    def names(self) -> Locator:
        return self.page.locator(".endpoint .name")

    @property
    def incidents(self) -> Locator:
        return self.page.locator(".incident")

    @property
    def counts(self) -> Locator:
        return self.page.locator(".tile-count")

    def row(self, name: str) -> Locator:
        return self.rows.filter(has=self.page.get_by_role("link", name=name, exact=True))

    def tile(self, name: str) -> Locator:
        return self.page.locator(".tile", has_text=name)

    async def is_open(self) -> None:
        await expect(self.page.locator(".tiles, .detail-head")).to_be_visible()

    async def shows(self, name: str, status: str, within_s: float = 20) -> None:
        await expect(self.row(name)).to_have_attribute("data-look", status, timeout=within_s * 1000)

    async def has_rows(self, *names: str) -> None:
        """These, in this order, as one sees them."""
        await expect(self.rows).to_have_count(len(names))
        await eventually(lambda: self._has(list(names)), what=f"rows {names}")

    async def _has(self, names: list[str]) -> bool:
        return await self.order() == names

    async def order(self) -> list[str]:
        """The names of the rows, as they stand below each other."""
        found: list[str] = await self.page.evaluate("""() =>
            [...document.querySelectorAll('.endpoint')]
              .sort((a, b) => a.getBoundingClientRect().top - b.getBoundingClientRect().top)
              .map((row) => row.querySelector('.name').textContent)""")
        return found

    async def leave_the_list(self) -> None:
        """Neither the pointer nor the focus is in it."""
        await self.page.mouse.move(5, 5)
        await self.page.evaluate("document.activeElement.blur()")

    async def choose(self, name: str, action: str) -> None:
        """An action of a row's menu."""
        await self.row(name).get_by_role("button").click()
        await self.page.get_by_role("menuitem", name=action, exact=True).click()

    async def says(self, text: str, within_s: float = 15) -> None:
        await expect(self.toasts.filter(has_text=text).first).to_be_visible(timeout=within_s * 1000)

    async def is_accessible(self, what: str) -> None:
        """No violation that axe-core knows, and nothing to scroll sideways."""
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
