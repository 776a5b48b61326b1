"""One connection of the client, and the streams that events leave it by."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import OrderedDict, deque
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from dataclasses import dataclass
from typing import Any, Final

from pydantic_core import from_json, to_json
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from c2c.client_state import ClientError, Event, EventsOverflowed
from c2c.errors import CloseCode, TooLarge

log = logging.getLogger("c2c.client")

_SUBPROTOCOL: Final = "c2c.json"
_OPEN_TIMEOUT_S: Final = 10.0
_CLOSE_TIMEOUT_S: Final = 2.0
_FRAME_BYTES_MAX: Final = 16 * 1_048_576
_PATIENCE_S: Final = 4.0
_TICK_S: Final = 0.25
_ANSWERED_IDS: Final = 1024


class EventStream(AsyncIterator[Event]):
    """Events in order, each once. For one reader; ends when the room is left or the client closed.

    Raises EventsOverflowed, Stopped or CommandFailed behind the events that came before.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._events: deque[Event] = deque()
        self._waiter: asyncio.Future[None] | None = None
        self._ended = False
        self._failure: ClientError | None = None

    def put(self, event: Event) -> None:
        """Add an event. More than the limit end the stream."""
        if self._ended:
            return
        if len(self._events) >= self._limit:
            log.info("a stream of events is not read and ends here: %d are waiting", self._limit)
            self.end(EventsOverflowed(self._limit))
            return
        self._events.append(event)
        self._wake()

    def end(self, failure: ClientError | None) -> None:
        """Let the reader come to an end behind what is waiting, with an error or without."""
        if not self._ended:
            self._ended = True
            self._failure = failure
            self._wake()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def __aiter__(self) -> EventStream:
        return self

    async def __anext__(self) -> Event:
        while not self._events:
            if self._failure is not None:
                raise self._failure
            if self._ended:
                raise StopAsyncIteration
            if self._waiter is not None:
                raise RuntimeError("this stream of events has a reader already")
            self._waiter = asyncio.get_running_loop().create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        return self._events.popleft()


class _Connect(connect):
    """websockets' `connect`, which follows no redirects: the token would go wherever they lead."""

    def process_redirect(self, exc: Exception) -> Exception | str:
        return exc


async def open_websocket(url: str) -> ClientConnection:
    """Connect. Raises OSError, TimeoutError and the exceptions of websockets.

    No keepalive of the library's own (the protocol has its `ping`), and no compression (the server has none).
    """
    return await _Connect(
        url,
        subprotocols=[_SUBPROTOCOL],  # type: ignore[list-item]
        compression=None,
        open_timeout=_OPEN_TIMEOUT_S,
        close_timeout=_CLOSE_TIMEOUT_S,
        ping_interval=None,
        max_size=_FRAME_BYTES_MAX,
    )


@dataclass(slots=True)
class _Question:
    """A command that waits for its answer."""

    answer: asyncio.Future[dict[str, Any] | None]
    size_bytes: int


class Link:
    """One WebSocket: asks and is answered, reads, pings, and owns the tasks that live as long as it does."""

    def __init__(self, websocket: ClientConnection) -> None:
        self._websocket = websocket
        self._loop = asyncio.get_running_loop()
        self._questions: dict[str, _Question] = {}
        self._answered: OrderedDict[str, None] = OrderedDict()
        self._tasks: set[asyncio.Task[None]] = set()
        self._heard_s = self._loop.time()
        self._too_large: str | None = None
        self.lost = False
        self.signed_in_s: float | None = None
        self.close_code: int | None = None
        self.close_reason = ""

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Run something until it is done or the connection has ended. A defect in it ends the connection."""
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._spawned_ended)

    def _spawned_ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            log.error("a task of the connection failed", exc_info=task.exception())
            self.abort()

    async def ask(self, command: Mapping[str, Any], within_s: float) -> dict[str, Any] | None:
        """Send a command with an `id` and wait for its answer. None: the connection was lost, or no answer in time."""
        command_id, frame = command["id"], to_json(command)
        question = _Question(self._loop.create_future(), len(frame))
        if self.lost:
            return None
        self._questions[command_id] = question
        try:
            async with asyncio.timeout(within_s):
                await self._websocket.send(frame, text=True)
                answer = await question.answer
            return answer if answer is not None else self._verdict(command_id)
        except TimeoutError:
            return None
        except ConnectionClosed:
            return self._verdict(command_id)
        finally:
            self._questions.pop(command_id, None)
            self._answered[command_id] = None
            if len(self._answered) > _ANSWERED_IDS:
                self._answered.popitem(last=False)

    def _verdict(self, command_id: str) -> dict[str, Any] | None:
        """What a lost connection means for a command: mostly nothing, so it is sent again on the next one.

        But 1009 was somebody's fault, and who sends that frame again is closed again. The largest one it must be.
        """
        closed = self._websocket.protocol.close_rcvd
        if closed is None or closed.code != CloseCode.TOO_BIG:
            return None
        if self._too_large is None:
            self._too_large = max(self._questions, key=lambda id_: self._questions[id_].size_bytes)
        if command_id != self._too_large:
            return None
        return {"t": "error", "code": TooLarge.code, "message": "The frame is too large.", "retryable": False}

    def resolve(self, frame: dict[str, Any]) -> bool:
        """Whether a frame answers one of our commands; the first answer is handed to who waits for it."""
        command_id = frame.get("id")
        if not isinstance(command_id, str):
            return False
        question = self._questions.get(command_id)
        if question is not None and not question.answer.done():
            question.answer.set_result(frame)
        return question is not None or command_id in self._answered

    async def read(self, take: Callable[[dict[str, Any]], None]) -> None:
        """Hand every frame to `take`, until the connection ends; `close_code` says how."""
        try:
            while True:
                frame = await self._websocket.recv()
                self._heard_s = self._loop.time()
                try:
                    message = from_json(frame)
                except ValueError:
                    log.warning("the server sent what is not JSON")
                    continue
                if isinstance(message, dict):
                    take(message)
        except ConnectionClosed as closed:
            if closed.rcvd is not None and self.close_code is None:
                self.close_code, self.close_reason = closed.rcvd.code, closed.rcvd.reason
        finally:
            self.lost = True
            for question in self._questions.values():
                if not question.answer.done():
                    question.answer.set_result(None)

    async def keep_alive(self, heartbeat_s: float) -> None:
        """Ping every `heartbeat_s` seconds and cut the connection when nothing is heard for 4 s after a ping.

        With the protocol's 10 s a dead connection is noticed within 15 s. Counted from the ping and not from what was
        heard last: an application that held up the loop must not take that for a dead server.
        """
        pinged_s = self._loop.time()
        while not self.lost:
            await asyncio.sleep(min(_TICK_S, heartbeat_s / 2))
            now_s = self._loop.time()
            if self._heard_s < pinged_s:
                if now_s - pinged_s >= _PATIENCE_S:
                    log.warning("the connection is dead: no pong within %g s", _PATIENCE_S)
                    self.abort()
                    return
            elif now_s - pinged_s >= heartbeat_s:
                pinged_s = now_s
                with contextlib.suppress(TimeoutError, ConnectionClosed):
                    async with asyncio.timeout(_PATIENCE_S):
                        await self._websocket.send('{"t":"ping"}')

    def refuse(self, code: int, reason: str) -> None:
        """End the connection as if the server had closed it with this code."""
        self.close_code, self.close_reason = code, reason
        self.abort()

    def abort(self) -> None:
        """Cut the connection without a goodbye: the server keeps our places for its grace period."""
        self._websocket.transport.abort()

    async def aclose(self, code: int) -> None:
        """Say goodbye and wait for the end, 2 s at most."""
        with contextlib.suppress(TimeoutError):  # who reads nothing does not take our goodbye either
            async with asyncio.timeout(_CLOSE_TIMEOUT_S):
                await self._websocket.close(code)

    async def end_tasks(self) -> None:
        """Cancel what was spawned and wait for it."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
