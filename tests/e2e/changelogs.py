"""What the changelogs of the counting worker's tables hold."""

from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition

from app.topics import PARTITIONS
from tests.e2e.harness import Stack

TABLES = [f"burnrate-count-{name}-changelog" for name in ("fine", "coarse", "states")]


async def records_of(stack: Stack, names: list[str]) -> tuple[int, list[tuple[bytes, Any]]]:
    """How many records were ever written to topics, and those that are still there."""
    consumer = AIOKafkaConsumer(bootstrap_servers=stack.kafka, enable_auto_commit=False)
    await consumer.start()
    try:
        tps = [TopicPartition(stack.prefix + name, p) for name in names for p in range(PARTITIONS)]
        consumer.assign(tps)
        await consumer.seek_to_beginning(*tps)
        ends = await consumer.end_offsets(tps)
        there = []
        for tp, end in ends.items():
            while await consumer.position(tp) < end:
                batches = await consumer.getmany(tp, timeout_ms=200)
                there += [(record.key, record.value) for record in batches.get(tp, [])]
        return sum(ends.values()), there
    finally:
        await consumer.stop()


async def live(stack: Stack, names: list[str]) -> dict[bytes, bytes]:
    """The newest value of every key that has one."""
    newest = dict((await records_of(stack, names))[1])
    return {key: value for key, value in newest.items() if value is not None}
