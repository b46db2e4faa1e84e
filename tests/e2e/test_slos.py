"""The other SLOs and every rule, each from its events to the messages that people get."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.e2e.harness import (
    DAY,
    HOUR,
    MINUTE,
    Stack,
    assert_says,
    comparison,
    execution,
    integrity,
    iso,
    key_time,
    title_of,
    wait_for,
)

pytestmark = pytest.mark.kafka

BEGIN = 1_785_578_400.0  # 2026-08-01T10:00:00Z


@pytest.fixture
async def stack(kafka: str, prefix: str, tmp_path: Path) -> AsyncIterator[Stack]:
    async with Stack(kafka, prefix, tmp_path, held_at=BEGIN) as made:
        await made.worker().start()
        yield made


def titles(stack: Stack, channel: str) -> list[str]:
    """The headlines of a channel without their emoji."""
    return [title_of(message).split(" ", 1)[1] for message in stack.told(channel)]


async def test_slow_executions_are_told_and_after_an_hour_the_leads(stack: Stack) -> None:
    quick = [execution(BEGIN - 100 - n, agent="quick") for n in range(15)]
    slow = [
        execution(BEGIN - 5 - n, duration_ms=90_000, agent="slow", cli="codex") for n in range(5)
    ]
    await stack.produce([*quick, *slow], partition=2)
    key = f"latency-{key_time(BEGIN)}"
    message = await stack.told_so("headless-alerts", "P2 latency: breach")
    assert_says(
        message,
        "• *Breach* (P2): 25.0 % of 20 executions in the last 5 minutes took longer than 60 s; "
        "the limit is 5.0 %.",
        "90.0 %",
        "*CLI types* (bad of all): `codex` 5 of 5, mean 90.0 s",
        f"• 2026-08-01 09:59:55 UTC `slow` codex · 90.0 s · {stack.prefix}kokino.events[2]@15",
    )
    assert f"/runbooks/latency?incident={key}|Runbook>" in str(message)

    late = [
        execution(BEGIN + 59 * MINUTE + 30 + n, duration_ms=90_000, agent="slow") for n in range(5)
    ]
    stack.set_clock(BEGIN + HOUR - 20)
    await stack.produce(late, partition=1)
    await stack.at(BEGIN + HOUR - 1)
    assert titles(stack, "headless-alerts") == ["P2 latency: breach"]
    await stack.at(BEGIN + HOUR)
    escalated = await stack.told_so("headless-alerts", "escalated to")
    assert "P2 latency: escalated to @backend-team-lead, @platform-lead" in title_of(escalated)
    assert "@backend-team-lead @platform-lead " in str(escalated)

    await stack.at(BEGIN + HOUR + 10 * MINUTE)
    await stack.produce([execution(BEGIN + HOUR + 9 * MINUTE) for _ in range(10)])
    await stack.told_so("headless-alerts", "Resolved: latency")
    await stack.judged()
    assert len(stack.told("headless-alerts")) == 3
    assert stack.paged() == []  # a P2 wakes nobody
    assert [(i["key"], i["state"]) for i in await stack.incidents()] == [(key, "resolved")]


async def test_mismatches_are_told_and_more_than_fifty_go_to_the_lead(stack: Stack) -> None:
    matches = [comparison(BEGIN - 60 - n, good=True) for n in range(60)]
    differ = [comparison(BEGIN - 10 - n, good=False, ticket=f"T-{n}") for n in range(20)]
    await stack.produce([*matches, *differ])
    key = f"correctness-{key_time(BEGIN)}"
    message = await stack.told_so("shadow-mode-alerts", "P2 correctness: breach")
    assert_says(
        message,
        "• *Breach* (P2): 75.0 % of 80 comparisons in the last 24 hours matched; "
        "the limit is 90.0 %.",
        "@qa-team",
        "95.0 %",
    )
    assert "ticket T-0" in str(message)

    await stack.at(BEGIN + 5 * MINUTE)
    await stack.produce([comparison(BEGIN + 4 * MINUTE + n, good=False) for n in range(30)])
    await stack.judged()
    assert titles(stack, "shadow-mode-alerts") == ["P2 correctness: breach"]  # 50: not more yet
    await stack.produce([comparison(BEGIN + 5 * MINUTE, good=False)])
    await stack.told_so("shadow-mode-alerts", "P2 correctness: escalated to @qa-lead")

    await stack.at(BEGIN + DAY + 6 * MINUTE)
    await stack.told_so("shadow-mode-alerts", "P2 correctness: still open")
    await stack.produce([comparison(BEGIN + DAY + 6 * MINUTE, good=True) for _ in range(5)])
    await stack.told_so("shadow-mode-alerts", "Resolved: correctness")
    await stack.judged()
    assert len(stack.told("shadow-mode-alerts")) == 4
    assert stack.paged() == []
    assert [(i["key"], i["state"]) for i in await stack.incidents()] == [(key, "resolved")]


async def test_a_failing_conversation_pages_the_team_and_its_lead_at_once(stack: Stack) -> None:
    await stack.produce([integrity(BEGIN - 5, "conv-1")], partition=3)
    key = f"data-integrity-{key_time(BEGIN)}"
    page = f"{key}/P1/1"
    message = await stack.told_so("critical-alerts", "P1 data-integrity: breach")
    assert_says(message, "*Conversations* (1): `conv-1`", "100.0 %", "@data-team")
    assert f"missing_turn · conversation `conv-1` · {stack.prefix}kokino.events[3]@0" in str(
        message
    )
    await stack.told_so("critical-alerts", "P1 data-integrity: escalated to @data-lead")
    for owner in ("data-team", "data-lead"):
        await wait_for(lambda o=owner: stack.paged(o) == [("trigger", page)], f"{owner} is paged")

    # another one is an update, the same one again no news; one of yesterday pages nobody
    await stack.at(BEGIN + MINUTE)
    await stack.produce([integrity(BEGIN + 50, "conv-2"), integrity(BEGIN + 51, "conv-1")])
    update = await stack.told_so("critical-alerts", "P1 data-integrity: update")
    assert "conv-2" in str(update)
    await stack.produce([integrity(BEGIN - DAY - MINUTE, "conv-old")])
    await stack.produce([integrity(BEGIN + 52, "conv-2")])
    await stack.judged()
    assert len(stack.told("critical-alerts")) == 3
    assert (await stack.api("/api/slo/gate"))["slos"] == ["data-integrity"]

    await stack.produce([integrity(BEGIN + 58, name, good=True) for name in ("conv-1", "conv-2")])
    await stack.told_so("critical-alerts", "Resolved: data-integrity")
    for owner in ("data-team", "data-lead"):
        await wait_for(lambda o=owner: ("resolve", page) in stack.paged(o), f"{owner} resolved")
    await stack.judged()
    assert len(stack.paged()) == 4
    assert len(stack.told("critical-alerts")) == 4


async def test_memory_that_still_grows_after_an_hour_goes_to_the_lead(stack: Stack) -> None:
    await stack.produce([execution(BEGIN - 5 - n, memory_mb=2000) for n in range(10)])
    key = f"resource-efficiency-{key_time(BEGIN)}"
    message = await stack.told_so("ops-alerts", "P2 resource-efficiency: breach")
    assert_says(
        message,
        "• *Breach* (P2): 2,000 MB on average over 10 executions in the last hour; "
        "the limit is 1,024 MB.",
        "@ops-team",
    )

    for at_min, memory_mb in ((20, 1500), (50, 1600)):  # grows by 7 %: not enough
        stack.set_clock(BEGIN + at_min * MINUTE)
        await stack.produce(
            [execution(BEGIN + at_min * MINUTE, memory_mb=memory_mb) for _ in range(6)]
        )
    await stack.at(BEGIN + HOUR + 10)
    assert titles(stack, "ops-alerts") == ["P2 resource-efficiency: breach"]
    stack.set_clock(BEGIN + HOUR + MINUTE)
    await stack.produce([execution(BEGIN + HOUR + 50, memory_mb=2500) for _ in range(6)])
    await stack.told_so("ops-alerts", "P2 resource-efficiency: escalated to @ops-lead")

    await stack.at(BEGIN + 2 * HOUR + 10 * MINUTE)
    await stack.produce([execution(BEGIN + 2 * HOUR + 9 * MINUTE, memory_mb=300) for _ in range(5)])
    await stack.told_so("ops-alerts", "Resolved: resource-efficiency")
    await stack.judged()
    assert len(stack.told("ops-alerts")) == 3
    assert stack.paged() == []
    assert [(i["key"], i["state"]) for i in await stack.incidents()] == [(key, "resolved")]


def month(good: int) -> list[dict]:
    """So many good executions, evenly over the 30 days before BEGIN."""
    return [execution(BEGIN - 30 * DAY + n * 30 * DAY / good) for n in range(good)]


async def test_budgets_burn_slowly_and_fast_freeze_and_come_back(stack: Stack) -> None:
    await stack.produce(month(3000))  # 15 may fail
    await stack.judged()
    assert stack.told("headless-alerts") == []

    # half of the budget within seven days, none of it now
    failed = [execution(BEGIN - 2 * DAY - n * HOUR, good=False) for n in range(8)]
    await stack.produce(failed, partition=1)
    slow = await stack.told_so("headless-alerts", "P2 availability: slow burn")
    assert "went in the last 7 days (8 bad of" in str(slow)
    assert "/runbooks/slow-burn?incident=availability-slow-burn-" in str(slow)
    await stack.judged()
    assert stack.paged() == []

    # more than a tenth of it within the hour, though the hour is 99 % good
    await stack.produce([execution(BEGIN - 30, agent="busy") for _ in range(400)])
    await stack.judged()
    await stack.produce([execution(BEGIN - 20 + n, good=False) for n in range(3)], partition=2)
    fast = await stack.told_so("headless-alerts", "P1 availability: fast burn")
    assert_says(fast, "@platform-lead is paged at 10:30 UTC, in 30 min (P1 unresolved for 30 min)")
    page = f"availability-{key_time(BEGIN)}/P1/1"
    await wait_for(lambda: stack.paged("backend-team") == [("trigger", page)], "paged")

    # all of it: a freeze, which is told and wakes nobody
    await stack.produce([execution(BEGIN - 4 * DAY, good=False) for _ in range(8)], partition=3)
    frozen = await stack.told_so("headless-alerts", "error budget spent, deployments frozen")
    assert_says(frozen, "• root cause analysis", "• remediation plan")
    assert stack.triggers() == [page]
    gate = await wait_for(lambda: _frozen(stack), "the gate is shut")
    assert (gate["allowed"], gate["slos"]) == (False, ["availability"])
    assert (await stack.api("/api/slo/gate?change=hotfix"))["allowed"] is True

    # the hour passes well: the fast burn is over, the slow one is an incident of its own
    await stack.at(BEGIN + HOUR + 10 * MINUTE)
    await stack.produce([execution(BEGIN + HOUR + 9 * MINUTE) for _ in range(5)])
    await wait_for(lambda: stack.pagerduty.open == {}, "the page is resolved")
    await stack.at(BEGIN + DAY)
    await stack.told_so("headless-alerts", "P2 availability: still open")
    await stack.told_so("headless-alerts", "availability: deployments still frozen")

    # the bad days leave the window: lifted, and the retrospective is due
    await stack.at(BEGIN + 29 * DAY)
    await stack.produce([execution(BEGIN + 29 * DAY - n, agent="later") for n in range(300)])
    lifted = await stack.told_so("headless-alerts", "error budget is back, freeze lifted")
    assert_says(lifted, "• retrospective")
    await stack.told_so("headless-alerts", "Resolved: availability")
    await stack.judged()
    assert stack.pagerduty.open == {}
    assert {key.rpartition("/")[0] for key in stack.triggers()} == {page.rpartition("/")[0]}
    states = {i["key"]: i["state"] for i in await stack.incidents()}
    assert set(states.values()) == {"resolved"}
    assert sum(key.startswith("availability-slow-burn-") for key in states) == 1
    assert iso(BEGIN).startswith("2026-08-01T10:00")


async def _frozen(stack: Stack) -> dict | None:
    gate = await stack.api("/api/slo/gate")
    return gate if gate["frozen"] else None
