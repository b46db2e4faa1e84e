"""What every contender says at its end: how long it took from its first event on, and its answer.

Run as `python CONTENDER.py BOOTSTRAP PREFIX COUNT`, pinned to one core.
"""

import json
import sys
import time
from typing import NamedTuple


class Task(NamedTuple):
    """What is to be read."""

    kafka: str
    prefix: str
    count: int

    @property
    def topic(self) -> str:
        """The topic of events."""
        return f"{self.prefix}kokino.events"


def task() -> Task:
    """The task on the command line."""
    kafka, prefix, count = sys.argv[1:4]
    return Task(kafka, prefix, int(count))


class Stopwatch:
    """Begins with the first events: starting up and joining a group is not what is measured."""

    def __init__(self) -> None:
        self._began: tuple[float, float] | None = None
        self._took = (0.0, 0.0)
        self._before = 0

    def begin(self, events: int) -> None:
        """The first events are here; those of this batch do not count."""
        if self._began is None:
            self._began, self._before = (time.perf_counter(), time.process_time()), events

    def stop(self) -> None:
        """All is counted."""
        assert self._began is not None
        self._took = time.perf_counter() - self._began[0], time.process_time() - self._began[1]

    def tell(self, total: int, bad: int) -> None:
        """The answer, and how long it took."""
        report(total - self._before, *self._took, total, bad)

    def end(self, total: int, bad: int) -> None:
        """All is counted, and this is the answer."""
        self.stop()
        self.tell(total, bad)


def report(events: int, wall_s: float, cpu_s: float, total: int, bad: int) -> None:
    """One line of JSON for whoever compares."""
    told = {"events": events, "wall_s": wall_s, "cpu_s": cpu_s, "answer": [total, bad]}
    print(json.dumps(told), flush=True)
