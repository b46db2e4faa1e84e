"""From the event to the webhook, at several rates, beside Prometheus and Alertmanager.

    make bench-detection        all of it, about ten minutes; on a quiet machine
    PYTHONPATH=. python benchmarks/detection.py --only 1000 tuned --incidents 20

A real Kafka, a real worker with the shipped objectives and one more for each incident (see
probes.py). The clock starts right before the record that tips an objective is sent, and stops when
the later of its two webhooks, Slack's and PagerDuty's, has come. Meanwhile another process keeps
the topic busy. For Prometheus and Alertmanager see alertmanager.py. A table, which goals are met,
then one line of JSON.
"""

import argparse
import asyncio
import json
import math
import random
import statistics
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

import alertmanager
import probes
from aiokafka import AIOKafkaProducer
from alertmanager import COMMON, TUNED
from probes import Probe
from receiver import Receiver
from stand import ROOT, Worker, broker, end_in_order, machine, parser, site

from app.kafka import client_options, create_topics, topic_name
from app.settings import Settings
from app.topics import EVENTS, PARTITIONS, all_topics

RATES = (10, 1_000, 50_000)
WAYS = ("slack", "pagerduty")
PAUSE_S = (0.1, 0.3)  # between incidents, at random: no beat with anybody's own rhythm
WARM_S = 5.0  # the rate is held, and all that came before is judged
LATE_S = 30.0  # then it is not coming
HELD, MOST_BEHIND_S = 0.99, 2.0  # the worker says how far it is once a second
PACES = {"tuned": TUNED, "common": COMMON}
MOST = {"tuned": 1000, "common": 60}
EVERY_S = 0.3  # an incident of the pair's, or more slowly: all its moments shall be met alike
PARTS = [*map(str, RATES), *PACES]


class Took(NamedTuple):
    """What one series of incidents took, in ms; a webhook that never came counts as infinite."""

    incidents: int
    median_ms: float
    p99_ms: float
    most_ms: float
    missing: int


class Goal(NamedTuple):
    """What the issue asks for, and whether it is so."""

    text: str
    met: bool


Found = dict[str, Took]
"""By part: "1000 fast-burn", "1000 zero tolerance", "tuned", "common"."""


def took(seconds: Iterable[float | None]) -> Took:
    """Median, 99th percentile by nearest rank, maximum."""
    ordered = sorted(math.inf if s is None else s * 1000 for s in seconds)
    if ordered and ordered[0] < 0:
        raise RuntimeError("somebody was told before it had happened")
    p99 = ordered[math.ceil(len(ordered) * 0.99) - 1]
    missing = sum(math.isinf(ms) for ms in ordered)
    return Took(len(ordered), statistics.median(ordered), p99, ordered[-1], missing)


def goals(found: Found) -> list[Goal]:
    """Those that can be told from what was measured."""
    ours = {rate: one for rate in RATES if (one := found.get(fast_burn(rate)))}
    told = []
    for rate, one in ours.items():
        most_ms = 1000 if rate == max(RATES) else 500
        told.append(Goal(f"{rate:,} events/s: median ≤ 150 ms", one.median_ms <= 150))
        told.append(Goal(f"{rate:,} events/s: p99 ≤ {most_ms} ms", one.p99_ms <= most_ms))
    slowest = max((one.median_ms for one in ours.values()), default=math.inf)
    for part, times in (("tuned", 5), ("common", 100)):
        if ours and part in found:
            ratio = found[part].median_ms / slowest
            text = (
                f"{times} times as quick as the {part} pair (at our slowest rate {ratio:.1f} times)"
            )
            told.append(Goal(text, ratio >= times))
    return told


def fast_burn(rate: int) -> str:
    """The part's name."""
    return f"{rate} fast-burn"


async def ours(kafka: str, rate: int, incidents: int) -> tuple[Found, dict[str, Any]]:
    """This project's times at one rate, and what the rate was."""
    every = probes.probes(incidents)
    with site(kafka, own_config=True) as settings:
        probes.policy(settings.config_dir, every)
        await create_topics(settings, all_topics(replay=False))
        receiver = Receiver()
        async with (
            receiver.running(),
            producing(settings) as producer,
            Worker(settings, receiver.env([probe.name for probe in every])) as worker,
        ):
            await worker.ready()
            await prepare(settings, producer, every)
            async with background(settings, rate) as held:
                await asyncio.sleep(WARM_S)
                sent = await tip(settings, producer, every)
            times = await until_told(receiver, every, sent)
            held["behind_s"] = await worker.metric("burnrate_consumer_lag_seconds")
    found = {
        fast_burn(rate): took(s for probe, s in times.items() if not probe.zero),
        f"{rate} zero tolerance": took(s for probe, s in times.items() if probe.zero),
    }
    return found, held


@asynccontextmanager
async def producing(settings: Settings) -> AsyncIterator[AIOKafkaProducer]:
    """A producer that sends at once."""
    producer = AIOKafkaProducer(**client_options(settings), linger_ms=0)
    await producer.start()
    try:
        yield producer
    finally:
        await producer.stop()


async def prepare(settings: Settings, producer: AIOKafkaProducer, every: Sequence[Probe]) -> None:
    """Send all but the event that tips each."""
    topic = topic_name(settings, EVENTS)
    for probe in every:
        for value in probe.before():
            await producer.send(topic, value, partition=probe.number % PARTITIONS)
    await producer.flush()


async def tip(
    settings: Settings, producer: AIOKafkaProducer, every: Sequence[Probe]
) -> dict[str, float]:
    """Tip every probe in turn; when each was, on the monotonic clock."""
    topic, chance, sent = topic_name(settings, EVENTS), random.Random(1), {}
    for probe in every:
        await asyncio.sleep(chance.uniform(*PAUSE_S))
        value, partition = probe.last(), probe.number % PARTITIONS
        sent[probe.name] = time.monotonic()
        await producer.send_and_wait(topic, value, partition=partition)
    return sent


async def until_told(
    receiver: Receiver, every: Sequence[Probe], sent: dict[str, float]
) -> dict[Probe, float | None]:
    """Seconds until both webhooks of each had come; None where one has not."""
    until = time.monotonic() + LATE_S
    while time.monotonic() < until and not all(receiver.told(p.name, *WAYS) for p in every):
        await asyncio.sleep(0.1)
    told = {probe: receiver.told(probe.name, *WAYS) for probe in every}
    return {probe: at_s and at_s - sent[probe.name] for probe, at_s in told.items()}


@asynccontextmanager
async def background(settings: Settings, rate: int) -> AsyncIterator[dict[str, Any]]:
    """Executions at this rate while the block runs; what they were is there after it."""
    arguments = [settings.kafka, topic_name(settings, EVENTS), str(PARTITIONS), str(rate)]
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        ROOT / "benchmarks/background.py",
        *arguments,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    held: dict[str, Any] = {}
    try:
        yield held
        said, _ = await process.communicate(b"")  # its input ends
        held.update(json.loads(said))
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


def was_held(held: dict[str, Any]) -> bool:
    """Whether the background was what it should be, sent and read."""
    in_time = held["rate"] >= HELD * held["asked"] and held["most_waiting"] < held["asked"]
    return bool(in_time and held["behind_s"] < MOST_BEHIND_S)


def table(found: Found, held: dict[str, Any]) -> str:
    """For people: in Markdown."""
    head = ["| what | incidents | median | p99 | slowest |", "|---|---|---|---|---|"]
    rows = [
        f"| {label(part, held)} | {one.incidents} | {ms(one.median_ms)} | {ms(one.p99_ms)} |"
        f" {ms(one.most_ms)} |"
        for part, one in found.items()
    ]
    return "\n".join([*head, *rows])


def label(part: str, held: dict[str, Any]) -> str:
    """What a row is about."""
    if part in PACES:
        return f"Prometheus and Alertmanager, {PACES[part]}"
    rate, _, kind = part.partition(" ")
    background_ = held[rate]
    say = "held" if was_held(background_) else f"not held: {background_['rate']:,.0f}/s"
    return f"this project, {int(rate):,} events/s ({say}), {kind}"


def ms(value: float) -> str:
    """As people read it."""
    if math.isinf(value):
        return "never"
    return f"{value:.0f} ms" if value < 10_000 else f"{value / 1000:.1f} s"


async def main(given: argparse.Namespace) -> None:
    found: Found = {}
    held: dict[str, Any] = {}
    if PACES.keys() & set(given.only):
        alertmanager.programs()  # told now, not after minutes
    for part, pace in PACES.items():
        if part in given.only:
            count = min(given.incidents, MOST[part])
            within_s = max(pace.slowest_s, EVERY_S * count)
            seconds = await alertmanager.measure(pace, count, within_s)
            found[part] = took(seconds.values())
            print(f"{part}: {found[part]}", file=sys.stderr, flush=True)
    rates = [rate for rate in RATES if str(rate) in given.only]
    if rates:
        with broker(given.kafka) as kafka:
            for rate in rates:
                more, held[str(rate)] = await ours(kafka, rate, given.incidents)
                found = more | found
                print(f"{more} {held[str(rate)]}", file=sys.stderr, flush=True)
    print(f"{machine()}\n\n{table(found, held)}\n")
    reached = goals(found)
    for goal in reached:
        print(f"- {'met' if goal.met else 'NOT met'}: {goal.text}")
    times = {part: one._asdict() for part, one in found.items()}
    told = {"machine": machine(), "times": times, "background": held, "goals": dict(reached)}
    print(json.dumps(told))


def arguments() -> argparse.Namespace:
    """What is chosen on the command line."""
    options = parser(__doc__)
    options.add_argument("--only", nargs="*", choices=PARTS, default=PARTS, help="parts to run")
    options.add_argument(
        "--incidents", type=int, default=200, help="of each part (60 at most: common)"
    )
    return options.parse_args()


if __name__ == "__main__":
    end_in_order()
    asyncio.run(main(arguments()))
