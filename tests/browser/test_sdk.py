"""The SDK alone, on a site that is none of ours: the page of `docs/sdk.md`."""

from __future__ import annotations

import functools
import http.server
import re
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.async_api import expect

from tests.browser.conftest import Visit
from tests.conftest import StartNode
from tests.support import ROOT, talk


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        pass


class _Site:
    """Somebody's web server, with the SDK in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        handler = functools.partial(_Quiet, directory=str(folder))
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"


@pytest.fixture
def site(tmp_path: Path) -> Iterator[_Site]:
    shutil.copy(ROOT / "c2c/web/c2c.js", tmp_path)
    shutil.copytree(ROOT / "c2c/web/sdk", tmp_path / "sdk")
    site = _Site(tmp_path)
    thread = threading.Thread(target=site.server.serve_forever, daemon=True)
    thread.start()
    yield site
    site.server.shutdown()
    site.server.server_close()
    thread.join()


async def test_the_page_of_the_docs_talks_from_another_site(start_node: StartNode, visit: Visit, site: _Site) -> None:
    node = start_node(allowed_origins=site.url)
    room = node.open_room("abc12345")
    page = re.search(r"```html\n(.*?)```", (ROOT / "docs/sdk.md").read_text(encoding="utf-8"), re.DOTALL)
    assert page is not None
    address = "wss://c2c.example.org/ws"
    assert address in page[1]
    (site.folder / "index.html").write_text(page[1].replace(address, node.ws_url), encoding="utf-8")
    async with talk(node.ws_url) as lee:
        await lee.join(room, "lee")
        await lee.ask("msg", roomId=room, text="before")
        kim = await visit(node, site.url)
        await expect(kim.page.locator("#light")).to_have_text("connected")
        lines = kim.page.locator("#messages li")
        await expect(lines).to_have_text(["lee: before"])
        await kim.page.get_by_label("Message").fill("안녕하세요")
        await kim.page.get_by_label("Message").press("Enter")
        await expect(lines).to_have_text(["lee: before", "kim: 안녕하세요"])
        assert (await lee.wait_for("msg", 2))["text"] == "안녕하세요"
        node.kill()
        await expect(kim.page.locator("#light")).to_have_text("connecting")
        await kim.page.get_by_label("Message").fill("offline")
        await kim.page.get_by_label("Message").press("Enter")
        await expect(lines.last).to_have_text("offline (sending)")
        node.start()
        await expect(lines.last).to_have_text("kim: offline", timeout=40_000)
