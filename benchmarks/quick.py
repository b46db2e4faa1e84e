"""How much of Kafka's own speed is left: `make bench-quick`.

One topic of events in Kokino's shape on a real Kafka, read on one core by (a) aiokafka's `getmany`
and decoding alone, the limit; (c) the intake, digests sent and acknowledged; (d) a whole worker, to
a status that has counted them all. Each is a process of its own, taken in turn; the median of the
rounds counts. The last line is JSON: ratios to (a), and µs of CPU an event.
"""

import argparse
import asyncio
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from datetime import UTC, datetime
from pathlib import Path

import httpx
import msgspec
import psutil
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from app import config
from app.clock import wall_clock
from app.core import events
from app.intake import BATCH_RECORDS, Intake
from app.kafka import client_options, create_topics, topic_name
from app.local import kafka
from app.metrics import Metrics
from app.settings import Settings
from app.topics import EVENTS, PARTITIONS, all_topics

ROOT = Path(__file__).parents[1]
CORE = {0}
AGENTS = {"alice": "claude-code", "bob": "claude-code", "carol": "gemini", "dave": "codex"}


def execution(chance: random.Random, at_s: float) -> bytes:
    """One finished execution, about 235 bytes."""
    agent = chance.choice(list(AGENTS))
    ok = chance.random() > 0.002
    metadata: dict[str, object] = {"exitCode": 0, "memoryMB": round(chance.gauss(300, 40), 1)}
    if not ok:
        metadata = {"error": "CLI exited with code 1: API key rejected"}
    return msgspec.json.encode(
        {
            "id": chance.randrange(10**9),
            "event": "EXECUTION_COMPLETED" if ok else "EXECUTION_FAILED",
            "agent_id": agent,
            "cli_type": AGENTS[agent],
            "duration_ms": int(chance.lognormvariate(9, 0.6)),
            "success": int(ok),
            "metadata": metadata,
            "timestamp": datetime.fromtimestamp(at_s, UTC).strftime("%Y-%m-%d %H:%M:%S"),
        }
    )


async def fill(settings: Settings, count: int) -> None:
    """Write the events, spread over the last six hours in order."""
    await create_topics(settings, all_topics(replay=False))
    producer = AIOKafkaProducer(
        **client_options(settings), compression_type="lz4", linger_ms=20, max_batch_size=1 << 20
    )
    await producer.start()
    chance, now = random.Random(1), time.time()
    for number in range(count):
        value = execution(chance, now - 6 * 3600 * (count - number) / count)
        await producer.send(topic_name(settings, EVENTS), value, partition=number % PARTITIONS)
    await producer.stop()


async def raw(settings: Settings, count: int) -> None:
    """(a): fetch and decode."""
    topic = topic_name(settings, EVENTS)
    consumer = AIOKafkaConsumer(**client_options(settings), auto_offset_reset="earliest")
    consumer.assign([TopicPartition(topic, number) for number in range(PARTITIONS)])
    await consumer.start()
    seen = 0
    while seen < count:
        batches = await consumer.getmany(timeout_ms=100, max_records=BATCH_RECORDS)
        for records in batches.values():
            seen += sum(len(events.decode(record.value)) for record in records)
    await consumer.stop()


async def intake(settings: Settings, count: int) -> None:
    """(c): the product's intake, until every digest is acknowledged."""
    policy = config.load(ROOT / "config")
    metrics = Metrics(policy.slos)
    running = asyncio.ensure_future(
        Intake(settings, policy.slos.values(), metrics, wall_clock).run()
    )
    counted_events = metrics.events.labels("counted")._value  # noqa: SLF001 - no scrape in between
    while counted_events.get() < count:
        await asyncio.sleep(0.005)
    await asyncio.sleep(0)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def whole(settings: Settings, count: int) -> None:
    """(d): a whole worker, until its status has counted everything."""
    env = {
        **os.environ,
        "BURNRATE_KAFKA": settings.kafka,
        "BURNRATE_TOPIC_PREFIX": settings.topic_prefix,
        "BURNRATE_DATA": tempfile.mkdtemp(),
        "BURNRATE_CONFIG": str(ROOT / "config"),
        "BURNRATE_LOG_LEVEL": "CRITICAL",
    }
    port = 5097
    worker = psutil.Popen([sys.executable, "-m", "app", "worker", "--port", str(port)], env=env)
    try:
        async with httpx.AsyncClient(trust_env=False, timeout=2) as client:
            while await counted(client, port) < count:
                await asyncio.sleep(0.01)
    finally:
        worker.terminate()
        worker.wait()


async def counted(client: httpx.AsyncClient, port: int) -> int:
    """How many executions the status has counted."""
    try:
        slos = (await client.get(f"http://127.0.0.1:{port}/api/slo/status")).json().get("slos", [])
    except (httpx.HTTPError, ValueError):
        return 0
    totals = [slo["windows"]["24h"]["total"] for slo in slos if slo["id"] == "availability"]
    return sum(totals)


CONTENDERS = {"raw": raw, "intake": intake, "whole": whole}


def child(name: str, settings: Settings, count: int) -> None:
    """Run one contender on one core; prints seconds and CPU seconds."""
    os.sched_setaffinity(0, CORE)
    began, cpu = time.perf_counter(), os.times()
    asyncio.run(CONTENDERS[name](settings, count))
    took, after = time.perf_counter() - began, os.times()
    used = sum(after[:4]) - sum(cpu[:4])
    print(json.dumps([took, used]))


def measured(name: str, settings: Settings, count: int) -> tuple[float, float]:
    """A contender in a process of its own: (seconds, CPU seconds)."""
    out = subprocess.run(
        [sys.executable, __file__, "--child", name, "--count", str(count)],
        env={
            **os.environ,
            "BURNRATE_KAFKA": settings.kafka,
            "BURNRATE_TOPIC_PREFIX": settings.topic_prefix,
        },
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    took, cpu = json.loads(out.splitlines()[-1])
    return took, cpu


def main(count: int, rounds: int) -> None:
    """Fill once, measure in turn, print."""
    with tempfile.TemporaryDirectory() as folder:
        broker = kafka.start(Path(folder))
        found: dict[str, list[tuple[float, float]]] = {name: [] for name in CONTENDERS}
        try:
            for _ in range(rounds):
                for name, results in found.items():
                    prefix = f"b{uuid.uuid4().hex[:6]}."
                    settings = Settings(kafka=broker.bootstrap, topic_prefix=prefix)
                    asyncio.run(fill(settings, count))
                    results.append(measured(name, settings, count))
        finally:
            kafka.stop(Path(folder))
    median = {
        name: (
            statistics.median(took for took, _ in results),
            statistics.median(cpu for _, cpu in results),
        )
        for name, results in found.items()
    }
    for name, (took, cpu) in median.items():
        print(f"{name:8} {count / took:10.0f} events/s {cpu / count * 1e6:6.2f} µs CPU an event")
    ratios = {
        "intake_to_raw": round(median["raw"][0] / median["intake"][0], 3),
        "whole_to_raw": round(median["raw"][0] / median["whole"][0], 3),
        "intake_to_raw_cpu": round(median["raw"][1] / median["intake"][1], 3),
        "events": count,
    }
    print(json.dumps(ratios))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=300_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--child", choices=CONTENDERS)
    given = parser.parse_args()
    if given.child:
        child(given.child, Settings.from_env(), given.count)
    else:
        main(given.count, given.rounds)
