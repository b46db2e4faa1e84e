"""Quantiles from a mergeable sketch: logarithmic bins, each 2 % wide.

After Masson, Rim and Lee, "DDSketch" (VLDB 2019): a value lies within 1 % of its bin's middle, and
two sketches are merged by adding their bins, so every order of merging gives the same.
"""

from collections.abc import Iterable, Mapping
from math import ceil, log

RELATIVE_ERROR = 0.01
_GAMMA = (1 + RELATIVE_ERROR) / (1 - RELATIVE_ERROR)
_PER_LOG = 1 / log(_GAMMA)
_ZERO = -1  # the bin of values below 1

Bins = dict[int, int]
"""How many values each bin holds."""


def bin_of(value: float) -> int:
    """The bin that holds a value (≥ 0)."""
    return ceil(log(value) * _PER_LOG) if value >= 1 else _ZERO


def middle_of(index: int) -> float:
    """The value that stands for a bin."""
    return 0.0 if index == _ZERO else 2 * _GAMMA**index / (_GAMMA + 1)


def add(into: Bins, more: Mapping[int, int]) -> None:
    """Add another sketch's bins."""
    if not into:
        into.update(more)
        return
    have = into.get
    for index, count in more.items():
        into[index] = have(index, 0) + count


def take_away(into: Bins, less: Mapping[int, int]) -> None:
    """Take another sketch's bins away that were added before."""
    for index, count in less.items():
        left = into.get(index, 0) - count
        if left:
            into[index] = left
        else:
            into.pop(index, None)


def quantiles(bins: Mapping[int, int], wanted: Iterable[float]) -> list[float] | None:
    """The nearest-rank quantiles (0 < q ≤ 1), ascending `wanted`; None for an empty sketch."""
    total = sum(bins.values())
    if not total:
        return None
    found: list[float] = []
    ranks = [max(1, ceil(q * total)) for q in wanted]
    seen = 0
    for index in sorted(bins):
        seen += bins[index]
        while len(found) < len(ranks) and ranks[len(found)] <= seen:
            found.append(middle_of(index))
    return found
