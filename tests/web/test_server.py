"""The web server as others see it: pages, API, probes, errors, access."""

import asyncio
import base64
import functools
import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from copy import deepcopy
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientResponse, web
from aiohttp.test_utils import TestClient, TestServer

from app.core.commands import Acknowledge, Command, Resolve
from app.web import openapi
from app.web.sending import NotSent
from app.web.surroundings import SURROUNDINGS, Health
from tests.web import samples
from tests.web.samples import TOKEN, Sent, StillMirror, World

BEARER = {"Authorization": f"Bearer {TOKEN}"}
AVAILABILITY = "availability-20261013T114100Z"
HOSTILE_AGENT = '<script>alert("a")</script>'
HOSTILE_ERROR = "'\"><img src=x onerror=alert(1)> $(rm -rf ~)"

Client = TestClient[Any, Any]
Start = Callable[..., Awaitable[Client]]


@functools.cache
def outage() -> World:
    return samples.outage(agent=HOSTILE_AGENT, error=HOSTILE_ERROR)


@functools.cache
def quiet() -> World:
    return samples.quiet()


@pytest.fixture
async def start(tmp_path: Path) -> AsyncIterator[Start]:
    """Starts a server for a world, gives a client of it."""
    clients: list[Client] = []

    async def started(world: World | None, **more: Any) -> Client:  # noqa: ANN401
        client: Client = TestClient(TestServer(samples.server(tmp_path, world, **more)))
        await client.start_server()
        clients.append(client)
        return client

    yield started
    for client in clients:
        await client.close()


async def problem(answer: ClientResponse) -> dict[str, Any]:
    assert answer.content_type == "application/problem+json"
    document: dict[str, Any] = json.loads(await answer.text())
    assert (document["type"], document["status"]) == ("about:blank", answer.status)
    return document


def basic(password: str) -> str:
    return "Basic " + base64.b64encode(f"anybody:{password}".encode()).decode()


class Elements(HTMLParser):
    """The elements of a page with their attributes, and its text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))
        self.text += " "

    def handle_data(self, data: str) -> None:
        self.text += data

    def words(self) -> str:
        return " ".join(self.text.split())


async def test_the_api_says_what_the_views_say(start: Start) -> None:
    client = await start(outage())
    status = await (await client.get("/api/slo/status")).json()
    incidents = await (await client.get("/api/incidents?state=open")).json()
    one = await (await client.get(f"/api/incidents/{AVAILABILITY}")).json()
    gate = await (await client.get("/api/slo/gate?change=hotfix")).json()
    assert status["slos"] == list(outage().slos.values())
    assert [found["key"] for found in incidents["incidents"]] == [
        "data-integrity-20261013T115000Z",
        AVAILABILITY,
    ]
    assert one == outage().incidents[AVAILABILITY]
    assert (gate["frozen"], gate["allowed"], gate["change"]) == (True, True, "hotfix")


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/nowhere", 404),
        ("POST", "/nowhere", 404),
        ("GET", "/api/incidents/none", 404),
        ("GET", "/incidents/none", 404),
        ("GET", "/runbooks/none", 404),
        ("GET", "/runbooks/..%2F..%2FREADME", 404),
        ("GET", "/static/", 403),
        ("GET", "/static/../server.py", 404),
        ("GET", "/api/incidents?state=lost", 400),
        ("GET", "/api/slo/gate?change=everything", 400),
        ("PUT", "/api/slo/status", 405),
        ("OPTIONS", "/api/slo/status", 405),
        ("GET", f"/api/incidents/{AVAILABILITY}/ack", 405),
        ("POST", f"/api/incidents/{AVAILABILITY}/ack", 401),
        ("POST", f"/api/incidents/{AVAILABILITY}/close", 404),
    ],
)
async def test_every_error_is_a_problem(start: Start, method: str, path: str, status: int) -> None:
    client = await start(outage())
    answer = await client.request(method, path)
    assert (answer.status, (await problem(answer))["status"]) == (status, status)
    if status == 405:
        assert answer.headers["Allow"]


async def test_what_nobody_thought_of_is_a_problem_without_a_traceback(start: Start) -> None:
    broken = deepcopy(quiet())
    broken.slos["availability"] = {"surprise": "secret"}
    client = await start(broken)
    answer = await client.get("/api/slo/status")
    assert (await problem(answer))["detail"] == (
        "Something went wrong here; the worker's log says what."
    )
    assert "secret" not in await answer.text()
    assert "Traceback" not in await answer.text()


async def test_strict_headers_on_everything(start: Start) -> None:
    client = await start(outage())
    for path in ("/", "/api/slo/status", "/nowhere", "/static/page.css", "/metrics"):
        headers = (await client.get(path, headers={"Origin": "https://elsewhere.example"})).headers
        policy = headers["Content-Security-Policy"]
        assert policy.startswith("default-src 'none'; style-src 'self'; script-src 'self';")
        assert "unsafe" not in policy
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Cache-Control"] == "no-store"
        assert [
            name for name in headers if name.startswith("Access-Control") or name == "Server"
        ] == []


@pytest.mark.parametrize("path", ["/", f"/incidents/{AVAILABILITY}"])
async def test_pages_hold_what_events_say_as_text_only(start: Start, path: str) -> None:
    client = await start(outage())
    page = await (await client.get(path)).text()
    elements = Elements(page)
    scripts = [attributes["src"] for tag, attributes in elements.found if tag == "script"]
    charts = ["/static/uplot/uPlot.iife.min.js", "/static/charts.js"]
    assert scripts == ["/static/live.js"] if path == "/" else [*charts, "/static/live.js"]
    names = {name for _, attributes in elements.found for name in attributes}
    assert not [name for name in names if name.startswith("on") or name == "style"]
    elsewhere = [
        url
        for _, attributes in elements.found
        for name in ("src", "href")
        if (url := attributes.get(name)) and not url.startswith(("/", "#"))
    ]
    assert elsewhere == []
    assert "img" not in {tag for tag, _ in elements.found}
    if path != "/":
        assert HOSTILE_AGENT in elements.words()
        assert HOSTILE_ERROR in elements.words()


async def test_the_first_page_in_words(start: Start) -> None:
    client = await start(outage())
    words = Elements(await (await client.get("/")).text()).words()
    for text in (
        "2 open P1 incidents",
        "Deployments are frozen: hotfixes only Data integrity, since 2026-10-13 11:50:00 UTC.",
        (
            "P1 firing Availability: breach, fast-burn 19 min ago "
            "Since 2026-10-13 11:41:00 UTC Owner @backend-team #headless-alerts "
            "Taken by nobody yet Sees now breach 59.6 % (< 99 %, hour); "
            "fast-burn 18.5 % (> 10 %, hour)"
        ),
        (
            "Escalation page @platform-lead in 11 min "
            "due 2026-10-13 12:11:00 UTC: P1 unresolved for 30 min"
        ),
        "Availability P1 firing 99.9 % ≥ 99.5 % over 30 days Error budget, 30 days 81.5 % left",
        "Correctness no data –",  # noqa: RUF001
    ):
        assert text in words


async def test_an_entry_without_room_for_further_groups_is_said(start: Start) -> None:
    world = deepcopy(quiet())
    world.slos["latency"]["rest"] = {"by": "agent_id", "groups": 1, "most": 1}
    client = await start(world)
    said = "Groups: its only group is taken, further values of agent_id count here."
    for path in ("/", "/slos/latency"):
        assert said in await (await client.get(path)).text()


async def test_the_first_page_of_a_quiet_month_and_of_nothing(start: Start) -> None:
    quietly = Elements(await (await (await start(quiet())).get("/")).text()).words()
    assert "No open incident, every objective holds" in quietly
    starting = Health(ready=False, reasons=("count: the tables are being recovered",))
    client = await start(None, health=lambda: starting)
    answer = await client.get("/")
    words = Elements(await answer.text()).words()
    assert answer.status == 200
    assert "Nothing is known yet" in words
    assert "Not ready: count: the tables are being recovered." in words


async def test_the_page_works_without_a_script_and_for_screen_readers(start: Start) -> None:
    page = await (await (await start(outage())).get("/")).text()
    elements = Elements(page).found
    assert '<noscript><meta http-equiv="refresh" content="15"></noscript>' in page
    assert ("html", {"lang": "en"}) in elements
    assert all("scope" in attributes for tag, attributes in elements if tag == "th")
    drawn = [attributes for tag, attributes in elements if tag == "svg"]
    assert all("aria-hidden" in one or {"role", "aria-label"} <= set(one) for one in drawn)
    ids = [attributes["id"] for _, attributes in elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    labels = [a["aria-labelledby"] for _, a in elements if "aria-labelledby" in a]
    assert set(labels) <= set(ids)


async def test_the_page_says_that_it_is_blind_or_stale(start: Start, tmp_path: Path) -> None:
    client = await start(quiet(), health=lambda: Health(ready=True, blind=True))

    async def banners() -> list[str]:
        found = Elements(await (await client.get("/")).text()).found
        return [one["id"] or "" for tag, one in found if tag == "h2" and "id" in one]

    assert await banners() == ["blind", "incidents", "slos"]
    client = await start(quiet())
    (tmp_path / "clock").write_text(str(samples.NOON + 3_600_000))
    assert await banners() == ["stale", "incidents", "slos"]


async def test_until_the_status_is_read_nobody_knows(start: Start) -> None:
    client = await start(None)
    for path in ("/api/incidents", "/api/incidents/any", "/api/slo/gate", "/incidents/any"):
        answer = await client.get(path)
        assert (answer.status, answer.headers["Retry-After"]) == (503, "1")
        await problem(answer)
    status = await client.get("/api/slo/status")
    assert (status.status, (await status.json())["ready"]) == (200, False)


async def test_the_gate_is_unknown_when_the_status_is_too_old(start: Start, tmp_path: Path) -> None:
    client = await start(quiet())
    assert (await client.get("/api/slo/gate")).status == 200
    (tmp_path / "clock").write_text(str(samples.NOON + 3_600_000))
    answer = await client.get("/api/slo/gate")
    assert (answer.status, (await problem(answer))["detail"]) == (
        503,
        (
            "Not known: the status of availability is of 2026-10-13T12:00:00.000Z, "
            "which is too long ago."
        ),
    )


@pytest.mark.parametrize(
    ("kind", "body", "sent"),
    [
        ("ack", {"by": " dana "}, {"by": "dana"}),
        ("ack", None, {"by": "api"}),
        ("resolve", {"by": "dana", "why": "key renewed"}, {"by": "dana", "why": "key renewed"}),
    ],
)
async def test_a_command_goes_to_the_judge(
    start: Start, kind: str, body: dict[str, str] | None, sent: dict[str, str]
) -> None:
    commands = Sent()
    client = await start(outage(), commands=commands)
    path = f"/api/incidents/{AVAILABILITY}/{kind}"
    answer = (
        await client.post(path, json=body, headers=BEARER)
        if body
        else await client.post(path, headers=BEARER)
    )
    taken = await answer.json()
    assert (answer.status, taken) == (
        202,
        {"id": taken["id"], "kind": kind, "incident": AVAILABILITY},
    )
    assert commands.commands == [
        {"ack": Acknowledge, "resolve": Resolve}[kind](
            id=taken["id"],
            slo="availability",
            incident=AVAILABILITY,
            at=samples.NOON,
            via="api",
            **sent,
        )
    ]


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("resolve", b"{}", 400),
        ("resolve", b'{"why": "  "}', 400),
        ("ack", b'{"by": ""}', 400),
        ("ack", b'{"by": "a\\nb"}', 400),
        ("ack", b'{"by": 7}', 400),
        ("ack", b"by=dana", 400),
        ("ack", b"\xff\xfe", 400),
        ("ack", b'{"by": "' + b"x" * 101 + b'"}', 400),
        ("resolve", b'{"why": "' + b"x" * 1001 + b'"}', 400),
        ("ack", b'{"why": "' + b"x" * 70_000 + b'"}', 413),
    ],
)
async def test_commands_that_cannot_be_read(
    start: Start, path: str, body: bytes, status: int
) -> None:
    commands = Sent()
    client = await start(outage(), commands=commands)
    answer = await client.post(f"/api/incidents/{AVAILABILITY}/{path}", data=body, headers=BEARER)
    assert ((await problem(answer))["status"], commands.commands) == (status, [])


async def test_what_is_resolved_already_stays_so(start: Start) -> None:
    over = deepcopy(outage())
    over.incidents[AVAILABILITY] |= {"state": "resolved", "resolvedAt": "2026-10-13T12:30:00.000Z"}
    client = await start(over)
    answer = await client.post(f"/api/incidents/{AVAILABILITY}/ack", headers=BEARER)
    assert (await problem(answer))["status"] == 409


async def test_a_command_that_kafka_does_not_take(start: Start) -> None:
    class Refusing(Sent):
        async def send(self, command: Command) -> None:  # noqa: ARG002
            raise NotSent("Kafka does not take commands: no answer")

    client = await start(outage(), commands=Refusing())
    answer = await client.post(f"/api/incidents/{AVAILABILITY}/ack", headers=BEARER)
    assert (await problem(answer))["detail"] == "Kafka does not take commands: no answer."


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": "Bearer"},
        {"Authorization": "Bearer " + "t" * 42},
        {"Authorization": f"Basic {TOKEN}"},
        {"Authorization": basic(TOKEN)},
        {"Authorization": "Bearer té"},
    ],
)
async def test_changes_need_the_bearers_token(start: Start, headers: dict[str, str]) -> None:
    commands = Sent()
    client = await start(outage(), commands=commands)
    answer = await client.post(f"/api/incidents/{AVAILABILITY}/ack", headers=headers)
    assert ((await problem(answer))["status"], commands.commands) == (401, [])
    assert answer.headers["WWW-Authenticate"] == 'Bearer realm="burnrate"'


async def test_with_a_read_token_only_the_probes_and_the_sign_in_are_open(start: Start) -> None:
    client = await start(quiet(), read_token="r" * 20)
    shut = ["/", "/api/slo/status", "/metrics", "/events", "/openapi.json", "/static/live.js"]
    assert [(await client.get(path)).status for path in shut] == [401] * len(shut)
    free = ["/healthz", "/readyz", "/sign-in", "/static/page.css"]
    assert [(await client.get(path)).status for path in free] == [200] * len(free)
    for authorization in (
        f"Bearer {'r' * 20}",
        f"Bearer {TOKEN}",
        basic("r" * 20),
    ):
        answer = await client.get("/api/slo/status", headers={"Authorization": authorization})
        assert answer.status == 200
    path = f"/api/incidents/{AVAILABILITY}/ack"
    assert (await client.post(path, headers={"Authorization": "Bearer " + "r" * 20})).status == 401


@pytest.mark.parametrize(
    ("health", "alive", "ready"),
    [
        (Health(ready=True), (200, []), (200, [])),
        (Health(ready=False, reasons=("starting",)), (200, []), (503, ["starting"])),
        (
            Health(ready=False, alive=False, reasons=("stalled",)),
            (503, ["stalled"]),
            (503, ["stalled"]),
        ),
    ],
)
async def test_health(
    start: Start,
    health: Health,
    alive: tuple[int, list[str]],
    ready: tuple[int, list[str]],
) -> None:
    client = await start(quiet(), health=lambda: health)

    async def probed(path: str) -> tuple[int, list[str]]:
        answer = await client.get(path)
        return answer.status, (await answer.json())["reasons"]

    assert (await probed("/healthz"), await probed("/readyz")) == (alive, ready)


async def test_not_ready_before_the_status_is_read(start: Start) -> None:
    answer = await (await start(None)).get("/readyz")
    assert (answer.status, await answer.json()) == (
        503,
        {"ready": False, "reasons": ["the status is still being read"]},
    )


def samples_of(text: str) -> dict[str, float]:
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return {name: float(value) for name, value in (line.rsplit(" ", 1) for line in lines)}


async def test_metrics_show_the_mirror(start: Start) -> None:
    client = await start(outage())
    answer = await client.get("/metrics")
    found = samples_of(await answer.text())
    slos = outage().slos
    day = slos["availability"]["windows"]["24h"]["value"]
    assert answer.headers["Content-Type"].startswith("text/plain")
    assert found["headless_availability"] == day
    assert found["headless_latency_p95_ms"] == slos["latency"]["quantiles"]["24h"]["p95"]
    assert (
        found['burnrate_slo_sli{slo="availability"}'] == slos["availability"]["headline"]["value"]
    )
    assert found['burnrate_slo_burn_rate{slo="data-integrity",window="1h"}'] == float("inf")
    assert found['burnrate_incident_open{severity="P1",slo="availability"}'] == 1
    assert found['burnrate_incident_open{severity="P2",slo="availability"}'] == 0
    assert found['burnrate_slo_frozen{slo="data-integrity"}'] == 1
    unknown = found['burnrate_slo_sli{slo="correctness"}']
    assert unknown != unknown  # NaN  # noqa: PLR0124


async def test_metrics_begin_with_zero(start: Start) -> None:
    found = samples_of(await (await (await start(None)).get("/metrics")).text())
    assert found["headless_availability"] == 0
    assert found['burnrate_slo_frozen{slo="latency"}'] == 0
    assert found['burnrate_incident_open{severity="P1",slo="latency"}'] == 0


async def test_a_page_hears_that_there_is_news(start: Start) -> None:
    client = await start(quiet())
    answer = await client.get("/events")
    assert answer.content_type == "text/event-stream"
    assert await answer.content.readuntil(b"\n\n") == b"retry: 2000\n\n"
    mirror = client.app[SURROUNDINGS].mirror
    assert isinstance(mirror, StillMirror)
    mirror.tell()
    told = await asyncio.wait_for(answer.content.readuntil(b"\n\n"), 5)
    assert told == b"event: change\nid: 2\ndata: 2\n\n"


async def test_an_open_stream_does_not_hold_up_the_end(tmp_path: Path) -> None:
    from app.web.server import serving

    app = samples.server(tmp_path, quiet())
    loop = asyncio.get_running_loop()
    async with serving(app, "127.0.0.1", 0) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n")
        await reader.readuntil(b"retry: 2000\n\n")
        began = loop.time()
    assert loop.time() - began < 1.5
    writer.close()


async def test_a_taken_port_is_said(tmp_path: Path) -> None:
    from app.errors import UserError
    from app.web.server import serving

    async with serving(samples.server(tmp_path, None), "127.0.0.1", 0) as port:
        with pytest.raises(UserError, match=f"127.0.0.1:{port} cannot be listened on"):
            async with serving(samples.server(tmp_path, None), "127.0.0.1", port):
                pass


async def test_a_resolved_incident_is_named_by_its_objective(start: Start) -> None:
    ended = deepcopy(outage())
    ended.incidents[AVAILABILITY] |= {
        "state": "resolved",
        "rules": [],
        "resolvedAt": "2026-10-13T12:00:00.000Z",
        "resolvedBy": None,
        "why": "recovered",
    }
    client = await start(ended)
    words = Elements(await (await client.get(f"/incidents/{AVAILABILITY}")).text()).words()
    assert "Availability P1 resolved" in words
    assert "Resolved 2026-10-13 12:00:00 UTC recovered Runbook" in words


async def test_a_runbook_with_an_incidents_values(start: Start) -> None:
    client = await start(outage())
    answer = await client.get(f"/runbooks/availability?incident={AVAILABILITY}")
    elements = Elements(await answer.text())
    assert answer.status == 200
    assert f"burnrate ack {AVAILABILITY}" in elements.words()
    assert HOSTILE_AGENT in elements.words()
    assert "script" not in {tag for tag, _ in elements.found}


def test_the_description_of_the_api_is_honest(tmp_path: Path) -> None:
    app = samples.server(tmp_path, None)
    served = {
        (method, re.sub(r"\{(\w+):[^}]*\}", r"{\1}", resource.canonical))
        for resource in app.router.resources()
        if not isinstance(resource, web.StaticResource)
        for method in {route.method.lower() for route in resource} - {"head"}
    }
    told = {
        (method, path)
        for path, item in openapi.DOCUMENT["paths"].items()
        for method in item
        if method != "parameters"
    }
    assert served == told


async def test_answers_are_as_described(start: Start) -> None:
    import jsonschema

    client = await start(outage())
    components = {"components": openapi.DOCUMENT["components"]}
    for path, name in (
        ("/api/slo/status", "Status"),
        ("/api/incidents", "Incidents"),
        (f"/api/incidents/{AVAILABILITY}", "Incident"),
        ("/api/slo/gate", "Gate"),
        ("/readyz", "Probe"),
        ("/nowhere", "Problem"),
    ):
        schema = {"$ref": f"#/components/schemas/{name}", **components}
        jsonschema.validate(json.loads(await (await client.get(path)).text()), schema)
    assert await (await client.get("/openapi.json")).json() == openapi.DOCUMENT


async def test_the_alerters_own_incident_has_a_page(start: Start) -> None:
    own = deepcopy(quiet())
    incident = deepcopy(outage().incidents[AVAILABILITY])
    key = "alerter-blind-20261013T115000Z"
    nothing = {"window": 0, "contributors": [], "examples": [], "series": None}
    own.incidents[key] = incident | {
        "key": key,
        "slo": "alerter",
        "runbook": "blind",
        "evidence": nothing,
    }
    client = await start(own)
    page, overview = await client.get(f"/incidents/{key}"), await client.get("/")
    assert (page.status, overview.status) == (200, 200)
    assert "@ops-team #ops-alerts" in Elements(await page.text()).words()
    assert key in await overview.text()
