"""What tests share: one Kafka for each process that runs them, and topics of one's own in it."""

import os
import uuid
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from app.local.kafka import start, stop


def pytest_collection_modifyitems(items: Sequence[pytest.Function]) -> None:
    """In several processes, tests that share what their module sets up stay together.

    Of tests with the same name one alone would be run there: that is an error.
    """
    again = [name for name, number in Counter(item.nodeid for item in items).items() if number > 1]
    if again:
        raise pytest.UsageError(f"several tests have the name {again[0]}")
    for item in items:
        fixtures = item._fixtureinfo.name2fixturedefs.values()
        if any(fixture[-1].scope == "module" for fixture in fixtures):
            item.add_marker(pytest.mark.xdist_group(item.module.__name__))


@pytest.fixture(scope="session")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Bootstrap servers of a real Kafka: BURNRATE_TEST_KAFKA's, else one that ends with us."""
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
