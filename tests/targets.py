"""What tests of monitoring check: a real web server whose answers a test chooses."""

from __future__ import annotations

import time
from collections import Counter

from tests.webserver import QuietHandler, WebServer


class Target(WebServer):
    """A web server on all addresses of this machine. `statuses`: by path what it answers from now on, else `status`.
    Requests are counted by the host that they name."""

    def __init__(self) -> None:
        self.status = 200
        self.statuses: dict[str, int] = {}
        self.delay_s = 0.0
        self.body = b"hello"
        self.asked: Counter[str] = Counter()
        self.seen_headers: list[dict[str, str]] = []
        target = self

        class Handler(QuietHandler):
            def answer(self) -> None:
                target.asked[self.path] += 1
                target.seen_headers.append(dict(self.headers.items()))
                with target.under_way(self.headers["Host"]):
                    if target.delay_s:
                        time.sleep(target.delay_s)
                self.send_response(target.statuses.get(self.path, target.status))
                self.send_header("Content-Length", str(len(target.body)))
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(target.body)

            do_GET = do_HEAD = do_POST = answer

        super().__init__(Handler, "0.0.0.0")
