"""How things look in a terminal, and in a pipe: there without colours, and wide."""

import os
import sys
from collections.abc import Sequence
from typing import Any

import click
import msgspec
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

PIPE_WIDTH = 200
BAR_CELLS = 10
SPARKS = "▁▂▃▄▅▆▇█"

STYLES = {"good": "green", "warn": "yellow", "bad": "bold red", "quiet": "dim"}


def console() -> Console:
    """Standard output; colours only in a terminal, and none with NO_COLOR."""
    wide = not sys.stdout.isatty() and "COLUMNS" not in os.environ
    return Console(width=PIPE_WIDTH if wide else None, highlight=False)


def plain(value: object, style: str = "") -> Text:
    """Text as it is: no markup, and nothing in it that steers a terminal."""
    text = "".join(c if c.isprintable() else "·" for c in str(value))
    return Text(text, style=STYLES.get(style, style))


def table(*columns: str, whole: Sequence[str] = ()) -> Table:
    """A table with these columns; those that are `whole` are not broken into lines."""
    made = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, header_style="bold")
    for column in columns:
        kept = column in whole
        made.add_column(column, overflow="ellipsis" if kept else "fold", no_wrap=kept)
    return made


def bar(share: float, style: str) -> Text:
    """A share between 0 and 1, drawn; any rest at all is to be seen."""
    share = min(1.0, max(0.0, share))
    full = max(round(share * BAR_CELLS), 1 if share > 0 else 0)
    return Text("█" * full, style=STYLES[style]) + Text("░" * (BAR_CELLS - full), style="dim")


def spark(values: Sequence[float], style: str = "") -> Text:
    """Values as a line of bars, the highest of them full; nothing at all is a dot."""
    most = max(values, default=0)
    cells = [SPARKS[_height(value, most)] if value > 0 else "·" for value in values]
    return Text("".join(cells), style=STYLES.get(style, style) if most else "dim")


def _height(value: float, most: float) -> int:
    return min(len(SPARKS) - 1, int(value / most * len(SPARKS)))


def say_json(document: Any) -> None:  # noqa: ANN401 - any JSON
    """A document for scripts."""
    click.echo(msgspec.json.format(msgspec.json.encode(document)).decode())
