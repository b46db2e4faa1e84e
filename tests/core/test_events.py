"""Whatever a record holds: events or readable reasons, and never an exception."""

# ruff: noqa: E501 - the tables of records read across

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.core import events
from app.core.events import Event, Refused, event_time, parse_timestamp
from app.core.reading import Record
from tests.core.books import Library
from tests.core.histories import BEGAN_MS, iso
from tests.core.policies import AVAILABILITY, LATENCY, POLICY

DAY_MS = 86_400_000
GOOD = b'{"event":"EXECUTION_COMPLETED","success":1,"duration_ms":5}'
DEEP = 100_000

REFUSED = {
    "nothing": (None, "the record is empty"),
    "an empty text": (b"", "truncated"),
    "no JSON": (b"EXECUTION_FAILED", "malformed"),
    "half of it": (GOOD[:20], "truncated"),
    "more than one": (GOOD + GOOD, "malformed"),
    "a number": (b"17", "Expected `object`, got `int`"),
    "no event": (b'{"agent_id":"a"}', "missing required field `event`"),
    "an event that is no text": (b'{"event":17}', "Expected `str`, got `int` - at `$.event`"),
    "an agent that is no text": (b'{"event":"A","agent_id":[]}', "at `$.agent_id`"),
    "a duration in words": (b'{"event":"A","duration_ms":"5"}', "at `$.duration_ms`"),
    "a duration below zero": (b'{"event":"A","duration_ms":-1}', "Expected `int` >= 0 - at `$.duration_ms`"),
    "a duration of ages": (b'{"event":"A","duration_ms":1000000000001}', "Expected `int` <= 1000000000000 - at `$.duration_ms`"),
    "a duration beyond all": (b'{"event":"A","duration_ms":1' + b"0" * 400 + b"}", "at `$.duration_ms`"),
    "a number without end": (b'{"event":"A","success":1' + b"0" * 9000 + b"}", "out of range"),
    "NaN": (b'{"event":"A","metadata":{"memoryMB":NaN}}', "malformed"),
    "infinity": (b'{"event":"A","metadata":{"memoryMB":1e999}}', "out of range"),
    "memory below zero": (b'{"event":"A","metadata":{"memoryMB":-0.5}}', "Expected `float` >= 0.0 - at `$.metadata.memoryMB`"),
    "a count without end": (b'{"event":"A","metadata":{"count":99999999999999999999}}', "metadata.count"),
    "metadata as a list": (b'{"event":"A","metadata":[1]}', "at `$.metadata`"),
    "metadata as broken text": (b'{"event":"A","metadata":"{oops"}', "malformed"),
    "a time that is a number": (b'{"event":"A","timestamp":1790000000}', "at `$.timestamp`"),
    "no UTF-8": (b'{"event":"\xff"}', "can't decode"),
    "half a surrogate": (b'{"event":"A","agent_id":"\\ud800"}', "not an event"),
    "depth without end": (b'{"event":"A","x":' + b"[" * DEEP + b"]" * DEEP + b"}", "recursion"),
    "an array in an array": (b'[[{"event":"A"}]]', "an array within an array"),
    "a field of 64 KiB and more": (b'{"event":"A","agent_id":"' + b"x" * 65_537 + b'"}', "agent_id has more than 65536 bytes"),
    "an unknown field of that size": (b'{"event":"A","note":"' + b"x" * 65_537 + b'"}', "note has more than 65536 bytes"),
    "a record over 1 MB": (b'{"event":"A","x":[' + b"1," * 500_000 + b"1]}", "more than 1000000"),
    "a text of 1 MB": (b'{"event":"' + b"x" * 1_000_000 + b'"}', "more than 1000000"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_it_is_refused_with_a_reason_that_people_can_read(name: str) -> None:
    value, reason = REFUSED[name]
    found = events.decode(value)
    assert [type(one) for one in found] == [Refused]
    assert reason in str(found[0])


TAKEN = {
    "a plain event": GOOD,
    "metadata as text": b'{"event":"A","metadata":"{\\"memoryMB\\":5}"}',
    "NUL in a text": b'{"event":"A","agent_id":"\\u0000"}',
    "a field of 64 KiB": b'{"event":"A","note":"' + b"x" * 65_536 + b'"}',
    "unknown fields": b'{"event":"A","x":{"y":[1,2,{"z":null}]}}',
    "null everywhere": b'{"event":"A","agent_id":null,"cli_type":null,"duration_ms":null,"success":null,"metadata":null,"timestamp":null}',
    "an error that is an object": b'{"event":"A","metadata":{"error":{"code":[1,2]}}}',
    "a success that is huge": b'{"event":"A","success":1' + b"0" * 300 + b"}",
}  # fmt: skip


@pytest.mark.parametrize("name", TAKEN)
def test_it_is_taken(name: str) -> None:
    assert [type(one) for one in events.decode(TAKEN[name])] == [Event]


@pytest.mark.parametrize("value", [b"[%b,%b]", b" \n[%b , %b]\n", b"[\n%b\n,\t%b]"])
def test_an_array_holds_events_however_it_is_written(value: bytes) -> None:
    assert [type(one) for one in events.decode(value % (GOOD, GOOD))] == [Event, Event]


def test_an_empty_array_holds_no_event() -> None:
    assert events.decode(b"[]") == []


BAD_ELEMENTS = [b"17", b"null", b"[]", b'{"event":17}', b'{"event":"A","duration_ms":-1}', b'{"event":"A","x":"' + b"y" * 65_537 + b'"}']  # fmt: skip


@pytest.mark.parametrize("bad", BAD_ELEMENTS)
def test_one_bad_element_costs_an_array_nothing_but_itself(bad: bytes) -> None:
    found = events.decode(b"[" + b",".join([GOOD, bad, GOOD]) + b"]")
    assert [type(one) for one in found] == [Event, Refused, Event]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4)
    ),
    max_leaves=12,
)
FIELDS = st.dictionaries(
    st.sampled_from(
        ["event", "agent_id", "cli_type", "duration_ms", "success", "metadata", "timestamp"]
    ),
    JSON
    | st.sampled_from(
        [
            "EXECUTION_COMPLETED",
            "CONVERSATION_INTEGRITY_FAIL",
            "BRIDGE_HEARTBEAT",
            "2026-10-13 14:05:30",
            "2100-01-01",
        ]
    )
    | st.dictionaries(st.sampled_from(list(events.Metadata.__struct_fields__)), JSON, max_size=4),
)


@given(st.one_of(st.binary(), FIELDS, st.lists(FIELDS, max_size=3)))
def test_nothing_whatever_raises_and_every_event_is_counted_once_or_refused(value: object) -> None:
    raw = value if isinstance(value, bytes) else msgspec.json.encode(value)
    library = Library(list(POLICY.slos.values()))
    library.read([Record(0, BEGAN_MS, raw)])
    seen = library.reader.seen
    told = seen.counted + seen.ignored + seen.late + seen.rejected
    assert told == len(events.decode(raw))
    assert len(library.reader.rejected) == seen.rejected
    assert all(one.reason for one in library.reader.rejected)
    assert msgspec.json.encode(library.reader.rejected)


# --- time ---------------------------------------------------------------------------------------

MOMENT = 1_792_000_000_000 - 1_792_000_000_000 % 1000


@pytest.mark.parametrize(
    ("text", "ms"),
    [
        ("2026-10-13 14:05:30", 1_791_900_330_000),
        ("2026-10-13T14:05:30", 1_791_900_330_000),
        ("2026-10-13T14:05:30Z", 1_791_900_330_000),
        ("2026-10-13T14:05:30.123456Z", 1_791_900_330_123),
        ("2026-10-13T16:05:30+02:00", 1_791_900_330_000),
        ("2026-10-13", 1_791_849_600_000),
        (" 2026-10-13 14:05:30 ", 1_791_900_330_000),
        ("1970-01-01 00:00:00", 0),
        ("1969-12-31T23:59:59.999Z", -1),
        ("2026-10-13T14+05:30", 1_791_880_200_000),
        ("2026-10-13T14+05:45", 1_791_879_300_000),  # not 15 s after the one above
    ],
)
def test_a_time_is_read(text: str, ms: int) -> None:
    assert parse_timestamp(text) == ms


@pytest.mark.parametrize("text", ["", "soon", "2026-13-01", "2026-10-13 14:05:61", "2026-02-30 00:00:00", "9" * 5000, "\x00", "14:05"])  # fmt: skip
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(Refused, match="cannot be read as a time"):
        parse_timestamp(text)


@given(st.integers(-(10**13), 10**13))
def test_a_time_that_was_written_is_read_back(ms: int) -> None:
    assert parse_timestamp(iso(ms)) == ms
    assert parse_timestamp(iso(ms)[:19]) == ms - ms % 1000


@pytest.mark.parametrize(
    ("age_ms", "at"),
    [(0, 0), (-300_000, 300_000), (31 * DAY_MS, -31 * DAY_MS), (31 * DAY_MS + 1, None)],
)
def test_how_old_an_event_may_be_is_told_by_kafkas_time(age_ms: int, at: int | None) -> None:
    event = Event(event="A", timestamp=iso(MOMENT - age_ms))
    assert event_time(event, MOMENT) == (None if at is None else MOMENT + at)


def test_more_than_five_minutes_ahead_is_refused() -> None:
    for text in (iso(MOMENT + 300_001), "2100-01-01T00:00:00Z"):
        with pytest.raises(Refused, match="lies more than 5 minutes ahead"):
            event_time(Event(event="A", timestamp=text), MOMENT)


def test_without_a_time_of_its_own_kafkas_counts() -> None:
    assert event_time(Event(event="A"), MOMENT) == MOMENT


def test_1970_is_late_2100_rejected_and_neither_is_counted() -> None:
    library = Library([AVAILABILITY, LATENCY])
    for offset, stamp in enumerate(("1970-01-01 00:00:00", "2100-01-01 00:00:00", None)):
        event = {"event": "EXECUTION_COMPLETED", "success": 1, "duration_ms": 5, "timestamp": stamp}
        library.read([Record(offset, MOMENT, msgspec.json.encode(event))])
    seen = library.reader.seen
    assert (seen.late, seen.rejected, seen.counted) == (1, 1, 1)
    assert library.ledger(AVAILABILITY).window(MOMENT, 300).total == 1
