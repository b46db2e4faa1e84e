"""The corrector: recounts from the source topic what SLOs leave out, and follows it as it grows.

It reads no further than the intake has been heard of, so nothing is taken out that was not counted.
Killed in the middle it begins again at the chunks that were applied last, or at the beginning:
what it sends again changes nothing.
"""

import asyncio
import logging
from collections.abc import Iterator
from itertools import takewhile

from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition

from app.core import corrections
from app.core.chunks import CHUNK_RECORDS, PartitionMark, Recounted
from app.core.corrections import Exclusion
from app.core.folding import Folder
from app.core.reading import PartitionReader, Record
from app.kafka import client_options, topic_name
from app.settings import Settings
from app.stream.accounts import Account
from app.stream.desk import Desk
from app.stream.publisher import Publisher
from app.topics import EVENTS

log = logging.getLogger(__name__)

LOOK_S = 0.2
RETRY_S = 2.0
BATCH_RECORDS = 1000  # a judge waits no longer than they take
POLL_MS = 200


class Corrector:
    """One recount for each account of ours that leaves something out."""

    def __init__(self, settings: Settings, desk: Desk, publisher: Publisher) -> None:
        self._settings, self._desk, self._publisher = settings, desk, publisher
        self._running: dict[str, tuple[Account, str, asyncio.Task[None]]] = {}

    async def run(self) -> None:
        """Look for what is to be recounted, until cancelled."""
        try:
            while True:
                self._look()
                await asyncio.sleep(LOOK_S)
        finally:
            for _, _, task in self._running.values():
                task.cancel()

    def _look(self) -> None:
        wanted = {a.slo.id: a for a in self._desk.accounts.values() if self._is_recounted(a)}
        for slo, (account, exclusion, task) in list(self._running.items()):
            if wanted.get(slo) is not account or account.exclusion.fingerprint != exclusion:
                task.cancel()
                del self._running[slo]
        for slo, account in wanted.items():
            if slo not in self._running:
                task = asyncio.ensure_future(self._recount(account, account.exclusion))
                self._running[slo] = (account, account.exclusion.fingerprint, task)

    def _is_recounted(self, account: Account) -> bool:
        """It leaves something out, and all is counted; a set needs no recount."""
        if account.slo.definition.distinct or not account.may_leave_out or not account.exclusion:
            return False
        return not self._desk.is_filling(account)

    async def _recount(self, account: Account, exclusion: Exclusion) -> None:
        while True:
            recount = Recount(self._settings, self._desk, self._publisher, account, exclusion)
            try:
                await recount.run()
            except asyncio.CancelledError:
                raise
            except Exception:
                log.exception("%s: what is left out is counted anew", account.slo.id)
                await asyncio.sleep(RETRY_S)


class Recount:
    """Reads the source topic for one SLO, and sends what is to be taken out of its counts."""

    def __init__(
        self,
        settings: Settings,
        desk: Desk,
        publisher: Publisher,
        account: Account,
        exclusion: Exclusion,
    ) -> None:
        self._settings, self._desk, self._publisher = settings, desk, publisher
        self._slo, self._standing = account.slo, account.standing
        self._exclusion, self._fingerprint = exclusion, exclusion.fingerprint
        self._topic = topic_name(settings, EVENTS)
        self._readers: dict[TopicPartition, PartitionReader] = {}
        self._told: dict[str, int] | None = None

    async def run(self) -> None:
        """Recount until cancelled; raises what Kafka raises."""
        while not self._marks():  # noqa: ASYNC110 - watermarks come from Kafka, once a second
            await asyncio.sleep(LOOK_S)
        consumer = AIOKafkaConsumer(
            **client_options(self._settings),
            isolation_level="read_committed",
            enable_auto_commit=False,
            auto_offset_reset="earliest",
        )
        await consumer.start()
        try:
            marks = self._marks()
            await self._begin(consumer, marks)
            await self._follow(consumer, marks)
        finally:
            await consumer.stop()

    def _marks(self) -> dict[TopicPartition, PartitionMark]:
        """How far each partition was counted; empty while some are not heard of."""
        board = self._desk.board(self._slo.id)
        marks = board.marks() if board.complete else {}
        return {TopicPartition(self._topic, p): mark for p, mark in marks.items()}

    async def _begin(
        self, consumer: AIOKafkaConsumer, marks: dict[TopicPartition, PartitionMark]
    ) -> None:
        consumer.assign(list(marks))
        begins_at = self._exclusion.begins_at(self._standing.state.judged_at)
        first = await consumer.offsets_for_times(dict.fromkeys(marks, max(0, begins_at)))
        oldest = await consumer.beginning_offsets(list(marks))
        folder = Folder(self._slo.id, self._slo.definition, self._topic)
        for tp, mark in marks.items():
            found = first.get(tp)
            wanted = corrections.chunk_start(found.offset if found else mark.upto)
            wanted = self._known_start(mark, wanted)
            offset = max(wanted, oldest[tp])
            reader = self._readers[tp] = PartitionReader(
                [folder],
                topic=self._topic,
                epoch=mark.epoch,
                partition=tp.partition,
                skip=offset > wanted and offset % CHUNK_RECORDS != 0,
            )
            reader.start = reader.upto = offset
            consumer.seek(tp, offset)

    def _known_start(self, mark: PartitionMark, wanted: int) -> int:
        """Where it goes on that has been recounted in part already."""
        applied = self._standing.state.applied
        if applied.exclusion != self._fingerprint:
            return wanted
        return applied.starts.get(f"{mark.epoch}/{mark.partition}", wanted)

    async def _follow(
        self, consumer: AIOKafkaConsumer, goals: dict[TopicPartition, PartitionMark]
    ) -> None:
        while True:
            batches = await consumer.getmany(timeout_ms=POLL_MS, max_records=BATCH_RECORDS)
            for tp, fetched in batches.items():
                await self._take(tp, fetched)
            if self._told is None and not await _has_reached(consumer, goals):
                continue
            starts = {reader.source: reader.start for reader in self._readers.values()}
            if starts != self._told:
                self._told = starts
                self._publisher.recount(
                    Recounted(slo=self._slo.id, exclusion=self._fingerprint, starts=starts)
                )

    async def _take(self, tp: TopicPartition, fetched: list[ConsumerRecord]) -> None:
        """Count records as soon as the intake has been heard to have counted them."""
        while fetched:
            mark = self._marks().get(tp)
            reader = self._readers[tp]
            if mark is not None and mark.epoch != reader.epoch:
                raise RuntimeError(f"{tp.topic} was made anew")
            ready = _before(fetched, mark.upto if mark is not None else 0)
            self._count(reader, ready)
            fetched = fetched[len(ready) :]
            await asyncio.sleep(LOOK_S if fetched else 0)

    def _count(self, reader: PartitionReader, fetched: list[ConsumerRecord]) -> None:
        finals, _ = reader.read(list(self._left_out(fetched)))
        for digest in [*finals, *reader.digests()]:
            self._publisher.recount(corrections.negated(digest, self._fingerprint))

    def _left_out(self, fetched: list[ConsumerRecord]) -> Iterator[Record]:
        for record in fetched:
            read = Record(record.offset, record.timestamp, record.value)
            yield corrections.left_out(read, self._exclusion)


def _before(fetched: list[ConsumerRecord], upto: int) -> list[ConsumerRecord]:
    return list(takewhile(lambda record: record.offset < upto, fetched))


async def _has_reached(
    consumer: AIOKafkaConsumer, goals: dict[TopicPartition, PartitionMark]
) -> bool:
    for tp, mark in goals.items():
        if await consumer.position(tp) < mark.upto:
            return False
    return True
