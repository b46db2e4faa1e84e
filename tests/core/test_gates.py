"""Overrides of the deployment gate, and what a freeze asks for: kept, told, ticked off."""

from pathlib import Path

from msgspec.structs import replace

from app import config
from app.core import freezes, gates, operating
from app.core.commands import OverrideGate, TickOff
from app.core.freezes import AFTERWARDS, WHILE_FROZEN, Due, Freeze
from app.core.gates import Override
from app.core.judge import Judged, SloState
from app.core.ledger import Ledger
from app.core.slos import FreezeRule

POLICY = config.load(Path(__file__).parents[2] / "config")
SLO, ROUTE = POLICY.slos["availability"], POLICY.ownership.routes["availability"]
NOW = 1_785_578_400_000
HOUR = 3_600_000
FROZEN = Freeze(
    key="availability-freeze-20260801T090000Z",
    since=NOW - HOUR,
    due=tuple(Due(what=what, owner=ROUTE.owner) for what in WHILE_FROZEN),
)
OVERRIDE = OverrideGate(
    id="7", slo=SLO.id, by="dana", at=NOW, until=NOW + 2 * HOUR, why="the fix itself"
)


def obey(state: SloState, command: OverrideGate | TickOff) -> Judged:
    return operating.obey(SLO, ROUTE, state, Ledger(), command, NOW)


def test_an_override_is_kept_and_announced_once_in_the_channel() -> None:
    judged = obey(SloState(freeze=FROZEN), OVERRIDE)
    assert judged.state.overrides == (
        Override(id="7", by="dana", why="the fix itself", at=NOW, until=NOW + 2 * HOUR),
    )
    (notice,) = judged.notices
    assert (notice.destination, notice.kind) == ("slack:#headless-alerts", "override")
    assert notice.incident == FROZEN.key
    assert notice.story.reason == "dana overrides the freeze: the fix itself"
    assert notice.story.due == WHILE_FROZEN
    assert not notice.page
    again = obey(judged.state, OVERRIDE)
    assert (again.state.overrides, again.notices) == (judged.state.overrides, ())


def test_only_so_many_overrides_are_remembered() -> None:
    known: tuple[Override, ...] = ()
    for n in range(gates.KEPT + 5):
        known = gates.added(known, Override(id=str(n), by="dana", why="w", at=n, until=n + 1))
    assert [one.id for one in known] == [str(n) for n in range(5, gates.KEPT + 5)]


def tick(what: str, number: int = 1) -> TickOff:
    return TickOff(id=str(number), slo=SLO.id, by="dana", at=NOW, what=what, link="https://a.test")


def test_what_is_done_is_ticked_off_with_its_link_and_the_rest_stays_due() -> None:
    state = obey(SloState(freeze=FROZEN), tick(WHILE_FROZEN[0])).state
    assert state.freeze.due == (
        Due(what=WHILE_FROZEN[0], owner=ROUTE.owner, done_at=NOW, link="https://a.test"),
        Due(what=WHILE_FROZEN[1], owner=ROUTE.owner),
    )


def test_what_is_not_due_changes_nothing() -> None:
    judged = obey(SloState(freeze=FROZEN), tick("coffee"))
    assert (judged.state.freeze, judged.notices) == (FROZEN, ())


def test_a_retrospective_that_nobody_held_stays_due_through_the_next_freeze() -> None:
    rule = FreezeRule()

    def advance(before: Freeze, consumed: float, now: int) -> Freeze:
        return freezes.advance(
            before, rule, slo=SLO.id, owner=ROUTE.owner, consumed=consumed, now=now
        )[0]

    lifted = advance(replace(FROZEN, last_told_at=NOW), 0.5, NOW)
    assert [due.what for due in lifted.due] == [*WHILE_FROZEN, AFTERWARDS]
    again = advance(lifted, 1.0, NOW + HOUR)
    assert [due.what for due in again.due] == [AFTERWARDS, *WHILE_FROZEN]
    held = gates.ticked_off(lifted, AFTERWARDS, "https://a.test", NOW)
    assert [due.what for due in advance(held, 1.0, NOW + HOUR).due] == [*WHILE_FROZEN]
