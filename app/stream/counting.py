"""Counting: digests into rows and ledgers, rows into the changelog, and only then acknowledged."""

import asyncio
import logging
import time
from collections.abc import Callable
from typing import NamedTuple

import faust
import msgspec

from app.clock import Clock
from app.config import Policy
from app.core.chunks import Digest, Message, Watermark
from app.core.rows import Merged
from app.core.vitals import ALERTER
from app.metrics import Metrics
from app.stream.accounts import Account
from app.stream.desk import Desk
from app.stream.pulse import Pulse
from app.stream.records import Records
from app.stream.standing import Standing
from app.stream.vigil import Vigil
from app.topics import partition_of

log = logging.getLogger(__name__)

EXPIRE_EVERY_MS = 60_000

_decode = msgspec.json.Decoder(Message).decode


class Tables(NamedTuple):
    """The tables of the counting app: rows by grain with the months beside them, and states."""

    rows: dict[str, Records]
    states: Records


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
        owned: Callable[[], set[int]],
    ) -> None:
        self._policy, self._desk, self._vigil = policy, desk, vigil
        self._metrics, self._clock, self._pulse = metrics, clock, pulse
        self._tables, self._states = tables.rows, tables.states
        self._owned = owned
        self.progress_at = clock()
        self._unwritten: list[faust.Event] = []
        self._expired_at = 0
        self._writing = asyncio.Lock()

    async def revoke(self) -> None:
        """The partitions are moving: nothing here is ours until it is recovered."""
        self._unwritten = []
        self._vigil.close()
        await self._desk.close()

    async def recover(self) -> None:
        """Rebuild the accounts of the partitions that are ours now."""
        began = time.monotonic()
        found = {name: records.recover() for name, records in self._tables.items()}
        states = self._states.recover()
        mine = self._owned()
        accounts: dict[str, Account] = {}
        for slo in self._policy.slos.values():
            if partition_of(slo.id) in mine:
                route = self._policy.ownership.routes[slo.id]
                standing = Standing(slo.id, self._states, self._pulse)
                accounts[slo.id] = Account(slo, route, self._tables, standing)
                accounts[slo.id].recover(found, states)
                await asyncio.sleep(0)
        own = None
        if partition_of(ALERTER) in mine:
            own = Standing(ALERTER, self._states, self._pulse)
            own.recover(states.get(ALERTER, []))
        log.info(
            "recovered %s of %s SLOs in %.2f s",
            len(accounts),
            len(self._policy.slos),
            time.monotonic() - began,
        )
        await self._desk.open(accounts)
        await self._vigil.open(own)

    async def take(self, event: faust.Event) -> None:
        """One message of `slo.digests`; acknowledged when Kafka has what came of it."""
        self.progress_at = self._clock()
        message = _decode(event.value)
        if isinstance(message, Watermark):
            self._unwritten.append(event)
            await self._desk.hear(message, event.message.partition)
            return
        account = self._desk.accounts.get(message.slo)
        if account is None and message.slo in self._policy.slos:
            return  # its partition has moved on: whoever has it now reads this again
        self._unwritten.append(event)
        if account is None or account.fingerprint != message.definition:
            self._metrics.digests.labels("unknown").inc()
            return
        self._merge(account, message)
        await self._desk.touched(account)

    def _merge(self, account: Account, digest: Digest) -> None:
        for outcome in account.take(digest):
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
            accounts = self._desk.accounts
            try:
                for account in accounts.values():
                    await self._write_account(account)
                    if self._desk.accounts is not accounts:
                        return  # the partitions have moved: what is left is another's to write
            except BaseException:
                self._unwritten = [*events, *self._unwritten]
                raise
            await self._expire()
            for event in events:
                event.ack()

    async def _write_account(self, account: Account) -> None:
        news = account.news()
        for table, values in news.items():  # all at once: a row that leaves the cache is read here
            self._tables[table].keep(values)
        try:
            for table, values in news.items():
                if values:
                    await self._tables[table].put(partition_of(account.slo.id), values)
        except BaseException:
            account.still_news(news)
            raise

    async def _expire(self) -> None:
        accounts = list(self._desk.accounts.values())
        now = max((account.standing.state.judged_at for account in accounts), default=0)
        if now - self._expired_at < EXPIRE_EVERY_MS:
            return
        self._expired_at = now
        for account in accounts:  # by its own time: in a fast replay others are hours ahead
            judged_at = account.standing.state.judged_at
            account.seal(judged_at)
            await self._write_account(account)  # what is forgotten is written first
            account.ledger.expire(judged_at)
            for table, names in account.expired(judged_at):
                await self._tables[table].delete(partition_of(account.slo.id), names)
