"""When a maintenance window is active, held against a walk through the minutes; and what is no window."""

from __future__ import annotations

import itertools
from bisect import bisect_left
from collections.abc import Mapping
from datetime import UTC, datetime, time, timedelta
from functools import cache
from typing import Any, TypeAlias
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from c2c.monitoring import windows
from c2c.monitoring.windows import DAYS, Windows, definition_model, shown, start_on
from c2c.times import iso8601

MINUTE_MS, DAY_MS = 60_000, 86_400_000
Drawn: TypeAlias = tuple[dict[str, Any], int, list[int]]
ZONES = ("Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Seoul")
# Days round which each zone's clocks change in 2026, and quiet ones.
CHANGES = {
    "Europe/Berlin": ("2026-03-29", "2026-10-25"),
    "America/New_York": ("2026-03-08", "2026-11-01"),
    "Australia/Lord_Howe": ("2026-04-05", "2026-10-04"),
    "Asia/Seoul": ("2026-01-01", "2026-06-15"),
}


def ms(text: str) -> int:
    return round(datetime.fromisoformat(text).timestamp() * 1000)


def weekly(days: list[str], wall: str, minutes: int, zone: str, **fields: Any) -> dict[str, Any]:
    return {
        "windowId": "w1", "title": "", "endpointIds": [],
        "days": days, "time": wall, "durationMinutes": minutes, "zone": zone, **fields,
    }  # fmt: skip


def once(start: str, end: str, **fields: Any) -> dict[str, Any]:
    return {"windowId": "w1", "title": "", "endpointIds": [], "start": start, "end": end, **fields}


def active(window: Mapping[str, Any], at: str) -> bool:
    return Windows([window]).active_for("e1", ms(at))


@cache
def furthest(zone: str, day: str) -> tuple[int, list[datetime]]:
    """The minutes of twenty days before and behind a day, the first one in ms, and the latest time that the zone's
    clocks have shown up to each: what they show again when they are put back is nothing new."""
    first_ms = ms(day + "T00:00:00+00:00") - 20 * DAY_MS
    clocks = [
        datetime.fromtimestamp(at / 1000, ZoneInfo(zone)).replace(tzinfo=None)
        for at in range(first_ms, first_ms + 40 * DAY_MS, MINUTE_MS)
    ]
    return first_ms, list(itertools.accumulate(clocks, max))


def starts_by_minutes(window: Mapping[str, Any], day: str) -> list[int]:
    """Walks through the minutes round a day and notes when the clocks first show the window's time or a later one."""
    first_ms, clocks = furthest(window["zone"], day)
    wall = time.fromisoformat(window["time"])
    dates = [clocks[0].date() + timedelta(days=number) for number in range(1, 40)]
    return [
        first_ms + MINUTE_MS * bisect_left(clocks, datetime.combine(date, wall))
        for date in dates
        if DAYS[date.weekday()] in window["days"]
    ]


@st.composite
def weekly_windows(draw: st.DrawFn) -> tuple[dict[str, Any], int, list[int]]:
    """A window, a moment near a change of its clocks, on a minute, and all of its starts round it."""
    zone = draw(st.sampled_from(ZONES))
    day = draw(st.sampled_from(CHANGES[zone]))
    now_ms = ms(day + "T00:00:00+00:00") + draw(st.integers(-3 * 1440, 3 * 1440)) * MINUTE_MS
    days = draw(st.lists(st.sampled_from(DAYS), min_size=1, max_size=7, unique=True))
    # The hours in which clocks are changed are those to look at.
    hour, minute = draw(st.one_of(st.integers(0, 3), st.integers(0, 23))), draw(st.integers(0, 59))
    minutes = draw(st.one_of(st.integers(1, 90), st.integers(1_300, 1_600), st.integers(1, 10_080)))
    window = weekly(days, f"{hour:02}:{minute:02}", minutes, zone)
    return window, now_ms, starts_by_minutes(window, day)


@settings(deadline=None)
@given(weekly_windows())
def test_a_weekly_window_is_active_when_a_walk_through_the_minutes_says_so(drawn: Drawn) -> None:
    window, now_ms, starts = drawn
    length_ms = window["durationMinutes"] * MINUTE_MS
    asked = Windows([window])
    for number, at in enumerate(range(now_ms, now_ms + DAY_MS, 7 * MINUTE_MS)):
        expected = any(start <= at < start + length_ms for start in starts)
        assert asked.active_for("e1", at) is expected, iso8601(at)
        if number % 20 == 0:
            assert Windows([window]).active_for("e1", at) is expected, f"{iso8601(at)}, asked anew"


@settings(deadline=None)
@given(weekly_windows())
def test_the_next_start_and_end_are_where_a_walk_through_the_minutes_changes(drawn: Drawn) -> None:
    window, now_ms, starts = drawn
    length_ms = window["durationMinutes"] * MINUTE_MS
    last_ms = now_ms + 16 * DAY_MS

    def is_active(at: int) -> bool:
        return any(start <= at < start + length_ms for start in starts)

    told = shown(window, now_ms)
    # A state can only change where one of them begins or ends.
    points = sorted({point for start in starts for point in (start, start + length_ms) if now_ms < point < last_ms})
    changes = [at for at in points if is_active(at) != is_active(at - MINUTE_MS)]
    begins = [at for at in changes if is_active(at)]
    ends = [at for at in changes if not is_active(at)]
    assert told["active"] is is_active(now_ms)
    for name, expected in (("nextStart", begins), ("nextEnd", ends)):
        if expected:
            assert told[name] == iso8601(expected[0])
        else:
            assert told[name] is None or ms(told[name]) >= last_ms


@settings(deadline=None)
@given(st.lists(weekly_windows(), max_size=4), st.integers(0, 3 * 1440))
def test_many_windows_asked_in_order_are_as_each_asked_alone(drawn: list[Drawn], step: int) -> None:
    about: tuple[list[str], ...] = (["e1"], ["e2"], ["e1", "e3"], [])
    all_of_them = [{**each[0], "endpointIds": about[number]} for number, each in enumerate(drawn)]
    together = Windows(all_of_them)
    now_ms = ms("2026-03-27T00:00:00+00:00")
    for at in (now_ms + number * (step * MINUTE_MS + 1) for number in range(12)):
        for endpoint in ("e1", "e2", "e3", "e4"):
            alone = [
                Windows([{**window, "endpointIds": []}]).active_for("", at)
                for window in all_of_them
                if not window["endpointIds"] or endpoint in window["endpointIds"]
            ]
            assert together.active_for(endpoint, at) is any(alone)


@pytest.mark.parametrize(
    ("window", "begins", "ends"),
    [
        # 02:30 on the night the clocks go from 02:00 to 03:00: begins at 03:00, that is when the gap ends.
        (weekly(["sun"], "02:30", 60, "Europe/Berlin"), "2026-03-29T01:00:00Z", "2026-03-29T02:00:00Z"),
        (weekly(["sun"], "02:30", 60, "America/New_York"), "2026-03-08T07:00:00Z", "2026-03-08T08:00:00Z"),
        # Lord Howe's clocks go forward by half an hour, from 02:00 to 02:30.
        (weekly(["sun"], "02:10", 60, "Australia/Lord_Howe"), "2026-10-03T15:30:00Z", "2026-10-03T16:30:00Z"),
        # 02:30 on the night it comes twice: the first one, and 90 elapsed minutes of it.
        (weekly(["sun"], "02:30", 90, "Europe/Berlin"), "2026-10-25T00:30:00Z", "2026-10-25T02:00:00Z"),
        (weekly(["sun"], "01:30", 90, "America/New_York"), "2026-11-01T05:30:00Z", "2026-11-01T07:00:00Z"),
        (weekly(["sun"], "01:45", 90, "Australia/Lord_Howe"), "2026-04-04T14:45:00Z", "2026-04-04T16:15:00Z"),
        # Over the end of a week.
        (weekly(["sun"], "23:00", 180, "Asia/Seoul"), "2026-01-04T14:00:00Z", "2026-01-04T17:00:00Z"),
        # Longer than the days between.
        (weekly(["wed"], "10:00", 9_000, "Europe/Berlin"), "2026-10-21T08:00:00Z", "2026-10-27T14:00:00Z"),
        # A day that a zone has left out altogether: Samoa, 30 December 2011.
        (weekly(["fri"], "12:00", 60, "Pacific/Apia"), "2011-12-30T10:00:00Z", "2011-12-30T11:00:00Z"),
    ],
)
def test_a_window_begins_by_the_clocks_on_the_wall_and_lasts_by_elapsed_time(
    window: dict[str, Any], begins: str, ends: str
) -> None:
    before = iso8601(ms(begins) - 1)
    assert not active(window, before)
    assert active(window, begins)
    assert active(window, iso8601(ms(ends) - 1))
    assert not active(window, ends)
    told = shown(window, ms(before))
    assert (told["nextStart"], told["nextEnd"]) == (iso8601(ms(begins)), iso8601(ms(ends)))


def test_a_time_that_exists_once_begins_at_that_time() -> None:
    for zone, day in itertools.product(ZONES, ("2026-03-29", "2026-07-01", "2026-10-25")):
        noon = datetime.fromisoformat(day + "T12:00:00").replace(tzinfo=ZoneInfo(zone))
        assert start_on(noon.date(), time(12), ZoneInfo(zone)) == round(noon.timestamp() * 1000)


def test_a_one_off_window_is_active_from_its_start_to_before_its_end() -> None:
    window = once("2026-05-01T10:00:00.000Z", "2026-05-01T11:00:00.000Z")
    assert not active(window, "2026-05-01T09:59:59.999Z")
    assert active(window, "2026-05-01T10:00:00Z")
    assert active(window, "2026-05-01T10:59:59.999Z")
    assert not active(window, "2026-05-01T11:00:00Z")
    before, during, after = (shown(window, ms(f"2026-05-01T{hour}:30:00Z")) for hour in ("09", "10", "11"))
    assert (before["active"], before["nextStart"], before["nextEnd"]) == (False, window["start"], window["end"])
    assert (during["active"], during["nextStart"], during["nextEnd"]) == (True, None, window["end"])
    assert (after["active"], after["nextStart"], after["nextEnd"]) == (False, None, None)


def test_a_window_is_about_its_endpoints_or_about_all() -> None:
    times = ("2026-05-01T10:00:00.000Z", "2026-05-01T11:00:00.000Z")
    some = Windows([once(*times, endpointIds=["a", "b"])])
    at = ms("2026-05-01T10:30:00Z")
    assert [some.active_for(endpoint, at) for endpoint in ("a", "b", "c")] == [True, True, False]
    assert Windows([once(*times)]).active_for("c", at)
    assert not Windows().active_for("c", at)


@pytest.mark.parametrize(
    "always",
    [weekly(list(DAYS), "12:00", 1_500, "Europe/Berlin"), weekly(["mon"], "12:00", 7 * 1_440, "Asia/Seoul")],
    ids=["overlapping", "touching"],
)
def test_what_goes_on_without_a_gap_has_no_end(always: dict[str, Any]) -> None:
    told = shown(always, ms("2026-03-01T00:00:00Z"))
    assert (told["active"], told["nextStart"], told["nextEnd"]) == (True, None, None)
    asked = Windows([always])
    for day in range(100):
        assert asked.active_for("e1", ms("2026-03-01T00:00:00Z") + day * 86_400_000)


def test_time_that_goes_back_is_looked_at_anew() -> None:
    asked = Windows([once("2026-05-01T10:00:00.000Z", "2026-05-01T11:00:00.000Z")])
    assert asked.active_for("e1", ms("2026-05-01T10:30:00Z"))
    assert not asked.active_for("e1", ms("2026-05-01T09:30:00Z"))


@pytest.mark.parametrize(
    "some",
    [
        [weekly([day], "02:00", 60, "Europe/Berlin", endpointIds=["e1"]) for day in DAYS] * 28,
        [weekly(list(DAYS), "02:00", 1_440, "Asia/Seoul", endpointIds=["e1"])],
    ],
    ids=["many", "one without an end"],
)
def test_between_two_boundaries_no_window_is_asked(some: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch) -> None:
    asked = Windows(some)
    at = ms("2026-05-01T00:00:00Z") + 500
    assert asked.active_for("e1", at)
    # As long as it holds, an answer must not depend on the number of windows.
    monkeypatch.setattr(windows.Weekly, "spans", lambda *_: pytest.fail("asked again"))
    for second in range(1, 3_599):
        assert asked.active_for("e1", at + 1_000 * second)
        assert not asked.active_for("e2", at + 1_000 * second)


SPAN = {"start": "2026-05-01T10:00:00+02:00", "end": "2026-05-01T12:00:00+02:00"}
WEEK = {"days": ["mon"], "time": "23:00", "durationMinutes": 60, "zone": "Asia/Seoul"}


@pytest.mark.parametrize(
    ("fields", "wrong"),
    [
        ({**SPAN, "end": SPAN["start"]}, "end"),
        ({**SPAN, "end": "2026-05-01T09:59:59+02:00"}, "end"),
        ({**SPAN, "end": "2026-07-30T10:00:00.001+02:00"}, "end"),
        ({**SPAN, "start": "2026-05-01T10:00:00"}, "start"),
        ({**SPAN, "start": "yesterday"}, "start"),
        ({**SPAN, "start": 1_777_000_000}, "start"),
        ({**SPAN, "start": "0001-01-01T00:00:00+14:00"}, "start"),
        ({**SPAN, "end": "9999-12-31T23:59:59-14:00"}, "end"),
        ({"start": SPAN["start"]}, "end"),
        ({**SPAN, "days": ["mon"]}, "time"),
        ({**WEEK, **SPAN}, "start"),
        ({**WEEK, "days": []}, "days"),
        ({**WEEK, "days": ["monday"]}, "days"),
        ({**WEEK, "time": "24:00"}, "time"),
        ({**WEEK, "time": "9:00"}, "time"),
        ({**WEEK, "time": "09:00\n"}, "time"),
        ({**WEEK, "durationMinutes": 0}, "durationMinutes"),
        ({**WEEK, "durationMinutes": 10_081}, "durationMinutes"),
        ({**WEEK, "durationMinutes": True}, "durationMinutes"),
        ({**WEEK, "zone": "Mars/Olympus"}, "zone"),
        ({**WEEK, "zone": "right/Asia/Seoul"}, "zone"),
        ({**WEEK, "zone": "../../etc/passwd"}, "zone"),
        ({**WEEK, "zone": "localtime"}, "zone"),
        ({**WEEK, "title": "x" * 201}, "title"),
        ({**WEEK, "title": None}, "title"),
        ({**WEEK, "endpointIds": ["e"] * 101}, "endpointIds"),
        ({**WEEK, "endpointIds": [""]}, "endpointIds"),
        ({**WEEK, "endpointIds": "e1"}, "endpointIds"),
        ({**WEEK, "active": True}, "active"),
        ({}, "start"),
    ],
)
def test_what_is_no_window_is_refused_and_the_field_is_named(fields: dict[str, Any], wrong: str) -> None:
    with pytest.raises(ValidationError) as refused:
        definition_model(fields).model_validate(fields, strict=True)
    assert wrong in {error["loc"][0] for error in refused.value.errors()}


def test_limits_themselves_are_allowed() -> None:
    longest = {**SPAN, "end": "2026-07-30T10:00:00+02:00", "title": "x" * 200, "endpointIds": ["e" * 64] * 100}
    definition = definition_model(longest).model_validate(longest, strict=True).model_dump()
    assert (definition["start"], definition["end"]) == ("2026-05-01T08:00:00.000Z", "2026-07-30T08:00:00.000Z")
    week = {**WEEK, "days": ["sun", "mon", "mon"], "durationMinutes": 10_080}
    assert definition_model(week).model_validate(week, strict=True).model_dump()["days"] == ["mon", "sun"]


def test_every_name_that_is_taken_for_a_zone_is_one() -> None:
    names = windows._zone_names()
    assert len(names) > 400
    for name in names:
        assert ZoneInfo(name).utcoffset(datetime(2026, 1, 1, tzinfo=UTC)) is not None
