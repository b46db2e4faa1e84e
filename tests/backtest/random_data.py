"""Random policies over random events: short windows and bursts, so that much happens."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from random import Random
from typing import Any

from msgspec.structs import replace

from app.backtest.running import wanted_events
from app.backtest.sources import Lines
from app.config import Policy
from app.core.ownership import Growing, Ownership, Route, Step, TooMany
from app.core.slos import FreezeRule, Slo
from tests.core.policies import POLICY

BEGAN_MS = 1_790_000_000_000
HOUR_MS = 3_600_000

Event = dict[str, Any]


def lines_of(events: list[Event], policy: Policy = POLICY, *, name: str = "events.jsonl") -> Lines:
    """Events as a file of JSON lines."""
    content = b"".join(json.dumps(event).encode() + b"\n" for event in events)
    return Lines(content, name, wanted_events([policy]))


def iso(ms: int) -> str:
    """ISO 8601 with milliseconds."""
    return datetime.fromtimestamp(ms / 1000, UTC).isoformat(timespec="milliseconds")


def random_events(random: Random) -> list[Event]:
    """Stretches of traffic, each with a pace and a share of failures of its own."""
    return list(_events(random))


def _events(random: Random) -> Iterator[Event]:
    at = float(BEGAN_MS + random.randrange(HOUR_MS))
    for _ in range(random.randrange(1, 7)):
        pace_ms = random.choice((400, 5_000, 30_000, 200_000))
        failing = random.choice((0.0, 0.0, 0.02, 0.3, 1.0))
        heavy = random.choice((300.0, 600.0, 1500.0))
        until = at + random.choice((0.02, 0.2, 1.0, 8.0, 30.0)) * HOUR_MS
        for _ in range(random.randrange(1, 120)):
            yield _event(random, int(at), failing, heavy)
            at += random.expovariate(1 / pace_ms)
            if at > until:
                break
        at += random.choice((0, 0, 60_000, HOUR_MS, 7 * HOUR_MS, 26 * HOUR_MS))
        heavy *= 1.3


def _event(random: Random, at: int, failing: float, heavy: float) -> Event:
    name = f"agent-{random.randrange(3)}"
    event: Event = {"agent_id": name, "cli_type": "codex", "timestamp": iso(at)}
    is_bad = random.random() < failing
    what = random.choice(("run", "run", "run", "run", "shadow", "integrity", "gauge"))
    if what == "run":
        done = {"event": "EXECUTION_FAILED", "metadata": {"error": "exit code 1"}}
        if not is_bad or random.random() < 0.3:
            memory = {"memoryMB": heavy * random.random() * 2}
            done = {"event": "EXECUTION_COMPLETED", "success": int(not is_bad), "metadata": memory}
        return event | done | {"duration_ms": 90_000 if is_bad else 4_000}
    if what == "shadow":
        compared = {"tmuxSuccess": True, "headlessSuccess": not is_bad, "match": True}
        return event | {"event": "SHADOW_COMPARED", "metadata": compared}
    if what == "gauge":
        counted = {"count": random.randrange(5, 60)}
        return event | {"event": "CONVERSATIONS_COUNTED", "metadata": counted}
    verdict = "FAIL" if is_bad else "PASS"
    conversation = {"conversationId": f"conversation-{random.randrange(4)}"}
    return event | {"event": f"CONVERSATION_INTEGRITY_{verdict}", "metadata": conversation}


def random_policy(random: Random) -> Policy:
    """The shipped one with other times, thresholds and escalations."""
    slos = {slo.id: random_slo(random, slo) for slo in POLICY.slos.values()}
    routes = {name: _route(random, route) for name, route in POLICY.ownership.routes.items()}
    return Policy(slos, Ownership(routes=routes))


def random_slo(random: Random, slo: Slo) -> Slo:
    """An SLO with other times and thresholds."""
    times = {
        "for_s": random.choice((0, 0, 45, 600)),
        "keep_firing_s": random.choice((0, 35, 300)),
    }
    window_s = random.choice((300, 600, 3600))
    breach = replace(slo.breach, min_bad=random.choice((1, 3)), **times)
    if breach.measure != "distinct":
        breach = replace(breach, window_s=window_s)
    burns = tuple(
        replace(
            burn,
            consumed=random.choice((0.001, 0.02, burn.consumed)),
            window_s=random.choice((300, burn.window_s)),
            min_bad=random.choice((1, 3)),
            **times,
        )
        for burn in slo.burns
    )
    freeze = FreezeRule(consumed=random.choice((0.05, 1.0)), lifts_below=random.choice((0.04, 0.9)))
    return replace(
        slo,
        breach=breach,
        burns=burns,
        freeze=freeze if slo.burns else None,
        basis=random.choice(("events", "events", "time")),
        period_s=random.choice((2 * 86_400, slo.period_s)),
        min_allowed_bad=random.choice((0, 1, 5)),
        stale_s=random.choice((300, slo.stale_s)),
        reopen_s=random.choice((0, 60, 600, 7200)),
        repage_s=random.choice((60, 3600)),
    )


def _route(random: Random, route: Route) -> Route:
    steps = [
        Step(
            id="p1", to=("@lead",), how="page", severity="P1", after_s=random.choice((0, 95, 1800))
        )
    ]
    condition = random.choice((None, Growing(), TooMany(more_than=2, window_s=3600)))
    if random.random() < 0.7:
        rule, after_s = random.choice((None, "breach")), random.choice((0, 125, 3600))
        more = Step(
            id="b", to=("@b",), how="notify", rule=rule, after_s=after_s, condition=condition
        )
        steps.append(more)
    return replace(route, steps=tuple(steps), page_p2=random.random() < 0.3)
