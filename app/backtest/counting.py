"""Counting along a tape: each definition is counted once, whatever number of policies judge it."""

from collections import deque
from collections.abc import Sequence
from itertools import groupby
from math import inf

from app.core import rows
from app.core.cells import NOTHING, Cells, Counts
from app.core.folding import Folder, Tally
from app.core.ledger import Ledger
from app.core.populations import Entry, Population, group, places_of
from app.core.rows import Row
from app.core.sheets import Sheet
from app.core.slos import Clause, Definition
from app.core.slots import (
    COARSE,
    COARSE_S,
    FINE,
    FINE_KEPT_S,
    FINE_ROW_S,
    FINE_S,
    GRAINS,
    LONGEST_FINE_WINDOW_S,
    Grain,
    slot_of,
)

SOURCE = "backtest/0"
"""The one partition that a backtest reads."""


class Evidence:
    """The entries of the last 25 hours, from which the evidence of a notice is made."""

    def __init__(self) -> None:
        self._slots: deque[tuple[int, list[Entry]]] = deque()

    def take(self, slot: int, entries: list[Entry]) -> None:
        """Keep a slot's entries, and forget those that no evidence reaches any more."""
        self._slots.append((slot, entries))
        while self._slots[0][0] < slot - FINE_KEPT_S - FINE_ROW_S:
            self._slots.popleft()

    def between(self, begin: int, until_ms: int) -> list[Entry]:
        """The entries of the slots from `begin` (s) on that happened by `until_ms`."""
        found: list[list[Entry]] = []
        for slot, entries in reversed(self._slots):
            if slot < begin:
                break
            found.append(entries)
        every = (entry for entries in reversed(found) for entry in entries)
        return [entry for entry in every if entry.at <= until_ms]


class _Leaving:
    """When what one window holds falls out of it."""

    def __init__(self, slots: list[int], after_s: int) -> None:
        self._slots = slots  # occupied ones, in order
        self.after_s = after_s  # so much later than its start a slot has left
        self._left = 0

    def until(self, now_s: int) -> bool:
        """Whether slots have left since the last time."""
        before = self._left
        while self.next_s() <= now_s:
            self._left += 1
        return self._left > before

    def next_s(self) -> float:
        """When the next one leaves."""
        return self._slots[self._left] + self.after_s if self._left < len(self._slots) else inf


class Book:
    """One definition's ledger. What is told needs evidence, which is counted only then."""

    def __init__(self, slo: str, definition: Definition, topic: str, evidence: Evidence) -> None:
        self.folder = Folder(slo, definition, topic)
        self.ledger = Ledger()
        self.last_bad_at = 0
        self._is_whole = bool(definition.distinct or definition.gauge)
        self._evidence = evidence
        self._proven_until = 0  # s: fine rows up to here have their evidence
        self._fine: list[int] = []
        self._coarse: list[int] = []
        self._leaving: list[_Leaving] = []
        self._next_leave: float = inf
        self._has_empty = True  # a watched window holds nothing: what comes next may leave first
        self._rows: dict[str, dict[int, Row]] = {name: {} for name in GRAINS}
        self._fed = 0
        self._counts: dict[int, Counts] = {}  # by slot: counted, not fed yet
        self._bad_at: dict[int, int] = {}  # the newest bad event among them, ms
        self._entries: dict[int, list[Entry]] = {}  # in place of them, where a digest is made

    def watch(self, windows: Sequence[int]) -> None:
        """Look out for these windows (s) losing what they hold."""
        known = {leaving.after_s for leaving in self._leaving}
        for window_s in windows:
            fine = window_s <= LONGEST_FINE_WINDOW_S
            after_s = window_s if fine else window_s + FINE_S
            if after_s not in known:
                known.add(after_s)
                self._leaving.append(_Leaving(self._fine if fine else self._coarse, after_s))

    def count(self, populations: Sequence[Population]) -> None:
        """Count events ahead of their time; each slot's are fed when it has come."""
        known = [one for one in populations if one.event in self.folder.events]
        for population in known:
            if self._is_whole:
                for slot, entry in zip(population.slots, population.entries(), strict=True):
                    self._entries.setdefault(slot, []).append(entry)
            else:
                for clause, tally in self.folder.clauses(population.event):
                    found = tally(population)
                    if found is not None:
                        self._count(clause, found)

    def _count(self, clause: Clause, found: Tally) -> None:
        if not clause.passes:
            for slot, counts in found.by_slot():
                have = self._counts.get(slot)
                self._counts[slot] = counts if have is None else have.plus(counts)
        for place in places_of(found.bad):
            slot, at = found.population.slots[place], found.population.ats[place]
            self._bad_at[slot] = max(at, self._bad_at.get(slot, 0))

    def has(self, slot: int) -> bool:
        """Whether anything was counted in this slot (s) that is not fed yet."""
        return slot in self._counts or slot in self._entries

    def loses(self, now_s: int) -> bool:
        """Whether a watched window has lost something by now; says so once."""
        if now_s < self._next_leave:
            return False
        lost = [leaving.until(now_s) for leaving in self._leaving]
        self._see_next()
        return any(lost)

    def _see_next(self) -> None:
        coming = [leaving.next_s() for leaving in self._leaving]
        self._next_leave = min(coming, default=inf)
        self._has_empty = inf in coming

    def coming(self, slot: int) -> Counts | None:
        """What was counted in this slot (s); None where that cannot be told before it is fed."""
        return self._counts.get(slot)

    def moments(self, slot: int, entries: Sequence[Entry]) -> list[tuple[int, list[Entry]]]:
        """What the slot (s) brings moment by moment (ms), to be taken in place of its feeding.

        `entries` are all of the slot, oldest first.
        """
        for ahead in (self._counts, self._bad_at, self._entries):
            ahead.pop(slot, None)
        mine = [entry for entry in entries if entry.event.event in self.folder.events]
        return [(at, list(same)) for at, same in groupby(mine, key=lambda entry: entry.at)]

    def take(self, slot: int, entries: list[Entry]) -> None:
        """Count and feed some of a slot's (s) events."""
        self.count(group(entries))
        if self.has(slot):
            self.feed(slot)

    def feed(self, slot: int) -> None:
        """The slot (s) has come: what was counted in it enters the ledger."""
        if self._is_whole:
            self._feed_whole(slot, self._entries.pop(slot))
        else:
            self._feed_counts(slot, self._counts.pop(slot), self._bad_at.pop(slot, 0))

    def _feed_counts(self, slot: int, counts: Counts, bad_at: int) -> None:
        self._add(FINE, slot, counts, bad_at)
        self._add(COARSE, slot_of(slot, COARSE_S), counts)
        self._occupy(slot)
        self.last_bad_at = max(self.last_bad_at, bad_at)

    def _add(self, grain: Grain, slot: int, counts: Counts, bad_at: int = 0) -> None:
        so_far = self.ledger.slots(grain).get(slot, NOTHING)
        cells = Cells(slots={slot: so_far.plus(counts)}, last_bad_at=bad_at)
        self.ledger.replace(grain, slot_of(slot, grain.row_s), cells)

    def _feed_whole(self, slot: int, entries: list[Entry]) -> None:
        """By a digest, as live: conversations unite, gauges replace each other."""
        sheet = Sheet(self.folder, SOURCE, 0)
        for population in group(entries):
            sheet.fold(population)
        digest = sheet.digest(start=self._fed, upto=self._fed + 1, kafka_ms=slot * 1000, final=True)
        self._fed += 1
        if digest is None:
            return
        for grain, part in ((FINE, digest.fine), (COARSE, digest.coarse)):
            for start, cells in part.items():
                row = self._rows[grain.name].setdefault(start, Row())
                rows.merge_digest(row, SOURCE, digest.start, digest.upto, cells)
                self.ledger.replace(grain, start, rows.total(row, cells))
                self.last_bad_at = max(self.last_bad_at, cells.last_bad_at)
        if digest.gauge is not None:
            self.ledger.read_gauge(digest.gauge)
        if digest.fine:
            self._occupy(slot)

    def _occupy(self, slot: int) -> None:
        if not self._fine or self._fine[-1] != slot:
            self._fine.append(slot)
        coarse = slot_of(slot, COARSE_S)
        if not self._coarse or self._coarse[-1] != coarse:
            self._coarse.append(coarse)
        if self._has_empty:
            self._see_next()

    def prove(self, now_ms: int) -> None:
        """Bring the evidence of the last 25 hours up to now."""
        if self._is_whole:
            return
        now_s = now_ms // 1000
        begin = max(self._proven_until, slot_of(now_s - FINE_KEPT_S, FINE_ROW_S))
        sheet = Sheet(self.folder, SOURCE, 0)
        for population in group(self._evidence.between(begin, now_ms)):
            sheet.fold(population)
        digest = sheet.digest(start=0, upto=1, kafka_ms=now_ms, final=True)
        for row, cells in (digest.fine if digest else {}).items():
            told = Cells(tags=cells.tags, examples=cells.examples, last_bad_at=cells.last_bad_at)
            self.ledger.replace(FINE, row, told)
        self._proven_until = slot_of(now_s, FINE_ROW_S)

    def expire(self, now_ms: int) -> None:
        """Forget what no window reaches any more."""
        self.ledger.expire(now_ms)
        for grain in GRAINS.values():
            kept = self._rows[grain.name]
            for start in [s for s in kept if s < now_ms // 1000 - grain.kept_s - grain.row_s]:
                del kept[start]
