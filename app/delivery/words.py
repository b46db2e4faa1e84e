"""Numbers, times and spans as people read them. Pure; never raises, whatever the number."""

import math
from datetime import UTC, datetime

from app.core.notices import Finding

_DIGITS = {"ratio": 1, "ms": 1, "MB": 0, "count": 0}
_MOST_DIGITS = 6


def amount(value: float, unit: str, apart_from: float | None = None) -> str:
    """A value in its unit: 0.972 → "97.2 %", 75300 ms → "75.3 s", 1310 MB → "1,310 MB".

    Takes as many digits as tell it from `apart_from`, so that no message says
    "99.0 %; the limit is 99.0 %".
    """
    if math.isnan(value):
        return "unknown"
    if math.isinf(value):
        return "∞" if value > 0 else "-∞"
    # a ratio just below 1 never reads "100.0 %"
    others = {1.0, apart_from} if unit == "ratio" else {apart_from}
    others -= {None, value}
    for digits in range(_DIGITS.get(unit, 1), _MOST_DIGITS):
        text = _written(value, unit, digits)
        if text not in {_written(other, unit, digits) for other in others if other is not None}:
            break
    return text


def _written(value: float, unit: str, digits: int) -> str:
    if unit == "ratio":
        return f"{value * 100:,.{digits}f} %"
    if unit == "ms":
        return f"{value / 1000:,.{digits}f} s"
    text = f"{value:,.{digits}f}"
    return f"{text} MB" if unit == "MB" else text


def value_of(finding: Finding) -> str:
    """A finding's value, told apart from its limit."""
    return amount(finding.value, finding.unit, finding.threshold)


def limit_of(finding: Finding) -> str:
    """A finding's limit, told apart from its value."""
    return amount(finding.threshold, finding.unit, finding.value)


def number(count: int) -> str:
    """1234 → "1,234"."""
    return f"{count:,}"


def span(seconds: float) -> str:
    """A span of time by its two largest units: 3900 → "1 h 5 min"."""
    if not math.isfinite(seconds):
        return "unknown"
    left = max(0, round(seconds))
    units = ((86_400, "d"), (3600, "h"), (60, "min"), (1, "s"))
    first = next((i for i, (unit_s, _) in enumerate(units) if left >= unit_s), 3)
    parts = []
    for unit_s, name in units[first : first + 2 if first < 2 else first + 1]:
        count, left = divmod(left, unit_s)
        if count:
            parts.append(f"{count:,} {name}")
    return " ".join(parts) or "0 s"


def window(window_s: int) -> str:
    """A trailing window: 3600 → "hour", 300 → "5 minutes", 86400 → "24 hours"."""
    for unit_s, one, least in ((86_400, "day", 2), (3600, "hour", 1), (60, "minute", 1)):
        if window_s >= unit_s * least and window_s % unit_s == 0:
            count = window_s // unit_s
            return one if count == 1 else f"{count:,} {one}s"
    return f"{window_s:,} seconds"


def utc(at_ms: int) -> str:
    """2026-10-13 14:05:00 UTC."""
    moment = _moment(at_ms)
    return f"{moment:%Y-%m-%d %H:%M:%S} UTC" if moment else f"{at_ms} ms"


def clock_time(at_ms: int) -> str:
    """14:05 UTC."""
    moment = _moment(at_ms)
    return f"{moment:%H:%M} UTC" if moment else f"{at_ms} ms"


def iso(at_ms: int) -> str:
    """2026-10-13T14:05:00.000+00:00; empty where no calendar reaches."""
    moment = _moment(at_ms)
    return moment.isoformat(timespec="milliseconds") if moment else ""


def _moment(at_ms: int) -> datetime | None:
    try:
        return datetime.fromtimestamp(at_ms / 1000, UTC)
    except (ValueError, OverflowError, OSError):
        return None


def sentence(text: str) -> str:
    """The text with a capital in front and a full stop at its end."""
    text = text.strip()
    if not text:
        return ""
    return text[0].upper() + text[1:] + ("" if text[-1] in ".!?…" else ".")
