"""What the handlers of the web server are given."""

import time
from collections.abc import Callable
from typing import Protocol

import msgspec
from aiohttp import web

from app.clock import Clock
from app.config import Policy
from app.core.commands import Command
from app.core.history import Told
from app.delivery.secrets import Secrets
from app.metrics import Metrics
from app.settings import Settings
from app.web.mirror import Deliveries, Document
from app.web.views import Standing, ms_of


class Health(msgspec.Struct, frozen=True, kw_only=True):
    """How the worker is. `alive` False: whoever supervises it should start it again."""

    ready: bool
    alive: bool = True
    reasons: tuple[str, ...] = ()
    blind: bool = False


class Mirror(Protocol):
    """What is known of the SLOs and incidents; see `app.web.mirror`."""

    @property
    def caught_up(self) -> bool:
        """The topics were read to their ends once."""

    @property
    def version(self) -> int:
        """Grows with everything that is news."""

    @property
    def slos(self) -> dict[str, Document]:
        """The newest status of every SLO, by id."""

    @property
    def incidents(self) -> dict[str, Document]:
        """The newest state of every incident, by key."""

    @property
    def history(self) -> dict[str, dict[str, Told]]:
        """By SLO the newest days and months."""

    @property
    def deliveries(self) -> Deliveries:
        """The newest attempts to tell."""

    async def news(self, after: int) -> int:
        """Wait until there is a newer version than `after`, and give it."""


class Commands(Protocol):
    """Takes operators' commands; see `app.web.sending`."""

    async def send(self, command: Command) -> None:
        """Send a command and wait until it is taken; raises NotSent."""


class Changes(Protocol):
    """What a reload has changed, by SLO; see `app.reloading.Reloaded`."""

    @property
    def changed(self) -> bool:
        """Anything at all."""

    @property
    def added(self) -> tuple[str, ...]:
        """SLOs that are new."""

    @property
    def removed(self) -> tuple[str, ...]:
        """SLOs that are gone."""

    @property
    def redefined(self) -> tuple[str, ...]:
        """SLOs that count something else now."""


class Configuration(Protocol):
    """The policy in force; see `app.reloading`."""

    @property
    def policy(self) -> Policy:
        """As it is now."""

    async def reload(self) -> Changes:
        """Take over what the files say now; raises ConfigError where that is unsound."""


class Surroundings(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that a handler may need."""

    settings: Settings
    mirror: Mirror
    metrics: Metrics
    health: Callable[[], Health]
    commands: Commands
    configuration: Configuration
    secrets: Secrets
    api_token: str
    clock: Clock

    @property
    def policy(self) -> Policy:
        """The policy in force."""
        return self.configuration.policy

    @property
    def order(self) -> list[str]:
        """The SLOs as they are configured."""
        return list(self.policy.slos)

    def wall_ms(self) -> int:
        """The machine's own time, ms: sessions end by it, whatever time is being shown."""
        return time.time_ns() // 1_000_000

    def now(self) -> int:
        """The time of what is shown, ms: the clock's, in a replay the data's own."""
        if not self.settings.replay:
            return self.clock()
        judged = [ms_of(slo["judgedAt"]) for slo in self.mirror.slos.values() if slo["judgedAt"]]
        return max(judged, default=self.clock())

    def standing(self) -> Standing:
        """Whether what is shown is judged, and on everything that happened."""
        health = self.health()
        return Standing(ready=health.ready and self.mirror.caught_up, blind=health.blind)


SURROUNDINGS = web.AppKey("surroundings", Surroundings)
