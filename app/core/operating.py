"""Operating: commands carried out, each kind by one line of a table.

Whatever way a command comes (command line, API, PagerDuty, Slack), it ends here, one after the
other for each SLO: so there is one state, and the first of two that say the same counts.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import msgspec
from msgspec.structs import replace

from app.core import corrections, gates, judge, lifecycle, maintenance, silences, stories
from app.core.commands import (
    Acknowledge,
    BeginMaintenance,
    BeginSilence,
    Command,
    Correct,
    EndMaintenance,
    EndSilence,
    Order,
    OverrideGate,
    Resolve,
    Revert,
    TickOff,
    Unacknowledge,
)
from app.core.gates import Override
from app.core.incidents import Acknowledged, Change, Incident, Lane, Moved
from app.core.judge import Judged, SloState
from app.core.ledger import Ledger
from app.core.notices import Notice
from app.core.ownership import Route
from app.core.slos import Slo

WINDOWS_KEPT = 100
OBEYED_KEPT = 500
"""So many commands are known again when they come twice."""


class Post(NamedTuple):
    """Where a command is carried out: the lanes there, and how things stand. Times in ms."""

    lane: Callable[[str], Lane]
    now: int
    last_bad_at: int = 0
    announce: Callable[[Override], Notice] | None = None  # in an SLO's channel


class Obeyed(msgspec.Struct, frozen=True, kw_only=True):
    """The state after a command, and what there is to be told."""

    state: SloState
    changes: tuple[Change, ...] = ()  # of incidents
    notices: tuple[Notice, ...] = ()  # of anything else


Carry = Callable[[SloState, Any, Post], Obeyed]


def carry_out(state: SloState, command: Command, post: Post, table: dict[type, Carry]) -> Obeyed:
    """The command carried out; one that is known already, or not of the table, changes nothing.

    What changes nothing is known as well: read again later it might.
    """
    carry = table.get(type(command))
    if carry is None or command.id in state.obeyed:
        return Obeyed(state=state)
    after = carry(state, command, post)
    known = (*after.state.obeyed, command.id)[-OBEYED_KEPT:]
    return replace(after, state=replace(after.state, obeyed=known))


def _found(state: SloState, key: str) -> tuple[str, Incident] | None:
    """The open incident with this key, and its lane."""
    every = state.lanes.items()
    return next(((name, one) for name, one in every if one.key == key and one.open), None)


def _in_lane(state: SloState, name: str, step: Moved) -> Obeyed:
    after, changes = step
    if after is state.lanes[name]:
        return Obeyed(state=state)
    lanes = {**state.lanes, name: after}
    return Obeyed(state=replace(state, lanes=lanes), changes=tuple(changes))


def _acknowledge(state: SloState, command: Acknowledge, post: Post) -> Obeyed:
    found = _found(state, command.incident)
    if found is None:
        return Obeyed(state=state)
    name, incident = found
    who = Acknowledged(command.by, post.now, command.via)
    return _in_lane(state, name, lifecycle.acknowledge(incident, post.lane(name), who))


def _unacknowledge(state: SloState, command: Unacknowledge, post: Post) -> Obeyed:
    found = _found(state, command.incident)
    if found is None:
        return Obeyed(state=state)
    name, incident = found
    who = Acknowledged(command.by, post.now, command.via)
    return _in_lane(state, name, lifecycle.unacknowledge(incident, post.lane(name), who))


def _resolve(state: SloState, command: Resolve, post: Post) -> Obeyed:
    """Its rules begin anew, and fire again only on bad events later than now."""
    found = _found(state, command.incident)
    if found is None:
        return Obeyed(state=state)
    name, incident = found
    if command.page and command.page not in [page.dedup_key for page in incident.open_pages]:
        return Obeyed(state=state)
    ended = _in_lane(
        state,
        name,
        lifecycle.resolve(incident, post.lane(name), post.now, by=command.by, why=command.why),
    )
    after = replace(
        ended.state,
        rules={r: s for r, s in state.rules.items() if judge.lane_of(r) != name},
        cleared_at={**state.cleared_at, name: max(post.now, post.last_bad_at)},
    )
    return replace(ended, state=after)


OF_INCIDENTS: dict[type, Carry] = {
    Acknowledge: _acknowledge,
    Unacknowledge: _unacknowledge,
    Resolve: _resolve,
}
"""What can be done with an incident, of an SLO or of the alerter itself."""


def _silence(state: SloState, command: BeginSilence, post: Post) -> Obeyed:
    if command.silence.ends_at <= post.now:
        return Obeyed(state=state)
    known = silences.added(state.silences, command.silence, post.now)
    return Obeyed(state=replace(state, silences=known))


def _unsilence(state: SloState, command: EndSilence, _: Post) -> Obeyed:
    left = tuple(one for one in state.silences if one.id != command.silence)
    return Obeyed(state=replace(state, silences=left))


def _maintain(state: SloState, command: BeginMaintenance, post: Post) -> Obeyed:
    others = [one for one in state.maintenance if one.id != command.window.id]
    coming = [one for one in others if maintenance.next_occurrence(one, post.now)]
    known = (*coming[-(WINDOWS_KEPT - 1) :], command.window)
    return Obeyed(state=replace(state, maintenance=known))


def _unmaintain(state: SloState, command: EndMaintenance, _: Post) -> Obeyed:
    left = tuple(one for one in state.maintenance if one.id != command.window)
    return Obeyed(state=replace(state, maintenance=left))


def _correct(state: SloState, command: Correct, _: Post) -> Obeyed:
    known = corrections.added(state.corrections, command.correction)
    return Obeyed(state=replace(state, corrections=known))


def _revert(state: SloState, command: Revert, _: Post) -> Obeyed:
    left = tuple(one for one in state.corrections if one.id != command.correction)
    return Obeyed(state=replace(state, corrections=left))


def _override(state: SloState, command: OverrideGate, post: Post) -> Obeyed:
    override = Override(
        id=command.id, by=command.by, why=command.why, at=post.now, until=command.until
    )
    after = replace(state, overrides=gates.added(state.overrides, override))
    return Obeyed(state=after, notices=(post.announce(override),) if post.announce else ())


def _tick_off(state: SloState, command: TickOff, post: Post) -> Obeyed:
    freeze = gates.ticked_off(state.freeze, command.what, command.link, post.now)
    return Obeyed(state=state if freeze is state.freeze else replace(state, freeze=freeze))


OF_SLOS: dict[type, Carry] = {
    **OF_INCIDENTS,
    BeginSilence: _silence,
    EndSilence: _unsilence,
    BeginMaintenance: _maintain,
    EndMaintenance: _unmaintain,
    Correct: _correct,
    Revert: _revert,
    OverrideGate: _override,
    TickOff: _tick_off,
}
"""What can be done with an SLO."""


def obey(
    slo: Slo, route: Route, before: SloState, ledger: Ledger, command: Order, now: int
) -> Judged:
    """Carry out a command for an SLO; one that names no open incident changes nothing."""
    seen, found = judge.look(slo, before, ledger, now)
    post = Post(
        lambda name: judge.lane(slo, route, name),
        now,
        seen.last_bad_at,
        lambda override: gates.notice(slo, route, before.freeze, override, seen.budget),
    )
    after = carry_out(before, command, post, OF_SLOS)  # type: ignore[arg-type]
    told = [n for c in after.changes for n in stories.tell(slo, route, c, seen, found, ledger)]
    return Judged(
        state=after.state,
        figures=seen,
        signals=found,
        notices=(*told, *after.notices),
        changed=tuple({c.incident.key: c.incident for c in after.changes}.values()),
        decided=after.state is not before,
    )
