"""A real browser for the tests of the pages. On a laptop without one they are skipped; in CI that is a failure."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any, TypeAlias

import pytest
from playwright.async_api import Browser, async_playwright

from tests.browser.person import Person
from tests.support import NodeProcess

_ARGUMENTS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]

Visit: TypeAlias = Callable[..., Awaitable[Person]]


@pytest.fixture
async def browser() -> AsyncIterator[Browser]:
    """Debian's Chromium, not one that Playwright downloads."""
    path = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if path is None:
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)("there is no chromium")
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=path, args=_ARGUMENTS)
        yield browser
        await browser.close()


@pytest.fixture
async def visit(browser: Browser) -> AsyncIterator[Visit]:
    """Opens pages as people do, each in a browser of their own. Afterwards none of them may have raised an error or
    broken the content security policy."""
    async with AsyncExitStack() as stack:
        people: list[Person] = []

        async def visit(
            node: NodeProcess, path: str = "/", name: str | None = None, init: str = "", **options: Any
        ) -> Person:
            options = {"locale": "en-US", "viewport": {"width": 1280, "height": 800}, **options}
            context = await stack.enter_async_context(await browser.new_context(base_url=node.url, **options))
            if name is not None:
                await context.add_init_script(f"localStorage['c2c.name'] ??= {json.dumps(json.dumps(name))}")
            if init:
                await context.add_init_script(init)
            person = Person(context, await context.new_page())
            people.append(person)
            await person.watch()
            await person.page.goto(path)
            return person

        yield visit
        for person in people:
            assert await person.faults() == []
