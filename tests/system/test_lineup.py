"""Line-ups on real nodes: twenty people on two of them, what breaks on the way, files, roles, and what is refused."""

from __future__ import annotations

import asyncio
import contextlib
import csv
import io
import json
import random
import signal
import time
import urllib.parse
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from c2c.auth import mint_token
from c2c.client import Client, Closed, CommandFailed, Room, StateReplaced
from c2c.scripts import load_scripts
from tests.conftest import StartNode
from tests.support import NodeProcess, Proxy, RedisServer, Talker, eventually, talk

ROOM = "retreat-spring"
SECRET = "a secret of at least thirty-two bytes"
EDITORS, EDITS, ROWS = 20, 10_000, 200
# A client waits up to 30 s before it connects again, and then its node may just be dead, several times in a row.
PATIENCE_S = 300


def put(
    node: NodeProcess, rows: Sequence[Mapping[str, Any]], room: str = ROOM, token: str = "admin"
) -> tuple[int, dict[str, Any]]:
    """Import rows as JSON: status and envelope."""
    return node.request("PUT", f"/api/rooms/{room}/lineups", {"rows": rows}, {"Authorization": f"Bearer {token}"})


def put_csv(
    node: NodeProcess, data: bytes, room: str = ROOM, media_type: str = "text/csv"
) -> tuple[int, dict[str, Any]]:
    return node.request("PUT", f"/api/rooms/{room}/lineups", data, {"Content-Type": media_type})


def named(count: int) -> list[dict[str, Any]]:
    return [{"lineupId": number, "name": f"n{number}"} for number in range(1, count + 1)]


def table_of(node: NodeProcess, room: str = ROOM, after: int = -1) -> dict[str, Any]:
    status, answer = node.get(f"/api/rooms/{room}/lineups?after={after}")
    assert status == 200, answer
    data: dict[str, Any] = answer["data"]
    return data


def csv_of(node: NodeProcess, room: str = ROOM) -> bytes:
    status, body = node.request("GET", f"/api/rooms/{room}/lineups", None, {"Accept": "text/csv"})
    assert status == 200
    assert isinstance(body, bytes)
    return body


def log_of(node: NodeProcess, room: str = ROOM) -> list[dict[str, Any]]:
    """The whole log, page by page."""
    events: list[dict[str, Any]] = []
    while True:
        after = events[-1]["seq"] if events else 0
        page = node.get(f"/api/rooms/{room}/events?after={after}&limit=500")[1]["data"]
        events += page["events"]
        if not page["more"]:
            return events


def token(user: str, rooms: list[str] | None = None, *, admin: bool = False, viewer: bool = False) -> str:
    return mint_token(SECRET, user, name=None, ttl_s=600, rooms=rooms, admin=admin, viewer=viewer)


# Twenty people at once


class Editor:
    """Somebody who edits at random, keeps the table by state and events as a page does, and remembers every answer."""

    def __init__(self, number: int, client: Client, room: Room) -> None:
        self.user = f"user{number}"
        self.client = client
        self.room = room
        self.rng = random.Random(number)
        self.table: dict[int, dict[str, Any]] = {}
        self.seq = 0
        self.replaced = 0
        self.acknowledged: list[tuple[dict[str, Any], dict[str, Any]]] = []
        self.conflicts: list[tuple[dict[str, Any], dict[str, Any], dict[int, int]]] = []
        self.refused: dict[str, int] = {}
        self._take_state(room.state, room.position.seq)

    def _take_state(self, state: Mapping[str, Any], seq: int) -> None:
        assert state["more"] is False
        self.table = {row["lineupId"]: row for row in state["rows"]}
        self.seq = seq

    async def follow(self) -> None:
        async for event in self.room.events():
            if isinstance(event, StateReplaced):
                self.replaced += 1
                self._take_state(event.state, event.position.seq)
            elif isinstance(event, dict) and "seq" in event:
                assert event["seq"] == self.seq + 1
                self.seq = event["seq"]
                if event["t"] == "lineup-updated":
                    self.table[event["row"]["lineupId"]] = event["row"]

    async def edit(self, count: int) -> None:
        for at in range(count):
            command = self._command(at)
            command["command_id"] = f"{self.user}-{at}"
            seen = {row: fields["version"] for row, fields in self.table.items()}
            try:
                answer = await self.room.send(deadline_s=PATIENCE_S, **command)
            except CommandFailed as failed:
                self._note(command, failed, seen)
            else:
                self.acknowledged.append((command, answer))

    def _note(self, command: dict[str, Any], failed: CommandFailed, seen: dict[int, int]) -> None:
        """A refusal that there may be: a conflict, a memo that is gone, nothing to undo, too many memos."""
        self.refused[failed.code] = self.refused.get(failed.code, 0) + 1
        if failed.code == "CONFLICT":
            self.conflicts.append((command, dict(failed.details), seen))
        elif failed.code == "MEMO_NOT_FOUND":
            assert failed.details.get("memo") == command.get("memo")
        else:
            assert failed.code == "BAD_VALUE", failed
            assert command["t"] == "undo-lineup" or failed.details.get("limit") == 50, failed

    def _command(self, at: int) -> dict[str, Any]:
        rng, row = self.rng, self.rng.randint(1, ROWS)
        memos = [memo["memoId"] for memo in self.table[row]["memos"]]
        what = rng.random()
        if what < 0.60:
            return {"t": "update-gbs-number", "lineupId": row, "gbsNumber": self._number(), **self._version(row)}
        if what < 0.65:
            rows = rng.sample(range(1, ROWS + 1), 4)
            numbers = [{"lineupId": each, "gbsNumber": self._number(), **self._version(each)} for each in rows]
            return {"t": "update-gbs-numbers", "numbers": numbers}
        if what < 0.70:
            return {"t": "undo-lineup"}
        if not memos or what < 0.80:
            return {"t": "create-lineup-memo", "lineupId": row, "memo": f"메모 {at}", "memoId": f"{self.user}-m{at}"}
        if what < 0.92:
            return {"t": "update-lineup-memo", "memoId": rng.choice(memos), "memo": f"text {at}", **self._version(row)}
        return {"t": "delete-lineup-memo", "memoId": rng.choice(memos), **self._version(row)}

    def _number(self) -> int | None:
        number = self.rng.randint(-1, 19)
        return None if number < 0 else number

    def _version(self, row: int) -> dict[str, Any]:
        return {"ifVersion": self.table[row]["version"]} if self.rng.random() < 0.5 else {}


async def trouble(nodes: list[NodeProcess], proxies: list[Proxy], done: asyncio.Event) -> int:
    """Kill nodes and cut connections in turns, until it is over, 20 times at most; how often."""
    times = 0
    while not done.is_set() and times < 20:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(done.wait(), 3)
            break
        if times % 2:
            proxies[times // 2 % 2].cut()
        else:
            node = nodes[times // 2 % 2]
            node.kill()
            await asyncio.to_thread(node.start)
        times += 1
    return times


@pytest.mark.timeout(400)
async def test_twenty_people_edit_at_once_while_nodes_die_and_everybody_ends_with_the_same_table(
    start_node: StartNode, redis_server: RedisServer
) -> None:
    nodes = [start_node(), start_node()]
    put(nodes[0], named(ROWS))
    async with contextlib.AsyncExitStack() as stack:
        proxies = [stack.enter_context(Proxy(node.port)) for node in nodes]
        editors = []
        for number in range(EDITORS):
            url = f"ws://127.0.0.1:{proxies[number % 2].port}/ws"
            client = await stack.enter_async_context(Client(url, token=f"user{number}"))
            editors.append(Editor(number, client, await client.join(ROOM)))
        async with asyncio.TaskGroup() as group:
            following = [group.create_task(editor.follow()) for editor in editors]
            done = asyncio.Event()
            breaking = group.create_task(trouble(nodes, proxies, done))
            await asyncio.gather(*[group.create_task(editor.edit(EDITS // EDITORS)) for editor in editors])
            done.set()
            assert await breaking >= 4, "too few nodes died"

            final = table_of(nodes[0])
            await eventually(lambda: all(editor.seq >= final["seq"] for editor in editors), 60, "all are up to date")
            for task in following:
                task.cancel()
        expected = {row["lineupId"]: row for row in final["rows"]}
        for editor in editors:
            assert editor.table == expected

    log = log_of(nodes[1])
    assert [event["seq"] for event in log] == list(range(1, log[-1]["seq"] + 1))
    states = replay(log)
    assert {row: versions[max(versions)] for row, versions in states.items()} == expected
    assert_redis_is(redis_server, expected)
    check_answers(editors, log, states)


def replay(log: list[dict[str, Any]]) -> dict[int, dict[int, dict[str, Any]]]:
    """Row → version → the row as it was then, by the log alone."""
    (imported,) = [event for event in log if event["t"] == "lineup-imported"]
    blank = {"gbsNumber": None, "memos": [], "version": imported["seq"], "updatedBy": "admin"}
    states = {row["lineupId"]: {imported["seq"]: {**row, **blank}} for row in named(ROWS)}
    for event in log:
        if event["t"] == "lineup-updated":
            before = states[event["row"]["lineupId"]]
            assert_follows(before[max(before)], event)
            before[event["seq"]] = event["row"]
    return states


def assert_follows(before: dict[str, Any], event: dict[str, Any]) -> None:
    """An event's row is the row before it, with its change and nothing else."""
    change, row = event["change"], dict(before)
    if change["field"] == "gbsNumber":
        assert change["before"] == before["gbsNumber"]
        row["gbsNumber"] = change["after"]
    else:
        found = {memo["memoId"]: memo for memo in before["memos"]}
        assert change["before"] == found.pop(change["memoId"], None)
        kept = [change["after"] if memo == change["before"] else memo for memo in before["memos"]]
        new = [] if change["before"] else [change["after"]]
        row["memos"] = [memo for memo in [*kept, *new] if memo]
    assert event["row"] == {**row, "version": event["seq"], "updatedBy": event["userId"]}


def assert_redis_is(server: RedisServer, expected: dict[int, dict[str, Any]]) -> None:
    """What stands in Redis, column by column, is this table."""

    def column(name: str) -> dict[str, str]:
        found: dict[str, str] = server.client.hgetall(f"room:{ROOM}:{name}")
        return found

    numbers = {
        str(row): str(fields["gbsNumber"]) for row, fields in expected.items() if fields["gbsNumber"] is not None
    }
    assert column("numbers") == numbers
    counts = list(numbers.values())
    assert column("groups") == {number: str(counts.count(number)) for number in counts}
    assert column("versions") == {str(row): str(fields["version"]) for row, fields in expected.items()}
    assert column("editors") == {str(row): fields["updatedBy"] for row, fields in expected.items()}
    memos = {memo["memoId"]: (str(row), memo) for row, fields in expected.items() for memo in fields["memos"]}
    assert {id_: json.loads(memo) for id_, memo in column("memos").items()} == {id_: m for id_, (_, m) in memos.items()}
    assert column("memo-rows") == {id_: row for id_, (row, _) in memos.items()}


def check_answers(
    editors: list[Editor], log: list[dict[str, Any]], states: dict[int, dict[int, dict[str, Any]]]
) -> None:
    """Each acknowledged command is in the log once, or changed nothing; each conflict carried the row of its moment."""
    by_command: dict[str, list[dict[str, Any]]] = {}
    for event in log:
        if "by" in event:
            by_command.setdefault(event["by"], []).append(event)
    refused: dict[str, int] = {}
    written = 0
    for editor in editors:
        for code, count in editor.refused.items():
            refused[code] = refused.get(code, 0) + count
        for command, answer in editor.acknowledged:
            events = by_command.pop(command["command_id"], [])
            rows = answer["rows"] if "rows" in answer else [answer["row"]]
            written += bool(events)
            assert [event["userId"] for event in events] == [editor.user] * len(events)
            if events:
                assert answer["seq"] == events[-1]["seq"]
                assert [event["row"] for event in events] == rows
            for row in rows:
                assert states[row["lineupId"]][row["version"]] == row
                assert row["version"] <= answer["seq"]
            for wanted in command.get("numbers", [command] if command["t"] == "update-gbs-number" else []):
                then = states[wanted["lineupId"]]
                assert then[max(v for v in then if v <= answer["seq"])]["gbsNumber"] == wanted["gbsNumber"]
        for command, details, seen in editor.conflicts:
            assert details["current"] == details["rows"][0]
            for row in details["rows"]:
                assert states[row["lineupId"]][row["version"]] == row
                assert row["version"] >= seen[row["lineupId"]], "older than what was on the screen"
                wanted = {each["lineupId"]: each.get("ifVersion") for each in command.get("numbers", [command])
                          if "lineupId" in each}.get(row["lineupId"], command.get("ifVersion"))  # fmt: skip
                assert command["t"] == "undo-lineup" or row["version"] != wanted
    assert not [by for by in by_command if by.startswith("user")], "an event of a command that was refused"
    assert written > EDITS / 2
    assert refused["CONFLICT"] > 20, refused


# Joining


async def test_joining_costs_redis_one_script_and_shows_the_whole_table(
    start_node: StartNode, redis_server: RedisServer
) -> None:
    node = start_node()
    put(node, named(2000))
    async with talk(node.ws_url) as kim, talk(node.ws_url) as lee:
        await kim.ask("hello", token="kim")
        await lee.join(ROOM, "lee")  # signed in and in the room before anything is counted
        redis_server.count_calls()
        redis_server.client.slowlog_reset()  # what was slow before
        joined = await kim.ask("join", roomId=ROOM)
        sent = [
            entry["command"].split()
            for entry in redis_server.client.slowlog_get(10_000)
            if entry["client_address"] != b"?:0"
        ]
        read = load_scripts()["lineup_read"].sha
        assert sum(read in command[:2] for command in sent) == 1
        assert redis_server.calls() < 50  # renewals may come in between
        assert joined["kind"] == "lineup"
        assert list(joined["state"]) == ["rows", "groups", "editing", "more"]
        assert joined["state"]["rows"] == [
            {"lineupId": n, "name": f"n{n}", "gbsNumber": None, "memos": [], "version": 1, "updatedBy": "admin"}
            for n in range(1, 2001)
        ]
        assert (joined["state"]["groups"], joined["state"]["editing"], joined["state"]["more"]) == ([], [], False)


async def test_what_is_too_much_for_a_frame_is_had_by_rest(start_node: StartNode) -> None:
    node = start_node()
    rows = [{"lineupId": n, "name": f"참가자 {n}", "note": "x" * 100} for n in range(5000, 0, -1)]
    assert put(node, rows)[0] == 200
    async with talk(node.ws_url) as kim:
        joined = await kim.join(ROOM, "kim")
        state = joined["state"]
        assert state["more"] is True
        assert 400_000 < len(json.dumps(state, ensure_ascii=False).encode()) < 700_000
        rest = table_of(node, after=state["next"])
        assert state["next"] == state["rows"][-1]["lineupId"]
        assert [row["lineupId"] for row in [*state["rows"], *rest["rows"]]] == list(range(1, 5001))
        assert (rest["epoch"], rest["seq"]) == (joined["epoch"], joined["seq"])
        assert table_of(node)["rows"] == [*state["rows"], *rest["rows"]]


async def test_a_row_that_is_too_much_for_a_frame_is_shown_all_the_same(start_node: StartNode) -> None:
    node = start_node()
    put(node, named(2))
    memo = {"t": "create-lineup-memo", "lineupId": 1, "memo": "\x01" * 2000}
    for _ in range(50):
        assert node.request("POST", f"/api/rooms/{ROOM}/events", memo)[0] == 200
    async with talk(node.ws_url) as lee:
        state = (await lee.join(ROOM, "lee"))["state"]
        assert [len(row["memos"]) for row in state["rows"]] == [50]
        assert (state["more"], state["next"]) == (True, 1)


async def test_a_connection_is_in_one_retreat_at_a_time(start_node: StartNode, redis_server: RedisServer) -> None:
    node = start_node()
    for room in (ROOM, "retreat-autumn"):
        put(node, named(1), room)
    async with talk(node.ws_url) as kim, talk(node.ws_url) as lee:
        assert (await kim.ask("update-gbs-number", lineupId=1, gbsNumber=1))["code"] == "UNAUTHORIZED"
        await kim.wait_closed()
        await lee.ask("hello", token="lee")
        assert (await lee.ask("update-gbs-number", lineupId=1, gbsNumber=1))["code"] == "NOT_A_MEMBER"
        await lee.join(ROOM, "lee")
        await lee.ask("user-editing", lineupId=1, editing=True)
        assert redis_server.client.hlen(f"room:{ROOM}:editing") == 1
        await lee.join("retreat-autumn", "lee")
        assert (await lee.wait_for("left"))["roomId"] == ROOM
        await eventually(lambda: redis_server.client.smembers(f"room:{ROOM}:members") == set())
        assert redis_server.client.exists(f"room:{ROOM}:editing") == 0
        assert (await lee.ask("update-gbs-number", lineupId=1, gbsNumber=7))["row"]["gbsNumber"] == 7
        assert table_of(node)["rows"][0]["gbsNumber"] is None
        assert table_of(node, "retreat-autumn")["rows"][0]["gbsNumber"] == 7
        assert (await lee.ask("update-gbs-number", lineupId=1, gbsNumber=8, roomId=ROOM))["code"] == "NOT_A_MEMBER"
        node.request("POST", f"/api/rooms/{ROOM}/events", {"t": "update-gbs-number", "lineupId": 1, "gbsNumber": 9})
        await lee.ask("update-gbs-number", lineupId=1, gbsNumber=1)
        assert {event["roomId"] for event in lee.of("lineup-updated")} == {"retreat-autumn"}


async def test_a_client_that_goes_to_another_retreat_does_not_come_back_to_the_first(start_node: StartNode) -> None:
    node = start_node()
    for room in (ROOM, "retreat-autumn"):
        put(node, named(1), room)
    async with Client(node.ws_url, token="kim") as client:
        first = await client.join(ROOM)
        second = await client.join("retreat-autumn")
        await eventually(lambda: list(client.rooms) == ["retreat-autumn"])
        with pytest.raises(Closed):
            await first.send("update-gbs-number", lineupId=1, gbsNumber=1)
        answer = await second.send("update-gbs-number", lineupId=1, gbsNumber=1)
        assert answer["row"]["gbsNumber"] == 1


# Editing


async def test_edits_reach_everybody_on_every_node_and_the_sender_gets_the_row(start_node: StartNode) -> None:
    nodes = [start_node(), start_node()]
    put(nodes[0], named(3))
    async with talk(nodes[0].ws_url) as kim, talk(nodes[1].ws_url) as lee:
        joined = await kim.join(ROOM, "kim")
        await lee.join(ROOM, "lee")
        answer = await kim.ask("update-gbs-number", id="e1", lineupId=2, gbsNumber=12)
        row = {"lineupId": 2, "name": "n2", "gbsNumber": 12, "memos": [], "version": answer["seq"], "updatedBy": "kim"}
        assert answer == {"t": "ack", "epoch": joined["epoch"], "seq": answer["seq"], "row": row, "id": "e1"}
        for talker in (kim, lee):
            event = await talker.wait_for("lineup-updated")
            assert (event["by"], event["row"]) == ("e1", row)
        answer = await lee.ask("create-lineup-memo", lineupId=2, memo="<b>x</b>", color="#AbCdEf")
        assert (answer["row"]["memos"][0]["memo"], answer["row"]["memos"][0]["color"]) == ("<b>x</b>", "#abcdef")
        memo_id = answer["row"]["memos"][0]["memoId"]
        answer = await kim.ask("update-lineup-memo", memoId=memo_id, memo="y", ifVersion=row["version"])
        assert (answer["t"], answer["code"], answer["retryable"]) == ("error", "CONFLICT", False)
        assert answer["current"] == table_of(nodes[1])["rows"][1] == answer["rows"][0]
        answer = await kim.ask("delete-lineup-memo", memoId=memo_id)
        assert answer["row"]["memos"] == []
        answer = await lee.ask("update-lineup-memo", memoId=memo_id, memo="lost text")
        assert (answer["code"], answer["memoId"], answer["memo"]) == ("MEMO_NOT_FOUND", memo_id, "lost text")
        answer = await lee.ask("delete-lineup-memo", memoId=memo_id)
        assert (answer["code"], answer["memoId"], "memo" in answer) == ("MEMO_NOT_FOUND", memo_id, False)
        answer = await kim.ask("update-gbs-numbers", numbers=[{"lineupId": n, "gbsNumber": 5} for n in (1, 3)])
        assert [row["gbsNumber"] for row in answer["rows"]] == [5, 5]
        answer = await kim.ask("undo-lineup")
        assert [row["gbsNumber"] for row in answer["rows"]] == [None, None]
        assert (await lee.ask("undo-lineup"))["code"] == "CONFLICT"
        answer = await lee.ask("undo-lineup")
        assert (answer["code"], answer["field"]) == ("BAD_VALUE", "t")
        await eventually(lambda: lee.seqs == kim.seqs[-len(lee.seqs) :] and len(lee.of("lineup-updated")) == 7)


async def test_marks_are_told_shown_to_newcomers_and_end_with_their_connection(start_node: StartNode) -> None:
    nodes = [start_node(), start_node()]
    put(nodes[0], named(3))
    async with talk(nodes[1].ws_url) as lee:
        await lee.join(ROOM, "lee")
        async with talk(nodes[0].ws_url) as kim:
            await kim.join(ROOM, "kim")
            assert await kim.ask("user-editing", id="m", lineupId=2, field="memo", editing=True) == {
                "t": "ack",
                "id": "m",
            }
            mark = {"lineupId": 2, "userId": "kim", "userName": "kim", "field": "memo"}
            assert await lee.wait_for("user-editing") == {"roomId": ROOM, "t": "user-editing", **mark, "editing": True}
            assert table_of(nodes[1])["editing"] == [mark]
            await kim.ask("user-editing", lineupId=2, editing=False)
            await lee.wait_for("user-editing", 2)
            assert table_of(nodes[1])["editing"] == []
            await kim.ask("user-editing", lineupId=3, editing=True)
            kim.socket.transport.abort()
        told = await lee.wait_for("user-editing", 4)
        assert told == {"roomId": ROOM, "t": "user-editing", **mark, "lineupId": 3, "field": "", "editing": False}
        assert table_of(nodes[1])["editing"] == []
        assert not [event for event in log_of(nodes[0]) if event["t"] == "user-editing"]


async def test_marks_of_a_killed_nodes_people_go_within_fifteen_seconds(start_node: StartNode) -> None:
    nodes = [start_node(), start_node()]
    put(nodes[0], named(1))
    async with talk(nodes[0].ws_url) as kim:
        await kim.join(ROOM, "kim")
        await kim.ask("user-editing", lineupId=1, editing=True)
        marked_s = time.monotonic()
        nodes[0].kill()
        assert len(table_of(nodes[1])["editing"]) == 1
        await eventually(lambda: table_of(nodes[1])["editing"] == [], 20)
        assert 14 < time.monotonic() - marked_s < 17


async def test_a_line_up_outlives_everybody_and_a_restart_of_the_node(start_node: StartNode) -> None:
    node = start_node()
    put(node, named(1))
    async with talk(node.ws_url) as kim:
        await kim.join(ROOM, "kim")
        await kim.ask("update-gbs-number", lineupId=1, gbsNumber=7)
    node.signal(signal.SIGTERM)
    await asyncio.to_thread(node.wait)
    await asyncio.to_thread(node.start)
    async with talk(node.ws_url) as lee:
        assert (await lee.join(ROOM, "lee"))["state"]["groups"] == [{"gbsNumber": 7, "count": 1}]


# Who may


async def test_roles_and_rooms_of_the_token_decide(start_node: StartNode, redis_server: RedisServer) -> None:
    node = start_node(auth="jwt", jwt_secret=SECRET)
    assert put(node, named(2), token=token("root", admin=True))[0] == 200
    written = redis_server.client.hgetall(f"room:{ROOM}:rows"), redis_server.client.hgetall(f"room:{ROOM}:numbers")

    def get(who: str) -> Any:
        status, answer = node.request("GET", f"/api/rooms/{ROOM}/lineups", None, {"Authorization": f"Bearer {who}"})
        return status if status == 200 else (status, answer["error"]["code"])

    for who, refusal in (
        (token("kim"), (403, "FORBIDDEN")),
        (token("kim", viewer=True), (403, "FORBIDDEN")),
        (token("root", ["retreat-autumn"], admin=True), (404, "ROOM_NOT_FOUND")),
        ("", (401, "UNAUTHORIZED")),
    ):
        status, answer = put(node, [{"lineupId": 1, "name": "new"}], token=who)
        assert (status, answer["error"]["code"]) == refusal
    assert get(token("kim", ["retreat-*"])) == 200
    assert get(token("kim", [ROOM], viewer=True)) == 200
    assert get(token("kim", ["retreat-autumn"])) == (404, "ROOM_NOT_FOUND")
    assert get("") == (401, "UNAUTHORIZED")

    async with talk(node.ws_url) as viewer, talk(node.ws_url) as outsider, talk(node.ws_url) as member:
        assert (await outsider.join(ROOM, token("out", ["retreat-autumn"])))["code"] == "ROOM_NOT_FOUND"
        assert (await viewer.join(ROOM, token("eye", [ROOM], viewer=True)))["state"]["rows"][0]["name"] == "n1"
        for command in COMMANDS:
            assert (await viewer.ask(**command))["code"] == "FORBIDDEN"
            status, answer = node.request(
                "POST", f"/api/rooms/{ROOM}/events", command, {"Authorization": f"Bearer {token('eye', viewer=True)}"}
            )
            assert (status, answer["error"]["code"]) == (403, "FORBIDDEN")
        assert (written[0], written[1]) == (
            redis_server.client.hgetall(f"room:{ROOM}:rows"), redis_server.client.hgetall(f"room:{ROOM}:numbers")
        )  # fmt: skip
        await member.join(ROOM, token("kim", [ROOM]))
        assert (await member.ask("update-gbs-number", lineupId=1, gbsNumber=7))["t"] == "ack"
        assert (await viewer.wait_for("lineup-updated"))["row"]["gbsNumber"] == 7


COMMANDS: list[dict[str, Any]] = [
    {"t": "update-gbs-number", "lineupId": 1, "gbsNumber": 7},
    {"t": "update-gbs-numbers", "numbers": [{"lineupId": 1, "gbsNumber": 7}]},
    {"t": "create-lineup-memo", "lineupId": 1, "memo": "x"},
    {"t": "update-lineup-memo", "memoId": "m", "memo": "x"},
    {"t": "delete-lineup-memo", "memoId": "m"},
    {"t": "undo-lineup"},
    {"t": "user-editing", "lineupId": 1, "editing": True},
]


# Bad input


ROW_IDS: list[Any] = ["1", -1, 1.5, None, 2**53 + 1, {}]
VERSIONS: list[Any] = ["1", -1, 2**53 + 1]
NUMBERS: list[Any] = [1000, -1, "7", 7.5, True, [], 2**70]


def changed(command: int, **fields: Any) -> dict[str, Any]:
    return {**COMMANDS[command], **fields}


BAD: list[tuple[dict[str, Any], str, str | None]] = [
    (changed(0, lineupId=99), "LINEUP_NOT_FOUND", None),
    (changed(1, numbers=[{"lineupId": 1, "gbsNumber": 7}, {"lineupId": 99, "gbsNumber": 7}]), "LINEUP_NOT_FOUND", None),
    (changed(2, lineupId=99), "LINEUP_NOT_FOUND", None),
    (changed(6, lineupId=99), "LINEUP_NOT_FOUND", None),
    (changed(3, memoId="nobody"), "MEMO_NOT_FOUND", None),
    (changed(4, memoId="nobody"), "MEMO_NOT_FOUND", None),
    *[(changed(0, gbsNumber=bad), "BAD_VALUE", "gbsNumber") for bad in NUMBERS],
    *[(changed(0, lineupId=bad), "BAD_VALUE", "lineupId") for bad in ROW_IDS],
    *[(changed(0, ifVersion=bad), "BAD_VALUE", "ifVersion") for bad in VERSIONS],
    *[(changed(1, numbers=bad), "BAD_VALUE", "numbers") for bad in (
        [], "x", [{"lineupId": 1, "gbsNumber": number} for number in (7, 8)],
        [{"lineupId": row, "gbsNumber": 1} for row in range(501)],
    )],
    (changed(1, numbers=[{"lineupId": 1, "gbsNumber": 1000}]), "BAD_VALUE", "numbers.0.gbsNumber"),
    (changed(1, numbers=[{"lineupId": 1}]), "BAD_FRAME", "numbers.0.gbsNumber"),
    (changed(1, numbers=[{"lineupId": 1, "gbsNumber": 1, "x": 1}]), "BAD_FRAME", "numbers.0.x"),
    *[(changed(2, memo=bad), "BAD_VALUE", "memo") for bad in ("", "x" * 2001, 7, None)],
    *[(changed(2, color=bad), "BAD_VALUE", "color") for bad in (
        "red", "#fff", "#gggggg", "#ffffff\n", "url(x)", "#fffffff", 7, '#ffffff"',
    )],
    *[(changed(2, memoId=bad), "BAD_VALUE", "memoId") for bad in ("", "a b", 'a"b', "x" * 65, "a\nb", "a/b", 7)],
    (changed(3, memo="x" * 2001), "BAD_VALUE", "memo"),
    (changed(3, color="red"), "BAD_VALUE", "color"),
    (changed(6, field="x" * 65), "BAD_VALUE", "field"),
    (changed(6, editing=1), "BAD_VALUE", "editing"),
    (changed(5), "BAD_VALUE", "t"),
    (changed(0, extra=1), "BAD_FRAME", "extra"),
    ({"t": "update-gbs-number", "lineupId": 1}, "BAD_FRAME", "gbsNumber"),
    ({"t": "msg", "text": "hi"}, "UNKNOWN_COMMAND", None),
]  # fmt: skip


async def test_bad_input_is_refused_with_its_code_and_writes_nothing(
    start_node: StartNode, redis_server: RedisServer
) -> None:
    node = start_node()
    put(node, named(2))

    def columns() -> dict[str, Any]:
        keys = [key for key in redis_server.client.keys(f"room:{ROOM}*") if redis_server.client.type(key) == "hash"]
        found = {
            key: redis_server.client.hgetall(key) for key in keys if not key.endswith((":editing", ":connections"))
        }
        return {**found, "undo": redis_server.client.keys("*undo*"), "dedupe": redis_server.client.keys("*dedupe*")}

    async with contextlib.AsyncExitStack() as stack:
        before: dict[str, Any] = {}
        talker: Talker | None = None
        for at, (command, code, field) in enumerate(BAD):
            if at % 4 == 0:  # five bad frames close a connection
                talker = await stack.enter_async_context(talk(node.ws_url))
                await talker.join(ROOM, "kim")
                before = columns()
            assert talker is not None
            fields = dict(command)
            if fields["t"] == "msg":
                fields["roomId"] = ROOM
            answer = await talker.ask(**fields)
            assert (answer["t"], answer["code"], answer.get("field")) == ("error", code, field), (command, answer)
            if fields["t"] != "msg":
                status, answer = node.request("POST", f"/api/rooms/{ROOM}/events", command)
                assert (status, answer["error"]["code"]) == (HTTP[code], code), command
            assert columns() == before, command


HTTP = {"BAD_VALUE": 422, "BAD_FRAME": 400, "LINEUP_NOT_FOUND": 404, "MEMO_NOT_FOUND": 404}


async def test_a_viewers_page_may_put_html_into_nothing_and_memos_stay_text(start_node: StartNode) -> None:
    node = start_node()
    put(node, [{"lineupId": 1, "name": "<img src=x onerror=alert(1)>"}])
    async with talk(node.ws_url) as kim:
        state = (await kim.join(ROOM, "kim"))["state"]
        assert state["rows"][0]["name"] == "<img src=x onerror=alert(1)>"
        html = '</script><script>alert("1")</script>\u2028'
        assert (await kim.ask("create-lineup-memo", lineupId=1, memo=html))["row"]["memos"][0]["memo"] == html
        assert (await kim.wait_for("lineup-updated"))["change"]["after"]["memo"] == html


# REST


def test_rest_answers_have_these_shapes(start_node: StartNode) -> None:
    node = start_node()
    status, answer = put(
        node, [{"lineupId": 2, "name": "홍", "학년": "3", "gbsNumber": 7}, {"lineupId": 1, "name": "kim"}]
    )
    assert (status, answer["data"]) == (200, {"added": 2, "changed": 0, "rows": 2})
    assert (answer["success"], answer["error"]) == (True, None)
    room = node.get(f"/api/rooms/{ROOM}")[1]["data"]
    assert (room["kind"], room["members"], room["seq"]) == ("lineup", [], 1)
    assert put(node, [{"lineupId": 1, "name": "lee"}, {"lineupId": 3}])[1]["data"] == {
        "added": 1,
        "changed": 1,
        "rows": 2,
    }
    command = {"t": "update-gbs-number", "lineupId": 1, "gbsNumber": 0, "id": "x"}
    status, answer = node.request("POST", f"/api/rooms/{ROOM}/events", command)
    row = {"lineupId": 1, "name": "lee", "gbsNumber": 0, "memos": [], "version": 3, "updatedBy": "guest"}
    assert (status, answer["data"]) == (200, {"t": "ack", "epoch": room["epoch"], "seq": 3, "row": row, "id": "x"})
    status, answer = node.request(
        "POST", f"/api/rooms/{ROOM}/events", {**command, "id": "y", "gbsNumber": 1, "ifVersion": 1}
    )
    assert (status, answer["error"]["code"]) == (409, "CONFLICT")
    assert answer["error"]["details"] == {"current": row, "rows": [row]}
    assert list(table_of(node)) == ["rows", "groups", "editing", "epoch", "seq"]
    assert table_of(node) == {
        "rows": [
            row,
            {"lineupId": 2, "name": "홍", "학년": "3", "gbsNumber": 7, "memos": [], "version": 1, "updatedBy": "admin"},
            {"lineupId": 3, "gbsNumber": None, "memos": [], "version": 2, "updatedBy": "admin"},
        ],
        "groups": [{"gbsNumber": 0, "count": 1}, {"gbsNumber": 7, "count": 1}],
        "editing": [],
        "epoch": room["epoch"],
        "seq": 3,
    }
    assert [each["lineupId"] for each in table_of(node, after=2)["rows"]] == [3]
    assert [event["t"] for event in log_of(node)] == ["lineup-imported", "lineup-imported", "lineup-updated"]
    assert log_of(node)[1]["userId"] == "admin"


def test_what_is_no_line_up_gives_no_table(start_node: StartNode) -> None:
    node = start_node()
    path = "/api/rooms/{}/lineups"
    assert node.get(path.format("nowhere"))[1]["error"]["code"] == "ROOM_NOT_FOUND"
    assert node.request("POST", "/api/rooms", {"roomId": "tea"})[0] == 201
    assert node.get(path.format("tea"))[1]["error"]["code"] == "UNKNOWN_COMMAND"
    assert put(node, named(1), "tea")[1]["error"]["code"] == "UNKNOWN_COMMAND"
    assert put(node, named(1), "online")[1]["error"]["code"] == "UNKNOWN_COMMAND"
    assert put(node, named(1), urllib.parse.quote("a b"))[1]["error"]["code"] == "BAD_VALUE"
    assert node.get(path.format(ROOM) + "?after=x")[1]["error"]["code"] == "ROOM_NOT_FOUND"
    put(node, named(1))
    for after in ("x", "-2", "9007199254740993", "1.5"):
        assert node.get(path.format(ROOM) + f"?after={after}")[1]["error"]["details"]["field"] == "after"
    status, answer = node.request("DELETE", path.format(ROOM))
    assert (status, answer["error"]["code"]) == (405, "UNKNOWN_COMMAND")


def test_a_bad_file_is_named_by_its_line_and_nothing_of_it_is_taken(
    start_node: StartNode, redis_server: RedisServer
) -> None:
    node = start_node()
    for data, media_type, status, code, field in (
        (b"id,name\n1,a\n2,b\nx,c\n", "text/csv", 422, "BAD_VALUE", "line 4"),
        (b'id,name\n1,"a', "text/csv; charset=utf-8", 422, "BAD_VALUE", "line 2"),
        (b"id,name\n1," + b"a" * 200_000, "text/csv", 422, "BAD_VALUE", "line 2"),
        (b"id" + b",x" * 100_000, "text/csv", 422, "BAD_VALUE", "line 1"),
        (b"", "text/csv", 422, "BAD_VALUE", "line 1"),
        (b"\xff\xff", "text/csv", 422, "BAD_VALUE", "file"),
        ("\n".join(["id", *map(str, range(5001))]).encode(), "text/csv", 422, "BAD_VALUE", "rows"),
        (b'{"rows":[{"lineupId":1},{"lineupId":"2"}]}', "application/json", 422, "BAD_VALUE", "rows.1.lineupId"),
        (b"{", "application/json", 422, "BAD_VALUE", "file"),
        (b"id\n1", "text/plain", 415, "BAD_FRAME", None),
        (b"id\n" + b" " * 1_048_576, "text/csv", 413, "TOO_LARGE", None),
    ):
        found, answer = put_csv(node, data, media_type=media_type)
        assert (found, answer["error"]["code"]) == (status, code), data[:40]
        assert answer["error"]["details"].get("field") == field
    assert redis_server.client.keys(f"room:{ROOM}*") == [], "not even the room is opened"
    put(node, named(4999))
    before = table_of(node)
    status, answer = put_csv(node, b"id,name\n1,new\n6000,x\n6001,y\n")
    assert (status, answer["error"]["details"]["field"], answer["error"]["details"]["limit"]) == (422, "rows", 5000)
    assert table_of(node) == before


# Files


def big_file(extra: str) -> str:
    """2,000 participants, as a spreadsheet writes them: quoted commas, line breaks in cells, formulas."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\r\n")
    writer.writerow(["번호", "이름", "조", "성별", "연락처", "비고"])
    for number in range(1, 2001):
        note = ["", f"서울, {extra}", f"첫 줄\r\n둘째 줄 {extra}", '그가 "네"라고', "=1+1", "-"][number % 6]
        group = "" if number % 3 else number % 100
        writer.writerow([number, f"홍길동{number}", group, "남여"[number % 2], f"+82-10-{number:04}-0000", note])
    return text.getvalue()


@pytest.mark.parametrize(("encoding", "extra"), [("cp949", "뷁"), ("utf-8", "👩‍👩‍👧🙏"), ("utf-8-sig", "é漢字")])
def test_a_real_file_goes_in_comes_out_and_goes_in_again_identical(
    start_node: StartNode, encoding: str, extra: str
) -> None:
    node = start_node()
    text = big_file(extra)
    status, answer = put_csv(node, text.encode(encoding))
    assert (status, answer["data"]) == (200, {"added": 2000, "changed": 0, "rows": 2000})
    table = table_of(node)
    lines = list(csv.reader(io.StringIO(text, newline="")))[1:]
    assert [
        [str(row["lineupId"]), row["name"], "" if row["gbsNumber"] is None else str(row["gbsNumber"]),
         row["성별"], row["연락처"], row["비고"]]
        for row in table["rows"]
    ] == lines  # fmt: skip
    node.request("POST", f"/api/rooms/{ROOM}/events", {"t": "update-gbs-number", "lineupId": 1, "gbsNumber": 999})
    node.request(
        "POST", f"/api/rooms/{ROOM}/events", {"t": "create-lineup-memo", "lineupId": 2, "memo": "=x\n" + extra}
    )
    before = table_of(node)
    file = csv_of(node)
    assert file.startswith(b"\xef\xbb\xbf")
    for cell in next(csv.reader(io.StringIO(file.decode("utf-8-sig").split("\r\n", 3)[1], newline=""))):
        assert not cell.startswith(("=", "+", "-", "@"))
    assert put_csv(node, file)[1]["data"] == {"added": 0, "changed": 0, "rows": 2000}
    assert table_of(node) == before
    assert csv_of(node) == file
    assert put_csv(node, file, "retreat-copy")[1]["data"]["added"] == 2000
    copied = table_of(node, "retreat-copy")
    assert [{**row, "memos": [], "version": 1, "updatedBy": "guest"} for row in before["rows"]] == copied["rows"]
    assert copied["groups"] == before["groups"]
    status, answer = put(node, before["rows"], "retreat-json")
    assert answer["data"]["added"] == 2000
    assert csv_of(node, "retreat-json") == csv_of(node, "retreat-copy")


async def test_everybody_in_the_room_is_told_of_an_import(start_node: StartNode) -> None:
    node = start_node()
    put(node, named(1))
    async with talk(node.ws_url) as kim:
        await kim.join(ROOM, "kim")
        put(node, named(3))
        event = await kim.wait_for("lineup-imported")
        assert (event["userId"], event["added"], event["changed"]) == ("admin", 2, 0)
        assert (await kim.ask("update-gbs-number", lineupId=3, gbsNumber=7))["row"]["gbsNumber"] == 7
