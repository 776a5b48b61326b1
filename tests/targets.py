"""What tests of monitoring check: a real web server whose answers a test chooses."""

from __future__ import annotations

import threading
import time
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Self


class Target:
    """A web server on a port of its own. `statuses`: by path what it answers from now on, else `status`."""

    def __init__(self) -> None:
        self.status = 200
        self.statuses: dict[str, int] = {}
        self.delay_s = 0.0
        self.body = b"hello"
        self.asked: Counter[str] = Counter()
        self.seen_headers: list[dict[str, str]] = []
        target = self

        class Handler(BaseHTTPRequestHandler):
            def answer(self) -> None:
                target.asked[self.path] += 1
                target.seen_headers.append(dict(self.headers.items()))
                if target.delay_s:
                    time.sleep(target.delay_s)
                self.send_response(target.statuses.get(self.path, target.status))
                self.send_header("Content-Length", str(len(target.body)))
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(target.body)

            do_GET = do_HEAD = do_POST = answer

            def log_message(self, format: str, *args: object) -> None:
                """Nothing."""

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 128

            def handle_error(self, request: object, client_address: object) -> None:
                """Who hangs up is no defect of the target."""

        self._server = Server(("0.0.0.0", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)

    @property
    def port(self) -> int:
        return self._server.server_port

    def url(self, path: str = "/") -> str:
        return f"http://127.0.0.1:{self.port}{path}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
