"""Refilling: a new definition counts what lies in the log already, while all others go on.

Each partition is read a second time, from the log's start, by the new definitions alone. Chunks are
cut by the log, so the second reader comes to stand exactly where the first one does; there the two
become one. Only from then on is everything counted by the new definitions, and the watermark says
so: until it does nothing is judged by them.
"""

import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import NamedTuple

from aiokafka import AIOKafkaConsumer, TopicPartition

from app.core.chunks import Digest
from app.core.folding import Folder
from app.core.populations import Population
from app.core.reading import PartitionReader, Record
from app.kafka import client_options
from app.settings import Settings

log = logging.getLogger(__name__)

BATCH_RECORDS = 4000
WAIT_MS = 100

Send = Callable[[int, list[Digest], list[Population]], Awaitable[None]]
"""Of a partition: sends digests, and what is to be told of what was counted; waits for Kafka."""


class Filling(NamedTuple):
    """One partition: the reader that goes on, and the one that must come to stand beside it."""

    reader: PartitionReader
    behind: PartitionReader


def lacking(reader: PartitionReader, wanted: Sequence[Folder]) -> list[Folder]:
    """The definitions that are wanted, and that this reader does not count by yet."""
    have = {folder.id for folder in reader.folders}
    return [folder for folder in wanted if folder.id not in have]


async def refill(settings: Settings, fillings: dict[TopicPartition, Filling], send: Send) -> None:
    """Read every partition from its log's start until its two readers have become one."""
    waiting = dict(fillings)
    consumer = AIOKafkaConsumer(
        **client_options(settings),
        isolation_level="read_committed",
        enable_auto_commit=False,
        fetch_max_bytes=16 * 1024 * 1024,
    )
    await consumer.start()
    try:
        consumer.assign(list(waiting))
        await consumer.seek_to_beginning(*waiting)
        while True:
            waiting = {tp: pair for tp, pair in waiting.items() if not _join(tp, pair)}
            if not waiting:
                return
            batches = await consumer.getmany(
                *waiting, timeout_ms=WAIT_MS, max_records=BATCH_RECORDS
            )
            for tp, fetched in batches.items():
                finals, counted = _read(consumer, tp, waiting[tp], fetched)
                # before the readers join: an SLO's digests stay in order
                await send(tp.partition, finals, counted)
    finally:
        await consumer.stop()


def _read(
    consumer: AIOKafkaConsumer, tp: TopicPartition, pair: Filling, records: list[Record]
) -> tuple[list[Digest], list[Population]]:
    """Read on, but never past the reader that goes on: as `PartitionReader.read`."""
    known = [record for record in records if record.offset < pair.reader.upto]
    if len(known) < len(records):
        consumer.seek(tp, records[len(known)].offset)
    read = pair.behind.read(known)
    pair.behind.rejected.clear()  # told when they were read first
    return read


def _join(tp: TopicPartition, pair: Filling) -> bool:
    joined = pair.reader.join(pair.behind)
    if joined:
        names = ", ".join(sorted(folder.slo for folder in pair.behind.folders))
        log.info("%s [%s] is counted anew up to %s: %s", tp.topic, tp.partition,
                 pair.reader.upto, names)  # fmt: skip
    return joined
