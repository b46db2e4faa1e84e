"""How much of Kafka's own speed is left: `make bench-quick`, in under two minutes.

A short `benchmarks/compare.py`: aiokafka's `getmany` and decoding alone, the intake, a worker,
in turn, from their first events on. The last line is JSON with ratios to the first, of throughput
and of CPU; with `--floor` it ends with 3 where the intake has lost more than a third against the
ratio of CPU that is written down here. CPU, and of each contender's rounds the least: other work
on the machine only ever adds to it.
"""

import json
import sys

from compare import Measured, medians, run, table
from stand import machine

COUNT, ROUNDS = 300_000, 3
WRITTEN_DOWN = 0.50  # intake_to_raw_cpu, docs/performance.md
MOST_LOST = 1 / 3
EXIT_LOST = 3  # unlike 1 and 2, which are Python's and make's own


def least_cpu_us(rounds: list[Measured]) -> float:
    return min(round_.cpu_us for round_ in rounds)


def main() -> int:
    rounds = run(["raw", "intake", "whole"], COUNT, ROUNDS)
    found = medians(rounds)
    print(f"{machine()}; {COUNT:,} events, median of {ROUNDS}\n\n{table(found)}\n")
    raw, intake, whole = found["raw"], found["intake"], found["whole"]
    ratio = least_cpu_us(rounds["raw"]) / least_cpu_us(rounds["intake"])
    lost = ratio < WRITTEN_DOWN * (1 - MOST_LOST)
    if lost:
        print(f"The intake has lost more than a third: {ratio:.2f} was {WRITTEN_DOWN}.")
    told = {
        "intake_to_raw": round(intake.rate / raw.rate, 3),
        "whole_to_raw": round(whole.rate / raw.rate, 3),
        "intake_to_raw_cpu": round(ratio, 3),
        "whole_to_raw_cpu": round(raw.cpu_us / whole.cpu_us, 3),
        "intake_cpu_us": round(intake.cpu_us, 2),
        "events": COUNT,
    }
    print(json.dumps(told))
    return EXIT_LOST if lost and "--floor" in sys.argv else 0


if __name__ == "__main__":
    sys.exit(main())
