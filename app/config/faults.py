"""Faults that no single entry shows: between entries, between files, and rules that cannot fire."""

from collections.abc import Iterator
from pathlib import Path

from app.config.ownership_entries import OwnershipFile, StepEntry
from app.config.slo_entries import BreachEntry, Common, SloEntry, SlosFile
from app.core import budgets
from app.core.figures import SHOWN_WINDOWS_S
from app.core.ownership import TooMany
from app.core.slots import LONGEST_FINE_WINDOW_S
from app.core.vitals import ALERTER


def slo_faults(path: Path, slos: SlosFile) -> Iterator[str]:
    """What is wrong between the SLOs, and with rules that no traffic makes fire."""
    seen: set[str] = set()
    for index, one in enumerate(slos.slos):
        where = f"{path}: slos.{index} ({one.id})"
        if one.id in seen or one.id == ALERTER:
            yield f"{where}.id: {one.id!r} is taken already; every SLO needs an id of its own"
        seen.add(one.id)
        if one.breach.measure in ("quantile", "mean") and one.value is None:
            yield f"{where}.value: a {one.breach.measure} needs the field whose values it is of"
        if one.breach.measure == "distinct" and one.distinct is None:
            yield f"{where}.distinct: needs the field whose distinct values are counted"
        yield from _quantile_faults(where, one)
        yield from _breach_faults(where, one.breach)
        yield from _unreachable(where, one, slos.defaults)


def _quantile_faults(where: str, one: SloEntry) -> Iterator[str]:
    """Sketches are kept in fine slots only, and only where they are asked for."""
    headline = (one.headline.window,) if one.headline.kind == "quantile" else ()
    for path, windows in (
        ("quantile_windows", one.quantile_windows),
        ("headline.window", headline),
    ):
        if any(window_s > LONGEST_FINE_WINDOW_S for window_s in windows):
            yield f"{where}.{path}: quantiles reach back 24 h at most"
        elif windows and not one.sketch:
            yield f"{where}.sketch: quantiles need one; set it to true"


def _breach_faults(where: str, breach: BreachEntry) -> Iterator[str]:
    if breach.measure != "ratio":
        return
    if breach.threshold <= 0:
        yield f"{where}.breach: can never fire: good / total is never below {breach.threshold:g}"
    if breach.threshold > 1:
        yield f"{where}.breach: always fires: good / total is never above 1"


def _unreachable(where: str, one: SloEntry, defaults: Common) -> Iterator[str]:
    """Rules that no traffic can ever make fire, with the arithmetic."""
    slo = one.slo(defaults)
    if slo.freeze and slo.freeze.lifts_below >= slo.freeze.consumed:
        yield (
            f"{where}.freeze: lifts_below is {slo.freeze.lifts_below:g}: it must lie below "
            f"consumed, {slo.freeze.consumed:g}, or it flickers"
        )
    ratio = budgets.error_ratio(slo.objective)
    for rule in slo.burns:
        most = rule.window_s / slo.period_s / ratio
        if slo.basis == "time" and rule.consumed >= most:
            yield (
                f"{where}.burn.{rule.id}: can never fire: with every event bad the burn rate is "
                f"1 / (1 - {slo.objective}) = {1 / ratio:g}, and {rule.window_s} s of it consume "
                f"{most:.3g} of the budget, not more than {rule.consumed}"
            )
        if slo.basis == "events" and rule.consumed >= 1 / ratio:
            yield (
                f"{where}.burn.{rule.id}: can never fire: with every event of the period bad "
                f"{1 / ratio:g} of the budget is consumed, not more than {rule.consumed}"
            )


def route_faults(path: Path, ownership: OwnershipFile, slos: set[str]) -> Iterator[str]:
    """What is wrong between the routes, the owners and the SLOs."""
    for name in sorted(slos | {ALERTER}):
        if name not in ownership.routes:
            yield f"{path}: routes.{name}: missing; every SLO needs somebody who is told"
    for name, row in ownership.routes.items():
        if slos and name not in slos | {ALERTER}:
            yield f"{path}: routes.{name}: there is no SLO {name!r} in slos.yaml"
        for owner in {row.owner, *(to for step in row.escalation for to in step.to)}:
            if owner not in ownership.owners:
                yield f"{path}: routes.{name}: {owner!r} is not among the owners"
        yield from _step_faults(f"{path}: routes.{name}.escalation", row.escalation)


def _step_faults(where: str, steps: tuple[StepEntry, ...]) -> Iterator[str]:
    seen: set[str] = set()
    for index, one in enumerate(steps):
        step = one.step()
        if step.id in seen:
            yield f"{where}.{index}: the same step as another one"
        seen.add(step.id)
        if isinstance(step.condition, TooMany):
            window_s = step.condition.window_s
            if window_s not in SHOWN_WINDOWS_S.values():
                known = ", ".join(SHOWN_WINDOWS_S)
                at = f"{where}.{index}.when.window"
                yield f"{at}: {window_s} s is not counted; choose one of {known}"
