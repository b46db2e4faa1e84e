"""The alerter's own state outlives a worker that ends while Kafka does not answer."""

from pathlib import Path

from app.stream.spare import Spare


def test_what_is_kept_is_there_until_kafka_has_a_newer_one(tmp_path: Path) -> None:
    spare = Spare(tmp_path / "alerter-state")
    assert spare.values() == []
    spare.keep(b"older")
    spare.keep(b"newer")
    assert Spare(tmp_path / "alerter-state").values() == [b"newer"]
    spare.drop()
    spare.drop()
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_written_stops_nobody(tmp_path: Path) -> None:
    spare = Spare(tmp_path / "not-there" / "alerter-state")
    spare.keep(b"state")
    assert spare.values() == []
