"""Findings as SARIF 2.1.0, the form in which code hosts show them beside the lines.

https://docs.oasis-open.org/sarif/sarif/v2.1.0/os/sarif-v2.1.0-os.html
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from app.config import Finding
from app.config.findings import CODES, Level

SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"
_LEVELS: dict[Level, str] = {"error": "error", "warning": "warning", "hint": "note"}


def document(findings: Iterable[Finding], root: Path) -> dict[str, Any]:
    """One run with its results; files are named from `root`, where they lie in it."""
    codes = list(CODES)
    rules = [{"id": code, "shortDescription": {"text": CODES[code]}} for code in codes]
    driver = {"name": "burnrate check", "rules": rules}
    results = [_result(finding, codes.index(finding.code), root) for finding in findings]
    return {
        "$schema": SCHEMA,
        "version": "2.1.0",
        "runs": [{"tool": {"driver": driver}, "results": results}],
    }


def _result(finding: Finding, index: int, root: Path) -> dict[str, Any]:
    found: dict[str, Any] = {
        "ruleId": finding.code,
        "ruleIndex": index,
        "level": _LEVELS[finding.level],
        "message": {"text": finding.message},
    }
    location: dict[str, Any] = {}
    if finding.file:
        location["physicalLocation"] = _physical(finding, root)
    if finding.path:
        location["logicalLocations"] = [{"fullyQualifiedName": finding.path}]
    return found | ({"locations": [location]} if location else {})


def _physical(finding: Finding, root: Path) -> dict[str, Any]:
    path = Path(finding.file).absolute()
    inside = path.is_relative_to(root)
    uri = path.relative_to(root).as_posix() if inside else path.as_uri()
    region = {"startLine": finding.line, "startColumn": finding.column or 1}
    return {"artifactLocation": {"uri": uri}} | ({"region": region} if finding.line else {})
