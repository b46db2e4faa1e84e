"""How incidents begin, go on, flap and end. Pure: each step gives the changes to be told."""

from collections.abc import Sequence

from msgspec.structs import replace

from app.core.escalation import escalate, remind
from app.core.escalation_steps import planned_steps
from app.core.figures import Figures
from app.core.incidents import (
    Acknowledged,
    Change,
    FiringRule,
    Incident,
    Lane,
    Moved,
    key_of,
    utc,
)
from app.core.notices import Kind, Severity
from app.core.silences import Silence
from app.core.telling import (
    close_pages,
    page_alone,
    pages,
    record,
    tell,
    to_open_pages,
    with_page,
)


def advance(
    before: Incident | None,
    lane: Lane,
    firing: Sequence[FiringRule],
    figures: Figures | None,
    now: int,
    *,
    conversations: tuple[str, ...] = (),
    why: str = "recovered",
    silences: tuple[Silence, ...] = (),
) -> tuple[Incident | None, list[Change]]:
    """The lane's incident at `now`, and what is to be told; `silences`: those that hold it back."""
    if not firing:
        return _stopped(before, lane, now, why)
    if before is None or not _same(before, lane, now):
        incident, changes = _open(lane, firing, now, conversations, silences)
    elif not before.open:
        before = replace(before, silences=silences)
        incident, changes = _reopen(before, lane, firing, now, conversations)
    else:
        incident, changes = _go_on(before, lane, firing, now, conversations, silences)
    incident, more = escalate(incident, lane, firing, figures, now)
    changes += more
    incident, more = remind(incident, lane, now)
    return incident, changes + more


def _stopped(
    before: Incident | None, lane: Lane, now: int, why: str
) -> tuple[Incident | None, list[Change]]:
    """Nothing fires: it is over, but one that flaps only after a longer quiet."""
    if before is None or not before.open:
        return before, []
    quiet_since = now if before.quiet_since is None else before.quiet_since
    if is_flapping(before, lane) and now - quiet_since < lane.quiet_ms:
        return replace(before, rules=(), quiet_since=quiet_since), []
    return resolve(before, lane, now, by="", why=why)


def is_flapping(incident: Incident, lane: Lane) -> bool:
    """Whether it has fired again so often that each time is no news any more."""
    return incident.reopened >= lane.flapping_after


def _same(before: Incident, lane: Lane, now: int) -> bool:
    if before.open:
        return True
    return before.resolved_at is not None and now - before.resolved_at <= lane.reopen_ms


def worst(firing: Sequence[FiringRule]) -> Severity:
    """P1 where any rule is P1."""
    return "P1" if any(rule.severity == "P1" for rule in firing) else "P2"


def _ids(firing: Sequence[FiringRule]) -> tuple[str, ...]:
    return tuple(rule.id for rule in firing)


def _joined(known: tuple[str, ...], more: tuple[str, ...]) -> tuple[str, ...]:
    return (*known, *(name for name in more if name not in known))


def _open(
    lane: Lane,
    firing: Sequence[FiringRule],
    now: int,
    conversations: tuple[str, ...],
    silences: tuple[Silence, ...],
) -> Moved:
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
        silences=silences,
        untold=True,
    )
    reason = f"{', '.join(incident.rules)} fires{_silenced(silences)}"
    return tell(with_page(incident, lane, now), lane, "trigger", now, reason, page=True)


def _silenced(silences: Sequence[Silence]) -> str:
    """Who holds it back, until when and why, to be put behind what happened."""
    if not silences:
        return ""
    last = max(silences, key=lambda one: one.ends_at)
    return f" (silenced until {utc(last.ends_at)} by {last.by}: {last.why})"


def _paused(before: Incident, pause_ms: int) -> Incident:
    """The same incident goes on: a pause does not count for its escalation."""
    p1_since = before.p1_since
    return replace(
        before,
        reopened=before.reopened + 1,
        paused_ms=before.paused_ms + pause_ms,
        p1_since=None if p1_since is None else p1_since + pause_ms,
        quiet_since=None,
        steps=tuple(
            step if step.since is None else replace(step, since=step.since + pause_ms)
            for step in before.steps
        ),
    )


def _reopen(
    before: Incident,
    lane: Lane,
    firing: Sequence[FiringRule],
    now: int,
    conversations: tuple[str, ...],
) -> Moved:
    severity = worst(firing)
    incident = _paused(before, now - (before.resolved_at or now))
    p1_since = now if incident.p1_since is None else incident.p1_since
    incident = replace(
        incident,
        state="firing",
        severity=severity,
        rules=_ids(firing),
        resolved_at=None,
        resolved_by="",
        why="",
        p1_since=p1_since if severity == "P1" else None,
        p1_last=now if severity == "P1" else before.p1_last,
        acknowledged=None,
        conversations=_joined(before.conversations, conversations),
    )
    reason = f"{_again(incident, lane)}{_silenced(before.silences)}"
    return tell(with_page(incident, lane, now), lane, "trigger", now, reason, page=True)


def _again(incident: Incident, lane: Lane) -> str:
    if not is_flapping(incident, lane):
        return "fires again"
    quiet = lane.quiet_ms // 60_000
    times = incident.reopened + 1
    return f"fires again, {times} times now: it flaps, and stays open until {quiet} min are quiet"


def _go_on(
    before: Incident,
    lane: Lane,
    firing: Sequence[FiringRule],
    now: int,
    conversations: tuple[str, ...],
    silences: tuple[Silence, ...],
) -> Moved:
    incident, changes = _hush(before, silences, now)
    if incident.quiet_since is not None:
        resumed = replace(_paused(incident, now - incident.quiet_since), rules=_ids(firing))
        incident, more = record(
            resumed, "update", now, f"fires again, {resumed.reopened + 1} times now"
        )
        changes += more
    incident, more = _update(incident, lane, firing, now, conversations)
    changes += more
    incident, more = _settle(incident, lane, now)
    return incident, changes + more


def _hush(before: Incident, silences: tuple[Silence, ...], now: int) -> Moved:
    """A silence begins, changes or ends: that is for the record."""
    if [one.id for one in silences] == [one.id for one in before.silences]:
        return (before if silences == before.silences else replace(before, silences=silences)), []
    incident = replace(before, silences=silences)
    reason = f"held back{_silenced(silences)}" if silences else "the silence is over"
    return record(incident, "update", now, reason)


def _settle(incident: Incident, lane: Lane, now: int) -> Moved:
    """Tell once what a silence has held back, now that it is over and it still fires.

    Where nobody has been told yet its escalation begins now: nobody could have done anything.
    """
    if not incident.owed or incident.is_silent(now):
        return incident, []
    page = incident.owed == "page" and incident.state != "acknowledged"
    kind: Kind = "trigger" if page or incident.untold else "update"
    if incident.untold and incident.severity == "P1":
        incident = replace(incident, p1_since=now)
    incident = replace(incident, owed="")
    if page:
        incident = with_page(incident, lane, now)
    return tell(incident, lane, kind, now, "the silence is over, it still fires", page=page)


def _update(
    before: Incident,
    lane: Lane,
    firing: Sequence[FiringRule],
    now: int,
    conversations: tuple[str, ...],
) -> Moved:
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
    if incident.owed and not incident.is_silent(now):
        return incident, []  # what is told now tells this as well
    if new:
        return tell(incident, lane, "update", now, f"{', '.join(new)} fires as well", page=False)
    if named:
        reason = f"{len(named)} more: {', '.join(named[:5])}"
        return tell(incident, lane, "update", now, reason, page=False)
    return incident, []


def _shift(before: Incident, incident: Incident, lane: Lane, now: int) -> Moved:
    """The severity has changed: up to P1 pages, down to P2 resolves the page."""
    return (
        _rise(before, incident, lane, now)
        if incident.severity == "P1"
        else _fall(incident, lane, now)
    )


def _rise(before: Incident, incident: Incident, lane: Lane, now: int) -> Moved:
    recent = before.p1_last is not None and now - before.p1_last <= lane.repage_ms
    incident = replace(incident, p1_since=now)
    if recent:
        incident = replace(incident, steps=planned_steps(incident, lane))
        reason = "P1 again within the hour"
        return tell(incident, lane, "update", now, reason, page=False)
    incident = with_page(replace(incident, state="firing"), lane, now)
    return tell(incident, lane, "trigger", now, "rises to P1", page=True)


def _fall(incident: Incident, lane: Lane, now: int) -> Moved:
    """Where P2 pages as well, a page of its own goes on: PagerDuty shows what is open."""
    closing = [page for page in incident.open_pages if page.severity == "P1"]
    incident = replace(incident, p1_since=None)
    incident = replace(incident, steps=planned_steps(incident, lane))
    reason = "no P1 rule fires any longer" if closing else "goes on as P2"
    incident, changes = close_pages(incident, lane, "downgrade", now, reason, closing)
    if not pages(incident, lane) or incident.open_pages:
        return incident, changes
    incident, more = page_alone(with_page(incident, lane, now), now, reason)
    return incident, changes + more


def resolve(before: Incident, lane: Lane, now: int, *, by: str, why: str) -> Moved:
    """It is over: recovered, without data, or by an operator. No silence holds that back."""
    incident = replace(
        before,
        state="resolved",
        resolved_at=now,
        resolved_by=by,
        why=why,
        rules=(),
        quiet_since=None,
        silences=(),
        owed="",
    )
    reason = f"resolved by {by}: {why}" if by else why
    if before.untold:  # whoever heard of nothing needs no end of it
        return record(incident, "resolve", now, reason)
    return close_pages(incident, lane, "resolve", now, reason, incident.open_pages)


def acknowledge(before: Incident, lane: Lane, who: Acknowledged) -> Moved:
    """Somebody has taken it; a second acknowledgement changes nothing."""
    if before.state != "firing":
        return before, []
    incident = replace(before, state="acknowledged", acknowledged=who)
    reason = f"acknowledged by {who.by} ({who.via})"
    incident, changes = tell(incident, lane, "ack", who.at, reason, page=False)
    if who.via == "pagerduty":
        return incident, changes
    incident, more = to_open_pages(incident, "ack", who.at, reason)
    return incident, changes + more


def unacknowledge(before: Incident, lane: Lane, who: Acknowledged) -> Moved:
    """Nobody has it any longer: it is as it was before somebody took it."""
    if before.state != "acknowledged":
        return before, []
    incident = replace(before, state="firing", acknowledged=None)
    reason = f"no longer acknowledged, says {who.by} ({who.via})"
    return tell(incident, lane, "update", who.at, reason, page=False)
