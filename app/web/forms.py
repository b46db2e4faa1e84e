"""Forms: what a page sends goes the API's own ways, and leads back to a page.

A form's body is read like the API's JSON. Where the API would answer 2xx the browser is sent back
to the page it came from (`back`), where it would say 401 to the sign-in, and other errors are a
page as well.
"""

from collections.abc import Mapping
from typing import Any, TypeVar
from urllib.parse import quote

import msgspec
from aiohttp import hdrs, web
from aiohttp.typedefs import Handler

from app.web import signatures
from app.web.problems import Problem

FORM = "application/x-www-form-urlencoded"
SIGN_IN = "/sign-in"
_SIGNING = frozenset({SIGN_IN, "/sign-out"})
_OWN = frozenset({"back", "done"})  # the browser's way back, no field of the API's

_T = TypeVar("_T")


def is_form(request: web.Request) -> bool:
    """Whether a browser's form was sent.

    Not where a token comes along: `curl -d '{…}'` calls whatever it sends a form.
    """
    by_token = hdrs.AUTHORIZATION in request.headers and request.path not in _SIGNING
    return request.content_type == FORM and not by_token and request.path not in signatures.PATHS


async def fields(request: web.Request) -> dict[str, str]:
    """A form's fields; raises a Problem for anything else, which has none."""
    if not is_form(request):
        raise Problem(415, f"This takes a form: {FORM}.")
    given: Mapping[str, Any] = await request.post()
    return {name: str(value) for name, value in given.items()}


async def read(request: web.Request, of_type: type[_T]) -> _T:
    """The body, JSON or form, as what the API takes; raises a Problem that says what is wrong."""
    try:
        if is_form(request):
            own = {n: v for n, v in (await fields(request)).items() if n not in _OWN and v}
            return msgspec.convert(own, of_type, strict=False)
        return msgspec.json.decode(await request.read() or b"{}", type=of_type)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise Problem(400, f"The body cannot be read: {error}.") from error


def local(path: object) -> str:
    """A path on this server to go back to; what is none leads to the first page."""
    text = str(path or "/")
    fits = text.startswith("/") and not text.startswith("//") and text.isprintable()
    return text if fits and "\\" not in text else "/"


@web.middleware
async def lead_back(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Answer a form with a page to go to."""
    if not is_form(request) or request.method != hdrs.METH_POST:
        return await handler(request)
    back = local((await request.post()).get("back"))
    try:
        answer = await handler(request)
    except Problem as problem:
        if problem.status != 401 or request.path == SIGN_IN:
            raise
        raise web.HTTPSeeOther(f"{SIGN_IN}?back={quote(back, safe='')}") from problem
    if answer.status < 300:
        raise web.HTTPSeeOther(back)
    return answer
