"""Stories: the facts of a notice, gathered for the person who is woken up."""

from collections.abc import Iterable, Sequence
from math import inf

from app.core.budgets import BudgetState
from app.core.cells import MICRO, NOTHING, Counts
from app.core.figures import Figures
from app.core.incidents import Change, Incident, StepState
from app.core.ledger import Ledger
from app.core.notices import (
    Budget,
    Contributor,
    Example,
    Finding,
    NextStep,
    Notice,
    Severity,
    Story,
)
from app.core.ownership import Route
from app.core.signals import Signal
from app.core.slos import Slo

CONTRIBUTORS_TOLD = 3
EXAMPLES_TOLD = 5
_EVIDENCE_S = 3600
_LONGEST_EVIDENCE_S = 24 * 3600


def span_words(window_s: int) -> str:
    """A window in words: 300 → "5 minutes", 3600 → "hour", 604800 → "7 days"."""
    for unit_s, one in ((86_400, "day"), (3600, "hour"), (60, "minute")):
        if window_s % unit_s == 0 and window_s >= unit_s:
            number = window_s // unit_s
            return one if number == 1 and one != "day" else f"{number} {one}{'s'[: number > 1]}"
    return f"{window_s} s"


def percent(ratio: float) -> str:
    """A ratio as people write it: 0.9721 → "97.2 %", 0.99943 → "99.94 %"."""
    digits = 1 if 0.01 <= abs(ratio) <= 0.99 else 2
    text = f"{ratio * 100:.{digits}f}"
    return f"{text.rstrip('0').rstrip('.') if '.' in text else text} %"


def finding(slo: Slo, signal: Signal) -> Finding:
    """A signal as people are told of it."""
    value = signal.value if signal.value is not None else 0.0
    base = {
        "rule": signal.rule,
        "severity": signal.severity,
        "window_s": signal.window_s,
        "bad": signal.counts.bad,
        "total": signal.counts.total,
    }
    if signal.rule != slo.breach.id:
        return Finding(
            measure="error budget consumed",
            value=value,
            comparator=">",
            threshold=signal.threshold,
            unit="ratio",
            **base,
        )
    return _breach_finding(slo, signal, value, base)


def _breach_finding(slo: Slo, signal: Signal, value: float, base: dict[str, object]) -> Finding:
    rule = slo.breach
    if rule.measure == "quantile":
        base |= {"bad": signal.counts.over}
        share = 1 - rule.quantile
        name = f"P{rule.quantile * 100:g}"
        measure = f"{name}: share slower than {rule.threshold / 1000:g} s (limit {percent(share)})"
        return Finding(
            measure=measure, value=value, comparator=">", threshold=share, unit="ratio", **base
        )
    measures = {"ratio": "good / total", "mean": "mean", "distinct": "failing conversations"}
    units = {"ratio": "ratio", "mean": "MB", "distinct": "count"}
    return Finding(
        measure=measures[rule.measure],
        value=value,
        comparator="<" if rule.measure == "ratio" else ">",
        threshold=rule.threshold,
        unit=units[rule.measure],
        **base,
    )


def headline(slo: Slo, signals: Sequence[Signal], firing: Sequence[str]) -> str:
    """What burns, in one sentence."""
    sentences = [_sentence(slo, s) for s in signals if s.rule in firing and s.value is not None]
    return "; ".join(sentences) or f"{slo.title} is within its limits"


def _sentence(slo: Slo, signal: Signal) -> str:
    window, counts = span_words(signal.window_s), signal.counts
    value = signal.value or 0.0
    if signal.rule != slo.breach.id:
        limit = percent(signal.threshold)
        return f"{slo.title}: {percent(value)} of the error budget went in the last {window} (limit {limit})"
    measure = slo.breach.measure
    if measure == "distinct":
        return f"{slo.title}: {counts.bad} conversation{'s'[: counts.bad != 1]} failed in the last {window}"
    if measure == "mean":
        return f"{slo.title}: mean of {value:.0f} MB over the last {window} (limit {signal.threshold:.0f} MB)"
    if measure == "quantile":
        slow = f"{counts.over} of {counts.total} took longer than {signal.threshold / 1000:g} s"
        return f"{slo.title}: P{slo.breach.quantile * 100:g} above {signal.threshold / 1000:g} s over the last {window}, {slow}"
    good = f"{percent(value)} of {counts.total} good in the last {window}"
    return f"{slo.title}: {good} (limit {percent(signal.threshold)})"


def told_budget(budget: BudgetState) -> Budget | None:
    """The budget as it is told; None where nothing is known."""
    if budget.consumed is None or budget.remaining is None:
        return None
    return Budget(
        remaining=budget.remaining,
        consumed=budget.consumed,
        exhausted_in_s=None if budget.exhausted_in_s == inf else budget.exhausted_in_s,
        estimated=budget.estimated,
    )


def contributors(
    ledger: Ledger, now: int, window_s: int, most: int = CONTRIBUTORS_TOLD
) -> tuple[Contributor, ...]:
    """Who has most to do with it within the window: by bad events, then by mean; each kind."""
    sums: dict[str, Counts] = {}
    for cells in ledger.rows(now, min(window_s, _LONGEST_EVIDENCE_S)):
        for tag, counts in cells.tags.items():
            sums[tag] = sums.get(tag, NOTHING).plus(counts)
    return tuple(c for by in ("agent_id", "cli_type", "error") for c in _top(sums, by, most))


def _top(sums: dict[str, Counts], by: str, most: int) -> Iterable[Contributor]:
    named = [
        (tag.partition("=")[2], counts) for tag, counts in sums.items() if tag.startswith(f"{by}=")
    ]
    named = [(name, counts) for name, counts in named if counts.bad]
    named.sort(key=lambda item: (-item[1].bad, -item[1].sum_u, item[0]))
    for name, counts in named[:most]:
        mean = counts.sum_u / MICRO / counts.total if counts.sum_u and counts.total else None
        yield Contributor(by=by, name=name, bad=counts.bad, total=counts.total, mean=mean)


def evidence_window(slo: Slo, rules: Iterable[str]) -> int:
    """The window whose evidence is shown: that of the shortest firing rule, an hour at least."""
    windows = {slo.breach.id: slo.breach.window_s} | {rule.id: rule.window_s for rule in slo.burns}
    firing = [windows[rule] for rule in rules if rule in windows]
    return min(max(min(firing, default=_EVIDENCE_S), _EVIDENCE_S), _LONGEST_EVIDENCE_S)


def next_step(incident: Incident, acknowledged_stops: bool) -> NextStep | None:
    """The next step that is still to come."""
    if not incident.open or (acknowledged_stops and incident.state == "acknowledged"):
        return None
    waiting = [step for step in incident.steps if step.done_at is None]
    if not waiting:
        return None
    soonest = min(waiting, key=lambda step: (step.due_at is None, step.due_at or 0))
    return _next(soonest)


def _next(step: StepState) -> NextStep:
    return NextStep(to=", ".join(step.to), how=step.how, due_at=step.due_at, when=step.text)


def tell(
    slo: Slo,
    route: Route,
    change: Change,
    figures: Figures,
    signals: Sequence[Signal],
    ledger: Ledger,
) -> list[Notice]:
    """The notices of a change: one for each destination, the story the same in all."""
    incident = change.incident
    window_s = evidence_window(slo, incident.rules)
    story = Story(
        slo=slo.id,
        objective=slo.objective,
        headline=headline(slo, signals, incident.rules),
        findings=tuple(finding(slo, s) for s in signals if s.rule in incident.rules),
        budget=told_budget(figures.budget),
        owner=route.owner,
        next_step=next_step(incident, route.stop_on == "ack"),
        contributors=contributors(ledger, figures.now, window_s),
        examples=_examples(ledger, figures.now, window_s),
        conversations=incident.conversations,
        opened_at=incident.opened_at,
        resolved_at=incident.resolved_at,
        reason=change.reason,
        runbook=runbook_of(slo, incident),
    )
    return notices(change, story, incident.severity)


def runbook_of(slo: Slo, incident: Incident) -> str:
    """The runbook that fits: the SLO's own, or that of the slow burn."""
    return "slow-burn" if incident.lane == "slow-burn" else slo.id


def _examples(ledger: Ledger, now: int, window_s: int) -> tuple[Example, ...]:
    return tuple(ledger.examples(now, window_s)[:EXAMPLES_TOLD])


def notices(change: Change, story: Story, severity: Severity) -> list[Notice]:
    """One notice for each destination of a change."""
    made = []
    for destination in (*change.channels, *change.pagers):
        pager = destination in change.pagers
        made.append(
            Notice(
                id=f"{change.incident.key}#{change.seq}@{destination}",
                destination=destination,
                kind=change.kind,
                at=change.at,
                slo=change.incident.slo,
                incident=change.incident.key,
                severity=severity,
                rules=change.incident.rules,
                story=story,
                page=pager and change.kind in ("trigger", "escalate"),
                dedup_key=change.dedup_key if pager else "",
                mentions=change.mentions,
                late_s=change.late_s,
            )
        )
    return made
