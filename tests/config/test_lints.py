"""Lints: what is allowed but hardly meant, each with the line that it is about."""

from pathlib import Path

import pytest

from app import config
from app.config.findings import CODES
from app.config.lints import needed
from app.core.slos import BreachRule
from tests.core.policies import ROOT

SLOS = (ROOT / "config/slos.yaml").read_text()
OWNERSHIP = (ROOT / "config/ownership.yaml").read_text()
MEMORY_COUNTS = '      - {event: EXECUTION_COMPLETED, bad_when: ["metadata.memoryMB > 500"]}'


def found(tmp_path: Path, slos: str = SLOS, ownership: str = OWNERSHIP) -> list[config.Finding]:
    (tmp_path / "slos.yaml").write_text(slos)
    (tmp_path / "ownership.yaml").write_text(ownership)
    return list(config.examine(tmp_path).findings)


def changed(text: str, old: str, new: str) -> str:
    assert old in text
    return text.replace(old, new, 1)


def test_what_is_shipped_has_hints_alone(tmp_path: Path) -> None:
    findings = found(tmp_path)
    assert {finding.level for finding in findings} == {"hint"}
    assert {finding.code for finding in findings} == {"no-slack-id", "share-of-traffic"}


def test_three_fast_burns_need_more_than_an_hours_share_of_the_traffic(tmp_path: Path) -> None:
    """0.10 · (1 - T) of the month's events in one hour, whose own share is 1 / 720."""
    hints = [f for f in found(tmp_path) if f.code == "share-of-traffic"]
    assert [f.path for f in hints] == [
        "slos.1 (latency).objective",
        "slos.2 (correctness).objective",
        "slos.4 (resource-efficiency).objective",
    ]
    for hint, share in zip(hints, ("1 %", "0.5 %", "2 %"), strict=True):
        assert f"carries more than {share} of the period's events, all of them bad" in hint.message
    assert "of steady traffic it carries 0.14 %" in hints[0].message
    lines = SLOS.splitlines()
    assert all("objective:" in lines[(f.line or 0) - 1] for f in hints)


LINTED_SLOS = {
    "absent-groups": (
        "objective: 0.995",
        "objective: 0.995\n    by: agent_id\n    absent_for: 1h",
        "slos.0 (availability).absent_for",
        "a value that is seen once, by mistake, is told as silent for weeks",
    ),
    "thin-window": (
        "threshold: 0.90, window: 24h, severity: P2}",
        "threshold: 0.90, window: 20s, severity: P2}",
        "slos.2 (correctness).breach.window",
        "breach needs 3 bad events within 20 s, more than one in every 10 s",
    ),
    "duplicate-rule": (
        "slow-burn: {consumed: 0.50, window: 7d, severity: P2}",
        "slow-burn: {consumed: 0.50, window: 1h, severity: P2}",
        "slos.0 (availability).burn.slow-burn",
        "never says more than fast-burn",
    ),
    "duplicate-slo": (
        MEMORY_COUNTS,
        MEMORY_COUNTS + "\n"
        "    headline: {kind: mean, target: 500, window: 24h, unit: MB}\n"
        "    breach: {measure: mean, threshold: 1024, window: 1h, severity: P2}\n"
        "  - id: memory-again\n"
        "    title: Again\n"
        "    objective: 0.80\n"
        "    value: metadata.memoryMB\n"
        "    counts:\n" + MEMORY_COUNTS,
        "slos.5 (memory-again).counts",
        "counts and promises the same as resource-efficiency",
    ),
}


@pytest.mark.parametrize("code", LINTED_SLOS)
def test_a_lint_of_the_slos(tmp_path: Path, code: str) -> None:
    old, new, path, message = LINTED_SLOS[code]
    ownership = OWNERSHIP + '  memory-again: {owner: "@ops-team", channel: "#ops-alerts"}\n'
    findings = found(tmp_path, changed(SLOS, old, new), ownership if "again" in new else OWNERSHIP)
    mine = [finding for finding in findings if finding.code == code]
    assert [finding.path for finding in mine][:1] == [path]
    assert message in mine[0].message
    assert mine[0].level == "warning"


PAGE = '- {to: "@platform-lead", how: page, severity: P1, after: 30m}'
LINTED_ROUTES = {
    "escalates-to-nobody": (
        f"    escalation:\n      {PAGE}\n\n  latency",
        "\n  latency",
        "routes.availability",
        "a P1 that nobody takes escalates to nobody",
    ),
    "escalates-to-owner": (
        '- {to: "@platform-lead", how: page',
        '- {to: "@backend-team", how: page',
        "routes.availability.escalation.0.to",
        "@backend-team was paged already",
    ),
    "idle-step": (
        '- {to: "@data-lead", how: page, severity: P1, after: 0s}',
        '- {to: "@data-lead", how: page, rule: fast-burn, after: 0s}',
        "routes.data-integrity.escalation.0",
        "can never be due: data-integrity has no rule fast-burn",
    ),
    "unused-owner": (
        '"@ops-lead": {}',
        '"@ops-lead": {}\n  "@nobody": {}',
        "owners.@nobody",
        "no route names them",
    ),
}


@pytest.mark.parametrize("code", LINTED_ROUTES)
def test_a_lint_of_the_routes(tmp_path: Path, code: str) -> None:
    old, new, path, message = LINTED_ROUTES[code]
    findings = found(tmp_path, ownership=changed(OWNERSHIP, old, new))
    (mine,) = [finding for finding in findings if finding.code == code]
    assert (mine.path, message in mine.message) == (path, True)


def test_a_growing_mean_of_an_slo_without_values_can_never_be_due(tmp_path: Path) -> None:
    spoilt = changed(
        OWNERSHIP, "when: {bad_more_than: 50, window: 24h}", "when: {mean_grows_by: 0.1}"
    )
    (idle,) = [f for f in found(tmp_path, ownership=spoilt) if f.code == "idle-step"]
    assert "correctness has no value of which there is a mean" in idle.message


def test_the_evidence_that_a_rule_needs_is_counted_by_trying() -> None:
    def breach(threshold: float) -> BreachRule:
        return BreachRule(measure="ratio", threshold=threshold, window_s=300, severity="P1")

    assert needed(breach(0.99)) == 3  # min_bad
    assert needed(breach(0.2)) == 11  # 0.8 < n / (n + z²), z² = 2.7055: n > 10.82


def test_every_error_has_the_line_that_it_is_about(tmp_path: Path) -> None:
    slos = changed(SLOS, "objective: 0.995", "objective: 9")
    slos = changed(slos, "quantile_windows: [5m, 1h, 24h]", "quantile_windows: [5m, 1w, 24h]")
    ownership = changed(OWNERSHIP, '{to: "@qa-lead", how: page', '{to: "@qa-head", how: page')
    lines = {"slos.yaml": slos.splitlines(), "ownership.yaml": ownership.splitlines()}
    shown = [
        (f.path, lines[Path(f.file).name][(f.line or 0) - 1].strip()[: len("quantile_windows")])
        for f in found(tmp_path, slos, ownership)
        if f.level == "error"
    ]
    assert shown == [
        ("slos.0 (availability).objective", "objective: 9"),
        ("slos.1 (latency).quantile_windows.1", "quantile_windows"),
        ("routes.correctness.escalation.0.to", '- {to: "@qa-head'),
    ]


def test_every_code_that_is_found_is_described() -> None:
    sources = [*(ROOT / "app/config").glob("*.py"), ROOT / "app/commands/destinations.py"]
    text = "\n".join(source.read_text() for source in sources)
    used = {code for code in CODES if f'"{code}"' in text.replace(f'"{code}": "', "")}
    assert used == set(CODES)
