"""Stories: the facts of a notice, gathered for the person who is woken up."""

from collections.abc import Callable, Iterable, Sequence
from math import inf
from typing import Literal, NamedTuple, get_args

from app.core import budgets
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
from app.core.slos import BreachRule, EvidenceField, Measure, Slo, family_of

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
    digits = 2 if abs(ratio) < 0.01 or 0.99 < abs(ratio) < 1 else 1
    text = f"{ratio * 100:.{digits}f}"
    return f"{text.rstrip('0').rstrip('.') if '.' in text else text} %"


class _Told(NamedTuple):
    """How a rule's value is put to people."""

    measure: str
    comparator: Literal["<", ">"]
    unit: Literal["ratio", "ms", "MB", "count"]


_BUDGET = _Told("error budget consumed", ">", "ratio")
_RATE = _Told("burn rate", ">", "count")
_BREACHES: dict[Measure, _Told] = {
    "ratio": _Told("good / total", "<", "ratio"),
    "mean": _Told("mean", ">", "MB"),
    "distinct": _Told("failing conversations", ">", "count"),
    "count": _Told("bad events", ">", "count"),
}


def finding(slo: Slo, signal: Signal) -> Finding:
    """A signal as people are told of it."""
    told, threshold, bad = _BUDGET, signal.threshold, signal.counts.bad
    if signal.rule == slo.breach.id and slo.breach.measure == "quantile":
        told, threshold, bad = _quantile(slo), _slower(slo.breach), signal.counts.over
    elif signal.rule == slo.breach.id:
        told = _of_breach(slo)
    elif _is_rate(slo, signal.rule):
        told = _RATE
    return Finding(
        rule=signal.rule,
        severity=signal.severity,
        measure=told.measure,
        value=signal.value if signal.value is not None else 0.0,
        comparator=told.comparator,
        threshold=threshold,
        window_s=signal.window_s,
        unit=told.unit,
        bad=bad,
        total=signal.counts.total,
    )


def _of_breach(slo: Slo) -> _Told:
    told = _BREACHES[slo.breach.measure]
    if slo.breach.measure == "mean" and slo.headline.unit != "ratio":
        return told._replace(unit=slo.headline.unit)
    return told


def _is_rate(slo: Slo, rule: str) -> bool:
    return any(burn.id == rule and burn.rate is not None for burn in slo.burns)


def _slower(rule: BreachRule) -> float:
    """The share of executions that may be slower than a quantile's limit."""
    return budgets.error_ratio(rule.quantile)


def _quantile(slo: Slo) -> _Told:
    rule = slo.breach
    if slo.headline.unit != "ms":
        return _Told(f"P{rule.quantile * 100:g}: share above {rule.threshold:g}", ">", "ratio")
    limit = f"slower than {rule.threshold / 1000:g} s (limit {percent(_slower(rule))})"
    return _Told(f"P{rule.quantile * 100:g}: share {limit}", ">", "ratio")


def headline(slo: Slo, signals: Sequence[Signal], firing: Sequence[str]) -> str:
    """What burns, in one sentence."""
    sentences = [_sentence(slo, s) for s in signals if s.rule in firing and s.value is not None]
    return "; ".join(sentences) or f"{slo.title} is within its limits"


def _sentence(slo: Slo, signal: Signal) -> str:
    window = span_words(signal.window_s)
    if _is_rate(slo, signal.rule):
        rate = f"burn rate {signal.value or 0.0:.3g} over the last {window}"
        return f"{slo.title}: {rate} (limit {signal.threshold:g})"
    if signal.rule != slo.breach.id:
        spent, limit = percent(signal.value or 0.0), percent(signal.threshold)
        return f"{slo.title}: {spent} of the error budget went in the last {window} (limit {limit})"
    return f"{slo.title}: {_SENTENCES[slo.breach.measure](slo, signal, window)}"


def _of_ratio(_: Slo, signal: Signal, window: str) -> str:
    good, limit = percent(signal.value or 0.0), percent(signal.threshold)
    return f"{good} of {signal.counts.total} good in the last {window} (limit {limit})"


def _of_quantile(slo: Slo, signal: Signal, window: str) -> str:
    rule, counts = slo.breach, signal.counts
    limit, beyond = f"{rule.threshold / 1000:g} s", "took longer than"
    if slo.headline.unit != "ms":
        limit, beyond = f"{rule.threshold:g}", "were above"
    slow = f"{counts.over} of {counts.total} {beyond} {limit}"
    return f"P{rule.quantile * 100:g} above {limit} over the last {window}, {slow}"


def _of_mean(slo: Slo, signal: Signal, window: str) -> str:
    unit = {"ms": " ms", "count": ""}.get(slo.headline.unit, " MB")
    mean, limit = signal.value or 0.0, signal.threshold
    return f"mean of {mean:.0f}{unit} over the last {window} (limit {limit:.0f}{unit})"


def _of_count(_: Slo, signal: Signal, window: str) -> str:
    bad = signal.counts.bad
    return f"{bad} bad event{'s'[: bad != 1]} in the last {window} (limit {signal.threshold:g})"


def _of_distinct(_: Slo, signal: Signal, window: str) -> str:
    failing = signal.counts.bad
    return f"{failing} conversation{'s'[: failing != 1]} failed in the last {window}"


_SENTENCES: dict[Measure, Callable[[Slo, Signal, str], str]] = {
    "ratio": _of_ratio,
    "quantile": _of_quantile,
    "mean": _of_mean,
    "distinct": _of_distinct,
    "count": _of_count,
}


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
    return tuple(c for by in get_args(EvidenceField) for c in _top(sums, by, most))


def _top(sums: dict[str, Counts], by: EvidenceField, most: int) -> Iterable[Contributor]:
    named = [
        (tag.partition("=")[2], counts)
        for tag, counts in sums.items()
        if tag.startswith(f"{by}=") and counts.bad > 0
    ]
    named.sort(key=lambda item: (-item[1].bad, -(_mean(item[1]) or 0.0), item[0]))
    for name, counts in named[:most]:
        yield Contributor(by=by, name=name, bad=counts.bad, total=counts.total, mean=_mean(counts))


def _mean(counts: Counts) -> float | None:
    return counts.sum_u / MICRO / counts.total if counts.sum_u and counts.total else None


def evidence_window(slo: Slo, rules: Iterable[str]) -> int:
    """The window whose evidence is shown: that of the shortest firing rule, an hour at least."""
    windows = {slo.breach.id: slo.breach.window_s} | {rule.id: rule.window_s for rule in slo.burns}
    firing = [windows[rule] for rule in rules if rule in windows]
    return min(max(min(firing, default=_EVIDENCE_S), _EVIDENCE_S), _LONGEST_EVIDENCE_S)


def next_step(incident: Incident, route: Route) -> NextStep | None:
    """The next step that is still to come."""
    if not incident.open or (route.stop_on == "ack" and incident.state == "acknowledged"):
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
        next_step=next_step(incident, route),
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
    return "slow-burn" if incident.lane == "slow-burn" else family_of(slo.id)


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
