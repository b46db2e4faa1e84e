"""Maintenance windows: times known beforehand, once or by a rule (RFC 5545), in a time zone."""

from datetime import UTC, datetime, timedelta
from functools import lru_cache
from itertools import pairwise

import msgspec
from dateutil import rrule, tz

from app.core.silences import LONGEST_MS, Silence

_HOUR_MS = 3_600_000
_LEAST_GAP = timedelta(hours=1)
_LOOKED_AT = 60
"""Occurrences that are checked; a rule's gaps repeat long before."""

_FREQUENCIES = frozenset({"DAILY", "WEEKLY", "MONTHLY", "YEARLY"})


class Window(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One window, or the first of many.

    What it matches is not told while it lasts; with `exclude_from_budget` what happens in it does
    not count either.
    """

    id: str
    begins: str  # ISO 8601 without a zone, the time on the clock there: "2026-11-28T22:00"
    lasts_s: int
    by: str
    why: str
    zone: str = "UTC"
    repeats: str = ""  # RRULE, as in "FREQ=WEEKLY;BYDAY=SA"
    exclude_from_budget: bool = False


def fault_of(window: Window) -> str:
    """Why a window cannot be used; empty where it can."""
    if tz.gettz(window.zone) is None:
        return f"{window.zone!r} is no time zone; write it like UTC or Europe/Berlin"
    if not 60 <= window.lasts_s <= LONGEST_MS // 1000:
        return "it lasts from a minute to 7 days"
    try:
        begins = datetime.fromisoformat(window.begins)
    except ValueError:
        return f"begins is {window.begins!r}: write it like 2026-11-28T22:00"
    if begins.tzinfo is not None:
        return "begins has no offset of its own: name the zone beside it"
    return _fault_of_rule(window) if window.repeats else ""


def _fault_of_rule(window: Window) -> str:
    try:
        parts = dict(part.split("=", 1) for part in window.repeats.upper().split(";"))
        if parts.get("FREQ") not in _FREQUENCIES:
            return "repeats begins with FREQ=DAILY, WEEKLY, MONTHLY or YEARLY"
        found = list(_rule(window).xafter(_first(window), count=_LOOKED_AT, inc=True))
    except (ValueError, TypeError, AttributeError) as error:
        return f"repeats is no recurrence rule ({error}); write it like FREQ=WEEKLY;BYDAY=SA"
    if not found:
        return "it never happens"
    lasts = timedelta(seconds=window.lasts_s)
    gaps = (later - one - lasts for one, later in pairwise(found))
    if min(gaps, default=_LEAST_GAP) < _LEAST_GAP:
        return "between two of its times at least an hour must be left, or it never ends"
    return ""


def _first(window: Window) -> datetime:
    return datetime.fromisoformat(window.begins).replace(tzinfo=tz.gettz(window.zone))


@lru_cache(maxsize=256)
def _rule(window: Window) -> rrule.rrule | rrule.rruleset:
    made: rrule.rrule | rrule.rruleset = rrule.rrulestr(window.repeats, dtstart=_first(window))
    return made


def _ms(moment: datetime) -> int:
    return round(moment.astimezone(UTC).timestamp() * 1000)


@lru_cache(maxsize=4096)
def _begun(window: Window, hour: int) -> tuple[int, ...]:
    """When its occurrences begin that an hour may see, ms."""
    if not window.repeats:
        return (_ms(_first(window)),)
    since = datetime.fromtimestamp(hour * 3600 - window.lasts_s, UTC)
    until = datetime.fromtimestamp((hour + 1) * 3600, UTC)
    return tuple(_ms(one) for one in _rule(window).between(since, until, inc=True))


def begins_at(window: Window) -> int:
    """When it is for the first time, ms."""
    return _ms(_first(window))


def occurrence(window: Window, at: int) -> tuple[int, int] | None:
    """Begin and end (ms) of the occurrence that a moment lies in."""
    for begins_at in _begun(window, at // _HOUR_MS):
        if begins_at <= at < begins_at + window.lasts_s * 1000:
            return begins_at, begins_at + window.lasts_s * 1000
    return None


def next_occurrence(window: Window, at: int) -> tuple[int, int] | None:
    """Begin and end (ms) of the occurrence that is now, or else comes next; None: all are over."""
    if (now := occurrence(window, at)) is not None:
        return now
    begins_at = _ms(_first(window))
    if window.repeats:
        after = _rule(window).after(datetime.fromtimestamp(at / 1000, UTC))
        if after is None:
            return None
        begins_at = _ms(after)
    return (begins_at, begins_at + window.lasts_s * 1000) if begins_at > at else None


def as_silence(window: Window, slo: str, at: int) -> Silence | None:
    """The silence that a window is at a moment."""
    span = occurrence(window, at)
    if span is None:
        return None
    return Silence(
        id=f"{window.id}@{span[0]}",
        slo=slo,
        begins_at=span[0],
        ends_at=span[1],
        by=window.by,
        why=window.why,
        kind="maintenance",
    )
