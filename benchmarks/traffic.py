"""Traffic in Kokino's shape, and topics full of it: what every benchmark reads."""

import logging
import random
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import NamedTuple

import msgspec
from aiokafka import AIOKafkaProducer

from app.kafka import COMPRESSION, client_options, create_topics, topic_name
from app.settings import Settings
from app.topics import EVENTS, PARTITIONS, Topic, all_topics

CLIS = ("claude-code", "gemini", "codex")
SPAN_S = 6 * 3600


class Execution(NamedTuple):
    """One finished execution as a record, and whether it succeeded."""

    key: bytes
    partition: int
    value: bytes
    ok: bool


class Answer(NamedTuple):
    """What everybody must count."""

    total: int
    bad: int


def executions(
    count: int, *, agents: int = 8, span_s: float = SPAN_S, partitions: int = PARTITIONS
) -> Iterator[Execution]:
    """So many executions of about 235 bytes, spread over the time up to now, in order."""
    chance, now = random.Random(1), time.time()
    for number in range(count):
        who = chance.randrange(agents)
        at = datetime.fromtimestamp(now - span_s * (count - number) / count, UTC)
        yield _execution(chance, number, who, at, who % partitions)


def _execution(
    chance: random.Random, number: int, who: int, at: datetime, partition: int
) -> Execution:
    ok = chance.random() > 0.002
    metadata: dict[str, object] = {
        "sessionId": f"{chance.getrandbits(64):016x}",
        "exitCode": 0,
        "memoryMB": round(chance.gauss(300, 40), 1),
    }
    if not ok:
        metadata = {"error": "CLI exited with code 1: API key rejected"}
    value = {
        "id": number,
        "event": "EXECUTION_COMPLETED" if ok else "EXECUTION_FAILED",
        "agent_id": f"agent-{who}",
        "cli_type": CLIS[who % len(CLIS)],
        "duration_ms": int(chance.lognormvariate(9, 0.6)),
        "success": int(ok),
        "metadata": metadata,
        "timestamp": at.strftime("%Y-%m-%d %H:%M:%S"),
    }
    return Execution(f"agent-{who}".encode(), partition, msgspec.json.encode(value), ok)


async def fill(settings: Settings, records: list[Execution]) -> Answer:
    """Make the topics with this prefix and write the records; what is to be counted."""
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # new topics want a retry or two
    await create_topics(settings, all_topics(replay=False))
    topic = topic_name(settings, EVENTS)
    producer = AIOKafkaProducer(
        **client_options(settings),
        compression_type=COMPRESSION,
        linger_ms=20,
        max_batch_size=1 << 20,
    )
    await producer.start()
    await send(producer, topic, records)
    await producer.stop()
    return Answer(len(records), sum(not record.ok for record in records))


async def send(producer: AIOKafkaProducer, topic: str, records: list[Execution]) -> None:
    """Hand over all of them."""
    for key, partition, value, _ in records:
        await producer.send(topic, value, key=key, partition=partition)


def source_of(partitions: int, own_config: dict[str, str] | None = None) -> Topic:
    """The source topic as the project makes it, but with so many partitions or other settings."""
    config = next(topic.config for topic in all_topics(replay=False) if topic.name == EVENTS)
    return Topic(EVENTS, partitions, own_config or config)
