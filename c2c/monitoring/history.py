"""What is kept of results over time, and what follows from it: uptime, percentiles, points of a chart. Pure.

A bucket is an hour or a day, as `lua/include/history.lua` writes it. Hours and days are those of UTC.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import astuple, dataclass
from functools import lru_cache
from itertools import groupby, zip_longest
from typing import Any, Final, Literal, TypeAlias

from c2c.monitoring.results import STATUSES, Status
from c2c.times import iso8601

# Of the histogram: how many answers took up to so many ms, and one place more for those that took longer.
BOUNDS_MS: Final = (10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000, 30_000)
HOUR_MS: Final = 3_600_000
DAY_MS: Final = 24 * HOUR_MS
WINDOWS: Final = {"day": 24, "week": 7 * 24, "month": 30 * 24}
_FIGURES: Final = 8
_FEW: Final = 300
_DAY_STEP_MS: Final = 300_000

Column: TypeAlias = Literal["hours", "days"]
SIZES_MS: Final[Mapping[Column, int]] = {"hours": HOUR_MS, "days": DAY_MS}
NAME_LENGTHS: Final[Mapping[Column, int]] = {"hours": len("2026-01-02T03"), "days": len("2026-01-02")}


@dataclass(frozen=True, slots=True)
class Bucket:
    """Results, counted. `sum_ms`, `max_ms` and `histogram` are about answers that have a latency: no failures.

    `up_ms`, `down_ms`: the time that those stand for which found it up (slow is up) and down. `histogram` has a place
    for each of `BOUNDS_MS` and one for what took longer; zeros at its end may be missing.
    """

    up: int = 0
    degraded: int = 0
    down: int = 0
    unknown: int = 0
    sum_ms: int = 0
    max_ms: int = 0
    up_ms: int = 0
    down_ms: int = 0
    histogram: tuple[int, ...] = ()

    def __add__(self, other: Bucket) -> Bucket:
        return Bucket(
            self.up + other.up,
            self.degraded + other.degraded,
            self.down + other.down,
            self.unknown + other.unknown,
            self.sum_ms + other.sum_ms,
            max(self.max_ms, other.max_ms),
            self.up_ms + other.up_ms,
            self.down_ms + other.down_ms,
            tuple(mine + theirs for mine, theirs in zip_longest(self.histogram, other.histogram, fillvalue=0)),
        )

    @property
    def uptime(self) -> float | None:
        """The share of the known time in which it was up, 0 to 1; None: nothing is known. Slow is up."""
        known_ms = self.up_ms + self.down_ms
        return self.up_ms / known_ms if known_ms else None

    @property
    def average(self) -> float | None:
        answers = sum(self.histogram)
        return self.sum_ms / answers if answers else None

    def percentile(self, share: float) -> float | None:
        """The ms within which a share of the answers came, 0 to 1; None: there was none.

        Within a place of the histogram answers are taken as spread evenly, in the last one up to the highest.
        """
        rank = share * sum(self.histogram)
        below, lower = 0, 0
        for index, inside in enumerate(self.histogram):
            upper = min(self.max_ms, BOUNDS_MS[index]) if index < len(BOUNDS_MS) else self.max_ms
            if inside and below + inside >= rank:
                return lower + (upper - lower) * max(0.0, rank - below) / inside
            below, lower = below + inside, upper
        return None


def parse_bucket(text: bytes | str) -> Bucket:
    """A bucket as it stands in Redis. Raises ValueError for anything else."""
    numbers = [int(word) for word in text.split()]
    up, degraded, down, unknown, sum_ms, max_ms, up_ms, down_ms = (
        *numbers[:_FIGURES],
        *[0] * (_FIGURES - len(numbers)),
    )
    return Bucket(up, degraded, down, unknown, sum_ms, max_ms, up_ms, down_ms, tuple(numbers[_FIGURES:]))


def format_bucket(bucket: Bucket) -> str:
    """A bucket as it stands in Redis."""
    *figures, histogram = astuple(bucket)
    numbers = [*figures, *histogram]
    while numbers and not numbers[-1]:
        numbers.pop()
    return " ".join(map(str, numbers))


def merge(buckets: Iterable[Bucket]) -> Bucket:
    """All of them as one."""
    return sum(buckets, Bucket())


def bucket_name(column: Column, at_ms: int) -> str:
    """What the hour or day of a moment is called: `2026-01-02T03`, `2026-01-02`."""
    return iso8601(at_ms)[: NAME_LENGTHS[column]]


def newest_names(column: Column, now_ms: int, count: int) -> list[tuple[int, str]]:
    """When the newest hours or days began, the current one included, oldest first; and their names."""
    size_ms = SIZES_MS[column]
    current_ms = now_ms - now_ms % size_ms
    starts = range(max(0, current_ms - (count - 1) * size_ms), current_ms + 1, size_ms)
    return [(start_ms, bucket_name(column, start_ms)) for start_ms in starts]


# Uptime


@dataclass(frozen=True, slots=True)
class Cover:
    """Names of the hours and days that are a stretch of time together: whole days by day, the rest by hour."""

    hours: tuple[str, ...]
    days: tuple[str, ...]


def cover(now_ms: int, hours: int) -> Cover:
    """The last so many hours, the current one included. A month is 30 days and at most 23 hours."""
    return _cover(now_ms // HOUR_MS, hours)


@lru_cache(maxsize=64)
def _cover(last: int, hours: int) -> Cover:
    first = last - hours + 1
    whole_days = range(-(-first // 24), last // 24 + 1)
    single_hours = range(first, min(whole_days.start * 24, last + 1))
    return Cover(
        tuple(bucket_name("hours", hour * HOUR_MS) for hour in single_hours),
        tuple(bucket_name("days", day * DAY_MS) for day in whole_days),
    )


@lru_cache(maxsize=8)
def _covers(last: int) -> tuple[Cover, dict[str, Cover]]:
    covers = {window: _cover(last, hours) for window, hours in WINDOWS.items()}
    hours = sorted({name for each in covers.values() for name in each.hours})
    days = sorted({name for each in covers.values() for name in each.days})
    return Cover(tuple(hours), tuple(days)), covers


def uptime_names(now_ms: int) -> Cover:
    """All that `uptimes` wants to know: 69 hours and 31 days at most, the days oldest first and today last."""
    return _covers(now_ms // HOUR_MS)[0]


def uptimes(now_ms: int, hours: Mapping[str, Bucket], days: Mapping[str, Bucket]) -> dict[str, float | None]:
    """The uptime of the last 24 hours, 7 days and 30 days, each exact to the hour; None: nothing is known."""
    found = {}
    for window, names in _covers(now_ms // HOUR_MS)[1].items():
        known = [hours[name] for name in names.hours if name in hours] + [
            days[name] for name in names.days if name in days
        ]
        found[window] = rounded(merge(known).uptime)
    return found


def rounded(uptime: float | None) -> float | None:
    """With six digits: of a month at an interval of 5 s one failure in half a million checks still shows."""
    return None if uptime is None else round(uptime, 6)


# Points of a chart


@dataclass(frozen=True, slots=True)
class Measured:
    """What a chart needs of one result."""

    at_ms: int
    status: Status
    ms: int | None

    @property
    def latency_ms(self) -> int | None:
        """How long the answer took; None: it failed, or has no such thing."""
        return self.ms if self.status in ("UP", "DEGRADED") else None


@dataclass(frozen=True, slots=True)
class Range:
    """What a chart is made of: so many of the newest hours or days, some of them as one point."""

    column: Column
    count: int
    per_point: int = 1

    @property
    def step_ms(self) -> int:
        return SIZES_MS[self.column] * self.per_point


RANGES: Final[Mapping[str, Range]] = {
    "week": Range("hours", 7 * 24),
    "month": Range("hours", 30 * 24),
    "quarter": Range("hours", 90 * 24, per_point=6),
    "years": Range("days", 730),
}

Point: TypeAlias = dict[str, Any]


def bucket_points(span: Range, buckets: Iterable[tuple[int, Bucket]], interval_ms: int) -> list[Point]:
    """Points of hours and days, given with their beginnings, oldest first."""
    step_ms = span.step_ms
    points = []
    for place, group in groupby(buckets, key=lambda each: each[0] // step_ms):
        bucket = merge(bucket for _, bucket in group)
        points.append((place * step_ms, _point(bucket, bucket.percentile(0.5), bucket.percentile(0.95))))
    return _with_gaps(points, max(step_ms, interval_ms))


def day_points(results: Sequence[Measured], interval_ms: int) -> list[Point]:
    """Points of single results, oldest first: each one its own, or those of five minutes together. Percentiles are
    exact: the lowest latency that a share of them does not exceed."""
    step_ms = 1 if len(results) <= _FEW else _DAY_STEP_MS
    points = []
    for place, group in groupby(results, key=lambda each: each.at_ms // step_ms):
        members = list(group)
        latencies = sorted(each.latency_ms for each in members if each.latency_ms is not None)
        point = _point(counted(members), _nearest(latencies, 0.5), _nearest(latencies, 0.95))
        points.append((place * step_ms, point))
    return _with_gaps(points, max(step_ms, interval_ms))


def counted(results: Iterable[Measured]) -> Bucket:
    """Results as a bucket; of the time that they stand for it knows nothing."""
    counts = dict.fromkeys(STATUSES, 0)
    histogram = [0] * (len(BOUNDS_MS) + 1)
    sum_ms = max_ms = 0
    for each in results:
        counts[each.status] += 1
        if each.latency_ms is not None:
            histogram[bisect_left(BOUNDS_MS, each.latency_ms)] += 1
            sum_ms += each.latency_ms
            max_ms = max(max_ms, each.latency_ms)
    while histogram and not histogram[-1]:
        histogram.pop()
    by_status = (counts["UP"], counts["DEGRADED"], counts["DOWN"], counts["UNKNOWN"])
    return Bucket(*by_status, sum_ms, max_ms, histogram=tuple(histogram))


def _nearest(ordered: Sequence[int], share: float) -> int | None:
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)] if ordered else None


def _point(bucket: Bucket, p50: float | None, p95: float | None) -> Point:
    def shown(ms: float | None) -> float | None:
        return None if ms is None else round(ms, 1)

    return {
        "up": bucket.up,
        "degraded": bucket.degraded,
        "down": bucket.down,
        "unknown": bucket.unknown,
        "average": shown(bucket.average),
        "max": bucket.max_ms if any(bucket.histogram) else None,
        "p50": shown(p50),
        "p95": shown(p95),
    }


def _with_gaps(points: Sequence[tuple[int, Point]], every_ms: int) -> list[Point]:
    """Points with their times. Where the next one is missing stands an empty one, so that no line is drawn across."""
    shown: list[Point] = []
    former_ms: int | None = None
    for at_ms, point in points:
        if former_ms is not None and at_ms - former_ms > 1.5 * every_ms:
            shown.append({"at": iso8601(former_ms + every_ms), **_point(Bucket(), None, None)})
        shown.append({"at": iso8601(at_ms), **point})
        former_ms = at_ms
    return shown
