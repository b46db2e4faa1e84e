"""A range of a Kafka topic as a backtest's source: its records are laid by in a file, once."""

import tempfile
import time
from array import array
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, Any, NamedTuple

from confluent_kafka import (
    OFFSET_END,
    TIMESTAMP_NOT_AVAILABLE,
    Consumer,
    KafkaError,
    KafkaException,
    TopicPartition,
)

from app.backtest.sources import TAIL_S, Readings, Slice
from app.bridge.history import Moment, slots
from app.core import events
from app.core.events import KNOWN, Event, Kinds, Refused
from app.core.populations import Entry
from app.errors import UserError
from app.kafka import ANSWER_TIMEOUT_S, admin_options, topic_name
from app.local import progress
from app.settings import Settings

_BATCH = 5000
_WAIT_S = 0.5
_STEP = 1000


class Range(NamedTuple):
    """What to read of a topic: Kafka times, ms; None: its beginning, its present end."""

    topic: str  # without prefix
    from_ms: int | None = None
    to_ms: int | None = None  # exclusive


class Records:
    """Events of a topic by their own time: a record that came late is judged where it belongs.

    A backtest asks what a policy says of what happened, when it happened. A day's backlog that
    was sent at once would otherwise be one moment.
    """

    def __init__(
        self, name: str, wanted: frozenset[str], kept: IO[bytes], kinds: Kinds = KNOWN
    ) -> None:
        self.name = name
        self.readings = Readings()
        self.first_ms = self.last_ms = 0
        self._wanted, self._kept, self._kinds = wanted, kept, kinds
        self._at = array("q")  # of each event that counts: when it happened, ms
        self._kafka_ms = array("q")
        self._offset = array("q")  # in its partition
        self._begin = array("q")  # where its record begins in the file
        self._size = array("q")
        self._index = array("q")  # which event of the record

    def take(self, message: Any) -> None:  # noqa: ANN401 - confluent-kafka has no types
        """Lay a record by."""
        kind, kafka_ms = message.timestamp()
        value, begin = message.value(), self._kept.tell()
        where = f"partition {message.partition()}, offset {message.offset()}"
        kafka_ms = 0 if kind == TIMESTAMP_NOT_AVAILABLE else kafka_ms
        found = [
            (at, index)
            for index, event in enumerate(events.decode(value, self._kinds))
            if (at := self._time_of(event, kafka_ms, where)) is not None
        ]
        if found:
            self._kept.write(value)
        for at, index in found:
            for column, number in (
                (self._at, at),
                (self._kafka_ms, kafka_ms),
                (self._offset, message.offset()),
                (self._begin, begin),
                (self._size, len(value)),
                (self._index, index),
            ):
                column.append(number)

    def _time_of(self, event: Event | Refused, kafka_ms: int, where: str) -> int | None:
        """When it happened; None where it does not count. Nothing is too late for its own time."""
        seen = self.readings.seen
        if isinstance(event, Refused):
            self.readings.refuse(where, event)
            return None
        if event.event not in self._wanted:
            seen.ignored += 1
            return None
        try:
            at = events.event_time(event, kafka_ms)
            if at is None:
                at = events.parse_timestamp(event.timestamp or "")
        except Refused as refused:
            self.readings.refuse(where, refused)
            return None
        seen.counted += 1
        return at

    def close(self) -> None:
        """All records are here; raises UserError where none of them counts."""
        if not self._at:
            seen = self.readings.seen
            faults = "".join(f"; {fault}" for fault in self.readings.faults)
            raise UserError(
                f"{self.name} holds no event that an SLO counts: {seen.ignored} of other names, "
                f"{seen.rejected} unreadable{faults}"
            )
        self.first_ms, self.last_ms = min(self._at), max(self._at)

    def slices(self) -> Iterator[Slice]:
        """See `Source`; events of one moment come by partition and offset."""
        by_time = sorted(range(len(self._at)), key=self._at.__getitem__)
        for slot in slots((self._moment(place) for place in by_time), None, TAIL_S * 1000):
            held: list[Any] = [moment.event for moment in slot.moments]
            yield Slice(slot.end_ms, held)

    def _moment(self, place: int) -> Moment:
        self._kept.seek(self._begin[place])
        event = events.decode(self._kept.read(self._size[place]), self._kinds)[self._index[place]]
        assert isinstance(event, Event), "it was one when it was laid by"
        at = self._at[place]
        entry: Any = Entry(event, at, self._offset[place], at)
        return Moment(at, entry)  # slots are cut by the times alone


@contextmanager
def topic_records(
    settings: Settings, span: Range, events_wanted: frozenset[str], kinds: Kinds = KNOWN
) -> Iterator[Records]:
    """The committed records of a topic's range, with progress said on stderr.

    Nothing is committed and no group is joined. Raises UserError where Kafka does not answer,
    where there is no such topic, and where nothing in the range counts.
    """
    topic = topic_name(settings, span.topic)
    consumer = Consumer(
        {
            **admin_options(settings),
            "group.id": "burnrate-backtest",  # asked for, and not used
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            "isolation.level": "read_committed",
        }
    )
    with tempfile.TemporaryFile() as kept:
        records = Records(topic, events_wanted, kept, kinds)
        try:
            _read_all(consumer, topic, span, records)
        except (KafkaException, TimeoutError) as error:
            raise UserError(f"Kafka at {settings.kafka} cannot be read: {_why(error)}") from error
        finally:
            consumer.close()
        records.close()
        yield records


def _why(error: Exception) -> str:
    return str(error.args[0].str()) if isinstance(error, KafkaException) else str(error)


def _read_all(consumer: Consumer, topic: str, span: Range, into: Records) -> None:
    """One partition after the other, so that the same range gives the same."""
    parts = [_part(consumer, topic, n, span) for n in _partitions(consumer, topic)]
    total = sum(part.end - part.begin for part in parts if part.end > part.begin)
    with progress.steps("Thousands of records read", -(-total // _STEP)) as step:
        for number, message in enumerate(m for part in parts for m in _read(consumer, topic, part)):
            into.take(message)
            if number % _STEP == 0:
                step()


class _Part(NamedTuple):
    """Offsets of a partition, the last one exclusive."""

    number: int
    begin: int
    end: int


def _part(consumer: Consumer, topic: str, number: int, span: Range) -> _Part:
    tp = TopicPartition(topic, number)
    low, high = consumer.get_watermark_offsets(tp, timeout=ANSWER_TIMEOUT_S)
    begin = low if span.from_ms is None else _offset_at(consumer, tp, span.from_ms, high)
    end = high if span.to_ms is None else _offset_at(consumer, tp, span.to_ms, high)
    return _Part(number, begin, end)


def _offset_at(consumer: Consumer, tp: TopicPartition, at_ms: int, high: int) -> int:
    """The first record with this Kafka time or a later one; the end where there is none."""
    asked = [TopicPartition(tp.topic, tp.partition, at_ms)]
    found = consumer.offsets_for_times(asked, timeout=ANSWER_TIMEOUT_S)[0].offset
    return high if found == OFFSET_END else int(found)


def _read(consumer: Consumer, topic: str, part: _Part) -> Iterator[Any]:
    if part.begin >= part.end:
        return
    consumer.assign([TopicPartition(topic, part.number, part.begin)])
    heard_at = time.monotonic()
    while True:
        messages = consumer.consume(_BATCH, timeout=_WAIT_S)
        for message in messages:
            if message.partition() != part.number:
                continue  # fetched before the partition was changed
            if _is_end(message) or message.offset() >= part.end:
                return
            yield message
            if message.offset() == part.end - 1:
                return
        if messages:
            heard_at = time.monotonic()
        elif time.monotonic() - heard_at > ANSWER_TIMEOUT_S:
            raise TimeoutError(f"nothing came for {ANSWER_TIMEOUT_S:g} s")


def _partitions(consumer: Consumer, topic: str) -> list[int]:
    found = consumer.list_topics(topic, timeout=ANSWER_TIMEOUT_S).topics[topic]
    if found.error is None:
        return sorted(found.partitions)
    if found.error.code() == KafkaError.UNKNOWN_TOPIC_OR_PART:
        raise UserError(
            f"there is no topic {topic} (BURNRATE_TOPIC_PREFIX stands before each name)"
        )
    raise KafkaException(found.error)


def _is_end(message: Any) -> bool:  # noqa: ANN401 - confluent-kafka has no types
    error = message.error()
    if error is not None and error.code() != KafkaError._PARTITION_EOF:  # noqa: SLF001 - its name
        raise KafkaException(error)
    return error is not None
