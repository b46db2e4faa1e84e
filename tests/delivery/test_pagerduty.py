"""Events v2 bodies."""

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from msgspec.structs import replace

from app.core.notices import Notice
from app.delivery import pagerduty
from app.delivery.specimen import trial
from app.delivery.wording import Wording
from tests.delivery.samples import ADDRESSES, KEY, PAGE, PAGER, told
from tests.delivery.test_slack import HOSTILE, NOTICES
from tests.servers import MOST_EVENT_BYTES, fault_of_event

ROUTING_KEY = "0123456789abcdef0123456789abcdef"


def paged(kind: str = "trigger", **changes: object) -> Notice:
    at = "2026-10-13 14:05:00"
    given = {"destination": PAGER, "page": True, "dedup_key": f"{KEY}/P1/1"} | changes
    return told(kind, at, **given)


def event(notice: Notice) -> dict[str, Any] | None:
    body = pagerduty.event(notice, Wording(), ADDRESSES)
    if body is not None:
        assert fault_of_event({"routing_key": ROUTING_KEY, **body}) == ""
    return body


def test_a_trigger() -> None:
    body = event(paged())
    assert body is not None
    details = body["payload"].pop("custom_details")
    assert body == {
        "event_action": "trigger",
        "dedup_key": f"{KEY}/P1/1",
        "payload": {
            "summary": "P1 availability: breach, fast burn. Availability: 97.2 % of 412 good in "
            "the last hour (limit 99 %)",
            "source": "kokino",
            "severity": "critical",
            "component": "availability",
            "group": "slo",
            "class": "breach, fast-burn",
            "timestamp": "2026-10-13T14:05:00.000+00:00",
        },
        "client": "burn-rate alerter",
        "client_url": f"{PAGE}/incidents/{KEY}",
        "links": [
            {"href": f"{PAGE}/runbooks/availability?incident={KEY}", "text": "Runbook"},
            {"href": f"{PAGE}/incidents/{KEY}", "text": "Incident"},
            {"href": f"{PAGE}/", "text": "Status"},
        ],
    }
    assert details["findings"].startswith("• Breach (P1): 97.2 % of 412 executions in the last")
    assert details["findings_data"][0]["value"] == 0.972
    assert details["contributors_data"][0] == {
        "by": "agent_id", "name": "coder-7", "bad": 9, "total": 40, "mean": None,
    }  # fmt: skip
    assert details["examples_data"][0]["offset"] == 88121


@pytest.mark.parametrize(
    ("kind", "page", "action"),
    [
        ("trigger", True, "trigger"),
        ("trigger", False, None),
        ("escalate", True, "trigger"),
        ("update", True, "trigger"),
        ("update", False, None),
        ("reminder", False, None),
        ("downgrade", False, "resolve"),
        ("resolve", False, "resolve"),
        ("ack", False, "acknowledge"),
        ("freeze", False, None),
        ("unfreeze", False, None),
    ],
)
def test_what_each_kind_sends(kind: str, *, page: bool, action: str | None) -> None:
    body = event(paged(kind, page=page))
    assert (body and body["event_action"]) == action
    if action not in (None, "trigger"):
        assert body == {"event_action": action, "dedup_key": f"{KEY}/P1/1"}


def test_a_p2_that_pages_is_an_error() -> None:
    body = event(paged(severity="P2"))
    assert body is not None
    assert body["payload"]["severity"] == "error"


def test_a_test_says_that_it_is_one() -> None:
    body = event(trial(PAGER, 1000))
    assert body is not None
    assert (body["payload"]["severity"], body["payload"]["summary"]) == (
        "info",
        "Test message for @backend-team in PagerDuty",
    )


def test_the_routing_key_is_added_last() -> None:
    assert pagerduty.keyed({"event_action": "resolve", "dedup_key": "k"}, "s") == (
        b'{"routing_key":"s","event_action":"resolve","dedup_key":"k"}'
    )


def test_long_dedup_keys_stay_apart() -> None:
    keys = {pagerduty.dedup_key(paged(dedup_key="k" * 300 + end)) for end in "ab"}
    assert len(keys) == 2
    assert all(len(key) <= 255 for key in keys)


@pytest.mark.parametrize("name", HOSTILE, ids=lambda name: repr(name[:12]))
def test_hostile_names_keep_an_event_valid_and_small(name: str) -> None:
    notice = paged(slo=name, incident=name, rules=(name,) * 9, dedup_key="", story_headline=name)
    notice = replace(notice, story=replace(notice.story, conversations=(name,) * 10_000))
    body = event(notice)
    assert body is not None
    assert len(pagerduty.keyed(body, ROUTING_KEY)) < MOST_EVENT_BYTES


@settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
@given(notice=NOTICES)
def test_whatever_the_notice_says_the_event_is_valid(notice: Notice) -> None:
    body = event(notice)
    if body is not None:
        assert len(pagerduty.keyed(body, ROUTING_KEY)) < MOST_EVENT_BYTES
