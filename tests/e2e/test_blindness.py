"""An alerter that does not see says so, judges nothing meanwhile, and fails its health check."""

import asyncio
import os
import signal
from pathlib import Path

import httpx
import pytest

from app.local import kafka as local_kafka
from tests.e2e.harness import (
    HOUR,
    MINUTE,
    Stack,
    assert_says,
    execution,
    kept_running,
    key_time,
    title_of,
    wait_for,
)
from tests.e2e.load import is_counted

pytestmark = [pytest.mark.fault, pytest.mark.kafka]

BEGIN = 1_785_578_400.0  # 2026-08-01T10:00:00Z


async def test_a_stalled_intake_blinds_the_alerter_until_it_goes_on(
    kafka: str, prefix: str, tmp_path: Path
) -> None:
    async with Stack(kafka, prefix, tmp_path, held_at=BEGIN) as stack:
        count, intake, deliver = (stack.worker("--only", p) for p in ("count", "intake", "deliver"))
        for worker in (deliver, intake):
            await worker.start(ready=False)
        await count.start()
        await stack.produce([execution(BEGIN - 20, good=n > 20) for n in range(60)])
        await wait_for(stack.triggers, "the outage is paged")
        assert (await stack.get("/healthz")).status_code == httpx.codes.OK

        intake.suspend()
        await stack.produce([execution(BEGIN + 20, good=True)])
        stack.set_clock(BEGIN + 61)
        await wait_for(lambda: _blind(stack), "it knows that it is blind")
        assert stack.told("ops-alerts") == []
        stack.set_clock(BEGIN + 125)
        message = await stack.told_so("ops-alerts", "P1 alerter: blind")
        assert_says(message, "@ops-team")
        assert "incidents stay as they are" in str(message)
        blind = f"alerter-blind-{key_time(BEGIN)}"[:-7]
        await wait_for(lambda: stack.paged("ops-team"), "the operations team is paged")
        assert stack.paged("ops-team")[0][1].startswith(blind)
        assert (await stack.get("/healthz")).status_code == httpx.codes.SERVICE_UNAVAILABLE

        # the outage would be over by now, but nobody can see that; its escalation goes on
        stack.set_clock(BEGIN + 2 * HOUR)
        await wait_for(lambda: stack.paged("platform-lead"), "the platform lead is paged")
        await wait_for(lambda: stack.paged("ops-lead"), "and the operations lead")
        states = {i["slo"]: i["state"] for i in await stack.incidents()}
        assert states == {"availability": "firing", "alerter": "firing"}

        stack.set_clock(BEGIN + 2 * HOUR + MINUTE)
        intake.resume()
        await stack.told_so("ops-alerts", "Resolved: alerter")
        await stack.produce([execution(BEGIN + 2 * HOUR + MINUTE) for _ in range(5)])
        await stack.told_so("headless-alerts", "Resolved: availability")
        await wait_for(lambda: stack.pagerduty.open == {}, "every page is resolved")
        assert (await stack.get("/healthz")).status_code == httpx.codes.OK


async def _blind(stack: Stack) -> bool:
    return await stack.metric("burnrate_blind") == 1


@pytest.mark.slow
async def test_without_kafka_people_are_told_directly_and_all_goes_on_when_it_is_back(
    prefix: str, tmp_path: Path
) -> None:
    """The broker is stopped in its tracks (SIGSTOP): nothing answers, nothing is refused."""
    data_dir = tmp_path / "kafka"
    broker = await asyncio.to_thread(local_kafka.start, data_dir)
    try:
        async with Stack(broker.bootstrap, prefix, tmp_path, held_at=BEGIN) as stack:
            worker = await stack.worker().start()
            await stack.produce([execution(BEGIN - 20, good=n > 20) for n in range(60)])
            await wait_for(stack.triggers, "the outage is paged")
            await stack.judged()
            page = stack.triggers()[0]

            os.kill(broker.pid, signal.SIGSTOP)
            try:
                await asyncio.sleep(1)
                stack.set_clock(BEGIN + 61)
                await wait_for(lambda: _blind(stack), "it knows that it is blind")
                stack.set_clock(BEGIN + 125)
                message = await stack.told_so("ops-alerts", "P1 alerter: blind")
                assert_says(message, "@ops-team")
                await wait_for(lambda: stack.paged("ops-team"), "the operations team is paged")
                assert [key for _, key in stack.paged("backend-team")] == [page]
                answer = await stack.get("/healthz")
                assert answer.status_code == httpx.codes.SERVICE_UNAVAILABLE
            finally:
                os.kill(broker.pid, signal.SIGCONT)

            restarts = await kept_running(worker)
            await stack.produce([execution(BEGIN + 120 - n, good=n > 20) for n in range(60)])
            await stack.told_so("ops-alerts", "Resolved: alerter")
            await is_counted(stack)
            assert [key for _, key in stack.paged("backend-team")] == [page]
            states = {i["slo"]: i["state"] for i in await stack.incidents()}
            assert states == {"availability": "firing", "alerter": "resolved"}
            blind = [m for m in stack.told("ops-alerts") if "blind" in title_of(m)]
            again = len(blind) - len({title_of(m) for m in blind})
            assert again <= restarts, "told once; what was told directly, once more by a restart"
    finally:
        await asyncio.to_thread(local_kafka.stop, data_dir)


@pytest.mark.slow
async def test_who_was_told_directly_hears_of_the_end_though_the_worker_died_in_between(
    prefix: str, tmp_path: Path
) -> None:
    data_dir = tmp_path / "kafka"
    broker = await asyncio.to_thread(local_kafka.start, data_dir)
    try:
        async with Stack(broker.bootstrap, prefix, tmp_path, held_at=BEGIN) as stack:
            worker = await stack.worker().start()
            await stack.produce([execution(BEGIN - 20 - n) for n in range(60)])
            await stack.judged()
            os.kill(broker.pid, signal.SIGSTOP)
            try:
                stack.set_clock(BEGIN + 61)
                await wait_for(lambda: _blind(stack), "it knows that it is blind")
                stack.set_clock(BEGIN + 125)
                await stack.told_so("ops-alerts", "P1 alerter: blind")
                await wait_for(lambda: stack.pagerduty.open, "the operations team is paged")
                await worker.kill()
            finally:
                os.kill(broker.pid, signal.SIGCONT)
            await worker.start()
            await stack.told_so("ops-alerts", "Resolved: alerter")
            await wait_for(lambda: stack.pagerduty.open == {}, "the page is resolved")
            [incident] = await stack.incidents()
            assert (incident["slo"], incident["state"]) == ("alerter", "resolved")
            assert not list((tmp_path / "state").glob("*alerter-state*")), "Kafka has it"
    finally:
        await asyncio.to_thread(local_kafka.stop, data_dir)
