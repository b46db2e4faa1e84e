"""`burnrate test`."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import msgspec

from app.backtest.expectations import Fault, Fields, Verdict, verdicts
from app.commands.terminal import console, plain, say_json
from app.settings import Settings

FINDINGS = 1


@click.command("test")
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--config",
    "config_dir",
    type=click.Path(path_type=Path),
    help="The policy, for files that name none (default BURNRATE_CONFIG).",
)
@click.option("--json", "as_json", is_flag=True, help="Every test and its faults as JSON.")
@click.pass_context
def test(
    context: click.Context, files: tuple[Path, ...], *, config_dir: Path | None, as_json: bool
) -> None:
    """Run policy tests: given these events, at this time these incidents.

    Ends with 1 where something came otherwise, with 2 where a file cannot be run. How such a file
    is written: docs/policy-tests.md.
    """
    folder = config_dir or Settings.from_env().config_dir
    found: list[Verdict] = []
    for path in files:
        for verdict in verdicts(path, folder):
            found.append(verdict)
            if not as_json:
                _show(verdict)
    failed = [verdict for verdict in found if verdict.faults]
    if as_json:
        say_json([_document(verdict) for verdict in found])
    else:
        style = "bad" if failed else "good"
        console().print(plain(f"{len(found) - len(failed)} of {len(found)} tests hold", style))
    context.exit(FINDINGS if failed else 0)


def _show(verdict: Verdict) -> None:
    out = console()
    style = "bad" if verdict.faults else "good"
    out.print(plain("FAIL " if verdict.faults else "ok   ", style), end="")
    out.print(plain(verdict.name), soft_wrap=True)
    for fault in verdict.faults:
        where = f"{verdict.path}:{fault.line}"
        out.print(plain(f"     {where}: at {fault.at}, {fault.what}"), soft_wrap=True)
        for line, style in _lines(fault):
            out.print(plain(f"       {line}", style), soft_wrap=True)


def _lines(fault: Fault) -> Iterator[tuple[str, str]]:
    for fields in fault.missing:
        yield f"- {_written(fields)}", "bad"
    for fields in fault.unexpected:
        yield f"+ {_written(fields)}", "good"


def _written(fields: Fields) -> str:
    """As the file would have it."""
    parts = (f"{name}: {_value(value)}" for name, value in fields.items())
    return f"{{{', '.join(parts)}}}"


def _value(value: Any) -> str:  # noqa: ANN401 - any JSON
    if isinstance(value, list):
        return f"[{', '.join(map(str, value))}]"
    return str(value) if isinstance(value, str) else msgspec.json.encode(value).decode()


def _document(verdict: Verdict) -> dict[str, Any]:
    return {
        "file": str(verdict.path),
        "test": verdict.name,
        "holds": not verdict.faults,
        "faults": [
            {
                "line": fault.line,
                "at": fault.at,
                "what": fault.what,
                "missing": list(fault.missing),
                "unexpected": list(fault.unexpected),
            }
            for fault in verdict.faults
        ],
    }
