"""The steps of an incident's escalation: which there are, and when each is due."""

from msgspec.structs import replace

from app.core.incidents import Incident, Lane, StepState
from app.core.ownership import Step


def planned_steps(incident: Incident, lane: Lane, *, anew: bool = True) -> tuple[StepState, ...]:
    """The route's steps that are for this incident; a new page makes its P1 steps anew."""
    known = {step.id: step for step in incident.steps}
    paged_anew = anew and len(incident.pages) > 1 and incident.pages[-1].open
    steps = []
    for step in lane.route.steps:
        if step.rule is not None and lane.name != "main":
            continue
        if step.severity == "P1" and incident.severity != "P1":
            continue
        have = known.get(step.id)
        if anew and step.severity == "P1" and (paged_anew or (have and have.done_at is None)):
            have = None
        fresh = StepState(id=step.id, to=step.to, how=step.how, text=step.text)
        steps.append(have or replace(fresh, due_at=planned(step, fresh, incident)))
    return tuple(steps)


def rerouted(incident: Incident, lane: Lane) -> Incident:
    """By the route as it is now: what an older one has done stays, what it had still to do goes."""
    route = {step.id for step in lane.route.steps}
    done = [s for s in incident.steps if s.done_at is not None and s.id not in route]
    steps = (*done, *planned_steps(incident, lane, anew=False))
    return incident if steps == incident.steps else replace(incident, steps=steps)


def planned(step: Step, state: StepState, incident: Incident) -> int | None:
    """The time that people are told; none where a condition decides."""
    return None if step.condition is not None else due_at(step, state, incident)


def due_at(step: Step, state: StepState, incident: Incident) -> int | None:
    """When the step's time has come, ms; None while what it waits for is not so."""
    since: int | None = incident.opened_at + incident.paused_ms
    if step.rule is not None:
        since = state.since
    elif step.severity == "P1":
        since = incident.p1_since
    return None if since is None else since + step.after_s * 1000
