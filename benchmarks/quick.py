"""How much of Kafka's own speed is left: `make bench-quick`, in under two minutes.

A short `benchmarks/compare.py`: aiokafka's `getmany` and decoding alone, the intake, a worker,
in turn, from their first events on. The last line is JSON with ratios to the first, of throughput
and of CPU; with `--floor` it ends with 1 where the intake has lost more than a third against the
ratio of CPU that is written down here. CPU, since on a machine with other work it moves least.
"""

import json
import sys

from compare import machine, medians, run, table

COUNT, ROUNDS = 300_000, 3
WRITTEN_DOWN = 0.40  # intake_to_raw_cpu, docs/performance.md
MOST_LOST = 1 / 3


def main() -> int:
    found = medians(run(["raw", "intake", "whole"], COUNT, ROUNDS))
    print(f"{machine()}; {COUNT:,} events, median of {ROUNDS}\n\n{table(found)}\n")
    raw, intake, whole = found["raw"], found["intake"], found["whole"]
    ratio = raw.cpu_us / intake.cpu_us
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
    return int(lost and "--floor" in sys.argv)


if __name__ == "__main__":
    sys.exit(main())
