"""The chat kind: messages, and the history of them."""

from __future__ import annotations

from typing import Annotated, ClassVar, Final, Literal

from pydantic import Field

from c2c.events import Position, RoomCommand, event_text
from c2c.rooms.base import Answer, Call, Kind, Snapshot, ack, decode_events
from c2c.store import Retention, Store

SNAPSHOT_MESSAGES: Final = 50
_DAY_S: Final = 86_400


class Msg(RoomCommand):
    t: Literal["msg"]
    text: Annotated[str, Field(min_length=1, max_length=4000)]


class History(RoomCommand):
    t: Literal["history"]
    before: Annotated[int, Field(ge=1, le=2**53)]
    limit: Annotated[int, Field(ge=1, le=100)] = SNAPSHOT_MESSAGES


class Chat(Kind):
    """A chat room. Keeps about 10,000 events; expires half a day to a day after the last person has gone."""

    name: ClassVar[str] = "chat"
    retention: ClassVar[Retention] = Retention(log_events=10_000, room_ttl_s=_DAY_S)

    def __init__(self) -> None:
        super().__init__()
        self.commands = {**self.commands, Msg: self._msg, History: self._history}

    async def snapshot(self, store: Store, room_id: str, position: Position) -> Snapshot:
        """The last 50 messages, oldest first."""
        page = await store.read_history(room_id, position.seq + 1, SNAPSHOT_MESSAGES)
        return Snapshot(
            Position(page.position.epoch, position.seq),
            {"messages": decode_events(reversed(page.events)), "more": page.more},
        )

    async def _msg(self, call: Call, command: Msg) -> Answer:
        fields = {"from": call.sender.user_id, "username": call.sender.username, "text": command.text}
        position = await call.store.append(
            call.room_id,
            event_text(call.room_id, "msg", fields, by=command.id),
            member=call.member,
            sender=call.sender.user_id,
            command_id=command.id,
            history=True,
        )
        return ack(position)

    async def _history(self, call: Call, command: History) -> Answer:
        page = await call.store.read_history(call.room_id, command.before, command.limit)
        return {
            "t": "history",
            "roomId": call.room_id,
            "messages": decode_events(reversed(page.events)),
            "more": page.more,
        }
