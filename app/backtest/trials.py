"""A trial: one SLO under one policy, judged along its book, and only where that can matter.

A judgement depends on the state before it, on the time, and on what `Sight` holds. So long as the
sight stays as it is and no timer is due, another judgement would change nothing but the memory of
when it was last so (`last_true`, `p1_last`); that is caught up on just before the next one which
matters. A judgement that changed anything else is followed by another one ten seconds later.
"""

from collections.abc import Iterator
from typing import NamedTuple

from msgspec.structs import replace

from app.backtest import reach
from app.backtest.counting import Book
from app.core import budgets, figures, freezes, incidents, maintenance, signals, status
from app.core import judge as judging
from app.core.budgets import BudgetState, Expected
from app.core.cells import NOTHING, Counts
from app.core.figures import GROWTH_S, Figures
from app.core.incidents import Incident
from app.core.judge import SloState
from app.core.notices import Notice
from app.core.ownership import Growing, Route, TooMany, meets
from app.core.rules import RuleState
from app.core.signals import Signal
from app.core.slos import BreachRule, BurnRule, Slo
from app.core.slots import COARSE_S, FINE_S
from app.core.status import Document

SECOND_MS = 1000
SLOT_MS = FINE_S * 1000
SHIFT_MS = COARSE_S * 1000
NEVER = 2**62


class RuleSight(NamedTuple):
    """What a rule's next state can depend on; the last two only while it fires."""

    fires: bool
    true: bool | None = None
    may_clear: bool = True


class Sight(NamedTuple):
    """What a judgement can depend on, beside the state and the time."""

    rules: tuple[RuleSight, ...]
    spent: bool  # the budget, so far that a freeze begins
    restored: bool  # the budget, so far that the freeze is lifted
    failing: frozenset[tuple[str, bool]]  # conversations, and whether they still do
    conditions: tuple[bool, ...]  # of the open incidents' steps that are not done
    last_bad_at: int  # where such steps are left, ms


class Trial:
    """One SLO's state along the data's time, with everything that it told."""

    def __init__(self, slo: Slo, route: Route, book: Book) -> None:
        self.slo, self.route, self.book = slo, route, book
        self.notices: list[Notice] = []
        self.incidents: dict[str, Document] = {}  # by key, as of their last change
        self.judged = 0  # how often
        self._state = SloState(caught_up=True)
        self._is_active = False
        self._error_ratio = budgets.error_ratio(slo.objective)
        self._windows = _windows(slo, route)
        self._may_fire = reach.bounds_of(slo)
        self._may_freeze, self._may_lift = reach.freeze_bound(slo), reach.lift_bound(slo)
        self._held: dict[int, Counts] = {}  # the windows as of the last look
        self._seen: Figures | None = None
        self._sight: Sight | None = None
        self._calm = False  # nothing fires, nothing is open, only the bounds can change that
        self._at = 0  # judged, or known to need none, up to here (ms)
        self._passed = 0  # the last moment before the one that is judged, ms
        self._due = 0  # the next timer, ms
        self._nothing = Sight(
            rules=(RuleSight(fires=False),) * (1 + len(slo.burns)),
            spent=False,
            restored=False,
            failing=frozenset(),
            conditions=(),
            last_bad_at=0,
        )
        book.watch(list(self._windows))

    def due(self, now: int) -> bool:
        """Whether a timer has run out."""
        return now >= self._due

    def pass_until(self, until: int) -> None:
        """Time passes in which nothing is counted, up to `until` (ms), that left out.

        Timers run out. And while there is less than a whole period of data the budget shrinks
        with time alone, in one direction: where the end is as the beginning was, so is all between.
        """
        if self._seen is None:
            return
        while self._is_active:
            due = max(_second_from(self._due), _second_from(self._at + 1))
            at = min(due, _shift_after(self._at))
            if at >= until:
                break
            self._pass_quietly(at - 1)
            self.judge(at)
        self._pass_quietly(until - 1)
        self._passed = (until - 1) // SECOND_MS * SECOND_MS

    def _pass_quietly(self, until: int) -> None:
        if self._next(self._at) > until or self.slo.definition.distinct:
            return
        if not self._expected(self._held, self._at).estimated:
            return
        if self._is_out_of_reach(self._held, self._expected(self._held, until)):
            return
        if self._turned(self._at) == self._turned(until):
            return
        at = self._at
        while (at := self._next(at)) <= until:
            self._consider(self._read(at), at)

    def _next(self, at: int) -> int:
        """The next moment at which time alone is judged: each second, at rest each slot's end."""
        step = SECOND_MS if self._is_active else SLOT_MS
        return (at // step + 1) * step

    def _read(self, now: int) -> Figures:
        """The figures while nothing enters or leaves the windows."""
        if self.slo.definition.distinct:
            return figures.read(self.slo, self.book.ledger, now)
        return self._figures(self._held, now)

    def _turned(self, now: int) -> list[object]:
        """All that time alone can turn, each but once, with the windows as they are."""
        seen = self._figures(self._held, now)
        found = [(signal.true, signal.held_by) for signal in signals.read(self.slo, seen)]
        return [*found, self._freeze_sight(seen.budget.consumed)]

    def may_differ(self, coming: Counts | None, end: int) -> bool:
        """Whether a moment within a slot may matter, given all that it brings and when it ends."""
        if coming is None or not self._calm or (end - SLOT_MS) % SHIFT_MS == 0:
            return True
        least, worst = self._allowed(self._held, end), self._held
        if coming.bad or coming.over or coming.sum_u:
            worst = {name: _as_if_bad(held, coming) for name, held in worst.items()}
        if self._may_fire(worst, least):
            return True
        if not self._state.freeze.frozen:
            return self._may_freeze(worst, least)
        best = {name: _as_if_good(held, coming) for name, held in self._held.items()}
        return self._may_lift(best, self._allowed(best, end - SLOT_MS))

    def _allowed(self, windows: dict[int, Counts], now: int) -> float:
        return self._error_ratio * self._expected(windows, now).total

    def judge(self, now: int) -> None:
        """Something may have changed by now: judge where it has."""
        if self.slo.definition.distinct:
            self._consider(self._read(now), now)
            return
        ledger = self.book.ledger
        windows = {window_s: ledger.window(now, window_s) for window_s in self._windows}
        if now < self._due and self._is_out_of_reach(windows, self._expected(windows, now)):
            self._held, self._at = windows, now
        else:
            self._consider(self._figures(windows, now), now)

    def _is_out_of_reach(self, windows: dict[int, Counts], expected: Expected) -> bool:
        """Whether a look is not needed to know that nothing has changed."""
        if not self._calm:
            return False
        allowed = self._error_ratio * expected.total
        may_turn = self._may_lift if self._state.freeze.frozen else self._may_freeze
        return not (may_turn(windows, allowed) or self._may_fire(windows, allowed))

    def end(self, now: int) -> None:
        """The data is at its end: show the incidents that are still open as they are."""
        self.pass_until(now + 1)
        still_open = [incident for incident in self._state.lanes.values() if incident.open]
        if still_open:
            self.book.prove(now)
        for incident in still_open:
            self._show(incident, now)

    def _consider(self, seen: Figures, now: int) -> None:
        sight = self._look(seen)
        if sight != self._sight or now >= self._due:
            self._catch_up(max(self._at, self._passed, (now - 1) // SECOND_MS * SECOND_MS))
            self._judge(seen, sight, now)
        self._seen, self._sight, self._at = seen, sight, now
        self._held = seen.windows
        self._calm = sight == self._nothing and not self._is_active

    def _catch_up(self, until: int) -> None:
        """Remember that all was as it had been until then."""
        if self._seen is not None and self._is_active and self._state.judged_at < until:
            self._state = self._weigh(self._seen, until).state

    def _weigh(self, seen: Figures, now: int) -> judging.Judged:
        self.judged += 1
        return judging.weigh(self.slo, self.route, self._state, seen, self.book.ledger, now)

    def _judge(self, seen: Figures, sight: Sight, now: int) -> None:
        judged = self._weigh(seen, now)
        if judged.news:
            judged = self._tell(now)
        settled = _lasting(judged.state) == _lasting(self._state)
        self._state = judged.state
        self._is_active = _is_active(judged.state)
        self._due = min(self._timers(sight), default=NEVER) if settled else now + 1

    def _tell(self, now: int) -> judging.Judged:
        """The same judgement with all that is told: every figure, and the evidence."""
        self.book.prove(now)
        judged = judging.judge(self.slo, self.route, self._state, self.book.ledger, now)
        self.notices += judged.notices
        for incident in judged.changed:
            self._show(incident, now)
        return judged

    def _show(self, incident: Incident, now: int) -> None:
        shown = status.of_incident(self.slo, incident, self.book.ledger, now)
        self.incidents[incident.key] = shown

    def _expected(self, windows: dict[int, Counts], now: int) -> Expected:
        seen, first = windows[self.slo.period_s].total, self.book.ledger.first_slot()
        return figures.expected_events(self.slo, seen, first, now)

    def _figures(self, windows: dict[int, Counts], now: int) -> Figures:
        """The figures that decide; those that are only shown are left out."""
        slo, whole = self.slo, windows[self.slo.period_s]
        expected = self._expected(windows, now)
        allowed = self._error_ratio * expected.total
        last = windows.get(GROWTH_S, NOTHING)
        return Figures(
            now=now,
            windows=windows,
            budget=BudgetState(
                allowed=allowed,
                bad=whole.bad,
                consumed=budgets.consumed(slo, whole, slo.period_s, allowed),
                consumed_by_time=None,
                estimated=expected.estimated,
                exhausted_in_s=None,
            ),
            failing={},
            last_bad_at=self.book.last_bad_at,
            growth=(last, windows.get(2 * GROWTH_S, NOTHING).minus(last)),
        )

    def _look(self, seen: Figures) -> Sight:
        spent, restored = self._freeze_sight(seen.budget.consumed)
        conditions, bad_at = self._steps_sight(seen)
        stands = self._state.rules
        return Sight(
            rules=tuple([_rule_sight(s, stands.get(s.rule)) for s in signals.read(self.slo, seen)]),
            spent=spent,
            restored=restored,
            failing=frozenset((n, m.failed_at > m.passed_at) for n, m in seen.failing.items()),
            conditions=conditions,
            last_bad_at=bad_at,
        )

    def _freeze_sight(self, consumed: float | None) -> tuple[bool, bool]:
        rule = self.slo.freeze
        if rule is None or consumed is None:
            return False, False
        if self._state.freeze.frozen:
            return False, consumed < rule.lifts_below
        return consumed >= rule.consumed, False

    def _steps_sight(self, seen: Figures) -> tuple[tuple[bool, ...], int]:
        left = [
            step for incident in _open(self._state) for step in incident.steps if not step.done_at
        ]
        if not left:
            return (), 0
        return tuple([meets(step.condition, seen) for step in self.route.steps]), seen.last_bad_at

    def _timers(self, sight: Sight) -> Iterator[int]:
        """When time alone could change something, ms; too often does no harm."""
        now = self._state.judged_at
        rules: tuple[BreachRule | BurnRule, ...] = (self.slo.breach, *self.slo.burns)
        for rule, seen in zip(rules, sight.rules, strict=True):
            stands = self._state.rules.get(rule.id)
            if stands is not None:
                yield from _rule_timers(rule, stands, seen, self.slo.stale_s)
        for incident in _open(self._state):
            yield incident.last_told_at + incidents.REMINDER_MS[incident.severity]
            if incident.quiet_since is not None:
                yield incident.quiet_since + self.slo.flapping_quiet_s * 1000
            yield from (at for at in self._step_timers(incident) if at > now)
        if self._state.freeze.frozen:
            yield self._state.freeze.last_told_at + freezes.REMINDER_MS
        for window in self.slo.maintenance:
            span = maintenance.next_occurrence(window, now) or ()
            yield from (at for at in span if at > now)

    def _step_timers(self, incident: Incident) -> Iterator[int]:
        for step in self.route.steps:
            after_ms = step.after_s * 1000
            yield incident.opened_at + incident.paused_ms + after_ms
            if incident.p1_since is not None:
                yield incident.p1_since + after_ms
            if step.rule in self._state.rules:
                yield self._state.rules[step.rule].since + after_ms
            for state in incident.steps:
                if state.since is not None:
                    yield state.since + after_ms


def _second_from(at: int) -> int:
    """The first whole second from `at` (ms) on."""
    return -(-at // SECOND_MS) * SECOND_MS


def _shift_after(at: int) -> int:
    """The next second at which a window longer than 24 h has lost a slot, from `at` (ms) on."""
    return ((at - SECOND_MS) // SHIFT_MS + 1) * SHIFT_MS + SECOND_MS


def _as_if_bad(held: Counts, coming: Counts) -> Counts:
    """At least as bad as any moment of what is coming: nothing good of it is there yet."""
    return Counts(
        total=held.total,
        bad=held.bad + coming.bad,
        over=held.over + coming.over,
        sum_u=held.sum_u + coming.sum_u,
    )


def _as_if_good(held: Counts, coming: Counts) -> Counts:
    """At least as good as any moment of what is coming: nothing bad of it is there yet."""
    return Counts(held.total + coming.total, held.bad, held.over, held.sum_u)


def _windows(slo: Slo, route: Route) -> dict[int, None]:
    """The windows that a judgement depends on, s."""
    burns = [window_s for rule in slo.burns for window_s in rule.windows_s]
    wanted = [slo.breach.window_s, *burns, slo.period_s]
    for step in route.steps:
        if isinstance(step.condition, TooMany):
            wanted.append(step.condition.window_s)
        elif isinstance(step.condition, Growing):
            wanted += [GROWTH_S, 2 * GROWTH_S]
    if slo.definition.distinct:
        wanted.append(24 * 3600)
    return dict.fromkeys(wanted)


def _rule_sight(signal: Signal, stands: RuleState | None) -> RuleSight:
    if stands is not None and stands.state == "firing":
        return RuleSight(signal.fires, signal.true, signal.may_clear)
    return RuleSight(signal.fires)


def _rule_timers(
    rule: BreachRule | BurnRule, stands: RuleState, seen: RuleSight, stale_s: int
) -> Iterator[int]:
    if stands.state == "pending":
        yield stands.since + rule.for_s * 1000
    elif stands.state == "firing" and not seen.fires:
        if seen.true is False and seen.may_clear:
            yield stands.last_true + rule.keep_firing_s * 1000
        else:
            yield stands.stale_since + stale_s * 1000


def _open(state: SloState) -> list[Incident]:
    return [incident for incident in state.lanes.values() if incident.open]


def _is_active(state: SloState) -> bool:
    """Whether a judgement must be remembered even where it changes nothing."""
    return bool(_open(state)) or any(rule.state != "inactive" for rule in state.rules.values())


def _lasting(state: SloState) -> SloState:
    """The state without the memory of when it was last so."""
    return replace(
        state,
        judged_at=0,
        rules={name: replace(rule, last_true=0) for name, rule in state.rules.items()},
        lanes={name: replace(incident, p1_last=None) for name, incident in state.lanes.items()},
    )
