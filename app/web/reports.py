"""The month report: the seed's table, for every SLO, as a document, Markdown and CSV. Pure."""

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from itertools import chain

from app.core import months
from app.core.history import Month, Told
from app.core.slos import Slo
from app.core.status import iso
from app.web import phrases
from app.web.views import Document

FORMATS = ("md", "json", "csv")

RUNNING = "running"
"""What marks a month that is not over."""

COLUMNS = ("Month", "Availability", "Latency P95", "Budget Consumed")  # the seed's
SLO_COLUMNS = ("Objective", "Events", "Bad", "Result", "Promise", "Budget consumed")


Histories = Mapping[str, Mapping[str, Told]]
"""By SLO, what is known of its past."""


def known_months(history: Histories, order: Iterable[str]) -> list[str]:
    """The months that have figures of any configured SLO, newest first."""
    every = chain.from_iterable(history.get(slo, {}).values() for slo in order)
    return sorted({told.month for told in every if isinstance(told, Month)}, reverse=True)


def report(history: Histories, slos: Mapping[str, Slo], month: str, now_ms: int) -> Document | None:
    """One month of every SLO; None where nothing is known of it. Raises ValueError for no month."""
    span = months.span_of(month)
    every = {slo: history.get(slo, {}).get(month) for slo in slos}
    found = {slo: told for slo, told in every.items() if isinstance(told, Month)}
    if not found:
        return None
    availability, latency = found.get("availability"), found.get("latency")
    return {
        "month": month,
        "begin": iso(span.begin * 1000),
        "end": iso(span.end * 1000),
        "running": now_ms < span.end * 1000,
        "asOf": iso(max(figures.as_of for figures in found.values())),
        "availability": availability.value if availability else None,
        "latencyP95_ms": latency.quantiles["p95"] if latency and latency.quantiles else None,
        "budgetConsumed": {slo: figures.consumed for slo, figures in found.items()},
        "slos": [_of_slo(slos[slo], figures) for slo, figures in found.items()],
    }


def _of_slo(slo: Slo, figures: Month) -> Document:
    return {
        "id": slo.id,
        "title": slo.title,
        "kind": slo.headline.kind,
        "unit": slo.headline.unit,
        "objective": figures.objective,
        "total": figures.total,
        "bad": figures.bad,
        "value": figures.value,
        "quantiles": figures.quantiles,
        "allowed": figures.allowed,
        "consumed": figures.consumed,
        "firstAt": iso(figures.first),
    }


def reports(history: Histories, slos: Mapping[str, Slo], now_ms: int) -> list[Document]:
    """Every month that is known, newest first."""
    every = (report(history, slos, month, now_ms) for month in known_months(history, slos))
    return [found for found in every if found is not None]


def month_words(month: str) -> str:
    """A month as the seed writes it: 2026-10 → "Oct 2026"."""
    begin = datetime.fromtimestamp(months.span_of(month).begin, UTC)
    return f"{begin:%b %Y}"


def row(document: Document) -> tuple[str, str, str, str]:
    """A month as a line of the seed's table."""
    mark = f" ({RUNNING})" if document["running"] else ""
    spent = [f"{slo} {percent(share)}" for slo, share in document["budgetConsumed"].items()]
    return (
        month_words(document["month"]) + mark,
        phrases.amount(document["availability"], "ratio"),
        phrases.amount(document["latencyP95_ms"], "ms"),
        ", ".join(spent) or phrases.NOT_KNOWN,
    )


def percent(share: float | None) -> str:
    """A share of the budget, which may be more than all of it."""
    return phrases.amount(share, "ratio")


def slo_row(slo: Document) -> tuple[str, str, str, str, str, str]:
    """One SLO's month as a line of its own table."""
    return (
        slo["title"],
        f"{slo['total']:,}",
        f"{slo['bad']:,}",
        phrases.amount(slo["value"], slo["unit"]),
        f"{phrases.limit(slo['objective'], 'ratio')} good",
        percent(slo["consumed"]),
    )


def markdown(documents: Sequence[Document]) -> str:
    """The seed's table, one line a month; a single month with every SLO below it."""
    lines = _table(COLUMNS, [row(document) for document in documents])
    if len(documents) == 1:
        (one,) = documents
        lines += ["", *_table(SLO_COLUMNS, [slo_row(slo) for slo in one["slos"]])]
        if one["running"]:
            lines += ["", f"{month_words(one['month'])} is still running: figures up to now."]
    return "\n".join(lines) + "\n"


def _table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    bar = "|".join("---" for _ in columns)
    return [_line(columns), f"|{bar}|", *map(_line, rows)]


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


_CSV = ("month", "running", "slo", "total", "bad", "value", "unit", "objective", "consumed", "p95")


def as_csv(documents: Iterable[Document]) -> str:
    """One line for each month and SLO, figures as they are."""
    written = io.StringIO()
    out = csv.writer(written, lineterminator="\n")
    out.writerow(_CSV)
    for document in documents:
        for slo in document["slos"]:
            p95 = slo["quantiles"]["p95"] if slo["quantiles"] else None
            figures = [slo[name] for name in ("total", "bad", "value", "unit", "objective")]
            running = str(document["running"]).lower()
            out.writerow([document["month"], running, slo["id"], *figures, slo["consumed"], p95])
    return written.getvalue()
