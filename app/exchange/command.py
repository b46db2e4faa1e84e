"""`burnrate export` and `burnrate import`."""

import tempfile
from pathlib import Path

import click

from app import config
from app.config import ConfigError
from app.errors import UserError
from app.exchange import losses, openslo_export, openslo_import, prometheus
from app.exchange.losses import Loss
from app.exchange.writing import write, yaml_of
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
        write(out, text)
    losses.tell(lost, report)


@export.command("openslo")
@_config
@_out
@_report
def export_openslo(config_dir: Path | None, out: Path | None, report: Path | None) -> None:
    """OpenSLO v1 objects; what they have no word for rides in annotations of this program."""
    folder = config_dir or Settings.from_env().config_dir
    _give(*openslo_export.documents_of(folder), out, report)


@click.group("import")
def import_() -> None:
    """Take over a policy from the form of others; what cannot be said here is told on stderr."""


@import_.command("openslo")
@click.argument("file", type=_path)
@click.option("--into", type=_path, help="Write slos.yaml and ownership.yaml into this folder.")
@_report
def import_openslo(file: Path, into: Path | None, report: Path | None) -> None:
    """Objectives, alert policies, conditions and targets of an OpenSLO v1 file.

    Without --into both files are printed, one after the other. Files that are there stay.
    """
    found = openslo_import.imported(file)
    texts = {"slos.yaml": yaml_of(found.slos), "ownership.yaml": yaml_of(found.ownership)}
    _check(file, texts)
    if into is None:
        click.echo("".join(f"# {name}\n---\n{text}" for name, text in texts.items()), nl=False)
    else:
        _settle(into, texts)
    losses.tell(found.losses, report)


def _check(file: Path, texts: dict[str, str]) -> None:
    """Whether what was made of it is sound; raises UserError where a value of it is not."""
    with tempfile.TemporaryDirectory() as folder:
        for name, text in texts.items():
            write(Path(folder) / name, text)
        try:
            config.load(Path(folder))
        except ConfigError as error:
            faults = "\n".join(error.errors).replace(folder, f"{file}, as")
            raise UserError(faults) from error


def _settle(into: Path, texts: dict[str, str]) -> None:
    for name in texts:
        if (into / name).exists():
            raise UserError(f"{into / name} is there already: give another folder")
    try:
        into.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"{into} cannot be made: {error.strerror}") from error
    for name, text in texts.items():
        write(into / name, text)
