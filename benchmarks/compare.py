"""Beside what users would pick instead: `make bench`.

One real Kafka, one topic of events in Kokino's shape; each contender a process of its own pinned
to one core, Kafka on the others, taken in turn, the median of all rounds. Everybody's answer is
checked. A table, then one line of JSON with the machine. Slow ones read fewer events: a rate is a
rate.
"""

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import uuid
from collections.abc import Sequence
from typing import NamedTuple

from stand import ROOT, broker, machine
from traffic import Answer, Execution, executions, fill

from app.settings import Settings

OWN = sys.executable
OTHERS = str(ROOT / ".venv-bench/bin/python")
CORE = 0


class Contender(NamedTuple):
    """Who runs, in which environment, over which share of the events."""

    name: str
    script: str
    share: float = 1.0
    python: str = OWN
    flags: Sequence[str] = ()


CONTENDERS = {
    "raw": Contender("(a) aiokafka getmany and decoding", "raw.py"),
    "raw-calm": Contender("(a') the same, collector as the intake's", "raw.py", flags=["--calm"]),
    "confluent": Contender("(b) confluent-kafka consume and decoding", "confluent.py"),
    "intake": Contender("(c) the intake, five objectives", "intake.py"),
    "whole": Contender("(d) a whole worker, to judged status", "whole.py"),
    "faust": Contender("(e) Faust, tumbling 1 min", "faust_windows.py", 0.02),
    "faust-hopping": Contender(
        "(e) Faust, hopping 1 h / 1 min", "faust_windows.py", 0.002, flags=["--hopping"]
    ),
    "quix": Contender("(f) Quix Streams, tumbling 1 min", "quix.py", 0.1, OTHERS),
    "bytewax": Contender("(g) Bytewax, tumbling 1 min", "bytewax_windows.py", 0.3, OTHERS),
}


class Measured(NamedTuple):
    """One run: events a second, µs of CPU an event."""

    rate: float
    cpu_us: float


def measure(contender: Contender, settings: Settings, answer: Answer) -> Measured:
    """Run one contender on its core; raises where its answer is another one."""
    script = ROOT / "benchmarks/contenders" / contender.script
    command = [contender.python, str(script), settings.kafka, settings.topic_prefix]
    done = subprocess.run(
        [*command, str(answer.total), *contender.flags],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        cwd=ROOT,
        check=False,
        capture_output=True,
        text=True,
        preexec_fn=lambda: os.sched_setaffinity(0, {CORE}),
        timeout=300,
    )
    lines = [line for line in done.stdout.splitlines() if line.startswith('{"events"')]
    if not lines:
        raise RuntimeError(f"{contender.name} told nothing:\n{done.stderr[-2000:]}")
    told = json.loads(lines[-1])
    if tuple(told["answer"]) != tuple(answer):
        raise RuntimeError(f"{contender.name} counted {told['answer']}, not {list(answer)}")
    return Measured(told["events"] / told["wall_s"], told["cpu_s"] / told["events"] * 1e6)


def run(names: Sequence[str], count: int, rounds: int) -> dict[str, list[Measured]]:
    """All rounds, the contenders in turn."""
    os.sched_setaffinity(0, set(range(os.cpu_count() or 1)) - {CORE})  # Kafka inherits it
    records = list(executions(count))
    found: dict[str, list[Measured]] = {name: [] for name in names}
    with broker() as kafka:
        for number in range(rounds):
            for name in names:
                found[name].append(_one(CONTENDERS[name], kafka, records))
                rate, cpu_us = found[name][-1]
                say = f"round {number + 1} {name}: {rate:,.0f} events/s, {cpu_us:.2f} µs"
                print(say, file=sys.stderr, flush=True)
    return found


def _one(contender: Contender, bootstrap: str, records: list[Execution]) -> Measured:
    """A topic of its own, so that no earlier run's offsets or tables are in the way."""
    settings = Settings(kafka=bootstrap, topic_prefix=f"b{uuid.uuid4().hex[:6]}.")
    answer = asyncio.run(fill(settings, records[: int(len(records) * contender.share)]))
    return measure(contender, settings, answer)


def medians(found: dict[str, list[Measured]]) -> dict[str, Measured]:
    """Of rates and of CPU, each by itself."""
    return {
        name: Measured(*(statistics.median(column) for column in zip(*runs, strict=True)))
        for name, runs in found.items()
    }


def table(found: dict[str, Measured]) -> str:
    """For people: in Markdown."""
    limit = next(iter(found.values())).rate
    rows = [
        f"| {CONTENDERS[name].name} | {rate:,.0f} | {cpu:.2f} | {rate / limit:.3f} |"
        for name, (rate, cpu) in found.items()
    ]
    head = ["| contender | events/s | µs CPU an event | of the first |", "|---|---|---|---|"]
    return "\n".join([*head, *rows])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", nargs="*", choices=CONTENDERS, default=list(CONTENDERS))
    given = parser.parse_args()
    found = medians(run(given.only, given.count, given.rounds))
    print(f"{machine()}; {given.count:,} events, median of {given.rounds}\n\n{table(found)}\n")
    told = {name: one._asdict() for name, one in found.items()}
    print(json.dumps({"machine": machine(), "events": given.count, "contenders": told}))


if __name__ == "__main__":
    main()
