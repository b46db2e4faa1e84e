"""Errors as `application/problem+json` (RFC 9457), whatever went wrong."""

import logging
from http import HTTPStatus

import msgspec
from aiohttp import web
from aiohttp.typedefs import Handler

log = logging.getLogger(__name__)

_CONTENT_TYPE = "application/problem+json"
_DETAILS = {
    404: "There is nothing here; /openapi.json lists what there is.",
    405: "This is not done here with that method; the header Allow names those that are.",
    413: "The body is larger than 64 KiB.",
    500: "Something went wrong here; the worker's log says what.",
}


class Problem(Exception):
    """An answer that is an error; `detail` is a sentence for whoever asked."""

    def __init__(self, status: int, detail: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(detail)
        self.status, self.detail, self.headers = status, detail, headers


def answer(status: int, detail: str, headers: dict[str, str] | None = None) -> web.Response:
    """A problem as a response."""
    body = {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
    }
    return web.Response(
        status=status,
        body=msgspec.json.encode(body),
        headers={**(headers or {}), "Content-Type": _CONTENT_TYPE},
    )


@web.middleware
async def as_problems(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Whatever a handler raises, as a problem; what nobody thought of goes to the log."""
    try:
        return await handler(request)
    except Problem as problem:
        return answer(problem.status, problem.detail, problem.headers)
    except web.HTTPException as error:
        if error.status < HTTPStatus.BAD_REQUEST:
            raise
        allow = {"Allow": error.headers["Allow"]} if "Allow" in error.headers else None
        return answer(error.status, _DETAILS.get(error.status, error.reason), allow)
    except ConnectionError:  # who asked has gone
        raise
    except Exception:
        log.exception("%s %s failed", request.method, request.path)
        return answer(500, _DETAILS[500])
