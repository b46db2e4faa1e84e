"""Kokino's two tables as they are read, and their rows by id or by time."""

import sqlite3
from collections.abc import Iterator, Sequence

import msgspec

from app.bridge.cursors import Line, Place, settled
from app.bridge.events import (
    NEEDED,
    EventOf,
    Row,
    comparison_event,
    metrics_event,
    moment_ms,
    row_mark,
)

_needed = ", ".join(f"'{event}'" for event in sorted(NEEDED))


class Table(msgspec.Struct, frozen=True):
    """A table: its name, what is selected (id and time first), and what becomes of a row."""

    name: str
    time: str
    columns: tuple[str, ...]  # besides id and time, those that tell rows apart first
    event_of: EventOf

    @property
    def select(self) -> str:
        """The select up to its where clause."""
        # Names and columns are this module's own constants.
        return f"SELECT id, {self.time}, {', '.join(self.columns)} FROM {self.name}"  # noqa: S608


METRICS = Table(
    "metrics",
    "timestamp",
    (
        "event",
        "agent_id",
        "cli_type",
        "duration_ms",
        "success",
        # The prompts of other events are not even read.
        f"CASE WHEN event IN ({_needed}) THEN metadata END",
    ),
    metrics_event,
)
SHADOW_RESULTS = Table(
    "shadow_results",
    "created_at",
    (
        "ticket_id",
        "agent_id",
        "tmux_success",
        "headless_success",
        "output_match",
        "latency_delta_ms",
        "headless_error",
    ),
    comparison_event,
)


class Page(msgspec.Struct, frozen=True):
    """The next rows of one table."""

    place: Place  # where they begin, in the file as it was found
    lines: Sequence[Line] = ()
    more: bool = False  # there may be further ones


def has_table(connection: sqlite3.Connection, name: str) -> bool:
    """Whether the database holds that table."""
    asked = "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = ?"
    return connection.execute(asked, (name,)).fetchone() is not None


def read_page(
    connection: sqlite3.Connection, table: Table, place: Place, *, limit: int, file: str
) -> Page:
    """Up to `limit` rows after the place, by id."""
    found = connection.execute(f"{table.select} WHERE id = ?", (place.last_id,)).fetchone()
    place = settled(
        place,
        mark=row_mark(found) if found else None,
        newest_id=newest_id(connection, table),
        file=file,
    )
    rows = connection.execute(
        f"{table.select} WHERE id > ? ORDER BY id LIMIT ?", (place.last_id, limit)
    ).fetchall()
    return Page(place, list(timed(rows, place.at_ms)), more=len(rows) == limit)


def rows_by_time(connection: sqlite3.Connection, table: Table) -> Iterator[Line]:
    """Every row, oldest first, whichever way its time is written; unreadable times come last."""
    time = _sortable(table)
    return timed(connection.execute(f"{table.select} ORDER BY {time} IS NULL, {time}, id"), 0)


def time_span(connection: sqlite3.Connection, table: Table) -> tuple[int | None, int | None]:
    """Times of the oldest and the newest row in ms; None where no time can be read."""
    time = _sortable(table)
    oldest, newest = connection.execute(
        f"SELECT min({time}), max({time}) FROM {table.name}"  # noqa: S608
    ).fetchone()
    return moment_ms(oldest), moment_ms(newest)


def _sortable(table: Table) -> str:
    return f"strftime('%Y-%m-%d %H:%M:%f', {table.time})"


def timed(rows: Iterator[Row] | Sequence[Row], at_ms: int) -> Iterator[Line]:
    """The rows with their times; where one cannot be read, its predecessor's stands in."""
    for row in rows:
        read = moment_ms(row[1])
        at_ms = at_ms if read is None else read
        yield Line(row, at_ms)


def newest_id(connection: sqlite3.Connection, table: Table) -> int:
    """The highest id ever given out, also where the rows are gone; 0 in an untouched table."""
    highest = connection.execute(f"SELECT max(id) FROM {table.name}").fetchone()[0]  # noqa: S608
    given = None
    if has_table(connection, "sqlite_sequence"):
        asked = "SELECT seq FROM sqlite_sequence WHERE name = ?"
        given = connection.execute(asked, (table.name,)).fetchone()
    return max(highest or 0, given[0] if given else 0)


def waiting(connection: sqlite3.Connection, table: Table, after_id: int, where: str) -> Row:
    """How many rows lie after that id, the first one's id and its time."""
    found: Row = connection.execute(
        f"SELECT count(*), min(id), {table.time} FROM {table.name} "  # noqa: S608
        f"WHERE id > ? AND {where}",
        (after_id,),
    ).fetchone()
    return found


def in_time_order(pages: Sequence[Page], limit: int) -> Iterator[tuple[int, Line]]:
    """Up to `limit` rows of several tables, oldest first, each with its page's number.

    It ends early where a page is used up that may have a successor: its next row could be older
    than anything left on the others.
    """
    used = [0] * len(pages)
    for _ in range(limit):
        left = [n for n, page in enumerate(pages) if used[n] < len(page.lines)]
        if not left or any(p.more and used[n] == len(p.lines) for n, p in enumerate(pages)):
            return
        oldest = min(left, key=lambda n: pages[n].lines[used[n]].at_ms)
        yield oldest, pages[oldest].lines[used[oldest]]
        used[oldest] += 1
