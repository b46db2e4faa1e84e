"""Running a backtest: the tape is read once, and every policy is judged along the way."""

from collections.abc import Callable, Collection, Iterator, Sequence
from itertools import islice

import msgspec

from app.backtest.counting import Book, Evidence
from app.backtest.sources import Readings, Slice, Source
from app.backtest.trials import Trial
from app.bridge.history import FORGOTTEN_MS
from app.config import Policy
from app.core.notices import Notice
from app.core.ownership import Route
from app.core.populations import group
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
    for _ in court.sit(on_day):
        pass
    court.close()
    return Run(
        name=source.name,
        readings=source.readings,
        outcomes=tuple(court.outcome(policy) for policy in policies),
    )


def outcomes_at(
    source: Source, policy: Policy, moments: Collection[int]
) -> Iterator[tuple[int, Outcome]]:
    """What was told until each of these moments, and what is open then; ends of slots, ms."""
    court = _Court(source, [policy])
    for now in court.sit(lambda: None):
        if now in moments:
            court.close()
            yield now, court.outcome(policy)


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

    def sit(self, on_day: Callable[[], None]) -> Iterator[int]:
        """Go through all slices, and yield the end of each (ms) when it is judged."""
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
            yield now

    def close(self) -> None:
        """Show the incidents that are open as they are now."""
        if not self._begin:
            raise UserError(f"{self._source.name} holds no event that an SLO counts")
        for trial in self._trials.values():
            trial.end(self._end)

    def _counted(self) -> Iterator[Slice]:
        """Every slice, after an hour's worth of them is counted at once."""
        cuts = _without_leaps(self._source.slices())
        while batch := list(islice(cuts, COUNTED_AT_ONCE)):
            populations = group(entry for cut in batch for entry in cut.entries)
            for book in self._books.values():
                book.count(populations)
            yield from batch

    def _advance(self, cut: Slice, *, has_expired: bool) -> None:
        """One slice on: the events are counted, and whoever is concerned judges."""
        slot = cut.end_ms // 1000 - FINE_S
        if cut.entries:
            self._evidence.take(slot, cut.entries)
        for book, trials in self._by_book:
            is_fed = book.has(slot)
            if not (book.loses(cut.end_ms // 1000) or is_fed or has_expired):
                trials = [trial for trial in trials if trial.due(cut.end_ms)]  # noqa: PLW2901
            if is_fed:
                self._feed(book, trials, cut, slot)
            for trial in trials:
                trial.pass_until(cut.end_ms)
                trial.judge(cut.end_ms)

    def _feed(self, book: Book, trials: Sequence[Trial], cut: Slice, slot: int) -> None:
        """A slot's events: moment by moment where one within it may differ from its end."""
        for trial in trials:
            trial.pass_until(slot * 1000 + 1)
        coming = book.coming(slot)
        close = [trial for trial in trials if trial.may_differ(coming, cut.end_ms)]
        if not close:
            book.feed(slot)
            return
        for at, same in book.moments(slot, cut.entries):
            for trial in close:
                trial.pass_until(at)
            book.take(slot, same)
            for trial in close:
                trial.judge(at)

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


def _without_leaps(cuts: Iterator[Slice]) -> Iterator[Slice]:
    """Where a long silence is left out its beginning is put back: until all windows are empty."""
    step, end = FINE_S * 1000, 0
    for cut in cuts:
        if end and cut.end_ms - end > step:
            yield from (Slice(at, []) for at in range(end + step, end + FORGOTTEN_MS, step))
        end = cut.end_ms
        yield cut
