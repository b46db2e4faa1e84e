"""Signals: strict comparisons, and the guards of their evidence."""

from math import sqrt

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from app.core import signals
from app.core.budgets import BudgetState
from app.core.cells import MICRO, NOTHING, Counts
from app.core.figures import SHOWN_WINDOWS_S, Figures
from app.core.signals import Signal
from app.core.slos import Slo
from tests.core.policies import AVAILABILITY, INTEGRITY, LATENCY, RESOURCES

HOUR_S = 3600


def seen(counts: Counts, allowed: float = 100.0) -> Figures:
    return Figures(
        now=0,
        windows=dict.fromkeys(SHOWN_WINDOWS_S.values(), counts),
        budget=BudgetState(
            allowed=allowed,
            bad=0,
            consumed=None,
            consumed_by_time=None,
            estimated=False,
            exhausted_in_s=None,
        ),
        failing={},
        last_bad_at=0,
        growth=(NOTHING, NOTHING),
    )


def breach(slo: Slo, counts: Counts) -> tuple[bool | None, str | None]:
    signal = signals.breach(slo, seen(counts))
    return signal.true, signal.held_by


def fast_burn(counts: Counts, allowed: float = 100.0) -> Signal:
    return signals.burn(AVAILABILITY, AVAILABILITY.burns[0], seen(counts, allowed))


@pytest.mark.parametrize(
    ("total", "bad", "found"),
    [
        (0, 0, (None, None)),
        (100, 0, (False, None)),
        (100, 1, (False, None)),  # 0.990 is not below 0.990
        (99, 1, (True, "min-bad")),
        (1, 1, (True, "min-bad")),
        (290, 3, (True, "wilson")),  # 98.97 %, which three of 290 may well be by chance
        (4, 3, (True, None)),
        (100, 4, (True, None)),
        (7000, 71, (True, "wilson")),
        (7000, 90, (True, None)),
    ],
)
def test_a_ratio_breaches_below_its_threshold_with_evidence(
    total: int, bad: int, found: tuple[bool | None, str | None]
) -> None:
    assert breach(AVAILABILITY, Counts(total, bad)) == found


@pytest.mark.parametrize(
    ("total", "over", "found"),
    [
        (0, 0, (None, None)),
        (20, 1, (False, None)),  # exactly 5 % are slower: P95 is not above
        (19, 1, (True, "min-bad")),
        (59, 3, (True, "wilson")),
        (10, 3, (True, None)),
        (2000, 100, (False, None)),
        (2000, 101, (True, "wilson")),
        (2000, 150, (True, None)),
    ],
)
def test_p95_is_decided_by_counting_the_slower_ones(
    total: int, over: int, found: tuple[bool | None, str | None]
) -> None:
    assert breach(LATENCY, Counts(total, over, over)) == found


@pytest.mark.parametrize(
    ("total", "mean_mb", "found"),
    [
        (0, 0, (None, None)),
        (5, 1024, (False, None)),
        (5, 1024.000001, (True, None)),
        (4, 2000, (True, "min-total")),
    ],
)
def test_a_mean_breaches_with_five_events(
    total: int, mean_mb: float, found: tuple[bool | None, str | None]
) -> None:
    assert breach(RESOURCES, Counts(total, sum_u=round(mean_mb * MICRO) * total)) == found


@pytest.mark.parametrize(
    ("counts", "allowed", "found"),
    [
        (Counts(), 100, (None, None)),
        (Counts(500, 10), 100, (False, None)),  # 10 % is not more than 10 %
        (Counts(500, 11), 100, (True, None)),
        (Counts(500, 2), 10, (True, "min-bad")),
        (Counts(500, 3), 4.99, (True, "budget-too-small")),
        (Counts(500, 3), 5.0, (True, None)),
        (Counts(500, 0), 1, (False, None)),
    ],
)
def test_a_burn_fires_on_more_than_its_share(
    counts: Counts, allowed: float, found: tuple[bool | None, str | None]
) -> None:
    signal = fast_burn(counts, allowed)
    assert (signal.true, signal.held_by) == found


def test_a_breach_clears_on_three_events_and_a_burn_on_any_number() -> None:
    assert [signals.breach(AVAILABILITY, seen(Counts(n, 0))).may_clear for n in (1, 2, 3)] == [
        False,
        False,
        True,
    ]
    assert fast_burn(Counts(1, 0)).may_clear


def test_without_a_budget_there_is_one_rule() -> None:
    assert [signal.rule for signal in signals.read(INTEGRITY, seen(NOTHING))] == ["breach"]
    assert INTEGRITY.freeze is None


@given(hits=st.integers(0, 400), more=st.integers(0, 400), confidence=st.floats(0.5, 0.999))
def test_wilsons_bound_is_where_the_score_test_just_rejects(
    hits: int, more: int, confidence: float
) -> None:
    total = hits + more
    if total:
        low = signals.wilson_lower(hits, total, confidence)
        z = signals._z(confidence)
        assert hits / total - low == pytest.approx(
            z * sqrt(max(low * (1 - low), 0) / total), abs=1e-9
        )
        assert -1e-12 <= low <= hits / total + 1e-12


def test_by_time_a_threshold_is_a_burn_rate() -> None:
    by_time = replace(AVAILABILITY, basis="time")
    burn = by_time.burns[0]
    assert [signals.burn(by_time, burn, seen(Counts(100, bad))).true for bad in (36, 37)] == [
        False,
        True,
    ]
