"""How fast a destination may be called: a token bucket, and a circuit that opens on failures."""

import msgspec

from app.clock import Clock
from app.delivery.outcomes import Accepted, Outcome, Retry


class Rate(msgspec.Struct, frozen=True):
    """So many calls a second, after a burst of so many at once."""

    per_s: float
    burst: int


RATES = {
    "slack": Rate(per_s=1.0, burst=3),  # about one message a second for each URL
    "pagerduty": Rate(per_s=2.0, burst=20),  # about 120 calls a minute for each key
    "heartbeat": Rate(per_s=1.0, burst=3),
}


class TokenBucket:
    """Tokens that come back with time."""

    def __init__(self, rate: Rate, clock: Clock) -> None:
        self._rate = rate
        self._clock = clock
        self._tokens = float(rate.burst)
        self._at = clock()

    def wait_s(self) -> float:
        """Seconds until there is a token; 0: now."""
        self._refill()
        return max(0.0, (1.0 - self._tokens) / self._rate.per_s)

    def take(self) -> None:
        """One call is made."""
        self._refill()
        self._tokens -= 1.0

    def _refill(self) -> None:
        now = self._clock()
        came = max(0, now - self._at) / 1000 * self._rate.per_s
        self._tokens, self._at = min(float(self._rate.burst), self._tokens + came), now


OPENS_AFTER = 3
"""Failures in a row, of whatever notices, after which a destination is tried one call at a time."""


class Circuit(msgspec.Struct, frozen=True):
    """Whether a whole destination is left alone for a while. Times in ms."""

    failures: int = 0
    failing_since: int | None = None
    open_until: int = 0

    def wait_s(self, now: int) -> float:
        """Seconds until it may be called; 0: now."""
        return max(0, self.open_until - now) / 1000

    def after(self, outcome: Outcome, now: int, delay_s: float) -> "Circuit":
        """The circuit after an outcome. A 429 is about the destination, so it opens at once."""
        if not isinstance(outcome, Retry):
            return CLOSED if isinstance(outcome, Accepted) else self
        failures = self.failures + 1
        opens = outcome.after_s is not None or failures >= OPENS_AFTER
        since = now if self.failing_since is None else self.failing_since
        return Circuit(failures, since, now + round(delay_s * 1000) if opens else self.open_until)


CLOSED = Circuit()
