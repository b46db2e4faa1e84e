"""`benchmarks/backlog.py` in small: all is counted, exactly, and nobody is told anything."""

import pytest

from tests.benchmarks.scripts import run

EVENTS, BEFORE = 20_000, 100


@pytest.mark.kafka
@pytest.mark.slow
def test_a_backlog_is_caught_up_and_nobody_is_told(kafka: str) -> None:
    few = ("--events", str(EVENTS), "--hours", "2", "--watch", "2")
    _, told = run("backlog.py", "--kafka", kafka, *few)
    assert (told["events"], told["told"]) == (EVENTS + BEFORE, [])
