"""`burnrate check`."""

import json
import shutil
from pathlib import Path

import jsonschema
import pytest
from click.testing import CliRunner, Result

from app.cli import burnrate
from tests.web.samples import REPO


def check(*words: str, **env: str) -> Result:
    return CliRunner().invoke(burnrate, ["check", *words], env=env)


def test_the_shipped_configuration_is_fine() -> None:
    result = check(str(REPO / "config"))
    assert result.exit_code == 0
    assert result.output.splitlines()[-1] == "fine: 5 SLOs, 4 owners"
    assert "ownership.yaml:6: owners.@backend-team: no slack_id" in result.output


def test_groups_that_are_not_known_yet_are_said(tmp_path: Path) -> None:
    shutil.copytree(REPO / "config", tmp_path / "config")
    slos = tmp_path / "config/slos.yaml"
    text = slos.read_text().replace("objective: 0.995", "objective: 0.995\n    by: cli_type", 1)
    slos.write_text(text)
    result = check(str(tmp_path / "config"))
    assert result.output.splitlines()[-1] == (
        "fine: 4 SLOs, one for each cli_type of availability that is seen (50 at most), 4 owners"
    )


def test_the_folder_comes_from_the_environment(tmp_path: Path) -> None:
    assert check(BURNRATE_CONFIG=str(REPO / "config")).exit_code == 0
    assert check(BURNRATE_CONFIG=str(tmp_path)).exit_code == 1


def test_every_error_is_a_line_of_its_own(tmp_path: Path) -> None:
    config = tmp_path / "config"
    shutil.copytree(REPO / "config", config)
    slos, ownership = config / "slos.yaml", config / "ownership.yaml"
    slos.write_text(slos.read_text().replace("objective: 0.995", "objective: 1.5"))
    ownership.write_text(ownership.read_text().replace("how: page", "how: shout", 1))
    result = check(str(config))
    assert result.exit_code == 1
    errors = [line for line in result.output.splitlines() if not line.startswith("hint: ")]
    path = "routes.availability.escalation.0.how"
    assert errors == [
        f"{slos}:20: slos.0 (availability).objective: Input should be less than or equal to 1",
        f"{ownership}:23: {path}: Input should be 'page' or 'notify'",
    ]


def test_no_configuration_at_all(tmp_path: Path) -> None:
    result = check(str(tmp_path))
    assert (result.exit_code, len(result.output.splitlines())) == (1, 2)
    assert f"{tmp_path / 'slos.yaml'}: there is no such file" in result.output


def spoilt(tmp_path: Path) -> Path:
    config = tmp_path / "config"
    shutil.copytree(REPO / "config", config)
    (config / "templates").mkdir(exist_ok=True)
    (config / "templates" / "lead.j2").write_text("fine\n{{ nothing.at.all }}\n")
    return config


def test_as_json_it_has_file_line_and_kind(tmp_path: Path) -> None:
    config = spoilt(tmp_path)
    result = check(str(config), "--format", "json")
    document = json.loads(result.output)
    assert (result.exit_code, document["errors"]) == (1, 1)
    (error,) = [finding for finding in document["findings"] if finding["level"] == "error"]
    assert (error["code"], error["file"], error["message"]) == (
        "failing-template",
        str(config / "templates/lead.j2"),
        "UndefinedError: 'nothing' is undefined",
    )
    assert document["hints"] == sum(f["level"] == "hint" for f in document["findings"])


def test_warnings_fail_where_it_is_strict(tmp_path: Path) -> None:
    config = tmp_path / "config"
    shutil.copytree(REPO / "config", config)
    slos = config / "slos.yaml"
    slos.write_text(
        slos.read_text().replace("window: 7d, severity: P2", "window: 1h, severity: P2")
    )
    assert check(str(config)).exit_code == 0
    assert "warning: " in check(str(config)).output
    assert check(str(config), "--strict").exit_code == 1


SARIF_2_1_0 = {  # what the standard's schema asks of the parts that are used here
    "type": "object",
    "required": ["version", "runs"],
    "properties": {
        "$schema": {"type": "string", "format": "uri"},
        "version": {"enum": ["2.1.0"]},
        "runs": {"type": "array", "minItems": 0, "items": {"$ref": "#/$defs/run"}},
    },
    "additionalProperties": False,
    "$defs": {
        "run": {
            "type": "object",
            "required": ["tool"],
            "properties": {
                "tool": {
                    "type": "object",
                    "required": ["driver"],
                    "properties": {
                        "driver": {
                            "type": "object",
                            "required": ["name"],
                            "properties": {
                                "rules": {
                                    "type": "array",
                                    "uniqueItems": True,
                                    "items": {"type": "object", "required": ["id"]},
                                }
                            },
                        }
                    },
                },
                "results": {"type": "array", "items": {"$ref": "#/$defs/result"}},
            },
        },
        "result": {
            "type": "object",
            "required": ["message"],
            "properties": {
                "ruleId": {"type": "string"},
                "ruleIndex": {"type": "integer", "minimum": -1},
                "level": {"enum": ["none", "note", "warning", "error"]},
                "message": {"type": "object", "required": ["text"]},
                "locations": {"type": "array", "items": {"$ref": "#/$defs/location"}},
            },
            "additionalProperties": False,
        },
        "location": {
            "type": "object",
            "properties": {
                "physicalLocation": {
                    "type": "object",
                    "required": ["artifactLocation"],
                    "properties": {
                        "artifactLocation": {"required": ["uri"]},
                        "region": {
                            "required": ["startLine"],
                            "properties": {
                                "startLine": {"type": "integer", "minimum": 1},
                                "startColumn": {"type": "integer", "minimum": 1},
                            },
                            "additionalProperties": False,
                        },
                    },
                    "additionalProperties": False,
                },
                "logicalLocations": {
                    "type": "array",
                    "items": {"required": ["fullyQualifiedName"]},
                },
            },
            "additionalProperties": False,
        },
    },
}


def test_as_sarif_it_is_what_the_standard_asks_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spoilt(tmp_path)
    monkeypatch.chdir(tmp_path)
    document = json.loads(check("config", "--format", "sarif").output)
    jsonschema.validate(document, SARIF_2_1_0)
    (run,) = document["runs"]
    rules = [rule["id"] for rule in run["tool"]["driver"]["rules"]]
    assert all(rules[result["ruleIndex"]] == result["ruleId"] for result in run["results"])
    assert {result["level"] for result in run["results"]} == {"error", "note"}
    uris = {
        location["physicalLocation"]["artifactLocation"]["uri"]
        for result in run["results"]
        for location in result["locations"]
        if "physicalLocation" in location
    }
    assert uris == {"config/slos.yaml", "config/ownership.yaml", "config/templates/lead.j2"}


def lines(*words: str, **env: str) -> list[str]:
    found = check(str(REPO / "config"), *words, **env).output.splitlines()
    return [line for line in found if "environment" in line]


def test_secrets_are_held_against_the_routes() -> None:
    (hint,) = lines()
    assert hint.startswith("hint: environment: no destination has a secret here")
    found = lines(
        SLACK_WEBHOOK_HEADLESS_ALERTS="https://hooks.example/a",
        SLACK_WEBHOOK_NOBODY="https://hooks.example/b",
        PAGERDUTY_KEY_DATA_TEAM_FILE="/run/secrets/data",
    )
    assert "warning: environment: SLACK_WEBHOOK_NOBODY is set, but no route uses it" in found
    assert (
        "warning: environment: the P1s of @backend-team reach Slack alone: "
        "PAGERDUTY_KEY_BACKEND_TEAM is not set"
    ) in found
    assert (
        "warning: environment: slack:#ops-alerts prints to the terminal: "
        "SLACK_WEBHOOK_OPS_ALERTS is not set"
    ) in found
    assert not any("DATA_TEAM" in line or "HEADLESS_ALERTS" in line for line in found)


def test_a_bots_token_is_for_all_channels() -> None:
    assert not any("SLACK_WEBHOOK" in line for line in lines(SLACK_BOT_TOKEN="xoxb-1"))
