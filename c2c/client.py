"""The Python client: rooms that survive broken connections, for programs, the command line and the tests.

    async with Client("ws://127.0.0.1:8080/ws", token="kim") as client:
        room = await client.join("abc12345")
        await room.send("msg", text="hi")
        async for event in room.events():
            print(event)

It keeps one connection, opens another when that is lost, and resumes each room behind the last event that it passed
on. What can't be resumed is said, by a `StateReplaced` among the events: never a silent hole. A command is sent until
it is answered, always with the same id, so the server carries it out once.
"""

from __future__ import annotations

import asyncio
import functools
import logging
import time
import unicodedata
import uuid
import weakref
from collections.abc import Awaitable, Callable, Mapping
from types import TracebackType
from typing import Any, Final, Self, TypeAlias

from websockets.client import process_exception
from websockets.exceptions import InvalidStatus, WebSocketException

from c2c.client_link import EventStream, Link, open_websocket
from c2c.client_state import (
    AfterClose,
    Backoff,
    ClientError,
    Closed,
    CommandFailed,
    Event,
    EventsOverflowed,
    NotAcknowledged,
    NotConnected,
    Pacer,
    RoomClosed,
    RoomTrack,
    StateReplaced,
    Stopped,
    Verdict,
    after_close,
    is_joined,
)
from c2c.errors import CloseCode, NotAMember, RateLimited, RoomNotFound
from c2c.events import Position

__all__ = [
    "Client",
    "ClientError",
    "Closed",
    "CommandFailed",
    "Event",
    "EventStream",
    "EventsOverflowed",
    "NotAcknowledged",
    "NotConnected",
    "Position",
    "Room",
    "RoomClosed",
    "StateReplaced",
    "Stopped",
    "Token",
]

log = logging.getLogger("c2c.client")

Token: TypeAlias = str | Callable[[], Awaitable[str]]

DEADLINE_S: Final = 30.0
_ANSWER_S: Final = 5.0
_SIGN_IN_S: Final = 5.0
_RETRY_S: Final = 1.0
_REOPEN_S: Final = 6.0
_IN_FLIGHT: Final = 32
_HEARTBEAT_MIN_S: Final = 0.5
_HEARTBEAT_MAX_S: Final = 10.0
_CLEAN_CLOSE: Final = 1000
_TOO_MANY_REQUESTS: Final = 429


class Room:
    """A room that the client has joined, kept up to date. Made by `Client.join`."""

    def __init__(self, client: Client, track: RoomTrack, event_limit: int) -> None:
        self._client = client
        self._track = track
        self._stream = EventStream(event_limit)
        self._link: Link | None = None
        self._entering: Link | None = None
        self._was_in = False
        self._failure: ClientError | None = None

    @property
    def room_id(self) -> str:
        return self._track.room_id

    @property
    def kind(self) -> str:
        """The kind's name, such as `chat`."""
        return self._track.kind

    @property
    def members(self) -> frozenset[str]:
        """User ids of who is in the room, by the events that have arrived.

        Of the room `online`: the first 500 at the join, and whoever has come or changed since.
        """
        return frozenset(self._track.members)

    @property
    def presence(self) -> dict[str, str]:
        """User id of each member → status, by the events that have arrived."""
        return dict(self._track.presence)

    @property
    def state(self) -> Mapping[str, Any]:
        """The snapshot that the kind gave at the join or at the last `StateReplaced`; events do not change it."""
        return self._track.state

    @property
    def position(self) -> Position:
        """Where the last event that has arrived stands. Raises Closed when the join never came about."""
        if self._track.position is None:
            raise Closed("the room was never joined")
        return self._track.position

    def events(self) -> EventStream:
        """The events behind `state`, in order, each once: JSON objects as dicts, and `StateReplaced` markers.

        Always the same stream, for one reader. It collects from the join on, up to the client's `event_limit`.
        Raises (while iterating) EventsOverflowed, Stopped, and CommandFailed when the room can't be joined again.
        """
        return self._stream

    async def send(
        self, t: str, *, deadline_s: float = DEADLINE_S, command_id: str | None = None, **fields: Any
    ) -> dict[str, Any]:
        """Send a command to the room and wait until it is answered, across broken connections.

        Arguments: `t`, the command's name, and its `fields` by their wire names; `command_id`, 1–64 characters, by
        default a new one, to send again what was not acknowledged.
        Returns the answer, for `msg` `{"t": "ack", "epoch": …, "seq": …}`.
        Raises CommandFailed, NotAcknowledged after `deadline_s` seconds, Stopped, Closed.
        """
        return await self._client._ask({"t": t, "roomId": self.room_id, **fields}, self, deadline_s, command_id)

    async def leave(self) -> None:
        """Leave the room and end its stream. The others are told at once if the server hears it, else soon."""
        await self._client._leave(self)

    def _end(self, failure: ClientError) -> None:
        self._failure = failure
        self._link = None
        self._stream.end(_shown(failure))


class Client:
    """One user's connection. `async with` opens it, waits for the sign-in, and closes it.

    Arguments: `url`, such as `wss://example.org/ws`; `token`, or an async function that returns one and is asked
    again when the server finds it expired; `event_limit`, how many events a stream holds for a slow reader;
    `open_timeout_s`, how long the first connection may take.
    """

    def __init__(
        self, url: str, *, token: Token, event_limit: int = 10_000, open_timeout_s: float = DEADLINE_S
    ) -> None:
        self._url = url
        self._token_source = token
        self._token: str | None = None
        self._event_limit = event_limit
        self._open_timeout_s = open_timeout_s
        self._rooms: dict[str, Room] = {}
        self._streams: weakref.WeakSet[EventStream] = weakref.WeakSet()
        self._in_flight: set[str] = set()
        self._window = asyncio.Semaphore(_IN_FLIGHT)
        self._pacer = Pacer()
        self._backoff = Backoff()
        self._link: Link | None = None
        self._welcome: dict[str, Any] = {}
        self._trouble = "not connected yet"
        self._failure: ClientError | None = None
        self._changed = asyncio.Event()
        self._runner: asyncio.Task[None] | None = None

    # What it is

    @property
    def me(self) -> str:
        """The user id that the server knows us by; empty before the first sign-in."""
        return str(self._welcome.get("me", ""))

    @property
    def node_id(self) -> str:
        """The node that we are (or were last) connected to."""
        return str(self._welcome.get("nodeId", ""))

    @property
    def connected(self) -> bool:
        """Whether there is a connection that is signed in, as far as we know."""
        return self._link is not None

    @property
    def rooms(self) -> dict[str, Room]:
        """Room id → room, of those that are joined or being joined."""
        return dict(self._rooms)

    # Life

    async def __aenter__(self) -> Self:
        """Raises NotConnected after `open_timeout_s`, Stopped when the server refuses us."""
        self._runner = asyncio.create_task(self._run(), name="c2c-client")
        try:
            async with asyncio.timeout(self._open_timeout_s):
                await self._ready(None)
        except TimeoutError:
            await self.close()
            raise NotConnected(f"no connection within {self._open_timeout_s:g} s: {self._trouble}") from None
        except BaseException:
            await self.close()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Leave all rooms and close the connection (code 1000). Streams end; commands under way raise Closed."""
        self._finish(Closed("the client was closed"))
        if self._link is not None:
            await self._link.aclose(_CLEAN_CLOSE)
        if self._runner is not None:
            self._runner.cancel()
            await asyncio.gather(self._runner, return_exceptions=True)

    def _finish(self, failure: ClientError) -> None:
        if self._failure is not None:
            return
        self._failure = failure
        for room in self._rooms.values():
            room._end(failure)
        for stream in list(self._streams):
            stream.end(_shown(failure))
        self._notify()

    def _notify(self) -> None:
        """Wake everybody who waits for a connection or a room."""
        self._changed.set()
        self._changed.clear()

    # Using it

    async def join(self, room_id: str, *, since: Position | None = None, deadline_s: float = DEADLINE_S) -> Room:
        """Join a room, and join it again after every broken connection until it is left.

        Arguments: `since`, a position to resume from: the events behind it come first, or a `StateReplaced`; it has no
        meaning for a room that is joined already.
        Returns the room, the same one if it is joined already. Raises CommandFailed (`ROOM_NOT_FOUND`, …),
        NotAcknowledged after `deadline_s` seconds, Stopped, Closed.
        """
        room_id = unicodedata.normalize("NFC", room_id)
        room = self._rooms.get(room_id)
        if room is None:
            room = self._rooms[room_id] = Room(self, RoomTrack(room_id, since), self._event_limit)
            if self._link is not None:
                self._enter_soon(room, self._link)
        try:
            async with asyncio.timeout(deadline_s):
                await self._ready(room)
        except BaseException as failure:
            if not room._was_in:
                self._forget(room)
            if isinstance(failure, TimeoutError):
                raise NotAcknowledged("", deadline_s, self._trouble) from None
            raise
        return room

    def events(self) -> EventStream:
        """A new stream of the events of all rooms, from now on: call it before `join` to miss nothing.

        A room that can't be joined again shows as a `RoomClosed` marker.
        """
        stream = EventStream(self._event_limit)
        if self._failure is not None:
            stream.end(_shown(self._failure))
        self._streams.add(stream)
        return stream

    async def send(
        self, t: str, *, deadline_s: float = DEADLINE_S, command_id: str | None = None, **fields: Any
    ) -> dict[str, Any]:
        """Send a command that belongs to no room, such as `online:list`; otherwise as `Room.send`."""
        return await self._ask({"t": t, **fields}, None, deadline_s, command_id)

    # Commands

    async def _ask(
        self, command: dict[str, Any], room: Room | None, deadline_s: float, command_id: str | None
    ) -> dict[str, Any]:
        command_id = command_id or uuid.uuid4().hex
        if command_id in self._in_flight:
            raise ValueError(f"a command with the id {command_id} is under way")
        self._in_flight.add(command_id)
        try:
            async with asyncio.timeout(deadline_s):
                return await self._insist({**command, "id": command_id}, room)
        except TimeoutError:
            raise NotAcknowledged(command_id, deadline_s, self._trouble) from None
        finally:
            self._in_flight.discard(command_id)

    async def _insist(self, command: dict[str, Any], room: Room | None) -> dict[str, Any]:
        """Send a command, with the same id each time, until there is an answer that settles it."""
        while True:
            link = await self._ready(room)
            async with self._window:
                answer = await self._ask_once(link, command)
            if answer is None:
                continue
            if answer["t"] != "error":
                return answer
            if answer.get("retryable") is True:
                self._trouble = f"{answer.get('message')} ({answer.get('code')})"
                await self._pause(answer)
            elif answer.get("code") == NotAMember.code and room is not None and room._link is not link:
                continue  # the room is being joined again
            else:
                raise _failed(answer)

    async def _ask_once(self, link: Link, command: Mapping[str, Any]) -> dict[str, Any] | None:
        loop = asyncio.get_running_loop()
        await asyncio.sleep(self._pacer.reserve(loop.time()))
        answer = await link.ask(command, _ANSWER_S)
        if answer is not None and answer.get("code") == RateLimited.code:
            self._pacer.refused(loop.time(), _retry_after_s(answer))
        elif answer is not None:
            self._pacer.taken(loop.time())
        return answer

    async def _pause(self, answer: Mapping[str, Any]) -> None:
        """Wait as long as a retryable error asks for; the pacer does it for refused rates."""
        if answer.get("code") != RateLimited.code:
            await asyncio.sleep(_retry_after_s(answer))

    async def _ready(self, room: Room | None) -> Link:
        """The connection, as soon as it is signed in and in the room. Raises what ended the room or the client."""
        while True:
            if self._failure is not None:
                raise self._failure
            if room is not None and room._failure is not None:
                raise room._failure
            link = self._link
            if link is not None and not link.lost and (room is None or room._link is link):
                return link
            await self._changed.wait()

    # Rooms

    def _enter_soon(self, room: Room, link: Link) -> None:
        if room._entering is not link:
            room._entering = link
            link.spawn(self._enter(room, link))

    async def _enter(self, room: Room, link: Link) -> None:
        """Join a room on a connection, as often as it takes. `_joined` does the rest, in the order of the frames."""
        began_s = time.monotonic()
        try:
            while self._rooms.get(room.room_id) is room and room._link is not link and not link.lost:
                answer = await self._ask_once(link, self._join_command(room))
                if answer is None or answer["t"] == "joined":
                    continue
                # A room that Redis lost is opened again by the nodes that have members of it: give them the time.
                reopening = answer.get("code") == RoomNotFound.code and room._was_in
                if answer.get("retryable") is True or (reopening and time.monotonic() - began_s < _REOPEN_S):
                    self._trouble = f"{answer.get('message')} ({answer.get('code')})"
                    await asyncio.sleep(_retry_after_s(answer))
                else:
                    self._refused(room, _failed(answer))
                    return
        finally:
            if room._entering is link:
                room._entering = None

    def _join_command(self, room: Room) -> dict[str, Any]:
        command: dict[str, Any] = {"t": "join", "roomId": room.room_id, "id": uuid.uuid4().hex}
        position = room._track.position
        if position is not None:
            command["since"] = {"epoch": position.epoch, "seq": position.seq}
        return command

    def _refused(self, room: Room, failure: ClientError) -> None:
        """A room that can't be joined: who waits for it, reads it or sends to it hears why."""
        self._rooms.pop(room.room_id, None)
        room._end(failure)
        if room._was_in:
            for stream in list(self._streams):
                stream.put(RoomClosed(room.room_id, failure))
        self._notify()

    async def _leave(self, room: Room) -> None:
        link = self._link
        if self._rooms.get(room.room_id) is not room:
            return
        del self._rooms[room.room_id]
        room._end(Closed("the room was left"))
        self._notify()
        if link is not None:
            await self._say_leave(room, link)

    def _forget(self, room: Room) -> None:
        """Give up a join that did not come about; the server may have carried it out all the same."""
        if self._rooms.get(room.room_id) is room:
            del self._rooms[room.room_id]
            room._end(Closed("the room was left"))
            if self._link is not None:
                self._link.spawn(self._say_leave(room, self._link))

    async def _say_leave(self, room: Room, link: Link) -> None:
        await self._ask_once(link, {"t": "leave", "roomId": room.room_id, "id": uuid.uuid4().hex})

    # Frames, in the order they came; nothing here waits

    def _take(self, link: Link, frame: dict[str, Any]) -> None:
        room = self._room_of(frame)
        if room is not None and is_joined(frame):
            self._joined(room, link, frame)
            link.resolve(frame)
        elif link.resolve(frame) or frame.get("t") in ("pong", "welcome"):
            return
        elif frame.get("t") == "error":
            log.warning("the server reports %s", frame)
        elif frame.get("t") == "left" and "seq" not in frame and room is not None:
            self._refused(room, Closed("another room of its kind was joined"))
        elif "roomId" not in frame or room is not None:
            self._event(room, link, frame)

    def _room_of(self, frame: Mapping[str, Any]) -> Room | None:
        """The room of a frame. What was published by hand may not name one: it can only be from the one there is."""
        room_id = frame.get("roomId")
        if room_id is None and len(self._rooms) == 1:
            return next(iter(self._rooms.values()))
        return self._rooms.get(room_id) if isinstance(room_id, str) else None

    def _joined(self, room: Room, link: Link, frame: dict[str, Any]) -> None:
        replaced = room._track.enter(frame)
        room._was_in = True
        room._link = link
        if replaced is not None:
            log.info("room %s: the state was replaced (%s)", room.room_id, replaced.reason)
            self._pass_on(room, replaced)
        self._notify()

    def _event(self, room: Room | None, link: Link, event: dict[str, Any]) -> None:
        verdict = room._track.take(event) if room is not None else Verdict.PASS
        if verdict is Verdict.PASS:
            self._pass_on(room, event)
        elif verdict is Verdict.GAP and room is not None and room._link is link:
            log.warning("room %s: the server left a gap; joining again", room.room_id)
            room._link = None
            self._enter_soon(room, link)

    def _pass_on(self, room: Room | None, event: Event) -> None:
        if room is not None:
            room._stream.put(event)
        for stream in list(self._streams):
            stream.put(event)

    # Connections, one after the other

    async def _run(self) -> None:
        try:
            while self._failure is None:
                delay_s = await self._one_connection()
                if self._failure is None:
                    log.info("connecting again in %.1f s: %s", delay_s, self._trouble)
                    await asyncio.sleep(delay_s)
        except ClientError as failure:
            self._finish(failure)
        except Exception as defect:
            log.exception("the client failed")
            self._finish(Stopped(None, f"the client failed: {defect!r}"))

    async def _one_connection(self) -> float:
        """One connection from beginning to end. Returns the delay before the next one; raises Stopped."""
        try:
            token = await self._current_token()
            link = Link(await open_websocket(self._url))
        except (OSError, TimeoutError, WebSocketException) as failure:
            self._trouble = str(failure) or type(failure).__name__
            _stop_if_final(failure)
            return self._backoff.delay_s(AfterClose.BACK_OFF, 0)
        try:
            link.spawn(self._serve(link, token))
            await link.read(functools.partial(self._take, link))
        finally:
            link.lost = True
            self._link = None
            await link.end_tasks()
            link.abort()
        lived_s = 0.0 if link.signed_in_s is None else time.monotonic() - link.signed_in_s
        if link.close_code is None:
            self._trouble = "the connection was lost" if link.signed_in_s is not None else "no answer to the sign-in"
        else:
            self._trouble = f"the connection was closed: {link.close_code} {link.close_reason}".rstrip()
        return self._after(link, lived_s)

    def _after(self, link: Link, lived_s: float) -> float:
        after = after_close(link.close_code)
        if after is AfterClose.STOP or (after is AfterClose.NEW_TOKEN and isinstance(self._token_source, str)):
            raise Stopped(link.close_code, link.close_reason)
        if after is AfterClose.NEW_TOKEN:
            self._token = None
        return self._backoff.delay_s(after, lived_s)

    async def _current_token(self) -> str:
        """The token, a new one if there is none. What the application's function raises, besides network errors, ends
        the client."""
        if isinstance(self._token_source, str):
            return self._token_source
        if self._token is None:
            try:
                self._token = await self._token_source()
            except (OSError, TimeoutError):
                raise
            except Exception as failure:
                raise Stopped(int(CloseCode.UNAUTHORIZED), f"no token: {failure!r}") from failure
        return self._token

    async def _serve(self, link: Link, token: str) -> None:
        """Sign in, join the rooms again, keep the connection alive."""
        welcome = await link.ask({"t": "hello", "id": uuid.uuid4().hex, "token": token}, _SIGN_IN_S)
        if welcome is None or welcome.get("retryable") is True:
            link.abort()
            return
        if welcome["t"] != "welcome":
            # The server is about to say so itself; its reason is in the error already.
            link.refuse(int(CloseCode.UNAUTHORIZED), str(welcome.get("reason", welcome.get("message", ""))))
            return
        self._welcome = welcome
        link.signed_in_s = time.monotonic()
        self._trouble = "the server did not answer"
        self._link = link
        log.info("signed in as %s on node %s", self.me, self.node_id)
        for room in list(self._rooms.values()):
            self._enter_soon(room, link)
        self._notify()
        await link.keep_alive(min(max(_HEARTBEAT_MIN_S, welcome["heartbeatMs"] / 1000), _HEARTBEAT_MAX_S))


def _shown(failure: ClientError) -> ClientError | None:
    """How a stream ends: being closed is no error to its reader."""
    return None if isinstance(failure, Closed) else failure


def _failed(answer: Mapping[str, Any]) -> CommandFailed:
    details = {name: value for name, value in answer.items() if name not in ("t", "id", "code", "message", "retryable")}
    return CommandFailed(str(answer.get("code")), str(answer.get("message")), details)


def _retry_after_s(answer: Mapping[str, Any]) -> float:
    value = answer.get("retryAfterMs")
    return value / 1000 if isinstance(value, int | float) and value > 0 else _RETRY_S


def _stop_if_final(failure: Exception) -> None:
    """Raises Stopped for a handshake that would fail again: a foreign Origin, a wrong path, no WebSocket at all."""
    if process_exception(failure) is None:
        return
    if isinstance(failure, InvalidStatus):
        status = failure.response.status_code
        if status != _TOO_MANY_REQUESTS:
            raise Stopped(status, "the server refused the connection") from failure
    else:
        raise Stopped(None, str(failure)) from failure
