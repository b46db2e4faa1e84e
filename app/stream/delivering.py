"""Delivering: notices from `slo.notices` into the outbox's table, and out to people."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any, get_args
from uuid import uuid4

import faust
import httpx
import msgspec
from aiokafka import AIOKafkaProducer
from rich.console import Console

from app.clock import Clock
from app.core.commands import Broken, Command, Mended
from app.core.notices import Notice
from app.core.vitals import ALERTER
from app.delivery import console, outbox
from app.delivery.deliveries import Came
from app.delivery.dispatcher import Callbacks, Delivery, Dispatcher, Presentation, Timing
from app.delivery.outbox import Entry
from app.delivery.secrets import Secrets
from app.kafka import client_options, topic_name
from app.metrics import Metrics
from app.settings import Settings
from app.stream.pulse import Pulse
from app.stream.records import Records
from app.topics import COMMANDS, DELIVERIES, NOTICES, partition_of

log = logging.getLogger(__name__)

_encode = msgspec.json.Encoder().encode
_notice = msgspec.json.Decoder(Notice).decode


class DeliveryMeter:
    """The dispatcher's measurements as Prometheus metrics."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

    def queue(self, destination: str, length: int, oldest_s: float) -> None:
        """How many notices wait, and for how long the oldest."""
        self._metrics.waiting.labels(destination).set(length)
        self._metrics.oldest_waiting.labels(destination).set(oldest_s)

    def configured(self, destination: str, *, yes: bool) -> None:
        """Whether the destination has a usable secret."""
        self._metrics.unconfigured.labels(destination).set(not yes)

    def broken(self, destination: str, *, yes: bool) -> None:
        """Whether the destination is known to be broken."""
        self._metrics.broken.labels(destination).set(yes)

    def begin(self, destinations: Iterable[str]) -> None:
        """Every metric of these destinations exists from now on."""
        for destination in destinations:
            for outcome in get_args(Came):
                self._metrics.notifications.labels(destination, outcome)
            for gauge in (self._metrics.waiting, self._metrics.oldest_waiting):
                gauge.labels(destination)
            self._metrics.broken.labels(destination)
            self._metrics.answer_seconds.labels(destination)

    def attempt(self, delivery: Delivery) -> None:
        """What came of one attempt."""
        where, metrics = delivery.destination, self._metrics
        metrics.notifications.labels(where, delivery.outcome).inc()
        if delivery.cause:
            metrics.refusals.labels(where, delivery.cause).inc()
        if delivery.status is not None or delivery.cause:
            metrics.answer_seconds.labels(where).observe(delivery.duration_ms / 1000)
        if delivery.outcome in ("accepted", "printed") and delivery.kind == "trigger":
            since = delivery.event_at or delivery.notice_at
            metrics.detection.observe(max(0, delivery.at - since) / 1000)


class Delivering:
    """The outboxes of the destinations that this worker owns."""

    def __init__(
        self,
        settings: Settings,
        presentation: Presentation,
        secrets: Secrets,
        metrics: Metrics,
        clock: Clock,
        pulse: Pulse,
        entries: Records,
        owned: Callable[[], set[int]],
    ) -> None:
        self._settings, self._presentation = settings, presentation
        self._secrets, self._metrics = secrets, metrics
        self._clock, self._pulse = clock, pulse
        self._meter = DeliveryMeter(metrics)
        self._meter.begin(presentation.destinations)
        self._entries = entries
        self._owned = owned
        self._terminal = Console()
        self._dispatcher: Dispatcher | None = None
        self._direct: Dispatcher | None = None
        self._told_directly: set[str] = set()
        self._telling: set[asyncio.Future[None]] = set()
        self._producer: AIOKafkaProducer | None = None
        self._opened = asyncio.Event()
        self.ready = False

    def take_over(self, presentation: Presentation) -> None:
        """Write as configuration says from now on."""
        self._presentation = presentation
        for dispatcher in filter(None, (self._dispatcher, self._direct)):
            dispatcher.present(presentation)

    async def run(self, client: httpx.AsyncClient) -> None:
        """Hold the connections open until cancelled."""
        self._producer = AIOKafkaProducer(**client_options(self._settings), enable_idempotence=True)
        await self._producer.start()
        stale_after_ms = None if self._settings.replay else outbox.KEPT_MS
        timing = Timing(clock=self._clock, stale_after_ms=stale_after_ms)
        callbacks = self._callbacks()
        self._dispatcher, self._direct = (
            Dispatcher(client, self._secrets, self._presentation, to, timing)
            for to in (callbacks, _without_kafka(callbacks, self._offer_directly))
        )
        self._opened.set()
        try:
            await asyncio.Event().wait()
        finally:
            await self._dispatcher.close()
            await self._direct.close()
            await self._producer.stop()

    async def take(self, event: faust.Event) -> None:
        """One notice; acknowledged when the outbox has it."""
        dispatcher = await self._open()
        notice = _notice(event.value)
        if notice.id not in self._told_directly:
            await dispatcher.offer(notice)
        event.ack()

    def tell_directly(self, notices: Sequence[Notice]) -> None:
        """Send without Kafka: nothing is stored, so a restart may send it again."""
        if self._direct is not None:
            for notice in notices:
                self._told_directly.add(notice.id)
                task = asyncio.ensure_future(self._direct.offer(notice))
                self._telling.add(task)
                task.add_done_callback(self._telling.discard)

    async def _offer_directly(self, notice: Notice) -> None:
        if self._direct is not None:
            await self._direct.offer(notice)

    async def revoke(self) -> None:
        """The destinations may be another worker's from now on."""
        self.ready = False
        if self._dispatcher is not None:
            await self._dispatcher.close()

    async def recover(self) -> None:
        """Go on with the entries of the destinations that are ours now."""
        mine = self._owned()
        found = [_furthest(values) for values in self._entries.recover().values()]
        dispatcher = await self._open()
        dispatcher.restore(e for e in found if partition_of(e.notice.destination) in mine)
        self.ready = True

    async def _open(self) -> Dispatcher:
        await self._opened.wait()
        if self._dispatcher is None:
            raise RuntimeError("delivery is closed")
        return self._dispatcher

    def _callbacks(self) -> Callbacks:
        return Callbacks(
            store=self._store,
            forget=self._forget,
            record=self._record,
            may_send=self._pulse.awake,
            on_broken=self._broken,
            on_mended=self._mended,
            hand_over=self._hand_over,
            show=self._show,
            meter=self._meter,
        )

    async def _store(self, entry: Entry) -> None:
        self._pulse.check()
        partition = partition_of(entry.notice.destination)
        await self._entries.put(partition, {entry.id: outbox.encoded(entry)})

    async def _forget(self, entry: Entry) -> None:
        await self._entries.delete(partition_of(entry.notice.destination), [entry.id])

    async def _record(self, delivery: Delivery) -> None:
        self._meter.attempt(delivery)
        await self._send(DELIVERIES, delivery.incident, delivery)

    async def _hand_over(self, notice: Notice) -> None:
        """A notice for another destination, whose outbox may be another worker's."""
        await self._send(NOTICES, notice.destination, notice)

    async def _broken(self, destination: str, reason: str) -> None:
        await self._say(Broken(destination=destination, why=reason, **self._as_sender("broken")))

    async def _mended(self, destination: str) -> None:
        await self._say(Mended(destination=destination, **self._as_sender("mended")))

    def _as_sender(self, what: str) -> dict[str, Any]:
        now = self._clock()
        return {
            "id": f"{what}/{uuid4().hex}",
            "slo": ALERTER,
            "by": "deliver",
            "at": now,
            "via": "deliver",
        }

    async def _say(self, command: Command) -> None:
        """Tell the alerter's own judge, who tells people."""
        await self._send(COMMANDS, ALERTER, command)

    async def _send(self, topic: str, key: str, value: object) -> None:
        if self._producer is not None:
            await self._producer.send_and_wait(
                topic_name(self._settings, topic),
                _encode(value),
                key=key.encode(),
                partition=partition_of(key),
            )

    def _show(self, entry: Entry, why: str) -> None:
        shown = self._presentation
        hint = "" if self._settings.replay else why
        console.show(self._terminal, entry.notice, shown.wording, shown.addresses, why=hint)


def _without_kafka(callbacks: Callbacks, offer: Callable[[Notice], Awaitable[None]]) -> Callbacks:
    """The same callbacks, but nothing is stored or recorded."""

    async def nothing(*_: object) -> None:
        pass

    return msgspec.structs.replace(
        callbacks,
        store=nothing,
        forget=nothing,
        record=nothing,
        on_broken=nothing,
        on_mended=nothing,
        hand_over=offer,
    )


def _furthest(values: list[bytes]) -> Entry:
    """Of all writers' entries of a notice the one that has got furthest."""
    entries = [outbox.decoded(value) for value in values]
    return max(entries, key=lambda e: (e.finished, e.attempts, e.state == "sending"))
