"""The composition root: the Faust apps with their tables and agents, and what runs beside them."""

import logging

import faust
from faust.types import TP

from app.clock import Clock
from app.config import Policy
from app.core.slots import GRAINS
from app.intake import SESSION_MS
from app.kafka import topic_name
from app.metrics import Metrics
from app.settings import Settings
from app.stream.counting import Counting
from app.stream.publisher import Publisher
from app.stream.pulse import Pulse
from app.stream.records import Records
from app.topics import COMMANDS, COMPACTED, DIGESTS, PARTITIONS

log = logging.getLogger(__name__)

TICK_S = 1.0


def faust_app(settings: Settings, part: str) -> faust.App:
    """A Faust app for one part ("count", "deliver"), with what experience has shown to hold."""
    datadir = settings.data_dir / "faust" / part
    datadir.mkdir(parents=True, exist_ok=True)
    return faust.App(
        topic_name(settings, f"burnrate-{part}"),
        broker=";".join(f"kafka://{one}" for one in settings.kafka.split(",")),
        broker_credentials=None,
        store="memory://",
        datadir=datadir,
        web_enabled=False,
        web_tables_enabled=False,
        topic_disable_leader=True,
        topic_partitions=PARTITIONS,
        topic_replication_factor=1,
        consumer_auto_offset_reset="earliest",
        consumer_group_instance_id=f"{part}-{settings.instance}" if settings.instance else None,
        stream_wait_empty=False,
        broker_max_poll_records=500,
        broker_session_timeout=SESSION_MS / 1000,
        broker_heartbeat_interval=1.0,
        broker_commit_interval=1.0,
        table_standby_replicas=0,
        producer_linger=0.0,
        producer_max_request_size=8_000_000,
        producer_compression_type="lz4",
        key_serializer="raw",
        value_serializer="raw",
    )


def changelogged(app: faust.App, name: str) -> faust.Table:
    """A plain table of bytes; its changelog is compacted in short segments, so it stays small."""
    return app.Table(
        name,
        key_type=bytes,
        value_type=bytes,
        partitions=PARTITIONS,
        extra_topic_configs={k: v for k, v in COMPACTED.items() if k != "cleanup.policy"},
    )


def owned_partitions(app: faust.App, table: faust.Table) -> set[int]:
    """The partitions of a table that are this worker's now."""
    topic = table.changelog_topic.get_topic_name()
    return {tp.partition for tp in app.assignor.assigned_actives() if tp.topic == topic}


def count_app(
    settings: Settings, policy: Policy, metrics: Metrics, clock: Clock
) -> tuple[faust.App, Counting]:
    """The Faust app that counts and judges."""
    app = faust_app(settings, "count")
    tables = {name: changelogged(app, name) for name in GRAINS}
    states = changelogged(app, "states")
    pulse = Pulse()
    publisher = Publisher(settings, pulse)
    counting = Counting(
        settings,
        policy,
        metrics,
        clock,
        tables={name: Records(table) for name, table in tables.items()},
        states=Records(states),
        publisher=publisher,
        pulse=pulse,
        owned=lambda: owned_partitions(app, states),
    )
    _count_agents(app, settings, counting)
    _follow_partitions(app, [*tables.values(), states], counting)
    app.task(publisher.run)
    return app, counting


def _count_agents(app: faust.App, settings: Settings, counting: Counting) -> None:
    def source(name: str) -> faust.TopicT:
        return app.topic(topic_name(settings, name), key_type=bytes, value_type=bytes)

    @app.agent(source(DIGESTS), name="count")
    async def count(stream: faust.StreamT) -> None:
        async for event in stream.noack().events():
            await counting.take(event)

    @app.agent(source(COMMANDS), name="command")
    async def command(stream: faust.StreamT) -> None:
        async for event in stream.noack().events():
            await counting.obey(event)

    @app.timer(TICK_S)
    async def tick() -> None:
        try:
            await counting.tick()
        except Exception:
            log.exception("a tick failed")


def _follow_partitions(app: faust.App, tables: list[faust.Table], counting: Counting) -> None:
    """Recover when all tables are, and let go when the partitions move."""
    recovered: set[str] = set()

    @app.on_partitions_revoked.connect
    async def revoked(_app: faust.App, _revoked: set[TP], **_kwargs: object) -> None:
        recovered.clear()
        counting.revoke()

    def when_recovered(name: str) -> None:
        async def done() -> None:
            recovered.add(name)
            if len(recovered) == len(tables):
                await counting.recover()

        return done

    for table in tables:
        table.on_recover(when_recovered(table.name))

