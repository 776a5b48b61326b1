"""What is kept of results: the stream of a day, hours and days, and what they take. Every case on a real Redis and on
fakeredis, but for memory, which only the real one has."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import pytest
import redis as redis_sync

from c2c.monitoring.history import (
    BOUNDS_MS,
    DAY_MS,
    HOUR_MS,
    Bucket,
    Column,
    Measured,
    bucket_name,
    counted,
    format_bucket,
    merge,
    newest_names,
    uptime_names,
    uptimes,
)
from c2c.monitoring.results import STATUSES, Status
from c2c.monitors import StoredResult
from c2c.scripts import lua_folder
from tests.redis.world import NOW_MS, World
from tests.support import RedisServer

RESULTS, HOURS, DAYS = "room:endpoint:e:results", "room:endpoint:e:hours", "room:endpoint:e:days"
MINUTE_MS = 60_000
WORDS = 7

# As the commit script does it, and many at once: `history_add` stands in an include and has no script of its own.
_ADD = "\n".join(
    [
        *[
            (lua_folder() / "include" / f"{name}.lua").read_text(encoding="utf-8")
            for name in ("event_append", "history")
        ],
        f"for i = 1, #ARGV, {WORDS} do",
        "  local at_ms, span_ms = tonumber(ARGV[i]), tonumber(ARGV[i + 1])",
        "  history_add(KEYS[1], KEYS[2], KEYS[3], at_ms, span_ms, unpack(ARGV, i + 2, i + 6))",
        "end",
    ]
)


@dataclass(frozen=True, slots=True)
class Found:
    """A result to be added."""

    at_ms: int = NOW_MS
    status: Status = "UP"
    ms: int | None = 120
    code: int | None = 200
    error: str = ""
    reason: str = ""
    span_ms: int = MINUTE_MS

    @property
    def words(self) -> list[str | int]:
        ms = "" if self.ms is None else self.ms
        code = "" if self.code is None else self.code
        return [self.at_ms, self.span_ms, self.status, ms, code, self.error, self.reason]

    @property
    def measured(self) -> Measured:
        return Measured(self.at_ms, self.status, self.ms)

    @property
    def stored(self) -> StoredResult:
        return StoredResult(self.at_ms, self.status, self.ms, self.code, self.error, self.reason or None)


def failed(at_ms: int = NOW_MS, error: str = "connection refused by 192.0.2.7 port 443") -> Found:
    return Found(at_ms, "DOWN", 3, None, error, "refused")


def add(redis: Any, *results: Found, keys: Sequence[str] = (RESULTS, HOURS, DAYS)) -> None:
    script = redis.register_script(_ADD)
    for start in range(0, len(results), 500):
        script(keys=keys, args=[word for each in results[start : start + 500] for word in each.words])


def entries(redis: Any) -> list[tuple[str, dict[str, str]]]:
    found: list[tuple[str, dict[str, str]]] = redis.xrange(RESULTS)
    return found


def ids(redis: Any) -> list[str]:
    return [id_ for id_, _ in entries(redis)]


async def shown(world: World, limit: int = 30) -> list[StoredResult]:
    return (await world.store.histories.newest("e", limit)).results


# The stream


async def test_a_result_is_written_with_its_slot_and_counted_in_its_hour_and_day(world: World) -> None:
    add(world.redis, Found(ms=120, code=200))
    fields = {"status": "UP", "ms": "120", "code": "200", "error": "", "reason": ""}
    assert world.dump() == {
        RESULTS: [(f"{NOW_MS}-0", fields)],
        HOURS: {"2026-01-02T03": "1 0 0 0 120 120 1000 0 0 0 0 0 1"},
        DAYS: {"2026-01-02": "1 0 0 0 120 120 1000 0 0 0 0 0 1"},
    }
    assert await shown(world) == [Found(ms=120, code=200).stored]


async def test_the_newest_results_come_oldest_first_and_no_more_than_wanted(world: World) -> None:
    results = [Found(NOW_MS + n * MINUTE_MS, ms=n) for n in range(40)]
    add(world.redis, *results)
    assert await shown(world) == [each.stored for each in results[-30:]]
    assert await shown(world, 1) == [results[-1].stored]
    assert await shown(world, 0) == []


async def test_of_an_endpoint_that_nobody_has_checked_there_is_nothing(world: World) -> None:
    newest = await world.store.histories.newest("other", 30)
    assert (newest.results, newest.day, newest.day.uptime) == ([], Bucket(), None)
    assert await world.store.histories.since("other", 0) == []
    assert await world.store.histories.buckets("other", "hours", ["2026-01-02T03"]) == {}
    assert await world.store.histories.buckets("other", "hours", []) == {}


async def test_two_results_of_one_slot_and_a_clock_that_went_back_are_all_kept_in_order(world: World) -> None:
    times = (0, 0, -HOUR_MS, -1, 1)
    add(world.redis, *[Found(NOW_MS + more, ms=n) for n, more in enumerate(times)])
    assert ids(world.redis) == [f"{NOW_MS}-0", f"{NOW_MS}-1", f"{NOW_MS}-2", f"{NOW_MS}-3", f"{NOW_MS + 1}-0"]
    assert [result.response_ms for result in await shown(world)] == [0, 1, 2, 3, 4]
    # The hour is that of the slot all the same.
    assert world.redis.hgetall(HOURS) == {
        "2026-01-02T03": "4 0 0 0 8 4 1001 0 4",
        "2026-01-02T02": "1 0 0 0 2 2 0 0 1",
    }


async def test_results_of_a_future_that_never_came_make_room(world: World) -> None:
    add(world.redis, Found(NOW_MS), Found(NOW_MS + 400 * DAY_MS), Found(NOW_MS + MINUTE_MS), Found(NOW_MS + HOUR_MS))
    assert ids(world.redis) == [f"{NOW_MS + MINUTE_MS}-0", f"{NOW_MS + HOUR_MS}-0"]
    assert sorted(world.redis.hgetall(HOURS)) == ["2026-01-02T03", "2026-01-02T04"]


async def test_the_stream_holds_a_day_and_little_more(world: World) -> None:
    results = [Found(NOW_MS + n * MINUTE_MS) for n in range(3 * 1440)]
    add(world.redis, *results)
    kept = world.redis.xlen(RESULTS)
    assert 1440 <= kept <= 1441 + 100, "Redis trims a node of a hundred entries at a time"
    assert ids(world.redis)[-1] == f"{results[-1].at_ms}-0"
    day = await world.store.histories.since("e", results[-1].at_ms - DAY_MS)
    assert day == [each.measured for each in results[-1441:]]


async def test_the_stream_holds_20_000_results_at_most(world: World) -> None:
    with world.redis.pipeline(transaction=False) as pipeline:
        for n in range(20_500):
            pipeline.xadd(RESULTS, {"status": "UP"}, id=f"{NOW_MS + n}-0")
        pipeline.execute()
    add(world.redis, Found(NOW_MS + 20_500))
    assert 20_000 <= world.redis.xlen(RESULTS) <= 20_100


# Errors


async def test_a_text_that_repeats_stands_once_and_is_read_each_time(world: World) -> None:
    results = [failed(NOW_MS + n * 10_000) for n in range(30)]
    add(world.redis, *results)
    first, *rest = [fields["error"] for _, fields in entries(world.redis)]
    assert first == results[0].error
    assert set(rest) == {f"={NOW_MS}-0"}
    assert await shown(world) == [each.stored for each in results]
    assert await shown(world, 5) == [each.stored for each in results[-5:]]


async def test_another_text_and_one_of_an_hour_ago_stand_as_they_are(world: World) -> None:
    other = "certificate has expired: CN=example.org, on 2026-01-01"
    times = [NOW_MS, NOW_MS + 1, NOW_MS + 2, NOW_MS + HOUR_MS + 2, NOW_MS + HOUR_MS + 3]
    results = [failed(times[0]), failed(times[1], other), failed(times[2]), failed(times[3]), failed(times[4])]
    add(world.redis, *results)
    texts = [fields["error"] for _, fields in entries(world.redis)]
    assert texts == [results[0].error, other, results[0].error, results[0].error, f"={times[3]}-0"]
    assert await shown(world) == [each.stored for each in results]


async def test_a_text_between_two_answers_is_whole(world: World) -> None:
    results = [
        failed(NOW_MS),
        Found(NOW_MS + 1),
        failed(NOW_MS + 2),
        failed(NOW_MS + 3, "short"),
        failed(NOW_MS + 4, "short"),
    ]
    add(world.redis, *results)
    assert await shown(world) == [each.stored for each in results]


@pytest.mark.parametrize("text", ["=1-0", f"={NOW_MS}-0", f"={NOW_MS - 1}-0", "="])
async def test_a_text_that_looks_like_a_reference_is_none(world: World, text: str) -> None:
    """Texts of push endpoints are written by strangers."""
    add(world.redis, failed(NOW_MS - 1, "a text of another result, and a secret"), failed(NOW_MS, text))
    assert (await shown(world))[-1].error == f" {text}"


async def test_a_text_whose_result_is_gone_is_empty_and_comes_back_whole_within_the_hour(world: World) -> None:
    add(world.redis, failed(NOW_MS), failed(NOW_MS + 1))
    world.redis.xdel(RESULTS, f"{NOW_MS}-0")
    assert [result.error for result in await shown(world)] == [""]
    add(world.redis, failed(NOW_MS + 2), failed(NOW_MS + 3))
    assert [result.error for result in await shown(world)] == ["", failed().error, failed().error]


# Hours and days


def timed(results: Sequence[Found]) -> list[tuple[Found, int]]:
    """Each with the time that it stands for: since the one before it, its span at most; the first one for a second."""
    times_ms = [1_000, *[after.at_ms - before.at_ms for before, after in pairwise(results)]]
    return [(each, max(0, min(each.span_ms, ms))) for each, ms in zip(results, times_ms, strict=True)]


def counted_one(each: Found, stands_ms: int) -> Bucket:
    up = each.status in ("UP", "DEGRADED")
    times = Bucket(up_ms=stands_ms if up else 0, down_ms=stands_ms if each.status == "DOWN" else 0)
    return counted([each.measured]) + times


def counted_with_times(results: Sequence[Found], from_ms: int = 0) -> Bucket:
    return merge(counted_one(each, stands_ms) for each, stands_ms in timed(results) if each.at_ms >= from_ms)


async def test_unknown_and_failures_have_no_latency_and_unknown_no_uptime(world: World) -> None:
    found: list[tuple[Status, int | None]] = [
        ("UP", 10), ("DEGRADED", 9_000), ("DOWN", 30_000), ("UNKNOWN", 777), ("UP", None),
    ]  # fmt: skip
    add(world.redis, *[Found(NOW_MS + n * MINUTE_MS, status, ms) for n, (status, ms) in enumerate(found)])
    expected = "2 1 1 1 9010 9000 121000 60000 1 0 0 0 0 0 0 0 0 1"
    assert (world.redis.hgetall(HOURS), world.redis.hgetall(DAYS)) == (
        {"2026-01-02T03": expected}, {"2026-01-02": expected},
    )  # fmt: skip
    (bucket,) = (await world.store.histories.buckets("e", "hours", ["2026-01-02T03"])).values()
    assert (bucket.uptime, bucket.average) == (121 / 181, 4505)


async def test_zeros_at_the_end_are_left_out(world: World) -> None:
    for status, text in zip(
        STATUSES, ("1 0 0 0 0 0 1000", "0 0 1 0 0 0 0 1000", "0 1 0 0 0 0 1000", "0 0 0 1"), strict=True
    ):
        world.redis.flushall()
        add(world.redis, Found(status=status, ms=None))
        assert world.redis.hvals(HOURS) == world.redis.hvals(DAYS) == [text]


async def test_each_latency_counts_where_python_says_it_belongs(world: World) -> None:
    latencies = sorted({0, 1, *[bound + more for bound in BOUNDS_MS for more in (-1, 0, 1)], 120_000})
    results = [Found(NOW_MS + n, ms=ms) for n, ms in enumerate(latencies)]
    add(world.redis, *results)
    expected = counted_with_times(results)
    assert world.redis.hvals(DAYS) == [format_bucket(expected)]
    assert len(expected.histogram) == len(BOUNDS_MS) + 1
    assert await world.store.histories.buckets("e", "days", ["2026-01-02"]) == {"2026-01-02": expected}


async def test_sums_are_exact_beyond_what_32_bits_and_short_numbers_hold(world: World) -> None:
    big = 2**53 - 120_000
    for key, name in ((HOURS, "2026-01-02T03"), (DAYS, "2026-01-02")):
        world.redis.hset(key, name, f"{2**31} 0 0 0 {big} 120000 {big} 0 0 0 0 0 0 0 0 0 0 0 0 {2**31}")
    add(world.redis, Found(ms=119_999))
    expected = f"{2**31 + 1} 0 0 0 {2**53 - 1} 120000 {big + 1000} 0 0 0 0 0 0 0 0 0 0 0 0 {2**31 + 1}"
    assert world.redis.hvals(HOURS) == world.redis.hvals(DAYS) == [expected]


async def test_hours_are_kept_for_ninety_days_and_days_for_two_years(world: World) -> None:
    hours = [Found(NOW_MS + n * HOUR_MS) for n in range(100 * 24)]
    add(world.redis, *hours)
    kept = sorted(world.redis.hkeys(HOURS))
    assert kept == [bucket_name("hours", each.at_ms) for each in hours[-(90 * 24 + 1) :]]
    add(world.redis, *[Found(hours[-1].at_ms + n * DAY_MS) for n in range(1, 800)])
    days = sorted(world.redis.hkeys(DAYS))
    assert (len(days), days[-1]) == (731, bucket_name("days", hours[-1].at_ms + 799 * DAY_MS))
    assert world.redis.hlen(HOURS) == 91


async def test_what_is_over_is_looked_for_only_when_an_hour_begins(world: World) -> None:
    add(world.redis, Found(NOW_MS))
    world.redis.hset(HOURS, "2020-01-01T00", "1")
    add(world.redis, *[Found(NOW_MS + n) for n in range(1, 50)])
    assert world.redis.hlen(HOURS) == 2
    add(world.redis, Found(NOW_MS + HOUR_MS))
    assert sorted(world.redis.hkeys(HOURS)) == ["2026-01-02T03", "2026-01-02T04"]


# Uptime


def random_results(seed: int, every_ms: int, count: int, from_ms: int = NOW_MS) -> list[Found]:
    chance = random.Random(seed)
    results = []
    for n in range(count):
        (status,) = chance.choices(STATUSES, weights=(90, 5, 4, 1))
        results.append(Found(from_ms + n * every_ms, status, chance.choice((None, chance.randrange(40_000)))))
    return results


async def test_an_hour_down_is_an_hour_however_often_it_is_looked_at_meanwhile(world: World) -> None:
    """At the defaults an endpoint that fails is checked every 10 s instead of every 60 s."""
    midnight = NOW_MS - NOW_MS % DAY_MS
    down_ms = range(midnight + 9 * HOUR_MS, midnight + 10 * HOUR_MS, 10_000)
    up_ms = [at_ms for at_ms in range(midnight, midnight + DAY_MS, MINUTE_MS) if at_ms not in down_ms]
    results = [Found(at_ms) for at_ms in up_ms] + [failed(at_ms) for at_ms in down_ms]
    add(world.redis, *sorted(results, key=lambda each: each.at_ms))
    (day,) = (await world.store.histories.buckets("e", "days", [bucket_name("days", midnight)])).values()
    assert (day.up, day.down) == (23 * 60, 360)
    assert day.uptime == pytest.approx(23 / 24, abs=0.001)
    add(world.redis, *[Found(midnight + DAY_MS - MINUTE_MS + n) for n in range(1, 500)])
    (asked,) = (await world.store.histories.buckets("e", "days", [bucket_name("days", midnight)])).values()
    assert asked.uptime == pytest.approx(day.uptime, abs=0.000_1), "who asks often does not make it better"


async def test_a_result_stands_for_no_more_than_its_span_and_the_first_one_for_a_second(world: World) -> None:
    """While nobody checks, nothing is known; and of the time before an endpoint was made nothing ever."""
    add(world.redis, failed(NOW_MS), Found(NOW_MS + 10_000), Found(NOW_MS + HOUR_MS // 4))
    assert [text.split()[6:8] for text in world.redis.hvals(HOURS)] == [["70000", "1000"]]


@pytest.mark.parametrize("hour", [0, 1, 13, 23])
async def test_uptimes_are_exact_to_the_hour(world: World, hour: int) -> None:
    midnight = NOW_MS - NOW_MS % DAY_MS
    until_ms = midnight + hour * HOUR_MS + 17 * MINUTE_MS
    results = random_results(hour, 20 * MINUTE_MS, 3 * 24 * 35, until_ms - 35 * DAY_MS + 20 * MINUTE_MS)
    assert results[-1].at_ms == until_ms
    add(world.redis, *results)
    names = uptime_names(until_ms)
    histories = world.store.histories
    hours, days = histories.buckets("e", "hours", names.hours), histories.buckets("e", "days", names.days)
    found = uptimes(until_ms, await hours, await days)
    this_hour = until_ms - until_ms % HOUR_MS
    for window, length in (("day", 24), ("week", 7 * 24), ("month", 30 * 24)):
        begin = this_hour - (length - 1) * HOUR_MS
        exact = counted_with_times(results, begin).uptime
        assert exact is not None
        assert found[window] == round(exact, 6) < 1
    world.store.set_clock(until_ms)
    assert round((await histories.newest("e", 1)).day.uptime or 0, 6) == found["day"]


async def test_what_is_in_the_hours_and_days_is_what_was_added(world: World) -> None:
    results = random_results(5, 7 * MINUTE_MS, 2_000)
    add(world.redis, *results)
    columns: tuple[Column, ...] = ("hours", "days")
    for column in columns:
        names = [name for _, name in newest_names(column, results[-1].at_ms, 400)]
        found = await world.store.histories.buckets("e", column, names)
        by_name = {name: Bucket() for name in names if name <= bucket_name(column, results[-1].at_ms)}
        for each, stands_ms in timed(results):
            by_name[bucket_name(column, each.at_ms)] += counted_one(each, stands_ms)
        assert found == {name: bucket for name, bucket in by_name.items() if bucket != Bucket()}
        assert merge(found.values()) == counted_with_times(results)


# Memory


@pytest.fixture
def redis(real_redis: RedisServer) -> Any:
    real_redis.client.flushall()
    return real_redis.client


def month(kind: str, days: int, every_ms: int, until_ms: int = NOW_MS) -> Iterable[Found]:
    """So many days of an endpoint that is well, flaky, or down with a text of 200 characters."""
    chance = random.Random(kind)
    text = "the answer was not as expected: ".ljust(200, "x")
    for n in range(days * DAY_MS // every_ms):
        at_ms = until_ms - days * DAY_MS + n * every_ms
        up = Found(at_ms, ms=int(chance.lognormvariate(5, 0.5)))
        down = Found(at_ms, "DOWN", 3, 503, text, "status")
        if kind == "well":
            yield up
        elif kind == "down":
            yield down
        else:
            yield chance.choice((up, down, replace(up, status="DEGRADED", ms=chance.randrange(30_000))))


def bytes_of(redis: redis_sync.Redis, endpoint: str) -> dict[str, int]:
    columns = ("results", "hours", "days")
    keys = {column: f"room:endpoint:{endpoint}:{column}" for column in columns}
    return {column: redis.memory_usage(key, samples=0) or 0 for column, key in keys.items()}


def fill(redis: Any, endpoint: str, results: Iterable[Found]) -> dict[str, int]:
    add(redis, *results, keys=[f"room:endpoint:{endpoint}:{column}" for column in ("results", "hours", "days")])
    return bytes_of(redis, endpoint)


@pytest.mark.parametrize("kind", ["well", "down", "flaky"])
def test_an_endpoint_takes_at_most_256_kib_after_a_month_at_the_default_interval(redis: Any, kind: str) -> None:
    taken = fill(redis, kind, month(kind, 30, MINUTE_MS))
    print(kind, taken, sum(taken.values()))
    assert redis.hlen(f"room:endpoint:{kind}:hours") == 721
    assert sum(taken.values()) <= 256 * 1024


def test_an_endpoint_takes_at_most_600_kib_after_two_years(redis: Any) -> None:
    """Two years of hours and days as they are at the default interval, and behind them two days of results, which find
    that most of these hours are over."""
    text = format_bucket(counted(each.measured for each in month("flaky", 1, 24 * MINUTE_MS)))
    day = format_bucket(counted(each.measured for each in month("flaky", 1, MINUTE_MS)))
    sizes: dict[Column, str] = {"hours": text, "days": day}
    for column, kept in sizes.items():
        names = [name for _, name in newest_names(column, NOW_MS, 731 * (24 if column == "hours" else 1))]
        redis.hset(f"room:endpoint:old:{column}", mapping=dict.fromkeys(names, kept))
    before = sum(bytes_of(redis, "old").values())
    taken = fill(redis, "old", month("flaky", 2, MINUTE_MS, NOW_MS + 2 * DAY_MS))
    assert (redis.hlen("room:endpoint:old:hours"), redis.hlen("room:endpoint:old:days")) == (2161, 731)
    print(taken, sum(taken.values()), before)
    assert sum(taken.values()) <= 600 * 1024 < before
