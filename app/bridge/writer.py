"""The bridge's way into Kafka: each batch and its cursor in one transaction.

A restarted bridge has the same transactional id, so Kafka ends what its predecessor left open and
refuses whatever a predecessor still sends. The cursor in the topic is the only one there is.
"""

import asyncio
import contextlib
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.partitioner import DefaultPartitioner

from app.bridge.cursors import Cursor
from app.bridge.events import Event, encode
from app.kafka import COMPRESSION, client_options, create_topics, topic_name
from app.settings import Settings
from app.topics import CURSORS, EVENTS, all_topics

TRANSACTION_TIMEOUT_MS = 10_000  # as long as a killed bridge can hold up readers
ANSWER_TIMEOUT_S = 15.0  # longer than that a transaction would not live anyway
LEAVE_TIMEOUT_S = 2.0
BATCH_BYTES = 512 * 1024

_partition_of = DefaultPartitioner()
_cursors = msgspec.json.Decoder(Cursor)


class TakenOver(Exception):
    """Another bridge has claimed this cursor."""


def _looked_at(answer: asyncio.Future[Any]) -> None:
    """Of several failures only the first is raised; asyncio would print the others."""
    if not answer.cancelled():
        answer.exception()


class Load:
    """Records for one topic, gathered into a batch for each partition. Keyed as Kafka does it."""

    def __init__(self, producer: AIOKafkaProducer, topic: str, partitions: Iterable[int]) -> None:
        """Begin empty; the producer's partitions of the topic are given."""
        self._producer = producer
        self._topic = topic
        self.partitions = sorted(partitions)
        self._batches: dict[int, list[Any]] = {}
        self.records = 0  # gathered since the last send

    def add(self, event: Event, at_ms: int | None = None) -> None:
        """One event, to the partition of its agent; `at_ms` is the record's time, else now."""
        key = event.agent_id.encode()
        partition: int = _partition_of(key, self.partitions, self.partitions)
        self._append(partition, key, encode(event), at_ms)

    def add_everywhere(self, event: Event, at_ms: int | None = None) -> None:
        """One event to every partition: readers learn from it that a quiet one is alive."""
        key, value = event.agent_id.encode(), encode(event)
        for partition in self.partitions:
            self._append(partition, key, value, at_ms)

    async def send(self) -> None:
        """Send all of it and wait until Kafka has it; raises the first failure."""
        batches, self._batches, self.records = self._batches, {}, 0
        sent = await asyncio.gather(*(self._send(*item) for item in batches.items()))
        answers = (future for futures in sent for future in futures)
        for answer in await asyncio.gather(*answers, return_exceptions=True):
            if isinstance(answer, BaseException):
                raise answer

    async def _send(self, partition: int, batches: list[Any]) -> list[asyncio.Future[Any]]:
        answers = []
        for batch in batches:
            answer = await self._producer.send_batch(batch, self._topic, partition=partition)
            answer.add_done_callback(_looked_at)
            answers.append(answer)
        return answers

    def _append(self, partition: int, key: bytes, value: bytes, at_ms: int | None) -> None:
        self.records += 1
        batches = self._batches.setdefault(partition, [])
        if not batches or not batches[-1].append(key=key, value=value, timestamp=at_ms):
            batches.append(self._producer.create_batch())
            batches[-1].append(key=key, value=value, timestamp=at_ms)


class Writer:
    """A bridge that has joined: it alone writes this cursor until somebody else joins."""

    def __init__(self, settings: Settings, name: str, owner: str) -> None:
        """Take the bridge's name (the cursor's key) and this process's own mark."""
        self._settings = settings
        self._name = name
        self._owner = owner
        self._in_transaction = False
        self._producer = AIOKafkaProducer(
            **client_options(settings),
            transactional_id=f"{settings.topic_prefix}bridge-{name}",
            transaction_timeout_ms=TRANSACTION_TIMEOUT_MS,
            compression_type=COMPRESSION,
            max_batch_size=BATCH_BYTES,
        )
        self.cursor = Cursor()

    async def join(self, *, again: bool) -> None:
        """Make the topics, end what a predecessor left open, read the cursor and claim it.

        `again` says that this process had claimed it before. Raises TakenOver where another
        process has done so since, and Kafka's errors where it cannot be reached.
        """
        if again:  # before joining, which would shut out the other one
            await self._create_topics()
            await self._read_cursor(again=True)
        async with asyncio.timeout(2 * ANSWER_TIMEOUT_S):
            await self._producer.start()
            await self._create_topics()
            partitions = await self._producer.partitions_for(self._topic(EVENTS))
        self._load = Load(self._producer, self._topic(EVENTS), partitions)
        found = await self._read_cursor(again=again)
        await self.write([], msgspec.structs.replace(found, owner=self._owner))

    async def write(
        self, events: Iterable[Event], cursor: Cursor, everywhere: Event | None = None
    ) -> None:
        """Send events and cursor, all or nothing; `everywhere` goes to every partition.

        After an exception it is not known which: leave, join again, and go on from the cursor
        that is found then.
        """
        for event in events:
            self._load.add(event)
        if everywhere is not None:
            self._load.add_everywhere(everywhere)
        async with asyncio.timeout(ANSWER_TIMEOUT_S):
            await self._transact(encode(cursor))
        self.cursor = cursor

    async def leave(self) -> None:
        """Close the connections, within seconds also where Kafka is gone."""
        producer = self._producer
        if self._in_transaction:
            with contextlib.suppress(Exception):
                await asyncio.wait_for(producer.abort_transaction(), LEAVE_TIMEOUT_S)
        try:
            await asyncio.wait_for(producer.stop(), LEAVE_TIMEOUT_S)
        except Exception:  # noqa: BLE001  (stop() waits for ever for records no broker takes)
            task = producer._sender.sender_task  # noqa: SLF001
            if task is not None:
                task.cancel()
            await producer.client.close()

    async def _transact(self, cursor: bytes) -> None:
        await self._producer.begin_transaction()
        self._in_transaction = True
        await self._load.send()
        key = self._name.encode()
        # commit_transaction() would also commit where a batch has failed: every answer is awaited.
        await self._producer.send_and_wait(self._topic(CURSORS), cursor, key)
        await self._producer.commit_transaction()
        self._in_transaction = False

    async def _create_topics(self) -> None:
        topics = [t for t in all_topics(replay=False) if t.name in (EVENTS, CURSORS)]
        await create_topics(self._settings, topics)

    async def _read_cursor(self, *, again: bool) -> Cursor:
        found = await read_cursors(self._settings)
        cursor = found.get(self._name, Cursor())
        if again and cursor.owner not in ("", self._owner):
            raise TakenOver
        return cursor

    def _topic(self, name: str) -> str:
        return topic_name(self._settings, name)


async def read_cursors(settings: Settings) -> Mapping[str, Cursor]:
    """Every bridge's committed cursor, by the bridge's name."""
    partition = TopicPartition(topic_name(settings, CURSORS), 0)
    consumer = AIOKafkaConsumer(
        **client_options(settings), isolation_level="read_committed", enable_auto_commit=False
    )
    try:
        async with asyncio.timeout(2 * ANSWER_TIMEOUT_S):
            await consumer.start()
            consumer.assign([partition])
            return await _read_to_end(consumer, partition)
    finally:
        await consumer.stop()


async def _read_to_end(
    consumer: AIOKafkaConsumer, partition: TopicPartition
) -> Mapping[str, Cursor]:
    await consumer.seek_to_beginning(partition)
    end = (await consumer.end_offsets([partition]))[partition]
    found: dict[str, Cursor] = {}
    while await consumer.position(partition) < end:
        for records in (await consumer.getmany(timeout_ms=200)).values():
            found |= {r.key.decode(): _cursors.decode(r.value) for r in records}
    return found
