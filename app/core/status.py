"""What is shown of an SLO: one value of `slo.status`, in the shape of the HTTP API.

Times are ISO 8601 in UTC, durations seconds, ratios 0 to 1; infinity is the string "inf".
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from math import inf
from typing import Any

import msgspec

from app.core import budgets, history, judge, maintenance, sketch, stories
from app.core.cells import Counts
from app.core.corrections import Correction
from app.core.figures import SHOWN_WINDOWS_S, Figures, good_ratio, value_of
from app.core.freezes import Freeze
from app.core.gates import Override
from app.core.incidents import Incident
from app.core.judge import SloState
from app.core.ledger import Ledger
from app.core.maintenance import Window
from app.core.notices import Contributor, Example
from app.core.ownership import Route
from app.core.rules import INACTIVE
from app.core.signals import Signal
from app.core.silences import Silence
from app.core.slos import Slo
from app.core.vitals import ALERTER, WATCHES

BURN_SHOWN = ("1h", "6h", "7d")
QUANTILES = {"p50": 0.50, "p95": 0.95, "p99": 0.99}
_EXAMPLES_SHOWN = 10
_CONTRIBUTORS_SHOWN = 10
_BEFORE_S = 3600  # shown before the window that made it fire

Document = dict[str, Any]


def iso(ms: int | None) -> str | None:
    """A time as ISO 8601 in UTC, None for None."""
    if ms is None:
        return None
    text = datetime.fromtimestamp(ms / 1000, UTC).isoformat(timespec="milliseconds")
    return text.replace("+00:00", "Z")


def _number(value: float | None) -> float | str | None:
    return "inf" if value == inf else value


def of_slo(
    slo: Slo,
    route: Route,
    state: SloState,
    figures: Figures,
    signals: Sequence[Signal],
    ledger: Ledger,
) -> Document:
    """The status of one SLO."""
    main = state.lanes.get("main")
    open_incidents = [incident for incident in state.lanes.values() if incident.open]
    headline = _headline(slo, figures, ledger)
    return {
        "id": slo.id,
        "title": slo.title,
        "owner": route.owner,
        "channel": route.channel,
        "objective": slo.objective,
        "judgedAt": iso(figures.now),
        "judged": state.caught_up,
        "incident": main.key if main and main.open else None,
        "incidents": [incident.key for incident in open_incidents],
        "noData": headline["value"] is None,
        "headline": headline,
        "windows": {
            name: _window(slo, figures.windows[window_s])
            for name, window_s in SHOWN_WINDOWS_S.items()
        },
        "quantiles": _quantiles(slo, figures, ledger),
        "budget": _budget(slo, figures),
        "burn": {
            name: _number(budgets.burn_rate(figures.windows[SHOWN_WINDOWS_S[name]], slo.objective))
            for name in BURN_SHOWN
        },
        "rules": [_rule(signal, state) for signal in signals],
        "freeze": of_freeze(state.freeze),
        "frozen": is_frozen(slo, state),
        "overrides": [of_override(one) for one in state.overrides],
        "silences": [of_silence(one) for one in judge.silent(slo, state, figures.now)],
        "maintenance": [
            of_window(window, slo.id, figures.now)
            for window in (*slo.maintenance, *state.maintenance)
        ],
        "corrections": _corrections(slo, state),
        "rest": msgspec.to_builtins(slo.rest),
    }


def _corrections(slo: Slo, state: SloState) -> list[Document]:
    applied = bool(slo.definition.distinct) or (
        judge.exclusion(slo, state).fingerprint == state.applied.exclusion
    )
    return [of_correction(one, applied=applied) for one in state.corrections]


def of_correction(one: Correction, *, applied: bool) -> Document:
    """A correction as it is shown."""
    return {
        "id": one.id,
        "slo": one.slo,
        "from": iso(one.begins_at),
        "to": iso(one.ends_at),
        "agent": one.agent or None,
        "cliType": one.cli_type or None,
        "by": one.by,
        "why": one.why,
        "at": iso(one.at),
        "applied": applied,
    }


def of_silence(silence: Silence) -> Document:
    """A silence as it is shown."""
    return {
        "id": silence.id,
        "slo": silence.slo,
        "severity": silence.severity,
        "rule": silence.rule,
        "kind": silence.kind,
        "beginsAt": iso(silence.begins_at),
        "endsAt": iso(silence.ends_at),
        "by": silence.by,
        "why": silence.why,
    }


def of_window(window: Window, slo: str, now: int) -> Document:
    """A maintenance window as it is shown, with its occurrence that is now or comes next."""
    begins_at, ends_at = maintenance.next_occurrence(window, now) or (None, None)
    return {
        "id": window.id,
        "slo": slo,
        "begins": window.begins,
        "lasts_s": window.lasts_s,
        "zone": window.zone,
        "repeats": window.repeats or None,
        "excludeFromBudget": window.exclude_from_budget,
        "by": window.by,
        "why": window.why,
        "nextBeginsAt": iso(begins_at),
        "nextEndsAt": iso(ends_at),
    }


def is_frozen(slo: Slo, state: SloState) -> bool:
    """Whether deployments are frozen: the budget is spent, or a zero-tolerance incident is open."""
    main = state.lanes.get("main")
    return state.freeze.frozen or (slo.zero_tolerance and main is not None and main.open)


def _headline(slo: Slo, figures: Figures, ledger: Ledger) -> Document:
    wanted = slo.headline
    counts = figures.windows.get(wanted.window_s, Counts())
    if wanted.kind == "quantile":
        found = sketch.quantiles(
            ledger.quantile_bins(figures.now, wanted.window_s), [slo.breach.quantile]
        )
        value: float | None = found[0] if found else None
    else:
        value = _sli(slo, counts)
    return {
        "kind": wanted.kind,
        "value": value,
        "target": wanted.target,
        "window": wanted.window_s,
        "unit": wanted.unit,
    }


def _sli(slo: Slo, counts: Counts) -> float | None:
    if not counts.total:
        return None
    return (
        value_of(slo.headline.kind, counts) if slo.headline.kind == "mean" else good_ratio(counts)
    )


def _window(slo: Slo, counts: Counts) -> Document:
    value = value_of("mean", counts) if slo.headline.kind == "mean" else None
    if counts.total and slo.headline.kind != "mean":
        value = good_ratio(counts)
    return {"total": counts.total, "bad": counts.bad, "value": value}


def _quantiles(slo: Slo, figures: Figures, ledger: Ledger) -> Document:
    names = {window_s: name for name, window_s in SHOWN_WINDOWS_S.items()}
    shown: Document = {}
    for window_s in slo.quantile_windows_s:
        found = sketch.quantiles(ledger.quantile_bins(figures.now, window_s), QUANTILES.values())
        shown[names.get(window_s, f"{window_s}s")] = (
            dict(zip(QUANTILES, found, strict=True)) if found else dict.fromkeys(QUANTILES)
        )
    return shown


def _budget(slo: Slo, figures: Figures) -> Document:
    budget = figures.budget
    by_time = budget.consumed_by_time
    return {
        "basis": slo.basis,
        "allowed": budget.allowed,
        "bad": budget.bad,
        "consumed": _number(budget.consumed),
        "remaining": _number(budget.remaining),
        "exhausted": budget.consumed is not None and budget.consumed >= 1,
        "estimated": budget.estimated,
        "exhaustedIn_s": _number(budget.exhausted_in_s),
        "byTime": {
            "consumed": _number(by_time),
            "remaining": None if by_time is None else _number(1 - by_time),
        },
    }


def _rule(signal: Signal, state: SloState) -> Document:
    stands = state.rules.get(signal.rule, INACTIVE)
    return {
        "id": signal.rule,
        "severity": signal.severity,
        "state": stands.state,
        "value": _number(signal.value),
        "threshold": signal.threshold,
        "window": signal.window_s,
        "heldBackBy": signal.held_by,
    }


def of_freeze(freeze: Freeze) -> Document:
    """The freeze as it is shown."""
    return {
        "key": freeze.key or None,
        "since": iso(freeze.since),
        "liftedAt": iso(freeze.lifted_at),
        "due": [
            {"what": d.what, "owner": d.owner, "doneAt": iso(d.done_at), "link": d.link or None}
            for d in freeze.due
        ],
    }


def of_override(override: Override) -> Document:
    """An override of the deployment gate as it is shown."""
    return {
        "id": override.id,
        "by": override.by,
        "why": override.why,
        "at": iso(override.at),
        "until": iso(override.until),
    }


def of_incident(slo: Slo, incident: Incident, ledger: Ledger, now: int) -> Document:
    """An incident with its evidence: one value of `slo.alerts`.

    The evidence reaches from the window that made it fire to its end, a day at most.
    """
    at = incident.resolved_at or now
    lasted_s = (at - incident.opened_at) // 1000
    window_s = stories.evidence_window(slo, incident.rules) + max(0, lasted_s)
    named = stories.contributors(ledger, at, window_s, _CONTRIBUTORS_SHOWN)
    evidence = {
        "window": window_s,
        "contributors": [of_contributor(one) for one in named],
        "examples": [of_example(e) for e in ledger.examples(at, window_s)[:_EXAMPLES_SHOWN]],
        "series": _series(slo, ledger, at // 1000 - window_s - _BEFORE_S, at // 1000),
    }
    return _incident(incident) | {
        "runbook": stories.runbook_of(slo, incident),
        "evidence": evidence,
    }


def _series(slo: Slo, ledger: Ledger, begin_s: int, end_s: int) -> Document:
    """How it went, from some time before it began: kept with the incident, for the rows expire."""
    found = history.around(slo, ledger, begin_s, end_s)
    return msgspec.structs.asdict(found) | {"begin": iso(found.begin)}


def of_own_incident(incident: Incident) -> Document:
    """An incident without executions as evidence: the alerter's, or of an SLO that is gone."""
    watch = WATCHES.get(incident.lane) if incident.slo == ALERTER else None
    return _incident(incident) | {
        "runbook": watch.runbook if watch else incident.slo,
        "evidence": {"window": 0, "contributors": [], "examples": [], "series": None},
    }


def _incident(incident: Incident) -> Document:
    who = incident.acknowledged
    return {
        "key": incident.key,
        "slo": incident.slo,
        "lane": incident.lane,
        "severity": incident.severity,
        "state": incident.state,
        "rules": list(incident.rules),
        "openedAt": iso(incident.opened_at),
        "acknowledged": {"by": who.by, "at": iso(who.at), "via": who.via} if who else None,
        "resolvedAt": iso(incident.resolved_at),
        "resolvedBy": incident.resolved_by or None,
        "why": incident.why or None,
        "escalation": [
            {
                "to": ", ".join(step.to),
                "how": step.how,
                "when": step.text,
                "dueAt": iso(step.due_at),
                "doneAt": iso(step.done_at),
                "late_s": step.late_s,
            }
            for step in incident.steps
        ],
        "conversations": list(incident.conversations),
        "silences": [of_silence(one) for one in incident.silences],
        "reopened": incident.reopened,
        "history": [
            {
                "at": iso(entry.at),
                "kind": entry.kind,
                "reason": entry.reason,
                "told": not entry.untold,
            }
            for entry in incident.history
        ],
    }


def of_contributor(one: Contributor) -> Document:
    """A contributor as it is shown."""
    shown: Document = msgspec.to_builtins(one)
    return shown


def of_example(one: Example) -> Document:
    """A failing execution as it is shown."""
    return {
        "at": iso(one.at),
        "agent_id": one.agent_id or None,
        "cli_type": one.cli_type or None,
        "error": one.error or None,
        "duration_ms": one.duration_ms,
        "memory_mb": one.memory_mb,
        "conversationId": one.conversation_id or None,
        "issueTypes": list(one.issue_types),
        "ticketId": one.ticket_id or None,
        "topic": one.topic,
        "partition": one.partition,
        "offset": one.offset,
    }
