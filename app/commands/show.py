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
_COLUMNS = {  # and the width, in cells, from which on a terminal has room for it
    "Objective": 0,
    "State": 0,
    "Now": 0,
    "Target": 110,
    "Budget left": 0,
    "1 h": 0,
    "6 h": 0,
    "7 d": 0,
    "Bad, 24 h": 140,
    "Owner": 160,
}
_WHOLE = ("Objective", "State", "Now", "1 h", "6 h", "7 d", "Bad, 24 h", "Incident")
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
    out.print(_slos(document, {one["key"]: one for one in opened}, bad, out.width))
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
    for slo in document["slos"]:
        if full := phrases.full(slo):
            out.print(plain(f"{slo['title']}: {full}.", "warn"))


def _slos(
    document: Document, incidents: dict[str, Document], bad: dict[str, list[int]], width: int
) -> Table:
    shown = [name for name, needed in _COLUMNS.items() if width >= needed]
    made = table(*shown, whole=_WHOLE)
    for slo in document["slos"]:
        cells = _cells(slo, phrases.state(slo, incidents), bad.get(slo["id"], []))
        made.add_row(*[cells[name] for name in shown])
    return made


def _cells(slo: Document, state: phrases.State, bad: list[int]) -> dict[str, Text]:
    burns = {name: slo["burn"][name.replace(" ", "")] for name in ("1 h", "6 h", "7 d")}
    return {
        "Objective": plain(slo["title"]),
        "State": plain(state.text, state.tone),
        "Now": plain(phrases.headline(slo), "" if phrases.meets_target(slo) else "bad"),
        "Target": plain(phrases.target(slo)),
        "Budget left": _budget(slo),
        "Bad, 24 h": spark(bad, "warn"),
        "Owner": plain(slo["owner"]),
    } | {name: plain(phrases.burn(r), "bad" * phrases.burns_fast(r)) for name, r in burns.items()}


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
    made = table("Incident", "State", "Rules", "Opened", "Taken by", "Next", whole=_WHOLE)
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
