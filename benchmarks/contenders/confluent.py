"""(b) confluent-kafka's `consume` and typed decoding, nothing else."""

import msgspec
from confluent_kafka import OFFSET_BEGINNING, Consumer, TopicPartition
from stopwatch import Stopwatch, task

from app.core.events import Event


def main() -> None:
    kafka, _, count = job = task()
    consumer = Consumer({"bootstrap.servers": kafka, "group.id": "unused"})
    partitions = consumer.list_topics(job.topic).topics[job.topic].partitions
    consumer.assign([TopicPartition(job.topic, number, OFFSET_BEGINNING) for number in partitions])
    decode, watch, seen, bad = msgspec.json.Decoder(Event).decode, Stopwatch(), 0, 0
    while seen < count:
        messages = consumer.consume(4000, timeout=0.1)
        events = [decode(message.value()) for message in messages]
        seen += len(events)
        bad += sum([event.success != 1 for event in events])
        if seen:
            watch.begin(seen)
    watch.end(seen, bad)
    consumer.close()


if __name__ == "__main__":
    main()
