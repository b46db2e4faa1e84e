"""The probe: once a minute a synthetic event into `kokino.events`, for the dead-man's switch."""

import asyncio
import logging
from collections.abc import Callable

import msgspec
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from app.clock import Clock
from app.core.probes import EVENT, EVERY_MS
from app.core.status import iso
from app.kafka import client_options, topic_name
from app.settings import Settings
from app.topics import EVENTS

log = logging.getLogger(__name__)

_LOOK_S = 1.0


class Probe:
    """Sends events as long as they are wanted. What fails is not made up for: silence tells."""

    def __init__(self, settings: Settings, clock: Clock, wanted: Callable[[], bool]) -> None:
        self._settings, self._clock, self._wanted = settings, clock, wanted
        self._producer: AIOKafkaProducer | None = None

    async def run(self) -> None:
        """Send until cancelled."""
        sent_at = 0
        try:
            while True:
                now = self._clock()
                if abs(now - sent_at) >= EVERY_MS and self._wanted():
                    sent_at = now
                    await self._try(now)
                await asyncio.sleep(_LOOK_S)
        finally:
            if self._producer is not None:
                await self._producer.stop()

    async def _try(self, now: int) -> None:
        try:
            await self._send(now)
        except KafkaError as error:
            log.warning("no probe was sent: %s", error)

    async def _send(self, now: int) -> None:
        if self._producer is None:
            producer = AIOKafkaProducer(**client_options(self._settings))
            await producer.start()
            self._producer = producer
        event = {"event": EVENT, "agent_id": "burnrate", "timestamp": iso(now)}
        topic = topic_name(self._settings, EVENTS)
        await self._producer.send_and_wait(
            topic, msgspec.json.encode(event), key=b"burnrate", timestamp_ms=now
        )
