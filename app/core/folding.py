"""Populations into tallies: what an SLO counts of a batch, asked of all its events at once."""

import operator
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import Any, NamedTuple

from app.core.cells import MICRO, Counts
from app.core.chunks import definition_id
from app.core.events import MAX_DURATION_MS, Metadata
from app.core.populations import Holder, Population, chosen, places_of
from app.core.slos import Clause, Condition, Definition
from app.core.slots import FINE_ROW_S


class Tally(NamedTuple):
    """What one clause of an SLO makes of a population: columns over its entries.

    Without a value or a limit the columns `values`, `parts` and `over` are empty.
    """

    population: Population
    bad: list[bool]
    over: list[bool]  # beyond the quantile's limit
    values: list[float]
    parts: list[int]  # the values as integers, to be added up
    part_u: int  # what each of them is, in millionths

    def by_slot(self) -> Iterator[tuple[int, Counts]]:
        """Each slot's counts."""
        bad, over, parts = self.bad, self.over, self.parts
        for slot, begin, end in self.population.runs:
            counted = sum(bad[begin:end]), sum(over[begin:end]), sum(parts[begin:end]) * self.part_u
            yield slot, Counts(end - begin, *counted)

    def by_holder(self) -> Iterator[tuple[Holder, Counts]]:
        """The counts of each fine row, agent and CLI type."""
        any_bad = any(self.bad)
        for holder, places in self.population.holders.items():
            bad = sum(chosen(self.bad, places)) if any_bad else 0
            sum_u = sum(chosen(self.parts, places)) * self.part_u if self.parts else 0
            yield holder, Counts(len(places), bad, 0, sum_u)

    def bad_by_row(self) -> dict[int, list[int]]:
        """The places of the bad entries, by fine row."""
        found: dict[int, list[int]] = {}
        for place in places_of(self.bad):
            slot = self.population.slots[place]
            found.setdefault(slot - slot % FINE_ROW_S, []).append(place)
        return found


Mask = Callable[[Population], list[bool]]
TallyOf = Callable[[Population], Tally | None]

_TURNED: dict[str, Callable[[Any, Any], bool]] = {
    "==": operator.eq,
    "!=": operator.ne,
    ">": operator.lt,
    ">=": operator.le,
    "<": operator.gt,
    "<=": operator.ge,
    "in": operator.contains,
    "not in": lambda literals, value: value not in literals,
}
"""Each comparison with its sides exchanged: the literal comes first, so that it can be bound."""


def mask_of(condition: Condition) -> Mask:
    """A condition as a function that says of every entry whether it holds.

    A missing field meets only `!=` and `not in`.
    """
    field, holds = condition.field, partial(_TURNED[condition.operator], condition.literal)
    if field in _NAMES and isinstance(condition.literal, tuple):  # of hundreds of groups, maybe
        holds = partial(_TURNED[condition.operator], frozenset(condition.literal))
    if condition.operator not in {">", ">=", "<", "<="}:
        return lambda population: list(map(holds, population.column(field)))

    def mask(population: Population) -> list[bool]:
        column = population.column(field)
        if is_own(field):
            return [is_number(value) and holds(value) for value in column]
        if None in column:
            return [value is not None and holds(value) for value in column]
        return list(map(holds, column))

    return mask


_NAMES = frozenset({"agent_id", "cli_type"})
_PREFIX = "metadata."
_KNOWN = frozenset(Metadata.__struct_fields__)


def own_fields(definitions: Iterable[Definition]) -> frozenset[str]:
    """The metadata fields that these definitions look at and that are not kept anyway."""
    named = {field for definition in definitions for field in definition.fields()}
    return frozenset(f.removeprefix(_PREFIX) for f in named if f.startswith(_PREFIX)) - _KNOWN


def is_own(field: str) -> bool:
    """A metadata field that a definition alone knows: its values may have any type."""
    return field.startswith(_PREFIX) and field.removeprefix(_PREFIX) not in _KNOWN


def is_number(value: object) -> bool:
    """A number that can be compared and added up, as those are that decoding checks."""
    return type(value) in (int, float) and -MAX_DURATION_MS <= value <= MAX_DURATION_MS  # type: ignore[operator]


def narrow_of(condition: Condition) -> Callable[[Population], Population]:
    """A condition as a function that leaves out the entries for which it does not hold."""
    field, operator_, literal = condition.field, condition.operator, condition.literal
    if field in _NAMES and operator_ == "==" and isinstance(literal, str):
        return lambda population: population.of(field, literal)
    mask = mask_of(condition)
    return lambda population: population.where(mask(population))


def any_of(masks: Sequence[Mask], population: Population) -> list[bool]:
    """Of every entry, whether any condition holds."""
    held = [mask(population) for mask in masks]
    return held[0] if len(held) == 1 else list(map(any, zip(*held, strict=True)))


def compile_clause(clause: Clause, definition: Definition) -> TallyOf:
    """The clause as a function from a population to what the SLO counts of it."""
    limit, where = definition.limit, [narrow_of(condition) for condition in clause.where]
    bad_when = [mask_of(condition) for condition in clause.bad_when]

    def bad_of(population: Population) -> list[bool]:
        if bad_when:
            return any_of(bad_when, population)
        return [clause.always_bad] * len(population)

    def tally(population: Population) -> Tally | None:
        for narrow in where:
            population = narrow(population)
        if definition.value is not None:
            population = population.having(definition.value)
            if is_own(definition.value):
                numbers = map(is_number, population.column(definition.value))
                population = population.where(list(numbers))
        if not len(population):
            return None
        values = population.column(definition.value) if definition.value else []
        over = [value > limit for value in values] if limit is not None else []
        return Tally(population, bad_of(population), over, values, *parts_of(values))

    return tally


def parts_of(values: list[Any]) -> tuple[list[int], int]:
    """Values as integers that can be added up in any order, and what each is in millionths."""
    if set(map(type, values)) <= {int}:
        return values, MICRO
    return [v * MICRO if type(v) is int else round(v * MICRO) for v in values], 1


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

    def counted(self, population: Population) -> Iterator[Population]:
        """What its clauses count of a population, clause by clause."""
        for _, tally_of in self.clauses(population.event):
            tally = tally_of(population)
            if tally is not None:
                yield tally.population
