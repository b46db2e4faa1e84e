"""The lane to one destination: its queue, its pace, its sender. A task of its own.

It stores before it sends and after it was answered; a lane that hangs or breaks holds up no other.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Literal

from msgspec.structs import replace

from app.core.notices import Notice
from app.delivery import outbox, pagerduty, redirects, requests
from app.delivery.deliveries import Came, Delivery, attempted, decided
from app.delivery.outbox import Entry, Outbox
from app.delivery.outcomes import Accepted, Outcome, Permanent, Retry, backoff_s
from app.delivery.pace import CLOSED, Circuit
from app.delivery.secrets import SIGNING_SECRET, Found, Secret, service_of
from app.delivery.sender import Request, send_once
from app.delivery.surroundings import Surroundings

log = logging.getLogger(__name__)

UNREACHABLE_MS = 15 * 60 * 1000
"""A destination that has accepted nothing for so long is told of as broken."""

_PAUSE_S = 1.0  # after an error of our own, and while we may not send
_FORGET_EVERY_MS = 10 * 60 * 1000
_TALLY_MS = 1000
GATHER_MS = 3000
"""So long a crowded channel waits, so that one message holds all that comes at once."""

_AT_ONCE = 200  # messages to Kafka, of a group
_LONGEST_SLEEP_S = 1.0  # then the clock is read again: it may have been set meanwhile


class Lane:
    """Sends what it is offered to one destination, in order for each incident, at least once."""

    def __init__(self, destination: str, surroundings: Surroundings) -> None:
        self.destination = destination
        self.service = service_of(destination)
        self.outbox = Outbox()
        self.idle = asyncio.Event()
        self._around = surroundings
        self._circuit: Circuit = CLOSED
        self._broken: str | None = ""  # fingerprint it broke with; "": not known; None: it works
        self._lock = asyncio.Lock()  # held while a decision is made durable
        self._wake = asyncio.Event()
        self._forgot_at = 0
        self._tallied_at = 0
        self._crowded_since: int | None = None
        self._unmarked: list[Entry] = []
        self.task = asyncio.create_task(self._serve(), name=f"deliver {destination}")

    async def offer(self, notice: Notice) -> None:
        """Take over a notice: when this returns it is stored."""
        stale_after_ms = self._around.time.stale_after_ms
        async with self._lock:
            now = self._around.time.clock()
            changed = self.outbox.offered(notice, now, stale_after_ms=stale_after_ms)
            for entry in changed:
                await self._around.to.store(entry)
            for entry in changed:
                self.outbox.put(entry)
        await self._record_others(changed)
        self._rouse()

    def restore(self, entries: Iterable[Entry]) -> None:
        """Go on with what was stored."""
        for entry in sorted(entries, key=lambda entry: entry.seq):
            self.outbox.put(entry)
        self._unmarked = self.outbox.unmarked()
        for entry in self._unmarked:
            self.outbox.put(entry)
        self._rouse()

    def _rouse(self) -> None:
        self.idle.clear()
        self._wake.set()

    async def _serve(self) -> None:
        while True:
            try:
                wait_s = await self._turn()
            except Exception:  # a lane never ends; the error is logged and it goes on
                log.exception("%s: delivery stumbles and goes on", self.destination)
                wait_s = _PAUSE_S
            if wait_s is None or wait_s > 0:
                await self._park(wait_s)

    async def _park(self, wait_s: float | None) -> None:
        """Wait for news or for time to pass."""
        if not self._wake.is_set():
            self.idle.set()
            waits = [asyncio.ensure_future(self._wake.wait())]
            if wait_s is not None:
                waits.append(asyncio.ensure_future(self._slept(min(wait_s, _LONGEST_SLEEP_S))))
            try:
                await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for wait in waits:
                    wait.cancel()
        self.idle.clear()
        self._wake.clear()

    async def _slept(self, seconds: float) -> Literal[True]:
        await self._around.time.sleep(seconds)
        return True

    async def _turn(self) -> float | None:
        """Send one notice. Gives the seconds to wait before the next turn; None: until news."""
        now = self._around.time.clock()
        await self._mark()
        await self._forget(now)
        self._tally(now)
        if left_ms := await self._gather(now):
            return left_ms / 1000
        wait_ms = self.outbox.wait_ms(now)
        if wait_ms != 0:
            return None if wait_ms is None else wait_ms / 1000
        if not self._around.to.may_send():
            return _PAUSE_S
        found = await self._found()
        if wait_s := self._wait_s(found, now):
            return wait_s
        await self._deliver(found)
        return 0

    def _wait_s(self, found: Found, now: int) -> float:
        if found.secret is None:
            return 0
        bucket = self._around.bucket(self.destination, found.secret)
        return max(self._circuit.wait_s(now), bucket.wait_s())

    async def _mark(self) -> None:
        """Store what a group had told before a stop."""
        unmarked, self._unmarked = self._unmarked, []
        await self._all_kept(unmarked)

    async def _gather(self, now: int) -> int:
        """Where too much waits, make a group of it; the ms to wait until then."""
        if self.service != "slack" or not self.outbox.crowded or not self._sends():
            self._crowded_since = None
            return 0
        if self._crowded_since is None:
            self._crowded_since = now
        if (left_ms := self._crowded_since + GATHER_MS - now) > 0:
            return left_ms
        async with self._lock:
            group = self.outbox.grouped(self.destination, now)
            await self._around.to.store(group)
            self.outbox.put(group)
        return 0

    def _sends(self) -> bool:
        """There is a secret: what is only printed has no pace to keep."""
        return self._around.secrets.lookup(self.destination).secret is not None

    async def _found(self) -> Found:
        """The destination's secret now. A changed one may work where the old one did not."""
        found = self._around.secrets.lookup(self.destination)
        self._around.to.meter.configured(self.destination, yes=found.secret is not None)
        if self._broken and found.secret and found.secret.fingerprint != self._broken:
            self._circuit = CLOSED
            await self._mended()
        return found

    async def _deliver(self, found: Found) -> None:
        """Send, print or skip the notice whose turn it is."""
        async with self._lock:
            now = self._around.time.clock()
            entry = self.outbox.next(now)
            if entry is None:
                return
            if self.service == "pagerduty" and pagerduty.action(entry.notice) is None:
                why = f"PagerDuty is not told of this {entry.notice.kind}"
                await self._finish(outbox.skipped(entry, now, why), "skipped")
                return
            if found.secret is None and self.service == "heartbeat":
                await self._finish(outbox.skipped(entry, now, found.hint), "skipped")
                return
            if entry.ts and found.secret and found.secret.way != "bot":
                await self._finish(outbox.skipped(entry, now, ""), "updated")
                return
            secret, gone = self._secret_for(entry, found)
            if gone:
                await self._key_gone(entry, gone, now)
                return
            if secret is None:
                await self._print(entry, found.hint, now)
                return
            root = self.outbox.root(entry) if secret.way == "bot" else None
            entry = outbox.sending(entry, secret.fingerprint, now, root)
            await self._around.to.store(entry)
            self.outbox.put(entry)
        await self._post(entry, secret)

    def _secret_for(self, entry: Entry, found: Found) -> tuple[Secret | None, str]:
        """The secret to use; for PagerDuty the one that the alert was opened with.

        Gives that one's fingerprint besides where it is known no more: with another key a resolve
        is silently dropped.
        """
        if self.service != "pagerduty":
            return found.secret, ""
        pinned = entry.fingerprint if entry.possible_duplicate else ""
        if entry.closes or entry.notice.kind == "ack":
            pinned = pinned or self.outbox.opened_with(entry)
        if not pinned or (found.secret and found.secret.fingerprint == pinned):
            return found.secret, ""
        known = self._around.secrets.known(self.service, pinned)
        if known is None and not entry.closes and entry.notice.kind != "ack":
            return found.secret, ""  # a trigger may go out anew
        return known, "" if known else pinned

    async def _key_gone(self, entry: Entry, mark: str, now: int) -> None:
        reason = f"the key {mark} that it was triggered with is gone: resolve it in PagerDuty"
        log.warning("%s: %s: %s", self.destination, entry.notice.incident, reason)
        outcome = Permanent(reason)
        for changed in self.outbox.settled(entry, outcome, now, 0):
            came: Came = "failed" if changed.id == entry.id else "skipped"
            await self._send_elsewhere(changed)
            await self._finish(changed, came)

    async def _print(self, entry: Entry, why: str, now: int) -> None:
        self._around.to.show(entry, why)
        for changed in self.outbox.settled(entry, Accepted(), now, 0):
            printed = changed.id == entry.id
            reason = "printed" if printed else changed.reason
            done = replace(changed, attempts=changed.attempts + printed, reason=reason)
            await self._finish(done, "printed" if printed else _came_of(changed))

    async def _finish(self, entry: Entry, came: Came) -> None:
        """An entry is done without a request."""
        self.outbox.put(entry)
        await self._kept(entry)
        await self._record(decided(entry, came, self._around.time.clock()))

    async def _post(self, entry: Entry, secret: Secret) -> None:
        """The request, and what comes of it. The entry is stored as being sent."""
        request = self._request(entry, secret)
        while not self._around.to.may_send():
            await self._around.time.sleep(_PAUSE_S)
        self._around.bucket(self.destination, secret).take()
        began = self._around.time.clock()
        outcome = (
            request
            if isinstance(request, Permanent)
            else await send_once(
                self._around.client,
                request,
                self._around.secrets,
                clock=self._around.time.clock,
                timeout_s=self._around.time.timeout_s,
            )
        )
        call = request.call if isinstance(request, Request) else ""
        await self._settle(entry, outcome, began, call)

    def _request(self, entry: Entry, secret: Secret) -> Request | Permanent:
        buttons = self._around.secrets.is_set(SIGNING_SECRET)
        try:
            draft = self.outbox.draft(entry)
            return requests.request(draft, secret, self._around.presentation, buttons=buttons)
        except Exception as error:
            log.exception("notice %s cannot be written", entry.id)
            return Permanent(f"it cannot be written: {type(error).__name__}")

    async def _settle(self, entry: Entry, outcome: Outcome, began: int, call: str) -> None:
        """Keep what came of a request, first in memory, so that it is never sent twice for it.

        What failed is sent elsewhere before that is stored: after a stop in between it fails once
        more, and whoever has it by then knows its id.
        """
        now = self._around.time.clock()
        delay_s = self._delay_s(entry, outcome)
        async with self._lock:
            changed = self.outbox.settled(entry, outcome, now, delay_s)
            for after in changed:
                self.outbox.put(after)
            self._circuit = self._circuit.after(outcome, now, delay_s)
            for after in changed:
                await self._send_elsewhere(after)
            await self._all_kept(changed)
        mine = next(after for after in changed if after.id == entry.id)
        await self._record(attempted(mine, outcome, now, now - began, call))
        await self._record_others([after for after in changed if after.id != entry.id])
        await self._judge_lane(entry, mine, outcome, now)

    def _delay_s(self, entry: Entry, outcome: Outcome) -> float:
        if isinstance(outcome, Retry) and outcome.after_s is not None:
            return outcome.after_s
        return backoff_s(
            max(entry.attempts, self._circuit.failures + 1), self._around.time.jitter()
        )

    async def _judge_lane(self, entry: Entry, after: Entry, outcome: Outcome, now: int) -> None:
        """Whether the destination is broken, or works again."""
        if isinstance(outcome, Accepted):
            await self._mended()
            return
        since = self._circuit.failing_since
        unreachable = since is not None and now - since >= UNREACHABLE_MS
        if (after.state == "failed" or unreachable) and not self._broken:
            self._broken = entry.fingerprint
            self._around.to.meter.broken(self.destination, yes=True)
            log.warning("%s is broken: %s", self.destination, after.reason)
            await self._around.to.on_broken(self.destination, after.reason)

    async def _mended(self) -> None:
        if self._broken is None:
            return
        self._broken = None
        self._around.to.meter.broken(self.destination, yes=False)
        await self._around.to.on_mended(self.destination)

    async def _send_elsewhere(self, entry: Entry) -> None:
        """What has failed for good goes to whoever is told instead."""
        if entry.state != "failed":
            return
        notice = redirects.instead(entry.notice, entry.reason, self._around.presentation.elsewhere)
        if notice is not None:
            log.warning("%s goes to %s instead", entry.id, notice.destination)
            await self._done(lambda: self._around.to.hand_over(notice), f"{notice.id} on its way")

    async def _all_kept(self, entries: Sequence[Entry]) -> None:
        """Store what has happened already, however long that takes."""
        for begin in range(0, len(entries), _AT_ONCE):
            await asyncio.gather(*map(self._kept, entries[begin : begin + _AT_ONCE]))

    async def _kept(self, entry: Entry) -> None:
        await self._done(lambda: self._around.to.store(entry), f"{entry.id} stored")

    async def _done(self, act: Callable[[], Awaitable[None]], what: str) -> None:
        """Do it until it is done."""
        while True:
            try:
                await act()
            except Exception:
                log.exception("%s: not yet %s", self.destination, what)
                await self._around.time.sleep(_PAUSE_S)
            else:
                return

    async def _record_others(self, entries: Iterable[Entry]) -> None:
        """What became of entries that no request was made for."""
        now = self._around.time.clock()
        told = [decided(one, _came_of(one), now) for one in entries if one.finished]
        for begin in range(0, len(told), _AT_ONCE):
            await asyncio.gather(*map(self._record, told[begin : begin + _AT_ONCE]))

    async def _record(self, delivery: Delivery) -> None:
        try:
            await self._around.to.record(delivery)
        except Exception:
            log.exception("the attempt of %s is not recorded", delivery.notice)

    async def _forget(self, now: int) -> None:
        if now - self._forgot_at < _FORGET_EVERY_MS:
            return
        self._forgot_at = now
        async with self._lock:
            for entry in self.outbox.forgettable(now):
                await self._around.to.forget(entry)
                self.outbox.drop(entry)

    def _tally(self, now: int) -> None:
        """The queue's length and age, at most once a second while it is busy."""
        if now - self._tallied_at < _TALLY_MS and self.outbox.wait_ms(now) is not None:
            return
        self._tallied_at = now
        length, since = self.outbox.queue()
        age_s = 0.0 if since is None else (now - since) / 1000
        self._around.to.meter.queue(self.destination, length, age_s)


def _came_of(entry: Entry) -> Came:
    """What became of an entry without a request of its own."""
    if entry.state == "sent":
        return "updated" if entry.ts else "grouped"
    return "failed" if entry.state == "failed" else "skipped"
