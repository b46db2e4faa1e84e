"""`burnrate route`: the ownership matrix of the seed, and how it is shown."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from app.cli import burnrate
from app.errors import UserError
from tests.web.samples import REPO

HEADLESS, SHADOW = "slack:#headless-alerts", "slack:#shadow-mode-alerts"
CRITICAL, OPS = "slack:#critical-alerts", "slack:#ops-alerts"

AFTER_30_MIN = "P1 unresolved for 30 min, while it still burns"
GROWING = (
    "breach fires for 1 h, while it still burns, mean of the last 30 min at least 10 % above "
    "that of the 30 min before, 5 events in each"
)
MANY = "breach fires, more than 50 bad within 24 hours"

Told = tuple[int, str, list[str], str]


def first(channel: str, *pagers: str) -> Told:
    return (0, "trigger", [channel, *map(page, pagers)], "")


def page(owner: str) -> str:
    return f"pagerduty:{owner}"


def escalated(after_s: int, channel: str, only: str, *pagers: str) -> Told:
    return (after_s, "escalate", [channel, *map(page, pagers)], only)


HOUR = 3600
MATRIX: dict[tuple[str, str], dict[str, list[Told]]] = {  # by SLO and severity, then by rules
    ("availability", "P1"): {
        "breach, fast-burn": [
            first(HEADLESS, "@backend-team"),
            escalated(1800, HEADLESS, AFTER_30_MIN, "@platform-lead"),
        ]
    },
    ("availability", "P2"): {"slow-burn": [first(HEADLESS)]},
    ("latency", "P1"): {
        "fast-burn": [
            first(HEADLESS, "@backend-team"),
            escalated(1800, HEADLESS, AFTER_30_MIN, "@platform-lead"),
            escalated(HOUR, HEADLESS, "breach fires for 1 h, while it still burns"),
        ]
    },
    ("latency", "P2"): {
        "breach": [
            first(HEADLESS),
            escalated(HOUR, HEADLESS, "breach fires for 1 h, while it still burns"),
        ],
        "slow-burn": [first(HEADLESS)],
    },
    ("correctness", "P1"): {
        "fast-burn": [
            first(SHADOW, "@qa-team"),
            escalated(0, SHADOW, MANY),
            escalated(1800, SHADOW, AFTER_30_MIN, "@qa-lead"),
        ]
    },
    ("correctness", "P2"): {
        "breach": [first(SHADOW), escalated(0, SHADOW, MANY)],
        "slow-burn": [first(SHADOW)],
    },
    ("data-integrity", "P1"): {
        "breach": [first(CRITICAL, "@data-team"), escalated(0, CRITICAL, "", "@data-lead")]
    },
    ("data-integrity", "P2"): {},
    ("resource-efficiency", "P1"): {
        "fast-burn": [
            first(OPS, "@ops-team"),
            escalated(1800, OPS, AFTER_30_MIN, "@ops-lead"),
            escalated(HOUR, OPS, GROWING),
        ]
    },
    ("resource-efficiency", "P2"): {
        "breach": [first(OPS), escalated(HOUR, OPS, GROWING)],
        "slow-burn": [first(OPS)],
    },
    ("alerter", "P1"): {
        "blind": [
            first(OPS, "@ops-team"),
            escalated(1800, OPS, "P1 unresolved for 30 min", "@ops-lead"),
        ]
    },
    ("alerter", "P2"): {"input-silent, input-broken, destination-broken": [first(OPS)]},
}

MENTIONED: dict[tuple[str, str], list[list[str]]] = {  # whom the first case's messages address
    ("availability", "P1"): [["@backend-team"], ["@platform-lead"]],
    ("latency", "P2"): [["@backend-team"], ["@backend-team-lead", "@platform-lead"]],
    ("correctness", "P2"): [["@qa-team"], ["@qa-lead"]],
    ("data-integrity", "P1"): [["@data-team"], ["@data-lead"]],
    ("resource-efficiency", "P2"): [["@ops-team"], ["@ops-lead"]],
}


def route(slo: str, severity: str, *words: str, config: Path = REPO / "config") -> Result:
    command = ["route", "--slo", slo, "--severity", severity, "--config", str(config), *words]
    return CliRunner().invoke(burnrate, command, env={"COLUMNS": "160"})


def document(slo: str, severity: str, config: Path = REPO / "config") -> dict[str, Any]:
    found: dict[str, Any] = json.loads(route(slo, severity, "--json", config=config).output)
    return found


def told(case: dict[str, Any]) -> list[Told]:
    return [(t["after_s"], t["kind"], t["destinations"], t["onlyIf"]) for t in case["timeline"]]


def changed(tmp_path: Path, old: str, new: str) -> Path:
    config = tmp_path / "config"
    shutil.copytree(REPO / "config", config)
    ownership = config / "ownership.yaml"
    text = ownership.read_text()
    assert old in text
    ownership.write_text(text.replace(old, new))
    return config


@pytest.mark.parametrize(("slo", "severity"), MATRIX)
def test_the_ownership_matrix(slo: str, severity: str) -> None:
    cases = document(slo, severity)["cases"]
    found = {", ".join(case["rules"]): told(case) for case in cases}
    assert found == MATRIX[slo, severity]


@pytest.mark.parametrize(("slo", "severity"), MENTIONED)
def test_whom_the_messages_address(slo: str, severity: str) -> None:
    timeline = document(slo, severity)["cases"][0]["timeline"]
    assert [telling["mentions"] for telling in timeline] == MENTIONED[slo, severity]


@pytest.mark.parametrize(("severity", "hours"), [("P1", 4), ("P2", 24)])
def test_reminders_go_to_the_channel_alone(severity: str, hours: int) -> None:
    for case in document("latency", severity)["cases"]:
        assert case["reminder"] == {"every_s": hours * HOUR, "destinations": [HEADLESS]}


def test_everybody_who_was_paged_hears_of_the_end() -> None:
    (case,) = document("availability", "P1")["cases"]
    assert case["resolve"] == {
        "destinations": [HEADLESS, page("@backend-team"), page("@platform-lead")]
    }


def test_in_the_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLACK_WEBHOOK_HEADLESS_ALERTS", "https://hooks.slack.com/services/canary")
    monkeypatch.setenv("PAGERDUTY_KEY_BACKEND_TEAM", "canary")
    monkeypatch.delenv("PAGERDUTY_KEY_PLATFORM_LEAD", raising=False)
    result = route("availability", "P1")
    assert [" ".join(line.replace("─", "").split()) for line in result.output.splitlines()] == [
        "Availability, P1: @backend-team, #headless-alerts",
        "",
        "When breach or fast-burn fires:",
        "When Who How Only if",
        "",
        "+0 min #headless-alerts in Slack message to @backend-team",
        "@backend-team in PagerDuty page, critical",
        f"+30 min #headless-alerts in Slack message to @platform-lead {AFTER_30_MIN}",
        "@platform-lead in PagerDuty page, critical",
        "every 4 h #headless-alerts in Slack reminder nothing was told for 4 h",
        "resolved #headless-alerts in Slack message",
        "@backend-team in PagerDuty resolve, where it was paged",
        "@platform-lead in PagerDuty resolve, where it was paged",
        "",
        "Still burning: the rule's condition is true, and a bad event came in the last 30 min.",
        "No slack_id, so a mention in Slack notifies nobody: @backend-team, @platform-lead.",
        "Destination Secret Here",
        "",
        "#headless-alerts in Slack SLACK_WEBHOOK_HEADLESS_ALERTS is set",
        (
            "@backend-team in PagerDuty PAGERDUTY_KEY_BACKEND_TEAM "
            "has 6 characters, a routing key has 32"
        ),
        "@platform-lead in PagerDuty PAGERDUTY_KEY_PLATFORM_LEAD is not set",
    ]
    assert "canary" not in result.output
    assert "canary" not in route("availability", "P1", "--json").output


def test_a_condition_has_an_earliest_time() -> None:
    lines = [" ".join(line.split()) for line in route("correctness", "P2").output.splitlines()]
    assert f"from +0 min #shadow-mode-alerts in Slack message to @qa-lead {MANY}" in lines
    assert "When slow-burn fires, an incident of its own:" in lines


def test_a_severity_that_no_rule_has() -> None:
    result = route("data-integrity", "P2")
    assert (result.exit_code, result.output) == (
        0,
        (
            "Data integrity, P2: @data-team, #critical-alerts\n"
            "None of its rules is P2, so nobody is told.\n"
        ),
    )


def test_p2_pages_where_it_is_configured(tmp_path: Path) -> None:
    owner = '    owner: "@qa-team"\n'
    config = changed(tmp_path, owner, f"{owner}    page_p2: true\n")
    breach, slow = document("correctness", "P2", config)["cases"]
    assert told(breach)[0] == told(slow)[0] == first(SHADOW, "@qa-team")
    lines = route("correctness", "P2", config=config).output.splitlines()
    assert any(line.split()[-2:] == ["page,", "error"] for line in lines)


def test_an_acknowledgement_can_end_the_escalation(tmp_path: Path) -> None:
    owner = '    owner: "@qa-team"\n'
    config = changed(tmp_path, owner, f"{owner}    stop_on: ack\n")
    (case,) = document("correctness", "P1", config)["cases"]
    assert told(case)[-1][-1] == f"{AFTER_30_MIN}, unless somebody has taken it"


def test_owners_whom_slack_knows(tmp_path: Path) -> None:
    config = changed(tmp_path, '"@platform-lead": {}', '"@platform-lead": {slack_id: U012}')
    assert document("availability", "P1", config)["withoutSlackId"] == ["@backend-team"]


def test_an_unknown_slo() -> None:
    result = route("avail", "P1")
    assert isinstance(result.exception, UserError)
    assert (result.exception.exit_code, result.exception.message) == (
        2,
        (
            "there is no SLO 'avail'; known are availability, latency, correctness, "
            "data-integrity, resource-efficiency, alerter"
        ),
    )


def test_a_group_s_route_is_told_before_its_value_is_seen(tmp_path: Path) -> None:
    row = '  "latency:codex": {owner: "@ops-team", channel: "#ops-alerts"}\n'
    config = changed(tmp_path, "routes:\n", f"routes:\n{row}")
    slos = config / "slos.yaml"
    text = slos.read_text().replace("  - id: latency\n", "  - id: latency\n    by: cli_type\n")
    slos.write_text(text)
    owners = [document(f"latency:{cli}", "P2", config)["owner"] for cli in ("codex", "gemini")]
    assert owners == ["@ops-team", "@backend-team"]
    refused = route("latency:a/b", "P2", config=config)
    assert isinstance(refused.exception, UserError)
    assert "there is no SLO 'latency:a/b'" in refused.exception.message
