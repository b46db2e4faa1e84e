"""Calendar months, UTC, as spans of seconds since the epoch: "2026-10"."""

import re
from datetime import UTC, datetime

from app.core.slots import Span

_NAME = re.compile(r"(\d{4})-(0[1-9]|1[0-2])")


def month_of(at_s: int) -> str:
    """The month that holds this moment."""
    return f"{datetime.fromtimestamp(at_s, UTC):%Y-%m}"


def span_of(month: str) -> Span:
    """A month's first second, and the first one after it. Raises ValueError for no month."""
    found = _NAME.fullmatch(month)
    if found is None or found[1] == "0000":
        raise ValueError(f"{month!r} is no month: write it like 2026-10")
    year, number = int(found[1]), int(found[2])
    following = (year + number // 12, number % 12 + 1)
    return Span(_first_second(year, number), _first_second(*following))


def _first_second(year: int, number: int) -> int:
    return int(datetime(year, number, 1, tzinfo=UTC).timestamp())
