"""Events into cells: a batch is grouped first, then each SLO looks at each group once.

Grouping by slot, event, agent and CLI makes the cost of an SLO that of a group, not of an event;
this is the hot path, see `docs/performance.md`.
"""

import operator
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from operator import attrgetter
from typing import Any, NamedTuple

from app.core import sketch
from app.core.cells import (
    EXAMPLES_KEPT,
    MICRO,
    NOTHING,
    OTHERS,
    TAGS_KEPT,
    Cells,
    Counts,
    Gauge,
    Member,
    newest,
    unite,
)
from app.core.chunks import Digest
from app.core.events import NO_METADATA, Event, Metadata
from app.core.notices import Example
from app.core.slos import Clause, Condition, Definition
from app.core.slots import (
    COARSE_ROW_S,
    COARSE_S,
    FINE_KEPT_S,
    FINE_ROW_S,
    FINE_S,
    slot_of,
)


class Entry(NamedTuple):
    """An event to be counted: when it happened (ms), where it lies, when Kafka got it (ms)."""

    event: Event
    at: int
    offset: int
    kafka_ms: int


class Group(NamedTuple):
    """What the entries of one group have in common; `slot` in seconds."""

    slot: int
    event: str
    agent_id: str
    cli_type: str
    fine: bool  # recent enough for fine slots


Groups = dict[Group, list[Entry]]


def group(entries: Iterable[Entry]) -> Groups:
    """Entries by what they have in common."""
    groups: dict[tuple[int, str, str | None, str | None, bool], list[Entry]] = {}
    for entry in entries:
        event, at, _, kafka_ms = entry
        key = (
            at // (FINE_S * 1000),
            event.event,
            event.agent_id,
            event.cli_type,
            at >= kafka_ms - FINE_KEPT_S * 1000,
        )
        have = groups.get(key)
        if have is None:
            groups[key] = [entry]
        else:
            have.append(entry)
    return {
        Group(slot * FINE_S, event, agent or "", cli or "", fine): found
        for (slot, event, agent, cli, fine), found in groups.items()
    }


class Tally(NamedTuple):
    """One SLO's view of a group."""

    counts: Counts
    bad: list[Entry]
    values: list[float]


Predicate = Callable[[Event], bool]

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


def compile_clause(clause: Clause, definition: Definition) -> Callable[[list[Entry]], Tally | None]:
    """The clause as a function from a group's entries to what the SLO counts of them."""
    where = [predicate(condition) for condition in clause.where]
    is_bad = _any_of(clause.bad_when) if clause.bad_when else None
    get = attrgetter(definition.value) if definition.value else None
    limit = definition.limit

    def tally(entries: list[Entry]) -> Tally | None:
        for holds in where:
            entries = [entry for entry in entries if holds(entry.event)]
        values: list[float] = []
        if get is not None:
            valued = [(entry, v) for entry in entries if (v := get(entry.event)) is not None]
            entries, values = [e for e, _ in valued], [v for _, v in valued]
        if not entries:
            return None
        if clause.always_bad:
            bad = entries
        else:
            bad = [entry for entry in entries if is_bad(entry.event)] if is_bad else []
        over = sum(value > limit for value in values) if limit is not None else 0
        return Tally(Counts(len(entries), len(bad), over, _sum_u(values)), bad, values)

    return tally


def _sum_u(values: list[float]) -> int:
    return sum([round(value * MICRO) for value in values])


_bin_of = lru_cache(maxsize=65536)(sketch.bin_of)


class Folder:
    """One SLO's definition, ready to fold."""

    def __init__(self, slo: str, definition: Definition, topic: str) -> None:
        self.slo = slo
        self.definition = definition
        self.fingerprint = definition.fingerprint()
        self.topic = topic
        self._clauses: dict[str, list[tuple[Clause, Callable[[list[Entry]], Tally | None]]]] = {}
        for clause in definition.clauses:
            compiled = compile_clause(clause, definition)
            self._clauses.setdefault(clause.event, []).append((clause, compiled))
        self.events = frozenset(self._clauses) | ({definition.gauge} - {None})

    def clauses(self, event: str) -> list[tuple[Clause, Callable[[list[Entry]], Tally | None]]]:
        """The clauses that count this event."""
        return self._clauses.get(event, [])


class Sheet:
    """One SLO's cells of an open chunk: all, and those that are news since the last digest."""

    def __init__(self, folder: Folder, source: str, partition: int) -> None:
        self.folder = folder
        self._source, self._partition = source, partition
        self._fine: dict[int, Cells] = {}
        self._coarse: dict[int, Cells] = {}
        self._fresh_fine: dict[int, Cells] = {}
        self._fresh_coarse: dict[int, Cells] = {}
        self._gauge: Gauge | None = None
        self._gauge_fresh = False
        self.urgent = False

    def fold(self, groups: Mapping[Group, list[Entry]]) -> None:
        """Count a batch of groups."""
        definition = self.folder.definition
        for key, entries in groups.items():
            if key.event == definition.gauge:
                self._read_gauge(entries)
            for clause, tally in self.folder.clauses(key.event):
                found = tally(entries)
                if found is not None:
                    self._count(key, clause, found)

    def _count(self, key: Group, clause: Clause, tally: Tally) -> None:
        counts = Counts() if clause.passes else tally.counts
        row = slot_of(key.slot, COARSE_ROW_S)
        slot = slot_of(key.slot, COARSE_S)
        self._add(self._coarse, self._fresh_coarse, row, slot, counts, tally, clause)
        if key.fine:
            row = slot_of(key.slot, FINE_ROW_S)
            cells, fresh = self._add(
                self._fine, self._fresh_fine, row, key.slot, counts, tally, clause
            )
            if not clause.passes:
                self._sketch(cells, fresh, key.slot, tally)
                self._tag(cells, fresh, key, tally)
                self._keep_examples(cells, fresh, tally)
        if self.folder.definition.distinct and tally.bad:
            self.urgent = True

    def _add(
        self,
        all_rows: dict[int, Cells],
        fresh_rows: dict[int, Cells],
        row: int,
        slot: int,
        counts: Counts,
        tally: Tally,
        clause: Clause,
    ) -> tuple[Cells, Cells]:
        cells = all_rows.get(row)
        if cells is None:
            cells = all_rows[row] = Cells()
        fresh = fresh_rows.get(row)
        if fresh is None:
            fresh = fresh_rows[row] = Cells()
        if counts.total:
            cells.slots[slot] = fresh.slots[slot] = cells.slots.get(slot, NOTHING).plus(counts)
        if self.folder.definition.distinct:
            self._unite(cells, fresh, slot, tally, clause)
        return cells, fresh

    def _unite(self, cells: Cells, fresh: Cells, slot: int, tally: Tally, clause: Clause) -> None:
        if not tally.bad:
            return
        seen: dict[str, Member] = {}
        for entry in tally.bad:
            member = Member(passed_at=entry.at) if clause.passes else Member(failed_at=entry.at)
            unite(seen, {conversation_of(entry.event): member})
        members = cells.members.setdefault(slot, {})
        unite(members, seen)
        fresh.members[slot] = members

    def _sketch(self, cells: Cells, fresh: Cells, slot: int, tally: Tally) -> None:
        if not self.folder.definition.sketch:
            return
        bins = cells.bins.setdefault(slot, {})
        sketch.add(bins, Counter(map(_bin_of, tally.values)))
        fresh.bins[slot] = bins

    def _tag(self, cells: Cells, fresh: Cells, key: Group, tally: Tally) -> None:
        tags = [("agent_id", key.agent_id, tally.counts), ("cli_type", key.cli_type, tally.counts)]
        errors = Counter(error_of(entry.event) for entry in tally.bad)
        tags += [("error", error, Counts(n, n)) for error, n in errors.items()]
        for kind, name, counts in tags:
            if name:
                tag = _tag_within(cells.tags, kind, name)
                cells.tags[tag] = fresh.tags[tag] = cells.tags.get(tag, NOTHING).plus(counts)

    def _keep_examples(self, cells: Cells, fresh: Cells, tally: Tally) -> None:
        if not tally.bad:
            return
        last = sorted(tally.bad, key=lambda entry: entry.at)[-EXAMPLES_KEPT:]
        examples = [example_of(e, self.folder.topic, self._partition) for e in last]
        cells.examples = newest([*cells.examples, *examples])
        fresh.examples = list(cells.examples)
        cells.last_bad_at = fresh.last_bad_at = max(cells.last_bad_at, last[-1].at)

    def _read_gauge(self, entries: list[Entry]) -> None:
        for entry in entries:
            count = metadata_of(entry.event).count
            if count is not None:
                gauge = Gauge(entry.at, self._source, entry.offset, count)
                if self._gauge is None or gauge > self._gauge:
                    self._gauge, self._gauge_fresh = gauge, True

    def digest(self, *, start: int, upto: int, kafka_ms: int, final: bool) -> Digest | None:
        """What is news (all of it, where final), and from now on no news any more."""
        fine, coarse = self._fresh_fine, self._fresh_coarse
        gauge = self._gauge if self._gauge_fresh or final else None
        if final:
            fine, coarse = self._fine, self._coarse
        self._fresh_fine, self._fresh_coarse = {}, {}
        self._gauge_fresh = self.urgent = False
        if not (fine or coarse or gauge):
            return None
        epoch, _, _ = self._source.rpartition("/")
        return Digest(
            slo=self.folder.slo,
            definition=self.folder.fingerprint,
            epoch=epoch,
            partition=self._partition,
            start=start,
            upto=upto,
            kafka_ms=kafka_ms,
            final=final,
            fine=fine,
            coarse=coarse,
            gauge=gauge,
        )


def _tag_within(tags: Mapping[str, Counts], kind: str, name: str) -> str:
    """The tag of a name, or of the others where too many names are known already."""
    tag = f"{kind}={name[:200]}"
    if tag in tags or len(tags) < TAGS_KEPT * 3:
        return tag
    known = sum(other.startswith(f"{kind}=") for other in tags)
    return tag if known < TAGS_KEPT else f"{kind}={OTHERS}"


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
