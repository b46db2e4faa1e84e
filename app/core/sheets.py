"""Sheets: one SLO's cells of an open chunk, and the digests that are made of them."""

from collections import Counter
from collections.abc import Mapping

from app.core import sketch
from app.core.cells import (
    EXAMPLES_KEPT,
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
from app.core.evidence import conversation_of, error_of, example_of, metadata_of
from app.core.folding import Folder, Tally
from app.core.populations import Population, places_of
from app.core.sketch import Bins
from app.core.slos import Clause
from app.core.slots import COARSE_ROW_S, COARSE_S, FINE_ROW_S, FINE_S, slot_of

BINS_KNOWN = 65536


class _Bins(dict[float, int]):
    """Bins by value: a lookup costs a fifth of a logarithm."""

    def __missing__(self, value: float) -> int:
        if len(self) >= BINS_KNOWN:
            self.clear()
        self[value] = index = sketch.bin_of(value)
        return index


_bin_of = _Bins().__getitem__


class Rows:
    """Cells by row: all of the chunk, and those that changed since the last digest."""

    def __init__(self) -> None:
        self.all: dict[int, Cells] = {}
        self.fresh: dict[int, Cells] = {}

    def at(self, row: int) -> tuple[Cells, Cells]:
        """A row's cells, and its fresh ones."""
        cells = self.all.get(row)
        if cells is None:
            cells = self.all[row] = Cells()
        fresh = self.fresh.get(row)
        if fresh is None:
            fresh = self.fresh[row] = Cells()
        return cells, fresh

    def count(self, row: int, slot: int, counts: Counts) -> None:
        """Add to a slot."""
        cells, fresh = self.at(row)
        have = cells.slots.get(slot)
        cells.slots[slot] = fresh.slots[slot] = counts if have is None else have.plus(counts)

    def sketch(self, row: int, slot: int, more: Bins) -> None:
        """Add values to a slot's sketch (for coarse rows one sketch stands for the whole row)."""
        cells, fresh = self.at(row)
        bins = cells.bins.setdefault(slot, {})
        sketch.add(bins, more)
        fresh.bins[slot] = bins

    def unite(self, row: int, slot: int, members: Mapping[str, Member]) -> None:
        """Add conversations to a slot."""
        cells, fresh = self.at(row)
        known = cells.members.setdefault(slot, {})
        unite(known, members)
        fresh.members[slot] = known

    def take_fresh(self) -> dict[int, Cells]:
        """What is news, and from now on no news any more."""
        fresh, self.fresh = self.fresh, {}
        return fresh


class Sheet:
    """One SLO's cells of an open chunk."""

    def __init__(self, folder: Folder, source: str, partition: int) -> None:
        self.folder = folder
        self._source, self._partition = source, partition
        self._fine = Rows()
        self._coarse = Rows()
        self._gauge: Gauge | None = None
        self._gauge_fresh = False
        self._names: Counter[tuple[int, str]] = Counter()  # how many a row has of a kind
        self.urgent = False

    def fold(self, population: Population) -> None:
        """Count a batch's events of one name."""
        if population.event == self.folder.definition.gauge:
            self._read_gauge(population)
        for clause, tally_of in self.folder.clauses(population.event):
            tally = tally_of(population)
            if tally is not None:
                self._count(clause, tally)

    def _count(self, clause: Clause, tally: Tally) -> None:
        fine = tally.population.fine
        if self.folder.definition.distinct:
            self._unite(clause, tally, fine=fine)
        if clause.passes:
            return
        for slot, counts in tally.by_slot():
            self._coarse.count(slot_of(slot, COARSE_ROW_S), slot_of(slot, COARSE_S), counts)
            if fine:
                self._fine.count(slot_of(slot, FINE_ROW_S), slot, counts)
        if self.folder.definition.sketch:
            self._sketch(tally)
        if fine:
            self._tag(tally)
            for row, bad in tally.bad_by_row().items():
                self._blame(row, tally.population, bad)

    def _unite(self, clause: Clause, tally: Tally, *, fine: bool) -> None:
        population = tally.population
        for index in places_of(tally.bad):
            at = population.ats[index]
            member = Member(passed_at=at) if clause.passes else Member(failed_at=at)
            members = {conversation_of(population.events[index]): member}
            at_s = at // 1000
            self._coarse.unite(slot_of(at_s, COARSE_ROW_S), slot_of(at_s, COARSE_S), members)
            if fine:
                self._fine.unite(slot_of(at_s, FINE_ROW_S), slot_of(at_s, FINE_S), members)
            self.urgent = True

    def _sketch(self, tally: Tally) -> None:
        """By fine slot for a day, and by hour for as long as anything is counted."""
        hours: dict[int, Bins] = {}
        for slot, begin, end in tally.population.runs:
            bins = Counter(map(_bin_of, tally.values[begin:end]))
            sketch.add(hours.setdefault(slot_of(slot, COARSE_ROW_S), {}), bins)
            if tally.population.fine:
                self._fine.sketch(slot_of(slot, FINE_ROW_S), slot, bins)
        for hour, by_hour in hours.items():
            self._coarse.sketch(hour, hour, by_hour)

    def _tag(self, tally: Tally) -> None:
        for (row, agent, cli), counts in tally.by_holder():
            self._add_tag(row, "agent_id", agent, counts)
            self._add_tag(row, "cli_type", cli, counts)

    def _add_tag(self, row: int, kind: str, name: str, counts: Counts) -> None:
        if name:
            cells, fresh = self._fine.at(row)
            tag = self._tag_within(row, cells.tags, kind, name)
            cells.tags[tag] = fresh.tags[tag] = cells.tags.get(tag, NOTHING).plus(counts)

    def _tag_within(self, row: int, tags: Mapping[str, Counts], kind: str, name: str) -> str:
        """The tag of a name, or of the others where too many names are known already."""
        tag = f"{kind}={name[:200]}"
        if tag in tags:
            return tag
        if self._names[row, kind] >= TAGS_KEPT:
            return f"{kind}={OTHERS}"
        self._names[row, kind] += 1
        return tag

    def _blame(self, row: int, population: Population, bad: list[int]) -> None:
        """Keep the errors of a row's bad events, and the newest events themselves."""
        for error, number in Counter([error_of(population.events[i]) for i in bad]).items():
            self._add_tag(row, "error", error, Counts(number, number))
        cells, fresh = self._fine.at(row)
        last = sorted(bad, key=population.ats.__getitem__)[-EXAMPLES_KEPT:]
        examples = [
            example_of(
                population.events[i],
                population.ats[i],
                self.folder.topic,
                self._partition,
                population.offsets[i],
            )
            for i in last
        ]
        cells.examples = newest([*cells.examples, *examples])
        fresh.examples = list(cells.examples)
        cells.last_bad_at = fresh.last_bad_at = max(cells.last_bad_at, population.ats[last[-1]])

    def _read_gauge(self, population: Population) -> None:
        columns = (population.events, population.ats, population.offsets)
        for event, at, offset in zip(*columns, strict=True):
            count = metadata_of(event).count
            if count is not None:
                gauge = Gauge(at, self._source, offset, count)
                if self._gauge is None or gauge > self._gauge:
                    self._gauge, self._gauge_fresh = gauge, True

    def digest(self, *, start: int, upto: int, kafka_ms: int, final: bool) -> Digest | None:
        """What is news (all of it, where final), and from now on no news any more."""
        gauge = self._gauge if self._gauge_fresh or final else None
        fine, coarse = self._fine.take_fresh(), self._coarse.take_fresh()
        if final:
            fine, coarse = self._fine.all, self._coarse.all
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
