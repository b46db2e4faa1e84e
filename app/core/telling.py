"""Telling: a change of an incident becomes a message to its channel, and pages.

While a silence holds an incident nothing is told but resolves: what was held back is kept as owed,
and told once when the silence is over and it still fires.
"""

from collections.abc import Sequence

from msgspec.structs import replace

from app.core.escalation_steps import planned_steps
from app.core.incidents import Change, Entry, Incident, Lane, Moved, Page
from app.core.notices import Kind
from app.core.ownership import pagerduty, slack

HISTORY_KEPT = 100
_TO_ALL = frozenset({"downgrade", "resolve"})  # whoever was told of it hears of its end


def pages(incident: Incident, lane: Lane) -> bool:
    """Whether its severity pages the owner."""
    return incident.severity == "P1" or lane.route.page_p2


def tell(incident: Incident, lane: Lane, kind: Kind, now: int, reason: str, *, page: bool) -> Moved:
    """Tell the channel, and the owner's pager where it pages."""
    page = page and pages(incident, lane)
    if incident.is_silent(now):
        owed = replace(incident, owed="page" if page else incident.owed or "message")
        return record(owed, kind, now, reason)
    channels: tuple[str, ...] = (slack(lane.route.channel),)
    incident = noted(incident, kind, now, reason)
    if kind in _TO_ALL:
        channels = incident.channels or channels
    else:
        incident = heard(incident, *channels)
    if page or incident.owed == "message":
        incident = replace(incident, owed="")
    change = Change(
        kind=kind,
        incident=incident,
        at=now,
        reason=reason,
        seq=incident.seq,
        channels=channels,
        pagers=(pagerduty(lane.route.owner),) if page else (),
        dedup_key=incident.pages[-1].dedup_key if page else "",
        mentions=(lane.route.owner,),
    )
    return incident, [change]


def noted(incident: Incident, kind: Kind, now: int, reason: str) -> Incident:
    """With a line in its history that people are told of."""
    after = _written(incident, Entry(at=now, kind=kind, reason=reason))
    return replace(after, last_told_at=now, untold=False)


def heard(incident: Incident, channel: str) -> Incident:
    """A channel has been told: it is told as well how it ends, whoever owns the SLO by then."""
    if channel in incident.channels:
        return incident
    return replace(incident, channels=(*incident.channels, channel))


def record(incident: Incident, kind: Kind, now: int, reason: str) -> Moved:
    """With a line in its history that nobody is told of."""
    after = _written(incident, Entry(at=now, kind=kind, reason=reason, untold=True))
    return after, [Change(kind=kind, incident=after, at=now, reason=reason, seq=after.seq)]


def _written(incident: Incident, entry: Entry) -> Incident:
    history = (*incident.history, entry)
    kept = (*history[:1], *history[1:][-HISTORY_KEPT:])
    return replace(incident, seq=incident.seq + 1, history=kept)


def with_page(incident: Incident, lane: Lane, now: int) -> Incident:
    """With a new page to the owner, where this severity pages; its P1 steps begin anew."""
    if pages(incident, lane) and not incident.is_silent(now):
        incident = add_page(incident, (pagerduty(lane.route.owner),), now)
    return replace(incident, steps=planned_steps(incident, lane))


def add_page(incident: Incident, destinations: tuple[str, ...], now: int) -> Incident:
    """With one more page, under a dedup key of its own."""
    number = 1 + sum(page.severity == incident.severity for page in incident.pages)
    page = Page(
        dedup_key=f"{incident.key}/{incident.severity}/{number}",
        severity=incident.severity,
        at=now,
        destinations=destinations,
    )
    return replace(incident, pages=(*incident.pages, page))


def close_pages(
    incident: Incident, lane: Lane, kind: Kind, now: int, reason: str, closing: Sequence[Page]
) -> Moved:
    """Resolve these dedup keys at every pager they went to, and tell every channel once."""
    closed = tuple(
        replace(page, open=False) if page in closing else page for page in incident.pages
    )
    incident = replace(incident, pages=closed)
    incident, changes = tell(incident, lane, kind, now, reason, page=False)
    incident, more = _to_pagers(incident, kind, now, reason, closing)
    return incident, changes + more


def page_alone(incident: Incident, now: int, reason: str) -> Moved:
    """Trigger the newest page without a message to the channel."""
    if not incident.open_pages:
        return incident, []
    return _to_pagers(incident, "trigger", now, reason, incident.open_pages[-1:])


def to_open_pages(incident: Incident, kind: Kind, now: int, reason: str) -> Moved:
    """Say it at every pager that has an open page."""
    return _to_pagers(incident, kind, now, reason, incident.open_pages)


def _to_pagers(
    incident: Incident, kind: Kind, now: int, reason: str, those: Sequence[Page]
) -> Moved:
    changes = []
    for page in those:
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
