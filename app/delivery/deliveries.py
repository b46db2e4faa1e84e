"""Deliveries: what is kept of every attempt, for the audit."""

from typing import Literal

import msgspec
from msgspec.structs import replace

from app.core.notices import Kind
from app.delivery.outbox import Entry
from app.delivery.outcomes import Accepted, FallbackText, Outcome, Retry

Came = Literal["accepted", "retry", "fallback", "failed", "skipped", "printed"]


class Delivery(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One attempt, or the decision that there is none: a value of `slo.deliveries`."""

    at: int
    notice: str  # its id
    incident: str
    destination: str
    kind: Kind
    attempt: int
    outcome: Came
    reason: str = ""
    status: int | None = None
    duration_ms: int = 0
    fingerprint: str = ""
    late_s: int = 0  # the notice came so much later than it was due
    notice_at: int = 0  # judge time
    possible_duplicate: bool = False


def decided(entry: Entry, came: Came, now: int) -> Delivery:
    """An entry that is done without a request."""
    notice = entry.notice
    return Delivery(
        at=now,
        notice=notice.id,
        incident=notice.incident,
        destination=notice.destination,
        kind=notice.kind,
        attempt=entry.attempts,
        outcome=came,
        reason=entry.reason,
        fingerprint=entry.fingerprint,
        late_s=notice.late_s,
        notice_at=notice.at,
        possible_duplicate=entry.possible_duplicate,
    )


def attempted(entry: Entry, outcome: Outcome, now: int, duration_ms: int) -> Delivery:
    """A request that was made, and what came of it; `entry` as it is afterwards."""
    came: Came = "failed" if entry.state == "failed" else _came(outcome)
    return replace(
        decided(entry, came, now),
        status=outcome.status,
        duration_ms=duration_ms,
        reason="" if isinstance(outcome, Accepted) else outcome.reason,
    )


def _came(outcome: Outcome) -> Came:
    if isinstance(outcome, Accepted):
        return "accepted"
    if isinstance(outcome, FallbackText):
        return "fallback"
    return "retry" if isinstance(outcome, Retry) else "failed"
