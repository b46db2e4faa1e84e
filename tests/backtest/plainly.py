"""The same as `app.backtest.running.run`, told plainly.

Everything is judged at each event, every ten seconds, and each second where it is not at rest.
"""

from collections.abc import Sequence
from itertools import groupby

from app.backtest.counting import Book, Evidence
from app.backtest.running import EXPIRE_MS, Outcome
from app.backtest.sources import Slice, Source
from app.config import Policy
from app.core import judge as judging
from app.core import status
from app.core.incidents import Incident
from app.core.judge import SloState
from app.core.notices import Notice
from app.core.ownership import Route
from app.core.populations import group
from app.core.slos import Slo


class _Plain:
    """One SLO, with all its evidence at every moment."""

    def __init__(self, slo: Slo, route: Route, topic: str) -> None:
        self.slo, self.route = slo, route
        self.evidence = Evidence()
        self.book = Book(slo.id, slo.definition, topic, self.evidence)
        self.state = SloState(caught_up=True)
        self.notices: list[Notice] = []
        self.incidents: dict[str, status.Document] = {}

    def pass_slot(self, cut: Slice, before: int) -> None:
        slot = cut.end_ms // 1000 - 10
        if cut.entries:
            self.evidence.take(slot, cut.entries)
        mine = [entry for entry in cut.entries if entry.event.event in self.book.folder.events]
        for at, same in groupby(mine, key=lambda entry: entry.at):
            self.tick(before, at)
            self.book.count(group(same))
            if self.book.has(slot):
                self.book.feed(slot)
            self.judge(at)
            before = at
        self.tick(before, cut.end_ms)
        self.judge(cut.end_ms)

    def tick(self, since: int, until: int) -> None:
        for second in range(since // 1000 * 1000 + 1000, until, 1000):
            if not self.at_rest:
                self.judge(second)

    @property
    def at_rest(self) -> bool:
        quiet = all(rule.state == "inactive" for rule in self.state.rules.values())
        return quiet and not any(incident.open for incident in self.state.lanes.values())

    def judge(self, now: int) -> None:
        judged = judging.judge(self.slo, self.route, self.state, self.book.ledger, now)
        if judged.news:
            self.book.prove(now)
            judged = judging.judge(self.slo, self.route, self.state, self.book.ledger, now)
        self.state = judged.state
        self.notices += judged.notices
        for incident in judged.changed:
            self.show(incident, now)

    def show(self, incident: Incident, now: int) -> None:
        self.incidents[incident.key] = status.of_incident(self.slo, incident, self.book.ledger, now)


def run_plainly(source: Source, policy: Policy) -> Outcome:
    """What the policy would have told."""
    all_of_them = [
        _Plain(slo, policy.ownership.routes[slo.id], source.name) for slo in policy.slos.values()
    ]
    begin = end = expired = 0
    for cut in source.slices():
        before, end = cut.end_ms - 10_000, cut.end_ms
        begin, expired = begin or end, expired or end
        for one in all_of_them:
            one.pass_slot(cut, before)
        if end - expired >= EXPIRE_MS:
            expired = end
            for one in all_of_them:
                one.book.expire(end)
    for one in all_of_them:
        one.book.prove(end)
        for incident in one.state.lanes.values():
            if incident.open:
                one.show(incident, end)
    return _outcome(all_of_them, begin, end)


def _outcome(all_of_them: Sequence[_Plain], begin: int, end: int) -> Outcome:
    told = [notice for one in all_of_them for notice in one.notices]
    shown = [incident for one in all_of_them for incident in one.incidents.values()]
    return Outcome(
        begin_ms=begin,
        end_ms=end,
        notices=tuple(sorted(told, key=lambda notice: notice.at)),
        incidents=tuple(sorted(shown, key=lambda incident: incident["openedAt"])),
    )
