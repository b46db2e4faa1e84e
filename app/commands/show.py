"""`burnrate status` and `burnrate incidents`."""

from contextlib import suppress

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from app.commands.terminal import bar, console, plain, say_json, spark, table
from app.commands.worker import Document, Refused, Worker, worker
from app.web import phrases
from app.web.views import STATES

_json = click.option("--json", "as_json", is_flag=True, help="For scripts: the API's own answer.")


SPARKS_SHOWN = 25  # each is a request
DAY_HOURS = 24
_COLUMNS = (
    "Objective",
    "State",
    "Now",
    "Target",
    "Budget left",
    "1 h",
    "6 h",
    "7 d",
    "Bad, 24 h",
    "Owner",
)
_STATUS_EPILOG = """\b
Examples:
  burnrate status
  burnrate status --json | jq '.slos[] | {id, burn}'
  watch --color burnrate status
"""
_INCIDENTS_EPILOG = """\b
Examples:
  burnrate incidents --state open
  burnrate incidents --json | jq -r '.incidents[].key'
"""


@click.command(epilog=_STATUS_EPILOG)
@_json
def status(*, as_json: bool) -> None:
    """SLOs, budgets, burn rates and open incidents."""
    asked = worker()
    document = asked.status()
    if as_json:
        say_json(document)
        return
    out = console()
    opened = _opened(asked)
    _say_standing(out, document)
    out.print()
    bad = _bad_by_hour(asked, document)
    out.print(_slos(document, {one["key"]: one for one in opened}, bad))
    if opened:
        out.print()
        out.print(_incidents(opened, document["asOf"]))


def _bad_by_hour(asked: Worker, document: Document) -> dict[str, list[int]]:
    """By SLO the bad events of each of the last 24 hours; of the first few SLOs only."""
    found: dict[str, list[int]] = {}
    for slo in document["slos"][:SPARKS_SHOWN]:
        with suppress(Refused):  # no history of it yet
            found[slo["id"]] = asked.history(slo["id"])["hours"]["bad"][-DAY_HOURS:]
    return found


def _opened(asked: Worker) -> list[Document]:
    return asked.incidents("open")


def _say_standing(out: Console, document: Document) -> None:
    if document["asOf"] is None:
        out.print(plain("Nothing is known yet.", "warn"))
    else:
        out.print(plain(f"As of {phrases.time(document['asOf'])}."))
    if document["asOf"] and not document["ready"]:
        out.print(plain("Not ready: what is shown may be incomplete.", "warn"))
    if document["blind"]:
        out.print(plain("Blind: events wait unread; incidents stay as they are.", "bad"))
    if frozen := [slo["title"] for slo in document["slos"] if slo["frozen"]]:
        text = f"Deployments are frozen, hotfixes only: {', '.join(frozen)}."
        out.print(plain(text, "bad"))


def _slos(document: Document, incidents: dict[str, Document], bad: dict[str, list[int]]) -> Table:
    made = table(*_COLUMNS)
    for slo in document["slos"]:
        state = phrases.state(slo, incidents)
        burns = [slo["burn"][name] for name in ("1h", "6h", "7d")]
        made.add_row(
            plain(slo["title"]),
            plain(state.text, state.tone),
            plain(phrases.headline(slo), "" if phrases.meets_target(slo) else "bad"),
            plain(phrases.target(slo)),
            _budget(slo),
            *[plain(phrases.burn(r), "bad" if phrases.burns_fast(r) else "") for r in burns],
            spark(bad.get(slo["id"], []), "warn"),
            plain(slo["owner"]),
        )
    return made


def _budget(slo: Document) -> Text:
    left, tone = phrases.budget_left(slo), phrases.budget_tone(slo)
    words = plain(phrases.budget_words(slo), tone if tone != "good" else "")
    if left is None:
        return words
    gone = phrases.forecast(slo)
    return bar(left, tone) + Text(" ") + words + plain(f", {gone}" if gone else "")


@click.command(epilog=_INCIDENTS_EPILOG)
@click.option("--state", type=click.Choice(list(STATES)), help="Only these.  [default: all]")
@_json
def incidents(state: str | None, *, as_json: bool) -> None:
    """Incidents, newest first."""
    asked = worker()
    found = asked.incidents(state)
    if as_json:
        say_json({"incidents": found})
    elif not found:
        click.echo(f"No incident{f' is {state}' if state else ''}.")
    else:
        console().print(_incidents(found, asked.status()["asOf"]))


def _incidents(found: list[Document], as_of: str | None) -> Table:
    made = table("Incident", "State", "Rules", "Opened", "Taken by", "Next")
    for one in found:
        taken = one["acknowledged"]["by"] if one["acknowledged"] else phrases.NOT_KNOWN
        made.add_row(
            plain(one["key"]),
            plain(f"{one['severity']} {one['state']}", _tone(one)),
            plain(", ".join(one["rules"]) or phrases.NOT_KNOWN),
            plain(phrases.time(one["openedAt"])),
            plain(taken),
            plain(_next(one, as_of)),
        )
    return made


def _tone(incident: Document) -> str:
    if incident["state"] == "resolved":
        return "quiet"
    return "bad" if incident["severity"] == "P1" else "warn"


def _next(incident: Document, as_of: str | None) -> str:
    if incident["state"] == "resolved":
        return f"resolved {phrases.time(incident['resolvedAt'])}"
    return phrases.next_step(incident, as_of) or "everybody on its path has been told"
