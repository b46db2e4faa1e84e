"""A Kokino for tests: it writes its two databases as the real one does, in WAL mode."""

import json
import sqlite3
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec
from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition

from app.kafka import client_options, topic_name
from app.local.demo import KOKINO_TABLES, METRICS_TABLES
from app.settings import Settings
from app.topics import EVENTS, PARTITIONS

AT = "2026-03-01 10:00:00"


class Kokino:
    """Writes executions and comparisons. Its connections stay open, as Kokino's do."""

    def __init__(self, folder: Path, *, compares: bool = True) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.metrics = self._made("metrics.db", METRICS_TABLES)
        self.kokino = self._made("kokino.db", KOKINO_TABLES) if compares else None

    def close(self) -> None:
        self.metrics.close()
        if self.kokino:
            self.kokino.close()

    def begin_kokino(self) -> None:
        """Make a kokino.db that was not there before."""
        self.kokino = self._made("kokino.db", KOKINO_TABLES)

    def executed(self, *names: str, at: str = AT, event: str = "EXECUTION_COMPLETED") -> None:
        """One execution by each agent named, in one commit."""
        self.recorded(
            (event, name, "codex", 1200, 1, json.dumps({"exitCode": 0, "sessionId": "s"}), at)
            for name in names
        )

    def recorded(self, rows: Iterable[tuple[Any, ...]]) -> None:
        """Rows of `metrics`, from event to timestamp, in one commit."""
        self.metrics.executemany(
            "INSERT INTO metrics (event, agent_id, cli_type, duration_ms, success, metadata, "
            "timestamp) VALUES (?, ?, ?, ?, ?, ?, ?)",
            rows,
        )
        self.metrics.commit()

    def compared(self, *tickets: str, at: str = AT, match: int = 1) -> None:
        """One comparison for each ticket, in one commit."""
        assert self.kokino
        self.kokino.executemany(
            "INSERT INTO shadow_results (ticket_id, agent_id, tmux_success, headless_success, "
            "output_match, headless_response, created_at) VALUES (?, 'bob', 1, 1, ?, 'secret', ?)",
            [(ticket, match, at) for ticket in tickets],
        )
        self.kokino.commit()

    def talked(self, *conversations: str) -> None:
        """A new conversation for each name."""
        assert self.kokino
        self.kokino.executemany(
            "INSERT INTO conversations (conversation_id, agent_id, created_at, updated_at) "
            "VALUES (?, 'alice', ?, ?)",
            [(name, AT, AT) for name in conversations],
        )
        self.kokino.commit()

    def _made(self, name: str, tables: str) -> sqlite3.Connection:
        connection = sqlite3.connect(self.folder / name)
        connection.execute("PRAGMA journal_mode = WAL")
        if not connection.execute("SELECT 1 FROM sqlite_master").fetchone():
            connection.executescript(tables)
        return connection


def swap(old: Kokino, new: Kokino) -> Kokino:
    """Put the second Kokino's files where the first one's are, as a restore does, and go on."""
    old.close()
    new.close()
    for name in ("metrics.db", "kokino.db"):
        for end in ("-wal", "-shm"):
            (old.folder / (name + end)).unlink(missing_ok=True)
        if (new.folder / name).exists():
            (new.folder / name).replace(old.folder / name)
    return Kokino(old.folder, compares=old.kokino is not None)


async def committed(settings: Settings) -> list[dict[str, Any]]:
    """Every committed event of the topic, with `partition` and the record's `kafka_ms`."""
    topic = topic_name(settings, EVENTS)
    partitions = [TopicPartition(topic, number) for number in range(PARTITIONS)]
    consumer = AIOKafkaConsumer(**client_options(settings), isolation_level="read_committed")
    await consumer.start()
    try:
        consumer.assign(partitions)
        await consumer.seek_to_beginning(*partitions)
        ends = await consumer.end_offsets(partitions)
        found = []
        for partition in partitions:
            while await consumer.position(partition) < ends[partition]:
                for records in (await consumer.getmany(timeout_ms=100)).values():
                    found += [_event(record) for record in records]
    finally:
        await consumer.stop()
    return found


def _event(record: ConsumerRecord[bytes, bytes]) -> dict[str, Any]:
    event: dict[str, Any] = msgspec.json.decode(record.value)
    return {**event, "partition": record.partition, "kafka_ms": record.timestamp}
