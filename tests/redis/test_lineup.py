"""Line-ups in Redis: every answer of every script, what it leaves behind, and every event as clients get it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pydantic_core import to_json

from c2c.calls import DEDUPE_MS
from c2c.errors import BadValue, C2CError, Conflict, LineupNotFound, MemoNotFound, NotAMember, RoomNotFound
from c2c.lineups import MARK_MS, MEMOS_MAX, ROWS_MAX, UNDO_MAX, Edit, Edited, LineupState, NumberEdit
from c2c.rooms.lineup import Lineup
from tests.redis.world import KIM, NOW_MS, World

DAY_MS = 86_400_000
NOW = "2026-01-02T03:04:05.678Z"
YELLOW, RED = "#fff2a8", "#ff0000"
TABLE = "room:r:"


class Table:
    """A line-up with the rows 1 to 5, imported, as kim and lee edit it."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.lineups = world.store.lineups
        self.epoch = ""

    async def open(self, rows: int = 5) -> None:
        self.epoch = (
            await self.world.store.open_room("r", "lineup", "kim", Lineup.retention, creator_joins=False)
        ).epoch
        await self.import_rows({number: f"n{number}" for number in range(1, rows + 1)})
        self.world.heard()

    async def import_rows(
        self, names: dict[int, str], numbers: dict[int, int] | None = None, user: str = "admin"
    ) -> Any:
        rows = [(row, to_json({"name": name}), (numbers or {}).get(row)) for row, name in names.items()]
        return await self.lineups.import_rows("r", user, rows)

    def edit(self, user: str = "kim", command_id: str | None = None, member: str | None = None) -> Edit:
        return Edit("r", user, member, command_id)

    async def number(
        self, row: int, number: int | None, version: int | None = None, user: str = "kim", id_: str | None = None
    ) -> Edited:
        return await self.lineups.set_numbers(self.edit(user, id_), [NumberEdit(row, number, version)])

    async def numbers(self, numbers: dict[int, int | None], user: str = "kim", **versions: int) -> Edited:
        given = [NumberEdit(row, number, versions.get(f"v{row}")) for row, number in numbers.items()]
        return await self.lineups.set_numbers(self.edit(user), given)

    async def memo(
        self, row: int, memo_id: str, memo: str = "text", color: str = YELLOW, user: str = "kim", id_: str | None = None
    ) -> Edited:
        return await self.lineups.create_memo(self.edit(user, id_), row, memo_id, memo, color)

    async def rewrite(
        self, memo_id: str, memo: str, color: str | None = None, version: int | None = None, user: str = "kim"
    ) -> Edited:
        return await self.lineups.update_memo(self.edit(user), memo_id, memo, color, version)

    async def delete(self, memo_id: str, version: int | None = None, user: str = "kim") -> Edited:
        return await self.lineups.delete_memo(self.edit(user), memo_id, version)

    async def undo(self, user: str = "kim", id_: str | None = None) -> list[Any]:
        return rows_of(await self.lineups.undo(self.edit(user, id_)))

    async def read(self) -> LineupState:
        return await self.lineups.read("r")

    async def row(self, row: int) -> dict[str, Any]:
        """A row as a newcomer sees it."""
        (found,) = [each for each in map(json.loads, (await self.read()).rows) if each["lineupId"] == row]
        return dict(found)

    def heard(self) -> list[dict[str, Any]]:
        return [json.loads(event) for event in self.world.heard()]

    def column(self, name: str) -> dict[str, str]:
        found: dict[str, str] = self.world.redis.hgetall(TABLE + name)
        return found

    def contents(self) -> dict[str, Any]:
        """All that Redis holds but answers that are remembered."""
        return {key: value for key, value in self.world.dump().items() if ":dedupe:" not in key}


def rows_of(edited: Edited) -> list[Any]:
    return [json.loads(row) for row in edited.rows]


@pytest.fixture
async def table(world: World) -> Table:
    world.store.set_clock(NOW_MS)
    table = Table(world)
    await table.open()
    return table


async def refusal(error: type[C2CError], work: Any) -> dict[str, Any]:
    with pytest.raises(error) as refused:
        await work
    return dict(refused.value.details)


# Reading


async def test_a_new_table_is_rows_by_id_in_the_order_of_their_ids(world: World) -> None:
    table = Table(world)
    await table.open(0)
    await table.import_rows({10: "ten", 9: "nine", 0: "zero", 2**53: "last"}, {9: 0})
    state = await table.read()
    assert [json.loads(row) for row in state.rows] == [
        {"lineupId": id_, "name": name, "gbsNumber": number, "memos": [], "version": 1, "updatedBy": "admin"}
        for id_, name, number in [(0, "zero", None), (9, "nine", 0), (10, "ten", None), (2**53, "last", None)]
    ]
    assert (state.position.epoch, state.position.seq) == (table.epoch, 1)
    assert (state.groups, state.editing) == ({0: 1}, [])


async def test_a_row_without_fields_is_a_row(world: World) -> None:
    table = Table(world)
    await table.open(0)
    await table.lineups.import_rows("r", "kim", [(1, b"{}", None)])
    assert (await table.read()).rows == [
        b'{"lineupId":1,"gbsNumber":null,"memos":[],"version":1,"updatedBy":"kim"}'
    ]  # fmt: skip


async def test_reading_changes_nothing(table: Table) -> None:
    before = table.world.dump()
    await table.read()
    assert table.world.dump() == before
    assert table.heard() == []


async def test_of_no_room_nothing_is_had_and_nothing_is_left(world: World) -> None:
    table = Table(world)
    for work in (
        table.read(), table.number(1, 1), table.memo(1, "m"), table.rewrite("m", "x"), table.delete("m"), table.undo(),
        table.import_rows({1: "x"}), table.lineups.mark(table.edit(), "c1", 1, b"{}", b"{}"),
    ):  # fmt: skip
        await refusal(RoomNotFound, work)
    assert world.dump() == {}
    assert world.heard() == []


# Numbers


async def test_a_number_is_written_counted_logged_and_published_in_one_go(table: Table) -> None:
    edited = await table.number(3, 12, id_="c:1")
    row = {"lineupId": 3, "name": "n3", "gbsNumber": 12, "memos": [], "version": 2, "updatedBy": "kim"}
    assert (edited.position.epoch, edited.position.seq, rows_of(edited)) == (table.epoch, 2, [row])
    (payload,) = table.world.heard()
    assert list(json.loads(payload).items()) == [
        ("seq", 2), ("epoch", table.epoch), ("roomId", "r"), ("t", "lineup-updated"), ("timestamp", NOW), ("by", "c:1"),
        ("row", row), ("userId", "kim"), ("change", {"field": "gbsNumber", "before": None, "after": 12}),
    ]  # fmt: skip
    assert table.world.redis.xrange("room:r:log")[-1] == ("2-0", {"e": payload})
    assert list(json.loads(payload)["row"]) == ["lineupId", "name", "gbsNumber", "memos", "version", "updatedBy"]
    assert await table.row(3) == row


async def test_an_event_of_a_command_without_an_id_says_no_by(table: Table) -> None:
    await table.number(1, 1)
    assert "by" not in table.heard()[0]
    assert table.world.redis.keys("*dedupe*") == []


async def test_numbers_stay_numbers_for_who_looks_with_hget(table: Table) -> None:
    await table.number(3, 12)
    await table.number(4, 0)
    assert table.world.redis.hget("room:r:numbers", "3") == "12"
    assert table.world.redis.hincrby("room:r:numbers", "3", 1) == 13
    assert table.column("numbers") == {"3": "13", "4": "0"}
    assert table.column("versions") == {"1": "1", "2": "1", "3": "2", "4": "3", "5": "1"}
    assert table.world.redis.zrange("room:r:order", 0, -1) == ["1", "2", "3", "4", "5"]
    assert table.column("editors") == {"1": "admin", "2": "admin", "3": "kim", "4": "kim", "5": "admin"}
    assert table.column("rows")["3"] == '{"name":"n3"}'


async def test_group_counts_follow_every_write(table: Table) -> None:
    for row, number, groups in (
        (1, 7, {7: 1}), (2, 7, {7: 2}), (3, 0, {7: 2, 0: 1}), (1, 8, {7: 1, 8: 1, 0: 1}), (2, None, {8: 1, 0: 1}),
        (3, None, {8: 1}), (3, None, {8: 1}), (1, None, {}),
    ):  # fmt: skip
        await table.number(row, number)
        assert (await table.read()).groups == groups
        assert table.column("groups") == {str(number): str(count) for number, count in groups.items()}
    assert table.column("numbers") == {}


async def test_a_write_of_what_is_there_is_acknowledged_and_tells_nobody(table: Table) -> None:
    await table.number(1, 7)
    table.heard()
    before = table.contents()
    for version in (None, 2, 1):  # whoever knew better or worse: it is as they wanted it
        edited = await table.number(1, 7, version, user="lee")
        assert (edited.position.seq, rows_of(edited)) == (2, [await table.row(1)])
    edited = await table.number(2, None, user="lee")
    assert rows_of(edited) == [await table.row(2)]
    assert table.contents() == before
    assert table.heard() == []
    await refusal(BadValue, table.undo("lee"))


async def test_a_version_that_fits_is_taken_and_another_is_a_conflict_with_the_row_as_it_is(table: Table) -> None:
    await table.number(1, 7, version=1)
    await table.number(1, 8, version=2, user="lee")
    table.heard()
    before = table.contents()
    for version in (0, 1, 2, 4):
        details = await refusal(Conflict, table.number(1, 9, version, id_="x"))
        assert details == {"current": await table.row(1), "rows": [await table.row(1)]}
    assert details["current"]["gbsNumber"] == 8
    assert table.contents() == before
    assert table.world.dump() == before, "a refusal is not remembered"
    assert table.heard() == []
    assert rows_of(await table.number(1, 9, 3, id_="x"))[0]["gbsNumber"] == 9


async def test_a_version_is_of_the_row_not_of_the_cell(table: Table) -> None:
    await table.memo(1, "m1")
    assert (await refusal(Conflict, table.number(1, 9, 1)))["current"]["memos"][0]["memoId"] == "m1"


async def test_an_unknown_row_is_named(table: Table) -> None:
    before = table.world.dump()
    assert await refusal(LineupNotFound, table.number(6, 1, id_="x")) == {"lineupId": 6, "lineupIds": [6]}
    assert await refusal(LineupNotFound, table.memo(0, "m")) == {"lineupId": 0, "lineupIds": [0]}
    assert table.world.dump() == before
    assert table.heard() == []


async def test_a_batch_is_one_event_a_row_in_the_order_of_the_command(table: Table) -> None:
    edited = await table.numbers({4: 1, 2: 2, 3: None, 1: 1})
    rows = rows_of(edited)
    assert [(row["lineupId"], row["gbsNumber"], row["version"]) for row in rows] == [(4, 1, 2), (2, 2, 3), (1, 1, 4)]
    events = table.heard()
    assert [(event["seq"], event["row"], event["change"]["after"]) for event in events] == [
        (2, rows[0], 1), (3, rows[1], 2), (4, rows[2], 1),
    ]  # fmt: skip
    assert edited.position.seq == 4
    assert (await table.read()).groups == {1: 2, 2: 1}


async def test_a_batch_is_all_or_nothing_and_says_which_failed(table: Table) -> None:
    await table.number(2, 7)
    await table.number(3, 7)
    table.heard()
    before = table.world.dump()
    details = await refusal(LineupNotFound, table.numbers({1: 1, 9: 1, 8: 1, 2: 1}, v2=1))
    assert details == {"lineupId": 9, "lineupIds": [9, 8]}
    details = await refusal(Conflict, table.numbers({1: 1, 3: 1, 2: 1, 4: 1}, v1=1, v2=1, v3=1))
    assert [row["lineupId"] for row in details["rows"]] == [3, 2]
    assert details["current"] == await table.row(3)
    assert table.world.dump() == before
    assert table.heard() == []


async def test_a_batch_that_changes_nothing_answers_with_its_rows(table: Table) -> None:
    await table.numbers({1: 1, 2: 2})
    table.heard()
    assert [row["lineupId"] for row in rows_of(await table.numbers({2: 2, 1: 1, 3: None}))] == [2, 1, 3]
    assert table.heard() == []


async def test_five_hundred_numbers_are_one_call(world: World) -> None:
    table = Table(world)
    await table.open(500)
    edited = await table.numbers({row: row % 10 for row in range(1, 501)})
    assert len(edited.rows) == len(table.heard()) == 500
    assert (await table.read()).groups == dict.fromkeys(range(10), 50)
    assert len(await table.undo()) == 500
    assert (await table.read()).groups == {}


# Members


async def test_who_must_be_a_member_and_is_none_edits_nothing(table: Table) -> None:
    before = table.world.dump()
    edit = table.edit(member="kim", command_id="x")
    for work in (
        table.lineups.set_numbers(edit, [NumberEdit(1, 1, None)]),
        table.lineups.create_memo(edit, 1, "m", "text", YELLOW),
        table.lineups.undo(edit),
        table.lineups.mark(edit, "c1", 1, b"{}", b"{}"),
    ):
        await refusal(NotAMember, work)
    assert table.world.dump() == before
    await table.world.join(KIM)
    assert len((await table.lineups.set_numbers(edit, [NumberEdit(1, 1, None)])).rows) == 1


# The same command again


async def test_the_same_command_again_gets_the_same_answer_and_makes_no_second_event(table: Table) -> None:
    first = await table.number(1, 7, 1, id_="x")
    await table.number(1, 8, user="lee")
    await table.memo(1, "m")
    table.heard()
    before = table.world.dump()
    assert await table.number(1, 7, 1, id_="x") == first
    assert await table.memo(3, "other", id_="x") == first, "whatever it is: an id is one command"
    assert table.world.dump() == before
    assert table.heard() == []
    assert table.world.redis.pttl("room:r:dedupe:kim:x") > DEDUPE_MS - 60_000


async def test_another_users_command_of_the_same_id_is_another_command(table: Table) -> None:
    await table.number(1, 7, id_="x")
    assert rows_of(await table.number(1, 8, user="lee", id_="x"))[0]["gbsNumber"] == 8


async def test_every_kind_of_edit_may_be_sent_again(table: Table) -> None:
    edits: list[Callable[[], Awaitable[Edited]]] = [
        lambda: table.lineups.set_numbers(table.edit("kim", "n"), [NumberEdit(r, 3, None) for r in (1, 2)]),
        lambda: table.memo(1, "m", "eins\nzwei", id_="c"),
        lambda: table.lineups.update_memo(table.edit("kim", "u"), "m", "drei", None, None),
        lambda: table.lineups.delete_memo(table.edit("kim", "d"), "m", None),
        lambda: table.lineups.undo(table.edit("kim", "z")),
    ]
    answers = [await edit() for edit in edits]
    table.heard()
    before = table.world.dump()
    assert [await edit() for edit in edits] == answers
    assert table.world.dump() == before
    assert table.heard() == []


async def test_an_equal_write_is_remembered_too(table: Table) -> None:
    await table.number(1, 7)
    first = await table.number(1, 7, user="lee", id_="x")
    await table.number(1, 9)
    assert await table.number(1, 7, user="lee", id_="x") == first
    assert (await table.row(1))["gbsNumber"] == 9


async def test_an_answer_of_a_former_room_of_this_id_is_none(table: Table) -> None:
    await table.number(1, 7, id_="x")
    table.world.redis.delete(*[key for key in table.world.redis.scan_iter() if ":dedupe:" not in key])
    table.world.later(1)
    await table.open()
    assert (await table.number(1, 7, id_="x")).position.epoch == table.epoch


async def test_of_many_who_edit_with_the_same_version_one_is_taken(table: Table) -> None:
    edits = [table.number(1, number, 1, user=f"u{number}") for number in range(1, 21)]
    results = await asyncio.gather(*edits, return_exceptions=True)
    taken = [result for result in results if isinstance(result, Edited)]
    assert len(taken) == 1
    assert sum(isinstance(result, Conflict) for result in results) == 19
    assert (await table.read()).groups == {rows_of(taken[0])[0]["gbsNumber"]: 1}


# Memos


async def test_a_memo_is_an_entity_of_its_own(table: Table) -> None:
    edited = await table.memo(2, "m:1".replace(":", "-"), '<b>"x"\\\n😀', RED, id_="c1")
    memo = {"memoId": "m-1", "memo": '<b>"x"\\\n😀', "color": RED, "by": "kim", "at": NOW}
    row = {"lineupId": 2, "name": "n2", "gbsNumber": None, "memos": [memo], "version": 2, "updatedBy": "kim"}
    assert rows_of(edited) == [row]
    (event,) = table.heard()
    assert list(event.items())[5:] == [
        ("by", "c1"), ("row", row), ("userId", "kim"),
        ("change", {"field": "memo", "memoId": "m-1", "before": None, "after": memo}),
    ]  # fmt: skip
    assert list(event["change"]) == ["field", "memoId", "before", "after"]
    assert list(memo) == list(event["change"]["after"])
    assert json.loads(table.column("memos")["m-1"]) == memo
    assert (table.column("memo-rows"), table.column("row-memos")) == ({"m-1": "2"}, {"2": "m-1"})
    assert await table.row(2) == row


async def test_memos_stand_in_the_order_in_which_they_came(table: Table) -> None:
    for memo_id in ("b", "a", "c"):
        await table.memo(1, memo_id)
    await table.rewrite("b", "new")
    assert [memo["memoId"] for memo in (await table.row(1))["memos"]] == ["b", "a", "c"]
    await table.delete("a")
    assert [memo["memoId"] for memo in (await table.row(1))["memos"]] == ["b", "c"]
    assert table.column("row-memos") == {"1": "b\nc"}


async def test_a_memo_written_anew_says_by_whom_and_when_and_keeps_its_colour(table: Table) -> None:
    await table.memo(1, "m", "old", RED)
    table.heard()
    table.world.later(1000)
    before = (await table.row(1))["memos"][0]
    edited = await table.rewrite("m", '","color":"#000000","by":"', user="홍")
    memo = {**before, "memo": '","color":"#000000","by":"', "by": "홍", "at": "2026-01-02T03:04:06.678Z"}
    assert rows_of(edited)[0]["memos"] == [memo]
    (event,) = table.heard()
    assert event["change"] == {"field": "memo", "memoId": "m", "before": before, "after": memo}
    assert (event["userId"], event["row"]["updatedBy"]) == ("홍", "홍")
    assert rows_of(await table.rewrite("m", "x"))[0]["memos"][0]["color"] == RED
    assert rows_of(await table.rewrite("m", "x", YELLOW))[0]["memos"][0]["color"] == YELLOW


async def test_a_memo_written_anew_as_it_is_tells_nobody(table: Table) -> None:
    await table.memo(1, "m", "text", RED)
    table.heard()
    before = table.contents()
    for color in (None, RED):
        assert rows_of(await table.rewrite("m", "text", color, 0, user="lee")) == [await table.row(1)]
    assert table.contents() == before
    assert table.heard() == []
    await table.rewrite("m", "tex")
    assert len(table.heard()) == 1, "the beginning of a text is another text"


async def test_a_memo_has_the_version_of_its_row(table: Table) -> None:
    await table.memo(1, "m")
    await table.number(1, 7)
    before = table.world.dump()
    assert (await refusal(Conflict, table.rewrite("m", "x", None, 2)))["current"] == await table.row(1)
    assert (await refusal(Conflict, table.delete("m", 2)))["current"] == await table.row(1)
    assert table.world.dump() == before
    await table.rewrite("m", "x", None, 3)
    await table.delete("m", 4)


async def test_a_deleted_memo_leaves_nothing_behind(table: Table) -> None:
    await table.memo(1, "m")
    table.heard()
    memo = (await table.row(1))["memos"][0]
    assert rows_of(await table.delete("m"))[0]["memos"] == []
    (event,) = table.heard()
    assert event["change"] == {"field": "memo", "memoId": "m", "before": memo, "after": None}
    assert table.world.redis.exists("room:r:memos", "room:r:memo-rows", "room:r:row-memos") == 0


async def test_deleting_a_memo_wins_against_editing_it(table: Table) -> None:
    await table.memo(1, "m")
    results = await asyncio.gather(table.delete("m"), table.rewrite("m", "late", user="lee"), return_exceptions=True)
    assert isinstance(results[0], Edited)
    assert isinstance(results[1], MemoNotFound)
    await refusal(MemoNotFound, table.delete("m"))
    assert (await table.row(1))["memos"] == []


async def test_a_memo_may_be_made_again_but_not_twice(table: Table) -> None:
    first = await table.memo(1, "m", "text", RED)
    table.heard()
    assert rows_of(await table.memo(1, "m", "text", RED)) == rows_of(first)
    for work in (
        table.memo(1, "m", "other", RED),
        table.memo(1, "m", "text", YELLOW),
        table.memo(1, "m", "text", RED, user="lee"),
    ):
        assert (await refusal(Conflict, work))["current"] == await table.row(1)
    assert (await refusal(Conflict, table.memo(2, "m", "text", RED)))["current"] == await table.row(1)
    assert table.heard() == []
    await table.delete("m")
    await table.memo(2, "m", "text", RED, user="lee")
    assert [memo["by"] for memo in (await table.row(2))["memos"]] == ["lee"]


async def test_a_row_has_fifty_memos_at_most(table: Table) -> None:
    for number in range(MEMOS_MAX):
        await table.memo(1, f"m{number}")
    table.heard()
    before = table.world.dump()
    details = await refusal(BadValue, table.memo(1, "more", id_="x"))
    assert (details["field"], details["limit"]) == ("memo", 50)
    assert table.world.dump() == before
    assert table.heard() == []
    await table.memo(2, "more")
    await table.delete("m3")
    await table.memo(1, "again")
    details = await refusal(BadValue, table.lineups.create_memo(table.edit(), 1, "more2", "x", YELLOW))
    assert details["limit"] == 50


# Undo


async def test_every_kind_of_edit_is_taken_back(table: Table) -> None:
    await table.number(1, 5)
    await table.memo(1, "m", "one", RED)
    before = [await table.row(1)]
    await table.number(1, 6)
    before.append(await table.row(1))
    await table.number(1, None)
    before.append(await table.row(1))
    await table.memo(1, "n")
    before.append(await table.row(1))
    table.world.later(1000)
    await table.rewrite("m", "two", YELLOW)
    before.append(await table.row(1))
    await table.delete("m")
    table.heard()
    for row in reversed(before):
        memos = sorted(row["memos"], key=lambda memo: memo["memoId"] == "m")  # what is brought back stands last
        (undone,) = await table.undo()
        assert undone == await table.row(1)
        assert (undone["gbsNumber"], undone["memos"]) == (row["gbsNumber"], memos)
        (event,) = table.heard()
        assert (event["t"], event["row"], event["userId"]) == ("lineup-updated", undone, "kim")
    assert event["change"] == {"field": "gbsNumber", "before": 6, "after": 5}
    assert (await table.read()).groups == {5: 1}


async def test_a_batch_is_taken_back_as_a_whole(table: Table) -> None:
    await table.number(2, 9)
    await table.numbers({1: 1, 2: 2, 3: 3})
    await table.number(4, 4, user="lee")
    table.heard()
    rows = await table.undo()
    assert [(row["lineupId"], row["gbsNumber"]) for row in rows] == [(1, None), (2, 9), (3, None)]
    assert [event["row"] for event in table.heard()] == rows
    assert (await table.read()).groups == {9: 1, 4: 1}


async def test_an_undo_is_refused_when_somebody_has_changed_the_cell_since_and_then_forgotten(table: Table) -> None:
    await table.number(1, 5)
    await table.numbers({2: 6, 3: 6})
    await table.number(3, 7, user="lee")
    table.heard()
    details = await refusal(Conflict, table.undo())
    assert details == {"current": await table.row(3), "rows": [await table.row(3)]}
    assert (await table.row(2))["gbsNumber"] == 6, "all or nothing"
    assert table.heard() == []
    assert (await table.undo())[0]["lineupId"] == 1


@pytest.mark.parametrize("mine", ["create", "update", "delete"])
async def test_an_undo_of_a_memo_is_refused_when_it_is_another_since(table: Table, mine: str) -> None:
    if mine != "create":
        await table.memo(1, "m", "of lee", user="lee")
    if mine == "create":
        await table.memo(1, "m")
    elif mine == "update":
        await table.rewrite("m", "of kim")
    else:
        await table.delete("m")
        await table.memo(2, "m", "again", user="lee")
    if mine != "delete":
        await table.rewrite("m", "later", user="lee")
    table.heard()
    before = table.contents()
    assert (await refusal(Conflict, table.undo()))["current"] == await table.row(1)
    after = table.contents()
    assert before.pop("room:r:undo:kim")
    assert "room:r:undo:kim" not in after
    assert after == {key: value for key, value in before.items() if key != "room:r:undo:kim"}
    assert table.heard() == []


async def test_another_cell_of_the_row_is_no_reason_to_refuse_an_undo(table: Table) -> None:
    await table.number(1, 5)
    await table.memo(1, "m", user="lee")
    assert (await table.undo())[0]["gbsNumber"] is None


async def test_a_refused_undo_sent_again_is_not_about_the_edit_before(table: Table) -> None:
    await table.number(1, 5)
    await table.number(2, 6)
    await table.number(2, 7, user="lee")
    first = await refusal(Conflict, table.undo(id_="z"))
    assert await refusal(Conflict, table.undo(id_="z")) == first
    assert (await table.row(1))["gbsNumber"] == 5
    assert (await table.undo(id_="y"))[0]["lineupId"] == 1


async def test_undo_after_undo_goes_on_backwards_and_everybody_has_their_own(table: Table) -> None:
    for number in (1, 2, 3):
        await table.number(1, number)
        await table.number(2, number + 10, user="lee")
    assert [(await table.undo())[0]["gbsNumber"] for _ in range(3)] == [2, 1, None]
    assert await refusal(BadValue, table.undo()) == {"field": "t", "reason": "there is nothing to undo"}
    assert (await table.undo("lee"))[0]["gbsNumber"] == 12
    assert "room:r:undo:kim" not in table.world.dump()


async def test_fifty_edits_can_be_undone(table: Table) -> None:
    for number in range(1, UNDO_MAX + 3):
        await table.number(1, number)
    assert table.world.redis.llen("room:r:undo:kim") == 50
    assert 29 * 86400 < table.world.redis.ttl("room:r:undo:kim") <= 30 * 86400
    rows = [(await table.undo())[0]["gbsNumber"] for _ in range(UNDO_MAX)]
    assert rows == list(range(UNDO_MAX + 1, 1, -1))
    await refusal(BadValue, table.undo())


async def test_a_memo_that_finds_no_room_stays_deleted_until_there_is(table: Table) -> None:
    for number in range(MEMOS_MAX):
        await table.memo(1, f"m{number}", user="lee")
    await table.delete("m0")
    await table.memo(1, "last", user="lee")
    assert (await refusal(BadValue, table.undo()))["limit"] == 50
    await table.delete("m1", user="lee")
    assert (await table.undo())[0]["memos"][-1]["memoId"] == "m0"


# Import


async def test_an_import_is_one_event_that_tells_how_much(world: World) -> None:
    table = Table(world)
    await table.open(0)
    imported = await table.import_rows({1: "a", 2: "b", 3: "c"}, {1: 7, 2: 7})
    assert (imported.position.seq, imported.added, imported.changed) == (1, 3, 0)
    (payload,) = world.heard()
    assert list(json.loads(payload).items()) == [
        ("seq", 1), ("epoch", table.epoch), ("roomId", "r"), ("t", "lineup-imported"), ("timestamp", NOW),
        ("userId", "admin"), ("added", 3), ("changed", 0),
    ]  # fmt: skip
    assert world.redis.xrange("room:r:log") == [("1-0", {"e": payload})]
    assert (await table.read()).groups == {7: 2}


async def test_an_import_again_updates_fields_and_keeps_numbers_and_memos(table: Table) -> None:
    await table.number(1, 7)
    await table.memo(1, "m")
    memos = (await table.row(1))["memos"]
    table.heard()
    imported = await table.import_rows({1: "new", 2: "n2", 6: "six"}, {1: 9, 2: 9, 6: 9}, user="lee")
    assert (imported.added, imported.changed) == (1, 1)
    assert await table.row(1) == {
        "lineupId": 1, "name": "new", "gbsNumber": 7, "memos": memos, "version": 4, "updatedBy": "lee"
    }  # fmt: skip
    assert (await table.row(2))["version"] == 1, "what is as it was is not written"
    assert (await table.row(6))["gbsNumber"] == 9
    assert (await table.read()).groups == {7: 1, 9: 1}
    (event,) = table.heard()
    assert (event["seq"], event["userId"], event["added"], event["changed"]) == (4, "lee", 1, 1)
    await refusal(Conflict, table.number(1, 8, 3))
    assert (await table.undo())[0]["memos"] == [], "what was edited before can be taken back"


async def test_an_import_of_what_is_there_is_no_event(table: Table) -> None:
    before = table.world.dump()
    imported = await table.import_rows({number: f"n{number}" for number in range(1, 6)})
    assert (imported.position.seq, imported.added, imported.changed) == (1, 0, 0)
    assert (await table.import_rows({})).added == 0
    assert table.world.dump() == before
    assert table.heard() == []


async def test_a_table_holds_five_thousand_rows(world: World) -> None:
    table = Table(world)
    await table.open(ROWS_MAX - 1)
    before = world.dump()
    details = await refusal(BadValue, table.import_rows({1: "changed", 6000: "x", 6001: "x"}))
    assert (details["field"], details["limit"]) == ("rows", 5000)
    assert world.dump() == before
    assert world.heard() == []
    assert (await table.import_rows({1: "changed", 6000: "x"})).added == 1
    assert len((await table.read()).rows) == ROWS_MAX


# Marks


def mark(table: Table, row: int | None = 1, connection: str = "c1", user: str = "kim", **fields: Any) -> Any:
    kept = b"" if row is None else to_json({"lineupId": row, "userId": user})
    return table.lineups.mark(table.edit(user, **fields), connection, row, kept, b'{"t":"user-editing"}')


async def marks(table: Table) -> list[Any]:
    return sorted([json.loads(each) for each in (await table.read()).editing], key=str)


async def test_a_mark_is_published_shown_to_newcomers_and_not_logged(table: Table) -> None:
    assert await mark(table) == b""
    assert await mark(table, 2) == b'{"lineupId":1,"userId":"kim"}'
    await mark(table, 3, "c2")
    await mark(table, 3, "c1", "lee")
    assert await marks(table) == [
        {"lineupId": 2, "userId": "kim"}, {"lineupId": 3, "userId": "kim"}, {"lineupId": 3, "userId": "lee"},
    ]  # fmt: skip
    assert table.heard() == [{"t": "user-editing"}] * 4
    assert table.world.redis.xlen("room:r:log") == 1


async def test_a_mark_of_an_unknown_row_is_none(table: Table) -> None:
    before = table.world.dump()
    assert await refusal(LineupNotFound, mark(table, 9)) == {"lineupId": 9, "lineupIds": [9]}
    assert table.world.dump() == before
    assert table.heard() == []


async def test_a_mark_holds_fifteen_seconds_unless_it_is_sent_again(table: Table) -> None:
    await mark(table)
    await mark(table, 2, "c2")
    assert MARK_MS - 5_000 < table.world.redis.pttl("room:r:editing") <= MARK_MS == 15_000
    table.world.later(MARK_MS - 1)
    assert len(await marks(table)) == 2
    await mark(table, 1)
    table.world.later(1)
    assert await marks(table) == [{"lineupId": 1, "userId": "kim"}]
    assert list(table.column("editing")) == ["kim/c1"], "what is over is forgotten"
    table.world.later(MARK_MS - 1)
    assert await marks(table) == []
    assert table.world.redis.exists("room:r:editing") == 0


async def test_a_mark_goes_with_its_connection_and_nobody_elses(table: Table) -> None:
    await mark(table)
    await mark(table, 2, "c2")
    table.heard()
    await Lineup().part(table.world.store, "r", "kim", "c1")
    assert await marks(table) == [{"lineupId": 2, "userId": "kim"}]
    assert table.heard() == [{"roomId": "r", "t": "user-editing", "lineupId": 1, "userId": "kim", "editing": False}]
    await Lineup().part(table.world.store, "r", "kim", "c1")
    assert table.heard() == [], "who marked nothing is not told of"
    table.world.redis.delete("room:r")
    await Lineup().part(table.world.store, "r", "kim", "c2")


# The log


def days(table: Table) -> list[str]:
    return sorted(table.column("log-days"))


async def test_the_log_is_kept_for_thirty_days(table: Table) -> None:
    start = datetime.fromtimestamp(NOW_MS / 1000, UTC)
    for day in range(1, 41):
        table.world.store.set_clock(NOW_MS + day * DAY_MS)
        table.world.now_ms = NOW_MS + day * DAY_MS
        await table.number(1, day)
        await table.number(2, day)
        found = table.world.log()
        oldest = max(0, day - 30)
        assert found[0]["timestamp"][:10] == (start + timedelta(days=oldest)).date().isoformat()
        assert [event["seq"] for event in found] == list(range(found[0]["seq"], 2 * day + 2))
        assert days(table) == [(start + timedelta(days=at)).date().isoformat() for at in range(oldest, day + 1)]
    assert found[0]["seq"] == 2 * 10
    assert table.column("log-days")["2026-01-12"] == "20"


async def test_after_a_long_pause_only_what_is_new_is_left(table: Table) -> None:
    await table.number(1, 1)
    table.world.later(31 * DAY_MS)
    await table.numbers({1: 2, 2: 2})
    assert [event["seq"] for event in table.world.log()] == [3, 4]
    assert days(table) == ["2026-02-02"]
    table.world.later(31 * DAY_MS)
    await table.import_rows({1: "x"})
    assert [event["t"] for event in table.world.log()] == ["lineup-imported"]


async def test_a_line_up_does_not_expire(table: Table) -> None:
    await table.world.join(KIM)
    await table.number(1, 1, id_="x")
    await table.memo(1, "m")
    lasting = {"room:r", "room:r:log", *[TABLE + name for name in (
        "order", "rows", "numbers", "versions", "editors", "memos", "memo-rows", "row-memos", "groups", "log-days",
    )]}  # fmt: skip
    assert {key for key in table.world.redis.keys("room:r*") if table.world.redis.ttl(key) == -1} == lasting
    assert table.world.redis.zscore("rooms", "r") == float("inf")


async def test_a_replay_of_the_log_is_the_table(table: Table) -> None:
    await table.numbers({1: 1, 2: 2, 3: 3})
    await table.memo(1, "m")
    await table.undo()
    await table.number(2, None, user="lee")
    await table.memo(4, "n", user="lee")
    replayed: dict[int, Any] = {}
    for row in range(1, 6):
        blank: dict[str, Any] = {"gbsNumber": None, "memos": [], "version": 1, "updatedBy": "admin"}
        replayed[row] = {"lineupId": row, "name": f"n{row}", **blank}
    for event in table.world.log():
        if event["t"] == "lineup-updated":
            replayed[event["row"]["lineupId"]] = event["row"]
    assert [json.loads(row) for row in (await table.read()).rows] == list(replayed.values())
