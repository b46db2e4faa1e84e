"""Ten million events wait for a stopped worker: how fast is it, and is anybody told wrongly?

    PYTHONPATH=. python benchmarks/backlog.py [--events 10000000] [--hours 24]

The executions lie in the last hours, two in a thousand failed: judged whole, no moment of them
breaches anything. But each hour's failures are its first events: whoever judged a part of it as the
present would page. A worker counts a little, is stopped, and started when all lie there. When its
status has them all, and half a minute later, no webhook may have been called about an objective.
(Where catching up takes longer than a minute the alerter says that it is blind, which is true.)
Ends with 1 where one was. One line of JSON; sizes in MB.
"""

import argparse
import asyncio
import json
import sys
import time
from collections.abc import Iterator
from typing import Any, NamedTuple

import yaml
from background import LENGTH_OF_TIME, OPTIONS
from confluent_kafka import Producer
from receiver import Receiver
from stand import COUNTED, ROOT, Worker, broker, end_in_order, machine, parser, site
from traffic import executions, source_of

from app.core.vitals import ALERTER
from app.kafka import create_topics, topic_name
from app.settings import Settings
from app.topics import EVENTS, PARTITIONS, all_topics

AVAILABILITY = "availability"
HOUR_S = 3600
FAILING = 0.002
MADE = 20_000
LOOK_S = 0.5
FIRST = 100  # what the worker counts before it is stopped
QUEUED = 200_000
OWN_TIMES = {"message.timestamp.type": "CreateTime", "retention.ms": "-1"}


class Second(NamedTuple):
    """What is produced for one second of event time."""

    at_s: int
    bad: int
    good: int


def seconds(events: int, hours: int, until_s: int) -> Iterator[Second]:
    """Evenly, up to then; the failures of each hour but the first are its first events."""
    begin, left, failing, made = until_s - hours * HOUR_S, 0, 0, 0
    for number in range(hours * HOUR_S):
        due = events * (number + 1) // (hours * HOUR_S) - made
        if number % HOUR_S == 0 and number:
            left = round(events / hours * FAILING)
        failing = min(left, due)
        left -= failing
        made += due
        yield Second(begin + number, failing, due - failing)


def produce(settings: Settings, events: int, hours: int, until_s: int) -> int:
    """Write so many, each second to the next partition, under its own time; how many failed."""
    heads: dict[bool, list[bytes]] = {True: [], False: []}
    for one in executions(MADE):
        heads[one.ok].append(one.value[:-LENGTH_OF_TIME])
    producer = Producer({"bootstrap.servers": settings.kafka, **OPTIONS, "linger.ms": 50})
    topic, failed = topic_name(settings, EVENTS), 0
    for second in seconds(events, hours, until_s):
        tail = time.strftime('%Y-%m-%d %H:%M:%S"}', time.gmtime(second.at_s)).encode()
        where = {"partition": second.at_s % PARTITIONS, "timestamp": second.at_s * 1000}
        for ok, count in ((False, second.bad), (True, second.good)):
            for head in cycled(heads[ok], count):
                producer.produce(topic, head + tail, **where)
        failed += second.bad
        while len(producer) > QUEUED:
            producer.poll(0.05)
    if producer.flush(60):
        raise RuntimeError("Kafka does not take the backlog")
    return failed


def cycled(made: list[bytes], count: int) -> list[bytes]:
    """So many of them, from the beginning again where there are fewer."""
    return (made * (count // len(made) + 1))[:count]


async def main(given: argparse.Namespace, kafka: str) -> dict[str, Any]:
    """Run it all."""
    with site(kafka) as settings:
        await create_topics(settings, [source_of(PARTITIONS, OWN_TIMES)])  # of a day ago
        await create_topics(settings, all_topics(replay=False))
        receiver = Receiver()
        async with receiver.running():
            env = receiver.env(everybody())
            now_s = int(time.time())
            before_s = now_s - given.hours * HOUR_S  # Kafka's times never go back
            before = await asyncio.to_thread(produce, settings, FIRST, 1, before_s)
            async with Worker(settings, env) as worker:
                await worker.ready()
                while await shown(worker) != (FIRST, before):
                    await asyncio.sleep(LOOK_S)
                worker.stop()
            failed = await asyncio.to_thread(produce, settings, given.events, given.hours, now_s)
            print("the backlog lies there", file=sys.stderr, flush=True)
            async with Worker(settings, env) as worker:
                found = await caught_up(worker, given.events + FIRST, failed + before)
                await asyncio.sleep(given.watch)
    own = [said for said in receiver.said if ALERTER in said]  # that it is blind is true
    return {**found, "told": [said for said in receiver.said if said not in own], "blind": own}


def everybody() -> list[str]:
    """Every owner and channel of the shipped matrix."""
    ownership = yaml.safe_load((ROOT / "config/ownership.yaml").read_text(encoding="utf-8"))
    channels = {route["channel"] for route in ownership["routes"].values()}
    return sorted(name.lstrip("@#") for name in {*ownership["owners"], *channels})


async def shown(worker: Worker) -> tuple[int, int]:
    """Total and bad of availability over 30 days, as the status says; zeros before it does."""
    for slo in await worker.slos():
        if slo["id"] == AVAILABILITY and slo["judged"]:
            window = slo["windows"]["30d"]
            return window["total"], window["bad"]
    return 0, 0


async def caught_up(worker: Worker, events: int, failed: int) -> dict[str, Any]:
    """From the first event that is read to a judged status that has them all."""
    began, used_s, most_mb = time.monotonic(), 0.0, 0.0
    reading = False
    while await shown(worker) != (events, failed):
        if not reading:
            began, used_s = time.monotonic(), worker.cpu_s()
            reading = await worker.metric(COUNTED) > 0
        most_mb = max(most_mb, worker.memory_mb())
        await asyncio.sleep(LOOK_S)
    took_s = time.monotonic() - began
    return {
        "events": events,
        "caught_up_in_s": round(took_s, 1),
        "events_per_s": round(events / took_s),
        "cpu_us": round((worker.cpu_s() - used_s) / events * 1e6, 2),
        "memory_peak_mb": round(most_mb),
        "memory_mb": round(worker.memory_mb()),
    }


def arguments() -> argparse.Namespace:
    """What is chosen on the command line."""
    options = parser(__doc__)
    options.add_argument("--events", type=int, default=10_000_000)
    options.add_argument("--hours", type=int, default=24, help="over which they lie")
    options.add_argument("--watch", type=float, default=30, help="seconds, when all is counted")
    return options.parse_args()


if __name__ == "__main__":
    end_in_order()
    chosen = arguments()
    with broker(chosen.kafka) as bootstrap:
        measured = asyncio.run(main(chosen, bootstrap))
    print(json.dumps({"machine": machine(), **measured}))
    sys.exit(bool(measured["told"]))
