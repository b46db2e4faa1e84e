"""`burnrate maintenance`: the windows that nobody is told of, and that may not count either."""

from typing import Any

import click

from app.commands.operate import as_json, by, say
from app.commands.terminal import console, plain, say_json, table
from app.commands.worker import worker
from app.web import phrases


@click.group(invoke_without_command=True)
@as_json
@click.pass_context
def maintenance(context: click.Context, *, as_json: bool) -> None:
    """List the maintenance windows; `add` and `remove` change those made by hand.

    Windows without an end belong into maintenance.yaml.
    """
    if context.invoked_subcommand is not None:
        return
    found = worker().listed("maintenance")
    if as_json:
        say_json({"maintenance": found})
    elif not found:
        click.echo("There is no maintenance window.")
    else:
        made = table("Window", "SLO", "Now or next", "Until", "Repeats", "Counts", "By", "Why")
        for one in found:
            times = (phrases.time(one["nextBeginsAt"]), phrases.time(one["nextEndsAt"]))
            how = (one["repeats"] or "once", "no" if one["excludeFromBudget"] else "yes")
            cells = (one["id"], one["slo"], *times, *how, one["by"], one["why"])
            made.add_row(*map(plain, cells))
        console().print(made)


@maintenance.command()
@click.argument("slo")
@click.option("--from", "begins", required=True, metavar="2026-11-28T22:00", help="On its clock.")
@click.option("--for", "lasts", required=True, metavar="2h", help="How long: 7d at most.")
@click.option("--zone", default="UTC", show_default=True, help="Whose clock: Europe/Berlin.")
@click.option("--repeats", default="", metavar="RRULE", help="Like FREQ=WEEKLY;COUNT=4.")
@click.option("--exclude-from-budget", is_flag=True, help="What happens in it does not count.")
@click.option("--why", required=True, help="What is done then.")
@by
@as_json
def add(slo: str, lasts: str, as_json: bool, **order: Any) -> None:  # noqa: ANN401, FBT001
    """Make a window for SLO (or "all")."""
    answer = worker().begin("maintenance", {"slo": slo, "for": lasts, **order})
    name = answer["maintenance"]
    say(answer, f"{name}: made. Unmake it: burnrate maintenance remove {name}", as_json=as_json)


@maintenance.command()
@click.argument("id")
@by
@as_json
def remove(id: str, by: str, *, as_json: bool) -> None:  # noqa: A002 - what people call it
    """Unmake a window that was made by hand."""
    answer = worker().end("maintenance", id, by=by)
    say(answer, f"{id}: unmade by {by}.", as_json=as_json)
