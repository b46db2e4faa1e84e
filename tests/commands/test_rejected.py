"""`burnrate rejected`, on a real Kafka."""

import json
from collections.abc import Sequence

import msgspec
import pytest
from aiokafka import AIOKafkaProducer
from click.testing import CliRunner, Result
from msgspec.structs import replace

from app.cli import burnrate
from app.commands.rejected import kind_of
from app.core import events
from app.core.events import Event, Metadata, Refused
from app.core.reading import Rejected
from app.kafka import create_topics, topic_name
from app.settings import Settings
from app.topics import REJECTED, all_topics
from tests.delivery.samples import OPENED

TIMELESS = Rejected(
    topic="kokino.events",
    partition=3,
    offset=88,
    index=0,
    reason="timestamp 'soon' cannot be read as a time",
    kafka_ms=OPENED,
    head='{"event": "EXECUTION_COMPLETED", "timestamp": "soon"}',
)
LATER = replace(
    TIMELESS,
    partition=0,
    offset=7,
    index=2,
    reason="timestamp 'it\\'s later' cannot be read as a time",
    kafka_ms=OPENED + 1000,
    head="\x1b[31m" + "x" * 200,
)
GARBLED = replace(
    TIMELESS,
    offset=90,
    reason="not an event: JSON is malformed: invalid character (byte 17)",
    kafka_ms=OPENED + 2000,
    head="{{{",
)


def rejected(kafka: str, prefix: str, *words: str) -> Result:
    env = {"BURNRATE_KAFKA": kafka, "BURNRATE_TOPIC_PREFIX": prefix, "COLUMNS": "220"}
    return CliRunner(env=env).invoke(burnrate, ["rejected", *words])


async def written(settings: Settings, found: Sequence[Rejected]) -> None:
    await create_topics(settings, all_topics(replay=False))
    async with AIOKafkaProducer(bootstrap_servers=settings.kafka) as producer:
        for one in found:
            key = f"{one.topic}/{one.partition}/{one.offset}/{one.index}".encode()
            topic = topic_name(settings, REJECTED)
            await producer.send_and_wait(topic, msgspec.json.encode(one), key=key)


def rows(output: str) -> list[str]:
    lines = [" ".join(line.replace("─", "").split()) for line in output.splitlines()]
    return [line for line in lines if line]


@pytest.mark.kafka
async def test_newest_first_and_counted_by_reason(kafka: str, prefix: str) -> None:
    settings = Settings(kafka=kafka, topic_prefix=prefix)
    await written(settings, [TIMELESS, LATER, GARBLED, LATER])  # one of them written twice
    result = rejected(kafka, prefix, "--last", "2")
    assert (result.exit_code, rows(result.output)) == (
        0,
        [
            "Time Record Reason Head",
            f"2026-10-13 14:05:02 UTC kokino.events[3]@90 {GARBLED.reason} {{{{{{",
            (f"2026-10-13 14:05:01 UTC kokino.events[0]@7 #2 {LATER.reason} ·[31m{'x' * 75}…"),
            "Events Reason",
            "2 timestamp … cannot be read as a time",
            "1 not an event: JSON is malformed: invalid character (byte …)",
            "3 in all",
        ],
    )


@pytest.mark.kafka
async def test_for_scripts(kafka: str, prefix: str) -> None:
    await written(Settings(kafka=kafka, topic_prefix=prefix), [TIMELESS, GARBLED])
    assert json.loads(rejected(kafka, prefix, "--last", "1", "--json").output) == {
        "total": 2,
        "reasons": {
            "timestamp … cannot be read as a time": 1,
            "not an event: JSON is malformed: invalid character (byte …)": 1,
        },
        "rejected": [
            {
                "at": "2026-10-13T14:05:02.000Z",
                "topic": "kokino.events",
                "partition": 3,
                "offset": 90,
                "index": 0,
                "reason": GARBLED.reason,
                "head": "{{{",
            }
        ],
    }


@pytest.mark.kafka
async def test_nothing_was_rejected(kafka: str, prefix: str) -> None:
    nothing = f"Nothing was rejected: {prefix}slo.rejected is empty.\n"
    assert rejected(kafka, prefix).output == nothing  # not even a topic
    await written(Settings(kafka=kafka, topic_prefix=prefix), [])
    assert rejected(kafka, prefix).output == nothing


@pytest.mark.kafka
async def test_what_somebody_else_wrote_is_left_out(kafka: str, prefix: str) -> None:
    settings = Settings(kafka=kafka, topic_prefix=prefix)
    await written(settings, [GARBLED])
    topic = topic_name(settings, REJECTED)
    async with AIOKafkaProducer(bootstrap_servers=kafka) as producer:
        for value in (b"7", b"\xff", None):
            await producer.send_and_wait(topic, value, key=b"theirs")
    result = rejected(kafka, prefix, "--json")
    assert json.loads(result.stdout)["total"] == 1
    assert result.stderr == f"{topic}: 3 records are not ours, and left out\n"


def reason_of(event: Event | bytes) -> str:
    """The reason with which the reader itself refuses this."""
    try:
        if isinstance(event, bytes):
            (refused,) = events.decode(event)
            return str(refused)
        events.event_time(event, OPENED)
    except Refused as refused:
        return str(refused)
    raise AssertionError("nothing is wrong with it")


@pytest.mark.parametrize(
    ("event", "reason"),
    [
        (b"{{{", "not an event: JSON is malformed: object keys must be strings (byte …)"),
        (b'{"event": 7}', "not an event: Expected `str`, got `int` - at `$.event`"),
        (
            b'{"event": "E", "duration_ms": -7}',
            "not an event: Expected `int` >= 0 - at `$.duration_ms`",
        ),
        (b"[[1]]", "not an event: an array within an array"),
        (b" " * 2_000_000, "the record has … bytes, more than 1000000"),
        (Event(event="E", timestamp="so'on\""), "timestamp … cannot be read as a time"),
        (Event(event="E", timestamp="it's"), "timestamp … cannot be read as a time"),
        (
            Event(event="E", metadata=Metadata(), timestamp="2999-01-01T00:00:00Z"),
            "timestamp … lies more than 5 minutes ahead",
        ),
    ],
)
def test_reasons_are_counted_without_what_differs(event: Event | bytes, reason: str) -> None:
    assert kind_of(reason_of(event)) == reason
