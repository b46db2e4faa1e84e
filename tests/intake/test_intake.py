"""The intake without Kafka: what it must not forget."""

from pathlib import Path

from app.intake import Intake
from app.metrics import Metrics
from app.settings import Settings
from tests.core.books import Library
from tests.core.histories import BEGAN_MS
from tests.core.test_groups import event, policy_of, records_of


async def test_what_was_found_while_partitions_moved_is_found_again(tmp_path: Path) -> None:
    """A rebalance cancels a filling, maybe before it has sent what it found."""
    policy = policy_of(tmp_path)
    library = Library(list(policy.slos.values()))
    _, counted = library.reader.read(records_of([event("codex"), event("gemini")]))
    intake = Intake(Settings(), policy, Metrics(policy.slos), lambda: BEGAN_MS)
    found = intake._finder.look(counted, partition=0)
    assert [sighting.value for sighting in found.sightings] == ["codex", "gemini"]
    assert intake._finder.look(counted, partition=0).sightings == []
    await intake.on_partitions_revoked(set())
    assert intake._finder.look(counted, partition=0) == found
