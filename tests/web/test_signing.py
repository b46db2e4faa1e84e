"""Signing in with a browser, and what forms may change: the token once, then a cookie from here."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientResponse
from aiohttp.test_utils import TestClient, TestServer

from app.core.commands import Acknowledge
from app.web import forms
from app.web.sessions import COOKIE, Session, opened, sealed
from tests.web import samples
from tests.web.samples import TOKEN, Sent

AVAILABILITY = "availability-20261013T114100Z"
HERE = {"Sec-Fetch-Site": "same-origin"}
ACK = f"/api/incidents/{AVAILABILITY}/ack"

Client = TestClient[Any, Any]


@pytest.fixture
def commands() -> Sent:
    return Sent()


@pytest.fixture
async def client(tmp_path: Path, commands: Sent) -> AsyncIterator[Client]:
    app = samples.server(tmp_path, samples.outage(), commands=commands)
    async with TestClient(TestServer(app)) as made:
        yield made


async def sign_in(client: Client, token: str = TOKEN, **fields: str) -> ClientResponse:
    form = {"by": "dana", "token": token, "back": "/"} | fields
    return await client.post("/sign-in", data=form, headers=HERE, allow_redirects=False)


async def test_a_right_token_gives_a_cookie_that_no_script_and_no_other_site_can_use(
    client: Client,
) -> None:
    answer = await sign_in(client, back="/incidents")
    assert (answer.status, answer.headers["Location"]) == (303, "/incidents")
    cookie = answer.headers["Set-Cookie"]
    assert TOKEN not in cookie
    for attribute in ("HttpOnly", "SameSite=Strict", "Path=/", "Max-Age=43200"):
        assert attribute in cookie
    page = await (await client.get("/")).text()
    assert '<button class="primary">Acknowledge</button>' in page
    assert TOKEN not in page


@pytest.mark.parametrize(
    ("fields", "status"),
    [({"token": "wrong"}, 401), ({"token": ""}, 401), ({"by": " "}, 400), ({"by": "a\nb"}, 400)],
)
async def test_who_is_not_let_in_is_told_so_on_a_page(
    client: Client, fields: dict[str, str], status: int
) -> None:
    answer = await sign_in(client, **fields)
    assert (answer.status, answer.content_type) == (status, "text/html")
    assert "Set-Cookie" not in answer.headers
    assert 'role="alert"' in await answer.text()


async def test_a_form_of_somebody_signed_in_acknowledges_and_leads_back(
    client: Client, commands: Sent
) -> None:
    await sign_in(client)
    form = {"by": "dana", "back": f"/incidents/{AVAILABILITY}"}
    answer = await client.post(ACK, data=form, headers=HERE, allow_redirects=False)
    assert (answer.status, answer.headers["Location"]) == (303, f"/incidents/{AVAILABILITY}")
    (sent,) = commands.commands
    assert isinstance(sent, Acknowledge)
    assert (sent.incident, sent.by) == (AVAILABILITY, "dana")


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": "none"},
        {"Origin": "https://elsewhere.test"},
        {"Origin": "null"},
        {},
    ],
)
async def test_another_sites_page_changes_nothing_even_with_the_cookie(
    client: Client, commands: Sent, headers: dict[str, str]
) -> None:
    await sign_in(client)
    answer = await client.post(ACK, data={"by": "dana"}, headers=headers, allow_redirects=False)
    assert (answer.status, commands.commands) == (403, [])


async def test_a_browser_without_fetch_metadata_is_told_by_its_origin(
    client: Client, commands: Sent
) -> None:
    await sign_in(client)
    origin = {"Origin": f"http://{client.host}:{client.port}"}
    answer = await client.post(ACK, data={"by": "dana"}, headers=origin, allow_redirects=False)
    assert (answer.status, len(commands.commands)) == (303, 1)


async def test_a_form_of_nobody_leads_to_the_sign_in_and_back(
    client: Client, commands: Sent
) -> None:
    form = {"back": f"/incidents/{AVAILABILITY}"}
    answer = await client.post(ACK, data=form, headers=HERE, allow_redirects=False)
    assert answer.headers["Location"] == f"/sign-in?back=/incidents/{AVAILABILITY}"
    assert commands.commands == []


async def test_a_form_that_is_refused_says_why_on_a_page(client: Client) -> None:
    await sign_in(client)
    path = f"/api/incidents/{AVAILABILITY}/resolve"
    answer = await client.post(path, data={"by": "dana", "back": "/"}, headers=HERE)
    assert (answer.status, answer.content_type) == (400, "text/html")
    assert "why is missing" in await answer.text()


async def test_what_curl_sends_with_a_token_is_json_whatever_curl_calls_it(
    client: Client, commands: Sent
) -> None:
    headers = {"Authorization": f"Bearer {TOKEN}", "Content-Type": forms.FORM}
    answer = await client.post(ACK, data=b'{"by": "dana"}', headers=headers)
    assert (answer.status, answer.content_type) == (202, "application/json")
    (sent,) = commands.commands
    assert sent.by == "dana"


async def test_signing_out_ends_it(client: Client, commands: Sent) -> None:
    await sign_in(client)
    await client.post("/sign-out", data={"back": "/"}, headers=HERE)
    answer = await client.post(ACK, data={"by": "dana"}, headers=HERE, allow_redirects=False)
    assert answer.headers["Location"].startswith("/sign-in")
    assert commands.commands == []


async def test_a_wrong_bearer_is_not_saved_by_a_cookie(client: Client, commands: Sent) -> None:
    await sign_in(client)
    headers = HERE | {"Authorization": "Bearer wrong"}
    assert (await client.post(ACK, json={"by": "dana"}, headers=headers)).status == 401
    assert commands.commands == []


def test_a_session_ends_by_itself_and_with_the_token() -> None:
    session = Session(by="dana", until=1000)
    value = sealed(session, TOKEN)
    assert opened(value, TOKEN, now_ms=999) == session
    assert opened(value, TOKEN, now_ms=1000) is None
    assert opened(value, "another", now_ms=999) is None
    assert opened(value, "", now_ms=999) is None


@pytest.mark.parametrize("change", range(0, 60, 7))
def test_a_changed_cookie_is_none(change: int) -> None:
    value = sealed(Session(by="dana", until=1000), TOKEN)
    other = value[:change] + ("A" if value[change] != "A" else "B") + value[change + 1 :]
    assert opened(other, TOKEN, now_ms=1) is None


@pytest.mark.parametrize("value", ["", ".", "a.b", "é.é", f"{'A' * 5000}.{'0' * 64}"])
def test_a_cookie_that_is_rubbish_is_none(value: str) -> None:
    assert opened(value, TOKEN, now_ms=1) is None


@pytest.mark.parametrize(
    ("path", "local"),
    [
        ("/incidents/a?b=c", "/incidents/a?b=c"),
        ("//elsewhere.test", "/"),
        ("/\\elsewhere.test", "/"),
        ("https://elsewhere.test", "/"),
        ("/a\r\nSet-Cookie: x", "/"),
        (None, "/"),
    ],
)
def test_a_way_back_never_leads_elsewhere(path: str | None, local: str) -> None:
    assert forms.local(path) == local


async def test_with_a_read_token_a_session_reads_as_well(tmp_path: Path) -> None:
    app = samples.server(tmp_path, samples.quiet(), read_token="r" * 20)
    async with TestClient(TestServer(app)) as client:
        assert (await client.get("/")).status == 401
        assert (await client.get("/sign-in")).status == 200
        await sign_in(client)
        assert client.session.cookie_jar.filter_cookies(client.make_url("/"))[COOKIE].value
        assert (await client.get("/")).status == 200
