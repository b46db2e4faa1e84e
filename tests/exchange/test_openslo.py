"""OpenSLO: what goes out comes back, what comes from elsewhere is taken over or told."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from app import config
from app.config import Policy
from tests.core.policies import POLICY, ROOT

WILD = """
apiVersion: openslo/v1
kind: Service
metadata: {name: shop}
spec: {description: Sells things}
---
- apiVersion: openslo/v1
  kind: DataSource
  metadata: {name: metrics}
  spec: {type: Prometheus, connectionDetails: {url: "http://prometheus.example"}}
- apiVersion: openslo/v1
  kind: SLI
  metadata: {name: orders-sli}
  spec:
    ratioMetric:
      counter: true
      good: {metricSource: {metricSourceRef: metrics, type: Prometheus, spec: {query: good}}}
      total: {metricSource: {metricSourceRef: metrics, type: Prometheus, spec: {query: all}}}
---
apiVersion: openslo/v1
kind: SLO
metadata:
  name: orders
  displayName: Orders go through
  labels: {team: shop}
spec:
  service: shop
  indicatorRef: orders-sli
  timeWindow: [{duration: 4w, isRolling: true}]
  budgetingMethod: Occurrences
  objectives: [{displayName: most, target: 0.99, weight: 3}]
  alertPolicies: [fast, slow, gone]
---
apiVersion: openslo/v1
kind: AlertPolicy
metadata: {name: fast}
spec:
  alertWhenBreaching: true
  conditions: [{conditionRef: burns-fast}]
  notificationTargets: [{targetRef: on-call}, {targetRef: chat}]
---
apiVersion: openslo/v1
kind: AlertPolicy
metadata: {name: slow}
spec:
  alertWhenNoData: true
  conditions:
    - kind: AlertCondition
      metadata: {name: burns-slowly}
      spec:
        severity: ticket
        condition: {kind: burnrate, op: gte, threshold: 2, lookbackWindow: 6h, alertAfter: 15m}
  notificationTargets: [{targetRef: mail}]
---
apiVersion: openslo/v1
kind: AlertCondition
metadata: {name: burns-fast}
spec:
  severity: page
  condition: {kind: burnrate, op: gt, threshold: 14, lookbackWindow: 1h, alertAfter: 5m}
---
apiVersion: openslo/v1
kind: AlertNotificationTarget
metadata: {name: on-call}
spec: {target: pagerduty}
---
apiVersion: openslo/v1
kind: AlertNotificationTarget
metadata: {name: chat}
spec: {target: slack}
---
apiVersion: openslo/v1
kind: AlertNotificationTarget
metadata: {name: mail}
spec: {target: email}
"""

SIMPLE = """
apiVersion: openslo/v1
kind: SLO
metadata: {name: one}
spec:
  service: web
  indicator: {spec: {thresholdMetric: {metricSource: {type: Datadog, spec: {query: q}}}}}
  timeWindow: [{duration: 1M, isRolling: true}]
  budgetingMethod: Occurrences
  objectives: [{target: 0.98}]
"""


def burnrate(*words: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "app", *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)


def taken_over(folder: Path, text: str) -> tuple[Policy, list[dict[str, Any]]]:
    """The policy that was made of a file, and what was lost."""
    file, report = folder / "in.yaml", folder / "report.json"
    file.write_text(text)
    done = burnrate("import", "openslo", file, "--into", folder / "new", "--report", report)
    assert done.returncode == 0, done.stderr
    lost = json.loads(report.read_text())
    assert len(done.stderr.splitlines()) == len(lost)
    return config.load(folder / "new"), lost


def exported() -> str:
    return burnrate("export", "openslo").stdout


def test_what_was_exported_comes_back_as_it_was(tmp_path: Path) -> None:
    assert taken_over(tmp_path, exported()) == (POLICY, [])


def test_an_export_says_in_words_of_openslo_what_it_can() -> None:
    objects = list(yaml.safe_load_all(exported()))
    slo = next(o for o in objects if (o["kind"], o["metadata"]["name"]) == ("SLO", "availability"))
    assert slo["spec"]["objectives"] == [{"displayName": "Availability", "target": 0.995}]
    assert slo["spec"]["timeWindow"] == [{"duration": "30d", "isRolling": True}]
    conditions = {
        o["metadata"]["name"]: o["spec"]["conditions"][0]["spec"]["condition"]
        for o in objects
        if o["kind"] == "AlertPolicy"
    }
    rates = {name: (c["threshold"], c["lookbackWindow"]) for name, c in conditions.items()}
    assert rates["availability-fast-burn"] == (72.0, "1h")
    assert rates["availability-breach"] == (2.0, "1h")
    assert rates["latency-slow-burn"] == (pytest.approx(0.5 * 30 / 7), "7d")
    assert "latency-breach" not in rates
    assert {"openslo/v1"} == {o["apiVersion"] for o in objects}


def test_what_an_export_cannot_say_is_told(tmp_path: Path) -> None:
    report = tmp_path / "report.json"
    done = burnrate("export", "openslo", "--out", tmp_path / "o.yaml", "--report", report)
    lost = {(one["where"], one["then"]) for one in json.loads(report.read_text())}
    assert ("latency: breach", "kept apart") in lost
    assert ("availability: escalation", "kept apart") in lost
    assert ("availability: burn", "approximated") in lost
    assert len(done.stderr.splitlines()) == len(json.loads(report.read_text()))


def test_what_is_no_utf_8_is_told_with_its_line(tmp_path: Path) -> None:
    file = tmp_path / "latin.yaml"
    file.write_bytes(WILD.encode() + b"---\nname: caf\xe9\n")
    done = burnrate("import", "openslo", file)
    line = WILD.count("\n") + 2
    assert (done.returncode, done.stderr) == (
        1, f"error: {file}:{line}: no UTF-8: invalid continuation byte\n",
    )  # fmt: skip


def test_what_was_changed_in_an_export_is_taken_over(tmp_path: Path) -> None:
    text = exported().replace("target: 0.995", "target: 0.999")
    text = text.replace("threshold: 72.0", "threshold: 36.0", 1)
    policy, _ = taken_over(tmp_path, text)
    slo = policy.slos["availability"]
    assert (slo.objective, slo.headline.target) == (0.999, 0.999)
    assert slo.breach.threshold == pytest.approx(1 - 2 * 0.001)
    assert next(rule.consumed for rule in slo.burns if rule.id == "fast-burn") == 0.05


@pytest.mark.parametrize("by", [{"cli_type": ["codex", "gemini"]}, "cli_type"])
def test_groups_and_presets_come_back_as_they_were(tmp_path: Path, by: object) -> None:
    slos = yaml.safe_load((ROOT / "config/slos.yaml").read_text())
    slos["slos"][0] |= {"by": by, "preset": "google-30d"}
    (tmp_path / "old").mkdir()
    (tmp_path / "old/slos.yaml").write_text(yaml.safe_dump(slos))
    owners = (ROOT / "config/ownership.yaml").read_text()
    row = '"availability:codex": {owner: "@ops-team", channel: "#ops-alerts"}'
    text = owners.replace("routes:\n", f"routes:\n  {row}\n")
    (tmp_path / "old/ownership.yaml").write_text(text)
    done = burnrate("export", "openslo", "--config", tmp_path / "old")
    assert "kept apart: availability: by: a group of its own" in done.stderr
    assert "kept apart: availability: burn: a condition has one window" in done.stderr
    assert taken_over(tmp_path, done.stdout) == (config.load(tmp_path / "old"), [])
    rules = burnrate("export", "prometheus", "--config", tmp_path / "old", "--out", tmp_path / "r")
    assert rules.returncode == 0
    rows = [line for line in rules.stderr.splitlines() if ": route: rules are for all" in line]
    assert len(rows) == (by == "cli_type")  # of codex
    assert (
        subprocess.run(["promtool", "check", "rules", tmp_path / "r"], check=False).returncode == 0
    )


def test_a_file_from_elsewhere_becomes_a_policy(tmp_path: Path) -> None:
    policy, lost = taken_over(tmp_path, WILD)
    slo, route = policy.slos["orders"], policy.ownership.routes["orders"]
    assert (slo.title, slo.objective, slo.period_s) == ("Orders go through", 0.99, 28 * 86_400)
    assert (slo.breach.threshold, slo.breach.window_s) == (pytest.approx(1 - 14 * 0.01), 3600)
    assert (slo.breach.severity, slo.breach.for_s, slo.breach.min_bad) == ("P1", 300, 0)
    assert [(r.id, r.severity, r.rate, r.window_s, r.for_s) for r in slo.burns] == [
        ("slow", "P2", 2, 6 * 3600, 900)
    ]
    assert (route.owner, route.channel) == ("@on-call", "#chat")
    told = {one["where"]: (one["then"], one["what"]) for one in lost}
    assert told == {
        "DataSource metrics": ("left out", "this program has its own source"),
        "SLO orders: spec.objectives.0.weight": ("left out", "is not read"),
        "SLO orders: metadata: labels": ("left out", "has no place here"),
        "SLO orders: alertPolicies": ("left out", "gone is not in the file"),
        "SLO orders: indicator": (
            "approximated",
            (
                "a query of Prometheus cannot be asked here: events named ORDERS_GOOD and "
                "ORDERS_BAD are counted instead; send these to kokino.events, or write `counts`"
            ),
        ),
        "SLO orders: AlertPolicy slow": (
            "approximated",
            "gte: here a burn rate is above its threshold",
        ),
        "SLO orders: AlertNotificationTarget mail": (
            "left out",
            "email is none of slack and pagerduty",
        ),
    }
    assert "alertWhenNoData: write absent_for" in [one["what"] for one in lost]


def test_an_imported_policy_is_sound(tmp_path: Path) -> None:
    taken_over(tmp_path, WILD)
    assert burnrate("check", tmp_path / "new").returncode == 0


@pytest.mark.parametrize(
    ("change", "where", "what"),
    [
        (("1M", "1Y"), "timeWindow", "1Y is 30 days here"),
        (("isRolling: true", "isRolling: false"), "timeWindow", "is a calendar's"),
        (("Occurrences", "Timeslices"), "budgetingMethod", "Timeslices: events are counted here"),
        (("", ""), "alertPolicies", "a P2 below the objective"),
        (("[{target: 0.98}]", "[{target: 0.98, op: lte, value: 5}]"), "indicator", "value 5.0"),
        (("indicator:", "indicatorRef: x\n  other:"), "indicatorRef", "x is not in the file"),
    ],
)
def test_what_cannot_be_said_is_told(
    tmp_path: Path, change: tuple[str, str], where: str, what: str
) -> None:
    _, lost = taken_over(tmp_path, SIMPLE.replace(*change))
    assert [one for one in lost if where in one["where"] and what in one["what"]]


def test_each_objective_becomes_an_slo(tmp_path: Path) -> None:
    two = "[{displayName: a, target: 0.98}, {displayName: b, targetPercent: 99.5}]"
    policy, _ = taken_over(tmp_path, SIMPLE.replace("[{target: 0.98}]", two))
    assert {slo.id: (slo.title, slo.objective) for slo in policy.slos.values()} == {
        "one-1": ("one: a", 0.98),
        "one-2": ("one: b", 0.995),
    }


def test_merged_keys_are_read(tmp_path: Path) -> None:
    shared = SIMPLE.replace("{name: one}", "{<<: {name: one}}")
    policy, _ = taken_over(tmp_path, shared)
    assert list(policy.slos) == ["one"]


def test_keys_without_a_value_are_not_there(tmp_path: Path) -> None:
    policy, _ = taken_over(tmp_path, SIMPLE + "  alertPolicies:\n  description:\n")
    assert list(policy.slos) == ["one"]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "holds no OpenSLO object"),
        ("---\n---\n", "holds no OpenSLO object"),
        ("[", "not YAML"),
        ("17", "no OpenSLO object: it has no kind"),
        ("a: &a [*a]", "in.yaml:1: not YAML: an anchor within itself"),
        ("a: 1\na: 2", "in.yaml:2: not YAML: 'a' stands twice"),
        ("- {kind: SLO}\n- 17", "in.yaml:2: no OpenSLO object"),
        ("\nkind: " + "9" * 5000, "in.yaml:2: not YAML: '99999"),
        ("[" * 3000, "in.yaml:1: not YAML: nested too deeply"),
        ("kind: SLO", "apiVersion is None; only openslo/v1 is read"),
        (SIMPLE.replace("openslo/v1", "openslo/v1alpha"), "apiVersion is 'openslo/v1alpha'"),
        (SIMPLE.replace("kind: SLO", "kind: Pod"), "kind 'Pod' is none of"),
        (SIMPLE.replace("0.98", "1.7"), "SLO one: spec.objectives.0.target: Input should be less"),
        (SIMPLE.replace("{target: 0.98}", "{value: 1}"), "neither target nor targetPercent"),
        (SIMPLE.replace("1M", "soon"), "spec.timeWindow.0.duration"),
        (SIMPLE.replace("kind: SLO", "kind: Service"), "holds no SLO: there is nothing to import"),
        (SIMPLE.replace("{name: one}", "one"), "SLO : metadata"),
        (
            SIMPLE.replace("{name: one}", "{name: one, annotations: {burnrate/slo: '{'}}"),
            "annotation burnrate/slo",
        ),
        (
            SIMPLE.replace("{name: one}", "{name: one, annotations: {burnrate/slo: '{}'}}"),
            "annotation burnrate/slo",
        ),
    ],
)
def test_a_file_that_is_none_is_said(tmp_path: Path, text: str, why: str) -> None:
    file = tmp_path / "in.yaml"
    file.write_text(text)
    done = burnrate("import", "openslo", file)
    assert done.returncode == 1
    assert done.stderr.startswith("error: ")
    assert why in done.stderr
    assert "Traceback" not in done.stderr


def test_files_that_are_there_stay(tmp_path: Path) -> None:
    (tmp_path / "in.yaml").write_text(SIMPLE)
    (tmp_path / "slos.yaml").write_text("mine")
    done = burnrate("import", "openslo", tmp_path / "in.yaml", "--into", tmp_path)
    assert (done.returncode, (tmp_path / "slos.yaml").read_text()) == (1, "mine")
    assert "is there already" in done.stderr


def test_without_a_folder_both_files_are_printed(tmp_path: Path) -> None:
    (tmp_path / "in.yaml").write_text(SIMPLE)
    done = burnrate("import", "openslo", tmp_path / "in.yaml")
    slos, ownership = yaml.safe_load_all(done.stdout)
    assert ([slo["id"] for slo in slos["slos"]], list(ownership["routes"])) == (
        ["one"],
        ["one", "alerter"],
    )
