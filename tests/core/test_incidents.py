"""Decisions about one incident that are hard to reach through executions."""

from msgspec.structs import replace

from app.core import incidents
from app.core.budgets import BudgetState
from app.core.cells import NOTHING
from app.core.figures import Figures
from app.core.incidents import (
    REMINDER_MS,
    TRANSITIONS,
    Acknowledged,
    Change,
    FiringRule,
    Incident,
    Lane,
)
from app.core.ownership import Step
from tests.core.policies import ROUTES

NOW = 1_790_000_000_000
MINUTE_MS = 60_000
LANE = Lane(
    slo="availability",
    name="main",
    route=ROUTES["availability"],
    reopen_ms=600_000,
    repage_ms=3_600_000,
    prefix="availability",
)

P1 = FiringRule("fast-burn", "P1", NOW, true_now=True)
P2 = FiringRule("breach", "P2", NOW, true_now=True)
STALE_P1 = replace(P1, true_now=False)


def seen(now: int, last_bad_at: int | None = None) -> Figures:
    budget = BudgetState(
        allowed=0, bad=0, consumed=None, consumed_by_time=None, estimated=False, exhausted_in_s=None
    )
    return Figures(
        now=now,
        windows={},
        budget=budget,
        failing={},
        last_bad_at=now if last_bad_at is None else last_bad_at,
        growth=(NOTHING, NOTHING),
    )


def advance(
    before: Incident | None, firing: list[FiringRule], after_ms: int, lane: Lane = LANE
) -> tuple[Incident, list[Change]]:
    now = NOW + after_ms
    incident, changes = incidents.advance(before, lane, firing, seen(now), now)
    assert incident is not None
    return incident, changes


def kinds(changes: list[Change]) -> list[str]:
    return [change.kind for change in changes]


def test_a_p1_step_is_not_due_while_only_a_p2_rule_is_true() -> None:
    incident, _ = advance(None, [P2, P1], 0)
    _, changes = advance(incident, [P2, STALE_P1], 30 * MINUTE_MS)
    assert kinds(changes) == []
    _, changes = advance(incident, [P2, P1], 30 * MINUTE_MS)
    assert kinds(changes) == ["escalate"]


def test_nothing_that_never_fired_makes_no_incident() -> None:
    assert incidents.advance(None, LANE, [], seen(NOW), NOW) == (None, [])


def test_a_reopening_may_be_ten_minutes_late_and_no_later() -> None:
    incident, _ = advance(None, [P1], 0)
    resolved, changes = advance(incident, [], MINUTE_MS)
    assert kinds(changes) == ["resolve", "resolve"]
    same, _ = advance(resolved, [P1], 11 * MINUTE_MS)
    other, _ = advance(resolved, [P1], 11 * MINUTE_MS + 1)
    assert (same.key == incident.key, other.key == incident.key) == (True, False)


def test_a_p1_may_return_an_hour_after_it_last_fired_without_a_page() -> None:
    incident, _ = advance(None, [P2, P1], 0)
    lesser, changes = advance(incident, [P2], 1)
    assert kinds(changes) == ["downgrade", "downgrade"]
    returned, changes = advance(lesser, [P2, P1], 60 * MINUTE_MS)
    assert (kinds(changes), len(returned.pages)) == (["update"], 1)
    paged, changes = advance(lesser, [P2, P1], 60 * MINUTE_MS + 1)
    assert (kinds(changes), len(paged.pages)) == (["trigger"], 2)


def test_a_p1_that_returned_without_a_page_still_escalates_under_a_key_of_its_own() -> None:
    incident, _ = advance(None, [P2, P1], 0)
    incident, _ = advance(incident, [P2], 1)
    incident, _ = advance(incident, [P2, P1], 10 * MINUTE_MS)
    incident, changes = advance(incident, [P2, P1], 40 * MINUTE_MS)
    key = f"{incident.key}/P1/2"
    assert [(c.kind, c.pagers, c.dedup_key) for c in changes] == [
        ("escalate", ("pagerduty:@platform-lead",), key)
    ]
    _, changes = advance(incident, [], 41 * MINUTE_MS)
    assert [(c.kind, c.dedup_key) for c in changes] == [("resolve", ""), ("resolve", key)]


def test_a_rule_that_stops_while_another_fires_begins_its_time_anew() -> None:
    lane = replace(LANE, route=ROUTES["latency"])
    incident, _ = advance(None, [P2, P1], 0, lane)
    incident, _ = advance(incident, [P1], 20 * MINUTE_MS, lane)
    again = replace(P2, since=NOW + 25 * MINUTE_MS)
    incident, _ = advance(incident, [P1, again], 25 * MINUTE_MS, lane)
    leads = next(step for step in incident.steps if step.how == "notify")
    assert leads.due_at == NOW + 85 * MINUTE_MS


def test_an_acknowledgement_goes_to_every_open_page_but_not_back_to_pagerduty() -> None:
    incident, _ = advance(None, [P1], 0)
    for via, told in (("api", [(), ("pagerduty:@backend-team",)]), ("pagerduty", [()])):
        after, changes = incidents.acknowledge(incident, LANE, Acknowledged("kim", NOW, via))
        assert [c.pagers for c in changes] == told
        assert after.state == "acknowledged"
    assert incidents.acknowledge(after, LANE, Acknowledged("lee", NOW, "api")) == (after, [])


def test_reminders_come_after_four_hours_of_p1_and_a_day_of_p2() -> None:
    for rule in (P1, P2):
        incident, _ = advance(None, [rule], 0)
        silent = replace(LANE, route=replace(LANE.route, steps=()))
        every = REMINDER_MS[rule.severity]
        assert kinds(advance(incident, [rule], every - 1, silent)[1]) == []
        assert kinds(advance(incident, [rule], every, silent)[1]) == ["reminder"]


def test_a_step_that_asks_for_nothing_waits_from_the_opening() -> None:
    step = Step(id="any", to=("@qa-lead",), how="notify", after_s=60)
    lane = replace(LANE, route=replace(LANE.route, steps=(step,)))
    incident, _ = advance(None, [P2], 0, lane)
    assert kinds(advance(incident, [P2], 59_999, lane)[1]) == []
    assert kinds(advance(incident, [P2], 60_000, lane)[1]) == ["escalate"]


def test_every_state_of_the_table_is_one_that_incidents_have() -> None:
    states = {"firing", "acknowledged", "resolved"}
    assert set(TRANSITIONS) == states
    assert {after for moves in TRANSITIONS.values() for after in moves.values()} <= states


def test_a_changed_owner_escalates_by_the_new_route_and_resolves_where_it_was_told() -> None:
    """The page that woke the old owner is theirs to the end; the next step is the new route's."""
    lane = replace(LANE, route=replace(LANE.route, channel="#old", owner="@old"))
    incident, _ = advance(None, [P1], 0, lane)
    step = Step(id="page @new-lead", to=("@new-lead",), how="page", after_s=600, severity="P1")
    route = replace(LANE.route, channel="#new", owner="@new", steps=(step,))
    moved = replace(LANE, route=route)
    incident, changes = advance(incident, [P1], 9 * MINUTE_MS, moved)
    assert changes == []
    assert [(s.to, s.due_at) for s in incident.steps] == [(("@new-lead",), NOW + 10 * MINUTE_MS)]
    incident, (escalated,) = advance(incident, [P1], 10 * MINUTE_MS, moved)
    assert (escalated.channels, escalated.pagers) == (("slack:#new",), ("pagerduty:@new-lead",))
    _, changes = advance(incident, [], 11 * MINUTE_MS, moved)
    assert [(c.kind, c.channels, c.pagers) for c in changes] == [
        ("resolve", ("slack:#old", "slack:#new"), ()),
        ("resolve", (), ("pagerduty:@old", "pagerduty:@new-lead")),
    ]


def test_a_step_that_was_done_by_an_older_route_stays_in_the_story() -> None:
    incident, _ = advance(None, [P1], 0)
    incident, _ = advance(incident, [P1], 30 * MINUTE_MS)
    moved = replace(LANE, route=replace(LANE.route, steps=()))
    incident, changes = advance(incident, [P1], 31 * MINUTE_MS, moved)
    assert changes == []
    assert [(s.to, s.done_at is not None) for s in incident.steps] == [(("@platform-lead",), True)]
