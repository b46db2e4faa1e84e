"""(a) The limit: aiokafka's `getmany` and typed decoding, nothing else."""

import asyncio
import gc
import sys

import msgspec
from aiokafka import AIOKafkaConsumer, TopicPartition
from stopwatch import Stopwatch, task

from app.core.events import Event
from app.intake.intake import BATCH_RECORDS
from app.worker import calm_collector


async def main() -> None:
    kafka, _, count = job = task()
    consumer = AIOKafkaConsumer(bootstrap_servers=kafka, auto_offset_reset="earliest")
    await consumer.start()
    partitions = consumer.partitions_for_topic(job.topic) or await _partitions(consumer, job.topic)
    consumer.assign([TopicPartition(job.topic, number) for number in partitions])
    decode, watch, seen, bad = msgspec.json.Decoder(Event).decode, Stopwatch(), 0, 0
    while seen < count:
        batches = await consumer.getmany(timeout_ms=100, max_records=BATCH_RECORDS)
        for records in batches.values():
            events = [decode(record.value) for record in records]
            seen += len(events)
            bad += sum([event.success != 1 for event in events])
        if seen:
            watch.begin(seen)
    watch.end(seen, bad)
    await consumer.stop()


async def _partitions(consumer: AIOKafkaConsumer, topic: str) -> set[int]:
    consumer.subscribe([topic])
    while not (found := consumer.partitions_for_topic(topic)):
        await asyncio.sleep(0.05)
    consumer.unsubscribe()
    return found


if __name__ == "__main__":
    if "--calm" in sys.argv:  # with the intake's own setting of Python's collector
        gc.collect()
        calm_collector()
    asyncio.run(main())
