"""Lints: what is allowed but is hardly meant, or deserves a thought."""

from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from itertools import combinations
from operator import itemgetter

from app.config.findings import Fault, Loc
from app.config.ownership_entries import OwnershipFile, RouteEntry, StepEntry
from app.config.slo_entries import SlosFile
from app.core import budgets
from app.core.events import Metadata
from app.core.folding import own_fields
from app.core.signals import wilson_lower
from app.core.slos import BreachRule, BurnRule, Definition, Slo, family_of
from app.core.slots import FINE_S
from app.core.stories import percent, span_words

_MOST_NEEDED = 100_000  # beyond it no window is too long


def slo_lints(slos: SlosFile) -> Iterator[Fault]:
    """Of the SLOs and their rules."""
    made = list(slos.made())
    for index, slo in _families(made):
        at: Loc = ("slos", index)
        own = slos.slos[index].burn or {}
        for rule in slo.burns:
            place: Loc = (*at, "burn", rule.id) if rule.id in own else (*at, "objective")
            if rule.rate is None:
                yield from _traffic(place, slo, rule)
            yield from _thin(place, rule.id, rule.window_s, rule.min_bad)
        yield from _thin(
            (*at, "breach", "window"), "breach", slo.breach.window_s, needed(slo.breach)
        )
        yield from _weaker(at, slo)
        yield from _unfamiliar((*at, "counts"), slo)
        if slos.slos[index].seen and slo.absent_for_s is not None:
            message = (
                "a value that is seen once, by mistake, is told as silent for weeks: list them"
            )
            yield Fault("absent-groups", (*at, "absent_for"), message, "warning")
    yield from _same_slos(made)


def _traffic(at: Loc, slo: Slo, rule: BurnRule) -> Iterator[Fault]:
    share = rule.consumed * budgets.error_ratio(slo.objective)
    steady = rule.window_s / slo.period_s
    if slo.basis == "events" and share > steady:
        yield Fault(
            "share-of-traffic",
            at,
            f"{rule.id} fires only when one window ({span_words(rule.window_s)}) carries more than "
            f"{percent(share)} of the period's events, all of them bad; of steady traffic it "
            f"carries {percent(steady)}",
            "hint",
        )


def needed(rule: BreachRule) -> int:
    """The fewest events in the window by which the rule can fire, all of them bad."""
    if rule.measure == "mean":
        return rule.min_total
    if rule.measure in ("distinct", "count"):
        return int(rule.threshold) + 1
    allowed = budgets.error_ratio(rule.threshold if rule.measure == "ratio" else rule.quantile)
    number = max(rule.min_bad, 1)
    while number < _MOST_NEEDED and wilson_lower(number, number, rule.confidence) <= allowed:
        number += 1
    return number


def _thin(at: Loc, rule: str, window_s: int, events: int) -> Iterator[Fault]:
    slots = window_s // FINE_S
    if events > slots:
        yield Fault(
            "thin-window",
            at,
            f"{rule} needs {events} bad events within {window_s} s, more than one in every "
            f"{FINE_S} s: lengthen the window, or ask for less evidence",
            "warning",
        )


def _unfamiliar(at: Loc, slo: Slo) -> Iterator[Fault]:
    """Metadata fields that nobody else knows, and that look like one that all do."""
    known = Metadata.__struct_fields__
    for field in sorted(own_fields([slo.definition])):
        alike = get_close_matches(field.lower(), [name.lower() for name in known], 1, 0.8)
        if alike:
            meant = next(name for name in known if name.lower() == alike[0])
            message = f"metadata.{field} looks like metadata.{meant}; is that meant?"
            yield Fault("unfamiliar-field", at, message, "warning")


def _weaker(at: Loc, slo: Slo) -> Iterator[Fault]:
    """Of two burn rules over one window the one that never says more than the other."""
    for one, other in combinations(slo.burns, 2):
        strict, loose = sorted((one, other), key=lambda rule: (rule.consumed, rule.severity))
        alike = (one.windows_s, one.rate is None) == (other.windows_s, other.rate is None)
        if alike and strict.severity <= loose.severity:
            yield Fault(
                "duplicate-rule",
                (*at, "burn", loose.id),
                f"never says more than {strict.id}: the same window, and a higher threshold",
                "warning",
            )


def _families(made: list[tuple[int, Slo]]) -> Iterator[tuple[int, Slo]]:
    """One of each entry: its groups differ in nothing that is looked at here."""
    yield from sorted(dict(made).items(), key=itemgetter(0))


def _same_slos(slos: list[tuple[int, Slo]]) -> Iterator[Fault]:
    alike: dict[tuple[Definition, float], list[str]] = {}
    for index, slo in slos:
        before = alike.setdefault((slo.definition, slo.objective), [])
        for one in before:
            message = f"counts and promises the same as {one}"
            yield Fault("duplicate-slo", ("slos", index, "counts"), message, "warning")
        before.append(slo.id)


def route_lints(ownership: OwnershipFile, slos: Mapping[str, Slo]) -> Iterator[Fault]:
    """Of the owners and their routes."""
    used = _used(ownership)
    for owner, entry in ownership.owners.items():
        at: Loc = ("owners", owner)
        if owner not in used:
            yield Fault("unused-owner", at, "no route names them", "hint")
        elif entry.slack_id is None:
            message = "no slack_id, so a mention in Slack notifies nobody"
            yield Fault("no-slack-id", at, message, "hint")
    by_row = {**{family_of(slo): found for slo, found in slos.items()}, **slos}
    for name, row in ownership.routes.items():
        slo = by_row.get(name) or by_row.get(family_of(name))  # a group may not be seen yet
        if slo is not None:
            yield from _row_lints(("routes", name), row, slo)


def _used(ownership: OwnershipFile) -> set[str]:
    rows = ownership.routes.values()
    return {row.owner for row in rows} | {
        to for row in rows for step in row.escalation for to in step.to
    }


def _row_lints(at: Loc, row: RouteEntry, slo: Slo) -> Iterator[Fault]:
    rules = {rule.id for rule in slo.rules}
    pages = [s for s in row.escalation if s.how == "page" and s.severity in (None, "P1")]
    if _has_p1(slo) and not pages:
        message = "a P1 that nobody takes escalates to nobody: no step pages anybody"
        yield Fault("escalates-to-nobody", at, message, "warning")
    for index, step in enumerate(row.escalation):
        place: Loc = (*at, "escalation", index)
        if step.how == "page" and set(step.to) == {row.owner}:
            message = f"{row.owner} was paged already when it began"
            yield Fault("escalates-to-owner", (*place, "to"), message, "warning")
        why = _why_idle(step, slo, rules)
        if why:
            yield Fault("idle-step", place, f"can never be due: {why}", "warning")


def _has_p1(slo: Slo) -> bool:
    return any(rule.severity == "P1" for rule in slo.rules)


def _why_idle(step: StepEntry, slo: Slo, rules: set[str]) -> str:
    if step.rule is not None and step.rule not in rules:
        return f"{slo.id} has no rule {step.rule}"
    if step.severity == "P1" and not _has_p1(slo):
        return f"{slo.id} has no rule of severity P1"
    if step.when and step.when.mean_grows_by is not None and slo.definition.value is None:
        return f"{slo.id} has no value of which there is a mean"
    return ""
