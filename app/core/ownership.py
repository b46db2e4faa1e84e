"""Who is told: the ownership matrix, and the steps of escalation."""

from fractions import Fraction
from typing import Literal

import msgspec

from app.core.cells import Counts
from app.core.figures import Figures
from app.core.notices import Severity

BURNING_MS = 30 * 60 * 1000
"""A timed step becomes due only when a bad event came within this time."""


class TooMany(msgspec.Struct, frozen=True, kw_only=True, tag="too_many"):
    """More than so many bad events within a window."""

    more_than: int
    window_s: int


class Growing(msgspec.Struct, frozen=True, kw_only=True, tag="growing"):
    """The mean of the last 30 min is at least so much above that of the 30 min before."""

    by: float = 0.10
    min_total: int = 5


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """One step of an escalation. It is for a P1 (`severity`) or for one rule that fires."""

    id: str
    to: tuple[str, ...]  # owners
    how: Literal["page", "notify"]
    after_s: int = 0
    severity: Severity | None = None
    rule: str | None = None
    condition: TooMany | Growing | None = None
    text: str = ""  # the condition in words, for people


class Route(msgspec.Struct, frozen=True, kw_only=True):
    """One row of the ownership matrix."""

    slo: str
    owner: str  # "@backend-team"
    channel: str  # "#headless-alerts"
    steps: tuple[Step, ...] = ()
    page_p2: bool = False
    stop_on: Literal["resolve", "ack"] = "resolve"


class Ownership(msgspec.Struct, frozen=True, kw_only=True):
    """The whole matrix, by SLO id; "alerter" is the row of this program itself."""

    routes: dict[str, Route]
    slack_operators: tuple[str, ...] = ()  # users (U…) and groups (S…) whose buttons count
    slack_ids: dict[str, str] = {}  # "@backend-team" → "S0…" or "U0…"

    def destinations(self) -> tuple[str, ...]:
        """Every destination that somebody may be told at."""
        routes = self.routes.values()
        paged = {to for r in routes for step in r.steps if step.how == "page" for to in step.to}
        pagers = map(pagerduty, paged | {r.owner for r in routes})
        return tuple(sorted({*(slack(r.channel) for r in routes), *pagers}))


def meets(condition: TooMany | Growing | None, figures: Figures) -> bool:
    """Whether a step's condition is true."""
    if condition is None:
        return True
    if isinstance(condition, TooMany):
        return figures.windows[condition.window_s].bad > condition.more_than
    return _grows(condition, *figures.growth)


def _grows(condition: Growing, last: Counts, before: Counts) -> bool:
    if min(last.total, before.total) < condition.min_total:
        return False
    # the two means compared crosswise, so that nothing is divided or rounded
    least = (1 + Fraction(str(condition.by))) * before.sum_u * last.total
    return last.sum_u * before.total >= least


def slack(channel: str) -> str:
    """The destination of a channel."""
    return f"slack:{channel}"


def pagerduty(owner: str) -> str:
    """The destination of an owner's pager."""
    return f"pagerduty:{owner}"
