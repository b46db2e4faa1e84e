"""`burnrate bridge`."""

import asyncio
import logging
from pathlib import Path

import click

from app.bridge.bridge import Sent, run_bridge
from app.bridge.source import Backlog
from app.settings import Settings


@click.command("bridge")
@click.option(
    "--data",
    "data_dir",
    type=click.Path(path_type=Path),
    required=True,
    help="Kokino's data folder, with metrics.db and, where there is one, kokino.db.",
)
@click.option("--once", is_flag=True, help="Stop at the end of the data.")
@click.option(
    "--name",
    help="The cursor's key in Kafka; without it, one made from the database's path. "
    "Give one where the folder may move.",
)
def bridge(data_dir: Path, *, once: bool, name: str | None) -> None:
    """Send Kokino's SQLite rows to the topic kokino.events, each exactly once.

    Ends with 5 where another bridge has taken over the same database.
    """
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # it repeats what is said here once
    settings = Settings.from_env()
    sent = asyncio.run(
        run_bridge(
            settings,
            data_dir,
            once=once,
            clock=settings.clock(),
            name=name,
            on_progress=_Progress(),
        )
    )
    click.echo(f"done: {_events(sent)}")


class _Progress:
    """A line for each step of a backfill; nothing while there is no backlog."""

    def __init__(self) -> None:
        self._behind = True

    def __call__(self, sent: Sent, backlog: Backlog) -> None:
        if backlog.rows:
            click.echo(f"{_events(sent)}, {backlog.rows} rows to go")
        elif self._behind:
            click.echo(f"caught up: {_events(sent)}")
        self._behind = bool(backlog.rows)


def _events(sent: Sent) -> str:
    return f"{sent.total()} events sent, {sent.skipped.total()} rows that no SLI needs left out"
