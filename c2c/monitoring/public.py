"""What the status page tells strangers. Pure.

Everything is named here, nothing is passed on as it is: no address, no error's text, no note, no user, nothing about
c2c itself.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from c2c.monitoring.endpoints import Incident, seconds_between
from c2c.monitoring.history import DAY_MS, WINDOWS, Bucket, bucket_name, newest_names, rounded, uptimes
from c2c.times import iso8601

DAYS_SHOWN: Final = 30
PAST_MS: Final = 7 * DAY_MS


@dataclass(frozen=True, slots=True)
class Figures:
    """How an endpoint did. `days`: uptime by date."""

    uptime: Mapping[str, float | None]
    days: Mapping[str, float | None]


def figures(now_ms: int, hours: Mapping[str, Bucket], days: Mapping[str, Bucket]) -> Figures:
    """The figures of one endpoint, of the hours and days that `history.uptime_names` names."""
    return Figures(uptimes(now_ms, hours, days), {date: rounded(bucket.uptime) for date, bucket in days.items()})


def is_public(summary: Mapping[str, Any]) -> bool:
    """Whether strangers may know of an endpoint."""
    return bool(summary["kind"] != "builtin")


def public_status(
    summaries: Iterable[Mapping[str, Any]],
    incidents: Iterable[tuple[Incident, bool]],
    windows: Iterable[Mapping[str, Any]],
    known: Mapping[str, Figures],
    now_ms: int,
) -> dict[str, Any]:
    """All that the page shows. `incidents`: each with whether somebody took it on; `windows`: as `windows.shown` has
    them."""
    shown = sorted(filter(is_public, summaries), key=lambda each: (each["name"].casefold(), each["endpointId"]))
    names = {each["endpointId"]: each["name"] for each in shown}
    told = [each for each in incidents if each[0].endpoint_id in names]
    dates = [date for _, date in newest_names("days", now_ms, DAYS_SHOWN)]
    by_day = _count_by_day([incident for incident, _ in told], now_ms)
    windows = list(windows)
    under_way = [frozenset(each["endpointIds"]) for each in windows if each["active"]]
    endpoints = []
    for each in shown:
        endpoint_id = each["endpointId"]
        maintenance = any(not ids or endpoint_id in ids for ids in under_way)
        did = known.get(endpoint_id, Figures({}, {}))
        days = [(date, did.days.get(date), by_day[endpoint_id, date]) for date in dates]
        endpoints.append(_endpoint(each, maintenance, did, days))
    recent = [each for each in told if each[0].resolved_at is None or each[0].resolved_at >= now_ms - PAST_MS]
    recent.sort(key=lambda each: each[0].started_at, reverse=True)
    return {
        "status": verdict(endpoints),
        "endpoints": endpoints,
        "incidents": [_incident(each, names, is_taken) for each, is_taken in recent],
        "windows": sorted(_windows(windows, names), key=lambda each: (not each["active"], each["nextStart"] or "")),
    }


def verdict(endpoints: Iterable[Mapping[str, Any]]) -> str:
    """The worst status of those that are not in maintenance; UNKNOWN says nothing as long as anything is known."""
    found = {each["status"] for each in endpoints if not each["maintenance"]}
    return next((status for status in ("DOWN", "DEGRADED", "UP") if status in found), "UNKNOWN")


def _endpoint(
    summary: Mapping[str, Any], maintenance: bool, did: Figures, days: Iterable[tuple[str, float | None, int]]
) -> dict[str, Any]:
    return {
        "endpointId": summary["endpointId"],
        "name": summary["name"],
        "status": summary["status"],
        "since": summary["since"],
        "maintenance": maintenance,
        "uptime": {window: did.uptime.get(window) for window in WINDOWS},
        "days": [{"date": date, "uptime": uptime, "incidents": count} for date, uptime, count in days],
    }


def _count_by_day(incidents: Iterable[Incident], now_ms: int) -> Counter[tuple[str, str]]:
    """How many went on on each day, by endpoint and date."""
    counts: Counter[tuple[str, str]] = Counter()
    first_ms = now_ms - DAYS_SHOWN * DAY_MS
    for incident in incidents:
        end_ms = now_ms if incident.resolved_at is None else incident.resolved_at
        start_ms = max(incident.started_at, first_ms)
        for day in range(start_ms // DAY_MS, end_ms // DAY_MS + 1):
            counts[incident.endpoint_id, bucket_name("days", day * DAY_MS)] += 1
    return counts


def _incident(incident: Incident, names: Mapping[str, str], is_taken: bool) -> dict[str, Any]:
    end_ms = incident.resolved_at
    return {
        "endpointId": incident.endpoint_id,
        "endpointName": names[incident.endpoint_id],
        "startedAt": iso8601(incident.started_at),
        "resolvedAt": None if end_ms is None else iso8601(end_ms),
        "duration": None if end_ms is None else seconds_between(incident.started_at, end_ms),
        "acknowledged": is_taken,
    }


def _windows(windows: Iterable[Mapping[str, Any]], names: Mapping[str, str]) -> Iterable[dict[str, Any]]:
    """Those that go on or will, and concern anything that is shown."""
    for window in windows:
        concerned = [id_ for id_ in window["endpointIds"] if id_ in names]
        is_over = not window["active"] and window["nextStart"] is None
        if is_over or (window["endpointIds"] and not concerned):
            continue
        yield {
            "title": window["title"],
            "endpointIds": concerned,
            "active": window["active"],
            "nextStart": window["nextStart"],
            "nextEnd": window["nextEnd"],
        }
