"""Signals: what each rule sees at one moment, and what holds it back. All pure, all strict."""

from functools import lru_cache
from math import sqrt
from statistics import NormalDist

import msgspec

from app.core import budgets
from app.core.cells import MICRO, Counts
from app.core.figures import Figures, good_ratio
from app.core.notices import Severity
from app.core.slos import BreachRule, BurnRule, Slo

CLEAR_EVENTS = 3  # a breach clears only on a window with at least so many events


class Signal(msgspec.Struct, frozen=True, kw_only=True):
    """One rule's view. `true` is the bare comparison; None where the window says nothing."""

    rule: str
    severity: Severity
    window_s: int
    value: float | None
    threshold: float
    true: bool | None
    held_by: str | None = None  # the guard that keeps a true rule from firing
    may_clear: bool = True  # a false comparison rests on enough events
    counts: Counts = Counts()

    @property
    def fires(self) -> bool:
        """True, and nothing holds it back."""
        return bool(self.true) and self.held_by is None


@lru_cache
def _z(confidence: float) -> float:
    return NormalDist().inv_cdf(confidence)


def wilson_lower(hits: int, total: int, confidence: float) -> float:
    """Lower one-sided bound of a proportion (E. B. Wilson, 1927)."""
    z = _z(confidence)
    p = hits / total
    middle = p + z * z / (2 * total)
    spread = z * sqrt(p * (1 - p) / total + z * z / (4 * total * total))
    return (middle - spread) / (1 + z * z / total)


def breach(slo: Slo, figures: Figures) -> Signal:
    """The SLI itself against its threshold."""
    rule = slo.breach
    counts = figures.windows[rule.window_s]
    if rule.measure == "distinct":
        return _distinct(rule, figures)
    if not counts.total:
        return _signal(rule, counts, None, true=None)
    return _MEASURES[rule.measure](rule, counts)


def _ratio(rule: BreachRule, counts: Counts) -> Signal:
    value = good_ratio(counts)
    if value >= rule.threshold:
        return _signal(rule, counts, value, true=False)
    held = _rare(rule, counts.bad, counts.total, budgets.error_ratio(rule.threshold))
    return _signal(rule, counts, value, true=True, held_by=held)


def _quantile(rule: BreachRule, counts: Counts) -> Signal:
    """P95 > X, decided by counting: more than 5 % of the executions took longer than X."""
    allowed = budgets.error_ratio(rule.quantile)
    value = counts.over / counts.total
    if value <= allowed:
        return _signal(rule, counts, value, true=False)
    held = _rare(rule, counts.over, counts.total, allowed)
    return _signal(rule, counts, value, true=True, held_by=held)


def _mean(rule: BreachRule, counts: Counts) -> Signal:
    value = counts.sum_u / MICRO / counts.total
    held = "min-total" if counts.total < rule.min_total else None
    return _signal(rule, counts, value, true=value > rule.threshold, held_by=held)


def _count(rule: BreachRule, counts: Counts) -> Signal:
    """So many bad events: an account like a budget, not an estimate, so no guard holds it back."""
    return _signal(rule, counts, counts.bad, true=counts.bad > rule.threshold)


_MEASURES = {"ratio": _ratio, "quantile": _quantile, "mean": _mean, "count": _count}


def _rare(rule: BreachRule, hits: int, total: int, allowed: float) -> str | None:
    if hits < rule.min_bad:
        return "min-bad"
    return "wilson" if wilson_lower(hits, total, rule.confidence) <= allowed else None


def _distinct(rule: BreachRule, figures: Figures) -> Signal:
    failing = [m for m in figures.failing.values() if m.failed_at > m.passed_at]
    counts = Counts(figures.windows[rule.window_s].total, len(failing))
    return _signal(rule, counts, len(failing), true=len(failing) > rule.threshold)


def _signal(
    rule: BreachRule,
    counts: Counts,
    value: float | None,
    *,
    true: bool | None,
    held_by: str | None = None,
) -> Signal:
    return Signal(
        rule=rule.id,
        severity=rule.severity,
        window_s=rule.window_s,
        value=value,
        threshold=rule.threshold,
        true=true,
        held_by=held_by if true else None,
        may_clear=counts.total >= CLEAR_EVENTS or rule.measure in ("distinct", "count"),
        counts=counts,
    )


def burn(slo: Slo, rule: BurnRule, figures: Figures) -> Signal:
    """The share of the budget that the rule's window has spent, or its burn rate."""
    counts = figures.windows[rule.window_s]
    allowed = figures.budget.allowed
    threshold = rule.consumed if rule.rate is None else rule.rate
    values = [_burning(slo, rule, figures, window_s) for window_s in rule.windows_s]
    value = values[0]
    held = None
    if allowed < slo.min_allowed_bad:
        held = "budget-too-small"
    elif counts.bad < rule.min_bad:
        held = "min-bad"
    true = _all_above(values, threshold)
    return Signal(
        rule=rule.id,
        severity=rule.severity,
        window_s=rule.window_s,
        value=value,
        threshold=threshold,
        true=true,
        held_by=held if true else None,
        counts=counts,
    )


def _burning(slo: Slo, rule: BurnRule, figures: Figures, window_s: int) -> float | None:
    counts = figures.windows[window_s]
    if not counts.total:
        return None
    if rule.rate is not None:
        return budgets.burn_rate(counts, slo.objective)
    share = budgets.consumed(slo, counts, window_s, figures.budget.allowed)
    # what a short window must have spent is its part of what the long one may
    return None if share is None else share * rule.window_s / window_s


def _all_above(values: list[float | None], threshold: float) -> bool | None:
    """Whether all are above it; None where one says nothing and no other is below."""
    if any(value is not None and value <= threshold for value in values):
        return False
    return None if None in values else True


def read(slo: Slo, figures: Figures) -> tuple[Signal, ...]:
    """Every rule's signal, the breach first."""
    return (breach(slo, figures), *(burn(slo, rule, figures) for rule in slo.burns))
