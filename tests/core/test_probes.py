"""A probe becomes a heartbeat once, and only while it is fresh."""

from app.core import probes
from app.core.judge import SloState

NOW = 1_785_578_400_000


def heard(state: SloState, probed_at: int, now: int = NOW) -> tuple[int, list[str]]:
    """What is remembered, and the ids of what is told."""
    after, notices = probes.prove(state, probed_at, now)
    assert all(n.destination == probes.DESTINATION and n.kind == "heartbeat" for n in notices)
    return after.probed_at, [notice.id for notice in notices]


def test_a_new_probe_is_told_once() -> None:
    told = f"alerter-heartbeat#{NOW - 500}@heartbeat:url"
    assert heard(SloState(), NOW - 500) == (NOW - 500, [told])
    assert heard(SloState(probed_at=NOW - 500), NOW - 500) == (NOW - 500, [])


def test_without_a_probe_nothing_is_told() -> None:
    assert heard(SloState(), 0) == (0, [])


def test_a_probe_that_took_too_long_proves_nothing() -> None:
    assert heard(SloState(), NOW - probes.FRESH_MS - 1) == (0, [])


def test_a_probe_is_counted_apart_from_every_slo() -> None:
    [clause] = probes.DEFINITION.clauses
    assert clause.event == "BURNRATE_PROBE"
