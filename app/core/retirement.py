"""Retirement: an SLO is configured no more, and what it had begun must end.

Neither the SLO nor its route need be known any longer: an incident knows whom it was told.
"""

import msgspec
from msgspec.structs import replace

from app.core import lifecycle, stories
from app.core.freezes import Freeze
from app.core.incidents import Change, Incident, Lane
from app.core.judge import SloState
from app.core.notices import Notice, Story
from app.core.ownership import Route

WHY = "the SLO is configured no more"


class Retired(msgspec.Struct, frozen=True, kw_only=True):
    """The state of an SLO that is gone, and what is to be told of its end."""

    state: SloState
    notices: tuple[Notice, ...]
    changed: tuple[Incident, ...]


def is_due(state: SloState) -> bool:
    """Something of it goes on."""
    return state.freeze.frozen or any(incident.open for incident in state.lanes.values())


def retire(before: SloState, now: int) -> Retired:
    """End every open incident where it was told, and the freeze."""
    lanes, notices, changed = dict(before.lanes), list[Notice](), list[Incident]()
    for name, incident in before.lanes.items():
        if incident.open:
            after, changes = lifecycle.resolve(incident, _lane(incident), now, by="", why=WHY)
            lanes[name] = after
            changed.append(after)
            notices += [notice for change in changes for notice in _tell(change)]
    return Retired(
        state=replace(before, lanes=lanes, rules={}, freeze=Freeze()),
        notices=tuple(notices),
        changed=tuple(changed),
    )


def _lane(incident: Incident) -> Lane:
    owners = [d.partition(":")[2] for page in incident.pages for d in page.destinations]
    channels = [channel.partition(":")[2] for channel in incident.channels]
    route = Route(slo=incident.slo, owner=next(iter(owners), ""), channel=next(iter(channels), ""))
    return Lane(
        slo=incident.slo, name=incident.lane, route=route, reopen_ms=0, repage_ms=0, prefix=""
    )


def _tell(change: Change) -> list[Notice]:
    incident = change.incident
    told = replace(
        change,
        channels=incident.channels if change.channels else (),
        mentions=tuple(filter(None, change.mentions)),
    )
    story = Story(
        slo=incident.slo,
        objective=1.0,
        headline=f"{incident.slo}: {WHY}",
        findings=(),
        budget=None,
        owner=next(iter(told.mentions), ""),
        next_step=None,
        contributors=(),
        examples=(),
        conversations=incident.conversations,
        opened_at=incident.opened_at,
        resolved_at=incident.resolved_at,
        reason=change.reason,
    )
    return stories.notices(told, story, incident.severity)
