"""`make bench-detection` in small: every incident is timed, goals are told from figures."""

import pytest

from tests.benchmarks.scripts import run
from tests.tools import needs

INCIDENTS = 5
FEW = ("detection.py", "--incidents", str(INCIDENTS))


@pytest.mark.kafka
@pytest.mark.slow
def test_every_incident_is_told_and_the_background_is_described(kafka: str) -> None:
    said, told = run(*FEW, "--kafka", kafka, "--only", "10")
    assert {part: (one["incidents"], one["missing"]) for part, one in told["times"].items()} == {
        "10 fast-burn": (INCIDENTS, 0),
        "10 zero tolerance": (INCIDENTS // 5, 0),
    }
    assert told["background"]["10"]["asked"] == 10
    assert told["background"]["10"]["events"] > 0
    assert list(told["goals"]) == ["10 events/s: median ≤ 150 ms", "10 events/s: p99 ≤ 500 ms"]
    assert "| this project, 10 events/s" in said


@pytest.mark.slow
@needs("prometheus", "prometheus-alertmanager")
def test_prometheus_and_alertmanager_tell_of_the_same_incidents() -> None:
    said, told = run(*FEW, "--only", "tuned")
    tuned = told["times"]["tuned"]
    assert (tuned["incidents"], tuned["missing"]) == (INCIDENTS, 0)
    assert tuned["median_ms"] > 100  # nobody told it before a scrape and an evaluation
    assert "| Prometheus and Alertmanager, 1 s / 1 s / 0 s | 5 |" in said
