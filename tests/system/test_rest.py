"""REST as protocol.md promises it: shapes, the envelope also where nothing is right, limits, and what is counted."""

from __future__ import annotations

import asyncio
import itertools
import json
import re
import signal
import socket
import struct
import time
from collections.abc import Iterator
from contextlib import AsyncExitStack, closing
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
from websockets.asyncio.client import connect

from c2c.metrics import Metrics
from c2c.scripts import load_scripts
from tests.conftest import StartNode
from tests.support import NodeProcess, RedisServer, Talker, contiguous, eventually, talk

KIB = 1024
_MADE_UP = re.compile(r"[a-z0-9]{8}")
_room_numbers = itertools.count()


@pytest.fixture(scope="module")
def redis_of_module() -> Iterator[RedisServer]:
    with RedisServer() as server:
        yield server


@pytest.fixture(scope="module")
def node(redis_of_module: RedisServer) -> Iterator[NodeProcess]:
    with NodeProcess(redis_of_module.url, presence_ttl_s=2, grace_s=1) as node:
        yield node
        assert "Traceback" not in node.log, node.log


@pytest.fixture(scope="module")
def http(node: NodeProcess) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=node.url, timeout=10) as client:
        yield client


@pytest.fixture
def room(node: NodeProcess) -> str:
    return node.open_room(f"room{next(_room_numbers)}")


def get(http: httpx.Client, path: str, **options: Any) -> httpx.Response:
    """For asynchronous tests, which may wait for a node: it is another process."""
    return http.get(path, **options)


def post(http: httpx.Client, path: str, **options: Any) -> httpx.Response:
    return http.post(path, **options)


def envelope(answer: httpx.Response) -> dict[str, Any]:
    """The whole answer, whose form must be that of all answers."""
    assert answer.headers["content-type"] == "application/json"
    whole: dict[str, Any] = answer.json()
    assert whole.keys() == {"success", "data", "message", "error", "timestamp"}
    assert isinstance(whole["message"], str)
    moment = datetime.fromisoformat(whole["timestamp"].replace("Z", "+00:00"))
    assert re.fullmatch(r"[\d-]{10}T[\d:]{8}\.\d{3}Z", whole["timestamp"])
    assert abs((datetime.now(UTC) - moment).total_seconds()) < 60
    return whole


def data(answer: httpx.Response, status: int = 200) -> Any:
    """The data of a success."""
    assert answer.status_code == status, answer.text
    whole = envelope(answer)
    assert (whole["success"], whole["error"]) == (True, None)
    return whole["data"]


def refusal(answer: httpx.Response, status: int, code: str) -> dict[str, Any]:
    """The details of an error."""
    assert answer.status_code == status, answer.text
    whole = envelope(answer)
    assert (whole["success"], whole["data"]) == (False, None)
    assert whole["error"].keys() == {"code", "message", "details"}
    assert whole["error"]["code"] == code
    assert whole["message"] == whole["error"]["message"] != ""
    details: dict[str, Any] = whole["error"]["details"]
    return details


# Opening rooms


def test_a_room_is_opened_with_an_id_made_up_and_its_creator_in_it(
    http: httpx.Client, redis_of_module: RedisServer
) -> None:
    opened = data(http.post("/api/rooms", json={"creatorName": "홍길동"}), 201)
    assert opened.keys() == {"roomId", "kind"}
    assert opened["kind"] == "chat"
    assert _MADE_UP.fullmatch(opened["roomId"])
    assert redis_of_module.client.smembers(f"room:{opened['roomId']}:members") == {"홍길동"}
    shown = data(http.get(f"/api/rooms/{opened['roomId']}"))
    assert abs(datetime.fromisoformat(shown.pop("createdAt").replace("Z", "+00:00")).timestamp() - time.time()) < 60
    assert len(shown.pop("epoch")) > 0
    assert shown == {
        "roomId": opened["roomId"], "kind": "chat", "title": "", "status": "active", "memberCount": 1,
        "members": ["홍길동"], "presence": {"홍길동": "offline"}, "seq": 0,
    }  # fmt: skip


def test_a_room_is_opened_as_wanted(http: httpx.Client) -> None:
    wanted = {"roomId": f"방:{next(_room_numbers)}", "creatorName": "kim", "kind": "chat", "title": "제목 😀"}
    assert data(http.post("/api/rooms", json=wanted), 201) == {"roomId": wanted["roomId"], "kind": "chat"}
    assert data(http.get(f"/api/rooms/{wanted['roomId']}"))["title"] == "제목 😀"


def test_without_a_name_the_creator_is_a_guest(http: httpx.Client) -> None:
    room_id = data(http.post("/api/rooms", json={}), 201)["roomId"]
    assert data(http.get(f"/api/rooms/{room_id}"))["members"] == ["guest"]


def test_a_hundred_rooms_made_up_at_once_are_a_hundred_rooms(http: httpx.Client) -> None:
    ids = {data(http.post("/api/rooms", json={}), 201)["roomId"] for _ in range(100)}
    assert len(ids) == 100


def test_a_room_that_is_there_is_not_opened_again(http: httpx.Client, room: str) -> None:
    before = data(http.get(f"/api/rooms/{room}"))
    refusal(http.post("/api/rooms", json={"roomId": room, "creatorName": "thief"}), 409, "ROOM_EXISTS")
    assert data(http.get(f"/api/rooms/{room}")) == before


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"roomId": "a b"}, "roomId"),
        ({"roomId": 7}, "roomId"),
        ({"creatorName": "a/b"}, "creatorName"),
        ({"creatorName": "x" * 65}, "creatorName"),
        ({"kind": "party"}, "kind"),
        ({"kind": 7}, "kind"),
        ({"title": "x" * 201}, "title"),
        ({"title": None}, "title"),
        ({"surplus": 1}, "surplus"),
    ],
)
def test_what_a_room_can_not_be_is_a_bad_value(http: httpx.Client, body: dict[str, Any], field: str) -> None:
    assert refusal(http.post("/api/rooms", json=body), 422, "BAD_VALUE")["field"] == field


async def test_the_creator_leaves_after_the_lease_unless_a_connection_took_over(redis_of_module: RedisServer) -> None:
    with NodeProcess(redis_of_module.url, creator_lease_s=4, renew_interval_s=0.5) as node:
        taken, left = node.open_room("taken-over", "owner"), node.open_room("left-alone", "owner")
        assert node.get(f"/api/rooms/{left}")[1]["data"]["members"] == ["owner"]
        async with talk(node.ws_url) as owner, talk(node.ws_url) as watcher:
            await owner.join(taken, "owner")
            await watcher.join(taken, "watcher")
            await watcher.join(left, "watcher")
            gone = await watcher.wait_for("user_left")
            assert (gone["roomId"], gone["userId"], gone["reason"]) == (left, "owner", "lost")
            assert node.get(f"/api/rooms/{left}")[1]["data"]["members"] == ["watcher"]
            assert node.get(f"/api/rooms/{taken}")[1]["data"]["members"] == ["owner", "watcher"]
            await owner.ask("leave", roomId=taken)
            gone = await watcher.wait_for("user_left", 2)
            assert (gone["roomId"], gone["userId"], gone["reason"]) == (taken, "owner", "left")
        nobody = node.open_room("nobody-looks", "owner")
        await eventually(lambda: node.get(f"/api/rooms/{nobody}")[1]["data"]["members"] == [])
        assert "Traceback" not in node.log


# Looking at rooms


def test_rooms_are_listed_in_pages_each_once(http: httpx.Client, node: NodeProcess) -> None:
    made = {node.open_room(f"listed{next(_room_numbers)}") for _ in range(7)}
    listed: list[dict[str, Any]] = []
    while True:
        page = data(http.get("/api/rooms", params={"offset": len(listed), "limit": 3}))
        assert page.keys() == {"rooms", "more"}
        assert len(page["rooms"]) <= 3
        listed += page["rooms"]
        if not page["more"]:
            break
    ids = [entry["roomId"] for entry in listed]
    assert len(ids) == len(set(ids))
    assert made <= set(ids)
    for entry in listed:
        assert entry.keys() == {"roomId", "kind", "title", "status", "memberCount", "epoch", "seq", "createdAt"}


def test_a_room_that_expired_is_nowhere(http: httpx.Client, redis_of_module: RedisServer, room: str) -> None:
    def listed() -> set[str]:
        rooms = data(http.get("/api/rooms", params={"limit": 500}))["rooms"]
        return {entry["roomId"] for entry in rooms}

    assert room in listed()
    redis_of_module.client.unlink(*list(redis_of_module.client.scan_iter(f"room:{room}*")))
    assert room not in listed()
    refusal(http.get(f"/api/rooms/{room}"), 404, "ROOM_NOT_FOUND")
    refusal(http.get(f"/api/rooms/{room}/events"), 404, "ROOM_NOT_FOUND")
    refusal(http.post(f"/api/rooms/{room}/events", json={"t": "msg", "text": "x"}), 404, "ROOM_NOT_FOUND")
    data(http.post("/api/rooms", json={"roomId": room}), 201)


@pytest.mark.parametrize(
    ("path", "field"),
    [
        ("/api/rooms?limit=0", "limit"),
        ("/api/rooms?limit=501", "limit"),
        ("/api/rooms?limit=x", "limit"),
        ("/api/rooms?limit=", "limit"),
        ("/api/rooms?offset=-1", "offset"),
        ("/api/rooms?offset=9007199254740993", "offset"),
        ("/api/rooms/r/events?after=-1", "after"),
        ("/api/rooms/r/events?after=1.5", "after"),
        ("/api/rooms/r/events?after=NaN", "after"),
        ("/api/rooms/r/events?limit=0", "limit"),
        ("/api/rooms/r/events?limit=501", "limit"),
        ("/api/rooms/a%20b", "roomId"),
        ("/api/rooms/a:log", "roomId"),
    ],
)
def test_what_can_not_be_asked_for_is_a_bad_value(http: httpx.Client, path: str, field: str) -> None:
    assert refusal(http.get(path), 422, "BAD_VALUE")["field"] == field


async def test_the_log_is_read_in_pages_and_holds_what_the_members_got(
    http: httpx.Client, node: NodeProcess, room: str
) -> None:
    async with talk(node.ws_url) as client:
        joined = await client.join(room, "kim")
        for n in range(24):
            await client.ask("msg", roomId=room, text=str(n))
        await client.wait_for("msg", 24)
        live = client.events()
    first = data(get(http, f"/api/rooms/{room}/events", params={"limit": 10}))
    assert first.keys() == {"events", "epoch", "seq", "more"}
    assert (first["epoch"], first["seq"] >= 25, first["more"]) == (joined["epoch"], True, True)
    events, more = first["events"], True
    while more:
        page = data(get(http, f"/api/rooms/{room}/events", params={"after": events[-1]["seq"], "limit": 10}))
        events += page["events"]
        more = page["more"]
    assert contiguous([0, *[event["seq"] for event in events]])
    assert events[0]["t"] == "user_joined"
    assert events[1:25] == live
    nothing = data(get(http, f"/api/rooms/{room}/events", params={"after": 10**6}))
    assert (nothing["events"], nothing["more"]) == ([], False)


# Publishing


async def test_a_posted_event_is_told_as_a_command_would_be(http: httpx.Client, node: NodeProcess, room: str) -> None:
    async with talk(node.ws_url) as client:
        joined = await client.join(room, "kim")
        sender = {"Authorization": "Bearer robot"}
        command = {"t": "msg", "text": "bip", "id": "b1"}
        ack = data(post(http, f"/api/rooms/{room}/events", json=command, headers=sender))
        assert ack == {"t": "ack", "epoch": joined["epoch"], "seq": joined["seq"] + 1, "id": "b1"}
        event = await client.wait_for("msg")
        assert abs(datetime.fromisoformat(event["timestamp"].replace("Z", "+00:00")).timestamp() - time.time()) < 60
        assert event == {
            "seq": ack["seq"], "epoch": ack["epoch"], "roomId": room, "t": "msg", "timestamp": event["timestamp"],
            "by": "b1", "from": "robot", "username": "robot", "text": "bip",
        }  # fmt: skip
        # Who posts need not be a member and does not become one.
        assert data(get(http, f"/api/rooms/{room}"))["members"] == ["creator", "kim"]
        assert data(post(http, f"/api/rooms/{room}/events", json={"t": "typing", "typing": True})) == {"t": "ack"}
        assert (await client.wait_for("typing"))["userId"] == "guest"
        assert data(post(http, f"/api/rooms/{room}/events", json={"t": "msg", "text": "no id", "roomId": room})) == {
            "t": "ack", "epoch": joined["epoch"], "seq": joined["seq"] + 2,
        }  # fmt: skip


async def test_a_posted_event_with_the_same_id_is_the_same_event_also_by_websocket(
    http: httpx.Client, node: NodeProcess, room: str
) -> None:
    async with talk(node.ws_url) as client:
        await client.join(room, "kim")
        command = {"t": "msg", "text": "once", "id": "same"}
        acks = [
            data(post(http, f"/api/rooms/{room}/events", json=command, headers={"Authorization": "Bearer kim"}))
            for _ in range(3)
        ]
        by_socket = await client.ask("msg", roomId=room, text="once", id="same")
        assert [*acks, by_socket] == [acks[0]] * 4
        stranger = data(post(http, f"/api/rooms/{room}/events", json=command, headers={"Authorization": "Bearer lee"}))
        assert stranger["seq"] == acks[0]["seq"] + 1
        await client.wait_for("msg", 2)
        assert len(client.of("msg")) == 2


@pytest.mark.parametrize(
    ("body", "status", "code", "field"),
    [
        ({}, 400, "BAD_FRAME", None),
        ({"t": 7}, 400, "BAD_FRAME", None),
        ({"t": "nope"}, 404, "UNKNOWN_COMMAND", None),
        ({"t": "ping"}, 404, "UNKNOWN_COMMAND", None),
        ({"t": "hello", "token": "x"}, 404, "UNKNOWN_COMMAND", None),
        ({"t": "join"}, 404, "UNKNOWN_COMMAND", None),
        ({"t": "leave"}, 404, "UNKNOWN_COMMAND", None),
        ({"t": "msg"}, 400, "BAD_FRAME", "text"),
        ({"t": "msg", "text": "x", "surplus": 1}, 400, "BAD_FRAME", "surplus"),
        ({"t": "msg", "text": ""}, 422, "BAD_VALUE", "text"),
        ({"t": "msg", "text": "x" * 4001}, 422, "BAD_VALUE", "text"),
        ({"t": "msg", "text": 7}, 422, "BAD_VALUE", "text"),
        ({"t": "msg", "text": "x", "id": ""}, 422, "BAD_VALUE", "id"),
        ({"t": "msg", "text": "x", "roomId": "other"}, 422, "BAD_VALUE", "roomId"),
        ({"t": "msg", "text": "x", "roomId": None}, 422, "BAD_VALUE", "roomId"),
    ],
    ids=json.dumps,
)
def test_a_posted_command_that_is_wrong_has_its_answer(
    http: httpx.Client, room: str, body: dict[str, Any], status: int, code: str, field: str | None
) -> None:
    details = refusal(http.post(f"/api/rooms/{room}/events", json=body), status, code)
    assert details.get("field") == field
    assert data(http.get(f"/api/rooms/{room}"))["seq"] == 0


# The envelope where nothing is right

POSTS = ("/api/rooms", "/api/rooms/{room}/events")


@pytest.mark.parametrize("path", POSTS)
@pytest.mark.parametrize(
    "body",
    [
        b"", b" ", b"{", b"hello", b"[]", b"[{}]", b'"x"', b"null", b"1", b'{"title":NaN}', b'{"title":Infinity}',
        rb'{"title":"\ud800"}', b'{"title":"\xff"}', b"{}{}", b"\0", b"[" * 60_000, b'{"title":' + b"9" * 5000 + b"}",
    ],
    ids=lambda body: repr(body[:20]),
)  # fmt: skip
def test_a_body_that_is_no_json_object_is_400(http: httpx.Client, room: str, path: str, body: bytes) -> None:
    answer = http.post(path.format(room=room), content=body, headers={"Content-Type": "application/json"})
    refusal(answer, 400, "BAD_FRAME")


@pytest.mark.parametrize("path", POSTS)
@pytest.mark.parametrize(
    ("media_type", "status"),
    [
        (None, 415),
        ("", 415),
        ("text/plain", 415),
        ("application/x-www-form-urlencoded", 415),
        ("multipart/form-data; boundary=x", 415),
        ("application/jsonp", 415),
        ("application/msgpack", 415),
        ("application/json; charset=utf-8", None),
        ("Application/JSON", None),
    ],
)
def test_a_body_that_does_not_say_it_is_json_is_415(
    http: httpx.Client, room: str, path: str, media_type: str | None, status: int | None
) -> None:
    """Also a guard: a page of another origin can post these types without asking, and JSON it can't."""
    headers = {} if media_type is None else {"Content-Type": media_type}
    answer = http.post(path.format(room=room), content=b'{"t":"msg","text":"x"}', headers=headers)
    if status is None:
        assert answer.status_code in (200, 422)
    else:
        refusal(answer, status, "BAD_FRAME")


@pytest.mark.parametrize("path", POSTS)
@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_of_64_kib_is_taken_and_one_byte_more_is_413(
    http: httpx.Client, room: str, path: str, chunked: bool
) -> None:
    def post(size: int) -> httpx.Response:
        body = b'{"t":"msg","text":"x"}'.ljust(size)
        content = iter([body[:KIB], body[KIB:]]) if chunked else body
        return http.post(path.format(room=room), content=content, headers={"Content-Type": "application/json"})

    assert post(64 * KIB).status_code in (200, 422)
    assert refusal(post(64 * KIB + 1), 413, "TOO_LARGE") == {"limitBytes": 64 * KIB}


def test_a_body_without_end_is_413_before_it_ends(node: NodeProcess) -> None:
    with closing(socket.create_connection(("127.0.0.1", node.port), timeout=10)) as client:
        client.sendall(
            b"POST /api/rooms HTTP/1.1\r\nHost: [::1]\r\nContent-Type: application/json\r\n"
            b"Transfer-Encoding: chunked\r\n\r\n" + b"%x\r\n%b\r\n" % (40 * KIB, b" " * 40 * KIB) * 2
        )
        assert client.recv(KIB).startswith(b"HTTP/1.1 413 ")


def _announce(size: int, path: str = "/api/rooms", connection: str = "close") -> bytes:
    return (
        f"POST {path} HTTP/1.1\r\nHost: [::1]\r\nConnection: {connection}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {size}\r\n\r\n"
    ).encode()


def _until_refused(client: socket.socket, data: bytes) -> None:
    while True:
        client.sendall(data)


@pytest.mark.parametrize(("path", "status"), [("/api/rooms", b"413"), ("/api/nope", b"404")])
def test_who_is_refused_while_it_sends_reads_the_answer(node: NodeProcess, path: str, status: bytes) -> None:
    """A reset would take the answer away: nginx then says 502."""
    with closing(socket.create_connection(("127.0.0.1", node.port), timeout=10)) as client:
        client.sendall(_announce(1000 * KIB, path) + b" " * 100 * KIB)
        assert client.recv(1, socket.MSG_PEEK), "it is answered already"
        for _ in range(9):
            client.sendall(b" " * 100 * KIB)
        answer = b"".join(iter(lambda: client.recv(KIB), b""))
        assert answer.startswith(b"HTTP/1.1 " + status)
        assert answer.count(b"HTTP/1.1") == 1


def test_who_is_refused_and_sends_no_more_or_without_end_is_cut_off(node: NodeProcess) -> None:
    with closing(socket.create_connection(("127.0.0.1", node.port), timeout=10)) as silent:
        silent.sendall(_announce(1000 * KIB) + b" " * 100 * KIB)
        assert b"".join(iter(lambda: silent.recv(KIB), b"")).startswith(b"HTTP/1.1 413 ")
    with closing(socket.create_connection(("127.0.0.1", node.port), timeout=10)) as endless:
        endless.sendall(_announce(1000 * KIB * KIB))
        with pytest.raises(ConnectionError):
            _until_refused(endless, b" " * 100 * KIB)


def test_a_connection_serves_on_after_a_refusal(node: NodeProcess) -> None:
    with closing(socket.create_connection(("127.0.0.1", node.port), timeout=10)) as client:
        for size in (1000 * KIB, 2, 100 * KIB):
            client.sendall(_announce(size, connection="keep-alive") + b" " * size)
            answer = b""
            while b'"timestamp"' not in answer:
                answer += client.recv(KIB)
            assert answer.startswith(b"HTTP/1.1 413 " if size > 2 else b"HTTP/1.1 400 ")


@pytest.mark.parametrize(
    "path",
    ["/nope", "/api", "/api/", "/api/nope", "/api/rooms/a/b/c", "/api/rooms/a/b", "/API/ROOMS", "//api/rooms", "/ws",
     "/static/nope.js", "/static/../../pyproject.toml", "/static/%2e%2e/__init__.py", "/static/%2e%2e%2fapp.py"],
)  # fmt: skip
def test_a_path_that_is_not_there_is_404_in_the_envelope(http: httpx.Client, path: str) -> None:
    refusal(http.get(path), 404, "UNKNOWN_COMMAND")


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("DELETE", "/api/rooms/x", {"GET", "HEAD"}),
        ("PUT", "/api/rooms", {"GET", "HEAD", "POST"}),
        ("PATCH", "/api/rooms/x/events", {"GET", "HEAD", "POST"}),
        ("POST", "/healthz", {"GET", "HEAD"}),
        ("POST", "/api/rooms/x", {"GET", "HEAD"}),
        ("OPTIONS", "/api/rooms", {"GET", "HEAD", "POST"}),
    ],
)
def test_a_method_that_a_path_does_not_know_is_405_and_says_which_it_knows(
    http: httpx.Client, method: str, path: str, allowed: set[str]
) -> None:
    """RFC 9110, section 15.5.6: the answer names the allowed methods."""
    answer = http.request(method, path)
    refusal(answer, 405, "UNKNOWN_COMMAND")
    assert {name.strip() for name in answer.headers["allow"].split(",")} == allowed


@pytest.mark.parametrize("headers", [{"Authorization": "Bearer a/b"}, {"Authorization": "Basic a2lt"}])
def test_who_can_not_be_told_is_401_and_hears_how_to_say_it(http: httpx.Client, headers: dict[str, str]) -> None:
    answer = http.get("/api/rooms", headers=headers)
    refusal(answer, 401, "UNAUTHORIZED")
    assert answer.headers["www-authenticate"] == "Bearer"


EVERYWHERE = ("/api/rooms", "/api/rooms/x", "/api/rooms/x/events", '/api/stream?rooms=[{"roomId":"x"}]')


@pytest.mark.parametrize("origin", ["https://evil.example", "http://127.0.0.1:1", "null", "http://["])
def test_a_page_of_another_origin_is_403_wherever_a_token_would_be_asked_for(http: httpx.Client, origin: str) -> None:
    for path in EVERYWHERE:
        assert refusal(http.get(path, headers={"Origin": origin}), 403, "FORBIDDEN") == {"reason": "origin"}
    refusal(http.post("/api/rooms", headers={"Origin": origin}, json={"roomId": "stolen"}), 403, "FORBIDDEN")
    refusal(http.get("/api/rooms/stolen"), 404, "ROOM_NOT_FOUND")


def test_pages_of_ones_own_may_ask(http: httpx.Client, node: NodeProcess) -> None:
    refusal(http.get("/api/rooms/x", headers={"Origin": node.url}), 404, "ROOM_NOT_FOUND")


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:80", "127.0.0.1.evil.example", "localhost.evil.example", ""]
)
def test_in_dev_mode_a_name_that_is_not_this_machines_is_403(http: httpx.Client, host: str) -> None:
    """DNS rebinding: a page's own name, pointed to this machine, is the page's own origin."""
    headers = {"Host": host, "Origin": f"http://{host}"}
    for path in (*EVERYWHERE, "/", "/healthz", "/metrics", "/nope"):
        refusal(http.get(path, headers=headers), 403, "FORBIDDEN")
    refusal(http.post("/api/rooms", headers=headers, json={}), 403, "FORBIDDEN")


@pytest.mark.parametrize("host", ["localhost", "localhost:8080", "127.0.0.1", "127.0.0.1:8080", "[::1]", "[::1]:8080"])
def test_in_dev_mode_every_name_of_this_machine_will_do(http: httpx.Client, host: str) -> None:
    assert http.get("/healthz", headers={"Host": host}).status_code == 200


def test_errors_speak_the_callers_language(http: httpx.Client) -> None:
    assert http.get("/api/rooms/nowhere").json()["message"] == "This room does not exist."
    korean = "존재하지 않는 방입니다."
    assert http.get("/api/rooms/nowhere?lang=ko").json()["message"] == korean
    assert http.get("/api/rooms/nowhere", headers={"Accept-Language": "ko-KR,en;q=0.5"}).json()["message"] == korean


async def test_who_asks_too_fast_is_429_and_told_when_to_come_back(redis_of_module: RedisServer) -> None:
    with (
        NodeProcess(redis_of_module.url, command_rate_per_s=5, command_burst=40) as node,
        httpx.Client(base_url=node.url, timeout=10) as http,
    ):
        hasty, calm = {"Authorization": "Bearer hasty"}, {"Authorization": "Bearer calm"}
        answers = [get(http, "/api/rooms/x", headers=hasty) for _ in range(100)]
        assert {answer.status_code for answer in answers[:40]} == {404}
        refused = next(answer for answer in answers if answer.status_code == 429)
        assert 0 < refusal(refused, 429, "RATE_LIMITED")["retryAfterMs"] <= 201
        assert refused.headers["retry-after"] == "1"
        refusal(get(http, "/api/rooms/x", headers=calm), 404, "ROOM_NOT_FOUND")
        await asyncio.sleep(1)  # what was asked of us
        refusal(get(http, "/api/rooms/x", headers=hasty), 404, "ROOM_NOT_FOUND")
        assert get(http, "/healthz", headers=hasty).status_code == 200


# Health


async def test_while_redis_is_away_all_is_503_but_being_alive_and_then_it_heals(
    start_node: StartNode, redis_server: RedisServer
) -> None:
    node = start_node()
    with httpx.Client(base_url=node.url, timeout=10) as http:
        assert data(get(http, "/readyz")) == {"status": "ready", "redis": True, "relay": True, "draining": False}
        node.open_room("r")
        redis_server.kill()
        await eventually(lambda: get(http, "/readyz").status_code == 503)
        details = refusal(get(http, "/readyz"), 503, "SERVICE_UNAVAILABLE")
        assert details.keys() == {"redis", "relay", "draining", "retryAfterMs"}
        assert details["draining"] is False
        await eventually(lambda: refusal(get(http, "/readyz"), 503, "SERVICE_UNAVAILABLE")["redis"] is False)
        assert data(get(http, "/healthz")).keys() == {"status", "nodeId"}
        assert get(http, "/metrics").status_code == 200
        for answer in (
            post(http, "/api/rooms", json={}),
            get(http, "/api/rooms"),
            get(http, "/api/rooms/r"),
            get(http, "/api/rooms/r/events"),
            post(http, "/api/rooms/r/events", json={"t": "msg", "text": "x"}),
        ):
            refusal(answer, 503, "SERVICE_UNAVAILABLE")
            assert int(answer.headers["retry-after"]) >= 1
            assert answer.elapsed.total_seconds() < 1, "the breaker is open: nobody waits for a time-out"
        redis_server.start()
        await eventually(lambda: get(http, "/readyz").status_code == 200)
        assert data(post(http, "/api/rooms", json={"roomId": "new"}), 201)["roomId"] == "new"
    assert "Traceback" not in node.log


async def test_a_node_that_is_stopped_is_not_ready_first(start_node: StartNode) -> None:
    node = start_node(drain_s=4)
    node.open_room("r")
    async with AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(talk(node.ws_url)) for _ in range(3)]
        for client in clients:
            await client.join("r", "kim")
        node.signal(signal.SIGTERM)
        details: dict[str, Any] = await eventually(lambda: _draining(node))
        assert details["draining"] is True
        assert [await client.wait_closed() for client in clients] == [1012] * 3
    assert node.wait() in (0, -signal.SIGTERM)
    assert "Traceback" not in node.log


def _draining(node: NodeProcess) -> dict[str, Any] | None:
    answer = httpx.get(node.url + "/readyz")
    return None if answer.status_code == 200 else refusal(answer, 503, "SERVICE_UNAVAILABLE")


# Streams


async def test_a_stream_that_ends_leaves_its_rooms_after_the_grace_period(node: NodeProcess, room: str) -> None:
    async with talk(node.ws_url) as watcher, httpx.AsyncClient(base_url=node.url, timeout=10) as http:
        await watcher.join(room, "watcher")
        connections = samples(node, "c2c_room_connections")
        path, headers = f'/api/stream?rooms=[{{"roomId":"{room}"}}]', {"Authorization": "Bearer kim"}
        async with http.stream("GET", path, headers=headers) as stream:
            assert stream.headers["content-type"].startswith("text/event-stream")
            lines = stream.aiter_lines()
            joined = json.loads((await anext(lines)).removeprefix("data: "))
            assert (joined["t"], joined["roomId"], joined["me"]) == ("joined", room, "kim")
            await watcher.ask("msg", roomId=room, text="hi")
            assert await anext(lines) == ""
            assert json.loads((await anext(lines)).removeprefix("data: "))["text"] == "hi"
        left = await watcher.wait_for("user_left", within_s=5)
        assert (left["userId"], left["reason"]) == ("kim", "lost")
        assert samples(node, "c2c_room_connections") == connections


async def test_a_stream_that_can_not_be_is_refused_in_the_envelope(http: httpx.Client) -> None:
    for rooms in ("", "x", "[]", "{}", '[{"roomId":"a b"}]', '[{"roomId":"a","surplus":1}]', '[{"roomId":1}]'):
        assert refusal(get(http, "/api/stream", params={"rooms": rooms}), 422, "BAD_VALUE")["field"] == "rooms"
    refusal(get(http, "/api/stream?rooms=[]", headers={"Authorization": "Bearer a/b"}), 401, "UNAUTHORIZED")


async def test_a_stream_of_somebody_who_is_gone_before_it_begins_leaves_nothing_behind(
    node: NodeProcess, redis_of_module: RedisServer, room: str
) -> None:
    """Presence is renewed for whom the node believes to be here: a ghost would be online for ever."""
    request = (
        f'GET /api/stream?rooms=[{{"roomId":"{room}"}}] HTTP/1.1\r\nHost: [::1]\r\nAuthorization: Bearer ghost\r\n\r\n'
    ).replace('"', "%22")
    for n in range(40):  # more would be refused for their rate
        with closing(socket.create_connection(("127.0.0.1", node.port))) as impatient:
            impatient.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            impatient.sendall(request.encode())
            await asyncio.sleep(n * 0.001)  # so that they go at every point of the way in
    await eventually(lambda: node.get(f"/api/rooms/{room}")[1]["data"]["seq"] > 0, what="one of them got in")
    await eventually(lambda: node.metric("c2c_connections") == 0)
    # Presence lives for 2 s here and is renewed three times in that time, if it is.
    await eventually(lambda: not redis_of_module.client.exists("user:ghost:presence"), 6, "the ghost is online")
    await eventually(lambda: "ghost" not in node.get(f"/api/rooms/{room}")[1]["data"]["members"], 6)


# Metrics: what each counts, and that it does


def samples(node: NodeProcess, name: str) -> dict[str, float]:
    """A metric's samples by their one label, '' where it has none."""
    found: dict[str, float] = {}
    for line in httpx.get(node.url + "/metrics").text.splitlines():
        if match := re.fullmatch(rf'{name}(?:\{{\w+="([^"]*)"\}})? (\S+)', line):
            found[match[1] or ""] = float(match[2])
    return found


def test_metrics_are_in_the_text_format(http: httpx.Client) -> None:
    answer = http.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")


def test_every_metric_has_a_claim_here() -> None:
    claimed = {
        "c2c_connections", "c2c_room_connections", "c2c_local_rooms", "c2c_commands", "c2c_events", "c2c_deliveries",
        "c2c_errors", "c2c_closes", "c2c_slow_consumers", "c2c_gaps_repaired", "c2c_room_resets",
        "c2c_dropped_payloads", "c2c_resumes", "c2c_command_seconds", "c2c_relay_lag_seconds", "c2c_relay_reconnects",
        "c2c_redis_up", "c2c_store_queue", "c2c_leases_lost", "c2c_checks", "c2c_checks_refused", "c2c_checks_running",
        "c2c_check_delay_seconds", "c2c_webhook_deliveries",
    }  # fmt: skip
    assert {family.name for family in Metrics().registry.collect()} == claimed


async def test_metrics_count_who_is_here_and_what_is_said(start_node: StartNode) -> None:
    node = start_node()
    for room_id in ("a", "b"):
        node.open_room(room_id)
    async with talk(node.ws_url) as first, talk(node.ws_url) as second:
        joined = await first.join("a", "kim")
        await second.join("a", "lee")
        await second.join("b", "lee")
        assert samples(node, "c2c_connections") == {"": 2}
        assert samples(node, "c2c_room_connections") == {"chat": 3}
        assert samples(node, "c2c_local_rooms") == {"": 2}
        await first.wait_for("user_joined")
        events, deliveries = node.metric("c2c_events_total"), node.metric("c2c_deliveries_total")
        for _ in range(5):
            await first.ask("msg", roomId="a", text="x")
        await second.wait_for("msg", 5)
        assert samples(node, "c2c_commands_total") == {"join": 3, "msg": 5}
        assert node.metric("c2c_events_total") - events == 5
        assert node.metric("c2c_deliveries_total") - deliveries == 10
        assert samples(node, "c2c_command_seconds_count") == {"": 8}
        assert 0 < samples(node, "c2c_command_seconds_sum")[""] < 60

        await first.ask("nope")
        node.get("/api/rooms/nowhere")
        errors = samples(node, "c2c_errors_total")
        assert (errors["UNKNOWN_COMMAND"], errors["ROOM_NOT_FOUND"]) == (1, 1)

        await first.join("a", "kim", since={"epoch": joined["epoch"], "seq": joined["seq"]})
        await first.join("a", "kim", since={"epoch": "other", "seq": 1})
        assert samples(node, "c2c_resumes_total") == {"recovered": 1, "epoch": 1}

        await second.ask("hello", token="a/b")
        assert await second.wait_closed() == 4401
        await eventually(lambda: samples(node, "c2c_connections") == {"": 1})
        assert samples(node, "c2c_room_connections") == {"chat": 1}
        assert samples(node, "c2c_local_rooms") == {"": 1}
        assert samples(node, "c2c_closes_total") == {"4401": 1}
    await eventually(lambda: samples(node, "c2c_connections") == {"": 0})
    assert samples(node, "c2c_room_connections") == {"chat": 0}
    assert samples(node, "c2c_local_rooms") == {"": 0}


async def test_metrics_count_what_was_mended(start_node: StartNode, redis_server: RedisServer) -> None:
    node = start_node(renew_interval_s=0.5)
    redis: Any = redis_server.client
    node.open_room("r")
    async with talk(node.ws_url) as client:
        await client.join("r", "kim")

        redis.publish("chan:r", "garbage")
        redis.publish("chan:r", '{"t":"x","seq":9}')
        await eventually(lambda: sum(samples(node, "c2c_dropped_payloads_total").values()) == 2)

        _append_without_telling(redis, "r")
        await eventually(lambda: samples(node, "c2c_gaps_repaired_total") == {"": 1})
        assert (await client.wait_for("secret"))["seq"] == 2

        redis.zrem("room:r:leases", *[lease for lease in redis.zrange("room:r:leases", 0, -1) if "kim" in lease])
        await eventually(lambda: samples(node, "c2c_leases_lost_total") == {"": 1})
        await eventually(lambda: "kim" in redis.smembers("room:r:members"))

        redis.execute_command("CLIENT", "KILL", "TYPE", "pubsub")
        await eventually(lambda: samples(node, "c2c_relay_reconnects_total") == {"": 1})
        await eventually(lambda: samples(node, "c2c_relay_lag_seconds")[""] > 0)

        redis.flushall()
        await eventually(lambda: samples(node, "c2c_room_resets_total") == {"epoch": 1})
        await client.wait_for("joined", 2)

        assert samples(node, "c2c_redis_up") == {"": 1}
        redis_server.kill()
        await eventually(lambda: samples(node, "c2c_redis_up") == {"": 0})
        redis_server.start()
        await eventually(lambda: samples(node, "c2c_redis_up") == {"": 1})
    assert "Traceback" not in node.log


def _append_without_telling(redis: Any, room_id: str) -> None:
    """An event in the log that the node hears nothing of: it is published elsewhere."""
    script = load_scripts()["room_append"]
    keys = {name: f"room:{room_id}:{name}" for name in script.keys} | {"room": f"room:{room_id}"}
    arguments: dict[str, str | bytes | int] = {
        "clock": "", "channel": "elsewhere", "member": "", "dedupe_ms": 0, "history": 0,
        "head": ',"roomId":"r","t":"secret","timestamp":"', "tail": "}",
    }  # fmt: skip
    assert redis.execute_command("EVAL", script.source, *script.pack(keys, arguments))[0] == "OK"


async def test_metrics_count_slow_readers(start_node: StartNode) -> None:
    node = start_node(outbox_bytes=20_000)
    node.open_room("r")
    async with talk(node.ws_url) as sender:
        await sender.join("r", "sender")
        # A small receive buffer from the start, and a client that reads no more after it has joined.
        raw = socket.socket()
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        raw.connect(("127.0.0.1", node.port))
        async with connect(node.ws_url, sock=raw, compression=None, max_queue=1) as slow:
            await slow.send(json.dumps({"t": "join", "roomId": "r", "token": "slow"}))
            assert json.loads(await slow.recv())["t"] == "joined"
            slow.transport.pause_reading()
            await _talk_until_slow(sender, node)
            assert samples(node, "c2c_closes_total") == {"4420": 1}
            slow.transport.abort()


async def _talk_until_slow(sender: Talker, node: NodeProcess) -> None:
    for n in itertools.count():
        assert n < 200
        for m in range(50):
            await sender.send({"t": "msg", "roomId": "r", "id": f"{n}-{m}", "text": "x" * 4000})
        await sender.answer(f"{n}-49")
        if node.metric("c2c_slow_consumers_total") == 1:
            return


async def test_metrics_show_what_waits_for_redis_while_it_hangs(
    start_node: StartNode, redis_server: RedisServer
) -> None:
    node = start_node(redis_timeout_s=30, canary_timeout_s=60)
    async with AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(talk(node.ws_url)) for _ in range(5)]
        for client in clients:
            await client.ask("hello", token="kim")
        redis_server.signal(signal.SIGSTOP)
        try:
            # A renewal or the canary is on its way and hangs, and another one waits behind it.
            await eventually(lambda: samples(node, "c2c_store_queue")[""] >= 1)
            for client in clients:
                await client.send({"t": "online:list"})
            await eventually(lambda: samples(node, "c2c_store_queue")[""] >= 5)
        finally:
            redis_server.signal(signal.SIGCONT)
        await eventually(lambda: samples(node, "c2c_store_queue") == {"": 0})
