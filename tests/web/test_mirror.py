"""The mirror and the command sender on a real Kafka."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from app.core.commands import Acknowledge
from app.kafka import create_topics
from app.settings import Settings
from app.topics import ALERTS, COMMANDS, STATUS, all_topics, partition_of
from app.web.mirror import Mirror
from app.web.sending import CommandSender, NotSent

pytestmark = pytest.mark.kafka

WAIT_S = 20.0


@asynccontextmanager
async def mirrored(settings: Settings) -> AsyncIterator[Mirror]:
    mirror = Mirror(settings)
    running = asyncio.create_task(mirror.run())
    try:
        yield mirror
    finally:
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running


async def until(mirror: Mirror, holds: Callable[[Mirror], bool]) -> None:
    async with asyncio.timeout(WAIT_S):
        seen = 0
        while not holds(mirror):
            seen = await mirror.news(seen)


@asynccontextmanager
async def publishing(settings: Settings) -> AsyncIterator[Callable[..., Any]]:
    producer = AIOKafkaProducer(bootstrap_servers=settings.kafka)
    await producer.start()

    async def publish(topic: str, key: str, value: object) -> None:
        encoded = value if isinstance(value, bytes) or value is None else json.dumps(value).encode()
        await producer.send_and_wait(
            settings.topic_prefix + topic, encoded, key=key.encode(), partition=partition_of(key)
        )

    try:
        yield publish
    finally:
        await producer.stop()


def incident(key: str, state: str) -> dict[str, str]:
    return {"key": key, "state": state, "openedAt": "2026-10-13T11:41:00.000Z"}


async def test_the_newest_of_every_key_is_known_and_followed(kafka: str, prefix: str) -> None:
    settings = Settings(kafka=kafka, topic_prefix=prefix)
    await create_topics(settings, all_topics(replay=False))
    async with publishing(settings) as publish:
        await publish(STATUS, "latency", {"id": "latency", "n": 1})
        await publish(STATUS, "latency", {"id": "latency", "n": 2})
        await publish(STATUS, "gone", {"id": "gone"})
        await publish(STATUS, "gone", None)
        await publish(STATUS, "broken", b"not JSON")
        await publish(ALERTS, "a", incident("a", "firing"))
        async with mirrored(settings) as mirror:
            await until(mirror, lambda m: m.caught_up)
            assert (mirror.slos, mirror.incidents) == (
                {"latency": {"id": "latency", "n": 2}},
                {"a": incident("a", "firing")},
            )
            await publish(ALERTS, "a", incident("a", "resolved"))
            await until(mirror, lambda m: m.incidents["a"]["state"] == "resolved")


async def test_empty_topics_are_read_too(kafka: str, prefix: str) -> None:
    settings = Settings(kafka=kafka, topic_prefix=prefix)
    await create_topics(settings, all_topics(replay=False))
    async with mirrored(settings) as mirror:
        await until(mirror, lambda m: m.caught_up)
        assert (mirror.slos, mirror.incidents) == ({}, {})


async def test_a_command_lies_where_its_slo_is_judged(kafka: str, prefix: str) -> None:
    settings = Settings(kafka=kafka, topic_prefix=prefix)
    await create_topics(settings, all_topics(replay=False))
    sender = CommandSender(settings)
    command = Acknowledge(id="1", slo="latency", incident="k", by="dana", at=1)
    await sender.send(command)
    await sender.close()
    where = TopicPartition(prefix + COMMANDS, partition_of("latency"))
    consumer = AIOKafkaConsumer(bootstrap_servers=kafka, auto_offset_reset="earliest")
    await consumer.start()
    consumer.assign([where])
    await consumer.seek_to_beginning(where)
    record = await asyncio.wait_for(consumer.getone(), WAIT_S)
    await consumer.stop()
    assert (record.key, json.loads(record.value)) == (
        b"latency",
        {
            "id": "1",
            "kind": "ack",
            "slo": "latency",
            "incident": "k",
            "by": "dana",
            "at": 1,
            "via": "api",
        },
    )


async def test_without_kafka_a_command_is_not_sent() -> None:
    sender = CommandSender(Settings(kafka="127.0.0.1:1"))
    with pytest.raises(NotSent, match="Kafka does not take commands"):
        await sender.send(Acknowledge(id="1", slo="a", incident="k", by="d", at=1))
    await sender.close()
