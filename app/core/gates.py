"""The gate: deployments while the budget is spent, and the overrides that let one through.

An override needs a reason and an author, ends by itself, is announced in the SLO's channel, and is
kept with the SLO's state.
"""

from collections.abc import Sequence

import msgspec
from msgspec.structs import replace

from app.core import stories
from app.core.budgets import BudgetState
from app.core.freezes import Freeze
from app.core.notices import Notice, Story
from app.core.ownership import Route, slack
from app.core.slos import Slo

LONGEST_MS = 7 * 24 * 3600 * 1000
"""An override that is wanted for longer is another policy: `freeze` in the configuration."""

KEPT = 20


class Override(msgspec.Struct, frozen=True, kw_only=True):
    """Deployments go on although an SLO freezes them. Times in ms of judge time."""

    id: str
    by: str
    why: str
    at: int
    until: int


def added(known: Sequence[Override], override: Override) -> tuple[Override, ...]:
    """With one more, the newest last."""
    return (*known[-(KEPT - 1) :], override)


def ticked_off(freeze: Freeze, what: str, link: str, now: int) -> Freeze:
    """The first thing of this name that is still due is done; nothing changes where none is."""
    place = next(
        (n for n, d in enumerate(freeze.due) if d.what == what and d.done_at is None), None
    )
    if place is None:
        return freeze
    done = replace(freeze.due[place], done_at=now, link=link)
    return replace(freeze, due=(*freeze.due[:place], done, *freeze.due[place + 1 :]))


def notice(
    slo: Slo, route: Route, freeze: Freeze, override: Override, budget: BudgetState
) -> Notice:
    """What the channel is told of an override."""
    destination = slack(route.channel)
    return Notice(
        id=f"override-{override.id}@{destination}",
        destination=destination,
        kind="override",
        at=override.at,
        slo=slo.id,
        incident=freeze.key or f"{slo.id}-freeze-override",
        severity="P2",
        rules=("exhausted",),
        story=Story(
            slo=slo.id,
            objective=slo.objective,
            headline=f"{slo.title}: the freeze is overridden",
            findings=(),
            budget=stories.told_budget(budget),
            owner=route.owner,
            next_step=None,
            contributors=(),
            examples=(),
            conversations=(),
            opened_at=freeze.since,
            resolved_at=override.until,
            reason=f"{override.by} overrides the freeze: {override.why}",
            runbook="exhausted",
            due=tuple(due.what for due in freeze.due if due.done_at is None),
        ),
        mentions=(route.owner,),
    )
