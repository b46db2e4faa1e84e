"""The main job for one SLO: executions fail, the right people are told, in full, and once."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.e2e.harness import HOUR, MINUTE, Stack, execution, key_time, text_of, title_of, wait_for

pytestmark = pytest.mark.kafka

BEGIN = 1_785_578_400.0  # 2026-08-01T10:00:00Z: held, so any moment will do


@pytest.fixture
async def stack(kafka: str, prefix: str, tmp_path: Path) -> AsyncIterator[Stack]:
    async with Stack(kafka, prefix, tmp_path, held_at=BEGIN) as made:
        await made.worker().start()
        yield made


async def test_an_outage_is_paged_escalated_and_resolved(stack: Stack) -> None:
    good = [execution(BEGIN - 60 - n, agent="agent-2") for n in range(60)]
    bad = [execution(BEGIN - 10 - n, good=False, error="no <disk> & no hope") for n in range(12)]
    await stack.produce(good, partition=1)
    await stack.produce(bad, partition=3)
    key = f"availability-{key_time(BEGIN)}"

    message = await stack.told_so("headless-alerts", "P1 availability")
    print(title_of(message)); print(text_of(message))
    await wait_for(stack.triggers, "paged")
    print(stack.pagerduty.bodies)
    print(await stack.incidents())
    print(stack.workers[0].log())
