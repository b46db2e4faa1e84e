"""A topic's range as a source: what a live worker told of it, and what the same data give else."""

import asyncio
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import yaml

from app.bridge.bridge import run_bridge
from app.clock import wall_clock
from app.kafka import create_topics
from app.local.demo import write_demo
from app.settings import Settings
from app.topics import EVENTS, NOTICES, all_topics
from tests.core.policies import ROOT
from tests.e2e.harness import Stack, execution, integrity, iso, wait_for

pytestmark = [pytest.mark.kafka, pytest.mark.slow, pytest.mark.timeout(240)]

NEAR_S = 2.0
BEAT_S = 0.05
LIVE_S = 42
Told = tuple[str, str, str, tuple[str, ...], str, str, bool]


def backtest(kafka: str, prefix: str, *words: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "app", "backtest", *map(str, words)]
    env = os.environ | {"BURNRATE_KAFKA": kafka, "BURNRATE_TOPIC_PREFIX": prefix}
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False, env=env)


def hasty_policy(folder: Path) -> Path:
    """The shipped one with windows so short that a live run of less than a minute sees an end."""
    slos = yaml.safe_load((ROOT / "config/slos.yaml").read_text())
    for slo in slos["slos"]:
        if slo["breach"]["measure"] in ("ratio", "quantile"):
            slo["breach"] |= {"window": "20s", "keep_firing_for": "1s"}
        if slo["id"] == "latency":  # it does not end while it is watched
            slo["breach"] |= {"window": "60s", "for": "2s", "min_bad": 5}
    folder.mkdir()
    (folder / "slos.yaml").write_text(yaml.safe_dump(slos))
    (folder / "ownership.yaml").write_text((ROOT / "config/ownership.yaml").read_text())
    return folder


async def live_run(stack: Stack) -> None:
    """Executions without pause: an outage, a damaged conversation, slowness."""
    began, number = time.time(), 0
    while (passed_s := time.time() - began) < LIVE_S:
        number += 1
        good = not (5 <= passed_s < 9 and number % 3 == 0)
        slow = 14 <= passed_s < 20
        made = execution(time.time(), good=good, duration_ms=90_000 if slow else 900)
        await stack.produce([made], partition=number % 4)
        if number == 150:
            await stack.produce([integrity(time.time(), "conv-1")], partition=1)
        await asyncio.sleep(BEAT_S)


def told_of(notice: dict[str, Any]) -> Told:
    """What a notice says, without when and under which key."""
    return (
        notice["slo"],
        notice["kind"],
        notice["severity"],
        tuple(notice["rules"]),
        notice["destination"],
        notice["incident"].rpartition("-")[0],
        notice["page"],
    )


async def test_a_live_run_replayed_has_the_incidents_it_had_at_the_same_moments(
    kafka: str, prefix: str, tmp_path: Path
) -> None:
    policy = hasty_policy(tmp_path / "config")
    async with Stack(kafka, prefix, tmp_path, config=policy) as stack:
        await stack.worker().start()
        await live_run(stack)
        await wait_for(lambda: len(stack.triggers()) >= 2, "both pages")
        await stack.judged()
        until_ms = time.time() * 1000 - NEAR_S * 1000
        lived = [n for n in await stack.read(NOTICES) if n["slo"] != "alerter"]
        incidents = [one for one in await stack.incidents() if one["slo"] != "alerter"]
    done = backtest(kafka, prefix, "--topic", EVENTS, "--config", policy, "--json")
    again = json.loads(done.stdout)

    opened = {(one["slo"], one["lane"]): ms(one["openedAt"]) for one in incidents}
    opened_again = {(one["slo"], one["lane"]): ms(one["openedAt"]) for one in again["incidents"]}
    assert set(opened) == {(s, "main") for s in ("availability", "data-integrity", "latency")}
    assert set(opened_again) == set(opened)
    assert all(abs(at - opened_again[which]) <= NEAR_S * 1000 for which, at in opened.items())

    live = sorted((told_of(n), n["at"]) for n in lived if n["at"] <= until_ms)
    replayed = sorted((told_of(n), ms(n["at"])) for n in again["notices"])
    same = [n for n in replayed if n[1] <= until_ms]
    assert [n for n, _ in live] == [n for n, _ in same]
    assert {"trigger", "escalate", "resolve"} <= {n[1] for n, _ in live}
    assert max(abs(at - other) for (_, at), (_, other) in zip(live, same, strict=True)) <= 2000


def ms(text: str) -> int:
    """Milliseconds of an ISO time."""
    from app.core.events import parse_timestamp

    return parse_timestamp(text)


async def test_a_backlog_sent_at_once_is_judged_when_it_happened(
    kafka: str, prefix: str, tmp_path: Path
) -> None:
    demo = write_demo(tmp_path / "demo")
    settings = Settings(kafka=kafka, topic_prefix=prefix)
    own_time = [topic for topic in all_topics(replay=True) if topic.name == EVENTS]
    rest = [topic for topic in all_topics(replay=False) if topic.name != EVENTS]
    await create_topics(settings, [*own_time, *rest])
    await run_bridge(settings, demo, once=True, clock=wall_clock, name="demo")

    whole = backtest(kafka, prefix, "--topic", EVENTS, "--json")
    shown = json.loads(whole.stdout)
    of_files = json.loads(backtest(kafka, prefix, "--data", demo, "--json").stdout)
    known = [one["key"] for one in of_files["incidents"]]
    assert len(known) >= 5
    # the conversations are counted today: in the topic time goes on, and budgets shrink
    assert [one["key"] for one in shown["incidents"]][: len(known)] == known
    assert whole.stdout == backtest(kafka, prefix, "--topic", EVENTS, "--json").stdout

    later = iso(time.time() + 3600)
    nothing = backtest(kafka, prefix, "--topic", EVENTS, "--from", later)
    assert (nothing.returncode, "holds no event that an SLO counts" in nothing.stderr) == (1, True)
    up_to_then = backtest(kafka, prefix, "--topic", EVENTS, "--to", later, "--json")
    assert up_to_then.stdout == whole.stdout


def test_a_topic_that_is_not_there_is_said(kafka: str, prefix: str) -> None:
    done = backtest(kafka, prefix, "--topic", "no.such.topic")
    assert done.returncode == 1
    assert f"error: there is no topic {prefix}no.such.topic" in done.stderr
    assert "Traceback" not in done.stderr
