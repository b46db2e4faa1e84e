"""Who may do what: everything that changes something needs the API token, as a bearer's.

A browser gives it once, at the sign-in, and gets a session instead (`app.web.sessions`), which
counts only where the request comes from a page of this server.

Reading is free unless BURNRATE_READ_TOKEN is set; then all of it needs that token (or the API
token), `/metrics` too, since it names agents. Only `/healthz` and `/readyz` stay open, for a
supervisor's probe has no secrets and they tell none, and the sign-in. A browser without a session
is asked for a password, which is the same token; for changes a password does not do, since browsers
send it along by themselves.
"""

import base64
import binascii

from aiohttp import hdrs, web
from aiohttp.typedefs import Handler

from app.web import signatures
from app.web.problems import Problem
from app.web.sessions import Session, is_same_origin, session_of
from app.web.surroundings import SURROUNDINGS, Surroundings
from app.web.tokens import matches

_READING = frozenset({hdrs.METH_GET, hdrs.METH_HEAD})
_OPEN = frozenset(
    {"/healthz", "/readyz", "/sign-in", "/static/page.css", "/static/icon.svg"}  # no secrets
)
_FREE_CHANGES = frozenset({"/sign-in", "/sign-out"})  # a token is what they are about
_CHALLENGE_READ = 'Bearer realm="burnrate", Basic realm="burnrate", charset="UTF-8"'
_CHALLENGE_CHANGE = 'Bearer realm="burnrate"'


@web.middleware
async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Refuse with 401 whoever lacks the token; what does not exist says so to everybody."""
    if request.match_info.http_exception is None:
        around = request.app[SURROUNDINGS]
        if request.path in signatures.PATHS:
            pass  # a signature over the whole body says who it is: `app.web.webhooks`
        elif request.method not in _READING:
            _check_change(request, around)
        elif around.settings.read_token and request.path not in _OPEN:
            _check_read(request, around)
    return await handler(request)


def _check_change(request: web.Request, around: Surroundings) -> None:
    by_session = hdrs.AUTHORIZATION not in request.headers and me(request)
    if request.path in _FREE_CHANGES or by_session:
        _check_origin(request)
    elif not matches(_bearer(request), around.api_token):
        raise Problem(
            401,
            "This needs the API token: Authorization: Bearer, with BURNRATE_API_TOKEN or the "
            "content of api-token in the worker's data folder.",
            {hdrs.WWW_AUTHENTICATE: _CHALLENGE_CHANGE},
        )


def me(request: web.Request) -> Session | None:
    """Who is signed in, if anybody is."""
    around = request.app[SURROUNDINGS]
    return session_of(request, around.api_token, around.wall_ms())


def _check_origin(request: web.Request) -> None:
    if not is_same_origin(request):
        raise Problem(403, "This was sent by a page of another site, which may change nothing.")


def _check_read(request: web.Request, around: Surroundings) -> None:
    if me(request):
        return
    given = _bearer(request) or _password(request)
    # both are compared, so that the time does not tell which one was close
    if not (matches(given, around.settings.read_token) | matches(given, around.api_token)):
        raise Problem(
            401,
            "Reading needs BURNRATE_READ_TOKEN, as a bearer's token or as the password.",
            {hdrs.WWW_AUTHENTICATE: _CHALLENGE_READ},
        )


def _bearer(request: web.Request) -> str:
    scheme, _, token = request.headers.get(hdrs.AUTHORIZATION, "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


def _password(request: web.Request) -> str:
    scheme, _, coded = request.headers.get(hdrs.AUTHORIZATION, "").partition(" ")
    if scheme.lower() != "basic":
        return ""
    try:
        return base64.b64decode(coded, validate=True).decode().partition(":")[2]
    except (binascii.Error, UnicodeDecodeError):
        return ""
