"""A whole topic of a real Kafka, read in many batches, with what transactions leave in it."""

import pytest
from aiokafka import AIOKafkaProducer

from app.commands.topic import Record, records
from app.kafka import create_topics, topic_name
from app.settings import Settings
from app.topics import PARTITIONS, REJECTED, all_topics

MANY = 2500  # of each partition: more than a batch holds


@pytest.mark.kafka
async def test_every_record_to_the_end(kafka: str, prefix: str) -> None:
    settings = Settings(kafka=kafka, topic_prefix=prefix)
    await create_topics(settings, all_topics(replay=False))
    topic = topic_name(settings, REJECTED)
    producer = AIOKafkaProducer(bootstrap_servers=kafka, transactional_id=f"{prefix}writer")
    async with producer:
        async with producer.transaction():
            for n in range(MANY):
                for p in range(PARTITIONS):
                    await producer.send(topic, str(n).encode(), key=str(p).encode(), partition=p)
        await producer.begin_transaction()
        await producer.send_and_wait(topic, b"never happened", partition=2)
        await producer.abort_transaction()
    expected = [[Record(b"%d" % p, b"%d" % n) for n in range(MANY)] for p in range(PARTITIONS)]
    assert list(records(settings, REJECTED, 2)) == expected[2]
    every = list(records(settings, REJECTED))
    assert [[r for r in every if r.key == b"%d" % p] for p in range(PARTITIONS)] == expected
