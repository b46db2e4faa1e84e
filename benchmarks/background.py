"""Executions at a steady rate, until its standard input ends: what incidents are found in.

    python benchmarks/background.py KAFKA TOPIC PARTITIONS RATE

A process of its own. Events are made beforehand but for their time; a batch goes to one partition,
the next to the next. It prints one line of JSON at its end: what it was asked for and what it did.
"""

import json
import sys
import threading
import time
from datetime import UTC, datetime
from typing import Any

from confluent_kafka import Producer
from traffic import executions

MADE = 20_000
TICK_S = 0.01
LENGTH_OF_TIME = len('2026-01-01 00:00:00"}')

OPTIONS = {
    "linger.ms": 5,
    "compression.type": "snappy",
    "log_level": 0,
    "queue.buffering.max.messages": 5_000_000,  # a Kafka that is too slow shows in what waits
    "queue.buffering.max.kbytes": 2_000_000,
}


def main() -> None:
    kafka, topic, partitions, rate = sys.argv[1], sys.argv[2], *map(int, sys.argv[3:5])
    heads = [one.value[:-LENGTH_OF_TIME] for one in executions(MADE)]
    producer = Producer({"bootstrap.servers": kafka, **OPTIONS})
    ended = threading.Event()
    threading.Thread(target=lambda: (sys.stdin.read(), ended.set()), daemon=True).start()
    sent = batches = most_waiting = 0
    began = second = time.monotonic()
    second_sent, slowest = 0, float(rate)
    while not ended.is_set():
        now = time.monotonic()
        due = int((now - began) * rate) - sent
        if due:
            batch = stamped(heads, sent, due)
            sent += producer.produce_batch(topic, batch, partition=batches % partitions)
            batches += 1
        if now >= second + 1 and sent > second_sent:
            slowest = min(slowest, (sent - second_sent) / (now - second))
            second, second_sent = now, sent
        producer.poll(0)
        most_waiting = max(most_waiting, len(producer))
        ended.wait(TICK_S)
    took_s = time.monotonic() - began
    left = producer.flush(30)
    told = {
        "asked": rate,
        "events": sent - left,
        "rate": (sent - left) / took_s,
        "slowest_second": slowest,
        "most_waiting": most_waiting,
    }
    print(json.dumps(told))


def stamped(heads: list[bytes], begin: int, count: int) -> list[dict[str, Any]]:
    """The next events, of now."""
    tail = f'{datetime.now(UTC):%Y-%m-%d %H:%M:%S}"}}'.encode()
    return [{"value": heads[n % MADE] + tail} for n in range(begin, begin + count)]


if __name__ == "__main__":
    main()
