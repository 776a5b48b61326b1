"""Line-ups in Redis as typed methods: a table of rows, each edit of it one script. The rest is `c2c.store`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from pydantic_core import from_json, to_json

from c2c.calls import DEDUPE_MS, ScriptClock, lease_of, require_room
from c2c.errors import BadValue, Conflict, LineupNotFound, MemoNotFound, NotAMember
from c2c.events import Position, event_text
from c2c.keys import Keys
from c2c.pipeline import Pipeline, Reply
from c2c.scripts import Argument, load_scripts

UNDO_MAX: Final = 50
MEMOS_MAX: Final = 50
ROWS_MAX: Final = 5_000
MARK_MS: Final = 15_000

COLUMNS: Final = (
    *("order", "rows", "numbers", "versions", "editors", "memos", "memo-rows", "row-memos", "groups", "log-days"),
)


@dataclass(frozen=True, slots=True)
class Edited:
    """What an edit came to: where the log stands, and the rows that it was about, each as JSON."""

    position: Position
    rows: list[bytes]


@dataclass(frozen=True, slots=True)
class LineupState:
    """A whole table: rows as JSON in order, rows of each group, and editing marks as JSON."""

    position: Position
    rows: list[bytes]
    groups: dict[int, int]
    editing: list[bytes]


@dataclass(frozen=True, slots=True)
class Imported:
    """How many rows a file has added, and how many it has changed."""

    position: Position
    added: int
    changed: int


@dataclass(frozen=True, slots=True)
class Edit:
    """Who edits a line-up, by which command. `member`: the user who must be in the room, None: nobody must."""

    room_id: str
    user_id: str
    member: str | None
    command_id: str | None


@dataclass(frozen=True, slots=True)
class NumberEdit:
    """A number to be written. `version`: the version that the row must have, None: any."""

    row: int
    number: int | None
    version: int | None


class Lineups:
    """What a node asks of Redis about line-ups. Calling sends, awaiting reads, as `c2c.store.Store`."""

    def __init__(self, pipeline: Pipeline, keys: Keys, clock: ScriptClock) -> None:
        self._pipeline = pipeline
        self._keys = keys
        self._clock = clock
        self._scripts = load_scripts()

    def read(self, room_id: str) -> Reply[LineupState]:
        """A whole line-up. Raises RoomNotFound. 1 round trip, O(rows + memos)."""

        def read(reply: Any) -> LineupState:
            require_room(reply)
            epoch, seq, rows, groups, editing = reply[1:]
            counts = {int(number): int(count) for number, count in zip(groups[::2], groups[1::2], strict=True)}
            return LineupState(Position(epoch.decode(), seq), rows, counts, editing)

        return self._pipeline.script(
            self._scripts["lineup_read"],
            {**self._table_keys(room_id), "editing": self._keys.lineup(room_id, "editing")},
            {"clock": self._clock.now},
            read,
        )

    def set_numbers(self, edit: Edit, numbers: Sequence[NumberEdit]) -> Reply[Edited]:
        """Write numbers, all or none. Raises LineupNotFound, Conflict and what all edits raise. 1 round trip,
        O(numbers)."""
        given: list[Argument] = []
        for each in numbers:
            number = "" if each.number is None else each.number
            given += [each.row, number, "" if each.version is None else each.version]
        return self._edit(edit, "number", given)

    def create_memo(self, edit: Edit, row: int, memo_id: str, memo: str, color: str) -> Reply[Edited]:
        """Add a memo to a row. Raises LineupNotFound, Conflict (the id is another memo's), BadValue (too many)."""
        front = b'{"memoId":"%b","memo":%b,"color":"%b"' % (memo_id.encode(), to_json(memo), color.encode())
        by = b',"by":"%b","at":"' % edit.user_id.encode()
        return self._edit(edit, "create", [row, memo_id, front + by, b'"}'])

    def update_memo(self, edit: Edit, memo_id: str, memo: str, color: str | None, version: int | None) -> Reply[Edited]:
        """Write a memo anew; without `color` it keeps its own. Raises MemoNotFound, Conflict."""
        given = ["" if version is None else version, to_json(memo), "" if color is None else f'"{color}"', b'"}']
        return self._edit(edit, "update", [memo_id, *given])

    def delete_memo(self, edit: Edit, memo_id: str, version: int | None) -> Reply[Edited]:
        """Delete a memo. Raises MemoNotFound, Conflict."""
        return self._edit(edit, "delete", [memo_id, "" if version is None else version])

    def undo(self, edit: Edit) -> Reply[Edited]:
        """Take the user's last edit back. Raises Conflict when somebody has changed it since, BadValue when there is
        none."""
        return self._edit(edit, "undo", [])

    def _edit(self, edit: Edit, what: str, given: Sequence[Argument]) -> Reply[Edited]:
        room_id, keys = edit.room_id, self._keys
        by = b"" if edit.command_id is None else b',"by":' + to_json(edit.command_id)
        return self._pipeline.script(
            self._scripts["lineup_edit"],
            {
                **self._table_keys(room_id),
                "members": keys.members(room_id),
                "dedupe": keys.dedupe(room_id, edit.user_id, edit.command_id or ""),
                "undo": keys.undo(room_id, edit.user_id),
            },
            {
                "clock": self._clock.now,
                "channel": keys.channel(room_id),
                "member": edit.member or "",
                "dedupe_ms": DEDUPE_MS if edit.command_id else 0,
                "head": event_text(room_id, "lineup-updated", {}).head,
                "by": by,
                "editor": edit.user_id,
                "undo_max": UNDO_MAX,
                "memos_max": MEMOS_MAX,
                "what": what,
            },
            _read_edited,
            given,
        )

    def import_rows(self, room_id: str, user_id: str, rows: Sequence[tuple[int, bytes, int | None]]) -> Reply[Imported]:
        """Take over rows: id, fields as JSON, number for the new ones. Raises RoomNotFound, BadValue (too many rows).
        1 round trip, O(rows)."""

        def read(reply: Any) -> Imported:
            require_room(reply)
            if reply[0] == b"FULL":
                raise BadValue(field="rows", reason=f"a line-up has {ROWS_MAX} rows at most", limit=ROWS_MAX)
            epoch, seq, added, changed = reply[1:]
            return Imported(Position(epoch.decode(), seq), added, changed)

        return self._pipeline.script(
            self._scripts["lineup_import"],
            self._table_keys(room_id),
            {
                "clock": self._clock.now,
                "channel": self._keys.channel(room_id),
                "head": event_text(room_id, "lineup-imported", {}).head,
                "editor": user_id,
                "rows_max": ROWS_MAX,
            },
            read,
            [word for row, fields, number in rows for word in (row, fields, "" if number is None else number)],
        )

    def mark(
        self, edit: Edit, connection_id: str, row: int | None = None, mark: bytes = b"", event: bytes = b""
    ) -> Reply[bytes]:
        """Mark what a connection is editing, or (empty `mark`) nothing any more, and publish `event`; the former mark.
        Raises RoomNotFound, NotAMember, LineupNotFound. 1 round trip, O(1)."""
        room_id = edit.room_id

        def read(reply: Any) -> bytes:
            _raise_for(reply)
            former: bytes = reply[1]
            return former

        return self._pipeline.script(
            self._scripts["lineup_mark"],
            {
                "room": self._keys.room(room_id),
                "rows": self._keys.lineup(room_id, "rows"),
                "members": self._keys.members(room_id),
                "editing": self._keys.lineup(room_id, "editing"),
            },
            {
                "clock": self._clock.now,
                "channel": self._keys.channel(room_id),
                "member": edit.member or "",
                "lease": lease_of(edit.user_id, connection_id),
                "row": "" if row is None else row,
                "mark": mark,
                "event": event,
                "mark_ms": MARK_MS,
            },
            read,
        )

    def _table_keys(self, room_id: str) -> dict[str, str]:
        columns = {column.replace("-", "_"): self._keys.lineup(room_id, column) for column in COLUMNS}
        return {"room": self._keys.room(room_id), "log": self._keys.log(room_id), **columns}


def _raise_for(reply: list[Any]) -> None:
    """What is no `OK` and no `DUPLICATE`, as an error."""
    require_room(reply)
    match reply[0]:
        case b"NOT_A_MEMBER":
            raise NotAMember()
        case b"LINEUP_NOT_FOUND":
            ids = [int(id_) for id_ in reply[1]]
            raise LineupNotFound(lineupId=ids[0], lineupIds=ids)
        case b"MEMO_NOT_FOUND":
            raise MemoNotFound()
        case b"CONFLICT":
            rows = from_json(b"[" + b",".join(reply[1]) + b"]")
            raise Conflict(current=rows[0], rows=rows)
        case b"FULL":
            raise BadValue(field="memo", reason=f"a row has {MEMOS_MAX} memos at most", limit=MEMOS_MAX)
        case b"NOTHING":
            raise BadValue(field="t", reason="there is nothing to undo")


def _read_edited(reply: list[Any]) -> Edited:
    _raise_for(reply)
    epoch, seq, rows = reply[1:]
    return Edited(Position(epoch.decode(), seq), rows)
