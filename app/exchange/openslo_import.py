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
from app.exchange.openslo import OURS, Indicator, Objective, ServiceObject, SloObject
from app.exchange.openslo_alerts import LONGEST_S, UNITS_S, Alerts, Rule, name_of
from app.exchange.openslo_reading import Objects, read

Document = dict[str, Any]

ALERTER = {"owner": "@ops-team", "channel": "#ops-alerts"}


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
    alerts = Alerts(slo, objects, exported="slo" in ours)
    for number, objective in enumerate(slo.spec.objectives):
        target = _target(where, objective)
        made = _Entry(slo, objective, number, target, alerts, objects)
        if "slo" in ours:
            yield made.restored(ours["slo"], _ours(objects)), ours.get("route") or alerts.route()
        else:
            yield made.new(), alerts.route()


def _target(where: str, objective: Objective) -> float:
    if objective.target is not None:
        return objective.target
    if objective.targetPercent is not None:
        return float(Decimal(str(objective.targetPercent)) / 100)
    raise UserError(f"{where}: an objective has neither target nor targetPercent")


class _Entry:
    """One objective of an SLO on its way into a policy."""

    def __init__(
        self,
        slo: SloObject,
        objective: Objective,
        number: int,
        target: float,
        alerts: Alerts,
        objects: Objects,
    ) -> None:
        self._slo, self._spec, self._objective = slo, slo.spec, objective
        self._target, self._alerts, self._objects = target, alerts, objects
        several = len(slo.spec.objectives) > 1
        self.id = name_of(f"{slo.metadata.name}-{number + 1}" if several else slo.metadata.name)
        named = slo.metadata.displayName or slo.metadata.name
        self.title = f"{named}: {objective.displayName or number + 1}" if several else named

    def _lose(self, what: str, why: str, then: str = "approximated") -> None:
        self._objects.lose(f"SLO {self._slo.metadata.name}: {what}", why, then)

    def new(self) -> Document:
        """From OpenSLO alone."""
        period_s = self._period_s()
        self._note_method()
        rules = list(self._alerts.rules(self._target))
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
        for rule in self._alerts.rules(self._target):
            self._restore(entry, burns, rule, period_s)
        return entry

    def _restore(self, entry: Document, burns: Document, rule: Rule, period_s: int) -> None:
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
        seconds = number * UNITS_S.get(unit, LONGEST_S + 1)
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

    def _breach(self, rule: Rule | None, period_s: int) -> Document:
        """A burn rate is a share of good events: without guards it is the same comparison."""
        if rule is None:
            self._lose("alertPolicies", "none that can be judged: a P2 below the objective")
            rule = Rule("", 1.0, period_s, 0, "P2")
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

    def _burns(self, rules: list[Rule]) -> Document:
        burns: Document = {}
        for rule in rules:
            burns[_rule_id(rule.name, burns)] = {
                "rate": rule.rate,
                "window": _duration(rule.window_s),
                "severity": rule.severity,
                "min_bad": 0,
            } | ({"for": _duration(rule.for_s)} if rule.for_s else {})
        return burns


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
    stem = re.sub(r"^[^a-z]+", "", name_of(name))[:36] or "burn"
    names = (stem if number == 1 else f"{stem}-{number}" for number in range(1, 1000))
    return next(one for one in names if one not in taken and one != "breach")


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
