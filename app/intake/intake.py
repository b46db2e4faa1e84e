"""Reading `kokino.events` in batches, for as long as a worker lives."""

import asyncio
import logging
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from typing import Any

from aiokafka import (
    AIOKafkaProducer,
    ConsumerRebalanceListener,
    OffsetAndMetadata,
    TopicPartition,
)
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import CommitFailedError, IllegalStateError, RebalanceInProgressError

from app.clock import Clock
from app.config import Policy
from app.core import chunks, probes
from app.core.chunks import CHUNK_RECORDS, Digest, Heartbeat, PartitionMark, Watermark
from app.core.folding import Folder
from app.core.groups import Finder
from app.core.populations import Population
from app.core.reading import PartitionReader, Record, Seen
from app.core.slos import Slo
from app.core.vitals import ALERTER
from app.intake import bookmarks, source
from app.intake.output import Output
from app.intake.refill import Filling, lacking, refill
from app.kafka import COMPRESSION, client_options, topic_id, topic_name, unread_partitions
from app.metrics import Metrics
from app.settings import Settings
from app.topics import EVENTS

log = logging.getLogger(__name__)

FLUSH_S = 0.1
BEHIND_FLUSH_S = 1.0  # more than a chunk behind: the last digest of each chunk comes soon anyway
TICK_S = 1.0
BATCH_RECORDS = 4000
EPOCH_TICKS = 10  # between looks at what the group and the topic have become
RESTART_S = 1.0
REPLAY_STEP_MS = 60_000  # of the data's time; the desk judges every 10 s in between
REPLAY_LINGER_MS = 5  # a replay sends thousands of small messages a second


class Intake(ConsumerRebalanceListener):  # type: ignore[misc]  # aiokafka is untyped
    """Reads the partitions that the group gives it, until it is stopped."""

    def __init__(self, settings: Settings, policy: Policy, metrics: Metrics, clock: Clock) -> None:
        self._settings = settings
        self._topic = topic_name(settings, EVENTS)
        self._folders = _folders(policy.slos.values(), self._topic)
        self._groupings = policy.groupings
        self._finder = Finder(self._groupings, self._topic)
        self._filling: asyncio.Task[None] | None = None
        self._metrics = metrics
        self._clock = clock
        self._readers: dict[TopicPartition, PartitionReader] = {}
        self._marked: dict[TopicPartition, OffsetAndMetadata] = {}
        self._counted_upto: dict[TopicPartition, int] = {}
        self._generation = 0
        self._replayed_until = 0
        self._heartbeat: Heartbeat | None = None
        self._minute: deque[tuple[int, int]] = deque(maxlen=60)  # counted, rejected; by second
        self._counted = self._rejected = 0
        self._failed: Exception | None = None
        self._ticks = 0
        self._progress: dict[TopicPartition, int] = {}  # when it was read from, or at its end, ms
        self._ticked_at = clock()

    @property
    def progress_at(self) -> int:
        """When the partition was read from, or at its end, that has got nowhere for longest, ms."""
        return min([self._ticked_at, *(self._progress[tp] for tp in self._readers)])

    def take_over(self, policy: Policy) -> None:
        """Count by this from now on; definitions that are new are filled from the log's start."""
        self._folders = _folders(policy.slos.values(), self._topic)
        self._groupings = policy.groupings
        for reader in self._readers.values():
            reader.keep(self._folders)
        self._fill()

    def _fill(self) -> None:
        """Begin to fill what the readers lack; what was being filled is begun anew."""
        self._finder = Finder(self._groupings, self._topic)  # what was not sent is found again
        if self._filling is not None:
            self._filling.cancel()
            self._filling = None
        fillings = {
            tp: Filling(reader, self._reader(tp, reader.epoch, new, skip=False))
            for tp, reader in self._readers.items()
            if (new := lacking(reader, self._folders))
        }
        if fillings:
            self._filling = asyncio.ensure_future(self._refill(fillings))

    async def _refill(self, fillings: dict[TopicPartition, Filling]) -> None:
        try:
            for tp, start in (await self._consumer.beginning_offsets(list(fillings))).items():
                fillings[tp].behind.start = fillings[tp].behind.upto = start
            await refill(self._settings, fillings, self._send_filled)
        except Exception as error:  # noqa: BLE001 - `_read` raises it, and all begins anew
            self._failed = error

    async def _send_filled(
        self, partition: int, digests: list[Digest], counted: list[Population]
    ) -> None:
        output = Output(self._settings, self._producer)  # waits for its own alone
        await output.digests(digests)
        await output.sightings(self._finder.look(counted, partition).sightings)
        await output.settle()

    async def run(self) -> None:
        """Read for ever; after an error everything begins anew at the committed chunk starts."""
        while True:
            try:
                await self._session()
            except asyncio.CancelledError:
                raise
            except Exception:
                self._metrics.intake_restarts.inc()
                log.exception("the intake begins anew in %s s", RESTART_S)
                await asyncio.sleep(RESTART_S)

    async def _session(self) -> None:
        options = client_options(self._settings)
        self._consumer = source.open_consumer(self._settings)
        self._producer = AIOKafkaProducer(
            **options,
            enable_idempotence=True,
            compression_type=COMPRESSION,
            max_request_size=8_000_000,
            linger_ms=REPLAY_LINGER_MS if self._settings.replay else 0,
        )
        self._output = Output(self._settings, self._producer)
        self._failed = None
        self._admin = AIOKafkaAdminClient(**options)
        try:
            for client in (self._admin, self._producer):
                await client.start()
            self._consumer.subscribe([self._topic], listener=self)
            await self._consumer.start()
            await self._read()
        finally:
            self._readers.clear()
            self._fill()
            for client in (self._consumer, self._producer, self._admin):
                await _stop(client)

    async def on_partitions_revoked(self, _revoked: set[TopicPartition]) -> None:
        """Whoever gets them reads their open chunks again."""
        self._generation += 1
        self._readers.clear()
        self._fill()

    async def on_partitions_assigned(self, assigned: set[TopicPartition]) -> None:
        """Begin each partition at a chunk's start."""
        if not assigned:
            return
        try:
            await self._begin_all(assigned)
        except Exception as error:  # noqa: BLE001 - aiokafka would swallow it: `_read` raises it
            self._failed = error

    async def _begin_all(self, assigned: set[TopicPartition]) -> None:
        epoch = await self._epoch()
        committed = await self._admin.list_consumer_group_offsets(source.group_id(self._settings))
        starts = await self._consumer.beginning_offsets(list(assigned))
        for tp in assigned:
            self._begin(tp, epoch, committed.get(tp), starts[tp])
        self._generation += 1
        self._fill()

    async def _epoch(self) -> str:
        """The source topic's id."""
        return await asyncio.to_thread(topic_id, self._settings, EVENTS)

    def _begin(
        self, tp: TopicPartition, epoch: str, committed: OffsetAndMetadata | None, log_start: int
    ) -> None:
        begin = bookmarks.beginning(committed, epoch, log_start, self._folders)
        if begin.skip:
            log.warning(
                "%s [%s]: offset %s is no chunk start", tp.topic, tp.partition, begin.offset
            )
        reader = self._reader(tp, epoch, begin.folders, skip=begin.skip)
        reader.start = reader.upto = begin.offset
        self._counted_upto[tp] = begin.counted_upto
        self._heartbeat = chunks.newest(self._heartbeat, begin.heartbeat)
        self._readers[tp] = reader
        self._progress[tp] = self._clock()
        self._consumer.seek(tp, begin.offset)

    def _reader(
        self, tp: TopicPartition, epoch: str, folders: Sequence[Folder], *, skip: bool
    ) -> PartitionReader:
        reader = PartitionReader(
            folders, topic=tp.topic, epoch=epoch, partition=tp.partition, skip=skip
        )
        reader.keep(self._folders)
        return reader

    async def _read(self) -> None:
        loop = asyncio.get_running_loop()
        flushed, ticked, behind = 0.0, 0.0, False
        while True:
            wait_s = max(0.0, flushed + FLUSH_S - loop.time()) if self._news() else FLUSH_S
            generation = self._generation
            source.hand_out_plainly(self._consumer)
            batches = await self._consumer.getmany(
                timeout_ms=int(wait_s * 1000), max_records=BATCH_RECORDS
            )
            if self._failed is not None:
                raise self._failed
            if generation != self._generation:
                self._start_over()  # these records may be from before the rebalance's seek
                continue
            await self._take(batches, generation)
            now = loop.time()
            unread, was_behind = self._unread(), behind
            behind = unread > (0 if was_behind else CHUNK_RECORDS)
            flush_s = BEHIND_FLUSH_S if unread > CHUNK_RECORDS else FLUSH_S
            if self._urgent() or (self._news() and now >= flushed + flush_s):
                await self._flush()
                flushed = now
            if now >= ticked + TICK_S or (was_behind and not behind):  # caught up: said at once
                await self._tick()
                ticked = now

    def _unread(self) -> int:
        """How many records wait in the partition that has most of them, as far as is known."""
        return max((mark.log_end - mark.upto for mark in self._marks()), default=0)

    def _start_over(self) -> None:
        for tp, reader in self._readers.items():
            self._consumer.seek(tp, reader.start)

    def _news(self) -> bool:
        return any(reader.news for reader in self._readers.values())

    def _urgent(self) -> bool:
        return any(reader.urgent for reader in self._readers.values())

    async def _take(self, batches: dict[TopicPartition, list[Record]], generation: int) -> None:
        """Read a batch while Kafka still takes what came of the one before."""
        earlier = self._output.take_unsettled()
        for tp, fetched in batches.items():
            reader = self._readers.get(tp)
            if reader is None or generation != self._generation:
                continue  # a reader that is newer than these records begins elsewhere
            self._progress[tp] = self._clock()
            for piece in _by_minute(fetched) if self._settings.replay else (fetched,):
                await self._take_piece(tp, reader, piece)
        await asyncio.gather(*earlier)
        await asyncio.sleep(0)  # where much waits to be read, nothing else lets others run

    async def _take_piece(
        self, tp: TopicPartition, reader: PartitionReader, records: list[Record]
    ) -> None:
        finals, counted = reader.read(records)
        self._observe(tp, reader, counted)
        await self._look(tp, counted)
        self._heartbeat = chunks.newest(self._heartbeat, reader.heartbeat)
        await self._send(finals)
        if self._settings.replay:
            await self._replay_tick()

    async def _flush(self) -> None:
        await self._send([d for reader in self._readers.values() for d in reader.digests()])
        await self._output.settle()

    async def _send(self, digests: list[Digest]) -> None:
        """Send digests, and what was refused meanwhile."""
        await self._output.digests(digests)
        for tp, reader in list(self._readers.items()):  # they may move while this waits
            since = self._counted_upto.get(tp, 0)
            await self._output.rejected(one for one in reader.rejected if one.offset >= since)
            reader.rejected.clear()

    async def _look(self, tp: TopicPartition, counted: list[Population]) -> None:
        """Tell of values that make a group: acknowledged before anything is committed."""
        looked = self._finder.look(counted, tp.partition, self._counted_upto.get(tp, 0))
        await self._output.sightings(looked.sightings)
        for (entry, why), number in looked.left_over.items():
            self._metrics.left_over.labels(entry, why).inc(number)

    async def _tick(self) -> None:
        """Once a second: say how far it is read, and commit."""
        if self._news():
            await self._flush()
        self._minute.append((self._counted, self._rejected))
        self._counted = self._rejected = 0
        watermark = self._watermark()
        await self._output.watermark(watermark, self._counted_by())
        await self._output.settle()
        await self._commit()
        self._ticked_at = self._clock()
        at_end = {mark.partition for mark in watermark.marks if mark.at_end}
        self._progress |= {tp: self._ticked_at for tp in self._readers if tp.partition in at_end}
        self._ticks += 1
        if self._ticks % EPOCH_TICKS == 0:
            await self._check_epoch()
            await self._check_assignment()

    async def _check_epoch(self) -> None:
        """A topic that was deleted and made anew moves no partitions: it must be noticed."""
        epoch = await self._epoch()
        if any(reader.epoch != epoch for reader in self._readers.values()):
            raise RuntimeError(f"{self._topic} was made anew: everything in it is read")

    async def _check_assignment(self) -> None:
        """Partitions that nobody reads are shared out anew, if this is the group's leader."""
        group = source.group_id(self._settings)
        unread = await unread_partitions(self._settings, group, EVENTS)
        if unread:
            log.warning("nobody reads partitions %s of %s", sorted(unread), self._topic)
            source.request_rejoin(self._consumer)

    async def _replay_tick(self) -> None:
        """In a replay time passes with the data: say so whenever all partitions have moved on."""
        watermark = self._watermark()
        until = min((mark.kafka_ms for mark in watermark.marks), default=0)
        if until > self._replayed_until and len(watermark.marks) == watermark.partitions:
            self._replayed_until = until
            await self._send([d for reader in self._readers.values() for d in reader.digests()])
            await self._output.watermark(watermark, self._counted_by())

    def _watermark(self) -> Watermark:
        known = self._consumer.partitions_for_topic(self._topic) or ()
        return Watermark(
            sent_ms=self._clock(),
            partitions=len(known),
            marks=self._marks(),
            heartbeat=self._heartbeat,
            last_minute=(sum(c for c, _ in self._minute), sum(r for _, r in self._minute)),
        )

    def _marks(self) -> tuple[PartitionMark, ...]:
        now, readers = self._clock(), self._readers.items()
        marks = (self._mark_partition(tp, reader, now) for tp, reader in readers)
        return tuple(mark for mark in marks if mark is not None)

    def _mark_partition(
        self, tp: TopicPartition, reader: PartitionReader, now: int
    ) -> PartitionMark | None:
        log_end = self._consumer.last_stable_offset(tp)
        if log_end is None or log_end < 0:
            return None
        position = max(reader.upto, source.position(self._consumer, tp))
        at_end = position >= log_end
        kafka_ms = now if at_end and not self._settings.replay else reader.kafka_ms
        return PartitionMark(reader.epoch, tp.partition, position, log_end, kafka_ms)

    def _counted_by(self) -> dict[str, str]:
        """Of every SLO the definition by which all partitions that are read here are counted."""
        lack = {f.id for reader in self._readers.values() for f in lacking(reader, self._folders)}
        return {f.slo: f.fingerprint for f in self._folders if f.id not in lack}

    async def _commit(self) -> None:
        """Commit each partition's chunk start, with the mark that says it is one."""
        offsets = dict(self._offsets())
        if not offsets:
            return
        try:
            await self._consumer.commit(offsets)
        except (CommitFailedError, RebalanceInProgressError, IllegalStateError) as error:
            log.info("not committed, the partitions are moving: %s", error)

    def _offsets(self) -> Iterator[tuple[TopicPartition, OffsetAndMetadata]]:
        for tp, reader in self._readers.items():
            if reader.skipping:
                continue
            counted_upto = self._counted_upto.get(tp, 0)
            marked = bookmarks.bookmark(reader, counted_upto, self._heartbeat)
            if self._marked.get(tp) != marked:
                self._marked[tp] = marked
                yield tp, marked

    def _observe(
        self, tp: TopicPartition, reader: PartitionReader, counted: list[Population]
    ) -> None:
        """Count for Prometheus, leaving out what was counted before the restart."""
        seen, reader.seen = reader.seen, Seen()
        self._counted += seen.counted
        self._rejected += seen.rejected
        for result in Seen.__struct_fields__:
            number = getattr(seen, result)
            if number:
                self._metrics.events.labels(result).inc(number)
        since = self._counted_upto.get(tp, 0)
        for population in counted:
            self._metrics.executions.count(population, since)


def _by_minute(records: list[Record]) -> Iterator[list[Record]]:
    """Records in pieces of a minute of the data's time, after which a replay's time moves on."""
    for _, piece in groupby(records, key=lambda record: record.timestamp // REPLAY_STEP_MS):
        yield list(piece)


async def _stop(client: Any) -> None:  # noqa: ANN401 - aiokafka's clients have no common type
    try:
        await client.close() if isinstance(client, AIOKafkaAdminClient) else await client.stop()
    except Exception:
        log.debug("a Kafka client did not stop cleanly", exc_info=True)


def _folders(slos: Iterable[Slo], topic: str) -> list[Folder]:
    """What is counted: every SLO's events, and the alerter's own probes."""
    counted = [Folder(slo.id, slo.definition, topic) for slo in slos]
    return [*counted, Folder(ALERTER, probes.DEFINITION, topic)]
