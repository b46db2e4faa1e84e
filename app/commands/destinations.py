"""The destinations of a policy against the secrets of an environment, and its templates."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from app.config import Finding, Policy
from app.config.findings import Level
from app.core.ownership import pagerduty, slack
from app.delivery.secrets import BOT_TOKEN, PREFIXES, variable_of
from app.delivery.wording import Wording

_TEMPLATE_FAULT = re.compile(
    r"(?P<file>templates/[^:]+)(?::(?P<line>\d+))?: (?P<message>.+)", re.DOTALL
)


def secret_findings(policy: Policy, env: Mapping[str, str]) -> Iterator[Finding]:
    """Secrets that no route uses, and destinations without one."""
    known = {_bare(name) for name in env if name.startswith(tuple(PREFIXES.values()))}
    wanted = {variable_of(destination): destination for destination in _destinations(policy)}
    for variable in sorted(known - wanted.keys()):
        yield _finding("warning", "unknown-secret", f"{variable} is set, but no route uses it")
    if not known and BOT_TOKEN not in {_bare(name) for name in env}:
        message = "no destination has a secret here: everything would print to the terminal"
        yield _finding("hint", "no-secrets", message)
        return
    with_p1 = _owners_of_p1(policy)
    for variable, destination in sorted(wanted.items()):
        if variable in known or (destination.startswith("slack:") and _has_bot(env)):
            continue
        owner = destination.partition(":")[2]
        if destination.startswith("pagerduty:") and owner in with_p1:
            message = f"the P1s of {owner} reach Slack alone: {variable} is not set"
            yield _finding("warning", "p1-only-slack", message)
        else:
            message = f"{destination} prints to the terminal: {variable} is not set"
            yield _finding("warning", "missing-secret", message)


def _bare(variable: str) -> str:
    return variable.removesuffix("_FILE")


def _has_bot(env: Mapping[str, str]) -> bool:
    return BOT_TOKEN in {_bare(name) for name in env}


def _finding(level: Level, code: str, message: str) -> Finding:
    return Finding(level=level, code=code, message=message, path="environment")


def _owners_of_p1(policy: Policy) -> set[str]:
    rows = policy.ownership.routes
    return {
        rows[slo.id].owner
        for slo in policy.slos.values()
        if any(rule.severity == "P1" for rule in slo.rules)
    }


def _destinations(policy: Policy) -> Iterator[str]:
    p1 = _owners_of_p1(policy)
    for row in policy.ownership.routes.values():
        yield slack(row.channel)
        if row.page_p2 or row.owner in p1 or row.slo not in policy.slos:
            yield pagerduty(row.owner)
        for step in row.steps:
            if step.how == "page":
                yield from map(pagerduty, step.to)


def template_findings(config_dir: Path) -> Iterator[Finding]:
    """Templates of the folder that cannot be rendered."""
    for fault in Wording(config_dir / "templates").faults():
        found = _TEMPLATE_FAULT.fullmatch(fault)
        file, line = (found["file"], found["line"]) if found else ("templates", None)
        yield Finding(
            level="error",
            code="failing-template",
            message=found["message"] if found else fault,
            file=str(config_dir / file),
            line=int(line) if line else None,
        )
