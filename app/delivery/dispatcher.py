"""The dispatcher: notices to the lanes of their destinations.

`Dispatcher(client, secrets, presentation, callbacks, timing)`, then `restore` with what was stored,
then `offer` for each notice.
"""

import asyncio
import logging
from collections.abc import Iterable

import httpx

from app.core.notices import Notice
from app.delivery import outbox
from app.delivery.deliveries import Delivery
from app.delivery.lane import Lane
from app.delivery.outbox import Entry
from app.delivery.requests import Presentation
from app.delivery.secrets import SERVICES, Secrets, service_of
from app.delivery.surroundings import Callbacks, Meter, Surroundings, Timing

__all__ = ["Callbacks", "Delivery", "Dispatcher", "Meter", "Presentation", "Timing"]

log = logging.getLogger(__name__)


class Dispatcher:
    """Sends what it is offered. Made within a running event loop; `close` ends its tasks."""

    def __init__(
        self,
        client: httpx.AsyncClient,
        secrets: Secrets,
        presentation: Presentation,
        callbacks: Callbacks,
        timing: Timing,
    ) -> None:
        self._around = Surroundings(client, secrets, presentation, callbacks, timing)
        self._lanes: dict[str, Lane] = {}

    def present(self, presentation: Presentation) -> None:
        """Write from now on as configuration says now."""
        self._around.presentation = presentation

    async def offer(self, notice: Notice) -> None:
        """Take over a notice: when this returns it is stored. Raises what `store` raises."""
        if service_of(notice.destination) not in SERVICES:
            log.error("notice %s is for an unknown service: %s", notice.id, notice.destination)
            return
        await self._lane(notice.destination).offer(notice)

    def restore(self, entries: Iterable[Entry]) -> None:
        """Go on with stored entries, after a start or when partitions come to this worker."""
        by_destination: dict[str, list[Entry]] = {}
        for entry in outbox.recovered(entries, self._around.time.clock()):
            by_destination.setdefault(entry.notice.destination, []).append(entry)
        for destination, kept in by_destination.items():
            self._lane(destination).restore(kept)

    async def release(self, destinations: Iterable[str]) -> None:
        """Let go of destinations that another worker has now. A request under way is cut off."""
        tasks = [self._lanes.pop(name).task for name in destinations if name in self._lanes]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def close(self) -> None:
        """Let go of everything."""
        await self.release(list(self._lanes))

    async def settled(self) -> None:
        """Wait until every destination waits: for news, for time, or for its pace."""
        while busy := [lane for lane in self._lanes.values() if not lane.idle.is_set()]:
            await busy[0].idle.wait()

    def destinations(self) -> list[str]:
        """Those that this worker has."""
        return list(self._lanes)

    def entries(self, incident: str | None = None) -> list[Entry]:
        """What is remembered, of one incident or of all."""
        every = (entry for lane in self._lanes.values() for entry in lane.outbox)
        return [e for e in every if incident is None or e.notice.incident == incident]

    def _lane(self, destination: str) -> Lane:
        if destination not in self._lanes:
            self._lanes[destination] = Lane(destination, self._around)
        return self._lanes[destination]
