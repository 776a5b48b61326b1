"""The line-up kind: a table of participants that many people put into groups (GBS) at once."""

from __future__ import annotations

import secrets
from dataclasses import replace
from typing import Annotated, Any, ClassVar, Final, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints
from pydantic_core import PydanticCustomError, to_json

from c2c.errors import Forbidden, MemoNotFound, RoomNotFound
from c2c.events import KindCommand, Position, RoomId, UserId
from c2c.lineups import Edit, Edited, LineupState, NumberEdit
from c2c.rooms.base import Answer, Call, Kind, Snapshot, ack, decode_events
from c2c.store import Retention, Store

ROOM_PREFIX: Final = "retreat-"
DEFAULT_COLOR: Final = "#fff2a8"
# About a busy year; besides, what is older than 30 days is trimmed.
_LOG_EVENTS: Final = 100_000
_STATE_BYTES_MAX: Final = 524_288

LineupId = Annotated[int, Field(ge=0, le=2**53)]
GbsNumber = Annotated[int, Field(ge=0, le=999)]
Version = Annotated[int, Field(ge=0, le=2**53)]
Memo = Annotated[str, Field(min_length=1, max_length=2000)]
MemoId = UserId  # the same letters, digits and signs
Color = Annotated[str, StringConstraints(pattern=r"^#[0-9A-Fa-f]{6}$", to_lower=True)]


class LineupCommand(KindCommand):
    """Without `roomId`, to the line-up that the connection is in."""

    roomId: RoomId | None = None


class UpdateGbsNumber(LineupCommand):
    t: Literal["update-gbs-number"]
    lineupId: LineupId
    gbsNumber: GbsNumber | None
    ifVersion: Version | None = None


class NumberOfRow(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    lineupId: LineupId
    gbsNumber: GbsNumber | None
    ifVersion: Version | None = None


def _check_each_once(numbers: list[NumberOfRow]) -> list[NumberOfRow]:
    if len({each.lineupId for each in numbers}) < len(numbers):
        raise PydanticCustomError("row_twice", "a row is there twice")
    return numbers


class UpdateGbsNumbers(LineupCommand):
    t: Literal["update-gbs-numbers"]
    numbers: Annotated[list[NumberOfRow], Field(min_length=1, max_length=500), AfterValidator(_check_each_once)]


class CreateMemo(LineupCommand):
    t: Literal["create-lineup-memo"]
    lineupId: LineupId
    memo: Memo
    color: Color = DEFAULT_COLOR
    memoId: MemoId | None = None


class UpdateMemo(LineupCommand):
    t: Literal["update-lineup-memo"]
    memoId: MemoId
    memo: Memo
    color: Color | None = None
    ifVersion: Version | None = None


class DeleteMemo(LineupCommand):
    t: Literal["delete-lineup-memo"]
    memoId: MemoId
    ifVersion: Version | None = None


class UndoLineup(LineupCommand):
    t: Literal["undo-lineup"]


class UserEditing(LineupCommand):
    t: Literal["user-editing"]
    lineupId: LineupId
    field: Annotated[str, Field(max_length=64)] = ""
    editing: bool


class Lineup(Kind):
    """One retreat's table. Does not expire; its log is kept for 30 days, as the record of who changed what."""

    name: ClassVar[str] = "lineup"
    retention: ClassVar[Retention] = Retention(log_events=_LOG_EVENTS, room_ttl_s=None)
    one_at_a_time: ClassVar[bool] = True

    def __init__(self) -> None:
        super().__init__()
        self.commands = {
            **self.commands,
            UpdateGbsNumber: self._update_number,
            UpdateGbsNumbers: self._update_numbers,
            CreateMemo: self._create_memo,
            UpdateMemo: self._update_memo,
            DeleteMemo: self._delete_memo,
            UndoLineup: self._undo,
            UserEditing: self._mark,
        }

    async def snapshot(self, store: Store, room_id: str, position: Position) -> Snapshot:
        """The table, or its first rows if all of it is more than a frame should hold."""
        table = await store.lineups.read(room_id)
        shown, size = 0, 0
        for row in table.rows:
            size += len(row)
            if size > _STATE_BYTES_MAX and shown:
                break
            shown += 1
        more = shown < len(table.rows)
        state = {**state_json(replace(table, rows=table.rows[:shown])), "more": more}
        if more:
            state["next"] = state["rows"][-1]["lineupId"]
        return Snapshot(table.position, state)

    async def part(self, store: Store, room_id: str, user_id: str, connection_id: str) -> None:
        """A connection is no longer in the room: nor is its editing mark."""
        try:
            former = await store.lineups.mark(Edit(room_id, user_id, None, None), connection_id)
        except RoomNotFound:
            return
        if former:
            event = to_json({"roomId": room_id, "t": "user-editing"})[:-1] + b"," + former[1:-1] + b',"editing":false}'
            await store.publish_to(room_id, event)

    async def _update_number(self, call: Call, command: UpdateGbsNumber) -> Answer:
        number = NumberEdit(command.lineupId, command.gbsNumber, command.ifVersion)
        return _row_ack(await call.store.lineups.set_numbers(_edit(call, command), [number]))

    async def _update_numbers(self, call: Call, command: UpdateGbsNumbers) -> Answer:
        numbers = [NumberEdit(each.lineupId, each.gbsNumber, each.ifVersion) for each in command.numbers]
        return _rows_ack(await call.store.lineups.set_numbers(_edit(call, command), numbers))

    async def _create_memo(self, call: Call, command: CreateMemo) -> Answer:
        memo_id = command.memoId or secrets.token_hex(8)
        edit = _edit(call, command)
        return _row_ack(
            await call.store.lineups.create_memo(edit, command.lineupId, memo_id, command.memo, command.color)
        )

    async def _update_memo(self, call: Call, command: UpdateMemo) -> Answer:
        edit = _edit(call, command)
        try:
            edited = await call.store.lineups.update_memo(
                edit, command.memoId, command.memo, command.color, command.ifVersion
            )
        except MemoNotFound:
            # Deleted meanwhile: what was written is given back, for whoever wants to restore it.
            raise MemoNotFound(memoId=command.memoId, memo=command.memo) from None
        return _row_ack(edited)

    async def _delete_memo(self, call: Call, command: DeleteMemo) -> Answer:
        edit = _edit(call, command)
        try:
            edited = await call.store.lineups.delete_memo(edit, command.memoId, command.ifVersion)
        except MemoNotFound:
            raise MemoNotFound(memoId=command.memoId) from None
        return _row_ack(edited)

    async def _undo(self, call: Call, command: UndoLineup) -> Answer:
        return _rows_ack(await call.store.lineups.undo(_edit(call, command)))

    async def _mark(self, call: Call, command: UserEditing) -> Answer:
        who = {"userId": call.sender.user_id, "userName": call.sender.username}
        mark = {"lineupId": command.lineupId, **who, "field": command.field}
        event = to_json({"roomId": call.room_id, "t": "user-editing", **mark, "editing": command.editing})
        kept = to_json(mark) if command.editing else b""
        await call.store.lineups.mark(_edit(call, command), call.connection_id, command.lineupId, kept, event)
        return {"t": "ack"}


def state_json(table: LineupState) -> dict[str, Any]:
    """A table as clients see it."""
    groups = [{"gbsNumber": number, "count": count} for number, count in sorted(table.groups.items())]
    return {"rows": decode_events(table.rows), "groups": groups, "editing": decode_events(table.editing)}


def _edit(call: Call, command: LineupCommand) -> Edit:
    """Raises Forbidden for who may only look."""
    if call.viewer:
        raise Forbidden(reason="role viewer only looks")
    return Edit(call.room_id, call.sender.user_id, call.member, command.id)


def _row_ack(edited: Edited) -> Answer:
    return {**ack(edited.position), "row": decode_events(edited.rows)[0]}


def _rows_ack(edited: Edited) -> Answer:
    return {**ack(edited.position), "rows": decode_events(edited.rows)}
