"""`burnrate report`: the month report, for a terminal, for documents and for spreadsheets."""

import click

from app.commands.terminal import console, plain, say_json, table
from app.commands.worker import Document, worker
from app.web import reports

_EPILOG = """\b
Examples:
  burnrate report                          every month that is known
  burnrate report --month 2026-10          one month, with every objective
  burnrate report --format md >> docs/SLO-HISTORY.md
"""


@click.command(epilog=_EPILOG)
@click.option("--month", metavar="YYYY-MM", help="One month.  [default: every month]")
@click.option(
    "--format",
    "written",
    type=click.Choice(reports.FORMATS),
    help="For documents (md), scripts (json) or spreadsheets (csv).  [default: a table]",
)
@click.option("--json", "as_json", is_flag=True, help="The same as --format json.")
def report(month: str | None, written: str | None, *, as_json: bool) -> None:
    """Availability, latency and budget consumed, month by month; a running month is marked."""
    found = worker().report(month)
    documents: list[Document] = [found] if month else found["months"]
    if as_json or written == "json":
        say_json(found)
    elif written == "csv":
        click.echo(reports.as_csv(documents), nl=False)
    elif written == "md":
        click.echo(reports.markdown(documents), nl=False)
    elif not documents:
        click.echo("No month is known yet.")
    else:
        _say(documents)


def _say(documents: list[Document]) -> None:
    out = console()
    made = table(*reports.COLUMNS)
    for document in documents:
        made.add_row(*[plain(cell) for cell in reports.row(document)])
    out.print(made)
    if len(documents) == 1:
        out.print()
        every = table(*reports.SLO_COLUMNS)
        for slo in documents[0]["slos"]:
            every.add_row(*[plain(cell) for cell in reports.slo_row(slo)])
        out.print(every)
