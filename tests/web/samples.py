"""Statuses and incidents as the judge makes them, from events, for the tests of the web."""

import asyncio
import json
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
from aiohttp import web

from app import config
from app.config import ConfigError, Policy
from app.core import judge as judging
from app.core import rows, signals, status
from app.core.commands import Command
from app.core.events import parse_timestamp
from app.core.folding import Folder
from app.core.history import History, Told
from app.core.judge import Judged, SloState
from app.core.ledger import Ledger
from app.core.ownership import Route
from app.core.reading import PartitionReader, Record
from app.core.rows import Row
from app.core.slos import Slo
from app.core.slots import COARSE, FINE
from app.delivery.secrets import Secrets
from app.metrics import Metrics
from app.reloading import Reloaded
from app.settings import Settings
from app.web.mirror import Deliveries, Document
from app.web.server import make_server
from app.web.surroundings import Commands, Configuration, Health

REPO = Path(__file__).parents[2]
TOPIC = "kokino.events"
NOON = parse_timestamp("2026-10-13T12:00:00Z")

Event = dict[str, Any]


def policy() -> Policy:
    """The shipped one."""
    return config.load(REPO / "config")


def iso(at: int) -> str:
    return datetime.fromtimestamp(at / 1000, UTC).isoformat()


def execution(at: int, **fields: object) -> Event:
    """A good execution, but for the fields given."""
    good = {
        "event": "EXECUTION_COMPLETED",
        "agent_id": "alice",
        "cli_type": "claude-code",
        "duration_ms": 8000,
        "success": 1,
        "metadata": {"memoryMB": 300},
        "timestamp": iso(at),
    }
    return good | fields


def traffic(until: int, days: int = 30, every_s: int = 60) -> Iterator[Event]:
    """Good executions for so many days."""
    for at in range(until - days * 86_400_000 + 1000, until, every_s * 1000):
        yield execution(at, agent_id=("alice", "bob", "carol")[at // 60_000 % 3])


def ledgers(policy: Policy, events: Iterable[Event], now: int) -> dict[str, Ledger]:
    """Every SLO's ledger after these events, all of which reached Kafka at `now`."""
    folders = [Folder(slo.id, slo.definition, TOPIC) for slo in policy.slos.values()]
    reader = PartitionReader(folders, topic=TOPIC, epoch="e", partition=0, skip=False)
    records = [Record(n, now, json.dumps(e).encode()) for n, e in enumerate(events)]
    digests = reader.read(records)[0] + reader.digests()
    made = {slo: Ledger() for slo in policy.slos}
    kept: dict[tuple[str, str, int], Row] = {}
    for digest in digests:
        for grain, part in ((FINE, digest.fine), (COARSE, digest.coarse)):
            for start, cells in part.items():
                row = kept.setdefault((digest.slo, grain.name, start), Row())
                rows.merge_digest(row, digest.source, digest.start, digest.upto, cells)
                made[digest.slo].replace(grain, start, rows.total(row, cells))
        if digest.gauge is not None:
            made[digest.slo].read_gauge(digest.gauge)
    return made


class World:
    """All SLOs, judged at the moments given; what Kafka would hold after that."""

    def __init__(self, events: Sequence[Event], moments: Sequence[int]) -> None:
        self.policy = policy()
        self.slos: dict[str, Document] = {}
        self.incidents: dict[str, Document] = {}
        self.history: dict[str, dict[str, Told]] = {}
        self.now = moments[-1]
        for slo_id, ledger in ledgers(self.policy, events, self.now).items():
            self._judge(slo_id, ledger, moments)

    def _judge(self, slo_id: str, ledger: Ledger, moments: Sequence[int]) -> None:
        slo, route = self.policy.slos[slo_id], self.policy.ownership.routes[slo_id]
        state = SloState(caught_up=True)
        for now in moments:
            judged = judging.judge(slo, route, state, ledger, now)
            state = judged.state
            for incident in state.lanes.values():
                document = status.of_incident(slo, incident, ledger, now)
                self.incidents[incident.key] = _through_json(document)
        self.slos[slo_id] = _shown(slo, route, judged, ledger)
        history = History(slo, ledger)
        history.recover({})
        news = history.news(self.now).items()
        self.history[slo_id] = {k.partition("/")[2]: told for k, told in news if told is not None}


def _shown(slo: Slo, route: Route, judged: Judged, ledger: Ledger) -> Document:
    found = signals.read(slo, judged.figures)
    document = status.of_slo(slo, route, judged.state, judged.figures, found, ledger)
    return _through_json(document | {"lag_s": 0.2, "blind": False})


def _through_json(document: Document) -> Document:
    """As it comes out of Kafka."""
    decoded: Document = msgspec.json.decode(msgspec.json.encode(document))
    return decoded


def quiet() -> World:
    """A month without a fault."""
    return World([*traffic(NOON), *counted(400)], [NOON])


def counted(count: int, at: int = NOON - 60_000) -> Iterator[Event]:
    yield execution(at, event="CONVERSATIONS_COUNTED", agent_id="system", metadata={"count": count})


def outage(agent: str = "mallory", error: str = "API key expired") -> World:
    """Twenty minutes in which one agent fails, judged as it goes on, and a conversation broken."""
    began = NOON - 20 * 60_000
    failures = [
        execution(
            at,
            event="EXECUTION_FAILED",
            agent_id=agent,
            cli_type="gemini",
            success=0,
            duration_ms=1200,
            metadata={"error": error},
        )
        for at in range(began, NOON, 30_000)
    ]
    broken = execution(
        NOON - 10 * 60_000,
        event="CONVERSATION_INTEGRITY_FAIL",
        agent_id="conv-17",
        metadata={"conversationId": "conv-17", "issueTypes": ["duplicate_role"]},
    )
    events = [*traffic(NOON), *counted(400), *failures, broken]
    return World(events, range(began, NOON + 1, 60_000))


class StillMirror:
    """A mirror that holds what it is given."""

    def __init__(self, world: World | None) -> None:
        self.caught_up = world is not None
        self.slos = world.slos if world else {}
        self.incidents = world.incidents if world else {}
        self.history = world.history if world else {}
        self.deliveries = Deliveries()
        self.version = 1
        self._news = asyncio.Event()

    async def news(self, after: int) -> int:
        while self.version <= after:
            await self._news.wait()
        return self.version

    def tell(self) -> None:
        self.version += 1
        self._news.set()
        self._news = asyncio.Event()


class Sent:
    """A command sender that keeps what it is given."""

    def __init__(self) -> None:
        self.commands: list[Command] = []

    async def send(self, command: Command) -> None:
        self.commands.append(command)


TOKEN = "t" * 43


def settings(tmp: Path, **fields: object) -> Settings:
    clock = tmp / "clock"
    clock.write_text(str(NOON))
    base = {"data_dir": tmp, "api_token": TOKEN, "clock_file": str(clock)}
    return msgspec.convert(base | fields, Settings)


def well() -> Health:
    return Health(ready=True)


class InForce:
    """A configuration that stays as it is, or is refused."""

    def __init__(self, held: Policy, refused: str = "") -> None:
        self.policy = held
        self._refused = refused

    async def reload(self) -> Reloaded:
        if self._refused:
            raise ConfigError([self._refused])
        return Reloaded(changed=True, added=("new",), removed=(), redefined=("latency",))


def server(
    tmp: Path,
    world: World | None,
    *,
    commands: Commands | None = None,
    health: Callable[[], Health] = well,
    configuration: Configuration | None = None,
    secrets: dict[str, str] | None = None,
    **fields: object,
) -> web.Application:
    held = world.policy if world else policy()
    return make_server(
        settings(tmp, **fields),
        StillMirror(world),
        Metrics(held.slos),
        health,
        commands or Sent(),
        configuration or InForce(held),
        Secrets(secrets or {}),
    )


@contextmanager
def served(app: web.Application) -> Iterator[str]:
    """A server's address on the loopback, for programs of their own; it ends with the block."""
    loop = asyncio.new_event_loop()
    runner = web.AppRunner(app, access_log=None)
    loop.run_until_complete(runner.setup())
    loop.run_until_complete(web.TCPSite(runner, "127.0.0.1", 0).start())
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        asyncio.run_coroutine_threadsafe(runner.cleanup(), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
