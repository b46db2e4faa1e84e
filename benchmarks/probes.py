"""Objectives that are made to fire, one agent each, with a channel and an owner of its own.

A channel takes one message a second, and an incident can begin but once: so each incident that is
to be timed has an objective of its own. All but a few tolerate a little and fire by `fast-burn`,
which takes a share of the budget; every fifth further one tolerates nothing.

In the first hour the month is estimated from it (docs/glossary.md, cold start), so a tenth of the
budget is a share of all events: 0.10 · (1 - 0.995) · 720 = 36 %. With 20 good events 11 failures
are 35.5 %, the twelfth makes 37.5 %.
"""

import time
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import yaml

ROOT = Path(__file__).parents[1]
OBJECTIVE, CONSUMED, HOURS = 0.995, 0.10, 720  # a compliance period's hours
GOOD, BAD_BEFORE = 20, 11
ZERO_EVERY = 5
ZERO_EVENT = "PROBE_FAILED"  # the shipped data integrity would fire on Kokino's own


class Probe(NamedTuple):
    """One objective that fires once."""

    number: int
    zero: bool  # tolerates nothing

    @property
    def name(self) -> str:
        """Of its SLO, its agent, its channel and its owner."""
        return f"probe-{self.number}"

    def before(self) -> Iterator[bytes]:
        """The events after which one more tips it."""
        if not self.zero:
            yield from (execution(self.name, good=n < GOOD) for n in range(GOOD + BAD_BEFORE))

    def last(self) -> bytes:
        """The event that tips it."""
        if self.zero:
            return event(ZERO_EVENT, self.name, conversationId=self.name)
        return execution(self.name, good=False)


def probes(fast_burns: int) -> list[Probe]:
    """So many that fire by `fast-burn`, and a fifth of that besides that tolerate nothing."""
    count = fast_burns + fast_burns // ZERO_EVERY
    return [Probe(number, number % (ZERO_EVERY + 1) == ZERO_EVERY) for number in range(count)]


def event(name: str, agent: str, **metadata: Any) -> bytes:  # noqa: ANN401 - any JSON
    """An event of now."""
    made = {
        "event": name,
        "agent_id": agent,
        "cli_type": "claude-code",
        "duration_ms": 8000,
        "success": int(name == "EXECUTION_COMPLETED"),
        "metadata": metadata,
        "timestamp": datetime.fromtimestamp(time.time(), UTC).isoformat(timespec="milliseconds"),
    }
    return msgspec.json.encode(made)


def execution(agent: str, *, good: bool) -> bytes:
    """An execution that has ended now."""
    if good:
        return event("EXECUTION_COMPLETED", agent, exitCode=0, memoryMB=300)
    return event("EXECUTION_FAILED", agent, error="CLI exited with code 1: API key rejected")


def policy(folder: Path, every: Iterable[Probe], others: Iterable[str] = ()) -> None:
    """Write the shipped policy with an SLO for each probe, and for each other agent.

    Probes have owners and channels of their own, the others those of the first shipped SLO.
    """
    made = {p.name: _tolerating_nothing(p.name) if p.zero else _fast_burning(p.name) for p in every}
    slos, ownership = (
        yaml.safe_load((ROOT / f"config/{name}.yaml").read_text(encoding="utf-8"))
        for name in ("slos", "ownership")
    )
    first = ownership["routes"]["availability"]
    for name, entry in made.items():
        slos["slos"].append(entry)
        ownership["owners"][f"@{name}"] = {}
        own = {"owner": f"@{name}", "channel": f"#{name}", "escalation": []}
        ownership["routes"][name] = own
    for name in others:
        slos["slos"].append(_fast_burning(name))
        ownership["routes"][name] = first
    folder.mkdir()
    for name, written in (("slos", slos), ("ownership", ownership)):
        text = yaml.dump(written, Dumper=yaml.CSafeDumper)
        (folder / f"{name}.yaml").write_text(text, encoding="utf-8")


def _fast_burning(name: str) -> dict[str, Any]:
    """An SLO over the executions of the agent of this name, as `slos.yaml` has it.

    It breaches only below a half, so that `fast-burn` comes first.
    """
    mine = [f"agent_id == {name}"]
    counts: list[dict[str, Any]] = [
        {"event": "EXECUTION_COMPLETED", "where": mine},
        {"event": "EXECUTION_FAILED", "where": mine, "bad_when": "always"},
    ]
    return _entry(name, OBJECTIVE, counts, "ratio", 0.5, "1h")


def _tolerating_nothing(name: str) -> dict[str, Any]:
    counts = [{"event": ZERO_EVENT, "where": [f"agent_id == {name}"], "bad_when": "always"}]
    entry = _entry(name, 1.0, counts, "distinct", 0, "24h")
    return entry | {"distinct": "metadata.conversationId"}


def _entry(
    name: str,
    objective: float,
    counts: list[dict[str, Any]],
    measure: str,
    threshold: float,
    window: str,
) -> dict[str, Any]:
    return {
        "id": name,
        "title": name,
        "objective": objective,
        "counts": counts,
        "headline": {"kind": measure, "target": objective, "window": "24h", "unit": "ratio"},
        "breach": {
            "measure": measure,
            "threshold": threshold,
            "window": window,
            "severity": "P1",
        },
    }
