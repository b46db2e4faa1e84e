"""(f) Quix Streams: a tumbling count of 1 min, by agent."""

import logging
import tempfile

from quixstreams import Application
from stopwatch import Stopwatch, task


def main() -> None:
    kafka, prefix, count = job = task()
    logging.disable(logging.CRITICAL)
    app = Application(
        broker_address=kafka,
        consumer_group=f"{prefix}quix",
        auto_offset_reset="earliest",
        state_dir=tempfile.mkdtemp(),
        loglevel=None,
    )
    windows: dict[tuple[bytes, int], tuple[int, int]] = {}
    watch = Stopwatch()

    def keep(value: dict, key: bytes, _at: int, _headers: object) -> None:
        windows[key, value["start"]] = (value["total"], value["bad"])
        watch.begin(1)

    from quixstreams.dataframe.windows import Count, Sum  # noqa: PLC0415

    frame = app.dataframe(app.topic(job.topic, value_deserializer="json"))
    frame = frame.apply(lambda event: {"bad": int(event["success"] != 1)})
    frame = frame.tumbling_window(60_000).agg(total=Count(), bad=Sum("bad")).current()
    frame.update(keep, metadata=True)
    app.run(count=count, timeout=60)
    watch.end(sum(total for total, _ in windows.values()), sum(bad for _, bad in windows.values()))


if __name__ == "__main__":
    main()
