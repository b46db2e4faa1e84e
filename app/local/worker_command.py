"""`burnrate worker`: one worker, for production."""

import asyncio

import click
import msgspec

from app.errors import UserError
from app.settings import Settings


@click.command()
@click.option(
    "--only",
    type=click.Choice(["intake", "count", "deliver"]),
    help="Run this part alone; others run in other processes.",
)
@click.option("--port", type=click.IntRange(1, 65535), help="Of the web page and API.")
@click.option("--host", help="Address to listen on (default 127.0.0.1).")
@click.option("--supervised", is_flag=True, help="Start it again when it stalls or asks for it.")
def worker(only: str | None, port: int | None, host: str | None, *, supervised: bool) -> None:
    """Count, judge and deliver, until Ctrl-C or SIGTERM.

    Kafka is named by BURNRATE_KAFKA.

    \b
    Examples:
      BURNRATE_KAFKA=kafka:9092 burnrate worker
      burnrate worker --only intake --port 5051
    """  # noqa: D301 - \b is click's
    settings = Settings.from_env()
    if not settings.kafka:
        raise UserError(
            "no Kafka is named: set BURNRATE_KAFKA=host:port, or start one with "
            "`burnrate kafka start`, or use `burnrate up`, which does both",
            exit_code=2,
        )
    chosen = {name: value for name, value in (("port", port), ("host", host)) if value}
    settings = msgspec.structs.replace(settings, **chosen)
    if supervised:
        from app.local.supervisor import supervise_worker  # noqa: PLC0415

        raise SystemExit(asyncio.run(supervise_worker(settings, only)))
    from app.worker import PARTS, named, run  # noqa: PLC0415  (imports Faust)

    parts = tuple(part for part in PARTS if only in (None, part))
    asyncio.run(run(named(settings), parts))
