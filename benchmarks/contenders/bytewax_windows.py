"""(g) Bytewax: a tumbling count of 1 min, by agent, in the events' own time."""

from datetime import UTC, datetime, timedelta

import bytewax.operators as op
import bytewax.operators.windowing as win
import msgspec
from bytewax.connectors.kafka import KafkaSource
from bytewax.dataflow import Dataflow
from bytewax.operators.windowing import EventClock, TumblingWindower
from bytewax.testing import TestingSink, run_main
from stopwatch import Stopwatch, task


class Event(msgspec.Struct):
    event: str
    agent_id: str
    success: int
    timestamp: str


decode = msgspec.json.Decoder(Event).decode


def main() -> None:
    kafka, _, _ = job = task()
    watch, found = Stopwatch(), []

    def read(record: object) -> tuple[str, Event]:
        watch.begin(1)
        event = decode(record.value)
        return event.agent_id, event

    clock = EventClock(
        lambda event: datetime.fromisoformat(event.timestamp).replace(tzinfo=UTC),
        wait_for_system_duration=timedelta(days=1),
    )
    windower = TumblingWindower(
        align_to=datetime(2020, 1, 1, tzinfo=UTC), length=timedelta(minutes=1)
    )
    flow = Dataflow("windows")
    records = op.input("in", flow, KafkaSource([kafka], [job.topic], tail=False, batch_size=4000))
    keyed = op.map("read", records, read)
    counted = win.fold_window(
        "count",
        keyed,
        clock,
        windower,
        lambda: (0, 0),
        lambda have, event: (have[0] + 1, have[1] + (event.success != 1)),
        lambda one, other: (one[0] + other[0], one[1] + other[1]),
    )
    op.output("out", counted.down, TestingSink(found))
    run_main(flow)
    watch.end(sum(total for _, (_, (total, _)) in found), sum(bad for _, (_, (_, bad)) in found))


if __name__ == "__main__":
    main()
