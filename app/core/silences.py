"""Silences: what they match is not told while they last. Nothing is silent without an end."""

from collections.abc import Iterable, Sequence
from typing import Literal

import msgspec

from app.core.notices import Severity

LONGEST_MS = 7 * 24 * 3600 * 1000
"""A silence that is wanted for longer is a change of the configuration."""

KEPT = 200  # of one SLO at a time; an operator who makes more has a script that went wrong


class Silence(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What is held back, until when, who wanted it and why. Times in ms; no filter: everything."""

    id: str
    slo: str
    begins_at: int
    ends_at: int
    by: str
    why: str
    severity: Severity | None = None
    rule: str | None = None
    kind: Literal["silence", "maintenance"] = "silence"

    def matches(self, rule: str, severity: Severity) -> bool:
        """Whether this rule of its SLO is not to be heard."""
        return self.severity in (None, severity) and self.rule in (None, rule)


def active(known: Iterable[Silence], now: int) -> tuple[Silence, ...]:
    """Those in force."""
    return tuple(one for one in known if one.begins_at <= now < one.ends_at)


def holding(
    known: Sequence[Silence], firing: Iterable[tuple[str, Severity]]
) -> tuple[Silence, ...]:
    """The silences that hold back an incident: together they match every rule that fires."""
    rules = list(firing)
    if not rules or not all(any(one.matches(*rule) for one in known) for rule in rules):
        return ()
    return tuple(one for one in known if any(one.matches(*rule) for rule in rules))


def added(known: Sequence[Silence], silence: Silence, now: int) -> tuple[Silence, ...]:
    """With one more, in the place of what had its id, without what is over."""
    others = [one for one in known if one.ends_at > now and one.id != silence.id]
    return (*others[-(KEPT - 1) :], silence)
