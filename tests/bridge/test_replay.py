import sqlite3
from collections import Counter
from contextlib import closing
from itertools import pairwise
from pathlib import Path

import pytest

from app.bridge.events import Event
from app.bridge.history import FORGOTTEN_MS, Moment, Slot, slots
from app.bridge.replay import Progress, replay
from app.errors import UserError
from app.kafka import create_topics
from app.settings import Settings
from app.topics import all_topics
from tests.bridge.kokino import Kokino, committed

T0 = 1_772_359_200_000  # 2026-03-01 10:00:00


def at(second: float, name: str = "x") -> Moment:
    event = Event(event="EXECUTION_FAILED", agent_id=name, metadata={}, timestamp="")
    return Moment(T0 + int(second * 1000), event)


def test_moments_are_cut_into_slots_of_ten_seconds_and_the_time_goes_on() -> None:
    cut = list(slots([at(3), at(9.999), at(10), at(31)], None, 20_000))
    assert cut == [
        Slot(T0 + 10_000, [at(3), at(9.999)]),
        Slot(T0 + 20_000, [at(10)]),
        Slot(T0 + 30_000, []),
        Slot(T0 + 40_000, [at(31)]),
        Slot(T0 + 50_000, []),
        Slot(T0 + 60_000, []),
    ]


def test_without_a_row_there_is_no_slot() -> None:
    assert list(slots([], [T0], 20_000)) == []


def test_a_silence_longer_than_any_window_is_skipped() -> None:
    later = FORGOTTEN_MS / 1000 + 60
    ends = [slot.end_ms for slot in slots([at(3), at(later)], None, 0)]
    assert ends == [T0 + 10_000, T0 + int(later) * 1000 + 10_000]


def test_conversations_are_counted_when_they_change_and_every_five_minutes() -> None:
    began = [T0 - 5, T0 + 12_000]
    told = [
        (moment.at_ms - T0, moment.event.metadata["count"])
        for slot in slots([at(3)], began, 400_000)
        for moment in slot.moments
        if moment.event.event == "CONVERSATIONS_COUNTED"
    ]
    assert told == [(0, 1), (10_000, 2), (310_000, 2)]


@pytest.fixture
def settings(kafka: str, prefix: str) -> Settings:
    return Settings(kafka=kafka, topic_prefix=prefix, replay=True)


@pytest.mark.kafka
async def test_a_replay_has_the_datas_own_time(settings: Settings, tmp_path: Path) -> None:
    kokino = Kokino(tmp_path)
    kokino.executed("b", at="2026-03-01 10:00:21")
    kokino.executed("a", at="2026-03-01 10:00:01")
    kokino.compared("t1", at="2026-03-01T10:00:05.250Z")
    kokino.executed("c", event="SHADOW_MISMATCH")
    kokino.talked("conv-1")
    kokino.close()
    seen: list[Progress] = []
    report = await replay(settings, tmp_path, speed=None, tail_s=60, on_progress=seen.append)
    assert report.events == {
        "EXECUTION_COMPLETED": 2,
        "SHADOW_COMPARED": 1,
        "CONVERSATIONS_COUNTED": 1,
    }
    assert (report.skipped, report.heartbeats) == ({"SHADOW_MISMATCH": 1}, 9)
    assert (report.first_ms, report.last_ms, report.until_ms) == (T0, T0 + 21_000, T0 + 90_000)
    assert seen[0].last_ms == T0 + 21_000
    events = await committed(settings)
    times = {e["agent_id"]: e["kafka_ms"] - T0 for e in events if e["id"] is not None}
    assert times == {"a": 1000, "bob": 5250, "b": 21_000}
    for partition in range(4):
        mine = [e for e in events if e["partition"] == partition]
        beats = [e["kafka_ms"] - T0 for e in mine if e["event"] == "BRIDGE_HEARTBEAT"]
        assert beats == [*range(10_000, 100_000, 10_000)]
        assert all(one["kafka_ms"] <= two["kafka_ms"] for one, two in pairwise(mine))
    assert not (tmp_path / "metrics.db-shm").exists()


@pytest.mark.kafka
async def test_a_replay_keeps_its_pace(settings: Settings, tmp_path: Path) -> None:
    kokino = Kokino(tmp_path)
    kokino.executed("a", at="2026-03-01 10:00:00")
    kokino.close()
    report = await replay(settings, tmp_path, speed=1000, tail_s=990)
    assert 0.9 < report.took_s < 3  # a thousand seconds of data


@pytest.mark.kafka
async def test_a_replay_stays_out_of_live_topics(settings: Settings, tmp_path: Path) -> None:
    Kokino(tmp_path).close()
    await create_topics(settings, all_topics(replay=False))
    with pytest.raises(UserError, match="is read live"):
        await replay(settings, tmp_path, speed=None)


SHARED = Path(__file__).parents[3] / "shared" / "data" / "kokino-30d"


@pytest.mark.kafka
@pytest.mark.skipif(not SHARED.exists(), reason="the thirty days of data are not here")
async def test_thirty_days_are_replayed_once(settings: Settings) -> None:
    report = await replay(settings, SHARED, speed=None)
    with closing(sqlite3.connect(f"file:{SHARED}/metrics.db?immutable=1", uri=True)) as metrics:
        rows = dict(metrics.execute("SELECT event, count(*) FROM metrics GROUP BY event"))
    assert report.took_s < 60
    events = await committed(settings)
    found = Counter(e["event"] for e in events if e["id"] is not None)
    assert found.pop("SHADOW_COMPARED") == 5961
    assert found == {name: rows[name] for name in found}
    assert report.skipped.keys() == rows.keys() - found.keys()
