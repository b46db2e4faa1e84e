"""Kokino's own metrics of executions, counted a batch at a time: an event costs next to nothing."""

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator
from operator import not_

from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector

from app.core.populations import Population, chosen

BUCKETS_MS = (1_000, 5_000, 10_000, 30_000, 60_000, 120_000)  # Kokino's own
STATUSES = {
    "EXECUTION_COMPLETED": "success",
    "EXECUTION_FAILED": "failure",
    "EXECUTION_TIMEOUT": "timeout",
}
LABELS = ("agent_id", "cli_type")
VALUES_KEPT = 100  # of a label; all further ones are "…others"
OTHERS = "…others"

_Who = tuple[str, str]


class _Durations:
    """One histogram: how many durations each bucket has, and their sum."""

    def __init__(self) -> None:
        self.counts = [0] * (len(BUCKETS_MS) + 1)
        self.sum_ms = 0

    def add(self, durations_ms: list[int]) -> None:
        """Count durations, all at once."""
        durations_ms.sort()
        edges = [bisect_left(durations_ms, edge + 1) for edge in BUCKETS_MS]
        for bucket, (begin, end) in enumerate(
            zip([0, *edges], [*edges, len(durations_ms)], strict=True)
        ):
            self.counts[bucket] += end - begin
        self.sum_ms += sum(durations_ms)

    def buckets(self) -> list[tuple[str, float]]:
        """Cumulative counts by upper edge in seconds, as Prometheus wants them."""
        names = [f"{edge // 1000}.0" for edge in BUCKETS_MS] + ["+Inf"]
        total, found = 0, []
        for name, count in zip(names, self.counts, strict=True):
            total += count
            found.append((name, float(total)))
        return found


class Executions(Collector):
    """Executions by agent, CLI type and status, and how long the completed ones took."""

    def __init__(self) -> None:
        self._totals: Counter[tuple[str, str, str]] = Counter()
        self._durations: dict[_Who, _Durations] = {}
        self._seen: dict[str, set[str]] = {name: set() for name in LABELS}

    def count(self, population: Population, since: int) -> None:
        """Count the entries from the offset `since` on."""
        status = STATUSES.get(population.event)
        if status is None:
            return
        if min(population.offsets) < since:
            population = population.where([offset >= since for offset in population.offsets])
        for (_, agent, cli), places in population.holders.items():
            who = self._capped("agent_id", agent), self._capped("cli_type", cli)
            if status == "success":
                self._count_completed(who, population, places)
            else:
                self._totals[*who, status] += len(places)

    def _count_completed(self, who: _Who, population: Population, places: list[int]) -> None:
        failed = sum(map(not_, chosen(population.column("success"), places)))
        self._totals[*who, "success"] += len(places) - failed
        self._totals[*who, "failure"] += failed
        durations = self._durations.setdefault(who, _Durations())
        found = chosen(population.column("duration_ms"), places)
        durations.add([ms for ms in found if ms is not None])

    def _capped(self, label: str, value: str) -> str:
        known = self._seen[label]
        if value in known or len(known) < VALUES_KEPT:
            known.add(value)
            return value
        return OTHERS

    def collect(self) -> Iterator[CounterMetricFamily | HistogramMetricFamily]:
        """Called by Prometheus's client at each scrape."""
        counters = CounterMetricFamily(
            "headless_executions", "Executions that ended", labels=(*LABELS, "status")
        )
        for labels, number in sorted(self._totals.items()):
            counters.add_metric(labels, number)
        yield counters
        histograms = HistogramMetricFamily(
            "headless_execution_duration_seconds",
            "How long completed executions took",
            labels=LABELS,
        )
        for who, durations in sorted(self._durations.items()):
            histograms.add_metric(who, durations.buckets(), durations.sum_ms / 1000)
        yield histograms
