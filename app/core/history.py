"""History: what an SLO did, hour by hour for 31 days, and month by month for good.

Everything is read from the ledger, so it is as exact as the ledger, and late events correct it as
long as their rows are there. Hours that leave the ledger are sealed first: added up for their
month, stored, and only then forgotten. An event that old is refused as late, so they are final.
"""

from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from itertools import chain
from typing import NamedTuple

import msgspec
from msgspec.structs import replace

from app.core import budgets, months, sketch
from app.core.cells import MICRO, NOTHING, Counts, Gauge
from app.core.chunks import Digest
from app.core.figures import good_ratio
from app.core.ledger import Ledger
from app.core.sketch import Bins
from app.core.slos import Slo
from app.core.slots import COARSE, COARSE_KEPT_S, COARSE_S, FINE_KEPT_S, Span, slot_of

HOUR_S = 3600
DAY_S = 86_400
FORGOTTEN_DAYS = 60  # so many days before those shown are ended after a recovery
CONVERSATIONS_KEPT = 5000  # names in a month's sealed part; what is beyond counts no more
STEPS_S = (COARSE_S, 3 * COARSE_S, HOUR_S, 6 * HOUR_S)
MOST_POINTS = 120
MONTH_QUANTILES = {"p50": 0.50, "p95": 0.95, "p99": 0.99}


class Series(msgspec.Struct, frozen=True, kw_only=True):
    """Points as a chart takes them, one after the other; where there is none, nothing happened."""

    begin: int  # ms
    step_s: int
    total: tuple[int, ...]
    bad: tuple[int, ...]
    value: tuple[float | None, ...]  # the SLI, in the headline's unit


class Day(msgspec.Struct, frozen=True, kw_only=True, tag="day", tag_field="kind"):
    """The hours of one day, UTC."""

    slo: str
    hours: Series


class Recent(msgspec.Struct, frozen=True, kw_only=True, tag="recent", tag_field="kind"):
    """The last 25 hours in steps of 5 minutes."""

    slo: str
    steps: Series


class Month(msgspec.Struct, frozen=True, kw_only=True, tag="month", tag_field="kind"):
    """One month's figures. For distinct conversations `total` is the newest count of the month."""

    slo: str
    month: str  # "2026-10"
    as_of: int  # ms
    first: int | None  # the first slot that held anything, ms
    objective: float
    total: int
    bad: int
    value: float | None  # good / total, the quantile or the mean, in the headline's unit
    quantiles: dict[str, float] | None  # p50, p95, p99, where there is a sketch
    allowed: float  # bad events: (1 - T) · total
    consumed: float | None  # bad / allowed


Told = Day | Recent | Month
"""A value of `slo.history`."""


class Sealed(msgspec.Struct, frozen=True, kw_only=True):
    """The hours of one month that have left the ledger: one value of a Faust table."""

    definition: str
    upto: int  # s: the hours before it are in here
    first: int | None = None  # the first slot that held anything, s
    counts: Counts = NOTHING
    bins: Bins = {}
    conversations: tuple[str, ...] = ()  # that failed
    gauge: Gauge | None = None  # the newest of the month


def better(one: Sealed, other: Sealed) -> Sealed:
    """Of two writers' values the one that has seen more."""
    return max(one, other, key=lambda it: (it.upto, it.counts, it.gauge.at if it.gauge else 0))


class Point(NamedTuple):
    """A stretch of time in three figures: events, bad ones, and the SLI (None without events)."""

    total: int
    bad: int
    value: float | None


_NOWHERE = Point(0, 0, None)


class History:
    """One SLO's history beside its ledger: knows what has changed since it was told last."""

    def __init__(self, slo: Slo, ledger: Ledger) -> None:
        self.slo = slo
        self._definition = slo.definition.fingerprint()
        self._ledger = ledger
        self._sealed: dict[str, Sealed] = {}
        self._hours: dict[int, Point] = {}
        self._slots: dict[int, Point] = {}  # of 5 minutes, for as long as fine rows are kept
        self._touched: set[int] = set()  # slots of 5 minutes
        self._recovered = False

    def recover(self, sealed: dict[str, Sealed]) -> None:
        """Go on from the sealed months and from all that the ledger holds."""
        self._sealed, self._recovered = dict(sealed), True
        self.touch_all()

    def touch_all(self) -> None:
        """What is left out of the counts has changed."""
        self._touched |= set(self._ledger.slots(COARSE)) | set(self._ledger.members_of(COARSE))

    def touch(self, digest: Digest) -> None:
        """A digest has changed these slots."""
        for cells in digest.coarse.values():
            self._touched.update(cells.slots, cells.members)
        if digest.gauge is not None:
            self._touched.add(slot_of(digest.gauge.at // 1000, COARSE_S))

    def news(self, now_ms: int) -> dict[str, Told | None]:
        """By key, what has changed since the last time; None ends a key."""
        touched, self._touched = self._touched, set()
        self._read_anew(touched)
        ended = self._forget(now_ms // 1000)
        days = {slot_of(slot, DAY_S) for slot in touched} - ended
        found: dict[str, Told | None] = {self._day_key(day): None for day in ended}
        found |= {self._day_key(day): self._day(day) for day in days}
        for month in {months.month_of(slot) for slot in touched}:
            if (figures := self._month(month, now_ms)) is not None:
                found[f"{self.slo.id}/{month}"] = figures
        if touched:
            found[f"{self.slo.id}/recent"] = self._recent(now_ms // 1000)
        return found

    def _read_anew(self, touched: set[int]) -> None:
        for hour in {slot_of(slot, HOUR_S) for slot in touched}:
            self._hours[hour] = point(self.slo, self._ledger, Span(hour, hour + HOUR_S))
        newest = max(touched, default=0)
        for slot in touched:
            if slot > newest - FINE_KEPT_S:
                self._slots[slot] = point(self.slo, self._ledger, Span(slot, slot + COARSE_S))

    def _forget(self, now_s: int) -> set[int]:
        """Drop what is too old to be shown; the days of which nothing is left."""
        for slot in [slot for slot in self._slots if slot < now_s - FINE_KEPT_S]:
            del self._slots[slot]
        gone = [hour for hour in self._hours if hour < now_s - COARSE_KEPT_S - DAY_S]
        for hour in gone:
            del self._hours[hour]
        left = {slot_of(hour, DAY_S) for hour in self._hours}
        return ({slot_of(hour, DAY_S) for hour in gone} | self._days_of_before(now_s)) - left

    def _days_of_before(self, now_s: int) -> set[int]:
        """After a recovery: days that may have been told by a worker that ended since."""
        if not self._recovered:
            return set()
        self._recovered = False
        oldest = slot_of(now_s - COARSE_KEPT_S, DAY_S)
        return set(range(oldest - FORGOTTEN_DAYS * DAY_S, oldest, DAY_S))

    def _day_key(self, day: int) -> str:
        return f"{self.slo.id}/{datetime.fromtimestamp(day, UTC):%Y-%m-%d}"

    def _day(self, day: int) -> Day:
        own = {hour: found for hour, found in self._hours.items() if day <= hour < day + DAY_S}
        return Day(slo=self.slo.id, hours=series(own, HOUR_S, begin=day))

    def _recent(self, now_s: int) -> Recent:
        own = {slot: found for slot, found in self._slots.items() if slot <= now_s}
        return Recent(slo=self.slo.id, steps=series(own, COARSE_S))

    def _month(self, month: str, now_ms: int) -> Month | None:
        sealed = self._part(month)
        if sealed.definition != self._definition:
            return None  # counted by another definition, and told then
        return month_figures(self.slo, self._ledger, month, sealed, now_ms)

    def _part(self, month: str) -> Sealed:
        begin = months.span_of(month).begin
        known = self._sealed.get(month)
        if known is None or (known.definition != self._definition and known.upto <= begin):
            return Sealed(definition=self._definition, upto=begin)
        return known

    def seal(self, now_ms: int) -> dict[str, Sealed]:
        """Add up what is about to leave the ledger; the months that must be stored before it goes.

        Only whole hours: an event of theirs would be refused as late by now.
        """
        upto = slot_of(now_ms // 1000 - COARSE_KEPT_S, HOUR_S)
        changed: dict[str, Sealed] = {}
        leaving = self._ledger.slots(COARSE), self._ledger.members_of(COARSE)
        old = {months.month_of(slot) for slot in chain(*leaving) if slot < upto}
        gauge = self._ledger.gauge
        for month in old | ({months.month_of(gauge.at // 1000)} if gauge else set()):
            before = self._part(month)
            after = _with_gauge(_sealed_upto(before, self._ledger, month, upto), gauge, month)
            if after != before and before.definition == self._definition:
                changed[month] = self._sealed[month] = after
        return changed


def _sealed_upto(before: Sealed, ledger: Ledger, month: str, upto: int) -> Sealed:
    whole = months.span_of(month)
    span = Span(before.upto, max(before.upto, min(upto, whole.end)))
    counts, bins, failing = _contents(ledger, span)
    if counts == NOTHING and not failing:
        return before
    added = dict(before.bins)
    sketch.add(added, bins)
    first = _first(ledger, span) if before.first is None else before.first
    names = sorted({*before.conversations, *failing})[:CONVERSATIONS_KEPT]
    return replace(
        before,
        upto=span.end,
        first=first,
        counts=before.counts.plus(counts),
        bins=added,
        conversations=tuple(names),
    )


def _with_gauge(sealed: Sealed, gauge: Gauge | None, month: str) -> Sealed:
    """The newest gauge of the month is kept: the ledger only has the newest of all."""
    if gauge is None or months.month_of(gauge.at // 1000) != month:
        return sealed
    newer = sealed.gauge is None or gauge > sealed.gauge
    return replace(sealed, gauge=gauge) if newer else sealed


def _contents(ledger: Ledger, span: Span) -> tuple[Counts, Bins, set[str]]:
    counts, bins = NOTHING, _bins(ledger, span)
    for slot in _slots_within(ledger.slots(COARSE), span):
        counts = counts.plus(ledger.slots(COARSE)[slot])
    members = ledger.members_within(COARSE, span)
    return counts, bins, {name for name, member in members.items() if member.failed_at}


def _slots_within(held: Iterable[int], span: Span) -> Iterator[int]:
    return (slot for slot in held if span.begin <= slot < span.end)


def _first(ledger: Ledger, span: Span) -> int | None:
    held = chain(ledger.slots(COARSE), ledger.members_of(COARSE))
    return min(_slots_within(held, span), default=None)


def month_figures(slo: Slo, ledger: Ledger, month: str, sealed: Sealed, now_ms: int) -> Month:
    """A month's figures, of its sealed part and of what the ledger still holds."""
    whole = months.span_of(month)
    live = Span(max(whole.begin, sealed.upto), whole.end)
    counts, bins, failing = _contents(ledger, live)
    counts = counts.plus(sealed.counts)
    sketch.add(bins, sealed.bins)
    if slo.definition.distinct:
        gauge = _with_gauge(sealed, ledger.gauge, month).gauge
        known = gauge.value if gauge else 0
        counts = Counts(total=known, bad=len(failing.union(sealed.conversations)))
    first = _first(ledger, live) if sealed.first is None else sealed.first
    found = sketch.quantiles(bins, MONTH_QUANTILES.values())
    allowed = budgets.error_ratio(slo.objective) * counts.total
    return Month(
        slo=slo.id,
        month=month,
        as_of=now_ms,
        first=None if first is None else first * 1000,
        objective=slo.objective,
        total=counts.total,
        bad=counts.bad,
        value=_value(slo, counts, found[1] if found else None),
        quantiles=dict(zip(MONTH_QUANTILES, found, strict=True)) if found else None,
        allowed=allowed,
        consumed=budgets.consumed_by_events(counts.bad, allowed) if counts.total else None,
    )


def point(slo: Slo, ledger: Ledger, span: Span) -> Point:
    """The figures of a span of 5-minute slots.

    A quantile needs whole hours, or fine slots, which reach back 25 hours.
    """
    if slo.definition.distinct:
        return _distinct_point(ledger, span)
    counts = NOTHING
    for slot in range(span.begin, span.end, COARSE_S):
        counts = counts.plus(ledger.slots(COARSE).get(slot, NOTHING))
    quantile = None
    if slo.headline.kind == "quantile":
        found = sketch.quantiles(_bins(ledger, span), [slo.breach.quantile])
        quantile = found[0] if found else None
    return Point(counts.total, counts.bad, _value(slo, counts, quantile))


def _bins(ledger: Ledger, span: Span) -> Bins:
    if span.begin % HOUR_S or span.end % HOUR_S:
        return ledger.fine_bins(span)
    bins: Bins = {}
    for hour in range(span.begin, span.end, HOUR_S):
        sketch.add(bins, ledger.hour_bins(hour))
    return bins


def _distinct_point(ledger: Ledger, span: Span) -> Point:
    members = ledger.members_within(COARSE, span).values()
    bad = sum(bool(member.failed_at) for member in members)
    known = ledger.gauge.value if ledger.gauge else 0
    return Point(known, bad, 1 - bad / known if known else None)


def _value(slo: Slo, counts: Counts, quantile: float | None) -> float | None:
    if slo.headline.kind == "quantile":
        return quantile
    if not counts.total:
        return None
    if slo.headline.kind == "mean":
        return counts.sum_u / MICRO / counts.total
    return good_ratio(counts)


def around(slo: Slo, ledger: Ledger, begin_s: int, end_s: int) -> Series:
    """A stretch of time for a chart, in steps that give no more than some hundred points."""
    step_s = next((s for s in STEPS_S if (end_s - begin_s) / s <= MOST_POINTS), STEPS_S[-1])
    steps = range(slot_of(begin_s, step_s), end_s, step_s)
    points = {at: point(slo, ledger, Span(at, at + step_s)) for at in steps}
    return series(points, step_s, begin=steps.start)


def series(points: Mapping[int, Point], step_s: int, begin: int | None = None) -> Series:
    """Points by their time (s) as a series, from `begin` on."""
    first = min(points, default=0) if begin is None else begin
    last = max(points, default=first - step_s)
    every = [points.get(at, _NOWHERE) for at in range(first, last + 1, step_s)]
    return Series(
        begin=first * 1000,
        step_s=step_s,
        total=tuple(one.total for one in every),
        bad=tuple(one.bad for one in every),
        value=tuple(one.value for one in every),
    )
