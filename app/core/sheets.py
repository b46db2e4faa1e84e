"""Sheets: one SLO's cells of an open chunk, and the digests that are made of them."""

from collections import Counter
from collections.abc import Iterable, Mapping
from functools import lru_cache

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
from app.core.folding import (
    Entry,
    Folder,
    Population,
    Tally,
    conversation_of,
    error_of,
    example_of,
    metadata_of,
    row_of,
)
from app.core.sketch import Bins
from app.core.slos import Clause
from app.core.slots import COARSE_ROW_S, COARSE_S, FINE_ROW_S, FINE_S, slot_of

_bin_of = lru_cache(maxsize=65536)(sketch.bin_of)


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
        self.urgent = False

    def fold(self, populations: Iterable[Population]) -> None:
        """Count a batch."""
        definition = self.folder.definition
        for population in populations:
            if population.event == definition.gauge:
                self._read_gauge(population.entries)
            for clause, tally_of in self.folder.clauses(population.event):
                tally = tally_of(population)
                if tally is not None:
                    self._count(clause, tally)

    def _count(self, clause: Clause, tally: Tally) -> None:
        fine = tally.population.fine
        if self.folder.definition.distinct:
            self._unite(clause, tally.bad, fine=fine)
        if clause.passes:
            return
        for slot, counts in tally.by_slot(self.folder.definition.limit):
            self._coarse.count(slot_of(slot, COARSE_ROW_S), slot_of(slot, COARSE_S), counts)
            if fine:
                self._fine.count(slot_of(slot, FINE_ROW_S), slot, counts)
        if self.folder.definition.sketch:
            self._sketch(tally)
        if fine:
            self._tag(tally)
            self._keep_examples(tally.bad)

    def _unite(self, clause: Clause, bad: list[Entry], *, fine: bool) -> None:
        for entry in bad:
            member = Member(passed_at=entry.at) if clause.passes else Member(failed_at=entry.at)
            members = {conversation_of(entry.event): member}
            at_s = entry.at // 1000
            self._coarse.unite(slot_of(at_s, COARSE_ROW_S), slot_of(at_s, COARSE_S), members)
            if fine:
                self._fine.unite(slot_of(at_s, FINE_ROW_S), slot_of(at_s, FINE_S), members)
            self.urgent = True

    def _sketch(self, tally: Tally) -> None:
        """By fine slot for a day, and by hour for as long as anything is counted."""
        slots: dict[int, Bins] = {}
        for slot, index in zip(tally.population.slots, map(_bin_of, tally.values), strict=True):
            bins = slots.setdefault(slot, {})
            bins[index] = bins.get(index, 0) + 1
        for slot, bins in slots.items():
            row = slot_of(slot, COARSE_ROW_S)
            self._coarse.sketch(row, row, bins)
            if tally.population.fine:
                self._fine.sketch(slot_of(slot, FINE_ROW_S), slot, bins)

    def _tag(self, tally: Tally) -> None:
        for kind in ("agent_id", "cli_type"):
            for (row, name), counts in tally.by_name(kind):
                self._add_tag(row, kind, name, counts)
        errors = Counter([(row_of(entry), error_of(entry.event)) for entry in tally.bad])
        for (row, error), number in errors.items():
            self._add_tag(row, "error", error, Counts(number, number))

    def _add_tag(self, row: int, kind: str, name: str, counts: Counts) -> None:
        if name:
            cells, fresh = self._fine.at(row)
            tag = _tag_within(cells.tags, kind, name)
            cells.tags[tag] = fresh.tags[tag] = cells.tags.get(tag, NOTHING).plus(counts)

    def _keep_examples(self, bad: list[Entry]) -> None:
        by_row: dict[int, list[Entry]] = {}
        for entry in bad:
            by_row.setdefault(row_of(entry), []).append(entry)
        for row, entries in by_row.items():
            cells, fresh = self._fine.at(row)
            last = sorted(entries, key=lambda entry: entry.at)[-EXAMPLES_KEPT:]
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


def _tag_within(tags: Mapping[str, Counts], kind: str, name: str) -> str:
    """The tag of a name, or of the others where too many names are known already."""
    tag = f"{kind}={name[:200]}"
    if tag in tags or len(tags) < TAGS_KEPT:
        return tag
    known = sum(other.startswith(f"{kind}=") for other in tags)
    return tag if known < TAGS_KEPT else f"{kind}={OTHERS}"
