"""Series of events as a policy test writes them, and as a backtest reads them.

`times` says when a series' event happens, in terms that follow one another from the start:

| term      | means                                                        |
|-----------|--------------------------------------------------------------|
| `3`       | three at once                                                |
| `100x1m`  | a hundred, one each minute                                   |
| `20/1mx2h`| twenty a minute, evenly spread, for two hours                |
| `_30m`    | nothing for half an hour                                     |
"""

import re
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from app.backtest.sources import Readings, Slice
from app.bridge.history import SLOT_MS, Moment, slots
from app.core.events import Event
from app.core.populations import Entry

MOST_EVENTS = 2_000_000

_UNITS_MS = {"s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
_SPAN = r"(?:\d+[smhd])+"
_TERM = re.compile(
    rf"_(?P<pause>{_SPAN})"
    rf"|(?P<rate>\d+)/(?P<each>{_SPAN})x(?P<lasts>{_SPAN})"
    rf"|(?P<count>\d+)(?:x(?P<step>{_SPAN}))?"
)


def span_ms(text: str) -> int:
    """A time such as 90s, 1h30m or 7d in ms; raises ValueError where it is none."""
    if re.fullmatch(_SPAN, text) is None:
        raise ValueError(f"{text!r} is no time: write 90s, 1h30m or 7d")
    return sum(int(n) * _UNITS_MS[unit] for n, unit in re.findall(r"(\d+)([smhd])", text))


def times_of(text: str) -> list[int]:
    """When a series' event happens, ms from the start; raises ValueError for what is no term."""
    found: list[int] = []
    at = 0
    for term in text.split():
        match = _TERM.fullmatch(term)
        if match is None:
            raise ValueError(f"{term!r} is none of 3, 100x1m, 20/1mx2h, _30m")
        times, lasts = _term(match)
        found += [at + time for time in times]
        at += lasts
        if len(found) > MOST_EVENTS:
            raise ValueError(f"more than {MOST_EVENTS} events")
    return found


def _term(match: re.Match[str]) -> tuple[Sequence[int], int]:
    """The times within one term, and how long it lasts, ms."""
    if match["pause"]:
        return (), span_ms(match["pause"])
    if match["rate"]:
        rate, each, lasts = int(match["rate"]), span_ms(match["each"]), span_ms(match["lasts"])
        if not each:
            raise ValueError(f"{match[0]!r} has no time in which to happen")
        number = min(rate * lasts // each, MOST_EVENTS + 1)
        return [place * each // rate for place in range(number)], lasts
    number = min(int(match["count"]), MOST_EVENTS + 1)
    step = span_ms(match["step"]) if match["step"] else 0
    return [place * step for place in range(number)], number * step


class Happening(NamedTuple):
    """One event of a series, ms since the epoch."""

    at_ms: int
    event: Event


class Series:
    """Everything that happens in a policy test before one moment: a source of a backtest."""

    name = "the test"

    def __init__(self, happenings: Sequence[Happening], until_ms: int) -> None:
        """Take what happens, by time; `until_ms` is the end of a slot."""
        self._happenings = [one for one in happenings if one.at_ms < until_ms]
        self.first_ms = self._happenings[0].at_ms if self._happenings else until_ms
        self.last_ms = self._happenings[-1].at_ms if self._happenings else until_ms
        self.readings = Readings()
        self._until_ms = until_ms

    def slices(self) -> Iterator[Slice]:
        """See `Source`; they end at the moment that was given."""
        last_end_ms = (self.last_ms // SLOT_MS + 1) * SLOT_MS
        for slot in slots(self._moments(), None, self._until_ms - last_end_ms):
            held: list[Any] = [moment.event for moment in slot.moments]
            self.readings.seen.counted += len(held)
            yield Slice(slot.end_ms, held)

    def _moments(self) -> Iterator[Moment]:
        for number, one in enumerate(self._happenings):
            entry: Any = Entry(one.event, one.at_ms, number, one.at_ms)
            yield Moment(one.at_ms, entry)  # slots are cut by the times alone
