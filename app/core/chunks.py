"""Chunks: the log cut at places that depend on the log alone, so that whoever reads it agrees."""

import hashlib
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from typing import Literal, NamedTuple

import msgspec

from app.core.cells import Cells, Gauge
from app.core.slots import extent

CHUNK_RECORDS = 8192
_HOUR_MS = 3_600_000


class Position(NamedTuple):
    """A record's place in its partition: offset and Kafka time (ms)."""

    offset: int
    kafka_ms: int


def cuts(before: Position, record: Position) -> bool:
    """Whether a new chunk begins with this record, given the one before it in the partition."""
    return (
        record.offset // CHUNK_RECORDS != before.offset // CHUNK_RECORDS
        or record.kafka_ms // _HOUR_MS > before.kafka_ms // _HOUR_MS
    )


def cut_places(before: Position, offsets: Sequence[int], kafka_ms: Sequence[int]) -> list[int]:
    """The places in a batch of records, offsets rising, at which `cuts` begins a new chunk."""
    if not offsets:
        return []
    places = set(_border_places(before.offset, offsets))
    earliest, latest = extent(kafka_ms)
    if not earliest // _HOUR_MS == latest // _HOUR_MS == before.kafka_ms // _HOUR_MS:
        hours = pairwise([ms // _HOUR_MS for ms in (before.kafka_ms, *kafka_ms)])
        places.update(place for place, (hour, later) in enumerate(hours) if later > hour)
    return sorted(places)


def _border_places(before: int, offsets: Sequence[int]) -> Iterator[int]:
    """Where the chunk's number changes: looked up, for batches are long and borders few."""
    place = bisect_left(offsets, _border_after(before))
    while place < len(offsets):
        yield place
        place = bisect_left(offsets, _border_after(offsets[place]), place)


def _border_after(offset: int) -> int:
    return (offset // CHUNK_RECORDS + 1) * CHUNK_RECORDS


class Digest(msgspec.Struct, frozen=True, kw_only=True, tag="digest", omit_defaults=True):
    """Says: of this partition, offsets start..upto, these are the counts of one SLO.

    Every cell is cumulative from the chunk's first offset. A digest names the cells that changed
    since the last one of its chunk; the last one, `final`, names them all.
    """

    slo: str
    definition: str  # hash of what the SLO counts
    epoch: str  # the topic's id: a topic made anew is another one
    partition: int
    start: int
    upto: int  # exclusive
    kafka_ms: int  # of the newest record
    final: bool = False
    fine: dict[int, Cells] = {}  # by row start, s
    coarse: dict[int, Cells] = {}
    gauge: Gauge | None = None

    @property
    def source(self) -> str:
        """Names the partition across deletions of its topic."""
        return f"{self.epoch}/{self.partition}"


class Heartbeat(msgspec.Struct, frozen=True, array_like=True):
    """What the bridge last said of itself. Times in ms; `oldest_at` of its oldest unsent row."""

    at: int
    backlog: int
    oldest_at: int | None = None


def newest(one: Heartbeat | None, other: Heartbeat | None) -> Heartbeat | None:
    """The later of two heartbeats, the second where they are of the same moment."""
    if one is None or other is None:
        return one or other
    return one if one.at > other.at else other


class PartitionMark(msgspec.Struct, frozen=True, array_like=True):
    """How far one partition of the source topic has been read."""

    epoch: str
    partition: int
    upto: int
    log_end: int
    kafka_ms: int  # now, where it is read to its end; else that of the last record read

    @property
    def at_end(self) -> bool:
        """Nothing is left to read."""
        return self.upto >= self.log_end


class Watermark(msgspec.Struct, frozen=True, kw_only=True, tag="watermark", omit_defaults=True):
    """How far one intake has got, over the partitions that it reads."""

    sent_ms: int
    partitions: int  # of the source topic, whoever reads them
    marks: tuple[PartitionMark, ...]
    heartbeat: Heartbeat | None = None
    last_minute: tuple[int, int] = (0, 0)  # events counted, events rejected
    counted: dict[str, str] = {}  # SLO → definition, where all up to the marks is counted by it


class Recounted(msgspec.Struct, frozen=True, kw_only=True, tag="recounted"):
    """A recount of what an SLO leaves out has come so far: see `app.core.corrections`.

    All its digests lie before it in the same partition of `slo.digests`.
    """

    slo: str
    exclusion: str  # the fingerprint of what is left out
    starts: dict[str, int]  # by source: the chunk that a restart may begin with


Message = Digest | Watermark | Recounted
"""What `slo.digests` carries."""


class Mark(msgspec.Struct, frozen=True, kw_only=True):
    """The intake's own mark in a commit's metadata: this offset is a chunk's start."""

    epoch: str
    start: int
    upto: int
    definitions: str  # those that it was counted by, see `definitions_of`
    heartbeat: Heartbeat | None = None  # the newest one, so that a restart does not forget it


Begin = Literal["here", "log-start", "next-cut"]


_IDS_KEPT = 400  # a commit's metadata holds 4096 bytes


def definition_id(slo: str, definition: str) -> str:
    """Names an SLO's definition in a mark: eight hex digits."""
    return hashlib.sha256(f"{slo}:{definition}".encode()).hexdigest()[:8]


def definitions_of(ids: Iterable[str]) -> str:
    """What a mark says of its definitions; too many to be named are named as one."""
    named = sorted(ids)
    joined = "-".join(named)
    return joined if len(named) <= _IDS_KEPT else hashlib.sha256(joined.encode()).hexdigest()[:16]


def covered_by(mark: Mark | None, epoch: str, ids: frozenset[str]) -> frozenset[str]:
    """The definitions by which everything before the mark's offset is counted already."""
    if mark is None or mark.epoch != epoch:
        return frozenset()
    if mark.definitions == definitions_of(ids):
        return ids
    return ids & frozenset(mark.definitions.split("-"))


def where_to_begin(
    *, committed: int | None, mark: Mark | None, epoch: str, log_start: int, covered: bool
) -> Begin:
    """Where a reader begins so that no chunk is ever counted from its middle.

    `covered`: some of today's definitions were counted up to the mark; the others are filled.
    "here": the committed offset is a chunk start. "log-start": the log's start is one, or there is
    no older count it could overlap. "next-cut": leave out the rest of the chunk that lies at the
    log's start or at an offset somebody else committed; what is left out is counted.
    """
    if committed is None or (mark and mark.epoch != epoch):
        return "log-start"
    if mark and mark.start < log_start < mark.upto:
        return "next-cut"
    if mark and not covered:
        return "log-start"
    if committed < log_start:
        return "log-start" if mark else "next-cut"
    if mark and mark.start == committed:
        return "here"
    return "here" if committed % CHUNK_RECORDS == 0 else "next-cut"
