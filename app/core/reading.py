"""Reading one partition of the source topic: records in, digests out. Pure: the log decides all."""

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import msgspec

from app.core import events
from app.core.chunks import CHUNK_RECORDS, Digest, Heartbeat, newest
from app.core.events import HEARTBEAT, Event, Refused
from app.core.folding import Entry, Folder, Population, group, metadata_of
from app.core.sheets import Sheet

_HOUR_MS = 3_600_000


class Record(NamedTuple):
    """A record of the source topic: offset, Kafka time (ms), value."""

    offset: int
    kafka_ms: int
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
        self._skip = skip  # until the next cut: this chunk's beginning is not known
        self._begun = False
        self._sheets: list[Sheet] = []
        self._news = False

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
        return any(sheet.urgent for sheet in self._sheets)

    @property
    def news(self) -> bool:
        """Something was read since the last digests."""
        return self._news

    def read(self, records: Iterable[Record]) -> tuple[list[Digest], list[Population]]:
        """Read records in order: the last digests of every chunk they end, and what was counted.

        Raises WentBackError where they do not go on after what was read: to count them would be
        to count twice.
        """
        finals: list[Digest] = []
        counted: list[Population] = []
        entries: list[Entry] = []
        number, hour = (self.upto - 1) // CHUNK_RECORDS, self.kafka_ms // _HOUR_MS
        for record in records:
            offset, kafka_ms, _ = record
            if offset < self.upto:
                raise WentBackError(f"{self.source}: {offset} comes after {self.upto - 1}")
            if not self._begun or offset // CHUNK_RECORDS != number or kafka_ms // _HOUR_MS > hour:
                self._fold(entries, counted)
                entries = []
                finals += self._cut(offset)
            number, hour = offset // CHUNK_RECORDS, kafka_ms // _HOUR_MS
            self.upto, self.kafka_ms = offset + 1, kafka_ms
            if self._skip:
                self.seen.left_out += 1
            else:
                self._entries(record, entries)
        self._fold(entries, counted)
        return finals, counted

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

    def _fold(self, entries: list[Entry], counted: list[Population]) -> None:
        if entries:
            groups = group(entries)
            for sheet in self._sheets:
                sheet.fold(groups)
            counted += groups
            self._news = True

    def _entries(self, record: Record, into: list[Entry]) -> None:
        _, kafka_ms, value = record
        for index, event in enumerate(events.decode(value)):
            if isinstance(event, Refused):
                self._reject(record, index, event)
            elif event.event in self._known:
                self._entry(record, index, event, into)
            elif event.event == HEARTBEAT:
                self._hear(event, kafka_ms)
            else:
                self.seen.ignored += 1

    def _entry(self, record: Record, index: int, event: Event, into: list[Entry]) -> None:
        try:
            at = events.event_time(event, record.kafka_ms)
        except Refused as refused:
            self._reject(record, index, refused)
            return
        if at is None:
            self.seen.late += 1
            return
        self.seen.counted += 1
        into.append(Entry(event, at, record.offset, record.kafka_ms))

    def _hear(self, event: Event, kafka_ms: int) -> None:
        metadata = metadata_of(event)
        try:
            at = events.event_time(event, kafka_ms)
            oldest = events.parse_timestamp(metadata.oldestAt) if metadata.oldestAt else None
        except Refused:
            at = None
        if at is not None:
            self.heartbeat = newest(self.heartbeat, Heartbeat(at, metadata.backlog or 0, oldest))
        self.seen.ignored += 1

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
                kafka_ms=record.kafka_ms,
                head=head,
            )
        )

    def digests(self) -> list[Digest]:
        """The digests of what is news."""
        self._news = False
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

    def join(self, other: "PartitionReader") -> bool:
        """Take over what another reader has counted of this partition by further definitions.

        False, and nothing is done, unless both stand at the same place of the same chunk.
        """
        if self.skipping or other.skipping or self.place != other.place:
            return False
        self._folders += other.folders
        self._sheets += other.sheets
        self._news |= other.news
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
