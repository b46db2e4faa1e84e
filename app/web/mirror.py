"""What Kafka last said of every SLO and every incident, held in memory and kept up to date."""

import asyncio
import logging
from collections.abc import Callable
from typing import Any

import msgspec
from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from aiokafka.errors import KafkaError

from app.core.history import Told
from app.delivery.deliveries import Delivery
from app.kafka import client_options, topic_name
from app.settings import Settings
from app.topics import ALERTS, DELIVERIES, HISTORY, PARTITIONS, STATUS

log = logging.getLogger(__name__)

RETRY_S = 2.0
POLL_MS = 500
INCIDENTS_KEPT = 5000  # open ones are all kept, of the others the newest
DELIVERIES_KEPT = 100  # of one incident

Document = dict[str, Any]

_document = msgspec.json.Decoder(Document).decode
_DECODE: dict[str, Callable[[bytes], Any]] = {
    STATUS: _document,
    ALERTS: _document,
    HISTORY: msgspec.json.Decoder(Told).decode,
    DELIVERIES: msgspec.json.Decoder(Delivery).decode,
}


def _put(into: dict[str, Any], key: str, value: object) -> None:
    if value is None:
        into.pop(key, None)
    else:
        into[key] = value


class Deliveries:
    """Attempts to tell: the newest of each incident, and the last word of each destination."""

    def __init__(self) -> None:
        self.by_incident: dict[str, list[Delivery]] = {}
        self.accepted: dict[str, Delivery] = {}  # by destination, the newest
        self.refused: dict[str, Delivery] = {}

    def take(self, delivery: Delivery | None) -> None:
        """One more attempt."""
        if delivery is None:
            return
        known = self.by_incident.pop(delivery.incident, [])  # the incident told last stands last
        self.by_incident[delivery.incident] = [*known, delivery][-DELIVERIES_KEPT:]
        if len(self.by_incident) > INCIDENTS_KEPT:
            del self.by_incident[next(iter(self.by_incident))]
        if delivery.outcome in ("accepted", "printed"):
            _keep_newer(self.accepted, delivery)
        elif delivery.outcome in ("failed", "retry"):
            _keep_newer(self.refused, delivery)


def _keep_newer(known: dict[str, Delivery], delivery: Delivery) -> None:
    """Partitions are read in any order: what was attempted last counts, not what was read last."""
    have = known.get(delivery.destination)
    if have is None or delivery.at >= have.at:
        known[delivery.destination] = delivery


class Copy:
    """The newest value of every key of the topics."""

    def __init__(self) -> None:
        self.slos: dict[str, Document] = {}
        self.incidents: dict[str, Document] = {}
        self.history: dict[str, dict[str, Told]] = {}
        self.deliveries = Deliveries()

    def take(self, topic: str, record: ConsumerRecord) -> None:
        """Take over one record; a value of None ends its key."""
        key = (record.key or b"").decode("utf-8", "replace")
        try:
            value = None if record.value is None else _DECODE[topic](record.value)
        except msgspec.MsgspecError as error:
            log.warning("%s/%s@%s: %s", record.topic, record.partition, record.offset, error)
            return
        if topic == DELIVERIES:
            self.deliveries.take(value)
        elif topic == HISTORY:
            slo, _, name = key.rpartition("/")
            _put(self.history.setdefault(slo, {}), name, value)
        else:
            _put(self.slos if topic == STATUS else self.incidents, key, value)

    def trim(self) -> None:
        """Forget the resolved incidents that are oldest."""
        if len(self.incidents) <= INCIDENTS_KEPT:
            return
        resolved = [one for one in self.incidents.values() if one["state"] == "resolved"]
        resolved.sort(key=lambda one: str(one["openedAt"]))
        for one in resolved[: len(self.incidents) - INCIDENTS_KEPT]:
            del self.incidents[one["key"]]


class Mirror:
    """A plain consumer of what is shown, in no group: every web server has all of it.

    While it reads from the beginning (at the start, and after Kafka was lost) it shows what it
    knew before, never a state of the past.
    """

    def __init__(self, settings: Settings) -> None:
        self.caught_up = False
        self.version = 0  # grows with everything that is news
        self._settings = settings
        self._copy = Copy()
        self._news = asyncio.Event()

    @property
    def slos(self) -> dict[str, Document]:
        """The newest status of every SLO, by id."""
        return self._copy.slos

    @property
    def incidents(self) -> dict[str, Document]:
        """The newest state of every incident, by key."""
        return self._copy.incidents

    @property
    def history(self) -> dict[str, dict[str, Told]]:
        """By SLO the newest days ("2026-10-13") and months ("2026-10"), and what is "recent"."""
        return self._copy.history

    @property
    def deliveries(self) -> Deliveries:
        """The newest attempts to tell."""
        return self._copy.deliveries

    async def news(self, after: int) -> int:
        """Wait until there is a newer version than `after`, and give it."""
        while self.version <= after:
            await self._news.wait()
        return self.version

    async def run(self) -> None:
        """Follow the topics until cancelled, whatever becomes of Kafka in between."""
        while True:
            try:
                await self._follow()
            except (KafkaError, OSError, TimeoutError) as error:
                log.warning("the status cannot be read (%s); again in %s s", error, RETRY_S)
                await asyncio.sleep(RETRY_S)

    async def _follow(self) -> None:
        consumer = AIOKafkaConsumer(
            **client_options(self._settings),
            enable_auto_commit=False,
            auto_offset_reset="earliest",
        )
        await consumer.start()
        try:
            await self._read(consumer)
        finally:
            await consumer.stop()

    async def _read(self, consumer: AIOKafkaConsumer) -> None:
        copy = Copy()
        names = {topic_name(self._settings, topic): topic for topic in _DECODE}
        partitions = [TopicPartition(name, p) for name in names for p in range(PARTITIONS)]
        consumer.assign(partitions)
        await consumer.seek_to_beginning(*partitions)
        ends = await consumer.end_offsets(partitions)
        while True:
            batches = await consumer.getmany(timeout_ms=POLL_MS)
            for partition, records in batches.items():
                for record in records:
                    copy.take(names[partition.topic], record)
            copy.trim()
            if copy is not self._copy:
                if not await _has_reached(consumer, ends):
                    continue
                self._copy, self.caught_up = copy, True
            elif not batches:
                continue
            self._tell()

    def _tell(self) -> None:
        self.version += 1
        self._news.set()
        self._news = asyncio.Event()


async def _has_reached(consumer: AIOKafkaConsumer, ends: dict[TopicPartition, int]) -> bool:
    for partition, end in ends.items():
        if await consumer.position(partition) < end:
            return False
    return True
