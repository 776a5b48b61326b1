"""The opening handshake of a WebSocket (RFC 6455, section 4.2): whether it is one, and the bytes of the answer.

Pure decisions on a request that uvicorn's HTTP parser has read. Letting a WebSocket library read the same bytes once
more, as uvicorn does, is a fifth of what a join costs.
"""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Iterable
from hashlib import sha1
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import unquote

Headers = Iterable[tuple[bytes, bytes]]

_GUID: Final = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_KEY: Final = re.compile(rb"[A-Za-z0-9+/]{22}==")  # 16 bytes in base64
_VERSION: Final = b"13"
_LINE_MAX: Final = 8192
_HEADERS_MAX: Final = 128


class BadHandshake(Exception):
    """A request that can't become a WebSocket; `status` and `headers` are the answer's."""

    def __init__(self, status: HTTPStatus, *headers: tuple[bytes, bytes]) -> None:
        super().__init__(status)
        self.status = status
        self.headers = headers


def accept_key(method: str, http_version: str, headers: Headers) -> bytes:
    """The `Sec-WebSocket-Accept` for a request that asks for a WebSocket by its `Upgrade` and `Connection` headers.

    `headers` have lower-case names. Raises BadHandshake.
    """
    if method != "GET":
        raise BadHandshake(HTTPStatus.METHOD_NOT_ALLOWED, (b"allow", b"GET"))
    if http_version != "1.1":
        raise BadHandshake(HTTPStatus.HTTP_VERSION_NOT_SUPPORTED)
    keys, versions = [], []
    for count, (name, value) in enumerate(headers):
        if count == _HEADERS_MAX or len(name) + len(value) > _LINE_MAX:
            raise BadHandshake(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)
        if name == b"sec-websocket-key":
            keys.append(value)
        elif name == b"sec-websocket-version":
            versions.append(value)
        elif name == b"transfer-encoding" or (name == b"content-length" and value != b"0"):
            raise BadHandshake(HTTPStatus.BAD_REQUEST)  # a handshake has no body
    if versions != [_VERSION]:
        raise BadHandshake(HTTPStatus.UPGRADE_REQUIRED, (b"sec-websocket-version", _VERSION))
    if len(keys) != 1 or _KEY.fullmatch(keys[0]) is None:
        raise BadHandshake(HTTPStatus.BAD_REQUEST)
    return b64encode(sha1(keys[0] + _GUID, usedforsecurity=False).digest())


def websocket_scope(scope: dict[str, Any], url: bytes) -> dict[str, Any]:
    """The ASGI scope of a WebSocket, made of its request's and the URL. Raises BadHandshake."""
    if len(url) > _LINE_MAX:
        raise BadHandshake(HTTPStatus.REQUEST_URI_TOO_LONG)
    if not url.isascii():
        raise BadHandshake(HTTPStatus.BAD_REQUEST)
    raw_path, _, query_string = url.partition(b"?")
    offered = b",".join([value for name, value in scope["headers"] if name == b"sec-websocket-protocol"])
    return {
        **scope,
        "type": "websocket",
        "scheme": "wss" if scope["scheme"] == "https" else "ws",
        "path": scope["root_path"] + unquote(raw_path.decode()),
        "raw_path": scope["root_path"].encode() + raw_path,
        "query_string": query_string,
        "subprotocols": [name.strip() for name in offered.decode("latin-1").split(",")] if offered else [],
    }


def switching_protocols(key: bytes, subprotocol: str | None, headers: Headers) -> bytes:
    """The answer that opens a WebSocket; `key` is what `accept_key` said."""
    chosen = b"" if subprotocol is None else b"Sec-WebSocket-Protocol: %b\r\n" % subprotocol.encode("ascii")
    return (
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Accept: %b\r\n%b%b\r\n" % (key, chosen, _lines(headers))
    )


def refusal(status: int, headers: Headers, body: bytes = b"") -> bytes:
    """An answer that opens nothing, and behind which the connection ends."""
    lines = [(name, value) for name, value in headers if name not in (b"connection", b"content-length")]
    return b"HTTP/1.1 %d %b\r\n%bconnection: close\r\ncontent-length: %d\r\n\r\n%b" % (
        status, HTTPStatus(status).phrase.encode(), _lines(lines), len(body), body,
    )  # fmt: skip


def _lines(headers: Headers) -> bytes:
    return b"".join([b"%b: %b\r\n" % header for header in headers])
