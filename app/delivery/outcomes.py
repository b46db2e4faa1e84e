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

Slack's Web API (a bot token) answers 200 with `ok: false` and an error by name: `SLACK_ERRORS`.
A heartbeat's address: 2xx is accepted, 4xx permanent, the rest is tried again.
"""

import math
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import Literal

import msgspec

from app.delivery.limits import plain

FIRST_RETRY_S = 1.0
LONGEST_RETRY_S = 60.0  # so that a service that comes back is heard of within a minute
LEAST_RETRY_AFTER_S = 1.0
MOST_RETRY_AFTER_S = 300.0
DEFAULT_RETRY_AFTER_S = 30.0  # for a Retry-After that is missing, unreadable or beyond the most
_REASON = 300


class Accepted(msgspec.Struct, frozen=True, tag=True):
    """The service has it. Slack's Web API says where: the channel's id, and the message's `ts`."""

    status: int = 200
    channel: str = ""
    ts: str = ""


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


class LostThread(msgspec.Struct, frozen=True, tag=True):
    """The incident's message is not there any more, or cannot be changed."""

    reason: str
    status: int = 200


Outcome = Accepted | Retry | Permanent | FallbackText | LostThread

_BUSY = ("ratelimited", "rate_limited", "message_limit_exceeded")
_AGAIN = ("fatal_error", "internal_error", "request_timeout", "service_unavailable")
_REFUSED_BLOCKS = (
    "attachment_payload_limit_exceeded",
    "invalid_attachments",
    "invalid_blocks",
    "invalid_blocks_format",
    "msg_blocks_too_long",
    "msg_too_long",
    "too_many_attachments",
)
_LOST = (
    "cannot_reply_to_message",
    "cant_update_message",
    "edit_window_closed",
    "message_not_found",
    "restricted_action_thread_locked",
    "thread_not_found",
)
Means = Literal["busy", "again", "refused blocks", "lost thread"]
SLACK_ERRORS: dict[str, Means] = {
    **dict.fromkeys(_BUSY, "busy"),
    **dict.fromkeys(_AGAIN, "again"),
    **dict.fromkeys(_REFUSED_BLOCKS, "refused blocks"),
    **dict.fromkeys(_LOST, "lost thread"),
}
"""Errors by name: https://docs.slack.dev/reference/methods/chat.postMessage and chat.update.

All others (channel_not_found, not_in_channel, is_archived, invalid_auth, token_revoked, …) are
permanent: people must act. So is a name that is not known: waiting has never cured one.
"""


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


_PERMANENT = (
    "account_inactive",
    "channel_not_found",
    "invalid_auth",
    "is_archived",
    "missing_scope",
    "not_authed",
    "not_in_channel",
    "token_expired",
    "token_revoked",
)


def cause_of(outcome: Outcome) -> str:
    """Why it was not accepted: a status, an error of Slack's by name, or one of a few words."""
    if isinstance(outcome, Accepted):
        return ""
    if outcome.status == 200:
        known = outcome.reason in SLACK_ERRORS or outcome.reason in _PERMANENT
        return outcome.reason if known else "other"
    if outcome.status is not None:
        return str(outcome.status)
    if isinstance(outcome, Retry):
        return "timeout" if outcome.reason.startswith("no answer within") else "connection"
    return "unusable"


class _Said(msgspec.Struct):
    """The body of an answer of Slack's Web API."""

    ok: bool = False
    error: str = ""
    channel: str = ""
    ts: str = ""


def of_slack_api(answer: Answer, *, text_alone: bool) -> Outcome:
    """What an answer of Slack's Web API means; `text_alone`: the fallback has been sent."""
    try:
        said = msgspec.json.decode(answer.body, type=_Said)
    except msgspec.MsgspecError:
        said = None
    if answer.status != 200 or said is None:
        words = plain(answer.body.decode(errors="replace").strip(), _REASON)
        return _of_status(answer, words)
    if said.ok:
        return Accepted(200, said.channel, said.ts)
    return _refusal(answer, plain(said.error or "no error named", _REASON), text_alone=text_alone)


def _refusal(answer: Answer, error: str, *, text_alone: bool) -> Outcome:
    means = SLACK_ERRORS.get(error)
    if means == "busy":
        return Retry(error, after_s=retry_after_s(answer), status=200)
    if means == "again":
        return Retry(error, status=200, unsure=True)
    if means == "lost thread":
        return LostThread(error)
    if means == "refused blocks" and not text_alone:
        return FallbackText(error, 200)
    return Permanent(error, 200)


def of_heartbeat(answer: Answer) -> Outcome:
    """What the answer of a heartbeat's address means."""
    if 200 <= answer.status < 300:
        return Accepted(answer.status)
    return _of_status(answer, plain(answer.body.decode(errors="replace").strip(), _REASON))


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
