"""The API of the configuration: what is in force, and taking over what the files say now."""

import msgspec
from aiohttp import web

from app.config import ConfigError, NotTakenOver
from app.web.api import json_answer
from app.web.problems import Problem
from app.web.surroundings import SURROUNDINGS

routes = web.RouteTableDef()


@routes.get("/api/config")
async def in_force(request: web.Request) -> web.Response:
    """The policy by which this worker judges and tells; it holds no secret."""
    return json_answer(msgspec.to_builtins(request.app[SURROUNDINGS].policy))


@routes.post("/api/reload")
async def reload(request: web.Request) -> web.Response:
    """Take over the configuration; 422 where it is unsound, and nothing changes."""
    try:
        changes = await request.app[SURROUNDINGS].configuration.reload()
    except ConfigError as error:
        raise Problem(422, f"The configuration is refused, the old one stays:\n{error}") from error
    except NotTakenOver as error:
        raise Problem(503, f"Not taken over: {error}.", {"Retry-After": "10"}) from error
    return json_answer(
        {
            "changed": changes.changed,
            "added": changes.added,
            "removed": changes.removed,
            "redefined": changes.redefined,
        }
    )
