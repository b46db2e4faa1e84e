"""(c) This project's intake: five objectives, digests sent and acknowledged."""

import asyncio
import gc
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
from aiokafka import AIOKafkaConsumer, TopicPartition
from stopwatch import Stopwatch, task

from app import config
from app.clock import wall_clock
from app.core import rows
from app.core.cells import NOTHING
from app.core.chunks import Digest, Message
from app.core.rows import Row
from app.intake import Intake
from app.kafka import client_options, topic_name
from app.metrics import Metrics
from app.settings import Settings
from app.topics import DIGESTS, PARTITIONS
from app.worker import calm_collector

SETTLES_S = 1.0  # the last digests are on their way: Kafka must have them before it is asked
CONFIG = Path(__file__).parents[2] / "config"


async def main() -> None:
    kafka, prefix, count = task()
    settings = Settings(kafka=kafka, topic_prefix=prefix)
    policy = config.load(CONFIG)
    metrics, watch = Metrics(policy.slos), Stopwatch()
    intake = Intake(settings, policy, metrics, wall_clock)
    reading = asyncio.ensure_future(intake.run())
    counted = metrics.events.labels("counted")._value  # noqa: SLF001 - no scrape in between
    while counted.get() < count or intake._news():  # noqa: SLF001 - until its digests are sent
        await asyncio.sleep(0.002)
        if counted.get():
            watch.begin(int(counted.get()))
    watch.stop()
    await asyncio.sleep(SETTLES_S)
    reading.cancel()
    await asyncio.gather(reading, return_exceptions=True)
    watch.tell(*await _answer(settings))


async def _answer(settings: Settings) -> tuple[int, int]:
    """What the digests say of availability, merged as the counting worker merges them."""
    merged: dict[int, Row] = {}
    async for digest in _digests(settings):
        if digest.slo == "availability":
            for start, cells in digest.coarse.items():
                row = merged.setdefault(start, Row())
                place = (digest.source, digest.start, digest.upto)
                rows.merge_digest(row, *place, cells, final=digest.final)
    counts = NOTHING
    for row in merged.values():
        for one in rows.total(row).slots.values():
            counts = counts.plus(one)
    return counts.total, counts.bad


async def _digests(settings: Settings) -> AsyncIterator[Digest]:
    decode = msgspec.json.Decoder(Message).decode
    consumer = AIOKafkaConsumer(**client_options(settings), auto_offset_reset="earliest")
    parts = [TopicPartition(topic_name(settings, DIGESTS), p) for p in range(PARTITIONS)]
    consumer.assign(parts)
    await consumer.start()
    ends = await consumer.end_offsets(parts)
    while any([await consumer.position(tp) < ends[tp] for tp in parts]):
        for records in (await consumer.getmany(timeout_ms=200)).values():
            for record in records:
                message = decode(record.value)
                if isinstance(message, Digest):
                    yield message
    await consumer.stop()


if __name__ == "__main__":
    gc.collect()
    calm_collector()
    asyncio.run(main())
