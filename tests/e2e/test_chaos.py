"""Whatever breaks, in whatever order: the counts equal the log's recount, and one page goes out.

    make chaos [SEED=…] [MINUTES=30]

Each round draws its plan from a seed, the next round from the seed after it; a round that failed
is played again with its own seed and MINUTES=0. `make test` plays one round, with a pinned seed.
"""

import os
import time
import uuid
from itertools import count
from pathlib import Path

import pytest

from app.local import kafka as local_kafka
from tests.e2e.harness import Event, recount, title_of, wait_for
from tests.e2e.siege import SETTLING_S, Siege, besieged, by_row, logged, plan

SEED = int(os.environ.get("CHAOS_SEED") or 20261124)
MINUTES = float(os.environ.get("CHAOS_MINUTES") or 0)
LONG_ENOUGH = 20  # minutes after which so many workers must have been killed
ROUND_S = 420

Windows = dict[str, tuple[int, int]]

pytestmark = [pytest.mark.fault, pytest.mark.kafka, pytest.mark.slow]


@pytest.mark.timeout(MINUTES * 60 + ROUND_S)
async def test_whatever_breaks(tmp_path: Path) -> None:
    until, killed = time.monotonic() + MINUTES * 60, 0
    broker = tmp_path / "kafka"
    try:
        for number in count():
            seed, began = SEED + number, time.monotonic()
            print(f"\nround {number + 1}: make chaos SEED={seed} MINUTES=0")
            print(f"  {plan(seed).partitions} partitions, {plan(seed).only or 'whole workers'}")
            folder = tmp_path / str(seed)
            folder.mkdir()
            prefix = f"c{uuid.uuid4().hex[:8]}."
            async with besieged(seed, prefix, broker, folder) as siege:
                await all_is_as_without_faults(siege)
                killed += siege.killed
            print(f"  as without faults, after {time.monotonic() - began:.0f} s, {killed} SIGKILLs")
            if time.monotonic() >= until:
                break
    finally:
        local_kafka.stop(broker)
    assert killed >= (20 if MINUTES >= LONG_ENOUGH else 5)


async def all_is_as_without_faults(siege: Siege) -> None:
    """Every count equals the log's recount; one incident, one page, one message."""
    assert siege.strange == []
    stack = siege.stack
    numbers = [stack.workers.index(worker) for worker in siege.up]

    async def bridged() -> bool:
        return sum(by_row(await logged(siege)).values()) >= siege.rows

    await wait_for(bridged, "the bridge has sent every row", SETTLING_S)
    events = await logged(siege)
    assert by_row(events) == {f"row-{number}": 1 for number in range(siege.rows)}

    async def wrong(worker: int) -> dict[str, str]:
        found = {}
        for slo, counted in populations(events).items():
            shown, expected = await stack.windows(slo, worker), recount(counted, time.time())
            if not agree(shown, expected):
                found[slo] = f"{shown} is not {expected}"
        return found

    for number in numbers:

        async def right(number: int = number) -> bool:
            return not await wrong(number)

        try:
            await wait_for(right, "the counts are right", SETTLING_S)
        except AssertionError as error:
            raise AssertionError(await wrong(number)) from error
        assert await stack.metric('burnrate_digests_total{outcome="overlap"}', number) == 0
    await told_once(siege, numbers[0])


def populations(events: list[tuple[float, Event]]) -> dict[str, list[tuple[float, Event]]]:
    """By the book, for each SLO that is besieged: the executions that it counts, good or bad."""
    completed = [(at, e) for at, e in events if e["event"] == "EXECUTION_COMPLETED"]
    return {
        "availability": events,
        "latency": [(at, e | {"success": e["duration_ms"] <= 30_000}) for at, e in completed],
        "resource-efficiency": [
            (at, e | {"success": e["metadata"]["memoryMB"] <= 500})
            for at, e in completed
            if "memoryMB" in e["metadata"]
        ],
    }


def agree(shown: Windows, expected: Windows) -> bool:
    """(The short windows move on while one looks.)"""
    return all(shown.get(name) == expected[name] for name in ("1h", "24h", "30d"))


async def told_once(siege: Siege, worker: int) -> None:
    """(What the alerter says of itself while it is besieged is true, and nobody's page.)"""
    stack = siege.stack
    mine = [one for one in await stack.incidents(worker) if one["slo"] != "alerter"]
    assert [(one["slo"], one["state"]) for one in mine] == [("availability", "firing")]
    pages = {page for page in stack.paged() if not page[1].startswith("alerter")}
    assert pages == {("trigger", f"{mine[0]['key']}/P1/1")}
    first, *again = stack.told("headless-alerts")
    assert "availability" in title_of(first)
    assert [title_of(m) for m in again if "possible duplicate" not in str(m)] == []
