"""What end-to-end tests share."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.e2e.harness import Stack


@pytest.fixture
async def stack(kafka: str, prefix: str, tmp_path: Path) -> AsyncIterator[Stack]:
    """A stack of the test's own, on the machine's time; its workers are the test's to start."""
    async with Stack(kafka, prefix, tmp_path) as made:
        yield made
