"""`burnrate export` and `burnrate import`."""

from pathlib import Path

import click

from app import config
from app.exchange import losses, prometheus
from app.exchange.losses import Loss
from app.settings import Settings

_path = click.Path(path_type=Path)
_config = click.option(
    "--config", "config_dir", type=_path, help="The policy (default BURNRATE_CONFIG)."
)
_out = click.option("--out", type=_path, help="Write into this file instead of to the terminal.")
_report = click.option(
    "--report", type=_path, help="What could not be said, as JSON into this file."
)


@click.group("export")
def export() -> None:
    """Give the policy in the form of others; what they cannot say is told on stderr."""


@export.command("prometheus")
@_config
@_out
@_report
def export_prometheus(config_dir: Path | None, out: Path | None, report: Path | None) -> None:
    """Recording and alerting rules over this program's own metrics, in Sloth's manner."""
    text, lost = prometheus.rules_of(config.load(config_dir or Settings.from_env().config_dir))
    _give(text, lost, out, report)


def _give(text: str, lost: list[Loss], out: Path | None, report: Path | None) -> None:
    if out is None:
        click.echo(text, nl=False)
    else:
        losses.write(out, text)
    losses.tell(lost, report)
