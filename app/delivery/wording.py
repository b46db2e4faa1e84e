"""Wording: a notice's parts as text, from Jinja2 templates, escaped for where they go.

Templates hold words, Python holds structure: each part (`title`, `lead`, `findings`, …) is one
template, `NAME.j2`, the same for Slack, PagerDuty and the terminal. Jinja's own autoescape marks
what comes from events; a `Voice` turns that into what its target reads.
"""

import html
import logging
from collections.abc import Callable, Mapping
from itertools import product
from pathlib import Path
from typing import Any, get_args
from urllib.parse import quote, urlencode

import msgspec
from jinja2 import FileSystemLoader, StrictUndefined, TemplateError, TemplateNotFound
from jinja2.sandbox import ImmutableSandboxedEnvironment
from markupsafe import Markup, escape

from app.core.notices import Kind, Notice
from app.core.slos import family_of
from app.delivery import words
from app.delivery.specimen import specimen

log = logging.getLogger(__name__)

SHIPPED = Path(__file__).parent / "templates"

PARTS = (
    "title",
    "lead",
    "findings",
    "budget",
    "objective",
    "owner",
    "next",
    "since",
    "contributors",
    "conversations",
    "examples",
    "due",
    "links",
    "context",
)

SLO_WORDS: dict[str, tuple[str, str]] = {  # what is counted, and what the good ones did
    "availability": ("executions", "succeeded"),
    "latency": ("executions", "were fast enough"),
    "correctness": ("comparisons", "matched"),
    "data-integrity": ("conversations", "were intact"),
    "resource-efficiency": ("executions", "kept to their memory"),
}
_UNITS = {"latency": "ms", "resource-efficiency": "MB"}  # of a contributor's mean
_KEY_LENGTH = 300


class Voice(msgspec.Struct, frozen=True, kw_only=True):
    """How one target writes: functions from escaped markup to escaped markup."""

    bold: Callable[[Markup], Markup]
    code: Callable[[Markup], Markup]
    link: Callable[[Markup, Markup], Markup]  # address, text
    finish: Callable[[str], str]  # from HTML escapes to the target's


def _slack_finish(text: str) -> str:
    """Slack knows `&amp;`, `&lt;` and `&gt;` alone: quotes stand as they are."""
    return text.replace("&#34;", '"').replace("&#39;", "'")


SLACK = Voice(
    bold=lambda text: Markup("*") + text + Markup("*"),
    code=lambda text: Markup("`") + text.replace("`", "'") + Markup("`"),
    link=lambda url, text: Markup("<") + url + Markup("|") + text + Markup(">"),
    finish=_slack_finish,
)

PLAIN = Voice(
    bold=lambda text: text,
    code=lambda text: text,
    link=lambda url, text: text + Markup(": ") + url,
    finish=html.unescape,
)


class Addresses(msgspec.Struct, frozen=True, kw_only=True):
    """Where links lead, and whom Slack knows."""

    page_url: str  # without a slash at its end
    slack_ids: Mapping[str, str] = {}  # "@backend-team" → "S0…" of a user group or "U0…"

    def incident(self, notice: Notice) -> str:
        """The incident's own page."""
        return f"{self.page_url}/incidents/{_in_url(notice.incident)}"

    def runbook(self, notice: Notice) -> str:
        """The runbook, told which incident it is for; empty where there is none."""
        name = notice.story.runbook
        query = urlencode({"incident": notice.incident[:_KEY_LENGTH]}, errors="ignore")
        return f"{self.page_url}/runbooks/{_in_url(name)}?{query}" if name else ""

    def status(self) -> str:
        """The status page."""
        return f"{self.page_url}/"

    def mention(self, owner: str) -> Markup:
        """What makes Slack notify an owner; the plain name where their id is not known."""
        slack_id = self.slack_ids.get(owner, "")
        if slack_id.isalnum() and slack_id[0] in "SUW":
            form = "<!subteam^{}>" if slack_id[0] == "S" else "<@{}>"
            return Markup(form).format(slack_id)  # noqa: S704 - one of the two above
        return escape(owner)


def _in_url(text: str) -> str:
    return quote(text[:_KEY_LENGTH], safe="", errors="ignore")


class Wording:
    """The templates, those of `folder` before the shipped ones.

    A template that fails while a message is made is replaced by the shipped one: no page is ever
    lost to a slip in its wording. `faults()` finds such slips beforehand.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self._shipped = _environment(SHIPPED)
        self._own = _environment(folder) if folder and folder.is_dir() else None
        files = sorted(folder.glob("*.j2")) if folder and self._own else []
        self._strays = [path.name for path in files if path.stem not in PARTS]

    def part(
        self, name: str, notice: Notice, voice: Voice, addresses: Addresses, **more: object
    ) -> str:
        """One part of a tamed notice as text for a target; empty where it has nothing to say."""
        told = _context(notice, voice, addresses) | more
        if self._own:
            try:
                return _rendered(self._own, name, told, voice)
            except TemplateNotFound:
                pass
            except (TemplateError, TypeError, ValueError, ArithmeticError) as error:
                log.warning("templates/%s.j2 fails, the shipped one is taken: %s", name, error)
        return _rendered(self._shipped, name, told, voice)

    def faults(self) -> list[str]:
        """What is wrong with the templates, each line with file and line number."""
        if not self._own:
            return []
        parts = ", ".join(PARTS)
        found = [
            f"templates/{one}: there is no such part; parts are {parts}" for one in self._strays
        ]
        addresses = Addresses(page_url="http://127.0.0.1")
        for kind, name, voice in product(get_args(Kind), PARTS, (SLACK, PLAIN)):
            found.append(_fault(self._own, name, _context(specimen(kind), voice, addresses)))
        return list(dict.fromkeys(fault for fault in found if fault))


def _environment(folder: Path) -> ImmutableSandboxedEnvironment:
    return ImmutableSandboxedEnvironment(
        loader=FileSystemLoader(folder),
        undefined=StrictUndefined,
        autoescape=True,
        auto_reload=False,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def _rendered(
    env: ImmutableSandboxedEnvironment, name: str, told: dict[str, Any], voice: Voice
) -> str:
    text = env.get_template(f"{name}.j2").render(told)
    return voice.finish("\n".join(line.rstrip() for line in text.splitlines() if line.strip()))


def _fault(env: ImmutableSandboxedEnvironment, name: str, told: dict[str, Any]) -> str:
    try:
        _rendered(env, name, told, SLACK)
    except TemplateNotFound:
        return ""
    except Exception as error:  # noqa: BLE001 - whatever a template raises is its fault
        line = f":{error.lineno}" if hasattr(error, "lineno") else ""
        return f"templates/{name}.j2{line}: {type(error).__name__}: {error}"
    return ""


def _context(notice: Notice, voice: Voice, addresses: Addresses) -> dict[str, Any]:
    """What templates see: the notice, functions for numbers, functions for markup."""
    story = notice.story
    things, did = SLO_WORDS.get(family_of(notice.slo), ("events", "were good"))
    return {
        "notice": notice,
        "story": story,
        "things": things,
        "did": did,
        "unit": _unit(notice),
        "freeze": "-freeze-" in notice.incident,
        "lasted_s": _lasted_s(notice),
        "conversation_count": len(story.conversations),
        "possible_duplicate": False,
        "grouped": "",
        "grouped_count": 0,
        "bold": lambda text: voice.bold(escape(text)),
        "code": lambda text: voice.code(escape(text)),
        "link": lambda url, text: voice.link(escape(url), escape(text)),
        "mention": addresses.mention if voice is SLACK else escape,
        "incident_url": addresses.incident(notice),
        "runbook_url": addresses.runbook(notice),
        "status_url": addresses.status(),
        "amount": words.amount,
        "value_of": words.value_of,
        "limit_of": words.limit_of,
        "number": words.number,
        "span": words.span,
        "window": words.window,
        "utc": words.utc,
        "clock_time": words.clock_time,
        "sentence": words.sentence,
        "rule_name": rule_name,
        "destination_name": destination_name,
    }


def rule_name(rule: str) -> str:
    """fast-burn → "Fast burn"."""
    return rule[:1].upper() + rule[1:].replace("-", " ")


def destination_name(destination: str) -> str:
    """slack:#headless-alerts → "#headless-alerts in Slack"."""
    service, _, target = destination.partition(":")
    names = {"slack": "Slack", "pagerduty": "PagerDuty"}
    return f"{target} in {names.get(service, service)}"


def _unit(notice: Notice) -> str:
    told = [f.unit for f in notice.story.findings if f.unit in ("ms", "MB")]
    return told[0] if told else _UNITS.get(family_of(notice.slo), "")


def _lasted_s(notice: Notice) -> float | None:
    """How long it has lasted: to its end, or to this notice."""
    opened_at = notice.story.opened_at
    if opened_at is None:
        return None
    return ((notice.story.resolved_at or notice.at) - opened_at) / 1000
