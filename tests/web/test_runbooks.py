"""Runbooks as HTML, with values that come from anybody."""

from pathlib import Path

import pytest

from app.web import runbooks
from tests.web import samples


def test_markdown_becomes_html_and_html_stays_text() -> None:
    text = "# Title\n\n<b>x</b> [bad](javascript:alert(1))\n\n| a |\n|---|\n| 1 |\n"
    html = runbooks.html_of(text, {})
    assert "<h1>Title</h1>" in html
    assert "&lt;b&gt;x&lt;/b&gt;" in html
    assert 'href="javascript' not in html
    assert "<td>1</td>" in html


def test_links_between_runbooks_keep_the_incident() -> None:
    html = runbooks.html_of("[next](latency.md#now)", {}, "?incident=a&b")
    assert 'href="/runbooks/latency?incident=a&amp;b#now"' in html


def test_commands_ask_the_worker_that_shows_them() -> None:
    html = runbooks.html_of(f"`curl {runbooks.WRITTEN}/healthz`", {}, url="https://slo.example/a&b")
    assert html == "<p><code>curl https://slo.example/a&amp;b/healthz</code></p>\n"


@pytest.mark.parametrize(
    ("value", "prose", "code"),
    [
        ("alice", "alice", "alice"),
        ("a; rm -rf ~", "a; rm -rf ~", "&lt;agent_id&gt;"),
        ("<b>", "&lt;b&gt;", "&lt;agent_id&gt;"),
        ("", "&lt;agent_id&gt;", "&lt;agent_id&gt;"),
    ],
)
def test_only_plain_values_get_into_commands(value: str, prose: str, code: str) -> None:
    html = runbooks.html_of("{{agent_id}}: `grep {{ agent_id }}`", {"agent_id": value})
    assert html == f"<p>{prose}: <code>grep {code}</code></p>\n"


def test_values_of_an_incident() -> None:
    incident = samples.outage().incidents["availability-20261013T114100Z"]
    assert runbooks.values_of(incident) == {
        "key": "availability-20261013T114100Z",
        "slo": "availability",
        "severity": "P1",
        "opened_at": "2026-10-13T11:41:00.000Z",
        "agent_id": "mallory",
        "cli_type": "gemini",
        "error": "API key expired",
    }


@pytest.mark.parametrize("name", ["../secret", "", "A", "none", "a/b", "a.md"])
def test_no_other_file_is_read(tmp_path: Path, name: str) -> None:
    (tmp_path / "runbooks").mkdir()
    (tmp_path / "secret.md").write_text("secret")
    assert runbooks.text_of(name, tmp_path / "runbooks") is None


def test_the_title() -> None:
    assert runbooks.title_of("text\n# Latency: slow\n", "latency") == "Latency: slow"
    assert runbooks.title_of("text", "latency") == "latency"
