"""The exported rules: valid for promtool, and deciding as the rate-based judge does."""

import json
import subprocess
import sys
from collections.abc import Iterator
from itertools import accumulate
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

import pytest
import yaml
from msgspec.structs import replace

from app.backtest.counting import Book, Evidence
from app.config import Policy
from app.config.slo_entries import PERIOD_S, PRESETS
from app.core import events
from app.core import judge as judging
from app.core.groups import Grouping
from app.core.judge import SloState
from app.core.populations import Entry, group
from app.core.slos import Slo
from app.exchange.prometheus import duration, rules_of
from tests.core.policies import POLICY, ROOT

START_MS = 1_767_571_200_000
MINUTES = 2400
STEADY = 4  # minutes on both sides in which nothing changes: both judge at their own pace
SLOS = ("availability", "latency", "resource-efficiency")
Firing = frozenset[tuple[str, str]]


def by_rate(slo: Slo) -> Slo:
    """Judged by rate, and with a budget of any size, which the rules leave out."""
    return replace(slo, basis="time", min_allowed_bad=0)


def policy() -> Policy:
    """Three kinds of breach."""
    slos = {name: by_rate(POLICY.slos[name]) for name in SLOS}
    return Policy(slos, POLICY.ownership)


class Execution(NamedTuple):
    at_s: int
    failed: bool
    duration_ms: int
    memory_mb: int


def minutes(random: Random) -> Iterator[list[Execution]]:
    """Stretches of traffic, each with a pace, failures, slowness and memory of its own."""
    left = 0
    for minute in range(MINUTES):
        if not left:
            left = random.randrange(20, 200)
            pace = random.choice((0, 1, 3, 8))
            failing = random.choice((0, 0, 0.004, 0.02, 0.5, 0.9))
            slow = random.choice((0, 0, 0.03, 0.3))
            memory = random.choice((300, 300, 900, 1500))
        left -= 1
        yield [
            Execution(
                minute * 60 + random.randrange(60),
                random.random() < failing,
                90_000 if random.random() < slow else 4000,
                memory,
            )
            for _ in range(pace)
        ]


def counters(done: list[list[Execution]]) -> dict[tuple[str, str], list[int]]:
    """What `/metrics` would show at each whole minute, counted here anew."""
    fine = [[e for e in minute if not e.failed] for minute in done]
    each = {
        ("availability", "events"): [len(minute) for minute in done],
        ("availability", "bad_events"): [sum(e.failed for e in minute) for minute in done],
        ("latency", "events"): [len(minute) for minute in fine],
        ("latency", "bad_events"): [sum(e.duration_ms > 30_000 for e in m) for m in fine],
        ("latency", "over_events"): [sum(e.duration_ms > 60_000 for e in m) for m in fine],
        ("resource-efficiency", "events"): [len(minute) for minute in fine],
        ("resource-efficiency", "bad_events"): [sum(e.memory_mb > 500 for e in m) for m in fine],
        ("resource-efficiency", "value"): [sum(e.memory_mb for e in m) for m in fine],
    }
    return {name: [0, *accumulate(numbers)] for name, numbers in each.items()}


def entry(one: Execution) -> Entry:
    event = {
        "event": "EXECUTION_FAILED" if one.failed else "EXECUTION_COMPLETED",
        "success": int(not one.failed),
        "duration_ms": one.duration_ms,
        "metadata": {"memoryMB": one.memory_mb},
    }
    found = events.decode(json.dumps(event).encode())[0]
    assert isinstance(found, events.Event)
    at = START_MS + one.at_s * 1000
    return Entry(found, at, one.at_s, at)


def decisions(judged: Policy, done: list[list[Execution]]) -> list[Firing]:
    """Which rules fire at each whole minute, by the judge."""
    books = {n: Book(n, slo.definition, "t", Evidence()) for n, slo in judged.slos.items()}
    states = {name: SloState(caught_up=True) for name in judged.slos}
    found: list[Firing] = [frozenset()]
    for minute, executions in enumerate(done):
        populations = group(sorted(map(entry, executions), key=lambda e: e.at))
        now = START_MS + (minute + 1) * 60_000 - 1
        for name, book in books.items():
            book.count(populations)
            for slot in range(START_MS // 1000 + minute * 60, now // 1000, 10):
                if book.has(slot):
                    book.feed(slot)
            slo, route = judged.slos[name], judged.ownership.routes[name]
            states[name] = judging.judge(slo, route, states[name], book.ledger, now).state
        found.append(frozenset(firing(states)))
    return found


def firing(states: dict[str, SloState]) -> Iterator[tuple[str, str]]:
    for name, state in states.items():
        yield from ((name, rule) for rule, one in state.rules.items() if one.state == "firing")
        if state.freeze.frozen:
            yield name, "exhausted"


def lagging(judged: Policy) -> Policy:
    """The same, but that everything ends two minutes later."""
    slos = {name: _lagging(slo) for name, slo in judged.slos.items()}
    return Policy(slos, judged.ownership)


def _lagging(slo: Slo) -> Slo:
    breach = replace(slo.breach, keep_firing_s=slo.breach.keep_firing_s + 120)
    burns = tuple(replace(rule, keep_firing_s=rule.keep_firing_s + 120) for rule in slo.burns)
    return replace(slo, breach=breach, burns=burns)


def steady(judged: Policy, done: list[list[Execution]]) -> tuple[list[Firing], list[int]]:
    """What fires at each minute, and the minutes at which that hangs on nobody's pace.

    Prometheus evaluates once a minute, and sees an alert's own series a turn later: where two
    minutes decide whether an alert had ended when it was true again, either answer is right.
    """
    found, later = decisions(judged, done), decisions(lagging(judged), done)
    around = range(-STEADY, STEADY + 1)
    inner = range(STEADY, len(found) - STEADY)
    seen = {m: {one[m + away] for away in around for one in (found, later)} for m in inner}
    same = [minute for minute, different in seen.items() if len(different) == 1]
    return found, [minute for minute in same if not resumes(done, minute)]


def resumes(done: list[list[Execution]], minute: int) -> bool:
    """Whether latency's five minutes were empty a moment ago."""
    counts = [sum(not e.failed for e in m) for m in done[max(0, minute - 16) : minute]]
    fives = [sum(counts[at : at + 5]) for at in range(len(counts) - 4)]
    return bool(fives) and fives[-1] >= 1 and min(fives) < 3


def promtool(folder: Path, rules: str, asked: dict[str, Any]) -> subprocess.CompletedProcess[str]:
    (folder / "rules.yml").write_text(rules)
    (folder / "test.yml").write_text(yaml.safe_dump(asked))
    command = ["promtool", "test", "rules", str(folder / "test.yml")]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def with_groups(plain: Policy) -> Policy:
    """Availability with a group for each CLI type that is seen."""
    whole, route = plain.slos["availability"], plain.ownership.routes["availability"]
    grouping = Grouping(whole=whole, route=route, by="cli_type", most=5)
    slos = {slo.id: slo for slo in (*grouping.slos(), *plain.slos.values()) if slo != whole}
    return Policy(slos, plain.ownership, {whole.id: grouping})


def among_groups(asked: dict[str, Any]) -> dict[str, Any]:
    """The same of the group availability:codex, beside one to which good things happen only."""
    written = json.dumps(asked).replace('availability\\"', 'availability:codex\\"')
    made: dict[str, Any] = json.loads(written)
    for what, step in (("events", 1), ("bad_events", 0)):
        name = f'burnrate_slo_{what}_total{{slo="availability:other", instance="a"}}'
        made["tests"][0]["input_series"].append({"series": name, "values": f"0+{step}x{MINUTES}"})
    return made


def asked_of(done: list[list[Execution]], found: list[Firing], at: list[int]) -> dict[str, Any]:
    series = [
        {
            "series": f'burnrate_slo_{what}_total{{slo="{slo}", instance="a"}}',
            "values": " ".join(map(str, values)),
        }
        for (slo, what), values in counters(done).items()
    ]
    expected = [
        {
            "expr": 'sum by (slo, rule) (ALERTS{alertstate="firing"})',
            "eval_time": f"{minute}m",
            "exp_samples": [
                {"labels": f'{{slo="{slo}", rule="{rule}"}}', "value": 1}
                for slo, rule in sorted(found[minute])
            ],
        }
        for minute in at
    ]
    test = {"interval": "1m", "input_series": series, "promql_expr_test": expected}
    return {"rule_files": ["rules.yml"], "evaluation_interval": "1m", "tests": [test]}


@pytest.mark.slow
@pytest.mark.parametrize(("seed", "grouped"), [(3, False), (4, True)])
def test_the_rules_decide_as_the_rate_based_judge_does(
    seed: int, tmp_path: Path, *, grouped: bool
) -> None:
    """Those of groups that are seen as well: availability is then one, beside a quiet one."""
    judged, done = policy(), list(minutes(Random(seed)))
    rules, _ = rules_of(with_groups(judged) if grouped else judged)
    found, at = steady(judged, done)
    at = at[::5]
    seen = {one for minute in at for one in found[minute]}
    assert {(slo, rule) for slo in SLOS for rule in ("breach", "slow-burn", "exhausted")} <= seen
    assert ("availability", "fast-burn") in seen
    assert len(at) > 100
    assert len({found[minute] for minute in at}) > 5
    asked = asked_of(done, found, at)
    told = promtool(tmp_path, rules, among_groups(asked) if grouped else asked)
    assert told.returncode == 0, (told.stdout + told.stderr)[:3000]


@pytest.mark.slow
def test_two_windows_decide_as_the_judge_does(tmp_path: Path) -> None:
    """The workbook's preset on availability; no quiet minute empties its short window."""
    plain = policy()
    rules = PRESETS["google-30d"].items()
    burns = tuple(rule.rule(name, PERIOD_S) for name, rule in rules)
    slo = replace(plain.slos["availability"], burns=burns)
    judged = Policy(plain.slos | {slo.id: slo}, plain.ownership)
    done = [minute or [Execution(60 * n, failed=False, duration_ms=4000, memory_mb=300)]
            for n, minute in enumerate(minutes(Random(3)))]  # fmt: skip
    written, _ = rules_of(judged)
    found, at = steady(judged, done)
    at = at[::5]
    seen = {one for minute in at for one in found[minute]}
    assert {("availability", rule) for rule in ("fast-burn", "medium-burn", "slow-burn")} <= seen
    told = promtool(tmp_path, written, asked_of(done, found, at))
    assert told.returncode == 0, (told.stdout + told.stderr)[:3000]


@pytest.mark.slow
def test_a_threshold_that_is_another_one_decides_otherwise(tmp_path: Path) -> None:
    judged, done = policy(), list(minutes(Random(3)))
    found, at = steady(judged, done)
    rules, _ = rules_of(judged)
    blunt = rules.replace("> 0.36\n", "> 0.99\n")
    assert blunt != rules
    told = promtool(tmp_path, blunt, asked_of(done, found, at[::5]))
    assert told.returncode == 1


def burnrate(*words: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "app", *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)


def test_the_shipped_policy_gives_rules_that_promtool_takes(tmp_path: Path) -> None:
    rules, report = tmp_path / "rules.yml", tmp_path / "report.json"
    done = burnrate("export", "prometheus", "--out", rules, "--report", report)
    checked = subprocess.run(
        ["promtool", "check", "rules", "--lint=all", str(rules)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, checked.returncode) == (0, 0), done.stderr + checked.stdout
    alerts = {
        r["alert"]
        for g in yaml.safe_load(rules.read_text())["groups"]
        for r in g["rules"]
        if "alert" in r
    }
    assert {"SloAvailabilityBreach", "SloDataIntegrityBreach", "SloLatencySlowBurn"} <= alerts
    lost = json.loads(report.read_text())
    assert {"where", "what", "then"} == set(lost[0])
    assert len(done.stderr.splitlines()) == len(lost)
    assert "data-integrity: breach: failing events are counted, not distinct" in done.stderr


def test_every_metric_of_the_rules_is_on_the_metrics_page() -> None:
    from prometheus_client import generate_latest

    from app.metrics import Metrics

    page = generate_latest(Metrics(POLICY.slos).registry).decode()
    for name in ("events", "bad_events", "over_events", "value"):
        for slo in POLICY.slos:
            assert f'burnrate_slo_{name}_total{{slo="{slo}"}} 0.0' in page


@pytest.mark.parametrize(
    ("seconds", "text"), [(300, "5m"), (3600, "1h"), (5400, "90m"), (86_400, "1d"), (10, "10s")]
)
def test_durations_are_written_in_the_largest_unit(seconds: int, text: str) -> None:
    assert duration(seconds) == text
