"""Where a backtest's events come from: Kokino's databases, or a file of JSON lines."""

import mmap
from array import array
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import NamedTuple, Protocol

import msgspec

from app.bridge.events import encode
from app.bridge.history import FORGOTTEN_MS, SLOT_MS, History, opened
from app.core import events
from app.core.events import Event, Refused
from app.core.folding import Entry
from app.core.reading import Seen
from app.errors import UserError

TAIL_S = 2 * 3600
"""The time goes on for so long after the last event, as in a replay: incidents can resolve."""

FAULTS_KEPT = 5


class Slice(NamedTuple):
    """The events of the ten seconds before `end_ms` that somebody counts, oldest first."""

    end_ms: int
    entries: list[Entry]


class Readings(msgspec.Struct):
    """What became of the events, and the first few faults that were found."""

    seen: Seen = msgspec.field(default_factory=Seen)
    faults: list[str] = []

    def refuse(self, where: str, why: object) -> None:
        """Count an event that cannot be read."""
        self.seen.rejected += 1
        if len(self.faults) < FAULTS_KEPT:
            self.faults.append(f"{where}: {why}")


class Source(Protocol):
    """Events in the order of their time, in slices: every ten seconds one, quiet ones too."""

    name: str
    first_ms: int
    last_ms: int
    readings: Readings

    def slices(self, wanted: frozenset[str]) -> Iterator[Slice]:
        """The events whose names are wanted; the time goes on for TAIL_S after the last."""


class Databases:
    """Kokino's data folder."""

    def __init__(self, history: History, name: str) -> None:
        """Take the opened history; raises UserError where it holds no row."""
        span = history.span()
        if span is None:
            raise UserError(f"{name} holds no rows: there is nothing to judge")
        self._history = history
        self.name = name
        self.first_ms, self.last_ms = span
        self.readings = Readings()

    def slices(self, wanted: frozenset[str]) -> Iterator[Slice]:
        """Every row as the event that the bridge would send, read as the intake would read it."""
        offset = 0
        for slot in self._history.slots(TAIL_S):
            entries: list[Entry] = []
            for moment in slot.moments:
                where = f"row {moment.event.id}"
                for event in events.decode(encode(moment.event)):
                    _take(event, where, moment.at_ms, offset, wanted, self.readings, entries)
                offset += 1
            yield Slice(slot.end_ms, entries)
        self.readings.seen.ignored += self._history.skipped.total()


def _take(
    event: Event | Refused,
    where: str,
    kafka_ms: int,
    offset: int,
    wanted: frozenset[str],
    readings: Readings,
    into: list[Entry],
) -> None:
    """Count an event as the intake does, and keep it where somebody wants it."""
    try:
        if isinstance(event, Refused):
            raise event
        if event.event not in wanted:
            readings.seen.ignored += 1
            return
        at = events.event_time(event, kafka_ms)
    except Refused as refused:
        readings.refuse(where, refused)
        return
    if at is None:
        readings.seen.late += 1
        return
    readings.seen.counted += 1
    into.append(Entry(event, at, offset, kafka_ms))


@contextmanager
def data_folder(folder: Path) -> Iterator[Databases]:
    """A folder of Kokino's; raises UserError where it is none, or holds nothing."""
    with opened(folder) as history:
        yield Databases(history, str(folder))


class Lines:
    """A file of JSON lines, each an event or an array of them, in any order."""

    def __init__(self, name: str, content: mmap.mmap | bytes) -> None:
        """Look through all lines once; raises UserError where no event can be read."""
        self.name = name
        self.readings = Readings()
        self._content = content
        self._at = array("q")  # ms, of each event that can be read
        self._begin = array("q")  # where its line begins
        self._line = array("l")  # its number, from 1
        self._index = array("l")  # its place in the line's array
        self._look_through()
        if not self._at:
            faults = "; ".join(self.readings.faults) or "it is empty"
            raise UserError(f"{name} holds no event that can be read: {faults}")
        self.first_ms, self.last_ms = min(self._at), max(self._at)

    def _look_through(self) -> None:
        begin = number = 0
        while begin < len(self._content):
            line, number = self._line_at(begin), number + 1
            if line.strip():
                self._look_at(line, begin, number)
            begin += len(line)

    def _line_at(self, begin: int) -> bytes:
        end = self._content.find(b"\n", begin)
        return self._content[begin : len(self._content) if end < 0 else end + 1]

    def _look_at(self, line: bytes, begin: int, number: int) -> None:
        for index, event in enumerate(events.decode(line.strip())):
            try:
                at = _time_of(event)
            except Refused as refused:
                self.readings.refuse(f"line {number}", refused)
                continue
            self._at.append(at)
            self._begin.append(begin)
            self._line.append(number)
            self._index.append(index)

    def slices(self, wanted: frozenset[str]) -> Iterator[Slice]:
        """The events by time; those of one moment as they stand in the file."""
        order = sorted(range(len(self._at)), key=self._at.__getitem__)
        return cut(self._entries(order, wanted), order and self._at.__getitem__, TAIL_S * 1000)

    def _entries(self, order: Iterable[int], wanted: frozenset[str]) -> Iterator[Entry]:
        for place in order:
            event = events.decode(self._line_at(self._begin[place]).strip())[self._index[place]]
            yield Entry(event, self._at[place], self._line[place], self._at[place])
