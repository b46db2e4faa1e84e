"""`burnrate ack`, `resolve`, `silence`, `silences` and `unsilence`."""

import getpass
from typing import Any

import click

from app.commands.terminal import console, plain, say_json, table
from app.commands.worker import Document, worker
from app.web import phrases


def _me() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user may have no name
        return "operator"


by = click.option(
    "--by", default=_me, help="Who you are.  [default: the name you are logged in by]"
)
as_json = click.option("--json", "as_json", is_flag=True, help="For scripts: the API's own answer.")


def say(answer: Document, sentence: str, *, as_json: bool) -> None:
    """What the worker has taken: its answer, or a sentence for people."""
    if as_json:
        say_json(answer)
    else:
        console().print(plain(sentence))


@click.command(epilog="\b\nExample:\n  burnrate ack availability-20261013T140500Z")
@click.argument("key")
@by
@as_json
def ack(key: str, by: str, *, as_json: bool) -> None:
    """Take an incident: KEY as `burnrate incidents` shows it."""
    answer = worker().command("ack", key, by=by)
    held = answer.get("acknowledged")
    had = f"{key}: {held['by']} has it already, since {phrases.time(held['at'])}." if held else ""
    say(answer, had or f"{key}: taken by {by}.", as_json=as_json)


@click.command(
    epilog='\b\nExample:\n  burnrate resolve availability-20261013T140500Z --why "key renewed"'
)
@click.argument("key")
@click.option("--why", required=True, help="What was done; it goes into the history.")
@by
@as_json
def resolve(key: str, why: str, by: str, *, as_json: bool) -> None:
    """End an incident. It fires again only on bad events later than this."""
    answer = worker().command("resolve", key, by=by, why=why)
    say(answer, f"{key}: ended by {by}.", as_json=as_json)


@click.command(epilog='\b\nExample:\n  burnrate silence latency --for 2h --why "provider is slow"')
@click.argument("slo")
@click.option("--for", "lasts", required=True, metavar="2h", help="How long: 30m, 2h, 7d at most.")
@click.option("--why", required=True, help="Why nobody is to be told.")
@click.option("--severity", type=click.Choice(["P1", "P2"]), help="Only this.")
@click.option("--rule", help="Only this: breach, fast-burn or slow-burn.")
@by
@as_json
def silence(slo: str, lasts: str, as_json: bool, **order: Any) -> None:  # noqa: ANN401, FBT001
    """Hold back notices and pages of SLO (or "all"), escalation included; resolves are told.

    What still fires when the silence is over is told then.
    """
    given = {name: value for name, value in order.items() if value is not None}
    answer = worker().begin("silences", {"slo": slo, "for": lasts, **given})
    name = answer["silence"]
    say(
        answer,
        f"{name}: {slo} is silent for {lasts}. End it: burnrate unsilence {name}",
        as_json=as_json,
    )


@click.command()
@as_json
def silences(*, as_json: bool) -> None:
    """What is held back now, until when, who wanted it and why."""
    found = worker().listed("silences")
    if as_json:
        say_json({"silences": found})
    elif not found:
        click.echo("Nothing is silent.")
    else:
        made = table("Silence", "SLO", "Only", "Until", "By", "Why")
        for one in found:
            only = " ".join(filter(None, (one["severity"], one["rule"])))
            cells = (one["id"], one["slo"], only or phrases.NOT_KNOWN)
            rest = (phrases.time(one["endsAt"]), one["by"], one["why"])
            made.add_row(*map(plain, (*cells, *rest)))
        console().print(made)


@click.command()
@click.argument("id")
@by
@as_json
def unsilence(id: str, by: str, *, as_json: bool) -> None:  # noqa: A002 - what people call it
    """End a silence: ID as `burnrate silences` shows it."""
    answer = worker().end("silences", id, by=by)
    say(answer, f"{id}: ended by {by}.", as_json=as_json)
