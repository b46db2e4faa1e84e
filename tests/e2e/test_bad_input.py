"""Whatever comes in: counted or rejected, with a reason and its place, and never a crash."""

import time
from pathlib import Path

import msgspec
import pytest

from tests.e2e.harness import DAY, Stack, execution, iso, wait_for

pytestmark = pytest.mark.kafka


def encoded(at_s: float | None = None, **changed: object) -> bytes:
    return msgspec.json.encode(execution(at_s) | changed)


async def test_bad_input_is_rejected_and_nothing_else_suffers(
    kafka: str, prefix: str, tmp_path: Path
) -> None:
    async with Stack(kafka, prefix, tmp_path) as stack:
        await stack.worker().start()
        now = time.time()
        bad: dict[str, bytes | None] = {
            "empty": None,
            "no JSON": b"\xff\xfe{",
            "cut off": b'{"event": "EXECUTION_COMPLETED", "succ',
            "a number": b"42",
            "nested deep": b"[" * 5000,
            "an array in an array": b"[[]]",
            "event is a number": encoded(event=7),
            "success is text": encoded(success="yes"),
            "duration is text": encoded(duration_ms="fast"),
            "duration below zero": encoded(duration_ms=-1),
            "duration beyond reason": encoded(duration_ms=10**15),
            "memory is text": encoded(metadata={"memoryMB": "much"}),
            "metadata text is no JSON": encoded(metadata="{"),
            "timestamp unreadable": encoded(timestamp="yesterday"),
            "timestamp a number": encoded(timestamp=12),
            "year 2100": encoded(timestamp="2100-01-01 00:00:00"),
            "six minutes ahead": encoded(timestamp=iso(now + 360)),
            "a field of 100 KB": encoded(metadata={"error": "x" * 100_000}),
            "a record of more than 1 MB": encoded(metadata={"error": "x" * 1_000_001}),
        }
        places = {name: await stack.produce_raw(value) for name, value in bad.items()}
        good = [
            encoded(),  # no timestamp: Kafka's time
            encoded(now),
            encoded(now - 5, success=False, cli_type=None, agent_id=None),
            encoded(now - 5, metadata='{"memoryMB": 20}', unknown={"field": [1, 2]}),
            b"[" + encoded(now) + b", " + encoded(now) + b"]",
        ]
        for value in good:
            await stack.produce_raw(value)
        await stack.produce_raw(b"[" + encoded(now) + b", 7, " + encoded(event=None) + b"]")
        await stack.produce_raw(encoded(timestamp="1970-01-01 00:00:00"))
        await stack.produce_raw(encoded(now - 32 * DAY))
        await stack.produce_raw(encoded(event="CIRCUIT_OPENED"))

        async def read() -> dict[str, float] | None:
            names = ("counted", "rejected", "late", "ignored", "left_out")
            seen = {
                name: await stack.metric(f'burnrate_events_total{{result="{name}"}}')
                for name in names
            }
            return seen if sum(seen.values()) >= 7 + len(bad) + 2 + 3 else None

        assert await wait_for(read, "all is read") == {
            "counted": 7,
            "rejected": len(bad) + 2,
            "late": 2,
            "ignored": 1,
            "left_out": 0,
        }

        async def windows() -> bool:
            return (await stack.windows("availability")).get("5m") == (7, 1)

        await wait_for(windows, "seven executions, one of them failed")
        rejected = await stack.rejected()
        assert len(rejected) == len(bad) + 2
        assert all(one["reason"] and len(one["head"]) <= 200 for one in rejected)
        assert all(one["topic"] == f"{prefix}kokino.events" for one in rejected)
        found = {(one["partition"], one["offset"]): one["reason"] for one in rejected}
        reasons = {name: found.pop(place) for name, place in places.items()}
        assert reasons["year 2100"].endswith("lies more than 5 minutes ahead")
        assert reasons["timestamp unreadable"] == "timestamp 'yesterday' cannot be read as a time"
        assert "metadata" in reasons["memory is text"] or "memoryMB" in reasons["memory is text"]
        assert "more than 65536 bytes" in reasons["a field of 100 KB"]
        assert "more than 1000000" in reasons["a record of more than 1 MB"]
        assert len(found) == 1  # the array with two that are none
        worker = stack.workers[0]
        assert worker.process is not None
        assert worker.process.returncode is None
        assert "Traceback" not in worker.log()
        assert (await stack.api("/healthz"))["alive"] is True
        assert await worker.stop() == 0
