"""The month report, in every form."""

import csv
import functools
import io

import pytest
from msgspec.structs import replace

from app.core.history import Month
from app.web import charts, reports
from app.web.views import ms_of
from tests.web import samples
from tests.web.samples import NOON, World

SLOS = samples.policy().slos
NOVEMBER = NOON + 30 * 86_400_000


def month(slo: str, name: str, **fields: object) -> Month:
    known = {
        "slo": slo,
        "month": name,
        "as_of": NOON,
        "first": ms_of(f"{name}-02T10:00:00Z"),
        "objective": SLOS[slo].objective,
        "total": 20_000,
        "bad": 78,
        "value": 0.9961,
        "quantiles": None,
        "allowed": 100.0,
        "consumed": 0.78,
    }
    return Month(**(known | fields))  # type: ignore[arg-type]


QUANTILES = {"p50": 9_000.0, "p95": 24_260.0, "p99": 61_000.0}
_SEPTEMBER = month("availability", "2026-09", value=None, total=0, consumed=None)
_LATENCY = month("latency", "2026-10", value=24_260.0, quantiles=QUANTILES, consumed=0.451)
_INTEGRITY = month("data-integrity", "2026-10", total=400, bad=1, value=0.9975, consumed=1.0)
HISTORY = {
    "availability": {"2026-10": month("availability", "2026-10"), "2026-09": _SEPTEMBER},
    "latency": {"2026-10": _LATENCY},
    "data-integrity": {"2026-10": _INTEGRITY},
    "gone": {"2026-08": replace(month("availability", "2026-08"), slo="gone")},
}

TABLE = """\
| Month | Availability | Latency P95 | Budget Consumed |
|---|---|---|---|
| Oct 2026 | 99.6 % | 24.3 s | availability 78.0 %, latency 45.1 %, data-integrity 100.0 % |
| Sep 2026 | \u2013 | \u2013 | availability \u2013 |
"""


def test_the_markdown_is_the_seed_s_table() -> None:
    assert reports.markdown(reports.reports(HISTORY, SLOS, NOVEMBER)) == TABLE


def test_a_month_alone_names_every_objective_and_says_that_it_runs() -> None:
    found = reports.report(HISTORY, SLOS, "2026-10", NOON)
    assert found is not None
    lines = reports.markdown([found]).splitlines()
    assert lines[2].startswith("| Oct 2026 (running) | 99.6 % | 24.3 s |")
    assert lines[4:9] == [
        "| Objective | Events | Bad | Result | Promise | Budget consumed |",
        "|---|---|---|---|---|---|",
        "| Availability | 20,000 | 78 | 99.6 % | 99.5 % good | 78.0 % |",
        "| Latency | 20,000 | 78 | 24.3 s | 90 % good | 45.1 % |",
        "| Data integrity | 400 | 1 | 99.8 % | 100 % good | 100.0 % |",
    ]
    assert lines[-1] == "Oct 2026 is still running: figures up to now."


def test_the_csv_holds_the_figures_as_they_are() -> None:
    found = list(csv.DictReader(io.StringIO(reports.as_csv(reports.reports(HISTORY, SLOS, NOON)))))
    assert [(row["month"], row["running"], row["slo"]) for row in found] == [
        ("2026-10", "true", "availability"),
        ("2026-10", "true", "latency"),
        ("2026-10", "true", "data-integrity"),
        ("2026-09", "false", "availability"),
    ]
    assert (found[1]["p95"], found[1]["consumed"], found[3]["value"]) == ("24260.0", "0.451", "")


@pytest.mark.parametrize(("now", "running"), [(NOON, True), (NOVEMBER, False)])
def test_a_month_runs_until_it_is_over(now: int, running: bool) -> None:  # noqa: FBT001
    found = reports.report(HISTORY, SLOS, "2026-10", now)
    assert found is not None
    assert found["running"] is running


def test_a_month_without_figures_is_not_known() -> None:
    assert reports.report(HISTORY, SLOS, "2025-01", NOON) is None
    assert reports.known_months(HISTORY, SLOS) == ["2026-10", "2026-09"]


@functools.cache
def outage() -> World:
    return samples.outage()


def test_the_burn_down_ends_at_what_is_left_and_only_falls() -> None:
    world = outage()
    slo = world.slos["availability"]
    found = charts.history_of(world.history["availability"], slo, world.incidents.values())
    left = found["burndown"]["remaining"]
    assert left[-1] == slo["budget"]["remaining"]
    assert left == sorted(left, reverse=True)
    assert left[0] == 1.0
    assert len(left) in (720, 721)
    opened = {mark["key"]: mark["end"] for mark in found["incidents"]}
    assert opened == {"availability-20261013T114100Z": None}


def test_the_hours_of_a_chart_hold_every_event_once() -> None:
    world = outage()
    history = world.history["availability"]
    hours = charts.hours_of(history)
    month_ = history["2026-09"], history["2026-10"]
    assert sum(hours.total) == sum(m.total for m in month_ if isinstance(m, Month))
    assert sum(hours.bad) == world.slos["availability"]["windows"]["30d"]["bad"]


def test_a_day_without_a_record_leaves_a_gap_in_the_chart_not_a_shift() -> None:
    history = outage().history["availability"]
    whole = charts.hours_of(history)
    gap = charts.hours_of({name: told for name, told in history.items() if name != "2026-10-01"})
    assert (len(gap.total), gap.begin) == (len(whole.total), whole.begin)
    assert gap.total.count(0) - whole.total.count(0) == 24
