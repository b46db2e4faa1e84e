"""The vigil: the alerter watches itself, and is heard even where Kafka is not to be reached."""

import asyncio
import logging
from collections.abc import Callable, Sequence

from msgspec.structs import replace

from app.clock import Clock
from app.config import Policy
from app.core import probes, status, vitals
from app.core.commands import Command
from app.core.incidents import Incident
from app.core.judge import SloState
from app.core.notices import Notice
from app.core.vitals import ALERTER
from app.core.watermarks import Board
from app.stream.publisher import Publisher
from app.stream.spare import Spare
from app.stream.standing import Standing

log = logging.getLogger(__name__)

STORED_WITHIN_S = 5.0
"""Kafka that takes longer is not to be reached: then people are told directly."""

Direct = Callable[[Sequence[Notice]], None]


class Vigil:
    """Judges the vital signs once a second, whatever holds up the judging of SLOs."""

    def __init__(self, policy: Policy, publisher: Publisher, clock: Clock, spare: Spare) -> None:
        self._route = policy.ownership.routes[ALERTER]
        self._publisher = publisher
        self._clock = clock
        self.spare = spare
        self._own: Standing | None = None
        self._turn = asyncio.Lock()
        self.direct: Direct | None = None  # tells without Kafka; None: this worker does not deliver

    def take_over(self, policy: Policy) -> None:
        """Tell whom the policy names from now on."""
        self._route = policy.ownership.routes[ALERTER]

    async def open(self, own: Standing | None) -> None:
        """Take over the alerter's recovered state, where its partition is ours."""
        self._own = own
        if own is not None:
            await own.store()
            self.spare.drop()
            self._publisher.notices(own.state.unsent, own.handed_over)
            for incident in own.state.lanes.values():
                self._publisher.alert(incident.key, status.of_own_incident(incident))

    def close(self) -> None:
        """The partition may be another's."""
        self._own = None

    async def check(self, board: Board, silent: dict[str, int], probed_at: int) -> None:
        """Judge the vital signs by what is known of the source (`silent`: SLO → seconds).

        `probed_at`: the newest probe that is counted and judged behind, ms; 0: none.
        """
        own = self._own
        if own is None or self._turn.locked() or not board.complete:
            return  # before the intake was heard of, nothing can be said of it
        async with self._turn:
            now = self._clock()
            before = own.state
            if not before.caught_up and board.caught_up(now):
                before = replace(before, caught_up=True)
            found = vitals.read(board, now, before, silent)
            checked = vitals.check(before, found, self._route, now)
            state, heard = probes.prove(checked.state, probed_at, now)
            await self._carry_out(own, state, (*checked.notices, *heard), checked.changed)

    async def obey(self, command: Command) -> None:
        """An operator's command, or the word of a destination that is broken or mended."""
        own = self._own
        if own is None:
            return
        async with self._turn:
            obeyed = vitals.obey(own.state, command, self._route, self._clock())
            await self._carry_out(own, obeyed.state, obeyed.notices, obeyed.changed)

    async def _carry_out(
        self,
        own: Standing,
        after: SloState,
        notices: tuple[Notice, ...],
        changed: tuple[Incident, ...],
    ) -> None:
        before = own.state
        own.state = replace(after, unsent=(*before.unsent, *notices))
        if not (notices or changed) and not _moved(before, after):
            return
        if not await self._stored(own) and notices and self.direct is not None:
            log.error("Kafka is not to be reached: people are told directly")
            self.direct(notices)
        self._publisher.notices(notices, own.handed_over)
        for incident in changed:
            self._publisher.alert(incident.key, status.of_own_incident(incident))

    async def _stored(self, own: Standing) -> bool:
        """Whether Kafka has the state in time; the next change stores it with its own."""
        try:
            async with asyncio.timeout(STORED_WITHIN_S):
                await own.store()
        except Exception:
            log.exception("the alerter's own state is not stored")
            self.spare.keep(own.encoded())
            return False
        self.spare.drop()
        return True


def _moved(before: SloState, after: SloState) -> bool:
    was = {rule: one.state for rule, one in before.rules.items()}
    return was != {rule: one.state for rule, one in after.rules.items()} or (
        (before.broken, before.caught_up, before.obeyed)
        != (after.broken, after.caught_up, after.obeyed)
    )
