"""`c2c tail` and `c2c chat`: rooms in a terminal, over the client like anybody else's program."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
import threading
import unicodedata
import urllib.error
import urllib.request
import uuid
from collections.abc import Awaitable, Mapping
from datetime import datetime
from typing import Any, Final, TypeVar
from urllib.parse import urlsplit, urlunsplit

from c2c.client import Client, ClientError, Event, Room, RoomClosed, StateReplaced

with contextlib.suppress(ImportError):  # makes input() a line editor, and tells us what is typed so far
    import readline

_PROMPT: Final = "> "
_REST_TIMEOUT_S: Final = 10.0
_ROOM_EXISTS: Final = 409
_WAITING_LINES: Final = 100

T = TypeVar("T")


class ChatError(Exception):
    """Something failed outside the client; the text is for the person at the terminal."""


# ---- tail ----------------------------------------------------------------------------------------------------------


async def tail(url: str, token: str, room_id: str) -> None:
    """Print a room's events, one JSON object a line, until the connection is given up. Raises ClientError."""
    async with Client(url, token=token) as client:
        room = await client.join(room_id)
        async for event in room.events():
            print(json.dumps(as_json(event), ensure_ascii=False), flush=True)


def as_json(event: Event) -> dict[str, Any]:
    """An event as it came; the client's own markers as `c2c:state-replaced` and `c2c:room-closed`."""
    if isinstance(event, StateReplaced):
        return {
            "t": "c2c:state-replaced",
            "roomId": event.room_id,
            "reason": event.reason,
            "epoch": event.position.epoch,
            "seq": event.position.seq,
            "state": event.state,
        }
    if isinstance(event, RoomClosed):
        return {"t": "c2c:room-closed", "roomId": event.room_id, "error": str(event.error)}
    return event


# ---- chat ----------------------------------------------------------------------------------------------------------


async def chat(url: str, token: str, room_id: str, *, create: bool) -> None:
    """Talk in a room: history first, then what others write while one types, until `/quit` or the end of the input.

    Raises ClientError, ChatError.
    """
    if create:
        await asyncio.to_thread(create_room, url, token, room_id)
    async with Client(url, token=token) as client:
        room = await client.join(room_id)
        screen = Screen()
        screen.say(f"* you are {client.me} in {room.room_id} with {', '.join(sorted(room.members))}; /quit to go")
        screen.say_state(room.state)
        sent: set[str] = set()
        reading = asyncio.create_task(_show_events(room, screen, sent))
        typing = asyncio.create_task(_send_lines(room, screen, sent))
        try:
            await asyncio.wait({reading, typing}, return_when=asyncio.FIRST_COMPLETED)
            for task in (reading, typing):
                if task.done():
                    task.result()
        finally:
            for task in (reading, typing):
                task.cancel()
            await asyncio.gather(reading, typing, return_exceptions=True)
            screen.close()


async def _show_events(room: Room, screen: Screen, sent: set[str]) -> None:
    async for event in room.events():
        if isinstance(event, StateReplaced):
            screen.say(f"* the room begins anew ({event.reason})")
            screen.say_state(event.state)
        elif not isinstance(event, RoomClosed) and not (screen.interactive and event.get("by") in sent):
            screen.say(line_of(event))


async def _send_lines(room: Room, screen: Screen, sent: set[str]) -> None:
    """Send each line, one after the other: the next goes when the one before is acknowledged."""
    lines = screen.lines()
    while (line := await lines.get()) is not None:
        text = line.strip()
        if text == "/quit":
            return
        if not text:
            continue
        command_id = uuid.uuid4().hex
        sent.add(command_id)
        try:
            await room.send("msg", text=text, command_id=command_id)
        except ClientError as failure:
            screen.say(f"! not sent: {failure}")


def line_of(event: Mapping[str, Any]) -> str:
    """An event as a line for people."""
    who = event.get("username") or event.get("userId") or event.get("from") or "?"
    match event.get("t"):
        case "msg":
            return printable(f"{_time_of(event)}{who}: {event.get('text')}")
        case "user_joined":
            return printable(f"* {who} came")
        case "user_left":
            return printable(f"* {who} {'left' if event.get('reason') == 'left' else 'is gone'}")
    return printable(f"* {json.dumps(as_json(dict(event)), ensure_ascii=False)}")


def printable(text: str) -> str:
    """Text without control characters: what others write must not steer our terminal."""
    return "".join(" " if unicodedata.category(character)[0] == "C" else character for character in text)


def _time_of(event: Mapping[str, Any]) -> str:
    try:
        return datetime.fromisoformat(str(event.get("timestamp"))).astimezone().strftime("%H:%M ")
    except ValueError:
        return ""


class Screen:
    """Lines in and out of a terminal, or of pipes. What is said never tears apart what is being typed."""

    def __init__(self) -> None:
        self.interactive = sys.stdin.isatty() and sys.stdout.isatty()
        self._prompting = False
        self._saved = _terminal_modes() if self.interactive else None

    def say(self, text: str) -> None:
        """Print a line above the one that is being typed."""
        if not self._prompting:
            print(text, flush=True)
            return
        typed = readline.get_line_buffer() if "readline" in sys.modules else ""
        sys.stdout.write(f"\r\x1b[K{text}\n{_PROMPT}{typed}")
        sys.stdout.flush()

    def say_state(self, state: Mapping[str, Any]) -> None:
        """Print the messages of a chat's state."""
        for message in state.get("messages", ()):
            self.say(line_of(message))

    def lines(self) -> asyncio.Queue[str | None]:
        """The lines typed from now on; None is the end of them. At most 100 wait, then the typist does."""
        queue: asyncio.Queue[str | None] = asyncio.Queue(_WAITING_LINES)
        loop = asyncio.get_running_loop()
        # A daemon: nothing can wake a thread that waits for input, and it must not keep the program from ending.
        threading.Thread(target=self._read, args=(queue, loop), name="c2c-input", daemon=True).start()
        return queue

    def _read(self, queue: asyncio.Queue[str | None], loop: asyncio.AbstractEventLoop) -> None:
        # Not sys.stdin itself: bytes that are no UTF-8 are no reason to end.
        piped = open(sys.stdin.fileno(), encoding="utf-8", errors="replace", closefd=False)  # noqa: SIM115
        while True:
            line = self._read_line() if self.interactive else piped.readline() or None
            try:
                asyncio.run_coroutine_threadsafe(queue.put(line), loop).result()
            except RuntimeError:  # the loop is closed: the chat is over
                return
            if line is None:
                return

    def _read_line(self) -> str | None:
        self._prompting = True
        try:
            return input(_PROMPT)
        except EOFError:
            print()
            return None
        except UnicodeDecodeError:
            return ""
        finally:
            self._prompting = False

    def close(self) -> None:
        """Give the terminal back as it was: a line may be half typed, and the thread that reads it is left behind."""
        if self._saved is not None:
            if self._prompting:
                print()
            _restore_terminal(self._saved)


def _terminal_modes() -> Any:
    try:
        import termios
    except ImportError:
        return None
    return termios.tcgetattr(sys.stdin.fileno())


def _restore_terminal(modes: Any) -> None:
    import termios

    termios.tcsetattr(sys.stdin.fileno(), termios.TCSADRAIN, modes)


# ---- REST ----------------------------------------------------------------------------------------------------------


def create_room(ws_url: str, token: str, room_id: str) -> None:
    """Open a chat room by REST, unless it is there already. Blocks. Raises ChatError."""
    request = urllib.request.Request(
        rest_url(ws_url, "/api/rooms"),
        json.dumps({"roomId": room_id}).encode(),
        {"Content-Type": "application/json", "Authorization": f"Bearer {token}"},
        method="POST",
    )
    try:
        with urllib.request.urlopen(request, timeout=_REST_TIMEOUT_S):
            return
    except urllib.error.HTTPError as answer:
        with answer:
            if answer.code != _ROOM_EXISTS:
                raise ChatError(_error_in(answer.read()) or f"the server answers {answer.code}") from None
    except OSError as failure:
        raise ChatError(f"the server can't be reached: {getattr(failure, 'reason', failure)}") from None


def _error_in(body: bytes) -> str:
    try:
        error = json.loads(body)["error"]
        return f"{error['message']} ({error['code']})"
    except (ValueError, KeyError, TypeError):
        return ""


def rest_url(ws_url: str, path: str) -> str:
    """The REST address that belongs to a WebSocket address: `ws://host/prefix/ws` → `http://host/prefix/api/…`."""
    parts = urlsplit(ws_url)
    scheme = "https" if parts.scheme == "wss" else "http"
    return urlunsplit((scheme, parts.netloc, parts.path.removesuffix("/ws") + path, "", ""))


# ---- running -------------------------------------------------------------------------------------------------------


def run(work: Awaitable[T]) -> T | None:
    """Run a terminal command; Ctrl+C, SIGTERM and a closed pipe (`| head`) end it quietly, with a clean leave."""

    async def main() -> T:
        this = asyncio.current_task()
        assert this is not None
        with contextlib.suppress(NotImplementedError):  # Windows
            asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, this.cancel)
        return await work

    try:
        return asyncio.run(main())
    except (KeyboardInterrupt, asyncio.CancelledError):
        return None
    except BrokenPipeError:
        # Python flushes stdout once more at exit and would complain (library/signal, "Note on SIGPIPE").
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return None
