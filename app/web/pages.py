"""The pages: what people see, rendered here, so that they work without a script."""

import asyncio
from collections.abc import Mapping
from importlib.resources import files
from typing import Any
from urllib.parse import quote

import jinja2
from aiohttp import web

from app.core.status import iso
from app.web import phrases, runbooks, scenes
from app.web.access import me
from app.web.api import asked_incident, check_caught_up
from app.web.history import asked_reports
from app.web.problems import Problem
from app.web.surroundings import SURROUNDINGS
from app.web.views import STATES

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


_CHANGES = {
    "can_silence": "/api/silences",
    "can_override": "/api/gate/override",
    "can_tick": "/api/gate/due",
}


def _paths(request: web.Request) -> set[str]:
    return {resource.canonical for resource in request.app.router.resources()}


def render(
    request: web.Request, template: str, values: Mapping[str, Any], status: int = 200
) -> web.Response:
    """A page as a response, with what every page shows."""
    around = request.app[SURROUNDINGS]
    every = {
        "me": me(request),
        "path": request.path,
        "now": iso(around.now()),
        "routes": around.policy.ownership.routes,
        "titles": {slo.id: slo.title for slo in around.policy.slos.values()},
        "incidents": around.mirror.incidents,
        **{name: path in _paths(request) for name, path in _CHANGES.items()},
    }
    text = _environment.get_template(template).render(every | dict(values))
    return web.Response(text=text, content_type="text/html", status=status)


@routes.get("/")
async def first_page(request: web.Request) -> web.Response:
    """How every SLO stands."""
    return render(request, "overview.html", scenes.overview(request.app[SURROUNDINGS]))


@routes.get("/slos/{slo}")
async def slo_page(request: web.Request) -> web.Response:
    """One SLO with its charts."""
    around = request.app[SURROUNDINGS]
    slo = request.match_info["slo"]
    if slo not in around.policy.slos:
        raise Problem(
            404, f"There is no objective of this name; there are {_listed(around.order)}."
        )
    check_caught_up(around)
    if slo not in around.mirror.slos:
        raise Problem(503, "Nothing is known of this objective yet.", {"Retry-After": "5"})
    return render(request, "slo.html", scenes.slo(around, slo))


@routes.get("/incidents")
async def incidents_page(request: web.Request) -> web.Response:
    """Incidents, a page at a time."""
    around = request.app[SURROUNDINGS]
    state, page = request.query.get("state"), request.query.get("page", "1")
    if state is not None and state not in STATES:
        raise Problem(400, f"state is one of {_listed(STATES)}.")
    if not page.isascii() or not page.isdecimal() or not 1 <= int(page[:9]) <= scenes.MOST_PAGES:
        raise Problem(400, "page is a number from 1 on.")
    check_caught_up(around)
    return render(request, "incidents.html", scenes.incidents(around, state, int(page)))


def _listed(names: Any) -> str:  # noqa: ANN401 - anything that can be joined
    return ", ".join(names)


@routes.get("/incidents/{key}")
async def incident_page(request: web.Request) -> web.Response:
    """One incident, with its history, escalation, evidence and deliveries."""
    found = asked_incident(request)
    return render(request, "incident.html", scenes.incident(request.app[SURROUNDINGS], found))


@routes.get("/report")
async def report_page(request: web.Request) -> web.Response:
    """Month by month."""
    found = asked_reports(request.app[SURROUNDINGS], request.query.get("month"))
    return render(request, "report.html", scenes.report(found))


@routes.get("/deliveries")
async def deliveries_page(request: web.Request) -> web.Response:
    """The newest attempts to tell, and how the destinations are."""
    return render(request, "deliveries.html", scenes.deliveries(request.app[SURROUNDINGS]))


@routes.get("/runbooks/{name}")
async def runbook_page(request: web.Request) -> web.Response:
    """A runbook; with `?incident=KEY` that incident's values stand in it."""
    name = request.match_info["name"]
    text = await asyncio.to_thread(runbooks.text_of, name)
    if text is None:
        raise Problem(404, "There is no runbook of this name; they lie in docs/runbooks.")
    key = request.query.get("incident", "")
    around = request.app[SURROUNDINGS]
    incident = around.mirror.incidents.get(key)
    values = runbooks.values_of(incident) if incident else {}
    query = f"?incident={quote(key, safe='')}" if incident else ""
    page = {
        "title": runbooks.title_of(text, name),
        "body": runbooks.html_of(text, values, query, around.settings.page_url()),
        "incident": incident,
        "values": values,
    }
    return render(request, "runbook.html", page)
