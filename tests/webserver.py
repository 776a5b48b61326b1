"""A real web server in a thread, for what c2c asks and tells: targets of checks, receivers of webhooks."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Self


class QuietHandler(BaseHTTPRequestHandler):
    """Says nothing on stderr."""

    def log_message(self, format: str, *args: object) -> None:
        """Nothing."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, request: object, client_address: object) -> None:
        """Who hangs up, as a node that was killed does, is no defect of the server."""


class WebServer:
    """Serves while it is entered. `at_a_time`, `most_at_a_time`: requests being answered, by key and ('') of all."""

    def __init__(self, handler: type[BaseHTTPRequestHandler], host: str = "127.0.0.1", port: int = 0) -> None:
        self.at_a_time: Counter[str] = Counter()
        self.most_at_a_time: Counter[str] = Counter()
        self._lock = threading.Lock()
        self._server = _Server((host, port), handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)

    @property
    def port(self) -> int:
        return self._server.server_port

    def url(self, path: str = "/") -> str:
        return f"http://127.0.0.1:{self.port}{path}"

    @contextmanager
    def under_way(self, key: str) -> Iterator[None]:
        """A request is being answered."""
        self._add(key, 1)
        try:
            yield
        finally:
            self._add(key, -1)

    def _add(self, key: str, number: int) -> None:
        with self._lock:
            for each in (key, ""):
                self.at_a_time[each] += number
                self.most_at_a_time[each] = max(self.most_at_a_time[each], self.at_a_time[each])

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
