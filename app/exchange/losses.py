"""What a translation cannot say: told to whoever asked for it, never dropped."""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import msgspec

from app.exchange.writing import write
from app.local.progress import say

Then = Literal["left out", "approximated", "kept apart"]
"""`kept apart`: where only this program reads it, as in an annotation."""


class Loss(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that the other form has no word for."""

    where: str  # "availability: fast-burn", "SLO checkout: spec.timeWindow"
    what: str
    then: Then


def tell(losses: Sequence[Loss], report: Path | None) -> None:
    """All of them on stderr, and as JSON into the report; raises UserError for the file."""
    for loss in losses:
        say(f"{loss.then}: {loss.where}: {loss.what}")
    if report is not None:
        write(report, msgspec.json.format(msgspec.json.encode(list(losses)), indent=1).decode())
