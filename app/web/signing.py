"""Signing in and out, for browsers."""

from typing import NoReturn

import msgspec
from aiohttp import web

from app.web import forms, pages
from app.web.sessions import COOKIE, LASTS_S, Session, sealed
from app.web.surroundings import SURROUNDINGS
from app.web.tokens import matches

BY_CHARS = 100

routes = web.RouteTableDef()


class Credentials(msgspec.Struct, frozen=True):
    """Who signs in, and the API token."""

    by: str = ""
    token: str = ""


@routes.get(forms.SIGN_IN)
async def sign_in_page(request: web.Request) -> web.Response:
    """Asks for a name and the token."""
    return _page(request, "", "", forms.local(request.query.get("back")))


def _page(request: web.Request, error: str, by: str, back: str, status: int = 200) -> web.Response:
    return pages.render(
        request, "sign_in.html", {"error": error, "by": by, "back": back}, status=status
    )


@routes.post(forms.SIGN_IN)
async def sign_in(request: web.Request) -> web.Response:
    """A right token begins a session."""
    around = request.app[SURROUNDINGS]
    back = forms.local((await forms.fields(request)).get("back"))
    given = await forms.read(request, Credentials)
    by = given.by.strip()
    if not by or len(by) > BY_CHARS or not by.isprintable():
        return _page(request, "Your name is missing, or unreadable.", "", back, status=400)
    if not matches(given.token.strip(), around.api_token):
        return _page(request, "This is not the API token.", by, back, status=401)
    session = Session(by=by, until=around.wall_ms() + LASTS_S * 1000)
    answer = web.HTTPSeeOther(back)
    answer.set_cookie(
        COOKIE,
        sealed(session, around.api_token),
        max_age=LASTS_S,
        httponly=True,
        samesite="Strict",
        secure=request.secure or around.settings.page_url().startswith("https:"),
    )
    raise answer


@routes.post("/sign-out")
async def sign_out(request: web.Request) -> NoReturn:
    """The cookie goes."""
    answer = web.HTTPSeeOther(forms.local((await forms.fields(request)).get("back")))
    answer.del_cookie(COOKIE, samesite="Strict")
    raise answer
