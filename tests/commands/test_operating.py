"""The operating commands against a real server on the loopback."""

import asyncio
import functools
import json
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from click.testing import CliRunner, Result

from app.cli import burnrate
from app.core.commands import Acknowledge, Resolve
from app.errors import UserError
from app.web.server import serving
from tests.web import samples
from tests.web.samples import TOKEN, Sent, World

AVAILABILITY = "availability-20261013T114100Z"
INTEGRITY = "data-integrity-20261013T115000Z"

Burnrate = Callable[..., Result]


@functools.cache
def outage() -> World:
    return samples.outage()


@functools.cache
def quiet() -> World:
    return samples.quiet()


class Serving:
    """A server in a thread of its own, since the commands wait for their answers."""

    def __init__(self, tmp: Path, world: World | None, **more: Any) -> None:  # noqa: ANN401
        self.sent = Sent()
        self.port: Future[int] = Future()
        self._loop = asyncio.new_event_loop()
        self._stop = asyncio.Event()
        app = samples.server(tmp, world, commands=self.sent, **more)
        self._thread = threading.Thread(
            target=lambda: self._loop.run_until_complete(self._run(app))
        )
        self._thread.start()

    async def _run(self, app: web.Application) -> None:
        async with serving(app, "127.0.0.1", 0) as port:
            self.port.set_result(port)
            await self._stop.wait()

    def end(self) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(10)
        self._loop.close()


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[..., tuple[Serving, Burnrate]]]:
    """Serves a world; gives the server and `burnrate` talking to it."""
    servers: list[Serving] = []

    def served(world: World | None, **more: object) -> tuple[Serving, Burnrate]:
        server = Serving(tmp_path, world, **more)
        servers.append(server)
        return server, functools.partial(run, server.port.result(10))

    yield served
    for server in servers:
        server.end()


def run(port: int, *words: str, env: Mapping[str, str] | None = None) -> Result:
    surroundings = {
        "BURNRATE_URL": f"http://127.0.0.1:{port}",
        "BURNRATE_API_TOKEN": TOKEN,
        "COLUMNS": "200",
        **(env or {}),
    }
    return CliRunner().invoke(burnrate, list(words), env=surroundings)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def row(output: str, name: str) -> str:
    return " ".join(next(line for line in output.splitlines() if line.startswith(name)).split())


def test_status_as_a_table(serve: Callable[..., tuple[Serving, Burnrate]]) -> None:
    _, burnrate = serve(outage())
    output = burnrate("status").output
    assert output.startswith("As of 2026-10-13 12:00:00 UTC.\n")
    assert "Deployments are frozen, hotfixes only: Data integrity." in output
    assert row(output, "Availability").startswith(
        "Availability P1 firing 99.9 % ≥ 99.5 % over 30 days ████████░░ 81.5 %, gone in"
    )
    assert row(output, "Data integrity") == (
        "Data integrity P1 firing 99.8 % ≥ 100 % over 24 hours none: any failure counts "
        "∞ ∞ ∞ ···········█ @data-team"
    )
    assert row(output, AVAILABILITY) == (
        f"{AVAILABILITY} P1 firing breach, fast-burn 2026-10-13 11:41:00 UTC – "  # noqa: RUF001
        "page @platform-lead, due 2026-10-13 12:11:00 UTC (in 11 min): P1 unresolved for 30 min"
    )
    assert "\x1b" not in output


@pytest.mark.parametrize(
    ("columns", "head"),
    [
        ("80", "Objective State Now Budget left 1 h 6 h 7 d"),
        ("120", "Objective State Now Target Budget left 1 h 6 h 7 d"),
        ("150", "Objective State Now Target Budget left 1 h 6 h 7 d Bad, 24 h"),
    ],
)
def test_a_narrow_terminal_leaves_columns_out_before_it_breaks_words(
    serve: Callable[..., tuple[Serving, Burnrate]], columns: str, head: str
) -> None:
    _, burnrate = serve(outage())
    output = burnrate("status", env={"COLUMNS": columns}).output
    assert row(output, "Objective") == head
    assert row(output, "Resource efficiency").startswith("Resource efficiency ")
    assert row(output, AVAILABILITY).startswith(f"{AVAILABILITY} P1")


def test_status_for_scripts_is_the_apis_answer(
    serve: Callable[..., tuple[Serving, Burnrate]],
) -> None:
    _, burnrate = serve(quiet())
    found = json.loads(burnrate("status", "--json").output)
    assert found["slos"] == list(quiet().slos.values())


def test_status_before_anything_is_known(serve: Callable[..., tuple[Serving, Burnrate]]) -> None:
    _, burnrate = serve(None)
    result = burnrate("status")
    assert isinstance(result.exception, UserError)
    assert result.exception.message == "Not known yet: the status is still being read."


@pytest.mark.parametrize(
    ("groups", "said"),
    [(49, False), (50, True)],
)
def test_an_entry_without_room_for_further_groups_is_said(
    serve: Callable[..., tuple[Serving, Burnrate]], groups: int, *, said: bool
) -> None:
    world = deepcopy(quiet())
    world.slos["latency"]["rest"] = {"by": "cli_type", "groups": groups, "most": 50}
    _, burnrate = serve(world)
    words = "Latency: all 50 groups are taken, further values of cli_type count here."
    assert (words in burnrate("status").output) is said


def test_incidents(serve: Callable[..., tuple[Serving, Burnrate]]) -> None:
    _, burnrate = serve(outage())
    lines = burnrate("incidents", "--state", "open").output.splitlines()
    assert [line.split()[0] for line in lines[2:4]] == [INTEGRITY, AVAILABILITY]
    assert burnrate("incidents", "--state", "resolved").output == "No incident is resolved.\n"
    found = json.loads(burnrate("incidents", "--json").output)
    assert [one["key"] for one in found["incidents"]] == [INTEGRITY, AVAILABILITY]


def test_what_events_say_neither_steers_nor_styles_the_terminal(
    serve: Callable[..., tuple[Serving, Burnrate]],
) -> None:
    hostile = deepcopy(outage())
    hostile.incidents[AVAILABILITY] |= {
        "state": "acknowledged",
        "acknowledged": {"by": "\x1b]0;owned\x07[red]dana", "at": None, "via": "api"},
    }
    _, burnrate = serve(hostile)
    output = burnrate("incidents").output
    assert "·]0;owned·[red]dana" in output
    assert "\x1b" not in output


def test_ack_and_resolve(serve: Callable[..., tuple[Serving, Burnrate]]) -> None:
    server, burnrate = serve(outage())
    taken = burnrate("ack", AVAILABILITY, "--by", "dana")
    ended = burnrate("resolve", AVAILABILITY, "--why", "key renewed", "--by", "dana")
    assert (taken.exit_code, ended.exit_code) == (0, 0)
    assert taken.output == f"{AVAILABILITY}: taken by dana.\n"
    first, second = server.sent.commands
    common: dict[str, Any] = {
        "slo": "availability",
        "incident": AVAILABILITY,
        "by": "dana",
        "at": samples.NOON,
        "via": "api",
    }
    assert server.sent.commands == [
        Acknowledge(id=first.id, **common),
        Resolve(id=second.id, why="key renewed", **common),
    ]


def test_who_comes_second_is_told_who_has_it(
    serve: Callable[..., tuple[Serving, Burnrate]],
) -> None:
    taken = deepcopy(outage())
    kim = {"by": "kim", "at": "2026-10-13T11:50:00.000Z", "via": "slack"}
    taken.incidents[AVAILABILITY] |= {"state": "acknowledged", "acknowledged": kim}
    _, burnrate = serve(taken)
    said = burnrate("ack", AVAILABILITY, "--by", "lee").output
    assert said == f"{AVAILABILITY}: kim has it already, since 2026-10-13 11:50:00 UTC.\n"


def test_the_token_is_found_in_the_data_folder(
    serve: Callable[..., tuple[Serving, Burnrate]], tmp_path: Path
) -> None:
    server, burnrate = serve(outage(), api_token="")
    env = {"BURNRATE_API_TOKEN": "", "BURNRATE_DATA": str(tmp_path)}
    assert burnrate("ack", AVAILABILITY, "--by", "dana", env=env).exit_code == 0
    assert len(server.sent.commands) == 1


def test_without_a_token(serve: Callable[..., tuple[Serving, Burnrate]], tmp_path: Path) -> None:
    _, burnrate = serve(outage())
    env = {"BURNRATE_API_TOKEN": "", "BURNRATE_DATA": str(tmp_path / "none")}
    result = burnrate("ack", AVAILABILITY, env=env)
    assert isinstance(result.exception, UserError)
    assert "set BURNRATE_API_TOKEN" in result.exception.message


@pytest.mark.parametrize(
    ("words", "env", "code", "message"),
    [
        (["ack", "none"], {}, 1, "There is no incident with this key; /api/incidents lists them."),
        (
            ["silence", "latency", "--for", "99d", "--why", "x"],
            {},
            2,
            "for is a minute at least and 7d at most",
        ),
        (["silence", "latence", "--for", "2h", "--why", "x"], {}, 2, "There is no SLO 'latence'"),
        (
            ["ack", AVAILABILITY],
            {"BURNRATE_API_TOKEN": "wrong"},
            1,
            (
                "This needs the API token: Authorization: Bearer, with BURNRATE_API_TOKEN or the "
                "content of api-token in the worker's data folder."
            ),
        ),
        (["status"], {"BURNRATE_URL": "here"}, 2, "BURNRATE_URL is 'here': write it like http"),
        (["status"], {"BURNRATE_PORT": "x"}, 2, "BURNRATE_PORT is 'x'"),
    ],
)
def test_refusals_are_sentences(
    serve: Callable[..., tuple[Serving, Burnrate]],
    words: list[str],
    env: dict[str, str],
    code: int,
    message: str,
) -> None:
    _, burnrate = serve(outage())
    result = burnrate(*words, env=env)
    assert isinstance(result.exception, UserError)
    assert result.exception.exit_code == code
    assert result.exception.message.startswith(message)


def test_reading_with_a_read_token(serve: Callable[..., tuple[Serving, Burnrate]]) -> None:
    _, burnrate = serve(quiet(), read_token="r" * 20)
    assert burnrate("status", env={"BURNRATE_READ_TOKEN": "r" * 20}).exit_code == 0
    assert isinstance(burnrate("status").exception, UserError)


def test_nobody_answers() -> None:
    port = free_port()
    result = run(port, "status")
    assert isinstance(result.exception, UserError)
    assert result.exception.message == (
        f"no worker answers at http://127.0.0.1:{port} (nobody listens there): "
        "start one with `burnrate up`, or name another with BURNRATE_URL"
    )


def test_the_gate_is_open(serve: Callable[..., tuple[Serving, Burnrate]]) -> None:
    _, burnrate = serve(quiet())
    result = burnrate("gate")
    assert (result.exit_code, result.output) == (0, "A feature may be deployed.\n")


def test_the_gate_is_frozen_but_for_hotfixes(
    serve: Callable[..., tuple[Serving, Burnrate]],
) -> None:
    _, burnrate = serve(outage())
    feature, hotfix = burnrate("gate"), burnrate("gate", "--change", "hotfix", "--json")
    assert (feature.exit_code, feature.output) == (
        3,
        (
            "A feature must wait.\n"
            "Frozen since 2026-10-13 11:50:00 UTC, hotfixes only: data-integrity.\n"
        ),
    )
    assert (hotfix.exit_code, json.loads(hotfix.output)["allowed"]) == (0, True)


def test_nobody_can_tell_whether_to_deploy(
    serve: Callable[..., tuple[Serving, Burnrate]],
) -> None:
    _, burnrate = serve(None)
    starting, silent = burnrate("gate"), run(free_port(), "gate")
    assert (starting.exit_code, starting.stderr) == (
        4,
        "unknown: Not known yet: the status is still being read.\n",
    )
    assert silent.exit_code == 4
    assert silent.stderr.startswith("unknown: no worker answers at http://127.0.0.1:")


def test_colours_only_in_a_terminal_and_none_with_no_color(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from app.commands import terminal

    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    assert terminal.console().color_system is not None
    monkeypatch.setenv("NO_COLOR", "1")
    assert terminal.console().no_color is True
    monkeypatch.delenv("FORCE_COLOR")
    assert terminal.console().is_terminal is False


def test_silence_silences_and_unsilence(serve: Callable[..., tuple[Serving, Burnrate]]) -> None:
    world = deepcopy(outage())
    shown = {
        "id": "s-1",
        "slo": "availability",
        "severity": "P1",
        "rule": None,
        "kind": "silence",
        "beginsAt": "2026-10-13T11:50:00.000Z",
        "endsAt": "2026-10-13T13:50:00.000Z",
        "by": "dana",
        "why": "we know",
    }
    world.slos["availability"]["silences"] = [shown]
    server, burnrate = serve(world)
    words = ["availability", "--for", "2h", "--why", "we know", "--by", "dana"]
    made = burnrate("silence", *words)
    (command,) = server.sent.commands
    name = command.silence.id
    assert made.output == (
        f"{name}: availability is silent for 2h. End it: burnrate unsilence {name}\n"
    )
    assert row(burnrate("silences").output, "s-1") == (
        "s-1 availability P1 2026-10-13 13:50:00 UTC dana we know"
    )
    assert json.loads(burnrate("silences", "--json").output) == {"silences": [shown]}
    assert burnrate("unsilence", "s-1", "--by", "lee").output == "s-1: ended by lee.\n"
    assert server.sent.commands[-1].by == "lee"
    answer = json.loads(burnrate("silence", *words, "--json").output)
    assert answer["slos"] == ["availability"]


def test_maintenance_is_listed_made_and_unmade(
    serve: Callable[..., tuple[Serving, Burnrate]],
) -> None:
    server, burnrate = serve(outage())
    assert burnrate("maintenance").output == "There is no maintenance window.\n"
    made = burnrate(
        *["maintenance", "add", "all", "--from", "2026-10-14T22:00", "--for", "2h"],
        *["--exclude-from-budget", "--why", "patches", "--by", "dana"],
    )
    assert "Unmake it: burnrate maintenance remove m-" in made.output
    assert len(server.sent.commands) == 5
    assert {command.window.exclude_from_budget for command in server.sent.commands} == {True}
    refused = burnrate("maintenance", "remove", "m-none")
    assert isinstance(refused.exception, UserError)
    assert refused.exception.message == "There is no window of this id."


def test_corrections_are_made_listed_and_taken_back(
    serve: Callable[..., tuple[Serving, Burnrate]],
) -> None:
    world = deepcopy(outage())
    world.slos["latency"]["corrections"] = [
        {
            "id": "c-1",
            "slo": "latency",
            "from": "2026-10-13T10:00:00.000Z",
            "to": "2026-10-13T11:00:00.000Z",
            "agent": None,
            "cliType": "codex",
            "by": "dana",
            "why": "a test",
            "at": "2026-10-13T11:30:00.000Z",
            "applied": False,
        }
    ]
    server, burnrate = serve(world)
    assert row(burnrate("correct").output, "c-1") == (
        "c-1 latency 2026-10-13 10:00:00 UTC 2026-10-13 11:00:00 UTC codex being recounted dana "
        "a test"
    )
    words = ["--slo", "latency", "--from", "2026-10-13T10:00Z", "--to", "2026-10-13T11:00Z"]
    made = burnrate("correct", *words, "--agent", "agent-1", "--why", "a test", "--by", "dana")
    assert "being recounted. Take it back: burnrate correct --revert c-" in made.output
    assert burnrate("correct", "--revert", "c-1", "--by", "lee").output == (
        "c-1: taken back by lee.\n"
    )
    assert [type(command).__name__ for command in server.sent.commands] == ["Correct", "Revert"]
    refused = burnrate("correct", *words)
    assert isinstance(refused.exception, UserError)
    assert refused.exception.message == "--why must be given as well"
