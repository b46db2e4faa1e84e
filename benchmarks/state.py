"""A worker with thirty full days of state: how much it holds, and how soon it judges again.

    PYTHONPATH=. python benchmarks/state.py [--rate 100] [--kafka 127.0.0.1:9092]

Digests for every 10-s slot of 25 hours and every 5-min slot of 30 days are written for the five
SLOs, as the intake would send them at the given rate (events a second). A worker takes them in, is
killed, started, stopped and started again. Prints one line of JSON; times in seconds, sizes in MB.

The digests are made up, not folded from events: rows depend on slots, sources and the spread of
durations, not on how many events stand behind a count. So 10 000 events a second can be measured.
"""

import asyncio
import json
import random
import time
from collections.abc import Iterator
from typing import NamedTuple

import msgspec
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from stand import Worker, broker, end_in_order, parser, site

from app import config
from app.core import sketch
from app.core.cells import MICRO, Cells, Counts
from app.core.chunks import Digest
from app.core.slos import Slo
from app.core.slots import COARSE, FINE, GRAINS, Grain
from app.kafka import client_options, create_topics, topic_name
from app.settings import Settings
from app.topics import DIGESTS, PARTITIONS, all_topics, partition_of

AGENTS = [f"agent_id=agent-{n}" for n in range(8)]
SOURCES = 4
SLOS = 5


def cells(slo: Slo, grain: Grain, row: int, rate: float, chance: random.Random) -> Cells:
    """One source partition's share of a full row."""
    made = Cells()
    for slot in range(row, row + grain.row_s, grain.slot_s):
        total = max(1, round(rate * grain.slot_s / SOURCES))
        made.slots[slot] = Counts(total, total // 500, 0, total * 300 * MICRO)
        if slo.definition.sketch and grain is FINE:
            values = (chance.lognormvariate(9, 0.7) for _ in range(min(total, 2000)))
            bins: dict[int, int] = {}
            for value in values:
                index = sketch.bin_of(value)
                bins[index] = bins.get(index, 0) + 1
            made.bins[slot] = bins
    if grain is FINE:
        made.tags = {tag: Counts(10, 1) for tag in AGENTS}
    return made


def digests(slos: list[Slo], now_s: int, rate: float) -> Iterator[Digest]:
    """Thirty days, oldest first: one chunk for each hour and source partition."""
    chance = random.Random(1)
    first = now_s - 30 * 86_400
    for number, hour in enumerate(range(first - first % 3600, now_s, 3600)):
        rows = range(hour, hour + 3600, FINE.row_s) if hour > now_s - FINE.kept_s else ()
        for slo in slos:
            for partition in range(SOURCES):
                yield Digest(
                    slo=slo.id,
                    definition=slo.definition.fingerprint(),
                    epoch="state",
                    partition=partition,
                    start=number * 8192,
                    upto=(number + 1) * 8192,
                    kafka_ms=hour * 1000,
                    final=True,
                    fine={row: cells(slo, FINE, row, rate, chance) for row in rows},
                    coarse={hour: cells(slo, COARSE, hour, rate, chance)},
                )


async def fill(settings: Settings, slos: list[Slo], rate: float) -> int:
    """Write the digests; how many."""
    producer = AIOKafkaProducer(
        **client_options(settings), compression_type="lz4", max_request_size=8_000_000
    )
    await producer.start()
    topic, count = topic_name(settings, DIGESTS), 0
    for digest in digests(slos, int(time.time()), rate):
        value = msgspec.json.encode(digest)
        await producer.send(
            topic, value, key=digest.slo.encode(), partition=partition_of(digest.slo)
        )
        count += 1
    await producer.stop()
    return count


async def lag(settings: Settings) -> int:
    """Digests that the worker has not acknowledged yet."""
    group = topic_name(settings, "burnrate-count")
    consumer = AIOKafkaConsumer(
        **client_options(settings), group_id=group, enable_auto_commit=False
    )
    partitions = [TopicPartition(topic_name(settings, DIGESTS), p) for p in range(PARTITIONS)]
    consumer.assign(partitions)
    await consumer.start()
    try:
        ends = await consumer.end_offsets(partitions)
        return sum([ends[tp] - (await consumer.committed(tp) or 0) for tp in partitions])
    finally:
        await consumer.stop()


class Changelog(NamedTuple):
    """What lies in the changelogs of rows: all records, and the newest of each key."""

    records: int
    live: int
    live_bytes: int


async def changelog(settings: Settings) -> Changelog:
    """Read the changelogs of fine and coarse rows."""
    names = [topic_name(settings, f"burnrate-count-{grain}-changelog") for grain in GRAINS]
    partitions = [TopicPartition(name, p) for name in names for p in range(PARTITIONS)]
    consumer = AIOKafkaConsumer(**client_options(settings), enable_auto_commit=False)
    consumer.assign(partitions)
    await consumer.start()
    records, newest = 0, {}
    try:
        await consumer.seek_to_beginning(*partitions)
        for tp, end in (await consumer.end_offsets(partitions)).items():
            while await consumer.position(tp) < end:
                for record in (await consumer.getmany(tp, timeout_ms=500)).get(tp, []):
                    records += 1
                    newest[record.key] = record.value
    finally:
        await consumer.stop()
    live = [len(value) for value in newest.values() if value]
    return Changelog(records, len(live), sum(live))


async def main(kafka: str, rate: float) -> dict[str, float]:
    """Run it all."""
    with site(kafka) as settings:
        await create_topics(settings, all_topics(replay=False))
        slos = list(config.load(settings.config_dir).slos.values())
        written = await fill(settings, slos, rate)
        async with Worker(settings) as worker:
            await worker.judging(SLOS, 0)
            peak = 0.0
            while await lag(settings) > 20:
                peak = max(peak, worker.memory_mb())
                await asyncio.sleep(0.1)
            taken_s = time.monotonic() - worker.began
            await asyncio.sleep(3)
            memory = worker.memory_mb()
            size = await changelog(settings)
        now = int(time.time() * 1000)
        async with Worker(settings) as worker:
            after_kill = await worker.judging(SLOS, now)
            memory_after = worker.memory_mb()
            stopping = worker.stop()
        now = int(time.time() * 1000)
        async with Worker(settings) as worker:
            after_stop = await worker.judging(SLOS, now)
            worker.stop()
    return {
        "rate": rate,
        "digests": written,
        "taken_in_s": round(taken_s, 1),
        "rows": size.live,
        "rows_mb": round(size.live_bytes / 1e6, 1),
        "memory_peak_mb": round(max(peak, memory)),
        "memory_mb": round(memory),
        "memory_after_recovery_mb": round(memory_after),
        "judging_after_sigkill_s": round(after_kill, 2),
        "stopped_in_s": round(stopping, 2),
        "judging_after_stop_s": round(after_stop, 2),
    }


if __name__ == "__main__":
    end_in_order()
    options = parser(__doc__)
    options.add_argument("--rate", type=float, default=1.0)
    given = options.parse_args()
    with broker(given.kafka) as bootstrap:
        print(json.dumps(asyncio.run(main(bootstrap, given.rate))))
