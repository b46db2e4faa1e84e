"""Time in slots: every count belongs to a slot, and a window is a run of whole slots.

Seconds since the epoch throughout. Fine slots reach back 25 hours, coarse ones 31 days; a row
holds the slots that are stored together.
"""

from collections.abc import Iterable
from typing import NamedTuple

FINE_S = 10
COARSE_S = 300
FINE_ROW_S = 300  # 30 fine slots
COARSE_ROW_S = 3600  # 12 coarse slots
FINE_KEPT_S = 25 * 3600
COARSE_KEPT_S = 31 * 24 * 3600
LONGEST_FINE_WINDOW_S = 24 * 3600


class Grain(NamedTuple):
    """One resolution: its slots, its rows, how long they are kept (seconds)."""

    name: str
    slot_s: int
    row_s: int
    kept_s: int


FINE = Grain("fine", FINE_S, FINE_ROW_S, FINE_KEPT_S)
COARSE = Grain("coarse", COARSE_S, COARSE_ROW_S, COARSE_KEPT_S)
GRAINS = {grain.name: grain for grain in (FINE, COARSE)}


class Span(NamedTuple):
    """Whole slots from `begin` up to, not including, `end`."""

    begin: int
    end: int


def slot_of(time_s: int, slot_s: int) -> int:
    """The start of the slot that holds this moment."""
    return time_s - time_s % slot_s


def trailing(now_ms: int, window_s: int) -> tuple[Grain, Span]:
    """The trailing window: which grain it is counted in, and its slots.

    It ends with the slot that holds now. Up to 24 h it has window / 10 s fine slots; beyond that
    it begins at the first whole coarse slot after now - window.
    """
    now_s = now_ms // 1000
    if window_s <= LONGEST_FINE_WINDOW_S:
        end = slot_of(now_s, FINE_S) + FINE_S
        return FINE, Span(end - window_s, end)
    end = slot_of(now_s, COARSE_S) + COARSE_S
    begin = -((window_s * 1000 - now_ms) // (COARSE_S * 1000)) * COARSE_S
    return COARSE, Span(begin, end)


def extent(times: Iterable[int]) -> tuple[int, int]:
    """The earliest and the latest. Times of a batch are nearly in order, so sorting is quick."""
    in_order = sorted(times)
    return in_order[0], in_order[-1]
