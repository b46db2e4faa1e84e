"""What is out of reach: cheap bounds by which most moments need no look at the rules.

A bound errs on the side of looking. It is never what decides: that is the judge.
"""

from collections.abc import Callable, Mapping

from app.core import budgets
from app.core.cells import MICRO, Counts
from app.core.slos import BreachRule, BurnRule, Slo

LESS, MORE = 1 - 1e-9, 1 + 1e-9
"""Wider than any rounding."""

Windows = Mapping[int, Counts]
Bound = Callable[[Windows, float], bool]
"""From windows and allowed bad events: whether something may be in reach."""


def bounds_of(slo: Slo) -> Bound:
    """Whether any rule may fire."""
    bounds = [_breach_bound(slo.breach), *(_burn_bound(slo, rule) for rule in slo.burns)]

    def rules(windows: Windows, allowed: float) -> bool:
        for bound in bounds:  # noqa: SIM110 - any() takes three times as long
            if bound(windows, allowed):
                return True
        return False

    return rules


def freeze_bound(slo: Slo) -> Bound:
    """Whether a freeze may begin."""
    if slo.freeze is None:
        return lambda _, __: False
    return _spent_bound(slo, slo.freeze.consumed)


def lift_bound(slo: Slo) -> Bound:
    """Whether a freeze may be lifted."""
    if slo.freeze is None:
        return lambda _, __: False
    period_s, below = slo.period_s, slo.freeze.lifts_below * MORE
    if slo.basis == "time":
        ratio = budgets.error_ratio(slo.objective) * below
        return lambda windows, _: windows[period_s].bad <= ratio * windows[period_s].total
    return lambda windows, allowed: windows[period_s].bad <= below * allowed


def _breach_bound(rule: BreachRule) -> Bound:
    window_s, least = rule.window_s, rule.min_bad
    if rule.measure == "ratio":
        most = rule.threshold * MORE

        def ratio(windows: Windows, _: float) -> bool:
            counts = windows[window_s]
            return counts.bad >= least and counts.total - counts.bad <= most * counts.total

        return ratio
    if rule.measure == "quantile":
        share = budgets.error_ratio(rule.quantile) * LESS

        def quantile(windows: Windows, _: float) -> bool:
            counts = windows[window_s]
            return counts.over >= least and counts.over >= share * counts.total

        return quantile
    if rule.measure == "mean":
        mean_u = rule.threshold * MICRO * LESS
        return lambda windows, _: windows[window_s].sum_u >= mean_u * windows[window_s].total
    return lambda _, __: True


def _burn_bound(slo: Slo, rule: BurnRule) -> Bound:
    window_s, least = rule.window_s, rule.min_bad
    if rule.rate is not None:
        ratio = rule.rate * budgets.error_ratio(slo.objective) * LESS

        def rate(windows: Windows, _: float) -> bool:
            counts = windows[window_s]
            return counts.bad >= least and counts.bad >= ratio * counts.total

        return rate
    spent = _spent_bound(slo, rule.consumed, rule.window_s)
    return lambda windows, allowed: windows[window_s].bad >= least and spent(windows, allowed)


def _spent_bound(slo: Slo, consumed: float, window_s: int = 0) -> Bound:
    window_s, share = window_s or slo.period_s, consumed * LESS
    if slo.basis == "time":
        ratio = share * budgets.error_ratio(slo.objective) * slo.period_s / window_s
        return lambda windows, _: windows[window_s].bad >= ratio * windows[window_s].total
    return lambda windows, allowed: windows[window_s].bad >= share * allowed
