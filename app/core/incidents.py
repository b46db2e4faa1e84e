"""Incidents: one page, one story, from the first firing rule to the resolve.

An SLO has up to two incidents at once, each in a lane of its own: "main" for breach, fast burn and
zero tolerance, "slow-burn" for the week. What they are made of stands here; how they begin, go on
and end in `lifecycle`, who is told in `telling`, who is told later in `escalation`.
"""

from datetime import UTC, datetime
from typing import Literal

import msgspec

from app.core.notices import Kind, Severity
from app.core.ownership import Route
from app.core.silences import Silence

State = Literal["firing", "acknowledged", "resolved"]

TRANSITIONS: dict[str, dict[str, State]] = {
    "firing": {"ack": "acknowledged", "recovered": "resolved"},
    "acknowledged": {"recovered": "resolved", "raised": "firing", "unack": "firing"},
    "resolved": {"fired again": "firing"},
}
"""What may follow what; the documentation's diagram is drawn from it."""

REMINDER_MS = {"P1": 4 * 3600 * 1000, "P2": 24 * 3600 * 1000}


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
    untold: bool = False  # a silence held it back, or it is for the record alone


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
    reopened: int = 0  # so often it has fired again
    quiet_since: int | None = None  # flapping: nothing fires since then, and it stays open
    acknowledged: Acknowledged | None = None
    resolved_at: int | None = None
    resolved_by: str = ""
    why: str = ""
    pages: tuple[Page, ...] = ()
    steps: tuple[StepState, ...] = ()
    conversations: tuple[str, ...] = ()
    channels: tuple[str, ...] = ()  # Slack destinations that were told: they hear how it ends
    silences: tuple[Silence, ...] = ()  # those that hold it back now
    untold: bool = False  # nobody has been told of it yet
    owed: Literal["", "message", "page"] = ""  # what a silence has held back
    history: tuple[Entry, ...] = ()

    @property
    def open(self) -> bool:
        """Not resolved."""
        return self.state != "resolved"

    def is_silent(self, now: int) -> bool:
        """Whether a silence holds back what there is to tell."""
        return any(silence.ends_at > now for silence in self.silences)

    @property
    def open_pages(self) -> list[Page]:
        """The pages that are not resolved."""
        return [page for page in self.pages if page.open]


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """One thing to tell about an incident, and whom; nobody: it is for the record alone."""

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
    flapping_after: int = 2  # reopenings, then it stays open until it is quiet
    quiet_ms: int = 1_800_000


Moved = tuple[Incident, list[Change]]
"""An incident after a step, and what there is to tell."""


def key_of(prefix: str, at: int) -> str:
    """`<prefix>-<start, UTC>`, as in availability-20261013T140500Z."""
    return f"{prefix}-{datetime.fromtimestamp(at // 1000, UTC):%Y%m%dT%H%M%SZ}"


def utc(at: int) -> str:
    """A time as it stands in an incident's history: 2026-10-13 14:05 UTC."""
    return f"{datetime.fromtimestamp(at / 1000, UTC):%Y-%m-%d %H:%M} UTC"
