"""What is sent: digests and watermarks, values that were seen, and what had to be refused."""

import asyncio
from collections.abc import Iterable
from typing import Any

import msgspec
from aiokafka import AIOKafkaProducer

from app.core.chunks import Digest, Watermark
from app.core.groups import Sighting
from app.core.reading import Rejected
from app.kafka import topic_name
from app.settings import Settings
from app.topics import DIGESTS, GROUPS, PARTITIONS, REJECTED, partition_of

_encode = msgspec.json.Encoder().encode


class Output:
    """Sends in order and does not wait; `settle` waits until Kafka has everything."""

    def __init__(self, settings: Settings, producer: AIOKafkaProducer) -> None:
        self._producer = producer
        self._digests = topic_name(settings, DIGESTS)
        self._groups = topic_name(settings, GROUPS)
        self._rejected = topic_name(settings, REJECTED)
        self._unsettled: list[asyncio.Future[Any]] = []

    async def digests(self, digests: Iterable[Digest]) -> None:
        """Each to the partition of its SLO."""
        for digest in digests:
            partition = partition_of(digest.slo)
            await self._send(self._digests, digest, digest.slo.encode(), partition)

    async def watermark(self, watermark: Watermark, counted: dict[str, str]) -> None:
        """To every partition, each with its own of the SLOs that are `counted` by a definition."""
        for partition in range(PARTITIONS):
            mine = {slo: d for slo, d in counted.items() if partition_of(slo) == partition}
            told = msgspec.structs.replace(watermark, counted=mine)
            await self._send(self._digests, told, b"watermark", partition)

    async def sightings(self, sightings: Iterable[Sighting]) -> None:
        """Values that make a group, by the SLO that groups by them."""
        for sighting in sightings:
            await self._send(self._groups, sighting, sighting.slo.encode())

    async def rejected(self, rejected: Iterable[Rejected]) -> None:
        """Events that could not be read, by where they lie."""
        for one in rejected:
            key = f"{one.topic}/{one.partition}/{one.offset}/{one.index}"
            await self._send(self._rejected, one, key.encode())

    async def _send(
        self, topic: str, value: msgspec.Struct, key: bytes, partition: int | None = None
    ) -> None:
        self._unsettled.append(
            await self._producer.send(topic, _encode(value), key=key, partition=partition)
        )

    def take_unsettled(self) -> list[asyncio.Future[Any]]:
        """What was sent and not waited for yet: from now on it is the caller's to wait for."""
        unsettled, self._unsettled = self._unsettled, []
        return unsettled

    async def settle(self) -> None:
        """Wait until Kafka has everything that was sent; raises KafkaError where it has not."""
        await asyncio.gather(*self.take_unsettled())
