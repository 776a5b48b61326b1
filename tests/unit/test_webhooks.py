"""What webhooks are sent, how it is signed, and how often it is tried."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from pydantic import ValidationError

from c2c.monitoring.webhooks import (
    DEFAULT_EVENTS,
    GIVE_UP_S,
    RETRY_MAX_S,
    NewWebhook,
    Webhook,
    created_ms,
    deliveries_for,
    dump_webhook,
    load_webhook,
    retry_s,
    signature,
    signed_headers,
    trial,
    webhook_json,
    webhook_of,
)
from tests.receiver import documented_verify

NOW_MS = 1_767_323_045_678
HOOK = Webhook("ab12", "https://example.org/x", "s" * 64, DEFAULT_EVENTS, "2026-01-01T00:00:00.000Z", "kim")
STARTED = {"t": "incident:started", "incidentId": "i1", "endpointName": "홈페이지", "failureCount": 3}


def test_a_delivery_says_what_when_and_for_whom_in_a_body_of_its_own() -> None:
    ((delivery_id, body),) = deliveries_for([HOOK], STARTED, NOW_MS)
    assert json.loads(body) == {
        "deliveryId": delivery_id,
        "webhookId": "ab12",
        "event": "incident:started",
        "timestamp": "2026-01-02T03:04:05.678Z",
        "data": {"incidentId": "i1", "endpointName": "홈페이지", "failureCount": 3},
    }
    assert (created_ms(delivery_id), webhook_of(delivery_id)) == (NOW_MS, "ab12")
    assert HOOK.secret.encode() not in body


def test_only_webhooks_that_asked_for_the_event_are_sent_it() -> None:
    wants = replace(HOOK, webhook_id="cd34", events=("endpoint:status-changed",))
    disabled = replace(HOOK, webhook_id="ef56", disabled=True)

    def told(t: str) -> list[str]:
        return [webhook_of(id_) for id_, _ in deliveries_for([HOOK, wants, disabled], {"t": t}, NOW_MS)]

    assert told("incident:started") == ["ab12"]
    assert told("endpoint:status-changed") == ["cd34"]
    assert told("check:completed") == []


def test_the_same_event_is_the_same_delivery_and_another_one_is_another() -> None:
    other_hook = replace(HOOK, webhook_id="cd34")
    events = [(STARTED, NOW_MS), ({**STARTED, "incidentId": "i2"}, NOW_MS), (STARTED, NOW_MS + 1)]
    ids = [id_ for event, at in events for id_, _ in deliveries_for([HOOK, other_hook], event, at)]
    assert len(set(ids)) == 6
    assert [id_ for id_, _ in deliveries_for([HOOK, other_hook], STARTED, NOW_MS)] == ids[:2]
    assert [created_ms(id_) for id_ in sorted(ids)] == [NOW_MS] * 4 + [NOW_MS + 1] * 2


def test_the_signature_is_the_one_that_openssl_makes() -> None:
    # printf '1767323045.{"a":1}' | openssl dgst -sha256 -hmac 0123456789abcdef
    expected = "4c32cf781f3565724c268f18d7bc9ba04dd466529b0127d152f7e9f20a8ea5e0"
    assert signature("0123456789abcdef", 1_767_323_045, b'{"a":1}') == "v1=" + expected
    headers = signed_headers(HOOK, b"{}", 1_767_323_045)
    assert headers == {
        "C2C-Webhook-Id": "ab12",
        "C2C-Webhook-Timestamp": "1767323045",
        "C2C-Webhook-Signature": signature(HOOK.secret, 1_767_323_045, b"{}"),
    }


def test_what_the_docs_tell_receivers_to_check_is_what_is_sent() -> None:
    verify = documented_verify()
    ((_, body),) = deliveries_for([HOOK], STARTED, NOW_MS)
    headers, now_s = signed_headers(HOOK, body, 1_767_323_045), 1_767_323_045
    assert verify(HOOK.secret, headers, body, now_s)
    assert verify(HOOK.secret, headers, body, now_s + 300)
    assert not verify(HOOK.secret, headers, body, now_s + 301)
    assert not verify(HOOK.secret, headers, body, now_s - 301)
    assert not verify(HOOK.secret, headers, body + b" ", now_s)
    assert not verify("t" * 64, headers, body, now_s)
    assert not verify(HOOK.secret, {**headers, "C2C-Webhook-Timestamp": "1767323046"}, body, now_s)
    assert not verify(HOOK.secret, {**headers, "C2C-Webhook-Timestamp": "soon"}, body, now_s)
    assert not verify(HOOK.secret, {**headers, "C2C-Webhook-Timestamp": "1" * 5_000}, body, now_s)
    assert not verify(HOOK.secret, {**headers, "C2C-Webhook-Signature": "v1=\N{SNOWMAN}"}, body, now_s)
    assert not verify(HOOK.secret, {}, body, now_s)


def test_waits_double_up_to_an_hour_and_end_after_a_day() -> None:
    middle = [retry_s(attempt, 0, 10, 0.5) for attempt in range(1, 12)]
    assert middle == [10, 20, 40, 80, 160, 320, 640, 1280, 2560, RETRY_MAX_S, RETRY_MAX_S]
    assert retry_s(10**6, 0, 10, 0.5) == RETRY_MAX_S
    assert retry_s(1, 0, 0.1, 0.5) == 0.1
    assert retry_s(12, GIVE_UP_S - RETRY_MAX_S, 10, 0.5) == RETRY_MAX_S
    assert retry_s(12, GIVE_UP_S - RETRY_MAX_S + 1, 10, 0.5) is None
    assert retry_s(1, GIVE_UP_S, 10, 0.5) is None


def test_by_chance_a_wait_is_up_to_a_fifth_shorter_or_longer() -> None:
    waits = [retry_s(1, 0, 10, chance / 100) or 0 for chance in range(100)]
    assert waits == sorted(waits)
    assert waits[0] == 8
    assert 11.9 < waits[-1] < 12


def test_at_the_defaults_a_dead_receiver_is_tried_about_thirty_times() -> None:
    age_s, attempts = 0.0, 1
    while (wait_s := retry_s(attempts, age_s, 10, 0.5)) is not None:
        age_s += wait_s
        attempts += 1
    assert attempts == 32
    assert GIVE_UP_S - RETRY_MAX_S < age_s <= GIVE_UP_S


def test_a_trial_tells_of_nothing() -> None:
    delivery_id, body = trial(HOOK, NOW_MS)
    told = json.loads(body)
    assert (told["deliveryId"], told["event"], told["data"]) == (delivery_id, "webhook:test", {})


def test_a_webhook_is_kept_with_its_secret_and_shown_without() -> None:
    assert load_webhook(dump_webhook(HOOK)) == HOOK
    assert dump_webhook(load_webhook(dump_webhook(HOOK))) == dump_webhook(HOOK)
    assert webhook_json(HOOK)["secret"] == "•••"
    assert HOOK.secret not in json.dumps(webhook_json(HOOK))


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"url": ""},
        {"url": "https://example.org/" + "x" * 2048},
        {"url": "https://example.org/", "events": []},
        {"url": "https://example.org/", "events": ["check:completed"]},
        {"url": "https://example.org/", "events": "incident:started"},
        {"url": "https://example.org/", "secret": "mine"},
    ],
)
def test_what_is_no_webhook_is_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        NewWebhook.model_validate(fields, strict=True)


def test_a_new_webhook_hears_of_incidents_unless_it_says_of_what() -> None:
    url = "https://example.org/"
    assert NewWebhook.model_validate({"url": url}, strict=True).events == list(DEFAULT_EVENTS)
    twice = {"url": url, "events": ["checker:suspect", "checker:suspect"]}
    assert NewWebhook.model_validate(twice, strict=True).events == ["checker:suspect"]
