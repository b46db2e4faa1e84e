"""The sending of one request: once, within a total time, without redirects or secrets in errors."""

import asyncio
import logging
from typing import Literal

import httpx
import msgspec

from app.clock import Clock, wall_clock
from app.delivery.limits import plain
from app.delivery.outcomes import (
    Answer,
    Outcome,
    Permanent,
    Retry,
    of_heartbeat,
    of_pagerduty,
    of_slack,
    of_slack_api,
)
from app.delivery.secrets import Secrets, fault_of_url

TIMEOUT_S = 10.0
"""For everything: resolving, connecting, sending, reading."""

_MOST_BODY = 64 * 1024


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """One POST. Its repr shows neither the address nor the body: both hold secrets."""

    service: Literal["slack", "slack-api", "pagerduty", "heartbeat"]
    url: str
    body: bytes = b""
    text_alone: bool = False  # Slack's fallback
    token: str = ""  # a bearer's
    call: str = ""  # what is asked of a service that can do several things

    def __repr__(self) -> str:
        return f"Request({self.service}, {len(self.body)} bytes)"


def open_client() -> httpx.AsyncClient:
    """A client for all destinations; the caller closes it. The time-out is `send_once`'s."""
    for name in ("httpx", "httpcore"):  # their lines hold whole URLs
        logging.getLogger(name).setLevel(logging.WARNING)
    direct = ("all://127.0.0.1", "all://localhost", "all://[::1]")  # never through a proxy
    return httpx.AsyncClient(
        follow_redirects=False,
        timeout=None,  # noqa: S113 - send_once bounds the whole
        limits=httpx.Limits(max_connections=None, max_keepalive_connections=20),
        headers={"User-Agent": "burnrate"},
        mounts=dict.fromkeys(direct),
    )


async def send_once(
    client: httpx.AsyncClient,
    request: Request,
    secrets: Secrets,
    *,
    clock: Clock = wall_clock,
    timeout_s: float = TIMEOUT_S,
) -> Outcome:
    """Post once, and say what came of it. Raises nothing but cancellation."""
    if fault := fault_of_url(request.url):
        return Permanent(fault)
    try:
        async with asyncio.timeout(timeout_s):
            answer = await _post(client, request, clock)
    except TimeoutError:
        return Retry(f"no answer within {timeout_s:g} s", unsure=True)
    except (httpx.ConnectError, httpx.ConnectTimeout, httpx.ProxyError) as error:
        return Retry(_reason(error, secrets))
    except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError, OSError, ValueError) as error:
        return Retry(_reason(error, secrets), unsure=True)
    return _without_secrets(_meaning(request, answer), secrets)


async def _post(client: httpx.AsyncClient, request: Request, clock: Clock) -> Answer:
    headers = {"Content-Type": "application/json; charset=utf-8"}
    if request.token:
        headers["Authorization"] = f"Bearer {request.token}"
    async with client.stream(
        "POST", request.url, content=request.body, headers=headers
    ) as response:
        body = b""
        async for chunk in response.aiter_bytes():
            body += chunk
            if len(body) > _MOST_BODY:
                break
        kept = {name.lower(): value for name, value in response.headers.items()}
        return Answer(response.status_code, body[:_MOST_BODY], kept, clock())


def _meaning(request: Request, answer: Answer) -> Outcome:
    if request.service == "slack":
        return of_slack(answer, text_alone=request.text_alone)
    if request.service == "slack-api":
        return of_slack_api(answer, text_alone=request.text_alone)
    return of_heartbeat(answer) if request.service == "heartbeat" else of_pagerduty(answer)


def _reason(error: Exception, secrets: Secrets) -> str:
    said = plain(secrets.removed_from(str(error)))
    return f"{type(error).__name__}: {said}" if said else type(error).__name__


def _without_secrets(outcome: Outcome, secrets: Secrets) -> Outcome:
    if isinstance(outcome, Retry | Permanent) or hasattr(outcome, "reason"):
        return msgspec.structs.replace(outcome, reason=secrets.removed_from(outcome.reason))
    return outcome
