"""Decisions of the outbox."""

import pytest
from msgspec.structs import replace

from app.core.notices import Notice
from app.delivery import outbox
from app.delivery.outbox import Entry, Outbox
from app.delivery.outcomes import Accepted, FallbackText, Outcome, Permanent, Retry
from tests.delivery.samples import OPENED, PAGER, SLACK, TRIGGER, notice

HOUR_MS = 3_600_000
NOW = OPENED
REFUSED = Retry("503 busy", status=503)
UNSURE = Retry("no answer within 10 s", unsure=True)


def offer(box: Outbox, *notices: Notice, now: int = NOW) -> list[tuple[str, str]]:
    """Offer and store; gives what changed as (kind, state)."""
    changed = []
    for one in notices:
        for entry in box.offered(one, now, stale_after_ms=outbox.KEPT_MS):
            box.put(entry)
            changed.append((entry.notice.kind, entry.state))
    return changed


def send(box: Outbox, outcome: Outcome, now: int = NOW, key: str = "aaa") -> str | None:
    """Send what is due; gives its kind."""
    entry = box.next(now)
    if entry is None:
        return None
    entry = outbox.sending(entry, key, now)
    box.put(entry)
    for changed in box.settled(entry, outcome, now, 1.0):
        box.put(changed)
    return entry.notice.kind


def states(box: Outbox) -> list[tuple[str, str]]:
    return [(entry.notice.kind, entry.state) for entry in box]


def test_a_notice_is_queued_once_however_often_it_comes() -> None:
    box = Outbox()
    assert offer(box, notice(1), notice(1)) == [("trigger", "queued")]
    assert send(box, Accepted()) == "trigger"
    assert offer(box, notice(1)) == []
    assert send(box, Accepted()) is None


def test_notices_of_an_incident_go_in_their_order() -> None:
    box = Outbox()
    offer(box, notice(1), notice(2, "update"), notice(3, "update"))
    assert send(box, REFUSED) == "trigger"
    assert send(box, Accepted()) is None  # the trigger waits, and the updates behind it
    assert [send(box, Accepted(), NOW + 1000) for _ in range(3)] == ["trigger", "update", "update"]


def test_incidents_do_not_wait_for_each_other_and_the_worst_goes_first() -> None:
    box = Outbox()
    offer(
        box,
        notice(1, incident="mild", severity="P2"),
        notice(1, incident="bad"),
        notice(1, incident="worse"),
    )
    sent = []
    while entry := box.next(NOW):
        sent.append(entry.notice.incident)
        box.put(box.settled(entry, Accepted(), NOW, 0)[0])
    assert sent == ["bad", "worse", "mild"]


@pytest.mark.parametrize("destination", [SLACK, PAGER])
def test_a_resolve_drops_an_unsent_trigger_and_itself(destination: str) -> None:
    box = Outbox()
    offer(
        box,
        notice(1, destination=destination),
        notice(2, "escalate", destination=destination),
    )
    send(box, REFUSED)
    assert offer(box, notice(3, "resolve", destination=destination)) == [
        ("trigger", "skipped"),
        ("escalate", "skipped"),
        ("resolve", "skipped"),
    ]
    assert [entry.reason for entry in box] == [
        "resolved before it was sent",
        "resolved before it was sent",
        "nothing of it was ever sent",
    ]


def test_a_resolve_follows_a_sent_trigger_and_drops_what_waits_between() -> None:
    box = Outbox()
    offer(box, notice(1))
    send(box, Accepted())
    offer(box, notice(2, "update"), notice(3, "resolve"))
    assert states(box) == [("trigger", "sent"), ("update", "skipped"), ("resolve", "queued")]
    assert send(box, Accepted()) == "resolve"


def test_a_trigger_that_may_have_arrived_is_resolved_and_not_sent_again() -> None:
    box = Outbox()
    offer(box, notice(1, destination=PAGER))
    send(box, UNSURE)
    offer(box, notice(2, "resolve", destination=PAGER))
    assert states(box) == [("trigger", "skipped"), ("resolve", "queued")]


@pytest.mark.parametrize(
    ("outcome", "then"),
    [
        (Accepted(), [("trigger", "sent"), ("resolve", "queued")]),
        (REFUSED, [("trigger", "skipped"), ("resolve", "skipped")]),
        (UNSURE, [("trigger", "skipped"), ("resolve", "queued")]),
        (Permanent("404 no_service"), [("trigger", "failed"), ("resolve", "skipped")]),
    ],
)
def test_a_resolve_that_comes_while_the_trigger_is_under_way(
    outcome: Outcome, then: list[tuple[str, str]]
) -> None:
    box = Outbox()
    offer(box, notice(1))
    entry = outbox.sending(box.next(NOW), "aaa", NOW)
    box.put(entry)
    assert offer(box, notice(2, "resolve")) == [("resolve", "queued")]
    assert box.next(NOW) is None
    for changed in box.settled(entry, outcome, NOW, 1.0):
        box.put(changed)
    assert states(box) == then


def test_a_resolve_of_what_was_forgotten_goes() -> None:
    box = Outbox()
    assert offer(box, notice(9, "resolve")) == [("resolve", "queued")]


def test_a_pager_is_told_of_each_dedup_key_apart() -> None:
    box = Outbox()
    first = {"destination": PAGER}
    offer(box, notice(1, **first))
    send(box, Accepted())
    offer(box, notice(2, "downgrade", **first))
    send(box, Accepted())
    second = notice(3, **first)
    offer(box, replace(second, dedup_key="second"))
    send(box, REFUSED)
    offer(box, replace(notice(4, "resolve", **first), dedup_key="second"))
    assert states(box) == [
        ("trigger", "sent"),
        ("downgrade", "sent"),
        ("trigger", "skipped"),
        ("resolve", "skipped"),
    ]


def test_an_incident_that_fires_again_is_resolved_again() -> None:
    box = Outbox()
    for step, kind in enumerate(("trigger", "resolve", "trigger", "resolve")):
        offer(box, notice(step, kind))
        assert send(box, Accepted()) == kind
    offer(box, notice(8))
    send(box, REFUSED)
    offer(box, notice(9, "resolve"))
    assert states(box)[-2:] == [("trigger", "skipped"), ("resolve", "skipped")]


def test_what_was_being_sent_at_a_crash_goes_again_as_a_possible_duplicate() -> None:
    box = Outbox()
    offer(box, notice(1))
    stored = outbox.sending(box.next(NOW), "aaa", NOW)
    [again] = outbox.recovered([outbox.decoded(outbox.encoded(stored))], NOW + 5)
    assert again == replace(
        stored,
        state="queued",
        next_at=NOW + 5,
        possible_duplicate=True,
        reason="sent before a stop",
    )


def test_an_entry_is_stored_as_it_is() -> None:
    entry = Entry(notice=TRIGGER, seq=4, queued_at=NOW, state="failed", attempts=3, reason="404")
    assert outbox.decoded(outbox.encoded(entry)) == entry


def test_refused_blocks_go_again_as_text_at_once() -> None:
    box = Outbox()
    offer(box, notice(1))
    send(box, FallbackText("400 invalid_payload"))
    entry = box.next(NOW)
    assert entry is not None
    assert (entry.text_alone, entry.attempts) == (True, 1)


@pytest.mark.parametrize(("destination", "hours"), [(SLACK, 1), (PAGER, 6)])
def test_it_gives_up_hours_after_the_first_attempt(destination: str, hours: int) -> None:
    box = Outbox()
    offer(box, notice(1, destination=destination))
    end = NOW + hours * HOUR_MS
    send(box, REFUSED)
    send(box, REFUSED, end - 1)
    assert states(box) == [("trigger", "queued")]
    send(box, REFUSED, end + 1000)
    assert [entry.reason for entry in box] == [f"gave up after {hours} h: 503 busy"]


def test_a_notice_read_again_after_it_was_forgotten_is_not_sent() -> None:
    box = Outbox()
    two_days = NOW + 48 * HOUR_MS
    assert offer(box, notice(1), notice(2, "resolve"), now=two_days) == [
        ("trigger", "skipped"),
        ("resolve", "skipped"),
    ]


def test_finished_entries_are_forgotten_a_day_later_unless_still_open() -> None:
    box = Outbox()
    offer(box, notice(1), notice(1, incident="over"), notice(1, destination=SLACK, incident="late"))
    while send(box, Accepted()):
        pass
    offer(box, notice(2, "resolve", incident="over"))
    send(box, Accepted())
    day = NOW + 24 * HOUR_MS
    assert box.forgettable(day - 1) == []
    forgotten = box.forgettable(day)
    assert [(e.notice.incident, e.notice.kind) for e in forgotten] == [
        ("over", "trigger"),
        ("over", "resolve"),
    ]
    for entry in forgotten:
        box.drop(entry)
    assert offer(box, notice(2, "resolve", incident="late"), now=day + HOUR_MS) == [
        ("resolve", "queued")
    ]
    assert offer(box, notice(2, "resolve"), now=NOW + 50 * HOUR_MS) == [("resolve", "queued")]


def test_a_resolve_knows_the_key_its_trigger_was_sent_with() -> None:
    box = Outbox()
    offer(box, notice(1, destination=PAGER))
    send(box, Accepted(), key="old")
    offer(box, notice(2, "resolve", destination=PAGER))
    assert box.opened_with(box.next(NOW)) == "old"
