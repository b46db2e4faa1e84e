"""The desk where judgements are made and carried out: stored first, then told."""

import asyncio
import logging
import time
from contextlib import suppress
from typing import Any

from msgspec.structs import replace

from app.clock import Clock
from app.core import figures, operating, retirement, status, vitals
from app.core import judge as judging
from app.core.chunks import Recounted, Watermark
from app.core.commands import Command
from app.core.corrections import Applied
from app.core.incidents import Incident
from app.core.judge import Judged, SloState
from app.core.slots import FINE_S
from app.core.watermarks import Board
from app.metrics import Metrics
from app.stream.accounts import Account
from app.stream.publisher import Publisher
from app.stream.standing import Standing, store
from app.topics import PARTITIONS, partition_of

log = logging.getLogger(__name__)

STATUS_EVERY_S = 10.0
REPLAY_STATUS_EVERY_S = 0.5
SHOWN_AGAIN_MS = 3_600_000  # later than that nothing of it can be on its way
BREATH, STORED_AT_ONCE = 20, 200  # SLOs: where there are thousands, a page waits for no more
LAST_STORE_S = 3.0  # how long partitions that move wait for what is being stored


class Desk:
    """Judges the accounts it is given, at a judge time that the watermarks tell."""

    def __init__(
        self,
        publisher: Publisher,
        metrics: Metrics,
        clock: Clock,
        *,
        replay: bool,
    ) -> None:
        self._publisher = publisher
        self._metrics, self._clock, self._replay = metrics, clock, replay
        self._boards = {partition: Board() for partition in range(PARTITIONS)}
        self._status_every_s = REPLAY_STATUS_EVERY_S if replay else STATUS_EVERY_S
        self.accounts: dict[str, Account] = {}
        self.ready = False
        self._published: dict[str, float] = {}  # when, by the machine's own clock
        self._stored: dict[str, float] = {}
        self._behind: set[str] = set()  # what is shown of them is of the past
        self._unpublished: dict[str, tuple[Judged, int]] = {}  # the newest, and its judge time
        self._turn = asyncio.Lock()  # one decision at a time, from reading a state to having told

    async def open(self, accounts: dict[str, Account]) -> None:
        """Take over recovered accounts, and hand over what was decided but not yet told."""
        self.accounts = accounts
        self._published.clear()
        self._stored.clear()
        self._behind.clear()
        standings = [account.standing for account in accounts.values()]
        async with self._turn:
            await store(standings)
            for standing in standings:
                self._publisher.notices(standing.state.unsent, standing.handed_over)
        for account in accounts.values():
            self._show_again(account)
        self.ready = self.accounts is accounts

    async def change(self, accounts: dict[str, Account]) -> None:
        """Judge these from now on: the policy has changed, the partitions have not."""
        async with self._turn:
            for slo, account in accounts.items():
                if self.accounts.get(slo) is not account:
                    await account.standing.store()
            self.accounts = accounts
            self._published.clear()
            self._unpublished.clear()

    async def retire(self, standing: Standing, account: Account | None = None) -> None:
        """End what an SLO had begun that is configured no more; whoever was told is told.

        `account`: its evidence, where it is still known.
        """
        async with self._turn:
            before = standing.state
            now = before.judged_at if self._replay else max(self._clock(), before.judged_at)
            if retirement.is_due(before) or before.unsent:
                gone = retirement.retire(before, now)
                standing.state = replace(gone.state, unsent=(*before.unsent, *gone.notices))
                await standing.store_or(before)
                self._publisher.notices(standing.state.unsent, standing.handed_over)
                for incident in gone.changed:
                    self._publisher.alert(incident.key, _last_shown(incident, account, now))
            self._publisher.forget(standing.slo)

    def _show_again(self, account: Account) -> None:
        """Incidents whose last change may have been stored but not published."""
        state = account.standing.state
        for incident in state.lanes.values():
            resolved_at = incident.resolved_at
            if resolved_at is None or state.judged_at - resolved_at < SHOWN_AGAIN_MS:
                shown = status.of_incident(account.slo, incident, account.ledger, state.judged_at)
                self._publisher.alert(incident.key, shown)

    async def close(self) -> None:
        """Nothing is judged until the accounts are recovered; what is under way is ended."""
        self.ready = False
        self.accounts = {}
        self._boards = {partition: Board() for partition in range(PARTITIONS)}
        with suppress(TimeoutError):
            async with asyncio.timeout(LAST_STORE_S), self._turn:
                pass

    def board(self, slo: str) -> Board:
        """What is known of the source by the partition that carries this SLO's digests.

        Each partition has a board of its own: a watermark stands behind the digests of the same
        partition only.
        """
        return self._boards[partition_of(slo)]

    async def hear(self, watermark: Watermark, partition: int) -> None:
        """A watermark: in a replay it makes time pass; at the log's end it lets judging go on."""
        board = self._boards[partition]
        was_at_end = board.at_end(self._clock())
        board.take(watermark)
        mine = [a for a in self.accounts.values() if partition_of(a.slo.id) == partition]
        for account in mine:
            if self._replay:
                await self._judge_up_to_now(account)
            elif not was_at_end and board.at_end(self._clock()):
                await self._judge(account)

    async def _judge_up_to_now(self, account: Account) -> None:
        """In a replay: at the end of every slot since the last judgement.

        The digests of a whole minute are counted already, but a moment within a slot sees none of
        the slots after it: its last millisecond knows what is known when the slot has ended.
        """
        now, step = self._judge_time(account.slo.id), FINE_S * 1000
        if now is None:
            return
        judged_at = account.standing.state.judged_at
        at = ((judged_at + 1) // step + 1) * step - 1 if judged_at else now // step * step - 1
        while at < now:
            await self._judge(account, at)
            at += step

    async def touched(self, account: Account) -> None:
        """A digest has changed this account: judge it at once."""
        if not self._replay:
            await self._judge(account)

    async def tick(self) -> None:
        """A second has passed."""
        if not self.ready:
            return
        if self._replay:
            self._publish_last()
        else:
            await self.judge_all()

    def _publish_last(self) -> None:
        """When a replay pauses or ends, what was judged last is shown."""
        for slo, (judged, now) in list(self._unpublished.items()):
            account = self.accounts.get(slo)
            if account is not None and self._is_due_to_show(account):
                self._publish(account, judged, now)

    async def judge_all(self) -> None:
        """Judge every account at the judge time."""
        for number, account in enumerate(list(self.accounts.values())):
            await self._judge(account)
            if number % BREATH == 0:  # with many SLOs others go on in between
                await asyncio.sleep(0)

    async def store_due(self) -> None:
        """Judgements that changed nothing are stored now and then: until when it was judged."""
        if not self.ready:
            return
        news = [account for account in self.accounts.values() if account.standing.is_news]
        due = [account for account in news if self._is_due(self._stored, account)]
        for begin in range(0, len(due), STORED_AT_ONCE):
            async with self._turn:
                mine = [a for a in due[begin : begin + STORED_AT_ONCE] if self._is_ours(a)]
                await store([account.standing for account in mine])
                self._stored |= {account.slo.id: time.monotonic() for account in mine}

    def _is_ours(self, account: Account) -> bool:
        return self.accounts.get(account.slo.id) is account

    async def obey(self, command: Command) -> None:
        """One operator's command."""
        account = self.accounts.get(command.slo)
        if account is None:
            return
        async with self._turn:
            state = account.standing.state
            now = max(self._judge_time(command.slo) or 0, state.judged_at)
            judged = operating.obey(account.slo, account.route, state, account.ledger, command, now)
            await self._carry_out(account, judged, now)
        await self._judge(account, now)

    async def recounted(self, account: Account, message: Recounted) -> None:
        """What an SLO leaves out has been recounted so far: from now on it counts no more."""
        async with self._turn:
            before = account.standing.state
            applied = Applied(message.exclusion, message.starts)
            if message.exclusion != account.exclusion.fingerprint or applied == before.applied:
                return
            account.standing.state = replace(before, applied=applied)
            await account.standing.store_or(before)
            changed = account.settle()
        if changed:
            await self._judge(account)

    def _judge_time(self, slo: str) -> int | None:
        return self.board(slo).judge_time(self._clock(), replay=self._replay)

    async def _judge(self, account: Account, at: int | None = None) -> None:
        """Judge one account if it is still ours; its errors hold up no other.

        What could not be stored was never decided: the next judgement decides anew.
        """
        async with self._turn:
            if not self._is_ours(account):
                return
            try:
                await self._judge_at(account, at or self._judge_time(account.slo.id))
            except Exception:
                log.exception("%s could not be judged", account.slo.id)

    async def _judge_at(self, account: Account, now: int | None) -> None:
        state = account.standing.state
        if not self.ready or now is None:
            return
        if self.is_filling(account):
            await self._wait_filled(account, now)
            return
        if not self._replay and self._is_blind(account) and state.caught_up:
            await self._keep_time(account)
            return
        if now < state.judged_at or (self._replay and now == state.judged_at):
            return
        if not state.caught_up:
            if not self._caught_up(account):
                self._show_unjudged(account, now)
                return
            state = replace(state, caught_up=True)
        began = time.perf_counter()
        judged = judging.judge(account.slo, account.route, state, account.ledger, now)
        self._metrics.judge_seconds.observe(time.perf_counter() - began)
        await self._carry_out(account, judged, now)

    def is_filling(self, account: Account) -> bool:
        """Its definition is new: not all that lies in the log is counted by it yet."""
        return not self.board(account.slo.id).counts(account.slo.id, account.fingerprint)

    async def _wait_filled(self, account: Account, now: int) -> None:
        """Figures that are not whole judge nothing: incidents stay as they are."""
        if account.standing.state.caught_up and not self._replay:
            await self._keep_time(account)
        self._show_unjudged(account, now)

    def _is_blind(self, account: Account) -> bool:
        return vitals.is_blind(self.board(account.slo.id), self._clock())

    async def _keep_time(self, account: Account) -> None:
        now, state = self._clock(), account.standing.state
        if any(incident.open for incident in state.lanes.values()):
            judged = judging.keep_time(account.slo, account.route, state, account.ledger, now)
            if judged.news:
                await self._carry_out(account, judged, now)

    def _caught_up(self, account: Account) -> bool:
        if self._replay:
            return True
        board = self.board(account.slo.id)
        fed = any(one.ledger.first_slot() is not None for one in self.accounts.values())
        return (fed or board.heartbeat is not None) and board.caught_up(self._clock())

    def _show_unjudged(self, account: Account, now: int) -> None:
        """Before the first catch-up: figures, but no judgement."""
        if not self._is_due_to_show(account):
            return
        seen = figures.read(account.slo, account.ledger, now)
        state = account.standing.state
        self._publish(
            account, Judged(state=state, figures=seen, signals=(), notices=(), changed=()), now
        )

    async def _carry_out(self, account: Account, judged: Judged, now: int) -> None:
        standing = account.standing
        before = standing.state
        after = replace(judged.state, unsent=(*before.unsent, *judged.notices))
        standing.state = after
        moved = _moved(before, after)
        if judged.news:
            await standing.store_or(before)
            self._publisher.notices(judged.notices, standing.handed_over)
            for incident in judged.changed:
                document = status.of_incident(account.slo, incident, account.ledger, now)
                self._publisher.alert(incident.key, document)
            for kind in {notice.kind for notice in judged.notices}:
                self._metrics.incident_changes.labels(account.slo.id, kind).inc()
        elif moved:
            await standing.store_or(before)
            self._stored[account.slo.id] = time.monotonic()
        if _leaves_out(before) != _leaves_out(after):
            account.settle()
        self._unpublished[account.slo.id] = (judged, now)
        if judged.news or moved or self._is_due_to_show(account):
            self._publish(account, judged, now)

    def _is_due_to_show(self, account: Account) -> bool:
        """Every ten seconds, and as soon as all is read, or filled, where it was not."""
        caught_up = account.slo.id in self._behind and self._is_current(account)
        return caught_up or self._is_due(self._published, account)

    def _is_current(self, account: Account) -> bool:
        at_end = self.board(account.slo.id).at_end(self._clock())
        return at_end and not self.is_filling(account)

    def _is_due(self, done: dict[str, float], account: Account) -> bool:
        last = done.get(account.slo.id)
        return last is None or time.monotonic() - last >= self._status_every_s

    def _publish(self, account: Account, judged: Judged, now: int) -> None:
        slo, state = account.slo, account.standing.state
        self._published[slo.id] = time.monotonic()
        self._unpublished.pop(slo.id, None)
        (self._behind.discard if self._is_current(account) else self._behind.add)(slo.id)
        lag = self.board(slo.id).lag_ms(self._clock())
        document = status.of_slo(
            slo, account.route, state, judged.figures, judged.signals, account.ledger
        )
        document |= {
            "lag_s": None if lag is None else lag / 1000,
            "blind": self._is_blind(account),
            "filling": self.is_filling(account),
        }
        self._publisher.status(slo.id, document)
        for incident in state.lanes.values():
            if incident.open and not judged.changed:
                shown = status.of_incident(slo, incident, account.ledger, now)
                self._publisher.alert(incident.key, shown)

    @property
    def heard(self) -> bool:
        """The intake has been heard of, on every partition that is ours."""
        mine = {partition_of(slo) for slo in self.accounts}
        return all(self._boards[partition].complete for partition in mine)

    @property
    def blind(self) -> bool:
        """Records wait unread for so long that nothing is judged."""
        now = self._clock()
        return not self._replay and any(vitals.is_blind(b, now) for b in self._boards.values())

    def show_vitals(self) -> None:
        """For Prometheus: the lag, and whether it is blinding."""
        now = self._clock()
        lags = [board.lag_ms(now) or 0 for board in self._boards.values()]
        self._metrics.lag.set(max(lags) / 1000)
        self._metrics.blind.set(self.blind)
        for slo, account in self.accounts.items():
            self._metrics.filling.labels(slo).set(self.is_filling(account))

    def has_judged(self, at: int) -> bool:
        """Whether every SLO here was judged at that moment (ms) or later.

        One that is not judged yet at all, before the first catch-up, is not waited for.
        """
        states = [account.standing.state for account in self.accounts.values()]
        return all(state.judged_at >= at for state in states if state.caught_up)

    def silent(self) -> dict[str, int]:
        """SLOs whose `absent_for` has passed without an event, with the seconds since."""
        now, silent = self._clock(), {}
        for account in self.accounts.values():
            allowed_s = account.slo.absent_for_s
            known = account.standing.state.caught_up and not self.is_filling(account)
            if allowed_s is not None and known:
                newest = account.ledger.newest_slot(now)
                if newest is not None and now // 1000 - newest > allowed_s:
                    silent[account.slo.id] = now // 1000 - newest
        return silent


def _last_shown(incident: Incident, account: Account | None, now: int) -> dict[str, Any]:
    if account is None:
        return status.of_own_incident(incident)
    return status.of_incident(account.slo, incident, account.ledger, now)


def _moved(before: SloState, after: SloState) -> bool:
    """Whether a rule has changed its state, which must not be forgotten."""
    was = {rule: one.state for rule, one in before.rules.items()}
    return was != {rule: one.state for rule, one in after.rules.items()} or (
        (before.caught_up, before.applied) != (after.caught_up, after.applied)
    )


def _leaves_out(state: SloState) -> tuple[object, ...]:
    """All that decides what is left out of the counts."""
    return state.corrections, state.maintenance, state.applied
