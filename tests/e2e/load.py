"""Executions without pause, and whether they were counted: what faults and soaking share."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager

from tests.e2e.harness import Event, Stack, execution, recount, wait_for

Sent = Iterable[tuple[float, Event]]
BATCH, PAUSE_S = 10, 0.05  # 200 events a second, at most


@asynccontextmanager
async def under_load(stack: Stack, partitions: int = 4) -> AsyncIterator[None]:
    """While the block runs, executions come in, one of five failing, from the first batch on."""
    done = asyncio.Event()

    async def load() -> None:
        number = 0
        while not done.is_set():
            now = time.time()
            batch = [execution(now, good=n % 5 > 0, agent=f"agent-{n}") for n in range(BATCH)]
            await stack.produce(batch, partition=number % partitions)
            number += 1
            await asyncio.sleep(PAUSE_S)

    loading = asyncio.create_task(load())
    try:
        yield
    finally:
        done.set()
        await loading


async def is_counted(stack: Stack, left: Callable[[], Sent] | None = None) -> None:
    """Wait until every window of availability is that of a recount, as of the held clock.

    Of what a correction has left, where that is given, else of all that was sent.
    """

    def expected() -> dict[str, tuple[int, int]]:
        return recount(left() if left else stack.sent, stack.now)

    async def equal() -> bool:
        return await stack.windows("availability") == expected()

    try:
        await wait_for(equal, "counted")
    except AssertionError:
        assert await stack.windows("availability") == expected()
        raise


async def counts_are_right(stack: Stack, worker: int = 0) -> None:
    """The long windows equal a recount of what was sent, and nothing overlapped."""

    async def equal() -> bool:
        expected = recount(stack.sent, time.time())
        shown = await stack.windows("availability", worker)
        return bool(shown) and all(shown[name] == expected[name] for name in ("1h", "24h", "30d"))

    try:
        await wait_for(equal, "the counts equal the recount", 45)
    except AssertionError as error:
        shown = await stack.windows("availability", worker)
        expected = recount(stack.sent, time.time())
        raise AssertionError(f"shown {shown}\nexpected {expected}") from error
    for number, one in enumerate(stack.workers):
        if one.process is not None and one.process.returncode is None:
            assert await stack.metric('burnrate_digests_total{outcome="overlap"}', number) == 0
