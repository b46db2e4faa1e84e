"""Configuration: every fault at once, with file and path, in words; and what is shipped is sound."""

# ruff: noqa: E501 - the tables of faults read across

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from app import config
from app.config import ConfigError
from tests.core.policies import POLICY, ROOT

DAY_S = 86_400


class Folder:
    """A copy of the shipped configuration, to be spoilt."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.slos: dict[str, Any] = yaml.safe_load((ROOT / "config/slos.yaml").read_text())
        self.ownership: dict[str, Any] = yaml.safe_load(
            (ROOT / "config/ownership.yaml").read_text()
        )

    def slo(self, name: str) -> dict[str, Any]:
        return next(slo for slo in self.slos["slos"] if slo["id"] == name)

    def faults(self) -> list[str]:
        """What `load` finds, without the folder's name."""
        (self.path / "slos.yaml").write_text(yaml.safe_dump(self.slos))
        (self.path / "ownership.yaml").write_text(yaml.safe_dump(self.ownership))
        try:
            config.load(self.path)
        except ConfigError as error:
            return [
                re.sub(r"yaml:\d+: ", "yaml: ", fault.removeprefix(f"{self.path}/"))
                for fault in error.message.split("\n")
            ]
        return []


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path)


def test_what_is_shipped_is_sound(folder: Folder) -> None:
    assert folder.faults() == []


def test_all_faults_of_both_files_are_told_at_once(folder: Folder) -> None:
    folder.slo("availability")["objective"] = 1.5
    folder.slo("latency")["breach"]["window"] = "5 minutes"
    folder.slo("latency")["colour"] = "red"
    folder.ownership["routes"]["latency"]["channel"] = "headless-alerts"
    folder.ownership["routes"]["latency"]["owner"] = "@nobody"
    found = "\n".join(folder.faults())
    for part in (
        "slos.yaml: slos.0 (availability).objective: Input should be less than or equal to 1",
        "slos.yaml: slos.1 (latency).breach.window: '5 minutes' is no duration: write 30s, 5m, 1h or 30d",
        "slos.yaml: slos.1 (latency).colour: unknown key",
        "ownership.yaml: routes.latency.channel: String should match pattern",
    ):
        assert part in found


def test_faults_between_the_files_are_told_as_well(folder: Folder) -> None:
    del folder.ownership["routes"]["latency"], folder.ownership["routes"]["alerter"]
    folder.ownership["routes"]["speed"] = {"owner": "@nobody", "channel": "#x"}
    assert folder.faults() == [
        "ownership.yaml: routes.alerter: missing; every SLO needs somebody who is told",
        "ownership.yaml: routes.latency: missing; every SLO needs somebody who is told",
        "ownership.yaml: routes.speed: there is no SLO 'speed' in slos.yaml",
        "ownership.yaml: routes.speed.owner: '@nobody' is not among the owners",
    ]


SPOILT_SLOS = {
    "an unknown key of a rule": ("availability", ["breach", "treshold"], 1, "slos.0 (availability).breach.treshold: unknown key"),
    "an unknown field": ("latency", ["value"], "duration", "unknown field 'duration'; known are agent_id,"),
    "a value that is no number": ("latency", ["value"], "cli_type", "slos.1 (latency).value: 'cli_type' is no number"),
    "a condition without sense": ("availability", ["counts", 0, "bad_when"], ["success"], "'success' is no condition: write FIELD OPERATOR VALUE"),
    "a condition that is no YAML": ("availability", ["counts", 0, "bad_when"], ["success == ["], "'[' cannot be read"),
    "an order of texts": ("availability", ["counts", 0, "bad_when"], ["agent_id > 5"], "agent_id is no number, so > says nothing of it"),
    "a number against a word": ("availability", ["counts", 0, "bad_when"], ["duration_ms > long"], "duration_ms > needs a number, not 'long'"),
    "a window beside the slots": ("availability", ["breach", "window"], "15s", "a window is a multiple of 10s, 30d at most, not 15s"),
    "a window that is too long": ("availability", ["breach", "window"], "31d", "a window is a multiple of 10s, 30d at most, not 31d"),
    "a quantile of a week": ("latency", ["quantile_windows"], ["7d"], "slos.1 (latency).quantile_windows: quantiles reach back 24 h at most"),
    "a headline quantile of a week": ("latency", ["headline", "window"], "7d", "slos.1 (latency).headline.window: quantiles reach back 24 h at most"),
    "a quantile without a sketch": ("latency", ["sketch"], False, "slos.1 (latency).sketch: quantiles need one"),
    "a quantile of nothing": ("latency", ["value"], None, "slos.1 (latency).value: a quantile needs the field whose values it is of"),
    "an id twice": ("latency", ["id"], "availability", "'availability' is taken already"),
    "the alerter's id": ("latency", ["id"], "alerter", "'alerter' is taken already"),
    "a ratio that cannot be below": ("availability", ["breach", "threshold"], 0, "slos.0 (availability).breach: can never fire: good / total is never below 0"),
    "a ratio that is always below": ("availability", ["breach", "threshold"], 1.2, "slos.0 (availability).breach: always fires: good / total is never above 1"),
    "a burn beyond all budget": ("latency", ["burn"], {"fast-burn": {"consumed": 10, "window": "1h", "severity": "P1"}}, "slos.1 (latency).burn.fast-burn: can never fire: with every event of the period bad 10 of the budget is consumed, not more than 10"),
    "a freeze that lifts at once": ("latency", ["freeze"], {"consumed": 0.9, "lifts_below": 0.95}, "slos.1 (latency).freeze: lifts_below is 0.95: it must lie below consumed, 0.9, or it flickers"),
}  # fmt: skip


@pytest.mark.parametrize("name", SPOILT_SLOS)
def test_a_fault_in_an_slo_is_told_with_its_path(folder: Folder, name: str) -> None:
    slo, path, value, expected = SPOILT_SLOS[name]
    _put(folder.slo(slo), path, value)
    assert expected in "\n".join(folder.faults())


SPOILT_ROUTES = {
    "an unknown key": (["escalation", 0, "befor"], "1h", "routes.latency.escalation.0.befor: unknown key"),
    "a condition of two minds": (["escalation", 0, "when"], {"bad_more_than": 5, "mean_grows_by": 0.1}, "give one of bad_more_than and mean_grows_by"),
    "a condition of none": (["escalation", 0, "when"], {}, "give one of bad_more_than and mean_grows_by"),
    "a window that nobody counts": (["escalation", 0, "when"], {"bad_more_than": 5, "window": "12h"}, "routes.latency.escalation.0.when.window: 43200 s is not counted; choose one of 5m, 1h, 6h, 24h, 7d, 30d"),
    "a slow burn": (["escalation", 0, "rule"], "slow-burn", "routes.latency.escalation.0.rule: a slow burn escalates to nobody"),
    "an owner without @": (["escalation", 0, "to"], "lead", "routes.latency.escalation.0.to.0: String should match pattern"),
    "the same step twice": (["escalation", 1], {"to": "@platform-lead", "how": "page", "severity": "P1", "after": "30m"}, "routes.latency.escalation.1: the same step as another one"),
}  # fmt: skip


@pytest.mark.parametrize("name", SPOILT_ROUTES)
def test_a_fault_in_a_route_is_told_with_its_path(folder: Folder, name: str) -> None:
    path, value, expected = SPOILT_ROUTES[name]
    _put(folder.ownership["routes"]["latency"], path, value)
    assert expected in "\n".join(folder.faults())


def _put(into: Any, path: list[Any], value: object) -> None:  # noqa: ANN401
    for key in path[:-1]:
        into = into[key]
    into[path[-1]] = value


def test_by_time_a_rule_beyond_its_highest_burn_rate_is_an_error_with_the_arithmetic(
    folder: Folder,
) -> None:
    folder.slos["defaults"]["basis"] = "time"
    rates = (
        ("slos.1 (latency)", "1 / (1 - 0.9) = 10", "0.0139"),
        ("slos.2 (correctness)", "1 / (1 - 0.95) = 20", "0.0278"),
        ("slos.4 (resource-efficiency)", "1 / (1 - 0.8) = 5", "0.00694"),
    )
    assert folder.faults() == [
        f"slos.yaml: {slo}.burn.fast-burn: can never fire: with every event bad the burn rate is "
        f"{rate}, and 3600 s of it consume {share} of the budget, not more than 0.1"
        for slo, rate, share in rates
    ]


def test_two_steps_that_differ_in_time_only_are_two(folder: Folder) -> None:
    steps = folder.ownership["routes"]["availability"]["escalation"]
    steps.append(dict(steps[0], after="2h"))
    assert folder.faults() == []
    ids = [step.id for step in config.load(folder.path).ownership.routes["availability"].steps]
    assert len(set(ids)) == 2


def test_a_missing_file_and_one_that_is_no_yaml(tmp_path: Path) -> None:
    (tmp_path / "slos.yaml").write_text("slos: [\n")
    with pytest.raises(ConfigError) as found:
        config.load(tmp_path)
    first, second = found.value.errors
    assert first.startswith(f"{tmp_path}/slos.yaml:2: not YAML: ")
    assert (
        second
        == f"{tmp_path}/ownership.yaml: there is no such file; BURNRATE_CONFIG names the folder"
    )


def test_an_empty_file_is_told(folder: Folder) -> None:
    folder.slos = None  # type: ignore[assignment]
    assert any(fault.startswith("slos.yaml: the file: ") for fault in folder.faults())


def test_a_key_that_stands_twice_is_told(tmp_path: Path) -> None:
    for name in ("slos.yaml", "ownership.yaml"):
        (tmp_path / name).write_text((ROOT / "config" / name).read_text())
    with (tmp_path / "ownership.yaml").open("a") as file:
        file.write("  alerter: {owner: '@ops-lead', channel: '#x'}\n")
    with pytest.raises(ConfigError, match=r"ownership.yaml:57: not YAML: 'alerter' stands twice"):
        config.load(tmp_path)


def test_a_target_of_100_percent_has_neither_burn_rules_nor_a_freeze() -> None:
    slo = POLICY.slos["data-integrity"]
    assert (slo.burns, slo.freeze) == ((), None)


def test_the_seeds_numbers_are_those_that_are_shipped() -> None:
    told = {
        name: (
            slo.objective,
            slo.breach.measure,
            slo.breach.threshold,
            slo.breach.window_s,
            slo.breach.severity,
        )
        for name, slo in POLICY.slos.items()
    }
    assert told == {
        "availability": (0.995, "ratio", 0.990, 3600, "P1"),
        "latency": (0.90, "quantile", 60_000, 300, "P2"),
        "correctness": (0.95, "ratio", 0.90, DAY_S, "P2"),
        "data-integrity": (1.0, "distinct", 0, DAY_S, "P1"),
        "resource-efficiency": (0.80, "mean", 1024, 3600, "P2"),
    }
    burns = {
        (rule.id, rule.consumed, rule.window_s, rule.severity)
        for slo in POLICY.slos.values()
        for rule in slo.burns
    }
    assert burns == {("fast-burn", 0.10, 3600, "P1"), ("slow-burn", 0.50, 7 * DAY_S, "P2")}
