"""Scenes: what each page shows, gathered from what is known."""

from collections.abc import Iterable
from itertools import chain
from typing import Any

from app.core.ownership import pagerduty, slack
from app.core.status import iso
from app.delivery.deliveries import Delivery
from app.delivery.wording import destination_name
from app.web import charts, phrases, reports, views
from app.web.surroundings import Surroundings
from app.web.views import Document, ms_of

Scene = dict[str, Any]

RESOLVED_SHOWN = 10
OPEN_SHOWN = 25
OF_A_PAGE = 50
MOST_PAGES = 1000
ATTEMPTS_SHOWN = 100
STALE_MS = 45_000  # the status comes every 10 s

TONES = {
    "accepted": "good",
    "printed": "quiet",
    "skipped": "quiet",
    "retry": "warn",
    "fallback": "warn",
    "failed": "bad",
}


def overview(around: Surroundings) -> Scene:
    """The first page."""
    mirror = around.mirror
    status = views.slo_status(mirror.slos, around.order, around.standing())
    opened = views.incident_list(mirror.incidents, "open")["incidents"]
    resolved = views.incident_list(mirror.incidents, "resolved")["incidents"]
    gate = views.gate(mirror.slos, mirror.incidents, around.order, "feature", around.now())
    as_of = status["asOf"]
    return {
        "status": status,
        "by_id": {slo["id"]: slo for slo in status["slos"]},
        "as_of": as_of,
        "stale": as_of is not None and _is_stale(around, as_of),
        "gate": gate,
        "frozen": [around.policy.slos[slo].title for slo in gate["slos"]],
        "summary": summary(status, opened, known=mirror.caught_up),
        "opened": sorted(opened, key=lambda one: one["severity"]),
        "most_shown": OPEN_SHOWN,
        "resolved": resolved[:RESOLVED_SHOWN],
        "cards": [_card(around, slo) for slo in _worst_first(status["slos"])],
        "waiting": [slo for slo in around.order if slo not in mirror.slos],
        "reasons": around.health().reasons,
    }


def _is_stale(around: Surroundings, as_of: str) -> bool:
    """Data on its own time (a replay) is never too old."""
    return not around.settings.replay and around.now() - ms_of(as_of) > STALE_MS


def _worst_first(slos: Iterable[Document]) -> list[Document]:
    """What burns comes first where there are many; a few stay in their places."""
    known = list(slos)
    if len(known) <= 12:
        return known
    return sorted(known, key=lambda slo: (not slo["incidents"], not slo["frozen"]))


def _card(around: Surroundings, slo: Document) -> Scene:
    mirror = around.mirror
    burn_down = charts.burn_down(charts.hours_of(mirror.history.get(slo["id"], {})), slo)
    marks: list[charts.Mark] = []
    if burn_down["remaining"]:
        of_slo = (one for one in mirror.incidents.values() if one["slo"] == slo["id"])
        marks = charts.marks(of_slo, slo["id"], burn_down["begin"])
    return {"slo": slo, "burn_down": charts.spark(burn_down, marks, ms_of(slo["judgedAt"]))}


def summary(status: Document, opened: list[Document], *, known: bool) -> str:
    """How things are, in a sentence."""
    if not known or status["asOf"] is None:
        return "Nothing is known yet"
    if opened:
        urgent = sum(one["severity"] == "P1" for one in opened)
        all_p1 = "P1 " if urgent == len(opened) else ""
        count = f"{len(opened)} open {all_p1}incident{'s'[: len(opened) != 1]}"
        return f"{count}, {urgent} of them P1" if 0 < urgent < len(opened) else count
    missed = [slo["title"] for slo in status["slos"] if not phrases.meets_target(slo)]
    if missed:
        return f"No open incident; below target: {', '.join(missed)}"
    return "No open incident, every objective holds"


def slo(around: Surroundings, name: str) -> Scene:
    """One SLO's page."""
    mirror = around.mirror
    every = views.incident_list(mirror.incidents)["incidents"]
    documents = reports.reports(mirror.history, around.policy.slos, around.now())
    months = [
        (reports.month_words(document["month"]), document["running"], one)
        for document in documents
        for one in document["slos"]
        if one["id"] == name
    ]
    return {
        "slo": mirror.slos[name],
        "own": [one for one in every if one["slo"] == name][:OF_A_PAGE],
        "reports": months,
    }


def incidents(around: Surroundings, state: str | None, page: int) -> Scene:
    """Incidents, newest first, so many a page."""
    found = views.incident_list(around.mirror.incidents, state)["incidents"]
    begin = (page - 1) * OF_A_PAGE
    shown = found[begin : begin + OF_A_PAGE]
    return {
        "found": shown,
        "caption": f"{begin + 1} to {begin + len(shown)} of {len(found)}, newest first",
        "state": state or "all",
        "query": f"state={state}&" if state else "",
        "page": page,
        "pages": -(-len(found) // OF_A_PAGE),
    }


def incident(around: Surroundings, found: Document) -> Scene:
    """An incident's page; its times are told from the judge's own."""
    of_slo = around.policy.slos.get(found["slo"])  # None: the alerter's own incident
    told = around.mirror.deliveries.by_incident.get(found["key"], [])
    return {
        "incident": found,
        "as_of": found["resolvedAt"] or iso(around.now()),
        "route": around.policy.ownership.routes.get(found["slo"]),
        "slo": of_slo,
        "title": of_slo.title if of_slo else found["slo"],
        "kind": of_slo.headline.kind if of_slo else "ratio",
        "unit": of_slo.headline.unit if of_slo else "count",
        "summary": f"{found['severity']} {found['state']}",
        "burning": phrases.burning(around.mirror.slos.get(found["slo"]), found),
        "deliveries": [_attempt(around, one) for one in _newest(told)],
        "show_incident": False,
    }


def report(documents: list[Document]) -> Scene:
    """The month report's page."""
    return {
        "reports": documents,
        "rows": [(document, reports.row(document)) for document in documents],
        "columns": reports.COLUMNS,
        "slo_columns": reports.SLO_COLUMNS,
        "slo_row": reports.slo_row,
    }


def deliveries(around: Surroundings) -> Scene:
    """The newest attempts, and every destination."""
    told = chain.from_iterable(around.mirror.deliveries.by_incident.values())
    return {
        "deliveries": [_attempt(around, one) for one in _newest(told)[:ATTEMPTS_SHOWN]],
        "show_incident": True,
        "destinations": [_destination(around, name) for name in _destinations(around)],
    }


def _newest(told: Iterable[Delivery]) -> list[Delivery]:
    return sorted(told, key=lambda one: one.at, reverse=True)


def _attempt(around: Surroundings, one: Delivery) -> Scene:
    duplicate = "possible duplicate" if one.possible_duplicate else ""
    attempt = f"attempt {one.attempt}" if one.attempt > 1 else ""
    reason = one.reason if one.reason != one.outcome else ""
    return {
        "at": iso(one.at),
        "to": destination_name(one.destination),
        "incident": one.incident,
        "known": one.incident in around.mirror.incidents,
        "kind": one.kind,
        "outcome": one.outcome,
        "tone": TONES[one.outcome],
        "status": one.status,
        "duration_ms": one.duration_ms,
        "remarks": ", ".join(part for part in (reason, attempt, duplicate) if part),
    }


def _destinations(around: Surroundings) -> list[str]:
    """Whoever may be told by the ownership matrix."""
    found: dict[str, None] = {}
    for route in around.policy.ownership.routes.values():
        pagers = [owner for step in route.steps if step.how == "page" for owner in step.to]
        found |= dict.fromkeys([slack(route.channel), *map(pagerduty, (route.owner, *pagers))])
    return sorted(found)


def _destination(around: Surroundings, name: str) -> Scene:
    known = around.mirror.deliveries
    accepted, refused = known.accepted.get(name), known.refused.get(name)
    broken = refused is not None and (accepted is None or refused.at > accepted.at)
    health, tone = ("refuses", "bad") if broken else ("takes", "good")
    if refused is not None and broken and refused.outcome == "retry":
        health, tone = "being tried again", "warn"
    if accepted is not None and accepted.outcome == "printed":
        health, tone = "prints only", "quiet"
    if accepted is None and refused is None:
        health, tone = "not used yet", "quiet"
    return {
        "name": destination_name(name),
        "health": health,
        "tone": tone,
        "accepted_at": iso(accepted.at) if accepted else None,
        "refused_at": iso(refused.at) if refused else None,
        "reason": refused.reason if refused and broken else "",
    }
