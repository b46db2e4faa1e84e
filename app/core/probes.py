"""Probes: synthetic events that go the whole way, so that somebody outside hears that we live.

A probe lies in `kokino.events` like any other event. It is counted by a definition of its own, in
rows of its own, so no SLO's numbers change. Once it is stored as counted, and every SLO has been
judged at a later moment, it becomes a notice; when that is delivered, the heartbeat's address is
called. Whatever breaks on this way, the calls end.
"""

from msgspec.structs import replace

from app.core.judge import SloState
from app.core.notices import Notice, headline_alone
from app.core.slos import Clause, Definition
from app.core.vitals import ALERTER

EVENT = "BURNRATE_PROBE"
EVERY_MS = 60_000
FRESH_MS = 120_000
"""A probe older than this proves nothing of the present."""

DEFINITION = Definition(clauses=(Clause(event=EVENT, always_bad=True),))  # so its time is kept
FINGERPRINT = DEFINITION.fingerprint()
DESTINATION = "heartbeat:url"


def prove(state: SloState, probed_at: int, now: int) -> tuple[SloState, tuple[Notice, ...]]:
    """The alerter's state, and the notice of a probe that was not heard of yet. Times in ms."""
    if probed_at <= state.probed_at or now - probed_at > FRESH_MS:
        return state, ()
    return replace(state, probed_at=probed_at), (_notice(probed_at, now),)


def _notice(probed_at: int, now: int) -> Notice:
    incident = f"{ALERTER}-heartbeat"
    return Notice(
        id=f"{incident}#{probed_at}@{DESTINATION}",
        destination=DESTINATION,
        kind="heartbeat",
        at=now,
        slo=ALERTER,
        incident=incident,
        severity="P2",
        rules=(),
        story=headline_alone("A probe has gone the whole way", ALERTER),
    )
