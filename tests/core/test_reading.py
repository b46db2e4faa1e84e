"""Reading: however records come, the same is counted and refused of them."""

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from app.core.cells import MICRO
from app.core.folding import parts_of
from app.core.reading import PartitionReader, Record
from tests.core.histories import BEGAN_MS, NOW_DEFINED, TOPIC, iso

MOST = 200
REFUSED = {
    "no JSON": b"{",
    "no event": b'{"success":1}',
    "a time far ahead": b'{"event":"EXECUTION_COMPLETED","timestamp":"2099-01-01T00:00:00Z"}',
}


def record(offset: int) -> Record:
    event = {
        "event": "EXECUTION_COMPLETED",
        "agent_id": f"agent-{offset % 3}",
        "success": int(offset % 50 > 0),
        "duration_ms": 100 * offset,
        "timestamp": iso(BEGAN_MS + offset),
    }
    return Record(offset, BEGAN_MS + offset, msgspec.json.encode(event))


def a_reader() -> PartitionReader:
    return PartitionReader(NOW_DEFINED, topic=TOPIC, epoch="e", partition=0, skip=False)


@given(
    st.integers(1, MOST),
    st.dictionaries(st.integers(0, MOST), st.sampled_from(list(REFUSED)), max_size=5),
)
def test_a_batch_with_some_that_are_refused_is_read_as_one_by_one(
    number: int, refused: dict[int, str]
) -> None:
    records = [
        Record(offset, BEGAN_MS + offset, REFUSED[refused[offset]])
        if offset in refused
        else record(offset)
        for offset in range(number)
    ]
    at_once, one_by_one = a_reader(), a_reader()
    at_once.read(records)
    for one in records:
        one_by_one.read([one])
    assert at_once.digests() == one_by_one.digests()
    assert at_once.rejected == one_by_one.rejected
    assert at_once.seen == one_by_one.seen
    assert at_once.seen.rejected == sum(offset < number for offset in refused)


@given(st.lists(st.integers(0, 10**12) | st.floats(0, 10**9), max_size=20))
def test_values_add_up_as_their_millionths_do(values: list[float]) -> None:
    parts, part_u = parts_of(values)
    assert sum(parts) * part_u == sum(round(value * MICRO) for value in values)
