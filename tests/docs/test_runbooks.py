"""Runbooks: no step of Kokino's SLO document is lost, and every command in them exists."""

import re
from pathlib import Path

import pytest

from app import config
from app.core.vitals import WATCHES
from app.web.runbooks import FIELDS

ROOT = Path(__file__).parents[2]
RUNBOOKS = ROOT / "docs" / "runbooks"
ALL = sorted(path.stem for path in RUNBOOKS.glob("*.md"))

FIND, DO, NEXT = "Find out", "Put it right", "Escalation"

# What the seed asks for, by runbook and section: the step in short, and words that keep it.
SEED = [
    ("availability", "", "trigger", "Fewer than 99.0 % of the executions of the last hour"),
    ("availability", "", "severity", "(P1)"),
    ("availability", FIND, "current availability", "Availability as it is now"),
    ("availability", FIND, "query the API", "/api/slo/status | jq '.availability'"),
    ("availability", FIND, "recent failures", "The failures themselves"),
    ("availability", FIND, "failures in the broker's log", "grep EXECUTION_FAILED | tail -n 50"),
    ("availability", FIND, "one agent?", "one agent?"),
    ("availability", FIND, "one CLI type?", "one CLI type (claude-code, gemini, …)?"),
    ("availability", FIND, "environment: keys, disk?", "check the API keys, and the disk"),
    ("availability", DO, "refresh credentials", "fresh credentials into `~/.claude/.env`"),
    ("availability", DO, "clean up the disk", "clear out old metrics and conversations"),
    ("availability", DO, "roll the CLI back", "go back to the version before"),
    ("availability", DO, "fallback to tmux", "fallback mode (Kokino's issue 96)"),
    ("availability", NEXT, "30 minutes", "30 minutes and still burning: @platform-lead is paged"),
    ("latency", "", "trigger", "More than 5 % of the executions of the last 5 minutes"),
    ("latency", "", "severity", "(P2)"),
    ("latency", FIND, "current P95", "/metrics | grep headless_latency_p95_ms"),
    ("latency", FIND, "slow agents", "The ten slowest agents of the last hour"),
    ("latency", FIND, "lock contention", "agents wait for each other's locks"),
    ("latency", FIND, "the provider's status", "for claude-code: the Claude API"),
    ("latency", DO, "locks: time-out or cancel", "raise the lock's time-out, or cancel the exec"),
    ("latency", DO, "provider slow: wait", "nothing on our side helps"),
    ("latency", DO, "one agent: cwd, environment", "its working folder and environment"),
    ("latency", NEXT, "sustained 1 h", "after 1 hour: @backend-team-lead and @platform-lead"),
    ("correctness", "", "trigger", "last 24 hours fewer than 90 %"),
    ("correctness", "", "severity", "(P2)"),
    (
        "correctness",
        FIND,
        "the newest 20 mismatches",
        "'SHADOW_MISMATCH' ORDER BY id DESC LIMIT 20",
    ),
    ("correctness", FIND, "compare by hand", "read both answers side by side"),
    ("correctness", FIND, "other content?", "the content of the answers differs"),
    ("correctness", FIND, "other tool calls?", "other tools were called"),
    ("correctness", FIND, "time-outs?", "ran into a time-out where the other did not"),
    ("correctness", DO, "content: prompt layering", "(`buildAgentPrompt`)"),
    ("correctness", DO, "tools: environment", "environment variables of both modes, PATH first"),
    ("correctness", DO, "time-outs: settings", "bring the two time-out settings together"),
    ("correctness", NEXT, "> 50 in 24 h", "More than 50 bad comparisons within 24 hours"),
    ("data-integrity", "", "trigger", "integrity check or has orphaned turns"),
    ("data-integrity", "", "severity", "P1 at once"),
    ("data-integrity", FIND, "the conversation", "Which conversations"),
    ("data-integrity", FIND, "the newest finding", "'CONVERSATION_INTEGRITY_FAIL', 'ORPHAN_"),
    ("data-integrity", FIND, "integrity check", "npm run integrity-check --conversation"),
    ("data-integrity", FIND, "race conditions", "two writers in the same conversation"),
    ("data-integrity", FIND, "transaction logs", "review the transaction logs"),
    ("data-integrity", DO, "orphans: repair script", "run the repair script"),
    ("data-integrity", DO, "foreign key: by hand", "mend the rows by hand"),
    ("data-integrity", DO, "corruption: backup", "restore the backup, if there is one"),
    ("data-integrity", NEXT, "at once", "@data-lead is paged at once"),
    ("resource-efficiency", "", "trigger", "last hour used more than 1024 MB on average"),
    ("resource-efficiency", "", "severity", "(P2)"),
    ("resource-efficiency", FIND, "memory by agent", "Memory by agent"),
    ("resource-efficiency", FIND, "leak?", "A mean that keeps growing is a leak"),
    ("resource-efficiency", FIND, "large histories", "conversations with very many turns"),
    ("resource-efficiency", DO, "leak: restart broker", "restart the broker"),
    ("resource-efficiency", DO, "large: pruning", "prune them"),
    ("resource-efficiency", DO, "one agent: workload", "look at what it is asked to do"),
    ("resource-efficiency", NEXT, "still growing", "still growing"),
    ("fast-burn", "", "trigger", "One hour has spent more than 10 %"),
    ("fast-burn", "", "severity", "(P1)"),
    ("slow-burn", "", "trigger", "Seven days have spent more than half"),
    ("slow-burn", "", "severity", "(P2, a warning)"),
    ("exhausted", "", "trigger", "All of the 30 days' error budget is spent"),
    ("exhausted", "What to do", "hotfixes only", "Only hotfixes go out"),
    ("exhausted", "What to do", "root cause", "**Root cause analysis.**"),
    ("exhausted", "What to do", "remediation plan", "**Remediation plan.**"),
    ("exhausted", "What to do", "retrospective", "**Retrospective.** Due once the budget is back"),
]
KOKINOS = ("sqlite3", "npm run", "broker.log", "~/.claude", "free -m")


def text_of(runbook: str) -> str:
    return (RUNBOOKS / f"{runbook}.md").read_text(encoding="utf-8")


def sections(runbook: str) -> dict[str, str]:
    """By heading, one line each; what stands before the first one has the heading ""."""
    parts = re.split(r"^## (.+)$", text_of(runbook), flags=re.MULTILINE)
    found = dict(zip(["", *parts[1::2]], [parts[0], *parts[2::2]], strict=True))
    return {heading: " ".join(body.split()) for heading, body in found.items()}


@pytest.mark.parametrize(("runbook", "heading", "step", "words"), SEED)
def test_every_step_of_the_seed_is_kept(runbook: str, heading: str, step: str, words: str) -> None:
    assert words in sections(runbook)[heading], step


def test_whoever_names_a_runbook_finds_it() -> None:
    policy = config.load(ROOT / "config")
    named = {*policy.slos, "fast-burn", "slow-burn", "exhausted"}
    assert named | {watch.runbook for watch in WATCHES.values()} == set(ALL)


@pytest.mark.parametrize("runbook", ALL)
def test_steps_on_kokinos_side_say_so(runbook: str) -> None:
    items = re.split(r"^(?=\d+\. |- )", text_of(runbook), flags=re.MULTILINE)
    wanted = [item for item in items if any(word in item for word in KOKINOS)]
    assert [item for item in wanted if "**Kokino**" not in item] == []


@pytest.mark.parametrize("runbook", ALL)
def test_commands_are_those_of_the_readme(runbook: str) -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    known = set(re.findall(r"`burnrate ([a-z-]+)", readme))
    assert set(re.findall(r"\bburnrate ([a-z-]+)", text_of(runbook))) - known == set()


@pytest.mark.parametrize("runbook", ALL)
def test_only_values_that_the_page_fills_in_are_asked_for(runbook: str) -> None:
    assert set(re.findall(r"\{\{ (\w+) \}\}", text_of(runbook))) - set(FIELDS) == set()


@pytest.mark.parametrize("runbook", ALL)
def test_links_lead_somewhere(runbook: str) -> None:
    links = re.findall(r"\]\(([^)]+)\)", text_of(runbook))
    assert [link for link in links if not (RUNBOOKS / link).is_file()] == []
