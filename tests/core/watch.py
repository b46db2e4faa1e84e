"""A held clock, executions, and the judge: what is told, when, to whom."""

from typing import NamedTuple

import msgspec
from msgspec.structs import replace

from app.core import judge as judging
from app.core import operating
from app.core.commands import Acknowledge, Command, Resolve, Unacknowledge
from app.core.incidents import Incident
from app.core.judge import Judged, SloState
from app.core.ownership import Route
from app.core.reading import Record
from app.core.slos import Slo
from tests.core.books import Library
from tests.core.histories import BEGAN_MS, iso
from tests.core.policies import ROUTES

MINUTE_MS = 60_000
HOUR_MS = 60 * MINUTE_MS
DAY_MS = 24 * HOUR_MS


KINDS = {"ack": Acknowledge, "unack": Unacknowledge, "resolve": Resolve}


class Told(NamedTuple):
    """One notice, as far as most tests care."""

    kind: str
    to: str
    page: bool


class Watch:
    """One SLO under watch. Times are minutes since it began."""

    def __init__(self, slo: Slo, route: Route | None = None) -> None:
        self.slo = slo
        self.route = route or ROUTES[slo.id]
        self.library = Library([slo])
        self.state = SloState(caught_up=True)
        self.now = BEGAN_MS
        self.offset = 0
        self.notices: list[judging.Notice] = []
        self.judged: Judged | None = None
        self.commands = 0

    def happen(self, count: int = 1, *, at: int | None = None, **fields: object) -> None:
        """So many events, at a time in ms (now)."""
        stamp = {"timestamp": iso(self.now if at is None else at)}
        for _ in range(count):
            value = msgspec.json.encode({"agent_id": "a", **fields, **stamp})
            self.library.read([Record(self.offset, self.now, value)])
            self.offset += 1

    def good(self, count: int = 1, **fields: object) -> None:
        """Executions that succeed quickly."""
        known = {"event": "EXECUTION_COMPLETED", "success": 1, "duration_ms": 900}
        self.happen(count, **{**known, **fields})

    def bad(self, count: int = 1, **fields: object) -> None:
        """Executions that fail."""
        self.happen(count, **{"event": "EXECUTION_FAILED", "success": 0, **fields})

    def slow(self, count: int = 1, duration_ms: int = 61_000) -> None:
        """Executions that take too long."""
        self.good(count, duration_ms=duration_ms)

    def broken(
        self,
        conversation: str,
        *,
        event: str = "CONVERSATION_INTEGRITY_FAIL",
        at: int | None = None,
    ) -> None:
        """A conversation that fails its check."""
        self.happen(event=event, metadata={"conversationId": conversation}, at=at)

    def judge(self) -> list[Told]:
        """Judge now; what is told."""
        return self._keep(
            judging.judge(self.slo, self.route, self.state, self.library.ledger(self.slo), self.now)
        )

    def blind(self) -> list[Told]:
        """Nothing can be judged now; what is told all the same."""
        return self._keep(
            judging.keep_time(
                self.slo, self.route, self.state, self.library.ledger(self.slo), self.now
            )
        )

    def command(self, kind: str, *, via: str = "api", lane: str = "main") -> list[Told]:
        """An operator's command for the open incident."""
        self.commands += 1
        about = {
            "id": str(self.commands),
            "slo": self.slo.id,
            "incident": self.incident(lane).key,
            "by": "kim",
            "at": self.now,
            "via": via,
        }
        more = {"why": "fixed"} if kind == "resolve" else {}
        return self.obey(KINDS[kind](**about, **more))

    def obey(self, command: Command) -> list[Told]:
        """Any command."""
        return self._keep(
            operating.obey(
                self.slo, self.route, self.state, self.library.ledger(self.slo), command, self.now
            )
        )

    def _keep(self, judged: Judged) -> list[Told]:
        self.judged, self.state = judged, replace(judged.state, unsent=())
        self.notices += judged.notices
        return [Told(n.kind, n.destination, n.page) for n in judged.notices]

    def wait(self, ms: int, *, every_ms: int = MINUTE_MS) -> list[Told]:
        """Let time pass, judging as it goes; what is told."""
        told: list[Told] = []
        end = self.now + ms
        while self.now < end:
            self.now = min(self.now + every_ms, end)
            told += self.judge()
        return told

    def incident(self, lane: str = "main") -> Incident:
        """The newest incident of a lane."""
        return self.state.lanes[lane]

    def held_by(self, rule: str = "breach") -> str | None:
        """The guard that holds a rule back."""
        assert self.judged is not None
        return next(signal.held_by for signal in self.judged.signals if signal.rule == rule)
