import sqlite3
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.bridge.cursors import Cursor
from app.bridge.source import Backlog, Batch, Source
from app.errors import UserError
from tests.bridge.kokino import AT, Kokino, swap


@pytest.fixture
def kokino(tmp_path: Path) -> Iterator[Kokino]:
    one = Kokino(tmp_path / "data")
    yield one
    one.close()


@pytest.fixture
def source(kokino: Kokino) -> Iterator[Source]:
    one = Source(kokino.folder)
    yield one
    one.close()


def read_all(source: Source, cursor: Cursor = Cursor(), limit: int = 3) -> tuple[list[str], Cursor]:  # noqa: B008
    """Agents or tickets in the order in which they come, and where that ends."""
    names: list[str] = []
    while True:
        batch = source.read(cursor, limit)
        names += [str(e.metadata.get("ticketId", e.agent_id)) for e in batch.events]
        cursor = batch.cursor
        if not batch.more:
            return names, cursor


def test_rows_of_both_databases_come_oldest_first(kokino: Kokino, source: Source) -> None:
    kokino.executed("a", at="2026-03-01 10:00:01")
    kokino.compared("t1", at="2026-03-01T10:00:02.500Z")
    kokino.executed("b", at="2026-03-01 10:00:02")
    kokino.executed("c", "d", "e", "f", at="2026-03-01 10:00:04")
    kokino.compared("t2", at="2026-03-01 10:00:03")
    kokino.compared("t3", at="2026-03-01T10:00:05Z")
    for limit in (1, 2, 3, 100):
        names, _ = read_all(source, limit=limit)
        assert names == ["a", "b", "t1", "t2", "c", "d", "e", "f", "t3"]


def test_what_no_sli_needs_is_counted_and_left_behind(kokino: Kokino, source: Source) -> None:
    kokino.executed("a", "b", event="EXECUTION_STARTED")
    kokino.executed("c", event="SHADOW_MISMATCH")
    batch = source.read(Cursor(), 100)
    assert (batch.events, dict(batch.skipped), batch.cursor.metrics.last_id) == (
        [],
        {"EXECUTION_STARTED": 2, "SHADOW_MISMATCH": 1},
        3,
    )


def test_without_shadow_results_the_events_of_metrics_stand_in(tmp_path: Path) -> None:
    kokino = Kokino(tmp_path, compares=False)
    kokino.executed("c", event="SHADOW_MISMATCH")
    source = Source(tmp_path)
    assert [e.event for e in source.read(Cursor(), 100).events] == ["SHADOW_MISMATCH"]
    assert source.conversations() is None


def test_a_kokino_db_that_turns_up_late_doubles_nothing(tmp_path: Path) -> None:
    kokino = Kokino(tmp_path, compares=False)
    kokino.executed("c", event="SHADOW_MISMATCH", at="2026-03-01 10:00:00")
    source = Source(tmp_path)
    names, cursor = read_all(source)
    kokino.begin_kokino()
    kokino.compared("old", at="2026-03-01 10:00:00")
    kokino.compared("new", at="2026-03-01 10:00:01")
    kokino.executed("d", event="SHADOW_MISMATCH", at="2026-03-01 10:00:01")
    assert source.changed()
    more, cursor = read_all(source, cursor)
    assert (names, more, read_all(source, cursor)[0]) == (["c"], ["new"], [])


def test_a_commit_is_noticed_and_nothing_is_read_twice(kokino: Kokino, source: Source) -> None:
    kokino.executed("a")
    _, cursor = read_all(source)
    assert not source.changed()
    kokino.executed("b")
    assert source.changed()
    assert read_all(source, cursor)[0] == ["b"]


def test_reading_goes_on_while_a_transaction_is_open(kokino: Kokino, source: Source) -> None:
    kokino.executed("a")
    kokino.metrics.execute("INSERT INTO metrics (event, agent_id) VALUES ('EXECUTION_FAILED', 'x')")
    names, cursor = read_all(source)
    kokino.metrics.commit()
    assert (names, read_all(source, cursor)[0]) == (["a"], ["x"])


def test_every_row_of_a_busy_writer_comes_once(kokino: Kokino, source: Source) -> None:
    def write() -> None:
        other = sqlite3.connect(kokino.folder / "metrics.db", timeout=10)
        for number in range(400):
            other.execute(
                "INSERT INTO metrics (event, agent_id, timestamp) VALUES (?, ?, ?)",
                ("EXECUTION_FAILED", f"n{number}", AT),
            )
            other.commit()
            if number % 50 == 0:
                other.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        other.close()

    writer = threading.Thread(target=write)
    writer.start()
    names: list[str] = []
    cursor = Cursor()
    while True:
        ended = not writer.is_alive()
        more, cursor = read_all(source, cursor, limit=7)
        names += more
        if ended:
            break
    assert names == [f"n{number}" for number in range(400)]


@pytest.mark.parametrize(
    "deed", ["VACUUM", "DELETE FROM metrics WHERE id <= 2", "DELETE FROM metrics"]
)
def test_vacuum_and_retention_change_nothing(kokino: Kokino, source: Source, deed: str) -> None:
    kokino.executed("a", "b", "c")
    _, cursor = read_all(source)
    kokino.metrics.execute(deed)
    kokino.metrics.commit()
    kokino.executed("d")
    assert read_all(source, cursor)[0] == ["d"]


def test_a_vacuumed_copy_in_its_place_goes_on_by_id(
    kokino: Kokino, source: Source, tmp_path: Path
) -> None:
    kokino.executed("a", "b")
    _, cursor = read_all(source)
    kokino.executed("late", at="2026-03-01 09:00:00")
    copy = tmp_path / "copy.db"
    kokino.metrics.execute("VACUUM INTO ?", (str(copy),))
    kokino.metrics.close()
    copy.replace(kokino.folder / "metrics.db")
    assert read_all(source, cursor)[0] == ["late"]


def test_a_new_database_goes_on_after_the_last_moment(
    kokino: Kokino, source: Source, tmp_path: Path
) -> None:
    kokino.executed("a", "b", at="2026-03-01 10:00:05")
    kokino.compared("t1", at="2026-03-01 10:00:05")
    _, cursor = read_all(source)
    other = Kokino(tmp_path / "other")
    other.executed("old", at="2026-03-01 10:00:04")
    other.executed("b", "fresh", at="2026-03-01 10:00:05")
    other.compared("t0", at="2026-03-01T10:00:04Z")
    other.compared("t2", at="2026-03-01T10:00:05Z")
    swapped = swap(kokino, other)
    assert source.changed()
    names, cursor = read_all(source, cursor)
    assert sorted(names) == ["fresh", "t2"]
    swapped.executed("behind", at="2026-03-01 10:00:01")
    assert read_all(source, cursor)[0] == ["behind"]
    swapped.close()


def test_what_the_old_file_still_held_is_read_before_the_new_one(
    kokino: Kokino, source: Source, tmp_path: Path
) -> None:
    kokino.executed("a", at="2026-03-01 10:00:05")
    _, cursor = read_all(source)
    kokino.executed("last", at="2026-03-01 10:00:06")
    other = Kokino(tmp_path / "other")
    other.executed("new", at="2026-03-01 10:00:07")
    other.close()
    kokino.metrics.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    (other.folder / "metrics.db").replace(kokino.folder / "metrics.db")
    names: list[str] = []
    while source.changed():
        more, cursor = read_all(source, cursor)
        names += more
    assert names == ["last", "new"]


def test_ids_that_start_over_in_the_same_file_are_new_rows(kokino: Kokino, source: Source) -> None:
    kokino.executed("a", "b", "c")
    _, cursor = read_all(source)
    kokino.metrics.executescript("DELETE FROM metrics; DELETE FROM sqlite_sequence;")
    kokino.executed("d")
    assert read_all(source, cursor)[0] == ["d"]


def test_the_backlog_counts_what_will_be_sent(kokino: Kokino, source: Source) -> None:
    kokino.executed("s", event="EXECUTION_STARTED", at="2026-03-01 09:00:00")
    kokino.executed("a", "b", at="2026-03-01 10:00:00")
    kokino.compared("t", at="2026-03-01T09:30:00.000Z")
    _, cursor = read_all(source)
    assert source.backlog(Cursor()) == Backlog(3, "2026-03-01T09:30:00.000Z")
    assert source.backlog(cursor) == Backlog(0, None)


def test_conversations_are_counted(kokino: Kokino, source: Source) -> None:
    kokino.talked("conv-1", "conv-2")
    assert source.conversations() == 2


def test_text_that_is_no_utf8_and_times_that_are_none_do_not_stop_it(
    kokino: Kokino, source: Source
) -> None:
    kokino.recorded([("EXECUTION_FAILED", b"\xff\xfe", None, None, 0, b"\xff", "soon")])
    kokino.metrics.execute(
        "INSERT INTO metrics (event, agent_id, metadata) "
        "VALUES ('EXECUTION_FAILED', CAST(x'ff41' AS TEXT), CAST(x'ff' AS TEXT))"
    )
    kokino.metrics.commit()
    batch: Batch = source.read(Cursor(), 10)
    assert [e.metadata for e in batch.events] == [{}, {}]
    assert batch.events[1].agent_id == "\ufffdA"


def test_a_lock_is_an_error_that_passes(kokino: Kokino, tmp_path: Path) -> None:
    kokino.metrics.execute("PRAGMA journal_mode = DELETE")
    kokino.executed("a")
    source = Source(kokino.folder)
    kokino.metrics.execute("BEGIN EXCLUSIVE")
    with pytest.raises(sqlite3.OperationalError, match="locked"):
        source.read(Cursor(), 10)
    kokino.metrics.execute("COMMIT")
    source.close()
    assert read_all(source)[0] == ["a"]


READS = """
import os, sys
from pathlib import Path
from app.bridge.cursors import Cursor
from app.bridge.source import Source
if os.geteuid() == 0:  # whom nothing would hinder
    os.setgid(65534)
    os.setuid(65534)
print([event.agent_id for event in Source(Path(sys.argv[1])).read(Cursor(), 9).events])
"""


def test_a_folder_that_cannot_be_written_to_can_be_read() -> None:
    with tempfile.TemporaryDirectory() as folder:
        kokino = Kokino(Path(folder))
        kokino.executed("a")
        kokino.close()
        Path(folder).chmod(0o555)
        command = [sys.executable, "-c", READS, folder]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        Path(folder).chmod(0o755)
    assert done.stdout.strip() == "['a']", done.stderr


def test_a_folder_that_is_not_kokinos_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is no folder"):
        Source(tmp_path / "nowhere")
    with pytest.raises(UserError, match=r"no metrics\.db"):
        Source(tmp_path)
    (tmp_path / "metrics.db").write_bytes(b"no database at all" * 100)
    with pytest.raises(UserError, match="not an SQLite database"):
        Source(tmp_path)
    (tmp_path / "metrics.db").unlink()
    sqlite3.connect(tmp_path / "metrics.db").execute("CREATE TABLE metrics (id)").connection.close()
    with pytest.raises(UserError, match="no table metrics with agent_id"):
        Source(tmp_path)
