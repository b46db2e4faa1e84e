"""Kokino's data folder: `metrics.db` and `kokino.db`, read while Kokino writes them."""

import sqlite3
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import msgspec

from app.bridge.cursors import Cursor, Line, Place, advanced, after, unsent
from app.bridge.events import COMPARISONS, NEEDED, Event, iso_time, moment_ms
from app.bridge.tables import (
    METRICS,
    SHADOW_RESULTS,
    Page,
    Table,
    has_table,
    in_time_order,
    newest_id,
    read_page,
    waiting,
)
from app.errors import UserError

LOCK_TIMEOUT_S = 1.0
_COLUMNS = {"id", "event", "agent_id", "cli_type", "duration_ms", "success", "metadata"}
_CANNOT_WRITE = {  # a WAL file wants a -shm file beside it, and the folder may be read-only
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_READONLY_CANTINIT,
    sqlite3.SQLITE_READONLY_DIRECTORY,
}


class Batch(msgspec.Struct, frozen=True, kw_only=True):
    """The next rows of both databases, oldest first."""

    events: list[Event]
    cursor: Cursor  # behind them
    skipped: Counter[str]  # rows that no SLI needs, by event
    more: bool  # there are further ones


class Backlog(msgspec.Struct, frozen=True):
    """What is not sent yet."""

    rows: int
    oldest_at: str | None  # ISO 8601


def open_readonly(path: Path, *, still: bool = False) -> tuple[sqlite3.Connection, bool]:
    """A connection that never writes, and whether it takes the file for one that stays as it is.

    `still` says that nobody writes: then nothing is left beside the file either. A folder that
    cannot be written to is taken for still as well where no -wal file is there.
    Raises sqlite3.Error where it cannot be read.
    """
    has_wal = path.with_name(path.name + "-wal").exists()
    if still and not has_wal:
        return _connect(path, "immutable=1"), True
    try:
        return _connect(path, "mode=ro"), False
    except sqlite3.OperationalError as error:
        if has_wal or not path.exists() or error.sqlite_errorcode not in _CANNOT_WRITE:
            raise
    return _connect(path, "immutable=1"), True


def _connect(path: Path, mode: str) -> sqlite3.Connection:
    connection = sqlite3.connect(
        f"{path.absolute().as_uri()}?{mode}",
        uri=True,
        timeout=LOCK_TIMEOUT_S,
        isolation_level=None,
        check_same_thread=False,  # used by one thread at a time
    )
    connection.text_factory = lambda text: text.decode(errors="replace")
    try:
        connection.execute("SELECT 1 FROM sqlite_master").fetchone()
    except sqlite3.Error:
        connection.close()
        raise
    return connection


class Database:
    """One SQLite file that somebody else writes, replaces, vacuums or has not made yet."""

    def __init__(self, path: Path) -> None:
        """Take the path; the file is opened when it is first read."""
        self.path = path
        self._connection: sqlite3.Connection | None = None
        self._stamp: tuple[int, ...] = ()
        self._is_still = False
        self._version = 0

    def close(self) -> None:
        """Let the file go."""
        if self._connection is not None:
            self._connection.close()
        self._connection = None
        self._stamp = ()

    def changed(self) -> bool:
        """Whether somebody has committed, or put another file there, since the last read."""
        if self._is_other_file():
            return True
        return self._connection is not None and self._data_version() != self._version

    def page(
        self, table: Table, place: Place | None, limit: int, begin: Callable[[int], Place]
    ) -> Page | None:
        """The next rows of a table; None where the file or the table is not there.

        A file that was replaced is read to its end before its successor is begun. `begin` gives
        the place for a table that was never read, from its newest id.
        """
        page = self._page(table, place, limit, begin)
        if (page is None or not page.lines) and self._is_other_file():
            self.close()
            page = self._page(table, place, limit, begin)
        return page

    @contextmanager
    def snapshot(self) -> Iterator[sqlite3.Connection | None]:
        """The database as of one moment; None where there is no file."""
        if self._connection is None and not self.path.exists():
            yield None
            return
        connection = self._connection or self._open()
        self._version = self._data_version()
        connection.execute("BEGIN")
        try:
            yield connection
        finally:
            connection.execute("ROLLBACK")

    def _page(
        self, table: Table, place: Place | None, limit: int, begin: Callable[[int], Place]
    ) -> Page | None:
        with self.snapshot() as connection:
            if connection is None or not has_table(connection, table.name):
                return None
            if place is None:
                place = begin(newest_id(connection, table))
            file = f"{self._stamp[0]}:{self._stamp[1]}"
            return read_page(connection, table, place, limit=limit, file=file)

    def _open(self) -> sqlite3.Connection:
        looks = _looks(self.path)  # before: a file that is put there meanwhile is another one
        self._connection, self._is_still = open_readonly(self.path)
        self._stamp = looks if self._is_still else looks[:2]
        return self._connection

    def _data_version(self) -> int:
        if self._connection is None:
            return 0
        version: int = self._connection.execute("PRAGMA data_version").fetchone()[0]
        return version

    def _is_other_file(self) -> bool:
        looks = _looks(self.path)
        return bool(looks) and self._stamp != (looks if self._is_still else looks[:2])


def _looks(path: Path) -> tuple[int, ...]:
    """Device and inode, then what shows a change of a file that was taken for still."""
    try:
        found = path.stat()
    except OSError:
        return ()
    has_wal = path.with_name(path.name + "-wal").exists()
    return (found.st_dev, found.st_ino, found.st_mtime_ns, found.st_size, has_wal)


class Source:
    """Both databases of one Kokino, read forward from a cursor. It holds no position itself."""

    def __init__(self, data_dir: Path) -> None:
        """Check the folder; raises UserError where it is not Kokino's."""
        check_folder(data_dir)
        self._metrics = Database(data_dir / "metrics.db")
        self._kokino = Database(data_dir / "kokino.db")

    def close(self) -> None:
        """Let both files go."""
        self._metrics.close()
        self._kokino.close()

    def changed(self) -> bool:
        """Whether there may be news in either of them."""
        return self._metrics.changed() or self._kokino.changed()

    def read(self, cursor: Cursor, limit: int) -> Batch:
        """Up to `limit` rows after the cursor. Raises sqlite3.Error where Kokino holds a lock."""
        begin = partial(after, cursor.metrics)
        compared = self._kokino.page(SHADOW_RESULTS, cursor.shadow_results, limit, begin)
        measured = self._metrics.page(METRICS, cursor.metrics, limit, lambda _: Place())
        if measured is None:
            raise sqlite3.OperationalError(f"no table metrics in {self._metrics.path.name}")
        return _batch(cursor, measured, compared, limit)

    def backlog(self, cursor: Cursor) -> Backlog:
        """How many rows after the cursor are still to be sent."""
        found = []
        compares = cursor.shadow_results is not None
        wanted = ", ".join(f"'{e}'" for e in sorted(NEEDED - COMPARISONS if compares else NEEDED))
        with self._metrics.snapshot() as connection:
            if connection is not None and has_table(connection, METRICS.name):
                where = f"event IN ({wanted})"
                found.append(waiting(connection, METRICS, cursor.metrics.last_id, where))
        with self._kokino.snapshot() as connection:
            if connection is not None and has_table(connection, SHADOW_RESULTS.name):
                last_id = cursor.shadow_results.last_id if cursor.shadow_results else 0
                found.append(waiting(connection, SHADOW_RESULTS, last_id, "1"))
        times = [at for at in (moment_ms(row[2]) for row in found if row[0]) if at is not None]
        return Backlog(sum(row[0] for row in found), iso_time(min(times)) if times else None)

    def conversations(self) -> int | None:
        """How many conversations there are; None where Kokino keeps none here."""
        with self._kokino.snapshot() as connection:
            if connection is None or not has_table(connection, "conversations"):
                return None
            count: int = connection.execute("SELECT count(*) FROM conversations").fetchone()[0]
            return count


def _batch(cursor: Cursor, measured: Page, compared: Page | None, limit: int) -> Batch:
    pages = [measured] if compared is None else [measured, compared]
    merged = list(in_time_order(pages, limit))
    taken = [[line for page, line in merged if page == number] for number in range(len(pages))]
    new, places = _new_of(pages, taken)
    skips = {*COMPARISONS} if compared or cursor.shadow_results is not None else set()
    skipped: Counter[str] = Counter()
    events = []
    for number, line in merged:
        if line.row[0] not in new[number]:
            continue
        name = line.row[2] if number == 0 else ""
        if number == 0 and (name in skips or name not in NEEDED):
            skipped[name] += 1
        else:
            events.append((METRICS, SHADOW_RESULTS)[number].event_of(line.row))
    return Batch(
        events=events,
        cursor=msgspec.structs.replace(
            cursor,
            metrics=places[0],
            shadow_results=places[1] if compared is not None else cursor.shadow_results,
        ),
        skipped=skipped,
        more=len(merged) == limit or any(page.more for page in pages),
    )


def _new_of(pages: list[Page], taken: list[list[Line]]) -> tuple[list[set[int]], list[Place]]:
    """The ids that were not sent before, and the place behind the rows, for each table."""
    new, places = [], []
    for page, lines in zip(pages, taken, strict=True):
        fresh, place = unsent(page.place, lines)
        new.append({line.row[0] for line in fresh})
        places.append(advanced(place, lines))
    return new, places


def check_folder(data_dir: Path, *, still: bool = False) -> None:
    """Raise UserError where the folder holds no metrics.db of Kokino's; `still`: nobody writes."""
    metrics = data_dir / "metrics.db"
    if not data_dir.is_dir():
        raise UserError(
            f"{data_dir} is no folder: give the one that holds Kokino's metrics.db", exit_code=2
        )
    if not metrics.is_file():
        raise UserError(f"{data_dir} holds no metrics.db: give Kokino's data folder", exit_code=2)
    try:
        connection, _ = open_readonly(metrics, still=still)
        columns = {row[1] for row in connection.execute("PRAGMA table_info(metrics)")}
        connection.close()
    except sqlite3.OperationalError:
        return  # locked for now: the bridge tries again
    except sqlite3.DatabaseError as error:
        raise UserError(f"{metrics} is not an SQLite database: {error}", exit_code=2) from error
    missing = {*_COLUMNS, METRICS.time} - columns
    if missing:
        raise UserError(
            f"{metrics} has no table metrics with {', '.join(sorted(missing))}", exit_code=2
        )
