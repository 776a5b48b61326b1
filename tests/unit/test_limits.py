"""Rate limits on a clock that the test gives."""

from __future__ import annotations

import math

from hypothesis import given, settings
from hypothesis import strategies as st

from c2c.limits import BucketPerCaller, SlidingCount, TokenBucket

_steps_s = st.lists(st.floats(0, 5, allow_nan=False), max_size=60)


def test_a_burst_goes_through_at_once_and_then_the_rate() -> None:
    bucket = TokenBucket(rate_per_s=16, burst=40, now_s=100.0)
    assert [bucket.take(100.0) for _ in range(40)] == [0.0] * 40
    assert bucket.take(100.0) == 1 / 16
    assert bucket.take(100.0 + 1 / 32) == 1 / 32
    assert bucket.take(100.0 + 1 / 16) == 0.0
    assert bucket.take(100.0 + 1 / 16) == 1 / 16


def test_a_bucket_never_holds_more_than_its_burst() -> None:
    bucket = TokenBucket(rate_per_s=20, burst=3, now_s=0.0)
    assert [bucket.take(1e6) == 0 for _ in range(4)] == [True, True, True, False]


def test_what_is_refused_costs_nothing() -> None:
    bucket = TokenBucket(rate_per_s=1, burst=1, now_s=0.0)
    assert bucket.take(0.0) == 0
    for _ in range(1000):
        assert bucket.take(0.5) == 0.5
    assert bucket.take(1.0) == 0


@settings(deadline=None)
@given(_steps_s, st.floats(0.5, 1000), st.integers(1, 100))
def test_nobody_gets_more_than_burst_and_rate(steps_s: list[float], rate_per_s: float, burst: int) -> None:
    bucket, now_s, taken = TokenBucket(rate_per_s, burst, 0.0), 0.0, 0
    for step_s in steps_s:
        now_s += step_s
        for _ in range(5):
            taken += bucket.take(now_s) == 0
    assert taken <= burst + rate_per_s * now_s + 1e-6


@settings(deadline=None)
@given(_steps_s, st.floats(0.5, 1000), st.integers(1, 100), st.floats(0, 1e7))
def test_who_waits_as_long_as_told_gets_through(
    steps_s: list[float], rate_per_s: float, burst: int, start_s: float
) -> None:
    """Told in whole milliseconds, rounded up as the session rounds them."""
    bucket, now_s = TokenBucket(rate_per_s, burst, start_s), start_s
    for step_s in steps_s:
        now_s += step_s
        wait_s = bucket.take(now_s)
        if wait_s > 0:
            assert wait_s <= 1 / rate_per_s + 1e-9
            now_s += (math.floor(wait_s * 1000) + 1) / 1000
            assert bucket.take(now_s) == 0


def test_five_in_ten_seconds_are_five_and_four_are_not() -> None:
    count = SlidingCount(limit=5, window_s=10.0)
    assert [count.add(now_s) for now_s in (0.0, 1.0, 2.0, 3.0)] == [False] * 4
    assert count.add(10.0) is True


def test_five_in_more_than_ten_seconds_are_borne() -> None:
    count = SlidingCount(limit=5, window_s=10.0)
    assert not any(count.add(now_s) for now_s in (0.0, 2.6, 5.2, 7.8, 10.4, 13.0, 15.6, 18.2, 20.8))


@settings(deadline=None)
@given(st.lists(st.floats(0, 4), max_size=60), st.integers(1, 8))
def test_a_sliding_count_says_what_counting_says(steps_s: list[float], limit: int) -> None:
    count, now_s, times_s = SlidingCount(limit, 10.0), 0.0, []
    for step_s in steps_s:
        now_s += step_s
        times_s.append(now_s)
        assert count.add(now_s) == (sum(now_s - time_s <= 10.0 for time_s in times_s) >= limit)


def test_each_caller_has_a_bucket_and_the_one_unseen_longest_is_forgotten() -> None:
    buckets = BucketPerCaller(rate_per_s=1, burst=1, size=2)
    assert buckets.take("a", 0.0) == 0
    assert buckets.take("b", 0.0) == 0
    assert buckets.take("a", 0.0) == 1.0
    assert buckets.take("c", 0.0) == 0  # b is forgotten: a was seen later
    assert buckets.take("a", 0.0) == 1.0
    assert buckets.take("b", 0.0) == 0
    assert len(buckets._buckets) == 2
