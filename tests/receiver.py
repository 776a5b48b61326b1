"""What tests of webhooks send to: a real web server that keeps what comes, and the check that the docs tell to make."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tests.support import ROOT
from tests.webserver import QuietHandler, WebServer


def documented_verify() -> Any:
    """The function that docs/protocol.md tells receivers to use."""
    section = (ROOT / "docs" / "protocol.md").read_text(encoding="utf-8").split("### Webhooks")[1]
    source = re.search(r"```python\n(.*?)```", section, flags=re.DOTALL)
    assert source is not None
    names: dict[str, Any] = {}
    exec(source[1], names)
    return names["verify"]


@dataclass(frozen=True)
class Received:
    """One request as it came."""

    at_s: float
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def told(self) -> dict[str, Any]:
        told: dict[str, Any] = json.loads(self.body)
        return told


class Receiver(WebServer):
    """A web server that keeps what is posted to it. `answer` says with which status and headers it answers what.
    Requests are counted by path."""

    def __init__(self, port: int = 0) -> None:
        self.received: list[Received] = []
        self.answer: Callable[[Received], tuple[int, dict[str, str]]] = lambda received: (204, {})
        receiver = self

        class Handler(QuietHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                received = Received(time.monotonic(), self.path, dict(self.headers.items()), body)
                with receiver.under_way(self.path):
                    receiver.received.append(received)
                    status, headers = receiver.answer(received)
                self.send_response(status)
                for name, value in {"Content-Length": "0", **headers}.items():
                    self.send_header(name, value)
                self.end_headers()

            def do_GET(self) -> None:
                receiver.received.append(Received(time.monotonic(), self.path, {}, b""))
                self.send_error(405)

        super().__init__(Handler, port=port)

    def at(self, path: str) -> list[Received]:
        """What came to one path."""
        return [received for received in self.received if received.path == path]

    def url(self, path: str = "/hook") -> str:
        return super().url(path)

    @property
    def ids(self) -> list[str]:
        return [received.told["deliveryId"] for received in self.received]
