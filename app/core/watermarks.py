"""What time it is for the judge, and how far behind the present that is."""

from msgspec.structs import replace

from app.core.chunks import Heartbeat, PartitionMark, Watermark, newest

FRESH_MS = 5000
"""A watermark comes every second; one older than this says nothing of the present."""

NEAR_MS = 2000
"""So near is as good as the end: where much comes in something is unread at any moment.

Two words of the intake, so that a record which comes just before one of them holds up nothing.
"""


class Board:
    """The newest watermark of every partition of the source topic."""

    def __init__(self) -> None:
        self._marks: dict[int, tuple[int, PartitionMark]] = {}  # partition → (sent, mark)
        self._counted: dict[int, dict[str, str]] = {}  # partition → SLO → definition
        self._partitions = 0
        self.heartbeat: Heartbeat | None = None
        self.last_minute = (0, 0)  # events counted and rejected by the intake heard last

    def take(self, watermark: Watermark) -> None:
        """Keep what is newer than what is known."""
        self._partitions = max(watermark.partitions, 1)
        for mark in watermark.marks:
            known = self._marks.get(mark.partition)
            if known is None:
                self._marks[mark.partition] = (watermark.sent_ms, mark)
            elif known[0] <= watermark.sent_ms:
                self._marks[mark.partition] = (watermark.sent_ms, _later(known[1], mark))
            else:
                continue
            self._counted[mark.partition] = watermark.counted
        self.last_minute = watermark.last_minute
        self.heartbeat = newest(self.heartbeat, watermark.heartbeat)

    @property
    def complete(self) -> bool:
        """Every partition has been heard of."""
        return bool(self._partitions) and all(p in self._marks for p in range(self._partitions))

    def counts(self, slo: str, definition: str) -> bool:
        """Every partition is counted by this definition, as far as it has been read."""
        return self.complete and all(
            self._counted[p].get(slo) == definition for p in range(self._partitions)
        )

    def marks(self) -> dict[int, PartitionMark]:
        """By partition, how far it has been read."""
        return {partition: mark for partition, (_, mark) in self._marks.items()}

    def at_end(self, wall_ms: int) -> bool:
        """Every partition is read to its end, as of a moment ago."""
        return self.complete and all(
            mark.at_end and wall_ms - sent <= FRESH_MS for sent, mark in self._marks.values()
        )

    def read_until(self) -> int | None:
        """The least Kafka time that all partitions have been read to, ms; None: not known yet."""
        if not self.complete:
            return None
        return min(mark.kafka_ms for _, mark in self._marks.values())

    def judge_time(self, wall_ms: int, *, replay: bool) -> int | None:
        """The wall clock where everything is read, or nearly so; else how far it is read, ms."""
        if not replay and self._is_near_end(wall_ms):
            return wall_ms
        return self.read_until()

    def _is_near_end(self, wall_ms: int) -> bool:
        """Every partition is read to its end, or was near it when it was told of."""
        return self.complete and all(
            wall_ms - sent <= FRESH_MS and (mark.at_end or sent - mark.kafka_ms <= NEAR_MS)
            for sent, mark in self._marks.values()
        )

    def lag_ms(self, wall_ms: int) -> int | None:
        """How long the oldest unread record may have waited; None: not known yet."""
        until = self.read_until()
        if until is None:
            return None
        return 0 if self.at_end(wall_ms) else max(0, wall_ms - until)

    def caught_up(self, wall_ms: int) -> bool:
        """The intake is at the log's end, and the bridge has sent its backlog."""
        return self.at_end(wall_ms) and (self.heartbeat is None or not self.heartbeat.backlog)


def _later(known: PartitionMark, mark: PartitionMark) -> PartitionMark:
    """The newer mark, with the Kafka time that was reached: what was read once stays read.

    A partition that was at its end a moment ago and has a new record now has nothing unread that
    is older than that moment, whenever the record before it came.
    """
    if known.epoch != mark.epoch or known.kafka_ms <= mark.kafka_ms:
        return mark
    return replace(mark, kafka_ms=known.kafka_ms)
