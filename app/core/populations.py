"""Events of one name, side by side as columns: what several SLOs ask of them is worked out once.

This is the hot path: a batch has thousands of events, so each step here is one call over a whole
column that runs in C where it can. `docs/performance.md` has its measurements.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from itertools import compress, islice
from operator import attrgetter, itemgetter, sub
from typing import Any, NamedTuple, TypeVar

from app.core.cells import OTHERS, TAGS_KEPT
from app.core.events import Event
from app.core.slots import FINE_KEPT_S, FINE_ROW_S, FINE_S, extent

_Item = TypeVar("_Item")
_Key = TypeVar("_Key")

_SLOT_MS = FINE_S * 1000
_KEPT_MS = FINE_KEPT_S * 1000


class Entry(NamedTuple):
    """An event to be counted: when it happened (ms), where it lies, when Kafka got it (ms)."""

    event: Event
    at: int
    offset: int
    kafka_ms: int


class Run(NamedTuple):
    """The entries `begin` up to, not including, `end` are those of one slot or row."""

    start: int
    begin: int
    end: int


Holder = tuple[int, str, str]
"""Whose an event is, and when: fine row, agent, CLI type."""


class Population:
    """Entries of one event name in the order of their slots. Slots and rows in seconds."""

    def __init__(self, event: str, columns: "Columns", *, fine: bool) -> None:
        slots = [at // _SLOT_MS * FINE_S for at in columns.ats]
        in_order = sorted(slots)
        if in_order != slots:
            columns = columns.chosen(sorted(range(len(slots)), key=slots.__getitem__))
        self.event = event
        self._columns = columns
        self.events, self.ats, self.offsets, _ = columns
        self.slots = in_order
        self.fine = fine  # recent enough for fine slots
        self._fields: dict[str, list[Any]] = {}
        self._named: dict[str, dict[Any, list[int]]] = {}
        self._parts: dict[tuple[str, str], Population] = {}

    def __len__(self) -> int:
        return len(self.events)

    def column(self, field: str) -> list[Any]:
        """A field of every event; "metadata.NAME" reaches into the metadata."""
        found = self._fields.get(field)
        if found is None:
            path, _, name = field.rpartition(".")
            within = self.column(path) if path else self.events
            found = self._fields[field] = list(map(attrgetter(name), within))
        return found

    def entries(self) -> Iterator[Entry]:
        """One by one."""
        return map(Entry, *self._columns)

    @cached_property
    def runs(self) -> list[Run]:
        """The slots that are there, and which entries are theirs."""
        return list(_runs(Counter(self.slots)))

    @cached_property
    def holders(self) -> dict[Holder, list[int]]:
        """Which entries are whose."""
        found: dict[Holder, list[int]] = {}
        for row, begin, end in self._row_runs():
            whose = [(event.agent_id, event.cli_type) for event in self.events[begin:end]]
            by = _places(whose, begin)
            if len(by) > TAGS_KEPT:
                agents, clis = zip(*whose, strict=True)
                by = _places(zip(_capped(agents), _capped(clis), strict=True), begin)
            for (agent, cli), places in by.items():
                found.setdefault((row, agent or "", cli or ""), []).extend(places)
        return found

    def _row_runs(self) -> Iterator[Run]:
        totals: Counter[int] = Counter()
        for slot, begin, end in self.runs:
            totals[slot - slot % FINE_ROW_S] += end - begin
        return _runs(totals)

    def having(self, field: str) -> "Population":
        """The entries that have the field at all."""
        column = self.column(field)
        return self.where([value is not None for value in column]) if None in column else self

    def places(self, field: str) -> dict[Any, list[int]]:
        """Which entries have which value of the field."""
        if field not in self._named:
            self._named[field] = _places(self.column(field))
        return self._named[field]

    def of(self, field: str, name: str) -> "Population":
        """The entries that have this name in the field, agent_id or cli_type.

        The field is looked through once for all that ask: with thousands of objectives, each of
        one agent, an event costs about what it costs with a few.
        """
        places = self.places(field).get(name, [])
        if len(places) == len(self):
            return self
        key = (field, name) if places else ("", "")
        if key not in self._parts:
            columns = self._columns.chosen(places)
            self._parts[key] = Population(self.event, columns, fine=self.fine)
        return self._parts[key]

    def where(self, mask: list[bool]) -> "Population":
        """The entries for which it holds; itself where it holds for all."""
        if all(mask):
            return self
        return Population(self.event, self._columns.chosen(places_of(mask)), fine=self.fine)


def places_of(mask: list[bool]) -> list[int]:
    """Where it holds."""
    return list(compress(range(len(mask)), mask))


def chosen(column: Sequence[_Item], indices: Sequence[int]) -> list[_Item]:
    """The items at these places."""
    if len(indices) < 2:  # with one index itemgetter gives no tuple
        return [column[index] for index in indices]
    return list(itemgetter(*indices)(column))


def _runs(totals: dict[int, int]) -> Iterator[Run]:
    end = 0
    for start, number in totals.items():
        begin, end = end, end + number
        yield Run(start, begin, end)


class Columns(NamedTuple):
    """Entries side by side, in the order of the log."""

    events: list[Event]
    ats: list[int]
    offsets: list[int]
    kafka_ms: list[int]

    def append(self, event: Event, at: int, offset: int, kafka_ms: int) -> None:
        """Add an entry."""
        self.events.append(event)
        self.ats.append(at)
        self.offsets.append(offset)
        self.kafka_ms.append(kafka_ms)

    def chosen(self, indices: Sequence[int]) -> "Columns":
        """The entries at these places, in their order."""
        events, *others = self
        return Columns(chosen(events, indices), *(chosen(column, indices) for column in others))


def _places(keys: Iterable[_Key], begin: int = 0) -> dict[_Key, list[int]]:
    found: defaultdict[_Key, list[int]] = defaultdict(list)
    for place, key in enumerate(keys, begin):
        found[key].append(place)
    return found


def _capped(names: Sequence[str | None]) -> Iterable[str | None]:
    """Beyond as many as a row keeps they are the others: a batch may have thousands."""
    kept = frozenset(islice(dict.fromkeys(names), TAGS_KEPT))
    return (name if name in kept else OTHERS for name in names)


def by_name(columns: Columns) -> Iterator[tuple[str, Columns]]:
    """Entries apart by event name."""
    found = _places([event.event for event in columns.events])
    for name, places in found.items():
        yield name, columns.chosen(places) if len(found) > 1 else columns


def populate(event: str, columns: Columns) -> Iterator[Population]:
    """Entries of one name, apart where some are too old for fine slots."""
    if extent(columns.kafka_ms)[1] - extent(columns.ats)[0] <= _KEPT_MS:
        yield Population(event, columns, fine=True)
        return
    is_fine = [age <= _KEPT_MS for age in map(sub, columns.kafka_ms, columns.ats)]
    for fine in (True, False):
        places = [place for place, one in enumerate(is_fine) if one is fine]
        if places:
            yield Population(event, columns.chosen(places), fine=fine)


def group(entries: Iterable[Entry]) -> list[Population]:
    """Entries by event name, and by whether they are recent enough for fine slots."""
    columns = Columns([], [], [], [])
    for entry in entries:
        columns.append(*entry)
    return [one for name, part in by_name(columns) for one in populate(name, part)]
