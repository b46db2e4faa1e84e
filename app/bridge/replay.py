"""Replay: a Kokino data folder into `kokino.events` on the data's own time.

Records carry the data's time as their Kafka time, and a heartbeat at the end of each ten seconds
of data tells the readers that this time has passed, in quiet partitions too.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import msgspec
from aiokafka import AIOKafkaProducer

from app.bridge.bridge import bridge_name
from app.bridge.events import heartbeat
from app.bridge.history import History, Slot, opened
from app.bridge.writer import BATCH_BYTES, Load
from app.errors import UserError
from app.kafka import COMPRESSION, client_options, create_topics, topic_config, topic_name
from app.settings import Settings
from app.topics import EVENTS, all_topics

TAIL_S = 2 * 3600
LOAD_RECORDS = 4000
PROGRESS_S = 0.5


class Progress(msgspec.Struct, frozen=True, kw_only=True):
    """Where a replay is; times in ms since the epoch, of the data."""

    first_ms: int
    last_ms: int  # the newest row
    at_ms: int
    events: int


class ReplayReport(msgspec.Struct, frozen=True, kw_only=True):
    """What a replay has sent."""

    first_ms: int | None  # the oldest row; None where there was none
    last_ms: int | None
    until_ms: int | None  # the last heartbeat
    events: dict[str, int]  # by name
    skipped: dict[str, int]  # rows that no SLI needs
    heartbeats: int  # in each partition
    took_s: float


OnProgress = Callable[[Progress], None]


async def replay(
    settings: Settings,
    data_dir: Path,
    *,
    speed: float | None,
    tail_s: int = TAIL_S,
    on_progress: OnProgress | None = None,
) -> ReplayReport:
    """Play the folder's data once, `speed` data seconds a second (None: as fast as it goes).

    After the data the time goes on for `tail_s` data seconds, so that incidents can resolve.
    Raises UserError where the folder is not Kokino's, or where the topic stamps its own times:
    then it is one that is read live.
    """
    with opened(data_dir) as history:
        await _make_topic(settings)
        producer = AIOKafkaProducer(
            **client_options(settings),
            enable_idempotence=True,
            compression_type=COMPRESSION,
            max_batch_size=BATCH_BYTES,
        )
        try:
            await producer.start()
            topic = topic_name(settings, EVENTS)
            load = Load(producer, topic, await producer.partitions_for(topic))
            player = _Player(load, history, bridge_name(data_dir), speed, on_progress)
            return await player.play(tail_s)
        finally:
            await producer.stop()


async def _make_topic(settings: Settings) -> None:
    """Make the source topic where it is missing, and refuse one that is read live."""
    await create_topics(settings, [t for t in all_topics(replay=True) if t.name == EVENTS])
    config = await asyncio.to_thread(topic_config, settings, EVENTS)
    if config["message.timestamp.type"] != "CreateTime":
        raise UserError(
            f"{topic_name(settings, EVENTS)} is read live: "
            "give the replay topics of its own by another BURNRATE_TOPIC_PREFIX"
        )


class _Player:
    """One replay under way."""

    def __init__(
        self,
        load: Load,
        history: History,
        name: str,
        speed: float | None,
        on_progress: OnProgress | None,
    ) -> None:
        self._load = load
        self._history = history
        self._name = name
        self._speed = speed
        self._on_progress = on_progress
        self._events: Counter[str] = Counter()
        self._heartbeats = 0
        self._began_s = time.monotonic()
        self._told_s = 0.0

    async def play(self, tail_s: int) -> ReplayReport:
        """Send every slot when it is due."""
        first_ms, last_ms = self._history.span() or (None, None)
        until_ms = None
        for slot in self._history.slots(tail_s):
            assert first_ms is not None, "a slot holds a row"
            assert last_ms is not None
            await self._wait(slot.end_ms - first_ms)
            await self._add(slot)
            until_ms = slot.end_ms
            self._tell(first_ms, last_ms, until_ms)
        await self._load.send()
        return ReplayReport(
            first_ms=first_ms,
            last_ms=last_ms,
            until_ms=until_ms,
            events=dict(self._events),
            skipped=dict(self._history.skipped),
            heartbeats=self._heartbeats,
            took_s=time.monotonic() - self._began_s,
        )

    async def _wait(self, passed_ms: int) -> None:
        """Until that much of the data's time is due; where it is overdue, not at all."""
        if self._speed is None:
            return
        ahead_s = self._began_s + passed_ms / 1000 / self._speed - time.monotonic()
        if ahead_s > 0:
            await self._load.send()
            await asyncio.sleep(ahead_s)

    async def _add(self, slot: Slot) -> None:
        for moment in slot.moments:
            self._load.add(moment.event, moment.at_ms)
            self._events[moment.event.event] += 1
        beat = heartbeat(self._name, slot.end_ms, 0, None)
        self._load.add_everywhere(beat, slot.end_ms)
        self._heartbeats += 1
        if self._load.records >= LOAD_RECORDS:
            await self._load.send()

    def _tell(self, first_ms: int, last_ms: int, at_ms: int) -> None:
        now_s = time.monotonic()
        if self._on_progress is None or now_s - self._told_s < PROGRESS_S:
            return
        self._told_s = now_s
        sent = self._events.total()
        self._on_progress(Progress(first_ms=first_ms, last_ms=last_ms, at_ms=at_ms, events=sent))
