"""`burnrate correct`: wrongly counted events are taken out of the counts, and back."""

import click

from app.commands.operate import as_json, by, say
from app.commands.terminal import console, plain, say_json, table
from app.commands.worker import worker
from app.errors import UserError
from app.web import phrases


@click.command()
@click.option("--slo", default="", help="Whose counts.")
@click.option("--from", "from", default="", metavar="TIME", help="From when, ISO 8601.")
@click.option("--to", "to", default="", metavar="TIME", help="Up to, not including.")
@click.option("--agent", default="", help="Only this agent's events.")
@click.option("--cli-type", default="", help="Only events of this CLI type.")
@click.option("--why", default="", help="Why they are not to count.")
@click.option("--revert", metavar="ID", help="Take a correction back.")
@by
@as_json
def correct(revert: str | None, as_json: bool, **given: str) -> None:  # noqa: FBT001
    """Take the events of an interval out of an SLO's counts; without options list what is out.

    They are recounted from the source topic, late ones as they come, and count for nothing from
    then on. A correction can be taken back at any time: --revert ID.
    """
    by = given.pop("by")
    if revert is not None:
        answer = worker().end("corrections", revert, by=by)
        say(answer, f"{revert}: taken back by {by}.", as_json=as_json)
    elif not any(given.values()):
        _list(as_json=as_json)
    else:
        _correct({"by": by, **given}, as_json=as_json)


def _correct(order: dict[str, str], *, as_json: bool) -> None:
    if missing := [f"--{name}" for name in ("slo", "from", "to", "why") if not order[name]]:
        raise UserError(f"{', '.join(missing)} must be given as well", exit_code=2)
    answer = worker().begin("corrections", order)
    name = answer["correction"]
    text = f"{name}: being recounted. Take it back: burnrate correct --revert {name}"
    say(answer, text, as_json=as_json)


def _list(*, as_json: bool) -> None:
    found = worker().listed("corrections")
    if as_json:
        say_json({"corrections": found})
    elif not found:
        click.echo("Everything counts.")
    else:
        made = table("Correction", "SLO", "From", "To", "Only", "State", "By", "Why")
        for one in found:
            only = " ".join(filter(None, (one["agent"], one["cliType"]))) or phrases.NOT_KNOWN
            state = "applied" if one["applied"] else "being recounted"
            times = (phrases.time(one["from"]), phrases.time(one["to"]))
            cells = (one["id"], one["slo"], *times, only, state, one["by"], one["why"])
            made.add_row(*map(plain, cells))
        console().print(made)
