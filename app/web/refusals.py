"""Errors for people: where a browser asks for a page, a problem is told on one."""

from http import HTTPStatus

from aiohttp import hdrs, web
from aiohttp.typedefs import Handler

from app.web import forms, pages
from app.web.problems import Problem


@web.middleware
async def as_pages(request: web.Request, handler: Handler) -> web.StreamResponse:
    """A Problem as a page for browsers; programs get it as it is."""
    try:
        return await handler(request)
    except Problem as problem:
        if not _is_for_a_person(request) or hdrs.WWW_AUTHENTICATE in (problem.headers or {}):
            raise
        back = (await request.post()).get("back") if forms.is_form(request) else "/"
        page = {
            "heading": HTTPStatus(problem.status).phrase,
            "detail": problem.detail,
            "back": forms.local(back),
        }
        return pages.render(request, "problem.html", page, status=problem.status)


def _is_for_a_person(request: web.Request) -> bool:
    if forms.is_form(request):
        return True
    asks = "text/html" in request.headers.get(hdrs.ACCEPT, "")
    return asks and not request.path.startswith("/api/")
