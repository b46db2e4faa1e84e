"""What the charts show, made of `slo.history` and the status. Pure.

Times are ISO 8601 where a person reads them, milliseconds where a chart does.
"""

from collections.abc import Iterable, Mapping
from itertools import accumulate
from typing import NamedTuple

from app.core.history import Day, Recent, Series, Told
from app.web.views import Document, ms_of

SPARK_WIDTH, SPARK_HEIGHT = 300, 56
SPARK_POINTS = 120
_LEAST_MARK = 2.0  # so that a short incident is to be seen
PERIOD_MS = 30 * 86_400_000
HOUR_MS = 3_600_000


class Mark(NamedTuple):
    """An incident on a chart."""

    key: str
    severity: str
    begin: int  # ms
    end: int | None  # ms; None: open


def hours_of(history: Mapping[str, Told]) -> Series:
    """All hours that are kept of an SLO, as one series; empty where there are none."""
    days = [told.hours for told in history.values() if isinstance(told, Day)]
    return _joined(sorted(days, key=lambda hours: hours.begin))


def _joined(days: list[Series]) -> Series:
    begin = days[0].begin if days else 0
    total, bad, value = list[int](), list[int](), list[float | None]()
    for day in days:
        missing = (day.begin - begin) // HOUR_MS - len(total)
        total += [0] * missing + list(day.total)
        bad += [0] * missing + list(day.bad)
        value += [None] * missing + list(day.value)
    return Series(begin=begin, step_s=3600, total=tuple(total), bad=tuple(bad), value=tuple(value))


def recent_of(history: Mapping[str, Told]) -> Series:
    """The last day in steps of 5 minutes."""
    told = history.get("recent")
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


class SparkMark(NamedTuple):
    """An incident on a small chart."""

    severity: str
    x: float
    width: float


class Spark(NamedTuple):
    """A small chart without axes, as SVG takes it."""

    width: int
    height: int
    path: str
    zero: float  # where nothing is left
    marks: list[SparkMark]


def spark(burn_down: Document, incidents: Iterable[Mark], now_ms: int) -> Spark | None:
    """The burn-down drawn small; None where there is none. It reaches down to what is overspent."""
    remaining: list[float] = burn_down["remaining"]
    if not remaining:
        return None
    begin: int = burn_down["begin"]
    step: int = burn_down["step_s"] * 1000
    length = max(step * len(remaining), now_ms - begin)
    low = min(0.0, *remaining)
    zero = SPARK_HEIGHT / (1 - low)

    def x_of(at_ms: float) -> float:
        return SPARK_WIDTH * min(1.0, max(0.0, (at_ms - begin) / length))

    every = max(1, len(remaining) // SPARK_POINTS)
    last = len(remaining) - 1
    points = [
        f"{x_of(begin + (n + 1) * step):.1f} {zero * (1 - left) + 1:.1f}"
        for n, left in enumerate(remaining)
        if n % every == 0 or n == last
    ]
    marks = [
        SparkMark(
            mark.severity,
            x_of(mark.begin),
            max(_LEAST_MARK, x_of(mark.end or now_ms) - x_of(mark.begin)),
        )
        for mark in incidents
    ]
    return Spark(SPARK_WIDTH, SPARK_HEIGHT + 2, "M" + "L".join(points), zero + 1, marks)


def history_of(
    history: Mapping[str, Told], slo: Document, incidents: Iterable[Document]
) -> Document:
    """`GET /api/history`: everything that an SLO's charts show."""
    hours, steps = hours_of(history), recent_of(history)
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
