"""The catalogue of sentences, and who hears which."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from c2c import errors
from c2c.errors import BadValue, C2CError, RateLimited
from c2c.messages import ERROR_MESSAGES, choose_language, error_answer, error_message


def _all_errors(error: type[C2CError] = C2CError) -> Iterator[type[C2CError]]:
    yield error
    for child in error.__subclasses__():
        yield from _all_errors(child)


def test_every_code_has_a_sentence_in_every_language_and_no_other_has() -> None:
    assert set(ERROR_MESSAGES) == {error.code for error in _all_errors()}
    for sentences in ERROR_MESSAGES.values():
        assert sentences.keys() == {"en", "ko"}
        assert all(sentences.values())
        assert any("가" <= character <= "힣" for character in sentences["ko"])
        assert sentences["en"].isascii()


def test_errors_of_one_code_are_one_branch_of_the_tree() -> None:
    """A code means one thing; its statuses differ only within its branch."""
    assert errors.__doc__ is not None
    for error in _all_errors():
        assert error.__name__ in errors.__doc__ or error in (C2CError, errors.UnsupportedMedia, errors.MethodNotAllowed)
        assert 400 <= error.http_status < 600
        assert error.retryable is (
            error.code in ("RATE_LIMITED", "SERVICE_UNAVAILABLE", "INTERNAL") and error != C2CError
        )


def test_an_error_frame_has_what_the_contract_says() -> None:
    assert error_answer(BadValue(field="x", reason="y"), "en") == {
        "t": "error", "code": "BAD_VALUE", "message": "A value is not allowed.", "retryable": False, "field": "x",
        "reason": "y",
    }  # fmt: skip
    limited = error_answer(RateLimited(retryAfterMs=7), "ko")
    assert (limited["retryable"], limited["retryAfterMs"]) == (True, 7)
    assert limited["message"] == error_message("RATE_LIMITED", "ko")


def test_only_whole_milliseconds_are_a_time_to_wait() -> None:
    assert RateLimited(retryAfterMs=7).retry_after_ms == 7
    assert RateLimited().retry_after_ms is None
    assert RateLimited(retryAfterMs="7").retry_after_ms is None


@pytest.mark.parametrize(
    ("query", "header", "language"),
    [
        (None, None, "en"),
        (None, "", "en"),
        (None, "ko", "ko"),
        (None, "KO-kr", "ko"),
        (None, "ko-KR,ko;q=0.9,en-US;q=0.8,en;q=0.7", "ko"),
        (None, "en-US,en;q=0.9,ko;q=0.8", "en"),
        (None, "en;q=0.5,ko;q=0.6", "ko"),
        (None, "en;q=0.5 , ko;q=0.6", "ko"),
        (None, "en;q=0.5,ko ; q=0.6", "ko"),
        (None, "en;q=0.5,ko;Q=0.1", "en"),
        (None, "ko;q=0", "en"),
        (None, "ko;q=0.000,en;q=0", "en"),
        (None, "ko;q=x", "en"),
        (None, "ko;q=nan", "en"),
        (None, "*", "en"),
        (None, "fr, de;q=0.9, ko;q=0.001", "ko"),
        (None, "kok", "en"),
        (None, ",,;,;q=,ko", "ko"),
        ("ko", "en", "ko"),
        ("en", "ko", "en"),
        ("KO", "en", "en"),
        ("de", "ko", "ko"),
        ("", "ko", "ko"),
    ],
)
def test_the_language_is_the_one_asked_for(query: str | None, header: str | None, language: str) -> None:
    assert choose_language(query, header) == language


@settings(deadline=None)
@given(st.none() | st.text(max_size=5), st.none() | st.text(alphabet="koen-;,q=0.91 *\x00é", max_size=40))
def test_whatever_is_asked_for_some_language_is_spoken(query: str | None, header: str | None) -> None:
    assert choose_language(query, header) in ("en", "ko")
