"""OpenSLO v1 into a policy of this program. What cannot be taken over is told, not dropped."""

import copy
import re
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from app.config.slo_entries import PRESETS
from app.core import budgets
from app.errors import UserError
from app.exchange.losses import Loss
from app.exchange.openslo import (
    OURS,
    AlertCondition,
    AlertPolicy,
    AlertPolicyRef,
    ConditionRef,
    Indicator,
    Objective,
    ServiceObject,
    SloObject,
    Target,
    TargetRef,
)
from app.exchange.openslo_reading import Objects, read

Document = dict[str, Any]

LONGEST_S = 30 * 86_400
ALERTER = {"owner": "@ops-team", "channel": "#ops-alerts"}

_UNITS_S = {"m": 60, "h": 3600, "d": 86_400, "w": 604_800, "M": 30 * 86_400}
_URGENT = {"page", "critical", "p1", "high", "sev1"}


class Imported(NamedTuple):
    """The two files of a configuration, and what did not come along."""

    slos: Document
    ownership: Document
    losses: list[Loss]


class _Measured(msgspec.Struct):
    kind: str = ""
    measure: str = ""
    target: float = 0.0


class _SloShape(msgspec.Struct):
    """As much of an exported entry as is looked into here; the rest is checked as a policy."""

    objective: float
    headline: _Measured
    breach: _Measured
    burn: dict[str, Document] = {}


class _Step(msgspec.Struct):
    to: str | list[str]


class _RouteShape(msgspec.Struct):
    owner: str
    channel: str
    escalation: list[_Step] = []


class _OwnershipShape(msgspec.Struct):
    routes: dict[str, _RouteShape]
    owners: dict[str, Document] = {}


class _DefaultsShape(msgspec.Struct):
    burn: dict[str, Document] = {}


_SHAPES = {
    "slo": _SloShape,
    "route": _RouteShape,
    "ownership": _OwnershipShape,
    "defaults": _DefaultsShape,
}


def imported(path: Path) -> Imported:
    """An OpenSLO file as a policy; raises UserError with everything that is wrong with it."""
    objects = read(path)
    found = objects.all_of(SloObject)
    if not found:
        raise UserError(f"{path} holds no SLO: there is nothing to import")
    slos: list[Document] = []
    routes: dict[str, Document] = {}
    for slo in found:
        for entry, route in _entries(slo, objects):
            slos.append(entry)
            routes[entry["id"]] = route
    ours = _ours(objects)
    ownership = ours.get("ownership", {"routes": {}})
    routes |= {name: row for name, row in ownership["routes"].items() if name not in routes}
    routes.setdefault("alerter", dict(ALERTER))
    owners: Document = {owner: {} for route in routes.values() for owner in _owners(route)}
    ownership |= {"owners": owners | ownership.get("owners", {}), "routes": routes}
    defaults = {"defaults": ours["defaults"]} if ours.get("defaults") else {}
    return Imported(defaults | {"slos": slos}, ownership, objects.losses)


def _ours(objects: Objects) -> Document:
    """What an export of this program has put into annotations."""
    found: Document = {}
    for service in objects.all_of(ServiceObject):
        found |= _annotated(f"Service {service.metadata.name}", service.metadata.annotations)
    return found


def _annotated(where: str, annotations: dict[str, str]) -> Document:
    found: Document = {}
    for name, text in annotations.items():
        if name.startswith(OURS):
            own = name.removeprefix(OURS)
            try:
                found[own] = msgspec.json.decode(text, type=Document)
                msgspec.convert(found[own], _SHAPES.get(own, Document))
            except msgspec.MsgspecError as error:
                raise UserError(f"{where}: annotation {name}: {error}") from error
    return found


def _owners(route: Document) -> Iterator[str]:
    yield route["owner"]
    for step in route.get("escalation", ()):
        to = step["to"]
        yield from [to] if isinstance(to, str) else to


def _entries(slo: SloObject, objects: Objects) -> Iterator[tuple[Document, Document]]:
    """An entry and a route for each objective."""
    where = f"SLO {slo.metadata.name}"
    ours = _annotated(where, slo.metadata.annotations)
    foreign = [name for name in slo.metadata.annotations if not name.startswith(OURS)]
    for name in [*foreign, *(["labels"] if slo.metadata.labels else [])]:
        objects.lose(f"{where}: metadata: {name}", "has no place here", "left out")
    policies = list(_policies(slo, objects))
    for number, objective in enumerate(slo.spec.objectives):
        target = _target(where, objective)
        made = _Entry(slo, objective, number, target, policies, objects)
        if "slo" in ours:
            yield made.restored(ours["slo"], _ours(objects)), ours.get("route") or made.route()
        else:
            yield made.new(), made.route()


def _target(where: str, objective: Objective) -> float:
    if objective.target is not None:
        return objective.target
    if objective.targetPercent is not None:
        return float(Decimal(str(objective.targetPercent)) / 100)
    raise UserError(f"{where}: an objective has neither target nor targetPercent")


def _policies(slo: SloObject, objects: Objects) -> Iterator[AlertPolicy]:
    where = f"SLO {slo.metadata.name}: alertPolicies"
    for one in slo.spec.alertPolicies:
        if isinstance(one, AlertPolicy):
            yield one
            continue
        name = one.alertPolicyRef if isinstance(one, AlertPolicyRef) else one
        found = objects.get("AlertPolicy", name, AlertPolicy)
        if found is None:
            objects.lose(where, f"{name} is not in the file", "left out")
        else:
            yield found


class _Rule(NamedTuple):
    """A burn rate over a window."""

    name: str
    rate: float
    window_s: int
    for_s: int
    severity: str


class _Entry:
    """One objective of an SLO on its way into a policy."""

    def __init__(
        self,
        slo: SloObject,
        objective: Objective,
        number: int,
        target: float,
        policies: list[AlertPolicy],
        objects: Objects,
    ) -> None:
        self._slo, self._spec, self._objective = slo, slo.spec, objective
        self._target, self._policies, self._objects = target, policies, objects
        self._exported = f"{OURS}slo" in slo.metadata.annotations
        several = len(slo.spec.objectives) > 1
        self.id = _id(f"{slo.metadata.name}-{number + 1}" if several else slo.metadata.name)
        named = slo.metadata.displayName or slo.metadata.name
        self.title = f"{named}: {objective.displayName or number + 1}" if several else named

    def _lose(self, what: str, why: str, then: str = "approximated") -> None:
        self._objects.lose(f"SLO {self._slo.metadata.name}: {what}", why, then)

    def new(self) -> Document:
        """From OpenSLO alone."""
        period_s = self._period_s()
        self._note_method()
        rules = [rule for policy in self._policies for rule in self._rules(policy)]
        entry: Document = {
            "id": self.id,
            "title": self.title,
            "objective": self._target,
            "period": _duration(period_s),
            "basis": "time",
            "min_allowed_bad": 0,
            "counts": self._counts(),
            "headline": {
                "kind": "ratio",
                "target": self._target,
                "window": _duration(period_s),
                "unit": "ratio",
            },
            "breach": self._breach(rules[0] if rules else None, period_s),
        }
        if burns := self._burns(rules[1:]):
            entry["burn"] = burns
        return entry

    def restored(self, entry: Document, ours: Document) -> Document:
        """What this program has exported; fields that OpenSLO has are taken from there."""
        entry = copy.deepcopy(entry)
        period_s, before = self._period_s(), entry["objective"]
        defaults = ours.get("defaults", {})
        if before != self._target:
            entry["objective"] = self._target
            if (
                entry["headline"].get("target") == before
                and entry["headline"].get("kind") == "ratio"
            ):
                entry["headline"]["target"] = self._target
        if _duration(period_s) != entry.get("period", defaults.get("period", "30d")):
            entry["period"] = _duration(period_s)
        entry |= {"id": self.id, "title": self.title}
        burns = _burns_of(entry, defaults)
        for policy in self._policies:
            for rule in self._rules(policy):
                self._restore(entry, burns, rule, period_s)
        return entry

    def _restore(self, entry: Document, burns: Document, rule: _Rule, period_s: int) -> None:
        """A condition that was changed outside of this program."""
        name = rule.name.removeprefix(f"{self.id}-")
        timing = {"window": _duration(rule.window_s), "severity": rule.severity}
        if rule.for_s:
            timing["for"] = _duration(rule.for_s)
        if name == "breach" and entry["breach"].get("measure") == "ratio":
            share = 1 - rule.rate * budgets.error_ratio(self._target)
            known, field = entry["breach"], {"threshold": _rounded(share)}
        elif name in burns:
            spent = _rounded(rule.rate * rule.window_s / period_s)
            known = burns[name]
            field = {"rate": rule.rate} if known.get("rate") else {"consumed": spent}
        else:
            self._lose(f"AlertPolicy {rule.name}", "is not one that was exported", "left out")
            return
        changed = {k: v for k, v in (timing | field).items() if not _alike(known.get(k), v)}
        if changed and name == "breach":
            entry["breach"] = known | changed
        elif changed:
            entry["burn"] = entry.get("burn", {}) | {name: known | changed}

    def _period_s(self) -> int:
        windows = self._spec.timeWindow
        if not windows:
            self._lose("timeWindow", "is not given: 30 days")
            return LONGEST_S
        window = windows[0]
        if not window.isRolling:
            self._lose("timeWindow", "is a calendar's; here periods roll")
        number, unit = int(window.duration[:-1]), window.duration[-1]
        seconds = number * _UNITS_S.get(unit, LONGEST_S + 1)
        if unit == "M" or seconds > LONGEST_S:
            self._lose("timeWindow", f"{window.duration} is 30 days here")
        return min(seconds, LONGEST_S)

    def _note_method(self) -> None:
        if self._spec.budgetingMethod != "Occurrences":
            self._lose("budgetingMethod", f"{self._spec.budgetingMethod}: events are counted here")

    def _counts(self) -> list[Document]:
        """Clauses where the indicator has any; else events to be sent under names of their own."""
        indicator = self._indicator()
        ratio = indicator.spec.ratioMetric if indicator else None
        for metric in (ratio.total, ratio.bad, ratio.good) if ratio else ():
            if metric is not None and isinstance(metric.metricSource.spec.get("counts"), list):
                counts: list[Document] = metric.metricSource.spec["counts"]
                return counts
        stem = re.sub(r"[^A-Z0-9]+", "_", self.id.upper())
        threshold = f" (op {self._objective.op}, value {self._objective.value})"
        self._lose(
            "indicator",
            f"{_source(indicator)} cannot be asked here: events named {stem}_GOOD and {stem}_BAD "
            f"are counted instead{threshold if self._objective.value is not None else ''}; send "
            "these to kokino.events, or write `counts`",
        )
        return [{"event": f"{stem}_GOOD"}, {"event": f"{stem}_BAD", "bad_when": "always"}]

    def _indicator(self) -> Indicator | None:
        name = self._spec.indicatorRef
        if self._spec.indicator is not None or name is None:
            return self._spec.indicator
        found = self._objects.get("SLI", name, Indicator)
        if found is None:
            self._lose("indicatorRef", f"{name} is not in the file", "left out")
        return found

    def _rules(self, policy: AlertPolicy) -> Iterator[_Rule]:
        where = f"AlertPolicy {policy.metadata.name}"
        if policy.spec.alertWhenNoData:
            self._lose(where, "alertWhenNoData: write absent_for", "left out")
        if not policy.spec.alertWhenResolved:
            self._lose(where, "alertWhenResolved is false: resolves are always told")
        for one in policy.spec.conditions:
            condition = self._condition(one, where)
            if condition is not None and (rule := self._rule(policy, condition, where)):
                yield rule

    def _condition(self, one: ConditionRef | AlertCondition, where: str) -> AlertCondition | None:
        if isinstance(one, AlertCondition):
            return one
        found = self._objects.get("AlertCondition", one.conditionRef, AlertCondition)
        if found is None:
            self._lose(where, f"AlertCondition {one.conditionRef} is not in the file", "left out")
        return found

    def _rule(self, policy: AlertPolicy, found: AlertCondition, where: str) -> _Rule | None:
        condition, most = found.spec.condition, budgets.error_ratio(self._target)
        if condition.kind != "burnrate":
            self._lose(where, f"a condition of the kind {condition.kind}", "left out")
            return None
        if condition.op not in ("gt", "gte"):
            self._lose(where, f"a burn rate that is {condition.op} a threshold", "left out")
            return None
        if condition.op == "gte":
            self._lose(where, "gte: here a burn rate is above its threshold")
        if not self._exported and (not most or condition.threshold * most >= 1):
            self._lose(where, "no burn rate is ever above this threshold", "left out")
            return None
        window_s = self._span_s(condition.lookbackWindow, where, "lookbackWindow")
        for_s = self._span_s(condition.alertAfter, where, "alertAfter")
        if window_s is None or not 10 <= window_s <= LONGEST_S or window_s % 10:
            self._lose(where, f"lookbackWindow {condition.lookbackWindow}: 30d at most", "left out")
            return None
        severity = "P1" if found.spec.severity.lower() in _URGENT else "P2"
        name = policy.metadata.name
        return _Rule(name, condition.threshold, window_s, for_s or 0, severity)

    def _span_s(self, text: str, where: str, field: str) -> int | None:
        match = re.fullmatch(r"(\d+)([smhdw])", text)
        if match is None:
            self._lose(where, f"{field} {text!r} is no duration", "left out")
            return None
        return int(match[1]) * ({"s": 1} | _UNITS_S)[match[2]]

    def _breach(self, rule: _Rule | None, period_s: int) -> Document:
        """A burn rate is a share of good events: without guards it is the same comparison."""
        if rule is None:
            self._lose("alertPolicies", "none that can be judged: a P2 below the objective")
            rule = _Rule("", 1.0, period_s, 0, "P2")
        share = 1 - rule.rate * budgets.error_ratio(self._target)
        breach: Document = {
            "measure": "ratio",
            "threshold": _rounded(share),
            "window": _duration(rule.window_s),
            "severity": rule.severity,
            "min_bad": 0,
            "confidence": 0.5,
        }
        return breach | ({"for": _duration(rule.for_s)} if rule.for_s else {})

    def _burns(self, rules: list[_Rule]) -> Document:
        burns: Document = {}
        for rule in rules:
            burns[_rule_id(rule.name, burns)] = {
                "rate": rule.rate,
                "window": _duration(rule.window_s),
                "severity": rule.severity,
                "min_bad": 0,
            } | ({"for": _duration(rule.for_s)} if rule.for_s else {})
        return burns

    def route(self) -> Document:
        """Who is told, by the notification targets of all policies."""
        service = _id(self._spec.service or "slo")
        found = {"owner": f"@{service}-team", "channel": f"#{service}-alerts"}
        for target in self._targets():
            kind, name = target.spec.target.lower(), _id(target.metadata.name)
            if kind == "slack":
                found["channel"] = f"#{name}"
            elif kind == "pagerduty":
                found["owner"] = f"@{name}"
            else:
                where = f"AlertNotificationTarget {target.metadata.name}"
                self._lose(where, f"{kind} is none of slack and pagerduty", "left out")
        return found

    def _targets(self) -> Iterator[Target]:
        for policy in self._policies:
            for one in policy.spec.notificationTargets:
                if isinstance(one, Target):
                    yield one
                    continue
                found = self._named(one, policy)
                if found is not None:
                    yield found

    def _named(self, one: TargetRef, policy: AlertPolicy) -> Target | None:
        found = self._objects.get("AlertNotificationTarget", one.targetRef, Target)
        if found is None:
            where = f"AlertPolicy {policy.metadata.name}"
            self._lose(
                where, f"AlertNotificationTarget {one.targetRef} is not in the file", "left out"
            )
        return found


def _burns_of(entry: Document, defaults: Document) -> Document:
    """An exported entry's burn rules, as it writes them or its preset has them."""
    preset = entry.get("preset") or defaults.get("preset")
    found: Document = {}
    for name, rule in PRESETS.get(preset, {}).items() if isinstance(preset, str) else ():
        found[name] = {
            "rate": rule.rate,
            "window": _duration(rule.window),
            "short_window": _duration(rule.short_window or rule.window),
            "severity": rule.severity,
        }
    shared: Document = {} if entry.get("preset") else defaults.get("burn", {})
    own: Document = entry.get("burn", {})
    return found | shared | own


def _rule_id(name: str, taken: Document) -> str:
    """A rule's name that no other has."""
    stem = re.sub(r"^[^a-z]+", "", _id(name))[:36] or "burn"
    names = (stem if number == 1 else f"{stem}-{number}" for number in range(1, 1000))
    return next(one for one in names if one not in taken and one != "breach")


def _id(name: str) -> str:
    """An SLO's id, an owner's or a channel's name."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:60].strip("-") or "slo"


def _source(indicator: Indicator | None) -> str:
    """What an indicator asks, in a word."""
    if indicator is None:
        return "an indicator that is not there"
    ratio, spec = indicator.spec.ratioMetric, indicator.spec
    metrics = (ratio.total, ratio.good, ratio.bad, ratio.raw) if ratio else ()
    found = next((m for m in (*metrics, spec.thresholdMetric) if m is not None), None)
    kind = found.metricSource.type or found.metricSource.metricSourceRef if found else None
    return f"a query of {kind}" if kind else "its metric"


def _rounded(number: float) -> float:
    return float(f"{number:.10g}")


def _alike(one: object, other: object) -> bool:
    if isinstance(one, int | float) and isinstance(other, int | float):
        return abs(one - other) <= 1e-8 * abs(one)
    return one == other


def _duration(seconds: int) -> str:
    unit, size_s = next(
        (u, s) for u, s in (("d", 86_400), ("h", 3600), ("m", 60), ("s", 1)) if seconds % s == 0
    )
    return f"{seconds // size_s}{unit}"
