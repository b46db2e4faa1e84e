"""The alerter's own incidents: what it cannot say in its channel it says by a page."""

from app.core import vitals
from app.core.judge import SloState
from app.core.ownership import Route
from app.core.vitals import Checked, Vitals
from app.core.watermarks import Board

NOW = 1_785_578_400_000
ROUTE = Route(slo="alerter", owner="@ops-team", channel="#ops-alerts")


def checked(*broken: str, state: SloState | None = None, after_ms: int = 0) -> Checked:
    """What is judged where these destinations refuse everything."""
    before = state or SloState()
    before = SloState(
        rules=before.rules, lanes=before.lanes, broken=dict.fromkeys(broken, "404 no_service")
    )
    found = vitals.read(Board(), NOW, before, {})
    return vitals.check(before, found, ROUTE, NOW + after_ms)


def told(found: Checked) -> list[tuple[str, str, str]]:
    return [(n.kind, n.severity, n.destination) for n in found.notices]


def test_a_broken_destination_is_told_in_the_alerters_channel() -> None:
    found = checked("slack:#critical-alerts")
    assert told(found) == [("trigger", "P2", "slack:#ops-alerts")]
    assert found.notices[0].story.headline == (
        "Not to be reached: slack:#critical-alerts (404 no_service)"
    )


def test_where_that_channel_is_broken_itself_its_owner_is_paged() -> None:
    found = checked("slack:#ops-alerts")
    assert told(found) == [
        ("trigger", "P1", "slack:#ops-alerts"),
        ("trigger", "P1", "pagerduty:@ops-team"),
    ]


def test_it_rises_to_a_page_when_that_channel_breaks_later_and_ends_when_it_is_mended() -> None:
    first = checked("slack:#critical-alerts")
    both = checked("slack:#critical-alerts", "slack:#ops-alerts", state=first.state, after_ms=1000)
    assert ("trigger", "P1", "pagerduty:@ops-team") in told(both)
    mended = checked(state=both.state, after_ms=2000)
    assert ("resolve", "P1", "pagerduty:@ops-team") in told(mended)


def test_nothing_is_wrong_where_nothing_is_broken() -> None:
    assert told(checked()) == []
    assert isinstance(vitals.read(Board(), NOW, SloState(), {}), Vitals)
