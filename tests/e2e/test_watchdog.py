"""A worker that gets nowhere fails its health check, and its supervisor starts it again."""

import signal
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import psutil
import pytest

from tests.bridge.kokino import Kokino
from tests.e2e.harness import MINUTE, Stack, Worker, execution, wait_for
from tests.e2e.load import is_counted

pytestmark = [pytest.mark.fault, pytest.mark.kafka, pytest.mark.slow]

BEGIN = 1_785_578_400.0  # 2026-08-01T10:00:00Z
RESTARTED_S = 90.0  # where nobody has seen it healthy yet, it is starting for a minute


@pytest.fixture
async def stack(kafka: str, prefix: str, tmp_path: Path) -> AsyncIterator[Stack]:
    async with Stack(kafka, prefix, tmp_path, held_at=BEGIN) as made:
        try:
            yield made
        finally:  # a supervisor that is killed cannot end its worker
            for worker in made.workers:
                if worker.process is not None and worker.process.returncode is None:
                    worker.resume()
                    await worker.stop()


def child_of(supervisor: Worker) -> psutil.Process | None:
    """The worker that this supervisor runs now."""
    assert supervisor.process is not None
    children = psutil.Process(supervisor.process.pid).children()
    alive = (child for child in children if child.status() != psutil.STATUS_ZOMBIE)
    return next((child for child in alive if "worker" in child.cmdline()), None)


async def restarted(supervisor: Worker, before: psutil.Process) -> None:
    """Wait for another worker, that works."""

    async def done() -> bool:
        child = child_of(supervisor)
        return child not in (None, before) and await supervisor.is_ready()

    await wait_for(done, f"started again; its log ends: {supervisor.log()[-2000:]}", RESTARTED_S)


async def test_a_count_that_gets_nothing_for_a_minute_is_started_again(stack: Stack) -> None:
    count, intake = stack.worker("--only", "count", "--supervised"), stack.worker("--only=intake")
    await intake.start(ready=False)
    await count.start()
    await stack.produce([execution(BEGIN - 20, good=n > 2) for n in range(60)])
    await is_counted(stack)
    first = child_of(count)
    assert first is not None
    assert (await stack.get("/healthz")).status_code == httpx.codes.OK

    intake.suspend()
    stack.set_clock(BEGIN + MINUTE + 5)
    answer = await stack.get("/healthz")
    assert answer.status_code == httpx.codes.SERVICE_UNAVAILABLE
    assert "count: nothing comes from the intake, for 6" in answer.text
    await wait_for(
        lambda: "the worker stalls: it is ended" in count.log(), "it is ended", RESTARTED_S
    )
    intake.resume()
    await restarted(count, first)
    assert (await stack.get("/healthz")).status_code == httpx.codes.OK
    await is_counted(stack)


async def test_a_worker_that_stands_still_is_killed_and_started_again(
    stack: Stack, tmp_path: Path
) -> None:
    up = await stack.up(Kokino(tmp_path / "kokino").folder).start()
    first = child_of(up)
    assert first is not None
    first.send_signal(signal.SIGSTOP)
    await restarted(up, first)
    await stack.produce([execution(BEGIN - 20, good=n > 2) for n in range(60)])
    await stack.judged()
    assert (await stack.windows("availability"))["24h"] == (60, 3)
