"""What protocol.md promises on the WebSocket, word for word, with a real node. Everything is asked in both codecs."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import re
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from datetime import UTC, datetime
from typing import Any

import msgpack
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.typing import Origin, Subprotocol

from tests.support import NodeProcess, RedisServer, Talker, contiguous, eventually, talk

JSON, MSGPACK = Subprotocol("c2c.json"), Subprotocol("c2c.msgpack")
EVENT_HEAD = ["seq", "epoch", "roomId", "t", "timestamp"]
_TIMESTAMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")
_room_numbers = itertools.count()

Speak = Callable[[], AbstractAsyncContextManager[Talker]]


class PackedTalker(Talker):
    """A client of the subprotocol c2c.msgpack."""

    async def read(self) -> None:
        with contextlib.suppress(ConnectionClosed):
            async for frame in self.socket:
                assert isinstance(frame, bytes)
                self.frames.append(msgpack.unpackb(frame))
        self.closed = True

    async def send(self, frame: str | bytes | Mapping[str, Any]) -> None:
        await self.socket.send(frame if isinstance(frame, str | bytes) else msgpack.packb(frame))


@contextlib.asynccontextmanager
async def speak_to(url: str, subprotocol: Subprotocol) -> AsyncIterator[Talker]:
    """A connected client of one codec that reads everything."""
    async with connect(url, subprotocols=[subprotocol], compression=None, ping_interval=None) as socket:
        talker = Talker(socket) if subprotocol == JSON else PackedTalker(socket)
        talker._reading = asyncio.create_task(talker.read())
        try:
            yield talker
        finally:
            await socket.close()
            await talker._reading


@pytest.fixture(scope="module")
def redis_of_module() -> Iterator[RedisServer]:
    with RedisServer() as server:
        yield server
        assert server.leaked_keys() == [], "keys that never expire"


@pytest.fixture(scope="module")
def node(redis_of_module: RedisServer) -> Iterator[NodeProcess]:
    """A node whose rate limit no test meets."""
    with NodeProcess(redis_of_module.url, allowed_origins="https://app.example, https://other.example/") as node:
        yield node
        assert "Traceback" not in node.log, node.log


@pytest.fixture(scope="module")
def strict_node(redis_of_module: RedisServer) -> Iterator[NodeProcess]:
    """A node with the limits of the contract and a short wait for the sign-in."""
    with NodeProcess(redis_of_module.url, command_rate_per_s=20, command_burst=40, sign_in_timeout_s=2) as node:
        yield node
        assert "Traceback" not in node.log, node.log


@pytest.fixture(params=[JSON, MSGPACK])
def speak(request: pytest.FixtureRequest, node: NodeProcess) -> Speak:
    """Opens clients of the codec that the test is run for."""
    return lambda: speak_to(node.ws_url, request.param)


@pytest.fixture
def room(node: NodeProcess) -> str:
    """A fresh room; its creator, `creator`, is a member without a connection."""
    return node.open_room(f"room{next(_room_numbers)}")


async def _settled(*talkers: Talker) -> None:
    """Wait until each of them was sent all that the server had for it: answers keep the order of the outbox."""
    for talker in talkers:
        assert (await talker.ask("ping"))["t"] == "pong"


def _is_recent(timestamp: str) -> bool:
    assert _TIMESTAMP.fullmatch(timestamp), timestamp
    moment = datetime.fromisoformat(timestamp.replace("Z", "+00:00"))
    return abs((datetime.now(UTC) - moment).total_seconds()) < 60


# Signing in


async def test_hello_is_answered_by_welcome(speak: Speak) -> None:
    async with speak() as client:
        welcome = await client.ask("hello", token="홍길동", id="h")
        assert abs(welcome.pop("serverTime") - time.time() * 1000) < 60_000
        connection_id, node_id = welcome.pop("connectionId"), welcome.pop("nodeId")
        assert isinstance(connection_id, str)
        assert isinstance(node_id, str)
        assert welcome == {"t": "welcome", "id": "h", "me": "홍길동", "username": "홍길동", "heartbeatMs": 10_000}


async def test_two_connections_have_two_connection_ids_and_one_node_id(speak: Speak) -> None:
    async with speak() as first, speak() as second:
        welcomes = [await client.ask("hello", token="kim") for client in (first, second)]
        assert welcomes[0]["connectionId"] != welcomes[1]["connectionId"]
        assert welcomes[0]["nodeId"] == welcomes[1]["nodeId"]


async def test_a_hello_without_id_is_answered_without_id(speak: Speak) -> None:
    async with speak() as client:
        await client.send({"t": "hello", "token": "kim"})
        assert "id" not in await client.wait_for("welcome")


async def test_a_join_with_a_token_signs_in(speak: Speak, room: str) -> None:
    async with speak() as client:
        assert (await client.join(room, "kim"))["me"] == "kim"
        assert (await client.ask("msg", roomId=room, text="hi"))["t"] == "ack"


async def test_who_does_not_sign_in_is_closed_with_4408_and_who_does_is_not(strict_node: NodeProcess) -> None:
    async with talk(strict_node.ws_url) as signed_in:
        await signed_in.ask("hello", token="kim")
        async with talk(strict_node.ws_url) as silent, talk(strict_node.ws_url) as chatty:
            assert (await chatty.ask("ping"))["t"] == "pong"  # a ping is no sign-in
            assert (await chatty.ask("nope"))["code"] == "UNKNOWN_COMMAND"  # nor is what fails
            assert await silent.wait_closed() == 4408
            assert await chatty.wait_closed() == 4408
        assert (await signed_in.ask("ping"))["t"] == "pong"


async def test_a_second_hello_refreshes_the_sign_in_of_the_same_connection(speak: Speak, room: str) -> None:
    async with speak() as client:
        first = await client.ask("hello", token="kim")
        await client.ask("join", roomId=room)
        second = await client.ask("hello", token="kim")
        assert second["t"] == "welcome"
        assert (second["me"], second["connectionId"]) == (first["me"], first["connectionId"])
        assert (await client.ask("msg", roomId=room, text="still in"))["t"] == "ack"


async def test_somebody_elses_token_is_forbidden_and_changes_nothing(speak: Speak, room: str) -> None:
    async with speak() as client:
        await client.ask("hello", token="kim")
        for refused in (await client.ask("hello", token="lee"), await client.join(room, "lee")):
            assert (refused["t"], refused["code"], refused["retryable"]) == ("error", "FORBIDDEN", False)
        joined = await client.ask("join", roomId=room)
        assert joined["me"] == "kim"
        assert joined["members"] == ["creator", "kim"]


@pytest.mark.parametrize(
    "command",
    [
        {"t": "join", "roomId": "r"},
        {"t": "leave", "roomId": "r"},
        {"t": "typing", "roomId": "r", "typing": True},
        {"t": "msg", "roomId": "r", "text": "x"},
        {"t": "history", "roomId": "r", "before": 1},
    ],
    ids=lambda command: command["t"],
)
async def test_a_command_before_the_sign_in_is_unauthorized_and_closes_with_4401(
    speak: Speak, command: dict[str, Any]
) -> None:
    async with speak() as client:
        await client.send({**command, "id": "x"})
        answer = await client.answer("x")
        assert (answer["t"], answer["code"], answer["retryable"]) == ("error", "UNAUTHORIZED", False)
        assert await client.wait_closed() == 4401


@pytest.mark.parametrize("token", ["", "a/b", "a b", "x" * 65, "a:b"])
async def test_a_dev_token_that_is_no_user_id_is_unauthorized_and_closes_with_4401(speak: Speak, token: str) -> None:
    async with speak() as client:
        answer = await client.ask("hello", token=token)
        assert answer["code"] == "UNAUTHORIZED"
        assert await client.wait_closed() == 4401


# Join and leave


async def test_joined_has_exactly_the_fields_of_the_contract(speak: Speak, node: NodeProcess, room: str) -> None:
    async with speak() as first, speak() as second:
        await first.join(room, "lee")
        joined = await second.join(room, "kim", id="j")
        assert len(joined.pop("epoch")) > 0
        assert joined == {
            "t": "joined", "id": "j", "roomId": room, "kind": "chat", "me": "kim", "members": ["creator", "kim", "lee"],
            "presence": {"creator": "offline", "kim": "online", "lee": "online"}, "seq": 2, "recovered": False,
            "state": {"messages": [], "more": False},
        }  # fmt: skip


async def test_a_newcomer_is_announced_to_the_others_only(speak: Speak, room: str) -> None:
    async with speak() as watcher, speak() as newcomer:
        joined = await watcher.join(room, "watcher")
        await newcomer.join(room, "kim")
        event = await watcher.wait_for("user_joined")
        assert list(event)[:5] == EVENT_HEAD
        assert _is_recent(event.pop("timestamp"))
        assert event == {
            "seq": joined["seq"] + 1, "epoch": joined["epoch"], "roomId": room, "t": "user_joined", "userId": "kim",
            "username": "kim",
        }  # fmt: skip
        await _settled(watcher, newcomer)
        assert len(watcher.of("user_joined")) == 1
        assert newcomer.of("user_joined") == []


async def test_a_leave_is_answered_and_told_with_reason_left(speak: Speak, room: str) -> None:
    async with speak() as watcher, speak() as leaver:
        await watcher.join(room, "watcher")
        joined = await leaver.join(room, "kim")
        assert await leaver.ask("leave", roomId=room, id="l") == {"t": "left", "id": "l", "roomId": room}
        event = await watcher.wait_for("user_left")
        assert list(event)[:5] == EVENT_HEAD
        assert _is_recent(event.pop("timestamp"))
        assert event == {
            "seq": joined["seq"] + 1, "epoch": joined["epoch"], "roomId": room, "t": "user_left", "userId": "kim",
            "reason": "left",
        }  # fmt: skip


async def test_who_has_left_hears_and_says_nothing_more(speak: Speak, room: str) -> None:
    async with speak() as watcher, speak() as leaver:
        await watcher.join(room, "watcher")
        await leaver.join(room, "kim")
        await leaver.ask("leave", roomId=room)
        await watcher.ask("msg", roomId=room, text="gone?")
        await watcher.wait_for("msg")
        refused = await leaver.ask("msg", roomId=room, text="hello?")
        assert refused["code"] == "NOT_A_MEMBER"
        assert (await leaver.ask("leave", roomId=room))["code"] == "NOT_A_MEMBER"
        await _settled(leaver)
        assert leaver.events("msg") == leaver.events("user_left") == []


async def test_a_closed_connection_leaves_with_reason_left(speak: Speak, room: str) -> None:
    async with speak() as watcher:
        await watcher.join(room, "watcher")
        async with speak() as leaver:
            await leaver.join(room, "kim")
        event = await watcher.wait_for("user_left")
        assert (event["userId"], event["reason"]) == ("kim", "left")


async def test_a_room_that_does_not_exist_is_not_found_and_the_connection_stays(speak: Speak) -> None:
    async with speak() as client:
        answer = await client.join("nowhere", "kim", id="j")
        assert answer == {
            "t": "error", "id": "j", "code": "ROOM_NOT_FOUND", "message": "This room does not exist.",
            "retryable": False,
        }  # fmt: skip
        await _settled(client)


@pytest.mark.parametrize("t", ["leave", "typing", "msg", "history"])
async def test_commands_to_a_room_one_is_not_in_are_refused(speak: Speak, room: str, t: str) -> None:
    needed: dict[str, dict[str, Any]] = {"typing": {"typing": True}, "msg": {"text": "x"}, "history": {"before": 1}}
    async with speak() as client:
        await client.ask("hello", token="kim")
        answer = await client.ask(t, roomId=room, **needed.get(t, {}))
        assert (answer["t"], answer["code"]) == ("error", "NOT_A_MEMBER")


async def test_joining_twice_tells_nobody_twice_and_delivers_once(speak: Speak, room: str) -> None:
    async with speak() as watcher, speak() as client:
        await watcher.join(room, "watcher")
        await client.join(room, "kim")
        again = await client.join(room, "kim")
        assert again["members"] == ["creator", "kim", "watcher"]
        await client.ask("msg", roomId=room, text="once")
        await client.wait_for("msg")
        await _settled(watcher, client)
        assert len(watcher.of("user_joined")) == 1
        assert len(client.of("msg")) == len(watcher.of("msg")) == 1


async def test_several_tabs_of_one_user_are_one_member(speak: Speak, room: str) -> None:
    async with speak() as watcher:
        await watcher.join(room, "watcher")
        async with speak() as tab:
            await tab.join(room, "kim")
            async with speak() as other_tab:
                joined = await other_tab.join(room, "kim")
                assert joined["members"] == ["creator", "kim", "watcher"]
                await watcher.ask("msg", roomId=room, text="to both")
                await tab.wait_for("msg")
                await other_tab.wait_for("msg")
            # One of two tabs is closed; the other says something and is heard: nobody left in between.
            assert (await tab.ask("msg", roomId=room, text="still here"))["t"] == "ack"
            await watcher.wait_for("msg", 2)
            assert watcher.of("user_left") == []
        await watcher.wait_for("user_left")
        assert len(watcher.of("user_joined")) == len(watcher.of("user_left")) == 1


# Commands of every room


async def test_ping_is_answered_by_pong_also_before_the_sign_in(speak: Speak) -> None:
    async with speak() as client:
        pong = await client.ask("ping", id="p")
        assert abs(pong.pop("serverTime") - time.time() * 1000) < 60_000
        assert pong == {"t": "pong", "id": "p"}


async def test_typing_is_acked_and_passed_on_but_not_logged(speak: Speak, node: NodeProcess, room: str) -> None:
    async with speak() as watcher, speak() as typist:
        await watcher.join(room, "watcher")
        joined = await typist.join(room, "kim")
        assert await typist.ask("typing", roomId=room, typing=True, id="t") == {"t": "ack", "id": "t"}
        event = await watcher.wait_for("typing")
        assert event == {"roomId": room, "t": "typing", "userId": "kim", "typing": True}
        await typist.ask("typing", roomId=room, typing=False)
        assert (await watcher.wait_for("typing", 2))["typing"] is False
        assert node.get(f"/api/rooms/{room}")[1]["data"]["seq"] == joined["seq"]


async def test_a_message_is_acked_with_its_place_and_told_to_everybody_with_it(speak: Speak, room: str) -> None:
    async with speak() as watcher, speak() as sender:
        await watcher.join(room, "watcher")
        joined = await sender.join(room, "kim")
        ack = await sender.ask("msg", roomId=room, text='안녕 😀\n"\\', id="m1")
        place = {"seq": joined["seq"] + 1, "epoch": joined["epoch"]}
        assert ack == {"t": "ack", "id": "m1", **place}
        for client in (watcher, sender):
            event = dict(await client.wait_for("msg"))
            assert list(event)[:6] == [*EVENT_HEAD, "by"]
            assert _is_recent(event.pop("timestamp"))
            assert event == {
                **place, "roomId": room, "t": "msg", "by": "m1", "from": "kim", "username": "kim",
                "text": "안녕 😀\n\"\\",
            }  # fmt: skip


async def test_a_message_without_id_is_told_without_by(speak: Speak, room: str) -> None:
    async with speak() as client:
        await client.join(room, "kim")
        await client.send({"t": "msg", "roomId": room, "text": "no id"})
        event = await client.wait_for("msg")
        assert "by" not in event
        assert "id" not in event


@pytest.mark.parametrize(("text", "fits"), [("", False), ("x", True), ("가" * 4000, True), ("x" * 4001, False)])
async def test_a_message_has_1_to_4000_characters(speak: Speak, room: str, text: str, fits: bool) -> None:
    async with speak() as client:
        await client.join(room, "kim")
        answer = await client.ask("msg", roomId=room, text=text)
        if fits:
            assert answer["t"] == "ack"
            assert (await client.wait_for("msg"))["text"] == text
        else:
            assert (answer["code"], answer["field"]) == ("BAD_VALUE", "text")


async def test_the_same_id_gives_the_same_ack_and_no_second_event(speak: Speak, room: str) -> None:
    async with speak() as client, speak() as other:
        await client.join(room, "kim")
        await other.join(room, "lee")
        first = await client.ask("msg", roomId=room, text="once", id="same")
        client.frames.remove(first)
        assert await client.ask("msg", roomId=room, text="once", id="same") == first
        # The id is the user's own: somebody else's command of that id is another one.
        assert (await other.ask("msg", roomId=room, text="mine", id="same"))["seq"] == first["seq"] + 1
        await client.wait_for("msg", 2)
        await _settled(client, other)
        assert [event["text"] for event in client.of("msg")] == ["once", "mine"]


async def test_what_the_client_gets_is_what_stands_in_the_log_and_on_the_channel(
    node: NodeProcess, redis_of_module: RedisServer, room: str
) -> None:
    redis: Any = redis_of_module.client
    channel = redis.pubsub(ignore_subscribe_messages=True)
    channel.subscribe(f"chan:{room}")
    channel.get_message(timeout=5)  # the confirmation
    async with connect(node.ws_url, compression=None) as socket:
        await socket.send(json.dumps({"t": "join", "roomId": room, "token": "kim"}))
        await socket.recv()
        await socket.send(json.dumps({"t": "msg", "roomId": room, "text": "é ☃"}))
        frame = await socket.recv()
    logged = [entry["e"] for _, entry in redis.xrange(f"room:{room}:log")]
    assert logged[1] == frame
    published = await eventually(lambda: [m for m in [channel.get_message(timeout=0)] if m and "msg" in m["data"]])
    assert published[0]["data"] == frame
    channel.close()


async def test_who_was_swept_while_connected_is_a_member_again_before_a_message_is_taken(
    speak: Speak, room: str, redis_of_module: RedisServer
) -> None:
    async with speak() as watcher, speak() as client:
        await watcher.join(room, "watcher")
        await client.join(room, "kim")
        redis: Any = redis_of_module.client
        redis.zrem(
            f"room:{room}:leases", *[lease for lease in redis.zrange(f"room:{room}:leases", 0, -1) if "kim/" in lease]
        )
        redis.srem(f"room:{room}:members", "kim")
        redis.hdel(f"room:{room}:connections", "kim")
        ack = await client.ask("msg", roomId=room, text="still here")
        assert ack["t"] == "ack"
        assert redis.sismember(f"room:{room}:members", "kim")
        await watcher.wait_for("msg")
        told = [event["t"] for event in watcher.events()]
        assert told == ["user_joined", "user_joined", "msg"]


# History


async def test_history_is_paged_backwards_and_says_when_there_is_no_more(speak: Speak, room: str) -> None:
    async with speak() as client:
        await client.join(room, "kim")
        for n in range(25):
            await client.ask("msg", roomId=room, text=str(n))
        await client.wait_for("msg", 25)
        live = client.of("msg")
        before, pages = 2**53, []
        while True:
            page = await client.ask("history", roomId=room, before=before, limit=10)
            assert list(page.keys() - {"messages", "more", "roomId", "t", "id"}) == []
            assert (page["t"], page["roomId"]) == ("history", room)
            pages.append(page)
            if not page["more"]:
                break
            before = page["messages"][0]["seq"]
        assert [len(page["messages"]) for page in pages] == [10, 10, 5]
        assert [message for page in reversed(pages) for message in page["messages"]] == live


async def test_history_that_ends_with_a_full_page_says_so(speak: Speak, room: str) -> None:
    async with speak() as client:
        await client.join(room, "kim")
        seqs = [(await client.ask("msg", roomId=room, text=str(n)))["seq"] for n in range(4)]
        newest = await client.ask("history", roomId=room, before=seqs[-1] + 1, limit=2)
        assert ([m["seq"] for m in newest["messages"]], newest["more"]) == (seqs[2:], True)
        oldest = await client.ask("history", roomId=room, before=seqs[2], limit=2)
        assert ([m["seq"] for m in oldest["messages"]], oldest["more"]) == (seqs[:2], False)
        nothing = await client.ask("history", roomId=room, before=seqs[0], limit=2)
        assert (nothing["messages"], nothing["more"]) == ([], False)


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"before": 0}, "before"),
        ({"before": 2**53 + 1}, "before"),
        ({"before": 1, "limit": 0}, "limit"),
        ({"before": 1, "limit": 101}, "limit"),
    ],
)
async def test_history_out_of_range_is_a_bad_value(speak: Speak, room: str, fields: dict[str, int], field: str) -> None:
    async with speak() as client:
        await client.join(room, "kim")
        answer = await client.ask("history", roomId=room, **fields)
        assert (answer["code"], answer["field"]) == ("BAD_VALUE", field)


async def test_the_state_has_the_last_50_messages_however_many_come_and_go_between_them(
    speak: Speak, room: str
) -> None:
    async with speak() as sender, speak() as restless:
        await sender.join(room, "kim")
        await restless.ask("hello", token="lee")
        for n in range(60):
            await sender.ask("msg", roomId=room, text=str(n))
            for _ in range(5):
                await restless.send({"t": "join", "roomId": room})
                await restless.send({"t": "leave", "roomId": room})
            await _settled(restless)
        async with speak() as newcomer:
            joined = await newcomer.join(room, "newcomer")
            assert joined["seq"] > 600
            assert [message["text"] for message in joined["state"]["messages"]] == [str(n) for n in range(10, 60)]
            assert joined["state"]["more"] is True
        assert contiguous(sender.seqs)


# One answer each


async def test_a_command_with_an_id_is_answered_by_exactly_one_frame_with_that_id(speak: Speak, room: str) -> None:
    commands: list[dict[str, Any]] = [
        {"t": "hello", "token": "kim"},
        {"t": "ping"},
        {"t": "msg", "roomId": room, "text": "too early"},
        {"t": "join", "roomId": room},
        {"t": "join", "roomId": room, "since": {"epoch": "other", "seq": 3}},
        {"t": "join", "roomId": "nowhere"},
        {"t": "join", "roomId": "{}"},
        {"t": "hello", "token": "lee"},
        {"t": "typing", "roomId": room, "typing": True},
        {"t": "msg", "roomId": room, "text": "x"},
        {"t": "msg", "roomId": room, "text": ""},
        {"t": "msg", "roomId": room, "text": "x", "surplus": 1},
        {"t": "msg", "roomId": room},
        {"t": "history", "roomId": room, "before": 9},
        {"t": "nope"},
        {"t": 7},
        {"t": "leave", "roomId": room},
        {"t": "leave", "roomId": room},
    ]
    expected = [
        "welcome", "pong", "NOT_A_MEMBER", "joined", "joined", "ROOM_NOT_FOUND", "BAD_VALUE", "FORBIDDEN", "ack", "ack",
        "BAD_VALUE", "BAD_FRAME", "BAD_FRAME", "history", "UNKNOWN_COMMAND", "BAD_FRAME", "left", "NOT_A_MEMBER",
    ]  # fmt: skip
    async with speak() as client:
        for n, command in enumerate(commands):
            await client.send({**command, "id": f"c{n}"})
        await client.answer(f"c{len(commands) - 1}")
        await client.ask("ping", id="fence")
        answers = [frame for frame in client.frames if "id" in frame]
        assert [frame["id"] for frame in answers] == [*[f"c{n}" for n in range(len(commands))], "fence"]
        assert [frame.get("code", frame["t"]) for frame in answers[:-1]] == expected


# Codecs


async def test_both_codecs_see_identical_events(node: NodeProcess, room: str) -> None:
    async with speak_to(node.ws_url, JSON) as text, speak_to(node.ws_url, MSGPACK) as packed:
        first = await text.join(room, "text")
        await packed.join(room, "packed")
        await packed.ask("msg", roomId=room, text="나는 팩 😀", id="p1")
        await text.ask("msg", roomId=room, text="나는 텍스트", id="t1")
        async with speak_to(node.ws_url, MSGPACK) as third:
            await third.join(room, "third", since={"epoch": first["epoch"], "seq": first["seq"]})
            await third.ask("typing", roomId=room, typing=True)
            await text.wait_for("typing")
            await packed.wait_for("typing")
            await third.wait_for("typing")
            # `third` resumed from the beginning: it has the same list, its own coming included.
            assert third.events() == text.events()
            assert [list(event) for event in text.events()][1:] == [list(event) for event in packed.events()]
            assert text.events()[1:] == packed.events()
            assert text.of("typing") == packed.of("typing")


@pytest.mark.parametrize(
    ("offered", "chosen"),
    [
        (["c2c.json"], "c2c.json"),
        (["c2c.msgpack"], "c2c.msgpack"),
        (["c2c.msgpack", "c2c.json"], "c2c.msgpack"),
        (["c2c.json", "c2c.msgpack"], "c2c.json"),
        (["graphql-ws", "c2c.msgpack"], "c2c.msgpack"),
        (["graphql-ws", "C2C.JSON"], None),
        (None, None),
    ],
)
async def test_the_first_offered_subprotocol_that_is_known_is_chosen_else_none_and_json(
    node: NodeProcess, offered: list[str] | None, chosen: str | None
) -> None:
    names = None if offered is None else [Subprotocol(name) for name in offered]
    async with connect(node.ws_url, subprotocols=names, compression=None) as socket:
        assert socket.subprotocol == chosen
        packed = chosen == "c2c.msgpack"
        await socket.send(msgpack.packb({"t": "ping", "id": "p"}) if packed else '{"t":"ping","id":"p"}')
        frame = await socket.recv()
        assert isinstance(frame, bytes) is packed
        assert (msgpack.unpackb(frame) if isinstance(frame, bytes) else json.loads(frame))["t"] == "pong"


# Languages


@pytest.mark.parametrize(
    ("query", "accept", "language"),
    [
        ("", None, "en"),
        ("", "fr", "en"),
        ("", "ko", "ko"),
        ("", "ko-KR,ko;q=0.9,en-US;q=0.8,en;q=0.7", "ko"),
        ("", "en-US,en;q=0.9,ko;q=0.8", "en"),
        ("", "en;q=0.5, ko;q=0.6", "ko"),
        ("", "ko;q=0", "en"),
        ("", "fr;q=1, de;q=0.9, KO;q=0.1", "ko"),
        ("?lang=ko", "en", "ko"),
        ("?lang=en", "ko", "en"),
        ("?lang=de", "ko", "ko"),
    ],
)
async def test_errors_speak_the_connections_language(
    node: NodeProcess, query: str, accept: str | None, language: str
) -> None:
    headers = {} if accept is None else {"Accept-Language": accept}
    async with talk(node.ws_url + query, additional_headers=headers) as client:
        answer = await client.join("nowhere", "kim")
        sentences = {"en": "This room does not exist.", "ko": "존재하지 않는 방입니다."}
        assert answer["message"] == sentences[language]


# Limits


async def test_a_connection_can_be_in_50_rooms(speak: Speak, node: NodeProcess) -> None:
    rooms = [node.open_room(f"many{next(_room_numbers)}") for _ in range(51)]
    async with speak() as client:
        await client.ask("hello", token="kim")
        for room_id in rooms[:50]:
            assert (await client.ask("join", roomId=room_id))["t"] == "joined"
        refused = await client.ask("join", roomId=rooms[50])
        assert (refused["code"], refused["retryable"]) == ("ROOM_LIMIT", False)
        # A room that one is in already is no further one, and leaving makes room.
        assert (await client.ask("join", roomId=rooms[0]))["t"] == "joined"
        await client.ask("leave", roomId=rooms[0])
        assert (await client.ask("join", roomId=rooms[50]))["t"] == "joined"


async def test_who_is_too_fast_is_rate_limited_and_told_how_long_to_wait(strict_node: NodeProcess) -> None:
    async with talk(strict_node.ws_url) as client, talk(strict_node.ws_url) as calm:
        await client.ask("hello", token="kim")
        await calm.ask("hello", token="lee")
        started_s = time.monotonic()
        for n in range(100):
            await client.send({"t": "ping", "id": f"p{n}"})
        last = await client.answer("p99")
        passed = len(client.of("pong"))
        assert 39 <= passed <= 39 + 20 * (time.monotonic() - started_s) + 1
        assert last.keys() == {"t", "id", "code", "message", "retryable", "retryAfterMs"}
        assert (last["t"], last["code"], last["retryable"]) == ("error", "RATE_LIMITED", True)
        assert 0 < last["retryAfterMs"] <= 51
        assert [frame["id"] for frame in client.frames if "id" in frame][1:] == [f"p{n}" for n in range(100)]
        assert (await calm.ask("ping"))["t"] == "pong"
        for _ in range(5):
            refused = await _until_refused(client)
            await asyncio.sleep(refused["retryAfterMs"] / 1000)
            assert (await client.ask("ping"))["t"] == "pong"


async def _until_refused(client: Talker) -> dict[str, Any]:
    while True:
        answer = await client.ask("ping")
        if answer["t"] == "error":
            return answer


@pytest.mark.parametrize(
    "command", [{"t": "ping"}, {"t": "nope"}, {"t": "ping", "id": ""}], ids=["valid", "unknown", "bad value"]
)
async def test_a_flood_is_closed_with_4429(strict_node: NodeProcess, command: dict[str, Any]) -> None:
    async with talk(strict_node.ws_url) as calm, talk(strict_node.ws_url) as client:
        await calm.ask("hello", token="lee")
        await client.ask("hello", token="kim")
        with contextlib.suppress(ConnectionClosed):
            for _ in range(2000):
                await client.send(command)
        await eventually(lambda: client.closed or len(client.frames) > 2000, what="closed, or all was answered")
        assert client.close_code == 4429
        assert (await calm.ask("ping"))["t"] == "pong"


async def test_a_full_node_answers_503_before_the_upgrade_until_somebody_goes(redis_of_module: RedisServer) -> None:
    with NodeProcess(redis_of_module.url, max_connections=3) as node:
        async with AsyncExitStack() as stack:

            async def enter() -> tuple[int, str | None]:
                try:
                    await stack.enter_async_context(connect(node.ws_url))
                except InvalidStatus as refused:
                    return refused.response.status_code, refused.response.headers.get("retry-after")
                return 101, None

            answers = await asyncio.gather(*[enter() for _ in range(12)])
            assert sorted(answers) == [(101, None)] * 3 + [(503, "1")] * 9
        await eventually(lambda: node.metric("c2c_connections") == 0)
        async with connect(node.ws_url):
            pass
        assert "Traceback" not in node.log


# Origins


@pytest.mark.parametrize(
    ("origin", "status"),
    [
        (None, 101),
        ("https://app.example", 101),
        ("https://other.example", 101),
        ("{self}", 101),
        ("https://evil.example", 403),
        ("http://app.example", 403),
        ("https://app.example.evil.example", 403),
        ("https://app.example:8443", 403),
        ("{self}.evil.example", 403),
        ("http://user@{host}", 403),
        ("null", 403),
        ("http://[", 403),
        ("", 403),
    ],
)
async def test_only_listed_origins_and_the_nodes_own_may_connect(
    node: NodeProcess, origin: str | None, status: int
) -> None:
    offered = None if origin is None else origin.format(self=node.url, host=node.url.removeprefix("http://"))
    try:
        async with connect(node.ws_url, additional_headers={} if offered is None else {"Origin": Origin(offered)}):
            answered = 101
    except InvalidStatus as refused:
        answered = refused.response.status_code
    assert answered == status


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("localhost:1", 101),
        ("[::1]:1", 101),
        ("127.0.0.2", 101),
        ("evil.example", 403),
        ("127.0.0.1.evil.example:1", 403),
    ],
)
async def test_in_dev_mode_only_names_of_this_machine_are_served(node: NodeProcess, host: str, status: int) -> None:
    """DNS rebinding: a page's own name, pointed to this machine, makes Origin and Host the same."""
    _, port = node.url.removeprefix("http://").split(":")
    try:
        async with connect(f"ws://{host}/ws", host="127.0.0.1", port=int(port), origin=Origin(f"http://{host}")):
            answered = 101
    except InvalidStatus as refused:
        answered = refused.response.status_code
    assert answered == status
