"""Count and judge: digests into rows, rows into judgements, judgements to whoever shall know."""

import asyncio
import logging
import os
import time
from collections.abc import Callable
from typing import Any

import faust
import msgspec
from msgspec.structs import replace

from app.clock import Clock
from app.config import Policy
from app.core import judge as judging
from app.core import status
from app.core.chunks import Digest, Message, Watermark
from app.core.judge import Command, Judged
from app.core.rows import Merged
from app.core.watermarks import Board
from app.metrics import Metrics
from app.settings import Settings
from app.stream.accounts import Account
from app.stream.publisher import Publisher
from app.stream.pulse import Asleep, Pulse
from app.stream.records import Records
from app.topics import partition_of

log = logging.getLogger(__name__)

STATUS_EVERY_MS = 10_000
EXPIRE_EVERY_MS = 60_000
EXIT_RESTART = 75  # the supervisor starts the worker again

_decode = msgspec.json.Decoder(Message).decode
_commands = msgspec.json.Decoder(Command)
_encode = msgspec.json.Encoder().encode


class Counting:
    """What one worker counts and judges: the accounts of the partitions it owns."""

    def __init__(  # noqa: PLR0913 - the composition root hands over what it made
        self,
        settings: Settings,
        policy: Policy,
        metrics: Metrics,
        clock: Clock,
        tables: dict[str, Records],
        states: Records,
        publisher: Publisher,
        pulse: Pulse,
        owned: Callable[[], set[int]],
    ) -> None:
        self._settings, self._policy = settings, policy
        self._metrics, self._clock = metrics, clock
        self._tables, self._states = tables, states
        self._publisher = publisher
        self._owned = owned
        self.board = Board()
        self.pulse = pulse
        self.accounts: dict[str, Account] = {}
        self.ready = False
        self.progress_at = clock()
        self._unwritten: list[faust.Event] = []
        self._published: dict[str, int] = {}
        self._stored: dict[str, int] = {}
        self._expired_at = 0
        self._writing = asyncio.Lock()

    def revoke(self) -> None:
        """The partitions are moving: nothing here is ours until it is recovered."""
        self.ready = False
        self.accounts = {}
        self._unwritten = []

    async def recover(self) -> None:
        """Rebuild the accounts of the partitions that are ours now."""
        began = time.monotonic()
        found = {name: records.recover() for name, records in self._tables.items()}
        states = self._states.recover()
        mine = self._owned()
        accounts: dict[str, Account] = {}
        for slo in self._policy.slos.values():
            if partition_of(slo.id) in mine:
                account = Account(slo, self._policy.ownership.routes[slo.id], self._tables, self._states)
                account.recover(found, states)
                accounts[slo.id] = account
                await asyncio.sleep(0)
        self.accounts = accounts
        self._published.clear()
        self._stored.clear()
        self.ready = True
        log.info(
            "recovered %s SLOs in %.2f s: %s", len(accounts), time.monotonic() - began, sorted(accounts)
        )
        for account in accounts.values():
            await self._store(account)
            self._publisher.notices(account.state.unsent, account.handed_over)

    async def take(self, event: faust.Event) -> None:
        """One message of `slo.digests`; acknowledged when Kafka has what came of it."""
        self.progress_at = self._clock()
        message = _decode(event.value)
        if isinstance(message, Watermark):
            await self._take_watermark(message)
            self._unwritten.append(event)
            return
        account = self.accounts.get(message.slo)
        self._unwritten.append(event)
        if account is None or account.fingerprint != message.definition:
            self._metrics.digests.labels("unknown").inc()
            return
        self._merge(account, message)
        if not self._settings.replay:
            await self._judge_now(account)

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

    async def _take_watermark(self, watermark: Watermark) -> None:
        self.board.take(watermark)
        if self._settings.replay:
            for account in list(self.accounts.values()):
                await self._judge_now(account)

    async def obey(self, event: faust.Event) -> None:
        """One operator's command."""
        command = _commands.decode(event.value)
        account = self.accounts.get(command.slo)
        now = self.board.judge_time(self._clock(), replay=self._settings.replay)
        if account is not None and now is not None:
            now = max(now, account.state.judged_at)
            judged = judging.obey(
                account.slo, account.route, account.state, account.ledger, command, now
            )
            await self._carry_out(account, judged, now)
        event.ack()

    async def tick(self) -> None:
        """Once a second: time passes for every SLO, and what was counted is written."""
        try:
            self.pulse.beat()
        except Asleep as asleep:
            log.critical("%s; it starts again", asleep)
            os._exit(EXIT_RESTART)
        if not self.ready:
            return
        if not self._settings.replay:
            for account in list(self.accounts.values()):
                await self._judge_now(account)
        await self.write()

    async def _judge_now(self, account: Account) -> None:
        now = self.board.judge_time(self._clock(), replay=self._settings.replay)
        if not self.ready or now is None or now < account.state.judged_at:
            return
        if not account.state.caught_up:
            if not self._settings.replay and not self._caught_up(account):
                self._show_unjudged(account, now)
                return
            account.state = replace(account.state, caught_up=True)
        began = time.perf_counter()
        judged = judging.judge(account.slo, account.route, account.state, account.ledger, now)
        self._metrics.judge_seconds.observe(time.perf_counter() - began)
        await self._carry_out(account, judged, now)

    def _caught_up(self, account: Account) -> bool:
        heard = self.board.heartbeat is not None or account.ledger.first_slot() is not None
        return heard and self.board.caught_up(self._clock())

    def _show_unjudged(self, account: Account, now: int) -> None:
        """Before the first catch-up: figures, but no judgement."""
        if now - self._published.get(account.slo.id, 0) < STATUS_EVERY_MS:
            return
        seen = judging.figures.read(account.slo, account.ledger, now)
        self._publish(account, Judged(state=account.state, figures=seen, signals=(), notices=(), changed=()), now)

    async def _carry_out(self, account: Account, judged: Judged, now: int) -> None:
        before, after = account.state, judged.state
        if judged.news:
            after = replace(after, unsent=(*before.unsent, *judged.notices))
        account.state = after
        if judged.news:
            await self._store(account)
            self._publisher.notices(judged.notices, account.handed_over)
            for incident in judged.changed:
                self._publisher.alert(
                    incident.key, status.of_incident(account.slo, incident, account.ledger, now)
                )
            self._count_changes(account, judged)
        elif _rules_moved(before, after) or now - self._stored.get(account.slo.id, 0) > STATUS_EVERY_MS:
            await self._store(account)
        if judged.news or now - self._published.get(account.slo.id, 0) >= STATUS_EVERY_MS:
            self._publish(account, judged, now)

    def _count_changes(self, account: Account, judged: Judged) -> None:
        for kind in {notice.kind for notice in judged.notices}:
            self._metrics.incident_changes.labels(account.slo.id, kind).inc()

    async def _store(self, account: Account) -> None:
        """Store the state before anybody hears of what it decided."""
        self.pulse.check()
        account.state = replace(account.state, version=account.state.version + 1)
        self._stored[account.slo.id] = account.state.judged_at
        slo = account.slo.id
        await self._states.put(partition_of(slo), {slo: account.encoded_state()})

    def _publish(self, account: Account, judged: Judged, now: int) -> None:
        self._published[account.slo.id] = now
        wall = self._clock()
        document = status.of_slo(
            account.slo, account.route, account.state, judged.figures, judged.signals, account.ledger
        )
        lag = self.board.lag_ms(wall)
        document["lag_s"] = None if lag is None else lag / 1000
        self._publisher.status(account.slo.id, document)
        for incident in account.state.lanes.values():
            if incident.open and not judged.changed:
                self._publisher.alert(
                    incident.key, status.of_incident(account.slo, incident, account.ledger, now)
                )

    async def write(self) -> None:
        """Write the rows that are news, then acknowledge the digests that made them."""
        async with self._writing:
            self.pulse.check()
            events, self._unwritten = self._unwritten, []
            for account in list(self.accounts.values()):
                partition = partition_of(account.slo.id)
                for table, values in account.written().items():
                    if values:
                        await self._tables[table].put(partition, values)
            await self._expire()
            for event in events:
                event.ack()

    async def _expire(self) -> None:
        now = max((a.state.judged_at for a in self.accounts.values()), default=0)
        if now - self._expired_at < EXPIRE_EVERY_MS:
            return
        self._expired_at = now
        for account in list(self.accounts.values()):
            account.ledger.expire(now)
            for table, names in account.expired(now):
                await self._tables[table].delete(partition_of(account.slo.id), names)


def _rules_moved(before: Any, after: Any) -> bool:  # noqa: ANN401
    return {r: s.state for r, s in before.rules.items()} != {
        r: s.state for r, s in after.rules.items()
    } or before.caught_up != after.caught_up
