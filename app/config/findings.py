"""Findings: what is wrong with a configuration, or deserves a thought, and where it stands."""

from typing import Literal, NamedTuple

import msgspec

Level = Literal["error", "warning", "hint"]
LEVELS: tuple[Level, ...] = ("error", "warning", "hint")

Loc = tuple[str | int, ...]
"""A place within a file: keys and numbers of items, from the outside inwards."""


class Fault(NamedTuple):
    """A finding within one file, before its line is looked up."""

    code: str
    loc: Loc
    message: str
    level: Level = "error"


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One finding as people read it. `code` names the kind; lines and columns count from 1."""

    level: Level
    code: str
    message: str
    file: str = ""  # none: it is about the environment
    line: int | None = None
    column: int | None = None
    path: str = ""  # "slos.1 (latency).breach.window"

    def __str__(self) -> str:
        """As a line: FILE:LINE: PATH: MESSAGE."""
        where = f"{self.file}:{self.line}" if self.line else self.file
        return ": ".join(part for part in (where, self.path, self.message) if part)


CODES: dict[str, str] = {
    "unreadable": "The file cannot be read, or is no YAML.",
    "invalid": "A key or a value that is not allowed there.",
    "taken-id": "Every SLO needs an id of its own.",
    "incomplete": "Something that the rest needs is missing.",
    "never-fires": "A rule that no traffic can make fire.",
    "always-fires": "A rule that fires whatever happens.",
    "no-route": "Every SLO needs somebody who is told.",
    "unknown-slo": "A route of an SLO that is not configured.",
    "unknown-owner": "An owner who is not among the owners.",
    "duplicate-step": "Two steps of an escalation are the same.",
    "unknown-window": "A condition over a window that is not counted.",
    "failing-template": "A template that cannot be rendered.",
    "share-of-traffic": "Fires only when one window carries more traffic than its share.",
    "thin-window": "A window shorter than the evidence needs.",
    "duplicate-rule": "A rule that never says more than another one.",
    "duplicate-slo": "Two SLOs that count and promise the same.",
    "absent-groups": "A value seen once, by mistake, would be told as silent.",
    "unfamiliar-field": "A metadata field that looks like another one.",
    "idle-step": "A step of an escalation that can never be due.",
    "escalates-to-nobody": "A P1 that nobody takes stays where it is.",
    "escalates-to-owner": "A step that pages only whom the P1 has paged already.",
    "unused-owner": "An owner whom no route names.",
    "no-slack-id": "An owner whom a mention in Slack does not notify.",
    "p1-only-slack": "A P1 whose owner has no pager: it reaches Slack alone.",
    "missing-secret": "A destination without its secret: it prints to the terminal.",
    "unknown-secret": "A secret that no route uses.",
    "no-secrets": "No destination has a secret here.",
}
"""Every kind of finding, in a sentence."""
