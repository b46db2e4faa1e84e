"""The API, as far as it changes something: orders in, commands for the judge out."""

import secrets
from collections.abc import Sequence
from typing import Any

import msgspec
from aiohttp import web

from app.core.commands import Acknowledge, Command, Resolve
from app.web import forms
from app.web.api import asked_incident, json_answer
from app.web.problems import Problem
from app.web.sending import NotSent
from app.web.surroundings import SURROUNDINGS, Surroundings

BY_CHARS = 100
WHY_CHARS = 1000

routes = web.RouteTableDef()


class Order(msgspec.Struct, frozen=True):
    """The body of an order: who gives it, and why."""

    by: str = "api"
    why: str = ""


@routes.post("/api/incidents/{key}/ack")
async def acknowledge(request: web.Request) -> web.Response:
    """Take an incident; the answer names who has it already, and keeps it."""
    around = request.app[SURROUNDINGS]
    found = _open_incident(request)
    order = await forms.read(request, Order)
    if order.why:
        checked_why(order.why, "why")
    command = Acknowledge(incident=found["key"], **about(around, found["slo"], order.by))
    held = {"acknowledged": found["acknowledged"]} if found["state"] == "acknowledged" else {}
    return await taken(around, [command], incident=found["key"], **held)


@routes.post("/api/incidents/{key}/resolve")
async def resolve(request: web.Request) -> web.Response:
    """End an incident."""
    around = request.app[SURROUNDINGS]
    found = _open_incident(request)
    order = await forms.read(request, Order)
    why = checked_why(order.why, "what was done")
    command = Resolve(incident=found["key"], why=why, **about(around, found["slo"], order.by))
    return await taken(around, [command], incident=found["key"])


def _open_incident(request: web.Request) -> dict[str, Any]:
    found = asked_incident(request)
    if found["state"] == "resolved":
        raise Problem(409, f"{found['key']} is resolved already, since {found['resolvedAt']}.")
    return found


async def taken(around: Surroundings, commands: Sequence[Command], **shown: object) -> web.Response:
    """202: the judge carries them out within a second or so; a Problem where Kafka refuses them."""
    for command in commands:
        await send(around, command)
    first = commands[0]
    return json_answer({"id": first.id, "kind": first.__struct_config__.tag, **shown}, 202)


async def send(around: Surroundings, command: Command) -> None:
    """Hand a command to the judge; raises a Problem where Kafka does not take it."""
    try:
        await around.commands.send(command)
    except NotSent as error:
        raise Problem(503, f"{error}.", {"Retry-After": "10"}) from error


def about(around: Surroundings, slo: str, by: str) -> dict[str, Any]:
    """What every command holds."""
    return {"id": secrets.token_hex(16), "slo": slo, "by": checked_by(by), "at": around.clock()}


def checked_by(by: str) -> str:
    """A name; raises a Problem where it is none."""
    by = by.strip()
    if not by or len(by) > BY_CHARS or not by.isprintable():
        raise Problem(400, f"by is a name of up to {BY_CHARS} characters.")
    return by


def checked_why(why: str, wanted: str) -> str:
    """A reason; raises a Problem where there is none: say `wanted`."""
    why = why.strip()
    if not why:
        raise Problem(400, f"why is missing: say {wanted}, it goes into the history.")
    if len(why) > WHY_CHARS or not "".join(why.split()).isprintable():
        raise Problem(400, f"why is a text of up to {WHY_CHARS} characters.")
    return why
