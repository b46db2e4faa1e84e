"""`burnrate backtest` as it is called: what it prints and refuses, the same bytes each time."""

import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

from app.local.demo import write_demo
from tests.core.policies import ROOT

SHARED = ROOT.parent / "shared" / "data" / "kokino-30d"


def backtest(*words: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "app", "backtest", *map(str, words)]
    bare = {name: value for name, value in os.environ.items() if not name.startswith("BURNRATE_")}
    own = bare | {"BURNRATE_DATA": "/nowhere"}
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False, env=own)


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_demo(tmp_path_factory.mktemp("demo"))


@pytest.fixture(scope="module")
def louder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The shipped policy, but that it finds an outage of availability sooner, and pages P2."""
    folder = tmp_path_factory.mktemp("louder")
    slos = (ROOT / "config" / "slos.yaml").read_text()
    (folder / "slos.yaml").write_text(slos.replace("threshold: 0.990", "threshold: 0.999"))
    routes = (ROOT / "config" / "ownership.yaml").read_text()
    (folder / "ownership.yaml").write_text(routes)
    return folder


def test_the_demo_is_found_whole_and_nothing_else(demo: Path) -> None:
    shown = json.loads(backtest("--data", demo, "--json").stdout)
    scores = shown["scores"]
    assert (scores["recall"], scores["precision"]) == (1.0, 1.0)
    assert [(one["slo"], one["timeToDetect_s"]) for one in scores["labels"]] == [
        ("data-integrity", 0),
        ("availability", 101),
        ("latency", 125),
        ("resource-efficiency", 7942),
        ("correctness", 17864),
    ]
    assert sorted(one["key"] for one in shown["incidents"]) == [
        "availability-20260105T060141Z",
        "correctness-20260105T235744Z",
        "data-integrity-20260105T021200Z",
        "latency-20260105T100205Z",
        "resource-efficiency-20260105T151222Z",
    ]
    first = shown["notices"][0]
    assert {name: first[name] for name in ("at", "kind", "slo", "severity", "rules", "page")} == {
        "at": "2026-01-05T02:12:00.000Z",
        "kind": "trigger",
        "slo": "data-integrity",
        "severity": "P1",
        "rules": ["breach"],
        "page": False,
    }


def test_the_same_input_gives_the_same_bytes(demo: Path) -> None:
    for words in (("--json",), (), ("--sweep", "alerts.fast-burn.consumed=0.05,0.1")):
        assert backtest("--data", demo, *words).stdout == backtest("--data", demo, *words).stdout


def test_people_get_a_time_line_a_table_and_scores(demo: Path) -> None:
    shown = backtest("--data", demo)
    lines = shown.stdout.splitlines()
    assert re.search(
        r"demo0: 2026-01-05 .* to 2026-01-07 .*, \d+ events, \d+ of other names", lines[0]
    )
    assert [line.split()[0] for line in lines[3:8]] == [
        "availability",
        "correctness",
        "data-integrity",
        "latency",
        "resource-efficiency",
    ]
    assert "  recall                      1.000" in lines
    assert "Days of data judged" in shown.stderr


def test_two_policies_are_set_side_by_side(demo: Path, louder: Path) -> None:
    same = backtest("--data", demo, "--compare", ROOT / "config").stdout
    assert "What differs: none" in same
    shown = json.loads(backtest("--data", demo, "--compare", louder, "--json").stdout)
    assert shown["compared"]["scores"]["pages"] > shown["scores"]["pages"]
    whats = {(one["slo"], one["what"]) for one in shown["differences"]}
    assert ("availability", "only after") in whats or ("availability", "differs") in whats
    assert {one["slo"] for one in shown["differences"]} == {"availability"}


def test_a_sweep_is_a_table_and_a_chart(demo: Path, tmp_path: Path) -> None:
    chart = tmp_path / "chart.svg"
    words = ("--data", demo, "--sweep", "alerts.fast-burn.consumed=0.02..0.2/4", "--svg", chart)
    lines = backtest(*words).stdout.splitlines()
    assert lines[0] == "The trade-off of alerts.fast-burn.consumed:"
    assert [line.split()[0] for line in lines[2:6]] == ["0.02", "0.08", "0.14", "0.2"]
    svg = chart.read_text()
    assert svg.startswith("<svg ")
    assert svg.count("<circle") == 12


def test_a_chart_that_cannot_be_written_costs_no_table(demo: Path, tmp_path: Path) -> None:
    chart = tmp_path / "nowhere" / "chart.svg"
    words = ("--data", demo, "--sweep", "alerts.fast-burn.consumed=0.02..0.2/2", "--svg", chart)
    done = backtest(*words)
    assert done.stdout.startswith("The trade-off of alerts.fast-burn.consumed:")
    assert (done.returncode, f"{chart} cannot be written" in done.stderr) == (1, True)


@pytest.mark.parametrize(
    ("words", "why"),
    [
        ((), "give one of --data DIR, --events FILE and --topic NAME"),
        (("--data", ".", "--topic", "x"), "give one of"),
        (("--data", ".", "--from", "2026-10-01"), "choose a range of a --topic"),
        (("--topic", "x", "--from", "yesterday"), "--from: timestamp 'yesterday' cannot be read"),
        (("--topic", "x"), "BURNRATE_KAFKA is not set"),
        (("--data", "/nowhere"), "/nowhere is no folder"),
        (("--events", "/nowhere"), "/nowhere cannot be read"),
        (("--events", "/dev/null"), "/dev/null is empty"),
        (("--data", ".", "--svg", "x"), "--svg draws a sweep"),
        (("--data", ".", "--sweep", "a=1", "--compare", "."), "exclude each other"),
        (("--data", ".", "--labels", "README.md"), "holds no labelled incidents"),
    ],
)
def test_what_cannot_be_done_is_said(words: tuple[str, ...], why: str) -> None:
    done = backtest(*words)
    assert done.returncode in (1, 2)
    assert why in done.stderr
    assert done.stderr.startswith("error: ")
    assert "Traceback" not in done.stderr


@pytest.mark.skipif(not SHARED.exists(), reason="the shared 30 days are not here")
def test_every_labelled_incident_of_thirty_days_is_found_and_nothing_else_pages() -> None:
    began = time.monotonic()
    scores = json.loads(backtest("--data", SHARED, "--json").stdout)["scores"]
    assert time.monotonic() - began < 60  # under ten on a quiet machine
    assert scores["recall"] == 1.0
    assert scores["precision"] >= 0.95
    assert scores["otherPages"] == []
