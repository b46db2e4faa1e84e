"""Signatures of what PagerDuty and Slack send: HMAC-SHA256 over the whole body, as it came.

Several secrets may be good at once, so that one can be replaced without a gap. Comparisons take
the same time whatever is given. Pure.
"""

import hashlib
import hmac
from collections.abc import Iterable

PATHS = frozenset({"/webhooks/pagerduty", "/webhooks/slack"})
"""What is signed there needs no token, and is no form of a browser's."""

LONGEST_MS = 5 * 60 * 1000
"""Slack's own limit: an older request may be one that somebody kept."""

_PAGERDUTY, _SLACK = "v1=", "v0="


def _hex(secret: str, text: bytes) -> str:
    return hmac.new(secret.encode(), text, hashlib.sha256).hexdigest()


def _matches(given: Iterable[str], wanted: Iterable[str]) -> bool:
    """Whether any is one of them; every pair is compared, whatever comes of the first."""
    pairs = [(one, other) for one in given for other in wanted]
    found = [hmac.compare_digest(one.encode(), other.encode()) for one, other in pairs]
    return any(found)


def of_pagerduty(secrets: Iterable[str], header: str, body: bytes) -> bool:
    """Whether `X-PagerDuty-Signature` (`v1=HEX[,v1=HEX]`) holds one by one of the secrets."""
    parts = [part.strip() for part in header.split(",")]
    given = [part.removeprefix(_PAGERDUTY) for part in parts if part.startswith(_PAGERDUTY)]
    return _matches(given, [_hex(secret, body) for secret in secrets])


def of_slack(secrets: Iterable[str], header: str, stamp: str, body: bytes, now: int) -> bool:
    """Whether `X-Slack-Signature` is by one of the secrets, and no older than five minutes."""
    if not (stamp.isascii() and stamp.isdigit() and len(stamp) < 16):
        return False
    if abs(now - int(stamp) * 1000) > LONGEST_MS:
        return False
    text = f"v0:{stamp}:".encode() + body
    return _matches([header], [_SLACK + _hex(secret, text) for secret in secrets])
