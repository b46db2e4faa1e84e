"""Reloading: what has changed is taken over whole, what is unsound is refused whole."""

import asyncio
import os
import shutil
import signal
from pathlib import Path

import pytest

from app import config, reloading
from app.config import ConfigError, NotTakenOver, Policy
from app.metrics import Metrics
from app.reloading import Reloaded, Reloading, Watch
from tests.core.policies import POLICY, ROOT

NOW_MS = 1_790_000_000_000


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    shutil.copytree(ROOT / "config", tmp_path / "config")
    return tmp_path / "config"


def edit(folder: Path, old: str, new: str, name: str = "slos.yaml") -> None:
    text = (folder / name).read_text()
    assert old in text
    (folder / name).write_text(text.replace(old, new))


class Parts:
    """What takes over, remembering what it was given."""

    def __init__(self) -> None:
        self.taken: list[Policy] = []
        self.kafka_answers = True

    async def take(self, policy: Policy) -> None:
        if not self.kafka_answers:
            raise TimeoutError
        self.taken.append(policy)


def made(folder: Path, parts: Parts) -> tuple[Reloading, Metrics]:
    metrics = Metrics(POLICY.slos)
    return Reloading(folder, POLICY, metrics, lambda: NOW_MS, [parts.take]), metrics


def sample(metrics: Metrics, name: str) -> float | None:
    return metrics.registry.get_sample_value(name)


async def test_a_change_is_taken_over_and_told_by_slo(folder: Path) -> None:
    edit(folder, "duration_ms > 30000", "duration_ms > 20000")
    parts = Parts()
    reloader, metrics = made(folder, parts)
    assert await reloader.reload() == Reloaded(
        changed=True, added=(), removed=(), redefined=("latency",)
    )
    assert parts.taken == [config.load(folder)] == [reloader.policy]
    assert sample(metrics, "burnrate_config_reload_success") == 1
    assert sample(metrics, "burnrate_config_reload_timestamp_seconds") == NOW_MS / 1000
    assert not (await reloader.reload()).changed


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("slos.yaml", "slos: {}", "slos.yaml"),
        ("templates/lead.j2", "{{ nothing.at.all }}", "templates/lead.j2"),
    ],
)
async def test_what_is_unsound_changes_nothing_and_is_said(
    folder: Path, name: str, text: str, said: str, caplog: pytest.LogCaptureFixture
) -> None:
    (folder / "templates").mkdir(exist_ok=True)
    (folder / name).write_text(text)
    parts = Parts()
    reloader, metrics = made(folder, parts)
    with pytest.raises(ConfigError, match=said):
        await reloader.reload()
    assert (parts.taken, reloader.policy) == ([], POLICY)
    assert sample(metrics, "burnrate_config_reload_success") == 0
    assert "the old one stays" in caplog.text
    assert said in caplog.text


async def test_where_kafka_does_not_answer_it_is_tried_again(folder: Path) -> None:
    edit(folder, "title: Latency", "title: Speed")
    parts = Parts()
    parts.kafka_answers = False
    reloader, metrics = made(folder, parts)
    with pytest.raises(NotTakenOver):
        await reloader.reload()
    assert sample(metrics, "burnrate_config_reload_success") == 0
    parts.kafka_answers = True
    assert (await reloader.reload()).changed


def test_a_change_is_seen_once_it_stands_still(folder: Path) -> None:
    watch = Watch(folder)
    assert not watch.look()
    edit(folder, "title: Latency", "title: Spe")  # an editor has written half of it
    assert not watch.look()
    edit(folder, "title: Spe", "title: Speed")
    assert not watch.look()
    assert watch.look()
    assert not watch.look()


def test_a_file_that_was_only_touched_is_no_change(folder: Path) -> None:
    watch = Watch(folder)
    os.utime(folder / "slos.yaml", (1, 1))
    assert [watch.look(), watch.look()] == [False, False]


def test_a_link_that_moves_is_a_change_as_in_a_configmap(tmp_path: Path) -> None:
    for version, title in (("1", "Latency"), ("2", "Speed")):
        shutil.copytree(ROOT / "config", tmp_path / version)
        edit(tmp_path / version, "title: Latency", f"title: {title}")
    (tmp_path / "config").mkdir()
    (tmp_path / "config/..data").symlink_to(tmp_path / "1")
    for name in ("slos.yaml", "ownership.yaml"):
        (tmp_path / "config" / name).symlink_to(f"..data/{name}")
    watch = Watch(tmp_path / "config")
    (tmp_path / "new").symlink_to(tmp_path / "2")
    (tmp_path / "new").replace(tmp_path / "config/..data")
    assert [watch.look(), watch.look()] == [False, True]
    assert reloading.read(tmp_path / "config").slos["latency"].title == "Speed"


async def test_sighup_takes_over_at_once(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reloading, "LOOK_EVERY_S", 3600.0)  # the files are looked at no more
    taken = asyncio.Event()
    parts = Parts()

    async def take(policy: Policy) -> None:
        await parts.take(policy)
        taken.set()

    reloader = Reloading(folder, POLICY, Metrics(POLICY.slos), lambda: NOW_MS, [take])
    running = asyncio.ensure_future(reloader.run())
    async with asyncio.timeout(5):
        await taken.wait()  # at the start: it may have changed since it was read
    taken.clear()
    edit(folder, "title: Latency", "title: Speed")
    os.kill(os.getpid(), signal.SIGHUP)
    async with asyncio.timeout(5):
        await taken.wait()
    running.cancel()
    assert [policy.slos["latency"].title for policy in parts.taken] == ["Latency", "Speed"]
