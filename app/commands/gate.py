"""`burnrate gate`: whether something may be deployed."""

import click

from app.commands.terminal import console, plain, say_json
from app.commands.worker import Document, Refused, Unreachable, worker
from app.web import phrases
from app.web.views import CHANGES

MAY, FROZEN, UNKNOWN = 0, 3, 4
_UNAVAILABLE = 503


@click.command()
@click.option("--change", type=click.Choice(CHANGES), default="feature", show_default=True)
@click.option("--json", "as_json", is_flag=True, help="For scripts: the API's own answer.")
@click.pass_context
def gate(context: click.Context, change: str, *, as_json: bool) -> None:
    """Whether a change may be deployed: exit code 0 yes, 3 frozen, 4 nobody can tell."""
    try:
        found = worker().gate(change)
    except Unreachable as error:
        _unknown(context, error.message)
    except Refused as error:
        if error.status != _UNAVAILABLE:
            raise
        _unknown(context, error.message)
    if as_json:
        say_json(found)
    else:
        _say(found)
    context.exit(MAY if found["allowed"] else FROZEN)


def _unknown(context: click.Context, why: str) -> None:
    click.echo(f"unknown: {why}", err=True)
    context.exit(UNKNOWN)


def _say(found: Document) -> None:
    out = console()
    verdict = "may be deployed" if found["allowed"] else "must wait"
    out.print(plain(f"A {found['change']} {verdict}.", "good" if found["allowed"] else "bad"))
    if found["frozen"]:
        since = f" since {phrases.time(found['since'])}" if found["since"] else ""
        out.print(plain(f"Frozen{since}, hotfixes only: {', '.join(found['slos'])}."))
    for due in found["due"]:
        done = f", done {phrases.time(due['doneAt'])}" if due["doneAt"] else ""
        out.print(plain(f"Due: {due['what']}, {due['owner']}{done}"))
