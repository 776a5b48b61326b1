"""What a kind of room is: its name, how long it keeps things, its commands, and what a newcomer is shown."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, TypeAlias

from pydantic_core import from_json, to_json

from c2c.errors import BadValue, UnknownCommand
from c2c.events import CONNECTION_COMMANDS, Command, Position, Typing
from c2c.store import Joined, Retention, Store
from c2c.users import Profile

Answer: TypeAlias = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Call:
    """Who sends a command to which room.

    `member`: the user id that must be in the room, None: nobody must. `viewer`: may look at line-ups, not edit them.
    `connection_id`: '' for a program without a connection.
    """

    store: Store
    room_id: str
    sender: Profile
    member: str | None
    viewer: bool = False
    connection_id: str = ""


Handler: TypeAlias = Callable[[Call, Any], Awaitable[Answer]]


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All that a newcomer needs, as of a position: every event behind it comes live."""

    position: Position
    state: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Entrance:
    """What a connection meets in a room. A home shows all of it in one read; of other rooms `statuses` and `snapshot`
    are read afterwards, None here."""

    joined: Joined
    statuses: Mapping[str, str] | None = None
    snapshot: Snapshot | None = None


def ack(position: Position) -> Answer:
    """The answer to a command whose event stands in the log."""
    return {"t": "ack", "epoch": position.epoch, "seq": position.seq}


def decode_events(events: Iterable[bytes]) -> list[Any]:
    """Events of a log, decoded in one go."""
    decoded: list[Any] = from_json(b"[" + b",".join(events) + b"]")
    return decoded


class Kind:
    """A kind of room. A new one is a subclass in a module of its own and a line in `KINDS`.

    `commands` maps each command's model to its handler. `home`: the id of the only room of the kind, which every node
    sees to; signing in makes users members of it, and joining it only subscribes. `one_at_a_time`: a connection that
    joins such a room leaves the one it was in. `by_hand`: users may open rooms of the kind.
    """

    name: ClassVar[str]
    retention: ClassVar[Retention]
    home: ClassVar[str | None] = None
    one_at_a_time: ClassVar[bool] = False
    by_hand: ClassVar[bool] = True

    def __init__(self) -> None:
        self.commands: Mapping[type[Command], Handler] = {Typing: self._typing}

    async def snapshot(self, store: Store, room_id: str, position: Position) -> Snapshot:
        """The state at `position` or later. Raises RoomNotFound."""
        raise NotImplementedError

    async def look_in(self, store: Store) -> Entrance:
        """What the home is at the moment of a join. Raises RoomNotFound. 1 round trip."""
        raise NotImplementedError

    def reopens(self, room_id: str) -> bool:
        """Whether a room that Redis has lost is opened again for the members who are in it."""
        return True

    async def part(self, store: Store, room_id: str, user_id: str, connection_id: str) -> None:
        """A connection is no longer in a room: take back what was only its own."""

    async def handle(self, call: Call, command: Command) -> Answer:
        """Carry out a command. Raises UnknownCommand when this kind has no such command, and what handlers raise."""
        handler = self.commands.get(type(command))
        if handler is None:
            raise UnknownCommand(kind=self.name)
        return await handler(call, command)

    async def _typing(self, call: Call, command: Typing) -> Answer:
        event = {"roomId": call.room_id, "t": "typing", "userId": call.sender.user_id, "typing": command.typing}
        await call.store.publish_to(call.room_id, to_json(event))
        return {"t": "ack"}


class Kinds:
    """The kinds that a node knows, by the name that stands in a room's `kind` field."""

    def __init__(self, kinds: Iterable[Kind]) -> None:
        self._kinds = {kind.name: kind for kind in kinds}
        self._homes = {kind.home: kind for kind in self._kinds.values() if kind.home is not None}
        self._of_command = {
            model: kind for kind in self._kinds.values() for model in kind.commands if model not in CONNECTION_COMMANDS
        }

    def __getitem__(self, name: str) -> Kind:
        """Raises BadValue for a kind that this node does not know."""
        kind = self._kinds.get(name)
        if kind is None:
            raise BadValue(field="kind", reason=f"kinds are {', '.join(sorted(self._kinds))}")
        return kind

    def names(self) -> list[str]:
        return sorted(self._kinds)

    def homes(self) -> dict[str, Kind]:
        """Home → kind, of the kinds that have one."""
        return self._homes

    def of_command(self, model: type[Command]) -> Kind | None:
        """The kind that a command is of; None for those of every room."""
        return self._of_command.get(model)

    def command_models(self) -> tuple[type[Command], ...]:
        """The models of all commands that exist: every connection's and every kind's."""
        own = {model: None for kind in self._kinds.values() for model in kind.commands}
        return tuple({**dict.fromkeys(CONNECTION_COMMANDS), **own})
