"""Server-sent events: a page hears that there is news, and fetches itself anew."""

import asyncio

from aiohttp import web

from app.web.problems import Problem
from app.web.surroundings import SURROUNDINGS, Mirror

MOST_LISTENERS = 100
QUIET_S = 15.0  # then a comment is sent, so that whoever has gone is noticed
AT_MOST_EVERY_S = 1.0
_RETRY_MS = 2000

routes = web.RouteTableDef()
LISTENERS = web.AppKey[set[asyncio.Task[None]]]("listeners")


@routes.get("/events", allow_head=False)
async def events(request: web.Request) -> web.StreamResponse:
    """An event `change` whenever there is news, once a second at most."""
    listeners = request.app[LISTENERS]
    if len(listeners) >= MOST_LISTENERS:
        raise Problem(503, "Too many pages listen already.", {"Retry-After": "30"})
    response = web.StreamResponse(
        headers={"Content-Type": "text/event-stream", "X-Accel-Buffering": "no"}
    )
    await response.prepare(request)
    listener = asyncio.create_task(_tell(response, request.app[SURROUNDINGS].mirror))
    listeners.add(listener)
    try:
        await listener
    except (ConnectionError, asyncio.CancelledError):
        listener.cancel()
    finally:
        listeners.discard(listener)
    return response


async def _tell(response: web.StreamResponse, mirror: Mirror) -> None:
    await response.write(f"retry: {_RETRY_MS}\n\n".encode())
    seen = mirror.version
    while True:
        try:
            seen = await asyncio.wait_for(mirror.news(seen), QUIET_S)
        except TimeoutError:
            await response.write(b": quiet\n\n")
            continue
        await response.write(f"event: change\nid: {seen}\ndata: {seen}\n\n".encode())
        await asyncio.sleep(AT_MOST_EVERY_S)


async def end_all(app: web.Application) -> None:
    """Let every listener go, so that the server can end."""
    for listener in app[LISTENERS].copy():
        listener.cancel()
