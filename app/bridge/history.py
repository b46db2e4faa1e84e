"""Kokino's data as it once happened: rows by time, cut into slots of ten seconds."""

import sqlite3
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from heapq import merge
from pathlib import Path

import msgspec

from app.bridge.cursors import Line
from app.bridge.events import COMPARISONS, NEEDED, Event, conversations_event, moment_ms
from app.bridge.source import check_folder, open_readonly
from app.bridge.tables import METRICS, SHADOW_RESULTS, has_table, rows_by_time, time_span

SLOT_MS = 10_000
COUNT_MS = 300_000  # the number of conversations is told anew that often
FORGOTTEN_MS = 32 * 86_400_000  # no window reaches back over a longer silence: it is skipped


class Moment(msgspec.Struct, frozen=True):
    """An event and when it happened, ms since the epoch."""

    at_ms: int
    event: Event


class Slot(msgspec.Struct, frozen=True):
    """What happened in the ten seconds before `end_ms`, oldest first."""

    end_ms: int
    moments: Sequence[Moment]


class History:
    """A Kokino data folder, read once from its oldest row to its newest."""

    def __init__(self, metrics: sqlite3.Connection, kokino: sqlite3.Connection | None) -> None:
        """Take both databases, opened; the second where there is one."""
        self.skipped: Counter[str] = Counter()  # rows that no SLI needs, by event
        self._metrics = metrics
        self._shadows = kokino if kokino and has_table(kokino, SHADOW_RESULTS.name) else None
        self._kokino = kokino if kokino and has_table(kokino, "conversations") else None

    def span(self) -> tuple[int, int] | None:
        """Times of the oldest and the newest row, in ms; None where there is no row."""
        spans = [time_span(self._metrics, METRICS)]
        if self._shadows:
            spans.append(time_span(self._shadows, SHADOW_RESULTS))
        times = [at for span in spans for at in span if at is not None]
        return (min(times), max(times)) if times else None

    def slots(self, tail_s: int) -> Iterator[Slot]:
        """Every slot from the oldest row to `tail_s` after the newest, quiet ones too."""
        return slots(self._moments(), self._conversations(), tail_s * 1000)

    def _moments(self) -> Iterator[Moment]:
        compared: Iterable[Moment] = ()
        if self._shadows:
            lines = rows_by_time(self._shadows, SHADOW_RESULTS)
            compared = (Moment(line.at_ms, SHADOW_RESULTS.event_of(line.row)) for line in lines)
        return merge(self._measured(), compared, key=lambda moment: moment.at_ms)

    def _measured(self) -> Iterator[Moment]:
        for line in rows_by_time(self._metrics, METRICS):
            if self._is_needed(line):
                yield Moment(line.at_ms, METRICS.event_of(line.row))
            else:
                self.skipped[line.row[2]] += 1

    def _is_needed(self, line: Line) -> bool:
        name = line.row[2]
        return name in NEEDED and not (self._shadows and name in COMPARISONS)

    def _conversations(self) -> list[int] | None:
        if self._kokino is None:
            return None
        rows = self._kokino.execute("SELECT created_at FROM conversations")
        return sorted(moment_ms(row[0]) or 0 for row in rows)


@contextmanager
def opened(data_dir: Path) -> Iterator[History]:
    """The history of a data folder; raises UserError where it is not Kokino's."""
    check_folder(data_dir, still=True)
    with ExitStack() as files:
        found = [
            files.enter_context(closing(open_readonly(path, still=True)[0]))
            for path in (data_dir / "metrics.db", data_dir / "kokino.db")
            if path.exists()
        ]
        yield History(found[0], found[1] if len(found) > 1 else None)


def slots(
    moments: Iterable[Moment], conversations: Sequence[int] | None, tail_ms: int
) -> Iterator[Slot]:
    """Cut moments into slots, oldest first, on to `tail_ms` after the last of them.

    `conversations` are the times at which they began, in order: their number is told at each
    slot where it has changed, and every five minutes.
    """
    ahead = iter(moments)
    coming = next(ahead, None)
    if coming is None:
        return
    counted = _Counted(conversations)
    end = until = _slot_end(coming.at_ms)
    while end <= until:
        held = counted.at(end)
        while coming is not None and coming.at_ms < end:
            held.append(coming)
            until = end + tail_ms
            coming = next(ahead, None)
        yield Slot(end, held)
        end = _next_end(end, coming)
        if coming is not None:
            until = max(until, end)


def _next_end(end: int, coming: Moment | None) -> int:
    if coming is not None and coming.at_ms - end > FORGOTTEN_MS:
        return _slot_end(coming.at_ms)
    return end + SLOT_MS


def _slot_end(at_ms: int) -> int:
    return (at_ms // SLOT_MS + 1) * SLOT_MS


class _Counted:
    """When the number of conversations is due to be told."""

    def __init__(self, began: Sequence[int] | None) -> None:
        self._began = began
        self._count: int | None = None
        self._due_ms = 0

    def at(self, end_ms: int) -> list[Moment]:
        """The number in the slot that ends then, where it is news."""
        if self._began is None:
            return []
        start_ms = end_ms - SLOT_MS
        count = bisect_left(self._began, end_ms)
        if count == self._count and start_ms < self._due_ms:
            return []
        self._count, self._due_ms = count, start_ms + COUNT_MS
        return [Moment(start_ms, conversations_event(count, start_ms))]
