"""Decisions about one incident that are hard to reach through executions."""

from msgspec.structs import replace

from app.core import lifecycle
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
    incident, changes = lifecycle.advance(before, lane, firing, seen(now), now)
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
    assert lifecycle.advance(None, LANE, [], seen(NOW), NOW) == (None, [])


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
        after, changes = lifecycle.acknowledge(incident, LANE, Acknowledged("kim", NOW, via))
        assert [c.pagers for c in changes] == told
        assert after.state == "acknowledged"
    assert lifecycle.acknowledge(after, LANE, Acknowledged("lee", NOW, "api")) == (after, [])


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


# --- flapping -----------------------------------------------------------------------------------


def flap(times: int) -> tuple[Incident, list[str]]:
    """Fires and stops so often, five minutes each; what was told, the last stop included."""
    incident, told = None, []
    for number in range(times):
        for at, firing in ((10, [P1]), (15, [])):
            incident, changes = advance(incident, firing, (10 * number + at) * MINUTE_MS, SILENT)
            told += [change.kind for change in changes if change.channels]
    assert incident is not None
    return incident, told


SILENT = replace(LANE, route=replace(LANE.route, steps=()))


def test_firing_again_and_again_is_one_incident_that_stays_open_from_the_third_time() -> None:
    incident, told = flap(3)
    assert told == ["trigger", "resolve", "trigger", "resolve", "trigger"]
    assert (incident.state, incident.rules, incident.reopened) == ("firing", (), 2)
    assert "3 times now: it flaps, and stays open until 30 min are quiet" in (
        incident.history[-1].reason
    )


def test_a_flapping_incident_says_nothing_more_whether_it_fires_or_not() -> None:
    incident, told = flap(8)
    assert told == flap(3)[1]
    assert len([page for page in incident.pages if page.open]) == 1
    assert incident.history[-1].reason == "fires again, 8 times now"


def test_a_flapping_incident_ends_when_it_has_been_quiet_for_half_an_hour() -> None:
    incident, _ = flap(3)
    quiet_at = 35 * MINUTE_MS
    same, changes = advance(incident, [], quiet_at + 30 * MINUTE_MS - 1, SILENT)
    assert (same.open, changes) == (True, [])
    ended, changes = advance(same, [], quiet_at + 30 * MINUTE_MS, SILENT)
    assert (ended.state, kinds(changes)) == ("resolved", ["resolve", "resolve"])


def test_quiet_time_does_not_count_for_the_escalation() -> None:
    incident, _ = flap(3)  # burns for three times five minutes
    assert incident.p1_since == NOW + 20 * MINUTE_MS
    incident, _ = advance(incident, [P1], 50 * MINUTE_MS, SILENT)
    assert incident.p1_since == NOW + 35 * MINUTE_MS


def test_the_reminder_says_how_often_it_has_fired() -> None:
    incident, _ = flap(3)
    told_at = incident.last_told_at - NOW
    incident, _ = advance(incident, [P1], 40 * MINUTE_MS, SILENT)
    _, changes = advance(incident, [P1], told_at + REMINDER_MS["P1"], SILENT)
    assert [change.reason for change in changes] == ["still open, has fired 4 times"]


def test_a_rise_to_p1_is_told_though_it_flaps() -> None:
    incident = None
    for number in range(4):
        for at, firing in ((10, [P2]), (15, [])):
            incident, _ = advance(incident, firing, (10 * number + at) * MINUTE_MS, SILENT)
    _, changes = advance(incident, [P2, P1], 51 * MINUTE_MS, SILENT)
    assert kinds(changes) == ["update", "trigger"]
    assert [change.pagers for change in changes] == [(), ("pagerduty:@backend-team",)]


def test_where_p2_pages_it_goes_on_under_a_page_of_its_own() -> None:
    lane = replace(SILENT, route=replace(SILENT.route, page_p2=True))
    incident, _ = advance(None, [P2, P1], 0, lane)
    incident, changes = advance(incident, [P2], MINUTE_MS, lane)
    key = incident.key
    assert [(c.kind, c.channels != (), c.dedup_key) for c in changes] == [
        ("downgrade", True, ""),
        ("downgrade", False, f"{key}/P1/1"),
        ("trigger", False, f"{key}/P2/1"),
    ]
    _, changes = advance(incident, [], 2 * MINUTE_MS, lane)
    assert [c.dedup_key for c in changes] == ["", f"{key}/P2/1"]
