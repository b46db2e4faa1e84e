"""Reading one partition of the source topic: records in, digests out. Pure: the log decides all."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple

import msgspec

from app.core import events
from app.core.chunks import CHUNK_RECORDS, Digest, Heartbeat, Position, cut_places, newest
from app.core.events import HEARTBEAT, Event, Refused
from app.core.evidence import metadata_of
from app.core.folding import Folder, own_fields
from app.core.populations import Columns, Population, by_name, populate
from app.core.sheets import Sheet


class Record(NamedTuple):
    """A record of the source topic: offset, Kafka time (ms), value.

    The fields are called as aiokafka's are, so that its records are read as they come: to copy
    each would cost a tenth of the intake's time.
    """

    offset: int
    timestamp: int
    value: bytes | None


class Rejected(msgspec.Struct, frozen=True, kw_only=True):
    """An event that could not be read: a value of `slo.rejected`."""

    topic: str
    partition: int
    offset: int
    index: int  # within the record's array
    reason: str
    kafka_ms: int
    head: str  # the beginning of the record, to recognise it by


class Seen(msgspec.Struct):
    """What became of the events that were read, for the metrics."""

    counted: int = 0
    ignored: int = 0
    late: int = 0
    rejected: int = 0
    left_out: int = 0  # records of a chunk whose beginning is not known


HEAD_CHARS = 200


class WentBackError(Exception):
    """A record lies before the one read last: this log is another one, or somebody moved us."""


class PartitionReader:
    """The open chunk of one partition. Feed it records in order, take digests from it."""

    def __init__(
        self, folders: Sequence[Folder], *, topic: str, epoch: str, partition: int, skip: bool
    ) -> None:
        self.epoch, self.partition = epoch, partition
        self.start = self.upto = 0
        self.kafka_ms = 0
        self.heartbeat: Heartbeat | None = None
        self.seen = Seen()
        self.rejected: list[Rejected] = []
        self._folders = list(folders)
        self._topic = topic
        self._known = known_events(folders)
        self._kinds = events.kinds_of(own_fields(folder.definition for folder in folders))
        self._skip = skip  # until the next cut: this chunk's beginning is not known
        self._begun = False
        self._sheets: list[Sheet] = []
        self._news = self._urgent = False

    @property
    def source(self) -> str:
        """Names the partition across deletions of its topic."""
        return f"{self.epoch}/{self.partition}"

    @property
    def skipping(self) -> bool:
        """Before the next cut: no offset read so far is a chunk's start."""
        return self._skip

    @property
    def folders(self) -> tuple[Folder, ...]:
        """The definitions that it counts by."""
        return tuple(self._folders)

    @property
    def urgent(self) -> bool:
        """A zero-tolerance event waits to be sent."""
        return self._urgent

    @property
    def news(self) -> bool:
        """Something was read since the last digests."""
        return self._news

    def read(self, records: Sequence[Record]) -> tuple[list[Digest], list[Population]]:
        """Read records in order: the last digests of every chunk they end, and what was counted.

        Raises WentBackError where they begin before the end of what was read: to count them would
        be to count twice.
        """
        finals: list[Digest] = []
        counted: list[Population] = []
        offsets = [record.offset for record in records]
        kafka_ms = [record.timestamp for record in records]
        cuts = self._cuts(offsets, kafka_ms)
        for begin, end in pairwise(sorted({0, *cuts, len(records)})):
            if begin in cuts:
                finals += self._cut(offsets[begin])
            counted += self._read_piece(records[begin:end], offsets[begin:end], kafka_ms[begin:end])
        return finals, counted

    def _cuts(self, offsets: list[int], kafka_ms: list[int]) -> list[int]:
        """Before which records a chunk begins; the first one of all begins one as well."""
        if offsets and offsets[0] < self.upto:
            raise WentBackError(f"{self.source}: {offsets[0]} comes after {self.upto - 1}")
        cuts = cut_places(Position(self.upto - 1, self.kafka_ms), offsets, kafka_ms)
        return cuts if self._begun or not offsets or 0 in cuts else [0, *cuts]

    def _cut(self, offset: int) -> list[Digest]:
        """End the open chunk, and begin one with the record at `offset`."""
        finals = list(self._digests(final=True)) if self._begun else []
        if self._begun or self._first_of_its_number(offset):
            self._skip = False
        self._begun = True
        self.start = offset
        self._sheets = [Sheet(f, self.source, self.partition) for f in self._folders]
        return finals

    def _first_of_its_number(self, offset: int) -> bool:
        """Whether the first record that is read must be a cut, whatever lies before it."""
        return offset % CHUNK_RECORDS == 0 or offset // CHUNK_RECORDS != self.upto // CHUNK_RECORDS

    def _read_piece(
        self, records: Sequence[Record], offsets: list[int], kafka_ms: list[int]
    ) -> list[Population]:
        """Read records of one chunk; what was counted of them."""
        self.upto, self.kafka_ms = offsets[-1] + 1, kafka_ms[-1]
        if self._skip:
            self.seen.left_out += len(records)
            return []
        counted: list[Population] = []
        columns = self._plain_columns(records, offsets, kafka_ms) or self._columns(records)
        for event, found in by_name(columns):
            if event in self._known:
                self.seen.counted += len(found.events)
                counted += populate(event, found)
            else:
                self._pass_over(event, found)
        for population in counted:
            for sheet in self._sheets:
                sheet.fold(population)
        if counted:
            self._news = True
            self._urgent |= any(sheet.urgent for sheet in self._sheets)
        return counted

    def _plain_columns(
        self, records: Sequence[Record], offsets: list[int], kafka_ms: list[int]
    ) -> Columns | None:
        """Records that hold one event each, of which nothing is to be refused; else None."""
        found = events.decode_plain([record.value for record in records], self._kinds)
        ats = None if found is None else events.event_times(found, kafka_ms)
        return None if found is None or ats is None else Columns(found, ats, offsets, kafka_ms)

    def _columns(self, records: Sequence[Record]) -> Columns:
        """What can be counted of records, looked at one by one; the rest is refused or late."""
        columns = Columns([], [], [], [])
        for record in records:
            for index, event in enumerate(events.decode(record.value, self._kinds)):
                at = self._time_of(event, record, index)
                if at is not None and isinstance(event, Event):
                    columns.append(event, at, record.offset, record.timestamp)
        return columns

    def _time_of(self, event: Event | Refused, record: Record, index: int) -> int | None:
        """When it happened, ms; None, and counted as what it is, where it is not to be counted."""
        is_ignored = isinstance(event, Event) and event.event not in self._known
        try:
            if isinstance(event, Refused):
                raise event
            at = events.event_time(event, record.timestamp)
        except Refused as refused:
            at = None
            if not is_ignored:
                self._reject(record, index, refused)
        else:
            self.seen.late += at is None and not is_ignored
        self.seen.ignored += at is None and is_ignored
        return at

    def _pass_over(self, event: str, columns: Columns) -> None:
        """Events that no SLO counts."""
        self.seen.ignored += len(columns.events)
        if event == HEARTBEAT:
            for beat, at in zip(columns.events, columns.ats, strict=True):
                self._hear(beat, at)

    def _hear(self, beat: Event, at: int) -> None:
        metadata = metadata_of(beat)
        try:
            oldest = events.parse_timestamp(metadata.oldestAt) if metadata.oldestAt else None
        except Refused:
            return
        self.heartbeat = newest(self.heartbeat, Heartbeat(at, metadata.backlog or 0, oldest))

    def _reject(self, record: Record, index: int, refused: Refused) -> None:
        self.seen.rejected += 1
        head = (record.value or b"")[: HEAD_CHARS * 4].decode("utf-8", "replace")[:HEAD_CHARS]
        self.rejected.append(
            Rejected(
                topic=self._topic,
                partition=self.partition,
                offset=record.offset,
                index=index,
                reason=str(refused)[:500],
                kafka_ms=record.timestamp,
                head=head,
            )
        )

    def digests(self) -> list[Digest]:
        """The digests of what is news."""
        self._news = self._urgent = False
        return list(self._digests(final=False))

    def _digests(self, *, final: bool) -> Iterator[Digest]:
        if self._skip:
            return
        for sheet in self._sheets:
            digest = sheet.digest(
                start=self.start, upto=self.upto, kafka_ms=self.kafka_ms, final=final
            )
            if digest is not None:
                yield digest

    def keep(self, wanted: Sequence[Folder]) -> None:
        """Count no more by definitions that are not wanted; those that are new need a filling.

        Events that only a new one names are counted as read already, since from now on they are.
        """
        ids = {folder.id for folder in wanted}
        self._folders = [folder for folder in self._folders if folder.id in ids]
        self._sheets = [sheet for sheet in self._sheets if sheet.folder.id in ids]
        self._known = known_events(wanted)
        self._kinds = events.kinds_of(own_fields(folder.definition for folder in wanted))

    def join(self, other: "PartitionReader") -> bool:
        """Take over what another reader has counted of this partition by further definitions.

        False, and nothing is done, unless both stand at the same place of the same chunk.
        """
        if self.skipping or other.skipping or self.place != other.place:
            return False
        self._folders += other.folders
        self._sheets += other.sheets
        self._news |= other.news
        self._urgent |= other.urgent
        return True

    @property
    def place(self) -> tuple[str, bool, int, int]:
        """Where it stands: partition, whether it has read anything, chunk's start, offset."""
        return self.source, self._begun, self.start if self._begun else self.upto, self.upto

    @property
    def sheets(self) -> tuple[Sheet, ...]:
        """The open chunk's counts."""
        return tuple(self._sheets)


def known_events(folders: Iterable[Folder]) -> frozenset[str]:
    """The events that any of the definitions names."""
    return frozenset(event for folder in folders for event in folder.events)
