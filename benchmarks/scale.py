"""Digest traffic and merge cost at any size: the arithmetic of docs/scale.md, tried out.

    PYTHONPATH=. python benchmarks/scale.py [--rate 1000000] [--slos 100000] [--partitions 256]

A sample is really run: readers fold events of many objectives, their digests are encoded, decoded
and merged into rows. What a digest costs is multiplied up to the whole. The last line is JSON.
"""

import argparse
import json
import random
import time
from collections.abc import Iterable

import msgspec

from app.core import rows
from app.core.chunks import Digest
from app.core.folding import Folder
from app.core.reading import PartitionReader, Record
from app.core.rows import Row
from app.core.slos import Clause, Condition, Definition

SAMPLE_PARTITIONS = 4
SECONDS = 5
FLUSH_S = 0.1
_encode, _decode = msgspec.json.Encoder().encode, msgspec.json.Decoder(Digest).decode


def folders(number: int) -> list[Folder]:
    """Objectives of availability, each of one agent."""
    made = []
    for who in range(number):
        mine = (Condition("agent_id", "==", f"agent-{who}"),)
        clauses = (
            Clause(event="EXECUTION_COMPLETED", where=mine),
            Clause(event="EXECUTION_FAILED", where=mine, always_bad=True),
        )
        made.append(Folder(f"slo-{who}", Definition(clauses=clauses), "kokino.events"))
    return made


def records(rate: float, agents: int, offset: int, at_ms: int) -> list[Record]:
    """A tenth of a second of one partition's events."""
    chance = random.Random(offset)
    return [
        Record(
            offset + n,
            at_ms,
            msgspec.json.encode(
                {
                    "event": "EXECUTION_COMPLETED"
                    if chance.random() > 0.002
                    else "EXECUTION_FAILED",
                    "agent_id": f"agent-{chance.randrange(agents)}",
                    "success": 1,
                }
            ),
        )
        for n in range(int(rate * FLUSH_S))
    ]


def digests(rate: float, made: list[Folder]) -> Iterable[tuple[float, list[bytes]]]:
    """For every flush: CPU seconds of folding and encoding, and the digests."""
    readers = [
        PartitionReader(made, topic="kokino.events", epoch="e", partition=p, skip=False)
        for p in range(SAMPLE_PARTITIONS)
    ]
    began_ms = 1_790_000_000_000
    for step in range(int(SECONDS / FLUSH_S)):
        for reader in readers:
            read = records(rate, len(made), reader.upto, began_ms + int(step * FLUSH_S * 1000))
            began = time.process_time()
            finals, _ = reader.read(read)
            sent = [_encode(digest) for digest in [*finals, *reader.digests()]]
            yield time.process_time() - began, sent


def merge(sent: list[bytes], table: dict[tuple[str, int], Row]) -> float:
    """CPU seconds of decoding and merging."""
    began = time.process_time()
    for value in sent:
        digest = _decode(value)
        for start, cells in {**digest.fine, **digest.coarse}.items():
            row = table.setdefault((digest.slo, start), Row())
            place = (digest.source, digest.start, digest.upto)
            rows.merge_digest(row, *place, cells, final=digest.final)
    return time.process_time() - began


def measured(slos: int) -> dict[str, float]:
    """What a digest costs, where each event is about another objective."""
    fold_s = merge_s = 0.0
    sent_bytes = number = 0
    table: dict[tuple[str, int], Row] = {}
    for took, sent in digests(10 * slos, folders(slos)):
        fold_s += took
        merge_s += merge(sent, table)
        number += len(sent)
        sent_bytes += sum(map(len, sent))
    return {
        "bytes": round(sent_bytes / number),
        "fold_us": round(fold_s / number * 1e6, 1),
        "merge_us": round(merge_s / number * 1e6, 1),
    }


def per_second(rate: float, slos: int, partitions: int, interval_s: float) -> float:
    """Digests a second: each partition sends one for every objective touched since the last.

    Events are keyed by agent, so that an objective of one agent lies in one partition.
    """
    in_one = slos / partitions
    events = rate / partitions * interval_s
    touched = in_one * (1 - (1 - 1 / in_one) ** events)  # so many of the boxes are hit
    return touched / interval_s * partitions


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rate", type=float, default=1_000_000)
    parser.add_argument("--slos", type=int, default=100_000)
    parser.add_argument("--partitions", type=int, default=256)
    given = parser.parse_args()
    costs = {slos: measured(slos) for slos in (10, 100, 400)}
    for interval_s in (0.1, 1.0, 10.0):
        number = per_second(given.rate, given.slos, given.partitions, interval_s)
        merging = number * costs[100]["merge_us"] / 1e6
        sent_mb = number * costs[100]["bytes"] / 1e6
        print(
            f"every {interval_s:>4} s: {number:>9,.0f} digests/s, {sent_mb:6.1f} MB/s,"
            f" {merging:5.2f} cores to merge"
        )
    print(json.dumps({**vars(given), "a_digest_by_objectives_of_a_reader": costs}))


if __name__ == "__main__":
    main()
