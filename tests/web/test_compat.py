"""Kokino's own fields against what Kokino's own code answers for the same thirty days."""

import functools
import json
import math
import sqlite3
import subprocess
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from app.bridge import history
from app.core.events import parse_timestamp
from app.web import views
from app.web.views import Standing
from tests.tools import needs
from tests.web import samples
from tests.web.samples import REPO, World

DATA = REPO.parent / "shared" / "data" / "kokino-30d"
NOW = parse_timestamp("2026-11-01T00:00:00Z")

pytestmark = pytest.mark.skipif(
    not DATA.exists(), reason="the thirty days of Kokino's data are not on this machine"
)


def events() -> Iterator[dict[str, Any]]:
    with history.opened(DATA) as opened:
        for slot in opened.slots(0):
            for moment in slot.moments:
                yield msgspec.to_builtins(moment.event)


@functools.cache
def thirty_days() -> World:
    return World(list(events()), [NOW])


@functools.cache
def answered() -> dict[str, Any]:
    world = thirty_days()
    return views.slo_status(world.slos, list(world.policy.slos), Standing(ready=True, blind=False))


def kokino() -> dict[str, Any]:
    found: dict[str, Any] = json.loads((DATA / "kokino-status.json").read_text())
    return found


def test_availability_and_its_budget_agree_to_the_last_digit() -> None:
    assert answered()["availability"] == kokino()["availability"]
    assert answered()["errorBudget"]["availability"] == kokino()["errorBudget"]["availability"]


def test_the_budget_of_latency_agrees() -> None:
    assert answered()["errorBudget"]["latency"] == kokino()["errorBudget"]["latency"]


def nearest_ranks() -> dict[str, int]:
    with sqlite3.connect(f"file:{DATA}/metrics.db?mode=ro&immutable=1", uri=True) as database:
        found = [
            row[0]
            for row in database.execute(
                "SELECT duration_ms FROM metrics WHERE event = 'EXECUTION_COMPLETED' "
                "AND timestamp >= '2026-10-31 00:00:00' ORDER BY duration_ms"
            )
        ]
    return {f"p{q}": found[math.ceil(q * len(found) / 100) - 1] for q in (50, 95, 99)}


def test_quantiles_are_within_one_percent_of_the_exact_ones() -> None:
    exact = nearest_ranks()
    theirs, ours = kokino()["latency"], answered()["latency"]
    assert exact == {name: theirs[name] for name in exact}  # Kokino takes the nearest rank too
    assert [name for name in exact if abs(ours[name] - exact[name]) > exact[name] / 100] == []
    rest = ("target_p95", "breach")
    assert [ours[name] for name in rest] == [theirs[name] for name in rest]


def test_where_kokino_counts_wrongly_it_is_not_followed() -> None:
    budgets = answered()["errorBudget"]
    # 5941 comparisons whose tmux side succeeded, where Kokino divides by all executions
    assert budgets["correctness"] == {
        "sli": "correctness",
        "target": 0.95,
        "budget": 297,
        "consumed": 205,
        "remaining": 92,
        "percentConsumed": 69.0,
        "windowHours": 720,
    }
    # two conversations, not six rows; a budget of zero is spent, not untouched
    assert budgets["integrity"] == {
        "sli": "integrity",
        "target": 1.0,
        "budget": 0,
        "consumed": 2,
        "remaining": 0,
        "percentConsumed": 100.0,
        "windowHours": 720,
    }


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with samples.served(samples.server(tmp_path_factory.mktemp("kokino"), thirty_days())) as found:
        yield found


def asked_as_the_seed_says(path: str, url: str) -> str:
    """The seed's one line that asks this path, run as it stands but for where it asks."""
    lines = (DATA.parents[1] / "slo-targets.md").read_text().splitlines()
    (line,) = [found for found in lines if f"5050{path} |" in found]
    command = line.strip().replace("http://localhost:5050", url).replace("curl ", "curl -s ")
    done = subprocess.run(["bash", "-c", command], text=True, capture_output=True, check=True)
    return done.stdout


@needs("curl", "jq", "bash")
def test_the_seeds_own_line_gives_what_kokino_gives(url: str) -> None:
    said = json.loads(asked_as_the_seed_says("/api/slo/status", url))
    assert said == kokino()["availability"]


@needs("curl", "bash")
def test_the_seeds_line_for_latency_finds_the_metric(url: str) -> None:
    *_, value = asked_as_the_seed_says("/metrics", url).splitlines()[-1].split()
    assert round(float(value)) == answered()["latency"]["p95"]  # Kokino says whole ms
