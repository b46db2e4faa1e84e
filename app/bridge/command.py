"""`burnrate bridge`."""

import asyncio
import logging
import signal
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
    for talkative in ("aiokafka", "asyncio"):  # each retry, each failure: said here once
        logging.getLogger(talkative).setLevel(logging.CRITICAL)
    settings = Settings.from_env()
    sent = asyncio.run(_until_stopped(settings, data_dir, once=once, name=name))
    click.echo(f"done: {_events(sent)}" if sent is not None else "stopped")


async def _until_stopped(
    settings: Settings, data_dir: Path, *, once: bool, name: str | None
) -> Sent | None:
    """Run the bridge; None where a signal ended it, in order: no transaction is left open."""
    running = asyncio.ensure_future(
        run_bridge(
            settings,
            data_dir,
            once=once,
            clock=settings.clock(),
            name=name,
            on_progress=_Progress(),
        )
    )
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, running.cancel)
    try:
        return await running
    except asyncio.CancelledError:
        return None


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
