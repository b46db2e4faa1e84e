"""What Prometheus scrapes. Labels come from configuration, or are capped; all begin with 0."""

from collections.abc import Iterable, Mapping

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
)

from app.core.cells import MICRO, Counts
from app.core.groups import WHY_LEFT_OVER, Grouping
from app.executions import Executions

disable_created_metrics()  # type: ignore[no-untyped-call]  # a second series each, used by nobody

_SLO_COUNTERS = {
    "events": "Events that an SLO counts",
    "bad_events": "Those of them that are bad",
    "over_events": "Those of them beyond the limit of a quantile's breach",
    "value": "Their values added up, in the SLO's unit",
}
"""Counted where the SLO is judged, from 0 at each start: what Prometheus rules are made of."""

DETECTION_BUCKETS_S = (0.05, 0.1, 0.2, 0.3, 0.5, 1, 2, 5, 30, 300)

ANSWER_BUCKETS_S = (0.05, 0.1, 0.25, 0.5, 1, 2, 5, 10)


class Metrics:
    """All metrics of one worker, in a registry of their own."""

    def __init__(self, slos: Iterable[str] = ()) -> None:
        self.registry = CollectorRegistry()
        self._kokino()
        self._reading()
        self._judging(list(slos))
        self._grouping()
        self._delivering()
        self._configuration()

    def _kokino(self) -> None:
        self.executions = Executions()
        self.registry.register(self.executions)
        self.availability = Gauge(
            "headless_availability",
            "Share of executions that succeeded over 24 hours",
            registry=self.registry,
        )
        self.latency_p95 = Gauge(
            "headless_latency_p95_ms",
            "P95 of execution times over 24 hours, in milliseconds",
            registry=self.registry,
        )

    def _reading(self) -> None:
        self.events = Counter(
            "burnrate_events",
            "Events read, by what became of them",
            ("result",),
            registry=self.registry,
        )
        for result in ("counted", "ignored", "late", "rejected", "left_out"):
            self.events.labels(result)
        self.digests = Counter(
            "burnrate_digests", "Digests merged, by outcome", ("outcome",), registry=self.registry
        )
        for outcome in ("taken", "repeated", "overlap", "unknown"):
            self.digests.labels(outcome)
        self.lag = Gauge(
            "burnrate_consumer_lag_seconds",
            "How long the oldest unread event may have waited",
            registry=self.registry,
        )
        self.intake_restarts = Counter(
            "burnrate_intake_restarts",
            "Times the intake began anew after an error",
            registry=self.registry,
        )

    def _judging(self, slos: list[str]) -> None:
        one = ("slo",)
        self.sli = Gauge(
            "burnrate_slo_sli", "Headline SLI: a ratio, ms or MB", one, registry=self.registry
        )
        self.budget_remaining = Gauge(
            "burnrate_slo_budget_remaining_ratio",
            "Share of the error budget that is left",
            one,
            registry=self.registry,
        )
        self.burn = Gauge(
            "burnrate_slo_burn_rate",
            "Burn rate over a window",
            ("slo", "window"),
            registry=self.registry,
        )
        self.frozen = Gauge(
            "burnrate_slo_frozen", "1 while deployments are frozen", one, registry=self.registry
        )
        self.open_incidents = Gauge(
            "burnrate_incident_open", "Open incidents", ("slo", "severity"), registry=self.registry
        )
        self.incident_changes = Counter(
            "burnrate_incident_changes",
            "Changes of incidents",
            ("slo", "kind"),
            registry=self.registry,
        )
        self.judge_seconds = Histogram(
            "burnrate_judge_seconds",
            "Time to judge one SLO",
            buckets=(0.0002, 0.0005, 0.001, 0.002, 0.005, 0.02, 0.1),
            registry=self.registry,
        )
        self.blind = Gauge(
            "burnrate_blind", "1 while nothing can be judged", registry=self.registry
        )
        self.filling = Gauge(
            "burnrate_slo_filling",
            "1 while a new definition is filled from the log, and nothing is judged by it",
            one,
            registry=self.registry,
        )
        self.slo_counters = [
            Counter(f"burnrate_slo_{name}", text, one, registry=self.registry)
            for name, text in _SLO_COUNTERS.items()
        ]
        self.know(slos)

    def _grouping(self) -> None:
        one = ("slo",)
        self.groups = Gauge(
            "burnrate_slo_groups",
            "Groups of an objective that has one for each value seen, ENTRY:other left out",
            one,
            registry=self.registry,
        )
        self.most_groups = Gauge(
            "burnrate_slo_groups_most",
            "How many it may have; values seen beyond count in ENTRY:other",
            one,
            registry=self.registry,
        )
        self.left_over = Counter(
            "burnrate_slo_left_over_events",
            "Events that count in ENTRY:other, by reason",
            ("slo", "why"),
            registry=self.registry,
        )

    def know_groupings(self, groupings: Mapping[str, Grouping]) -> None:
        """These entries have a group for each value seen, so many now."""
        for series in (self.groups, self.most_groups):
            series.clear()
        for name, grouping in groupings.items():
            self.groups.labels(name).set(len(grouping.values))
            self.most_groups.labels(name).set(grouping.most)
            for why in WHY_LEFT_OVER:
                self.left_over.labels(name, why)

    def count_slo(self, slo: str, more: Counts) -> None:
        """Add what a digest has brought; by arrival, as Prometheus counts, not by event time."""
        added = (more.total, more.bad, more.over, more.sum_u / MICRO)
        for counter, number in zip(self.slo_counters, added, strict=True):
            counter.labels(slo).inc(max(0, number))

    def know(self, slos: Iterable[str]) -> None:
        """These SLOs are configured now: their series exist, with 0, and no others do."""
        for series in (self.sli, self.budget_remaining, self.frozen, self.filling, self.burn):
            series.clear()
        for slo in slos:
            for counter in self.slo_counters:
                counter.labels(slo)
            for gauge in (self.sli, self.budget_remaining, self.frozen, self.filling):
                gauge.labels(slo)
            for severity in ("P1", "P2"):
                self.open_incidents.labels(slo, severity)
            for window in ("1h", "6h", "7d"):
                self.burn.labels(slo, window)
            for kind in ("trigger", "resolve"):
                self.incident_changes.labels(slo, kind)

    def _configuration(self) -> None:
        self.reload_success = Gauge(
            "burnrate_config_reload_success",
            "1 where the configuration in force is the one on disk, 0 where that was refused",
            registry=self.registry,
        )
        self.reload_success.set(1)
        self.reload_timestamp = Gauge(
            "burnrate_config_reload_timestamp_seconds",
            "When configuration was last taken over",
            registry=self.registry,
        )

    def _delivering(self) -> None:
        self.notifications = Counter(
            "burnrate_notifications",
            "Attempts to tell somebody, by outcome",
            ("destination", "outcome"),
            registry=self.registry,
        )
        self.refusals = Counter(
            "burnrate_notification_failures",
            "Attempts that were not accepted, by cause: a status, an error of Slack's, a time-out",
            ("destination", "cause"),
            registry=self.registry,
        )
        self.answer_seconds = Histogram(
            "burnrate_notification_seconds",
            "From a request to the destination's answer",
            ("destination",),
            buckets=ANSWER_BUCKETS_S,
            registry=self.registry,
        )
        self.unconfigured = Gauge(
            "burnrate_destination_unconfigured",
            "1 where a destination has no secret and is printed only",
            ("destination",),
            registry=self.registry,
        )
        self.broken = Gauge(
            "burnrate_destination_broken",
            "1 where a destination refused for good",
            ("destination",),
            registry=self.registry,
        )
        self.waiting = Gauge(
            "burnrate_notifications_waiting",
            "Notices that wait to be sent",
            ("destination",),
            registry=self.registry,
        )
        self.oldest_waiting = Gauge(
            "burnrate_notifications_oldest_seconds",
            "How long the oldest waiting notice has waited",
            ("destination",),
            registry=self.registry,
        )
        self.detection = Histogram(
            "burnrate_detection_seconds",
            "From the newest failing event to the answer of a destination that is told of it",
            buckets=DETECTION_BUCKETS_S,
            registry=self.registry,
        )
