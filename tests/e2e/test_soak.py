"""Hours of steady traffic: the counts stay exact, one page goes out, memory stays where it is.

    make soak [MINUTES=60]

`make test` soaks for a moment only, so that a long run does not begin with a broken script.
"""

import asyncio
import os
import time
from statistics import median

import psutil
import pytest

from tests.e2e.changelogs import TABLES, records_of
from tests.e2e.harness import Stack, Worker, wait_for
from tests.e2e.load import counts_are_right, under_load

MINUTES = float(os.environ.get("SOAK_MINUTES") or 0.2)
LONG_ENOUGH = 10  # minutes after which memory must have settled
GROWTH = 1.15  # of the last quarter over the second one; the first one still fills caches
MOST_MB = 250
SAMPLE_S = 1.0

pytestmark = [pytest.mark.kafka, pytest.mark.slow]


async def held_mb(worker: Worker) -> list[float]:
    """Its memory (RSS), a sample a second for MINUTES."""
    assert worker.process is not None
    process, until, held = psutil.Process(worker.process.pid), time.monotonic() + MINUTES * 60, []
    while time.monotonic() < until:
        held.append(process.memory_info().rss / 2**20)
        await asyncio.sleep(SAMPLE_S)
    return held


@pytest.mark.timeout(MINUTES * 60 + 300)
async def test_counts_stay_exact_and_memory_where_it_is(stack: Stack) -> None:
    worker = await stack.worker().start()
    async with under_load(stack):
        await wait_for(stack.triggers, "paged")
        held = await held_mb(worker)
    await counts_are_right(stack)
    (incident,) = await stack.incidents()
    assert set(stack.triggers()) == {f"{incident['key']}/P1/1"}
    quarter = max(1, len(held) // 4)
    second, last = median(held[quarter : 2 * quarter]), median(held[-quarter:])
    print(f"{len(stack.sent):,} events; {second:.0f} MB, at the end {last:.0f} MB")
    written, kept = await records_of(stack, TABLES)
    print(f"changelogs: {written:,} records written, {len(kept):,} kept by compaction")
    assert max(held) < MOST_MB
    assert MINUTES < LONG_ENOUGH or last < GROWTH * second
