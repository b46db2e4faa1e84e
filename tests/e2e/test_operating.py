"""Operating: what people, PagerDuty and Slack have to say, and what becomes of it."""

from collections.abc import AsyncIterator, Callable, Iterable
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.harness import (
    HOUR,
    Event,
    Stack,
    iso,
    recount,
    traffic,
    wait_for,
)

pytestmark = pytest.mark.kafka

BEGIN = 1_785_578_400.0  # 2026-08-01T10:00:00Z


@pytest.fixture
async def stack(kafka: str, prefix: str, tmp_path: Path) -> AsyncIterator[Stack]:
    async with Stack(kafka, prefix, tmp_path, held_at=BEGIN) as made:
        await made.worker().start()
        yield made


Sent = Iterable[tuple[float, Event]]


def without(sent: Sent, begin: float, end: float, agent: str | None = None) -> list[Any]:
    """The events that a correction leaves."""
    return [
        (at, event)
        for at, event in sent
        if not (begin <= at < end and agent in (None, event["agent_id"]))
    ]


async def is_counted(stack: Stack, left: Callable[[], Sent]) -> None:
    """Every window of availability is that of the recount."""

    async def same() -> bool:
        return await stack.windows("availability") == recount(left(), stack.now)

    try:
        await wait_for(same, "counted")
    except AssertionError:
        assert await stack.windows("availability") == recount(left(), stack.now)
        raise


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
