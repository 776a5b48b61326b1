"""Checks against real servers on real sockets: what is measured, what is said when it fails, and what is never asked.

Servers live on loopback, which a guard with an allow-list lets the probe reach. Where something is refused, the claim
is always that the forbidden server saw no connection at all.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import gzip
import ipaddress
import logging
import os
import socket
import ssl
import struct
import time
import tracemalloc
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import pytest
import uvloop
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from c2c import __version__
from c2c.monitoring.body import BODY_MAX
from c2c.monitoring.guard import AddressGuard
from c2c.monitoring.probe import Probe
from c2c.monitoring.results import Result, Target
from c2c.tasks import end_tasks
from tests.support import RedisServer, eventually

SECRET = "geheim-4711"
LOOPBACK = (ipaddress.ip_network("127.0.0.0/8"), ipaddress.ip_network("::1/128"))
EVERYTHING = (ipaddress.ip_network("0.0.0.0/0"), ipaddress.ip_network("::/0"))
PATIENCE_S = 20.0
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

Answer = bytes | Callable[["Request", asyncio.StreamWriter], "bytes | Awaitable[None]"]


@dataclass(frozen=True, slots=True)
class Request:
    """What a server was asked. `headers` have lower-case names."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes


@dataclass
class Site:
    """A server that answers as the test says, and remembers what it was asked."""

    answer: Answer
    port: int = 0
    connections: int = 0
    requests: list[Request] = field(default_factory=list)
    tasks: set[asyncio.Task[None]] = field(default_factory=set)

    def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.tasks.add(asyncio.create_task(self.serve(reader, writer)))

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            with contextlib.suppress(OSError, asyncio.IncompleteReadError):
                request = await _read_request(reader)
                self.requests.append(request)
                answer = self.answer if isinstance(self.answer, bytes) else self.answer(request, writer)
                if isinstance(answer, bytes):
                    writer.write(answer)
                    await writer.drain()
                else:
                    await answer
        finally:
            writer.close()

    async def close(self, server: asyncio.Server) -> None:
        server.close()
        await end_tasks(self.tasks)

    async def untouched(self) -> bool:
        """Whether nobody has connected before: the first that the server sees is we ourselves."""
        _, writer = await asyncio.open_connection("127.0.0.1", self.port)
        writer.close()
        await eventually(lambda: self.connections > 0, PATIENCE_S)
        return self.connections == 1 and self.requests == []


async def _read_request(reader: asyncio.StreamReader) -> Request:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    first, *lines = head.strip().split("\r\n")
    method, target, _ = first.split(" ")
    headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}
    return Request(method, target, headers, await reader.readexactly(int(headers.get("content-length", 0))))


@contextlib.asynccontextmanager
async def site(
    answer: Answer, *, host: str = "127.0.0.1", port: int = 0, tls: ssl.SSLContext | None = None
) -> AsyncIterator[Site]:
    server_site = Site(answer)
    server = await asyncio.start_server(server_site.accept, host, port, ssl=tls, family=socket.AF_UNSPEC)
    server_site.port = server.sockets[0].getsockname()[1]
    try:
        yield server_site
    finally:
        await server_site.close(server)


@contextlib.asynccontextmanager
async def forbidden() -> AsyncIterator[Site]:
    """A server on all addresses of this machine, IPv6 and IPv4, to which no connection may come."""
    listening = socket.create_server(("::", 0), family=socket.AF_INET6, dualstack_ipv6=True)
    server_site = Site(OK, port=listening.getsockname()[1])
    server = await asyncio.start_server(server_site.accept, sock=listening)
    try:
        yield server_site
        assert await server_site.untouched()
    finally:
        await server_site.close(server)


def names(**addresses: Sequence[str]) -> Callable[[str, int], Awaitable[Sequence[str]]]:
    """A resolver that knows these names: `site_test` for site.test."""

    async def resolve(host: str, port: int) -> Sequence[str]:
        try:
            return addresses[host.replace(".", "_")]
        except KeyError:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known") from None

    return resolve


def guard(**addresses: Sequence[str]) -> AddressGuard:
    """A guard that lets checks reach loopback, and knows names; `site.test` is at 127.0.0.1."""
    return AddressGuard(LOOPBACK, resolver=names(**{"site_test": ["127.0.0.1"], **addresses}))


# Making a context that trusts all the world takes longer than a check.
TRUSTING_NOBODY = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


async def check(
    url: str, *, by: AddressGuard | None = None, trusting: ssl.SSLContext = TRUSTING_NOBODY, **fields: Any
) -> Result:
    """One check by a probe of its own. Whatever comes of it, it tells no secrets."""
    given = {"kind": "http", "timeout_s": PATIENCE_S, "headers": (("Authorization", SECRET),), **fields}
    probe = Probe(guard() if by is None else by, trusting)
    try:
        result = await probe.run(Target(url=url, **given))
    finally:
        await probe.aclose()
    assert SECRET not in repr(result)
    assert result.ok is (result.reason is None)
    assert result.ok is (result.error == "")
    assert len(result.error) <= 200
    return result


def said(result: Result) -> tuple[str | None, str]:
    """Why a check failed."""
    return result.reason, result.error


# Certificates


_MAY_SIGN = x509.KeyUsage(
    digital_signature=False, content_commitment=False, key_encipherment=False, data_encipherment=False,
    key_agreement=False, key_cert_sign=True, crl_sign=True, encipher_only=False, decipher_only=False,
)  # fmt: skip


@dataclass(frozen=True)
class Authority:
    """Somebody who signs certificates, in a folder of the test's."""

    folder: Path
    key: ec.EllipticCurvePrivateKey
    certificate: x509.Certificate

    @classmethod
    def make(cls, folder: Path) -> Self:
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "a test's authority")])
        builder = _certificate(name, name, key, (_now(-1), _now(30)))
        builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        builder = builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        builder = builder.add_extension(_MAY_SIGN, critical=True)
        return cls(folder, key, builder.sign(key, hashes.SHA256()))

    def trusted(self) -> ssl.SSLContext:
        """A client's context that trusts this authority and nobody else."""
        return ssl.create_default_context(cadata=self.certificate.public_bytes(Encoding.PEM).decode())

    def server(
        self, *hosts: str, days: tuple[float, float] = (-1, 10), self_signed: bool = False, strict: bool = True
    ) -> tuple[ssl.SSLContext, x509.Certificate]:
        """A server's context and certificate, for names and addresses. `days`: valid from and to, from now. `strict`:
        with all that RFC 5280 asks for, and not only with what browsers do."""
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "a test's server")])
        builder = _certificate(
            name, name if self_signed else self.certificate.subject, key, (_now(days[0]), _now(days[1]))
        )
        builder = builder.add_extension(x509.SubjectAlternativeName([_general_name(host) for host in hosts]), False)
        if strict:
            issuer = (key if self_signed else self.key).public_key()
            builder = builder.add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer), critical=False)
        certificate = builder.sign(key if self_signed else self.key, hashes.SHA256())
        path = self.folder / "server.pem"
        path.write_bytes(
            certificate.public_bytes(Encoding.PEM)
            + key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        )
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(path)
        return context, certificate


def _now(days: float) -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC) + datetime.timedelta(days=days)


def _certificate(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePrivateKey,
    valid: tuple[datetime.datetime, datetime.datetime],
) -> x509.CertificateBuilder:
    builder = x509.CertificateBuilder().subject_name(subject).issuer_name(issuer).public_key(key.public_key())
    builder = builder.serial_number(x509.random_serial_number())
    return builder.not_valid_before(valid[0]).not_valid_after(valid[1])


def _general_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority.make(tmp_path)


# What is asked and measured


async def test_an_answer_in_time_is_ok_and_measured() -> None:
    async def slowly(request: Request, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(0.1)
        writer.write(OK)

    async with site(slowly) as server:
        result = await check(f"http://site.test:{server.port}/a%20b?c=d#e")
    assert (result.ok, result.status_code, result.certificate_expires_at_ms) == (True, 200, None)
    phases = result.phases
    assert phases.dns_ms is not None
    assert phases.connect_ms is not None
    assert phases.tls_ms is None
    assert phases.first_byte_ms is not None
    assert phases.first_byte_ms >= 99
    assert result.response_ms is not None
    assert result.response_ms + 0.1 >= phases.dns_ms + phases.connect_ms + phases.first_byte_ms


async def test_the_request_is_what_a_monitor_sends() -> None:
    async with site(OK) as server:
        await check(f"http://site.test:{server.port}/a/../b%20c?d=é#e", headers=(("X-Key", "one"), ("x-key2", "zwei")))
    (request,) = server.requests
    assert (request.method, request.target) == ("GET", "/b%20c?d=%C3%A9")
    assert request.headers == {
        "host": f"site.test:{server.port}",
        "user-agent": f"c2c/{__version__} (+monitoring)",
        "accept": "*/*",
        "accept-encoding": "gzip, deflate",
        "connection": "close",
        "x-key": "one",
        "x-key2": "zwei",
    }


async def test_what_is_ours_to_choose_can_be_chosen() -> None:
    async with site(OK) as server:
        await check(f"http://127.0.0.1:{server.port}/", headers=(("user-agent", "x"), ("Accept", "text/html")))
    headers = server.requests[0].headers
    assert (headers["user-agent"], headers["accept"]) == ("x", "text/html")


@pytest.mark.parametrize(
    "headers",
    [
        (("Host", "other.test"),),
        (("X", "a\r\nY: b"),),
        (("X\r\nY", "a"),),
        (("X", "a\0"),),
        (("", "a"),),
    ],
)
async def test_headers_that_can_not_be_sent_are_not(headers: tuple[tuple[str, str], ...]) -> None:
    async with site(OK) as server:
        result = await check(f"http://127.0.0.1:{server.port}/", headers=headers)
        assert said(result) == ("protocol", "the request can not be sent")
    assert server.requests == []


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST"])
async def test_each_method_is_sent(method: str) -> None:
    async with site(OK) as server:
        assert (await check(f"http://127.0.0.1:{server.port}/", method=method, content=b"{}")).ok
    (request,) = server.requests
    assert (request.method, request.body) == (method, b"{}" if method == "POST" else b"")


async def test_checks_share_neither_connections_nor_cookies() -> None:
    answer = b"HTTP/1.1 200 OK\r\nSet-Cookie: a=b; Path=/\r\nContent-Length: 2\r\nConnection: keep-alive\r\n\r\nok"
    probe = Probe(guard())
    async with site(answer) as server:
        target = Target("http", f"http://127.0.0.1:{server.port}/", keyword="ok")
        for _ in range(3):
            assert (await probe.run(target)).ok
    await probe.aclose()
    assert server.connections == len(server.requests) == 3
    assert not any("cookie" in request.headers for request in server.requests)


async def test_no_proxy_variable_is_obeyed(monkeypatch: pytest.MonkeyPatch) -> None:
    async with forbidden() as proxy, site(OK) as server:
        for name in ("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "ALL_PROXY", "all_proxy"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
        monkeypatch.delenv("NO_PROXY", raising=False)
        monkeypatch.delenv("no_proxy", raising=False)
        assert (await check(f"http://127.0.0.1:{server.port}/")).ok


async def test_the_log_is_told_neither_urls_nor_headers(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    async with site(OK) as server:
        assert (await check(f"http://127.0.0.1:{server.port}/?token={SECRET}")).ok
        assert not (await check(f"http://127.0.0.1:{server.port}/?token={SECRET}", keyword="absent")).ok
    assert SECRET not in caplog.text
    assert str(server.port) not in caplog.text


async def test_a_hundred_checks_at_once() -> None:
    async with site(OK) as server:
        probe = Probe(guard())
        target = Target("http", f"http://site.test:{server.port}/", timeout_s=60, keyword="ok")
        results = await asyncio.gather(*[probe.run(target) for _ in range(200)])
        await probe.aclose()
    assert [result.error for result in results if not result.ok] == []
    assert server.connections == 200


# Status and text


@pytest.mark.parametrize(
    ("status", "expected", "error"),
    [
        (200, ((200, 299),), ""),
        (299, ((200, 299),), ""),
        (404, ((200, 299), (404, 404)), ""),
        (302, ((302, 302),), ""),
        (503, ((200, 299),), "answered 503, expected 200–299"),
        (300, ((200, 299),), "answered 300, expected 200–299"),
        (200, ((404, 404), (500, 599)), "answered 200, expected 404, 500–599"),
        (302, ((200, 299),), "answered 302, expected 200–299"),
    ],
)
async def test_the_status_decides(status: int, expected: tuple[tuple[int, int], ...], error: str) -> None:
    async with site(b"HTTP/1.1 %d Whatever\r\nContent-Length: 0\r\n\r\n" % status) as server:
        result = await check(f"http://127.0.0.1:{server.port}/", expected=expected)
    assert result.status_code == status
    assert result.response_ms is not None
    assert said(result) == ("status" if error else None, error)


async def test_words_are_never_longer_than_200_characters() -> None:
    many = tuple((code, code + 1) for code in range(300, 599, 10))
    async with site(OK) as server:
        result = await check(f"http://127.0.0.1:{server.port}/", expected=many)
    assert result.error.startswith("answered 200, expected 300–301, 310–311, ")
    assert result.error.endswith("…")
    assert len(result.error) == 200


def page(body: bytes, *headers: str) -> bytes:
    head = "".join(f"{header}\r\n" for header in headers)
    return f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\n{head}\r\n".encode() + body


def raw_deflate(body: bytes) -> bytes:
    deflate = zlib.compressobj(wbits=-15)
    return deflate.compress(body) + deflate.flush()


def chunked(*chunks: bytes) -> bytes:
    body = b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks)
    return b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + body + b"0\r\n\r\n"


TEXT = "<p>안녕하세요, Grüße</p>"


@pytest.mark.parametrize(
    "answer",
    {
        "UTF-8": page(TEXT.encode()),
        "of another charset": page("<p>안녕하세요</p>".encode("cp949"), "Content-Type: text/html; Charset='EUC-KR'"),
        "UTF-16": page(TEXT.encode("utf-16"), "Content-Type: text/html; charset=utf-16"),
        "of no charset that there is": page(TEXT.encode(), "Content-Type: text/html; charset=klingon"),
        "of a charset that is none": page(TEXT.encode(), "Content-Type: text/html; charset=zlib"),
        "of a charset that takes minutes": page(TEXT.encode(), "Content-Type: text/html; charset=punycode"),
        "with bytes of no charset": page(b"\xff\xfe\x00\x80" + TEXT.encode()),
        "gzip": page(gzip.compress(TEXT.encode()), "Content-Encoding: gzip"),
        "GZIP": page(gzip.compress(TEXT.encode()), "Content-Encoding: X-GZip"),
        "deflate": page(zlib.compress(TEXT.encode()), "Content-Encoding: deflate"),
        "raw deflate": page(raw_deflate(TEXT.encode()), "Content-Encoding: deflate"),
        "identity": page(TEXT.encode(), "Content-Encoding: identity"),
        "byte by byte": chunked(*[bytes([byte]) for byte in TEXT.encode()]),
        "until the end": b"HTTP/1.1 200 OK\r\n\r\n" + TEXT.encode(),
        "by HTTP/1.0": b"HTTP/1.0 200 OK\r\n\r\n" + TEXT.encode(),
        "at the end of 64 KiB": page(b"x" * (BODY_MAX - 15) + "안녕하세요".encode()),
        "at the end of 64 KiB, with more behind": page(b"x" * (BODY_MAX - 15) + "안녕하세요".encode() + b"y" * 99),
        "in 64 KiB of gzip": page(
            gzip.compress(b"x" * (BODY_MAX - 15) + "안녕하세요".encode() + b"y"), "Content-Encoding: gzip"
        ),
    }.items(),
    ids=lambda pair: pair[0],
)
async def test_a_keyword_is_found(answer: tuple[str, bytes]) -> None:
    async with site(answer[1]) as server:
        assert said(await check(f"http://127.0.0.1:{server.port}/", keyword="안녕하세요")) == (None, "")


@pytest.mark.parametrize(
    ("encoding", "compressed"),
    [
        (b"gzip", gzip.compress(TEXT.encode() * 20)),
        (b"deflate", zlib.compress(TEXT.encode() * 20)),
        (b"deflate", raw_deflate(TEXT.encode() * 20)),
    ],
    ids=["gzip", "deflate", "raw deflate"],
)
async def test_a_compressed_page_may_come_byte_by_byte(encoding: bytes, compressed: bytes) -> None:
    answer = chunked(*[bytes([byte]) for byte in compressed])
    async with site(answer.replace(b"\r\n", b"\r\nContent-Encoding: " + encoding + b"\r\n", 1)) as server:
        assert said(await check(f"http://127.0.0.1:{server.port}/", keyword="Grüße")) == (None, "")


@pytest.mark.parametrize(
    ("answer", "reason", "error"),
    [
        (page(b"hello"), "keyword", "the page does not contain “welcome”"),
        (page(b""), "keyword", "the page does not contain “welcome”"),
        (page(b"WELCOME"), "keyword", "the page does not contain “welcome”"),
        (page(b"x" * BODY_MAX), "keyword", "the page does not contain “welcome”"),
        (page(b"x" * BODY_MAX + b"y"), "keyword", "the first 64 KiB of the page do not contain “welcome”"),
        (page(b"x" * BODY_MAX + b"welcome"), "keyword", "the first 64 KiB of the page do not contain “welcome”"),
        (page(b"x" * (BODY_MAX - 6) + b"welcome"), "keyword", "the first 64 KiB of the page do not contain “welcome”"),
        (
            page(gzip.compress(b"x" * BODY_MAX + b"welcome"), "Content-Encoding: gzip"),
            "keyword",
            "the first 64 KiB of the page do not contain “welcome”",
        ),
        (page(b"welcome", "Content-Encoding: br"), "body", "the page is compressed in a way that was not asked for"),
        (
            page(b"welcome", "Content-Encoding: gzip, gzip"),
            "body",
            "the page is compressed in a way that was not asked for",
        ),
        (page(b"welcome", "Content-Encoding: gzip"), "body", "the compressed page is damaged"),
        (page(b"\xff\xffwelcome", "Content-Encoding: deflate"), "body", "the compressed page is damaged"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello", "body", "the page broke off"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n", "body", "the page broke off"),
    ],
)
async def test_a_keyword_that_is_not_there_fails(answer: bytes, reason: str, error: str) -> None:
    async with site(answer) as server:
        result = await check(f"http://127.0.0.1:{server.port}/", keyword="welcome")
    assert said(result) == (reason, error)
    assert result.status_code == 200
    assert (result.response_ms is not None) is (reason == "keyword")


@pytest.mark.parametrize("charset", ["EUC-KR", "euc_kr", "ks_c_5601-1987", "ksc5601", "cp949"])
async def test_what_is_called_euc_kr_may_hold_all_of_its_superset(charset: str) -> None:
    body = "\ub620방각하".encode("cp949")  # its first letter is one that EUC-KR lacks
    async with site(page(body, f"Content-Type: text/html; charset={charset}")) as server:
        assert said(await check(f"http://127.0.0.1:{server.port}/", keyword="\ub620방각하")) == (None, "")


async def test_a_long_keyword_is_told_in_part() -> None:
    async with site(OK) as server:
        result = await check(f"http://127.0.0.1:{server.port}/", keyword="가" * 500)
    assert result.error == f"the page does not contain “{'가' * 80}…”"


async def test_a_keyword_is_enough_of_a_page_that_never_ends() -> None:
    async def endless(request: Request, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: wel")
        await writer.drain()
        writer.write(b"come\n\n")
        await asyncio.Event().wait()

    async with site(endless) as server:
        assert (await check(f"http://127.0.0.1:{server.port}/", keyword="welcome")).ok


async def test_without_a_keyword_nothing_but_headers_is_waited_for() -> None:
    async def stalled(request: Request, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Encoding: br\r\nContent-Length: 99\r\n\r\n")
        await asyncio.Event().wait()

    async with site(stalled) as server:
        assert (await check(f"http://127.0.0.1:{server.port}/")).ok


# Failures


async def _wait_for_ever(request: Request, writer: asyncio.StreamWriter) -> None:
    await asyncio.Event().wait()


async def _drip_headers(request: Request, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\n")
    for number in range(10_000):
        writer.write(b"X-%d: x\r\n" % number)
        await writer.drain()
        await asyncio.sleep(0.02)


async def _drip_body(request: Request, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
    for _ in range(10_000):
        writer.write(b"x")
        await writer.drain()
        await asyncio.sleep(0.02)


async def _drip_informational(request: Request, writer: asyncio.StreamWriter) -> None:
    for _ in range(10_000):
        writer.write(b"HTTP/1.1 103 Early Hints\r\n\r\n")
        await writer.drain()
        await asyncio.sleep(0.02)


@pytest.mark.parametrize("answer", [_wait_for_ever, _drip_headers, _drip_body, _drip_informational])
async def test_one_deadline_ends_a_slow_drip(answer: Answer) -> None:
    started_s = time.monotonic()
    async with site(answer) as server:
        result = await check(f"http://127.0.0.1:{server.port}/?key={SECRET}", timeout_s=0.5, keyword="never")
    assert said(result) == ("timeout", "no answer within 0.5 s")
    assert time.monotonic() - started_s < 10
    assert result.response_ms is None


async def test_one_deadline_holds_for_all_redirects_together() -> None:
    async def around(request: Request, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(0.4)
        writer.write(b"HTTP/1.1 302 Found\r\nLocation: /\r\nContent-Length: 0\r\n\r\n")

    async with site(around) as server:
        result = await check(f"http://127.0.0.1:{server.port}/", timeout_s=1)
    assert said(result) == ("timeout", "no answer within 1 s")
    assert 1 <= len(server.requests) <= 3


async def test_one_deadline_holds_for_name_servers_and_handshakes_too() -> None:
    async def never(host: str, port: int) -> Sequence[str]:
        await asyncio.Event().wait()
        return []

    async with site(_wait_for_ever) as server:
        for url, by in (
            ("http://site.test/", AddressGuard(LOOPBACK, resolver=never)),
            (f"https://site.test:{server.port}/", guard()),
        ):
            result = await check(url, by=by, timeout_s=0.3)
            assert said(result) == ("timeout", "no answer within 0.3 s")


def _reset(request: Request, writer: asyncio.StreamWriter) -> bytes:
    connection = writer.get_extra_info("socket")
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
    return b""


async def _endless_header(request: Request, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nX: ")
    while not writer.is_closing():
        writer.write(b"x" * 16_384)
        await writer.drain()


async def _endless_headers(request: Request, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\n")
    while not writer.is_closing():
        writer.write(b"X: xxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\r\n" * 500)
        await writer.drain()


@pytest.mark.parametrize(
    ("answer", "reason", "error"),
    [
        (b"", "protocol", "the connection was closed without an answer"),
        (b"HTTP/1.1 200 OK\r\nX: y\r\n", "protocol", "the connection was closed without an answer"),
        (b"SSH-2.0-OpenSSH_9.2\r\n\r\n", "protocol", "the answer is not HTTP"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: many\r\n\r\n", "protocol", "the answer is not HTTP"),
        (b"HTTP/1.1 200 OK\r\nno header\r\n\r\n", "protocol", "the answer is not HTTP"),
        (b"\0" * 100, "protocol", "the answer is not HTTP"),
        (_endless_header, "protocol", "the answer's headers are too long"),
        (_endless_headers, "protocol", "the answer's headers are too long"),
        (_reset, "reset", "connection reset"),
    ],
)
async def test_what_is_no_answer_fails_in_plain_words(answer: Answer, reason: str, error: str) -> None:
    async with site(answer) as server:
        result = await check(f"http://127.0.0.1:{server.port}/?key={SECRET}")
    assert said(result) == (reason, error)
    assert result.status_code is None


async def test_an_endless_header_is_not_kept() -> None:
    tracemalloc.start()
    try:
        async with site(_endless_header) as server:
            result = await check(f"http://127.0.0.1:{server.port}/")
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert result.error == "the answer's headers are too long"
    assert peak < 8 * 1024 * 1024


@pytest.mark.parametrize("kind", ["http", "tcp"])
async def test_where_nobody_listens_connections_are_refused(kind: str) -> None:
    async with site(OK) as server:
        port = server.port
    result = await check(f"{kind}://127.0.0.1:{port}", kind=kind)
    assert said(result) == ("refused", "connection refused")
    assert (result.status_code, result.response_ms) == (None, None)


@pytest.mark.parametrize("kind", ["http", "tcp"])
@pytest.mark.parametrize(
    ("failure", "error"),
    [
        (socket.EAI_NONAME, "host not found"),
        (socket.EAI_NODATA, "host not found"),
        (socket.EAI_AGAIN, "the name servers gave no answer"),
        (socket.EAI_FAIL, "the name servers gave no answer"),
    ],
)
async def test_a_host_that_is_not_found(kind: str, failure: int, error: str) -> None:
    async def fail(host: str, port: int) -> Sequence[str]:
        raise socket.gaierror(failure, f"about {host}")

    result = await check(f"{kind}://site.test:80", kind=kind, by=AddressGuard(resolver=fail))
    assert said(result) == ("dns", error)


class Careless(AddressGuard):
    """Leads everybody to an address to which no network leads."""

    async def resolve(self, host: str, port: int) -> list[str]:
        return ["255.255.255.255"]


@pytest.mark.parametrize("kind", ["http", "tcp"])
async def test_a_network_that_is_not_there(kind: str) -> None:
    result = await check(f"{kind}://site.test:9", kind=kind, by=Careless())
    assert said(result) == ("unreachable", "network unreachable")


async def test_a_defect_is_no_exception(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    async def broken(host: str, port: int) -> Sequence[str]:
        raise ZeroDivisionError

    result = await check("http://site.test/", by=AddressGuard(resolver=broken))
    assert said(result) == ("protocol", "the check could not be carried out")
    assert "ZeroDivisionError" in caplog.text


# Connections


async def test_the_next_address_is_tried_when_one_takes_no_connection() -> None:
    async with site(OK) as server:
        addresses = guard(site_test=["127.0.0.9", "::1", "127.0.0.1"])
        assert (await check(f"http://site.test:{server.port}/", by=addresses)).ok
        assert (await check(f"tcp://site.test:{server.port}", kind="tcp", by=addresses)).ok
    result = await check(f"http://site.test:{server.port}/", by=addresses)
    assert said(result) == ("refused", "connection refused")


async def test_of_many_addresses_four_are_tried() -> None:
    async with site(OK, host="127.0.1.4") as server:
        for first, ok in ((1, True), (0, False)):
            addresses = guard(site_test=[f"127.0.1.{number}" for number in range(first, 40)])
            assert (await check(f"http://site.test:{server.port}/", by=addresses)).ok is ok
            assert (await check(f"tcp://site.test:{server.port}", kind="tcp", by=addresses)).ok is ok


@pytest.mark.parametrize("kind", ["http", "tcp"])
async def test_an_address_that_is_silent_takes_its_share_of_the_time_only(kind: str) -> None:
    """Its queue of connections is full, so the kernel answers nothing."""
    with socket.create_server(("127.0.0.9", 0), backlog=0) as full, contextlib.ExitStack() as waiting:
        port = full.getsockname()[1]
        for _ in range(4):
            filler = waiting.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(("127.0.0.9", port))
        async with site(OK, port=port) as server:
            addresses = guard(site_test=["127.0.0.9", "127.0.0.1"])
            result = await check(f"{kind}://site.test:{port}", kind=kind, by=addresses, timeout_s=4)
            assert said(result) == (None, "")
            assert result.response_ms is not None
            assert 1900 <= result.response_ms < 4000
            assert result.phases.connect_ms is not None
            assert result.phases.connect_ms < 1900
            await eventually(lambda: server.connections == 1)


async def test_a_request_that_was_sent_is_never_sent_to_another_address() -> None:
    async with site(b"", host="127.0.0.1") as first, site(OK, host="127.0.0.2", port=first.port) as second:
        addresses = guard(site_test=["127.0.0.1", "127.0.0.2"])
        result = await check(f"http://site.test:{first.port}/", method="POST", by=addresses)
        assert result.error == "the connection was closed without an answer"
        assert (len(first.requests), second.connections) == (1, 0)


@pytest.mark.parametrize("url", ["tcp://site.test:{}", "tcp://127.0.0.1:{}/"])
async def test_of_kind_tcp_a_connection_is_all_that_is_wanted(url: str) -> None:
    async with site(OK) as server:
        result = await check(url.format(server.port), kind="tcp")
        assert result.ok
        assert result.phases.connect_ms is not None
        assert result.response_ms is not None
        await eventually(lambda: server.connections == 1)
    assert server.requests == []


async def test_a_kind_asks_its_own_urls_only() -> None:
    async with forbidden() as server:
        for kind, url in (("tcp", "http://127.0.0.1:{}/"), ("http", "tcp://127.0.0.1:{}")):
            result = await check(url.format(server.port), kind=kind)
            assert result.reason == "guard"
            assert result.error.startswith("the URL does not begin with")


def _open_files() -> int:
    return len(os.listdir("/proc/self/fd"))


@pytest.mark.parametrize("kind", ["http", "tcp"])
@pytest.mark.parametrize("keyword", ["", "ok", "absent"])
@pytest.mark.parametrize("status", [200, 302, 503])
async def test_a_check_that_has_ended_has_no_connection_open(kind: Any, keyword: str, status: int) -> None:
    """Not even while its probe lives on, and whatever the server has still to say."""

    async def answer(request: Request, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 %d X\r\nLocation: /\r\nContent-Length: 99999\r\n\r\nok" % status + b"." * BODY_MAX)

    async with site(answer) as server:
        probe = Probe(guard(), TRUSTING_NOBODY)
        before = _open_files()
        await probe.run(Target(kind, f"{kind}://127.0.0.1:{server.port}", keyword=keyword, timeout_s=PATIENCE_S))
        await eventually(lambda: server.connections == (4 if status == 302 and kind == "http" else 1))
        await eventually(lambda: _open_files() <= before, PATIENCE_S)
        await probe.aclose()


async def test_a_check_that_is_cancelled_ends_and_leaves_nothing_open() -> None:
    async with site(_wait_for_ever) as server:
        probe = Probe(guard())
        before = _open_files()
        for kind in ("http", "https"):
            target = Target("http", f"{kind}://site.test:{server.port}/", timeout_s=60)
            checks = [asyncio.create_task(probe.run(target)) for _ in range(20)]
            arrived = server.connections + (20 if kind == "http" else 0)
            await eventually(lambda arrived=arrived: server.connections >= arrived and _open_files() > before)
            for one in checks:
                one.cancel()
            done = await asyncio.wait_for(asyncio.gather(*checks, return_exceptions=True), PATIENCE_S)
            assert all(isinstance(outcome, asyncio.CancelledError) for outcome in done)
        await probe.aclose()
    await eventually(lambda: _open_files() <= before, PATIENCE_S)


async def test_hundreds_of_timeouts_leave_nothing_open_and_later_checks_work() -> None:
    answers = iter([_wait_for_ever] * 150)

    def answer(request: Request, writer: asyncio.StreamWriter) -> Any:
        return next(answers)(request, writer) if request.target == "/slow" else OK

    async with site(answer) as server:
        probe = Probe(guard())
        before = _open_files()
        slow = Target("http", f"http://site.test:{server.port}/slow", timeout_s=5)
        results = await asyncio.gather(*[probe.run(slow) for _ in range(150)])
        assert {result.reason for result in results} == {"timeout"}
        assert len(server.requests) == 150
        fine = Target("http", f"http://site.test:{server.port}/fine", timeout_s=PATIENCE_S)
        assert (await probe.run(fine)).ok
        await probe.aclose()
    await eventually(lambda: _open_files() <= before, PATIENCE_S)


def test_on_the_loop_that_nodes_run_on_all_is_the_same() -> None:
    async def words() -> list[tuple[str | None, str]]:
        found = []
        for answer in (OK, b"", _reset, b"nonsense\r\n\r\n"):
            async with site(answer) as server:
                found.append(said(await check(f"http://site.test:{server.port}/", keyword="ok")))
                found.append(said(await check(f"tcp://site.test:{server.port}", kind="tcp")))
        async with site(_wait_for_ever) as server:
            found.append(said(await check(f"http://site.test:{server.port}/", timeout_s=0.5)))
            found.append(said(await check(f"https://site.test:{server.port}/", timeout_s=0.5)))
        for scheme in ("http", "https", "tcp"):
            for host in ("127.0.0.1", "localhost", "nowhere.invalid"):
                url, kind = f"{scheme}://{host}:{server.port}", "tcp" if scheme == "tcp" else "http"
                found.append(said(await check(url, kind=kind, by=AddressGuard())))
                found.append(said(await check(url, kind=kind, by=AddressGuard(LOOPBACK))))
        return found

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as fast, asyncio.Runner() as plain:
        assert fast.run(words()) == plain.run(words())


# TLS


async def test_https_is_measured_and_the_certificates_end_is_told(authority: Authority) -> None:
    tls, certificate = authority.server("site.test", days=(-1, 7))
    async with site(OK, tls=tls) as server:
        result = await check(f"https://site.test:{server.port}/", trusting=authority.trusted())
    assert said(result) == (None, "")
    assert result.phases.tls_ms is not None
    assert result.phases.tls_ms > 0
    assert result.certificate_expires_at_ms == int(certificate.not_valid_after_utc.timestamp()) * 1000
    assert server.requests[0].headers["host"] == f"site.test:{server.port}"


async def test_the_certificates_end_is_told_even_if_the_answer_fails(authority: Authority) -> None:
    tls, certificate = authority.server("site.test")
    for answer in (b"HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n", b"", _wait_for_ever):
        async with site(answer, tls=tls) as server:
            url = f"https://site.test:{server.port}/"
            result = await check(url, trusting=authority.trusted(), timeout_s=2)
        assert result.reason in ("status", "protocol", "timeout")
        assert result.certificate_expires_at_ms == int(certificate.not_valid_after_utc.timestamp()) * 1000


async def test_of_several_certificates_the_end_of_the_first_to_end_is_told(authority: Authority) -> None:
    for first_days, second_days in ((5, 9), (9, 5)):
        tls, early = authority.server("second.test", days=(-1, second_days))
        async with site(OK, tls=tls) as second:
            tls, late = authority.server("first.test", days=(-1, first_days))
            there = f"HTTP/1.1 302 Found\r\nLocation: https://second.test:{second.port}/\r\nContent-Length: 0\r\n\r\n"
            async with site(there.encode(), tls=tls) as first:
                result = await check(
                    f"https://first.test:{first.port}/",
                    trusting=authority.trusted(),
                    by=guard(first_test=["127.0.0.1"], second_test=["127.0.0.1"]),
                )
        assert result.ok
        ends = min(early.not_valid_after_utc, late.not_valid_after_utc)
        assert result.certificate_expires_at_ms == int(ends.timestamp()) * 1000


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
async def test_a_certificate_may_be_for_an_address(authority: Authority, host: str) -> None:
    tls, _ = authority.server(host)
    async with site(OK, tls=tls, host=host) as server:
        url = f"https://[{host}]:{server.port}/" if ":" in host else f"https://{host}:{server.port}/"
        assert said(await check(url, trusting=authority.trusted())) == (None, "")


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"days": (-9, -1)}, "the certificate has expired"),
        ({"days": (1, 9)}, "the certificate is not valid yet"),
        ({"self_signed": True}, "the certificate is self-signed"),
    ],
)
async def test_a_bad_certificate_fails_in_plain_words(authority: Authority, options: Any, error: str) -> None:
    tls, _ = authority.server("site.test", **options)
    async with site(OK, tls=tls) as server:
        result = await check(f"https://site.test:{server.port}/?key={SECRET}", trusting=authority.trusted())
    assert said(result) == ("certificate", error)
    assert server.requests == []


@pytest.mark.parametrize("names_of", [("other.test",), ("127.0.0.1",), ("*.site.test",)])
async def test_a_certificate_must_be_for_the_name_whatever_the_address(
    authority: Authority, names_of: tuple[str, ...]
) -> None:
    tls, _ = authority.server(*names_of)
    async with site(OK, tls=tls) as server:
        result = await check(f"https://site.test:{server.port}/", trusting=authority.trusted())
        assert said(result) == ("certificate", "the certificate is for another host")
        # By its address, the one that is for an address is good.
        result = await check(f"https://127.0.0.1:{server.port}/", trusting=authority.trusted())
        assert result.ok is (names_of == ("127.0.0.1",))


async def test_a_bad_certificate_is_not_made_good_by_another_address(authority: Authority) -> None:
    expired, _ = authority.server("site.test", days=(-9, -1))
    good, _ = authority.server("site.test")
    async with site(OK, tls=expired) as first, site(OK, tls=good, host="127.0.0.2", port=first.port) as second:
        by = guard(site_test=["127.0.0.1", "127.0.0.2"])
        result = await check(f"https://site.test:{first.port}/", by=by, trusting=authority.trusted())
        assert said(result) == ("certificate", "the certificate has expired")
        assert second.connections == 0


async def test_who_is_trusted_without_being_told_is_whom_the_machine_trusts(
    authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    tls, _ = authority.server("site.test", strict=False)
    async with site(OK, tls=tls) as server:
        target = Target("http", f"https://site.test:{server.port}/", timeout_s=PATIENCE_S)
        probe = Probe(guard())
        assert said(await probe.run(target)) == ("certificate", "the certificate's issuer is not trusted")
        await probe.aclose()
        # Where OpenSSL is told that the machine keeps them.
        path = authority.folder / "authority.pem"
        path.write_bytes(authority.certificate.public_bytes(Encoding.PEM))
        monkeypatch.setenv("SSL_CERT_FILE", str(path))
        probe = Probe(guard())
        assert (await probe.run(target)).ok
        await probe.aclose()


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (b"220 mail.example.com ESMTP ready, and that for a long time to come\r\n", "the server does not speak TLS"),
        (b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n", "the server does not speak TLS"),
        # Alerts (RFC 8446, section 6): protocol_version, handshake_failure.
        (b"\x15\x03\x03\x00\x02\x02\x46", "the server's TLS is too old"),
        (b"\x15\x03\x03\x00\x02\x02\x28", "the TLS handshake failed"),
        (b"", "the TLS handshake failed"),
    ],
)
async def test_a_handshake_that_fails_is_told_in_plain_words(answer: bytes, error: str) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(10_000)
        writer.write(answer)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    result = await check(f"https://site.test:{server.sockets[0].getsockname()[1]}/")
    server.close()
    assert said(result) == ("tls", error)


# Redirects


def redirect(to: str, status: int = 302) -> bytes:
    return f"HTTP/1.1 {status} Elsewhere\r\nLocation: {to}\r\nContent-Length: 0\r\n\r\n".encode()


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize(
    "to", ["/there?x=y#z", "there?x=y", "//site.test:{port}/there?x=y", "http://127.0.0.1:{port}/there?x=y"]
)
async def test_a_redirect_is_followed(status: int, to: str) -> None:
    def answer(request: Request, writer: asyncio.StreamWriter) -> bytes:
        return OK if request.target == "/there?x=y" else redirect(to.format(port=server.port), status)

    async with site(answer) as server:
        result = await check(f"http://site.test:{server.port}/here", keyword="ok")
    assert (result.ok, result.status_code) == (True, 200)
    assert [request.target for request in server.requests] == ["/here", "/there?x=y"]
    assert server.connections == 2


@pytest.mark.parametrize(("count", "limit", "followed"), [(3, 3, True), (4, 3, False), (1, 1, True), (2, 1, False)])
async def test_redirects_are_followed_as_often_as_allowed(count: int, limit: int, followed: bool) -> None:
    def answer(request: Request, writer: asyncio.StreamWriter) -> bytes:
        number = int(request.target[1:])
        return OK if number == count else redirect(f"/{number + 1}")

    async with site(answer) as server:
        result = await check(f"http://site.test:{server.port}/0", redirects=limit)
    if followed:
        assert (result.ok, result.status_code) == (True, 200)
    else:
        assert said(result) == ("redirect", f"more than {limit} redirects")
        assert (result.status_code, result.response_ms) == (302, None)
    assert len(server.requests) == (count if followed else limit) + 1


async def test_a_redirect_may_be_the_answer() -> None:
    async with forbidden() as elsewhere:
        there = f"http://127.0.0.1:{elsewhere.port}/"
        async with site(redirect(there)) as server:
            url = f"http://site.test:{server.port}/"
            assert (await check(url, expected=((302, 302),))).ok
            result = await check(url, redirects=0)
            assert said(result) == ("status", "answered 302, expected 200–299")
        async with site(b"HTTP/1.1 304 Not Modified\r\nLocation: " + there.encode() + b"\r\n\r\n") as server:
            result = await check(f"http://site.test:{server.port}/")
            assert said(result) == ("status", "answered 304, expected 200–299")


@pytest.mark.parametrize(
    ("status", "method", "then"),
    [
        *[(status, "GET", "GET") for status in (301, 302, 303, 307, 308)],
        *[(status, "HEAD", "HEAD") for status in (301, 302, 303, 307, 308)],
        *[(status, "POST", "GET") for status in (301, 302, 303)],
        *[(status, "POST", "POST") for status in (307, 308)],
    ],
)
async def test_a_redirects_method_is_as_in_browsers(status: int, method: str, then: str) -> None:
    def answer(request: Request, writer: asyncio.StreamWriter) -> bytes:
        return OK if request.target == "/there" else redirect("/there", status)

    async with site(answer) as server:
        assert (await check(f"http://site.test:{server.port}/", method=method, content=b"x")).ok
    assert [(request.method, request.body) for request in server.requests] == [
        (method, b"x" if method == "POST" else b""),
        (then, b"x" if then == "POST" else b""),
    ]


async def test_headers_of_ones_own_stay_at_the_first_origin() -> None:
    def back(request: Request, writer: asyncio.StreamWriter) -> bytes:
        return redirect(f"http://site.test:{first.port}/end")

    def on(request: Request, writer: asyncio.StreamWriter) -> bytes:
        places = {"/": "/again", "/again": f"http://site.test:{second.port}/"}
        return redirect(places[request.target]) if request.target in places else OK

    async with site(on) as first, site(back) as second:
        assert (await check(f"http://site.test:{first.port}/")).ok
    sent = {request.target: request.headers.get("authorization") for request in first.requests}
    assert sent == {"/": SECRET, "/again": SECRET, "/end": SECRET}
    assert [request.headers.get("authorization") for request in second.requests] == [None]


@pytest.mark.parametrize("to", ["http://other.test:{port}/", "http://site.test.:{other}/", "http://127.0.0.1:{port}/"])
async def test_another_host_or_port_is_another_origin(to: str) -> None:
    def answer(request: Request, writer: asyncio.StreamWriter) -> bytes:
        return OK if request.target == "/" else redirect(to.format(port=server.port, other=other.port))

    async with site(answer) as server, site(OK) as other:
        result = await check(f"http://site.test:{server.port}/go", by=guard(other_test=["127.0.0.1"]))
    assert result.ok
    (last,) = [request for request in server.requests + other.requests if request.target == "/"]
    assert "authorization" not in last.headers


async def test_from_https_no_redirect_leads_to_http(authority: Authority) -> None:
    tls, _ = authority.server("site.test")
    async with forbidden() as elsewhere, site(redirect(f"http://127.0.0.1:{elsewhere.port}/"), tls=tls) as server:
        result = await check(f"https://site.test:{server.port}/", trusting=authority.trusted())
        assert said(result) == ("redirect", "the redirect leads from https to http")


async def test_from_http_a_redirect_may_lead_to_https(authority: Authority) -> None:
    tls, _ = authority.server("site.test")
    async with site(OK, tls=tls) as secure, site(redirect(f"https://site.test:{secure.port}/")) as plain:
        result = await check(f"http://site.test:{plain.port}/", trusting=authority.trusted())
    assert result.ok
    assert result.phases.tls_ms is not None
    assert result.certificate_expires_at_ms is not None
    assert "authorization" not in secure.requests[0].headers


# What is never asked

# An address of this machine in the spellings that a resolver or a kernel takes; each would reach `forbidden`.
SPELLINGS = (
    "127.0.0.1", "127.0.0.1.", "127.1", "127.255.0.3", "2130706433", "0x7f000001", "0x7f.1", "0177.0.0.1",
    "017700000001", "１２７．０．０．１", "127。0。0。1", "0", "0.0.0.0", "[::1]", "[0::1]", "[::]", "[::ffff:7f00:1]",
    "[::ffff:127.0.0.1]",
)  # fmt: skip
ODD = (
    "file:///etc/passwd", "file://127.0.0.1:{port}/etc/passwd", "ftp://127.0.0.1:{port}/",
    "gopher://127.0.0.1:{port}/_INFO", "http://user:word@127.0.0.1:{port}/", "http://example.com@127.0.0.1:{port}/",
    "http://127.0.0.1:{port}\\@example.com/", "http://127.0.0.1:{port}#@example.com/", "http://[::1%25lo]:{port}/",
    "http://127.0.0.1:{port} /", "//127.0.0.1:{port}/", "http://[64:ff9b::7f00:1]:{port}/", "http://[::7f00:1]:{port}/",
    "http://[2002:7f00:1::]:{port}/", "http://169.254.169.254:{port}/", "http://[fe80::1]:{port}/",
    "http://10.0.0.1:{port}/", "",
)  # fmt: skip
FORBIDDEN = (*[f"http://{spelling}:{{port}}/" for spelling in SPELLINGS], *ODD)


@pytest.mark.parametrize("spelling", [spelling for spelling in SPELLINGS if spelling.isascii()])
async def test_the_forbidden_server_could_be_reached(spelling: str) -> None:
    """What the tests below rest on: without a guard, each of these leads to the server that must see nothing."""
    async with forbidden() as server:
        with socket.create_connection((spelling.strip("[]").removesuffix("."), server.port), timeout=PATIENCE_S):
            await eventually(lambda: server.connections == 1)
        server.connections = 0


@pytest.mark.parametrize("url", [*FORBIDDEN, "http://localhost:{port}/", "http://LOCALHOST.:{port}/"])
async def test_what_is_forbidden_sees_no_connection(url: str) -> None:
    async with forbidden() as server:
        result = await check(url.format(port=server.port), by=AddressGuard())
        assert result.reason == "guard"
        assert result.error.startswith("the URL ")
        assert (result.status_code, result.response_ms) == (None, None)


@pytest.mark.parametrize("url", [f"tcp://{spelling}:{{port}}" for spelling in (*SPELLINGS, "localhost")])
async def test_what_is_forbidden_sees_no_connection_of_kind_tcp_either(url: str) -> None:
    async with forbidden() as server:
        assert (await check(url.format(port=server.port), by=AddressGuard(), kind="tcp")).reason == "guard"


@pytest.mark.parametrize(
    "to", [*[url for url in FORBIDDEN if url and not url.startswith("//")], "http://localhost:{port}/"]
)
async def test_no_redirect_leads_to_what_is_forbidden(to: str) -> None:
    """The first server is one that may be asked: 127.7.7.7 stands for any address in the world."""
    async with forbidden() as server, site(redirect(to.format(port=server.port)), host="127.7.7.7") as allowed:
        by = AddressGuard([ipaddress.ip_network("127.7.7.7/32")])
        result = await check(f"http://127.7.7.7:{allowed.port}/", by=by)
        assert result.reason in ("guard", "redirect")
        assert result.error.startswith("the redirect ")
        assert len(allowed.requests) == 1


async def test_the_last_redirect_is_judged_as_the_first() -> None:
    def answer(request: Request, writer: asyncio.StreamWriter) -> bytes:
        number = int(request.target[1:])
        return redirect(f"/{number + 1}" if number < 2 else f"http://127.0.0.1:{server.port}/")

    async with forbidden() as server, site(answer, host="127.7.7.7") as allowed:
        by = AddressGuard([ipaddress.ip_network("127.7.7.7/32")])
        result = await check(f"http://127.7.7.7:{allowed.port}/0", by=by)
        assert said(result) == ("guard", "the redirect leads to an address that is not public")
        assert len(allowed.requests) == 3


@pytest.mark.parametrize("to", ["http://[", "http://a:b:c/", "https://", "http://\x01/", "http://[::1"])
async def test_a_redirect_to_no_url_fails_in_plain_words(to: str) -> None:
    async with site(redirect(to)) as server:
        result = await check(f"http://site.test:{server.port}/")
    assert result.reason in ("guard", "redirect")
    assert result.error.startswith("the redirect ")


class Rebinding:
    """A name server that answers with one address first and with another from then on, whoever asks in this process."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, first: str, then: str) -> None:
        self.asked = 0
        look_up = socket.getaddrinfo

        def getaddrinfo(host: Any, *arguments: Any, **options: Any) -> Any:
            if host in ("rebind.test", b"rebind.test"):
                self.asked += 1
                host = first if self.asked == 1 else then
            return look_up(host, *arguments, **options)

        monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)


@pytest.mark.parametrize("kind", ["http", "tcp"])
async def test_a_name_that_leads_elsewhere_the_second_time_gains_nothing(
    monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """127.7.7.7 may be asked and stands for a public address; at the same port of 127.0.0.1 is what must not be."""
    async with site(OK) as secret, site(OK, host="127.7.7.7", port=secret.port) as public:
        by = AddressGuard([ipaddress.ip_network("127.7.7.7/32")])
        rebinding = Rebinding(monkeypatch, "127.7.7.7", "127.0.0.1")
        assert (await check(f"{kind}://rebind.test:{secret.port}", kind=kind, by=by)).ok
        assert rebinding.asked == 1
        await eventually(lambda: public.connections == 1)
        result = await check(f"{kind}://rebind.test:{secret.port}", kind=kind, by=by)
        assert said(result) == ("guard", "the URL leads to an address that is not public")
        assert rebinding.asked == 2
        assert await secret.untouched()
    if kind == "http":
        assert public.requests[0].headers["host"] == f"rebind.test:{secret.port}"


async def test_a_name_that_rebinds_from_a_really_public_address_gains_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    async with forbidden() as secret:
        rebinding = Rebinding(monkeypatch, "192.31.196.1", "127.0.0.1")  # AS112: public, and nobody listens there
        result = await check(f"http://rebind.test:{secret.port}/", by=AddressGuard(), timeout_s=1)
        assert result.reason in ("timeout", "unreachable", "refused")
        assert rebinding.asked == 1


async def test_a_redirect_asks_the_name_server_again_and_judges_again(monkeypatch: pytest.MonkeyPatch) -> None:
    async with site(OK) as secret, site(redirect("/again"), host="127.7.7.7", port=secret.port) as public:
        by = AddressGuard([ipaddress.ip_network("127.7.7.7/32")])
        rebinding = Rebinding(monkeypatch, "127.7.7.7", "127.0.0.1")
        result = await check(f"http://rebind.test:{secret.port}/", by=by)
        assert said(result) == ("guard", "the redirect leads to an address that is not public")
        assert (rebinding.asked, len(public.requests)) == (2, 1)
        assert await secret.untouched()


async def test_one_private_address_among_public_ones_is_one_too_many() -> None:
    async with forbidden() as server:
        for addresses in (["127.0.0.1", "8.8.8.8"], ["8.8.8.8", "127.0.0.1"], ["8.8.8.8", "::ffff:7f00:1"]):
            by = AddressGuard(resolver=names(site_test=addresses))
            assert (await check(f"http://site.test:{server.port}/", by=by)).reason == "guard"


async def test_its_own_redis_is_never_asked(redis_server: RedisServer) -> None:
    """Whatever an operator allows. A Redis would take a request's lines for commands."""

    def connections() -> int:
        return int(redis_server.client.info("stats")["total_connections_received"])

    before = connections()
    urls = [
        f"{scheme}://{host}:{redis_server.port}"
        for scheme in ("http", "https", "tcp")
        for host in (*SPELLINGS, "localhost", "alias.test", "redis.test")
    ]
    for denied in ("127.0.0.1", "redis.test", None):
        by = AddressGuard(
            EVERYTHING,
            denied=[(denied, redis_server.port)],
            resolver=names(localhost=["127.0.0.1", "::1"], alias_test=["127.0.0.1"], redis_test=["127.0.0.1"]),
        )
        for url in urls:
            result = await check(url, by=by, kind="tcp" if url.startswith("tcp") else "http")
            assert result.reason == "guard"
        async with site(redirect(f"http://127.1:{redis_server.port}/")) as server:
            result = await check(f"http://127.0.0.1:{server.port}/", by=by)
            assert said(result) == ("guard", "the redirect leads to c2c itself")
    assert connections() == before
    # Another guard would have reached it.
    assert (await check(f"tcp://127.0.0.1:{redis_server.port}", kind="tcp")).ok
    await eventually(lambda: connections() == before + 1)


async def test_its_own_port_is_never_asked() -> None:
    async with forbidden() as node:
        by = AddressGuard(EVERYTHING, denied=[(None, node.port)])
        for host in (*SPELLINGS, "localhost", socket.gethostname()):
            assert (await check(f"http://{host}:{node.port}/", by=by)).reason in ("guard", "dns")


# Bombs


@dataclass
class Peak:
    bytes: int = 0


@contextlib.contextmanager
def peak_of_memory() -> Any:
    """How much memory Python asked for at most, beyond what it had before; zlib's output included."""
    peak = Peak()
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        yield peak
        peak.bytes = tracemalloc.get_traced_memory()[1] - before
    finally:
        tracemalloc.stop()


def bomb(megabytes: int, wbits: int) -> bytes:
    deflate = zlib.compressobj(9, wbits=wbits)
    zeros = b"\0" * (1 << 20)
    return b"".join([*[deflate.compress(zeros) for _ in range(megabytes)], deflate.flush()])


@pytest.mark.parametrize(("encoding", "wbits"), [("gzip", 31), ("deflate", 15), ("deflate", -15)])
async def test_a_bomb_does_not_go_off(encoding: str, wbits: int) -> None:
    """256 MiB in 256 KiB."""
    answer = page(bomb(256, wbits), f"Content-Encoding: {encoding}")
    assert len(answer) < 300_000
    probe = Probe(guard())
    async with site(answer) as server:
        target = Target("http", f"http://127.0.0.1:{server.port}/", keyword="x", timeout_s=PATIENCE_S)
        await probe.run(target)  # what is loaded at the first use is not counted
        with peak_of_memory() as peak:
            result = await probe.run(target)
    await probe.aclose()
    assert said(result) == ("keyword", "the first 64 KiB of the page do not contain “x”")
    assert peak.bytes < 2 * 1024 * 1024


async def test_a_stream_that_decompresses_to_nothing_has_an_end() -> None:
    """Empty blocks of deflate, five bytes each, for ever: 64 KiB never come together."""
    sent = 0

    async def endless(request: Request, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Encoding: deflate\r\n\r\n\x78\x9c")
        while not writer.is_closing():
            writer.write(b"\x00\x00\x00\xff\xff" * 3000)
            sent += 15_000
            await writer.drain()

    async with site(endless) as server:
        result = await check(f"http://127.0.0.1:{server.port}/", keyword="x", timeout_s=60)
    assert said(result) == ("keyword", "the first 64 KiB of the page do not contain “x”")


async def test_a_page_of_single_bytes_does_not_stop_the_loop() -> None:
    """64 KiB in chunks of one byte: a packet holds ten thousand of them."""
    answer = chunked(*[b"x"] * BODY_MAX)
    waits_s: list[float] = []

    async def watch() -> None:
        while True:
            before_s = time.perf_counter()
            await asyncio.sleep(0)
            waits_s.append(time.perf_counter() - before_s)

    async with site(answer) as server:
        watcher = asyncio.create_task(watch())
        result = await check(f"http://127.0.0.1:{server.port}/", keyword="y", timeout_s=60)
        watcher.cancel()
        await asyncio.gather(watcher, return_exceptions=True)
    assert said(result) == ("keyword", "the page does not contain “y”")
    # Others had their turn as often as chunks came.
    assert len(waits_s) > BODY_MAX / 2
