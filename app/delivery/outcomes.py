"""What came of an attempt, read from the answer by the tables of the services. Pure.

| answer                 | Slack webhook                          | PagerDuty Events v2            |
|------------------------|----------------------------------------|--------------------------------|
| 200 `ok` / 202         | accepted                               | accepted                       |
| 400                    | once more as text, then permanent      | permanent: message and errors  |
| 403, 404, 410          | permanent                              | permanent                      |
| 3xx, other 4xx         | permanent (redirects are not followed) | permanent                      |
| 408                    | retry                                  | retry                          |
| 429                    | retry after `Retry-After`, bounded     | the same                       |
| 5xx, other 200         | retry                                  | retry                          |
| network error, time-out| retry                                  | retry                          |
"""

import math
from collections.abc import Mapping
from email.utils import parsedate_to_datetime

import msgspec

from app.delivery.limits import plain

FIRST_RETRY_S = 1.0
LONGEST_RETRY_S = 60.0  # so that a service that comes back is heard of within a minute
LEAST_RETRY_AFTER_S = 1.0
MOST_RETRY_AFTER_S = 300.0
DEFAULT_RETRY_AFTER_S = 30.0  # for a Retry-After that is missing, unreadable or beyond the most
_REASON = 300


class Accepted(msgspec.Struct, frozen=True, tag=True):
    """The service has it."""

    status: int = 200


class Retry(msgspec.Struct, frozen=True, tag=True):
    """Not now. `after_s` is the service's own wish; None: the usual backoff."""

    reason: str
    after_s: float | None = None
    status: int | None = None
    unsure: bool = False  # it may have been accepted all the same


class Permanent(msgspec.Struct, frozen=True, tag=True):
    """Never, as things are."""

    reason: str
    status: int | None = None


class FallbackText(msgspec.Struct, frozen=True, tag=True):
    """Slack refuses the blocks: once more as text alone."""

    reason: str
    status: int = 400


Outcome = Accepted | Retry | Permanent | FallbackText


class Answer(msgspec.Struct, frozen=True):
    """An HTTP answer, as far as it matters. Header names in lower case."""

    status: int
    body: bytes = b""
    headers: Mapping[str, str] = {}
    at: int = 0  # ms


def of_slack(answer: Answer, *, text_alone: bool) -> Outcome:
    """What an incoming webhook's answer means; `text_alone`: the fallback has been sent."""
    said = plain(answer.body.decode(errors="replace").strip(), _REASON)
    if answer.status == 200 and said == "ok":
        return Accepted(200)
    if answer.status == 400 and not text_alone:
        return FallbackText(f"400 {said}")
    if answer.status == 200:
        return Retry(f"200 without ok: {said}", status=200, unsure=True)
    return _of_status(answer, said)


def of_pagerduty(answer: Answer) -> Outcome:
    """What the Events API's answer means."""
    if answer.status == 202:
        return Accepted(202)
    return _of_status(answer, _pagerduty_reason(answer.body))


def _pagerduty_reason(body: bytes) -> str:
    try:
        said = msgspec.json.decode(body)
        errors = said.get("errors") or []
        parts = [said.get("message"), *(errors if isinstance(errors, list) else [errors])]
    except (msgspec.DecodeError, AttributeError, UnicodeDecodeError):
        return plain(body.decode(errors="replace"), _REASON)
    return plain("; ".join(str(part) for part in parts if part), _REASON)


def _of_status(answer: Answer, said: str) -> Outcome:
    status = answer.status
    reason = f"{status} {said}".strip()
    if status == 429:
        return Retry(reason, after_s=retry_after_s(answer), status=status)
    if status >= 500 or status == 408 or status < 300:
        # 503 says that it was not taken; any other may come after it was
        return Retry(reason, status=status, unsure=status != 503)
    return Permanent(reason, status)


def retry_after_s(answer: Answer) -> float:
    """The wait that a 429 asks for, in seconds or as an HTTP date, within bounds."""
    wish = _wish_s(answer.headers.get("retry-after", "").strip(), answer.at)
    if wish is None or wish > MOST_RETRY_AFTER_S:
        return DEFAULT_RETRY_AFTER_S
    return max(LEAST_RETRY_AFTER_S, wish)


def _wish_s(text: str, now: int) -> float | None:
    try:
        wish = float(text)
    except ValueError:
        return _until_s(text, now)
    return wish if math.isfinite(wish) and wish >= 0 else None


def _until_s(text: str, now: int) -> float | None:
    try:
        return parsedate_to_datetime(text).timestamp() - now / 1000
    except (ValueError, TypeError, OverflowError, IndexError):
        return None


def backoff_s(attempt: int, jitter: float) -> float:
    """The wait after so many failed attempts; `jitter` in [0, 1) is drawn by the caller."""
    longest = min(LONGEST_RETRY_S, FIRST_RETRY_S * 2.0 ** min(attempt - 1, 20))
    return longest * (0.5 + jitter / 2)
