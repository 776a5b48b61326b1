"""What tests of webhooks send to: a real web server that keeps what comes, and the check that the docs tell to make."""

from __future__ import annotations

import json
import re
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self

from tests.support import ROOT


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


class Receiver:
    """A web server that keeps what is posted to it. `answer` says with which status and headers it answers what."""

    def __init__(self, port: int = 0) -> None:
        self.received: list[Received] = []
        self.at_a_time: Counter[str] = Counter()
        self.most_at_a_time: Counter[str] = Counter()
        self.answer: Callable[[Received], tuple[int, dict[str, str]]] = lambda received: (204, {})
        self._lock = threading.Lock()
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                received = Received(time.monotonic(), self.path, dict(self.headers.items()), body)
                with receiver._under_way(self.path):
                    receiver.received.append(received)
                    status, headers = receiver.answer(received)
                self.send_response(status)
                for name, value in {"Content-Length": "0", **headers}.items():
                    self.send_header(name, value)
                self.end_headers()

            def do_GET(self) -> None:
                receiver.received.append(Received(time.monotonic(), self.path, {}, b""))
                self.send_error(405)

            def log_message(self, format: str, *args: object) -> None:
                """Nothing."""

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 128

            def handle_error(self, request: object, client_address: object) -> None:
                """A node that was killed hangs up."""

        self._server = Server(("127.0.0.1", port), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)

    @contextmanager
    def _under_way(self, path: str) -> Iterator[None]:
        """Count how many requests are answered at a time, of one path and ('') of all."""
        self._add(path, 1)
        try:
            yield
        finally:
            self._add(path, -1)

    def _add(self, path: str, number: int) -> None:
        with self._lock:
            for key in (path, ""):
                self.at_a_time[key] += number
                self.most_at_a_time[key] = max(self.most_at_a_time[key], self.at_a_time[key])

    def at(self, path: str) -> list[Received]:
        """What came to one path."""
        return [received for received in self.received if received.path == path]

    def url(self, path: str = "/hook") -> str:
        return f"http://127.0.0.1:{self._server.server_port}{path}"

    @property
    def ids(self) -> list[str]:
        return [received.told["deliveryId"] for received in self.received]

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
