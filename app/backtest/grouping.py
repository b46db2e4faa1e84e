"""Groups of a backtest: those whose values the data hold, as if they had always been known."""

import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice

from msgspec.structs import replace

from app.backtest.running import COUNTED_AT_ONCE, DAY_MS
from app.backtest.sources import Slice, Source
from app.config import Policy
from app.core.groups import Finder, Sighting
from app.core.populations import group


def grouped(
    source: Source, policies: Sequence[Policy], on_day: Callable[[], None] = lambda: None
) -> list[Policy]:
    """The policies with a group for each value, those first that were seen first.

    The source is gone through once more where a policy asks for it; `on_day` as in `run`.
    """
    if not any(policy.groupings for policy in policies):
        return list(policies)
    finders = [_finder(policy, source.name) for policy in policies]
    seen: list[list[Sighting]] = [[] for _ in policies]
    for batch in _batches(source.slices(), on_day):
        populations = group(entry for cut in batch for entry in cut.entries)
        for finder, found in zip(finders, seen, strict=True):
            found.extend(finder.look(populations, 0).sightings)
    return [policy.seeing(_by_entry(found)) for policy, found in zip(policies, seen, strict=True)]


def _finder(policy: Policy, topic: str) -> Finder:
    """Finds all values there are: which of them are the first is known in the end."""
    groupings = policy.groupings.items()
    return Finder({name: replace(one, most=sys.maxsize) for name, one in groupings}, topic)


def _batches(cuts: Iterator[Slice], on_day: Callable[[], None]) -> Iterator[list[Slice]]:
    day = 0
    while batch := list(islice(cuts, COUNTED_AT_ONCE)):
        yield batch
        day = day or batch[0].end_ms
        while batch[-1].end_ms - day >= DAY_MS:
            day += DAY_MS
            on_day()


def _by_entry(sightings: Iterable[Sighting]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for one in sorted(sightings, key=lambda one: (one.at, one.offset, one.value)):
        found.setdefault(one.slo, []).append(one.value)
    return found
