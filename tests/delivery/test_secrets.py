"""Where secrets come from, and where they do not go."""

import logging
from pathlib import Path

import pytest

from app.delivery.secrets import (
    Found,
    Redactor,
    Secret,
    Secrets,
    fault_of_url,
    fingerprint,
    variable_of,
)
from tests.delivery.samples import PAGER, SLACK

HOOK = "https://hooks.slack.com/services/T00/B00/canarycanary"
KEY = "0123456789abcdef0123456789abcdef"


@pytest.mark.parametrize(
    ("destination", "variable"),
    [
        ("slack:#headless-alerts", "SLACK_WEBHOOK_HEADLESS_ALERTS"),
        ("slack:#shadow-mode-alerts", "SLACK_WEBHOOK_SHADOW_MODE_ALERTS"),
        ("pagerduty:@platform-lead", "PAGERDUTY_KEY_PLATFORM_LEAD"),
        ("pagerduty:@a.b_c", "PAGERDUTY_KEY_A_B_C"),
    ],
)
def test_names(destination: str, variable: str) -> None:
    assert variable_of(destination) == variable


def test_an_unknown_service_has_no_name() -> None:
    with pytest.raises(ValueError, match="neither slack:#CHANNEL nor pagerduty:@OWNER"):
        variable_of("mail:somebody")


def test_lookup() -> None:
    secrets = Secrets({"SLACK_WEBHOOK_HEADLESS_ALERTS": f" {HOOK}\n"})
    found = secrets.lookup(SLACK)
    assert found == Found("SLACK_WEBHOOK_HEADLESS_ALERTS", Secret(HOOK, fingerprint(HOOK)))
    assert secrets.lookup(PAGER).hint == "PAGERDUTY_KEY_BACKEND_TEAM is not set"
    assert "canary" not in f"{found!r} {found}"


def test_a_routing_key_of_another_length_is_used_with_a_hint() -> None:
    found = Secrets({"PAGERDUTY_KEY_BACKEND_TEAM": "short-key"}).lookup(PAGER)
    assert found.secret == Secret("short-key", fingerprint("short-key"))
    assert found.hint == ("PAGERDUTY_KEY_BACKEND_TEAM has 9 characters, a routing key has 32")


@pytest.mark.parametrize(
    ("url", "fault"),
    [
        (HOOK, ""),
        ("http://127.0.0.1:8080/x", ""),
        ("http://localhost/x", ""),
        ("http://[::1]:1/x", ""),
        ("http://hooks.slack.com/x", "only https is called, or http to this machine"),
        ("http://127.0.0.1.evil.example/x", "only https is called, or http to this machine"),
        ("file:///etc/passwd", "it is not a URL"),
        ("ftp://a/x", "only https is called, or http to this machine"),
        ("hooks.slack.com/x", "it is not a URL"),
        ("https://a b/x", "it is not a URL"),
        ("https://a:port/x", "it is not a URL"),
        ("", "it is not a URL"),
    ],
)
def test_which_urls_are_called(url: str, fault: str) -> None:
    assert fault_of_url(url) == fault


def test_an_address_that_is_not_to_be_called_is_no_secret() -> None:
    found = Secrets({"SLACK_WEBHOOK_HEADLESS_ALERTS": "http://far.example/canary"}).lookup(SLACK)
    assert found.secret is None
    assert found.hint.endswith("cannot be used: only https is called, or http to this machine")


def test_a_file_is_read_again_when_it_changes(tmp_path: Path) -> None:
    file = tmp_path / "key"
    secrets = Secrets({"PAGERDUTY_KEY_BACKEND_TEAM_FILE": str(file)})
    assert secrets.lookup(PAGER).secret is None
    file.write_text(f"{KEY}\n")
    assert secrets.lookup(PAGER).secret == Secret(KEY, fingerprint(KEY))
    file.write_text("f" * 31 + "0\n")
    assert secrets.lookup(PAGER).secret == Secret("f" * 31 + "0", fingerprint("f" * 31 + "0"))
    assert secrets.known("pagerduty", fingerprint(KEY)) == Secret(KEY, fingerprint(KEY))
    file.unlink()
    assert secrets.lookup(PAGER).secret is None
    assert secrets.removed_from(f"old {KEY}") == "old [secret]"


def test_no_secret_is_left_in_a_text(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("xoxb-canary")
    env = {
        "SLACK_WEBHOOK_HEADLESS_ALERTS": HOOK,
        "PAGERDUTY_KEY_BACKEND_TEAM": KEY,
        "SLACK_BOT_TOKEN_FILE": str(file),
        "BURNRATE_API_TOKEN": "token-canary",
    }
    text = f"POST {HOOK} /services/T00/B00/canarycanary {KEY} xoxb-canary token-canary"
    assert Secrets(env).removed_from(text) == ("POST [secret] [secret] [secret] [secret] [secret]")
    unknown = "see https://hooks.slack.com/services/T9/B9/other, please"
    assert Secrets({}).removed_from(unknown) == "see [secret] please"


def test_a_traceback_in_a_log_is_redacted() -> None:
    redactor = Redactor(Secrets({"PAGERDUTY_KEY_BACKEND_TEAM": KEY}), logging.Formatter())
    error = ValueError(f"bad key {KEY}")
    record = logging.LogRecord(
        "x", logging.ERROR, "f", 1, "said %s", (KEY,), (ValueError, error, None)
    )
    text = redactor.format(record)
    assert text == "said [secret]\nValueError: bad key [secret]"
