"""What a policy would change of a running worker's: its SLOs, and its open incidents."""

from collections.abc import Mapping

import msgspec

from app.commands.worker import Document, Worker
from app.config import Policy
from app.core.budgets import error_ratio
from app.core.ownership import Route
from app.core.slos import BreachRule, BurnRule, Slo

Rule = BreachRule | BurnRule
Values = Mapping[tuple[str, str], float | None]
"""By SLO and rule, what the rule sees now."""


def effects_on(live: Worker, after: Policy) -> list[str]:
    """What taking this policy over would do, a sentence each; raises as `Worker` does."""
    before = msgspec.convert(live.policy(), Policy)
    after = after.like(before)
    values = {
        (slo["id"], rule["id"]): rule["value"]
        for slo in live.status()["slos"]
        for rule in slo["rules"]
    }
    return effects(before, after, live.incidents("open"), values)


def effects(before: Policy, after: Policy, incidents: list[Document], values: Values) -> list[str]:
    """What the change does, the open incidents first; `values`: what each rule sees now."""
    told = [line for one in incidents for line in _of_incident(one, before, after, values)]
    gone = [f"{slo}: is configured no more" for slo in before.slos if slo not in after.slos]
    new = [f"{slo}: is new, and filled from Kafka" for slo in after.slos if slo not in before.slos]
    both = [slo for slo in after.slos if slo in before.slos]
    redefined = [
        f"{slo}: counts something else now; it is not judged until that is filled from Kafka"
        for slo in both
        if before.slos[slo].definition != after.slos[slo].definition
    ]
    otherwise = [line for slo in both for line in _of_slo(slo, before, after, values)]
    groups = _of_groupings(before, after)
    return [*told, *gone, *new, *redefined, *otherwise, *groups] or [
        "no SLO and no open incident is touched"
    ]


def _of_groupings(before: Policy, after: Policy) -> list[str]:
    """How many groups an entry may have from then on."""
    was = {name: (one.by, one.most) for name, one in before.groupings.items()}
    return [
        f"{name}: each {one.by} that is seen is an SLO of its own, {one.most} at most"
        for name, one in after.groupings.items()
        if was.get(name) != (one.by, one.most)
    ]


def _of_incident(incident: Document, before: Policy, after: Policy, values: Values) -> list[str]:
    slo, key = incident["slo"], incident["key"]
    old, new = before.slos.get(slo), after.slos.get(slo)
    if old is not None and new is None:
        return [f"{key}: ends, because {slo} is configured no more; its pages are resolved"]
    found = _of_rules(incident, old, new, values) if old and new else []
    was, route = before.ownership.routes.get(slo), after.ownership.routes.get(slo)
    if was and route:
        found += _of_route(was, route)
    return [f"{key}: {line}" for line in found]


def _of_rules(incident: Document, old: Slo, new: Slo, values: Values) -> list[str]:
    if old.definition != new.definition:
        return ["stays as it is until the new definition is filled, then it is judged anew"]
    have, was = ({rule.id: rule for rule in slo.rules} for slo in (new, old))
    lost = [rule for rule in incident["rules"] if rule not in have]
    found = [f"{rule} is configured no more" for rule in lost]
    if lost and len(lost) == len(incident["rules"]):
        found.append("ends, because none of its rules is left")
    changed = [have[r] for r in incident["rules"] if r in have and have[r] != was.get(r)]
    return [
        *found,
        *(_judged(rule, was.get(rule.id), values.get((new.id, rule.id))) for rule in changed),
    ]


def _judged(rule: Rule, was: Rule | None, value: float | None) -> str:
    if was is None or was.window_s != rule.window_s or not isinstance(value, int | float):
        return f"{rule.id} is judged by its new values at once"
    if _holds(rule, value):
        return f"{rule.id} goes on: {value:.4g} is beyond the new threshold as well"
    return f"{rule.id} clears after {rule.keep_firing_s} s: {value:.4g} is within the new threshold"


def _holds(rule: Rule, value: float) -> bool:
    if isinstance(rule, BurnRule):
        return value > (rule.consumed if rule.rate is None else rule.rate)
    if rule.measure == "quantile":  # the value is the share that is slower
        return value > error_ratio(rule.quantile)
    return value < rule.threshold if rule.measure == "ratio" else value > rule.threshold


def _of_slo(slo: str, before: Policy, after: Policy, values: Values) -> list[str]:
    """What is judged or told otherwise from then on, whether or not anything is open."""
    old, new = before.slos[slo], after.slos[slo]
    was, have = ({rule.id: rule for rule in one.rules} for one in (old, new))
    found = [f"{rule} is configured no more" for rule in was if rule not in have]
    found += [
        _changed(rule, was.get(rule.id), values.get((slo, rule.id)))
        for rule in new.rules
        if rule != was.get(rule.id)
    ]
    others = [
        field.name
        for field in msgspec.structs.fields(Slo)
        if field.name not in ("definition", "breach", "burns", "rest")
        and getattr(old, field.name) != getattr(new, field.name)
    ]
    if others:
        found.append(f"changed: {', '.join(others)}")
    if before.ownership.routes.get(slo) != after.ownership.routes.get(slo):
        found.append("its route changes: who is told, or when")
    return [f"{slo}: {line}" for line in found]


def _changed(rule: Rule, was: Rule | None, value: float | None) -> str:
    if was is None:
        return f"{rule.id} is new"
    changed = f"{rule.id} has other values"
    if was.window_s != rule.window_s or not isinstance(value, int | float):
        return changed
    if _holds(rule, value) and not _holds(was, value):
        return f"{changed}: {value:.4g} is beyond them, so it may fire at once"
    return changed


def _of_route(old: Route, new: Route) -> list[str]:
    found = []
    if (old.owner, old.channel) != (new.owner, new.channel):
        found.append(
            f"{new.owner} and {new.channel} are told from the next step on; whoever was told "
            f"before ({old.owner}, {old.channel}) hears how it ends, and nobody is paged anew"
        )
    if old.steps != new.steps:
        found.append("what is left of its escalation follows the new route")
    return found
