"""`burnrate kafka …`: the local Kafka alone."""

import click

from app.local import kafka as local
from app.local.progress import say
from app.settings import Settings


@click.group()
def kafka() -> None:
    """Start, stop and look at the local Kafka, one for each BURNRATE_DATA."""


@kafka.command()
def start() -> None:
    """Start Kafka and leave it running; the last line is its address, 127.0.0.1:PORT."""
    data_dir = Settings.from_env().data_dir
    broker = local.start(data_dir, attached=False)
    say(f"Kafka {'runs already' if broker.reused else 'started'}: process {broker.pid}, {data_dir}")
    click.echo(broker.bootstrap)


@kafka.command()
def stop() -> None:
    """Stop Kafka; what it holds is kept."""
    data_dir = Settings.from_env().data_dir
    say("Kafka stopped." if local.stop(data_dir) else f"No Kafka runs for {data_dir}.")


@kafka.command()
@click.pass_context
def status(context: click.Context) -> None:
    """Tell whether Kafka runs: exit code 0 and its address, else 1."""
    found = local.status(Settings.from_env().data_dir)
    click.echo(f"{found.state} {found.bootstrap}".rstrip())
    if found.message:
        say(found.message)
    context.exit(0 if found.state == "running" else 1)
