"""The judge: one SLO, one moment, one decision. Live, replay and backtest all come through here."""

from collections.abc import Sequence

import msgspec
from msgspec.structs import replace

from app.core import (
    corrections,
    escalation,
    figures,
    freezes,
    lifecycle,
    maintenance,
    rules,
    signals,
    silences,
    stories,
)
from app.core.corrections import Applied, Correction, Exclusion
from app.core.figures import Figures
from app.core.freezes import Freeze, FreezeChange
from app.core.gates import Override
from app.core.incidents import Change, FiringRule, Incident, Lane
from app.core.ledger import Ledger
from app.core.maintenance import Window
from app.core.notices import Notice, Story
from app.core.ownership import Route, slack
from app.core.rules import INACTIVE, RuleState
from app.core.signals import Signal
from app.core.silences import Silence
from app.core.slos import Slo

LANES = {"slow-burn": "slow-burn"}
"""Rules with a lane of their own; all others share "main"."""

RESOLVED_KEPT = 20


class SloState(msgspec.Struct, frozen=True, kw_only=True):
    """All that is remembered of an SLO beside its counts: one value of a Faust table."""

    term: int = 0  # grows with every new owner, so that a zombie's state loses
    version: int = 0  # grows with every change within a term
    judged_at: int = 0
    caught_up: bool = False  # judged only since the first catch-up was done
    rules: dict[str, RuleState] = {}
    lanes: dict[str, Incident] = {}  # the newest incident of each lane
    freeze: Freeze = Freeze()
    overrides: tuple[Override, ...] = ()  # of the deployment gate, the newest last
    cleared_at: dict[str, int] = {}  # lane → when an operator resolved it, ms of event time
    broken: dict[str, str] = {}  # the alerter's own: destinations that refuse, and why
    probed_at: int = 0  # the alerter's own: when the newest probe was made that has come through
    unsent: tuple[Notice, ...] = ()  # decided, stored, not yet handed to slo.notices
    silences: tuple[Silence, ...] = ()  # made by operators
    maintenance: tuple[Window, ...] = ()  # made by operators; others are configured
    corrections: tuple[Correction, ...] = ()  # events that count no longer
    applied: Applied = Applied()  # what is left out of the counts now
    obeyed: tuple[str, ...] = ()  # the newest commands that were carried out, by id


class Judged(msgspec.Struct, frozen=True, kw_only=True):
    """A judgement: the state after it, and what it changed."""

    state: SloState
    figures: Figures
    signals: tuple[Signal, ...]
    notices: tuple[Notice, ...]
    changed: tuple[Incident, ...]  # for slo.alerts
    decided: bool = False  # the state holds something new that nobody is told of

    @property
    def news(self) -> bool:
        """Something happened that must be stored."""
        return bool(self.notices or self.changed or self.decided)


def lane_of(rule: str) -> str:
    """The lane that a rule's incidents are in."""
    return LANES.get(rule, "main")


def lane(slo: Slo, route: Route, name: str) -> Lane:
    """A lane with everything its incidents depend on."""
    return Lane(
        slo=slo.id,
        name=name,
        route=route,
        reopen_ms=slo.reopen_s * 1000,
        repage_ms=slo.repage_s * 1000,
        flapping_after=slo.flapping_after,
        quiet_ms=slo.flapping_quiet_s * 1000,
        prefix=slo.id if name == "main" else f"{slo.id}-{name}",
    )


def silent(slo: Slo, state: SloState, now: int) -> tuple[Silence, ...]:
    """The silences in force for an SLO, those of maintenance windows among them."""
    windows = (*slo.maintenance, *state.maintenance)
    found = (maintenance.as_silence(window, slo.id, now) for window in windows)
    return (*silences.active(state.silences, now), *(one for one in found if one is not None))


def judge(slo: Slo, route: Route, before: SloState, ledger: Ledger, now: int) -> Judged:
    """Judge one SLO at a judge time (ms). Pure but for the ledger's windows, which move along."""
    return weigh(slo, route, before, figures.read(slo, ledger, now), ledger, now)


def weigh(
    slo: Slo, route: Route, before: SloState, seen: Figures, ledger: Ledger, now: int
) -> Judged:
    """Judge by figures that are read already; the ledger gives the evidence of what is told."""
    seen = _without_cleared(seen, before)
    found = tuple(_held_back(slo, before, seen, s) for s in signals.read(slo, seen))
    stepped = _step_rules(slo, before, found, now)
    state = replace(before, rules=stepped, judged_at=now, applied=_still_applied(slo, before))
    notices: list[Notice] = []
    changed: list[Incident] = []
    for name in _lane_names(slo, before):
        state, changes = _judge_lane(slo, route, name, state, seen, found, now)
        for change in changes:
            notices += stories.tell(slo, route, change, seen, found, ledger)
        if changes:
            changed.append(state.lanes[name])
    state, told = _judge_freeze(slo, route, state, seen, now)
    return Judged(
        state=state,
        figures=seen,
        signals=found,
        notices=(*notices, *told),
        changed=tuple(changed),
    )


def exclusion(slo: Slo, state: SloState) -> Exclusion:
    """What an SLO is to leave out of its counts; it does once that is recounted."""
    return corrections.exclusion_of(slo, state.corrections, state.maintenance)


def _still_applied(slo: Slo, state: SloState) -> Applied:
    """What is left out; nothing at once, where nothing is to be left out any more."""
    if not state.applied.exclusion or exclusion(slo, state):
        return state.applied
    return Applied()


def look(slo: Slo, state: SloState, ledger: Ledger, now: int) -> tuple[Figures, tuple[Signal, ...]]:
    """How things stand, without a judgement."""
    seen = _without_cleared(figures.read(slo, ledger, now), state)
    return seen, signals.read(slo, seen)


def _lane_names(slo: Slo, before: SloState) -> list[str]:
    """The lanes of the rules, and those that an incident is in whose rule is configured no more."""
    return list(dict.fromkeys(["main", *(lane_of(rule.id) for rule in slo.burns), *before.lanes]))


def _without_cleared(seen: Figures, state: SloState) -> Figures:
    """Without the conversations whose failures an operator has resolved."""
    cleared = state.cleared_at.get("main", 0)
    failing = {name: m for name, m in seen.failing.items() if m.failed_at > cleared}
    return replace(seen, failing=failing) if len(failing) != len(seen.failing) else seen


def _held_back(slo: Slo, state: SloState, seen: Figures, signal: Signal) -> Signal:
    """After an operator's resolve only bad events later than that let a rule fire again."""
    cleared = state.cleared_at.get(lane_of(signal.rule), 0)
    if signal.fires and cleared and seen.last_bad_at <= cleared and not slo.definition.distinct:
        return replace(signal, held_by="resolved-by-operator")
    return signal


def _step_rules(
    slo: Slo, before: SloState, found: Sequence[Signal], now: int
) -> dict[str, RuleState]:
    by_id = {rule.id: rule for rule in slo.rules}
    return {
        signal.rule: rules.step(
            before.rules.get(signal.rule, INACTIVE),
            signal,
            rules.timing(by_id[signal.rule], slo.stale_s),
            now,
        )
        for signal in found
    }


def _judge_lane(
    slo: Slo,
    route: Route,
    name: str,
    state: SloState,
    seen: Figures,
    found: Sequence[Signal],
    now: int,
) -> tuple[SloState, list[Change]]:
    firing = [
        FiringRule(s.rule, s.severity, state.rules[s.rule].since, bool(s.true))
        for s in found
        if lane_of(s.rule) == name and state.rules[s.rule].state == "firing"
    ]
    before = state.lanes.get(name)
    quiet = silences.holding(silent(slo, state, now), [(rule.id, rule.severity) for rule in firing])
    after, changes = lifecycle.advance(
        before,
        lane(slo, route, name),
        firing,
        seen,
        now,
        conversations=_still_failing(seen) if name == "main" else (),
        why=_why(before, state),
        silences=quiet,
    )
    if after is not None and after is not before:
        state = replace(state, lanes={**state.lanes, name: after})
    return state, changes


def _why(before: Incident | None, state: SloState) -> str:
    """Why an incident ends whose rules fire no longer."""
    if before is None:
        return ""
    whys = [state.rules[rule].why for rule in before.rules if rule in state.rules]
    if before.rules and not whys:
        return "its rules are configured no more"
    return "no data" if "no data" in whys else "recovered"


def _still_failing(seen: Figures) -> tuple[str, ...]:
    return tuple(sorted(name for name, m in seen.failing.items() if m.failed_at > m.passed_at))


def _judge_freeze(
    slo: Slo, route: Route, state: SloState, seen: Figures, now: int
) -> tuple[SloState, list[Notice]]:
    if slo.freeze is None:  # nothing freezes it, whatever did before
        return (replace(state, freeze=Freeze()) if state.freeze.frozen else state), []
    freeze, change = freezes.advance(
        state.freeze,
        slo.freeze,
        slo=slo.id,
        owner=route.owner,
        consumed=seen.budget.consumed,
        now=now,
    )
    if change is None:
        return state, []
    return replace(state, freeze=freeze), [_freeze_notice(slo, route, change, seen)]


def _freeze_notice(slo: Slo, route: Route, change: FreezeChange, seen: Figures) -> Notice:
    destination = slack(route.channel)
    words = {"freeze": "is spent", "reminder": "is still spent", "unfreeze": "is back"}
    story = Story(
        slo=slo.id,
        objective=slo.objective,
        headline=f"{slo.title}: the error budget {words[change.kind]}",
        findings=(),
        budget=stories.told_budget(seen.budget),
        owner=route.owner,
        next_step=None,
        contributors=(),
        examples=(),
        conversations=(),
        opened_at=change.freeze.since,
        reason=change.reason,
        runbook="exhausted",
        due=tuple(due.what for due in change.freeze.due if due.done_at is None),
    )
    return Notice(
        id=f"{change.freeze.key}#{change.freeze.seq}@{destination}",
        destination=destination,
        kind=change.kind,
        at=change.at,
        slo=slo.id,
        incident=change.freeze.key,
        severity="P2",
        rules=("exhausted",),
        story=story,
        mentions=(route.owner,),
    )


def keep_time(slo: Slo, route: Route, before: SloState, ledger: Ledger, now: int) -> Judged:
    """While nothing can be judged: incidents stay as they are, escalation clocks run on."""
    seen = figures.read(slo, ledger, before.judged_at)
    found = signals.read(slo, seen)
    state, changes = before, list[Change]()
    for name, incident in before.lanes.items():
        if incident.open:
            firing = [
                FiringRule(s.rule, s.severity, before.rules[s.rule].since, true_now=True)
                for s in found
                if lane_of(s.rule) == name and s.rule in incident.rules and s.rule in before.rules
            ]
            after, more = escalation.escalate(incident, lane(slo, route, name), firing, None, now)
            state = replace(state, lanes={**state.lanes, name: after})
            changes += more
    told = [n for change in changes for n in stories.tell(slo, route, change, seen, found, ledger)]
    return Judged(
        state=state,
        figures=seen,
        signals=found,
        notices=tuple(told),
        changed=tuple({c.incident.key: c.incident for c in changes}.values()),
    )
