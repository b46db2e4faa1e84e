"""Deliveries: what is kept of every attempt, for the audit."""

from typing import Literal

import msgspec
from msgspec.structs import replace

from app.core.notices import Kind
from app.delivery.outbox import Entry
from app.delivery.outcomes import Accepted, FallbackText, LostThread, Outcome, Retry, cause_of
from app.delivery.threads import UPDATE

Came = Literal[
    "accepted",
    "updated",  # the incident's message in Slack was changed
    "grouped",  # told in one message with others
    "retry",
    "fallback",
    "failed",
    "skipped",
    "printed",
]


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
    cause: str = ""  # the reason in one word of a bounded set, for metrics
    call: str = ""  # what a service was asked that can do several things
    status: int | None = None
    duration_ms: int = 0
    fingerprint: str = ""
    late_s: int = 0  # the notice came so much later than it was due
    notice_at: int = 0  # judge time
    possible_duplicate: bool = False
    event_at: int = 0  # when the newest failing event happened that it tells of


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
        event_at=max((example.at for example in notice.story.examples), default=0),
    )


def attempted(
    entry: Entry, outcome: Outcome, now: int, duration_ms: int, call: str = ""
) -> Delivery:
    """A request that was made, and what came of it; `entry` as it is afterwards."""
    came: Came = "failed" if entry.state == "failed" else _came(outcome, call)
    return replace(
        decided(entry, came, now),
        status=outcome.status,
        duration_ms=duration_ms,
        reason="" if isinstance(outcome, Accepted) else outcome.reason,
        cause=cause_of(outcome),
        call=call,
    )


def _came(outcome: Outcome, call: str) -> Came:
    if isinstance(outcome, Accepted):
        return "updated" if call == UPDATE else "accepted"
    if isinstance(outcome, FallbackText | LostThread):
        return "fallback"
    return "retry" if isinstance(outcome, Retry) else "failed"
