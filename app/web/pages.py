"""The pages: what people see, rendered here, so that they work without a script."""

import asyncio
from collections.abc import Mapping
from importlib.resources import files
from typing import Any
from urllib.parse import quote

import jinja2
from aiohttp import web

from app.core.status import iso
from app.web import phrases, runbooks, views
from app.web.api import asked_incident
from app.web.problems import Problem
from app.web.surroundings import SURROUNDINGS, Surroundings
from app.web.views import Document

RESOLVED_SHOWN = 10

routes = web.RouteTableDef()


def environment() -> jinja2.Environment:
    """The templates; whatever they are given is escaped."""
    made = jinja2.Environment(
        loader=jinja2.FileSystemLoader(str(files(__package__) / "templates")),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.globals["say"] = phrases
    made.filters["path"] = lambda text: quote(str(text), safe="")
    return made


_environment = environment()


def render(template: str, values: Mapping[str, Any]) -> web.Response:
    """A page as a response."""
    text = _environment.get_template(template).render(values)
    return web.Response(text=text, content_type="text/html")


def overview(around: Surroundings) -> dict[str, Any]:
    """What the first page shows."""
    mirror = around.mirror
    status = views.slo_status(mirror.slos, around.order, around.standing())
    opened = views.incident_list(mirror.incidents, "open")["incidents"]
    resolved = views.incident_list(mirror.incidents, "resolved")["incidents"]
    gate = views.gate(mirror.slos, mirror.incidents, around.order, "feature")
    titles = {slo.id: slo.title for slo in around.policy.slos.values()}
    return {
        "status": status,
        "as_of": status["asOf"],
        "gate": gate,
        "frozen": [titles[slo] for slo in gate["slos"]],
        "summary": summary(status, opened, known=mirror.caught_up),
        "incidents": mirror.incidents,
        "opened": sorted(opened, key=lambda one: one["severity"]),
        "resolved": resolved[:RESOLVED_SHOWN],
        "routes": around.policy.ownership.routes,
        "titles": titles,
        "waiting": [slo for slo in around.order if slo not in mirror.slos],
        "reasons": around.health().reasons,
    }


def summary(status: Document, opened: list[Document], *, known: bool) -> str:
    """How things are, in a sentence."""
    if not known or status["asOf"] is None:
        return "Nothing is known yet"
    if opened:
        urgent = sum(one["severity"] == "P1" for one in opened)
        count = f"{len(opened)} open incident{'s'[: len(opened) != 1]}"
        return f"{count}, {urgent} of them P1" if urgent else count
    missed = [slo["title"] for slo in status["slos"] if not phrases.meets_target(slo)]
    if missed:
        return f"No open incident; below target: {', '.join(missed)}"
    return "No open incident, every objective holds"


@routes.get("/")
async def first_page(request: web.Request) -> web.Response:
    """How every SLO stands."""
    return render("overview.html", overview(request.app[SURROUNDINGS]))


@routes.get("/incidents/{key}")
async def incident_page(request: web.Request) -> web.Response:
    """One incident, with its history, escalation and evidence."""
    around = request.app[SURROUNDINGS]
    return render("incident.html", incident_view(around, asked_incident(request)))


def incident_view(around: Surroundings, incident: Document) -> dict[str, Any]:
    """What an incident's page shows; its times are told from the judge's own."""
    slo = around.policy.slos.get(incident["slo"])  # None: the alerter's own incident
    judged_at = around.mirror.slos.get(incident["slo"], {}).get("judgedAt")
    return {
        "incident": incident,
        "as_of": incident["resolvedAt"] or judged_at or iso(around.clock()),
        "route": around.policy.ownership.routes.get(incident["slo"]),
        "title": slo.title if slo else incident["slo"],
        "unit": slo.headline.unit if slo else "count",
        "summary": f"{incident['severity']} {incident['state']}",
    }


@routes.get("/runbooks/{name}")
async def runbook_page(request: web.Request) -> web.Response:
    """A runbook; with `?incident=KEY` that incident's values stand in it."""
    name = request.match_info["name"]
    text = await asyncio.to_thread(runbooks.text_of, name)
    if text is None:
        raise Problem(404, "There is no runbook of this name; they lie in docs/runbooks.")
    key = request.query.get("incident", "")
    incident = request.app[SURROUNDINGS].mirror.incidents.get(key)
    values = runbooks.values_of(incident) if incident else {}
    query = f"?incident={quote(key, safe='')}" if incident else ""
    page = {
        "title": runbooks.title_of(text, name),
        "body": runbooks.html_of(text, values, query),
        "incident": incident,
        "values": values,
    }
    return render("runbook.html", page)
