"""Events into tallies: what an SLO counts of a batch, asked of many events at once.

A batch is sorted by event first, and what all SLOs ask alike (which slot, whose, how many) is
worked out once for all of them. This is the hot path: `docs/performance.md` has its measurements.
"""

import operator
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cached_property
from operator import attrgetter
from typing import Any, NamedTuple, TypeVar

from app.core.cells import MICRO, Counts
from app.core.chunks import definition_id
from app.core.events import NO_METADATA, Event, Metadata
from app.core.notices import Example
from app.core.slos import Clause, Condition, Definition
from app.core.slots import FINE_KEPT_S, FINE_ROW_S, FINE_S

_Key = TypeVar("_Key", int, tuple[int, str])

_SLOT_MS = FINE_S * 1000
_KEPT_MS = FINE_KEPT_S * 1000


class Entry(NamedTuple):
    """An event to be counted: when it happened (ms), where it lies, when Kafka got it (ms)."""

    event: Event
    at: int
    offset: int
    kafka_ms: int


class Population:
    """Entries of one event name, with what every SLO asks of them. Slots and rows in seconds."""

    def __init__(self, event: str, entries: list[Entry], *, fine: bool) -> None:
        self.event = event
        self.entries = entries
        self.fine = fine  # recent enough for fine slots

    @cached_property
    def slots(self) -> list[int]:
        """Each entry's fine slot."""
        return [entry.at // _SLOT_MS * FINE_S for entry in self.entries]

    @cached_property
    def totals(self) -> Counter[int]:
        """How many entries each slot has."""
        return Counter(self.slots)

    @cached_property
    def named(self) -> dict[str, list[tuple[int, str]]]:
        """By kind of tag, each entry's fine row and name."""
        rows = [slot - slot % FINE_ROW_S for slot in self.slots]
        agents = [entry.event.agent_id or "" for entry in self.entries]
        clis = [entry.event.cli_type or "" for entry in self.entries]
        return {
            "agent_id": list(zip(rows, agents, strict=True)),
            "cli_type": list(zip(rows, clis, strict=True)),
        }

    @cached_property
    def tagged(self) -> dict[str, Counter[tuple[int, str]]]:
        """By kind of tag, how many entries each row and name has."""
        return {kind: Counter(names) for kind, names in self.named.items()}

    def narrowed(self, entries: list[Entry]) -> "Population":
        """Those of the entries; itself where that is all of them."""
        if len(entries) == len(self.entries):
            return self
        return Population(self.event, entries, fine=self.fine)


def group(entries: Iterable[Entry]) -> list[Population]:
    """Entries by event name, and by whether they are recent enough for fine slots."""
    groups: dict[tuple[str, bool], list[Entry]] = {}
    for entry in entries:
        event, at, _, kafka_ms = entry
        key = (event.event, at >= kafka_ms - _KEPT_MS)
        have = groups.get(key)
        if have is None:
            groups[key] = [entry]
        else:
            have.append(entry)
    return [Population(event, found, fine=fine) for (event, fine), found in groups.items()]


class Tally(NamedTuple):
    """What one clause of an SLO makes of a population: values in millionths, one an entry."""

    population: Population
    bad: list[Entry]
    values: list[float]
    micros: list[int]

    def by_slot(self, limit: float | None) -> Iterator[tuple[int, Counts]]:
        """Each slot's counts; `limit`: beyond it a value is over."""
        bad = Counter([entry.at // _SLOT_MS * FINE_S for entry in self.bad])
        slots = self.population.slots
        sums = summed(slots, self.micros)
        over: Counter[int] = Counter()
        if limit is not None:
            beyond = zip(slots, self.values, strict=False)
            over = Counter([slot for slot, value in beyond if value > limit])
        for slot, total in self.population.totals.items():
            yield slot, Counts(total, bad.get(slot, 0), over.get(slot, 0), sums.get(slot, 0))

    def total(self, limit: float | None) -> Counts:
        """All of it."""
        over = 0 if limit is None else sum([value > limit for value in self.values])
        return Counts(len(self.population.entries), len(self.bad), over, sum(self.micros))

    def by_name(self, kind: str) -> Iterator[tuple[tuple[int, str], Counts]]:
        """For each fine row and agent (or CLI type) its counts."""
        names = self.population.named[kind]
        sums = summed(names, self.micros)
        bad = Counter([(row_of(entry), getattr(entry.event, kind) or "") for entry in self.bad])
        for name, total in self.population.tagged[kind].items():
            yield name, Counts(total, bad.get(name, 0), 0, sums.get(name, 0))


def summed(keys: Sequence[_Key], micros: list[int]) -> dict[_Key, int]:
    """Add up the values of each key."""
    sums: dict[_Key, int] = {}
    for key, micro in zip(keys, micros, strict=False):
        sums[key] = sums.get(key, 0) + micro
    return sums


def row_of(entry: Entry) -> int:
    """The start of the fine row that holds an entry, s."""
    at_s = entry.at // 1000
    return at_s - at_s % FINE_ROW_S


Predicate = Callable[[Event], bool]
TallyOf = Callable[[Population], Tally | None]

_OPERATORS: dict[str, Callable[[Any, Any], bool]] = {
    "==": operator.eq,
    "!=": operator.ne,
    ">": operator.gt,
    ">=": operator.ge,
    "<": operator.lt,
    "<=": operator.le,
}


def predicate(condition: Condition) -> Predicate:
    """A condition as a function; a missing field meets only `!=`."""
    get, compare, literal = (
        attrgetter(condition.field),
        _OPERATORS[condition.operator],
        condition.literal,
    )
    if condition.operator == "!=":
        return lambda event: bool(get(event) != literal)
    return lambda event: (value := get(event)) is not None and compare(value, literal)


def _any_of(conditions: tuple[Condition, ...]) -> Predicate:
    tests = [predicate(condition) for condition in conditions]
    if len(tests) == 1:
        return tests[0]
    return lambda event: any(test(event) for test in tests)


def compile_clause(clause: Clause, definition: Definition) -> TallyOf:
    """The clause as a function from a population to what the SLO counts of it."""
    where = [predicate(condition) for condition in clause.where]
    is_bad = _any_of(clause.bad_when) if clause.bad_when else None
    get = attrgetter(definition.value) if definition.value else None

    def tally(population: Population) -> Tally | None:
        entries = population.entries
        for holds in where:
            entries = [entry for entry in entries if holds(entry.event)]
        values: list[Any] = []
        if get is not None:
            values = [get(entry.event) for entry in entries]
            if None in values:
                entries = [e for e, value in zip(entries, values, strict=True) if value is not None]
                values = [value for value in values if value is not None]
        if not entries:
            return None
        bad = entries if clause.always_bad else []
        if is_bad is not None:
            bad = [entry for entry in entries if is_bad(entry.event)]
        micros = [round(value * MICRO) for value in values]
        return Tally(population.narrowed(entries), bad, values, micros)

    return tally


class Folder:
    """One SLO's definition, ready to fold."""

    def __init__(self, slo: str, definition: Definition, topic: str) -> None:
        self.slo = slo
        self.definition = definition
        self.fingerprint = definition.fingerprint()
        self.id = definition_id(slo, self.fingerprint)
        self.topic = topic
        self._clauses: dict[str, list[tuple[Clause, TallyOf]]] = {}
        for clause in definition.clauses:
            compiled = compile_clause(clause, definition)
            self._clauses.setdefault(clause.event, []).append((clause, compiled))
        gauges = [definition.gauge] if definition.gauge else []
        self.events = frozenset([*self._clauses, *gauges])

    def clauses(self, event: str) -> list[tuple[Clause, TallyOf]]:
        """The clauses that count this event."""
        return self._clauses.get(event, [])


def metadata_of(event: Event) -> Metadata:
    """The metadata as an object, which decoding has made sure of."""
    return event.metadata if isinstance(event.metadata, Metadata) else NO_METADATA


def error_of(event: Event) -> str:
    """The error in a line, empty where there is none."""
    error = metadata_of(event).error
    return " ".join(str(error).split())[:200] if error else ""


def conversation_of(event: Event) -> str:
    """The conversation that an integrity event is about."""
    return (metadata_of(event).conversationId or event.agent_id or "unknown")[:200]


def example_of(entry: Entry, topic: str, partition: int) -> Example:
    """A failing execution as evidence."""
    event, metadata = entry.event, metadata_of(entry.event)
    issues = metadata.issueTypes if isinstance(metadata.issueTypes, list) else []
    return Example(
        at=entry.at,
        topic=topic,
        partition=partition,
        offset=entry.offset,
        agent_id=(event.agent_id or "")[:200],
        cli_type=(event.cli_type or "")[:200],
        error=error_of(event),
        duration_ms=event.duration_ms,
        memory_mb=metadata.memoryMB,
        conversation_id=(metadata.conversationId or "")[:200],
        issue_types=tuple(str(issue)[:100] for issue in issues[:8]),
        ticket_id=str(metadata.ticketId or "")[:200],
    )
