"""Counting: digests into rows and ledgers, rows into the changelog, and only then acknowledged."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import NamedTuple

import faust
import msgspec

from app.clock import Clock
from app.config import Policy
from app.core import probes
from app.core.chunks import Digest, Message, Recounted, Watermark
from app.core.rows import Merged
from app.core.slos import Slo
from app.core.slots import GRAINS
from app.core.vitals import ALERTER
from app.metrics import Metrics
from app.stream.accounts import Account, Book
from app.stream.desk import Desk
from app.stream.pulse import Pulse
from app.stream.records import Records
from app.stream.recovery import lasting
from app.stream.standing import Standing
from app.stream.vigil import Vigil
from app.topics import partition_of

log = logging.getLogger(__name__)

EXPIRE_EVERY_MS = 60_000
WRITTEN_AT_ONCE = 200  # books

_decode = msgspec.json.Decoder(Message).decode


class Tables(NamedTuple):
    """The tables of the counting app: rows by grain with the months beside them, and states."""

    rows: dict[str, Records]
    states: Records


class Claims(NamedTuple):
    """What Kafka says of the partitions that are this worker's."""

    owned: Callable[[], set[int]]
    ends: Callable[[set[int]], Awaitable[dict[int, int]]]  # of the digests, as they are now


class Counting:
    """The accounts of the partitions that this worker owns, kept true."""

    def __init__(
        self,
        policy: Policy,
        desk: Desk,
        vigil: Vigil,
        metrics: Metrics,
        clock: Clock,
        pulse: Pulse,
        tables: Tables,
        claims: Claims,
    ) -> None:
        self._policy, self._desk, self._vigil = policy, desk, vigil
        self._metrics, self._clock, self._pulse = metrics, clock, pulse
        self._tables, self._states = tables.rows, tables.states
        self._claims = claims
        self._known_upto: dict[int, int] = {}  # where the digests ended when they became ours
        self._mine: dict[int, int] = {}  # partitions that are recovered: last heard of, ms
        self._books: dict[tuple[str, str], Book] = {}  # of definitions that are not judged by here
        self._moving_since: int | None = clock()  # None: recovered
        self._unwritten: list[faust.Event] = []
        self._probed_at = 0
        self._expired_at = 0
        self._writing = asyncio.Lock()

    async def revoke(self) -> None:
        """The partitions are moving: nothing here is ours until it is recovered."""
        self._moving_since = self._moving_since or self._clock()
        self._unwritten, self._mine, self._books = [], {}, {}
        self._vigil.close()
        await self._desk.close()

    async def recover(self) -> None:
        """Rebuild the accounts of the partitions that are ours now."""
        began, policy = time.monotonic(), self._policy
        for records in self._tables.values():
            records.recover()
        states = self._states.recover()
        mine = self._claims.owned()
        accounts: dict[str, Account] = {}
        for slo in policy.slos.values():
            if partition_of(slo.id) in mine:
                with lasting():
                    accounts[slo.id] = self._account(slo, policy, self._standing(slo.id))
                await asyncio.sleep(0)
        log.info(
            "recovered %s of %s SLOs in %.2f s",
            len(accounts),
            len(policy.slos),
            time.monotonic() - began,
        )
        self._known_upto = await self._claims.ends(mine)
        self._mine, self._books = dict.fromkeys(mine, self._clock()), {}
        self._moving_since = None
        await self._desk.open(accounts)
        own = self._standing(ALERTER, self._vigil.spare.values())
        await self._vigil.open(own if partition_of(ALERTER) in mine else None)
        for name in states:
            if partition_of(name) in mine and name not in {*policy.slos, ALERTER}:
                await self._desk.retire(self._standing(name))
        if self._policy is not policy:  # it has changed while this was going on
            await self.take_over(self._policy)

    async def take_over(self, policy: Policy) -> None:
        """Judge by another policy: what it does not change goes on, what is new is filled."""
        async with self._writing:
            self._policy = policy
            self._vigil.take_over(policy)
            before = self._desk.accounts
            if not self._mine:
                return  # whoever recovers them does it by the new policy
            after = {
                slo.id: self._successor(slo, policy, before.get(slo.id))
                for slo in policy.slos.values()
                if partition_of(slo.id) in self._mine
            }
            for account in before.values():  # what it has not written yet is still to be written
                if after.get(account.slo_id) is not account:
                    self._books[account.slo_id, account.fingerprint] = account
            await self._desk.change(after)
            for slo, account in before.items():
                if slo not in after:
                    await self._desk.retire(account.standing, account)

    def _successor(self, slo: Slo, policy: Policy, before: Account | None) -> Account:
        if before is None:
            return self._account(slo, policy, self._standing(slo.id))
        if before.fingerprint != slo.definition.fingerprint():
            return self._account(slo, policy, before.standing)
        before.adopt(slo, policy.ownership.routes[slo.id])
        return before

    def _standing(self, slo: str, kept: Sequence[bytes] = ()) -> Standing:
        standing = Standing(slo, self._states, self._pulse)
        standing.recover([*self._states.get(slo), *kept])
        return standing

    def _account(self, slo: Slo, policy: Policy, standing: Standing) -> Account:
        """An account of what is counted by its definition already."""
        account = Account(slo, policy.ownership.routes[slo.id], self._tables, standing)
        book = self._books.pop((slo.id, account.fingerprint), None)
        news = book.news() if book is not None else {}
        for table, values in news.items():
            self._tables[table].keep(values)
        account.recover()
        account.still_news(news)
        return account

    @property
    def progress_at(self) -> int:
        """When the partition was heard of that has been silent for longest, ms.

        Each by itself: Faust can stop reading one after a rebalance and go on with the others.
        """
        if self._moving_since is not None:
            return self._moving_since
        return min(self._mine.values(), default=self._clock())

    async def take(self, event: faust.Event) -> None:
        """One message of `slo.digests`; acknowledged when Kafka has what came of it."""
        partition = event.message.partition
        if partition in self._mine:
            self._mine[partition] = self._clock()
        elif self._moving_since is None and partition in self._claims.owned():
            raise RuntimeError(f"partition {partition} is ours and was not recovered")
        message = _decode(event.value)
        if isinstance(message, Watermark):
            self._acknowledge_later(event)
            if self._speaks_of_now(event):
                await self._desk.hear(message, partition)
            return
        if partition not in self._mine:
            return  # its partition has moved on: whoever has it now reads this again
        self._acknowledge_later(event)
        account = self._desk.accounts.get(message.slo)
        if isinstance(message, Recounted):
            await self._recounted(account, message)
            return
        if account is None or account.fingerprint != message.definition:
            if message.slo != ALERTER:
                self._metrics.digests.labels("unknown").inc()
            self._book(message).take(message)
            return
        self._merge(account, message)
        await self._desk.touched(account)
        if account.is_full:
            await self.write()

    def _speaks_of_now(self, event: faust.Event) -> bool:
        """Whether a watermark stands behind all that anybody can have judged before us.

        One that is read again may stand before a digest that is in the state, but not yet in the
        rows: to judge by it would end an incident that goes on.
        """
        message = event.message
        return bool(message.offset >= self._known_upto.get(message.partition, 0))

    def _acknowledge_later(self, event: faust.Event) -> None:
        """Until then only its place in the log is needed: what it said may be a megabyte."""
        event.value = event.message.value = None
        self._unwritten.append(event)

    def _book(self, digest: Digest) -> Book:
        """Where digests of a definition go that is not judged by here, or not yet.

        Intake and count learn of a change one after the other: what is told meanwhile is kept.
        """
        key = (digest.slo, digest.definition)
        if key not in self._books:
            self._books[key] = Book(*key, self._tables)
        return self._books[key]

    async def _recounted(self, account: Account | None, message: Recounted) -> None:
        """What is left out has been recounted so far: its rows are written before it counts."""
        if account is not None:
            async with self._writing:
                await self._write_book(account)
            await self._desk.recounted(account, message)

    def _merge(self, account: Account, digest: Digest) -> None:
        before = account.ledger.counted
        outcomes = account.take(digest)
        self._metrics.count_slo(digest.slo, account.ledger.counted.minus(before))
        for outcome in outcomes:
            self._metrics.digests.labels(outcome.value).inc()
            if outcome is Merged.OVERLAP:
                log.error(
                    "a digest overlaps what is counted already and is refused: %s %s [%s, %s)",
                    digest.slo,
                    digest.source,
                    digest.start,
                    digest.upto,
                )

    async def write(self) -> None:
        """Write the rows that are news, then acknowledge the digests that made them."""
        async with self._writing:
            self._pulse.check()
            events, self._unwritten = self._unwritten, []
            accounts, probed_at = self._desk.accounts, self._newest_probe()
            try:
                news = [b for b in (*accounts.values(), *self._books.values()) if b.is_news]
                for begin in range(0, len(news), WRITTEN_AT_ONCE):
                    await self._write_books(news[begin : begin + WRITTEN_AT_ONCE])
                    if self._desk.accounts is not accounts:
                        return  # the partitions have moved: what is left is another's to write
            except BaseException:
                self._unwritten = [*events, *self._unwritten]
                raise
            await self._expire()
            for event in events:
                event.ack()
            self._probed_at = probed_at

    def _newest_probe(self) -> int:
        book = self._books.get((ALERTER, probes.FINGERPRINT))
        return 0 if book is None else book.ledger.last_bad_at(self._clock())

    @property
    def probed_at(self) -> int:
        """When the newest probe was made that is stored and that all is judged behind, ms; or 0."""
        return self._probed_at if self._desk.has_judged(self._probed_at) else 0

    async def _write_books(self, books: list[Book]) -> None:
        """Side by side: each alone would wait for Kafka's answer. Raises the first that fails."""
        outcomes = await asyncio.gather(*map(self._write_book, books), return_exceptions=True)
        for outcome in outcomes:
            if outcome is not None:
                raise outcome

    async def _write_book(self, book: Book) -> None:
        news = book.news()
        for table, values in news.items():  # all at once: a row that leaves the cache is read here
            self._tables[table].keep(values)
        try:
            for table, values in news.items():
                if values:
                    await self._tables[table].put(partition_of(book.slo_id), values)
        except BaseException:
            book.still_news(news)
            raise

    async def _expire(self) -> None:
        accounts = list(self._desk.accounts.values())
        now = max((account.standing.state.judged_at for account in accounts), default=0)
        if now - self._expired_at < EXPIRE_EVERY_MS:
            return
        self._expired_at = now
        for account in accounts:  # by its own time: in a fast replay others are hours ahead
            if not self._desk.is_filling(account):  # half of what is forgotten would be sealed
                account.seal(account.standing.state.judged_at)
                await self._write_book(account)  # what is forgotten is written first
                await self._expire_book(account, account.standing.state.judged_at)
            await asyncio.sleep(0)  # with many SLOs others go on in between
        known = {(account.slo_id, account.fingerprint) for account in accounts}
        earliest = min(account.standing.state.judged_at for account in accounts)
        for key in self._counted() - known:
            await self._expire_book(self._books.get(key) or Book(*key, self._tables), earliest)

    def _counted(self) -> set[tuple[str, str]]:
        """Every SLO and definition that has a row here."""
        tables = [self._tables[grain] for grain in GRAINS]
        found = {name.rpartition("/")[0] for table in tables for name in table.names()}
        return {
            (slo, fingerprint) for slo, _, fingerprint in (one.rpartition("/") for one in found)
        }

    async def _expire_book(self, book: Book, now_ms: int) -> None:
        book.ledger.expire(now_ms)
        for table, names in book.expired(now_ms):
            await self._tables[table].delete(partition_of(book.slo_id), names)
