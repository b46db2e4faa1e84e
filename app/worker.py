"""One worker: which parts it runs, how they are put together, and how it ends."""

import asyncio
import contextlib
import gc
import logging
import os
import signal
import sys
import uuid
from collections.abc import Awaitable, Callable
from typing import Any, Literal, NamedTuple

import faust
import msgspec
from aiokafka.errors import KafkaError
from confluent_kafka import KafkaException

from app import config
from app.clock import Clock
from app.config import Policy
from app.core.ownership import Ownership, slack
from app.core.vitals import ALERTER
from app.delivery.dispatcher import Presentation
from app.delivery.redirects import Elsewhere
from app.delivery.secrets import HEARTBEAT_URL, Redactor, Secrets
from app.delivery.sender import open_client
from app.delivery.wording import Addresses, Wording
from app.discovery import Discovery, regrouped
from app.errors import UserError
from app.intake import Intake
from app.kafka import create_topics
from app.metrics import Metrics
from app.probe import Probe
from app.reloading import Reloading
from app.settings import Settings
from app.stream.app import (
    EXIT_RESTART,
    CountPart,
    DeliverPart,
    changelogs,
    count_part,
    deliver_part,
)
from app.topics import all_topics
from app.web.site import Site
from app.web.surroundings import Health

log = logging.getLogger(__name__)

Part = Literal["intake", "count", "deliver"]
PARTS: tuple[Part, ...] = ("intake", "count", "deliver")

STALLED_MS = 60_000
"""Without progress for so long, although something waits, the worker is not alive."""

STOP_S = 8.0
"""Docker waits for ten. What is cut short is as if the worker had been killed, which is safe."""

Running = Callable[[], Awaitable[None]]


class Made(NamedTuple):
    """The parts of a worker that others look at; None where it does not run them."""

    intake: Intake | None
    counting: CountPart | None
    delivery: DeliverPart | None


class Worker:
    """Made from settings and a policy, it runs until it is told to stop."""

    def __init__(
        self, settings: Settings, policy: Policy, secrets: Secrets, parts: tuple[Part, ...] = PARTS
    ) -> None:
        self.settings = settings
        self._clock: Clock = settings.clock()
        self._metrics = Metrics(policy.slos)
        self._metrics.know_groupings(policy.groupings)
        self._discovery = Discovery(settings)
        self._client = open_client()
        self.made = self._make(policy, secrets, parts)
        self._reloading = Reloading(
            settings.config_dir,
            policy,
            self._metrics,
            self._clock,
            [self._take_over],
            self._discovery.applied,
        )
        self._probe = Probe(settings, self._clock, lambda: secrets.is_set(HEARTBEAT_URL))
        self._site = Site(settings, self._reloading, self._metrics, self.health, secrets)

    def _make(self, policy: Policy, secrets: Secrets, parts: tuple[Part, ...]) -> Made:
        settings, metrics, clock = self.settings, self._metrics, self._clock
        made = Made(
            Intake(settings, policy, metrics, clock) if "intake" in parts else None,
            count_part(settings, policy, metrics, clock) if "count" in parts else None,
            deliver_part(settings, presentation(settings, policy), secrets, metrics, clock)
            if "deliver" in parts
            else None,
        )
        if made.counting is not None and made.delivery is not None:
            made.counting.vigil.direct = made.delivery.delivering.tell_directly
        return made

    async def _take_over(self, policy: Policy) -> None:
        """Hand another policy to every part that runs here."""
        intake, count, deliver = self.made
        if count is not None:
            await count.counting.take_over(policy)
        if intake is not None:
            intake.take_over(policy)
        if deliver is not None:
            deliver.delivering.take_over(presentation(self.settings, policy))
        self._metrics.know(policy.slos)
        self._metrics.know_groupings(policy.groupings)

    def running(self) -> dict[str, Running]:
        """What runs side by side, by name."""
        intake, count, deliver = self.made
        found: dict[str, Running] = {
            "web": self._site.run,
            "reloading": self._reloading.run,
            "discovery": lambda: self._discovery.run(self._reloading.regroup_or_say),
        }
        if intake is not None:
            found["intake"] = intake.run
        if count is not None:
            found["count"] = lambda: run_faust(count.app)
        if deliver is not None:
            found["deliver"] = lambda: run_faust(deliver.app)
            found["dispatch"] = lambda: deliver.delivering.run(self._client)
        if deliver is not None and not self.settings.replay:
            found["probe"] = self._probe.run
        return found

    def health(self) -> Health:
        """Whether it is ready to be asked, and whether it gets on."""
        waiting = self._waiting_for()
        stalled = self._stalled()
        return Health(
            ready=not waiting,
            alive=not stalled,
            reasons=(*waiting, *stalled),
            blind=self.made.counting is not None and self.made.counting.desk.blind,
        )

    def _waiting_for(self) -> tuple[str, ...]:
        _, count, deliver = self.made
        found = []
        if count is not None and not count.desk.ready:
            found.append("count: the tables are being recovered")
        if count is not None and not count.desk.heard:
            found.append("count: the intake has not been heard of yet")
        if deliver is not None and not deliver.delivering.ready:
            found.append("deliver: the outbox is being recovered")
        return tuple(found)

    def _stalled(self) -> tuple[str, ...]:
        intake, count, _ = self.made
        if self.settings.replay:
            return ()
        now = self._clock()
        progress = []
        if intake is not None:
            progress.append(("intake: records wait and none is read", intake.progress_at))
        if count is not None:
            progress.append(("count: nothing comes from the intake", count.counting.progress_at))
        return tuple(
            f"{what}, for {(now - at) // 1000} s now"
            for what, at in progress
            if now - at > STALLED_MS
        )


def presentation(settings: Settings, policy: Policy) -> Presentation:
    """How notices are written."""
    return Presentation(
        wording=Wording(settings.config_dir / "templates"),
        addresses=Addresses(page_url=settings.page_url(), slack_ids=policy.ownership.slack_ids),
        elsewhere=elsewhere(policy.ownership),
        destinations=policy.ownership.destinations(),
        events_url=settings.pagerduty_url,
        slack_url=settings.slack_url,
    )


def elsewhere(ownership: Ownership) -> Elsewhere:
    """Who is told instead of a destination that refuses."""
    channels = {slo: slack(route.channel) for slo, route in ownership.routes.items()}
    return Elsewhere(channels=channels, last=channels[ALERTER])


async def run_faust(app: faust.App) -> None:
    """Run a Faust app until cancelled; what ends it by itself is an error."""
    try:
        await app.start()
        await app.wait_until_stopped()
    finally:
        await app.stop()
    if app.crash_reason is not None:
        raise app.crash_reason


async def run(settings: Settings, parts: tuple[Part, ...] = PARTS) -> None:
    """Run a worker until SIGTERM or SIGINT.

    Raises UserError where a person must act, and SystemExit with EXIT_RESTART after other errors.
    """
    policy = config.load(settings.config_dir)
    secrets = Secrets({}) if settings.replay and not settings.send else Secrets()
    log_to_stderr(settings, secrets)
    policy = await prepare(settings, policy)
    worker = Worker(settings, policy, secrets, parts)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    calm_collector()
    tasks = [asyncio.ensure_future(start()) for start in worker.running().values()]
    stopping = asyncio.ensure_future(stop.wait())
    done, _ = await asyncio.wait([*tasks, stopping], return_when=asyncio.FIRST_COMPLETED)
    for task in (*tasks, stopping):
        task.cancel()
    _, hanging = await asyncio.wait(tasks, timeout=STOP_S)
    if hanging:  # Faust waits for its consumer, and that for Kafka, for ever where it is away
        log.warning("not ended within %s s, as where Kafka is away: it ends at once", STOP_S)
        os._exit(EXIT_RESTART if done - {stopping} else 0)
    await asyncio.gather(*tasks, return_exceptions=True)
    for task in done - {stopping}:
        _raise_error_of(task)


def _raise_error_of(task: asyncio.Future[Any]) -> None:
    error = task.exception()
    if isinstance(error, UserError):
        raise error
    if error is not None:
        log.critical("the worker starts again", exc_info=error)
        raise SystemExit(EXIT_RESTART)


def calm_collector() -> None:
    """Let Python's collector look for cycles less often.

    A batch is thousands of objects, none of them in a cycle: to look through the young ones every
    700 objects, as it does by default, costs a third of the time that reading takes.
    """
    gc.freeze()  # what was imported stays
    gc.set_threshold(50_000, 20, 20)


async def prepare(settings: Settings, policy: Policy) -> Policy:
    """Make the topics; the policy with the groups of all values that were seen before.

    Raises UserError where Kafka does not answer.
    """
    try:
        await create_topics(settings, (*all_topics(replay=settings.replay), *changelogs()))
        return await regrouped(settings, policy) if policy.groupings else policy
    except KafkaException as error:
        reason = error.args[0].str() if error.args else "no answer"
    except KafkaError as error:
        reason = str(error)
    raise UserError(
        f"Kafka at {settings.kafka} cannot be used: {reason}. "
        "Is it running, and does BURNRATE_KAFKA name it?"
    )


def named(settings: Settings) -> Settings:
    """The settings with a name for this worker that it keeps over restarts."""
    if settings.instance:
        return settings
    path = settings.data_dir / "instance"
    settings.data_dir.mkdir(parents=True, exist_ok=True)
    with contextlib.suppress(FileExistsError), path.open("x", encoding="ascii") as file:
        file.write(uuid.uuid4().hex[:12])
    name = path.read_text(encoding="ascii").strip()
    return msgspec.structs.replace(settings, instance=f"{name}-{settings.port}")


def log_to_stderr(settings: Settings, secrets: Secrets) -> None:
    """Logs go to standard error, without any secret."""
    handler = logging.StreamHandler(sys.stderr)
    inner = logging.Formatter("%(asctime)s %(levelname)-7s %(name)s: %(message)s")
    handler.setFormatter(Redactor(secrets, inner))
    logging.basicConfig(level=settings.log_level, handlers=[handler], force=True)
    level = logging.getLevelName(settings.log_level)
    for noisy in ("faust", "mode", "aiokafka", "aiohttp", "httpx", "httpcore"):
        logging.getLogger(noisy).setLevel(max(logging.WARNING, level))
    for busy in ("faust.transport.producer", "mode.timers"):  # warn of nothing but load
        logging.getLogger(busy).setLevel(max(logging.ERROR, level))
    if level > logging.DEBUG:  # its errors are retried; what comes of them is said by our own logs
        logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
