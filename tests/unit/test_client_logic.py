"""What the Python client decides, without a connection: delays, close codes, positions, markers, streams."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from c2c.client_link import EventStream
from c2c.client_state import (
    AfterClose,
    Backoff,
    EventsOverflowed,
    Pacer,
    RoomTrack,
    StateReplaced,
    Stopped,
    Verdict,
    after_close,
    is_joined,
)
from c2c.events import Position

BACK_OFF, AT_ONCE, FLOOD = AfterClose.BACK_OFF, AfterClose.AT_ONCE, AfterClose.FLOOD


# ---- close codes and delays ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "after"),
    [
        (1001, AfterClose.AT_ONCE),
        (1012, AfterClose.AT_ONCE),
        (4400, AfterClose.STOP),
        (4403, AfterClose.STOP),
        (4401, AfterClose.NEW_TOKEN),
        (4408, AfterClose.BACK_OFF),
        (4420, AfterClose.BACK_OFF),
        (4429, AfterClose.FLOOD),
        (1006, AfterClose.BACK_OFF),
        (1011, AfterClose.BACK_OFF),
        (4999, AfterClose.BACK_OFF),
        (None, AfterClose.BACK_OFF),
    ],
)
def test_each_close_code_asks_for_what_the_protocol_says(code: int | None, after: AfterClose) -> None:
    assert after_close(code) is after


class Drawn:
    """A `uniform` that gives the upper end and keeps what it was asked for."""

    def __init__(self) -> None:
        self.ranges: list[tuple[float, float]] = []

    def __call__(self, low: float, high: float) -> float:
        self.ranges.append((low, high))
        return high


def test_backoff_doubles_from_one_second_to_thirty_with_full_jitter() -> None:
    drawn = Drawn()
    backoff = Backoff(uniform=drawn)
    assert [backoff.delay_s(BACK_OFF, 0) for _ in range(8)] == [1, 2, 4, 8, 16, 30, 30, 30]
    assert {low for low, _ in drawn.ranges} == {0}


def test_backoff_never_waits_longer_than_the_cap_however_often_it_failed() -> None:
    backoff = Backoff()
    assert all(0 <= backoff.delay_s(BACK_OFF, 0) <= 30 for _ in range(5000))


def test_ten_stable_seconds_begin_the_row_anew_and_fewer_do_not() -> None:
    backoff = Backoff(uniform=Drawn())
    for _ in range(5):
        backoff.delay_s(BACK_OFF, 0)
    assert backoff.delay_s(BACK_OFF, 9.9) == 30
    assert backoff.delay_s(BACK_OFF, 10.0) == 1


def test_a_node_that_stops_is_left_within_the_first_second_whatever_came_before() -> None:
    drawn = Drawn()
    backoff = Backoff(uniform=drawn)
    for _ in range(5):
        backoff.delay_s(BACK_OFF, 0)
    backoff.delay_s(AT_ONCE, 0)
    assert drawn.ranges[-1] == (0, 1)


def test_after_a_flood_the_wait_is_never_short() -> None:
    backoff = Backoff(uniform=lambda low, high: low)
    assert backoff.delay_s(FLOOD, 100) >= 1


# ---- pacing --------------------------------------------------------------------------------------------------------


def test_commands_go_at_once_until_one_is_refused() -> None:
    pacer = Pacer()
    assert [pacer.reserve(5.0) for _ in range(100)] == [0.0] * 100


def test_after_a_refusal_commands_keep_the_distance_that_the_server_wants() -> None:
    pacer = Pacer()
    pacer.taken(9.96)
    pacer.refused(9.99, 0.02)  # the next one 50 ms behind the last one that was taken
    pacer.refused(10.0, 0.01)
    assert [round(pacer.reserve(10.0), 3) for _ in range(3)] == [0.01, 0.06, 0.11]
    assert pacer.reserve(11.0) == 0.0
    assert round(pacer.reserve(11.0), 3) == 0.05


def test_a_refusal_of_commands_that_kept_the_distance_widens_it() -> None:
    pacer = Pacer()
    pacer.taken(10.0)
    pacer.refused(10.03, 0.01)
    pacer.taken(10.08)
    pacer.refused(10.10, 0.01)
    assert pacer.reserve(11.0) == 0.0
    assert round(pacer.reserve(11.0), 3) == 0.044


def test_a_first_refusal_spaces_by_a_second_at_most() -> None:
    pacer = Pacer()
    pacer.refused(1000.0, 0.05)
    assert [round(pacer.reserve(1000.0), 3) for _ in range(2)] == [0.05, 1.05]


def test_the_spacing_ends_when_nothing_was_refused_for_ten_seconds() -> None:
    pacer = Pacer()
    pacer.refused(10.0, 0.05)
    assert [pacer.reserve(20.1) for _ in range(3)] == [0.0, 0.0, 0.0]


# ---- following a room ----------------------------------------------------------------------------------------------


def joined(seq: int, *, epoch: str = "e1", recovered: bool = False, **fields: Any) -> dict[str, Any]:
    return {
        "t": "joined", "roomId": "r", "kind": "chat", "me": "kim", "members": ["kim"], "presence": {"kim": "online"},
        "epoch": epoch, "seq": seq, "recovered": recovered, "state": {"at": seq}, **fields,
    }  # fmt: skip


def event(seq: int, t: str = "msg", *, epoch: str = "e1", **fields: Any) -> dict[str, Any]:
    return {"seq": seq, "epoch": epoch, "roomId": "r", "t": t, **fields}


def entered(seq: int = 3, kind: str = "chat") -> RoomTrack:
    track = RoomTrack("r")
    assert track.enter(joined(seq, kind=kind)) is None
    return track


def test_the_first_join_gives_position_and_state_and_no_marker() -> None:
    track = entered(3)
    assert (track.position, track.state, track.kind) == (Position("e1", 3), {"at": 3}, "chat")


def test_events_pass_in_order_once() -> None:
    track = entered(3)
    verdicts = [track.take(event(seq)) for seq in (4, 5, 5, 4, 6)]
    assert verdicts == [Verdict.PASS, Verdict.PASS, Verdict.OLD, Verdict.OLD, Verdict.PASS]
    assert track.position == Position("e1", 6)


def test_an_event_behind_a_hole_is_a_gap_and_the_position_stays() -> None:
    track = entered(3)
    assert track.take(event(5)) is Verdict.GAP
    assert track.position == Position("e1", 3)


def test_an_event_of_another_epoch_is_a_gap_even_with_the_next_seq() -> None:
    assert entered(3).take(event(4, epoch="e2")) is Verdict.GAP


def test_a_recovered_join_keeps_the_position_for_the_missed_events() -> None:
    track = entered(3)
    assert track.enter(joined(9, recovered=True)) is None
    assert track.position == Position("e1", 3)
    assert [track.take(event(seq)) for seq in range(4, 10)] == [Verdict.PASS] * 6


@pytest.mark.parametrize("reason", ["epoch", "trimmed", "ahead"])
def test_a_join_that_was_not_recovered_is_a_marker_with_the_new_state(reason: str) -> None:
    track = entered(3)
    marker = track.enter(joined(7, epoch="e2", reason=reason))
    assert marker == StateReplaced("r", reason, {"at": 7}, Position("e2", 7))
    assert track.take(event(8, epoch="e2")) is Verdict.PASS


def test_a_join_made_twice_is_a_marker_when_events_lie_between() -> None:
    track = entered(3)
    assert track.enter(joined(3)) is None
    marker = track.enter(joined(5))
    assert marker is not None
    assert marker.reason == "rejoined"


def test_a_given_position_that_can_not_be_had_is_a_marker_at_the_first_join() -> None:
    track = RoomTrack("r", Position("old", 12))
    marker = track.enter(joined(3, reason="epoch"))
    assert marker is not None
    assert marker.reason == "epoch"


def test_a_given_position_is_resumed_behind() -> None:
    track = RoomTrack("r", Position("e1", 2))
    assert track.enter(joined(4, recovered=True)) is None
    assert [track.take(event(seq)) for seq in (2, 3, 4)] == [Verdict.OLD, Verdict.PASS, Verdict.PASS]


def test_nothing_passes_before_the_first_join() -> None:
    assert RoomTrack("r").take(event(1)) is Verdict.OLD
    assert RoomTrack("r").take({"t": "typing", "roomId": "r"}) is Verdict.OLD


def test_events_without_a_seq_always_pass() -> None:
    track = entered(3)
    assert track.take({"t": "typing", "roomId": "r", "userId": "lee", "typing": True}) is Verdict.PASS
    assert track.take({"t": "test"}) is Verdict.PASS
    assert track.position == Position("e1", 3)


def test_members_and_presence_follow_the_events() -> None:
    track = entered(3)
    track.take(event(4, "user_joined", userId="lee", username="Lee"))
    assert (track.members, track.presence) == ({"kim", "lee"}, {"kim": "online", "lee": "online"})
    track.take({"t": "user:status", "roomId": "r", "userId": "lee", "status": "busy"})
    assert track.presence["lee"] == "busy"
    track.take(event(5, "user_left", userId="lee", reason="left"))
    assert (track.members, track.presence) == ({"kim"}, {"kim": "online"})


def test_a_status_of_somebody_who_is_no_member_is_not_kept() -> None:
    track = entered(3)
    track.take({"t": "user:status", "roomId": "r", "userId": "lee", "status": "busy"})
    track.take({"t": "user:status", "roomId": "r", "users": "nonsense"})
    track.take({"t": "user:status", "roomId": "r", "users": [7, {"userId": "lee"}, {"status": "away"}]})
    assert (track.members, track.presence) == ({"kim"}, {"kim": "online"})


def test_members_of_the_presence_room_follow_the_lists_of_its_events() -> None:
    track = entered(3, kind="presence")
    lee, park = {"userId": "lee", "status": "busy"}, {"userId": "park", "status": "away"}
    track.take(event(4, "user:status", userId="lee", status="busy", users=[lee]))
    track.take(event(5, "user:status", users=[park, {"userId": "kim", "status": "offline"}]))
    assert (track.members, track.presence) == ({"lee", "park"}, {"lee": "busy", "park": "away"})
    track.take(event(6, "user:status", userId="lee", status="offline", users=[{**lee, "status": "offline"}]))
    assert (track.members, track.presence) == ({"park"}, {"park": "away"})


def test_missed_events_do_not_undo_the_members_that_the_join_listed() -> None:
    track = entered(3)
    track.enter(joined(5, recovered=True, members=["kim", "lee"], presence={"kim": "online", "lee": "away"}))
    track.take(event(4, "user_left", userId="lee", reason="lost"))
    assert track.members == {"kim", "lee"}
    track.take(event(5, "user_joined", userId="lee"))
    track.take(event(6, "user_left", userId="lee", reason="left"))
    assert track.members == {"kim"}


@pytest.mark.parametrize("missing", ["epoch", "seq", "kind", "members", "presence", "recovered"])
def test_what_only_looks_like_a_joined_frame_is_none(missing: str) -> None:
    assert is_joined(joined(1))
    assert not is_joined({name: value for name, value in joined(1).items() if name != missing})


# ---- streams -------------------------------------------------------------------------------------------------------


async def test_a_stream_gives_what_waits_then_what_comes() -> None:
    stream = EventStream(10)
    stream.put({"n": 1})
    assert await anext(stream) == {"n": 1}
    waiting = asyncio.create_task(anext(stream))
    await asyncio.sleep(0)
    stream.put({"n": 2})
    assert await waiting == {"n": 2}


async def test_a_stream_that_is_not_read_overflows_with_an_error_behind_what_it_holds() -> None:
    stream = EventStream(3)
    for n in range(5):
        stream.put({"n": n})
    assert [await anext(stream) for _ in range(3)] == [{"n": 0}, {"n": 1}, {"n": 2}]
    with pytest.raises(EventsOverflowed, match="more than 3 events"):
        await anext(stream)


async def test_a_stream_ends_behind_its_events() -> None:
    stream = EventStream(10)
    stream.put({"n": 1})
    stream.end(None)
    stream.put({"n": 2})
    assert [item async for item in stream] == [{"n": 1}]


async def test_a_waiting_reader_hears_of_the_end() -> None:
    stream = EventStream(10)
    waiting = asyncio.create_task(anext(stream))
    await asyncio.sleep(0)
    stream.end(Stopped(4403, "kicked"))
    with pytest.raises(Stopped, match=r"kicked \(4403\)"):
        await waiting


async def test_a_cancelled_reader_loses_no_event() -> None:
    stream = EventStream(10)
    waiting = asyncio.create_task(anext(stream))
    await asyncio.sleep(0)
    stream.put({"n": 1})
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    assert await anext(stream) == {"n": 1}


async def test_a_stream_refuses_a_second_reader() -> None:
    stream = EventStream(10)
    first = asyncio.create_task(anext(stream))
    await asyncio.sleep(0)
    with pytest.raises(RuntimeError, match="has a reader already"):
        await anext(stream)
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)
