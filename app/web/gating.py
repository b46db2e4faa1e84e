"""The deployment gate over HTTP, as far as it changes: overrides, and what is due ticked off."""

from urllib.parse import urlsplit

import msgspec
from aiohttp import web
from pydantic import TypeAdapter, ValidationError

from app.config.values import Seconds
from app.core import gates
from app.core.commands import OverrideGate, TickOff
from app.web import forms
from app.web.api import check_caught_up
from app.web.orders import about, checked_why, taken
from app.web.problems import Problem
from app.web.surroundings import SURROUNDINGS, Surroundings
from app.web.views import Document, known

LINK_CHARS = 500
_SHORTEST_S = 60
_LONGEST_S = gates.LONGEST_MS // 1000

routes = web.RouteTableDef()
_seconds = TypeAdapter(Seconds)


class OverrideOrder(msgspec.Struct, frozen=True):
    """The body of an override: how long (2h), why, who; of one SLO or of all that freeze."""

    why: str = ""
    for_: str = msgspec.field(name="for", default="")
    by: str = "api"
    slo: str = ""


class DueOrder(msgspec.Struct, frozen=True):
    """The body of a tick: which SLO's, what was due, and where it lies."""

    slo: str = ""
    what: str = ""
    link: str = ""
    by: str = "api"


@routes.post("/api/gate/override")
async def override(request: web.Request) -> web.Response:
    """Let deployments go on for a while: announced in the channels, kept, and over by itself."""
    around = request.app[SURROUNDINGS]
    order = await forms.read(request, OverrideOrder)
    why = checked_why(order.why, "why deployments cannot wait")
    until = around.now() + _duration(order.for_) * 1000
    slos = _frozen(around, order.slo)
    commands = [OverrideGate(until=until, why=why, **about(around, s, order.by)) for s in slos]
    return await taken(around, commands, slos=slos)


def _frozen(around: Surroundings, slo: str) -> list[str]:
    """The SLOs that freeze deployments now: the one that is named, else all of them."""
    check_caught_up(around)
    if slo and slo not in around.policy.slos:
        raise Problem(404, f"There is no objective {slo!r}; there are {', '.join(around.order)}.")
    shown = known(around.mirror.slos, around.order)
    found = [name for name, one in shown.items() if one["frozen"] and slo in ("", name)]
    if not found:
        raise Problem(409, "Nothing is frozen: everything may be deployed.")
    return found


def _duration(text: str) -> int:
    try:
        found = _seconds.validate_python(text)
    except ValidationError as error:
        raise Problem(400, "for is a duration, as in 90m, 2h or 1d.") from error
    if not _SHORTEST_S <= found <= _LONGEST_S:
        raise Problem(400, "for is a duration between a minute and 7 days.")
    return found


@routes.post("/api/gate/due")
async def tick_off(request: web.Request) -> web.Response:
    """Say that something that a freeze asked for is done, with a link to it."""
    around = request.app[SURROUNDINGS]
    order = await forms.read(request, DueOrder)
    link = _link(order.link)
    due = _due(around, order)
    command = TickOff(what=due["what"], link=link, **about(around, order.slo, order.by))
    return await taken(around, [command], slo=order.slo, what=due["what"])


def _link(link: str) -> str:
    link = link.strip()
    try:
        parts = urlsplit(link)
    except ValueError as error:
        raise Problem(400, f"link is an address: {error}.") from error
    fits = len(link) <= LINK_CHARS and link.isprintable() and " " not in link
    if parts.scheme not in ("http", "https") or not parts.netloc or not fits:
        raise Problem(400, f"link is an http(s) address of up to {LINK_CHARS} characters.")
    return link


def _due(around: Surroundings, order: DueOrder) -> Document:
    check_caught_up(around)
    slo = known(around.mirror.slos, around.order).get(order.slo)
    waiting = [one for one in slo["freeze"]["due"] if one["doneAt"] is None] if slo else []
    found: Document | None = next((one for one in waiting if one["what"] == order.what), None)
    if found is None:
        names = ", ".join(repr(one["what"]) for one in waiting) or "nothing"
        raise Problem(404, f"{order.what!r} is not due from {order.slo!r}; due there is {names}.")
    return found
