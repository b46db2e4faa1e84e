"""The API of the configuration: what is in force, and taking over another."""

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from aiohttp.test_utils import TestClient, TestServer

from tests.web import samples
from tests.web.samples import TOKEN, InForce, policy

BEARER = {"Authorization": f"Bearer {TOKEN}"}

Client = TestClient[Any, Any]
Start = Callable[..., Awaitable[Client]]


@pytest.fixture
async def start(tmp_path: Path) -> AsyncIterator[Start]:
    clients: list[Client] = []

    async def started(**more: Any) -> Client:  # noqa: ANN401
        client: Client = TestClient(TestServer(samples.server(tmp_path, None, **more)))
        await client.start_server()
        clients.append(client)
        return client

    yield started
    for client in clients:
        await client.close()


async def test_a_reload_says_what_it_changed_and_needs_the_token(start: Start) -> None:
    client = await start()
    refused = await client.post("/api/reload")
    assert refused.status == 401
    answer = await client.post("/api/reload", headers=BEARER)
    assert (answer.status, await answer.json()) == (
        200,
        {"changed": True, "added": ["new"], "removed": [], "redefined": ["latency"]},
    )


async def test_an_unsound_configuration_is_refused_with_its_faults(start: Start) -> None:
    held = InForce(policy(), refused="slos.yaml:3: objective: too high")
    client = await start(configuration=held)
    answer = await client.post("/api/reload", headers=BEARER)
    assert answer.status == 422
    assert "slos.yaml:3: objective: too high" in (await answer.json())["detail"]


async def test_the_policy_in_force_can_be_read(start: Start) -> None:
    client = await start()
    shown = await (await client.get("/api/config")).json()
    assert shown["slos"]["availability"]["objective"] == 0.995
    assert shown["ownership"]["routes"]["latency"]["owner"] == "@backend-team"
