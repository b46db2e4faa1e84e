"""`burnrate deliveries`, on a real Kafka."""

import json
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import msgspec
import pytest
from aiokafka import AIOKafkaProducer
from click.testing import CliRunner, Result
from msgspec.structs import replace

from app.cli import burnrate
from app.delivery.deliveries import Delivery
from app.errors import UserError
from app.kafka import create_topics, topic_name
from app.settings import Settings
from app.topics import DELIVERIES, all_topics, partition_of
from tests.delivery.samples import KEY, OPENED, PAGER, SLACK

ACCEPTED = Delivery(
    at=OPENED + 1200,
    notice=f"{KEY}#1@{SLACK}",
    incident=KEY,
    destination=SLACK,
    kind="trigger",
    attempt=1,
    outcome="accepted",
    status=200,
    duration_ms=87,
)
BUSY = replace(
    ACCEPTED,
    at=OPENED + 1000,
    notice=f"{KEY}#1@{PAGER}",
    destination=PAGER,
    outcome="retry",
    status=503,
    reason="503 upstream \x1b[31mred",
)
LATE = replace(
    BUSY,
    at=OPENED + 4000,
    attempt=2,
    outcome="accepted",
    status=202,
    reason="",
    late_s=120,
    possible_duplicate=True,
)
SKIPPED = replace(
    BUSY, attempt=0, outcome="skipped", status=None, duration_ms=0, reason="it is resolved already"
)


def deliveries(kafka: str, prefix: str, *words: str) -> Result:
    env = {"BURNRATE_KAFKA": kafka, "BURNRATE_TOPIC_PREFIX": prefix, "COLUMNS": "200"}
    return CliRunner(env=env).invoke(burnrate, ["deliveries", *words])


async def written(settings: Settings, found: Sequence[Delivery]) -> None:
    await create_topics(settings, all_topics(replay=False))
    async with AIOKafkaProducer(bootstrap_servers=settings.kafka) as producer:
        send = partial(producer.send_and_wait, topic_name(settings, DELIVERIES))
        for one in found:
            key = one.incident
            value = msgspec.json.encode(one)
            await send(value, key=key.encode(), partition=partition_of(key))


def rows(output: str) -> list[str]:
    return [" ".join(line.split()) for line in output.splitlines()[2:] if line]


@pytest.mark.kafka
async def test_the_story_of_an_incident(kafka: str, prefix: str) -> None:
    # of the same partition, or the key alone would not tell them apart
    other = next(k for n in range(99) if partition_of(k := f"other-{n}") == partition_of(KEY))
    told = [ACCEPTED, BUSY, replace(ACCEPTED, incident=other), LATE]
    await written(Settings(kafka=kafka, topic_prefix=prefix), told)
    result = deliveries(kafka, prefix, KEY)
    assert (result.exit_code, rows(result.output)) == (
        0,
        [
            (
                "2026-10-13 14:05:01 UTC @backend-team in PagerDuty trigger 1 retry 503 87 ms "
                "503 upstream ·[31mred"
            ),
            ("2026-10-13 14:05:01 UTC #headless-alerts in Slack trigger 1 accepted 200 87 ms"),
            (
                "2026-10-13 14:05:04 UTC @backend-team in PagerDuty trigger 2 accepted 202 87 ms "
                "late by 2 min, possible duplicate"
            ),
            "3 in all: 2 accepted, 1 retry.",
        ],
    )


@pytest.mark.kafka
async def test_for_scripts(kafka: str, prefix: str) -> None:
    await written(Settings(kafka=kafka, topic_prefix=prefix), [LATE])
    assert json.loads(deliveries(kafka, prefix, KEY, "--json").output) == {
        "incident": KEY,
        "deliveries": [
            {
                "at": "2026-10-13T14:05:04.000Z",
                "destination": PAGER,
                "kind": "trigger",
                "attempt": 2,
                "outcome": "accepted",
                "status": 202,
                "reason": "",
                "duration_ms": 87,
                "late_s": 120,
                "possibleDuplicate": True,
                "notice": f"{KEY}#1@{PAGER}",
            }
        ],
    }


@pytest.mark.kafka
async def test_decided_but_nothing_sent(kafka: str, prefix: str) -> None:
    await written(Settings(kafka=kafka, topic_prefix=prefix), [SKIPPED])
    assert rows(deliveries(kafka, prefix, KEY).output) == [
        (
            "2026-10-13 14:05:01 UTC @backend-team in PagerDuty trigger 0 skipped "
            "it is resolved already"
        ),
        "1 in all: 1 skipped. Nothing was sent: no destination has accepted any.",
    ]


@pytest.mark.kafka
async def test_nothing_at_all(kafka: str, prefix: str) -> None:
    nothing = f"Nothing was sent: {prefix}slo.deliveries holds no attempt for {KEY}.\n"
    assert deliveries(kafka, prefix, KEY).output == nothing  # not even a topic
    await written(Settings(kafka=kafka, topic_prefix=prefix), [replace(ACCEPTED, incident="x")])
    result = deliveries(kafka, prefix, KEY)
    assert (result.exit_code, result.output) == (0, nothing)


def test_nobody_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.commands.topic.ANSWER_TIMEOUT_S", 0.3)
    result = deliveries("127.0.0.1:1", "", KEY)
    assert isinstance(result.exception, UserError)
    assert result.exception.message.startswith("Kafka at 127.0.0.1:1 cannot be read: ")


def test_no_kafka_is_named_and_none_runs(tmp_path: Path) -> None:
    env = {"BURNRATE_KAFKA": "", "BURNRATE_DATA": str(tmp_path)}
    result = CliRunner(env=env).invoke(burnrate, ["deliveries", KEY])
    assert isinstance(result.exception, UserError)
    assert (result.exception.exit_code, result.exception.message) == (
        2,
        (
            f"BURNRATE_KAFKA is not set, and no Kafka runs for {tmp_path}: set it to host:port, "
            "or set BURNRATE_DATA to the folder of a local Kafka that runs "
            "(`burnrate kafka status`)"
        ),
    )
