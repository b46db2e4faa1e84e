"""The composition root: the Faust apps with their tables and agents, and what runs beside them."""

import asyncio
import logging
import os
import time
from collections.abc import Awaitable, Callable
from functools import partial
from typing import NamedTuple

import faust
import msgspec
from faust.types import TP

from app.clock import Clock
from app.config import Policy
from app.core.commands import Command
from app.core.slots import GRAINS
from app.core.vitals import ALERTER
from app.delivery.dispatcher import Presentation
from app.delivery.secrets import Secrets
from app.kafka import COMPRESSION, SESSION_MS, end_offsets, topic_name, unread_partitions
from app.metrics import Metrics
from app.settings import Settings
from app.stream.accounts import MONTHS
from app.stream.chronicle import EVERY_S, REPLAY_EVERY_S, Chronicle
from app.stream.corrector import Corrector
from app.stream.counting import Claims, Counting, Tables
from app.stream.delivering import Delivering
from app.stream.desk import Desk
from app.stream.fetching import PromptConsumer
from app.stream.publisher import Publisher
from app.stream.pulse import Asleep, Pulse
from app.stream.records import Records
from app.stream.recovery import Latest
from app.stream.recovery import Tables as QuickTables
from app.stream.spare import Spare
from app.stream.vigil import Vigil
from app.topics import COMMANDS, COMPACTED, DIGESTS, NOTICES, PARTITIONS, Topic

log = logging.getLogger(__name__)

TICK_S = 1.0
BEAT_S = 0.5
LEAST_PAUSE_S = 0.02
SHARED_OUT_S = 20.0
ROWS = (*GRAINS, MONTHS)
STATES, OUTBOX = "states", "outbox"
_command = msgspec.json.Decoder(Command).decode
EXIT_RESTART = 75  # whoever supervises starts the worker again


def faust_app(settings: Settings, part: str) -> faust.App:
    """A Faust app for one part ("count", "deliver"), with what experience has shown to hold."""
    datadir = settings.data_dir / "faust" / part
    datadir.mkdir(parents=True, exist_ok=True)
    app = faust.App(
        topic_name(settings, f"burnrate-{part}"),
        broker=";".join(f"kafka://{one}" for one in settings.kafka.split(",")),
        broker_credentials=None,
        store="memory://",
        datadir=datadir,
        web_enabled=False,
        TableManager=partial(QuickTables, settings),
        web_tables_enabled=False,
        topic_disable_leader=True,
        topic_partitions=PARTITIONS,
        topic_replication_factor=1,
        consumer_auto_offset_reset="earliest",
        consumer_group_instance_id=f"{part}-{settings.instance}" if settings.instance else None,
        stream_wait_empty=False,
        broker_max_poll_records=500,
        stream_buffer_maxsize=64,  # a digest of a busy hour is a megabyte
        broker_session_timeout=SESSION_MS / 1000,
        broker_heartbeat_interval=1.0,
        broker_commit_interval=1.0,
        table_standby_replicas=0,
        producer_linger=0.0,
        producer_max_request_size=8_000_000,
        producer_compression_type=COMPRESSION,
        key_serializer="raw",
        value_serializer="raw",
    )
    app.transport.Consumer = PromptConsumer
    return app


def changelogged(app: faust.App, name: str) -> faust.Table:
    """A plain table of bytes; its changelog is compacted in short segments, so it stays small."""
    return app.Table(
        name,
        key_type=bytes,
        value_type=bytes,
        partitions=PARTITIONS,
        extra_topic_configs={k: v for k, v in COMPACTED.items() if k != "cleanup.policy"},
    )


def changelogs() -> tuple[Topic, ...]:
    """The topics of all tables, to be made before Faust asks for partitions.

    A table whose topic Kafka does not know yet at that moment is given none, and nothing is owned
    until the next rebalance, which may never come.
    """
    names = [f"burnrate-count-{table}" for table in (*ROWS, STATES)] + [
        f"burnrate-deliver-{OUTBOX}"
    ]
    return tuple(Topic(f"{name}-changelog", PARTITIONS, COMPACTED) for name in names)


def owned_partitions(app: faust.App, table: faust.Table) -> set[int]:
    """The partitions of a table that are this worker's now."""
    topic = table.changelog_topic.get_topic_name()
    return {tp.partition for tp in app.assignor.assigned_actives() if tp.topic == topic}


class CountPart(NamedTuple):
    """The part that counts and judges: its Faust app, and what others look at."""

    app: faust.App
    counting: Counting
    desk: Desk
    vigil: Vigil


def count_part(settings: Settings, policy: Policy, metrics: Metrics, clock: Clock) -> CountPart:
    """The Faust app that counts and judges."""
    app = faust_app(settings, "count")
    tables = {name: changelogged(app, name) for name in ROWS}
    states = changelogged(app, STATES)
    pulse = Pulse()
    publisher = Publisher(settings, pulse)
    desk = Desk(publisher, metrics, clock, replay=settings.replay)
    spare = Spare(settings.data_dir / f"{settings.topic_prefix}alerter-state")
    vigil = Vigil(policy, publisher, clock, spare)

    async def ends(mine: set[int]) -> dict[int, int]:
        # in a replay every watermark counts: they are what makes time pass
        return {} if settings.replay else await end_offsets(settings, DIGESTS, mine)

    counting = Counting(
        policy,
        desk,
        vigil,
        metrics,
        clock,
        pulse,
        Tables({name: Records(table) for name, table in tables.items()}, Records(states)),
        Claims(owned=lambda: owned_partitions(app, states), ends=ends),
    )
    _count_agents(app, settings, counting, desk, vigil)
    chronicle = Chronicle(publisher, every_s=REPLAY_EVERY_S if settings.replay else EVERY_S)
    _count_timers(app, counting, desk, chronicle, None if settings.replay else vigil)
    _share_out(app, settings, DIGESTS)
    _beat(app, pulse)
    _follow_partitions(app, [*tables.values(), states], counting)
    app.task(publisher.run)
    app.task(Corrector(settings, desk, publisher).run)
    return CountPart(app, counting, desk, vigil)


class DeliverPart(NamedTuple):
    """The part that delivers: its Faust app, and what others look at."""

    app: faust.App
    delivering: Delivering


def deliver_part(
    settings: Settings,
    presentation: Presentation,
    secrets: Secrets,
    metrics: Metrics,
    clock: Clock,
) -> DeliverPart:
    """The Faust app that delivers notices."""
    app = faust_app(settings, "deliver")
    table = changelogged(app, OUTBOX)
    pulse = Pulse()
    delivering = Delivering(
        settings,
        presentation,
        secrets,
        metrics,
        clock,
        pulse,
        entries=Records(table),
        owned=lambda: owned_partitions(app, table),
    )

    @app.agent(source(app, settings, NOTICES), name="deliver")
    async def deliver(stream: faust.StreamT) -> None:
        await for_each(stream, delivering.take)

    _beat(app, pulse)
    _share_out(app, settings, NOTICES)

    recovery = Latest(lambda: recover_or_restart(delivering.recover))

    @app.on_partitions_revoked.connect
    async def revoked(_app: faust.App, _revoked: set[TP], **_kwargs: object) -> None:
        await recovery.end()
        await delivering.revoke()

    table.on_recover(recovery.begin)
    return DeliverPart(app, delivering)


async def for_each(stream: faust.StreamT, take: Callable[[faust.EventT], Awaitable[None]]) -> None:
    """Hand every message of a stream to `take`, which acknowledges it.

    What cannot be decoded is nobody's of ours: it is said and passed over. After any other error
    the worker starts again, since Faust would go on behind the message that failed.
    """
    async for event in stream.noack().events():
        try:
            await take(event)
        except msgspec.MsgspecError as error:
            where = event.message
            log.warning(
                "%s[%s]@%s is unreadable: %s", where.topic, where.partition, where.offset, error
            )
            event.ack()
        except Exception:
            log.critical("a message failed: the worker starts again", exc_info=True)
            os._exit(EXIT_RESTART)


async def recover_or_restart(recover: Callable[[], Awaitable[None]]) -> None:
    """Recover, or end the process: Faust would go on without what was to be recovered."""
    try:
        await recover()
    except Exception:
        log.critical("the recovery failed: the worker starts again", exc_info=True)
        os._exit(EXIT_RESTART)


def _beat(app: faust.App, pulse: Pulse) -> None:
    """Beat in a timer of its own, that nothing holds up but the process itself.

    A process that stood still ends: its partitions may be another's now.
    """

    @app.timer(BEAT_S)
    async def beat() -> None:
        try:
            pulse.check()
        except Asleep as asleep:
            log.critical("%s: it starts again", asleep)
            os._exit(EXIT_RESTART)


def _count_agents(
    app: faust.App, settings: Settings, counting: Counting, desk: Desk, vigil: Vigil
) -> None:
    async def obey(event: faust.EventT) -> None:
        command = _command(event.value)
        await (vigil if command.slo == ALERTER else desk).obey(command)
        event.ack()

    @app.agent(source(app, settings, DIGESTS), name="count")
    async def count(stream: faust.StreamT) -> None:
        await for_each(stream, counting.take)

    @app.agent(source(app, settings, COMMANDS), name="command")
    async def command(stream: faust.StreamT) -> None:
        await for_each(stream, obey)


def _every(
    app: faust.App,
    interval_s: float,
    do: Callable[[], Awaitable[None]],
    failing: str,
    level: int = logging.ERROR,
) -> None:
    """Do it at a steady pace, from one interval after the app's start on.

    What goes wrong is logged as `failing`, and it goes on: an error that got out would end the
    app. (Faust's own timers wait for a whole interval after what took long.)
    """

    @app.task
    async def steadily() -> None:
        pause_s = interval_s
        while True:
            await asyncio.sleep(pause_s)
            due_at = time.monotonic() + interval_s
            try:
                await do()
            except Exception:
                log.log(level, "%s", failing, exc_info=True)
            pause_s = max(LEAST_PAUSE_S, due_at - time.monotonic())


def _count_timers(
    app: faust.App, counting: Counting, desk: Desk, chronicle: Chronicle, vigil: Vigil | None
) -> None:
    """What happens every second, side by side: judging waits for no answer of Kafka's."""

    async def store() -> None:
        await desk.store_due()
        await counting.write()  # what is not written stays unacknowledged

    async def watch() -> None:
        desk.show_vitals()
        if vigil is not None:
            await vigil.check(desk.board(ALERTER), desk.silent(), counting.probed_at)

    async def chronicle_all() -> None:
        await chronicle.tick(desk.accounts)

    _every(app, TICK_S, desk.tick, "not everything could be judged")
    _every(app, TICK_S, store, "not everything could be stored")
    _every(app, TICK_S, watch, "the vital signs could not be checked")
    _every(app, TICK_S, chronicle_all, "the history could not be told")


def _share_out(app: faust.App, settings: Settings, topic: str) -> None:
    """Partitions that nobody has are shared out anew, if this worker leads its group."""

    async def share_out() -> None:
        unread = await unread_partitions(settings, app.conf.id, topic)
        if unread:
            log.warning("nobody has partitions %s of %s", sorted(unread), topic)
            thread = app.consumer._thread  # noqa: SLF001 - Faust has no name for it
            coordinator = thread._ensure_consumer()._coordinator  # noqa: SLF001
            await thread.call_thread(coordinator.request_rejoin)

    failing = "who has which partitions could not be asked"
    _every(app, SHARED_OUT_S, share_out, failing, logging.INFO)


def source(app: faust.App, settings: Settings, name: str) -> faust.TopicT:
    """A topic whose keys and values are left as bytes."""
    return app.topic(topic_name(settings, name), key_type=bytes, value_type=bytes)


def _follow_partitions(app: faust.App, tables: list[faust.Table], counting: Counting) -> None:
    """Recover when all tables are, and let go when the partitions move."""
    recovered: set[str] = set()
    recovery = Latest(lambda: recover_or_restart(counting.recover))

    @app.on_partitions_revoked.connect
    async def revoked(_app: faust.App, _revoked: set[TP], **_kwargs: object) -> None:
        recovered.clear()
        await recovery.end()
        await counting.revoke()

    def when_recovered(name: str) -> Callable[[], Awaitable[None]]:
        async def done() -> None:
            recovered.add(name)
            if len(recovered) == len(tables):
                await recovery.begin()

        return done

    for table in tables:
        table.on_recover(when_recovered(table.name))
