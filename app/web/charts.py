"""What the charts show, made of `slo.history` and the status. Pure.

Times are ISO 8601 where a person reads them, milliseconds where a chart does.
"""

from collections.abc import Iterable, Mapping
from itertools import accumulate
from typing import NamedTuple

from app.core.history import Day, Recent, Series, Told
from app.web.views import Document, ms_of

PERIOD_MS = 30 * 86_400_000
HOUR_MS = 3_600_000


class Mark(NamedTuple):
    """An incident on a chart."""

    key: str
    severity: str
    begin: int  # ms
    end: int | None  # ms; None: open


def hours_of(history: Mapping[str, Told], slo: str) -> Series:
    """All hours that are kept of an SLO, as one series; empty where there are none."""
    days = sorted(
        (told.hours for told in history.values() if isinstance(told, Day) and told.slo == slo),
        key=lambda hours: hours.begin,
    )
    return _joined(days)


def _joined(days: list[Series]) -> Series:
    begin = days[0].begin if days else 0
    total, bad, value = list[int](), list[int](), list[float | None]()
    for day in days:
        missing = (day.begin - begin) // HOUR_MS - len(total)
        total += [0] * missing + list(day.total)
        bad += [0] * missing + list(day.bad)
        value += [None] * missing + list(day.value)
    return Series(begin=begin, step_s=3600, total=tuple(total), bad=tuple(bad), value=tuple(value))


def recent_of(history: Mapping[str, Told], slo: str) -> Series:
    """The last day in steps of 5 minutes."""
    told = history.get(f"{slo}/recent")
    return told.steps if isinstance(told, Recent) else _joined([])


def burn_down(hours: Series, slo: Document) -> Document:
    """How the budget went over the 30 days up to now: what was left of it at each hour's end.

    Each hour's bad events are taken off the budget as it is now, so the line ends at what is left.
    """
    remaining, allowed = slo["budget"]["remaining"], slo["budget"]["allowed"]
    if not isinstance(remaining, int | float) or not allowed or not hours.bad:
        return {"begin": hours.begin, "step_s": hours.step_s, "remaining": []}
    now = ms_of(slo["judgedAt"])
    first = max(0, -(-(now - PERIOD_MS - hours.begin) // HOUR_MS))
    spent = list(accumulate(hours.bad[first:]))
    end = spent[-1] if spent else 0  # of all that this chart knows
    return {
        "begin": hours.begin + first * HOUR_MS,
        "step_s": hours.step_s,
        "remaining": [remaining + (end - so_far) / allowed for so_far in spent],
    }


def marks(incidents: Iterable[Document], slo: str, since_ms: int) -> list[Mark]:
    """An SLO's incidents that were open at some time since then, oldest first."""
    found = [
        Mark(
            one["key"],
            one["severity"],
            ms_of(one["openedAt"]),
            ms_of(one["resolvedAt"]) if one["resolvedAt"] else None,
        )
        for one in incidents
        if one["slo"] == slo
    ]
    return sorted(
        (mark for mark in found if mark.end is None or mark.end >= since_ms),
        key=lambda mark: mark.begin,
    )


def history_of(
    history: Mapping[str, Told], slo: Document, incidents: Iterable[Document]
) -> Document:
    """`GET /api/history`: everything that an SLO's charts show."""
    hours, steps = hours_of(history, slo["id"]), recent_of(history, slo["id"])
    return {
        "slo": slo["id"],
        "kind": slo["headline"]["kind"],
        "unit": slo["headline"]["unit"],
        "target": slo["headline"]["target"],
        "asOf": slo["judgedAt"],
        "hours": hours,
        "steps": steps,
        "burndown": burn_down(hours, slo),
        "incidents": [mark._asdict() for mark in marks(incidents, slo["id"], hours.begin)],
    }
