"""A definition that comes later counts what lies in the log already, and ends exactly where one
that was there from the beginning ends, wherever the two readers meet."""

from random import Random

import pytest
from msgspec.structs import replace

from app.core import chunks, reading, rows
from app.core.cells import Cells
from app.core.chunks import Digest
from app.core.folding import Folder
from app.core.reading import PartitionReader, Record
from app.core.rows import Merged, Row
from tests.core.policies import AVAILABILITY, LATENCY

TOPIC = "kokino.events"
HOUR_MS = 3_600_000
BEGAN_MS = 1_790_000_000_000 - 1_790_000_000_000 % HOUR_MS
OLD = Folder("availability", AVAILABILITY.definition, TOPIC)
NEW = Folder("latency", replace(LATENCY.definition, limit=90_000.0), TOPIC)

Rows = dict[tuple[str, int], Row]


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (chunks, reading):
        monkeypatch.setattr(module, "CHUNK_RECORDS", 6, raising=False)


def log_of(rng: Random) -> list[Record]:
    offset, at, found = rng.randrange(20), BEGAN_MS, []
    for _ in range(rng.randrange(1, 60)):
        offset += 1 + (rng.random() < 0.2)  # a transaction's marker is no record
        at += rng.choice((0, 1000, 60_000, HOUR_MS // 3))
        took_ms, good = rng.choice((900, 40_000, 95_000)), rng.random() < 0.8
        event = (
            b'{"event":"EXECUTION_COMPLETED","agent_id":"a","duration_ms":%d,"success":%d,'
            b'"metadata":null}' % (took_ms, good)
        )
        found.append(Record(offset, at, event))
    return found


def reader_of(*folders: Folder, at: int) -> PartitionReader:
    made = PartitionReader(folders, topic=TOPIC, epoch="e", partition=0, skip=False)
    made.start = made.upto = at
    return made


def merge(into: Rows, digests: list[Digest]) -> None:
    for digest in (one for one in digests if one.slo == NEW.slo):
        for grain, part in (("fine", digest.fine), ("coarse", digest.coarse)):
            for start, cells in part.items():
                row = into.setdefault((grain, start), Row())
                outcome = rows.merge_digest(
                    row, digest.source, digest.start, digest.upto, cells, final=digest.final
                )
                assert outcome is not Merged.OVERLAP


def totals(found: Rows) -> dict[tuple[str, int], dict[int, tuple[int, ...]]]:
    def slots(cells: Cells) -> dict[int, tuple[int, ...]]:
        return {slot: tuple(counts) for slot, counts in cells.slots.items()}

    return {name: slots(rows.total(row)) for name, row in found.items()}


def from_the_beginning(log: list[Record]) -> Rows:
    reader, found = reader_of(NEW, at=log[0].offset), Rows()
    merge(found, [*reader.read(log)[0], *reader.digests()])
    return found


@pytest.mark.parametrize("seed", range(300))
def test_what_is_filled_equals_what_was_always_counted(seed: int) -> None:
    rng = Random(seed)
    log = log_of(rng)
    main, behind = reader_of(OLD, at=log[0].offset), reader_of(NEW, at=log[0].offset)
    main.keep([OLD, NEW])
    found, read, filled, joined = Rows(), 0, 0, False
    while not joined or read < len(log):
        if read < len(log) and rng.random() < 0.5:  # the reader that goes on
            most = rng.randrange(1, 9)
            digests, _ = main.read(log[read : read + most])
            read += most
            digests += main.digests() if rng.random() < 0.5 else []
            merge(found, digests)
        elif not joined:  # the one that fills, never past the other
            piece = [r for r in log[filled : filled + rng.randrange(1, 9)] if r.offset < main.upto]
            finals, _ = behind.read(piece)
            filled += len(piece)
            merge(found, finals)
            joined = main.join(behind)
    merge(found, main.digests())
    assert totals(found) == totals(from_the_beginning(log))
    assert {folder.slo for folder in main.folders} == {OLD.slo, NEW.slo}


def test_readers_that_stand_apart_do_not_become_one() -> None:
    log = log_of(Random(1))
    main, behind = reader_of(OLD, at=log[0].offset), reader_of(NEW, at=log[0].offset)
    main.read(log[:10])
    behind.read(log[:9])
    assert not main.join(behind)
    behind.read(log[9:10])
    assert main.join(behind)


def test_a_definition_that_is_wanted_no_more_is_counted_no_more() -> None:
    log = log_of(Random(2))
    main = reader_of(OLD, NEW, at=log[0].offset)
    main.read(log[:5])
    main.keep([NEW])
    finals, counted = main.read(log[5:])
    assert {digest.slo for digest in [*finals, *main.digests()]} <= {NEW.slo}
    assert counted  # executions are known all the same


def test_a_mark_names_the_definitions_that_it_covers() -> None:
    ids = frozenset({OLD.id, NEW.id})
    mark = chunks.Mark(epoch="e", start=0, upto=9, definitions=chunks.definitions_of([OLD.id]))
    assert chunks.covered_by(mark, "e", ids) == {OLD.id}
    assert chunks.covered_by(mark, "another topic", ids) == frozenset()
    many = frozenset(f"{number:08x}" for number in range(5000))
    all_of_them = chunks.definitions_of(many)
    assert len(all_of_them) < 4096
    mark = chunks.Mark(epoch="e", start=0, upto=9, definitions=all_of_them)
    assert chunks.covered_by(mark, "e", many) == many
    assert chunks.covered_by(mark, "e", many - {"00000000"}) == frozenset()
