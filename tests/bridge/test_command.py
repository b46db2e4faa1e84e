import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from app.bridge.command import bridge
from app.errors import UserError
from app.settings import Settings
from tests.bridge.kokino import Kokino, committed


def test_a_folder_that_is_not_there_is_a_usage_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BURNRATE_KAFKA", "127.0.0.1:1")
    result = CliRunner().invoke(bridge, ["--data", str(tmp_path / "nowhere")])
    assert isinstance(result.exception, UserError)
    assert result.exception.exit_code == 2


def test_without_a_kafka_it_says_how_to_get_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("BURNRATE_KAFKA", raising=False)
    Kokino(tmp_path).close()
    result = CliRunner().invoke(bridge, ["--data", str(tmp_path), "--once"])
    assert isinstance(result.exception, UserError)
    assert "burnrate kafka start" in result.exception.message


@pytest.mark.kafka
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_a_signal_ends_it_in_order(
    kafka: str, prefix: str, tmp_path: Path, number: signal.Signals
) -> None:
    kokino = Kokino(tmp_path)
    kokino.executed("a")
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-u", "-c", "from app.bridge.command import bridge; bridge()"),
        *("--data", str(tmp_path)),
        env={**os.environ, "BURNRATE_KAFKA": kafka, "BURNRATE_TOPIC_PREFIX": prefix},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout
    assert (await process.stdout.readline()).startswith(b"caught up: ")
    process.send_signal(number)
    out, err = await asyncio.wait_for(process.communicate(), 10)
    assert (process.returncode, out, err) == (0, b"stopped\n", b"")
    sent = await committed(Settings(kafka=kafka, topic_prefix=prefix))
    assert [e["agent_id"] for e in sent if e["id"] is not None] == ["a"]
