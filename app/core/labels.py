"""Labelled incidents against what was told: which were found, and what else was paged."""

from collections.abc import Sequence
from typing import Protocol

import msgspec

AFTER_MS = 3_600_000
"""A notice up to an hour after its end still finds an incident."""

_FINDS = ("trigger", "update", "freeze")


class Told(Protocol):
    """What a notice must have to be scored: see `app.core.notices.Notice`."""

    @property
    def kind(self) -> str:
        """What it tells."""

    @property
    def at(self) -> int:
        """Judge time, ms."""

    @property
    def slo(self) -> str:
        """Of which SLO."""

    @property
    def incident(self) -> str:
        """The incident's key."""

    @property
    def page(self) -> bool:
        """Whether it wakes somebody up."""


class Label(msgspec.Struct, frozen=True, kw_only=True):
    """An incident that is known to have happened. Times in ms."""

    slo: str
    begin: int
    end: int
    what: str = ""


class Score(msgspec.Struct, frozen=True, kw_only=True):
    """How the notices did. Ratios 0 to 1; None where there is nothing to divide by."""

    found: tuple[tuple[Label, int], ...]  # with the seconds until the first notice
    missed: tuple[Label, ...]
    other_pages: tuple[str, ...]  # incidents that paged outside every label
    pages: int  # incidents that paged
    precision: float | None
    recall: float | None


def score(labels: Sequence[Label], notices: Sequence[Told]) -> Score:
    """Hold what was told against what happened."""
    found, missed = [], []
    for label in labels:
        first = min((n.at for n in notices if n.kind in _FINDS and _finds(n, label)), default=None)
        if first is None:
            missed.append(label)
        else:
            found.append((label, (first - label.begin) // 1000))
    pages = [n for n in notices if n.page and n.kind == "trigger"]
    right = [page for page in pages if any(_finds(page, label) for label in labels)]
    other = {page.incident for page in pages} - {page.incident for page in right}
    return Score(
        found=tuple(found),
        missed=tuple(missed),
        other_pages=tuple(sorted(other)),
        pages=len(pages),
        precision=len(right) / len(pages) if pages else None,
        recall=len(found) / len(labels) if labels else None,
    )


def _finds(notice: Told, label: Label) -> bool:
    return notice.slo == label.slo and label.begin <= notice.at <= label.end + AFTER_MS
