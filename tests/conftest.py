"""What tests share: one Kafka for the whole run, and topics of one's own in it."""

import os
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.local.kafka import start, stop


@pytest.fixture(scope="session")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Bootstrap servers of a real Kafka: BURNRATE_TEST_KAFKA's, else one that ends with the run."""
    if running := os.environ.get("BURNRATE_TEST_KAFKA"):
        yield running
        return
    data_dir: Path = tmp_path_factory.mktemp("kafka")
    yield start(data_dir).bootstrap
    stop(data_dir)


@pytest.fixture
def prefix() -> str:
    """A topic prefix that no other test has."""
    return f"t{uuid.uuid4().hex[:8]}."
