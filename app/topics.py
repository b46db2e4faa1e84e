"""The topics: their names, partitions and retention, in one table."""

import zlib

import msgspec

PARTITIONS = 4
"""Of every topic keyed by SLO or destination, and of the tables; the source may have others."""

_DAY_MS = 86_400_000
_SEGMENT_MS = 600_000  # ten minutes: compaction only ever touches closed segments

SEGMENT_BYTES = 16 * 1024 * 1024
_LARGE = {"max.message.bytes": "8000000"}  # a chunk of many conversations is one message
COMPACTED = {
    **_LARGE,
    "cleanup.policy": "compact",
    "segment.bytes": str(SEGMENT_BYTES),
    "segment.ms": str(_SEGMENT_MS),
    "min.cleanable.dirty.ratio": "0.2",
    "delete.retention.ms": "3600000",
}


def _kept(days: int) -> dict[str, str]:
    return {"cleanup.policy": "delete", "retention.ms": str(days * _DAY_MS)}


_YEAR = {"cleanup.policy": "compact,delete", "retention.ms": str(365 * _DAY_MS)}


_FOR_GOOD = {"cleanup.policy": "delete", "retention.ms": "-1", "retention.bytes": "-1"}


class Topic(msgspec.Struct, frozen=True):
    """One topic as it is created: name without prefix, partitions, settings."""

    name: str
    partitions: int
    config: dict[str, str]


EVENTS = "kokino.events"
DIGESTS = "slo.digests"
STATUS = "slo.status"
HISTORY = "slo.history"
ALERTS = "slo.alerts"
NOTICES = "slo.notices"
DELIVERIES = "slo.deliveries"
COMMANDS = "slo.commands"
REJECTED = "slo.rejected"
CURSORS = "slo.bridge-cursors"
GROUPS = "slo.groups"


def all_topics(*, replay: bool) -> tuple[Topic, ...]:
    """Every topic this project owns.

    Live, Kafka stamps the source topic's records itself, so that lateness is told by a time that
    never goes back. A replay brings its own times, and keeps everything however old it is.
    """
    source = (
        {
            "message.timestamp.type": "CreateTime",
            "message.timestamp.after.max.ms": str(2**63 - 1),  # data dated ahead of the clock
            "retention.ms": "-1",
        }
        if replay
        else {"message.timestamp.type": "LogAppendTime", **_kept(32)}
    )
    digests = {**_kept(32), **_LARGE, **({"retention.ms": "-1"} if replay else {})}
    return (
        Topic(EVENTS, PARTITIONS, source),
        Topic(DIGESTS, PARTITIONS, digests),
        Topic(STATUS, PARTITIONS, COMPACTED),
        Topic(HISTORY, PARTITIONS, COMPACTED),
        Topic(ALERTS, PARTITIONS, {**COMPACTED, **_YEAR}),
        Topic(NOTICES, PARTITIONS, _kept(32)),
        Topic(DELIVERIES, PARTITIONS, _kept(32)),
        Topic(COMMANDS, PARTITIONS, _kept(32)),
        Topic(REJECTED, PARTITIONS, _kept(32)),
        Topic(CURSORS, 1, COMPACTED),
        Topic(GROUPS, 1, _FOR_GOOD),  # one partition: its order decides who has a group
    )


def partition_of(key: str) -> int:
    """The partition of everything with this key (an SLO id, a destination): the same everywhere."""
    return zlib.crc32(key.encode()) % PARTITIONS
