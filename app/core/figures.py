"""The figures that one judgement is made of, read from the ledger once."""

import msgspec

from app.core import budgets
from app.core.budgets import BudgetState, Expected
from app.core.cells import MICRO, Counts, Member
from app.core.ledger import Ledger
from app.core.slos import Measure, Slo

SHOWN_WINDOWS_S = {
    "5m": 300,
    "1h": 3600,
    "6h": 6 * 3600,
    "24h": 24 * 3600,
    "7d": 7 * 24 * 3600,
    "30d": 30 * 24 * 3600,
}
_DAY_S = 24 * 3600
GROWTH_S = 1800


class Figures(msgspec.Struct, frozen=True, kw_only=True):
    """Windows by length in seconds, and what follows from them."""

    now: int  # judge time, ms
    windows: dict[int, Counts]
    budget: BudgetState
    failing: dict[str, Member]  # conversations that failed within 24 h
    last_bad_at: int  # ms, 0: never
    growth: tuple[Counts, Counts]  # the last 30 min, and the 30 min before


def read(slo: Slo, ledger: Ledger, now: int) -> Figures:
    """All figures of one SLO at a judge time (ms)."""
    wanted = {slo.breach.window_s, slo.headline.window_s, slo.period_s, GROWTH_S, 2 * GROWTH_S}
    wanted |= set(SHOWN_WINDOWS_S.values())
    wanted |= {window_s for rule in slo.burns for window_s in rule.windows_s}
    windows = {window_s: _counts(slo, ledger, now, window_s) for window_s in wanted}
    failing = ledger.members(now, _DAY_S) if slo.definition.distinct else {}
    return Figures(
        now=now,
        windows=windows,
        budget=_budget(slo, ledger, now, windows),
        failing={name: member for name, member in failing.items() if member.failed_at},
        last_bad_at=ledger.last_bad_at(now),
        growth=(windows[GROWTH_S], windows[2 * GROWTH_S].minus(windows[GROWTH_S])),
    )


def _counts(slo: Slo, ledger: Ledger, now: int, window_s: int) -> Counts:
    """The window's counts; for distinct conversations their number against the gauge."""
    if not slo.definition.distinct:
        return ledger.window(now, window_s)
    failed = sum(bool(member.failed_at) for member in ledger.members(now, window_s).values())
    known = ledger.gauge.value if ledger.gauge else 0
    return Counts(total=known, bad=failed)


def _budget(slo: Slo, ledger: Ledger, now: int, windows: dict[int, Counts]) -> BudgetState:
    whole = windows[slo.period_s]
    expected = expected_events(slo, whole.total, ledger.first_slot(), now)
    allowed = budgets.error_ratio(slo.objective) * expected.total
    spent = {
        window_s: (
            windows[window_s].bad,
            budgets.consumed(slo, windows[window_s], window_s, allowed),
        )
        for window_s in budgets.FORECAST_WINDOWS_S
    }
    consumed = budgets.consumed(slo, whole, slo.period_s, allowed)
    return BudgetState(
        allowed=allowed,
        bad=whole.bad,
        consumed=consumed,
        consumed_by_time=budgets.consumed_by_time(whole, slo.objective, slo.period_s, slo.period_s),
        estimated=expected.estimated,
        exhausted_in_s=None if consumed is None else budgets.forecast(1 - consumed, spent),
    )


def expected_events(slo: Slo, seen: int, first_slot: int | None, now: int) -> Expected:
    """N, the events of a whole compliance period, given those seen of it and since when (s)."""
    if slo.definition.distinct:
        return Expected(seen, estimated=False)
    span_s = now / 1000 - first_slot if first_slot is not None else 0.0
    return budgets.expected_total(seen, span_s, slo.period_s)


def value_of(measure: Measure, counts: Counts) -> float | None:
    """A window's SLI: a share of good events, or a mean in the SLO's unit; None without events.

    A quantile is no function of counts; see `Ledger.quantile_bins`.
    """
    if not counts.total:
        return None
    if measure == "mean":
        return counts.sum_u / MICRO / counts.total
    return 1 - counts.bad / counts.total if measure == "distinct" else good_ratio(counts)


def good_ratio(counts: Counts) -> float:
    """Good / total, one division."""
    return (counts.total - counts.bad) / counts.total
