"""The gate's changes over HTTP: who says what, and what is refused."""

from collections.abc import AsyncIterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
from aiohttp.test_utils import TestClient, TestServer

from app.core.commands import OverrideGate, TickOff
from tests.web import samples
from tests.web.samples import NOON, TOKEN, Sent, World

BEARER = {"Authorization": f"Bearer {TOKEN}"}
HOUR = 3_600_000
Client = TestClient[Any, Any]


def frozen() -> World:
    """Data integrity freezes by its incident, availability by its budget."""
    world = deepcopy(samples.outage())
    due = {"what": "root cause analysis", "owner": "@backend-team", "doneAt": None, "link": None}
    world.slos["availability"] |= {
        "frozen": True,
        "freeze": {
            "key": "availability-freeze-20261013T110000Z",
            "since": "2026-10-13T11:00:00.000Z",
            "liftedAt": None,
            "due": [due],
        },
    }
    return world


@pytest.fixture
def commands() -> Sent:
    return Sent()


@pytest.fixture
async def client(tmp_path: Path, commands: Sent) -> AsyncIterator[Client]:
    app = samples.server(tmp_path, frozen(), commands=commands)
    async with TestClient(TestServer(app)) as made:
        yield made


async def test_an_override_goes_to_every_slo_that_freezes(client: Client, commands: Sent) -> None:
    body = {"for": "2h", "why": "the fix itself", "by": "dana"}
    answer = await client.post("/api/gate/override", json=body, headers=BEARER)
    assert (answer.status, (await answer.json())["slos"]) == (
        202,
        ["availability", "data-integrity"],
    )
    assert [(c.slo, c.by, c.why, c.until) for c in commands.commands] == [  # type: ignore[union-attr]
        (slo, "dana", "the fix itself", NOON + 2 * HOUR)
        for slo in ("availability", "data-integrity")
    ]
    assert all(isinstance(c, OverrideGate) for c in commands.commands)


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"for": "2h"}, 400),
        ({"for": "2h", "why": " "}, 400),
        ({"why": "w"}, 400),
        ({"for": "ages", "why": "w"}, 400),
        ({"for": "8d", "why": "w"}, 400),
        ({"for": "10s", "why": "w"}, 400),
        ({"for": "2h", "why": "w", "by": ""}, 400),
        ({"for": "2h", "why": "w", "slo": "nothing"}, 404),
        ({"for": "2h", "why": "w", "slo": "latency"}, 409),
    ],
)
async def test_an_override_without_a_reason_an_end_or_a_freeze_is_refused(
    client: Client, commands: Sent, body: dict[str, str], status: int
) -> None:
    answer = await client.post("/api/gate/override", json=body, headers=BEARER)
    assert (answer.status, commands.commands) == (status, [])


async def test_what_is_due_is_ticked_off_with_a_link(client: Client, commands: Sent) -> None:
    body = {
        "slo": "availability",
        "what": "root cause analysis",
        "link": "https://wiki.test/rca-7",
        "by": "dana",
    }
    answer = await client.post("/api/gate/due", json=body, headers=BEARER)
    assert answer.status == 202
    (sent,) = commands.commands
    assert isinstance(sent, TickOff)
    assert (sent.slo, sent.what, sent.link, sent.by) == tuple(body.values())


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"link": ""}, 400),
        ({"link": "javascript:alert(1)"}, 400),
        ({"link": "https://a b"}, 400),
        ({"link": "https://[a"}, 400),
        ({"link": "ftp://a.test"}, 400),
        ({"what": "coffee"}, 404),
        ({"slo": "latency"}, 404),
        ({"slo": ""}, 404),
    ],
)
async def test_what_is_not_due_or_not_linked_is_refused(
    client: Client, commands: Sent, change: dict[str, str], status: int
) -> None:
    body = {"slo": "availability", "what": "root cause analysis", "link": "https://a.test"}
    answer = await client.post("/api/gate/due", json=body | change, headers=BEARER)
    assert (answer.status, commands.commands) == (status, [])


@pytest.mark.parametrize("path", ["/api/gate/override", "/api/gate/due"])
async def test_nobody_changes_the_gate_without_the_token(client: Client, path: str) -> None:
    assert (await client.post(path, json={})).status == 401
