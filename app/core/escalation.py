"""Escalation: the steps that follow while an incident goes on burning, and the reminders."""

from collections.abc import Sequence

from msgspec.structs import replace

from app.core.escalation_steps import due_at, planned, rerouted
from app.core.figures import Figures
from app.core.incidents import REMINDER_MS, Change, FiringRule, Incident, Lane, Moved, StepState
from app.core.ownership import BURNING_MS, Step, meets, pagerduty, slack
from app.core.telling import add_page, heard, noted, tell

LATE_MS = 60_000  # a step done later than this after it was due says so


def escalate(
    incident: Incident,
    lane: Lane,
    firing: Sequence[FiringRule],
    figures: Figures | None,
    now: int,
) -> Moved:
    """Do the steps that are due. A timed step waits until it burns (again), all for a silence."""
    if lane.route.stop_on == "ack" and incident.state == "acknowledged":
        return incident, []
    incident = rerouted(incident, lane)
    changes: list[Change] = []
    for step in lane.route.steps:
        state = next((s for s in incident.steps if s.id == step.id), None)
        if state is None or state.done_at is not None:
            continue
        state = replace(state, since=_since(step, state, firing))
        state = replace(state, due_at=planned(step, state, incident))
        incident = _put_step(incident, state)
        due = due_at(step, state, incident)
        if due is None or now < due or not _ripe(step, firing, figures, now):
            continue
        if incident.is_silent(now):
            continue
        incident, change = _do_step(incident, lane, step, due, now)
        changes.append(change)
    return incident, changes


def _since(step: Step, state: StepState, firing: Sequence[FiringRule]) -> int | None:
    """Since when the step's rule fires: kept over a pause, begun anew when only the rule stops."""
    found = next((rule.since for rule in firing if rule.id == step.rule), None)
    return found if found is None or state.since is None else state.since


def _ripe(step: Step, firing: Sequence[FiringRule], figures: Figures | None, now: int) -> bool:
    if figures is None:  # nothing is seen: clocks run on, conditions wait
        return step.condition is None
    if not meets(step.condition, figures):
        return False
    if not step.after_s:
        return True
    burning = any(rule.true_now for rule in firing if _is_for(step, rule))
    return burning and now - figures.last_bad_at <= BURNING_MS


def _is_for(step: Step, rule: FiringRule) -> bool:
    if step.rule is not None:
        return rule.id == step.rule
    return step.severity != "P1" or rule.severity == "P1"


def _put_step(incident: Incident, state: StepState) -> Incident:
    steps = tuple(state if step.id == state.id else step for step in incident.steps)
    return replace(incident, steps=steps)


def _do_step(
    incident: Incident, lane: Lane, step: Step, due: int, now: int
) -> tuple[Incident, Change]:
    late_s = (now - due) // 1000 if now - due > LATE_MS and step.condition is None else 0
    pagers = tuple(pagerduty(owner) for owner in step.to) if step.how == "page" else ()
    if pagers:
        incident = _page_more(incident, pagers, now)
    done = next(s for s in incident.steps if s.id == step.id)
    incident = _put_step(incident, replace(done, done_at=now, due_at=due, late_s=late_s))
    reason = f"{step.text or step.id}: {', '.join(step.to)}"
    channel = slack(lane.route.channel)
    incident = heard(noted(incident, "escalate", now, reason), channel)
    return incident, Change(
        kind="escalate",
        incident=incident,
        at=now,
        reason=reason,
        seq=incident.seq,
        channels=(channel,),
        pagers=pagers,
        dedup_key=incident.pages[-1].dedup_key if pagers else "",
        mentions=step.to,
        late_s=late_s,
    )


def _page_more(incident: Incident, pagers: tuple[str, ...], now: int) -> Incident:
    """Further pagers for the page that is open, so that they are resolved with it."""
    if not (incident.pages and incident.pages[-1].open):
        return add_page(incident, pagers, now)
    last = incident.pages[-1]
    last = replace(last, destinations=(*last.destinations, *pagers))
    return replace(incident, pages=(*incident.pages[:-1], last))


def remind(incident: Incident, lane: Lane, now: int) -> Moved:
    """Say again that it is still open: P1 every 4 h, P2 every day; a silence puts it off."""
    if now - incident.last_told_at < REMINDER_MS[incident.severity] or incident.is_silent(now):
        return incident, []
    often = f", has fired {incident.reopened + 1} times" if incident.reopened else ""
    return tell(incident, lane, "reminder", now, f"still open{often}", page=False)
