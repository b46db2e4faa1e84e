"""The API: JSON in, JSON out."""

import secrets
from typing import Any

import msgspec
from aiohttp import web
from prometheus_client.exposition import choose_encoder

from app.core.judge import Command
from app.web import gauges, views
from app.web.problems import Problem
from app.web.sending import NotSent
from app.web.surroundings import SURROUNDINGS, Surroundings
from app.web.views import CHANGES, STATES, Document

BY_CHARS = 100
WHY_CHARS = 1000

routes = web.RouteTableDef()


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
    return json_answer(views.gate(slos, around.mirror.incidents, around.order, change))


@routes.get("/metrics")
async def metrics(request: web.Request) -> web.Response:
    """What Prometheus scrapes, in the form it asks for."""
    around = request.app[SURROUNDINGS]
    gauges.show(around.metrics, around.mirror.slos, around.mirror.incidents, around.order)
    encode, content_type = choose_encoder(request.headers.get("Accept", ""))
    return web.Response(
        body=encode(around.metrics.registry), headers={"Content-Type": content_type}
    )


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


class Order(msgspec.Struct, frozen=True):
    """The body of an acknowledgement or a resolve: who, and why."""

    by: str = "api"
    why: str = ""


@routes.post("/api/incidents/{key}/{kind:ack|resolve}")
async def command(request: web.Request) -> web.Response:
    """Hand a command to the judge: 202, it is carried out within a second or so."""
    around = request.app[SURROUNDINGS]
    kind = request.match_info["kind"]
    found = asked_incident(request)
    order = _checked(await _order(request), kind)
    if found["state"] == "resolved":
        raise Problem(409, f"{found['key']} is resolved already, since {found['resolvedAt']}.")
    sent = Command(
        id=secrets.token_hex(16),
        kind=kind,
        slo=found["slo"],
        incident=found["key"],
        by=order.by.strip(),
        at=around.clock(),
        why=order.why.strip(),
    )
    try:
        await around.commands.send(sent)
    except NotSent as error:
        raise Problem(503, f"{error}.", {"Retry-After": "10"}) from error
    return json_answer({"id": sent.id, "kind": kind, "incident": sent.incident}, 202)


async def _order(request: web.Request) -> Order:
    body = await request.read()
    try:
        return msgspec.json.decode(body or b"{}", type=Order)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise Problem(
            400, f'The body is JSON, as in {{"by": "…", "why": "…"}}: {error}.'
        ) from error


def _checked(order: Order, kind: str) -> Order:
    by, why = order.by.strip(), order.why.strip()
    if not by or len(by) > BY_CHARS or not by.isprintable():
        raise Problem(400, f"by is a name of up to {BY_CHARS} characters.")
    if kind == "resolve" and not why:
        raise Problem(400, "why is missing: say what was done, it goes into the history.")
    if len(why) > WHY_CHARS or not "".join(why.split()).isprintable():
        raise Problem(400, f"why is a text of up to {WHY_CHARS} characters.")
    return order


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
