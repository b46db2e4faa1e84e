"""Faults that no single entry shows: between entries, between files, and rules that cannot fire."""

from collections.abc import Collection, Iterator

from app.config.findings import Fault, Loc
from app.config.ownership_entries import OwnershipFile, StepEntry
from app.config.slo_entries import BreachEntry, Common, SloEntry, SlosFile, name_fault
from app.core import budgets
from app.core.figures import SHOWN_WINDOWS_S
from app.core.ownership import TooMany
from app.core.slos import family_of
from app.core.slots import LONGEST_FINE_WINDOW_S
from app.core.vitals import ALERTER


def slo_faults(slos: SlosFile) -> Iterator[Fault]:
    """What is wrong between the SLOs, and with rules that no traffic makes fire."""
    seen: set[str] = set()
    for index, one in enumerate(slos.slos):
        at: Loc = ("slos", index)
        if one.id in seen or one.id == ALERTER:
            message = f"{one.id!r} is taken already; every SLO needs an id of its own"
            yield Fault("taken-id", (*at, "id"), message)
        seen.add(one.id)
        if one.breach.measure in ("quantile", "mean") and one.value is None:
            message = f"a {one.breach.measure} needs the field whose values it is of"
            yield Fault("incomplete", (*at, "value"), message)
        if one.breach.measure == "distinct" and one.distinct is None:
            message = "needs the field whose distinct values are counted"
            yield Fault("incomplete", (*at, "distinct"), message)
        yield from _quantile_faults(at, one)
        yield from _breach_faults((*at, "breach"), one.breach)
        yield from _unreachable(at, one, slos.defaults)


def _quantile_faults(at: Loc, one: SloEntry) -> Iterator[Fault]:
    """Sketches are kept in fine slots only, and only where they are asked for."""
    headline = (one.headline.window,) if one.headline.kind == "quantile" else ()
    places: tuple[tuple[Loc, tuple[int, ...]], ...] = (
        (("quantile_windows",), one.quantile_windows),
        (("headline", "window"), headline),
    )
    for path, windows in places:
        if any(window_s > LONGEST_FINE_WINDOW_S for window_s in windows):
            yield Fault("invalid", (*at, *path), "quantiles reach back 24 h at most")
        elif windows and not one.sketch:
            yield Fault("incomplete", (*at, "sketch"), "quantiles need one; set it to true")


def _breach_faults(at: Loc, breach: BreachEntry) -> Iterator[Fault]:
    if breach.measure != "ratio":
        return
    if breach.threshold <= 0:
        message = f"can never fire: good / total is never below {breach.threshold:g}"
        yield Fault("never-fires", at, message)
    if breach.threshold > 1:
        yield Fault("always-fires", at, "always fires: good / total is never above 1")


def _unreachable(at: Loc, one: SloEntry, defaults: Common) -> Iterator[Fault]:
    """Rules that no traffic can ever make fire, with the arithmetic."""
    slo = one.slo(defaults)
    if slo.freeze and slo.freeze.lifts_below >= slo.freeze.consumed:
        message = (
            f"lifts_below is {slo.freeze.lifts_below:g}: it must lie below "
            f"consumed, {slo.freeze.consumed:g}, or it flickers"
        )
        yield Fault("invalid", (*at, "freeze"), message)
    ratio = budgets.error_ratio(slo.objective)
    for rule in slo.burns:
        if rule.rate is not None:
            if rule.rate >= 1 / ratio:
                message = (
                    f"can never fire: with every event bad the burn rate is "
                    f"1 / (1 - {slo.objective}) = {1 / ratio:g}, not more than {rule.rate:g}"
                )
                yield Fault("never-fires", (*at, "burn", rule.id), message)
            continue
        most = rule.window_s / slo.period_s / ratio
        if slo.basis == "time" and rule.consumed >= most:
            message = (
                f"can never fire: with every event bad the burn rate is "
                f"1 / (1 - {slo.objective}) = {1 / ratio:g}, and {rule.window_s} s of it consume "
                f"{most:.3g} of the budget, not more than {rule.consumed}"
            )
            yield Fault("never-fires", (*at, "burn", rule.id), message)
        if slo.basis == "events" and rule.consumed >= 1 / ratio:
            message = (
                f"can never fire: with every event of the period bad "
                f"{1 / ratio:g} of the budget is consumed, not more than {rule.consumed}"
            )
            yield Fault("never-fires", (*at, "burn", rule.id), message)


def route_faults(
    ownership: OwnershipFile, slos: Collection[str], growing: Collection[str] = ()
) -> Iterator[Fault]:
    """What is wrong between the routes, the owners and the SLOs.

    `growing`: entries whose groups are those that are seen, so that any may have a row.
    """
    known = {*slos, *map(family_of, slos), ALERTER}
    wanted = [slo for slo in slos if slo not in ownership.routes]  # a group may have its own row
    for name in sorted({*map(family_of, wanted), *growing, ALERTER}):
        if name not in ownership.routes:
            message = "missing; every SLO needs somebody who is told"
            yield Fault("no-route", ("routes", name), message)
    for name, row in ownership.routes.items():
        at: Loc = ("routes", name)
        if slos and (fault := name_fault(name, known, growing)):
            yield Fault("unknown-slo", at, fault)
        if row.owner not in ownership.owners:
            yield Fault("unknown-owner", (*at, "owner"), f"{row.owner!r} is not among the owners")
        for index, step in enumerate(row.escalation):
            for to in {*step.to} - {*ownership.owners}:
                message = f"{to!r} is not among the owners"
                yield Fault("unknown-owner", (*at, "escalation", index, "to"), message)
        yield from _step_faults((*at, "escalation"), row.escalation)


def _step_faults(at: Loc, steps: tuple[StepEntry, ...]) -> Iterator[Fault]:
    seen: set[str] = set()
    for index, one in enumerate(steps):
        step = one.step()
        if step.id in seen:
            yield Fault("duplicate-step", (*at, index), "the same step as another one")
        seen.add(step.id)
        if isinstance(step.condition, TooMany):
            window_s = step.condition.window_s
            if window_s not in SHOWN_WINDOWS_S.values():
                known = ", ".join(SHOWN_WINDOWS_S)
                message = f"{window_s} s is not counted; choose one of {known}"
                yield Fault("unknown-window", (*at, index, "when", "window"), message)
