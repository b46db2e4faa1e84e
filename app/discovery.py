"""Discovery: which values `slo.groups` names, so that each makes a group of its SLO's entry.

Whatever the intakes see first, the topic's order decides, so all workers have the same groups.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import msgspec
from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from aiokafka.errors import KafkaError

from app.config import Policy
from app.core.groups import Census, Sighting
from app.kafka import client_options, topic_name
from app.settings import Settings
from app.topics import GROUPS

log = logging.getLogger(__name__)

WAIT_MS = 200
COLLECT_S = 0.5  # what comes together is taken over together
BETWEEN_S = 5.0  # each time definitions are filled from the log's start
RETRY_S = 2.0

TakeOver = Callable[[], Awaitable[bool]]
"""Takes over what is `applied` now; False where that failed and is to be tried again."""

_decode = msgspec.json.Decoder(Sighting).decode


async def regrouped(settings: Settings, policy: Policy) -> Policy:
    """The policy with a group for each value that was seen before. Raises KafkaError."""
    discovery = Discovery(settings)
    await discovery.catch_up()
    return discovery.applied(policy)


class Discovery:
    """Follows `slo.groups`."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._tp = TopicPartition(topic_name(settings, GROUPS), 0)
        self._census = Census()

    def applied(self, policy: Policy) -> Policy:
        """The policy with a group for each value that is known to have been seen."""
        return policy.seeing(
            {name: self._census.of(grouping) for name, grouping in policy.groupings.items()}
        )

    async def catch_up(self) -> None:
        """Read the topic to its end. Raises KafkaError."""
        async with self._consumer() as consumer:
            end = (await consumer.end_offsets([self._tp]))[self._tp]
            while await consumer.position(self._tp) < end:
                await self._take(consumer)

    async def run(self, take_over: TakeOver) -> None:
        """Have it taken over when there is news, at once and then every few seconds, for ever."""
        while True:
            try:
                async with self._consumer() as consumer:
                    await self._follow(consumer, take_over)
            except (KafkaError, OSError, TimeoutError) as error:
                log.warning("the groups cannot be read (%s); again in %s s", error, RETRY_S)
                await asyncio.sleep(RETRY_S)

    async def _follow(self, consumer: AIOKafkaConsumer, take_over: TakeOver) -> None:
        has_news = False
        while True:
            has_news |= await self._take(consumer)
            if has_news:
                await asyncio.sleep(COLLECT_S)
                await self._take(consumer)
                has_news = not await take_over()
                await asyncio.sleep(BETWEEN_S)

    async def _take(self, consumer: AIOKafkaConsumer) -> bool:
        """Read what there is; whether it was anything."""
        records = (await consumer.getmany(timeout_ms=WAIT_MS)).get(self._tp, [])
        for record in records:
            self._read(record)
        return bool(records)

    def _read(self, record: ConsumerRecord) -> None:
        try:
            self._census.take(_decode(record.value or b""))
        except msgspec.MsgspecError as error:
            log.warning("%s@%s is unreadable: %s", record.topic, record.offset, error)

    @asynccontextmanager
    async def _consumer(self) -> AsyncIterator[AIOKafkaConsumer]:
        """Of the whole topic, from its beginning, in no group."""
        consumer = AIOKafkaConsumer(**client_options(self._settings), enable_auto_commit=False)
        await consumer.start()
        try:
            consumer.assign([self._tp])
            await consumer.seek_to_beginning(self._tp)
            yield consumer
        finally:
            await consumer.stop()
