"""The gauges of SLOs and incidents, set from what the mirror knows just before a scrape."""

from collections import Counter
from collections.abc import Iterable
from math import nan
from typing import Any

from prometheus_client import Gauge

from app.metrics import Metrics
from app.web.views import Document, Documents, known

_SEVERITIES = ("P1", "P2")


def show(metrics: Metrics, slos: Documents, incidents: Documents, order: Iterable[str]) -> None:
    """Set every gauge; where a figure is not known it is NaN, as Prometheus has it."""
    shown = known(slos, order)
    for name, slo in shown.items():
        _show_slo(metrics, name, slo)
    if "availability" in shown:
        day = shown["availability"]["windows"]["24h"]["value"]  # Kokino's gauge is over 24 hours
        metrics.availability.set(1.0 if day is None else day)
    if "latency" in shown:
        metrics.latency_p95.set(shown["latency"]["quantiles"].get("24h", {}).get("p95") or 0)
    _show_incidents(metrics.open_incidents, incidents, order)


def _show_slo(metrics: Metrics, name: str, slo: Document) -> None:
    metrics.sli.labels(name).set(_number(slo["headline"]["value"]))
    metrics.budget_remaining.labels(name).set(_number(slo["budget"]["remaining"]))
    metrics.frozen.labels(name).set(slo["frozen"])
    for window, rate in slo["burn"].items():
        metrics.burn.labels(name, window).set(_number(rate))


def _show_incidents(gauge: Gauge, incidents: Documents, order: Iterable[str]) -> None:
    found = Counter(
        (one["slo"], one["severity"]) for one in incidents.values() if one["state"] != "resolved"
    )
    gauge.clear()  # an SLO that is gone leaves nothing behind
    pairs = {*found, *((slo, severity) for slo in order for severity in _SEVERITIES)}
    for slo, severity in sorted(pairs):
        gauge.labels(slo, severity).set(found[slo, severity])


def _number(value: Any) -> float:  # noqa: ANN401 - a document's: a number, "inf" or None
    return nan if value is None else float(value)
