"""What an OpenSLO file alerts on, and who is told: policies, conditions, targets of one SLO."""

import re
from collections.abc import Iterator
from typing import Any, NamedTuple

from app.core import budgets
from app.exchange.openslo import (
    AlertCondition,
    AlertPolicy,
    AlertPolicyRef,
    ConditionRef,
    SloObject,
    Target,
    TargetRef,
)
from app.exchange.openslo_reading import Objects

LONGEST_S = 30 * 86_400
UNITS_S = {"m": 60, "h": 3600, "d": 86_400, "w": 604_800, "M": 30 * 86_400}

_URGENT = {"page", "critical", "p1", "high", "sev1"}


class Rule(NamedTuple):
    """A burn rate over a window."""

    name: str
    rate: float
    window_s: int
    for_s: int
    severity: str


class Alerts:
    """All alert policies of an SLO; `exported`: this program has written them."""

    def __init__(self, slo: SloObject, objects: Objects, *, exported: bool) -> None:
        self._slo, self._objects, self._exported = slo, objects, exported
        self._policies = list(_policies(slo, objects))

    def _lose(self, what: str, why: str, then: str = "approximated") -> None:
        self._objects.lose(f"SLO {self._slo.metadata.name}: {what}", why, then)

    def rules(self, target: float) -> Iterator[Rule]:
        """Every condition that can be judged here, against an objective."""
        for policy in self._policies:
            yield from self._rules(policy, target)

    def _rules(self, policy: AlertPolicy, target: float) -> Iterator[Rule]:
        where = f"AlertPolicy {policy.metadata.name}"
        if policy.spec.alertWhenNoData:
            self._lose(where, "alertWhenNoData: write absent_for", "left out")
        if not policy.spec.alertWhenResolved:
            self._lose(where, "alertWhenResolved is false: resolves are always told")
        for one in policy.spec.conditions:
            condition = self._condition(one, where)
            if condition is not None and (rule := self._rule(policy, condition, target)):
                yield rule

    def _condition(self, one: ConditionRef | AlertCondition, where: str) -> AlertCondition | None:
        if isinstance(one, AlertCondition):
            return one
        found = self._objects.get("AlertCondition", one.conditionRef, AlertCondition)
        if found is None:
            self._lose(where, f"AlertCondition {one.conditionRef} is not in the file", "left out")
        return found

    def _rule(self, policy: AlertPolicy, found: AlertCondition, target: float) -> Rule | None:
        where = f"AlertPolicy {policy.metadata.name}"
        condition, most = found.spec.condition, budgets.error_ratio(target)
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
        return Rule(name, condition.threshold, window_s, for_s or 0, severity)

    def _span_s(self, text: str, where: str, field: str) -> int | None:
        match = re.fullmatch(r"(\d+)([smhdw])", text)
        if match is None:
            self._lose(where, f"{field} {text!r} is no duration", "left out")
            return None
        return int(match[1]) * ({"s": 1} | UNITS_S)[match[2]]

    def route(self) -> dict[str, Any]:
        """Who is told, by the notification targets of all policies."""
        service = name_of(self._slo.spec.service or "slo")
        found = {"owner": f"@{service}-team", "channel": f"#{service}-alerts"}
        for target in self._targets():
            kind, name = target.spec.target.lower(), name_of(target.metadata.name)
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


def name_of(name: str) -> str:
    """An SLO's id, an owner's or a channel's name."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:60].strip("-") or "slo"
