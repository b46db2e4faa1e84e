"""Time that stands still until a test moves it."""

import asyncio
import heapq
from itertools import count

from tests.delivery.samples import OPENED

_TURNS = 20  # of the event loop, enough for those that were woken to begin


class HeldTime:
    """A clock and a sleep that belong together. Times in ms and seconds."""

    def __init__(self, now: int = OPENED) -> None:
        self._now = now
        self._order = count()
        self._sleepers: list[tuple[int, int, asyncio.Future[None]]] = []

    def __call__(self) -> int:
        return self._now

    async def sleep(self, seconds: float) -> None:
        woken: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        due = self._now + max(1, round(seconds * 1000))
        heapq.heappush(self._sleepers, (due, next(self._order), woken))
        await woken

    async def advance(self, seconds: float) -> None:
        """Move on, waking whoever is due."""
        await _turns()  # whoever has begun to wait gets to say until when
        self._now += round(seconds * 1000)
        while self._sleepers and self._sleepers[0][0] <= self._now:
            _, _, woken = heapq.heappop(self._sleepers)
            if not woken.done():
                woken.set_result(None)
        await _turns()


async def _turns() -> None:
    for _ in range(_TURNS):
        await asyncio.sleep(0)
