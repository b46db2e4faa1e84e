"""The worker's own pulse: a process that slept must not act on what it knew before."""

import time

from app.intake import SESSION_MS

LONGEST_SLEEP_S = SESSION_MS / 2000
"""Half the session time-out: after a whole one the partitions belong to somebody else."""


class Asleep(RuntimeError):
    """The process was stopped for so long that others may own its partitions."""


class Pulse:
    """Beaten by the worker's timers, asked before everything that others can see."""

    def __init__(self) -> None:
        self._beaten_at = time.monotonic()

    def beat(self) -> None:
        """Say that the process is running; raises Asleep where it was not for too long."""
        self.check()
        self._beaten_at = time.monotonic()

    def check(self) -> None:
        """Raise Asleep where the last beat is too long ago."""
        slept_s = time.monotonic() - self._beaten_at
        if slept_s > LONGEST_SLEEP_S:
            raise Asleep(f"this worker stood still for {slept_s:.1f} s")

    def awake(self) -> bool:
        """Whether the process has been running all the time."""
        return time.monotonic() - self._beaten_at <= LONGEST_SLEEP_S
