"""The API of silences, maintenance windows and corrections."""

import functools
import json
from collections.abc import AsyncIterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
from aiohttp.test_utils import TestClient, TestServer
from msgspec.structs import replace

from app.core.commands import (
    BeginMaintenance,
    BeginSilence,
    Correct,
    EndMaintenance,
    EndSilence,
    Revert,
)
from app.core.corrections import Correction
from app.core.maintenance import Window
from app.core.silences import Silence
from tests.web import samples
from tests.web.samples import NOON, TOKEN, InForce, Sent, World

HOUR_MS = 3_600_000
SLOS = ["availability", "latency", "correctness", "data-integrity", "resource-efficiency"]
SHOWN = {"slo": "availability", "by": "dana", "why": "known"}


@functools.cache
def quiet() -> World:
    return samples.quiet()


class Served:
    def __init__(self, client: TestClient[Any, Any], sent: Sent) -> None:
        self._client, self.sent = client, sent

    async def ask(self, method: str, path: str, body: object = None) -> tuple[int, Any]:
        headers = {"Authorization": f"Bearer {TOKEN}"}
        answer = await self._client.request(method, f"/api{path}", json=body, headers=headers)
        return answer.status, json.loads(await answer.text())


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[Served]:
    """A quiet world with one silence, two windows and a correction."""
    world, sent = deepcopy(quiet()), Sent()
    world.slos["availability"]["silences"] = [
        {"id": "s-1", "kind": "silence", **SHOWN},
        {"id": "patching@1", "kind": "maintenance", **SHOWN},
    ]
    world.slos["availability"]["maintenance"] = [{"id": "m-1", **SHOWN}]
    world.slos["latency"]["maintenance"] = [{"id": "m-1", **SHOWN, "slo": "latency"}]
    world.slos["latency"]["corrections"] = [{"id": "c-1", **SHOWN, "slo": "latency"}]
    window = Window(id="patching", begins="2026-10-13T11:00", lasts_s=7200, by="ops", why="w")
    slos = world.policy.slos
    slos = {**slos, "availability": replace(slos["availability"], maintenance=(window,))}
    configuration = InForce(replace(world.policy, slos=slos))
    app = samples.server(tmp_path, world, commands=sent, configuration=configuration)
    async with TestClient(TestServer(app)) as client:
        yield Served(client, sent)


async def test_what_is_silent_maintained_and_corrected_is_listed(served: Served) -> None:
    for what, ids in (
        ("silences", ["s-1", "patching@1"]),
        ("maintenance", ["m-1", "m-1"]),
        ("corrections", ["c-1"]),
    ):
        status, document = await served.ask("GET", f"/{what}")
        assert (status, [one["id"] for one in document[what]]) == (200, ids)


@pytest.mark.parametrize("lasts", [{"for": "2h"}, {"for_s": 7200}])
async def test_a_silence_is_a_command(served: Served, lasts: dict[str, Any]) -> None:
    order = {"slo": "latency", "why": " we know ", "by": "dana", "severity": "P2", **lasts}
    status, taken = await served.ask("POST", "/silences", order)
    (command,) = served.sent.commands
    assert (status, taken["slos"], taken["kind"]) == (202, ["latency"], "silence")
    silence = Silence(
        id=taken["silence"],
        slo="latency",
        begins_at=NOON,
        ends_at=NOON + 2 * HOUR_MS,
        by="dana",
        why="we know",
        severity="P2",
    )
    known = {"id": taken["id"], "slo": "latency", "by": "dana", "at": NOON}
    assert command == BeginSilence(silence=silence, **known)


async def test_a_silence_of_all_is_one_for_each(served: Served) -> None:
    order = {"slo": "all", "for": "30m", "why": "a move", "rule": "breach"}
    _, taken = await served.ask("POST", "/silences", order)
    assert taken["slos"] == SLOS
    assert [command.slo for command in served.sent.commands] == SLOS
    assert {command.silence.id for command in served.sent.commands} == {taken["silence"]}  # type: ignore[union-attr]


async def test_endings_go_to_every_slo_that_has_it(served: Served) -> None:
    about = {"by": "dana", "at": NOON}
    for path, kind in (("silences/s-1", EndSilence), ("corrections/c-1", Revert)):
        assert (await served.ask("DELETE", f"/{path}", {"by": "dana"}))[0] == 202
        assert isinstance(served.sent.commands.pop(), kind)
    assert (await served.ask("DELETE", "/maintenance/m-1", about))[0] == 202
    assert [(type(c), c.slo) for c in served.sent.commands] == [
        (EndMaintenance, "availability"),
        (EndMaintenance, "latency"),
    ]


async def test_a_window_is_a_command(served: Served) -> None:
    order = {
        "slo": "availability",
        "begins": "2026-10-17T22:00",
        "for": "2h",
        "zone": "Europe/Berlin",
        "repeats": "FREQ=WEEKLY;COUNT=4",
        "exclude_from_budget": True,
        "why": "patches",
        "by": "dana",
    }
    _, taken = await served.ask("POST", "/maintenance", order)
    (command,) = served.sent.commands
    assert isinstance(command, BeginMaintenance)
    assert command.window == Window(
        id=taken["maintenance"],
        begins="2026-10-17T22:00",
        lasts_s=7200,
        by="dana",
        why="patches",
        zone="Europe/Berlin",
        repeats="FREQ=WEEKLY;COUNT=4",
        exclude_from_budget=True,
    )


async def test_a_correction_is_a_command(served: Served) -> None:
    order = {
        "slo": "availability",
        "from": "2026-10-13T10:00Z",
        "to": "2026-10-13T11:00:00+00:00",
        "agent": "agent-7",
        "why": "a broken host",
        "by": "dana",
    }
    _, taken = await served.ask("POST", "/corrections", order)
    (command,) = served.sent.commands
    assert isinstance(command, Correct)
    assert command.correction == Correction(
        id=taken["correction"],
        slo="availability",
        begins_at=NOON - 2 * HOUR_MS,
        ends_at=NOON - HOUR_MS,
        by="dana",
        why="a broken host",
        at=NOON,
        agent="agent-7",
    )


S = {"slo": "latency", "for": "2h", "why": "w"}
M = {**S, "begins": "2026-10-14T01:00"}
C = {"slo": "latency", "from": "2026-10-13T10:00Z", "to": "2026-10-13T11:00Z", "why": "w"}


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "says"),
    [
        ("POST", "silences", {**S, "for": "for ever"}, 400, "for is 'for ever'"),
        ("POST", "silences", {**S, "for": "8d"}, 400, "nothing is silent for ever"),
        ("POST", "silences", {**S, "for": "0s"}, 400, "a minute at least"),
        ("POST", "silences", {**S, "for_s": 10**9}, 400, "nothing is silent for ever"),
        ("POST", "silences", {"slo": "latency", "why": "w"}, 400, "for is ''"),
        ("POST", "silences", {"slo": "latency", "for": "2h"}, 400, "why"),
        ("POST", "silences", {**S, "why": " "}, 400, "why is missing"),
        ("POST", "silences", {**S, "slo": "speed"}, 400, "There is no SLO 'speed'"),
        ("POST", "silences", {**S, "slo": "alerter"}, 400, "There is no SLO 'alerter'"),
        ("POST", "silences", {**S, "rule": "breech"}, 400, "There is no rule 'breech'"),
        ("POST", "silences", {**S, "severity": "P3"}, 400, "P3"),
        ("POST", "silences", {**S, "until": "x"}, 400, "until"),
        ("POST", "silences", {**S, "by": "\n"}, 400, "by is a name"),
        ("POST", "silences", [], 400, "cannot be read"),
        ("DELETE", "silences/s-2", None, 404, "There is no silence of this id."),
        ("DELETE", "silences/patching@1", None, 409, "a maintenance window's"),
        ("POST", "maintenance", {**M, "begins": "soon"}, 400, "begins is 'soon'"),
        ("POST", "maintenance", {**M, "begins": "2026-10-12T01:00"}, 400, "over already"),
        ("POST", "maintenance", {**M, "repeats": "FREQ=DAILY"}, 400, "needs UNTIL= or COUNT="),
        ("POST", "maintenance", {**M, "zone": "Here"}, 400, "'Here' is no time zone"),
        ("DELETE", "maintenance/patching", None, 409, "take it out of maintenance.yaml"),
        ("DELETE", "maintenance/m-2", None, 404, "There is no window of this id."),
        ("POST", "corrections", {**C, "slo": "all"}, 400, "of one SLO"),
        ("POST", "corrections", {**C, "to": "2026-10-13T13:00Z"}, 400, "to lies ahead"),
        ("POST", "corrections", {**C, "from": "2026-09-01T00:00Z"}, 400, "31 days back"),
        ("POST", "corrections", {**C, "to": C["from"]}, 400, "from lies before to"),
        ("POST", "corrections", {**C, "from": "noon"}, 400, "write it like"),
        (
            "POST",
            "corrections",
            {**C, "slo": "data-integrity", "agent": "a"},
            400,
            "take out a whole interval",
        ),
        ("DELETE", "corrections/c-2", None, 404, "There is no correction of this id."),
    ],
)
async def test_refusals_say_why(
    served: Served, method: str, path: str, body: object, status: int, says: str
) -> None:
    given, problem = await served.ask(method, f"/{path}", body)
    assert (given, says in problem["detail"]) == (status, True), problem["detail"]
    assert served.sent.commands == []
