"""Groups: one SLO for each value of a field, of values that are listed or of those that are seen.

A grouping whose values are seen begins with `ENTRY:other` alone, which counts everything. A value
that is seen is told on `slo.groups`, whose order decides: whoever reads it has the same groups.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Literal, NamedTuple

import msgspec
from msgspec.structs import replace

from app.core.folding import Folder
from app.core.maintenance import Window
from app.core.ownership import Route
from app.core.populations import Population
from app.core.slos import Condition, Definition, Rest, Slo

OTHER = "other"
MOST_GROUPS = 50
"""Of one entry, where it says nothing else."""

WhyLeftOver = Literal["missing", "unfit", "beyond"]
WHY_LEFT_OVER: dict[WhyLeftOver, str] = {
    "missing": "the event has no such value",
    "unfit": "the value cannot be part of an id",
    "beyond": "there are as many groups as the entry allows",
}
"""Why an event counts in `ENTRY:other`."""

_VALUE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,59}")


def group_name(value: str) -> str:
    """A listed value's part of the id: "Claude Code" → "claude-code"."""
    return re.sub(r"[^a-z0-9.]+", "-", value.lower()).strip("-") or OTHER


def is_fit(value: str) -> bool:
    """Whether a value that is seen can be part of an id, so that there may be a group of it."""
    return value != OTHER and _VALUE.fullmatch(value) is not None


def slos_of(whole: Slo, by: str, values: Mapping[str, str]) -> Iterator[Slo]:
    """One SLO for each value, by its part of the id, and one for all other events of the whole."""
    for name, value in values.items():
        yield _group(whole, name, Condition(by, "==", value))
    yield _group(whole, OTHER, Condition(by, "not in", tuple(values.values())))


def _group(whole: Slo, name: str, condition: Condition) -> Slo:
    return replace(
        whole,
        id=f"{whole.id}:{name}",
        title=f"{whole.title} ({name})",
        definition=_within(whole.definition, condition),
    )


def _within(definition: Definition, condition: Condition) -> Definition:
    clauses = (replace(one, where=(*one.where, condition)) for one in definition.clauses)
    return replace(definition, clauses=tuple(clauses))


class Grouping(msgspec.Struct, frozen=True, kw_only=True):
    """An entry that has a group for each value that is seen."""

    whole: Slo
    route: Route
    by: str  # the field
    most: int
    values: tuple[str, ...] = ()  # seen, in the order of `slo.groups`
    windows: dict[str, tuple[Window, ...]] = {}  # of groups that have maintenance of their own

    @property
    def rest(self) -> Rest:
        """What is to be said of `ENTRY:other`."""
        return Rest(by=self.by, groups=len(self.values), most=self.most)

    def slos(self) -> Iterator[Slo]:
        """Its groups, the one for all other events last."""
        *groups, other = slos_of(self.whole, self.by, {value: value for value in self.values})
        for slo in (*groups, replace(other, rest=self.rest)):
            yield replace(slo, maintenance=self.windows.get(slo.id, slo.maintenance))

    def why_left_over(self, value: str | None) -> WhyLeftOver | None:
        """Why events with a value that has no group count in `ENTRY:other`; None: it gets one."""
        if not value:
            return "missing"
        if not is_fit(value):
            return "unfit"
        return "beyond" if len(self.values) >= self.most else None

    def seeing(self, values: Iterable[str]) -> "Grouping":
        """With the groups of further values, as many as it may have."""
        grown = self
        for value in values:
            if value not in grown.values and grown.why_left_over(value) is None:
                grown = replace(grown, values=(*grown.values, value))
        return grown


class Sighting(msgspec.Struct, frozen=True, kw_only=True):
    """A value that was seen for the first time: a value of `slo.groups`."""

    slo: str  # the entry
    by: str  # the field
    value: str
    at: int  # when the event happened, ms
    partition: int  # where it lies in the source topic
    offset: int


class Census:
    """The values that were seen, in the order in which they were told."""

    def __init__(self) -> None:
        self._values: dict[tuple[str, str], dict[str, None]] = {}

    def take(self, sighting: Sighting) -> None:
        """One more; one that is known changes nothing."""
        self._values.setdefault((sighting.slo, sighting.by), {})[sighting.value] = None

    def of(self, grouping: Grouping) -> tuple[str, ...]:
        """The values of an entry's field."""
        return tuple(self._values.get((grouping.whole.id, grouping.by), ()))


class Looked(NamedTuple):
    """What a look at events has found: values that are new, and what has no group of its own."""

    sightings: list[Sighting]
    left_over: dict[tuple[str, WhyLeftOver], int]  # events, by entry and reason


class Finder:
    """Looks through what is counted for values that have no group yet."""

    def __init__(self, groupings: Mapping[str, Grouping], topic: str) -> None:
        self._searches = [_Search(grouping, topic) for grouping in groupings.values()]

    def look(self, populations: Iterable[Population], partition: int, since: int = 0) -> Looked:
        """Look at what was read of a partition; events before the offset `since` are not counted.

        A value is found once: whoever asked must not lose it.
        """
        found = Looked([], {})
        if self._searches:
            for population in populations:
                for search in self._searches:
                    search.look(population, partition, since, found)
        return found


class _Search:
    def __init__(self, grouping: Grouping, topic: str) -> None:
        self._grouping = grouping
        self._known: frozenset[str | None] = frozenset(grouping.values)
        self._folder = Folder(grouping.whole.id, grouping.whole.definition, topic)

    def look(self, population: Population, partition: int, since: int, found: Looked) -> None:
        """The usual batch has known values alone: one set of a column tells."""
        if self._known.issuperset(population.column(self._grouping.by)):
            return
        for counted in self._folder.counted(population):
            self._sort_out(counted, partition, since, found)

    def _sort_out(self, counted: Population, partition: int, since: int, found: Looked) -> None:
        slo, by = self._grouping.whole.id, self._grouping.by
        for value, places in counted.places(by).items():
            if value in self._known:
                continue
            why = self._grouping.why_left_over(value)
            if why is None:
                self._grouping = self._grouping.seeing([value])
                self._known |= {value}
                at, offset = counted.ats[places[0]], counted.offsets[places[0]]
                found.sightings.append(
                    Sighting(slo=slo, by=by, value=value, at=at, partition=partition, offset=offset)
                )
            else:
                number = sum(counted.offsets[place] >= since for place in places)
                found.left_over[slo, why] = found.left_over.get((slo, why), 0) + number
