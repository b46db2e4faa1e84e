"""Where an SLO stands: its state, stored before anybody hears of it."""

import asyncio
from collections.abc import Sequence

import msgspec
from msgspec.structs import replace

from app.core.judge import SloState
from app.stream.pulse import Pulse
from app.stream.records import Records
from app.topics import partition_of

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(SloState).decode


class Standing:
    """One value of the table of states."""

    def __init__(self, slo: str, states: Records, pulse: Pulse) -> None:
        self.slo = slo
        self.state = SloState()
        self._stored = self.state
        self._states = states
        self._pulse = pulse

    def recover(self, values: list[bytes]) -> None:
        """Go on from the newest of all writers' states, in a new term."""
        known = [_decode(value) for value in values]
        latest = max(known, key=lambda state: (state.term, state.version), default=SloState())
        self.state = replace(latest, term=latest.term + 1)

    def encoded(self) -> bytes:
        """The state as it is stored."""
        return _encode(self.state)

    async def store(self) -> None:
        """Store the state as it is now, and wait until Kafka has it; raises Asleep."""
        self._pulse.check()
        self.state = replace(self.state, version=self.state.version + 1)
        stored = self.state
        await self._states.put(partition_of(self.slo), {self.slo: self.encoded()})
        self._stored = stored

    @property
    def is_news(self) -> bool:
        """It has changed since Kafka last had it."""
        return self.state is not self._stored

    async def store_or(self, before: SloState) -> None:
        """Store the state as it is now; where that fails it is `before` again."""
        try:
            await self.store()
        except BaseException:
            self.state = before
            raise

    def handed_over(self, notice: str) -> None:
        """Kafka has this notice: it need not be handed over again."""
        unsent = tuple(one for one in self.state.unsent if one.id != notice)
        self.state = replace(self.state, unsent=unsent)


async def store(standings: Sequence[Standing]) -> None:
    """Store them side by side: each alone would wait for Kafka's answer."""
    await asyncio.gather(*[standing.store() for standing in standings])
