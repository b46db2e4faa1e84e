"""Which Kafka a command talks to; the local one is real."""

from pathlib import Path

import pytest

from app.errors import UserError
from app.local import kafka as local
from app.local.connection import connected
from app.settings import Settings


def test_a_named_kafka_is_taken_as_it_is(tmp_path: Path) -> None:
    settings = Settings(kafka="kafka:9092", data_dir=tmp_path)
    assert connected(settings) == settings


@pytest.mark.kafka
def test_else_the_local_one_while_it_runs(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path, topic_prefix="t.")
    try:
        bootstrap = local.start(tmp_path).bootstrap
        assert connected(settings) == Settings(
            kafka=bootstrap, data_dir=tmp_path, topic_prefix="t."
        )
    finally:
        local.stop(tmp_path)
    with pytest.raises(UserError, match=f"and no Kafka runs for {tmp_path}: set it to") as caught:
        connected(settings)
    assert caught.value.exit_code == 2
