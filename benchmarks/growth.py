"""How cost grows: with agents, objectives, what was counted before; partitions, history, workers.

    PYTHONPATH=. python benchmarks/growth.py [--only folding workers …]

The first three in one process, without Kafka: CPU time, the least of a few runs, of folding a batch
(decoding and digests included) and of one judgement. The others on a real Kafka with whole workers,
which wait, ready, until all events can be read at once (one transaction): from then until all are
counted and judged. Where all charts are made, docs/growth.svg is written; the last line is JSON.
"""

import argparse
import asyncio
import json
import sys
import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from typing import NamedTuple

from aiokafka import AIOKafkaProducer
from msgspec.structs import replace
from stand import ROOT, Worker, broker, end_in_order, machine, parser, site
from traffic import Execution, executions, send, source_of

from app import config
from app.core import judge, rows
from app.core.folding import Folder
from app.core.judge import SloState
from app.core.ledger import Ledger
from app.core.reading import PartitionReader, Record
from app.core.rows import Row
from app.core.slos import Clause, Condition, Definition, Slo
from app.core.slots import GRAINS
from app.kafka import COMPRESSION, client_options, create_topics, topic_name
from app.local import ports
from app.settings import Settings
from app.topics import EVENTS as EVENTS_TOPIC
from app.topics import all_topics

EVENTS, BATCH = 40_000, 4000
SETTLE_S = 3.0
COUNTED_BY_SLO = 'burnrate_slo_events_total{slo="availability"}'
COLUMNS, WIDE, HIGH = 3, 260, 200
POLICY = config.load(ROOT / "config")
BASE = [Folder(slo.id, slo.definition, "kokino.events") for slo in POLICY.slos.values()]


class Series(NamedTuple):
    """One chart: what grows, what it costs."""

    title: str
    unit: str
    points: list[tuple[int, float]]


def records(agents: int, count: int = EVENTS) -> list[Record]:
    """About 50 events for each slot, in one partition."""
    made = executions(count, agents=agents, span_s=count / 5, partitions=1)
    now_ms = int(time.time() * 1000)
    return [Record(offset, now_ms, one.value) for offset, one in enumerate(made)]


def fold_us(folders: list[Folder], read: list[Record]) -> float:
    """CPU µs an event."""
    reader = PartitionReader(folders, topic="kokino.events", epoch="e", partition=0, skip=False)
    began = time.process_time()
    for begin in range(0, len(read), BATCH):
        reader.read(read[begin : begin + BATCH])
        reader.digests()
    return (time.process_time() - began) / len(read) * 1e6


def own(agent: int) -> Folder:
    """An objective of one agent."""
    mine = (Condition("agent_id", "==", f"agent-{agent}"),)
    failed = Clause(event="EXECUTION_FAILED", where=mine, always_bad=True)
    clauses = (Clause(event="EXECUTION_COMPLETED", where=mine), failed)
    return Folder(f"own-{agent}", Definition(clauses=clauses), "kokino.events")


def judge_us(slo: Slo, read: list[Record]) -> float:
    """CPU µs of one judgement after so many events."""
    ledger, held = Ledger(), dict[tuple[str, int], Row]()
    folder = Folder(slo.id, slo.definition, "kokino.events")
    reader = PartitionReader([folder], topic="kokino.events", epoch="e", partition=0, skip=False)
    finals, _ = reader.read(read)
    for digest in [*finals, *reader.digests()]:
        for grain, part in zip(GRAINS.values(), (digest.fine, digest.coarse), strict=True):
            for start, cells in part.items():
                row = held.setdefault((grain.name, start), Row())
                rows.merge_digest(row, digest.source, digest.start, digest.upto, cells)
                ledger.replace(grain, start, rows.total(row, cells))
    route, now_ms = POLICY.ownership.routes[slo.id], int(time.time() * 1000)
    state = judge.judge(slo, route, SloState(caught_up=True), ledger, now_ms).state
    began = time.process_time()
    for step in range(200):
        state = judge.judge(slo, route, state, ledger, now_ms + 1000 * (step + 1)).state
    return (time.process_time() - began) / 200 * 1e6


def least(cost: Callable[[], float], times: int = 5) -> float:
    """The least of a few runs: other work only ever adds."""
    return round(min(cost() for _ in range(times)), 2)


def by_agents() -> list[tuple[int, float]]:
    """Folding, with so many agents."""
    read = {number: records(number) for number in (10, 100, 1000, 10_000, 100_000)}
    return [(number, least(lambda r=r: fold_us(BASE, r))) for number, r in read.items()]


def by_objectives() -> list[tuple[int, float]]:
    """Folding, with so many objectives."""
    few, own_ = records(8), [own(agent) for agent in range(5000)]
    return [
        (number, least(lambda n=number: fold_us([*BASE, *own_[: n - len(BASE)]], few), 2))
        for number in (5, 50, 500, 5000)
    ]


def by_events() -> list[tuple[int, float]]:
    """A judgement, after so many events."""
    slo, seen = POLICY.slos["availability"], (1000, 10_000, 100_000)
    read = {number: records(8, number) for number in seen}
    return [(number, least(lambda r=r: judge_us(slo, r))) for number, r in read.items()]


class Stage(NamedTuple):
    """A Kafka, and how many events each run reads."""

    kafka: str
    events: int

    async def by_partitions(self) -> list[tuple[int, float]]:
        """Thousands of events a second, from so many partitions."""
        return [(number, await self._rate(partitions=number)) for number in (1, 4, 16, 64)]

    async def by_history(self) -> list[tuple[int, float]]:
        """The same, of events that lie over so many hours: up to 30 days but one."""
        return [(hours, await self._rate(hours=hours)) for hours in (1, 24, 168, 719)]

    async def by_workers(self) -> list[tuple[int, float]]:
        """The same, read by so many processes."""
        return [(number, await self._rate(workers=number)) for number in (1, 2, 4)]

    async def _rate(self, *, partitions: int = 4, hours: int = 6, workers: int = 1) -> float:
        made = list(executions(self.events, agents=64, span_s=hours * 3600, partitions=partitions))
        with site(self.kafka) as settings:
            await create_topics(settings, [source_of(partitions)])
            await create_topics(settings, all_topics(replay=False))
            rate = round(len(made) / await caught_up_s(settings, made, workers) / 1000, 1)
        print(f"{partitions=} {hours=} {workers=}: {rate}", file=sys.stderr, flush=True)
        return rate


async def caught_up_s(settings: Settings, made: list[Execution], workers: int) -> float:
    """Seconds from when the events can be read until all are counted, and judged with that."""
    producer = AIOKafkaProducer(
        **client_options(settings),
        transactional_id=settings.topic_prefix,
        transaction_timeout_ms=600_000,
        compression_type=COMPRESSION,
        linger_ms=20,
        max_batch_size=1 << 20,
    )
    async with AsyncExitStack() as stack:
        await producer.start()
        stack.push_async_callback(producer.stop)
        await producer.begin_transaction()
        await send(producer, topic_name(settings, EVENTS_TOPIC), made)
        await producer.flush()
        several = [
            await stack.enter_async_context(Worker(replace(settings, port=ports.free(0))))
            for _ in range(workers)
        ]
        for worker in several:
            await worker.ready()
        await asyncio.sleep(SETTLE_S)  # the last that came has its partitions
        began = time.monotonic()
        await producer.commit_transaction()
        while await counted(several) < len(made):
            await asyncio.sleep(0.1)
        return time.monotonic() - began


async def counted(workers: list[Worker]) -> float:
    """All that availability has counted, by whoever has it; it is judged with each digest."""
    return sum([await worker.metric(COUNTED_BY_SLO) for worker in workers])


CHARTS = {
    "agents": ("Folding, by agents", "µs an event", by_agents),
    "objectives": ("Folding, by objectives", "µs an event", by_objectives),
    "events": ("A judgement, by events", "µs", by_events),
}
STAGED = {
    "partitions": ("Whole, by partitions", "1000 events/s", Stage.by_partitions),
    "history": ("Whole, by hours of history", "1000 events/s", Stage.by_history),
    "workers": ("Whole, by workers", "1000 events/s", Stage.by_workers),
}


async def series(given: argparse.Namespace, kafka: str) -> list[Series]:
    """The charts that are wanted."""
    found = [Series(*CHARTS[name][:2], CHARTS[name][2]()) for name in CHARTS if name in given.only]
    stage = Stage(kafka, given.events)
    for name, (title, unit, measure) in STAGED.items():
        if name in given.only:
            found.append(Series(title, unit, await measure(stage)))
    return found


def chart(every: list[Series]) -> str:
    """Bars, three charts in a row, as SVG."""
    height = -(-len(every) // COLUMNS) * HIGH
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {COLUMNS * WIDE} {height}">',
        '<g font-family="sans-serif" font-size="11" fill="#888">',
    ]
    for number, (title, unit, points) in enumerate(every):
        left, top = number % COLUMNS * WIDE + 20, number // COLUMNS * HIGH
        highest = max(cost for _, cost in points)
        parts.append(f'<text x="{left}" y="{top + 18}" font-size="13">{title}, {unit}</text>')
        for place, (amount, cost) in enumerate(points):
            x, tall, foot = left + place * 46, round(cost / highest * 120), top + 165
            parts += [
                f'<rect x="{x}" y="{foot - tall}" width="36" height="{tall}"/>',
                f'<text x="{x}" y="{foot - 5 - tall}">{cost:g}</text>',
                f'<text x="{x}" y="{foot + 15}">{amount:,}</text>',
            ]
    return "\n".join([*parts, "</g></svg>", ""])


def arguments() -> argparse.Namespace:
    """What is chosen on the command line."""
    every = [*CHARTS, *STAGED]
    options = parser(__doc__)
    options.add_argument("--only", nargs="*", choices=every, default=every, help="charts to make")
    options.add_argument("--events", type=int, default=500_000, help="each run of a whole worker")
    return options.parse_args()


def main() -> None:
    given = arguments()
    with broker(given.kafka) as kafka:
        found = asyncio.run(series(given, kafka))
    if len(found) == len(CHARTS) + len(STAGED):
        (ROOT / "docs/growth.svg").write_text(chart(found), encoding="utf-8")
    print(json.dumps({"machine": machine(), **{one.title: dict(one.points) for one in found}}))


if __name__ == "__main__":
    end_in_order()
    main()
