"""The API's documents: whole values, from statuses as the judge makes them."""

import functools
from copy import deepcopy
from typing import Any

import pytest

from app.web import views
from app.web.views import Standing
from tests.web import samples
from tests.web.samples import NOON, World

WELL = Standing(ready=True, blind=False)


@functools.cache
def outage() -> World:
    return samples.outage()


@functools.cache
def quiet() -> World:
    return samples.quiet()


def order(world: World) -> list[str]:
    return list(world.policy.slos)


def test_kokinos_fields_of_a_quiet_month() -> None:
    world = quiet()
    found = views.slo_status(world.slos, order(world), WELL)
    assert {name: found[name] for name in ("availability", "errorBudget", "timestamp")} == {
        "availability": {"current": 1.0, "target": 0.995, "breach": False},
        "errorBudget": {
            "availability": {
                "sli": "availability",
                "target": 0.995,
                "budget": 216,
                "consumed": 0,
                "remaining": 216,
                "percentConsumed": 0.0,
                "windowHours": 720,
            },
            "latency": {
                "sli": "latency",
                "target": 0.95,
                "budget": 72,
                "consumed": 0,
                "remaining": 72,
                "percentConsumed": 0.0,
                "windowHours": 24,
            },
            "correctness": {
                "sli": "correctness",
                "target": 0.95,
                "budget": 0,
                "consumed": 0,
                "remaining": 0,
                "percentConsumed": 0.0,
                "windowHours": 720,
                "noData": True,
            },
            "integrity": {
                "sli": "integrity",
                "target": 1.0,
                "budget": 0,
                "consumed": 0,
                "remaining": 0,
                "percentConsumed": 0.0,
                "windowHours": 720,
            },
        },
        "timestamp": "2026-10-13T12:00:00.000Z",
    }
    latency = found["latency"]
    assert (latency["target_p95"], latency["breach"], "noData" in latency) == (30_000, False, False)
    assert [abs(latency[q] - 8000) <= 80 for q in ("p50", "p95", "p99")] == [True] * 3


def test_every_slo_and_how_the_alerter_is() -> None:
    world = quiet()
    found = views.slo_status(world.slos, order(world), WELL)
    rest = {name: found[name] for name in ("asOf", "lag_s", "ready", "blind")}
    assert rest == {
        "asOf": "2026-10-13T12:00:00.000Z",
        "lag_s": 0.2,
        "ready": True,
        "blind": False,
    }
    assert [slo["id"] for slo in found["slos"]] == order(world)
    assert found["slos"][0] == world.slos["availability"]


def test_without_data_kokino_says_all_is_well_and_no_data_stands_beside_it() -> None:
    found = views.slo_status({}, ["availability"], WELL)
    assert found["availability"] == {
        "current": 1.0,
        "target": 0.995,
        "breach": False,
        "noData": True,
    }
    assert found["latency"] == {
        "p50": 0,
        "p95": 0,
        "p99": 0,
        "target_p95": 30_000,
        "breach": False,
        "noData": True,
    }
    assert all(budget["noData"] for budget in found["errorBudget"].values())
    assert (found["asOf"], found["ready"], found["slos"]) == (None, False, [])


def test_a_zero_budget_is_spent_by_the_first_failure() -> None:
    world = outage()
    found = views.slo_status(world.slos, order(world), WELL)
    assert found["errorBudget"]["integrity"] == {
        "sli": "integrity",
        "target": 1.0,
        "budget": 0,
        "consumed": 1,
        "remaining": 0,
        "percentConsumed": 100.0,
        "windowHours": 720,
    }


@pytest.mark.parametrize(
    ("change", "standing"),
    [
        ({}, Standing(ready=False, blind=False)),
        ({"judged": False}, WELL),
    ],
)
def test_not_ready(change: dict[str, Any], standing: Standing) -> None:
    slos = deepcopy(quiet().slos)
    slos["latency"] |= change
    assert views.slo_status(slos, order(quiet()), standing)["ready"] is False


def test_blind_when_any_judge_is() -> None:
    slos = deepcopy(quiet().slos)
    slos["latency"]["blind"] = True
    assert views.slo_status(slos, order(quiet()), WELL)["blind"] is True
    assert views.slo_status(quiet().slos, order(quiet()), Standing(True, True))["blind"] is True


def test_an_slo_that_is_no_longer_configured_is_not_shown() -> None:
    world = quiet()
    found = views.slo_status(world.slos, ["latency"], WELL)
    assert [slo["id"] for slo in found["slos"]] == ["latency"]
    assert found["availability"]["noData"] is True


def test_incidents_newest_first_and_by_state() -> None:
    world = outage()
    incidents = deepcopy(world.incidents)
    older, newer = sorted(incidents, key=lambda key: incidents[key]["openedAt"])
    incidents[older]["state"] = "acknowledged"

    def keys(state: str | None) -> list[str]:
        return [one["key"] for one in views.incident_list(incidents, state)["incidents"]]

    assert (older, newer) == (
        "availability-20261013T114100Z",
        "data-integrity-20261013T115000Z",
    )
    assert {state: keys(state) for state in (None, *views.STATES)} == {
        None: [newer, older],
        "open": [newer, older],
        "firing": [newer],
        "acknowledged": [older],
        "resolved": [],
    }


def test_the_gate_is_open_while_no_budget_is_spent() -> None:
    world = quiet()
    assert views.gate(world.slos, {}, order(world), "feature", NOON) == {
        "frozen": False,
        "change": "feature",
        "allowed": True,
        "slos": [],
        "since": None,
        "override": None,
        "due": [],
    }


def test_a_zero_tolerance_incident_freezes_while_it_is_open() -> None:
    world = outage()
    found = views.gate(world.slos, world.incidents, order(world), "feature", NOON)
    assert found == {
        "frozen": True,
        "change": "feature",
        "allowed": False,
        "slos": ["data-integrity"],
        "since": "2026-10-13T11:50:00.000Z",
        "override": None,
        "due": [],
    }
    assert views.gate(world.slos, world.incidents, order(world), "hotfix", NOON)["allowed"] is True


def test_a_freeze_says_what_is_due_and_goes_on_saying_what_is_left_afterwards() -> None:
    slos = deepcopy(quiet().slos)
    analysis = {
        "what": "root cause analysis",
        "owner": "@backend-team",
        "doneAt": "2026-10-12T09:00:00.000Z",
        "link": None,
    }
    plan = analysis | {"what": "remediation plan", "doneAt": None}
    since = "2026-10-11T08:00:00.000Z"
    slos["availability"] |= {
        "frozen": True,
        "freeze": {"key": "k", "since": since, "liftedAt": None, "due": [analysis, plan]},
    }
    frozen = views.gate(slos, {}, order(quiet()), "feature", NOON)
    assert frozen == {
        "frozen": True,
        "change": "feature",
        "allowed": False,
        "slos": ["availability"],
        "since": since,
        "override": None,
        "due": [analysis | {"slo": "availability"}, plan | {"slo": "availability"}],
    }
    slos["availability"]["frozen"] = False
    lifted = views.gate(slos, {}, order(quiet()), "feature", NOON)
    assert (lifted["allowed"], lifted["due"]) == (True, [plan | {"slo": "availability"}])


def overridden(at: str, until: str) -> dict[str, str]:
    return {"id": "1", "by": "dana", "why": "the fix itself", "at": at, "until": until}


@pytest.mark.parametrize(
    ("at", "until", "allowed"),
    [
        ("2026-10-13T11:55:00.000Z", "2026-10-13T13:00:00.000Z", True),
        ("2026-10-13T11:50:00.000Z", "2026-10-13T12:00:00.001Z", True),
        ("2026-10-13T11:50:00.000Z", "2026-10-13T12:00:00.000Z", False),  # it has ended
        ("2026-10-13T11:49:59.999Z", "2026-10-13T13:00:00.000Z", False),  # of an earlier freeze
    ],
)
def test_an_override_counts_until_it_ends_and_for_its_own_freeze_only(
    at: str,
    until: str,
    allowed: bool,  # noqa: FBT001
) -> None:
    world = outage()
    slos = deepcopy(world.slos)
    slos["data-integrity"]["overrides"] = [overridden(at, until)]
    found = views.gate(slos, world.incidents, order(world), "feature", NOON)
    assert (found["frozen"], found["allowed"]) == (True, allowed)
    assert found["override"] == (overridden(at, until) if allowed else None)


def test_where_two_freeze_an_override_of_one_is_not_enough() -> None:
    world = outage()
    slos = deepcopy(world.slos)
    long = overridden("2026-10-13T11:55:00.000Z", "2026-10-13T18:00:00.000Z")
    short = long | {"until": "2026-10-13T12:30:00.000Z"}
    slos["data-integrity"]["overrides"] = [long]
    slos["latency"] |= {"frozen": True}
    assert not views.gate(slos, world.incidents, order(world), "feature", NOON)["allowed"]
    slos["latency"]["overrides"] = [short]
    found = views.gate(slos, world.incidents, order(world), "feature", NOON)
    assert (found["allowed"], found["override"]) == (True, short)


@pytest.mark.parametrize(
    ("change", "now", "why"),
    [
        ({}, NOON, None),
        ({}, NOON + 300_000, None),
        (
            {},
            NOON + 300_001,
            "the status of availability is of 2026-10-13T12:00:00.000Z, which is too long ago",
        ),
        (
            {"judged": False},
            NOON,
            "not judged yet, since the first catch-up goes on: availability",
        ),
    ],
)
def test_when_nobody_can_tell_whether_to_deploy(
    change: dict[str, Any], now: int, why: str | None
) -> None:
    slos = deepcopy(quiet().slos)
    slos["availability"] |= change
    assert views.why_unknown(slos, order(quiet()), now=now, stale_ms=views.STALE_MS) == why


def test_a_missing_status_is_unknown_and_a_replays_is_never_too_old() -> None:
    slos = quiet().slos
    assert views.why_unknown(slos, ["latency", "new"], now=NOON, stale_ms=None) == (
        "there is no status of new"
    )
    assert views.why_unknown(slos, order(quiet()), now=NOON + 10**10, stale_ms=None) is None
