"""Chunks: where they are cut, and where a reader may begin."""

from itertools import pairwise

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.core.chunks import CHUNK_RECORDS, Mark, Position, cuts, where_to_begin
from app.core.reading import PartitionReader, Record, WentBackError
from tests.core.histories import BEGAN_MS, HOUR_MS, NOW_DEFINED, TOPIC

NOON = BEGAN_MS


def begin(
    committed: int | None,
    log_start: int,
    mark: tuple[int, int] | None = None,
    *,
    epoch: str = "e",
    definitions: str = "d",
) -> str:
    made = Mark(epoch=epoch, start=mark[0], upto=mark[1], definitions=definitions) if mark else None
    return where_to_begin(
        committed=committed, mark=made, epoch="e", log_start=log_start, covered=definitions == "d"
    )


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (begin(None, 0), "log-start"),
        (begin(None, 77), "log-start"),
        (begin(100, 0, (100, 180)), "here"),
        (begin(100, 100, (100, 180)), "here"),
        (begin(100, 0), "next-cut"),  # somebody else's offset
        (begin(0, 0), "here"),
        (begin(2 * CHUNK_RECORDS, 0), "here"),
        (begin(140, 0, (100, 180)), "next-cut"),  # somebody moved it and kept our mark
        (begin(100, 180, (100, 180)), "log-start"),  # all that was counted is deleted, and no more
        (begin(100, 179, (100, 180)), "next-cut"),  # retention has eaten into the open chunk
        (begin(100, 150), "next-cut"),
        (begin(100, 0, (100, 180), epoch="old"), "log-start"),  # another topic
        (begin(100, 20, (100, 180), definitions="old"), "log-start"),  # another count
        (
            begin(100, 179, (100, 180), definitions="old"),
            "next-cut",
        ),  # … but no overlap for the others
    ],
)
def test_where_a_reader_begins(found: str, expected: str) -> None:
    assert found == expected


@pytest.mark.parametrize(
    ("before", "record", "expected"),
    [
        (Position(0, NOON), Position(1, NOON), False),
        (Position(CHUNK_RECORDS - 1, NOON), Position(CHUNK_RECORDS, NOON), True),
        (Position(0, NOON - 1), Position(1, NOON), True),
        (Position(0, NOON), Position(1, NOON - 1), False),  # an hour back is no cut
        (Position(0, NOON), Position(3 * CHUNK_RECORDS, NOON - HOUR_MS), True),
    ],
)
def test_where_the_log_is_cut(before: Position, record: Position, expected: bool) -> None:  # noqa: FBT001
    assert cuts(before, record) is expected


def reader(at: int, *, skip: bool) -> PartitionReader:
    made = PartitionReader(NOW_DEFINED, topic=TOPIC, epoch="e", partition=0, skip=skip)
    made.start = made.upto = at
    return made


def record(offset: int, kafka_ms: int = NOON) -> Record:
    value = msgspec.json.encode({"event": "EXECUTION_COMPLETED", "success": 1, "duration_ms": 5})
    return Record(offset, kafka_ms, value)


@given(
    st.lists(
        st.tuples(
            st.sampled_from([1, 1, 2, 5000]), st.sampled_from([0, 60_000, HOUR_MS, -HOUR_MS])
        ),
        max_size=40,
    ),
    st.lists(st.integers(1, 9), min_size=1),
)
def test_a_reader_cuts_where_the_rule_says_however_the_records_come(
    steps: list[tuple[int, int]], batches: list[int]
) -> None:
    positions = [Position(0, NOON)]
    for gap, ms in steps:
        positions.append(Position(positions[-1].offset + gap, positions[-1].kafka_ms + ms))
    expected = [p.offset for before, p in pairwise(positions) if cuts(before, p)]

    reading, starts = reader(0, skip=False), []
    rest = [record(*p) for p in positions]
    for size in batches * len(rest):
        finals, _ = reading.read(rest[:size])
        starts += [final.start for final in finals if final.slo == "latency"]
        rest = rest[size:]
    assert [*starts, reading.start] == [0, *expected]


def test_a_reader_that_skips_goes_on_at_the_next_cut_and_says_what_it_left_out() -> None:
    reading = reader(100, skip=True)
    reading.read([record(100), record(101), record(102, NOON + HOUR_MS)])
    assert (reading.skipping, reading.start, reading.seen.left_out) == (False, 102, 2)


def test_a_gap_over_the_border_is_a_cut_that_needs_no_predecessor() -> None:
    reading = reader(CHUNK_RECORDS - 2, skip=True)
    reading.read([record(CHUNK_RECORDS + 5)])
    assert (reading.skipping, reading.start, reading.seen.left_out) == (False, CHUNK_RECORDS + 5, 0)


def test_records_that_go_back_are_never_counted() -> None:
    reading = reader(0, skip=False)
    reading.read([record(0), record(1)])
    with pytest.raises(WentBackError, match="e/0: 1 comes after 1"):
        reading.read([record(1)])
