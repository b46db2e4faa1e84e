"""Redirects: who is told instead, where a destination refuses a notice for good. Pure.

| it refuses        | instead                                                    |
|-------------------|------------------------------------------------------------|
| a pager           | the SLO's channel, then the channel of whoever runs this   |
| a channel         | the channel of whoever runs this                           |

Nothing goes to a pager instead: what pages has been sent there anyway, and an alert that nobody
resolves would be worse than none. Where the last channel refuses, `app.core.vitals` pages.
"""

from collections.abc import Mapping

import msgspec
from msgspec.structs import replace

from app.core.notices import Kind, Notice
from app.delivery.secrets import service_of

PASSED_ON: frozenset[Kind] = frozenset(
    {"trigger", "escalate", "downgrade", "resolve", "freeze", "unfreeze", "override"}
)
"""The rest is news of what was told before: alone it says little."""


class Elsewhere(msgspec.Struct, frozen=True, kw_only=True):
    """Where else people are: destinations of channels."""

    channels: Mapping[str, str] = {}  # by SLO id
    last: str = ""  # of whoever runs the alerter


def instead(notice: Notice, reason: str, elsewhere: Elsewhere) -> Notice | None:
    """The notice for whoever is told instead; None: nobody is left, or nobody need be."""
    if notice.kind not in PASSED_ON:
        return None
    tried = (*notice.instead_of, notice.destination)
    others = [elsewhere.last]
    if service_of(tried[0]) == "pagerduty":
        others.insert(0, elsewhere.channels.get(notice.slo, ""))
    destination = next((other for other in others if other and other not in tried), None)
    if destination is None:
        return None
    return replace(
        notice,
        id=f"{notice.id}>{destination}",
        destination=destination,
        page=False,
        dedup_key="",
        instead_of=tried,
        refused=reason,
    )
