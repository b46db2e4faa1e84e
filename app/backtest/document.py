"""A backtest as JSON, in the shape that scripts read. The same input gives the same bytes."""

from collections.abc import Sequence
from typing import Any

from app.backtest.comparing import Difference
from app.backtest.running import Outcome, Run
from app.backtest.scoring import Card, Found
from app.backtest.sweeping import Sweep, Tried
from app.core.notices import Notice
from app.core.status import iso

Document = dict[str, Any]


def of_run(run: Run, outcome: Outcome, card: Card) -> Document:
    """What one policy would have told."""
    return {
        "source": of_source(run),
        **of_outcome(outcome, card),
    }


def of_source(run: Run) -> Document:
    """What was read, and what became of it."""
    seen, outcome = run.readings.seen, run.outcomes[0]
    return {
        "name": run.name,
        "from": iso(outcome.begin_ms),
        "to": iso(outcome.end_ms),
        "events": seen.counted,
        "ignored": seen.ignored,
        "late": seen.late,
        "rejected": seen.rejected,
        "faults": run.readings.faults,
    }


def of_outcome(outcome: Outcome, card: Card) -> Document:
    """Notices, incidents, scores."""
    return {
        "notices": [of_notice(notice) for notice in outcome.notices],
        "incidents": list(outcome.incidents),
        "scores": of_card(card),
    }


def of_notice(notice: Notice) -> Document:
    """A notice, without its story but for what it is about."""
    return {
        "at": iso(notice.at),
        "kind": notice.kind,
        "slo": notice.slo,
        "incident": notice.incident,
        "severity": notice.severity,
        "rules": list(notice.rules),
        "destination": notice.destination,
        "page": notice.page,
        "mentions": list(notice.mentions),
        "headline": notice.story.headline,
        "reason": notice.story.reason,
    }


def of_card(card: Card) -> Document:
    """The scores."""
    result = card.result
    return {
        "precision": result.precision,
        "recall": result.recall,
        "timeToDetect_s": card.detected_s,
        "timeToReset_s": card.reset_s,
        "incidents": card.incidents,
        "notices": card.notices,
        "pages": card.pages,
        "pagesEscalated": card.escalations,
        "pagesPerWeek": card.pages_a_week,
        "pagesPerWeekByRule": card.by_rule,
        "labels": [_found(one) for one in card.found],
        "otherPages": list(result.other_pages),
    }


def _found(one: Found) -> Document:
    return {
        "slo": one.label.slo,
        "from": iso(one.label.begin),
        "to": iso(one.label.end),
        "what": one.label.what,
        "incident": one.incident,
        "timeToDetect_s": one.detected_s,
        "timeToReset_s": one.reset_s,
    }


def of_differences(differences: Sequence[Difference]) -> list[Document]:
    """What differs between two policies."""
    return [
        {
            "slo": one.slo,
            "what": one.what,
            "incident": one.before,
            "comparedIncident": one.after,
            "detail": list(one.details),
        }
        for one in differences
    ]


def of_sweep(sweep: Sweep) -> Document:
    """The trade-off."""
    return {"parameter": sweep.axis.name, "values": [_tried(one) for one in sweep.tried]}


def _tried(one: Tried) -> Document:
    return {"value": one.value, "text": one.text, "scores": of_card(one.card)}
