"""What an SLO is: what it counts, what it promises, which rules judge it."""

import hashlib
from typing import Literal

import msgspec

from app.core.maintenance import Window
from app.core.notices import Severity

Operator = Literal["==", "!=", ">", ">=", "<", "<=", "in", "not in"]
Literal_ = float | int | str
EvidenceField = Literal["agent_id", "cli_type", "error"]


class Condition(msgspec.Struct, frozen=True, array_like=True):
    """A comparison of one field of an event with a literal, or with several.

    A missing field meets only `!=` and `not in`.
    """

    field: str  # a column, or "metadata.NAME"
    operator: Operator
    literal: Literal_ | tuple[Literal_, ...]


class Clause(msgspec.Struct, frozen=True, kw_only=True):
    """Which events are counted, and which of them are bad."""

    event: str
    where: tuple[Condition, ...] = ()  # all must hold
    bad_when: tuple[Condition, ...] = ()  # any may hold
    always_bad: bool = False
    passes: bool = False  # clears the conversation it names


class Definition(msgspec.Struct, frozen=True, kw_only=True):
    """What an SLO counts. A changed definition is another count: its hash is in every row's key."""

    clauses: tuple[Clause, ...]
    value: str | None = None  # field whose values are summed and put into the sketch
    limit: float | None = None  # values beyond it are counted as `over`
    sketch: bool = False
    distinct: str | None = None  # field whose distinct values are the bad ones
    gauge: str | None = None  # event whose metadata.count is the total

    def fields(self) -> frozenset[str]:
        """The fields that it looks at: columns, or "metadata.NAME"."""
        asked = [c.field for clause in self.clauses for c in (*clause.where, *clause.bad_when)]
        return frozenset(filter(None, [*asked, self.value, self.distinct]))

    def fingerprint(self) -> str:
        """Eight hex digits that change with anything that is counted."""
        return hashlib.sha256(msgspec.json.encode(self, order="sorted")).hexdigest()[:8]


Measure = Literal["ratio", "quantile", "mean", "distinct", "count"]


class BreachRule(msgspec.Struct, frozen=True, kw_only=True):
    """The SLI itself against a threshold over a trailing window, with its evidence guards."""

    id: str = "breach"
    measure: Measure
    threshold: float  # ratio: good / total below it; all others: the value above it
    window_s: int
    severity: Severity
    quantile: float = 0.95
    min_bad: int = 3
    min_total: int = 5
    confidence: float = 0.95  # of the one-sided Wilson bound
    for_s: int = 0
    keep_firing_s: int = 300


class BurnRule(msgspec.Struct, frozen=True, kw_only=True):
    """How fast the error budget goes, against a threshold: a share of it, or a burn rate.

    With a short window the threshold must be crossed there as well, so that the rule clears soon
    after the burning stops (Google's SRE Workbook, chapter 5: multiwindow, multi-burn-rate).
    """

    id: str  # "fast-burn", "slow-burn"
    consumed: float  # seed: > 10 % in 1 hour, > 50 % in 7 days
    window_s: int
    rate: float | None = None  # a burn rate, judged in place of the share consumed
    short_window_s: int | None = None
    severity: Severity
    min_bad: int = 3
    for_s: int = 0
    keep_firing_s: int = 300

    @property
    def windows_s(self) -> tuple[int, ...]:
        """The windows that it looks at, the long one first."""
        return (
            (self.window_s,)
            if self.short_window_s is None
            else (self.window_s, self.short_window_s)
        )


class FreezeRule(msgspec.Struct, frozen=True, kw_only=True):
    """When deployments are frozen, and when no longer."""

    id: str = "exhausted"
    consumed: float = 1.0  # seed: 100 % consumed
    lifts_below: float = 0.95  # so that it does not flicker


class Headline(msgspec.Struct, frozen=True, kw_only=True):
    """The figure that stands for the SLO, and its target."""

    kind: Measure
    target: float
    window_s: int
    unit: Literal["ratio", "ms", "MB", "count"]


def family_of(slo: str) -> str:
    """The SLO that a group belongs to: availability:gemini → availability."""
    return slo.partition(":")[0]


class Rest(msgspec.Struct, frozen=True, kw_only=True):
    """That an SLO counts what belongs to no group: how many there are, of how many at most."""

    by: str
    groups: int
    most: int


class Slo(msgspec.Struct, frozen=True, kw_only=True):
    """One service level objective with everything that judges it."""

    id: str
    title: str
    objective: float  # T, share of good events, 0 to 1
    headline: Headline
    definition: Definition
    breach: BreachRule
    burns: tuple[BurnRule, ...] = ()
    freeze: FreezeRule | None = None
    period_s: int = 30 * 24 * 3600
    basis: Literal["events", "time"] = "events"
    min_allowed_bad: int = 5  # fewer allowed bad events: the budget is too small for burn rules
    stale_s: int = 6 * 3600  # a firing rule without evidence changes nothing for so long
    reopen_s: int = 600  # fires again within it: the same incident
    repage_s: int = 3600  # P1 again within it: an update, no second page
    flapping_after: int = 2  # reopenings; then an incident stays open until it is quiet
    flapping_quiet_s: int = 1800
    quantile_windows_s: tuple[int, ...] = ()
    absent_for_s: int | None = None
    maintenance: tuple[Window, ...] = ()  # configured; others are made by operators
    rest: Rest | None = None  # of ENTRY:other, where groups are those that are seen

    @property
    def rules(self) -> tuple[BreachRule | BurnRule, ...]:
        """All that open incidents, the breach first."""
        return (self.breach, *self.burns)

    @property
    def zero_tolerance(self) -> bool:
        """No budget at all: any bad event fires at once."""
        return self.objective >= 1.0
