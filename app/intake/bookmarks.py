"""What is committed: a chunk's start, and in the commit's metadata the mark that says it is one."""

from collections.abc import Sequence
from typing import NamedTuple

import msgspec
from aiokafka import OffsetAndMetadata

from app.core import chunks
from app.core.chunks import Heartbeat, Mark
from app.core.folding import Folder
from app.core.reading import PartitionReader

_encode = msgspec.json.Encoder().encode
_marks = msgspec.json.Decoder(Mark)


class Beginning(NamedTuple):
    """Where a partition is begun, and what is known of what lies before."""

    offset: int
    skip: bool  # up to the next cut: the offset is no chunk's start
    folders: Sequence[Folder]  # by which everything before the offset is counted
    counted_upto: int  # offsets below it are in the metrics of a worker before this one
    heartbeat: Heartbeat | None  # the newest one before the offset


def beginning(
    committed: OffsetAndMetadata | None, epoch: str, log_start: int, folders: Sequence[Folder]
) -> Beginning:
    """Where to begin after this commit, in the topic that has this epoch, by these definitions."""
    offset = committed.offset if committed and committed.offset >= 0 else None
    mark = _mark_of(committed)
    covered = chunks.covered_by(mark, epoch, frozenset(folder.id for folder in folders))
    begin = chunks.where_to_begin(
        committed=offset, mark=mark, epoch=epoch, log_start=log_start, covered=bool(covered)
    )
    if begin == "log-start" or offset is None or offset < log_start:
        offset = log_start
    return Beginning(
        offset,
        skip=begin == "next-cut",
        folders=[folder for folder in folders if folder.id in covered] or folders,
        counted_upto=mark.upto if mark and mark.epoch == epoch else 0,
        heartbeat=mark.heartbeat if mark else None,
    )


def _mark_of(committed: OffsetAndMetadata | None) -> Mark | None:
    if committed is None or not committed.metadata:
        return None
    try:
        return _marks.decode(committed.metadata.encode())
    except msgspec.MsgspecError:
        return None  # somebody else's commit


def bookmark(
    reader: PartitionReader, counted_upto: int, heartbeat: Heartbeat | None
) -> OffsetAndMetadata:
    """What to commit for a reader that is not skipping."""
    mark = Mark(
        epoch=reader.epoch,
        start=reader.start,
        upto=max(reader.upto, counted_upto),
        definitions=chunks.definitions_of(folder.id for folder in reader.folders),
        heartbeat=heartbeat,
    )
    return OffsetAndMetadata(reader.start, _encode(mark).decode())
