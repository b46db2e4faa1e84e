"""Reloading: a changed configuration is checked and taken over, without a restart.

At SIGHUP, by `POST /api/reload`, or when a file of the folder has changed. What is unsound is
refused whole: the configuration in force stays in force, and a metric and the log say so.
"""

import asyncio
import hashlib
import logging
import signal
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

import msgspec

from app import config
from app.clock import Clock
from app.config import ConfigError, NotTakenOver, Policy
from app.core.groups import OTHER
from app.delivery.wording import Wording
from app.metrics import Metrics

log = logging.getLogger(__name__)

LOOK_EVERY_S = 1.0
TAKEN_OVER_WITHIN_S = 20.0

TakeOver = Callable[[Policy], Awaitable[None]]
Regroup = Callable[[Policy], Policy]
"""Gives a policy with the groups of all values that are known to have been seen."""


class Reloaded(msgspec.Struct, frozen=True, kw_only=True):
    """What a reload has changed, by SLO; `redefined`: counted anew, from the log's start."""

    changed: bool
    added: tuple[str, ...]
    removed: tuple[str, ...]
    redefined: tuple[str, ...]


class Watch:
    """Tells when the files of a folder have changed and stand still again.

    Files are told by their content, so that links which move (ConfigMaps) count as changes, and a
    file that was only touched does not.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._seen = self._taken = _content(folder)

    def look(self) -> bool:
        """True once for every change, at the second look that finds the same."""
        before, self._seen = self._seen, _content(self._folder)
        if self._seen != before or self._seen == self._taken:
            return False
        self._taken = self._seen
        return True

    def forget(self) -> None:
        """What was seen was not taken over: it is a change still."""
        self._taken = b""


def _content(folder: Path) -> bytes:
    found = hashlib.sha256()
    for path in sorted([*folder.glob("*.yaml"), *folder.glob("templates/*")]):
        try:
            value = path.read_bytes() if path.is_file() else b""
        except OSError:  # it goes away just now
            value = b""
        found.update(f"{path.name} {len(value)} ".encode() + value)
    return found.digest()


def read(folder: Path) -> Policy:
    """The folder's policy; raises ConfigError, for templates that fail as well."""
    policy = config.load(folder)
    faults = Wording(folder / "templates").faults()
    if faults:
        raise ConfigError(faults)
    return policy


def compare(before: Policy, after: Policy) -> Reloaded:
    """What another policy changes."""
    both = before.slos.keys() & after.slos.keys()
    return Reloaded(
        changed=before != after,
        added=tuple(sorted(after.slos.keys() - both)),
        removed=tuple(sorted(before.slos.keys() - both)),
        redefined=tuple(
            sorted(s for s in both if before.slos[s].definition != after.slos[s].definition)
        ),
    )


class Reloading:
    """Takes over configuration, one change after the other, for all parts of a worker."""

    def __init__(
        self,
        folder: Path,
        policy: Policy,
        metrics: Metrics,
        clock: Clock,
        parts: Sequence[TakeOver],
        regroup: Regroup = lambda policy: policy,
    ) -> None:
        self.policy = policy
        self._regroup = regroup
        self._folder, self._metrics, self._clock = folder, metrics, clock
        self._parts = parts
        self._turn = asyncio.Lock()
        self._asked = asyncio.Event()
        self._metrics.reload_timestamp.set(clock() / 1000)

    async def reload(self) -> Reloaded:
        """Take over what the folder says now; raises ConfigError, or NotTakenOver."""
        async with self._turn:
            try:
                found = await self._take_over(await asyncio.to_thread(read, self._folder))
            except (ConfigError, NotTakenOver) as error:
                self._metrics.reload_success.set(0)
                log.error("the configuration is refused, the old one stays:\n%s", error)  # noqa: TRY400 - a person's mistake
                raise
            except Exception:
                self._metrics.reload_success.set(0)
                raise
            self._metrics.reload_success.set(1)
            self._metrics.reload_timestamp.set(self._clock() / 1000)
            log.info("configuration taken over: %s", _words(found))
            return found

    async def regroup(self) -> None:
        """Take over the groups of values that were seen since; raises NotTakenOver."""
        async with self._turn:
            if self._regroup(self.policy) != self.policy:
                found = await self._take_over(self.policy)
                log.info("groups of values that were seen: %s", _words(found))
                self._say_full()

    def _say_full(self) -> None:
        for name, grouping in self.policy.groupings.items():
            if len(grouping.values) == grouping.most:
                log.warning(
                    "%s has %s groups, as many as it may: further values of %s count in %s:%s",
                    name, grouping.most, grouping.by, name, OTHER,
                )  # fmt: skip

    async def _take_over(self, policy: Policy) -> Reloaded:
        policy = self._regroup(policy.like(self.policy))
        found = compare(self.policy, policy)
        try:
            async with asyncio.timeout(TAKEN_OVER_WITHIN_S):
                for part in self._parts:
                    await part(policy)
        except TimeoutError as error:
            raise NotTakenOver("Kafka does not answer; it is tried again") from error
        self.policy = policy
        return found

    async def run(self) -> None:
        """Take over at SIGHUP and at every change of a file, until cancelled."""
        asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, self._asked.set)
        watch = await asyncio.to_thread(Watch, self._folder)
        watch.forget()  # the files may have changed since they were read
        while True:
            changed = await asyncio.to_thread(watch.look)
            if changed or self._asked.is_set():
                self._asked.clear()
                await self._reload_or_say(watch)
            try:
                async with asyncio.timeout(LOOK_EVERY_S):
                    await self._asked.wait()
            except TimeoutError:
                pass

    async def regroup_or_say(self) -> bool:
        """Whether the groups of values that were seen are taken over; else it is to be retried."""
        try:
            await self.regroup()
        except Exception as error:
            unforeseen = not isinstance(error, NotTakenOver)
            log.warning("groups are not taken over yet: %s", error, exc_info=unforeseen)
            return False
        return True

    async def _reload_or_say(self, watch: Watch) -> None:
        try:
            await self.reload()
        except ConfigError:
            pass  # said and shown; the next change is another try
        except NotTakenOver:
            watch.forget()
        except Exception:
            log.exception("the configuration could not be taken over")
            watch.forget()


def _words(found: Reloaded) -> str:
    named = [
        f"{what} {', '.join(slos)}"
        for what in ("added", "removed", "redefined")
        if (slos := getattr(found, what))
    ]
    return "; ".join(named) or ("changed" if found.changed else "as before")
