"""Policy tests: their notation, what holds, what does not and how it is said."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from app.backtest.series import times_of
from tests.core.policies import ROOT

pytestmark = pytest.mark.timeout(300)

SEED = ROOT / "config/tests/seed.yaml"

HOLDS = """
policy: {config}
events:
  done: {{event: EXECUTION_COMPLETED, success: 1}}
tests:
  - name: an outage
    series:
      - {{event: done, times: 600/1hx3h}}
      - {{event: {{event: EXECUTION_FAILED, success: 0}}, times: _2h 30x1m}}
    expect:
      - {{at: 2h, incidents: [], told: []}}
      - at: 2h20m
        incidents: [{{slo: availability, severity: P1}}]
        told: [{{slo: availability, page: true}}, {{slo: availability}}]
        frozen: []
"""


def burnrate_test(*words: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "app", "test", *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)


def written(folder: Path, change: tuple[str, str] = ("", "")) -> Path:
    file = folder / "test.yaml"
    file.write_text(HOLDS.format(config=ROOT / "config").replace(*change))
    return file


def test_the_policy_keeps_to_the_thresholds_of_the_seed_document() -> None:
    done = burnrate_test(SEED)
    assert (done.stdout.splitlines()[-1], done.returncode) == ("14 of 14 tests hold", 0)


@pytest.mark.parametrize(
    ("text", "times_s"),
    [
        ("3", [0, 0, 0]),
        ("3x1m", [0, 60, 120]),
        ("4/1mx90s", [0, 15, 30, 45, 60, 75]),
        ("_1h30m 1", [5400]),
        ("2x10s 1 _1m 1", [0, 10, 20, 80]),
        ("", []),
    ],
)
def test_times_are_terms_that_follow_one_another(text: str, times_s: list[int]) -> None:
    assert times_of(text) == [s * 1000 for s in times_s]


@pytest.mark.parametrize("text", ["x", "3x", "3x5", "1/0sx1h", "-1", "99999999", "1e3", "3 x 1m"])
def test_what_is_no_term_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"none of|no time|more than"):
        times_of(text)


def test_what_holds_ends_with_0(tmp_path: Path) -> None:
    done = burnrate_test(written(tmp_path), "--json")
    assert done.returncode == 0
    assert [(one["test"], one["holds"]) for one in json.loads(done.stdout)] == [("an outage", True)]


def test_what_came_otherwise_is_shown_with_its_line_and_ends_with_1(tmp_path: Path) -> None:
    file = written(tmp_path, ("severity: P1}]", "severity: P2}]"))
    done = burnrate_test(file)
    assert done.returncode == 1
    assert done.stdout.splitlines() == [
        "FAIL an outage",
        f"     {file}:12: at 2h20m, incidents",
        "       - {slo: availability, severity: P2}",
        "       + {slo: availability, severity: P1, rules: [breach], state: firing}",
        "0 of 1 tests hold",
    ]


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (("told: [{", "told: [{slo: latency}, {"), "told"),
        (("frozen: []", "frozen: [availability]"), "frozen"),
        (("at: 2h, incidents: []", "at: 2h, incidents: [{slo: availability}]"), "incidents"),
        (("_2h 30x1m", "_1h 30x1m"), "incidents"),
    ],
)
def test_every_part_of_an_expectation_can_fail(
    tmp_path: Path, change: tuple[str, str], what: str
) -> None:
    done = burnrate_test(written(tmp_path, change), "--json")
    faults = json.loads(done.stdout)[0]["faults"]
    assert (done.returncode, what in {fault["what"] for fault in faults}) == (1, True)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (("event: done", "event: dome"), "no event 'dome' among the file's: done"),
        (("EXECUTION_FAILED", "EXECUTION_FALED"), "no SLO of the policy counts EXECUTION_FALED"),
        (("success: 0", "success: maybe"), "not an event"),
        (("30x1m", "thirty"), "tests.0.series.1.times: 'thirty' is none of"),
        (("at: 2h20m", "at: 2h5s"), "is no multiple of 10s"),
        (("at: 2h20m", "at: 1h"), "the times of expectations go up"),
        (("tests:", "test:"), "tests: missing"),
        (("frozen: []", "frozen: ["), "not YAML"),
        (("policy: ", "policy: /nowhere"), "there is no such file"),
    ],
)
def test_a_file_that_cannot_be_run_is_said(
    tmp_path: Path, change: tuple[str, str], why: str
) -> None:
    done = burnrate_test(written(tmp_path, change))
    assert done.returncode in (1, 2)
    assert done.stderr.startswith("error: ")
    assert why in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    "content", ["", "[]", "17", "\x00", "a: &a [*a]", "tests: [1]", "tests: {<<: {a: 1}}"]
)
def test_garbage_is_said(tmp_path: Path, content: str) -> None:
    file = tmp_path / "garbage.yaml"
    file.write_text(content)
    done = burnrate_test(file)
    assert done.returncode == 2
    assert str(file) in done.stderr
    assert "Traceback" not in done.stderr


def test_a_file_that_is_not_there_is_said(tmp_path: Path) -> None:
    done = burnrate_test(tmp_path / "none.yaml")
    assert (done.returncode, "there is no such file" in done.stderr) == (2, True)
