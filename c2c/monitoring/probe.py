"""One check: what a target answers, how long each part of it took and, when it fails, why, in plain words."""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar
from urllib.parse import urljoin

import httpx

from c2c import __version__
from c2c.errors import BadValue
from c2c.monitoring.body import Page
from c2c.monitoring.failures import CheckFailed, Step, Words, words_for
from c2c.monitoring.guard import AddressGuard, CheckedUrl, bracketed
from c2c.monitoring.results import Phases, Result, Target

T = TypeVar("T")

_ADDRESSES_MAX: Final = 4
_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
_USER_AGENT: Final = f"c2c/{__version__} (+monitoring)"
_ERROR_MAX: Final = 200
_KEYWORD_SHOWN_MAX: Final = 80

log = logging.getLogger("c2c.monitoring")


class Probe:
    """Carries out checks, any number at once; one for a node. Close it with `aclose`.

    What httpx calls a transport is all that is used of it: a client would follow redirects, keep cookies, obey proxy
    variables and log each URL with its query. Connections are never shared: each check measures its own.

    `ssl_context`: whose certificates are trusted; else those that Mozilla trusts, and those that the machine does.
    """

    def __init__(self, guard: AddressGuard, ssl_context: ssl.SSLContext | None = None) -> None:
        self._guard = guard
        self._transport = httpx.AsyncHTTPTransport(
            verify=_trusted() if ssl_context is None else ssl_context,
            trust_env=False,
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=0),
        )

    async def aclose(self) -> None:
        await self._transport.aclose()

    async def run(self, target: Target) -> Result:
        """Check once. Never raises, but for CancelledError; takes `target.timeout_s` at most."""
        course = _Course(asyncio.get_running_loop().time(), target.timeout_s)
        words: Words | None = None
        try:
            async with asyncio.timeout_at(course.deadline_s):
                await (self._connect if target.kind == "tcp" else self._fetch)(target, course)
        except CheckFailed as failed:
            words = failed.words
        except BadValue as refused:
            words = "guard", f"the {'redirect' if course.hop else 'URL'} {refused.details['reason']}"
        except (OSError, httpx.TransportError) as error:
            words = words_for(error, course.step, course.timeout_s)
        except Exception:
            log.exception("a check failed by a defect of the checker")
            words = "protocol", "the check could not be carried out"
        return course.result(words)

    async def _connect(self, target: Target, course: _Course) -> None:
        """Kind `tcp`: a connection is all that is wanted."""
        url = self._guard.check_url(target.url, "tcp")
        loop = asyncio.get_running_loop()

        async def connect(address: str, share_s: float | None) -> asyncio.Transport:
            course.begin("connect")
            async with asyncio.timeout(share_s):
                transport, _ = await loop.create_connection(asyncio.Protocol, address, url.port)
            course.end("connect")
            return transport

        (await self._first_of(await self._resolve(url, course), course, connect)).abort()

    async def _fetch(self, target: Target, course: _Course) -> None:
        """Kind `http`: ask, go where redirects lead, and look at the answer."""
        first = url = self._guard.check_url(target.url, "http")
        method: str = target.method
        while True:
            response = await self._request(target, method, url, url.origin == first.origin, course)
            try:
                course.status_code = response.status_code
                if not _leads_elsewhere(response, target):
                    await _look_at(response, target, course)
                    return
            finally:
                await response.aclose()
            if course.hop == target.redirects:
                raise CheckFailed("redirect", f"more than {target.redirects} redirects")
            course.go_on()
            url = self._follow(url, response.headers.get_list("location")[0])
            method = _method_after(response.status_code, method)

    def _follow(self, url: CheckedUrl, location: str) -> CheckedUrl:
        """Where a redirect leads. Not from https to http: what comes from there anybody on the way can have written."""
        try:
            there = self._guard.check_url(urljoin(str(url), location), "http")
        except ValueError:
            raise CheckFailed("redirect", "the redirect leads to no valid URL") from None
        if (url.scheme, there.scheme) == ("https", "http"):
            raise CheckFailed("redirect", "the redirect leads from https to http")
        return there

    async def _request(
        self, target: Target, method: str, url: CheckedUrl, at_first_origin: bool, course: _Course
    ) -> httpx.Response:
        """Send one request to an address that was judged, and wait for the headers of the answer."""
        headers = _headers(url, target.headers if at_first_origin else ())

        async def connect(address: str, share_s: float | None) -> httpx.Response:
            request = httpx.Request(
                method,
                f"{url.scheme}://{bracketed(address)}:{url.port}{url.target}",
                headers=headers,
                content=target.content if method == "POST" else None,
                extensions={
                    "sni_hostname": url.host,
                    "timeout": httpx.Timeout(None, connect=share_s).as_dict(),
                    "trace": course.trace,
                },
            )
            return await self._transport.handle_async_request(request)

        return await self._first_of(await self._resolve(url, course), course, connect)

    async def _resolve(self, url: CheckedUrl, course: _Course) -> Sequence[str]:
        course.begin("dns")
        addresses = await self._guard.resolve(url.host, url.port)
        if addresses != [url.host]:
            course.end("dns")
        return addresses[:_ADDRESSES_MAX]

    async def _first_of(
        self, addresses: Sequence[str], course: _Course, connect: Callable[[str, float | None], Awaitable[T]]
    ) -> T:
        """What comes of the first address that takes a connection. Each has its share of the time that is left."""
        for left in range(len(addresses), 1, -1):
            try:
                return await connect(addresses[-left], course.remaining_s / left)
            except (OSError, httpx.ConnectError, httpx.ConnectTimeout):
                if course.step != "connect":
                    raise
        return await connect(addresses[-1], None)


_STARTS: Final[Mapping[str, Step]] = {
    "connection.connect_tcp.started": "connect",
    "connection.start_tls.started": "tls",
    "http11.send_request_headers.started": "first_byte",
}
_ENDS: Final[Mapping[str, Step]] = {
    "connection.connect_tcp.complete": "connect",
    "connection.start_tls.complete": "tls",
    "http11.receive_response_headers.complete": "first_byte",
}


@dataclass(slots=True)
class _Course:
    """How far a check has come: what it is doing, and what is known by now. Times and status are of the present hop."""

    started_s: float
    timeout_s: float
    hop: int = 0
    step: Step = "dns"
    status_code: int | None = None
    certificate_expires_at_ms: int | None = None
    phases_ms: dict[Step, float] = field(default_factory=dict)
    _began_s: float = 0.0

    @property
    def deadline_s(self) -> float:
        return self.started_s + self.timeout_s

    @property
    def remaining_s(self) -> float:
        return max(0.0, self.deadline_s - asyncio.get_running_loop().time())

    def begin(self, step: Step) -> None:
        self.step = step
        self._began_s = asyncio.get_running_loop().time()

    def end(self, step: Step) -> None:
        self.phases_ms[step] = _ms_since(self._began_s)

    def go_on(self) -> None:
        """A redirect is followed."""
        self.hop += 1
        self.status_code = None
        self.phases_ms.clear()

    async def trace(self, event: str, info: Mapping[str, Any]) -> None:
        """httpx tells what it does."""
        if event in _STARTS:
            self.begin(_STARTS[event])
        elif event in _ENDS:
            self.end(_ENDS[event])
        if event == "connection.start_tls.complete":
            self._see(info["return_value"].get_extra_info("ssl_object").getpeercert())

    def _see(self, certificate: Mapping[str, Any] | None) -> None:
        """Keep the end of the certificate that ends first: a redirect's will stop the check as well."""
        if certificate:
            ends_at_ms = ssl.cert_time_to_seconds(certificate["notAfter"]) * 1000
            known_ms = self.certificate_expires_at_ms
            self.certificate_expires_at_ms = ends_at_ms if known_ms is None else min(known_ms, ends_at_ms)

    def result(self, words: Words | None) -> Result:
        reason, error = words or (None, "")
        return Result(
            ok=words is None,
            response_ms=_ms_since(self.started_s) if reason in (None, "status", "keyword") else None,
            status_code=self.status_code,
            reason=reason,
            error=error if len(error) <= _ERROR_MAX else error[: _ERROR_MAX - 1] + "…",
            phases=Phases(**{f"{step}_ms": ms for step, ms in self.phases_ms.items()}),
            certificate_expires_at_ms=self.certificate_expires_at_ms,
        )


def _ms_since(time_s: float) -> float:
    return round((asyncio.get_running_loop().time() - time_s) * 1000, 2)


def _trusted() -> ssl.SSLContext:
    context = httpx.create_ssl_context(trust_env=False)
    context.load_default_certs()
    # Python 3.13 refuses certificates by it that browsers take: a site that everybody sees would be reported as down.
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    return context


def _headers(url: CheckedUrl, extra: Sequence[tuple[str, str]]) -> list[tuple[bytes, bytes]]:
    """A request's headers; `extra` replaces what is ours to choose."""
    headers = {"User-Agent": _USER_AGENT, "Accept": "*/*"}
    replaced = {name.lower() for name, _ in extra}
    ours = [(name, value) for name, value in headers.items() if name.lower() not in replaced]
    fixed = [("Accept-Encoding", "gzip, deflate"), ("Connection", "close")]
    lines = [("Host", url.authority), *ours, *extra, *fixed]
    return [(name.encode(), value.encode()) for name, value in lines]


def _leads_elsewhere(response: httpx.Response, target: Target) -> bool:
    """Whether this is a redirect to follow, and not the answer that is expected, nor the end of all following."""
    return (
        response.status_code in _REDIRECTS
        and "location" in response.headers
        and not _is_expected(response.status_code, target)
        and target.redirects > 0
    )


def _is_expected(status_code: int, target: Target) -> bool:
    return any(first <= status_code <= last for first, last in target.expected)


def _method_after(status_code: int, method: str) -> str:
    """With what to follow a redirect (RFC 9110, section 15.4): as browsers do."""
    if (status_code == 303 and method != "HEAD") or (status_code in (301, 302) and method == "POST"):
        return "GET"
    return method


async def _look_at(response: httpx.Response, target: Target, course: _Course) -> None:
    """Judge an answer by its status and by its text. Raises CheckFailed."""
    if not _is_expected(response.status_code, target):
        wanted = ", ".join(str(first) if first == last else f"{first}–{last}" for first, last in target.expected)
        raise CheckFailed("status", f"answered {response.status_code}, expected {wanted}")
    if not target.keyword:
        return
    course.begin("body")
    page = Page(response.headers)
    seen = ""
    async for chunk in response.aiter_raw():
        seen += page.read(chunk)
        if target.keyword in seen:
            return
        if page.full:
            break
        # Only as much as a keyword may have begun in: what is searched once is not searched again.
        seen = seen[max(0, len(seen) - len(target.keyword) + 1) :]
        await asyncio.sleep(0)  # httpx does not wait between the thousand chunks that one packet may hold
    shown = target.keyword[:_KEYWORD_SHOWN_MAX] + ("…" if len(target.keyword) > _KEYWORD_SHOWN_MAX else "")
    part = "the first 64 KiB of the page do" if page.full else "the page does"
    raise CheckFailed("keyword", f"{part} not contain “{shown}”")
