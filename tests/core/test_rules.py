"""A rule over time: pending, firing, clearing; every row of the table in `app.core.rules`."""

from msgspec.structs import replace

from app.core.rules import INACTIVE, RuleState, Timing, step
from app.core.signals import Signal

MINUTE_MS = 60_000
HOUR_MS = 60 * MINUTE_MS

TRUE = Signal(rule="breach", severity="P1", window_s=3600, value=0.5, threshold=0.99, true=True)
FALSE = replace(TRUE, true=False)
HELD = replace(TRUE, held_by="wilson")
EMPTY = replace(TRUE, true=None)
THIN = replace(FALSE, may_clear=False)
AT_ONCE = Timing(for_s=0, keep_firing_s=300, stale_s=6 * 3600)
AFTER_A_MINUTE = AT_ONCE._replace(for_s=60)


def run(
    signals: list[tuple[int, Signal]], times: Timing = AT_ONCE, state: RuleState = INACTIVE
) -> RuleState:
    """The state after signals at their times (ms)."""
    for now, signal in signals:
        state = step(state, signal, times, now)
    return state


def test_it_fires_at_once_where_for_is_zero() -> None:
    assert run([(7, TRUE)]) == RuleState(state="firing", since=7, last_true=7)


def test_for_must_have_passed_without_a_break() -> None:
    assert run([(0, TRUE), (59_999, TRUE)], AFTER_A_MINUTE).state == "pending"
    assert run([(0, TRUE), (60_000, TRUE)], AFTER_A_MINUTE).state == "firing"
    broken = [(0, TRUE), (30_000, FALSE), (31_000, TRUE), (60_000, TRUE)]
    assert run(broken, AFTER_A_MINUTE) == RuleState(state="pending", since=31_000)


def test_a_guard_keeps_an_idle_rule_idle() -> None:
    assert run([(0, HELD), (HOUR_MS, HELD), (HOUR_MS, EMPTY)]).state == "inactive"


def test_it_keeps_firing_for_five_minutes_after_it_was_last_true() -> None:
    assert run([(0, TRUE), (299_999, FALSE)]).state == "firing"
    assert run([(0, TRUE), (300_000, FALSE)]) == RuleState(since=300_000, why="recovered")
    assert run([(0, TRUE), (200_000, HELD), (499_999, FALSE)]).state == "firing"


def test_it_never_clears_on_fewer_than_three_events_nor_on_an_empty_window() -> None:
    for nothing in (THIN, EMPTY, HELD):
        assert (
            run([(0, TRUE), *((m * MINUTE_MS, nothing) for m in range(1, 360))]).state == "firing"
        )


def test_after_six_hours_without_evidence_it_closes_as_no_data() -> None:
    for nothing in (THIN, EMPTY, HELD):
        state = run([(0, TRUE), (1, nothing), (6 * HOUR_MS, nothing)])
        assert state.state == "firing"
        assert run([(6 * HOUR_MS + 1, nothing)], state=state) == RuleState(
            since=6 * HOUR_MS + 1, why="no data"
        )


def test_evidence_in_between_begins_the_six_hours_anew() -> None:
    state = run(
        [
            (0, TRUE),
            (1, EMPTY),
            (5 * HOUR_MS, TRUE),
            (5 * HOUR_MS + 1, EMPTY),
            (10 * HOUR_MS, EMPTY),
        ]
    )
    assert state.state == "firing"
