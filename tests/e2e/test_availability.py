"""The main job for one SLO: executions fail, the right people are told, in full, and once."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.e2e.harness import (
    MINUTE,
    Stack,
    assert_says,
    execution,
    key_time,
    routing_key,
    title_of,
    wait_for,
)
from tests.e2e.load import is_counted

pytestmark = pytest.mark.kafka

BEGIN = 1_785_578_400.0  # 2026-08-01T10:00:00Z: the clock is held, so any moment will do
KEY = f"availability-{key_time(BEGIN)}"
PAGE = f"{KEY}/P1/1"


@pytest.fixture
async def stack(kafka: str, prefix: str, tmp_path: Path) -> AsyncIterator[Stack]:
    async with Stack(kafka, prefix, tmp_path, held_at=BEGIN) as made:
        await made.worker().start()
        yield made


async def open_outage(stack: Stack) -> None:
    """60 executions succeed, then 12 fail: a breach."""
    await stack.produce([execution(BEGIN - 60 - n, agent="agent-2") for n in range(60)])
    await stack.judged()
    failed = [execution(BEGIN - 10 - n, good=False, error="no <disk> & no hope") for n in range(12)]
    await stack.produce(failed, partition=3)
    await stack.told_so("headless-alerts", "P1 availability: breach")
    await wait_for(stack.triggers, "paged")


async def test_an_outage_is_paged_escalated_and_resolved(stack: Stack) -> None:
    await open_outage(stack)
    message = stack.told("headless-alerts")[0]
    assert_says(
        message,
        "🔴 P1 availability: breach",
        "@backend-team Availability: 83.3 % of 72 good in the last hour (limit 99 %).",
        "• *Breach* (P1): 83.3 % of 72 executions in the last hour succeeded; the limit is 99.0 %.",
        "95.4 % left, gone in 5 d 3 h at this rate (estimated)",
        "99.5 %",
        "@backend-team",
        "@platform-lead is paged at 10:30 UTC, in 30 min (P1 unresolved for 30 min)",
        "*Agents* (bad of all): `agent-1` 12 of 12",
        "*CLI types* (bad of all): `claude` 12 of 72",
        "*Errors* (bad of all): `no &lt;disk&gt; &amp; no hope` 12 of 12",
        "• 2026-08-01 09:59:50 UTC `agent-1` claude: `no &lt;disk&gt; &amp; no hope` · 1.0 s · "
        f"{stack.prefix}kokino.events[3]@0",
        f"<http://status.test/runbooks/availability?incident={KEY}|Runbook> · "
        f"<http://status.test/incidents/{KEY}|Incident> · <http://status.test/|Status>",
    )
    event = stack.pagerduty.bodies[0]
    details = event["payload"]["custom_details"]
    assert event["routing_key"] == routing_key("backend-team")
    assert (event["event_action"], event["dedup_key"]) == ("trigger", PAGE)
    assert event["payload"]["severity"] == "critical"
    assert event["payload"]["component"] == "availability"
    assert event["payload"]["class"] == "breach"
    assert event["payload"]["summary"].startswith("P1 availability: breach. Availability: 83.3 %")
    assert {
        "by": "error",
        "name": "no <disk> & no hope",
        "bad": 12,
        "total": 12,
        "mean": None,
    } in details["contributors_data"]
    assert (details["examples_data"][0]["partition"], details["examples_data"][0]["offset"]) == (
        3,
        0,
    )
    assert [link["href"].partition("?")[0] for link in event["links"]] == [
        "http://status.test/runbooks/availability",
        f"http://status.test/incidents/{KEY}",
        "http://status.test/",
    ]

    # more fail: a second rule is an update, not a second page
    await stack.at(BEGIN + 20 * MINUTE)
    more = [execution(BEGIN + 19 * MINUTE + n, good=False) for n in range(30)]
    await stack.produce(more, partition=2)
    update = await stack.told_so("headless-alerts", "P1 availability: update")
    assert "Fast-burn fires as well." in str(update)

    # the escalation: nothing a second before its time, then one page to the platform lead
    await stack.at(BEGIN + 30 * MINUTE - 1)
    assert stack.paged("platform-lead") == []
    await stack.at(BEGIN + 30 * MINUTE)
    escalated = await stack.told_so("headless-alerts", "escalated to @platform-lead")
    assert_says(escalated, f"{KEY} · 2026-08-01 10:30:00 UTC")
    await wait_for(lambda: stack.paged("platform-lead"), "the platform lead is paged")
    await stack.at(BEGIN + 50 * MINUTE)
    assert stack.paged("platform-lead") == [("trigger", PAGE)]
    assert stack.paged("backend-team") == [("trigger", PAGE)]
    (incident,) = await stack.incidents()
    assert [(s["to"], s["dueAt"], s["doneAt"]) for s in incident["escalation"]] == [
        ("@platform-lead", "2026-08-01T10:30:00.000Z", "2026-08-01T10:30:00.000Z")
    ]

    # the hour passes, executions succeed: resolved after five minutes, at both pagers
    await stack.at(BEGIN + 85 * MINUTE)
    await stack.produce([execution(BEGIN + 84 * MINUTE) for _ in range(10)])
    resolved = await stack.told_so("headless-alerts", "Resolved: availability")
    assert "Why it ended: recovered." in str(resolved)
    for owner in ("backend-team", "platform-lead"):
        await wait_for(lambda o=owner: ("resolve", PAGE) in stack.paged(o), f"{owner} resolved")
    assert stack.pagerduty.open == {}
    assert stack.pagerduty.opened == 2
    assert [title_of(m).split(" ", 1)[1] for m in stack.told("headless-alerts")] == [
        "P1 availability: breach",
        "P1 availability: update",
        "P1 availability: escalated to @platform-lead",
        "Resolved: availability after 1 h 25 min",
    ]
    (incident,) = await stack.incidents()
    assert (incident["key"], incident["state"]) == (KEY, "resolved")


async def test_a_killed_worker_pages_once_and_escalates_late_but_once(stack: Stack) -> None:
    worker = stack.workers[0]
    await open_outage(stack)
    await stack.at(BEGIN + 15 * MINUTE)
    await worker.kill()
    still = [execution(BEGIN + 39 * MINUTE + n, good=False) for n in range(5)]
    await stack.produce(still, partition=1, kafka_s=BEGIN + 40 * MINUTE)
    stack.set_clock(BEGIN + 40 * MINUTE)
    stack.expected_read = 5  # what the new process reads at least
    await worker.start()
    escalated = await stack.told_so("headless-alerts", "escalated to @platform-lead")
    assert "comes late" in str(escalated)
    assert_says(escalated, f"{KEY} · 2026-08-01 10:40:00 UTC · late by 10 min")
    await wait_for(lambda: stack.paged("platform-lead"), "the platform lead is paged")
    await stack.at(BEGIN + 41 * MINUTE)
    await is_counted(stack)
    assert stack.paged() == [("trigger", PAGE), ("trigger", PAGE)]
    assert stack.paged("platform-lead") == [("trigger", PAGE)]
    assert len(stack.told("headless-alerts")) == 2
    assert [i["key"] for i in await stack.incidents()] == [KEY]


async def test_a_worker_killed_before_it_escalates_is_on_time(stack: Stack) -> None:
    worker = stack.workers[0]
    await open_outage(stack)
    await stack.produce([execution(BEGIN + 4 * MINUTE, good=False)])
    await stack.at(BEGIN + 29 * MINUTE)
    await worker.kill()
    stack.expected_read = 1
    await worker.start()
    await stack.judged()
    assert stack.paged("platform-lead") == []
    await stack.at(BEGIN + 30 * MINUTE)
    await wait_for(lambda: stack.paged("platform-lead"), "the platform lead is paged")
    assert "late by" not in str(stack.told("headless-alerts"))
    assert stack.paged() == [("trigger", PAGE), ("trigger", PAGE)]


async def test_resolved_ten_seconds_before_its_time_nobody_is_ever_escalated_to(
    stack: Stack,
) -> None:
    await open_outage(stack)
    await stack.at(BEGIN + 24 * MINUTE + 50)
    good = [execution(stack.now - n % 10) for n in range(2000)]
    await stack.produce(good[:1000])
    await stack.produce(good[1000:])
    await stack.judged()
    await stack.at(BEGIN + 29 * MINUTE + 40)
    assert [i["state"] for i in await stack.incidents()] == ["firing"]
    await stack.at(BEGIN + 29 * MINUTE + 50)
    await stack.told_so("headless-alerts", "Resolved: availability after 29 min")
    for minute in (30, 31, 45, 90):
        await stack.at(BEGIN + minute * MINUTE)
    assert stack.paged("platform-lead") == []
    assert stack.paged() == [("trigger", PAGE), ("resolve", PAGE)]
