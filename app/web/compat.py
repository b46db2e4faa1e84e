"""Kokino's own fields of `/api/slo/status`, so that what reads its API reads this one. Pure.

What they mean was read from Kokino's code: availability over 30 days, quantiles by nearest rank
over 24 hours, budgets in whole events. Where it counts wrongly `docs/decisions/` stand: correctness
is measured against comparisons, data integrity in conversations, and a budget of zero is spent by
the first failure.
"""

from collections.abc import Mapping
from decimal import ROUND_HALF_UP, Decimal
from typing import Any, NamedTuple

Document = dict[str, Any]


class _Budget(NamedTuple):
    """One of Kokino's budgets: its name there, the SLO, the window it is counted over."""

    sli: str
    slo: str
    window: str
    window_hours: int
    target: str


_BUDGETS = (
    _Budget("availability", "availability", "30d", 720, "0.995"),
    _Budget("latency", "latency", "24h", 24, "0.95"),  # P95 < 30 s: 5 % may be slower
    _Budget("correctness", "correctness", "30d", 720, "0.95"),
    _Budget("integrity", "data-integrity", "30d", 720, "1"),
)
_TARGET_P95_MS = 30_000
_NOTHING = {"total": 0, "bad": 0, "value": None}


def kokino_fields(slos: Mapping[str, Document], as_of: str | None) -> Document:
    """The fields of Kokino's answer; 1.0 where there is no data, with `noData` beside it."""
    return {
        "availability": _availability(slos.get("availability")),
        "latency": _latency(slos.get("latency")),
        "errorBudget": {one.sli: _budget(one, slos.get(one.slo)) for one in _BUDGETS},
        "timestamp": as_of,
    }


def _window(slo: Document | None, name: str) -> Document:
    found: Document = slo["windows"].get(name, _NOTHING) if slo else _NOTHING
    return found


def _availability(slo: Document | None) -> Document:
    value = _window(slo, "30d")["value"]
    target = slo["headline"]["target"] if slo else float(_BUDGETS[0].target)
    current = 1.0 if value is None else value
    return _said(
        {"current": current, "target": target, "breach": current < target}, no_data=value is None
    )


def _latency(slo: Document | None) -> Document:
    found = slo["quantiles"].get("24h", {}) if slo else {}
    day = _window(slo, "24h")
    return _said(
        {
            **{name: round(found.get(name) or 0) for name in ("p50", "p95", "p99")},
            "target_p95": round(slo["headline"]["target"]) if slo else _TARGET_P95_MS,
            # P95 > target means: more than 5 % were slower. Counted, not estimated.
            "breach": day["bad"] * 20 > day["total"],
        },
        no_data=found.get("p95") is None,
    )


def _budget(one: _Budget, slo: Document | None) -> Document:
    counts = _window(slo, one.window)
    target = Decimal(str(slo["objective"])) if slo and one.sli != "latency" else Decimal(one.target)
    budget = int((counts["total"] * (1 - target)).to_integral_value(ROUND_HALF_UP))
    consumed = counts["bad"]
    return _said(
        {
            "sli": one.sli,
            "target": float(target),
            "budget": budget,
            "consumed": consumed,
            "remaining": max(0, budget - consumed),
            "percentConsumed": _percent(consumed, budget),
            "windowHours": one.window_hours,
        },
        no_data=not counts["total"] and not consumed,
    )


def _percent(consumed: int, budget: int) -> float:
    if not budget:
        return 100.0 if consumed else 0.0
    tenths = Decimal(1000 * consumed) / budget
    return int(tenths.to_integral_value(ROUND_HALF_UP)) / 10


def _said(fields: Document, *, no_data: bool) -> Document:
    return fields | {"noData": True} if no_data else fields
