"""The demo's data: two days of a Kokino that has one incident of each kind. The same every time.

Written as Kokino writes it: `metrics.db` and `kokino.db`, and beside them `incidents.json`, which
says what was put in. Each incident resolves before the two days are over, and none hides another.
"""

import json
import math
import random
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

START = datetime(2026, 1, 5, tzinfo=UTC)
HOURS = 48
EXECUTIONS_AN_HOUR = 300
FAILING = 0.0015
COMPARED = 0.25  # of the executions run in both modes
DIFFERING = 0.01
MEDIAN_MS = 6_000
SPREAD = math.log(20_000 / MEDIAN_MS) / 1.645  # of a lognormal whose 95 % lie below 20 s
MEMORY_MB = 300.0
LEAKED_MB = 2_400.0
CONVERSATIONS = 60
FAILING_CONVERSATIONS = ("conv-17", "conv-42")

CLI_OF_AGENT = {
    "alice": "claude-code",
    "bob": "claude-code",
    "carol": "claude-code",
    "dave": "codex",
    "erin": "codex",
    "frank": "gemini",
}


class Incident(NamedTuple):
    """A span of the demo, in hours from its start, and what happens then."""

    slo: str
    from_h: float
    to_h: float
    what: str

    def holds(self, at_h: float) -> bool:
        """Whether it is going on then."""
        return self.from_h <= at_h < self.to_h


INTEGRITY = Incident("data-integrity", 2.2, 4.2, "two conversations fail three hourly checks")
OUTAGE = Incident("availability", 6, 7, "claude-code's API key is rejected: 45 % fail for an hour")
SLOW = Incident("latency", 10, 11.5, "executions take nine times as long for 90 minutes")
LEAK = Incident("resource-efficiency", 13, 18, "memory grows from 300 MB to 2.4 GB in five hours")
DRIFT = Incident("correctness", 19, 25, "half of the shadow comparisons differ for six hours")
INCIDENTS = (INTEGRITY, OUTAGE, SLOW, LEAK, DRIFT)

# Kokino's tables, as far as the alerter reads them: names, types and order as it has them.
METRICS_TABLES = """
CREATE TABLE metrics (
  id INTEGER PRIMARY KEY AUTOINCREMENT, event TEXT NOT NULL, agent_id TEXT NOT NULL,
  cli_type TEXT, duration_ms INTEGER, success INTEGER, metadata JSON,
  timestamp TEXT NOT NULL DEFAULT (datetime('now')));
CREATE INDEX idx_metrics_event ON metrics(event);
CREATE INDEX idx_metrics_agent ON metrics(agent_id);
CREATE INDEX idx_metrics_timestamp ON metrics(timestamp);
CREATE INDEX idx_metrics_success ON metrics(success);
"""
KOKINO_TABLES = """
CREATE TABLE agents (
  agent_id TEXT PRIMARY KEY, type TEXT NOT NULL, status TEXT NOT NULL DEFAULT 'online',
  comm_mode TEXT NOT NULL DEFAULT 'tmux' CHECK(comm_mode IN ('tmux', 'headless', 'shadow')),
  metadata JSON, heartbeat_interval_ms INTEGER DEFAULT 30000, last_heartbeat TEXT NOT NULL,
  created_at TEXT NOT NULL, updated_at TEXT NOT NULL);
CREATE TABLE conversations (
  conversation_id TEXT PRIMARY KEY, agent_id TEXT NOT NULL, title TEXT, metadata JSON,
  created_at TEXT NOT NULL, updated_at TEXT NOT NULL,
  FOREIGN KEY (agent_id) REFERENCES agents(agent_id) ON DELETE CASCADE);
CREATE TABLE turns (
  turn_id INTEGER PRIMARY KEY AUTOINCREMENT, conversation_id TEXT NOT NULL,
  role TEXT NOT NULL CHECK(role IN ('user', 'assistant', 'system')), content TEXT NOT NULL,
  metadata JSON, created_at TEXT NOT NULL,
  FOREIGN KEY (conversation_id) REFERENCES conversations(conversation_id) ON DELETE CASCADE);
CREATE TABLE shadow_results (
  id INTEGER PRIMARY KEY AUTOINCREMENT, ticket_id TEXT NOT NULL, agent_id TEXT NOT NULL,
  tmux_success INTEGER NOT NULL, headless_success INTEGER NOT NULL, output_match INTEGER NOT NULL,
  latency_delta_ms INTEGER, tmux_duration_ms INTEGER, headless_duration_ms INTEGER,
  tmux_error TEXT, headless_error TEXT, tmux_response TEXT, headless_response TEXT,
  created_at TEXT NOT NULL,
  FOREIGN KEY (agent_id) REFERENCES agents(agent_id) ON DELETE CASCADE);
"""

_INTO_METRICS = (
    "INSERT INTO metrics (timestamp, event, agent_id, cli_type, duration_ms, success, metadata) "
    "VALUES (?, ?, ?, ?, ?, ?, ?)"
)
_INTO_SHADOW_RESULTS = (
    "INSERT INTO shadow_results (created_at, ticket_id, agent_id, tmux_success, headless_success, "
    "output_match, latency_delta_ms, tmux_duration_ms, headless_duration_ms, headless_error) "
    "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)

Row = tuple[Any, ...]


def write_demo(folder: Path, seed: int = 7) -> Path:
    """Write the demo's three files and give the folder; files that are there are replaced."""
    folder.mkdir(parents=True, exist_ok=True)
    chance = random.Random(seed)  # noqa: S311  (the same data every time)
    measured = [*_checks()]
    compared: list[Row] = []
    for number, execution in enumerate(_executions(chance)):
        measured += execution.rows()
        if not execution.error and chance.random() < COMPARED:
            row, told = _comparison(chance, number, execution)
            compared.append(row)
            measured += told
    _write(folder / "metrics.db", METRICS_TABLES, {_INTO_METRICS: _by_time(measured)})
    _write(
        folder / "kokino.db", KOKINO_TABLES, {**_people(), _INTO_SHADOW_RESULTS: _by_time(compared)}
    )
    incidents = json.dumps([_labelled(incident) for incident in INCIDENTS], indent=1)
    (folder / "incidents.json").write_text(incidents + "\n", encoding="utf-8")
    return folder


class _Execution(NamedTuple):
    """One execution from start to end; it has failed where there is an error."""

    at_s: float
    agent_id: str
    duration_ms: int
    memory_mb: float
    error: str
    session: int

    @property
    def end_s(self) -> float:
        return self.at_s + self.duration_ms / 1000

    def rows(self) -> list[Row]:
        cli = CLI_OF_AGENT[self.agent_id]
        prompt = json.dumps({"prompt": "Go on with the ticket..."})
        started = (_stamp(self.at_s), "EXECUTION_STARTED", self.agent_id, cli, None, 0, prompt)
        ended = (self.agent_id, cli, self.duration_ms)
        if self.error:
            name = "EXECUTION_TIMEOUT" if "timeout" in self.error else "EXECUTION_FAILED"
            metadata: dict[str, Any] = {"error": self.error}
            return [started, (_stamp(self.end_s), name, *ended, 0, json.dumps(metadata))]
        metadata = {"sessionId": f"s-{self.session}", "exitCode": 0, "memoryMB": self.memory_mb}
        completed = json.dumps(metadata)
        return [started, (_stamp(self.end_s), "EXECUTION_COMPLETED", *ended, 1, completed)]


def _executions(chance: random.Random) -> Iterator[_Execution]:
    at_s, number = 0.0, 0
    while (at_s := at_s + chance.expovariate(EXECUTIONS_AN_HOUR / 3600)) < HOURS * 3600 - 300:
        at_h, number = at_s / 3600, number + 1
        agent = chance.choice(list(CLI_OF_AGENT))
        slower = 9 if SLOW.holds(at_h) else 1
        duration_ms = int(chance.lognormvariate(math.log(MEDIAN_MS), SPREAD) * slower)
        error = _error(chance, at_h, CLI_OF_AGENT[agent])
        if error and "timeout" not in error:
            duration_ms = chance.randint(400, 2_500)
        yield _Execution(at_s, agent, duration_ms, _memory_mb(chance, at_h), error, number)


def _error(chance: random.Random, at_h: float, cli_type: str) -> str:
    if OUTAGE.holds(at_h) and cli_type == "claude-code":  # half of the executions
        return "CLI exited with code 1: API key rejected" if chance.random() < 0.9 else ""
    if chance.random() >= FAILING:
        return ""
    return chance.choice(["Execution timeout", "CLI exited with code 1: connection reset"])


def _memory_mb(chance: random.Random, at_h: float) -> float:
    usual = chance.gauss(MEMORY_MB, 20)
    if not LEAK.holds(at_h):
        return round(usual, 1)
    share = (at_h - LEAK.from_h) / (LEAK.to_h - LEAK.from_h)
    return round(usual + share * (LEAKED_MB - MEMORY_MB), 1)


def _comparison(chance: random.Random, number: int, run: _Execution) -> tuple[Row, list[Row]]:
    """A row of `shadow_results`, and what Kokino tells `metrics` about it: only what differs."""
    differing = 0.5 if DRIFT.holds(run.at_s / 3600) else DIFFERING
    fails, differs = chance.random() < 0.001, chance.random() < differing
    delta, at = chance.randint(-900, 900), _stamp(run.end_s)
    tmux_ms = max(run.duration_ms - delta, 100)
    error = "CLI exited with code 1" if fails else None
    outcome = (1, int(not fails), int(not fails and not differs), delta, tmux_ms, run.duration_ms)
    row = (at, f"t-{number}", run.agent_id, *outcome, error)
    if not fails and not differs:
        return row, []
    event = "SHADOW_HEADLESS_FAILURE" if fails else "SHADOW_MISMATCH"
    told = {"tmuxDuration": tmux_ms, **({"headlessError": error} if fails else {})}
    return row, [(at, event, run.agent_id, None, None, 0, json.dumps(told))]


def _checks() -> Iterator[Row]:
    """The hourly integrity checks that found something."""
    for check in range(3):
        for conversation in FAILING_CONVERSATIONS:
            found = {"conversationId": conversation, "issueTypes": ["duplicate_role"]}
            at = _stamp((INTEGRITY.from_h + check) * 3600)
            told = json.dumps({**found, "issueCount": 1, "issues": []})
            yield (at, "CONVERSATION_INTEGRITY_FAIL", conversation, None, None, 0, told)


def _people() -> dict[str, list[Row]]:
    at = START.isoformat().replace("+00:00", "Z")
    agents = list(CLI_OF_AGENT)
    return {
        "INSERT INTO agents (agent_id, type, comm_mode, last_heartbeat, created_at, updated_at) "
        "VALUES (?, ?, 'shadow', ?, ?, ?)": [(a, CLI_OF_AGENT[a], at, at, at) for a in agents],
        "INSERT INTO conversations (conversation_id, agent_id, title, created_at, updated_at) "
        "VALUES (?, ?, ?, ?, ?)": [
            (f"conv-{n}", agents[n % len(agents)], f"Conversation {n}", at, at)
            for n in range(CONVERSATIONS)
        ],
    }


def _write(path: Path, tables: str, rows: dict[str, Sequence[Row]]) -> None:
    path.unlink(missing_ok=True)
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(tables)
        for insert, values in rows.items():
            connection.executemany(insert, values)
        connection.commit()


def _by_time(rows: list[Row]) -> list[Row]:
    return sorted(rows, key=_time)


def _time(row: Row) -> str:
    return str(row[0])


def _stamp(at_s: float) -> str:
    return (START + timedelta(seconds=int(at_s))).strftime("%Y-%m-%d %H:%M:%S")


def _labelled(incident: Incident) -> dict[str, str]:
    def iso(hours: float) -> str:
        return (START + timedelta(hours=hours)).strftime("%Y-%m-%dT%H:%M:%S.000Z")

    return {
        "slo": incident.slo,
        "from": iso(incident.from_h),
        "to": iso(incident.to_h),
        "what": incident.what,
    }
