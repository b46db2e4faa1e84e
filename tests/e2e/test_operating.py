"""Operating: what people, PagerDuty and Slack have to say, and what becomes of it."""

import asyncio
import hashlib
import hmac
import json
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from tests.e2e.harness import (
    HOUR,
    MINUTE,
    ROOT,
    Stack,
    execution,
    iso,
    key_time,
    title_of,
    traffic,
    wait_for,
)
from tests.e2e.load import Sent, is_counted

pytestmark = pytest.mark.kafka

BEGIN = 1_785_578_400.0  # 2026-08-01T10:00:00Z
KEY = f"availability-{key_time(BEGIN)}"
PAGE = f"{KEY}/P1/1"
OLD, NEW, SIGNING = "an-old-secret-canary", "a-new-secret-canary", "a-signing-secret-canary"
SECRETS = {"PAGERDUTY_WEBHOOK_SECRET": f"{OLD},{NEW}", "SLACK_SIGNING_SECRET": SIGNING}


@pytest.fixture
async def stack(kafka: str, prefix: str, tmp_path: Path) -> AsyncIterator[Stack]:
    config = tmp_path / "config"
    shutil.copytree(ROOT / "config", config)
    ownership = config / "ownership.yaml"
    named = ownership.read_text().replace("slack_operators: []", "slack_operators: [U1]")
    ownership.write_text(named)
    async with Stack(kafka, prefix, tmp_path, held_at=BEGIN, config=config, env=SECRETS) as made:
        await made.worker().start()
        yield made


def without(sent: Sent, begin: float, end: float, agent: str | None = None) -> list[Any]:
    """The events that a correction leaves."""
    return [
        (at, event)
        for at, event in sent
        if not (begin <= at < end and agent in (None, event["agent_id"]))
    ]


async def correction(stack: Stack, **order: str) -> str:
    made = await stack.order("POST", "/api/corrections", {"slo": "availability", **order})
    return str(made["correction"])


async def test_a_correction_counts_as_if_its_events_had_never_been(stack: Stack) -> None:
    hours = [BEGIN - n * HOUR for n in (0.2, 1, 2.5, 20, 30, 100)]
    for number, at in enumerate(hours):
        events = traffic(at, 60, 20, seed=number)
        await stack.produce(events[:40], partition=number % 4)
        await stack.produce_array(events[40:])
    await stack.judged()
    everything = lambda: stack.sent  # noqa: E731
    await is_counted(stack, everything)

    # one agent's events of the last three hours
    begin, end = BEGIN - 3 * HOUR, BEGIN - 0.5 * HOUR
    agent = {"from": iso(begin), "to": iso(end), "agent": "agent-1", "why": "a broken host"}
    first = await correction(stack, **agent)
    once = lambda: without(stack.sent, begin, end, "agent-1")  # noqa: E731
    await is_counted(stack, once)
    assert await shown(stack) == [(first, True)]

    # a whole interval that overlaps it: what both name is taken out once
    longer = BEGIN - 25 * HOUR
    second = await correction(stack, **{"from": iso(longer), "to": iso(end), "why": "a test run"})
    twice = lambda: without(once(), longer, end)  # noqa: E731
    await is_counted(stack, twice)

    # events that come late into it are taken out as they come, others count
    await stack.produce(traffic(BEGIN - 2 * HOUR, 9, 9), partition=2)
    await stack.produce(traffic(BEGIN - 0.4 * HOUR, 9, 2), partition=1)
    await is_counted(stack, twice)

    # killed at once after the next one, the worker ends what it began
    worker = stack.workers[0]
    third = await correction(
        stack, **{"from": iso(hours[5] - 60), "to": iso(hours[5] + 60), "why": "another"}
    )
    await worker.kill()
    stack.expected_read = 0
    await worker.start()
    thrice = lambda: without(twice(), hours[5] - 60, hours[5] + 60)  # noqa: E731
    await is_counted(stack, thrice)
    assert await shown(stack) == [(first, True), (second, True), (third, True)]

    # taken back, one after the other
    await stack.order("DELETE", f"/api/corrections/{second}", {"by": "kim"})
    both = lambda: without(once(), hours[5] - 60, hours[5] + 60)  # noqa: E731
    await is_counted(stack, both)
    for name in (first, third):
        await stack.order("DELETE", f"/api/corrections/{name}", {"by": "kim"})
    await is_counted(stack, everything)
    await worker.kill()
    stack.expected_read = 0
    await worker.start()
    await is_counted(stack, everything)
    assert await shown(stack) == []


async def shown(stack: Stack) -> list[tuple[str, bool]]:
    found = (await stack.api("/api/corrections"))["corrections"]
    return [(one["id"], one["applied"]) for one in found]


def signed(secret: str, text: bytes) -> str:
    return hmac.new(secret.encode(), text, hashlib.sha256).hexdigest()


async def in_pagerduty(
    stack: Stack, kind: str, *, name: str, secret: str = NEW, page: str = PAGE
) -> int:
    """A webhook of PagerDuty's; what is answered."""
    agent = {"type": "user_reference", "summary": "Dana"}
    event = {"id": "1", "event_type": kind, "agent": agent, "data": {"incident_key": page}}
    body = json.dumps({"event": event}).encode()
    headers = {"X-PagerDuty-Signature": f"v1={signed(secret, body)}", "X-Webhook-Id": name}
    return (await stack.post("/webhooks/pagerduty", body, headers)).status_code


async def in_slack(stack: Stack, action: str, user: str = "U1", *, late_s: int = 0) -> int:
    """A button in Slack; what is answered."""
    pressed = {
        "type": "block_actions",
        "user": {"id": user, "username": "kim"},
        "actions": [{"action_id": action, "value": KEY, "action_ts": "1"}],
    }
    body = urlencode({"payload": json.dumps(pressed)}).encode()
    stamp = str(int(stack.now) - late_s)
    headers = {
        "X-Slack-Request-Timestamp": stamp,
        "X-Slack-Signature": f"v0={signed(SIGNING, f'v0:{stamp}:'.encode() + body)}",
        "Content-Type": "application/x-www-form-urlencoded",
    }
    return (await stack.post("/webhooks/slack", body, headers)).status_code


async def incident(stack: Stack, key: str = KEY) -> dict[str, Any]:
    found: dict[str, Any] = await stack.api(f"/api/incidents/{key}")
    return found


async def becomes(stack: Stack, state: str, key: str = KEY) -> dict[str, Any]:
    async def find() -> dict[str, Any] | None:
        found = await incident(stack, key)
        return found if found["state"] == state else None

    return await wait_for(find, f"{key} is {state}")


async def fail(stack: Stack, count: int = 12, good: int = 0) -> None:
    made = [execution(stack.now - 10 - n, good=False) for n in range(count)]
    await stack.produce([*made, *[execution(stack.now - 5, agent="b") for _ in range(good)]])
    await stack.judged()


def titles(stack: Stack) -> list[str]:
    return [title_of(message).split(" ", 1)[1] for message in stack.told("headless-alerts")]


async def test_one_state_whoever_sets_it(stack: Stack) -> None:
    await fail(stack, good=60)
    await wait_for(stack.triggers, "paged")

    # what cannot be taken for true changes nothing
    assert await in_pagerduty(stack, "incident.acknowledged", name="0", secret="guessed") == 401
    assert await in_slack(stack, "ack", late_s=301) == 401
    assert await in_slack(stack, "ack", user="U2") == 403
    await stack.judged()
    assert (await incident(stack))["state"] == "firing"

    # three at once are one
    answers = await asyncio.gather(
        in_pagerduty(stack, "incident.acknowledged", name="1", secret=OLD),
        in_slack(stack, "ack"),
        stack.order("POST", f"/api/incidents/{KEY}/ack", {"by": "lee"}),
    )
    assert answers[:2] == [200, 200]
    taken = (await becomes(stack, "acknowledged"))["acknowledged"]
    assert (taken["by"], taken["via"]) in {("Dana", "pagerduty"), ("kim", "slack"), ("lee", "api")}
    await stack.judged()
    history = [entry["kind"] for entry in (await incident(stack))["history"]]
    assert history == ["trigger", "ack"]
    assert [title for title in titles(stack) if "acknowledged" in title] == titles(stack)[1:]

    # handed back in PagerDuty; the first word is repeated, and is none
    assert await in_pagerduty(stack, "incident.unacknowledged", name="2") == 200
    await becomes(stack, "firing")
    assert await in_pagerduty(stack, "incident.acknowledged", name="1") == 200
    await stack.judged()
    assert (await incident(stack))["state"] == "firing"

    # a page that is not ours, or closed, ends nothing; ours does, everywhere
    assert await in_pagerduty(stack, "incident.resolved", name="3", page=f"{KEY}/P1/9") == 200
    await stack.judged()
    assert (await incident(stack))["state"] == "firing"
    assert await in_pagerduty(stack, "incident.resolved", name="4") == 200
    ended = await becomes(stack, "resolved")
    assert (ended["resolvedBy"], ended["why"]) == ("Dana", "resolved in PagerDuty")
    await wait_for(lambda: ("resolve", PAGE) in stack.paged("backend-team"), "resolved there")
    await stack.at(BEGIN + MINUTE)
    assert stack.triggers() == [PAGE]  # only later failures fire again


async def test_a_silence_holds_back_everything_but_the_end(stack: Stack) -> None:
    await fail(stack, good=60)
    await wait_for(stack.triggers, "paged")
    assert await in_slack(stack, "silence") == 200
    (silence,) = await wait_for(lambda: _silences(stack), "silent")
    assert (silence["slo"], silence["by"]) == ("availability", "kim")

    # the escalation is held back, killed in between; what was paged before gets its end
    worker = stack.workers[0]
    stack.set_clock(BEGIN + 29 * MINUTE)
    await fail(stack, 5)
    await worker.kill()
    stack.expected_read = 0
    await worker.start()
    await stack.at(BEGIN + 35 * MINUTE)
    assert stack.paged("platform-lead") == []
    assert [one["id"] for one in (await incident(stack))["silences"]] == [silence["id"]]
    stack.set_clock(BEGIN + 40 * MINUTE)
    await stack.produce([execution(stack.now - 5, agent="b") for _ in range(4000)])
    await stack.judged()
    await stack.at(BEGIN + 46 * MINUTE)
    await becomes(stack, "resolved")
    await wait_for(lambda: stack.pagerduty.open == {}, "resolved there")
    assert [title.split(" after")[0] for title in titles(stack)] == [
        "P1 availability: breach",
        "Resolved: availability",
    ]

    # another one within it is shown, and told to nobody
    stack.set_clock(BEGIN + 100 * MINUTE)
    await fail(stack, 200)
    key = f"availability-{key_time(BEGIN + 100 * MINUTE)}"
    found = await becomes(stack, "firing", key)
    assert ([one["id"] for one in found["silences"]], stack.triggers()) == ([silence["id"]], [PAGE])

    # when it is over and still burns it is told once
    await stack.at(BEGIN + 120 * MINUTE - 1)
    assert (stack.triggers(), len(titles(stack))) == ([PAGE], 2)
    await stack.at(BEGIN + 120 * MINUTE)
    await wait_for(lambda: stack.triggers() == [PAGE, f"{key}/P1/1"], "paged when it is over")
    await stack.at(BEGIN + 125 * MINUTE)
    assert (stack.triggers()[2:], len(titles(stack))) == ([], 3)
    assert await _silences(stack) == []


async def _silences(stack: Stack) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = (await stack.api("/api/silences"))["silences"]
    return found
