"""Incidents: one page, one story, from the first firing rule to the resolve.

An SLO has up to two incidents at once, each in a lane of its own: "main" for breach, fast burn and
zero tolerance, "slow-burn" for the week. All functions are pure and give the changes to be told.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Literal

import msgspec
from msgspec.structs import replace

from app.core.figures import Figures
from app.core.notices import Kind, Severity
from app.core.ownership import BURNING_MS, Route, Step, meets, pagerduty, slack

State = Literal["firing", "acknowledged", "resolved"]

TRANSITIONS: dict[str, dict[str, State]] = {
    "firing": {"ack": "acknowledged", "recovered": "resolved"},
    "acknowledged": {"recovered": "resolved", "raised": "firing", "unack": "firing"},
    "resolved": {"fired again": "firing"},
}
"""What may follow what; the documentation's diagram is drawn from it."""

REMINDER_MS = {"P1": 4 * 3600 * 1000, "P2": 24 * 3600 * 1000}
HISTORY_KEPT = 100
LATE_MS = 60_000  # a step done later than this after it was due says so


class FiringRule(msgspec.Struct, frozen=True):
    """A rule of the lane that fires, since when (ms), and whether it is bare-true right now."""

    id: str
    severity: Severity
    since: int
    true_now: bool


class Acknowledged(msgspec.Struct, frozen=True):
    """Who took it, when (ms), and by which way (api, slack, pagerduty)."""

    by: str
    at: int
    via: str


class Page(msgspec.Struct, frozen=True, kw_only=True):
    """One dedup key that was triggered, and where."""

    dedup_key: str
    severity: Severity
    at: int
    destinations: tuple[str, ...]
    open: bool = True


class StepState(msgspec.Struct, frozen=True, kw_only=True):
    """Where one step of the escalation stands; `due_at` None: when its condition comes true."""

    id: str
    to: tuple[str, ...]
    how: Literal["page", "notify"]
    text: str = ""
    since: int | None = None  # its rule fires since then, pauses left out
    due_at: int | None = None
    done_at: int | None = None
    late_s: int = 0


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """One line of an incident's history."""

    at: int
    kind: Kind
    reason: str


class Incident(msgspec.Struct, frozen=True, kw_only=True):
    """One incident. Times in ms of judge time."""

    key: str
    slo: str
    lane: str
    state: State
    severity: Severity
    rules: tuple[str, ...]
    opened_at: int
    last_told_at: int
    seq: int = 0  # changes so far; makes the ids of notices
    p1_since: int | None = None
    p1_last: int | None = None  # when a P1 rule last fired
    paused_ms: int = 0
    acknowledged: Acknowledged | None = None
    resolved_at: int | None = None
    resolved_by: str = ""
    why: str = ""
    pages: tuple[Page, ...] = ()
    steps: tuple[StepState, ...] = ()
    conversations: tuple[str, ...] = ()
    channels: tuple[str, ...] = ()  # Slack destinations that were told: they hear how it ends
    history: tuple[Entry, ...] = ()

    @property
    def open(self) -> bool:
        """Not resolved."""
        return self.state != "resolved"


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """One thing to tell about an incident, and whom."""

    kind: Kind
    incident: Incident  # as it is after the change
    at: int
    reason: str
    seq: int
    channels: tuple[str, ...] = ()  # Slack destinations
    pagers: tuple[str, ...] = ()  # PagerDuty destinations
    dedup_key: str = ""
    mentions: tuple[str, ...] = ()
    late_s: int = 0


class Lane(msgspec.Struct, frozen=True, kw_only=True):
    """What an incident's next step depends on, beside the incident itself."""

    slo: str
    name: str
    route: Route
    reopen_ms: int
    repage_ms: int
    prefix: str  # of the key


Step_ = tuple[Incident, list[Change]]


def key_of(prefix: str, at: int) -> str:
    """`<prefix>-<start, UTC>`, as in availability-20261013T140500Z."""
    return f"{prefix}-{datetime.fromtimestamp(at // 1000, UTC):%Y%m%dT%H%M%SZ}"


def advance(
    before: Incident | None,
    lane: Lane,
    firing: Sequence[FiringRule],
    figures: Figures | None,
    now: int,
    *,
    conversations: tuple[str, ...] = (),
    why: str = "recovered",
) -> tuple[Incident | None, list[Change]]:
    """The lane's incident at `now`, and what is to be told."""
    if not firing:
        if before is None or not before.open:
            return before, []
        return resolve(before, lane, now, by="", why=why)
    if before is None or not _same(before, lane, now):
        incident, changes = _open(lane, firing, now, conversations)
    elif not before.open:
        incident, changes = _reopen(before, lane, firing, now, conversations)
    else:
        incident, changes = _update(before, lane, firing, now, conversations)
    incident, more = escalate(incident, lane, firing, figures, now)
    changes += more
    incident, more = remind(incident, lane, now)
    return incident, changes + more


def _same(before: Incident, lane: Lane, now: int) -> bool:
    if before.open:
        return True
    return before.resolved_at is not None and now - before.resolved_at <= lane.reopen_ms


def worst(firing: Sequence[FiringRule]) -> Severity:
    """P1 where any rule is P1."""
    return "P1" if any(rule.severity == "P1" for rule in firing) else "P2"


def _ids(firing: Sequence[FiringRule]) -> tuple[str, ...]:
    return tuple(rule.id for rule in firing)


def _open(
    lane: Lane, firing: Sequence[FiringRule], now: int, conversations: tuple[str, ...]
) -> Step_:
    severity = worst(firing)
    incident = Incident(
        key=key_of(lane.prefix, now),
        slo=lane.slo,
        lane=lane.name,
        state="firing",
        severity=severity,
        rules=_ids(firing),
        opened_at=now,
        last_told_at=now,
        p1_since=now if severity == "P1" else None,
        p1_last=now if severity == "P1" else None,
        conversations=conversations,
    )
    reason = f"{', '.join(incident.rules)} fires"
    return _tell(_with_page(incident, lane, now), lane, "trigger", now, reason, page=True)


def _pages(incident: Incident, lane: Lane) -> bool:
    return incident.severity == "P1" or lane.route.page_p2


def _with_page(incident: Incident, lane: Lane, now: int) -> Incident:
    """With a new page to the owner, where this severity pages; its P1 steps begin anew."""
    if not _pages(incident, lane):
        return replace(incident, steps=_steps(incident, lane))
    number = 1 + sum(page.severity == incident.severity for page in incident.pages)
    page = Page(
        dedup_key=f"{incident.key}/{incident.severity}/{number}",
        severity=incident.severity,
        at=now,
        destinations=(pagerduty(lane.route.owner),),
    )
    incident = replace(incident, pages=(*incident.pages, page))
    return replace(incident, steps=_steps(incident, lane))


def _steps(incident: Incident, lane: Lane, *, anew: bool = True) -> tuple[StepState, ...]:
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
        steps.append(have or replace(fresh, due_at=_planned(step, fresh, incident)))
    return tuple(steps)


def _rerouted(incident: Incident, lane: Lane) -> Incident:
    """By the route as it is now: what an older one has done stays, what it had still to do goes."""
    route = {step.id for step in lane.route.steps}
    done = [s for s in incident.steps if s.done_at is not None and s.id not in route]
    steps = (*done, *_steps(incident, lane, anew=False))
    return incident if steps == incident.steps else replace(incident, steps=steps)


def _reopen(
    before: Incident,
    lane: Lane,
    firing: Sequence[FiringRule],
    now: int,
    conversations: tuple[str, ...],
) -> Step_:
    """The same incident goes on; the pause does not count for its escalation."""
    pause = now - (before.resolved_at or now)
    severity = worst(firing)
    p1_since = before.p1_since + pause if before.p1_since is not None else None
    if severity == "P1" and p1_since is None:
        p1_since = now
    incident = replace(
        before,
        state="firing",
        severity=severity,
        rules=_ids(firing),
        resolved_at=None,
        resolved_by="",
        why="",
        paused_ms=before.paused_ms + pause,
        p1_since=p1_since if severity == "P1" else None,
        p1_last=now if severity == "P1" else before.p1_last,
        acknowledged=None,
        conversations=_joined(before.conversations, conversations),
        steps=tuple(
            step if step.since is None else replace(step, since=step.since + pause)
            for step in before.steps
        ),
    )
    return _tell(_with_page(incident, lane, now), lane, "trigger", now, "fires again", page=True)


def _update(
    before: Incident,
    lane: Lane,
    firing: Sequence[FiringRule],
    now: int,
    conversations: tuple[str, ...],
) -> Step_:
    severity = worst(firing)
    p1_last = now if severity == "P1" else before.p1_last
    new = [rule.id for rule in firing if rule.id not in before.rules]
    joined = _joined(before.conversations, conversations)
    named = joined[len(before.conversations) :]
    incident = replace(
        before,
        severity=severity,
        rules=_ids(firing),
        p1_last=p1_last,
        conversations=joined,
    )
    if severity != before.severity:
        return _shift(before, incident, lane, now)
    if new:
        return _tell(incident, lane, "update", now, f"{', '.join(new)} fires as well", page=False)
    if named:
        reason = f"{len(named)} more: {', '.join(named[:5])}"
        return _tell(incident, lane, "update", now, reason, page=False)
    return incident, []


def _joined(known: tuple[str, ...], more: tuple[str, ...]) -> tuple[str, ...]:
    return (*known, *(name for name in more if name not in known))


def _shift(before: Incident, incident: Incident, lane: Lane, now: int) -> Step_:
    """The severity has changed: up to P1 pages, down to P2 resolves the page."""
    if incident.severity == "P1":
        recent = before.p1_last is not None and now - before.p1_last <= lane.repage_ms
        incident = replace(incident, p1_since=now)
        if recent:
            incident = replace(incident, steps=_steps(incident, lane))
            reason = "P1 again within the hour"
            return _tell(incident, lane, "update", now, reason, page=False)
        incident = replace(incident, state="firing")
        incident = _with_page(incident, lane, now)
        return _tell(incident, lane, "trigger", now, "rises to P1", page=True)
    pages = [page for page in _open_pages(incident) if page.severity == "P1"]
    incident = replace(incident, p1_since=None)
    incident = replace(incident, steps=_steps(incident, lane))
    reason = "no P1 rule fires any longer" if pages else "goes on as P2"
    return _close_pages(incident, lane, "downgrade", now, reason, pages)


def _open_pages(incident: Incident) -> list[Page]:
    return [page for page in incident.pages if page.open]


def _tell(
    incident: Incident, lane: Lane, kind: Kind, now: int, reason: str, *, page: bool
) -> Step_:
    """Tell the channel, and the owner's pager where it pages."""
    pages = page and _pages(incident, lane)
    channel = slack(lane.route.channel)
    incident = _heard(_noted(incident, kind, now, reason), channel)
    change = Change(
        kind=kind,
        incident=incident,
        at=now,
        reason=reason,
        seq=incident.seq,
        channels=(channel,),
        pagers=(pagerduty(lane.route.owner),) if pages else (),
        dedup_key=incident.pages[-1].dedup_key if pages else "",
        mentions=(lane.route.owner,),
    )
    return incident, [change]


def _noted(incident: Incident, kind: Kind, now: int, reason: str) -> Incident:
    history = (*incident.history, Entry(at=now, kind=kind, reason=reason))
    return replace(
        incident,
        seq=incident.seq + 1,
        history=(*history[:1], *history[1:][-HISTORY_KEPT:]),
        last_told_at=now,
    )


def _heard(incident: Incident, channel: str) -> Incident:
    """A channel has been told: it is told as well how it ends, whoever owns the SLO by then."""
    if channel in incident.channels:
        return incident
    return replace(incident, channels=(*incident.channels, channel))


def _close_pages(
    incident: Incident, lane: Lane, kind: Kind, now: int, reason: str, closing: Sequence[Page]
) -> Step_:
    """Resolve these dedup keys at every pager they went to, and tell every channel once."""
    closed = tuple(
        replace(page, open=False) if page in closing else page for page in incident.pages
    )
    incident = _noted(
        replace(incident, pages=closed),
        kind,
        now,
        reason,
    )
    told = Change(
        kind=kind,
        incident=incident,
        at=now,
        reason=reason,
        seq=incident.seq,
        channels=incident.channels or (slack(lane.route.channel),),
        mentions=(lane.route.owner,),
    )
    changes = [told]
    for page in closing:
        incident = replace(incident, seq=incident.seq + 1)
        changes.append(
            Change(
                kind=kind,
                incident=incident,
                at=now,
                reason=reason,
                seq=incident.seq,
                pagers=page.destinations,
                dedup_key=page.dedup_key,
            )
        )
    return incident, changes


def resolve(before: Incident, lane: Lane, now: int, *, by: str, why: str) -> Step_:
    """The incident is over: recovered, without data, or by an operator."""
    incident = replace(before, state="resolved", resolved_at=now, resolved_by=by, why=why, rules=())
    reason = f"resolved by {by}: {why}" if by else why
    return _close_pages(incident, lane, "resolve", now, reason, _open_pages(incident))


def acknowledge(before: Incident, lane: Lane, who: Acknowledged) -> Step_:
    """Somebody has taken it; a second acknowledgement changes nothing."""
    if before.state != "firing":
        return before, []
    incident = replace(before, state="acknowledged", acknowledged=who)
    reason = f"acknowledged by {who.by} ({who.via})"
    incident, changes = _tell(incident, lane, "ack", who.at, reason, page=False)
    pagers = tuple(d for page in incident.pages if page.open for d in page.destinations)
    if pagers and who.via != "pagerduty":
        keys = [page for page in incident.pages if page.open]
        for page in keys:
            incident = replace(incident, seq=incident.seq + 1)
            changes.append(
                Change(
                    kind="ack",
                    incident=incident,
                    at=who.at,
                    reason=reason,
                    seq=incident.seq,
                    pagers=page.destinations,
                    dedup_key=page.dedup_key,
                )
            )
    return incident, changes


def unacknowledge(before: Incident, lane: Lane, who: Acknowledged) -> Step_:
    """Nobody has it any longer: it is as it was before somebody took it."""
    if before.state != "acknowledged":
        return before, []
    incident = replace(before, state="firing", acknowledged=None)
    reason = f"no longer acknowledged, says {who.by} ({who.via})"
    return _tell(incident, lane, "update", who.at, reason, page=False)


def escalate(
    incident: Incident,
    lane: Lane,
    firing: Sequence[FiringRule],
    figures: Figures | None,
    now: int,
) -> Step_:
    """Do the steps that are due. A timed step waits until it burns (again)."""
    if lane.route.stop_on == "ack" and incident.state == "acknowledged":
        return incident, []
    incident = _rerouted(incident, lane)
    changes: list[Change] = []
    for step in lane.route.steps:
        state = next((s for s in incident.steps if s.id == step.id), None)
        if state is None or state.done_at is not None:
            continue
        state = replace(state, since=_since(step, state, firing))
        state = replace(state, due_at=_planned(step, state, incident))
        incident = _put_step(incident, state)
        due_at = _due_at(step, state, incident)
        if due_at is None or now < due_at or not _ripe(step, firing, figures, now):
            continue
        incident, change = _do_step(incident, lane, step, due_at, now)
        changes.append(change)
    return incident, changes


def _since(step: Step, state: StepState, firing: Sequence[FiringRule]) -> int | None:
    """Since when the step's rule fires: kept over a pause, begun anew when only the rule stops."""
    found = next((rule.since for rule in firing if rule.id == step.rule), None)
    return found if found is None or state.since is None else state.since


def _planned(step: Step, state: StepState, incident: Incident) -> int | None:
    """The time that people are told; none where a condition decides."""
    return None if step.condition is not None else _due_at(step, state, incident)


def _due_at(step: Step, state: StepState, incident: Incident) -> int | None:
    """When the step's time has come, ms; None while what it waits for is not so."""
    since: int | None = incident.opened_at + incident.paused_ms
    if step.rule is not None:
        since = state.since
    elif step.severity == "P1":
        since = incident.p1_since
    return None if since is None else since + step.after_s * 1000


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
    incident: Incident, lane: Lane, step: Step, due_at: int, now: int
) -> tuple[Incident, Change]:
    late_s = (now - due_at) // 1000 if now - due_at > LATE_MS and step.condition is None else 0
    pagers = tuple(pagerduty(owner) for owner in step.to) if step.how == "page" else ()
    if pagers:
        incident = _page_more(incident, pagers, now)
    done = next(s for s in incident.steps if s.id == step.id)
    incident = _put_step(incident, replace(done, done_at=now, due_at=due_at, late_s=late_s))
    reason = f"{step.text or step.id}: {', '.join(step.to)}"
    channel = slack(lane.route.channel)
    incident = _heard(_noted(incident, "escalate", now, reason), channel)
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
    if incident.pages and incident.pages[-1].open:
        last = incident.pages[-1]
        last = replace(last, destinations=(*last.destinations, *pagers))
        return replace(incident, pages=(*incident.pages[:-1], last))
    number = 1 + sum(page.severity == incident.severity for page in incident.pages)
    page = Page(
        dedup_key=f"{incident.key}/{incident.severity}/{number}",
        severity=incident.severity,
        at=now,
        destinations=pagers,
    )
    return replace(incident, pages=(*incident.pages, page))


def remind(incident: Incident, lane: Lane, now: int) -> Step_:
    """Say again that it is still open: P1 every 4 h, P2 every day."""
    if now - incident.last_told_at < REMINDER_MS[incident.severity]:
        return incident, []
    return _tell(incident, lane, "reminder", now, "still open", page=False)
