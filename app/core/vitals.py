"""The alerter watches itself: whether it sees, whether it is fed, whether it is heard.

These incidents belong to the pseudo SLO "alerter", each in a lane of its own, and go through the
same incidents, escalations and notices as all others.
"""

from collections.abc import Mapping
from typing import NamedTuple

import msgspec
from msgspec.structs import replace

from app.core import lifecycle, operating, rules, stories
from app.core.commands import Broken, Command, Mended
from app.core.incidents import Change, FiringRule, Incident, Lane
from app.core.judge import SloState
from app.core.notices import Notice, Severity, Story
from app.core.operating import Carry, Obeyed, Post
from app.core.ownership import Route, slack
from app.core.rules import INACTIVE, Timing
from app.core.signals import Signal
from app.core.watermarks import Board

ALERTER = "alerter"
BLIND_LAG_MS = 60_000
SILENT_MS = 60_000
_REOPEN_MS = 600_000
_REPAGE_MS = 3_600_000
REJECTED_SHARE = 0.5  # of the last minute's events
REJECTED_MIN = 10


class Watch(NamedTuple):
    """How one vital sign is judged."""

    severity: Severity
    for_s: int
    runbook: str


WATCHES: dict[str, Watch] = {
    "blind": Watch("P1", 60, "blind"),
    "input-silent": Watch("P2", 0, "blind"),
    "input-broken": Watch("P2", 0, "blind"),
    "destination-broken": Watch("P2", 0, "destination-broken"),
}


class Vitals(msgspec.Struct, frozen=True, kw_only=True):
    """What is wrong at one moment, in words; an empty text where nothing is."""

    wrong: Mapping[str, str]


def read(board: Board, wall_ms: int, state: SloState, silent_slos: Mapping[str, int]) -> Vitals:
    """The vital signs; `silent_slos` by id: seconds without an event.

    Before the first catch-up the input is neither silent nor late: it has only begun.
    """
    silent = _silent(board, wall_ms, silent_slos) if state.caught_up else ""
    refusing = [f"{where} ({why})" for where, why in sorted(state.broken.items())]
    broken = f"Not to be reached: {', '.join(refusing)}" if refusing else ""
    return Vitals(
        wrong={
            "blind": _blind(board, wall_ms),
            "input-silent": silent,
            "input-broken": _unreadable(board),
            "destination-broken": broken,
        }
    )


def is_blind(board: Board, wall_ms: int) -> bool:
    """Records wait unread for longer than a judgement may be old."""
    lag = board.lag_ms(wall_ms)
    return lag is not None and lag > BLIND_LAG_MS


def _blind(board: Board, wall_ms: int) -> str:
    if not is_blind(board, wall_ms):
        return ""
    lag_s = (board.lag_ms(wall_ms) or 0) // 1000
    return f"Nothing newer than {lag_s} s is read: incidents stay as they are, nothing resolves"


def _silent(board: Board, wall_ms: int, silent_slos: Mapping[str, int]) -> str:
    found = [f"no event for {slo} in {seconds} s" for slo, seconds in sorted(silent_slos.items())]
    beat = board.heartbeat
    if beat is not None and wall_ms - beat.at > SILENT_MS:
        found.append(f"The bridge has not been heard of for {(wall_ms - beat.at) // 1000} s")
    elif beat is not None and beat.backlog and beat.oldest_at is not None:
        waited = wall_ms - beat.oldest_at
        if waited > SILENT_MS:
            found.append(
                f"The bridge is behind: {beat.backlog} rows, the oldest {waited // 1000} s old"
            )
    return "; ".join(found)


def _unreadable(board: Board) -> str:
    counted, rejected = board.last_minute
    if rejected < REJECTED_MIN or rejected < REJECTED_SHARE * (counted + rejected):
        return ""
    return f"{rejected} of {counted + rejected} events of the last minute could not be read"


class Checked(msgspec.Struct, frozen=True, kw_only=True):
    """The alerter's state after a check, and what is to be told."""

    state: SloState
    notices: tuple[Notice, ...]
    changed: tuple[Incident, ...]


def check(before: SloState, vitals: Vitals, route: Route, now: int) -> Checked:
    """Judge the vital signs at `now` (wall clock, ms)."""
    state = before
    notices: list[Notice] = []
    changed: list[Incident] = []
    for name, watch in WATCHES.items():
        wrong = vitals.wrong.get(name, "")
        state, changes = _check_one(
            state, name, _as_grave(name, watch, state, route), wrong, route, now
        )
        for change in changes:
            notices += tell(route, change, vitals.wrong.get(name, ""))
        if changes:
            changed.append(state.lanes[name])
    return Checked(
        state=replace(state, judged_at=now), notices=tuple(notices), changed=tuple(changed)
    )


def _as_grave(name: str, watch: Watch, state: SloState, route: Route) -> Watch:
    """A P1 where the channel is broken that all of this is told in: then nobody hears a P2."""
    unheard = name == "destination-broken" and slack(route.channel) in state.broken
    return watch._replace(severity="P1") if unheard else watch


def obey(before: SloState, command: Command, route: Route, now: int) -> Checked:
    """Carry out an operator's command, or hear that a destination is broken or mended."""
    post = Post(lambda name: lane_of(name, route), now)
    after = operating.carry_out(before, command, post, _COMMANDS)
    return Checked(
        state=after.state,
        notices=tuple(n for change in after.changes for n in tell(route, change)),
        changed=tuple(change.incident for change in after.changes[-1:]),
    )


def _break(state: SloState, command: Broken, _: Post) -> Obeyed:
    return Obeyed(state=replace(state, broken={**state.broken, command.destination: command.why}))


def _mend(state: SloState, command: Mended, _: Post) -> Obeyed:
    broken = {name: why for name, why in state.broken.items() if name != command.destination}
    return Obeyed(state=replace(state, broken=broken))


_COMMANDS: dict[type, Carry] = {**operating.OF_INCIDENTS, Broken: _break, Mended: _mend}


def lane_of(name: str, route: Route) -> Lane:
    """The lane of one vital sign."""
    return Lane(
        slo=ALERTER,
        name=name,
        route=route,
        reopen_ms=_REOPEN_MS,
        repage_ms=_REPAGE_MS,
        prefix=f"{ALERTER}-{name}",
    )


def _check_one(
    state: SloState, name: str, watch: Watch, wrong: str, route: Route, now: int
) -> tuple[SloState, list[Change]]:
    signal = Signal(
        rule=name, severity=watch.severity, window_s=60, value=None, threshold=0, true=bool(wrong)
    )
    rule = rules.step(state.rules.get(name, INACTIVE), signal, Timing(watch.for_s, 0, 0), now)
    state = replace(state, rules={**state.rules, name: rule})
    firing = (
        [FiringRule(name, watch.severity, rule.since, true_now=True)]
        if rule.state == "firing"
        else []
    )
    before = state.lanes.get(name)
    after, changes = lifecycle.advance(before, lane_of(name, route), firing, None, now)
    if after is not None and after is not before:
        state = replace(state, lanes={**state.lanes, name: after})
    return state, changes


def tell(route: Route, change: Change, wrong: str = "") -> list[Notice]:
    """The notices of a change of one of the alerter's own incidents."""
    incident = change.incident
    story = Story(
        slo=ALERTER,
        objective=1.0,
        headline=wrong or f"{incident.lane}: {change.reason}",
        findings=(),
        budget=None,
        owner=route.owner,
        next_step=stories.next_step(incident, route),
        contributors=(),
        examples=(),
        conversations=(),
        opened_at=incident.opened_at,
        resolved_at=incident.resolved_at,
        reason=change.reason,
        runbook=WATCHES[incident.lane].runbook,
    )
    return stories.notices(change, story, incident.severity)
