"""`burnrate backtest`."""

from contextlib import AbstractContextManager
from pathlib import Path
from typing import NamedTuple

import click
import msgspec

from app import config
from app.backtest import comparing, document, scoring, sweeping, telling
from app.backtest.chart import svg
from app.backtest.grouping import grouped
from app.backtest.running import DAY_MS, Run, run, wanted_events
from app.backtest.sources import TAIL_S, Source, databases, json_lines, kinds_for
from app.backtest.topics import Range, topic_records
from app.config import Policy
from app.core.events import Refused, parse_timestamp
from app.core.labels import Label
from app.errors import UserError
from app.local import progress
from app.local.connection import connected
from app.settings import Settings

_path = click.Path(path_type=Path)


@click.command("backtest")
@click.option("--data", type=_path, help="A folder with Kokino's metrics.db.")
@click.option("--events", type=_path, help="A file with an event, or an array of them, a line.")
@click.option("--topic", help="A topic of BURNRATE_KAFKA's, such as kokino.events.")
@click.option("--from", "from_", help="With --topic: from this Kafka time on, ISO 8601.")
@click.option("--to", help="With --topic: up to this Kafka time, that left out.")
@click.option("--config", "config_dir", type=_path, help="The policy (default BURNRATE_CONFIG).")
@click.option("--compare", "other_dir", type=_path, help="A second policy, to be set beside it.")
@click.option("--labels", type=_path, help="Labelled incidents (default incidents.json of --data).")
@click.option("--sweep", "expression", help=f"Try a setting's values: {sweeping.EXAMPLE}.")
@click.option("--svg", "svg_file", type=_path, help="The sweep's chart, into this file.")
@click.option("--json", "as_json", is_flag=True, help="Everything as JSON.")
def backtest(  # noqa: PLR0913 - its options
    *,
    data: Path | None,
    events: Path | None,
    topic: str | None,
    from_: str | None,
    to: str | None,
    config_dir: Path | None,
    other_dir: Path | None,
    labels: Path | None,
    expression: str | None,
    svg_file: Path | None,
    as_json: bool,
) -> None:
    """Say what a policy would have told, whom and when, on data that is kept.

    Time is the data's own: each event is judged when it happened, whenever it came.

    \b
    Examples:
      burnrate backtest --data ~/kokino/data
      burnrate backtest --topic kokino.events --from 2026-10-01
      burnrate backtest --data DIR --compare other-config
      burnrate backtest --data DIR --sweep alerts.fast-burn.consumed=0.02..0.2 --svg chart.svg
    """  # noqa: D301 - \b is click's
    if [data, events, topic].count(None) != 2:
        raise UserError("give one of --data DIR, --events FILE and --topic NAME", exit_code=2)
    if topic is None and (from_, to) != (None, None):
        raise UserError("--from and --to choose a range of a --topic", exit_code=2)
    if other_dir is not None and expression is not None:
        raise UserError("--compare and --sweep exclude each other", exit_code=2)
    if svg_file is not None and expression is None:
        raise UserError("--svg draws a sweep: give --sweep as well", exit_code=2)
    span = Range(topic, _time("--from", from_), _time("--to", to)) if topic else None
    source = _Source(data, events, span)
    policy = config.load(config_dir or Settings.from_env().config_dir)
    known = _labels(data, labels)
    if expression is not None:
        axis = sweeping.axis_of(expression)
        result = _run(source, [policy], axis)
        _show_sweep(sweeping.sweep_of(axis, result, known), svg_file, as_json=as_json)
    elif other_dir is not None:
        result = _run(source, [policy, config.load(other_dir)])
        _show_comparison(result, known, as_json=as_json)
    else:
        _show(_run(source, [policy]), known, as_json=as_json)


class _Source(NamedTuple):
    """One of the three."""

    data: Path | None
    events: Path | None
    span: Range | None

    def opened(self, policies: list[Policy]) -> AbstractContextManager[Source]:
        wanted, kinds = wanted_events(policies), kinds_for(policies)
        if self.span is not None:
            return topic_records(connected(Settings.from_env()), self.span, wanted, kinds)
        if self.data is not None:
            return databases(self.data, wanted, kinds)
        assert self.events is not None
        return json_lines(self.events, wanted, kinds)


def _time(option: str, text: str | None) -> int | None:
    try:
        return None if text is None else parse_timestamp(text)
    except Refused as error:
        raise UserError(f"{option}: {error}; write 2026-10-13T14:05:00Z", exit_code=2) from error


def _labels(data: Path | None, labels: Path | None) -> list[Label]:
    if labels is not None:
        return scoring.labels_of(labels)
    beside = data / scoring.LABELS if data is not None else None
    return scoring.labels_of(beside) if beside is not None and beside.exists() else []


def _run(chosen: _Source, policies: list[Policy], axis: sweeping.Axis | None = None) -> Run:
    with chosen.opened(policies) as source:
        days = max(1, (source.last_ms - source.first_ms + TAIL_S * 1000) // DAY_MS)
        if any(policy.groupings for policy in policies):
            with progress.steps("Days of data searched for groups", days) as step:
                policies = grouped(source, policies, step)
        if axis is not None:
            policies = sweeping.policies(axis, policies[0])
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
    if as_json:
        _print_json(document.of_sweep(sweep))
    else:
        telling.trade_off(telling.Paper(), sweep)
    if svg_file is not None:  # last: a path that cannot be written costs no table
        _write(svg_file, svg(sweep))


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise UserError(f"{path} cannot be written: {error.strerror}") from error


def _print_json(shown: document.Document) -> None:
    click.echo(msgspec.json.format(msgspec.json.encode(shown), indent=1))
