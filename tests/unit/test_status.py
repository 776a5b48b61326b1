"""The status page without a server: what is shared, what strangers are told of incidents and windows, and badges."""

from __future__ import annotations

import asyncio
import xml.etree.ElementTree as ET
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from c2c.http.status import Shared
from c2c.monitoring.badge import AMBER, GREEN, GREY, RED, draw_badge, status_words, uptime_words
from c2c.monitoring.endpoints import Incident
from c2c.monitoring.history import DAY_MS, HOUR_MS, Bucket, bucket_name
from c2c.monitoring.public import figures, public_status, verdict

NOW_MS = 1_767_323_045_678  # 2026-01-02T03:04:05.678Z


class Work:
    """Work that is counted, takes as long as the test says, and may fail."""

    def __init__(self) -> None:
        self.now_s = 100.0
        self.takes_s = 0.0
        self.done = 0
        self.fails = False
        self.go_on = asyncio.Event()
        self.go_on.set()
        self.shared = Shared(self._work, lambda: self.now_s)

    async def _work(self) -> int:
        await self.go_on.wait()
        self.now_s += self.takes_s
        self.done += 1
        if self.fails:
            raise ConnectionError
        return self.done


async def test_all_who_ask_at_once_share_one_answer() -> None:
    work = Work()
    work.go_on.clear()
    asking = [asyncio.create_task(work.shared.get()) for _ in range(1000)]
    await asyncio.sleep(0)
    work.go_on.set()
    assert await asyncio.gather(*asking) == [1] * 1000
    assert work.done == 1


async def test_an_answer_is_kept_by_what_it_took_for_three_to_thirty_seconds() -> None:
    work = Work()
    assert await work.shared.get() == 1
    work.now_s += 2.9
    assert await work.shared.get() == 1
    work.now_s += 0.2
    work.takes_s = 0.5
    assert await work.shared.get() == 2
    work.now_s += 9.9
    assert await work.shared.get() == 2
    work.now_s += 0.2
    work.takes_s = 10
    assert await work.shared.get() == 3
    work.now_s += 29.9
    assert await work.shared.get() == 3
    work.now_s += 0.2
    assert await work.shared.get() == 4


async def test_a_failure_is_told_and_not_kept() -> None:
    work = Work()
    work.fails = True
    with pytest.raises(ConnectionError):
        await work.shared.get()
    work.fails = False
    assert await work.shared.get() == 2


async def test_who_goes_away_while_waiting_spoils_it_for_nobody() -> None:
    work = Work()
    work.go_on.clear()
    first, second = [asyncio.create_task(work.shared.get()) for _ in range(2)]
    await asyncio.sleep(0)
    first.cancel()
    work.go_on.set()
    assert await second == 1
    with pytest.raises(asyncio.CancelledError):
        await first


# What strangers are told


def summary(endpoint_id: str = "e", **fields: Any) -> dict[str, Any]:
    shown = {"endpointId": endpoint_id, "name": endpoint_id, "kind": "http", "url": "http://hidden", "status": "UP"}
    return {**shown, "since": None, "errorMessage": "hidden", "incidentId": "i", **fields}


def incident(start_ms: int, end_ms: int | None, endpoint_id: str = "e", id_: str = "i") -> tuple[Incident, bool]:
    return Incident(id_, endpoint_id, "old name", start_ms, 3, "hidden", "timeout", end_ms), False


def window(**fields: Any) -> dict[str, Any]:
    whole = {"windowId": "w", "title": "t", "endpointIds": [], "active": True, "nextStart": None, "nextEnd": None}
    return {**whole, **fields}


def told(
    summaries: list[dict[str, Any]],
    incidents: list[tuple[Incident, bool]] | None = None,
    windows: list[dict[str, Any]] | None = None,
) -> dict[str, Any]:
    return public_status(summaries, incidents or [], windows or [], {}, NOW_MS)


def test_an_incident_counts_on_each_day_on_which_it_went_on() -> None:
    yesterday, today = bucket_name("days", NOW_MS - DAY_MS), bucket_name("days", NOW_MS)
    over = incident(NOW_MS - 25 * HOUR_MS, NOW_MS - 23 * HOUR_MS, id_="a")
    long = incident(NOW_MS - 400 * DAY_MS, None, id_="b")
    (endpoint,) = told([summary()], [over, long])["endpoints"]
    counts = {day["date"]: day["incidents"] for day in endpoint["days"]}
    assert len(counts) == 30
    assert (counts[yesterday], counts[today]) == (2, 1)
    assert {count for date, count in counts.items() if date != yesterday} == {1}


def test_incidents_are_told_while_open_and_a_week_long_and_only_of_what_is_shown() -> None:
    week = 7 * DAY_MS
    incidents = [
        incident(NOW_MS - week - DAY_MS, NOW_MS - week + 1, id_="just"),
        incident(NOW_MS - week - DAY_MS, NOW_MS - week - 1, id_="over"),
        incident(NOW_MS - 90 * DAY_MS, None, id_="open"),
        incident(NOW_MS - 1, None, "c2c", id_="builtin"),
        incident(NOW_MS - 1, None, "gone", id_="deleted"),
    ]
    found = told([summary(name="new name"), summary("c2c", kind="builtin")], incidents)["incidents"]
    assert [(each["endpointName"], each["duration"]) for each in found] == [
        ("new name", (DAY_MS + 1) / 1000), ("new name", None),
    ]  # fmt: skip


def test_windows_are_told_that_go_on_or_will_and_concern_what_is_shown() -> None:
    soon = {"active": False, "nextStart": "2026-01-03T00:00:00.000Z"}
    windows = [
        window(title="all"), window(title="own", endpointIds=["e", "c2c"], **soon), window(title="later", **soon),
        window(title="hidden", endpointIds=["c2c"]), window(title="over", active=False),
    ]  # fmt: skip
    found = told([summary(), summary("c2c", kind="builtin")], [], windows)["windows"]
    assert [(each["title"], each["endpointIds"]) for each in found] == [("all", []), ("own", ["e"]), ("later", [])]


@pytest.mark.parametrize(
    ("statuses", "worst"),
    [
        (["UP", "DOWN", "DEGRADED", "UNKNOWN"], "DOWN"),
        (["UP", "DEGRADED", "UNKNOWN"], "DEGRADED"),
        (["UP", "UNKNOWN"], "UP"),
        (["UNKNOWN"], "UNKNOWN"),
        ([], "UNKNOWN"),
    ],
)
def test_the_verdict_is_the_worst_of_what_is_known_and_not_in_maintenance(statuses: list[str], worst: str) -> None:
    endpoints = [{"status": status, "maintenance": False} for status in statuses]
    assert verdict([*endpoints, {"status": "DOWN", "maintenance": True}]) == worst


def test_figures_are_the_days_and_the_windows() -> None:
    days = {
        bucket_name("days", NOW_MS): Bucket(up_ms=1, down_ms=1),
        bucket_name("days", NOW_MS - DAY_MS): Bucket(unknown=1),
    }
    found = figures(NOW_MS, {}, days)
    assert found.days == {"2026-01-02": 0.5, "2026-01-01": None}
    assert found.uptime == {"day": 0.5, "week": 0.5, "month": 0.5}


# Badges


@pytest.mark.parametrize(
    ("uptime", "words"),
    [
        (None, ("n/a", GREY)),
        (1.0, ("100%", GREEN)),
        (0.999999, ("99.99%", GREEN)),
        (0.9987, ("99.87%", AMBER)),
        (0.99, ("99%", AMBER)),
        (0.5, ("50%", RED)),
        (0.0, ("0%", RED)),
    ],
)
def test_an_uptime_is_rounded_down_on_a_badge(uptime: float | None, words: tuple[str, str]) -> None:
    assert uptime_words(uptime) == words


@pytest.mark.parametrize("status", ["UP", "DEGRADED", "DOWN", "UNKNOWN", "?"])
def test_white_text_can_be_read_on_each_colour(status: str) -> None:
    for _, colour in (status_words(status, maintenance=False), status_words(status, maintenance=True)):
        channels = [int(colour[start : start + 2], 16) / 255 for start in (1, 3, 5)]
        linear = [each / 12.92 if each <= 0.04045 else ((each + 0.055) / 1.055) ** 2.4 for each in channels]
        luminance = sum(weight * each for weight, each in zip((0.2126, 0.7152, 0.0722), linear, strict=True))
        assert 1.05 / (luminance + 0.05) >= 4.5


@given(st.text(max_size=64), st.text(max_size=64))
def test_whatever_a_badge_says_it_is_well_formed_and_says_just_that(label: str, value: str) -> None:
    root = ET.fromstring(draw_badge(label, value, GREEN).encode("utf-8", "replace"))
    words = [element.text or "" for element in root.iter("{http://www.w3.org/2000/svg}text")]
    printable = ["".join(each if each.isprintable() else " " for each in text) for text in (label, value)]
    assert words == (printable if label else printable[1:])
    whole = float(root.get("width") or 0)
    for element in root.iter("{http://www.w3.org/2000/svg}text"):
        half = float(element.get("textLength") or 0) / 2
        assert float(element.get("x") or 0) - half >= 0
        assert float(element.get("x") or 0) + half <= whole


def test_a_badge_is_about_as_wide_as_its_words() -> None:
    def width(label: str) -> int:
        return int(ET.fromstring(draw_badge(label, "up", GREEN)).get("width") or 0)

    assert width("") < width("iii") < width("mmm")
    assert width("한국") - width("한") == 11
