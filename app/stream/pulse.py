"""The worker's own pulse: a process that slept must not act on what it knew before."""

import threading
import time

from app.kafka import SESSION_MS

LONGEST_SLEEP_S = SESSION_MS / 2000
"""Half the session time-out: after a whole one the partitions belong to somebody else."""

_BEAT_S = 0.25


class Asleep(RuntimeError):
    """The process was stopped for so long that others may own its partitions."""


class Pulse:
    """Beaten by a thread of its own, asked before everything that others can see.

    A thread, since a busy event loop is no sleeping process: while it works, Faust's consumer
    thread keeps the partitions. It begins with the first check: a process that has only just
    started knows nothing old. Once asleep it never counts as awake again.
    """

    def __init__(self) -> None:
        self._beaten_at: float | None = None
        self._slept_s = 0.0

    def check(self) -> None:
        """Raise Asleep where the process stood still for too long."""
        if not self.awake():
            raise Asleep(f"this worker stood still for {self._slept_s:.1f} s")

    def awake(self) -> bool:
        """Whether the process has been running all the time."""
        if self._beaten_at is None:
            self._beaten_at = time.monotonic()
            threading.Thread(target=self._beat, name="pulse", daemon=True).start()
        self._measure()
        return self._slept_s <= LONGEST_SLEEP_S

    def _beat(self) -> None:
        while self._slept_s <= LONGEST_SLEEP_S:
            self._measure()
            self._beaten_at = time.monotonic()
            time.sleep(_BEAT_S)

    def _measure(self) -> None:
        """Keep the longest silence that was seen."""
        if self._beaten_at is not None:
            self._slept_s = max(self._slept_s, time.monotonic() - self._beaten_at)
