import asyncio
import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, closing, suppress
from pathlib import Path
from typing import Any

import pytest

from app.bridge.bridge import EXIT_TAKEN_OVER, bridge_name, run_bridge
from app.bridge.writer import read_cursors
from app.clock import wall_clock
from app.errors import UserError
from app.local.kafka import start, stop
from app.settings import Settings
from tests.bridge.kokino import AT, Kokino, committed, swap

pytestmark = pytest.mark.kafka

SHARED = Path(__file__).parents[3] / "shared" / "data" / "kokino-30d"
BRIDGE = "from app.bridge.command import bridge; bridge()"
OURS = {"BRIDGE_HEARTBEAT", "CONVERSATIONS_COUNTED"}


@pytest.fixture
def settings(kafka: str, prefix: str) -> Settings:
    return Settings(kafka=kafka, topic_prefix=prefix)


@pytest.fixture
def kokino(tmp_path: Path) -> Iterator[Kokino]:
    one = Kokino(tmp_path / "data")
    yield one
    one.close()


async def sent_rows(settings: Settings) -> Counter[str]:
    """How often each row of Kokino's was committed, by agent or ticket."""
    return Counter(
        event["metadata"].get("ticketId", event["agent_id"])
        for event in await committed(settings)
        if event["event"] not in OURS
    )


async def until(holds: Callable[[], Awaitable[bool]], within_s: float = 15.0) -> float:
    """Wait for a condition, and tell how long it took."""
    began = time.monotonic()
    while not await holds():
        assert time.monotonic() - began < within_s, "it never came true"
        await asyncio.sleep(0.02)
    return time.monotonic() - began


@asynccontextmanager
async def bridging(settings: Settings, folder: Path) -> AsyncIterator[asyncio.Task[Any]]:
    task = asyncio.create_task(run_bridge(settings, folder, once=False, clock=wall_clock))
    try:
        yield task
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError, UserError):
            await task


async def once(settings: Settings, folder: Path) -> None:
    await run_bridge(settings, folder, once=True, clock=wall_clock)


@pytest.mark.skipif(not SHARED.exists(), reason="the thirty days of data are not here")
async def test_thirty_days_arrive_as_sql_counts_them(settings: Settings, tmp_path: Path) -> None:
    for name in ("metrics.db", "kokino.db"):
        (tmp_path / name).write_bytes((SHARED / name).read_bytes())
    await once(settings, tmp_path)
    with closing(sqlite3.connect(tmp_path / "metrics.db")) as metrics:
        expected = dict(
            metrics.execute(
                "SELECT event, count(*) FROM metrics "
                "WHERE event NOT IN ('EXECUTION_STARTED', 'SHADOW_MISMATCH') GROUP BY event"
            )
        )
    with closing(sqlite3.connect(tmp_path / "kokino.db")) as kokino:
        compared = kokino.execute("SELECT count(*) FROM shadow_results").fetchone()[0]
        conversations = kokino.execute("SELECT count(*) FROM conversations").fetchone()[0]
    events = await committed(settings)
    found = Counter(event["event"] for event in events if event["event"] not in OURS)
    assert found == {**expected, "SHADOW_COMPARED": compared}
    assert [e["metadata"] for e in events if e["event"] == "CONVERSATIONS_COUNTED"] == [
        {"count": conversations}
    ]
    assert all("secret" not in str(e) and "prompt" not in e["metadata"] for e in events)


async def test_every_partition_hears_the_heartbeat_and_the_backlog(
    settings: Settings, kokino: Kokino
) -> None:
    kokino.executed(*(f"n{number}" for number in range(2500)))
    await once(settings, kokino.folder)
    beats = [e for e in await committed(settings) if e["event"] == "BRIDGE_HEARTBEAT"]
    name = bridge_name(kokino.folder)
    heard = Counter((e["partition"], e["metadata"]["backlog"]) for e in beats)
    assert heard == {(partition, left): 1 for partition in range(4) for left in (1500, 0)}
    assert {e["metadata"]["oldestAt"] for e in beats} == {"2026-03-01T10:00:00.000Z", None}
    assert {e["metadata"]["bridge"] for e in beats} == {name}


async def test_a_second_run_goes_on_where_the_first_one_ended(
    settings: Settings, kokino: Kokino
) -> None:
    kokino.executed("a", "b")
    kokino.compared("t1")
    await once(settings, kokino.folder)
    kokino.executed("c")
    await once(settings, kokino.folder)
    assert await sent_rows(settings) == {"a": 1, "b": 1, "t1": 1, "c": 1}
    cursor = (await read_cursors(settings))[bridge_name(kokino.folder)]
    assert (cursor.metrics.last_id, cursor.metrics.at) == (3, AT)
    assert cursor.shadow_results
    assert cursor.shadow_results.last_id == 1


async def test_a_live_row_arrives_within_a_second(settings: Settings, kokino: Kokino) -> None:
    kokino.executed("before")

    async def came(name: str) -> bool:
        return (await sent_rows(settings))[name] == 1

    async with bridging(settings, kokino.folder):
        await until(lambda: came("before"))
        for number in range(3):
            kokino.executed(f"live{number}")
            assert await until(lambda number=number: came(f"live{number}")) < 1.0  # type: ignore[misc]
        kokino.compared("t1")
        assert await until(lambda: came("t1")) < 1.0


async def test_conversations_are_told_when_their_number_changes(
    settings: Settings, kokino: Kokino
) -> None:
    kokino.talked("conv-1")

    async def counts() -> list[int]:
        told = (e for e in await committed(settings) if e["event"] == "CONVERSATIONS_COUNTED")
        return [e["metadata"]["count"] for e in told]

    async def are(*expected: int) -> bool:
        return await counts() == [*expected]

    async with bridging(settings, kokino.folder):
        await until(lambda: are(1))
        kokino.talked("conv-2", "conv-3")
        await until(lambda: are(1, 3))


async def test_a_replaced_database_goes_on_after_the_last_moment(
    settings: Settings, kokino: Kokino, tmp_path: Path
) -> None:
    async def came(name: str) -> bool:
        return (await sent_rows(settings))[name] == 1

    async with bridging(settings, kokino.folder):
        kokino.executed("a", "b", at="2026-03-01 10:00:05")
        await until(lambda: came("b"))
        other = Kokino(tmp_path / "other")
        other.executed("old", at="2026-03-01 10:00:04")
        other.executed("b", "c", at="2026-03-01 10:00:05")
        swapped = swap(kokino, other)
        swapped.executed("d", at="2026-03-01 10:00:06")
        await until(lambda: came("d"))
        swapped.close()
    assert await sent_rows(settings) == {"a": 1, "b": 1, "c": 1, "d": 1}


async def test_the_younger_of_two_bridges_goes_on_and_the_older_one_ends(
    settings: Settings, kokino: Kokino
) -> None:
    async def came(name: str) -> bool:
        return (await sent_rows(settings))[name] == 1

    async with bridging(settings, kokino.folder) as older:
        kokino.executed("a")
        await until(lambda: came("a"))
        async with bridging(settings, kokino.folder) as younger:
            for number in range(3):
                kokino.executed(f"n{number}")
                await until(lambda number=number: came(f"n{number}"))  # type: ignore[misc]
            with pytest.raises(UserError, match="taken over") as ended:
                await asyncio.wait_for(older, 15)
            assert ended.value.exit_code == EXIT_TAKEN_OVER
            kokino.executed("z")
            await until(lambda: came("z"))
            assert not younger.done()
    assert await sent_rows(settings) == {"a": 1, "n0": 1, "n1": 1, "n2": 1, "z": 1}


def killed_after_its_first_batch(settings: Settings, folder: Path, after_s: float) -> bool:
    """Run `burnrate bridge --once` and kill it; False where it had ended before."""
    process = subprocess.Popen(
        [sys.executable, "-c", BRIDGE, "--data", str(folder), "--once"],
        env={
            **os.environ,
            "BURNRATE_KAFKA": settings.kafka,
            "BURNRATE_TOPIC_PREFIX": settings.topic_prefix,
            "PYTHONUNBUFFERED": "1",
        },
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout
    assert process.stdout.readline()
    time.sleep(after_s)  # not a wait: the moment of the kill is what is varied
    process.send_signal(signal.SIGKILL)
    process.stdout.close()
    return process.wait() == -signal.SIGKILL


async def test_however_often_it_is_killed_every_row_is_committed_once(
    settings: Settings, kokino: Kokino
) -> None:
    names = [f"n{number}" for number in range(30_000)]
    tickets = [f"t{number}" for number in range(5_000)]
    kokino.executed(*names)
    kokino.compared(*tickets)
    moment = random.Random(11)
    kills = [
        await asyncio.to_thread(
            killed_after_its_first_batch, settings, kokino.folder, moment.uniform(0, 0.15)
        )
        for _ in range(6)
    ]
    before = sum((await sent_rows(settings)).values())
    await once(settings, kokino.folder)
    assert kills.count(True) >= 3  # while it was at work
    assert 0 < before <= len(names) + len(tickets)
    assert await sent_rows(settings) == dict.fromkeys([*names, *tickets], 1)


@pytest.mark.slow
async def test_rows_written_while_kafka_was_away_arrive_once(
    tmp_path: Path, prefix: str, kokino: Kokino
) -> None:
    broker = await asyncio.to_thread(start, tmp_path / "kafka")
    settings = Settings(kafka=broker.bootstrap, topic_prefix=prefix)

    async def came(name: str) -> bool:
        return (await sent_rows(settings))[name] == 1

    try:
        async with bridging(settings, kokino.folder) as bridge:
            kokino.executed("a")
            await until(lambda: came("a"))
            await asyncio.to_thread(stop, tmp_path / "kafka")
            kokino.executed("b")
            await asyncio.sleep(1)  # long enough to meet the closed port
            kokino.executed("c")
            assert not bridge.done()
            await asyncio.to_thread(start, tmp_path / "kafka")
            await until(lambda: came("c"), within_s=40)
            kokino.executed("d")
            await until(lambda: came("d"))
        assert await sent_rows(settings) == {"a": 1, "b": 1, "c": 1, "d": 1}
    finally:
        await asyncio.to_thread(stop, tmp_path / "kafka")
