"""The Grafana dashboard asks only for metrics that the worker has."""

import json
import re
from pathlib import Path
from typing import Any

import yaml

from app.metrics import Metrics

GRAFANA = Path(__file__).parents[2] / "monitoring" / "grafana"
WANTED = {  # what on-call looks for
    "burnrate_slo_budget_remaining_ratio",
    "burnrate_slo_burn_rate",
    "burnrate_slo_frozen",
    "burnrate_incident_open",
    "burnrate_notifications_total",
    "burnrate_consumer_lag_seconds",
    "headless_availability",
    "headless_executions_total",
    "headless_latency_p95_ms",
}


def dashboard() -> dict[str, Any]:
    return json.loads((GRAFANA / "headless-dashboard.json").read_text(encoding="utf-8"))


def queries() -> list[str]:
    found = [t["expr"] for panel in dashboard()["panels"] for t in panel.get("targets", ())]
    return [*found, *(v["definition"] for v in dashboard()["templating"]["list"])]


def names() -> set[str]:
    return {name for query in queries() for name in re.findall(r"(?:headless|burnrate)_\w+", query)}


def known() -> set[str]:
    """Every series name of the registry, as Prometheus stores it."""
    suffixes = {"counter": ("_total",), "gauge": ("",), "histogram": ("_bucket", "_sum", "_count")}
    return {
        family.name + suffix
        for family in Metrics().registry.collect()
        for suffix in suffixes[family.type]
    }


def test_every_metric_it_asks_for_exists() -> None:
    assert names() - known() == set()


def test_it_shows_what_on_call_looks_for() -> None:
    assert WANTED - names() == set()


def test_panels_have_ids_of_their_own_and_do_not_overlap() -> None:
    panels = dashboard()["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    cells = [
        (x, y)
        for panel in panels
        for grid in [panel["gridPos"]]
        for x in range(grid["x"], grid["x"] + grid["w"])
        for y in range(grid["y"], grid["y"] + grid["h"])
    ]
    assert len(set(cells)) == len(cells)
    assert max(x for x, _ in cells) < 24


def test_every_panel_asks_the_provisioned_data_source() -> None:
    path = GRAFANA / "provisioning" / "datasources" / "prometheus.yml"
    (source,) = yaml.safe_load(path.read_text(encoding="utf-8"))["datasources"]
    asked = {p["datasource"]["uid"] for p in dashboard()["panels"] if p["type"] != "row"}
    assert asked == {source["uid"]}
