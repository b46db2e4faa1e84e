"""An alerter that does not see says so, judges nothing meanwhile, and fails its health check."""

from pathlib import Path

import httpx
import pytest

from tests.e2e.harness import HOUR, MINUTE, Stack, assert_says, execution, key_time, wait_for

pytestmark = pytest.mark.kafka

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
