"""A quick recovery of Faust's tables: read in bulk, at once, and not searched for garbage."""

import asyncio
import gc
import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

from aiokafka import AIOKafkaConsumer, ConsumerRecord
from faust.tables import TableManager
from faust.tables.recovery import Recovery
from faust.types import TP
from faust.types.transports import ConsumerT

from app.kafka import client_options
from app.settings import Settings

_FETCH_BYTES = 8 * 1024 * 1024


class Tables(TableManager):
    """Faust's tables, recovered at once.

    Faust waits a second at every start for tables that modules loaded later may add. Here all of
    them are made before the app is started.
    """

    logger = logging.getLogger("faust.quick-tables")

    def __init__(self, settings: Settings, *args: object, **options: object) -> None:
        super().__init__(*args, **options)
        self._settings = settings
        self._recovery: BulkRecovery | None = None

    async def on_start(self) -> None:
        """What Faust does after that second."""
        await self._update_channels()
        await self.recovery.start()

    @property
    def recovery(self) -> Recovery:
        """The service that recovers the tables whenever partitions have come."""
        if self._recovery is None:
            self._recovery = BulkRecovery(self._settings, self.app, self, beacon=self.beacon)
        return self._recovery


class BulkRecovery(Recovery):
    """Reads the changelogs with a consumer of its own, a batch at a time.

    Faust hands changelog records around one by one, through a queue and several tasks each:
    3 000 to 8 000 a second, against some 100 000. When it looks, everything is there already.
    """

    logger = logging.getLogger("faust.bulk-recovery")

    def __init__(self, settings: Settings, *args: object, **options: object) -> None:
        super().__init__(*args, **options)
        self._settings = settings

    async def _build_offsets(
        self, consumer: ConsumerT, tps: set[TP], destination: Counter[TP], title: str
    ) -> None:
        await super()._build_offsets(consumer, tps, destination, title)
        if title == "active":
            await self._read({tp: self.active_highwaters[tp] for tp in tps}, destination)

    async def _read(self, last: dict[TP, int], known: Counter[TP]) -> None:
        """Apply every record from behind the `known` offset to the last one, inclusive."""
        behind = {tp for tp, offset in last.items() if known[tp] < offset}
        if not behind:
            return
        consumer = AIOKafkaConsumer(
            **client_options(self._settings),
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            max_partition_fetch_bytes=_FETCH_BYTES,
        )
        consumer.assign(behind)
        await consumer.start()
        try:
            for tp in behind:
                consumer.seek(tp, known[tp] + 1)
            while behind:
                for tp, records in (await consumer.getmany(timeout_ms=1000)).items():
                    self._apply(TP(tp.topic, tp.partition), records)
                behind = {tp for tp in behind if await consumer.position(tp) <= last[tp]}
        finally:
            await consumer.stop()
        for tp, offset in last.items():
            known[tp] = max(known[tp], offset)

    def _apply(self, tp: TP, records: list[ConsumerRecord]) -> None:
        changes = [_Change(record.key, record.value, record) for record in records]
        self.tp_to_table[tp].apply_changelog_batch(changes)


class _Change(NamedTuple):
    """A changelog record, as Faust's tables take it."""

    key: bytes
    value: bytes | None
    message: ConsumerRecord


class Latest:
    """One recovery at a time: the one under way ends where partitions move again.

    Faust leaves it running beside the next one. Whichever is done last decides what is ours: an
    old one would bring back partitions that are another's by then, and drop those that have come.
    """

    def __init__(self, recover: Callable[[], Awaitable[None]]) -> None:
        self._recover = recover
        self._under_way: asyncio.Future[None] | None = None

    async def begin(self) -> None:
        """Recover; returns when that is done, or ended by another."""
        await self.end()
        mine = self._under_way = asyncio.ensure_future(self._recover())
        await asyncio.wait([mine])
        if not mine.cancelled():
            mine.result()

    async def end(self) -> None:
        """End the one under way, and wait until it has ended."""
        under_way, self._under_way = self._under_way, None
        if under_way is not None:
            under_way.cancel()
            await asyncio.wait([under_way])


@contextmanager
def lasting() -> Iterator[None]:
    """What is made in the block stays: no garbage is looked for in it, now or later.

    Thirty days are a million objects and no cycle among them; to look through them again and
    again takes a third of the time in which they are made.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()
