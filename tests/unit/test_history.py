"""Uptime, percentiles and points, without Redis: what must hold for all results, and what examples come to."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from c2c.monitoring.history import (
    BOUNDS_MS,
    DAY_MS,
    HOUR_MS,
    RANGES,
    WINDOWS,
    Bucket,
    Measured,
    bucket_name,
    bucket_points,
    counted,
    cover,
    day_points,
    format_bucket,
    merge,
    newest_names,
    parse_bucket,
    uptime_names,
    uptimes,
)
from c2c.monitoring.results import STATUSES

NOW_MS = 1_767_323_045_678  # 2026-01-02T03:04:05.678Z
MINUTE_MS = 60_000
NOTHING = {"up": 0, "degraded": 0, "down": 0, "unknown": 0, "average": None, "max": None, "p50": None, "p95": None}

latencies = st.one_of(st.none(), st.integers(0, 120_000), st.sampled_from(BOUNDS_MS))
results = st.builds(Measured, st.just(NOW_MS), st.sampled_from(STATUSES), latencies)
times = st.builds(
    lambda up_ms, down_ms: Bucket(up_ms=up_ms, down_ms=down_ms), st.integers(0, 2**50), st.integers(0, 2**50)
)
buckets = st.builds(lambda many, stood: counted(many) + stood, st.lists(results, max_size=40), times)
shares = st.floats(0, 1)
moments = st.integers(0, 4_000_000_000_000)


def answers(*ms: int, at_ms: int = NOW_MS) -> list[Measured]:
    return [Measured(at_ms, "UP", each) for each in ms]


def at(text: str) -> int:
    return round(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * 1000)


# Buckets


@given(buckets, buckets, buckets)
def test_merging_is_associative_and_commutative_and_an_empty_bucket_changes_nothing(
    first: Bucket, second: Bucket, third: Bucket
) -> None:
    assert (first + second) + third == first + (second + third) == merge([third, first, second])
    assert first + Bucket() == Bucket() + first == first


@given(st.lists(results, max_size=30), st.lists(results, max_size=30))
def test_counting_together_is_counting_apart_and_merging(first: list[Measured], second: list[Measured]) -> None:
    assert counted(first + second) == counted(first) + counted(second)


@given(buckets)
def test_a_bucket_comes_back_from_its_text_as_it_was(bucket: Bucket) -> None:
    text = format_bucket(bucket)
    assert parse_bucket(text) == parse_bucket(text.encode()) == bucket
    assert not text.endswith("0") or text.endswith("10") or int(text.split()[-1]) > 0


@pytest.mark.parametrize("text", ["x", "1 2 x", "1.5"])
def test_what_is_no_bucket_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="invalid literal"):
        parse_bucket(text)


def test_large_numbers_stay_exact() -> None:
    bucket = parse_bucket(f"{2**40} 0 0 0 {2**53 + 1} 1 {2**53 + 1} 7 {2**40}")
    assert (bucket + bucket).sum_ms == 2**54 + 2
    assert format_bucket(bucket + bucket) == f"{2**41} 0 0 0 {2**54 + 2} 1 {2**54 + 2} 14 {2**41}"


# Uptime


@given(buckets)
def test_uptime_is_a_share_or_unknown(bucket: Bucket) -> None:
    known_ms = bucket.up_ms + bucket.down_ms
    assert (bucket.uptime is None) == (known_ms == 0)
    assert bucket.uptime is None or 0 <= bucket.uptime <= 1
    assert (bucket.uptime == 1) == (known_ms > 0 and bucket.down_ms == 0)


@pytest.mark.parametrize(
    ("bucket", "uptime"),
    [
        (Bucket(), None),
        (Bucket(unknown=5), None),
        (Bucket(down=1, down_ms=60_000), 0.0),
        (Bucket(up=1, up_ms=60_000), 1.0),
        (Bucket(up=60, down=12, up_ms=3_600_000, down_ms=120_000), 30 / 31),
    ],
)
def test_no_data_is_no_uptime_and_time_counts_not_checks(bucket: Bucket, uptime: float | None) -> None:
    assert bucket.uptime == uptime
    assert uptimes(NOW_MS, {}, {}) == dict.fromkeys(WINDOWS)


@given(moments, st.sampled_from(sorted(WINDOWS.values())))
def test_the_hours_and_days_of_a_window_cover_each_of_its_hours_once(now_ms: int, hours: int) -> None:
    names = cover(now_ms, hours)
    covered = [*names.hours, *[f"{day}T{hour:02}" for day in names.days for hour in range(24)]]
    wanted = [bucket_name("hours", now_ms - n * HOUR_MS) for n in range(hours) if now_ms - n * HOUR_MS >= 0]
    today = bucket_name("hours", now_ms)
    # Of today there are no hours yet that are still to come.
    seen = sorted(hour for hour in covered if hour <= today)
    if now_ms >= hours * HOUR_MS:
        assert seen == sorted(wanted)
    assert len(names.hours) <= 24
    assert len(names.days) <= 31


@given(moments)
def test_what_is_asked_of_an_endpoint_is_little(now_ms: int) -> None:
    names = uptime_names(now_ms)
    assert len(names.hours) <= 69
    assert len(names.days) <= 31
    assert list(names.days) == sorted(names.days)


def test_uptimes_of_a_failure_that_leaves_one_window_after_the_other() -> None:
    now_ms = at("2026-03-10T05:30")
    down_ms = at("2026-03-09T05:00")
    up = Bucket(up=3, up_ms=3)
    hours = {bucket_name("hours", now_ms - n * HOUR_MS): up for n in range(24 * 31)}
    hours[bucket_name("hours", down_ms)] = Bucket(up=2, down=1, up_ms=2, down_ms=1)

    def found(moment_ms: int) -> dict[str, float | None]:
        past = {name: bucket for name, bucket in hours.items() if name <= bucket_name("hours", moment_ms)}
        days: dict[str, Bucket] = {}
        for name, bucket in past.items():
            days[name[:10]] = days.get(name[:10], Bucket()) + bucket
        return uptimes(moment_ms, past, days)

    # The hour from 05:00 yesterday is the 25th, the current one included; an hour earlier it is the 24th.
    assert found(now_ms)["day"] == 1.0
    assert found(now_ms - HOUR_MS)["day"] == round(1 - 1 / (3 * 24), 6)
    assert found(now_ms)["week"] == round(1 - 1 / (3 * 24 * 7), 6)
    assert found(now_ms)["month"] == round(1 - 1 / (3 * 24 * 30), 6)


def test_one_failure_in_half_a_million_checks_still_shows() -> None:
    now_ms = at("2026-03-10T23:59")
    days = {name: Bucket(up_ms=17_280) for _, name in newest_names("days", now_ms, 30)}
    days["2026-03-01"] = Bucket(up_ms=17_279, down_ms=1)
    assert uptimes(now_ms, {}, days) == {"day": 1.0, "week": 1.0, "month": 0.999998}


# Percentiles


@given(buckets, shares, shares)
def test_percentiles_rise_with_the_share_and_stay_within_what_was_measured(
    bucket: Bucket, one: float, other: float
) -> None:
    low, high = bucket.percentile(min(one, other)), bucket.percentile(max(one, other))
    if low is None or high is None:
        assert low is high is bucket.average is None
        assert not any(bucket.histogram)
    else:
        assert 0 <= low <= high <= bucket.max_ms
        assert bucket.percentile(1) == bucket.max_ms


@given(st.lists(st.integers(0, 120_000), min_size=1, max_size=60), st.sampled_from([0.5, 0.95]))
def test_a_percentile_lies_in_the_same_place_of_the_histogram_as_the_true_one(ms: list[int], share: float) -> None:
    ordered = sorted(ms)
    true = next(each for n, each in enumerate(ordered, 1) if n >= share * len(ordered))
    lower = max((bound for bound in BOUNDS_MS if bound < true), default=0)
    upper = next((bound for bound in BOUNDS_MS if bound >= true), ordered[-1])
    found = counted(answers(*ms)).percentile(share)
    assert found is not None
    assert lower <= found <= upper


def test_percentiles_of_an_example() -> None:
    bucket = counted(answers(*[15] * 90, *[300] * 10))
    assert bucket.percentile(0.5) == 10 + 10 * 50 / 90
    assert bucket.percentile(0.95) == 200 + (300 - 200) * 5 / 10
    assert bucket.percentile(0.9) == 20
    assert (bucket.average, bucket.max_ms) == (43.5, 300)


def test_failures_and_the_unknown_have_no_latency() -> None:
    failures = [Measured(NOW_MS, "DOWN", 30_000), Measured(NOW_MS, "UNKNOWN", 20_000), Measured(NOW_MS, "UP", None)]
    assert counted(failures) == Bucket(up=1, down=1, unknown=1)


# Points


def hour(text: str, *ms: int) -> tuple[int, Bucket]:
    return at(text), counted(answers(*ms))


def test_hours_become_points_and_a_missing_one_a_gap() -> None:
    points = bucket_points(
        RANGES["week"],
        [hour("2026-01-02T01", 100, 200), hour("2026-01-02T02", 40), hour("2026-01-02T06", 60)],
        MINUTE_MS,
    )
    assert [(point["at"], point["up"], point["average"], point["max"]) for point in points] == [
        ("2026-01-02T01:00:00.000Z", 2, 150.0, 200),
        ("2026-01-02T02:00:00.000Z", 1, 40.0, 40),
        ("2026-01-02T03:00:00.000Z", 0, None, None),
        ("2026-01-02T06:00:00.000Z", 1, 60.0, 60),
    ]
    assert points[2] == {"at": "2026-01-02T03:00:00.000Z", **NOTHING}


def test_an_endpoint_that_is_checked_every_three_hours_has_no_gaps_between() -> None:
    hours = [hour("2026-01-02T00", 1), hour("2026-01-02T03", 1), hour("2026-01-02T06", 1), hour("2026-01-02T12", 1)]
    points = bucket_points(RANGES["week"], hours, 3 * HOUR_MS)
    assert [point["at"][11:13] for point in points if point["up"]] == ["00", "03", "06", "12"]
    assert [point["at"][11:13] for point in points if not point["up"]] == ["09"]


def test_a_quarter_has_points_of_six_hours_and_years_of_days() -> None:
    hours = [hour(f"2026-01-02T{n:02}", n) for n in range(1, 14)]
    points = bucket_points(RANGES["quarter"], hours, MINUTE_MS)
    assert [(point["at"], point["up"], point["max"]) for point in points] == [
        ("2026-01-02T00:00:00.000Z", 5, 5), ("2026-01-02T06:00:00.000Z", 6, 11), ("2026-01-02T12:00:00.000Z", 2, 13),
    ]  # fmt: skip
    days = bucket_points(
        RANGES["years"], [(at("2025-12-31"), Bucket(up=1)), (at("2026-01-01"), Bucket(down=2))], MINUTE_MS
    )
    assert [(point["at"][:10], point["up"], point["down"]) for point in days] == [
        ("2025-12-31", 1, 0),
        ("2026-01-01", 0, 2),
    ]


def test_failures_show_as_points_without_a_latency() -> None:
    (point,) = bucket_points(RANGES["week"], [(at("2026-01-02T01"), Bucket(down=3, unknown=1))], MINUTE_MS)
    assert point == {"at": "2026-01-02T01:00:00.000Z", **NOTHING, "down": 3, "unknown": 1}


def test_few_results_are_points_of_their_own_with_gaps_where_none_is() -> None:
    times = [NOW_MS, NOW_MS + MINUTE_MS, NOW_MS + 4 * MINUTE_MS]
    points = day_points([answers(n + 10, at_ms=ms)[0] for n, ms in enumerate(times)], MINUTE_MS)
    assert [(point["at"][11:19], point["average"], point["p50"], point["p95"]) for point in points] == [
        ("03:04:05", 10, 10, 10), ("03:05:05", 11, 11, 11), ("03:06:05", None, None, None), ("03:08:05", 12, 12, 12),
    ]  # fmt: skip


def test_many_results_are_points_of_five_minutes_with_exact_percentiles() -> None:
    start_ms = at("2026-01-02T00:00")
    measured = [Measured(start_ms + n * 5_000, "UP" if n % 60 else "DOWN", n % 60) for n in range(17_280)]
    points = day_points(measured, 5_000)
    assert len(points) == 288
    assert points[0] == {
        "at": "2026-01-02T00:00:00.000Z", "up": 59, "degraded": 0, "down": 1, "unknown": 0, "average": 30.0, "max": 59,
        "p50": 30, "p95": 57,
    }  # fmt: skip
    assert [point["at"][11:16] for point in points[1:3]] == ["00:05", "00:10"]


@given(
    st.lists(st.tuples(st.integers(0, 2_000), buckets), max_size=30, unique_by=lambda each: each[0]),
    st.sampled_from(sorted(RANGES)),
)
def test_points_are_in_order_and_nothing_is_lost(numbered: list[tuple[int, Bucket]], name: str) -> None:
    span = RANGES[name]
    size_ms = DAY_MS if span.column == "days" else HOUR_MS
    given_buckets = sorted(((n * size_ms, bucket) for n, bucket in numbered), key=lambda each: each[0])
    points: list[dict[str, Any]] = bucket_points(span, given_buckets, MINUTE_MS)
    whole = merge(bucket for _, bucket in given_buckets)
    for status in ("up", "degraded", "down", "unknown"):
        assert sum(point[status] for point in points) == getattr(whole, status)
    times = [point["at"] for point in points]
    assert times == sorted(set(times))
    for former, point in pairwise(points):
        both = [at(each["at"].removesuffix("Z")) for each in (former, point)]
        assert both[1] - both[0] <= 1.5 * span.step_ms or former["average"] is None


def test_the_newest_hours_and_days_have_their_names() -> None:
    assert newest_names("hours", NOW_MS, 3) == [
        (at(name), name) for name in ("2026-01-02T01", "2026-01-02T02", "2026-01-02T03")
    ]
    assert [name for _, name in newest_names("days", NOW_MS, 3)] == ["2025-12-31", "2026-01-01", "2026-01-02"]
    assert newest_names("hours", HOUR_MS + 1, 5) == [(0, "1970-01-01T00"), (HOUR_MS, "1970-01-01T01")]
