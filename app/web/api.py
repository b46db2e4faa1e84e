"""The API, as far as it is read: JSON out. What changes something is in `app.web.orders`."""

import asyncio
from typing import Any

import msgspec
from aiohttp import web
from prometheus_client.exposition import choose_encoder

from app.web import gauges, views
from app.web.problems import Problem
from app.web.surroundings import SURROUNDINGS, Surroundings
from app.web.views import CHANGES, STATES, Document

routes = web.RouteTableDef()
SCRAPING = web.AppKey("scraping", asyncio.Lock)


def json_answer(document: Any, status: int = 200) -> web.Response:  # noqa: ANN401 - any JSON
    """A document as a response."""
    return web.Response(
        status=status, body=msgspec.json.encode(document), content_type="application/json"
    )


@routes.get("/api/slo/status")
async def status(request: web.Request) -> web.Response:
    """Every SLO, with Kokino's own fields before them."""
    around = request.app[SURROUNDINGS]
    return json_answer(views.slo_status(around.mirror.slos, around.order, around.standing()))


@routes.get("/api/incidents")
async def incidents(request: web.Request) -> web.Response:
    """Incidents, newest first."""
    around = request.app[SURROUNDINGS]
    state = request.query.get("state")
    if state is not None and state not in STATES:
        raise Problem(400, f"state is one of {', '.join(STATES)}.")
    check_caught_up(around)
    return json_answer(views.incident_list(around.mirror.incidents, state))


@routes.get("/api/incidents/{key}")
async def incident(request: web.Request) -> web.Response:
    """One incident."""
    return json_answer(asked_incident(request))


@routes.get("/api/slo/gate")
async def gate(request: web.Request) -> web.Response:
    """Whether a change may be deployed now; 503 where nobody can tell."""
    around = request.app[SURROUNDINGS]
    wanted = request.query.get("change", "feature")
    change = next((known for known in CHANGES if known == wanted), None)
    if change is None:
        raise Problem(400, f"change is one of {', '.join(CHANGES)}.")
    check_caught_up(around)
    slos = around.mirror.slos
    stale_ms = None if around.settings.replay else views.STALE_MS
    why = views.why_unknown(slos, around.order, now=around.clock(), stale_ms=stale_ms)
    if why is not None:
        raise Problem(503, f"Not known: {why}.", {"Retry-After": "10"})
    found = views.gate(slos, around.mirror.incidents, around.order, change, around.now())
    return json_answer(found)


@routes.get("/metrics")
async def metrics(request: web.Request) -> web.Response:
    """What Prometheus scrapes, in the form it asks for.

    Written in a thread, one scrape at a time: with thousands of SLOs it takes most of a second,
    during which they are to be judged.
    """
    around = request.app[SURROUNDINGS]
    encode, content_type = choose_encoder(request.headers.get("Accept", ""))
    async with request.app[SCRAPING]:
        gauges.show(around.metrics, around.mirror.slos, around.mirror.incidents, around.order)
        body = await asyncio.to_thread(encode, around.metrics.registry)
    return web.Response(body=body, headers={"Content-Type": content_type})


@routes.get("/healthz")
async def alive(request: web.Request) -> web.Response:
    """503 where the worker must be started again."""
    health = request.app[SURROUNDINGS].health()
    return _probe("alive", health.alive, () if health.alive else health.reasons)


@routes.get("/readyz")
async def ready(request: web.Request) -> web.Response:
    """503 where what is shown is not, or not yet, the present."""
    around = request.app[SURROUNDINGS]
    health, caught_up = around.health(), around.mirror.caught_up
    reasons = health.reasons if caught_up else (*health.reasons, "the status is still being read")
    return _probe("ready", health.ready and caught_up, reasons)


def _probe(name: str, well: bool, reasons: tuple[str, ...]) -> web.Response:  # noqa: FBT001
    return json_answer({name: well, "reasons": reasons}, 200 if well else 503)


def check_caught_up(around: Surroundings) -> None:
    """Raise 503 where the mirror does not know everything yet."""
    if not around.mirror.caught_up:
        raise Problem(503, "Not known yet: the status is still being read.", {"Retry-After": "1"})


def asked_incident(request: web.Request) -> Document:
    """The incident that the address names; raises 404, or 503 while it cannot be known."""
    around = request.app[SURROUNDINGS]
    check_caught_up(around)
    found = around.mirror.incidents.get(request.match_info["key"])
    if found is None:
        raise Problem(404, "There is no incident with this key; /api/incidents lists them.")
    return found
