"""A policy as OpenSLO v1 objects. What it has no word for rides in annotations, and is told."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import yaml
from msgspec.structs import replace

from app import config
from app.config import Policy
from app.core import budgets
from app.core.slos import BreachRule, BurnRule, Slo, family_of
from app.exchange.losses import Loss
from app.exchange.openslo import OURS, VERSION
from app.exchange.prometheus import duration
from app.exchange.writing import yaml_of

SERVICE, SOURCE = "kokino-headless", "kokino-events"

Document = dict[str, Any]

_SEVERITIES = {"P1": "page", "P2": "ticket"}


def documents_of(config_dir: Path) -> tuple[str, list[Loss]]:
    """The objects, one a YAML document, and what only this program reads of them."""
    policy = config.load(config_dir)
    slos, ownership = (_written(config_dir / name) for name in ("slos.yaml", "ownership.yaml"))
    documents = list(_documents(policy, slos, ownership))
    shown = [(slo, entry) for entry in slos["slos"] if (slo := _shown(policy, entry))]
    losses = [loss for slo, entry in shown for loss in _losses(slo, entry, ownership)]
    return yaml_of(*documents), losses


def _written(path: Path) -> Document:
    """A file of the configuration as it stands there; it was checked before."""
    found: Document = yaml.safe_load(path.read_text(encoding="utf-8"))
    return found


def _documents(policy: Policy, slos: Document, ownership: Document) -> Iterator[Document]:
    routes = ownership["routes"]
    apart = {key: value for key, value in ownership.items() if key != "routes"}
    known = {entry["id"] for entry in slos["slos"]}
    others = {name: row for name, row in routes.items() if name not in known}
    yield _object(
        "Service",
        SERVICE,
        "Kokino's headless executions",
        {"description": "AI coding agents that run without a terminal"},
        {
            "defaults": slos.get("defaults", {}),
            "ownership": apart | {"routes": others},
        },
    )
    details = {"topic": "kokino.events"}
    yield _object("DataSource", SOURCE, None, {"type": "burnrate", "connectionDetails": details})
    yield from _targets(policy)
    for entry in slos["slos"]:
        slo = _shown(policy, entry)
        if slo is not None:
            yield from _slo(slo, entry, routes[slo.id])


def _shown(policy: Policy, entry: Document) -> Slo | None:
    """The entry's SLO; of one with groups, which are alike but for what they count, the whole."""
    found = (slo for slo in policy.slos.values() if family_of(slo.id) == entry["id"])
    one = next(found, None)
    return None if one is None else replace(one, id=entry["id"], title=entry["title"])


def _object(
    kind: str, name: str, title: str | None, spec: Document, ours: Document | None = None
) -> Document:
    metadata: Document = {"name": name}
    if title:
        metadata["displayName"] = title
    if ours:
        metadata["annotations"] = {f"{OURS}{key}": _json(value) for key, value in ours.items()}
    return {"apiVersion": VERSION, "kind": kind, "metadata": metadata, "spec": spec}


def _json(value: object) -> str:
    return msgspec.json.encode(value).decode()


def _targets(policy: Policy) -> Iterator[Document]:
    routes = policy.ownership.routes.values()
    for channel in dict.fromkeys(route.channel for route in routes):
        spec = {"description": f"Slack, {channel}", "target": "slack"}
        yield _object("AlertNotificationTarget", _slack(channel), channel, spec)
    for owner in dict.fromkeys(route.owner for route in routes):
        spec = {"description": f"PagerDuty, {owner}", "target": "pagerduty"}
        yield _object("AlertNotificationTarget", _pager(owner), owner, spec)


def _slack(channel: str) -> str:
    return f"slack-{_name(channel)}"


def _pager(owner: str) -> str:
    return f"pagerduty-{_name(owner)}"


def _name(text: str) -> str:
    """A name as DNS has them, which OpenSLO asks for."""
    return text.strip("@#").lower().replace("_", "-").replace(".", "-")


def _slo(slo: Slo, entry: Document, route: Document) -> Iterator[Document]:
    rules = [(rule, rate) for rule in slo.rules if (rate := burn_rate(slo, rule)) is not None]
    spec = {
        "description": f"{slo.objective:.10g} of what is counted is good",
        "service": SERVICE,
        "indicator": {
            "metadata": {"name": f"{slo.id}-sli"},
            "spec": {"ratioMetric": _ratio(entry)},
        },
        "timeWindow": [{"duration": duration(slo.period_s), "isRolling": True}],
        "budgetingMethod": "Occurrences",
        "objectives": [{"displayName": slo.title, "target": slo.objective}],
        "alertPolicies": [f"{slo.id}-{rule.id}" for rule, _ in rules],
    }
    yield _object("SLO", slo.id, slo.title, spec, {"slo": entry, "route": route})
    for rule, rate in rules:
        yield _alert(slo, rule, rate, route)


def _ratio(entry: Document) -> Document:
    """Bad events of all; both are said by the same clauses."""
    counts = {"counts": entry["counts"]}
    source = {"metricSourceRef": SOURCE, "type": "burnrate"}
    return {
        "counter": True,
        "bad": {"metricSource": source | {"spec": counts | {"take": "bad"}}},
        "total": {"metricSource": source | {"spec": counts | {"take": "all"}}},
    }


def burn_rate(slo: Slo, rule: BreachRule | BurnRule) -> float | None:
    """The burn rate above which a rule fires; None where it asks for something else."""
    ratio = budgets.error_ratio(slo.objective)
    if isinstance(rule, BurnRule) and rule.rate is not None:
        return rule.rate
    if isinstance(rule, BurnRule):
        return rule.consumed * slo.period_s / rule.window_s
    if rule.measure != "ratio" or not ratio:
        return None
    return budgets.error_ratio(rule.threshold) / ratio


def _alert(slo: Slo, rule: BreachRule | BurnRule, rate: float, route: Document) -> Document:
    targets = [_slack(route["channel"])]
    if rule.severity == "P1" or route.get("page_p2"):
        targets.append(_pager(route["owner"]))
    condition = {
        "kind": "AlertCondition",
        "metadata": {"name": f"{slo.id}-{rule.id}-condition"},
        "spec": {
            "severity": _SEVERITIES[rule.severity],
            "condition": {
                "kind": "burnrate",
                "op": "gt",
                "threshold": float(f"{rate:.10g}"),
                "lookbackWindow": duration(rule.window_s),
                "alertAfter": duration(rule.for_s) if rule.for_s else "0m",
            },
        },
    }
    spec = {
        "alertWhenNoData": False,
        "alertWhenResolved": True,
        "alertWhenBreaching": True,
        "conditions": [condition],
        "notificationTargets": [{"targetRef": name} for name in targets],
    }
    return _object("AlertPolicy", f"{slo.id}-{rule.id}", f"{slo.title}: {rule.id}", spec)


def _losses(slo: Slo, entry: Document, ownership: Document) -> Iterator[Loss]:
    def apart(where: str, what: str) -> Loss:
        return Loss(where=f"{slo.id}: {where}", what=what, then="kept apart")

    yield apart("counts", "OpenSLO has queries; the clauses stand in the metric sources' spec")
    yield apart("rules", "evidence guards, keep_firing_for, stale, reopen and repage have no word")
    if burn_rate(slo, slo.breach) is None:
        yield apart("breach", f"OpenSLO alerts on burn rates only, not on a {slo.breach.measure}")
    if slo.basis == "events" and any(rule.rate is None for rule in slo.burns):
        yield Loss(
            where=f"{slo.id}: burn",
            what="a share of the budget, counted in events, is said as a burn rate: the same where "
            "traffic is even",
            then="approximated",
        )
    if slo.freeze is not None:
        yield apart("freeze", "that an exhausted budget freezes deployments has no word")
    if slo.headline.kind != "ratio":
        yield apart("headline", f"a {slo.headline.kind} and its target have no word")
    if "by" in entry:
        yield apart("by", "a group of its own for each value has no word")
    if any(rule.short_window_s for rule in slo.burns):
        yield apart("burn", "a condition has one window; the short ones have no word")
    if ownership["routes"][slo.id].get("escalation"):
        yield apart("escalation", "steps, their times and conditions have no word")
