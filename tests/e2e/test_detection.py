"""How long it takes from an event to the webhook, at a hundred events a second."""

import asyncio
import statistics
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.e2e.harness import ROOT, Stack, execution, wait_for

pytestmark = [pytest.mark.kafka, pytest.mark.slow]

PROBES = 80  # each an SLO with a channel and an owner of its own, so that no pace holds it back
EVERY_S = 0.15
RATE = 100
MEDIAN_S, P99_S = 1.0, 3.0  # on a quiet machine: 0.3 and 1.0


def policy(folder: Path) -> None:
    """The shipped policy and the probes: half tolerate nothing, half a few."""
    slos = yaml.safe_load((ROOT / "config/slos.yaml").read_text())
    ownership = yaml.safe_load((ROOT / "config/ownership.yaml").read_text())
    for number in range(PROBES):
        name = f"probe-{number}"
        slos["slos"].append(_probe(name, number))
        ownership["owners"][f"@{name}"] = {}
        ownership["routes"][name] = {"owner": f"@{name}", "channel": f"#{name}", "escalation": []}
    folder.mkdir()
    (folder / "slos.yaml").write_text(yaml.safe_dump(slos))
    (folder / "ownership.yaml").write_text(yaml.safe_dump(ownership))


def _probe(name: str, number: int) -> dict[str, Any]:
    counts = [{"event": name.upper(), "bad_when": "always"}]
    if number % 2:
        return {
            "id": name,
            "title": name,
            "objective": 0.99,
            "counts": counts,
            "headline": {"kind": "ratio", "target": 0.99, "window": "24h", "unit": "ratio"},
            "breach": {"measure": "ratio", "threshold": 0.9, "window": "5m", "severity": "P1"},
        }
    return {
        "id": name,
        "title": name,
        "objective": 1.0,
        "distinct": "metadata.conversationId",
        "counts": counts,
        "headline": {"kind": "distinct", "target": 1.0, "window": "24h", "unit": "ratio"},
        "breach": {"measure": "distinct", "threshold": 0, "window": "24h", "severity": "P1"},
    }


def probe(number: int) -> list[dict[str, Any]]:
    """The events that make a probe fire."""
    event = {"event": f"PROBE-{number}", "metadata": {"conversationId": "c"}}
    return [event] * (3 if number % 2 else 1)


async def test_a_webhook_comes_within_moments_of_its_event(
    kafka: str, prefix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    policy(tmp_path / "config")
    channels = tuple(f"probe-{number}" for number in range(PROBES))
    monkeypatch.setattr("tests.e2e.harness.CHANNELS", channels)
    monkeypatch.setattr("tests.e2e.harness.OWNERS", channels)
    async with Stack(kafka, prefix, tmp_path, config=tmp_path / "config") as stack:
        await stack.worker().start()
        await stack.produce([execution(None)])
        await stack.judged()
        sent_at: dict[str, float] = {}
        loading = asyncio.create_task(steady(stack))
        for number in range(PROBES):
            await asyncio.sleep(EVERY_S)
            sent_at[f"probe-{number}"] = time.monotonic()
            await stack.produce(probe(number), partition=number % 4)
        await wait_for(lambda: len(stack.slack.arrivals) >= PROBES, "every channel is told")
        await wait_for(lambda: len(stack.pagerduty.arrivals) >= PROBES, "every owner is paged")
        loading.cancel()
        for zero_tolerance in (True, False):
            took = sorted(_took(stack, sent_at, zero_tolerance=zero_tolerance))
            median, p99 = statistics.median(took), took[round(len(took) * 0.99) - 1]
            what = "zero tolerance" if zero_tolerance else "ratio"
            print(f"{what}: median {median * 1000:.0f} ms, p99 {p99 * 1000:.0f} ms", end="; ")
            assert median < MEDIAN_S
            assert p99 < P99_S


def _took(stack: Stack, sent_at: dict[str, float], *, zero_tolerance: bool) -> Iterator[float]:
    for arrival in stack.slack.arrivals:
        name = arrival.path.rpartition("/")[2].removesuffix("-canary")
        if (int(name.rpartition("-")[2]) % 2 == 0) is zero_tolerance:
            yield arrival.at_s - sent_at[name]


async def steady(stack: Stack) -> None:
    """A hundred executions a second."""
    number = 0
    while True:
        await asyncio.sleep(1 / RATE)
        await stack.produce([execution(time.time())], partition=number % 4)
        number += 1
