"""An SLO that is configured no more: what it had begun ends where it was told."""

from app.core import retirement
from app.core.freezes import Freeze
from app.core.incidents import Incident, Page
from app.core.judge import SloState

AT, LATER = 1_785_578_400_000, 1_785_578_460_000
OPEN = Incident(
    key="speed-1",
    slo="speed",
    lane="main",
    state="firing",
    severity="P1",
    rules=("breach",),
    opened_at=AT,
    last_told_at=AT,
    seq=3,
    channels=("slack:#old", "slack:#new"),
    pages=(
        Page(
            dedup_key="speed-1/P1/1",
            severity="P1",
            at=AT,
            destinations=("pagerduty:@first", "pagerduty:@second"),
        ),
    ),
)


def test_its_open_incident_ends_at_every_destination_that_was_told() -> None:
    gone = retirement.retire(SloState(lanes={"main": OPEN}), LATER)
    assert [(n.kind, n.destination, n.dedup_key) for n in gone.notices] == [
        ("resolve", "slack:#old", ""),
        ("resolve", "slack:#new", ""),
        ("resolve", "pagerduty:@first", "speed-1/P1/1"),
        ("resolve", "pagerduty:@second", "speed-1/P1/1"),
    ]
    assert {n.story.reason for n in gone.notices} == {"the SLO is configured no more"}
    (incident,) = gone.changed
    assert (incident.state, incident.resolved_at) == ("resolved", LATER)
    assert gone.state.lanes == {"main": incident}


def test_one_that_nobody_was_told_of_ends_silently() -> None:
    untold = Incident(**{name: getattr(OPEN, name) for name in OPEN.__struct_fields__}
                      | {"channels": (), "pages": ()})  # fmt: skip
    gone = retirement.retire(SloState(lanes={"main": untold}), LATER)
    assert (gone.notices, gone.changed[0].state) == ((), "resolved")


def test_its_freeze_ends_with_it() -> None:
    state = SloState(freeze=Freeze(key="speed-freeze-1", since=AT))
    assert retirement.is_due(state)
    assert not retirement.is_due(retirement.retire(state, LATER).state)
