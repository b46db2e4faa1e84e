"""The web server: pages, API, probes and metrics of one worker."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from importlib.resources import files

from aiohttp import hdrs, web

from app.delivery.secrets import Secrets
from app.errors import UserError
from app.metrics import Metrics
from app.settings import Settings
from app.web import (
    api,
    configuring,
    gating,
    history,
    live,
    omissions,
    openapi,
    orders,
    pages,
    signing,
    webhooks,
)
from app.web.access import guard
from app.web.forms import lead_back
from app.web.problems import as_problems
from app.web.refusals import as_pages
from app.web.slack_groups import GROUPS, SlackGroups
from app.web.surroundings import SURROUNDINGS, Commands, Configuration, Health, Mirror, Surroundings
from app.web.tokens import api_token

MAX_BODY_BYTES = 64 * 1024
_CONTENT_SECURITY_POLICY = (
    "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; "
    "img-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
_HEADERS = {
    "Content-Security-Policy": _CONTENT_SECURITY_POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}


def make_server(
    settings: Settings,
    mirror: Mirror,
    metrics: Metrics,
    health: Callable[[], Health],
    commands: Commands,
    configuration: Configuration,
    secrets: Secrets,
) -> web.Application:
    """The application. Raises UserError where no API token is set and none can be kept."""
    app = web.Application(
        middlewares=[as_problems, as_pages, lead_back, guard], client_max_size=MAX_BODY_BYTES
    )
    app[SURROUNDINGS] = Surroundings(
        settings=settings,
        mirror=mirror,
        metrics=metrics,
        health=health,
        commands=commands,
        configuration=configuration,
        secrets=secrets,
        api_token=api_token(settings),
        clock=settings.clock(),
    )
    app[api.SCRAPING] = asyncio.Lock()
    app[live.LISTENERS] = set()
    app[GROUPS] = SlackGroups(settings.slack_url, secrets)
    tables = (
        api.routes,
        configuring.routes,
        gating.routes,
        history.routes,
        orders.routes,
        omissions.routes,
        webhooks.routes,
        pages.routes,
        signing.routes,
        live.routes,
    )
    for table in tables:
        app.add_routes(table)
    app.router.add_static("/static", str(files(__package__) / "static"))
    app.router.add_get("/openapi.json", _openapi)
    app.on_response_prepare.append(_add_headers)
    app.on_shutdown.append(live.end_all)
    return app


async def _openapi(_request: web.Request) -> web.Response:
    return api.json_answer(openapi.DOCUMENT)


async def _add_headers(_request: web.Request, response: web.StreamResponse) -> None:
    for name, value in _HEADERS.items():
        response.headers.setdefault(name, value)
    response.headers.popall(hdrs.SERVER, None)


@asynccontextmanager
async def serving(app: web.Application, host: str, port: int) -> AsyncIterator[int]:
    """Serve while the block runs; gives the port (0 asks for any free one).

    Raises UserError where the port is taken.
    """
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=2.0)
    await runner.setup()
    try:
        site = web.TCPSite(runner, host, port)
        try:
            await site.start()
        except OSError as error:
            raise UserError(
                f"{host}:{port} cannot be listened on ({error.strerror}): give another --port"
            ) from error
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()
