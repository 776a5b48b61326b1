"""Somebody at a page: what they see and what they do, in the words of the page."""

from __future__ import annotations

from dataclasses import dataclass, field

from playwright.async_api import BrowserContext, ConsoleMessage, Locator, Page, expect

# Reports of the content security policy are kept from the first moment on.
_WATCH = """
    window.violations = [];
    document.addEventListener('securitypolicyviolation', (event) =>
      window.violations.push(`${event.violatedDirective} ${event.blockedURI} ${event.sourceFile}:${event.lineNumber}`));
"""


@dataclass
class Person:
    context: BrowserContext
    page: Page
    errors: list[str] = field(default_factory=list)

    async def watch(self) -> None:
        """Remember everything that a page should never do."""
        await self.context.add_init_script(_WATCH)
        self.page.on("pageerror", lambda error: self.errors.append(f"page error: {error}"))
        self.page.on("console", self._listen)

    def _listen(self, message: ConsoleMessage) -> None:
        # The browser itself logs failed requests; those are what many tests are about.
        if (
            message.type == "error"
            and "Failed to load resource" not in message.text
            and "WebSocket" not in message.text
        ):
            self.errors.append(f"console: {message.text}")

    async def faults(self) -> list[str]:
        violations = [] if self.page.is_closed() else await self.page.evaluate("window.violations ?? []")
        return [*self.errors, *violations]

    # What they see

    @property
    def light(self) -> Locator:
        return self.page.locator("c2c-light")

    @property
    def field(self) -> Locator:
        return self.page.get_by_role("textbox", name="Write a message")

    @property
    def rows(self) -> Locator:
        return self.page.locator(".row")

    async def texts(self) -> list[str]:
        return await self.page.locator(".row .text").all_text_contents()

    async def settled_texts(self) -> list[str]:
        """Those that are in the room's log: neither on their way nor failed."""
        return await self.page.locator(".row:not(.sending, .failed) .text").all_text_contents()

    async def sees(self, *texts: str, within_s: float = 10) -> None:
        """These messages, all of them settled, in this order, and no others."""
        settled = self.page.locator(".row:not(.sending, .failed) .text")
        await expect(settled).to_have_text(list(texts), timeout=within_s * 1000)
        await expect(self.page.locator(".row .text")).to_have_count(len(texts), timeout=within_s * 1000)

    async def light_is(self, status: str, within_s: float = 10) -> None:
        await expect(self.light).to_have_attribute("data-status", status, timeout=within_s * 1000)

    # What they do

    async def is_in(self) -> None:
        """Wait until the conversation is there."""
        await expect(self.field).to_be_visible()

    async def write(self, text: str) -> None:
        """Type a message and send it with Enter."""
        await self.field.fill(text)
        await self.field.press("Enter")

    async def write_many(self, texts: list[str]) -> None:
        for text in texts:
            await self.write(text)

    async def scroll_by(self, pixels: int) -> None:
        await self.page.locator(".log").hover()
        await self.page.mouse.wheel(0, pixels)


class OnPage:
    """Somebody at a page of one kind: what all such pages have."""

    def __init__(self, person: Person) -> None:
        self.person = person
        self.page = person.page
        self.keyboard = person.page.keyboard

    @property
    def toasts(self) -> Locator:
        return self.page.locator("c2c-toast")

    @property
    def box(self) -> Locator:
        return self.page.locator("dialog[open]")

    def button(self, name: str) -> Locator:
        return self.page.get_by_role("button", name=name, exact=True)
