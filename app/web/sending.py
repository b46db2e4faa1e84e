"""Operators' commands on their way to `slo.commands`."""

import asyncio

import msgspec
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from app.core.commands import Command
from app.kafka import client_options, topic_name
from app.settings import Settings
from app.topics import COMMANDS, partition_of

SEND_TIMEOUT_S = 10.0

_encode = msgspec.json.Encoder().encode


class NotSent(Exception):
    """Kafka did not say that it has the command; it may have it all the same."""


class CommandSender:
    """A producer that is made with the first command."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._producer: AIOKafkaProducer | None = None
        self._starting = asyncio.Lock()

    async def send(self, command: Command) -> None:
        """Send a command and wait until Kafka has it; raises NotSent after 10 s at most."""
        try:
            await asyncio.wait_for(self._send(command), SEND_TIMEOUT_S)
        except (KafkaError, TimeoutError) as error:
            raise NotSent(f"Kafka does not take commands: {error or 'no answer'}") from error

    async def close(self) -> None:
        """End the producer; what was sent is with Kafka already."""
        if self._producer is not None:
            await self._producer.stop()
            self._producer = None

    async def _send(self, command: Command) -> None:
        producer = await self._started()
        await producer.send_and_wait(
            topic_name(self._settings, COMMANDS),
            _encode(command),
            key=command.slo.encode(),
            partition=partition_of(command.slo),
        )

    async def _started(self) -> AIOKafkaProducer:
        async with self._starting:
            if self._producer is None:
                self._producer = await self._start()
            return self._producer

    async def _start(self) -> AIOKafkaProducer:
        producer = AIOKafkaProducer(**client_options(self._settings), enable_idempotence=True)
        try:
            await producer.start()
        except BaseException:  # also when cancelled: its connections would stay open
            await producer.stop()
            raise
        return producer
