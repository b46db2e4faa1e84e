"""Groups of a backtest: those whose values the data hold, as if they had always been known."""

from collections.abc import Callable, Iterator, Sequence
from itertools import chain, islice

from app.backtest.running import COUNTED_AT_ONCE, DAY_MS
from app.backtest.sources import Slice, Source
from app.config import Policy
from app.core.folding import Folder
from app.core.groups import Grouping
from app.core.populations import Population, group


def grouped(
    source: Source, policies: Sequence[Policy], on_day: Callable[[], None] = lambda: None
) -> list[Policy]:
    """The policies with a group for each value, those first that were seen first.

    The source is gone through once more where a policy asks for it; `on_day` as in `run`.
    """
    if not any(policy.groupings for policy in policies):
        return list(policies)
    searches = [
        {name: _Search(grouping, source.name) for name, grouping in policy.groupings.items()}
        for policy in policies
    ]
    for batch in _batches(source.slices(), on_day):
        populations = group(entry for cut in batch for entry in cut.entries)
        for search in chain.from_iterable(each.values() for each in searches):
            search.look(populations)
    return [
        policy.seeing({name: search.values for name, search in each.items()})
        for policy, each in zip(policies, searches, strict=True)
    ]


class _Search:
    """All values of an entry's field that it counts, by when it counts them first."""

    def __init__(self, grouping: Grouping, topic: str) -> None:
        self._by = grouping.by
        self._folder = Folder(grouping.whole.id, grouping.whole.definition, topic)
        self._seen: dict[str | None, None] = {}

    @property
    def values(self) -> list[str]:
        """The first one first."""
        return [value for value in self._seen if value]

    def look(self, populations: Sequence[Population]) -> None:
        """Look at what happened next: populations of one time, each of another event."""
        first: dict[str | None, tuple[int, int]] = {}
        for population in populations:
            if self._seen.keys() >= set(population.column(self._by)):
                continue
            for counted in self._folder.counted(population):
                for value, places in counted.places(self._by).items():
                    at = min((counted.ats[place], counted.offsets[place]) for place in places)
                    first[value] = min(at, first.get(value, at))
        for value in sorted(first, key=lambda value: (first[value], value or "")):
            self._seen.setdefault(value)


def _batches(cuts: Iterator[Slice], on_day: Callable[[], None]) -> Iterator[list[Slice]]:
    day = 0
    while batch := list(islice(cuts, COUNTED_AT_ONCE)):
        yield batch
        day = day or batch[0].end_ms
        while batch[-1].end_ms - day >= DAY_MS:
            day += DAY_MS
            on_day()
