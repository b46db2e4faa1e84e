import json
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from app.local.demo import write_demo

SLOS = {"availability", "latency", "correctness", "data-integrity", "resource-efficiency"}
SHARED = Path(__file__).parents[3] / "shared" / "data" / "kokino-30d"


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    began = time.monotonic()
    folder = write_demo(tmp_path_factory.mktemp("demo"))
    assert time.monotonic() - began < 2
    return folder


def rows(path: Path, query: str) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute(query).fetchall()


def test_it_is_the_same_every_time(demo: Path, tmp_path: Path) -> None:
    again = write_demo(tmp_path)
    for name, table in (("metrics.db", "metrics"), ("kokino.db", "shadow_results")):
        query = f"SELECT * FROM {table}"
        assert rows(demo / name, query) == rows(again / name, query)


@pytest.mark.skipif(not SHARED.exists(), reason="the thirty days of data are not here")
@pytest.mark.parametrize(
    ("file", "table"),
    [
        ("metrics.db", "metrics"),
        ("kokino.db", "shadow_results"),
        ("kokino.db", "conversations"),
        ("kokino.db", "turns"),
        ("kokino.db", "agents"),
    ],
)
def test_its_tables_are_kokinos(demo: Path, tmp_path: Path, file: str, table: str) -> None:
    (tmp_path / file).write_bytes((SHARED / file).read_bytes())
    info = f"PRAGMA table_info({table})"
    assert rows(demo / file, info) == rows(tmp_path / file, info)


def test_it_tells_of_one_incident_of_each_kind(demo: Path) -> None:
    incidents = json.loads((demo / "incidents.json").read_text())
    assert {incident["slo"] for incident in incidents} == SLOS
    assert len(incidents) == len(SLOS)
    assert all(incident["from"] < incident["to"] for incident in incidents)


EXECUTIONS = """
SELECT avg(event != 'EXECUTION_COMPLETED'), avg(duration_ms > 60000),
       avg(json_extract(metadata, '$.memoryMB'))
FROM metrics WHERE event IN ('EXECUTION_COMPLETED', 'EXECUTION_FAILED', 'EXECUTION_TIMEOUT')
AND timestamp BETWEEN datetime('{}') AND datetime('{}')
"""
DIFFERING = """
SELECT avg(1 - output_match), sum(1 - output_match)
FROM shadow_results WHERE created_at BETWEEN datetime('{}') AND datetime('{}')
"""
CHECKS = """
SELECT count(*), count(DISTINCT agent_id) FROM metrics
WHERE event = 'CONVERSATION_INTEGRITY_FAIL' AND timestamp BETWEEN datetime('{}') AND datetime('{}')
"""


@pytest.mark.parametrize(
    ("slo", "file", "query", "holds"),
    [
        ("availability", "metrics.db", EXECUTIONS, lambda found: 0.4 < found[0] < 0.5),
        ("latency", "metrics.db", EXECUTIONS, lambda found: 0.3 < found[1] < 0.6),
        ("resource-efficiency", "metrics.db", EXECUTIONS, lambda found: found[2] > 1200),
        ("correctness", "kokino.db", DIFFERING, lambda found: found[0] > 0.4 and found[1] > 50),
        ("data-integrity", "metrics.db", CHECKS, lambda found: found == (6, 2)),
    ],
)
def test_each_incident_is_in_the_data(
    demo: Path, slo: str, file: str, query: str, holds: Callable[[tuple[Any, ...]], bool]
) -> None:
    incidents = json.loads((demo / "incidents.json").read_text())
    (one,) = (incident for incident in incidents if incident["slo"] == slo)
    found = rows(demo / file, query.format(one["from"], one["to"]))[0]
    assert holds(found), found


def test_the_rest_of_the_time_is_quiet(demo: Path) -> None:
    bad, slow, memory = rows(
        demo / "metrics.db", EXECUTIONS.format("2026-01-05 19:00:00", "2026-01-07 00:00:00")
    )[0]
    assert bad < 0.004
    assert slow < 0.004
    assert 290 < memory < 310
