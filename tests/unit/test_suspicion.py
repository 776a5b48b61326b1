"""When a checker has to doubt itself."""

from __future__ import annotations

from c2c.monitoring.results import Result
from c2c.monitoring.suspicion import BELIEVED_S, KEPT_S, Suspicion

UP = Result(ok=True, response_ms=5, status_code=200)
SILENT = Result(ok=False, reason="timeout", error="no answer")
ERROR = Result(ok=False, reason="status", status_code=503, error="503")


def watching(hosts: int) -> Suspicion:
    """A checker to which so many hosts have answered."""
    suspicion = Suspicion()
    for number in range(hosts):
        suspicion.note(f"h{number}", UP, True, 0.0)
    return suspicion


def fall_silent(suspicion: Suspicion, *hosts: int, result: Result = SILENT, at_s: float = 10.0) -> Suspicion:
    for number in hosts:
        suspicion.note(f"h{number}", result, True, at_s + number / 100)
    return suspicion


def test_hosts_that_fall_silent_one_after_the_other_with_no_answer_between_are_suspect_from_the_third_on() -> None:
    suspicion = fall_silent(watching(100), 0, 1)
    assert not suspicion.suspect
    assert suspicion.note("h2", SILENT, True, 10.5)
    assert suspicion.suspect
    assert (suspicion.failing, suspicion.checked) == (3, 3)


def test_answers_since_the_first_fell_silent_speak_for_the_checker() -> None:
    suspicion = fall_silent(watching(100), 0, 1)
    for number in range(50, 54):
        suspicion.note(f"h{number}", UP, True, 10.6)
    assert not fall_silent(suspicion, 2, 3, at_s=11).suspect
    assert fall_silent(suspicion, 4, at_s=12).suspect, "five are silent, and four have answered"


def test_it_is_over_as_soon_as_as_many_answer() -> None:
    suspicion = fall_silent(watching(100), 0, 1, 2)
    assert not suspicion.note("h50", UP, True, 12.0)
    assert not suspicion.note("h51", UP, True, 12.1)
    assert suspicion.note("h52", UP, True, 12.2)
    assert not suspicion.suspect


def test_few_hosts_prove_nothing() -> None:
    assert not fall_silent(watching(3), 0, 1, 2).suspect


def test_pages_that_answer_with_errors_prove_that_the_network_works() -> None:
    assert not fall_silent(watching(10), *range(10), result=ERROR).suspect


def test_one_dead_host_counts_once_however_many_endpoints_it_has() -> None:
    assert not fall_silent(watching(10), *[0] * 20).suspect


def test_what_was_dead_already_says_nothing() -> None:
    suspicion = watching(4)
    for number in range(10, 30):
        suspicion.note(f"h{number}", SILENT, False, 10.0)
    assert not suspicion.suspect


def test_a_host_that_died_long_ago_does_not_make_answers_of_long_ago_count() -> None:
    suspicion = fall_silent(watching(20), 19, at_s=1.0)
    for number in range(19):
        suspicion.note(f"h{number}", UP, True, 300.0)
    assert fall_silent(suspicion, 0, 1, 2, at_s=330.0).suspect


def test_a_failure_that_another_node_saw_first_counts_too() -> None:
    suspicion = watching(10)
    for number in range(3):
        suspicion.note(f"h{number}", SILENT, False, 10.0)
    assert suspicion.suspect


def test_hosts_that_come_back_end_it_and_so_does_time() -> None:
    suspicion = fall_silent(watching(10), 0, 1, 2)
    assert suspicion.note("h0", UP, True, 20.0)
    assert not suspicion.suspect
    again = fall_silent(watching(10), 0, 1, 2)
    assert again.note("h9", UP, True, 11 + KEPT_S)
    assert not again.suspect


def test_while_others_answer_who_is_silent_for_long_is_believed_to_be_dead() -> None:
    """Three of five have died for good: that is an outage, and somebody has to be told."""
    suspicion = fall_silent(watching(5), 0, 1, 2)
    assert suspicion.suspect
    for at_s in range(20, 10 + int(BELIEVED_S), 10):
        fall_silent(suspicion, 0, 1, 2, at_s=at_s)
        fall_silent(suspicion, 3, 4, result=UP, at_s=at_s)
        assert suspicion.suspect, at_s
    fall_silent(suspicion, 3, 4, result=UP, at_s=11 + BELIEVED_S)
    assert not suspicion.suspect
    assert not fall_silent(suspicion, 0, 1, 2, at_s=20 + BELIEVED_S).suspect


def test_without_any_answer_it_goes_on() -> None:
    suspicion = watching(5)
    for at_s in range(10, 1200, 10):
        assert fall_silent(suspicion, 0, 1, 2, 3, 4, at_s=at_s).suspect or at_s == 10
