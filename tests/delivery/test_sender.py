"""One POST against servers that behave, hang, cut and redirect."""

import logging
from collections.abc import AsyncIterator

import httpx
import pytest
import pytest_asyncio

from app.delivery.outcomes import Accepted, FallbackText, Permanent, Retry
from app.delivery.secrets import Secrets
from app.delivery.sender import Request, open_client, send_once
from tests.servers import SlackServer

BODY = b'{"text": "hello"}'


@pytest_asyncio.fixture
async def slack() -> AsyncIterator[SlackServer]:
    server = SlackServer()
    async with server.running():
        yield server


@pytest_asyncio.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    async with open_client() as client:
        yield client


def request(url: str, body: bytes = BODY) -> Request:
    return Request(service="slack", url=url, body=body)


async def test_accepted(slack: SlackServer, client: httpx.AsyncClient) -> None:
    assert await send_once(client, request(slack.webhook()), Secrets({})) == Accepted(200)
    assert slack.bodies == [{"text": "hello"}]


async def test_refused_payload(slack: SlackServer, client: httpx.AsyncClient) -> None:
    sent = request(slack.webhook(), b"{}")
    assert await send_once(client, sent, Secrets({})) == FallbackText("400 invalid_payload")


async def test_a_hanging_server(slack: SlackServer, client: httpx.AsyncClient) -> None:
    slack.hang()
    outcome = await send_once(client, request(slack.webhook()), Secrets({}), timeout_s=0.05)
    assert outcome == Retry("no answer within 0.05 s", unsure=True)


async def test_a_connection_that_breaks(slack: SlackServer, client: httpx.AsyncClient) -> None:
    slack.cut()
    outcome = await send_once(client, request(slack.webhook()), Secrets({}))
    assert isinstance(outcome, Retry)
    assert (outcome.unsure, outcome.reason.partition(":")[0]) == (True, "RemoteProtocolError")


async def test_nobody_there(client: httpx.AsyncClient) -> None:
    outcome = await send_once(client, request("http://127.0.0.1:1/canary"), Secrets({}))
    assert outcome == Retry("ConnectError: All connection attempts failed")


async def test_redirects_are_not_followed(slack: SlackServer, client: httpx.AsyncClient) -> None:
    slack.answer(307, "", {"Location": slack.webhook("elsewhere")})
    outcome = await send_once(client, request(slack.webhook()), Secrets({}))
    assert outcome == Permanent("307", 307)
    assert len(slack.arrivals) == 1


async def test_only_https_or_this_machine(client: httpx.AsyncClient) -> None:
    outcome = await send_once(client, request("http://slack.example/canary"), Secrets({}))
    assert outcome == Permanent("only https is called, or http to this machine")


async def test_an_endless_answer_is_not_read_to_its_end(
    slack: SlackServer, client: httpx.AsyncClient
) -> None:
    slack.answer(500, "x" * 5_000_000)
    outcome = await send_once(client, request(slack.webhook()), Secrets({}))
    assert isinstance(outcome, Retry)
    assert len(outcome.reason) < 400


async def test_a_proxy_of_the_environment_does_not_see_this_machine(
    slack: SlackServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    async with open_client() as client:
        assert await send_once(client, request(slack.webhook()), Secrets({})) == Accepted(200)


async def test_nothing_secret_is_logged_at_debug(
    slack: SlackServer, client: httpx.AsyncClient, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    await send_once(client, request(slack.webhook()), Secrets({}))
    slack.cut()
    await send_once(client, request(slack.webhook()), Secrets({}))
    assert "canary" not in caplog.text
    assert "canary" not in repr(request(slack.webhook()))
