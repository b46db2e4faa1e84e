"""Kokino's thirty days, folded and judged on their own time: what is labelled is found, no more."""

# ruff: noqa: E501 - the queries read across

import sqlite3
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

import msgspec
import pytest

from app.bridge import history
from app.bridge.events import encode
from app.core import judge as judging
from app.core.cells import Counts
from app.core.figures import SHOWN_WINDOWS_S
from app.core.incidents import Incident
from app.core.judge import SloState
from app.core.notices import Notice
from app.core.reading import Record
from app.core.slos import Slo
from tests.core.books import Library
from tests.core.policies import AVAILABILITY, CORRECTNESS, LATENCY, POLICY, RESOURCES, ROOT

DATA = ROOT.parent / "shared/data/kokino-30d"
MINUTE_MS, HOUR_MS, DAY_MS = 60_000, 3_600_000, 86_400_000

pytestmark = [
    pytest.mark.skipif(not DATA.exists(), reason="the shared data are not beside the checkout"),
    pytest.mark.slow,
]


class Label(msgspec.Struct, rename={"begin": "from", "end": "to"}):
    """A span of `incidents.json`."""

    slo: str
    begin: datetime
    end: datetime
    what: str

    def holds(self, at_ms: int, tail_ms: int) -> bool:
        """Whether a time lies within, or so much later."""
        return self.begin.timestamp() * 1000 <= at_ms <= self.end.timestamp() * 1000 + tail_ms


class Replay(NamedTuple):
    """Everything that came of the thirty days."""

    notices: list[Notice]
    incidents: dict[str, Incident]
    windows: dict[tuple[int, str, str], Counts]  # moment, SLO, window
    moments: tuple[int, ...]


def labels() -> list[Label]:
    return msgspec.json.decode((DATA / "incidents.json").read_bytes(), type=list[Label])


def records() -> Iterator[tuple[int, list[Record]]]:
    """The records of each ten seconds, with the time at which those end."""
    offset = 0
    with history.opened(DATA) as kokino:
        for slot in kokino.slots(tail_s=0):
            found = []
            for moment in slot.moments:
                found.append(Record(offset, moment.at_ms, encode(moment.event)))
                offset += 1
            yield slot.end_ms, found


def moments() -> tuple[int, ...]:
    """Times at which everything is recounted: within incidents, between them, at odd milliseconds."""
    begin = int(datetime.fromisoformat("2026-10-02T00:00:00+00:00").timestamp() * 1000)
    odd = (
        3 * HOUR_MS + 17_003,
        7 * DAY_MS + 1,
        11 * DAY_MS + 14 * HOUR_MS + 29 * MINUTE_MS + 59_999,
    )
    later = (
        17 * DAY_MS + 5 * HOUR_MS + 11,
        25 * DAY_MS + 4 * HOUR_MS,
        30 * DAY_MS - HOUR_MS - 10_001,
    )
    return tuple(begin + ms for ms in (*odd, *later))


@pytest.fixture(scope="module")
def replay() -> Replay:
    """Fold everything; judge when something came, and as time passes."""
    library = Library(list(POLICY.slos.values()))
    desk = Desk(library)
    asked = list(moments())
    windows: dict[tuple[int, str, str], Counts] = {}
    minute = 0
    for end_ms, found in records():
        rest = found
        while asked and asked[0] < end_ms:
            at = asked.pop(0)
            library.read(record for record in rest if record.timestamp <= at)
            rest = [record for record in rest if record.timestamp > at]
            windows |= counts_at(library, at)
        library.read(rest)
        if found or end_ms >= minute + MINUTE_MS:
            minute = end_ms - end_ms % MINUTE_MS
            desk.judge(end_ms - 1, touched=bool(found))
    return Replay(desk.notices, desk.incidents, windows, moments())


def counts_at(library: Library, at: int) -> dict[tuple[int, str, str], Counts]:
    """Every window of the SLOs that count events."""
    return {
        (at, slo.id, name): library.ledger(slo).window(at, window_s)
        for slo in (AVAILABILITY, LATENCY, CORRECTNESS, RESOURCES)
        for name, window_s in SHOWN_WINDOWS_S.items()
    }


class Desk:
    """Judges all SLOs, and keeps what came of it."""

    def __init__(self, library: Library) -> None:
        self.library = library
        self.states = {slo: SloState(caught_up=True) for slo in POLICY.slos}
        self.notices: list[Notice] = []
        self.incidents: dict[str, Incident] = {}

    def judge(self, now: int, *, touched: bool) -> None:
        """Judge every SLO: where something came, each minute of an incident, else each five."""
        for slo in POLICY.slos.values():
            state = self.states[slo.id]
            burns = any(incident.open for incident in state.lanes.values())
            if not (touched or burns) and now - state.judged_at < 5 * MINUTE_MS:
                continue
            route = POLICY.ownership.routes[slo.id]
            judged = judging.judge(slo, route, state, self.library.ledger(slo), now)
            self.states[slo.id] = judged.state
            self.notices += judged.notices
            self.incidents |= {incident.key: incident for incident in judged.changed}


def test_every_labelled_incident_is_found(replay: Replay) -> None:
    missed = [
        label.what
        for label in labels()
        if not any(
            i.slo == label.slo and label.holds(i.opened_at, 0) for i in replay.incidents.values()
        )
    ]
    assert missed == []


def test_nothing_pages_outside_of_the_labelled_spans(replay: Replay) -> None:
    strangers = [
        (notice.incident, notice.kind)
        for notice in replay.notices
        if notice.page
        and not any(
            label.slo == notice.slo and label.holds(notice.at, HOUR_MS) for label in labels()
        )
    ]
    assert strangers == []


def test_no_incident_has_another_cause_than_those_that_are_labelled(replay: Replay) -> None:
    """A slow burn may be told within the week whose budget an outage took."""
    strangers = {
        incident.key
        for incident in replay.incidents.values()
        if not any(
            label.slo == incident.slo
            and label.holds(
                incident.opened_at, 7 * DAY_MS if incident.lane == "slow-burn" else HOUR_MS
            )
            for label in labels()
        )
    }
    assert strangers == set()


def test_every_page_is_resolved_in_the_end(replay: Replay) -> None:
    triggered = {(n.dedup_key, n.destination) for n in replay.notices if n.page}
    ended = {
        (n.dedup_key, n.destination)
        for n in replay.notices
        if n.kind in ("resolve", "downgrade") and n.dedup_key
    }
    still_open = {p.dedup_key for i in replay.incidents.values() for p in i.pages if p.open}
    assert triggered - ended == {(key, to) for key, to in triggered if key in still_open}
    assert ended <= triggered


def test_every_window_equals_a_recount_in_sql(replay: Replay) -> None:
    expected = {
        (at, slo.id, name): recount(slo, at, window_s)
        for at in replay.moments
        for slo in (AVAILABILITY, LATENCY, CORRECTNESS, RESOURCES)
        for name, window_s in SHOWN_WINDOWS_S.items()
    }
    assert replay.windows == expected


SQL = {
    AVAILABILITY.id: """SELECT COUNT(*), COALESCE(SUM(NOT (event = 'EXECUTION_COMPLETED' AND success = 1)), 0), 0, 0
        FROM metrics WHERE event IN ('EXECUTION_COMPLETED', 'EXECUTION_FAILED', 'EXECUTION_TIMEOUT')""",
    LATENCY.id: """SELECT COUNT(*), COALESCE(SUM(duration_ms > 30000), 0), COALESCE(SUM(duration_ms > 60000), 0),
        COALESCE(SUM(duration_ms), 0) * 1000000
        FROM metrics WHERE event = 'EXECUTION_COMPLETED' AND duration_ms IS NOT NULL""",
    RESOURCES.id: """SELECT COUNT(*), COALESCE(SUM(json_extract(metadata, '$.memoryMB') > 500), 0), 0,
        COALESCE(SUM(CAST(ROUND(json_extract(metadata, '$.memoryMB') * 1000000) AS INTEGER)), 0)
        FROM metrics WHERE event = 'EXECUTION_COMPLETED' AND json_extract(metadata, '$.memoryMB') IS NOT NULL""",
    CORRECTNESS.id: """SELECT COUNT(*), COALESCE(SUM(NOT (headless_success AND output_match)), 0), 0, 0
        FROM shadow_results WHERE tmux_success""",
}


def recount(slo: Slo, now: int, window_s: int) -> Counts:
    """The window counted by SQLite, from the raw rows (whole seconds)."""
    if window_s <= 86_400:
        end = now // 10_000 * 10 + 10
        begin = end - window_s
    else:
        end = now // 300_000 * 300 + 300
        begin = -((window_s * 1000 - now) // 300_000) * 300
    column, name = (
        ("created_at", "kokino.db") if slo is CORRECTNESS else ("timestamp", "metrics.db")
    )
    seconds = f"CAST(strftime('%s', {column}) AS INTEGER)"
    query = f"{SQL[slo.id]} AND {seconds} >= ? AND {seconds} < ? AND {seconds} <= ?"
    row = connection(DATA / name).execute(query, (begin, end, now // 1000)).fetchone()
    return Counts(*row)


def connection(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"file:{path}?mode=ro&immutable=1", uri=True)
