"""`burnrate ack` and `burnrate resolve`."""

import getpass

import click

from app.commands.terminal import console, plain
from app.commands.worker import worker


def _me() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user may have no name
        return "operator"


_by = click.option(
    "--by", default=_me, help="Who you are.  [default: the name you are logged in by]"
)


@click.command()
@click.argument("key")
@_by
def ack(key: str, by: str) -> None:
    """Take an incident: KEY as `burnrate incidents` shows it."""
    worker().command("ack", key, by=by)
    console().print(plain(f"{key}: taken by {by}."))


@click.command()
@click.argument("key")
@click.option("--why", required=True, help="What was done; it goes into the history.")
@_by
def resolve(key: str, why: str, by: str) -> None:
    """End an incident. It fires again only on bad events later than this."""
    worker().command("resolve", key, by=by, why=why)
    console().print(plain(f"{key}: ended by {by}."))
