"""Months outlive their rows: on real Kafka, through expiry, SIGKILL and a restart."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from app.core.months import month_of
from tests.e2e.harness import DAY, HOUR, MINUTE, Stack, execution, wait_for

pytestmark = [pytest.mark.kafka, pytest.mark.slow]

BEGIN = 1_785_578_400.0  # 2026-08-01T10:00:00Z
AUGUST, SEPTEMBER = "2026-08", "2026-09"
LATER = BEGIN + 40 * DAY


@pytest.fixture
async def stack(kafka: str, prefix: str, tmp_path: Path) -> AsyncIterator[Stack]:
    async with Stack(kafka, prefix, tmp_path, held_at=BEGIN) as made:
        await made.worker().start()
        yield made


async def month(stack: Stack, name: str, *, total: int, done: int) -> dict[str, Any]:
    """A month's report once availability has so many events in it, and latency as well."""

    async def found() -> dict[str, Any] | None:
        answer = await stack.get(f"/api/report?month={name}")
        if answer.status_code != httpx.codes.OK:
            return None
        document: dict[str, Any] = answer.json()
        totals = {slo["id"]: slo["total"] for slo in document["slos"]}
        counted = (totals.get("availability"), totals.get("latency"))
        return document if counted == (total, done) else None

    document: dict[str, Any] = await wait_for(found, f"{name} has {total} executions")
    return document


def figures(document: dict[str, Any]) -> dict[str, Any]:
    """What must not change any more."""
    return {
        slo["id"]: (slo["total"], slo["bad"], slo["value"], slo["consumed"], slo["quantiles"])
        for slo in document["slos"]
    }


async def test_a_month_stays_as_it_was_when_its_rows_are_long_gone(stack: Stack) -> None:
    assert (month_of(int(BEGIN)), month_of(int(LATER))) == (AUGUST, SEPTEMBER)
    durations = [1000 * (n + 1) for n in range(60)]
    done = [execution(BEGIN - n, duration_ms=ms) for n, ms in enumerate(durations)]
    failed = [execution(BEGIN - n, good=False) for n in range(12)]
    await stack.produce([*done, *failed])
    august = await month(stack, AUGUST, total=72, done=60)
    assert august["running"]
    assert august["availability"] == 60 / 72
    assert august["latencyP95_ms"] == pytest.approx(57_000, rel=0.01)
    assert august["budgetConsumed"]["availability"] == pytest.approx(12 / (0.005 * 72))

    # a late event of August corrects it; nine days later it can still be one
    stack.set_clock(BEGIN + 9 * DAY)
    await stack.produce([execution(BEGIN + HOUR, good=False)])
    corrected = figures(await month(stack, AUGUST, total=73, done=60))

    # forty days later its rows are deleted, and one execution is all that windows see
    stack.set_clock(LATER)
    await stack.produce([execution(LATER)])
    await month(stack, SEPTEMBER, total=1, done=1)
    stack.set_clock(LATER + 2 * MINUTE)  # rows expire once a minute

    async def windows_see_one() -> bool:
        return (await stack.windows("availability")).get("30d") == (1, 0)

    await wait_for(windows_see_one, "a window of thirty days sees nothing of August")
    kept = await month(stack, AUGUST, total=73, done=60)
    assert (figures(kept), kept["running"]) == (corrected, False)

    await stack.workers[0].kill()
    await stack.workers[0].start()
    after = await month(stack, AUGUST, total=73, done=60)
    assert figures(after) == corrected
    report = (await stack.api("/api/report"))["months"]
    assert [one["month"] for one in report] == [SEPTEMBER, AUGUST]
