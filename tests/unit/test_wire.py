"""The WebSocket protocol on real sockets: pings, messages in order and within bounds, and every way to end."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, Final

import pytest
import uvicorn
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from c2c.keepalive import PING, Keepalive
from c2c.wire import EXTENSION, HttpProtocol, ServerState, Wire, WireProtocol
from tests.support import eventually

App = Callable[[Any, Any, Any], Awaitable[None]]

_INTERVAL_S: Final = 0.2
_PONG: Final = b"\x8a\x80\0\0\0\0"
_REQUEST: Final = (
    b"GET /ws HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)


class Served:
    """A server with one application, and what that saw."""

    def __init__(self) -> None:
        self.port = 0
        self.wires: list[Any] = []
        self.messages: list[dict[str, Any]] = []
        self.reading = asyncio.Event()
        self.reading.set()

    async def app(self, scope: Any, receive: Any, send: Any) -> None:
        """Accepts everybody, and keeps what comes while `reading` is set."""
        wire: Wire = scope["extensions"][EXTENSION]
        self.wires.append(wire)
        wire.accept(None)
        while True:
            await self.reading.wait()
            message = await wire.receive()
            self.messages.append(message)
            if message["type"] == "websocket.disconnect":
                return

    @property
    def ends(self) -> list[int]:
        return [message["code"] for message in self.messages if message["type"] == "websocket.disconnect"]

    @property
    def texts(self) -> list[str]:
        return [message["text"] for message in self.messages if "text" in message]

    def connect(self) -> connect:
        return connect(f"ws://127.0.0.1:{self.port}/ws", compression=None, ping_interval=None)


@contextlib.asynccontextmanager
async def serve(app: App | None = None, interval_s: float = _INTERVAL_S) -> AsyncIterator[Served]:
    served = Served()
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        served.port = listener.getsockname()[1]
        config = uvicorn.Config(
            app or served.app, interface="asgi3", http=HttpProtocol, ws=WireProtocol, ws_max_size=65_536,
            lifespan="off", log_config=None,
        )  # fmt: skip
        server = uvicorn.Server(config)
        keepalive = Keepalive(interval_s)
        server.server_state = ServerState(keepalive)
        running = asyncio.create_task(server.serve([listener]))
        await eventually(lambda: server.started)
        keepalive.start()
        try:
            yield served
        finally:
            served.reading.set()
            server.should_exit = True
            await running
            keepalive.stop()
            assert not server.server_state.connections
            assert not server.server_state.tasks


@contextlib.asynccontextmanager
async def raw(served: Served) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """A connection by hand, with its handshake behind it."""
    reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
    try:
        async with asyncio.timeout(10):
            writer.write(_REQUEST)
            assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 101 ")
            yield reader, writer
    finally:
        writer.transport.abort()


def text_frame(text: bytes) -> bytes:
    return b"\x81" + bytes((0x80 | len(text),)) + bytes(4) + text


# Pings


async def test_who_answers_pings_is_pinged_again_and_stays() -> None:
    async with serve() as served, raw(served) as (reader, writer):
        started_s = asyncio.get_running_loop().time()
        for _ in range(5):
            assert await reader.readexactly(2) == PING
            writer.write(_PONG)
        # Never sooner than the interval, for that is what everybody has to answer.
        assert asyncio.get_running_loop().time() - started_s >= 4 * _INTERVAL_S
        assert served.ends == []


async def test_who_does_not_answer_a_ping_is_closed_with_1011() -> None:
    async with serve() as served, raw(served) as (reader, _):
        assert await reader.readexactly(2) == PING
        code, reason = 1011, b"no pong"
        assert await reader.readexactly(4 + len(reason)) == bytes((0x88, 2 + len(reason))) + code.to_bytes(2) + reason
        await eventually(lambda: served.ends == [1011])


async def test_frames_that_are_no_pong_do_not_answer_a_ping() -> None:
    async with serve() as served, raw(served) as (reader, writer):
        assert await reader.readexactly(2) == PING
        writer.write(text_frame(b"hello"))
        assert (await reader.readexactly(2))[0] == 0x88
        await eventually(lambda: served.ends == [1011])
        assert served.texts == ["hello"]


async def test_whose_pong_waits_behind_messages_that_we_do_not_read_is_not_given_up() -> None:
    async with serve() as served, raw(served) as (reader, writer):
        served.reading.clear()
        writer.write(text_frame(b"0"))  # the application waits for this one already
        await eventually(lambda: served.texts == ["0"])
        writer.write(text_frame(b"1"))
        await eventually(lambda: served.wires[0]._paused)
        for _ in range(4):
            assert await reader.readexactly(2) == PING
        writer.write(_PONG)
        served.reading.set()
        await eventually(lambda: served.texts == ["0", "1"])
        assert await reader.readexactly(2) == PING
        assert served.ends == []


async def test_a_connection_that_is_gone_is_pinged_no_more() -> None:
    async with serve() as served:
        for _ in range(3):
            async with served.connect():
                pass
        await eventually(lambda: served.ends == [1000] * 3)
        keepalive: Keepalive = served.wires[0]._server.keepalive
        await eventually(lambda: not any(keepalive._slots))


# Messages


async def test_messages_come_in_order_whether_one_by_one_or_together() -> None:
    async with serve(interval_s=10) as served, raw(served) as (_, writer):
        writer.write(b"".join(text_frame(b"%d" % n) for n in range(500)))
        await eventually(lambda: len(served.texts) == 500)
        for n in range(500, 520):
            writer.write(text_frame(b"%d" % n))
            await writer.drain()
        await eventually(lambda: served.texts == [str(n) for n in range(520)])


@pytest.mark.parametrize("last", [b"\x80", b"\x00"], ids=["the last", "and more to come"])
async def test_a_message_has_1000_fragments_and_one_more_closes_with_1009(last: bytes) -> None:
    empty, no_mask = b"\x00\x80" + bytes(4), b"\x80" + bytes(4)
    async with serve(interval_s=10) as served, raw(served) as (reader, writer):
        writer.write(text_frame(b"a").replace(b"\x81", b"\x01", 1) + empty * 998 + b"\x80" + no_mask)
        await eventually(lambda: served.texts == ["a"])
        writer.write(text_frame(b"b").replace(b"\x81", b"\x01", 1) + empty * 999 + last + no_mask)
        assert (await reader.readexactly(4))[2:] == (1009).to_bytes(2)
        await eventually(lambda: served.ends == [1009])
        assert served.texts == ["a"]


async def test_while_nobody_reads_the_client_is_not_read_either_and_nothing_is_lost() -> None:
    message = "x" * 60_000
    async with serve(interval_s=10) as served, served.connect() as client:
        served.reading.clear()
        sent = 0

        async def flood() -> None:
            nonlocal sent
            while True:
                await client.send(message)
                sent += 1

        flooding = asyncio.create_task(flood())
        try:
            await eventually(lambda: served.wires and served.wires[0]._paused)
            waiting = len(served.wires[0]._messages)
            await eventually(lambda: not client.protocol.data_to_send() and _stalled(client))
            assert len(served.wires[0]._messages) == waiting <= 10
        finally:
            flooding.cancel()
        served.reading.set()
        await eventually(lambda: len(served.texts) >= sent)
        assert set(served.texts) == {message}


def _stalled(client: ClientConnection) -> bool:
    """Whether the client's own buffer has filled behind the kernel's."""
    return client.transport.get_write_buffer_size() > 0


# The end


async def test_the_clients_close_code_reaches_the_application() -> None:
    async with serve() as served:
        async with served.connect() as client:
            await client.close(4321, "enough")
        await eventually(lambda: served.ends == [4321])
        assert served.messages[-1]["reason"] == "enough"


async def test_a_lost_connection_reaches_the_application_as_1005() -> None:
    async with serve() as served:
        async with served.connect() as client:
            client.transport.abort()
        await eventually(lambda: served.ends == [1005])


async def test_our_close_code_reaches_the_client_behind_what_was_written() -> None:
    async with serve() as served, served.connect() as client:
        await eventually(lambda: served.wires)
        served.wires[0].write(b"\x81\x05hello")
        served.wires[0].close(4400, "bad")
        served.wires[0].close(4401, "again")
        assert await client.recv() == "hello"
        with pytest.raises(ConnectionClosed) as closed:
            await client.recv()
        assert (closed.value.rcvd and closed.value.rcvd.code) == 4400
        await eventually(lambda: served.ends == [4400])


async def test_the_answer_to_our_close_is_read_though_messages_wait() -> None:
    async with serve(interval_s=10) as served, raw(served) as (reader, writer):
        served.reading.clear()
        writer.write(text_frame(b"0"))
        await eventually(lambda: served.texts == ["0"])
        writer.write(text_frame(b"1"))
        await eventually(lambda: served.wires[0]._paused)
        served.wires[0].close(4400, "")
        assert await reader.readexactly(4) == b"\x88\x02" + (4400).to_bytes(2)
        writer.write(b"\x88\x82" + bytes(4) + (4400).to_bytes(2))
        async with asyncio.timeout(5):  # without the answer it would be cut after ten
            assert await reader.read() == b""


async def test_a_server_that_stops_says_1012() -> None:
    async with contextlib.AsyncExitStack() as stack:
        async with serve() as served:
            client = await stack.enter_async_context(served.connect())
            await eventually(lambda: served.wires)
        with pytest.raises(ConnectionClosed) as closed:
            await client.recv()
        assert (closed.value.rcvd and closed.value.rcvd.code) == 1012


async def test_data_before_our_answer_ends_the_connection() -> None:
    """RFC 6455, section 4.1: a client waits for the answer."""
    entered = asyncio.Event()
    leave = asyncio.Event()

    async def slow(scope: Any, receive: Any, send: Any) -> None:
        entered.set()
        await leave.wait()

    async with serve(slow) as served:
        reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
        writer.write(_REQUEST)
        await entered.wait()
        writer.write(text_frame(b"early"))
        async with asyncio.timeout(5):
            with contextlib.suppress(ConnectionResetError):
                assert await reader.read() == b""
        writer.transport.abort()
        leave.set()


# Refusals by the application


async def _says_nothing(scope: Any, receive: Any, send: Any) -> None:
    return


async def _fails(scope: Any, receive: Any, send: Any) -> None:
    raise RuntimeError("on purpose")


async def _closes(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "websocket.close", "code": 1000})


async def _denies(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "websocket.http.response.start", "status": 503, "headers": [(b"retry-after", b"1")]})
    await send({"type": "websocket.http.response.body", "body": b"full"})


@pytest.mark.parametrize(
    ("app", "status", "body"),
    [(_says_nothing, 500, b""), (_fails, 500, b""), (_closes, 403, b""), (_denies, 503, b"full")],
)
async def test_an_application_that_does_not_accept_is_an_answer_too(
    app: App, status: int, body: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.CRITICAL, "c2c.wire"):
        async with serve(app) as served:
            with pytest.raises(InvalidStatus) as refused:
                await served.connect()
    response = refused.value.response
    assert (response.status_code, bytes(response.body or b"")) == (status, body)
    assert response.headers["Connection"] == "close"
    assert response.headers.get("Retry-After") == ("1" if app is _denies else None)
