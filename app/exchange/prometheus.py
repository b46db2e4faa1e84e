"""Prometheus rules of a policy, in Sloth's manner: windows are recorded, alerts compare them.

They count by rate (`basis: time`) over this program's own counters. The guards stand in the
expressions; an alert that fires asks itself by `ALERTS`, since a guard only holds back a beginning.
"""

import re
from collections.abc import Iterator
from statistics import NormalDist
from typing import Any

from msgspec.structs import replace

from app.config import Policy
from app.core import budgets
from app.core.ownership import Route
from app.core.signals import CLEAR_EVENTS
from app.core.slos import BreachRule, BurnRule, FreezeRule, Slo, family_of
from app.exchange.losses import Loss
from app.exchange.writing import yaml_of

EVERY = "30s"
HALF = 0.5
"""Of an event: `increase` extrapolates, so whole numbers are not met exactly."""

Rule = dict[str, Any]

_HITS = {
    "ratio": "bad_events",
    "quantile": "over_events",
    "distinct": "bad_events",
    "count": "bad_events",
}
_CURRENT_S = 300
_UNITS = (("d", 86_400), ("h", 3600), ("m", 60), ("s", 1))


def rules_of(policy: Policy) -> tuple[str, list[Loss]]:
    """The rule file, and what it cannot say."""
    subjects = dict(_subjects(policy))
    groups = [_group(slo, route) for slo, route in subjects.items()]
    lost = [loss for slo, route in subjects.items() for loss in _losses(slo, route)]
    return yaml_of({"groups": groups}), [*lost, *_lost_rows(policy)]


def _subjects(policy: Policy) -> Iterator[tuple[Slo, Route]]:
    """What rules are about: each SLO, or all groups of an entry at once that has one as seen."""
    for slo in policy.slos.values():
        grouping = policy.groupings.get(family_of(slo.id))
        if grouping is None:
            yield slo, policy.ownership.routes[slo.id]
        else:
            yield replace(grouping.whole, rest=grouping.rest), grouping.route


def _is_many(slo: Slo) -> bool:
    """Whether it stands for all groups of its entry, of which each has series of its own."""
    return slo.rest is not None


def _group(slo: Slo, route: Route) -> dict[str, Any]:
    """One group, so that an alert sees the windows of its own evaluation."""
    rules = [*_windows(slo), *_facts(slo), *_alerts(slo, route)]
    return {"name": f"burnrate-slo-{slo.id}", "interval": EVERY, "rules": rules}


def duration(seconds: int) -> str:
    """As Prometheus writes it, in the largest unit: 3600 is 1h."""
    unit, size_s = next((u, s) for u, s in _UNITS if seconds % s == 0)
    return f"{seconds // size_s}{unit}"


# what is recorded


def _windows(slo: Slo) -> Iterator[Rule]:
    """Every window that a rule asks for, by what it asks of it."""
    breach, measure = slo.breach, slo.breach.measure
    burns = {window_s for rule in slo.burns for window_s in rule.windows_s}
    lengths = {_CURRENT_S, slo.period_s, *burns}
    ratios = dict.fromkeys(sorted(lengths), "bad_events")
    for window_s in sorted({*lengths, breach.window_s}):
        yield _increase(slo, "events", window_s)
    for window_s in sorted({*ratios, *([breach.window_s] if measure == "ratio" else [])}):
        yield _increase(slo, "bad_events", window_s)
        yield _ratio(slo, "sli_error", "bad_events", window_s)
    if measure == "quantile":
        yield _increase(slo, "over_events", breach.window_s)
        yield _ratio(slo, "over", "over_events", breach.window_s)
    if measure == "mean":
        yield _increase(slo, "value", breach.window_s)
        yield _ratio(slo, "mean", "value", breach.window_s)
    if measure in ("distinct", "count") and breach.window_s not in ratios:
        yield _increase(slo, "bad_events", breach.window_s)
    if measure in ("ratio", "quantile"):
        yield _certain(slo, breach)


def _record(slo: Slo, name: str, expr: str) -> Rule:
    return {"record": name, "expr": expr} | ({} if _is_many(slo) else {"labels": {"slo": slo.id}})


def _series(slo: Slo, name: str) -> str:
    return f'{name}{{slo=~"{slo.id}:.+"}}' if _is_many(slo) else f'{name}{{slo="{slo.id}"}}'


def _constant(slo: Slo, number: float) -> str:
    if _is_many(slo):
        return f"group by (slo) ({_series(slo, 'burnrate_slo_events_total')}) * {number:g}"
    return f"vector({number:g})"


def _increase(slo: Slo, what: str, window_s: int) -> Rule:
    window = duration(window_s)
    counter = _series(slo, f"burnrate_slo_{what}_total")
    added = "sum by (slo)" if _is_many(slo) else "sum"
    return _record(slo, f"slo:{what}:increase{window}", f"{added}(increase({counter}[{window}]))")


def _ratio(slo: Slo, name: str, hits: str, window_s: int) -> Rule:
    """Hits for each event; without events it is NaN, on which nothing fires."""
    window = duration(window_s)
    above, below = (_series(slo, f"slo:{what}:increase{window}") for what in (hits, "events"))
    kind = "mean" if name == "mean" else "ratio_rate"
    return _record(slo, f"slo:{name}:{kind}{window}", f"{above} / {below}")


def _certain(slo: Slo, rule: BreachRule) -> Rule:
    """The lower one-sided bound of the hits' share (E. B. Wilson, 1927)."""
    window = duration(rule.window_s)
    hits = _series(slo, f"slo:{_HITS[rule.measure]}:increase{window}")
    n = _series(slo, f"slo:events:increase{window}")
    p = f"({hits} / {n})"
    z = NormalDist().inv_cdf(rule.confidence)
    spread = f"sqrt(clamp_min({p} * (1 - {p}), 0) / {n} + {z * z:.9g} / (4 * {n} * {n}))"
    middle = f"{p} + {z * z:.9g} / (2 * {n})"
    expr = f"(\n  {middle}\n  - {z:.9g} * {spread}\n) / (1 + {z * z:.9g} / {n})"
    return _record(slo, f"slo:certain:ratio_rate{window}", expr)


def _facts(slo: Slo) -> Iterator[Rule]:
    """What the SLO promises and what is left of it, under Sloth's names."""
    ratio = budgets.error_ratio(slo.objective)
    period, days = duration(slo.period_s), slo.period_s / 86_400
    yield _record(slo, "slo:objective:ratio", _constant(slo, slo.objective))
    yield _record(slo, "slo:error_budget:ratio", _constant(slo, ratio))
    yield _record(slo, "slo:time_period:days", _constant(slo, days))
    if ratio:
        current = _series(slo, f"slo:sli_error:ratio_rate{duration(_CURRENT_S)}")
        whole = _series(slo, f"slo:sli_error:ratio_rate{period}")
        yield _record(slo, "slo:current_burn_rate:ratio", f"{current} / {ratio:g}")
        yield _record(slo, "slo:period_burn_rate:ratio", f"{whole} / {ratio:g}")
        left = _series(slo, "slo:period_burn_rate:ratio")
        yield _record(slo, "slo:period_error_budget_remaining:ratio", f"1 - {left}")


# what is alerted


def _alerts(slo: Slo, route: Route) -> Iterator[Rule]:
    yield _alert(slo, route, slo.breach, *_breach(slo, slo.breach))
    for rule in slo.burns:
        yield _alert(slo, route, rule, *_burn(slo, rule))
    if slo.freeze is not None:
        yield _freeze(slo, route, slo.freeze)


def _breach(slo: Slo, rule: BreachRule) -> tuple[str, list[str]]:
    """The bare comparison, and the guards of its beginning."""
    window = duration(rule.window_s)
    events = _series(slo, f"slo:events:increase{window}")
    if rule.measure == "mean":
        mean = _series(slo, f"slo:mean:mean{window}")
        return f"{mean} > {rule.threshold:g}", [f"{events} > {rule.min_total - HALF:g}"]
    hits = _series(slo, f"slo:{_HITS[rule.measure]}:increase{window}")
    if rule.measure in ("distinct", "count"):
        return f"{hits} > {rule.threshold + HALF:g}", []
    share, name = rule.threshold, "sli_error"
    if rule.measure == "quantile":
        share, name = rule.quantile, "over"
    allowed = f"{budgets.error_ratio(share):.9g}"
    ratio, certain = (_series(slo, f"slo:{n}:ratio_rate{window}") for n in (name, "certain"))
    return f"{ratio} > {allowed}", [f"{hits} > {rule.min_bad - HALF:g}", f"{certain} > {allowed}"]


def _burn(slo: Slo, rule: BurnRule) -> tuple[str, list[str]]:
    rate = rule.consumed * slo.period_s / rule.window_s if rule.rate is None else rule.rate
    share = rate * budgets.error_ratio(slo.objective)
    ratios = [_series(slo, f"slo:sli_error:ratio_rate{duration(w)}") for w in rule.windows_s]
    bad = _series(slo, f"slo:bad_events:increase{duration(rule.window_s)}")
    holds = " and ".join(f"{ratio} > {share:.9g}" for ratio in ratios)
    return holds, [f"{bad} > {rule.min_bad - HALF:g}"]


def _alert(
    slo: Slo, route: Route, rule: BreachRule | BurnRule, holds: str, guards: list[str]
) -> Rule:
    name = _name(slo, rule.id)
    made: Rule = {"alert": name, "expr": _held(slo, rule, name, holds, guards)}
    if rule.for_s:
        made["for"] = duration(rule.for_s)
    if rule.keep_firing_s:
        made["keep_firing_for"] = duration(rule.keep_firing_s)
    return made | _about(slo, route, rule.id, rule.severity)


def _held(slo: Slo, rule: BreachRule | BurnRule, name: str, holds: str, guards: list[str]) -> str:
    """The comparison, with guards that hold back its beginning alone, and windows run empty."""
    if not guards:
        return holds
    fires, begins = _fires(name), " and on (slo) ".join(guards)
    enough = CLEAR_EVENTS if isinstance(rule, BreachRule) else 1
    events = _series(slo, f"slo:events:increase{duration(rule.window_s)}")
    within = f"max_over_time({events}[{duration(slo.stale_s)}])"
    return (
        f"(\n  {holds}\n  and on (slo) (({begins}) or on (slo) {fires})\n)\n"
        f"or on (slo) (  # too few events to tell: as it was, for {duration(slo.stale_s)}\n"
        f"  {events} < {enough - HALF:g}\n"
        f"  and on (slo) {within} > {enough - HALF:g}\n"
        f"  and on (slo) {fires}\n)"
    )


def _fires(name: str) -> str:
    return f'max by (slo) (ALERTS{{alertname="{name}", alertstate="firing"}})'


def _freeze(slo: Slo, route: Route, rule: FreezeRule) -> Rule:
    """It begins at one share of the budget, and ends below a lower one."""
    name, ratio = _name(slo, rule.id), budgets.error_ratio(slo.objective)
    spent = _series(slo, f"slo:sli_error:ratio_rate{duration(slo.period_s)}")
    begins, stays = rule.consumed * ratio, rule.lifts_below * ratio
    expr = f"{spent} >= {begins:.9g}\nor (\n  {spent} >= {stays:.9g} and on (slo) {_fires(name)}\n)"
    return {"alert": name, "expr": expr} | _about(slo, route, rule.id, "P2")


def _name(slo: Slo, rule: str) -> str:
    """An alert's name: SloAvailabilityFastBurn."""
    parts = re.split(r"[^a-zA-Z0-9]+", f"{slo.id}-{rule}")
    return "Slo" + "".join(part.capitalize() for part in parts)


def _about(slo: Slo, route: Route, rule: str, severity: str) -> Rule:
    own = {} if _is_many(slo) else {"slo": slo.id}
    labels = own | {"rule": rule, "severity": severity, "owner": route.owner}
    which = " ({{ $labels.slo }})" if _is_many(slo) else ""
    return {
        "labels": labels | {"channel": route.channel},
        "annotations": {
            "summary": f"{slo.title}{which}: {rule} fires",
            "description": f"Objective {slo.objective:g}; {route.owner} is told.",
            "runbook": f"docs/runbooks/{family_of(slo.id)}.md",
        },
    }


# what cannot be said


def _lost_rows(policy: Policy) -> Iterator[Loss]:
    for name, row in policy.ownership.routes.items():
        grouping = policy.groupings.get(family_of(name))
        if grouping is not None and replace(row, slo=grouping.route.slo) != grouping.route:
            yield Loss(
                where=f"{name}: route",
                what="rules are for all groups at once, and name the owner of the entry",
                then="left out",
            )


def _losses(slo: Slo, route: Route) -> Iterator[Loss]:
    if slo.basis == "events" and slo.burns:
        yield Loss(
            where=slo.id,
            what="its budget is counted in events; the rules go by rate, which is the same only "
            "where traffic is even (basis: time)",
            then="approximated",
        )
    if slo.burns and slo.min_allowed_bad:
        yield Loss(
            where=f"{slo.id}: burn",
            what=f"a budget of fewer than {slo.min_allowed_bad} bad events is not held back",
            then="left out",
        )
    if slo.breach.measure == "distinct":
        yield Loss(
            where=f"{slo.id}: breach",
            what="failing events are counted, not distinct conversations; a check that passes, or "
            "an operator, does not end the alert",
            then="approximated",
        )
    else:
        yield Loss(
            where=slo.id,
            what="a guard that no longer holds keeps an alert as it is, here for "
            f"{duration(slo.stale_s)} at most; after a window without events an alert ends "
            "keep_firing_for later than here",
            then="approximated",
        )
    if route.steps:
        yield Loss(
            where=f"{slo.id}: escalation",
            what="who is told, and when, is Alertmanager's; labels name owner and channel",
            then="left out",
        )
