"""The dispatcher: one sender for each destination, each with its own queue and its own pace.

The shell around `outbox`: it stores before it sends and after it was answered, waits, posts, and
reports. A destination that hangs or breaks changes nothing for the others.
"""

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Iterable
from typing import Literal, Protocol

import httpx
import msgspec
from msgspec.structs import replace

from app.clock import Clock
from app.core.notices import Kind, Notice
from app.delivery import outbox, pagerduty, slack
from app.delivery.outbox import Entry, Outbox
from app.delivery.outcomes import (
    Accepted,
    FallbackText,
    Outcome,
    Permanent,
    Retry,
    backoff_s,
)
from app.delivery.pace import CLOSED, RATES, Circuit, TokenBucket
from app.delivery.secrets import PREFIXES, Found, Secret, Secrets, service_of
from app.delivery.sender import TIMEOUT_S, Request, send_once
from app.delivery.wording import Addresses, Wording

log = logging.getLogger(__name__)

UNREACHABLE_MS = 15 * 60 * 1000
"""A destination that has accepted nothing for so long is told of as broken."""

_PAUSE_S = 1.0  # after an error of our own, and while we may not send
_FORGET_EVERY_MS = 10 * 60 * 1000
_TALLY_MS = 1000

Came = Literal["accepted", "retry", "fallback", "failed", "skipped", "printed"]


class Delivery(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One attempt, or the decision that there is none: a value of `slo.deliveries`."""

    at: int
    notice: str  # its id
    incident: str
    destination: str
    kind: Kind
    attempt: int
    outcome: Came
    reason: str = ""
    status: int | None = None
    duration_ms: int = 0
    fingerprint: str = ""
    late_s: int = 0  # the notice came so much later than it was due
    notice_at: int = 0  # judge time
    possible_duplicate: bool = False


class Meter(Protocol):
    """What is measured beside the attempts themselves."""

    def queue(self, destination: str, length: int, oldest_s: float) -> None:
        """How many notices wait, and for how long the oldest."""

    def configured(self, destination: str, *, yes: bool) -> None:
        """Whether the destination has a usable secret."""

    def broken(self, destination: str, *, yes: bool) -> None:
        """Whether the destination is known to be broken."""


class Callbacks(msgspec.Struct, frozen=True, kw_only=True):
    """What the dispatcher asks of the one that owns it.

    `store` and `forget` return once it is durable. `on_mended` may come without an `on_broken`
    before it: after a restart nobody knows whether the destination was broken.
    """

    store: Callable[[Entry], Awaitable[None]]
    forget: Callable[[Entry], Awaitable[None]]
    record: Callable[[Delivery], Awaitable[None]]
    may_send: Callable[[], bool]
    on_broken: Callable[[str, str], Awaitable[None]]  # destination, reason
    on_mended: Callable[[str], Awaitable[None]]
    show: Callable[[Entry, str], None]  # print it, and why it is not sent
    meter: Meter


class Timing(msgspec.Struct, frozen=True, kw_only=True):
    """Where time and chance come from; tests hold them."""

    clock: Clock
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    jitter: Callable[[], float] = random.random
    timeout_s: float = TIMEOUT_S
    stale_after_ms: int | None = outbox.KEPT_MS  # None where notices carry the data's own time


class Presentation(msgspec.Struct, frozen=True, kw_only=True):
    """How notices are written, replaced as a whole when configuration is loaded again."""

    wording: Wording
    addresses: Addresses
    events_url: str = "https://events.pagerduty.com"


class Lane:
    """One destination: its outbox and its state."""

    def __init__(self, destination: str, entries: Iterable[Entry] = ()) -> None:
        self.destination = destination
        self.service = service_of(destination)
        self.outbox = Outbox(entries)
        self.circuit: Circuit = CLOSED
        self.broken: str | None = ""  # fingerprint it broke with; "": not known; None: it works
        self.lock = asyncio.Lock()  # held while a decision is made durable
        self.wake = asyncio.Event()
        self.idle = asyncio.Event()
        self.forgot_at = 0
        self.tallied_at = 0
        self.task: asyncio.Task[None] | None = None


class Dispatcher:
    """Sends what it is offered, in order for each incident, at least once."""

    def __init__(
        self,
        client: httpx.AsyncClient,
        secrets: Secrets,
        presentation: Presentation,
        callbacks: Callbacks,
        timing: Timing,
    ) -> None:
        self.presentation = presentation
        self._client = client
        self._secrets = secrets
        self._to = callbacks
        self._time = timing
        self._lanes: dict[str, Lane] = {}
        self._buckets: dict[str, TokenBucket] = {}  # by fingerprint: limits are those of the key

    async def offer(self, notice: Notice) -> None:
        """Take over a notice: when this returns it is stored. Raises what `store` raises."""
        if service_of(notice.destination) not in PREFIXES:
            log.error("notice %s is for an unknown service: %s", notice.id, notice.destination)
            return
        lane = self._lane(notice.destination)
        async with lane.lock:
            stale_after_ms = self._time.stale_after_ms
            changed = lane.outbox.offered(notice, self._time.clock(), stale_after_ms=stale_after_ms)
            for entry in changed:
                await self._to.store(entry)
            for entry in changed:
                lane.outbox.put(entry)
        await self._record_skipped(changed)
        _rouse(lane)

    def restore(self, entries: Iterable[Entry]) -> None:
        """Go on with stored entries, after a start or when partitions come to this worker."""
        by_destination: dict[str, list[Entry]] = {}
        for entry in outbox.recovered(entries, self._time.clock()):
            by_destination.setdefault(entry.notice.destination, []).append(entry)
        for destination, kept in by_destination.items():
            lane = self._lane(destination)
            for entry in kept:
                lane.outbox.put(entry)
            _rouse(lane)

    async def release(self, destinations: Iterable[str]) -> None:
        """Let go of destinations that another worker has now. A request under way is cut off."""
        lanes = [self._lanes.pop(name) for name in destinations if name in self._lanes]
        tasks = [lane.task for lane in lanes if lane.task]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def close(self) -> None:
        """Let go of everything."""
        await self.release(list(self._lanes))

    async def settled(self) -> None:
        """Wait until every destination waits: for news, for time, or for its pace."""
        while waiting := [lane for lane in self._lanes.values() if not lane.idle.is_set()]:
            await waiting[0].idle.wait()

    def entries(self, incident: str | None = None) -> list[Entry]:
        """What is remembered, of one incident or of all."""
        every = (entry for lane in self._lanes.values() for entry in lane.outbox)
        return [e for e in every if incident is None or e.notice.incident == incident]

    def _lane(self, destination: str) -> Lane:
        if destination not in self._lanes:
            lane = self._lanes[destination] = Lane(destination)
            lane.task = asyncio.create_task(self._serve(lane), name=f"deliver {destination}")
        return self._lanes[destination]

    async def _serve(self, lane: Lane) -> None:
        while True:
            try:
                wait_s = await self._turn(lane)
            except Exception:  # a lane never ends; the error is logged and it goes on
                log.exception("%s: delivery stumbles and goes on", lane.destination)
                wait_s = _PAUSE_S
            if wait_s is None or wait_s > 0:
                await self._park(lane, wait_s)

    async def _park(self, lane: Lane, wait_s: float | None) -> None:
        """Wait for news or for time to pass."""
        if not lane.wake.is_set():
            lane.idle.set()
            waits = [asyncio.ensure_future(lane.wake.wait())]
            if wait_s is not None:
                waits.append(asyncio.ensure_future(self._slept(wait_s)))
            try:
                await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for wait in waits:
                    wait.cancel()
        lane.idle.clear()
        lane.wake.clear()

    async def _slept(self, seconds: float) -> Literal[True]:
        await self._time.sleep(seconds)
        return True

    async def _turn(self, lane: Lane) -> float | None:
        """Send one notice. Gives the seconds to wait before the next turn; None: until news."""
        now = self._time.clock()
        await self._forget(lane, now)
        self._tally(lane, now)
        wait_ms = lane.outbox.wait_ms(now)
        if wait_ms != 0:
            return None if wait_ms is None else wait_ms / 1000
        if not self._to.may_send():
            return _PAUSE_S
        found = await self._found(lane)
        if wait_s := self._wait_s(lane, found, now):
            return wait_s
        await self._deliver(lane, found)
        return 0

    def _wait_s(self, lane: Lane, found: Found, now: int) -> float:
        if found.secret is None:
            return 0
        return max(lane.circuit.wait_s(now), self._bucket(lane, found.secret).wait_s())

    def _bucket(self, lane: Lane, secret: Secret) -> TokenBucket:
        rate = RATES[lane.service]
        return self._buckets.setdefault(secret.fingerprint, TokenBucket(rate, self._time.clock))

    async def _found(self, lane: Lane) -> Found:
        """The destination's secret now. A changed one may work where the old one did not."""
        found = self._secrets.lookup(lane.destination)
        self._to.meter.configured(lane.destination, yes=found.secret is not None)
        if lane.broken and found.secret and found.secret.fingerprint != lane.broken:
            lane.circuit = CLOSED
            await self._mended(lane)
        return found

    async def _deliver(self, lane: Lane, found: Found) -> None:
        """Send, print or skip the notice whose turn it is."""
        async with lane.lock:
            now = self._time.clock()
            entry = lane.outbox.next(now)
            if entry is None:
                return
            if lane.service == "pagerduty" and pagerduty.action(entry.notice) is None:
                why = f"PagerDuty is not told of this {entry.notice.kind}"
                await self._finish(lane, outbox.skipped(entry, now, why), "skipped")
                return
            secret, gone = self._secret_for(lane, entry, found)
            if gone:
                await self._key_gone(lane, entry, gone, now)
                return
            if secret is None:
                await self._print(lane, entry, found.hint, now)
                return
            entry = outbox.sending(entry, secret.fingerprint, now)
            await self._to.store(entry)
            lane.outbox.put(entry)
        await self._post(lane, entry, secret)

    def _secret_for(self, lane: Lane, entry: Entry, found: Found) -> tuple[Secret | None, str]:
        """The secret to use; for PagerDuty the one that the alert was opened with.

        Gives that one's fingerprint besides where it is known no more: with another key a resolve
        is silently dropped.
        """
        if lane.service != "pagerduty":
            return found.secret, ""
        pinned = entry.fingerprint if entry.possible_duplicate else ""
        if entry.closes or entry.notice.kind == "ack":
            pinned = pinned or lane.outbox.opened_with(entry)
        if not pinned or (found.secret and found.secret.fingerprint == pinned):
            return found.secret, ""
        known = self._secrets.known(lane.service, pinned)
        if known is None and not entry.closes and entry.notice.kind != "ack":
            return found.secret, ""  # a trigger may go out anew
        return known, "" if known else pinned

    async def _key_gone(self, lane: Lane, entry: Entry, mark: str, now: int) -> None:
        reason = f"the key {mark} that it was triggered with is gone: resolve it in PagerDuty"
        log.warning("%s: %s: %s", lane.destination, entry.notice.incident, reason)
        outcome = Permanent(reason)
        for changed in lane.outbox.settled(entry, outcome, now, 0):
            came: Came = "failed" if changed.id == entry.id else "skipped"
            await self._finish(lane, changed, came)

    async def _print(self, lane: Lane, entry: Entry, why: str, now: int) -> None:
        self._to.show(entry, why)
        done = replace(
            entry, state="sent", attempts=entry.attempts + 1, done_at=now, reason="printed"
        )
        await self._finish(lane, done, "printed")

    async def _finish(self, lane: Lane, entry: Entry, came: Came) -> None:
        """An entry is done without a request."""
        lane.outbox.put(entry)
        await self._kept(lane, entry)
        await self._record(_delivery(entry, came, self._time.clock()))

    async def _post(self, lane: Lane, entry: Entry, secret: Secret) -> None:
        """The request, and what comes of it. The entry is stored as being sent."""
        request = self._request(lane, entry, secret)
        while not self._to.may_send():
            await self._time.sleep(_PAUSE_S)
        self._bucket(lane, secret).take()
        began = self._time.clock()
        outcome = (
            request
            if isinstance(request, Permanent)
            else await send_once(
                self._client,
                request,
                self._secrets,
                clock=self._time.clock,
                timeout_s=self._time.timeout_s,
            )
        )
        await self._settle(lane, entry, outcome, began)

    def _request(self, lane: Lane, entry: Entry, secret: Secret) -> Request | Permanent:
        try:
            if lane.service == "slack":
                return self._slack_request(entry, secret)
            return self._pagerduty_request(entry, secret)
        except Exception as error:
            log.exception("notice %s cannot be written", entry.id)
            return Permanent(f"it cannot be written: {type(error).__name__}")

    def _slack_request(self, entry: Entry, secret: Secret) -> Request:
        write = slack.fallback if entry.text_alone else slack.message
        body = write(
            entry.notice,
            self.presentation.wording,
            self.presentation.addresses,
            possible_duplicate=entry.possible_duplicate,
        )
        return Request(
            service="slack",
            url=secret.value,
            body=msgspec.json.encode(body),
            text_alone=entry.text_alone,
        )

    def _pagerduty_request(self, entry: Entry, secret: Secret) -> Request:
        shown = self.presentation
        body = pagerduty.event(entry.notice, shown.wording, shown.addresses) or {}
        url = f"{shown.events_url.rstrip('/')}/v2/enqueue"
        return Request(service="pagerduty", url=url, body=pagerduty.keyed(body, secret.value))

    async def _settle(self, lane: Lane, entry: Entry, outcome: Outcome, began: int) -> None:
        """Keep what came of a request, first in memory, so that it is never sent twice for it."""
        now = self._time.clock()
        delay_s = self._delay_s(lane, entry, outcome)
        async with lane.lock:
            changed = lane.outbox.settled(entry, outcome, now, delay_s)
            for after in changed:
                lane.outbox.put(after)
            lane.circuit = lane.circuit.after(outcome, now, delay_s)
            for after in changed:
                await self._kept(lane, after)
        mine = next(after for after in changed if after.id == entry.id)
        await self._record(_attempted(mine, outcome, now, now - began))
        await self._record_skipped([after for after in changed if after.id != entry.id])
        await self._judge_lane(lane, entry, mine, outcome, now)

    def _delay_s(self, lane: Lane, entry: Entry, outcome: Outcome) -> float:
        if isinstance(outcome, Retry) and outcome.after_s is not None:
            return outcome.after_s
        return backoff_s(max(entry.attempts, lane.circuit.failures + 1), self._time.jitter())

    async def _judge_lane(
        self, lane: Lane, entry: Entry, after: Entry, outcome: Outcome, now: int
    ) -> None:
        """Whether the destination is broken, or works again."""
        if isinstance(outcome, Accepted):
            await self._mended(lane)
            return
        since = lane.circuit.failing_since
        unreachable = since is not None and now - since >= UNREACHABLE_MS
        if (after.state == "failed" or unreachable) and not lane.broken:
            lane.broken = entry.fingerprint
            self._to.meter.broken(lane.destination, yes=True)
            log.warning("%s is broken: %s", lane.destination, after.reason)
            await self._to.on_broken(lane.destination, after.reason)

    async def _mended(self, lane: Lane) -> None:
        if lane.broken is None:
            return
        lane.broken = None
        self._to.meter.broken(lane.destination, yes=False)
        await self._to.on_mended(lane.destination)

    async def _kept(self, lane: Lane, entry: Entry) -> None:
        """Store what has happened already, however long that takes."""
        while True:
            try:
                await self._to.store(entry)
            except Exception:
                log.exception("%s: %s is not stored yet", lane.destination, entry.id)
                await self._time.sleep(_PAUSE_S)
            else:
                return

    async def _record_skipped(self, entries: Iterable[Entry]) -> None:
        for entry in entries:
            if entry.state == "skipped":
                await self._record(_delivery(entry, "skipped", self._time.clock()))

    async def _record(self, delivery: Delivery) -> None:
        try:
            await self._to.record(delivery)
        except Exception:
            log.exception("the attempt of %s is not recorded", delivery.notice)

    async def _forget(self, lane: Lane, now: int) -> None:
        if now - lane.forgot_at < _FORGET_EVERY_MS:
            return
        lane.forgot_at = now
        async with lane.lock:
            for entry in lane.outbox.forgettable(now):
                await self._to.forget(entry)
                lane.outbox.drop(entry)

    def _tally(self, lane: Lane, now: int) -> None:
        """The queue's length and age, at most once a second while it is busy."""
        if now - lane.tallied_at < _TALLY_MS and lane.outbox.wait_ms(now) is not None:
            return
        lane.tallied_at = now
        length, since = lane.outbox.queue()
        age_s = 0.0 if since is None else (now - since) / 1000
        self._to.meter.queue(lane.destination, length, age_s)


def _rouse(lane: Lane) -> None:
    lane.idle.clear()
    lane.wake.set()


def _attempted(entry: Entry, outcome: Outcome, now: int, duration_ms: int) -> Delivery:
    came: Came = "failed" if entry.state == "failed" else _came(outcome)
    return replace(
        _delivery(entry, came, now),
        status=outcome.status,
        duration_ms=duration_ms,
        reason="" if isinstance(outcome, Accepted) else outcome.reason,
    )


def _came(outcome: Outcome) -> Came:
    if isinstance(outcome, Accepted):
        return "accepted"
    if isinstance(outcome, FallbackText):
        return "fallback"
    return "retry" if isinstance(outcome, Retry) else "failed"


def _delivery(entry: Entry, came: Came, now: int) -> Delivery:
    notice = entry.notice
    return Delivery(
        at=now,
        notice=notice.id,
        incident=notice.incident,
        destination=notice.destination,
        kind=notice.kind,
        attempt=entry.attempts,
        outcome=came,
        reason=entry.reason,
        fingerprint=entry.fingerprint,
        late_s=notice.late_s,
        notice_at=notice.at,
        possible_duplicate=entry.possible_duplicate,
    )
