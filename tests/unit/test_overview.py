"""The state of `all-endpoints`: all of it fits into its 180 KB, and what does not is said."""

from __future__ import annotations

from typing import Any

from pydantic_core import to_json

from c2c.events import Position
from c2c.monitoring.commits import incident_write
from c2c.monitoring.endpoints import Definition, Incident, State, summary
from c2c.monitors import Overview, StoredIncident
from c2c.notices import WINDOWS_BYTES_MAX, WINDOWS_MAX
from c2c.rooms.monitor import overview_json

NOW_MS = 1_767_323_045_678  # 2026-01-02T03:04:05.678Z, a Friday
LONG = "가" * 100


def define(number: int) -> Definition:
    fields = {"url": f"https://shop.example/{number}", "createdAt": 0, "createdBy": "kim"}
    return Definition.model_validate({"endpointId": f"e{number:07}", "kind": "http", "name": LONG, **fields})


def incident(number: int, name: str = LONG, error: str = "가" * 200, note: str = "가" * 500) -> StoredIncident:
    opened = Incident(f"i{number}", f"e{number:07}", name, NOW_MS - number, 3, error, "status")
    acknowledged = {"userId": "kim", "username": name, "note": note, "at": "2026-01-02T03:04:05.678Z"}
    return StoredIncident(incident_write(opened).text, to_json(acknowledged))


def windows() -> list[bytes]:
    """As many as may be written."""
    weekly = {"days": ["fri"], "time": "00:00", "durationMinutes": 1440, "zone": "UTC"}
    title = "가" * 57
    made = [to_json({"windowId": f"w{n:08}", "title": title, "endpointIds": [], **weekly}) for n in range(WINDOWS_MAX)]
    assert 0.8 * WINDOWS_BYTES_MAX < sum(map(len, made)) < WINDOWS_BYTES_MAX
    return made


def overview(endpoints: int = 0, incidents: list[StoredIncident] | None = None, planned: bool = False) -> Overview:
    state = State("DOWN", since=NOW_MS, error="가" * 200, reason="status", failures=3)
    summaries = [to_json(summary(define(number), state)) for number in range(endpoints)]
    return Overview(Position("x", 1), NOW_MS, summaries, incidents or [], windows() if planned else [], {})


def size_of(state: dict[str, Any]) -> int:
    return len(to_json(state))


def test_with_as_much_of_everything_as_there_may_be_the_state_has_180_kb() -> None:
    state = overview_json(overview(2_000, [incident(number) for number in range(2_000)], planned=True))
    assert 175_000 < size_of(state) <= 180_000
    assert (state["more"], state["moreIncidents"]) == (True, True)
    assert len(state["windows"]) == WINDOWS_MAX
    assert state["next"] == state["endpoints"][-1]["endpointId"]
    assert len(state["endpoints"]) > 30
    assert state["stats"]["total"] == 2_000


def test_incidents_are_bounded_by_their_bytes_and_the_newest_are_shown() -> None:
    state = overview_json(overview(incidents=[incident(number) for number in range(100)]))
    shown = [each["incidentId"] for each in state["incidents"]]
    assert shown == [f"i{number}" for number in range(len(shown))]
    assert 15 < len(shown) < 100
    assert size_of({"incidents": state["incidents"]}) <= 60_100
    assert state["moreIncidents"] is True


def test_incidents_are_bounded_by_their_number_too() -> None:
    small = [incident(number, "Shop", "", "") for number in range(101)]
    assert len(overview_json(overview(incidents=small))["incidents"]) == 100
    assert overview_json(overview(incidents=small))["moreIncidents"] is True
    assert overview_json(overview(incidents=small[:100]))["moreIncidents"] is False


def test_what_fits_is_all_there() -> None:
    state = overview_json(overview(100, [incident(1)]))
    assert (len(state["endpoints"]), state["more"], state["moreIncidents"]) == (100, False, False)
    assert "next" not in state
