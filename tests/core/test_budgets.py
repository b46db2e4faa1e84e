"""Budgets: cold start, no budget at all, both bases, the forecast."""

# ruff: noqa: E501 - the whole budget stands in one table

from fractions import Fraction
from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from app.core import budgets, status
from app.core.budgets import Expected
from app.core.cells import Counts
from tests.core.policies import AVAILABILITY, INTEGRITY
from tests.core.watch import DAY_MS, HOUR_MS, Watch

HOUR_S, DAY_S = 3600, 86_400
MONTH_S = 30 * DAY_S


@pytest.mark.parametrize(
    ("objective", "ratio"),
    [(0.995, 0.005), (0.9, 0.1), (0.95, 0.05), (0.8, 0.2), (0.999, 0.001), (1.0, 0.0)],
)
def test_the_error_ratio_is_what_a_person_would_write(objective: float, ratio: float) -> None:
    assert budgets.error_ratio(objective) == ratio


@pytest.mark.parametrize(
    ("counts", "objective", "rate"),
    [
        (Counts(1000, 5), 0.995, 1.0),
        (Counts(100, 36), 0.995, 72.0),
        (Counts(10, 0), 0.9, 0.0),
        (Counts(), 0.9, None),
        (Counts(10, 1), 1.0, inf),
        (Counts(0, 1), 1.0, inf),  # the number of conversations may be unknown
        (Counts(10, 0), 1.0, 0.0),
        (Counts(), 1.0, None),
    ],
)
def test_the_burn_rate(counts: Counts, objective: float, rate: float | None) -> None:
    found = budgets.burn_rate(counts, objective)
    assert found == (pytest.approx(rate) if rate else rate)


@pytest.mark.parametrize(
    ("span_s", "expected"),
    [
        (0, Expected(10 * 720, estimated=True)),  # at least an hour
        (HOUR_S, Expected(10 * 720, estimated=True)),
        (DAY_S, Expected(300, estimated=True)),
        (MONTH_S - 1, Expected(10 * MONTH_S / (MONTH_S - 1), estimated=True)),
        (MONTH_S, Expected(10, estimated=False)),
    ],
)
def test_a_months_events_are_estimated_from_what_was_seen(span_s: int, expected: Expected) -> None:
    assert budgets.expected_total(10, span_s, MONTH_S) == expected


def test_a_young_system_sees_ten_percent_in_an_hour_as_a_burn_rate_of_72() -> None:
    seen, bad = 10_000, 3600  # in its first hour: 36 % fail, which is 72 times 0.5 %
    allowed = budgets.error_ratio(0.995) * budgets.expected_total(seen, HOUR_S, MONTH_S).total
    assert budgets.burn_rate(Counts(seen, bad), 0.995) == 72.0
    assert budgets.consumed_by_events(bad, allowed) == 0.1


def test_by_time_it_is_burn_rate_times_window_over_period() -> None:
    by_time = replace(AVAILABILITY, basis="time")
    assert budgets.consumed(by_time, Counts(100, 36), HOUR_S, 0) == 0.1
    assert budgets.consumed(by_time, Counts(), HOUR_S, 0) is None


def test_without_a_budget_the_first_bad_event_is_all_of_it() -> None:
    for basis in ("events", "time"):
        slo = replace(INTEGRITY, basis=basis)
        assert budgets.consumed(slo, Counts(10, 1), DAY_S, 0.0) == 1.0
        assert budgets.consumed(slo, Counts(10, 0), DAY_S, 0.0) == 0.0


@given(total=st.integers(1, 10**6), tenths=st.integers(0, 12))
def test_a_tie_is_a_tie_whatever_the_numbers(total: int, tenths: int) -> None:
    """bad / ((1 - T) · N) is compared as if it were exact."""
    for objective in ("0.995", "0.9", "0.95", "0.8"):
        allowed = (1 - Fraction(objective)) * total
        bad = allowed * tenths / 10
        if bad.denominator == 1:
            found = budgets.consumed_by_events(
                int(bad), budgets.error_ratio(float(objective)) * total
            )
            for threshold in (Fraction(1, 10), Fraction(1, 2), Fraction(1), Fraction(95, 100)):
                exact = Fraction(tenths, 10)
                assert (found > float(threshold)) == (exact > threshold), (objective, total, bad)
                assert (found >= float(threshold)) == (exact >= threshold), (objective, total, bad)


@pytest.mark.parametrize(
    ("remaining", "spent", "seconds"),
    [
        (0.5, {6: (3, 0.1), 24: (9, 0.1), 168: (9, 0.1)}, 5 * 6 * HOUR_S),
        (0.5, {6: (2, 0.1), 24: (3, 0.1), 168: (9, 0.1)}, 5 * 24 * HOUR_S),
        (0.5, {6: (2, 0.1), 24: (2, 0.1), 168: (3, 0.5)}, 7 * 24 * HOUR_S),
        (0.5, {6: (2, 0.1), 24: (2, 0.1), 168: (2, 0.5)}, None),
        (0.5, {6: (3, None), 24: (2, None), 168: (2, None)}, None),
        (0.0, {6: (0, 0.0), 24: (0, 0.0), 168: (0, 0.0)}, 0.0),
        (-0.5, {6: (9, 0.1), 24: (9, 0.1), 168: (9, 0.1)}, 0.0),
    ],
)
def test_the_forecast_rests_on_the_shortest_window_with_three_bad_events(
    remaining: float, spent: dict[int, tuple[int, float | None]], seconds: float | None
) -> None:
    by_seconds = {hours * HOUR_S: share for hours, share in spent.items()}
    found = budgets.forecast(remaining, by_seconds)
    assert found == (pytest.approx(seconds) if seconds else seconds)


def test_what_is_shown_of_a_budget_and_of_none() -> None:
    watch = Watch(AVAILABILITY)
    watch.good(at=watch.now - 30 * DAY_MS - HOUR_MS)
    watch.good(1990, at=watch.now - 2 * DAY_MS)
    watch.bad(10, at=watch.now - 2 * DAY_MS)
    watch.judge()
    shown = status.of_slo(
        AVAILABILITY,
        watch.route,
        watch.state,
        watch.judged.figures,
        watch.judged.signals,
        watch.library.ledger(AVAILABILITY),
    )
    assert shown["budget"] == {
        "basis": "events", "allowed": 10.0, "bad": 10, "consumed": 1.0, "remaining": 0.0, "exhausted": True,
        "estimated": False, "exhaustedIn_s": 0.0, "byTime": {"consumed": 1.0, "remaining": 0.0},
    }  # fmt: skip
    assert shown["burn"] == {"1h": None, "6h": None, "7d": 1.0}

    watch = Watch(INTEGRITY)
    watch.broken("c1")
    watch.judge()
    shown = status.of_slo(
        INTEGRITY,
        watch.route,
        watch.state,
        watch.judged.figures,
        watch.judged.signals,
        watch.library.ledger(INTEGRITY),
    )
    assert shown["burn"] == {"1h": "inf", "6h": "inf", "7d": "inf"}
    assert (
        shown["budget"]["consumed"],
        shown["budget"]["remaining"],
        shown["budget"]["exhaustedIn_s"],
    ) == (1.0, 0.0, 0.0)
    assert (shown["frozen"], shown["noData"]) == (
        True,
        True,
    )  # the number of conversations is not known
