"""`burnrate check`: whether the configuration is sound, and what it would change."""

import os
from collections import Counter
from pathlib import Path
from typing import Literal

import click
import msgspec

from app import config
from app.commands import sarif
from app.commands.destinations import secret_findings, template_findings
from app.commands.live import effects_on
from app.commands.terminal import console, plain
from app.commands.worker import settings, worker
from app.config import Examined, Finding, Policy
from app.config.findings import LEVELS
from app.core.slos import family_of

FINDINGS = 1
Format = Literal["text", "json", "sarif"]


@click.command()
@click.argument("config_dir", type=click.Path(path_type=Path), required=False)
@click.option("--format", "form", type=click.Choice(["text", "json", "sarif"]), default="text")
@click.option("--strict", is_flag=True, help="Warnings count as errors.")
@click.option("--against-live", is_flag=True, help="Also ask the worker what would change.")
@click.pass_context
def check(
    context: click.Context,
    config_dir: Path | None,
    form: Format,
    *,
    strict: bool,
    against_live: bool,
) -> None:
    """Check a configuration folder, BURNRATE_CONFIG's unless one is given.

    Every finding has file and line. Errors give the exit code 1, with --strict warnings as well;
    hints never. With --against-live the worker that BURNRATE_URL names is asked for its policy and
    its incidents, and what a reload would do to them is said.

    \b
    Examples:
      burnrate check
      burnrate check config --format sarif > check.sarif
      burnrate check config --against-live
    """  # noqa: D301 - \b is click's
    folder = config_dir or settings().config_dir
    found = examine(folder)
    effects = effects_on(worker(), found.policy) if against_live and found.policy else []
    if form == "sarif":
        click.echo(_json(sarif.document(found.findings, Path.cwd())))
    elif form == "json":
        click.echo(_json(_document(found, effects)))
    else:
        _print(found, effects)
    bad = LEVELS[: 2 if strict else 1]
    if any(finding.level in bad for finding in found.findings):
        context.exit(FINDINGS)


def examine(folder: Path) -> Examined:
    """Everything that can be found without a worker, the errors first."""
    found = config.examine(folder)
    policy = found.policy
    more = [*template_findings(folder), *(secret_findings(policy, os.environ) if policy else ())]
    findings = sorted((*found.findings, *more), key=lambda one: LEVELS.index(one.level))
    return Examined(policy, tuple(findings))


def _json(document: object) -> str:
    return msgspec.json.format(msgspec.json.encode(document), indent=1).decode()


def _document(found: Examined, effects: list[str]) -> dict[str, object]:
    counts = Counter(finding.level for finding in found.findings)
    return {
        "findings": found.findings,
        "errors": counts["error"],
        "warnings": counts["warning"],
        "hints": counts["hint"],
        "effects": effects,
    }


def _print(found: Examined, effects: list[str]) -> None:
    out = console()
    for finding in found.findings:
        out.print(plain(_line(finding), _STYLES[finding.level]), soft_wrap=True)
    for effect in effects:
        out.print(plain(f"reload: {effect}"), soft_wrap=True)
    if not found.errors and found.policy:
        out.print(plain(_fine(found.policy), "good"), soft_wrap=True)


_STYLES = {"error": "", "warning": "", "hint": "quiet"}


def _line(finding: Finding) -> str:
    return str(finding) if finding.level == "error" else f"{finding.level}: {finding}"


def _fine(policy: Policy) -> str:
    owners = {route.owner for route in policy.ownership.routes.values()}
    slos = sum(family_of(slo) not in policy.groupings for slo in policy.slos)
    growing = [
        f"one for each {grouping.by} of {name} that is seen ({grouping.most} at most)"
        for name, grouping in policy.groupings.items()
    ]
    return f"fine: {', '.join([f'{slos} SLOs', *growing, f'{len(owners)} owners'])}"
