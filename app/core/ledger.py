"""One SLO's counts over time, and its trailing windows, moved along instead of added up anew."""

from collections.abc import Callable, Iterator, Mapping

import msgspec

from app.core import sketch
from app.core.cells import NOTHING, Cells, Counts, Gauge, Member
from app.core.notices import Example
from app.core.sketch import Bins
from app.core.slots import COARSE, FINE, GRAINS, Grain, Span, slot_of, trailing

Excludes = Callable[[str, str, int], bool]
"""Whether an event of this agent and CLI type at this time (ms) is left out."""


class _Running:
    """A window's sums, kept up to date by what enters and what leaves it."""

    def __init__(self, grain: Grain, *, with_bins: bool) -> None:
        self.grain, self.with_bins = grain, with_bins
        self.span = Span(0, 0)
        self.counts = NOTHING
        self.bins: Bins = {}


class Ledger:
    """Counts by slot, totalled over all sources, with the evidence of the fine rows."""

    def __init__(self) -> None:
        self._slots: dict[str, dict[int, Counts]] = {name: {} for name in GRAINS}
        self._bins: dict[int, bytes] = {}  # packed: a day of them as dicts would not fit
        self._hour_bins: dict[int, bytes] = {}  # of coarse rows
        self._members: dict[str, dict[int, dict[str, Member]]] = {name: {} for name in GRAINS}
        self._rows: dict[int, Cells] = {}  # fine rows: tags, examples
        self._bad_at: dict[int, int] = {}  # fine rows that hold a bad event: the newest, ms
        self._first: int | None = None  # the oldest coarse slot, s
        self._running: dict[tuple[int, bool], _Running] = {}
        self.gauge: Gauge | None = None
        self.counted = NOTHING  # all that was ever taken over; what expires stays in it
        self.left_out: Excludes | None = None  # what is to be left out of sets and examples

    def replace(self, grain: Grain, row: int, cells: Cells) -> None:
        """Take over a row's totals as they now are."""
        bins = cells.bins if grain is FINE else {}
        for slot, counts in cells.slots.items():
            if grain is COARSE:
                known = self._slots[grain.name].get(slot, NOTHING)
                self.counted = self.counted.plus(counts.minus(known))
            self._replace_slot(grain, slot, counts, bins.get(slot))
        if grain is COARSE and row in cells.bins:
            self._hour_bins[row] = msgspec.msgpack.encode(cells.bins[row])
        for slot, members in cells.members.items():
            self._members[grain.name][slot] = members
        if grain is FINE:
            self._rows[row] = Cells(tags=cells.tags, examples=cells.examples)
            if cells.last_bad_at:
                self._bad_at[row] = cells.last_bad_at

    def _replace_slot(self, grain: Grain, slot: int, counts: Counts, bins: Bins | None) -> None:
        slots = self._slots[grain.name]
        before = slots.get(slot, NOTHING)
        old_bins = self._bins_of(slot) if bins is not None else {}
        if counts == before:
            return
        slots[slot] = counts
        if grain is COARSE and (self._first is None or slot < self._first):
            self._first = slot
        if bins is not None:
            self._bins[slot] = msgspec.msgpack.encode(bins)
        delta = counts.minus(before)
        for running in self._running.values():
            if running.grain is grain and running.span.begin <= slot < running.span.end:
                running.counts = running.counts.plus(delta)
                if running.with_bins and bins is not None:
                    sketch.take_away(running.bins, old_bins)
                    sketch.add(running.bins, bins)

    def _bins_of(self, slot: int) -> Bins:
        packed = self._bins.get(slot)
        return _unpack(packed) if packed else {}

    def read_gauge(self, gauge: Gauge) -> None:
        """Keep the newest."""
        if self.gauge is None or gauge > self.gauge:
            self.gauge = gauge

    def window(self, now_ms: int, window_s: int) -> Counts:
        """The counts of the trailing window."""
        return self._advance(now_ms, window_s, with_bins=False).counts

    def quantile_bins(self, now_ms: int, window_s: int) -> Bins:
        """The sketch of the trailing window (24 h at most)."""
        return self._advance(now_ms, window_s, with_bins=True).bins

    def _advance(self, now_ms: int, window_s: int, *, with_bins: bool) -> _Running:
        grain, span = trailing(now_ms, window_s)
        running = self._running.get((window_s, with_bins))
        if running is None:
            running = _Running(grain, with_bins=with_bins)
            self._running[window_s, with_bins] = running
        if running.span != span:
            for slots in _between(grain, running.span, span):
                self._move(running, slots, enters=False)
            for slots in _between(grain, span, running.span):
                self._move(running, slots, enters=True)
            running.span = span
        return running

    def _move(self, running: _Running, slots: range, *, enters: bool) -> None:
        held = self._slots[running.grain.name]
        move_bins = sketch.add if enters else sketch.take_away
        for slot in slots if len(slots) < len(held) else [slot for slot in held if slot in slots]:
            counts = held.get(slot)
            if counts is None:
                continue
            have = running.counts
            running.counts = have.plus(counts) if enters else have.minus(counts)
            if running.with_bins and slot in self._bins:
                move_bins(running.bins, self._bins_of(slot))

    def members(self, now_ms: int, window_s: int) -> dict[str, Member]:
        """The conversations named within the trailing window, with their latest times in it."""
        return self.members_within(*trailing(now_ms, window_s))

    def members_within(self, grain: Grain, span: Span) -> dict[str, Member]:
        """The conversations named within a span, with their latest times in it."""
        found: dict[str, Member] = {}
        for slot, members in self._members[grain.name].items():
            if span.begin <= slot < span.end:
                for name, member in members.items():
                    have = found.get(name, Member())
                    found[name] = Member(*map(max, have, self._left(member)))
        return found

    def _left(self, member: Member) -> Member:
        """What is left of a slot's member: a set has no counts that could be taken away."""
        if self.left_out is None or not self.left_out("", "", member.failed_at):
            return member
        return member._replace(failed_at=0)

    def rows(self, now_ms: int, window_s: int) -> Iterator[Cells]:
        """The evidence of the fine rows that touch the trailing window (24 h at most)."""
        span = trailing(now_ms, window_s)[1]
        for row in sorted(self._rows):
            if span.begin - FINE.row_s < row < span.end:
                yield self._rows[row]

    def examples(self, now_ms: int, window_s: int) -> list[Example]:
        """The newest failing executions of the window, newest first."""
        found = [
            example
            for cells in self.rows(now_ms, window_s)
            for example in cells.examples
            if example.at <= now_ms and not self._is_left_out(example)
        ]
        return sorted(found, key=lambda e: (e.at, e.offset), reverse=True)

    def _is_left_out(self, one: Example) -> bool:
        return self.left_out is not None and self.left_out(one.agent_id, one.cli_type, one.at)

    def last_bad_at(self, now_ms: int) -> int:
        """When the newest bad event up to now happened, ms; 0 where none is known.

        Within a row that reaches beyond now (a replay that reads ahead) now stands for it.
        """
        newest = max((row for row in self._bad_at if row * 1000 <= now_ms), default=None)
        return 0 if newest is None else min(self._bad_at[newest], now_ms)

    def forget_windows(self) -> None:
        """Rules have changed: only the windows that are asked for are moved along."""
        self._running.clear()

    def first_slot(self) -> int | None:
        """The start of the oldest slot that holds anything, s."""
        return self._first

    def newest_slot(self, now_ms: int) -> int | None:
        """The start of the newest slot up to now that holds anything, s."""
        slots = (slot for slot in self._slots[COARSE.name] if slot * 1000 <= now_ms)
        return max(slots, default=None)

    def slots(self, grain: Grain) -> Mapping[int, Counts]:
        """The counts by slot, for charts."""
        return self._slots[grain.name]

    def members_of(self, grain: Grain) -> Mapping[int, Mapping[str, Member]]:
        """The conversations by slot."""
        return self._members[grain.name]

    def hour_bins(self, hour: int) -> Bins:
        """The sketch of a whole hour, by its start (s)."""
        packed = self._hour_bins.get(hour)
        return _unpack(packed) if packed else {}

    def fine_bins(self, span: Span) -> Bins:
        """The sketch of a span of fine slots."""
        found: Bins = {}
        for slot in range(span.begin, span.end, FINE.slot_s):
            sketch.add(found, self._bins_of(slot))
        return found

    def expire(self, now_ms: int) -> None:
        """Forget what no window reaches any more."""
        for grain in GRAINS.values():
            oldest = slot_of(now_ms // 1000 - grain.kept_s, grain.row_s)  # whole rows
            for slot in [slot for slot in self._slots[grain.name] if slot < oldest]:
                self._replace_slot(grain, slot, NOTHING, {} if grain is FINE else None)
                del self._slots[grain.name][slot]
                self._bins.pop(slot, None) if grain is FINE else None
            for slot in [slot for slot in self._members[grain.name] if slot < oldest]:
                del self._members[grain.name][slot]
        oldest = slot_of(now_ms // 1000 - COARSE.kept_s, COARSE.row_s)
        for hour in [hour for hour in self._hour_bins if hour < oldest]:
            del self._hour_bins[hour]
        oldest = now_ms // 1000 - FINE.kept_s
        for row in [row for row in self._rows if row < oldest]:
            del self._rows[row]
            self._bad_at.pop(row, None)
        self._first = min(self._slots[COARSE.name], default=None)


def _unpack(packed: bytes) -> Bins:
    return msgspec.msgpack.decode(packed, type=dict[int, int])


def _between(grain: Grain, span: Span, other: Span) -> tuple[range, range]:
    """The slots of a span that the other does not hold: before it, and behind it."""
    before = range(span.begin, min(span.end, other.begin), grain.slot_s)
    behind = range(max(span.begin, other.end), span.end, grain.slot_s)
    return before, behind
