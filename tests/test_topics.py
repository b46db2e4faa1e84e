"""The topics: kept long enough, keyed so that one worker owns everything of an SLO."""

import pytest

from app import topics
from app.core.slots import COARSE_KEPT_S
from tests.core.policies import POLICY

DAY_MS = 86_400_000


def config(name: str, *, replay: bool = False) -> dict[str, str]:
    return next(topic.config for topic in topics.all_topics(replay=replay) if topic.name == name)


def test_events_and_digests_outlive_every_row() -> None:
    for name in (topics.EVENTS, topics.DIGESTS):
        assert int(config(name)["retention.ms"]) > COARSE_KEPT_S * 1000
        assert config(name, replay=True)["retention.ms"] == "-1"


def test_kafka_stamps_live_records_itself_and_a_replay_brings_its_own_times() -> None:
    stamps = [
        config(topics.EVENTS, replay=replay)["message.timestamp.type"] for replay in (False, True)
    ]
    assert stamps == ["LogAppendTime", "CreateTime"]


def test_every_name_is_used_once() -> None:
    names = [topic.name for topic in topics.all_topics(replay=False)]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("name", [topics.DIGESTS, topics.COMMANDS, topics.STATUS, topics.NOTICES])
def test_what_is_keyed_alike_has_the_same_partitions(name: str) -> None:
    found = next(topic for topic in topics.all_topics(replay=False) if topic.name == name)
    assert found.partitions == topics.PARTITIONS


def test_a_key_has_one_partition_for_good() -> None:
    assert {slo: topics.partition_of(slo) for slo in POLICY.slos} == {
        "availability": 3,
        "latency": 0,
        "correctness": 3,
        "data-integrity": 1,
        "resource-efficiency": 1,
    }
