"""The consumer of the source topic, and what it has no public name for."""

from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.consumer.fetcher import FetchResult

from app.core.reading import Record
from app.kafka import FETCH_WAIT_MS, SESSION_MS, client_options, topic_name
from app.settings import Settings

METADATA_AGE_MS = 5000  # so that added partitions are seen soon
FETCH_BYTES = 16 * 1024 * 1024


def group_id(settings: Settings) -> str:
    """The intake's consumer group."""
    return topic_name(settings, "burnrate-intake")


def open_consumer(settings: Settings) -> AIOKafkaConsumer:
    """A member of the group that keeps its place over restarts; it commits nothing by itself."""
    named = f"intake-{settings.instance}" if settings.instance else None
    options: dict[str, Any] = client_options(settings)
    return AIOKafkaConsumer(
        **options,
        group_id=group_id(settings),
        group_instance_id=named,
        isolation_level="read_committed",
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        session_timeout_ms=SESSION_MS,
        heartbeat_interval_ms=SESSION_MS // 6,
        metadata_max_age_ms=METADATA_AGE_MS,
        fetch_max_bytes=FETCH_BYTES,
        fetch_max_wait_ms=FETCH_WAIT_MS,
    )


def hand_out_plainly(consumer: AIOKafkaConsumer) -> None:
    """Have what is fetched handed out as aiokafka decodes it: offset, timestamp and value.

    It would make an object more of each record, with eleven fields: a tenth of all time here.
    """
    for fetched in consumer._fetcher._records.values():  # noqa: SLF001 - no public name
        if isinstance(fetched, FetchResult):
            fetched._partition_records._consumer_record = _as_decoded  # noqa: SLF001


def _as_decoded(_tp: TopicPartition, record: Record) -> Record:
    return record


def position(consumer: AIOKafkaConsumer, tp: TopicPartition) -> int:
    """How far a partition is read, past the markers of transactions, which are no records."""
    state = consumer._subscription.subscription.assignment.state_value(tp)  # noqa: SLF001
    return state.position if state is not None and state.has_valid_position else 0


def request_rejoin(consumer: AIOKafkaConsumer) -> None:
    """Have the partitions shared out anew, if this is the group's leader."""
    consumer._coordinator.request_rejoin()  # noqa: SLF001
