"""Runbooks: Markdown from `docs/runbooks`, with an incident's values filled in.

A runbook may hold `{{name}}` with one of FIELDS. Values come from events, hence from anybody, and
people paste a runbook's commands into a shell: within code only a plain value is filled in, else
`<name>` stays; the page shows the value above, apart from any command. Commands that ask WRITTEN
ask the worker that shows them.
"""

import re
from collections.abc import Mapping
from html import escape
from pathlib import Path
from typing import Any

from markdown_it import MarkdownIt

Document = dict[str, Any]

FOLDER = Path(__file__).parents[2] / "docs" / "runbooks"

WRITTEN = "http://127.0.0.1:5050"  # how the runbooks name the worker: its default address

FIELDS = (
    "key",
    "slo",
    "severity",
    "opened_at",
    "agent_id",
    "cli_type",
    "error",
    "conversation_id",
    "ticket_id",
)

_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,60}")
_PLAIN = re.compile(r"[\w.:@/-]{1,200}", re.ASCII)
_PLACE = re.compile(r"\{\{\s*(\w+)\s*\}\}")
_CODE = re.compile(r"(<code.*?</code>)", re.DOTALL)
_OTHER = re.compile(r'href="(?:\./)?([a-z0-9-]+)\.md(#[\w-]*)?"')

# no raw HTML; the library itself refuses links such as javascript:
_markdown = MarkdownIt("commonmark", {"html": False}).enable("table")


def text_of(name: str, folder: Path = FOLDER) -> str | None:
    """The Markdown of a runbook; None where there is none of that name."""
    if not _NAME.fullmatch(name):
        return None
    try:
        return (folder / f"{name}.md").read_text(encoding="utf-8")
    except OSError:
        return None


def title_of(text: str, name: str) -> str:
    """The runbook's first heading, else its name."""
    found = re.search(r"^# +(.+)$", text, re.MULTILINE)
    return found[1].strip() if found else name


def values_of(incident: Document) -> dict[str, str]:
    """What an incident has to fill in: its own values, and the names that stand out in it."""
    evidence = incident["evidence"]
    newest: Document = next(iter(evidence["examples"]), {})
    worst = {one["by"]: one["name"] for one in reversed(evidence["contributors"])}
    found = {
        "key": incident["key"],
        "slo": incident["slo"],
        "severity": incident["severity"],
        "opened_at": incident["openedAt"],
        "agent_id": worst.get("agent_id") or newest.get("agent_id"),
        "cli_type": worst.get("cli_type") or newest.get("cli_type"),
        "error": worst.get("error") or newest.get("error"),
        "conversation_id": next(iter(incident["conversations"]), None),
        "ticket_id": newest.get("ticketId"),
    }
    return {name: str(value) for name, value in found.items() if value}


def html_of(text: str, values: Mapping[str, str], query: str = "", url: str = WRITTEN) -> str:
    """A runbook as HTML; its links to other runbooks keep the `query`, its commands ask `url`."""
    html = str(_markdown.render(text)).replace(WRITTEN, escape(url))
    html = html.replace("<pre>", '<pre tabindex="0">')  # a wide one is scrolled by keyboard as well
    html = _OTHER.sub(lambda m: f'href="/runbooks/{m[1]}{escape(query)}{m[2] or ""}"', html)
    parts = _CODE.split(html)  # every second one is code
    return "".join(_filled(part, values, code=n % 2 == 1) for n, part in enumerate(parts))


def _filled(part: str, values: Mapping[str, str], *, code: bool) -> str:
    def value_of(place: re.Match[str]) -> str:
        value = values.get(place[1], "")
        fits = bool(_PLAIN.fullmatch(value)) if code else bool(value)
        return escape(value if fits else f"<{place[1]}>")

    return _PLACE.sub(value_of, part)
