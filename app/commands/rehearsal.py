"""A rehearsal of an incident: who would be told, how and when. Pure.

The judge's own functions decide, on figures under which every condition is true; so a rehearsal
cannot say anything else than what happens.
"""

from collections.abc import Iterable, Iterator, Mapping

import msgspec
from msgspec.structs import replace

from app.config import Policy
from app.core import escalation, incidents, judge, lifecycle, vitals
from app.core.budgets import BudgetState
from app.core.cells import Counts
from app.core.figures import Figures
from app.core.incidents import Change, FiringRule, Incident, Lane
from app.core.notices import Kind, Severity
from app.core.ownership import BURNING_MS, Growing, Route, Step, TooMany
from app.core.vitals import ALERTER, WATCHES
from app.delivery import words

STILL_BURNS = "while it still burns"
BURNING = (
    "Still burning: the rule's condition is true, and a bad event came in the last "
    f"{words.span(BURNING_MS / 1000)}."
)
_BUDGET = BudgetState(
    allowed=0, bad=0, consumed=None, consumed_by_time=None, estimated=False, exhausted_in_s=None
)


class Telling(msgspec.Struct, frozen=True, kw_only=True):
    """One moment at which people are told."""

    after_s: int  # since the severity's beginning, or since the step's rule fires; the earliest
    kind: Kind
    destinations: tuple[str, ...]
    mentions: tuple[str, ...]
    only: str = ""  # what must be so, in words
    conditional: bool = False  # `after_s` is the earliest: a condition decides


class Case(msgspec.Struct, frozen=True, kw_only=True):
    """What happens when one of these rules fires."""

    rules: tuple[str, ...]
    apart: bool  # in an incident of its own
    timeline: tuple[Telling, ...]
    reminder_s: int  # so long after the last message
    reminded: tuple[str, ...]
    resolved: tuple[str, ...]  # told of the end; pagers: their alerts are resolved

    @property
    def destinations(self) -> tuple[str, ...]:
        """All that are told of anything, in the order in which they are."""
        told = (name for telling in self.timeline for name in telling.destinations)
        return tuple(dict.fromkeys((*told, *self.reminded, *self.resolved)))


def cases(policy: Policy, slo: str, severity: Severity) -> list[Case]:
    """An SLO's or the alerter's cases at a severity; none where no rule has it."""
    found: list[Case] = []
    for lane, rules in _lanes(policy, slo):
        if severity not in rules.values():
            continue
        case = _rehearsed(lane, rules, severity)
        alike = next((c for c in found if replace(c, rules=case.rules) == case), None)
        if alike is None:
            found.append(case)
        else:
            joined = replace(alike, rules=(*alike.rules, *case.rules))
            found = [joined if c is alike else c for c in found]
    return found


def _lanes(policy: Policy, slo: str) -> Iterator[tuple[Lane, dict[str, Severity]]]:
    """Each lane with its rules."""
    route = policy.ownership.routes[slo]
    if slo == ALERTER:
        for name, watch in WATCHES.items():
            yield vitals.lane_of(name, route), {name: watch.severity}
        return
    known = policy.slos[slo]
    severities = {known.breach.id: known.breach.severity}
    severities |= {rule.id: rule.severity for rule in known.burns}
    for name in dict.fromkeys(judge.lane_of(rule) for rule in severities):
        rules = {rule: s for rule, s in severities.items() if judge.lane_of(rule) == name}
        yield judge.lane(known, route, name), rules


def _rehearsed(lane: Lane, rules: Mapping[str, Severity], severity: Severity) -> Case:
    """All rules of the lane fire from 0 on, those above the severity left out."""
    firing = [FiringRule(r, s, 0, true_now=True) for r, s in rules.items() if s >= severity]
    incident, timeline = _told(lane, firing)
    until = incident.last_told_at + incidents.REMINDER_MS[severity]
    _, reminders = escalation.remind(incident, lane, until)
    _, ends = lifecycle.resolve(incident, lane, until, by="", why="recovered")
    return Case(
        rules=tuple(rule for rule, s in rules.items() if s == severity),
        apart=lane.name != "main",
        timeline=timeline,
        reminder_s=incidents.REMINDER_MS[severity] // 1000,
        reminded=_destinations(reminders),
        resolved=_destinations(ends),
    )


def _told(lane: Lane, firing: list[FiringRule]) -> tuple[Incident, tuple[Telling, ...]]:
    incident: Incident | None = None
    timeline: list[Telling] = []
    for after_s in sorted({0, *(step.after_s for step in lane.route.steps)}):
        done = _done(incident)
        now = after_s * 1000
        figures = None if lane.slo == ALERTER else _worst(lane.route, now)
        incident, changes = lifecycle.advance(incident, lane, firing, figures, now)
        for change in changes:
            step = _step(lane.route, _done(change.incident) - done)
            done = _done(change.incident)
            if change.kind != "reminder":
                timeline.append(_telling(lane, change, step))
    assert incident is not None  # it was opened at 0
    return incident, tuple(timeline)


def _done(incident: Incident | None) -> set[str]:
    return {s.id for s in incident.steps if s.done_at is not None} if incident else set()


def _step(route: Route, ids: set[str]) -> Step | None:
    return next((step for step in route.steps if step.id in ids), None)


def _worst(route: Route, now: int) -> Figures:
    """Figures under which every condition of the route's steps is true."""
    limits = [step.condition for step in route.steps if isinstance(step.condition, TooMany)]
    totals = [s.condition.min_total for s in route.steps if isinstance(s.condition, Growing)]
    most = max((limit.more_than for limit in limits), default=0) + 1
    seen = max(totals, default=0) + 1
    return Figures(
        now=now,
        windows={limit.window_s: Counts(total=most, bad=most) for limit in limits},
        budget=_BUDGET,
        failing={},
        last_bad_at=now,
        growth=(Counts(total=seen, sum_u=1), Counts(total=seen)),
    )


def _telling(lane: Lane, change: Change, step: Step | None) -> Telling:
    return Telling(
        after_s=change.at // 1000,
        kind=change.kind,
        destinations=_destinations([change]),
        mentions=change.mentions,
        only=_only(step, lane) if step else "",
        conditional=bool(step and step.condition),
    )


def _destinations(changes: Iterable[Change]) -> tuple[str, ...]:
    told = (name for change in changes for name in (*change.channels, *change.pagers))
    return tuple(dict.fromkeys(told))


def _only(step: Step, lane: Lane) -> str:
    parts = [_begun(step)]
    if step.after_s and lane.slo != ALERTER:  # nothing is burnt there
        parts.append(STILL_BURNS)
    if step.condition is not None:
        parts.append(_condition(step.condition))
    if step.after_s and lane.route.stop_on == "ack":
        parts.append("unless somebody has taken it")
    return ", ".join(part for part in parts if part)


def _begun(step: Step) -> str:
    """What the step's time is measured from."""
    if step.rule is not None:
        since = f" for {words.span(step.after_s)}" if step.after_s else ""
        return f"{step.rule} fires{since}"
    if not step.after_s:
        return ""
    return f"{step.severity or 'incident'} unresolved for {words.span(step.after_s)}"


def _condition(condition: TooMany | Growing) -> str:
    if isinstance(condition, TooMany):
        return f"more than {condition.more_than} bad within {words.window(condition.window_s)}"
    return (
        f"mean of the last 30 min at least {condition.by * 100:g} % above that of the 30 min "
        f"before, {condition.min_total} events in each"
    )
