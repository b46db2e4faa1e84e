"""Thirty days with a million events, judged anew: how long a backtest takes, and a sweep of ten.

    python benchmarks/backtest.py [--events 1000000] [--sweep]

The traffic is simulated: executions, a fifth of them compared with tmux, one failure in 500, and an
outage, a slow hour and a leak each week. Prints one line of JSON; times in seconds, on one core:
the clock's, and the processor's own, which says more on a machine that does other things as well.
"""

import argparse
import json
import random
import resource
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from app.local.demo import METRICS_TABLES

ROOT = Path(__file__).parents[1]
START = datetime(2026, 1, 1, tzinfo=UTC)
DAYS = 30
HOUR_S, WEEK_S = 3600, 7 * 86_400
OUTAGE_H, SLOW_H, LEAK_H = 30, 60, 90  # after each week's beginning
SWEEP = "alerts.fast-burn.consumed=0.02..0.2"


def rows(count: int, chance: random.Random) -> Iterator[tuple[Any, ...]]:
    """Rows of Kokino's `metrics` table, oldest first."""
    for number in range(count):
        at_s = DAYS * 86_400 * number / count
        hour = at_s % WEEK_S / HOUR_S
        yield (stamp(at_s), *(shadow(chance) if chance.random() < 0.2 else execution(chance, hour)))


def stamp(at_s: float) -> str:
    """As SQLite writes it, in whole seconds."""
    return f"{START + timedelta(seconds=int(at_s)):%Y-%m-%d %H:%M:%S}"


def shadow(chance: random.Random) -> tuple[Any, ...]:
    """A comparison; one in a hundred differs."""
    name = "SHADOW_MISMATCH" if chance.random() < 0.01 else "SHADOW_SUCCESS"
    return name, agent(chance), "claude-code", None, 1, "{}"


def execution(chance: random.Random, hour: float) -> tuple[Any, ...]:
    """An execution, as it goes in this hour of the week."""
    failing = chance.random() < (0.3 if OUTAGE_H <= hour < OUTAGE_H + 1 else 0.002)
    slow = 9 if SLOW_H <= hour < SLOW_H + 1 else 1
    leak = 1200 if LEAK_H <= hour < LEAK_H + 2 else 0
    duration_ms = int(chance.lognormvariate(8.7, 0.7) * slow)
    if failing:
        error = json.dumps({"error": "exit code 1"})
        return "EXECUTION_FAILED", agent(chance), "claude-code", duration_ms, 0, error
    memory = json.dumps({"exitCode": 0, "memoryMB": round(chance.gauss(300, 40) + leak, 1)})
    return "EXECUTION_COMPLETED", agent(chance), "claude-code", duration_ms, 1, memory


def agent(chance: random.Random) -> str:
    """One of twelve."""
    return f"agent-{chance.randrange(12)}"


def write(folder: Path, count: int) -> None:
    """The folder's metrics.db."""
    with closing(sqlite3.connect(folder / "metrics.db")) as database, database:
        database.executescript(METRICS_TABLES)
        database.executemany(
            "INSERT INTO metrics (timestamp, event, agent_id, cli_type, duration_ms, success, "
            "metadata) VALUES (?, ?, ?, ?, ?, ?, ?)",
            rows(count, random.Random(1)),
        )


def timed(*words: str | Path) -> tuple[float, float, dict[str, Any]]:
    """Seconds by the clock and by the processor that the command takes, and what it prints."""
    command = [sys.executable, "-m", "app", "backtest", "--json", *map(str, words)]
    began, used = time.perf_counter(), processor_s()
    done = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE)
    return time.perf_counter() - began, processor_s() - used, json.loads(done.stdout)


def processor_s() -> float:
    """What all ended processes of this one have used, s."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--sweep", action="store_true", help="ten policies at once as well")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        write(Path(name), chosen.events)
        took_s, used_s, shown = timed("--data", name)
        found: dict[str, Any] = {
            "events": shown["source"]["events"],
            "incidents": len(shown["incidents"]),
            "notices": len(shown["notices"]),
            "backtest_s": round(took_s, 1),
            "backtest_processor_s": round(used_s, 1),
        }
        if chosen.sweep:
            found["sweep_of_ten_s"] = round(timed("--data", name, "--sweep", SWEEP)[0], 1)
        print(json.dumps(found))


if __name__ == "__main__":
    main()
