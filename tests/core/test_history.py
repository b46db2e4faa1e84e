"""History: hours and months are what a recount of the events gives, rows being long gone."""

import random
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest

from app import config
from app.core import months
from app.core.history import Day, History, Month, Sealed, Told
from app.core.reading import Record
from app.core.slos import Slo
from app.core.slots import COARSE, Span
from tests.core.books import Library

POLICY = config.load(Path(__file__).parents[2] / "config")
SLOS = {name: POLICY.slos[name] for name in ("availability", "latency", "data-integrity")}
HOUR, DAY = 3600, 86_400
Event = dict[str, Any]


def at(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp())


def iso(at_s: float) -> str:
    return datetime.fromtimestamp(at_s, UTC).isoformat()


class Keeper:
    """One SLO as the counting worker keeps it: books, history, and the table of sealed months."""

    def __init__(self, library: Library, slo: Slo) -> None:
        self.slo = slo
        self.book = library.books[slo.id]
        self.history = History(slo, self.book.ledger)
        self.table: dict[str, bytes] = {}
        self.told: dict[str, Told] = {}
        take = self.book.take

        def take_and_touch(digest: Any) -> None:  # noqa: ANN401
            take(digest)
            self.history.touch(digest)

        self.book.take = take_and_touch  # type: ignore[method-assign]

    def pass_time(self, now_s: float) -> None:
        now = round(now_s * 1000)
        for month, sealed in self.history.seal(now).items():
            self.table[month] = msgspec.json.encode(sealed)
        self.book.ledger.expire(now)
        for key, told in self.history.news(now).items():
            if told is None:
                self.told.pop(key, None)
            else:
                self.told[key] = told

    def restart(self) -> None:
        """As after a crash: rows and sealed months are all that is left."""
        oldest = min(self.book.ledger.slots(COARSE), default=0)
        self.book.forget_before(oldest)
        self.book.ledger = self.book.recovered()
        self.history = History(self.slo, self.book.ledger)
        self.history.recover(
            {month: msgspec.json.decode(value, type=Sealed) for month, value in self.table.items()}
        )

    def month(self, name: str) -> Month:
        found = self.told[f"{self.slo.id}/{name}"]
        assert isinstance(found, Month)
        return found


def executions(begin: int, end: int, seed: int) -> Iterator[tuple[float, Event]]:
    """Executions about every ten minutes, one of nine failed: (when they are read, what)."""
    rng = random.Random(seed)
    at_s = float(begin)
    while at_s < end:
        failed = rng.random() < 1 / 9
        event = {
            "event": "EXECUTION_FAILED" if failed else "EXECUTION_COMPLETED",
            "agent_id": "alice",
            "duration_ms": round(rng.lognormvariate(9.5, 0.8)),
            "success": int(not failed),
            "timestamp": iso(at_s),
        }
        late = rng.choice((0, 0, 0, 0, 40, 3 * HOUR, 29 * DAY))
        yield at_s + late, event
        at_s += rng.expovariate(1 / 600)


def play(
    keepers: Iterable[Keeper], library: Library, read: list[tuple[float, Event]], begin: int = 0
) -> None:
    """Read events in the order in which they come; every six hours time is looked at."""
    looked_at = read[0][0]
    for offset, (read_at, event) in enumerate(read, start=begin):
        record = Record(offset, round(read_at * 1000), msgspec.json.encode(event))
        library.read([record])
        if read_at - looked_at > 6 * HOUR:
            looked_at = read_at
            for keeper in keepers:
                keeper.pass_time(read_at)


@pytest.fixture(scope="module")
def quarter() -> tuple[list[tuple[float, Event]], Keeper, Keeper]:
    """August to November, with events up to 29 days late, a restart in between, then read out."""
    read = sorted(executions(at("2026-08-01"), at("2026-12-01"), seed=6), key=lambda one: one[0])
    library = Library(list(SLOS.values()))
    keepers = [Keeper(library, SLOS["availability"]), Keeper(library, SLOS["latency"])]
    half = len(read) // 2
    play(keepers, library, read[:half])
    for keeper in keepers:
        keeper.pass_time(read[half][0])
        keeper.restart()
    play(keepers, library, read[half:], begin=half)
    for keeper in keepers:
        keeper.pass_time(at("2026-12-30"))
    return read, keepers[0], keepers[1]


MONTHS = ("2026-08", "2026-09", "2026-10", "2026-11")


@pytest.mark.parametrize("month", MONTHS)
def test_a_month_is_what_a_recount_of_its_events_gives(
    month: str, quarter: tuple[list[tuple[float, Event]], Keeper, Keeper]
) -> None:
    read, availability, latency = quarter
    span = months.span_of(month)
    within = [e for _, e in read if span.begin <= at_of(e) < span.end]
    completed = [e for e in within if e["event"] == "EXECUTION_COMPLETED"]
    slow = [e for e in completed if e["duration_ms"] > 30_000]
    total, bad = len(within), sum(not e["success"] for e in within)

    figures = availability.month(month)
    assert (figures.total, figures.bad) == (total, bad)
    assert figures.value == (total - bad) / total
    assert figures.consumed == pytest.approx(bad / (0.005 * total))
    assert (latency.month(month).total, latency.month(month).bad) == (
        len(completed),
        len(slow),
    )
    durations = sorted(e["duration_ms"] for e in completed)
    rank = -(-95 * len(durations) // 100)
    assert latency.month(month).quantiles["p95"] == pytest.approx(durations[rank - 1], rel=0.01)


def at_of(event: Event) -> float:
    return datetime.fromisoformat(event["timestamp"]).timestamp()


def test_hours_are_kept_for_31_days_and_then_ended(
    quarter: tuple[list[tuple[float, Event]], Keeper, Keeper],
) -> None:
    _, availability, _ = quarter
    days = sorted(
        key.partition("/")[2] for key, it in availability.told.items() if isinstance(it, Day)
    )
    assert days[0] >= "2026-11-27"  # the last look was at 30 December
    assert days[-1] <= "2026-12-29"


def test_the_hours_of_a_day_add_up_to_the_recount_of_the_day() -> None:
    begin = at("2026-10-13")
    library = Library(list(SLOS.values()))
    keeper = Keeper(library, SLOS["availability"])
    read = sorted(executions(begin, begin + DAY, seed=2), key=lambda one: one[0])
    play([keeper], library, read)
    keeper.pass_time(read[-1][0])

    day = keeper.told["availability/2026-10-13"]
    assert isinstance(day, Day)
    hours = day.hours
    assert (hours.begin, hours.step_s) == (begin * 1000, HOUR)
    for number, total in enumerate(hours.total):
        span = Span(begin + number * HOUR, begin + (number + 1) * HOUR)
        within = [e for _, e in read if span.begin <= at_of(e) < span.end]
        bad = sum(not e["success"] for e in within)
        assert (total, hours.bad[number]) == (len(within), bad)
        assert hours.value[number] == ((total - bad) / total if total else None)


def test_a_month_of_conversations_counts_each_once_against_the_newest_count_of_the_month() -> None:
    library = Library(list(SLOS.values()))
    keeper = Keeper(library, SLOS["data-integrity"])

    def failed(when: str, conversation: str) -> tuple[float, Event]:
        metadata = {"conversationId": conversation}
        event = {"event": "CONVERSATION_INTEGRITY_FAIL", "agent_id": conversation}
        return at(when), event | {"metadata": metadata, "timestamp": iso(at(when))}

    def counted(when: str, count: int) -> tuple[float, Event]:
        event = {"event": "CONVERSATIONS_COUNTED", "agent_id": "system"}
        return at(when), event | {"metadata": {"count": count}, "timestamp": iso(at(when))}

    read = [
        counted("2026-09-02", 300),
        failed("2026-09-03", "a"),
        failed("2026-09-20", "a"),
        failed("2026-09-20", "b"),
        counted("2026-09-30", 400),
        failed("2026-10-02", "a"),
        counted("2026-10-03", 500),
        failed("2026-11-25", "c"),
    ]
    play([keeper], library, read)
    keeper.pass_time(at("2026-11-26"))

    september, october = keeper.month("2026-09"), keeper.month("2026-10")
    assert (september.bad, september.total, september.consumed) == (2, 400, 1.0)
    assert (october.bad, october.total) == (1, 500)


def test_a_month_that_another_definition_counted_stays_as_it_was_told() -> None:
    library = Library(list(SLOS.values()))
    keeper = Keeper(library, SLOS["availability"])
    begin = months.span_of("2026-09").begin
    other = Sealed(definition="another", upto=begin + DAY)
    keeper.history.recover({"2026-09": other})
    play([keeper], library, list(executions(begin + 2 * DAY, begin + 3 * DAY, seed=1)))
    keeper.pass_time(begin + 4 * DAY)
    assert "availability/2026-09" not in keeper.told


@pytest.mark.parametrize(
    ("name", "begin", "end"),
    [
        ("2026-02", "2026-02-01", "2026-03-01"),
        ("2028-02", "2028-02-01", "2028-03-01"),
        ("2026-12", "2026-12-01", "2027-01-01"),
    ],
)
def test_a_month_begins_and_ends_at_midnight_utc(name: str, begin: str, end: str) -> None:
    assert months.span_of(name) == Span(at(begin), at(end))
    assert months.month_of(at(begin)) == name
    assert months.month_of(at(end) - 1) == name


@pytest.mark.parametrize(
    "wrong", ["2026-13", "2026-1", "oct", "", "2026-00", "0000-01", "2026-10-1"]
)
def test_what_is_no_month_is_told_so(wrong: str) -> None:
    with pytest.raises(ValueError, match="is no month"):
        months.span_of(wrong)
