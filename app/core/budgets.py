"""Error budgets: what may fail, what has been spent of it, how fast, and when it will be gone."""

from decimal import Decimal
from functools import lru_cache
from math import inf

import msgspec

from app.core.cells import Counts
from app.core.slos import Slo

_HOUR_S = 3600
FORECAST_WINDOWS_S = (6 * 3600, 24 * 3600, 7 * 24 * 3600)
FORECAST_MIN_BAD = 3


@lru_cache
def error_ratio(objective: float) -> float:
    """1 - T, taken in decimals: 1 - 0.995 is 0.005, not 0.00500…04."""
    return float(1 - Decimal(str(objective)))


def burn_rate(counts: Counts, objective: float) -> float | None:
    """(bad / total) / (1 - T): 1.0 spends the budget in exactly the compliance period.

    None without events; infinity for a bad event against a target of 100 %.
    """
    ratio = error_ratio(objective)
    if not ratio and counts.bad:
        return inf  # whatever the total: it may be unknown
    if not counts.total:
        return None
    if not ratio:
        return 0.0
    return counts.bad / counts.total / ratio


class Expected(msgspec.Struct, frozen=True):
    """How many events a whole compliance period has, seen or estimated."""

    total: float
    estimated: bool


def expected_total(seen: int, span_s: float, period_s: int) -> Expected:
    """N: the period's events; with less history than a period, scaled up from at least an hour."""
    if span_s >= period_s:
        return Expected(seen, estimated=False)
    return Expected(seen * period_s / max(span_s, _HOUR_S), estimated=True)


class BudgetState(msgspec.Struct, frozen=True, kw_only=True):
    """An SLO's budget over its compliance period."""

    allowed: float  # bad events
    bad: int
    consumed: float | None  # by the SLO's own basis; None: nothing seen yet
    consumed_by_time: float | None
    estimated: bool
    exhausted_in_s: float | None

    @property
    def remaining(self) -> float | None:
        """1 - consumed: below zero when overspent."""
        return None if self.consumed is None else 1 - self.consumed


def consumed_by_events(bad: int, allowed: float) -> float | None:
    """Share of the budget that so many bad events are; a budget of zero is spent by the first."""
    if allowed <= 0:
        return 1.0 if bad else 0.0
    return bad / allowed


def consumed_by_time(
    counts: Counts, objective: float, window_s: int, period_s: int
) -> float | None:
    """Rate-based: burn rate · W / P."""
    rate = burn_rate(counts, objective)
    if rate is None:
        return None
    return (1.0 if rate else 0.0) if rate == inf else rate * window_s / period_s


def consumed(slo: Slo, counts: Counts, window_s: int, allowed: float) -> float | None:
    """The share of the budget that a window spent, by the SLO's basis; None where unknown."""
    if slo.basis == "time":
        return consumed_by_time(counts, slo.objective, window_s, slo.period_s)
    return consumed_by_events(counts.bad, allowed) if allowed or slo.zero_tolerance else None


def forecast(remaining: float, spent: dict[int, tuple[int, float | None]]) -> float | None:
    """Seconds until the budget is gone, at the rate of the shortest window with evidence.

    `spent` gives for each of FORECAST_WINDOWS_S the bad events and the share of budget they took.
    0 when it is gone already, None without a forecast.
    """
    if remaining <= 0:
        return 0.0
    for window_s in FORECAST_WINDOWS_S:
        bad, share = spent[window_s]
        if bad >= FORECAST_MIN_BAD and share:
            return remaining / (share / window_s)
    return None
