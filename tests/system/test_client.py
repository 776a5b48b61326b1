"""The Python client against real nodes, and against a scripted server where a real one behaves too well."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any

import pytest
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from c2c.auth import mint_token
from c2c.client import (
    Client,
    Closed,
    CommandFailed,
    Event,
    EventsOverflowed,
    EventStream,
    NotAcknowledged,
    NotConnected,
    Position,
    Room,
    RoomClosed,
    StateReplaced,
    Stopped,
)
from tests.conftest import StartNode
from tests.support import NodeProcess, Proxy, RedisServer, contiguous, eventually, free_port

SECRET = "a secret of at least thirty-two bytes"


class Reader:
    """Reads a stream to its end, as an application would."""

    def __init__(self, stream: EventStream) -> None:
        self.events: list[Event] = []
        self.task = asyncio.create_task(self._read(stream))

    async def _read(self, stream: EventStream) -> None:
        async for event in stream:
            self.events.append(event)

    def of(self, t: str) -> list[dict[str, Any]]:
        return [event for event in self.events if isinstance(event, dict) and event.get("t") == t]

    @property
    def seqs(self) -> list[int]:
        return [event["seq"] for event in self.events if isinstance(event, dict) and "seq" in event]

    @property
    def texts(self) -> list[str]:
        return [event["text"] for event in self.of("msg")]

    @property
    def markers(self) -> list[StateReplaced]:
        return [event for event in self.events if isinstance(event, StateReplaced)]

    async def failure(self, within_s: float = 10.0) -> BaseException | None:
        await eventually(self.task.done, within_s, "the stream's end")
        return self.task.exception()


@contextlib.asynccontextmanager
async def reading(stream: EventStream) -> AsyncIterator[Reader]:
    reader = Reader(stream)
    try:
        yield reader
    finally:
        reader.task.cancel()
        await asyncio.gather(reader.task, return_exceptions=True)


def log_of(redis_server: RedisServer, room_id: str) -> list[dict[str, Any]]:
    entries: Any = redis_server.client.xrange(f"room:{room_id}:log")
    return [json.loads(entry["e"]) for _, entry in entries]


# ---- one node ------------------------------------------------------------------------------------------------------


async def test_a_publish_is_acknowledged_and_reaches_everybody_once(start_node: StartNode) -> None:
    node = start_node()
    node.open_room("r", "kim")
    async with Client(node.ws_url, token="kim") as kim, Client(node.ws_url, token="lee") as lee:
        room, other = await kim.join("r"), await lee.join("r")
        assert (room.room_id, room.kind, kim.me, kim.connected) == ("r", "chat", "kim", True)
        async with reading(other.events()) as reader:
            ack = await room.send("msg", text="hi")
            await eventually(lambda: reader.texts == ["hi"])
            (message,) = reader.of("msg")
            assert (ack["epoch"], ack["seq"]) == (message["epoch"], message["seq"])
            assert other.position == Position(message["epoch"], message["seq"])


async def test_a_newcomer_is_given_the_state_and_then_only_what_comes_behind_it(start_node: StartNode) -> None:
    node = start_node()
    node.open_room("r", "kim")
    async with Client(node.ws_url, token="kim") as kim, Client(node.ws_url, token="lee") as lee:
        room = await kim.join("r")
        await room.send("msg", text="before")
        other = await lee.join("r")
        assert [message["text"] for message in other.state["messages"]] == ["before"]
        async with reading(other.events()) as reader:
            await room.send("msg", text="behind")
            await eventually(lambda: reader.texts == ["behind"])


async def test_members_are_kept_up_to_date_and_a_closed_client_has_left(start_node: StartNode) -> None:
    node = start_node()
    node.open_room("r", "kim")
    async with Client(node.ws_url, token="kim") as kim:
        room = await kim.join("r")
        async with reading(room.events()) as reader:
            async with Client(node.ws_url, token="lee") as lee:
                other = await lee.join("r")
                await eventually(lambda: room.members == {"kim", "lee"})
                assert room.presence["lee"] == "online"
            await eventually(lambda: room.members == {"kim"}, 1)
            await eventually(lambda: reader.of("user_left"), what="the reader's turn")
            assert reader.of("user_left")[-1]["reason"] == "left"
        assert [event async for event in other.events()] == []
        with pytest.raises(Closed):
            await other.send("msg", text="too late")


async def test_a_left_room_ends_its_stream_and_takes_no_commands(start_node: StartNode) -> None:
    node = start_node()
    node.open_room("r", "kim")
    node.open_room("s", "kim")
    async with Client(node.ws_url, token="kim") as kim:
        room, stays = await kim.join("r"), await kim.join("s")
        await room.leave()
        assert [event async for event in room.events()] == []
        with pytest.raises(Closed, match="left"):
            await room.send("msg", text="x")
        await stays.send("msg", text="still here")
        assert node.get("/api/rooms/r")[1]["data"]["members"] == []
        again = await kim.join("r")
        assert again is not room
        await again.send("msg", text="back")


async def test_what_the_server_refuses_is_raised(start_node: StartNode) -> None:
    node = start_node()
    node.open_room("r", "kim")
    async with Client(node.ws_url, token="kim") as kim:
        with pytest.raises(CommandFailed) as refused:
            await kim.join("nowhere")
        assert refused.value.code == "ROOM_NOT_FOUND"
        room = await kim.join("r")
        with pytest.raises(CommandFailed) as refused:
            await room.send("msg", text="x" * 4001)
        assert (refused.value.code, refused.value.details["field"]) == ("BAD_VALUE", "text")
        with pytest.raises(CommandFailed) as refused:
            await kim.send("no:such:command")
        assert refused.value.code == "UNKNOWN_COMMAND"


async def test_the_stream_of_all_rooms_has_every_event_of_each(start_node: StartNode) -> None:
    node = start_node()
    node.open_room("r", "kim")
    node.open_room("s", "kim")
    async with Client(node.ws_url, token="kim") as kim:
        async with reading(kim.events()) as reader:
            rooms = [await kim.join("r"), await kim.join("s")]
            for n in range(20):
                await rooms[n % 2].send("msg", text=str(n))
            await eventually(lambda: len(reader.of("msg")) == 20)
            assert [e["text"] for e in reader.of("msg") if e["roomId"] == "s"] == [str(n) for n in range(1, 20, 2)]
        await kim.close()
        assert reader.task.done()


async def test_what_was_published_by_hand_without_a_room_id_reaches_the_only_room(
    start_node: StartNode, redis_server: RedisServer
) -> None:
    node = start_node()
    node.open_room("r", "kim")
    async with Client(node.ws_url, token="kim") as kim:
        room = await kim.join("r")
        redis_server.client.publish("chan:r", '{"t":"joined","roomId":"r"}')
        redis_server.client.publish("chan:r", '{"t":"test","id":"mine?","message":"hello"}')
        stream = room.events()
        while (event := await anext(stream)) != {"t": "test", "id": "mine?", "message": "hello"}:
            assert isinstance(event, dict)
            assert event["t"] in ("user_joined", "joined")


async def test_a_frame_that_is_too_large_fails_alone_and_the_others_are_sent_again(start_node: StartNode) -> None:
    node = start_node()
    node.open_room("r", "kim")
    async with Client(node.ws_url, token="kim") as kim:
        room = await kim.join("r")
        async with reading(room.events()) as reader:
            results = await asyncio.gather(
                *[room.send("msg", text=f"small {n}") for n in range(5)],
                room.send("msg", text="x" * 70_000),
                *[room.send("msg", text=f"small {n}") for n in range(5, 10)],
                return_exceptions=True,
            )
            failed = [result for result in results if isinstance(result, BaseException)]
            assert [getattr(failure, "code", failure) for failure in failed] == ["TOO_LARGE"]
            await eventually(lambda: len(reader.of("msg")) == 10)
            assert contiguous(reader.seqs)


async def test_more_commands_than_the_rate_allows_are_spaced_and_all_acknowledged(start_node: StartNode) -> None:
    node = start_node(command_rate_per_s=20, command_burst=40)
    node.open_room("r", "kim")
    async with Client(node.ws_url, token="kim") as kim:
        room = await kim.join("r")
        acks = await asyncio.gather(*[room.send("msg", text=str(n)) for n in range(120)])
        assert len({ack["seq"] for ack in acks}) == 120
    assert node.metric("c2c_closes_total") == 0
    assert node.metric("c2c_errors_total") < 100  # 200 within 10 s would have been a flood


async def test_a_stream_that_is_not_read_overflows_loudly(start_node: StartNode) -> None:
    node = start_node()
    node.open_room("r", "kim")
    async with Client(node.ws_url, token="kim", event_limit=10) as kim:
        room = await kim.join("r")
        for n in range(20):
            ack = await room.send("msg", text=str(n))
        await eventually(lambda: room.position.seq == ack["seq"], what="all of them")
        async with reading(room.events()) as reader:
            assert isinstance(await reader.failure(), EventsOverflowed)
            assert len(reader.events) == 10


# ---- broken connections --------------------------------------------------------------------------------------------


async def test_every_publish_is_in_the_log_once_across_a_killed_and_restarted_server(
    start_node: StartNode, redis_server: RedisServer
) -> None:
    node = start_node()
    node.open_room("r", "kim")
    async with Client(node.ws_url, token="kim") as kim, Client(node.ws_url, token="lee") as lee:
        room, other = await kim.join("r"), await lee.join("r")
        async with reading(other.events()) as reader:
            sends = [asyncio.create_task(room.send("msg", text=str(n), deadline_s=90)) for n in range(500)]
            for killed_at in (100, 300):
                await eventually(lambda at=killed_at: sum(send.done() for send in sends) > at)
                node.kill()
                node.start()
            acks = await asyncio.gather(*sends)
            await eventually(lambda: len(reader.of("msg")) == 500)
            assert sorted(reader.texts, key=int) == [str(n) for n in range(500)]
            assert contiguous(reader.seqs)
            assert reader.markers == []
    logged = {event["text"]: event["seq"] for event in log_of(redis_server, "r") if event["t"] == "msg"}
    assert logged == {str(n): ack["seq"] for n, ack in enumerate(acks)}
    assert [event["t"] for event in log_of(redis_server, "r")].count("msg") == 500


async def test_a_publish_whose_answer_was_lost_with_the_server_is_not_made_twice(
    start_node: StartNode, redis_server: RedisServer
) -> None:
    node = start_node()
    node.open_room("r", "kim")
    with Proxy(node.port) as proxy:
        async with Client(f"ws://127.0.0.1:{proxy.port}/ws", token="kim") as kim:
            room = await kim.join("r")
            await room.send("msg", text="before")
            proxy.swallow_replies = lambda chunk: True
            sending = asyncio.create_task(room.send("msg", text="once"))
            await eventually(lambda: log_of(redis_server, "r")[-1].get("text") == "once")
            node.kill()
            proxy.swallow_replies = lambda chunk: False
            node.start()
            ack = await sending
            async with reading(room.events()) as reader:
                await eventually(lambda: reader.texts == ["before", "once"])
    assert [event["seq"] for event in log_of(redis_server, "r") if event.get("text") == "once"] == [ack["seq"]]


async def test_a_cut_connection_is_resumed_and_nothing_is_missed_or_seen_twice(start_node: StartNode) -> None:
    node = start_node()
    node.open_room("r", "lee")
    with Proxy(node.port) as proxy:
        url = f"ws://127.0.0.1:{proxy.port}/ws"
        async with Client(url, token="kim") as kim, Client(node.ws_url, token="lee") as lee:
            room, other = await kim.join("r"), await lee.join("r")
            async with reading(room.events()) as reader:
                await other.send("msg", text="0")
                await eventually(lambda: reader.texts == ["0"])
                proxy.refusing = True
                proxy.cut()
                await eventually(lambda: not kim.connected)
                for n in range(1, 50):
                    await other.send("msg", text=str(n))
                proxy.refusing = False
                await eventually(lambda: len(reader.texts) == 50, 20)
                await other.send("msg", text="50")
                await eventually(lambda: reader.texts == [str(n) for n in range(51)])
                assert contiguous(reader.seqs)
                assert reader.markers == []
                assert not [event for event in reader.of("user_left") if event["userId"] == "kim"]


async def test_what_can_not_be_resumed_is_a_marker_among_the_events(
    start_node: StartNode, redis_server: RedisServer
) -> None:
    node = start_node()
    node.open_room("r", "lee")
    with Proxy(node.port) as proxy:
        url = f"ws://127.0.0.1:{proxy.port}/ws"
        async with Client(url, token="kim") as kim, Client(node.ws_url, token="lee") as lee:
            room, other = await kim.join("r"), await lee.join("r")
            async with reading(room.events()) as reader:
                proxy.refusing = True
                proxy.cut()
                await eventually(lambda: not kim.connected)
                for n in range(10):
                    await other.send("msg", text=str(n))
                redis_server.client.xtrim("room:r:log", maxlen=3, approximate=False)
                proxy.refusing = False
                await eventually(lambda: reader.markers, 20)
                (marker,) = reader.markers
                assert (marker.room_id, marker.reason) == ("r", "trimmed")
                # What the trimmed log lacks has gone from the history too.
                assert [message["text"] for message in marker.state["messages"]] == ["7", "8", "9"]
                await other.send("msg", text="live")
                await eventually(lambda: "live" in reader.texts)
                behind = reader.events[reader.events.index(marker) + 1 :]
                seqs = [event["seq"] for event in behind if isinstance(event, dict)]
                assert contiguous([marker.position.seq, *seqs])
                assert room.state == marker.state


async def test_flushall_is_a_marker_with_the_new_epoch_and_then_life_goes_on(
    start_node: StartNode, redis_server: RedisServer
) -> None:
    node = start_node()
    node.open_room("r", "kim")
    async with Client(node.ws_url, token="kim") as kim:
        room = await kim.join("r")
        async with reading(room.events()) as reader, reading(kim.events()) as everything:
            await room.send("msg", text="old")
            former = room.position
            redis_server.client.flushall()
            await eventually(lambda: reader.markers)
            assert (reader.markers[0].reason, reader.markers[0].state["messages"]) == ("epoch", [])
            assert room.position.epoch == reader.markers[0].position.epoch != former.epoch
            await room.send("msg", text="new")
            await eventually(lambda: reader.texts == ["old", "new"])
            assert everything.markers == reader.markers


async def test_a_position_from_an_earlier_run_is_resumed_behind(start_node: StartNode) -> None:
    node = start_node()
    node.open_room("r", "kim")
    async with Client(node.ws_url, token="kim") as kim:
        room = await kim.join("r")
        await room.send("msg", text="seen")
        async with reading(room.events()) as reader:
            await eventually(lambda: reader.texts == ["seen"])
        seen = room.position
        await room.send("msg", text="missed")
    async with Client(node.ws_url, token="kim") as kim:
        room = await kim.join("r", since=seen)
        async with reading(room.events()) as reader:
            await eventually(lambda: reader.texts == ["missed"])
            assert reader.seqs[0] == seen.seq + 1


async def test_a_room_that_is_gone_after_a_reconnect_is_told_to_everybody_who_uses_it(
    start_node: StartNode, redis_server: RedisServer
) -> None:
    node = start_node()
    node.open_room("r", "kim")
    node.open_room("s", "kim")
    async with Client(node.ws_url, token="kim") as kim:
        room = await kim.join("r")
        stays = await kim.join("s")
        async with reading(room.events()) as reader, reading(kim.events()) as everything:
            node.kill()
            redis_server.client.delete("room:r")
            node.start()
            failure = await reader.failure(20)
            assert isinstance(failure, CommandFailed)
            assert failure.code == "ROOM_NOT_FOUND"
            with pytest.raises(CommandFailed, match="ROOM_NOT_FOUND"):
                await room.send("msg", text="x")
            assert [event.room_id for event in everything.events if isinstance(event, RoomClosed)] == ["r"]
            await stays.send("msg", text="still here")
            await eventually(lambda: everything.texts == ["still here"])


async def test_a_dead_connection_is_noticed_and_replaced(start_node: StartNode) -> None:
    node = start_node(heartbeat_s=1)
    node.open_room("r", "kim")
    async with Client(node.ws_url, token="kim") as kim:
        await kim.join("r")
        node.signal(signal.SIGSTOP)
        stopped_at_s = time.monotonic()
        await eventually(lambda: not kim.connected, 15)
        assert time.monotonic() - stopped_at_s < 10  # a ping after 1 s and 4 s of patience
        node.signal(signal.SIGCONT)
        await eventually(lambda: kim.connected, 20)


async def test_what_was_not_acknowledged_may_be_sent_again_with_the_same_id(
    start_node: StartNode, redis_server: RedisServer
) -> None:
    node = start_node()
    node.open_room("r", "kim")
    async with Client(node.ws_url, token="kim") as kim:
        room = await kim.join("r")
        node.signal(signal.SIGSTOP)
        with pytest.raises(NotAcknowledged) as unknown:
            await room.send("msg", text="once", deadline_s=0.5)
        node.signal(signal.SIGCONT)
        ack = await room.send("msg", text="once", command_id=unknown.value.command_id)
    assert [event["seq"] for event in log_of(redis_server, "r") if event["t"] == "msg"] == [ack["seq"]]


async def test_a_publish_while_redis_is_away_is_made_when_it_is_back(start_node: StartNode) -> None:
    with RedisServer(append_only=True) as server:
        server.client.config_set("appendfsync", "always")
        node = start_node(server.url)
        node.open_room("r", "kim")
        async with Client(node.ws_url, token="kim") as kim:
            room = await kim.join("r")
            server.kill()
            await eventually(lambda: node.get("/readyz")[0] == 503)
            sending = asyncio.create_task(room.send("msg", text="patient"))
            await eventually(lambda: node.metric("c2c_errors_total") > 0)
            server.start()
            ack = await sending
            assert ack["t"] == "ack"
            assert [event["text"] for event in log_of(server, "r") if event["t"] == "msg"] == ["patient"]


# ---- tokens --------------------------------------------------------------------------------------------------------


def jwt_node(start_node: StartNode) -> NodeProcess:
    node = start_node(auth="jwt", jwt_secret=SECRET)
    admin = mint_token(SECRET, "admin", name=None, ttl_s=60, rooms=None, admin=True)
    status, _ = node.request("POST", "/api/rooms", {"roomId": "r"}, {"Authorization": f"Bearer {admin}"})
    assert status == 201
    return node


async def test_an_expired_token_is_replaced_and_the_room_resumed(start_node: StartNode) -> None:
    node = jwt_node(start_node)
    asked: list[str] = []

    async def token() -> str:
        asked.append(mint_token(SECRET, "kim", name=None, ttl_s=2 if not asked else 60, rooms=None, admin=False))
        return asked[-1]

    async with Client(node.ws_url, token=token) as kim:
        room = await kim.join("r")
        async with reading(room.events()) as reader:
            await room.send("msg", text="with the first")
            await eventually(lambda: len(asked) == 2)
            await room.send("msg", text="with the second")
            await eventually(lambda: reader.texts == ["with the first", "with the second"])
            assert contiguous(reader.seqs)
            assert reader.markers == []


async def test_a_fixed_token_that_expires_stops_the_client_and_says_so_everywhere(start_node: StartNode) -> None:
    node = jwt_node(start_node)
    token = mint_token(SECRET, "kim", name=None, ttl_s=4, rooms=None, admin=False)
    async with Client(node.ws_url, token=token) as kim:
        room = await kim.join("r")
        async with reading(room.events()) as reader:
            failure = await reader.failure()
            assert isinstance(failure, Stopped)
            assert failure.code == 4401
            with pytest.raises(Stopped, match="expired"):
                await room.send("msg", text="x")


@pytest.mark.parametrize(
    "token", ["no token at all", mint_token("x" * 32, "kim", name=None, ttl_s=9, rooms=None, admin=True)]
)
async def test_a_token_that_is_worth_nothing_stops_the_client_at_once(start_node: StartNode, token: str) -> None:
    node = jwt_node(start_node)
    with pytest.raises(Stopped) as stopped:
        await Client(node.ws_url, token=token).__aenter__()
    assert (stopped.value.code, stopped.value.reason) == (4401, "invalid")


async def test_an_application_that_has_no_token_stops_the_client(start_node: StartNode) -> None:
    async def token() -> str:
        raise LookupError("signed out")

    node = jwt_node(start_node)
    with pytest.raises(Stopped, match="signed out"):
        await Client(node.ws_url, token=token).__aenter__()


async def test_five_bad_frames_stop_the_client(start_node: StartNode) -> None:
    node = start_node()
    node.open_room("r", "kim")
    async with Client(node.ws_url, token="kim") as kim:
        room = await kim.join("r")
        for _ in range(5):
            with pytest.raises(CommandFailed, match="BAD_FRAME"):
                await room.send("msg", text="x", bogus=1)
        with pytest.raises(Stopped) as stopped:
            await room.send("msg", text="x")
        assert stopped.value.code == 4400


async def test_a_server_that_is_not_there_is_said_with_the_reason() -> None:
    with pytest.raises(NotConnected, match="Connect call failed"):
        await Client(f"ws://127.0.0.1:{free_port()}/ws", token="kim", open_timeout_s=0.5).__aenter__()


async def test_an_address_that_is_no_websocket_stops_the_client(start_node: StartNode) -> None:
    node = start_node()
    with pytest.raises(Stopped) as stopped:
        await Client(f"ws://127.0.0.1:{node.port}/healthz", token="kim").__aenter__()
    assert stopped.value.code is None or stopped.value.code >= 400


# ---- a scripted server ---------------------------------------------------------------------------------------------


class Peer:
    """The server's side of one connection."""

    def __init__(self, socket: ServerConnection, number: int) -> None:
        self.socket = socket
        self.number = number
        self.asked: list[dict[str, Any]] = []

    async def take(self, t: str) -> dict[str, Any]:
        """The next command, which must be this one; pings are passed over."""
        while True:
            command: dict[str, Any] = json.loads(await self.socket.recv())
            self.asked.append(command)
            if command["t"] == t:
                return command
            assert command["t"] == "ping", command

    async def send(self, **frame: Any) -> None:
        await self.socket.send(json.dumps(frame))

    async def sign_in(self) -> str:
        hello = await self.take("hello")
        await self.send(t="welcome", id=hello["id"], me="kim", username="kim", nodeId="scripted", heartbeatMs=10_000)
        return str(hello["token"])

    async def let_join(self, seq: int, *, epoch: str = "e1", recovered: bool = False, **fields: Any) -> dict[str, Any]:
        join = await self.take("join")
        await self.send(
            t="joined", id=join["id"], roomId="r", kind="chat", me="kim", members=["kim"], presence={}, epoch=epoch,
            seq=seq, recovered=recovered, **({} if recovered else {"state": {"at": seq}}), **fields,
        )  # fmt: skip
        return join

    async def event(self, seq: int, epoch: str = "e1") -> None:
        await self.send(seq=seq, epoch=epoch, roomId="r", t="msg", text=str(seq))


Act = Callable[[Peer], Awaitable[None]]


class Stage:
    def __init__(self) -> None:
        self.url = ""
        self.peers: list[Peer] = []
        self.failures: list[BaseException] = []


@contextlib.asynccontextmanager
async def scripted(*acts: Act) -> AsyncIterator[Stage]:
    """A server that plays an act for each connection, the last one again and again; failed asserts fail the test."""
    stage = Stage()

    async def play(socket: ServerConnection) -> None:
        peer = Peer(socket, len(stage.peers))
        stage.peers.append(peer)
        try:
            await acts[min(peer.number, len(acts) - 1)](peer)
        except ConnectionClosed:
            pass
        except AssertionError as failure:
            stage.failures.append(failure)

    async with serve(play, "127.0.0.1", 0, compression=None) as server:
        stage.url = f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/ws"
        yield stage
    for failure in stage.failures:
        raise failure


async def stay(peer: Peer) -> None:
    """Sign in, let join, and answer nothing more."""
    await peer.sign_in()
    await peer.let_join(10)
    await peer.socket.wait_closed()


def closing(code: int) -> Act:
    async def act(peer: Peer) -> None:
        await peer.sign_in()
        await peer.let_join(0)
        await peer.socket.close(code, "as scripted")

    return act


async def test_a_kicked_client_stops_and_does_not_come_back() -> None:
    async with scripted(closing(4403)) as stage, Client(stage.url, token="kim") as kim:
        room = await kim.join("r")
        async with reading(room.events()) as reader:
            failure = await reader.failure()
            assert isinstance(failure, Stopped)
            assert (failure.code, failure.reason) == (4403, "as scripted")
            with pytest.raises(Stopped):
                await kim.join("other")
        assert len(stage.peers) == 1


@pytest.mark.parametrize("code", [1001, 1012, 4408, 4420, 1011])
async def test_close_codes_that_mean_come_back_are_obeyed_soon_and_with_the_position(code: int) -> None:
    asked: list[dict[str, Any]] = []

    async def resumed(peer: Peer) -> None:
        await peer.sign_in()
        asked.append(await peer.let_join(2, recovered=True))
        await peer.event(1)
        await peer.event(2)
        await peer.socket.wait_closed()

    async with scripted(closing(code), resumed) as stage, Client(stage.url, token="kim") as kim:
        room = await kim.join("r")
        async with reading(room.events()) as reader:
            await eventually(lambda: reader.seqs == [1, 2], 3)
            assert asked[0]["since"] == {"epoch": "e1", "seq": 0}
            assert reader.markers == []


async def test_after_a_flood_the_client_waits_a_second_at_least() -> None:
    times_s: list[float] = []

    async def flooded(peer: Peer) -> None:
        await peer.sign_in()
        times_s.append(time.monotonic())
        await peer.socket.close(4429, "flood")

    async def back(peer: Peer) -> None:
        times_s.append(time.monotonic())
        await stay(peer)

    async with scripted(flooded, back) as stage, Client(stage.url, token="kim"):
        await eventually(lambda: len(times_s) == 2)
        assert times_s[1] - times_s[0] >= 1


async def test_a_refused_token_is_asked_for_again() -> None:
    tokens = iter(["old", "new"])

    async def token() -> str:
        return next(tokens)

    async def refuse(peer: Peer) -> None:
        hello = await peer.take("hello")
        assert hello["token"] == "old"
        await peer.send(t="error", id=hello["id"], code="UNAUTHORIZED", message="no", retryable=False, reason="expired")
        await peer.socket.close(4401, "expired")

    async def accept(peer: Peer) -> None:
        assert await peer.sign_in() == "new"
        await peer.socket.wait_closed()

    async with scripted(refuse, accept) as stage, Client(stage.url, token=token) as kim:
        assert kim.me == "kim"
        assert len(stage.peers) == 2


async def test_a_gap_that_the_server_leaves_is_closed_by_joining_again() -> None:
    async def leaves_a_gap(peer: Peer) -> None:
        await peer.sign_in()
        await peer.let_join(0)
        for seq in (1, 3, 4):
            await peer.event(seq)
        again = await peer.let_join(4, recovered=True)
        assert again["since"] == {"epoch": "e1", "seq": 1}
        for seq in (2, 3, 4, 5):
            await peer.event(seq)
        await peer.socket.wait_closed()

    async with scripted(leaves_a_gap) as stage, Client(stage.url, token="kim") as kim:
        room = await kim.join("r")
        async with reading(room.events()) as reader:
            await eventually(lambda: reader.seqs == [1, 2, 3, 4, 5])


async def test_a_command_without_an_answer_is_sent_again_with_the_same_id_and_a_second_answer_is_no_event() -> None:
    ids: list[str] = []

    async def slow(peer: Peer) -> None:
        await peer.sign_in()
        await peer.let_join(0)
        ids.append((await peer.take("msg"))["id"])
        ids.append((await peer.take("msg"))["id"])
        await peer.send(t="ack", id=ids[0], epoch="e1", seq=1)
        other = await peer.take("msg")
        await peer.send(t="ack", id=ids[0], epoch="e1", seq=1)  # that to the repetition, late
        await peer.event(1)
        await peer.send(t="ack", id=other["id"], epoch="e1", seq=2)
        await peer.socket.wait_closed()

    async with scripted(slow) as stage, Client(stage.url, token="kim") as kim:
        room = await kim.join("r")
        assert (await room.send("msg", text="x"))["seq"] == 1
        assert ids[0] == ids[1]
        assert (await room.send("msg", text="y"))["seq"] == 2
        assert await anext(room.events()) == {"seq": 1, "epoch": "e1", "roomId": "r", "t": "msg", "text": "1"}


async def test_retryable_errors_are_retried_after_the_time_they_name() -> None:
    times_s: list[float] = []

    async def busy(peer: Peer) -> None:
        await peer.sign_in()
        await peer.let_join(0)
        ids = set()
        for _ in range(3):
            command = await peer.take("msg")
            times_s.append(time.monotonic())
            ids.add(command["id"])
            await peer.send(
                t="error", id=command["id"], code="SERVICE_UNAVAILABLE", message="", retryable=True, retryAfterMs=300
            )
        command = await peer.take("msg")
        assert ids == {command["id"]}
        await peer.send(t="ack", id=command["id"], epoch="e1", seq=1)
        await peer.socket.wait_closed()

    async with scripted(busy) as stage, Client(stage.url, token="kim") as kim:
        room = await kim.join("r")
        assert (await room.send("msg", text="x"))["t"] == "ack"
        assert all(later - earlier >= 0.3 for earlier, later in itertools.pairwise(times_s))


async def test_commands_under_way_end_with_the_client() -> None:
    async with scripted(stay) as stage, AsyncExitStack() as stack:
        kim = await stack.enter_async_context(Client(stage.url, token="kim"))
        room: Room = await kim.join("r")
        sending = asyncio.create_task(room.send("msg", text="x"))
        await eventually(lambda: len(kim.rooms) == 1 and stage.peers[0].socket)
        await kim.close()
        with pytest.raises(Closed):
            await sending
        await eventually(lambda: stage.peers[0].socket.close_code == 1000)
