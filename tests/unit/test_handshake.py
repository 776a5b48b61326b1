"""The opening handshake: which requests become a WebSocket, and the bytes of each answer."""

from __future__ import annotations

from typing import Any

import pytest

from c2c.handshake import BadHandshake, accept_key, refusal, switching_protocols, websocket_scope

# The example of RFC 6455, section 1.3.
KEY = b"dGhlIHNhbXBsZSBub25jZQ=="
ACCEPT = b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
GOOD = [
    (b"host", b"localhost"),
    (b"upgrade", b"websocket"),
    (b"connection", b"Upgrade"),
    (b"sec-websocket-key", KEY),
    (b"sec-websocket-version", b"13"),
]


def without(name: bytes) -> list[tuple[bytes, bytes]]:
    return [header for header in GOOD if header[0] != name]


def test_the_key_of_the_rfc_has_the_answer_of_the_rfc() -> None:
    assert accept_key("GET", "1.1", GOOD) == ACCEPT


@pytest.mark.parametrize(
    "more",
    [(b"content-length", b"0"), (b"x", b"y"), (b"x", b"y" * 8191)],
    ids=["an empty body", "a header of no meaning", "a line of 8 KiB"],
)
def test_what_does_no_harm_is_let_through(more: tuple[bytes, bytes]) -> None:
    assert accept_key("GET", "1.1", [*GOOD, more]) == ACCEPT


@pytest.mark.parametrize(
    ("method", "http_version", "headers", "status"),
    [
        ("POST", "1.1", GOOD, 405),
        ("GET", "1.0", GOOD, 505),
        ("GET", "1.1", without(b"sec-websocket-key"), 400),
        ("GET", "1.1", [*GOOD, (b"sec-websocket-key", KEY)], 400),
        ("GET", "1.1", [*without(b"sec-websocket-key"), (b"sec-websocket-key", b"dGhlIHNhbXBsZSBub25j")], 400),
        ("GET", "1.1", [*without(b"sec-websocket-key"), (b"sec-websocket-key", KEY + b"\n")], 400),
        ("GET", "1.1", [*without(b"sec-websocket-key"), (b"sec-websocket-key", b"!" + KEY[1:])], 400),
        ("GET", "1.1", without(b"sec-websocket-version"), 426),
        ("GET", "1.1", [*GOOD, (b"sec-websocket-version", b"8")], 426),
        ("GET", "1.1", [*without(b"sec-websocket-version"), (b"sec-websocket-version", b"8")], 426),
        ("GET", "1.1", [*GOOD, (b"content-length", b"1")], 400),
        ("GET", "1.1", [*GOOD, (b"transfer-encoding", b"chunked")], 400),
        ("GET", "1.1", [*GOOD, (b"x", b"y" * 8192)], 431),
        ("GET", "1.1", [*GOOD, *[(b"x", b"y")] * 124], 431),
    ],
    ids=[
        "POST", "HTTP/1.0", "no key", "two keys", "a short key", "a key with a line end", "a key that is no base64",
        "no version", "two versions", "an old version", "a body", "a chunked body", "a long line", "129 headers",
    ],
)  # fmt: skip
def test_what_is_no_handshake_is_refused(
    method: str, http_version: str, headers: list[tuple[bytes, bytes]], status: int
) -> None:
    with pytest.raises(BadHandshake) as refused:
        accept_key(method, http_version, headers)
    assert refused.value.status == status


def test_128_headers_are_not_too_many() -> None:
    assert accept_key("GET", "1.1", [*GOOD, *[(b"x", b"y")] * 123]) == ACCEPT


def test_another_version_and_method_are_told_what_would_do() -> None:
    """RFC 6455, section 4.4; RFC 9110, section 15.5.6."""
    with pytest.raises(BadHandshake) as version:
        accept_key("GET", "1.1", without(b"sec-websocket-version"))
    assert version.value.headers == ((b"sec-websocket-version", b"13"),)
    with pytest.raises(BadHandshake) as method:
        accept_key("PUT", "1.1", GOOD)
    assert method.value.headers == ((b"allow", b"GET"),)


def http_scope(*headers: tuple[bytes, bytes], scheme: str = "http") -> dict[str, Any]:
    return {"type": "http", "scheme": scheme, "root_path": "", "headers": list(headers), "client": ("127.0.0.1", 1)}


def test_the_scope_is_that_of_the_request_with_its_url_in_parts() -> None:
    scope = websocket_scope(http_scope(), b"/%77s?lang=ko&a=%41")
    assert (scope["type"], scope["scheme"], scope["path"]) == ("websocket", "ws", "/ws")
    assert (scope["raw_path"], scope["query_string"], scope["subprotocols"]) == (b"/%77s", b"lang=ko&a=%41", [])
    assert scope["client"] == ("127.0.0.1", 1)
    assert websocket_scope(http_scope(scheme="https"), b"/ws")["scheme"] == "wss"


def test_subprotocols_are_those_of_all_headers_in_order() -> None:
    headers = [(b"sec-websocket-protocol", b"a, b"), (b"x", b"y"), (b"sec-websocket-protocol", b"c")]
    assert websocket_scope(http_scope(*headers), b"/ws")["subprotocols"] == ["a", "b", "c"]


@pytest.mark.parametrize(("url", "status"), [(b"/ws?\xff", 400), (b"/" + b"a" * 8192, 414)])
def test_a_url_that_is_none_is_refused(url: bytes, status: int) -> None:
    with pytest.raises(BadHandshake) as refused:
        websocket_scope(http_scope(), url)
    assert refused.value.status == status


def test_the_answer_opens_the_websocket_with_the_chosen_subprotocol() -> None:
    head = (
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Accept: " + ACCEPT + b"\r\n"
    )
    assert switching_protocols(ACCEPT, None, []) == head + b"\r\n"
    assert switching_protocols(ACCEPT, "c2c.json", [(b"date", b"now")]) == (
        head + b"Sec-WebSocket-Protocol: c2c.json\r\ndate: now\r\n\r\n"
    )


def test_a_refusal_has_its_body_and_ends_the_connection() -> None:
    answer = refusal(503, [(b"retry-after", b"1"), (b"content-length", b"9"), (b"connection", b"keep-alive")], b"full")
    assert answer == (
        b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 1\r\nconnection: close\r\ncontent-length: 4\r\n\r\nfull"
    )
