"""(e) Faust: one agent with a window table, tumbling (1 min) or hopping (1 h every minute)."""

import os
import sys
import tempfile

import faust
import msgspec
from stopwatch import Stopwatch, task

from app.core.events import Event

HOPPING = "--hopping" in sys.argv
WINDOWS = 60 if HOPPING else 1  # each event lies in so many
decode = msgspec.json.Decoder(Event).decode


def main() -> None:
    kafka, prefix, count = job = task()
    app = faust.App(
        f"{prefix}faust",
        broker=f"kafka://{kafka}",
        store="memory://",
        datadir=tempfile.mkdtemp(),
        web_enabled=False,
        topic_partitions=4,
        topic_disable_leader=True,
        consumer_auto_offset_reset="earliest",
        stream_wait_empty=False,
        broker_max_poll_records=4000,
    )
    topic = app.topic(job.topic, key_serializer="raw", value_serializer="raw")
    tables = [_windowed(app, name) for name in ("total", "bad")]
    watch, seen, bad = Stopwatch(), 0, 0

    @app.agent(topic)
    async def counting(stream: faust.StreamT) -> None:
        nonlocal seen, bad
        async for value in stream:
            event = decode(value)
            tables[0][event.agent_id] += 1
            if event.success != 1:
                tables[1][event.agent_id] += 1
                bad += 1
            seen += 1
            watch.begin(1)
            if seen == count:
                watch.end(_sum(tables[0]), _sum(tables[1]))
                os._exit(0)  # its clean end takes seconds

    app.finalize()
    faust.Worker(app, loglevel="ERROR", redirect_stdouts=False).execute_from_commandline()


def _windowed(app: faust.App, name: str) -> faust.Table:
    table = app.Table(name, default=int, partitions=4)
    return table.hopping(3600, 60, expires=7200) if HOPPING else table.tumbling(60, expires=7200)


def _sum(table: faust.Table) -> int:
    """Over all windows, each event once."""
    return sum(table.table.data.values()) // WINDOWS


if __name__ == "__main__":
    main()
