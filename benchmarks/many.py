"""Thousands of objectives in one worker: are all judged each second, and how soon after a SIGKILL?

    PYTHONPATH=. python benchmarks/many.py [--slos 5000] [--hours 1] [--events 120000]

Each objective is one agent's; the events lie in the last hours. A real Kafka, a real worker. When
all is counted, nothing but the clock goes on for ten seconds: how often was each judged, and what
did that take? A few more objectives are tipped: how long until their webhooks? Then the worker is
killed and started again. Which goals are met, then one line of JSON; times in s, sizes in MB.
"""

import argparse
import asyncio
import json
import sys
import time
from collections.abc import Sequence
from typing import Any

import probes
from detection import prepare, producing, tip, took, until_told
from probes import Probe
from receiver import Receiver
from stand import COUNTED, Worker, broker, end_in_order, machine, parser, site
from traffic import executions, fill

from app.settings import Settings

SHIPPED, PROBES = 5, 20
IDLE_S = 10.0
LOOK_S = 1.0  # at every status: that is megabytes
JUDGED = "burnrate_judge_seconds"
MOST_EVERY_S, MOST_RECOVERY_S = 1.1, 60.0  # a second, and what a timer is late


async def main(given: argparse.Namespace, kafka: str) -> dict[str, Any]:
    """Run it all."""
    every = probes.probes(PROBES)
    slos = SHIPPED + len(every) + given.slos
    with site(kafka, own_config=True) as settings:
        probes.policy(settings.config_dir, every, (f"agent-{n}" for n in range(given.slos)))
        events = executions(given.events, agents=given.slos, span_s=given.hours * 3600)
        await fill(settings, list(events))
        receiver = Receiver()
        async with receiver.running():
            env = receiver.env([probe.name for probe in every])
            async with Worker(settings, env) as worker:
                found = await counted(worker, slos, given.events)
                say(found)
                found |= await idle(worker, slos)
                found |= await told(settings, receiver, every)
                found["memory_mb"] = worker.memory_mb()
                say(found)
            killed_ms = int(time.time() * 1000)
            async with Worker(settings, env) as worker:
                found["ready_after_sigkill_s"] = await worker.ready()
                found["judging_after_sigkill_s"] = await worker.judging(slos, killed_ms, LOOK_S)
                found["memory_after_recovery_mb"] = worker.memory_mb()
    return found


def say(found: dict[str, Any]) -> None:
    """How far it is, for those who wait."""
    print(found, file=sys.stderr, flush=True)


async def counted(worker: Worker, slos: int, events: int) -> dict[str, Any]:
    """Wait until the status has them all; how long that took from the worker's start."""
    await worker.ready()
    while await worker.metric(COUNTED) < events:
        await asyncio.sleep(LOOK_S)
    while ((shown := await worker.slos()) and len(shown) < slos) or total(shown) < events:
        await asyncio.sleep(LOOK_S)
    return {"slos": slos, "events": events, "counted_in_s": time.monotonic() - worker.began}


def total(shown: list[dict[str, Any]]) -> int:
    """Events of all agents' objectives."""
    return sum(slo["windows"]["24h"]["total"] for slo in shown if slo["id"].startswith("agent-"))


async def idle(worker: Worker, slos: int) -> dict[str, Any]:
    """Nothing comes: how often each is judged, what a judgement takes, how busy the worker is."""
    await asyncio.sleep(IDLE_S)  # what shows its status is over
    before = await moment(worker)
    await asyncio.sleep(IDLE_S)
    after = await moment(worker)
    took_s, used_s, times, spent_s = (b - a for a, b in zip(before, after, strict=True))
    return {
        "judged_every_s": took_s * slos / times,
        "judgement_us": spent_s / times * 1e6,
        "cores_busy": used_s / took_s,
    }


async def moment(worker: Worker) -> tuple[float, ...]:
    """What time it is, the CPU time used, judgements so far and the time they took, all in s."""
    judged = await worker.metrics(f"{JUDGED}_count", f"{JUDGED}_sum")
    return (time.monotonic(), worker.cpu_s(), *judged)


async def told(settings: Settings, receiver: Receiver, every: Sequence[Probe]) -> dict[str, Any]:
    """From the event to both webhooks, of those that tip."""
    async with producing(settings) as producer:
        await prepare(settings, producer, every)
        await asyncio.sleep(IDLE_S)
        sent = await tip(settings, producer, every)
        times = await until_told(receiver, every, sent)
    return {"told": took(times.values())._asdict()}


def goals(found: dict[str, Any]) -> dict[str, bool]:
    """What the issue asks for, and whether it is so."""
    return {
        "every objective is judged each second": found["judged_every_s"] <= MOST_EVERY_S,
        "judging again within a minute": found["judging_after_sigkill_s"] <= MOST_RECOVERY_S,
    }


def arguments() -> argparse.Namespace:
    """What is chosen on the command line."""
    options = parser(__doc__)
    options.add_argument("--slos", type=int, default=5000)
    options.add_argument("--hours", type=float, default=1.0, help="over which the events lie")
    options.add_argument("--events", type=int, default=120_000)
    return options.parse_args()


if __name__ == "__main__":
    end_in_order()
    chosen = arguments()
    with broker(chosen.kafka) as bootstrap:
        measured = asyncio.run(main(chosen, bootstrap))
    reached = goals(measured)
    for goal, met in reached.items():
        print(f"- {'met' if met else 'NOT met'}: {goal}")
    print(json.dumps({"machine": machine(), **measured, "goals": reached}))
