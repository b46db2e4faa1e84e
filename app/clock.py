"""Where the time comes from. Everything that needs the time is given a clock."""

import time
from collections.abc import Callable
from pathlib import Path

Clock = Callable[[], int]
"""Gives the time now, in milliseconds since the epoch."""


def wall_clock() -> int:
    """The machine's own time."""
    return time.time_ns() // 1_000_000


def file_clock(path: Path) -> Clock:
    """A clock that tests hold: the file's text is the time in milliseconds (`BURNRATE_CLOCK`)."""

    def read() -> int:
        return int(path.read_text(encoding="ascii"))

    return read
