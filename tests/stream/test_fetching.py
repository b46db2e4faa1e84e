"""Faust's consumers are made as `app.stream.fetching` says, also after an upgrade."""

from pathlib import Path

import pytest
from faust.transport.drivers.aiokafka import Consumer
from faust.types import TP

from app.kafka import FETCH_WAIT_MS
from app.settings import Settings
from app.stream.app import faust_app
from app.stream.fetching import PromptConsumer

DIGESTS = TP("slo.digests", 0)


@pytest.fixture
def ours(tmp_path: Path) -> PromptConsumer:
    consumer = faust_app(Settings(kafka="127.0.0.1:9", data_dir=tmp_path), "count").consumer
    assert isinstance(consumer, PromptConsumer)
    return consumer


@pytest.fixture
def faust_s(ours: PromptConsumer) -> Consumer:
    def called() -> None: ...

    return Consumer(ours.transport, called, called, called)


def fetch_wait_ms(consumer: Consumer) -> int:
    thread = consumer._new_consumer_thread()
    return thread._create_worker_consumer(consumer.transport)._fetch_max_wait_ms


def fetched_when_its_buffer_is_full(consumer: Consumer) -> set[TP]:
    consumer._active_partitions = {DIGESTS}
    consumer.on_buffer_full(DIGESTS)
    return consumer._get_active_partitions()


async def test_what_is_not_there_holds_up_what_is_for_a_moment_only(
    ours: PromptConsumer, faust_s: Consumer
) -> None:
    assert (fetch_wait_ms(ours), fetch_wait_ms(faust_s)) == (FETCH_WAIT_MS, 1500)


async def test_a_partition_whose_buffer_is_full_is_fetched_on(
    ours: PromptConsumer, faust_s: Consumer
) -> None:
    assert fetched_when_its_buffer_is_full(ours) == {DIGESTS}
    assert fetched_when_its_buffer_is_full(faust_s) == set()
