"""How Faust's consumer fetches: without the waits that it is made with.

Whoever is told of an incident waits for them, and while a backlog of digests is counted they took
half of a worker's time.
"""

from typing import Any

from faust.transport.drivers.aiokafka import AIOKafkaConsumerThread, Consumer
from faust.types import TP

from app.kafka import FETCH_WAIT_MS


class _Thread(AIOKafkaConsumerThread):
    def _create_worker_consumer(self, transport: Any) -> Any:  # noqa: ANN401 - Faust is untyped
        consumer = super()._create_worker_consumer(transport)
        consumer._fetch_max_wait_ms = FETCH_WAIT_MS  # noqa: SLF001 - Faust has 1.5 s, and no setting
        return consumer


class PromptConsumer(Consumer):
    """Fetches at once what there is to fetch, or as soon as an agent's buffer has room."""

    def _new_consumer_thread(self) -> _Thread:
        return _Thread(self, loop=self.loop, beacon=self.beacon)

    def on_buffer_full(self, tp: TP) -> None:
        """Go on fetching it: a full buffer holds the fetcher up by itself.

        Faust would leave the partition out, and look again up to a second after there is room.
        """
