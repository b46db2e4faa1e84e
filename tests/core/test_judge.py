"""What people are told, sentence by sentence: 'Incidents' and 'Who is told' of semantics.md."""

import pytest
from msgspec.structs import replace

from app.core.notices import Notice
from tests.core.histories import BEGAN_MS
from tests.core.policies import AVAILABILITY, CORRECTNESS, INTEGRITY, LATENCY, RESOURCES, ROUTES
from tests.core.watch import DAY_MS, HOUR_MS, MINUTE_MS, Told, Watch

BACKEND = "pagerduty:@backend-team"
LEAD = "pagerduty:@platform-lead"
HEADLESS = "slack:#headless-alerts"

PAGED = [Told("trigger", HEADLESS, False), Told("trigger", BACKEND, True)]
RESOLVED = [Told("resolve", HEADLESS, False), Told("resolve", BACKEND, False)]
ACKNOWLEDGED = [Told("ack", HEADLESS, False), Told("ack", BACKEND, False)]

BREACH_ONLY = replace(AVAILABILITY, burns=(), freeze=None)
"""So that one bad hour is one rule."""

MINOR = replace(
    AVAILABILITY,
    freeze=None,
    breach=replace(AVAILABILITY.breach, severity="P2"),
    burns=AVAILABILITY.burns[:1],
)
"""A breach that is P2, beside a fast burn that is P1."""


def outage(slo=BREACH_ONLY, **changes) -> Watch:  # noqa: ANN001, ANN003
    """A P1 that has just been told: ten of a hundred executions fail."""
    watch = Watch(slo, replace(ROUTES["availability"], **changes))
    watch.good(90)
    watch.bad(10)
    watch.judge()
    return watch


def recover(watch: Watch) -> list[Told]:
    """So much goes well that no rule is true, and the time to keep firing passes."""
    watch.good(5000)
    return watch.wait(6 * MINUTE_MS)


# --- one incident, one page ---------------------------------------------------------------------


def test_rules_that_fire_at_once_are_one_incident_one_message_one_page() -> None:
    watch = Watch(replace(AVAILABILITY, freeze=None, burns=AVAILABILITY.burns[:1]))
    watch.good(3000, at=BEGAN_MS - 10 * DAY_MS)
    watch.good(90)
    watch.bad(60)

    assert watch.judge() == PAGED
    assert watch.incident().rules == ("breach", "fast-burn")
    assert watch.wait(3 * MINUTE_MS) == []


def test_the_key_is_the_slo_and_the_time_at_which_the_judge_first_saw_it() -> None:
    watch = Watch(BREACH_ONLY)
    watch.bad(4)
    watch.now = BEGAN_MS + 65_999
    watch.judge()

    assert watch.incident().key == "availability-20260921T140105Z"
    assert {n.dedup_key for n in watch.notices} == {"", "availability-20260921T140105Z/P1/1"}


def test_it_resolves_when_the_rules_have_stopped_and_a_later_firing_is_a_new_incident() -> None:
    watch = outage()
    first = watch.incident().key

    assert recover(watch) == RESOLVED
    watch.wait(HOUR_MS)
    watch.bad(500)
    assert watch.judge() == PAGED
    assert watch.incident().key != first


def test_a_further_rule_is_an_update_without_a_page() -> None:
    watch = Watch(replace(AVAILABILITY, freeze=None, burns=AVAILABILITY.burns[:1]))
    watch.good(50_000, at=BEGAN_MS - 10 * DAY_MS)
    watch.good(90)
    watch.bad(10)
    assert watch.judge() == PAGED
    watch.bad(100)

    assert watch.judge() == [Told("update", HEADLESS, False)]
    assert watch.incident().rules == ("breach", "fast-burn")


# --- severity -----------------------------------------------------------------------------------


def minor() -> Watch:
    """A P2 that has just been told; more failures would make it P1."""
    watch = Watch(MINOR)
    watch.good(50_000, at=BEGAN_MS - 10 * DAY_MS)
    watch.good(90)
    watch.bad(10)
    assert watch.judge() == [Told("trigger", HEADLESS, False)]
    return watch


def worsen(watch: Watch) -> list[Told]:
    watch.bad(200)
    return watch.judge()


def lessen(watch: Watch) -> list[Told]:
    """The failures leave the fast burn's hour; new ones keep the breach going."""
    watch.wait(HOUR_MS - MINUTE_MS)
    watch.good(60)
    watch.bad(6)
    return watch.wait(8 * MINUTE_MS)


def test_a_p2_pages_nobody_unless_the_route_says_so() -> None:
    minor()
    watch = Watch(MINOR, replace(ROUTES["availability"], page_p2=True))
    watch.good(90)
    watch.bad(4)
    assert watch.judge() == PAGED
    assert watch.notices[-1].dedup_key.endswith("/P2/1")


def test_rising_to_p1_pages() -> None:
    assert worsen(minor()) == PAGED


def test_rising_to_p1_pages_also_after_an_acknowledgement() -> None:
    watch = minor()
    watch.command("ack")

    assert worsen(watch) == PAGED
    assert watch.incident().state == "firing"


def test_when_no_p1_rule_fires_any_longer_the_page_is_resolved_and_it_goes_on_as_p2() -> None:
    watch = minor()
    worsen(watch)

    told = lessen(watch)
    assert [t for t in told if t.kind == "downgrade"] == [
        Told("downgrade", HEADLESS, False),
        Told("downgrade", BACKEND, False),
        Told("downgrade", LEAD, False),
    ]
    assert (watch.incident().severity, watch.incident().open) == ("P2", True)


def test_a_downgrade_leaves_the_page_of_the_p2_open() -> None:
    watch = Watch(MINOR, replace(ROUTES["availability"], page_p2=True))
    watch.good(50_000, at=BEGAN_MS - 10 * DAY_MS)
    watch.good(90)
    watch.bad(10)
    watch.judge()
    worsen(watch)
    lessen(watch)

    assert [(p.dedup_key[-4:], p.open) for p in watch.incident().pages] == [
        ("P2/1", True),
        ("P1/1", False),
    ]


def test_a_p1_that_returns_within_the_hour_is_an_update_and_later_it_pages_anew() -> None:
    watch = minor()
    worsen(watch)
    lessen(watch)
    assert worsen(watch) == [Told("update", HEADLESS, False)]

    lessen(watch)
    watch.bad(6)
    watch.good(60)
    watch.wait(40 * MINUTE_MS)
    watch.bad(6)
    watch.good(60)
    watch.wait(40 * MINUTE_MS)
    assert worsen(watch) == PAGED
    assert watch.incident().pages[-1].dedup_key.endswith("/P1/3")


# --- the end ------------------------------------------------------------------------------------


def test_every_key_is_resolved_at_every_pager_that_was_used() -> None:
    watch = outage()
    watch.wait(20 * MINUTE_MS)
    watch.bad(5)
    watch.wait(10 * MINUTE_MS)  # the platform lead is paged
    watch.notices.clear()
    recover(watch)

    pages = [(n.kind, n.destination, n.dedup_key) for n in watch.notices if n.dedup_key]
    key = watch.incident().key
    assert pages == [("resolve", BACKEND, f"{key}/P1/1"), ("resolve", LEAD, f"{key}/P1/1")]
    assert not any(page.open for page in watch.incident().pages)


def test_firing_again_within_ten_minutes_is_the_same_incident_with_another_page() -> None:
    watch = outage()
    key = watch.incident().key
    recover(watch)
    watch.wait(5 * MINUTE_MS)
    watch.bad(500)

    assert watch.judge() == PAGED
    assert watch.incident().key == key
    assert [p.dedup_key for p in watch.incident().pages] == [f"{key}/P1/1", f"{key}/P1/2"]


def test_after_an_operators_resolve_only_later_bad_events_count() -> None:
    watch = outage()
    assert watch.command("resolve") == RESOLVED
    assert watch.incident().resolved_by == "kim"

    assert watch.wait(5 * MINUTE_MS) == []
    assert watch.held_by() == "resolved-by-operator"
    watch.bad(at=watch.now - 5 * MINUTE_MS - 1)  # late: it happened before the resolve
    assert watch.judge() == []
    watch.bad()
    assert watch.judge() == PAGED


def test_an_incident_without_data_for_six_hours_closes_as_that() -> None:
    watch = outage()
    watch.wait(7 * HOUR_MS - 2 * MINUTE_MS, every_ms=MINUTE_MS)
    assert watch.incident().open
    watch.wait(3 * MINUTE_MS)
    assert (watch.incident().open, watch.incident().why) == (False, "no data")


def test_a_rule_that_ended_without_data_once_does_not_speak_for_later_incidents() -> None:
    watch = outage()
    watch.wait(8 * HOUR_MS)
    assert watch.incident().why == "no data"
    watch.good(90)
    watch.bad(10)
    watch.judge()
    recover(watch)
    assert watch.incident().why == "recovered"


# --- escalation ---------------------------------------------------------------------------------


def still_burning(watch: Watch) -> Watch:
    watch.wait(20 * MINUTE_MS)
    watch.bad()
    return watch


def test_at_29_59_nothing_and_at_30_00_exactly_one_page_to_the_platform_lead() -> None:
    watch = still_burning(outage())
    assert watch.wait(9 * MINUTE_MS + 59_000, every_ms=1000) == []
    assert watch.wait(1000) == [Told("escalate", HEADLESS, False), Told("escalate", LEAD, True)]
    assert watch.wait(30 * MINUTE_MS, every_ms=1000) == []


def test_resolved_at_29_50_nobody_is_paged() -> None:
    watch = still_burning(outage())
    watch.wait(9 * MINUTE_MS + 50_000)
    assert watch.command("resolve") == RESOLVED
    assert watch.wait(HOUR_MS) == []


def test_an_acknowledgement_does_not_stop_the_escalation_unless_the_route_says_so() -> None:
    watch = still_burning(outage())
    watch.command("ack")
    assert Told("escalate", LEAD, True) in watch.wait(10 * MINUTE_MS)

    watch = still_burning(outage(stop_on="ack"))
    watch.command("ack")
    assert watch.wait(10 * MINUTE_MS) == []


def test_what_does_not_burn_any_longer_is_not_due_until_it_burns_again() -> None:
    watch = outage()
    watch.state = replace(watch.state, lanes={})
    watch.now += 1000
    watch.judge()
    assert watch.wait(50 * MINUTE_MS) == []  # a trailing hour stays bad
    watch.bad()
    assert Told("escalate", LEAD, True) in watch.judge()


def test_the_last_bad_event_may_be_thirty_minutes_old_and_no_older() -> None:
    for waited_ms, paged in ((0, True), (1, False)):
        watch = outage()
        watch.now += 30 * MINUTE_MS + waited_ms
        assert (Told("escalate", LEAD, True) in watch.judge()) is paged


def test_the_pause_before_a_reopening_does_not_count_for_the_escalation() -> None:
    watch = outage()
    watch.wait(20 * MINUTE_MS)
    watch.command("resolve")
    watch.wait(8 * MINUTE_MS)
    watch.bad(5)
    assert watch.judge() == PAGED
    assert watch.wait(10 * MINUTE_MS - 1000, every_ms=1000) == []
    assert Told("escalate", LEAD, True) in watch.wait(1000)


def test_a_step_done_late_says_by_how_much() -> None:
    watch = outage()
    watch.now += 45 * MINUTE_MS
    watch.bad()
    watch.judge()
    assert {n.late_s for n in watch.notices if n.kind == "escalate"} == {900}


def test_while_blind_nothing_resolves_and_the_clocks_run_on() -> None:
    watch = outage()
    watch.now += 29 * MINUTE_MS
    assert watch.blind() == []
    watch.now += MINUTE_MS
    assert watch.blind() == [Told("escalate", HEADLESS, False), Told("escalate", LEAD, True)]
    watch.now += 5 * HOUR_MS
    assert watch.blind() == []
    assert watch.incident().open


# --- latency ------------------------------------------------------------------------------------


LATENCY_ONLY = replace(LATENCY, burns=(), freeze=None)


def slow_hour(watch: Watch, minutes: int) -> list[Told]:
    told: list[Told] = []
    for _ in range(minutes):
        watch.slow(2)
        told += watch.wait(MINUTE_MS)
    return told


def test_latency_is_p2_and_after_an_hour_both_leads_are_notified() -> None:
    watch = Watch(LATENCY_ONLY)
    watch.slow(5)
    assert watch.judge() == [Told("trigger", HEADLESS, False)]
    assert slow_hour(watch, 59) == []
    watch.notices.clear()
    assert slow_hour(watch, 1) == [Told("escalate", HEADLESS, False)]
    assert watch.notices[0].mentions == ("@backend-team-lead", "@platform-lead")


def test_a_pause_does_not_make_the_hour_of_latency_begin_anew() -> None:
    watch = Watch(LATENCY_ONLY)
    watch.slow(5)
    watch.judge()
    slow_hour(watch, 40)
    watch.command("resolve")
    watch.wait(6 * MINUTE_MS)
    watch.slow(5)
    assert Told("trigger", HEADLESS, False) in watch.judge()
    assert slow_hour(watch, 19) == []
    assert slow_hour(watch, 1) == [Told("escalate", HEADLESS, False)]


# --- correctness, memory ------------------------------------------------------------------------


def test_more_than_fifty_bad_comparisons_are_for_the_qa_lead_to_review() -> None:
    watch = Watch(replace(CORRECTNESS, burns=(), freeze=None))
    watch.happen(50, event="SHADOW_MISMATCH")
    assert watch.judge() == [Told("trigger", "slack:#shadow-mode-alerts", False)]
    watch.happen(event="SHADOW_MISMATCH")
    assert watch.judge() == [Told("escalate", "slack:#shadow-mode-alerts", False)]
    assert watch.notices[-1].mentions == ("@qa-lead",)


@pytest.mark.parametrize(("growth", "told"), [(1.2, True), (1.05, False)])
def test_memory_that_still_grows_after_an_hour_is_for_the_ops_lead(
    growth: float,
    told: bool,  # noqa: FBT001
) -> None:
    watch = Watch(replace(RESOURCES, burns=(), freeze=None))
    memory = 2000.0
    told_of: list[Told] = []
    for half_hour in range(3):
        for _ in range(30):
            watch.good(metadata={"memoryMB": memory * (growth if half_hour == 2 else 1)})
            told_of += watch.wait(MINUTE_MS)
    escalated = Told("escalate", "slack:#ops-alerts", False)
    assert (escalated in told_of) is told


# --- data integrity -----------------------------------------------------------------------------

CRITICAL = "slack:#critical-alerts"
DATA_PAGED = [
    Told("trigger", CRITICAL, False),
    Told("trigger", "pagerduty:@data-team", True),
    Told("escalate", CRITICAL, False),
    Told("escalate", "pagerduty:@data-lead", True),
]


def test_any_failing_conversation_pages_the_owner_and_at_once_the_data_lead() -> None:
    watch = Watch(INTEGRITY)
    watch.broken("c1")
    assert watch.judge() == DATA_PAGED
    assert len({n.dedup_key for n in watch.notices if n.page}) == 1


def test_a_conversation_seen_again_is_no_news_and_a_new_one_an_update_without_a_page() -> None:
    watch = Watch(INTEGRITY)
    watch.broken("c1")
    watch.judge()
    watch.now += HOUR_MS
    watch.broken("c1", event="ORPHAN_DETECTED")
    assert watch.judge() == []
    watch.broken("c2")
    assert watch.judge() == [Told("update", CRITICAL, False)]
    assert watch.incident().conversations == ("c1", "c2")


def test_it_ends_when_every_listed_conversation_has_passed() -> None:
    watch = Watch(INTEGRITY)
    for name in ("c1", "c2"):
        watch.broken(name)
    watch.judge()
    watch.now += MINUTE_MS
    watch.broken("c1", event="CONVERSATION_INTEGRITY_PASS")
    assert watch.judge() == []
    watch.broken("c2", event="CONVERSATION_INTEGRITY_PASS")
    assert {t.kind for t in watch.judge()} == {"resolve"}


def test_it_ends_a_day_after_the_last_failing_event() -> None:
    watch = Watch(INTEGRITY)
    watch.broken("c1")
    watch.judge()
    watch.now += DAY_MS - 10_000
    watch.judge()
    assert watch.incident().open
    watch.now += 10_000
    assert {t.kind for t in watch.judge()} == {"resolve"}


def test_a_failure_older_than_a_day_when_it_arrives_pages_nobody() -> None:
    watch = Watch(INTEGRITY)
    watch.broken("c1", at=watch.now - DAY_MS)
    assert watch.judge() == []


def test_a_conversation_that_has_passed_is_not_listed_in_the_next_incident() -> None:
    watch = Watch(INTEGRITY)
    watch.broken("c1")
    watch.judge()
    watch.now += MINUTE_MS
    watch.broken("c1", event="CONVERSATION_INTEGRITY_PASS")
    watch.wait(HOUR_MS)
    watch.broken("c2")
    watch.judge()
    assert watch.incident().conversations == ("c2",)


def test_a_pass_is_no_evidence_of_failure() -> None:
    watch = Watch(INTEGRITY)
    watch.broken("c1")
    failed_at = watch.now
    watch.judge()
    watch.now += MINUTE_MS
    watch.broken("c2", event="CONVERSATION_INTEGRITY_PASS")
    watch.judge()
    assert watch.judged is not None
    assert watch.judged.figures.last_bad_at == failed_at
    examples = watch.library.ledger(INTEGRITY).examples(watch.now, 3600)
    assert [e.conversation_id for e in examples] == ["c1"]


def test_a_reopened_incident_names_the_new_conversation_in_its_first_message() -> None:
    watch = Watch(INTEGRITY)
    watch.broken("c1")
    watch.judge()
    watch.command("resolve")
    watch.now += 5 * MINUTE_MS
    watch.broken("c2")
    watch.notices.clear()
    watch.judge()
    assert {n.story.conversations for n in watch.notices} == {("c1", "c2")}
    assert watch.wait(MINUTE_MS) == []


def test_after_an_operators_resolve_the_same_failures_are_over() -> None:
    watch = Watch(INTEGRITY)
    watch.broken("c1")
    watch.judge()
    watch.command("resolve")
    assert watch.wait(HOUR_MS) == []
    watch.broken("c1")
    assert watch.judge() == DATA_PAGED


# --- slow burn, freeze, reminders ---------------------------------------------------------------


def slow_burning() -> Watch:
    """Half a month's budget went on earlier days of this week."""
    watch = Watch(AVAILABILITY)
    for day in range(30, 0, -1):
        watch.good(1000, at=watch.now - day * DAY_MS)
    watch.bad(80, at=watch.now - 2 * DAY_MS)
    return watch


def test_a_slow_burn_is_an_incident_of_its_own_that_pages_and_escalates_to_nobody() -> None:
    watch = slow_burning()
    assert watch.judge() == [Told("trigger", HEADLESS, False)]
    assert watch.incident("slow-burn").key == "availability-slow-burn-20260921T140000Z"
    assert watch.incident("slow-burn").severity == "P2"

    watch.bad(5)  # and an outage in its week is told all the same
    assert watch.judge() == PAGED


def test_a_slow_burn_is_repeated_daily() -> None:
    watch = slow_burning()
    watch.judge()
    assert watch.wait(DAY_MS - HOUR_MS, every_ms=HOUR_MS) == []
    assert watch.wait(HOUR_MS) == [Told("reminder", HEADLESS, False)]


def frozen() -> Watch:
    watch = Watch(replace(AVAILABILITY, burns=()))
    watch.good(at=watch.now - 30 * DAY_MS - HOUR_MS)  # a whole period of history
    watch.good(19_900, at=watch.now - 30 * DAY_MS + HOUR_MS)
    watch.bad(100, at=watch.now - 2 * DAY_MS)
    return watch


def test_a_spent_budget_freezes_without_an_incident_and_says_what_is_due() -> None:
    watch = frozen()
    assert watch.judge() == [Told("freeze", HEADLESS, False)]
    assert watch.state.lanes == {}
    assert watch.notices[0].story.due == ("root cause analysis", "remediation plan")


def test_a_freeze_is_repeated_daily_and_lifts_below_95_percent_with_the_retrospective_due() -> None:
    watch = frozen()
    watch.judge()
    watch.good(900)
    assert watch.judge() == []  # 95.7 %
    assert watch.wait(30 * MINUTE_MS) == []
    watch.now += DAY_MS - 30 * MINUTE_MS
    watch.good(30_000)
    assert [t.kind for t in watch.judge()] == ["unfreeze"]
    assert watch.notices[-1].story.due[-1] == "retrospective"


def test_a_freeze_is_told_again_after_a_day() -> None:
    watch = frozen()
    watch.judge()
    watch.now += HOUR_MS * 23
    watch.bad(50)
    assert "reminder" not in [t.kind for t in watch.judge()]
    watch.now += HOUR_MS
    assert "reminder" in [t.kind for t in watch.judge()]


# --- ids ----------------------------------------------------------------------------------------


def test_the_ids_of_notices_are_all_different_and_the_same_when_judged_again() -> None:
    def told() -> list[Notice]:
        watch = still_burning(outage())
        watch.wait(15 * MINUTE_MS)
        watch.command("ack")
        recover(watch)
        return watch.notices

    ids = [notice.id for notice in told()]
    assert len(set(ids)) == len(ids)
    assert ids == [notice.id for notice in told()]


# --- commands -----------------------------------------------------------------------------------


def test_the_same_command_read_twice_is_one() -> None:
    watch = outage()
    assert watch.command("ack") == ACKNOWLEDGED
    assert watch.command("unack") == [Told("update", HEADLESS, False)]
    watch.commands -= 2
    assert watch.command("ack") == []
    assert watch.incident().state == "firing"


def test_of_two_who_take_it_the_first_has_it() -> None:
    watch = outage()
    assert watch.command("ack", via="slack") == ACKNOWLEDGED
    assert watch.command("ack", via="pagerduty") == []
    taken = watch.incident().acknowledged
    assert taken is not None
    assert (taken.by, taken.via) == ("kim", "slack")


@pytest.mark.parametrize(("resolved_at_s", "escalates"), [(None, True), (29 * 60 + 50, False)])
def test_resolved_ten_seconds_before_its_escalation_nobody_is_paged_ever(
    resolved_at_s: int | None,
    escalates: bool,  # noqa: FBT001
) -> None:
    watch = outage()
    watch.wait(25 * MINUTE_MS)
    watch.bad(3)
    told = watch.wait(4 * MINUTE_MS + 50_000, every_ms=10_000)
    if resolved_at_s is not None:
        assert watch.now == BEGAN_MS + resolved_at_s * 1000
        watch.command("resolve")
    told += watch.wait(9_999)
    assert told == []
    told += watch.wait(1) + watch.wait(40 * MINUTE_MS)
    assert (Told("escalate", LEAD, True) in told) == escalates
