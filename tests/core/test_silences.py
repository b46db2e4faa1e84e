"""Silences and maintenance windows: what is held back, what is not, and what is told afterwards."""

import pytest
from msgspec.structs import replace

from app.core import maintenance
from app.core.commands import BeginSilence, EndSilence
from app.core.incidents import Incident
from app.core.maintenance import Window
from app.core.silences import Silence
from tests.core.histories import BEGAN_MS
from tests.core.policies import AVAILABILITY, ROUTES
from tests.core.test_judge import BACKEND, HEADLESS, LEAD, PAGED, RESOLVED, outage, recover
from tests.core.watch import DAY_MS, HOUR_MS, MINUTE_MS, Told, Watch

BREACH_ONLY = replace(AVAILABILITY, burns=(), freeze=None)
BOTH = replace(AVAILABILITY, freeze=None, burns=AVAILABILITY.burns[:1])


def silence(watch: Watch, minutes: int = 60, **filters: str) -> list[Told]:
    """Hold back what the filters match, from now on."""
    watch.commands += 1
    made = Silence(
        id=f"s{watch.commands}",
        slo=watch.slo.id,
        begins_at=watch.now,
        ends_at=watch.now + minutes * MINUTE_MS,
        by="kim",
        why="we know",
        **filters,
    )
    return watch.obey(
        BeginSilence(id=str(watch.commands), slo=watch.slo.id, by="kim", at=watch.now, silence=made)
    )


def unsilence(watch: Watch, silence: str) -> list[Told]:
    watch.commands += 1
    return watch.obey(
        EndSilence(
            id=str(watch.commands), slo=watch.slo.id, by="lee", at=watch.now, silence=silence
        )
    )


def untold(incident: Incident) -> list[str]:
    return [entry.reason for entry in incident.history if entry.untold]


def burning() -> Watch:
    """An outage that goes on, nobody told: it was silenced before it began."""
    watch = Watch(BREACH_ONLY)
    silence(watch, 120)
    watch.good(90)
    watch.bad(10)
    assert watch.judge() == []
    return watch


def keep_burning(watch: Watch, minutes: int) -> list[Told]:
    told = []
    for _ in range(minutes // 10):
        watch.bad(3)
        told += watch.wait(10 * MINUTE_MS)
    return told


def test_a_silenced_incident_is_shown_and_nobody_is_told_of_it() -> None:
    watch = burning()
    incident = watch.incident()
    assert (incident.state, incident.pages, incident.untold) == ("firing", (), True)
    assert untold(incident) == [
        "breach fires (silenced until 2026-09-21 16:00 UTC by kim: we know)"
    ]


def test_it_holds_back_the_escalation_too() -> None:
    assert keep_burning(burning(), 110) == []


def test_where_it_still_burns_at_the_end_it_is_told_then_and_once() -> None:
    watch = burning()
    assert keep_burning(watch, 120) == PAGED
    assert keep_burning(watch, 20) == []
    assert watch.incident().untold is False


def test_whoever_is_told_only_then_has_the_full_time_before_the_escalation() -> None:
    watch = burning()
    keep_burning(watch, 120)
    told_at = watch.now
    assert watch.incident().steps[0].due_at == told_at + 30 * MINUTE_MS
    told = keep_burning(watch, 30)
    assert told == [Told("escalate", HEADLESS, False), Told("escalate", LEAD, True)]


def test_of_what_began_and_ended_within_a_silence_nobody_hears_at_all() -> None:
    watch = burning()
    assert recover(watch) == []
    assert watch.incident().state == "resolved"


def test_what_was_paged_before_still_gets_its_resolve() -> None:
    watch = outage()
    silence(watch, 600)
    assert keep_burning(watch, 40) == []  # the platform lead's step is held back
    assert recover(watch) == RESOLVED


def test_what_was_paged_before_escalates_late_when_the_silence_is_over() -> None:
    watch = outage()
    silence(watch, 60)
    told = keep_burning(watch, 60)
    assert told == [Told("escalate", HEADLESS, False), Told("escalate", LEAD, True)]
    assert watch.notices[-1].late_s == 30 * 60


def test_an_ended_silence_is_none() -> None:
    watch = burning()
    assert unsilence(watch, "s1") == []
    assert watch.wait(MINUTE_MS) == PAGED


def test_a_silence_of_one_rule_leaves_the_others_to_be_heard() -> None:
    watch = Watch(BOTH)
    watch.good(50_000, at=BEGAN_MS - 10 * DAY_MS)
    silence(watch, rule="breach")
    watch.good(90)
    watch.bad(10)
    assert watch.judge() == []
    watch.bad(200)
    assert watch.judge() == PAGED  # a fast burn as well


def test_a_silence_of_p2_does_not_hold_back_a_p1() -> None:
    watch = Watch(replace(BOTH, breach=replace(BOTH.breach, severity="P2")))
    watch.good(50_000, at=BEGAN_MS - 10 * DAY_MS)
    silence(watch, severity="P2")
    watch.good(90)
    watch.bad(10)
    assert watch.judge() == []
    watch.bad(200)
    assert watch.judge() == PAGED


def test_a_p1_that_rises_within_a_silence_pages_when_it_is_over() -> None:
    watch = Watch(replace(BOTH, breach=replace(BOTH.breach, severity="P2")))
    watch.good(50_000, at=BEGAN_MS - 10 * DAY_MS)
    watch.good(90)
    watch.bad(10)
    assert watch.judge() == [Told("trigger", HEADLESS, False)]
    silence(watch, 20)
    watch.bad(200)
    assert watch.judge() == []
    assert watch.wait(20 * MINUTE_MS) == PAGED


def test_an_acknowledged_incident_pages_nobody_when_the_silence_is_over() -> None:
    watch = burning()
    assert watch.command("ack") == []
    assert keep_burning(watch, 120) == [Told("trigger", HEADLESS, False)]


def test_a_downgrade_within_a_silence_resolves_the_page_but_says_nothing() -> None:
    watch = Watch(replace(BOTH, breach=replace(BOTH.breach, severity="P2", min_bad=0)))
    watch.good(50_000, at=BEGAN_MS - 10 * DAY_MS)
    watch.good(90)
    watch.bad(200)
    assert watch.judge() == PAGED
    silence(watch, 600)
    told = watch.wait(55 * MINUTE_MS)
    watch.good(60)
    watch.bad(6)
    told += watch.wait(20 * MINUTE_MS)
    assert told == [Told("downgrade", BACKEND, False)]


def test_the_same_silence_read_twice_is_one_and_one_that_is_over_is_none() -> None:
    watch = Watch(BREACH_ONLY)
    silence(watch, 10)
    silence(watch, 20)
    assert [one.id for one in watch.state.silences] == ["s1", "s2"]
    watch.commands -= 1
    silence(watch, 20)
    assert [one.id for one in watch.state.silences] == ["s1", "s2"]
    watch.now += 15 * MINUTE_MS
    silence(watch, 20)
    assert [one.id for one in watch.state.silences] == ["s2", "s3"]


# --- maintenance --------------------------------------------------------------------------------

WEEKLY = Window(
    id="patching",
    begins="2026-03-07T22:00",
    lasts_s=2 * 3600,
    zone="Europe/Berlin",
    repeats="FREQ=WEEKLY;BYDAY=SA",
    by="@ops-team",
    why="the hosts are patched",
)


def ms(text: str) -> int:
    from app.core.events import parse_timestamp

    return parse_timestamp(text)


def test_a_window_keeps_to_the_clock_there_through_summer_time() -> None:
    inside = ["2026-03-21T21:00Z", "2026-03-21T22:59:59Z", "2026-03-28T21:00Z", "2026-04-04T20:00Z"]
    outside = [
        "2026-03-21T20:59:59Z",
        "2026-03-21T23:00Z",
        "2026-04-04T19:59:59Z",
        "2026-03-22T22:00Z",
    ]
    assert all(maintenance.occurrence(WEEKLY, ms(at)) for at in inside)
    assert not any(maintenance.occurrence(WEEKLY, ms(at)) for at in outside)
    assert maintenance.next_occurrence(WEEKLY, ms("2026-04-01T00:00Z")) == (
        ms("2026-04-04T20:00Z"),
        ms("2026-04-04T22:00Z"),
    )


def test_a_window_that_happens_once_is_over_afterwards() -> None:
    once = replace(WEEKLY, repeats="", zone="UTC")
    assert maintenance.next_occurrence(once, ms("2026-03-01T00:00Z")) == (
        ms("2026-03-07T22:00Z"),
        ms("2026-03-08T00:00Z"),
    )
    assert maintenance.next_occurrence(once, ms("2026-03-08T00:00Z")) is None


def test_within_a_window_nobody_is_told_and_behind_it_once() -> None:
    window = replace(
        WEEKLY, begins="2026-09-21T13:00", lasts_s=90 * 60, zone="UTC", repeats="FREQ=DAILY"
    )
    watch = Watch(replace(BREACH_ONLY, maintenance=(window,)), ROUTES["availability"])
    watch.good(90)
    watch.bad(10)
    assert watch.judge() == []
    (held,) = watch.incident().silences
    assert (held.kind, held.id) == ("maintenance", f"patching@{ms('2026-09-21T13:00Z')}")
    assert keep_burning(watch, 30) == PAGED


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({}, ""),
        ({"zone": "Mars/Olympus"}, "'Mars/Olympus' is no time zone; write it like UTC or"),
        ({"begins": "soon"}, "begins is 'soon': write it like 2026-11-28T22:00"),
        ({"begins": "2026-03-07T22:00Z"}, "begins has no offset of its own"),
        ({"lasts_s": 8 * 86_400}, "it lasts from a minute to 7 days"),
        ({"repeats": "FREQ=DAILY", "lasts_s": 86_400}, "between two of its times"),
        ({"repeats": "FREQ=SECONDLY"}, "repeats begins with FREQ=DAILY"),
        ({"repeats": "every day"}, "repeats is no recurrence rule"),
        ({"repeats": "FREQ=WEEKLY;BYDAY=XX"}, "repeats is no recurrence rule"),
        ({"repeats": "FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=30"}, "it never happens"),
    ],
)
def test_windows_that_cannot_be_used(change: dict, fault: str) -> None:
    found = maintenance.fault_of(replace(WEEKLY, **change))
    assert found.startswith(fault)
    assert bool(found) == bool(fault)


def test_hours_are_the_shortest_silence_that_is_told_of_in_the_history() -> None:
    watch = outage()
    silence(watch, 60)
    watch.wait(MINUTE_MS)
    assert untold(watch.incident()) == [
        "held back (silenced until 2026-09-21 15:00 UTC by kim: we know)"
    ]
    watch.wait(HOUR_MS)
    assert untold(watch.incident())[1:] == ["the silence is over"]
