"""The freeze: while an error budget is spent, only hotfixes are deployed. No incident, no pager."""

from typing import Literal

import msgspec
from msgspec.structs import replace

from app.core.incidents import key_of
from app.core.slos import FreezeRule

REMINDER_MS = 24 * 3600 * 1000

WHILE_FROZEN = ("root cause analysis", "remediation plan")
AFTERWARDS = "retrospective"


class Due(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that is due from the owner."""

    what: str
    owner: str
    done_at: int | None = None
    link: str = ""


class Freeze(msgspec.Struct, frozen=True, kw_only=True):
    """An SLO's freeze, in force or lifted. Times in ms of judge time."""

    key: str = ""
    since: int | None = None  # None: not frozen
    lifted_at: int | None = None
    last_told_at: int = 0
    seq: int = 0
    due: tuple[Due, ...] = ()

    @property
    def frozen(self) -> bool:
        """In force."""
        return self.since is not None


class FreezeChange(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be told of a freeze."""

    kind: Literal["freeze", "reminder", "unfreeze"]
    freeze: Freeze
    at: int
    reason: str


def advance(
    before: Freeze, rule: FreezeRule, *, slo: str, owner: str, consumed: float | None, now: int
) -> tuple[Freeze, FreezeChange | None]:
    """The freeze at `now`, by the share of the budget consumed over the compliance period."""
    if not before.frozen:
        if consumed is None or consumed < rule.consumed:
            return before, None
        return _begin(before, slo, owner, consumed, now)
    if consumed is not None and consumed < rule.lifts_below:
        return _lift(before, owner, consumed, now)
    if now - before.last_told_at >= REMINDER_MS:
        after = replace(before, last_told_at=now, seq=before.seq + 1)
        return after, FreezeChange(kind="reminder", freeze=after, at=now, reason="still frozen")
    return before, None


def _begin(
    before: Freeze, slo: str, owner: str, consumed: float, now: int
) -> tuple[Freeze, FreezeChange]:
    after = Freeze(
        key=key_of(f"{slo}-freeze", now),
        since=now,
        last_told_at=now,
        seq=before.seq + 1,
        due=(*_left_over(before), *(Due(what=what, owner=owner) for what in WHILE_FROZEN)),
    )
    reason = f"{consumed:.1%} of the error budget is consumed"
    return after, FreezeChange(kind="freeze", freeze=after, at=now, reason=reason)


def _left_over(before: Freeze) -> tuple[Due, ...]:
    """The retrospective of an earlier freeze, where nobody has held it yet."""
    return tuple(due for due in before.due if due.what == AFTERWARDS and due.done_at is None)


def _lift(before: Freeze, owner: str, consumed: float, now: int) -> tuple[Freeze, FreezeChange]:
    after = replace(
        before,
        since=None,
        lifted_at=now,
        last_told_at=now,
        seq=before.seq + 1,
        due=(*before.due, Due(what=AFTERWARDS, owner=owner)),
    )
    reason = f"the error budget is back: {consumed:.1%} consumed"
    return after, FreezeChange(kind="unfreeze", freeze=after, at=now, reason=reason)
