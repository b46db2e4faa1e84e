"""Thirty days of Kokino's data through Kafka: the API's counts equal SQL on the same files."""

import asyncio
import sqlite3
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

import pytest
from aiokafka import AIOKafkaProducer

from app.bridge.history import opened
from app.bridge.writer import BATCH_BYTES, Load
from app.topics import EVENTS
from tests.e2e.harness import ROOT, WINDOWS, Stack, iso, trailing, wait_for

DATA = ROOT.parent / "shared" / "data" / "kokino-30d"

pytestmark = [
    pytest.mark.kafka,
    pytest.mark.slow,
    pytest.mark.skipif(not DATA.exists(), reason="the shared data is not here"),
]

MOMENTS = [  # within incidents, at odd times, at the very end
    "2026-10-02T01:00:10",
    "2026-10-13T14:40:00",
    "2026-10-20T07:59:50",
    "2026-10-27T05:13:20",
    "2026-10-31T23:57:00",
]

QUERIES = {  # total, bad; the window is [begin, end)
    "availability": (
        "SELECT count(*), sum(event <> 'EXECUTION_COMPLETED' OR success <> 1) FROM metrics "
        "WHERE event IN ('EXECUTION_COMPLETED', 'EXECUTION_FAILED', 'EXECUTION_TIMEOUT')"
    ),
    "latency": (
        "SELECT count(*), sum(duration_ms > 30000) FROM metrics "
        "WHERE event = 'EXECUTION_COMPLETED' AND duration_ms IS NOT NULL"
    ),
    "resource-efficiency": (
        "SELECT count(*), sum(json_extract(metadata, '$.memoryMB') > 500) FROM metrics "
        "WHERE event = 'EXECUTION_COMPLETED' AND json_extract(metadata, '$.memoryMB') IS NOT NULL"
    ),
    "correctness": (
        "SELECT count(*), sum(headless_success = 0 OR output_match = 0) "
        "FROM kokino.shadow_results WHERE tmux_success = 1"
    ),
    "data-integrity": (
        "SELECT (SELECT count(*) FROM kokino.conversations), "
        "count(DISTINCT json_extract(metadata, '$.conversationId')) FROM metrics "
        "WHERE event IN ('CONVERSATION_INTEGRITY_FAIL', 'ORPHAN_DETECTED')"
    ),
}


def counted(slo: str, at_s: float) -> dict[str, tuple[int, int]]:
    """An SLO's windows at a moment, by SQL alone."""
    column = "created_at" if slo == "correctness" else "timestamp"
    found = {}
    with sqlite3.connect(f"file:{DATA}/metrics.db?mode=ro&immutable=1", uri=True) as db:
        db.execute(f"ATTACH 'file:{DATA}/kokino.db?mode=ro&immutable=1' AS kokino")
        for name, window_s in WINDOWS.items():
            begin, end = trailing(at_s, window_s)
            times = [
                datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%S")
                for at in (begin, min(end, at_s))  # nothing newer has been played yet
            ]
            query = f"{QUERIES[slo]} AND datetime({column}) >= ? AND datetime({column}) < ?"
            total, bad = db.execute(query, times).fetchone()
            found[name] = (total, bad or 0)
    return found


async def test_every_count_equals_sql_at_every_moment(
    kafka: str, prefix: str, tmp_path: Path
) -> None:
    moments = [datetime.fromisoformat(f"{text}+00:00").timestamp() for text in MOMENTS]
    async with Stack(kafka, prefix, tmp_path, held_at=moments[0]) as stack:
        await stack.worker().start(ready=False)
        producer = AIOKafkaProducer(bootstrap_servers=kafka, max_batch_size=BATCH_BYTES)
        await producer.start()
        try:
            load = Load(producer, prefix + EVENTS, range(4))
            with opened(DATA) as history:
                for slot in history.slots(0):
                    for moment in slot.moments:
                        load.add(moment.event, moment.at_ms)
                    if slot.end_ms / 1000 in moments:
                        await load.send()
                        stack.set_clock(slot.end_ms / 1000)
                        await agrees(stack, slot.end_ms / 1000)
        finally:
            await producer.stop()


async def agrees(stack: Stack, at_s: float) -> None:
    """Wait until everything is judged as of this moment, and every count is as SQL has it."""
    at = iso(at_s).replace("+00:00", "Z")
    expected = await asyncio.to_thread(lambda: {slo: counted(slo, at_s) for slo in QUERIES})
    shown: dict[str, dict[str, tuple[int, int]]] = {}

    async def equal() -> bool:
        status = await stack.api("/api/slo/status")
        if len(status["slos"]) < 5 or any(slo["judgedAt"] != at for slo in status["slos"]):
            return False
        shown.update({slo: await stack.windows(slo) for slo in QUERIES})
        return shown == expected

    with suppress(AssertionError):
        await wait_for(equal, f"judged at {at}")
    assert shown == expected
