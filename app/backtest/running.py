"""Running a backtest: the tape is read once, and every policy is judged along the way."""

from collections.abc import Callable, Iterator, Sequence
from itertools import islice

import msgspec

from app.backtest.counting import Book, Evidence
from app.backtest.sources import Readings, Slice, Source
from app.backtest.trials import Trial
from app.config import Policy
from app.core.folding import group
from app.core.notices import Notice
from app.core.ownership import Route
from app.core.slos import Definition, Slo
from app.core.slots import FINE_S
from app.core.status import Document
from app.errors import UserError

EXPIRE_MS = 6 * 3_600_000
DAY_MS = 86_400_000
COUNTED_AT_ONCE = 360  # slices: counting many events together is cheaper


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What one policy would have told. Times in ms, of the data."""

    begin_ms: int
    end_ms: int  # of the last judgement
    notices: tuple[Notice, ...]  # by time
    incidents: tuple[Document, ...]  # by time, in the shape of the API


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """Every policy's outcome, and what became of the events."""

    name: str
    readings: Readings
    outcomes: tuple[Outcome, ...]


def wanted_events(policies: Sequence[Policy]) -> frozenset[str]:
    """The names of the events that any of the policies counts."""
    definitions = [slo.definition for policy in policies for slo in policy.slos.values()]
    names = {clause.event for definition in definitions for clause in definition.clauses}
    return frozenset(names | {d.gauge for d in definitions if d.gauge})


def run(
    source: Source,
    policies: Sequence[Policy],
    on_day: Callable[[], None] = lambda: None,
) -> Run:
    """Judge the policies along the source; `on_day` is called as each day of data is done.

    Raises UserError where the source holds no event that counts.
    """
    court = _Court(source, policies)
    court.sit(on_day)
    return Run(
        name=source.name,
        readings=source.readings,
        outcomes=tuple(court.outcome(policy) for policy in policies),
    )


class _Court:
    """All trials, each pair of SLO and route once, over books, each definition once."""

    def __init__(self, source: Source, policies: Sequence[Policy]) -> None:
        self._source = source
        self._evidence = Evidence()
        self._books: dict[tuple[str, Definition], Book] = {}
        self._trials: dict[tuple[Slo, Route], Trial] = {}
        for policy in policies:
            for slo in policy.slos.values():
                self._summon(slo, policy.ownership.routes[slo.id])
        self._by_book = [
            (book, [trial for trial in self._trials.values() if trial.book is book])
            for book in self._books.values()
        ]
        self._begin = self._end = 0

    def _summon(self, slo: Slo, route: Route) -> None:
        name = (slo.id, slo.definition)
        book = self._books.get(name)
        if book is None:
            book = Book(slo.id, slo.definition, self._source.name, self._evidence)
            self._books[name] = book
        if (slo, route) not in self._trials:
            self._trials[slo, route] = Trial(slo, route, book)

    def sit(self, on_day: Callable[[], None]) -> None:
        """Go through all slices."""
        expired = day = 0
        for cut in self._counted():
            now = cut.end_ms
            if not self._begin:
                self._begin, expired, day = now, now, now
            self._advance(cut, has_expired=expired == self._end)
            self._end = now
            if now - expired >= EXPIRE_MS:
                expired = now
                for book in self._books.values():
                    book.expire(now)
            if now - day >= DAY_MS:
                day += DAY_MS
                on_day()
        if not self._begin:
            raise UserError(f"{self._source.name} holds no event that an SLO counts")
        for trial in self._trials.values():
            trial.end(self._end)

    def _counted(self) -> Iterator[Slice]:
        """Every slice, after an hour's worth of them is counted at once."""
        cuts = self._source.slices()
        while batch := list(islice(cuts, COUNTED_AT_ONCE)):
            populations = group(entry for cut in batch for entry in cut.entries)
            for book in self._books.values():
                book.count(populations)
            yield from batch

    def _advance(self, cut: Slice, *, has_expired: bool) -> None:
        """One slice on: the events are counted, and whoever is concerned judges."""
        before, now, slot = self._end, cut.end_ms, cut.end_ms // 1000 - FINE_S
        fed = [book for book, _ in self._by_book if book.has(slot)]
        concerned = [
            trial
            for book, trials in self._by_book
            for changed in (book.loses(now // 1000) or book in fed or has_expired,)
            for trial in trials
            if changed or trial.due(now)
        ]
        for trial in concerned:
            trial.pass_quietly(before)
        if cut.entries:
            self._evidence.take(slot, cut.entries)
        for book in fed:
            book.feed(slot)
        for trial in concerned:
            trial.judge(before, now)

    def outcome(self, policy: Policy) -> Outcome:
        """What this policy has told."""
        trials = [
            self._trials[slo, policy.ownership.routes[slo.id]] for slo in policy.slos.values()
        ]
        told = [notice for trial in trials for notice in trial.notices]
        shown = [incident for trial in trials for incident in trial.incidents.values()]
        return Outcome(
            begin_ms=self._begin,
            end_ms=self._end,
            notices=tuple(sorted(told, key=lambda notice: notice.at)),
            incidents=tuple(sorted(shown, key=lambda incident: incident["openedAt"])),
        )
