"""A backtest for people: a time line and tables, coloured on a terminal, plain in a pipe."""

import sys
from collections.abc import Iterator, Sequence
from itertools import groupby

from app.backtest.comparing import Difference
from app.backtest.running import Outcome, Run
from app.backtest.scoring import Card
from app.backtest.sweeping import Sweep
from app.core.events import parse_timestamp
from app.core.notices import Notice
from app.core.status import iso

STRIP = 60
"""Characters that the whole time is drawn with."""

NONE = "-"

Row = Sequence[str]

_STYLES = {"P1": "bold red", "trigger": "bold", "resolve": "green", "unfreeze": "green"}


class Paper:
    """Where it is written: rich on a terminal, aligned columns elsewhere."""

    def __init__(self) -> None:
        self._is_terminal = sys.stdout.isatty()

    def line(self, text: str = "") -> None:
        """One line."""
        print(text)

    def table(self, title: str, head: Row, rows: Sequence[Row]) -> None:
        """A table; where it has no rows, nothing but its title and that there are none."""
        if not rows:
            self.line(f"{title}: none")
        elif self._is_terminal:
            _rich_table(title, head, rows)
        else:
            self.line(f"{title}:")
            widths = [max(len(row[column]) for row in (head, *rows)) for column in range(len(head))]
            for row in (head, *rows):
                cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
                self.line(f"  {'  '.join(cells).rstrip()}")
        self.line()


def _rich_table(title: str, head: Row, rows: Sequence[Row]) -> None:
    from rich.console import Console  # noqa: PLC0415  (slow to import)
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    table = Table(title=title, title_justify="left", header_style="bold")
    for name in head:
        table.add_column(name, overflow="fold")
    for row in rows:
        table.add_row(*(Text(cell, style=_STYLES.get(cell, "")) for cell in row))
    Console().print(table)


def outcome(paper: Paper, run: Run, told: Outcome, scores: Card) -> None:
    """Everything of one policy."""
    for line in _read_lines(run):
        paper.line(line)
    paper.line()
    for line in timeline(told):
        paper.line(line)
    paper.line()
    head = ("when, UTC", "what", "severity", "incident", "to", "why")
    paper.table("What would have been told", head, list(_told_rows(told.notices)))
    _scores(paper, scores)


def _read_lines(run: Run) -> Iterator[str]:
    seen, first = run.readings.seen, run.outcomes[0]
    left = {"of other names": seen.ignored, "too late": seen.late, "unreadable": seen.rejected}
    others = "".join(f", {number} {name}" for name, number in left.items() if number)
    span = f"{moment(first.begin_ms)} to {moment(first.end_ms)}"
    yield f"{run.name}: {span}, {seen.counted} events{others}"
    for fault in run.readings.faults:
        yield f"  unreadable: {fault}"
    if seen.rejected > len(run.readings.faults):
        yield f"  and {seen.rejected - len(run.readings.faults)} more"


def moment(ms: int) -> str:
    """A time as people read it."""
    return (iso(ms) or "")[:19].replace("T", " ")


def timeline(told: Outcome) -> Iterator[str]:
    """A strip for each SLO: # P1, = P2, f frozen, . quiet."""
    strips: dict[str, list[str]] = {}
    for begin, end, slo, mark in sorted(_spans(told), key=lambda span: "f=#".index(span[3])):
        strip = strips.setdefault(slo, ["."] * STRIP)
        for place in range(_place(told, begin), _place(told, end) + 1):
            strip[place] = mark
    width = max(map(len, strips), default=0)
    yield f"{moment(told.begin_ms)} to {moment(told.end_ms)} (# P1 open, = P2 open, f frozen)"
    for slo in sorted(strips):
        yield f"  {slo.ljust(width)}  {''.join(strips[slo])}"


def _spans(told: Outcome) -> Iterator[tuple[int, int, str, str]]:
    for incident in told.incidents:
        end = incident["resolvedAt"]
        until = parse_timestamp(end) if end else told.end_ms
        mark = "#" if incident["severity"] == "P1" else "="
        yield parse_timestamp(incident["openedAt"]), until, incident["slo"], mark
    frozen: dict[str, int] = {}
    for notice in told.notices:
        if notice.kind == "freeze":
            frozen[notice.slo] = notice.at
        elif notice.kind == "unfreeze":
            yield frozen.pop(notice.slo), notice.at, notice.slo, "f"
    for slo, since in frozen.items():
        yield since, told.end_ms, slo, "f"


def _place(told: Outcome, at: int) -> int:
    whole = max(1, told.end_ms - told.begin_ms)
    return min(STRIP - 1, max(0, (at - told.begin_ms) * STRIP // whole))


def _told_rows(notices: Sequence[Notice]) -> Iterator[Row]:
    """One row for each thing told, whoever is told."""
    for _, same in groupby(notices, key=lambda n: (n.at, n.kind, n.incident, n.story.reason)):
        told = list(same)
        first = told[0]
        yield (
            moment(first.at),
            first.kind,
            first.severity,
            first.incident,
            ", ".join(_whom(notice) for notice in told),
            first.story.reason,
        )


def _whom(notice: Notice) -> str:
    """Who hears of it, as "page @backend-team" or "#headless-alerts"."""
    name = notice.destination.partition(":")[2]
    if notice.page:
        return f"page {name}"
    if notice.destination.startswith("pagerduty:"):
        return f"pager {name}"
    named = ", ".join(notice.mentions)
    return f"{name} ({named})" if named else name


def _scores(paper: Paper, scores: Card) -> None:
    rows = [(name, text) for name, text, *_ in _figures(scores, scores)]
    paper.table("Scores", ("figure", "value"), rows)
    labels = [
        (
            one.label.slo,
            one.label.what,
            _duration(one.detected_s),
            _duration(one.reset_s),
            one.incident or "MISSED",
        )
        for one in scores.found
    ]
    if labels:
        head = ("SLO", "labelled incident", "detected after", "over after its end", "by")
        paper.table("Labelled incidents", head, labels)
    if scores.result.other_pages:
        paper.table(
            "Pages outside every labelled incident",
            ("incident",),
            [(k,) for k in scores.result.other_pages],
        )


def _figures(*cards: Card) -> Iterator[Row]:
    """The same figure of every card, a row each."""
    yield ("incidents", *(str(c.incidents) for c in cards))
    yield ("notices", *(str(c.notices) for c in cards))
    yield ("pages to owners", *(str(c.pages) for c in cards))
    yield ("pages escalated", *(str(c.escalations) for c in cards))
    yield ("pages to owners a week", *(f"{c.pages_a_week:.2f}" for c in cards))
    for rule in sorted({rule for c in cards for rule in c.by_rule}):
        yield (f"… by {rule}", *(f"{c.by_rule.get(rule, 0.0):.2f}" for c in cards))
    if any(c.found for c in cards):
        yield ("recall", *(_ratio(c.result.recall) for c in cards))
        yield ("precision of pages", *(_ratio(c.result.precision) for c in cards))
        yield ("time to detect, median", *(_duration(c.detected_s) for c in cards))
        yield ("time to reset, median", *(_duration(c.reset_s) for c in cards))


def _ratio(value: float | None) -> str:
    return NONE if value is None else f"{value:.3f}"


def _duration(seconds: float | None) -> str:
    if seconds is None:
        return NONE
    hours, rest = divmod(round(seconds), 3600)
    minutes, left = divmod(rest, 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min {left:02d} s"


def comparison(paper: Paper, cards: tuple[Card, Card], found: Sequence[Difference]) -> None:
    """Two policies side by side, and what differs."""
    paper.table("Side by side", ("figure", "this policy", "compared"), list(_figures(*cards)))
    rows = [
        (
            moment(parse_timestamp(one.at)),
            one.slo,
            one.what,
            one.before or NONE,
            one.after or NONE,
            "; ".join(one.details),
        )
        for one in found
    ]
    head = ("when, UTC", "SLO", "what", "this policy", "compared", "how")
    paper.table("What differs", head, rows)


def trade_off(paper: Paper, sweep: Sweep) -> None:
    """A row for each value of the sweep."""
    rows = [
        (
            one.text,
            str(one.card.incidents),
            str(one.card.pages),
            f"{one.card.pages_a_week:.2f}",
            str(one.card.notices),
            _ratio(one.card.result.recall),
            _ratio(one.card.result.precision),
            _duration(one.card.detected_s),
            _duration(one.card.reset_s),
        )
        for one in sweep.tried
    ]
    head = (
        "value",
        "incidents",
        "pages",
        "pages/week",
        "notices",
        "recall",
        "precision",
        "detect",
        "reset",
    )
    paper.table(f"The trade-off of {sweep.axis.name}", head, rows)
