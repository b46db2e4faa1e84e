"""`burnrate gate`: whether something may be deployed, and what a freeze asks for."""

import click

from app.commands.operate import as_json, by, say
from app.commands.terminal import console, plain, say_json
from app.commands.worker import Document, Refused, Unreachable, worker
from app.web import phrases
from app.web.views import CHANGES

MAY, FROZEN, UNKNOWN = 0, 3, 4
_UNAVAILABLE = 503

_EPILOG = """\b
Examples:
  burnrate gate || exit 1                          in a deployment: 0 yes, 3 frozen, 4 not known
  burnrate gate --change hotfix                    hotfixes pass
  burnrate gate override --for 2h --why "…"        let deployments go on; the channels are told
  burnrate gate done "root cause analysis" --slo availability --link https://…
"""


@click.group(invoke_without_command=True, epilog=_EPILOG)
@click.option("--change", type=click.Choice(CHANGES), default="feature", show_default=True)
@click.option("--json", "as_json", is_flag=True, help="For scripts: the API's own answer.")
@click.pass_context
def gate(context: click.Context, change: str, *, as_json: bool) -> None:
    """Whether a change may be deployed: exit code 0 yes, 3 frozen, 4 nobody can tell."""
    if context.invoked_subcommand is not None:
        return
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
    if override := found["override"]:
        until = phrases.time(override["until"])
        out.print(plain(f"Overridden by {override['by']} until {until}: {override['why']}", "warn"))
    for due in found["due"]:
        done = f", done {phrases.time(due['doneAt'])}: {due['link']}" if due["doneAt"] else ""
        out.print(plain(f"Due from {due['slo']}: {due['what']}, {due['owner']}{done}"))


@gate.command()
@click.option("--for", "lasts", required=True, metavar="DURATION", help="As in 90m, 2h or 1d.")
@click.option("--why", required=True, help="Why deployments cannot wait; the channels are told.")
@click.option("--slo", default="", help="One objective's freeze.  [default: all that freeze]")
@by
@as_json
def override(lasts: str, why: str, slo: str, by: str, *, as_json: bool) -> None:
    """Let deployments go on for a while. It ends by itself."""
    given = {"for": lasts, "why": why, "by": by} | ({"slo": slo} if slo else {})
    taken = worker().order("POST", "/api/gate/override", given)
    names = ", ".join(taken["slos"])
    say(taken, f"{names}: the freeze is overridden for {lasts} by {by}.", as_json=as_json)


@gate.command()
@click.argument("what")
@click.option("--slo", required=True, help="Whose freeze asked for it.")
@click.option("--link", required=True, help="Where it lies.")
@by
@as_json
def done(what: str, slo: str, link: str, by: str, *, as_json: bool) -> None:
    """Tick off WHAT a freeze asks for, such as "root cause analysis"."""
    given = {"what": what, "slo": slo, "link": link, "by": by}
    taken = worker().order("POST", "/api/gate/due", given)
    say(taken, f"{slo}: {what} is done, says {by}.", as_json=as_json)
