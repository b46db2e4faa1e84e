"""Signed in with a browser: a cookie that names who, until when, signed with the API token.

The cookie does not hold the token. It is HttpOnly and SameSite=Strict, so no script reads it and no
other site's page sends it along; whoever changes something by it must come from this very page
(`is_same_origin`). Another API token ends every session.
"""

import base64
import binascii
import hashlib
import hmac

import msgspec
from aiohttp import hdrs, web

COOKIE = "burnrate_session"
LASTS_S = 12 * 3600
_PURPOSE = b"burnrate session 1"


class Session(msgspec.Struct, frozen=True):
    """Who is signed in, and until when (ms)."""

    by: str
    until: int


def sealed(session: Session, token: str) -> str:
    """A session as the cookie's value."""
    body = base64.urlsafe_b64encode(msgspec.json.encode(session)).decode().rstrip("=")
    return f"{body}.{_signature(body, token)}"


def opened(value: str, token: str, now_ms: int) -> Session | None:
    """The session of a cookie's value; None where it is none of ours, or over."""
    body, _, signature = value.partition(".")
    if not token or not hmac.compare_digest(signature.encode(), _signature(body, token).encode()):
        return None
    try:
        decoded = base64.urlsafe_b64decode(body + "=" * (-len(body) % 4))
        session = msgspec.json.decode(decoded, type=Session)
    except (binascii.Error, msgspec.MsgspecError):
        return None
    return session if now_ms < session.until else None


def _signature(body: str, token: str) -> str:
    key = hashlib.sha256(_PURPOSE + token.encode()).digest()
    return hmac.new(key, body.encode(), hashlib.sha256).hexdigest()


def session_of(request: web.Request, token: str, now_ms: int) -> Session | None:
    """Who is signed in, by the request's cookie."""
    return opened(request.cookies.get(COOKIE, ""), token, now_ms)


def is_same_origin(request: web.Request) -> bool:
    """Whether a change comes from a page of this server, by what browsers cannot be made to forge.

    Browsers send `Sec-Fetch-Site` where the address is trustworthy, and `Origin` with every POST.
    """
    site = request.headers.get("Sec-Fetch-Site")
    if site is not None:
        return site == "same-origin"
    origin = request.headers.get(hdrs.ORIGIN, "")
    return origin.partition("://")[2] == request.host
