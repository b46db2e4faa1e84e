"""What a sweep's expression means."""

import pytest

from app.backtest import sweeping
from app.errors import UserError
from tests.core.policies import POLICY


@pytest.mark.parametrize(
    ("expression", "texts"),
    [
        (
            "alerts.fast-burn.consumed=0.02..0.2",
            ["0.02", "0.04", "0.06", "0.08", "0.1", "0.12", "0.14", "0.16", "0.18", "0.2"],
        ),
        ("alerts.fast-burn.consumed=0.1..0.3/3", ["0.1", "0.2", "0.3"]),
        ("alerts.slow-burn.consumed=0.25,0.5", ["0.25", "0.5"]),
        ("alerts.breach.min_bad=1..4", ["1", "2", "3", "4"]),
        ("alerts.breach.keep_firing_for=0s..1h/3", ["0s", "30m", "1h"]),
        ("alerts.latency.breach.window=5m,90s", ["5m", "90s"]),
        ("alerts.freeze.lifts_below=0.9", ["0.9"]),
    ],
)
def test_an_expression_names_values(expression: str, texts: list[str]) -> None:
    axis = sweeping.axis_of(expression)
    assert [axis.text(value) for value in axis.values] == texts
    assert expression.startswith(axis.name + "=")


@pytest.mark.parametrize(
    ("expression", "why"),
    [
        ("fast-burn=1", "it has the form"),
        ("alerts.quick.consumed=0.1", "there is no rule 'quick'"),
        ("alerts.breach.colour=0.1", "no rule has 'colour'"),
        ("alerts.fast-burn.consumed=0.2..0.1", "0.2 is not below 0.1"),
        ("alerts.fast-burn.consumed=much", "'much' is no number"),
        ("alerts.fast-burn.consumed=0", "consumed is above 0"),
        ("alerts.fast-burn.window=3600", "is no duration"),
        ("alerts.fast-burn.window=15s", "a multiple of 10s"),
        ("alerts.fast-burn.consumed=0.1..0.2/1", "give 2 to 100"),
        ("alerts.breach.min_bad=1.5", "is a whole number"),
        ("alerts.breach.confidence=1", "between 0.5 and 1"),
    ],
)
def test_a_bad_expression_is_explained(expression: str, why: str) -> None:
    with pytest.raises(UserError, match=why):
        sweeping.axis_of(expression)


def test_a_value_is_set_where_the_rule_is_and_nowhere_else() -> None:
    axis = sweeping.axis_of("alerts.availability.fast-burn.consumed=0.3")
    (swept,) = sweeping.policies(axis, POLICY)
    consumed = {slo.id: [rule.consumed for rule in slo.burns] for slo in swept.slos.values()}
    assert consumed == {
        "availability": [0.3, 0.5],
        "latency": [0.1, 0.5],
        "correctness": [0.1, 0.5],
        "data-integrity": [],
        "resource-efficiency": [0.1, 0.5],
    }


def test_a_quantiles_threshold_is_also_what_is_counted_beyond_it() -> None:
    axis = sweeping.axis_of("alerts.latency.breach.threshold=45000")
    slo = sweeping.policies(axis, POLICY)[0].slos["latency"]
    assert (slo.breach.threshold, slo.definition.limit) == (45_000.0, 45_000.0)


@pytest.mark.parametrize(
    ("expression", "why"),
    [
        ("alerts.speed.breach.window=5m", "no SLO 'speed'"),
        ("alerts.data-integrity.fast-burn.consumed=0.1", "no SLO has that setting"),
    ],
)
def test_a_setting_that_nothing_has_is_refused(expression: str, why: str) -> None:
    with pytest.raises(UserError, match=why):
        sweeping.policies(sweeping.axis_of(expression), POLICY)
