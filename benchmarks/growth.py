"""How cost grows: with agents, with objectives, with what was counted before.

    PYTHONPATH=. python benchmarks/growth.py        writes docs/growth.svg and prints the figures

In one process, without Kafka. CPU time, the least of a few runs, of folding a batch (decoding and
digests included) and of one judgement.
"""

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from traffic import executions

from app import config
from app.core import judge, rows
from app.core.folding import Folder
from app.core.judge import SloState
from app.core.ledger import Ledger
from app.core.reading import PartitionReader, Record
from app.core.rows import Row
from app.core.slos import Clause, Condition, Definition, Slo
from app.core.slots import GRAINS

ROOT = Path(__file__).parents[1]
EVENTS, BATCH = 40_000, 4000
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


def series() -> list[Series]:
    """All charts."""
    few = records(8)
    agents = [(n, records(n)) for n in (10, 100, 1000, 10_000, 100_000)]
    slos = [(n, [*BASE, *map(own, range(n - 5))]) for n in (5, 50, 500, 5000)]
    seen = [(n, records(8, n)) for n in (1000, 10_000, 100_000)]
    slo = POLICY.slos["availability"]
    return [
        Series("Folding, by agents", "µs an event", [(n, least(lambda r=r: fold_us(BASE, r))) for n, r in agents]),  # noqa: E501
        Series("Folding, by objectives", "µs an event", [(n, least(lambda f=f: fold_us(f, few), 2)) for n, f in slos]),  # noqa: E501
        Series("A judgement, by events", "µs", [(n, least(lambda r=r: judge_us(slo, r))) for n, r in seen]),  # noqa: E501
    ]  # fmt: skip


def chart(every: list[Series]) -> str:
    """Bars side by side, as SVG."""
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {len(every) * 260} 200">',
        '<g font-family="sans-serif" font-size="11" fill="#888">',
    ]
    for column, (title, unit, points) in enumerate(every):
        left, highest = column * 260 + 20, max(cost for _, cost in points)
        parts.append(f'<text x="{left}" y="18" font-size="13">{title}, {unit}</text>')
        for place, (number, cost) in enumerate(points):
            x, height = left + place * 46, cost / highest * 120
            parts += [
                f'<rect x="{x}" y="{165 - height:.0f}" width="36" height="{height:.0f}"/>',
                f'<text x="{x}" y="{160 - height:.0f}">{cost:g}</text>',
                f'<text x="{x}" y="180">{number:,}</text>',
            ]
    return "\n".join([*parts, "</g></svg>", ""])


def main() -> None:
    found = series()
    (ROOT / "docs/growth.svg").write_text(chart(found), encoding="utf-8")
    print(json.dumps({one.title: dict(one.points) for one in found}))


if __name__ == "__main__":
    main()
