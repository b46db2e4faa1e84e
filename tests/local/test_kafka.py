"""The local Kafka, for real: brokers are started, killed and found again."""

import hashlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from app.errors import UserError
from app.local import jars, ports
from app.local import kafka as local

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(120)]

ROOT = Path(__file__).parents[2]


@pytest.fixture
def data_dir(tmp_path: Path) -> Iterator[Path]:
    # a path that a .properties file or a list of folders would misread
    folder = tmp_path / "störung, \\ and spaces"
    yield folder
    local.stop(folder)


def burnrate(data_dir: Path, *arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "app", *arguments],
        cwd=ROOT,
        env=os.environ | {"BURNRATE_DATA": str(data_dir)} | env,
        capture_output=True,
        text=True,
        check=False,
    )


async def create(bootstrap: str, topic: str, **config: str) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    try:
        await admin.create_topics([NewTopic(topic, 1, 1, topic_configs=config)])
    finally:
        await admin.close()


async def produce(bootstrap: str, topic: str, value: bytes) -> None:
    async with AIOKafkaProducer(bootstrap_servers=bootstrap) as producer:
        await producer.send_and_wait(topic, value)


async def consume(bootstrap: str, topic: str) -> list[bytes]:
    consumer = AIOKafkaConsumer(bootstrap_servers=bootstrap, auto_offset_reset="earliest")
    consumer.assign([TopicPartition(topic, 0)])
    async with consumer:
        batches = await consumer.getmany(timeout_ms=10_000)
    return [record.value for records in batches.values() for record in records]


def eventually(true: Callable[[], bool], within_s: float = 20.0) -> bool:
    deadline = time.monotonic() + within_s
    while not (now := true()) and time.monotonic() < deadline:
        time.sleep(0.05)
    return now


async def test_a_broker_starts_takes_a_record_gives_it_back_and_stops(data_dir: Path) -> None:
    broker = local.start(data_dir)
    await create(broker.bootstrap, "seen")
    await produce(broker.bootstrap, "seen", b"hello")
    assert await consume(broker.bootstrap, "seen") == [b"hello"]
    assert (broker.reused, broker.owner) == (False, os.getpid())
    assert local.status(data_dir).state == "running"

    assert local.stop(data_dir)
    assert not psutil.pid_exists(broker.pid)
    assert local.status(data_dir) == local.Status(state="stopped")
    assert not local.stop(data_dir)


def test_a_broker_that_runs_is_given_again(data_dir: Path) -> None:
    first, second = local.start(data_dir), local.start(data_dir)
    assert (second.bootstrap, second.pid) == (first.bootstrap, first.pid)
    assert (first.reused, second.reused) == (False, True)


async def test_after_a_kill_it_comes_back_with_its_data_on_its_port(data_dir: Path) -> None:
    first = local.start(data_dir)
    await create(first.bootstrap, "kept")
    await produce(first.bootstrap, "kept", b"before")
    os.kill(first.pid, signal.SIGKILL)
    assert eventually(lambda: local.status(data_dir).state == "died")
    assert "ended unexpectedly" in local.status(data_dir).message

    second = local.start(data_dir)
    assert (second.bootstrap, second.reused) == (first.bootstrap, False)
    assert await consume(second.bootstrap, "kept") == [b"before"]


def test_it_moves_on_when_its_port_is_taken(data_dir: Path) -> None:
    first = local.start(data_dir)
    local.stop(data_dir)
    host, port = first.bootstrap.split(":")
    with socket.socket() as stranger:
        stranger.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        stranger.bind((host, int(port)))
        stranger.listen()
        assert local.start(data_dir).bootstrap != first.bootstrap


def test_a_port_taken_between_choosing_and_binding_is_chosen_anew(
    data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket() as stranger:
        stranger.bind(("127.0.0.1", 0))
        stranger.listen()
        free = ports.free
        choices = iter([stranger.getsockname()[1]])
        monkeypatch.setattr(ports, "free", lambda *a, **k: next(choices, None) or free(*a, **k))
        assert local.start(data_dir).bootstrap != f"127.0.0.1:{stranger.getsockname()[1]}"


STARTER = """
import sys, time
from pathlib import Path
from app.local.kafka import start
print(start(Path(sys.argv[1])).pid, flush=True)
time.sleep(600)
"""


@pytest.fixture
def starter(data_dir: Path) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-c", STARTER, str(data_dir)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        yield process
        process.kill()


def test_an_attached_broker_ends_when_its_parent_is_killed(
    data_dir: Path, starter: subprocess.Popen[str]
) -> None:
    assert starter.stdout is not None
    broker = int(starter.stdout.readline())
    assert local.status(data_dir).owner == starter.pid
    starter.kill()
    assert eventually(lambda: not psutil.pid_exists(broker))


def test_a_broker_that_ends_with_another_process_is_not_shared(
    data_dir: Path, starter: subprocess.Popen[str]
) -> None:
    assert starter.stdout is not None
    starter.stdout.readline()
    with pytest.raises(local.AlreadyRunning, match=f"process {starter.pid}") as refused:
        local.start(data_dir)
    assert (refused.value.owner, refused.value.bootstrap) == (
        starter.pid,
        local.status(data_dir).bootstrap,
    )


def test_an_attached_broker_ends_even_when_its_leash_is_killed(data_dir: Path) -> None:
    broker = psutil.Process(local.start(data_dir).pid)
    leash = broker.parent()
    assert leash is not None
    leash.kill()
    assert eventually(lambda: not psutil.pid_exists(broker.pid))


def test_the_command_leaves_it_running_and_prints_its_address_last(data_dir: Path) -> None:
    started = burnrate(data_dir, "kafka", "start")
    address = started.stdout.splitlines()[-1]
    assert started.returncode == 0, started.stderr
    assert burnrate(data_dir, "kafka", "start").stdout.splitlines()[-1] == address
    looked = burnrate(data_dir, "kafka", "status")
    assert (looked.returncode, looked.stdout) == (0, f"running {address}\n")
    assert burnrate(data_dir, "kafka", "stop").returncode == 0
    looked = burnrate(data_dir, "kafka", "status")
    assert (looked.returncode, looked.stdout) == (1, "stopped\n")


def test_two_starters_at_once_get_one_broker(data_dir: Path) -> None:
    command = [sys.executable, "-m", "app", "kafka", "start"]
    env = os.environ | {"BURNRATE_DATA": str(data_dir)}
    both = [
        subprocess.Popen(command, cwd=ROOT, env=env, stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    first, second = (one.communicate()[0] for one in both)
    assert first == second != ""


@pytest.mark.parametrize("codec", ["gzip", "snappy", "lz4", "zstd"])
async def test_the_broker_has_every_codec(kafka: str, prefix: str, codec: str) -> None:
    await create(kafka, prefix + codec, **{"compression.type": codec})
    await produce(kafka, prefix + codec, b"x" * 1000)
    assert await consume(kafka, prefix + codec) == [b"x" * 1000]


def test_a_file_in_the_way_is_told_without_a_traceback(tmp_path: Path) -> None:
    (tmp_path / "kafka").write_text("not a folder")
    told = burnrate(tmp_path, "kafka", "start")
    assert told.returncode == 1
    assert told.stderr.startswith("error: Kafka's folder")
    assert "Traceback" not in told.stderr


def test_storage_that_kafka_cannot_read_is_told_with_the_logs_tail(data_dir: Path) -> None:
    local.start(data_dir)
    local.stop(data_dir)
    (data_dir / "kafka" / "data" / "meta.properties").write_text("cluster.id=other\nversion=7\n")
    with pytest.raises(UserError, match=r"Kafka did not start(.|\n)*The end of .*broker.log"):
        local.start(data_dir)
    assert local.status(data_dir).state == "stopped"


def wrong(jar: jars.Jar, folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / jar.filename
    path.write_bytes(b"something else")
    return path


def test_a_jar_with_a_wrong_hash_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"is not the file that was locked"):
        jars.ready(tmp_path, jars.locked()[:1], download=wrong)
    assert list((tmp_path / "jars").glob("*.jar")) == []


def test_jars_are_fetched_once_and_kept_when_others_fail(tmp_path: Path) -> None:
    asked: list[str] = []

    def download(jar: jars.Jar, folder: Path) -> Path:
        asked.append(jar.coordinates)
        if jar.coordinates == "g:missing:1":
            raise ConnectionError("unreachable")
        return wrong(jar, folder)

    good = jars.Jar("g:good:1", hashlib.sha256(b"something else").hexdigest())
    missing = jars.Jar("g:missing:1", "0" * 64)
    with pytest.raises(UserError, match=r"g:missing:1 did not come .*unreachable"):
        jars.ready(tmp_path, [good, missing], download)
    assert jars.ready(tmp_path, [good], download) == (tmp_path / "jars" / "good-1.jar",)
    assert asked.count("g:good:1") == 1


def test_without_a_network_the_first_start_says_what_to_do(data_dir: Path, tmp_path: Path) -> None:
    nowhere = {"HTTPS_PROXY": "http://127.0.0.1:9", "XDG_CACHE_HOME": str(tmp_path / "cache")}
    told = burnrate(data_dir, "kafka", "start", **nowhere)
    assert told.returncode == 1
    assert "error: Apache Kafka could not be fetched" in told.stderr
    assert "BURNRATE_KAFKA=host:port" in told.stderr
    assert "Traceback" not in told.stderr
