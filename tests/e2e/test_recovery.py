"""A worker that comes back: silent until it knows everything, and right from its first word."""

import asyncio
import time
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
from confluent_kafka.admin import (
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    ResourceType,
)

from app.topics import STATUS
from tests.e2e.changelogs import TABLES, live, records_of
from tests.e2e.harness import DAY, HOUR, Stack, execution, recount, wait_for

pytestmark = [pytest.mark.fault, pytest.mark.kafka, pytest.mark.slow]

BEGIN = 1_785_578_400.0  # 2026-08-01T10:00:00Z


async def test_nothing_is_published_until_all_is_recovered_and_the_first_word_is_right(
    stack: Stack,
) -> None:
    worker = await stack.worker().start()
    now = time.time()
    for hour in range(24):
        events = [execution(now - hour * HOUR - n, good=n % 9 > 0) for n in range(50)]
        await stack.produce(events, partition=hour % 4)
    await stack.judged()
    await worker.kill()
    before = await stack.read(STATUS)

    await worker.start(ready=False)
    said: list[tuple[float, dict[str, Any]]] = []
    read: list[tuple[float, list[dict[str, Any]]]] = []

    async def watch() -> None:
        while True:
            found = await stack.read(STATUS)
            read.append((time.monotonic(), found))

    watching = asyncio.create_task(watch())
    while not said or said[-1][1]["reasons"]:
        if answer := await readyz(stack):
            said.append((time.monotonic(), answer))
        await asyncio.sleep(0.01)
    watching.cancel()
    await asyncio.wait([watching])
    recovering = [at for at, answer in said if "count: the tables are" in str(answer["reasons"])]
    assert recovering, "it says so until the tables are there"
    assert all(found == before for at, found in read if at < recovering[-1])
    assert said[-1][1] == {"ready": True, "reasons": []}

    async def spoken() -> list[dict[str, Any]]:
        found = await stack.read(STATUS)
        known = {(one["id"], one["judgedAt"]) for one in before}
        return [
            one
            for one in found
            if one["id"] == "availability" and (one["id"], one["judgedAt"]) not in known
        ]

    first = (await wait_for(spoken, "it speaks again"))[0]
    at_s = datetime.fromisoformat(first["judgedAt"]).timestamp()
    expected = recount(stack.sent, at_s)
    assert {name: (w["total"], w["bad"]) for name, w in first["windows"].items()} == expected


async def readyz(stack: Stack) -> dict[str, Any] | None:
    """What it says of itself; None before it listens."""
    try:
        answer = await stack.get("/readyz")
    except httpx.HTTPError:
        return None
    assert (answer.status_code == httpx.codes.OK) == answer.json()["ready"]
    return dict(answer.json())


async def test_a_changelog_stays_small_and_a_compacted_one_is_recovered_from(
    stack: Stack,
) -> None:
    """Ten minutes of writing pressed into seconds: only the age of a segment is changed."""
    worker = await stack.worker().start()
    admin = AdminClient({"bootstrap.servers": stack.kafka})
    for name in TABLES:
        sooner = ConfigEntry("segment.ms", "1000", incremental_operation=AlterConfigOpType.SET)
        topic = ConfigResource(
            ResourceType.TOPIC, stack.prefix + name, incremental_configs=[sooner]
        )
        admin.incremental_alter_configs([topic])[topic].result(10)

    async def compacted() -> bool:
        for partition in range(4):
            events = [execution(time.time(), good=n > 0) for n in range(20)]
            await stack.produce(events, partition=partition)
        written, there = await records_of(stack, TABLES)
        print(f"{written} records written, {len(there)} kept")
        return written > 100 and len(there) < written / 2

    await wait_for(compacted, "less than half of what was written is kept", 90)
    await stack.judged()
    await worker.kill()
    await worker.start()
    await stack.judged()
    assert (await stack.windows("availability"))["24h"] == recount(stack.sent, time.time())["24h"]


async def test_after_31_days_nothing_is_left_of_a_row(
    kafka: str, prefix: str, tmp_path: Path
) -> None:
    async with Stack(kafka, prefix, tmp_path, held_at=BEGIN) as stack:
        await stack.worker().start()
        await stack.produce([execution(BEGIN - n, good=n > 2) for n in range(60)])
        await stack.judged()
        rows = TABLES[:2]
        assert await live(stack, rows)
        await stack.at(BEGIN + 30 * DAY)
        coarse = await live(stack, rows)
        assert coarse, "the coarse rows are kept for 31 days"
        assert all(b"/fine/" not in key for key in coarse)

        await stack.at(BEGIN + 31 * DAY + 3 * HOUR)

        async def gone() -> bool:
            return not await live(stack, rows)

        await wait_for(gone, "every row of that time is deleted")
        assert (await stack.windows("availability"))["30d"] == (0, 0)
