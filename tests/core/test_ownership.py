"""The ownership matrix of the seed, row by row, out of `config/`."""

import pytest

from app.core import ownership
from app.core.cells import MICRO, Counts
from app.core.ownership import Growing, Step, TooMany
from tests.core.policies import ROUTES

MATRIX = {  # slo: owner, channel, (to, how, after s, severity or rule, condition)
    "availability": (
        "@backend-team",
        "#headless-alerts",
        [("@platform-lead", "page", 1800, "P1", None)],
    ),
    "latency": (
        "@backend-team",
        "#headless-alerts",
        [
            ("@platform-lead", "page", 1800, "P1", None),
            ("@backend-team-lead @platform-lead", "notify", 3600, "breach", None),
        ],
    ),
    "correctness": (
        "@qa-team",
        "#shadow-mode-alerts",
        [
            ("@qa-lead", "page", 1800, "P1", None),
            ("@qa-lead", "notify", 0, "breach", TooMany(more_than=50, window_s=86_400)),
        ],
    ),
    "data-integrity": ("@data-team", "#critical-alerts", [("@data-lead", "page", 0, "P1", None)]),
    "resource-efficiency": (
        "@ops-team",
        "#ops-alerts",
        [
            ("@ops-lead", "page", 1800, "P1", None),
            ("@ops-lead", "notify", 3600, "breach", Growing(by=0.1, min_total=5)),
        ],
    ),
    "alerter": ("@ops-team", "#ops-alerts", [("@ops-lead", "page", 1800, "P1", None)]),
}


@pytest.mark.parametrize("slo", MATRIX)
def test_the_row_of_the_matrix(slo: str) -> None:
    route = ROUTES[slo]
    steps = [_row(step) for step in route.steps]
    assert (route.owner, route.channel, steps) == MATRIX[slo]
    assert (route.page_p2, route.stop_on) == (False, "resolve")


def _row(step: Step) -> tuple[object, ...]:
    return " ".join(step.to), step.how, step.after_s, step.severity or step.rule, step.condition


def test_nobody_else_has_a_row() -> None:
    assert set(ROUTES) == set(MATRIX)


@pytest.mark.parametrize(
    ("last_mb", "last_total", "before_total", "grows"),
    [
        (110, 5, 5, True),  # exactly a tenth
        (109.999999, 5, 5, False),
        (200, 4, 5, False),  # too few to tell
        (200, 5, 4, False),
        (110, 7, 1_000_000, True),
    ],
)
def test_growth_is_compared_exactly(
    last_mb: float,
    last_total: int,
    before_total: int,
    grows: bool,  # noqa: FBT001
) -> None:
    last = Counts(last_total, sum_u=round(last_mb * MICRO) * last_total)
    before = Counts(before_total, sum_u=100 * MICRO * before_total)
    assert ownership._grows(Growing(), last, before) is grows
