"""What the senders are surrounded by: their owner, time and chance, wording, secrets, the net."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import Protocol

import httpx
import msgspec

from app.clock import Clock
from app.core.notices import Notice
from app.delivery import outbox
from app.delivery.deliveries import Delivery
from app.delivery.outbox import Entry
from app.delivery.pace import RATES, TokenBucket
from app.delivery.requests import Presentation
from app.delivery.secrets import Secret, Secrets, service_of
from app.delivery.sender import TIMEOUT_S


class Meter(Protocol):
    """What is measured beside the attempts themselves."""

    def queue(self, destination: str, length: int, oldest_s: float) -> None:
        """How many notices wait, and for how long the oldest."""

    def configured(self, destination: str, *, yes: bool) -> None:
        """Whether the destination has a usable secret."""

    def broken(self, destination: str, *, yes: bool) -> None:
        """Whether the destination is known to be broken."""


class Callbacks(msgspec.Struct, frozen=True, kw_only=True):
    """What the dispatcher asks of the one that owns it.

    `store` and `forget` return once it is durable. `on_mended` may come without an `on_broken`
    before it: after a restart nobody knows whether the destination was broken.
    """

    store: Callable[[Entry], Awaitable[None]]
    forget: Callable[[Entry], Awaitable[None]]
    record: Callable[[Delivery], Awaitable[None]]
    may_send: Callable[[], bool]
    on_broken: Callable[[str, str], Awaitable[None]]  # destination, reason
    on_mended: Callable[[str], Awaitable[None]]
    hand_over: Callable[[Notice], Awaitable[None]]  # to another destination, durably
    show: Callable[[Entry, str], None]  # print it, and why it is not sent
    meter: Meter


class Timing(msgspec.Struct, frozen=True, kw_only=True):
    """Where time and chance come from; tests hold them."""

    clock: Clock
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    jitter: Callable[[], float] = random.random
    timeout_s: float = TIMEOUT_S
    stale_after_ms: int | None = outbox.KEPT_MS  # None where notices carry the data's own time


class Surroundings:
    """Everything that the lanes of one dispatcher share."""

    def __init__(
        self,
        client: httpx.AsyncClient,
        secrets: Secrets,
        presentation: Presentation,
        callbacks: Callbacks,
        timing: Timing,
    ) -> None:
        self.client = client
        self.secrets = secrets
        self.presentation = presentation
        self.to = callbacks
        self.time = timing
        self._buckets: dict[str, TokenBucket] = {}

    def bucket(self, destination: str, secret: Secret) -> TokenBucket:
        """The rate limit of a key, a webhook or a bot's channel, whoever uses it."""
        name = secret.fingerprint
        if secret.way == "bot":
            name += destination
        if name not in self._buckets:
            rate = RATES[service_of(destination)]
            self._buckets[name] = TokenBucket(rate, self.time.clock)
        return self._buckets[name]
