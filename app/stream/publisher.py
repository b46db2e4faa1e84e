"""What is decided goes out: notices, alerts and status, in order, by one task."""

import asyncio
import logging
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, NamedTuple

import msgspec
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from app.core.chunks import Digest, Recounted
from app.core.history import Told
from app.core.notices import Notice
from app.kafka import COMPRESSION, client_options, topic_name
from app.settings import Settings
from app.stream.pulse import Pulse
from app.topics import ALERTS, DIGESTS, HISTORY, NOTICES, STATUS, partition_of

log = logging.getLogger(__name__)

BATCH = 500
RETRY_S = 1.0

_encode = msgspec.json.Encoder().encode


class _Item(NamedTuple):
    topic: str
    key: str
    value: bytes | None
    sent: Callable[[], None] | None


class Publisher:
    """A producer of its own, so that a message never waits behind changelog traffic."""

    def __init__(self, settings: Settings, pulse: Pulse) -> None:
        self._settings = settings
        self._pulse = pulse
        self._queue: asyncio.Queue[_Item] = asyncio.Queue()

    def notices(self, notices: Iterable[Notice], sent: Callable[[str], None]) -> None:
        """Hand notices to `slo.notices`; `sent` is called with each id that Kafka has.

        A second time is harmless: whoever delivers knows the ids.
        """
        for notice in notices:
            self._put(NOTICES, notice.destination, notice, partial(sent, notice.id))

    def alert(self, key: str, document: dict[str, Any]) -> None:
        """The newest state of an incident."""
        self._put(ALERTS, key, document)

    def status(self, slo: str, document: dict[str, Any]) -> None:
        """The newest status of an SLO."""
        self._put(STATUS, slo, document)

    def history(self, key: str, told: Told | None) -> None:
        """A day or a month of an SLO; None ends its key."""
        self._put(HISTORY, key, told)

    def recount(self, message: Digest | Recounted) -> None:
        """A digest of what an SLO leaves out, or how far that has come: among the other digests."""
        self._put(DIGESTS, message.slo, message)

    def forget(self, slo: str) -> None:
        """The SLO is configured no more: `slo.status` has no value for it."""
        self._put(STATUS, slo, None)

    def _put(
        self, topic: str, key: str, value: object, sent: Callable[[], None] | None = None
    ) -> None:
        name = topic_name(self._settings, topic)
        encoded = None if value is None else _encode(value)
        self._queue.put_nowait(_Item(name, key, encoded, sent))

    async def run(self) -> None:
        """Send what is handed over, until cancelled."""
        producer = AIOKafkaProducer(
            **client_options(self._settings),
            enable_idempotence=True,
            compression_type=COMPRESSION,
            max_request_size=4_000_000,
        )
        await producer.start()
        try:
            while True:
                await self._send(producer, await self._batch())
        finally:
            await producer.stop()

    async def _batch(self) -> list[_Item]:
        items = [await self._queue.get()]
        while not self._queue.empty() and len(items) < BATCH:
            items.append(self._queue.get_nowait())
        return items

    async def _send(self, producer: AIOKafkaProducer, items: list[_Item]) -> None:
        """Send a batch, again and again until Kafka has it: all of it may come twice."""
        while True:
            self._pulse.check()
            try:
                futures = [
                    await producer.send(
                        item.topic,
                        item.value,
                        key=item.key.encode(),
                        partition=partition_of(item.key),
                    )
                    for item in items
                ]
                await asyncio.gather(*futures)
            except KafkaError as error:
                log.warning("Kafka takes nothing (%s); again in %s s", error, RETRY_S)
                await asyncio.sleep(RETRY_S)
                continue
            for item in items:
                if item.sent is not None:
                    item.sent()
            return
