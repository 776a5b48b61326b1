"""What results mean: confirmation, hysteresis, incidents, maintenance, and doubt in the checker itself."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic_core import to_json

from c2c.monitoring.endpoints import Definition, State, dump_incident
from c2c.monitoring.judge import Circumstances, Judgement, judge, worst_incident_delay_s
from c2c.monitoring.registry import figures
from c2c.monitoring.results import Result, Status
from c2c.monitors import StoredIncident
from c2c.times import iso8601

NOW_MS = 1_800_000_000_000
UP, DOWN = (
    Result(ok=True, response_ms=20, status_code=200),
    Result(ok=False, response_ms=9, reason="status", error="503"),
)
SILENT = Result(ok=False, reason="timeout", error="no answer")
DAY_MS = 86_400_000


def definition(**fields: Any) -> Definition:
    known = {
        "endpointId": "e1",
        "kind": "http",
        "name": "Shop",
        "url": "http://a.example",
        "createdAt": 0,
        "createdBy": "kim",
    }
    return Definition.model_validate({**known, **fields})


class Course:
    """One endpoint's checks, a second apart."""

    def __init__(self, **fields: Any) -> None:
        self.definition = definition(**fields)
        self.state = State()
        self.now_ms = NOW_MS
        self.count = 0
        self.last: Judgement | None = None

    def check(
        self, result: Result, *, after_s: float = 1.0, maintenance: bool = False, suspect: bool = False
    ) -> list[str]:
        """Judge a result; the names of the events but `check:completed`, which comes first each time."""
        self.now_ms += round(after_s * 1000)
        self.count += 1
        seen = Circumstances(self.now_ms - 10, self.now_ms, "n1", f"i{self.count}", maintenance, suspect)
        self.last = judge(self.definition, self.state, result, seen)
        self.state = self.last.state
        assert self.last.events[0][0] == "check:completed"
        return [t for t, _ in self.last.events[1:]]

    def event(self, t: str) -> dict[str, Any]:
        assert self.last is not None
        return dict(next(fields for name, fields in self.last.events if name == t))

    @property
    def due_in_s(self) -> float:
        assert self.last is not None
        return (self.last.due_ms - self.now_ms) / 1000


def test_up_then_three_failures_then_back_is_one_incident_with_its_duration() -> None:
    course = Course()
    assert course.check(UP) == ["endpoint:status-changed"]
    assert course.event("endpoint:status-changed")["previousStatus"] == "UNKNOWN"
    assert course.check(DOWN) == []
    assert course.check(DOWN) == []
    assert course.state.status == "UP"
    assert course.check(DOWN) == ["endpoint:status-changed", "incident:started"]
    assert course.event("incident:started")["failureCount"] == 3
    assert course.event("endpoint:status-changed")["endpoint"]["incidentId"] == "i4"
    assert course.check(DOWN) == []
    assert course.check(UP, after_s=6) == ["endpoint:status-changed", "incident:resolved"]
    assert course.event("incident:resolved")["duration"] == 9.0, "from the first failure on"
    assert course.state.failures == 0


def test_one_answer_between_failures_begins_the_count_anew() -> None:
    course = Course()
    assert [course.check(each) for each in (UP, DOWN, DOWN, UP, DOWN, DOWN)][1:] == [[]] * 5
    assert course.state.status == "UP"


def test_recovery_waits_for_as_many_answers_as_configured_and_a_failure_between_begins_anew() -> None:
    course = Course(failAfter=1, recoverAfter=3)
    course.check(DOWN)
    assert [course.check(each) for each in (UP, UP, DOWN, UP, UP)] == [[]] * 5
    assert course.state.status == "DOWN"
    assert course.check(UP) == ["endpoint:status-changed", "incident:resolved"]


def test_a_failing_endpoint_is_checked_sooner_and_a_recovered_one_on_its_grid() -> None:
    course = Course(interval=60, retryInterval=10)
    course.check(DOWN)
    assert course.due_in_s == 10
    course.check(UP)
    assert course.last is not None
    assert (course.last.due_ms - course.definition.slot_phase_ms) % 60_000 == 0
    assert 0 < course.due_in_s <= 60


def test_slow_in_two_of_three_is_degraded_and_left_after_two_well_below_the_threshold() -> None:
    course = Course(degradedMs=100)
    slow, near, swift = (replace(UP, response_ms=ms) for ms in (101, 90, 79))
    course.check(swift)
    assert course.check(slow) == []
    assert course.check(swift) == []
    assert course.check(slow) == ["endpoint:status-changed"]
    assert course.state.status == "DEGRADED"
    assert [course.check(each) for each in (swift, near, swift)] == [[]] * 3, "90 ms is not below four fifths"
    assert course.check(swift) == ["endpoint:status-changed"]
    assert course.event("endpoint:status-changed")["currentStatus"] == "UP"
    assert course.check(slow) == [], "what made it degraded counts no more"


def test_degraded_counts_as_up_and_opens_nothing() -> None:
    course = Course(degradedMs=100)
    for _ in range(9):
        assert "incident:started" not in course.check(replace(UP, response_ms=4_000))
    assert course.state.status == "DEGRADED"
    assert course.last is not None
    assert course.last.outcome == "DEGRADED"


def test_an_outage_within_five_minutes_of_the_last_reopens_its_incident() -> None:
    course = Course(failAfter=1)
    course.check(DOWN)
    course.check(UP)
    assert course.check(DOWN, after_s=299) == ["endpoint:status-changed", "incident:started"]
    assert course.event("incident:started")["incidentId"] == "i1"
    assert course.event("incident:started")["reopened"] is True
    course.check(UP)
    assert course.event("incident:resolved")["duration"] == 301.0, "from its first failure on"
    course.check(DOWN, after_s=301)
    assert course.event("incident:started")["incidentId"] == "i5"
    assert course.event("incident:started")["reopened"] is False


def test_in_maintenance_checks_run_and_incidents_wait_until_it_is_over() -> None:
    course = Course(failAfter=2)
    assert course.check(DOWN, maintenance=True) == []
    assert course.check(DOWN, maintenance=True) == ["endpoint:status-changed"]
    assert course.state.status == "DOWN"
    assert course.check(DOWN, maintenance=True) == []
    assert course.check(DOWN) == ["incident:started"]
    assert course.check(UP, maintenance=True) == ["endpoint:status-changed", "incident:resolved"]


def test_an_incident_opens_by_a_failure_only() -> None:
    course = Course(failAfter=1, recoverAfter=3)
    course.check(DOWN, maintenance=True)
    assert course.check(UP) == [], "maintenance is over, and it is on its way up"
    assert course.check(SILENT, suspect=True) == []
    assert course.check(DOWN) == ["incident:started"]


def test_how_long_a_job_took_is_no_latency() -> None:
    course = Course(kind="push", url=None)
    for _ in range(4):
        course.check(Result(ok=True, response_ms=600_000))
    assert course.state.status == "UP"


def test_a_suspect_checkers_failures_change_nothing_and_its_answers_count() -> None:
    course = Course(failAfter=1)
    course.check(UP)
    assert course.check(SILENT, suspect=True) == []
    assert course.last is not None
    assert course.last.outcome == "UNKNOWN"
    assert course.event("check:completed")["status"] == "UNKNOWN"
    assert course.event("check:completed")["errorMessage"] == "the checker may be cut off: no answer"
    assert course.state.status == "UP"
    assert course.state.failures == 0
    assert course.check(UP, suspect=True) == []
    assert "incident:started" in course.check(DOWN, suspect=True), "an error is an answer"


def test_a_certificate_is_told_of_once_at_21_14_and_7_days_and_anew_after_renewal() -> None:
    course = Course()
    told = []
    for days_left in (40, 22, 20.9, 20, 14, 13, 6.5, 1, 0, 90, 21):
        end_ms = course.now_ms + 1_000 + round(days_left * DAY_MS)
        if "endpoint:certificate-expiring" in course.check(replace(UP, certificate_expires_at_ms=end_ms)):
            told.append((days_left, course.event("endpoint:certificate-expiring")["daysLeft"]))
    assert told == [(20.9, 21), (14, 14), (6.5, 7), (21, 21)]


def test_a_first_check_close_to_the_end_tells_the_smallest_that_applies_and_not_all_three() -> None:
    course = Course()
    course.check(replace(UP, certificate_expires_at_ms=NOW_MS + 3 * DAY_MS))
    assert course.event("endpoint:certificate-expiring")["daysLeft"] == 7
    assert course.check(replace(UP, certificate_expires_at_ms=NOW_MS + 3 * DAY_MS)) == []


def test_a_push_is_due_after_its_period_and_grace_and_a_miss_counts_by_period() -> None:
    course = Course(kind="push", url=None, interval=60, grace=20, failAfter=1)
    course.check(Result(ok=True))
    assert course.due_in_s == 80
    course.check(Result(ok=False, reason="missed", error="nothing came"))
    assert course.due_in_s == 60


@pytest.mark.parametrize(
    ("fields", "expected_s"),
    [
        ({}, 60 + 10 + 2 * (10 + 10)),
        ({"failAfter": 1}, 70),
        ({"interval": 5, "timeout": 1, "degradedMs": 500}, 5 + 1 + 2 * 6),
    ],
)
def test_the_longest_that_an_outage_stays_without_incident(fields: dict[str, Any], expected_s: float) -> None:
    """By simulation: it dies right behind a check, and every check takes its whole timeout."""
    endpoint = definition(**fields)
    assert worst_incident_delay_s(endpoint) == expected_s
    state, dead_ms = State(status="UP"), NOW_MS
    slot_ms = NOW_MS + endpoint.interval_ms
    while True:
        done_ms = slot_ms + round(endpoint.timeout * 1000)
        judged = judge(endpoint, state, DOWN, Circumstances(slot_ms, done_ms, "n1", "i1"))
        state, slot_ms = judged.state, judged.due_ms
        if judged.incident is not None:
            break
    assert (done_ms - dead_ms) / 1000 == expected_s


@given(st.integers(0, 10**13), st.integers(0, 10**7), st.integers(5, 3600))
def test_the_next_slot_is_on_the_grid_behind_the_last_and_none_is_left_out_but_when_late(
    slot_ms: int, late_ms: int, interval_s: int
) -> None:
    endpoint = definition(interval=interval_s, timeout=1, degradedMs=500)
    grid_ms = slot_ms - (slot_ms - endpoint.slot_phase_ms) % endpoint.interval_ms
    following = endpoint.slot_after(grid_ms, grid_ms + late_ms)
    assert (following - endpoint.slot_phase_ms) % endpoint.interval_ms == 0
    assert following > grid_ms
    if late_ms < 2 * endpoint.interval_ms:
        assert following == grid_ms + endpoint.interval_ms
    else:
        assert following > grid_ms + late_ms - endpoint.interval_ms


_RESULTS = st.sampled_from([UP, DOWN, SILENT, replace(UP, response_ms=9_000)])


@given(
    st.lists(st.tuples(_RESULTS, st.booleans(), st.booleans(), st.integers(1, 400)), max_size=60),
    st.integers(1, 4), st.integers(1, 3),
)  # fmt: skip
def test_whatever_comes_incidents_open_and_end_in_turns_and_statuses_follow_their_events(
    checks: list[tuple[Result, bool, bool, int]], fail_after: int, recover_after: int
) -> None:
    course, is_open, status = Course(failAfter=fail_after, recoverAfter=recover_after), False, "UNKNOWN"
    for result, maintenance, suspect, after_s in checks:
        for t in course.check(result, after_s=after_s, maintenance=maintenance, suspect=suspect):
            if t == "endpoint:status-changed":
                changed = course.event(t)
                assert changed["previousStatus"] == status != changed["currentStatus"]
                status = changed["currentStatus"]
            elif t == "incident:started":
                assert not is_open
                assert not maintenance
                assert status == "DOWN"
                is_open = True
            elif t == "incident:resolved":
                assert is_open
                assert status != "DOWN"
                is_open = False
        assert course.state.status == status
        assert (course.state.open_incident is not None) == is_open
        expected: Status = "UNKNOWN" if suspect and result is SILENT else "DOWN" if not result.ok else "UP"
        assert course.last is not None
        assert course.last.outcome == ("DEGRADED" if expected == "UP" and result.response_ms == 9_000 else expected)


def test_what_failed_during_maintenance_is_not_part_of_the_incident_behind_it() -> None:
    course = Course()
    course.check(UP)
    for _ in range(5):
        assert "incident:started" not in course.check(DOWN, after_s=3600, maintenance=True)
    behind_ms = course.now_ms + 60_000
    assert course.check(DOWN, after_s=60) == ["incident:started"]
    assert course.state.open_incident is not None
    assert course.state.open_incident.started_at == behind_ms
    course.check(DOWN)
    assert course.state.open_incident.started_at == behind_ms


def test_a_push_has_its_grace_unless_it_was_missed() -> None:
    missed, reported = Result(ok=False, reason="missed"), Result(ok=False, reason="reported")
    course = Course(kind="push", url=None, interval=60, grace=5, failAfter=2, recoverAfter=2)
    course.check(UP)
    assert course.due_in_s == 65
    course.check(reported)
    assert course.due_in_s == 65, "it may be late again"
    course.check(missed)
    assert course.due_in_s == 60, "the grace is used up"
    course.check(UP)
    assert (course.state.status, course.due_in_s) == ("DOWN", 65), "one of the two that it takes"
    course.check(UP)
    assert course.state.status == "UP"


def test_a_reopened_incident_knows_since_when_it_waits_for_somebody() -> None:
    course = Course()
    course.check(UP)
    for _ in range(3):
        course.check(DOWN)
    course.check(UP)
    assert course.state.incident is not None
    assert course.state.incident.reopened_at is None
    for _ in range(3):
        course.check(DOWN, after_s=20)
    incident = course.state.open_incident
    assert incident is not None
    assert (incident.reopened, incident.reopened_at) == (1, course.now_ms)
    who = to_json({"userId": "kim", "at": iso8601(course.now_ms + 4_000)})
    stored = StoredIncident(dump_incident(incident), who)
    assert figures([stored], 0, course.now_ms)["mtta"] == 4
