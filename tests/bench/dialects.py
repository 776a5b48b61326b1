"""What the load says to a server and how it understands the answers: c2c's JSON frames, or Socket.IO over WebSocket."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Final, Protocol


class Refused(Exception):
    """The server did not let a member in."""


@dataclass(frozen=True, slots=True)
class Joined:
    """The member is in its room, which stands at this seq."""

    seq: int


@dataclass(frozen=True, slots=True)
class Event:
    """One event of a room. `text` is None for what is no message, as `user_joined`."""

    seq: int
    text: str | None


class Dialect(Protocol):
    """One way of speaking."""

    path: str
    ping: bytes | None
    pong: bytes

    def greet(self, member: str, room: str) -> bytes | None:
        """What is sent first after the upgrade, if it is the client who begins."""

    def enter(self, payload: bytes, member: str, room: str) -> Joined | bytes | None:
        """On the way in: in, or what to send next, or nothing to do but wait. Raises Refused."""

    def message(self, room: str, number: int, text: str) -> bytes:
        """A message that wants an ack. `text` is plain ASCII without quotes."""

    def event(self, payload: bytes) -> Event | None:
        """The room's event in a frame; None for an ack. Raises Refused for an error."""


class C2C:
    """`protocol.md`; the plain Starlette server speaks it too."""

    path: str = "/ws"
    ping: bytes | None = None
    pong: bytes = b""

    def greet(self, member: str, room: str) -> bytes | None:
        return b'{"t":"join","id":"join","roomId":"%b","token":"%b"}' % (room.encode(), member.encode())

    def enter(self, payload: bytes, member: str, room: str) -> Joined | bytes | None:
        answer = json.loads(payload)
        if answer["t"] == "error":
            raise Refused(payload.decode())
        return Joined(answer["seq"]) if answer.get("id") == "join" else None

    def message(self, room: str, number: int, text: str) -> bytes:
        return b'{"t":"msg","id":"%d","roomId":"%b","text":"%b"}' % (number, room.encode(), text.encode())

    def event(self, payload: bytes) -> Event | None:
        frame = json.loads(payload)
        if frame["t"] == "ack":
            return None
        return _event(frame, payload)


class SocketIO:
    """Engine.IO 4 and Socket.IO 5 packets over the WebSocket transport, default namespace."""

    path: str = "/socket.io/?EIO=4&transport=websocket"
    ping: bytes | None = b"2"
    pong: bytes = b"3"

    def greet(self, member: str, room: str) -> bytes | None:
        return None

    def enter(self, payload: bytes, member: str, room: str) -> Joined | bytes | None:
        if payload.startswith(b"0{"):
            return b"40"
        if payload.startswith(b"40"):
            return b'420["join","%b","%b"]' % (room.encode(), member.encode())
        if payload.startswith(b"430["):
            return Joined(json.loads(payload[3:])[0]["seq"])
        if payload.startswith(b"44"):
            raise Refused(payload.decode())
        return None

    def message(self, room: str, number: int, text: str) -> bytes:
        return b'42%d["msg",{"roomId":"%b","text":"%b"}]' % (number, room.encode(), text.encode())

    def event(self, payload: bytes) -> Event | None:
        if payload.startswith(b"43"):
            return None
        if not payload.startswith(b'42["msg",'):
            raise Refused(payload.decode())
        return _event(json.loads(payload[2:])[1], payload)


def _event(fields: dict[str, Any], payload: bytes) -> Event:
    if "seq" not in fields:
        raise Refused(payload.decode())
    return Event(fields["seq"], fields.get("text"))


DIALECTS: Final[dict[str, type[Dialect]]] = {"c2c": C2C, "socketio": SocketIO}
