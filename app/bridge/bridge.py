"""The bridge: Kokino's rows into `kokino.events`, each exactly once, while Kokino writes them."""

import asyncio
import hashlib
import logging
import secrets
import sqlite3
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import TypeVar

from aiokafka.errors import KafkaError
from confluent_kafka import KafkaException

from app.bridge.events import Event, conversations_event, heartbeat
from app.bridge.source import Backlog, Batch, Source
from app.bridge.writer import TakenOver, Writer
from app.clock import Clock
from app.errors import UserError
from app.settings import Settings

BATCH_ROWS = 1000
POLL_S = 0.1  # how soon a commit of Kokino's is seen
HEARTBEAT_S = 10.0
COUNT_S = 300.0  # the number of conversations is told anew that often
RETRY_S = (0.5, 1.0, 2.0, 5.0)
EXIT_TAKEN_OVER = 5

KAFKA_TROUBLE = (KafkaError, KafkaException, OSError, TimeoutError)

log = logging.getLogger(__name__)
T = TypeVar("T")


class Sent(Counter[str]):
    """How many events were sent, by name; `skipped` counts the rows that no SLI needs."""

    def __init__(self) -> None:
        """Begin at zero."""
        super().__init__()
        self.skipped: Counter[str] = Counter()


def bridge_name(data_dir: Path) -> str:
    """A name that stays the same for the same database and does not tell its path."""
    path = (data_dir / "metrics.db").resolve()
    return hashlib.sha256(str(path).encode()).hexdigest()[:12]


async def run_bridge(
    settings: Settings,
    data_dir: Path,
    *,
    once: bool,
    clock: Clock,
    name: str | None = None,
    on_progress: Callable[[Sent, Backlog], None] | None = None,
) -> Sent:
    """Send Kokino's rows until cancelled, or with `once` until the end of the data.

    It waits for Kafka where there is none and goes on when it is back. `name` is the cursor's
    key, by default made from the database's path. Raises UserError where the folder is not
    Kokino's or another bridge has taken over (exit code 5).
    """
    source = Source(data_dir)
    bridge = Bridge(settings, source, clock, name or bridge_name(data_dir), on_progress)
    try:
        await bridge.run(once=once)
    finally:
        bridge.close()
    return bridge.sent


class Bridge:
    """One run: it reads from the cursor that Kafka holds, and joins anew after any trouble."""

    def __init__(
        self,
        settings: Settings,
        source: Source,
        clock: Clock,
        name: str,
        on_progress: Callable[[Sent, Backlog], None] | None,
    ) -> None:
        """Take what it works with; nothing is read or sent yet."""
        self.sent = Sent()
        self._settings = settings
        self._source = source
        self._clock = clock
        self._name = name
        self._on_progress = on_progress
        self._owner = secrets.token_hex(8)
        self._claimed = False
        self._failures = 0
        self._thread = ThreadPoolExecutor(1, "kokino")  # SQLite may wait for a lock
        self._backlog: Backlog | None = None
        self._beat_due = 0.0
        self._conversations: int | None = None
        self._count_due = 0.0

    def close(self) -> None:
        """Let Kokino's files go."""
        self._thread.submit(self._source.close)
        self._thread.shutdown()

    async def run(self, *, once: bool) -> None:
        """Join, send, and join again whenever Kafka was lost."""
        while True:
            writer = Writer(self._settings, self._name, self._owner)
            try:
                await writer.join(again=self._claimed)
                self._joined()
                await self._pump(writer, once=once)
            except TakenOver as error:
                raise UserError(
                    f"another bridge ({self._name}) has taken over this database: this one ends",
                    exit_code=EXIT_TAKEN_OVER,
                ) from error
            except KAFKA_TROUBLE as error:
                self._failed(error)
            else:
                return
            finally:
                await writer.leave()
            await asyncio.sleep(RETRY_S[min(self._failures, len(RETRY_S)) - 1])

    def _joined(self) -> None:
        if self._failures:
            log.info("Kafka is back, going on from the cursor")
        self._claimed = True
        self._failures = 0
        self._beat_due = self._count_due = 0.0

    def _failed(self, error: BaseException) -> None:
        if not self._failures:
            log.warning("Kafka cannot be written to, trying again until it can: %.200r", error)
        self._failures += 1

    async def _pump(self, writer: Writer, *, once: bool) -> None:
        while True:
            batch = await self._read(
                partial(self._source.read, writer.cursor, BATCH_ROWS), final=once
            )
            await self._write(writer, batch)
            if batch.more:
                continue
            if once:
                return
            await self._news()

    async def _write(self, writer: Writer, batch: Batch) -> None:
        counted = await self._counted()
        beat = await self._beat(batch)
        if not (batch.events or counted or beat or batch.cursor != writer.cursor):
            return
        await writer.write([*batch.events, *counted], batch.cursor, beat)
        self.sent.update(event.event for event in (*batch.events, *counted))
        self.sent.skipped.update(batch.skipped)
        if beat is not None and self._on_progress and self._backlog:
            self._on_progress(self.sent, self._backlog)

    async def _beat(self, batch: Batch) -> Event | None:
        """A heartbeat where one is due, or where the backlog has just come to its end."""
        now = time.monotonic()
        emptied = not batch.more and self._backlog is not None and self._backlog.rows > 0
        if now < self._beat_due and not emptied:
            return None
        self._beat_due = now + HEARTBEAT_S
        self._backlog = await self._read(partial(self._source.backlog, batch.cursor))
        return heartbeat(self._name, self._clock(), self._backlog.rows, self._backlog.oldest_at)

    async def _counted(self) -> list[Event]:
        """The number of conversations where it has changed, and every few minutes."""
        count = await self._read(self._source.conversations)
        now = time.monotonic()
        if count is None or (count == self._conversations and now < self._count_due):
            return []
        self._conversations = count
        self._count_due = now + COUNT_S
        return [conversations_event(count, self._clock())]

    async def _news(self) -> None:
        """Wait until Kokino has written something or a heartbeat is due."""
        while time.monotonic() < self._beat_due:
            if await self._read(self._source.changed):
                return
            await asyncio.sleep(POLL_S)

    async def _read(self, read: Callable[[], T], *, final: bool = False) -> T:
        """Read in the thread, again and again while Kokino holds a lock or swaps its files."""
        said = False
        while True:
            try:
                return await asyncio.get_running_loop().run_in_executor(self._thread, read)
            except sqlite3.Error as error:
                if final and not isinstance(error, sqlite3.OperationalError):
                    raise UserError(f"Kokino's data cannot be read: {error}") from error
                if not said:
                    log.warning("Kokino's data cannot be read, trying again: %s", error)
                said = True
            self._thread.submit(self._source.close)
            await asyncio.sleep(1.0)
