"""Slack by a bot: one message for each incident, kept up to date, with a thread."""

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.core.notices import Notice
from app.delivery import threads
from app.delivery.drafts import Draft
from app.delivery.wording import Wording
from tests.delivery.samples import ADDRESSES, KEY, TRIGGER, notice, told
from tests.delivery.test_slack import HOSTILE, NOTICES
from tests.servers import fault_of_slack_message

WORDING = Wording()
RESOLVED = told("resolve", story_reason="recovered")


def call(draft: Draft, *, buttons: bool = True) -> tuple[str, dict[str, Any]]:
    method, body = threads.call(draft, WORDING, ADDRESSES, buttons=buttons)
    assert fault_of_slack_message(body) == ""
    return method, body


def blocks(body: dict[str, Any]) -> list[dict[str, Any]]:
    [attachment] = body["attachments"]
    return list(attachment["blocks"])


def pressed(body: dict[str, Any]) -> list[tuple[str, str]]:
    found = [block["elements"] for block in blocks(body) if block["type"] == "actions"]
    return [(one["action_id"], one["value"]) for elements in found for one in elements]


def test_the_first_message_is_coloured_and_has_buttons_for_its_incident() -> None:
    method, body = call(Draft(notice=TRIGGER))
    assert (method, body["channel"]) == ("chat.postMessage", "#headless-alerts")
    assert body["attachments"][0]["color"] == "#cf222e"
    assert body["text"].split("\n") == [
        "*🔴 P1 availability: breach, fast burn*",
        "<!subteam^S0BACKEND> Availability: 97.2 % of 412 good in the last hour (limit 99 %).",
    ]
    assert pressed(body) == [("ack", KEY), ("silence", KEY)]
    assert "thread_ts" not in body


def test_without_a_signing_secret_there_are_no_buttons() -> None:
    assert pressed(call(Draft(notice=TRIGGER), buttons=False)[1]) == []


@pytest.mark.parametrize(
    ("kind", "broadcast"),
    [
        ("trigger", True),  # it fires again
        ("update", False),
        ("downgrade", False),
        ("escalate", True),
        ("reminder", True),
        ("ack", False),
        ("resolve", False),
    ],
)
def test_news_answer_in_the_thread_and_what_calls_people_is_broadcast(
    kind: str, *, broadcast: bool
) -> None:
    method, body = call(Draft(notice=told(kind), channel="C1", thread="1.2"))
    assert method == "chat.postMessage"
    whereto = (body["channel"], body["thread_ts"], body["reply_broadcast"])
    assert whereto == ("C1", "1.2", broadcast)


def test_a_resolve_turns_the_message_green_and_takes_the_buttons_away() -> None:
    draft = Draft(notice=RESOLVED, channel="C1", ts="1.2", evidence=TRIGGER)
    method, body = call(draft)
    assert (method, body["channel"], body["ts"]) == ("chat.update", "C1", "1.2")
    assert body["attachments"][0]["color"] == "#1a7f37"
    assert body["text"].startswith("*🟢 Resolved: availability after 42 min*")
    assert pressed(body) == []
    assert "API key expired" in str(body), "its evidence stays"


def test_an_acknowledged_incident_says_by_whom_and_can_still_be_silenced() -> None:
    by = "acknowledged by <ann> (slack)"
    body = call(Draft(notice=told("ack"), channel="C1", ts="1.2", acknowledged=by))[1]
    assert body["attachments"][0]["color"] == threads.ACKNOWLEDGED
    assert "acknowledged by &lt;ann&gt; (slack)" in blocks(body)[-1]["elements"][0]["text"]
    assert pressed(body) == [("silence", KEY)]


def test_a_freeze_has_its_own_colour_and_no_buttons() -> None:
    frozen = told("freeze", incident="availability-freeze-20261013T140500Z")
    body = call(Draft(notice=frozen))[1]
    assert (body["attachments"][0]["color"], pressed(body)) == ("#54aeff", [])


def test_refused_blocks_go_as_text_alone_and_clear_what_was_there() -> None:
    body = call(Draft(notice=TRIGGER, channel="C1", ts="1.2", text_alone=True))[1]
    assert body["attachments"] == []
    assert "Availability: 97.2 %" in body["text"]


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(notice=NOTICES, step=st.sampled_from(["post", "answer", "change"]))
def test_whatever_the_notice_says_the_message_is_valid(notice: Notice, step: str) -> None:
    draft = Draft(
        notice=notice,
        channel="C1",
        ts="1.2" if step == "change" else "",
        thread="1.2" if step == "answer" else "",
        evidence=notice,
        acknowledged=notice.story.reason,
    )
    call(draft)


@pytest.mark.parametrize("name", HOSTILE)
def test_a_group_of_hostile_notices_is_valid(name: str) -> None:
    grouped = tuple(
        notice(1, incident=f"{name}{number}", slo=name, rules=(name,)) for number in range(60)
    )
    body = call(Draft(notice=told("group"), grouped=grouped))[1]
    assert "60 notices in one message" in body["text"]
