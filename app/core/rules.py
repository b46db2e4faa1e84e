"""Rules over time: a signal becomes a firing rule, and a firing rule clears.

| state    | signal                          | becomes                                     |
|----------|---------------------------------|---------------------------------------------|
| inactive | fires                           | pending, or firing where `for` is 0          |
| pending  | fires for as long as `for`      | firing                                      |
| pending  | does not fire                   | inactive                                    |
| firing   | false on enough events          | inactive, after `keep_firing_for`           |
| firing   | held back, empty or thin window | stays, up to 6 h, then inactive ("no data") |
"""

from typing import Literal, NamedTuple

import msgspec

from app.core.signals import Signal
from app.core.slos import BreachRule, BurnRule


class RuleState(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Where one rule stands. Times in ms of judge time."""

    state: Literal["inactive", "pending", "firing"] = "inactive"
    since: int = 0  # of this state
    last_true: int = 0
    stale_since: int = 0  # firing without evidence since; 0: with evidence
    why: str = ""  # of the last clearing: "recovered", "no data"


INACTIVE = RuleState()


class Timing(NamedTuple):
    """A rule's own times, s."""

    for_s: int
    keep_firing_s: int
    stale_s: int


def timing(rule: BreachRule | BurnRule, stale_s: int) -> Timing:
    """The times of a configured rule."""
    return Timing(rule.for_s, rule.keep_firing_s, stale_s)


def step(before: RuleState, signal: Signal, times: Timing, now: int) -> RuleState:
    """The rule's next state at `now` (ms)."""
    if before.state == "firing":
        return _while_firing(before, signal, times, now)
    if not signal.fires:
        return before if before.state == "inactive" else RuleState(since=now)
    since = before.since if before.state == "pending" else now
    if now - since >= times.for_s * 1000:
        return RuleState(state="firing", since=now, last_true=now)
    return RuleState(state="pending", since=since)


def _while_firing(before: RuleState, signal: Signal, times: Timing, now: int) -> RuleState:
    last_true = now if signal.true else before.last_true
    if signal.fires:
        return msgspec.structs.replace(before, last_true=now, stale_since=0)
    if signal.true is False and signal.may_clear:
        if now - last_true >= times.keep_firing_s * 1000:
            return RuleState(since=now, why="recovered")
        return msgspec.structs.replace(before, stale_since=0)
    stale_since = before.stale_since or now
    if now - stale_since >= times.stale_s * 1000:
        return RuleState(since=now, why="no data")
    return msgspec.structs.replace(before, last_true=last_true, stale_since=stale_since)
