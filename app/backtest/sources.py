"""Where a backtest's events come from: Kokino's databases, or a file of JSON lines."""

import mmap
from array import array
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import msgspec

from app.bridge.events import encode
from app.bridge.history import History, Moment, opened, slots
from app.config import Policy
from app.core import events
from app.core.events import KNOWN, Event, Kinds, Refused, kinds_of
from app.core.folding import own_fields
from app.core.populations import Entry
from app.core.reading import Seen
from app.errors import UserError

TAIL_S = 2 * 3600
"""Time goes on for so long after the last event, as in a replay: incidents can resolve."""

FAULTS_KEPT = 5
_YEAR_3000_MS = 32_503_680_000_000


class Slice(NamedTuple):
    """The events of the ten seconds before `end_ms` that some SLO counts, oldest first."""

    end_ms: int
    entries: list[Entry]


class Readings(msgspec.Struct):
    """What became of the events that were read, and the first few faults among them."""

    seen: Seen = msgspec.field(default_factory=Seen)
    faults: list[str] = []

    def refuse(self, where: str, why: object) -> None:
        """Count an event that cannot be read."""
        self.seen.rejected += 1
        if len(self.faults) < FAULTS_KEPT:
            self.faults.append(f"{where}: {why}")


class Source(Protocol):
    """Events by their own time (ms)."""

    name: str
    first_ms: int
    last_ms: int
    readings: Readings

    def slices(self) -> Iterator[Slice]:
        """Every ten seconds from the first event to TAIL_S after the last, quiet ones too.

        Only a silence longer than any window reaches is left out.
        """


def kinds_for(policies: Iterable[Policy]) -> Kinds:
    """How events are decoded so that every field is there that the policies look at."""
    slos = (slo for policy in policies for slo in policy.slos.values())
    return kinds_of(own_fields(slo.definition for slo in slos))


class Databases:
    """Kokino's data folder: each row as the bridge would send it and the intake would read it."""

    def __init__(
        self, history: History, name: str, wanted: frozenset[str], kinds: Kinds = KNOWN
    ) -> None:
        """Take the opened history; raises UserError where it holds no row."""
        span = history.span()
        if span is None:
            raise UserError(f"{name} holds no rows: there is nothing to judge")
        self._history, self._wanted, self._kinds = history, wanted, kinds
        self.name = name
        self.first_ms, self.last_ms = span
        self.readings = Readings()

    def slices(self) -> Iterator[Slice]:
        """See `Source`; examples are numbered by the order of the rows in time."""
        number = 0
        self.readings = Readings()  # whoever goes through it again counts again
        self._history.skipped.clear()
        for slot in self._history.slots(TAIL_S):
            held: list[Entry] = []
            for moment in slot.moments:
                self._take(moment, number, held)
                number += 1
            yield Slice(slot.end_ms, held)
        self.readings.seen.ignored += self._history.skipped.total()

    def _take(self, moment: Moment, number: int, into: list[Entry]) -> None:
        seen = self.readings.seen
        try:
            event = _event(events.decode(encode(moment.event), self._kinds)[0])
            at = events.event_time(event, moment.at_ms)
        except Refused as refused:
            self.readings.refuse(f"row {moment.event.id}", refused)
            return
        if event.event not in self._wanted:
            seen.ignored += 1
        elif at is None:
            seen.late += 1
        else:
            seen.counted += 1
            into.append(Entry(event, at, number, moment.at_ms))


@contextmanager
def databases(folder: Path, wanted: frozenset[str], kinds: Kinds = KNOWN) -> Iterator[Databases]:
    """A data folder of Kokino's; raises UserError where it is none, or holds nothing."""
    with opened(folder) as history:
        yield Databases(history, str(folder), wanted, kinds)


class Lines:
    """A file of JSON lines, each an event or an array of them, in any order."""

    def __init__(
        self, content: mmap.mmap | bytes, name: str, wanted: frozenset[str], kinds: Kinds = KNOWN
    ) -> None:
        """Look through all lines; raises UserError where no event can be read."""
        self.name = name
        self.readings = Readings()
        self._content, self._wanted, self._kinds = content, wanted, kinds
        self._at = array("q")  # of each event that counts: when it happened, ms
        self._begin = array("q")  # where its line begins
        self._line = array("q")  # the line's number, from 1
        self._index = array("q")  # which event of the line
        self._look_through()
        if not self._at:
            raise UserError(f"{name} holds no event that an SLO counts: {self._why_empty()}")
        self.first_ms, self.last_ms = min(self._at), max(self._at)

    def slices(self) -> Iterator[Slice]:
        """See `Source`; events of one moment come as they stand in the file."""
        by_time = sorted(range(len(self._at)), key=self._at.__getitem__)
        for slot in slots((self._moment(place) for place in by_time), None, TAIL_S * 1000):
            entries: list[Any] = [moment.event for moment in slot.moments]
            yield Slice(slot.end_ms, entries)

    def _moment(self, place: int) -> Moment:
        line, at = self._line_at(self._begin[place]), self._at[place]
        event = _event(events.decode(line.strip(), self._kinds)[self._index[place]])
        entry: Any = Entry(event, at, self._line[place], at)
        return Moment(at, entry)  # slots are cut by the times alone

    def _look_through(self) -> None:
        begin = number = 0
        while begin < len(self._content):
            line, number = self._line_at(begin), number + 1
            if line.strip():
                self._look_at(line.strip(), begin, number)
            begin += len(line)

    def _line_at(self, begin: int) -> bytes:
        end = self._content.find(b"\n", begin)
        return self._content[begin:] if end < 0 else self._content[begin : end + 1]

    def _look_at(self, line: bytes, begin: int, number: int) -> None:
        for index, found in enumerate(events.decode(line, self._kinds)):
            try:
                event = _event(found)
                at = _time_of(event)
            except Refused as refused:
                self.readings.refuse(f"line {number}", refused)
                continue
            if event.event not in self._wanted:
                self.readings.seen.ignored += 1
                continue
            self.readings.seen.counted += 1
            for column, value in zip(
                (self._at, self._begin, self._line, self._index),
                (at, begin, number, index),
                strict=True,
            ):
                column.append(value)

    def _why_empty(self) -> str:
        seen = self.readings.seen
        if not (seen.rejected or seen.ignored):
            return "it is empty"
        faults = "".join(f"; {fault}" for fault in self.readings.faults)
        return f"{seen.ignored} of other names, {seen.rejected} unreadable{faults}"


def _event(found: Event | Refused) -> Event:
    if isinstance(found, Refused):
        raise found
    return found


def _time_of(event: Event) -> int:
    if event.timestamp is None:
        raise Refused("the event has no timestamp, and a file has no Kafka time")
    at = events.parse_timestamp(event.timestamp)
    if not 0 <= at < _YEAR_3000_MS:
        raise Refused(f"timestamp {event.timestamp!r} lies before 1970 or after 2999")
    return at


@contextmanager
def json_lines(path: Path, wanted: frozenset[str], kinds: Kinds = KNOWN) -> Iterator[Lines]:
    """A file of JSON lines; raises UserError where it cannot be read or holds nothing."""
    try:
        with path.open("rb") as file:
            if not path.stat().st_size:
                raise UserError(f"{path} is empty: there is nothing to judge")
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
                yield Lines(content, str(path), wanted, kinds)
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}", exit_code=2) from error
