"""`burnrate backtest`."""

from contextlib import AbstractContextManager
from pathlib import Path

import click
import msgspec

from app import config
from app.backtest import comparing, document, scoring, sweeping, telling
from app.backtest.chart import svg
from app.backtest.running import DAY_MS, Run, run, wanted_events
from app.backtest.sources import TAIL_S, Databases, Lines, databases, json_lines
from app.config import Policy
from app.core.labels import Label
from app.errors import UserError
from app.local import progress
from app.settings import Settings

_path = click.Path(path_type=Path)


@click.command("backtest")
@click.option("--data", type=_path, help="A folder with Kokino's metrics.db.")
@click.option("--events", type=_path, help="A file with an event, or an array of them, a line.")
@click.option("--config", "config_dir", type=_path, help="The policy (default BURNRATE_CONFIG).")
@click.option("--compare", "other_dir", type=_path, help="A second policy, to be set beside it.")
@click.option("--labels", type=_path, help="Labelled incidents (default incidents.json of --data).")
@click.option("--sweep", "expression", help=f"Try a setting's values: {sweeping.EXAMPLE}.")
@click.option("--svg", "svg_file", type=_path, help="The sweep's chart, into this file.")
@click.option("--json", "as_json", is_flag=True, help="Everything as JSON.")
def backtest(
    *,
    data: Path | None,
    events: Path | None,
    config_dir: Path | None,
    other_dir: Path | None,
    labels: Path | None,
    expression: str | None,
    svg_file: Path | None,
    as_json: bool,
) -> None:
    r"""Say what a policy would have told, whom and when, on data that is kept.

    \b
    Examples:
      burnrate backtest --data ~/kokino/data
      burnrate backtest --data DIR --compare other-config
      burnrate backtest --data DIR --sweep alerts.fast-burn.consumed=0.02..0.2 --svg chart.svg
    """
    if (data is None) == (events is None):
        raise UserError("give one of --data DIR and --events FILE", exit_code=2)
    if other_dir is not None and expression is not None:
        raise UserError("--compare and --sweep exclude each other", exit_code=2)
    if svg_file is not None and expression is None:
        raise UserError("--svg draws a sweep: give --sweep as well", exit_code=2)
    policy = config.load(config_dir or Settings.from_env().config_dir)
    known = _labels(data, labels)
    if expression is not None:
        axis = sweeping.axis_of(expression)
        result = _run(data, events, sweeping.policies(axis, policy))
        _show_sweep(sweeping.sweep_of(axis, result, known), svg_file, as_json=as_json)
    elif other_dir is not None:
        result = _run(data, events, [policy, config.load(other_dir)])
        _show_comparison(result, known, as_json=as_json)
    else:
        _show(_run(data, events, [policy]), known, as_json=as_json)


def _labels(data: Path | None, labels: Path | None) -> list[Label]:
    if labels is not None:
        return scoring.labels_of(labels)
    beside = data / scoring.LABELS if data is not None else None
    return scoring.labels_of(beside) if beside is not None and beside.exists() else []


def _source(
    data: Path | None, events: Path | None, wanted: frozenset[str]
) -> AbstractContextManager[Databases | Lines]:
    if data is not None:
        return databases(data, wanted)
    assert events is not None
    return json_lines(events, wanted)


def _run(data: Path | None, events: Path | None, policies: list[Policy]) -> Run:
    with _source(data, events, wanted_events(policies)) as source:
        days = max(1, (source.last_ms - source.first_ms + TAIL_S * 1000) // DAY_MS)
        with progress.steps("Days of data judged", days) as step:
            return run(source, policies, step)


def _show(result: Run, labels: list[Label], *, as_json: bool) -> None:
    told = result.outcomes[0]
    card = scoring.card(told, labels)
    if as_json:
        _print_json(document.of_run(result, told, card))
    else:
        telling.outcome(telling.Paper(), result, told, card)


def _show_comparison(result: Run, labels: list[Label], *, as_json: bool) -> None:
    told, other = result.outcomes
    cards = scoring.card(told, labels), scoring.card(other, labels)
    found = comparing.differences(told, other)
    if as_json:
        shown = document.of_run(result, told, cards[0])
        compared = document.of_outcome(other, cards[1])
        differs = document.of_differences(found)
        _print_json(shown | {"compared": compared, "differences": differs})
    else:
        telling.comparison(telling.Paper(), cards, found)


def _show_sweep(sweep: sweeping.Sweep, svg_file: Path | None, *, as_json: bool) -> None:
    if svg_file is not None:
        _write(svg_file, svg(sweep))
    if as_json:
        _print_json(document.of_sweep(sweep))
    else:
        telling.trade_off(telling.Paper(), sweep)


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise UserError(f"{path} cannot be written: {error.strerror}") from error


def _print_json(shown: document.Document) -> None:
    click.echo(msgspec.json.format(msgspec.json.encode(shown), indent=1))
