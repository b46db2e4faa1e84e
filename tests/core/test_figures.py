"""Every figure equals a recount of the raw events, at any moment, in any window."""

from collections import Counter
from collections.abc import Callable, Iterable
from math import ceil
from random import Random
from typing import Any, NamedTuple

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.core import figures, sketch, stories
from app.core.cells import Counts, Member
from app.core.figures import SHOWN_WINDOWS_S
from app.core.reading import Record
from app.core.slos import Slo
from tests.core.books import Library
from tests.core.histories import BEGAN_MS, HOUR_MS, iso
from tests.core.policies import AVAILABILITY, CORRECTNESS, INTEGRITY, LATENCY, POLICY, RESOURCES

DAY_MS = 24 * HOUR_MS
QUANTILES = (0.5, 0.95, 0.99)
AGES_MS = (
    0,
    0,
    0,
    3,
    9_999,
    299_999,
    4 * HOUR_MS,
    24 * HOUR_MS,
    6 * DAY_MS,
    29 * DAY_MS,
    32 * DAY_MS,
)
AHEAD_MS = (-1, -240_000, -300_000, -300_001, -DAY_MS)
STEPS_MS = (0, 1, 900, 10_000, 60_000, 299_000, HOUR_MS, 5 * HOUR_MS, 3 * DAY_MS)


class Raw(NamedTuple):
    """A raw event as the test knows it."""

    at: int
    event: str
    fields: dict[str, Any]
    offset: int


class Moment(NamedTuple):
    """Records that have come since the last moment, and the time at which is asked, ms."""

    records: list[Record]
    now: int
    expires: bool


def story(seed: int, count: int) -> tuple[list[Moment], list[list[Raw]]]:
    """Moments, and for each the raw events that count by then."""
    random = Random(seed)
    kafka_ms, now = BEGAN_MS + 1234, 0
    moments: list[Moment] = []
    known: list[list[Raw]] = []
    records: list[Record] = []
    raws: list[Raw] = []
    for offset in range(count):
        kafka_ms += random.choice(STEPS_MS)
        age = random.choice(AGES_MS + AHEAD_MS[:2] if random.random() < 0.9 else AHEAD_MS)
        at = kafka_ms - age
        fields = random_event(random, offset)
        stamp = {} if random.random() < 0.05 else {"timestamp": iso(at)}
        records.append(Record(offset, kafka_ms, msgspec.json.encode(fields | stamp)))
        at = at if stamp else kafka_ms
        if kafka_ms - 31 * DAY_MS <= at <= kafka_ms + 300_000:
            raws.append(Raw(at, fields["event"], fields, offset))
        if random.random() < 0.25 or offset == count - 1:
            ahead = random.choice((0, 0, 1, 7_777, 600_000, HOUR_MS, 10 * HOUR_MS))
            now = kafka_ms + ahead - random.choice((0, 0, 0, 1, 10_000, 240_000))
            moments.append(Moment(records, now, expires=random.random() < 0.3))
            known.append(list(raws))
            records = []
            kafka_ms = max(kafka_ms, now)
    return moments, known


def random_event(random: Random, number: int) -> dict[str, Any]:
    """Any event that an SLI uses, and some that none does."""
    agent = {
        "agent_id": f"agent-{random.randrange(4)}",
        "cli_type": random.choice(("claude", "gemini")),
    }
    conversation = {"conversationId": f"c{random.randrange(5)}"}
    memory = {"memoryMB": random.choice((0, 120.5, 499.999999, 500, 500.5, 2048, 0.1))}
    duration = random.choice(
        (0, 1, 999, 29_999, 30_000, 30_001, 60_000, 60_001, 123_456, 10**9, None)
    )
    flags = {
        name: random.choice((True, False, 1, 0))
        for name in ("tmuxSuccess", "headlessSuccess", "match")
    }
    return agent | random.choice(
        (
            {
                "event": "EXECUTION_COMPLETED",
                "success": random.choice((1, 1, 0, True, False, None)),
                "duration_ms": duration,
                "metadata": memory if random.random() < 0.7 else {},
            },
            {
                "event": "EXECUTION_COMPLETED",
                "success": 1,
                "duration_ms": duration,
                "metadata": msgspec.json.encode(memory).decode(),
            },
            {"event": "EXECUTION_FAILED", "success": 0, "metadata": {"error": f"E{number % 3}"}},
            {"event": "EXECUTION_TIMEOUT", "success": 0, "duration_ms": duration},
            {"event": "EXECUTION_CANCELLED"},
            {"event": "SHADOW_COMPARED", "metadata": flags},
            {"event": "SHADOW_MISMATCH"},
            {"event": "SHADOW_SUCCESS"},
            {"event": "SHADOW_TMUX_FAILURE"},
            {"event": "CONVERSATION_INTEGRITY_FAIL", "metadata": conversation},
            {"event": "ORPHAN_DETECTED", "metadata": conversation},
            {"event": "CONVERSATION_INTEGRITY_PASS", "metadata": conversation},
            {"event": "CONVERSATIONS_COUNTED", "metadata": {"count": 100 + number}},
        )
    )


# --- the recount, by the words of semantics.md --------------------------------------------------


def metadata(fields: dict[str, Any]) -> dict[str, Any]:
    found = fields.get("metadata") or {}
    return msgspec.json.decode(found) if isinstance(found, str) else found


def availability(fields: dict[str, Any]) -> Counts | None:
    if fields["event"] not in ("EXECUTION_COMPLETED", "EXECUTION_FAILED", "EXECUTION_TIMEOUT"):
        return None
    good = fields["event"] == "EXECUTION_COMPLETED" and fields.get("success") == 1
    return Counts(1, not good)


def latency(fields: dict[str, Any]) -> Counts | None:
    duration = fields.get("duration_ms")
    if fields["event"] != "EXECUTION_COMPLETED" or duration is None:
        return None
    return Counts(1, duration > 30_000, duration > 60_000, duration * 1_000_000)


def correctness(fields: dict[str, Any]) -> Counts | None:
    if fields["event"] == "SHADOW_COMPARED":
        seen = metadata(fields)
        differs = not (seen["headlessSuccess"] and seen["match"])
        return Counts(1, differs) if seen["tmuxSuccess"] else None
    bad = {"SHADOW_MISMATCH": True, "SHADOW_HEADLESS_FAILURE": True, "SHADOW_SUCCESS": False}
    return Counts(1, bad[fields["event"]]) if fields["event"] in bad else None


def resources(fields: dict[str, Any]) -> Counts | None:
    memory = metadata(fields).get("memoryMB")
    if fields["event"] != "EXECUTION_COMPLETED" or memory is None:
        return None
    return Counts(1, memory > 500, 0, round(memory * 1_000_000))


SLIS: dict[str, Callable[[dict[str, Any]], Counts | None]] = {
    AVAILABILITY.id: availability,
    LATENCY.id: latency,
    CORRECTNESS.id: correctness,
    RESOURCES.id: resources,
}


def within(raws: Iterable[Raw], now: int, window_s: int) -> list[Raw]:
    """The events of a trailing window."""
    if window_s <= 86_400:
        end = (now // 10_000 + 1) * 10_000
        begin = end - window_s * 1000
    else:
        end = (now // 300_000 + 1) * 300_000
        begin = ceil((now - window_s * 1000) / 300_000) * 300_000
    return [raw for raw in raws if begin <= raw.at < end]


def recount(slo: Slo, raws: Iterable[Raw]) -> Counts:
    found = [counts for raw in raws if (counts := SLIS[slo.id](raw.fields)) is not None]
    return Counts(*(sum(column) for column in zip(*found, strict=True))) if found else Counts()


def conversations(raws: Iterable[Raw]) -> dict[str, Member]:
    found: dict[str, Member] = {}
    for raw in raws:
        name = metadata(raw.fields).get("conversationId")
        have = found.get(name, Member())
        if raw.event in ("CONVERSATION_INTEGRITY_FAIL", "ORPHAN_DETECTED"):
            found[name] = Member(max(have.failed_at, raw.at), have.passed_at)
        elif raw.event == "CONVERSATION_INTEGRITY_PASS":
            found[name] = Member(have.failed_at, max(have.passed_at, raw.at))
    return found


def gauge(raws: Iterable[Raw]) -> int:
    found = [
        (r.at, r.offset, r.fields["metadata"]["count"])
        for r in raws
        if r.event == "CONVERSATIONS_COUNTED"
    ]
    return max(found)[2] if found else 0


def nearest_rank(values: list[int], q: float) -> int:
    return sorted(values)[max(1, ceil(q * len(values))) - 1]


# --- the properties -----------------------------------------------------------------------------

STORIES = st.builds(story, st.integers(0, 2**48), st.integers(1, 60))


@given(STORIES)
def test_every_window_of_every_slo_is_a_recount_of_the_raw_events(
    told: tuple[list[Moment], list[list[Raw]]],
) -> None:
    library = Library(list(POLICY.slos.values()))
    for moment, raws in zip(*told, strict=True):
        library.read(moment.records)
        for slo in POLICY.slos.values():
            if moment.expires:
                library.ledger(slo).expire(moment.now)
            seen = figures.read(slo, library.ledger(slo), moment.now)
            assert {w: seen.windows[w] for w in SHOWN_WINDOWS_S.values()} == {
                w: _expected(slo, raws, moment.now, w) for w in SHOWN_WINDOWS_S.values()
            }, slo.id


def _expected(slo: Slo, raws: list[Raw], now: int, window_s: int) -> Counts:
    inside = within(raws, now, window_s)
    if slo is not INTEGRITY:
        return recount(slo, inside)
    return Counts(gauge(raws), sum(bool(m.failed_at) for m in conversations(inside).values()))


@given(STORIES)
def test_a_recovered_ledger_tells_the_same_as_one_that_moved_along(
    told: tuple[list[Moment], list[list[Raw]]],
) -> None:
    library = Library(list(POLICY.slos.values()))
    for moment in told[0]:
        library.read(moment.records)
        for slo in POLICY.slos.values():
            seen = figures.read(slo, library.ledger(slo), moment.now)
            assert seen == figures.read(slo, library.books[slo.id].recovered(), moment.now)


@given(STORIES)
def test_quantiles_lie_within_one_percent_of_the_nearest_rank(
    told: tuple[list[Moment], list[list[Raw]]],
) -> None:
    library = Library([LATENCY])
    for moment, raws in zip(*told, strict=True):
        library.read(moment.records)
        for window_s in LATENCY.quantile_windows_s:
            inside = within(raws, moment.now, window_s)
            values = [r.fields["duration_ms"] for r in inside if latency(r.fields)]
            bins = library.ledger(LATENCY).quantile_bins(moment.now, window_s)
            found = sketch.quantiles(bins, QUANTILES)
            exact = [nearest_rank(values, q) for q in QUANTILES] if values else None
            assert found == (exact and pytest.approx(exact, rel=0.01 + 1e-9, abs=0))


@given(STORIES)
def test_conversations_are_distinct_and_known_by_their_latest_times(
    told: tuple[list[Moment], list[list[Raw]]],
) -> None:
    library = Library([INTEGRITY])
    for moment, raws in zip(*told, strict=True):
        library.read(moment.records)
        expected = conversations(within(raws, moment.now, 86_400))
        expected = {name: m for name, m in expected.items() if m != Member()}
        assert library.ledger(INTEGRITY).members(moment.now, 86_400) == expected


@given(STORIES)
def test_contributors_and_examples_come_from_the_bad_events_of_the_window(
    told: tuple[list[Moment], list[list[Raw]]],
) -> None:
    library = Library([AVAILABILITY])
    for moment, raws in zip(*told, strict=True):
        library.read(moment.records)
        ledger, now = library.ledger(AVAILABILITY), moment.now
        end = (now // 10_000 + 1) * 10_000
        begin = (end - 3_600_000) // 300_000 * 300_000  # evidence is kept by five minutes
        near = [r for r in raws if begin <= r.at < (end - 1) // 300_000 * 300_000 + 300_000]
        bad = [r for r in near if (c := availability(r.fields)) and c.bad]

        told_of = stories.contributors(ledger, now, 3600, most=99)
        assert {c.name: c.bad for c in told_of if c.by == "agent_id"} == Counter(
            r.fields["agent_id"] for r in bad
        )
        examples = ledger.examples(now, 3600)
        newest = sorted(((r.at, r.offset) for r in bad if r.at <= now), reverse=True)
        shown = [(e.at, e.offset) for e in examples]
        assert set(shown) <= set(newest)
        if not any(r.at > now for r in bad):
            assert shown[:5] == newest[:5]


@given(STORIES)
def test_the_last_bad_event_is_known_to_the_millisecond(
    told: tuple[list[Moment], list[list[Raw]]],
) -> None:
    library = Library([AVAILABILITY])
    for moment, raws in zip(*told, strict=True):
        library.read(moment.records)
        bad = [r.at for r in raws if (c := availability(r.fields)) and c.bad]
        if all(at <= moment.now for at in bad) and max(bad, default=0) > moment.now - DAY_MS:
            assert library.ledger(AVAILABILITY).last_bad_at(moment.now) == max(bad)


def test_what_no_window_reaches_is_forgotten() -> None:
    library = Library([LATENCY])
    event = {"event": "EXECUTION_COMPLETED", "success": 1, "duration_ms": 5}
    library.read([Record(0, BEGAN_MS, msgspec.json.encode(event))])
    ledger = library.ledger(LATENCY)

    ledger.expire(BEGAN_MS + 32 * DAY_MS)

    assert (ledger._slots, ledger._bins, ledger._rows) == ({"fine": {}, "coarse": {}}, {}, {})
    assert ledger.first_slot() is None


def test_a_window_over_a_day_begins_with_the_first_whole_slot_of_five_minutes() -> None:
    library = Library([AVAILABILITY])
    edge = BEGAN_MS  # a whole hour
    event = msgspec.json.encode({"event": "EXECUTION_FAILED", "success": 0})
    library.read(
        [Record(0, edge - 1, event), Record(1, edge, event), Record(2, edge + 300_000, event)]
    )
    week_ms = 7 * DAY_MS

    def bad(now: int) -> int:
        return library.ledger(AVAILABILITY).window(now, week_ms // 1000).bad

    assert [bad(edge + week_ms + ms) for ms in (-300_000, -1, 0, 1, 299_999, 300_000, 300_001)] == [
        3, 2, 2, 1, 1, 1, 0,
    ]  # fmt: skip
